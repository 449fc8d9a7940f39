/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_DEVICE_STDIO_H
#define NOC_DEVICE_STDIO_H

#include <stdarg.h>
#include <stddef.h>

/* As in ISO C, but of conversions %c %s %u %x alone, with a width, a leading 0 and l. */
int vsnprintf(char *restrict at, size_t room, const char *restrict format, va_list args);

#endif
