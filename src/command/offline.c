/* SPDX-License-Identifier: Apache-2.0 */
#include "command/offline.h"

#include "system/system.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

enum { READY_MS = 60000, FINISH_MS = 5000, SNAPSHOT_LIMIT = 64 << 20, ARENA_LIMIT = 1 << 16 };

static bool say(int channel, enum peers_type type, const void *fields, const int *file)
{
    struct buffer packed released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
    struct channel_descriptors files = {.count = file ? 1 : 0};
    if (file)
        files.files[0] = *file;
    return peers_pack(&packed, type, fields) && channel_send(channel, buffer_text(&packed), &files, true) == CHANNEL_OK;
}

/* The folder as the supervisor would make it: owned by who works in it. */
static int open_folder(const struct command_places *places, enum peers_role role, int *ret_folder)
{
    int state released_by(file_close) = -1;
    unsigned user, group;
    struct file_facts facts;
    struct text name = command_folder_of(role);
    int result = folder_make(-1, places->state, 0755);
    if (!result)
        result = folder_open(-1, places->state, &state);
    bool is_new = !result && file_facts_of(state, name, &facts) == ENOENT;
    if (!result)
        result = folder_make(state, name, 0700);
    if (!result)
        result = folder_open(state, name, ret_folder);
    if (result || !is_new)
        return result;
    command_role_user(role, &user, &group);
    return user ? file_set_owner(*ret_folder, user, group) : 0;
}

static enum command_offline_result start_program(struct command_offline_role *started, enum peers_role role, int *ret_channel, struct buffer *what,
                                                 int *ret_error)
{
    struct buffer folder released_by(buffer_done) = buffer_new(4096), name released_by(buffer_done) = buffer_new(64);
    int programs released_by(file_close) = -1, program released_by(file_close) = -1;
    int ends[2];
    must(command_program_append(&name, role) && started->count < COMMAND_OFFLINE_PROCESSES);
    int result = process_own_folder(&folder) ? folder_open(-1, buffer_text(&folder), &programs) : ENOENT;
    if (!result)
        result = file_open(programs, buffer_text(&name), 0, 0, &program);
    if (!result)
        result = channel_pair(ends);
    if (result) {
        ignored(buffer_append_format(what, "%.*s/%.*s", TEXT_ARGUMENTS(buffer_text(&folder)), TEXT_ARGUMENTS(buffer_text(&name)))); /* for a message */
        *ret_error = result;
        return COMMAND_NOT_STARTED_PROGRAM;
    }
    must(buffer_append_octet(&name, '\0'));
    struct process_start start = {.program = program, .name = name.bytes, .channel = ends[1]};
    command_role_user(role, &start.user, &start.group);
    result = process_start(&start, &started->processes[started->count]);
    file_close(&ends[1]);
    if (result) {
        file_close(&ends[0]);
        *ret_error = result;
        return COMMAND_NOT_STARTED_MEMORY;
    }
    started->others[started->count++] = ends[0];
    *ret_channel = ends[0];
    return COMMAND_STARTED;
}

static bool say_settings(int channel, enum peers_role role, const struct settings *settings)
{
    struct buffer packed released_by(buffer_done) = buffer_new(SNAPSHOT_LIMIT);
    struct peers_settings message = {.generation = 1};
    int file released_by(file_close) = -1;
    return settings_pack(&packed, settings, (enum settings_reader)role) && memory_new_sealed("settings", buffer_text(&packed), &file) == 0 &&
           say(channel, PEERS_settings, &message, &file);
}

static bool say_pair(int one, enum peers_role one_role, int other, enum peers_role other_role)
{
    int ends[2];
    if (channel_pair(ends) != 0)
        return false;
    struct peers_peer to_one = {.role = other_role}, to_other = {.role = one_role};
    bool sent = say(one, PEERS_peer, &to_one, &ends[0]) && say(other, PEERS_peer, &to_other, &ends[1]);
    file_close(&ends[0]);
    file_close(&ends[1]);
    return sent;
}

/* Until it says ready; what else it says before is for nobody. */
static bool wait_ready(int channel, enum peers_role role)
{
    char *bytes = malloc(CHANNEL_PACKET_LIMIT);
    must(bytes != NULL);
    bool is_ready = false;
    struct text packet;
    struct channel_descriptors files;
    while (!is_ready && command_receive(channel, role, bytes, READY_MS, &packet, &files) == CHANNEL_OK) {
        struct arena arena released_by(arena_done) = arena_new(ARENA_LIMIT);
        struct peers_message got;
        channel_descriptors_close(&files);
        is_ready = peers_unpack(packet, role, PEERS_SUPERVISOR, files.count, &arena, &got) == PEERS_OK && got.type == PEERS_ready;
    }
    free(bytes);
    return is_ready;
}

/* One of them, and what it works in. */
struct started {
    enum peers_role role;
    int channel; /* -1: not started */
    int folder;  /* -1: none */
};

static bool introduce(const struct started *one, const struct settings *settings)
{
    struct peers_folder message = {.name = command_folder_of(one->role)};
    return say_settings(one->channel, one->role, settings) && (one->folder < 0 || say(one->channel, PEERS_folder, &message, &one->folder));
}

static bool go(const struct started *one)
{
    struct peers_go message = {.boot = 0};
    return say(one->channel, PEERS_go, &message, NULL) && wait_ready(one->channel, one->role);
}

/* The keeper comes last: whom it needs is ready by then. Without a ledger events go to standard error; a ledger that writes to standard output
 * would write into the command's answer. */
static enum command_offline_result start_all(const struct command_places *places, enum peers_role role, const struct settings *settings,
                                             struct command_offline_role *started, struct started *all, struct buffer *what, int *ret_error)
{
    struct started *ledger = &all[0], *helper = &all[1], *keeper = &all[2];
    struct buffer ignored_what released_by(buffer_done) = buffer_new(4096);
    int ignored_error;
    keeper->role = role;
    *ret_error = open_folder(places, role, &keeper->folder);
    if (*ret_error) {
        ignored(buffer_append_format(what, "%.*s/%.*s", TEXT_ARGUMENTS(places->state), TEXT_ARGUMENTS(command_folder_of(role)))); /* for a message */
        return COMMAND_NOT_STARTED_FOLDER;
    }
    enum command_offline_result result = start_program(started, role, &keeper->channel, what, ret_error);
    if (result == COMMAND_STARTED && role == PEERS_VAULT)
        result = start_program(started, PEERS_VERIFIER, &helper->channel, what, ret_error);
    bool wants_ledger = role != PEERS_LEDGER && settings->log_target != SETTINGS_LOG_TARGET_STDOUT;
    if (result == COMMAND_STARTED && wants_ledger && open_folder(places, PEERS_LEDGER, &ledger->folder) == 0)
        ignored(start_program(started, PEERS_LEDGER, &ledger->channel, &ignored_what, &ignored_error)); /* works without */
    return result;
}

static bool introduce_all(const struct started *all, const struct settings *settings)
{
    const struct started *ledger = &all[0], *helper = &all[1], *keeper = &all[2];
    bool has_ledger = ledger->channel >= 0 && introduce(ledger, settings) && say_pair(keeper->channel, keeper->role, ledger->channel, PEERS_LEDGER) && go(ledger);
    ignored(has_ledger); /* works without */
    if (helper->channel >= 0 && !(introduce(helper, settings) && say_pair(keeper->channel, keeper->role, helper->channel, PEERS_VERIFIER) && go(helper)))
        return false;
    return introduce(keeper, settings) && go(keeper);
}

enum command_offline_result command_start(const struct command_places *places, enum peers_role role, const struct settings *settings,
                                          struct command_offline_role *ret_role, struct buffer *what, int *ret_error)
{
    struct command_offline_role started = {.count = 0};
    struct started all[] = {{.role = PEERS_LEDGER, .channel = -1, .folder = -1}, {.role = PEERS_VERIFIER, .channel = -1, .folder = -1},
                            {.role = role, .channel = -1, .folder = -1}};
    enum command_offline_result result = start_all(places, role, settings, &started, all, what, ret_error);
    if (result == COMMAND_STARTED && !introduce_all(all, settings)) {
        must(command_program_append(what, role));
        result = COMMAND_NOT_STARTED_ENDED;
    }
    for (size_t i = 0; i < length_of(all); i++)
        file_close(&all[i].folder);
    if (result == COMMAND_STARTED) {
        started.link = (struct command_link){.channel = all[2].channel, .self = PEERS_SUPERVISOR, .remote = role};
        *ret_role = started;
    } else {
        command_finish(&started);
    }
    return result;
}

/* Asked to end, so that what it holds back gets written; who does not hear is killed. */
void command_finish(struct command_offline_role *role)
{
    struct peers_stop stop = {.grace = FINISH_MS / 2};
    char *bytes = malloc(CHANNEL_PACKET_LIMIT);
    must(bytes != NULL);
    for (size_t i = 0; i < role->count; i++) {
        struct text packet;
        struct channel_descriptors files;
        uint64_t end = clock_monotonic_ms() + FINISH_MS;
        bool heard = say(role->others[i], PEERS_stop, &stop, NULL);
        enum channel_result received = CHANNEL_OK;
        while (heard && received == CHANNEL_OK && clock_monotonic_ms() < end) {
            received = channel_receive(role->others[i], bytes, FINISH_MS, &packet, &files);
            if (received == CHANNEL_OK)
                channel_descriptors_close(&files);
        }
        if (received != CHANNEL_CLOSED)
            process_signal(role->processes[i], SIGKILL);
        file_close(&role->others[i]);
        process_wait(role->processes[i]);
    }
    free(bytes);
    role->count = 0;
}
