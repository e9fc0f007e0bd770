/* SPDX-License-Identifier: Apache-2.0 */
/* arena: memory that is freed whole. A session, a transaction, a snapshot owns one; no object in it outlives it.
 * It has a limit from birth: over the limit a take gives NULL, which is a result (452, a refused file), not a crash. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/text.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t used;                /* octets handed out, never above limit */
    size_t limit;
};

struct arena arena_new(size_t limit); /* allocates nothing yet */
void arena_done(struct arena *a);     /* released_by(arena_done); the arena is empty and usable again */

void *arena_take(struct arena *a, size_t size);                     /* zeroed, aligned to 16; NULL over the limit */
void *arena_take_array(struct arena *a, size_t count, size_t size); /* the same, the product checked */
/* A copy in the arena, followed by a NUL that does not count; false over the limit. */
must_check bool arena_copy(struct arena *a, struct text t, struct text *ret_copy);

#endif
