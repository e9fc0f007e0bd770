/* SPDX-License-Identifier: Apache-2.0 */
/* The errands of a message: handles by the message's hash, open addressing, several for one message. A place holds a handle + 1. */
#include "schedule/inside.h"

#include <string.h>

enum { FIRST_CAPACITY = 64 };

static uint32_t *places_of(const struct schedule *s)
{
    return (void *)s->index.bytes;
}

static uint32_t capacity_of(const struct schedule *s)
{
    return (uint32_t)(s->index.length / sizeof(uint32_t));
}

static uint32_t home_of(const struct schedule *s, uint64_t message)
{
    uint64_t h = (message ^ s->seed) * 0x9e3779b97f4a7c15;
    h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93;
    return (uint32_t)(h ^ (h >> 32)) & (capacity_of(s) - 1);
}

static void put(struct schedule *s, uint64_t message, uint32_t handle)
{
    uint32_t at = home_of(s, message);
    while (places_of(s)[at])
        at = (at + 1) & (capacity_of(s) - 1);
    places_of(s)[at] = handle + 1;
}

static void grow(struct schedule *s)
{
    struct buffer old = s->index;
    size_t capacity = old.length ? old.length * 2 : FIRST_CAPACITY * sizeof(uint32_t);
    s->index = buffer_new(old.limit);
    char *room = buffer_room(&s->index, capacity);
    must(room != NULL);
    memset(room, 0, capacity);
    buffer_grew(&s->index, capacity);
    for (size_t i = 0; i < old.length / sizeof(uint32_t); i++) {
        uint32_t place = ((const uint32_t *)(const void *)old.bytes)[i];
        if (place)
            put(s, errand_of(s, place - 1)->message, place - 1);
    }
    buffer_done(&old);
}

void index_put(struct schedule *s, uint64_t message, uint32_t handle)
{
    if ((uint64_t)s->errand_count * 5 >= (uint64_t)capacity_of(s) * 4)
        grow(s);
    put(s, message, handle);
}

void index_remove(struct schedule *s, uint64_t message, uint32_t handle)
{
    uint32_t mask = capacity_of(s) - 1, hole = home_of(s, message);
    while (places_of(s)[hole] != handle + 1) {
        must(places_of(s)[hole] != 0);
        hole = (hole + 1) & mask;
    }
    for (uint32_t at = (hole + 1) & mask; places_of(s)[at]; at = (at + 1) & mask) {
        uint32_t home = home_of(s, errand_of(s, places_of(s)[at] - 1)->message);
        if (((at - home) & mask) >= ((at - hole) & mask)) { /* its way from home leads over the hole */
            places_of(s)[hole] = places_of(s)[at];
            hole = at;
        }
    }
    places_of(s)[hole] = 0;
}

bool schedule_of_message(const struct schedule *s, uint64_t message, uint32_t *place, uint32_t *ret_handle)
{
    uint32_t capacity = capacity_of(s);
    if (capacity == 0)
        return false;
    uint32_t home = home_of(s, message);
    for (; *place < capacity; (*place)++) {
        uint32_t found = places_of(s)[(home + *place) & (capacity - 1)];
        if (!found)
            return false;
        if (errand_of(s, found - 1)->message != message)
            continue;
        (*place)++;
        *ret_handle = found - 1;
        return true;
    }
    return false;
}
