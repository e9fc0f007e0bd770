/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on their way to the queue: trace fields in front, parts through the window, the take, and what was decided. */
#include "roles/front.h"


enum { ROOM_DEADLINE_MS = 60000, ROOM_LOOK_MS = 1000, WINDOW_DEADLINE_MS = 5000, RECIPIENTS_A_PACKET = 800, DECIDED_AT_ONCE = 64 };

/* --- a lane -------------------------------------------------------------------------------------------------------------------------- */

/* What is pending on it will not be decided by the queue any more. */
static bool lane_is_lost(const struct front *f, struct lane *lane)
{
    return atomic_load(&lane->is_lost) || atomic_load(&lane->epoch) != atomic_load(&f->queue_epoch);
}

/* Somebody is to look at the lanes: something is decided, or lost, that was not told. */
static void have_lanes_looked_at(struct front *f)
{
    atomic_store(&f->is_lane_due, true);
    front_kick(f);
}

static void lane_lose(struct front *f, struct lane *lane)
{
    atomic_store(&lane->is_lost, true);
    have_lanes_looked_at(f);
}

/* The lane's completer is kept out while its numbers begin anew. */
static bool lane_hold(struct lane *lane)
{
    unsigned idle = CLAIM_IDLE;
    return atomic_compare_exchange_strong(&lane->completing, &idle, CLAIM_TAKEN);
}

static void lane_let_go(struct front *f, struct lane *lane)
{
    if (atomic_exchange(&lane->completing, CLAIM_IDLE) == CLAIM_AGAIN)
        have_lanes_looked_at(f);
}

/* The window's address and the channel's number stay the same for good: other workers, whose sessions began a message here, may be looking at
 * the one or sending to the other. They find the old queue's or the new one's, never a stranger's. */
static bool take_window(struct lane *lane, int file, int channel)
{
    void *address = atomic_load(&lane->window);
    int result = address ? memory_map_over(file, sizeof(struct window), address) : memory_map(file, sizeof(struct window), true, &address);
    if (result)
        return false;
    int number = atomic_load(&lane->channel);
    if (number < 0)
        number = file_copy_descriptor(channel);
    else if (file_replace_descriptor(channel, number) != 0)
        number = -1;
    atomic_store(&lane->window, address);
    if (number < 0)
        return false;
    atomic_store(&lane->channel, number);
    return true;
}

/* Asks the queue for a window over a channel of the lane's own. */
static bool lane_connect(struct worker *w, struct lane *lane)
{
    int ours released_by(file_close) = -1, theirs released_by(file_close) = -1;
    int ends[2];
    if (channel_pair(ends) != 0)
        return false;
    ours = ends[0];
    theirs = ends[1];
    struct peers_lane message = {.number = lane->number};
    struct channel_descriptors files = {.files = {theirs, w->front->wake}, .count = 2};
    if (!link_send(role_link(w->front->role, PEERS_QUEUE), PEERS_lane, &message, &files))
        return false;
    file_close(&theirs);
    struct text packet;
    struct peers_message answer;
    struct arena arena released_by(arena_done) = arena_new(CHANNEL_PACKET_LIMIT + 4096);
    char *bytes = arena_take(&arena, CHANNEL_PACKET_LIMIT); /* a thread's stack is small */
    must(bytes != NULL);
    files.count = 0;
    bool is_there = channel_receive(ours, bytes, WINDOW_DEADLINE_MS, &packet, &files) == CHANNEL_OK &&
                    peers_unpack(packet, PEERS_QUEUE, PEERS_FRONT, files.count, &arena, &answer) == PEERS_OK && answer.type == PEERS_window &&
                    take_window(lane, files.files[0], ours);
    channel_descriptors_close(&files);
    return is_there;
}

static bool lane_open(struct worker *w, struct lane *lane)
{
    struct front *f = w->front;
    if (!lane_hold(lane))
        return false; /* what was pending on the lost one is still being told */
    if (atomic_load(&lane->completed) != atomic_load(&lane->sent)) {
        lane_let_go(f, lane);
        lane_lose(f, lane);
        return false;
    }
    uint64_t epoch = atomic_load(&f->queue_epoch);
    atomic_store(&lane->is_lost, true);
    atomic_fetch_add(&lane->generation, 1);
    lane->position = lane->sequence = 0;
    atomic_store(&lane->completed, 0);
    atomic_store(&lane->sent, 0);
    bool is_open = lane_connect(w, lane);
    if (is_open) {
        atomic_store(&lane->epoch, epoch);
        atomic_store(&lane->is_lost, false);
    }
    lane_let_go(f, lane);
    return is_open;
}

static struct lane *lane_of(struct worker *w)
{
    struct lane *lane = w->lane;
    if (!lane)
        return NULL;
    if (atomic_load(&lane->channel) < 0 || lane_is_lost(w->front, lane)) {
        front_before_waiting(w);
        bool is_open = lane_open(w, lane);
        front_after_waiting(w);
        if (!is_open)
            return NULL;
    }
    return lane;
}

/* Waits until the lane's ring has room up to end; not longer than its queue lives. */
static bool wait_for_room(struct worker *w, struct lane *lane, uint64_t end)
{
    struct window *window = atomic_load(&lane->window);
    if (end <= atomic_load(&window->consumed) + WINDOW_SIZE)
        return true;
    bool has_room = false;
    front_before_waiting(w);
    for (int waited = 0; !has_room && waited < ROOM_DEADLINE_MS && !lane_is_lost(w->front, lane); waited += ROOM_LOOK_MS)
        has_room = window_wait_for_room(window, end, ROOM_LOOK_MS);
    front_after_waiting(w);
    return has_room;
}

/* Puts octets into the ring and tells where they begin; all of them or none. */
static bool put(struct worker *w, struct lane *lane, struct text octets, struct text behind, uint64_t *ret_place)
{
    must(octets.length + behind.length <= WINDOW_SIZE);
    if (!wait_for_room(w, lane, lane->position + octets.length + behind.length))
        return false;
    struct window *window = atomic_load(&lane->window);
    window_put(window, lane->position, octets);
    window_put(window, lane->position + octets.length, behind);
    *ret_place = lane->position;
    lane->position += octets.length + behind.length;
    return true;
}

/* One that can't be sent to is opened anew: the queue has closed it. */
static bool lane_send(struct worker *w, struct lane *lane, enum peers_type type, const void *fields)
{
    if (peer_send(atomic_load(&lane->channel), type, fields, NULL))
        return true;
    lane_lose(w->front, lane);
    return false;
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
    s->id = queue_id_make(w->front->role->boot, lane->number, ++lane->counter);
    append_trace(&s->trace, s, &e);
    return true;
}

/* The queue still has what the session has sent of its message. */
static bool has_its_parts(const struct front *f, const struct session *s)
{
    return !s->lane || (!lane_is_lost(f, s->lane) && atomic_load(&s->lane->generation) == s->lane_generation);
}

/* The octets of one message reach the queue in order although another worker may have sent the ones before: the queue has copied those. */
static bool is_behind_earlier_parts(struct worker *w, struct session *s, struct lane *lane)
{
    if (!has_its_parts(w->front, s))
        return false;
    return !s->lane || s->lane == lane || (wait_for_room(w, s->lane, s->lane_end + WINDOW_SIZE) && has_its_parts(w->front, s));
}

static void note_lane(struct session *s, struct lane *lane)
{
    s->lane = lane;
    s->lane_generation = atomic_load(&lane->generation);
    s->lane_end = lane->position;
}

/* Octets go to the queue ahead of the take. */
static bool stream(struct worker *w, struct session *s, struct text octets)
{
    struct lane *lane = lane_of(w);
    uint64_t place;
    if (!lane || !is_behind_earlier_parts(w, s, lane) || !put(w, lane, octets, TEXT_NONE, &place))
        return false;
    note_lane(s, lane);
    struct peers_message_part part = {.id = s->id, .at = s->streamed, .place = place, .length = octets.length};
    if (!lane_send(w, lane, PEERS_message_part, &part))
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
    if (s->has_message && s->lane && has_its_parts(w->front, s)) {
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

/* As many of the first recipients as one packet bears; 0: not even one. */
static size_t pack_ahead(const struct envelope *rest, struct buffer *packed)
{
    for (size_t count = smaller(RECIPIENTS_A_PACKET, rest->recipient_count - 1); count > 0; count /= 2) {
        struct envelope some = {.recipients = rest->recipients, .recipient_count = count};
        buffer_clear(packed);
        if (envelope_pack(packed, &some))
            return count;
    }
    return 0;
}

/* Recipients beyond what one packet bears go ahead of it; packed gets the envelope with the rest. */
static bool send_recipients(struct worker *w, struct lane *lane, struct session *s, const struct envelope *whole, struct buffer *packed)
{
    struct envelope rest = *whole;
    while (rest.recipient_count > RECIPIENTS_A_PACKET || !envelope_pack(packed, &rest)) {
        struct buffer ahead released_by(buffer_done) = buffer_new(65536);
        size_t count = rest.recipient_count > 1 ? pack_ahead(&rest, &ahead) : 0;
        struct peers_message_recipients message = {.id = s->id, .packed = buffer_text(&ahead)};
        buffer_clear(packed);
        note_lane(s, lane);
        if (count == 0 || !lane_send(w, lane, PEERS_message_recipients, &message))
            return false;
        rest.recipients += count;
        rest.recipient_count -= count;
    }
    return true;
}

static bool send_take(struct worker *w, struct lane *lane, struct session *s, const struct envelope *e, struct text trace)
{
    struct buffer packed released_by(buffer_done) = buffer_new(65536);
    struct peers_message_take take = {.id = s->id, .at = s->streamed, .length = trace.length + s->body.length, .recipients = e->recipient_count,
                                      .ticket = buffer_text(&s->ticket)};
    /* a result has one place for each of so many takes: more may not be undecided at a time */
    if (lane->sequence - atomic_load(&lane->completed) >= WINDOW_RESULTS - 1)
        return false;
    if (!is_behind_earlier_parts(w, s, lane) || !send_recipients(w, lane, s, e, &packed) || !put(w, lane, trace, buffer_text(&s->body), &take.place))
        return false;
    buffer_done(&s->body);
    buffer_done(&s->trace);
    take.sequence = ++lane->sequence;
    take.envelope = buffer_text(&packed);
    _Atomic(struct session *) *pending = &lane->pending[take.sequence % WINDOW_RESULTS];
    atomic_store(pending, s);
    atomic_store(&lane->sent, take.sequence);
    if (lane_send(w, lane, PEERS_message_take, &take) && !lane_is_lost(w->front, lane))
        return true;
    /* Perhaps it was lost after the lost one's sessions were told. Whoever takes it out of its place tells the session. */
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
    if (!lane)
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

struct decided {
    struct session *session;
    enum window_result result;
};

/* Who holds completing takes the next ones out of their places. */
static size_t gather(struct front *f, struct lane *lane, struct decided *list, size_t limit)
{
    struct window *window = atomic_load(&lane->window);
    uint64_t durable = window ? atomic_load_explicit(&window->durable, memory_order_acquire) : 0;
    bool is_lost = lane_is_lost(f, lane);
    if (is_lost && window)
        window_abandon(window); /* nobody makes room there any more */
    uint64_t sent = atomic_load(&lane->sent), completed = atomic_load(&lane->completed);
    uint64_t until = is_lost ? sent : smaller(durable, sent);
    size_t count = 0;
    while (completed < until && count < limit) {
        uint64_t sequence = ++completed;
        enum window_result result = sequence <= durable ? (enum window_result)atomic_load(&window->results[sequence % WINDOW_RESULTS]) : WINDOW_DISK_FAILED;
        struct session *s = atomic_exchange(&lane->pending[sequence % WINDOW_RESULTS], NULL);
        atomic_store(&lane->completed, completed);
        if (s)
            list[count++] = (struct decided){.session = s, .result = result};
    }
    return count;
}

/* Only one gathers of a lane at a time; who comes meanwhile makes him look again. The sessions are told when the lane is free again: what they
 * go on with may have to wait. */
static void complete_lane(struct worker *w, struct lane *lane)
{
    struct decided list[DECIDED_AT_ONCE];
    bool goes_on[DECIDED_AT_ONCE];
    size_t count = 0;
    unsigned state = CLAIM_IDLE;
    while (!atomic_compare_exchange_weak(&lane->completing, &state, state == CLAIM_IDLE ? CLAIM_TAKEN : CLAIM_AGAIN))
        ;
    if (state != CLAIM_IDLE)
        return;
    bool is_free = false;
    while (!is_free && count < DECIDED_AT_ONCE) {
        atomic_store(&lane->completing, CLAIM_TAKEN);
        count += gather(w->front, lane, list + count, DECIDED_AT_ONCE - count);
        state = CLAIM_TAKEN;
        is_free = atomic_compare_exchange_strong(&lane->completing, &state, CLAIM_IDLE);
    }
    if (!is_free)
        atomic_store(&lane->completing, CLAIM_IDLE);
    if (count == DECIDED_AT_ONCE)
        have_lanes_looked_at(w->front); /* another worker takes those behind them */
    for (size_t i = 0; i < count; i++)
        goes_on[i] = session_decided(w, list[i].session, list[i].result);
    for (size_t i = 0; i < count; i++) {
        if (!goes_on[i])
            continue;
        if (w->todo_count < FRONT_TODO)
            front_go_on_later(w, list[i].session); /* by somebody else, when this worker has to wait */
        else
            session_go_on(w, list[i].session);
    }
}

void lanes_complete(struct worker *w)
{
    for (size_t i = 0; i < FRONT_LANES; i++)
        if (lane_is_lost(w->front, &w->front->lanes[i]) || atomic_load(&w->front->lanes[i].sent) != atomic_load(&w->front->lanes[i].completed))
            complete_lane(w, &w->front->lanes[i]);
}
