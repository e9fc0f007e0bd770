/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_parts.h"

enum {
    TEXT_KEPT = 1000, /* octets of a reply kept in a result */
    FAILURE_ARENA = 8 * 1024,
    SECOND = 1000,
    MINUTE = 60 * SECOND,
};

static const struct {
    struct text word;
    unsigned deadline_ms; /* RFC 5321 section 4.5.3.2 */
} stages[SMTP_CLIENT_STAGES] = {
    [SMTP_CLIENT_CONNECT] = {.word = TEXT_INIT("connect"), .deadline_ms = 30 * SECOND},
    [SMTP_CLIENT_BANNER] = {.word = TEXT_INIT("banner"), .deadline_ms = 5 * MINUTE},
    [SMTP_CLIENT_HELLO] = {.word = TEXT_INIT("ehlo"), .deadline_ms = 5 * MINUTE},
    [SMTP_CLIENT_STARTTLS] = {.word = TEXT_INIT("starttls"), .deadline_ms = 2 * MINUTE},
    [SMTP_CLIENT_LOGIN] = {.word = TEXT_INIT("auth"), .deadline_ms = 5 * MINUTE},
    [SMTP_CLIENT_IDLE] = {.word = TEXT_INIT("idle"), .deadline_ms = 5 * SECOND},
    [SMTP_CLIENT_MAIL] = {.word = TEXT_INIT("mail"), .deadline_ms = 5 * MINUTE},
    [SMTP_CLIENT_RECIPIENT] = {.word = TEXT_INIT("rcpt"), .deadline_ms = 5 * MINUTE},
    [SMTP_CLIENT_DATA] = {.word = TEXT_INIT("data"), .deadline_ms = 2 * MINUTE},
    [SMTP_CLIENT_TEXT] = {.word = TEXT_INIT("text"), .deadline_ms = 3 * MINUTE},
    [SMTP_CLIENT_END_OF_DATA] = {.word = TEXT_INIT("end-of-data"), .deadline_ms = 10 * MINUTE},
    [SMTP_CLIENT_QUIT] = {.word = TEXT_INIT("quit"), .deadline_ms = 5 * SECOND},
    [SMTP_CLIENT_OVER] = {.word = TEXT_INIT("over"), .deadline_ms = 0},
};

struct text smtp_client_stage_word(enum smtp_client_stage stage)
{
    must(stage < SMTP_CLIENT_STAGES);
    return stages[stage].word;
}

unsigned smtp_client_deadline_ms(const struct smtp_client *c)
{
    return stages[c->stage].deadline_ms;
}

void smtp_client_init(struct smtp_client *c, const struct smtp_client_options *options)
{
    *c = (struct smtp_client){.options = options, .stage = SMTP_CLIENT_BANNER, .arena = arena_new(FAILURE_ARENA)};
    smtp_reply_reader_init(&c->reader);
}

void smtp_client_done(struct smtp_client *c)
{
    smtp_reply_reader_done(&c->reader);
    arena_done(&c->arena);
    c->recipients = NULL;
}

/* Without room the text is lost, not the result. */
static struct text kept(struct smtp_client *c, struct text t)
{
    struct text copy = TEXT_NONE;
    if (!arena_copy(&c->arena, text_first(t, TEXT_KEPT), &copy))
        return TEXT_NONE;
    return copy;
}

struct result client_result(struct smtp_client *c, enum result_class class, const struct smtp_reply *reply,
                            enum smtp_client_stage stage)
{
    bool is_fitting = class == RESULT_DEFERRED ? text_starts_with(reply->enhanced, TEXT("4"))
                                               : class != RESULT_FAILED || text_starts_with(reply->enhanced, TEXT("5"));
    return (struct result){
        .class = class,
        .code = reply->code,
        .enhanced = is_fitting ? kept(c, reply->enhanced) : TEXT_NONE,
        .host = c->options->host,
        .stage = smtp_client_stage_word(stage),
        .text = kept(c, reply->text),
    };
}

static bool is_in_message(const struct smtp_client *c)
{
    return c->stage >= SMTP_CLIENT_MAIL && c->stage <= SMTP_CLIENT_END_OF_DATA;
}

enum smtp_client_effect client_fail(struct smtp_client *c, enum smtp_client_trouble trouble,
                                    const struct result *failure)
{
    c->trouble = trouble;
    c->failure = *failure;
    if (is_in_message(c))
        client_message_fail(c);
    c->stage = SMTP_CLIENT_OVER;
    c->is_ended = true;
    return SMTP_CLIENT_CLOSE;
}

enum smtp_client_effect client_fail_by_reply(struct smtp_client *c, enum smtp_client_trouble trouble,
                                             const struct smtp_reply *reply, enum smtp_client_stage stage)
{
    struct result failure = client_result(c, reply->code / 100 == 5 ? RESULT_FAILED : RESULT_DEFERRED, reply, stage);
    return client_fail(c, trouble, &failure);
}

static enum smtp_client_effect fail_by_us(struct smtp_client *c, enum smtp_client_trouble trouble, struct text enhanced,
                                          struct text why)
{
    return client_fail(c, trouble,
                       &(struct result){.class = RESULT_DEFERRED,
                                        .enhanced = enhanced,
                                        .host = c->options->host,
                                        .text = kept(c, why),
                                        .stage = smtp_client_stage_word(c->stage)});
}

static enum smtp_client_effect fail_by_nonsense(struct smtp_client *c, enum smtp_reply_state state)
{
    struct buffer why released_by(buffer_done) = buffer_new(256);
    buffer_append(&why, state == SMTP_REPLY_ENDLESS ? TEXT("the reply does not end: ") : TEXT("this is no reply: "));
    buffer_append(&why, text_first(smtp_reply_reader_seen(&c->reader), 80));
    /* garbage for an answer to STARTTLS is a failure of TLS, which opportunistic goes round */
    enum smtp_client_trouble trouble = c->stage == SMTP_CLIENT_STARTTLS ? SMTP_CLIENT_TLS : SMTP_CLIENT_NONSENSE;
    return fail_by_us(c, trouble, c->stage == SMTP_CLIENT_STARTTLS ? TEXT("4.7.5") : TEXT("4.5.0"), buffer_text(&why));
}

void client_hello(struct smtp_client *c, struct buffer *output)
{
    c->stage = SMTP_CLIENT_HELLO;
    buffer_append(output, c->is_helo ? TEXT("HELO ") : TEXT("EHLO "));
    buffer_append(output, c->options->hostname);
    buffer_append(output, TEXT("\r\n"));
}

/* Greeted: what else must be before a message. */
static enum smtp_client_effect go_on(struct smtp_client *c, struct buffer *output)
{
    const struct smtp_client_options *o = c->options;
    if (!c->is_encrypted && o->tls != SETTINGS_TLS_LEVEL_OFF) {
        if (c->extensions & SMTP_CLIENT_STARTTLS_OFFERED) {
            c->stage = SMTP_CLIENT_STARTTLS;
            buffer_append(output, TEXT("STARTTLS\r\n"));
            return SMTP_CLIENT_NEED_INPUT;
        }
        if (o->tls != SETTINGS_TLS_LEVEL_OPPORTUNISTIC) {
            c->stage = SMTP_CLIENT_STARTTLS;
            return fail_by_us(c, SMTP_CLIENT_NO_TLS, TEXT("4.7.4"),
                              TEXT("TLS is demanded, and the host does not offer it"));
        }
    }
    if (o->user.length)
        return client_login_begin(c, output);
    c->stage = SMTP_CLIENT_IDLE;
    return SMTP_CLIENT_READY;
}

static enum smtp_client_effect banner_reply(struct smtp_client *c, const struct smtp_reply *reply,
                                            struct buffer *output)
{
    if (reply->code / 100 != 2)
        return client_fail_by_reply(c, SMTP_CLIENT_REFUSED, reply, SMTP_CLIENT_BANNER);
    client_hello(c, output);
    return SMTP_CLIENT_NEED_INPUT;
}

static enum smtp_client_effect hello_reply(struct smtp_client *c, const struct smtp_reply *reply, struct buffer *output)
{
    if (reply->code / 100 == 5 && !c->is_helo) {
        c->is_helo = true;
        client_hello(c, output);
        return SMTP_CLIENT_NEED_INPUT;
    }
    if (reply->code / 100 != 2)
        return client_fail_by_reply(c, SMTP_CLIENT_REFUSED, reply, SMTP_CLIENT_HELLO);
    client_read_extensions(c, c->is_helo ? TEXT_NONE : reply->text);
    return go_on(c, output);
}

/* What stands behind the 220 in clear was not said by whom TLS will prove: it is thrown away (CVE-2021-33515 and its
 * kin). */
static enum smtp_client_effect starttls_reply(struct smtp_client *c, const struct smtp_reply *reply, struct text *input)
{
    if (reply->code / 100 == 2) {
        *input = TEXT_NONE;
        return SMTP_CLIENT_START_TLS;
    }
    struct result failure = client_result(c, RESULT_DEFERRED, reply, SMTP_CLIENT_STARTTLS);
    if (failure.enhanced.length == 0)
        failure.enhanced = TEXT("4.7.4");
    return client_fail(c, SMTP_CLIENT_TLS, &failure);
}

static enum smtp_client_effect handle(struct smtp_client *c, const struct smtp_reply *reply, struct text *input,
                                      struct buffer *output)
{
    if (reply->code == 421 && c->stage != SMTP_CLIENT_QUIT)
        return client_fail_by_reply(c, SMTP_CLIENT_LEAVING, reply, c->stage);
    switch (c->stage) {
    case SMTP_CLIENT_BANNER:
        return banner_reply(c, reply, output);
    case SMTP_CLIENT_HELLO:
        return hello_reply(c, reply, output);
    case SMTP_CLIENT_STARTTLS:
        return starttls_reply(c, reply, input);
    case SMTP_CLIENT_LOGIN:
        return client_login_reply(c, reply, output);
    case SMTP_CLIENT_MAIL:
    case SMTP_CLIENT_RECIPIENT:
    case SMTP_CLIENT_DATA:
    case SMTP_CLIENT_TEXT:
    case SMTP_CLIENT_END_OF_DATA:
        return client_message_reply(c, reply, output);
    case SMTP_CLIENT_QUIT:
        c->is_ended = true;
        c->stage = SMTP_CLIENT_OVER;
        return SMTP_CLIENT_CLOSE;
    case SMTP_CLIENT_CONNECT:
    case SMTP_CLIENT_IDLE:
    case SMTP_CLIENT_OVER:
    case SMTP_CLIENT_STAGES:
        break;
    }
    must(false);
    return SMTP_CLIENT_CLOSE;
}

/* RFC 5321 section 3.8: a client says QUIT also to a host that it does not want, as long as the two are in step. */
static void take_leave(const struct smtp_client *c, struct buffer *output)
{
    switch (c->trouble) {
    case SMTP_CLIENT_REFUSED:
    case SMTP_CLIENT_TLS:
    case SMTP_CLIENT_NO_TLS:
    case SMTP_CLIENT_NO_LOGIN:
        buffer_append(output, TEXT("QUIT\r\n"));
        break;
    case SMTP_CLIENT_NO_TROUBLE:
    case SMTP_CLIENT_LOST:
    case SMTP_CLIENT_LEAVING:
    case SMTP_CLIENT_NONSENSE:
        break;
    }
}

static enum smtp_client_effect waiting(const struct smtp_client *c)
{
    return c->stage == SMTP_CLIENT_TEXT ? SMTP_CLIENT_NEED_BODY : SMTP_CLIENT_NEED_INPUT;
}

enum smtp_client_effect smtp_client_step(struct smtp_client *c, struct text *input, struct buffer *output)
{
    if (c->is_ended)
        return SMTP_CLIENT_CLOSE;
    if (c->stage == SMTP_CLIENT_IDLE)
        return SMTP_CLIENT_READY;
    for (;;) {
        enum smtp_reply_state state = smtp_reply_reader_feed(&c->reader, input);
        if (state == SMTP_REPLY_MORE)
            return waiting(c);
        if (state != SMTP_REPLY_WHOLE)
            return fail_by_nonsense(c, state);
        struct smtp_reply reply = smtp_reply_reader_get(&c->reader);
        enum smtp_client_effect effect = handle(c, &reply, input, output);
        smtp_reply_reader_next(&c->reader);
        if (effect == SMTP_CLIENT_CLOSE)
            take_leave(c, output);
        if (effect != SMTP_CLIENT_NEED_INPUT)
            return effect;
    }
}

void smtp_client_tls_started(struct smtp_client *c, struct buffer *output)
{
    must(c->stage == SMTP_CLIENT_STARTTLS);
    c->is_encrypted = true;
    c->is_helo = false;
    c->extensions = 0; /* RFC 3207 section 4.2: what was said in clear is forgotten */
    client_hello(c, output);
}

void smtp_client_tls_failed(struct smtp_client *c, struct text why)
{
    must(c->stage == SMTP_CLIENT_STARTTLS);
    ignored(fail_by_us(c, SMTP_CLIENT_TLS, TEXT("4.7.5"), why)); /* the next step says CLOSE */
}

void smtp_client_lost(struct smtp_client *c, bool is_time_out, struct text why)
{
    struct buffer words released_by(buffer_done) = buffer_new(512);
    if (c->is_ended)
        return;
    if (c->stage == SMTP_CLIENT_IDLE || c->stage == SMTP_CLIENT_QUIT) {
        c->is_ended = true;
        c->stage = SMTP_CLIENT_OVER;
        return;
    }
    buffer_append(&words, is_time_out ? TEXT("no answer in time") : TEXT("connection lost"));
    if (why.length) {
        buffer_append(&words, TEXT(": "));
        buffer_append(&words, text_first(why, 300));
    }
    if (c->stage == SMTP_CLIENT_END_OF_DATA) /* RFC 1047 */
        buffer_append(&words, TEXT("; the message was sent whole, it may arrive twice"));
    enum smtp_client_trouble trouble = c->stage == SMTP_CLIENT_STARTTLS ? SMTP_CLIENT_TLS : SMTP_CLIENT_LOST;
    ignored(fail_by_us(c, trouble, c->stage == SMTP_CLIENT_BANNER ? TEXT("4.4.1") : TEXT("4.4.2"),
                       buffer_text(&words))); /* the next step says CLOSE */
}

void smtp_client_body_failed(struct smtp_client *c)
{
    must(c->stage == SMTP_CLIENT_TEXT);
    ignored(fail_by_us(c, SMTP_CLIENT_LOST, TEXT("4.3.0"), TEXT("the message could not be read"))); /* as above */
}

void smtp_client_quit(struct smtp_client *c, struct buffer *output)
{
    if (c->stage != SMTP_CLIENT_IDLE)
        return;
    c->stage = SMTP_CLIENT_QUIT;
    buffer_append(output, TEXT("QUIT\r\n"));
}

const struct smtp_client_recipient *smtp_client_recipient(const struct smtp_client *c, size_t index)
{
    must(c->message && index < c->message->recipient_count);
    return &c->recipients[index];
}

bool smtp_client_is_stale(const struct smtp_client *c)
{
    return c->is_ended && c->messages > 1 && !c->is_heard &&
           (c->trouble == SMTP_CLIENT_LOST || c->trouble == SMTP_CLIENT_LEAVING);
}

bool smtp_client_may_go_on(const struct smtp_client *c)
{
    return !c->is_ended && c->stage == SMTP_CLIENT_IDLE && (c->message_limit == 0 || c->messages < c->message_limit);
}
