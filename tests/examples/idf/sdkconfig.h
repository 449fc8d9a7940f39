/* SPDX-License-Identifier: Apache-2.0 */
/* What `idf.py menuconfig` would write. */
#pragma once
#define CONFIG_EXAMPLE_WIFI_SSID     "network"
#define CONFIG_EXAMPLE_WIFI_PASSWORD "secret"
#define CONFIG_EXAMPLE_HOST          "mqtt.example.com"
#define CONFIG_EXAMPLE_PORT          443
#define CONFIG_EXAMPLE_PATH          "/"
#define CONFIG_EXAMPLE_CLIENT_ID     "esp32-1"
#define CONFIG_EXAMPLE_USER          "esp_user"
#define CONFIG_EXAMPLE_PASSWORD      "secret"
#define CONFIG_EXAMPLE_TOPIC         "devices/esp32-1"
