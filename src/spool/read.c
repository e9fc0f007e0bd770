/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/inside.h"

#include "system/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { PIECE = 64 * 1024 };

/* What stands in the memory of a group: the one being collected, or one that is out. */
static const struct spool_group *group_in_memory(const struct spool *s, uint32_t slot, uint64_t offset)
{
    if (slot == TABLE_COLLECTING)
        return s->collecting;
    for (size_t i = 0; i < s->out_count; i++) {
        const struct spool_group *g = s->out[i];
        if (g->slot == slot && offset >= g->place.offset && offset < g->place.offset + g->head.length)
            return g;
    }
    return NULL;
}

static struct text record_in_memory(const struct spool_group *g, uint32_t slot, uint32_t offset)
{
    if (slot == TABLE_COLLECTING)
        return text_of(g->memory + offset, g->records_length - offset);
    size_t at = (size_t)(offset - g->place.offset);
    return text_of(g->start + at, g->records_length - at);
}

static enum spool_result read_from_disk(struct spool *s, uint32_t slot, uint32_t offset, struct buffer *octets, struct format_record *ret_record)
{
    const struct segment *g = segment_of(s, slot);
    if (offset >= g->size)
        return SPOOL_DAMAGED;
    int file;
    if (segment_open(s, slot, &file) != 0)
        return SPOOL_FAILED;
    uint64_t left = g->size - offset;
    for (size_t wanted = FORMAT_BLOCK;;) {
        wanted = (size_t)smaller(wanted, left);
        size_t got = 0;
        char *room = buffer_room(octets, wanted - octets->length);
        if (!room)
            return SPOOL_DAMAGED;
        int error = file_read_at(file, room, wanted - octets->length, offset + octets->length, &got);
        if (error)
            return error == EIO ? SPOOL_DAMAGED : SPOOL_FAILED;
        buffer_grew(octets, got);
        uint32_t claim = format_record_claim(buffer_text(octets));
        if (claim == 0 || (claim > octets->length && (octets->length < wanted || claim > left)))
            return SPOOL_DAMAGED;
        if (claim <= octets->length)
            break;
        wanted = claim;
    }
    struct format_place place = {.generation = g->generation, .secret = g->secret, .offset = offset};
    return format_record_read(buffer_text(octets), &place, ret_record) ? SPOOL_OK : SPOOL_DAMAGED;
}

enum spool_result read_record(struct spool *s, uint32_t slot, uint32_t offset, struct buffer *octets, struct format_record *ret_record)
{
    buffer_clear(octets);
    const struct spool_group *group = group_in_memory(s, slot, offset);
    if (!group)
        return read_from_disk(s, slot, offset, octets, ret_record);
    struct text seen = record_in_memory(group, slot, offset);
    if (!buffer_append(octets, text_first(seen, format_record_claim(seen))))
        return SPOOL_DAMAGED;
    must(format_record_look(buffer_text(octets), ret_record));
    return SPOOL_OK;
}

struct found_update {
    struct spool_update update;
    size_t order; /* 0: the newest */
};

static int compare_found(const void *a, const void *b)
{
    const struct found_update *first = a, *second = b;
    if (first->update.recipient != second->update.recipient)
        return first->update.recipient < second->update.recipient ? -1 : 1;
    return first->order < second->order ? -1 : first->order > second->order;
}

struct found {
    struct buffer updates; /* of struct found_update */
    struct arena *arena;
};

static bool keep_update(struct found *f, const struct spool_update *update)
{
    struct found_update kept = {.update = *update, .order = f->updates.length};
    return arena_copy(f->arena, update->result, &kept.update.result) && buffer_append(&f->updates, text_of((const char *)&kept, sizeof kept));
}

/* An update may only point back in the log: so a damaged one can't lead round in a ring. */
static bool is_before(struct spool *s, uint32_t slot, uint32_t offset, uint32_t later_slot, uint32_t later_offset)
{
    if (slot == later_slot)
        return offset < later_offset;
    if (later_slot == TABLE_COLLECTING)
        return true;
    if (slot >= s->slot_count || s->segments[slot].state != SEGMENT_USED)
        return false;
    return s->segments[slot].generation < s->segments[later_slot].generation;
}

static enum spool_result follow_chain(struct spool *s, const struct table_entry *entry, struct found *f)
{
    uint32_t slot = entry->update_slot, offset = entry->update_offset;
    while (slot != FORMAT_NOWHERE) {
        struct format_record record;
        enum spool_result result = read_record(s, slot, offset, &s->scratch, &record);
        if (result == SPOOL_FAILED)
            return result;
        if (result != SPOOL_OK || record.type != FORMAT_UPDATE || record.id != entry->id)
            return SPOOL_OK; /* damaged: what stood before it is forgotten, and tried once more */
        if (!keep_update(f, &record.update))
            return SPOOL_FAILED;
        if (record.previous_slot != FORMAT_NOWHERE && !is_before(s, record.previous_slot, record.previous_offset, slot, offset))
            return SPOOL_OK;
        slot = record.previous_slot;
        offset = record.previous_offset;
    }
    return SPOOL_OK;
}

/* The newest for each recipient, in the arena. */
static enum spool_result give_newest(struct found *f, struct spool_message *ret_message)
{
    size_t count = f->updates.length / sizeof(struct found_update), kept = 0;
    if (count == 0)
        return SPOOL_OK;
    struct found_update *found = (void *)f->updates.bytes;
    struct spool_update *updates = arena_take_array(f->arena, count, sizeof *updates);
    if (!updates)
        return SPOOL_FAILED;
    qsort(found, count, sizeof *found, compare_found);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || found[i].update.recipient != found[i - 1].update.recipient)
            updates[kept++] = found[i].update;
    ret_message->updates = updates;
    ret_message->update_count = kept;
    return SPOOL_OK;
}

enum spool_result read_updates(struct spool *s, const struct table_entry *entry, struct text states, struct arena *arena,
                               struct spool_message *ret_message)
{
    ret_message->updates = NULL;
    ret_message->update_count = 0;
    if (entry->update_slot == FORMAT_NOWHERE && states.length == 0)
        return SPOOL_OK;
    struct found found = {.updates = buffer_new(SIZE_MAX / 2), .arena = arena};
    enum spool_result result = follow_chain(s, entry, &found);
    struct spool_update update;
    while (result == SPOOL_OK && states.length && format_state_take(&states, &update))
        if (!keep_update(&found, &update))
            result = SPOOL_FAILED;
    if (result == SPOOL_OK)
        result = give_newest(&found, ret_message);
    buffer_done(&found.updates);
    return result;
}

enum spool_result spool_read(struct spool *s, uint64_t id, struct buffer *octets, struct arena *arena, struct spool_message *ret_message)
{
    const struct table_entry *entry = table_find(&s->table, id);
    if (!entry)
        return SPOOL_UNKNOWN;
    struct format_record record;
    enum spool_result result = read_record(s, entry->slot, entry->offset, octets, &record);
    if (result != SPOOL_OK)
        return result;
    if (record.id != id || (record.type != FORMAT_MESSAGE && record.type != FORMAT_MOVED))
        return SPOOL_DAMAGED;
    struct spool_message message = {
        .id = id,
        .taken_ms = record.taken_ms,
        .body_length = record.body_length,
        .is_large = record.is_large,
        .envelope = record.envelope,
    };
    result = read_updates(s, entry, record.states, arena, &message);
    if (result == SPOOL_OK)
        *ret_message = message;
    return result;
}

static int open_large(struct spool *s, uint64_t id, int *ret_file)
{
    char name[32];
    return file_open(s->large_folder, spool_large_name(name, id), O_RDONLY | O_NONBLOCK, 0, ret_file);
}

enum spool_result read_body(struct spool *s, const struct table_entry *entry, const struct format_record *record, uint64_t offset, char *bytes,
                            size_t count, size_t *ret_got)
{
    if (offset >= record->body_length) {
        *ret_got = 0;
        return SPOOL_OK;
    }
    count = (size_t)(count < record->body_length - offset ? count : record->body_length - offset);
    const struct spool_group *group = record->is_large ? NULL : group_in_memory(s, entry->slot, entry->offset);
    if (group) {
        const char *bodies = entry->slot == TABLE_COLLECTING ? group->memory + group->size + record->body_offset
                                                             : group->start + (record->body_offset - group->place.offset);
        memcpy(bytes, bodies + offset, count);
        *ret_got = count;
        return SPOOL_OK;
    }
    int large released_by(file_close) = -1;
    int file = -1;
    int error = record->is_large ? open_large(s, record->id, &large) : segment_open(s, entry->slot, &file);
    if (error)
        return error == ENOENT || error == ELOOP ? SPOOL_DAMAGED : SPOOL_FAILED;
    size_t got = 0;
    error = file_read_at(record->is_large ? large : file, bytes, count, offset + (record->is_large ? 0 : record->body_offset), &got);
    if (error || got < count)
        return error && error != EIO ? SPOOL_FAILED : SPOOL_DAMAGED;
    *ret_got = got;
    return SPOOL_OK;
}

static enum spool_result find_record(struct spool *s, uint64_t id, const struct table_entry **ret_entry, struct format_record *ret_record)
{
    const struct table_entry *entry = table_find(&s->table, id);
    if (!entry)
        return SPOOL_UNKNOWN;
    enum spool_result result = read_record(s, entry->slot, entry->offset, &s->scratch, ret_record);
    if (result != SPOOL_OK)
        return result;
    if (ret_record->id != id || (ret_record->type != FORMAT_MESSAGE && ret_record->type != FORMAT_MOVED))
        return SPOOL_DAMAGED;
    *ret_entry = entry;
    return SPOOL_OK;
}

static bool is_in_memory(const struct spool *s, const struct table_entry *entry)
{
    return !entry->is_large && group_in_memory(s, entry->slot, entry->offset);
}

enum spool_result spool_read_body(struct spool *s, uint64_t id, uint64_t offset, char *bytes, size_t count, size_t *ret_got)
{
    const struct table_entry *entry;
    struct format_record record;
    size_t got = 0;
    enum spool_result result = find_record(s, id, &entry, &record);
    if (result == SPOOL_OK)
        result = read_body(s, entry, &record, offset, bytes, count, &got);
    if (result != SPOOL_OK)
        return result;
    if (offset == 0 && got == record.body_length && format_body_checksum(text_of(bytes, got)) != record.body_checksum)
        return SPOOL_DAMAGED;
    *ret_got = got;
    return SPOOL_OK;
}

static bool sum_file(int file, uint64_t offset, uint64_t length, uint64_t *ret_sum, int *ret_error)
{
    XXH3_state_t *state = XXH3_createState();
    char *piece = malloc(PIECE);
    must(state != NULL && piece != NULL && XXH3_64bits_reset(state) == XXH_OK);
    uint64_t done = 0;
    for (size_t got = 1; done < length && got > 0; done += got) {
        *ret_error = file_read_at(file, piece, (size_t)(length - done < PIECE ? length - done : PIECE), offset + done, &got);
        if (*ret_error)
            break;
        must(XXH3_64bits_update(state, piece, got) == XXH_OK);
    }
    *ret_sum = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    free(piece);
    return done == length && !*ret_error;
}

bool body_is_whole(struct spool *s, int file, const struct format_record *record, int *ret_error)
{
    int large released_by(file_close) = -1;
    uint64_t sum;
    *ret_error = record->is_large ? open_large(s, record->id, &large) : 0;
    if (*ret_error)
        return false;
    return sum_file(record->is_large ? large : file, record->is_large ? 0 : record->body_offset, record->body_length, &sum, ret_error) &&
           sum == record->body_checksum;
}

enum spool_result spool_check_body(struct spool *s, uint64_t id)
{
    const struct table_entry *entry;
    struct format_record record;
    enum spool_result result = find_record(s, id, &entry, &record);
    if (result != SPOOL_OK || is_in_memory(s, entry))
        return result;
    int file = -1;
    if (!record.is_large && segment_open(s, entry->slot, &file) != 0)
        return SPOOL_FAILED;
    int error = 0;
    if (body_is_whole(s, file, &record, &error))
        return SPOOL_OK;
    return error && error != EIO && error != ENOENT && error != ELOOP ? SPOOL_FAILED : SPOOL_DAMAGED;
}
