/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Open addressing with linear probing; a removal closes the gap behind it, so that there are no tombstones. */
struct map_entry {
    char *key; /* NULL: free */
    size_t key_length;
    uint64_t hash;
    void *value;
};

uint64_t text_hash(struct text t, uint64_t seed)
{
    return XXH3_64bits_withSeed(t.bytes, t.length, seed);
}

struct map map_new(size_t limit, uint64_t seed)
{
    return (struct map){.limit = limit, .seed = seed};
}

void map_clear(struct map *m)
{
    for (size_t i = 0; i < m->capacity; i++)
        free(m->entries[i].key);
    free(m->entries);
    m->entries = NULL;
    m->capacity = 0;
    m->count = 0;
}

void map_done(struct map *m)
{
    map_clear(m);
}

static size_t place_of(const struct map *m, struct text key, uint64_t hash)
{
    size_t place = (size_t)hash & (m->capacity - 1);
    while (m->entries[place].key) {
        const struct map_entry *entry = &m->entries[place];
        if (entry->hash == hash && text_equals(text_of(entry->key, entry->key_length), key))
            return place;
        place = (place + 1) & (m->capacity - 1);
    }
    return place;
}

void *map_find(const struct map *m, struct text key)
{
    if (m->count == 0)
        return NULL;
    return m->entries[place_of(m, key, text_hash(key, m->seed))].value;
}

static void map_grow(struct map *m)
{
    struct map bigger = {.capacity = m->capacity ? m->capacity * 2 : 16, .limit = m->limit, .seed = m->seed};
    bigger.entries = calloc(bigger.capacity, sizeof *bigger.entries);
    must(bigger.entries != NULL);
    for (size_t i = 0; i < m->capacity; i++) {
        const struct map_entry *entry = &m->entries[i];
        if (entry->key)
            bigger.entries[place_of(&bigger, text_of(entry->key, entry->key_length), entry->hash)] = *entry;
    }
    bigger.count = m->count;
    free(m->entries);
    *m = bigger;
}

bool map_put(struct map *m, struct text key, void *value)
{
    must(value != NULL);
    if ((m->count + 1) * 4 > m->capacity * 3)
        map_grow(m);
    uint64_t hash = text_hash(key, m->seed);
    struct map_entry *entry = &m->entries[place_of(m, key, hash)];
    if (entry->key) {
        entry->value = value;
        return true;
    }
    if (m->count >= m->limit)
        return false;
    char *copy = malloc(key.length + 1);
    must(copy != NULL);
    if (key.length)
        memcpy(copy, key.bytes, key.length);
    *entry = (struct map_entry){.key = copy, .key_length = key.length, .hash = hash, .value = value};
    m->count++;
    return true;
}

void *map_remove(struct map *m, struct text key)
{
    if (m->count == 0)
        return NULL;
    size_t hole = place_of(m, key, text_hash(key, m->seed));
    void *value = m->entries[hole].value;
    if (!m->entries[hole].key)
        return NULL;
    free(m->entries[hole].key);
    m->entries[hole] = (struct map_entry){.key = NULL};
    m->count--;
    size_t mask = m->capacity - 1;
    for (size_t next = (hole + 1) & mask; m->entries[next].key; next = (next + 1) & mask) {
        size_t home = (size_t)m->entries[next].hash & mask;
        /* An entry moves into the hole unless its home lies between the hole and itself. */
        if (((next - home) & mask) < ((next - hole) & mask))
            continue;
        m->entries[hole] = m->entries[next];
        m->entries[next] = (struct map_entry){.key = NULL};
        hole = next;
    }
    return value;
}

bool map_next(const struct map *m, size_t *place, struct text *ret_key, void **ret_value)
{
    for (; *place < m->capacity; (*place)++) {
        const struct map_entry *entry = &m->entries[*place];
        if (!entry->key)
            continue;
        *ret_key = text_of(entry->key, entry->key_length);
        *ret_value = entry->value;
        (*place)++;
        return true;
    }
    return false;
}
