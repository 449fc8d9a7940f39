/* SPDX-License-Identifier: Apache-2.0 */
/* `noctule db dump`: records, counts and clients as mosquitto_db_dump (2.1) prints them. */
#define _GNU_SOURCE
#include "cli/db.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "core/map64.h"
#include "mqtt/packet.h"

enum { PAYLOAD_SHOWN_BYTES = 256 };

/* "\tName: text": a text ends at its first zero byte, as a C program has it. */
static void print_text(const char *name, struct noc_slice text)
{
    printf("%s", name);
    if (text.n == 0) {
        fputs("(null)", stdout);
    } else {
        (void)fwrite(text.at, 1, strnlen(text.at, text.n), stdout);
    }
    putchar('\n');
}

/* A decoded character that Mosquitto takes for one of a text. */
static bool is_shown(uint32_t code)
{
    return code > 0x1f && (code < 0x7f || code > 0x9f) && (code < 0xfdd0 || code > 0xfdef) &&
           (code & 0xfffe) != 0xfffe;
}

/* Is it UTF-8 without control characters and noncharacters, as mosquitto_validate_utf8() wants it? */
static bool is_plain(struct noc_slice text)
{
    if (!noc_utf8_is_valid(text)) {
        return false;
    }
    for (size_t i = 0; i < text.n;) {
        uint8_t first = (uint8_t)text.at[i++];
        unsigned more = first < 0xc0 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        uint32_t code = more == 0 ? first : first & (0x3fU >> more);

        for (; more > 0; more--) {
            code = code << 6 | ((uint8_t)text.at[i++] & 0x3f);
        }
        if (!is_shown(code)) {
            return false;
        }
    }
    return true;
}

static void print_prop(const struct noc_prop *prop)
{
    switch (prop->id) {
    case NOC_PROP_PAYLOAD_FORMAT:
        printf("\t\tPayload format indicator: %" PRIu32 "\n", prop->number);
        break;
    case NOC_PROP_CONTENT_TYPE:
        print_text("\t\tContent type: ", prop->value);
        break;
    case NOC_PROP_RESPONSE_TOPIC:
        print_text("\t\tResponse topic: ", prop->value);
        break;
    case NOC_PROP_CORRELATION_DATA:
        fputs("\t\tCorrelation data: ", stdout);
        for (size_t i = 0; i < prop->value.n; i++) {
            printf("%02X", (uint8_t)prop->value.at[i]);
        }
        putchar('\n');
        break;
    case NOC_PROP_USER:
        printf("\t\tUser property: %.*s , ", NOC_SLICE_ARG(prop->name));
        printf("%.*s\n", NOC_SLICE_ARG(prop->value));
        break;
    default:
        printf("\t\tInvalid property type: %d\n", prop->id);
        break;
    }
}

static void print_config(const struct noc_mosquitto_config *config)
{
    printf("\tShutdown: %d\n\tDB ID size: 8\n\tLast DB ID: %" PRIu64 "\n", config->is_shutdown,
        config->last_store_id);
}

static void print_base_message(const struct noc_mosquitto_base_message *message)
{
    struct noc_slice rest = message->props;
    struct noc_prop prop;

    printf("\tStore ID: %" PRIu64 "\n\tSource Port: %d\n\tSource MID: %d\n", message->store_id,
        message->source_port, message->source_packet_id);
    print_text("\tTopic: ", message->topic);
    printf("\tQoS: %d\n\tRetain: %d\n\tPayload Length: %zu\n\tExpiry Time: %" PRId64 "\n",
        message->qos, message->is_retain, message->payload.n, message->expiry_time_s);
    if (message->payload.n > 0 && message->payload.n < PAYLOAD_SHOWN_BYTES &&
        is_plain(message->payload)) {
        print_text("\tPayload: ", message->payload);
    }
    if (rest.n > 0) {
        fputs("\tProperties:\n", stdout);
    }
    while (noc_props_next(&rest, &prop)) {
        print_prop(&prop);
    }
}

static void print_client_message(const struct noc_mosquitto_client_message *message)
{
    print_text("\tClient ID: ", message->client_id);
    printf("\tStore ID: %" PRIu64 "\n\tMID: %d\n\tQoS: %d\n\tRetain: %d\n", message->store_id,
        message->packet_id, message->qos, message->is_retain);
    printf("\tDirection: %d\n\tState: %d\n\tDup: %d\n", message->is_outgoing, message->state,
        message->is_dup);
    if (message->subscription_id != 0) {
        printf("\tSubscription identifier: %" PRIu32 "\n", message->subscription_id);
    }
}

static void print_subscription(const struct noc_mosquitto_subscription *subscription)
{
    print_text("\tClient ID: ", subscription->client_id);
    print_text("\tTopic: ", subscription->filter);
    printf("\tQoS: %d\n\tSubscription ID: %" PRIu32 "\n\tOptions: 0x%02X\n",
        subscription->options & NOC_SUB_QOS, subscription->identifier,
        (unsigned)subscription->options & ~(unsigned)NOC_SUB_QOS);
}

static void print_client(const struct noc_mosquitto_client *client)
{
    print_text("\tClient ID: ", client->client_id);
    if (client->username.n > 0) {
        print_text("\tUsername: ", client->username);
    }
    if (client->listener_port > 0) {
        printf("\tListener port: %u\n", client->listener_port);
    }
    printf("\tLast MID: %d\n\tSession expiry time: %" PRId64 "\n\tSession expiry interval: %" PRIu32
           "\n",
        client->last_packet_id, client->session_expiry_time_s, client->session_expiry_interval_s);
}

static void print_record(const struct noc_mosquitto_record *record)
{
    static const char *const names[NOC_MOSQUITTO_KINDS] = {
        "", "CFG", "BASE_MSG", "CLIENT_MSG", "RETAIN", "SUB", "CLIENT"};

    if (record->kind != NOC_MOSQUITTO_UNKNOWN) {
        printf("DB_CHUNK_%s:\n\tLength: %" PRIu32 "\n", names[record->kind], record->length);
    }
    switch (record->kind) {
    case NOC_MOSQUITTO_CONFIG:
        print_config(&record->config);
        break;
    case NOC_MOSQUITTO_BASE_MESSAGE:
        print_base_message(&record->base_message);
        break;
    case NOC_MOSQUITTO_CLIENT_MESSAGE:
        print_client_message(&record->client_message);
        break;
    case NOC_MOSQUITTO_RETAINED:
        printf("\tStore ID: %" PRIu64 "\n", record->retained.store_id);
        break;
    case NOC_MOSQUITTO_SUBSCRIPTION:
        print_subscription(&record->subscription);
        break;
    case NOC_MOSQUITTO_CLIENT:
        print_client(&record->client);
        break;
    case NOC_MOSQUITTO_UNKNOWN:
    case NOC_MOSQUITTO_KINDS:
        break;
    }
}

/* A chunk that nobody knows is passed over, which is told. */
static void warn_of_unknown(
    const struct noc_mosquitto_file *file, const struct noc_mosquitto_record *record)
{
    if (record->kind == NOC_MOSQUITTO_UNKNOWN) {
        fprintf(stderr,
            "Warning: Unsupported chunk \"%" PRIu32 "\" of length %" PRIu32
            " in persistent database file at position %" PRIu64 ". Ignoring.\n",
            record->type, record->length, record->offset + (file->reader.version < 5 ? 6 : 8));
    }
}

int noc_db_dump_records(struct noc_mosquitto_file *file)
{
    struct noc_mosquitto_record record;
    int result = noc_mosquitto_file_next(file, &record);

    if (file->reader.version != 0) {
        printf("Mosquitto DB dump\nCRC: %" PRIu32 "\nDB version: %u\n", file->reader.checksum,
            file->reader.version);
    }
    for (; result > 0; result = noc_mosquitto_file_next(file, &record)) {
        warn_of_unknown(file, &record);
        print_record(&record);
    }
    return result;
}

int noc_db_dump_stats(struct noc_mosquitto_file *file)
{
    uint64_t counts[NOC_MOSQUITTO_KINDS] = {0};
    struct noc_mosquitto_record record;
    int result;

    while ((result = noc_mosquitto_file_next(file, &record)) > 0) {
        warn_of_unknown(file, &record);
        counts[record.kind]++;
    }
    if (result == NOC_OK) {
        printf("DB_CHUNK_CFG:        %" PRIu64 "\n", counts[NOC_MOSQUITTO_CONFIG]);
        printf("DB_CHUNK_BASE_MSG:   %" PRIu64 "\n", counts[NOC_MOSQUITTO_BASE_MESSAGE]);
        printf("DB_CHUNK_CLIENT_MSG: %" PRIu64 "\n", counts[NOC_MOSQUITTO_CLIENT_MESSAGE]);
        printf("DB_CHUNK_RETAIN:     %" PRIu64 "\n", counts[NOC_MOSQUITTO_RETAINED]);
        printf("DB_CHUNK_SUB:        %" PRIu64 "\n", counts[NOC_MOSQUITTO_SUBSCRIPTION]);
        printf("DB_CHUNK_CLIENT:     %" PRIu64 "\n", counts[NOC_MOSQUITTO_CLIENT]);
    }
    return result;
}

/* ---- a line for each client ---- */

struct client {
    struct client *next; /* in the order of the file */
    struct client *same_hash;
    uint64_t subscriptions, subscription_bytes, messages, message_bytes;
    size_t id_n;
    char id[];
};

struct clients {
    struct noc_map64 by_hash;  /* of the id; the first of a list */
    struct noc_map64 messages; /* store id -> bytes of the base message's chunk, as a pointer */
    struct client *first, **last;
};

static uint64_t key_of(struct noc_slice id)
{
    uint64_t hash = noc_hash(0, id.at, id.n);

    return hash == 0 ? 1 : hash; /* a map has no key 0 */
}

static struct client *find_client(const struct clients *clients, struct noc_slice id)
{
    struct client *client = noc_map64_get(&clients->by_hash, key_of(id));

    while (client != NULL && !noc_slice_equal(noc_slice(client->id, client->id_n), id)) {
        client = client->same_hash;
    }
    return client;
}

static int add_client(struct clients *clients, struct noc_slice id)
{
    struct client *client;
    int err;

    if (id.n == 0 || find_client(clients, id) != NULL) {
        return NOC_OK;
    }
    client = calloc(1, sizeof(*client) + id.n);
    if (client == NULL) {
        return NOC_ENOMEM;
    }
    client->id_n = id.n;
    memcpy(client->id, id.at, id.n);
    client->same_hash = noc_map64_get(&clients->by_hash, key_of(id));
    err = noc_map64_set(&clients->by_hash, key_of(id), client);
    if (err < 0) {
        free(client);
        return err;
    }
    *clients->last = client;
    clients->last = &client->next;
    return NOC_OK;
}

static int add_base_message(struct clients *clients, const struct noc_mosquitto_record *record)
{
    /* The number travels as an address, which is never followed. */
    return record->base_message.store_id == 0
               ? NOC_OK
               : noc_map64_set(&clients->messages, record->base_message.store_id,
                     (void *)(uintptr_t)record->length);
}

static void count_message(struct clients *clients, const struct noc_mosquitto_record *record)
{
    uint64_t store_id = record->client_message.store_id;
    struct client *client = find_client(clients, record->client_message.client_id);

    if (client != NULL) {
        client->messages++;
        client->message_bytes += record->length;
        client->message_bytes +=
            store_id == 0 ? 0 : (uintptr_t)noc_map64_get(&clients->messages, store_id);
    }
}

static int count_record(struct clients *clients, const struct noc_mosquitto_record *record)
{
    struct client *client;

    if (record->kind == NOC_MOSQUITTO_CLIENT) {
        return add_client(clients, record->client.client_id);
    }
    if (record->kind == NOC_MOSQUITTO_BASE_MESSAGE) {
        return add_base_message(clients, record);
    }
    if (record->kind == NOC_MOSQUITTO_CLIENT_MESSAGE) {
        count_message(clients, record);
    }
    if (record->kind == NOC_MOSQUITTO_SUBSCRIPTION) {
        client = find_client(clients, record->subscription.client_id);
        if (client != NULL) {
            client->subscriptions++;
            client->subscription_bytes += record->length;
        }
    }
    return NOC_OK;
}

int noc_db_dump_clients(struct noc_mosquitto_file *file)
{
    struct clients clients = {.last = &clients.first};
    struct noc_mosquitto_record record;
    int result;

    while ((result = noc_mosquitto_file_next(file, &record)) > 0) {
        warn_of_unknown(file, &record);
        result = count_record(&clients, &record);
        if (result < 0) {
            break;
        }
    }
    while (clients.first != NULL) {
        struct client *client = clients.first;

        clients.first = client->next;
        if (result == NOC_OK) {
            printf("SC: %" PRIu64 " SS: %" PRIu64 " MC: %" PRIu64 " MS: %" PRIu64 "   ",
                client->subscriptions, client->subscription_bytes, client->messages,
                client->message_bytes);
            print_text("", noc_slice(client->id, client->id_n));
        }
        free(client);
    }
    noc_map64_done(&clients.by_hash);
    noc_map64_done(&clients.messages);
    return result;
}
