/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over the files named on the command line, and those in
 * the folders named there: to replay a corpus or a crash without libFuzzer.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static unsigned run_count;

static int run_file(const char *path, size_t n)
{
    /* Exactly as large as the input, so that the address sanitizer sees each byte too many. */
    uint8_t *bytes = malloc(n == 0 ? 1 : n);
    FILE *file = fopen(path, "rb");
    int result = 1;

    if (bytes == NULL || file == NULL || fread(bytes, 1, n, file) != n) {
        fprintf(stderr, "cannot read '%s': %s\n", path, strerror(errno));
        goto close_file;
    }
    LLVMFuzzerTestOneInput(bytes, n);
    run_count++;
    result = 0;

close_file:
    if (file != NULL) {
        fclose(file);
    }
    free(bytes);
    return result;
}

static int run_path(const char *path);

static int run_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int result = 0;

    if (folder == NULL) {
        fprintf(stderr, "cannot open '%s': %s\n", path, strerror(errno));
        return 1;
    }
    while ((entry = readdir(folder)) != NULL) {
        char inner[4096];

        if (entry->d_name[0] == '.') {
            continue;
        }
        if (snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) >= (int)sizeof inner) {
            fprintf(stderr, "path too long below '%s'\n", path);
            result = 1;
            continue;
        }
        result |= run_path(inner);
    }
    closedir(folder);
    return result;
}

static int run_path(const char *path)
{
    struct stat info;

    if (stat(path, &info) != 0) {
        fprintf(stderr, "cannot open '%s': %s\n", path, strerror(errno));
        return 1;
    }
    return S_ISDIR(info.st_mode) ? run_folder(path) : run_file(path, (size_t)info.st_size);
}

int main(int argc, char **argv)
{
    int result = 0;

    for (int i = 1; i < argc; i++) {
        result |= run_path(argv[i]);
    }
    printf("%u inputs\n", run_count);
    return result;
}
