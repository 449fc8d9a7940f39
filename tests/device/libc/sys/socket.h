/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_DEVICE_SOCKET_H
#define NOC_DEVICE_SOCKET_H

#include <stddef.h>

#define AF_INET      2
#define SOCK_STREAM  1
#define SHUT_WR      1
#define MSG_NOSIGNAL 0x4000

struct sockaddr;

int socket(int domain, int type, int protocol);
int connect(int file, const struct sockaddr *address, unsigned n);
int setsockopt(int file, int level, int option, const void *at, unsigned n);
int shutdown(int file, int how);
long send(int file, const void *at, size_t n, int flags);

#endif
