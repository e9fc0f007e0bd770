/* SPDX-License-Identifier: Apache-2.0 */
/* server_text: reads the message, by DATA or by BDAT, and judges it at its end. */
#include "smtp/server_parts.h"

static void write_number_reply(struct buffer *output, enum reply reply, uint64_t number)
{
    struct buffer digits released_by(buffer_done) = buffer_new(32);
    buffer_append_number(&digits, number);
    struct reply_arguments arguments = {.values = {buffer_text(&digits)}};
    server_write(output, reply, &arguments);
}

static enum reply judge_text(const struct smtp_server *s, const struct message_text *text)
{
    if (text->is_over)
        return REPLY_MESSAGE_TOO_LARGE;
    if (text->has_bare && !text->is_lenient)
        return REPLY_BARE_NEWLINE;
    if (text->has_nul)
        return REPLY_MESSAGE_NUL;
    return s->options->max_hops && text->message.hops > s->options->max_hops ? REPLY_MAIL_LOOP : REPLY_NONE;
}

static enum smtp_effect drop(struct smtp_step *step, enum reply reply)
{
    struct smtp_server *s = step->server;
    transaction_end(s, false);
    s->must_drop = false;
    s->state = SMTP_STATE_COMMAND;
    step->event->reply = reply;
    return SMTP_DROP;
}

static enum smtp_effect refuse_text(struct smtp_step *step, enum reply reply)
{
    const struct smtp_server_options *o = step->server->options;
    write_number_reply(step->output, reply, reply == REPLY_MAIL_LOOP ? o->max_hops : o->max_message_size);
    return drop(step, reply);
}

static enum smtp_effect finish_text(struct smtp_step *step)
{
    struct smtp_server *s = step->server;
    struct message_text *text = &s->transaction->text;
    if (!message_text_is_refused(text))
        message_text_find_facts(text);
    enum reply reply = judge_text(s, text);
    if (reply != REPLY_NONE)
        return refuse_text(step, reply);
    s->state = SMTP_STATE_COMMAND;
    step->event->message = &text->message;
    return server_ask(step, SMTP_COMMIT);
}

static enum smtp_effect too_much(struct smtp_step *step)
{
    struct smtp_server *s = step->server;
    struct reply_arguments arguments = {.values = {s->options->hostname}};
    server_write(step->output, REPLY_TOO_MUCH_DATA, &arguments);
    step->event->reply = REPLY_TOO_MUCH_DATA;
    server_shut(s);
    return SMTP_DONE;
}

static bool is_too_much(const struct smtp_server *s, uint64_t read)
{
    return s->options->max_read_size && read > s->options->max_read_size;
}

enum smtp_effect server_step_text(struct smtp_step *step)
{
    struct smtp_server *s = step->server;
    struct message_text *text = &s->transaction->text;
    enum message_text_result result = message_text_take(text, step->input, &step->event->body);
    if (is_too_much(s, text->read))
        return too_much(step);
    switch (result) {
    case MESSAGE_TEXT_SPAN:
        return SMTP_BODY;
    case MESSAGE_TEXT_END:
        return finish_text(step);
    case MESSAGE_TEXT_MORE:
        break;
    }
    return SMTP_NEED_INPUT;
}

/* --- BDAT
 * -------------------------------------------------------------------------------------------------------------------
 */

/* The chunk was refused before it came, and is eaten now: RFC 3030 section 2. */
static enum smtp_effect end_refused_chunk(struct smtp_step *step)
{
    struct smtp_server *s = step->server;
    enum reply reply = s->owed_reply;
    s->owed_reply = REPLY_NONE;
    s->state = SMTP_STATE_COMMAND;
    struct smtp_transaction *t = s->transaction;
    if (!t || !t->is_chunked)
        return server_reply(step, reply, NULL);
    bool closes = t->refusal_closes || reply_row(reply)->code == 421;
    server_write(step->output, reply, &t->refusal);
    enum smtp_effect effect = drop(step, reply);
    if (closes)
        server_shut(s);
    return effect;
}

static enum smtp_effect end_chunk(struct smtp_step *step)
{
    struct smtp_server *s = step->server;
    if (s->owed_reply != REPLY_NONE)
        return end_refused_chunk(step);
    struct message_text *text = &s->transaction->text;
    if (s->is_chunk_last) {
        if (message_text_finish(text, &step->event->body))
            return SMTP_BODY;
        return finish_text(step);
    }
    enum reply reply = judge_text(s, text);
    if (reply != REPLY_NONE)
        return refuse_text(step, reply);
    s->state = SMTP_STATE_COMMAND;
    write_number_reply(step->output, REPLY_CHUNK_OK, text->read);
    step->event->reply = REPLY_CHUNK_OK;
    return SMTP_DONE;
}

enum smtp_effect server_step_chunk(struct smtp_step *step)
{
    struct smtp_server *s = step->server;
    if (s->chunk_left == 0)
        return end_chunk(step);
    size_t count = s->chunk_left < step->input->length ? (size_t)s->chunk_left : step->input->length;
    if (s->owed_reply != REPLY_NONE) {
        *step->input = text_after(*step->input, count);
        s->chunk_left -= count;
        return s->chunk_left ? SMTP_NEED_INPUT : end_chunk(step);
    }
    struct message_text *text = &s->transaction->text;
    struct text chunk = text_first(*step->input, count);
    enum message_text_result result = message_text_take(text, &chunk, &step->event->body);
    count -= chunk.length;
    *step->input = text_after(*step->input, count);
    s->chunk_left -= count;
    if (is_too_much(s, text->read))
        return too_much(step);
    if (result == MESSAGE_TEXT_SPAN)
        return SMTP_BODY;
    return s->chunk_left ? SMTP_NEED_INPUT : end_chunk(step);
}

/* --- may the text come?
 * --------------------------------------------------------------------------------------------------------- */

static bool keep_refusal(struct smtp_server *s, const struct smtp_answer *answer)
{
    struct smtp_transaction *t = s->transaction;
    t->refusal_closes = answer->closes;
    for (size_t i = 0; i < REPLY_ARGUMENTS; i++)
        if (!arena_copy(&s->arena, answer->arguments.values[i], &t->refusal.values[i]))
            return false;
    return true;
}

static void refuse_data(struct smtp_server *s, const struct smtp_answer *answer, struct buffer *output)
{
    if (s->verb == SMTP_BDAT) {
        s->owed_reply = (uint16_t)(keep_refusal(s, answer) ? answer->reply : REPLY_TRANSACTION_TOO_BIG);
        s->transaction->is_chunked = true;
        s->state = SMTP_STATE_CHUNK;
        return;
    }
    server_write(output, answer->reply, &answer->arguments);
    transaction_end(s, false);
    if (answer->closes || reply_row(answer->reply)->code == 421)
        server_shut(s);
}

void server_answer_data(struct smtp_server *s, const struct smtp_answer *answer, struct buffer *output)
{
    if (!answer_accepts(answer)) {
        refuse_data(s, answer, output);
        return;
    }
    struct smtp_transaction *t = s->transaction;
    bool is_chunked = s->verb == SMTP_BDAT;
    bool is_binary = t->envelope.body == ENVELOPE_BINARYMIME;
    message_text_init(&t->text, s->options->max_message_size, !is_chunked, is_binary, s->options->is_lenient);
    t->has_text = true;
    t->is_chunked = is_chunked;
    s->state = is_chunked ? SMTP_STATE_CHUNK : SMTP_STATE_TEXT;
    if (!is_chunked)
        server_write(output, REPLY_DATA_START, NULL);
}
