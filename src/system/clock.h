/* SPDX-License-Identifier: Apache-2.0 */
/* clock: the two clocks. Ages and deadlines by the monotonic one, display and what survives a restart by the wall. */
#ifndef SYSTEM_CLOCK_H
#define SYSTEM_CLOCK_H

#include "base/base.h"

uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void);
int64_t clock_wall_ms(void);

#endif
