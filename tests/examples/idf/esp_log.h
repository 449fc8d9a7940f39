/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdio.h>
#define ESP_LOGI(tag, format, ...) ((void)printf("%s: " format "\n", tag, ##__VA_ARGS__))
#define ESP_LOGW                   ESP_LOGI
#define ESP_LOGE                   ESP_LOGI
