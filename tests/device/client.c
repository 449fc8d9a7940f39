/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client engine and what it needs, as one file: so a compiler sees which functions are
 * called from elsewhere (NOC_PUBLIC), and leaves out or merges the others.
 */
#include "../../src/base/base64.c"
#include "../../src/base/utf8.c"
#include "../../src/mqtt/frame.c"
#include "../../src/mqtt/listed.c"
#undef IN
#undef IN_BOTH
#undef ROW
#include "../../src/client/client.c"
#include "../../src/client/client_ack.c"
#include "../../src/client/client_auth.c"
#include "../../src/client/client_connect.c"
#include "../../src/client/client_in.c"
#include "../../src/client/client_message.c"
#include "../../src/client/client_out.c"
#include "../../src/client/client_publish.c"
#include "../../src/client/client_subscribe.c"
#include "../../src/client/client_ws.c"
#include "../../src/client/outbox_ring.c"
#include "../../src/mqtt/props.c"
#include "../../src/mqtt/topic.c"
#include "../../src/mqtt/wire.c"
#include "../../src/ws/client.c"
#include "../../src/ws/sha1.c"
