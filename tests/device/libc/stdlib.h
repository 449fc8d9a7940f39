/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_DEVICE_STDLIB_H
#define NOC_DEVICE_STDLIB_H

#include <stddef.h>

_Noreturn void abort(void);

/* What is allocated later must be freed earlier. */
void *malloc(size_t n);
void free(void *at);

#endif
