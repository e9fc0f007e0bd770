/* SPDX-License-Identifier: Apache-2.0 */
/* client_message: one mail transaction. With PIPELINING the commands go in groups and every reply is counted against
 * the command it answers; without it, one at a time. */
#include "smtp/client_parts.h"

enum {
    WINDOW = 50, /* recipients sent and not answered: a group never fills the peer's buffer */
    ARENA_BASE = 16 * 1024,
    ARENA_PER_RECIPIENT = 1200,
    CHUNK_LINE = 40,
};

static struct result refusal(const struct smtp_client *c, struct text enhanced, struct text why)
{
    return (struct result){.class = RESULT_FAILED,
                           .enhanced = enhanced,
                           .host = c->options->host,
                           .text = why,
                           .stage = smtp_client_stage_word(SMTP_CLIENT_MAIL)};
}

static void decide(struct smtp_client_recipient *r, const struct result *result, bool may_try_next)
{
    r->result = *result;
    r->is_decided = true;
    r->may_try_next = may_try_next;
}

/* All that have no result yet; only_accepted: those whose text was judged. */
static void decide_rest(struct smtp_client *c, const struct result *result, bool only_accepted, bool may_try_next)
{
    for (size_t i = 0; i < c->message->recipient_count; i++)
        if (!c->recipients[i].is_decided && (!only_accepted || c->recipients[i].is_accepted))
            decide(&c->recipients[i], result, may_try_next);
}

/* A text behind the dot may be there already, if nobody said no: another host would make a second copy of it. */
void client_message_fail(struct smtp_client *c)
{
    bool may_be_there = c->stage == SMTP_CLIENT_END_OF_DATA && c->trouble != SMTP_CLIENT_LEAVING;
    decide_rest(c, &c->failure, false, !may_be_there);
}

/* What can be known without asking. Another host of the domain may offer more, so it may be tried. */
static void refuse_beforehand(struct smtp_client *c)
{
    const struct smtp_client_message *m = c->message;
    const struct envelope *e = m->envelope;
    struct result no_utf8 = refusal(c, TEXT("5.6.7"), TEXT("the host does not offer SMTPUTF8"));
    bool has_utf8 = c->extensions & SMTP_CLIENT_SMTPUTF8;
    if (c->size_limit && m->size > c->size_limit) {
        struct result too_big = refusal(c, TEXT("5.3.4"), TEXT("the message is larger than the host takes"));
        decide_rest(c, &too_big, false, true);
    }
    if (e->body == ENVELOPE_BINARYMIME && (~c->extensions & (SMTP_CLIENT_BINARYMIME | SMTP_CLIENT_CHUNKING))) {
        struct result no_binary = refusal(c, TEXT("5.6.3"), TEXT("the host does not offer BINARYMIME"));
        decide_rest(c, &no_binary, false, true);
    }
    if ((e->is_utf8 && !has_utf8 && !m->is_header_ascii) || !client_may_name(c, &e->sender))
        decide_rest(c, &no_utf8, false, true);
    for (size_t i = 0; i < m->recipient_count; i++)
        if (!c->recipients[i].is_decided && !client_may_name(c, &m->recipients[i]->address))
            decide(&c->recipients[i], &no_utf8, true);
    for (size_t i = 0; i < m->recipient_count; i++)
        c->recipients[i].is_unsaid = c->recipients[i].is_decided;
}

/* The next one that the host is told of. */
static size_t skip_unsaid(const struct smtp_client *c, size_t index)
{
    while (index < c->message->recipient_count && c->recipients[index].is_unsaid)
        index++;
    return index;
}

/* True when there is nothing left to wait for before the next command. */
static bool may_send(const struct smtp_client *c, size_t waiting)
{
    return (c->extensions & SMTP_CLIENT_PIPELINING) ? waiting < WINDOW : waiting == 0;
}

static void send_recipients(struct smtp_client *c, struct buffer *output)
{
    size_t count = c->message->recipient_count;
    size_t waiting = (c->is_mail_answered ? 0U : 1U) + (c->is_reset_sent ? 1U : 0U) + (c->sent - c->answered);
    while ((c->sent = skip_unsaid(c, c->sent)) < count && may_send(c, waiting)) {
        client_append_recipient(c, c->message->recipients[c->sent++], output);
        waiting++;
    }
    bool may_data = (c->extensions & SMTP_CLIENT_PIPELINING) || (waiting == 0 && c->accepted);
    if (c->sent == count && may_data && !c->is_data_sent && !c->is_chunked) {
        buffer_append(output, TEXT("DATA\r\n"));
        c->is_data_sent = true;
    }
}

static void send_more(struct smtp_client *c, struct buffer *output)
{
    if (!c->is_mail_answered || c->is_mail_taken)
        send_recipients(c, output);
}

static void send_mail(struct smtp_client *c, struct buffer *output)
{
    client_append_mail(c, output);
    if (c->extensions & SMTP_CLIENT_PIPELINING)
        send_more(c, output);
}

void smtp_client_begin(struct smtp_client *c, const struct smtp_client_message *message, struct buffer *output)
{
    must(c->stage == SMTP_CLIENT_IDLE && message->recipient_count);
    arena_done(&c->arena);
    c->arena = arena_new(ARENA_BASE + message->recipient_count * (ARENA_PER_RECIPIENT + sizeof *c->recipients));
    c->message = message;
    c->recipients = arena_take_array(&c->arena, message->recipient_count, sizeof *c->recipients);
    must(c->recipients != NULL);
    c->sent = 0;
    c->answered = 0;
    c->accepted = 0;
    c->is_mail_answered = false;
    c->is_mail_taken = false;
    c->is_data_sent = false;
    c->is_heard = false;
    c->is_chunked = message->envelope->body == ENVELOPE_BINARYMIME;
    c->text = (struct smtp_client_text){.is_in_line = false};
    refuse_beforehand(c);
    if (skip_unsaid(c, 0) == message->recipient_count)
        return;
    c->messages++;
    c->stage = SMTP_CLIENT_MAIL;
    if (c->wants_reset) {
        buffer_append(output, TEXT("RSET\r\n"));
        c->is_reset_sent = true;
        if (!(c->extensions & SMTP_CLIENT_PIPELINING))
            return;
    }
    send_mail(c, output);
}

static enum smtp_client_effect out_of_step(struct smtp_client *c, const struct smtp_reply *reply)
{
    struct result failure = client_result(c, RESULT_DEFERRED, reply, c->stage);
    failure.enhanced = TEXT("4.5.0");
    return client_fail(c, SMTP_CLIENT_NONSENSE, &failure);
}

static enum smtp_client_effect finish(struct smtp_client *c)
{
    c->stage = SMTP_CLIENT_IDLE;
    return SMTP_CLIENT_READY;
}

/* All that was sent is answered, and nobody may get the text. */
static enum smtp_client_effect finish_without_text(struct smtp_client *c)
{
    c->wants_reset = c->is_mail_taken;
    return finish(c);
}

/* No reply comes for those that the host was never told of. */
static void pass_unsaid(struct smtp_client *c)
{
    c->answered = smaller(skip_unsaid(c, c->answered), c->sent);
}

/* What to send or to wait for behind a reply to MAIL or RCPT. */
static enum smtp_client_effect next_command(struct smtp_client *c, struct buffer *output)
{
    if (c->stage == SMTP_CLIENT_MAIL && !c->is_mail_answered)
        return SMTP_CLIENT_NEED_INPUT;
    pass_unsaid(c);
    send_more(c, output);
    pass_unsaid(c);
    if (c->answered < c->sent) {
        c->stage = SMTP_CLIENT_RECIPIENT;
        return SMTP_CLIENT_NEED_INPUT;
    }
    c->stage = SMTP_CLIENT_DATA;
    if (c->is_data_sent)
        return SMTP_CLIENT_NEED_INPUT;
    if (c->accepted == 0)
        return finish_without_text(c);
    must(c->is_chunked); /* BDAT needs no leave */
    c->stage = SMTP_CLIENT_TEXT;
    return SMTP_CLIENT_NEED_BODY;
}

static enum smtp_client_effect reset_reply(struct smtp_client *c, const struct smtp_reply *reply, struct buffer *output)
{
    if (reply->code / 100 != 2)
        return out_of_step(c, reply);
    c->is_reset_sent = false;
    c->wants_reset = false;
    if (!(c->extensions & SMTP_CLIENT_PIPELINING))
        send_mail(c, output);
    return next_command(c, output);
}

static enum smtp_client_effect mail_reply(struct smtp_client *c, const struct smtp_reply *reply, struct buffer *output)
{
    c->is_mail_answered = true;
    c->is_mail_taken = reply->code / 100 == 2;
    if (reply->code / 100 == 3)
        return out_of_step(c, reply);
    if (!c->is_mail_taken) {
        bool is_for_good = reply->code / 100 == 5;
        struct result result = client_result(c, is_for_good ? RESULT_FAILED : RESULT_DEFERRED, reply, SMTP_CLIENT_MAIL);
        decide_rest(c, &result, false, !is_for_good);
    }
    return next_command(c, output);
}

/* RFC 5321 section 4.5.3.1.10: 452, and from old hosts 552, may mean that there were enough recipients for one message.
 */
static bool is_too_many(const struct smtp_client *c, const struct smtp_reply *reply)
{
    if (c->accepted == 0)
        return false;
    return reply->code == 452 ||
           (reply->code == 552 && (reply->enhanced.length == 0 || text_equals(reply->enhanced, TEXT("5.5.3"))));
}

static enum smtp_client_effect recipient_reply(struct smtp_client *c, const struct smtp_reply *reply,
                                               struct buffer *output)
{
    struct smtp_client_recipient *r = &c->recipients[c->answered];
    unsigned class = reply->code / 100;
    if (class == 3)
        return out_of_step(c, reply);
    c->answered++;
    if (!c->is_mail_taken) /* it was sent in one group with MAIL: its reply says nothing new */
        return next_command(c, output);
    if (class == 2) {
        r->is_accepted = true;
        c->accepted++;
        return next_command(c, output);
    }
    r->wants_again = is_too_many(c, reply);
    bool is_for_good = class == 5 && !r->wants_again;
    struct result result =
        client_result(c, is_for_good ? RESULT_FAILED : RESULT_DEFERRED, reply, SMTP_CLIENT_RECIPIENT);
    decide(r, &result, false);
    return next_command(c, output);
}

static enum smtp_client_effect data_reply(struct smtp_client *c, const struct smtp_reply *reply, struct buffer *output)
{
    unsigned class = reply->code / 100;
    if (class == 2)
        return out_of_step(c, reply);
    if (class == 3 && c->accepted) {
        c->stage = SMTP_CLIENT_TEXT;
        return SMTP_CLIENT_NEED_BODY;
    }
    if (class == 3) { /* RFC 2920 section 3.1: it wants a text for nobody; it gets an empty one */
        buffer_append(output, TEXT(".\r\n"));
        c->stage = SMTP_CLIENT_END_OF_DATA;
        return SMTP_CLIENT_NEED_INPUT;
    }
    struct result result = client_result(c, class == 5 ? RESULT_FAILED : RESULT_DEFERRED, reply, SMTP_CLIENT_DATA);
    decide_rest(c, &result, true, false);
    return finish_without_text(c);
}

static void decide_text(struct smtp_client *c, const struct smtp_reply *reply)
{
    static const enum result_class classes[] = {
        [2] = RESULT_RELAYED,
        [3] = RESULT_DEFERRED,
        [4] = RESULT_DEFERRED,
        [5] = RESULT_FAILED,
    };
    enum result_class class = classes[reply->code / 100];
    if (class == RESULT_RELAYED && !(c->extensions & SMTP_CLIENT_DSN))
        class = RESULT_RELAYED_WITHOUT_DSN;
    struct result result = client_result(c, class, reply, SMTP_CLIENT_END_OF_DATA);
    decide_rest(c, &result, true, false);
}

static enum smtp_client_effect end_reply(struct smtp_client *c, const struct smtp_reply *reply)
{
    if (reply->code / 100 == 3)
        return out_of_step(c, reply);
    decide_text(c, reply);
    c->wants_reset = false;
    return finish(c);
}

/* A reply while the text is still on its way: a refusal counts, but the text can't be ended any more, so the connection
 * must be. */
static enum smtp_client_effect early_reply(struct smtp_client *c, const struct smtp_reply *reply)
{
    if (reply->code < 400)
        return out_of_step(c, reply);
    decide_text(c, reply);
    return client_fail_by_reply(c, SMTP_CLIENT_LEAVING, reply, SMTP_CLIENT_TEXT);
}

/* The reply to a BDAT that was not the last one. */
static enum smtp_client_effect chunk_reply(struct smtp_client *c, const struct smtp_reply *reply)
{
    if (reply->code / 100 == 3)
        return out_of_step(c, reply);
    if (reply->code / 100 == 2) {
        c->stage = SMTP_CLIENT_TEXT;
        return SMTP_CLIENT_NEED_BODY;
    }
    decide_text(c, reply);
    c->wants_reset = true;
    return finish(c);
}

enum smtp_client_effect client_message_reply(struct smtp_client *c, const struct smtp_reply *reply,
                                             struct buffer *output)
{
    c->is_heard = true;
    if (c->is_reset_sent)
        return reset_reply(c, reply, output);
    if (c->stage == SMTP_CLIENT_MAIL)
        return mail_reply(c, reply, output);
    if (c->stage == SMTP_CLIENT_RECIPIENT)
        return recipient_reply(c, reply, output);
    if (c->stage == SMTP_CLIENT_DATA)
        return c->is_chunked ? chunk_reply(c, reply) : data_reply(c, reply, output);
    return c->stage == SMTP_CLIENT_TEXT ? early_reply(c, reply) : end_reply(c, reply);
}

bool smtp_client_body(struct smtp_client *c, struct text octets, bool is_last, struct buffer *output)
{
    must(c->stage == SMTP_CLIENT_TEXT);
    if (buffer_space(output) < smtp_client_text_limit(octets.length) + CHUNK_LINE)
        return false;
    if (c->is_chunked) {
        if (octets.length == 0 && !is_last)
            return true;
        buffer_append(output, TEXT("BDAT "));
        buffer_append_number(output, octets.length);
        buffer_append(output, is_last ? TEXT(" LAST\r\n") : TEXT("\r\n"));
        buffer_append(output, octets);
        c->stage = is_last ? SMTP_CLIENT_END_OF_DATA : SMTP_CLIENT_DATA;
        return true;
    }
    smtp_client_text_append(&c->text, octets, output);
    if (is_last) {
        smtp_client_text_end(&c->text, output);
        c->stage = SMTP_CLIENT_END_OF_DATA;
    }
    return true;
}
