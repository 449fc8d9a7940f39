/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <Arduino.h>
class Client {
  public:
    virtual ~Client() = default;
    virtual int connect(const char *host, uint16_t port) = 0;
    virtual size_t write(const uint8_t *bytes, size_t n) = 0;
    virtual int available() = 0;
    virtual int read(uint8_t *bytes, size_t n) = 0;
    virtual void stop() = 0;
    virtual uint8_t connected() = 0;
    void setTimeout(unsigned long ms);
};
