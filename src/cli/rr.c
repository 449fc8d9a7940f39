/* SPDX-License-Identifier: Apache-2.0 */
/* `noctule rr`, and mosquitto_rr: send a request, and show the response. */
#include "cli/client_options.h"
#include "cli/commands.h"

int noc_cli_rr(int argc, char **argv)
{
    return noc_client_tool_main(NOC_TOOL_RR, argc, argv);
}
