/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_TESTS_DESCRIBE_H
#define NOC_TESTS_DESCRIBE_H
/* One packet as a line of text, and encoded again: for the vectors, the mutations and the fuzzer. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Decode the packet at packet[0..n) as version would, sent by a client or not,
 * and write what was seen to text[0..room): its fields, "malformed FIELD @N",
 * "proto FIELD @N", "unsupported N" or "incomplete". Returns true when it decoded.
 */
bool describe(
    unsigned version, bool from_client, const uint8_t *packet, size_t n, char *text, size_t room);

/*
 * Decode the packet and encode it again to at[0..room). Returns the length, 0
 * when the packet does not decode or our encoder can't say what it holds.
 */
size_t encode_again(
    unsigned version, bool from_client, const uint8_t *packet, size_t n, uint8_t *at, size_t room);

#endif
