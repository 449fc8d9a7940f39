/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_DEVICE_POLL_H
#define NOC_DEVICE_POLL_H

#define POLLIN 1

struct pollfd {
    int fd;
    short events, revents;
};

/* A negative timeout: for ever. */
int poll(struct pollfd *files, unsigned long n, int timeout_ms);

#endif
