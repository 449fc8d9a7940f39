/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For those who keep the WebSockets library of links2004: it carries the bytes, and this library
 * makes and reads them: the CONNECT (user name, password and clean session, flags 0xC2) and all
 * that follows, instead of packets written by hand.
 */
#include <NoctuleTransport.h>
#include <WebSocketsClient.h>
#include <WiFi.h>
#include <esp_random.h>

static const char WIFI_SSID[] = "";
static const char WIFI_PASSWORD[] = "";
static const char HOST[] = "mqtt.example.com";
static const char USER[] = "esp_user";
static const char PASSWORD[] = "";

/* The certificate of the authority that signed the server's: PEM, between the quotes. */
static const char CA[] = "";

static WebSocketsClient socket_;
static noc_client client;
static noc_client_options options;
static uint8_t in[1024], out[1024];

static uint32_t random_bits(void *)
{
    return esp_random();
}

/* Each piece of output goes as one binary frame; MQTT does not mind where frames end. */
static void flush()
{
    const uint8_t *bytes;
    size_t n;

    while ((bytes = noc_client_peek(&client, millis(), &n)), n > 0) {
        if (!socket_.sendBIN(bytes, n)) {
            return;
        }
        noc_client_sent(&client, n, millis());
    }
}

static void handle_events()
{
    noc_event event;

    while (noc_client_next(&client, millis(), &event)) {
        if (event.kind == NOC_EVENT_CONNECTED) {
            noc_client_message hello = {};

            hello.topic = noc_slice_of("test/topic");
            hello.payload = noc_slice_of("Hello Cloudflare");
            if (noc_client_publish(&client, &hello, NULL) != NOC_OK) {
                Serial.println("not published");
            }
        } else if (event.kind == NOC_EVENT_MESSAGE) {
            Serial.printf("%.*s: %.*s\n", NOC_SLICE_ARG(event.topic), NOC_SLICE_ARG(event.payload));
        } else if (event.kind == NOC_EVENT_CLOSED) {
            Serial.printf("%s (%u)\n", noc_cause_text(&event.cause), event.cause.code);
            socket_.disconnect(); /* the library connects again after its interval */
        }
    }
}

/* Bytes of a frame, as many at a time as there is room for. */
static void take(const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        size_t room;
        uint8_t *at = noc_client_room(&client, &room);
        size_t some = n < room ? n : room;

        if (some == 0) {
            return; /* closed meanwhile */
        }
        memcpy(at, bytes, some);
        noc_client_received(&client, some, millis());
        handle_events();
        flush();
        bytes += some;
        n -= some;
    }
}

static void on_event(WStype_t type, uint8_t *payload, size_t length)
{
    switch (type) {
    case WStype_CONNECTED:
        if (noc_client_start(&client, millis()) != NOC_OK) {
            Serial.println("the options are not good");
        }
        break;
    case WStype_BIN:
        take(payload, length);
        break;
    case WStype_DISCONNECTED:
        noc_client_lost(&client);
        break;
    default:
        break;
    }
}

void setup()
{
    Serial.begin(115200);
    WiFi.begin(WIFI_SSID, WIFI_PASSWORD);
    while (WiFi.status() != WL_CONNECTED) {
        delay(100);
    }
    options.client_id = noc_slice_of("esp32-1");
    options.username = noc_slice_of(USER);
    options.password = noc_slice_of(PASSWORD);
    options.random = random_bits;
    if (noc_client_init(&client, &options, in, sizeof(in), out, sizeof(out)) != NOC_OK) {
        Serial.println("the options are not good");
    }
    socket_.beginSslWithCA(HOST, 443, "/", CA, "mqtt");
    socket_.onEvent(on_event);
    socket_.setReconnectInterval(5000);
}

void loop()
{
    socket_.loop();
    handle_events();
    flush();
}
