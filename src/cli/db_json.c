/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `noctule db dump --json`: the members of mosquitto_db_dump's object (2.1), in cJSON's layout.
 *
 * The object has an array for each kind, while records come as they come. So the file is read
 * once for each array, and once before, for faults: it may be larger than memory.
 */
#include "cli/db.h"

#include <stdio.h>

#include "cli/db_writer.h"
#include "mqtt/packet.h"

static void next_object(struct noc_db_writer *writer)
{
    noc_db_next(writer);
    noc_db_open(writer, '{');
}

static void put_hex(struct noc_db_writer *writer, struct noc_slice bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    struct noc_output_buffer *buffer = &writer->buffer;

    noc_db_name(writer, "value");
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

static void put_prop(struct noc_db_writer *writer, const struct noc_prop *prop)
{
    static const char identifier[] = "identifier";

    next_object(writer);
    switch (prop->id) {
    case NOC_PROP_PAYLOAD_FORMAT:
        noc_db_put_text(writer, identifier, noc_slice_of("payload-format-indicator"));
        noc_db_put_int(writer, "value", prop->number);
        break;
    case NOC_PROP_CONTENT_TYPE:
        noc_db_put_text(writer, identifier, noc_slice_of("content-type"));
        noc_db_put_text(writer, "value", prop->value);
        break;
    case NOC_PROP_RESPONSE_TOPIC:
        noc_db_put_text(writer, identifier, noc_slice_of("response-topic"));
        noc_db_put_text(writer, "value", prop->value);
        break;
    case NOC_PROP_CORRELATION_DATA:
        noc_db_put_text(writer, identifier, noc_slice_of("correlation-data"));
        put_hex(writer, prop->value);
        break;
    case NOC_PROP_USER:
        noc_db_put_text(writer, identifier, noc_slice_of("user-property"));
        noc_db_put_text(writer, "name", prop->name);
        noc_db_put_text(writer, "value", prop->value);
        break;
    default: /* Mosquitto keeps no others */
        noc_db_put_int(writer, identifier, prop->id);
        noc_db_put_int(writer, "value", prop->number);
        break;
    }
    noc_db_close(writer, '}');
}

static void put_props(struct noc_db_writer *writer, struct noc_slice props)
{
    struct noc_prop prop;

    if (props.n == 0) {
        return;
    }
    noc_db_name(writer, "properties");
    noc_db_open(writer, '[');
    while (noc_props_next(&props, &prop)) {
        put_prop(writer, &prop);
    }
    noc_db_close(writer, ']');
}

static void put_base_message(
    struct noc_db_writer *writer, const struct noc_mosquitto_record *record)
{
    const struct noc_mosquitto_base_message *message = &record->base_message;

    noc_db_put_uint(writer, "storeid", message->store_id);
    noc_db_put_int(writer, "expiry-time", message->expiry_time_s);
    noc_db_put_int(writer, "source-mid", message->source_packet_id);
    noc_db_put_int(writer, "source-port", message->source_port);
    noc_db_put_int(writer, "qos", message->qos);
    noc_db_put_int(writer, "retain", message->is_retain);
    noc_db_put_text(writer, "topic", message->topic);
    if (message->source_id.n > 0) {
        noc_db_put_text(writer, "clientid", message->source_id);
    }
    if (message->source_username.n > 0) {
        noc_db_put_text(writer, "username", message->source_username);
    }
    if (message->payload.n > 0) {
        noc_db_put_base64(writer, "payload", message->payload);
    }
    put_props(writer, message->props);
}

static void put_client(struct noc_db_writer *writer, const struct noc_mosquitto_record *record)
{
    const struct noc_mosquitto_client *client = &record->client;

    noc_db_put_text(writer, "clientid", client->client_id);
    if (client->username.n > 0) {
        noc_db_put_text(writer, "username", client->username);
    }
    noc_db_put_int(writer, "session-expiry-time", client->session_expiry_time_s);
    noc_db_put_int(writer, "session-expiry-interval", client->session_expiry_interval_s);
    noc_db_put_int(writer, "last-mid", client->last_packet_id);
    noc_db_put_int(writer, "listener-port", client->listener_port);
}

static void put_client_message(
    struct noc_db_writer *writer, const struct noc_mosquitto_record *record)
{
    const struct noc_mosquitto_client_message *message = &record->client_message;

    noc_db_put_text(writer, "clientid", message->client_id);
    noc_db_put_uint(
        writer, "storeid", message->store_id); /* theirs has the subscription identifier here */
    noc_db_put_int(writer, "mid", message->packet_id);
    noc_db_put_int(writer, "qos", message->qos);
    noc_db_put_int(writer, "state", message->state);
    noc_db_put_int(writer, "retain-dup", message->is_retain << 4 | message->is_dup);
    noc_db_put_int(writer, "direction", message->is_outgoing);
    noc_db_put_int(writer, "subscription-identifier", message->subscription_id);
}

static void put_retained(struct noc_db_writer *writer, const struct noc_mosquitto_record *record)
{
    noc_db_put_uint(writer, "storeid", record->retained.store_id);
}

static void put_subscription(
    struct noc_db_writer *writer, const struct noc_mosquitto_record *record)
{
    const struct noc_mosquitto_subscription *subscription = &record->subscription;

    noc_db_put_text(writer, "clientid", subscription->client_id);
    noc_db_put_text(writer, "topic", subscription->filter);
    noc_db_put_int(writer, "qos", subscription->options & NOC_SUB_QOS);
    noc_db_put_int(writer, "options", subscription->options & ~NOC_SUB_QOS);
    noc_db_put_int(writer, "identifier", subscription->identifier);
}

static const struct array {
    enum noc_mosquitto_kind kind;
    const char *name;
    void (*put)(struct noc_db_writer *writer, const struct noc_mosquitto_record *record);
} arrays[] = {
    {NOC_MOSQUITTO_BASE_MESSAGE, "base-messages", put_base_message},
    {NOC_MOSQUITTO_CLIENT, "clients", put_client},
    {NOC_MOSQUITTO_CLIENT_MESSAGE, "client-messages", put_client_message},
    {NOC_MOSQUITTO_RETAINED, "retained-messages", put_retained},
    {NOC_MOSQUITTO_SUBSCRIPTION, "subscriptions", put_subscription},
};

/* One reading of the file; array is NULL to look for faults only. */
static int pass(
    struct noc_db_writer *writer, struct noc_mosquitto_file *file, const struct array *array)
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
            noc_db_close(writer, '}');
            if (writer->err < 0) {
                return writer->err;
            }
            noc_db_write_out(writer);
        }
    }
    return result;
}

int noc_db_dump_json(struct noc_mosquitto_file *file)
{
    struct noc_db_writer writer = {.out = {.is_pretty = true}};
    int result = pass(&writer, file, NULL);

    noc_db_open(&writer, '{');
    for (size_t i = 0; i < NOC_COUNT(arrays) && result == NOC_OK; i++) {
        noc_db_name(&writer, arrays[i].name);
        noc_db_open(&writer, '[');
        result = pass(&writer, file, &arrays[i]);
        noc_db_close(&writer, ']');
    }
    noc_db_close(&writer, '}');
    if (result == NOC_OK) {
        result = writer.err;
    }
    if (result == NOC_OK) {
        noc_db_write_out(&writer);
        putchar('\n');
    }
    noc_output_buffer_done(&writer.buffer);
    return result;
}
