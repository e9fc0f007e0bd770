/* SPDX-License-Identifier: Apache-2.0 */
/* system: the only place that calls the kernel. */
#ifndef SYSTEM_SYSTEM_H
#define SYSTEM_SYSTEM_H

#include "system/channel.h"
#include "system/clock.h"
#include "system/file.h"
#include "system/loop.h"
#include "system/memory.h"
#include "system/process.h"
#include "system/random.h"
#include "system/sandbox.h"
#include "system/socket.h"
#include "system/terminal.h"
#include "system/thread.h"
#include "system/window.h"

#endif
