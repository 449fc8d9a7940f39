/* SPDX-License-Identifier: Apache-2.0 */
/* The generic loop, over a transport that plays a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include <noctule/client.h>
#include <noctule/error.h>
#include <noctule/transport.h>

struct script {
    struct noc_transport transport;
    const uint8_t *in; /* what the server says, once something was written */
    size_t in_n;
    uint8_t out[256];
    size_t out_n;
    size_t write_max; /* how much a call of write() takes */
    int read_error, write_error;
    uint32_t waited_ms; /* the longest time that read() was allowed to wait */
    uint32_t write_waited_ms;
    unsigned reads;
    bool is_closed;
};

static struct script *script_of(struct noc_transport *transport)
{
    return NOC_CONTAINER(transport, struct script, transport);
}

static int script_read(struct noc_transport *transport, void *bytes, size_t n, uint32_t timeout_ms)
{
    struct script *script = script_of(transport);

    script->waited_ms = timeout_ms;
    script->reads++;
    if (script->read_error != 0) {
        return script->read_error;
    }
    n = script->out_n == 0 ? 0 : script->in_n < n ? script->in_n : n;
    if (n > 0) {
        memcpy(bytes, script->in, n);
    }
    script->in += n;
    script->in_n -= n;
    return (int)n;
}

static int script_write(struct noc_transport *transport, const void *bytes, size_t n)
{
    struct script *script = script_of(transport);

    n = n < script->write_max ? n : script->write_max;
    assert_true(script->out_n + n <= sizeof(script->out));
    memcpy(script->out + script->out_n, bytes, n);
    script->out_n += n;
    return script->write_error != 0 ? script->write_error : (int)n;
}

static void script_close(struct noc_transport *transport)
{
    script_of(transport)->is_closed = true;
}

static void script_wait(struct noc_transport *transport, uint32_t timeout_ms)
{
    script_of(transport)->write_waited_ms = timeout_ms;
}

static uint32_t now_ms(void)
{
    return 1000;
}

struct bench {
    struct noc_client client;
    struct noc_client_options options;
    struct script script;
    uint8_t in[256], out[256];
};

static void set_up(struct bench *bench)
{
    static const uint8_t connack[] = {0x20, 2, 0, 0};

    memset(bench, 0, sizeof(*bench));
    bench->options.client_id = noc_slice_of("bat");
    bench->script.transport =
        (struct noc_transport){NULL, script_read, script_write, script_close, script_wait};
    bench->script.in = connack;
    bench->script.in_n = sizeof(connack);
    bench->script.write_max = 1000;
    assert_int_equal(noc_client_init(&bench->client, &bench->options, bench->in, sizeof(bench->in),
                         bench->out, sizeof(bench->out)),
        NOC_OK);
}

static void turn(struct bench *bench, uint32_t timeout_ms)
{
    noc_client_turn(&bench->client, &bench->script.transport, now_ms, timeout_ms);
}

static void an_idle_client_touches_nothing(void **state)
{
    struct bench bench;

    set_up(&bench);
    turn(&bench, 100);
    assert_int_equal(bench.script.out_n, 0);
    assert_false(bench.script.is_closed);
}

static void a_turn_writes_and_reads(void **state)
{
    struct bench bench;
    struct noc_event event;

    set_up(&bench);
    assert_int_equal(noc_client_start(&bench.client, 1000), NOC_OK);
    turn(&bench, 100);
    assert_int_equal(bench.script.out[0], 0x10);
    assert_int_equal(bench.script.waited_ms, 100);
    assert_true(noc_client_next(&bench.client, 1000, &event));
    assert_int_equal(event.kind, NOC_EVENT_CONNECTED);
}

static void it_waits_no_longer_than_the_client_allows(void **state)
{
    struct bench bench;

    set_up(&bench);
    bench.options.answer_s = 2;
    bench.script.in_n = 0;
    assert_int_equal(noc_client_start(&bench.client, 1000), NOC_OK);
    turn(&bench, 60000);
    assert_true(bench.script.waited_ms > 0 && bench.script.waited_ms <= 2000);
}

static void what_is_not_taken_is_tried_again_soon(void **state)
{
    struct bench bench;

    set_up(&bench);
    bench.script.write_max = 0;
    bench.script.in_n = 0;
    assert_int_equal(noc_client_start(&bench.client, 1000), NOC_OK);
    turn(&bench, 60000);
    assert_true(bench.script.waited_ms <= 100);
    bench.script.write_max = 1; /* byte by byte */
    turn(&bench, 60000);
    assert_int_equal(bench.script.out_n, 2u + bench.script.out[1]);
}

/* There is room for nothing that comes until something went, so a loop around it must not spin. */
static void a_full_input_waits_for_what_is_to_go(void **state)
{
    static const uint8_t zeros[256];
    struct noc_client_message message = {.topic = noc_slice_of("t")};
    struct bench bench;
    struct noc_event event;

    set_up(&bench);
    assert_int_equal(noc_client_start(&bench.client, 1000), NOC_OK);
    turn(&bench, 100);
    assert_true(noc_client_next(&bench.client, 1000, &event));
    assert_false(noc_client_next(&bench.client, 1000, &event));
    bench.script.in = zeros;
    bench.script.in_n = sizeof(zeros);
    turn(&bench, 100);
    assert_int_equal(bench.script.in_n, 0);
    assert_int_equal(noc_client_publish(&bench.client, &message, NULL), NOC_OK);
    bench.script.write_max = bench.script.reads = 0;
    turn(&bench, 7000);
    assert_int_equal(bench.script.reads, 0);
    assert_int_equal(bench.script.write_waited_ms, 7000);
    bench.script.transport.wait_writable = NULL;
    turn(&bench, 7000); /* one that can't wait is left alone */
    assert_false(bench.script.is_closed);
}

static void a_broken_transport_ends_the_connection(void **state)
{
    for (int reads = 0; reads < 2; reads++) {
        struct bench bench;
        struct noc_event event;

        set_up(&bench);
        bench.script.in_n = 0;
        if (reads == 1) {
            bench.script.read_error = NOC_ECLOSED;
        } else {
            bench.script.write_error = NOC_EIO;
        }
        assert_int_equal(noc_client_start(&bench.client, 1000), NOC_OK);
        turn(&bench, 100);
        assert_true(bench.script.is_closed);
        assert_true(noc_client_next(&bench.client, 1000, &event));
        assert_int_equal(event.kind, NOC_EVENT_CLOSED);
        assert_int_equal(event.cause.kind, NOC_CAUSE_LOST);
        assert_int_equal(noc_client_state(&bench.client), NOC_CLIENT_IDLE);
    }
}

static void what_came_before_it_broke_is_told(void **state)
{
    static const uint8_t publish[] = {0x30, 4, 0, 1, 't', 'x'};
    struct noc_client_message message = {.topic = noc_slice_of("t")};
    struct bench bench;
    struct noc_event event;

    set_up(&bench);
    assert_int_equal(noc_client_start(&bench.client, 1000), NOC_OK);
    turn(&bench, 100);
    assert_true(noc_client_next(&bench.client, 1000, &event));
    assert_int_equal(noc_client_publish(&bench.client, &message, NULL), NOC_OK);
    bench.script.write_error = NOC_ECLOSED;
    bench.script.in = publish;
    bench.script.in_n = sizeof(publish);
    turn(&bench, 100);
    assert_int_equal(bench.script.waited_ms, 0);
    assert_true(bench.script.is_closed);
    assert_true(noc_client_next(&bench.client, 1000, &event));
    assert_int_equal(event.kind, NOC_EVENT_MESSAGE);
    assert_true(noc_client_next(&bench.client, 1000, &event));
    assert_int_equal(event.kind, NOC_EVENT_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_client_touches_nothing),
        cmocka_unit_test(a_turn_writes_and_reads),
        cmocka_unit_test(it_waits_no_longer_than_the_client_allows),
        cmocka_unit_test(what_is_not_taken_is_tried_again_soon),
        cmocka_unit_test(a_full_input_waits_for_what_is_to_go),
        cmocka_unit_test(a_broken_transport_ends_the_connection),
        cmocka_unit_test(what_came_before_it_broke_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
