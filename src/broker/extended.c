/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended authentication: which methods a listener has, and their steps. There
 * is one, SCRAM-SHA-512, where the option authentication_method names it, there is a
 * password file, and no certificate says who the client is. Its steps are a few HMACs, so
 * they run on the worker.
 *
 * The identity is the method's: a CONNECT that names another user is refused, and
 * so is who authenticates again as somebody else.
 */
#include <string.h>

#include "broker/admission.h"
#include "broker/broker.h"
#include "broker/connection.h"

static bool has_method(const struct noc_connection *connection, struct noc_slice method)
{
    const struct noc_listener_config *listener = connection->endpoint->config;
    const struct noc_security_config *config = noc_config_security(
        noc_connection_worker(connection)->broker->config, listener->security_index);

    return config->authentication_method == NOC_CONFIG_METHOD_SCRAM_SHA_512 &&
           !listener->use_identity_as_username && !listener->use_subject_as_username &&
           noc_admission_security(connection)->passwords != NULL &&
           noc_slice_equal(method, noc_slice_of(NOC_SCRAM_METHOD));
}

static int denied(struct noc_link *link, const char *why, struct noc_slice username)
{
    struct noc_connection *connection = noc_connection_of(link);

    noc_admission_log_denied(link, why, username);
    noc_scram_free(connection->scram);
    connection->scram = NULL;
    return NOC_EDENIED;
}

/* The user that the link has claimed to be outside of the method; absent: none. */
static struct noc_slice claimed_name(const struct noc_link *link)
{
    if (link->session != NULL) {
        return noc_slice(link->session->username, link->session->username_n);
    }
    return link->connect->view.has_username ? link->connect->view.username : noc_slice(NULL, 0);
}

static int begin(struct noc_link *link, struct noc_slice data, uint8_t *ret_data, size_t *ret_n)
{
    struct noc_connection *connection = noc_connection_of(link);
    uint8_t nonce[NOC_SCRAM_NONCE_BYTES];
    const struct noc_scram_options options = {
        .passwords = noc_admission_security(connection)->passwords,
        .nonce = nonce,
        .stranger_key = noc_connection_worker(connection)->broker->stranger_key,
    };
    struct noc_slice challenge;
    int err;

    noc_scram_free(connection->scram);
    connection->scram = NULL;
    link->shard->ops->random(link->shard, nonce, sizeof nonce);
    err = noc_scram_new(&options, data, &connection->scram);
    if (err == NOC_ENOMEM) {
        return err;
    }
    if (err != NOC_OK) {
        return denied(link,
            err == NOC_ENOTSUP
                ? "its SCRAM asks for channel binding, another identity or an extension"
                : "its first SCRAM message is malformed",
            claimed_name(link));
    }
    challenge = noc_scram_challenge(connection->scram);
    memcpy(ret_data, challenge.at, challenge.n);
    *ret_n = challenge.n;
    return NOC_EAGAIN;
}

/* Why the end of an exchange is not the right one: said in the log, not to the client. */
static const char *refusal_text(const struct noc_connection *connection, int err)
{
    uint8_t digest[NOC_LINE_DIGEST_BYTES];

    if (err == NOC_EMALFORMED) {
        return "its second SCRAM message is malformed";
    }
    if (!noc_scram_is_known(connection->scram) &&
        noc_passwords_line_digest(noc_admission_security(connection)->passwords,
            noc_scram_username(connection->scram), digest) == NOC_OK) {
        return "its password line is not of the kind $7$, which SCRAM-SHA-512 needs";
    }
    return "unknown user or wrong password";
}

/* It has shown that it knows the password: may it be who it is? */
static int admit(struct noc_link *link)
{
    struct noc_connection *connection = noc_connection_of(link);
    const struct noc_security *security = noc_admission_security(connection);
    struct noc_slice name = noc_scram_username(connection->scram);
    struct noc_slice claimed = claimed_name(link);
    const uint8_t *digest = noc_scram_line_digest(connection->scram);

    if (claimed.at != NULL && !noc_slice_equal(claimed, name)) {
        return denied(link, "its SCRAM is for another user", claimed);
    }
    if (!noc_security_still_admits(security, name, digest)) {
        return denied(link, "its password has changed meanwhile", name);
    }
    if (link->session == NULL && noc_admission_set_name(connection, name) != NOC_OK) {
        return NOC_ENOMEM;
    }
    memcpy(connection->line_digest, digest, sizeof connection->line_digest);
    connection->security_version = security->version;
    noc_scram_free(connection->scram);
    connection->scram = NULL;
    return NOC_OK;
}

static int finish(struct noc_link *link, struct noc_slice data, uint8_t *ret_data, size_t *ret_n)
{
    struct noc_connection *connection = noc_connection_of(link);
    char final[NOC_SCRAM_SERVER_MAX];
    int err = noc_scram_finish(connection->scram, data, final, ret_n);

    if (err == NOC_ENOMEM) {
        return err;
    }
    if (err != NOC_OK) {
        return denied(link, refusal_text(connection, err), noc_scram_username(connection->scram));
    }
    memcpy(ret_data, final, *ret_n);
    return admit(link);
}

int noc_extended_step(
    struct noc_link *link, const struct noc_exchange_step *step, uint8_t *ret_data, size_t *ret_n)
{
    _Static_assert(
        (int)NOC_SCRAM_SERVER_MAX <= (int)NOC_AUTH_DATA_MAX, "a SCRAM message fits an AUTH");

    if (!step->is_first) {
        return finish(link, step->data, ret_data, ret_n);
    }
    if (!has_method(noc_connection_of(link), step->method)) {
        return NOC_ENOTSUP;
    }
    return begin(link, step->data, ret_data, ret_n);
}
