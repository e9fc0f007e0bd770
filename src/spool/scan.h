/* SPDX-License-Identifier: Apache-2.0 */
/* scan: walks one segment's groups and records without reading bodies, and finds its way again behind damage. It believes nothing that has no
 * right checksum. Texts of an item are valid until the next step. */
#ifndef SPOOL_SCAN_H
#define SPOOL_SCAN_H

#include "spool/format.h"

enum scan_found {
    SCAN_END,
    SCAN_GROUP,      /* a group begins; without a head when only its records were found */
    SCAN_RECORD,
    SCAN_DAMAGE,     /* octets in the group's records that are none */
    SCAN_UNREADABLE, /* the disk gave an error; the scan goes on behind it */
};

struct scan_item {
    enum scan_found found;
    uint64_t offset, length;
    struct text octets; /* of a record */
    struct format_record record;
    struct format_group head;
    bool has_head;
    int error;
};

struct scan {
    int file; /* borrowed */
    uint64_t generation, secret;
    uint64_t size;  /* octets to look at */
    uint64_t group; /* where the group begins, or the next one is looked for */
    uint64_t at;    /* the next record, 0: not in a group */
    uint64_t records_end, next_group, bodies_end;
    uint64_t end; /* behind the last group walked */
    bool has_head;
    uint64_t budget; /* octets that may be hashed on the search behind damage */
    struct buffer window;
    uint64_t window_at;
    int error;
};

struct scan scan_new(int file, const struct format_segment *head, uint64_t file_size);
void scan_done(struct scan *s); /* released_by(scan_done) */
void scan_from(struct scan *s, uint64_t group); /* a multiple of FORMAT_BLOCK */
enum scan_found scan_next(struct scan *s, struct scan_item *ret_item);

#endif
