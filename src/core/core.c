/* SPDX-License-Identifier: Apache-2.0 */
#include "core/core.h"

#include "core/mail.h"
#include <noctule/error.h>

int noc_core_init(
    struct noc_core *core, unsigned shard_count, const struct noc_limits *limits, uint64_t seed)
{
    *core = (struct noc_core){.shard_count = shard_count, .seed = seed, .limits = *limits};
    atomic_init(&core->is_memory_short, false);
    atomic_init(&core->is_store_full, false);
    atomic_init(&core->log_mask, NOC_LOG_DEFAULT);
    core->reclaim = noc_reclaim_new(shard_count);
    if (core->reclaim == NULL) {
        return NOC_ENOMEM;
    }
    core->index = noc_index_new(shard_count, seed, core->reclaim, noc_mail_retire, core);
    if (core->index == NULL) {
        goto free_reclaim;
    }
    core->retained = noc_retained_new(seed, core->reclaim);
    if (core->retained == NULL) {
        goto free_index;
    }
    core->directory = noc_directory_new(seed);
    if (core->directory == NULL) {
        goto free_retained;
    }
    return NOC_OK;

free_retained:
    noc_retained_free(core->retained);
free_index:
    noc_index_free(core->index);
free_reclaim:
    noc_reclaim_free(core->reclaim);
    return NOC_ENOMEM;
}

void noc_core_done(struct noc_core *core)
{
    noc_directory_free(core->directory);
    noc_retained_free(core->retained);
    noc_index_free(core->index);
    noc_reclaim_free(core->reclaim);
}

int64_t noc_core_count_mt(const struct noc_core *core, enum noc_counter counter)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < core->shard_count; i++) {
        if (core->shards[i] != NULL) {
            sum += atomic_load_explicit(&core->shards[i]->counters[counter], memory_order_relaxed);
        }
    }
    return sum;
}
