/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdint.h>
#include <stdlib.h>
typedef uint32_t TickType_t;
typedef int BaseType_t;
#define pdFALSE           0
#define pdTRUE            1
#define portMAX_DELAY     0xffffffffu
#define pdMS_TO_TICKS(ms) ((TickType_t)(ms))
#define configASSERT(x) \
    do {                \
        if (!(x)) {     \
            abort();    \
        }               \
    } while (0)
