/* SPDX-License-Identifier: Apache-2.0 */
/* The encoders, byte by byte; and the parts of the decoders that vectors don't show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mqtt/packet.h"

#define NONE noc_slice(NULL, 0)

static uint8_t room[1024];

/* Compare what was written with a string literal of bytes. */
#define assert_wrote(n, literal)                                 \
    do {                                                         \
        assert_int_equal(n, sizeof(literal) - 1);                \
        assert_memory_equal(room, literal, sizeof(literal) - 1); \
    } while (0)

static void varints_take_the_bytes_that_the_standard_lists(void **state)
{
    static const struct {
        uint32_t value;
        unsigned size;
        uint8_t bytes[4];
    } cases[] = {
        {0, 1, {0x00}},
        {127, 1, {0x7f}},
        {128, 2, {0x80, 0x01}},
        {16383, 2, {0xff, 0x7f}},
        {16384, 3, {0x80, 0x80, 0x01}},
        {2097151, 3, {0xff, 0xff, 0x7f}},
        {2097152, 4, {0x80, 0x80, 0x80, 0x01}},
        {NOC_REMAINING_MAX, 4, {0xff, 0xff, 0xff, 0x7f}},
    };

    (void)state; /* [MQTT-1.5.5-1] */
    for (size_t i = 0; i < NOC_COUNT(cases); i++) {
        uint32_t value = 42;

        assert_int_equal(noc_varint_size(cases[i].value), cases[i].size);
        assert_ptr_equal(noc_varint_put(room, cases[i].value), room + cases[i].size);
        assert_memory_equal(room, cases[i].bytes, cases[i].size);
        for (size_t n = 0; n < cases[i].size; n++) {
            assert_int_equal(noc_varint_decode(room, n, &value), 0);
            assert_int_equal(value, 42);
        }
        assert_int_equal(noc_varint_decode(room, 5, &value), cases[i].size);
        assert_int_equal(value, cases[i].value);
    }
}

static void a_varint_of_five_bytes_is_malformed(void **state)
{
    static const uint8_t bytes[] = {0x80, 0x80, 0x80, 0x80, 0x01};
    uint32_t value = 42;

    (void)state;
    assert_int_equal(noc_varint_decode(bytes, 5, &value), NOC_EMALFORMED);
    assert_int_equal(noc_varint_decode(bytes, 4, &value), NOC_EMALFORMED);
    assert_int_equal(noc_varint_decode(bytes, 3, &value), 0);
    assert_int_equal(value, 42);
}

static void a_header_tells_type_flags_and_size(void **state)
{
    static const uint8_t bytes[] = {0x3d, 0x80, 0x01};
    struct noc_header header;

    (void)state;
    assert_int_equal(noc_header_decode(NOC_V5, bytes, 3, &header), 3);
    assert_int_equal(header.type, NOC_PUBLISH);
    assert_int_equal(header.flags, 0xd);
    assert_int_equal(header.size, 3);
    assert_int_equal(header.remaining, 128);
}

static void a_publish_of_version_3_has_no_properties(void **state)
{
    uint32_t ids[] = {1};
    struct noc_publish_out out = {.topic = noc_slice_of("a/b"),
        .props = noc_slice_of("ignored"),
        .payload_n = 5,
        .alias = 3,
        .has_expiry = true,
        .expiry_s = 9,
        .subscription_ids = ids,
        .subscription_id_count = 1};

    (void)state;
    assert_wrote(noc_publish_encode_head(NOC_V311, &out, room, sizeof room), "\x30\x0a\0\3a/b");
    assert_int_equal(noc_publish_size(NOC_V311, &out), 12);
    out.qos = 2;
    out.dup = out.retain = true;
    out.packet_id = 0x1234;
    assert_wrote(
        noc_publish_encode_head(NOC_V31, &out, room, sizeof room), "\x3d\x0c\0\3a/b\x12\x34");
    assert_int_equal(noc_publish_size(NOC_V31, &out), 14);
}

static void a_publish_of_version_5_has_its_properties_in_order(void **state)
{
    uint32_t ids[] = {1, 300};
    struct noc_publish_out out = {
        .topic = noc_slice_of("t"), .payload_n = 2, .subscription_ids = ids};

    (void)state;
    assert_wrote(noc_publish_encode_head(NOC_V5, &out, room, sizeof room), "\x30\6\0\1t\0");
    out.alias = 7;
    out.has_expiry = true;
    out.expiry_s = 0x01020304;
    out.subscription_id_count = 2;
    out.props = noc_slice("\x01\x01", 2);
    out.qos = 1;
    out.packet_id = 9;
    assert_wrote(noc_publish_encode_head(NOC_V5, &out, room, sizeof room),
        "\x32\x17\0\1t\0\x09\x0f\x23\0\7\x02\1\2\3\4\x0b\1\x0b\xac\2\1\1");
    assert_int_equal(noc_publish_size(NOC_V5, &out), 25);
    out.topic = NONE;
    assert_wrote(noc_publish_encode_head(NOC_V5, &out, room, sizeof room),
        "\x32\x16\0\0\0\x09\x0f\x23\0\7\x02\1\2\3\4\x0b\1\x0b\xac\2\1\1");
}

static void a_publish_that_can_not_be_written_is_refused(void **state)
{
    static char topic[65536];
    struct noc_publish_out out = {.topic = noc_slice_of("abc")};

    (void)state;
    assert_int_equal(noc_publish_encode_head(NOC_V311, &out, room, 6), 0);
    assert_int_equal(noc_publish_encode_head(NOC_V311, &out, room, 7), 7);
    out.payload_n = NOC_REMAINING_MAX - 5;
    assert_int_equal(noc_publish_size(NOC_V311, &out), (size_t)NOC_REMAINING_MAX + 5);
    assert_int_equal(noc_publish_encode_head(NOC_V311, &out, room, sizeof room), 10);
    assert_int_equal(noc_publish_size(NOC_V5, &out), 0);
    out.payload_n++;
    assert_int_equal(noc_publish_size(NOC_V311, &out), 0);
    assert_int_equal(noc_publish_encode_head(NOC_V311, &out, room, sizeof room), 0);
    out.payload_n = SIZE_MAX;
    assert_int_equal(noc_publish_size(NOC_V311, &out), 0);
    out.payload_n = 0;
    out.topic = noc_slice(topic, 65535);
    assert_int_equal(noc_publish_size(NOC_V311, &out), 4 + 65537);
    out.topic = noc_slice(topic, sizeof topic);
    assert_int_equal(noc_publish_size(NOC_V311, &out), 0);
    out.topic = noc_slice_of("a");
    out.props = noc_slice("", SIZE_MAX);
    assert_int_equal(noc_publish_size(NOC_V5, &out), 0);
}

static void properties_pass_on_without_what_belongs_to_one_connection(void **state)
{
    static const char raw[] = "\x01\1\x02\0\0\0\5\x03\0\1t\x23\0\1\x0b\7\x26\0\1k\0\1v\x18\0\0\0\1";

    (void)state; /* [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-17], [MQTT-3.3.2-18] */
    assert_wrote(
        noc_props_forward(noc_slice(raw, sizeof raw - 1), room), "\x01\1\x03\0\1t\x26\0\1k\0\1v");
    assert_int_equal(noc_props_forward(NONE, room), 0);
}

static void every_kind_of_property_is_read_back_as_written(void **state)
{
    uint8_t *at = room + 1;
    struct noc_props props;
    struct noc_fault fault;
    struct noc_slice rest;
    struct noc_prop prop;

    (void)state;
    at = noc_prop_put_u8(at, NOC_PROP_MAXIMUM_QOS, 1);
    at = noc_prop_put_u16(at, NOC_PROP_SERVER_KEEP_ALIVE, 0x1234);
    at = noc_prop_put_u32(at, NOC_PROP_SESSION_EXPIRY, 0x12345678);
    at = noc_prop_put_slice(at, NOC_PROP_ASSIGNED_CLIENT_ID, noc_slice_of("me"));
    at = noc_prop_put_user(at, noc_slice_of("k"), noc_slice_of(""));
    room[0] = (uint8_t)(at - room - 1);
    assert_int_equal(
        noc_props_decode(NOC_CONNACK, room, (size_t)(at - room), &props, &fault), at - room);
    assert_true(noc_props_has(&props, NOC_PROP_USER));
    assert_false(noc_props_has(&props, NOC_PROP_REASON_STRING));
    assert_int_equal(props.maximum_qos, 1);
    assert_int_equal(props.server_keep_alive_s, 0x1234);
    assert_int_equal(props.session_expiry_s, 0x12345678);
    assert_true(noc_slice_equal(props.assigned_client_id, noc_slice_of("me")));
    assert_null(props.reason_string.at);
    rest = props.raw;
    assert_true(noc_props_next(&rest, &prop) && prop.number == 1 && prop.wire.n == 2);
    assert_true(noc_props_next(&rest, &prop) && prop.number == 0x1234 && prop.wire.n == 3);
    assert_true(noc_props_next(&rest, &prop) && prop.number == 0x12345678);
    assert_true(noc_props_next(&rest, &prop) && noc_slice_equal(prop.value, noc_slice_of("me")));
    assert_true(noc_props_next(&rest, &prop) && prop.id == NOC_PROP_USER);
    assert_true(noc_slice_equal(prop.name, noc_slice_of("k")) && prop.value.n == 0);
    assert_false(noc_props_next(&rest, &prop));
    assert_false(noc_props_next(&rest, &prop));
    at = noc_prop_put_varint(room + 1, NOC_PROP_SUBSCRIPTION_ID, 300);
    room[0] = (uint8_t)(at - room - 1);
    assert_int_equal(noc_props_decode(NOC_SUBSCRIBE, room, 4, &props, &fault), 4);
    assert_int_equal(props.subscription_id, 300);
}

static void a_decoder_that_fails_touches_no_more_of_a_view_than_its_props(void **state)
{
    struct noc_publish publish, before;
    struct noc_fault fault;
    struct noc_slice body = noc_slice("\0\1a\2\1\2", 6);

    (void)state;
    memset(&publish, 0x55, sizeof publish);
    before = publish;
    assert_int_equal(noc_publish_decode(NOC_V5, 0, true, &body, &publish, &fault), NOC_EPROTO);
    assert_memory_equal(&publish, &before, offsetof(struct noc_publish, props));
    assert_string_equal(fault.field, "payload format indicator");
    assert_int_equal(fault.offset, 4);
}

static void a_publish_with_qos_3_is_malformed_to_the_decoder_too(void **state)
{
    struct noc_publish publish;
    struct noc_fault fault;
    struct noc_slice body = noc_slice("\0\1a\0\1", 5);

    (void)state; /* [MQTT-3.3.1-4] */
    assert_int_equal(
        noc_publish_decode(NOC_V311, 6, true, &body, &publish, &fault), NOC_EMALFORMED);
}

static void the_first_subscription_identifier_is_kept(void **state)
{
    struct noc_publish publish;
    struct noc_fault fault;
    struct noc_slice body = noc_slice("\0\1a\4\x0b\5\x0b\6", 8);

    (void)state;
    assert_int_equal(noc_publish_decode(NOC_V5, 0, false, &body, &publish, &fault), NOC_OK);
    assert_int_equal(publish.props.subscription_id, 5);
}

static void acknowledgements_are_as_short_as_can_be(void **state)
{
    (void)state;
    assert_wrote(noc_ack_encode(NOC_V311, NOC_PUBACK, 0x0102, 0x87, room, 6), "\x40\2\1\2");
    assert_wrote(noc_ack_encode(NOC_V5, NOC_PUBREC, 0x0102, 0, room, 6), "\x50\2\1\2");
    assert_wrote(noc_ack_encode(NOC_V5, NOC_PUBREL, 0x0102, 0x92, room, 6), "\x62\3\1\2\x92");
    assert_wrote(noc_ack_encode(NOC_V311, NOC_PUBREL, 1, 0, room, 6), "\x62\2\0\1");
    assert_wrote(noc_ack_encode(NOC_V5, NOC_PUBCOMP, 1, 0, room, 4), "\x70\2\0\1");
    assert_int_equal(noc_ack_encode(NOC_V5, NOC_PUBCOMP, 1, 0, room, 3), 0);
    assert_int_equal(noc_ack_encode(NOC_V5, NOC_PUBCOMP, 1, 0x92, room, 4), 0);
}

static void connack_speaks_the_version_of_its_client(void **state)
{
    struct noc_slice props = noc_slice("\x24\1", 2);

    (void)state;
    assert_wrote(noc_connack_encode(NOC_V311, true, 0, props, room, sizeof room), "\x20\2\1\0");
    assert_wrote(noc_connack_encode(NOC_V31, true, 0, props, room, sizeof room), "\x20\2\0\0");
    assert_wrote(noc_connack_encode(NOC_V311, false, 5, props, room, sizeof room), "\x20\2\0\5");
    assert_wrote(
        noc_connack_encode(NOC_V311, false, NOC_RC_BAD_CREDENTIALS, props, room, 4), "\x20\2\0\5");
    assert_wrote(
        noc_connack_encode(NOC_V5, true, 0, props, room, sizeof room), "\x20\5\1\0\2\x24\1");
    assert_wrote(noc_connack_encode(NOC_V5, false, 0x87, NONE, room, 5), "\x20\3\0\x87\0");
    assert_int_equal(noc_connack_encode(NOC_V5, false, 0x87, NONE, room, 4), 0);
    assert_int_equal(noc_connack_encode(NOC_V5, false, 0, noc_slice("", 1u << 28), room, 4), 0);
}

static void a_connect_with_a_field_too_long_is_refused(void **state)
{
    static char text[65536];
    static uint8_t big[6 * 65536];
    struct noc_connect connect = {.version = NOC_V5,
        .client_id = noc_slice(text, 65535),
        .has_username = true,
        .username = noc_slice(text, 65535),
        .has_password = true,
        .password = noc_slice(text, 65535),
        .has_will = true,
        .will.topic = noc_slice(text, 65535),
        .will.payload = noc_slice(text, 65535)};
    struct noc_slice *const fields[] = {&connect.client_id, &connect.username, &connect.password,
        &connect.will.topic, &connect.will.payload};

    (void)state;
    assert_int_equal(noc_connect_encode(&connect, big, sizeof big), 4 + 10 + 2 + 5 * 65537);
    for (size_t i = 0; i < NOC_COUNT(fields); i++) {
        fields[i]->n++;
        assert_int_equal(noc_connect_encode(&connect, big, sizeof big), 0);
        fields[i]->n--;
    }
    connect.will.props.raw = noc_slice(text, SIZE_MAX);
    assert_int_equal(noc_connect_encode(&connect, big, sizeof big), 0);
    connect.will.props.raw.n = 0;
    connect.props.raw = noc_slice(text, SIZE_MAX);
    assert_int_equal(noc_connect_encode(&connect, big, sizeof big), 0);
}

static void an_unknown_version_is_told_to_the_caller(void **state)
{
    struct noc_connect connect = {0};
    struct noc_fault fault;

    (void)state;
    assert_int_equal(
        noc_connect_decode((const uint8_t *)"\0\4MQTT\x07\2\0\0\0\0", 12, &connect, &fault),
        NOC_ENOTSUP);
    assert_int_equal(connect.version, 7);
    assert_string_equal(fault.field, "protocol version");
}

static void subscriptions_are_written_entry_by_entry(void **state)
{
    struct noc_subscription entry = {noc_slice_of("a/#"), 2};
    uint8_t entries[32], *end;
    struct noc_slice wire;

    (void)state;
    end = noc_subscribe_put_entry(entries, &entry);
    wire = noc_slice(entries, (size_t)(end - entries));
    assert_wrote(noc_subscribe_encode(NOC_V311, 10, NONE, &wire, room, sizeof room),
        "\x82\x08\0\x0a\0\3a/#\2");
    assert_wrote(noc_subscribe_encode(NOC_V5, 10, noc_slice("\x0b\1", 2), &wire, room, 13),
        "\x82\x0b\0\x0a\2\x0b\1\0\3a/#\2");
    assert_int_equal(noc_subscribe_encode(NOC_V5, 10, noc_slice("\x0b\1", 2), &wire, room, 12), 0);
    end = noc_unsubscribe_put_entry(entries, noc_slice_of("a"));
    wire = noc_slice(entries, (size_t)(end - entries));
    assert_wrote(
        noc_unsubscribe_encode(NOC_V5, 10, NONE, &wire, room, sizeof room), "\xa2\6\0\x0a\0\0\1a");
    wire.n = SIZE_MAX;
    assert_int_equal(noc_unsubscribe_encode(NOC_V5, 10, NONE, &wire, room, sizeof room), 0);
}

static void a_suback_of_version_3_knows_one_failure(void **state)
{
    struct noc_slice reasons = noc_slice("\0\2\x87\x97", 4);

    (void)state; /* [MQTT-3.9.3-2] */
    assert_wrote(noc_suback_encode(NOC_V311, NOC_SUBACK, 1, reasons, room, sizeof room),
        "\x90\6\0\1\0\2\x80\x80");
    assert_wrote(noc_suback_encode(NOC_V5, NOC_SUBACK, 1, reasons, room, sizeof room),
        "\x90\7\0\1\0\0\2\x87\x97");
    assert_wrote(
        noc_suback_encode(NOC_V311, NOC_UNSUBACK, 1, reasons, room, sizeof room), "\xb0\2\0\1");
    assert_wrote(noc_suback_encode(NOC_V5, NOC_UNSUBACK, 1, noc_slice("\x11", 1), room, 6),
        "\xb0\4\0\1\0\x11");
    assert_int_equal(noc_suback_encode(NOC_V5, NOC_UNSUBACK, 1, noc_slice("\x11", 1), room, 5), 0);
}

static void disconnect_and_auth_and_pings_are_written(void **state)
{
    struct noc_slice props = noc_slice("\x1f\0\1x", 4);

    (void)state;
    assert_wrote(noc_disconnect_encode(NOC_V311, 0x8e, props, room, 2), "\xe0\0");
    assert_wrote(noc_disconnect_encode(NOC_V5, 0, NONE, room, 2), "\xe0\0");
    assert_wrote(noc_disconnect_encode(NOC_V5, 0x8e, NONE, room, 3), "\xe0\1\x8e");
    assert_wrote(noc_disconnect_encode(NOC_V5, 0, props, room, 8), "\xe0\6\0\4\x1f\0\1x");
    assert_int_equal(noc_disconnect_encode(NOC_V5, 0, props, room, 7), 0);
    assert_wrote(
        noc_auth_encode(0x18, noc_slice("\x15\0\1m", 4), room, 8), "\xf0\6\x18\4\x15\0\1m");
    assert_int_equal(noc_auth_encode(0x18, props, room, 7), 0);
    assert_wrote(noc_ping_encode(NOC_PINGREQ, room, 2), "\xc0\0");
    assert_wrote(noc_ping_encode(NOC_PINGRESP, room, 2), "\xd0\0");
    assert_int_equal(noc_ping_encode(NOC_PINGRESP, room, 1), 0);
}

static void entries_cut_short_end_the_walk(void **state)
{
    struct noc_slice filter, rest;
    uint8_t options;

    (void)state;
    rest = noc_slice("\0\1a", 3);
    assert_false(noc_subscribe_next(&rest, &filter, &options));
    rest = noc_slice("\0\2a", 3);
    assert_false(noc_unsubscribe_next(&rest, &filter));
    rest = noc_slice("\0", 1);
    assert_false(noc_unsubscribe_next(&rest, &filter));
}

static void reasons_have_texts_and_stand_for_return_codes(void **state)
{
    static const struct {
        uint8_t reason, code;
    } cases[] = {{0, 0}, {0x84, 1}, {0x85, 2}, {0x86, 5}, {0x87, 5}, {0x88, 3}, {0x89, 3},
        {0x95, 5}, {0x97, 3}, {0x9f, 3}, {0x80, 3}, {0x8a, 3}};

    (void)state;
    assert_string_equal(noc_reason_text(0x8e), "session taken over");
    assert_string_equal(noc_reason_text(0x00), "success");
    assert_string_equal(noc_reason_text(0x55), "unknown reason");
    for (size_t i = 0; i < NOC_COUNT(cases); i++) {
        assert_int_equal(noc_reason_to_connack3(cases[i].reason), cases[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints_take_the_bytes_that_the_standard_lists),
        cmocka_unit_test(a_varint_of_five_bytes_is_malformed),
        cmocka_unit_test(a_header_tells_type_flags_and_size),
        cmocka_unit_test(a_publish_of_version_3_has_no_properties),
        cmocka_unit_test(a_publish_of_version_5_has_its_properties_in_order),
        cmocka_unit_test(a_publish_that_can_not_be_written_is_refused),
        cmocka_unit_test(properties_pass_on_without_what_belongs_to_one_connection),
        cmocka_unit_test(every_kind_of_property_is_read_back_as_written),
        cmocka_unit_test(a_decoder_that_fails_touches_no_more_of_a_view_than_its_props),
        cmocka_unit_test(a_publish_with_qos_3_is_malformed_to_the_decoder_too),
        cmocka_unit_test(the_first_subscription_identifier_is_kept),
        cmocka_unit_test(acknowledgements_are_as_short_as_can_be),
        cmocka_unit_test(connack_speaks_the_version_of_its_client),
        cmocka_unit_test(a_connect_with_a_field_too_long_is_refused),
        cmocka_unit_test(an_unknown_version_is_told_to_the_caller),
        cmocka_unit_test(subscriptions_are_written_entry_by_entry),
        cmocka_unit_test(a_suback_of_version_3_knows_one_failure),
        cmocka_unit_test(disconnect_and_auth_and_pings_are_written),
        cmocka_unit_test(entries_cut_short_end_the_walk),
        cmocka_unit_test(reasons_have_texts_and_stand_for_return_codes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
