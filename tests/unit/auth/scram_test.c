/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Against messages that Python's hashlib and hmac made, of the password "pencil"
 * and a nonce of the bytes 0 to 17. With other peers: tests/e2e/test_extended.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auth/scram.h"
#include <noctule/error.h>

#define HASH                                                                                       \
    "$7$101$AQIDBAUGBwgJCgsM$zgzTralPhOyDrGhcXl/ZijEG58/4NN9y+pegNM5AvZ77og18GIvkrNxgpql9XM9Jnp9D" \
    "7i+WnnFJBWgTmDYkzQ==\n"
#define FILE_TEXT                                                                                  \
    "user:" HASH "us,e=r:" HASH                                                                    \
    "old:$6$uUhS0+Z3Hfvste/c$1ITKIPSEzRqaCzUFhtQKuzyNJzNu1VIE8/fh0H/04yNADZQfgcpkzYw0GJZkZA0fdBOK" \
    "86AnEwHwxZF2EHczRg==\n"
#define NONCE     "rOprNGfwEbeRWgbNEkqO"
#define BOTH      NONCE "AAECAwQFBgcICQoLDA0ODxAR"
#define CHALLENGE "r=" BOTH ",s=AQIDBAUGBwgJCgsM,i=101"
#define PROOF \
    "w41i4e4qE+pPCRfWJNHfq/Ihy3jwEyrv+n39QP+fwCmQeaGwaSl/tabsBU6oQDkkDwkBz9zjJBooT/AnFYeoeQ=="
#define SIGNATURE \
    "aJ7OympsAbuuUNPZZ5+r3XlAQdU+mJ9JXFjOBAtfChrDAgZVJUQujty3x6Sn0j3L1g9sW8I5oNUw5DoLZzEAXQ=="
#define PROOF_Y \
    "BdOWBD4zR0vxJKIUjIYRaT6biJjy2yuMqkxc9+Gc5u3Di41lC7x00HPlR/DeDB7+iIysH59tTd4LsK/J605mFA=="
#define PROOF_ESCAPED \
    "stiQkyTKcTMTnT39lfpJ3n++2YSGKABaSKp6HE0Yr4z/NDc5t4yE7JdEj6KwUpsdKr+nlUHzPY/t3X2CmG4JXg=="

static const uint8_t key[NOC_SCRAM_KEY_BYTES] = "the key of the process";

static struct noc_passwords *passwords_of(const char *text)
{
    struct noc_passwords_options options = {.seed = 1};
    struct noc_report report = {0};
    struct noc_passwords *passwords = NULL;

    assert_int_equal(
        noc_passwords_parse(noc_slice_of(text), "pw", &options, &report, &passwords), NOC_OK);
    return passwords;
}

/* The first step, with a message that ends where its memory does. */
static int begin(const char *text, struct noc_slice first, struct noc_scram **ret_scram)
{
    uint8_t nonce[NOC_SCRAM_NONCE_BYTES];
    struct noc_passwords *passwords = passwords_of(text);
    struct noc_scram_options options = {passwords, nonce, key};
    char *copy = malloc(first.n + 1);
    int err;

    for (size_t i = 0; i < sizeof nonce; i++) {
        nonce[i] = (uint8_t)i;
    }
    assert_non_null(copy);
    memcpy(copy + 1, first.at, first.n);
    err = noc_scram_new(&options, noc_slice(copy + 1, first.n), ret_scram);
    free(copy);
    noc_passwords_unref(passwords);
    return err;
}

static struct noc_scram *begun(const char *first)
{
    struct noc_scram *scram = NULL;

    assert_int_equal(begin(FILE_TEXT, noc_slice_of(first), &scram), NOC_OK);
    return scram;
}

static int finish(struct noc_scram *scram, struct noc_slice final, char *ret_text, size_t *ret_n)
{
    char *copy = malloc(final.n + 1);
    int err;

    assert_non_null(copy);
    memcpy(copy + 1, final.at, final.n);
    err = noc_scram_finish(scram, noc_slice(copy + 1, final.n), ret_text, ret_n);
    free(copy);
    return err;
}

static int ends(const char *first, const char *final)
{
    struct noc_scram *scram = begun(first);
    char text[NOC_SCRAM_SERVER_MAX];
    size_t n;
    int err = finish(scram, noc_slice_of(final), text, &n);

    noc_scram_free(scram);
    return err;
}

#define assert_says(slice, text)                          \
    do {                                                  \
        assert_int_equal((slice).n, strlen(text));        \
        assert_memory_equal((slice).at, text, (slice).n); \
    } while (0)

/* ---- who knows the password ---- */

static void who_knows_the_password_gets_in_and_the_proof_that_we_do(void **state)
{
    static const uint8_t none[NOC_LINE_DIGEST_BYTES];
    struct noc_scram *scram = begun("n,,n=user,r=" NONCE);
    char text[NOC_SCRAM_SERVER_MAX];
    size_t n;

    (void)state;
    assert_says(noc_scram_challenge(scram), CHALLENGE);
    assert_says(noc_scram_username(scram), "user");
    assert_memory_not_equal(noc_scram_line_digest(scram), none, sizeof none);
    assert_int_equal(finish(scram, noc_slice_of("c=biws,r=" BOTH ",p=" PROOF), text, &n), NOC_OK);
    assert_says(noc_slice(text, n), "v=" SIGNATURE);
    noc_scram_free(scram);
}

static void a_client_that_knows_channel_binding_and_extensions_is_understood(void **state)
{
    (void)state;
    assert_int_equal(ends("y,,n=user,r=" NONCE, "c=eSws,r=" BOTH ",x=ext,p=" PROOF_Y), NOC_OK);
}

static void commas_and_equals_signs_in_names_are_escaped(void **state)
{
    struct noc_scram *scram = begun("n,,n=us=2Ce=3Dr,r=" NONCE);
    char text[NOC_SCRAM_SERVER_MAX];
    size_t n;

    (void)state;
    assert_says(noc_scram_username(scram), "us,e=r");
    assert_int_equal(
        finish(scram, noc_slice_of("c=biws,r=" BOTH ",p=" PROOF_ESCAPED), text, &n), NOC_OK);
    noc_scram_free(scram);
}

/* ---- who does not ---- */

static void a_wrong_proof_is_denied(void **state)
{
    char final[] = "c=biws,r=" BOTH ",p=" PROOF;
    size_t proof = strlen("c=biws,r=" BOTH ",p=");

    (void)state;
    for (size_t i = 0; i < 86; i++) {
        char was = final[proof + i];

        final[proof + i] = was == 'A' ? 'Q' : 'A';
        /* The last digit's low bits stand for no byte. */
        assert_int_equal(ends("n,,n=user,r=" NONCE, final), NOC_EDENIED);
        final[proof + i] = was;
    }
    assert_int_equal(ends("n,,n=user,r=" NONCE, final), NOC_OK);
}

static void what_was_agreed_can_not_be_changed_at_the_end(void **state)
{
    (void)state;
    /* Another nonce, another channel binding, and proofs that are for something else. */
    assert_int_equal(ends("n,,n=user,r=" NONCE, "c=biws,r=" NONCE ",p=" PROOF), NOC_EDENIED);
    assert_int_equal(ends("n,,n=user,r=" NONCE, "c=biws,r=" BOTH "x,p=" PROOF), NOC_EDENIED);
    assert_int_equal(ends("n,,n=user,r=" NONCE, "c=eSws,r=" BOTH ",x=ext,p=" PROOF_Y), NOC_EDENIED);
    assert_int_equal(ends("n,,n=us=2Ce=3Dr,r=" NONCE, "c=biws,r=" BOTH ",p=" PROOF), NOC_EDENIED);
    assert_int_equal(ends("n,,n=user,r=" NONCE, "c=biws,r=" BOTH ",x=ext,p=" PROOF), NOC_EDENIED);
}

static void a_stranger_is_challenged_like_a_user_and_fails(void **state)
{
    struct noc_scram *scram = begun("n,,n=nobody,r=" NONCE);
    struct noc_scram *again = begun("n,,n=nobody,r=" NONCE);
    struct noc_scram *other = begun("n,,n=somebody,r=" NONCE);
    struct noc_slice challenge = noc_scram_challenge(scram);
    char text[NOC_SCRAM_SERVER_MAX];
    size_t n;

    (void)state;
    /* In the file's usual form; the same each time, or it would be known for a fake. */
    assert_int_equal(challenge.n, strlen(CHALLENGE));
    assert_memory_equal(challenge.at + challenge.n - 6, ",i=101", 6);
    assert_true(noc_slice_equal(challenge, noc_scram_challenge(again)));
    assert_false(noc_slice_equal(challenge, noc_scram_challenge(other)));
    assert_int_equal(
        finish(scram, noc_slice_of("c=biws,r=" BOTH ",p=" PROOF), text, &n), NOC_EDENIED);
    noc_scram_free(scram);
    noc_scram_free(again);
    noc_scram_free(other);
}

/* The hash of a stranger is known to be zero: its keys can be computed by anyone. */
static void a_stranger_with_the_right_proof_for_nothing_fails(void **state)
{
    (void)state;
    assert_int_equal(
        ends("n,,n=nobody,r=" NONCE,
            "c=biws,r=" BOTH ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="),
        NOC_EDENIED);
}

static void users_with_another_kind_of_hash_are_strangers(void **state)
{
    struct noc_scram *scram = begun("n,,n=old,r=" NONCE);
    struct noc_slice challenge = noc_scram_challenge(scram);

    (void)state;
    assert_memory_equal(challenge.at + challenge.n - 6, ",i=101", 6);
    noc_scram_free(scram);
    /* Also where nobody has the right kind. */
    assert_int_equal(
        begin(
            "old:$6$uUhS0+Z3Hfvste/c$1ITKIPSEzRqaCzUFhtQKuzyNJzNu1VIE8/fh0H/04yNADZQfgcpkzYw0GJZkZ"
            "A0fdBOK86AnEwHwxZF2EHczRg==\n",
            noc_slice_of("n,,n=old,r=" NONCE), &scram),
        NOC_OK);
    challenge = noc_scram_challenge(scram);
    assert_int_equal(challenge.n, strlen(CHALLENGE));
    assert_memory_equal(challenge.at + challenge.n - 6, ",i=101", 6);
    noc_scram_free(scram);
}

/* ---- what is no SCRAM ---- */

static void a_first_message_that_is_none_is_refused(void **state)
{
    static const char *const wrong[] = {"", "n", "n,", "n,,", "n,,n=user", "n,,n=user,",
        "x,,n=u,r=a", ",,n=u,r=a", "nn,,n=u,r=a", "n,b=x,n=u,r=a", "n,,u,r=a", "n,,n=,r=a",
        "n,,n=u,r=", "n,,r=a,n=u", "n,,n=u,x=1,r=a", "n,,n=a=b,r=a", "n,,n=a=2c,r=a",
        "n,,n=a=2,r=a", "n,,n=u,r=a b", "n,,n=u,r=\xc3\xa4", "n,,n=\xff,r=a", "n=u,r=a"};
    struct noc_scram *scram = NULL;

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(wrong); i++) {
        if (begin(FILE_TEXT, noc_slice_of(wrong[i]), &scram) != NOC_EMALFORMED) {
            fail_msg("'%s' was not found malformed", wrong[i]);
        }
    }
    {
        struct noc_scram_options nothing = {0}; /* absent data is no message, and not looked at */

        assert_int_equal(noc_scram_new(&nothing, noc_slice(NULL, 0), &scram), NOC_EMALFORMED);
    }
    assert_int_equal(begin(FILE_TEXT, noc_slice("n,,n=u\0v,r=a", 12), &scram), NOC_EMALFORMED);
    assert_null(scram);
}

static void what_is_left_out_is_named(void **state)
{
    static const char *const left_out[] = {"p=tls-unique,,n=user,r=a", "p=tls-exporter,,n=user,r=a",
        "n,a=admin,n=user,r=a", "n,,m=must,n=user,r=a"};
    struct noc_scram *scram = NULL;

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(left_out); i++) {
        assert_int_equal(begin(FILE_TEXT, noc_slice_of(left_out[i]), &scram), NOC_ENOTSUP);
    }
    assert_null(scram);
}

static void messages_have_a_limit(void **state)
{
    static char text[NOC_SCRAM_CLIENT_MAX + 1];
    struct noc_scram *scram = NULL;

    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "n,,n=u,r=", 9);
    assert_int_equal(begin(FILE_TEXT, noc_slice(text, 9 + 256), &scram), NOC_OK);
    assert_true(noc_scram_challenge(scram).n <= NOC_SCRAM_SERVER_MAX);
    noc_scram_free(scram);
    scram = NULL;
    assert_int_equal(begin(FILE_TEXT, noc_slice(text, 9 + 257), &scram), NOC_EMALFORMED);
    memcpy(text, "n,,n=u,r=a,x=", 13);
    assert_int_equal(begin(FILE_TEXT, noc_slice(text, sizeof text - 1), &scram), NOC_OK);
    noc_scram_free(scram);
    assert_int_equal(begin(FILE_TEXT, noc_slice(text, sizeof text), &scram), NOC_EMALFORMED);
}

static void a_last_message_that_is_none_is_refused(void **state)
{
    static const char *const wrong[] = {"", ",", "c=biws", "c=biws,r=" BOTH, "c=biws,p=" PROOF,
        "r=" BOTH ",p=" PROOF, "c=biws,r=" BOTH ",p=", "c=biws,r=" BOTH ",p=AAAA",
        "c=biws,r=" BOTH ",p=" PROOF "AAAA", "c=biws,r=" BOTH ",p=!" PROOF,
        "c=biws,r=" BOTH ",p=" PROOF ",", "c=biws,r=" BOTH ",p=" PROOF ",x=y", "p=" PROOF};

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(wrong); i++) {
        if (ends("n,,n=user,r=" NONCE, wrong[i]) != NOC_EMALFORMED) {
            fail_msg("'%s' was not found malformed", wrong[i]);
        }
    }
}

/* Cut anywhere, a message is never read past its end, and never gets anybody in. */
static void a_message_cut_short_is_no_message(void **state)
{
    static const char first[] = "n,,n=user,r=" NONCE, final[] = "c=biws,r=" BOTH ",p=" PROOF;

    (void)state;
    for (size_t n = 0; n < sizeof first - 1; n++) {
        struct noc_scram *scram = NULL;

        if (begin(FILE_TEXT, noc_slice(first, n), &scram) == NOC_OK) {
            assert_in_range(n, sizeof first - sizeof NONCE + 1, sizeof first);
            noc_scram_free(scram);
        }
    }
    for (size_t n = 0; n < sizeof final - 1; n++) {
        struct noc_scram *scram = begun(first);
        char text[NOC_SCRAM_SERVER_MAX];
        size_t text_n;

        assert_int_not_equal(finish(scram, noc_slice(final, n), text, &text_n), NOC_OK);
        noc_scram_free(scram);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_knows_the_password_gets_in_and_the_proof_that_we_do),
        cmocka_unit_test(a_client_that_knows_channel_binding_and_extensions_is_understood),
        cmocka_unit_test(commas_and_equals_signs_in_names_are_escaped),
        cmocka_unit_test(a_wrong_proof_is_denied),
        cmocka_unit_test(what_was_agreed_can_not_be_changed_at_the_end),
        cmocka_unit_test(a_stranger_is_challenged_like_a_user_and_fails),
        cmocka_unit_test(a_stranger_with_the_right_proof_for_nothing_fails),
        cmocka_unit_test(users_with_another_kind_of_hash_are_strangers),
        cmocka_unit_test(a_first_message_that_is_none_is_refused),
        cmocka_unit_test(what_is_left_out_is_named),
        cmocka_unit_test(messages_have_a_limit),
        cmocka_unit_test(a_last_message_that_is_none_is_refused),
        cmocka_unit_test(a_message_cut_short_is_no_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
