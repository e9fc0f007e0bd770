/* SPDX-License-Identifier: Apache-2.0 */
#include "settings/settings.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const struct settings_machine machine = {.fqdn = TEXT_INIT("mail.example.org"),
                                                .first_domain = TEXT_INIT("example.org")};

static bool has(struct text whole, struct text part)
{
    return text_find(whole, part) < whole.length || text_is_empty(part);
}

static void a_mistake_is_named_with_its_line_and_what_would_be_right(void **state not_used)
{
    static const struct {
        const char *file;
        size_t line;
        const char *key, *message;
    } rows[] = {
        {"[service]\nthread_cach = 5\n", 2, "thread_cach", "did you mean service.thread_cache?"},
        {"[service]\nzzzzzzzzzzz = 5\n", 2, "zzzzzzzzzzz", "no such setting"},
        {"[servizio]\n", 1, "servizio", "no such section"},
        {"[service\n", 1, "", "ends with ]"},
        {"thread_cache = 5\n", 1, "thread_cache", "no section"},
        {"[service]\n\nthread_cache\n", 3, "thread_cache", "key = value"},
        {"[service]\nthread_cache = 5s\n", 2, "service.thread_cache", "number without a unit"},
        {"[service]\nthread_cache = -1\n", 2, "service.thread_cache", "number"},
        {"[service]\nthread_cache = 5000\n", 2, "service.thread_cache", "out of range: from 0 to 4096"},
        {"[service]\nmax_incoming = 0\n", 2, "service.max_incoming", "from 1"},
        {"[service]\nsession_timeout = 300\n", 2, "service.session_timeout", "30m"},
        {"[service]\nsession_timeout = 5M\n", 2, "service.session_timeout", "30m"},
        {"[service]\nsession_timeout = 1s\n", 2, "service.session_timeout", "from 5s to 1d"},
        {"[service]\nsession_timeout = 99999999999999999999d\n", 2, "service.session_timeout", "30m"},
        {"[delivery]\nmax_message_size = 50MB\n", 2, "delivery.max_message_size", "as in 50M"},
        {"[delivery]\nmax_message_size = 99999999999999T\n", 2, "delivery.max_message_size", "as in 50M"},
        {"[service]\nreserve = 95%\n", 2, "service.reserve", "0% to 90%"},
        {"[service]\nreserve = ten\n", 2, "service.reserve", "10%"},
        {"[service]\nwhen_full = queue\n", 2, "service.when_full", "wait or refuse"},
        {"[security]\nrequire_helo = maybe\n", 2, "security.require_helo", "yes or no"},
        {"[service]\nhostname = mail\n", 2, "service.hostname", "fully qualified"},
        {"[service]\nhostname =\n", 2, "service.hostname", "empty"},
        {"[service]\nadministrator = nobody\n", 2, "service.administrator", "mail address"},
        {"[delivery]\nretry_intervals = 2m 10\n", 2, "delivery.retry_intervals", "2m 10m"},
        {"[delivery]\nretry_intervals =\n", 2, "delivery.retry_intervals", "at least one"},
        {"[delivery]\nreport_alias = a b\n", 2, "delivery.report_alias", "before the @"},
        {"[service]\nbacklog = 1\nbacklog = 2\n", 3, "service.backlog", "already in line 2"},
        {"[security]\ntrusted = 127.0.0.1\n", 2, "security.trusted", "[table security.trusted]"},
        {"[table service.backlog]\n5\n", 1, "service.backlog", "no table"},
        {"[table security.trustd]\n", 1, "security.trustd", "did you mean security.trusted?"},
        {"[trusted]\n", 1, "security.trusted", "[table NAME]"},
        {"[table security.trusted]\n127.0.0.1\n10.*.*x\n", 3, "security.trusted", "10.*.*x"},
        {"[table security.trusted]\n127.0.0.1 ::1\n", 2, "security.trusted", "one client a row"},
        {"[table security.trusted]\n10.0.0.1/8\n", 2, "security.trusted", "bits beyond the prefix"},
        {"[table security.trusted]\nhost.example.org\n", 2, "security.trusted", "not built yet"},
        {"[table security.trusted]\n::1\n\n[table security.trusted]\n", 4, "security.trusted", "already in line 1"},
        {"[table service.listen]\nimap *:143\n", 2, "service.listen", "begins with smtp"},
        {"[table service.listen]\nsmtp 25\n", 2, "service.listen", "address:port"},
        {"[table service.listen]\nsmtp ::1:25\n", 2, "service.listen", "[2001:db8::1]:25"},
        {"[table service.listen]\nsmtp *:0\n", 2, "service.listen", "address:port"},
        {"[table service.listen]\nsmtp *:25 auth\n", 2, "service.listen", "name=value"},
        {"[table service.listen]\nsmtp *:25 auth=si\n", 2, "service.listen", "yes or no"},
        {"[table service.listen]\nsmtp *:25 tls_min=1.0\n", 2, "service.listen", "tls_min=1.2"},
        {"[table service.listen]\nsubmission *:587 auth=no\n", 2, "service.listen", "auth=no is for smtp"},
        {"[table service.listen]\nsmtp *:25\nsubmission 127.0.0.1:25\n", 3, "service.listen", "already"},
        {"[table service.listen]\npop3 *:110\n", 2, "service.listen", "not built yet"},
        {"[table service.listen]\nsmtp *:25 proxy=yes\n", 2, "service.listen", "not built yet"},
        {"[table service.resolver]\nns.example.org\n", 2, "service.resolver", "address@port"},
        {"[table delivery.relay_hosts]\nanna@relay.example.org\n", 2, "delivery.relay_hosts", "user:password"},
        {"[table delivery.relay_hosts]\nanna:file:@relay.example.org\n", 2, "delivery.relay_hosts", "name of a file"},
        {"[table delivery.relay_hosts]\nrelay.example.org:0\n", 2, "delivery.relay_hosts", "1 to 65535"},
        {"[table delivery.relay_hosts]\nrelay.example.org tls=yes\n", 2, "delivery.relay_hosts", "opportunistic"},
        {"[table advanced.tls_policy]\nexample.org strong\n", 2, "advanced.tls_policy", "verify"},
        {"[table tls.certificates]\n* chain.pem\n", 2, "tls.certificates", "key file"},
        {"[tls]\nmin_version = 1.0\n", 2, "tls.min_version", "policy = legacy"},
        {"[delivery]\nmode = relay\n", 2, "delivery.mode", "relay_hosts"},
        {"[security]\npop_before_smtp = yes\n", 2, "security.pop_before_smtp", "not built yet"},
        {"[pop3]\nmax_incoming = 5\n", 2, "pop3.max_incoming", "not built yet"},
        {"[pop3]\nsession_timeout = 9m\n", 2, "pop3.session_timeout", "from 10m"},
        {"[table security.dnsbl]\nbl.example.org\n", 1, "security.dnsbl", "not built yet"},
        {"[table delivery.redirects]\ndominio.com %%alias%%@%%dominio%%\n", 2, "delivery.redirects",
         "%%current_recipient%%"},
        {"[table security.bypass_helo]\ns:a@example.org\n", 2, "security.bypass_helo", "not known yet"},
        {"[table security.bypass_dnsbl]\ni:10.0.0.1 until=2026-02-30\n", 2, "security.bypass_dnsbl",
         "until=YYYY-MM-DD"},
        {"[service]\nhostname = mail.example.org \xff\n", 2, "", "UTF-8"},
        {"[service]\nbacklog = 1\x01\n", 2, "", "control characters"},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct arena arena = arena_new(1 << 20);
        struct settings_problems problems = {.arena = &arena};
        const struct settings *s = NULL;
        if (settings_parse(&arena, text_of_terminated(rows[i].file), &machine, &problems, &s))
            fail_msg("taken: %s", rows[i].file);
        assert_null(s);
        assert_true(problems.count >= 1);
        const struct settings_problem *problem = &problems.items[0];
        if (problem->line != rows[i].line || !text_equals(problem->key, text_of_terminated(rows[i].key)) ||
            !has(problem->message, text_of_terminated(rows[i].message)))
            fail_msg("%s says line %zu, %.*s, \"%.*s\"", rows[i].file, problem->line, TEXT_ARGUMENTS(problem->key),
                     TEXT_ARGUMENTS(problem->message));
        arena_done(&arena);
    }
}

static void a_mistake_in_a_relay_host_never_repeats_its_password(void **state not_used)
{
    static const char *const rows[] = {
        "anna:Geheim@relay.example.org:0",
        "relay.example.org anna:Geheim@other",
        "anna:Geheim@",
        "anna:Geheim@@",
        "anna:Geheim@h o=1",
        "anna:Geheim@relay..org",
        "relay.example.org tls=anna:Geheim@x",
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct arena arena = arena_new(1 << 20);
        struct settings_problems problems = {.arena = &arena};
        struct buffer file = buffer_new(1000);
        const struct settings *s;
        buffer_append_format(&file, "[table delivery.relay_hosts]\n%s\n", rows[i]);
        assert_false(settings_parse(&arena, buffer_text(&file), &machine, &problems, &s));
        for (size_t j = 0; j < problems.count; j++)
            assert_false(has(problems.items[j].message, TEXT("Geheim")));
        buffer_done(&file);
        arena_done(&arena);
    }
}

static void all_mistakes_of_a_file_are_counted(void **state not_used)
{
    struct arena arena = arena_new(1 << 20);
    struct settings_problems problems = {.arena = &arena};
    struct buffer file = buffer_new(1 << 20);
    const struct settings *s;
    buffer_append(&file, TEXT("[service]\n"));
    for (size_t i = 0; i < 150; i++)
        buffer_append(&file, TEXT("nonsense = 1\n"));
    assert_false(settings_parse(&arena, buffer_text(&file), &machine, &problems, &s));
    assert_int_equal(problems.total, 150);
    assert_int_equal(problems.count, 100);
    buffer_clear(&file);
    settings_problem_append(&file, TEXT("portiere.conf"), &problems.items[1]);
    assert_true(has(buffer_text(&file), TEXT("portiere.conf:3: nonsense: no such setting")));
    buffer_done(&file);
    arena_done(&arena);
}

static void a_file_that_is_too_large_is_a_problem_and_no_crash(void **state not_used)
{
    for (size_t limit = 0; limit < 100000; limit += 997) {
        struct arena arena = arena_new(limit), words = arena_new(1 << 20);
        struct settings_problems problems = {.arena = &words};
        const struct settings *s;
        if (!settings_parse(&arena, TEXT("[service]\nbacklog = 1\n[table security.trusted]\n10.*\n"), &machine,
                            &problems, &s))
            assert_true(problems.total > 0);
        arena_done(&arena);
        arena_done(&words);
    }
}

static void a_name_that_is_not_qualified_must_be_mended_in_the_file(void **state not_used)
{
    const struct settings_machine bare = {.fqdn = TEXT_INIT("box"), .first_domain = TEXT_INIT("")};
    struct arena arena = arena_new(1 << 20);
    struct settings_problems problems = {.arena = &arena};
    const struct settings *s;
    assert_false(settings_parse(&arena, TEXT(""), &bare, &problems, &s));
    assert_int_equal(problems.items[0].line, 0);
    assert_true(has(problems.items[0].message, TEXT("hostname =")));
    assert_true(settings_parse(&arena, TEXT("[service]\nhostname = mail.example.org\n"), &bare, &problems, &s));
    arena_done(&arena);
}

static void layout_comments_and_line_ends_are_free(void **state not_used)
{
    struct arena arena = arena_new(1 << 20);
    struct settings_problems problems = {.arena = &arena};
    const struct settings *s;
    assert_true(settings_parse(
        &arena,
        TEXT("# top\r\n[ Service ]\r\n\tThread_Cache=41  # why\r\n[security]\n require_helo = ON\n[service]\nreserve = "
             "20 %\n"
             "[table tls_policy]\n  bank.test\tverify # money\n\n# only a remark\n[table service.listen]\n"
             "smtp [::1]:2525 auth=yes lenient=yes startup=no\n[table security.trusted]\n[::1]\n[delivery]\nwarn_after "
             "= none"),
        &machine, &problems, &s));
    assert_int_equal(s->service_thread_cache, 41);
    assert_int_equal(s->service_reserve, 20);
    assert_true(s->security_require_helo);
    assert_int_equal(s->delivery_warn_after, 0);
    assert_int_equal(s->advanced_tls_policy.count, 1);
    assert_int_equal(s->advanced_tls_policy.rows[0].level, SETTINGS_TLS_LEVEL_VERIFY);
    assert_true(text_equals(s->advanced_tls_policy.rows[0].row.comment, TEXT("money")));
    assert_int_equal(s->service_listen.count, 1);
    assert_true(s->service_listen.rows[0].offers_auth && s->service_listen.rows[0].is_lenient &&
                !s->service_listen.rows[0].starts);
    assert_true(network_address_is_loopback(&s->service_listen.rows[0].address));
    assert_int_equal(s->security_trusted.count, 1);
    assert_int_equal(s->lines[SETTINGS_KEY_service_thread_cache], 3);
    assert_int_equal(s->lines[SETTINGS_KEY_service_backlog], 0);
    arena_done(&arena);
}

static void what_is_not_built_takes_its_default(void **state not_used)
{
    struct arena arena = arena_new(1 << 20);
    struct settings_problems problems = {.arena = &arena};
    const struct settings *s;
    assert_true(settings_parse(&arena,
                               TEXT("[security]\npop_before_smtp = no\nblock_time = 1800s\nblock_message_size = 100M\n"
                                    "[pop3]\nsession_timeout = 10m\n[table security.dnsbl]\nzen.spamhaus.org\n"),
                               &machine, &problems, &s));
    assert_false(settings_parse(&arena,
                                TEXT("[delivery]\nmax_message_size = 1M\n[security]\nblock_message_size = 100M\n"),
                                &machine, &problems, &s));
    arena_done(&arena);
}

static struct text current_file(void)
{
    return TEXT(
        "# my server\n[service]\n  backlog = 1000   # measured\nthread_cache=40\n\n# tables\n[table security.trusted]\n"
        "127.0.0.1   # me\n# the office\n10.0.0.1\n\n[delivery]\nmode = dns\n");
}

static void an_edit_changes_its_line_and_nothing_else(void **state not_used)
{
    static const struct {
        const char *key, *value; /* value NULL: unset */
        enum settings_edit_result result;
        const char *from, *to; /* of current_file */
    } rows[] = {
        {"service.backlog", "5000", SETTINGS_EDIT_DONE, "  backlog = 1000   # measured\n",
         "  backlog = 5000   # measured\n"},
        {"service.thread_cache", "41", SETTINGS_EDIT_DONE, "thread_cache=40\n", "thread_cache= 41\n"},
        {"service.thread_cache", "40", SETTINGS_EDIT_NOTHING, "", ""},
        {"service.reserve", "5%", SETTINGS_EDIT_DONE, "thread_cache=40\n", "thread_cache=40\nreserve = 5%\n"},
        {"advanced.max_hops", "30", SETTINGS_EDIT_DONE, "mode = dns\n", "mode = dns\n\n[advanced]\nmax_hops = 30\n"},
        {"delivery.report_name", "A # b", SETTINGS_EDIT_BAD_VALUE, NULL, NULL},
        {"delivery.report_name", "A\nmode = relay", SETTINGS_EDIT_BAD_VALUE, NULL, NULL},
        {"delivery.report_name", "A#b", SETTINGS_EDIT_DONE, "mode = dns\n", "mode = dns\nreport_name = A#b\n"},
        {"security.trusted", "::1", SETTINGS_EDIT_NOT_SINGLE, NULL, NULL},
        {"service.backlog", NULL, SETTINGS_EDIT_DONE, "  backlog = 1000   # measured\n", ""},
        {"service.reserve", NULL, SETTINGS_EDIT_NOTHING, "", ""},
        {"security.trusted", NULL, SETTINGS_EDIT_DONE,
         "[table security.trusted]\n127.0.0.1   # me\n# the office\n10.0.0.1\n", ""},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer out = buffer_new(10000), expected = buffer_new(10000);
        const struct settings_spec *spec = settings_find(text_of_terminated(rows[i].key));
        enum settings_edit_result result =
            rows[i].value == NULL ? settings_edit_unset(current_file(), spec, &out)
                                  : settings_edit_set(current_file(), spec, text_of_terminated(rows[i].value), &out);
        assert_int_equal(result, rows[i].result);
        assert_false(text_is_empty(settings_edit_result_text(result)));
        if (rows[i].from != NULL) {
            size_t at = text_find(current_file(), text_of_terminated(rows[i].from));
            at = text_is_empty(text_of_terminated(rows[i].from)) ? 0 : at;
            buffer_append(&expected, text_first(current_file(), at));
            buffer_append(&expected, text_of_terminated(rows[i].to));
            buffer_append(&expected, text_after(current_file(), at + strlen(rows[i].from)));
            if (!text_equals(buffer_text(&out), buffer_text(&expected)))
                fail_msg("%s: %.*s", rows[i].key, TEXT_ARGUMENTS(buffer_text(&out)));
        }
        buffer_done(&out);
        buffer_done(&expected);
    }
}

static void rows_are_added_and_removed_with_their_comments(void **state not_used)
{
    struct arena arena = arena_new(1 << 20);
    struct buffer out = buffer_new(10000);
    const struct settings_spec *trusted = settings_find(TEXT("trusted")),
                               *listen = settings_find(TEXT("service.listen"));
    const struct settings *current;
    assert_true(settings_new_default(&arena, &machine, &current));
    assert_int_equal(settings_edit_row_add(current_file(), trusted, current, TEXT("[2001:db8::1]"), TEXT("six"), &out),
                     SETTINGS_EDIT_DONE);
    assert_true(has(buffer_text(&out), TEXT("# the office\n10.0.0.1\n[2001:db8::1]  # six\n\n[delivery]")));
    struct settings_problems problems = {.arena = &arena};
    const struct settings *s;
    assert_true(settings_parse(&arena, buffer_text(&out), &machine, &problems, &s));
    assert_int_equal(s->security_trusted.count, 3);
    buffer_clear(&out);
    assert_int_equal(settings_edit_row_add(current_file(), trusted, current, TEXT("10.0.0.1"), TEXT_NONE, &out),
                     SETTINGS_EDIT_NOTHING);
    assert_true(text_equals(buffer_text(&out), current_file()));
    buffer_clear(&out);
    assert_int_equal(settings_edit_row_remove(current_file(), trusted, current, TEXT("127.0.0.1"), &out),
                     SETTINGS_EDIT_DONE);
    assert_true(has(buffer_text(&out), TEXT("[table security.trusted]\n# the office\n10.0.0.1\n")));
    buffer_clear(&out);
    /* a table that the file lacks begins with the rows that hold now */
    assert_int_equal(settings_edit_row_add(current_file(), listen, current, TEXT("smtp *:2525"), TEXT_NONE, &out),
                     SETTINGS_EDIT_DONE);
    assert_true(
        has(buffer_text(&out),
            TEXT("[table service.listen]\nsmtp *:25 auth=no\nsubmission *:587\nsubmissions *:465\nsmtp *:2525\n")));
    buffer_clear(&out);
    assert_int_equal(settings_edit_row_remove(current_file(), listen, current, TEXT("submission *:587"), &out),
                     SETTINGS_EDIT_DONE);
    assert_true(has(buffer_text(&out), TEXT("[table service.listen]\nsmtp *:25 auth=no\nsubmissions *:465\n")));
    buffer_clear(&out);
    assert_int_equal(settings_edit_rows(current_file(), trusted, TEXT("::1\n10.0.0.9 # nine"), &out),
                     SETTINGS_EDIT_DONE);
    assert_true(has(buffer_text(&out), TEXT("[table security.trusted]\n::1\n10.0.0.9  # nine\n\n[delivery]")));
    buffer_clear(&out);
    assert_int_equal(settings_edit_row_add(current_file(), trusted, current, TEXT("[delivery]"), TEXT_NONE, &out),
                     SETTINGS_EDIT_BAD_VALUE);
    assert_int_equal(
        settings_edit_row_add(current_file(), settings_find(TEXT("backlog")), current, TEXT("1"), TEXT_NONE, &out),
        SETTINGS_EDIT_NOT_TABLE);
    buffer_done(&out);
    arena_done(&arena);
}

static void a_row_with_a_log_in_is_removed_as_it_is_shown(void **state not_used)
{
    struct arena arena = arena_new(1 << 20);
    struct settings_problems problems = {.arena = &arena};
    struct buffer out = buffer_new(10000);
    const struct settings_spec *relay_hosts = settings_find(TEXT("relay_hosts"));
    struct text file =
        TEXT("[table delivery.relay_hosts]\nanna@x.test:pass:word@relay.test # one\nanna:file:relay@other.test\n");
    const struct settings *s;
    assert_true(settings_parse(&arena, file, &machine, &problems, &s));
    assert_true(text_equals(s->delivery_relay_hosts.rows[1].host.password, TEXT("file:relay")));
    assert_int_equal(settings_edit_row_remove(file, relay_hosts, s, TEXT("anna@x.test:***@relay.test"), &out),
                     SETTINGS_EDIT_DONE);
    assert_true(text_equals(buffer_text(&out), TEXT("[table delivery.relay_hosts]\nanna:file:relay@other.test\n")));
    /* and what is shown is no password */
    assert_false(
        settings_parse(&arena, TEXT("[table delivery.relay_hosts]\nanna:***@relay.test\n"), &machine, &problems, &s));
    buffer_done(&out);
    arena_done(&arena);
}

static void a_file_without_a_last_newline_and_an_empty_one_can_be_edited(void **state not_used)
{
    struct buffer out = buffer_new(10000), small = buffer_new(10);
    const struct settings_spec *backlog = settings_find(TEXT("backlog"));
    assert_int_equal(settings_edit_set(TEXT(""), backlog, TEXT("7"), &out), SETTINGS_EDIT_DONE);
    assert_true(text_equals(buffer_text(&out), TEXT("[service]\nbacklog = 7\n")));
    buffer_clear(&out);
    assert_int_equal(settings_edit_set(TEXT("[service]\nreserve = 5%"), backlog, TEXT("7"), &out), SETTINGS_EDIT_DONE);
    assert_true(text_equals(buffer_text(&out), TEXT("[service]\nreserve = 5%\nbacklog = 7\n")));
    buffer_clear(&out);
    assert_int_equal(settings_edit_set(TEXT("[service]\r\nbacklog = 5\r\n"), backlog, TEXT("7"), &out),
                     SETTINGS_EDIT_DONE);
    assert_true(text_equals(buffer_text(&out), TEXT("[service]\r\nbacklog = 7\r\n")));
    buffer_clear(&out);
    assert_int_equal(settings_edit_set(TEXT("[service]\nbacklog =\n"), backlog, TEXT("7"), &out), SETTINGS_EDIT_DONE);
    assert_true(text_equals(buffer_text(&out), TEXT("[service]\nbacklog = 7\n")));
    assert_int_equal(settings_edit_set(TEXT(""), backlog, TEXT("7"), &small), SETTINGS_EDIT_FULL);
    buffer_done(&out);
    buffer_done(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mistake_is_named_with_its_line_and_what_would_be_right),
        cmocka_unit_test(a_mistake_in_a_relay_host_never_repeats_its_password),
        cmocka_unit_test(all_mistakes_of_a_file_are_counted),
        cmocka_unit_test(a_file_that_is_too_large_is_a_problem_and_no_crash),
        cmocka_unit_test(a_name_that_is_not_qualified_must_be_mended_in_the_file),
        cmocka_unit_test(layout_comments_and_line_ends_are_free),
        cmocka_unit_test(what_is_not_built_takes_its_default),
        cmocka_unit_test(an_edit_changes_its_line_and_nothing_else),
        cmocka_unit_test(rows_are_added_and_removed_with_their_comments),
        cmocka_unit_test(a_row_with_a_log_in_is_removed_as_it_is_shown),
        cmocka_unit_test(a_file_without_a_last_newline_and_an_empty_one_can_be_edited),
    };
    return cmocka_run_group_tests_name("settings/file", tests, NULL, NULL);
}
