/* SPDX-License-Identifier: Apache-2.0 */
/* MAIL (RFC 5321 section 4.1.1.2) with SIZE, BODY, SMTPUTF8, RET, ENVID and AUTH. */
#include "smtp/parameters.h"

enum { SIZE_DIGITS = 20, ENVID_LIMIT = 100 };

static enum reply read_size(struct parameters *p, struct text value)
{
    for (size_t i = 0; i < value.length; i++)
        if (!octet_is_digit(value.bytes[i]))
            return REPLY_PARAMETER_SYNTAX;
    if (value.length == 0 || value.length > SIZE_DIGITS)
        return REPLY_PARAMETER_SYNTAX;
    if (!text_number(value, UINT64_MAX, &p->size))
        return REPLY_MESSAGE_TOO_LARGE;
    uint64_t limit = p->options->max_message_size;
    return limit && p->size > limit ? REPLY_MESSAGE_TOO_LARGE : REPLY_NONE;
}

static enum reply read_body(struct parameters *p, struct text value)
{
    static const struct {
        struct text word;
        enum envelope_body body;
    } kinds[] = {
        {.word = TEXT_INIT("7BIT"), .body = ENVELOPE_7BIT},
        {.word = TEXT_INIT("8BITMIME"), .body = ENVELOPE_8BITMIME},
        {.word = TEXT_INIT("BINARYMIME"), .body = ENVELOPE_BINARYMIME},
    };
    for (size_t i = 0; i < length_of(kinds); i++) {
        if (text_equals_ignoring_case(kinds[i].word, value)) {
            p->body = kinds[i].body;
            return REPLY_NONE;
        }
    }
    return REPLY_PARAMETER_SYNTAX;
}

static enum reply read_utf8(struct parameters *p, struct text value not_used)
{
    if (!p->options->offers_utf8)
        return REPLY_PARAMETER_UNKNOWN;
    p->is_utf8 = true;
    return REPLY_NONE;
}

static enum reply read_ret(struct parameters *p, struct text value)
{
    if (!p->options->offers_dsn)
        return REPLY_PARAMETER_UNKNOWN;
    if (text_equals_ignoring_case(value, TEXT("FULL")))
        p->ret = ENVELOPE_RETURN_FULL;
    else if (text_equals_ignoring_case(value, TEXT("HDRS")))
        p->ret = ENVELOPE_RETURN_HEADERS;
    else
        return REPLY_PARAMETER_SYNTAX;
    return REPLY_NONE;
}

static enum reply read_envid(struct parameters *p, struct text value)
{
    if (!p->options->offers_dsn)
        return REPLY_PARAMETER_UNKNOWN;
    if (value.length == 0 || value.length > ENVID_LIMIT || !xtext_decode(value, p->arena, &p->envid))
        return REPLY_PARAMETER_SYNTAX;
    return REPLY_NONE;
}

/* Checked and not used: we trust no client to say who logged in elsewhere (RFC 4954 section 5). */
static enum reply read_auth(struct parameters *p, struct text value)
{
    struct text identity;
    if (text_equals(value, TEXT("<>")))
        return REPLY_NONE;
    return value.length && xtext_decode(value, p->arena, &identity) ? REPLY_NONE : REPLY_PARAMETER_SYNTAX;
}

static const struct parameter_row rows[] = {
    {.word = TEXT_INIT("SIZE"), .takes_value = true, .read = read_size},
    {.word = TEXT_INIT("BODY"), .takes_value = true, .read = read_body},
    {.word = TEXT_INIT("SMTPUTF8"), .takes_value = false, .read = read_utf8},
    {.word = TEXT_INIT("RET"), .takes_value = true, .read = read_ret},
    {.word = TEXT_INIT("ENVID"), .takes_value = true, .read = read_envid},
    {.word = TEXT_INIT("AUTH"), .takes_value = true, .read = read_auth},
};

static enum reply reply_of_sender(enum address_result result, const struct address *a)
{
    switch (result) {
    case ADDRESS_OK:
        break;
    case ADDRESS_SYNTAX:
        return REPLY_SENDER_SYNTAX;
    case ADDRESS_NOT_ASCII:
        return REPLY_ADDRESS_NOT_ASCII;
    case ADDRESS_BAD_UTF8:
        return REPLY_ADDRESS_BAD_UTF8;
    case ADDRESS_TOO_LONG:
        return REPLY_ADDRESS_TOO_LONG;
    }
    if (address_is_null(a))
        return REPLY_NONE;
    if (a->domain.length == 0)
        return REPLY_SENDER_DOMAIN_REQUIRED;
    return address_has_empty_local(a) ? REPLY_SENDER_EMPTY_LOCAL : REPLY_NONE;
}

static bool keep_address(struct smtp_server *s, const struct address *a, struct address *ret_kept)
{
    struct address kept;
    if (!arena_copy(&s->arena, a->local, &kept.local) || !arena_copy(&s->arena, a->domain, &kept.domain))
        return false;
    *ret_kept = kept;
    return true;
}

static enum smtp_effect refuse(struct smtp_step *step, enum reply reply, struct text word)
{
    transaction_end(step->server, false);
    if (reply != REPLY_MESSAGE_TOO_LARGE)
        return server_reply_text(step, reply, word);
    struct buffer digits released_by(buffer_done) = buffer_new(32);
    buffer_append_number(&digits, step->server->options->max_message_size);
    return server_reply_text(step, reply, buffer_text(&digits));
}

enum smtp_effect command_mail(struct smtp_step *step, struct text argument)
{
    struct smtp_server *s = step->server;
    if (s->transaction)
        return server_reply(step, REPLY_MAIL_NESTED, NULL);
    if (!text_take_prefix_ignoring_case(&argument, TEXT("FROM:")))
        return server_reply(step, REPLY_MAIL_SYNTAX, NULL);
    if (s->options->is_submission || s->options->is_lenient)
        argument = text_trimmed(argument); /* RFC 5321 section 3.3 forbids the blank, much software sends it */
    if (argument.length == 0 || argument.bytes[0] != '<')
        return server_reply(step, REPLY_MAIL_SYNTAX, NULL);
    struct address sender;
    enum reply reply = reply_of_sender(address_take_path(&argument, true, &sender), &sender);
    if (reply != REPLY_NONE)
        return server_reply(step, reply, NULL);
    if (argument.length && !octet_is_blank(argument.bytes[0]))
        return server_reply(step, REPLY_MAIL_SYNTAX, NULL);
    if (!transaction_begin(s))
        return refuse(step, REPLY_TRANSACTION_TOO_BIG, TEXT_NONE);
    struct parameters p = {.options = s->options, .arena = &s->arena};
    struct text word = TEXT_NONE;
    reply = parameters_read(argument, rows, length_of(rows), &p, &word);
    if (reply != REPLY_NONE)
        return refuse(step, reply, word);
    if (!p.is_utf8 && !address_is_ascii(&sender))
        return refuse(step, REPLY_ADDRESS_NOT_ASCII, TEXT_NONE);
    struct envelope *envelope = &s->transaction->envelope;
    if (!keep_address(s, &sender, &envelope->sender))
        return refuse(step, REPLY_TRANSACTION_TOO_BIG, TEXT_NONE);
    envelope->body = p.body;
    envelope->is_utf8 = p.is_utf8;
    envelope->ret = p.ret;
    envelope->envid = p.envid;
    s->transaction->declared_size = p.size;
    step->event->declared_size = p.size;
    return server_ask(step, SMTP_ASK_SENDER);
}
