/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include <noctule/error.h>

static void make_text(struct noc_address *address, int family)
{
    if (inet_ntop(family, address->ip, address->text, sizeof(address->text)) == NULL) {
        address->text[0] = '\0';
    }
    address->text_n = (uint8_t)strlen(address->text);
}

void noc_address_set_ip(struct noc_address *address, const void *ip, size_t n, uint16_t port)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const uint8_t *bytes = ip;

    memset(address, 0, sizeof(*address));
    if (n == 16 && memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        bytes += sizeof(mapped);
        n = 4;
    }
    if (n != 4 && n != 16) {
        return;
    }
    address->family = n == 4 ? NOC_ADDRESS_IPV4 : NOC_ADDRESS_IPV6;
    address->port = port;
    memcpy(address->ip, bytes, n);
    make_text(address, n == 4 ? AF_INET : AF_INET6);
}

void noc_address_set_unix(struct noc_address *address)
{
    memset(address, 0, sizeof(*address));
    address->family = NOC_ADDRESS_UNIX;
    memcpy(address->text, "unix", sizeof("unix"));
    address->text_n = sizeof("unix") - 1;
}

void noc_address_set(struct noc_address *address, const struct sockaddr *from, size_t n)
{
    struct sockaddr_storage storage;

    /* A copy, since the caller's bytes need not be aligned for each family. */
    memset(&storage, 0, sizeof(storage));
    memcpy(&storage, from, n < sizeof(storage) ? n : sizeof(storage));
    if (n < sizeof(sa_family_t)) {
        storage.ss_family = AF_UNSPEC;
    }
    if (storage.ss_family == AF_INET && n >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;

        memcpy(&in, &storage, sizeof(in));
        noc_address_set_ip(address, &in.sin_addr, 4, ntohs(in.sin_port));
    } else if (storage.ss_family == AF_INET6 && n >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;

        memcpy(&in6, &storage, sizeof(in6));
        noc_address_set_ip(address, &in6.sin6_addr, 16, ntohs(in6.sin6_port));
    } else if (storage.ss_family == AF_UNIX) {
        noc_address_set_unix(address);
    } else {
        memset(address, 0, sizeof(*address));
    }
}

int noc_address_parse(struct noc_address *address, struct noc_slice text, uint16_t port)
{
    char copy[NOC_ADDRESS_TEXT_SIZE];
    uint8_t ip[16];

    if (text.n == 0 || text.n >= sizeof(copy) || memchr(text.at, '\0', text.n) != NULL) {
        return NOC_EMALFORMED;
    }
    memcpy(copy, text.at, text.n);
    copy[text.n] = '\0';
    if (inet_pton(AF_INET, copy, ip) == 1) {
        noc_address_set_ip(address, ip, 4, port);
        return NOC_OK;
    }
    if (inet_pton(AF_INET6, copy, ip) == 1) {
        noc_address_set_ip(address, ip, 16, port);
        return NOC_OK;
    }
    return NOC_EMALFORMED;
}

const char *noc_address_label(const struct noc_address *address, char *label, size_t size)
{
    (void)snprintf(
        label, size, "%.*s:%u", NOC_SLICE_ARG(noc_address_text(address)), (unsigned)address->port);
    return label;
}

bool noc_address_is_equal(const struct noc_address *a, const struct noc_address *b)
{
    return a->family == b->family && a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool noc_address_is_local(const struct noc_address *address)
{
    static const uint8_t loopback[16] = {[15] = 1};

    switch ((enum noc_address_family)address->family) {
    case NOC_ADDRESS_IPV4:
        return address->ip[0] == 127;
    case NOC_ADDRESS_IPV6:
        return memcmp(address->ip, loopback, sizeof(loopback)) == 0;
    case NOC_ADDRESS_UNIX:
        return true;
    case NOC_ADDRESS_NONE:
        break;
    }
    return false;
}

/*
 * The families don't meet: an IPv4 key is below 2^32 and at least 2^24 (0.x.x.x is
 * no peer), an IPv6 /64 below 2^32 lies in ::/32, which is never assigned
 * but for ::1, whose key is 0; that leaves 1 for unix and 2 for unknown.
 */
uint64_t noc_address_key(const struct noc_address *address)
{
    switch ((enum noc_address_family)address->family) {
    case NOC_ADDRESS_IPV4:
        return noc_get_u32(address->ip);
    case NOC_ADDRESS_IPV6:
        return noc_get_u64(address->ip);
    case NOC_ADDRESS_UNIX:
        return 1;
    case NOC_ADDRESS_NONE:
        break;
    }
    return 2;
}
