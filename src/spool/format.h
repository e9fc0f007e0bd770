/* SPDX-License-Identifier: Apache-2.0 */
/* format: the octets of the spool, written so that somebody could read a spool from this comment. Pure. Numbers are little-endian.
 * Everything read here is treated as a stranger's: nothing is believed before its checksum and its lengths are right.
 *
 * THE FOLDER
 *   lock                 empty; flock(2)ed by the server that works here
 *   identity             16 random octets, the same in every segment of this spool
 *   segment-NNNNNNNN     a segment; NNNNNNNN is its slot in decimal. Of a fixed size, used again and again
 *   making-NNNNNNNN      a segment being made; worthless after a crash
 *   large/HHHHHHHHHHHHHHHH   the body of the message with this id (hexadecimal), when it is large
 *   aside/               what was found damaged, foreign or unsafe: for a human being
 *
 * A SEGMENT is one block of 4096 octets with the segment's head, twice, and groups behind it:
 *
 *   0        2048     4096
 *   +--------+--------+-----------+------+-----+-------------------
 *   | head   | head   | group     | group      | ... | (old octets)
 *   +--------+--------+-----------+------+-----+-------------------
 *
 *   head     0  8 octets "PSPOOL1\n"        8  u32 version (1)     12  u32 slot
 *           16  u64 generation            24  u64 secret           32  16 octets identity
 *           48  u64 size of the segment   56  u64 oldest           64  u64 XXH3-64 of octets 0..63
 *
 *   Whenever a segment is used anew it gets a generation higher than all before, and a random secret, which goes into every checksum:
 *   so neither what an earlier generation left behind nor what a stranger wrote into a body can pass for a group or a record.
 *   The log is the segments in the order of their generations. Those below the highest "oldest" that stands in any head are free.
 *
 * A GROUP is what one write and one sync made durable. It starts and ends on a multiple of 4096, so no block that holds acknowledged
 * octets is ever written again. Its records come first, then the bodies in the same order, then zeros:
 *
 *   +------------+--------+--------+-----+------+------+-----+---------+
 *   | group head | record | record | ... | body | body | ... | padding |
 *   +------------+--------+--------+-----+------+------+-----+---------+
 *
 *   group head   0  4 octets "PGRP"         4  u32 length, with all of it     8  u64 checksum of octets 0..7 and 16..63
 *               16  u64 sequence          24  u64 durable                 32  u64 oldest
 *               40  u32 octets of records 44  u32 number of records       48  16 octets of zeros
 *
 *   Sequences grow by one. "durable" is the last group whose sync was known to have succeeded when this one was sealed: every group behind
 *   the highest "durable" found may be torn, and is read whole at start-up. "oldest" as in the segment's head.
 *   In a torn group, messages that are whole count (they may be waited for), updates and removals do not.
 *
 * A RECORD starts on a multiple of 8. Its head, then text:
 *
 *   0  2 octets "RP"   2  u8 type    3  u8 flags    4  u32 length, head and text, without the padding to 8
 *   8  u64 checksum of octets 0..7 and 16..length   16  u64 message id    24  u32 group: its offset in the segment / 4096
 *
 *   MESSAGE (1), MOVED (2): a message; MOVED: copied forward, it replaces all that was known of this id. flags 1: body in large/
 *       28  u32 length of the envelope    32  u64 length of the body    40  u64 XXH3-64 of the body    48  u32 its offset in the segment
 *       52  u32 length of the states      56  i64 when it was taken, wall clock in ms      64  envelope (mail/envelope.h), then states
 *       states: for each recipient an update as below, its octets 28..55 (28 octets), then its result
 *   UPDATE (3): what became of one recipient
 *       28  u32 recipient   32  u32 state   36  u32 attempts   40  u32 flags   44  u32 length of the result
 *       48  i64 next attempt, wall clock in ms      56  u32 slot, 60  u32 offset of the update before (0xffffffff: none)   64  result
 *   REMOVED (4): the message no longer waits.  28  u32 zero
 *   STRUCK (5): these octets held something torn, or never said anything; the checksum covers octets 0..31 only. 28  u32 zero
 *
 * The CHECKSUM of heads and records is XXH3-64 with a seed; the seed is the XXH3-64 of secret, generation, offset in the segment (u64 each) and
 * the head's first 8 octets. */
#ifndef SPOOL_FORMAT_H
#define SPOOL_FORMAT_H

#include "spool/spool.h"

enum {
    FORMAT_BLOCK = 4096,
    FORMAT_GROUP_HEAD = 64,
    FORMAT_RECORD_HEAD = 64,    /* MESSAGE, MOVED, UPDATE */
    FORMAT_SHORT_HEAD = 32,     /* REMOVED, STRUCK */
    FORMAT_IDENTITY = 16,
    FORMAT_STATE_HEAD = 28,
    FORMAT_RECORDS_LIMIT = 16 * 1024 * 1024, /* of one group */
    FORMAT_SLOTS = 1 << 20,
};
#define FORMAT_SEGMENT_LIMIT ((uint64_t)1 << 30)
#define FORMAT_NOWHERE UINT32_MAX

enum format_type { FORMAT_NONE, FORMAT_MESSAGE, FORMAT_MOVED, FORMAT_UPDATE, FORMAT_REMOVED, FORMAT_STRUCK, FORMAT_TYPES };
enum { FORMAT_FLAG_LARGE = 1 };

struct format_segment {
    uint32_t slot;
    uint64_t generation, secret, size, oldest;
    char identity[FORMAT_IDENTITY];
};

/* Where something stands: it goes into the checksum. */
struct format_place {
    uint64_t generation, secret;
    uint64_t offset;
};

struct format_group {
    uint32_t length, records_length, count;
    uint64_t sequence, durable, oldest;
};

struct format_record {
    enum format_type type;
    bool is_large;
    uint32_t length;
    uint64_t id;
    uint32_t group; /* offset / FORMAT_BLOCK */
    struct text envelope, states; /* MESSAGE, MOVED */
    uint64_t body_length, body_checksum;
    uint32_t body_offset;
    int64_t taken_ms;
    struct spool_update update; /* UPDATE */
    uint32_t previous_slot, previous_offset;
};

static inline size_t format_round_up(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

void format_segment_write(char block[FORMAT_BLOCK], const struct format_segment *head); /* both copies */
must_check bool format_segment_read(struct text block, struct format_segment *ret_head);

void format_group_write(char *bytes, const struct format_group *head, const struct format_place *place);
must_check bool format_group_read(struct text octets, const struct format_place *place, struct format_group *ret_head);

/* Octets of a record as it will stand, without padding. */
size_t format_record_size(const struct format_record *record);
/* Writes all but the checksum; later the fields that depend on the place are set, and it is sealed. */
void format_record_write(char *bytes, const struct format_record *record);
void format_record_set_group(char *bytes, uint32_t group);
void format_record_set_body(char *bytes, uint32_t body_offset);
void format_record_set_body_checksum(char *bytes, uint64_t checksum);
void format_record_set_previous(char *bytes, uint32_t slot, uint32_t offset);
void format_record_seal(char *bytes, const struct format_place *place);
/* A struck range of this length: FORMAT_SHORT_HEAD octets are written. */
void format_struck_write(char *bytes, uint64_t id, uint32_t length, uint32_t group, const struct format_place *place);

/* The length that the octets claim, 0 when they are no record's. Only to know how much to read. */
uint32_t format_record_claim(struct text octets);
/* octets may go on behind the record. The fields of a record in memory that is not sealed yet can be read with format_record_look. */
must_check bool format_record_read(struct text octets, const struct format_place *place, struct format_record *ret_record);
must_check bool format_record_look(struct text octets, struct format_record *ret_record);

bool format_state_append(struct buffer *b, const struct spool_update *update);
must_check bool format_state_take(struct text *rest, struct spool_update *ret_update);

uint64_t format_body_checksum(struct text body);

#endif
