/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_MQTT_WIRE_H
#define NOC_MQTT_WIRE_H
/*
 * What the decoders and encoders of this folder share; nobody else includes it.
 *
 * A wire is a reader over one packet's body that stays in error once broken:
 * the first fault is kept, every later read yields zero. So a decoder reads all
 * fields in their order and looks at err once. PUBLISH, the hot one, and the
 * short packets, which firmware decodes, do without.
 */

#include "mqtt/packet.h"

struct noc_wire {
    const uint8_t *start, *at, *end; /* at stands still once err is set */
    struct noc_fault *fault;
    int err;
};

/* Flags beside the packet type that noc_props_decode() and noc_body_tail() get from this folder. */
enum {
    NOC_PROPS_TYPE = 0x1f, /* the type itself */
    NOC_PROPS_ALL = 0x20,  /* nothing may stand behind the block */
    NOC_PROPS_MUST = 0x40, /* version 5 has it, be it empty */
};

/* ---- decoding without a wire: short packets, of which firmware has little code ---- */

/* The packet identifier that body begins with; NOC_EPROTO for 0. */
int noc_body_packet_id(
    const struct noc_slice *body, uint16_t *ret_packet_id, struct noc_fault *fault);

/* The property block at body[at..]. Returns its bytes or an error. */
int noc_body_props(unsigned packet_of, const struct noc_slice *body, size_t at,
    struct noc_props *ret_props, struct noc_fault *fault);

/* What ends a body: in version 5 properties, else nothing. NOC_OK or an error. */
int noc_body_tail(unsigned version, unsigned packet_of, const struct noc_slice *body, size_t at,
    struct noc_props *ret_props, struct noc_fault *fault);

/* There are bytes behind the last field. Returns NOC_EMALFORMED. */
int noc_body_excess(size_t at, struct noc_fault *fault);

/* ---- the wire ---- */

/* Put a fault down and hand the error back, for `return noc_fault_at(...)`. */
int noc_fault_at(struct noc_fault *fault, int err, const char *field, size_t offset);

void noc_wire_init(struct noc_wire *wire, const void *body, size_t n, struct noc_fault *fault);

/* Break the wire here, unless it is broken already. field is static text. */
void noc_wire_fail(struct noc_wire *wire, int err, const char *field);

static inline size_t noc_wire_left(const struct noc_wire *wire)
{
    return (size_t)(wire->end - wire->at);
}

/* Integers; NOC_EMALFORMED when the body ends before they do. */
uint8_t noc_wire_u8(struct noc_wire *wire, const char *field);
uint16_t noc_wire_u16(struct noc_wire *wire, const char *field);

/* A packet identifier; 0 breaks the wire with err_of_0 [MQTT-2.2.1-3], [MQTT-2.2.1-4]. */
uint16_t noc_wire_packet_id(struct noc_wire *wire, int err_of_0);

/* Two bytes of length and as many bytes; text is checked for UTF-8 [MQTT-1.5.4-1]. */
struct noc_slice noc_wire_binary(struct noc_wire *wire, const char *field);
struct noc_slice noc_wire_text(struct noc_wire *wire, const char *field);

/* A DISCONNECT of the client, where noc_reason_is_listed() wants a packet type. */
enum { NOC_LIST_OF_CLIENT = NOC_CONNECT };

/* May a packet of that type carry the reason (version 5; the table in its chapter)? */
bool noc_reason_is_listed(unsigned type, uint8_t reason);

/* A property block with its length. */
void noc_wire_props(struct noc_wire *wire, unsigned packet_of, struct noc_props *ret_props);

/* Nothing may stand behind the last field. */
void noc_wire_finish(struct noc_wire *wire);

/*
 * Write a fixed header for a body of this size. Returns the byte after it, or
 * NULL when the packet does not fit into room or into NOC_REMAINING_MAX.
 */
uint8_t *noc_wire_begin(uint8_t *at, size_t room, unsigned first_byte, size_t remaining);

/* A slice with its two bytes of length, and one without. */
uint8_t *noc_wire_put(uint8_t *at, struct noc_slice value);
uint8_t *noc_wire_put_raw(uint8_t *at, struct noc_slice value);

/* A property block with its length in front, and the bytes that takes. */
uint8_t *noc_wire_put_props(uint8_t *at, struct noc_slice props);
static inline size_t noc_wire_props_size(struct noc_slice props)
{
    /* A block beyond the largest packet counts as it is: noc_wire_begin() refuses it. */
    return props.n > NOC_REMAINING_MAX ? props.n : noc_varint_size((uint32_t)props.n) + props.n;
}

/*
 * Zero a view of properties. In pieces, for speed: of those gcc makes a few
 * wide stores each, of the whole a string instruction, which costs a PUBLISH
 * without properties more than all the rest of it.
 */
static inline void noc_wire_clear_props(struct noc_props *props)
{
    enum { PIECE = 64, PIECES = sizeof *props / PIECE };
    char *at = (char *)props;

    if (NOC_IS_SMALL) {
        memset(props, 0, sizeof *props);
        return;
    }
    for (unsigned i = 0; i < PIECES; i++) {
        memset(at + (size_t)i * PIECE, 0, PIECE);
    }
    memset(at + (size_t)PIECES * PIECE, 0, sizeof *props - (size_t)PIECES * PIECE);
}

/* Does an n-byte slice fit behind a length of two bytes? */
static inline bool noc_wire_fits(struct noc_slice value)
{
    return value.n <= 65535;
}

#endif
