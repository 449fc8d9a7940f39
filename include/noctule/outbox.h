/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_OUTBOX_H
#define NOCTULE_OUTBOX_H
/*
 * Where a client keeps the messages of QoS 1 and 2 that it has to get across:
 * whole PUBLISH packets in wire form, in the order in which they were given,
 * until the server has acknowledged them. Two are shipped: a ring in memory,
 * and a log in storage (a file, or flash) that survives a restart. Others fill
 * in the table of functions.
 *
 * One client uses an outbox, from one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <noctule/config.h>
#include <noctule/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum noc_outbox_state {
    NOC_OUTBOX_WAITING,  /* has not been sent yet */
    NOC_OUTBOX_SENT,     /* sent, not acknowledged */
    NOC_OUTBOX_RELEASED, /* QoS 2: PUBREC came, and PUBREL goes */
};

/* One message in an outbox, as its functions hand it out; of use until the next call of one. */
struct noc_outbox_item {
    uint32_t position; /* where it is; means something to the outbox only */
    uint32_t size;     /* bytes of the packet */
    uint16_t packet_id;
    uint8_t state; /* enum noc_outbox_state */
    uint8_t first; /* the packet's first byte */
};

struct noc_outbox;

/*
 * An outbox has a cursor, which the client moves over the messages once in each
 * connection: to send those that wait, those that had been sent before, and a
 * PUBREL for those released. What stands in front of the cursor counts as sent.
 *
 * Each function returns NOC_OK or an error; NOC_EIO: the storage failed.
 */
struct noc_outbox_ops {
    /*
     * Begin a message of that many bytes at the end, state WAITING. NOC_EFULL:
     * no room now; NOC_ETOOLARGE: never. What is begun is not seen until commit().
     */
    int (*begin)(struct noc_outbox *box, uint16_t packet_id, uint32_t size);
    /* Its next bytes; never more than were said. */
    int (*write)(struct noc_outbox *box, const void *bytes, size_t n);
    /* All is written: it counts from here on, and survives what the storage survives. */
    int (*commit)(struct noc_outbox *box);
    /* Forget what was begun. */
    void (*cancel)(struct noc_outbox *box);

    /*
     * A new connection: the cursor goes to the oldest. is_anew: the server knows nothing of what it
     * was sent before, so all become WAITING, those RELEASED as well.
     */
    int (*rewind)(struct noc_outbox *box, bool is_anew);
    /* The message at the cursor. NOC_ENOENT: it stands at the end. */
    int (*unsent)(struct noc_outbox *box, struct noc_outbox_item *ret_item);
    /* The one at the cursor was sent: move on. What was WAITING is SENT. */
    int (*pass)(struct noc_outbox *box);
    /* The message with that packet identifier. NOC_ENOENT: none. */
    int (*find)(struct noc_outbox *box, uint16_t packet_id, struct noc_outbox_item *ret_item);
    /* Bytes at..at+n of an item's packet. */
    int (*read)(struct noc_outbox *box, const struct noc_outbox_item *item, uint32_t at, void *into,
        size_t n);
    /* It becomes RELEASED. Its packet stays: see rewind(). */
    int (*release)(struct noc_outbox *box, const struct noc_outbox_item *item);
    /* It is across. A cursor that stands on it moves on. */
    int (*remove)(struct noc_outbox *box, const struct noc_outbox_item *item);
};

/* What every outbox begins with. */
struct noc_outbox {
    const struct noc_outbox_ops *ops;
    uint16_t oldest_id; /* packet identifiers of the oldest and the newest message that is there; */
    uint16_t newest_id; /* 0: none. The newest stays when it is removed. */
};

/* ---- in memory ---- */

/*
 * The fields are the outbox's own. Messages stand one behind the other; those at the end of
 * the memory are moved to its front when room is needed that others have left.
 */
struct noc_ring_outbox {
    struct noc_outbox box;
    uint8_t *bytes;
    uint32_t size;    /* of bytes */
    uint32_t head;    /* where the oldest entry stands */
    uint32_t tail;    /* end of the newest */
    uint32_t cursor;  /* the entry to be sent next, or tail */
    uint32_t written; /* where the next bytes go of the entry that is being written */
};

/*
 * An empty outbox in bytes[0..n), which stays the caller's, must outlive it, and is best aligned
 * to four. A message takes its packet, rounded up to four, and eight bytes; with twice the room
 * that messages take at a time they are seldom moved.
 */
NOC_PUBLIC struct noc_outbox *noc_ring_outbox_init(
    struct noc_ring_outbox *ring, void *bytes, size_t n);

/* ---- a log in storage ---- */

/*
 * Storage that is written from its start to its end and erased as a whole: a
 * file, or two regions of flash. Offsets and sizes are in bytes, of writes multiples
 * of four. Each function returns NOC_OK or NOC_EIO.
 */
struct noc_storage {
    int (*read)(void *context, unsigned region, uint32_t at, void *into, size_t n);
    int (*write)(void *context, unsigned region, uint32_t at, const void *bytes, size_t n);
    int (*sync)(void *context, unsigned region);
    int (*erase)(void *context, unsigned region); /* reads as 0xff afterwards */
    void *context;
    uint32_t region_bytes; /* there are two regions, 0 and 1, of that size each; at least 256 */
};

/* The fields are the outbox's own. Offsets are those of its region. */
struct noc_log_outbox {
    struct noc_outbox box;
    const struct noc_storage *storage;
    uint32_t generation;         /* of the region in use; the higher one counts */
    uint32_t head;               /* first record that may be alive */
    uint32_t tail;               /* where the next record goes */
    uint32_t cursor;             /* first message that may have to be sent */
    uint32_t sent;               /* messages in front of this have been sent once */
    uint32_t count;              /* messages that are there */
    uint32_t begun;              /* where the message that is being written begins, 0: none */
    uint32_t size, written, crc; /* of that */
    uint16_t begun_id;
    uint8_t held[4]; /* its last bytes, until there are four */
    uint8_t region;
    bool is_opening;
    bool has_dead; /* copying what is alive would make room */
    bool is_torn;  /* a write failed, so nothing may follow: it is copied before the next one */
};

/*
 * Open what is in storage, which must outlive it. What a power cut left
 * unfinished is cut off; messages that are there count as sent. A message takes
 * its packet, rounded up to four, and 40 bytes. NOC_OK, NOC_EIO, or NOC_EINVAL:
 * the storage is too small.
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_log_outbox_open(
    struct noc_log_outbox *log, const struct noc_storage *storage);

/* ---- such storage in a file (POSIX systems) ---- */

struct noc_file_storage {
    struct noc_storage storage;
    int file; /* descriptor */
};

/*
 * Open or make the file, for two regions of that size, and lock it. NOC_OK, NOC_EINVAL
 * (size no multiple of four or below 256, or another one than the file has), NOC_EEXIST
 * (somebody uses it), NOC_EIO (errno tells why).
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_file_storage_open(
    struct noc_file_storage *file, const char *path, uint32_t region_bytes);
NOC_PUBLIC void noc_file_storage_close(struct noc_file_storage *file);

#ifdef __cplusplus
}
#endif

#endif
