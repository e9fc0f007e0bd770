/* SPDX-License-Identifier: Apache-2.0 */
/* The end of the log, made safe at the open. What the process before wrote without a sync that succeeded may be half there: it is synced,
 * dropped from the page cache (after a failed sync the cache tells of octets that the disk does not have), and read again, whole. What is torn is
 * struck, so that it can't come alive once later groups call it durable. */
#include "spool/inside.h"

#include "system/file.h"

#include <errno.h>
#include <stdlib.h>

enum { TAIL_SEGMENTS = 2 }; /* a new segment's first group syncs the segment before */

struct tail_group {
    uint64_t sequence, offset;
    uint32_t slot;
};

struct tail {
    struct buffer groups; /* of struct tail_group, those that may be torn */
    uint64_t sequence, durable;
};

static int compare_generations(const void *a, const void *b, void *context)
{
    const struct spool *s = context;
    uint64_t first = s->segments[*(const uint32_t *)a].generation, second = s->segments[*(const uint32_t *)b].generation;
    return first < second ? -1 : first > second;
}

/* Is there any group in it? One that can't be read counts as used: nothing is written over it. */
static bool is_used(struct spool *s, uint32_t slot)
{
    struct scan scan released_by(scan_done) = {.file = -1};
    if (segment_scan(s, slot, &scan) != 0)
        return true;
    struct scan_item item;
    return scan_next(&scan, &item) != SCAN_END;
}

static void sort_segments(struct spool *s)
{
    for (uint32_t slot = 0; slot < s->slot_count; slot++) {
        struct segment *g = &s->segments[slot];
        if (g->state != SEGMENT_READY)
            continue;
        if (g->generation < s->oldest)
            g->state = SEGMENT_FREE;
        else if (is_used(s, slot)) {
            g->state = SEGMENT_USED;
            g->is_closed = true;
            s->used_count++;
            must(buffer_append(&s->order, text_of((const char *)&slot, sizeof slot)));
        } else if (g->is_cut || g->size != s->options.segment_size)
            g->state = SEGMENT_FREE;
        else
            s->ready_count++;
    }
    if (s->used_count > 1)
        qsort_r(s->order.bytes, s->used_count, sizeof(uint32_t), compare_generations, s);
}

static void keep_torn_only(struct tail *tail)
{
    const struct tail_group *all = (const void *)tail->groups.bytes;
    size_t count = tail->groups.length / sizeof *all, settled = 0;
    while (settled < count && all[settled].sequence <= tail->durable)
        settled++;
    buffer_drop_front(&tail->groups, settled * sizeof *all);
}

static void note_group(struct spool *s, struct tail *tail, uint32_t slot, const struct scan_item *item)
{
    tail->sequence = item->has_head ? item->head.sequence : tail->sequence + 1;
    if (item->has_head && item->head.durable > tail->durable)
        tail->durable = item->head.durable;
    if (item->has_head && item->head.oldest > s->oldest)
        s->oldest = item->head.oldest;
    struct tail_group group = {.sequence = tail->sequence, .offset = item->offset, .slot = slot};
    must(buffer_append(&tail->groups, text_of((const char *)&group, sizeof group)));
    if (tail->groups.length > 1024 * sizeof group)
        keep_torn_only(tail);
}

static int read_tail_segment(struct spool *s, struct tail *tail, uint32_t slot)
{
    int file;
    int error = segment_open(s, slot, &file);
    if (!error)
        error = file_sync_data(file);
    if (!error)
        error = file_drop_cache(file);
    if (error)
        return error;
    struct scan scan released_by(scan_done) = {.file = -1};
    error = segment_scan(s, slot, &scan);
    if (error)
        return error;
    struct segment *g = segment_of(s, slot);
    bool is_readable = true;
    struct scan_item item;
    while (scan_next(&scan, &item) != SCAN_END) {
        if (item.found == SCAN_GROUP)
            note_group(s, tail, slot, &item);
        if (item.found == SCAN_UNREADABLE)
            is_readable = false;
    }
    g->end = scan.end;
    bool is_last = slot == segment_active(s);
    g->is_closed = !is_last || g->is_cut || !is_readable || g->size != s->options.segment_size;
    return 0;
}

struct torn {
    struct spool *s;
    int file;
    struct segment *segment;
    struct scan *scan;
    uint64_t group;
    bool has_struck;
    int error;
};

static void strike(struct torn *t, uint64_t id, uint64_t offset, uint64_t length)
{
    if (length < FORMAT_SHORT_HEAD || t->error)
        return;
    char head[FORMAT_SHORT_HEAD];
    struct format_place place = {.generation = t->segment->generation, .secret = t->segment->secret, .offset = offset};
    format_struck_write(head, id, (uint32_t)length, (uint32_t)(t->group / FORMAT_BLOCK), &place);
    t->error = file_write_all_at(t->file, text_of(head, sizeof head), offset);
    t->has_struck = true;
}

static bool is_message(const struct format_record *r)
{
    return r->type == FORMAT_MESSAGE || r->type == FORMAT_MOVED;
}

static bool is_whole_record(struct torn *t, const struct scan_item *item)
{
    int error = 0;
    return !is_message(&item->record) || body_is_whole(t->s, t->file, &item->record, &error);
}

static bool is_whole_group(struct torn *t)
{
    struct scan_item item;
    scan_from(t->scan, t->group);
    if (scan_next(t->scan, &item) != SCAN_GROUP || item.offset != t->group || !item.has_head)
        return false;
    uint32_t count = item.head.count;
    while (t->scan->at && count && scan_next(t->scan, &item) == SCAN_RECORD && is_whole_record(t, &item))
        count--;
    return count == 0;
}

static void strike_record(struct torn *t, const struct scan_item *item, struct text name)
{
    const struct format_record *r = &item->record;
    if (r->type == FORMAT_STRUCK || (is_message(r) && is_whole_record(t, item)))
        return;
    if (is_message(r)) {
        struct spool_problem problem = {.kind = SPOOL_PROBLEM_UNFINISHED, .name = name, .offset = item->offset, .id = r->id};
        aside_copy(t->s, t->file, &problem, item->offset, item->length, r->body_offset, r->is_large ? 0 : r->body_length);
    }
    strike(t, r->id, item->offset, item->length);
}

static void strike_torn(struct torn *t, struct text name)
{
    struct scan_item item;
    scan_from(t->scan, t->group);
    if (scan_next(t->scan, &item) != SCAN_GROUP || item.offset != t->group)
        return;
    for (;;) {
        enum scan_found found = scan_next(t->scan, &item);
        if (found == SCAN_GROUP || found == SCAN_END || item.offset < t->group)
            return;
        if (found == SCAN_RECORD)
            strike_record(t, &item, name);
        if (found == SCAN_DAMAGE) {
            struct spool_problem problem = {.kind = SPOOL_PROBLEM_UNFINISHED, .name = name, .offset = item.offset};
            aside_copy(t->s, t->file, &problem, item.offset, item.length, 0, 0);
            strike(t, 0, item.offset, item.length);
        }
    }
}

static int settle_group(struct spool *s, const struct tail_group *group)
{
    struct scan scan released_by(scan_done) = {.file = -1};
    int error = segment_scan(s, group->slot, &scan);
    if (error)
        return error;
    char name[32];
    struct torn torn = {.s = s, .file = scan.file, .segment = segment_of(s, group->slot), .scan = &scan, .group = group->offset};
    if (is_whole_group(&torn))
        return 0;
    strike_torn(&torn, spool_segment_name(name, "segment", group->slot));
    if (!torn.error && torn.has_struck)
        torn.error = file_sync_data(torn.file);
    return torn.error;
}

static int settle(struct spool *s, struct tail *tail, uint32_t *ret_slot)
{
    size_t count = s->used_count, first = count > TAIL_SEGMENTS ? count - TAIL_SEGMENTS : 0;
    const uint32_t *order = (const void *)s->order.bytes;
    for (size_t i = first; i < count; i++) {
        *ret_slot = order[i];
        int error = read_tail_segment(s, tail, order[i]);
        if (error)
            return error;
    }
    keep_torn_only(tail);
    const struct tail_group *groups = (const void *)tail->groups.bytes;
    for (size_t i = 0; i < tail->groups.length / sizeof *groups; i++) {
        *ret_slot = groups[i].slot;
        int error = settle_group(s, &groups[i]);
        if (error)
            return error;
    }
    return 0;
}

enum spool_result settle_tail(struct spool *s, struct spool_trouble *trouble)
{
    sort_segments(s);
    struct tail tail = {.groups = buffer_new(SIZE_MAX / 2)};
    uint32_t slot = 0;
    int error = settle(s, &tail, &slot);
    buffer_done(&tail.groups);
    if (error)
        return spool_trouble(trouble, SPOOL_FAILED, error, TEXT("settle"), spool_segment_name(s->name, "segment", slot));
    s->sequence = s->finished = s->durable = tail.sequence;
    while (s->used_count > 1 && segment_of(s, segment_oldest(s))->generation < s->oldest) {
        uint64_t oldest = s->oldest;
        segment_retire(s);
        s->oldest = oldest > s->oldest ? oldest : s->oldest;
    }
    if (s->used_count > 0)
        s->oldest = segment_of(s, segment_oldest(s))->generation;
    s->durable_oldest = s->oldest;
    return SPOOL_OK;
}
