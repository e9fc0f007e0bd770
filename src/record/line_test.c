/* SPDX-License-Identifier: Apache-2.0 */
#include "record/escape.h"
#include "record/record.h"

#include "mail/mail.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static const int64_t moment = 1764075533123;

static struct text line_of(struct buffer *b, const struct text *fields, size_t count, uint64_t format)
{
    struct record_event event = {.time_ms = moment,
                                 .level = RECORD_INFO,
                                 .role = TEXT("front"),
                                 .name = TEXT("message-taken"),
                                 .fields = fields,
                                 .count = count};
    assert_true(record_line_append(b, &event, format));
    return buffer_text(b);
}

static const struct {
    struct text value, text, json;
} values[] = {
    {TEXT_INIT("plain"), TEXT_INIT("plain"), TEXT_INIT("\"plain\"")},
    {TEXT_INIT(""), TEXT_INIT("\"\""), TEXT_INIT("\"\"")},
    {TEXT_INIT("a b"), TEXT_INIT("\"a b\""), TEXT_INIT("\"a b\"")},
    {TEXT_INIT("a=b"), TEXT_INIT("a=b"), TEXT_INIT("\"a=b\"")},
    {TEXT_INIT("say \"x\""), TEXT_INIT("\"say \\\"x\\\"\""), TEXT_INIT("\"say \\\"x\\\"\"")},
    {TEXT_INIT("a\\b"), TEXT_INIT("\"a\\\\b\""), TEXT_INIT("\"a\\\\\\\\b\"")},
    {TEXT_INIT("x\r\n2026-11-25T12:58:53.123Z front info forged a=b"),
     TEXT_INIT("\"x\\r\\n2026-11-25T12:58:53.123Z front info forged a=b\""),
     TEXT_INIT("\"x\\r\\n2026-11-25T12:58:53.123Z front info forged a=b\"")},
    {TEXT_INIT("\x1b[2J"), TEXT_INIT("\"\\x1b[2J\""), TEXT_INIT("\"\\u001B[2J\"")},
    {TEXT_INIT("caf\xe9"), TEXT_INIT("\"caf\\xe9\""), TEXT_INIT("\"caf\\\\xe9\"")},         /* Latin-1 */
    {TEXT_INIT("caf\xc3\xa9"), TEXT_INIT("\"caf\xc3\xa9\""), TEXT_INIT("\"caf\xc3\xa9\"")}, /* UTF-8 */
    {TEXT_INIT("\xc2\x9b\x32J"), TEXT_INIT("\"\\xc2\\x9b2J\""),
     TEXT_INIT("\"\\\\xc2\\\\x9b2J\"")}, /* CSI as a C1 control */
    {TEXT_INIT("\xe2\x80\xaetxt"), TEXT_INIT("\"\\xe2\\x80\\xaetxt\""),
     TEXT_INIT("\"\\\\xe2\\\\x80\\\\xaetxt\"")}, /* right to left */
    {TEXT_INIT("\x7f"), TEXT_INIT("\"\\x7f\""), TEXT_INIT("\"\\\\x7f\"")},
    {TEXT_INIT("a\0b"), TEXT_INIT("\"a\\x00b\""), TEXT_INIT("\"a\\u0000b\"")},
    {TEXT_INIT("\\x41"), TEXT_INIT("\"\\\\x41\""), TEXT_INIT("\"\\\\\\\\x41\"")},
};

static void a_strangers_octets_stay_in_their_line_and_come_back(void **state not_used)
{
    for (size_t i = 0; i < length_of(values); i++)
        for (uint64_t format = 0; format < SETTINGS_LOG_FORMAT_WORDS; format++) {
            struct buffer line released_by(buffer_done) = buffer_new(1 << 16),
                               expected released_by(buffer_done) = buffer_new(1 << 16);
            struct arena arena released_by(arena_done) = arena_new(1 << 16);
            struct text fields[] = {TEXT("id"), TEXT("1"), TEXT("helo"), values[i].value, TEXT("z"), TEXT("last")};
            struct text got = line_of(&line, fields, length_of(fields), format);
            bool is_json = format == SETTINGS_LOG_FORMAT_JSON;
            assert_true(buffer_append(
                &expected, is_json ? TEXT("{\"time\":\"2025-11-25T12:58:53.123Z\",\"role\":\"front\",\"level\":"
                                          "\"info\",\"event\":\"message-taken\","
                                          "\"fields\":{\"id\":\"1\",\"helo\":")
                                   : TEXT("2025-11-25T12:58:53.123Z front info message-taken id=1 helo=")));
            assert_true(buffer_append(&expected, is_json ? values[i].json : values[i].text));
            assert_true(buffer_append(&expected, is_json ? TEXT(",\"z\":\"last\"}}\n") : TEXT(" z=last\n")));
            if (!text_equals(got, buffer_text(&expected)))
                fail_msg("got %.*s", TEXT_ARGUMENTS(got));
            assert_int_equal(text_find_octet(got, '\n'), got.length - 1);
            struct record_event event;
            assert_true(record_line_parse(text_first(got, got.length - 1), &arena, &event));
            assert_int_equal(event.time_ms, moment);
            assert_int_equal(event.level, RECORD_INFO);
            assert_int_equal(event.count, 6);
            assert_true(text_equals(event.role, TEXT("front")) && text_equals(event.name, TEXT("message-taken")));
            assert_true(text_equals(record_field(&event, TEXT("helo")), values[i].value));
            assert_true(text_equals(record_field(&event, TEXT("z")), TEXT("last")));
        }
}

static void every_pair_of_octets_comes_back(void **state not_used)
{
    for (unsigned pair = 0; pair < 65536; pair += 7) {
        char octets[] = {(char)(pair >> 8), (char)pair};
        for (uint64_t format = 0; format < SETTINGS_LOG_FORMAT_WORDS; format++) {
            struct buffer line released_by(buffer_done) = buffer_new(1 << 16);
            struct arena arena released_by(arena_done) = arena_new(1 << 16);
            struct text got = line_of(&line, (struct text[]){TEXT("v"), text_of(octets, 2)}, 2, format);
            struct record_event event;
            assert_int_equal(text_find_octet(got, '\n'), got.length - 1);
            for (size_t i = 0; i + 1 < got.length; i++)
                assert_true((unsigned char)got.bytes[i] >= ' ' && got.bytes[i] != 127);
            assert_true(utf8_is_valid(got));
            assert_true(record_line_parse(text_first(got, got.length - 1), &arena, &event));
            assert_true(text_equals(record_field(&event, TEXT("v")), text_of(octets, 2)));
        }
    }
}

static void long_values_and_lines_are_cut_and_say_so(void **state not_used)
{
    static char big[10240];
    for (uint64_t format = 0; format < SETTINGS_LOG_FORMAT_WORDS; format++)
        for (unsigned octet = 0; octet < 256; octet += 51) {
            struct text fields[RECORD_FIELDS];
            struct buffer line released_by(buffer_done) = buffer_new(1 << 20);
            struct arena arena released_by(arena_done) = arena_new(1 << 20);
            for (size_t i = 0; i < sizeof big; i++)
                big[i] = (char)octet;
            struct record_event event;
            struct text got =
                line_of(&line, (struct text[]){TEXT("v"), text_of(big, sizeof big), TEXT("w"), TEXT("x")}, 4, format);
            assert_true(record_line_parse(text_first(got, got.length - 1), &arena, &event));
            struct text value = record_field(&event, TEXT("v"));
            assert_true(value.length <= RECORD_VALUE_LIMIT + 5 && text_ends_with(value, TEXT("[cut]")));
            assert_true(text_equals(record_field(&event, TEXT("w")), TEXT("x")));
            buffer_clear(&line);
            char names[RECORD_FIELDS][2];
            for (size_t i = 0; i < RECORD_FIELDS; i += 2) {
                names[i][0] = (char)('a' + i / 26);
                names[i][1] = (char)('a' + i % 26);
                fields[i] = text_of(names[i], 2);
                fields[i + 1] = text_of(big, sizeof big);
            }
            got = line_of(&line, fields, RECORD_FIELDS, format);
            assert_true(got.length <= RECORD_LINE_LIMIT);
            assert_true(record_line_parse(text_first(got, got.length - 1), &arena, &event));
            assert_true(text_equals(record_field(&event, TEXT("cut")), TEXT("yes")));
        }
}

static void a_character_is_not_cut_in_two(void **state not_used)
{
    char room[32];
    assert_true(text_equals(record_cut(TEXT("abcdefgh\xc3\xa9xyz"), 9, room), TEXT("abcdefgh[cut]")));
    assert_true(text_equals(record_cut(TEXT("abc"), 3, room), TEXT("abc")));
    assert_true(text_equals(record_cut(TEXT("\x80\x80\x80\x80\x80\x80\x80\x80"), 5, room), TEXT("\x80\x80\x80[cut]")) ||
                text_equals(record_cut(TEXT("\x80\x80\x80\x80\x80\x80\x80\x80"), 5, room), TEXT("\x80\x80[cut]")));
}

static void names_can_not_carry_a_line_break(void **state not_used)
{
    struct buffer line released_by(buffer_done) = buffer_new(1 << 16);
    struct text fields[] = {TEXT("a\nb c="), TEXT("1"), TEXT(""), TEXT("2")};
    struct record_event event = {.time_ms = INT64_MAX,
                                 .level = RECORD_ALARM,
                                 .role = TEXT("fr\nont"),
                                 .name = TEXT(""),
                                 .fields = fields,
                                 .count = 4};
    assert_true(record_line_append(&line, &event, SETTINGS_LOG_FORMAT_TEXT));
    assert_true(text_equals(buffer_text(&line), TEXT("9999-12-31T23:59:59.999Z fr_ont alarm _ a_b_c_=1 _=2\n")));
}

static void what_is_no_line_is_refused(void **state not_used)
{
    static const struct text lines[] = {
        TEXT_INIT(""),
        TEXT_INIT(" "),
        TEXT_INIT("2025-11-25T12:58:53.123Z"),
        TEXT_INIT("2025-11-25T12:58:53.123Z front"),
        TEXT_INIT("2025-11-25T12:58:53.123Z front info"),
        TEXT_INIT("2025-11-25T12:58:53.123Z front loud x"),
        TEXT_INIT("2025-13-25T12:58:53.123Z front info x"),
        TEXT_INIT("2025-11-25T12:58:53.123Z front info x a"),
        TEXT_INIT("2025-11-25T12:58:53.123Z front info x a=\"b"),
        TEXT_INIT("2025-11-25T12:58:53.123Z front info x a=\"b\\q\""),
        TEXT_INIT("2025-11-25T12:58:53.123Z front info x a=\"b\\"),
        TEXT_INIT("2025-11-25T12:58:53.123Z front info x a=\"\\x1\""),
        TEXT_INIT("2025-11-25T12:58:53.123Z front info x a=\"b\"c"),
        TEXT_INIT("2025-11-25T12:58:53.123Z front info x  a=b"),
        TEXT_INIT("2025-11-25T12:58:53.123Z front info x =b"),
        TEXT_INIT("{}"),
        TEXT_INIT("{"),
        TEXT_INIT("{\"time\":\"2025-11-25T12:58:53.123Z\",\"role\":\"a\",\"level\":\"info\",\"event\":\"e\"}"),
        TEXT_INIT("{\"time\":\"2025-11-25T12:58:53.123Z\",\"role\":\"a\",\"level\":\"info\",\"event\":\"e\",\"fields\":"
                  "{\"a\":1}}"),
    };
    for (size_t i = 0; i < length_of(lines); i++) {
        struct arena arena released_by(arena_done) = arena_new(1 << 16);
        struct record_event event;
        if (record_line_parse(lines[i], &arena, &event))
            fail_msg("taken: %.*s", TEXT_ARGUMENTS(lines[i]));
    }
}

static void a_journal_entry_carries_any_octet(void **state not_used)
{
    struct buffer b released_by(buffer_done) = buffer_new(1 << 16);
    struct text fields[] = {TEXT("message_id"), TEXT("a\nMESSAGE=forged")};
    struct record_event event = {.time_ms = moment,
                                 .level = RECORD_WARNING,
                                 .role = TEXT("front"),
                                 .name = TEXT("refused"),
                                 .fields = fields,
                                 .count = 2};
    assert_true(record_journal_append(&b, &event));
    assert_true(text_equals(buffer_text(&b),
                            TEXT("PRIORITY\n\1\0\0\0\0\0\0\0004\nSYSLOG_IDENTIFIER\n\10\0\0\0\0\0\0\0portiere\n"
                                 "MESSAGE\n\54\0\0\0\0\0\0\0front refused message_id=\"a\\nMESSAGE=forged\"\n"
                                 "PORTIERE_ROLE\n\5\0\0\0\0\0\0\0front\nPORTIERE_EVENT\n\7\0\0\0\0\0\0\0refused\n"
                                 "PORTIERE_FIELD_MESSAGE_ID\n\20\0\0\0\0\0\0\0a\nMESSAGE=forged\n")));
}

struct sentence {
    struct text event, en, it;
};
static const struct sentence sentences[] = {
#define SENTENCE(name, english, italian) {.event = TEXT_INIT(name), .en = TEXT_INIT(english), .it = TEXT_INIT(italian)},
#include "record/sentences.def"
#undef SENTENCE
};

static bool is_balanced(struct text template)
{
    int braces = 0, brackets = 0;
    for (size_t i = 0; i < template.length; i++) {
        char c = template.bytes[i];
        braces += (c == '{') - (c == '}');
        brackets += (c == '[') - (c == ']');
        if (braces < 0 || braces > 1 || brackets < 0 || brackets > 1)
            return false;
    }
    return braces == 0 && brackets == 0 && template.length > 0;
}

static void every_sentence_is_whole_in_both_languages(void **state not_used)
{
    for (size_t i = 0; i < length_of(sentences); i++) {
        assert_true(is_balanced(sentences[i].en) && is_balanced(sentences[i].it));
        for (size_t j = 0; j < i; j++)
            assert_false(text_equals(sentences[i].event, sentences[j].event));
    }
}

static void a_sentence_leaves_out_what_is_not_known(void **state not_used)
{
    static const struct {
        struct text name, fields[8];
        size_t count;
        enum settings_language language;
        struct text words;
    } cases[] = {
        {TEXT_INIT("connection-opened"),
         {TEXT_INIT("client"), TEXT_INIT("192.0.2.1"), TEXT_INIT("listener"), TEXT_INIT("smtp *:25")},
         4,
         SETTINGS_ENGLISH,
         TEXT_INIT("192.0.2.1 connected to smtp *:25.")},
        {TEXT_INIT("connection-opened"),
         {TEXT_INIT("client"), TEXT_INIT("192.0.2.1")},
         2,
         SETTINGS_ITALIAN,
         TEXT_INIT("192.0.2.1 si è collegato.")},
        {TEXT_INIT("recipient-deferred"),
         {TEXT_INIT("recipient"), TEXT_INIT("a@b\n"), TEXT_INIT("reply"), TEXT_INIT("451 4.3.0 later")},
         4,
         SETTINGS_ENGLISH,
         TEXT_INIT("For a@b\\n: not possible now (451 4.3.0 later).")},
        {TEXT_INIT("never-heard-of"),
         {TEXT_INIT("a"), TEXT_INIT("b")},
         2,
         SETTINGS_ENGLISH,
         TEXT_INIT("queue: never-heard-of")},
    };
    for (size_t i = 0; i < length_of(cases); i++) {
        struct buffer b released_by(buffer_done) = buffer_new(4096);
        struct record_event event = {
            .role = TEXT("queue"), .name = cases[i].name, .fields = cases[i].fields, .count = cases[i].count};
        record_sentence_append(&b, &event, cases[i].language);
        if (!text_equals(buffer_text(&b), cases[i].words))
            fail_msg("got %.*s", TEXT_ARGUMENTS(buffer_text(&b)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_strangers_octets_stay_in_their_line_and_come_back),
        cmocka_unit_test(every_pair_of_octets_comes_back),
        cmocka_unit_test(long_values_and_lines_are_cut_and_say_so),
        cmocka_unit_test(a_character_is_not_cut_in_two),
        cmocka_unit_test(names_can_not_carry_a_line_break),
        cmocka_unit_test(what_is_no_line_is_refused),
        cmocka_unit_test(a_journal_entry_carries_any_octet),
        cmocka_unit_test(every_sentence_is_whole_in_both_languages),
        cmocka_unit_test(a_sentence_leaves_out_what_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
