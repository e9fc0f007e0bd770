/* SPDX-License-Identifier: Apache-2.0 */
/* The wire vectors of the corpora: false ends of data, dots, commands, SASL. */
#include "smtp/server_stub.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <jansson.h>
#include <cmocka.h>

#include "../../tests/corpora.h"

static json_t *corpus(const char *name)
{
    struct buffer file released_by(buffer_done) = buffer_new(16 << 20);
    if (!corpora_has(name) || !corpora_read(name, &file))
        return NULL;
    json_t *root = json_loadb(file.bytes, file.length, JSON_ALLOW_NUL, NULL);
    assert_non_null(root);
    return root;
}

static struct text string_of(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return value && json_is_string(value) ? text_of(json_string_value(value), json_string_length(value)) : TEXT_NONE;
}

static void append_hex_decoded(struct buffer *b, struct text hex)
{
    while (hex.length) {
        struct text two = text_take(&hex, 2);
        buffer_append_octet(b, (char)strtoul((char[]){two.bytes[0], two.bytes[1], 0}, NULL, 16));
    }
}

/* Feeds t in pieces of count octets; first_cut, when not 0, is the first piece alone. */
static void feed_in_pieces(struct stub *stub, struct text t, size_t first_cut, size_t count)
{
    if (first_cut)
        stub_feed(stub, text_take(&t, first_cut));
    while (t.length)
        stub_feed(stub, text_take(&t, count));
}

static void begin_text(struct stub *stub, const struct smtp_server_options *options)
{
    stub_init(stub, options);
    stub_feed(stub, TEXT("EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@local.example>\r\nDATA\r\n"));
    assert_int_equal(stub_last_code(stub), 354);
}

static void check_end_of_data(struct text payload, size_t cut, size_t pieces, const struct smtp_server_options *options,
                              bool is_control, struct text id)
{
    struct stub stub;
    begin_text(&stub, options);
    size_t senders = stub.effects.length;
    feed_in_pieces(&stub, payload, cut, pieces);
    struct text effects = text_after(buffer_text(&stub.effects), senders);
    bool ran_a_command = text_find(effects, TEXT("evil@sender.example")) < effects.length;
    if (is_control) {
        assert_int_equal(stub.message_count, 2);
        assert_true(ran_a_command);
    } else if (stub.message_count > 1 || ran_a_command) {
        fail_msg("%.*s cut at %zu: %zu messages", TEXT_ARGUMENTS(id), cut, stub.message_count);
    }
    stub_done(&stub);
}

/* T1, T2: on every kind of listener, whole, in single octets, cut at each place. */
static void only_crlf_dot_crlf_ends_the_text(void **state not_used)
{
    json_t *root = corpus("smtp/end-of-data-vectors.json");
    if (!root)
        return;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(root, "vectors"), i, row)
    {
        struct buffer payload released_by(buffer_done) = buffer_new(1 << 20);
        append_hex_decoded(&payload, string_of(row, "payload_hex"));
        struct text id = string_of(row, "id");
        bool is_control = text_starts_with(id, TEXT("control"));
        for (int is_lenient = 0; is_lenient < 2; is_lenient++) {
            struct smtp_server_options options = stub_options();
            options.is_lenient = is_lenient;
            check_end_of_data(buffer_text(&payload), 0, 1, &options, is_control, id);
            for (size_t cut = 0; cut < payload.length; cut++)
                check_end_of_data(buffer_text(&payload), cut, SIZE_MAX, &options, is_control, id);
        }
    }
    assert_int_equal(i, 24);
    json_decref(root);
}

/* T3: what a lenient listener takes holds no bare newline, so that no host behind us finds another end in it. */
static void what_is_taken_holds_no_bare_newline(void **state not_used)
{
    json_t *root = corpus("smtp/end-of-data-vectors.json");
    if (!root)
        return;
    size_t i;
    size_t taken = 0;
    json_t *row;
    json_array_foreach(json_object_get(root, "vectors"), i, row)
    {
        struct buffer payload released_by(buffer_done) = buffer_new(1 << 20);
        append_hex_decoded(&payload, string_of(row, "payload_hex"));
        struct smtp_server_options options = stub_options();
        options.is_lenient = true;
        struct stub stub;
        begin_text(&stub, &options);
        stub_feed(&stub, buffer_text(&payload));
        struct text m = buffer_text(&stub.messages);
        m = text_after(m, text_find_octet(m, '\n') + 1);
        if (!text_starts_with(string_of(row, "id"), TEXT("control"))) {
            for (size_t at = 0; at < m.length; at++) {
                bool is_lf = m.bytes[at] == '\n';
                assert_true(!is_lf || (at && m.bytes[at - 1] == '\r'));
                assert_true(m.bytes[at] != '\r' || (at + 1 < m.length && m.bytes[at + 1] == '\n'));
            }
            taken += stub.message_count;
        }
        stub_done(&stub);
    }
    assert_true(taken > 10);
    json_decref(root);
}

/* T4, T5 */
static void dots_are_unstuffed_at_every_edge(void **state not_used)
{
    static const size_t pieces[] = {1, 2, 3, 1023, 1024, 4095, 4096, 4097, SIZE_MAX};
    json_t *root = corpus("smtp/dot-transparency-vectors.json");
    if (!root)
        return;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(root, "vectors"), i, row)
    {
        struct buffer wire released_by(buffer_done) = buffer_new(1 << 20);
        struct buffer message released_by(buffer_done) = buffer_new(1 << 20);
        append_hex_decoded(&wire, string_of(row, "wire_hex"));
        append_hex_decoded(&message, string_of(row, "message_hex"));
        for (size_t p = 0; p < length_of(pieces); p++) {
            struct smtp_server_options options = stub_options();
            struct stub stub;
            begin_text(&stub, &options);
            feed_in_pieces(&stub, buffer_text(&wire), 0, pieces[p]);
            assert_int_equal(stub.message_count, 1);
            assert_int_equal(stub_last_code(&stub), 250);
            struct text taken = buffer_text(&stub.messages);
            taken = text_after(taken, text_find_octet(taken, '\n') + 1);
            assert_true(text_equals(taken, buffer_text(&message)));
            stub_done(&stub);
        }
    }
    assert_int_equal(i, 12);
    json_decref(root);
}

static void append_command(struct buffer *b, const json_t *row)
{
    struct text hex = string_of(row, "command_hex");
    if (hex.length) {
        append_hex_decoded(b, hex);
        return;
    }
    append_hex_decoded(b, string_of(row, "command_hex_prefix"));
    for (json_int_t n = json_integer_value(json_object_get(row, "repeat")); n > 0; n--)
        append_hex_decoded(b, string_of(row, "repeat_hex"));
    append_hex_decoded(b, string_of(row, "command_hex_suffix"));
}

static unsigned first_code(const struct stub *stub)
{
    uint64_t code = 0;
    if (!text_number(text_first(buffer_text(&stub->replies), 3), 999, &code))
        return 0;
    return (unsigned)code;
}

static bool code_is_allowed(struct text codes, unsigned code)
{
    while (codes.length) {
        uint64_t number;
        if (text_number(text_take_until(&codes, '|'), 999, &number) && number == code)
            return true;
    }
    return false;
}

static void check_command(const json_t *row, size_t pieces)
{
    struct buffer command released_by(buffer_done) = buffer_new(1 << 20);
    append_command(&command, row);
    struct smtp_server_options options = stub_options();
    struct stub stub;
    stub_init(&stub, &options);
    struct text id = string_of(row, "id");
    if (!text_starts_with(id, TEXT("ehlo")) && !text_starts_with(id, TEXT("helo")))
        stub_feed(&stub, TEXT("EHLO client.example\r\n"));
    if (text_starts_with(id, TEXT("rcpt")) || text_starts_with(id, TEXT("data")))
        stub_feed(&stub, TEXT("MAIL FROM:<a@b.example>\r\n"));
    stub_forget_replies(&stub);
    feed_in_pieces(&stub, buffer_text(&command), 0, pieces);
    if (text_equals(id, TEXT("lower-quit-bare-cr"))) {
        assert_true(text_is_empty(buffer_text(&stub.replies))); /* nothing yet; the driver's timer ends it */
        stub_done(&stub);
        return;
    }
    if (!code_is_allowed(string_of(row, "code"), first_code(&stub)))
        fail_msg("%.*s: %.*s", TEXT_ARGUMENTS(id), TEXT_ARGUMENTS(buffer_text(&stub.replies)));
    bool is_ended = first_code(&stub) == 421 || first_code(&stub) == 221;
    assert_int_equal(stub.is_closed, is_ended);
    if (!is_ended) {
        stub_forget_replies(&stub);
        stub_feed(&stub, TEXT("NOOP\r\n"));
        if (!text_equals(buffer_text(&stub.replies), TEXT("250 2.0.0 Ok\r\n")))
            fail_msg("%.*s, then NOOP: %.*s", TEXT_ARGUMENTS(id), TEXT_ARGUMENTS(buffer_text(&stub.replies)));
    }
    stub_done(&stub);
}

/* T11 */
static void commands_get_the_codes_of_the_corpus(void **state not_used)
{
    json_t *root = corpus("smtp/command-vectors.json");
    if (!root)
        return;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(root, "vectors"), i, row)
    {
        check_command(row, SIZE_MAX);
        check_command(row, 7);
    }
    assert_int_equal(i, 110);
    json_decref(root);
}

/* T38: the machine hands the exchange over octet for octet, and nothing that is not base64. */
static void sasl_responses_are_decoded_strictly(void **state not_used)
{
    json_t *root = corpus("auth/sasl-vectors.json");
    if (!root)
        return;
    struct smtp_server_options options = stub_options();
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(root, "plain"), i, row)
    {
        struct buffer raw released_by(buffer_done) = buffer_new(1 << 20);
        append_hex_decoded(&raw, string_of(row, "raw_hex"));
        struct stub stub;
        stub_init(&stub, &options);
        stub_feed(&stub, TEXT("EHLO c\r\nAUTH PLAIN\r\n"));
        assert_int_equal(stub_last_code(&stub), 334);
        stub_feed(&stub, string_of(row, "b64"));
        stub_feed(&stub, TEXT("\r\n"));
        unsigned code = stub_last_code(&stub);
        if (code == 500) {
            assert_true(string_of(row, "b64").length > 12288);
        } else {
            assert_true(text_equals(text_after(buffer_text(&stub.responses), 1), buffer_text(&raw)));
            bool is_good = text_starts_with(string_of(row, "right"), TEXT("ok"));
            assert_true(is_good ? code == 235 : code == 535 || code == 501);
        }
        stub_feed(&stub, TEXT("NOOP\r\n"));
        assert_int_equal(stub_last_code(&stub), 250);
        stub_done(&stub);
    }
    assert_int_equal(i, 14);
    json_array_foreach(json_object_get(root, "base64_strict"), i, row)
    {
        struct stub stub;
        stub_init(&stub, &options);
        stub_feed(&stub, TEXT("EHLO c\r\nAUTH LOGIN\r\n"));
        stub_feed(&stub, string_of(row, "in"));
        stub_feed(&stub, TEXT("\r\n"));
        bool is_good = text_equals(string_of(row, "right"), TEXT("ok"));
        assert_int_equal(stub_last_code(&stub), is_good ? 334 : 501);
        stub_done(&stub);
    }
    assert_int_equal(i, 9);
    json_decref(root);
}

/* Steps are what the client sends and "334 ..." that it expects, in turn; an empty line is a step too. */
static void run_login(const json_t *row)
{
    struct smtp_server_options options = stub_options();
    struct stub stub;
    stub_init(&stub, &options);
    stub_feed(&stub, TEXT("EHLO c\r\n"));
    size_t i;
    json_t *step;
    json_array_foreach(json_object_get(row, "steps"), i, step)
    {
        struct text line = text_of(json_string_value(step), json_string_length(step));
        if (text_starts_with(line, TEXT("334 "))) {
            struct text replies = buffer_text(&stub.replies);
            assert_true(text_equals(text_trimmed(replies), line));
            continue;
        }
        stub_forget_replies(&stub);
        stub_feed(&stub, line);
        stub_feed(&stub, TEXT("\r\n"));
    }
    struct text right = string_of(row, "right");
    unsigned code = stub_last_code(&stub);
    uint64_t wanted;
    assert_true(text_number(text_first(right, 3), 999, &wanted));
    if (code != wanted)
        fail_msg("%.*s: %u", TEXT_ARGUMENTS(string_of(row, "note")), code);
    stub_done(&stub);
}

static void login_prompts_are_those_old_clients_look_at(void **state not_used)
{
    json_t *root = corpus("auth/sasl-vectors.json");
    if (!root)
        return;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(root, "login"), i, row) run_login(row);
    assert_int_equal(i, 6);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_crlf_dot_crlf_ends_the_text),
        cmocka_unit_test(what_is_taken_holds_no_bare_newline),
        cmocka_unit_test(dots_are_unstuffed_at_every_edge),
        cmocka_unit_test(commands_get_the_codes_of_the_corpus),
        cmocka_unit_test(sasl_responses_are_decoded_strictly),
        cmocka_unit_test(login_prompts_are_those_old_clients_look_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
