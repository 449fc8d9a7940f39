/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SCRAM from the client's side: the example of RFC 7677, the server of src/auth with
 * many names, passwords and rounds, and servers that are not what they should be.
 * With other peers: tests/e2e/test_library.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auth/scram.h"
#include "kit.h"
#include <noctule/error.h>
#include <noctule/scram.h>

/* The example of RFC 7677, section 3. */
#define NONCE     "rOprNGfwEbeRWgbNEkqO"
#define BOTH      NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT      "W22ZaJ0SNY7soEsUEjb6gQ=="
#define FIRST     "n,,n=user,r=" NONCE
#define CHALLENGE "r=" BOTH ",s=" SALT ",i=4096"
#define FINAL     "c=biws,r=" BOTH ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SIGNATURE "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

/* An exchange, with memory that ends where what is in it ends. */
struct exchange {
    struct noc_scram_client scram;
    struct noc_scram_client_options options;
    struct noc_client_auth auth;
    char said[512]; /* the last message, as text */
    unsigned random_at;
    unsigned waits, patience; /* how often goes_on() was called, and may be */
};

/* The nonce of the example, again and again. */
static uint32_t example_random(void *context)
{
    static const uint8_t nonce[16] = {0xac, 0xea, 0x6b, 0x34, 0x67, 0xf0, 0x11, 0xb7, 0x91, 0x5a,
        0x06, 0xcd, 0x12, 0x4a, 0x8e, 0};
    struct exchange *exchange = context;
    uint32_t word;

    memcpy(&word, nonce + exchange->random_at % 4 * 4, 4);
    exchange->random_at++;
    return word;
}

static uint32_t other_random(void *context)
{
    struct exchange *exchange = context;

    return exchange->random_at++ * 2654435761u;
}

static bool is_patient(void *context)
{
    struct exchange *exchange = context;

    return ++exchange->waits <= exchange->patience;
}

static int init(struct exchange *exchange, const char *user, const char *password)
{
    exchange->options.user = noc_slice_of(user);
    exchange->options.password = noc_slice_of(password);
    if (exchange->options.hash == NULL) {
        exchange->options.hash = noc_scram_openssl_sha256();
    }
    exchange->options.random =
        exchange->options.random == NULL ? example_random : exchange->options.random;
    exchange->options.context = exchange;
    return noc_scram_client_init(&exchange->scram, &exchange->options, &exchange->auth);
}

static void begin(struct exchange *exchange)
{
    memset(exchange, 0, sizeof *exchange);
    assert_int_equal(init(exchange, "user", "pencil"), NOC_OK);
}

/* NULL: begin anew. What it says is in said. */
static int step_in(struct exchange *exchange, struct noc_slice data, size_t room)
{
    uint8_t *at = malloc(room + 1);
    char *copy = malloc(data.n + 1);
    int n;

    assert_non_null(at);
    assert_non_null(copy);
    if (data.n > 0) {
        memcpy(copy + 1, data.at, data.n);
    }
    n = exchange->auth.step(
        exchange->auth.context, data.at == NULL ? data : noc_slice(copy + 1, data.n), at + 1, room);
    assert_true(n <= (int)room && room < sizeof exchange->said);
    if (n >= 0) {
        memcpy(exchange->said, at + 1, (size_t)n);
        exchange->said[n] = '\0';
    }
    free(copy);
    free(at);
    return n;
}

static int step(struct exchange *exchange, const char *data)
{
    return step_in(exchange, noc_slice_of(data), sizeof exchange->said - 1);
}

static int finish_with(struct exchange *exchange, struct noc_slice data)
{
    char *copy = malloc(data.n + 1);
    int err;

    assert_non_null(copy);
    if (data.n > 0) {
        memcpy(copy + 1, data.at, data.n);
    }
    err = exchange->auth.finish(
        exchange->auth.context, data.at == NULL ? data : noc_slice(copy + 1, data.n));
    free(copy);
    return err;
}

static int finish(struct exchange *exchange, const char *data)
{
    return finish_with(exchange, noc_slice_of(data));
}

/* Up to the client's proof, in the example. */
static void answer(struct exchange *exchange)
{
    assert_true(step(exchange, NULL) > 0);
    assert_string_equal(exchange->said, FIRST);
    assert_true(step(exchange, CHALLENGE) > 0);
    assert_string_equal(exchange->said, FINAL);
}

/* ---- the right server ---- */

static void the_example_of_the_rfc_comes_out(void **state)
{
    struct exchange exchange;

    (void)state;
    begin(&exchange);
    assert_true(noc_slice_equal(exchange.auth.method, noc_slice_of("SCRAM-SHA-256")));
    answer(&exchange);
    assert_int_equal(finish(&exchange, SIGNATURE), NOC_OK);
    assert_string_equal(noc_scram_client_fault(&exchange.scram), "");
}

static void the_slow_key_is_made_once_for_a_salt_and_rounds(void **state)
{
    struct exchange exchange;

    (void)state;
    memset(&exchange, 0, sizeof exchange);
    exchange.options.goes_on = is_patient;
    exchange.patience = 100;
    assert_int_equal(init(&exchange, "user", "pencil"), NOC_OK);
    answer(&exchange);
    assert_int_equal(exchange.waits, 4);
    assert_int_equal(finish(&exchange, SIGNATURE), NOC_OK);
    answer(&exchange);
    assert_int_equal(exchange.waits, 4);
    assert_int_equal(finish(&exchange, SIGNATURE), NOC_OK);
    /* Other rounds, another salt, and the first one again: each time anew. */
    assert_true(step(&exchange, NULL) > 0);
    assert_true(step(&exchange, "r=" BOTH ",s=" SALT ",i=4097") > 0);
    assert_string_not_equal(exchange.said, FINAL);
    assert_true(step(&exchange, NULL) > 0);
    assert_true(step(&exchange, "r=" BOTH ",s=W22ZaJ0SNY7soEsUEjb6gg==,i=4097") > 0);
    assert_string_not_equal(exchange.said, FINAL);
    answer(&exchange);
    assert_int_equal(exchange.waits, 16);
}

static void extensions_that_may_be_ignored_are(void **state)
{
    struct exchange exchange;

    (void)state;
    begin(&exchange);
    assert_true(step(&exchange, NULL) > 0);
    assert_true(step(&exchange, CHALLENGE ",x=what,Y=ever") > 0);
    /* They are part of what is signed, so the signature is another one. */
    assert_int_equal(finish(&exchange, SIGNATURE), NOC_EDENIED);
    answer(&exchange);
    assert_int_equal(finish(&exchange, SIGNATURE ",x=what"), NOC_OK);
}

/* The whole exchange with the server of src/auth. Returns what it says of the client. */
static int login(struct exchange *exchange, const struct noc_passwords *passwords)
{
    static const uint8_t nonce[NOC_SCRAM_NONCE_BYTES] = "a nonce of theirs", key[32] = "key";
    struct noc_scram_options options = {passwords, nonce, key};
    struct noc_scram *server = NULL;
    struct noc_slice challenge;
    char final[NOC_SCRAM_SERVER_MAX];
    size_t final_n;
    int err;

    assert_true(step(exchange, NULL) > 0);
    err = noc_scram_new(&options, noc_slice_of(exchange->said), &server);
    assert_int_equal(err, NOC_OK);
    assert_true(noc_slice_equal(noc_scram_username(server), exchange->options.user));
    challenge = noc_scram_challenge(server);
    assert_true(step_in(exchange, challenge, 300) > 0);
    err = noc_scram_finish(server, noc_slice_of(exchange->said), final, &final_n);
    if (err == NOC_OK) {
        assert_int_equal(finish_with(exchange, noc_slice(final, final_n)), NOC_OK);
        assert_int_equal(finish_with(exchange, noc_slice(final, final_n)), NOC_EPROTO);
    }
    noc_scram_free(server);
    return err;
}

/* A password file of one line. */
static struct noc_passwords *passwords_of(const char *user, const char *password, uint32_t rounds)
{
    struct noc_password_recipe recipe = {.rounds = rounds, .salt_n = (uint8_t)(1 + rounds % 64)};
    struct noc_passwords_options options = {.seed = 1};
    struct noc_report report = {0};
    struct noc_passwords *passwords = NULL;
    char hash[NOC_PASSWORD_TEXT_MAX], line[512];

    assert_int_equal(noc_password_hash_make(noc_slice_of(password), &recipe, hash), NOC_OK);
    snprintf(line, sizeof line, "%s:%s\n", user, hash);
    assert_int_equal(
        noc_passwords_parse(noc_slice_of(line), "pw", &options, &report, &passwords), NOC_OK);
    return passwords;
}

static void the_broker_lets_in_who_knows_the_password(void **state)
{
    static const struct {
        const char *user, *password;
        uint32_t rounds;
    } cases[] = {{"user", "pencil", 4096}, {"u", "x", 1}, {"a,l=ice,=", "c,o=mma", 2},
        {"ümit", "пароль", 101}, {"=2C", "=3D", 1023}, {"user", "pencil", 1024},
        {"user", "pencil", 1025}, {"user", "pencil", 3000},
        {"user",
            "a password that is longer than a block of SHA-512, which is 128 bytes, so that "
            "it is hashed before it becomes a key of HMAC: then it has 64 bytes",
            77}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct noc_passwords *passwords =
            passwords_of(cases[i].user, cases[i].password, cases[i].rounds);
        struct exchange exchange = {
            .options = {
                .hash = noc_scram_openssl_sha512(), .rounds_min = 1, .random = other_random}};

        assert_int_equal(init(&exchange, cases[i].user, cases[i].password), NOC_OK);
        for (unsigned times = 0; times < 3; times++) {
            assert_int_equal(login(&exchange, passwords), NOC_OK);
        }
        noc_scram_client_done(&exchange.scram);
        assert_int_equal(init(&exchange, cases[i].user, "another one"), NOC_OK);
        assert_int_equal(login(&exchange, passwords), NOC_EDENIED);
        noc_passwords_unref(passwords);
    }
}

static void an_empty_password_is_one(void **state)
{
    struct noc_passwords *passwords = passwords_of("user", "", 300);
    struct exchange exchange = {.options = {.hash = noc_scram_openssl_sha512(), .rounds_min = 1}};

    (void)state;
    assert_int_equal(init(&exchange, "user", NULL), NOC_OK);
    assert_int_equal(login(&exchange, passwords), NOC_OK);
    noc_passwords_unref(passwords);
}

static void each_exchange_has_a_nonce_of_its_own(void **state)
{
    struct exchange exchange = {.options = {.random = other_random}};
    char before[sizeof exchange.said];

    (void)state;
    assert_int_equal(init(&exchange, "user", "pencil"), NOC_OK);
    assert_int_equal(step(&exchange, NULL), strlen(FIRST));
    memcpy(before, exchange.said, sizeof before);
    assert_int_equal(step(&exchange, NULL), strlen(FIRST));
    assert_string_not_equal(exchange.said, before);
}

/* ---- hostile servers ---- */

static const char *const bad_challenges[] = {"", ",", "=", "r", "r=", "r=,s=,i=", ",,", "x",
    "r=" BOTH, "r=" BOTH ",s=" SALT, "r=" BOTH ",s=" SALT ",", "r=" BOTH ",s=" SALT ",i",
    "r=" BOTH ",s=" SALT ",i=", CHALLENGE ",", CHALLENGE ",,", CHALLENGE ",x",
    CHALLENGE ",x=", CHALLENGE ",x=y,", CHALLENGE ",1=y", CHALLENGE ",=y", CHALLENGE ",xy=z",
    /* order, and what must be understood */
    "s=" SALT ",r=" BOTH ",i=4096", "r=" BOTH ",i=4096,s=" SALT, "m=x," CHALLENGE, "," CHALLENGE,
    "R=" BOTH ",s=" SALT ",i=4096", " " CHALLENGE, "r=" BOTH ", s=" SALT ",i=4096",
    /* rounds */
    "r=" BOTH ",s=" SALT ",i=0", "r=" BOTH ",s=" SALT ",i=04096", "r=" BOTH ",s=" SALT ",i=-1",
    "r=" BOTH ",s=" SALT ",i=+4096", "r=" BOTH ",s=" SALT ",i=4096 ",
    "r=" BOTH ",s=" SALT ",i=0x1000", "r=" BOTH ",s=" SALT ",i=4294967296",
    "r=" BOTH ",s=" SALT ",i=4294971392", "r=" BOTH ",s=" SALT ",i=99999999999999999999",
    /* base64 */
    "r=" BOTH ",s=W22ZaJ0SNY7soEsUEjb6gQ,i=4096", "r=" BOTH ",s=W22ZaJ0SNY7soEsUEjb6gQ=,i=4096",
    "r=" BOTH ",s=W22ZaJ0SNY7soEsUEjb6gR==,i=4096", "r=" BOTH ",s=====,i=4096",
    "r=" BOTH ",s=W22ZaJ0SNY7soEsUEjb6g===,i=4096", "r=" BOTH ",s=" SALT "=,i=4096",
    "r=" BOTH ",s=W22ZaJ0S-Y7soEsUEjb6gQ==,i=4096", "r=" BOTH ",s=W22Z J0SNY7soEsUEjb6gQ==,i=4096",
    "r=" BOTH ",s=QQ==QQ==,i=4096", "r=" BOTH ",s=AAF=,i=4096", "r=" BOTH ",s=A,i=4096",
    /* 65 bytes */
    "r=" BOTH ",s=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAA=,i=4096",
    /* not UTF-8 */
    CHALLENGE ",x=\xff", CHALLENGE ",x=\xed\xa0\x80"};

static void a_challenge_that_is_none_is_refused(void **state)
{
    struct exchange exchange;

    (void)state;
    begin(&exchange);
    for (size_t i = 0; i < sizeof bad_challenges / sizeof bad_challenges[0]; i++) {
        assert_true(step(&exchange, NULL) > 0);
        assert_string_equal(noc_scram_client_fault(&exchange.scram), "");
        if (step(&exchange, bad_challenges[i]) != NOC_EMALFORMED) {
            print_error("taken: %s\n", bad_challenges[i]);
            fail();
        }
        assert_string_equal(
            noc_scram_client_fault(&exchange.scram), "the server's challenge is none");
        /* And there is no way on but to begin anew. */
        assert_int_equal(step(&exchange, CHALLENGE), NOC_EPROTO);
        assert_int_equal(finish(&exchange, SIGNATURE), NOC_EPROTO);
    }
    assert_true(step(&exchange, NULL) > 0);
    assert_int_equal(
        step_in(&exchange, noc_slice(CHALLENGE ",x=\0", sizeof(CHALLENGE ",x=\0") - 1), 300),
        NOC_EMALFORMED);
    answer(&exchange);
}

static void a_challenge_cut_anywhere_is_refused(void **state)
{
    struct exchange exchange;

    (void)state;
    memset(&exchange, 0, sizeof exchange);
    exchange.options.rounds_min = 4096;
    assert_int_equal(init(&exchange, "user", "pencil"), NOC_OK);
    for (size_t n = 0; n < strlen(CHALLENGE); n++) {
        assert_true(step(&exchange, NULL) > 0);
        assert_true(step_in(&exchange, noc_slice(CHALLENGE, n), 300) < 0);
    }
}

static void a_nonce_that_is_not_ours_and_more_is_refused(void **state)
{
    static const char *const nonces[] = {NONCE, "rOprNGfwEbeRWgbNEkqP%hvYDp", "x" BOTH, "x",
        "rOprNGfwEbeRWgbNEkq%hvYDp", BOTH "\x7f", BOTH " x", BOTH "\xc3\xa9"};
    struct exchange exchange;
    char text[256];

    (void)state;
    begin(&exchange);
    for (size_t i = 0; i < sizeof nonces / sizeof nonces[0]; i++) {
        snprintf(text, sizeof text, "r=%s,s=" SALT ",i=4096", nonces[i]);
        assert_true(step(&exchange, NULL) > 0);
        assert_int_equal(step(&exchange, text), NOC_EPROTO);
        assert_string_equal(
            noc_scram_client_fault(&exchange.scram), "the server's nonce is not ours and more");
    }
}

/* So many rounds, with these limits. */
static int ask_rounds(const char *rounds, uint32_t min, uint32_t max)
{
    struct exchange exchange = {.options = {.rounds_min = min, .rounds_max = max}};
    char text[256];
    int n;

    assert_int_equal(init(&exchange, "user", "pencil"), NOC_OK);
    snprintf(text, sizeof text, "r=%s,s=" SALT ",i=%s", BOTH, rounds);
    assert_true(step(&exchange, NULL) > 0);
    n = step(&exchange, text);
    assert_true(n == NOC_EDENIED || n > 0);
    return n;
}

static void rounds_outside_the_limits_are_refused(void **state)
{
    (void)state;
    assert_true(ask_rounds("4096", 0, 0) > 0);
    assert_int_equal(ask_rounds("4095", 0, 0), NOC_EDENIED);
    assert_int_equal(ask_rounds("1", 0, 0), NOC_EDENIED);
    assert_int_equal(ask_rounds("250001", 0, 0), NOC_EDENIED);
    assert_int_equal(ask_rounds("4294967295", 0, 0), NOC_EDENIED);
    assert_true(ask_rounds("1", 1, 1) > 0);
    assert_int_equal(ask_rounds("2", 1, 1), NOC_EDENIED);
    assert_true(ask_rounds("5000", 5000, 5000) > 0);
    assert_int_equal(ask_rounds("4999", 5000, 5000), NOC_EDENIED);
    assert_int_equal(ask_rounds("5001", 5000, 5000), NOC_EDENIED);
}

static void whoever_waits_for_the_keys_may_give_up(void **state)
{
    struct exchange exchange;

    (void)state;
    memset(&exchange, 0, sizeof exchange);
    exchange.options.goes_on = is_patient;
    exchange.patience = 2;
    assert_int_equal(init(&exchange, "user", "pencil"), NOC_OK);
    assert_true(step(&exchange, NULL) > 0);
    assert_int_equal(step(&exchange, "r=" BOTH ",s=" SALT ",i=250000"), NOC_EAGAIN);
    assert_int_equal(exchange.waits, 3);
    assert_string_equal(
        noc_scram_client_fault(&exchange.scram), "nobody wanted to wait for the keys");
    exchange.patience = 100;
    answer(&exchange); /* half a key is none */
}

static void a_server_that_does_not_know_the_password_is_found_out(void **state)
{
    char text[] = SIGNATURE;
    struct exchange exchange;

    (void)state;
    begin(&exchange);
    for (size_t i = 2; i < strlen(text) - 1; i++) {
        char right = text[i];
        int err;

        answer(&exchange);
        text[i] = right == 'A' ? 'B' : 'A';
        err = finish(&exchange, text);
        assert_true(err == NOC_EDENIED || (err == NOC_EMALFORMED && i == strlen(text) - 2));
        /* Nor does a second try help. */
        text[i] = right;
        assert_int_equal(finish(&exchange, text), NOC_EPROTO);
    }
}

static void a_signature_that_is_none_is_refused(void **state)
{
    static const char *const bad[] = {NULL, "", "v", "v=", "v=,", "x=y", SIGNATURE ",",
        SIGNATURE ",x", SIGNATURE "=", "V=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", /* a bit too many */
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4", "x=y," SIGNATURE,
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==", /* 31 bytes */
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4A", /* 33 */
        "v=6rri"};
    struct exchange exchange;

    (void)state;
    begin(&exchange);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        answer(&exchange);
        assert_int_equal(finish(&exchange, bad[i]), NOC_EMALFORMED);
        assert_string_equal(noc_scram_client_fault(&exchange.scram), "the server proves nothing");
    }
}

static void an_error_of_the_server_is_told(void **state)
{
    struct exchange exchange;

    (void)state;
    begin(&exchange);
    answer(&exchange);
    assert_int_equal(finish(&exchange, "e=invalid-proof"), NOC_EDENIED);
    assert_string_equal(noc_scram_client_fault(&exchange.scram), "the server says that it failed");
    assert_true(step(&exchange, NULL) > 0);
    assert_int_equal(step(&exchange, "e=unknown-user"), NOC_EDENIED);
    assert_string_equal(noc_scram_client_fault(&exchange.scram), "the server says that it failed");
}

static void success_before_the_proof_is_refused(void **state)
{
    struct exchange exchange;

    (void)state;
    begin(&exchange);
    assert_int_equal(finish(&exchange, SIGNATURE), NOC_EPROTO);
    begin(&exchange);
    assert_true(step(&exchange, NULL) > 0);
    assert_int_equal(finish(&exchange, SIGNATURE), NOC_EPROTO);
    /* The signature that is all zero before there is one. */
    assert_int_equal(
        finish(&exchange, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), NOC_EPROTO);
    /* Nor does one of an exchange before count. */
    answer(&exchange);
    assert_true(step(&exchange, NULL) > 0);
    assert_int_equal(finish(&exchange, SIGNATURE), NOC_EPROTO);
}

static void a_second_challenge_is_refused(void **state)
{
    struct exchange exchange;

    (void)state;
    begin(&exchange);
    answer(&exchange);
    assert_int_equal(step(&exchange, CHALLENGE), NOC_EPROTO);
    assert_string_equal(
        noc_scram_client_fault(&exchange.scram), "the server went on when it was over");
    assert_int_equal(finish(&exchange, SIGNATURE), NOC_EPROTO);
    answer(&exchange);
    assert_int_equal(finish(&exchange, SIGNATURE), NOC_OK);
    assert_int_equal(step(&exchange, CHALLENGE), NOC_EPROTO);
}

/* ---- limits ---- */

static void a_buffer_that_is_too_small_is_told(void **state)
{
    struct exchange exchange;
    size_t room;

    (void)state;
    begin(&exchange);
    for (room = 0; room < strlen(FIRST); room++) {
        assert_int_equal(step_in(&exchange, noc_slice_of(NULL), room), NOC_ETOOLARGE);
    }
    for (room = 0; room < strlen(FINAL); room++) {
        assert_int_equal(step_in(&exchange, noc_slice_of(NULL), strlen(FIRST)), strlen(FIRST));
        assert_int_equal(step_in(&exchange, noc_slice_of(CHALLENGE), room), NOC_ETOOLARGE);
    }
    assert_int_equal(step(&exchange, NULL), strlen(FIRST));
    assert_int_equal(step_in(&exchange, noc_slice_of(CHALLENGE), strlen(FINAL) + 4), strlen(FINAL));
}

static void options_that_can_not_work_are_refused(void **state)
{
    static const struct noc_scram_hash odd = {.method = "X", .bytes = NOC_SCRAM_HASH_MAX + 1};
    struct exchange exchange = {0};
    char name[NOC_SCRAM_USER_MAX + 2];

    (void)state;
    assert_int_equal(init(&exchange, NULL, "x"), NOC_EINVAL);
    assert_int_equal(init(&exchange, "", "x"), NOC_EINVAL);
    assert_int_equal(init(&exchange, "\xff", "x"), NOC_EINVAL);
    exchange.options.rounds_min = 2;
    exchange.options.rounds_max = 1;
    assert_int_equal(init(&exchange, "x", "x"), NOC_EINVAL);
    exchange.options.rounds_min = 0;
    assert_int_equal(init(&exchange, "x", "x"), NOC_EINVAL); /* the default is more */
    exchange.options.rounds_max = 0;
    exchange.options.hash = &odd;
    assert_int_equal(init(&exchange, "x", "x"), NOC_EINVAL);
    exchange.options.hash = NULL;
    assert_int_equal(
        noc_scram_client_init(&exchange.scram, &exchange.options, &exchange.auth), NOC_EINVAL);
    exchange.options.hash = noc_scram_openssl_sha256();
    exchange.options.random = NULL;
    assert_int_equal(
        noc_scram_client_init(&exchange.scram, &exchange.options, &exchange.auth), NOC_EINVAL);

    memset(name, 'x', sizeof name);
    name[NOC_SCRAM_USER_MAX] = '\0';
    assert_int_equal(init(&exchange, name, "x"), NOC_OK);
    assert_int_equal(
        step(&exchange, NULL), NOC_SCRAM_USER_MAX + strlen("n,,n=,r=") + NOC_SCRAM_NONCE_TEXT);
    name[NOC_SCRAM_USER_MAX - 1] = '=';
    assert_int_equal(init(&exchange, name, "x"), NOC_ETOOLARGE);
    name[NOC_SCRAM_USER_MAX - 3] = '\0';
    name[NOC_SCRAM_USER_MAX - 4] = ',';
    assert_int_equal(init(&exchange, name, "x"), NOC_OK);
    memset(name, 'x', sizeof name);
    name[NOC_SCRAM_USER_MAX + 1] = '\0';
    assert_int_equal(init(&exchange, name, "x"), NOC_ETOOLARGE);
}

static void nothing_is_left_when_it_is_done(void **state)
{
    static const struct noc_scram_client none;
    struct exchange exchange;

    (void)state;
    begin(&exchange);
    answer(&exchange);
    noc_scram_client_done(&exchange.scram);
    assert_memory_equal(&exchange.scram, &none, sizeof none);
}

/* A hash that fails at its n-th call. */
static unsigned calls_left;

static int failing_hash(
    const struct noc_scram_hash *hash, struct noc_slice text, uint8_t *ret_digest)
{
    return calls_left-- == 0 ? NOC_ENOMEM
                             : noc_scram_openssl_sha256()->hash(hash, text, ret_digest);
}

static int failing_hmac(const struct noc_scram_hash *hash, struct noc_slice key,
    const struct noc_slice *parts, size_t count, uint8_t *ret_digest)
{
    return calls_left-- == 0
               ? NOC_ENOMEM
               : noc_scram_openssl_sha256()->hmac(hash, key, parts, count, ret_digest);
}

static int failing_chain(const struct noc_scram_hash *hash, struct noc_slice key, uint8_t *link,
    uint8_t *sum, uint32_t rounds)
{
    return calls_left-- == 0 ? NOC_ENOMEM
                             : noc_scram_openssl_sha256()->chain(hash, key, link, sum, rounds);
}

static void a_hash_that_fails_ends_the_exchange(void **state)
{
    static const struct noc_scram_hash failing = {
        "SCRAM-SHA-256", 32, failing_hash, failing_hmac, failing_chain};
    struct exchange exchange = {.options = {.hash = &failing}};
    unsigned calls = 0;
    int n;

    (void)state;
    do {
        assert_int_equal(init(&exchange, "user", "pencil"), NOC_OK);
        assert_true(step(&exchange, NULL) > 0);
        calls_left = calls++;
        n = step(&exchange, CHALLENGE);
        if (n < 0) {
            assert_int_equal(n, NOC_ENOMEM);
            assert_string_equal(
                noc_scram_client_fault(&exchange.scram), "the keys could not be made");
            assert_int_equal(finish(&exchange, SIGNATURE), NOC_EPROTO);
        }
    } while (n < 0);
    assert_int_equal(calls, 11); /* one more than there are */
    assert_string_equal(exchange.said, FINAL);
}

/* ---- in the client ---- */

#define METHOD_PROP "15 00 0d 'SCRAM-SHA-256'"

static void open_client(struct kit *kit, struct exchange *exchange)
{
    begin(exchange);
    kit_init(kit);
    kit->options.version = 5;
    kit->options.auth = &exchange->auth;
    kit_open(kit, 512, 512);
}

static void log_in(struct kit *kit)
{
    kit_start(kit);
    expect_wire(kit, "10 42 0004'MQTT' 05 02 002d 33 " METHOD_PROP " 16 0020 '" FIRST "' 0002'me'");
    kit_feed(kit, "f0 6b 18 69 " METHOD_PROP " 16 0056 '" CHALLENGE "'");
    expect_wire(kit, "f0 7f 18 7d " METHOD_PROP " 16 006a '" FINAL "'");
}

static void a_client_logs_in_and_again(void **state)
{
    static struct kit kit;
    struct exchange exchange;

    (void)state;
    open_client(&kit, &exchange);
    log_in(&kit);
    kit_feed(&kit, "20 44 00 00 41 " METHOD_PROP " 16 002e '" SIGNATURE "'");
    expect_events(&kit, "connected\n");
    assert_int_equal(noc_client_authenticate(&kit.client), NOC_OK);
    kit_run(&kit);
    expect_wire(&kit, "f0 35 19 33 " METHOD_PROP " 16 0020 '" FIRST "'");
    kit_feed(&kit, "f0 6b 18 69 " METHOD_PROP " 16 0056 '" CHALLENGE "'");
    expect_wire(&kit, "f0 7f 18 7d " METHOD_PROP " 16 006a '" FINAL "'");
    kit_feed(&kit, "f0 43 00 41 " METHOD_PROP " 16 002e '" SIGNATURE "'");
    expect_events(&kit, "authenticated\n");
    kit_done(&kit);
}

/* What the server says instead of its signature ends the connection. */
static void expect_mistrust(const char *connack)
{
    static struct kit kit;
    struct exchange exchange;

    open_client(&kit, &exchange);
    log_in(&kit);
    kit_feed(&kit, connack);
    expect_events(&kit, "closed 12 0: \n");
    assert_int_equal(kit.last.cause.kind, NOC_CAUSE_AUTH);
    kit_done(&kit);
}

static void a_client_leaves_a_server_that_proves_nothing(void **state)
{
    (void)state;
    expect_mistrust(
        "20 44 00 00 41 " METHOD_PROP " 16 002e 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8='");
    expect_mistrust(
        "20 44 00 00 41 " METHOD_PROP " 16 002e 'v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='");
    expect_mistrust("20 13 00 00 10 " METHOD_PROP);
    expect_mistrust("f0 12 18 10 " METHOD_PROP); /* no data: nothing to begin anew for */
    expect_mistrust("20 03 00 00 00");
    expect_mistrust("f0 6b 18 69 " METHOD_PROP " 16 0056 '" CHALLENGE "'");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_rfc_comes_out),
        cmocka_unit_test(the_slow_key_is_made_once_for_a_salt_and_rounds),
        cmocka_unit_test(extensions_that_may_be_ignored_are),
        cmocka_unit_test(the_broker_lets_in_who_knows_the_password),
        cmocka_unit_test(an_empty_password_is_one),
        cmocka_unit_test(each_exchange_has_a_nonce_of_its_own),
        cmocka_unit_test(a_challenge_that_is_none_is_refused),
        cmocka_unit_test(a_challenge_cut_anywhere_is_refused),
        cmocka_unit_test(a_nonce_that_is_not_ours_and_more_is_refused),
        cmocka_unit_test(rounds_outside_the_limits_are_refused),
        cmocka_unit_test(whoever_waits_for_the_keys_may_give_up),
        cmocka_unit_test(a_server_that_does_not_know_the_password_is_found_out),
        cmocka_unit_test(a_signature_that_is_none_is_refused),
        cmocka_unit_test(an_error_of_the_server_is_told),
        cmocka_unit_test(success_before_the_proof_is_refused),
        cmocka_unit_test(a_second_challenge_is_refused),
        cmocka_unit_test(a_buffer_that_is_too_small_is_told),
        cmocka_unit_test(options_that_can_not_work_are_refused),
        cmocka_unit_test(nothing_is_left_when_it_is_done),
        cmocka_unit_test(a_hash_that_fails_ends_the_exchange),
        cmocka_unit_test(a_client_logs_in_and_again),
        cmocka_unit_test(a_client_leaves_a_server_that_proves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
