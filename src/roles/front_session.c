/* SPDX-License-Identifier: Apache-2.0 */
/* One session's turn: octets in, the machine's effects, replies out. */
#include "roles/front.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

enum { HANDSHAKE_MS = 60000, CLOSE_MS = 3000, DRAIN_READS = 256, REFUSALS_TOLD = 10 };

enum turn {
    TURN_MORE,   /* go on reading */
    TURN_PARK,   /* nothing to do until the client or the queue says something */
    TURN_WAITS,  /* a commit owns the session now: do not touch it any more */
    TURN_END,    /* it is over */
};

static void set_deadline(struct session *s, uint64_t ms)
{
    atomic_store_explicit(&s->deadline_ms, clock_monotonic_ms() + ms, memory_order_relaxed);
}

/* --- octets -------------------------------------------------------------------------------------------------------------------------- */

/* 0: some came; EAGAIN: none now; anything else: the end. */
static int transport_read(struct session *s, char *bytes, size_t count, size_t *ret_got)
{
    size_t got = 0;
    int result = 0;
    if (s->tls) {
        switch (tls_read(s->tls, bytes, count, &got)) {
        case TLS_DONE:
            break;
        case TLS_WANTS_READ:
        case TLS_WANTS_WRITE:
            result = EAGAIN;
            break;
        case TLS_ENDED:
        case TLS_FAILED:
            result = ECONNRESET;
            break;
        }
    } else {
        result = socket_read(s->socket, bytes, count, &got);
        if (!result && got == 0)
            result = ECONNRESET;
    }
    if (!result) {
        s->octets_in += got;
        *ret_got = got;
    }
    return result;
}

static int transport_write(struct session *s, struct text octets, size_t *ret_written)
{
    if (!s->tls)
        return socket_write(s->socket, octets, ret_written);
    switch (tls_write(s->tls, octets, ret_written)) {
    case TLS_DONE:
        return 0;
    case TLS_WANTS_READ:
    case TLS_WANTS_WRITE:
        return EAGAIN;
    case TLS_ENDED:
    case TLS_FAILED:
        return ECONNRESET;
    }
    return ECONNRESET;
}

static void watch_writing(struct worker *w, struct session *s, bool is_on)
{
    uint64_t generation = atomic_load_explicit(&s->claim, memory_order_relaxed) >> 2;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (is_on ? (unsigned)EPOLLOUT : 0U), .data.u64 = generation << 16 | s->slot};
    ignored(epoll_ctl(w->front->epoll, EPOLL_CTL_MOD, s->socket, &event)); /* the session times out when it can't be watched */
}

/* Writes what stands in b from its front; false when the connection is dead. */
static bool write_out(struct session *s, struct buffer *b)
{
    size_t done = 0;
    while (done < b->length) {
        size_t written = 0;
        int result = transport_write(s, text_after(buffer_text(b), done), &written);
        if (result == EAGAIN)
            break;
        if (result)
            return false;
        done += written;
        s->octets_out += written;
    }
    buffer_drop_front(b, done);
    return true;
}

/* Output goes out, or waits in the session. TURN_PARK: the client does not take it, so nothing more of it is read. */
static enum turn flush(struct worker *w, struct session *s)
{
    if (s->unsent.length && !write_out(s, &s->unsent))
        return TURN_END;
    if (s->unsent.length == 0 && w->output.length && !write_out(s, &w->output))
        return TURN_END;
    if (w->output.length) {
        bool was_waiting = s->unsent.length > 0;
        if (!buffer_append(&s->unsent, buffer_text(&w->output)))
            return TURN_END; /* a client that asks and never reads */
        buffer_clear(&w->output);
        if (!was_waiting)
            watch_writing(w, s, true);
    }
    if (s->unsent.length)
        return TURN_PARK;
    if (s->unsent.bytes) {
        buffer_done(&s->unsent);
        watch_writing(w, s, false);
    }
    return TURN_MORE;
}

/* What is left of the input and can't be used yet waits in the session. */
static enum turn keep_rest(struct session *s, struct text input)
{
    buffer_clear(&s->rest);
    if (input.length == 0) {
        if (s->rest.bytes)
            buffer_wipe_done(&s->rest);
        return TURN_MORE;
    }
    return buffer_append(&s->rest, input) ? TURN_MORE : TURN_END;
}

static enum turn drain(struct session *s)
{
    char octets[4096];
    size_t got = 0;
    for (int i = 0; i < DRAIN_READS; i++) {
        int result = socket_read(s->socket, octets, sizeof octets, &got);
        if (result == EAGAIN)
            return TURN_PARK;
        if (result || got == 0)
            return TURN_END;
    }
    return TURN_END; /* a flood deserves no manners */
}

/* --- the end ------------------------------------------------------------------------------------------------------------------------- */

static void end(struct worker *w, struct session *s, struct text why)
{
    atomic_fetch_add(&w->front->octets_in, s->octets_in);
    atomic_fetch_add(&w->front->octets_out, s->octets_out);
    struct buffer numbers released_by(buffer_done) = buffer_new(96);
    if (s->is_greeted) {
        uint64_t values[] = {s->octets_in, s->octets_out, s->messages};
        size_t starts[4] = {0};
        for (size_t i = 0; i < 3; i++) {
            ignored(buffer_append_number(&numbers, values[i])); /* three numbers fit */
            starts[i + 1] = numbers.length;
        }
        struct text all = buffer_text(&numbers);
        front_event(w, s, RECORD_INFO, TEXT("connection-closed"),
                    (struct text[]){TEXT("reason"), why, TEXT("octets_in"), text_first(all, starts[1]), TEXT("octets_out"),
                                    text_after(text_first(all, starts[2]), starts[1]), TEXT("messages"), text_after(all, starts[2])}, 8);
    }
    buffer_clear(&w->output);
    front_session_end(w, s);
}

/* --- effects ------------------------------------------------------------------------------------------------------------------------- */

static void tell_refusal(struct worker *w, struct session *s, const struct smtp_event *event, const struct smtp_answer *answer, struct text sender, struct text recipient)
{
    const struct reply_row *row = reply_row(answer->reply);
    struct buffer reply released_by(buffer_done) = buffer_new(64);
    atomic_fetch_add_explicit(&s->settings->front->refused[answer->reply], 1, memory_order_relaxed);
    ignored(buffer_append_format(&reply, "%u %.*s", row->code, TEXT_ARGUMENTS(row->enhanced))); /* fits */
    front_event(w, s, RECORD_NOTICE, TEXT("refused"),
                (struct text[]){TEXT("stage"), smtp_verb_word(event->verb), TEXT("reply"), buffer_text(&reply), TEXT("rule"), row->explain, TEXT("sender"), sender,
                                TEXT("recipient"), recipient, TEXT("login"), smtp_server_login(&s->machine)}, 12);
}

/* What the machine refused by itself. A session that goes on with it is only counted. */
static void note_refusal(struct worker *w, struct session *s, const struct smtp_event *event)
{
    if (event->reply == REPLY_NONE || reply_row(event->reply)->code < 400)
        return;
    if (s->refusals++ < REFUSALS_TOLD)
        tell_refusal(w, s, event, &(struct smtp_answer){.reply = event->reply}, TEXT_NONE, TEXT_NONE);
    else
        atomic_fetch_add_explicit(&s->settings->front->refused[event->reply], 1, memory_order_relaxed);
}

static bool is_refusal(const struct smtp_answer *answer)
{
    return answer->reply != REPLY_NONE && reply_row(answer->reply)->code >= 400;
}

static void append_sender(struct buffer *b, const struct smtp_event *event)
{
    if (event->envelope)
        address_append(b, &event->envelope->sender);
}

static void answer_sender(struct worker *w, struct session *s, const struct smtp_event *event)
{
    struct smtp_answer answer = front_ask_sender(w, s, event);
    struct buffer sender released_by(buffer_done) = buffer_new(1024);
    append_sender(&sender, event);
    if (is_refusal(&answer))
        tell_refusal(w, s, event, &answer, buffer_text(&sender), TEXT_NONE);
    smtp_server_answer(&s->machine, &answer, &w->output);
}

static void answer_recipients(struct worker *w, struct session *s, const struct smtp_event *event)
{
    struct smtp_answer answers[SMTP_RECIPIENTS_AT_ONCE];
    struct buffer sender released_by(buffer_done) = buffer_new(1024), recipient released_by(buffer_done) = buffer_new(1024);
    size_t count = event->recipient_count;
    must(count <= length_of(answers));
    front_ask_recipients(w, s, event, answers);
    for (size_t i = 0; i < count; i++) {
        if (!is_refusal(&answers[i]))
            continue;
        buffer_clear(&sender);
        buffer_clear(&recipient);
        append_sender(&sender, event);
        address_append(&recipient, &event->recipients[i].address);
        tell_refusal(w, s, event, &answers[i], buffer_text(&sender), buffer_text(&recipient));
    }
    smtp_server_answer_recipients(&s->machine, answers, count, &w->output);
}

static void answer_login(struct worker *w, struct session *s, const struct smtp_event *event)
{
    struct buffer text released_by(buffer_wipe_done) = buffer_new(16384);
    enum mail_login_state state = front_ask_login(w, s, event, &text);
    if (state == MAIL_LOGIN_DONE)
        s->is_privileged = true;
    smtp_server_answer_login(&s->machine, state, buffer_text(&text), &w->output);
}

static void answer_commit(struct worker *w, struct session *s, enum window_result result)
{
    struct buffer id released_by(buffer_done) = buffer_new(QUEUE_ID_LENGTH);
    struct smtp_answer answer = {.reply = REPLY_STORE_UNAVAILABLE};
    ignored(queue_id_append(&id, s->id)); /* fits */
    switch (result) {
    case WINDOW_DURABLE:
        answer.reply = REPLY_NONE;
        s->messages++;
        atomic_fetch_add(&w->front->messages, 1);
        front_event_send_kept(w, s);
        break;
    case WINDOW_DISK_FULL:
        answer.reply = REPLY_STORE_FULL;
        break;
    case WINDOW_UNDECIDED:
    case WINDOW_DISK_FAILED:
    case WINDOW_NOT_PERMITTED:
        break;
    }
    if (answer.reply != REPLY_NONE)
        front_event(w, s, RECORD_WARNING, TEXT("message-not-taken"), (struct text[]){TEXT("id"), buffer_text(&id), TEXT("why"), reply_row(answer.reply)->explain}, 4);
    smtp_server_committed(&s->machine, &answer, buffer_text(&id), &w->output);
    s->has_message = false;
}

/* The message is complete: refuse it, or hand it to the queue. */
static enum turn commit(struct worker *w, struct session *s, const struct smtp_event *event, struct text input)
{
    struct smtp_answer answer = front_ask_message(w, s, event);
    if (is_refusal(&answer)) {
        struct buffer sender released_by(buffer_done) = buffer_new(1024);
        append_sender(&sender, event);
        tell_refusal(w, s, event, &answer, buffer_text(&sender), TEXT_NONE);
        message_drop(w, s);
        smtp_server_committed(&s->machine, &answer, TEXT_NONE, &w->output);
        return TURN_MORE;
    }
    if (flush(w, s) == TURN_END || keep_rest(s, input) == TURN_END)
        return TURN_END;
    s->phase = SESSION_COMMITS;
    if (message_take(w, s, event))
        return TURN_WAITS;
    s->phase = SESSION_TALKS;
    buffer_clear(&s->rest);
    message_drop(w, s);
    answer_commit(w, s, WINDOW_DISK_FAILED);
    return TURN_MORE;
}

static enum turn start_tls(struct worker *w, struct session *s)
{
    if (flush(w, s) != TURN_MORE)
        return TURN_END; /* what is not out yet would go out encrypted */
    size_t service = (size_t)(s->service - s->settings->services);
    s->tls = tls_server_connection_new(s->settings->tls[service], s->socket);
    s->phase = SESSION_SHAKES_HANDS;
    set_deadline(s, HANDSHAKE_MS);
    return TURN_MORE;
}

/* Closing a socket while octets come in throws away the reply on its way out: who did not say QUIT is listened to for a moment more. */
static enum turn say_goodbye(struct session *s)
{
    if (s->is_polite || s->tls)
        return TURN_END;
    socket_shut(s->socket);
    set_deadline(s, CLOSE_MS);
    return drain(s);
}

/* Steps the machine through the input until it needs more. */
static enum turn step(struct worker *w, struct session *s, struct text *input)
{
    for (;;) {
        struct smtp_event event;
        enum smtp_effect effect = smtp_server_step(&s->machine, input, &w->output, &event);
        enum turn turn = TURN_MORE;
        switch (effect) {
        case SMTP_NEED_INPUT:
            return TURN_MORE;
        case SMTP_FLUSH:
            turn = flush(w, s);
            break;
        case SMTP_DONE:
            note_refusal(w, s, &event);
            break;
        case SMTP_ASK_HELLO:
            smtp_server_answer(&s->machine, &(struct smtp_answer){.reply = REPLY_NONE}, &w->output);
            break;
        case SMTP_ASK_SENDER:
            answer_sender(w, s, &event);
            break;
        case SMTP_ASK_RECIPIENTS:
            answer_recipients(w, s, &event);
            break;
        case SMTP_ASK_DATA: {
            bool may_begin = message_begin(w, s, event.envelope);
            smtp_server_answer(&s->machine, &(struct smtp_answer){.reply = may_begin ? REPLY_NONE : REPLY_STORE_UNAVAILABLE}, &w->output);
            break;
        }
        case SMTP_ASK_VERIFY: {
            struct smtp_answer answer = front_ask_stage(w, s, POLICY_STAGE_COMMAND);
            if (!is_refusal(&answer))
                answer.reply = REPLY_VERIFY_NOT_SAID;
            smtp_server_answer(&s->machine, &answer, &w->output);
            break;
        }
        case SMTP_ASK_LOGIN:
            answer_login(w, s, &event);
            break;
        case SMTP_BODY:
            if (!message_add(w, s, event.body)) {
                smtp_server_close(&s->machine, REPLY_SESSION_UNAVAILABLE, &(struct reply_arguments){.values = {s->service->options.hostname}}, &w->output);
                message_drop(w, s);
            }
            break;
        case SMTP_COMMIT:
            turn = commit(w, s, &event, *input);
            break;
        case SMTP_DROP:
            message_drop(w, s);
            break;
        case SMTP_LOGIN_DROP:
            front_login_drop(w, s);
            break;
        case SMTP_START_TLS:
            return start_tls(w, s);
        case SMTP_CLOSE:
            s->phase = SESSION_CLOSES;
            s->is_polite = s->machine.verb == SMTP_QUIT && input->length == 0;
            turn = flush(w, s);
            return turn == TURN_MORE ? say_goodbye(s) : turn;
        }
        if (turn != TURN_MORE)
            return turn;
    }
}

/* --- turns --------------------------------------------------------------------------------------------------------------------------- */

static enum turn shake_hands(struct worker *w, struct session *s)
{
    switch (tls_handshake(s->tls)) {
    case TLS_WANTS_READ:
        return TURN_PARK;
    case TLS_WANTS_WRITE:
        watch_writing(w, s, true);
        return TURN_PARK;
    case TLS_DONE:
        break;
    case TLS_ENDED:
        return TURN_END;
    case TLS_FAILED: {
        struct buffer why released_by(buffer_done) = buffer_new(256);
        tls_problem(s->tls, &why);
        front_event(w, s, RECORD_NOTICE, TEXT("tls-failed"), (struct text[]){TEXT("why"), buffer_text(&why)}, 2);
        return TURN_END;
    }
    }
    s->phase = SESSION_TALKS;
    set_deadline(s, s->settings->settings->service_session_timeout);
    if (s->service->row->role == SETTINGS_LISTEN_SUBMISSIONS && s->octets_out == 0)
        smtp_server_greet(&s->machine, &w->output);
    else
        smtp_server_tls_started(&s->machine);
    return flush(w, s);
}

static enum turn talk(struct worker *w, struct session *s)
{
    s->is_drained = false;
    for (;;) {
        size_t have = s->rest.length, got = 0;
        enum smtp_server_state state = s->machine.state;
        if (have)
            memcpy(w->input, s->rest.bytes, have);
        if (have == sizeof w->input)
            return TURN_END; /* the machine takes lines long before */
        int result = s->is_drained ? EAGAIN : transport_read(s, w->input + have, sizeof w->input - have, &got);
        if (result == EAGAIN)
            return TURN_PARK;
        if (result)
            return TURN_END;
        uint64_t now = clock_monotonic_ms();
        atomic_store_explicit(&s->idle_since_ms, now, memory_order_relaxed);
        s->is_drained = !s->tls && have + got < sizeof w->input && !atomic_load(&s->is_hung_up);
        struct text input = text_of(w->input, have + got);
        enum turn turn = step(w, s, &input);
        if (turn == TURN_WAITS || turn == TURN_END)
            return turn;
        if (s->phase == SESSION_SHAKES_HANDS)
            return shake_hands(w, s); /* what came in clear was thrown away */
        /* a whole command, or text that flows: the clock starts anew; octets of an unfinished line do not move it */
        if (input.length < have + got || s->machine.state != state)
            atomic_store_explicit(&s->deadline_ms, now + s->settings->settings->service_session_timeout, memory_order_relaxed);
        if (keep_rest(s, input) == TURN_END)
            return TURN_END;
        if (turn == TURN_PARK)
            return TURN_PARK;
        turn = flush(w, s);
        if (turn != TURN_MORE)
            return turn;
    }
}

/* A commit came: input that was read before it waits in rest. */
static enum turn go_on(struct worker *w, struct session *s)
{
    struct text input = TEXT_NONE;
    if (s->rest.length) {
        memcpy(w->input, s->rest.bytes, s->rest.length);
        input = text_of(w->input, s->rest.length);
    }
    enum turn turn = step(w, s, &input);
    if (turn == TURN_WAITS || turn == TURN_END)
        return turn;
    if (s->phase == SESSION_SHAKES_HANDS)
        return shake_hands(w, s);
    if (keep_rest(s, input) == TURN_END)
        return TURN_END;
    return turn == TURN_PARK ? turn : flush(w, s);
}

static enum turn take_turn(struct worker *w, struct session *s)
{
    if (s->unsent.length && s->phase != SESSION_AT_DOOR) {
        enum turn turn = flush(w, s);
        if (turn != TURN_MORE)
            return turn;
        if (s->phase == SESSION_CLOSES)
            return say_goodbye(s);
        if (s->phase == SESSION_TALKS && s->rest.length) {
            turn = go_on(w, s);
            if (turn != TURN_MORE)
                return turn;
        }
    }
    for (;;) {
        enum turn turn = TURN_PARK;
        switch (s->phase) {
        case SESSION_AT_DOOR:
            s->was_ready = true;
            return socket_is_ended(s->socket) ? TURN_END : TURN_PARK;
        case SESSION_SHAKES_HANDS:
            turn = shake_hands(w, s);
            break;
        case SESSION_TALKS:
            turn = talk(w, s);
            break;
        case SESSION_COMMITS:
            return TURN_PARK;
        case SESSION_CLOSES:
            return drain(s);
        }
        if (turn != TURN_MORE)
            return turn;
    }
}

/* After a turn: give the session back, unless something came meanwhile. */
static void settle(struct worker *w, struct session *s, enum turn turn)
{
    for (;;) {
        switch (turn) {
        case TURN_WAITS:
            return;
        case TURN_END:
            end(w, s, s->phase == SESSION_CLOSES ? TEXT("closed") : TEXT("client ended"));
            return;
        case TURN_MORE:
        case TURN_PARK:
            break;
        }
        must(w->output.length == 0);
        if (front_release(s))
            return;
        turn = take_turn(w, s);
    }
}

void session_run(struct worker *w, struct session *s)
{
    settle(w, s, take_turn(w, s));
}

void session_begin(struct worker *w, struct session *s)
{
    size_t service = (size_t)(s->service - s->settings->services);
    enum turn turn;
    s->rate_since_ms = clock_monotonic_ms();
    atomic_store(&s->idle_since_ms, s->rate_since_ms); /* the time at the door is ours, not the client's */
    front_event(w, s, RECORD_INFO, TEXT("connection-opened"), (struct text[]){TEXT("listener"), text_first(s->service->row->row.text, 100)}, 2);
    set_deadline(s, s->settings->settings->service_session_timeout);
    if (s->service->row->role == SETTINGS_LISTEN_SUBMISSIONS) {
        if (!s->settings->tls[service]) {
            end(w, s, TEXT("no certificate"));
            return;
        }
        s->tls = tls_server_connection_new(s->settings->tls[service], s->socket);
        s->phase = SESSION_SHAKES_HANDS;
        set_deadline(s, HANDSHAKE_MS);
        turn = TURN_PARK;
    } else {
        s->phase = SESSION_TALKS;
        smtp_server_greet(&s->machine, &w->output);
        turn = flush(w, s);
    }
    if (s->was_ready && turn != TURN_END) /* what came at the door makes no new edge */
        turn = take_turn(w, s);
    settle(w, s, turn);
}

bool session_decided(struct worker *w, struct session *s, enum window_result result)
{
    s->phase = SESSION_TALKS;
    set_deadline(s, s->settings->settings->service_session_timeout);
    answer_commit(w, s, result);
    enum turn turn = flush(w, s);
    if (turn == TURN_MORE && (s->rest.length || !s->is_drained))
        return true;
    settle(w, s, turn);
    return false;
}

/* Octets that were read before, then those that are still in the socket: they make no new edge. */
void session_go_on(struct worker *w, struct session *s)
{
    enum turn turn = go_on(w, s);
    if (turn == TURN_MORE)
        turn = take_turn(w, s);
    settle(w, s, turn);
}

void session_overdue(struct worker *w, struct session *s, enum reply reply)
{
    if (s->phase == SESSION_CLOSES || s->phase == SESSION_SHAKES_HANDS || s->phase == SESSION_AT_DOOR) {
        end(w, s, TEXT("time-out"));
        return;
    }
    struct text nothing = TEXT_NONE;
    smtp_server_close(&s->machine, reply, &(struct reply_arguments){.values = {s->service->options.hostname}}, &w->output);
    enum turn turn = step(w, s, &nothing);
    front_event(w, s, RECORD_INFO, TEXT("session-cut"), (struct text[]){TEXT("rule"), reply_row(reply)->explain}, 2);
    set_deadline(s, CLOSE_MS);
    settle(w, s, turn == TURN_MORE ? TURN_END : turn);
}

void session_refuse(struct worker *w, struct session *s, enum reply reply)
{
    struct buffer address released_by(buffer_done) = buffer_new(SOCKET_ADDRESS_LIMIT);
    network_address_append(&address, &s->address);
    atomic_fetch_add(&w->front->refused_at_door, 1);
    front_event(w, s, RECORD_NOTICE, TEXT("refused"),
                (struct text[]){TEXT("stage"), TEXT("door"), TEXT("rule"), reply_row(reply)->explain}, 4);
    if (s->service->row->role != SETTINGS_LISTEN_SUBMISSIONS) {
        ignored(reply_append(&w->output, reply, &(struct reply_arguments){.values = {buffer_text(&address)}})); /* one line fits */
        ignored(flush(w, s)); /* it goes either way */
    }
    end(w, s, TEXT("refused at the door"));
}
