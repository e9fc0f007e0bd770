/* SPDX-License-Identifier: Apache-2.0 */
/* RCPT (RFC 5321 section 4.1.1.3) with NOTIFY and ORCPT (RFC 3461). All good RCPT lines that stand in the input make
 * one question. */
#include "smtp/parameters.h"

#include <string.h>

enum {
    ORCPT_LIMIT = 500,
    REPLY_ROOM = 512, /* octets of output that an answer may take */
    FIRST_CAPACITY = 4,
};

static enum reply read_notify(struct parameters *p, struct text value)
{
    static const struct {
        struct text word;
        unsigned bit;
    } words[] = {
        {.word = TEXT_INIT("NEVER"), .bit = ENVELOPE_NOTIFY_NEVER},
        {.word = TEXT_INIT("SUCCESS"), .bit = ENVELOPE_NOTIFY_SUCCESS},
        {.word = TEXT_INIT("FAILURE"), .bit = ENVELOPE_NOTIFY_FAILURE},
        {.word = TEXT_INIT("DELAY"), .bit = ENVELOPE_NOTIFY_DELAY},
    };
    if (!p->options->offers_dsn)
        return REPLY_PARAMETER_UNKNOWN;
    if (value.length == 0 || text_ends_with(value, TEXT(",")))
        return REPLY_PARAMETER_SYNTAX;
    while (value.length) {
        struct text word = text_take_until(&value, ',');
        size_t i = 0;
        while (i < length_of(words) && !text_equals_ignoring_case(words[i].word, word))
            i++;
        if (i == length_of(words))
            return REPLY_PARAMETER_SYNTAX;
        p->notify |= words[i].bit;
    }
    bool is_mixed = (p->notify & ENVELOPE_NOTIFY_NEVER) && p->notify != ENVELOPE_NOTIFY_NEVER;
    return is_mixed ? REPLY_PARAMETER_SYNTAX : REPLY_NONE;
}

/* "rfc822;user@domain": the type is an atom, the address may lack its domain. */
static enum reply read_original(struct parameters *p, struct text value)
{
    if (!p->options->offers_dsn)
        return REPLY_PARAMETER_UNKNOWN;
    size_t semicolon = text_find_octet(value, ';');
    if (semicolon == 0 || semicolon + 1 >= value.length || value.length > ORCPT_LIMIT)
        return REPLY_PARAMETER_SYNTAX;
    for (size_t i = 0; i < semicolon; i++)
        if (!octet_is_letter(value.bytes[i]) && !octet_is_digit(value.bytes[i]) && value.bytes[i] != '-')
            return REPLY_PARAMETER_SYNTAX;
    return xtext_decode(value, p->arena, &p->original) ? REPLY_NONE : REPLY_PARAMETER_SYNTAX;
}

static const struct parameter_row rows[] = {
    {.word = TEXT_INIT("NOTIFY"), .takes_value = true, .read = read_notify},
    {.word = TEXT_INIT("ORCPT"), .takes_value = true, .read = read_original},
};

static enum reply reply_of_recipient(enum address_result result, const struct address *a)
{
    switch (result) {
    case ADDRESS_OK:
        break;
    case ADDRESS_SYNTAX:
        return REPLY_RECIPIENT_ADDRESS_SYNTAX;
    case ADDRESS_NOT_ASCII:
        return REPLY_ADDRESS_NOT_ASCII;
    case ADDRESS_BAD_UTF8:
        return REPLY_ADDRESS_BAD_UTF8;
    case ADDRESS_TOO_LONG:
        return REPLY_ADDRESS_TOO_LONG;
    }
    if (address_is_null(a))
        return REPLY_RECIPIENT_NULL;
    return address_has_empty_local(a) ? REPLY_RECIPIENT_EMPTY_LOCAL : REPLY_NONE;
}

/* Room for one recipient more, in one array: it is the envelope's. */
static bool reserve(struct smtp_server *s)
{
    struct smtp_transaction *t = s->transaction;
    size_t count = t->envelope.recipient_count + t->pending;
    if (count < t->recipient_capacity)
        return true;
    size_t capacity = larger(FIRST_CAPACITY, 2 * t->recipient_capacity);
    struct envelope_recipient *recipients = arena_take_array(&s->arena, capacity, sizeof recipients[0]);
    if (!recipients)
        return false;
    if (count)
        memcpy(recipients, t->envelope.recipients, count * sizeof recipients[0]);
    t->envelope.recipients = recipients;
    t->recipient_capacity = capacity;
    return true;
}

static enum reply keep_recipient(struct smtp_server *s, const struct address *address, const struct parameters *p)
{
    struct smtp_transaction *t = s->transaction;
    struct envelope_recipient kept = {.notify = p->notify, .original = p->original};
    if (!reserve(s) || !arena_copy(&s->arena, address->local, &kept.address.local) ||
        !arena_copy(&s->arena, address->domain, &kept.address.domain))
        return REPLY_TRANSACTION_TOO_BIG;
    t->envelope.recipients[t->envelope.recipient_count + t->pending++] = kept;
    return REPLY_NONE;
}

static enum reply add_recipient(struct smtp_server *s, struct text argument, struct text *ret_word)
{
    struct smtp_transaction *t = s->transaction;
    if (!text_take_prefix_ignoring_case(&argument, TEXT("TO:")))
        return REPLY_RECIPIENT_SYNTAX;
    if (s->options->is_submission || s->options->is_lenient)
        argument = text_trimmed(argument);
    if (argument.length == 0 || argument.bytes[0] != '<')
        return REPLY_RECIPIENT_SYNTAX;
    struct address address;
    enum reply reply = reply_of_recipient(address_take_path(&argument, true, &address), &address);
    if (reply != REPLY_NONE)
        return reply;
    if (argument.length && !octet_is_blank(argument.bytes[0]))
        return REPLY_RECIPIENT_SYNTAX;
    if (!t->envelope.is_utf8 && !address_is_ascii(&address))
        return REPLY_ADDRESS_NOT_ASCII;
    if (t->envelope.recipient_count + t->pending >= s->options->max_recipients)
        return REPLY_TOO_MANY_RECIPIENTS;
    struct parameters p = {.options = s->options, .arena = &s->arena};
    reply = parameters_read(argument, rows, length_of(rows), &p, ret_word);
    return reply != REPLY_NONE ? reply : keep_recipient(s, &address, &p);
}

/* Takes the RCPT lines behind this one, as long as they are good: a bad one is left, to be answered in its turn. */
static void add_following(struct smtp_step *step)
{
    struct smtp_server *s = step->server;
    size_t room = smaller(SMTP_RECIPIENTS_AT_ONCE, buffer_space(step->output) / REPLY_ROOM);
    while (s->transaction->pending < room) {
        struct text line;
        struct text word;
        size_t length;
        if (!server_peek_line(step, &line, &length) || !text_take_prefix_ignoring_case(&line, TEXT("RCPT ")))
            return;
        if (add_recipient(s, text_trimmed(line), &word) != REPLY_NONE)
            return;
        *step->input = text_after(*step->input, length);
    }
}

enum smtp_effect command_recipient(struct smtp_step *step, struct text argument)
{
    struct smtp_server *s = step->server;
    struct smtp_transaction *t = s->transaction;
    if (!t)
        return server_reply(step, REPLY_MAIL_REQUIRED, NULL);
    if (t->is_chunked) /* RFC 3030 section 2: after BDAT, only BDAT or RSET */
        return server_reply(step, REPLY_RECIPIENT_AFTER_BDAT, NULL);
    struct text word = TEXT_NONE;
    enum reply reply = add_recipient(s, argument, &word);
    if (reply == REPLY_TOO_MANY_RECIPIENTS) {
        struct buffer digits released_by(buffer_done) = buffer_new(32);
        buffer_append_number(&digits, s->options->max_recipients);
        return server_reply_text(step, reply, buffer_text(&digits));
    }
    if (reply != REPLY_NONE)
        return server_reply_text(step, reply, word);
    add_following(step);
    step->event->recipients = t->envelope.recipients + t->envelope.recipient_count;
    step->event->recipient_count = t->pending;
    return server_ask(step, SMTP_ASK_RECIPIENTS);
}
