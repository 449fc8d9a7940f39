/* SPDX-License-Identifier: Apache-2.0 */
#include "core/record.h"

#include <stdlib.h>
#include <string.h>

bool noc_operations_reserve(struct noc_operations *operations, size_t n)
{
    size_t room = operations->room == 0 ? 16 : operations->room * 2;
    struct noc_operation *at;

    if (operations->room - operations->count >= n) {
        return true;
    }
    at = realloc(operations->at, room * sizeof *at);
    if (at == NULL) {
        return false;
    }
    operations->at = at;
    operations->room = room;
    return true;
}

struct noc_operation *noc_operations_add(struct noc_operations *operations, uint8_t kind)
{
    struct noc_operation *operation;

    if (!noc_operations_reserve(operations, 1)) {
        return NULL;
    }
    operation = &operations->at[operations->count++];
    *operation = (struct noc_operation){.kind = kind};
    return operation;
}

int noc_operations_add_outgoing(
    struct noc_operations *operations, const struct noc_outgoing_record *record)
{
    struct noc_operation *operation;
    uint32_t *ids = NULL;

    if (record->id_count > 1) {
        ids = malloc(record->id_count * sizeof *ids);
        if (ids == NULL) {
            return NOC_ENOMEM;
        }
        memcpy(ids, record->ids, record->id_count * sizeof *ids);
    }
    operation = noc_operations_add(operations, NOC_OP_OUTGOING);
    if (operation == NULL) {
        free(ids);
        return NOC_ENOMEM;
    }
    operation->slot = record->slot;
    operation->first = record->sequence;
    operation->qos = record->qos;
    operation->retain = record->retain;
    operation->message = noc_message_ref(record->message);
    operation->id_count = record->id_count;
    if (ids != NULL) {
        operation->as.ids = ids;
    } else if (record->id_count == 1) {
        operation->as.id = record->ids[0];
    }
    return NOC_OK;
}

/* Put a copy of a text at *at, and move on; an absent one stays absent. */
static struct noc_slice put_text(char **at, struct noc_slice text)
{
    struct noc_slice copy = noc_slice(*at, text.n);

    if (text.at == NULL) {
        return text;
    }
    memcpy(*at, text.at, text.n);
    *at += text.n;
    return copy;
}

struct noc_session_record *noc_session_record_copy(const struct noc_session_record *record)
{
    struct noc_session_record *copy =
        malloc(sizeof *copy + record->client_id.n + record->username.n + 1);
    char *text;

    if (copy == NULL) {
        return NULL;
    }
    text = (char *)(copy + 1);
    *copy = *record;
    copy->client_id = put_text(&text, record->client_id);
    copy->username = put_text(&text, record->username);
    (void)noc_message_ref(copy->will);
    return copy;
}

struct noc_subscription_record *noc_subscription_record_copy(
    const struct noc_subscription_record *record)
{
    struct noc_subscription_record *copy =
        malloc(sizeof *copy + record->group.n + record->filter.n + 1);
    char *text;

    if (copy == NULL) {
        return NULL;
    }
    text = (char *)(copy + 1);
    *copy = *record;
    copy->group = put_text(&text, record->group);
    copy->filter = put_text(&text, record->filter);
    return copy;
}

static void operation_done(struct noc_operation *operation)
{
    noc_message_unref(operation->message);
    switch ((enum noc_operation_kind)operation->kind) {
    case NOC_OP_SESSION:
        if (operation->as.session != NULL) {
            noc_message_unref(operation->as.session->will);
        }
        free(operation->as.session);
        break;
    case NOC_OP_SUBSCRIPTION:
    case NOC_OP_SUBSCRIPTION_END:
        free(operation->as.subscription);
        break;
    case NOC_OP_OUTGOING:
        if (operation->id_count > 1) {
            free(operation->as.ids);
        }
        break;
    case NOC_OP_SESSION_END:
    case NOC_OP_OUTGOING_PUBREC:
    case NOC_OP_OUTGOING_END:
    case NOC_OP_INCOMING:
    case NOC_OP_INCOMING_END:
    case NOC_OP_RETAINED:
    case NOC_OP_PART:
        break;
    }
}

void noc_operations_done(struct noc_operations *operations)
{
    for (size_t i = 0; i < operations->count; i++) {
        operation_done(&operations->at[i]);
    }
    free(operations->at);
    operations->at = NULL;
    operations->count = operations->room = operations->bytes = 0;
}
