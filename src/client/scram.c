/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SCRAM from the client's side (RFC 5802).
 *
 *   SaltedPassword  = PBKDF2(password, salt, rounds)          kept from one exchange to the next
 *   AuthMessage     = BARE,CHALLENGE,FINAL-WITHOUT-PROOF      never in one piece: HMAC of parts
 *   ClientKey       = HMAC(SaltedPassword, "Client Key")
 *   proof           = ClientKey XOR HMAC(H(ClientKey), AuthMessage)
 *   ServerSignature = HMAC(HMAC(SaltedPassword, "Server Key"), AuthMessage)
 *
 *   IDLE ──step()──► ASKED ──step(challenge)──► ANSWERED ──finish()──► PROVED
 *     anything that is wrong: FAILED; step() without data: ASKED, from everywhere
 *
 * The server's signature is computed with the proof, while the challenge is still there.
 */
#include <noctule/scram.h>

#include "base/base64.h"
#include "base/macros.h"
#include "base/utf8.h"

enum scram_state { SCRAM_IDLE, SCRAM_ASKED, SCRAM_ANSWERED, SCRAM_PROVED, SCRAM_FAILED };

enum { NONCE_BYTES = NOC_SCRAM_NONCE_TEXT / 4 * 3, NONCE_WORDS = (NONCE_BYTES + 3) / 4 };

#define GS2_HEADER   "n,,"
#define FINAL_BEGIN  "c=biws,r=" /* base64 of that header */
#define TEXT_N(text) (sizeof(text) - 1)

struct scram_challenge {
    struct noc_slice nonce; /* both together */
    uint8_t salt[NOC_SCRAM_SALT_MAX];
    size_t salt_n;
    uint32_t rounds;
};

/* Not memset(), which a compiler may leave out before memory goes out of use. */
static void wipe(void *bytes, size_t n)
{
    volatile uint8_t *at = bytes;

    while (n-- > 0) {
        *at++ = 0;
    }
}

static int refuse_server(struct noc_scram_client *scram, int err, const char *why)
{
    scram->state = SCRAM_FAILED;
    scram->fault = why;
    return err;
}

static char *put_text(char *at, const void *text, size_t n)
{
    memcpy(at, text, n);
    return at + n;
}

/* ---- the client's first message ---- */

/* A name with , and = escaped, to at. NULL: longer than room. */
static char *put_name(char *at, size_t room, struct noc_slice name)
{
    const char *end = at + room;

    for (size_t i = 0; i < name.n; i++) {
        bool is_escaped = name.at[i] == ',' || name.at[i] == '=';

        if ((size_t)(end - at) < (is_escaped ? 3U : 1U)) {
            return NULL;
        }
        if (is_escaped) {
            at = put_text(at, name.at[i] == ',' ? "=2C" : "=3D", 3);
        } else {
            *at++ = name.at[i];
        }
    }
    return at;
}

/* "n,,n=USER,r=NONCE", with a new nonce. */
static int ask(struct noc_scram_client *scram, uint8_t *at, size_t room)
{
    const struct noc_scram_client_options *options = scram->options;
    uint32_t nonce[NONCE_WORDS];
    size_t n = TEXT_N(GS2_HEADER) + scram->bare_n;

    scram->fault = NULL;
    if (room < n) {
        return refuse_server(scram, NOC_ETOOLARGE, NOC_TEXT("the output buffer is too small"));
    }
    for (size_t i = 0; i < NONCE_WORDS; i++) {
        nonce[i] = options->random(options->context);
    }
    (void)noc_base64_encode(scram->bare + scram->bare_n - NOC_SCRAM_NONCE_TEXT, nonce, NONCE_BYTES);
    (void)put_text(
        put_text((char *)at, GS2_HEADER, TEXT_N(GS2_HEADER)), scram->bare, scram->bare_n);
    scram->state = SCRAM_ASKED;
    return (int)n;
}

/* ---- reading what the server says ---- */

/* The value of "x=VALUE" up to a comma or the end, which are cut off; never empty. False: it isn't one. */
static bool take_value(struct noc_slice *text, char name, struct noc_slice *ret_value)
{
    const char *comma = text->n < 3 ? NULL : memchr(text->at + 2, ',', text->n - 2);
    size_t n = comma == NULL ? text->n : (size_t)(comma - text->at);

    if (n < 3 || text->at[0] != name || text->at[1] != '=') {
        return false;
    }
    *ret_value = noc_slice(text->at + 2, n - 2);
    /* A comma with nothing behind it stays, and is no attribute. */
    n += comma != NULL && n + 1 < text->n ? 1 : 0;
    *text = noc_slice(text->at + n, text->n - n);
    return true;
}

/* Attributes that nobody has to understand; but they must be some. */
static bool are_extensions(struct noc_slice text)
{
    struct noc_slice value;

    while (text.n > 0) {
        char letter = (char)(text.at[0] | 0x20);

        if (letter < 'a' || letter > 'z' || !take_value(&text, text.at[0], &value)) {
            return false;
        }
    }
    return true;
}

/* Base64 in its one right spelling: padded, and no bit set that stands for no byte. */
static bool decode_strictly(struct noc_slice text, uint8_t *ret_bytes, size_t max, size_t *ret_n)
{
    char last[4];
    size_t n = 0, end;

    if (text.n < 4 || !noc_base64_decode(text, true, ret_bytes, max, &n) || n == 0) {
        return false;
    }
    end = (n - 1) / 3 * 3;
    (void)noc_base64_encode(last, ret_bytes + end, n - end);
    *ret_n = n;
    return memcmp(last, text.at + text.n - 4, 4) == 0;
}

static bool read_rounds(struct noc_slice text, uint32_t *ret_rounds)
{
    uint32_t rounds = 0;

    for (size_t i = 0; i < text.n; i++) {
        uint32_t digit = (uint32_t)(uint8_t)text.at[i] - '0';

        if (digit > 9 || rounds > (UINT32_MAX - digit) / 10) {
            return false;
        }
        rounds = rounds * 10 + digit;
    }
    *ret_rounds = rounds;
    return text.at[0] != '0';
}

/* A nonce is ours, and more of printable ASCII behind it (RFC 5802, section 7). */
static bool extends_ours(const struct noc_scram_client *scram, struct noc_slice nonce)
{
    const char *ours = scram->bare + scram->bare_n - NOC_SCRAM_NONCE_TEXT;

    for (size_t i = 0; i < nonce.n; i++) {
        if (nonce.at[i] < 0x21 || nonce.at[i] > 0x7e) {
            return false;
        }
    }
    return nonce.n > NOC_SCRAM_NONCE_TEXT && memcmp(nonce.at, ours, NOC_SCRAM_NONCE_TEXT) == 0;
}

static int read_challenge(
    struct noc_scram_client *scram, struct noc_slice text, struct scram_challenge *ret_challenge)
{
    const struct noc_scram_client_options *options = scram->options;
    uint32_t min = options->rounds_min, max = options->rounds_max;
    struct noc_slice salt, rounds;

    if (!noc_utf8_is_valid(text) || !take_value(&text, 'r', &ret_challenge->nonce) ||
        !take_value(&text, 's', &salt) || !take_value(&text, 'i', &rounds) ||
        !are_extensions(text) ||
        !decode_strictly(salt, ret_challenge->salt, NOC_SCRAM_SALT_MAX, &ret_challenge->salt_n) ||
        !read_rounds(rounds, &ret_challenge->rounds)) {
        return refuse_server(scram, NOC_EMALFORMED, NOC_TEXT("the server's challenge is none"));
    }
    if (!extends_ours(scram, ret_challenge->nonce)) {
        return refuse_server(
            scram, NOC_EPROTO, NOC_TEXT("the server's nonce is not ours and more"));
    }
    if (ret_challenge->rounds < (min == 0 ? NOC_SCRAM_ROUNDS_MIN_DEFAULT : min)) {
        return refuse_server(scram, NOC_EDENIED, NOC_TEXT("the server wants too few rounds"));
    }
    if (ret_challenge->rounds > (max == 0 ? NOC_SCRAM_ROUNDS_MAX_DEFAULT : max)) {
        return refuse_server(scram, NOC_EDENIED, NOC_TEXT("the server wants too many rounds"));
    }
    return NOC_OK;
}

/* ---- keys ---- */

static int hmac_of(const struct noc_scram_client *scram, const uint8_t *key,
    const struct noc_slice *parts, size_t count, uint8_t *ret_digest)
{
    const struct noc_scram_hash *hash = scram->options->hash;

    return hash->hmac(hash, noc_slice(key, hash->bytes), parts, count, ret_digest);
}

/* The first link of PBKDF2's chain, and then the others, so many at a time that nobody has to wait. */
static int stretch(
    const struct noc_scram_client *scram, const struct scram_challenge *challenge, uint8_t *sum)
{
    static const uint8_t block[] = {0, 0, 0, 1};
    const struct noc_scram_client_options *options = scram->options;
    const struct noc_scram_hash *hash = options->hash;
    struct noc_slice parts[] = {
        {(const char *)challenge->salt, challenge->salt_n}, {(const char *)block, sizeof(block)}};
    struct noc_slice password = options->password.n > 0 ? options->password : noc_slice("", 0);
    uint8_t link[NOC_SCRAM_HASH_MAX];
    uint32_t left = challenge->rounds - 1;
    int err = hash->hmac(hash, password, parts, NOC_COUNT(parts), link);

    memcpy(sum, link, hash->bytes);
    while (err == NOC_OK && left > 0) {
        uint32_t n = left < NOC_SCRAM_CHUNK ? left : NOC_SCRAM_CHUNK;

        err = hash->chain(hash, password, link, sum, n);
        left -= n;
        if (err == NOC_OK && options->goes_on != NULL && !options->goes_on(options->context)) {
            err = NOC_EAGAIN;
        }
    }
    wipe(link, sizeof(link));
    return err;
}

/* Have the salted password for this challenge, which may be the one that is there. */
static int salt_password(struct noc_scram_client *scram, const struct scram_challenge *challenge)
{
    int err;

    if (scram->rounds == challenge->rounds && noc_slice_equal(noc_slice(scram->salt, scram->salt_n),
                                                  noc_slice(challenge->salt, challenge->salt_n))) {
        return NOC_OK;
    }
    scram->rounds = 0;
    err = stretch(scram, challenge, scram->salted_password);
    if (err != NOC_OK) {
        return err;
    }
    memcpy(scram->salt, challenge->salt, challenge->salt_n);
    scram->salt_n = (uint8_t)challenge->salt_n;
    scram->rounds = challenge->rounds;
    return NOC_OK;
}

/* ---- the proofs ---- */

/* An HMAC of the salted password: the key for one side. */
static int side_key(
    const struct noc_scram_client *scram, const char *side, uint8_t ret_key[NOC_SCRAM_HASH_MAX])
{
    struct noc_slice name = noc_slice_of(side);

    return hmac_of(scram, scram->salted_password, &name, 1, ret_key);
}

/* Both sides' proofs for the message that parts make up: ours, and what the server's must be. */
static int compute_proofs(struct noc_scram_client *scram, const struct noc_slice *parts,
    size_t count, uint8_t ret_proof[NOC_SCRAM_HASH_MAX])
{
    const struct noc_scram_hash *hash = scram->options->hash;
    uint8_t key[NOC_SCRAM_HASH_MAX], stored[NOC_SCRAM_HASH_MAX], signature[NOC_SCRAM_HASH_MAX];
    int err = side_key(scram, "Client Key", key);

    if (err == NOC_OK) {
        err = hash->hash(hash, noc_slice(key, hash->bytes), stored);
    }
    if (err == NOC_OK) {
        err = hmac_of(scram, stored, parts, count, signature);
    }
    if (err == NOC_OK) {
        for (size_t i = 0; i < hash->bytes; i++) {
            ret_proof[i] = key[i] ^ signature[i];
        }
        err = side_key(scram, "Server Key", key);
    }
    if (err == NOC_OK) {
        err = hmac_of(scram, key, parts, count, scram->server_signature);
    }
    wipe(key, sizeof(key));
    wipe(stored, sizeof(stored));
    wipe(signature, sizeof(signature));
    return err;
}

/* "c=biws,r=NONCE,p=PROOF" to text, as the answer to a challenge. Returns its length. */
static int put_answer(struct noc_scram_client *scram, const struct scram_challenge *challenge,
    struct noc_slice challenge_text, char *text)
{
    char *at = put_text(
        put_text(text, FINAL_BEGIN, TEXT_N(FINAL_BEGIN)), challenge->nonce.at, challenge->nonce.n);
    struct noc_slice parts[] = {{scram->bare, scram->bare_n}, {",", 1}, challenge_text, {",", 1},
        {text, (size_t)(at - text)}};
    uint8_t proof[NOC_SCRAM_HASH_MAX];
    int err = compute_proofs(scram, parts, NOC_COUNT(parts), proof);

    if (err != NOC_OK) {
        return err;
    }
    at = noc_base64_encode(put_text(at, ",p=", 3), proof, scram->options->hash->bytes);
    return (int)(at - text);
}

static int answer(struct noc_scram_client *scram, struct noc_slice data, uint8_t *at, size_t room)
{
    struct scram_challenge challenge;
    struct noc_slice error;
    int n;

    if (take_value(&data, 'e', &error)) {
        return refuse_server(scram, NOC_EDENIED, NOC_TEXT("the server says that it failed"));
    }
    n = read_challenge(scram, data, &challenge);
    if (n != NOC_OK) {
        return n;
    }
    /* Half as much again is a little more than base64 takes. */
    if (TEXT_N(FINAL_BEGIN) + challenge.nonce.n + 3 + scram->options->hash->bytes * 3U / 2 > room) {
        return refuse_server(scram, NOC_ETOOLARGE, NOC_TEXT("the output buffer is too small"));
    }
    n = salt_password(scram, &challenge);
    if (n == NOC_OK) {
        n = put_answer(scram, &challenge, data, (char *)at);
    }
    if (n < 0) {
        return refuse_server(scram, n,
            n == NOC_EAGAIN ? NOC_TEXT("nobody wanted to wait for the keys")
                            : NOC_TEXT("the keys could not be made"));
    }
    scram->state = SCRAM_ANSWERED;
    return n;
}

/* ---- the method ---- */

static int scram_step(void *context, struct noc_slice data, uint8_t *at, size_t room)
{
    struct noc_scram_client *scram = context;

    if (data.at == NULL) {
        return ask(scram, at, room);
    }
    if (scram->state != SCRAM_ASKED) {
        return refuse_server(scram, NOC_EPROTO, NOC_TEXT("the server went on when it was over"));
    }
    return answer(scram, data, at, room);
}

/* In the same time, wherever the first difference is. */
static bool is_same_secret(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint8_t difference = 0;

    for (size_t i = 0; i < n; i++) {
        difference |= a[i] ^ b[i];
    }
    return difference == 0;
}

/* "v=SIGNATURE" or "e=ERROR". */
static int scram_finish(void *context, struct noc_slice data)
{
    struct noc_scram_client *scram = context;
    size_t bytes = scram->options->hash->bytes, n;
    uint8_t signature[NOC_SCRAM_HASH_MAX];
    struct noc_slice value;

    if (scram->state != SCRAM_ANSWERED) {
        return refuse_server(scram, NOC_EPROTO, NOC_TEXT("the server accepted what was not asked"));
    }
    if (take_value(&data, 'e', &value)) {
        return refuse_server(scram, NOC_EDENIED, NOC_TEXT("the server says that it failed"));
    }
    if (!take_value(&data, 'v', &value) || !are_extensions(data) ||
        !decode_strictly(value, signature, bytes, &n) || n != bytes) {
        return refuse_server(scram, NOC_EMALFORMED, NOC_TEXT("the server proves nothing"));
    }
    if (!is_same_secret(signature, scram->server_signature, bytes)) {
        return refuse_server(scram, NOC_EDENIED, NOC_TEXT("the server does not know the password"));
    }
    scram->state = SCRAM_PROVED;
    return NOC_OK;
}

/* ---- life ---- */

static bool can_be_met(const struct noc_scram_client_options *options)
{
    uint32_t min = options->rounds_min, max = options->rounds_max;

    return (min == 0 ? NOC_SCRAM_ROUNDS_MIN_DEFAULT : min) <=
           (max == 0 ? NOC_SCRAM_ROUNDS_MAX_DEFAULT : max);
}

int noc_scram_client_init(struct noc_scram_client *scram,
    const struct noc_scram_client_options *options, struct noc_client_auth *ret_auth)
{
    char *end;

    if (options->user.n == 0 || !noc_utf8_is_valid(options->user) || options->hash == NULL ||
        options->hash->bytes > NOC_SCRAM_HASH_MAX || options->random == NULL ||
        !can_be_met(options)) {
        return NOC_EINVAL;
    }
    memset(scram, 0, sizeof(*scram));
    scram->options = options;
    end = put_name(put_text(scram->bare, "n=", 2), NOC_SCRAM_USER_MAX, options->user);
    if (end == NULL) {
        return NOC_ETOOLARGE;
    }
    end = put_text(end, ",r=", 3) + NOC_SCRAM_NONCE_TEXT;
    scram->bare_n = (uint8_t)(end - scram->bare);
    *ret_auth = (struct noc_client_auth){
        .method = noc_slice_of(options->hash->method),
        .step = scram_step,
        .finish = scram_finish,
        .context = scram,
    };
    return NOC_OK;
}

void noc_scram_client_done(struct noc_scram_client *scram)
{
    wipe(scram, sizeof(*scram));
}

const char *noc_scram_client_fault(const struct noc_scram_client *scram)
{
    return scram->fault == NULL ? "" : scram->fault;
}
