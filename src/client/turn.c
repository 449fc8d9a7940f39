/* SPDX-License-Identifier: Apache-2.0 */
#include <noctule/transport.h>

#include <noctule/client.h>

/* How soon to try again to write what the transport did not take. */
#define TURN_RETRY_MS 10

/* Write what waits. Returns whether all of it went, or an error of the transport. */
static int turn_write(
    struct noc_client *client, struct noc_transport *transport, uint32_t (*now_ms)(void))
{
    for (;;) {
        size_t n;
        const uint8_t *bytes = noc_client_peek(client, now_ms(), &n);
        int written;

        if (n == 0) {
            return 1;
        }
        written = transport->write(transport, bytes, n);
        if (written <= 0) {
            return written;
        }
        noc_client_sent(client, (size_t)written, now_ms());
    }
}

static int turn_read(struct noc_client *client, struct noc_transport *transport,
    uint32_t (*now_ms)(void), uint32_t timeout_ms)
{
    size_t n;
    uint8_t *room = noc_client_room(client, &n);
    int got = n == 0 ? 0 : transport->read(transport, room, n, timeout_ms);

    if (got > 0) {
        noc_client_received(client, (size_t)got, now_ms());
    }
    return got;
}

static bool has_room(struct noc_client *client)
{
    size_t n;

    (void)noc_client_room(client, &n);
    return n > 0;
}

void noc_client_turn(struct noc_client *client, struct noc_transport *transport,
    uint32_t (*now_ms)(void), uint32_t timeout_ms)
{
    uint32_t wait_ms;
    int written, got;

    if (noc_client_state(client) == NOC_CLIENT_IDLE) {
        return;
    }
    written = turn_write(client, transport, now_ms);
    wait_ms = written < 0 ? 0 : noc_client_wait_ms(client, now_ms());
    wait_ms = wait_ms < timeout_ms ? wait_ms : timeout_ms;
    if (written == 0 && !has_room(client)) {
        /* What came waits for what is to go, so only that helps. */
        if (transport->wait_writable != NULL) {
            transport->wait_writable(transport, wait_ms);
        }
        return;
    }
    if (written == 0 && wait_ms > TURN_RETRY_MS) {
        wait_ms = TURN_RETRY_MS;
    }
    do {
        got = turn_read(client, transport, now_ms, wait_ms);
        /* Why it takes no more may be said in what has come: a DISCONNECT. */
    } while (written < 0 && got > 0);
    if (written < 0 || got < 0) {
        transport->close(transport);
        noc_client_lost(client);
    }
}
