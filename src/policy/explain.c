/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/explain.h"
#include "policy/rules.h"

#define WORDS(english, italian)                                                                                        \
    {                                                                                                                  \
        .en = TEXT_INIT(english), .it = TEXT_INIT(italian)                                                             \
    }

/* What a line of the explanation is about: its name among the pairs, and before it in words. */
enum topic {
    TOPIC_VERDICT,
    TOPIC_STAGE,
    TOPIC_REPLY,
    TOPIC_CODE,
    TOPIC_RULE,
    TOPIC_WHY,
    TOPIC_AUTHORISED,
    TOPIC_NEEDS,
    TOPIC_UNKNOWN,
    TOPIC_SETTING,
    TOPIC_ALSO,
    TOPIC_CHANGE,
    TOPIC_NEARLY,
    TOPIC_USER,
    TOPIC_REMOTE,
    TOPIC_ADMINISTRATOR,
    TOPICS,
};

static const struct {
    struct text name;
    struct policy_words label;
} topics[TOPICS] = {
    [TOPIC_VERDICT] = {.name = TEXT_INIT("verdict"), .label = WORDS("Verdict", "Esito")},
    [TOPIC_STAGE] = {.name = TEXT_INIT("stage"), .label = WORDS("At", "A")},
    [TOPIC_REPLY] = {.name = TEXT_INIT("reply"), .label = WORDS("The client sees", "Il client vede")},
    [TOPIC_CODE] = {.name = TEXT_INIT("code"), .label = WORDS("Code", "Codice")},
    [TOPIC_RULE] = {.name = TEXT_INIT("rule"), .label = WORDS("Rule", "Regola")},
    [TOPIC_WHY] = {.name = TEXT_INIT("why"), .label = WORDS("Why", "Perché")},
    [TOPIC_AUTHORISED] = {.name = TEXT_INIT("authorised"), .label = WORDS("Authorised by", "Autorizzato da")},
    [TOPIC_NEEDS] = {.name = TEXT_INIT("needs"), .label = WORDS("Must be known first", "Va saputo prima")},
    [TOPIC_UNKNOWN] = {.name = TEXT_INIT("unknown"), .label = WORDS("Still unknown", "Ancora ignoto")},
    [TOPIC_SETTING] = {.name = TEXT_INIT("setting"), .label = WORDS("Setting behind it", "Impostazione alla base")},
    [TOPIC_ALSO] = {.name = TEXT_INIT("also"), .label = WORDS("Without that rule, next", "Senza quella regola, poi")},
    [TOPIC_CHANGE] = {.name = TEXT_INIT("change"), .label = WORDS("Would change it", "Lo cambierebbe")},
    [TOPIC_NEARLY] = {.name = TEXT_INIT("nearly"),
                      .label = WORDS("Another rule would decide", "Deciderebbe un'altra regola")},
    [TOPIC_USER] = {.name = TEXT_INIT("remedy_user"), .label = WORDS("The user can", "L'utente può")},
    [TOPIC_REMOTE] = {.name = TEXT_INIT("remedy_remote"),
                      .label = WORDS("The sending server can", "Il server mittente può")},
    [TOPIC_ADMINISTRATOR] = {.name = TEXT_INIT("remedy_administrator"),
                             .label = WORDS("The administrator can", "L'amministratore può")},
};

static const struct policy_words outcomes[POLICY_OUTCOMES] = {
    [POLICY_NEEDS] = WORDS("not to be told yet", "non ancora decidibile"),
    [POLICY_ACCEPT] = WORDS("accepted", "accettato"),
    [POLICY_ACCEPT_LOCAL] = WORDS("accepted, for a mailbox here", "accettato, per una casella locale"),
    [POLICY_ACCEPT_RELAY] = WORDS("accepted, to be relayed", "accettato, da inoltrare (relay)"),
    [POLICY_REFUSE] = WORDS("refused", "respinto"),
};

static const struct policy_words ways[POLICY_WAYS] = {
    [POLICY_WAY_NONE] = WORDS("nothing", "nulla"),
    [POLICY_WAY_AUTH] = WORDS("SMTP AUTH", "autenticazione SMTP"),
    [POLICY_WAY_TRUSTED] = WORDS("trusted host", "IP attendibile"),
    [POLICY_WAY_POP] = WORDS("POP before SMTP", "POP prima di SMTP"),
};

/* --- pairs, as they are gathered
 * --------------------------------------------------------------------------------------------------- */

struct page {
    struct arena *arena;
    enum settings_language language;
    struct policy_pair *pairs;
    size_t count;
    bool is_full;
};

static void page_add(struct page *page, enum topic topic, struct text value)
{
    if (text_is_empty(value))
        return;
    if (page->count == POLICY_PAIRS) {
        page->is_full = true;
        return;
    }
    page->pairs[page->count++] = (struct policy_pair){.name = topics[topic].name, .value = value};
}

static void page_add_words(struct page *page, enum topic topic, const struct policy_words *words)
{
    page_add(page, topic, policy_words_in(words, page->language));
}

static void page_add_copy(struct page *page, enum topic topic, const struct buffer *b)
{
    struct text copy;
    if (b->is_full || !arena_copy(page->arena, buffer_text(b), &copy)) {
        page->is_full = true;
        return;
    }
    page_add(page, topic, copy);
}

static bool is_same_verdict(const struct policy_verdict *a, const struct policy_verdict *b)
{
    return a->rule == b->rule && a->outcome == b->outcome && a->needs == b->needs;
}

/* "recipient = foreign: refused (relay-not-permitted)"; values of one input that lead to the same stand together.
 * Returns how many were taken. */
static size_t page_add_change(struct page *page, enum topic topic, const struct policy_change *changes, size_t count)
{
    const struct policy_input_row *row = policy_input_row(changes->input);
    const struct policy_verdict *verdict = &changes->verdict;
    struct buffer b released_by(buffer_done) = buffer_new(2048);
    buffer_append(&b, row->is_setting ? row->key : policy_words_in(&row->name, page->language));
    buffer_append(&b, TEXT(" = "));
    size_t taken = 0;
    for (; taken < count && changes[taken].input == changes->input && is_same_verdict(&changes[taken].verdict, verdict);
         taken++) {
        buffer_append(&b, taken ? TEXT(" / ") : TEXT_NONE);
        buffer_append(&b, policy_words_in(&row->values[changes[taken].value], page->language));
    }
    buffer_append(&b, TEXT(": "));
    buffer_append(&b, policy_words_in(&outcomes[verdict->outcome], page->language));
    buffer_append(&b, TEXT(" ("));
    buffer_append(&b, verdict->outcome == POLICY_NEEDS
                          ? policy_words_in(&policy_input_row(verdict->needs)->name, page->language)
                          : policy_rule_word(verdict->rule));
    buffer_append_octet(&b, ')');
    page_add_copy(page, topic, &b);
    return taken;
}

/* --- what there is to say
 * ----------------------------------------------------------------------------------------------------------- */

static struct text or_unknown(struct text t)
{
    return text_is_empty(t) ? TEXT("?") : t;
}

struct reply_arguments policy_reply_arguments(enum reply reply, const struct policy_subject *subject)
{
    static const struct {
        enum reply reply;
        size_t first, second; /* offsets in struct policy_subject; second 0: none */
    } rows[] = {
        {.reply = REPLY_SENDER_OK, .first = offsetof(struct policy_subject, sender)},
        {.reply = REPLY_SENDER_NOT_AUTHORISED, .first = offsetof(struct policy_subject, sender)},
        {.reply = REPLY_AUTH_SENDER_MISMATCH, .first = offsetof(struct policy_subject, sender)},
        {.reply = REPLY_RECIPIENT_OK, .first = offsetof(struct policy_subject, recipient)},
        {.reply = REPLY_RECIPIENT_OK_FORWARD, .first = offsetof(struct policy_subject, recipient)},
        {.reply = REPLY_RECIPIENT_UNKNOWN, .first = offsetof(struct policy_subject, recipient)},
        {.reply = REPLY_RECIPIENT_DISABLED, .first = offsetof(struct policy_subject, recipient)},
        {.reply = REPLY_RECIPIENT_UNAVAILABLE, .first = offsetof(struct policy_subject, recipient)},
        {.reply = REPLY_MAILBOX_FULL, .first = offsetof(struct policy_subject, recipient)},
        {.reply = REPLY_MAILBOX_FULL_PERMANENT, .first = offsetof(struct policy_subject, recipient)},
        {.reply = REPLY_MESSAGE_TOO_LARGE, .first = offsetof(struct policy_subject, size_limit)},
        {.reply = REPLY_MAIL_LOOP, .first = offsetof(struct policy_subject, hop_limit)},
        {.reply = REPLY_TOO_MANY_RECIPIENTS, .first = offsetof(struct policy_subject, recipient_limit)},
        {.reply = REPLY_MESSAGE_ACCEPTED,
         .first = offsetof(struct policy_subject, octets),
         .second = offsetof(struct policy_subject, id)},
    };
    struct reply_arguments arguments = {.values = {TEXT_NONE, TEXT_NONE, TEXT_NONE, TEXT_NONE}};
    for (size_t i = 0; i < length_of(rows); i++) {
        if (rows[i].reply != reply)
            continue;
        const char *base = (const char *)subject;
        arguments.values[0] = *(const struct text *)(const void *)(base + rows[i].first);
        if (reply != REPLY_SENDER_OK) /* <> is a sender */
            arguments.values[0] = or_unknown(arguments.values[0]);
        if (rows[i].second)
            arguments.values[1] = or_unknown(*(const struct text *)(const void *)(base + rows[i].second));
    }
    return arguments;
}

static void page_add_reply(struct page *page, enum reply reply, const struct policy_subject *subject)
{
    if (reply == REPLY_NONE)
        return;
    const struct reply_arguments arguments = policy_reply_arguments(reply, subject);
    struct buffer b released_by(buffer_done) = buffer_new(2048);
    ignored(reply_append(&b, reply, &arguments)); /* page_add_copy sees a full buffer */
    while (b.length && (b.bytes[b.length - 1] == '\n' || b.bytes[b.length - 1] == '\r'))
        b.length--;
    page_add_copy(page, TOPIC_REPLY, &b);
    page_add(page, TOPIC_CODE, reply_row(reply)->explain);
}

static void page_add_rule(struct page *page, const struct policy_rule_row *row)
{
    page_add(page, TOPIC_RULE, row->word);
    page_add_words(page, TOPIC_WHY, &row->why);
    for (size_t i = 0; i < POLICY_RULE_KEYS; i++)
        page_add(page, TOPIC_SETTING, row->keys[i]);
}

static void page_add_remedies(struct page *page, const struct policy_rule_row *row)
{
    page_add_words(page, TOPIC_USER, &row->remedy_user);
    page_add_words(page, TOPIC_REMOTE, &row->remedy_remote);
    page_add_words(page, TOPIC_ADMINISTRATOR, &row->remedy_administrator);
}

static void page_add_way(struct page *page, const struct policy_question *q)
{
    enum policy_way way;
    enum policy_input needs;
    if (policy_way_of(&q->facts, &q->settings, &way, &needs))
        page_add_words(page, TOPIC_AUTHORISED, &ways[way]);
}

/* What may be asked for after the fact that is needed first. */
static void page_add_unknown(struct page *page, const struct policy_question *q, enum policy_input first)
{
    const uint64_t needs = policy_may_need(&q->facts, &q->settings);
    for (enum policy_input input = POLICY_INPUT_NONE + 1; input < POLICY_INPUTS; input++)
        if (input != first && needs & (UINT64_C(1) << input))
            page_add_words(page, TOPIC_UNKNOWN, &policy_input_row(input)->name);
}

static void page_add_nearest(struct page *page, const struct policy_question *q, const struct policy_verdict *now)
{
    enum policy_rule behind[POLICY_RULES];
    const size_t behind_count =
        now->outcome == POLICY_REFUSE ? policy_behind(&q->facts, &q->settings, behind, POLICY_RULES) : 0;
    for (size_t i = 0; i < behind_count; i++)
        page_add(page, TOPIC_ALSO, policy_rule_word(behind[i]));
    struct policy_change changes[POLICY_CHANGES];
    const size_t count = policy_changes(&q->facts, &q->settings, changes, POLICY_CHANGES);
    for (size_t i = 0; i < count;) {
        const bool turns = (changes[i].verdict.outcome == POLICY_REFUSE) != (now->outcome == POLICY_REFUSE);
        i += page_add_change(page, turns ? TOPIC_CHANGE : TOPIC_NEARLY, &changes[i], count - i);
    }
}

bool policy_explain_pairs(struct arena *arena, const struct policy_question *question, enum settings_language language,
                          struct policy_pair *pairs, size_t *ret_count)
{
    struct page page = {.arena = arena, .language = language, .pairs = pairs};
    const struct policy_verdict verdict = policy_judge(&question->facts, &question->settings);
    page_add_words(&page, TOPIC_VERDICT, &outcomes[verdict.outcome]);
    page_add_words(&page, TOPIC_STAGE, &policy_input_row(POLICY_FACT_STAGE)->values[question->facts.stage]);
    page_add_reply(&page, verdict.reply, &question->subject);
    const struct policy_rule_row *row = verdict.rule == POLICY_RULE_NONE ? NULL : policy_rule_row(verdict.rule);
    if (row)
        page_add_rule(&page, row);
    page_add_way(&page, question);
    if (verdict.needs != POLICY_INPUT_NONE)
        page_add_words(&page, TOPIC_NEEDS, &policy_input_row(verdict.needs)->name);
    page_add_unknown(&page, question, verdict.needs);
    page_add_nearest(&page, question, &verdict);
    if (row)
        page_add_remedies(&page, row);
    if (page.is_full)
        return false;
    *ret_count = page.count;
    return true;
}

/* --- words
 * ----------------------------------------------------------------------------------------------------------------------------
 */

static enum topic topic_of(struct text name)
{
    enum topic topic = 0;
    while (topic < TOPICS - 1 && !text_equals(topics[topic].name, name))
        topic++;
    return topic;
}

/* A list stands under its label once. */
static void lines_append(struct buffer *b, const struct policy_pair *pairs, size_t count,
                         enum settings_language language)
{
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !text_equals(pairs[i].name, pairs[i - 1].name)) {
            buffer_append(b, policy_words_in(&topics[topic_of(pairs[i].name)].label, language));
            buffer_append_octet(b, ':');
        }
        const bool is_list = (i + 1 < count && text_equals(pairs[i].name, pairs[i + 1].name)) ||
                             (i > 0 && text_equals(pairs[i].name, pairs[i - 1].name));
        buffer_append(b, is_list ? TEXT("\n  ") : TEXT(" "));
        buffer_append(b, pairs[i].value);
        if (i + 1 == count || !text_equals(pairs[i].name, pairs[i + 1].name))
            buffer_append_octet(b, '\n');
    }
}

/* Changes that turn the verdict and those that do not come mixed, in the order of the inputs: each list in one piece.
 */
static size_t pairs_grouped(const struct policy_pair *pairs, size_t count, struct policy_pair *grouped)
{
    size_t out = 0;
    for (enum topic topic = 0; topic < TOPICS; topic++)
        for (size_t i = 0; i < count; i++)
            if (topic_of(pairs[i].name) == topic)
                grouped[out++] = pairs[i];
    return out;
}

bool policy_explain(struct buffer *b, const struct policy_question *question, enum settings_language language)
{
    struct arena arena released_by(arena_done) = arena_new(128 * 1024);
    struct policy_pair pairs[POLICY_PAIRS], grouped[POLICY_PAIRS];
    size_t count;
    if (!policy_explain_pairs(&arena, question, language, pairs, &count))
        return false;
    lines_append(b, grouped, pairs_grouped(pairs, count, grouped), language);
    return !b->is_full;
}

static const struct policy_words code_classes[] = {
    WORDS("The mistake is in the command or its order: it will fail again unless it is sent differently.",
          "L'errore è nel comando o nel suo ordine: fallirà di nuovo se non viene inviato in modo diverso."),
    WORDS("It passes: the sending server keeps the message and tries again by itself.",
          "È temporaneo: il server mittente conserva il messaggio e riprova da solo."),
    WORDS("It is final: trying again unchanged gives the same answer.",
          "È definitivo: riprovare senza cambiare nulla dà la stessa risposta."),
};

static const struct policy_words *code_class(unsigned code)
{
    if (code >= 400 && code < 500)
        return &code_classes[1];
    return code >= 500 && code < 510 ? &code_classes[0] : &code_classes[2];
}

/* The rule whose refusal carries the reply; NULL when policy never says it. */
static const struct policy_rule_row *rule_of_reply(enum reply reply)
{
    if (reply == REPLY_RECIPIENT_UNAVAILABLE)
        return policy_rule_row(POLICY_RULE_FACT_UNAVAILABLE);
    for (enum policy_rule rule = POLICY_RULE_NONE + 1; rule < POLICY_RULES; rule++)
        if (policy_rule_row(rule)->reply == reply)
            return policy_rule_row(rule);
    return NULL;
}

bool policy_explain_code(struct buffer *b, struct text code, enum settings_language language)
{
    const enum reply reply = reply_of_explain_code(code);
    if (reply == REPLY_NONE)
        return false;
    struct arena arena released_by(arena_done) = arena_new(64 * 1024);
    struct policy_pair pairs[POLICY_PAIRS];
    struct page page = {.arena = &arena, .language = language, .pairs = pairs};
    const struct reply_row *said = reply_row(reply);
    struct buffer line released_by(buffer_done) = buffer_new(2048);
    buffer_append_format(&line, "%u %.*s %.*s", said->code, TEXT_ARGUMENTS(said->enhanced),
                         TEXT_ARGUMENTS(said->words));
    page_add_copy(&page, TOPIC_REPLY, &line);
    page_add(&page, TOPIC_CODE, code);
    const struct policy_rule_row *row = rule_of_reply(reply);
    if (row)
        page_add_rule(&page, row);
    else
        page_add_words(&page, TOPIC_WHY, code_class(said->code));
    if (row)
        page_add_remedies(&page, row);
    if (page.is_full)
        return false;
    lines_append(b, pairs, page.count, language);
    return !b->is_full;
}
