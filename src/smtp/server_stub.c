/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/server_stub.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEPT_LIMIT = 64 << 20,
    MOVED_LIMIT = 4096, /* more input is moved once a feed, not once a step */
};

struct smtp_server_options stub_options(void)
{
    return (struct smtp_server_options){
        .hostname = TEXT("mail.local.example"),
        .title = TEXT(""),
        .max_message_size = 50 << 20,
        .max_read_size = 100 << 20,
        .max_recipients = 1000,
        .max_hops = 20,
        .max_bad_commands = 8,
        .max_idle_commands = 100,
        .mechanisms = TEXT("PLAIN LOGIN"),
        .offers_tls = true,
        .offers_auth = true,
        .auth_in_clear = true,
        .offers_dsn = true,
        .offers_utf8 = true,
        .require_helo = true,
    };
}

void stub_init(struct stub *stub, const struct smtp_server_options *options)
{
    *stub = (struct stub){
        .input = buffer_new(KEPT_LIMIT),
        .output = buffer_new(SMTP_OUTPUT_MINIMUM),
        .replies = buffer_new(KEPT_LIMIT),
        .effects = buffer_new(KEPT_LIMIT),
        .commands = buffer_new(KEPT_LIMIT),
        .body = buffer_new(KEPT_LIMIT),
        .messages = buffer_new(KEPT_LIMIT),
        .responses = buffer_new(KEPT_LIMIT),
    };
    smtp_server_init(&stub->machine, options, false);
}

void stub_done(struct stub *stub)
{
    smtp_server_done(&stub->machine);
    buffer_done(&stub->input);
    buffer_done(&stub->output);
    buffer_done(&stub->replies);
    buffer_done(&stub->effects);
    buffer_done(&stub->commands);
    buffer_done(&stub->body);
    buffer_done(&stub->messages);
    buffer_done(&stub->responses);
}

static void flush(struct stub *stub)
{
    buffer_append(&stub->replies, buffer_text(&stub->output));
    buffer_clear(&stub->output);
}

static void note(struct stub *stub, struct text word, struct text what)
{
    buffer_append(&stub->effects, word);
    if (what.length)
        buffer_append_octet(&stub->effects, ' ');
    buffer_append(&stub->effects, what);
    buffer_append_octet(&stub->effects, '\n');
}

static void note_address(struct stub *stub, struct text word, const struct address *a, struct text more)
{
    struct buffer b released_by(buffer_done) = buffer_new(2048);
    buffer_append_octet(&b, '<');
    address_append(&b, a);
    buffer_append_octet(&b, '>');
    if (more.length)
        buffer_append_octet(&b, ' ');
    buffer_append(&b, more);
    note(stub, word, buffer_text(&b));
}

static const struct {
    struct text local;
    enum reply reply;
    bool closes;
} senders[] = {
    {.local = TEXT_INIT("refused"), .reply = REPLY_SENDER_DOMAIN_MISSING},
    {.local = TEXT_INIT("later"), .reply = REPLY_SENDER_DOMAIN_UNAVAILABLE},
    {.local = TEXT_INIT("closed"), .reply = REPLY_BLOCKED},
    {.local = TEXT_INIT("slammed"), .reply = REPLY_SENDER_DOMAIN_MISSING, .closes = true},
};

static struct smtp_answer judge_sender(const struct envelope *e)
{
    struct smtp_answer answer = {.reply = REPLY_NONE, .arguments = {.values = {e->sender.domain}}};
    for (size_t i = 0; i < length_of(senders); i++) {
        if (text_equals(e->sender.local, senders[i].local)) {
            answer.reply = senders[i].reply;
            answer.closes = senders[i].closes;
        }
    }
    return answer;
}

static void ask_sender(struct stub *stub, const struct smtp_event *event)
{
    const struct envelope *e = event->envelope;
    struct buffer more released_by(buffer_done) = buffer_new(2048);
    if (event->declared_size)
        buffer_append_format(&more, "size=%llu ", (unsigned long long)event->declared_size);
    buffer_append_format(&more, "body=%d%s ret=%d envid=%.*s", e->body, e->is_utf8 ? " utf8" : "", e->ret,
                         TEXT_ARGUMENTS(e->envid));
    note_address(stub, TEXT("sender"), &e->sender, buffer_text(&more));
    struct smtp_answer answer = judge_sender(e);
    smtp_server_answer(&stub->machine, &answer, &stub->output);
}

static bool is_known(const struct address *a)
{
    if (address_is_postmaster(a))
        return true;
    if (!text_equals_ignoring_case(a->domain, TEXT("local.example")) ||
        !text_has_octet(TEXT("uUvV"), a->local.bytes[0]))
        return false;
    for (size_t i = 0; i < a->local.length; i++)
        if (text_has_octet(TEXT("%!/|$"), a->local.bytes[i]))
            return false;
    return true;
}

static void ask_recipients(struct stub *stub, const struct smtp_event *event)
{
    struct smtp_answer answers[SMTP_RECIPIENTS_AT_ONCE];
    must(event->recipient_count > 0 && event->recipient_count <= SMTP_RECIPIENTS_AT_ONCE);
    stub->largest_ask = larger(stub->largest_ask, event->recipient_count);
    for (size_t i = 0; i < event->recipient_count; i++) {
        const struct envelope_recipient *r = &event->recipients[i];
        struct buffer more released_by(buffer_done) = buffer_new(2048);
        buffer_append_format(&more, "notify=%u orcpt=%.*s", r->notify, TEXT_ARGUMENTS(r->original));
        note_address(stub, TEXT("recipient"), &r->address, buffer_text(&more));
        enum reply refusal =
            text_equals(r->address.domain, TEXT("far.example")) ? REPLY_RELAY_NOT_PERMITTED : REPLY_RECIPIENT_UNKNOWN;
        answers[i] = (struct smtp_answer){.reply = is_known(&r->address) ? REPLY_NONE : refusal,
                                          .arguments = {.values = {r->address.local}}};
    }
    smtp_server_answer_recipients(&stub->machine, answers, event->recipient_count, &stub->output);
}

static void ask_data(struct stub *stub, const struct smtp_event *event)
{
    struct text local = event->envelope->sender.local;
    struct smtp_answer answer = {.reply = REPLY_NONE};
    if (text_equals(local, TEXT("nodata")))
        answer.reply = REPLY_STORE_UNAVAILABLE;
    if (text_equals(local, TEXT("nodataclosed")))
        answer = (struct smtp_answer){.reply = REPLY_BLOCKED, .arguments = {.values = {TEXT("192.0.2.1"), TEXT("M")}}};
    note(stub, TEXT("data"), reply_row(answer.reply)->name);
    smtp_server_answer(&stub->machine, &answer, &stub->output);
}

static void ask_login(struct stub *stub, const struct smtp_event *event)
{
    static const struct text good[] = {TEXT_INIT("\0tim\0tanstaaf"), TEXT_INIT("tim\0tim\0tanstaaf"),
                                       TEXT_INIT("\0t\xc3\xbcm\0p\xc3\xa4ss")};
    enum mail_login_state state = MAIL_LOGIN_WRONG;
    struct text answer = TEXT_NONE;
    note(stub, TEXT("login"), event->mechanism);
    buffer_append_octet(&stub->responses, '|');
    buffer_append(&stub->responses, event->response);
    if (text_equals(event->mechanism, TEXT("LOGIN"))) {
        stub->login_step = 1;
        state = MAIL_LOGIN_CONTINUE;
        answer = TEXT("Username:");
    } else if (stub->login_step == 1) {
        stub->login_step = text_equals(event->response, TEXT("tim")) ? 2 : 3;
        state = MAIL_LOGIN_CONTINUE;
        answer = TEXT("Password:");
    } else if (stub->login_step >= 2) {
        bool is_right = stub->login_step == 2 && text_equals(event->response, TEXT("tanstaaf"));
        state = is_right ? MAIL_LOGIN_DONE : MAIL_LOGIN_WRONG;
        stub->login_step = 0;
    } else if (event->response.length == 0) {
        state = MAIL_LOGIN_MALFORMED;
    }
    for (size_t i = 0; i < length_of(good); i++)
        if (state == MAIL_LOGIN_WRONG && text_equals(event->response, good[i]))
            state = MAIL_LOGIN_DONE;
    if (state == MAIL_LOGIN_DONE)
        answer = TEXT("tim@local.example");
    smtp_server_answer_login(&stub->machine, state, answer, &stub->output);
}

static void commit(struct stub *stub, const struct smtp_event *event)
{
    const struct smtp_message *m = event->message;
    must(m->size == stub->body.length);
    struct buffer more released_by(buffer_done) = buffer_new(4096);
    buffer_append_format(&more, "recipients=%zu size=%llu hops=%u%s%s%s%s", event->envelope->recipient_count,
                         (unsigned long long)m->size, m->hops, m->has_date ? " date" : "",
                         m->has_message_id ? " id" : "", m->is_8bit ? " 8bit" : "", m->is_header_cut ? " cut" : "");
    if (m->has_from) {
        buffer_append_format(&more, " from=%zu:", m->from_count);
        address_append(&more, &m->from);
    }
    note_address(stub, TEXT("commit"), &event->envelope->sender, buffer_text(&more));
    struct smtp_answer answer = {.reply = REPLY_NONE};
    if (text_equals(event->envelope->sender.local, TEXT("nostore"))) {
        answer.reply = REPLY_STORE_FULL;
    } else {
        stub->message_count++;
        buffer_append_format(&stub->messages, "--- %llu octets\n", (unsigned long long)m->size);
        buffer_append(&stub->messages, buffer_text(&stub->body));
    }
    buffer_clear(&stub->body);
    smtp_server_committed(&stub->machine, &answer, TEXT("Q1"), &stub->output);
}

static void ask_hello(struct stub *stub, const struct smtp_event *event)
{
    struct smtp_answer answer = {.reply = REPLY_NONE, .arguments = {.values = {event->name}}};
    if (text_starts_with(event->name, TEXT("bad")))
        answer.reply = REPLY_HELO_REFUSED;
    note(stub, TEXT("hello"), event->name);
    smtp_server_answer(&stub->machine, &answer, &stub->output);
}

static void ask_verify(struct stub *stub, const struct smtp_event *event)
{
    bool is_found = text_equals(event->name, TEXT("user"));
    struct smtp_answer answer = {.reply = is_found ? REPLY_VERIFY_FOUND : REPLY_VERIFY_NOT_FOUND,
                                 .arguments = {.values = {TEXT("user@local.example")}}};
    note(stub, TEXT("verify"), event->name);
    smtp_server_answer(&stub->machine, &answer, &stub->output);
}

static void take_effect(struct stub *stub, enum smtp_effect effect, const struct smtp_event *event)
{
    switch (effect) {
    case SMTP_NEED_INPUT:
        break;
    case SMTP_FLUSH:
        flush(stub);
        break;
    case SMTP_DONE:
        buffer_append_format(&stub->commands, "%.*s %.*s\n", TEXT_ARGUMENTS(smtp_verb_word(event->verb)),
                             TEXT_ARGUMENTS(reply_row(event->reply)->name));
        break;
    case SMTP_ASK_HELLO:
        ask_hello(stub, event);
        break;
    case SMTP_ASK_SENDER:
        ask_sender(stub, event);
        break;
    case SMTP_ASK_RECIPIENTS:
        ask_recipients(stub, event);
        break;
    case SMTP_ASK_DATA:
        ask_data(stub, event);
        break;
    case SMTP_ASK_VERIFY:
        ask_verify(stub, event);
        break;
    case SMTP_ASK_LOGIN:
        ask_login(stub, event);
        break;
    case SMTP_BODY:
        must(event->body.length != 0);
        buffer_append(&stub->body, event->body);
        break;
    case SMTP_COMMIT:
        commit(stub, event);
        break;
    case SMTP_DROP:
        note(stub, TEXT("drop"), reply_row(event->reply)->name);
        buffer_clear(&stub->body);
        break;
    case SMTP_LOGIN_DROP:
        note(stub, TEXT("login-drop"), TEXT_NONE);
        stub->login_step = 0;
        break;
    case SMTP_START_TLS:
        note(stub, TEXT("tls"), TEXT_NONE);
        flush(stub);
        smtp_server_tls_started(&stub->machine);
        break;
    case SMTP_CLOSE:
        note(stub, TEXT("close"), TEXT_NONE);
        stub->is_closed = true;
        break;
    }
}

void stub_feed(struct stub *stub, struct text octets)
{
    if (stub->is_closed)
        return;
    buffer_append(&stub->input, octets);
    enum smtp_effect effect;
    do {
        size_t length = stub->input.length;
        char *moved = malloc(length + !length);
        must(moved != NULL);
        if (length)
            memcpy(moved, stub->input.bytes, length);
        struct text input = text_of(moved, length);
        struct smtp_event event;
        do {
            size_t before = input.length;
            effect = smtp_server_step(&stub->machine, &input, &stub->output, &event);
            must(input.length <= before);
            take_effect(stub, effect, &event);
        } while (effect == SMTP_BODY || (length > MOVED_LIMIT && effect != SMTP_NEED_INPUT && effect != SMTP_CLOSE));
        buffer_drop_front(&stub->input, length - input.length);
        free(moved);
    } while (effect != SMTP_NEED_INPUT && effect != SMTP_CLOSE);
    flush(stub);
}

void stub_forget_replies(struct stub *stub)
{
    buffer_clear(&stub->replies);
}

unsigned stub_last_code(const struct stub *stub)
{
    struct text rest = buffer_text(&stub->replies);
    unsigned code = 0;
    while (rest.length >= 3) {
        struct text line = text_take_until(&rest, '\n');
        uint64_t number;
        if (text_number(text_first(line, 3), 999, &number))
            code = (unsigned)number;
    }
    return code;
}
