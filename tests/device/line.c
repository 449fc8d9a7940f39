/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is sent before a cut may reach the peer or not: both happen to a device. A cut of what is
 * sent waits until the peer has had that, and seen the end; one of what is received leaves the
 * line at once, unless it is gentle.
 */
#include "line.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"

enum { DRAIN_MS = 30000 };

static struct line *line_of(struct noc_transport *transport)
{
    return (struct line *)(void *)((char *)transport - offsetof(struct line, transport));
}

static void line_close(struct noc_transport *transport)
{
    struct line *line = line_of(transport);

    if (line->file >= 0) {
        close(line->file);
        line->file = -1;
    }
}

static bool has_come(const struct line *line, uint32_t timeout_ms)
{
    struct pollfd file = {.fd = line->file, .events = POLLIN};

    return poll(&file, 1, (int)timeout_ms) > 0;
}

/* What the peer still says is lost. */
static void cut(struct line *line, bool is_gentle)
{
    char lost[64];

    line->is_cut = true;
    if (is_gentle) {
        shutdown(line->file, SHUT_WR);
        while (has_come(line, DRAIN_MS) && read(line->file, lost, sizeof lost) > 0) {
        }
    }
    line_close(&line->transport);
}

static int line_open(struct noc_transport *transport, uint32_t timeout_ms)
{
    struct line *line = line_of(transport);
    struct sockaddr_in address = {.sin_family = AF_INET};
    const int on = 1;

    (void)timeout_ms; /* On this machine it is a matter of now or never. */
    noc_put_u16((uint8_t *)&address.sin_port, line->port);
    noc_put_u32((uint8_t *)&address.sin_addr.s_addr, UINT32_C(0x7f000001));
    line->file = socket(AF_INET, SOCK_STREAM, 0);
    if (line->file < 0) {
        return NOC_EIO;
    }
    /* Else what follows a small packet waits for that to be acknowledged. */
    if (setsockopt(line->file, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        connect(line->file, (const struct sockaddr *)&address, sizeof address) < 0) {
        line_close(transport);
        return NOC_EIO;
    }
    return NOC_OK;
}

static int line_read(struct noc_transport *transport, void *bytes, size_t n, uint32_t timeout_ms)
{
    struct line *line = line_of(transport);
    long got;

    if (line->file >= 0 && line->received_left == 0) {
        cut(line, line->is_gentle);
    }
    if (line->file < 0) {
        return NOC_ECLOSED;
    }
    if (!has_come(line, timeout_ms)) {
        return 0;
    }
    got = (long)read(line->file, bytes, n < line->received_left ? n : line->received_left);
    if (got <= 0) {
        return NOC_ECLOSED;
    }
    if (line->received_left != LINE_NEVER) {
        line->received_left -= (uint32_t)got;
    }
    return (int)got;
}

static int line_write(struct noc_transport *transport, const void *bytes, size_t n)
{
    struct line *line = line_of(transport);
    long done = 0;

    if (line->file < 0) {
        return NOC_ECLOSED;
    }
    n = n < line->sent_left ? n : line->sent_left;
    if (n > 0) {
        done = (long)send(line->file, bytes, n, MSG_NOSIGNAL);
        if (done <= 0) {
            return NOC_ECLOSED;
        }
    }
    if (line->sent_left != LINE_NEVER) {
        line->sent_left -= (uint32_t)done;
        if (line->sent_left == 0) {
            cut(line, true);
        }
    }
    return done > 0 ? (int)done : NOC_ECLOSED;
}

void line_init(struct line *line, uint16_t port)
{
    *line = (struct line){
        .transport = {.open = line_open,
            .read = line_read,
            .write = line_write,
            .close = line_close},
        .sent_left = LINE_NEVER,
        .received_left = LINE_NEVER,
        .file = -1,
        .port = port,
    };
}

uint32_t line_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000 + (uint32_t)now.tv_nsec / 1000000;
}
