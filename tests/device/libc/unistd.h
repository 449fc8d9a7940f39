/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_DEVICE_UNISTD_H
#define NOC_DEVICE_UNISTD_H
/* System calls of Linux: see linux.c. Failures are negative numbers. */

#include <stddef.h>

long read(int file, void *at, size_t n);
long write(int file, const void *at, size_t n);
int close(int file);
_Noreturn void _exit(int status);

#endif
