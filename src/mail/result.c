/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/result.h"

#include "mail/packed.h"

enum { VERSION = 1, CODE_LIMIT = 599 };

static const struct {
    struct text word;
    struct text enhanced; /* when nobody gave a better one: RFC 3463 section 3.1 */
} classes[] = {
    [RESULT_DEFERRED] = {.word = TEXT_INIT("deferred"), .enhanced = TEXT_INIT("4.0.0")},
    [RESULT_DELIVERED] = {.word = TEXT_INIT("delivered"), .enhanced = TEXT_INIT("2.0.0")},
    [RESULT_RELAYED] = {.word = TEXT_INIT("relayed"), .enhanced = TEXT_INIT("2.0.0")},
    [RESULT_RELAYED_WITHOUT_DSN] = {.word = TEXT_INIT("relayed-without-dsn"), .enhanced = TEXT_INIT("2.0.0")},
    [RESULT_FAILED] = {.word = TEXT_INIT("failed"), .enhanced = TEXT_INIT("5.0.0")},
};

bool result_pack(struct buffer *b, const struct result *r)
{
    must((size_t)r->class < length_of(classes));
    buffer_append_octet(b, VERSION);
    packed_append_number(b, r->class);
    packed_append_number(b, r->code);
    packed_append_text(b, r->enhanced.length ? r->enhanced : classes[r->class].enhanced);
    packed_append_text(b, r->host);
    packed_append_text(b, r->stage);
    packed_append_text(b, r->text);
    return !b->is_full;
}

bool result_unpack(struct text packed, struct result *ret_result)
{
    struct result r;
    uint64_t class;
    uint64_t code;
    if (!text_take_octet(&packed, VERSION) || !packed_take_number(&packed, length_of(classes) - 1, &class) ||
        !packed_take_number(&packed, CODE_LIMIT, &code))
        return false;
    if (!packed_take_text(&packed, &r.enhanced) || !packed_take_text(&packed, &r.host) ||
        !packed_take_text(&packed, &r.stage) || !packed_take_text(&packed, &r.text))
        return false;
    if (packed.length != 0 || r.enhanced.length == 0)
        return false;
    r.class = (enum result_class) class;
    r.code = (unsigned)code;
    *ret_result = r;
    return true;
}

struct text result_class_word(enum result_class class)
{
    must((size_t) class < length_of(classes));
    return classes[class].word;
}
