/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_MQTT_TEXT_H
#define NOC_MQTT_TEXT_H
/*
 * The check of a topic as it comes off the wire: UTF-8, no U+0000, no wildcard,
 * not too deep. It runs once per PUBLISH, so plain ASCII is judged inline and
 * eight bytes at a time. Used in this folder only.
 */

#include "mqtt/topic.h"

#define NOC_ONES  UINT64_C(0x0101010101010101)
#define NOC_HIGHS UINT64_C(0x8080808080808080)

/* The same by characters, for whatever is not plain ASCII. */
bool noc_topic_text_is_valid_slow(struct noc_slice topic);
bool noc_topic_depth_is_valid_slow(struct noc_slice topic);

/*
 * Bits, some of them set when a byte of the word is 0, '#', '+' or not ASCII.
 * '#' (0x23) and '+' (0x2b) differ in one bit, so one test finds both: with
 * that bit set and 0x2b taken off by xor they are zero. The lowest zero byte
 * of a word without high bits is the first to borrow in the subtraction; what
 * a borrow does to bytes above it is of no matter, since one is enough.
 */
static inline uint64_t noc_topic_word_faults(uint64_t word)
{
    uint64_t folded = (word | NOC_ONES * 0x08) ^ NOC_ONES * 0x2b;

    return (word | (word - NOC_ONES) | (folded - NOC_ONES)) & NOC_HIGHS;
}

static inline uint64_t noc_load_word(const char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

/* The 1 to 7 bytes at at as a word; some twice, the rest of it harmless. */
static inline uint64_t noc_load_short(const char *at, size_t n)
{
    uint32_t low, high;

    if (n >= 4) {
        memcpy(&low, at, sizeof low);
        memcpy(&high, at + n - 4, sizeof high);
        return (uint64_t)high << 32 | low;
    }
    return UINT64_C(0x6161616161000000) | (uint64_t)(uint8_t)at[0] << 16 |
           (uint64_t)(uint8_t)at[n / 2] << 8 | (uint8_t)at[n - 1];
}

/* Valid UTF-8 without U+0000 and without wildcard [MQTT-1.5.4-1], [MQTT-3.3.2-2]? May be empty. */
static inline bool noc_topic_text_is_valid(struct noc_slice topic)
{
    uint64_t faults = 0;

    if (NOC_IS_SMALL) {
        return noc_topic_text_is_valid_slow(topic);
    }
    if (topic.n >= 8) {
        for (size_t i = 0; i + 8 < topic.n; i += 8) {
            faults |= noc_topic_word_faults(noc_load_word(topic.at + i));
        }
        faults |= noc_topic_word_faults(noc_load_word(topic.at + topic.n - 8));
    } else if (topic.n > 0) {
        faults = noc_topic_word_faults(noc_load_short(topic.at, topic.n));
    }
    return NOC_LIKELY(faults == 0) || noc_topic_text_is_valid_slow(topic);
}

/* Which error a topic is that failed either check: bad text is malformed, the rest an offence. */
int noc_topic_text_error(struct noc_slice topic);

/* At most NOC_TOPIC_LEVELS_MAX levels? Short texts can't have more. */
static inline bool noc_topic_depth_is_valid(struct noc_slice topic)
{
    return topic.n < NOC_TOPIC_LEVELS_MAX || noc_topic_depth_is_valid_slow(topic);
}

#endif
