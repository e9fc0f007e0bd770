/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/spool_model.h"

#include "system/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint32_t model_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

int model_folder_new(char path[64])
{
    snprintf(path, 64, "%s", access("/dev/shm", W_OK) == 0 ? "/dev/shm/portiere-spool-XXXXXX" : "/tmp/portiere-spool-XXXXXX");
    must(mkdtemp(path) != NULL);
    int folder;
    must(folder_open(-1, text_of_terminated(path), &folder) == 0);
    return folder;
}

static void remove_all(int parent, struct text name)
{
    int folder released_by(file_close) = -1;
    if (folder_open(parent, name, &folder) != 0)
        return;
    struct folder_walk *walk released_by(folder_walk_free) = NULL;
    must(folder_walk_new(folder, &walk) == 0);
    struct text entry;
    while (folder_walk_next(walk, &entry)) {
        struct file_facts facts;
        if (file_facts_of(folder, entry, &facts) == 0 && facts.is_folder)
            remove_all(folder, entry);
        else
            ignored(file_remove(folder, entry)); /* a test folder */
    }
    ignored(folder_remove(parent, name)); /* the same */
}

void model_folder_remove(const char *path)
{
    remove_all(AT_FDCWD, text_of_terminated(path));
}

static void count_problem(void *context, const struct spool_problem *problem)
{
    struct model *m = context;
    m->problems[problem->kind]++;
    if (getenv("SPOOL_MODEL_TALKS"))
        fprintf(stderr, "# %.*s in %.*s at %llu, id %llu, error %d, aside %.*s\n", TEXT_ARGUMENTS(spool_problem_word(problem->kind)),
                TEXT_ARGUMENTS(problem->name), (unsigned long long)problem->offset, (unsigned long long)problem->id, problem->error,
                TEXT_ARGUMENTS(problem->aside));
}

struct spool_options model_options(struct model *m)
{
    return (struct spool_options){
        .segment_size = m->is_small ? 64 * 1024 : 128 * 1024,
        .group_size = m->is_small ? 16 * 1024 : 32 * 1024,
        .large_from = 8 * 1024,
        .spare_segments = m->is_small ? 1 : 2,
        .garbage_segments = m->is_small ? 1 : 3,
        .problem = count_problem,
        .context = m,
    };
}

struct text model_envelope(uint64_t id, char bytes[512])
{
    int length = snprintf(bytes, 512, "envelope of %llu\nRP\1%c PGRP\r\n", (unsigned long long)id, (char)(id % 256));
    size_t wanted = (size_t)length + id % 300;
    for (size_t i = (size_t)length; i < wanted; i++)
        bytes[i] = (char)(id * 31 + i);
    return text_of(bytes, wanted);
}

void model_body(uint64_t id, char *bytes, size_t length)
{
    uint32_t state = (uint32_t)id * 2654435761U + 1;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(model_random(&state) >> 8);
}

size_t model_result(uint64_t id, uint32_t recipient, uint32_t number, char bytes[256])
{
    int length = snprintf(bytes, 256, "450 4.2.1 message %llu recipient %u try %u\r\n.\r\n%*s", (unsigned long long)id, recipient, number,
                          (int)(number % 50), "");
    return (size_t)length;
}

static bool append_large(struct spool *s, const struct spool_new *message, const char *body, size_t length)
{
    struct spool_large *large;
    if (spool_large_begin(s, message->id, false, &large) != SPOOL_OK)
        return false;
    for (size_t at = 0; at < length; at += 5000)
        if (spool_large_write(large, text_of(body + at, smaller(5000, length - at))) != SPOOL_OK)
            break;
    if (spool_large_length(large) == length && spool_large_commit(s, &large, message) == SPOOL_OK)
        return true;
    spool_large_abort(s, &large);
    return false;
}

bool model_append(struct spool *s, struct model *m, uint64_t id, uint32_t body_length)
{
    char envelope[512];
    struct spool_new message = {.id = id, .taken_ms = (int64_t)id * 1000, .envelope = model_envelope(id, envelope)};
    char *body = malloc(body_length + 1);
    must(body != NULL);
    model_body(id, body, body_length);
    bool is_large = body_length >= 8 * 1024;
    bool is_taken = is_large ? append_large(s, &message, body, body_length) : spool_append(s, &message, text_of(body, body_length)) == SPOOL_OK;
    free(body);
    if (is_taken)
        m->messages[id - 1] = (struct model_message){.life = MODEL_MAYBE, .is_large = is_large, .body_length = body_length};
    return is_taken;
}

bool model_update(struct spool *s, struct model *m, uint64_t id, uint32_t recipient)
{
    struct model_message *message = &m->messages[id - 1];
    uint32_t number = message->updates + 1;
    char result[256];
    struct spool_update update = {
        .recipient = recipient,
        .state = (enum spool_state)(number % SPOOL_STATES),
        .attempts = number,
        .flags = number ^ recipient,
        .next_attempt_ms = (int64_t)number * 60000,
        .result = text_of(result, model_result(id, recipient, number, result)),
    };
    if (spool_update(s, id, &update) != SPOOL_OK)
        return false;
    message->updates = number;
    message->newest[recipient] = number;
    return true;
}

bool model_remove(struct spool *s, struct model *m, uint64_t id)
{
    if (spool_remove(s, id) != SPOOL_OK)
        return false;
    m->messages[id - 1].life = MODEL_LEAVING;
    return true;
}

bool model_commit(struct spool *s)
{
    bool is_good = true;
    struct spool_group *group;
    while (is_good && (group = spool_group_seal(s)) != NULL) {
        struct spool_trouble trouble;
        spool_group_write(group);
        is_good = spool_group_finish(s, group, &trouble) == SPOOL_OK;
    }
    return is_good;
}

void model_chores(struct spool *s)
{
    struct spool_chore *chore;
    while ((chore = spool_chore_next(s)) != NULL) {
        spool_chore_do(chore);
        spool_chore_finish(s, chore);
    }
}

static void wrong(struct model *m, uint64_t id, const char *what)
{
    m->is_wrong = true;
    fprintf(stderr, "# message %llu: %s\n", (unsigned long long)id, what);
}

static void compare_updates(struct model *m, const struct spool_message *message)
{
    const struct model_message *expected = &m->messages[message->id - 1];
    uint32_t seen[MODEL_RECIPIENTS] = {0};
    for (size_t i = 0; i < message->update_count; i++) {
        const struct spool_update *u = &message->updates[i];
        char result[256];
        if (u->recipient >= MODEL_RECIPIENTS || seen[u->recipient]) {
            wrong(m, message->id, "a recipient that is none, or twice");
            return;
        }
        seen[u->recipient] = u->attempts;
        size_t length = model_result(message->id, u->recipient, u->attempts, result);
        if (!text_equals(u->result, text_of(result, length)) || u->state != (enum spool_state)(u->attempts % SPOOL_STATES) ||
            u->flags != (u->attempts ^ u->recipient) || u->next_attempt_ms != (int64_t)u->attempts * 60000)
            wrong(m, message->id, "an update that was never made");
    }
    for (uint32_t i = 0; i < MODEL_RECIPIENTS; i++)
        if (seen[i] > expected->newest[i] || seen[i] < expected->durable[i])
            wrong(m, message->id, "updates too old or too new");
}

static void compare_message(struct model *m, const struct spool_message *message)
{
    if (message->id == 0 || message->id > MODEL_MESSAGES || m->messages[message->id - 1].life == MODEL_ABSENT) {
        wrong(m, message->id, "should not be there");
        return;
    }
    const struct model_message *expected = &m->messages[message->id - 1];
    char envelope[512];
    if (!text_equals(message->envelope, model_envelope(message->id, envelope)))
        wrong(m, message->id, "another envelope");
    if (message->body_length != expected->body_length || message->is_large != expected->is_large ||
        message->taken_ms != (int64_t)message->id * 1000)
        wrong(m, message->id, "other facts");
    compare_updates(m, message);
}

static void compare_body(struct spool *s, struct model *m, uint64_t id)
{
    uint32_t length = m->messages[id - 1].body_length;
    char *expected = malloc(length + 1), *got = malloc(length + 100);
    must(expected != NULL && got != NULL);
    model_body(id, expected, length);
    size_t count = 0, tail = 0;
    enum spool_result result = spool_read_body(s, id, 0, got, length + 100, &count);
    if (result != SPOOL_OK || count != length || memcmp(expected, got, length) != 0)
        wrong(m, id, result == SPOOL_DAMAGED ? "a damaged body" : "another body");
    else if (spool_read_body(s, id, length / 2, got, length, &tail) != SPOOL_OK || tail != length - length / 2 ||
             memcmp(expected + length / 2, got, tail) != 0)
        wrong(m, id, "another half of a body");
    else if (spool_check_body(s, id) != SPOOL_OK)
        wrong(m, id, "a body that is not whole");
    free(expected);
    free(got);
}

void model_compare(struct spool *s, struct model *m)
{
    struct buffer octets released_by(buffer_done) = buffer_new(1024 * 1024);
    struct arena arena released_by(arena_done) = arena_new(1024 * 1024);
    size_t waiting = 0;
    for (uint64_t id = 1; id <= MODEL_MESSAGES; id++) {
        enum model_life life = m->messages[id - 1].life;
        if (!spool_has(s, id)) {
            if (life == MODEL_PRESENT)
                wrong(m, id, "is lost");
            continue;
        }
        waiting++;
        struct spool_message message;
        arena_done(&arena);
        if (spool_read(s, id, &octets, &arena, &message) != SPOOL_OK) {
            wrong(m, id, "can't be read");
            continue;
        }
        compare_message(m, &message);
        if (life != MODEL_ABSENT)
            compare_body(s, m, id);
    }
    if (waiting != spool_facts(s).waiting)
        wrong(m, 0, "another number of messages");
}

static void each_message(void *context, const struct spool_message *message)
{
    struct model *m = context;
    m->found++;
    compare_message(m, message);
}

struct spool *model_open(int folder, struct model *m, struct spool_trouble *ret_trouble)
{
    struct spool_options options = model_options(m);
    struct spool *s = NULL;
    if (spool_open(folder, &options, ret_trouble, &s) != SPOOL_OK)
        return NULL;
    m->found = 0;
    if (spool_recover(s, each_message, m, ret_trouble) == SPOOL_OK)
        return s;
    spool_close(&s);
    return NULL;
}

void model_settle(struct spool *s, struct model *m)
{
    struct buffer octets released_by(buffer_done) = buffer_new(1024 * 1024);
    struct arena arena released_by(arena_done) = arena_new(1024 * 1024);
    for (uint64_t id = 1; id <= MODEL_MESSAGES; id++) {
        struct model_message *expected = &m->messages[id - 1];
        struct spool_message message;
        arena_done(&arena);
        if (!spool_has(s, id) || spool_read(s, id, &octets, &arena, &message) != SPOOL_OK) {
            expected->life = MODEL_ABSENT;
            continue;
        }
        expected->life = MODEL_PRESENT;
        for (uint32_t i = 0; i < MODEL_RECIPIENTS; i++)
            expected->newest[i] = expected->durable[i] = 0;
        for (size_t i = 0; i < message.update_count; i++)
            expected->newest[message.updates[i].recipient] = expected->durable[message.updates[i].recipient] = message.updates[i].attempts;
    }
}
