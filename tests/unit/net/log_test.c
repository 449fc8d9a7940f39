/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/clock.h"
#include "net/log_queue.h"
#include <noctule/error.h>

enum { FILE_MAX = 16 * 1024 * 1024 };

struct fixture {
    char folder[64];
    char path[96];
    char moved[96];
    struct noc_log_options options;
    struct noc_log *log;
    char *text; /* of the file, after read_file() */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        return 1;
    }
    *state = f;
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/noc-log-XXXXXX");
    if (mkdtemp(f->folder) == NULL) {
        return 1;
    }
    (void)snprintf(f->path, sizeof(f->path), "%s/log", f->folder);
    (void)snprintf(f->moved, sizeof(f->moved), "%s/log.1", f->folder);
    f->options = (struct noc_log_options){
        .destinations = NOC_LOG_TO_FILE, .file = f->path, .no_timestamp = true};
    f->text = malloc(FILE_MAX);
    return f->text == NULL;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    noc_log_close(f->log);
    (void)unlink(f->path);
    (void)unlink(f->moved);
    (void)rmdir(f->folder);
    free(f->text);
    free(f);
    return 0;
}

static void open_log(struct fixture *f)
{
    int file_err = -1;

    assert_int_equal(noc_log_open(&f->options, &f->log, &file_err), NOC_OK);
    assert_int_equal(file_err, 0);
}

static const char *read_file(struct fixture *f, const char *path)
{
    FILE *file = fopen(path, "re");
    size_t n = 0;

    if (file != NULL) {
        n = fread(f->text, 1, FILE_MAX - 1, file);
        (void)fclose(file);
    }
    f->text[n] = '\0';
    return f->text;
}

static void lines_are_written_at_once_before_start(void **state)
{
    struct fixture *f = *state;
    struct stat status;

    open_log(f);
    noc_log(f->log, NOC_LOG_NOTICE, "mosquitto version %s starting", "2.0.0");
    assert_string_equal(read_file(f, f->path), "mosquitto version 2.0.0 starting\n");
    noc_log(f->log, NOC_LOG_ERROR, "second");
    assert_string_equal(read_file(f, f->path), "mosquitto version 2.0.0 starting\nsecond\n");
    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void a_line_begins_with_unix_seconds(void **state)
{
    struct fixture *f = *state;
    long long second = 0;
    char rest[32] = "";

    f->options.no_timestamp = false;
    open_log(f);
    noc_log(f->log, NOC_LOG_NOTICE, "hello");
    assert_int_equal(sscanf(read_file(f, f->path), "%lld: %31s", &second, rest), 2);
    assert_string_equal(rest, "hello");
    assert_true(llabs(second - noc_clock_wall_ms() / 1000) <= 2);
}

static void only_wanted_levels_are_written(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    assert_true(noc_log_wants(f->log, NOC_LOG_INFORMATION));
    assert_false(noc_log_wants(f->log, NOC_LOG_DEBUG));
    assert_false(noc_log_wants(NULL, NOC_LOG_ERROR));
    noc_log(f->log, NOC_LOG_DEBUG, "hidden");
    noc_log_set_levels_mt(f->log, NOC_LOG_DEBUG);
    noc_log(f->log, NOC_LOG_ERROR, "hidden too");
    noc_log(f->log, NOC_LOG_DEBUG, "seen");
    noc_log_set_levels_mt(f->log, NOC_LOG_NONE);
    noc_log(f->log, NOC_LOG_ERROR, "hidden as well");
    noc_log(NULL, NOC_LOG_ERROR, "to no log at all");
    assert_string_equal(read_file(f, f->path), "seen\n");
}

static void nowhere_wants_nothing(void **state)
{
    struct fixture *f = *state;

    f->options.destinations = NOC_LOG_TO_NOWHERE;
    open_log(f);
    assert_false(noc_log_wants(f->log, NOC_LOG_ERROR));
    noc_log_set_levels_mt(f->log, NOC_LOG_ALL);
    assert_false(noc_log_wants(f->log, NOC_LOG_ERROR));
}

static void nobody_can_forge_a_line(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    noc_log(
        f->log, NOC_LOG_NOTICE, "Client %s disconnected.", "x\n1: New client connected\r\x1b[A");
    assert_string_equal(
        read_file(f, f->path), "Client x\\n1: New client connected\\r\\x1b[A disconnected.\n");
}

static void a_line_has_a_thousand_bytes_at_most(void **state)
{
    struct fixture *f = *state;
    char longer[3000];

    memset(longer, 'y', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    f->options.no_timestamp = false;
    open_log(f);
    noc_log(f->log, NOC_LOG_NOTICE, "%s", longer);
    assert_true(strlen(read_file(f, f->path)) <= NOC_LOG_LINE_MAX);
    assert_true(strlen(f->text) > NOC_LOG_LINE_MAX - 10);
    assert_int_equal(f->text[strlen(f->text) - 1], '\n');
}

static void errno_survives_a_line(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    errno = EXDEV;
    noc_log(f->log, NOC_LOG_ERROR, "x");
    assert_int_equal(errno, EXDEV);
}

/* Until the writer thread has written it; promptly, but a busy machine gives it no time at once. */
static void wait_for_line(struct fixture *f, const char *line)
{
    uint64_t before = noc_clock_ms();

    while (strstr(read_file(f, f->path), line) == NULL) {
        assert_true(noc_clock_ms() - before < 5000);
        (void)usleep(1000);
    }
}

static void a_started_log_writes_promptly(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    assert_int_equal(noc_log_start(f->log), NOC_OK);
    assert_int_equal(noc_log_start(f->log), NOC_OK);
    for (int i = 0; i < 3; i++) {
        char expected[32];

        noc_log(f->log, NOC_LOG_NOTICE, "line %d", i);
        (void)snprintf(expected, sizeof(expected), "line %d\n", i);
        wait_for_line(f, expected);
        (void)usleep(20000); /* the writer is asleep again */
    }
}

static void close_writes_what_is_queued(void **state)
{
    struct fixture *f = *state;
    const char *at;
    int count = 0;

    open_log(f);
    assert_int_equal(noc_log_start(f->log), NOC_OK);
    for (int i = 0; i < 1000; i++) {
        noc_log(f->log, NOC_LOG_NOTICE, "line %d", i);
    }
    noc_log_close(f->log);
    f->log = NULL;
    for (at = read_file(f, f->path); *at != '\0'; at = strchr(at, '\n') + 1) {
        int number = -1;

        assert_int_equal(sscanf(at, "line %d\n", &number), 1);
        assert_int_equal(number, count++);
    }
    assert_int_equal(count, 1000);
}

static void a_stopped_log_writes_directly_and_can_start_again(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    assert_int_equal(noc_log_start(f->log), NOC_OK);
    noc_log(f->log, NOC_LOG_NOTICE, "one");
    noc_log_stop(f->log);
    assert_string_equal(read_file(f, f->path), "one\n");
    noc_log(f->log, NOC_LOG_NOTICE, "two");
    assert_string_equal(read_file(f, f->path), "one\ntwo\n");
    assert_int_equal(noc_log_start(f->log), NOC_OK);
    noc_log(f->log, NOC_LOG_NOTICE, "three");
    noc_log_stop(f->log);
    assert_string_equal(read_file(f, f->path), "one\ntwo\nthree\n");
}

enum { WRITERS = 4, LINES = 5000 };

struct talker {
    struct noc_log *log;
    int number;
};

static void *talk(void *argument)
{
    struct talker *talker = argument;

    for (int i = 0; i < LINES; i++) {
        noc_log(talker->log, NOC_LOG_NOTICE, "from %d line %d %.*s", talker->number, i, i % 150,
            "........................................................................."
            ".............................................................................");
    }
    return NULL;
}

/* Every line whole, each thread's in order; what is missing was counted and said. */
static void many_threads_lose_nothing_uncounted(void **state)
{
    struct fixture *f = *state;
    struct talker talkers[WRITERS];
    pthread_t threads[WRITERS];
    int last[WRITERS] = {-1, -1, -1, -1};
    unsigned long seen = 0;
    unsigned long said = 0;
    uint64_t dropped;

    f->options.queue_bytes = 16384;
    open_log(f);
    assert_int_equal(noc_log_start(f->log), NOC_OK);
    for (int i = 0; i < WRITERS; i++) {
        talkers[i] = (struct talker){f->log, i};
        assert_int_equal(pthread_create(&threads[i], NULL, talk, &talkers[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        noc_log_reopen_mt(f->log);
        noc_log_set_levels_mt(f->log, NOC_LOG_ALL);
        (void)usleep(500);
    }
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    noc_log_stop(f->log);
    dropped = noc_log_dropped_mt(f->log);
    for (const char *at = read_file(f, f->path); *at != '\0'; at = strchr(at, '\n') + 1) {
        unsigned long count;
        int from;
        int number;

        if (sscanf(at, "%lu log lines dropped\n", &count) == 1) {
            said += count;
            continue;
        }
        assert_int_equal(sscanf(at, "from %d line %d ", &from, &number), 2);
        assert_true(from >= 0 && from < WRITERS);
        assert_true(number > last[from]);
        assert_int_equal(strspn(strchr(strstr(at, "line ") + 5, ' ') + 1, "."), number % 150);
        last[from] = number;
        seen++;
    }
    assert_int_equal(seen + dropped, WRITERS * LINES);
    assert_int_equal(said, dropped);
    assert_true(seen > 0);
}

static void the_queue_wraps_and_refuses_when_full(void **state)
{
    struct noc_log_queue queue;
    char record[2000];
    char body[500];
    unsigned puts = 0;

    memset(&queue, 0, sizeof(queue));
    assert_int_equal(noc_log_queue_init(&queue, 1), NOC_OK);
    assert_true(noc_log_queue_is_empty(&queue));
    assert_int_equal(noc_log_queue_take(&queue, record, sizeof(record)), 0);
    for (unsigned round = 0; round < 1000; round++) {
        size_t n = round * 7 % sizeof(body);

        memset(body, (int)('a' + round % 26), sizeof(body));
        assert_true(noc_log_queue_put_mt(&queue, true, "head", 4, body, n));
        assert_int_equal(noc_log_queue_take(&queue, record, sizeof(record)), n + 4);
        assert_memory_equal(record, "head", 4);
        assert_memory_equal(record + 4, body, n);
    }
    while (noc_log_queue_put_mt(&queue, true, "head", 4, body, 60)) {
        puts++;
    }
    assert_int_equal(puts, queue.granules);
    assert_int_equal(noc_log_queue_take(&queue, record, sizeof(record)), 64);
    assert_true(noc_log_queue_put_mt(&queue, true, "head", 4, body, 60));
    assert_false(noc_log_queue_put_mt(&queue, true, "head", 4, body, 1));
    noc_log_queue_done(&queue);
}

/* A flood of debug lines once pushed out the warning that memory was short. */
static void the_last_eighth_is_for_what_is_urgent(void **state)
{
    struct noc_log_queue queue;
    char body[60] = "";
    unsigned puts = 0;

    memset(&queue, 0, sizeof(queue));
    assert_int_equal(noc_log_queue_init(&queue, 1), NOC_OK);
    while (noc_log_queue_put_mt(&queue, false, "head", 4, body, sizeof(body))) {
        puts++;
    }
    assert_int_equal(puts, queue.granules - queue.granules / 8);
    while (noc_log_queue_put_mt(&queue, true, "head", 4, body, sizeof(body))) {
        puts++;
    }
    assert_int_equal(puts, queue.granules);
    noc_log_queue_done(&queue);
}

static void rotation_continues_in_a_new_file(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    noc_log(f->log, NOC_LOG_NOTICE, "old");
    assert_int_equal(rename(f->path, f->moved), 0);
    noc_log(f->log, NOC_LOG_NOTICE, "still old");
    noc_log_reopen_mt(f->log);
    noc_log(f->log, NOC_LOG_NOTICE, "new");
    assert_string_equal(read_file(f, f->moved), "old\nstill old\n");
    assert_string_equal(read_file(f, f->path), "new\n");
}

static void a_reload_changes_the_destination(void **state)
{
    struct fixture *f = *state;
    int file_err = -1;

    open_log(f);
    assert_int_equal(noc_log_start(f->log), NOC_OK);
    noc_log(f->log, NOC_LOG_NOTICE, "one");
    wait_for_line(f, "one\n");
    f->options.file = f->moved;
    f->options.levels = NOC_LOG_ALL;
    assert_int_equal(noc_log_configure_mt(f->log, &f->options, &file_err), NOC_OK);
    assert_int_equal(file_err, 0);
    assert_true(noc_log_wants(f->log, NOC_LOG_DEBUG));
    noc_log(f->log, NOC_LOG_DEBUG, "two");
    noc_log_stop(f->log);
    assert_string_equal(read_file(f, f->path), "one\n");
    assert_string_equal(read_file(f, f->moved), "two\n");
    f->options.file = NULL;
    assert_int_equal(noc_log_configure_mt(f->log, &f->options, NULL), NOC_EINVAL);
}

/* Stderr into a file for the time of a test. */
static int divert_stderr(const char *path)
{
    int kept = dup(STDERR_FILENO);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(kept >= 0 && fd >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    (void)close(fd);
    return kept;
}

static void restore_stderr(int kept)
{
    assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
    (void)close(kept);
}

static void a_vanished_folder_is_told_once_and_recovered_from(void **state)
{
    struct fixture *f = *state;
    char side[96];
    char inner[128];
    int file_err = 0;
    int kept;

    (void)snprintf(side, sizeof(side), "%s/side", f->folder);
    (void)snprintf(inner, sizeof(inner), "%s/log", side);
    f->options.file = inner;
    kept = divert_stderr(f->moved);
    assert_int_equal(noc_log_open(&f->options, &f->log, &file_err), NOC_OK);
    noc_log(f->log, NOC_LOG_NOTICE, "lost 1");
    noc_log(f->log, NOC_LOG_NOTICE, "lost 2");
    noc_log_reopen_mt(f->log);
    noc_log(f->log, NOC_LOG_NOTICE, "lost 3");
    restore_stderr(kept);
    assert_int_equal(file_err, ENOENT);
    assert_int_equal(noc_log_dropped_mt(f->log), 3);
    assert_non_null(strstr(read_file(f, f->moved), "Unable to open log file"));
    assert_null(strchr(strchr(f->text, '\n') + 1, '\n'));
    assert_int_equal(mkdir(side, 0700), 0);
    (void)usleep(1100000); /* the pause between two tries */
    noc_log(f->log, NOC_LOG_NOTICE, "found");
    assert_string_equal(read_file(f, inner), "found\n3 log lines dropped\n");
    (void)unlink(inner);
    (void)rmdir(side);
}

static void a_deleted_file_is_made_again(void **state)
{
    struct fixture *f = *state;

    open_log(f);
    noc_log(f->log, NOC_LOG_NOTICE, "gone");
    assert_int_equal(unlink(f->path), 0);
    (void)usleep(1100000); /* it looks once a second */
    noc_log(f->log, NOC_LOG_NOTICE, "here");
    assert_string_equal(read_file(f, f->path), "here\n");
}

static void a_full_disk_is_told_and_survived(void **state)
{
    struct fixture *f = *state;
    int kept;

    f->options.file = "/dev/full";
    kept = divert_stderr(f->moved);
    open_log(f);
    noc_log(f->log, NOC_LOG_NOTICE, "one");
    noc_log(f->log, NOC_LOG_NOTICE, "two");
    restore_stderr(kept);
    assert_int_equal(noc_log_dropped_mt(f->log), 2);
    assert_string_equal(read_file(f, f->moved),
        "Error: Unable to write to log file '/dev/full': No space left on device.\n");
    assert_int_equal(
        noc_log_configure_mt(f->log,
            &(struct noc_log_options){
                .destinations = NOC_LOG_TO_FILE, .file = f->path, .no_timestamp = true},
            NULL),
        NOC_OK);
    noc_log(f->log, NOC_LOG_NOTICE, "three");
    assert_string_equal(read_file(f, f->path), "three\n2 log lines dropped\n");
}

static void a_symbolic_link_is_refused_unless_allowed(void **state)
{
    struct fixture *f = *state;
    int file_err = 0;
    int kept;

    assert_int_equal(symlink(f->moved, f->path), 0);
    kept = divert_stderr("/dev/null");
    assert_int_equal(noc_log_open(&f->options, &f->log, &file_err), NOC_OK);
    restore_stderr(kept);
    assert_int_equal(file_err, ELOOP);
    noc_log_close(f->log);
    f->options.follow_symlinks = true;
    open_log(f);
    noc_log(f->log, NOC_LOG_NOTICE, "through");
    assert_string_equal(read_file(f, f->moved), "through\n");
}

static void stderr_and_dev_stderr_are_the_same_place(void **state)
{
    struct fixture *f = *state;
    int kept = divert_stderr(f->moved);

    f->options.destinations = NOC_LOG_TO_STDERR | NOC_LOG_TO_FILE;
    f->options.file = "/dev/stderr";
    open_log(f);
    noc_log(f->log, NOC_LOG_NOTICE, "twice");
    restore_stderr(kept);
    /* The descriptor is shared, and so is its place in the file. */
    assert_string_equal(read_file(f, f->moved), "twice\ntwice\n");
}

static void a_reader_that_hangs_does_not_hang_the_log(void **state)
{
    struct fixture *f = *state;
    int kept = dup(STDERR_FILENO);
    char block[1024] = {0};
    int ends[2];
    uint64_t before;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], block, sizeof(block)) > 0) {
    }
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    f->options.destinations = NOC_LOG_TO_STDERR;
    open_log(f);
    assert_int_equal(noc_log_start(f->log), NOC_OK);
    before = noc_clock_ms();
    noc_log(f->log, NOC_LOG_NOTICE, "nobody reads this");
    assert_true(noc_clock_ms() - before < 5000);
    noc_log_stop(f->log);
    restore_stderr(kept);
    assert_true(noc_clock_ms() - before < 10000);
    assert_int_equal(noc_log_dropped_mt(f->log), 1);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

struct heard {
    struct noc_log *log;
    unsigned level;
    char line[100];
    char text[100];
    int count;
};

static void hear(void *context, unsigned level, struct noc_slice line, struct noc_slice text)
{
    struct heard *heard = context;

    heard->count++;
    heard->level = level;
    (void)snprintf(heard->line, sizeof(heard->line), "%.*s", NOC_SLICE_ARG(line));
    (void)snprintf(heard->text, sizeof(heard->text), "%.*s", NOC_SLICE_ARG(text));
    noc_log(heard->log, NOC_LOG_NOTICE, "from inside");
}

static void the_topic_hears_line_and_text_and_cannot_recurse(void **state)
{
    struct fixture *f = *state;
    struct heard heard = {0};

    f->options.destinations = NOC_LOG_TO_TOPIC;
    f->options.no_timestamp = false;
    f->options.timestamp_format = "NOW";
    f->options.topic = hear;
    f->options.topic_context = &heard;
    open_log(f);
    heard.log = f->log;
    noc_log(f->log, NOC_LOG_WARNING, "hello");
    /* The line itself, then the word that the one from inside was dropped, and so on never. */
    assert_int_equal(noc_log_dropped_mt(f->log) >= 1, 1);
    assert_true(heard.count >= 1 && heard.count <= 2);
    assert_int_equal(heard.level, NOC_LOG_WARNING);
    heard.log = NULL;
    noc_log(f->log, NOC_LOG_ERROR, "bye");
    noc_log_set_levels_mt(f->log, NOC_LOG_ERROR);
    assert_memory_equal(heard.line, "NOW: ", 5);
    assert_string_equal(heard.line + 5, heard.text);
}

static void bad_options_are_refused(void **state)
{
    struct noc_log_options options = {.destinations = NOC_LOG_TO_FILE};
    struct noc_log *log = NULL;
    char format[300];

    assert_int_equal(noc_log_open(&options, &log, NULL), NOC_EINVAL);
    memset(format, 'x', sizeof(format) - 1);
    format[sizeof(format) - 1] = '\0';
    options = (struct noc_log_options){.timestamp_format = format};
    assert_int_equal(noc_log_open(&options, &log, NULL), NOC_EINVAL);
    assert_null(log);
    noc_log_close(NULL);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(lines_are_written_at_once_before_start),
        LOG_TEST(a_line_begins_with_unix_seconds),
        LOG_TEST(only_wanted_levels_are_written),
        LOG_TEST(nowhere_wants_nothing),
        LOG_TEST(nobody_can_forge_a_line),
        LOG_TEST(a_line_has_a_thousand_bytes_at_most),
        LOG_TEST(errno_survives_a_line),
        LOG_TEST(a_started_log_writes_promptly),
        LOG_TEST(close_writes_what_is_queued),
        LOG_TEST(a_stopped_log_writes_directly_and_can_start_again),
        LOG_TEST(many_threads_lose_nothing_uncounted),
        cmocka_unit_test(the_queue_wraps_and_refuses_when_full),
        cmocka_unit_test(the_last_eighth_is_for_what_is_urgent),
        LOG_TEST(rotation_continues_in_a_new_file),
        LOG_TEST(a_reload_changes_the_destination),
        LOG_TEST(a_vanished_folder_is_told_once_and_recovered_from),
        LOG_TEST(a_deleted_file_is_made_again),
        LOG_TEST(a_full_disk_is_told_and_survived),
        LOG_TEST(a_symbolic_link_is_refused_unless_allowed),
        LOG_TEST(stderr_and_dev_stderr_are_the_same_place),
        LOG_TEST(a_reader_that_hangs_does_not_hang_the_log),
        LOG_TEST(the_topic_hears_line_and_text_and_cannot_recurse),
        cmocka_unit_test(bad_options_are_refused),
    };

    return cmocka_run_group_tests_name("net/log", tests, NULL, NULL);
}
