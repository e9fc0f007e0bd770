/* SPDX-License-Identifier: Apache-2.0 */
/* check: the few words that every file uses. must() is for our own mistakes only, never for a stranger's input. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define must_check __attribute__((warn_unused_result))
#define released_by(function) __attribute__((cleanup(function)))
#define not_used __attribute__((unused)) /* not "unused": that word stands in the headers of OpenSSL */
#define printf_like(which, first) __attribute__((format(printf, which, first)))

/* A result is ignored on purpose; the reason stands beside the call. */
#define ignored(call)                                                                                                  \
    do {                                                                                                               \
        __typeof__(call) ignored_result not_used = (call);                                                               \
    } while (0)

/* Aborts when our own code is wrong. Strangers' input and the world's failures are results, not this. */
#define must(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))
_Noreturn void check_failed(const char *condition, const char *file, int line);

#define length_of(array) (sizeof(array) / sizeof((array)[0]))

static inline size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
