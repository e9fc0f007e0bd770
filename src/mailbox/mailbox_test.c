/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/mailbox.h"
#include "mailbox/scratch_for_tests.h"

#include "system/system.h"

#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static const int64_t now_ms = 1764075533123;
static const struct text body =
    TEXT_INIT("Received: x\r\nFrom: a@b.test\r\nMessage-ID: <1@b.test>\r\nSubject: hi\r\n\r\nline\r\n.\r\n");

static struct mailbox_order order_of(const char *account, uint64_t id)
{
    return (struct mailbox_order){.account = text_of_terminated(account),
                                  .id = id,
                                  .arrived_ms = now_ms - 500,
                                  .now_ms = now_ms,
                                  .sender = {.local = TEXT("a"), .domain = TEXT("b.test")}};
}

struct scene {
    int root;
    struct mailbox_store *store;
};

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    scene->root = scratch_new();
    scene->store = mailbox_store_new(scene->root);
    mailbox_store_options(scene->store, &(struct mailbox_options){.host = TEXT("mx.casa.test")});
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    mailbox_store_free(&scene->store);
    scratch_free(&scene->root);
    free(scene);
    return 0;
}

static bool has_file(struct scene *scene, const char *path)
{
    return faccessat(scene->root, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void a_message_stands_in_new_octet_for_octet(void **state)
{
    struct scene *scene = *state;
    struct stat facts;
    assert_int_equal(scratch_deliver(scene->store, order_of("Mario@Casa.TEST", 0x1234), body), MAILBOX_DELIVERED);
    assert_int_equal(scratch_count_equal(scene->root, "casa.test/mario/new", body), 1);
    assert_int_equal(scratch_count(scene->root, "casa.test/mario/tmp"), 0);
    assert_true(has_file(scene, "casa.test/mario/cur"));
    assert_true(has_file(scene, "casa.test/mario/new/1764075532.M623000Q0000000000001234.mx.casa.test,S=77"));
    assert_int_equal(fstatat(scene->root, "casa.test/mario", &facts, 0), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    assert_false(has_file(scene, "casa.test/mario/maildirsize"));
}

static void any_octets_come_back_as_they_were(void **state)
{
    struct scene *scene = *state;
    struct buffer odd released_by(buffer_done) = buffer_new(1 << 20);
    assert_true(buffer_append(&odd, TEXT("A: b\r\n\r\n")));
    for (unsigned i = 0; i < 200000; i++)
        assert_true(buffer_append_octet(&odd, (char)(i * 7 + i / 256)));
    struct mailbox_order order = order_of("a@b.test", 7);
    order.total = odd.length;
    struct mailbox_delivery *delivery = mailbox_delivery_begin(scene->store, &order);
    struct text rest = buffer_text(&odd);
    while (rest.length)
        mailbox_delivery_write(delivery, text_take(&rest, 4099));
    mailbox_deliveries_commit(scene->store, &delivery, 1);
    assert_int_equal(mailbox_delivery_outcome(delivery), MAILBOX_DELIVERED);
    mailbox_delivery_free(&delivery);
    assert_int_equal(scratch_count_equal(scene->root, "b.test/a/new", buffer_text(&odd)), 1);
}

static void an_empty_message_is_a_message(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 1), TEXT("")), MAILBOX_DELIVERED);
    assert_int_equal(scratch_count_equal(scene->root, "b.test/a/new", TEXT("")), 1);
}

static void a_batch_serves_many_mailboxes(void **state)
{
    struct scene *scene = *state;
    struct mailbox_delivery *batch[MAILBOX_BATCH];
    char account[] = "user00@casa.test";
    for (unsigned i = 0; i < MAILBOX_BATCH; i++) {
        account[4] = (char)('0' + i % 32 / 10);
        account[5] = (char)('0' + i % 32 % 10);
        batch[i] = scratch_begin(scene->store, order_of(account, i + 1), body);
    }
    mailbox_deliveries_commit(scene->store, batch, MAILBOX_BATCH);
    for (unsigned i = 0; i < MAILBOX_BATCH; i++) {
        assert_int_equal(mailbox_delivery_outcome(batch[i]), MAILBOX_DELIVERED);
        mailbox_delivery_free(&batch[i]);
    }
    assert_int_equal(scratch_count_equal(scene->root, "casa.test/user00/new", body), MAILBOX_BATCH / 32);
    assert_int_equal(scratch_count_equal(scene->root, "casa.test/user31/new", body), MAILBOX_BATCH / 32);
}

static void a_repeat_makes_no_double(void **state)
{
    struct scene *scene = *state;
    struct mailbox_order order = order_of("a@b.test", 9);
    assert_int_equal(scratch_deliver(scene->store, order, body), MAILBOX_DELIVERED);
    assert_int_equal(scratch_deliver(scene->store, order, body), MAILBOX_ALREADY_THERE);
    /* a reader has taken it meanwhile, and the host has another name */
    mailbox_store_options(scene->store,
                          &(struct mailbox_options){.host = TEXT("other.test"), .adds_return_path = true});
    assert_int_equal(renameat(scene->root, "b.test/a/new/1764075532.M623000Q0000000000000009.mx.casa.test,S=77",
                              scene->root, "b.test/a/cur/1764075532.M623000Q0000000000000009.mx.casa.test,S=77:2,FS"),
                     0);
    order.may_be_repeat = true;
    assert_int_equal(scratch_deliver(scene->store, order, body), MAILBOX_ALREADY_THERE);
    assert_int_equal(scratch_count(scene->root, "b.test/a/new"), 0);
    assert_int_equal(scratch_count(scene->root, "b.test/a/tmp"), 0);
    order.id = 10;
    assert_int_equal(scratch_deliver(scene->store, order, body), MAILBOX_DELIVERED);
}

static void the_same_message_twice_in_one_batch_is_one_file(void **state)
{
    struct scene *scene = *state;
    struct mailbox_delivery *batch[] = {scratch_begin(scene->store, order_of("a@b.test", 9), body),
                                        scratch_begin(scene->store, order_of("a@b.test", 9), body)};
    mailbox_deliveries_commit(scene->store, batch, 2);
    assert_int_equal(mailbox_delivery_outcome(batch[0]), MAILBOX_DELIVERED);
    assert_int_equal(mailbox_delivery_outcome(batch[1]), MAILBOX_ALREADY_THERE);
    mailbox_delivery_free(&batch[0]);
    mailbox_delivery_free(&batch[1]);
    assert_int_equal(scratch_count(scene->root, "b.test/a/new"), 1);
    assert_int_equal(scratch_count(scene->root, "b.test/a/tmp"), 0);
}

static void a_delivery_that_is_dropped_leaves_nothing(void **state)
{
    struct scene *scene = *state;
    struct mailbox_order order = order_of("a@b.test", 3);
    order.total = 100;
    struct mailbox_delivery *delivery = mailbox_delivery_begin(scene->store, &order);
    mailbox_delivery_write(delivery, TEXT("A: b\r\n"));
    assert_int_equal(scratch_count(scene->root, "b.test/a/tmp"), 1);
    mailbox_deliveries_commit(scene->store, &delivery, 1);
    struct result result;
    mailbox_delivery_result(delivery, &result);
    assert_int_equal(mailbox_delivery_outcome(delivery), MAILBOX_CUT_SHORT);
    assert_int_equal(result.class, RESULT_DEFERRED);
    mailbox_delivery_free(&delivery);
    delivery = mailbox_delivery_begin(scene->store, &order);
    mailbox_delivery_free(&delivery);
    assert_int_equal(scratch_count(scene->root, "b.test/a/tmp"), 0);
    assert_int_equal(scratch_count(scene->root, "b.test/a/new"), 0);
}

static void names_never_leave_their_folder(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *account, *folder;
    } cases[] = {
        {"\"../../x\"@casa.test", "casa.test/\"..\\057..\\057x\"/new"},
        {"../../x@casa.test", NULL},
        {"a/b@casa.test", "casa.test/a\\057b/new"},
        {"\"a/b:c\\\\d\"@casa.test", "casa.test/\"a\\057b\\072c\\134\\134d\"/new"},
        {"\".hidden\"@casa.test", "casa.test/\".hidden\"/new"},
        {"a@[127.0.0.1]", "[127.0.0.1]/a/new"},
        {"a@[IPv6:::1]", "[ipv6\\072\\072\\0721]/a/new"},
        {"m\xc3\xa0rio@casa.test", "casa.test/m\xc3\xa0rio/new"},
        {"\"a@b\"@casa.test", "casa.test/\"a@b\"/new"},
        {"%n;$(id)|x@casa.test", NULL},
    };
    for (size_t i = 0; i < length_of(cases); i++) {
        enum mailbox_outcome outcome = scratch_deliver(scene->store, order_of(cases[i].account, i + 1), body);
        assert_int_equal(outcome, cases[i].folder ? MAILBOX_DELIVERED : MAILBOX_BAD_NAME);
        if (cases[i].folder && scratch_count_equal(scene->root, cases[i].folder, body) != 1)
            fail_msg("%s is not there", cases[i].folder);
    }
    assert_int_equal(scratch_deliver(scene->store, order_of("", 99), body), MAILBOX_BAD_NAME);
    assert_int_equal(scratch_deliver(scene->store, order_of("postmaster", 99), body), MAILBOX_BAD_NAME);
    struct folder_walk *walk released_by(folder_walk_free) = NULL;
    struct text name;
    assert_int_equal(folder_walk_new(scene->root, &walk), 0);
    while (folder_walk_next(walk, &name))
        assert_true(text_equals(name, TEXT("casa.test")) || name.bytes[0] == '[');
}

static void a_host_name_is_made_safe_in_file_names(void **state)
{
    struct scene *scene = *state;
    mailbox_store_options(scene->store, &(struct mailbox_options){.host = TEXT("a/b:c")});
    assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 1), body), MAILBOX_DELIVERED);
    assert_true(has_file(scene, "b.test/a/new/1764075532.M623000Q0000000000000001.a\\057b\\072c,S=77"));
}

static void a_link_on_the_way_is_refused_for_now(void **state)
{
    static const char *const links[] = {"casa.test", "casa.test/mario", "casa.test/mario/tmp", "casa.test/mario/new"};
    for (size_t i = 0; i < length_of(links); i++) {
        struct scene *scene = *state;
        int elsewhere = scratch_new();
        char path[64];
        assert_true(snprintf(path, sizeof path, "/proc/self/fd/%d", elsewhere) > 0);
        char target[256];
        ssize_t length = readlink(path, target, sizeof target - 1);
        assert_true(length > 0);
        target[length] = '\0';
        if (i > 0)
            assert_int_equal(scratch_deliver(scene->store, order_of("mario@casa.test", 1), body),
                             i == 1 ? MAILBOX_DELIVERED : MAILBOX_ALREADY_THERE);
        if (i == 1)
            assert_int_equal(renameat(scene->root, "casa.test/mario", scene->root, "casa.test/kept"), 0);
        if (i > 1) {
            assert_int_equal(renameat(scene->root, links[i], scene->root, "casa.test/moved"), 0);
        }
        assert_int_equal(symlinkat(target, scene->root, links[i]), 0);
        struct mailbox_delivery *delivery = scratch_begin(scene->store, order_of("mario@casa.test", 2), body);
        mailbox_deliveries_commit(scene->store, &delivery, 1);
        struct result result;
        mailbox_delivery_result(delivery, &result);
        assert_int_equal(mailbox_delivery_outcome(delivery), MAILBOX_NOT_SAFE);
        assert_int_equal(result.class, RESULT_DEFERRED);
        assert_true(text_equals(result.enhanced, TEXT("4.3.0")));
        mailbox_delivery_free(&delivery);
        assert_int_equal(unlinkat(scene->root, links[i], 0), 0);
        if (i == 1)
            assert_int_equal(renameat(scene->root, "casa.test/kept", scene->root, "casa.test/mario"), 0);
        if (i > 1)
            assert_int_equal(renameat(scene->root, "casa.test/moved", scene->root, links[i]), 0);
        assert_int_equal(scratch_count(elsewhere, "."), 0);
        scratch_free(&elsewhere);
    }
}

static void a_foreign_owner_is_refused_for_now(void **state)
{
    struct scene *scene = *state;
    if (geteuid() != 0)
        skip(); /* only root can give a folder away */
    assert_int_equal(scratch_deliver(scene->store, order_of("mario@casa.test", 1), body), MAILBOX_DELIVERED);
    assert_int_equal(fchownat(scene->root, "casa.test/mario", 12345, 12345, 0), 0);
    assert_int_equal(scratch_deliver(scene->store, order_of("mario@casa.test", 2), body), MAILBOX_NOT_SAFE);
    assert_int_equal(fchownat(scene->root, "casa.test/mario", 0, 0, 0), 0);
    assert_int_equal(scratch_deliver(scene->store, order_of("mario@casa.test", 2), body), MAILBOX_DELIVERED);
}

static void a_file_where_a_folder_should_be_is_refused_for_now(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(file_replace(scene->root, TEXT("casa.test"), TEXT("x"), 0600), 0);
    assert_int_equal(scratch_deliver(scene->store, order_of("mario@casa.test", 1), body), MAILBOX_NOT_SAFE);
}

static struct result result_of(struct scene *scene, struct mailbox_order order, struct text octets)
{
    struct result result;
    struct mailbox_delivery *delivery = scratch_begin(scene->store, order, octets);
    mailbox_deliveries_commit(scene->store, &delivery, 1);
    mailbox_delivery_result(delivery, &result);
    mailbox_delivery_free(&delivery);
    return result;
}

static void a_full_mailbox_is_told_as_the_setting_says(void **state)
{
    struct scene *scene = *state;
    struct mailbox_order order = order_of("a@b.test", 1);
    order.quota = body.length * 2 + 10;
    assert_int_equal(result_of(scene, order, body).class, RESULT_DELIVERED);
    order.id = 2;
    assert_int_equal(result_of(scene, order, body).class, RESULT_DELIVERED);
    order.id = 3;
    struct result full = result_of(scene, order, body);
    assert_int_equal(full.class, RESULT_DEFERRED);
    assert_int_equal(full.code, 452);
    assert_true(text_equals(full.enhanced, TEXT("4.2.2")));
    order.id = 2;
    order.may_be_repeat = true; /* it stands there: full or not, it was delivered */
    assert_int_equal(result_of(scene, order, body).class, RESULT_DELIVERED);
    mailbox_store_options(scene->store, &(struct mailbox_options){.host = TEXT("h"), .full_is_permanent = true});
    order.id = 3;
    full = result_of(scene, order, body);
    assert_int_equal(full.class, RESULT_FAILED);
    assert_int_equal(full.code, 552);
    assert_true(text_equals(full.enhanced, TEXT("5.2.2")));
    assert_int_equal(scratch_count(scene->root, "b.test/a/new"), 2);
    assert_int_equal(scratch_count(scene->root, "b.test/a/tmp"), 0);
}

static void a_batch_does_not_pass_the_quota_together(void **state)
{
    struct scene *scene = *state;
    struct mailbox_delivery *batch[4];
    for (unsigned i = 0; i < 4; i++) {
        struct mailbox_order order = order_of("a@b.test", i + 1);
        order.quota = body.length * 3;
        batch[i] = scratch_begin(scene->store, order, body);
    }
    mailbox_deliveries_commit(scene->store, batch, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(mailbox_delivery_outcome(batch[i]), i < 3 ? MAILBOX_DELIVERED : MAILBOX_FULL);
        mailbox_delivery_free(&batch[i]);
    }
}

static void what_dovecot_wrote_counts(void **state)
{
    static const struct {
        struct text file;
        bool fits;
    } cases[] = {
        {TEXT_INIT("1000S\n100 1\n200 2\n"), true},
        {TEXT_INIT("1000S,10C\n100 1\n-50 -1\n"), true},
        {TEXT_INIT("1000S\n990 1\n"), false},       /* one fresh line is believed */
        {TEXT_INIT("2000S\n990 1\n"), true},        /* another quota: counted anew */
        {TEXT_INIT("1000S\n500 1\n490 1\n"), true}, /* over it by several lines: counted anew */
        {TEXT_INIT("rubbish"), true},
        {TEXT_INIT(""), true},
        {TEXT_INIT("1000S\n99999999999999999999 1\n"), true},
        {TEXT_INIT("1000S\n9223372036854775807 1\n9223372036854775807 1\n"), true},
    };
    for (size_t i = 0; i < length_of(cases); i++) {
        struct scene *scene = *state;
        struct mailbox_order order = order_of("a@b.test", i + 100);
        if (i == 0)
            assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 1), TEXT("x")), MAILBOX_DELIVERED);
        int home released_by(file_close) = scratch_step(scene->root, "b.test/a");
        assert_int_equal(file_replace(home, TEXT("maildirsize"), cases[i].file, 0600), 0);
        order.quota = 1000;
        order.now_ms = clock_wall_ms();
        assert_int_equal(scratch_deliver(scene->store, order, TEXT("0123456789\r\n")),
                         cases[i].fits ? MAILBOX_DELIVERED : MAILBOX_FULL);
    }
}

static void folders_beside_the_inbox_count_too(void **state)
{
    struct scene *scene = *state;
    struct mailbox_order order = order_of("a@b.test", 1);
    assert_int_equal(scratch_deliver(scene->store, order, TEXT("x")), MAILBOX_DELIVERED);
    int home released_by(file_close) = scratch_step(scene->root, "b.test/a");
    assert_int_equal(mkdirat(home, ".Sent", 0700), 0);
    assert_int_equal(mkdirat(home, ".Sent/cur", 0700), 0);
    int sent released_by(file_close) = scratch_step(home, ".Sent/cur");
    assert_int_equal(file_replace(sent, TEXT("1.a.h,S=900:2,S"), TEXT("the name tells the size"), 0600), 0);
    order.id = 2;
    order.quota = 950;
    assert_int_equal(scratch_deliver(scene->store, order, body), MAILBOX_FULL);
    order.quota = 1000;
    assert_int_equal(scratch_deliver(scene->store, order, body), MAILBOX_DELIVERED);
    struct buffer size released_by(buffer_done) = buffer_new(1024);
    assert_int_equal(file_read_whole(home, TEXT("maildirsize"), &size), 0);
    assert_true(text_equals(buffer_text(&size), TEXT("1000S\n901 2\n77 1\n")));
}

static void return_path_is_ours_alone(void **state)
{
    struct scene *scene = *state;
    struct text forged = TEXT("Return-Path: <liar@evil.test>\r\nA: b\r\n\r\nx\r\n");
    assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 1), forged), MAILBOX_DELIVERED);
    assert_int_equal(scratch_count_equal(scene->root, "b.test/a/new", TEXT("A: b\r\n\r\nx\r\n")), 1);
    mailbox_store_options(scene->store, &(struct mailbox_options){.host = TEXT("h"), .adds_return_path = true});
    assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 2), forged), MAILBOX_DELIVERED);
    assert_int_equal(
        scratch_count_equal(scene->root, "b.test/a/new", TEXT("Return-Path: <a@b.test>\r\nA: b\r\n\r\nx\r\n")), 1);
    struct mailbox_order null_sender = order_of("a@b.test", 3);
    null_sender.sender = (struct address){.local = TEXT_NONE, .domain = TEXT_NONE};
    assert_int_equal(scratch_deliver(scene->store, null_sender, forged), MAILBOX_DELIVERED);
    assert_int_equal(scratch_count_equal(scene->root, "b.test/a/new", TEXT("Return-Path: <>\r\nA: b\r\n\r\nx\r\n")), 1);
}

static void duplicates_go_when_the_setting_says_so(void **state)
{
    struct scene *scene = *state;
    struct text other_way =
        TEXT("Received: y\r\nFrom: a@b.test\r\nMessage-ID: <1@b.test>\r\nSubject: hi\r\n\r\nline\r\n.\r\n");
    struct text other_body =
        TEXT("Received: y\r\nFrom: a@b.test\r\nMessage-ID: <1@b.test>\r\nSubject: hi\r\n\r\nlane\r\n.\r\n");
    struct text no_id = TEXT("From: a@b.test\r\n\r\nx\r\n");
    assert_int_equal(scratch_deliver(scene->store, order_of("off@b.test", 1), body), MAILBOX_DELIVERED);
    assert_int_equal(scratch_deliver(scene->store, order_of("off@b.test", 2), body), MAILBOX_DELIVERED);
    mailbox_store_options(scene->store, &(struct mailbox_options){.host = TEXT("h"), .deletes_duplicates = true});
    assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 1), body), MAILBOX_DELIVERED);
    assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 2), other_way), MAILBOX_DUPLICATE);
    assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 3), other_body), MAILBOX_DELIVERED);
    assert_int_equal(scratch_deliver(scene->store, order_of("b@b.test", 4), body), MAILBOX_DELIVERED);
    assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 5), no_id), MAILBOX_DELIVERED);
    assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 6), no_id), MAILBOX_DELIVERED);
    struct mailbox_order next_day = order_of("a@b.test", 7);
    next_day.now_ms += 25 * 60 * 60 * 1000;
    assert_int_equal(scratch_deliver(scene->store, next_day, body), MAILBOX_DELIVERED);
    struct mailbox_delivery *batch[] = {scratch_begin(scene->store, order_of("c@b.test", 8), body),
                                        scratch_begin(scene->store, order_of("c@b.test", 9), body)};
    mailbox_deliveries_commit(scene->store, batch, 2);
    assert_int_equal(mailbox_delivery_outcome(batch[0]), MAILBOX_DELIVERED);
    assert_int_equal(mailbox_delivery_outcome(batch[1]), MAILBOX_DUPLICATE);
    mailbox_delivery_free(&batch[0]);
    mailbox_delivery_free(&batch[1]);
    assert_int_equal(scratch_count(scene->root, "b.test/c/new"), 1);
    assert_int_equal(scratch_count(scene->root, "b.test/c/tmp"), 0);
}

static void old_leftovers_in_tmp_are_swept(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 1), body), MAILBOX_DELIVERED);
    assert_int_equal(scratch_deliver(scene->store, order_of("z@y.test", 1), body), MAILBOX_DELIVERED);
    int tmp released_by(file_close) = scratch_step(scene->root, "b.test/a/tmp");
    int other released_by(file_close) = scratch_step(scene->root, "y.test/z/tmp");
    assert_int_equal(file_replace(tmp, TEXT("left"), TEXT("half"), 0600), 0);
    assert_int_equal(file_replace(other, TEXT("left"), TEXT("half"), 0600), 0);
    assert_int_equal(symlinkat("/nowhere", scene->root, "link.test"), 0);
    int64_t now = clock_wall_ms();
    size_t rounds = 0;
    while (mailbox_store_sweep(scene->store, now + 35 * 60 * 60 * 1000))
        rounds++;
    assert_int_equal(rounds, 2);
    assert_int_equal(scratch_count(scene->root, "b.test/a/tmp"), 1);
    while (mailbox_store_sweep(scene->store, now + 37 * 60 * 60 * 1000))
        rounds++;
    assert_int_equal(scratch_count(scene->root, "b.test/a/tmp"), 0);
    assert_int_equal(scratch_count(scene->root, "y.test/z/tmp"), 0);
    assert_int_equal(scratch_count(scene->root, "b.test/a/new"), 1);
}

static void a_mailbox_that_was_removed_is_made_again(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 1), body), MAILBOX_DELIVERED);
    assert_int_equal(renameat(scene->root, "b.test", scene->root, "gone"), 0);
    assert_int_equal(scratch_deliver(scene->store, order_of("a@b.test", 2), body), MAILBOX_DELIVERED);
    assert_int_equal(scratch_count(scene->root, "b.test/a/new"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_A_SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        IN_A_SCENE(a_message_stands_in_new_octet_for_octet),
        IN_A_SCENE(any_octets_come_back_as_they_were),
        IN_A_SCENE(an_empty_message_is_a_message),
        IN_A_SCENE(a_batch_serves_many_mailboxes),
        IN_A_SCENE(a_repeat_makes_no_double),
        IN_A_SCENE(the_same_message_twice_in_one_batch_is_one_file),
        IN_A_SCENE(a_delivery_that_is_dropped_leaves_nothing),
        IN_A_SCENE(names_never_leave_their_folder),
        IN_A_SCENE(a_host_name_is_made_safe_in_file_names),
        IN_A_SCENE(a_link_on_the_way_is_refused_for_now),
        IN_A_SCENE(a_foreign_owner_is_refused_for_now),
        IN_A_SCENE(a_file_where_a_folder_should_be_is_refused_for_now),
        IN_A_SCENE(a_full_mailbox_is_told_as_the_setting_says),
        IN_A_SCENE(a_batch_does_not_pass_the_quota_together),
        IN_A_SCENE(what_dovecot_wrote_counts),
        IN_A_SCENE(folders_beside_the_inbox_count_too),
        IN_A_SCENE(return_path_is_ours_alone),
        IN_A_SCENE(duplicates_go_when_the_setting_says_so),
        IN_A_SCENE(old_leftovers_in_tmp_are_swept),
        IN_A_SCENE(a_mailbox_that_was_removed_is_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
