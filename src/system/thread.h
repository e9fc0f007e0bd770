/* SPDX-License-Identifier: Apache-2.0 */
/* thread: a thread with a small stack. */
#ifndef SYSTEM_THREAD_H
#define SYSTEM_THREAD_H

#include "base/base.h"

enum { THREAD_STACK = 256 * 1024 };

/* Detached; all signals are blocked in it. 0 or errno. */
must_check int thread_start(void (*function)(void *context), void *context);

#endif
