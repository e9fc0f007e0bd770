/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/server_parts.h"

enum {
    OUTPUT_ROOM = 1536, /* octets of the longest reply that one step writes by itself: that to EHLO */
    TRANSACTION_LIMIT = 16 << 20,
    NAMES_LIMIT = 1024, /* HELO name 255, account 512 */
};

void smtp_server_init(struct smtp_server *s, const struct smtp_server_options *options, bool is_encrypted)
{
    *s = (struct smtp_server){
        .options = options,
        .arena = arena_new(options->max_transaction ? options->max_transaction : TRANSACTION_LIMIT),
        .names = buffer_new(NAMES_LIMIT),
        .scratch = buffer_new(SMTP_LOGIN_LIMIT),
        .state = SMTP_STATE_COMMAND,
        .question = SMTP_NEED_INPUT,
        .is_encrypted = is_encrypted,
    };
}

void smtp_server_done(struct smtp_server *s)
{
    transaction_end(s, true);
    buffer_done(&s->names);
    buffer_wipe_done(&s->scratch);
}

void smtp_server_greet(struct smtp_server *s, struct buffer *output)
{
    const struct smtp_server_options *o = s->options;
    for (size_t i = 0; i < o->banner_count; i++) {
        buffer_append(output, TEXT("220-"));
        buffer_append(output, o->banner[i]);
        buffer_append(output, TEXT("\r\n"));
    }
    struct reply_arguments arguments = {.values = {o->hostname, o->title}};
    server_write(output, o->title.length ? REPLY_GREETING_TITLED : REPLY_GREETING, &arguments);
}

/* --- names
 * ---------------------------------------------------------------------------------------------------------------- */

struct text smtp_server_helo(const struct smtp_server *s)
{
    return text_first(buffer_text(&s->names), s->helo_length);
}

struct text smtp_server_login(const struct smtp_server *s)
{
    return text_after(buffer_text(&s->names), s->helo_length);
}

void server_names_set(struct smtp_server *s, struct text helo, struct text login)
{
    struct buffer names = buffer_new(NAMES_LIMIT);
    buffer_append(&names, helo);
    buffer_append(&names, login);
    must(!names.is_full);
    buffer_done(&s->names); /* the texts may stand in it, so only now */
    s->names = names;
    s->helo_length = (uint16_t)helo.length;
}

bool smtp_server_is_in_transaction(const struct smtp_server *s)
{
    return s->transaction != NULL;
}

bool smtp_server_is_logging_in(const struct smtp_server *s)
{
    return s->state == SMTP_STATE_LOGIN || s->question == SMTP_ASK_LOGIN;
}

/* --- the transaction
 * -------------------------------------------------------------------------------------------------------- */

bool transaction_begin(struct smtp_server *s)
{
    must(!s->transaction);
    s->transaction = arena_take(&s->arena, sizeof *s->transaction);
    return s->transaction != NULL;
}

void transaction_end(struct smtp_server *s, bool is_taken)
{
    if (s->transaction) {
        if (s->transaction->has_text && !is_taken)
            s->must_drop = true;
        message_text_done(&s->transaction->text);
        s->transaction = NULL;
    }
    arena_done(&s->arena);
}

/* --- replies
 * ------------------------------------------------------------------------------------------------------------------ */

void server_write(struct buffer *output, enum reply reply, const struct reply_arguments *arguments)
{
    must(reply_append(output, reply, arguments)); /* SMTP_FLUSH and SMTP_OUTPUT_MINIMUM keep room for it */
}

void server_shut(struct smtp_server *s)
{
    transaction_end(s, false);
    if (s->has_login_begun && smtp_server_is_logging_in(s))
        s->must_drop_login = true;
    s->question = SMTP_NEED_INPUT;
    s->state = SMTP_STATE_CLOSED;
    s->must_close = true;
}

enum smtp_effect server_reply(struct smtp_step *step, enum reply reply, const struct reply_arguments *arguments)
{
    struct smtp_server *s = step->server;
    unsigned limit = s->options->max_bad_commands;
    if (reply_row(reply)->code >= 500 && s->bad_commands < UINT16_MAX)
        s->bad_commands++;
    if (limit && s->bad_commands > limit)
        reply = REPLY_TOO_MANY_BAD_COMMANDS;
    server_write(step->output, reply, arguments);
    step->event->reply = reply;
    if (reply_row(reply)->code == 421)
        server_shut(s);
    return SMTP_DONE;
}

enum smtp_effect server_reply_text(struct smtp_step *step, enum reply reply, struct text first)
{
    struct reply_arguments arguments = {.values = {first}};
    return server_reply(step, reply, &arguments);
}

enum smtp_effect server_ask(struct smtp_step *step, enum smtp_effect question)
{
    struct smtp_server *s = step->server;
    s->question = (uint8_t)question;
    if (s->transaction)
        step->event->envelope = &s->transaction->envelope;
    return question;
}

void smtp_server_close(struct smtp_server *s, enum reply reply, const struct reply_arguments *arguments,
                       struct buffer *output)
{
    if (s->state == SMTP_STATE_CLOSED)
        return;
    if (reply != REPLY_NONE)
        ignored(reply_append(output, reply, arguments)); /* a client that reads nothing may have filled it */
    server_shut(s);
}

void smtp_server_time_out(struct smtp_server *s, struct buffer *output)
{
    struct reply_arguments arguments = {.values = {s->options->hostname}};
    smtp_server_close(s, REPLY_TIME_OUT, &arguments, output);
}

void smtp_server_stop(struct smtp_server *s, struct buffer *output)
{
    struct reply_arguments arguments = {.values = {s->options->hostname}};
    smtp_server_close(s, REPLY_STOPPING, &arguments, output);
}

void smtp_server_tls_started(struct smtp_server *s)
{
    must(s->state == SMTP_STATE_TLS);
    /* RFC 3207 section 4.2: what was known before is forgotten, the log-in too. */
    buffer_clear(&s->names);
    s->helo_length = 0;
    s->has_said_hello = false;
    s->is_extended = false;
    s->is_logged_in = false;
    s->is_encrypted = true;
    s->state = SMTP_STATE_COMMAND;
}

/* --- answers
 * --------------------------------------------------------------------------------------------------------------------
 */

bool answer_accepts(const struct smtp_answer *answer)
{
    return answer->reply == REPLY_NONE || reply_row(answer->reply)->code < 300;
}

static void write_answer(struct smtp_server *s, const struct smtp_answer *answer, enum reply usual,
                         const struct reply_arguments *usual_arguments, struct buffer *output)
{
    if (answer->reply == REPLY_NONE)
        server_write(output, usual, usual_arguments);
    else
        server_write(output, answer->reply, &answer->arguments);
    if (s->state != SMTP_STATE_CLOSED &&
        (answer->closes || (answer->reply != REPLY_NONE && reply_row(answer->reply)->code == 421)))
        server_shut(s);
}

/* "{0}" is the address, for the replies that greet sender and recipient. */
static void write_address_answer(struct smtp_server *s, const struct smtp_answer *answer, enum reply usual,
                                 const struct address *address, struct buffer *output)
{
    struct buffer written released_by(buffer_done) = buffer_new(1024);
    address_append(&written, address);
    struct reply_arguments arguments = {.values = {buffer_text(&written)}};
    write_answer(s, answer, usual, &arguments, output);
}

static void answer_sender(struct smtp_server *s, const struct smtp_answer *answer, struct buffer *output)
{
    bool is_accepted = answer_accepts(answer);
    struct address sender = s->transaction->envelope.sender;
    write_address_answer(s, answer, REPLY_SENDER_OK, &sender, output);
    if (!is_accepted)
        transaction_end(s, false);
}

void smtp_server_answer(struct smtp_server *s, const struct smtp_answer *answer, struct buffer *output)
{
    if (s->state == SMTP_STATE_CLOSED)
        return;
    enum smtp_effect question = s->question;
    s->question = SMTP_NEED_INPUT;
    must(question == SMTP_ASK_HELLO || question == SMTP_ASK_SENDER || question == SMTP_ASK_DATA ||
         question == SMTP_ASK_VERIFY);
    if (question == SMTP_ASK_SENDER)
        answer_sender(s, answer, output);
    else if (question == SMTP_ASK_DATA)
        server_answer_data(s, answer, output);
    else if (question == SMTP_ASK_HELLO && answer_accepts(answer))
        server_answer_hello(s, output);
    else
        write_answer(s, answer, REPLY_VERIFY_NOT_SAID, NULL, output);
    buffer_clear(&s->scratch);
    if (answer->closes && s->state != SMTP_STATE_CLOSED && s->state != SMTP_STATE_CHUNK)
        server_shut(s);
}

void smtp_server_answer_recipients(struct smtp_server *s, const struct smtp_answer *answers, size_t count,
                                   struct buffer *output)
{
    if (s->state == SMTP_STATE_CLOSED)
        return;
    struct smtp_transaction *t = s->transaction;
    must(s->question == SMTP_ASK_RECIPIENTS && t->pending == count);
    s->question = SMTP_NEED_INPUT;
    t->pending = 0;
    size_t first = t->envelope.recipient_count;
    for (size_t i = 0; i < count; i++) {
        struct envelope_recipient recipient = t->envelope.recipients[first + i];
        if (answer_accepts(&answers[i]))
            t->envelope.recipients[t->envelope.recipient_count++] = recipient;
        write_address_answer(s, &answers[i], REPLY_RECIPIENT_OK, &recipient.address, output);
        if (s->state == SMTP_STATE_CLOSED)
            return;
    }
}

void smtp_server_committed(struct smtp_server *s, const struct smtp_answer *answer, struct text queue_id,
                           struct buffer *output)
{
    if (s->state == SMTP_STATE_CLOSED)
        return;
    must(s->question == SMTP_COMMIT);
    s->question = SMTP_NEED_INPUT;
    struct buffer size released_by(buffer_done) = buffer_new(32);
    buffer_append_number(&size, s->transaction->text.message.size);
    struct reply_arguments arguments = {.values = {buffer_text(&size), queue_id}};
    if (answer_accepts(answer)) {
        s->bad_commands = 0;
        s->idle_commands = 0;
        s->resets = 0;
    }
    transaction_end(s, true);
    write_answer(s, answer, REPLY_MESSAGE_ACCEPTED, &arguments, output);
}

/* --- steps
 * ------------------------------------------------------------------------------------------------------------------------
 */

static struct text trimmed_end(struct text line)
{
    while (line.length && octet_is_blank(line.bytes[line.length - 1]))
        line.length--;
    return line;
}

static size_t word_length(struct text line)
{
    size_t length = 0;
    while (length < line.length && !octet_is_blank(line.bytes[length]))
        length++;
    return length;
}

enum reply server_refusal(const struct smtp_server *s, unsigned flags)
{
    const struct smtp_server_options *o = s->options;
    if ((flags & COMMAND_NEEDS_HELLO) && o->require_helo && !s->has_said_hello)
        return REPLY_HELLO_REQUIRED;
    if (!(flags & COMMAND_NEEDS_LOGIN) || !o->is_submission)
        return REPLY_NONE;
    if (!s->is_encrypted && !o->auth_in_clear)
        return REPLY_TLS_REQUIRED;
    return s->is_logged_in ? REPLY_NONE : REPLY_LOGIN_REQUIRED;
}

static enum smtp_effect run_command(struct smtp_step *step, struct text line)
{
    struct smtp_server *s = step->server;
    struct text argument = trimmed_end(line);
    const struct command_row *row = command_find(text_take(&argument, word_length(argument)));
    s->verb = (uint8_t)row->verb;
    step->event->verb = row->verb;
    step->event->line = line;
    if (row->flags & COMMAND_IS_SECRET) {
        step->event->line = TEXT_NONE;
        argument = text_after(line, row->word.length); /* a blank behind base64 is a fault, so it stays */
    }
    if (row->flags & COMMAND_IS_IDLE) {
        if (s->idle_commands < UINT16_MAX)
            s->idle_commands++;
        if (s->options->max_idle_commands && s->idle_commands > s->options->max_idle_commands)
            return server_reply(step, REPLY_TOO_MANY_IDLE_COMMANDS, NULL);
    }
    enum reply refusal = server_refusal(s, row->flags);
    if (refusal != REPLY_NONE)
        return server_reply(step, refusal, NULL);
    if (!(row->flags & COMMAND_IS_SECRET))
        argument = text_trimmed(argument);
    if ((row->flags & COMMAND_HAS_NO_ARGUMENT) && argument.length)
        return server_reply_text(step, REPLY_ARGUMENT_NOT_ALLOWED, row->word);
    return row->handle(step, argument);
}

static enum smtp_effect step_command(struct smtp_step *step)
{
    struct text line;
    enum smtp_effect effect;
    size_t limit = text_starts_with_ignoring_case(*step->input, TEXT("AUTH ")) ? SMTP_LOGIN_LIMIT : SMTP_COMMAND_LIMIT;
    if (!server_take_line(step, limit, &line, &effect))
        return effect;
    return run_command(step, line);
}

/* What is due before anything else is read. */
static bool take_due_effect(struct smtp_step *step, enum smtp_effect *ret_effect)
{
    struct smtp_server *s = step->server;
    if (s->must_drop) {
        s->must_drop = false;
        *ret_effect = SMTP_DROP;
        return true;
    }
    if (s->must_drop_login) {
        s->must_drop_login = false;
        s->has_login_begun = false;
        *ret_effect = SMTP_LOGIN_DROP;
        return true;
    }
    if (s->state == SMTP_STATE_CLOSED) {
        *step->input = text_after(*step->input, step->input->length);
        *ret_effect = SMTP_CLOSE;
        return true;
    }
    if (step->output->length && buffer_space(step->output) < OUTPUT_ROOM) {
        *ret_effect = SMTP_FLUSH;
        return true;
    }
    return false;
}

enum smtp_effect smtp_server_step(struct smtp_server *s, struct text *input, struct buffer *output,
                                  struct smtp_event *ret_event)
{
    must(s->question == SMTP_NEED_INPUT);
    struct smtp_step step = {.server = s, .input = input, .output = output, .event = ret_event};
    *ret_event = (struct smtp_event){.verb = s->verb};
    enum smtp_effect effect;
    if (take_due_effect(&step, &effect))
        return effect;
    switch ((enum smtp_server_state)s->state) {
    case SMTP_STATE_COMMAND:
    case SMTP_STATE_SKIP_LINE:
        return step_command(&step);
    case SMTP_STATE_LOGIN:
        return server_step_login(&step);
    case SMTP_STATE_TEXT:
        return server_step_text(&step);
    case SMTP_STATE_CHUNK:
        return server_step_chunk(&step);
    case SMTP_STATE_TLS:
    case SMTP_STATE_CLOSED:
        break;
    }
    return SMTP_NEED_INPUT;
}
