/* SPDX-License-Identifier: Apache-2.0 */
/* Files made by hand: every chunk of every version, cut and bent at every byte. */
#define _GNU_SOURCE
#include "image.h"

static struct image image;
static struct guard guard;

/* What a walk found, records by kind. The slices live as long as the bytes. */
struct found {
    struct noc_mosquitto_record at[16];
    size_t n;
};

static int collect(void *context, const struct noc_mosquitto_record *record)
{
    struct found *found = context;

    assert_true(found->n < NOC_COUNT(found->at));
    found->at[found->n++] = *record;
    return NOC_OK;
}

static int read_all(struct found *found, struct noc_mosquitto_fault *fault)
{
    const uint8_t *bytes = guard_put(&guard, image.at, image.n);

    *found = (struct found){.n = 0};
    *fault = (struct noc_mosquitto_fault){0};
    return noc_mosquitto_read_all(bytes, image.n, collect, found, fault);
}

static struct found found;
static struct noc_mosquitto_fault fault;

static const struct noc_mosquitto_record *find(enum noc_mosquitto_kind kind)
{
    for (size_t i = 0; i < found.n; i++) {
        if (found.at[i].kind == kind) {
            return &found.at[i];
        }
    }
    fail();
    return NULL;
}

static void check_base_message(const struct noc_mosquitto_base_message *message, unsigned version)
{
    assert_int_equal(message->store_id, 53);
    assert_text(message->source_id, "source");
    assert_text(message->source_username, version >= 4 ? "su" : "");
    assert_int_equal(message->source_port, version >= 4 ? 1883 : 0);
    assert_int_equal(message->source_packet_id, 77);
    assert_int_equal(message->expiry_time_s, version >= 5 ? 1795986871 : 0);
    assert_text(message->topic, "a/b");
    assert_text(message->payload, "hello");
    assert_int_equal(message->qos, 2);
    assert_true(message->is_retain);
    assert_int_equal(message->props.n, version >= 5 ? 9 : 0);
}

static void check_client_message(
    const struct noc_mosquitto_client_message *message, unsigned version)
{
    assert_int_equal(message->store_id, 53);
    assert_text(message->client_id, "ann");
    assert_int_equal(message->packet_id, 5);
    assert_int_equal(message->qos, 1);
    assert_int_equal(message->state, NOC_MOSQUITTO_WAIT_PUBACK);
    assert_true(message->is_retain && message->is_dup && message->is_outgoing);
    assert_int_equal(message->subscription_id, version >= 5 ? 7 : 0);
}

static void check_client(const struct noc_mosquitto_client *client, unsigned version)
{
    assert_text(client->client_id, "ann");
    assert_text(client->username, version >= 6 ? "someone" : "");
    assert_int_equal(client->listener_port, version >= 6 ? 8883 : 0);
    assert_int_equal(client->last_packet_id, 9);
    assert_int_equal(client->has_expiry, version >= 5);
    assert_int_equal(client->session_expiry_time_s, version >= 5 ? 1795987873 : 0);
    assert_int_equal(client->session_expiry_interval_s, version >= 5 ? 1000 : 0);
    assert_int_equal(client->disconnect_time_s, version >= 5 ? 0 : 1795987873);
    assert_false(client->is_username_doubtful);
}

static void check_all(unsigned version)
{
    const struct noc_mosquitto_subscription *subscription;

    assert_int_equal(read_all(&found, &fault), NOC_OK);
    assert_int_equal(found.n, 6);
    assert_int_equal(find(NOC_MOSQUITTO_CONFIG)->config.last_store_id, 54);
    assert_true(find(NOC_MOSQUITTO_CONFIG)->config.is_shutdown);
    check_base_message(&find(NOC_MOSQUITTO_BASE_MESSAGE)->base_message, version);
    check_client_message(&find(NOC_MOSQUITTO_CLIENT_MESSAGE)->client_message, version);
    check_client(&find(NOC_MOSQUITTO_CLIENT)->client, version);
    assert_int_equal(find(NOC_MOSQUITTO_RETAINED)->retained.store_id, 53);
    subscription = &find(NOC_MOSQUITTO_SUBSCRIPTION)->subscription;
    assert_text(subscription->client_id, "ann");
    assert_text(subscription->filter, "$share/g/a/#");
    assert_int_equal(subscription->options, version >= 5 ? 0x0e : 2);
    assert_int_equal(subscription->identifier, version >= 5 ? 300 : 0);
}

static void every_record_of_every_version_is_told(void **state)
{
    for (unsigned version = 3; version <= 6; version++) {
        image_begin(&image, version);
        image_fill(&image);
        check_all(version);
    }
}

static void files_of_other_machines_are_told(void **state)
{
    for (unsigned version = 3; version <= 6; version++) {
        for (unsigned machine = 1; machine < 4; machine++) {
            image_begin(&image, version);
            image.is_foreign = (machine & 1) != 0;
            image.is_i386 = (machine & 2) != 0;
            image_fill(&image);
            check_all(version);
        }
    }
}

static void a_file_without_records_is_sound(void **state)
{
    for (unsigned version = 3; version <= 6; version++) {
        image_begin(&image, version);
        assert_int_equal(read_all(&found, &fault), NOC_OK);
        assert_int_equal(found.n, 0);
    }
}

static void other_files_and_versions_are_refused(void **state)
{
    image_begin(&image, 2);
    assert_int_equal(read_all(&found, &fault), NOC_ENOTSUP);
    assert_int_equal(fault.offset, 19);
    image_begin(&image, 7);
    assert_int_equal(read_all(&found, &fault), NOC_ENOTSUP);
    image_begin(&image, 6);
    image.at[7] = 'x';
    assert_int_equal(read_all(&found, &fault), NOC_EMALFORMED);
    assert_int_equal(fault.offset, 7);
    assert_int_equal(fault.chunk, 0);
    image.n = 5; /* seen before the head is whole */
    image.at[3] = 'x';
    assert_int_equal(read_all(&found, &fault), NOC_EMALFORMED);
    assert_int_equal(fault.offset, 3);
    image.n = 0;
    assert_int_equal(read_all(&found, &fault), NOC_EMALFORMED);
    assert_string_equal(fault.what, "the file ends within its head");
}

static void a_chunk_of_unknown_type_is_passed_over_and_told(void **state)
{
    for (unsigned version = 3; version <= 6; version++) {
        image_begin(&image, version);
        image_config(&image, 1, false);
        chunk_begin(&image, 4711);
        image_text(&image, "whatever");
        chunk_end(&image);
        chunk_begin(&image, 0);
        chunk_end(&image);
        image_retained(&image, 1);
        assert_int_equal(read_all(&found, &fault), NOC_OK);
        assert_int_equal(found.n, 4);
        assert_int_equal(found.at[1].kind, NOC_MOSQUITTO_UNKNOWN);
        assert_int_equal(found.at[1].type, 4711);
        assert_int_equal(found.at[1].length, 8);
        assert_int_equal(found.at[2].kind, NOC_MOSQUITTO_UNKNOWN);
        assert_int_equal(found.at[3].retained.store_id, 1);
        image.n -= (version < 5 ? 6U : 8U) * 2 + 8 + 1; /* into the unknown one */
        assert_int_equal(read_all(&found, &fault), NOC_EMALFORMED);
        assert_int_equal(fault.chunk, 2);
        assert_int_equal(fault.offset, image.n);
    }
}

/* Feed the image in pieces of `step` bytes, as a caller with a small buffer does. */
static int read_in_pieces(size_t step, struct noc_mosquitto_reader *reader, size_t *ret_count)
{
    struct noc_mosquitto_record record;
    size_t at = 0;
    size_t n = 0;
    size_t count = 0;

    noc_mosquitto_reader_init(reader);
    for (;;) {
        const uint8_t *bytes = guard_put(&guard, image.at + at, n);
        size_t used = 0;
        int result = noc_mosquitto_read(reader, bytes, n, &used, &record);

        if (result < 0) {
            *ret_count = count;
            return result;
        }
        assert_true(used <= n);
        at += used;
        n -= used;
        count += (size_t)result;
        if (result == 0) {
            assert_true(reader->wanted > n || n == 0);
            if (at + n == image.n) {
                *ret_count = count;
                return noc_mosquitto_read_end(reader, n);
            }
            n += step < image.n - at - n ? step : image.n - at - n;
        }
    }
}

static void how_a_file_is_cut_into_reads_changes_nothing(void **state)
{
    for (unsigned version = 3; version <= 6; version++) {
        image_begin(&image, version);
        image_fill(&image);
        chunk_begin(&image, 99);
        image_text(&image, "unknown, and long");
        chunk_end(&image);
        image_retained(&image, 53);
        for (size_t step = 1; step <= image.n; step++) {
            struct noc_mosquitto_reader reader;
            size_t count;

            assert_int_equal(read_in_pieces(step, &reader, &count), NOC_OK);
            assert_int_equal(count, 8);
        }
    }
}

static bool is_boundary(size_t n, const struct found *whole)
{
    for (size_t i = 0; i < whole->n; i++) {
        if (whole->at[i].offset == n) {
            return true;
        }
    }
    return n == NOC_MOSQUITTO_HEAD_BYTES;
}

static void a_file_cut_anywhere_but_between_chunks_is_a_fault(void **state)
{
    for (unsigned version = 3; version <= 6; version++) {
        struct found whole;
        size_t n;

        image_begin(&image, version);
        image_fill(&image);
        assert_int_equal(read_all(&whole, &fault), NOC_OK);
        n = image.n;
        for (image.n = 0; image.n < n; image.n++) {
            struct noc_mosquitto_reader reader;
            size_t count;
            int result = read_all(&found, &fault);

            assert_int_equal(result, is_boundary(image.n, &whole) ? NOC_OK : NOC_EMALFORMED);
            assert_int_equal(fault.offset, result < 0 ? image.n : 0);
            assert_int_equal(read_in_pieces(3, &reader, &count), result);
            assert_int_equal(count, found.n);
        }
    }
}

static void a_bit_flipped_anywhere_ends_in_records_or_a_fault(void **state)
{
    for (unsigned version = 3; version <= 6; version++) {
        image_begin(&image, version);
        image_fill(&image);
        for (size_t bit = 0; bit < image.n * 8; bit++) {
            struct noc_mosquitto_reader reader;
            size_t count;
            int result;

            image.at[bit / 8] ^= (uint8_t)(1U << bit % 8);
            result = read_all(&found, &fault);
            assert_true(result == NOC_OK || fault.what != NULL);
            assert_true(fault.offset <= image.n);
            assert_int_equal(read_in_pieces(5, &reader, &count), result);
            assert_int_equal(count, found.n);
            if (result < 0) {
                assert_string_equal(reader.fault.what, fault.what);
            }
            image.at[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
    }
}

/* The image's last chunk, whose body begins at image.body, is refused. */
static void check_refused(const char *what, size_t offset)
{
    chunk_end(&image);
    assert_true(read_all(&found, &fault) < 0);
    assert_string_equal(fault.what, what);
    assert_int_equal(fault.offset, offset);
    assert_int_equal(fault.chunk, 2);
}

static void begin_v6(void)
{
    image_begin(&image, 6);
    image_config(&image, 54, true);
}

static void what_no_broker_writes_is_refused_with_its_place(void **state)
{
    begin_v6();
    image_base_message(&image, 1, "x", "", 0);
    image.at[image.body + 30] = 3;
    check_refused("QoS over 2", image.body + 30);
    begin_v6();
    image_base_message(&image, 1, "x", "\x02\x0b", 2);
    check_refused("properties that are none of PUBLISH", image.n - 2);
    begin_v6();
    image_base_message(&image, 1, "x", "\x02\x11\0\0\0\0", 6);
    check_refused("properties that are none of PUBLISH", image.n - 5);
    begin_v6();
    image_base_message(&image, 1, "x", "\0\0", 2);
    check_refused("a chunk longer than its fields", image.n - 1);
    begin_v6();
    image_client_message(&image, 1, "c", 12, 0);
    check_refused("a state that there is not", image.n - 1);
    begin_v6();
    image_client_message(&image, 1, "c", 1, 0);
    image.at[image.body + 15] = 2;
    check_refused("a direction that there is not", image.body + 16);
    begin_v6();
    image_subscription(&image, "c", "f", 0, 0x40);
    check_refused("options that there are not", image.body + 9);
    begin_v6();
    image_subscription(&image, "c", "f", 0, 0);
    image.at[image.body + 7] = 2;
    check_refused("filter is longer than its chunk", image.body + 13);
    begin_v6();
    image_retained(&image, 1);
    image_u8(&image, 0);
    check_refused("a chunk too long for its type", image.body - 4);
    begin_v6();
    image_client(&image, "c", "u");
    image.at[image.body + 14] = 0xff;
    check_refused("client id is longer than its chunk", image.body + 24);
}

static void a_config_record_comes_first(void **state)
{
    for (unsigned version = 3; version <= 6; version++) {
        image_begin(&image, version);
        image_retained(&image, 1);
        assert_int_equal(read_all(&found, &fault), NOC_OK); /* or not at all */
        image_config(&image, UINT64_C(54) << 56, true);
        assert_int_equal(read_all(&found, &fault), NOC_EMALFORMED);
        assert_string_equal(fault.what, "a config record that isn't the first");
        assert_int_equal(fault.offset, image.body);
    }
}

static void store_ids_of_another_size_are_refused(void **state)
{
    begin_v6();
    image.at[image.body + 9] = 4;
    assert_int_equal(read_all(&found, &fault), NOC_EMALFORMED);
    assert_int_equal(fault.offset, image.body + 9);
}

static void a_length_that_no_chunk_has_wants_no_memory(void **state)
{
    struct noc_mosquitto_reader reader;
    size_t count;

    begin_v6();
    chunk_begin(&image, 2);
    (void)noc_put_u32(image.at + image.body - 4, UINT32_MAX);
    assert_int_equal(read_all(&found, &fault), NOC_ETOOLARGE);
    assert_int_equal(fault.offset, image.body - 4);
    assert_int_equal(read_in_pieces(1, &reader, &count), NOC_ETOOLARGE);
    assert_true(reader.wanted <= 23);
    /* One of an unknown type is passed over without being held. */
    begin_v6();
    chunk_begin(&image, 2000);
    (void)noc_put_u32(image.at + image.body - 4, UINT32_MAX);
    image_u32(&image, 0);
    assert_int_equal(read_in_pieces(1, &reader, &count), NOC_EMALFORMED);
    assert_int_equal(count, 2);
    assert_int_equal(reader.wanted, 1);
}

static void a_reader_that_met_a_fault_stays_there(void **state)
{
    struct noc_mosquitto_reader reader;
    struct noc_mosquitto_record record;
    size_t used = 0;
    size_t count;

    begin_v6();
    image.at[image.body + 9] = 4;
    assert_int_equal(read_in_pieces(7, &reader, &count), NOC_EMALFORMED);
    begin_v6();
    assert_int_equal(
        noc_mosquitto_read(&reader, image.at, image.n, &used, &record), NOC_EMALFORMED);
    assert_int_equal(noc_mosquitto_read_end(&reader, 0), NOC_EMALFORMED);
}

/* What Debian's Mosquitto 2.0.11 writes for a client without a user name behind one that has one. */
static void a_user_name_that_belongs_to_another_client_is_doubted(void **state)
{
    char memory[0x0700] = "annuser";

    memory[9] = 'x';
    begin_v6();
    image_client(&image, "ann", "annuser");
    image_client_named(&image, "bob", memory, sizeof(memory));
    image_client(&image, "cid", "annuser"); /* no name either: the length is turned again */
    image_client(&image, "dan", "another");
    image_client(&image, "eve", "another");
    image_client(&image, "fay", "");
    assert_int_equal(read_all(&found, &fault), NOC_OK);
    assert_text(found.at[1].client.username, "annuser");
    assert_false(found.at[1].client.is_username_doubtful);
    assert_text(found.at[2].client.username, "");
    assert_true(found.at[2].client.is_username_doubtful);
    assert_text(found.at[3].client.username, "annuser");
    assert_true(found.at[3].client.is_username_doubtful);
    assert_text(found.at[4].client.username, "another");
    for (size_t i = 4; i < found.n; i++) {
        assert_false(found.at[i].client.is_username_doubtful);
    }
}

static int stop(void *context, const struct noc_mosquitto_record *record)
{
    ++*(unsigned *)context;
    return record->kind == NOC_MOSQUITTO_CLIENT ? NOC_EFULL : NOC_OK;
}

static void a_visitor_can_end_the_walk(void **state)
{
    unsigned visits = 0;

    image_begin(&image, 6);
    image_fill(&image);
    assert_int_equal(noc_mosquitto_read_all(image.at, image.n, stop, &visits, &fault), NOC_EFULL);
    assert_int_equal(visits, 3);
}

static void kinds_and_states_have_names(void **state)
{
    assert_string_equal(noc_mosquitto_kind_name(NOC_MOSQUITTO_CLIENT), "client");
    assert_string_equal(noc_mosquitto_kind_name(NOC_MOSQUITTO_KINDS), "unknown");
    assert_string_equal(noc_mosquitto_state_name(NOC_MOSQUITTO_QUEUED), "queued");
    assert_string_equal(noc_mosquitto_state_name(99), "invalid");
}

static int setup(void **state)
{
    guard_init(&guard, sizeof(image.at));
    return 0;
}

static int teardown(void **state)
{
    guard_done(&guard);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_of_every_version_is_told),
        cmocka_unit_test(files_of_other_machines_are_told),
        cmocka_unit_test(a_file_without_records_is_sound),
        cmocka_unit_test(other_files_and_versions_are_refused),
        cmocka_unit_test(a_chunk_of_unknown_type_is_passed_over_and_told),
        cmocka_unit_test(how_a_file_is_cut_into_reads_changes_nothing),
        cmocka_unit_test(a_file_cut_anywhere_but_between_chunks_is_a_fault),
        cmocka_unit_test(a_bit_flipped_anywhere_ends_in_records_or_a_fault),
        cmocka_unit_test(what_no_broker_writes_is_refused_with_its_place),
        cmocka_unit_test(a_config_record_comes_first),
        cmocka_unit_test(store_ids_of_another_size_are_refused),
        cmocka_unit_test(a_length_that_no_chunk_has_wants_no_memory),
        cmocka_unit_test(a_reader_that_met_a_fault_stays_there),
        cmocka_unit_test(a_user_name_that_belongs_to_another_client_is_doubted),
        cmocka_unit_test(a_visitor_can_end_the_walk),
        cmocka_unit_test(kinds_and_states_have_names),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
