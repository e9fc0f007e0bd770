/* SPDX-License-Identifier: Apache-2.0 */
/* How fast the spool is by itself: one loop with so many writers, each waiting for its own durable commit, and one disk thread, as in the
 * queue role. spool_bench FOLDER [WRITERS [BODY_OCTETS [MESSAGES [keep]]]]. keep: they stay in the spool. With FOLDER alone: how long a
 * start takes. */
#include "spool/spool.h"
#include "system/clock.h"
#include "system/file.h"
#include "system/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

struct disk_thread {
    int to_disk, to_loop; /* eventfds */
    struct spool_group *group;
    struct spool_chore *chore;
};

static void signal_file(int file)
{
    uint64_t one = 1;
    must(write(file, &one, sizeof one) == sizeof one);
}

static void wait_file(int file)
{
    uint64_t count;
    must(read(file, &count, sizeof count) == sizeof count);
}

static void disk_loop(void *context)
{
    struct disk_thread *d = context;
    for (;;) {
        wait_file(d->to_disk);
        if (d->group)
            spool_group_write(d->group);
        if (d->chore)
            spool_chore_do(d->chore);
        signal_file(d->to_loop);
    }
}

static uint64_t own_cpu_us(void)
{
    struct rusage r;
    must(getrusage(RUSAGE_SELF, &r) == 0);
    return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static uint64_t thread_user_us(void)
{
    struct rusage r;
    must(getrusage(RUSAGE_THREAD, &r) == 0);
    return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

struct bench {
    struct spool *spool;
    struct disk_thread disk;
    const char *body;
    size_t body_length, writers;
    uint64_t next_id;
    uint64_t later;
    bool keeps;
    uint64_t *ids;
    size_t count;
};

static char envelope_octets[300];

static void append_all(struct bench *b, size_t *in_group, size_t writers_free, uint64_t left)
{
    while (writers_free > 0 && left > 0) {
        char *room;
        enum spool_result result = spool_reserve(b->spool, b->body_length, false, &room);
        if (result == SPOOL_OK) {
            memcpy(room, b->body, b->body_length);
            struct spool_new message = {.id = b->next_id, .taken_ms = 1, .envelope = text_of(envelope_octets, sizeof envelope_octets)};
            result = spool_append_reserved(b->spool, &message, b->body_length);
        }
        if (result != SPOOL_OK) {
            must(result == SPOOL_LATER);
            b->later++;
            return;
        }
        b->next_id++;
        (*in_group)++;
        writers_free--;
        left--;
    }
}

static void hand_over(struct bench *b, size_t *in_group, size_t *out)
{
    if (spool_must_sync(b->spool)) {
        b->disk.group = spool_group_seal(b->spool);
        *out = *in_group;
        *in_group = 0;
    }
    if (!b->disk.group)
        b->disk.chore = spool_chore_next(b->spool);
    else if (spool_facts(b->spool).spares == 0)
        b->disk.chore = spool_chore_next(b->spool);
    if (b->disk.group || b->disk.chore)
        signal_file(b->disk.to_disk);
}

static void take_back(struct bench *b, size_t *out, uint64_t *done, uint64_t *removed)
{
    struct spool_trouble trouble;
    wait_file(b->disk.to_loop);
    if (b->disk.chore)
        spool_chore_finish(b->spool, b->disk.chore);
    b->disk.chore = NULL;
    if (b->disk.group)
        must(spool_group_finish(b->spool, b->disk.group, &trouble) == SPOOL_OK);
    b->disk.group = NULL;
    *done += *out;
    *out = 0;
    while (!b->keeps && *removed < *done) /* delivered at once */
        if (spool_remove(b->spool, ++*removed) != SPOOL_OK) {
            --*removed;
            break;
        }
    ignored(spool_tidy(b->spool)); /* called in each turn */
}

static void run(struct bench *b, uint64_t messages)
{
    size_t in_group = 0, out = 0;
    uint64_t done = 0, removed = 0;
    while (done < messages) {
        append_all(b, &in_group, b->writers - in_group - out, messages - done - in_group - out);
        hand_over(b, &in_group, &out);
        if (b->disk.group || b->disk.chore) {
            append_all(b, &in_group, b->writers - in_group - out, messages - done - in_group - out); /* while the disk works */
            take_back(b, &out, &done, &removed);
        }
    }
}

static void count_message(void *context, const struct spool_message *message)
{
    uint64_t *count = context;
    *count += message->envelope.length > 0;
}

static struct spool *open_spool(int folder, uint64_t *ret_count)
{
    struct spool_options options = {.spare_segments = 2};
    struct spool_trouble trouble;
    struct spool *s;
    enum spool_result result = spool_open(folder, &options, &trouble, &s);
    if (result == SPOOL_OK)
        result = spool_recover(s, count_message, ret_count, &trouble);
    if (result == SPOOL_OK)
        return s;
    fprintf(stderr, "%.*s: %.*s %.*s: %s\n", TEXT_ARGUMENTS(spool_result_word(result)), TEXT_ARGUMENTS(trouble.doing),
            TEXT_ARGUMENTS(trouble.name), strerror(trouble.error));
    exit(1);
}

static void write_ahead(struct spool *s)
{
    struct spool_chore *chore;
    while ((chore = spool_chore_next(s)) != NULL) {
        spool_chore_do(chore);
        spool_chore_finish(s, chore);
    }
}

static void tell_start(int folder)
{
    uint64_t count = 0, start = clock_monotonic_us(), cpu = own_cpu_us();
    struct spool *s = open_spool(folder, &count);
    struct rusage r;
    must(getrusage(RUSAGE_SELF, &r) == 0);
    printf("start with %llu waiting: %.2f s, %.2f s of CPU, largest resident set %ld MiB, %llu segments\n", (unsigned long long)count,
           (double)(clock_monotonic_us() - start) / 1e6, (double)(own_cpu_us() - cpu) / 1e6, r.ru_maxrss / 1024,
           (unsigned long long)spool_facts(s).segments);
    spool_close(&s);
}

int main(int count, char **arguments)
{
    int folder = -1;
    if (count < 2 || folder_open(-1, text_of_terminated(arguments[1]), &folder) != 0) {
        fprintf(stderr, "spool_bench FOLDER [WRITERS [BODY_OCTETS [MESSAGES [keep]]]]\n");
        return 2;
    }
    if (count == 2) {
        tell_start(folder);
        return 0;
    }
    uint64_t messages = count > 4 ? strtoull(arguments[4], NULL, 10) : 50000;
    struct bench b = {.writers = strtoul(arguments[2], NULL, 10), .body_length = count > 3 ? strtoul(arguments[3], NULL, 10) : 10240, .next_id = 1};
    b.keeps = count > 5;
    char *body = malloc(b.body_length);
    must(body != NULL);
    for (size_t i = 0; i < b.body_length; i++)
        body[i] = (char)(i * 7);
    b.body = body;
    uint64_t waiting = 0;
    b.spool = open_spool(folder, &waiting);
    must(waiting == 0);
    write_ahead(b.spool);
    b.disk = (struct disk_thread){.to_disk = eventfd(0, EFD_CLOEXEC), .to_loop = eventfd(0, EFD_CLOEXEC)};
    must(thread_start(disk_loop, &b.disk) == 0);
    uint64_t start = clock_monotonic_us(), cpu = own_cpu_us(), loop = thread_user_us();
    run(&b, messages);
    double seconds = (double)(clock_monotonic_us() - start) / 1e6;
    struct spool_facts facts = spool_facts(b.spool);
    printf("%zu writers, %zu octets: %.0f messages a second, CPU %.1f us a message (loop %.1f), %.1f messages a sync, %llu segments, %llu spares, waited for room %llu times\n",
           b.writers, b.body_length, (double)messages / seconds, (double)(own_cpu_us() - cpu) / (double)messages,
           (double)(thread_user_us() - loop) / (double)messages, (double)messages / (double)facts.syncs, (unsigned long long)facts.segments,
           (unsigned long long)facts.spares, (unsigned long long)b.later);
    return 0;
}
