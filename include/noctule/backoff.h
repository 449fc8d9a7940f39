/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_BACKOFF_H
#define NOCTULE_BACKOFF_H
/*
 * When to connect again. Exponential back-off with full jitter, so that a
 * fleet does not come back all at once; and a policy for each cause.
 */

#include <stdint.h>

#include <noctule/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/* No use in trying again by itself: somebody must change something first. */
#define NOC_NEVER UINT32_MAX

/* Zero is the default everywhere; so an object that is all zero is ready for use. */
struct noc_backoff {
    uint32_t min_ms;  /* upper end of the first wait; 0: 1 second */
    uint32_t max_ms;  /* upper end of the longest; 0: 5 minutes */
    uint32_t open_ms; /* when the connection was accepted */
    uint8_t failures;
    bool has_been_open; /* since the last failure */
    bool was_at_once;   /* a loss was followed by an attempt at once; none has held since */
};

/* How long a connection must have been open for what was before it to be forgotten. */
#define NOC_BACKOFF_HOLDS_MS 60000u

/* The connection was accepted (NOC_EVENT_CONNECTED), at that time. */
NOC_PUBLIC void noc_backoff_connected(struct noc_backoff *backoff, uint32_t now_ms);

/*
 * How long to wait before the next attempt, in milliseconds, after it ended for that
 * cause, now. random: 32 random bits. Each failure counts until a connection has held for
 * NOC_BACKOFF_HOLDS_MS; one that is accepted and soon lost, as where two clients without a
 * reason code push each other out, ends no series of failures.
 *
 *   lost after it had been open    at once, the first time; then as others
 *   bad credentials, not authorised, banned, bad method, client id    the longest wait, jittered upwards
 *   server busy, quota, rate, 429, 503    at least as long as the server asks
 *   use another server, server moved      NOC_NEVER: the address must change (server_reference in the event)
 *   asked for, unsupported version        NOC_NEVER
 *   session taken over             the longest wait: two clients with one id would push each other out for ever
 *   all others                     0 .. min(max_ms, min_ms << failures)
 */
NOC_PUBLIC uint32_t noc_backoff_ms(
    struct noc_backoff *backoff, const struct noc_cause *cause, uint32_t now_ms, uint32_t random);

#ifdef __cplusplus
}
#endif

#endif
