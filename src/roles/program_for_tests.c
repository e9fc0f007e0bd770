/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/program_for_tests.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <cmocka.h>

enum { ANSWER_MS = 10000, SNAPSHOT_LIMIT = 16 << 20 };

void program_send(int channel, enum peers_type type, const void *fields)
{
    struct buffer packed released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
    assert_true(peers_pack(&packed, type, fields));
    assert_int_equal(channel_send(channel, buffer_text(&packed), NULL, true), CHANNEL_OK);
}

void program_send_file(int channel, enum peers_type type, const void *fields, int file)
{
    struct buffer packed released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
    struct channel_descriptors files = {.files = {file}, .count = 1};
    assert_true(peers_pack(&packed, type, fields));
    assert_int_equal(channel_send(channel, buffer_text(&packed), &files, true), CHANNEL_OK);
}

void program_settings(struct program *program, struct text settings, uint64_t generation)
{
    struct arena arena released_by(arena_done) = arena_new(SNAPSHOT_LIMIT);
    struct buffer packed released_by(buffer_done) = buffer_new(SNAPSHOT_LIMIT);
    struct settings_machine machine = {.fqdn = TEXT("mx.casa.test"), .first_domain = TEXT("casa.test")};
    struct settings_problems problems = {.arena = &arena};
    const struct settings *parsed = NULL;
    int file released_by(file_close) = -1;
    if (!settings_parse(&arena, settings, &machine, &problems, &parsed))
        fail_msg("settings: %.*s", TEXT_ARGUMENTS(problems.items[0].message));
    assert_true(settings_pack(&packed, parsed, (enum settings_reader)program->self));
    assert_int_equal(memory_new_sealed("settings", buffer_text(&packed), &file), 0);
    program_send_file(program->supervisor, PEERS_settings, &(struct peers_settings){.generation = generation}, file);
}

int program_link(struct program *program, enum peers_role from)
{
    int ends[2];
    assert_int_equal(channel_pair(ends), 0);
    program_send_file(program->supervisor, PEERS_peer, &(struct peers_peer){.role = from}, ends[1]);
    file_close(&ends[1]);
    return ends[0];
}

struct program *program_start(const char *path, enum peers_role self, struct text settings, const char *folder_name, int folder)
{
    int ends[2], file released_by(file_close) = -1;
    struct program *program = calloc(1, sizeof *program);
    assert_non_null(program);
    *program = (struct program){.self = self, .arena = arena_new(1 << 20)};
    assert_int_equal(channel_pair(ends), 0);
    assert_int_equal(file_open(-1, text_of_terminated(path), O_RDONLY, 0, &file), 0);
    /* a leak search at the end would need what the sandbox denies */
    assert_int_equal(setenv("ASAN_OPTIONS", "detect_leaks=0", 1), 0);
    struct process_start start = {.program = file, .name = path, .channel = ends[1]};
    assert_int_equal(process_start(&start, &program->process), 0);
    file_close(&ends[1]);
    program->supervisor = ends[0];
    program_settings(program, settings, 1);
    if (folder_name)
        program_send_file(program->supervisor, PEERS_folder, &(struct peers_folder){.name = text_of_terminated(folder_name)}, folder);
    program_send(program->supervisor, PEERS_go, &(struct peers_go){.boot = 1});
    struct peers_message ready = program_expect(program, program->supervisor, PEERS_SUPERVISOR, PEERS_ready);
    assert_int_equal(ready.ready.seccomp, 1);
    return program;
}

struct peers_message program_expect(struct program *program, int channel, enum peers_role as, enum peers_type type)
{
    struct text packet;
    struct channel_descriptors files;
    struct peers_message message;
    assert_int_equal(channel_receive(channel, program->bytes, ANSWER_MS, &packet, &files), CHANNEL_OK);
    arena_done(&program->arena);
    assert_int_equal(peers_unpack(packet, program->self, as, files.count, &program->arena, &message), PEERS_OK);
    channel_descriptors_close(&files);
    if (message.type != type)
        fail_msg("got %.*s", TEXT_ARGUMENTS(peers_type_word(message.type)));
    return message;
}

bool program_is_silent(struct program *program, int channel)
{
    struct text packet;
    struct channel_descriptors files;
    return channel_receive(channel, program->bytes, ANSWER_MS, &packet, &files) == CHANNEL_CLOSED;
}

static int end(struct program **program)
{
    int status = 0;
    assert_int_equal(waitpid((*program)->process, &status, 0), (*program)->process);
    file_close(&(*program)->supervisor);
    arena_done(&(*program)->arena);
    free(*program);
    *program = NULL;
    return status;
}

void program_kill(struct program **program)
{
    assert_int_equal(kill((*program)->process, SIGKILL), 0);
    ignored(end(program)); /* it was killed */
}

int program_stop(struct program **program)
{
    program_send((*program)->supervisor, PEERS_stop, &(struct peers_stop){.grace = 1000});
    int status = end(program);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
