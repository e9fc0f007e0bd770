/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/inside.h"

#include "system/file.h"

#include <fcntl.h>
#include <stdlib.h>

static const struct segment no_segment = {.state = SEGMENT_NONE, .file = -1};

struct segment *segment_of(struct spool *s, uint32_t slot)
{
    must(slot < FORMAT_SLOTS);
    if (slot >= s->slot_count) {
        uint32_t count = slot + 1 > s->slot_count * 2 ? slot + 1 : s->slot_count * 2;
        s->segments = realloc(s->segments, count * sizeof s->segments[0]);
        must(s->segments != NULL);
        while (s->slot_count < count)
            s->segments[s->slot_count++] = no_segment;
    }
    return &s->segments[slot];
}

static void close_longest_unused(struct spool *s)
{
    struct segment *oldest = NULL;
    for (uint32_t slot = 0; slot < s->slot_count; slot++) {
        struct segment *g = &s->segments[slot];
        if (g->file >= 0 && g->out == 0 && g->state != SEGMENT_BUSY && (!oldest || g->looked_at < oldest->looked_at))
            oldest = g;
    }
    if (!oldest)
        return;
    file_close(&oldest->file);
    s->open_count--;
}

int segment_open(struct spool *s, uint32_t slot, int *ret_file)
{
    struct segment *g = segment_of(s, slot);
    g->looked_at = ++s->looks;
    if (g->file < 0) {
        if (s->open_count >= SPOOL_OPEN_SEGMENTS)
            close_longest_unused(s);
        char name[32];
        int error = file_open(s->folder, spool_segment_name(name, "segment", slot), O_RDWR | O_NONBLOCK, 0, &g->file);
        if (error)
            return error;
        s->open_count++;
    }
    *ret_file = g->file;
    return 0;
}

void segment_forget(struct spool *s, uint32_t slot)
{
    struct segment *g = segment_of(s, slot);
    if (g->file >= 0)
        s->open_count--;
    file_close(&g->file);
    *g = no_segment;
}

static uint32_t order_at(const struct spool *s, size_t i)
{
    return ((const uint32_t *)(const void *)s->order.bytes)[i];
}

static size_t order_count(const struct spool *s)
{
    return s->order.length / sizeof(uint32_t);
}

uint32_t segment_active(const struct spool *s)
{
    return order_count(s) ? order_at(s, order_count(s) - 1) : FORMAT_NOWHERE;
}

uint32_t segment_oldest(const struct spool *s)
{
    return order_count(s) ? order_at(s, 0) : FORMAT_NOWHERE;
}

uint32_t segment_next_ready(const struct spool *s)
{
    uint32_t found = FORMAT_NOWHERE;
    for (uint32_t slot = 0; slot < s->slot_count; slot++)
        if (s->segments[slot].state == SEGMENT_READY &&
            (found == FORMAT_NOWHERE || s->segments[slot].generation < s->segments[found].generation))
            found = slot;
    return found;
}

void segment_use(struct spool *s, uint32_t slot)
{
    struct segment *g = segment_of(s, slot);
    must(g->state == SEGMENT_READY);
    g->state = SEGMENT_USED;
    g->end = FORMAT_BLOCK;
    g->hold_until = 0;
    s->ready_count--;
    s->used_count++;
    must(buffer_append(&s->order, text_of((const char *)&slot, sizeof slot)));
    if (order_count(s) == 1)
        s->oldest = g->generation;
}

void segment_retire(struct spool *s)
{
    must(order_count(s) > 1);
    struct segment *g = segment_of(s, order_at(s, 0));
    must(g->live == 0);
    g->state = SEGMENT_FREE;
    s->used_count--;
    buffer_drop_front(&s->order, sizeof(uint32_t));
    s->oldest = segment_of(s, order_at(s, 0))->generation;
}

uint32_t segment_free_slot(struct spool *s)
{
    for (uint32_t slot = 0; slot < s->slot_count; slot++)
        if (s->segments[slot].state == SEGMENT_NONE)
            return slot;
    return s->slot_count < FORMAT_SLOTS ? s->slot_count : FORMAT_NOWHERE;
}

void segment_count_live(struct spool *s, const struct table_entry *entry, bool is_more)
{
    if (entry->slot == TABLE_COLLECTING)
        return; /* counted when the group is sealed */
    struct segment *g = segment_of(s, entry->slot);
    must(is_more || (g->live > 0 && g->live_octets >= entry->octets));
    g->live += is_more ? 1U : UINT32_MAX;
    g->live_octets = is_more ? g->live_octets + entry->octets : g->live_octets - entry->octets;
    s->live_octets = is_more ? s->live_octets + entry->octets : s->live_octets - entry->octets;
}

int segment_scan(struct spool *s, uint32_t slot, struct scan *ret_scan)
{
    int file;
    struct file_facts facts;
    int error = segment_open(s, slot, &file);
    if (!error)
        error = file_facts(file, &facts);
    if (error)
        return error;
    const struct segment *g = segment_of(s, slot);
    struct format_segment head = {.generation = g->generation, .secret = g->secret, .size = g->size};
    *ret_scan = scan_new(file, &head, facts.size);
    return 0;
}
