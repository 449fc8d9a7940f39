/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a configuration: it is read or refused with a reason, and what
 * was read can be explained, compared with itself and freed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "config/config.h"
#include <noctule/error.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct noc_config_report report;
    struct noc_config *config = NULL;
    struct noc_text text;
    int err;

    noc_config_report_init(&report);
    err = noc_config_parse((const char *)bytes, n, "fuzz", true, NULL, &config, &report);
    if (err == NOC_OK) {
        noc_text_init(&text);
        noc_config_explain(config, &text);
        noc_text_done(&text);
        if (config->listener_count == 0 || !noc_config_listeners_equal(config, config) ||
            noc_config_security_changed(config, config)) {
            abort();
        }
        for (size_t i = 0; i < config->listener_count; i++) {
            if (config->listeners[i].auto_id_prefix == NULL ||
                config->listeners[i].security_index >= noc_config_security_count(config)) {
                abort();
            }
        }
    } else if (report.error_count == 0 || config != NULL) {
        abort();
    }
    noc_config_free(config);
    noc_config_report_done(&report);
    return 0;
}
