/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/security.h"
#include "core/acl_build.h"
#include <noctule/error.h>

#define HASH_ONE                                                                                   \
    "$7$1$AA==$0n/IGVUgcIwAtfmuaQJdgt3BDMHE91r8lTGro1q8r6wQTfCmVJbgxe6QCgxZIoHfBL3fmKecQGAE4SteEA" \
    "aQtw=="
#define HASH_TWO                                                                                   \
    "$7$2$AA==$0n/IGVUgcIwAtfmuaQJdgt3BDMHE91r8lTGro1q8r6wQTfCmVJbgxe6QCgxZIoHfBL3fmKecQGAE4SteEA" \
    "aQtw=="

static struct noc_security *make(bool allow_anonymous, const char *file)
{
    struct noc_report report = {0};
    struct noc_passwords_options options = {.is_strict = true};
    struct noc_passwords *passwords = NULL;
    struct noc_security *security;

    if (file != NULL) {
        assert_int_equal(
            noc_passwords_parse(noc_slice_of(file), "pw", &options, &report, &passwords), NOC_OK);
    }
    security = noc_security_new(1, allow_anonymous, passwords, NULL);
    assert_non_null(security);
    return security;
}

/* Mosquitto 2.0.11 answers the same in all these cases. */
static void who_gets_in_without_a_look_at_the_password(void **state)
{
    static const struct {
        bool allow_anonymous;
        const char *file, *user, *password;
        int answer;
    } cases[] = {
        {true, NULL, NULL, NULL, NOC_OK},
        {true, NULL, "joe", NULL, NOC_OK},
        {true, NULL, "joe", "pw", NOC_OK},
        {true, NULL, NULL, "pw", NOC_OK},
        {false, NULL, NULL, NULL, NOC_EDENIED},
        {false, NULL, "joe", NULL, NOC_EDENIED},
        {false, NULL, "joe", "pw", NOC_EDENIED},
        {false, NULL, NULL, "pw", NOC_EDENIED},
        {true, "one:" HASH_ONE, NULL, NULL, NOC_OK},
        {true, "one:" HASH_ONE, NULL, "pw", NOC_OK},
        {true, "one:" HASH_ONE, "one", NULL, NOC_EDENIED},
        {true, "one:" HASH_ONE, "one", "", NOC_EDENIED},
        {true, "one:" HASH_ONE, "one", "pw", NOC_EAGAIN},
        {true, "one:" HASH_ONE, "joe", "pw", NOC_EAGAIN},
        {false, "one:" HASH_ONE, NULL, NULL, NOC_EDENIED},
        {false, "one:" HASH_ONE, "one", "pw", NOC_EAGAIN},
        {false, "one:" HASH_ONE, "", "pw", NOC_EAGAIN},
        {true, "", "joe", "pw", NOC_EAGAIN},
    };

    (void)state;
    for (size_t i = 0; i < NOC_COUNT(cases); i++) {
        struct noc_security *security = make(cases[i].allow_anonymous, cases[i].file);

        if (noc_security_judge(security, noc_slice_of(cases[i].user),
                noc_slice_of(cases[i].password)) != cases[i].answer) {
            fail_msg("case %zu", i);
        }
        noc_security_unref(security);
    }
}

static void a_reload_drops_only_those_whose_entry_changed(void **state)
{
    struct noc_security *before = make(true, "one:" HASH_ONE "\ntwo:" HASH_ONE "\n");
    struct noc_security *after = make(true, "two:" HASH_TWO "\none:" HASH_ONE "\nnew:" HASH_ONE);
    struct noc_security *closed = make(false, "one:" HASH_ONE);
    struct noc_security *open = make(true, NULL);
    struct noc_security *shut = make(false, NULL);
    uint8_t one[NOC_LINE_DIGEST_BYTES], two[NOC_LINE_DIGEST_BYTES];
    static const uint8_t none[NOC_LINE_DIGEST_BYTES];
    struct noc_slice nobody = {NULL, 0};

    (void)state;
    assert_int_equal(
        noc_passwords_line_digest(before->passwords, noc_slice_of("one"), one), NOC_OK);
    assert_int_equal(
        noc_passwords_line_digest(before->passwords, noc_slice_of("two"), two), NOC_OK);
    assert_true(noc_security_still_admits(before, noc_slice_of("two"), two));
    assert_true(noc_security_still_admits(after, noc_slice_of("one"), one));
    assert_false(noc_security_still_admits(after, noc_slice_of("two"), two));
    assert_false(noc_security_still_admits(closed, noc_slice_of("two"), two));
    /* Was let in before there was a password file. */
    assert_false(noc_security_still_admits(after, noc_slice_of("one"), none));
    assert_false(noc_security_still_admits(after, noc_slice_of("one"), NULL));
    assert_false(noc_security_still_admits(after, noc_slice_of("gone"), none));
    assert_true(noc_security_still_admits(after, nobody, NULL));
    assert_false(noc_security_still_admits(closed, nobody, NULL));
    assert_true(noc_security_still_admits(open, noc_slice_of("one"), one));
    assert_false(noc_security_still_admits(shut, noc_slice_of("one"), one));
    noc_security_unref(before);
    noc_security_unref(after);
    noc_security_unref(closed);
    noc_security_unref(open);
    noc_security_unref(shut);
}

static void the_bundle_holds_its_parts_until_the_last_reference(void **state)
{
    struct noc_acl_builder *builder = noc_acl_builder_new(&(struct noc_acl_options){.version = 3});
    struct noc_acl *acl;
    struct noc_security *security;

    (void)state;
    assert_non_null(builder);
    acl = noc_acl_builder_build(builder);
    security = noc_security_new(77, false, NULL, acl);
    assert_true(security->version == 77);
    assert_ptr_equal(noc_security_ref(security), security);
    noc_security_unref(security);
    assert_true(noc_acl_version(security->acl) == 3);
    noc_security_unref(security);
    assert_null(noc_security_ref(NULL));
    noc_security_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_gets_in_without_a_look_at_the_password),
        cmocka_unit_test(a_reload_drops_only_those_whose_entry_changed),
        cmocka_unit_test(the_bundle_holds_its_parts_until_the_last_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
