/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BROKER_HEAP_H
#define NOC_BROKER_HEAP_H
/*
 * How much heap is in use, counted as it is taken and given back. The linker leads every
 * malloc(), calloc(), realloc(), aligned_alloc(), strdup() and free() of the program here
 * (--wrap, see meson.build), and OpenSSL is told to do the same.
 *
 * Why not ask the allocator: mallinfo2() walks all free chunks under the locks that the workers
 * allocate with, and at a million of them they wait a third of a second for it. The resident size
 * is no measure, since it stays when memory is given back in pieces.
 *
 * Memory that a library takes and we free(), or the other way round, would falsify the
 * count: getline(), realpath(path, NULL) and their like are not used in the broker.
 */

#include <stdint.h>

/*
 * Have OpenSSL's memory counted, too: to be called before anything else of OpenSSL's is. And have
 * the allocator join small free chunks as they come. By default it lets them pile up, and whoever
 * asks for more than a kilobyte next joins them all: half a second, where a million were freed.
 */
void noc_heap_init(void);

/* Bytes in use, headers of the allocator included; each thread may be 16 KiB off. Any thread. */
uint64_t noc_heap_bytes_mt(void);

#endif
