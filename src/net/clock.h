/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_NET_CLOCK_H
#define NOC_NET_CLOCK_H
/* The clocks. Only the glue reads them and tells the core. Any thread. */

#include <stdint.h>

/* Milliseconds since some moment before the process started; never goes back. For timers. */
uint64_t noc_clock_ms(void);

/* The same clock in nanoseconds, for measuring. */
uint64_t noc_clock_ns(void);

/* Milliseconds since 1970, UTC, as the system believes. May jump. For people and files. */
int64_t noc_clock_wall_ms(void);

#endif
