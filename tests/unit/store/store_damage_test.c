/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are not what they were: never used wrongly, and not touched unless that is wanted. */
#define _GNU_SOURCE
#include "store_harness.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int setup(void **state)
{
    static struct world world;

    world_init(&world);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    world_done(*state);
    return 0;
}

struct bytes {
    uint8_t *at;
    size_t n;
};

static struct bytes read_file(const char *path)
{
    struct bytes bytes = {NULL, 0};
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    bytes.n = (size_t)ftell(file);
    rewind(file);
    bytes.at = malloc(bytes.n + 1);
    assert_non_null(bytes.at);
    assert_int_equal(fread(bytes.at, 1, bytes.n, file), bytes.n);
    (void)fclose(file);
    return bytes;
}

static void write_file(const char *path, const void *at, size_t n)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(at, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static void expect_file(const char *path, const void *at, size_t n)
{
    struct bytes bytes = read_file(path);

    assert_int_equal(bytes.n, n);
    assert_memory_equal(bytes.at, at, n);
    free(bytes.at);
}

/* Files of the folder that end so. */
static unsigned count_files(const struct world *world, const char *ending)
{
    DIR *folder = opendir(world->folder);
    const struct dirent *entry;
    unsigned count = 0;

    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        size_t n = strlen(entry->d_name);

        count += n > strlen(ending) && strcmp(entry->d_name + n - strlen(ending), ending) == 0;
    }
    (void)closedir(folder);
    return count;
}

static void clear(const struct world *world)
{
    DIR *folder = opendir(world->folder);
    const struct dirent *entry;
    char path[400];

    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%s", world->folder, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(folder);
}

/* What was in the sound file, line by line. */
static char *sound[LINES_MAX];
static size_t sound_count;

static void fill(struct world *world)
{
    struct noc_operations *batch = batch_new();
    char text[900];

    world_open(world);
    for (uint64_t slot = 1; slot <= 20; slot++) {
        (void)snprintf(text, sizeof(text), "client-%d", (int)slot);
        add_session(batch, slot, text);
        add_subscription(batch, NOC_OP_SUBSCRIPTION, slot, NULL, text, 1, 0);
        add_subscription(batch, NOC_OP_SUBSCRIPTION, slot, "share", text, 2, 3);
        add(batch, NOC_OP_INCOMING, slot, 1)->message = message_of("in", text);
        for (uint64_t i = 0; i < 10; i++) {
            int n = snprintf(text, sizeof(text), "payload %d of slot %d", (int)i, (int)slot);

            memset(text + n, 'p', 100);
            text[n + 100] = '\0';
            add_outgoing(batch, slot, i, "topic/of/message", text);
        }
        memset(text, (int)('a' + slot), 800);
        text[800] = '\0';
        add_outgoing(batch, slot, 77, "large", text);
        (void)snprintf(text, sizeof(text), "retained/topic/%d", (int)slot);
        add_retained(batch, text, "value", slot);
    }
    assert_int_equal(submit(world, batch), NOC_OK);
    world_reopen(world);
    world_close(world);
    sound_count = world->line_count;
    assert_int_equal(sound_count, 20 * 16);
    for (size_t i = 0; i < sound_count; i++) {
        sound[i] = strdup(world->lines[i]);
        assert_non_null(sound[i]);
    }
}

static void forget_sound(void)
{
    for (size_t i = 0; i < sound_count; i++) {
        free(sound[i]);
    }
    sound_count = 0;
}

/* What was told is of the sound file, in its order. */
static void expect_some_of_sound(const struct world *world)
{
    size_t at = 0;

    for (size_t i = 0; i < world->line_count; i++) {
        while (at < sound_count && strcmp(sound[at], world->lines[i]) != 0) {
            at++;
        }
        if (at == sound_count) {
            fail_msg("not of the sound file: %s", world->lines[i]);
        }
        at++;
    }
}

static void try_stop(
    struct world *world, const void *at, size_t n, const char *what, unsigned percent)
{
    world->options.on_error = NOC_STORE_STOP;
    write_file(world->path, at, n);
    if (world_try(world) < 0) {
        assert_non_null(strstr(world->error, world->path));
        assert_non_null(strstr(world->error, "persistence_on_error"));
        world_close(world);
        expect_file(world->path, at, n);
        assert_int_equal(count_files(world, ".bad"), 0);
    } else {
        expect_some_of_sound(world);
        if (world->line_count != sound_count) {
            fail_msg("%s at %u %%: %zu lines of %zu, and no error", what, percent,
                world->line_count, sound_count);
        }
    }
    world_close(world);
    clear(world);
}

/* Returns how many lines came back. */
static size_t try_recover(struct world *world, const void *at, size_t n)
{
    size_t count;

    world->options.on_error = NOC_STORE_RECOVER;
    write_file(world->path, at, n);
    world_open(world);
    expect_some_of_sound(world);
    count = world->line_count;
    if (count_files(world, ".bad") == 0 && world->loaded.damaged + world->loaded.strays == 0) {
        assert_int_equal(count, sound_count);
    }
    /* From then on it is sound. */
    world->options.on_error = NOC_STORE_STOP;
    world_reopen(world);
    assert_int_equal(world->line_count, count);
    assert_int_equal(world->loaded.damaged + world->loaded.strays, 0);
    world_close(world);
    clear(world);
    return count;
}

static void a_file_cut_short_is_never_used(void **state)
{
    struct world *world = *state;
    struct bytes bytes;

    fill(world);
    bytes = read_file(world->path);
    clear(world);
    for (unsigned percent = 0; percent < 100; percent++) {
        size_t n = bytes.n * percent / 100;
        size_t count;

        try_stop(world, bytes.at, n, "cut", percent);
        count = try_recover(world, bytes.at, n);
        /* Beyond what all tables begin with, what is left of the file is left of them. */
        assert_true(percent < 20 || count * 100 >= sound_count * (percent - 20));
    }
    free(bytes.at);
    forget_sound();
}

static void a_flipped_bit_is_seen_or_harmless(void **state)
{
    struct world *world = *state;
    struct bytes bytes;

    fill(world);
    bytes = read_file(world->path);
    clear(world);
    for (unsigned percent = 0; percent < 100; percent++) {
        size_t at = bytes.n * percent / 100 + percent % 7;
        uint8_t before = bytes.at[at];
        size_t count;

        bytes.at[at] = (uint8_t)(before ^ 1U << percent % 8);
        try_stop(world, bytes.at, bytes.n, "bit", percent);
        count = try_recover(world, bytes.at, bytes.n);
        /* At most one row goes; with that of a session what belongs to it. */
        assert_true(count + 16 >= sound_count);
        bytes.at[at] = before;
    }
    free(bytes.at);
    forget_sound();
}

static void other_files_are_not_taken_for_stores(void **state)
{
    struct world *world = *state;
    static const uint8_t nothing[20000];
    struct bytes bytes;

    fill(world);
    bytes = read_file(world->path);
    clear(world);
    try_stop(world, nothing, sizeof(nothing), "nothing", 0);
    assert_int_equal(try_recover(world, nothing, sizeof(nothing)), 0);
    try_stop(world, "text", 4, "text", 0);
    assert_int_equal(try_recover(world, "text", 4), 0);
    bytes.at[63] = 99; /* user_version */
    try_stop(world, bytes.at, bytes.n, "version", 0);
    assert_non_null(strstr(world->error, "version 99"));
    bytes.at[63] = NOC_STORE_VERSION;
    bytes.at[71] = 'x'; /* application_id */
    try_stop(world, bytes.at, bytes.n, "application", 0);
    assert_non_null(strstr(world->error, "not a store of Noctule"));
    free(bytes.at);
    forget_sound();
}

static uint64_t seed = 7;

static size_t below(size_t limit)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)((seed >> 33) % limit);
}

/* Some bytes, a page of zeros, or a page in the place of another. */
static void spoil(struct bytes *bytes)
{
    size_t pages = bytes->n / NOC_STORE_PAGE_BYTES;

    for (size_t edits = 1 + below(4); edits > 0; edits--) {
        uint8_t *page = bytes->at + below(pages) * NOC_STORE_PAGE_BYTES;

        switch (below(4)) {
        case 0:
            memset(page, 0, NOC_STORE_PAGE_BYTES);
            break;
        case 1:
            memmove(page, bytes->at + below(pages) * NOC_STORE_PAGE_BYTES, NOC_STORE_PAGE_BYTES);
            break;
        case 2:
            page[below(100)] = (uint8_t)below(256); /* where its structure is */
            break;
        default:
            page[below(NOC_STORE_PAGE_BYTES)] = (uint8_t)below(256);
        }
    }
}

static void any_damage_is_survived(void **state)
{
    struct world *world = *state;
    struct bytes bytes, copy;
    unsigned rounds = getenv("NOCTULE_LONG") != NULL ? 20000 : 100;

    fill(world);
    bytes = read_file(world->path);
    clear(world);
    copy = bytes;
    copy.at = malloc(bytes.n);
    assert_non_null(copy.at);
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t before = seed;

        memcpy(copy.at, bytes.at, bytes.n);
        spoil(&copy);
        try_stop(world, copy.at, copy.n, "seed", (unsigned)before);
        (void)try_recover(world, copy.at, copy.n);
    }
    free(bytes.at);
    free(copy.at);
    forget_sound();
}

/* Its tables begin elsewhere then. */
static void a_file_that_was_vacuumed_is_salvaged_too(void **state)
{
    struct world *world = *state;
    struct bytes bytes;
    sqlite3 *db;

    fill(world);
    assert_int_equal(sqlite3_open(world->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "DROP INDEX outgoing_message; VACUUM", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    bytes = read_file(world->path);
    clear(world);
    assert_int_equal(try_recover(world, bytes.at, bytes.n), sound_count);
    free(bytes.at);
    forget_sound();
}

/* A row whose bytes were changed within a sound page: only the checksum knows. */
static void a_damaged_row_is_named(void **state)
{
    struct world *world = *state;
    struct bytes bytes;
    uint8_t *at;

    fill(world);
    bytes = read_file(world->path);
    clear(world);
    at = memmem(bytes.at, bytes.n, "payload 3 of slot 7", 19);
    assert_non_null(at);
    at[8] = '4';
    world->options.on_error = NOC_STORE_STOP;
    write_file(world->path, bytes.at, bytes.n);
    assert_int_equal(world_try(world), NOC_EMALFORMED);
    assert_non_null(strstr(world->error, "outgoing"));
    assert_non_null(strstr(world->error, "slot 7, number 3"));
    world_close(world);
    expect_file(world->path, bytes.at, bytes.n);

    world->options.on_error = NOC_STORE_RECOVER;
    world_open(world);
    assert_int_equal(world->line_count, sound_count - 1);
    assert_int_equal(world->loaded.damaged, 1);
    assert_non_null(strstr(world->log, "slot 7, number 3"));
    world_close(world);

    world->options.on_error = NOC_STORE_EMPTY;
    write_file(world->path, bytes.at, bytes.n);
    world_open(world);
    assert_int_equal(world->line_count, 0);
    assert_int_equal(count_files(world, ".bad"), 1);
    free(bytes.at);
    forget_sound();
}

static void empty_sets_the_bad_file_aside(void **state)
{
    struct world *world = *state;
    char path[200];

    world->options.on_error = NOC_STORE_EMPTY;
    write_file(world->path, "text", 4);
    (void)snprintf(path, sizeof(path), "%s-wal", world->path);
    write_file(path, "log", 3);
    world_open(world);
    assert_int_equal(world->line_count, 0);
    (void)snprintf(path, sizeof(path), "%s.20270115-080000.bad", world->path);
    expect_file(path, "text", 4);
    (void)snprintf(path, sizeof(path), "%s.20270115-080000.bad-wal", world->path);
    expect_file(path, "log", 3);
    world_close(world);
    /* Another in the same second. */
    write_file(world->path, "more", 4);
    world_open(world);
    (void)snprintf(path, sizeof(path), "%s.20270115-080000-2.bad", world->path);
    expect_file(path, "more", 4);
}

/* A log that belongs to a file that is not there any more must not meet a new one. */
static void a_log_alone_is_not_taken_on(void **state)
{
    struct world *world = *state;
    char path[200];

    (void)snprintf(path, sizeof(path), "%s-wal", world->path);
    write_file(path, "log", 3);
    assert_int_equal(world_try(world), NOC_EMALFORMED);
    world_close(world);
    expect_file(path, "log", 3);
    world->options.on_error = NOC_STORE_RECOVER;
    world_open(world);
    assert_int_equal(count_files(world, ".bad-wal"), 1);
}

/* A start that died while a new file was to take the place of a bad one. */
static void a_swap_that_was_broken_off_goes_on(void **state)
{
    struct world *world = *state;
    struct bytes bytes;
    char path[200];

    fill(world);
    bytes = read_file(world->path);
    clear(world);
    (void)snprintf(path, sizeof(path), "%s.new", world->path);
    write_file(path, bytes.at, bytes.n);
    (void)snprintf(path, sizeof(path), "%s-wal", world->path);
    write_file(path, "log", 3);
    world_open(world);
    assert_int_equal(world->line_count, sound_count);
    world_close(world);
    /* With the old one still in its place the new one is done again. */
    (void)snprintf(path, sizeof(path), "%s.new", world->path);
    write_file(path, "half", 4);
    (void)snprintf(path, sizeof(path), "%s.new~", world->path);
    write_file(path, "half", 4);
    world_open(world);
    assert_int_equal(world->line_count, sound_count);
    assert_int_equal(count_files(world, ".new"), 0);
    free(bytes.at);
    forget_sound();
}

static int fail_reads(void *context, enum noc_store_call call, const char *path, const void *bytes,
    int64_t n, int64_t offset)
{
    (void)path;
    (void)bytes;
    (void)n;
    (void)offset;
    return call == NOC_STORE_CALL_READ ? *(int *)context : SQLITE_OK;
}

/* The disk gives errors, or too few bytes, when load reads. */
static void what_cannot_be_read_is_an_error(void **state)
{
    struct world *world = *state;
    static int rc;
    const struct noc_store_visitor visitor = {.session = NULL};
    struct bytes bytes;

    fill(world);
    bytes = read_file(world->path);
    world->fault = (struct noc_store_fault){.ask = fail_reads, .context = &rc};
    for (unsigned i = 0; i < 2; i++) {
        rc = i == 0 ? SQLITE_IOERR_READ : SQLITE_IOERR_SHORT_READ;
        world->options.on_error = NOC_STORE_STOP;
        /* A small cache, so that load must read again what the check read. */
        assert_int_equal(
            noc_store_open(&world->options, &world->store, world->error, sizeof(world->error)),
            NOC_OK);
        assert_int_equal(
            sqlite3_exec(world->store->connection.db, "PRAGMA cache_size = 1", NULL, NULL, NULL),
            SQLITE_OK);
        assert_int_equal(sqlite3_db_release_memory(world->store->connection.db), SQLITE_OK);
        world->store->vfs.fault = world->fault;
        assert_true(noc_store_load(world->store, &visitor, world, &world->loaded, world->error,
                        sizeof(world->error)) < 0);
        rc = SQLITE_OK;
        world_close(world);
        expect_file(world->path, bytes.at, bytes.n);
    }
    free(bytes.at);
    forget_sound();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_cut_short_is_never_used, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_is_seen_or_harmless, setup, teardown),
        cmocka_unit_test_setup_teardown(other_files_are_not_taken_for_stores, setup, teardown),
        cmocka_unit_test_setup_teardown(any_damage_is_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_was_vacuumed_is_salvaged_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_row_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_sets_the_bad_file_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_alone_is_not_taken_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_swap_that_was_broken_off_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_an_error, setup, teardown),
    };

    return cmocka_run_group_tests_name("store_damage", tests, NULL, NULL);
}
