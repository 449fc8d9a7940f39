/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MQTT over secure WebSocket on port 443, as through a tunnel: user and password, a will,
 * QoS 1 over lost connections, and back-off. Fill in the five lines below.
 */
#include <NoctuleTransport.h>
#include <WiFi.h>
#include <WiFiClientSecure.h>
#include <esp_random.h>
#include <time.h>

static const char WIFI_SSID[] = "";
static const char WIFI_PASSWORD[] = "";
static const char HOST[] = "mqtt.example.com";
static const char USER[] = "esp_user";
static const char PASSWORD[] = "";

/* The certificate of the authority that signed the server's: PEM, between the quotes. */
static const char CA[] = "";

static const uint32_t REPORT_MS = 30000;

static WiFiClientSecure tls;
static NoctuleTransport transport(tls, HOST, 443);
static noc_client client;
static noc_client_options options;
static noc_client_websocket websocket;
static noc_client_will will;
static noc_backoff backoff;
static noc_ring_outbox ring;
static uint32_t outbox[1024];
static uint8_t in[1024], out[1024];
static uint16_t received[8];
static uint32_t reported_ms, retry_ms;
static bool is_open, is_given_up;

static uint32_t random_bits(void *)
{
    return esp_random();
}

static void publish(const char *topic, const char *text, bool retain)
{
    noc_client_message message = {};
    int err;

    message.topic = noc_slice_of(topic);
    message.payload = noc_slice_of(text);
    message.qos = 1;
    message.retain = retain;
    err = noc_client_publish(&client, &message, NULL);
    if (err != NOC_OK) {
        Serial.printf("not published: %s\n", noc_error_text(err));
    }
}

static void greet()
{
    noc_client_filter filter = {noc_slice_of("devices/esp32-1/set"), 1};

    if (noc_client_subscribe(&client, &filter, 1, noc_slice_of(NULL), NULL) != NOC_OK) {
        Serial.println("not subscribed");
    }
    publish("devices/esp32-1/status", "online", true);
}

static void handle_closed(const noc_event &event)
{
    uint32_t wait_ms = noc_backoff_ms(&backoff, &event.cause, millis(), esp_random());

    Serial.printf("%s (%u)\n", noc_cause_text(&event.cause), event.cause.code);
    transport.close(&transport);
    is_open = false;
    is_given_up = wait_ms == NOC_NEVER; /* somebody must change the settings */
    retry_ms = millis() + wait_ms;
}

static void handle_events()
{
    noc_event event;

    while (noc_client_next(&client, millis(), &event)) {
        switch (event.kind) {
        case NOC_EVENT_CONNECTED:
            Serial.println("connected");
            noc_backoff_connected(&backoff, millis());
            greet();
            break;
        case NOC_EVENT_MESSAGE:
            Serial.printf("%.*s: %.*s\n", NOC_SLICE_ARG(event.topic), NOC_SLICE_ARG(event.payload));
            break;
        case NOC_EVENT_CLOSED:
            handle_closed(event);
            break;
        default:
            break;
        }
    }
}

static void connect_again()
{
    noc_cause lost = {NOC_CAUSE_LOST, 0, 0};
    char why[100] = "";

    if (transport.open(&transport, 15000) == NOC_OK) {
        is_open = noc_client_start(&client, millis()) == NOC_OK;
    } else {
        (void)tls.lastError(why, sizeof(why));
        Serial.printf("no connection: %s\n", why);
        retry_ms = millis() + noc_backoff_ms(&backoff, &lost, millis(), esp_random());
    }
}

void setup()
{
    Serial.begin(115200);
    WiFi.begin(WIFI_SSID, WIFI_PASSWORD);
    while (WiFi.status() != WL_CONNECTED) {
        delay(100);
    }
    configTime(0, 0, "pool.ntp.org"); /* certificates can't be judged before the time is known */
    while (time(NULL) < 1700000000) {
        delay(100);
    }
    tls.setCACert(CA);

    websocket.host = noc_slice_of(HOST);
    will.topic = noc_slice_of("devices/esp32-1/status");
    will.payload = noc_slice_of("offline");
    will.qos = 1;
    will.retain = true;
    options.client_id = noc_slice_of("esp32-1");
    options.username = noc_slice_of(USER);
    options.password = noc_slice_of(PASSWORD);
    options.will = &will;
    options.websocket = &websocket;
    options.outbox = noc_ring_outbox_init(&ring, outbox, sizeof(outbox));
    options.received = received;
    options.received_max = sizeof(received) / sizeof(received[0]);
    options.keep_session = true;
    options.random = random_bits;
    is_given_up = noc_client_init(&client, &options, in, sizeof(in), out, sizeof(out)) != NOC_OK;
}

void loop()
{
    if (is_given_up) {
        delay(1000);
    } else if (is_open) {
        if (millis() - reported_ms >= REPORT_MS) {
            char text[24];

            reported_ms = millis();
            snprintf(text, sizeof(text), "%lu", (unsigned long)(millis() / 1000));
            publish("devices/esp32-1/uptime", text, false);
        }
        noc_client_turn(&client, &transport, NoctuleTransport::now, 100);
        handle_events();
    } else if ((int32_t)(millis() - retry_ms) >= 0) {
        connect_again();
    }
}
