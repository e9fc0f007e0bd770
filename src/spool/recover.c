/* SPDX-License-Identifier: Apache-2.0 */
/* Start-up: one walk over the log learns what waits and where, a second one hands it over. */
#include "spool/inside.h"

#include "system/file.h"
#include "system/process.h"

#include <errno.h>

struct recovery {
    struct spool *s;
    uint32_t slot;
    int file;
    uint64_t size;  /* octets that are really there */
    struct text name;
    uint64_t expected; /* sequence of the next group; 0: any */
};

static bool body_fits(const struct recovery *r, const struct format_record *record)
{
    return record->is_large || record->body_length == 0 ||
           (record->body_offset <= r->size && record->body_length <= r->size - record->body_offset);
}

static void put_record_aside(struct recovery *r, const struct scan_item *item, enum spool_problem_kind kind)
{
    const struct format_record *record = &item->record;
    struct spool_problem problem = {.kind = kind, .name = r->name, .offset = item->offset, .id = record->id};
    bool has_body = item->found == SCAN_RECORD && !record->is_large;
    aside_copy(r->s, r->file, &problem, item->offset, item->length, record->body_offset, has_body ? record->body_length : 0);
}

static void learn_message(struct recovery *r, const struct scan_item *item)
{
    struct spool *s = r->s;
    const struct format_record *record = &item->record;
    if (record->id == 0 || !body_fits(r, record)) {
        put_record_aside(r, item, SPOOL_PROBLEM_DAMAGED_RECORD);
        return;
    }
    struct table_entry *entry = table_find(&s->table, record->id);
    if (entry && record->type == FORMAT_MESSAGE) {
        put_record_aside(r, item, SPOOL_PROBLEM_DUPLICATE_ID);
        return;
    }
    if (entry)
        segment_count_live(s, entry, false);
    else
        entry = table_put(&s->table, record->id);
    entry->slot = r->slot;
    entry->offset = (uint32_t)item->offset;
    entry->update_slot = FORMAT_NOWHERE;
    entry->octets = (uint32_t)(item->length + (record->is_large ? 0 : record->body_length));
    entry->is_large = record->is_large;
    segment_count_live(s, entry, true);
}

static void learn_record(struct recovery *r, const struct scan_item *item)
{
    struct table_entry *entry;
    switch (item->record.type) {
    case FORMAT_MESSAGE:
    case FORMAT_MOVED:
        learn_message(r, item);
        return;
    case FORMAT_UPDATE:
        entry = table_find(&r->s->table, item->record.id);
        if (entry) { /* else it is gone, or was moved and carries it */
            entry->update_slot = r->slot;
            entry->update_offset = (uint32_t)item->offset;
        }
        return;
    case FORMAT_REMOVED:
        entry = table_find(&r->s->table, item->record.id);
        if (entry) {
            segment_count_live(r->s, entry, false);
            table_remove(&r->s->table, item->record.id);
        }
        return;
    case FORMAT_STRUCK:
    case FORMAT_NONE:
    case FORMAT_TYPES:
        return;
    }
}

static void learn_group(struct recovery *r, const struct scan_item *item)
{
    struct spool_problem problem = {.name = r->name, .offset = item->offset};
    if (!item->has_head) {
        problem.kind = SPOOL_PROBLEM_DAMAGED_GROUP;
        spool_tell(r->s, &problem);
        r->expected += r->expected ? 1 : 0;
        return;
    }
    /* one that was not durable yet when this one was sealed may have gone in a power cut, as it may */
    if (r->expected && item->head.sequence > r->expected && item->head.durable >= r->expected) {
        problem.kind = SPOOL_PROBLEM_MISSING_GROUP;
        spool_tell(r->s, &problem);
    }
    r->expected = item->head.sequence + 1;
}

static void learn_segment(struct recovery *r, struct scan *scan)
{
    struct scan_item item;
    bool has_told = false;
    for (;;) {
        switch (scan_next(scan, &item)) {
        case SCAN_END:
            return;
        case SCAN_GROUP:
            learn_group(r, &item);
            break;
        case SCAN_RECORD:
            learn_record(r, &item);
            break;
        case SCAN_DAMAGE:
            put_record_aside(r, &item, SPOOL_PROBLEM_DAMAGED_RECORD);
            break;
        case SCAN_UNREADABLE:
            if (!has_told)
                spool_tell(r->s, &(struct spool_problem){
                                     .kind = SPOOL_PROBLEM_UNREADABLE_FILE, .name = r->name, .offset = item.offset, .error = item.error});
            has_told = true;
            break;
        }
    }
}

static bool has_large_body(struct spool *s, const struct format_record *record)
{
    char name[32];
    struct file_facts facts;
    return file_facts_of(s->large_folder, spool_large_name(name, record->id), &facts) == 0 && facts.is_file && facts.links == 1 &&
           facts.owner == process_own_user() && facts.size >= record->body_length;
}

struct teller {
    void (*each)(void *context, const struct spool_message *message);
    void *context;
};

/* The second walk: only what still stands where the table says. */
static void tell_record(struct recovery *r, const struct scan_item *item, const struct teller *teller, struct arena *arena)
{
    struct spool *s = r->s;
    const struct format_record *record = &item->record;
    if (record->type != FORMAT_MESSAGE && record->type != FORMAT_MOVED)
        return;
    struct table_entry *entry = table_find(&s->table, record->id);
    if (!entry || entry->slot != r->slot || entry->offset != item->offset)
        return;
    if (record->is_large && !has_large_body(s, record)) {
        put_record_aside(r, item, SPOOL_PROBLEM_NO_BODY);
        segment_count_live(s, entry, false);
        table_remove(&s->table, record->id);
        return;
    }
    struct spool_message message = {
        .id = record->id,
        .taken_ms = record->taken_ms,
        .body_length = record->body_length,
        .is_large = record->is_large,
        .envelope = record->envelope,
    };
    arena_done(arena);
    if (read_updates(s, entry, record->states, arena, &message) != SPOOL_OK)
        message.update_count = 0; /* nothing proven: all its recipients wait */
    teller->each(teller->context, &message);
}

static void tell_segment(struct recovery *r, struct scan *scan, const struct teller *teller)
{
    struct arena arena released_by(arena_done) = arena_new(SIZE_MAX / 2);
    struct scan_item item;
    while (scan_next(scan, &item) != SCAN_END)
        if (item.found == SCAN_RECORD)
            tell_record(r, &item, teller, &arena);
}

/* Large bodies that no waiting message names: never acknowledged, or done with. */
static void remove_orphans(struct spool *s)
{
    struct folder_walk *walk released_by(folder_walk_free) = NULL;
    if (folder_walk_new(s->large_folder, &walk) != 0)
        return; /* they stay until the next start */
    struct text name;
    while (folder_walk_next(walk, &name)) {
        uint64_t id = 0;
        bool is_ours = name.length == 16;
        for (size_t i = 0; i < name.length && is_ours; i++) {
            char c = name.bytes[i];
            is_ours = octet_is_digit(c) || (c >= 'a' && c <= 'f');
            id = id << 4 | (uint64_t)(octet_is_digit(c) ? c - '0' : c - 'a' + 10);
        }
        const struct table_entry *entry = is_ours ? table_find(&s->table, id) : NULL;
        if (is_ours && (!entry || !entry->is_large))
            ignored(file_remove(s->large_folder, name)); /* the same */
    }
}

static enum spool_result walk_log(struct spool *s, const struct teller *teller, struct spool_trouble *trouble)
{
    struct recovery r = {.s = s};
    for (size_t i = 0; i < s->used_count; i++) {
        r.slot = ((const uint32_t *)(const void *)s->order.bytes)[i];
        r.name = spool_segment_name(s->name, "segment", r.slot);
        struct scan scan released_by(scan_done) = {.file = -1};
        int error = segment_scan(s, r.slot, &scan);
        if (error)
            return spool_trouble(trouble, SPOOL_FAILED, error, TEXT("open"), r.name);
        r.file = scan.file;
        r.size = scan.size;
        /* reading updates opens other segments: this one's file must stay */
        segment_of(s, r.slot)->out++;
        if (teller)
            tell_segment(&r, &scan, teller);
        else
            learn_segment(&r, &scan);
        segment_of(s, r.slot)->out--;
    }
    return SPOOL_OK;
}

enum spool_result spool_recover(struct spool *s, void (*each)(void *context, const struct spool_message *message), void *context,
                                struct spool_trouble *trouble)
{
    must(!s->is_recovered);
    enum spool_result result = walk_log(s, NULL, trouble);
    if (result == SPOOL_OK)
        result = walk_log(s, &(struct teller){.each = each, .context = context}, trouble);
    if (result != SPOOL_OK)
        return result;
    remove_orphans(s);
    s->is_recovered = true;
    return SPOOL_OK;
}
