/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/scan.h"

#include "system/file.h"

enum { READ_RECORDS = 256 * 1024, SEARCH_BUDGET = 64 * 1024 * 1024 };

struct scan scan_new(int file, const struct format_segment *head, uint64_t file_size)
{
    return (struct scan){
        .file = file,
        .generation = head->generation,
        .secret = head->secret,
        .size = file_size < head->size ? file_size : head->size,
        .group = FORMAT_BLOCK,
        .end = FORMAT_BLOCK,
        .window = buffer_new(FORMAT_RECORDS_LIMIT + FORMAT_BLOCK),
    };
}

void scan_done(struct scan *s)
{
    buffer_done(&s->window);
}

void scan_from(struct scan *s, uint64_t group)
{
    must(group % FORMAT_BLOCK == 0 && group > 0);
    s->group = group;
    s->at = 0;
}

static bool fill(struct scan *s, uint64_t offset, size_t count)
{
    buffer_clear(&s->window);
    s->window_at = offset;
    char *room = buffer_room(&s->window, count);
    if (!room)
        return false;
    size_t got = 0;
    s->error = file_read_at(s->file, room, count, offset, &got);
    if (s->error)
        return false;
    buffer_grew(&s->window, got);
    return true;
}

/* The octets from offset on, at least need of them; empty when they can't be had. wanted: how much to read when something has to be read. */
static struct text see(struct scan *s, uint64_t offset, size_t need, size_t wanted)
{
    if (offset > s->size || s->size - offset < need)
        return TEXT_NONE;
    bool is_here = offset >= s->window_at && offset + need <= s->window_at + s->window.length;
    if (!is_here) {
        wanted = (size_t)smaller(larger(need, wanted), s->size - offset);
        if (!fill(s, offset, wanted) && (wanted == need || !fill(s, offset, need))) /* one bad block must not hide its neighbours */
            return TEXT_NONE;
    }
    struct text seen = text_after(buffer_text(&s->window), (size_t)(offset - s->window_at));
    return seen.length < need ? TEXT_NONE : seen;
}

static struct format_place place_at(const struct scan *s, uint64_t offset)
{
    return (struct format_place){.generation = s->generation, .secret = s->secret, .offset = offset};
}

/* A record at this place that belongs to the group being walked and ends before records_end. */
static bool record_at(struct scan *s, uint64_t at, struct scan_item *item)
{
    size_t wanted = (size_t)smaller(READ_RECORDS, s->records_end > at ? s->records_end - at : 0);
    struct text octets = see(s, at, FORMAT_SHORT_HEAD, wanted);
    uint32_t claim = format_record_claim(octets);
    if (claim == 0 || at + claim > s->records_end)
        return false;
    octets = text_first(see(s, at, claim, wanted), claim);
    struct format_place place = place_at(s, at);
    if (octets.length < claim || !format_record_read(octets, &place, &item->record) || item->record.group != s->group / FORMAT_BLOCK)
        return false;
    item->offset = at;
    item->length = claim;
    item->octets = octets;
    return true;
}

static uint64_t group_end_without_head(const struct scan *s)
{
    return format_round_up((size_t)(s->at > s->bodies_end ? s->at : s->bodies_end), FORMAT_BLOCK);
}

static void leave_group(struct scan *s)
{
    s->group = s->has_head ? s->next_group : group_end_without_head(s);
    s->end = s->group;
    s->at = 0;
}

static bool enter_group(struct scan *s, struct scan_item *item)
{
    struct text octets = see(s, s->group, FORMAT_GROUP_HEAD, FORMAT_BLOCK);
    struct format_place place = place_at(s, s->group);
    s->has_head = format_group_read(octets, &place, &item->head);
    s->bodies_end = 0;
    s->budget = SEARCH_BUDGET;
    s->records_end = s->group + FORMAT_RECORDS_LIMIT;
    if (s->has_head) {
        s->records_end = s->group + FORMAT_GROUP_HEAD + item->head.records_length;
        s->next_group = s->group + item->head.length;
    }
    if (s->records_end > s->size)
        s->records_end = s->size;
    if (!s->has_head && (octets.length == 0 || !record_at(s, s->group + FORMAT_GROUP_HEAD, item)))
        return false;
    s->at = s->group + FORMAT_GROUP_HEAD;
    item->has_head = s->has_head;
    item->offset = s->group;
    item->length = s->has_head ? item->head.length : 0;
    return true;
}

static enum scan_found find_group(struct scan *s, struct scan_item *item)
{
    bool is_first_look = true;
    while (s->group + FORMAT_BLOCK <= s->size) {
        s->error = 0;
        if (enter_group(s, item))
            return item->found = SCAN_GROUP;
        if (s->error) {
            item->error = s->error;
            item->offset = s->group;
            s->group += FORMAT_BLOCK;
            return item->found = SCAN_UNREADABLE;
        }
        s->group += FORMAT_BLOCK;
        if (!is_first_look && s->group + FORMAT_BLOCK <= s->size)
            ignored(see(s, s->group, FORMAT_GROUP_HEAD, READ_RECORDS)); /* a long search reads in larger pieces */
        is_first_look = false;
    }
    return item->found = SCAN_END;
}

/* Where the next good record begins behind damage, or records_end. */
static uint64_t search_behind(struct scan *s, struct scan_item *item)
{
    uint64_t at = s->at + 8;
    for (; at + FORMAT_SHORT_HEAD <= s->records_end; at += 8) {
        uint32_t claim = format_record_claim(see(s, at, FORMAT_SHORT_HEAD, READ_RECORDS));
        if (claim == 0)
            continue;
        if (claim > s->budget)
            break;
        s->budget -= claim;
        if (record_at(s, at, item))
            return at;
    }
    return s->records_end;
}

enum scan_found scan_next(struct scan *s, struct scan_item *ret_item)
{
    *ret_item = (struct scan_item){.found = SCAN_END};
    if (s->at && s->at + FORMAT_SHORT_HEAD > s->records_end)
        leave_group(s);
    if (s->at == 0)
        return find_group(s, ret_item);
    if (record_at(s, s->at, ret_item)) {
        const struct format_record *r = &ret_item->record;
        if ((r->type == FORMAT_MESSAGE || r->type == FORMAT_MOVED) && !r->is_large && r->body_offset + r->body_length > s->bodies_end)
            s->bodies_end = r->body_offset + r->body_length;
        s->at += format_round_up(ret_item->length, 8);
        return ret_item->found = SCAN_RECORD;
    }
    if (!s->has_head) {
        leave_group(s);
        return find_group(s, ret_item);
    }
    struct scan_item behind;
    uint64_t damaged = s->at;
    s->at = search_behind(s, &behind);
    *ret_item = (struct scan_item){.found = SCAN_DAMAGE, .offset = damaged, .length = s->at - damaged};
    return SCAN_DAMAGE;
}
