/* SPDX-License-Identifier: Apache-2.0 */
/* `noctule sub`, and mosquitto_sub: subscribe, and show what comes. */
#include "cli/client_options.h"
#include "cli/commands.h"

int noc_cli_sub(int argc, char **argv)
{
    return noc_client_tool_main(NOC_TOOL_SUB, argc, argv);
}
