/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BROKER_ENDPOINT_H
#define NOC_BROKER_ENDPOINT_H
/*
 * A listener with its open sockets: shared by all workers, constant while the
 * broker runs, but for the number of its connections.
 */

#include <stdatomic.h>

#include "config/config.h"
#include "core/core.h"
#include "net/listen.h"

struct noc_endpoint {
    const struct noc_listener_config *config; /* lives as long as the broker */
    struct noc_listener listener;             /* what the core needs of it */
    struct noc_listen_sockets sockets;
    struct noc_slice *origins; /* allowed ones, owned; their texts are the configuration's */
    size_t origin_count;
    bool is_websocket;
    bool has_tls;
    atomic_int connections;
};

#endif
