/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_text.h"

enum { END_LIMIT = 8 };

size_t smtp_client_text_limit(size_t count)
{
    return 2 * count + END_LIMIT; /* a line feed becomes two octets, a dot too; a CR may be kept from before */
}

static void append_line_end(struct smtp_client_text *t, struct buffer *output)
{
    buffer_append(output, TEXT("\r\n"));
    t->is_in_line = false;
    t->is_behind_cr = false;
}

/* A span without CR and LF. */
static void append_span(struct smtp_client_text *t, struct text span, struct buffer *output)
{
    if (span.length == 0)
        return;
    if (t->is_behind_cr)
        append_line_end(t, output);
    if (!t->is_in_line && span.bytes[0] == '.')
        buffer_append_octet(output, '.');
    buffer_append(output, span);
    t->is_in_line = true;
}

static void append_line(struct smtp_client_text *t, struct text line, struct buffer *output)
{
    while (line.length) {
        size_t cr = text_find_octet(line, '\r');
        append_span(t, text_take(&line, cr), output);
        if (!text_take_octet(&line, '\r'))
            return;
        if (t->is_behind_cr)
            append_line_end(t, output);
        t->is_behind_cr = true;
    }
}

void smtp_client_text_append(struct smtp_client_text *t, struct text octets, struct buffer *output)
{
    while (octets.length) {
        size_t end = text_find_octet(octets, '\n');
        append_line(t, text_take(&octets, end), output);
        if (text_take_octet(&octets, '\n'))
            append_line_end(t, output);
    }
}

void smtp_client_text_end(struct smtp_client_text *t, struct buffer *output)
{
    if (t->is_in_line || t->is_behind_cr)
        append_line_end(t, output);
    buffer_append(output, TEXT(".\r\n"));
}
