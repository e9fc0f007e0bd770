/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/filter.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static const struct {
    struct text name, in, out;
} cases[] = {
    {TEXT_INIT("nothing to take"), TEXT_INIT("A: b\r\n\r\nbody\r\n"), TEXT_INIT("A: b\r\n\r\nbody\r\n")},
    {TEXT_INIT("first"), TEXT_INIT("Return-Path: <x@y>\r\nA: b\r\n\r\nbody"), TEXT_INIT("A: b\r\n\r\nbody")},
    {TEXT_INIT("last, any case, folded"), TEXT_INIT("A: b\r\nRETURN-path:\r\n <x\r\n\t@y>\r\n\r\nbody"),
     TEXT_INIT("A: b\r\n\r\nbody")},
    {TEXT_INIT("several"), TEXT_INIT("Return-Path: 1\r\nReturn-Path: 2\r\nA: b\r\nReturn-Path: 3\r\n\r\nb"),
     TEXT_INIT("A: b\r\n\r\nb")},
    {TEXT_INIT("blanks before the colon"), TEXT_INIT("Return-Path \t: x\r\nA: b\r\n\r\n"), TEXT_INIT("A: b\r\n\r\n")},
    {TEXT_INIT("in the body it stays"), TEXT_INIT("A: b\r\n\r\nReturn-Path: <x@y>\r\n"),
     TEXT_INIT("A: b\r\n\r\nReturn-Path: <x@y>\r\n")},
    {TEXT_INIT("behind a line that is no field"), TEXT_INIT("A: b\r\nno field\r\nReturn-Path: x\r\n"),
     TEXT_INIT("A: b\r\nno field\r\nReturn-Path: x\r\n")},
    {TEXT_INIT("names that only begin so"), TEXT_INIT("Return-Paths: x\r\nReturn-Pat: y\r\nXReturn-Path: z\r\n\r\n"),
     TEXT_INIT("Return-Paths: x\r\nReturn-Pat: y\r\nXReturn-Path: z\r\n\r\n")},
    {TEXT_INIT("in a folded line it is no field"), TEXT_INIT("A: b\r\n Return-Path: x\r\nC: d\r\n\r\n"),
     TEXT_INIT("A: b\r\n Return-Path: x\r\nC: d\r\n\r\n")},
    {TEXT_INIT("a bare line feed ends no line"), TEXT_INIT("A: b\nReturn-Path: x\r\nReturn-Path: y\nC: d\r\n\r\n"),
     TEXT_INIT("A: b\nReturn-Path: x\r\n\r\n")},
    {TEXT_INIT("the name without a colon ends the header"), TEXT_INIT("Return-Path\r\nReturn-Path: x\r\n"),
     TEXT_INIT("Return-Path\r\nReturn-Path: x\r\n")},
    {TEXT_INIT("a blank first is the body"), TEXT_INIT(" Return-Path: x\r\nReturn-Path: y\r\n"),
     TEXT_INIT(" Return-Path: x\r\nReturn-Path: y\r\n")},
    {TEXT_INIT("cut within the name"), TEXT_INIT("A: b\r\nReturn-Pa"), TEXT_INIT("A: b\r\nReturn-Pa")},
    {TEXT_INIT("cut within the value"), TEXT_INIT("A: b\r\nReturn-Path: x"), TEXT_INIT("A: b\r\n")},
    {TEXT_INIT("nothing else"), TEXT_INIT("Return-Path: x\r\n"), TEXT_INIT("")},
    {TEXT_INIT("empty"), TEXT_INIT(""), TEXT_INIT("")},
    {TEXT_INIT("CR LF split from a CR"), TEXT_INIT("A: b\r\r\nReturn-Path: x\r\r\r\nC: d\r\n\r\n"),
     TEXT_INIT("A: b\r\r\nC: d\r\n\r\n")},
};

static void collect(void *context, struct text octets)
{
    assert_true(buffer_append(context, octets));
}

static void check(size_t index, const size_t *cuts, size_t cut_count)
{
    struct mailbox_filter filter = {.state = MAILBOX_FILTER_FIRST_LINE};
    struct buffer out released_by(buffer_done) = buffer_new(4096);
    struct text rest = cases[index].in;
    for (size_t i = 0; i < cut_count; i++)
        mailbox_filter_take(&filter, text_take(&rest, cuts[i]), collect, &out);
    mailbox_filter_take(&filter, rest, collect, &out);
    mailbox_filter_end(&filter, collect, &out);
    if (!text_equals(buffer_text(&out), cases[index].out))
        fail_msg("%.*s: got \"%.*s\"", TEXT_ARGUMENTS(cases[index].name), (int)out.length, out.bytes);
}

static void forged_fields_go_wherever_the_pieces_are_cut(void **state not_used)
{
    for (size_t i = 0; i < length_of(cases); i++) {
        size_t length = cases[i].in.length;
        size_t single[512];
        check(i, NULL, 0);
        for (size_t a = 0; a <= length; a++)
            for (size_t b = 0; a + b <= length; b++)
                check(i, (size_t[]){a, b}, 2);
        for (size_t a = 0; a < length; a++)
            single[a] = 1;
        check(i, single, length);
    }
}

static void more_blanks_than_are_held_lose_no_octet(void **state not_used)
{
    struct mailbox_filter filter = {.state = MAILBOX_FILTER_FIRST_LINE};
    struct buffer in released_by(buffer_done) = buffer_new(4096);
    struct buffer out released_by(buffer_done) = buffer_new(4096);
    assert_true(buffer_append(&in, TEXT("Return-Path")));
    for (size_t i = 0; i < MAILBOX_FILTER_HELD; i++)
        assert_true(buffer_append_octet(&in, ' '));
    assert_true(buffer_append(&in, TEXT(": x\r\nA: b\r\n\r\n")));
    for (size_t i = 0; i < in.length; i++)
        mailbox_filter_take(&filter, text_of(in.bytes + i, 1), collect, &out);
    mailbox_filter_end(&filter, collect, &out);
    assert_true(text_equals(buffer_text(&out), buffer_text(&in)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forged_fields_go_wherever_the_pieces_are_cut),
        cmocka_unit_test(more_blanks_than_are_held_lose_no_octet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
