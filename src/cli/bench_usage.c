/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench.h"

bool noc_bench_usage_parse(const char *stat, uint64_t *ret_ticks)
{
    const char *at = strrchr(stat, ')');
    char *end = NULL;

    if (at == NULL) {
        return false;
    }
    at++;
    for (unsigned field = 3; field < 14; field++) {
        at += strspn(at, " ");
        at += strcspn(at, " ");
    }
    uint64_t user = strtoull(at, &end, 10);

    if (end == at) {
        return false;
    }
    at = end;
    uint64_t kernel = strtoull(at, &end, 10);

    if (end == at) {
        return false;
    }
    *ret_ticks = user + kernel;
    return true;
}

/* Read a small file of /proc as text; false when there is none. */
static bool read_proc(pid_t pid, const char *leaf, char *text, size_t room)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, leaf);
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        return false;
    }
    size_t n = fread(text, 1, room - 1, file);

    text[n] = '\0';
    fclose(file);
    return n > 0;
}

struct noc_bench_usage noc_bench_usage_read(pid_t pid)
{
    struct noc_bench_usage usage = {0};
    char text[1024];
    uint64_t ticks;

    if (pid <= 0) {
        return usage;
    }
    if (read_proc(pid, "stat", text, sizeof(text)) && noc_bench_usage_parse(text, &ticks)) {
        usage.cpu_seconds = (double)ticks / (double)sysconf(_SC_CLK_TCK);
    }
    if (read_proc(pid, "io", text, sizeof(text))) {
        const char *written = strstr(text, "\nwrite_bytes: ");

        usage.disk_bytes = written == NULL ? 0 : strtoull(written + 14, NULL, 10);
    }
    if (read_proc(pid, "statm", text, sizeof(text))) {
        char *end = NULL;

        strtoull(text, &end, 10);
        usage.rss_bytes = strtoull(end, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
    }
    return usage;
}
