/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_TESTS_STORE_IMAGE_H
#define NOC_TESTS_STORE_IMAGE_H
/*
 * Files of Mosquitto made by hand, chunk by chunk, in each of its versions.
 *
 * Nothing here can write versions 3 to 5: their bytes are as the format has been described.
 */

#include <stdbool.h>

#include "../ws/guard.h"
#include "base/bytes.h"
#include "store/mosquitto_db.h"

/* A file under way; order: of the machine that writes, and how large its time_t is. */
struct image {
    uint8_t at[8192];
    size_t n;
    size_t body; /* of the chunk under way */
    unsigned version;
    bool is_foreign;
    bool is_i386;
};

static inline void image_u8(struct image *image, unsigned value)
{
    image->at[image->n++] = (uint8_t)value;
}

static inline void image_u16(struct image *image, unsigned value)
{
    image->n = (size_t)(noc_put_u16(image->at + image->n, (uint16_t)value) - image->at);
}

static inline void image_u32(struct image *image, uint32_t value)
{
    image->n = (size_t)(noc_put_u32(image->at + image->n, value) - image->at);
}

static inline void image_bytes(struct image *image, const void *bytes, size_t n)
{
    memcpy(image->at + image->n, bytes, n);
    image->n += n;
}

/* A number as it lies in memory. */
static inline void image_host(struct image *image, uint64_t value, size_t n)
{
    uint8_t bytes[8];
    uint32_t small = (uint32_t)value;

    memcpy(bytes, n == 8 ? (const void *)&value : (const void *)&small, n);
    for (size_t i = 0; i < n; i++) {
        image_u8(image, bytes[image->is_foreign ? n - 1 - i : i]);
    }
}

static inline void image_text(struct image *image, const char *text)
{
    image_bytes(image, text, strlen(text));
}

/* With its length in front. */
static inline void image_string(struct image *image, const char *text)
{
    image_u16(image, (unsigned)strlen(text));
    image_text(image, text);
}

static inline void image_begin(struct image *image, unsigned version)
{
    *image = (struct image){.version = version};
    image_bytes(image, "\0\xb5\0mosquitto db", 15);
    image_u32(image, 0);
    image_u32(image, version);
}

static inline void chunk_begin(struct image *image, unsigned type)
{
    if (image->version < 5) {
        image_u16(image, type);
    } else {
        image_u32(image, type);
    }
    image_u32(image, 0);
    image->body = image->n;
}

/* Put the length down. */
static inline void chunk_end(struct image *image)
{
    (void)noc_put_u32(image->at + image->body - 4, (uint32_t)(image->n - image->body));
}

static inline void image_config(struct image *image, uint64_t last_id, bool is_shutdown)
{
    chunk_begin(image, 1);
    if (image->version >= 5) {
        image_host(image, last_id, 8);
    }
    image_u8(image, is_shutdown);
    image_u8(image, 8);
    if (image->version >= 5) {
        image_bytes(image, "\0\0\0\0\0", image->is_i386 ? 2 : 6);
    } else {
        image_host(image, last_id, 8);
    }
    chunk_end(image);
}

/* From "source" with the user name "su", at port 1883, topic "a/b", QoS 2, retained. */
static inline void image_base_message(
    struct image *image, uint64_t id, const char *payload, const char *props, size_t props_n)
{
    chunk_begin(image, 2);
    image_host(image, id, 8);
    if (image->version >= 5) {
        image_host(image, 1795986871, 8);
        image_u32(image, (uint32_t)strlen(payload));
        image_u16(image, 77);
        image_u16(image, 6);
        image_u16(image, 2);
        image_u16(image, 3);
        image_u16(image, 1883);
        image_u8(image, 2);
        image_u8(image, 1);
        image_text(image, "sourcesua/b");
        image_text(image, payload);
        image_bytes(image, props, props_n);
    } else {
        image_string(image, "source");
        if (image->version == 4) {
            image_string(image, "su");
            image_u16(image, 1883);
        }
        image_u16(image, 77);
        image_u16(image, 99);
        image_string(image, "a/b");
        image_u8(image, 2);
        image_u8(image, 1);
        image_u32(image, (uint32_t)strlen(payload));
        image_text(image, payload);
    }
    chunk_end(image);
}

/* QoS 1, retain and dup, outgoing, packet id 5. */
static inline void image_client_message(struct image *image, uint64_t id, const char *client_id,
    unsigned state, uint8_t subscription_id)
{
    chunk_begin(image, 3);
    if (image->version >= 5) {
        image_host(image, id, 8);
        image_u16(image, 5);
        image_u16(image, (unsigned)strlen(client_id));
        image_u8(image, 1);
        image_u8(image, state);
        image_u8(image, 0x11);
        image_u8(image, 1);
        image_text(image, client_id);
        if (subscription_id != 0) {
            image_bytes(image, (const uint8_t[]){2, 0x0b, subscription_id}, 3);
        }
    } else {
        image_string(image, client_id);
        image_host(image, id, 8);
        image_u16(image, 5);
        image_bytes(image, (const uint8_t[]){1, 1, 1, (uint8_t)state, 1}, 5);
    }
    chunk_end(image);
}

static inline void image_retained(struct image *image, uint64_t id)
{
    chunk_begin(image, 4);
    image_host(image, id, 8);
    chunk_end(image);
}

static inline void image_subscription(
    struct image *image, const char *client_id, const char *filter, unsigned qos, unsigned options)
{
    chunk_begin(image, 5);
    if (image->version >= 5) {
        image_u32(image, 300);
        image_u16(image, (unsigned)strlen(client_id));
        image_u16(image, (unsigned)strlen(filter));
        image_u8(image, qos);
        image_u8(image, options);
        image_u16(image, 0);
        image_text(image, client_id);
        image_text(image, filter);
    } else {
        image_string(image, client_id);
        image_string(image, filter);
        image_u8(image, qos);
    }
    chunk_end(image);
}

/* Packet id 9, expires at 1795987873 after 1000 s, or left then. username is username_n bytes. */
static inline void image_client_named(
    struct image *image, const char *client_id, const char *username, size_t username_n)
{
    chunk_begin(image, 6);
    if (image->version >= 5) {
        image_host(image, 1795987873, 8);
        image_u32(image, 1000);
        image_u16(image, 9);
        image_u16(image, (unsigned)strlen(client_id));
        if (image->version >= 6) {
            image_u16(image, 8883);
            image_u16(image, (unsigned)username_n);
            image_bytes(image, "\0\0\0", image->is_i386 ? 0 : 4);
        }
        image_text(image, client_id);
        image_bytes(image, username, image->version >= 6 ? username_n : 0);
    } else {
        image_string(image, client_id);
        image_u16(image, 9);
        image_host(image, 1795987873, image->is_i386 ? 4 : 8);
    }
    chunk_end(image);
}

static inline void image_client(struct image *image, const char *client_id, const char *username)
{
    image_client_named(image, client_id, username, strlen(username));
}

/* One of each. */
static inline void image_fill(struct image *image)
{
    static const char props[] = "\x09\x01\x01\x26\0\1k\0\1v";

    image_config(image, 54, true);
    image_base_message(image, 53, "hello", props, sizeof(props) - 1);
    image_client(image, "ann", "someone");
    image_client_message(image, 53, "ann", NOC_MOSQUITTO_WAIT_PUBACK, 7);
    image_subscription(image, "ann", "$share/g/a/#", 2, 0x0c);
    image_retained(image, 53);
}

/* It reads so; an absent slice is as good as an empty one. */
#define assert_text(slice, text) assert_true(noc_slice_equal(slice, noc_slice(text, strlen(text))))

#endif
