/* SPDX-License-Identifier: Apache-2.0 */
/* What is written is what Mosquitto 2.0 writes, and what was read. */
#define _GNU_SOURCE
#include "image.h"

#include "mqtt/packet.h"

static struct image image;

/* A file written anew, in a block as large as it has to be. */
struct copy {
    uint8_t at[8192];
    size_t n;
};

static int write_record(void *context, const struct noc_mosquitto_record *record)
{
    struct copy *copy = context;
    size_t n = noc_mosquitto_write_size(record);
    uint8_t *chunk = malloc(n);

    assert_non_null(chunk);
    for (size_t room = 0; room < n; room += n / 7 + 1) {
        assert_int_equal(noc_mosquitto_write(record, chunk, room), 0);
    }
    assert_int_equal(noc_mosquitto_write(record, chunk, n), n);
    assert_true(n <= sizeof(copy->at) - copy->n);
    memcpy(copy->at + copy->n, chunk, n);
    copy->n += n;
    free(chunk);
    return NOC_OK;
}

static void rewrite(const uint8_t *bytes, size_t n, struct copy *ret_copy)
{
    struct noc_mosquitto_fault fault;

    noc_mosquitto_write_head(ret_copy->at);
    ret_copy->n = NOC_MOSQUITTO_HEAD_BYTES;
    assert_int_equal(noc_mosquitto_read_all(bytes, n, write_record, ret_copy, &fault), NOC_OK);
}

static void version_6_is_written_as_it_was_read_to_the_byte(void **state)
{
    static struct copy copy;

    image_begin(&image, 6);
    image_fill(&image);
    image_base_message(&image, 54, "", "", 0);
    image_client(&image, "nobody", "");
    image_client_message(&image, 54, "nobody", NOC_MOSQUITTO_QUEUED, 0);
    rewrite(image.at, image.n, &copy);
    assert_int_equal(copy.n, image.n);
    assert_memory_equal(copy.at, image.at, image.n);
}

static void older_versions_become_version_6(void **state)
{
    static struct copy first, second;

    for (unsigned version = 3; version <= 6; version++) {
        for (unsigned machine = 0; machine < 4; machine++) {
            image_begin(&image, version);
            image.is_foreign = (machine & 1) != 0;
            image.is_i386 = (machine & 2) != 0;
            image_fill(&image);
            rewrite(image.at, image.n, &first);
            assert_int_equal(first.at[22], 6);
            rewrite(first.at, first.n, &second);
            assert_int_equal(first.n, second.n);
            assert_memory_equal(first.at, second.at, first.n);
        }
    }
}

static int keep_client(void *context, const struct noc_mosquitto_record *record)
{
    if (record->kind == NOC_MOSQUITTO_CLIENT) {
        *(struct noc_mosquitto_client *)context = record->client;
    }
    return NOC_OK;
}

static void a_session_that_never_expired_never_does(void **state)
{
    static struct copy copy;
    struct noc_mosquitto_client client = {.has_expiry = false};
    struct noc_mosquitto_fault fault;

    image_begin(&image, 4);
    image_client(&image, "old", "");
    rewrite(image.at, image.n, &copy);
    assert_int_equal(noc_mosquitto_read_all(copy.at, copy.n, keep_client, &client, &fault), NOC_OK);
    assert_true(client.has_expiry);
    assert_true(client.session_expiry_interval_s == UINT32_MAX);
    assert_int_equal(client.session_expiry_time_s, 0);
}

static void a_subscription_identifier_becomes_a_property(void **state)
{
    const struct noc_mosquitto_record record = {.kind = NOC_MOSQUITTO_CLIENT_MESSAGE,
        .client_message = {.client_id = noc_slice_of("c"), .subscription_id = 268435455}};
    uint8_t chunk[64];

    assert_int_equal(noc_mosquitto_write(&record, chunk, sizeof(chunk)), 8 + 16 + 1 + 6);
    assert_memory_equal(chunk + 25, "\5\x0b\xff\xff\xff\x7f", 6);
}

static void what_nobody_could_read_is_not_written(void **state)
{
    static const char text[UINT16_MAX + 1] = {0};
    struct noc_slice large = noc_slice(text, sizeof(text));
    const struct noc_mosquitto_record records[] = {
        {.kind = NOC_MOSQUITTO_UNKNOWN},
        {.kind = NOC_MOSQUITTO_KINDS},
        {.kind = NOC_MOSQUITTO_BASE_MESSAGE}, /* no topic */
        {.kind = NOC_MOSQUITTO_BASE_MESSAGE, .base_message = {.topic = large}},
        {.kind = NOC_MOSQUITTO_BASE_MESSAGE,
            .base_message = {.topic = noc_slice_of("t"), .qos = 3}},
        {.kind = NOC_MOSQUITTO_BASE_MESSAGE,
            .base_message = {.topic = noc_slice_of("t"),
                .payload = noc_slice(text, (size_t)NOC_MOSQUITTO_PAYLOAD_MAX + 1)}},
        {.kind = NOC_MOSQUITTO_CLIENT_MESSAGE, .client_message = {.client_id = large}},
        {.kind = NOC_MOSQUITTO_CLIENT_MESSAGE, .client_message = {.state = NOC_MOSQUITTO_STATES}},
        {.kind = NOC_MOSQUITTO_CLIENT_MESSAGE, .client_message = {.subscription_id = 268435456}},
        {.kind = NOC_MOSQUITTO_SUBSCRIPTION, .subscription = {.filter = large}},
        {.kind = NOC_MOSQUITTO_SUBSCRIPTION, .subscription = {.options = 3}},
        {.kind = NOC_MOSQUITTO_CLIENT, .client = {.username = large}},
    };
    uint8_t chunk[64];

    for (size_t i = 0; i < NOC_COUNT(records); i++) {
        assert_int_equal(noc_mosquitto_write_size(&records[i]), 0);
        assert_int_equal(noc_mosquitto_write(&records[i], chunk, sizeof(chunk)), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_6_is_written_as_it_was_read_to_the_byte),
        cmocka_unit_test(older_versions_become_version_6),
        cmocka_unit_test(a_session_that_never_expired_never_does),
        cmocka_unit_test(a_subscription_identifier_becomes_a_property),
        cmocka_unit_test(what_nobody_could_read_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
