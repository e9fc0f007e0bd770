/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/ledger.h"

#include <stdlib.h>

enum {
    EVENTS_DEFAULT = 50,
    EVENTS_LIMIT = 10000,
    KEPT_OCTETS = 8 << 20, /* of the lines that `events` holds back until it knows which are the last */
    TRACE_ROWS = 10000,
    LINE_ARENA = 256 * 1024,
    SENTENCE_LIMIT = 3500, /* a row's value has 4,000 octets */
    FAILED = 1,
};

struct kept_line {
    char *octets; /* owned */
    size_t length;
};

struct ledger_job {
    struct ledger_job *next;
    struct link *to;
    uint64_t tag;
    struct record_reader *reader;
    /* trace */
    struct record_search *search;
    unsigned round; /* 0 collects, 1 connects, 2 chooses */
    size_t rows;
    enum settings_language language;
    /* events */
    char name[RECORD_NAME_LIMIT];
    size_t name_length;
    enum record_level level;
    struct kept_line *kept; /* a ring of wanted */
    size_t wanted, kept_next, kept_count, kept_octets, files;
    bool has_all_files;
};

static void forget_kept(struct ledger_job *job)
{
    for (size_t i = 0; i < job->kept_count; i++)
        free(job->kept[(job->kept_next + job->wanted - job->kept_count + i) % job->wanted].octets);
    job->kept_count = job->kept_octets = 0;
}

static void free_job(struct ledger *l, struct ledger_job *gone)
{
    struct ledger_job **at = &l->jobs;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    l->job_count--;
    if (gone->kept)
        forget_kept(gone);
    free(gone->kept);
    record_search_free(&gone->search);
    record_reader_free(&gone->reader);
    free(gone);
}

void ledger_ask_drop(struct ledger *l, const struct link *to)
{
    struct ledger_job *next;
    for (struct ledger_job *job = l->jobs; job; job = next) {
        next = job->next;
        if (!to || job->to == to)
            free_job(l, job);
    }
}

/* --- rows ---------------------------------------------------------------------------------------- */

static void send_row(struct ledger_job *job, const struct record_event *event)
{
    struct buffer time released_by(buffer_done) = buffer_new(32),
                       words released_by(buffer_done) = buffer_new(SENTENCE_LIMIT);
    struct buffer details released_by(buffer_done) = buffer_new(RECORD_LINE_LIMIT);
    ignored(buffer_append_number(&time, event->time_ms > 0 ? (uint64_t)event->time_ms : 0)); /* it fits */
    record_fields_append(&details, event);
    if (job->search)
        record_sentence_append(&words, event, job->language);
    struct text pairs[] = {TEXT("time"),
                           buffer_text(&time),
                           TEXT("role"),
                           event->role,
                           TEXT("level"),
                           record_level_word(event->level),
                           TEXT("event"),
                           event->name,
                           job->search ? TEXT("words") : TEXT("details"),
                           job->search ? buffer_text(&words) : text_first(buffer_text(&details), SENTENCE_LIMIT),
                           TEXT("details"),
                           text_first(buffer_text(&details), SENTENCE_LIMIT)};
    role_row(job->to, job->tag, pairs, job->search ? length_of(pairs) : length_of(pairs) - 2);
    job->rows++;
}

/* --- trace --------------------------------------------------------------------------------------- */

static void trace_line(struct ledger_job *job, const struct record_event *event)
{
    if (job->round == 0)
        record_search_collect(job->search, event);
    else if (job->round == 1)
        record_search_connect(job->search, event);
    else if (job->rows < TRACE_ROWS && record_search_chooses(job->search, event))
        send_row(job, event);
}

static void trace_end(struct ledger *l, struct ledger_job *job)
{
    if (job->round < 2) {
        job->round++;
        record_reader_restart(job->reader);
        return;
    }
    if (job->rows == 0)
        role_end(job->to, job->tag, FAILED,
                 TEXT("the log knows nothing of it: give a queue id, a session, an address or a login as the log "
                      "writes it (portiere events)"));
    else if (job->rows == TRACE_ROWS)
        role_end(job->to, job->tag, 0, TEXT("there is more: give a queue id or a session"));
    else if (record_search_has_forgotten(job->search))
        role_end(job->to, job->tag, 0, TEXT("only the latest messages are shown; an older one by its queue id"));
    else
        role_end(job->to, job->tag, 0, TEXT_NONE);
    free_job(l, job);
}

/* --- events -------------------------------------------------------------------------------------- */

static void keep_line(struct ledger_job *job, struct text line)
{
    struct kept_line *place = &job->kept[job->kept_next];
    while (job->kept_count && (job->kept_count == job->wanted || job->kept_octets + line.length > KEPT_OCTETS)) {
        struct kept_line *oldest = &job->kept[(job->kept_next + job->wanted - job->kept_count) % job->wanted];
        job->kept_octets -= oldest->length;
        free(oldest->octets);
        job->kept_count--;
    }
    place->octets = malloc(larger(line.length, 1));
    must(place->octets != NULL);
    for (size_t i = 0; i < line.length; i++)
        place->octets[i] = line.bytes[i];
    place->length = line.length;
    job->kept_octets += line.length;
    job->kept_next = (job->kept_next + 1) % job->wanted;
    job->kept_count++;
}

static void events_line(struct ledger_job *job, const struct record_event *event, struct text line)
{
    struct text name = text_of(job->name, job->name_length);
    if (event->level >= job->level && (name.length == 0 || text_equals(name, event->name)))
        keep_line(job, line);
}

/* The latest file first; where it has too few, twice as many. */
static void events_end(struct ledger *l, struct ledger_job *job)
{
    if (job->kept_count < job->wanted && !job->has_all_files && job->kept_octets < KEPT_OCTETS / 2) {
        forget_kept(job);
        job->files *= 2;
        job->has_all_files = !record_reader_restart_latest(job->reader, job->files);
        return;
    }
    for (size_t i = 0; i < job->kept_count; i++) {
        struct kept_line *kept = &job->kept[(job->kept_next + job->wanted - job->kept_count + i) % job->wanted];
        struct arena arena released_by(arena_done) = arena_new(LINE_ARENA);
        struct record_event event;
        if (record_line_parse(text_of(kept->octets, kept->length), &arena, &event))
            send_row(job, &event);
    }
    role_end(job->to, job->tag, 0, TEXT_NONE);
    free_job(l, job);
}

/* --- the steps ----------------------------------------------------------------------------------- */

/* Up to the reader's next pause; the job may be gone afterwards. */
static void step_job(struct ledger *l, struct ledger_job *job)
{
    struct text line;
    for (;;) {
        enum record_read read = record_reader_next(job->reader, &line);
        if (read == RECORD_READ_PAUSE)
            return;
        if (read == RECORD_READ_END) {
            if (job->search)
                trace_end(l, job);
            else
                events_end(l, job);
            return;
        }
        struct arena arena released_by(arena_done) = arena_new(LINE_ARENA);
        struct record_event event;
        if (!record_line_parse(line, &arena, &event))
            continue; /* somebody else's, or cut by a full disk */
        if (job->search)
            trace_line(job, &event);
        else
            events_line(job, &event, line);
    }
}

void ledger_ask_step(void *context)
{
    struct ledger *l = context;
    struct ledger_job *next;
    for (struct ledger_job *job = l->jobs; job; job = next) {
        next = job->next;
        step_job(l, job);
    }
    if (l->jobs)
        loop_timer_set(l->step, 1);
}

static struct ledger_job *new_job(struct ledger *l, struct link *from, uint64_t tag)
{
    struct record_reader *reader = NULL;
    if (l->job_count == LEDGER_JOBS) {
        role_end(from, tag, FAILED, TEXT("too many questions about the log at once: try again in a moment"));
        return NULL;
    }
    record_writer_flush(l->writer, clock_wall_ms()); /* what has just happened is asked for most */
    int error = record_reader_new(role_folder(l->role, TEXT("log")), &reader);
    if (error) {
        struct buffer why released_by(buffer_done) = buffer_new(256);
        ignored(buffer_append(&why, TEXT("the log can't be read: ")) &&
                buffer_append(&why, file_error_word(error))); /* it fits */
        role_end(from, tag, FAILED, buffer_text(&why));
        return NULL;
    }
    struct ledger_job *job = calloc(1, sizeof *job);
    must(job != NULL);
    *job = (struct ledger_job){.next = l->jobs, .to = from, .tag = tag, .reader = reader};
    l->jobs = job;
    l->job_count++;
    loop_timer_set(l->step, 0);
    return job;
}

static void begin_trace(struct ledger *l, struct link *from, const struct peers_command_ask *ask)
{
    struct text what = role_argument(ask, TEXT("what"));
    if (text_trimmed(what).length == 0) {
        role_end(from, ask->tag, FAILED, TEXT("trace what? A queue id, a session, an address or a login"));
        return;
    }
    struct ledger_job *job = new_job(l, from, ask->tag);
    if (!job)
        return;
    job->search = record_search_new(what);
    job->language = text_equals(role_argument(ask, TEXT("language")), TEXT("it")) ? SETTINGS_ITALIAN : SETTINGS_ENGLISH;
}

static void begin_events(struct ledger *l, struct link *from, const struct peers_command_ask *ask)
{
    struct text count = role_argument(ask, TEXT("count")), level = role_argument(ask, TEXT("level"));
    struct text name = text_first(role_argument(ask, TEXT("name")), RECORD_NAME_LIMIT);
    enum record_level least = RECORD_DEBUG;
    uint64_t wanted = EVENTS_DEFAULT;
    if (count.length && (!text_number(count, EVENTS_LIMIT, &wanted) || wanted == 0)) {
        role_end(from, ask->tag, FAILED, TEXT("count is a number from 1 to 10000"));
        return;
    }
    if (level.length && !record_level_of_word(level, &least)) {
        role_end(from, ask->tag, FAILED, TEXT("level is one of debug, info, notice, warning, alarm"));
        return;
    }
    struct ledger_job *job = new_job(l, from, ask->tag);
    if (!job)
        return;
    job->level = least;
    job->wanted = (size_t)wanted;
    job->kept = calloc(job->wanted, sizeof *job->kept);
    must(job->kept != NULL);
    for (size_t i = 0; i < name.length; i++)
        job->name[i] = name.bytes[i];
    job->name_length = name.length;
    job->files = 1;
    job->has_all_files = !record_reader_restart_latest(job->reader, job->files);
}

bool ledger_ask(struct ledger *l, struct link *from, const struct peers_command_ask *ask)
{
    if (text_equals(ask->name, TEXT("trace")))
        begin_trace(l, from, ask);
    else if (text_equals(ask->name, TEXT("events")))
        begin_events(l, from, ask);
    else
        return false;
    return true;
}
