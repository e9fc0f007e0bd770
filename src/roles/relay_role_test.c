/* SPDX-License-Identifier: Apache-2.0 */
/* The programs portiere-relay and portiere-resolver in their sandboxes, with a fake name server and hostile mail hosts.
 * The test plays the supervisor and the queue. */
#include "mail/mail.h"
#include "roles/delivery.h"
#include "roles/program_for_tests.h"
#include "roles/script_for_tests.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { RECIPIENTS = 250, WINDOW = DELIVERY_SLOT * DELIVERY_SLOTS_RELAY };

struct scene {
    char folder[64];
    struct script names, mail;
    struct program *resolver, *relay;
    int queue;
    int window_file;
    char *window;
    uint64_t port;
    uint64_t deliveries;
    struct text body;
    struct arena arena; /* of the results */
    struct result results[RECIPIENTS];
    size_t result_count;
};

/* --- files ------------------------------------------------------------------------------------------------------ */

static void write_file(const struct scene *scene, const char *name, struct text octets)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", scene->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(octets.bytes, 1, octets.length, file), octets.length);
    fclose(file);
}

static struct buffer read_log(const struct scene *scene)
{
    char path[128];
    struct buffer b = buffer_new(8 << 20);
    snprintf(path, sizeof path, "%s/log", scene->folder);
    FILE *file = fopen(path, "r");
    while (file) {
        char *room = buffer_room(&b, 4096);
        size_t got = fread(room, 1, 4096, file);
        buffer_grew(&b, got);
        if (got == 0)
            break;
    }
    if (file)
        fclose(file);
    return b;
}

static size_t count_in_log(const struct scene *scene, const char *what)
{
    struct buffer log released_by(buffer_done) = read_log(scene);
    struct text rest = buffer_text(&log), wanted = text_of_terminated(what);
    size_t count = 0;
    for (size_t at; (at = text_find(rest, wanted)) < rest.length; count++)
        rest = text_after(rest, at + wanted.length);
    return count;
}

/* Hosts write their log as they close: it may come a moment later. */
static void assert_in_log(const struct scene *scene, const char *what, size_t times)
{
    for (int i = 0; i < 200 && count_in_log(scene, what) < times; i++)
        usleep(50000);
    if (count_in_log(scene, what) != times) {
        struct buffer log released_by(buffer_done) = read_log(scene);
        fail_msg("%s: %zu times and not %zu in\n%.*s", what, count_in_log(scene, what), times,
                 TEXT_ARGUMENTS(buffer_text(&log)));
    }
}

/* --- the scene -------------------------------------------------------------------------------------------------- */

static const struct text zone = TEXT_INIT(
    "due.test MX 10 mx1.due.test.\ndue.test MX 20 mx2.due.test.\nmx1.due.test A 127.0.0.2\nmx2.due.test A 127.0.0.3\n"
    "uno.test MX 10 mx1.due.test.\nimplicito.test A 127.0.0.2\nalias.test CNAME due.test.\n"
    "niente.test MX 0 .\nlocale.test MX 10 localhost.\nnoi.test MX 10 mx.casa.test.\nnoi-primi.test MX 10 "
    "mx.casa.test.\nnoi-primi.test MX 20 mx1.due.test.\n"
    "noi-dopo.test MX 10 mx1.due.test.\nnoi-dopo.test MX 20 mx.casa.test.\n"
    "zero.test MX 10 zero.due.test.\nzero.due.test A 0.0.0.0\nanello.test A 127.0.0.1\nmappato.test MX 10 "
    "m.test.\nm.test AAAA ::ffff:127.0.0.1\n"
    "nat.test MX 10 nat.due.test.\nnat.due.test A 192.0.2.77\nmx.casa.test A 192.0.2.77\nvietato.test MX 10 "
    "v.test.\nv.test A 192.0.2.99\n"
    "rotto.test * !SERVFAIL\nsenza.test MX 10 nessuno.test.\nvuoto.test TXT \"x\"\nchiuso.test MX 10 "
    "mx9.test.\nmx9.test A 127.0.0.9\n"
    "strano.test MX 10 a\\000b.test.\n");

static const struct text open_rules =
    TEXT_INIT("[table delivery.never_connect]\n127.0.0.1\n0.0.0.0\n192.0.2.99\nself\n");
static const struct text closed_rules = TEXT_INIT("");

static void append_settings(const struct scene *scene, struct text more, struct buffer *b)
{
    assert_true(
        buffer_append_format(b, "[service]\nhostname = mx.casa.test\n[delivery]\nport = %u\n", (unsigned)scene->port));
    buffer_append(b, more);
    assert_true(buffer_append_format(b, "\n[table service.listen]\nsmtp 127.0.0.1:2525\n"));
}

static void link_programs(struct scene *scene)
{
    int ends[2];
    assert_int_equal(channel_pair(ends), 0);
    program_send_file(scene->relay->supervisor, PEERS_peer, &(struct peers_peer){.role = PEERS_RESOLVER}, ends[0]);
    program_send_file(scene->resolver->supervisor, PEERS_peer, &(struct peers_peer){.role = PEERS_RELAY}, ends[1]);
    file_close(&ends[0]);
    file_close(&ends[1]);
}

static void use_settings(struct scene *scene, struct text more)
{
    struct buffer settings released_by(buffer_done) = buffer_new(8192);
    static uint64_t generation = 10;
    append_settings(scene, more, &settings);
    program_settings(scene->relay, buffer_text(&settings), generation++);
    usleep(30000); /* another channel than the queue's */
}

static void make_certificate(const struct scene *scene)
{
    char command[600];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=mx -days 2 -keyout "
             "%s/key.pem -out %s/cert.pem 2>/dev/null",
             scene->folder, scene->folder);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    char zone_path[128], script_path[128], log_path[128];
    void *window = NULL;
    snprintf(scene->folder, sizeof scene->folder, "/tmp/relay_test.XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    scene->arena = arena_new(4 << 20);
    scene->window_file = -1;
    write_file(scene, "zone", zone);
    write_file(scene, "script", TEXT("{}"));
    make_certificate(scene);
    snprintf(zone_path, sizeof zone_path, "%s/zone", scene->folder);
    snprintf(script_path, sizeof script_path, "%s/script", scene->folder);
    snprintf(log_path, sizeof log_path, "%s/log", scene->folder);
    scene->names = script_start("dns_server.py", (const char *const[]){"zone", zone_path, NULL});
    scene->mail = script_start(
        "smtp_server.py", (const char *const[]){script_path, log_path, "127.0.0.2", "127.0.0.3", "127.0.0.4", NULL});
    scene->port = script_port(&scene->mail);
    struct buffer settings released_by(buffer_done) = buffer_new(8192),
                           resolver released_by(buffer_done) = buffer_new(256);
    assert_true(buffer_append_format(&resolver, "[table service.resolver]\n127.0.0.1@%u\n",
                                     (unsigned)script_port(&scene->names)));
    append_settings(scene, open_rules, &settings);
    scene->resolver = program_start(RESOLVER_PROGRAM, PEERS_RESOLVER, buffer_text(&resolver), NULL, -1);
    scene->relay = program_start(RELAY_PROGRAM, PEERS_RELAY, buffer_text(&settings), NULL, -1);
    link_programs(scene);
    assert_int_equal(memory_new("slots", WINDOW, &scene->window_file), 0);
    assert_int_equal(memory_map(scene->window_file, WINDOW, true, &window), 0);
    scene->window = window;
    scene->queue = program_link(scene->relay, PEERS_QUEUE);
    program_send_file(scene->queue, PEERS_window, &(struct peers_window){.size = WINDOW}, scene->window_file);
    scene->body = TEXT("Subject: ciao\r\n\r\n.dotted\r\nend\r\n");
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    char command[128];
    assert_int_equal(program_stop(&scene->relay), 0);
    assert_int_equal(program_stop(&scene->resolver), 0);
    script_stop(&scene->names);
    script_stop(&scene->mail);
    file_close(&scene->queue);
    file_close(&scene->window_file);
    memory_unmap(scene->window, WINDOW);
    arena_done(&scene->arena);
    snprintf(command, sizeof command, "rm -r %s", scene->folder);
    assert_int_equal(system(command), 0);
    free(scene);
    return 0;
}

/* --- the queue's part ------------------------------------------------------------------------------------------- */

static size_t fill_slot(struct scene *scene, uint64_t slot, uint64_t at)
{
    struct text rest = text_first(text_after(scene->body, (size_t)at), DELIVERY_SLOT);
    memcpy(scene->window + slot * DELIVERY_SLOT, rest.bytes, rest.length);
    return rest.length;
}

static void send_deliver(struct scene *scene, const char *destination, const char *const *recipients, size_t count,
                         struct text sender)
{
    struct envelope_recipient rows[RECIPIENTS];
    struct buffer packed released_by(buffer_done) = buffer_new(32768);
    struct envelope e = {.recipients = rows, .recipient_count = count, .listener = TEXT("submission")};
    assert_int_equal(address_parse(sender, false, &e.sender), ADDRESS_OK);
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct envelope_recipient){.notify = 0};
        assert_int_equal(address_parse(text_of_terminated(recipients[i]), false, &rows[i].address), ADDRESS_OK);
    }
    assert_true(envelope_pack(&packed, &e));
    uint64_t delivery = ++scene->deliveries, slot = delivery % DELIVERY_SLOTS_RELAY;
    struct peers_deliver d = {.delivery = delivery,
                              .id = 0x123456789,
                              .slot = slot,
                              .total = scene->body.length,
                              .length = fill_slot(scene, slot, 0),
                              .destination = text_of_terminated(destination),
                              .envelope = buffer_text(&packed)};
    program_send(scene->queue, PEERS_deliver, &d);
}

static struct peers_message next_message(struct scene *scene)
{
    struct text packet;
    struct channel_descriptors files;
    struct peers_message m;
    assert_int_equal(channel_receive(scene->queue, scene->relay->bytes, 60000, &packet, &files), CHANNEL_OK);
    arena_done(&scene->relay->arena);
    assert_int_equal(peers_unpack(packet, PEERS_RELAY, PEERS_QUEUE, files.count, &scene->relay->arena, &m), PEERS_OK);
    return m;
}

/* Gives the body's parts until there is a result; returns the delivery's number. */
static uint64_t await(struct scene *scene)
{
    for (;;) {
        struct peers_message m = next_message(scene);
        if (m.type == PEERS_body_ask) {
            size_t length = fill_slot(scene, m.body_ask.delivery % DELIVERY_SLOTS_RELAY, m.body_ask.at);
            program_send(
                scene->queue, PEERS_body_part,
                &(struct peers_body_part){.delivery = m.body_ask.delivery, .at = m.body_ask.at, .length = length});
            continue;
        }
        assert_int_equal(m.type, PEERS_delivered);
        arena_done(&scene->arena);
        scene->result_count = m.delivered.results.count;
        for (size_t i = 0; i < scene->result_count; i++) {
            struct text kept;
            assert_true(arena_copy(&scene->arena, m.delivered.results.items[i], &kept));
            assert_true(result_unpack(kept, &scene->results[i]));
        }
        return m.delivered.delivery;
    }
}

static const struct result *deliver_one(struct scene *scene, const char *destination, const char *recipient)
{
    send_deliver(scene, destination, &recipient, 1, TEXT("anna@casa.test"));
    await(scene);
    assert_int_equal(scene->result_count, 1);
    return &scene->results[0];
}

static void assert_result(const struct result *r, enum result_class class, const char *enhanced, const char *stage)
{
    if (r->class != class || !text_equals(r->enhanced, text_of_terminated(enhanced)) ||
        !text_equals(r->stage, text_of_terminated(stage)))
        fail_msg("got %.*s %u %.*s at %.*s, %.*s: %.*s", TEXT_ARGUMENTS(result_class_word(r->class)), r->code,
                 TEXT_ARGUMENTS(r->enhanced), TEXT_ARGUMENTS(r->stage), TEXT_ARGUMENTS(r->host),
                 TEXT_ARGUMENTS(r->text));
}

/* --- where to (T57, C093 to C098, C102) ------------------------------------------------------------------------- */

static void a_domain_leads_to_its_hosts_or_to_a_reason(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *domain;
        enum result_class class;
        const char *enhanced, *stage;
    } rows[] = {
        {.domain = "due.test", .class = RESULT_RELAYED, .enhanced = "2.0.0", .stage = "end-of-data"},
        {.domain = "implicito.test", .class = RESULT_RELAYED, .enhanced = "2.0.0", .stage = "end-of-data"},
        {.domain = "alias.test", .class = RESULT_RELAYED, .enhanced = "2.0.0", .stage = "end-of-data"},
        {.domain = "noi-dopo.test", .class = RESULT_RELAYED, .enhanced = "2.0.0", .stage = "end-of-data"},
        {.domain = "niente.test", .class = RESULT_FAILED, .enhanced = "5.1.10", .stage = "dns"},
        {.domain = "nulla.test", .class = RESULT_FAILED, .enhanced = "5.1.2", .stage = "dns"},
        {.domain = "vuoto.test", .class = RESULT_FAILED, .enhanced = "5.1.2", .stage = "dns"},
        {.domain = "senza.test", .class = RESULT_FAILED, .enhanced = "5.4.4", .stage = "dns"},
        {.domain = "strano.test", .class = RESULT_FAILED, .enhanced = "5.4.4", .stage = "dns"},
        {.domain = "locale.test", .class = RESULT_FAILED, .enhanced = "5.4.6", .stage = "dns"},
        {.domain = "noi.test", .class = RESULT_FAILED, .enhanced = "5.4.6", .stage = "dns"},
        {.domain = "noi-primi.test", .class = RESULT_FAILED, .enhanced = "5.4.6", .stage = "dns"},
        {.domain = "zero.test", .class = RESULT_FAILED, .enhanced = "5.4.6", .stage = "dns"},
        {.domain = "anello.test", .class = RESULT_FAILED, .enhanced = "5.4.6", .stage = "dns"},
        {.domain = "mappato.test", .class = RESULT_FAILED, .enhanced = "5.4.6", .stage = "dns"},
        {.domain = "nat.test", .class = RESULT_FAILED, .enhanced = "5.4.6", .stage = "dns"},
        {.domain = "vietato.test", .class = RESULT_FAILED, .enhanced = "5.4.4", .stage = "dns"},
        {.domain = "rotto.test", .class = RESULT_DEFERRED, .enhanced = "4.4.3", .stage = "dns"},
        {.domain = "chiuso.test", .class = RESULT_DEFERRED, .enhanced = "4.4.1", .stage = "connect"},
        {.domain = "[127.0.0.1]", .class = RESULT_FAILED, .enhanced = "5.4.4", .stage = "dns"},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        char recipient[100];
        snprintf(recipient, sizeof recipient, "b@%s", rows[i].domain);
        const struct result *r = deliver_one(scene, rows[i].domain, recipient);
        if (r->class != rows[i].class || !text_equals(r->enhanced, text_of_terminated(rows[i].enhanced)))
            print_error("%s: %.*s %.*s %.*s %.*s\n", rows[i].domain, TEXT_ARGUMENTS(result_class_word(r->class)),
                        TEXT_ARGUMENTS(r->enhanced), TEXT_ARGUMENTS(r->stage), TEXT_ARGUMENTS(r->text));
        assert_int_equal(r->class, rows[i].class);
        if (rows[i].domain[0] != '[')
            assert_result(r, rows[i].class, rows[i].enhanced, rows[i].stage);
    }
    assert_in_log(scene, " text ", 4);
}

static void with_the_usual_settings_no_address_of_the_loop_is_connected_to(void **state)
{
    struct scene *scene = *state;
    use_settings(scene, closed_rules);
    assert_result(deliver_one(scene, "due.test", "b@due.test"), RESULT_FAILED, "5.4.6", "dns");
    assert_in_log(scene, "open", 0);
}

/* --- the next host (T54, T55) ----------------------------------------------------------------------------------- */

static void when_the_first_host_says_no_to_all_the_second_is_asked(void **state)
{
    struct scene *scene = *state;
    static const char *const scripts[] = {
        "{\"127.0.0.2\": {\"banner\": \"554 go away\"}}",
        "{\"127.0.0.2\": {\"banner\": \"521 no mail\"}}",
        "{\"127.0.0.2\": {\"banner\": \"421 busy\"}}",
        "{\"127.0.0.2\": {\"banner\": \"!close\"}}",
        "{\"127.0.0.2\": {\"banner\": \"OK ready\"}}",
        "{\"127.0.0.2\": {\"replies\": {\"EHLO\": \"421 busy\"}}}",
        "{\"127.0.0.2\": {\"replies\": {\"MAIL\": \"421 busy\"}}}",
        "{\"127.0.0.2\": {\"replies\": {\"MAIL\": \"451 later\"}}}",
        "{\"127.0.0.2\": {\"replies\": {\"RCPT\": \"421 busy\"}}}",
        "{\"127.0.0.2\": {\"replies\": {\"DATA\": \"!close\"}}}",
        "{\"127.0.0.2\": {\"replies\": {\".\": \"421 busy\"}}}",
    };
    for (size_t i = 0; i < length_of(scripts); i++) {
        write_file(scene, "script", text_of_terminated(scripts[i]));
        use_settings(scene, open_rules); /* no connection is kept over a change */
        const struct result *r = deliver_one(scene, "due.test", "b@due.test");
        if (r->class != RESULT_RELAYED)
            print_error("%s\n", scripts[i]);
        assert_result(r, RESULT_RELAYED, "2.0.0", "end-of-data");
        assert_true(text_starts_with(r->host, TEXT("mx2.due.test [127.0.0.3]:")));
    }
}

static void what_a_host_says_of_a_recipient_is_final(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *script;
        enum result_class class;
        const char *enhanced, *stage;
    } rows[] = {
        {.script = "{\"127.0.0.2\": {\"replies\": {\"RCPT\": \"550 5.1.1 nobody\"}}}",
         .class = RESULT_FAILED,
         .enhanced = "5.1.1",
         .stage = "rcpt"},
        {.script = "{\"127.0.0.2\": {\"replies\": {\"RCPT\": \"450 4.7.1 grey\"}}}",
         .class = RESULT_DEFERRED,
         .enhanced = "4.7.1",
         .stage = "rcpt"},
        {.script = "{\"127.0.0.2\": {\"replies\": {\"MAIL\": \"550 5.7.1 no\"}}}",
         .class = RESULT_FAILED,
         .enhanced = "5.7.1",
         .stage = "mail"},
        {.script = "{\"127.0.0.2\": {\"replies\": {\"DATA\": \"451 4.3.0 no\"}}}",
         .class = RESULT_DEFERRED,
         .enhanced = "4.3.0",
         .stage = "data"},
        {.script = "{\"127.0.0.2\": {\"replies\": {\".\": \"554 5.6.0 no\"}}}",
         .class = RESULT_FAILED,
         .enhanced = "5.6.0",
         .stage = "end-of-data"},
        {.script = "{\"127.0.0.2\": {\"replies\": {\".\": \"!close\"}}}",
         .class = RESULT_DEFERRED,
         .enhanced = "4.4.2",
         .stage = "end-of-data"},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        write_file(scene, "script", text_of_terminated(rows[i].script));
        use_settings(scene, open_rules); /* as above */
        assert_result(deliver_one(scene, "due.test", "b@due.test"), rows[i].class, rows[i].enhanced, rows[i].stage);
    }
    assert_in_log(scene, "127.0.0.3", 0);
}

static void when_all_hosts_refuse_the_class_of_the_code_decides(void **state)
{
    struct scene *scene = *state;
    write_file(scene, "script", TEXT("{\"*\": {\"banner\": \"554 5.7.1 go away\"}}"));
    assert_result(deliver_one(scene, "due.test", "b@due.test"), RESULT_FAILED, "5.7.1", "banner");
    write_file(
        scene, "script",
        TEXT("{\"127.0.0.2\": {\"banner\": \"421 4.3.2 busy\"}, \"127.0.0.3\": {\"banner\": \"554 5.7.1 go away\"}}"));
    assert_result(deliver_one(scene, "due.test", "b@due.test"), RESULT_DEFERRED, "4.3.2", "banner");
}

/* --- TLS (T56, S38) --------------------------------------------------------------------------------------------- */

static void tls_is_used_when_it_can_be_and_kept_to_when_it_must(void **state)
{
    struct scene *scene = *state;
    static const char *const good =
        "\"ehlo\": [\"STARTTLS\"], \"certificate\": \"%s/cert.pem\", \"key\": \"%s/key.pem\"";
    static const struct {
        const char *more;
        bool has_certificate;
        const char *settings;
        enum result_class class;
        const char *enhanced;
        size_t in_tls, in_clear;
    } rows[] = {
        {.more = "\"replies\": {}",
         .has_certificate = true,
         .settings = "",
         .class = RESULT_RELAYED_WITHOUT_DSN,
         .enhanced = "2.0.0",
         .in_tls = 1},
        {.more = "\"replies\": {}",
         .has_certificate = true,
         .settings = "[advanced]\ntls_outgoing = require\n",
         .class = RESULT_RELAYED_WITHOUT_DSN,
         .enhanced = "2.0.0",
         .in_tls = 1},
        {.more = "\"replies\": {}",
         .has_certificate = true,
         .settings = "[advanced]\ntls_outgoing = verify\n",
         .class = RESULT_DEFERRED,
         .enhanced = "4.7.5"},
        {.more = "\"replies\": {}",
         .has_certificate = true,
         .settings = "[advanced]\ntls_outgoing = off\n",
         .class = RESULT_RELAYED_WITHOUT_DSN,
         .enhanced = "2.0.0",
         .in_clear = 1},
        {.more = "\"replies\": {\"STARTTLS\": \"454 4.7.0 no\"}",
         .has_certificate = true,
         .settings = "",
         .class = RESULT_RELAYED_WITHOUT_DSN,
         .enhanced = "2.0.0",
         .in_clear = 1},
        {.more = "\"replies\": {\"STARTTLS\": \"hex:ffff0d0a\"}",
         .has_certificate = true,
         .settings = "",
         .class = RESULT_RELAYED_WITHOUT_DSN,
         .enhanced = "2.0.0",
         .in_clear = 1},
        {.more = "\"ehlo\": [\"STARTTLS\"]",
         .settings = "",
         .class = RESULT_RELAYED_WITHOUT_DSN,
         .enhanced = "2.0.0",
         .in_clear = 1},
        {.more = "\"old_tls\": 1",
         .has_certificate = true,
         .settings = "",
         .class = RESULT_RELAYED_WITHOUT_DSN,
         .enhanced = "2.0.0",
         .in_clear = 1},
        {.more = "\"ehlo\": [\"STARTTLS\"]",
         .settings = "[advanced]\ntls_outgoing = require\n",
         .class = RESULT_DEFERRED,
         .enhanced = "4.7.5"},
        {.more = "\"replies\": {\"STARTTLS\": \"554 5.7.0 no\"}",
         .has_certificate = true,
         .settings = "[table advanced.tls_policy]\nuno.test require\n",
         .class = RESULT_DEFERRED,
         .enhanced = "4.7.4"},
        {.more = "\"ehlo\": [\"SIZE\"]",
         .settings = "[advanced]\ntls_outgoing = require\n",
         .class = RESULT_DEFERRED,
         .enhanced = "4.7.4"},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer script released_by(buffer_done) = buffer_new(2048),
                             settings released_by(buffer_done) = buffer_new(2048);
        char certificate[400];
        snprintf(certificate, sizeof certificate, good, scene->folder, scene->folder);
        assert_true(buffer_append_format(&script, "{\"127.0.0.2\": {%s%s%s}}",
                                         rows[i].has_certificate ? certificate : "",
                                         rows[i].has_certificate ? ", " : "", rows[i].more));
        write_file(scene, "script", buffer_text(&script));
        write_file(scene, "log", TEXT(""));
        assert_true(buffer_append(&settings, text_of_terminated(rows[i].settings)) &&
                    buffer_append(&settings, open_rules));
        use_settings(scene, buffer_text(&settings));
        const struct result *r = deliver_one(scene, "uno.test", "b@uno.test");
        if (r->class != rows[i].class)
            print_error("row %zu\n", i);
        assert_int_equal(r->class, rows[i].class);
        assert_true(text_equals(r->enhanced, text_of_terminated(rows[i].enhanced)));
        assert_in_log(scene, "tls TLSv1.3", rows[i].in_tls);
        assert_in_log(scene, " text ", rows[i].in_tls + rows[i].in_clear);
    }
}

/* --- many recipients, long bodies, reuse ------------------------------------------------------------------------ */

static void each_recipient_gets_its_own_result(void **state)
{
    struct scene *scene = *state;
    write_file(scene, "script",
               TEXT("{\"*\": {\"replies\": {\"RCPT c@due.test\": \"450 4.2.0 later\", \"RCPT d@due.test\": \"550 5.1.1 "
                    "no\", \"RCPT e@due.test\": [\"452 4.5.3 too many\", \"250 ok\"]}}}"));
    send_deliver(scene, "due.test", (const char *const[]){"b@due.test", "c@due.test", "d@due.test", "e@due.test"}, 4,
                 TEXT("anna@casa.test"));
    await(scene);
    assert_int_equal(scene->result_count, 4);
    assert_result(&scene->results[0], RESULT_RELAYED, "2.0.0", "end-of-data");
    assert_result(&scene->results[1], RESULT_DEFERRED, "4.2.0", "rcpt");
    assert_result(&scene->results[2], RESULT_FAILED, "5.1.1", "rcpt");
    assert_result(&scene->results[3], RESULT_RELAYED, "2.0.0", "end-of-data"); /* in a second transaction: C118 */
    assert_in_log(scene, " text ", 2);
    assert_in_log(scene, "RCPT TO:<b@due.test>", 1);
    assert_in_log(scene, " open ", 1);
}

static void more_recipients_than_the_limit_are_split(void **state)
{
    struct scene *scene = *state;
    static char names[RECIPIENTS][32];
    const char *recipients[RECIPIENTS];
    for (size_t i = 0; i < RECIPIENTS; i++) {
        snprintf(names[i], sizeof names[i], "r%zu@due.test", i);
        recipients[i] = names[i];
    }
    send_deliver(scene, "due.test", recipients, RECIPIENTS, TEXT("anna@casa.test"));
    await(scene);
    assert_int_equal(scene->result_count, RECIPIENTS);
    for (size_t i = 0; i < RECIPIENTS; i++)
        assert_result(&scene->results[i], RESULT_RELAYED, "2.0.0", "end-of-data");
    assert_in_log(scene, " text ", 3);
    assert_in_log(scene, "RCPT TO:", RECIPIENTS);
    assert_in_log(scene, "RCPT TO:<r99@", 1);
    assert_in_log(scene, " open ", 1);
}

static void a_long_body_comes_through_whole(void **state)
{
    struct scene *scene = *state;
    enum { LENGTH = 700000 };
    char *octets = malloc(LENGTH);
    assert_non_null(octets);
    for (size_t i = 0; i < LENGTH; i++)
        octets[i] = i % 61 == 59 ? '\r' : i % 61 == 60 ? '\n' : i % 61 == 0 ? '.' : (char)('a' + i % 26);
    memcpy(octets + LENGTH - 2, "\r\n", 2);
    struct text before = scene->body;
    scene->body = text_of(octets, LENGTH);
    /* the first host dies in the middle: the body is asked for again from its beginning */
    write_file(scene, "script", TEXT("{\"127.0.0.2\": {\"replies\": {\"DATA\": \"!half\"}}}"));
    assert_result(deliver_one(scene, "due.test", "b@due.test"), RESULT_RELAYED, "2.0.0", "end-of-data");
    assert_in_log(scene, "text 700000 ", 1);
    write_file(scene, "sent", scene->body);
    char command[300];
    snprintf(command, sizeof command, "grep -q \"text 700000 $(sha256sum < %s/sent | cut -d' ' -f1)\" %s/log",
             scene->folder, scene->folder);
    assert_int_equal(system(command), 0);
    scene->body = before;
    free(octets);
}

static void an_open_connection_carries_the_next_message(void **state)
{
    struct scene *scene = *state;
    for (int i = 0; i < 5; i++)
        assert_result(deliver_one(scene, "due.test", "b@due.test"), RESULT_RELAYED, "2.0.0", "end-of-data");
    assert_in_log(scene, " open ", 1);
    assert_in_log(scene, " text ", 5);
    assert_in_log(scene, "> QUIT", 1); /* after some seconds of nothing */
}

static void a_kept_connection_that_died_is_replaced(void **state)
{
    struct scene *scene = *state;
    write_file(scene, "script",
               TEXT("{\"*\": {\"replies\": {\"MAIL\": [\"250 ok\", \"421 idle too long\", \"250 ok\"]}}}"));
    assert_result(deliver_one(scene, "uno.test", "b@uno.test"), RESULT_RELAYED, "2.0.0", "end-of-data");
    assert_result(deliver_one(scene, "uno.test", "b@uno.test"), RESULT_RELAYED, "2.0.0", "end-of-data");
    assert_in_log(scene, " open ", 2);
}

static void no_more_sessions_are_open_than_allowed(void **state)
{
    struct scene *scene = *state;
    enum { JOBS = 6 };
    struct buffer settings released_by(buffer_done) = buffer_new(2048);
    assert_true(buffer_append(&settings, TEXT("[service]\nmax_outgoing = 2\n")));
    buffer_append(&settings, open_rules);
    struct buffer whole released_by(buffer_done) = buffer_new(4096);
    assert_true(buffer_append_format(
        &whole, "[service]\nhostname = mx.casa.test\nmax_outgoing = 2\n[delivery]\nport = %u\n%.*s",
        (unsigned)scene->port, TEXT_ARGUMENTS(open_rules)));
    program_settings(scene->relay, buffer_text(&whole), 5);
    usleep(30000);
    write_file(scene, "script", TEXT("{\"*\": {\"delays\": {\".\": 0.3}}}"));
    const char *recipient = "b@due.test";
    static const char *const destinations[] = {"due.test", "implicito.test", "alias.test",
                                               "uno.test", "noi-dopo.test",  "due.test"};
    for (size_t i = 0; i < JOBS; i++)
        send_deliver(scene, destinations[i], &recipient, 1, TEXT("anna@casa.test"));
    size_t relayed = 0;
    for (size_t i = 0; i < JOBS; i++) {
        await(scene);
        relayed += scene->results[0].class == RESULT_RELAYED;
        if (scene->results[0].class != RESULT_RELAYED)
            assert_result(&scene->results[0], RESULT_DEFERRED, "4.3.2", "relay");
    }
    assert_int_equal(relayed, 2);
    assert_result(deliver_one(scene, "uno.test", recipient), RESULT_RELAYED, "2.0.0", "end-of-data");
    assert_in_log(scene, " open 3", 0);
}

/* --- by a relay ------------------------------------------------------------------------------------------------- */

static void in_relay_mode_the_hosts_written_down_get_it(void **state)
{
    struct scene *scene = *state;
    struct buffer settings released_by(buffer_done) = buffer_new(4096);
    assert_true(
        buffer_append_format(&settings,
                             "mode = relay\n[table delivery.relay_hosts]\nanna@casa.test:pass:word@127.0.0.3:%u "
                             "tls=off\n127.0.0.4:%u tls=off\n[table delivery.never_connect]\n10.0.0.0/8\n",
                             (unsigned)scene->port, (unsigned)scene->port));
    use_settings(scene, buffer_text(&settings));
    write_file(scene, "script",
               TEXT("{\"127.0.0.3\": {\"ehlo\": [\"AUTH PLAIN\"], \"replies\": {\"AUTH\": \"235 ok\"}}}"));
    assert_result(deliver_one(scene, "relay", "b@ovunque.test"), RESULT_RELAYED_WITHOUT_DSN, "2.0.0", "end-of-data");
    assert_in_log(scene, "127.0.0.3 > AUTH PLAIN AGFubmFAY2FzYS50ZXN0AHBhc3M6d29yZA==", 1);
    use_settings(scene, buffer_text(&settings));
    write_file(scene, "script",
               TEXT("{\"127.0.0.3\": {\"ehlo\": [\"AUTH PLAIN\"], \"replies\": {\"AUTH\": \"535 no\"}}}"));
    assert_result(deliver_one(scene, "relay", "b@ovunque.test"), RESULT_RELAYED, "2.0.0", "end-of-data");
    assert_in_log(scene, "127.0.0.4 text", 1);
}

/* settings.md, relay_on_failure: each of its lines. */
static void when_all_hosts_failed_the_relay_gets_it_and_only_then(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *domain, *script, *more;
        bool by_relay;
    } rows[] = {
        {.domain = "chiuso.test", .script = "{}", .by_relay = true},
        {.domain = "uno.test", .script = "\"banner\": \"421 busy\"", .by_relay = true},
        {.domain = "uno.test", .script = "\"banner\": \"554 no\"", .by_relay = true},
        {.domain = "uno.test", .script = "\"replies\": {\"MAIL\": \"550 no\"}", .by_relay = true},
        {.domain = "uno.test", .script = "\"replies\": {\"RCPT\": \"450 later\"}", .by_relay = true},
        {.domain = "uno.test", .script = "\"replies\": {\".\": \"451 later\"}", .by_relay = true},
        {.domain = "uno.test", .script = "\"replies\": {\"RCPT\": \"550 5.1.1 no\"}"},
        {.domain = "uno.test", .script = "\"replies\": {\".\": \"554 no\"}"},
        {.domain = "niente.test", .script = "{}"},
        {.domain = "nulla.test", .script = "{}"},
        {.domain = "uno.test",
         .script = "\"banner\": \"421 busy\"",
         .more = "[table advanced.tls_policy]\nuno.test require\n"},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer settings released_by(buffer_done) = buffer_new(4096),
                               script released_by(buffer_done) = buffer_new(1024);
        char recipient[64];
        assert_true(buffer_append_format(
            &settings, "relay_on_failure = yes\n%s[table delivery.relay_hosts]\n127.0.0.4:%u tls=off\n%.*s",
            rows[i].more ? rows[i].more : "", (unsigned)scene->port, TEXT_ARGUMENTS(open_rules)));
        if (rows[i].script[0] == '{')
            buffer_append(&script, TEXT("{}"));
        else
            assert_true(buffer_append_format(&script, "{\"127.0.0.2\": {%s}}", rows[i].script));
        use_settings(scene, buffer_text(&settings));
        write_file(scene, "script", buffer_text(&script));
        write_file(scene, "log", TEXT(""));
        snprintf(recipient, sizeof recipient, "b@%s", rows[i].domain);
        const struct result *r = deliver_one(scene, rows[i].domain, recipient);
        if ((r->class == RESULT_RELAYED) != rows[i].by_relay)
            print_error("row %zu\n", i);
        assert_int_equal(r->class == RESULT_RELAYED, rows[i].by_relay);
        assert_in_log(scene, "127.0.0.4 text ", rows[i].by_relay);
    }
}

static void status_is_told(void **state)
{
    struct scene *scene = *state;
    int control = program_link(scene->relay, PEERS_CONTROL);
    program_send(control, PEERS_command_ask,
                 &(struct peers_command_ask){.tag = 7, .name = TEXT("status"), .caller = TEXT("root")});
    assert_int_equal(program_expect(scene->relay, control, PEERS_CONTROL, PEERS_command_row).command_row.tag, 7);
    assert_int_equal(program_expect(scene->relay, control, PEERS_CONTROL, PEERS_command_end).command_end.status, 0);
    file_close(&control);
}

/* --- roles that go ---------------------------------------------------------------------------------------------- */

static void without_a_resolver_mail_waits(void **state)
{
    struct scene *scene = *state;
    program_kill(&scene->resolver);
    usleep(50000);
    assert_result(deliver_one(scene, "due.test", "b@due.test"), RESULT_DEFERRED, "4.4.3", "dns");
    struct buffer resolver released_by(buffer_done) = buffer_new(256);
    assert_true(buffer_append_format(&resolver, "[table service.resolver]\n127.0.0.1@%u\n",
                                     (unsigned)script_port(&scene->names)));
    scene->resolver = program_start(RESOLVER_PROGRAM, PEERS_RESOLVER, buffer_text(&resolver), NULL, -1);
    link_programs(scene);
    usleep(50000);
    assert_result(deliver_one(scene, "due.test", "b@due.test"), RESULT_RELAYED, "2.0.0", "end-of-data");
}

static void a_new_queue_hears_nothing_of_the_old_ones_deliveries(void **state)
{
    struct scene *scene = *state;
    write_file(scene, "script", TEXT("{\"*\": {\"delays\": {\".\": 0.5}}}"));
    const char *recipient = "b@due.test";
    send_deliver(scene, "due.test", &recipient, 1, TEXT("anna@casa.test"));
    usleep(300000);
    file_close(&scene->queue);
    scene->queue = program_link(scene->relay, PEERS_QUEUE);
    program_send_file(scene->queue, PEERS_window, &(struct peers_window){.size = WINDOW}, scene->window_file);
    assert_in_log(scene, " text ", 1);
    usleep(600000);
    scene->deliveries = 100;
    send_deliver(scene, "uno.test", &recipient, 1, TEXT("anna@casa.test"));
    assert_int_equal(await(scene), 101);
}

static void a_body_reaches_the_delivery_of_the_queue_that_is_there(void **state)
{
    struct scene *scene = *state;
    enum { LENGTH = 400000 };
    char *octets = malloc(LENGTH);
    assert_non_null(octets);
    for (size_t i = 0; i < LENGTH; i++)
        octets[i] = i % 50 == 48 ? '\r' : i % 50 == 49 ? '\n' : 'x';
    write_file(scene, "script", TEXT("{\"*\": {\"delays\": {\".\": 3}}}"));
    const char *recipient = "b@due.test";
    send_deliver(scene, "due.test", &recipient, 1, TEXT("anna@casa.test"));
    usleep(500000); /* it waits for the answer to its dot */
    write_file(scene, "script", TEXT("{}"));
    file_close(&scene->queue);
    scene->queue = program_link(scene->relay, PEERS_QUEUE);
    program_send_file(scene->queue, PEERS_window, &(struct peers_window){.size = WINDOW}, scene->window_file);
    usleep(100000);
    struct text before = scene->body;
    scene->body = text_of(octets, LENGTH);
    scene->deliveries = 0; /* a new queue counts from the beginning, too */
    assert_result(deliver_one(scene, "uno.test", "b@uno.test"), RESULT_RELAYED, "2.0.0", "end-of-data");
    assert_in_log(scene, "text 400000 ", 1);
    scene->body = before;
    free(octets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        SCENE(a_domain_leads_to_its_hosts_or_to_a_reason),
        SCENE(with_the_usual_settings_no_address_of_the_loop_is_connected_to),
        SCENE(when_the_first_host_says_no_to_all_the_second_is_asked),
        SCENE(what_a_host_says_of_a_recipient_is_final),
        SCENE(when_all_hosts_refuse_the_class_of_the_code_decides),
        SCENE(tls_is_used_when_it_can_be_and_kept_to_when_it_must),
        SCENE(each_recipient_gets_its_own_result),
        SCENE(more_recipients_than_the_limit_are_split),
        SCENE(a_long_body_comes_through_whole),
        SCENE(an_open_connection_carries_the_next_message),
        SCENE(a_kept_connection_that_died_is_replaced),
        SCENE(no_more_sessions_are_open_than_allowed),
        SCENE(in_relay_mode_the_hosts_written_down_get_it),
        SCENE(when_all_hosts_failed_the_relay_gets_it_and_only_then),
        SCENE(status_is_told),
        SCENE(without_a_resolver_mail_waits),
        SCENE(a_new_queue_hears_nothing_of_the_old_ones_deliveries),
        SCENE(a_body_reaches_the_delivery_of_the_queue_that_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
