/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_DEVICE_STACK_H
#define NOC_DEVICE_STACK_H
/*
 * How much of the stack a call takes: paint what lies below, call, look how much is no longer
 * painted. In the assembler file of each target; stack_host.c knows nothing.
 */

#include <stddef.h>

/* Paint n bytes, a multiple of four, below the caller's frame. */
void stack_paint(size_t n);

/* How many of those n have been written to since, up to the deepest. The same function must ask. */
size_t stack_used(size_t n);

#endif
