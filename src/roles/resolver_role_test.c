/* SPDX-License-Identifier: Apache-2.0 */
/* The program portiere-resolver, in its sandbox, with name servers that answer well, badly, or not at all. */
#include "dns/records.h"
#include "roles/program_for_tests.h"
#include "roles/script_for_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

struct scene {
    struct program *program;
    int relay;
    struct buffer settings;
};

static void use_port(struct scene *scene, uint64_t port)
{
    buffer_clear(&scene->settings);
    assert_true(buffer_append_format(&scene->settings, "[table service.resolver]\n127.0.0.1@%u\n", (unsigned)port));
}

static void begin(struct scene *scene, uint64_t port)
{
    scene->settings = buffer_new(1024);
    use_port(scene, port);
    scene->program = program_start(RESOLVER_PROGRAM, PEERS_RESOLVER, buffer_text(&scene->settings), NULL, -1);
    scene->relay = program_link(scene->program, PEERS_RELAY);
}

static void end(struct scene *scene)
{
    assert_int_equal(program_stop(&scene->program), 0);
    file_close(&scene->relay);
    buffer_done(&scene->settings);
}

static struct peers_dns_answer ask(struct scene *scene, struct text name, uint64_t type, uint64_t deadline)
{
    static uint64_t tag;
    program_send(scene->relay, PEERS_dns_ask,
                 &(struct peers_dns_ask){.tag = ++tag, .type = type, .deadline = deadline, .name = name});
    struct peers_message m = program_expect(scene->program, scene->relay, PEERS_RELAY, PEERS_dns_answer);
    assert_int_equal(m.dns_answer.tag, tag);
    return m.dns_answer;
}

static void questions_are_answered_as_the_zone_says(void **state not_used)
{
    char path[] = "/tmp/zone.XXXXXX";
    int file = mkstemp(path);
    static const struct text zone =
        TEXT_INIT("fuori.test MX 10 mx.fuori.test.\nfuori.test MX 20 due.fuori.test.\nmx.fuori.test A 192.0.2.1\n"
                  "mx.fuori.test AAAA 2001:db8::1\nfuori.test TXT \"one\" \"two\"\nalias.test CNAME fuori.test.\n"
                  "broken.test * !SERVFAIL\nrefused.test * !REFUSED\nsilent.test * !SILENT\n");
    assert_int_equal(write(file, zone.bytes, zone.length), zone.length);
    struct script server = script_start("dns_server.py", (const char *const[]){"zone", path, NULL});
    struct scene scene;
    begin(&scene, script_port(&server));
    static const struct {
        struct text name;
        unsigned type;
        enum dns_outcome outcome, or_else;
        size_t records;
        struct text canonical;
    } rows[] = {
        {.name = TEXT_INIT("fuori.test"), .type = DNS_MX, .outcome = DNS_FOUND, .records = 2},
        {.name = TEXT_INIT("FUORI.test"), .type = DNS_MX, .outcome = DNS_FOUND, .records = 2},
        {.name = TEXT_INIT("mx.fuori.test"), .type = DNS_A, .outcome = DNS_FOUND, .records = 1},
        {.name = TEXT_INIT("mx.fuori.test"), .type = DNS_AAAA, .outcome = DNS_FOUND, .records = 1},
        {.name = TEXT_INIT("fuori.test"), .type = DNS_TXT, .outcome = DNS_FOUND, .records = 1},
        {.name = TEXT_INIT("fuori.test"), .type = DNS_A, .outcome = DNS_NO_DATA},
        {.name = TEXT_INIT("nulla.test"), .type = DNS_A, .outcome = DNS_NO_NAME},
        {.name = TEXT_INIT("alias.test"),
         .type = DNS_MX,
         .outcome = DNS_FOUND,
         .records = 2,
         .canonical = TEXT_INIT("fuori.test")},
        {.name = TEXT_INIT("broken.test"), .type = DNS_A, .outcome = DNS_FAILED, .or_else = DNS_TIMED_OUT},
        {.name = TEXT_INIT("refused.test"), .type = DNS_A, .outcome = DNS_FAILED, .or_else = DNS_TIMED_OUT},
        {.name = TEXT_INIT("silent.test"), .type = DNS_A, .outcome = DNS_TIMED_OUT, .or_else = DNS_TIMED_OUT},
        {.name = TEXT_INIT("not a name"), .type = DNS_A, .outcome = DNS_FAILED},
        {.name = TEXT_INIT("a..b"), .type = DNS_A, .outcome = DNS_FAILED},
        {.name = TEXT_INIT("a\\.b.test"), .type = DNS_A, .outcome = DNS_FAILED},
        {.name = TEXT_INIT(""), .type = DNS_A, .outcome = DNS_FAILED},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        uint64_t before = clock_monotonic_ms();
        struct peers_dns_answer answer = ask(&scene, rows[i].name, rows[i].type, 1500);
        if (answer.outcome != rows[i].outcome && answer.outcome != rows[i].or_else)
            print_error("%.*s: %.*s\n", TEXT_ARGUMENTS(rows[i].name),
                        TEXT_ARGUMENTS(dns_outcome_word((enum dns_outcome)answer.outcome)));
        assert_true(answer.outcome == rows[i].outcome || (rows[i].or_else && answer.outcome == rows[i].or_else));
        assert_int_equal(answer.records.count, rows[i].records);
        if (rows[i].canonical.length)
            assert_true(text_equals(answer.canonical, rows[i].canonical));
        assert_true(clock_monotonic_ms() - before < 4000);
    }
    end(&scene);
    script_stop(&server);
    close(file);
    unlink(path);
}

/* --- hostile answers (T59, T60) --------------------------------------------------------------------------------- */

enum {
    HAS = 1 << DNS_FOUND,
    NO_NAME = 1 << DNS_NO_NAME,
    NO_DATA = 1 << DNS_NO_DATA,
    LATER = 1 << DNS_FAILED | 1 << DNS_TIMED_OUT | 1 << DNS_BOGUS
};

static const struct {
    struct text id;
    unsigned outcomes;
    enum dns_reading reading; /* of its first MX or PTR */
    bool is_read;
} vectors[] = {
    {.id = TEXT_INIT("mx-ok"), .outcomes = HAS, .is_read = true, .reading = DNS_READ},
    {.id = TEXT_INIT("mx-null"), .outcomes = HAS, .is_read = true, .reading = DNS_READ_ROOT},
    {.id = TEXT_INIT("mx-null-and-real"), .outcomes = HAS},
    {.id = TEXT_INIT("mx-short-0"), .outcomes = LATER},
    {.id = TEXT_INIT("mx-short-2"), .outcomes = LATER},
    {.id = TEXT_INIT("mx-rdlen-past-end"), .outcomes = LATER},
    {.id = TEXT_INIT("ptr-loop-self"), .outcomes = LATER},
    {.id = TEXT_INIT("ptr-forward"), .outcomes = LATER},
    {.id = TEXT_INIT("label-64"), .outcomes = LATER},
    {.id = TEXT_INIT("name-over-255"), .outcomes = LATER},
    {.id = TEXT_INIT("mx-name-with-nul"), .outcomes = HAS, .is_read = true, .reading = DNS_NOT_A_HOST},
    {.id = TEXT_INIT("mx-name-with-crlf"), .outcomes = HAS, .is_read = true, .reading = DNS_NOT_A_HOST},
    {.id = TEXT_INIT("ancount-lies"), .outcomes = LATER},
    {.id = TEXT_INIT("qdcount-0"), .outcomes = LATER},
    {.id = TEXT_INIT("wrong-id"), .outcomes = LATER},
    {.id = TEXT_INIT("wrong-question"), .outcomes = LATER},
    {.id = TEXT_INIT("short-5-bytes"), .outcomes = LATER},
    {.id = TEXT_INIT("truncated-flag"), .outcomes = HAS, .is_read = true, .reading = DNS_READ},
    {.id = TEXT_INIT("servfail"), .outcomes = LATER},
    {.id = TEXT_INIT("nxdomain"), .outcomes = NO_NAME},
    {.id = TEXT_INIT("refused"), .outcomes = LATER},
    {.id = TEXT_INIT("nodata"), .outcomes = NO_DATA},
    {.id = TEXT_INIT("cname-then-mx"), .outcomes = HAS | LATER},
    {.id = TEXT_INIT("cname-loop"), .outcomes = LATER},
    {.id = TEXT_INIT("mx-500"), .outcomes = HAS},
    {.id = TEXT_INIT("txt-3-strings"), .outcomes = HAS},
    {.id = TEXT_INIT("txt-len-lies"), .outcomes = LATER},
    {.id = TEXT_INIT("txt-empty"), .outcomes = LATER | NO_DATA},
    {.id = TEXT_INIT("txt-nul"), .outcomes = HAS},
    {.id = TEXT_INIT("ptr-octal"), .outcomes = HAS, .is_read = true, .reading = DNS_NOT_A_HOST},
    {.id = TEXT_INIT("ptr-format"), .outcomes = HAS, .is_read = true, .reading = DNS_NOT_A_HOST},
    {.id = TEXT_INIT("a-wrong-len"), .outcomes = LATER},
    {.id = TEXT_INIT("aaaa-mapped"), .outcomes = HAS},
    {.id = TEXT_INIT("a-0.0.0.0"), .outcomes = HAS},
};

/* What the relay makes of an answer: a record that its reader finds malformed is a failure for now, as SERVFAIL is. */
static bool is_malformed(uint64_t type, struct text rdata, struct buffer *b)
{
    unsigned preference;
    uint8_t octets[16];
    switch ((enum dns_type)type) {
    case DNS_MX:
        return dns_read_mx(rdata, b, &preference) == DNS_MALFORMED;
    case DNS_PTR:
    case DNS_CNAME:
        return dns_read_name(rdata, b) == DNS_MALFORMED;
    case DNS_TXT:
        return !dns_read_txt(rdata, b);
    case DNS_A:
        return !dns_read_a(rdata, octets);
    case DNS_AAAA:
        return !dns_read_aaaa(rdata, octets);
    }
    return false;
}

static void check_vector(struct text id, uint64_t type, const struct peers_dns_answer *answer)
{
    size_t i = 0;
    while (i < length_of(vectors) && !text_equals(vectors[i].id, id))
        i++;
    if (i == length_of(vectors))
        return; /* a type that nobody asks for */
    struct buffer b released_by(buffer_done) = buffer_new(70000);
    unsigned outcome = 1U << answer->outcome;
    if (answer->outcome == DNS_FOUND && is_malformed(type, answer->records.items[0], &b))
        outcome = 1U << DNS_FAILED;
    buffer_clear(&b);
    if (!(vectors[i].outcomes & outcome))
        print_error("%.*s: %.*s\n", TEXT_ARGUMENTS(id),
                    TEXT_ARGUMENTS(dns_outcome_word((enum dns_outcome)answer->outcome)));
    assert_true(vectors[i].outcomes & outcome);
    assert_true(answer->records.count <= 256);
    unsigned preference;
    if (vectors[i].is_read && type == DNS_MX)
        assert_int_equal(dns_read_mx(answer->records.items[0], &b, &preference), vectors[i].reading);
    else if (vectors[i].is_read)
        assert_int_equal(dns_read_name(answer->records.items[0], &b), vectors[i].reading);
    if (text_equals(id, TEXT("txt-3-strings")))
        assert_true(dns_read_txt(answer->records.items[0], &b) && b.length > 600);
}

static void hostile_answers_are_of_the_class_that_the_vectors_say(void **state not_used)
{
    const char *folder = getenv("PORTIERE_CORPORA");
    char path[4096];
    snprintf(path, sizeof path, "%s/dns/hostile-answers.json", folder ? folder : PROJECT_ROOT "/../shared/corpora");
    if (access(path, R_OK) != 0) {
        print_message("dns/hostile-answers.json is absent\n");
        skip();
    }
    struct script server = script_start("dns_server.py", (const char *const[]){"vectors", path, NULL});
    struct scene scene;
    begin(&scene, 1);
    struct text lines = buffer_text(&server.said);
    uint64_t generation = 2;
    while (lines.length) {
        struct text line = text_take_until(&lines, '\n');
        uint64_t port, type;
        assert_true(text_number(text_take_word(&line), 65535, &port));
        struct text id = text_take_word(&line);
        assert_true(text_number(text_take_word(&line), 65535, &type));
        struct text name = text_take_word(&line);
        use_port(&scene, port);
        program_settings(scene.program, buffer_text(&scene.settings), generation++);
        usleep(20000); /* the start channel and the link are two: the settings must come first */
        struct peers_dns_answer answer = ask(&scene, name, type, 1000);
        check_vector(id, type, &answer);
    }
    assert_true(generation > 30);
    end(&scene);
    script_stop(&server);
}

static void status_is_told(void **state not_used)
{
    struct scene scene;
    begin(&scene, 1);
    int control = program_link(scene.program, PEERS_CONTROL);
    program_send(control, PEERS_command_ask,
                 &(struct peers_command_ask){.tag = 7, .name = TEXT("status"), .caller = TEXT("root")});
    assert_int_equal(program_expect(scene.program, control, PEERS_CONTROL, PEERS_command_row).command_row.tag, 7);
    assert_int_equal(program_expect(scene.program, control, PEERS_CONTROL, PEERS_command_end).command_end.status, 0);
    file_close(&control);
    end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_are_answered_as_the_zone_says),
        cmocka_unit_test(hostile_answers_are_of_the_class_that_the_vectors_say),
        cmocka_unit_test(status_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
