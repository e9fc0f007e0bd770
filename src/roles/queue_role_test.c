/* SPDX-License-Identifier: Apache-2.0 */
/* The program portiere-queue, driven by a scripted supervisor, and by a front, a mailbox, a relay and a vault that may be in a stranger's hands. */
#include "accounts/ticket.h"
#include "mail/mail.h"
#include "mailbox/scratch_for_tests.h"
#include "roles/delivery.h"
#include "roles/program_for_tests.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

enum { LANES = 6, DECIDED_MS = 20000 };

struct lane {
    int channel, wake;
    struct window *window;
    uint64_t position, sequence;
};

struct scene {
    int root;
    struct program *program;
    int front, control;
    struct lane lanes[LANES];
    uint64_t next_id;
};

static struct text key(void)
{
    static const char octets[TICKET_KEY_LENGTH] = "0123456789abcdef0123456789abcde";
    return text_of(octets, sizeof octets);
}

/* --- a front ------------------------------------------------------------------------------------------------------------------------- */

static void send_all(int channel, enum peers_type type, const void *fields, const struct channel_descriptors *files)
{
    struct buffer packed released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
    assert_true(peers_pack(&packed, type, fields));
    assert_int_equal(channel_send(channel, buffer_text(&packed), files, true), CHANNEL_OK);
}

static void lane_open(struct scene *scene, size_t number)
{
    struct lane *lane = &scene->lanes[number];
    int ends[2];
    struct text packet;
    struct channel_descriptors files;
    struct peers_message window;
    void *address = NULL;
    file_close(&lane->channel);
    memory_unmap(lane->window, sizeof *lane->window);
    assert_int_equal(channel_pair(ends), 0);
    send_all(scene->front, PEERS_lane, &(struct peers_lane){.number = number}, &(struct channel_descriptors){.files = {ends[1], lane->wake}, .count = 2});
    file_close(&ends[1]);
    assert_int_equal(channel_receive(ends[0], scene->program->bytes, DECIDED_MS, &packet, &files), CHANNEL_OK);
    assert_int_equal(peers_unpack(packet, PEERS_QUEUE, PEERS_FRONT, files.count, &scene->program->arena, &window), PEERS_OK);
    assert_int_equal(memory_map(files.files[0], sizeof(struct window), true, &address), 0);
    channel_descriptors_close(&files);
    *lane = (struct lane){.channel = ends[0], .wake = lane->wake, .window = address};
}

static struct envelope plain_envelope(struct envelope_recipient *recipients, size_t count)
{
    for (size_t i = 0; i < count; i++)
        recipients[i] = (struct envelope_recipient){.address = {.local = TEXT("anna"), .domain = TEXT("casa.test")}};
    return (struct envelope){.sender = {.local = TEXT("s"), .domain = TEXT("fuori.test")}, .recipients = recipients, .recipient_count = count,
                             .arrived_ms = clock_wall_ms(), .client = TEXT("192.0.2.7"), .listener = TEXT("smtp")};
}

/* Octets into the ring; where they begin. */
static uint64_t put(struct lane *lane, struct text octets)
{
    uint64_t place = lane->position;
    assert_true(window_wait_for_room(lane->window, place + octets.length, DECIDED_MS));
    window_put(lane->window, place, octets);
    lane->position += octets.length;
    return place;
}

static struct peers_message_take take_of(struct scene *scene, struct lane *lane, struct text body)
{
    return (struct peers_message_take){.sequence = ++lane->sequence, .id = queue_id_make(7, 0, ++scene->next_id), .place = put(lane, body), .length = body.length,
                                       .recipients = 1};
}

static void send_take(struct lane *lane, const struct peers_message_take *take, const struct envelope *e)
{
    struct buffer packed released_by(buffer_done) = buffer_new(65536);
    struct peers_message_take whole = *take;
    if (e) {
        assert_true(envelope_pack(&packed, e));
        whole.envelope = buffer_text(&packed);
    }
    program_send(lane->channel, PEERS_message_take, &whole);
}

static enum window_result decided(struct lane *lane)
{
    for (uint64_t until = clock_monotonic_ms() + DECIDED_MS; clock_monotonic_ms() < until;) {
        if (atomic_load(&lane->window->durable) >= lane->sequence)
            return (enum window_result)atomic_load(&lane->window->results[lane->sequence % WINDOW_RESULTS]);
        ignored(usleep(500)); /* woken early is no harm */
    }
    return WINDOW_UNDECIDED;
}

/* The body goes ahead in parts; the take is left to the caller. */
static struct peers_message_take stream(struct scene *scene, struct lane *lane, struct text body)
{
    enum { PIECE = 100000 };
    uint64_t id = queue_id_make(7, 0, ++scene->next_id), at = 0;
    for (struct text rest = body; rest.length;) {
        struct text piece = text_take(&rest, smaller(PIECE, rest.length));
        struct peers_message_part part = {.id = id, .at = at, .place = put(lane, piece), .length = piece.length};
        program_send(lane->channel, PEERS_message_part, &part);
        at += piece.length;
    }
    return (struct peers_message_take){.id = id, .at = at, .recipients = 1};
}

static bool lane_is_closed(struct scene *scene, struct lane *lane)
{
    return program_is_silent(scene->program, lane->channel);
}

/* --- an administrator ---------------------------------------------------------------------------------------------------------------- */

static struct text field(const struct texts *fields, struct text name)
{
    for (size_t i = 0; i + 1 < fields->count; i += 2)
        if (text_equals(fields->items[i], name))
            return fields->items[i + 1];
    return TEXT_NONE;
}

/* A number of a row, summed over all rows that have it; ret_rows of how many. */
static uint64_t ask_sum(struct scene *scene, struct text command, struct text wanted, size_t *ret_rows)
{
    uint64_t sum = 0;
    program_send(scene->control, PEERS_command_ask, &(struct peers_command_ask){.tag = 9, .name = command});
    for (*ret_rows = 0;;) {
        struct text packet;
        struct channel_descriptors files;
        struct peers_message m;
        uint64_t number;
        assert_int_equal(channel_receive(scene->control, scene->program->bytes, DECIDED_MS, &packet, &files), CHANNEL_OK);
        arena_done(&scene->program->arena);
        assert_int_equal(peers_unpack(packet, PEERS_QUEUE, PEERS_CONTROL, files.count, &scene->program->arena, &m), PEERS_OK);
        if (m.type == PEERS_command_end)
            return sum;
        if (!text_number(field(&m.command_row.fields, wanted), UINT64_MAX, &number))
            continue;
        sum += number;
        ++*ret_rows;
    }
}

static uint64_t status_of(struct scene *scene, struct text wanted)
{
    size_t rows;
    return ask_sum(scene, TEXT("status"), wanted, &rows);
}

/* What came over another channel may be looked at later than the question. */
static void wait_for(struct scene *scene, struct text wanted, uint64_t value)
{
    for (uint64_t until = clock_monotonic_ms() + DECIDED_MS; status_of(scene, wanted) != value && clock_monotonic_ms() < until;)
        ignored(usleep(500)); /* woken early is no harm */
    assert_int_equal(status_of(scene, wanted), value);
}

/* --- scenes -------------------------------------------------------------------------------------------------------------------------- */

static const struct text settings = TEXT_INIT("[service]\nprimary_domain = casa.test\n[table security.trusted]\n10.0.0.0/8\n");

static void start(struct scene *scene)
{
    scene->program = program_start(QUEUE_PROGRAM, PEERS_QUEUE, settings, "spool", scene->root);
    scene->front = program_link(scene->program, PEERS_FRONT);
    scene->control = program_link(scene->program, PEERS_CONTROL);
    for (size_t i = 0; i < LANES; i++)
        lane_open(scene, i);
}

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    scene->root = scratch_new();
    for (size_t i = 0; i < LANES; i++)
        scene->lanes[i] = (struct lane){.channel = -1, .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    start(scene);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(program_stop(&scene->program), 0);
    for (size_t i = 0; i < LANES; i++) {
        file_close(&scene->lanes[i].channel);
        file_close(&scene->lanes[i].wake);
        memory_unmap(scene->lanes[i].window, sizeof(struct window));
    }
    file_close(&scene->front);
    file_close(&scene->control);
    scratch_free(&scene->root);
    free(scene);
    return 0;
}

static const struct text body = TEXT_INIT("A: b\r\n\r\nhello\r\n");

static void what_front_says_of_a_client_is_not_enough(void **state)
{
    struct scene *scene = *state;
    struct buffer ticket released_by(buffer_done) = buffer_new(TICKET_LENGTH);
    struct ticket_keys keys = {.count = 0};
    int vault released_by(file_close) = program_link(scene->program, PEERS_VAULT);
    program_send(vault, PEERS_ticket_key, &(struct peers_ticket_key){.key = key()});
    assert_true(ticket_keys_add(&keys, key()));
    assert_true(ticket_make(&keys, &(struct ticket){.account = TEXT("anna@casa.test"), .session = 1, .expires_ms = clock_monotonic_ms() + 60000}, &ticket));
    ignored(status_of(scene, TEXT("taken"))); /* behind it, the key is there */
    const struct {
        struct text login, authorised, listener, client, ticket;
        enum window_result result;
    } rows[] = {
        {.listener = TEXT("smtp"), .result = WINDOW_DURABLE},
        {.listener = TEXT("smtp"), .authorised = TEXT("auth"), .result = WINDOW_NOT_PERMITTED},
        {.listener = TEXT("smtp"), .authorised = TEXT("pop"), .result = WINDOW_NOT_PERMITTED},
        {.listener = TEXT("smtp"), .authorised = TEXT("x"), .result = WINDOW_NOT_PERMITTED},
        {.listener = TEXT("smtp"), .authorised = TEXT("trusted"), .client = TEXT("192.0.2.7"), .result = WINDOW_NOT_PERMITTED},
        {.listener = TEXT("smtp"), .authorised = TEXT("trusted"), .client = TEXT("nonsense"), .result = WINDOW_NOT_PERMITTED},
        {.listener = TEXT("smtp"), .authorised = TEXT("trusted"), .client = TEXT("10.1.2.3"), .result = WINDOW_DURABLE},
        {.listener = TEXT("local"), .result = WINDOW_NOT_PERMITTED},
        {.listener = TEXT(""), .result = WINDOW_NOT_PERMITTED},
        {.listener = TEXT("submission"), .login = TEXT("anna@casa.test"), .authorised = TEXT("auth"), .result = WINDOW_NOT_PERMITTED},
        {.listener = TEXT("submission"), .login = TEXT("bruno@casa.test"), .authorised = TEXT("auth"), .ticket = buffer_text(&ticket), .result = WINDOW_NOT_PERMITTED},
        {.listener = TEXT("submission"), .login = TEXT("anna@casa.test"), .authorised = TEXT("auth"), .ticket = buffer_text(&ticket), .result = WINDOW_DURABLE},
        {.listener = TEXT("local"), .login = TEXT("anna@casa.test"), .authorised = TEXT("auth"), .ticket = buffer_text(&ticket), .result = WINDOW_NOT_PERMITTED},
    };
    struct lane *lane = &scene->lanes[0];
    for (size_t i = 0; i < length_of(rows); i++) {
        struct envelope_recipient recipient;
        struct envelope e = plain_envelope(&recipient, 1);
        struct peers_message_take take = take_of(scene, lane, body);
        e.login = rows[i].login;
        e.authorised = rows[i].authorised;
        e.listener = rows[i].listener;
        e.client = rows[i].client.length ? rows[i].client : e.client;
        take.ticket = rows[i].ticket;
        send_take(lane, &take, &e);
        enum window_result result = decided(lane);
        if (result != rows[i].result)
            fail_msg("row %zu: %d", i, (int)result);
    }
}

static void a_lane_that_says_what_can_not_be_ends_and_nothing_else(void **state)
{
    struct scene *scene = *state;
    struct envelope_recipient recipients[1];
    struct envelope good = plain_envelope(recipients, 1), none = plain_envelope(recipients, 0);
    struct lane *lane = &scene->lanes[0], *other = &scene->lanes[1];
    for (int kind = 0; kind < 9; kind++) {
        struct peers_message_take take = take_of(scene, lane, body);
        const struct envelope *e = &good;
        switch (kind) {
        case 0:
            take.place++;
            break;
        case 1:
            take.length = WINDOW_SIZE + 1;
            break;
        case 2:
            take.sequence = 5;
            break;
        case 3:
            take.id = 0;
            break;
        case 4:
            take.id = queue_id_make(7, 255, 1); /* of the queue's own */
            break;
        case 5:
            e = &none;
            break;
        case 6:
            e = NULL;
            take.envelope = TEXT("garbage");
            break;
        case 7: {
            struct peers_message_part part = {.id = queue_id_make(7, 0, 99), .place = UINT64_MAX - 3, .length = 8};
            program_send(lane->channel, PEERS_message_part, &part);
            break;
        }
        case 8:
            assert_int_equal(channel_send(lane->channel, TEXT("\x01"), NULL, true), CHANNEL_OK);
            break;
        }
        if (kind < 7)
            send_take(lane, &take, e);
        assert_true(lane_is_closed(scene, lane));
        lane_open(scene, 0);
        struct peers_message_take next = take_of(scene, other, body);
        send_take(other, &next, &good);
        assert_int_equal(decided(other), WINDOW_DURABLE);
    }
}

static void what_is_missing_of_a_message_is_told(void **state)
{
    struct scene *scene = *state;
    struct envelope_recipient recipients[2];
    struct envelope one = plain_envelope(recipients, 1), two = plain_envelope(recipients, 2);
    struct buffer ahead released_by(buffer_done) = buffer_new(65536);
    struct lane *lane = &scene->lanes[0];
    struct peers_message_take take = take_of(scene, lane, body);
    take.recipients = 3; /* two should have come ahead */
    send_take(lane, &take, &one);
    assert_int_equal(decided(lane), WINDOW_DISK_FULL);
    take = take_of(scene, lane, body);
    take.at = 100; /* a part should have */
    send_take(lane, &take, &one);
    assert_int_equal(decided(lane), WINDOW_DISK_FULL);
    take = take_of(scene, lane, body);
    assert_true(envelope_pack(&ahead, &two));
    program_send(lane->channel, PEERS_message_recipients, &(struct peers_message_recipients){.id = take.id, .packed = buffer_text(&ahead)});
    take.recipients = 3;
    send_take(lane, &take, &one);
    assert_int_equal(decided(lane), WINDOW_DURABLE);
    size_t rows;
    assert_int_equal(ask_sum(scene, TEXT("queue-list"), TEXT("recipients"), &rows), 3);
    assert_int_equal(rows, 1);
    /* an id that waits already */
    struct peers_message_take again = take_of(scene, lane, body);
    again.id = take.id;
    send_take(lane, &again, &one);
    assert_int_equal(decided(lane), WINDOW_DISK_FAILED);
    assert_int_equal(ask_sum(scene, TEXT("queue-list"), TEXT("recipients"), &rows), 3);
}

/* Five lanes are filled while the queue stands still, so that one group's records can't hold all of them. */
static void a_large_body_that_must_wait_for_room_is_whole(void **state)
{
    struct scene *scene = *state;
    enum { LARGE = 1100000, LARGES = 12, SMALLS_A_LANE = 15, SMALL_LANES = LANES - 1 };
    static char octets[LARGE], helo[60000];
    struct envelope_recipient recipient;
    struct envelope e = plain_envelope(&recipient, 1);
    struct peers_message_take takes[LARGES];
    struct lane *last = &scene->lanes[LANES - 1];
    memset(octets, 'x', sizeof octets);
    memset(helo, 'h', sizeof helo);
    e.helo = text_of(helo, sizeof helo);
    for (size_t i = 0; i < LARGES; i++)
        takes[i] = stream(scene, last, text_of(octets, sizeof octets));
    ignored(status_of(scene, TEXT("taken")));
    assert_true(window_wait_for_room(last->window, last->position + WINDOW_SIZE, DECIDED_MS)); /* all of it was taken over */
    assert_int_equal(kill(scene->program->process, SIGSTOP), 0);
    for (size_t l = 0; l < SMALL_LANES; l++)
        for (size_t i = 0; i < SMALLS_A_LANE - (l == SMALL_LANES - 1 ? 12 : 0); i++) {
            struct peers_message_take take = take_of(scene, &scene->lanes[l], body);
            send_take(&scene->lanes[l], &take, &e);
        }
    for (size_t i = 0; i < LARGES; i++) {
        takes[i].sequence = ++last->sequence;
        takes[i].place = last->position;
        send_take(last, &takes[i], &e);
    }
    assert_int_equal(kill(scene->program->process, SIGCONT), 0);
    for (size_t l = 0; l < LANES; l++)
        assert_int_equal(decided(&scene->lanes[l]), WINDOW_DURABLE);
    size_t rows;
    uint64_t size = ask_sum(scene, TEXT("queue-list"), TEXT("size"), &rows), smalls = SMALL_LANES * SMALLS_A_LANE - 12;
    assert_int_equal(rows, LARGES + smalls);
    assert_int_equal(size, (uint64_t)LARGES * LARGE + smalls * body.length);
}

/* --- those who deliver --------------------------------------------------------------------------------------------------------------- */

static int link_receiver(struct scene *scene, enum peers_role role, uint64_t slots, char **ret_window)
{
    struct text packet;
    struct channel_descriptors files;
    struct peers_message m;
    void *address = NULL;
    int channel = program_link(scene->program, role);
    assert_int_equal(channel_receive(channel, scene->program->bytes, DECIDED_MS, &packet, &files), CHANNEL_OK);
    assert_int_equal(peers_unpack(packet, PEERS_QUEUE, role, files.count, &scene->program->arena, &m), PEERS_OK);
    assert_int_equal(m.type, PEERS_window);
    assert_int_equal(memory_map(files.files[0], (size_t)slots * DELIVERY_SLOT, true, &address), 0);
    channel_descriptors_close(&files);
    *ret_window = address;
    return channel;
}

static void answer_local(struct scene *scene, int vault)
{
    struct peers_message ask = program_expect(scene->program, vault, PEERS_VAULT, PEERS_route_ask);
    program_send(vault, PEERS_route_answer, &(struct peers_route_answer){.tag = ask.route_ask.tag, .kind = MAIL_ADDRESS_LOCAL, .account = TEXT("anna@casa.test")});
}

static void only_whom_a_delivery_went_to_may_end_it_and_only_with_proof(void **state)
{
    struct scene *scene = *state;
    char *box_window, *relay_window;
    int vault released_by(file_close) = program_link(scene->program, PEERS_VAULT);
    int box released_by(file_close) = link_receiver(scene, PEERS_MAILBOX, DELIVERY_SLOTS_MAILBOX, &box_window);
    int relay released_by(file_close) = link_receiver(scene, PEERS_RELAY, DELIVERY_SLOTS_RELAY, &relay_window);
    struct envelope_recipient recipient;
    struct envelope e = plain_envelope(&recipient, 1);
    struct lane *lane = &scene->lanes[0];
    struct buffer good released_by(buffer_done) = buffer_new(200);
    assert_true(result_pack(&good, &(struct result){.class = RESULT_DELIVERED, .code = 250, .enhanced = TEXT("2.0.0"), .stage = TEXT("mailbox")}));
    struct text results[] = {buffer_text(&good), TEXT("garbage")};
    for (int round = 0; round < 2; round++) {
        struct peers_message_take take = take_of(scene, lane, body);
        send_take(lane, &take, &e);
        assert_int_equal(decided(lane), WINDOW_DURABLE);
        if (round == 0)
            answer_local(scene, vault);
        struct peers_message deliver = program_expect(scene->program, box, PEERS_MAILBOX, PEERS_deliver);
        uint64_t number = deliver.deliver.delivery;
        assert_int_equal(deliver.deliver.total, body.length);
        assert_memory_equal(box_window + deliver.deliver.slot * DELIVERY_SLOT, body.bytes, body.length);
        struct peers_delivered said = {.delivery = number, .results = {.items = results, .count = 1}};
        program_send(relay, PEERS_delivered, &said);
        program_send(relay, PEERS_body_ask, &(struct peers_body_ask){.delivery = number, .at = 3});
        program_send(box, PEERS_body_ask, &(struct peers_body_ask){.delivery = number, .at = UINT64_MAX});
        struct peers_message part = program_expect(scene->program, box, PEERS_MAILBOX, PEERS_body_part);
        assert_int_equal(part.body_part.length, 0);
        assert_int_equal(status_of(scene, TEXT("delivered")), 0);
        assert_int_equal(status_of(scene, TEXT("waiting")), 1 + round);
        if (round == 0) { /* garbage, and nothing at all */
            said.results.items = results + 1;
            program_send(box, PEERS_delivered, &said);
            program_send(box, PEERS_delivered, &said); /* twice */
            wait_for(scene, TEXT("deferred"), 1);
            continue;
        }
        program_send(box, PEERS_delivered, &said);
        program_send(box, PEERS_delivered, &said);
        wait_for(scene, TEXT("delivered"), 1);
        wait_for(scene, TEXT("waiting"), 1);
    }
    memory_unmap(box_window, (size_t)DELIVERY_SLOTS_MAILBOX * DELIVERY_SLOT);
    memory_unmap(relay_window, (size_t)DELIVERY_SLOTS_RELAY * DELIVERY_SLOT);
}

static void a_vault_that_does_not_read_does_not_stop_the_queue(void **state)
{
    struct scene *scene = *state;
    enum { MESSAGES = 40, RECIPIENTS = 500 };
    static struct envelope_recipient recipients[RECIPIENTS];
    static char names[RECIPIENTS][8];
    int vault released_by(file_close) = program_link(scene->program, PEERS_VAULT);
    struct envelope e = plain_envelope(recipients, RECIPIENTS);
    struct lane *lane = &scene->lanes[0];
    for (size_t m = 0; m < MESSAGES; m++) {
        for (size_t i = 0; i < RECIPIENTS; i++) {
            for (size_t d = 0, n = m * RECIPIENTS + i; d < sizeof names[i]; d++, n /= 16)
                names[i][d] = (char)('a' + n % 16);
            recipients[i].address.local = text_of(names[i], sizeof names[i]);
        }
        struct peers_message_take take = take_of(scene, lane, body);
        take.recipients = RECIPIENTS;
        send_take(lane, &take, &e);
        assert_int_equal(decided(lane), WINDOW_DURABLE);
    }
    assert_int_equal(status_of(scene, TEXT("waiting")), MESSAGES);
    for (size_t i = 0; i < MESSAGES * RECIPIENTS; i++) { /* each is asked in the end */
        struct peers_message ask = program_expect(scene->program, vault, PEERS_VAULT, PEERS_route_ask);
        assert_true(ask.route_ask.recipient.length > 0);
    }
}

static void what_was_taken_is_there_after_a_kill(void **state)
{
    struct scene *scene = *state;
    struct envelope_recipient recipient;
    struct envelope e = plain_envelope(&recipient, 1);
    for (int i = 0; i < 3; i++) {
        struct peers_message_take take = take_of(scene, &scene->lanes[0], body);
        send_take(&scene->lanes[0], &take, &e);
        assert_int_equal(decided(&scene->lanes[0]), WINDOW_DURABLE);
    }
    program_kill(&scene->program);
    file_close(&scene->front);
    file_close(&scene->control);
    start(scene);
    assert_int_equal(status_of(scene, TEXT("waiting")), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_A_SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        IN_A_SCENE(what_front_says_of_a_client_is_not_enough),
        IN_A_SCENE(a_lane_that_says_what_can_not_be_ends_and_nothing_else),
        IN_A_SCENE(what_is_missing_of_a_message_is_told),
        IN_A_SCENE(a_large_body_that_must_wait_for_room_is_whole),
        IN_A_SCENE(only_whom_a_delivery_went_to_may_end_it_and_only_with_proof),
        IN_A_SCENE(a_vault_that_does_not_read_does_not_stop_the_queue),
        IN_A_SCENE(what_was_taken_is_there_after_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
