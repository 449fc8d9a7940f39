/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that speaks MQTT over secure WebSocket, as through a tunnel on port
 * 443. It says on TOPIC/status whether it is there ("online", and "offline" as its
 * will), publishes its uptime twice a minute on TOPIC/uptime, and logs what comes on
 * TOPIC/set. Messages that could not be delivered wait in a ring in memory.
 */
#include <stdio.h>
#include <string.h>

#include "esp_log.h"
#include "esp_netif_sntp.h"
#include "esp_random.h"
#include "esp_timer.h"
#include "esp_tls_transport.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "wifi.h"

enum { REPORT_MS = 30000, OPEN_MS = 15000, TURN_MS = 1000 };

static const char *TAG = "mqtt";

#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }

static uint32_t now_ms(void)
{
    return (uint32_t)(esp_timer_get_time() / 1000);
}

static uint32_t random_bits(void *context)
{
    (void)context;
    return esp_random();
}

static const struct noc_client_websocket websocket = {.host = TEXT(CONFIG_EXAMPLE_HOST),
    .path = TEXT(CONFIG_EXAMPLE_PATH),
    .user_agent = TEXT("esp32")};

static const struct noc_client_will will = {.topic = TEXT(CONFIG_EXAMPLE_TOPIC "/status"),
    .payload = TEXT("offline"),
    .qos = 1,
    .retain = true};

/* All that the client works in. */
static struct {
    struct noc_client client;
    struct noc_client_options options;
    struct noc_backoff backoff;
    struct noc_ring_outbox ring;
    struct esp_tls_transport tls;
    _Alignas(4) uint8_t outbox[4096];
    uint8_t in[1024], out[1024];
    uint16_t received[8];
    uint32_t reported_ms;
} device;

static void publish(const char *topic, const char *text, bool retain)
{
    struct noc_client_message message = {
        .topic = noc_slice_of(topic), .payload = noc_slice_of(text), .qos = 1, .retain = retain};
    int err = noc_client_publish(&device.client, &message, NULL);

    if (err != NOC_OK) {
        ESP_LOGW(TAG, "not published: %s", noc_error_text(err));
    }
}

static void greet(void)
{
    struct noc_client_filter filter = {.filter = TEXT(CONFIG_EXAMPLE_TOPIC "/set"), .options = 1};
    int err = noc_client_subscribe(&device.client, &filter, 1, noc_slice_of(NULL), NULL);

    if (err != NOC_OK) {
        ESP_LOGW(TAG, "not subscribed: %s", noc_error_text(err));
    }
    publish(CONFIG_EXAMPLE_TOPIC "/status", "online", true);
}

static void report(void)
{
    char text[24];

    if (now_ms() - device.reported_ms >= REPORT_MS) {
        device.reported_ms = now_ms();
        (void)snprintf(text, sizeof(text), "%lu", (unsigned long)(now_ms() / 1000));
        publish(CONFIG_EXAMPLE_TOPIC "/uptime", text, false);
    }
}

/* Handle what happened. Returns false when the connection is over; *ret_cause says why. */
static bool handle_events(struct noc_cause *ret_cause)
{
    struct noc_event event;

    while (noc_client_next(&device.client, now_ms(), &event)) {
        switch (event.kind) {
        case NOC_EVENT_CONNECTED:
            ESP_LOGI(TAG, "connected, session %s", event.session_present ? "kept" : "new");
            noc_backoff_connected(&device.backoff, now_ms());
            greet();
            break;
        case NOC_EVENT_MESSAGE:
            ESP_LOGI(TAG, "%.*s: %.*s", NOC_SLICE_ARG(event.topic), NOC_SLICE_ARG(event.payload));
            break;
        case NOC_EVENT_CLOSED:
            ESP_LOGW(TAG, "%s (%u) %.*s", noc_cause_text(&event.cause), event.cause.code,
                NOC_SLICE_ARG(event.payload));
            *ret_cause = event.cause;
            return false;
        default:
            break;
        }
    }
    return true;
}

/* One connection, from opening to its end. */
static struct noc_cause run_once(void)
{
    struct noc_transport *transport = &device.tls.transport;
    struct noc_cause cause = {.kind = NOC_CAUSE_LOST};
    int err;

    if (transport->open(transport, OPEN_MS) != NOC_OK) {
        ESP_LOGW(TAG, "no connection to %s", CONFIG_EXAMPLE_HOST);
        return cause;
    }
    err = noc_client_start(&device.client, now_ms());
    if (err != NOC_OK) {
        ESP_LOGE(TAG, "no CONNECT: %s", noc_error_text(err));
    } else {
        while (handle_events(&cause)) {
            report();
            noc_client_turn(&device.client, transport, now_ms, TURN_MS);
        }
    }
    transport->close(transport);
    return cause;
}

/* Certificates can't be judged before the time is known. */
static void wait_for_time(void)
{
    esp_sntp_config_t sntp = ESP_NETIF_SNTP_DEFAULT_CONFIG("pool.ntp.org");

    ESP_ERROR_CHECK(esp_netif_sntp_init(&sntp));
    while (esp_netif_sntp_sync_wait(pdMS_TO_TICKS(10000)) != ESP_OK) {
        ESP_LOGW(TAG, "waiting for the time");
    }
}

void app_main(void)
{
    wifi_start();
    wifi_wait();
    wait_for_time();
    device.options = (struct noc_client_options){
        .client_id = TEXT(CONFIG_EXAMPLE_CLIENT_ID),
        .username = TEXT(CONFIG_EXAMPLE_USER),
        .password = TEXT(CONFIG_EXAMPLE_PASSWORD),
        .will = &will,
        .websocket = &websocket,
        .outbox = noc_ring_outbox_init(&device.ring, device.outbox, sizeof(device.outbox)),
        .received = device.received,
        .received_max = sizeof(device.received) / sizeof(device.received[0]),
        .keep_session = true,
        .random = random_bits,
    };
    esp_tls_transport_init(&device.tls, CONFIG_EXAMPLE_HOST, CONFIG_EXAMPLE_PORT);
    if (noc_client_init(&device.client, &device.options, device.in, sizeof(device.in), device.out,
            sizeof(device.out)) != NOC_OK) {
        ESP_LOGE(TAG, "the options are not good");
        return;
    }
    for (;;) {
        struct noc_cause cause;
        uint32_t wait_ms;

        wifi_wait();
        cause = run_once();
        wait_ms = noc_backoff_ms(&device.backoff, &cause, now_ms(), esp_random());
        if (wait_ms == NOC_NEVER) {
            ESP_LOGE(TAG, "not again by itself: change the settings");
            return;
        }
        vTaskDelay(pdMS_TO_TICKS(wait_ms));
    }
}
