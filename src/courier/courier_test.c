/* SPDX-License-Identifier: Apache-2.0 */
#include "courier/private.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

/* --- a DNS out of a table --------------------------------------------------------------------------------------- */

enum { MANY = 300 };

struct exchange_row {
    const char *host;
    unsigned preference;
};

struct fake {
    const struct exchange_row *exchanges;
    size_t exchange_count;
    enum dns_outcome outcome, address_outcome;
    size_t asked;
    const char *self; /* a host whose address is ours */
    bool has_many_addresses;
};

static struct text wire_of(struct arena *arena, const char *host, unsigned preference)
{
    struct buffer b released_by(buffer_done) = buffer_new(300);
    struct text rest = text_of_terminated(host), kept;
    buffer_append_octet(&b, (char)(preference >> 8));
    buffer_append_octet(&b, (char)(preference & 255));
    while (rest.length) {
        struct text label = text_take_until(&rest, '.');
        buffer_append_octet(&b, (char)label.length);
        buffer_append(&b, label);
    }
    buffer_append_octet(&b, 0);
    assert_true(arena_copy(arena, buffer_text(&b), &kept));
    return kept;
}

/* 192.0.2.X, where X is the number at the end of the name's first label; 127.0.0.1 for the own one. */
static struct text address_of(struct fake *f, struct arena *arena, struct text name, size_t which)
{
    uint64_t number = 1;
    struct text label = text_first(name, text_find_octet(name, '.')), kept;
    ignored(text_number(text_after(label, 1), 250, &number)); /* else it stays 1 */
    bool is_self = f->self && text_equals(name, text_of_terminated(f->self));
    char octets[] = {(char)(is_self ? 127 : 192), 0, (char)(is_self ? 0 : 2), (char)(number + which)};
    assert_true(arena_copy(arena, text_of(octets, 4), &kept));
    return kept;
}

static struct courier_answer ask(void *context, struct text name, enum dns_type type, struct arena *arena)
{
    struct fake *f = context;
    struct courier_answer answer = {.outcome = type == DNS_MX ? f->outcome : f->address_outcome};
    f->asked++;
    if (type == DNS_AAAA)
        answer.outcome = DNS_NO_DATA;
    if (answer.outcome != DNS_FOUND)
        return answer;
    size_t count = type == DNS_MX ? f->exchange_count : f->has_many_addresses ? 40 : 1;
    answer.records = arena_take_array(arena, count, sizeof *answer.records);
    answer.record_count = count;
    for (size_t i = 0; i < count; i++)
        answer.records[i] = type == DNS_MX ? wire_of(arena, f->exchanges[i].host, f->exchanges[i].preference)
                                           : address_of(f, arena, name, i);
    return answer;
}

static enum courier_place place(void *context not_used, const struct network_address *address, uint16_t port not_used,
                                bool is_found_by_dns not_used)
{
    return network_address_is_loopback(address) ? COURIER_IS_SELF : COURIER_MAY_CONNECT;
}

static bool find(struct fake *f, struct arena *arena, struct courier_host **hosts, size_t *count,
                 struct result *failure)
{
    struct courier_world world = {.context = f, .hostname = TEXT("mx.casa.test"), .ask = ask, .place = place};
    struct courier_plan plan = {.domain = TEXT("fuori.test"), .port = 25};
    return hosts_find(&world, &plan, arena, hosts, count, failure);
}

/* --- whom to try ------------------------------------------------------------------------------------------------ */

static void hosts_come_by_preference(void **state not_used)
{
    static const struct exchange_row rows[] = {{"m3.test", 30}, {"m1.test", 10}, {"m2.test", 20}};
    struct fake f = {.exchanges = rows, .exchange_count = length_of(rows)};
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct courier_host *hosts;
    struct result failure;
    size_t count;
    assert_true(find(&f, &arena, &hosts, &count, &failure));
    assert_int_equal(count, 3);
    assert_true(text_equals(hosts[0].name, TEXT("m1.test")));
    assert_true(text_equals(hosts[1].name, TEXT("m2.test")));
    assert_true(text_equals(hosts[2].name, TEXT("m3.test")));
}

static void equal_preferences_come_in_any_order(void **state not_used)
{
    static const struct exchange_row rows[] = {{"m1.test", 10}, {"m2.test", 10}, {"m9.test", 20}};
    size_t first = 0;
    for (int i = 0; i < 200; i++) {
        struct fake f = {.exchanges = rows, .exchange_count = length_of(rows)};
        struct arena arena released_by(arena_done) = arena_new(1 << 20);
        struct courier_host *hosts;
        struct result failure;
        size_t count;
        assert_true(find(&f, &arena, &hosts, &count, &failure));
        first += text_equals(hosts[0].name, TEXT("m1.test"));
        assert_true(text_equals(hosts[2].name, TEXT("m9.test")));
    }
    assert_true(first > 50 && first < 150);
}

static void only_the_first_few_of_many_are_looked_up(void **state not_used)
{
    static char names[MANY][16];
    static struct exchange_row rows[MANY];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "m%zu.test", i);
        rows[i] = (struct exchange_row){.host = names[i], .preference = (unsigned)(MANY - i)};
    }
    struct fake f = {.exchanges = rows, .exchange_count = MANY};
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct courier_host *hosts;
    struct result failure;
    size_t count;
    assert_true(find(&f, &arena, &hosts, &count, &failure));
    assert_int_equal(count, COURIER_HOSTS);
    assert_true(text_equals(hosts[0].name, TEXT("m299.test")));
    assert_true(f.asked <= 1 + 2 * COURIER_HOSTS);
    f = (struct fake){.exchanges = rows, .exchange_count = 3, .has_many_addresses = true};
    assert_true(find(&f, &arena, &hosts, &count, &failure));
    assert_int_equal(count, COURIER_ADDRESSES);
}

/* RFC 5321 section 5.1. */
static void hosts_that_are_not_preferred_to_us_are_left_out(void **state not_used)
{
    static const struct exchange_row rows[] = {{"m1.test", 10}, {"m2.test", 20}, {"m3.test", 20}, {"m4.test", 30}};
    static const struct {
        const char *self;
        size_t count;
        const char *enhanced;
    } trials[] = {{"m1.test", 0, "5.4.6"}, {"m2.test", 1, ""}, {"m4.test", 3, ""}};
    for (size_t i = 0; i < length_of(trials); i++) {
        struct fake f = {.exchanges = rows, .exchange_count = length_of(rows), .self = trials[i].self};
        struct arena arena released_by(arena_done) = arena_new(1 << 20);
        struct courier_host *hosts;
        struct result failure = {.enhanced = TEXT_NONE};
        size_t count = 0;
        assert_int_equal(find(&f, &arena, &hosts, &count, &failure), trials[i].count != 0);
        assert_int_equal(count, trials[i].count);
        assert_true(text_equals(failure.enhanced, text_of_terminated(trials[i].enhanced)));
    }
}

static void a_look_up_that_failed_is_never_for_good(void **state not_used)
{
    static const struct exchange_row rows[] = {{"m1.test", 10}};
    static const struct {
        enum dns_outcome outcome, address_outcome;
        enum result_class class;
        const char *enhanced;
    } trials[] = {
        {.outcome = DNS_FAILED, .class = RESULT_DEFERRED, .enhanced = "4.4.3"},
        {.outcome = DNS_TIMED_OUT, .class = RESULT_DEFERRED, .enhanced = "4.4.3"},
        {.outcome = DNS_BOGUS, .class = RESULT_DEFERRED, .enhanced = "4.4.3"},
        {.outcome = DNS_NO_NAME, .class = RESULT_FAILED, .enhanced = "5.1.2"},
        {.outcome = DNS_NO_DATA, .address_outcome = DNS_NO_DATA, .class = RESULT_FAILED, .enhanced = "5.1.2"},
        {.outcome = DNS_NO_DATA, .address_outcome = DNS_FAILED, .class = RESULT_DEFERRED, .enhanced = "4.4.3"},
        {.outcome = DNS_FOUND, .address_outcome = DNS_NO_NAME, .class = RESULT_FAILED, .enhanced = "5.4.4"},
        {.outcome = DNS_FOUND, .address_outcome = DNS_TIMED_OUT, .class = RESULT_DEFERRED, .enhanced = "4.4.3"},
    };
    for (size_t i = 0; i < length_of(trials); i++) {
        struct fake f = {.exchanges = rows,
                         .exchange_count = 1,
                         .outcome = trials[i].outcome,
                         .address_outcome = trials[i].address_outcome};
        struct arena arena released_by(arena_done) = arena_new(1 << 20);
        struct courier_host *hosts;
        struct result failure;
        size_t count;
        assert_false(find(&f, &arena, &hosts, &count, &failure));
        assert_int_equal(failure.class, trials[i].class);
        assert_true(text_equals(failure.enhanced, text_of_terminated(trials[i].enhanced)));
    }
}

/* --- deadlines (T48) -------------------------------------------------------------------------------------------- */

static void a_silent_or_deaf_peer_is_waited_for_until_the_deadline_only(void **state not_used)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    struct courier_stream s = {.socket = ends[0]};
    struct buffer b released_by(buffer_done) = buffer_new(1 << 20);
    uint64_t before = clock_monotonic_ms();
    assert_int_equal(stream_read(&s, &b, before + 30), COURIER_LATE);
    static char octets[1 << 20];
    assert_int_equal(stream_write(&s, text_of(octets, sizeof octets), clock_monotonic_ms() + 30), COURIER_LATE);
    assert_true(clock_monotonic_ms() - before < 5000);
    assert_int_equal(stream_read(&s, &b, 0), COURIER_LATE);
    size_t written;
    assert_int_equal(socket_write(ends[1], TEXT("220 mx\r\n"), &written), 0);
    assert_int_equal(stream_read(&s, &b, clock_monotonic_ms() + 1000), COURIER_FLOWS);
    assert_true(text_equals(buffer_text(&b), TEXT("220 mx\r\n")));
    file_close(&ends[1]);
    assert_int_equal(stream_read(&s, &b, clock_monotonic_ms() + 1000), COURIER_ENDED);
    assert_int_equal(stream_write(&s, TEXT("x"), clock_monotonic_ms() + 1000), COURIER_ENDED);
    stream_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_come_by_preference),
        cmocka_unit_test(equal_preferences_come_in_any_order),
        cmocka_unit_test(only_the_first_few_of_many_are_looked_up),
        cmocka_unit_test(hosts_that_are_not_preferred_to_us_are_left_out),
        cmocka_unit_test(a_look_up_that_failed_is_never_for_good),
        cmocka_unit_test(a_silent_or_deaf_peer_is_waited_for_until_the_deadline_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
