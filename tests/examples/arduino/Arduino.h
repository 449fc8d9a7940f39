/* SPDX-License-Identifier: Apache-2.0 */
/* Stand-in, see the README one folder up. */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <string.h>
unsigned long millis();
void delay(uint32_t ms);
void configTime(long offset_s, int daylight_s, const char *server);
struct SerialPort {
    void begin(unsigned long baud);
    void println(const char *text);
    int printf(const char *format, ...) __attribute__((format(printf, 2, 3)));
};
extern SerialPort Serial;
