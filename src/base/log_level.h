/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_BASE_LOG_LEVEL_H
#define NOC_BASE_LOG_LEVEL_H
/* Kinds of log line, or'ed in masks; Mosquitto's log_type has the same words. */

enum noc_log_level {
    NOC_LOG_ERROR = 1 << 0,
    NOC_LOG_WARNING = 1 << 1,
    NOC_LOG_NOTICE = 1 << 2,
    NOC_LOG_INFORMATION = 1 << 3,
    NOC_LOG_DEBUG = 1 << 4,
    NOC_LOG_SUBSCRIBE = 1 << 5,
    NOC_LOG_UNSUBSCRIBE = 1 << 6,
    NOC_LOG_WEBSOCKETS = 1 << 7,
    NOC_LOG_INTERNAL = 1 << 8,
    NOC_LOG_DEFAULT = NOC_LOG_ERROR | NOC_LOG_WARNING | NOC_LOG_NOTICE | NOC_LOG_INFORMATION,
    NOC_LOG_ALL = (1 << 9) - 1,
    NOC_LOG_NONE = 1 << 9, /* as the only bit of a mask: nothing is wanted */
};

#endif
