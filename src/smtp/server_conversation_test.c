/* SPDX-License-Identifier: Apache-2.0 */
/* Runs tests/conversations/ (README.md there says what a file holds). */
#include "smtp/server_stub.h"

#include <dirent.h>
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "../../tests/corpora.h"

enum { SEGMENTS_LIMIT = 64, FILE_LIMIT = 1 << 20 };

struct conversation {
    const char *name;
    struct smtp_server_options options;
    struct buffer segments[SEGMENTS_LIMIT];
    size_t segment_count;
    struct buffer replies, effects, messages; /* expected: a line each */
};

static const struct {
    struct text name;
    size_t place;
} flags[] = {
#define FLAG(field)                                                                                                    \
    {                                                                                                                  \
        .name = TEXT_INIT(#field), .place = offsetof(struct smtp_server_options, field)                                \
    }
    FLAG(is_submission), FLAG(offers_tls),   FLAG(offers_auth), FLAG(auth_in_clear), FLAG(offers_dsn),
    FLAG(offers_utf8),   FLAG(require_helo), FLAG(is_lenient),  FLAG(answers_vrfy),  FLAG(answers_expn),
#undef FLAG
};

static void set_option(struct conversation *c, struct text line, bool value)
{
    struct text name = text_take_word(&line);
    struct text number_text = text_take_word(&line);
    uint64_t number = 0;
    if (number_text.length)
        assert_true(text_number(number_text, UINT64_MAX, &number));
    for (size_t i = 0; i < length_of(flags); i++) {
        if (text_equals(flags[i].name, name)) {
            memcpy((char *)&c->options + flags[i].place, &value, sizeof value);
            return;
        }
    }
    if (text_equals(name, TEXT("max_message_size")))
        c->options.max_message_size = number;
    else if (text_equals(name, TEXT("max_read_size")))
        c->options.max_read_size = number;
    else if (text_equals(name, TEXT("max_recipients")))
        c->options.max_recipients = (size_t)number;
    else if (text_equals(name, TEXT("max_hops")))
        c->options.max_hops = (unsigned)number;
    else if (text_equals(name, TEXT("max_bad_commands")))
        c->options.max_bad_commands = (unsigned)number;
    else if (text_equals(name, TEXT("max_idle_commands")))
        c->options.max_idle_commands = (unsigned)number;
    else
        fail_msg("%s: no such option: %.*s", c->name, TEXT_ARGUMENTS(name));
}

static char hex_octet(struct text two)
{
    return (char)strtoul((char[]){two.bytes[0], two.bytes[1], 0}, NULL, 16);
}

static void append_unescaped(struct buffer *b, struct text t)
{
    static const struct text letters = TEXT_INIT("rnt0\\");
    static const struct text octets = TEXT_INIT("\r\n\t\0\\");
    while (t.length) {
        struct text one = text_take(&t, 1);
        if (one.bytes[0] != '\\') {
            buffer_append(b, one);
            continue;
        }
        struct text letter = text_take(&t, 1);
        if (letter.bytes[0] == 'x')
            buffer_append_octet(b, hex_octet(text_take(&t, 2)));
        else
            buffer_append_octet(b, octets.bytes[text_find_octet(letters, letter.bytes[0])]);
    }
}

static void append_line(struct buffer *b, struct text t)
{
    append_unescaped(b, t);
    buffer_append_octet(b, '\n');
}

static void read_line(struct conversation *c, struct text line)
{
    struct buffer *segment = &c->segments[c->segment_count - 1];
    if (line.length == 0 || line.bytes[0] == '#')
        return;
    if (text_take_prefix_ignoring_case(&line, TEXT("option ")))
        return set_option(c, line, true);
    if (text_take_prefix_ignoring_case(&line, TEXT("no ")))
        return set_option(c, line, false);
    struct text kind = text_take(&line, 2);
    text_take_octet(&line, ' ');
    if (text_equals(kind, TEXT("C:"))) {
        append_unescaped(segment, line);
        buffer_append(segment, TEXT("\r\n"));
    } else if (text_equals(kind, TEXT("T:"))) {
        append_unescaped(segment, line);
    } else if (text_equals(kind, TEXT("W:"))) {
        must(c->segment_count < SEGMENTS_LIMIT);
        c->segments[c->segment_count++] = buffer_new(FILE_LIMIT);
    } else if (text_equals(kind, TEXT("S:"))) {
        append_line(&c->replies, line);
    } else if (text_equals(kind, TEXT("E:"))) {
        append_line(&c->effects, line);
    } else if (text_equals(kind, TEXT("M:"))) {
        append_unescaped(&c->messages, line);
    } else {
        fail_msg("%s: what is this: %.*s", c->name, TEXT_ARGUMENTS(kind));
    }
}

static void conversation_read(struct conversation *c, const char *name)
{
    *c = (struct conversation){.name = name, .options = stub_options(), .segment_count = 1};
    c->segments[0] = buffer_new(FILE_LIMIT);
    c->replies = buffer_new(FILE_LIMIT);
    c->effects = buffer_new(FILE_LIMIT);
    c->messages = buffer_new(FILE_LIMIT);
    struct buffer file released_by(buffer_done) = buffer_new(FILE_LIMIT);
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", PROJECT_ROOT "/tests/conversations", name);
    assert_true(file_read(path, &file));
    struct text rest = buffer_text(&file);
    while (rest.length)
        read_line(c, text_take_until(&rest, '\n'));
}

static void conversation_done(struct conversation *c)
{
    for (size_t i = 0; i < c->segment_count; i++)
        buffer_done(&c->segments[i]);
    buffer_done(&c->replies);
    buffer_done(&c->effects);
    buffer_done(&c->messages);
}

/* Line by line; an expected line that ends with "*" stands for any rest. */
static void compare_lines(const struct conversation *c, struct text expected, struct text got)
{
    while (expected.length || got.length) {
        struct text want = text_take_until(&expected, '\n');
        struct text line = text_take_until(&got, '\n');
        if (text_ends_with(line, TEXT("\r")))
            line.length--;
        bool is_prefix = text_ends_with(want, TEXT("*"));
        if (is_prefix)
            want.length--;
        if (is_prefix ? !text_starts_with(line, want) : !text_equals(line, want))
            fail_msg("%s: expected \"%.*s\", got \"%.*s\"", c->name, TEXT_ARGUMENTS(want), TEXT_ARGUMENTS(line));
    }
}

static void messages_join(const struct stub *stub, struct buffer *b)
{
    struct text rest = buffer_text(&stub->messages);
    while (text_take_prefix_ignoring_case(&rest, TEXT("--- "))) {
        uint64_t length;
        assert_true(text_number(text_take_word(&rest), UINT64_MAX, &length));
        text_take_until(&rest, '\n');
        buffer_append(b, text_take(&rest, (size_t)length));
    }
    assert_true(text_is_empty(rest));
}

/* Feeds each segment in pieces: of step octets, or in two pieces that part at cut. */
static void run(const struct conversation *c, size_t step, size_t cut, struct stub *stub)
{
    stub_init(stub, &c->options);
    size_t at = 0;
    for (size_t i = 0; i < c->segment_count; i++) {
        struct text rest = buffer_text(&c->segments[i]);
        size_t until_cut = cut > at ? cut - at : 0;
        at += rest.length;
        if (until_cut)
            stub_feed(stub, text_take(&rest, until_cut));
        while (rest.length)
            stub_feed(stub, text_take(&rest, step));
    }
}

static void compare_runs(const struct conversation *c, const struct stub *a, const struct stub *b, size_t cut)
{
    if (!text_equals(buffer_text(&a->replies), buffer_text(&b->replies)))
        fail_msg("%s: other replies when cut at %zu:\n%.*s", c->name, cut, TEXT_ARGUMENTS(buffer_text(&b->replies)));
    if (!text_equals(buffer_text(&a->effects), buffer_text(&b->effects)))
        fail_msg("%s: other effects when cut at %zu:\n%.*s", c->name, cut, TEXT_ARGUMENTS(buffer_text(&b->effects)));
    assert_true(text_equals(buffer_text(&a->commands), buffer_text(&b->commands)));
    assert_true(text_equals(buffer_text(&a->messages), buffer_text(&b->messages)));
    assert_true(text_equals(buffer_text(&a->responses), buffer_text(&b->responses)));
}

static void run_conversation(const char *name)
{
    struct conversation c;
    conversation_read(&c, name);
    struct stub whole;
    run(&c, SIZE_MAX, 0, &whole);
    compare_lines(&c, buffer_text(&c.replies), buffer_text(&whole.replies));
    compare_lines(&c, buffer_text(&c.effects), buffer_text(&whole.effects));
    struct buffer messages released_by(buffer_done) = buffer_new(FILE_LIMIT);
    messages_join(&whole, &messages);
    if (!text_equals(buffer_text(&messages), buffer_text(&c.messages)))
        fail_msg("%s: other messages: %.*s", name, TEXT_ARGUMENTS(buffer_text(&messages)));
    size_t total = 0;
    for (size_t i = 0; i < c.segment_count; i++)
        total += c.segments[i].length;
    for (size_t cut = 0; cut < total; cut++) {
        struct stub other;
        run(&c, cut ? SIZE_MAX : 1, cut, &other); /* the first time octet by octet */
        compare_runs(&c, &whole, &other, cut);
        stub_done(&other);
    }
    stub_done(&whole);
    conversation_done(&c);
}

static void every_conversation_runs_as_written_however_it_is_cut(void **state not_used)
{
    DIR *folder = opendir(PROJECT_ROOT "/tests/conversations");
    assert_non_null(folder);
    size_t count = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        if (!text_ends_with(text_of_terminated(entry->d_name), TEXT(".txt")))
            continue;
        run_conversation(entry->d_name);
        count++;
    }
    closedir(folder);
    assert_true(count >= 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_conversation_runs_as_written_however_it_is_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
