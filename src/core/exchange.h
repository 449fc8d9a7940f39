/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_CORE_EXCHANGE_H
#define NOC_CORE_EXCHANGE_H
/*
 * Extended authentication (MQTT 5, section 4.12): a client names a method in its
 * CONNECT, and what the method has to say goes back and forth in AUTH packets.
 *
 *   CONNECT (method, data) --> AUTH 0x18 <--> AUTH 0x18 ... --> CONNACK (data)
 *   AUTH 0x19 (data)       --> AUTH 0x18 <--> AUTH 0x18 ... --> AUTH 0x00 (data)
 *
 * The second row authenticates again, on a connection that is open and goes on
 * meanwhile. What a method is, the glue knows (ops->exchange); here is who may
 * say what when. Until the CONNACK nothing but AUTH and DISCONNECT is taken
 * [MQTT-3.1.2-30], and all of it has to happen before the CONNECT deadline.
 */

#include "core/core.h"

struct noc_link;

enum {
    NOC_AUTH_METHOD_MAX = 64, /* a longer name is a method we don't know */
    NOC_AUTH_DATA_MAX = 512   /* bytes of data that the broker sends at once */
};

/* Of a link whose CONNECT named a method that is known; until the link is done. */
struct noc_exchange {
    bool is_waiting; /* for the client's answer to our AUTH */
    uint8_t *data;   /* what goes out with the next AUTH or the CONNACK; then NULL again */
    size_t data_n;
    size_t method_n;
    char method[]; /* the client has to name it again in every AUTH [MQTT-4.12.0-5] */
};

/* A CONNECT that is waiting names a method: begin. The link may be at its end afterwards. */
void noc_exchange_on_connect(struct noc_link *link);

/* An AUTH, of a link that is open or one whose exchange waits. */
void noc_exchange_on_auth(struct noc_link *link, struct noc_slice body);

/* Does the link wait for an AUTH before its CONNACK? */
bool noc_exchange_is_waiting(const struct noc_link *link);

/* Add the properties that the CONNACK has to have, and give back its data; returns their end. */
uint8_t *noc_exchange_put_props(struct noc_link *link, uint8_t *at);

/* The link is done. */
void noc_exchange_free(struct noc_exchange *exchange); /* NULL is fine */

#endif
