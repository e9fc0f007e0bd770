/* SPDX-License-Identifier: Apache-2.0 */
/* The small commands: RSET, NOOP, QUIT, VRFY, EXPN, HELP, STARTTLS, and what is no command of ours. */
#include "smtp/server_parts.h"

enum smtp_effect command_reset(struct smtp_step *step, struct text argument not_used)
{
    struct smtp_server *s = step->server;
    transaction_end(s, false); /* never the log-in: RFC 4954 section 4 */
    if (s->resets < UINT16_MAX)
        s->resets++;
    return server_reply(step, REPLY_OK, NULL);
}

enum smtp_effect command_noop(struct smtp_step *step, struct text argument not_used)
{
    return server_reply(step, REPLY_OK, NULL);
}

enum smtp_effect command_quit(struct smtp_step *step, struct text argument not_used)
{
    enum smtp_effect effect = server_reply_text(step, REPLY_CLOSING, step->server->options->hostname);
    server_shut(step->server);
    return effect;
}

enum smtp_effect command_verify(struct smtp_step *step, struct text argument)
{
    struct smtp_server *s = step->server;
    bool is_expansion = step->event->verb == SMTP_EXPN;
    if (argument.length == 0)
        return server_reply_text(step, REPLY_ARGUMENT_MISSING, TEXT("a name is required"));
    if (is_expansion && !s->options->answers_expn)
        return server_reply(step, REPLY_EXPAND_DISABLED, NULL);
    if (!is_expansion && !s->options->answers_vrfy)
        return server_reply(step, REPLY_VERIFY_NOT_SAID, NULL);
    step->event->name = argument;
    return server_ask(step, SMTP_ASK_VERIFY);
}

enum smtp_effect command_help(struct smtp_step *step, struct text argument not_used)
{
    struct buffer words released_by(buffer_done) = buffer_new(256);
    size_t count;
    const struct command_row *rows = command_rows(&count);
    for (size_t i = 0; i < count; i++) {
        if (rows[i].verb == SMTP_VERB_OTHER)
            continue;
        if (words.length)
            buffer_append_octet(&words, ' ');
        buffer_append(&words, rows[i].word);
    }
    return server_reply_text(step, REPLY_HELP, buffer_text(&words));
}

enum smtp_effect command_starttls(struct smtp_step *step, struct text argument not_used)
{
    struct smtp_server *s = step->server;
    if (s->is_encrypted)
        return server_reply(step, REPLY_TLS_ALREADY, NULL);
    if (!s->options->offers_tls)
        return server_reply(step, REPLY_TLS_NOT_OFFERED, NULL);
    if (s->transaction)
        return server_reply(step, REPLY_STARTTLS_IN_TRANSACTION, NULL);
    ignored(server_reply_text(step, REPLY_TLS_READY, s->options->hostname)); /* the effect is another one */
    s->state = SMTP_STATE_TLS;
    /* RFC 3207 section 4.2: what came in clear behind the command must not be taken for what comes under TLS. */
    step->event->discarded = step->input->length;
    *step->input = text_after(*step->input, step->input->length);
    return SMTP_START_TLS;
}

enum smtp_effect command_not_implemented(struct smtp_step *step, struct text argument not_used)
{
    return server_reply(step, REPLY_COMMAND_NOT_IMPLEMENTED, NULL);
}

enum smtp_effect command_foreign(struct smtp_step *step, struct text argument not_used)
{
    return server_reply(step, REPLY_NOT_A_MAIL_CLIENT, NULL);
}

enum smtp_effect command_unknown(struct smtp_step *step, struct text argument not_used)
{
    return server_reply(step, REPLY_COMMAND_UNKNOWN, NULL);
}
