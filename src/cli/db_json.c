/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `noctule db dump --json`: the members of mosquitto_db_dump's object (2.1), in cJSON's layout.
 *
 * The object has an array for each kind, while records come as they come. So the file is read
 * once for each array, and once before, for faults: it may be larger than memory.
 */
#include "cli/db.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/base64.h"
#include "cli/output_json.h"
#include "mqtt/packet.h"

/* An object under way. Once err is set, nothing is added. */
struct writer {
    struct noc_output_buffer buffer;
    struct noc_json_out out;
    int err;
};

static void name(struct writer *writer, const char *member)
{
    if (writer->err == NOC_OK) {
        writer->err = noc_json_next_member(&writer->out, noc_slice_of(member));
    }
}

static void put_text(struct writer *writer, const char *member, struct noc_slice text)
{
    name(writer, member);
    if (writer->err == NOC_OK) {
        writer->err = noc_json_put_text(&writer->out, text);
    }
}

/* All digits: a double has fewer. */
static void put_int(struct writer *writer, const char *member, int64_t number)
{
    char digits[24];

    (void)snprintf(digits, sizeof(digits), "%" PRId64, number);
    name(writer, member);
    if (writer->err == NOC_OK) {
        writer->err = noc_json_put_word(&writer->out, digits);
    }
}

static void put_id(struct writer *writer, uint64_t store_id)
{
    char digits[24];

    (void)snprintf(digits, sizeof(digits), "%" PRIu64, store_id);
    name(writer, "storeid");
    if (writer->err == NOC_OK) {
        writer->err = noc_json_put_word(&writer->out, digits);
    }
}

static void open_bracket(struct writer *writer, char bracket)
{
    if (writer->err == NOC_OK) {
        writer->err = noc_json_open(&writer->out, bracket);
    }
}

static void close_bracket(struct writer *writer, char bracket)
{
    if (writer->err == NOC_OK) {
        writer->err = noc_json_close(&writer->out, bracket);
    }
}

static void next_object(struct writer *writer)
{
    if (writer->err == NOC_OK) {
        writer->err = noc_json_next_element(&writer->out);
    }
    open_bracket(writer, '{');
}

/* As base64, which has none of the letters that JSON escapes. */
static void put_payload(struct writer *writer, struct noc_slice payload)
{
    struct noc_output_buffer *buffer = &writer->buffer;

    name(writer, "payload");
    if (writer->err == NOC_OK) {
        writer->err = noc_output_buffer_reserve(buffer, NOC_BASE64_SIZE(payload.n) + 2);
    }
    if (writer->err == NOC_OK) {
        char *at = buffer->at + buffer->n;

        *at = '"';
        at = noc_base64_encode(at + 1, payload.at, payload.n);
        *at++ = '"';
        buffer->n = (size_t)(at - buffer->at);
    }
}

static void put_hex(struct writer *writer, struct noc_slice bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    struct noc_output_buffer *buffer = &writer->buffer;

    name(writer, "value");
    if (writer->err == NOC_OK) {
        writer->err = noc_output_buffer_reserve(buffer, 2 * bytes.n + 2);
    }
    if (writer->err == NOC_OK) {
        buffer->at[buffer->n++] = '"';
        for (size_t i = 0; i < bytes.n; i++) {
            buffer->at[buffer->n++] = digits[(uint8_t)bytes.at[i] >> 4];
            buffer->at[buffer->n++] = digits[(uint8_t)bytes.at[i] & 0x0f];
        }
        buffer->at[buffer->n++] = '"';
    }
}

static void put_prop(struct writer *writer, const struct noc_prop *prop)
{
    static const char identifier[] = "identifier";

    next_object(writer);
    switch (prop->id) {
    case NOC_PROP_PAYLOAD_FORMAT:
        put_text(writer, identifier, noc_slice_of("payload-format-indicator"));
        put_int(writer, "value", prop->number);
        break;
    case NOC_PROP_CONTENT_TYPE:
        put_text(writer, identifier, noc_slice_of("content-type"));
        put_text(writer, "value", prop->value);
        break;
    case NOC_PROP_RESPONSE_TOPIC:
        put_text(writer, identifier, noc_slice_of("response-topic"));
        put_text(writer, "value", prop->value);
        break;
    case NOC_PROP_CORRELATION_DATA:
        put_text(writer, identifier, noc_slice_of("correlation-data"));
        put_hex(writer, prop->value);
        break;
    case NOC_PROP_USER:
        put_text(writer, identifier, noc_slice_of("user-property"));
        put_text(writer, "name", prop->name);
        put_text(writer, "value", prop->value);
        break;
    default: /* Mosquitto keeps no others */
        put_int(writer, identifier, prop->id);
        put_int(writer, "value", prop->number);
        break;
    }
    close_bracket(writer, '}');
}

static void put_props(struct writer *writer, struct noc_slice props)
{
    struct noc_prop prop;

    if (props.n == 0) {
        return;
    }
    name(writer, "properties");
    open_bracket(writer, '[');
    while (noc_props_next(&props, &prop)) {
        put_prop(writer, &prop);
    }
    close_bracket(writer, ']');
}

static void put_base_message(struct writer *writer, const struct noc_mosquitto_record *record)
{
    const struct noc_mosquitto_base_message *message = &record->base_message;

    put_id(writer, message->store_id);
    put_int(writer, "expiry-time", message->expiry_time_s);
    put_int(writer, "source-mid", message->source_packet_id);
    put_int(writer, "source-port", message->source_port);
    put_int(writer, "qos", message->qos);
    put_int(writer, "retain", message->is_retain);
    put_text(writer, "topic", message->topic);
    if (message->source_id.n > 0) {
        put_text(writer, "clientid", message->source_id);
    }
    if (message->source_username.n > 0) {
        put_text(writer, "username", message->source_username);
    }
    if (message->payload.n > 0) {
        put_payload(writer, message->payload);
    }
    put_props(writer, message->props);
}

static void put_client(struct writer *writer, const struct noc_mosquitto_record *record)
{
    const struct noc_mosquitto_client *client = &record->client;

    put_text(writer, "clientid", client->client_id);
    if (client->username.n > 0) {
        put_text(writer, "username", client->username);
    }
    put_int(writer, "session-expiry-time", client->session_expiry_time_s);
    put_int(writer, "session-expiry-interval", client->session_expiry_interval_s);
    put_int(writer, "last-mid", client->last_packet_id);
    put_int(writer, "listener-port", client->listener_port);
}

static void put_client_message(struct writer *writer, const struct noc_mosquitto_record *record)
{
    const struct noc_mosquitto_client_message *message = &record->client_message;

    put_text(writer, "clientid", message->client_id);
    put_id(writer, message->store_id); /* theirs has the subscription identifier here */
    put_int(writer, "mid", message->packet_id);
    put_int(writer, "qos", message->qos);
    put_int(writer, "state", message->state);
    put_int(writer, "retain-dup", message->is_retain << 4 | message->is_dup);
    put_int(writer, "direction", message->is_outgoing);
    put_int(writer, "subscription-identifier", message->subscription_id);
}

static void put_retained(struct writer *writer, const struct noc_mosquitto_record *record)
{
    put_id(writer, record->retained.store_id);
}

static void put_subscription(struct writer *writer, const struct noc_mosquitto_record *record)
{
    const struct noc_mosquitto_subscription *subscription = &record->subscription;

    put_text(writer, "clientid", subscription->client_id);
    put_text(writer, "topic", subscription->filter);
    put_int(writer, "qos", subscription->options & NOC_SUB_QOS);
    put_int(writer, "options", subscription->options & ~NOC_SUB_QOS);
    put_int(writer, "identifier", subscription->identifier);
}

static void write_out(struct writer *writer)
{
    (void)fwrite(writer->buffer.at, 1, writer->buffer.n, stdout);
    writer->buffer.n = 0;
}

static const struct array {
    enum noc_mosquitto_kind kind;
    const char *name;
    void (*put)(struct writer *writer, const struct noc_mosquitto_record *record);
} arrays[] = {
    {NOC_MOSQUITTO_BASE_MESSAGE, "base-messages", put_base_message},
    {NOC_MOSQUITTO_CLIENT, "clients", put_client},
    {NOC_MOSQUITTO_CLIENT_MESSAGE, "client-messages", put_client_message},
    {NOC_MOSQUITTO_RETAINED, "retained-messages", put_retained},
    {NOC_MOSQUITTO_SUBSCRIPTION, "subscriptions", put_subscription},
};

/* One reading of the file; array is NULL to look for faults only. */
static int pass(struct writer *writer, struct noc_mosquitto_file *file, const struct array *array)
{
    struct noc_mosquitto_record record;
    int result = noc_mosquitto_file_rewind(file);

    if (result < 0) {
        return result;
    }
    while ((result = noc_mosquitto_file_next(file, &record)) > 0) {
        if (array != NULL && record.kind == array->kind) {
            next_object(writer);
            array->put(writer, &record);
            close_bracket(writer, '}');
            if (writer->err < 0) {
                return writer->err;
            }
            write_out(writer);
        }
    }
    return result;
}

int noc_db_dump_json(struct noc_mosquitto_file *file)
{
    struct writer writer = {.out = {.buffer = &writer.buffer, .is_pretty = true}};
    int result = pass(&writer, file, NULL);

    open_bracket(&writer, '{');
    for (size_t i = 0; i < NOC_COUNT(arrays) && result == NOC_OK; i++) {
        name(&writer, arrays[i].name);
        open_bracket(&writer, '[');
        result = pass(&writer, file, &arrays[i]);
        close_bracket(&writer, ']');
    }
    close_bracket(&writer, '}');
    if (result == NOC_OK) {
        result = writer.err;
    }
    if (result == NOC_OK) {
        write_out(&writer);
        putchar('\n');
    }
    noc_output_buffer_done(&writer.buffer);
    return result;
}
