/* SPDX-License-Identifier: Apache-2.0 */
#include "mqtt/wire.h"

#include "base/bytes.h"
#include "base/utf8.h"

int noc_fault_at(struct noc_fault *fault, int err, const char *field, size_t offset)
{
    *fault = (struct noc_fault){field, offset};
    return err;
}

int noc_body_packet_id(
    const struct noc_slice *body, uint16_t *ret_packet_id, struct noc_fault *fault)
{
    const char *field = NOC_TEXT("packet identifier");
    uint16_t packet_id;

    if (body->n < 2) {
        return noc_fault_at(fault, NOC_EMALFORMED, field, 0);
    }
    packet_id = noc_get_u16((const uint8_t *)body->at);
    if (packet_id == 0) {
        return noc_fault_at(fault, NOC_EPROTO, field, 0);
    }
    *ret_packet_id = packet_id;
    return NOC_OK;
}

int noc_body_props(unsigned packet_of, const struct noc_slice *body, size_t at,
    struct noc_props *ret_props, struct noc_fault *fault)
{
    int used =
        noc_props_decode(packet_of, (const uint8_t *)body->at + at, body->n - at, ret_props, fault);

    if (used < 0) {
        fault->offset += at;
    }
    return used;
}

int noc_body_excess(size_t at, struct noc_fault *fault)
{
    return noc_fault_at(fault, NOC_EMALFORMED, NOC_TEXT("bytes behind the last field"), at);
}

int noc_body_tail(unsigned version, unsigned packet_of, const struct noc_slice *body, size_t at,
    struct noc_props *ret_props, struct noc_fault *fault)
{
    if (NOC_IS_V5(version) && (at < body->n || (packet_of & NOC_PROPS_MUST) != 0)) {
        int used = noc_body_props(packet_of | NOC_PROPS_ALL, body, at, ret_props, fault);

        return used < 0 ? used : NOC_OK;
    }
    if (at < body->n) {
        return noc_body_excess(at, fault);
    }
    noc_wire_clear_props(ret_props);
    return NOC_OK;
}

void noc_wire_init(struct noc_wire *wire, const void *body, size_t n, struct noc_fault *fault)
{
    static const uint8_t nothing[1] = {0};
    const uint8_t *start = n == 0 ? nothing : body;

    *wire = (struct noc_wire){.start = start, .at = start, .end = start + n, .fault = fault};
}

void noc_wire_fail(struct noc_wire *wire, int err, const char *field)
{
    if (wire->err == NOC_OK) {
        wire->err = noc_fault_at(wire->fault, err, field, (size_t)(wire->at - wire->start));
    }
}

/* Are n more bytes there to be read? */
static bool wire_has(struct noc_wire *wire, size_t n, const char *field)
{
    if (wire->err != NOC_OK) {
        return false;
    }
    if (noc_wire_left(wire) < n) {
        noc_wire_fail(wire, NOC_EMALFORMED, field);
        return false;
    }
    return true;
}

uint8_t noc_wire_u8(struct noc_wire *wire, const char *field)
{
    return wire_has(wire, 1, field) ? *wire->at++ : 0;
}

uint16_t noc_wire_u16(struct noc_wire *wire, const char *field)
{
    if (!wire_has(wire, 2, field)) {
        return 0;
    }
    wire->at += 2;
    return noc_get_u16(wire->at - 2);
}

uint16_t noc_wire_packet_id(struct noc_wire *wire, int err_of_0)
{
    const char *field = NOC_TEXT("packet identifier");

    if (!wire_has(wire, 2, field)) {
        return 0;
    }
    if (noc_get_u16(wire->at) == 0) {
        noc_wire_fail(wire, err_of_0, field);
        return 0;
    }
    return noc_wire_u16(wire, field);
}

struct noc_slice noc_wire_binary(struct noc_wire *wire, const char *field)
{
    struct noc_slice value;

    if (!wire_has(wire, 2, field)) {
        return noc_slice(NULL, 0);
    }
    value = noc_slice(wire->at + 2, noc_get_u16(wire->at));
    if (!wire_has(wire, 2 + value.n, field)) {
        return noc_slice(NULL, 0);
    }
    wire->at += 2 + value.n;
    return value;
}

struct noc_slice noc_wire_text(struct noc_wire *wire, const char *field)
{
    const uint8_t *before = wire->at;
    struct noc_slice value = noc_wire_binary(wire, field);

    if (wire->err == NOC_OK && !noc_utf8_is_valid(value)) {
        wire->at = before;
        noc_wire_fail(wire, NOC_EMALFORMED, field);
        return noc_slice(NULL, 0);
    }
    return value;
}

void noc_wire_props(struct noc_wire *wire, unsigned packet_of, struct noc_props *ret_props)
{
    size_t before = (size_t)(wire->at - wire->start);
    int used;

    if (wire->err != NOC_OK) {
        return;
    }
    used = noc_props_decode(packet_of, wire->at, noc_wire_left(wire), ret_props, wire->fault);
    if (used < 0) {
        wire->err = used;
        wire->fault->offset += before;
        return;
    }
    wire->at += used;
}

void noc_wire_finish(struct noc_wire *wire)
{
    if (noc_wire_left(wire) > 0) {
        noc_wire_fail(wire, NOC_EMALFORMED, NOC_TEXT("bytes behind the last field"));
    }
}

uint8_t *noc_wire_begin(uint8_t *at, size_t room, unsigned first_byte, size_t remaining)
{
    if (remaining > NOC_REMAINING_MAX ||
        room < 1 + noc_varint_size((uint32_t)remaining) + remaining) {
        return NULL;
    }
    *at++ = (uint8_t)first_byte;
    return noc_varint_put(at, (uint32_t)remaining);
}

uint8_t *noc_wire_put_raw(uint8_t *at, struct noc_slice value)
{
    if (value.n > 0) {
        memcpy(at, value.at, value.n);
    }
    return at + value.n;
}

uint8_t *noc_wire_put(uint8_t *at, struct noc_slice value)
{
    return noc_wire_put_raw(noc_put_u16(at, (uint16_t)value.n), value);
}

uint8_t *noc_wire_put_props(uint8_t *at, struct noc_slice props)
{
    return noc_wire_put_raw(noc_varint_put(at, (uint32_t)props.n), props);
}
