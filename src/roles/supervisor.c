/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/supervisor.h"
#include "command/places.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACK_OFF_FIRST_MS = 50, BACK_OFF_MOST_MS = 10000, STEADY_MS = 60000, STOP_STEP_MS = 8000, CERTIFICATE_LOOK_MS = 2000 };

/* Who runs, in the order of starting; stopping goes the other way. */
static const struct {
    enum peers_role role;
    const char *program;
    bool one_a_core;
    unsigned stop_phase; /* 1 is first: those who talk to strangers */
} roles[] = {
    {.role = PEERS_LEDGER, .program = "portiere-ledger", .stop_phase = 4},
    {.role = PEERS_VERIFIER, .program = "portiere-verifier", .one_a_core = true, .stop_phase = 3},
    {.role = PEERS_VAULT, .program = "portiere-vault", .stop_phase = 3},
    {.role = PEERS_MAILBOX, .program = "portiere-mailbox", .stop_phase = 3},
    {.role = PEERS_RESOLVER, .program = "portiere-resolver", .stop_phase = 3},
    {.role = PEERS_RELAY, .program = "portiere-relay", .stop_phase = 2},
    {.role = PEERS_QUEUE, .program = "portiere-queue", .stop_phase = 3},
    {.role = PEERS_CONTROL, .program = "portiere-control", .stop_phase = 4},
    {.role = PEERS_FRONT, .program = "portiere-front", .stop_phase = 1},
};
enum { STOP_PHASES = 4 };

/* Who may talk to whom. */
static const struct {
    enum peers_role one, other;
} pairs[] = {
    {PEERS_FRONT, PEERS_QUEUE},     {PEERS_FRONT, PEERS_VAULT},    {PEERS_FRONT, PEERS_RESOLVER},  {PEERS_FRONT, PEERS_LEDGER},
    {PEERS_QUEUE, PEERS_VAULT},     {PEERS_QUEUE, PEERS_MAILBOX},  {PEERS_QUEUE, PEERS_RELAY},     {PEERS_QUEUE, PEERS_LEDGER},
    {PEERS_RELAY, PEERS_RESOLVER},  {PEERS_RELAY, PEERS_LEDGER},   {PEERS_VAULT, PEERS_VERIFIER},  {PEERS_VAULT, PEERS_LEDGER},
    {PEERS_MAILBOX, PEERS_LEDGER},  {PEERS_RESOLVER, PEERS_LEDGER}, {PEERS_VERIFIER, PEERS_LEDGER}, {PEERS_CONTROL, PEERS_LEDGER},
    {PEERS_CONTROL, PEERS_FRONT},   {PEERS_CONTROL, PEERS_QUEUE},  {PEERS_CONTROL, PEERS_VAULT},   {PEERS_CONTROL, PEERS_MAILBOX},
    {PEERS_CONTROL, PEERS_RELAY},   {PEERS_CONTROL, PEERS_RESOLVER},
};

/* What each keeper works in. */
static const struct {
    enum peers_role role;
    enum supervisor_folder folder;
    const char *name;
} keeps[] = {
    {PEERS_QUEUE, FOLDER_SPOOL, "spool"}, {PEERS_MAILBOX, FOLDER_MAIL, "mail"}, {PEERS_VAULT, FOLDER_VAULT, "vault"}, {PEERS_LEDGER, FOLDER_LOG, "log"}};

struct child *supervisor_child(struct supervisor *s, enum peers_role role)
{
    for (size_t i = 0; i < s->child_count; i++)
        if (s->children[i].role == role)
            return &s->children[i];
    return NULL;
}

static enum channel_result send_packed(int channel, enum peers_type type, const void *fields, const struct channel_descriptors *files)
{
    struct buffer packed released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
    return peers_pack(&packed, type, fields) ? channel_send(channel, buffer_text(&packed), files, true) : CHANNEL_FAILED;
}

/* A role that does not read its channel may not hold up the supervisor: it is killed, and started again. */
bool supervisor_send(struct child *child, enum peers_type type, const void *fields, const struct channel_descriptors *files)
{
    if (!child || child->channel < 0)
        return false;
    enum channel_result result = send_packed(child->channel, type, fields, files);
    if (result == CHANNEL_FULL)
        process_signal(child->process, SIGKILL);
    return result == CHANNEL_OK;
}

void supervisor_event(struct supervisor *s, enum record_level level, struct text name, const struct text *fields, size_t count)
{
    struct text cut[64];
    struct peers_event event = {.time = (uint64_t)clock_wall_ms(), .level = level, .name = name, .fields = {.items = cut, .count = smaller(count, 64)}};
    for (size_t i = 0; i < event.fields.count; i++)
        cut[i] = text_first(fields[i], 2000);
    ignored(supervisor_send(supervisor_child(s, PEERS_LEDGER), PEERS_event, &event, NULL)); /* said below as well */
    if (level < RECORD_NOTICE)
        return;
    struct buffer line released_by(buffer_done) = buffer_new(8192);
    ignored(buffer_append_format(&line, "portiere: %.*s", TEXT_ARGUMENTS(name))); /* a cut line is still a line */
    for (size_t i = 0; i + 1 < event.fields.count; i += 2)
        ignored(buffer_append_format(&line, " %.*s=%.*s", TEXT_ARGUMENTS(cut[i]), TEXT_ARGUMENTS(cut[i + 1]))); /* as above */
    ignored(fprintf(stderr, "%.*s\n", TEXT_ARGUMENTS(buffer_text(&line)))); /* nowhere else to tell */
}

void supervisor_row(struct child *to, uint64_t tag, const struct text *fields, size_t count)
{
    struct text items[64];
    struct peers_command_row row = {.tag = tag, .fields = {.items = items, .count = smaller(count, 64)}};
    for (size_t i = 0; i < row.fields.count; i++)
        items[i] = text_first(fields[i], 4000);
    ignored(supervisor_send(to, PEERS_command_row, &row, NULL)); /* nobody waits any more */
}

void supervisor_end(struct child *to, uint64_t tag, uint64_t status, struct text message)
{
    struct peers_command_end end = {.tag = tag, .status = status, .message = text_first(message, 4000)};
    ignored(supervisor_send(to, PEERS_command_end, &end, NULL)); /* as above */
}

/* --- starting ------------------------------------------------------------------------------------------------------------------------ */

static size_t row_of(enum peers_role role)
{
    for (size_t i = 0; i < length_of(roles); i++)
        if (roles[i].role == role)
            return i;
    must(false && "a child has a row");
    return 0;
}

static bool connect_pair(struct child *one, struct child *other)
{
    int ends[2];
    if (channel_pair(ends) != 0)
        return false;
    struct peers_peer to_one = {.role = (uint64_t)other->role | (uint64_t)other->instance << 32};
    struct peers_peer to_other = {.role = (uint64_t)one->role | (uint64_t)one->instance << 32};
    bool sent = supervisor_send(one, PEERS_peer, &to_one, &(struct channel_descriptors){.files = {ends[0]}, .count = 1});
    sent = supervisor_send(other, PEERS_peer, &to_other, &(struct channel_descriptors){.files = {ends[1]}, .count = 1}) && sent;
    file_close(&ends[0]);
    file_close(&ends[1]);
    return sent;
}

static bool are_paired(enum peers_role one, enum peers_role other)
{
    for (size_t i = 0; i < length_of(pairs); i++)
        if ((pairs[i].one == one && pairs[i].other == other) || (pairs[i].one == other && pairs[i].other == one))
            return true;
    return false;
}

static void connect_all(struct supervisor *s, struct child *child)
{
    for (size_t i = 0; i < s->child_count; i++) {
        struct child *other = &s->children[i];
        if (other != child && other->channel >= 0 && are_paired(child->role, other->role))
            ignored(connect_pair(child, other)); /* one that died meanwhile is started again and paired then */
    }
}

static void hand_over(struct supervisor *s, struct child *child)
{
    supervisor_settings_publish(s, child);
    for (size_t i = 0; i < length_of(keeps); i++) {
        if (keeps[i].role != child->role)
            continue;
        struct peers_folder folder = {.name = text_of_terminated(keeps[i].name)};
        struct channel_descriptors files = {.files = {s->folders[keeps[i].folder]}, .count = 1};
        ignored(supervisor_send(child, PEERS_folder, &folder, &files)); /* its death is noticed by the loop */
    }
    supervisor_listeners_send(s, child);
    if (child->role == PEERS_FRONT)
        supervisor_certificates_send(s, child);
}

static void child_ready(void *context, unsigned ready);
static void child_again(void *context);

static bool child_start(struct supervisor *s, struct child *child)
{
    int ends[2], program released_by(file_close) = -1;
    int result = file_open(s->programs, text_of_terminated(child->program), O_RDONLY, 0, &program);
    if (result) {
        supervisor_event(s, RECORD_ALARM, TEXT("no-program"),
                         (struct text[]){TEXT("program"), text_of_terminated(child->program), TEXT("why"), file_error_word(result)}, 4);
        return false;
    }
    if (channel_pair(ends) != 0)
        return false;
    struct process_start start = {.program = program, .name = child->program, .channel = ends[1]};
    command_role_user(child->role, &start.user, &start.group);
    result = process_start(&start, &child->process);
    file_close(&ends[1]);
    if (result) {
        file_close(&ends[0]);
        return false;
    }
    child->channel = ends[0];
    child->is_ready = false;
    child->started_ms = clock_monotonic_ms();
    child->watch = loop_watch_new(s->loop, child->channel, LOOP_READABLE, child_ready, child);
    return true;
}

static bool complain(struct text what, struct text where, int error)
{
    ignored(fprintf(stderr, "portiere: %.*s %.*s: %.*s\n", TEXT_ARGUMENTS(what), TEXT_ARGUMENTS(where), TEXT_ARGUMENTS(file_error_word(error)))); /* nowhere else to tell */
    return false;
}

/* The boot number makes queue ids unique over restarts of the server, of front and of the queue: it grows by one each time, and is
 * on disk before it is used. */
static bool count_boot(struct supervisor *s)
{
    struct buffer before released_by(buffer_done) = buffer_new(32), after released_by(buffer_done) = buffer_new(32);
    uint64_t number = 0;
    ignored(file_read_whole(s->folders[FOLDER_STATE], TEXT("boot"), &before)); /* absent at the first start */
    if (!text_number(text_trimmed(buffer_text(&before)), UINT32_MAX, &number))
        number = (uint64_t)clock_wall_ms() / 1000 & 0x7fffffff; /* lost: start where no earlier one can have been */
    s->boot = number + 1;
    ignored(buffer_append_format(&after, "%llu\n", (unsigned long long)s->boot)); /* fits */
    int result = file_replace(s->folders[FOLDER_STATE], TEXT("boot"), buffer_text(&after), 0644);
    return result == 0 || complain(TEXT("file"), TEXT("boot"), result);
}

/* Settings come first: a role may use them for everything after. */
static void child_introduce(struct supervisor *s, struct child *child)
{
    hand_over(s, child);
    connect_all(s, child);
    if (child->role == PEERS_FRONT || child->role == PEERS_QUEUE) /* both make ids out of it */
        ignored(count_boot(s)); /* on a full disk the number counts on in memory */
    struct peers_go go = {.boot = s->boot, .instance = child->instance};
    ignored(supervisor_send(child, PEERS_go, &go, NULL)); /* as above */
}

static void children_start(struct supervisor *s)
{
    for (size_t i = 0; i < s->child_count; i++)
        if (!child_start(s, &s->children[i]))
            loop_timer_set(s->children[i].again, BACK_OFF_FIRST_MS);
    /* each pair once: with those introduced before */
    for (size_t i = 0; i < s->child_count; i++) {
        struct child *child = &s->children[i];
        if (child->channel < 0)
            continue;
        hand_over(s, child);
        for (size_t j = 0; j < i; j++)
            if (s->children[j].channel >= 0 && are_paired(child->role, s->children[j].role))
                ignored(connect_pair(child, &s->children[j])); /* as above */
    }
    for (size_t i = 0; i < s->child_count; i++) {
        struct peers_go go = {.boot = s->boot, .instance = s->children[i].instance};
        ignored(supervisor_send(&s->children[i], PEERS_go, &go, NULL)); /* as above */
    }
}

static void children_prepare(struct supervisor *s)
{
    for (size_t i = 0; i < length_of(roles); i++) {
        unsigned count = roles[i].one_a_core ? process_cores() : 1;
        for (unsigned instance = 0; instance < count && s->child_count < CHILDREN_LIMIT; instance++) {
            struct child *child = &s->children[s->child_count++];
            *child = (struct child){.role = roles[i].role, .instance = instance, .program = roles[i].program, .channel = -1, .supervisor = s};
            child->again = loop_timer_new(s->loop, child_again, child);
        }
    }
}

/* --- a role died --------------------------------------------------------------------------------------------------------------------- */

static void child_again(void *context)
{
    struct child *child = context;
    struct supervisor *s = child->supervisor;
    if (s->stopping || child->process)
        return;
    if (child_start(s, child))
        child_introduce(s, child);
    else
        loop_timer_set(child->again, BACK_OFF_MOST_MS);
}

static void child_ended(struct supervisor *s, struct child *child, bool is_clean, struct text why)
{
    loop_watch_free(&child->watch);
    file_close(&child->channel);
    child->process = 0;
    child->is_ready = false;
    if (s->stopping)
        return;
    child->restarts = clock_monotonic_ms() - child->started_ms > STEADY_MS ? 0 : child->restarts + 1;
    uint64_t wait = (uint64_t)BACK_OFF_FIRST_MS << smaller(child->restarts, 8);
    wait = smaller(wait, BACK_OFF_MOST_MS);
    loop_timer_set(child->again, wait);
    supervisor_event(s, is_clean ? RECORD_NOTICE : RECORD_ALARM, TEXT("role-restarted"),
                     (struct text[]){TEXT("role"), peers_role_word(child->role), TEXT("why"), why}, 4);
}

static bool all_gone(const struct supervisor *s)
{
    for (size_t i = 0; i < s->child_count; i++)
        if (s->children[i].process)
            return false;
    return true;
}

static bool phase_gone(const struct supervisor *s, unsigned phase)
{
    for (size_t i = 0; i < s->child_count; i++)
        if (s->children[i].process && roles[row_of(s->children[i].role)].stop_phase == phase)
            return false;
    return true;
}

/* --- stopping ------------------------------------------------------------------------------------------------------------------------ */

static void stop_phase(struct supervisor *s)
{
    while (s->stopping <= STOP_PHASES && phase_gone(s, s->stopping))
        s->stopping++;
    if (s->stopping > STOP_PHASES) {
        loop_stop(s->loop);
        return;
    }
    struct peers_stop stop = {.grace = STOP_STEP_MS / 2};
    for (size_t i = 0; i < s->child_count; i++)
        if (s->children[i].process && roles[row_of(s->children[i].role)].stop_phase == s->stopping)
            ignored(supervisor_send(&s->children[i], PEERS_stop, &stop, NULL)); /* the timer kills who does not hear */
    loop_timer_set(s->stop_timer, STOP_STEP_MS);
}

static void stop_overdue(void *context)
{
    struct supervisor *s = context;
    for (size_t i = 0; i < s->child_count; i++)
        if (s->children[i].process && roles[row_of(s->children[i].role)].stop_phase == s->stopping)
            process_signal(s->children[i].process, SIGKILL);
    loop_timer_set(s->stop_timer, STOP_STEP_MS);
}

static void stop_begin(struct supervisor *s)
{
    if (s->stopping)
        return;
    supervisor_event(s, RECORD_NOTICE, TEXT("server-stopping"), NULL, 0);
    s->stopping = 1;
    stop_phase(s);
}

static void reap(struct supervisor *s)
{
    int process;
    bool is_clean;
    struct buffer why released_by(buffer_done) = buffer_new(100);
    while (process_reap(&process, &is_clean, &why)) {
        for (size_t i = 0; i < s->child_count; i++)
            if (s->children[i].process == process)
                child_ended(s, &s->children[i], is_clean, buffer_text(&why));
        buffer_clear(&why);
    }
    if (s->stopping && phase_gone(s, s->stopping)) {
        if (all_gone(s))
            loop_stop(s->loop);
        else
            stop_phase(s);
    }
}

static void reload(struct supervisor *s)
{
    struct buffer why released_by(buffer_done) = buffer_new(1 << 16);
    struct buffer file released_by(buffer_done) = buffer_new(SETTINGS_FILE_LIMIT);
    int result = file_read_whole(s->folders[FOLDER_HOME], TEXT("portiere.conf"), &file);
    if (result == ENOENT)
        result = 0; /* without a file all defaults hold */
    if (result || !supervisor_settings_take(s, buffer_text(&file), false, &why))
        supervisor_event(s, RECORD_ALARM, TEXT("settings-refused"),
                         (struct text[]){TEXT("problem"), result ? file_error_word(result) : text_first(buffer_text(&why), 1500)}, 2);
}

static void signal_ready(void *context, unsigned ready not_used)
{
    struct supervisor *s = context;
    int signal;
    while (process_take_signal(s->signals, &signal)) {
        if (signal == SIGCHLD)
            reap(s);
        else if (signal == SIGHUP)
            reload(s);
        else
            stop_begin(s);
    }
}

/* --- what roles say ------------------------------------------------------------------------------------------------------------------ */

static void announce(struct supervisor *s)
{
    for (size_t i = 0; i < s->child_count; i++)
        if (!s->children[i].is_ready)
            return;
    if (s->is_announced)
        return;
    s->is_announced = true;
    struct buffer line released_by(buffer_done) = buffer_new(4096);
    ignored(buffer_append_format(&line, "portiere %s is ready:", PORTIERE_VERSION)); /* a cut line is still a line */
    for (size_t i = 0; i < LISTENERS_LIMIT; i++)
        if (s->listeners[i].socket >= 0)
            ignored(buffer_append_format(&line, " [%.*s]", TEXT_ARGUMENTS(s->listeners[i].row))); /* as above */
    ignored(printf("%.*s\n", TEXT_ARGUMENTS(buffer_text(&line)))); /* whoever reads it, or nobody */
    ignored(fflush(stdout));                                      /* as above */
    supervisor_event(s, RECORD_NOTICE, TEXT("server-ready"), (struct text[]){TEXT("version"), TEXT(PORTIERE_VERSION)}, 2);
}

static void child_says_ready(struct supervisor *s, struct child *child, const struct peers_ready *ready)
{
    if (child->is_ready)
        return; /* once: a role that was taken over could say later that it has no sandbox, and stop the server */
    child->is_ready = true;
    child->sandbox = (struct sandbox_state){.landlock = (unsigned)ready->landlock, .has_seccomp = ready->seccomp != 0};
    if (ready->landlock == 0) {
        bool is_required = s->settings->service_sandbox == SETTINGS_SANDBOX_REQUIRE;
        supervisor_event(s, RECORD_ALARM, TEXT("no-landlock"), (struct text[]){TEXT("role"), peers_role_word(child->role)}, 2);
        if (is_required)
            stop_begin(s);
    }
    if (child->role == PEERS_VAULT) {
        struct peers_command_ask ask = {.tag = 1, .caller = TEXT("supervisor"), .name = TEXT("domain-first")};
        ignored(supervisor_send(child, PEERS_command_ask, &ask, NULL)); /* it tells again when accounts change */
    }
    announce(s);
}

/* Defaults hang on the first domain (primary_domain, bad_mail): only the vault knows it. */
static void take_first_domain(struct supervisor *s, const struct peers_command_row *row)
{
    for (size_t i = 0; i + 1 < row->fields.count; i += 2) {
        struct text domain = row->fields.items[i + 1];
        if (!text_equals(row->fields.items[i], TEXT("domain")) || domain.length > sizeof s->first_domain)
            continue;
        if (text_equals(domain, text_of(s->first_domain, s->first_domain_length)))
            return;
        memcpy(s->first_domain, domain.bytes, domain.length);
        s->first_domain_length = domain.length;
        reload(s);
        return;
    }
}

static void status(struct supervisor *s, struct child *from, const struct peers_command_ask *ask)
{
    for (size_t i = 0; i < s->child_count; i++) {
        const struct child *child = &s->children[i];
        char process[16], restarts[16], landlock[16];
        struct text row[] = {
            TEXT("child"), peers_role_word(child->role), TEXT("state"), child->is_ready ? TEXT("ready") : child->process ? TEXT("starting") : TEXT("down"),
            TEXT("process"), text_of(process, (size_t)snprintf(process, sizeof process, "%d", child->process)),
            TEXT("restarts"), text_of(restarts, (size_t)snprintf(restarts, sizeof restarts, "%u", child->restarts)),
            TEXT("landlock"), text_of(landlock, (size_t)snprintf(landlock, sizeof landlock, "%u", child->sandbox.landlock)),
            TEXT("seccomp"), child->sandbox.has_seccomp ? TEXT("yes") : TEXT("no")};
        supervisor_row(from, ask->tag, row, length_of(row));
    }
    struct buffer generation released_by(buffer_done) = buffer_new(32);
    ignored(buffer_append_number(&generation, s->generation)); /* fits */
    struct text row[] = {TEXT("role"), TEXT("supervisor"), TEXT("settings"), buffer_text(&generation), TEXT("stopping"), s->stopping ? TEXT("yes") : TEXT("no")};
    supervisor_row(from, ask->tag, row, length_of(row));
    supervisor_end(from, ask->tag, 0, TEXT_NONE);
}

static void hook(struct supervisor *s, struct child *from, const struct peers_command_ask *ask)
{
    if (!s->may_hook) {
        supervisor_end(from, ask->tag, 4, TEXT("Hooks are for tests: start the server with PORTIERE_TEST_HOOKS=1."));
        return;
    }
    struct peers_hook message = {.what = TEXT("sandbox")};
    for (size_t i = 0; i < s->child_count; i++)
        ignored(supervisor_send(&s->children[i], PEERS_hook, &message, NULL)); /* who is down proves nothing, and the test sees it */
    supervisor_end(from, ask->tag, 0, TEXT_NONE);
}

static void command(struct supervisor *s, struct child *from, const struct peers_command_ask *ask)
{
    if (text_equals(ask->name, TEXT("status"))) {
        status(s, from, ask);
    } else if (text_equals(ask->name, TEXT("stop"))) {
        supervisor_end(from, ask->tag, 0, TEXT_NONE);
        stop_begin(s);
    } else if (text_equals(ask->name, TEXT("hook"))) {
        hook(s, from, ask);
    } else if (!supervisor_settings_command(s, from, ask)) {
        supervisor_end(from, ask->tag, 2, TEXT("The supervisor does not know this command."));
    }
}

static void take_message(struct supervisor *s, struct child *child, const struct peers_message *message)
{
    switch ((int)message->type) { /* the few that may come here; peers.def keeps the others away */
    case PEERS_ready:
        child_says_ready(s, child, &message->ready);
        break;
    case PEERS_command_ask:
        command(s, child, &message->command_ask);
        break;
    case PEERS_command_row:
        if (child->role == PEERS_VAULT)
            take_first_domain(s, &message->command_row);
        break;
    case PEERS_accounts_changed: {
        struct peers_command_ask ask = {.tag = 1, .caller = TEXT("supervisor"), .name = TEXT("domain-first")};
        ignored(supervisor_send(child, PEERS_command_ask, &ask, NULL)); /* asked again at the next change */
        break;
    }
    default:
        break;
    }
}

static void child_ready(void *context, unsigned ready not_used)
{
    static char bytes[CHANNEL_PACKET_LIMIT];
    struct child *child = context;
    struct supervisor *s = child->supervisor;
    struct text packet;
    struct channel_descriptors files;
    enum channel_result received = channel_receive(child->channel, bytes, 0, &packet, &files);
    if (received == CHANNEL_EMPTY)
        return;
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct peers_message message;
    bool is_good = received == CHANNEL_OK && peers_unpack(packet, child->role, PEERS_SUPERVISOR, files.count, &arena, &message) == PEERS_OK;
    if (received == CHANNEL_OK)
        channel_descriptors_close(&files);
    if (is_good) {
        take_message(s, child, &message);
        return;
    }
    /* it has ended, or says what it may not: SIGCHLD brings the restart */
    loop_watch_free(&child->watch);
    file_close(&child->channel);
    process_signal(child->process, SIGKILL);
}

/* --- start-up ------------------------------------------------------------------------------------------------------------------------ */

static void look_at_certificates(void *context)
{
    struct supervisor *s = context;
    if (supervisor_certificates_changed(s))
        supervisor_certificates_send(s, supervisor_child(s, PEERS_FRONT));
    loop_timer_set(s->certificate_timer, CERTIFICATE_LOOK_MS);
}

static bool open_folders(struct supervisor *s, const char *home, const char *state, const char *run)
{
    static const struct {
        enum supervisor_folder folder;
        const char *name;
        unsigned mode;
        enum peers_role owner;
    } below[] = {
        {FOLDER_SPOOL, "spool", 0700, PEERS_QUEUE}, {FOLDER_MAIL, "mail", 0700, PEERS_MAILBOX}, {FOLDER_VAULT, "vault", 0700, PEERS_VAULT},
        {FOLDER_LOG, "log", 0750, PEERS_LEDGER},   {FOLDER_TLS, "tls", 0700, PEERS_NOBODY},
    };
    const char *tops[] = {home, state, run};
    umask(0022); /* administrators who are not root pass through these to the control socket */
    for (size_t i = 0; i < length_of(tops); i++) {
        int result = folder_make(-1, text_of_terminated(tops[i]), 0755);
        if (!result)
            result = folder_open(-1, text_of_terminated(tops[i]), &s->folders[FOLDER_HOME + i]);
        if (result)
            return complain(TEXT("folder"), text_of_terminated(tops[i]), result);
    }
    umask(0077);
    for (size_t i = 0; i < length_of(below); i++) {
        struct text name = text_of_terminated(below[i].name);
        int parent = s->folders[below[i].folder == FOLDER_TLS ? FOLDER_HOME : FOLDER_STATE];
        int result = folder_make(parent, name, below[i].mode);
        if (!result)
            result = folder_open(parent, name, &s->folders[below[i].folder]);
        if (result)
            return complain(TEXT("folder"), name, result);
        unsigned user, group;
        if (below[i].owner == PEERS_NOBODY || process_own_user() != 0)
            continue;
        command_role_user(below[i].owner, &user, &group);
        if (fchown(s->folders[below[i].folder], user, group) < 0)
            return complain(TEXT("folder"), name, EPERM);
    }
    return true;
}

static bool lock(struct supervisor *s)
{
    static int file = -1; /* held until the process ends */
    int result = file_open(s->folders[FOLDER_RUN], TEXT("lock"), O_RDWR | O_CREAT, 0600, &file);
    if (!result)
        result = file_lock(file);
    if (!result)
        return true;
    ignored(fprintf(stderr, "portiere: another server runs on this folder (%.*s/run/lock is held). Stop it with: portiere stop\n", TEXT_ARGUMENTS(s->home))); /* we end */
    return false;
}

static bool prepare(struct supervisor *s, const char *home, const char *state, const char *run)
{
    struct buffer programs released_by(buffer_done) = buffer_new(4096), name released_by(buffer_done) = buffer_new(sizeof s->machine_name);
    struct buffer why released_by(buffer_done) = buffer_new(1 << 16);
    s->home = text_of_terminated(home);
    if (!process_own_folder(&programs) || folder_open(-1, buffer_text(&programs), &s->programs) != 0)
        return complain(TEXT("folder"), TEXT("of our programs"), ENOENT);
    process_machine_name(&name);
    memcpy(s->machine_name, name.bytes, name.length);
    s->machine_name_length = name.length;
    if (!open_folders(s, home, state, run) || !lock(s) || !count_boot(s) || !supervisor_settings_load(s))
        return false;
    if (!supervisor_listeners_match(s, &why) || !supervisor_control_listen(s)) {
        ignored(fprintf(stderr, "portiere: %.*s\n", TEXT_ARGUMENTS(buffer_text(&why)))); /* we end */
        return false;
    }
    return true;
}

int main(int argument_count, char **arguments)
{
    static struct supervisor supervisor;
    struct supervisor *s = &supervisor;
    static const int wanted[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    if (argument_count != 4) {
        ignored(fprintf(stderr, "usage: portiere-supervisor SETTINGS-FOLDER STATE-FOLDER RUN-FOLDER (portiere serve starts it)\n")); /* we end */
        return 2;
    }
    umask(0077);
    s->may_hook = getenv("PORTIERE_TEST_HOOKS") != NULL;
    s->loop = loop_new();
    s->arena = arena_new(SETTINGS_ARENA_LIMIT);
    s->control_socket = -1;
    for (size_t i = 0; i < LISTENERS_LIMIT; i++)
        s->listeners[i].socket = -1;
    ignored(process_raise_file_limit()); /* the limit then stays; status shows it */
    signal(SIGPIPE, SIG_IGN);
    if (!prepare(s, arguments[1], arguments[2], arguments[3]) || process_signals(wanted, length_of(wanted), &s->signals) != 0)
        return 1;
    s->signal_watch = loop_watch_new(s->loop, s->signals, LOOP_READABLE, signal_ready, s);
    s->stop_timer = loop_timer_new(s->loop, stop_overdue, s);
    s->certificate_timer = loop_timer_new(s->loop, look_at_certificates, s);
    loop_timer_set(s->certificate_timer, CERTIFICATE_LOOK_MS);
    children_prepare(s);
    children_start(s);
    loop_run(s->loop);
    ignored(printf("portiere has stopped.\n")); /* whoever reads it, or nobody */
    return 0;
}
