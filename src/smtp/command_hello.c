/* SPDX-License-Identifier: Apache-2.0 */
/* EHLO and HELO (RFC 5321 section 4.1.1.1). */
#include "smtp/server_parts.h"

enum { NAME_LIMIT = 255 };

/* Laxer than a domain name: real clients send "_", "localhost", bare addresses and literals of every form. Nothing here
 * could end a line or a comment of the Received field that it will stand in. */
static bool name_is_valid(struct text name)
{
    for (size_t i = 0; i < name.length; i++) {
        char c = name.bytes[i];
        if (!octet_is_letter(c) && !octet_is_digit(c) && !text_has_octet(TEXT(".-_:[]%+/~*#="), c))
            return false;
    }
    return name.length != 0 && name.length <= NAME_LIMIT;
}

enum smtp_effect command_hello(struct smtp_step *step, struct text argument)
{
    struct smtp_server *s = step->server;
    if (argument.length == 0 && s->options->is_lenient)
        argument = TEXT("[unknown]"); /* some devices have no name and no setting for one */
    if (argument.length == 0)
        return server_reply(step, REPLY_HELLO_NAME_REQUIRED, NULL);
    if (!name_is_valid(argument))
        return server_reply(step, REPLY_HELLO_NAME_INVALID, NULL);
    buffer_clear(&s->scratch);
    buffer_append(&s->scratch, argument); /* kept until the answer: the line belongs to the driver */
    step->event->name = buffer_text(&s->scratch);
    return server_ask(step, SMTP_ASK_HELLO);
}

static void append_line(struct buffer *b, struct text words)
{
    buffer_append(b, TEXT("250-"));
    buffer_append(b, words);
    buffer_append(b, TEXT("\r\n"));
}

static void append_size(struct buffer *b, uint64_t size)
{
    buffer_append(b, TEXT("250-SIZE "));
    buffer_append_number(b, size); /* 0: no fixed limit, RFC 1870 section 4 */
    buffer_append(b, TEXT("\r\n"));
}

static void append_extensions(struct buffer *b, const struct smtp_server *s)
{
    const struct smtp_server_options *o = s->options;
    append_line(b, TEXT("PIPELINING"));
    append_size(b, o->max_message_size);
    append_line(b, TEXT("8BITMIME"));
    append_line(b, TEXT("BINARYMIME"));
    append_line(b, TEXT("CHUNKING"));
    if (o->offers_tls && !s->is_encrypted)
        append_line(b, TEXT("STARTTLS"));
    if (o->offers_auth && (s->is_encrypted || o->auth_in_clear)) {
        buffer_append(b, TEXT("250-AUTH "));
        buffer_append(b, o->mechanisms);
        buffer_append(b, TEXT("\r\n"));
    }
    if (o->offers_dsn)
        append_line(b, TEXT("DSN"));
    if (o->offers_utf8)
        append_line(b, TEXT("SMTPUTF8"));
    if (o->max_recipients) {
        buffer_append(b, TEXT("250-LIMITS RCPTMAX=")); /* RFC 9422 */
        buffer_append_number(b, o->max_recipients);
        buffer_append(b, TEXT("\r\n"));
    }
    append_line(b, TEXT("ENHANCEDSTATUSCODES"));
    buffer_append(b, TEXT("250 HELP\r\n"));
}

void server_answer_hello(struct smtp_server *s, struct buffer *output)
{
    transaction_end(s, false); /* as RSET: RFC 5321 section 4.1.4; the log-in stays */
    server_names_set(s, buffer_text(&s->scratch), smtp_server_login(s));
    s->has_said_hello = true;
    s->is_extended = s->verb == SMTP_EHLO;
    struct reply_arguments arguments = {.values = {s->options->hostname, smtp_server_helo(s)}};
    size_t first = output->length;
    server_write(output, REPLY_HELLO, &arguments);
    if (!s->is_extended)
        return;
    output->bytes[first + 3] = '-';
    append_extensions(output, s);
    must(!output->is_full);
}
