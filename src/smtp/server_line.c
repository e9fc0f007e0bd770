/* SPDX-License-Identifier: Apache-2.0 */
/* server_line: finds the command lines. A line ends with CR LF and nothing else (a lenient listener takes a bare LF as
 * well); a line that is too long or malformed is answered once, and its rest is never taken for a command. */
#include "smtp/server_parts.h"

enum {
    SKIP_LIMIT = 256 * 1024, /* octets of one line that are thrown away before the session is closed */
    TLS_HANDSHAKE = 0x16,    /* first octet of a TLS record: RFC 8446 section 5.1 */
};

static bool octet_is_control(char c)
{
    return ((unsigned char)c < ' ' && c != '\t') || c == 127;
}

static bool line_is_clean(struct text line)
{
    for (size_t i = 0; i < line.length; i++)
        if (octet_is_control(line.bytes[i]))
            return false;
    return true;
}

static enum smtp_effect bad_line(struct smtp_step *step, enum reply reply)
{
    struct smtp_server *s = step->server;
    if (s->state == SMTP_STATE_LOGIN) {
        s->must_drop_login = s->has_login_begun;
        s->state = SMTP_STATE_COMMAND;
    } else {
        step->event->verb = SMTP_VERB_NONE;
    }
    return server_reply_text(step, reply, s->options->hostname);
}

/* Another protocol knocks: it will not understand a reply, and its next lines must not become commands. */
static bool is_foreign(const struct smtp_step *step)
{
    char first = step->input->bytes[0];
    return step->server->state == SMTP_STATE_COMMAND && octet_is_control(first) && first != '\r' && first != '\n';
}

static enum smtp_effect begin_skip(struct smtp_step *step, enum reply owed)
{
    step->server->owed_reply = (uint16_t)owed;
    step->server->chunk_left = 0;
    step->server->state = SMTP_STATE_SKIP_LINE;
    return SMTP_NEED_INPUT;
}

/* True: the line's end was reached or the session is closed, and ret_effect tells what comes of it (SMTP_NEED_INPUT:
 * nothing). */
static bool skip_line(struct smtp_step *step, enum smtp_effect *ret_effect)
{
    struct smtp_server *s = step->server;
    struct text input = *step->input;
    struct text newline = s->options->is_lenient ? TEXT("\n") : TEXT("\r\n");
    size_t end = text_find(input, newline);
    bool is_found = end < input.length;
    if (is_found)
        end += newline.length;
    else if (text_ends_with(input, TEXT("\r")))
        end--;
    *step->input = text_after(input, end);
    s->chunk_left += end;
    if (s->chunk_left > SKIP_LIMIT) {
        *ret_effect = bad_line(step, REPLY_LINE_ENDLESS);
        return true;
    }
    *ret_effect = SMTP_NEED_INPUT;
    if (!is_found)
        return false;
    s->state = SMTP_STATE_COMMAND;
    s->chunk_left = 0;
    enum reply owed = s->owed_reply;
    s->owed_reply = REPLY_NONE;
    if (owed != REPLY_NONE)
        *ret_effect = bad_line(step, owed);
    return true;
}

static void drop_login(struct smtp_server *s)
{
    if (s->state == SMTP_STATE_LOGIN)
        s->must_drop_login = s->has_login_begun;
}

/* The input begins with a line that is not ended within the limit, or is ended by a bare LF. */
static enum smtp_effect refuse_line(struct smtp_step *step, bool is_too_long, size_t end)
{
    struct smtp_server *s = step->server;
    bool is_login = s->state == SMTP_STATE_LOGIN;
    drop_login(s);
    if (is_too_long)
        return begin_skip(step, is_login ? REPLY_LOGIN_TOO_LONG : REPLY_LINE_TOO_LONG);
    *step->input = text_after(*step->input, end + 1);
    ignored(begin_skip(step, REPLY_NONE)); /* it is answered at once: such clients wait for that */
    step->event->verb = SMTP_VERB_NONE;
    return server_reply(step, REPLY_LINE_BAD_OCTET, NULL);
}

bool server_take_line(struct smtp_step *step, size_t limit, struct text *ret_line, enum smtp_effect *ret_effect)
{
    struct smtp_server *s = step->server;
    *ret_effect = SMTP_NEED_INPUT;
    for (;;) {
        if (s->state == SMTP_STATE_SKIP_LINE) {
            if (!skip_line(step, ret_effect) || *ret_effect != SMTP_NEED_INPUT)
                return false;
            continue;
        }
        if (step->input->length == 0)
            return false;
        if (is_foreign(step)) {
            bool is_tls = step->input->bytes[0] == TLS_HANDSHAKE && !s->is_encrypted;
            *ret_effect = bad_line(step, is_tls ? REPLY_TLS_ON_CLEAR_PORT : REPLY_NOT_A_MAIL_CLIENT);
            return false;
        }
        struct text input = text_first(*step->input, limit);
        size_t end = text_find_octet(input, '\n');
        if (end == input.length && input.length < limit)
            return false;
        bool is_too_long = end == input.length;
        bool has_cr = !is_too_long && end > 0 && input.bytes[end - 1] == '\r';
        if (is_too_long || (!has_cr && !s->options->is_lenient)) {
            *ret_effect = refuse_line(step, is_too_long, end);
            if (*ret_effect == SMTP_NEED_INPUT && s->must_drop_login) {
                s->must_drop_login = false;
                s->has_login_begun = false;
                *ret_effect = SMTP_LOGIN_DROP;
            }
            if (*ret_effect != SMTP_NEED_INPUT)
                return false;
            continue;
        }
        struct text line = text_first(input, end - has_cr);
        *step->input = text_after(*step->input, end + 1);
        if (!line_is_clean(line)) {
            *ret_effect = bad_line(step, REPLY_LINE_BAD_OCTET);
            return false;
        }
        *ret_line = line;
        return true;
    }
}

bool server_peek_line(const struct smtp_step *step, struct text *ret_line, size_t *ret_length)
{
    struct text input = text_first(*step->input, SMTP_COMMAND_LIMIT);
    size_t end = text_find_octet(input, '\n');
    if (end == input.length || end == 0 || input.bytes[end - 1] != '\r')
        return false;
    struct text line = text_first(input, end - 1);
    if (!line_is_clean(line))
        return false;
    *ret_line = line;
    *ret_length = end + 1;
    return true;
}
