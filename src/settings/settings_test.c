/* SPDX-License-Identifier: Apache-2.0 */
#include "settings/value.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const struct settings_machine machine = {.fqdn = TEXT_INIT("mail.example.org"),
                                                .first_domain = TEXT_INIT("example.org")};

struct fixture {
    struct arena arena;
    struct settings_problems problems;
    const struct settings *settings;
    struct buffer buffer;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){.arena = arena_new(4 << 20), .buffer = buffer_new(4 << 20)};
    f->problems.arena = &f->arena;
}

static void end(struct fixture *f)
{
    arena_done(&f->arena);
    buffer_done(&f->buffer);
}

static void begin_with(struct fixture *f, const char *file)
{
    begin(f);
    if (settings_parse(&f->arena, text_of_terminated(file), &machine, &f->problems, &f->settings))
        return;
    for (size_t i = 0; i < f->problems.count; i++) {
        buffer_clear(&f->buffer);
        settings_problem_append(&f->buffer, TEXT("portiere.conf"), &f->problems.items[i]);
        print_message("%.*s\n", TEXT_ARGUMENTS(buffer_text(&f->buffer)));
    }
    fail_msg("refused: %s", file);
}

static bool has(struct text whole, struct text part)
{
    return text_find(whole, part) < whole.length || text_is_empty(part);
}

static void the_table_of_settings_has_no_holes(void **state not_used)
{
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        const struct text needed[] = {spec->label_en, spec->label_it, spec->tab_en,
                                      spec->tab_it,   spec->help_en,  spec->help_it};
        for (size_t j = 0; j < length_of(needed); j++)
            if (text_is_empty(needed[j]) || !utf8_is_valid(needed[j]))
                fail_msg("%.*s lacks a text", TEXT_ARGUMENTS(spec->key));
        assert_true(spec->readers != 0 || text_equals(spec->key, TEXT("tls.certificates")));
        assert_int_equal(text_is_empty(spec->guide_note), text_is_empty(spec->guide_note_it));
        assert_true((spec->type == SETTINGS_CHOICE) == (spec->word_count > 1));
        assert_true((spec->secret_readers & ~spec->readers) == 0);
        assert_true(spec->maximum == 0 || spec->minimum <= spec->maximum);
        assert_true(settings_place(spec) >= 1);
        assert_ptr_equal(settings_find(spec->key), spec);
        for (size_t j = 0; j < i; j++) {
            const struct settings_spec *other = settings_spec((enum settings_key)j);
            assert_false(text_equals_ignoring_case(spec->key, other->key));
            if (!text_is_empty(spec->alias) && text_equals_ignoring_case(spec->alias, other->alias))
                fail_msg("two have the alias %.*s", TEXT_ARGUMENTS(spec->alias));
        }
    }
}

static void every_default_is_taken_by_its_own_parser_and_is_as_the_guide_says(void **state not_used)
{
    struct fixture f;
    begin(&f);
    assert_true(settings_new_default(&f.arena, &machine, &f.settings));
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        assert_true(settings_is_default(f.settings, spec));
        if (!settings_is_as_guide(f.settings, spec))
            fail_msg("%.*s is not as the guide says", TEXT_ARGUMENTS(spec->key));
        /* the canonical text is read back as the same value */
        struct settings *again = settings_defaults(&f.arena);
        assert_non_null(again);
        buffer_clear(&f.buffer);
        settings_value_text(f.settings, spec, true, &f.buffer);
        struct buffer complaint = buffer_new(1000);
        if (settings_is_table(spec)) {
            struct settings_row *rows;
            size_t count, bad;
            assert_true(settings_rows_split(&f.arena, buffer_text(&f.buffer), &rows, &count));
            assert_true(settings_table_parse(&f.arena, spec, rows, count, again, &bad, &complaint));
        } else if (!settings_value_parse(&f.arena, spec, buffer_text(&f.buffer), again, &complaint)) {
            fail_msg("%.*s: %.*s", TEXT_ARGUMENTS(spec->key), TEXT_ARGUMENTS(buffer_text(&complaint)));
        }
        assert_true(settings_value_equals(f.settings, again, spec));
        buffer_done(&complaint);
    }
    end(&f);
}

static void the_secure_mode_is_the_default(void **state not_used)
{
    struct fixture f;
    begin_with(&f, "");
    const struct settings *s = f.settings;
    assert_int_equal(s->service_thread_cache, 40);
    assert_int_equal(s->service_max_incoming, 256);
    assert_int_equal(s->service_backlog, 5000);
    assert_int_equal(s->service_reserve, 10);
    assert_int_equal(s->service_session_timeout, 300000);
    assert_int_equal(s->service_when_full, SETTINGS_WHEN_FULL_WAIT);
    assert_int_equal(s->delivery_max_message_size, 50 << 20);
    assert_int_equal(s->delivery_undelivered_after, 2 * 86400000);
    assert_int_equal(s->delivery_retry_intervals.count, 5);
    assert_int_equal(s->delivery_retry_intervals.items[4], 120 * 60000);
    assert_int_equal(s->advanced_tls_outgoing, SETTINGS_TLS_LEVEL_OPPORTUNISTIC);
    assert_true(s->security_reject_unauthorised_local_sender && s->security_relay_only_local_sender &&
                s->security_require_helo);
    assert_true(s->security_reject_auth_sender_mismatch && s->security_reject_auth_header_mismatch);
    assert_int_equal(s->security_trusted.count, 2);
    assert_int_equal(s->service_listen.count, 3);
    assert_false(s->service_listen.rows[0].offers_auth);
    assert_true(s->service_listen.rows[1].offers_auth);
    assert_int_equal(s->service_listen.rows[2].role, SETTINGS_LISTEN_SUBMISSIONS);
    assert_int_equal(s->service_listen.rows[2].port, 465);
    assert_int_equal(s->tls_min_version, SETTINGS_TLS_VERSION_1_2);
    assert_true(text_equals(s->service_hostname, TEXT("mail.example.org")));
    assert_true(text_equals(s->service_administrator, TEXT("postmaster@example.org")));
    assert_true(text_equals(s->delivery_bad_mail, TEXT("badmail@example.org")));
    assert_int_equal(s->security_block_message_size, 100 << 20);
    end(&f);
}

static void derived_defaults_follow_what_they_derive_from(void **state not_used)
{
    struct fixture f;
    begin_with(&f, "[service]\nprimary_domain = example.net\n[delivery]\nmax_message_size = 10M\n");
    assert_true(text_equals(f.settings->delivery_bad_mail, TEXT("badmail@example.net")));
    assert_int_equal(f.settings->security_block_message_size, 20 << 20);
    end(&f);
    begin_with(&f, "[delivery]\nmax_message_size = none\n");
    assert_int_equal(f.settings->security_block_message_size, 0);
    end(&f);
    const struct settings_machine bare = {.fqdn = TEXT_INIT("mail.example.org"), .first_domain = TEXT_INIT("")};
    begin(&f);
    assert_true(settings_new_default(&f.arena, &bare, &f.settings));
    assert_true(text_is_empty(f.settings->delivery_bad_mail));
    end(&f);
}

static void names_are_found_by_key_and_alias_in_any_case(void **state not_used)
{
    static const struct {
        const char *name;
        const char *key; /* NULL: none */
    } rows[] = {
        {"service.backlog", "service.backlog"},
        {"backlog", "service.backlog"},
        {"BackLog", "service.backlog"},
        {"c_system_adv_protocols_backlog", "service.backlog"},
        {"C_System_Adv_Protocols_BackLog", "service.backlog"},
        {"thread_cache", "service.thread_cache"},
        {"max_hops", "advanced.max_hops"},
        {"trusted", "security.trusted"},
        {"keep", NULL},
        {"", NULL},
        {"service", NULL},
        {"service.", NULL},
        {"nothing", NULL},
        {"routes", "delivery.routes"},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        const struct settings_spec *spec = settings_find(text_of_terminated(rows[i].name));
        if (rows[i].key == NULL)
            assert_null(spec);
        else if (spec == NULL || !text_equals(spec->key, text_of_terminated(rows[i].key)))
            fail_msg("%s is not found", rows[i].name);
    }
    assert_true(text_equals(settings_nearest(TEXT("tread_cache"))->key, TEXT("service.thread_cache")));
    assert_null(settings_nearest(TEXT("completely_different_thing")));
}

static void aliases_convert_units_sense_and_words(void **state not_used)
{
    static const struct {
        const char *alias, *value, *file_value, *back;
    } rows[] = {
        {"c_system_adv_protocols_backlog", "4000", "4000", "4000"},
        {"C_Mail_SMTP_Delivery_UndelivAfter", "2880", "2d", "2880"},
        {"C_Mail_SMTP_Delivery_UndelivWarning", "90", "90m", "90"},
        {"C_System_Services_SMTP_Bandwidth", "100", "100K", "100"},
        {"C_Mail_SMTP_Delivery_DoNoTruncate", "1", "no", "1"},
        {"C_Mail_SMTP_Delivery_DoNoTruncate", "0", "yes", "0"},
        {"C_Mail_SMTP_General_DeliveryMode", "1", "dns", "1"},
        {"C_Mail_SMTP_General_DeliveryMode", "0", "relay", "0"},
        {"C_System_Services_SMTP_AccessMode", "1", "grant", "1"},
        {"C_Mail_SMTP_Delivery_UseTLSSSL", "1", "opportunistic", "1"},
        {"C_Mail_SMTP_Delivery_UseTLSSSL", "0", "off", "0"},
        {"C_Mail_SMTP_Delivery_MaxMsgSize", "1048576", "1M", "1048576"},
        {"C_System_Adv_Protocols_SessionTimeOut", "300", "5m", "300"},
        {"C_Mail_Security_Protection_HELOEHLO", "0", "no", "0"},
        {"C_Mail_Security_Protocols_DenyVRFY", "1", "no", "1"},
        {"C_AS_SpamGLPending", "48", "2d", "48"},
        {"C_AS_SpamGLAuthorized", "36", "36d", "36"},
        {"C_Mail_SMTP_Delivery_DaemonAlias", "MAILER-DAEMON", "MAILER-DAEMON", "MAILER-DAEMON"},
        {"C_Mail_Security_Relay_IPList", "127.0.0.1;192.168.*.*;", "127.0.0.1\n192.168.*.*", "127.0.0.1;192.168.*.*"},
        {"C_Mail_SMTP_Delivery_UndelivAfter", "2d", NULL, NULL},
        {"C_Mail_Security_Protection_HELOEHLO", "yes", NULL, NULL},
        {"C_Mail_SMTP_Delivery_UndelivAfter", "18446744073709551615", NULL, NULL},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct fixture f;
        begin(&f);
        const struct settings_spec *spec = settings_find(text_of_terminated(rows[i].alias));
        assert_non_null(spec);
        const char *message = NULL;
        bool is_value = settings_alias_value(spec, text_of_terminated(rows[i].value), &f.buffer, &message);
        assert_int_equal(is_value, rows[i].file_value != NULL);
        if (is_value) {
            assert_true(text_equals(buffer_text(&f.buffer), text_of_terminated(rows[i].file_value)));
            struct settings *s = settings_defaults(&f.arena);
            struct buffer complaint = buffer_new(1000), back = buffer_new(1000);
            struct settings_row *list;
            size_t count, bad;
            if (settings_is_table(spec)) {
                assert_true(settings_rows_split(&f.arena, buffer_text(&f.buffer), &list, &count));
                assert_true(settings_table_parse(&f.arena, spec, list, count, s, &bad, &complaint));
            } else {
                assert_true(settings_value_parse(&f.arena, spec, buffer_text(&f.buffer), s, &complaint));
            }
            assert_true(settings_alias_text(s, spec, true, &back));
            if (!text_equals(buffer_text(&back), text_of_terminated(rows[i].back)))
                fail_msg("%s: %.*s", rows[i].alias, TEXT_ARGUMENTS(buffer_text(&back)));
            buffer_done(&complaint);
            buffer_done(&back);
        }
        end(&f);
    }
}

static void every_alias_gives_back_the_default_that_it_shows(void **state not_used)
{
    struct fixture f;
    begin(&f);
    assert_true(settings_new_default(&f.arena, &machine, &f.settings));
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        buffer_clear(&f.buffer);
        if (text_is_empty(spec->alias)) {
            assert_false(settings_alias_text(f.settings, spec, true, &f.buffer));
            continue;
        }
        assert_true(settings_alias_text(f.settings, spec, true, &f.buffer));
        struct buffer value = buffer_new(1000), complaint = buffer_new(1000);
        const char *message = "";
        assert_true(settings_alias_value(spec, buffer_text(&f.buffer), &value, &message));
        if (!settings_is_table(spec)) {
            struct settings *s = settings_defaults(&f.arena);
            assert_true(settings_value_parse(&f.arena, spec, buffer_text(&value), s, &complaint));
            assert_true(settings_value_equals(s, f.settings, spec));
        }
        buffer_done(&value);
        buffer_done(&complaint);
    }
    end(&f);
}

static void trusted_rows_decide_and_nothing_else(void **state not_used)
{
    struct fixture f;
    begin_with(&f, "[table security.trusted]\n10.*.*  # the office\n172.16-31.*.*\n2001:db8::/64\n");
    static const struct {
        const char *address;
        bool is_trusted;
    } rows[] = {
        {"10.255.0.1", true},      {"11.0.0.1", false},   {"172.31.9.9", true},       {"172.32.0.1", false},
        {"::ffff:10.1.2.3", true}, {"2001:db8::9", true}, {"2001:db8:0:1::9", false}, {"127.0.0.1", false},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct network_address a;
        assert_true(network_address_parse(text_of_terminated(rows[i].address), &a));
        assert_int_equal(settings_trusts(f.settings, &a), rows[i].is_trusted);
    }
    assert_true(text_equals(f.settings->security_trusted.rows[0].row.comment, TEXT("the office")));
    assert_int_equal(f.settings->security_trusted.rows[1].row.line, 3);
    end(&f);
}

static void a_listener_row_can_be_read_alone(void **state not_used)
{
    struct settings_listen listen;
    assert_true(settings_listen_parse(TEXT("submissions [2001:db8::1]:465 tls_min=1.3 startup=no"), &listen));
    assert_int_equal(listen.role, SETTINGS_LISTEN_SUBMISSIONS);
    assert_int_equal(listen.port, 465);
    assert_int_equal(listen.tls_min, SETTINGS_TLS_VERSION_1_3);
    assert_true(listen.offers_auth && !listen.starts && !listen.is_any);
    assert_false(settings_listen_parse(TEXT("submissions 465"), &listen));
    assert_false(settings_listen_parse(TEXT(""), &listen));
    assert_int_equal(listen.port, 465);
}

static void domain_masks_take_what_lies_below_and_no_more(void **state not_used)
{
    assert_true(settings_domain_matches(TEXT("example.org"), TEXT("EXAMPLE.org")));
    assert_true(settings_domain_matches(TEXT("*.example.org"), TEXT("a.b.example.ORG")));
    assert_false(settings_domain_matches(TEXT("*.example.org"), TEXT("example.org")));
    assert_false(settings_domain_matches(TEXT("*.example.org"), TEXT("notexample.org")));
    assert_false(settings_domain_matches(TEXT("example.org"), TEXT("a.example.org")));
}

static const char with_secrets[] = "[delivery]\nmode = relay\n"
                                   "[table delivery.relay_hosts]\nanna@example.org:Tr0ub4dor:x@relay.example.net:587 "
                                   "tls=require # first\n[2001:db8::1]\n"
                                   "[table delivery.routes]\n*.slow.test bruno:Gehe1m@192.0.2.9:2525 tls=verify\n"
                                   "[table tls.certificates]\n* tls/chain.pem tls/key.pem\n"
                                   "[table service.resolver]\n192.0.2.53@5353\n";

static void a_relay_host_is_split_at_the_last_at_sign(void **state not_used)
{
    struct fixture f;
    begin_with(&f, with_secrets);
    const struct settings_host *host = &f.settings->delivery_relay_hosts.rows[0].host;
    assert_true(text_equals(host->user, TEXT("anna@example.org")));
    assert_true(text_equals(host->password, TEXT("Tr0ub4dor:x")));
    assert_true(text_equals(host->host, TEXT("relay.example.net")));
    assert_int_equal(host->port, 587);
    assert_int_equal(host->tls, SETTINGS_TLS_LEVEL_REQUIRE);
    host = &f.settings->delivery_relay_hosts.rows[1].host;
    assert_true(host->is_address && text_is_empty(host->user) && text_equals(host->host, TEXT("2001:db8::1")));
    assert_int_equal(host->port, 25);
    assert_int_equal(host->tls, SETTINGS_TLS_LEVEL_WORDS);
    assert_int_equal(f.settings->service_resolver.rows[0].port, 5353);
    const struct settings_route *route = &f.settings->delivery_routes.rows[0];
    assert_true(text_equals(route->domain, TEXT("*.slow.test")) && text_equals(route->host.password, TEXT("Gehe1m")));
    end(&f);
}

static void domains_and_hosts_are_kept_as_a_labels(void **state not_used)
{
    struct fixture f;
    begin_with(&f, "[table delivery.routes]\n*.MÜNCHEN.example Relay.bücher.example\n[table "
                   "advanced.tls_policy]\nBank.Test verify\n");
    assert_true(text_equals(f.settings->delivery_routes.rows[0].domain, TEXT("*.xn--mnchen-3ya.example")));
    assert_true(text_equals(f.settings->delivery_routes.rows[0].host.host, TEXT("relay.xn--bcher-kva.example")));
    assert_true(
        text_equals(f.settings->delivery_routes.rows[0].row.text, TEXT("*.MÜNCHEN.example Relay.bücher.example")));
    assert_true(text_equals(f.settings->advanced_tls_policy.rows[0].domain, TEXT("bank.test")));
    end(&f);
}

static void a_log_in_is_never_shown(void **state not_used)
{
    struct fixture f;
    begin_with(&f, with_secrets);
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        settings_value_text(f.settings, spec, false, &f.buffer);
        settings_explain(f.settings, spec, SETTINGS_ENGLISH, &f.buffer);
        settings_explain(f.settings, spec, SETTINGS_ITALIAN, &f.buffer);
        ignored(settings_alias_text(f.settings, spec, false, &f.buffer)); /* not all have one */
    }
    assert_false(has(buffer_text(&f.buffer), TEXT("Tr0ub4dor")));
    assert_false(has(buffer_text(&f.buffer), TEXT("Gehe1m")));
    assert_true(has(buffer_text(&f.buffer), TEXT("anna@example.org:***@relay.example.net:587 tls=require")));
    end(&f);
}

static void a_role_gets_what_it_may_read_and_no_log_in_but_the_relay(void **state not_used)
{
    struct fixture f;
    begin_with(&f, with_secrets);
    for (unsigned reader = 1; reader < SETTINGS_READER_ALL; reader <<= 1) {
        const struct settings *got;
        buffer_clear(&f.buffer);
        assert_true(settings_pack(&f.buffer, f.settings, (enum settings_reader)reader));
        assert_true(settings_unpack(&f.arena, buffer_text(&f.buffer), &got));
        bool may_see = reader == SETTINGS_READER_RELAY || reader == SETTINGS_READER_SUPERVISOR;
        assert_int_equal(has(buffer_text(&f.buffer), TEXT("Tr0ub4dor")), may_see);
        assert_int_equal(has(buffer_text(&f.buffer), TEXT("Gehe1m")), may_see);
        assert_int_equal(has(buffer_text(&f.buffer), TEXT("tls/key.pem")), reader == SETTINGS_READER_SUPERVISOR);
        struct settings *defaults = settings_defaults(&f.arena);
        for (size_t i = 0; i < SETTINGS_KEYS; i++) {
            const struct settings_spec *spec = settings_spec((enum settings_key)i);
            bool may_read = settings_may_read(spec, (enum settings_reader)reader);
            assert_int_equal(got->withheld[i], !may_read);
            if (!may_read)
                assert_true(settings_value_equals(got, defaults, spec));
            else if (spec->secret_readers == 0 || may_see)
                assert_true(settings_value_equals(got, f.settings, spec));
            else
                assert_int_equal(settings_row_count(got, spec), settings_row_count(f.settings, spec));
        }
        assert_true(reader != SETTINGS_READER_SUPERVISOR || settings_equals(got, f.settings));
    }
    end(&f);
}

static const char with_files[] =
    "[table delivery.relay_hosts]\nrelay.test\nanna@x.test:file:tls/relay.secret@relay.test tls=require\n"
    "[table delivery.routes]\nslow.test bruno:Gehe1m@192.0.2.9\n"
    "fast.test carla:file:/etc/carla@192.0.2.8\n";

static void a_password_in_a_file_is_named_by_its_row(void **state not_used)
{
    static const struct {
        const char *key;
        size_t line;
        const char *file;
    } rows[] = {{"delivery.relay_hosts", 3, "tls/relay.secret"}, {"delivery.routes", 6, "/etc/carla"}};
    struct fixture f;
    begin_with(&f, with_files);
    size_t place = 0;
    struct settings_secret secret;
    for (size_t i = 0; i < length_of(rows); i++) {
        assert_true(settings_secret_next(f.settings, &place, &secret));
        assert_true(text_equals(secret.spec->key, text_of_terminated(rows[i].key)));
        assert_int_equal(secret.row->line, rows[i].line);
        assert_true(text_equals(secret.file, text_of_terminated(rows[i].file)));
        assert_true(text_is_empty(secret.content));
    }
    assert_false(settings_secret_next(f.settings, &place, &secret));
    end(&f);
}

static void a_password_from_a_file_goes_to_who_needs_it_alone(void **state not_used)
{
    struct fixture f;
    begin_with(&f, with_files);
    struct settings_secret items[2];
    size_t place = 0;
    assert_true(settings_secret_next(f.settings, &place, &items[0]) &&
                settings_secret_next(f.settings, &place, &items[1]));
    items[0].content = TEXT("two words @ # Zw31");
    items[1].content = TEXT("file:Dr31");
    const struct settings_secrets secrets = {.items = items, .count = length_of(items)};
    for (unsigned reader = 1; reader < SETTINGS_READER_ALL; reader <<= 1) {
        const struct settings *got;
        buffer_clear(&f.buffer);
        assert_true(settings_pack_with_secrets(&f.buffer, f.settings, &secrets, (enum settings_reader)reader));
        assert_true(settings_unpack(&f.arena, buffer_text(&f.buffer), &got));
        bool may_see = reader == SETTINGS_READER_RELAY || reader == SETTINGS_READER_SUPERVISOR;
        assert_int_equal(has(buffer_text(&f.buffer), TEXT("Zw31")), may_see);
        assert_int_equal(has(buffer_text(&f.buffer), TEXT("Dr31")), may_see);
        if (!may_see)
            continue;
        assert_true(text_equals(got->delivery_relay_hosts.rows[1].host.password, items[0].content));
        assert_true(text_equals(got->delivery_routes.rows[1].host.password, items[1].content));
        assert_true(text_equals(got->delivery_routes.rows[0].host.password, TEXT("Gehe1m")));
        assert_true(text_is_empty(got->delivery_relay_hosts.rows[0].host.password));
        for (size_t i = 0; i < SETTINGS_KEYS; i++) { /* and is not among what can be written */
            struct buffer b = buffer_new(1 << 16);
            settings_value_text(got, settings_spec((enum settings_key)i), true, &b);
            assert_false(has(buffer_text(&b), TEXT("Zw31")) || has(buffer_text(&b), TEXT("Dr31")));
            buffer_done(&b);
        }
    }
    end(&f);
}

static void a_damaged_snapshot_is_refused_or_whole(void **state not_used)
{
    struct fixture f;
    begin_with(&f, with_secrets);
    assert_true(settings_pack(&f.buffer, f.settings, SETTINGS_READER_FRONT));
    struct text whole = buffer_text(&f.buffer);
    const struct settings *got;
    for (size_t length = 0; length < whole.length; length += 7) {
        struct arena arena = arena_new(4 << 20);
        assert_false(settings_unpack(&arena, text_first(whole, length), &got));
        arena_done(&arena);
    }
    for (size_t at = 0; at < whole.length; at += 3) {
        struct arena arena = arena_new(4 << 20);
        f.buffer.bytes[at] ^= 0x55;
        if (settings_unpack(&arena, whole, &got))
            for (size_t i = 0; i < SETTINGS_KEYS; i++) { /* whatever was taken can be written */
                struct buffer b = buffer_new(4 << 20);
                settings_value_text(got, settings_spec((enum settings_key)i), true, &b);
                assert_false(b.is_full);
                buffer_done(&b);
            }
        f.buffer.bytes[at] ^= 0x55;
        arena_done(&arena);
    }
    assert_true(settings_unpack(&f.arena, whole, &got));
    struct buffer more = buffer_new(8 << 20);
    buffer_append(&more, whole);
    buffer_append_octet(&more, 'x');
    assert_false(settings_unpack(&f.arena, buffer_text(&more), &got));
    buffer_done(&more);
    end(&f);
}

static void the_audit_names_what_differs_from_the_guide(void **state not_used)
{
    static const struct {
        const char *file;
        const char *key; /* NULL: nothing differs */
    } rows[] = {
        {"", NULL},
        {"[service]\nthread_cache = 5\n", "service.thread_cache"},
        {"[security]\nrequire_helo = no\n", "security.require_helo"},
        {"[advanced]\ntls_outgoing = off\n", "advanced.tls_outgoing"},
        {"[advanced]\ntls_outgoing = require\n", NULL}, /* more than the guide asks */
        {"[delivery]\nundelivered_after = 48h\n", NULL},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct fixture f;
        begin_with(&f, rows[i].file);
        size_t place = 0;
        const struct settings_spec *spec = settings_audit_next(f.settings, &place);
        if (rows[i].key == NULL)
            assert_null(spec);
        else
            assert_true(spec != NULL && text_equals(spec->key, text_of_terminated(rows[i].key)));
        assert_true(spec == NULL || settings_audit_next(f.settings, &place) == NULL);
        end(&f);
    }
}

static void two_snapshots_differ_where_they_were_changed(void **state not_used)
{
    struct fixture a, b;
    begin_with(&a, "[service]\nthread_cache = 41\n");
    begin_with(&b, "[service]\nthread_cache = 42\n[table security.trusted]\n127.0.0.1 # me\n::1\n");
    size_t place = 0;
    assert_true(text_equals(settings_diff_next(a.settings, b.settings, &place)->key, TEXT("service.thread_cache")));
    assert_true(text_equals(settings_diff_next(a.settings, b.settings, &place)->key, TEXT("security.trusted")));
    assert_null(settings_diff_next(a.settings, b.settings, &place));
    end(&a);
    end(&b);
}

static void an_explanation_says_value_default_guide_label_and_alias(void **state not_used)
{
    struct fixture f;
    begin_with(&f, "[service]\nthread_cache = 5\n");
    settings_explain(f.settings, settings_find(TEXT("thread_cache")), SETTINGS_ITALIAN, &f.buffer);
    static const char *const parts[] = {
        "service.thread_cache = 5",
        "riga 2",
        "Cache dei thread del server",
        "Servizi > SMTP > Altro",
        "posto 1",
        "predefinito: 40",
        "la guida consiglia: 40 (non è così)",
        "C_System_Services_SMTP_ThreadCache = 5",
        "front",
    };
    for (size_t i = 0; i < length_of(parts); i++)
        if (!has(buffer_text(&f.buffer), text_of_terminated(parts[i])))
            fail_msg("lacks \"%s\": %.*s", parts[i], TEXT_ARGUMENTS(buffer_text(&f.buffer)));
    buffer_clear(&f.buffer);
    settings_explain(f.settings, settings_find(TEXT("greylisting")), SETTINGS_ENGLISH, &f.buffer);
    assert_true(has(buffer_text(&f.buffer), TEXT("not built yet")));
    end(&f);
}

static void the_manual_names_every_setting_and_the_example_is_a_valid_file(void **state not_used)
{
    struct fixture f;
    begin(&f);
    settings_as_manual(&f.buffer);
    assert_false(f.buffer.is_full);
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        assert_true(has(buffer_text(&f.buffer), settings_is_table(spec) ? spec->key : spec->name));
    }
    for (struct text rest = buffer_text(&f.buffer); !text_is_empty(rest);) {
        struct text line = text_take_until(&rest, '\n');
        static const char *const requests[] = {".TH ", ".SH ", ".SS ", ".TP", ".B ", ".BR ", ".br", ".PP", ".\\\""};
        bool is_known = !text_starts_with(line, TEXT(".")) && !text_starts_with(line, TEXT("'"));
        for (size_t i = 0; i < length_of(requests); i++)
            is_known |= text_starts_with(line, text_of_terminated(requests[i]));
        assert_true(is_known);
    }
    buffer_clear(&f.buffer);
    settings_as_example(&f.buffer);
    const struct settings *defaults;
    assert_true(settings_parse(&f.arena, buffer_text(&f.buffer), &machine, &f.problems, &f.settings));
    assert_true(settings_new_default(&f.arena, &machine, &defaults));
    assert_true(settings_equals(f.settings, defaults));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_settings_has_no_holes),
        cmocka_unit_test(every_default_is_taken_by_its_own_parser_and_is_as_the_guide_says),
        cmocka_unit_test(the_secure_mode_is_the_default),
        cmocka_unit_test(derived_defaults_follow_what_they_derive_from),
        cmocka_unit_test(names_are_found_by_key_and_alias_in_any_case),
        cmocka_unit_test(aliases_convert_units_sense_and_words),
        cmocka_unit_test(every_alias_gives_back_the_default_that_it_shows),
        cmocka_unit_test(trusted_rows_decide_and_nothing_else),
        cmocka_unit_test(a_listener_row_can_be_read_alone),
        cmocka_unit_test(domain_masks_take_what_lies_below_and_no_more),
        cmocka_unit_test(a_relay_host_is_split_at_the_last_at_sign),
        cmocka_unit_test(domains_and_hosts_are_kept_as_a_labels),
        cmocka_unit_test(a_log_in_is_never_shown),
        cmocka_unit_test(a_role_gets_what_it_may_read_and_no_log_in_but_the_relay),
        cmocka_unit_test(a_password_in_a_file_is_named_by_its_row),
        cmocka_unit_test(a_password_from_a_file_goes_to_who_needs_it_alone),
        cmocka_unit_test(a_damaged_snapshot_is_refused_or_whole),
        cmocka_unit_test(the_audit_names_what_differs_from_the_guide),
        cmocka_unit_test(two_snapshots_differ_where_they_were_changed),
        cmocka_unit_test(an_explanation_says_value_default_guide_label_and_alias),
        cmocka_unit_test(the_manual_names_every_setting_and_the_example_is_a_valid_file),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
