/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOCTULE_REASON_H
#define NOCTULE_REASON_H
/*
 * MQTT 5 reason codes (section 2.4), and the return codes of CONNACK in
 * MQTT 3 that stand for them (3.1.1, table 3.1). A type of its own: never
 * mixed with enum noc_error.
 */

#include <stdint.h>

#include <noctule/config.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NOC_REASON_MAP(X)                                                                    \
    X(NOC_RC_SUCCESS, 0x00, "success")                                                       \
    X(NOC_RC_GRANTED_QOS1, 0x01, "granted QoS 1")                                            \
    X(NOC_RC_GRANTED_QOS2, 0x02, "granted QoS 2")                                            \
    X(NOC_RC_DISCONNECT_WITH_WILL, 0x04, "disconnect with will message")                     \
    X(NOC_RC_NO_MATCHING_SUBSCRIBERS, 0x10, "no matching subscribers")                       \
    X(NOC_RC_NO_SUBSCRIPTION_EXISTED, 0x11, "no subscription existed")                       \
    X(NOC_RC_CONTINUE_AUTHENTICATION, 0x18, "continue authentication")                       \
    X(NOC_RC_REAUTHENTICATE, 0x19, "re-authenticate")                                        \
    X(NOC_RC_UNSPECIFIED, 0x80, "unspecified error")                                         \
    X(NOC_RC_MALFORMED_PACKET, 0x81, "malformed packet")                                     \
    X(NOC_RC_PROTOCOL_ERROR, 0x82, "protocol error")                                         \
    X(NOC_RC_IMPLEMENTATION_SPECIFIC, 0x83, "implementation specific error")                 \
    X(NOC_RC_UNSUPPORTED_VERSION, 0x84, "unsupported protocol version")                      \
    X(NOC_RC_CLIENT_ID_NOT_VALID, 0x85, "client identifier not valid")                       \
    X(NOC_RC_BAD_CREDENTIALS, 0x86, "bad user name or password")                             \
    X(NOC_RC_NOT_AUTHORIZED, 0x87, "not authorised")                                         \
    X(NOC_RC_SERVER_UNAVAILABLE, 0x88, "server unavailable")                                 \
    X(NOC_RC_SERVER_BUSY, 0x89, "server busy")                                               \
    X(NOC_RC_BANNED, 0x8a, "banned")                                                         \
    X(NOC_RC_SERVER_SHUTTING_DOWN, 0x8b, "server shutting down")                             \
    X(NOC_RC_BAD_AUTHENTICATION_METHOD, 0x8c, "bad authentication method")                   \
    X(NOC_RC_KEEP_ALIVE_TIMEOUT, 0x8d, "keep alive timeout")                                 \
    X(NOC_RC_SESSION_TAKEN_OVER, 0x8e, "session taken over")                                 \
    X(NOC_RC_TOPIC_FILTER_INVALID, 0x8f, "topic filter invalid")                             \
    X(NOC_RC_TOPIC_NAME_INVALID, 0x90, "topic name invalid")                                 \
    X(NOC_RC_PACKET_ID_IN_USE, 0x91, "packet identifier in use")                             \
    X(NOC_RC_PACKET_ID_NOT_FOUND, 0x92, "packet identifier not found")                       \
    X(NOC_RC_RECEIVE_MAXIMUM_EXCEEDED, 0x93, "receive maximum exceeded")                     \
    X(NOC_RC_TOPIC_ALIAS_INVALID, 0x94, "topic alias invalid")                               \
    X(NOC_RC_PACKET_TOO_LARGE, 0x95, "packet too large")                                     \
    X(NOC_RC_MESSAGE_RATE_TOO_HIGH, 0x96, "message rate too high")                           \
    X(NOC_RC_QUOTA_EXCEEDED, 0x97, "quota exceeded")                                         \
    X(NOC_RC_ADMINISTRATIVE_ACTION, 0x98, "administrative action")                           \
    X(NOC_RC_PAYLOAD_FORMAT_INVALID, 0x99, "payload format invalid")                         \
    X(NOC_RC_RETAIN_NOT_SUPPORTED, 0x9a, "retain not supported")                             \
    X(NOC_RC_QOS_NOT_SUPPORTED, 0x9b, "QoS not supported")                                   \
    X(NOC_RC_USE_ANOTHER_SERVER, 0x9c, "use another server")                                 \
    X(NOC_RC_SERVER_MOVED, 0x9d, "server moved")                                             \
    X(NOC_RC_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, 0x9e, "shared subscriptions not supported") \
    X(NOC_RC_CONNECTION_RATE_EXCEEDED, 0x9f, "connection rate exceeded")                     \
    X(NOC_RC_MAXIMUM_CONNECT_TIME, 0xa0, "maximum connect time")                             \
    X(NOC_RC_SUBSCRIPTION_IDS_NOT_SUPPORTED, 0xa1, "subscription identifiers not supported") \
    X(NOC_RC_WILDCARD_NOT_SUPPORTED, 0xa2, "wildcard subscriptions not supported")

enum noc_reason {
#define NOC_REASON_ENUM(name, code, text) name = (code),
    NOC_REASON_MAP(NOC_REASON_ENUM)
#undef NOC_REASON_ENUM
};

/* The text of a reason code; a static string, "unknown reason" for others. Any thread. */
NOC_PUBLIC const char *noc_reason_text(uint8_t reason);

/*
 * The MQTT 3 CONNACK return code (0 to 5) that stands for a reason code:
 * 0x84 is 1, 0x85 is 2, 0x88/0x89/0x97/0x9f is 3, 0x86 is 4 (Mosquitto sends 5
 * for both kinds of refusal, and for a will that is too large, and so do we:
 * 0x86, 0x87 and 0x95 are 5), 0 is 0, all others are 3.
 */
NOC_PUBLIC uint8_t noc_reason_to_connack3(uint8_t reason);

#ifdef __cplusplus
}
#endif

#endif
