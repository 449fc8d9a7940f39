/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdint.h>
extern "C" {
uint32_t esp_random(void);
}
