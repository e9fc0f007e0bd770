/* SPDX-License-Identifier: Apache-2.0 */
/* client_hello: what a server offers, and the log-in. */
#include "smtp/client_parts.h"

enum { SECRET_LIMIT = 4096 };

enum login_step {
    LOGIN_NOT_BEGUN,
    LOGIN_PLAIN,      /* AUTH PLAIN with everything */
    LOGIN_PLAIN_LATE, /* it asked for it with 334 */
    LOGIN_USER,
    LOGIN_PASSWORD,
    LOGIN_LAST,
};

static const struct {
    struct text word;
    unsigned extension;
} extensions[] = {
    {.word = TEXT_INIT("PIPELINING"), .extension = SMTP_CLIENT_PIPELINING},
    {.word = TEXT_INIT("SIZE"), .extension = SMTP_CLIENT_SIZE},
    {.word = TEXT_INIT("8BITMIME"), .extension = SMTP_CLIENT_8BITMIME},
    {.word = TEXT_INIT("BINARYMIME"), .extension = SMTP_CLIENT_BINARYMIME},
    {.word = TEXT_INIT("CHUNKING"), .extension = SMTP_CLIENT_CHUNKING},
    {.word = TEXT_INIT("STARTTLS"), .extension = SMTP_CLIENT_STARTTLS_OFFERED},
    {.word = TEXT_INIT("DSN"), .extension = SMTP_CLIENT_DSN},
    {.word = TEXT_INIT("SMTPUTF8"), .extension = SMTP_CLIENT_SMTPUTF8},
};

static void read_limits(struct smtp_client *c, struct text words)
{
    for (;;) {
        struct text value = text_take_word(&words);
        if (value.length == 0)
            return;
        struct text name = text_take_until(&value, '=');
        uint64_t number;
        if (!text_number(value, UINT32_MAX, &number) || number == 0)
            continue;
        if (text_equals_ignoring_case(name, TEXT("RCPTMAX")))
            c->recipient_limit = number;
        else if (text_equals_ignoring_case(name, TEXT("MAILMAX")))
            c->message_limit = number;
    }
}

static void read_mechanisms(struct smtp_client *c, struct text words)
{
    for (;;) {
        struct text word = text_take_word(&words);
        if (word.length == 0)
            return;
        if (text_equals_ignoring_case(word, TEXT("PLAIN")))
            c->extensions |= SMTP_CLIENT_AUTH_PLAIN;
        else if (text_equals_ignoring_case(word, TEXT("LOGIN")))
            c->extensions |= SMTP_CLIENT_AUTH_LOGIN;
    }
}

static void read_extension(struct smtp_client *c, struct text line)
{
    /* "AUTH=PLAIN" is how servers of before RFC 2554 said it */
    if (text_take_prefix_ignoring_case(&line, TEXT("AUTH=")) || text_take_prefix_ignoring_case(&line, TEXT("AUTH "))) {
        read_mechanisms(c, line);
        return;
    }
    struct text word = text_take_word(&line);
    for (size_t i = 0; i < length_of(extensions); i++)
        if (text_equals_ignoring_case(word, extensions[i].word))
            c->extensions |= extensions[i].extension;
    uint64_t number;
    if (text_equals_ignoring_case(word, TEXT("SIZE")) && text_number(text_trimmed(line), UINT64_MAX, &number))
        c->size_limit = number;
    if (text_equals_ignoring_case(word, TEXT("LIMITS")))
        read_limits(c, line);
}

void client_read_extensions(struct smtp_client *c, struct text reply)
{
    c->extensions = 0;
    c->size_limit = 0;
    c->recipient_limit = 0;
    c->message_limit = 0;
    text_take_until(&reply, '\n'); /* the first line greets */
    while (reply.length) {
        struct text line = text_take_until(&reply, '\n');
        read_extension(c, text_trimmed(line));
    }
}

static enum smtp_client_effect no_login(struct smtp_client *c, struct text enhanced, struct text why)
{
    return client_fail(c, SMTP_CLIENT_NO_LOGIN,
                       &(struct result){.class = RESULT_DEFERRED,
                                        .enhanced = enhanced,
                                        .text = why,
                                        .host = c->options->host,
                                        .stage = smtp_client_stage_word(SMTP_CLIENT_LOGIN)});
}

/* The line that the step wants; secrets are in output only. */
static void append_secret(const struct smtp_client *c, struct buffer *output)
{
    struct buffer secret released_by(buffer_wipe_done) = buffer_new(SECRET_LIMIT);
    const struct smtp_client_options *o = c->options;
    switch ((enum login_step)c->login_step) {
    case LOGIN_NOT_BEGUN:
    case LOGIN_LAST:
        break;
    case LOGIN_PLAIN:
    case LOGIN_PLAIN_LATE:
        buffer_append_octet(&secret, '\0');
        buffer_append(&secret, o->user);
        buffer_append_octet(&secret, '\0');
        buffer_append(&secret, o->password);
        break;
    case LOGIN_USER:
        buffer_append(&secret, o->user);
        break;
    case LOGIN_PASSWORD:
        buffer_append(&secret, o->password);
        break;
    }
    base64_append(output, buffer_text(&secret));
    buffer_append(output, TEXT("\r\n"));
}

enum smtp_client_effect client_login_begin(struct smtp_client *c, struct buffer *output)
{
    c->stage = SMTP_CLIENT_LOGIN;
    if (!c->is_encrypted && !c->options->may_login_in_clear)
        return no_login(c, TEXT("4.7.11"), TEXT("the password is not sent without TLS"));
    if ((c->extensions & SMTP_CLIENT_AUTH_PLAIN) && !c->is_plain_refused) {
        c->login_step = LOGIN_PLAIN;
        buffer_append(output, TEXT("AUTH PLAIN "));
        append_secret(c, output);
        return SMTP_CLIENT_NEED_INPUT;
    }
    if (!(c->extensions & SMTP_CLIENT_AUTH_LOGIN))
        return no_login(c, TEXT("4.7.0"), TEXT("the host offers neither AUTH PLAIN nor AUTH LOGIN"));
    c->login_step = LOGIN_USER;
    buffer_append(output, TEXT("AUTH LOGIN\r\n"));
    return SMTP_CLIENT_NEED_INPUT;
}

/* What was wrong is our log-in and not the message: it waits until the administrator has set it right. */
static enum smtp_client_effect login_refused(struct smtp_client *c, const struct smtp_reply *reply,
                                             struct buffer *output)
{
    bool is_unknown = reply->code == 504 || reply->code == 534;
    if (is_unknown && c->login_step == LOGIN_PLAIN && (c->extensions & SMTP_CLIENT_AUTH_LOGIN)) {
        c->is_plain_refused = true;
        return client_login_begin(c, output);
    }
    struct result failure = client_result(c, RESULT_DEFERRED, reply, SMTP_CLIENT_LOGIN);
    if (reply->code / 100 != 4)
        failure.enhanced = TEXT("4.7.8");
    return client_fail(c, SMTP_CLIENT_NO_LOGIN, &failure);
}

enum smtp_client_effect client_login_reply(struct smtp_client *c, const struct smtp_reply *reply, struct buffer *output)
{
    if (reply->code / 100 == 2) {
        c->stage = SMTP_CLIENT_IDLE;
        return SMTP_CLIENT_READY;
    }
    bool may_ask = c->login_step == LOGIN_PLAIN || c->login_step == LOGIN_USER || c->login_step == LOGIN_PASSWORD;
    if (reply->code != 334 || !may_ask)
        return login_refused(c, reply, output);
    if (c->login_step == LOGIN_PLAIN)
        c->login_step = LOGIN_PLAIN_LATE;
    append_secret(c, output);
    if (c->login_step == LOGIN_USER)
        c->login_step = LOGIN_PASSWORD;
    else
        c->login_step = LOGIN_LAST;
    return SMTP_CLIENT_NEED_INPUT;
}
