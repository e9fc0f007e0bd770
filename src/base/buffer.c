/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct buffer buffer_new(size_t limit)
{
    return (struct buffer){.limit = limit};
}

void buffer_done(struct buffer *b)
{
    free(b->bytes);
    *b = (struct buffer){.limit = b->limit};
}

void buffer_wipe_done(struct buffer *b)
{
    if (b->bytes)
        explicit_bzero(b->bytes, b->capacity);
    buffer_done(b);
}

void buffer_clear(struct buffer *b)
{
    b->length = 0;
    b->is_full = false;
}

struct text buffer_text(const struct buffer *b)
{
    return text_of(b->bytes, b->length);
}

size_t buffer_space(const struct buffer *b)
{
    return b->limit - b->length;
}

char *buffer_room(struct buffer *b, size_t count)
{
    if (count > b->limit - b->length) {
        b->is_full = true;
        return NULL;
    }
    size_t needed = b->length + count;
    if (needed > b->capacity || !b->bytes) {
        size_t capacity = larger(needed, larger(64, b->capacity * 2));
        capacity = smaller(capacity, larger(b->limit, 1));
        char *bytes = realloc(b->bytes, capacity);
        must(bytes != NULL);
        b->bytes = bytes;
        b->capacity = capacity;
    }
    return b->bytes + b->length;
}

void buffer_grew(struct buffer *b, size_t count)
{
    must(count <= b->capacity - b->length);
    b->length += count;
}

bool buffer_append(struct buffer *b, struct text t)
{
    if (t.length == 0)
        return true;
    char *room = buffer_room(b, t.length);
    if (!room)
        return false;
    memcpy(room, t.bytes, t.length);
    b->length += t.length;
    return true;
}

bool buffer_append_octet(struct buffer *b, char octet)
{
    return buffer_append(b, text_of(&octet, 1));
}

bool buffer_append_number(struct buffer *b, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return buffer_append(b, text_of(digits + at, sizeof digits - at));
}

bool buffer_append_format(struct buffer *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int needed = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    must(needed >= 0);
    size_t count = (size_t)needed;
    /* vsnprintf wants one octet more for its terminator */
    char *text = malloc(count + 1);
    must(text != NULL);
    va_start(arguments, format);
    ignored(vsnprintf(text, count + 1, format, arguments)); /* it was measured above */
    va_end(arguments);
    bool fitted = buffer_append(b, text_of(text, count));
    free(text);
    return fitted;
}

bool buffer_append_hex(struct buffer *b, struct text t)
{
    static const char digits[] = "0123456789abcdef";
    char *room = buffer_room(b, t.length * 2);
    if (!room)
        return false;
    for (size_t i = 0; i < t.length; i++) {
        unsigned octet = (unsigned char)t.bytes[i];
        *room++ = digits[octet >> 4];
        *room++ = digits[octet & 15];
    }
    b->length += t.length * 2;
    return true;
}

void buffer_drop_front(struct buffer *b, size_t count)
{
    must(count <= b->length);
    if (count && b->length > count)
        memmove(b->bytes, b->bytes + count, b->length - count);
    b->length -= count;
}
