/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/table.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 16 };

struct table table_new(uint64_t seed)
{
    return (struct table){.seed = seed};
}

void table_done(struct table *t)
{
    for (size_t i = 0; i < TABLE_PARTS; i++)
        free(t->parts[i].entries);
    *t = (struct table){.seed = t->seed};
}

static uint64_t hash_of(const struct table *t, uint64_t id)
{
    uint64_t h = (id ^ t->seed) * 0x9e3779b97f4a7c15;
    h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93;
    return h ^ (h >> 32);
}

static uint32_t home_of(uint64_t hash, const struct table_part *part)
{
    return (uint32_t)(hash / TABLE_PARTS) & (part->capacity - 1);
}

static struct table_part *part_of(const struct table *t, uint64_t hash)
{
    return (struct table_part *)&t->parts[hash % TABLE_PARTS];
}

struct table_entry *table_find(const struct table *t, uint64_t id)
{
    uint64_t hash = hash_of(t, id);
    const struct table_part *part = part_of(t, hash);
    if (part->count == 0 || id == 0)
        return NULL;
    for (uint32_t at = home_of(hash, part); part->entries[at].id; at = (at + 1) & (part->capacity - 1))
        if (part->entries[at].id == id)
            return &part->entries[at];
    return NULL;
}

static struct table_entry *place_for(const struct table *t, struct table_part *part, uint64_t id)
{
    uint32_t at = home_of(hash_of(t, id), part);
    while (part->entries[at].id)
        at = (at + 1) & (part->capacity - 1);
    return &part->entries[at];
}

static void grow(const struct table *t, struct table_part *part)
{
    struct table_part old = *part;
    must(old.capacity <= UINT32_MAX / 4);
    part->capacity = old.capacity ? old.capacity * 2 : FIRST_CAPACITY;
    part->entries = calloc(part->capacity, sizeof part->entries[0]);
    must(part->entries != NULL);
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.entries[i].id)
            *place_for(t, part, old.entries[i].id) = old.entries[i];
    free(old.entries);
}

struct table_entry *table_put(struct table *t, uint64_t id)
{
    must(id != 0);
    struct table_part *part = part_of(t, hash_of(t, id));
    if ((uint64_t)part->count * 5 >= (uint64_t)part->capacity * 4)
        grow(t, part);
    struct table_entry *entry = place_for(t, part, id);
    *entry = (struct table_entry){.id = id, .update_slot = UINT32_MAX};
    part->count++;
    t->count++;
    return entry;
}

void table_remove(struct table *t, uint64_t id)
{
    struct table_entry *entry = table_find(t, id);
    must(entry != NULL);
    struct table_part *part = part_of(t, hash_of(t, id));
    uint32_t mask = part->capacity - 1, hole = (uint32_t)(entry - part->entries);
    for (uint32_t at = (hole + 1) & mask; part->entries[at].id; at = (at + 1) & mask) {
        uint32_t home = home_of(hash_of(t, part->entries[at].id), part);
        if (((at - home) & mask) >= ((at - hole) & mask)) { /* its way from home leads over the hole */
            part->entries[hole] = part->entries[at];
            hole = at;
        }
    }
    part->entries[hole] = (struct table_entry){.id = 0};
    part->count--;
    t->count--;
}

bool table_next(const struct table *t, uint64_t *cursor, const struct table_entry **ret_entry)
{
    uint64_t part = *cursor >> 32, at = *cursor & UINT32_MAX;
    for (; part < TABLE_PARTS; part++, at = 0) {
        for (; at < t->parts[part].capacity; at++) {
            if (!t->parts[part].entries[at].id)
                continue;
            *ret_entry = &t->parts[part].entries[at];
            *cursor = part << 32 | (at + 1);
            return true;
        }
    }
    *cursor = part << 32;
    return false;
}
