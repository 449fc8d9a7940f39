/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/password_hash.h"
#include <noctule/error.h>

/* "$7$": made by mosquitto_passwd 2.0.11, the last three by Python's hashlib. */
#define ALICE                                                                                      \
    "$7$101$YNQGVY+Br2H8cebX$y21I1rv/PijpPjxL/KoXu3X4xP/rRvDdT1GF2yc0sCgKSxJKrnCBv3pvvutDZPKvOmor" \
    "KCYmlfK3YLgU1VxPTg=="
#define ZOE                                                                                        \
    "$7$101$8YbbrfHUU66Mlf8j$TXIW6E1Mviayl6FJ/1ahkEX4LzsNnbcibI4/7Gtplu5g0FEwixV5gdnznXmaa7xHkoBp" \
    "tGm4CUplRXV+tpjXcg=="
#define BOB                                                                                        \
    "$7$101$HvPco9LuC7OTg4lq$rtoY7YPunbJlWJj2AywVpiDnHjbXc1w8+q0ueN+PTBENr/cCt1SGvTOd0rUNRU6XRBdI" \
    "S1R+b7kY+10swCY/iw=="
#define SALT_64                                                                                    \
    "$7$1000$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+" \
    "Pw==$j5aX3DstWRgO5cjjfvKvsf7Z/KK812T4wGDMih+DCHQg8P7++fmj4sZcMp1smkEafZL0QZ29tE5ezahL/nyffw=" \
    "="
#define SALT_1                                                                                     \
    "$7$1$AA==$0n/IGVUgcIwAtfmuaQJdgt3BDMHE91r8lTGro1q8r6wQTfCmVJbgxe6QCgxZIoHfBL3fmKecQGAE4SteEA" \
    "aQtw=="
#define WITH_NUL                                                                                   \
    "$7$101$AAECAwQFBgcICQoLDA0ODw==$BPAfcntgFM9S8T02IQ6+dm3DF/a93lqvn099+YpklMeBEqjn6a22FWG2YVcy" \
    "tbTTtSEimXgVfjx1ooo/ESoA6A=="

/* "$6$": made by mosquitto_passwd 2.0.11; the second by hashlib. */
#define OLD                                                                                        \
    "$6$uUhS0+Z3Hfvste/c$1ITKIPSEzRqaCzUFhtQKuzyNJzNu1VIE8/fh0H/04yNADZQfgcpkzYw0GJZkZA0fdBOK86An" \
    "EwHwxZF2EHczRg=="
#define OLD_SALT_64                                                                                \
    "$6$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==$" \
    "wEYf8F4/yHDmlCt3YmMXwFi//Ux0IOce8NucN+r/9QAuqoVaYz7SU9131YSsyqLHn9NUpM/F4yTaDANhOFpYTQ=="

/* Made by argon2id_hash_encoded() of libargon2; the first with the parameters of Mosquitto 2.1. */
#define ARGON2                                                                                     \
    "$argon2id$v=19$m=47104,t=1,p=1$CzBVep/E6Q4zWH2ix+wRNluApcrvFDleg6jN8hc8YYar0PUaP2SJrtP4HUJnj" \
    "LHW+yBFao+02f4jSG2St9wBJg$IburGufbv6IU4XRYbWN9Kj01YkJIvgB0gDJ8gkzbkx8JvmV6UzU9lMWXy/qqOjft6F" \
    "BKqcDnw7DjsdwI5KpSxw"
#define ARGON2_LANES                                             \
    "$argon2id$v=19$m=64,t=2,p=2$CzBVep/"                        \
    "E6Q4zWH2ix+wRNg$V68Qe8NRxKX66jqzzRP7ybh6n63EsvLFzlJg8Bfqye" \
    "s"

static int check(const char *hash_text, struct noc_slice password)
{
    struct noc_password_hash hash;
    const char *cause = NULL;

    assert_int_equal(noc_password_hash_parse(noc_slice_of(hash_text), &hash, &cause), NOC_OK);
    return noc_password_hash_verify(&hash, password);
}

static void hashes_of_other_programs_verify(void **state)
{
    static const struct {
        const char *hash, *password;
    } cases[] = {
        {ALICE, "secret"},
        {ZOE, "p\xc3\xa4ssw\xc3\xb6rd"},
        {BOB, ""},
        {SALT_64, "secret"},
        {SALT_1, "one"},
        {OLD, "oldpw"},
        {OLD_SALT_64, "secret"},
        {ARGON2, "secret"},
    };

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(cases); i++) {
        assert_int_equal(check(cases[i].hash, noc_slice_of(cases[i].password)), NOC_OK);
        assert_int_equal(check(cases[i].hash, noc_slice_of("secret2")), NOC_EDENIED);
        assert_int_equal(check(cases[i].hash, noc_slice_of("Secret")), NOC_EDENIED);
    }
}

static void all_bytes_of_a_password_count(void **state)
{
    (void)state;
    assert_int_equal(check(WITH_NUL, noc_slice("nul\0tail", 8)), NOC_OK);
    assert_int_equal(check(WITH_NUL, noc_slice("nul", 3)), NOC_EDENIED);
    assert_int_equal(check(ARGON2_LANES, noc_slice("s\0cret", 6)), NOC_OK);
    assert_int_equal(check(ARGON2_LANES, noc_slice("s", 1)), NOC_EDENIED);
    assert_int_equal(check(ALICE, noc_slice("secret\0x", 8)), NOC_EDENIED);
}

static void a_hash_tells_its_cost(void **state)
{
    struct noc_password_hash hash;
    const char *cause;

    (void)state;
    assert_int_equal(noc_password_hash_parse(noc_slice_of(SALT_64), &hash, &cause), NOC_OK);
    assert_int_equal(hash.cost.scheme, NOC_PASSWORD_PBKDF2);
    assert_int_equal(hash.cost.rounds, 1000);
    assert_int_equal(hash.salt_n, 64);
    assert_int_equal(noc_password_hash_parse(noc_slice_of(ARGON2_LANES), &hash, &cause), NOC_OK);
    assert_int_equal(hash.cost.scheme, NOC_PASSWORD_ARGON2ID);
    assert_int_equal(hash.cost.memory_kib, 64);
    assert_int_equal(hash.cost.rounds, 2);
    assert_int_equal(hash.cost.lanes, 2);
    assert_int_equal(hash.digest_n, 32);
}

static void what_is_no_hash_is_refused_with_a_cause(void **state)
{
    static const char digest[] =
        "y21I1rv/PijpPjxL/KoXu3X4xP/rRvDdT1GF2yc0sCgKSxJKrnCBv3pvvutDZPKvOmorKCYmlfK3YLgU1VxPTg==";
    static const char *const bad[] = {
        "",
        "plain text",
        "$",
        "$7$",
        "$7$101$",
        "$7$101$YNQGVY+Br2H8cebX",
        "$7$101$YNQGVY+Br2H8cebX$",
        "$7$101$YNQGVY+Br2H8cebX$YNQGVY+Br2H8cebX",
        "$7$$YNQGVY+Br2H8cebX$%",
        "$7$0$YNQGVY+Br2H8cebX$%",
        "$7$-1$YNQGVY+Br2H8cebX$%",
        "$7$+1$YNQGVY+Br2H8cebX$%",
        "$7$1x$YNQGVY+Br2H8cebX$%",
        "$7$100000001$YNQGVY+Br2H8cebX$%",
        "$7$4294967297$YNQGVY+Br2H8cebX$%",
        "$7$99999999999999999999$YNQGVY+Br2H8cebX$%",
        "$7$101$$%",
        "$7$101$YNQ*VY+Br2H8cebX$%",
        "$7$101$YNQGVY+Br2H8ceb$%",
        "$7$101$YNQGVY+Br2H8c===$%",
        "$7$101$A===$%",
        "$7$101$====$%",
        "$7$101$YNQGVY+Br2H8cebX$%x",
        "$7$101$YNQGVY+Br2H8cebX$%$",
        "$7$101$YNQGVY+Br2H8cebX$ %",
        /* A salt of 65 bytes. */
        ("$7$101$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7"
         "PD0+P0A=$%"),
        "$6$$%",
        "$6$YNQGVY+Br2H8cebX$",
        "$5$YNQGVY+Br2H8cebX$%",
        "$2y$10$abcdefghijklmnopqrstuv",
        ("$argon2i$v=19$m=64,t=1,p=1$CzBVep/E6Q4zWH2ix+wRNg$NXxXQxB9cNM+NlWD9vnM/T/Tz4XHnEhJtJ4CD/"
         "1pNAI"),
        "$argon2id$m=64,t=1,p=1$CzBVep/E6Q4zWH2ix+wRNg$NXxXQxB9cNM+NlWD9vnM/T/Tz4XHnEhJtJ4CD/1pNAI",
        "$argon2id$v=16$m=64,t=1,p=1$CzBVep/E6Q4zWH2ix+wRNg$NXxXQxB9cNM+NlWD9vnM/T",
        "$argon2id$v=19$m=4,t=1,p=1$CzBVep/E6Q4zWH2ix+wRNg$NXxXQxB9cNM+NlWD9vnM/Q",
        "$argon2id$v=19$m=64,t=0,p=1$CzBVep/E6Q4zWH2ix+wRNg$NXxXQxB9cNM+NlWD9vnM/Q",
        "$argon2id$v=19$m=64,t=1,p=0$CzBVep/E6Q4zWH2ix+wRNg$NXxXQxB9cNM+NlWD9vnM/Q",
        "$argon2id$v=19$m=64,p=1,t=1$CzBVep/E6Q4zWH2ix+wRNg$NXxXQxB9cNM+NlWD9vnM/Q",
        "$argon2id$v=19$m=99999999,t=1,p=1$CzBVep/E6Q4zWH2ix+wRNg$NXxXQxB9cNM+NlWD9vnM/Q",
        "$argon2id$v=19$m=64,t=1,p=1$CzBVep8$NXxXQxB9cNM+NlWD9vnM/Q",
        "$argon2id$v=19$m=64,t=1,p=1$CzBVep/E6Q4zWH2ix+wRNg$NXxXQxA",
        "$argon2id$v=19$m=64,t=1,p=1$CzBVep/E6Q4zWH2ix+wRNg==$NXxXQxB9cNM+NlWD9vnM/Q",
    };

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(bad); i++) {
        struct noc_password_hash hash;
        const char *cause = NULL;
        const char *percent = strchr(bad[i], '%');
        char text[512];

        /* A per cent sign stands for a right digest. */
        snprintf(text, sizeof text, "%.*s%s%s",
            percent == NULL ? (int)strlen(bad[i]) : (int)(percent - bad[i]), bad[i],
            percent == NULL ? "" : digest, percent == NULL ? "" : percent + 1);
        if (noc_password_hash_parse(noc_slice_of(text), &hash, &cause) != NOC_EMALFORMED) {
            fail_msg("accepted: %s", text);
        }
        assert_non_null(cause);
    }
}

static void a_hash_cut_off_anywhere_is_no_hash(void **state)
{
    static const char *const whole[] = {ALICE, SALT_64, OLD};

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(whole); i++) {
        for (size_t n = 0; n < strlen(whole[i]); n++) {
            struct noc_password_hash hash;
            const char *cause;
            char *copy = malloc(n + 1); /* so that a byte too far is seen */

            memcpy(copy, whole[i], n);
            if (noc_password_hash_parse(noc_slice(copy, n), &hash, &cause) != NOC_EMALFORMED) {
                fail_msg("accepted %zu bytes of %s", n, whole[i]);
            }
            free(copy);
        }
    }
}

static void new_hashes_look_like_mosquittos_and_verify(void **state)
{
    static const struct noc_password_recipe plain = {.rounds = 0}, seven = {.rounds = 7},
                                            too_many = {.rounds = NOC_PASSWORD_ROUNDS_MAX + 1},
                                            too_salty = {.salt_n = NOC_PASSWORD_SALT_MAX + 1};
    char one[NOC_PASSWORD_TEXT_MAX], two[NOC_PASSWORD_TEXT_MAX];

    (void)state;
    assert_int_equal(noc_password_hash_make(noc_slice_of("secret"), &plain, one), NOC_OK);
    assert_int_equal(noc_password_hash_make(noc_slice_of("secret"), &plain, two), NOC_OK);
    assert_int_equal(strlen(one), strlen(ALICE));
    assert_memory_equal(one, "$7$101$", 7);
    assert_string_not_equal(one, two); /* salted */
    assert_int_equal(check(one, noc_slice_of("secret")), NOC_OK);
    assert_int_equal(check(one, noc_slice_of("Secret")), NOC_EDENIED);
    assert_int_equal(noc_password_hash_make(noc_slice("a\0b", 3), &seven, one), NOC_OK);
    assert_memory_equal(one, "$7$7$", 5);
    assert_int_equal(check(one, noc_slice("a\0b", 3)), NOC_OK);
    assert_int_equal(check(one, noc_slice("a", 1)), NOC_EDENIED);
    assert_int_equal(noc_password_hash_make(noc_slice_of("x"), &too_many, one), NOC_EINVAL);
    assert_int_equal(noc_password_hash_make(noc_slice_of("x"), &too_salty, one), NOC_EINVAL);
}

static void every_kind_and_salt_can_be_made(void **state)
{
    static const struct {
        struct noc_password_recipe recipe;
        const char *start;
        size_t length;
    } cases[] = {
        {{.scheme = NOC_PASSWORD_SHA512}, "$6$", 3 + 16 + 1 + 88},
        {{.scheme = NOC_PASSWORD_SHA512, .salt_n = 64}, "$6$", 3 + 88 + 1 + 88},
        {{.scheme = NOC_PASSWORD_PBKDF2, .salt_n = 64, .rounds = 1000}, "$7$1000$",
            8 + 88 + 1 + 88},
        {{.scheme = NOC_PASSWORD_PBKDF2, .salt_n = 1, .rounds = 1}, "$7$1$", 5 + 4 + 1 + 88},
        {{.scheme = NOC_PASSWORD_ARGON2ID}, "$argon2id$v=19$m=47104,t=1,p=1$", 31 + 86 + 1 + 86},
    };
    char text[NOC_PASSWORD_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(cases); i++) {
        assert_int_equal(
            noc_password_hash_make(noc_slice_of("secret"), &cases[i].recipe, text), NOC_OK);
        assert_memory_equal(text, cases[i].start, strlen(cases[i].start));
        assert_int_equal(strlen(text), cases[i].length);
        assert_int_equal(check(text, noc_slice_of("secret")), NOC_OK);
        assert_int_equal(check(text, noc_slice_of("secreT")), NOC_EDENIED);
    }
}

static void the_scheme_none_matches_nothing(void **state)
{
    struct noc_password_hash hash = {.cost = {.scheme = NOC_PASSWORD_NONE}};

    (void)state;
    assert_int_equal(noc_password_hash_verify(&hash, noc_slice_of("")), NOC_EDENIED);
    assert_int_equal(noc_password_hash_verify(&hash, noc_slice_of("x")), NOC_EDENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_of_other_programs_verify),
        cmocka_unit_test(all_bytes_of_a_password_count),
        cmocka_unit_test(a_hash_tells_its_cost),
        cmocka_unit_test(what_is_no_hash_is_refused_with_a_cause),
        cmocka_unit_test(a_hash_cut_off_anywhere_is_no_hash),
        cmocka_unit_test(new_hashes_look_like_mosquittos_and_verify),
        cmocka_unit_test(every_kind_and_salt_can_be_made),
        cmocka_unit_test(the_scheme_none_matches_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
