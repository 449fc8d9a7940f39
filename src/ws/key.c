/* SPDX-License-Identifier: Apache-2.0 */
#include "ws/key.h"

#include "base/base64.h"

bool noc_ws_key_is_valid(struct noc_slice key)
{
    /* 16 bytes are 21 characters of 6 bits, one whose low 4 bits are zero, and the padding. */
    if (key.n != NOC_WS_KEY_SIZE || key.at[22] != '=' || key.at[23] != '=') {
        return false;
    }
    for (size_t i = 0; i < 22; i++) {
        if (!noc_base64_is_digit(key.at[i])) {
            return false;
        }
    }
    return memchr("AQgw", key.at[21], 4) != NULL;
}

int noc_ws_accept_compute(
    noc_ws_sha1_fn sha1, struct noc_slice key, char ret_accept[NOC_WS_ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[NOC_WS_KEY_SIZE + sizeof guid - 1];
    uint8_t digest[20];
    int err;

    if (!noc_ws_key_is_valid(key)) {
        return NOC_EINVAL;
    }
    memcpy(text, key.at, NOC_WS_KEY_SIZE);
    memcpy(text + NOC_WS_KEY_SIZE, guid, sizeof guid - 1);
    err = sha1(text, sizeof text, digest);
    if (err != NOC_OK) {
        return err;
    }
    (void)noc_base64_encode(ret_accept, digest, sizeof digest);
    return NOC_OK;
}
