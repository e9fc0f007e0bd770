/* SPDX-License-Identifier: Apache-2.0 */
/* table: the waiting messages in memory, 32 octets each: id, where the record stands, where the latest update stands. In 64 parts, so that
 * growing never stops the loop for long. */
#ifndef SPOOL_TABLE_H
#define SPOOL_TABLE_H

#include "base/base.h"

enum { TABLE_PARTS = 64 };

struct table_entry {
    uint64_t id;     /* 0: a free place */
    uint32_t slot, offset; /* of the record: segment and octet, or slot TABLE_COLLECTING and the octet in the group being collected */
    uint32_t update_slot, update_offset; /* of the latest update, slot FORMAT_NOWHERE: none */
    uint32_t octets; /* of record and body in the segment */
    uint32_t is_large;
};
#define TABLE_COLLECTING (UINT32_MAX - 1)

struct table_part {
    struct table_entry *entries;
    uint32_t capacity, count;
};

struct table {
    struct table_part parts[TABLE_PARTS];
    uint64_t seed, count;
};

struct table table_new(uint64_t seed);
void table_done(struct table *t);
struct table_entry *table_find(const struct table *t, uint64_t id);  /* valid until the next put or remove */
struct table_entry *table_put(struct table *t, uint64_t id); /* the id is not there yet, and not 0 */
void table_remove(struct table *t, uint64_t id);
bool table_next(const struct table *t, uint64_t *cursor, const struct table_entry **ret_entry);

#endif
