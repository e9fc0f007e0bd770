/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/format.h"

#include <string.h>
#include <xxhash.h>

enum { SEGMENT_HEAD = 72, SEGMENT_SECOND = FORMAT_BLOCK / 2, VERSION = 1 };

static const struct text segment_magic = TEXT_INIT("PSPOOL1\n");
static const struct text group_magic = TEXT_INIT("PGRP");
static const struct text record_magic = TEXT_INIT("RP");

static void put_32(char *bytes, uint32_t n)
{
    for (size_t i = 0; i < 4; i++)
        bytes[i] = (char)(n >> (8 * i));
}

static void put_64(char *bytes, uint64_t n)
{
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (char)(n >> (8 * i));
}

static uint32_t get_32(const char *bytes)
{
    uint32_t n = 0;
    for (size_t i = 0; i < 4; i++)
        n |= (uint32_t)(uint8_t)bytes[i] << (8 * i);
    return n;
}

static uint64_t get_64(const char *bytes)
{
    return get_32(bytes) | (uint64_t)get_32(bytes + 4) << 32;
}

static bool starts_with(const char *bytes, struct text magic)
{
    return memcmp(bytes, magic.bytes, magic.length) == 0;
}

/* Of a head or record of this length whose octets 8..15 are for the checksum. */
static uint64_t checksum_at(const char *bytes, size_t length, const struct format_place *place)
{
    char key[32];
    put_64(key, place->secret);
    put_64(key + 8, place->generation);
    put_64(key + 16, place->offset);
    memcpy(key + 24, bytes, 8);
    return XXH3_64bits_withSeed(bytes + 16, length - 16, XXH3_64bits(key, sizeof key));
}

uint64_t format_body_checksum(struct text body)
{
    return XXH3_64bits(body.bytes, body.length);
}

void format_segment_write(char block[FORMAT_BLOCK], const struct format_segment *head)
{
    memset(block, 0, FORMAT_BLOCK);
    memcpy(block, segment_magic.bytes, segment_magic.length);
    put_32(block + 8, VERSION);
    put_32(block + 12, head->slot);
    put_64(block + 16, head->generation);
    put_64(block + 24, head->secret);
    memcpy(block + 32, head->identity, FORMAT_IDENTITY);
    put_64(block + 48, head->size);
    put_64(block + 56, head->oldest);
    put_64(block + 64, XXH3_64bits(block, 64));
    memcpy(block + SEGMENT_SECOND, block, SEGMENT_HEAD);
}

static bool read_segment_copy(const char *bytes, struct format_segment *ret_head)
{
    if (!starts_with(bytes, segment_magic) || get_32(bytes + 8) != VERSION || get_64(bytes + 64) != XXH3_64bits(bytes, 64))
        return false;
    struct format_segment head = {
        .slot = get_32(bytes + 12),
        .generation = get_64(bytes + 16),
        .secret = get_64(bytes + 24),
        .size = get_64(bytes + 48),
        .oldest = get_64(bytes + 56),
    };
    memcpy(head.identity, bytes + 32, FORMAT_IDENTITY);
    bool is_right = head.size % FORMAT_BLOCK == 0 && head.size >= 2 * FORMAT_BLOCK && head.size <= FORMAT_SEGMENT_LIMIT &&
                    head.generation > 0 && head.generation < UINT64_MAX / 2 && head.oldest <= head.generation && head.slot < FORMAT_SLOTS;
    if (is_right)
        *ret_head = head;
    return is_right;
}

bool format_segment_read(struct text block, struct format_segment *ret_head)
{
    struct format_segment first, second;
    bool has_first = block.length >= SEGMENT_HEAD && read_segment_copy(block.bytes, &first);
    bool has_second = block.length >= SEGMENT_SECOND + SEGMENT_HEAD && read_segment_copy(block.bytes + SEGMENT_SECOND, &second);
    if (!has_first && !has_second)
        return false;
    /* they differ only when the write of a new head was torn: the new one is the higher one */
    *ret_head = has_first && (!has_second || first.generation >= second.generation) ? first : second;
    return true;
}

void format_group_write(char *bytes, const struct format_group *head, const struct format_place *place)
{
    memset(bytes, 0, FORMAT_GROUP_HEAD);
    memcpy(bytes, group_magic.bytes, group_magic.length);
    put_32(bytes + 4, head->length);
    put_64(bytes + 16, head->sequence);
    put_64(bytes + 24, head->durable);
    put_64(bytes + 32, head->oldest);
    put_32(bytes + 40, head->records_length);
    put_32(bytes + 44, head->count);
    put_64(bytes + 8, checksum_at(bytes, FORMAT_GROUP_HEAD, place));
}

bool format_group_read(struct text octets, const struct format_place *place, struct format_group *ret_head)
{
    const char *bytes = octets.bytes;
    if (octets.length < FORMAT_GROUP_HEAD || !starts_with(bytes, group_magic) ||
        get_64(bytes + 8) != checksum_at(bytes, FORMAT_GROUP_HEAD, place))
        return false;
    struct format_group head = {
        .length = get_32(bytes + 4),
        .sequence = get_64(bytes + 16),
        .durable = get_64(bytes + 24),
        .oldest = get_64(bytes + 32),
        .records_length = get_32(bytes + 40),
        .count = get_32(bytes + 44),
    };
    bool is_right = head.length % FORMAT_BLOCK == 0 && head.length > 0 && head.length <= FORMAT_SEGMENT_LIMIT &&
                    head.records_length <= FORMAT_RECORDS_LIMIT && head.records_length <= head.length - FORMAT_GROUP_HEAD &&
                    head.sequence > 0 && head.sequence < UINT64_MAX / 2 && head.durable < head.sequence && head.oldest <= place->generation;
    if (is_right)
        *ret_head = head;
    return is_right;
}

size_t format_record_size(const struct format_record *record)
{
    switch (record->type) {
    case FORMAT_MESSAGE:
    case FORMAT_MOVED:
        return FORMAT_RECORD_HEAD + record->envelope.length + record->states.length;
    case FORMAT_UPDATE:
        return FORMAT_RECORD_HEAD + record->update.result.length;
    case FORMAT_REMOVED:
    case FORMAT_STRUCK:
        return FORMAT_SHORT_HEAD;
    case FORMAT_NONE:
    case FORMAT_TYPES:
        break;
    }
    must(false && "a type of record");
    return 0;
}

/* Octets 28..55 of an update record, and what stands before each result in the states. */
static void write_state(char *bytes, const struct spool_update *update)
{
    put_32(bytes, update->recipient);
    put_32(bytes + 4, update->state);
    put_32(bytes + 8, update->attempts);
    put_32(bytes + 12, update->flags);
    put_32(bytes + 16, (uint32_t)update->result.length);
    put_64(bytes + 20, (uint64_t)update->next_attempt_ms);
}

static bool read_state(const char *bytes, struct spool_update *ret_update, uint32_t *ret_length)
{
    uint32_t state = get_32(bytes + 4), length = get_32(bytes + 16);
    if (state >= SPOOL_STATES || length > SPOOL_RESULT_LIMIT)
        return false;
    *ret_update = (struct spool_update){
        .recipient = get_32(bytes),
        .state = (enum spool_state)state,
        .attempts = get_32(bytes + 8),
        .flags = get_32(bytes + 12),
        .next_attempt_ms = (int64_t)get_64(bytes + 20),
    };
    *ret_length = length;
    return true;
}

static void write_message(char *bytes, const struct format_record *record)
{
    put_32(bytes + 28, (uint32_t)record->envelope.length);
    put_64(bytes + 32, record->body_length);
    put_64(bytes + 40, record->body_checksum);
    put_32(bytes + 48, record->body_offset);
    put_32(bytes + 52, (uint32_t)record->states.length);
    put_64(bytes + 56, (uint64_t)record->taken_ms);
    if (record->envelope.length)
        memcpy(bytes + FORMAT_RECORD_HEAD, record->envelope.bytes, record->envelope.length);
    if (record->states.length)
        memcpy(bytes + FORMAT_RECORD_HEAD + record->envelope.length, record->states.bytes, record->states.length);
}

void format_record_write(char *bytes, const struct format_record *record)
{
    size_t size = format_record_size(record);
    must(size <= FORMAT_RECORDS_LIMIT);
    memcpy(bytes, record_magic.bytes, record_magic.length);
    bytes[2] = (char)record->type;
    bytes[3] = record->is_large ? FORMAT_FLAG_LARGE : 0;
    put_32(bytes + 4, (uint32_t)size);
    put_64(bytes + 8, 0);
    put_64(bytes + 16, record->id);
    put_32(bytes + 24, record->group);
    put_32(bytes + 28, 0);
    if (record->type == FORMAT_MESSAGE || record->type == FORMAT_MOVED)
        write_message(bytes, record);
    if (record->type == FORMAT_UPDATE) {
        write_state(bytes + 28, &record->update);
        format_record_set_previous(bytes, record->previous_slot, record->previous_offset);
        if (record->update.result.length)
            memcpy(bytes + FORMAT_RECORD_HEAD, record->update.result.bytes, record->update.result.length);
    }
}

void format_record_set_group(char *bytes, uint32_t group)
{
    put_32(bytes + 24, group);
}

void format_record_set_body(char *bytes, uint32_t body_offset)
{
    put_32(bytes + 48, body_offset);
}

void format_record_set_body_checksum(char *bytes, uint64_t checksum)
{
    put_64(bytes + 40, checksum);
}

void format_record_set_previous(char *bytes, uint32_t slot, uint32_t offset)
{
    put_32(bytes + 56, slot);
    put_32(bytes + 60, offset);
}

/* What the checksum covers: a struck record's text is whatever stood there. */
static size_t covered_length(const char *bytes)
{
    return bytes[2] == FORMAT_STRUCK ? FORMAT_SHORT_HEAD : get_32(bytes + 4);
}

void format_record_seal(char *bytes, const struct format_place *place)
{
    put_64(bytes + 8, checksum_at(bytes, covered_length(bytes), place));
}

void format_struck_write(char *bytes, uint64_t id, uint32_t length, uint32_t group, const struct format_place *place)
{
    must(length >= FORMAT_SHORT_HEAD);
    format_record_write(bytes, &(struct format_record){.type = FORMAT_STRUCK, .id = id, .group = group});
    put_32(bytes + 4, length);
    format_record_seal(bytes, place);
}

uint32_t format_record_claim(struct text octets)
{
    if (octets.length < FORMAT_SHORT_HEAD || !starts_with(octets.bytes, record_magic))
        return 0;
    unsigned type = (uint8_t)octets.bytes[2];
    uint32_t length = get_32(octets.bytes + 4);
    uint32_t least = type == FORMAT_REMOVED || type == FORMAT_STRUCK ? FORMAT_SHORT_HEAD : FORMAT_RECORD_HEAD;
    if (type == FORMAT_NONE || type >= FORMAT_TYPES || length < least || length > FORMAT_RECORDS_LIMIT)
        return 0;
    return length;
}

static bool look_message(struct text octets, struct format_record *r)
{
    const char *bytes = octets.bytes;
    uint64_t envelope = get_32(bytes + 28), states = get_32(bytes + 52);
    if (FORMAT_RECORD_HEAD + envelope + states != octets.length)
        return false;
    r->body_length = get_64(bytes + 32);
    r->body_checksum = get_64(bytes + 40);
    r->body_offset = get_32(bytes + 48);
    r->taken_ms = (int64_t)get_64(bytes + 56);
    r->envelope = text_of(bytes + FORMAT_RECORD_HEAD, (size_t)envelope);
    r->states = text_of(bytes + FORMAT_RECORD_HEAD + envelope, (size_t)states);
    return r->is_large ? r->body_length < UINT64_MAX / 2 : r->body_length <= FORMAT_SEGMENT_LIMIT;
}

static bool look_update(struct text octets, struct format_record *r)
{
    uint32_t length;
    if (!read_state(octets.bytes + 28, &r->update, &length) || FORMAT_RECORD_HEAD + (size_t)length != octets.length)
        return false;
    r->update.result = text_after(octets, FORMAT_RECORD_HEAD);
    r->previous_slot = get_32(octets.bytes + 56);
    r->previous_offset = get_32(octets.bytes + 60);
    return true;
}

bool format_record_look(struct text octets, struct format_record *ret_record)
{
    uint32_t claim = format_record_claim(octets);
    if (claim == 0 || claim > octets.length)
        return false;
    octets = text_first(octets, claim);
    struct format_record r = {
        .type = (enum format_type)octets.bytes[2],
        .is_large = octets.bytes[3] & FORMAT_FLAG_LARGE,
        .length = claim,
        .id = get_64(octets.bytes + 16),
        .group = get_32(octets.bytes + 24),
        .envelope = TEXT_NONE,
        .states = TEXT_NONE,
        .update = {.result = TEXT_NONE},
    };
    bool is_message = r.type == FORMAT_MESSAGE || r.type == FORMAT_MOVED;
    if (is_message && !look_message(octets, &r))
        return false;
    if (r.type == FORMAT_UPDATE && !look_update(octets, &r))
        return false;
    if (r.type == FORMAT_REMOVED && claim != FORMAT_SHORT_HEAD)
        return false;
    *ret_record = r;
    return true;
}

bool format_record_read(struct text octets, const struct format_place *place, struct format_record *ret_record)
{
    uint32_t claim = format_record_claim(octets);
    if (claim == 0 || claim > octets.length)
        return false;
    if (get_64(octets.bytes + 8) != checksum_at(octets.bytes, covered_length(octets.bytes), place))
        return false;
    return format_record_look(octets, ret_record);
}

bool format_state_append(struct buffer *b, const struct spool_update *update)
{
    char head[FORMAT_STATE_HEAD];
    write_state(head, update);
    return buffer_append(b, text_of(head, sizeof head)) && buffer_append(b, update->result);
}

bool format_state_take(struct text *rest, struct spool_update *ret_update)
{
    struct spool_update update;
    uint32_t length;
    if (rest->length < FORMAT_STATE_HEAD || !read_state(rest->bytes, &update, &length) || rest->length - FORMAT_STATE_HEAD < length)
        return false;
    update.result = text_of(rest->bytes + FORMAT_STATE_HEAD, length);
    *rest = text_after(*rest, FORMAT_STATE_HEAD + (size_t)length);
    *ret_update = update;
    return true;
}
