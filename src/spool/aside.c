/* SPDX-License-Identifier: Apache-2.0 */
/* What is damaged, foreign or unsafe goes into the folder "aside", for a human being. Nothing there is ever read again. */
#include "spool/inside.h"

#include "system/file.h"
#include "system/random.h"

#include <fcntl.h>

enum { COPIES_LIMIT = 1000, PIECE = 64 * 1024, NAME_LIMIT = 128 };

static struct buffer aside_name(struct text name, uint64_t offset)
{
    struct buffer b = buffer_new(NAME_LIMIT);
    ignored(buffer_append(&b, text_first(name, 64))); /* cut names stay apart by the number behind them */
    ignored(buffer_append_format(&b, ".%llu.%016llx", (unsigned long long)offset, (unsigned long long)random_number()));
    return b;
}

void aside_file(struct spool *s, struct text name, enum spool_problem_kind kind, int error)
{
    struct buffer to released_by(buffer_done) = aside_name(name, 0);
    int moved = file_rename(s->folder, name, s->aside_folder, buffer_text(&to)); /* of a link: the link itself */
    struct spool_problem problem = {.kind = kind, .name = name, .error = error ? error : moved, .aside = moved ? TEXT_NONE : buffer_text(&to)};
    spool_tell(s, &problem);
}

static int copy_piece(int from, uint64_t offset, uint64_t length, int to)
{
    struct buffer piece released_by(buffer_done) = buffer_new(PIECE);
    for (uint64_t done = 0; done < length;) {
        buffer_clear(&piece);
        size_t wanted = (size_t)(length - done < PIECE ? length - done : PIECE), got = 0;
        int error = file_read_at(from, buffer_room(&piece, wanted), wanted, offset + done, &got);
        if (error)
            return error;
        buffer_grew(&piece, got);
        error = file_write_all(to, buffer_text(&piece));
        if (error)
            return error;
        if (got < wanted)
            return 0; /* cut: what is there is saved */
        done += got;
    }
    return 0;
}

void aside_copy(struct spool *s, int file, const struct spool_problem *problem, uint64_t offset, uint64_t length, uint64_t body_offset,
                uint64_t body_length)
{
    struct spool_problem told = *problem;
    struct buffer name released_by(buffer_done) = aside_name(problem->name, problem->offset);
    if (s->aside_count < COPIES_LIMIT) {
        int copy released_by(file_close) = -1;
        int error = file_open(s->aside_folder, buffer_text(&name), O_WRONLY | O_CREAT | O_EXCL, 0600, &copy);
        if (!error)
            error = copy_piece(file, offset, length, copy);
        if (!error && body_length)
            error = copy_piece(file, body_offset, body_length, copy);
        if (!error)
            error = file_sync(copy);
        if (!error)
            told.aside = buffer_text(&name);
        else if (!told.error)
            told.error = error;
        s->aside_count++;
    }
    spool_tell(s, &told);
}

enum spool_result spool_put_aside(struct spool *s, uint64_t id)
{
    const struct table_entry *entry = table_find(&s->table, id);
    if (!entry)
        return SPOOL_UNKNOWN;
    if (entry->slot == TABLE_COLLECTING)
        return SPOOL_LATER;
    char name[32];
    int file;
    struct spool_problem problem = {.kind = SPOOL_PROBLEM_DAMAGED_RECORD, .name = spool_segment_name(name, "segment", entry->slot),
                                    .offset = entry->offset, .id = id};
    if (segment_open(s, entry->slot, &file) != 0)
        return SPOOL_FAILED;
    struct format_record record;
    bool is_readable = read_record(s, entry->slot, entry->offset, &s->scratch, &record) == SPOOL_OK && !record.is_large;
    uint64_t length = is_readable ? record.length : FORMAT_BLOCK;
    aside_copy(s, file, &problem, entry->offset, length, is_readable ? record.body_offset : 0, is_readable ? record.body_length : 0);
    if (entry->is_large) {
        struct text body = spool_large_name(name, id);
        struct buffer to released_by(buffer_done) = aside_name(body, 0);
        ignored(file_rename(s->large_folder, body, s->aside_folder, buffer_text(&to))); /* when it is not there, nothing is lost by it */
    }
    return spool_remove(s, id);
}
