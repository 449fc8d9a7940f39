/* SPDX-License-Identifier: Apache-2.0 */
/* Files on disk, larger than the buffer, and what goes wrong with them. */
#define _GNU_SOURCE
#include "store/mosquitto_file.h"

#include <errno.h>

#include "image.h"

struct fixture {
    char path[64];
    FILE *out;
};

static int setup(void **state)
{
    static struct fixture fixture;
    int fd;

    (void)snprintf(fixture.path, sizeof(fixture.path), "/tmp/noctule-store-XXXXXX");
    fd = mkstemp(fixture.path);
    if (fd < 0) {
        return -1;
    }
    fixture.out = fdopen(fd, "wb");
    *state = &fixture;
    return fixture.out == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    (void)unlink(fixture->path);
    return 0;
}

static void write_record(struct fixture *fixture, const struct noc_mosquitto_record *record)
{
    size_t n = noc_mosquitto_write_size(record);
    uint8_t *chunk = malloc(n);

    assert_non_null(chunk);
    assert_int_equal(noc_mosquitto_write(record, chunk, n), n);
    assert_int_equal(fwrite(chunk, 1, n, fixture->out), n);
    free(chunk);
}

/* Messages of growing payloads, the last of 800 kB, each payload of one letter. */
static unsigned write_messages(struct fixture *fixture)
{
    enum { LARGEST = 800000 };
    char *payload = malloc(LARGEST);
    uint8_t head[NOC_MOSQUITTO_HEAD_BYTES];
    unsigned count = 0;

    assert_non_null(payload);
    noc_mosquitto_write_head(head);
    assert_int_equal(fwrite(head, 1, sizeof(head), fixture->out), sizeof(head));
    for (size_t n = 1; n <= LARGEST; n = n * 3 / 2 + 1) {
        memset(payload, 'a' + (int)(count % 26), n);
        write_record(fixture,
            &(struct noc_mosquitto_record){.kind = NOC_MOSQUITTO_BASE_MESSAGE,
                .base_message = {
                    .store_id = n, .topic = noc_slice_of("t"), .payload = noc_slice(payload, n)}});
        count++;
    }
    free(payload);
    return count;
}

static void check_messages(struct noc_mosquitto_file *file, unsigned count)
{
    struct noc_mosquitto_record record;

    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(noc_mosquitto_file_next(file, &record), 1);
        assert_int_equal(record.base_message.payload.n, record.base_message.store_id);
        assert_int_equal(record.base_message.payload.at[0], 'a' + (int)(i % 26));
        assert_int_equal(
            record.base_message.payload.at[record.base_message.payload.n - 1], 'a' + (int)(i % 26));
    }
}

static void a_file_larger_than_the_buffer_is_read_again_and_again(void **state)
{
    struct fixture *fixture = *state;
    unsigned count = write_messages(fixture);
    struct noc_mosquitto_file file;
    struct noc_mosquitto_record record;

    assert_int_equal(fclose(fixture->out), 0);
    assert_int_equal(noc_mosquitto_file_open(&file, fixture->path), NOC_OK);
    for (unsigned i = 0; i < 3; i++) {
        check_messages(&file, count);
        assert_int_equal(noc_mosquitto_file_next(&file, &record), 0);
        assert_int_equal(noc_mosquitto_file_next(&file, &record), 0);
        assert_int_equal(file.reader.version, 6);
        assert_int_equal(noc_mosquitto_file_rewind(&file), NOC_OK);
    }
    noc_mosquitto_file_close(&file);
}

static void a_length_that_lies_takes_no_memory(void **state)
{
    struct fixture *fixture = *state;
    unsigned count = write_messages(fixture);
    struct noc_mosquitto_file file;
    struct noc_mosquitto_record record;

    /* A chunk of 200 MB, of which there is a byte. */
    assert_int_equal(fwrite("\0\0\0\2\x0b\xeb\xc2\0x", 1, 9, fixture->out), 9);
    assert_int_equal(fclose(fixture->out), 0);
    assert_int_equal(noc_mosquitto_file_open(&file, fixture->path), NOC_OK);
    check_messages(&file, count);
    assert_int_equal(noc_mosquitto_file_next(&file, &record), NOC_EMALFORMED);
    assert_string_equal(file.reader.fault.what, "the file ends within a chunk");
    assert_int_equal(file.reader.fault.type, NOC_MOSQUITTO_BASE_MESSAGE);
    assert_int_equal(noc_mosquitto_file_next(&file, &record), NOC_EMALFORMED);
    assert_true(file.room < 4 << 20);
    noc_mosquitto_file_close(&file);
}

static void an_empty_file_is_a_fault_and_none_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct noc_mosquitto_file file;
    struct noc_mosquitto_record record;

    assert_int_equal(fclose(fixture->out), 0);
    assert_int_equal(noc_mosquitto_file_open(&file, fixture->path), NOC_OK);
    assert_int_equal(noc_mosquitto_file_next(&file, &record), NOC_EMALFORMED);
    noc_mosquitto_file_close(&file);
    assert_int_equal(noc_mosquitto_file_open(&file, "/tmp"), NOC_OK);
    assert_int_equal(noc_mosquitto_file_next(&file, &record), NOC_EIO);
    assert_int_equal(errno, EISDIR);
    noc_mosquitto_file_close(&file);
    assert_int_equal(noc_mosquitto_file_open(&file, "/nowhere/at/all"), NOC_EIO);
    assert_int_equal(errno, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_file_larger_than_the_buffer_is_read_again_and_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_length_that_lies_takes_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_empty_file_is_a_fault_and_none_an_error, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
