/* SPDX-License-Identifier: Apache-2.0 */
/* Work for the disk thread when no group waits: segments are written ahead of use (the first write to fresh blocks costs nearly twice as much), free
 * ones get a new head, superfluous ones and the bodies of messages that are done with go. */
#include "spool/inside.h"

#include "system/clock.h"
#include "system/file.h"
#include "system/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { SLICE = 1024 * 1024 /* a group may have to wait for one */, ZEROS = 256 * 1024, REMOVALS = 16, RETRY_MS = 1000 };

enum chore_kind {
    CHORE_NONE,
    CHORE_MAKE,   /* a new segment, in slices */
    CHORE_RENEW,  /* a free one gets a new head */
    CHORE_DELETE, /* a free one goes */
    CHORE_REMOVE, /* large bodies go */
};

struct spool_chore {
    enum chore_kind kind;
    int folder, large_folder; /* borrowed */
    uint32_t slot;
    int file;      /* MAKE: owned until it is the segment's; RENEW: borrowed */
    struct format_segment head;
    uint64_t written;  /* MAKE: zeros so far */
    bool is_urgent;    /* MAKE: no zeros, it is needed now */
    bool is_done;
    uint64_t ids[REMOVALS];
    size_t id_count;
    int error;
};

static const char zeros[ZEROS];

static int write_head(struct spool_chore *c)
{
    char block[FORMAT_BLOCK];
    format_segment_write(block, &c->head);
    return file_write_all_at(c->file, text_of(block, sizeof block), 0);
}

static int make_begin(struct spool_chore *c)
{
    char name[32];
    struct text making = spool_segment_name(name, "making", c->slot);
    ignored(file_remove(c->folder, making)); /* left by a failure before, or not there */
    int error = file_open(c->folder, making, O_RDWR | O_CREAT | O_EXCL, 0600, &c->file);
    return error ? error : file_allocate(c->file, c->head.size);
}

static int make_slice(struct spool_chore *c)
{
    uint64_t end = c->written + SLICE < c->head.size ? c->written + SLICE : c->head.size;
    while (c->written < end) {
        size_t count = (size_t)(end - c->written < ZEROS ? end - c->written : ZEROS);
        int error = file_write_all_at(c->file, text_of(zeros, count), c->written);
        if (error)
            return error;
        c->written += count;
    }
    return file_sync_data(c->file);
}

/* Only now it is called a segment: with its size, its head, and all of it on the disk. */
static int make_end(struct spool_chore *c)
{
    char making[32], segment[32];
    int error = write_head(c);
    if (!error)
        error = file_sync(c->file);
    if (!error)
        error = file_rename(c->folder, spool_segment_name(making, "making", c->slot), c->folder, spool_segment_name(segment, "segment", c->slot));
    return error ? error : file_sync(c->folder);
}

static int make_some(struct spool_chore *c)
{
    int error = c->file < 0 ? make_begin(c) : 0;
    if (!error && !c->is_urgent && c->written < c->head.size)
        error = make_slice(c);
    if (error || (!c->is_urgent && c->written < c->head.size))
        return error;
    c->is_done = true;
    return make_end(c);
}

static int renew(struct spool_chore *c)
{
    int error = c->error ? c->error : write_head(c);
    return error ? error : file_sync_data(c->file);
}

void spool_chore_do(struct spool_chore *c)
{
    char name[32];
    switch (c->kind) {
    case CHORE_MAKE:
        c->error = make_some(c);
        if (c->error) {
            file_close(&c->file);
            ignored(file_remove(c->folder, spool_segment_name(name, "making", c->slot))); /* it gives its room back; else the next start does */
        }
        return;
    case CHORE_RENEW:
        c->error = renew(c);
        return;
    case CHORE_DELETE:
        c->error = file_remove(c->folder, spool_segment_name(name, "segment", c->slot));
        return;
    case CHORE_REMOVE:
        for (size_t i = 0; i < c->id_count; i++)
            ignored(file_remove(c->large_folder, spool_large_name(name, c->ids[i]))); /* what stays is an orphan at the next start */
        return;
    case CHORE_NONE:
        return;
    }
}

static struct format_segment new_head(struct spool *s, uint32_t slot)
{
    struct format_segment head = {
        .slot = slot,
        .generation = s->next_generation++,
        .secret = random_number(),
        .size = s->options.segment_size,
        .oldest = s->oldest,
    };
    memcpy(head.identity, s->identity, FORMAT_IDENTITY);
    return head;
}

static bool is_renewable(const struct spool *s, const struct segment *g)
{
    return g->state == SEGMENT_FREE && !g->is_cut && g->size == s->options.segment_size;
}

static uint32_t find_renewable(const struct spool *s)
{
    for (uint32_t slot = 0; slot < s->slot_count; slot++)
        if (is_renewable(s, &s->segments[slot]))
            return slot;
    return FORMAT_NOWHERE;
}

/* A free segment that nobody will use again. It may only go once the disk says that it is free: else what it says of older ones, "removed", would
 * be gone before them. */
static uint32_t find_superfluous(const struct spool *s)
{
    size_t kept = s->ready_count;
    for (uint32_t slot = 0; slot < s->slot_count; slot++) {
        const struct segment *g = &s->segments[slot];
        if (g->state != SEGMENT_FREE || g->out > 0)
            continue;
        bool is_kept = is_renewable(s, g) && !s->is_full && ++kept <= 2 * s->options.spare_segments;
        if (!is_kept && g->generation < s->durable_oldest)
            return slot;
    }
    return FORMAT_NOWHERE;
}

static bool is_urgent(struct spool *s)
{
    uint32_t slot = segment_active(s);
    if (s->ready_count > 0)
        return false;
    return slot == FORMAT_NOWHERE || segment_of(s, slot)->is_closed || segment_of(s, slot)->end > segment_of(s, slot)->size / 2;
}

static struct spool_chore *begin(struct spool *s, enum chore_kind kind, uint32_t slot)
{
    if (!s->chore) {
        s->chore = calloc(1, sizeof *s->chore);
        must(s->chore != NULL);
    }
    *s->chore = (struct spool_chore){.kind = kind, .slot = slot, .folder = s->folder, .large_folder = s->large_folder, .file = -1};
    return s->chore;
}

static struct spool_chore *begin_removals(struct spool *s)
{
    const struct spool_removal *removals = (const void *)s->removals.bytes;
    size_t count = s->removals.length / sizeof *removals, due = 0;
    while (due < count && due < REMOVALS && removals[due].sequence <= s->durable)
        due++;
    if (due == 0)
        return NULL;
    struct spool_chore *c = begin(s, CHORE_REMOVE, 0);
    for (; c->id_count < due; c->id_count++)
        c->ids[c->id_count] = removals[c->id_count].id;
    buffer_drop_front(&s->removals, due * sizeof *removals);
    return c;
}

/* The room under the floor belongs to others. */
static bool has_disk_for_segment(struct spool *s)
{
    spool_look_at_disk(s);
    return s->free_octets >= s->options.segment_size && s->free_octets - s->options.segment_size >= s->options.floor_octets &&
           s->free_inodes > s->options.floor_inodes;
}

static struct spool_chore *begin_spare(struct spool *s)
{
    uint32_t slot = find_renewable(s);
    if (slot == FORMAT_NOWHERE) {
        slot = segment_free_slot(s);
        if (slot == FORMAT_NOWHERE || !has_disk_for_segment(s)) {
            s->chore_failed = true;
            s->chore_retry_ms = clock_monotonic_ms() + RETRY_MS;
            return NULL;
        }
        struct spool_chore *c = begin(s, CHORE_MAKE, slot);
        segment_of(s, slot)->state = SEGMENT_BUSY;
        c->head = new_head(s, slot);
        return c;
    }
    struct spool_chore *c = begin(s, CHORE_RENEW, slot);
    segment_of(s, slot)->state = SEGMENT_BUSY;
    c->head = new_head(s, slot);
    c->error = segment_open(s, slot, &c->file);
    return c;
}

static struct spool_chore *choose(struct spool *s)
{
    if (s->chore && s->chore->kind == CHORE_MAKE)
        return s->chore; /* half made: it has the lowest generation of those to come, so it is made ready first */
    struct spool_chore *c = begin_removals(s);
    if (!c && s->ready_count < s->options.spare_segments && clock_monotonic_ms() >= s->chore_retry_ms)
        c = begin_spare(s);
    if (c)
        return c;
    uint32_t slot = find_superfluous(s);
    if (slot == FORMAT_NOWHERE)
        return NULL;
    segment_of(s, slot)->state = SEGMENT_BUSY;
    return begin(s, CHORE_DELETE, slot);
}

struct spool_chore *spool_chore_next(struct spool *s)
{
    if (s->chore_is_out || s->is_broken || !s->is_recovered)
        return NULL;
    struct spool_chore *c = choose(s);
    if (!c)
        return NULL;
    c->is_urgent = is_urgent(s);
    s->chore_is_out = true;
    return c;
}

static void tell_failure(struct spool *s, const struct spool_chore *c)
{
    char name[32];
    if (!s->chore_failed) /* once: it is tried again and again */
        spool_tell(s, &(struct spool_problem){
                          .kind = SPOOL_PROBLEM_BACKGROUND, .name = spool_segment_name(name, "segment", c->slot), .error = c->error});
    s->chore_failed = true;
    s->chore_retry_ms = clock_monotonic_ms() + RETRY_MS;
}

static void make_ready(struct spool *s, struct spool_chore *c)
{
    struct segment *g = segment_of(s, c->slot);
    int file = c->kind == CHORE_MAKE ? c->file : g->file;
    s->open_count += c->kind == CHORE_MAKE;
    *g = (struct segment){
        .state = SEGMENT_READY,
        .file = file,
        .generation = c->head.generation,
        .secret = c->head.secret,
        .size = c->head.size,
        .end = FORMAT_BLOCK,
        .looked_at = ++s->looks,
    };
    c->file = -1;
    s->ready_count++;
    s->chore_failed = false;
    s->durable_oldest = c->head.oldest > s->durable_oldest ? c->head.oldest : s->durable_oldest;
}

static void finish_spare(struct spool *s, struct spool_chore *c)
{
    struct segment *g = segment_of(s, c->slot);
    if (!c->error) {
        make_ready(s, c);
        return;
    }
    tell_failure(s, c);
    if (c->kind == CHORE_MAKE) {
        file_close(&c->file);
        g->state = SEGMENT_NONE;
    } else {
        g->state = SEGMENT_FREE;
        g->is_cut = true; /* the disk does not take a head there: it goes */
    }
}

void spool_chore_finish(struct spool *s, struct spool_chore *c)
{
    must(s->chore_is_out && c == s->chore);
    s->chore_is_out = false;
    if (c->kind == CHORE_MAKE && !c->error && !c->is_done)
        return; /* a slice of it */
    if (c->kind == CHORE_MAKE || c->kind == CHORE_RENEW)
        finish_spare(s, c);
    if (c->kind == CHORE_DELETE)
        segment_forget(s, c->slot); /* a file that stays is a free segment at the next start */
    c->kind = CHORE_NONE;
}

int chore_run_now(struct spool *s)
{
    int error = 0;
    while (!error && s->ready_count == 0) {
        struct spool_chore *c = s->chore && s->chore->kind == CHORE_MAKE ? s->chore : begin_spare(s);
        if (!c)
            return ENOSPC;
        s->chore_is_out = true;
        spool_chore_do(c);
        error = c->error;
        spool_chore_finish(s, c);
    }
    return error;
}

void chore_free(struct spool *s)
{
    if (s->chore && s->chore->kind == CHORE_MAKE)
        file_close(&s->chore->file);
    free(s->chore);
    s->chore = NULL;
}
