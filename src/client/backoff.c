/* SPDX-License-Identifier: Apache-2.0 */
#include <noctule/backoff.h>

#include <noctule/reason.h>

enum { MIN_MS = 1000, MAX_MS = 300000, FAILURES_MAX = 30 };

/* What to do about a cause. */
enum policy {
    POLICY_USUAL, /* 0 .. the current limit, which doubles */
    POLICY_LOST,  /* at once the first time, if it had been open */
    POLICY_SLOW,  /* trying often is of no use, or does harm */
    POLICY_NEVER,
};

void noc_backoff_connected(struct noc_backoff *backoff, uint32_t now_ms)
{
    backoff->has_been_open = true;
    backoff->open_ms = now_ms;
}

static enum policy policy_of_reason(unsigned reason)
{
    switch (reason) {
    case NOC_RC_USE_ANOTHER_SERVER:
    case NOC_RC_SERVER_MOVED:
    case NOC_RC_UNSUPPORTED_VERSION:
    case 1: /* the same before version 5 */
        return POLICY_NEVER;
    case NOC_RC_BAD_CREDENTIALS:
    case NOC_RC_NOT_AUTHORIZED:
    case NOC_RC_BANNED:
    case NOC_RC_BAD_AUTHENTICATION_METHOD:
    case NOC_RC_CLIENT_ID_NOT_VALID:
    case NOC_RC_SESSION_TAKEN_OVER:
    case 2: /* before version 5: client identifier, */
    case 4: /* bad credentials, */
    case 5: /* not authorised */
        return POLICY_SLOW;
    default:
        return POLICY_USUAL;
    }
}

static enum policy policy_of(const struct noc_cause *cause)
{
    switch ((enum noc_cause_kind)cause->kind) {
    case NOC_CAUSE_ASKED:
    case NOC_CAUSE_OPTIONS:
        return POLICY_NEVER;
    case NOC_CAUSE_LOST:
    case NOC_CAUSE_PING_TIMEOUT:
    case NOC_CAUSE_WEBSOCKET:
        return POLICY_LOST;
    case NOC_CAUSE_REFUSED:
        return policy_of_reason(cause->code);
    case NOC_CAUSE_DISCONNECTED: /* 0, from a server that just says goodbye, is like a loss */
        return cause->code == 0 ? POLICY_LOST : policy_of_reason(cause->code);
    case NOC_CAUSE_HTTP:
        return cause->code == 401 || cause->code == 403 ? POLICY_SLOW : POLICY_USUAL;
    case NOC_CAUSE_AUTH:
        return POLICY_SLOW;
    case NOC_CAUSE_NONE:
    case NOC_CAUSE_UPGRADE_TIMEOUT:
    case NOC_CAUSE_CONNECT_TIMEOUT:
    case NOC_CAUSE_UPGRADE:
    case NOC_CAUSE_PROTOCOL:
    case NOC_CAUSE_OUTBOX:
    default:
        return POLICY_USUAL;
    }
}

/* random, brought down to 0..max. */
static uint32_t scale(uint32_t random, uint32_t max)
{
    uint32_t high = random >> 16;

    /* max * high / 65536 in 32 bits; exact enough. */
    return (max >> 16) * high + ((max & 0xffff) * high >> 16);
}

uint32_t noc_backoff_ms(
    struct noc_backoff *backoff, const struct noc_cause *cause, uint32_t now_ms, uint32_t random)
{
    uint32_t min = backoff->min_ms == 0 ? MIN_MS : backoff->min_ms;
    uint32_t max = backoff->max_ms == 0 ? MAX_MS : backoff->max_ms;
    uint32_t asked = (uint32_t)cause->retry_after_s * 1000, limit = min, wait;
    enum policy policy = policy_of(cause);
    bool was_open = backoff->has_been_open;

    if (was_open && now_ms - backoff->open_ms >= NOC_BACKOFF_HOLDS_MS) {
        backoff->failures = 0;
        backoff->was_at_once = false;
    }
    backoff->has_been_open = false;
    if (policy == POLICY_NEVER) {
        return NOC_NEVER;
    }
    for (unsigned i = 0; i < backoff->failures && limit < max; i++) {
        limit = limit > max / 2 ? max : limit * 2;
    }
    limit = limit < max ? limit : max;
    if (policy == POLICY_SLOW) {
        wait = max + scale(random, max / 2 < NOC_NEVER - 1 - max ? max / 2 : 0);
    } else if (policy == POLICY_LOST && was_open && !backoff->was_at_once) {
        backoff->was_at_once = true;
        return 0;
    } else {
        wait = scale(random, limit);
    }
    if (backoff->failures < FAILURES_MAX) {
        backoff->failures++;
    }
    /* Never all at the same time, even if all were asked to come back then. */
    return wait < asked ? asked + scale(random, limit) : wait;
}
