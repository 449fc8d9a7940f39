/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of mosquitto.db.
 *
 *   head ──► chunk head ──► body: a table tells how short and how long its type may be
 *              ▲    │         │   a function takes its fields, in the order of the file
 *              │    └─ skip ◄─┘
 *              └────────┘
 *
 * A body is parsed when all of it is there. Its fields are taken from a cursor that stays in error
 * once broken, so a parser takes all of them and the cursor is looked at once. What is left
 * behind the last field is a fault as well: Mosquitto would take it for the next chunk.
 */
#include "store/mosquitto_db.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "mqtt/packet.h"

#define TEXT_MAX  65535u
#define PROPS_MAX (NOC_REMAINING_MAX + 4) /* its length included */

static const uint8_t magic[15] = {
    0x00, 0xb5, 0x00, 'm', 'o', 's', 'q', 'u', 'i', 't', 't', 'o', ' ', 'd', 'b'};

/* The fields of a body, taken one after another. */
struct cursor {
    struct noc_mosquitto_reader *reader;
    const uint8_t *start, *at, *end;
    uint64_t offset; /* of start in the file */
    int err;
};

static int fail(struct noc_mosquitto_reader *reader, int err, const char *what, uint64_t offset)
{
    reader->err = err;
    reader->fault.what = what;
    reader->fault.offset = offset;
    return err;
}

static void break_at(struct cursor *cursor, const uint8_t *at, const char *what)
{
    if (cursor->err == NOC_OK) {
        cursor->err = fail(
            cursor->reader, NOC_EMALFORMED, what, cursor->offset + (uint64_t)(at - cursor->start));
    }
}

/* The next n bytes, or NULL. */
static const uint8_t *take(struct cursor *cursor, size_t n, const char *what)
{
    const uint8_t *at = cursor->at;

    if (cursor->err != NOC_OK || n > (size_t)(cursor->end - at)) {
        break_at(cursor, at, what);
        return NULL;
    }
    cursor->at += n;
    return at;
}

static uint8_t take_u8(struct cursor *cursor)
{
    const uint8_t *at = take(cursor, 1, "the chunk ends within its fields");

    return at == NULL ? 0 : *at;
}

static uint16_t take_u16(struct cursor *cursor)
{
    const uint8_t *at = take(cursor, 2, "the chunk ends within its fields");

    return at == NULL ? 0 : noc_get_u16(at);
}

static uint32_t take_u32(struct cursor *cursor)
{
    const uint8_t *at = take(cursor, 4, "the chunk ends within its fields");

    return at == NULL ? 0 : noc_get_u32(at);
}

static uint64_t swap_u64(uint64_t value)
{
    uint8_t bytes[8];

    memcpy(bytes, &value, sizeof(bytes));
    for (size_t i = 0; i < 4; i++) {
        uint8_t byte = bytes[i];

        bytes[i] = bytes[7 - i];
        bytes[7 - i] = byte;
    }
    memcpy(&value, bytes, sizeof(bytes));
    return value;
}

/* As it lay in the memory of the machine that wrote it. */
static uint64_t take_host_u64(struct cursor *cursor)
{
    const uint8_t *at = take(cursor, 8, "the chunk ends within its fields");
    uint64_t value = 0;

    if (at != NULL) {
        memcpy(&value, at, sizeof(value));
    }
    return cursor->reader->is_foreign ? swap_u64(value) : value;
}

static uint32_t take_host_u32(struct cursor *cursor)
{
    const uint8_t *at = take(cursor, 4, "the chunk ends within its fields");
    uint32_t value = 0;

    if (at != NULL) {
        memcpy(&value, at, sizeof(value));
    }
    return cursor->reader->is_foreign ? (uint32_t)(swap_u64(value) >> 32) : value;
}

static struct noc_slice take_slice(struct cursor *cursor, size_t n, const char *what)
{
    const uint8_t *at = take(cursor, n, what);

    return at == NULL ? noc_slice(NULL, 0) : noc_slice(at, n);
}

/* Before version 5: a text with its length in front. */
static struct noc_slice take_text(struct cursor *cursor, const char *what)
{
    uint16_t n = take_u16(cursor);

    return take_slice(cursor, n, what);
}

static uint8_t take_qos(struct cursor *cursor)
{
    uint8_t qos = take_u8(cursor);

    if (qos > 2) {
        break_at(cursor, cursor->at - 1, "QoS over 2");
    }
    return qos;
}

/* All that is left: a block of properties with its length, or nothing. */
static void take_props(struct cursor *cursor, struct noc_props *ret_props)
{
    size_t left = (size_t)(cursor->end - cursor->at);
    struct noc_fault fault = {0};
    int used;

    *ret_props = (struct noc_props){0};
    if (cursor->err != NOC_OK || left == 0) {
        return;
    }
    used = noc_props_decode(NOC_PUBLISH, cursor->at, left, ret_props, &fault);
    if (used < 0) {
        *ret_props = (struct noc_props){0};
        break_at(cursor, cursor->at + (fault.offset < left ? fault.offset : left),
            "properties that are none of PUBLISH");
    } else {
        cursor->at += used;
    }
}

static void check_topic(struct cursor *cursor, struct noc_slice topic)
{
    if (topic.n == 0) {
        break_at(cursor, cursor->at, "an empty topic");
    }
}

/* Store ids never fill the upper 16 bits, so where those are set and the lower not, they are swapped. */
static void parse_config(struct cursor *cursor, struct noc_mosquitto_record *record)
{
    struct noc_mosquitto_reader *reader = cursor->reader;
    struct noc_mosquitto_config *config = &record->config;
    bool is_old = reader->version < 5;
    uint64_t id = 0;
    uint8_t id_size;

    if (!is_old) {
        id = take_host_u64(cursor);
    }
    config->is_shutdown = take_u8(cursor) != 0;
    id_size = take_u8(cursor);
    if (reader->chunk > 0) {
        break_at(cursor, cursor->start, "a config record that isn't the first");
    }
    if (id_size != 8) {
        break_at(cursor, cursor->at - 1, "store ids that aren't of 8 bytes");
    }
    if (is_old) {
        id = take_host_u64(cursor);
    } else {
        /* Filled up to the alignment of its first member. */
        (void)take(cursor, record->length == 16 ? 6 : 2, "the chunk ends within its fields");
        reader->is_packed = record->length == 12;
    }
    if (cursor->err == NOC_OK && (id & 0xffff) == 0 && id >> 48 != 0) {
        reader->is_foreign = true;
        id = swap_u64(id);
    }
    config->last_store_id = id;
}

static void parse_base_message_old(
    struct cursor *cursor, struct noc_mosquitto_base_message *message)
{
    uint32_t payload_n;

    message->store_id = take_host_u64(cursor);
    message->source_id = take_text(cursor, "source id is longer than its chunk");
    if (cursor->reader->version == 4) {
        message->source_username = take_text(cursor, "source user name is longer than its chunk");
        message->source_port = take_u16(cursor);
    }
    message->source_packet_id = take_u16(cursor);
    (void)take_u16(cursor); /* a packet id that nobody reads */
    message->topic = take_text(cursor, "topic is longer than its chunk");
    check_topic(cursor, message->topic);
    message->qos = take_qos(cursor);
    message->is_retain = take_u8(cursor) != 0;
    payload_n = take_u32(cursor);
    message->payload = take_slice(cursor, payload_n, "payload is longer than its chunk");
}

static void parse_base_message(struct cursor *cursor, struct noc_mosquitto_record *record)
{
    struct noc_mosquitto_base_message *message = &record->base_message;
    uint32_t payload_n;
    uint16_t source_id_n, username_n, topic_n;
    struct noc_props props;

    if (cursor->reader->version < 5) {
        parse_base_message_old(cursor, message);
        return;
    }
    message->store_id = take_host_u64(cursor);
    message->expiry_time_s = (int64_t)take_host_u64(cursor);
    payload_n = take_u32(cursor);
    message->source_packet_id = take_u16(cursor);
    source_id_n = take_u16(cursor);
    username_n = take_u16(cursor);
    topic_n = take_u16(cursor);
    message->source_port = take_u16(cursor);
    message->qos = take_qos(cursor);
    message->is_retain = take_u8(cursor) != 0;
    message->source_id = take_slice(cursor, source_id_n, "source id is longer than its chunk");
    message->source_username =
        take_slice(cursor, username_n, "source user name is longer than its chunk");
    message->topic = take_slice(cursor, topic_n, "topic is longer than its chunk");
    check_topic(cursor, message->topic);
    message->payload = take_slice(cursor, payload_n, "payload is longer than its chunk");
    take_props(cursor, &props);
    message->props = props.raw;
}

static void check_state(struct cursor *cursor, uint8_t state, uint8_t direction)
{
    if (state >= NOC_MOSQUITTO_STATES) {
        break_at(cursor, cursor->at, "a state that there is not");
    }
    if (direction > 1) {
        break_at(cursor, cursor->at, "a direction that there is not");
    }
}

static void parse_client_message(struct cursor *cursor, struct noc_mosquitto_record *record)
{
    struct noc_mosquitto_client_message *message = &record->client_message;
    struct noc_props props;
    uint8_t flags, direction;
    uint16_t client_id_n;

    if (cursor->reader->version < 5) {
        message->client_id = take_text(cursor, "client id is longer than its chunk");
        message->store_id = take_host_u64(cursor);
        message->packet_id = take_u16(cursor);
        message->qos = take_qos(cursor);
        message->is_retain = take_u8(cursor) != 0;
        direction = take_u8(cursor);
        message->state = take_u8(cursor);
        message->is_dup = take_u8(cursor) != 0;
        message->is_outgoing = direction == 1;
        check_state(cursor, message->state, direction);
        return;
    }
    message->store_id = take_host_u64(cursor);
    message->packet_id = take_u16(cursor);
    client_id_n = take_u16(cursor);
    message->qos = take_qos(cursor);
    message->state = take_u8(cursor);
    flags = take_u8(cursor);
    direction = take_u8(cursor);
    message->is_retain = flags >> 4 != 0;
    message->is_dup = (flags & 0x0f) != 0;
    message->is_outgoing = direction == 1;
    check_state(cursor, message->state, direction);
    message->client_id = take_slice(cursor, client_id_n, "client id is longer than its chunk");
    take_props(cursor, &props);
    message->props = props.raw;
    message->subscription_id = props.subscription_id;
}

static void parse_retained(struct cursor *cursor, struct noc_mosquitto_record *record)
{
    record->retained.store_id = take_host_u64(cursor);
}

static void parse_subscription(struct cursor *cursor, struct noc_mosquitto_record *record)
{
    struct noc_mosquitto_subscription *subscription = &record->subscription;
    uint16_t client_id_n, filter_n;
    uint8_t options;

    if (cursor->reader->version < 5) {
        subscription->client_id = take_text(cursor, "client id is longer than its chunk");
        subscription->filter = take_text(cursor, "filter is longer than its chunk");
        subscription->options = take_qos(cursor);
        return;
    }
    subscription->identifier = take_u32(cursor);
    client_id_n = take_u16(cursor);
    filter_n = take_u16(cursor);
    subscription->options = take_qos(cursor);
    options = take_u8(cursor);
    if ((options & ~(NOC_SUB_NO_LOCAL | NOC_SUB_RETAIN_AS_PUBLISHED | NOC_SUB_RETAIN_HANDLING)) !=
        0) {
        break_at(cursor, cursor->at - 1, "options that there are not");
    }
    subscription->options |= options;
    (void)take(cursor, 2, "the chunk ends within its fields");
    subscription->client_id = take_slice(cursor, client_id_n, "client id is longer than its chunk");
    subscription->filter = take_slice(cursor, filter_n, "filter is longer than its chunk");
}

/*
 * Mosquitto keeps the length of a user name in one variable for all clients, and turns it to network
 * order in place. A client without a name gets the name and the turned length of the one before: 7
 * becomes 1792, and then 7 again.
 */
static void judge_username(
    struct noc_mosquitto_reader *reader, struct noc_mosquitto_client *client, uint16_t n)
{
    struct noc_slice *name = &client->username;
    const char *zero = name->n == 0 ? NULL : memchr(name->at, 0, name->n);
    size_t name_n = zero == NULL ? name->n : (size_t)(zero - name->at);
    uint64_t hash = name_n == 0 ? 0 : noc_hash(0, name->at, name_n);
    uint16_t turned = (uint16_t)(reader->username_n << 8 | reader->username_n >> 8);

    client->is_username_doubtful =
        zero != NULL || (n != 0 && n == turned && hash == reader->username_hash);
    if (zero != NULL) {
        *name = noc_slice(NULL, 0); /* [MQTT-1.5.4-2]: no user's name has such a byte */
    }
    reader->username_n = n;
    reader->username_hash = hash;
}

static void parse_client_old(struct cursor *cursor, struct noc_mosquitto_client *client)
{
    client->client_id = take_text(cursor, "client id is longer than its chunk");
    client->last_packet_id = take_u16(cursor);
    /* A time_t: of 4 bytes on older machines of 32 bits. */
    client->disconnect_time_s = cursor->end - cursor->at == 4 ? (int32_t)take_host_u32(cursor)
                                                              : (int64_t)take_host_u64(cursor);
}

static void parse_client(struct cursor *cursor, struct noc_mosquitto_record *record)
{
    struct noc_mosquitto_client *client = &record->client;
    uint16_t client_id_n;
    uint16_t username_n = 0;

    if (cursor->reader->version < 5) {
        parse_client_old(cursor, client);
        return;
    }
    client->has_expiry = true;
    client->session_expiry_time_s = (int64_t)take_host_u64(cursor);
    client->session_expiry_interval_s = take_u32(cursor);
    client->last_packet_id = take_u16(cursor);
    client_id_n = take_u16(cursor);
    if (cursor->reader->version >= 6) {
        client->listener_port = take_u16(cursor);
        username_n = take_u16(cursor);
        if (!cursor->reader->is_packed) {
            (void)take(cursor, 4, "the chunk ends within its fields");
        }
    }
    client->client_id = take_slice(cursor, client_id_n, "client id is longer than its chunk");
    client->username = take_slice(cursor, username_n, "user name is longer than its chunk");
    if (cursor->err == NOC_OK) {
        judge_username(cursor->reader, client, username_n);
    }
}

/* Limits of the lengths of bodies: of all versions, a wrong one within them is found by its fields. */
static const struct {
    void (*parse)(struct cursor *cursor, struct noc_mosquitto_record *record);
    uint32_t least, most;
} kinds[NOC_MOSQUITTO_KINDS] = {
    [NOC_MOSQUITTO_CONFIG] = {parse_config, 10, 16},
    [NOC_MOSQUITTO_BASE_MESSAGE] = {parse_base_message, 22,
        32 + 3 * TEXT_MAX + NOC_MOSQUITTO_PAYLOAD_MAX + PROPS_MAX},
    [NOC_MOSQUITTO_CLIENT_MESSAGE] = {parse_client_message, 16, 16 + TEXT_MAX + PROPS_MAX},
    [NOC_MOSQUITTO_RETAINED] = {parse_retained, 8, 8},
    [NOC_MOSQUITTO_SUBSCRIPTION] = {parse_subscription, 5, 12 + 2 * TEXT_MAX},
    [NOC_MOSQUITTO_CLIENT] = {parse_client, 8, 24 + 2 * TEXT_MAX},
};

void noc_mosquitto_reader_init(struct noc_mosquitto_reader *reader)
{
    *reader = (struct noc_mosquitto_reader){.wanted = NOC_MOSQUITTO_HEAD_BYTES};
}

/* The head of the file. Returns its bytes, 0, or an error. */
static int read_head(struct noc_mosquitto_reader *reader, const uint8_t *bytes, size_t n)
{
    size_t common = n < sizeof(magic) ? n : sizeof(magic);
    uint32_t version;

    for (size_t i = 0; i < common; i++) {
        if (bytes[i] != magic[i]) {
            return fail(reader, NOC_EMALFORMED, "this is no mosquitto.db", i);
        }
    }
    if (n < NOC_MOSQUITTO_HEAD_BYTES) {
        return 0;
    }
    reader->checksum = noc_get_u32(bytes + sizeof(magic));
    version = noc_get_u32(bytes + 19);
    if (version < NOC_MOSQUITTO_VERSION_MIN || version > NOC_MOSQUITTO_VERSION) {
        return fail(reader, NOC_ENOTSUP, "a version other than 3 to 6", 19);
    }
    reader->version = version;
    reader->offset = NOC_MOSQUITTO_HEAD_BYTES;
    return NOC_MOSQUITTO_HEAD_BYTES;
}

static size_t head_size(const struct noc_mosquitto_reader *reader)
{
    return reader->version < 5 ? 6 : 8;
}

/* The head of a chunk that is all there. NOC_OK or an error; nothing is used up. */
static int read_chunk_head(
    struct noc_mosquitto_reader *reader, const uint8_t *bytes, struct noc_mosquitto_record *record)
{
    size_t type_n = head_size(reader) - 4;

    *record =
        (struct noc_mosquitto_record){.type = type_n == 2 ? noc_get_u16(bytes) : noc_get_u32(bytes),
            .length = noc_get_u32(bytes + type_n),
            .offset = reader->offset};
    reader->fault.chunk = reader->chunk + 1;
    reader->fault.type = record->type;
    if (record->type == 0 || record->type >= NOC_MOSQUITTO_KINDS) {
        return NOC_OK;
    }
    record->kind = (enum noc_mosquitto_kind)record->type;
    if (record->length < kinds[record->kind].least) {
        return fail(
            reader, NOC_EMALFORMED, "a chunk too short for its type", reader->offset + type_n);
    }
    if (record->length > kinds[record->kind].most) {
        return fail(
            reader, NOC_ETOOLARGE, "a chunk too long for its type", reader->offset + type_n);
    }
    return NOC_OK;
}

static int read_body(
    struct noc_mosquitto_reader *reader, const uint8_t *body, struct noc_mosquitto_record *record)
{
    struct cursor cursor = {.reader = reader,
        .start = body,
        .at = body,
        .end = body + record->length,
        .offset = reader->offset + head_size(reader)};

    kinds[record->kind].parse(&cursor, record);
    if (cursor.at != cursor.end) {
        break_at(&cursor, cursor.at, "a chunk longer than its fields");
    }
    return cursor.err;
}

/* Let the rest of an unknown chunk go by. Returns the bytes. */
static size_t pass_over(struct noc_mosquitto_reader *reader, size_t n)
{
    size_t step = n < reader->skip ? n : reader->skip;

    reader->skip -= (uint32_t)step;
    reader->offset += step;
    return step;
}

/* A chunk at the start of bytes: 1, 0 or an error, as noc_mosquitto_read(). */
static int read_chunk(struct noc_mosquitto_reader *reader, const uint8_t *bytes, size_t n,
    size_t *used, struct noc_mosquitto_record *record)
{
    size_t head_n = head_size(reader);
    int err;

    reader->wanted = head_n;
    if (n < head_n) {
        return 0;
    }
    err = read_chunk_head(reader, bytes, record);
    if (err < 0) {
        return err;
    }
    if (record->kind == NOC_MOSQUITTO_UNKNOWN) {
        reader->skip = record->length;
        *used += head_n;
        reader->offset += head_n;
    } else if (n - head_n < record->length) {
        reader->wanted = head_n + record->length;
        return 0;
    } else {
        err = read_body(reader, bytes + head_n, record);
        if (err < 0) {
            return err;
        }
        *used += head_n + record->length;
        reader->offset += head_n + record->length;
    }
    reader->chunk++;
    return 1;
}

int noc_mosquitto_read(struct noc_mosquitto_reader *reader, const uint8_t *bytes, size_t n,
    size_t *ret_used, struct noc_mosquitto_record *ret_record)
{
    struct noc_mosquitto_record record;
    size_t used = 0;
    int result;

    if (reader->err < 0) {
        return reader->err;
    }
    if (reader->version == 0) {
        result = read_head(reader, bytes, n);
        if (result <= 0) {
            *ret_used = 0;
            return result;
        }
        used = (size_t)result;
    }
    used += pass_over(reader, n - used);
    if (reader->skip > 0 || used == n) {
        reader->wanted = reader->skip > 0 ? 1 : head_size(reader);
        *ret_used = used;
        return 0;
    }
    result = read_chunk(reader, bytes + used, n - used, &used, &record);
    if (result >= 0) {
        *ret_used = used;
    }
    if (result > 0) {
        *ret_record = record;
    }
    return result;
}

int noc_mosquitto_read_end(struct noc_mosquitto_reader *reader, size_t n)
{
    if (reader->err < 0) {
        return reader->err;
    }
    if (reader->version == 0) {
        return fail(reader, NOC_EMALFORMED, "the file ends within its head", n);
    }
    if (reader->skip > 0 || n > 0) {
        reader->fault.chunk = reader->chunk + (reader->skip > 0 ? 0 : 1);
        reader->fault.type = n < head_size(reader) && reader->skip == 0 ? 0 : reader->fault.type;
        return fail(reader, NOC_EMALFORMED, "the file ends within a chunk", reader->offset + n);
    }
    return NOC_OK;
}

int noc_mosquitto_read_all(const uint8_t *bytes, size_t n, noc_mosquitto_visit_fn visit,
    void *context, struct noc_mosquitto_fault *fault)
{
    struct noc_mosquitto_reader reader;
    struct noc_mosquitto_record record;
    size_t at = 0;
    int result;

    noc_mosquitto_reader_init(&reader);
    for (;;) {
        size_t used = 0;

        result = noc_mosquitto_read(&reader, bytes + at, n - at, &used, &record);
        at += result < 0 ? 0 : used;
        if (result <= 0) {
            break;
        }
        result = visit(context, &record);
        if (result < 0) {
            return result;
        }
    }
    if (result == 0) {
        result = noc_mosquitto_read_end(&reader, n - at);
    }
    if (result < 0) {
        *fault = reader.fault;
    }
    return result;
}

const char *noc_mosquitto_kind_name(enum noc_mosquitto_kind kind)
{
    static const char *const names[NOC_MOSQUITTO_KINDS] = {"unknown", "config", "base message",
        "client message", "retained message", "subscription", "client"};

    return (unsigned)kind < NOC_MOSQUITTO_KINDS ? names[kind] : names[0];
}

const char *noc_mosquitto_state_name(unsigned state)
{
    static const char *const names[NOC_MOSQUITTO_STATES] = {"invalid", "publish at QoS 0",
        "publish at QoS 1", "wait for PUBACK", "publish at QoS 2", "wait for PUBREC",
        "resend PUBREL", "wait for PUBREL", "resend PUBCOMP", "wait for PUBCOMP", "send PUBREC",
        "queued"};

    return state < NOC_MOSQUITTO_STATES ? names[state] : names[0];
}
