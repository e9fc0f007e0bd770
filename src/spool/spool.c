/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/inside.h"

#include "system/file.h"
#include "system/process.h"
#include "system/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEBIBYTE ((uint64_t)1024 * 1024)

static const struct text result_words[SPOOL_RESULTS] = {
    [SPOOL_OK] = TEXT_INIT("done"),
    [SPOOL_LATER] = TEXT_INIT("no room yet"),
    [SPOOL_NO_SPACE] = TEXT_INIT("no space"),
    [SPOOL_TOO_LARGE] = TEXT_INIT("too large"),
    [SPOOL_DUPLICATE] = TEXT_INIT("this id waits already"),
    [SPOOL_UNKNOWN] = TEXT_INIT("no such message waits"),
    [SPOOL_LOCKED] = TEXT_INIT("another server works in this folder"),
    [SPOOL_DAMAGED] = TEXT_INIT("damaged on the disk"),
    [SPOOL_BROKEN] = TEXT_INIT("a write failed before"),
    [SPOOL_FAILED] = TEXT_INIT("failed"),
};

static const struct text problem_words[SPOOL_PROBLEMS] = {
    [SPOOL_PROBLEM_NONE] = TEXT_INIT("no problem"),
    [SPOOL_PROBLEM_FOREIGN_FILE] = TEXT_INIT("foreign file"),
    [SPOOL_PROBLEM_UNSAFE_FILE] = TEXT_INIT("unsafe file"),
    [SPOOL_PROBLEM_CUT_FILE] = TEXT_INIT("cut file"),
    [SPOOL_PROBLEM_UNREADABLE_FILE] = TEXT_INIT("unreadable file"),
    [SPOOL_PROBLEM_DAMAGED_GROUP] = TEXT_INIT("damaged group head"),
    [SPOOL_PROBLEM_MISSING_GROUP] = TEXT_INIT("missing group"),
    [SPOOL_PROBLEM_DAMAGED_RECORD] = TEXT_INIT("damaged record"),
    [SPOOL_PROBLEM_UNFINISHED] = TEXT_INIT("unfinished record"),
    [SPOOL_PROBLEM_DUPLICATE_ID] = TEXT_INIT("duplicate id"),
    [SPOOL_PROBLEM_NO_BODY] = TEXT_INIT("missing body"),
    [SPOOL_PROBLEM_BACKGROUND] = TEXT_INIT("background work failed"),
};

struct text spool_result_word(enum spool_result result)
{
    must(result < SPOOL_RESULTS);
    return result_words[result];
}

struct text spool_problem_word(enum spool_problem_kind kind)
{
    must(kind < SPOOL_PROBLEMS);
    return problem_words[kind];
}

enum spool_result spool_trouble(struct spool_trouble *trouble, enum spool_result result, int error, struct text doing, struct text name)
{
    *trouble = (struct spool_trouble){.result = result, .error = error, .doing = doing, .name = name};
    return result;
}

struct text spool_segment_name(char name[32], const char *kind, uint32_t slot)
{
    int length = snprintf(name, 32, "%s-%08u", kind, (unsigned)slot);
    return text_of(name, (size_t)length);
}

struct text spool_large_name(char name[32], uint64_t id)
{
    int length = snprintf(name, 32, "%016llx", (unsigned long long)id);
    return text_of(name, (size_t)length);
}

void spool_tell(struct spool *s, const struct spool_problem *problem)
{
    if (!s->options.problem)
        return;
    struct spool_problem told = *problem;
    if (!told.aside.bytes)
        told.aside = TEXT_NONE;
    s->options.problem(s->options.context, &told);
}

void spool_look_at_disk(struct spool *s)
{
    if (folder_free(s->folder, &s->free_octets, &s->free_inodes) != 0)
        return; /* the last figures stand; a disk in real trouble shows at the next write */
    s->is_full = s->free_octets < s->options.floor_octets || s->free_inodes < s->options.floor_inodes;
}

static struct spool_options with_defaults(const struct spool_options *given)
{
    struct spool_options o = *given;
    if (!o.segment_size)
        o.segment_size = 64 * MEBIBYTE;
    if (!o.group_size)
        o.group_size = (size_t)(4 * MEBIBYTE < o.segment_size / 4 ? 4 * MEBIBYTE : o.segment_size / 4);
    if (!o.large_from)
        o.large_from = MEBIBYTE < o.group_size / 2 ? MEBIBYTE : o.group_size / 2;
    if (!o.spare_segments)
        o.spare_segments = 2;
    if (!o.garbage_segments)
        o.garbage_segments = 16;
    must(o.segment_size % FORMAT_BLOCK == 0 && o.segment_size >= 16 * FORMAT_BLOCK && o.segment_size <= FORMAT_SEGMENT_LIMIT);
    must(o.group_size % FORMAT_BLOCK == 0 && o.group_size <= o.segment_size / 4 && o.group_size <= FORMAT_RECORDS_LIMIT);
    must(o.large_from <= o.group_size / 2);
    return o;
}

static struct spool *spool_new(int folder, const struct spool_options *options)
{
    struct spool *s = calloc(1, sizeof *s);
    must(s != NULL);
    s->folder = folder;
    s->large_folder = s->aside_folder = s->lock = -1;
    s->options = with_defaults(options);
    s->order = buffer_new(FORMAT_SLOTS * sizeof(uint32_t));
    s->table = table_new(random_number());
    s->removals = buffer_new(SIZE_MAX / 2);
    s->scratch = buffer_new(FORMAT_RECORDS_LIMIT + FORMAT_BLOCK);
    s->bodies = buffer_new(s->options.group_size);
    s->next_generation = 1;
    return s;
}

void spool_close(struct spool **spool)
{
    struct spool *s = *spool;
    *spool = NULL;
    if (!s)
        return;
    must(s->out_count == 0 && !s->chore_is_out);
    for (uint32_t slot = 0; slot < s->slot_count; slot++)
        file_close(&s->segments[slot].file);
    free(s->segments);
    table_done(&s->table);
    group_free(&s->collecting);
    for (size_t i = 0; i < s->resting_count; i++)
        group_free(&s->resting[i]);
    chore_free(s);
    buffer_done(&s->order);
    buffer_done(&s->removals);
    buffer_done(&s->scratch);
    buffer_done(&s->bodies);
    file_close(&s->large_folder);
    file_close(&s->aside_folder);
    file_close(&s->lock); /* the lock goes with it */
    free(s);
}

static int open_subfolder(struct spool *s, struct text name, int *ret_folder)
{
    int error = folder_make(s->folder, name, 0700);
    return error ? error : folder_open(s->folder, name, ret_folder);
}

static enum spool_result take_folder(struct spool *s, struct spool_trouble *trouble)
{
    int error = file_open(s->folder, TEXT("lock"), O_RDWR | O_CREAT | O_NONBLOCK, 0600, &s->lock);
    if (error)
        return spool_trouble(trouble, SPOOL_FAILED, error, TEXT("open"), TEXT("lock"));
    error = file_lock(s->lock);
    if (error)
        return spool_trouble(trouble, error == EWOULDBLOCK ? SPOOL_LOCKED : SPOOL_FAILED, error, TEXT("lock"), TEXT("lock"));
    error = open_subfolder(s, TEXT("large"), &s->large_folder);
    if (error)
        return spool_trouble(trouble, SPOOL_FAILED, error, TEXT("open"), TEXT("large"));
    error = open_subfolder(s, TEXT("aside"), &s->aside_folder);
    return error ? spool_trouble(trouble, SPOOL_FAILED, error, TEXT("open"), TEXT("aside")) : SPOOL_OK;
}

/* NNNNNNNN behind a prefix; false for other names. */
static bool slot_of_name(struct text name, struct text prefix, uint32_t *ret_slot)
{
    uint64_t slot;
    if (!text_starts_with(name, prefix) || name.length != prefix.length + 8 || !text_number(text_after(name, prefix.length), FORMAT_SLOTS - 1, &slot))
        return false;
    *ret_slot = (uint32_t)slot;
    return true;
}

/* Who may have a hand in this file but us? */
static bool is_safe(const struct file_facts *facts)
{
    return facts->is_file && facts->links == 1 && facts->owner == process_own_user();
}

static enum spool_problem_kind open_safely(struct spool *s, struct text name, int *ret_file, struct file_facts *ret_facts, int *ret_error)
{
    struct file_facts facts;
    *ret_error = file_facts_of(s->folder, name, &facts);
    if (*ret_error)
        return SPOOL_PROBLEM_UNREADABLE_FILE;
    if (!is_safe(&facts))
        return SPOOL_PROBLEM_UNSAFE_FILE;
    *ret_error = file_open(s->folder, name, O_RDWR | O_NONBLOCK, 0, ret_file);
    if (!*ret_error)
        *ret_error = file_facts(*ret_file, ret_facts); /* what was opened is what counts */
    if (*ret_error)
        return SPOOL_PROBLEM_UNREADABLE_FILE;
    return is_safe(ret_facts) ? SPOOL_PROBLEM_NONE : SPOOL_PROBLEM_UNSAFE_FILE;
}

static enum spool_problem_kind read_head(struct spool *s, uint32_t slot, int file, bool has_identity, struct format_segment *ret_head, int *ret_error)
{
    char block[FORMAT_BLOCK];
    size_t got = 0;
    *ret_error = file_read_at(file, block, sizeof block, 0, &got);
    if (*ret_error)
        return SPOOL_PROBLEM_UNREADABLE_FILE;
    struct format_segment head;
    if (!format_segment_read(text_of(block, got), &head) || head.slot != slot)
        return SPOOL_PROBLEM_FOREIGN_FILE;
    if (has_identity && memcmp(head.identity, s->identity, FORMAT_IDENTITY) != 0)
        return SPOOL_PROBLEM_FOREIGN_FILE;
    *ret_head = head;
    return SPOOL_PROBLEM_NONE;
}

/* The errno of trouble that is no damage but our surroundings': then nothing may be put aside. */
static bool is_surroundings(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == EACCES || error == EPERM || error == EROFS;
}

static enum spool_result find_segment(struct spool *s, struct text name, uint32_t slot, bool has_identity, struct spool_trouble *trouble)
{
    struct text shown = text_of_terminated(s->name);
    struct file_facts facts;
    struct format_segment head;
    int file released_by(file_close) = -1;
    int error;
    enum spool_problem_kind kind = open_safely(s, name, &file, &facts, &error);
    if (kind == SPOOL_PROBLEM_NONE)
        kind = read_head(s, slot, file, has_identity, &head, &error);
    if (is_surroundings(error)) {
        shown = spool_segment_name(s->name, "segment", slot);
        return spool_trouble(trouble, SPOOL_FAILED, error, TEXT("open"), shown);
    }
    if (kind != SPOOL_PROBLEM_NONE) {
        aside_file(s, name, kind, error);
        return SPOOL_OK;
    }
    if (facts.size != head.size)
        spool_tell(s, &(struct spool_problem){.kind = SPOOL_PROBLEM_CUT_FILE, .name = name, .offset = facts.size});
    struct segment *g = segment_of(s, slot);
    *g = (struct segment){
        .state = SEGMENT_READY, /* until a group is found in it */
        .file = -1,
        .generation = head.generation,
        .secret = head.secret,
        .size = head.size,
        .is_cut = facts.size != head.size,
        .is_closed = facts.size != head.size,
    };
    if (head.oldest > s->oldest)
        s->oldest = head.oldest;
    if (head.generation >= s->next_generation) {
        s->next_generation = head.generation + 1;
        memcpy(s->identity, head.identity, FORMAT_IDENTITY);
    }
    return SPOOL_OK;
}

static enum spool_result find_segments(struct spool *s, bool has_identity, struct spool_trouble *trouble)
{
    struct folder_walk *walk released_by(folder_walk_free) = NULL;
    int error = folder_walk_new(s->folder, &walk);
    if (error)
        return spool_trouble(trouble, SPOOL_FAILED, error, TEXT("list"), TEXT("."));
    struct text name;
    while (folder_walk_next(walk, &name)) {
        uint32_t slot;
        if (slot_of_name(name, TEXT("making-"), &slot))
            ignored(file_remove(s->folder, name)); /* worthless; when it stays, the next making of it fails and is told */
        if (!slot_of_name(name, TEXT("segment-"), &slot))
            continue;
        enum spool_result result = find_segment(s, name, slot, has_identity, trouble);
        if (result != SPOOL_OK)
            return result;
    }
    return SPOOL_OK;
}

/* The identity file, or its absence; it is written once the segments have been seen. */
static enum spool_result read_identity(struct spool *s, struct spool_trouble *trouble, bool *ret_has)
{
    struct buffer b released_by(buffer_done) = buffer_new(FORMAT_IDENTITY);
    int error = file_read_whole(s->folder, TEXT("identity"), &b);
    *ret_has = !error && b.length == FORMAT_IDENTITY;
    if (*ret_has)
        memcpy(s->identity, b.bytes, FORMAT_IDENTITY);
    else if (!error || error == EFBIG)
        aside_file(s, TEXT("identity"), SPOOL_PROBLEM_FOREIGN_FILE, 0);
    else if (error != ENOENT)
        return spool_trouble(trouble, SPOOL_FAILED, error, TEXT("read"), TEXT("identity"));
    return SPOOL_OK;
}

static enum spool_result write_identity(struct spool *s, struct spool_trouble *trouble)
{
    if (s->next_generation == 1)
        random_fill(s->identity, FORMAT_IDENTITY); /* a new spool; else it is that of the newest segment */
    int error = file_replace(s->folder, TEXT("identity"), text_of(s->identity, FORMAT_IDENTITY), 0600);
    return error ? spool_trouble(trouble, SPOOL_FAILED, error, TEXT("write"), TEXT("identity")) : SPOOL_OK;
}

static enum spool_result open_all(struct spool *s, struct spool_trouble *trouble)
{
    bool has_identity = false;
    enum spool_result result = take_folder(s, trouble);
    if (result == SPOOL_OK)
        result = read_identity(s, trouble, &has_identity);
    if (result == SPOOL_OK)
        result = find_segments(s, has_identity, trouble);
    if (result == SPOOL_OK && !has_identity)
        result = write_identity(s, trouble);
    if (result == SPOOL_OK)
        result = settle_tail(s, trouble);
    if (result != SPOOL_OK)
        return result;
    spool_look_at_disk(s);
    uint32_t active = segment_active(s);
    if (s->ready_count > 0 || (active != FORMAT_NOWHERE && !segment_of(s, active)->is_closed))
        return SPOOL_OK;
    int error = chore_run_now(s); /* without a segment nothing can be taken, but what waits can still go out */
    if (error) {
        s->chore_failed = true;
        spool_tell(s, &(struct spool_problem){.kind = SPOOL_PROBLEM_BACKGROUND, .name = TEXT("segment"), .error = error});
    }
    return SPOOL_OK;
}

enum spool_result spool_open(int folder, const struct spool_options *options, struct spool_trouble *trouble, struct spool **ret_spool)
{
    struct spool *s = spool_new(folder, options);
    enum spool_result result = open_all(s, trouble);
    if (result == SPOOL_OK) {
        *ret_spool = s;
        return SPOOL_OK;
    }
    trouble->name = text_equals(trouble->name, text_of_terminated(s->name)) ? TEXT("segment") : trouble->name; /* the spool goes */
    spool_close(&s);
    return result;
}

bool spool_is_broken(const struct spool *s)
{
    return s->is_broken;
}

bool spool_has(const struct spool *s, uint64_t id)
{
    return table_find(&s->table, id) != NULL;
}

bool spool_next(const struct spool *s, uint64_t *cursor, uint64_t *ret_id)
{
    const struct table_entry *entry;
    if (!table_next(&s->table, cursor, &entry))
        return false;
    *ret_id = entry->id;
    return true;
}

struct spool_facts spool_facts(const struct spool *s)
{
    return (struct spool_facts){
        .waiting = s->table.count,
        .waiting_octets = s->live_octets,
        .segments = s->used_count,
        .spares = s->ready_count,
        .segment_size = s->options.segment_size,
        .free_octets = s->free_octets,
        .free_inodes = s->free_inodes,
        .groups = s->groups,
        .syncs = s->syncs,
        .moved = s->moved,
        .is_full = s->is_full || s->chore_failed,
        .is_broken = s->is_broken,
    };
}
