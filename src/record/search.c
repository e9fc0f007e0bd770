/* SPDX-License-Identifier: Apache-2.0 */
#include "record/record.h"

#include "mail/mail.h"

#include <stdlib.h>
#include <string.h>

/* What is searched for leads to messages (field id) and sessions (field session); those lead to their other events. Of
 * each kind the latest are remembered, so a log of any length needs the same memory. */
enum { REMEMBERED = 256, TOKEN_LIMIT = 64, LATEST_BY_WORD = 20, SESSIONS_BY_WORD = 2 * LATEST_BY_WORD };

struct token {
    char octets[TOKEN_LIMIT];
    size_t length;
};

struct token_set { /* a ring: the oldest gives way */
    struct token items[REMEMBERED];
    size_t next, count, limit;
    bool has_forgotten;
};

struct record_search {
    char what[1024];
    size_t length;
    struct token_set messages, sessions;
};

static bool set_has(const struct token_set *set, struct text t)
{
    for (size_t i = 0; t.length && i < set->count; i++)
        if (text_equals(text_of(set->items[i].octets, set->items[i].length), t))
            return true;
    return false;
}

static void set_add(struct token_set *set, struct text t)
{
    if (t.length == 0 || t.length > TOKEN_LIMIT || set_has(set, t))
        return;
    set->has_forgotten |= set->count == set->limit;
    struct token *token = &set->items[set->next];
    memcpy(token->octets, t.bytes, t.length);
    token->length = t.length;
    set->next = (set->next + 1) % set->limit;
    set->count = smaller(set->count + 1, set->limit);
}

struct record_search *record_search_new(struct text what)
{
    struct record_search *search = calloc(1, sizeof *search);
    must(search != NULL);
    what = text_first(text_trimmed(what), sizeof search->what);
    if (text_starts_with(what, TEXT("<")) && text_ends_with(what, TEXT(">")))
        what = text_first(text_after(what, 1), what.length - 2);
    memcpy(search->what, what.bytes, what.length);
    search->length = what.length;
    uint64_t id;
    bool is_id = queue_id_parse(what, &id);
    search->messages.limit = is_id ? REMEMBERED : LATEST_BY_WORD;
    search->sessions.limit = is_id ? REMEMBERED : SESSIONS_BY_WORD;
    return search;
}

void record_search_free(struct record_search **search)
{
    free(*search);
    *search = NULL;
}

/* Is it named by one of the fields that say who or what an event is about? */
static bool names_it(const struct record_search *search, const struct record_event *event)
{
    static const struct text fields[] = {TEXT_INIT("id"),        TEXT_INIT("session"), TEXT_INIT("sender"),
                                         TEXT_INIT("recipient"), TEXT_INIT("login"),   TEXT_INIT("account"),
                                         TEXT_INIT("for"),       TEXT_INIT("of"),      TEXT_INIT("message_id")};
    struct text what = text_of(search->what, search->length);
    for (size_t i = 0; what.length && i < length_of(fields); i++)
        if (text_equals_ignoring_case(record_field(event, fields[i]), what))
            return true;
    return false;
}

void record_search_collect(struct record_search *search, const struct record_event *event)
{
    if (!names_it(search, event))
        return;
    set_add(&search->messages, record_field(event, TEXT("id")));
    set_add(&search->sessions, record_field(event, TEXT("session")));
}

/* The session that a message came in began before anything named it; a report's own way is part of the story. */
void record_search_connect(struct record_search *search, const struct record_event *event)
{
    struct text id = record_field(event, TEXT("id"));
    if (set_has(&search->messages, record_field(event, TEXT("of"))))
        set_add(&search->messages, id);
    if (set_has(&search->messages, id))
        set_add(&search->sessions, record_field(event, TEXT("session")));
}

bool record_search_chooses(const struct record_search *search, const struct record_event *event)
{
    struct text id = record_field(event, TEXT("id")), session = record_field(event, TEXT("session"));
    if (id.length)
        return set_has(&search->messages, id);
    return session.length ? set_has(&search->sessions, session) : names_it(search, event);
}

bool record_search_has_forgotten(const struct record_search *search)
{
    return search->messages.has_forgotten || search->sessions.has_forgotten;
}
