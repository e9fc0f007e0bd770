/* SPDX-License-Identifier: Apache-2.0 */
/* AUTH (RFC 4954). The exchange itself is the driver's: it is asked with decoded octets and answers with a challenge or
 * an end. */
#include "smtp/server_parts.h"

/* The mechanisms where the server speaks first; all others wait for the client: RFC 4422 section 5, RFC 4954 section 4.
 */
static bool server_is_first(struct text mechanism)
{
    return text_equals_ignoring_case(mechanism, TEXT("LOGIN"));
}

static struct text mechanism_at(const struct smtp_server *s, size_t place)
{
    struct text rest = s->options->mechanisms;
    struct text word = text_take_word(&rest);
    while (place--)
        word = text_take_word(&rest);
    return word;
}

static bool find_mechanism(struct smtp_server *s, struct text name)
{
    struct text rest = s->options->mechanisms;
    for (uint8_t place = 0; place < UINT8_MAX; place++) {
        struct text word = text_take_word(&rest);
        if (word.length == 0)
            return false;
        if (text_equals_ignoring_case(word, name)) {
            s->mechanism = place;
            return true;
        }
    }
    return false;
}

static void wipe_scratch(struct smtp_server *s)
{
    buffer_wipe_done(&s->scratch);
    s->scratch = buffer_new(SMTP_LOGIN_LIMIT);
}

static enum smtp_effect ask_login(struct smtp_step *step, struct text response)
{
    struct smtp_server *s = step->server;
    step->event->verb = SMTP_AUTH;
    step->event->mechanism = s->has_login_begun ? TEXT_NONE : mechanism_at(s, s->mechanism);
    step->event->response = response;
    s->has_login_begun = true;
    return server_ask(step, SMTP_ASK_LOGIN);
}

static enum reply auth_refusal(struct smtp_server *s, struct text mechanism)
{
    if (s->is_logged_in)
        return REPLY_LOGIN_ALREADY;
    if (s->transaction)
        return REPLY_LOGIN_IN_TRANSACTION;
    if (mechanism.length == 0)
        return REPLY_LOGIN_SYNTAX;
    if (!s->options->offers_auth)
        return REPLY_LOGIN_NOT_OFFERED;
    if (!find_mechanism(s, mechanism))
        return REPLY_LOGIN_MECHANISM_UNKNOWN;
    return s->is_encrypted || s->options->auth_in_clear ? REPLY_NONE : REPLY_LOGIN_NEEDS_TLS;
}

static void write_challenge(struct smtp_server *s, struct text challenge, struct buffer *output)
{
    if ((challenge.length + 2) / 3 * 4 + 6 > buffer_space(output)) { /* none that we know is that long */
        s->must_drop_login = true;
        s->state = SMTP_STATE_COMMAND;
        server_write(output, REPLY_LOGIN_UNAVAILABLE, NULL);
        return;
    }
    buffer_append(output, TEXT("334 "));
    base64_append(output, challenge);
    buffer_append(output, TEXT("\r\n"));
    s->state = SMTP_STATE_LOGIN;
}

enum smtp_effect command_auth(struct smtp_step *step, struct text argument)
{
    struct smtp_server *s = step->server;
    text_take_octet(&argument, ' ');
    bool has_initial = text_has_octet(argument, ' ');
    struct text mechanism = text_take_until(&argument, ' ');
    enum reply refusal = auth_refusal(s, mechanism);
    if (refusal != REPLY_NONE)
        return server_reply(step, refusal, NULL);
    wipe_scratch(s);
    if (has_initial && argument.length == 0)
        has_initial = false; /* "AUTH PLAIN ": a blank and nothing behind it */
    if (has_initial && !text_equals(argument, TEXT("=")) && !base64_append_decoded(&s->scratch, argument))
        return server_reply(step, REPLY_LOGIN_MALFORMED, NULL);
    s->has_login_begun = false;
    s->has_initial_response = false;
    if (server_is_first(mechanism)) {
        s->has_initial_response = has_initial; /* it is the response to the first challenge, which is not sent then */
        return ask_login(step, TEXT_NONE);
    }
    if (has_initial)
        return ask_login(step, buffer_text(&s->scratch));
    write_challenge(s, TEXT_NONE, step->output);
    step->event->reply = REPLY_LOGIN_CONTINUE;
    return SMTP_DONE;
}

static enum smtp_effect end_login(struct smtp_step *step, enum reply reply)
{
    struct smtp_server *s = step->server;
    s->state = SMTP_STATE_COMMAND;
    s->must_drop_login = s->has_login_begun;
    return server_reply(step, reply, NULL);
}

enum smtp_effect server_step_login(struct smtp_step *step)
{
    struct smtp_server *s = step->server;
    if (s->has_initial_response) {
        s->has_initial_response = false;
        return ask_login(step, buffer_text(&s->scratch));
    }
    struct text line;
    enum smtp_effect effect;
    if (!server_take_line(step, SMTP_LOGIN_LIMIT, &line, &effect))
        return effect;
    wipe_scratch(s);
    if (text_equals(line, TEXT("*")))
        return end_login(step, REPLY_LOGIN_CANCELLED);
    if (!base64_append_decoded(&s->scratch, line))
        return end_login(step, REPLY_LOGIN_MALFORMED);
    return ask_login(step, buffer_text(&s->scratch));
}

static enum reply reply_of_state(enum mail_login_state state)
{
    switch (state) {
    case MAIL_LOGIN_CONTINUE:
        return REPLY_LOGIN_CONTINUE;
    case MAIL_LOGIN_DONE:
        return REPLY_LOGIN_DONE;
    case MAIL_LOGIN_WRONG:
        return REPLY_LOGIN_WRONG;
    case MAIL_LOGIN_MALFORMED:
        return REPLY_LOGIN_MALFORMED;
    case MAIL_LOGIN_UNSUPPORTED:
        return REPLY_LOGIN_MECHANISM_UNKNOWN;
    case MAIL_LOGIN_UNAVAILABLE:
        return REPLY_LOGIN_UNAVAILABLE;
    }
    return REPLY_LOGIN_UNAVAILABLE;
}

void smtp_server_answer_login(struct smtp_server *s, enum mail_login_state state, struct text text,
                              struct buffer *output)
{
    if (s->state == SMTP_STATE_CLOSED)
        return;
    must(s->question == SMTP_ASK_LOGIN);
    s->question = SMTP_NEED_INPUT;
    if (state == MAIL_LOGIN_CONTINUE && s->has_initial_response) {
        s->state = SMTP_STATE_LOGIN;
        return;
    }
    wipe_scratch(s);
    s->has_initial_response = false;
    if (state == MAIL_LOGIN_CONTINUE) {
        write_challenge(s, text, output);
        return;
    }
    s->state = SMTP_STATE_COMMAND;
    s->has_login_begun = false;
    if (state == MAIL_LOGIN_DONE) {
        server_names_set(s, smtp_server_helo(s), text);
        s->is_logged_in = true;
    } else if (s->bad_commands < UINT16_MAX) {
        s->bad_commands++; /* guessing ends at max_bad_commands too */
    }
    server_write(output, reply_of_state(state), NULL);
}
