/* SPDX-License-Identifier: Apache-2.0 */
/* DATA (RFC 5321 section 4.1.1.4) and BDAT (RFC 3030 section 2): may the text come, and how much of it. */
#include "smtp/server_parts.h"

enum { SIZE_DIGITS = 20 };

static enum reply text_refusal(const struct smtp_server *s)
{
    const struct smtp_transaction *t = s->transaction;
    if (!t)
        return REPLY_MAIL_REQUIRED;
    return t->envelope.recipient_count == 0 ? REPLY_RECIPIENT_REQUIRED : REPLY_NONE;
}

enum smtp_effect command_data(struct smtp_step *step, struct text argument not_used)
{
    struct smtp_server *s = step->server;
    enum reply reply = text_refusal(s);
    if (reply == REPLY_NONE && s->transaction->is_chunked)
        reply = REPLY_DATA_AFTER_BDAT;
    if (reply == REPLY_NONE && s->transaction->envelope.body == ENVELOPE_BINARYMIME)
        reply = REPLY_DATA_BINARY;
    if (reply != REPLY_NONE)
        return server_reply(step, reply, NULL);
    return server_ask(step, SMTP_ASK_DATA);
}

struct chunk {
    uint64_t size;
    bool is_last;
    bool is_malformed; /* behind its size */
};

/* False: there is no size, so that nothing can be eaten. */
static bool read_chunk(struct text argument, struct chunk *ret_chunk, bool *ret_is_huge)
{
    struct text digits = text_take_word(&argument);
    struct text last = text_take_word(&argument);
    struct chunk chunk = {.is_last = text_equals_ignoring_case(last, TEXT("LAST"))};
    chunk.is_malformed = (last.length && !chunk.is_last) || text_trimmed(argument).length;
    for (size_t i = 0; i < digits.length; i++)
        if (!octet_is_digit(digits.bytes[i]))
            return false;
    if (digits.length == 0)
        return false;
    *ret_is_huge = digits.length > SIZE_DIGITS || !text_number(digits, UINT64_MAX, &chunk.size);
    *ret_chunk = chunk;
    return true;
}

static enum reply chunk_refusal(const struct smtp_server *s, const struct chunk *chunk)
{
    if (chunk->is_malformed)
        return REPLY_BDAT_SYNTAX;
    enum reply reply = server_refusal(s, COMMAND_NEEDS_HELLO | COMMAND_NEEDS_LOGIN);
    return reply != REPLY_NONE ? reply : text_refusal(s);
}

/* More than would ever be read, or than a number can say: the session can't be kept in step. */
static bool is_too_much(const struct smtp_server *s, uint64_t size)
{
    uint64_t limit = s->options->max_read_size;
    uint64_t read = s->transaction && s->transaction->is_chunked ? s->transaction->text.read : 0;
    return limit && (read > limit || size > limit - read);
}

enum smtp_effect command_bdat(struct smtp_step *step, struct text argument)
{
    struct smtp_server *s = step->server;
    struct chunk chunk;
    bool is_huge;
    if (!read_chunk(argument, &chunk, &is_huge))
        return server_reply(step, REPLY_BDAT_SYNTAX, NULL);
    if (is_huge || is_too_much(s, chunk.size))
        return server_reply_text(step, REPLY_TOO_MUCH_DATA, s->options->hostname);
    s->chunk_left = chunk.size;
    s->is_chunk_last = chunk.is_last;
    s->owed_reply = (uint16_t)chunk_refusal(s, &chunk);
    if (s->owed_reply == REPLY_NONE && !s->transaction->is_chunked)
        return server_ask(step, SMTP_ASK_DATA);
    s->state = SMTP_STATE_CHUNK;
    return server_step_chunk(step);
}
