/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <stdio.h>
#include <cmocka.h>

static void numbers_are_whole_and_in_range(void **state not_used)
{
    static const struct {
        const char *input;
        uint64_t maximum;
        bool is_number;
        uint64_t number;
    } rows[] = {
        {"0", 10, true, 0}, {"10", 10, true, 10}, {"11", 10, false, 0}, {"", 10, false, 0}, {"-1", 10, false, 0},
        {"1x", 100, false, 0}, {" 1", 100, false, 0}, {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0}, {"000000000000000000001", UINT64_MAX, false, 0},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        uint64_t number = 77;
        assert_int_equal(text_number(text_of_terminated(rows[i].input), rows[i].maximum, &number), rows[i].is_number);
        assert_true(number == (rows[i].is_number ? rows[i].number : 77));
    }
}

static void words_are_taken_from_the_front(void **state not_used)
{
    struct text rest = TEXT("  MAIL\tFROM:<a> x");
    assert_true(text_equals(text_take_word(&rest), TEXT("MAIL")));
    assert_true(text_equals(text_take_word(&rest), TEXT("FROM:<a>")));
    assert_true(text_equals(text_take_word(&rest), TEXT("x")));
    assert_true(text_is_empty(text_take_word(&rest)));
    struct text list = TEXT("a,,b");
    assert_true(text_equals(text_take_until(&list, ','), TEXT("a")));
    assert_true(text_is_empty(text_take_until(&list, ',')));
    assert_true(text_equals(text_take_until(&list, ','), TEXT("b")));
}

static void a_buffer_never_passes_its_limit(void **state not_used)
{
    struct buffer b = buffer_new(5);
    assert_true(buffer_append(&b, TEXT("abc")));
    assert_false(buffer_append(&b, TEXT("def")));
    assert_true(b.is_full);
    assert_true(text_equals(buffer_text(&b), TEXT("abc")));
    assert_true(buffer_append_number(&b, 42));
    buffer_drop_front(&b, 2);
    assert_true(text_equals(buffer_text(&b), TEXT("c42")));
    buffer_done(&b);
}

static void an_arena_refuses_over_its_limit(void **state not_used)
{
    struct arena a = arena_new(5000);
    assert_non_null(arena_take(&a, 4000));
    assert_null(arena_take(&a, 2000));
    assert_non_null(arena_take(&a, 1000));
    assert_null(arena_take(&a, 1));
    assert_null(arena_take_array(&a, SIZE_MAX / 2, 4));
    struct text copy = TEXT_NONE;
    assert_false(arena_copy(&a, TEXT("x"), &copy));
    arena_done(&a);
    assert_true(arena_copy(&a, TEXT("x"), &copy));
    arena_done(&a);
}

static void a_map_finds_what_was_put_and_nothing_removed(void **state not_used)
{
    struct map m = map_new(1000, 7);
    static int values[1000];
    char key[16];
    for (int i = 0; i < 1000; i++) {
        int length = snprintf(key, sizeof key, "key%d", i);
        assert_true(map_put(&m, text_of(key, (size_t)length), &values[i]));
    }
    assert_false(map_put(&m, TEXT("one more"), &values[0]));
    for (int i = 0; i < 1000; i += 3) {
        int length = snprintf(key, sizeof key, "key%d", i);
        assert_ptr_equal(map_remove(&m, text_of(key, (size_t)length)), &values[i]);
    }
    for (int i = 0; i < 1000; i++) {
        int length = snprintf(key, sizeof key, "key%d", i);
        assert_ptr_equal(map_find(&m, text_of(key, (size_t)length)), i % 3 ? &values[i] : NULL);
    }
    size_t place = 0, seen = 0;
    struct text found;
    void *value;
    while (map_next(&m, &place, &found, &value))
        seen++;
    assert_int_equal(seen, m.count);
    map_done(&m);
}

static void dates_are_right_far_from_today(void **state not_used)
{
    static const struct {
        int64_t wall_ms;
        const char *mail, *log;
    } rows[] = {
        {0, "Thu, 1 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00.000Z"},
        {1764075533123, "Tue, 25 Nov 2025 12:58:53 +0000", "2025-11-25T12:58:53.123Z"},
        {2147483648000, "Tue, 19 Jan 2038 03:14:08 +0000", "2038-01-19T03:14:08.000Z"},
        {4102444800000, "Fri, 1 Jan 2100 00:00:00 +0000", "2100-01-01T00:00:00.000Z"},
        {951782400000, "Tue, 29 Feb 2000 00:00:00 +0000", "2000-02-29T00:00:00.000Z"},
        {-1000, "Wed, 31 Dec 1969 23:59:59 +0000", "1969-12-31T23:59:59.000Z"},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer b released_by(buffer_done) = buffer_new(100);
        moment_append_mail_date(&b, rows[i].wall_ms);
        assert_true(text_equals(buffer_text(&b), text_of_terminated(rows[i].mail)));
        buffer_clear(&b);
        moment_append_log_time(&b, rows[i].wall_ms);
        assert_true(text_equals(buffer_text(&b), text_of_terminated(rows[i].log)));
        int64_t back;
        assert_true(moment_parse_log_time(buffer_text(&b), &back));
        assert_true(back == rows[i].wall_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_whole_and_in_range),
        cmocka_unit_test(words_are_taken_from_the_front),
        cmocka_unit_test(a_buffer_never_passes_its_limit),
        cmocka_unit_test(an_arena_refuses_over_its_limit),
        cmocka_unit_test(a_map_finds_what_was_put_and_nothing_removed),
        cmocka_unit_test(dates_are_right_far_from_today),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
