/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BASE_HASH_H
#define NOC_BASE_HASH_H
/*
 * A fast 64-bit hash of a run of bytes for in-memory tables. It is keyed with
 * a seed drawn at start, so that a peer who chooses the text can't choose the
 * collisions; it is not for signatures. The same on every call with the same
 * seed, different between machines of different byte order.
 */

#include <stddef.h>
#include <stdint.h>

uint64_t noc_hash(uint64_t seed, const void *bytes, size_t n);

/* One more integer mixed into a hash. */
uint64_t noc_hash_mix(uint64_t hash, uint64_t value);

#endif
