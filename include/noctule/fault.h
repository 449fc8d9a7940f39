/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_FAULT_H
#define NOCTULE_FAULT_H
/*
 * Why a transport could not be opened, or broke: which layer, and in words that
 * one can show to a user. The transports shipped with the library keep the last
 * one; it is written when open(), read() or write() return an error.
 */

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum noc_fault_kind {
    NOC_FAULT_NONE,
    NOC_FAULT_SETUP,       /* files or options: nothing was sent */
    NOC_FAULT_LOOKUP,      /* the name was not found; code: of getaddrinfo() */
    NOC_FAULT_CONNECT,     /* no address of it could be reached; code: errno of the last one */
    NOC_FAULT_PROXY,       /* the SOCKS proxy refused; code: its reply */
    NOC_FAULT_TIMEOUT,     /* no answer in time */
    NOC_FAULT_LOST,        /* it was open, and broke; code: errno, 0 if the peer closed it */
    NOC_FAULT_TLS,         /* the handshake failed, for another reason than these: */
    NOC_FAULT_NO_TLS,      /* what answers does not speak TLS */
    NOC_FAULT_ISSUER,      /* nobody whom we trust vouches for the server's certificate */
    NOC_FAULT_NAME,        /* it is for another name */
    NOC_FAULT_EXPIRED,     /* it was good once */
    NOC_FAULT_CLOCK,       /* it is not good yet, or this machine's clock is wrong */
    NOC_FAULT_CERTIFICATE, /* something else is wrong with it */
    NOC_FAULT_OURS,        /* the server does not want our certificate or key */
};

enum { NOC_FAULT_TEXT_SIZE = 256 };

struct noc_transport_fault {
    uint8_t kind;                   /* enum noc_fault_kind */
    int code;                       /* see above; otherwise the TLS library's, or 0 */
    char text[NOC_FAULT_TEXT_SIZE]; /* one line without line end or control characters */
};

#ifdef __cplusplus
}
#endif

#endif
