/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_WS_HTTP_H
#define NOC_WS_HTTP_H
/*
 * The head of an HTTP/1.1 message (RFC 9112), as far as a WebSocket handshake
 * needs it: lines, fields and lists, as slices into the caller's bytes. Strict
 * where leniency has been a way in: no bare LF or CR, no folded lines, no
 * control characters, no blank before the colon.
 *
 * Freestanding C11: no allocation. Pure: any thread.
 */

#include "base/macros.h"
#include <noctule/error.h>
#include <noctule/slice.h>

/* One "Name: value" line. Blanks around the value are cut off. */
struct noc_http_field {
    struct noc_slice name;
    struct noc_slice value; /* present, but maybe empty */
};

/*
 * Find the end of the head in bytes[0..n), the blank line included.
 *
 * *scanned is where an earlier call on the same, now longer, bytes stopped (0
 * at first), so that a head that drips in is looked at once only. Returns the
 * bytes of the head, 0 when more are needed, NOC_EMALFORMED as soon as a byte
 * is seen that no head may have, or NOC_ETOOLARGE past NOC_HTTP_HEAD_MAX.
 */
#define NOC_HTTP_HEAD_MAX 1048576u

NOC_MUST_CHECK int noc_http_head_scan(const uint8_t *bytes, size_t n, size_t *scanned);

/*
 * Split the first line off *rest, which ends with a whole line; the CRLF is
 * dropped. False at the end, or when no CRLF is left.
 */
bool noc_http_line_next(struct noc_slice *rest, struct noc_slice *ret_line);

/*
 * Take one line at the start of bytes[0..n): returns its bytes with the CRLF,
 * which *ret_line is without; 0 when it is not all here; or NOC_EMALFORMED.
 */
NOC_MUST_CHECK int noc_http_line_take(const uint8_t *bytes, size_t n, struct noc_slice *ret_line);

/* Is the text free of line ends and other control characters, the tab aside? */
bool noc_http_is_clean(struct noc_slice text);

/* Read one line, without its CRLF. NOC_OK or NOC_EMALFORMED (a folded line among others). */
NOC_MUST_CHECK int noc_http_field_parse(struct noc_slice line, struct noc_http_field *ret_field);

/*
 * The value of the next field of that name (any case) in the lines of a
 * checked head; *iter is 0 for the first one. An absent slice (at == NULL) if
 * there is none. To join repeated lines as a list, take all of them in order.
 */
struct noc_slice noc_http_field_find(struct noc_slice lines, struct noc_slice name, size_t *iter);

/*
 * Take the next element off a comma separated list, blanks cut off, empty
 * elements skipped. False when there is none left.
 */
bool noc_http_list_next(struct noc_slice *rest, struct noc_slice *ret_item);

/* Has the comma separated list that element, in any case? */
bool noc_http_list_has(struct noc_slice list, struct noc_slice item);

/* Are both the same but for the case of ASCII letters? */
bool noc_http_is_same(struct noc_slice a, struct noc_slice b);

/* One or more of the characters that names and methods are made of (RFC 9110, 5.6.2). */
bool noc_http_is_token(struct noc_slice text);

/* ---- writing: text is appended while it fits ---- */

struct noc_http_out {
    char *at;     /* where it goes */
    size_t room;  /* bytes there */
    size_t n;     /* bytes written */
    bool is_over; /* something did not fit */
};

void noc_http_put(struct noc_http_out *out, struct noc_slice text);
void noc_http_put_text(struct noc_http_out *out, const char *text);
void noc_http_put_number(struct noc_http_out *out, size_t number);

#endif
