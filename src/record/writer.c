/* SPDX-License-Identifier: Apache-2.0 */
#include "record/files.h"
#include "record/record.h"

#include "system/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

enum {
    DUE = 4096,
    KEPT_LIMIT = 1 << 20, /* what a target that takes nothing may owe us */
    OUTPUT_PIECE = 4096,  /* PIPE_BUF: what a pipe that is ready takes without waiting */
    LOOK_MS = 1000,       /* is the file still the one that has the name? */
    EXPIRE_MS = 60 * 60 * 1000,
    FILE_MODE = 0640,
    ROTATE_TRIES = 10,
};

/* Lines on their way to one target. */
struct sink {
    struct buffer pending;
    uint64_t lost, lost_told; /* lines */
};

struct record_writer {
    int folder, file;
    bool has_opened;
    uint64_t inode;
    int64_t looked_ms, expired_ms;
    int error;
    int journal, output;
    struct record_options options;
    struct sink to_file, to_output, to_journal;
    uint64_t written;
};

struct record_writer *record_writer_new(int folder, int journal, int output)
{
    struct record_writer *w = calloc(1, sizeof *w);
    must(w != NULL);
    *w = (struct record_writer){.folder = folder,
                                .file = -1,
                                .journal = journal,
                                .output = output,
                                .expired_ms = INT64_MIN / 2,
                                .looked_ms = INT64_MIN / 2};
    w->options.target = SETTINGS_LOG_TARGET_FILE;
    w->to_file.pending = w->to_output.pending = w->to_journal.pending = buffer_new(KEPT_LIMIT);
    return w;
}

void record_writer_free(struct record_writer **writer)
{
    struct record_writer *w = *writer;
    *writer = NULL;
    if (!w)
        return;
    record_writer_flush(w, clock_wall_ms());
    file_close(&w->file);
    buffer_done(&w->to_file.pending);
    buffer_done(&w->to_output.pending);
    buffer_done(&w->to_journal.pending);
    free(w);
}

void record_writer_options(struct record_writer *w, const struct record_options *options)
{
    w->options = *options;
}

/* Entries of the journal stand behind their length. */
static bool put_entry(struct buffer *b, const struct record_event *event)
{
    size_t start = b->length;
    uint32_t length = 0;
    if (!buffer_append(b, text_of((const char *)&length, sizeof length)))
        return false;
    if (!record_journal_append(b, event)) {
        b->length = start;
        return false;
    }
    length = (uint32_t)(b->length - start - sizeof length);
    for (size_t i = 0; i < sizeof length; i++)
        b->bytes[start + i] = (char)(length >> (8 * i) & 255);
    return true;
}

void record_writer_put(struct record_writer *w, const struct record_event *event)
{
    w->written++;
    w->to_file.lost += !record_line_append(&w->to_file.pending, event, w->options.format);
    if (w->options.target == SETTINGS_LOG_TARGET_STDOUT)
        w->to_output.lost += !record_line_append(&w->to_output.pending, event, w->options.format);
    if (w->options.target == SETTINGS_LOG_TARGET_JOURNAL && w->journal >= 0)
        w->to_journal.lost += !put_entry(&w->to_journal.pending, event);
}

bool record_writer_is_due(const struct record_writer *w)
{
    return w->to_file.pending.length >= DUE || w->to_output.pending.length >= DUE ||
           w->to_journal.pending.length >= DUE;
}

bool record_writer_is_empty(const struct record_writer *w)
{
    return w->to_file.pending.length + w->to_output.pending.length + w->to_journal.pending.length == 0;
}

/* --- the file ------------------------------------------------------------------------------------ */

/* Somebody may have moved or removed it. */
static void look(struct record_writer *w, int64_t now_ms)
{
    struct file_facts facts;
    if (w->file < 0 || (now_ms >= w->looked_ms && now_ms - w->looked_ms < LOOK_MS))
        return;
    w->looked_ms = now_ms;
    if (file_facts_of(w->folder, record_file_name, &facts) != 0 || facts.inode != w->inode)
        file_close(&w->file);
}

/* A ledger that was killed in the middle of a write leaves a line without its end: it stays a line of its own. */
static int end_cut_line(int file, uint64_t *size)
{
    char last = '\n';
    size_t got = 0;
    int error = *size ? file_read_at(file, &last, 1, *size - 1, &got) : 0;
    if (error || last == '\n')
        return error;
    (*size)++;
    return file_write_all(file, TEXT("\n"));
}

static int open_file(struct record_writer *w, uint64_t *ret_size)
{
    struct file_facts facts;
    if (w->file < 0) {
        int file released_by(file_close) = -1;
        int error =
            file_open(w->folder, record_file_name, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK, FILE_MODE, &file);
        if (!error)
            error = file_facts(file, &facts);
        if (!error && !facts.is_file)
            error = EINVAL;
        if (!error && !w->has_opened) /* later, what this writer itself could not finish goes on where it stopped */
            error = end_cut_line(file, &facts.size);
        if (error)
            return error;
        w->has_opened = true;
        w->inode = facts.inode;
        w->file = file;
        file = -1;
        *ret_size = facts.size;
        return 0;
    }
    int error = file_facts(w->file, &facts);
    if (!error)
        *ret_size = facts.size;
    return error;
}

/* True: the next file begins. When it can't be moved away it goes on growing. */
static bool rotate(struct record_writer *w, int64_t now_ms)
{
    for (int i = 0; i < ROTATE_TRIES; i++) {
        struct buffer name released_by(buffer_done) = buffer_new(RECORD_FILE_NAME);
        if (!record_rotated_append(&name, now_ms + i))
            return false;
        int error = file_rename_new(w->folder, record_file_name, w->folder, buffer_text(&name));
        if (error == EEXIST)
            continue;
        if (error)
            return false;
        file_close(&w->file);
        w->expired_ms = INT64_MIN / 2;
        return true;
    }
    return false;
}

static void expire(struct record_writer *w, int64_t now_ms)
{
    struct folder_walk *walk released_by(folder_walk_free) = NULL;
    struct text name;
    int64_t time;
    bool was_now = now_ms >= w->expired_ms && now_ms - w->expired_ms < EXPIRE_MS;
    if (w->options.keep_ms == 0 || was_now)
        return;
    w->expired_ms = now_ms;
    if (folder_walk_new(w->folder, &walk) != 0)
        return;
    while (folder_walk_next(walk, &name))
        if (record_rotated_parse(name, &time) && now_ms - time > (int64_t)smaller(w->options.keep_ms, INT64_MAX))
            ignored(file_remove(w->folder, name)); /* in an hour again */
}

static int write_file(struct record_writer *w, int64_t now_ms)
{
    uint64_t size = 0;
    struct text lines = buffer_text(&w->to_file.pending);
    look(w, now_ms);
    int error = open_file(w, &size);
    if (!error && w->options.rotation && size > 0 && size + lines.length > w->options.rotation && rotate(w, now_ms))
        error = open_file(w, &size);
    if (error)
        return error;
    error = file_write_all(w->file, lines);
    if (error) {
        ignored(file_resize(w->file, size)); /* no half lines; when even that fails the reader skips them */
        return error;
    }
    buffer_clear(&w->to_file.pending);
    return 0;
}

/* --- the others ---------------------------------------------------------------------------------- */

static void write_output(struct record_writer *w)
{
    struct buffer *pending = &w->to_output.pending;
    size_t done = 0;
    while (done < pending->length && socket_wait(w->output, true, 0)) {
        struct text piece = text_first(text_after(buffer_text(pending), done), OUTPUT_PIECE);
        if (file_write_all(w->output, piece) != 0) { /* its reader is gone: nobody will miss the lines */
            buffer_clear(pending);
            return;
        }
        done += piece.length;
    }
    buffer_drop_front(pending, done);
    pending->is_full = false;
}

static void write_journal(struct record_writer *w)
{
    struct buffer *pending = &w->to_journal.pending;
    struct text rest = buffer_text(pending);
    while (rest.length > sizeof(uint32_t)) {
        uint32_t length = 0;
        for (size_t i = 0; i < sizeof length; i++)
            length |= (uint32_t)(unsigned char)rest.bytes[i] << (8 * i);
        struct text entry = text_first(text_after(rest, sizeof length), length);
        size_t sent = 0;
        int error = socket_write(w->journal, entry, &sent);
        if (error == EAGAIN || error == ENOBUFS || error == ECONNREFUSED)
            break; /* it is full, or being restarted */
        if (error)
            w->to_journal.lost++;
        rest = text_after(rest, sizeof length + length);
    }
    buffer_drop_front(pending, pending->length - rest.length);
    pending->is_full = false;
}

/* Lines that did not fit while a target took nothing are told to it once it works again. */
static void tell_lost(struct record_writer *w, struct sink *sink, struct text target, int64_t now_ms)
{
    if (sink->lost == sink->lost_told || sink->pending.length > KEPT_LIMIT / 2)
        return;
    struct buffer lines released_by(buffer_done) = buffer_new(20);
    ignored(buffer_append_number(&lines, sink->lost - sink->lost_told)); /* twenty digits fit */
    sink->lost_told = sink->lost;
    const struct text fields[] = {TEXT("target"), target, TEXT("lines"), buffer_text(&lines)};
    record_writer_put(w, &(struct record_event){.time_ms = now_ms,
                                                .level = RECORD_ALARM,
                                                .role = TEXT("ledger"),
                                                .name = TEXT("log-lines-lost"),
                                                .fields = fields,
                                                .count = length_of(fields)});
}

void record_writer_flush(struct record_writer *w, int64_t now_ms)
{
    bool has_room = true;
    if (w->to_file.pending.length) {
        w->error = write_file(w, now_ms);
        has_room = w->error == 0;
    }
    if (w->to_output.pending.length)
        write_output(w);
    if (w->to_journal.pending.length)
        write_journal(w);
    if (has_room)
        tell_lost(w, &w->to_file, TEXT("file"), now_ms);
    tell_lost(w, &w->to_output, TEXT("stdout"), now_ms);
    tell_lost(w, &w->to_journal, TEXT("journal"), now_ms);
    expire(w, now_ms);
}

uint64_t record_writer_lost(const struct record_writer *w)
{
    return w->to_file.lost + w->to_output.lost + w->to_journal.lost;
}

uint64_t record_writer_written(const struct record_writer *w)
{
    return w->written;
}

int record_writer_error(const struct record_writer *w)
{
    return w->error;
}
