/* SPDX-License-Identifier: Apache-2.0 */
/* base: octets, text, buffers with a limit from birth, arenas, a seeded map, calendar time. Pure: no system call, no clock. */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/check.h"
#include "base/map.h"
#include "base/moment.h"
#include "base/text.h"

#endif
