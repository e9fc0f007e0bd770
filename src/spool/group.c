/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit: records are collected in memory, sealed, written by the disk thread with one sync, and finished. */
#include "spool/inside.h"

#include "system/file.h"

#include <stdlib.h>
#include <string.h>

enum { LARGE_LIMIT = 256 }; /* large bodies in one group: each is a sync of its own */

/* Untouched pages cost nothing: most groups are small. */
static struct spool_group *group_new(size_t size)
{
    struct spool_group *g = calloc(1, sizeof *g);
    must(g != NULL);
    g->memory = malloc(2 * size + FORMAT_BLOCK);
    must(g->memory != NULL);
    g->size = size;
    g->larges = buffer_new(LARGE_LIMIT * sizeof(int));
    return g;
}

static void close_larges(struct spool_group *g)
{
    int *files = (void *)g->larges.bytes;
    for (size_t i = 0; i < g->larges.length / sizeof(int); i++)
        file_close(&files[i]);
    buffer_clear(&g->larges);
}

void group_free(struct spool_group **group)
{
    struct spool_group *g = *group;
    *group = NULL;
    if (!g)
        return;
    close_larges(g);
    buffer_done(&g->larges);
    free(g->memory);
    free(g);
}

static void group_reset(struct spool_group *g)
{
    close_larges(g);
    g->records_length = FORMAT_GROUP_HEAD;
    g->bodies_length = 0;
    g->count = 0;
    g->has_messages = g->is_synced = g->has_large = false;
    g->error = 0;
    g->doing = TEXT_NONE;
    g->file = g->file_before = -1;
}

enum spool_result group_begin(struct spool *s)
{
    must(s->is_recovered);
    if (s->is_broken)
        return SPOOL_BROKEN;
    if (s->collecting)
        return SPOOL_OK;
    s->collecting = s->resting_count > 0 ? s->resting[--s->resting_count] : group_new(s->options.group_size);
    group_reset(s->collecting);
    return SPOOL_OK;
}

static uint64_t group_length(size_t records, size_t bodies)
{
    return format_round_up(records + bodies, FORMAT_BLOCK);
}

/* What only updates and our own reports may use when no other segment is ready. */
static uint64_t reserve_of(const struct spool *s)
{
    uint64_t eighth = s->options.segment_size / 8;
    return eighth < 256 * 1024 ? eighth : 256 * 1024;
}

/* Is there a segment with room for a group of this length? */
static bool has_room(struct spool *s, uint64_t length, bool is_own)
{
    if (s->ready_count > 0)
        return true;
    uint32_t slot = segment_active(s);
    if (slot == FORMAT_NOWHERE || segment_of(s, slot)->is_closed)
        return false;
    const struct segment *g = segment_of(s, slot);
    return g->end + length + (is_own ? 0 : reserve_of(s)) <= g->size;
}

static enum spool_result no_room(const struct spool *s)
{
    return s->chore_failed ? SPOOL_NO_SPACE : SPOOL_LATER;
}

enum spool_result group_append(struct spool *s, const struct format_record *record, bool is_own, bool is_message, uint32_t *ret_at)
{
    enum spool_result result = group_begin(s);
    if (result != SPOOL_OK)
        return result;
    struct spool_group *g = s->collecting;
    size_t size = format_round_up(format_record_size(record), 8);
    size_t body = record->is_large ? 0 : format_round_up((size_t)record->body_length, 8);
    if (size > g->size - FORMAT_GROUP_HEAD)
        return SPOOL_TOO_LARGE;
    if (size > g->size - g->records_length || body > g->size - g->bodies_length)
        return SPOOL_LATER;
    if (!has_room(s, group_length(g->records_length + size, g->bodies_length + body), is_own))
        return no_room(s);
    char *at = g->memory + g->records_length;
    memset(at + size - 8, 0, 8); /* the padding */
    format_record_write(at, record);
    *ret_at = (uint32_t)g->records_length;
    g->records_length += size;
    g->bodies_length += body;
    g->count++;
    g->has_messages |= is_message;
    return SPOOL_OK;
}

enum spool_result spool_reserve(struct spool *s, size_t body_length, bool is_own, char **ret_body)
{
    if (body_length >= s->options.large_from)
        return SPOOL_TOO_LARGE;
    if (s->is_full && !is_own)
        return SPOOL_NO_SPACE;
    enum spool_result result = group_begin(s);
    if (result != SPOOL_OK)
        return result;
    struct spool_group *g = s->collecting;
    if (format_round_up(body_length, 8) > g->size - g->bodies_length)
        return SPOOL_LATER;
    if (!has_room(s, group_length(g->records_length, g->bodies_length + body_length + 8), is_own))
        return no_room(s);
    s->reserved = body_length;
    *ret_body = g->memory + g->size + g->bodies_length;
    return SPOOL_OK;
}

void group_put_body(struct spool_group *g, uint32_t at, struct text body)
{
    char *place = g->memory + g->size + at;
    if (body.length)
        memcpy(place, body.bytes, body.length);
    memset(place + body.length, 0, format_round_up(body.length, 8) - body.length);
}

void group_set_entry(struct table_entry *entry, const struct format_record *record, uint32_t at)
{
    entry->slot = TABLE_COLLECTING;
    entry->offset = at;
    entry->update_slot = FORMAT_NOWHERE;
    entry->octets = (uint32_t)(format_record_size(record) + (record->is_large ? 0 : record->body_length));
    entry->is_large = record->is_large;
}

enum spool_result spool_append_reserved(struct spool *s, const struct spool_new *message, size_t body_length)
{
    must(message->id != 0 && body_length <= s->reserved);
    if (s->is_broken)
        return SPOOL_BROKEN;
    if (table_find(&s->table, message->id))
        return SPOOL_DUPLICATE;
    struct spool_group *g = s->collecting;
    char *body = g->memory + g->size + g->bodies_length;
    memset(body + body_length, 0, format_round_up(body_length, 8) - body_length);
    struct format_record record = {
        .type = FORMAT_MESSAGE,
        .id = message->id,
        .envelope = message->envelope,
        .states = TEXT_NONE,
        .taken_ms = message->taken_ms,
        .body_length = body_length,
        .body_checksum = format_body_checksum(text_of(body, body_length)), /* now, while it is in the processor's cache */
        .body_offset = (uint32_t)g->bodies_length,
    };
    uint32_t at;
    enum spool_result result = group_append(s, &record, message->is_own, true, &at);
    if (result != SPOOL_OK)
        return result;
    s->reserved = 0;
    group_set_entry(table_put(&s->table, record.id), &record, at);
    return SPOOL_OK;
}

enum spool_result spool_append(struct spool *s, const struct spool_new *message, struct text body)
{
    char *room;
    enum spool_result result = spool_reserve(s, body.length, message->is_own, &room);
    if (result != SPOOL_OK)
        return result;
    if (body.length)
        memcpy(room, body.bytes, body.length);
    return spool_append_reserved(s, message, body.length);
}

/* An update of the same recipient as the one before needs no link to it, only to what that one was linked to: so the chain of a message with one
 * recipient never grows. */
static void link_update(struct spool *s, const struct table_entry *entry, struct format_record *update)
{
    update->previous_slot = entry->update_slot;
    update->previous_offset = entry->update_offset;
    if (entry->update_slot == FORMAT_NOWHERE)
        return;
    struct format_record before;
    if (read_record(s, entry->update_slot, entry->update_offset, &s->scratch, &before) != SPOOL_OK || before.type != FORMAT_UPDATE ||
        before.id != entry->id || before.update.recipient != update->update.recipient)
        return;
    update->previous_slot = before.previous_slot;
    update->previous_offset = before.previous_offset;
}

enum spool_result spool_update(struct spool *s, uint64_t id, const struct spool_update *update)
{
    must(update->result.length <= SPOOL_RESULT_LIMIT && update->state < SPOOL_STATES);
    struct table_entry *entry = table_find(&s->table, id);
    if (!entry)
        return SPOOL_UNKNOWN;
    struct format_record record = {.type = FORMAT_UPDATE, .id = id, .update = *update};
    if (!record.update.result.bytes)
        record.update.result = TEXT_NONE;
    link_update(s, entry, &record);
    uint32_t at;
    enum spool_result result = group_append(s, &record, true, false, &at);
    if (result != SPOOL_OK)
        return result;
    entry->update_slot = TABLE_COLLECTING;
    entry->update_offset = at;
    return SPOOL_OK;
}

enum spool_result spool_remove(struct spool *s, uint64_t id)
{
    struct table_entry *entry = table_find(&s->table, id);
    if (!entry)
        return SPOOL_UNKNOWN;
    uint32_t at;
    struct format_record record = {.type = FORMAT_REMOVED, .id = id};
    enum spool_result result = group_append(s, &record, true, false, &at);
    if (result != SPOOL_OK)
        return result;
    if (entry->is_large) {
        struct spool_removal removal = {.id = id, .sequence = s->sequence + 1};
        must(buffer_append(&s->removals, text_of((const char *)&removal, sizeof removal)));
    }
    segment_count_live(s, entry, false);
    if (entry->slot != TABLE_COLLECTING) /* what is appended in its place, a report perhaps, must be durable before it is overwritten */
        segment_of(s, entry->slot)->hold_until = s->sequence + 1;
    table_remove(&s->table, id);
    return SPOOL_OK;
}

bool spool_has_collected(const struct spool *s)
{
    return s->collecting && s->collecting->count > 0;
}

bool spool_must_sync(const struct spool *s)
{
    return s->collecting && s->collecting->has_messages;
}

/* Places become known now: each record learns its group, where its body is and which update came before; the table learns where it stands. */
static void place_record(struct spool *s, struct spool_group *g, char *bytes, uint32_t at, const struct format_record *record)
{
    uint32_t base = (uint32_t)g->place.offset;
    format_record_set_group(bytes, base / FORMAT_BLOCK);
    struct table_entry *entry = table_find(&s->table, record->id);
    if (record->type == FORMAT_UPDATE) {
        if (record->previous_slot == TABLE_COLLECTING)
            format_record_set_previous(bytes, g->slot, base + record->previous_offset);
        if (entry && entry->update_slot == TABLE_COLLECTING && entry->update_offset == at) {
            entry->update_slot = g->slot;
            entry->update_offset = base + at;
        }
    }
    if (record->type == FORMAT_MESSAGE || record->type == FORMAT_MOVED) {
        if (!record->is_large)
            format_record_set_body(bytes, base + (uint32_t)g->records_length + record->body_offset);
        if (entry && entry->slot == TABLE_COLLECTING && entry->offset == at) {
            entry->slot = g->slot;
            entry->offset = base + at;
            segment_count_live(s, entry, true);
        }
    }
    struct format_place place = g->place;
    place.offset += at;
    format_record_seal(bytes, &place);
}

static void place_records(struct spool *s, struct spool_group *g)
{
    for (size_t at = FORMAT_GROUP_HEAD; at < g->records_length;) {
        struct format_record record;
        must(format_record_look(text_of(g->start + at, g->records_length - at), &record));
        place_record(s, g, g->start + at, (uint32_t)at, &record);
        at += format_round_up(record.length, 8);
    }
}

/* The segment it goes to: the active one, or the next that is ready; group_append has seen to it that there is one. */
static bool choose_segment(struct spool *s, struct spool_group *g, uint64_t length)
{
    uint32_t slot = segment_active(s);
    g->slot_before = FORMAT_NOWHERE;
    if (slot == FORMAT_NOWHERE || segment_of(s, slot)->is_closed || segment_of(s, slot)->end + length > segment_of(s, slot)->size) {
        if (slot != FORMAT_NOWHERE) {
            segment_of(s, slot)->is_closed = true;
            g->slot_before = slot;
        }
        slot = segment_next_ready(s);
        must(slot != FORMAT_NOWHERE);
        segment_use(s, slot);
    }
    g->slot = slot;
    segment_of(s, slot)->out++;
    if (g->slot_before != FORMAT_NOWHERE)
        segment_of(s, g->slot_before)->out++;
    int error = segment_open(s, slot, &g->file);
    if (!error && g->slot_before != FORMAT_NOWHERE)
        error = segment_open(s, g->slot_before, &g->file_before);
    g->error = error;
    g->doing = TEXT("open");
    return !error;
}

struct spool_group *spool_group_seal(struct spool *s)
{
    struct spool_group *g = s->collecting;
    if (!spool_has_collected(s) || s->is_broken || s->out_count >= SPOOL_GROUPS_OUT)
        return NULL;
    s->collecting = NULL;
    s->reserved = 0;
    g->head = (struct format_group){
        .length = (uint32_t)group_length(g->records_length, g->bodies_length),
        .records_length = (uint32_t)(g->records_length - FORMAT_GROUP_HEAD),
        .count = g->count,
        .sequence = ++s->sequence,
        .durable = s->durable,
    };
    ignored(choose_segment(s, g, g->head.length)); /* its error is the group's: the write does nothing, and the finish tells */
    struct segment *segment = segment_of(s, g->slot);
    g->head.oldest = s->oldest;
    g->is_synced = g->has_messages || ++s->unsynced >= SPOOL_UNSYNCED_LIMIT;
    if (g->is_synced)
        s->unsynced = 0;
    g->place = (struct format_place){.generation = segment->generation, .secret = segment->secret, .offset = segment->end};
    g->large_folder = s->large_folder;
    segment->end += g->head.length;
    g->start = g->memory + g->size - g->records_length;
    memmove(g->start, g->memory, g->records_length);
    place_records(s, g);
    format_group_write(g->start, &g->head, &g->place);
    size_t used = g->records_length + g->bodies_length;
    memset(g->start + used, 0, g->head.length - used);
    s->out[s->out_count++] = g;
    return g;
}

static bool try_to(struct spool_group *g, int error, struct text doing)
{
    if (error) {
        g->error = error;
        g->doing = doing;
    }
    return !error;
}

void spool_group_write(struct spool_group *g)
{
    if (g->error)
        return;
    const int *larges = (const void *)g->larges.bytes;
    for (size_t i = 0; i < g->larges.length / sizeof(int); i++)
        if (!try_to(g, file_sync(larges[i]), TEXT("sync a large body")))
            return;
    if (g->has_large && !try_to(g, file_sync(g->large_folder), TEXT("sync the folder")))
        return;
    if (g->file_before >= 0 && !try_to(g, file_sync_data(g->file_before), TEXT("sync")))
        return;
    if (!try_to(g, file_write_all_at(g->file, text_of(g->start, g->head.length), g->place.offset), TEXT("write")))
        return;
    if (g->is_synced)
        ignored(try_to(g, file_sync_data(g->file), TEXT("sync"))); /* kept in the group */
}

static void rest(struct spool *s, struct spool_group *g)
{
    close_larges(g);
    if (s->resting_count < SPOOL_GROUPS)
        s->resting[s->resting_count++] = g;
    else
        group_free(&g);
}

enum spool_result spool_group_finish(struct spool *s, struct spool_group *g, struct spool_trouble *trouble)
{
    must(s->out_count > 0 && s->out[0] == g);
    for (size_t i = 1; i < s->out_count; i++)
        s->out[i - 1] = s->out[i];
    s->out_count--;
    segment_of(s, g->slot)->out--;
    if (g->slot_before != FORMAT_NOWHERE)
        segment_of(s, g->slot_before)->out--;
    int error = g->error;
    struct text doing = g->doing;
    uint32_t slot = g->slot;
    s->groups++;
    if (!error) {
        s->finished = g->head.sequence;
        s->syncs += g->is_synced;
        if (g->is_synced) {
            s->durable = g->head.sequence;
            s->durable_oldest = g->head.oldest;
        }
    }
    rest(s, g);
    if (!error && !s->is_broken)
        return SPOOL_OK;
    s->is_broken = true;
    segment_of(s, slot)->is_closed = true;
    return spool_trouble(trouble, error ? SPOOL_FAILED : SPOOL_BROKEN, error, doing, spool_segment_name(s->name, "segment", slot));
}
