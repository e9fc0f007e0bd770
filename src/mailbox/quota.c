/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/quota.h"

#include "system/system.h"

#include <errno.h>
#include <fcntl.h>

enum { FILE_LIMIT = 5120, FRESH_MS = 15 * 60 * 1000 }; /* both are Maildir++'s */

static const struct text file_name = TEXT_INIT("maildirsize");

/* One number with its sign; the lines of expunges are negative. */
static bool take_signed(struct text *rest, int64_t *ret_number)
{
    struct text word = text_take_word(rest);
    bool is_negative = text_take_octet(&word, '-');
    uint64_t number;
    if (!text_number(word, INT64_MAX, &number))
        return false;
    *ret_number = is_negative ? -(int64_t)number : (int64_t)number;
    return true;
}

/* The limit in octets of the first line ("10485760S,1000C"); 0 when it has none. */
static bool take_limit(struct text line, uint64_t *ret_limit)
{
    uint64_t limit = 0;
    while (line.length) {
        struct text part = text_take_until(&line, ',');
        if (part.length < 2 || !text_number(text_first(part, part.length - 1), INT64_MAX, ret_limit))
            return false;
        if (part.bytes[part.length - 1] == 'S')
            limit = *ret_limit;
    }
    *ret_limit = limit;
    return true;
}

static bool add_up(struct text file, uint64_t limit, uint64_t *ret_used, size_t *ret_lines)
{
    uint64_t file_limit = 0;
    int64_t used = 0;
    size_t lines = 0;
    if (!take_limit(text_take_until(&file, '\n'), &file_limit) || file_limit != limit)
        return false;
    for (; file.length; lines++) {
        struct text line = text_take_until(&file, '\n');
        int64_t octets, messages;
        if (!take_signed(&line, &octets) || !take_signed(&line, &messages) ||
            __builtin_add_overflow(used, octets, &used))
            return false;
    }
    if (used < 0 || lines == 0)
        return false;
    *ret_used = (uint64_t)used;
    *ret_lines = lines;
    return true;
}

/* The octets of a message from its name, else from the file. */
static uint64_t size_of(int folder, struct text name)
{
    size_t at = text_find(name, TEXT(",S="));
    if (at < name.length) {
        struct text digits = text_after(name, at + 3);
        size_t count = 0;
        while (count < digits.length && octet_is_digit(digits.bytes[count]))
            count++;
        uint64_t size;
        if (text_number(text_first(digits, count), INT64_MAX, &size))
            return size;
    }
    struct file_facts facts;
    return file_facts_of(folder, name, &facts) == 0 && facts.is_file ? facts.size
                                                                     : 0; /* moved meanwhile: the next count has it */
}

static int count_folder(int parent, struct text name, uint64_t *octets, uint64_t *messages)
{
    int folder released_by(file_close) = -1;
    struct folder_walk *walk released_by(folder_walk_free) = NULL;
    int error = folder_open(parent, name, &folder);
    if (!error)
        error = folder_walk_new(folder, &walk);
    if (error)
        return error;
    struct text entry;
    while (folder_walk_next(walk, &entry)) {
        if (entry.bytes[0] == '.')
            continue;
        *octets += size_of(folder, entry);
        *messages += 1;
    }
    return 0;
}

static int count_maildir(int maildir, uint64_t *octets, uint64_t *messages)
{
    int error = count_folder(maildir, TEXT("new"), octets, messages);
    if (error && error != ENOENT)
        return error;
    error = count_folder(maildir, TEXT("cur"), octets, messages);
    return error == ENOENT ? 0 : error;
}

/* The inbox and the folders of Maildir++ beside it (".Sent"). */
static int count_all(int home, uint64_t *octets, uint64_t *messages)
{
    struct folder_walk *walk released_by(folder_walk_free) = NULL;
    int error = count_maildir(home, octets, messages);
    if (!error)
        error = folder_walk_new(home, &walk);
    struct text entry;
    while (!error && folder_walk_next(walk, &entry)) {
        int folder released_by(file_close) = -1;
        if (entry.bytes[0] == '.' && folder_open(home, entry, &folder) == 0)
            error = count_maildir(folder, octets, messages);
    }
    return error;
}

/* From the file, when it can be believed. That it leaves no room for what is needed is believed only while it is fresh
 * and of one line: files may have gone. */
static bool read_file(int home, uint64_t limit, uint64_t needed, int64_t now_ms, uint64_t *ret_used)
{
    struct buffer b released_by(buffer_done) = buffer_new(FILE_LIMIT);
    struct file_facts facts;
    uint64_t used = 0;
    size_t lines = 0;
    if (file_read_whole(home, file_name, &b) != 0 || !add_up(buffer_text(&b), limit, &used, &lines))
        return false;
    if (used >= limit || needed > limit - used) {
        if (lines > 1 || file_facts_of(home, file_name, &facts) != 0 || facts.changed_ms + FRESH_MS < now_ms)
            return false;
    }
    *ret_used = used;
    return true;
}

int mailbox_quota_find(int home, uint64_t limit, uint64_t needed, int64_t now_ms, struct mailbox_quota *quota)
{
    uint64_t used = 0, messages = 0;
    if (quota->limit == limit)
        return 0;
    if (!read_file(home, limit, needed, now_ms, &used)) {
        int error = count_all(home, &used, &messages);
        if (error)
            return error;
        struct buffer b released_by(buffer_done) = buffer_new(128);
        if (buffer_append_format(&b, "%lluS\n%llu %llu\n", (unsigned long long)limit, (unsigned long long)used,
                                 (unsigned long long)messages))
            ignored(file_replace(home, file_name, buffer_text(&b), 0600)); /* then it is counted again next time */
    }
    *quota = (struct mailbox_quota){.limit = limit, .used = used};
    return 0;
}

void mailbox_quota_add(int home, uint64_t octets, uint64_t messages)
{
    int file released_by(file_close) = -1;
    if (file_open(home, file_name, O_WRONLY | O_APPEND, 0, &file) != 0)
        return;
    struct buffer b released_by(buffer_done) = buffer_new(128);
    if (!buffer_append_number(&b, octets) || !buffer_append_octet(&b, ' ') || !buffer_append_number(&b, messages) ||
        !buffer_append_octet(&b, '\n'))
        return;
    ignored(file_write_all(file, buffer_text(&b))); /* a line that is cut makes the next reader count anew */
}
