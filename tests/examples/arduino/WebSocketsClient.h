/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <Arduino.h>
#include <functional>
typedef enum {
    WStype_ERROR,
    WStype_DISCONNECTED,
    WStype_CONNECTED,
    WStype_TEXT,
    WStype_BIN,
} WStype_t;
class WebSocketsClient {
  public:
    typedef std::function<void(WStype_t type, uint8_t *payload, size_t length)>
        WebSocketClientEvent;
    void beginSslWithCA(
        const char *host, uint16_t port, const char *url, const char *ca, const char *protocol);
    void onEvent(WebSocketClientEvent event);
    void setReconnectInterval(unsigned long ms);
    bool sendBIN(const uint8_t *payload, size_t length, bool headerToPayload = false);
    void disconnect();
    void loop();
};
