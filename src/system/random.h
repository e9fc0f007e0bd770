/* SPDX-License-Identifier: Apache-2.0 */
/* random: octets from the kernel that nobody can foretell. */
#ifndef SYSTEM_RANDOM_H
#define SYSTEM_RANDOM_H

#include "base/base.h"

void random_fill(void *bytes, size_t count);
uint64_t random_number(void);

#endif
