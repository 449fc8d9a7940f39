/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_NET_LOG_LINE_H
#define NOC_NET_LOG_LINE_H
/* The shape of a log line: what is escaped, where it is cut, the time before it. No I/O. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <noctule/slice.h>

/*
 * Copy text so that it stays one line and moves no cursor: control characters (C0 but for tab,
 * DEL, and C1 in UTF-8), U+2028 and U+2029 become \n, \r or \xNN. What does
 * not fit is left out, whole characters and escapes only. Returns the bytes written; no
 * zero byte.
 */
size_t noc_log_escape(struct noc_slice text, char *out, size_t size);

/* The longest start of text within n bytes that does not end inside a character. */
size_t noc_log_cut(struct noc_slice text, size_t n);

/* The time before a line, made once a second. */
struct noc_log_stamp {
    char format[128]; /* strftime's, or "" for unix seconds */
    bool is_off;      /* no time at all */
    time_t second;    /* the one that text is of */
    bool is_made;     /* text is good for it */
    size_t n;         /* bytes of text */
    char text[160];   /* "1700000000: " */
};

/* format NULL: unix seconds. Returns 0 or NOC_EINVAL (too long). */
int noc_log_stamp_init(struct noc_log_stamp *stamp, bool is_off, const char *format);

/* What goes before a line of that moment; good until the next call. */
struct noc_slice noc_log_stamp_text(struct noc_log_stamp *stamp, int64_t wall_ms);

#endif
