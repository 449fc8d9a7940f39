/* SPDX-License-Identifier: Apache-2.0 */
/* What pub, sub and rr have in common: settings, then the work. */
#include "cli/client_options.h"

#include <stdlib.h>

int noc_client_tool_main(enum noc_client_tool tool, int argc, char **argv)
{
    struct noc_client_settings settings;
    int status = EXIT_FAILURE;

    if (noc_client_settings_init(&settings, tool, argc, argv, &status) == NOC_CLIENT_RUN) {
        status = noc_client_tool_run(&settings);
    }
    noc_client_settings_done(&settings);
    return status;
}
