/* SPDX-License-Identifier: Apache-2.0 */
/* T75, T82, T95: a store that is missing, damaged, foreign, or somebody else's. */
#include "accounts/house_for_tests.h"
#include "system/file.h"

#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static void expect_unavailable(struct house *p)
{
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct accounts_user user;
    struct accounts_counts counts;
    struct text key;
    static const struct text names[] = {TEXT_INIT("anna@casa.test"), TEXT_INIT("nessuno@casa.test"),
                                        TEXT_INIT("x@fuori.test"), TEXT_INIT("postmaster")};
    for (size_t i = 0; i < length_of(names); i++)
        assert_int_equal(house_resolve(p, names[i], TEXT("anna@casa.test")).kind, MAIL_ADDRESS_UNAVAILABLE);
    assert_int_equal(accounts_login_find(p->accounts, p->settings, TEXT("anna"), &p->arena, &user),
                     ACCOUNTS_UNAVAILABLE);
    assert_int_equal(accounts_count(p->accounts, &counts), ACCOUNTS_UNAVAILABLE);
    assert_int_equal(accounts_fake_key(p->accounts, &key), ACCOUNTS_UNAVAILABLE);
    house_check_why(accounts_domain_add(p->accounts, TEXT("x.test"), TEXT_NONE, 1, &why), ACCOUNTS_UNAVAILABLE, &why);
}

static void expect_back(struct house *p)
{
    house_refresh(p, true);
    assert_int_equal(house_resolve(p, TEXT("anna@casa.test"), TEXT_NONE).kind, MAIL_ADDRESS_LOCAL);
    assert_int_equal(house_resolve(p, TEXT("nessuno@casa.test"), TEXT_NONE).kind, MAIL_ADDRESS_LOCAL_NOBODY);
}

static void a_store_not_opened_yet_is_unavailable(void **state)
{
    expect_unavailable(*state);
}

static void a_missing_store_is_unavailable_until_it_is_back(void **state)
{
    struct house *p = *state;
    house_furnish(p);
    assert_int_equal(file_rename(p->folder, TEXT("accounts.db"), p->folder, TEXT("kept")), 0);
    house_refresh(p, false);
    expect_unavailable(p);
    house_refresh(p, false);
    assert_int_equal(file_rename(p->folder, TEXT("kept"), p->folder, TEXT("accounts.db")), 0);
    expect_back(p);
}

/* Replaced by every kind of rubbish, in place, while it is open. */
static void a_damaged_store_is_unavailable_until_it_is_whole(void **state)
{
    enum { PAGE = 4096 };
    struct house *p = *state;
    static char rubbish[20 * PAGE];
    struct buffer good released_by(buffer_done) = buffer_new(4 << 20);
    house_furnish(p);
    accounts_free(&p->accounts);
    assert_int_equal(file_read_whole(p->folder, TEXT("accounts.db"), &good), 0);
    for (size_t i = 0; i < sizeof rubbish; i++)
        rubbish[i] = (char)(i * 7919 >> 3);
    const struct text bad[] = {
        TEXT(""),
        TEXT("x"),
        text_of(rubbish, sizeof rubbish),
        text_first(buffer_text(&good), 100),
        text_first(buffer_text(&good), PAGE),
        text_first(buffer_text(&good), good.length - PAGE),
    };
    p->accounts = accounts_new(p->folder, 100);
    for (size_t i = 0; i < length_of(bad); i++) {
        expect_back(p);
        int file released_by(file_close) = -1;
        assert_int_equal(file_open(p->folder, TEXT("kept"), O_RDWR | O_CREAT | O_TRUNC, 0600, &file), 0);
        assert_int_equal(file_write_all(file, bad[i]), 0);
        assert_int_equal(file_rename(p->folder, TEXT("kept"), p->folder, TEXT("accounts.db")), 0);
        house_refresh(p, false);
        print_message("# %.*s\n", TEXT_ARGUMENTS(accounts_problem(p->accounts)));
        expect_unavailable(p);
        assert_int_equal(file_replace(p->folder, TEXT("accounts.db"), buffer_text(&good), 0600), 0);
    }
    expect_back(p);
}

/* Every page in turn is spoilt: whatever SQLite makes of it, nobody of ours becomes nobody, and nothing crashes. */
static void a_flipped_page_never_makes_nobody_of_somebody(void **state)
{
    enum { PAGE = 4096 };
    struct house *p = *state;
    struct buffer good released_by(buffer_done) = buffer_new(4 << 20);
    size_t unavailable = 0;
    house_furnish(p);
    accounts_free(&p->accounts);
    assert_int_equal(file_read_whole(p->folder, TEXT("accounts.db"), &good), 0);
    for (size_t at = 0; at < good.length; at += PAGE / 4) {
        for (size_t i = 0; i < 64; i++)
            good.bytes[at + i] = (char)~good.bytes[at + i];
        assert_int_equal(file_replace(p->folder, TEXT("accounts.db"), buffer_text(&good), 0600), 0);
        p->accounts = accounts_new(p->folder, 100);
        p->now_ms += 5000;
        ignored(accounts_refresh(p->accounts, p->now_ms)); /* the answer below counts */
        enum mail_address_kind kind = house_resolve(p, TEXT("bruno@casa.test"), TEXT_NONE).kind;
        assert_true(kind == MAIL_ADDRESS_LOCAL || kind == MAIL_ADDRESS_UNAVAILABLE);
        unavailable += kind == MAIL_ADDRESS_UNAVAILABLE;
        accounts_free(&p->accounts);
        for (size_t i = 0; i < 64; i++)
            good.bytes[at + i] = (char)~good.bytes[at + i];
    }
    print_message("# %zu places spoilt, %zu times unavailable\n", good.length / (PAGE / 4), unavailable);
    assert_true(unavailable > 0);
    assert_int_equal(file_replace(p->folder, TEXT("accounts.db"), buffer_text(&good), 0600), 0);
    p->accounts = accounts_new(p->folder, 100);
    expect_back(p);
}

static void another_file_is_not_taken_for_a_store(void **state)
{
    struct house *p = *state;
    house_furnish(p);
    assert_int_equal(file_remove(p->folder, TEXT("accounts.db")), 0);
    assert_int_equal(symlinkat("/etc/passwd", p->folder, "accounts.db"), 0);
    house_refresh(p, false);
    expect_unavailable(p);
}

static void two_processes_do_not_share_a_store(void **state)
{
    struct house *p = *state;
    house_furnish(p);
    pid_t child = fork();
    if (child == 0) {
        struct accounts *second = accounts_new(p->folder, 100);
        _exit(accounts_refresh(second, 1) ? 1 : 0);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    expect_back(p);
}

static void the_generation_outlives_a_clock_set_back(void **state)
{
    struct house *p = *state;
    house_furnish(p);
    uint64_t before = accounts_generation(p->accounts);
    accounts_free(&p->accounts);
    p->accounts = accounts_new(p->folder, 1);
    house_refresh(p, true);
    assert_true(accounts_generation(p->accounts) > before);
}

int main(void)
{
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, house_set_up, house_tear_down)
    const struct CMUnitTest tests[] = {
        HOUSE(a_store_not_opened_yet_is_unavailable),
        HOUSE(a_missing_store_is_unavailable_until_it_is_back),
        HOUSE(a_damaged_store_is_unavailable_until_it_is_whole),
        HOUSE(a_flipped_page_never_makes_nobody_of_somebody),
        HOUSE(another_file_is_not_taken_for_a_store),
        HOUSE(two_processes_do_not_share_a_store),
        HOUSE(the_generation_outlives_a_clock_set_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
