/* SPDX-License-Identifier: Apache-2.0 */
/* inside: what the files of this folder share. Nobody else includes it. */
#ifndef SPOOL_INSIDE_H
#define SPOOL_INSIDE_H

#include "spool/format.h"
#include "spool/scan.h"
#include "spool/spool.h"
#include "spool/table.h"

enum {
    SPOOL_GROUPS_OUT = 2,      /* sealed groups that have not come back */
    SPOOL_GROUPS = SPOOL_GROUPS_OUT + 1,
    SPOOL_UNSYNCED_LIMIT = 16, /* groups written without a sync in a row; start-up reads that many whole */
    SPOOL_OPEN_SEGMENTS = 200, /* descriptors kept */
};

enum segment_state {
    SEGMENT_NONE,  /* no file in this slot */
    SEGMENT_READY, /* written ahead, its head is durable */
    SEGMENT_USED,  /* in the log */
    SEGMENT_FREE,  /* nothing waits in it: it may get a new generation, or go */
    SEGMENT_BUSY,  /* a chore works on it */
};

struct segment {
    enum segment_state state;
    int file; /* -1: not open now */
    uint32_t out; /* groups out that go into it: the file stays open */
    uint64_t generation, secret, size;
    uint64_t end; /* where the next group goes; a multiple of FORMAT_BLOCK */
    uint64_t live_octets;
    uint32_t live; /* messages of the table that stand in it */
    bool is_closed; /* cut, unreadable, or full: nothing is appended to it any more */
    bool is_cut;    /* never used again */
    uint64_t hold_until; /* messages were moved out of it or removed by the group of this sequence, which must be durable before it is free */
    uint64_t looked_at;  /* for closing what was not used for long */
};

struct spool_group {
    char *memory;        /* group_size octets for records, then group_size and a block for bodies */
    size_t size;         /* group_size */
    char *start;         /* sealed: where the group begins in memory */
    size_t records_length; /* with the group's head */
    size_t bodies_length;
    uint32_t count;
    bool has_messages;   /* must be synced */
    bool is_synced;
    bool has_large;
    struct buffer larges; /* descriptors of large bodies, to be synced before; owned */
    /* set when it is sealed */
    int file, file_before, large_folder; /* borrowed; file_before: the segment before, with groups not synced yet, or -1 */
    uint32_t slot, slot_before;
    struct format_place place;
    struct format_group head;
    /* set by the disk thread */
    int error;
    struct text doing;
};

struct spool_removal { /* a large body whose message has gone */
    uint64_t id, sequence; /* it may go once the group of this sequence is durable */
};

struct spool {
    int folder, large_folder, aside_folder, lock;
    struct spool_options options;
    char identity[FORMAT_IDENTITY];
    bool is_recovered, is_broken, is_full, chore_failed;

    struct segment *segments; /* by slot */
    uint32_t slot_count;
    struct buffer order;      /* slots of the log (uint32_t), oldest first; the last one is appended to */
    uint32_t ready_count, used_count, open_count;
    uint64_t next_generation, oldest, durable_oldest, looks;

    struct table table;
    uint64_t live_octets;

    struct spool_group *collecting;
    struct spool_group *resting[SPOOL_GROUPS];
    struct spool_group *out[SPOOL_GROUPS_OUT]; /* oldest first */
    size_t resting_count, out_count;
    size_t reserved;  /* octets of a body to be appended next */
    uint64_t sequence, finished, durable; /* of groups: sealed, come back, known to be synced */
    uint32_t unsynced;
    uint64_t groups, syncs, moved;

    struct spool_chore *chore; /* the one that is out, or a segment half made */
    bool chore_is_out;
    uint64_t chore_retry_ms;   /* monotonic; after a failure */
    struct buffer removals;  /* of struct spool_removal */
    struct buffer scratch;   /* a record being read */
    struct buffer bodies;    /* a body being copied forward */
    uint64_t tidy_generation, tidy_offset; /* how far tidy has come in the oldest segment; UINT64_MAX: it is through */
    uint64_t free_octets, free_inodes;
    uint32_t aside_count;
    char name[32];           /* of the file in the last trouble */
};

/* spool.c */
enum spool_result spool_trouble(struct spool_trouble *trouble, enum spool_result result, int error, struct text doing, struct text name);
struct text spool_segment_name(char name[32], const char *kind, uint32_t slot);
struct text spool_large_name(char name[32], uint64_t id);
void spool_tell(struct spool *s, const struct spool_problem *problem);
void spool_look_at_disk(struct spool *s); /* free octets and inodes */

/* segment.c */
struct segment *segment_of(struct spool *s, uint32_t slot); /* makes room for the slot */
must_check int segment_open(struct spool *s, uint32_t slot, int *ret_file); /* borrowed, until the next segment_open */
void segment_forget(struct spool *s, uint32_t slot); /* closes, and empties the slot */
uint32_t segment_active(const struct spool *s);      /* slot, or FORMAT_NOWHERE */
uint32_t segment_next_ready(const struct spool *s);  /* the READY one of the lowest generation, or FORMAT_NOWHERE */
void segment_use(struct spool *s, uint32_t slot);    /* READY to USED, the last of the log */
void segment_retire(struct spool *s);                /* the oldest of the log is free */
uint32_t segment_oldest(const struct spool *s);      /* slot, or FORMAT_NOWHERE */
uint32_t segment_free_slot(struct spool *s);         /* a slot without a file */
/* A scan of the whole segment, of what is really there; its file is borrowed until the next segment_open. */
must_check int segment_scan(struct spool *s, uint32_t slot, struct scan *ret_scan);
void segment_count_live(struct spool *s, const struct table_entry *entry, bool is_more);

/* aside.c */
void aside_file(struct spool *s, struct text name, enum spool_problem_kind kind, int error);
/* Copies octets of a file there, and tells. */
void aside_copy(struct spool *s, int file, const struct spool_problem *problem, uint64_t offset, uint64_t length, uint64_t body_offset, uint64_t body_length);

/* Is the body that this record tells of on the disk, octet for octet? error: 0 or why it could not be read. */
bool body_is_whole(struct spool *s, int file, const struct format_record *record, int *ret_error);

/* settle.c: the end of the log, made safe at the open */
must_check enum spool_result settle_tail(struct spool *s, struct spool_trouble *trouble);

/* read.c */
/* The record that stands there, in memory or on the disk, copied to octets (which is cleared first). */
must_check enum spool_result read_record(struct spool *s, uint32_t slot, uint32_t offset, struct buffer *octets, struct format_record *ret_record);
/* All that was journalled about the message of this record, newest for each recipient, sorted by recipient, in the arena. */
must_check enum spool_result read_updates(struct spool *s, const struct table_entry *entry, struct text states, struct arena *arena,
                                          struct spool_message *ret_message);
must_check enum spool_result read_body(struct spool *s, const struct table_entry *entry, const struct format_record *record, uint64_t offset,
                                       char *bytes, size_t count, size_t *ret_got);

/* group.c */
must_check enum spool_result group_append(struct spool *s, const struct format_record *record, bool is_own, bool is_message, uint32_t *ret_at);
must_check enum spool_result group_begin(struct spool *s); /* there is one being collected */
void group_put_body(struct spool_group *g, uint32_t at, struct text body); /* at: of the record just appended */
void group_set_entry(struct table_entry *entry, const struct format_record *record, uint32_t at); /* it stands in the group being collected */
void group_free(struct spool_group **group);

/* chore.c */
must_check int chore_run_now(struct spool *s); /* makes one segment ready, at the open */
void chore_free(struct spool *s);

#endif
