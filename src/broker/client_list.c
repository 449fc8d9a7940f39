/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "broker/client_list.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/utf8.h"
#include "broker/broker.h"
#include "config/text.h"
#include "core/link.h"
#include "core/queue.h"
#include "net/clock.h"

/* What a worker writes in a turn at most: so many sessions, and past so many bytes none more. */
enum { PORTION_SESSIONS = 128, PORTION_BYTES = 32 * 1024 };

/* An asker that takes nothing for so long is left alone. */
enum { TIMEOUT_MS = 10000 };

struct noc_client_list {
    struct noc_broker *broker;
    int fd, bell_fd;
    unsigned worker;      /* whose sessions are told now */
    bool is_called;       /* that worker has the portion in hand */
    size_t sent;          /* of the text */
    bool is_tail_out;     /* the text is the end of it all */
    uint64_t given_up_ms; /* unless something is sent before */

    /* The portion: the worker's from the call until it rings the bell. */
    struct noc_text text;
    bool is_first_row;     /* of all */
    bool is_first_portion; /* of this worker */
    bool is_last_portion;
};

/* ---- on a worker ---- */

/* As a JSON string. A name out of a certificate may be no UTF-8: then its bytes are Latin-1. */
static void add_string(struct noc_text *text, struct noc_slice string)
{
    bool is_utf8 = noc_utf8_is_valid(string);
    size_t from = 0;

    noc_text_add_bytes(text, "\"", 1);
    for (size_t i = 0; i < string.n; i++) {
        unsigned char byte = (unsigned char)string.at[i];

        if (byte < 0x20 || byte == '"' || byte == '\\' || byte == 0x7f ||
            (byte >= 0x80 && !is_utf8)) {
            noc_text_add_bytes(text, string.at + from, i - from);
            noc_text_add(text, "\\u%04x", byte);
            from = i + 1;
        }
    }
    noc_text_add_bytes(text, string.at + from, string.n - from);
    noc_text_add_bytes(text, "\"", 1);
}

static void add_session(struct noc_text *text, const struct noc_session *session)
{
    const struct noc_link *link = session->link;

    noc_text_add(text, "{\"dropped\":%llu,\"queued\":%lu,\"connected\":%s,\"address\":",
        (unsigned long long)session->dropped_total, (unsigned long)noc_queue_count(session),
        link != NULL ? "true" : "false");
    if (link == NULL) {
        noc_text_add(text, "null");
    } else if (link->port == 0) {
        add_string(text, link->address);
    } else {
        noc_text_add(text, "\"%.*s:%u\"", NOC_SLICE_ARG(link->address), (unsigned)link->port);
    }
    noc_text_add(text, ",\"user\":");
    if (session->username == NULL) {
        noc_text_add(text, "null");
    } else {
        add_string(text, noc_slice(session->username, session->username_n));
    }
    noc_text_add(text, ",\"id\":");
    add_string(text, noc_session_id(session));
    noc_text_add(text, "}");
}

static void write_portion(struct noc_shard *shard, void *argument)
{
    struct noc_client_list *list = argument;
    struct noc_session *session = NULL;
    uint64_t one = 1;
    int bell_fd = list->bell_fd;

    for (unsigned i = 0; shard != NULL && i < PORTION_SESSIONS && list->text.n < PORTION_BYTES;
         i++) {
        session = noc_session_walk(shard, list->is_first_portion);
        list->is_first_portion = false;
        if (session == NULL) {
            break;
        }
        noc_text_add(&list->text, list->is_first_row ? "\n" : ",\n");
        list->is_first_row = false;
        add_session(&list->text, session);
    }
    list->is_last_portion = session == NULL;
    (void)!write(bell_fd, &one, sizeof one); /* from here on the list may be gone */
}

/* ---- on the control thread ---- */

struct noc_client_list *noc_client_list_new(struct noc_broker *broker, int take_fd)
{
    struct noc_client_list *list = calloc(1, sizeof *list);

    if (list == NULL) {
        (void)close(take_fd);
        return NULL;
    }
    list->broker = broker;
    list->fd = take_fd;
    list->is_first_row = list->is_first_portion = true;
    list->given_up_ms = noc_clock_ms() + TIMEOUT_MS;
    noc_text_init(&list->text);
    noc_text_add(&list->text, "{\"clients\":[");
    list->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (list->bell_fd < 0) {
        noc_client_list_free(list);
        return NULL;
    }
    return list;
}

/* Has the worker written what it was called for? */
static bool take_portion(struct noc_client_list *list)
{
    uint64_t rung;

    if (read(list->bell_fd, &rung, sizeof rung) != (ssize_t)sizeof rung) {
        return false;
    }
    list->is_called = false;
    list->sent = 0;
    if (list->is_last_portion) {
        list->worker++;
        list->is_first_portion = true;
    }
    return true;
}

void noc_client_list_free(struct noc_client_list *list)
{
    if (list == NULL) {
        return;
    }
    while (list->is_called && !take_portion(list)) {
        struct pollfd bell = {.fd = list->bell_fd, .events = POLLIN};

        (void)poll(&bell, 1, -1);
    }
    if (list->bell_fd >= 0) {
        (void)close(list->bell_fd);
    }
    (void)close(list->fd);
    noc_text_done(&list->text);
    free(list);
}

void noc_client_list_poll(const struct noc_client_list *list, struct pollfd *ret_poll)
{
    *ret_poll = list->is_called ? (struct pollfd){.fd = list->bell_fd, .events = POLLIN}
                                : (struct pollfd){.fd = list->fd, .events = POLLOUT};
}

/* Send what the asker takes. False: it takes no more, now or ever: *ret_is_over. */
static bool send_text(struct noc_client_list *list, bool *ret_is_over)
{
    *ret_is_over = false;
    while (list->sent < list->text.n) {
        ssize_t n = send(list->fd, list->text.at + list->sent, list->text.n - list->sent,
            MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            list->sent += (size_t)n;
            list->given_up_ms = noc_clock_ms() + TIMEOUT_MS;
        } else if (errno != EINTR) {
            *ret_is_over = errno != EAGAIN || noc_clock_ms() >= list->given_up_ms;
            return false;
        }
    }
    return true;
}

bool noc_client_list_step(struct noc_client_list *list)
{
    bool is_over;

    if (list->is_called && !take_portion(list)) {
        return true;
    }
    if (list->text.is_broken) {
        return false;
    }
    if (!send_text(list, &is_over)) {
        return !is_over;
    }
    if (list->is_tail_out) {
        return false;
    }
    list->text.n = list->sent = 0;
    if (list->worker == list->broker->worker_count) {
        noc_text_add(&list->text, "\n]}\n");
        list->is_tail_out = true;
        return true;
    }
    list->is_called =
        noc_worker_call_mt(&list->broker->workers[list->worker], write_portion, list) == NOC_OK;
    return list->is_called;
}
