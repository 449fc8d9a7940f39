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
    NOC_OUTBOX_RELEASED, /* QoS 2: PUBREC came; only the packet identifier is still needed */
};

/* One message in an outbox, as its functions hand it out. */
struct noc_outbox_item {
    uint32_t position; /* where it is; means something to the outbox only */
    uint32_t size;     /* bytes of the packet; 0 when released */
    uint16_t packet_id;
    uint8_t state; /* enum noc_outbox_state */
};

struct noc_outbox;

/* Each returns NOC_OK or an error; NOC_EIO: the storage failed. */
struct noc_outbox_ops {
    /*
     * Begin a message of that many bytes at the end, state WAITING. NOC_EFULL:
     * no room now; NOC_ETOOLARGE: never. What is begun is not seen by first() and next().
     */
    int (*begin)(struct noc_outbox *box, uint16_t packet_id, uint32_t size);
    /* Its next bytes. */
    int (*write)(struct noc_outbox *box, const void *bytes, size_t n);
    /* All is written: it counts from here on, and survives what the storage survives. */
    int (*commit)(struct noc_outbox *box);
    /* Forget what was begun. */
    void (*cancel)(struct noc_outbox *box);

    /* The oldest message, and the one behind *item. NOC_ENOENT: none. */
    int (*first)(struct noc_outbox *box, struct noc_outbox_item *ret_item);
    int (*next)(struct noc_outbox *box, struct noc_outbox_item *item);
    /* The message with that packet identifier. NOC_ENOENT: none. */
    int (*find)(struct noc_outbox *box, uint16_t packet_id, struct noc_outbox_item *ret_item);
    /* Bytes at..at+n of its packet. */
    int (*read)(struct noc_outbox *box, const struct noc_outbox_item *item, uint32_t at, void *into,
        size_t n);
    /* Change its state; updates *item. With RELEASED the packet's bytes may go. */
    int (*set_state)(struct noc_outbox *box, struct noc_outbox_item *item, uint8_t state);
    /* It is across. */
    int (*remove)(struct noc_outbox *box, struct noc_outbox_item *item);
};

/* What every outbox begins with. */
struct noc_outbox {
    const struct noc_outbox_ops *ops;
};

/* ---- a ring in memory ---- */

/* The fields are the outbox's own. */
struct noc_ring_outbox {
    struct noc_outbox box;
    uint8_t *bytes;
    uint32_t size;       /* of bytes; a multiple of four */
    uint32_t head, tail; /* oldest entry; where the next begins. Equal: empty */
    uint32_t pending;    /* end of what is being written, 0: nothing */
    uint32_t written;    /* where its next byte goes */
    uint32_t count;      /* entries from head to tail, removed ones included */
};

/*
 * An empty ring in bytes[0..n), which stays the caller's and must outlive it,
 * aligned to four. A message takes its packet, rounded up to four, and eight bytes.
 */
NOC_PUBLIC struct noc_outbox *noc_ring_outbox_init(
    struct noc_ring_outbox *ring, void *bytes, size_t n);

/* ---- a log in storage ---- */

/*
 * Storage that is written from its start to its end and erased as a whole: a
 * file, or two regions of flash. All offsets and sizes in bytes. Each returns NOC_OK or
 * NOC_EIO.
 */
struct noc_storage {
    int (*read)(void *context, unsigned region, uint32_t at, void *into, size_t n);
    int (*write)(void *context, unsigned region, uint32_t at, const void *bytes, size_t n);
    int (*sync)(void *context, unsigned region);
    int (*erase)(void *context, unsigned region); /* reads as 0xff afterwards */
    void *context;
    uint32_t region_bytes; /* there are two regions, 0 and 1, of that size each */
};

/* The fields are the outbox's own. */
struct noc_log_outbox {
    struct noc_outbox box;
    const struct noc_storage *storage;
    uint32_t head, tail; /* first record that may be alive; end of the last one */
    uint32_t pending, written, crc;
    uint16_t pending_id;
    uint8_t region;
    uint8_t generation;
};

/*
 * Open what is in storage, which must outlive it. Records with a wrong checksum
 * at the end are what a power cut left, and are cut off; messages that were
 * there count as sent. NOC_OK, NOC_EIO, or NOC_EINVAL: storage too small.
 */
NOC_PUBLIC NOC_MUST_CHECK int noc_log_outbox_open(
    struct noc_log_outbox *log, const struct noc_storage *storage);

#ifdef __cplusplus
}
#endif

#endif
