/* SPDX-License-Identifier: Apache-2.0 */
/* record: the log. One event is one line, whatever octets a stranger put into it, and a line gives the same event back:
 *     2026-11-25T12:58:53.123Z front info message-taken id=0000010200000001 client=127.0.0.2 helo="a \"b\"\x1b"
 * or the same as JSON. Values over 2,000 octets are cut. The writer never waits and never fails: what a full or missing
 * target can't take is kept for a while, then counted, and told once it works again. The ledger's own files
 * (`portiere.log` and those rotated away) are written whatever the target is, since `portiere trace` reads them. Only
 * roles log; this folder knows no role. The writer owns its files; an event's texts are borrowed. */
#ifndef RECORD_RECORD_H
#define RECORD_RECORD_H

#include "base/base.h"
#include "record/level.h"
#include "settings/settings.h"

enum { RECORD_FIELDS = 64, RECORD_VALUE_LIMIT = 2000, RECORD_NAME_LIMIT = 64, RECORD_LINE_LIMIT = 32 * 1024 };

struct record_event {
    int64_t time_ms; /* wall clock */
    enum record_level level;
    struct text role;          /* who said it */
    struct text name;          /* "message-taken" */
    const struct text *fields; /* name, value, name, value ... */
    size_t count;              /* texts in fields, even */
};

struct text record_level_word(enum record_level level);
must_check bool record_level_of_word(struct text word, enum record_level *ret_level);
/* The value of a field, empty when it is absent. */
struct text record_field(const struct record_event *event, struct text name);

/* --- lines (pure) -------------------------------------------------------------------------------- */
/* Appends one line with its line feed; format is of enum settings_log_format. False: the buffer is full, and unchanged.
 */
bool record_line_append(struct buffer *b, const struct record_event *event, uint64_t format);
/* Either format, without the line feed. False: it is no line of ours. Texts point into the line or the arena. */
must_check bool record_line_parse(struct text line, struct arena *arena, struct record_event *ret_event);
/* "id=... client=..." as in a line of text, for a reader. */
void record_fields_append(struct buffer *b, const struct record_event *event);
/* An entry of the journal's native protocol. */
bool record_journal_append(struct buffer *b, const struct record_event *event);

/* --- the writer ---------------------------------------------------------------------------------- */
struct record_writer;

struct record_options {
    uint64_t target;   /* enum settings_log_target */
    uint64_t format;   /* enum settings_log_format */
    uint64_t rotation; /* octets, 0: never */
    uint64_t keep_ms;  /* 0: for ever */
};

/* folder is the caller's. journal: a connected datagram socket, or -1; output: standard output's descriptor. */
struct record_writer *record_writer_new(int folder, int journal, int output);
void record_writer_free(struct record_writer **writer); /* flushes first */
void record_writer_options(struct record_writer *writer, const struct record_options *options);
void record_writer_put(struct record_writer *writer, const struct record_event *event);
bool record_writer_is_due(const struct record_writer *writer); /* 4 KiB are waiting */
bool record_writer_is_empty(const struct record_writer *writer);
/* Writes what it can without waiting; rotates, and removes what is older than keep. */
void record_writer_flush(struct record_writer *writer, int64_t now_ms);
uint64_t record_writer_lost(const struct record_writer *writer);    /* lines, since it was made */
uint64_t record_writer_written(const struct record_writer *writer); /* lines put */
int record_writer_error(
    const struct record_writer *writer); /* errno of the last write to the file, 0 when it went well */

/* --- reading ------------------------------------------------------------------------------------- */
/* The log from its oldest line to its present end, in steps; memory does not grow with it. */
struct record_reader;
must_check int record_reader_new(int folder, struct record_reader **ret_reader); /* 0 or errno */
void record_reader_free(struct record_reader **reader);
void record_reader_restart(struct record_reader *reader); /* from the oldest line again, to the same end */
/* The same, but only the latest files. False: these are all there are. */
bool record_reader_restart_latest(struct record_reader *reader, size_t files);

enum record_read { RECORD_READ_LINE, RECORD_READ_PAUSE, RECORD_READ_END };
/* LINE: a line (without its line feed), valid until the next call; it may be none of ours. PAUSE: some 256 KiB were
 * read since the last pause: let others have their turn, and call again. */
enum record_read record_reader_next(struct record_reader *reader, struct text *ret_line);

/* --- following a message ------------------------------------------------------------------------- */
/* Finds by queue id, session, address or login. Every event is shown to it three times, oldest first: the first round
 * finds what is named, the second what belongs to that, the third chooses. Of an address or login the latest messages
 * and sessions count. */
struct record_search;
struct record_search *record_search_new(struct text what);
void record_search_free(struct record_search **search);
void record_search_collect(struct record_search *search, const struct record_event *event);
void record_search_connect(struct record_search *search, const struct record_event *event);
bool record_search_chooses(const struct record_search *search, const struct record_event *event);
bool record_search_has_forgotten(const struct record_search *search); /* older ones were found too */

/* What the event says, in words. */
void record_sentence_append(struct buffer *b, const struct record_event *event, enum settings_language language);

#endif
