/* SPDX-License-Identifier: Apache-2.0 */
/* spool: the durable store of waiting messages, a segment log with group commit (the octets on disk: spool/format.h).
 * A spool is owned by one thread, the loop; only what is marked "disk thread" may run beside it, on one thread: it works on what was
 * handed to it (a sealed group, a chore, a large body) and on nothing else. A message may be acknowledged once the group that it
 * was appended to has been finished with SPOOL_OK, never before. Messages are known by their id; where they stand is the spool's own business.
 * Recipients are waiting until an update says otherwise; a crash can forget the latest updates (a delivery is repeated), never a message.
 * After a failed write or sync the spool is broken: nothing is taken any more; close it, open it anew and believe the disk. */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include "base/base.h"

struct spool;
struct spool_group;
struct spool_chore;
struct spool_large;

enum spool_result {
    SPOOL_OK,
    SPOOL_LATER,     /* no room in the group being collected, or no segment is ready: seal, finish groups and chores, ask again */
    SPOOL_NO_SPACE,  /* under the floor of free octets or inodes, or the disk gave no new segment: 452 4.3.1 */
    SPOOL_TOO_LARGE, /* more than a record can hold; a body from large_from on goes through spool_large */
    SPOOL_DUPLICATE, /* a message with this id waits already */
    SPOOL_UNKNOWN,   /* no such message waits */
    SPOOL_LOCKED,    /* another server works in this folder */
    SPOOL_DAMAGED,   /* what stands on the disk is not what was written */
    SPOOL_BROKEN,    /* a write failed: 451 4.3.0, and open anew */
    SPOOL_FAILED,    /* the trouble's errno says why */
    SPOOL_RESULTS,
};

/* What went wrong, for the log line of the role. */
struct spool_trouble {
    enum spool_result result;
    int error;          /* errno, or 0 */
    struct text doing;  /* constant: "open", "lock", "write", "sync" ... */
    struct text name;   /* constant, or of the spool or group it came with: the file's name */
};

enum spool_problem_kind {
    SPOOL_PROBLEM_NONE,
    SPOOL_PROBLEM_FOREIGN_FILE,   /* not a segment of ours: put aside */
    SPOOL_PROBLEM_UNSAFE_FILE,    /* a link, more than one link, wrong owner, no regular file: put aside, never followed */
    SPOOL_PROBLEM_CUT_FILE,       /* a segment shorter or longer than it says */
    SPOOL_PROBLEM_UNREADABLE_FILE, /* the disk gave an error */
    SPOOL_PROBLEM_DAMAGED_GROUP,  /* the head of a group is damaged; its records were found all the same */
    SPOOL_PROBLEM_MISSING_GROUP,  /* a group that was durable is not there */
    SPOOL_PROBLEM_DAMAGED_RECORD, /* a record is not what was written: a copy was put aside */
    SPOOL_PROBLEM_UNFINISHED,     /* cut off by a crash before it was acknowledged: normal; a copy was put aside */
    SPOOL_PROBLEM_DUPLICATE_ID,   /* two messages of one id: the first one counts, a copy of the other was put aside */
    SPOOL_PROBLEM_NO_BODY,        /* the file of a large body is not there or too short; the message was put aside */
    SPOOL_PROBLEM_BACKGROUND,     /* a chore failed, it will be tried again */
    SPOOL_PROBLEMS,
};

struct spool_problem {
    enum spool_problem_kind kind;
    struct text name;  /* the file, valid during the call */
    uint64_t offset;   /* in the file */
    uint64_t id;       /* the message, 0: not known */
    int error;
    struct text aside; /* name of the copy in the folder "aside", or empty */
};

struct spool_options {
    uint64_t segment_size;     /* 0: 64 MiB. A multiple of 4096, from 64 KiB to 1 GiB */
    size_t group_size;         /* 0: 4 MiB, at most a quarter of a segment. What one group may hold of records, and again of bodies */
    uint64_t large_from;       /* 0: 1 MiB, at most half a group. Bodies from this size on live in files of their own */
    size_t spare_segments;     /* 0: 2. Segments kept ready ahead of use */
    size_t garbage_segments;   /* 0: 16. What may lie about before waiting messages are copied forward */
    uint64_t floor_octets;     /* 0: none. Below it, only is_own messages and updates are taken */
    uint64_t floor_inodes;     /* 0: none */
    void (*problem)(void *context, const struct spool_problem *problem); /* NULL: nobody wants to know */
    void *context;
};

/* folder: an open descriptor, borrowed until the close. Takes the lock, makes what is missing, puts unsafe and foreign files aside, syncs
 * what the process before may have left unsynced. The trouble is set whenever the result is not SPOOL_OK. */
must_check enum spool_result spool_open(int folder, const struct spool_options *options, struct spool_trouble *trouble, struct spool **ret_spool);
/* Groups and chores that are out must have come back. Collected updates that were not written are forgotten. */
void spool_close(struct spool **spool);
struct text spool_result_word(enum spool_result result);             /* "no space" */
struct text spool_problem_word(enum spool_problem_kind kind); /* "damaged record" */

/* --- what stands in it -------------------------------------------------------------------------------------------------------- */

enum spool_state {
    SPOOL_WAITING, /* to be tried, at next_attempt_ms when that is set */
    SPOOL_HELD,    /* waiting, but not tried until released */
    SPOOL_DONE,    /* delivered, relayed, or given up and reported: never again */
    SPOOL_FAILED_FOR_GOOD, /* failed, and the report is still owed */
    SPOOL_STATES,
};

enum { SPOOL_WHOLE_MESSAGE = UINT32_MAX - 1 }; /* in place of a recipient's index: hold, warned and the like for all of it */

/* The latest that was journalled about one recipient (its place in the envelope). */
struct spool_update {
    uint32_t recipient;
    enum spool_state state;
    uint32_t attempts;
    uint32_t flags; /* the role's own: warned, ... */
    int64_t next_attempt_ms; /* wall clock, 0: not known */
    struct text result; /* mail/result.h packs it; any octets, at most SPOOL_RESULT_LIMIT */
};
enum { SPOOL_RESULT_LIMIT = 8192 };

struct spool_message {
    uint64_t id;
    int64_t taken_ms; /* wall clock, as appended */
    uint64_t body_length;
    bool is_large;
    struct text envelope; /* as appended */
    const struct spool_update *updates; /* recipients that were never updated are not in it; no recipient twice */
    size_t update_count;
};

/* Start-up, once, after the open: reads heads and records, no bodies (but of the last groups, which a crash may have torn), then calls
 * back for each waiting message, in the order of the log. Texts are valid during the call. Nothing may be appended meanwhile. */
must_check enum spool_result spool_recover(struct spool *s, void (*each)(void *context, const struct spool_message *message), void *context,
                                           struct spool_trouble *trouble);

/* Reads a message with all that was journalled about it. octets and arena own what ret_message points to. SPOOL_UNKNOWN until its group was
 * finished; updates that are still being collected are not in it. */
must_check enum spool_result spool_read(struct spool *s, uint64_t id, struct buffer *octets, struct arena *arena, struct spool_message *ret_message);
/* Octets of a body; ret_got is less than count only at its end. A body read whole (offset 0, count its length or more) has been compared
 * with its checksum; for parts call spool_check_body once before. */
must_check enum spool_result spool_read_body(struct spool *s, uint64_t id, uint64_t offset, char *bytes, size_t count, size_t *ret_got);
must_check enum spool_result spool_check_body(struct spool *s, uint64_t id);
/* Walks the ids of all waiting messages in no order, in constant memory: start with *cursor = 0. What comes or goes meanwhile may be
 * missed or seen twice, nothing else is. False at the end. */
bool spool_next(const struct spool *s, uint64_t *cursor, uint64_t *ret_id);
bool spool_has(const struct spool *s, uint64_t id);

struct spool_facts {
    uint64_t waiting;        /* messages */
    uint64_t waiting_octets; /* their records and bodies, without large ones */
    uint64_t segments, spares, segment_size;
    uint64_t free_octets, free_inodes; /* of the file system, as of the last spool_tidy */
    uint64_t groups, syncs, moved; /* since the open; moved: messages copied forward */
    bool is_full;            /* only is_own messages are taken */
    bool is_broken;
};
struct spool_facts spool_facts(const struct spool *s);
bool spool_is_broken(const struct spool *s);

/* --- into the group being collected -------------------------------------------------------------------------------------------- */

struct spool_new {
    uint64_t id; /* not 0 */
    int64_t taken_ms;
    struct text envelope;
    bool is_own; /* a report of ours: the floor is kept free for it */
};

/* Room for a body in the group, to be copied into once (out of the window); then append, with nothing of the spool called in between. */
must_check enum spool_result spool_reserve(struct spool *s, size_t body_length, bool is_own, char **ret_body);
must_check enum spool_result spool_append_reserved(struct spool *s, const struct spool_new *message, size_t body_length);
must_check enum spool_result spool_append(struct spool *s, const struct spool_new *message, struct text body);
/* Journals what became of one recipient. Forces no sync. SPOOL_OK also says: the table of waiting messages knows it from now on. */
must_check enum spool_result spool_update(struct spool *s, uint64_t id, const struct spool_update *update);
/* All recipients are done (or an administrator removed it). Forces no sync; its octets are overwritten only once this group is durable, and with it
 * what was appended before: so append a report first, then remove what it reports. */
must_check enum spool_result spool_remove(struct spool *s, uint64_t id);

/* For a message that is SPOOL_DAMAGED: what is left of it is copied to the folder "aside" (told as a problem), and it is removed. */
must_check enum spool_result spool_put_aside(struct spool *s, uint64_t id);

/* What the group being collected holds. */
bool spool_has_collected(const struct spool *s);      /* anything at all */
bool spool_must_sync(const struct spool *s);          /* a message: somebody waits for it */
/* Hands the collected records over; NULL when there is nothing, or no second group may go out now. The spool begins a new group. Groups must be
 * written in the order in which they were sealed. One with updates alone is written without a sync, at the role's leisure (within 1 s). */
struct spool_group *spool_group_seal(struct spool *s);
void spool_group_write(struct spool_group *group); /* disk thread: pwrite, and one fdatasync if it holds a message */
/* SPOOL_OK: all that was appended to it is durable. Else the spool is broken, and all of it is refused. The group is gone. */
must_check enum spool_result spool_group_finish(struct spool *s, struct spool_group *group, struct spool_trouble *trouble);

/* --- bodies in files of their own ------------------------------------------------------------------------------------------------- */

must_check enum spool_result spool_large_begin(struct spool *s, uint64_t id, bool is_own, struct spool_large **ret_large);
must_check enum spool_result spool_large_write(struct spool_large *large, struct text octets); /* any thread */
uint64_t spool_large_length(const struct spool_large *large);
/* Appends the record; the file and its folder are synced with the group. SPOOL_OK takes the large body; else it stays the caller's. */
must_check enum spool_result spool_large_commit(struct spool *s, struct spool_large **large, const struct spool_new *message);
void spool_large_abort(struct spool *s, struct spool_large **large);

/* --- in the background -------------------------------------------------------------------------------------------------------- */

/* A step for a timer (10 times a second, or when idle): frees what nothing waits in, and when more lies about than may, copies some waiting
 * messages of the oldest segment into the group being collected. True: call again soon, after the next group was finished. */
bool spool_tidy(struct spool *s);
/* Something for the disk thread to do when no group waits: writing a segment ahead of use, making one ready again, removing files. NULL: nothing.
 * One is out at a time; each takes some milliseconds. */
struct spool_chore *spool_chore_next(struct spool *s);
void spool_chore_do(struct spool_chore *chore); /* disk thread */
void spool_chore_finish(struct spool *s, struct spool_chore *chore); /* a failure is told as a problem, and is tried again */

#endif
