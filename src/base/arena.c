/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_SIZE = 1024, ALIGNMENT = 16 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t size;
    size_t used;
    _Alignas(16) char bytes[];
};

struct arena arena_new(size_t limit)
{
    return (struct arena){.limit = limit};
}

void arena_done(struct arena *a)
{
    for (struct arena_chunk *chunk = a->chunks; chunk;) {
        struct arena_chunk *older = chunk->older;
        free(chunk);
        chunk = older;
    }
    *a = (struct arena){.limit = a->limit};
}

void *arena_take(struct arena *a, size_t size)
{
    if (size > a->limit || a->limit - a->used < size)
        return NULL;
    size_t rounded = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct arena_chunk *chunk = a->chunks;
    if (!chunk || chunk->size - chunk->used < rounded) {
        /* Chunks double, so that a big arena has few of them. */
        size_t wanted = larger(rounded, chunk ? smaller(chunk->size * 2, 1 << 20) : CHUNK_SIZE);
        chunk = malloc(sizeof *chunk + wanted);
        must(chunk != NULL);
        *chunk = (struct arena_chunk){.older = a->chunks, .size = wanted};
        a->chunks = chunk;
    }
    void *taken = chunk->bytes + chunk->used;
    chunk->used += rounded;
    a->used += size;
    memset(taken, 0, rounded);
    return taken;
}

void *arena_take_array(struct arena *a, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    return arena_take(a, total);
}

bool arena_copy(struct arena *a, struct text t, struct text *ret_copy)
{
    char *copy = arena_take(a, t.length + 1);
    if (!copy)
        return false;
    if (t.length)
        memcpy(copy, t.bytes, t.length);
    *ret_copy = (struct text){.bytes = copy, .length = t.length};
    return true;
}
