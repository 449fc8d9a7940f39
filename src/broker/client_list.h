/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BROKER_CLIENT_LIST_H
#define NOC_BROKER_CLIENT_LIST_H
/*
 * The answer to "clients" on the control socket: every session, with what waits for it and what
 * was dropped. There may be millions, and whoever asks may be slow, so it is made in portions:
 *
 *   control thread --call--> worker: some sessions of it, as text --bell--> control thread --> asker
 *
 * The next portion is asked for when this one is sent. Control thread only, but for the portion
 * that a worker has in hand.
 */

#include <stdbool.h>

struct noc_broker;
struct noc_client_list;
struct pollfd;

/* Begin; the asker's descriptor is closed in the end. NULL: out of memory or descriptors. */
struct noc_client_list *noc_client_list_new(struct noc_broker *broker, int take_fd);

/* May wait for a worker's turn, so the workers must be running still. NULL is fine. */
void noc_client_list_free(struct noc_client_list *list);

/* What to wait for. */
void noc_client_list_poll(const struct noc_client_list *list, struct pollfd *ret_poll);

/* Go on, after poll() and every second or so. False: it is over, well or not; free it. */
bool noc_client_list_step(struct noc_client_list *list);

#endif
