/* SPDX-License-Identifier: Apache-2.0 */
/* `noctule pub`, and mosquitto_pub: publish a message, or many. */
#include "cli/client_options.h"
#include "cli/commands.h"

int noc_cli_pub(int argc, char **argv)
{
    return noc_client_tool_main(NOC_TOOL_PUB, argc, argv);
}
