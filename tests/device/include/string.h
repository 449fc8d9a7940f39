/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_DEVICE_STRING_H
#define NOC_DEVICE_STRING_H
/* All that the sources for devices may ask of a C library: beside this, freestanding headers only. */

#include <stddef.h>

void *memchr(const void *at, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *at, int byte, size_t n);
size_t strlen(const char *text);

#endif
