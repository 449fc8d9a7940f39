/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_STORE_EXPORT_H
#define NOC_STORE_EXPORT_H
/* The way back: what our own store holds, as a mosquitto.db of version 6, which Mosquitto 2.0 and 2.1 load. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/macros.h"
#include "store/store.h"

struct noc_export_counts {
    uint64_t sessions, subscriptions, messages, retained; /* written */
    uint64_t wills;                                       /* left out: the format has none */
    uint64_t expired;  /* messages left out as their time is over */
    uint64_t left_out; /* what the format can't hold */
};

/*
 * Write all of a store that was opened, and not loaded or started, to out, which can be sought in. Times are taken
 * from the store's clocks. Returns NOC_OK, NOC_ENOMEM, NOC_EIO with errno (of out; error is empty then), or what
 * noc_store_load() returns, with its error.
 */
NOC_MUST_CHECK int noc_export_mosquitto(struct noc_store *store,
    const struct noc_store_options *options, FILE *out, struct noc_export_counts *ret_counts,
    char *error, size_t error_n);

#endif
