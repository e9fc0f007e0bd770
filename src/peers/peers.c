/* SPDX-License-Identifier: Apache-2.0 */
#include "peers/peers.h"

#include <string.h>

enum field_kind { FIELD_NUMBER, FIELD_OCTETS, FIELD_TEXTS };

struct field {
    enum field_kind kind;
    size_t offset;
    size_t limit;
};

struct row {
    struct text word;
    unsigned senders, receivers;
    size_t descriptors;
    const struct field *fields;
    size_t field_count;
};

enum { TEXTS_ENTRY_LIMIT = 4096 };

/* A first row that is never used keeps arrays of messages without fields legal. */
#define MESSAGE(name, senders, receivers, descriptors) static const struct field fields_of_##name[] = {{.kind = FIELD_NUMBER},
#define NUMBER(message, field) {.kind = FIELD_NUMBER, .offset = offsetof(struct peers_##message, field)},
#define OCTETS(message, field, most) {.kind = FIELD_OCTETS, .offset = offsetof(struct peers_##message, field), .limit = most},
#define TEXTS(message, field, most) {.kind = FIELD_TEXTS, .offset = offsetof(struct peers_##message, field), .limit = most},
#define END(name) };
#include "peers/peers.def"
#undef MESSAGE
#undef NUMBER
#undef OCTETS
#undef TEXTS
#undef END

#define SUPERVISOR PEERS_SUPERVISOR
#define FRONT PEERS_FRONT
#define RELAY PEERS_RELAY
#define RESOLVER PEERS_RESOLVER
#define CONTROL PEERS_CONTROL
#define CONSOLE PEERS_CONSOLE
#define QUEUE PEERS_QUEUE
#define MAILBOX PEERS_MAILBOX
#define VAULT PEERS_VAULT
#define VERIFIER PEERS_VERIFIER
#define LEDGER PEERS_LEDGER
#define ANYBODY PEERS_ANYBODY
#define COMMAND PEERS_COMMAND
static const struct row rows[] = {
    [PEERS_NONE] = {.word = TEXT_INIT("none")},
#define MESSAGE(name, from, to, files)                                                                                 \
    [PEERS_##name] = {.word = TEXT_INIT(#name),                                                                        \
                      .senders = (from),                                                                               \
                      .receivers = (to),                                                                               \
                      .descriptors = files,                                                                            \
                      .fields = fields_of_##name + 1,                                                                  \
                      .field_count = length_of(fields_of_##name) - 1},
#define NUMBER(message, field)
#define OCTETS(message, field, limit)
#define TEXTS(message, field, limit)
#define END(name)
#include "peers/peers.def"
};

static bool put_number(struct buffer *b, uint64_t number, size_t octets)
{
    char *room = buffer_room(b, octets);
    if (!room)
        return false;
    for (size_t i = 0; i < octets; i++)
        room[i] = (char)(number >> (8 * i) & 255);
    buffer_grew(b, octets);
    return true;
}

static bool take_number(struct text *rest, size_t octets, uint64_t *ret_number)
{
    if (rest->length < octets)
        return false;
    uint64_t number = 0;
    for (size_t i = 0; i < octets; i++)
        number |= (uint64_t)(unsigned char)rest->bytes[i] << (8 * i);
    *rest = text_after(*rest, octets);
    *ret_number = number;
    return true;
}

static bool put_octets(struct buffer *b, struct text t, size_t limit)
{
    return t.length <= limit && put_number(b, t.length, 4) && buffer_append(b, t);
}

static bool put_texts(struct buffer *b, const struct texts *list, size_t limit)
{
    if (list->count > limit || !put_number(b, list->count, 4))
        return false;
    for (size_t i = 0; i < list->count; i++)
        if (!put_octets(b, list->items[i], TEXTS_ENTRY_LIMIT))
            return false;
    return true;
}

static bool put_field(struct buffer *b, const struct field *field, const char *at)
{
    switch (field->kind) {
    case FIELD_NUMBER:
        return put_number(b, *(const uint64_t *)(const void *)at, 8);
    case FIELD_OCTETS:
        return put_octets(b, *(const struct text *)(const void *)at, field->limit);
    case FIELD_TEXTS:
        return put_texts(b, (const struct texts *)(const void *)at, field->limit);
    }
    return false;
}

bool peers_pack(struct buffer *b, enum peers_type type, const void *fields)
{
    must(type > PEERS_NONE && type < PEERS_TYPES);
    const struct row *row = &rows[type];
    size_t before = b->length;
    bool fits = put_number(b, type, 2);
    for (size_t i = 0; fits && i < row->field_count; i++)
        fits = put_field(b, &row->fields[i], (const char *)fields + row->fields[i].offset);
    if (!fits || b->length - before > PEERS_MESSAGE_LIMIT) {
        b->length = before;
        return false;
    }
    return true;
}

static enum peers_result take_octets(struct text *rest, size_t limit, struct text *ret_text)
{
    uint64_t length;
    if (!take_number(rest, 4, &length))
        return PEERS_CUT_SHORT;
    if (length > limit)
        return PEERS_TOO_LONG;
    if (length > rest->length)
        return PEERS_CUT_SHORT;
    *ret_text = text_take(rest, (size_t)length);
    return PEERS_OK;
}

static enum peers_result take_texts(struct text *rest, size_t limit, struct arena *arena, struct texts *ret_list)
{
    uint64_t count;
    if (!take_number(rest, 4, &count))
        return PEERS_CUT_SHORT;
    if (count > limit)
        return PEERS_TOO_LONG;
    if (count * 4 > rest->length)
        return PEERS_CUT_SHORT;
    struct texts list = {.count = (size_t)count, .items = arena_take_array(arena, (size_t)count, sizeof(struct text))};
    if (!list.items)
        return PEERS_TOO_LONG;
    for (size_t i = 0; i < list.count; i++) {
        enum peers_result result = take_octets(rest, TEXTS_ENTRY_LIMIT, &list.items[i]);
        if (result != PEERS_OK)
            return result;
    }
    *ret_list = list;
    return PEERS_OK;
}

static enum peers_result take_field(struct text *rest, const struct field *field, struct arena *arena, char *at)
{
    switch (field->kind) {
    case FIELD_NUMBER:
        return take_number(rest, 8, (uint64_t *)(void *)at) ? PEERS_OK : PEERS_CUT_SHORT;
    case FIELD_OCTETS:
        return take_octets(rest, field->limit, (struct text *)(void *)at);
    case FIELD_TEXTS:
        return take_texts(rest, field->limit, arena, (struct texts *)(void *)at);
    }
    return PEERS_UNKNOWN_TYPE;
}

bool peers_may(enum peers_type type, enum peers_role sender, enum peers_role receiver)
{
    return (rows[type].senders & (unsigned)sender) && (rows[type].receivers & (unsigned)receiver);
}

enum peers_result peers_unpack(struct text octets, enum peers_role sender, enum peers_role receiver, size_t descriptors,
                               struct arena *arena, struct peers_message *ret_message)
{
    uint64_t type;
    if (!take_number(&octets, 2, &type))
        return PEERS_CUT_SHORT;
    if (type == PEERS_NONE || type >= PEERS_TYPES)
        return PEERS_UNKNOWN_TYPE;
    const struct row *row = &rows[type];
    if (!peers_may((enum peers_type)type, sender, receiver))
        return PEERS_NOT_ALLOWED;
    if (descriptors != row->descriptors)
        return PEERS_WRONG_DESCRIPTORS;
    struct peers_message message;
    memset(&message, 0, sizeof message);
    message.type = (enum peers_type)type;
    char *fields = (char *)&message + offsetof(struct peers_message, settings);
    for (size_t i = 0; i < row->field_count; i++) {
        enum peers_result result = take_field(&octets, &row->fields[i], arena, fields + row->fields[i].offset);
        if (result != PEERS_OK)
            return result;
    }
    if (octets.length)
        return PEERS_TOO_LONG;
    *ret_message = message;
    return PEERS_OK;
}

struct text peers_type_word(enum peers_type type)
{
    must(type < PEERS_TYPES);
    return rows[type].word;
}

size_t peers_descriptors(enum peers_type type)
{
    must(type < PEERS_TYPES);
    return rows[type].descriptors;
}

struct text peers_result_word(enum peers_result result)
{
    switch (result) {
    case PEERS_OK:
        return TEXT("ok");
    case PEERS_UNKNOWN_TYPE:
        return TEXT("unknown type");
    case PEERS_CUT_SHORT:
        return TEXT("cut short");
    case PEERS_TOO_LONG:
        return TEXT("too long");
    case PEERS_NOT_ALLOWED:
        return TEXT("not allowed");
    case PEERS_WRONG_DESCRIPTORS:
        return TEXT("wrong descriptors");
    }
    return TEXT("?");
}

static const struct {
    enum peers_role role;
    struct text word;
} role_words[] = {
    {.role = PEERS_SUPERVISOR, .word = TEXT_INIT("supervisor")}, {.role = PEERS_FRONT, .word = TEXT_INIT("front")},
    {.role = PEERS_RELAY, .word = TEXT_INIT("relay")},           {.role = PEERS_RESOLVER, .word = TEXT_INIT("resolver")},
    {.role = PEERS_CONTROL, .word = TEXT_INIT("control")},       {.role = PEERS_CONSOLE, .word = TEXT_INIT("console")},
    {.role = PEERS_QUEUE, .word = TEXT_INIT("queue")},           {.role = PEERS_MAILBOX, .word = TEXT_INIT("mailbox")},
    {.role = PEERS_VAULT, .word = TEXT_INIT("vault")},           {.role = PEERS_VERIFIER, .word = TEXT_INIT("verifier")},
    {.role = PEERS_LEDGER, .word = TEXT_INIT("ledger")},
    {.role = PEERS_COMMAND, .word = TEXT_INIT("command")},
};

struct text peers_role_word(enum peers_role role)
{
    for (size_t i = 0; i < length_of(role_words); i++)
        if (role_words[i].role == role)
            return role_words[i].word;
    return TEXT("nobody");
}

enum peers_role peers_role_of_word(struct text word)
{
    for (size_t i = 0; i < length_of(role_words); i++)
        if (text_equals(role_words[i].word, word))
            return role_words[i].role;
    return PEERS_NOBODY;
}
