/* SPDX-License-Identifier: Apache-2.0 */
/* The input is laid out as a segment: heads and records get the checksums that they would need, so that what lies behind the checks is reached. */
#include "spool/format.h"
#include "spool/scan.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SIZE = 5 * FORMAT_BLOCK };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct format_segment head = {.slot = 3, .generation = 7, .secret = 99, .size = SIZE};

static struct format_place place_at(size_t offset)
{
    return (struct format_place){.generation = head.generation, .secret = head.secret, .offset = offset};
}

/* Seals whatever looks like a head or a record, unless the place of its checksum holds an odd octet: those stay wrong. */
static void seal_all(char *segment)
{
    for (size_t at = FORMAT_BLOCK; at + FORMAT_RECORD_HEAD <= SIZE; at += 8) {
        struct text octets = text_of(segment + at, SIZE - at);
        uint32_t claim = format_record_claim(octets);
        struct format_place place = place_at(at);
        if (claim && claim <= octets.length && !(segment[at + 8] & 1))
            format_record_seal(segment + at, &place);
        if (at % FORMAT_BLOCK == 0 && memcmp(segment + at, "PGRP", 4) == 0 && !(segment[at + 8] & 1)) {
            struct format_group group = {.length = FORMAT_BLOCK, .records_length = (uint32_t)(uint8_t)segment[at + 40] * 16, .sequence = 1};
            memcpy(&group.count, segment + at + 44, sizeof group.count);
            format_group_write(segment + at, &group, &place);
        }
    }
}

static void walk_states(struct text states)
{
    struct spool_update update;
    size_t length = states.length;
    while (states.length && format_state_take(&states, &update))
        must(update.result.length <= SPOOL_RESULT_LIMIT && states.length < length);
}

static void walk(int file, uint64_t size)
{
    struct scan scan = scan_new(file, &head, size);
    struct scan_item item;
    uint64_t last = 0;
    size_t steps = 0;
    while (scan_next(&scan, &item) != SCAN_END) {
        must(++steps < SIZE);
        must(item.offset >= last && item.offset < SIZE);
        last = item.offset;
        if (item.found != SCAN_RECORD)
            continue;
        must(item.octets.length == item.record.length && item.offset + item.length <= size);
        must(item.record.envelope.length + item.record.states.length + item.record.update.result.length <= item.length);
        walk_states(item.record.states);
    }
    scan_done(&scan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char segment[SIZE];
    struct format_segment read_head;
    struct format_group group;
    struct format_record record;
    struct text input = text_of((const char *)data, size);
    struct format_place place = place_at(0);
    ignored(format_segment_read(input, &read_head)); /* only that it comes back */
    ignored(format_group_read(input, &place, &group));
    ignored(format_record_look(input, &record));
    walk_states(input);
    size = smaller(size, SIZE - FORMAT_BLOCK);
    memset(segment, 0, SIZE);
    memcpy(segment + FORMAT_BLOCK, data, size);
    seal_all(segment);
    int file = memfd_create("fuzz", MFD_CLOEXEC);
    must(file >= 0 && write(file, segment, FORMAT_BLOCK + size) == (ssize_t)(FORMAT_BLOCK + size));
    walk(file, FORMAT_BLOCK + size);
    must(ftruncate(file, SIZE) == 0);
    walk(file, SIZE);
    close(file);
    return 0;
}
