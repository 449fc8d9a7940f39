/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BROKER_ADMISSION_H
#define NOC_BROKER_ADMISSION_H
/*
 * Who gets in: for each listener its security (users, rights) and its TLS
 * context. An immutable object, loaded whole, shared by reference count and
 * swapped whole on reload: a file that can't be read keeps the old one in force.
 */

#include <stdatomic.h>

#include "auth/pool.h"
#include "auth/security.h"
#include "config/config.h"
#include "core/link.h"
#include "net/log.h"
#include "net/tls.h"

struct noc_connection;

struct noc_admission_entry {
    struct noc_security *security; /* counted */
    struct noc_tls_context *tls;   /* counted; NULL: no TLS */
};

struct noc_admission {
    atomic_uint references;
    size_t count;
    struct noc_admission_entry at[]; /* by listener */
};

/* How to load: strict on a reload, when any bad line refuses the file. */
struct noc_admission_load {
    bool is_reload;
    const char *tls_keylog; /* NULL: none */
    struct noc_log *log;    /* is told what was wrong */
    uint64_t *version;      /* the last number given to an object; rises */
};

/*
 * Read all files that the configuration names. *ret_is_file: the failure is a
 * password or ACL file's, not TLS or memory.
 */
NOC_MUST_CHECK int noc_admission_load(const struct noc_config *config,
    const struct noc_admission_load *load, struct noc_admission **ret_access, bool *ret_is_file);

struct noc_admission *noc_admission_ref(struct noc_admission *access);
void noc_admission_unref(struct noc_admission *access); /* NULL is fine */

/* The shard's authenticate: see struct noc_shard_ops. */
int noc_admission_authenticate(
    struct noc_link *link, const struct noc_credentials *credentials, uint64_t ticket);

/* Log a refused login: from where, who, why; for whoever has to find the device, or to ban it. */
void noc_admission_log_denied(struct noc_link *link, const char *why, struct noc_slice username);

/*
 * The client is this user, whatever its CONNECT says: what a certificate or a method of
 * extended authentication has shown. NOC_ENOMEM.
 */
NOC_MUST_CHECK int noc_admission_set_name(struct noc_connection *connection, struct noc_slice name);

/* The security in force for a connection, on its worker. */
const struct noc_security *noc_admission_security(const struct noc_connection *connection);

/* The shard's exchange: see struct noc_shard_ops, and extended.c. */
int noc_extended_step(
    struct noc_link *link, const struct noc_exchange_step *step, uint8_t *ret_data, size_t *ret_n);

/*
 * Do the files in force on its worker admit a connection that comes from another worker,
 * which may have had older ones when it judged it? Its CONNECT is still there.
 */
bool noc_admission_still_admits(const struct noc_connection *connection);

/*
 * A call for each worker: put the access (an own reference, taken) in force, and
 * end the connections of clients whose entry changed or went.
 */
void noc_admission_put_in_force(struct noc_shard *shard, void *take_access);

#endif
