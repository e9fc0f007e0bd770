/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged and foreign segments: what is hit is told and put aside, all else goes on. */
#include "spool/spool_model.h"
#include "system/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { MESSAGES = 5, GROUPS = 4, USED = (1 + GROUPS) * 4096, SEGMENT = 128 * 1024 };
#define FIRST "segment-00000000"

/* One segment: messages 1 and 2; 3 and an update of 1; 4; 5 in the last group, of which nobody says that it is durable. */
struct sample {
    char octets[SEGMENT];
    char identity[16];
    struct model model;
};

static void commit(struct spool *s)
{
    assert_true(model_commit(s));
}

static struct sample *sample_new(void)
{
    char path[64];
    int folder released_by(file_close) = model_folder_new(path);
    struct sample *sample = calloc(1, sizeof *sample);
    struct spool_trouble trouble;
    struct spool *s = model_open(folder, &sample->model, &trouble);
    assert_non_null(s);
    assert_true(model_append(s, &sample->model, 1, 300) && model_append(s, &sample->model, 2, 200));
    commit(s);
    assert_true(model_append(s, &sample->model, 3, 100) && model_update(s, &sample->model, 1, 2));
    commit(s);
    assert_true(model_append(s, &sample->model, 4, 50));
    commit(s);
    assert_true(model_append(s, &sample->model, 5, 400));
    commit(s);
    model_settle(s, &sample->model);
    spool_close(&s);
    struct buffer b released_by(buffer_done) = buffer_new(SEGMENT);
    assert_int_equal(file_read_whole(folder, TEXT(FIRST), &b), 0);
    memcpy(sample->octets, b.bytes, SEGMENT);
    buffer_clear(&b);
    assert_int_equal(file_read_whole(folder, TEXT("identity"), &b), 0);
    memcpy(sample->identity, b.bytes, sizeof sample->identity);
    model_folder_remove(path);
    return sample;
}

static void put_file(int folder, const char *name, const char *octets, size_t length)
{
    int file released_by(file_close) = openat(folder, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(pwrite(file, octets, length, 0), length);
}

static size_t told(const struct model *m)
{
    size_t count = 0;
    for (size_t i = 0; i < SPOOL_PROBLEMS; i++)
        count += m->problems[i];
    return count;
}

struct outcome {
    bool is_there[MESSAGES + 1], is_damaged[MESSAGES + 1];
    size_t hit; /* not there or damaged */
    size_t told;
};

static bool envelope_is_right(struct spool *s, uint64_t id)
{
    struct buffer octets released_by(buffer_done) = buffer_new(1024 * 1024);
    struct arena arena released_by(arena_done) = arena_new(1024 * 1024);
    struct spool_message message;
    char envelope[512];
    return spool_read(s, id, &octets, &arena, &message) == SPOOL_OK && text_equals(message.envelope, model_envelope(id, envelope));
}

/* Starts on this folder, looks at every message, takes another one, starts again. */
static struct outcome start_on(int folder, const struct model *expected)
{
    struct outcome o = {.hit = 0};
    struct model *model = malloc(sizeof *model);
    *model = *expected;
    for (size_t i = 0; i < MESSAGES; i++)
        memset(model->messages[i].durable, 0, sizeof model->messages[i].durable); /* the update may be what was hit */
    struct spool_trouble trouble;
    struct spool *s = model_open(folder, model, &trouble);
    assert_non_null(s);
    assert_false(model->is_wrong);
    o.told = told(model);
    for (uint64_t id = 1; id <= MESSAGES; id++) {
        char body[1024], right[1024];
        size_t got, length = model->messages[id - 1].body_length;
        o.is_there[id] = spool_has(s, id);
        enum spool_result result = spool_read_body(s, id, 0, body, sizeof body, &got);
        o.is_damaged[id] = result == SPOOL_DAMAGED;
        o.hit += result != SPOOL_OK;
        if (result != SPOOL_OK)
            continue;
        model_body(id, right, length);
        assert_true(got == length && memcmp(body, right, length) == 0);
        assert_true(envelope_is_right(s, id));
    }
    assert_int_equal(spool_facts(s).waiting, o.is_there[1] + o.is_there[2] + o.is_there[3] + o.is_there[4] + o.is_there[5]);
    model_chores(s);
    assert_true(model_append(s, model, 10, 500));
    commit(s);
    spool_close(&s);
    model->messages[9].life = MODEL_PRESENT;
    for (uint64_t id = 1; id <= MESSAGES; id++)
        model->messages[id - 1].life = o.is_there[id] ? MODEL_PRESENT : MODEL_ABSENT;
    s = model_open(folder, model, &trouble);
    assert_non_null(s);
    for (uint64_t id = 1; id <= MESSAGES; id++)
        assert_true(spool_has(s, id) == o.is_there[id]);
    assert_true(spool_has(s, 10));
    spool_close(&s);
    free(model);
    return o;
}

static struct outcome start_with(const struct sample *sample, const char *octets, size_t length)
{
    char path[64];
    int folder released_by(file_close) = model_folder_new(path);
    put_file(folder, FIRST, octets, length);
    put_file(folder, "identity", sample->identity, sizeof sample->identity);
    struct outcome o = start_on(folder, &sample->model);
    model_folder_remove(path);
    return o;
}

static void each_octet_flipped_hits_one_message_at_most(void **state not_used)
{
    struct sample *sample = sample_new();
    size_t hits = 0, damaged = 0, silent = 0;
    for (size_t at = 0; at < USED; at++) {
        bool is_padding = sample->octets[at] == 0 && at % 61;
        if (is_padding)
            continue;
        sample->octets[at] = (char)~sample->octets[at];
        struct outcome o = start_with(sample, sample->octets, SEGMENT);
        sample->octets[at] = (char)~sample->octets[at];
        if (o.hit > 1)
            fail_msg("octet %zu flipped: %zu messages are gone", at, o.hit);
        for (size_t id = 1; id <= MESSAGES; id++) {
            if (!o.is_there[id] && !o.told)
                fail_msg("octet %zu flipped: message %zu went without a word", at, id);
            damaged += o.is_damaged[id];
        }
        hits += o.hit;
        silent += !o.told && !o.hit;
    }
    assert_true(hits > 500 && damaged > 500 && silent > 100); /* records, bodies, padding */
    free(sample);
}

static void a_segment_cut_at_any_octet_gives_what_is_left(void **state not_used)
{
    struct sample *sample = sample_new();
    size_t ends[MESSAGES + 1] = {0};
    static const size_t group_of[MESSAGES + 1] = {0, 1, 1, 2, 3, 4};
    for (size_t id = 1; id <= MESSAGES; id++)
        ends[id] = (group_of[id] + 1) * 4096;
    for (size_t length = 0; length <= USED; length += length % 4096 < 1500 ? 7 : 97) {
        struct outcome o = start_with(sample, sample->octets, length);
        assert_true(o.told > 0);
        for (size_t id = 1; id <= MESSAGES; id++)
            if (length >= ends[id] && (!o.is_there[id] || o.is_damaged[id]))
                fail_msg("cut at %zu: message %zu is gone", length, id);
    }
    free(sample);
}

static void add_foreign(int folder, size_t which, const struct sample *sample)
{
    char path[64];
    switch (which) {
    case 0: /* a link */
        put_file(folder, "elsewhere", "x", 1);
        assert_int_equal(symlinkat("elsewhere", folder, "segment-00000001"), 0);
        return;
    case 1: /* a file with two names */
        put_file(folder, "elsewhere", "x", 1);
        assert_int_equal(linkat(folder, "elsewhere", folder, "segment-00000001", 0), 0);
        return;
    case 2:
        assert_int_equal(mkfifoat(folder, "segment-00000001", 0600), 0);
        return;
    case 3:
        put_file(folder, "segment-00000001", "", 0);
        return;
    case 4: { /* sparse, 10 GiB */
        int file released_by(file_close) = openat(folder, "segment-00000001", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(file, (off_t)10 << 30), 0);
        return;
    }
    case 5: /* a copy under another number */
        put_file(folder, "segment-00000001", sample->octets, SEGMENT);
        return;
    case 6:
        assert_int_equal(mkdirat(folder, "segment-00000001", 0700), 0);
        return;
    case 7: { /* of another spool */
        struct model *other = calloc(1, sizeof *other);
        struct spool_trouble trouble;
        int own released_by(file_close) = model_folder_new(path);
        struct spool *s = model_open(own, other, &trouble);
        assert_true(model_append(s, other, 99, 100));
        model_chores(s);
        commit(s);
        spool_close(&s);
        struct buffer b released_by(buffer_done) = buffer_new(SEGMENT);
        assert_int_equal(file_read_whole(own, TEXT("segment-00000001"), &b), 0);
        put_file(folder, "segment-00000001", b.bytes, b.length);
        model_folder_remove(path);
        free(other);
        return;
    }
    case 8: /* garbage */
        put_file(folder, "segment-00000001", (const char *)sample->model.messages, SEGMENT);
        return;
    case 9: /* another owner */
        put_file(folder, "segment-00000001", sample->octets, SEGMENT);
        assert_int_equal(fchownat(folder, "segment-00000001", 12345, 12345, AT_SYMLINK_NOFOLLOW), 0);
        return;
    }
}

static void foreign_and_unsafe_files_are_put_aside(void **state not_used)
{
    struct sample *sample = sample_new();
    for (size_t which = 0; which < (geteuid() == 0 ? 10 : 9); which++) {
        char path[64];
        int folder released_by(file_close) = model_folder_new(path);
        put_file(folder, FIRST, sample->octets, SEGMENT);
        put_file(folder, "identity", sample->identity, sizeof sample->identity);
        add_foreign(folder, which, sample);
        struct outcome o = start_on(folder, &sample->model);
        if (o.hit || o.told != 1)
            fail_msg("foreign file %zu: %zu messages are gone, %zu problems told", which, o.hit, o.told);
        struct file_facts facts;
        if (file_facts_of(folder, TEXT("elsewhere"), &facts) == 0)
            assert_int_equal(facts.size, 1); /* nothing was followed */
        model_folder_remove(path);
    }
    free(sample);
}

static void a_lost_identity_is_learned_from_the_segments(void **state not_used)
{
    struct sample *sample = sample_new();
    for (size_t is_cut = 0; is_cut < 2; is_cut++) {
        char path[64];
        int folder released_by(file_close) = model_folder_new(path);
        put_file(folder, FIRST, sample->octets, SEGMENT);
        if (is_cut)
            put_file(folder, "identity", "cut", 3);
        struct outcome o = start_on(folder, &sample->model);
        assert_int_equal(o.hit, 0);
        assert_int_equal(o.told, is_cut);
        model_folder_remove(path);
    }
    free(sample);
}

static void count_ids(void *context, const struct spool_message *message)
{
    uint64_t *sum = context;
    *sum += message->id;
}

/* The spool's own octets, sent in as a body and as an envelope: they must not come alive, even with the head of their group damaged. */
static void records_in_a_body_are_no_records(void **state not_used)
{
    struct sample *sample = sample_new();
    char path[64];
    int folder released_by(file_close) = model_folder_new(path);
    struct model *model = calloc(1, sizeof *model);
    struct spool_trouble trouble;
    struct spool *s = model_open(folder, model, &trouble);
    assert_non_null(s);
    struct spool_new message = {.id = 50, .envelope = text_of(sample->octets + 4096 + 64, 2000)};
    assert_int_equal(spool_append(s, &message, text_of(sample->octets + 4096, 8000)), SPOOL_OK);
    commit(s);
    message.id = 51;
    assert_int_equal(spool_append(s, &message, text_of(sample->octets + 4096, 8000)), SPOOL_OK);
    commit(s);
    spool_close(&s);
    int file released_by(file_close) = openat(folder, FIRST, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(file, "XXXX", 4, 4096), 4);
    struct spool_options options = model_options(model);
    uint64_t found = 0;
    assert_int_equal(spool_open(folder, &options, &trouble, &s), SPOOL_OK);
    assert_int_equal(spool_recover(s, count_ids, &found, &trouble), SPOOL_OK);
    assert_int_equal(found, 50 + 51);
    spool_close(&s);
    model_folder_remove(path);
    free(model);
    free(sample);
}

/* A report and "this recipient is done with" go into one group: the second must not count without the first. */
static void updates_of_a_torn_group_do_not_count(void **state not_used)
{
    char path[64];
    int folder released_by(file_close) = model_folder_new(path);
    struct model *model = calloc(1, sizeof *model);
    struct spool_trouble trouble;
    struct spool *s = model_open(folder, model, &trouble);
    assert_true(model_append(s, model, 1, 100) && model_append(s, model, 2, 100));
    commit(s);
    model_settle(s, model);
    assert_true(model_update(s, model, 1, 0) && model_remove(s, model, 2));
    assert_true(model_append(s, model, 3, 3000) && model_append(s, model, 4, 200));
    commit(s);
    spool_close(&s);
    int file released_by(file_close) = openat(folder, FIRST, O_RDWR | O_CLOEXEC);
    static const char nothing[512];
    assert_int_equal(pwrite(file, nothing, sizeof nothing, 2 * 4096 + 2048), sizeof nothing); /* in the body of 3 */
    model->messages[1].life = MODEL_PRESENT;
    model->messages[3].life = MODEL_PRESENT;
    model->messages[0].newest[0] = 0;
    for (size_t starts = 0; starts < 2; starts++) {
        s = model_open(folder, model, &trouble);
        assert_non_null(s);
        model_compare(s, model);
        assert_false(model->is_wrong);
        assert_false(spool_has(s, 3));
        assert_true(model_append(s, model, 10 + starts, 10));
        commit(s);
        model->messages[9 + starts].life = MODEL_PRESENT;
        spool_close(&s);
    }
    assert_int_equal(model->problems[SPOOL_PROBLEM_UNFINISHED], 1);
    assert_int_equal(told(model), 1);
    model_folder_remove(path);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_octet_flipped_hits_one_message_at_most),
        cmocka_unit_test(a_segment_cut_at_any_octet_gives_what_is_left),
        cmocka_unit_test(foreign_and_unsafe_files_are_put_aside),
        cmocka_unit_test(a_lost_identity_is_learned_from_the_segments),
        cmocka_unit_test(records_in_a_body_are_no_records),
        cmocka_unit_test(updates_of_a_torn_group_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
