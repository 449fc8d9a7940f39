/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_DEVICE_UNISTD_H
#define NOC_DEVICE_UNISTD_H
/* System calls of Linux, in the assembler file of each target. Failures are negative numbers. */

#include <stddef.h>

long read(int file, void *at, size_t n);
long write(int file, const void *at, size_t n);
_Noreturn void _exit(int status);

#endif
