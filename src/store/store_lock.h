/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_STORE_STORE_LOCK_H
#define NOC_STORE_STORE_LOCK_H
/* One process per folder: a lock of the kernel's on noctule.lock, whose text names who has it. */

#include <stddef.h>

#include "base/macros.h"

/* Returns a descriptor; NOC_EEXIST: another has it; NOC_EIO. `error` says why. */
NOC_MUST_CHECK int noc_store_lock(const char *folder, char *error, size_t error_n);

/* -1 is fine. */
void noc_store_unlock(int fd);

#endif
