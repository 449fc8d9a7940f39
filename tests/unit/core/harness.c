/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mailbox.h"

static struct client *client_of(struct noc_link *link)
{
    return NOC_CONTAINER(link, struct client, link);
}

/* Allocation that never fails on purpose. */
static void *resize(struct world *world, void *memory, size_t n)
{
    if (world->own_memory != NULL) {
        world->own_memory(true);
    }
    memory = realloc(memory, n);
    if (world->own_memory != NULL) {
        world->own_memory(false);
    }
    assert_non_null(memory);
    return memory;
}

/* ---- what the core asks ---- */

static void on_wake(struct noc_shard *shard, unsigned worker)
{
    struct world *world = shard->context;

    assert_in_range(worker, 0, world->core.shard_count - 1);
    world->wakes++;
}

static int on_authenticate(
    struct noc_link *link, const struct noc_credentials *credentials, uint64_t ticket)
{
    struct world *world = client_of(link)->world;

    world->asked = *credentials;
    snprintf(world->asked_text, sizeof world->asked_text, "%.*s/%s%.*s/%s%.*s",
        NOC_SLICE_ARG(credentials->client_id), credentials->username.at == NULL ? "-" : "",
        NOC_SLICE_ARG(credentials->username), credentials->password.at == NULL ? "-" : "",
        NOC_SLICE_ARG(credentials->password));
    world->ticket = ticket;
    return world->verdict;
}

/*
 * A method by the name of ECHO: "ok" gets in as the user "echo", "no" does not, "memory" finds
 * none, all else is sent back with "?" behind it and asked again.
 */
static int on_exchange(
    struct noc_link *link, const struct noc_exchange_step *step, uint8_t *ret_data, size_t *ret_n)
{
    struct client *client = client_of(link);
    struct noc_slice data = step->data;
    size_t n = data.n < NOC_AUTH_DATA_MAX - 1 ? data.n : NOC_AUTH_DATA_MAX - 1;

    if (step->is_first && !noc_slice_equal(step->method, TEXT("ECHO"))) {
        return NOC_ENOTSUP;
    }
    client->steps++;
    if (n > 0) {
        memcpy(ret_data, data.at, n);
    }
    if (noc_slice_equal(data, TEXT("no"))) {
        return NOC_EDENIED;
    }
    if (noc_slice_equal(data, TEXT("memory"))) {
        return NOC_ENOMEM;
    }
    if (noc_slice_equal(data, TEXT("ok"))) {
        *ret_n = n;
        link->username = TEXT("echo");
        return NOC_OK;
    }
    ret_data[n] = '?';
    *ret_n = data.at == NULL ? 0 : n + 1;
    return NOC_EAGAIN;
}

static void on_detach(struct noc_link *link)
{
    assert_false(client_of(link)->is_detached);
    client_of(link)->is_detached = true;
}

static void on_adopt(struct noc_link *link)
{
    struct client *client = client_of(link);

    assert_true(client->is_detached);
    assert_int_not_equal(link->state, NOC_LINK_OPEN);
    client->is_detached = false;
    client->is_reading = true;
    client->moves++;
    if (client->fails_to_arrive) {
        noc_link_end(link, NOC_END_MEMORY, "the event loop takes no more");
    }
}

static bool has_gone(struct noc_link *link)
{
    return client_of(link)->has_hung_up;
}

static void on_read_on(struct noc_link *link, bool on)
{
    client_of(link)->is_reading = on;
}

static void on_close(struct noc_link *link)
{
    assert_false(client_of(link)->is_closed);
    client_of(link)->is_closed = true;
}

static void on_tick(struct noc_shard *shard, struct noc_timer *timer)
{
    struct world *world = shard->context;

    assert_in_range(timer->kind, NOC_TIMER_GLUE, 255);
    world->ticks++;
}

static void on_random(struct noc_shard *shard, void *bytes, size_t n)
{
    struct world *world = shard->context;

    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)bytes)[i] = world->random++;
    }
}

static NOC_PRINTF(3, 0) void on_log(
    struct noc_shard *shard, enum noc_log_level level, const char *format, va_list args)
{
    struct world *world = shard->context;
    int n;

    (void)level;
    if (world->log_room - world->log_n < 70000) {
        size_t room = world->log_room * 2 + 140000;
        char *bigger = realloc(world->log, room);

        if (bigger == NULL) {
            return;
        }
        world->log = bigger;
        world->log_room = room;
    }
    n = vsnprintf(world->log + world->log_n, world->log_room - world->log_n - 1, format, args);
    assert_in_range(n, 0, 69000);
    world->log_n += (size_t)n;
    world->log[world->log_n++] = '\n';
    world->log[world->log_n] = '\0';
}

static void on_store(struct noc_shard *shard, struct noc_operations *batch)
{
    struct world *world = shard->context;

    assert_null(world->batch[shard->number]); /* one at a time */
    assert_in_range(batch->count, 1, SIZE_MAX);
    world->batch[shard->number] = batch;
}

static void on_page(struct noc_shard *shard, struct noc_page *page)
{
    struct world *world = shard->context;

    assert_null(world->page); /* these tests have one long queue */
    assert_in_range(page->most, 1, NOC_HEAD_PRESENT);
    assert_true(page->first <= page->last);
    world->page = page;
}

#define OPS                                                                              \
    .wake = on_wake, .authenticate = on_authenticate, .exchange = on_exchange,           \
    .detach = on_detach, .adopt = on_adopt, .has_gone = has_gone, .read_on = on_read_on, \
    .close = on_close, .store = on_store, .tick = on_tick, .random = on_random, .log = on_log

static const struct noc_shard_ops ops_without_pages = {OPS};
static const struct noc_shard_ops ops_with_pages = {OPS, .page = on_page};

/* ---- life ---- */

void world_init(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->now_ms = 1000000;
    world->limits = (struct noc_limits){
        .compatibility = NOC_COMPAT_2_0,
        .max_queued_messages = 1000,
        .max_inflight_messages = 20,
        .max_output_bytes = 4u << 20,
        .connect_timeout_ms = 30000,
        .mailbox_high = 10000,
        .retain_available = true,
        .connection_messages = true,
        .listener_count = WORLD_LISTENERS,
    };
    for (unsigned i = 0; i < WORLD_LISTENERS; i++) {
        world->listeners[i] = (struct noc_listener){.number = i,
            .auto_id_prefix = TEXT("auto-"),
            .port = 1883,
            .max_qos = 2,
            .max_topic_alias = 10,
            .max_topic_alias_broker = 10,
            .allow_zero_length_clientid = true};
    }
    world->verdict = NOC_OK;
}

void world_start(struct world *world, unsigned shard_count)
{
    assert_int_equal(noc_core_init(&world->core, shard_count, &world->limits, 42), NOC_OK);
    for (unsigned i = 0; i < shard_count; i++) {
        assert_int_equal(
            noc_shard_init(&world->shards[i], &world->core, i,
                world->has_pages ? &ops_with_pages : &ops_without_pages, world, world->now_ms),
            NOC_OK);
        if (world->is_durable) {
            assert_int_equal(noc_journal_new(&world->shards[i]), NOC_OK);
        }
    }
}

void world_open(struct world *world, unsigned shard_count)
{
    world_init(world);
    world_start(world, shard_count);
}

static void bury(struct client *client);

void world_close(struct world *world)
{
    for (unsigned i = 0; i < world->core.shard_count; i++) {
        noc_shard_close_links(&world->shards[i]);
    }
    for (unsigned i = 0; i < world->client_count; i++) {
        bury(world->clients[i]);
        free(world->clients[i]->heard);
        free(world->clients[i]->text);
        free(world->clients[i]);
    }
    for (unsigned i = 0; i < world->core.shard_count; i++) {
        struct noc_shard *shard = &world->shards[i];

        noc_shard_done(shard);
        assert_int_equal(shard->counters[NOC_COUNT_SESSIONS], 0);
        assert_int_equal(shard->counters[NOC_COUNT_MESSAGES_QUEUED], 0);
        assert_int_equal(shard->counters[NOC_COUNT_BYTES_QUEUED], 0);
        assert_int_equal(shard->counters[NOC_COUNT_UNSTORED], 0);
        assert_int_equal(shard->counters[NOC_COUNT_PAUSED], 0);
    }
    noc_page_arrived(NULL, world->page);
    noc_operations_done(&world->rows);
    noc_core_done(&world->core);
    free(world->log);
}

/* ---- turns ---- */

static void hear(struct client *client, const uint8_t *bytes, size_t n)
{
    if (client->heard_room - client->heard_n < n) {
        client->heard_room = (client->heard_n + n) * 2;
        client->heard = resize(client->world, client->heard, client->heard_room);
    }
    memcpy(client->heard + client->heard_n, bytes, n);
    client->heard_n += n;
}

/* The socket takes what it takes. */
static void flush(struct client *client)
{
    struct noc_link *link = &client->link;

    while (link->out.bytes > 0 && client->takes > 0 && !link->is_gated) {
        const struct noc_segment *first = link->out.first;
        size_t n = first->n < client->takes ? first->n : client->takes;

        hear(client, first->at, n);
        client->takes -= client->takes == SIZE_MAX ? 0 : n;
        noc_outq_consume(&link->out, &link->shard->blocks, n);
    }
    link->is_blocked = link->out.bytes > 0 && !link->is_gated;
}

static void bury(struct client *client)
{
    if (client->is_closed && !client->is_gone) {
        client->is_gone = true;
        flush(client);
        noc_link_done(&client->link);
    }
}

static void flush_dirty(struct noc_shard *shard)
{
    struct noc_list turn, *at;

    noc_list_init(&turn);
    noc_list_join(&turn, &shard->dirty);
    while ((at = noc_list_take(&turn)) != NULL) {
        struct noc_link *link = NOC_CONTAINER(at, struct noc_link, dirty);

        flush(client_of(link));
        if (!link->is_blocked && link->state == NOC_LINK_OPEN) {
            noc_link_drained(link);
        }
    }
}

/* Sockets that take bytes again. */
static void on_writable(struct world *world, const struct noc_shard *shard)
{
    for (unsigned i = 0; i < world->client_count; i++) {
        struct client *client = world->clients[i];

        if (!client->is_closed && client->link.shard == shard && client->link.is_blocked &&
            client->takes > 0) {
            flush(client);
            if (!client->link.is_blocked) {
                noc_link_drained(&client->link);
            }
        }
    }
}

struct input {
    void (*act)(struct noc_shard *shard, const void *argument);
    const void *argument;
    struct client *client;
    const void *bytes;
    size_t n;
    bool is_end;
    bool is_judged;
    int result;
};

static uint64_t turn(struct world *world, struct noc_shard *shard, const struct input *input)
{
    uint64_t rest_ms;

    noc_shard_begin(shard, world->now_ms);
    noc_shard_drain_mail(shard);
    on_writable(world, shard);
    if (input != NULL && input->act != NULL) {
        input->act(shard, input->argument);
    } else if (input != NULL && input->is_judged) {
        noc_link_authenticated(shard, world->ticket, input->result);
    } else if (input != NULL && input->is_end) {
        noc_link_end(&input->client->link, NOC_END_PEER_CLOSED, NULL);
    } else if (input != NULL) {
        /* A block of its own, so that a byte read behind it is noticed. */
        uint8_t *bytes = resize(world, NULL, input->n == 0 ? 1 : input->n);

        memcpy(bytes, input->bytes, input->n);
        noc_link_feed(&input->client->link, bytes, input->n);
        free(bytes);
    }
    noc_shard_settle(shard);
    flush_dirty(shard);
    rest_ms = noc_shard_end(shard);
    for (unsigned i = 0; i < world->client_count; i++) {
        if (world->clients[i]->link.shard == shard) {
            bury(world->clients[i]);
        }
    }
    if (!noc_shard_sleep(shard)) {
        rest_ms = 0;
    }
    noc_shard_woken(shard);
    return rest_ms;
}

void world_turn(struct world *world, unsigned shard)
{
    (void)turn(world, &world->shards[shard], NULL);
}

void world_settle(struct world *world)
{
    bool is_busy = true;

    for (unsigned round = 0; is_busy; round++) {
        assert_in_range(round, 0, 100000);
        is_busy = false;
        for (unsigned i = 0; i < world->core.shard_count; i++) {
            if (!world->is_frozen[i]) {
                is_busy |= turn(world, &world->shards[i], NULL) == 0;
            }
        }
        for (unsigned i = 0; i < world->core.shard_count; i++) {
            is_busy |= !world->is_frozen[i] && noc_mailbox_weight_mt(&world->shards[i].mailbox) > 0;
        }
    }
}

void world_advance(struct world *world, uint64_t ms)
{
    while (ms > 0) {
        uint64_t step = ms < 1000 ? ms : 1000;

        world->now_ms += step;
        ms -= step;
        world_settle(world);
    }
}

void world_do(struct world *world, unsigned shard,
    void (*act)(struct noc_shard *shard, const void *argument), const void *argument)
{
    struct input input = {.act = act, .argument = argument};

    (void)turn(world, &world->shards[shard], &input);
    world_settle(world);
}

void world_judge(struct world *world, unsigned shard, int result)
{
    struct input input = {.is_judged = true, .result = result};

    (void)turn(world, &world->shards[shard], &input);
    world_settle(world);
}

int64_t world_count(const struct world *world, enum noc_counter counter)
{
    return noc_core_count_mt(&world->core, counter);
}

bool logged(const struct world *world, const char *text)
{
    return world->log_n > 0 && strstr(world->log, text) != NULL;
}

void log_clear(struct world *world)
{
    world->log_n = 0;
}

/* ---- saying ---- */

struct client *dial(struct world *world, unsigned shard, unsigned listener)
{
    struct client *client = resize(world, NULL, sizeof *client);

    memset(client, 0, sizeof *client);
    assert_in_range(world->client_count, 0, WORLD_CLIENTS_MAX - 1);
    world->clients[world->client_count++] = client;
    client->world = world;
    client->takes = SIZE_MAX;
    client->is_reading = true;
    client->next_id = 1;
    client->link.shard = &world->shards[shard];
    client->link.listener = &world->listeners[listener];
    client->link.address = TEXT("192.0.2.7");
    client->link.port = (uint16_t)(40000 + world->client_count);
    client->link.number = world->client_count;
    noc_link_init(&client->link);
    return client;
}

void say_only(struct client *client, const void *bytes, size_t n)
{
    struct input input = {.client = client, .bytes = bytes, .n = n};

    assert_false(client->is_gone);
    assert_false(client->is_detached);
    (void)turn(client->world, client->link.shard, &input);
}

void say(struct client *client, const void *bytes, size_t n)
{
    say_only(client, bytes, n);
    world_settle(client->world);
}

void say_connect(struct client *client, struct noc_connect connect)
{
    uint8_t packet[2000];
    size_t n = noc_connect_encode(&connect, packet, sizeof packet);

    assert_int_not_equal(n, 0);
    say(client, packet, n);
}

struct client *join_as(struct world *world, struct noc_connect connect)
{
    struct client *client = dial(world, 0, 0);

    say_connect(client, connect);
    assert_int_equal(client->link.state, NOC_LINK_OPEN);
    assert_in_range(client->heard_n, 4, SIZE_MAX);
    assert_int_equal(client->heard[0], NOC_CONNACK << 4);
    assert_int_equal(client->heard[3], 0);
    client->heard_n -= client->heard[1] + 2u;
    memmove(client->heard, client->heard + client->heard[1] + 2u, client->heard_n);
    return client;
}

struct client *join(struct world *world, const char *id)
{
    return join_as(
        world, (struct noc_connect){.version = NOC_V5, .clean_start = true, .client_id = TEXT(id)});
}

struct client *join_v311(struct world *world, const char *id)
{
    return join_as(world,
        (struct noc_connect){.version = NOC_V311, .clean_start = true, .client_id = TEXT(id)});
}

struct client *stay(struct world *world, const char *id)
{
    return join_as(world,
        (struct noc_connect){
            .version = NOC_V5, .client_id = TEXT(id), .props.raw = BYTES("\x11\xff\xff\xff\xff")});
}

void say_publish_out(
    struct client *client, const struct noc_publish_out *out, struct noc_slice payload)
{
    struct noc_publish_out full = *out;
    size_t room, head_n;
    uint8_t *packet;

    full.payload_n = payload.n;
    room = noc_publish_size(client->link.version, &full);
    packet = malloc(room);
    assert_non_null(packet);
    head_n = noc_publish_encode_head(client->link.version, &full, packet, room);
    assert_int_equal(head_n + payload.n, room);
    if (payload.n > 0) {
        memcpy(packet + head_n, payload.at, payload.n);
    }
    say(client, packet, room);
    free(packet);
}

void say_publish(
    struct client *client, unsigned qos, uint16_t packet_id, const char *topic, const char *payload)
{
    struct noc_publish_out out = {
        .topic = TEXT(topic), .qos = (uint8_t)qos, .packet_id = packet_id};

    if (qos > 0 && packet_id == 0) {
        out.packet_id = client->next_id++;
    }
    say_publish_out(client, &out, TEXT(payload));
}

void say_retained(struct client *client, unsigned qos, const char *topic, const char *payload)
{
    struct noc_publish_out out = {.topic = TEXT(topic),
        .qos = (uint8_t)qos,
        .packet_id = qos > 0 ? client->next_id++ : 0,
        .retain = true};

    say_publish_out(client, &out, TEXT(payload));
}

void say_ack(struct client *client, unsigned type, uint16_t packet_id, uint8_t reason)
{
    uint8_t packet[8];

    say(client, packet,
        noc_ack_encode(client->link.version, type, packet_id, reason, packet, sizeof packet));
}

void say_subscribe(struct client *client, const char *filter, uint8_t options, uint32_t id)
{
    struct noc_subscription entry = {TEXT(filter), options};
    uint8_t wire[600], packet[700], props[8], *props_end = props;
    struct noc_slice entries;

    entries = noc_slice(wire, (size_t)(noc_subscribe_put_entry(wire, &entry) - wire));
    if (id != 0) {
        props_end = noc_prop_put_varint(props, NOC_PROP_SUBSCRIPTION_ID, id);
    }
    say(client, packet,
        noc_subscribe_encode(client->link.version, client->next_id++,
            noc_slice(props, (size_t)(props_end - props)), &entries, packet, sizeof packet));
}

void subscribe(struct client *client, const char *filter, uint8_t options)
{
    char text[60];

    snprintf(text, sizeof text, "SUBACK %u: %u", client->next_id, options & NOC_SUB_QOS);
    say_subscribe(client, filter, options, 0);
    hears(client, text);
}

void say_unsubscribe(struct client *client, const char *filter)
{
    uint8_t wire[600], packet[700];
    struct noc_slice entries =
        noc_slice(wire, (size_t)(noc_unsubscribe_put_entry(wire, TEXT(filter)) - wire));

    say(client, packet,
        noc_unsubscribe_encode(client->link.version, client->next_id++, noc_slice(NULL, 0),
            &entries, packet, sizeof packet));
}

void say_auth(struct client *client, uint8_t reason, const char *method, const char *data)
{
    uint8_t props[2000], packet[2100], *at = props;

    if (method != NULL) {
        at = noc_prop_put_slice(at, NOC_PROP_AUTH_METHOD, noc_slice_of(method));
    }
    if (data != NULL) {
        at = noc_prop_put_slice(at, NOC_PROP_AUTH_DATA, noc_slice_of(data));
    }
    say(client, packet,
        noc_auth_encode(reason, noc_slice(props, (size_t)(at - props)), packet, sizeof packet));
}

void say_disconnect(struct client *client, uint8_t reason, struct noc_slice props)
{
    uint8_t packet[100];

    say(client, packet,
        noc_disconnect_encode(client->link.version, reason, props, packet, sizeof packet));
}

void hang_up(struct client *client)
{
    struct input input = {.client = client, .is_end = true};

    (void)turn(client->world, client->link.shard, &input);
    world_settle(client->world);
}

/* ---- hearing ---- */

struct text {
    char *at;
    size_t n, room;
};

static void NOC_PRINTF(2, 3) put(struct text *text, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text->at + text->n, text->room - text->n, format, args);
    va_end(args);
    assert_in_range(n, 0, text->room - text->n - 1);
    text->n += (size_t)n;
}

static void put_props(struct text *text, const struct noc_props *props)
{
    struct noc_slice rest = props->raw;
    struct noc_prop prop;

    while (noc_props_next(&rest, &prop)) {
        if (prop.id == NOC_PROP_USER) {
            put(text, " 26=%.*s:%.*s", NOC_SLICE_ARG(prop.name), NOC_SLICE_ARG(prop.value));
        } else if (prop.value.at != NULL) {
            put(text, " %02x=%.*s", prop.id, NOC_SLICE_ARG(prop.value));
        } else {
            put(text, " %02x=%lu", prop.id, (unsigned long)prop.number);
        }
    }
}

static void put_publish(
    struct text *text, unsigned version, const struct noc_header *header, struct noc_slice body)
{
    struct noc_fault fault;
    struct noc_publish publish;

    assert_int_equal(
        noc_publish_decode(version, header->flags, false, &body, &publish, &fault), NOC_OK);
    put(text, "PUBLISH %.*s", NOC_SLICE_ARG(publish.topic));
    if (publish.payload.n > 60) {
        put(text, " (%lu bytes)", (unsigned long)publish.payload.n);
    } else {
        put(text, " %.*s", NOC_SLICE_ARG(publish.payload));
    }
    put(text, " q%u", publish.qos);
    if (publish.qos > 0) {
        put(text, " m%u", publish.packet_id);
    }
    put(text, "%s%s", publish.dup ? " dup" : "", publish.retain ? " retain" : "");
    put_props(text, &publish.props);
}

static void put_connack(struct text *text, unsigned version, struct noc_slice body)
{
    struct noc_fault fault;
    struct noc_connack connack;

    assert_int_equal(
        noc_connack_decode(version, (const uint8_t *)body.at, body.n, &connack, &fault), NOC_OK);
    put(text, "CONNACK sp%d rc%u", connack.session_present, connack.reason);
    put_props(text, &connack.props);
}

static void put_ack(struct text *text, unsigned version, unsigned type, struct noc_slice body)
{
    static const char *const names[] = {"PUBACK", "PUBREC", "PUBREL", "PUBCOMP"};
    struct noc_fault fault;
    struct noc_ack ack;

    assert_int_equal(noc_ack_decode(version, type, &body, &ack, &fault), NOC_OK);
    put(text, "%s %u", names[type - NOC_PUBACK], ack.packet_id);
    if (ack.reason != 0) {
        put(text, " rc%u", ack.reason);
    }
    put_props(text, &ack.props);
}

static void put_suback(struct text *text, unsigned version, unsigned type, struct noc_slice body)
{
    struct noc_fault fault;
    struct noc_suback suback;

    assert_int_equal(noc_suback_decode(version, type, &body, &suback, &fault), NOC_OK);
    put(text, "%s %u:", type == NOC_SUBACK ? "SUBACK" : "UNSUBACK", suback.packet_id);
    for (size_t i = 0; i < suback.reasons.n; i++) {
        put(text, " %u", (uint8_t)suback.reasons.at[i]);
    }
}

static void put_disconnect(struct text *text, unsigned version, struct noc_slice body)
{
    struct noc_fault fault;
    struct noc_disconnect disconnect;

    assert_int_equal(noc_disconnect_decode(
                         version, false, (const uint8_t *)body.at, body.n, &disconnect, &fault),
        NOC_OK);
    put(text, "DISCONNECT rc%u", disconnect.reason);
    put_props(text, &disconnect.props);
}

static void put_auth(struct text *text, struct noc_slice body)
{
    struct noc_fault fault;
    struct noc_disconnect auth;

    assert_int_equal(noc_auth_decode((const uint8_t *)body.at, body.n, &auth, &fault), NOC_OK);
    put(text, "AUTH rc%u", auth.reason);
    put_props(text, &auth.props);
}

static void put_packet(
    struct text *text, unsigned version, const struct noc_header *header, struct noc_slice body)
{
    switch ((enum noc_packet_type)header->type) {
    case NOC_CONNACK:
        put_connack(text, version, body);
        return;
    case NOC_PUBLISH:
        put_publish(text, version, header, body);
        return;
    case NOC_PUBACK:
    case NOC_PUBREC:
    case NOC_PUBREL:
    case NOC_PUBCOMP:
        put_ack(text, version, header->type, body);
        return;
    case NOC_SUBACK:
    case NOC_UNSUBACK:
        put_suback(text, version, header->type, body);
        return;
    case NOC_PINGRESP:
        put(text, "PINGRESP");
        return;
    case NOC_DISCONNECT:
        put_disconnect(text, version, body);
        return;
    case NOC_CONNECT:
    case NOC_SUBSCRIBE:
    case NOC_UNSUBSCRIBE:
    case NOC_PINGREQ:
        break;
    case NOC_AUTH:
        put_auth(text, body);
        return;
    }
    fail_msg("a broker does not send packets of type %u", header->type);
}

const char *heard(struct client *client)
{
    struct text text = {.room = client->heard_n * 8 + 1000};
    size_t at = 0;

    free(client->text);
    client->text = text.at = malloc(text.room);
    assert_non_null(text.at);
    text.at[0] = '\0';
    while (at < client->heard_n) {
        struct noc_header header;
        int size = noc_header_decode(
            client->link.version, client->heard + at, client->heard_n - at, &header);

        if (size == 0 || client->heard_n - at < header.size + header.remaining) {
            break; /* The rest has not come yet. */
        }
        assert_in_range(size, 2, 5);
        put(&text, "%s", text.n > 0 ? "; " : "");
        put_packet(&text, client->link.version, &header,
            noc_slice(client->heard + at + header.size, header.remaining));
        at += header.size + header.remaining;
    }
    if (at > 0) {
        client->heard_n -= at;
        memmove(client->heard, client->heard + at, client->heard_n);
    }
    if (client->is_closed) {
        put(&text, "%sclosed", text.n > 0 ? "; " : "");
    }
    return text.at;
}

unsigned hears_count(struct client *client, const char *kind)
{
    const char *at = heard(client);
    unsigned count = 0;

    while ((at = strstr(at, kind)) != NULL) {
        count++;
        at += strlen(kind);
    }
    return count;
}

/* ---- the store ---- */

static void put_operation(struct text *text, const struct noc_operation *operation)
{
    static const char *const names[] = {[NOC_OP_SESSION] = "session",
        [NOC_OP_SESSION_END] = "session-end",
        [NOC_OP_SUBSCRIPTION] = "sub",
        [NOC_OP_SUBSCRIPTION_END] = "sub-end",
        [NOC_OP_OUTGOING] = "out",
        [NOC_OP_OUTGOING_PUBREC] = "out-pubrec",
        [NOC_OP_OUTGOING_END] = "out-end",
        [NOC_OP_INCOMING] = "in",
        [NOC_OP_INCOMING_END] = "in-end",
        [NOC_OP_RETAINED] = "retained",
        [NOC_OP_PART] = "part"};

    put(text, "%s%s", text->n > 0 ? "; " : "", names[operation->kind]);
    switch ((enum noc_operation_kind)operation->kind) {
    case NOC_OP_SESSION:
        put(text, " %.*s %s", NOC_SLICE_ARG(operation->as.session->client_id),
            operation->as.session->is_connected ? "here" : "away");
        break;
    case NOC_OP_SUBSCRIPTION:
    case NOC_OP_SUBSCRIPTION_END:
        put(text, " %.*s", NOC_SLICE_ARG(operation->as.subscription->filter));
        break;
    case NOC_OP_OUTGOING:
    case NOC_OP_INCOMING:
        put(text, " %lu %.*s", (unsigned long)operation->first,
            NOC_SLICE_ARG(noc_message_payload(operation->message)));
        break;
    case NOC_OP_RETAINED:
        put(text, " %.*s", NOC_SLICE_ARG(noc_message_topic(operation->message)));
        break;
    case NOC_OP_OUTGOING_END:
        put(text, " %lu-%lu", (unsigned long)operation->first, (unsigned long)operation->last);
        break;
    case NOC_OP_OUTGOING_PUBREC:
    case NOC_OP_INCOMING_END:
        put(text, " %lu", (unsigned long)operation->first);
        break;
    case NOC_OP_SESSION_END:
    case NOC_OP_PART:
        break;
    }
}

const char *world_batch(struct world *world, unsigned shard)
{
    struct text text = {.at = world->batch_text, .room = sizeof world->batch_text};
    const struct noc_operations *batch = world->batch[shard];

    world->batch_text[0] = '\0';
    for (size_t i = 0; batch != NULL && i < batch->count; i++) {
        put_operation(&text, &batch->at[i]);
    }
    return world->batch_text;
}

void world_lose(struct world *world, uint64_t first, uint64_t last)
{
    struct noc_operations *rows = &world->rows;
    size_t kept = 0;

    for (size_t i = 0; i < rows->count; i++) {
        if (rows->at[i].first < first || rows->at[i].first > last) {
            rows->at[kept++] = rows->at[i];
        } else {
            noc_message_unref(rows->at[i].message);
        }
    }
    rows->count = kept;
}

/* A row, with a reference of its own; these tests use no subscription identifiers but one. */
static void copy_row(struct noc_operations *to, const struct noc_operation *row)
{
    struct noc_operation *copy = noc_operations_add(to, NOC_OP_OUTGOING);

    assert_non_null(copy);
    assert_in_range(row->id_count, 0, 1);
    *copy = *row;
    copy->ticket = NULL;
    (void)noc_message_ref(copy->message);
}

static void keep_rows(struct world *world, const struct noc_operations *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct noc_operation *operation = &batch->at[i];

        if (operation->kind == NOC_OP_OUTGOING) {
            copy_row(&world->rows, operation);
        } else if (operation->kind == NOC_OP_OUTGOING_END) {
            world_lose(world, operation->first, operation->last);
        } else if (operation->kind == NOC_OP_OUTGOING_PUBREC) {
            world_lose(world, operation->first, operation->first);
        }
    }
}

static void page_is_read(struct noc_shard *shard, const void *argument)
{
    struct world *world = shard->context;
    struct noc_page *page = world->page;
    uint64_t bytes = 0;

    world->page = NULL;
    page->err = *(const int *)argument;
    page->is_last = true;
    for (size_t i = 0; i < world->rows.count && page->err == NOC_OK; i++) {
        const struct noc_operation *row = &world->rows.at[i];

        if (row->first < page->first || row->first > page->last) {
            continue;
        }
        if (page->found.count == page->most || bytes >= page->most_bytes) {
            page->is_last = false;
            break;
        }
        bytes += row->message->payload_n;
        copy_row(&page->found, row);
    }
    noc_page_arrived(shard, page);
}

void world_page(struct world *world, int err)
{
    assert_non_null(world->page);
    world_do(world, world->page->worker, page_is_read, &err);
}

static void committed(struct noc_shard *shard, const void *argument)
{
    struct world *world = shard->context;
    struct noc_operations *batch = world->batch[shard->number];

    (void)argument;
    assert_non_null(batch);
    world->batch[shard->number] = NULL;
    for (size_t i = 0; i < batch->count; i++) {
        struct noc_ticket *ticket = batch->at[i].ticket;

        if (batch->at[i].kind == NOC_OP_PART && ++ticket->have == ticket->parts) {
            ticket->done(ticket);
        }
    }
    if (world->has_pages) {
        keep_rows(world, batch);
    }
    noc_journal_committed(shard, batch, NOC_OK);
}

void world_commit(struct world *world, unsigned shard)
{
    world_do(world, shard, committed, NULL);
}
