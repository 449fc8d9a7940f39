/* SPDX-License-Identifier: Apache-2.0 */
#include "wifi.h"

#include <string.h>

#include "esp_err.h"
#include "esp_event.h"
#include "esp_netif.h"
#include "esp_wifi.h"
#include "freertos/FreeRTOS.h"
#include "freertos/event_groups.h"
#include "nvs_flash.h"

enum { HAS_ADDRESS = 1 << 0 };

static EventGroupHandle_t state;

static void on_event(void *context, esp_event_base_t base, int32_t id, void *data)
{
    (void)context;
    (void)data;
    if (base == IP_EVENT && id == IP_EVENT_STA_GOT_IP) {
        xEventGroupSetBits(state, HAS_ADDRESS);
    } else if (base == WIFI_EVENT && id == WIFI_EVENT_STA_DISCONNECTED) {
        xEventGroupClearBits(state, HAS_ADDRESS);
        (void)esp_wifi_connect(); /* a failure comes back as the same event */
    } else if (base == WIFI_EVENT && id == WIFI_EVENT_STA_START) {
        (void)esp_wifi_connect();
    }
}

/* Wi-Fi keeps its calibration in flash. What another firmware left there may have to go first. */
static void open_storage(void)
{
    esp_err_t err = nvs_flash_init();

    if (err == ESP_ERR_NVS_NO_FREE_PAGES || err == ESP_ERR_NVS_NEW_VERSION_FOUND) {
        ESP_ERROR_CHECK(nvs_flash_erase());
        err = nvs_flash_init();
    }
    ESP_ERROR_CHECK(err);
}

void wifi_start(void)
{
    wifi_init_config_t init = WIFI_INIT_CONFIG_DEFAULT();
    wifi_config_t station;

    memset(&station, 0, sizeof(station));
    _Static_assert(
        sizeof(CONFIG_EXAMPLE_WIFI_SSID) - 1 <= sizeof(station.sta.ssid), "SSID too long");
    _Static_assert(sizeof(CONFIG_EXAMPLE_WIFI_PASSWORD) <= sizeof(station.sta.password),
        "Wi-Fi password too long");
    memcpy(station.sta.ssid, CONFIG_EXAMPLE_WIFI_SSID, sizeof(CONFIG_EXAMPLE_WIFI_SSID) - 1);
    memcpy(
        station.sta.password, CONFIG_EXAMPLE_WIFI_PASSWORD, sizeof(CONFIG_EXAMPLE_WIFI_PASSWORD));

    state = xEventGroupCreate();
    configASSERT(state != NULL);
    open_storage();
    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    (void)esp_netif_create_default_wifi_sta();
    ESP_ERROR_CHECK(esp_wifi_init(&init));
    ESP_ERROR_CHECK(
        esp_event_handler_instance_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, NULL, NULL));
    ESP_ERROR_CHECK(
        esp_event_handler_instance_register(IP_EVENT, IP_EVENT_STA_GOT_IP, on_event, NULL, NULL));
    ESP_ERROR_CHECK(esp_wifi_set_mode(WIFI_MODE_STA));
    ESP_ERROR_CHECK(esp_wifi_set_config(WIFI_IF_STA, &station));
    ESP_ERROR_CHECK(esp_wifi_start());
}

void wifi_wait(void)
{
    (void)xEventGroupWaitBits(state, HAS_ADDRESS, pdFALSE, pdTRUE, portMAX_DELAY);
}
