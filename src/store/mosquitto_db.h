/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_STORE_MOSQUITTO_DB_H
#define NOC_STORE_MOSQUITTO_DB_H
/*
 * Mosquitto's persistence file, mosquitto.db: read in its versions 3 to 6,
 * written in version 6 (that of Mosquitto 2.0 and 2.1).
 *
 *   head     15 magic bytes · 4 bytes of checksum, always 0 · 4 bytes of version
 *   chunk*   type (2 bytes before version 5, then 4) · 4 bytes of length · body
 *
 * A chunk is one record. A record is told by numbers and slices that point into
 * the bytes read; nothing is copied or allocated. Records come in the order of
 * the file, which with Mosquitto is: config, base messages, then each client
 * and behind it its messages, subscriptions, retained messages. Client messages
 * and retained messages name their base message by its store id; one that is
 * missing has expired.
 *
 * Lengths are in network order, but Mosquitto writes 64-bit numbers as they lie in its
 * memory. So a file of another kind of machine is told by its config record: store ids are
 * counted from 1, or made of a time, and never fill the upper 16 bits. That is why the config
 * record comes first, or not at all.
 *
 * A reader or writer belongs to one thread. No system call, no allocation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include <noctule/error.h>
#include <noctule/slice.h>

#define NOC_MOSQUITTO_PAYLOAD_MAX 268435455u /* longest payload that the standard has room for */

enum {
    NOC_MOSQUITTO_VERSION_MIN = 3,
    NOC_MOSQUITTO_VERSION = 6, /* the one written, and the latest read */
    NOC_MOSQUITTO_HEAD_BYTES = 23,
};

enum noc_mosquitto_kind {
    NOC_MOSQUITTO_UNKNOWN = 0, /* a chunk of a type that we don't know: passed over */
    NOC_MOSQUITTO_CONFIG = 1,  /* from here on the number is the chunk's type */
    NOC_MOSQUITTO_BASE_MESSAGE = 2,
    NOC_MOSQUITTO_CLIENT_MESSAGE = 3,
    NOC_MOSQUITTO_RETAINED = 4,
    NOC_MOSQUITTO_SUBSCRIPTION = 5,
    NOC_MOSQUITTO_CLIENT = 6,
    NOC_MOSQUITTO_KINDS
};

/* Where a client message stands. The numbers are the file's. */
enum noc_mosquitto_state {
    NOC_MOSQUITTO_INVALID = 0,
    NOC_MOSQUITTO_PUBLISH_QOS0 = 1, /* the next ones: to be sent */
    NOC_MOSQUITTO_PUBLISH_QOS1 = 2,
    NOC_MOSQUITTO_WAIT_PUBACK = 3,
    NOC_MOSQUITTO_PUBLISH_QOS2 = 4,
    NOC_MOSQUITTO_WAIT_PUBREC = 5,
    NOC_MOSQUITTO_RESEND_PUBREL = 6,
    NOC_MOSQUITTO_WAIT_PUBREL = 7, /* of incoming ones: PUBREC is sent */
    NOC_MOSQUITTO_RESEND_PUBCOMP = 8,
    NOC_MOSQUITTO_WAIT_PUBCOMP = 9,
    NOC_MOSQUITTO_SEND_PUBREC = 10,
    NOC_MOSQUITTO_QUEUED = 11, /* waits for its turn; its packet id may be 0 */
    NOC_MOSQUITTO_STATES
};

struct noc_mosquitto_config {
    uint64_t last_store_id;
    bool is_shutdown; /* written as the broker ended, not while it ran */
};

struct noc_mosquitto_base_message {
    uint64_t store_id;
    int64_t expiry_time_s;            /* since 1970; 0: does not expire. Since version 5 */
    struct noc_slice source_id;       /* who sent it; empty: the broker itself, or unknown */
    struct noc_slice source_username; /* empty: none. Since version 4 */
    uint16_t source_packet_id;
    uint16_t source_port; /* of the listener; 0: unknown. Since version 4 */
    uint8_t qos;
    bool is_retain; /* the flag it came with */
    struct noc_slice topic;
    struct noc_slice payload;
    struct noc_slice props; /* a block of PUBLISH without its length, decodable. Since version 5 */
};

struct noc_mosquitto_client_message {
    uint64_t store_id;
    struct noc_slice client_id;
    uint16_t packet_id;
    uint8_t qos;   /* that of delivery */
    uint8_t state; /* enum noc_mosquitto_state */
    bool is_retain, is_dup;
    bool is_outgoing;         /* to the client; otherwise from it */
    uint32_t subscription_id; /* 0: none. Since version 5 */
    struct noc_slice props;   /* as they stand there, that one included */
};

struct noc_mosquitto_retained {
    uint64_t store_id;
};

struct noc_mosquitto_subscription {
    struct noc_slice client_id;
    struct noc_slice filter; /* a shared one with its $share/group/ */
    uint8_t options;         /* as in SUBSCRIBE, QoS included; retain handling isn't stored */
    uint32_t identifier;     /* 0: none. Since version 5 */
};

struct noc_mosquitto_client {
    struct noc_slice client_id;
    struct noc_slice username; /* empty: none. Since version 6 */
    /*
     * Mosquitto 2.0.11 and its neighbours write the user name of the client before for one
     * that has none: with memory behind it, then username is empty here, or just so, then
     * it may be true after all.
     */
    bool is_username_doubtful;
    bool has_expiry;                    /* the next two are told, since version 5 */
    int64_t session_expiry_time_s;      /* since 1970; 0: connected, or never expires */
    uint32_t session_expiry_interval_s; /* UINT32_MAX: never */
    int64_t disconnect_time_s;          /* since 1970, before version 5; otherwise 0 */
    uint16_t last_packet_id;
    uint16_t listener_port; /* 0: unknown. Since version 6 */
};

struct noc_mosquitto_record {
    enum noc_mosquitto_kind kind;
    uint32_t type;   /* the chunk's type in the file */
    uint32_t length; /* bytes of its body */
    uint64_t offset; /* of its head in the file */
    union {
        struct noc_mosquitto_config config;
        struct noc_mosquitto_base_message base_message;
        struct noc_mosquitto_client_message client_message;
        struct noc_mosquitto_retained retained;
        struct noc_mosquitto_subscription subscription;
        struct noc_mosquitto_client client;
    };
};

/* What is wrong with a file. */
struct noc_mosquitto_fault {
    const char *what; /* static text: "topic is longer than its chunk" */
    uint64_t offset;  /* byte of the file at which it was seen */
    uint64_t chunk;   /* which one, from 1; 0: the head of the file */
    uint32_t type;    /* of that chunk; 0: none */
};

/* ---- reading ---- */

struct noc_mosquitto_reader {
    /* For the caller to read. */
    unsigned version;  /* of the file; 0 until its head was read */
    size_t wanted;     /* bytes without which the next step gets nowhere */
    uint32_t checksum; /* of its head; always 0 so far */
    bool is_foreign;   /* of a machine with the other byte order */
    struct noc_mosquitto_fault fault;

    /* The reader's own. */
    int err;
    uint64_t offset; /* bytes consumed */
    uint64_t chunk;
    uint32_t skip;  /* bytes left of a chunk of unknown type */
    bool is_packed; /* 64-bit numbers stand at multiples of four, as on i386 */
    uint16_t username_n;
    uint64_t username_hash; /* of the last client */
};

void noc_mosquitto_reader_init(struct noc_mosquitto_reader *reader);

/*
 * Read one record from the start of bytes[0..n), which go on where the bytes used before
 * ended. Returns
 *
 *   1        *ret_record is the next one; its slices point into bytes
 *   0        more bytes are wanted: at least reader->wanted, counted from behind those used
 *   negative NOC_EMALFORMED, NOC_ETOOLARGE (a length that nobody needs) or NOC_ENOTSUP (a
 *            version we don't know); reader->fault tells where. It stays so.
 *
 * *ret_used bytes are used up, in the first two cases. wanted is at most the longest chunk of a
 * known type; chunks of unknown types need never be held.
 */
NOC_MUST_CHECK int noc_mosquitto_read(struct noc_mosquitto_reader *reader, const uint8_t *bytes,
    size_t n, size_t *ret_used, struct noc_mosquitto_record *ret_record);

/*
 * The file ends with bytes[0..n), of which noc_mosquitto_read() made no record. NOC_OK, or
 * NOC_EMALFORMED: in the midst of a chunk.
 */
NOC_MUST_CHECK int noc_mosquitto_read_end(struct noc_mosquitto_reader *reader, size_t n);

/*
 * All of a file in memory: visit() is given each record, and ends the walk by returning an
 * error. Returns NOC_OK, that error, or one of noc_mosquitto_read() with *fault.
 */
typedef int (*noc_mosquitto_visit_fn)(void *context, const struct noc_mosquitto_record *record);
NOC_MUST_CHECK int noc_mosquitto_read_all(const uint8_t *bytes, size_t n,
    noc_mosquitto_visit_fn visit, void *context, struct noc_mosquitto_fault *fault);

/* The name of a kind or of a state: "base message", "wait for puback". Static. */
const char *noc_mosquitto_kind_name(enum noc_mosquitto_kind kind);
const char *noc_mosquitto_state_name(unsigned state);

/* ---- writing ---- */

/* The head of a file of version 6. */
void noc_mosquitto_write_head(uint8_t at[NOC_MOSQUITTO_HEAD_BYTES]);

/*
 * One record as a chunk of version 6; type, length and offset are not looked at, nor is what
 * earlier versions had. Of a client message without props subscription_id is written. Returns
 * its length, or 0: it does not fit into room, or nobody could read it (a text over
 * 65535 bytes, a kind unknown). A client without has_expiry is written as one that never expires.
 */
size_t noc_mosquitto_write(const struct noc_mosquitto_record *record, uint8_t *at, size_t room);

/* The length of that chunk; 0 as above. */
size_t noc_mosquitto_write_size(const struct noc_mosquitto_record *record);

#endif
