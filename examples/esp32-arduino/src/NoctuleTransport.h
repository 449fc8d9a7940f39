/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_TRANSPORT_H
#define NOCTULE_TRANSPORT_H
/*
 * The client library for Arduino: noctule.h and noctule.c beside this file (`make amalgamation` in
 * the project writes them), and a transport over any Arduino Client. Not Noctule.h: on Windows
 * and macOS that and noctule.h would be one file.
 */

#include <Arduino.h>
#include <Client.h>

#include "noctule.h"

/*
 * A transport over a Client: WiFiClient, WiFiClientSecure, EthernetClient ... One that
 * does TLS must have been told whom to trust before. client and host must outlive it. How long
 * connecting may take is for most of them a setting of their own, whatever open() is told.
 */
class NoctuleTransport : public noc_transport {
  public:
    NoctuleTransport(Client &client, const char *host, uint16_t port)
        : client_(client), host_(host), port_(port)
    {
        open = open_it;
        read = read_some;
        write = write_some;
        close = close_it;
        wait_writable = NULL; /* a Client cannot */
    }

    /* Milliseconds, for noc_client_turn(). */
    static uint32_t now()
    {
        return millis();
    }

  private:
    Client &client_;
    const char *host_;
    uint16_t port_;

    static NoctuleTransport *self(noc_transport *transport)
    {
        return static_cast<NoctuleTransport *>(transport);
    }

    static int open_it(noc_transport *transport, uint32_t timeout_ms)
    {
        NoctuleTransport *t = self(transport);

        t->client_.setTimeout(timeout_ms);
        return t->client_.connect(t->host_, t->port_) == 1 ? NOC_OK : NOC_EIO;
    }

    static int read_some(noc_transport *transport, void *bytes, size_t n, uint32_t timeout_ms)
    {
        NoctuleTransport *t = self(transport);
        uint32_t begun = millis();
        int got;

        while (t->client_.available() <= 0) {
            if (!t->client_.connected()) {
                return NOC_ECLOSED;
            }
            if (millis() - begun >= timeout_ms) {
                return 0;
            }
            delay(1);
        }
        got = t->client_.read(static_cast<uint8_t *>(bytes), n);
        return got < 0 ? 0 : got;
    }

    static int write_some(noc_transport *transport, const void *bytes, size_t n)
    {
        NoctuleTransport *t = self(transport);
        size_t put = t->client_.write(static_cast<const uint8_t *>(bytes), n);

        return put == 0 && !t->client_.connected() ? NOC_ECLOSED : static_cast<int>(put);
    }

    static void close_it(noc_transport *transport)
    {
        self(transport)->client_.stop();
    }
};

#endif
