/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines live in lists: one for anonymous clients, one per user, one of
 * patterns. A user is found by one probe of a hash table; a list is walked.
 * All text is in one arena, named by offset, so that a line takes 12 bytes and
 * building moves nothing but the arena.
 *
 *   users[] -> user {name, list} -> list {rules[], denies} -> rule {text}
 *
 * In a list the deny lines stand in front. Nothing else about the order
 * matters: any deny line that matches refuses, and of the others any that
 * matches and has the access bit allows.
 *
 * A pattern is compared piece by piece with the topic, the names put in on the
 * way, so a check never builds the filter and never allocates.
 */
#include "core/acl.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/hash.h"
#include "core/acl_build.h"
#include "mqtt/topic.h"
#include <noctule/error.h>

enum { FIRST_SLOTS = 16, FIRST_RULES = 4 };

struct rule {
    uint32_t at, n;     /* the filter, in the arena */
    uint8_t access;     /* bits of enum noc_access */
    uint8_t needs_id;   /* holds %c */
    uint8_t needs_user; /* holds %u */
};

struct rule_list {
    struct rule *rules;
    uint32_t n, capacity;
    uint32_t denies; /* rules[0..denies) are deny lines */
};

struct user {
    uint64_t hash;
    uint32_t at, n; /* the name, in the arena */
    struct rule_list list;
};

struct noc_acl {
    atomic_uint references;
    bool deny_slash;
    uint64_t seed, version;
    char *text; /* the arena */
    size_t text_n, text_capacity;
    struct rule_list anonymous, patterns;
    struct user **slots; /* open addressing; NULL is free */
    size_t slots_n;      /* 0 or a power of two, at most three quarters taken */
    size_t users_n;
};

struct noc_acl_builder {
    struct noc_acl *acl;
};

static struct noc_slice text_of(const struct noc_acl *acl, uint32_t at, uint32_t n)
{
    return noc_slice(acl->text + at, n);
}

/* --- asking ------------------------------------------------------------- */

/* NULL: no line names the user. */
static struct user *find_user(const struct noc_acl *acl, struct noc_slice name)
{
    uint64_t hash;

    if (acl->users_n == 0) {
        return NULL;
    }
    hash = noc_hash(acl->seed, name.at, name.n);
    for (size_t i = (size_t)hash & (acl->slots_n - 1); acl->slots[i] != NULL;
         i = (i + 1) & (acl->slots_n - 1)) {
        struct user *user = acl->slots[i];

        if (user->hash == hash && noc_slice_equal(text_of(acl, user->at, user->n), name)) {
            return user;
        }
    }
    return NULL;
}

/* Where the level ends that begins at i. */
static size_t level_end(struct noc_slice topic, size_t i)
{
    const char *slash = i == topic.n ? NULL : memchr(topic.at + i, '/', topic.n - i);

    return slash == NULL ? topic.n : (size_t)(slash - topic.at);
}

/*
 * Does the filter match the topic once %c and %u are replaced? The filter is
 * valid with plain text in their places, so + and # stand alone in their
 * levels, and the names hold neither.
 */
static bool pattern_matches(
    struct noc_slice filter, const struct noc_acl_subject *subject, struct noc_slice topic)
{
    size_t t = 0; /* topic matched so far */

    for (size_t i = 0; i < filter.n; i++) {
        char c = filter.at[i];
        char after = i + 1 < filter.n ? filter.at[i + 1] : '\0';

        if (c == '%' && (after == 'c' || after == 'u')) {
            struct noc_slice name = after == 'c' ? subject->client_id : subject->username;

            if (!noc_slice_has_prefix(noc_slice(topic.at + t, topic.n - t), name)) {
                return false;
            }
            t += name.n;
            i++;
        } else if (c == '#') {
            return true;
        } else if (c == '+') {
            t = level_end(topic, t);
        } else if (t < topic.n && topic.at[t] == c) {
            t++;
        } else {
            /* "a/#" also matches "a" itself (MQTT 5 section 4.7.1.2). */
            return t == topic.n && c == '/' && after == '#';
        }
    }
    return t == topic.n;
}

static bool rule_matches(const struct noc_acl *acl, const struct rule *rule,
    const struct noc_acl_subject *subject, struct noc_slice topic)
{
    struct noc_slice filter = text_of(acl, rule->at, rule->n);

    if (rule->needs_user && subject->username.at == NULL) {
        return false;
    }
    /* Judged by the line as written: a name that begins with $ opens no $ topics. */
    if (topic.at[0] == '$' && filter.at[0] != '$') {
        return false;
    }
    if (rule->needs_id || rule->needs_user) {
        return pattern_matches(filter, subject, topic);
    }
    return noc_filter_matches(filter, topic);
}

enum verdict { PASSED_OVER, REFUSED, ALLOWED };

static enum verdict judge_list(const struct noc_acl *acl, const struct rule_list *list,
    const struct noc_acl_subject *subject, enum noc_access access, struct noc_slice topic)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct rule *rule = &list->rules[i];

        if ((rule->access & (NOC_ACCESS_DENY | (unsigned)access)) != 0 &&
            rule_matches(acl, rule, subject, topic)) {
            return rule->access == NOC_ACCESS_DENY ? REFUSED : ALLOWED;
        }
    }
    return PASSED_OVER;
}

static bool has_byte(struct noc_slice text, char c)
{
    return text.n > 0 && memchr(text.at, c, text.n) != NULL;
}

/* Would the name mean more than itself inside a filter? */
static bool is_dangerous(const struct noc_acl *acl, struct noc_slice name)
{
    return has_byte(name, '+') || has_byte(name, '#') || (acl->deny_slash && has_byte(name, '/'));
}

/* The rights that no file can give. */
static bool is_out_of_reach(enum noc_access access, struct noc_slice topic)
{
    if (topic.at[0] != '$') {
        return false;
    }
    if (noc_slice_has_prefix(topic, noc_slice_of("$share"))) {
        return true;
    }
    return access == NOC_ACCESS_WRITE && noc_slice_has_prefix(topic, noc_slice_of("$SYS")) &&
           !noc_filter_matches(noc_slice_of("$SYS/broker/connection/+/state"), topic);
}

bool noc_acl_allows(const struct noc_acl *acl, const struct noc_acl_subject *subject,
    enum noc_access access, struct noc_slice topic)
{
    static const struct rule_list no_lines = {NULL, 0, 0, 0};
    const struct rule_list *own;
    enum verdict verdict;

    assert(access == NOC_ACCESS_READ || access == NOC_ACCESS_WRITE);
    assert(subject->username.at != NULL || subject->username.n == 0);
    assert(subject->client_id.at != NULL || subject->client_id.n == 0);
    if (topic.n == 0 || is_out_of_reach(access, topic)) {
        return false;
    }
    if (acl == NULL) {
        return true;
    }
    own = &acl->anonymous;
    if (subject->username.at != NULL) {
        const struct user *user = find_user(acl, subject->username);

        own = user == NULL ? &no_lines : &user->list;
    }
    verdict = judge_list(acl, own, subject, access, topic);
    if (verdict == PASSED_OVER && acl->patterns.n > 0) {
        if (subject->client_id.at == NULL || is_dangerous(acl, subject->client_id) ||
            is_dangerous(acl, subject->username)) {
            return false;
        }
        verdict = judge_list(acl, &acl->patterns, subject, access, topic);
    }
    return verdict == ALLOWED;
}

uint64_t noc_acl_version(const struct noc_acl *acl)
{
    return acl->version;
}

/* --- life --------------------------------------------------------------- */

static void acl_free(struct noc_acl *acl)
{
    for (size_t i = 0; i < acl->slots_n; i++) {
        if (acl->slots[i] != NULL) {
            free(acl->slots[i]->list.rules);
            free(acl->slots[i]);
        }
    }
    free(acl->slots);
    free(acl->anonymous.rules);
    free(acl->patterns.rules);
    free(acl->text);
    free(acl);
}

struct noc_acl *noc_acl_ref(struct noc_acl *acl)
{
    if (acl != NULL) {
        atomic_fetch_add_explicit(&acl->references, 1, memory_order_relaxed);
    }
    return acl;
}

void noc_acl_unref(struct noc_acl *acl)
{
    if (acl != NULL && atomic_fetch_sub_explicit(&acl->references, 1, memory_order_acq_rel) == 1) {
        acl_free(acl);
    }
}

/* --- building ----------------------------------------------------------- */

struct noc_acl_builder *noc_acl_builder_new(const struct noc_acl_options *options)
{
    struct noc_acl_builder *builder = calloc(1, sizeof *builder);
    struct noc_acl *acl = calloc(1, sizeof *acl);

    if (builder == NULL || acl == NULL) {
        free(builder);
        free(acl);
        return NULL;
    }
    atomic_init(&acl->references, 1);
    acl->deny_slash = options->deny_slash;
    acl->seed = options->seed;
    acl->version = options->version;
    builder->acl = acl;
    return builder;
}

void noc_acl_builder_free(struct noc_acl_builder *builder)
{
    if (builder != NULL) {
        noc_acl_unref(builder->acl);
        free(builder);
    }
}

struct noc_acl *noc_acl_builder_build(struct noc_acl_builder *take_builder)
{
    struct noc_acl *acl = take_builder->acl;

    free(take_builder);
    return acl;
}

/* Room for n more bytes of text. */
static int reserve_text(struct noc_acl *acl, size_t n)
{
    size_t capacity = acl->text_capacity;
    char *text;

    if (n > UINT32_MAX - acl->text_n) {
        return NOC_EFULL;
    }
    if (n <= capacity - acl->text_n) {
        return NOC_OK;
    }
    capacity = 2 * (acl->text_n + n) + 256;
    text = realloc(acl->text, capacity);
    if (text == NULL) {
        return NOC_ENOMEM;
    }
    acl->text = text;
    acl->text_capacity = capacity;
    return NOC_OK;
}

/* Into reserved room; the offset. */
static uint32_t add_text(struct noc_acl *acl, struct noc_slice text)
{
    uint32_t at = (uint32_t)acl->text_n;

    if (text.n > 0) {
        memcpy(acl->text + at, text.at, text.n);
    }
    acl->text_n += text.n;
    return at;
}

static int reserve_rule(struct rule_list *list)
{
    uint32_t capacity = list->capacity == 0 ? FIRST_RULES : 2 * list->capacity;
    struct rule *rules;

    if (list->n < list->capacity) {
        return NOC_OK;
    }
    rules = realloc(list->rules, capacity * sizeof *rules);
    if (rules == NULL) {
        return NOC_ENOMEM;
    }
    list->rules = rules;
    list->capacity = capacity;
    return NOC_OK;
}

static void insert_slot(struct user **slots, size_t slots_n, struct user *user)
{
    size_t i = (size_t)user->hash & (slots_n - 1);

    while (slots[i] != NULL) {
        i = (i + 1) & (slots_n - 1);
    }
    slots[i] = user;
}

static int reserve_slot(struct noc_acl *acl)
{
    size_t slots_n = acl->slots_n == 0 ? FIRST_SLOTS : 2 * acl->slots_n;
    struct user **slots;

    if ((acl->users_n + 1) * 4 <= acl->slots_n * 3) {
        return NOC_OK;
    }
    slots = calloc(slots_n, sizeof *slots);
    if (slots == NULL) {
        return NOC_ENOMEM;
    }
    for (size_t i = 0; i < acl->slots_n; i++) {
        if (acl->slots[i] != NULL) {
            insert_slot(slots, slots_n, acl->slots[i]);
        }
    }
    free(acl->slots);
    acl->slots = slots;
    acl->slots_n = slots_n;
    return NOC_OK;
}

/* A user that isn't in the table yet, with room for one rule; its text has room already. */
static int user_new(struct noc_acl *acl, struct noc_slice name, struct user **ret_user)
{
    struct user *user = NULL;
    int err = reserve_slot(acl);

    if (err < 0) {
        return err;
    }
    user = calloc(1, sizeof *user);
    if (user == NULL || reserve_rule(&user->list) < 0) {
        free(user);
        return NOC_ENOMEM;
    }
    user->hash = noc_hash(acl->seed, name.at, name.n);
    user->n = (uint32_t)name.n;
    *ret_user = user;
    return NOC_OK;
}

static bool has_substitute(struct noc_slice filter, char which)
{
    for (size_t i = 0; i + 1 < filter.n; i++) {
        if (filter.at[i] == '%' && filter.at[i + 1] == which) {
            return true;
        }
    }
    return false;
}

/* Into reserved room: deny lines in front. */
static void add_rule(struct rule_list *list, struct rule rule)
{
    list->rules[list->n] = rule;
    if (rule.access == NOC_ACCESS_DENY) {
        list->rules[list->n] = list->rules[list->denies];
        list->rules[list->denies++] = rule;
    }
    list->n++;
}

/* The list for a new line, with room for it. *ret_user: not in the table yet, or NULL. */
static int list_for(struct noc_acl *acl, enum noc_acl_who who, struct noc_slice name,
    struct rule_list **ret_list, struct user **ret_user)
{
    struct user *user = who == NOC_ACL_USER ? find_user(acl, name) : NULL;
    int err;

    *ret_user = NULL;
    if (who == NOC_ACL_USER && user == NULL) {
        err = user_new(acl, name, &user);
        if (err == NOC_OK) {
            *ret_user = user;
            *ret_list = &user->list;
        }
        return err;
    }
    if (user != NULL) {
        *ret_list = &user->list;
    } else {
        *ret_list = who == NOC_ACL_PATTERN ? &acl->patterns : &acl->anonymous;
    }
    return reserve_rule(*ret_list);
}

int noc_acl_builder_add(struct noc_acl_builder *builder, enum noc_acl_who who,
    struct noc_slice user, unsigned access, struct noc_slice filter)
{
    struct noc_acl *acl = builder->acl;
    bool is_pattern = who == NOC_ACL_PATTERN;
    struct rule rule = {.n = (uint32_t)filter.n, .access = (uint8_t)access};
    struct user *fresh;
    struct rule_list *list;
    int err;

    /* %c and %u are plain text to the check, as what replaces them will be. */
    if (access == 0 || access > NOC_ACCESS_DENY || !noc_filter_is_valid(filter)) {
        return NOC_EINVAL;
    }
    err = user.n > UINT32_MAX - filter.n ? NOC_EFULL : reserve_text(acl, user.n + filter.n);
    if (err < 0) {
        return err;
    }
    err = list_for(acl, who, user, &list, &fresh);
    if (err < 0) {
        return err;
    }
    if (fresh != NULL) {
        fresh->at = add_text(acl, user);
        insert_slot(acl->slots, acl->slots_n, fresh);
        acl->users_n++;
    }
    rule.at = add_text(acl, filter);
    rule.needs_id = is_pattern && has_substitute(filter, 'c');
    rule.needs_user = is_pattern && has_substitute(filter, 'u');
    add_rule(list, rule);
    return NOC_OK;
}
