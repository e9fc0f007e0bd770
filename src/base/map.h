/* SPDX-License-Identifier: Apache-2.0 */
/* map: from text to a pointer. Keys that a stranger chooses are hashed with a seed, so that he can't aim collisions.
 * Keys are copied; values are borrowed. It holds at most limit entries. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/text.h"

struct map_entry;

struct map {
    struct map_entry *entries;
    size_t capacity; /* a power of two, or zero */
    size_t count;
    size_t limit;
    uint64_t seed;
};

struct map map_new(size_t limit, uint64_t seed);
void map_done(struct map *m);
void map_clear(struct map *m);

void *map_find(const struct map *m, struct text key);          /* NULL when absent */
must_check bool map_put(struct map *m, struct text key, void *value); /* replaces; false when it is full; value not NULL */
void *map_remove(struct map *m, struct text key);              /* the value that was there, or NULL */
/* Walks all entries in no order: start with *place = 0; false at the end. Nothing may be put or removed meanwhile. */
bool map_next(const struct map *m, size_t *place, struct text *ret_key, void **ret_value);

uint64_t text_hash(struct text t, uint64_t seed);

#endif
