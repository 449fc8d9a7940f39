/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <Client.h>
enum wl_status_t { WL_IDLE_STATUS = 0, WL_CONNECTED = 3 };
struct WiFiClass {
    wl_status_t begin(const char *ssid, const char *password);
    wl_status_t status();
};
extern WiFiClass WiFi;
