/* SPDX-License-Identifier: Apache-2.0 */
/* The log is a ring: the oldest segment goes first. When nothing waits in it, it is free; when too much lies about behind a few that
 * wait in it, those are copied forward, each with all that was journalled about it. */
#include "spool/inside.h"

#include "system/file.h"

enum { STEP_RECORDS = 512, STEP_OCTETS = 1024 * 1024 };

static bool is_retirable(struct spool *s)
{
    uint32_t slot = segment_oldest(s);
    if (s->used_count < 2 || slot == FORMAT_NOWHERE)
        return false;
    const struct segment *g = segment_of(s, slot);
    return g->live == 0 && g->out == 0 && g->hold_until <= s->durable;
}

static bool has_too_much_garbage(const struct spool *s)
{
    uint64_t live = (s->live_octets + s->options.segment_size - 1) / s->options.segment_size;
    uint64_t garbage = s->used_count > live + 1 ? s->used_count - live - 1 : 0;
    if (s->is_full || s->chore_failed)
        return garbage > 0; /* the disk is short: every segment counts */
    return garbage > s->options.garbage_segments && garbage > live;
}

/* Its body, in the buffer for bodies. */
static enum spool_result fetch_body(struct spool *s, const struct table_entry *entry, const struct format_record *record)
{
    buffer_clear(&s->bodies);
    if (record->is_large || record->body_length == 0)
        return SPOOL_OK;
    char *room = buffer_room(&s->bodies, (size_t)record->body_length);
    if (!room)
        return SPOOL_TOO_LARGE; /* from a time of other options: it stays where it is */
    size_t got;
    enum spool_result result = read_body(s, entry, record, 0, room, (size_t)record->body_length, &got);
    if (result == SPOOL_OK)
        buffer_grew(&s->bodies, got);
    return result;
}

static enum spool_result fetch_states(struct spool *s, const struct table_entry *entry, const struct format_record *record, struct buffer *states)
{
    struct arena arena released_by(arena_done) = arena_new(SIZE_MAX / 2);
    struct spool_message message;
    enum spool_result result = read_updates(s, entry, record->states, &arena, &message);
    if (result != SPOOL_OK)
        return result;
    for (size_t i = 0; i < message.update_count; i++)
        if (!format_state_append(states, &message.updates[i]))
            return SPOOL_TOO_LARGE;
    return SPOOL_OK;
}

/* Copies one waiting message forward. A damaged body keeps its checksum, so that it is still known to be damaged. */
static enum spool_result move_message(struct spool *s, const struct format_record *record)
{
    struct table_entry *entry = table_find(&s->table, record->id);
    struct buffer states released_by(buffer_done) = buffer_new(FORMAT_RECORDS_LIMIT);
    enum spool_result result = fetch_body(s, entry, record);
    if (result == SPOOL_OK)
        result = fetch_states(s, entry, record, &states);
    if (result == SPOOL_OK)
        result = group_begin(s);
    if (result != SPOOL_OK)
        return result;
    struct spool_group *group = s->collecting;
    struct format_record moved = *record;
    moved.type = FORMAT_MOVED;
    moved.states = states.length ? buffer_text(&states) : TEXT_NONE;
    moved.body_offset = (uint32_t)group->bodies_length;
    uint32_t at;
    result = group_append(s, &moved, true, true, &at);
    if (result != SPOOL_OK)
        return result;
    group_put_body(group, moved.body_offset, buffer_text(&s->bodies));
    segment_count_live(s, entry, false);
    segment_of(s, entry->slot)->hold_until = s->sequence + 1;
    group_set_entry(entry, &moved, at);
    s->moved++;
    return SPOOL_OK;
}

static bool stands_here(const struct spool *s, const struct scan_item *item, uint32_t slot)
{
    if (item->found != SCAN_RECORD || (item->record.type != FORMAT_MESSAGE && item->record.type != FORMAT_MOVED))
        return false;
    const struct table_entry *entry = table_find(&s->table, item->record.id);
    return entry && entry->slot == slot && entry->offset == item->offset;
}

/* Walks on in the oldest segment. True: there is more to do once the group has been finished. */
static bool walk_oldest(struct spool *s, struct scan *scan, uint32_t slot)
{
    size_t records = 0, octets = 0;
    struct scan_item item;
    scan_from(scan, s->tidy_offset);
    for (;;) {
        enum scan_found found = scan_next(scan, &item);
        if (found == SCAN_END) {
            s->tidy_offset = UINT64_MAX; /* what could not be moved stays until it is done or put aside */
            return true;
        }
        if (found == SCAN_GROUP) {
            s->tidy_offset = item.offset;
            if (records >= STEP_RECORDS || octets >= STEP_OCTETS)
                return true;
        }
        records++;
        if (!stands_here(s, &item, slot))
            continue;
        enum spool_result result = move_message(s, &item.record);
        if (result == SPOOL_LATER)
            return true; /* the group is walked again: what was moved no longer stands here */
        if (result == SPOOL_NO_SPACE || result == SPOOL_BROKEN)
            return false;
        octets += item.length + s->bodies.length;
    }
}

static bool move_some(struct spool *s)
{
    uint32_t slot = segment_oldest(s);
    struct segment *g = segment_of(s, slot);
    if (s->tidy_generation != g->generation) {
        s->tidy_generation = g->generation;
        s->tidy_offset = FORMAT_BLOCK;
    }
    if (s->tidy_offset == UINT64_MAX || s->used_count < 2)
        return false;
    struct scan scan released_by(scan_done) = {.file = -1};
    if (segment_scan(s, slot, &scan) != 0)
        return false;
    g->out++; /* its file stays open while other segments are read */
    bool has_more = walk_oldest(s, &scan, slot);
    segment_of(s, slot)->out--;
    return has_more;
}

/* The oldest segment only waits for a sync that nobody else asks for: a group with a record that says nothing, but is synced. */
static void ask_for_sync(struct spool *s)
{
    uint32_t slot = segment_oldest(s);
    bool is_wanted = s->is_full || s->chore_failed || s->used_count > s->options.garbage_segments;
    if (!is_wanted || s->used_count < 2 || spool_has_collected(s))
        return;
    const struct segment *g = segment_of(s, slot);
    if (g->live > 0 || g->hold_until <= s->durable || g->hold_until > s->finished)
        return;
    uint32_t at;
    ignored(group_append(s, &(struct format_record){.type = FORMAT_STRUCK}, true, true, &at)); /* it is asked for again */
}

bool spool_tidy(struct spool *s)
{
    spool_look_at_disk(s);
    if (s->is_broken)
        return false;
    while (is_retirable(s))
        segment_retire(s);
    ask_for_sync(s);
    return has_too_much_garbage(s) && move_some(s);
}
