/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of several batches that count as one. */
#define _GNU_SOURCE
#include "store_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static unsigned done;

static void on_done(struct noc_ticket *ticket)
{
    (void)ticket;
    done++;
}

/* One operation under a ticket, in a batch between two that have none. */
static struct noc_operations *part(struct noc_ticket *ticket, uint64_t sequence, bool is_last)
{
    struct noc_operations *batch = batch_new();

    add_outgoing(batch, 1, sequence, "plain", "x");
    add_outgoing(batch, 1, sequence + 100, "ticket", "x");
    batch->at[1].ticket = ticket;
    add_outgoing(batch, 1, sequence + 1, "plain", "x");
    if (is_last) {
        add(batch, NOC_OP_PART, 0, 0)->ticket = ticket;
    }
    return batch;
}

static void begin(struct world *world)
{
    struct noc_operations *batch = batch_new();

    done = 0;
    world_open(world);
    add_session(batch, 1, "one");
    assert_int_equal(submit(world, batch), NOC_OK);
}

/* How many rows have a ticket's topic, after a start. */
static unsigned count(struct world *world, const char *text)
{
    unsigned found = 0;

    world_reopen(world);
    for (size_t i = 0; i < world->line_count; i++) {
        found += strstr(world->lines[i], text) != NULL;
    }
    return found;
}

static void a_ticket_of_one_part_goes_with_its_batch(void **state)
{
    struct world *world = *state;
    struct noc_ticket ticket = {.parts = 1, .done = on_done};

    begin(world);
    assert_int_equal(submit(world, part(&ticket, 1, true)), NOC_OK);
    noc_store_stop(world->store);
    assert_int_equal(done, 1);
    assert_null(ticket.held);
    assert_int_equal(count(world, "'ticket'"), 1);
    assert_int_equal(world->loaded.outgoing, 3);
}

static void parts_wait_for_one_another(void **state)
{
    struct world *world = *state;
    struct noc_ticket two = {.parts = 2, .done = on_done};
    struct noc_ticket three = {.parts = 3, .done = on_done};

    begin(world);
    assert_int_equal(submit(world, part(&three, 1, true)), NOC_OK);
    assert_int_equal(submit(world, part(&two, 11, true)), NOC_OK);
    assert_int_equal(submit(world, part(&three, 21, true)), NOC_OK);
    noc_store_stop(world->store);
    assert_int_equal(done, 0);
    assert_int_equal(three.have, 2);
    assert_int_equal(count(world, "'ticket'"), 0);
    assert_int_equal(count(world, "'plain'"), 6);

    two.have = three.have = 0;
    two.held = three.held = NULL;
    assert_int_equal(submit(world, part(&three, 1, true)), NOC_OK);
    assert_int_equal(submit(world, part(&two, 11, true)), NOC_OK);
    assert_int_equal(submit(world, part(&three, 21, true)), NOC_OK);
    assert_int_equal(submit(world, part(&two, 31, true)), NOC_OK);
    assert_int_equal(submit(world, part(&three, 41, true)), NOC_OK);
    noc_store_stop(world->store);
    assert_int_equal(done, 2);
    assert_int_equal(count(world, "'ticket'"), 5);
}

/* A batch without the end of its worker's part: the ticket waits, also over further batches. */
static void a_part_may_come_in_several_batches(void **state)
{
    struct world *world = *state;
    struct noc_ticket ticket = {.parts = 1, .done = on_done};

    begin(world);
    assert_int_equal(submit(world, part(&ticket, 1, false)), NOC_OK);
    assert_int_equal(ticket.have, 0);
    assert_int_equal(submit(world, part(&ticket, 11, true)), NOC_OK);
    noc_store_stop(world->store);
    assert_int_equal(done, 1);
    assert_int_equal(count(world, "'ticket'"), 2);
}

static void a_session_that_ends_takes_what_is_held(void **state)
{
    struct world *world = *state;
    struct noc_ticket ticket = {.parts = 2, .done = on_done};
    struct noc_operations *batch;

    begin(world);
    assert_int_equal(submit(world, part(&ticket, 1, true)), NOC_OK);
    batch = batch_new();
    add(batch, NOC_OP_SESSION_END, 1, 0);
    add_session(batch, 2, "two");
    assert_int_equal(submit(world, batch), NOC_OK);
    batch = batch_new();
    add_outgoing(batch, 2, 1, "ticket", "of two");
    batch->at[0].ticket = &ticket;
    add_retained(batch, "ticket", "x", 1);
    batch->at[1].ticket = &ticket;
    add(batch, NOC_OP_PART, 0, 0)->ticket = &ticket;
    assert_int_equal(submit(world, batch), NOC_OK);
    noc_store_stop(world->store);
    assert_int_equal(done, 1);
    assert_int_equal(count(world, "'ticket'"), 2);
    assert_int_equal(world->loaded.strays, 0);
    assert_int_equal(world->loaded.outgoing, 1);
}

/* The messages of a ticket that never completes are given back. */
static void an_incomplete_ticket_is_forgotten_at_the_end(void **state)
{
    struct world *world = *state;
    struct noc_ticket ticket = {.parts = 2, .done = on_done};

    begin(world);
    assert_int_equal(submit(world, part(&ticket, 1, true)), NOC_OK);
    world_close(world);
    assert_int_equal(done, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_ticket_of_one_part_goes_with_its_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_wait_for_one_another, setup, teardown),
        cmocka_unit_test_setup_teardown(a_part_may_come_in_several_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_that_ends_takes_what_is_held, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_incomplete_ticket_is_forgotten_at_the_end, setup, teardown),
    };

    return cmocka_run_group_tests_name("store_ticket", tests, NULL, NULL);
}
