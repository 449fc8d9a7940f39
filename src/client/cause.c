/* SPDX-License-Identifier: Apache-2.0 */
#include <noctule/client.h>

#include "ws/client.h"

/* What an answer other than 101 usually means, in front of MQTT. */
static const char *http_text(unsigned status)
{
    switch (status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        return "the WebSocket is somewhere else, or wants a login in a browser (service token "
               "missing?)";
    case 400:
        return "the server takes this for no WebSocket request (does a proxy strip Upgrade?)";
    case 401:
        return "the WebSocket wants credentials";
    case 403:
        return "the WebSocket is forbidden (access rule, or a challenge that only a browser can "
               "solve)";
    case 404:
        return "no WebSocket at this path";
    case 426:
        return "the server saw no upgrade (does a proxy strip Upgrade?)";
    case 429:
        return "too many connections in short time";
    case 502:
        return "the proxy does not reach the broker (wrong port, or http for https?)";
    case 503:
        return "the server is busy";
    case 504:
        return "the broker does not answer the proxy";
    case 520:
    case 521:
    case 522:
    case 523:
    case 524:
        return "the tunnel does not reach the broker";
    case 525:
    case 526:
        return "the tunnel does not accept the broker's certificate";
    case 530:
        return "the tunnel is down (is its connector running?)";
    default:
        return "the server refused the WebSocket";
    }
}

const char *noc_cause_text(const struct noc_cause *cause)
{
    if (cause->kind == NOC_CAUSE_HTTP) {
        return http_text(cause->code);
    }
    if (cause->kind == NOC_CAUSE_UPGRADE) {
        return cause->code == NOC_WS_ANSWER_PENDING
                   ? "the answer to the WebSocket request is no HTTP"
                   : noc_ws_answer_text((enum noc_ws_answer_kind)cause->code);
    }
    switch (cause->kind) {
#define CASE(name, text) \
    case name:           \
        return text;
        NOC_CAUSE_MAP(CASE)
#undef CASE
    default:
        return "unknown cause";
    }
}
