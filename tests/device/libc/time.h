/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_DEVICE_TIME_H
#define NOC_DEVICE_TIME_H

#define CLOCK_MONOTONIC 1

struct timespec {
    long long tv_sec, tv_nsec;
};

int clock_gettime(int clock, struct timespec *ret_time);

#endif
