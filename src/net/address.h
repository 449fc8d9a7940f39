/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_NET_ADDRESS_H
#define NOC_NET_ADDRESS_H
/*
 * The address of a peer or of a listening socket: compact, copied by value,
 * with its text made once. An IPv4 address that came mapped into IPv6
 * (::ffff:192.0.2.1) is stored as the IPv4 address it is.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include <noctule/slice.h>

enum noc_address_family {
    NOC_ADDRESS_NONE, /* unknown */
    NOC_ADDRESS_IPV4,
    NOC_ADDRESS_IPV6,
    NOC_ADDRESS_UNIX,
};

enum {
    NOC_ADDRESS_TEXT_SIZE = 46,  /* of the text with its zero byte */
    NOC_ADDRESS_LABEL_SIZE = 52, /* of "text:port" with its zero byte */
};

struct noc_address {
    uint8_t family; /* enum noc_address_family */
    uint8_t text_n; /* bytes of text */
    uint16_t port;  /* 0 for unix */
    uint8_t ip[16]; /* network order; IPv4 uses the first four, unix none */
    char text
        [NOC_ADDRESS_TEXT_SIZE]; /* "127.0.0.1", "::1", "unix", or "" for none; with a zero byte */
};

struct sockaddr; /* <sys/socket.h> */

/* From what the system says. A family that is not known gives NOC_ADDRESS_NONE. */
void noc_address_set(struct noc_address *address, const struct sockaddr *from, size_t n);

/* From bytes in network order: 4 (IPv4) or 16 (IPv6), as the PROXY protocol has them. */
void noc_address_set_ip(struct noc_address *address, const void *ip, size_t n, uint16_t port);

/* The peer of a unix socket. */
void noc_address_set_unix(struct noc_address *address);

/*
 * From numeric text (no names, no brackets): "192.0.2.1", "2001:db8::1".
 * Returns 0 or NOC_EMALFORMED, the address then unchanged. Never asks a name service.
 */
NOC_MUST_CHECK int noc_address_parse(
    struct noc_address *address, struct noc_slice text, uint16_t port);

/* The text without the port; lives as long as the address. */
static inline struct noc_slice noc_address_text(const struct noc_address *address)
{
    return noc_slice(address->text, address->text_n);
}

/*
 * "A:P" as in the log: "127.0.0.1:1234", "::1:1234", "unix:0". Always ends with a
 * zero byte; cut if size is too small. Returns label.
 */
const char *noc_address_label(const struct noc_address *address, char *label, size_t size);

/* The same address and port? */
bool noc_address_is_equal(const struct noc_address *a, const struct noc_address *b);

/* Is the peer on this machine: 127.0.0.0/8, ::1 or a unix socket? */
bool noc_address_is_local(const struct noc_address *address);

/*
 * Who counts as one for limits and fairness: an IPv4 address, an IPv6 /64
 * (what one customer gets), all unix peers together. Exact: two peers have the
 * same key only if they count as one. Without the port.
 */
uint64_t noc_address_key(const struct noc_address *address);

#endif
