/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs tests/vectors/packets.txt, where the form of its lines is told: each
 * packet whole, cut at every byte, right in front of a page that can't be read,
 * encoded again, and mutated at random.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#include "describe.h"
#include "mqtt/packet.h"

enum { PACKET_MAX = 4096, TEXT_MAX = 16384, GUARD_ROOM = 8192, PAGE = 65536 };

struct vector {
    unsigned line;
    const char *versions; /* a digit each */
    const char *expected;
    bool from_client;
    size_t n;
    uint8_t packet[PACKET_MAX];
};

static uint8_t *guard; /* GUARD_ROOM bytes that end where no byte may be read */

static int set_up(void **state)
{
    uint8_t *map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    if (map == MAP_FAILED || mprotect(map + PAGE, PAGE, PROT_NONE) != 0) {
        return -1;
    }
    guard = map + PAGE - GUARD_ROOM;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return munmap(guard + GUARD_ROOM - PAGE, 2 * PAGE);
}

/* Put bytes right before the page that can't be read. */
static const uint8_t *at_guard(const uint8_t *bytes, size_t n)
{
    uint8_t *at = guard + GUARD_ROOM - n;

    assert_true(n <= GUARD_ROOM);
    memcpy(at, bytes, n);
    return at;
}

static unsigned hex_digit(const struct vector *vector, char c)
{
    if (!isxdigit((unsigned char)c)) {
        fail_msg("packets.txt:%u: '%c' is no hex digit", vector->line, c);
    }
    return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* Read "30 05 0003 'a/b' 2f*200": hex, text in quotes, a byte so many times. */
static void parse_packet(struct vector *vector, const char *text)
{
    while (*text != '\0') {
        if (*text == ' ') {
            text++;
        } else if (*text == '\'') {
            for (text++; *text != '\''; text++) {
                assert_true(*text != '\0' && vector->n < PACKET_MAX);
                vector->packet[vector->n++] = (uint8_t)*text;
            }
            text++;
        } else {
            uint8_t byte = (uint8_t)(hex_digit(vector, text[0]) << 4 | hex_digit(vector, text[1]));
            unsigned long times = 1;

            text += 2;
            if (*text == '*') {
                char *end;

                times = strtoul(text + 1, &end, 10);
                text = end;
            }
            assert_true(times > 0 && vector->n + times <= PACKET_MAX);
            memset(vector->packet + vector->n, byte, times);
            vector->n += times;
        }
    }
}

/* Cut text at the first separator; returns what follows it. */
static char *cut(const struct vector *vector, char *text, const char *separator)
{
    char *at = strstr(text, separator);

    if (at == NULL) {
        fail_msg("packets.txt:%u: no '%s'", vector->line, separator);
        return text;
    }
    *at = '\0';
    return at + strlen(separator);
}

/* Call run for each vector and each of its versions; returns how many there were. */
static unsigned each_vector(void (*run)(const struct vector *vector, unsigned version))
{
    static struct vector vector;
    static char text[TEXT_MAX];
    FILE *file = fopen(NOC_VECTORS "/packets.txt", "r");
    unsigned count = 0, line = 0;

    assert_non_null(file);
    while (fgets(text, sizeof text, file) != NULL) {
        char *expected, *receiver, *bytes;

        line++;
        text[strcspn(text, "\n")] = '\0';
        if (text[0] == '#' || text[0] == '\0') {
            continue;
        }
        memset(&vector, 0, sizeof vector);
        vector.line = line;
        expected = cut(&vector, text, " => ");
        receiver = cut(&vector, text, " ");
        bytes = cut(&vector, receiver, " ");
        assert_true(strcmp(receiver, "broker") == 0 || strcmp(receiver, "client") == 0);
        vector.versions = text;
        vector.from_client = strcmp(receiver, "broker") == 0;
        vector.expected = expected;
        parse_packet(&vector, bytes);
        for (const char *version = vector.versions; *version != '\0'; version++) {
            run(&vector, (unsigned)(*version - '0'));
            count++;
        }
    }
    fclose(file);
    return count;
}

static void run_whole(const struct vector *vector, unsigned version)
{
    static char text[TEXT_MAX];

    describe(version, vector->from_client, at_guard(vector->packet, vector->n), vector->n, text,
        sizeof text);
    if (strcmp(text, vector->expected) != 0) {
        fail_msg("packets.txt:%u, version %u: expected\n  %s\ngot\n  %s", vector->line, version,
            vector->expected, text);
    }
}

static void every_vector_yields_what_stands_beside_it(void **state)
{
    (void)state;
    assert_true(each_vector(run_whole) > 300);
}

/* Cut a packet's bytes anywhere: nothing but "incomplete", or the header's fault. */
static void run_cut(const struct vector *vector, unsigned version)
{
    static char text[TEXT_MAX];
    struct noc_header header;
    int whole = noc_header_decode(version, vector->packet, vector->n, &header);

    for (size_t n = 0; n < vector->n; n++) {
        const uint8_t *at = at_guard(vector->packet, n);
        int used = noc_header_decode(version, at, n, &header);

        assert_true(used == 0 || used == whole);
        assert_true(used <= (int)n);
        if (whole > 0 && (size_t)whole + header.remaining <= vector->n &&
            n < (size_t)whole + header.remaining) {
            assert_false(describe(version, vector->from_client, at, n, text, sizeof text));
            assert_string_equal(text, "incomplete");
        }
    }
}

static void a_packet_cut_at_any_byte_is_incomplete_and_not_read_beyond(void **state)
{
    (void)state;
    each_vector(run_cut);
}

/* Say that the body ends earlier than it does: whatever comes out, no byte behind is read. */
static void run_short_body(const struct vector *vector, unsigned version)
{
    static char text[TEXT_MAX];
    static uint8_t packet[PACKET_MAX + 8], again[2 * PACKET_MAX];
    struct noc_header header;
    int used = noc_header_decode(version, vector->packet, vector->n, &header);

    if (used <= 0 || (size_t)used + header.remaining > vector->n) {
        return;
    }
    for (uint32_t n = 0; n < header.remaining; n++) {
        uint8_t *end = packet;
        size_t size;

        *end++ = vector->packet[0];
        end = noc_varint_put(end, n);
        memcpy(end, vector->packet + used, n);
        size = (size_t)(end - packet) + n;
        for (unsigned from_client = 0; from_client < 2; from_client++) {
            const uint8_t *at = at_guard(packet, size);

            describe(version, from_client != 0, at, size, text, sizeof text);
            encode_again(version, from_client != 0, at, size, again, sizeof again);
        }
    }
}

static void a_body_cut_at_any_byte_is_not_read_beyond(void **state)
{
    (void)state;
    each_vector(run_short_body);
}

/* Returns true when the packet could be encoded again; then it must read the same. */
static bool check_again(unsigned version, bool from_client, const uint8_t *packet, size_t n)
{
    static char before[TEXT_MAX], after[TEXT_MAX];
    static uint8_t again[2 * PACKET_MAX];
    size_t size = encode_again(version, from_client, packet, n, again, sizeof again);

    if (size == 0) {
        return false;
    }
    assert_true(describe(version, from_client, packet, n, before, sizeof before));
    describe(version, from_client, at_guard(again, size), size, after, sizeof after);
    assert_string_equal(before, after);
    /* With just the room it takes, nothing is written behind it. */
    assert_int_equal(
        encode_again(version, from_client, packet, n, guard + GUARD_ROOM - size, size), size);
    assert_memory_equal(guard + GUARD_ROOM - size, again, size);
    /* And with any less room the encoder must say so, writing nothing behind it. */
    for (size_t room = size > 40 ? size - 40 : 0; room < size; room++) {
        const uint8_t *at = at_guard(again, room);

        assert_int_equal(
            encode_again(version, from_client, packet, n, guard + (at - guard), room), 0);
    }
    return true;
}

static unsigned again_count;

static void run_again(const struct vector *vector, unsigned version)
{
    again_count += check_again(version, vector->from_client, vector->packet, vector->n);
}

static void what_decodes_reads_the_same_when_encoded_again(void **state)
{
    (void)state;
    again_count = 0;
    each_vector(run_again);
    assert_true(again_count > 100);
}

static uint64_t seed;

static uint32_t random_below(uint32_t bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % bound;
}

static void mutate(uint8_t *packet, size_t *n)
{
    for (uint32_t changes = 1 + random_below(4); changes > 0 && *n > 1; changes--) {
        size_t at = random_below((uint32_t)*n);

        switch (random_below(6)) {
        case 0:
            packet[at] = (uint8_t)random_below(256);
            break;
        case 1:
            packet[at] ^= (uint8_t)(1u << random_below(8));
            break;
        case 2:
            packet[at] = (uint8_t)(packet[at] + random_below(3) - 1);
            break;
        case 3: /* one byte less, with its length put right */
            if (*n > 2 && packet[1] > 0 && packet[1] < 0x80) {
                at = at < 2 ? 2 : at;
                memmove(packet + at, packet + at + 1, *n - at - 1);
                packet[1]--;
                --*n;
            }
            break;
        case 4: /* one byte more */
            if (*n < PACKET_MAX && packet[1] < 0x7f) {
                at = at < 2 ? 2 : at;
                memmove(packet + at + 1, packet + at, *n - at);
                packet[at] = (uint8_t)random_below(256);
                packet[1]++;
                ++*n;
            }
            break;
        default:
            packet[at] = packet[random_below((uint32_t)*n)];
            break;
        }
    }
}

static void run_mutations(const struct vector *vector, unsigned version)
{
    static char text[TEXT_MAX];
    static uint8_t packet[PACKET_MAX + 1];

    for (unsigned round = 0; round < 200; round++) {
        size_t n = vector->n;
        bool from_client = random_below(4) != 0 ? vector->from_client : !vector->from_client;

        memcpy(packet, vector->packet, n);
        mutate(packet, &n);
        describe(version, from_client, at_guard(packet, n), n, text, sizeof text);
        check_again(version, from_client, packet, n);
    }
}

static void mutated_packets_do_no_harm(void **state)
{
    const char *given = getenv("NOC_SEED");

    (void)state;
    seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) << 16 | 1;
    print_message("# NOC_SEED=%llu\n", (unsigned long long)seed);
    each_vector(run_mutations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_yields_what_stands_beside_it),
        cmocka_unit_test(a_packet_cut_at_any_byte_is_incomplete_and_not_read_beyond),
        cmocka_unit_test(a_body_cut_at_any_byte_is_not_read_beyond),
        cmocka_unit_test(what_decodes_reads_the_same_when_encoded_again),
        cmocka_unit_test(mutated_packets_do_no_harm),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
