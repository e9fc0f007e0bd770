/* SPDX-License-Identifier: Apache-2.0 */
#include "route/route.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const struct settings *settings_of(struct arena *arena, const char *file)
{
    const struct settings_machine machine = {.fqdn = TEXT("mail.casa.test"), .first_domain = TEXT("casa.test")};
    struct settings_problems problems = {.arena = arena};
    const struct settings *s = NULL;
    if (!settings_parse(arena, text_of_terminated(file), &machine, &problems, &s)) {
        const struct text message = problems.count ? problems.items[0].message : TEXT("?");
        fail_msg("%s: %.*s", file, TEXT_ARGUMENTS(message));
    }
    return s;
}

#define LISTEN "[table service.listen]\nsmtp 127.0.0.1:2525\nsubmission *:5587\n"
#define RELAY                                                                                                          \
    "[delivery]\nmode = relay\n[table delivery.relay_hosts]\nuser@x:secret@smart.fuori.test:587 "                      \
    "tls=verify\n127.0.0.1:2526\n"
#define ROUTES "[table delivery.routes]\naltrove.test inside.altrove.test:26 tls=require\n*.altrove.test 192.0.2.7\n"

static const struct {
    const char *file, *domain;
    enum route_kind kind;
    enum route_reason reason;
    const char *destination;
    const char *host; /* the first one */
    uint16_t port;
    size_t hosts;
    uint64_t tls; /* of the first host, or of DNS */
} remotes[] = {
    {.file = "",
     .domain = "Fuori.Test",
     .kind = ROUTE_DNS,
     .destination = "fuori.test",
     .port = 25,
     .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC},
    {.file = "",
     .domain = "b\xc3\xbc"
               "cher.test",
     .kind = ROUTE_DNS,
     .destination = "xn--bcher-kva.test",
     .port = 25,
     .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC},
    {.file = "[delivery]\nport = 2626\n[table advanced.tls_policy]\n*.fuori.test verify\n",
     .domain = "mx.fuori.test",
     .kind = ROUTE_DNS,
     .destination = "mx.fuori.test",
     .port = 2626,
     .tls = SETTINGS_TLS_LEVEL_VERIFY},
    {.file = "", .domain = "", .kind = ROUTE_REFUSED, .reason = ROUTE_REASON_BAD_DOMAIN},
    {.file = "", .domain = "not a domain", .kind = ROUTE_REFUSED, .reason = ROUTE_REASON_BAD_DOMAIN},
    /* relay */
    {.file = RELAY,
     .domain = "fuori.test",
     .kind = ROUTE_HOSTS,
     .destination = "*relay",
     .host = "smart.fuori.test",
     .port = 587,
     .hosts = 2,
     .tls = SETTINGS_TLS_LEVEL_VERIFY},
    {.file = RELAY LISTEN,
     .domain = "fuori.test",
     .kind = ROUTE_HOSTS,
     .destination = "*relay",
     .host = "smart.fuori.test",
     .port = 587,
     .hosts = 2,
     .tls = SETTINGS_TLS_LEVEL_VERIFY},
    {.file = "[delivery]\nmode = relay\n[table "
             "delivery.relay_hosts]\n127.0.0.1:2525\nmail.casa.test:5587\nsmart.test\n" LISTEN,
     .domain = "fuori.test",
     .kind = ROUTE_HOSTS,
     .destination = "*relay",
     .host = "smart.test",
     .port = 25,
     .hosts = 1,
     .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC},
    {.file = "[delivery]\nmode = relay\n[table "
             "delivery.relay_hosts]\n127.0.0.1:2525\n127.0.0.1:5587\n192.0.2.1:5587\n" LISTEN,
     .domain = "fuori.test",
     .kind = ROUTE_LATER,
     .reason = ROUTE_REASON_HOST_IS_SELF},
    /* routes win over relay */
    {.file = RELAY ROUTES,
     .domain = "ALTROVE.test",
     .kind = ROUTE_HOSTS,
     .destination = "altrove.test",
     .host = "inside.altrove.test",
     .port = 26,
     .hosts = 1,
     .tls = SETTINGS_TLS_LEVEL_REQUIRE},
    {.file = RELAY ROUTES,
     .domain = "a.altrove.test",
     .kind = ROUTE_HOSTS,
     .destination = "a.altrove.test",
     .host = "192.0.2.7",
     .port = 25,
     .hosts = 1,
     .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC},
    {.file = RELAY ROUTES,
     .domain = "notaltrove.test",
     .kind = ROUTE_HOSTS,
     .destination = "*relay",
     .host = "smart.fuori.test",
     .port = 587,
     .hosts = 2,
     .tls = SETTINGS_TLS_LEVEL_VERIFY},
    {.file = ROUTES "[table advanced.tls_policy]\na.altrove.test verify\n",
     .domain = "a.altrove.test",
     .kind = ROUTE_HOSTS,
     .destination = "a.altrove.test",
     .host = "192.0.2.7",
     .port = 25,
     .hosts = 1,
     .tls = SETTINGS_TLS_LEVEL_VERIFY},
    {.file = "[table delivery.routes]\naltrove.test 127.0.0.1:2525\n" LISTEN,
     .domain = "altrove.test",
     .kind = ROUTE_LATER,
     .reason = ROUTE_REASON_HOST_IS_SELF},
    {.file = "[table delivery.routes]\naltrove.test 127.0.0.1:2526\n" LISTEN,
     .domain = "altrove.test",
     .kind = ROUTE_HOSTS,
     .destination = "altrove.test",
     .host = "127.0.0.1",
     .port = 2526,
     .hosts = 1,
     .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC},
    /* ourselves */
    {.file = "", .domain = "mail.casa.test", .kind = ROUTE_REFUSED, .reason = ROUTE_REASON_DOMAIN_IS_SELF},
    {.file = RELAY, .domain = "MAIL.casa.test", .kind = ROUTE_REFUSED, .reason = ROUTE_REASON_DOMAIN_IS_SELF},
    {.file = "[table delivery.routes]\nmail.casa.test 192.0.2.7\n",
     .domain = "mail.casa.test",
     .kind = ROUTE_HOSTS,
     .destination = "mail.casa.test",
     .host = "192.0.2.7",
     .port = 25,
     .hosts = 1,
     .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC},
    /* literals */
    {.file = "",
     .domain = "[192.0.2.7]",
     .kind = ROUTE_HOSTS,
     .destination = "[192.0.2.7]",
     .host = "",
     .port = 25,
     .hosts = 1,
     .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC},
    {.file = "",
     .domain = "[IPv6:2001:db8::7]",
     .kind = ROUTE_HOSTS,
     .destination = "[IPv6:2001:db8::7]",
     .host = "",
     .port = 25,
     .hosts = 1,
     .tls = SETTINGS_TLS_LEVEL_OPPORTUNISTIC},
    {.file = RELAY,
     .domain = "[192.0.2.7]",
     .kind = ROUTE_HOSTS,
     .destination = "*relay",
     .host = "smart.fuori.test",
     .port = 587,
     .hosts = 2,
     .tls = SETTINGS_TLS_LEVEL_VERIFY},
    {.file = "", .domain = "[192.0.2.1]", .kind = ROUTE_REFUSED, .reason = ROUTE_REASON_DOMAIN_IS_SELF},
    {.file = RELAY, .domain = "[127.0.0.1]", .kind = ROUTE_REFUSED, .reason = ROUTE_REASON_DOMAIN_IS_SELF},
    {.file = LISTEN, .domain = "[127.0.0.2]", .kind = ROUTE_REFUSED, .reason = ROUTE_REASON_NEVER_CONNECT},
    {.file = "", .domain = "[169.254.1.1]", .kind = ROUTE_REFUSED, .reason = ROUTE_REASON_NEVER_CONNECT},
    {.file = "", .domain = "[2001:db8::7]", .kind = ROUTE_REFUSED, .reason = ROUTE_REASON_BAD_DOMAIN},
    {.file = "", .domain = "[192.0.2.7", .kind = ROUTE_REFUSED, .reason = ROUTE_REASON_BAD_DOMAIN},
    {.file = "", .domain = "[]", .kind = ROUTE_REFUSED, .reason = ROUTE_REASON_BAD_DOMAIN},
};

static struct network_address own_address(void)
{
    struct network_address own;
    must(network_address_parse(TEXT("192.0.2.1"), &own));
    return own;
}

static void a_foreign_recipient_goes_where_the_settings_say(void **state not_used)
{
    const struct network_address own = own_address();
    for (size_t i = 0; i < length_of(remotes); i++) {
        struct arena arena released_by(arena_done) = arena_new(1 << 22);
        const struct address recipient = {.local = TEXT("a"), .domain = text_of_terminated(remotes[i].domain)};
        const struct route_question q = {
            .recipient = &recipient, .kind = MAIL_ADDRESS_FOREIGN, .own = &own, .own_count = 1};
        const struct settings *s = settings_of(&arena, remotes[i].file);
        struct route r;
        assert_true(route_decide(&arena, &q, s, &r));
        if (r.kind != remotes[i].kind || r.reason != remotes[i].reason) {
            const struct text kind = route_kind_word(r.kind), reason = route_reason_word(r.reason);
            fail_msg("%zu %s: %.*s %.*s", i, remotes[i].domain, TEXT_ARGUMENTS(kind), TEXT_ARGUMENTS(reason));
        }
        if (!remotes[i].destination)
            continue;
        if (!text_equals(r.destination, text_of_terminated(remotes[i].destination)))
            fail_msg("%zu: %.*s", i, TEXT_ARGUMENTS(r.destination));
        assert_int_equal(r.host_count, remotes[i].hosts);
        if (r.kind == ROUTE_HOSTS) {
            assert_true(text_equals(r.hosts[0].name, text_of_terminated(remotes[i].host)));
            assert_int_equal(r.hosts[0].port, remotes[i].port);
            assert_int_equal(r.hosts[0].tls, remotes[i].tls);
        } else {
            assert_int_equal(r.port, remotes[i].port);
            assert_int_equal(r.tls, remotes[i].tls);
        }
        /* The relay finds the same by the destination alone. */
        struct route again;
        assert_true(route_of_destination(&arena, r.destination, &own, 1, s, &again));
        assert_int_equal(again.kind, r.kind);
        assert_true(text_equals(again.destination, r.destination));
        assert_int_equal(again.host_count, r.host_count);
    }
}

static void our_own_addresses_go_where_the_vault_says(void **state not_used)
{
    static const struct {
        enum mail_address_kind kind;
        const char *account;
        size_t forwards, depth;
        enum route_kind route;
        enum route_reason reason;
        const char *enhanced;
    } rows[] = {
        {MAIL_ADDRESS_LOCAL, "a@casa.test", 0, 0, ROUTE_MAILBOX, ROUTE_REASON_NONE, NULL},
        {MAIL_ADDRESS_LOCAL, "a@casa.test", 2, 0, ROUTE_MAILBOX, ROUTE_REASON_NONE, NULL},
        {MAIL_ADDRESS_LOCAL, "", 2, 0, ROUTE_FORWARD, ROUTE_REASON_NONE, NULL},
        {MAIL_ADDRESS_LOCAL, "", 2, ROUTE_FORWARDS_DEEP, ROUTE_FORWARD, ROUTE_REASON_NONE, NULL},
        {MAIL_ADDRESS_LOCAL, "", 2, ROUTE_FORWARDS_DEEP + 1, ROUTE_REFUSED, ROUTE_REASON_FORWARD_LOOP, "5.4.6"},
        {MAIL_ADDRESS_LOCAL, "", 0, 0, ROUTE_LATER, ROUTE_REASON_UNAVAILABLE, "4.3.0"},
        {MAIL_ADDRESS_LOCAL_OWN, "a@casa.test", 0, 0, ROUTE_MAILBOX, ROUTE_REASON_NONE, NULL},
        {MAIL_ADDRESS_LOCAL_FULL, "a@casa.test", 0, 0, ROUTE_MAILBOX, ROUTE_REASON_NONE, NULL},
        {MAIL_ADDRESS_LOCAL_NOBODY, "", 0, 0, ROUTE_REFUSED, ROUTE_REASON_UNKNOWN, "5.1.1"},
        {MAIL_ADDRESS_LOCAL_DISABLED, "a@casa.test", 0, 0, ROUTE_REFUSED, ROUTE_REASON_DISABLED, "5.2.1"},
        {MAIL_ADDRESS_UNAVAILABLE, "", 0, 0, ROUTE_LATER, ROUTE_REASON_UNAVAILABLE, "4.3.0"},
        {MAIL_ADDRESS_UNKNOWN_YET, "", 0, 0, ROUTE_LATER, ROUTE_REASON_UNAVAILABLE, "4.3.0"},
    };
    struct arena arena released_by(arena_done) = arena_new(1 << 22);
    const struct settings *s = settings_of(&arena, RELAY ROUTES);
    const struct address recipient = {.local = TEXT("a"), .domain = TEXT("casa.test")};
    for (size_t i = 0; i < length_of(rows); i++) {
        const struct route_question q = {.recipient = &recipient,
                                         .kind = rows[i].kind,
                                         .account = text_of_terminated(rows[i].account),
                                         .forward_count = rows[i].forwards,
                                         .depth = rows[i].depth};
        struct route r;
        assert_true(route_decide(&arena, &q, s, &r));
        assert_int_equal(r.kind, rows[i].route);
        assert_int_equal(r.reason, rows[i].reason);
        if (r.kind == ROUTE_MAILBOX)
            assert_true(text_equals(r.account, TEXT("a@casa.test")) && text_equals(r.destination, r.account));
        if (!rows[i].enhanced)
            continue;
        const struct result result = route_result(&r);
        assert_true(text_equals(result.enhanced, text_of_terminated(rows[i].enhanced)));
        assert_int_equal(result.class, r.kind == ROUTE_REFUSED ? RESULT_FAILED : RESULT_DEFERRED);
    }
}

static void a_row_of_routes_brings_its_limits_and_source(void **state not_used)
{
    struct arena arena released_by(arena_done) = arena_new(1 << 22);
    struct settings s = *settings_of(&arena, ROUTES);
    struct settings_route rows[] = {s.delivery_routes.rows[0], s.delivery_routes.rows[1]};
    const struct settings_domain_number exception = {.domain = TEXT("b.altrove.test"), .number = 10};
    rows[0].has_source = true;
    rows[0].source = own_address();
    rows[0].max_sessions = 3;
    rows[0].max_recipients = 7;
    s.delivery_routes.rows = rows;
    s.advanced_recipient_exceptions = (struct settings_domain_numbers){.rows = &exception, .count = 1};
    struct route r;
    assert_true(route_of_destination(&arena, TEXT("altrove.test"), NULL, 0, &s, &r));
    assert_int_equal(r.max_sessions, 3);
    assert_int_equal(r.max_recipients, 7);
    assert_true(r.has_source && network_address_equals(&r.source, &rows[0].source));
    assert_true(route_of_destination(&arena, TEXT("b.altrove.test"), NULL, 0, &s, &r));
    assert_int_equal(r.max_sessions, 20);
    assert_int_equal(r.max_recipients, 10);
    assert_false(r.has_source);
    assert_true(route_of_destination(&arena, TEXT("fuori.test"), NULL, 0, &s, &r));
    assert_int_equal(r.max_recipients, 100);
}

static void the_login_at_a_relay_host_is_kept_apart_from_its_name(void **state not_used)
{
    struct arena arena released_by(arena_done) = arena_new(1 << 22);
    const struct settings *s = settings_of(&arena, RELAY);
    struct route r;
    assert_true(route_of_destination(&arena, TEXT("*relay"), NULL, 0, s, &r));
    assert_true(text_equals(r.hosts[0].user, TEXT("user@x")) && text_equals(r.hosts[0].password, TEXT("secret")));
    assert_true(r.hosts[1].is_address && text_is_empty(r.hosts[1].user));
}

/* The parser may refuse such settings; a snapshot that lost its rows on the way must wait, not bounce. */
static void without_a_relay_host_mail_waits(void **state not_used)
{
    struct arena arena released_by(arena_done) = arena_new(1 << 22);
    struct settings s = *settings_of(&arena, "");
    s.delivery_mode = SETTINGS_DELIVERY_MODE_RELAY;
    struct route r;
    assert_true(route_of_destination(&arena, TEXT("fuori.test"), NULL, 0, &s, &r));
    assert_int_equal(r.kind, ROUTE_LATER);
    assert_int_equal(r.reason, ROUTE_REASON_NO_RELAY_HOST);
}

static void dns_falls_back_to_relay_hosts_only_with_as_much_tls(void **state not_used)
{
    static const struct {
        uint64_t demanded;
        size_t hosts;
    } rows[] = {{SETTINGS_TLS_LEVEL_OFF, 2},
                {SETTINGS_TLS_LEVEL_OPPORTUNISTIC, 2},
                {SETTINGS_TLS_LEVEL_REQUIRE, 1},
                {SETTINGS_TLS_LEVEL_VERIFY, 1}};
    struct arena arena released_by(arena_done) = arena_new(1 << 22);
    struct settings s = *settings_of(&arena, RELAY);
    s.delivery_mode = SETTINGS_DELIVERY_MODE_DNS;
    s.delivery_relay_on_failure = true;
    for (size_t i = 0; i < length_of(rows); i++) {
        const struct settings_tls_rule rule = {.domain = TEXT("fuori.test"), .level = rows[i].demanded};
        s.advanced_tls_policy = (struct settings_tls_rules){.rows = &rule, .count = 1};
        struct route r;
        assert_true(route_of_destination(&arena, TEXT("fuori.test"), NULL, 0, &s, &r));
        assert_int_equal(r.kind, ROUTE_DNS);
        assert_int_equal(r.host_count, rows[i].hosts);
    }
    s.advanced_tls_policy = (struct settings_tls_rules){.count = 0};
    s.delivery_relay_on_failure = false;
    struct route r;
    assert_true(route_of_destination(&arena, TEXT("fuori.test"), NULL, 0, &s, &r));
    assert_int_equal(r.host_count, 0);
}

static void who_may_not_read_the_listeners_does_not_guess_them(void **state not_used)
{
    struct arena arena released_by(arena_done) = arena_new(1 << 22);
    struct settings s = *settings_of(&arena, "");
    struct network_address loopback;
    assert_true(network_address_parse(TEXT("127.0.0.1"), &loopback));
    assert_true(route_is_self(&s, &loopback, 25, NULL, 0));
    assert_false(route_is_self(&s, &loopback, 26, NULL, 0));
    const struct settings_listen pop3 = {.role = SETTINGS_LISTEN_POP3, .is_any = true, .port = 26};
    const struct settings_listens listens = s.service_listen;
    s.service_listen = (struct settings_listens){.rows = &pop3, .count = 1};
    assert_false(route_is_self(&s, &loopback, 26, NULL, 0)); /* no mail comes in there */
    s.service_listen = listens;
    s.withheld[SETTINGS_KEY_service_listen] = 1;
    assert_false(route_is_self(&s, &loopback, 25, NULL, 0));
}

static void a_forward_to_itself_is_a_loop(void **state not_used)
{
    const struct address a = {.local = TEXT("Anna"), .domain = TEXT("casa.test")},
                         same = {.local = TEXT("anna"), .domain = TEXT("CASA.test")},
                         other = {.local = TEXT("bo"), .domain = TEXT("casa.test")};
    assert_true(route_forward_is_loop(&a, &same));
    assert_false(route_forward_is_loop(&a, &other));
}

static void an_arena_too_small_is_a_result(void **state not_used)
{
    struct arena arena released_by(arena_done) = arena_new(1 << 22), small released_by(arena_done) = arena_new(8);
    const struct settings *s = settings_of(&arena, RELAY);
    const struct address recipient = {.local = TEXT("a"), .domain = TEXT("a-long-domain.fuori.test")};
    const struct route_question q = {.recipient = &recipient, .kind = MAIL_ADDRESS_FOREIGN};
    struct route r;
    assert_false(route_decide(&small, &q, s, &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_foreign_recipient_goes_where_the_settings_say),
        cmocka_unit_test(our_own_addresses_go_where_the_vault_says),
        cmocka_unit_test(a_row_of_routes_brings_its_limits_and_source),
        cmocka_unit_test(the_login_at_a_relay_host_is_kept_apart_from_its_name),
        cmocka_unit_test(without_a_relay_host_mail_waits),
        cmocka_unit_test(dns_falls_back_to_relay_hosts_only_with_as_much_tls),
        cmocka_unit_test(who_may_not_read_the_listeners_does_not_guess_them),
        cmocka_unit_test(a_forward_to_itself_is_a_loop),
        cmocka_unit_test(an_arena_too_small_is_a_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
