/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIFI_H
#define WIFI_H
/* The Wi-Fi station of the example. */

/* Bring Wi-Fi up; it then reconnects by itself. Aborts if the hardware or the settings do not work. */
void wifi_start(void);

/* Wait until there is an address. */
void wifi_wait(void);

#endif
