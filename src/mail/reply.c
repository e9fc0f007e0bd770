/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/reply.h"

static const struct reply_row rows[REPLY_COUNT] = {
    [REPLY_NONE] = {.name = TEXT_INIT("NONE"),
                    .enhanced = TEXT_INIT(""),
                    .explain = TEXT_INIT(""),
                    .words = TEXT_INIT("")},
#define REPLY(reply_name, number, enhanced_code, explain_code, reply_words)                                            \
    [REPLY_##reply_name] = {.name = TEXT_INIT(#reply_name),                                                            \
                            .code = (number),                                                                          \
                            .enhanced = TEXT_INIT(enhanced_code),                                                      \
                            .explain = TEXT_INIT(explain_code),                                                        \
                            .words = TEXT_INIT(reply_words)},
#include "mail/replies.def"
#undef REPLY
};

enum {
    LINE_LIMIT = 512, /* RFC 5321 section 4.5.3.1.5, CRLF included */
    ARGUMENT_LIMIT = 200,
};

const struct reply_row *reply_row(enum reply reply)
{
    must(reply < REPLY_COUNT);
    return &rows[reply];
}

enum reply reply_of_explain_code(struct text code)
{
    if (text_is_empty(code))
        return REPLY_NONE;
    for (enum reply reply = REPLY_NONE; reply < REPLY_COUNT; reply++)
        if (text_equals(rows[reply].explain, code))
            return reply;
    return REPLY_NONE;
}

/* A stranger's octets: whatever could end the line, move a cursor or pass for another alphabet becomes "?". */
static void append_argument(struct buffer *b, struct text value, size_t limit)
{
    struct text shown = text_first(value, smaller(limit, ARGUMENT_LIMIT));
    for (size_t i = 0; i < shown.length; i++) {
        char c = shown.bytes[i];
        buffer_append_octet(b, c >= ' ' && c <= '~' ? c : '?');
    }
}

/* The placeholder at the front of rest: its number, or REPLY_ARGUMENTS when there is none. */
static size_t placeholder(struct text rest)
{
    if (rest.length < 3 || rest.bytes[0] != '{' || rest.bytes[2] != '}')
        return REPLY_ARGUMENTS;
    if (rest.bytes[1] < '0' || rest.bytes[1] >= '0' + REPLY_ARGUMENTS)
        return REPLY_ARGUMENTS;
    return (size_t)(rest.bytes[1] - '0');
}

/* Arguments are cut so that the line keeps to LINE_LIMIT; room counts what the fixed parts leave. */
static void append_words(struct buffer *b, struct text words, const struct reply_arguments *arguments, size_t room)
{
    while (words.length) {
        size_t plain = text_find_octet(words, '{');
        buffer_append(b, text_take(&words, plain));
        size_t number = placeholder(words);
        if (number == REPLY_ARGUMENTS) {
            buffer_append(b, text_take(&words, 1));
            continue;
        }
        words = text_after(words, 3);
        if (!arguments)
            continue;
        size_t before = b->length;
        append_argument(b, arguments->values[number], room);
        room -= b->length - before;
    }
}

bool reply_append(struct buffer *b, enum reply reply, const struct reply_arguments *arguments)
{
    const struct reply_row *row = reply_row(reply);
    must(row->code != 0);
    size_t fixed = 4 + row->enhanced.length + 1 + row->words.length + row->explain.length + 3 + 2;
    struct buffer line released_by(buffer_done) = buffer_new(2 * LINE_LIMIT);
    buffer_append_number(&line, row->code);
    buffer_append_octet(&line, ' ');
    if (row->enhanced.length) {
        buffer_append(&line, row->enhanced);
        buffer_append_octet(&line, ' ');
    }
    append_words(&line, row->words, arguments, fixed < LINE_LIMIT ? LINE_LIMIT - fixed : 0);
    if (row->explain.length) {
        buffer_append(&line, TEXT(" ["));
        buffer_append(&line, row->explain);
        buffer_append_octet(&line, ']');
    }
    buffer_append(&line, TEXT("\r\n"));
    return buffer_append(b, buffer_text(&line));
}
