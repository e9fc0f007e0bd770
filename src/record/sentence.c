/* SPDX-License-Identifier: Apache-2.0 */
#include "record/escape.h"
#include "record/record.h"

static const struct {
    struct text event, en, it;
} sentences[] = {
#define SENTENCE(name, english, italian) {.event = TEXT_INIT(name), .en = TEXT_INIT(english), .it = TEXT_INIT(italian)},
#include "record/sentences.def"
#undef SENTENCE
};

/* Fills the fields in; false when one of them is absent. */
static bool fill(struct buffer *b, struct text template, const struct record_event *event)
{
    bool is_whole = true;
    while (template.length) {
        ignored(buffer_append(b, text_take_until(&template, '{'))); /* a full buffer shows less */
        if (template.length == 0)
            break;
        struct text value = record_field(event, text_take_until(&template, '}'));
        is_whole &= value.length > 0;
        record_escape_append(b, value, RECORD_ESCAPE_QUOTED);
    }
    return is_whole;
}

void record_sentence_append(struct buffer *b, const struct record_event *event, enum settings_language language)
{
    struct text template = TEXT_NONE;
    for (size_t i = 0; i < length_of(sentences); i++)
        if (text_equals(sentences[i].event, event->name))
            template = language == SETTINGS_ITALIAN ? sentences[i].it : sentences[i].en;
    if (template.length == 0) {
        ignored(buffer_append(b, event->role) && buffer_append(b, TEXT(": ")) &&
                buffer_append(b, event->name)); /* a full buffer shows less */
        return;
    }
    while (template.length) {
        ignored(fill(b, text_take_until(&template, '['), event)); /* what is absent here leaves a gap */
        size_t before = b->length;
        if (template.length && !fill(b, text_take_until(&template, ']'), event))
            b->length = before;
    }
}
