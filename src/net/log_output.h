/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_NET_LOG_OUTPUT_H
#define NOC_NET_LOG_OUTPUT_H
/*
 * Where log lines go: the destinations of one configuration. One thread at a
 * time (the log's lock sees to it). Lines for descriptors gather in a batch, which is written
 * at a flush; syslog and topic get each line at once.
 *
 * A file that cannot be written (disk full, folder gone) is closed and tried again
 * with later lines, once a second; that is told on stderr once until it works again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "net/log.h"
#include "net/log_line.h"
#include <noctule/slice.h>

struct noc_log_file {
    char *path; /* or NULL: no file */
    int fd;     /* or -1 */
    bool follow_symlinks;
    bool has_owner;
    uid_t owner;
    gid_t group;
    bool is_told;        /* its failure was told on stderr */
    bool is_mid_line;    /* what was written last does not end with a newline */
    uint64_t retry_ms;   /* when closed: not before this */
    uint64_t checked_ms; /* when we last looked whether it was deleted */
};

enum { NOC_LOG_BATCH_SIZE = 16384 };

struct noc_log_output {
    unsigned levels;
    unsigned destinations;
    struct noc_log_file file;
    char *syslog_ident; /* or NULL */
    int syslog_facility;
    noc_log_topic topic;
    void *topic_context;
    struct noc_log_stamp stamp;
    size_t batch_n;
    char batch[NOC_LOG_BATCH_SIZE];
};

/*
 * Returns 0 with *ret_output, NOC_ENOMEM or NOC_EINVAL. The file is opened; if
 * that fails it is told, *ret_file_err has errno, and it will be tried again.
 */
NOC_MUST_CHECK int noc_log_output_new(
    const struct noc_log_options *options, struct noc_log_output **ret_output, int *ret_file_err);

/* Closes the file. What was not flushed is lost. NULL is fine. */
void noc_log_output_free(struct noc_log_output *output);

/* One line. Returns the number of lines lost on the way (a batch may have to be written). */
NOC_MUST_CHECK size_t noc_log_output_line(
    struct noc_log_output *output, unsigned level, int64_t wall_ms, struct noc_slice text);

/* Write what has gathered. Returns the number of lines lost. */
NOC_MUST_CHECK size_t noc_log_output_flush(struct noc_log_output *output);

/* Close the file and open it again. */
void noc_log_output_reopen(struct noc_log_output *output);

/* Is the file, if there is one, open? */
bool noc_log_output_is_whole(const struct noc_log_output *output);

/* Make syslog speak in our name; the output must live as long as it does. */
void noc_log_output_enter(const struct noc_log_output *output);

#endif
