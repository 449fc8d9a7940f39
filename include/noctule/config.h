/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_CONFIG_H
#define NOCTULE_CONFIG_H
/*
 * What is compiled into the client engine. Everything, unless a firmware that
 * builds it from source says 0 with -D; what that saves is in the size table of
 * libnoctule(3). Structs do not depend on these.
 */

/* MQTT 5; without it 3.1 and 3.1.1 only. */
#ifndef NOC_WITH_V5
#define NOC_WITH_V5 1
#endif

/* Subscriptions, and messages from the server. */
#ifndef NOC_WITH_SUBSCRIBE
#define NOC_WITH_SUBSCRIBE 1
#endif

/* QoS 1 and 2, both ways, and the outbox. */
#ifndef NOC_WITH_QOS
#define NOC_WITH_QOS 1
#endif

/* MQTT over WebSocket. */
#ifndef NOC_WITH_WEBSOCKET
#define NOC_WITH_WEBSOCKET 1
#endif

/* For who looks for faults: texts that say which field of a packet was wrong, and options->trace. */
#ifndef NOC_WITH_TEXTS
#define NOC_WITH_TEXTS 1
#endif

/* NOC_PUBLIC: what the shared library exports. NOC_MUST_CHECK: a result that tells of failure. */
#if defined(__GNUC__) && !defined(__clang__)
#define NOC_PUBLIC     __attribute__((visibility("default"), externally_visible))
#define NOC_MUST_CHECK __attribute__((warn_unused_result))
#elif defined(__GNUC__)
#define NOC_PUBLIC     __attribute__((visibility("default")))
#define NOC_MUST_CHECK __attribute__((warn_unused_result))
#else
#define NOC_PUBLIC
#define NOC_MUST_CHECK
#endif

/* A static text that says what was wrong; NULL where those are left out. */
#define NOC_TEXT(text) (NOC_WITH_TEXTS ? (text) : NULL)

/* Is MQTT 5 spoken? False at compile time where it is left out. */
#define NOC_IS_V5(version) (NOC_WITH_V5 && (version) == 5)

#endif
