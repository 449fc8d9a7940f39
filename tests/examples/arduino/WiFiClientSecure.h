/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <Client.h>
class WiFiClientSecure : public Client {
  public:
    int connect(const char *host, uint16_t port) override;
    size_t write(const uint8_t *bytes, size_t n) override;
    int available() override;
    int read(uint8_t *bytes, size_t n) override;
    void stop() override;
    uint8_t connected() override;
    int lastError(char *text, const size_t size);
    void setCACert(const char *pem);
};
