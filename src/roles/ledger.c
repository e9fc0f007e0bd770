/* SPDX-License-Identifier: Apache-2.0 */
/* ledger: the keeper of the log. Every role sends its events here; they are written in groups (4 KiB or 200 ms), never
 * synced, and nobody waits for a target that takes nothing. */
#include "roles/ledger.h"

#include <signal.h>
#include <stdlib.h>

enum { FLUSH_MS = 200, LAST_WORDS_MS = 50, STANDARD_OUTPUT = 1, EVENT_LIMIT = 1 << 20 };

static void take_options(struct ledger *l)
{
    const struct settings *s = l->role->settings;
    record_writer_options(l->writer, &(struct record_options){.target = s->log_target,
                                                              .format = s->log_format,
                                                              .rotation = s->log_rotation,
                                                              .keep_ms = s->log_keep});
}

/* Called when a round is over, and by the timer. */
static void flush_if_due(struct ledger *l, bool is_time)
{
    if (is_time || record_writer_is_due(l->writer))
        record_writer_flush(l->writer, clock_wall_ms());
    if (record_writer_is_empty(l->writer) || l->is_flush_set)
        return;
    l->is_flush_set = true;
    loop_timer_set(l->flush, FLUSH_MS);
}

static void after_round(void *context)
{
    flush_if_due(context, false);
}

static void flush_time(void *context)
{
    struct ledger *l = context;
    l->is_flush_set = false;
    flush_if_due(l, true);
}

static void own_event(struct ledger *l, enum record_level level, struct text name, const struct text *fields,
                      size_t count)
{
    record_writer_put(l->writer, &(struct record_event){.time_ms = clock_wall_ms(),
                                                        .level = level,
                                                        .role = TEXT("ledger"),
                                                        .name = name,
                                                        .fields = fields,
                                                        .count = count});
}

/* --- events -------------------------------------------------------------------------------------- */

/* Steps of a dialogue are events of the level debug; their service's level says whether they are wanted. */
static bool is_wanted(const struct ledger *l, enum peers_role from, const struct record_event *event)
{
    const struct settings *s = l->role->settings;
    struct text listener = record_field(event, TEXT("listener"));
    if (event->level != RECORD_DEBUG)
        return true;
    if (from == PEERS_RELAY)
        return s->log_level_outgoing != SETTINGS_LOG_LEVEL_SUMMARY;
    if (from != PEERS_FRONT)
        return false;
    if (text_starts_with(listener, TEXT("submission")))
        return s->log_level_submission != SETTINGS_LOG_LEVEL_SUMMARY;
    if (text_starts_with(listener, TEXT("pop3")))
        return s->log_level_pop3 != SETTINGS_LOG_LEVEL_SUMMARY;
    return s->log_level_smtp != SETTINGS_LOG_LEVEL_SUMMARY;
}

/* Said when the first event comes: a ledger that is started to answer a question writes nothing. */
static void tell_journal(struct ledger *l)
{
    if (l->journal_error && l->role->settings->log_target == SETTINGS_LOG_TARGET_JOURNAL)
        own_event(l, RECORD_NOTICE, TEXT("no-journal"), (struct text[]){TEXT("why"), file_error_word(l->journal_error)},
                  2);
    l->journal_error = 0;
}

static void take_event(struct ledger *l, struct link *from, const struct peers_event *event)
{
    if (event->level >= RECORD_LEVELS || event->time > INT64_MAX || event->name.length == 0) {
        l->events_dropped++;
        return;
    }
    tell_journal(l);
    struct record_event line = {.time_ms = (int64_t)event->time,
                                .level = (enum record_level)event->level,
                                .role = peers_role_word(from->remote),
                                .name = event->name,
                                .fields = event->fields.items,
                                .count = event->fields.count & ~(size_t)1};
    if (is_wanted(l, from->remote, &line))
        record_writer_put(l->writer, &line);
    else
        l->events_dropped++;
}

/* What a thread of front has gathered, one by one. */
static void take_events(struct ledger *l, struct link *from, struct text rest)
{
    bool is_good = true;
    while (is_good && rest.length) {
        struct arena arena released_by(arena_done) = arena_new(EVENT_LIMIT);
        struct text packed;
        struct peers_message part;
        is_good = role_events_next(&rest, &packed) &&
                  peers_unpack(packed, from->remote, PEERS_LEDGER, 0, &arena, &part) == PEERS_OK &&
                  part.type == PEERS_event;
        if (is_good)
            take_event(l, from, &part.event);
    }
    if (!is_good)
        role_misspoke(from, TEXT("events that can't be read"));
}

/* --- commands and the frame ---------------------------------------------------------------------- */

static void show_status(struct ledger *l, struct link *from, uint64_t tag)
{
    struct buffer written released_by(buffer_done) = buffer_new(20), lost released_by(buffer_done) = buffer_new(20);
    struct buffer dropped released_by(buffer_done) = buffer_new(20);
    uint64_t target = l->role->settings->log_target;
    int error = record_writer_error(l->writer);
    ignored(buffer_append_number(&written, record_writer_written(l->writer))); /* twenty digits fit, here and below */
    ignored(buffer_append_number(&lost, record_writer_lost(l->writer)));
    ignored(buffer_append_number(&dropped, l->events_dropped));
    struct text pairs[] = {
        TEXT("lines"),   buffer_text(&written),
        TEXT("lost"),    buffer_text(&lost),
        TEXT("dropped"), buffer_text(&dropped),
        TEXT("target"),  settings_spec(SETTINGS_KEY_log_target)->words[target],
        TEXT("journal"), l->journal >= 0 ? TEXT("connected") : TEXT("none"),
        TEXT("file"),    error ? file_error_word(error) : TEXT("well"),
    };
    role_status(l->role, from, tag, pairs, length_of(pairs));
    role_end(from, tag, 0, TEXT_NONE);
}

static void take_command(struct ledger *l, struct link *from, const struct peers_command_ask *ask)
{
    if (text_equals(ask->name, TEXT("status")))
        show_status(l, from, ask->tag);
    else if (!ledger_ask(l, from, ask))
        role_end(from, ask->tag, 1, TEXT("the role ledger does not know this command"));
}

/* Before the sandbox: the journal is reached by a name that can't be opened in it. */
static bool prepare(struct role *role)
{
    struct ledger *l = role->context;
    int folder = role_folder(role, TEXT("log"));
    if (folder < 0)
        return false;
    signal(SIGPIPE, SIG_IGN); /* whoever reads standard output may go */
    l->role = role;
    int error = socket_connect_unix_datagram(TEXT("/run/systemd/journal/socket"), &l->journal);
    l->writer = record_writer_new(folder, l->journal, STANDARD_OUTPUT);
    take_options(l);
    l->journal_error = error;
    return true;
}

static void end(void *context)
{
    struct ledger *l = context;
    loop_stop(l->role->loop);
}

static void begin(struct role *role)
{
    struct ledger *l = role->context;
    l->flush = loop_timer_new(role->loop, flush_time, l);
    l->step = loop_timer_new(role->loop, ledger_ask_step, l);
    l->end = loop_timer_new(role->loop, end, l);
    loop_after_round(role->loop, after_round, l);
    flush_if_due(l, true);
}

static void message(struct role *role, struct link *from, const struct peers_message *message,
                    struct channel_descriptors *files not_used)
{
    struct ledger *l = role->context;
    if (message->type == PEERS_event)
        take_event(l, from, &message->event);
    else if (message->type == PEERS_events)
        take_events(l, from, message->events.packed);
    else if (message->type == PEERS_command_ask)
        take_command(l, from, &message->command_ask);
}

static void unlinked(struct role *role, struct link *link)
{
    ledger_ask_drop(role->context, link);
}

static void settings_changed(struct role *role, const struct settings *before)
{
    take_options(role->context);
    role_settings_release(role, before);
}

/* What the others said last still stands in their channels. */
static void stop(struct role *role, uint64_t grace_ms not_used)
{
    struct ledger *l = role->context;
    loop_timer_set(l->end, LAST_WORDS_MS);
}

int main(void)
{
    static const struct role_program program = {
        .self = PEERS_LEDGER,
        .grants = SANDBOX_FILES,
        .prepare = prepare,
        .begin = begin,
        .message = message,
        .unlinked = unlinked,
        .settings_changed = settings_changed,
        .stop = stop,
    };
    struct ledger *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->journal = -1;
    int status = role_main(&program, l);
    ledger_ask_drop(l, NULL);
    record_writer_free(&l->writer);
    file_close(&l->journal);
    free(l);
    return status;
}
