/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that write are wrapped by the linker (--wrap), so that the disk can be full. */
#include "record/files.h"
#include "record/record.h"

#include "system/system.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static int fault; /* what the next writes answer; the wrapper has no other way to know */

int __real_file_write_all(int file, struct text octets);
int __wrap_file_write_all(int file, struct text octets);
int __wrap_file_write_all(int file, struct text octets)
{
    if (!fault)
        return __real_file_write_all(file, octets);
    ignored(__real_file_write_all(file, text_first(octets, octets.length / 2))); /* as a disk does that fills up */
    return fault;
}

struct scene {
    char path[64];
    int folder;
};

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    *scene = (struct scene){.path = "/tmp/record_test.XXXXXX", .folder = -1};
    assert_non_null(mkdtemp(scene->path));
    assert_int_equal(folder_open(-1, text_of_terminated(scene->path), &scene->folder), 0);
    fault = 0;
    *state = scene;
    return 0;
}

static int remove_one(const char *path, const struct stat *facts not_used, int type not_used,
                      struct FTW *place not_used)
{
    return remove(path);
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    file_close(&scene->folder);
    assert_int_equal(nftw(scene->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(scene);
    return 0;
}

static const int64_t start_ms = 1764075533123;

static void put(struct record_writer *w, uint64_t number)
{
    struct buffer id released_by(buffer_done) = buffer_new(32);
    ignored(buffer_append_format(&id, "%016llx", (unsigned long long)number)); /* fits */
    struct text fields[] = {TEXT("id"), buffer_text(&id), TEXT("recipient"), TEXT("a@b.test")};
    record_writer_put(w, &(struct record_event){.time_ms = start_ms,
                                                .level = RECORD_INFO,
                                                .role = TEXT("queue"),
                                                .name = TEXT("message-done"),
                                                .fields = fields,
                                                .count = 4});
}

static struct record_options file_options(uint64_t rotation, uint64_t keep_ms)
{
    return (struct record_options){.target = SETTINGS_LOG_TARGET_FILE,
                                   .format = SETTINGS_LOG_FORMAT_TEXT,
                                   .rotation = rotation,
                                   .keep_ms = keep_ms};
}

static size_t count_files(struct scene *scene)
{
    struct folder_walk *walk released_by(folder_walk_free) = NULL;
    struct text name;
    size_t count = 0;
    assert_int_equal(folder_walk_new(scene->folder, &walk), 0);
    while (folder_walk_next(walk, &name))
        count++;
    return count;
}

/* Every line parses, and the ids come in order: how many there are. */
static size_t read_all(struct scene *scene, size_t *ret_alarms)
{
    struct record_reader *reader released_by(record_reader_free) = NULL;
    struct text line;
    size_t count = 0, alarms = 0;
    uint64_t last = 0;
    assert_int_equal(record_reader_new(scene->folder, &reader), 0);
    for (;;) {
        enum record_read read = record_reader_next(reader, &line);
        if (read == RECORD_READ_END)
            break;
        if (read == RECORD_READ_PAUSE)
            continue;
        struct arena arena released_by(arena_done) = arena_new(1 << 16);
        struct record_event event;
        if (!record_line_parse(line, &arena, &event))
            fail_msg("not a line: %.*s", TEXT_ARGUMENTS(line));
        if (event.level == RECORD_ALARM) {
            alarms++;
            continue;
        }
        uint64_t id = strtoull(record_field(&event, TEXT("id")).bytes, NULL, 16);
        assert_true(id > last);
        last = id;
        count++;
    }
    if (ret_alarms)
        *ret_alarms = alarms;
    return count;
}

static void lines_come_back_in_order_over_many_files(void **state)
{
    struct scene *scene = *state;
    struct record_writer *w = record_writer_new(scene->folder, -1, 1);
    struct record_options options = file_options(65536, 0);
    record_writer_options(w, &options);
    for (uint64_t i = 1; i <= 20000; i++) {
        put(w, i);
        if (record_writer_is_due(w))
            record_writer_flush(w, start_ms + (int64_t)i);
    }
    record_writer_free(&w);
    assert_int_equal(read_all(scene, NULL), 20000);
    struct record_reader *reader released_by(record_reader_free) = NULL;
    assert_int_equal(record_reader_new(scene->folder, &reader), 0);
    size_t counts[3] = {0};
    for (size_t files = 1; files <= 3; files++) {
        struct text line;
        assert_true(record_reader_restart_latest(reader, files));
        for (enum record_read read; (read = record_reader_next(reader, &line)) != RECORD_READ_END;)
            counts[files - 1] += read == RECORD_READ_LINE;
    }
    assert_true(counts[0] > 0 && counts[1] > counts[0] && counts[2] > counts[1] && counts[2] < 20000);
    assert_false(record_reader_restart_latest(reader, 100000));
    assert_true(count_files(scene) > 20);
}

static void old_files_go_and_others_stay(void **state)
{
    struct scene *scene = *state;
    const int64_t day = 24 * 60 * 60 * 1000;
    struct record_writer *w = record_writer_new(scene->folder, -1, 1);
    struct record_options options = file_options(200, (uint64_t)day * 90);
    record_writer_options(w, &options);
    assert_int_equal(file_replace(scene->folder, TEXT("portiere-notes.log"), TEXT("mine"), 0600), 0);
    for (int64_t i = 1; i <= 100; i++) {
        put(w, (uint64_t)i * 10);
        put(w, (uint64_t)i * 10 + 1);
        record_writer_flush(w, start_ms + i * day);
    }
    assert_int_equal(count_files(scene), 93); /* 91 rotated ones, the present one, and the notes */
    record_writer_free(&w);
    struct file_facts facts;
    assert_int_equal(file_facts_of(scene->folder, TEXT("portiere-notes.log"), &facts), 0);
}

static void a_full_disk_loses_lines_only_when_nothing_more_can_be_kept_and_says_how_many(void **state)
{
    struct scene *scene = *state;
    struct record_writer *w = record_writer_new(scene->folder, -1, 1);
    struct record_options options = file_options(0, 0);
    record_writer_options(w, &options);
    put(w, 1);
    record_writer_flush(w, start_ms);
    fault = ENOSPC;
    for (uint64_t i = 2; i <= 100; i++) {
        put(w, i);
        record_writer_flush(w, start_ms);
        assert_int_equal(record_writer_error(w), ENOSPC);
    }
    fault = 0;
    record_writer_flush(w, start_ms);
    assert_int_equal(record_writer_error(w), 0);
    assert_int_equal(read_all(scene, NULL), 100); /* all were kept, no half line stands there */
    fault = EIO;
    for (uint64_t i = 101; i <= 100000; i++)
        put(w, i);
    record_writer_flush(w, start_ms);
    uint64_t lost = record_writer_lost(w);
    assert_true(lost > 1000);
    fault = 0;
    record_writer_flush(w, start_ms);
    record_writer_flush(w, start_ms);
    size_t alarms = 0;
    assert_int_equal(read_all(scene, &alarms), 100000 - lost);
    assert_int_equal(alarms, 1);
    record_writer_free(&w);
}

static void a_file_that_was_moved_or_removed_is_begun_anew(void **state)
{
    struct scene *scene = *state;
    struct record_writer *w = record_writer_new(scene->folder, -1, 1);
    struct record_options options = file_options(0, 0);
    record_writer_options(w, &options);
    put(w, 1);
    record_writer_flush(w, start_ms);
    assert_int_equal(file_rename(scene->folder, record_file_name, scene->folder, TEXT("elsewhere")), 0);
    put(w, 2);
    record_writer_flush(w, start_ms + 5000);
    assert_int_equal(read_all(scene, NULL), 1);
    assert_int_equal(file_remove(scene->folder, record_file_name), 0);
    put(w, 3);
    record_writer_flush(w, start_ms + 10000);
    assert_int_equal(read_all(scene, NULL), 1);
    record_writer_free(&w);
}

static void a_line_cut_off_by_a_kill_does_not_swallow_the_next(void **state)
{
    struct scene *scene = *state;
    struct buffer whole released_by(buffer_done) = buffer_new(4096);
    assert_int_equal(file_replace(scene->folder, record_file_name, TEXT("{\"time\":\"20"), 0600), 0);
    struct record_writer *w = record_writer_new(scene->folder, -1, 1);
    struct record_options options = file_options(0, 0);
    record_writer_options(w, &options);
    put(w, 1);
    record_writer_flush(w, start_ms);
    record_writer_free(&w);
    assert_int_equal(file_read_whole(scene->folder, record_file_name, &whole), 0);
    struct text rest = buffer_text(&whole);
    assert_true(text_equals(text_take_until(&rest, '\n'), TEXT("{\"time\":\"20")));
    struct arena arena released_by(arena_done) = arena_new(1 << 16);
    struct record_event event;
    assert_true(record_line_parse(text_take_until(&rest, '\n'), &arena, &event));
    assert_true(text_is_empty(rest));
}

static void a_pipe_that_nobody_reads_holds_nobody_up(void **state)
{
    struct scene *scene = *state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct record_writer *w = record_writer_new(scene->folder, -1, ends[1]);
    struct record_options options = file_options(0, 0);
    options.target = SETTINGS_LOG_TARGET_STDOUT;
    record_writer_options(w, &options);
    for (uint64_t i = 1; i <= 30000; i++) {
        put(w, i);
        if (record_writer_is_due(w))
            record_writer_flush(w, start_ms);
    }
    record_writer_flush(w, start_ms);
    assert_true(record_writer_lost(w) > 0);
    assert_true(read_all(scene, NULL) == 30000); /* the file has them all */
    static char drained[65536];
    size_t got = 0;
    while (socket_wait(ends[0], false, 0)) {
        ssize_t more = read(ends[0], drained, sizeof drained);
        assert_true(more > 0);
        got += (size_t)more;
        record_writer_flush(w, start_ms);
    }
    assert_true(got > 1 << 20);
    assert_true(record_writer_is_empty(w) || record_writer_lost(w) > 0);
    signal(SIGPIPE, SIG_IGN);
    close(ends[0]);
    put(w, 30001);
    record_writer_flush(w, start_ms);
    assert_true(record_writer_is_empty(w));
    record_writer_free(&w);
    close(ends[1]);
}

static void the_journal_gets_one_entry_an_event(void **state)
{
    struct scene *scene = *state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    struct record_writer *w = record_writer_new(scene->folder, ends[0], 1);
    struct record_options options = file_options(0, 0);
    options.target = SETTINGS_LOG_TARGET_JOURNAL;
    record_writer_options(w, &options);
    put(w, 1);
    put(w, 2);
    record_writer_flush(w, start_ms);
    char entry[4096];
    for (int i = 1; i <= 2; i++) {
        ssize_t length = recv(ends[1], entry, sizeof entry, MSG_DONTWAIT);
        assert_true(length > 0);
        struct text t = text_of(entry, (size_t)length);
        assert_true(text_starts_with(t, TEXT("PRIORITY\n")));
        assert_true(text_find(t, i == 1 ? TEXT("id=0000000000000001") : TEXT("id=0000000000000002")) < t.length);
    }
    for (uint64_t i = 3; i < 3000; i++) /* it is full: what it does not take waits */
        put(w, i);
    record_writer_flush(w, start_ms);
    assert_int_equal(record_writer_lost(w), 0);
    size_t taken = 2;
    while (taken < 2999) {
        while (recv(ends[1], entry, sizeof entry, MSG_DONTWAIT) > 0)
            taken++;
        record_writer_flush(w, start_ms);
    }
    assert_int_equal(taken, 2999);
    assert_int_equal(read_all(scene, NULL), 2999);
    record_writer_free(&w);
    close(ends[0]);
    close(ends[1]);
}

static void a_log_that_is_no_log_is_read_past(void **state)
{
    struct scene *scene = *state;
    struct buffer odd released_by(buffer_done) = buffer_new(1 << 20);
    assert_true(buffer_append(&odd, TEXT("rubbish\n\n")));
    for (size_t i = 0; i < 200000; i++)
        assert_true(buffer_append_octet(&odd, 'x'));
    assert_true(buffer_append(&odd, TEXT("\nlast\nno end")));
    assert_int_equal(file_replace(scene->folder, record_file_name, buffer_text(&odd), 0600), 0);
    assert_int_equal(mkdirat(scene->folder, "portiere-2025-11-25T12-58-53.123Z.log", 0700), 0);
    assert_int_equal(symlinkat("/etc/passwd", scene->folder, "portiere-2025-11-25T12-58-53.124Z.log"), 0);
    struct record_reader *reader released_by(record_reader_free) = NULL;
    assert_int_equal(record_reader_new(scene->folder, &reader), 0);
    struct text line;
    size_t lines = 0;
    for (enum record_read read; (read = record_reader_next(reader, &line)) != RECORD_READ_END;)
        if (read == RECORD_READ_LINE) {
            lines++;
            assert_true(line.length <= RECORD_LINE_LIMIT);
            assert_false(text_starts_with(line, TEXT("root:")));
        }
    assert_int_equal(lines, 3);
    record_reader_restart(reader);
    while (record_reader_next(reader, &line) != RECORD_READ_END)
        lines += line.length == 7;
    assert_true(lines > 3);
}

struct story {
    const char *event;
    struct text fields[8];
    size_t count;
    bool of_message; /* of 00..01 */
    bool of_address; /* b@casa.test */
};
#define F(text) TEXT_INIT(text)
static const struct story story[] = {
    {"connection-opened", {F("session"), F("1.1"), F("client"), F("c")}, 4, true, true},
    {"connection-opened", {F("session"), F("2.1"), F("client"), F("d")}, 4, false, false},
    {"session-login", {F("session"), F("1.1"), F("account"), F("m@casa.test")}, 4, true, true},
    {"message-taken",
     {F("session"), F("1.1"), F("id"), F("0000000000000001"), F("sender"), F("m@casa.test")},
     6,
     true,
     true},
    {"message-taken", {F("id"), F("0000000000000001")}, 2, true, true},
    {"message-taken",
     {F("session"), F("1.1"), F("id"), F("0000000000000002"), F("sender"), F("m@casa.test")},
     6,
     false,
     false},
    {"message-taken",
     {F("session"), F("2.1"), F("id"), F("0000000000000003"), F("sender"), F("x@y.test")},
     6,
     false,
     false},
    {"connection-closed", {F("session"), F("1.1")}, 2, true, true},
    {"recipient-failed", {F("id"), F("0000000000000001"), F("recipient"), F("B@casa.test")}, 4, true, true},
    {"report-made", {F("id"), F("0000000000000009"), F("of"), F("0000000000000001")}, 4, true, true},
    {"recipient-delivered", {F("id"), F("0000000000000002"), F("recipient"), F("z@casa.test")}, 4, false, false},
    {"recipient-delivered", {F("id"), F("0000000000000009"), F("recipient"), F("m@casa.test")}, 4, true, true},
    {"message-done", {F("id"), F("0000000000000001")}, 2, true, true},
    {"role-restarted", {F("role"), F("relay")}, 2, false, false},
};

static void check_search(const char *what, size_t which)
{
    struct record_search *search released_by(record_search_free) = record_search_new(text_of_terminated(what));
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < length_of(story); i++) {
            struct record_event event = {
                .name = text_of_terminated(story[i].event), .fields = story[i].fields, .count = story[i].count};
            bool expected = which == 0 ? story[i].of_message : which == 1 ? story[i].of_address : false;
            if (round == 0)
                record_search_collect(search, &event);
            else if (round == 1)
                record_search_connect(search, &event);
            else if (record_search_chooses(search, &event) != expected)
                fail_msg("%s: event %zu", what, i);
        }
    assert_false(record_search_has_forgotten(search));
}

static void a_message_is_followed_from_the_first_octet_to_the_last_result(void **state not_used)
{
    check_search("0000000000000001", 0);
    check_search("b@casa.test", 1);
    check_search("<B@Casa.Test>", 1);
    check_search("nobody@casa.test", 2);
    check_search("", 2);
}

static void of_many_the_latest_are_shown(void **state not_used)
{
    struct record_search *search released_by(record_search_free) = record_search_new(TEXT("a@b.test"));
    size_t chosen = 0;
    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < 10000; i++) {
            char id[17];
            assert_true(snprintf(id, sizeof id, "%016x", i) == 16);
            struct text fields[] = {TEXT("id"), text_of(id, 16), TEXT("recipient"), TEXT("a@b.test")};
            struct record_event event = {.name = TEXT("recipient-delivered"), .fields = fields, .count = 4};
            if (round == 0)
                record_search_collect(search, &event);
            else if (round == 1)
                record_search_connect(search, &event);
            else if (record_search_chooses(search, &event)) {
                assert_true(i >= 9980);
                chosen++;
            }
        }
    assert_int_equal(chosen, 20);
    assert_true(record_search_has_forgotten(search));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_A_SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        IN_A_SCENE(lines_come_back_in_order_over_many_files),
        IN_A_SCENE(old_files_go_and_others_stay),
        IN_A_SCENE(a_full_disk_loses_lines_only_when_nothing_more_can_be_kept_and_says_how_many),
        IN_A_SCENE(a_file_that_was_moved_or_removed_is_begun_anew),
        IN_A_SCENE(a_line_cut_off_by_a_kill_does_not_swallow_the_next),
        IN_A_SCENE(a_pipe_that_nobody_reads_holds_nobody_up),
        IN_A_SCENE(the_journal_gets_one_entry_an_event),
        IN_A_SCENE(a_log_that_is_no_log_is_read_past),
        cmocka_unit_test(a_message_is_followed_from_the_first_octet_to_the_last_result),
        cmocka_unit_test(of_many_the_latest_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
