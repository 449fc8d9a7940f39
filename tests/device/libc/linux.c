/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls of Linux. What they are told is laid out alike on all three targets, and so are
 * the numbers of the newer ones; the older ones have their own on each.
 */
#include <stdint.h>

#include "netinet/in.h"
#include "poll.h"
#include "sys/socket.h"
#include "time.h"
#include "unistd.h"

#if defined(__riscv)
enum { EXIT = 93, CLOSE = 57, READ = 63, WRITE = 64 };
enum { SOCKET = 198, CONNECT = 203, SETSOCKOPT = 208, SHUTDOWN = 210, SENDTO = 206 };
#elif defined(__XTENSA__)
enum { EXIT = 118, CLOSE = 9, READ = 12, WRITE = 13 };
enum { SOCKET = 96, CONNECT = 101, SETSOCKOPT = 97, SHUTDOWN = 99, SENDTO = 110 };
#else
enum { EXIT = 1, CLOSE = 6, READ = 3, WRITE = 4 };
enum { SOCKET = 281, CONNECT = 283, SETSOCKOPT = 294, SHUTDOWN = 293, SENDTO = 290 };
#endif
enum { CLOCK_GETTIME64 = 403, PPOLL_TIME64 = 414 };

/* In the assembler file of each target. A sixth word that a call is told is zero. */
long system_call(long number, long a, long b, long c, long d, long e);

/* An address, as a system call is told it. */
static long word(const void *at)
{
    return (long)(intptr_t)at;
}

_Noreturn void _exit(int status)
{
    for (;;) {
        system_call(EXIT, status, 0, 0, 0, 0);
    }
}

long read(int file, void *at, size_t n)
{
    return system_call(READ, file, word(at), (long)n, 0, 0);
}

long write(int file, const void *at, size_t n)
{
    return system_call(WRITE, file, word(at), (long)n, 0, 0);
}

int close(int file)
{
    return (int)system_call(CLOSE, file, 0, 0, 0, 0);
}

int socket(int domain, int type, int protocol)
{
    return (int)system_call(SOCKET, domain, type, protocol, 0, 0);
}

int connect(int file, const struct sockaddr *address, unsigned n)
{
    return (int)system_call(CONNECT, file, word(address), (long)n, 0, 0);
}

int setsockopt(int file, int level, int option, const void *at, unsigned n)
{
    return (int)system_call(SETSOCKOPT, file, level, option, word(at), (long)n);
}

int shutdown(int file, int how)
{
    return (int)system_call(SHUTDOWN, file, how, 0, 0, 0);
}

long send(int file, const void *at, size_t n, int flags)
{
    return system_call(SENDTO, file, word(at), (long)n, flags, 0);
}

int poll(struct pollfd *files, unsigned long n, int timeout_ms)
{
    unsigned ms = (unsigned)timeout_ms;
    struct timespec timeout = {ms / 1000, ms % 1000 * 1000000};

    return (int)system_call(
        PPOLL_TIME64, word(files), (long)n, timeout_ms < 0 ? 0 : word(&timeout), 0, 0);
}

int clock_gettime(int clock, struct timespec *ret_time)
{
    return (int)system_call(CLOCK_GETTIME64, clock, word(ret_time), 0, 0, 0);
}
