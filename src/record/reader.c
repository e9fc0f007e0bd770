/* SPDX-License-Identifier: Apache-2.0 */
#include "record/files.h"
#include "record/record.h"

#include "system/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_LIMIT = 20000, PIECE = 64 * 1024, PAUSE_AFTER = 256 * 1024 };

struct record_reader {
    int folder;
    int64_t *times; /* of the rotated files, in order; the present one comes last */
    size_t count;
    int present; /* the present file, opened at the start: it may be rotated away meanwhile. -1: there is none */
    uint64_t present_size; /* what stood in it then */
    size_t at;             /* which file is read: count is the present one */
    int file;              /* -1: the next call opens it */
    uint64_t place;        /* of what is read next */
    uint64_t end;
    struct buffer octets;
    size_t taken;     /* octets of them that were given out */
    bool is_skipping; /* a line over the limit is passed over */
    size_t since_pause;
};

static int compare_times(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static int list_files(struct record_reader *r)
{
    struct folder_walk *walk released_by(folder_walk_free) = NULL;
    struct text name;
    int error = folder_walk_new(r->folder, &walk);
    size_t capacity = 0;
    while (!error && folder_walk_next(walk, &name)) {
        int64_t time;
        if (!record_rotated_parse(name, &time) || r->count == FILES_LIMIT)
            continue;
        if (r->count == capacity) {
            capacity = larger(64, capacity * 2);
            r->times = reallocarray(r->times, capacity, sizeof *r->times);
            must(r->times != NULL);
        }
        r->times[r->count++] = time;
    }
    if (r->count)
        qsort(r->times, r->count, sizeof *r->times, compare_times);
    return error;
}

int record_reader_new(int folder, struct record_reader **ret_reader)
{
    struct file_facts facts;
    struct record_reader *r = calloc(1, sizeof *r);
    must(r != NULL);
    *r = (struct record_reader){
        .folder = folder, .present = -1, .file = -1, .octets = buffer_new(PIECE + RECORD_LINE_LIMIT)};
    int error = file_open(folder, record_file_name, O_RDONLY | O_NONBLOCK, 0, &r->present);
    if (!error)
        error = file_facts(r->present, &facts);
    else if (error == ENOENT)
        error = 0;
    if (!error && r->present >= 0)
        r->present_size = facts.size;
    if (!error)
        error = list_files(r);
    if (error) {
        record_reader_free(&r);
        return error;
    }
    *ret_reader = r;
    return 0;
}

void record_reader_free(struct record_reader **reader)
{
    struct record_reader *r = *reader;
    *reader = NULL;
    if (!r)
        return;
    if (r->file != r->present)
        file_close(&r->file);
    file_close(&r->present);
    buffer_done(&r->octets);
    free(r->times);
    free(r);
}

static void leave_file(struct record_reader *r)
{
    if (r->file != r->present)
        file_close(&r->file);
    r->file = -1;
    buffer_clear(&r->octets);
    r->taken = 0;
    r->is_skipping = false;
}

void record_reader_restart(struct record_reader *r)
{
    leave_file(r);
    r->at = 0;
    r->since_pause = 0;
}

bool record_reader_restart_latest(struct record_reader *r, size_t files)
{
    record_reader_restart(r);
    r->at = files > r->count ? 0 : r->count + 1 - files;
    return r->at > 0;
}

/* Opens the file at r->at; false when it is not there any more. */
static bool enter_file(struct record_reader *r)
{
    struct file_facts facts;
    r->place = 0;
    if (r->at == r->count) {
        r->file = r->present;
        r->end = r->present_size;
        return r->file >= 0;
    }
    struct buffer name released_by(buffer_done) = buffer_new(RECORD_FILE_NAME);
    if (!record_rotated_append(&name, r->times[r->at]) ||
        file_open(r->folder, buffer_text(&name), O_RDONLY | O_NONBLOCK, 0, &r->file) != 0)
        return false;
    if (file_facts(r->file, &facts) != 0) {
        file_close(&r->file);
        return false;
    }
    r->end = facts.size;
    return true;
}

/* A whole line out of what was read. */
static bool take_line(struct record_reader *r, struct text *ret_line)
{
    struct text rest = text_after(buffer_text(&r->octets), r->taken);
    size_t length = text_find_octet(rest, '\n');
    if (length == rest.length)
        return false;
    r->taken += length + 1;
    *ret_line = text_first(rest, length);
    return true;
}

/* Reads on; false at the file's end (a last line without its end is being written, and none yet). */
static bool read_on(struct record_reader *r)
{
    buffer_drop_front(&r->octets, r->taken);
    r->taken = 0;
    if (r->octets.length >= RECORD_LINE_LIMIT) { /* no line of ours is that long */
        buffer_clear(&r->octets);
        r->is_skipping = true;
    }
    size_t wanted = (size_t)smaller(PIECE, r->end - r->place), got = 0;
    char *room = wanted ? buffer_room(&r->octets, wanted) : NULL;
    if (!room || file_read_at(r->file, room, wanted, r->place, &got) != 0 || got == 0)
        return false;
    buffer_grew(&r->octets, got);
    r->place += got;
    r->since_pause += got;
    return true;
}

enum record_read record_reader_next(struct record_reader *r, struct text *ret_line)
{
    for (;;) {
        if (r->file >= 0 && take_line(r, ret_line)) {
            if (!r->is_skipping)
                return RECORD_READ_LINE;
            r->is_skipping = false;
            continue;
        }
        if (r->since_pause >= PAUSE_AFTER) {
            r->since_pause = 0;
            return RECORD_READ_PAUSE;
        }
        if (r->file >= 0 && read_on(r))
            continue;
        if (r->file >= 0) {
            leave_file(r);
            r->at++;
        }
        while (r->at <= r->count && !enter_file(r))
            r->at++;
        if (r->at > r->count)
            return RECORD_READ_END;
    }
}
