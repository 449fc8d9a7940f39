/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOC_DEVICE_TCP_H
#define NOC_DEVICE_TCP_H

#define TCP_NODELAY 1

#endif
