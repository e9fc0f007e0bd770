/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/inputs.h"

#define WORDS(english, italian)                                                                                        \
    {                                                                                                                  \
        .en = TEXT_INIT(english), .it = TEXT_INIT(italian)                                                             \
    }

static const struct policy_words flags[] = {[false] = WORDS("no", "no"), [true] = WORDS("yes", "sì")};

static const struct policy_words stages[] = {
    [POLICY_STAGE_COMMAND] = WORDS("a command", "un comando"),
    [POLICY_STAGE_AUTH] = WORDS("AUTH", "AUTH"),
    [POLICY_STAGE_SENDER] = WORDS("MAIL", "MAIL"),
    [POLICY_STAGE_RECIPIENT] = WORDS("RCPT", "RCPT"),
    [POLICY_STAGE_MESSAGE] = WORDS("the message", "il messaggio"),
};

static const struct policy_words listeners[] = {
    [POLICY_LISTENER_SMTP] = WORDS("smtp", "smtp"),
    [POLICY_LISTENER_SUBMISSION] = WORDS("submission", "submission"),
    [POLICY_LISTENER_SUBMISSIONS] = WORDS("submissions", "submissions"),
};

static const struct policy_words answers[] = {
    [POLICY_ANSWER_UNKNOWN_YET] = WORDS("not known yet", "non ancora noto"),
    [POLICY_ANSWER_NO] = WORDS("no", "no"),
    [POLICY_ANSWER_YES] = WORDS("yes", "sì"),
    [POLICY_ANSWER_UNAVAILABLE] = WORDS("can't be told now", "non verificabile ora"),
};

static const struct policy_words pops[] = {
    [POLICY_POP_UNKNOWN_YET] = WORDS("not known yet", "non ancora noto"),
    [POLICY_POP_NONE] = WORDS("none", "nessuno"),
    [POLICY_POP_OTHER] = WORDS("by another account", "di un altro account"),
    [POLICY_POP_SENDER] = WORDS("by the sender's account", "dell'account del mittente"),
    [POLICY_POP_UNAVAILABLE] = WORDS("can't be told now", "non verificabile ora"),
};

static const struct policy_words kinds[] = {
    [MAIL_ADDRESS_UNKNOWN_YET] = WORDS("not known yet", "non ancora noto"),
    [MAIL_ADDRESS_FOREIGN] = WORDS("foreign", "esterno"),
    [MAIL_ADDRESS_LOCAL] = WORDS("local", "locale"),
    [MAIL_ADDRESS_LOCAL_OWN] = WORDS("the login's own", "proprio del login"),
    [MAIL_ADDRESS_LOCAL_NOBODY] = WORDS("local domain, nobody there", "dominio locale, nessuno con quel nome"),
    [MAIL_ADDRESS_LOCAL_FULL] = WORDS("local, mailbox full", "locale, casella piena"),
    [MAIL_ADDRESS_LOCAL_DISABLED] = WORDS("local, account disabled", "locale, account disabilitato"),
    [MAIL_ADDRESS_UNAVAILABLE] = WORDS("can't be told now", "non verificabile ora"),
};

static const struct policy_words local_headers[] = {
    [SETTINGS_LOCAL_HEADER_OFF] = WORDS("off", "off"),
    [SETTINGS_LOCAL_HEADER_MARK] = WORDS("mark", "mark"),
    [SETTINGS_LOCAL_HEADER_REFUSE] = WORDS("refuse", "refuse"),
};

static const struct policy_words pop_scopes[] = {
    [SETTINGS_POP_SCOPE_ADDRESS] = WORDS("address", "address"),
    [SETTINGS_POP_SCOPE_HOST] = WORDS("host", "host"),
};

static const struct policy_input_row rows[] = {
    [POLICY_INPUT_NONE] = {.word = TEXT_INIT("none"),
                           .name = WORDS("nothing", "nulla"),
                           .values = flags,
                           .value_count = 0},
#define ROW(id, member, table, setting_key, setting, english, italian)                                                 \
    [id] = {.word = TEXT_INIT(#member),                                                                                \
            .key = TEXT_INIT(setting_key),                                                                             \
            .is_setting = setting,                                                                                     \
            .name = WORDS(english, italian),                                                                           \
            .values = table,                                                                                           \
            .value_count = length_of(table)},
#define FACT(NAME, member, type, values, key, english, italian)                                                        \
    ROW(POLICY_FACT_##NAME, member, values, key, false, english, italian)
#define SETTING(NAME, member, type, values, key, english, italian)                                                     \
    ROW(POLICY_SETTING_##NAME, member, values, key, true, english, italian)
#include "policy/inputs.def"
#undef ROW
};

_Static_assert(length_of(kinds) == MAIL_ADDRESS_KINDS, "every kind of address has its words");
_Static_assert(length_of(local_headers) == SETTINGS_LOCAL_HEADER_WORDS,
               "every word of unauthorised_local_header is known");
_Static_assert(length_of(pop_scopes) == SETTINGS_POP_SCOPE_WORDS, "every word of pop_before_smtp_scope is known");

const struct policy_input_row *policy_input_row(enum policy_input input)
{
    must((unsigned)input < POLICY_INPUTS);
    return &rows[input];
}

struct text policy_input_word(enum policy_input input)
{
    return policy_input_row(input)->word;
}

unsigned policy_input_get(const struct policy_facts *f, const struct policy_settings *s, enum policy_input input)
{
    switch (input) {
#define FACT(NAME, member, type, values, key, english, italian)                                                        \
    case POLICY_FACT_##NAME:                                                                                           \
        return (unsigned)f->member;
#define SETTING(NAME, member, type, values, key, english, italian)                                                     \
    case POLICY_SETTING_##NAME:                                                                                        \
        return (unsigned)s->member;
#include "policy/inputs.def"
    case POLICY_INPUT_NONE:
    case POLICY_INPUTS:
        break;
    }
    return 0;
}

void policy_input_set(struct policy_facts *f, struct policy_settings *s, enum policy_input input, unsigned value)
{
    must(value < policy_input_row(input)->value_count);
    switch (input) {
#define FACT(NAME, member, type, values, key, english, italian)                                                        \
    case POLICY_FACT_##NAME:                                                                                           \
        f->member = (type)value;                                                                                       \
        break;
#define SETTING(NAME, member, type, values, key, english, italian)                                                     \
    case POLICY_SETTING_##NAME:                                                                                        \
        s->member = (type)value;                                                                                       \
        break;
#include "policy/inputs.def"
    case POLICY_INPUT_NONE:
    case POLICY_INPUTS:
        break;
    }
}

bool policy_input_is_unknown(enum policy_input input, unsigned value)
{
    const struct policy_words *values = policy_input_row(input)->values;
    if (values == kinds)
        return value == MAIL_ADDRESS_UNKNOWN_YET;
    if (values == answers)
        return value == POLICY_ANSWER_UNKNOWN_YET;
    return values == pops && value == POLICY_POP_UNKNOWN_YET;
}

bool policy_input_is_unavailable(enum policy_input input, unsigned value)
{
    const struct policy_words *values = policy_input_row(input)->values;
    if (values == kinds)
        return value == MAIL_ADDRESS_UNAVAILABLE;
    if (values == answers)
        return value == POLICY_ANSWER_UNAVAILABLE;
    return values == pops && value == POLICY_POP_UNAVAILABLE;
}

struct text policy_words_in(const struct policy_words *words, enum settings_language language)
{
    switch (language) {
    case SETTINGS_ENGLISH:
        return words->en;
    case SETTINGS_ITALIAN:
        return words->it;
    }
    return words->en;
}
