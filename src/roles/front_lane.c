/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on their way to the queue: trace fields in front, parts through the window, the take, and what was decided. */
#include "roles/front.h"


enum { ROOM_DEADLINE_MS = 60000, WINDOW_DEADLINE_MS = 5000, RECIPIENTS_A_PACKET = 800, PREFIX_LIMIT = 8192 };

/* --- a lane -------------------------------------------------------------------------------------------------------------------------- */

/* The lane's completer is kept out while its numbers begin anew. */
static bool lane_hold(struct lane *lane)
{
    unsigned idle = CLAIM_IDLE;
    return atomic_compare_exchange_strong(&lane->completing, &idle, CLAIM_TAKEN);
}

static bool lane_open(struct worker *w, struct lane *lane)
{
    int ends[2];
    void *address = NULL;
    if (!lane_hold(lane))
        return false; /* what was pending on the lost one is still being told */
    struct window *old = atomic_exchange(&lane->window, NULL);
    if (old)
        window_abandon(old);
    while (atomic_load(&lane->watchers)) /* they were woken */
        thread_yield();
    memory_unmap(old, sizeof *old);
    int old_channel = atomic_exchange(&lane->channel, -1);
    file_close(&old_channel);
    lane->position = lane->sequence = lane->completed = 0;
    atomic_store(&lane->sent, 0);
    if (channel_pair(ends) == 0) {
        struct peers_lane message = {.number = lane->number};
        struct channel_descriptors files = {.files = {ends[1], w->front->wake}, .count = 2};
        bool sent = link_send(role_link(w->front->role, PEERS_QUEUE), PEERS_lane, &message, &files);
        file_close(&ends[1]);
        struct text packet;
        struct peers_message answer;
        struct arena arena released_by(arena_done) = arena_new(CHANNEL_PACKET_LIMIT + 4096);
        char *bytes = arena_take(&arena, CHANNEL_PACKET_LIMIT); /* a thread's stack is small */
        must(bytes != NULL);
        files.count = 0;
        if (sent && channel_receive(ends[0], bytes, WINDOW_DEADLINE_MS, &packet, &files) == CHANNEL_OK &&
            peers_unpack(packet, PEERS_QUEUE, PEERS_FRONT, files.count, &arena, &answer) == PEERS_OK && answer.type == PEERS_window)
            ignored(memory_map(files.files[0], sizeof(struct window), true, &address)); /* NULL tells */
        channel_descriptors_close(&files);
        if (address)
            atomic_store(&lane->channel, ends[0]);
        else
            file_close(&ends[0]);
    }
    atomic_store(&lane->window, address);
    atomic_store(&lane->is_lost, address == NULL);
    atomic_store(&lane->completing, CLAIM_IDLE);
    return address != NULL;
}

static struct lane *lane_of(struct worker *w)
{
    struct lane *lane = w->lane;
    if (!lane)
        return NULL;
    if (lane->channel < 0 || atomic_load(&lane->is_lost)) {
        front_before_waiting(w);
        bool is_open = lane_open(w, lane);
        front_after_waiting(w);
        if (!is_open)
            return NULL;
    }
    return lane;
}

/* Puts octets into the ring and tells where they begin. */
static bool put(struct worker *w, struct lane *lane, struct text octets, uint64_t *ret_place)
{
    struct window *window = atomic_load(&lane->window);
    uint64_t end = lane->position + octets.length;
    must(octets.length <= WINDOW_SIZE);
    if (end > atomic_load(&window->consumed) + WINDOW_SIZE) {
        front_before_waiting(w);
        bool has_room = window_wait_for_room(window, end, ROOM_DEADLINE_MS);
        front_after_waiting(w);
        if (!has_room)
            return false;
    }
    window_put(window, lane->position, octets);
    *ret_place = lane->position;
    lane->position = end;
    return true;
}

/* --- in front of the message --------------------------------------------------------------------------------------------------------- */

/* A stranger's octets in a field of ours: printable ASCII, nothing that ends a comment. */
static void append_safe(struct buffer *b, struct text t)
{
    for (size_t i = 0; i < smaller(t.length, 255); i++) {
        char c = t.bytes[i];
        bool is_safe = c > ' ' && c < 127 && c != '(' && c != ')' && c != '\\' && c != '<' && c != '>';
        ignored(buffer_append_octet(b, is_safe ? c : '?')); /* the limit is far */
    }
}

static struct text protocol_word(const struct session *s, const struct envelope *e)
{
    static const struct text words[2][4] = {
        {TEXT_INIT("ESMTP"), TEXT_INIT("ESMTPS"), TEXT_INIT("ESMTPA"), TEXT_INIT("ESMTPSA")},
        {TEXT_INIT("UTF8SMTP"), TEXT_INIT("UTF8SMTPS"), TEXT_INIT("UTF8SMTPA"), TEXT_INIT("UTF8SMTPSA")}}; /* RFC 3848, RFC 6531 section 4.3 */
    if (!s->machine.is_extended)
        return TEXT("SMTP");
    return words[e->is_utf8][(s->tls ? 1 : 0) + (e->login.length ? 2 : 0)];
}

/* RFC 5321 section 4.4 */
static void append_trace(struct buffer *b, const struct session *s, const struct envelope *e)
{
    struct buffer address released_by(buffer_done) = buffer_new(SOCKET_ADDRESS_LIMIT);
    network_address_append(&address, &s->address);
    ignored(buffer_append(b, TEXT("Received: from "))); /* the limit is far, here and below */
    append_safe(b, e->helo.length ? e->helo : TEXT("unknown"));
    if (!s->settings->settings->advanced_hide_client_address)
        ignored(buffer_append_format(b, " ([%s%.*s])", network_address_is_v4(&s->address) ? "" : "IPv6:", TEXT_ARGUMENTS(buffer_text(&address))));
    ignored(buffer_append_format(b, "\r\n\tby %.*s with %.*s id ", TEXT_ARGUMENTS(s->service->options.hostname), TEXT_ARGUMENTS(protocol_word(s, e))));
    ignored(queue_id_append(b, s->id));
    if (s->tls) {
        ignored(buffer_append(b, TEXT("\r\n\t(")));
        tls_describe(s->tls, b);
        ignored(buffer_append_octet(b, ')'));
    }
    if (e->recipient_count == 1) {
        ignored(buffer_append(b, TEXT("\r\n\tfor <")));
        address_append(b, &e->recipients[0].address);
        ignored(buffer_append_octet(b, '>'));
    }
    ignored(buffer_append(b, TEXT(";\r\n\t")));
    moment_append_mail_date(b, clock_wall_ms());
    ignored(buffer_append(b, TEXT("\r\n")));
}

/* RFC 6409 section 8: what a submitted message lacks. */
static void append_missing(struct buffer *b, const struct session *s, struct text message)
{
    bool has_date = false, has_id = false;
    struct header_field field;
    while (header_take_field(&message, &field)) {
        has_date |= text_equals_ignoring_case(field.name, TEXT("Date"));
        has_id |= text_equals_ignoring_case(field.name, TEXT("Message-ID"));
    }
    if (!has_date) {
        ignored(buffer_append(b, TEXT("Date: ")));
        moment_append_mail_date(b, clock_wall_ms());
        ignored(buffer_append(b, TEXT("\r\n")));
    }
    if (!has_id) {
        ignored(buffer_append(b, TEXT("Message-ID: <")));
        ignored(queue_id_append(b, s->id));
        ignored(buffer_append_format(b, ".%llx@%.*s>\r\n", (unsigned long long)random_number(), TEXT_ARGUMENTS(s->service->options.hostname)));
    }
}

static struct envelope envelope_of(const struct session *s, const struct envelope *from, struct text address, struct text name)
{
    struct envelope e = *from;
    e.arrived_ms = clock_wall_ms();
    e.session = name;
    e.client = address;
    e.helo = smtp_server_helo(&s->machine);
    e.login = smtp_server_login(&s->machine);
    e.authorised = policy_way_word(s->way);
    e.listener = s->service->row->role == SETTINGS_LISTEN_SMTP         ? TEXT("smtp")
                 : s->service->row->role == SETTINGS_LISTEN_SUBMISSION ? TEXT("submission")
                                                                        : TEXT("submissions");
    return e;
}

/* --- parts --------------------------------------------------------------------------------------------------------------------------- */

bool message_begin(struct worker *w, struct session *s, const struct envelope *from)
{
    struct lane *lane = lane_of(w);
    struct buffer address released_by(buffer_done) = buffer_new(SOCKET_ADDRESS_LIMIT);
    if (!lane)
        return false;
    network_address_append(&address, &s->address);
    struct envelope e = envelope_of(s, from, buffer_text(&address), TEXT_NONE);
    s->has_message = true;
    s->is_broken = s->is_marked = false;
    s->streamed = 0;
    s->lane = NULL;
    s->queue_epoch = atomic_load(&w->front->queue_epoch);
    s->id = queue_id_make(w->front->role->boot, lane->number, ++lane->counter);
    append_trace(&s->trace, s, &e);
    return true;
}

/* The octets of one message reach the queue in order although another worker may have sent the ones before: the queue has copied those. */
static bool is_behind_earlier_parts(struct worker *w, struct session *s, struct lane *lane)
{
    if (!s->lane || s->lane == lane)
        return true;
    atomic_fetch_add(&s->lane->watchers, 1);
    struct window *window = atomic_load(&s->lane->window);
    bool is_the_same = window && s->queue_epoch == atomic_load(&w->front->queue_epoch); /* not one that was opened since */
    bool is_copied = is_the_same && atomic_load(&window->consumed) >= s->lane_end;
    if (is_the_same && !is_copied) {
        front_before_waiting(w);
        is_copied = window_wait_for_room(window, s->lane_end + WINDOW_SIZE, ROOM_DEADLINE_MS);
        front_after_waiting(w);
    }
    atomic_fetch_sub(&s->lane->watchers, 1);
    return is_copied;
}

/* Octets go to the queue ahead of the take. */
static bool stream(struct worker *w, struct session *s, struct text octets)
{
    struct lane *lane = lane_of(w);
    uint64_t place;
    if (!lane || s->queue_epoch != atomic_load(&w->front->queue_epoch) || !is_behind_earlier_parts(w, s, lane) || !put(w, lane, octets, &place))
        return false;
    s->lane = lane;
    s->lane_end = place + octets.length;
    struct peers_message_part part = {.id = s->id, .at = s->streamed, .place = place, .length = octets.length};
    if (!peer_send(lane->channel, PEERS_message_part, &part, NULL))
        return false;
    s->streamed += octets.length;
    return true;
}

/* What stands in front of the message: trace field, what a submitted message lacks, the mark. */
static struct text finish_trace(struct session *s)
{
    if (s->service->row->role != SETTINGS_LISTEN_SMTP)
        append_missing(&s->trace, s, buffer_text(&s->body));
    if (s->is_marked)
        ignored(buffer_append(&s->trace, TEXT("X-Portiere-Local-Sender: not authorised\r\n"))); /* the limit is far */
    return buffer_text(&s->trace);
}

bool message_add(struct worker *w, struct session *s, struct text octets)
{
    if (!s->has_message)
        return false;
    if (s->is_broken)
        return true; /* read to its end, so that the session stays in step */
    if (s->body.length + octets.length > FRONT_BODY && s->body.length) {
        s->is_broken = (s->streamed == 0 && !stream(w, s, finish_trace(s))) || !stream(w, s, buffer_text(&s->body));
        buffer_clear(&s->body);
        if (s->is_broken)
            return true;
    }
    return buffer_append(&s->body, octets);
}

void message_drop(struct worker *w, struct session *s)
{
    if (s->has_message && s->lane && s->queue_epoch == atomic_load(&w->front->queue_epoch)) {
        struct peers_message_drop drop = {.id = s->id};
        ignored(peer_send(atomic_load(&s->lane->channel), PEERS_message_drop, &drop, NULL)); /* a lost queue has dropped it */
    }
    s->lane = NULL;
    s->has_message = false;
    s->streamed = 0;
    buffer_done(&s->body);
    buffer_done(&s->trace);
}

/* --- the take ------------------------------------------------------------------------------------------------------------------------ */

/* Recipients beyond what one packet bears go ahead of it. */
static bool send_recipients(struct lane *lane, const struct session *s, struct envelope *e)
{
    while (e->recipient_count > RECIPIENTS_A_PACKET) {
        struct buffer packed released_by(buffer_done) = buffer_new(65536);
        struct envelope some = {.recipients = e->recipients, .recipient_count = smaller(RECIPIENTS_A_PACKET / 4, e->recipient_count)};
        struct peers_message_recipients message = {.id = s->id};
        if (!envelope_pack(&packed, &some))
            return false;
        message.packed = buffer_text(&packed);
        if (!peer_send(lane->channel, PEERS_message_recipients, &message, NULL))
            return false;
        e->recipients += some.recipient_count;
        e->recipient_count -= some.recipient_count;
    }
    return true;
}

static bool send_take(struct worker *w, struct lane *lane, struct session *s, struct envelope *e, struct text trace)
{
    struct buffer packed released_by(buffer_done) = buffer_new(65536);
    struct peers_message_take take = {.id = s->id, .at = s->streamed, .length = trace.length + s->body.length, .ticket = buffer_text(&s->ticket)};
    uint64_t behind;
    if (!is_behind_earlier_parts(w, s, lane) || !send_recipients(lane, s, e) || !envelope_pack(&packed, e) || !put(w, lane, trace, &take.place) ||
        !put(w, lane, buffer_text(&s->body), &behind))
        return false;
    buffer_done(&s->body);
    buffer_done(&s->trace);
    take.sequence = ++lane->sequence;
    take.envelope = buffer_text(&packed);
    _Atomic(struct session *) *pending = &lane->pending[take.sequence % WINDOW_RESULTS];
    atomic_store(pending, s);
    atomic_store(&lane->sent, take.sequence);
    if (peer_send(lane->channel, PEERS_message_take, &take, NULL))
        return true;
    /* whoever takes it out of the slot tells the session */
    return atomic_exchange(pending, NULL) == NULL;
}

static void tell_taken(struct session *s, const struct smtp_event *event, const struct envelope *e)
{
    struct buffer id released_by(buffer_done) = buffer_new(QUEUE_ID_LENGTH), size released_by(buffer_done) = buffer_new(24);
    struct buffer count released_by(buffer_done) = buffer_new(24), sender released_by(buffer_done) = buffer_new(1024);
    ignored(queue_id_append(&id, s->id)); /* fits, as all below */
    ignored(buffer_append_number(&size, event->message->size));
    ignored(buffer_append_number(&count, e->recipient_count));
    address_append(&sender, &e->sender);
    front_event_keep(s, RECORD_INFO, TEXT("message-taken"),
                (struct text[]){TEXT("id"), buffer_text(&id), TEXT("sender"), buffer_text(&sender), TEXT("recipients"), buffer_text(&count), TEXT("size"),
                                buffer_text(&size), TEXT("login"), e->login, TEXT("authorised"), e->authorised, TEXT("helo"), e->helo,
                                TEXT("message_id"), text_first(event->message->message_id, 200)}, 16);
}

bool message_take(struct worker *w, struct session *s, const struct smtp_event *event)
{
    struct lane *lane = !s->has_message || s->is_broken ? NULL : lane_of(w);
    if (!lane || s->queue_epoch != atomic_load(&w->front->queue_epoch))
        return false;
    char name[24];
    struct buffer address released_by(buffer_done) = buffer_new(SOCKET_ADDRESS_LIMIT);
    network_address_append(&address, &s->address);
    struct envelope e = envelope_of(s, event->envelope, buffer_text(&address), front_session_name(s, name));
    struct text trace = s->streamed ? TEXT_NONE : finish_trace(s);
    tell_taken(s, event, &e);
    return send_take(w, lane, s, &e, trace);
}

/* --- what was decided ---------------------------------------------------------------------------------------------------------------- */

static void complete(struct worker *w, struct lane *lane, bool is_lost)
{
    struct window *window = atomic_load(&lane->window);
    uint64_t durable = window ? atomic_load_explicit(&window->durable, memory_order_acquire) : 0;
    uint64_t sent = atomic_load(&lane->sent);
    if (window && is_lost)
        window_abandon(window);
    uint64_t until = is_lost ? sent : smaller(durable, sent);
    while (lane->completed < until) {
        uint64_t sequence = ++lane->completed;
        enum window_result result = sequence <= durable ? (enum window_result)atomic_load(&window->results[sequence % WINDOW_RESULTS]) : WINDOW_DISK_FAILED;
        struct session *s = atomic_exchange(&lane->pending[sequence % WINDOW_RESULTS], NULL);
        if (s)
            session_decided(w, s, result);
    }
}

/* Only one completes a lane at a time; who comes meanwhile makes him look again. */
static void complete_lane(struct worker *w, struct lane *lane, bool is_lost)
{
    unsigned state = CLAIM_IDLE;
    while (!atomic_compare_exchange_weak(&lane->completing, &state, state == CLAIM_IDLE ? CLAIM_TAKEN : CLAIM_AGAIN))
        ;
    if (state != CLAIM_IDLE)
        return;
    for (;;) {
        complete(w, lane, is_lost || atomic_load(&lane->is_lost));
        state = CLAIM_TAKEN;
        if (atomic_compare_exchange_strong(&lane->completing, &state, CLAIM_IDLE))
            return;
        atomic_store(&lane->completing, CLAIM_TAKEN);
    }
}

void lanes_complete(struct worker *w)
{
    for (size_t i = 0; i < FRONT_LANES; i++) {
        struct lane *lane = &w->front->lanes[i];
        struct window *window = atomic_load_explicit(&lane->window, memory_order_acquire);
        if (window)
            complete_lane(w, lane, false);
    }
}

void lanes_lost(struct worker *w)
{
    atomic_fetch_add(&w->front->queue_epoch, 1);
    for (size_t i = 0; i < FRONT_LANES; i++) {
        struct lane *lane = &w->front->lanes[i];
        atomic_store(&lane->is_lost, true);
        complete_lane(w, lane, true);
    }
}
