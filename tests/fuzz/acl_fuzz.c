/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACL files: the input is CLIENT ID, USER, TOPIC, each to the next line feed,
 * then the file. Patterns are matched without building the filter; here it is
 * built, and both ways must agree.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "auth/acl_file.h"
#include "mqtt/topic.h"
#include <noctule/error.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { BUILT_MAX = 4096 };

static struct noc_slice take_line(struct noc_slice *rest)
{
    const char *end = rest->n == 0 ? NULL : memchr(rest->at, '\n', rest->n);
    struct noc_slice line = *rest;

    if (end == NULL) {
        *rest = noc_slice("", 0);
        return line;
    }
    line.n = (size_t)(end - line.at);
    *rest = noc_slice(end + 1, rest->n - line.n - 1);
    return line;
}

/* 0: it doesn't fit. */
static size_t substitute(
    struct noc_slice filter, const struct noc_acl_subject *subject, char built[BUILT_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < filter.n; i++) {
        struct noc_slice part = noc_slice(filter.at + i, 1);

        if (filter.at[i] == '%' && i + 1 < filter.n &&
            (filter.at[i + 1] == 'c' || filter.at[i + 1] == 'u')) {
            part = filter.at[++i] == 'c' ? subject->client_id : subject->username;
        }
        if (part.n > BUILT_MAX - n) {
            return 0;
        }
        if (part.n > 0) {
            memcpy(built + n, part.at, part.n);
        }
        n += part.n;
    }
    return n;
}

/* One pattern, matched by the ACL and by the filter that it stands for. */
static void compare(
    struct noc_slice filter, const struct noc_acl_subject *subject, struct noc_slice topic)
{
    struct noc_acl_builder *builder = noc_acl_builder_new(&(struct noc_acl_options){.version = 1});
    struct noc_slice none = {NULL, 0};
    char built[BUILT_MAX];
    struct noc_acl *acl;
    size_t n = substitute(filter, subject, built);
    bool allowed, expected;

    if (builder == NULL ||
        noc_acl_builder_add(builder, NOC_ACL_PATTERN, none, NOC_ACCESS_READ, filter) < 0) {
        noc_acl_builder_free(builder);
        return;
    }
    acl = noc_acl_builder_build(builder);
    allowed = noc_acl_allows(acl, subject, NOC_ACCESS_READ, topic);
    noc_acl_unref(acl);
    if (n == 0 || !noc_filter_is_valid(noc_slice(built, n)) || !noc_topic_is_valid(topic)) {
        return;
    }
    expected = noc_filter_matches(noc_slice(built, n), topic) &&
               (topic.at[0] != '$' || filter.at[0] == '$') &&
               !noc_slice_has_prefix(topic, noc_slice_of("$share"));
    for (size_t i = 0; i < subject->client_id.n + subject->username.n; i++) {
        char c = i < subject->client_id.n ? subject->client_id.at[i]
                                          : subject->username.at[i - subject->client_id.n];

        if (c == '+' || c == '#') {
            expected = false;
        }
    }
    if (allowed != expected) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct noc_slice rest = n == 0 ? noc_slice("", 0) : noc_slice(bytes, n);
    struct noc_acl_subject subject;
    struct noc_slice topic, file;
    struct noc_acl_file_options options = {.acl = {.seed = 1, .version = 1}};
    struct noc_report report = {0};
    struct noc_acl *acl = NULL;

    subject.client_id = take_line(&rest);
    subject.username = take_line(&rest);
    topic = take_line(&rest);
    file = rest;
    compare(take_line(&rest), &subject, topic);
    if (noc_acl_file_parse(file, "fuzz", &options, &report, &acl) < 0) {
        if (report.error[0] == '\0') {
            abort();
        }
        return 0;
    }
    (void)noc_acl_allows(acl, &subject, NOC_ACCESS_READ, topic);
    (void)noc_acl_allows(acl, &subject, NOC_ACCESS_WRITE, topic);
    noc_acl_unref(acl);
    return 0;
}
