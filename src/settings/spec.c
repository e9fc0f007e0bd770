/* SPDX-License-Identifier: Apache-2.0 */
#include "settings/settings.h"

#define CHOICES(name) static const struct text settings_words_##name[] = {
#define WORD(NAME, WORD_NAME, word) [SETTINGS_##NAME##_##WORD_NAME] = TEXT_INIT(word),
#define CHOICES_END(name, NAME)                                                                                        \
    }                                                                                                                  \
    ;
#include "settings/choices.def"

/* The short words of settings.def. */
#define T(literal) TEXT_INIT(literal)
#define WORDS(name, NAME) .words = settings_words_##name, .word_count = SETTINGS_##NAME##_WORDS
#define SECONDS(n) ((n)*UINT64_C(1000))
#define MINUTES(n) ((n)*UINT64_C(60000))
#define HOURS(n) ((n)*UINT64_C(3600000))
#define DAYS(n) ((n)*UINT64_C(86400000))
#define KIB(n) ((n)*UINT64_C(1024))
#define MIB(n) ((n)*UINT64_C(1048576))
#define SHOWN (SETTINGS_READER_CONTROL | SETTINGS_READER_CONSOLE)
#define ALL SETTINGS_READER_ALL
#define FRONT (SHOWN | SETTINGS_READER_FRONT)
#define RELAY (SHOWN | SETTINGS_READER_RELAY)
#define RESOLVER (SHOWN | SETTINGS_READER_RESOLVER)
#define QUEUE (SHOWN | SETTINGS_READER_QUEUE)
#define MAILBOX (SHOWN | SETTINGS_READER_MAILBOX)
#define VAULT (SHOWN | SETTINGS_READER_VAULT)
#define LEDGER (SHOWN | SETTINGS_READER_LEDGER)
#define TAB(english, italian) .tab_en = TEXT_INIT(english), .tab_it = TEXT_INIT(italian)
#define TAB_SERVICE TAB("Services > SMTP > Other", "Servizi > SMTP > Altro")
#define TAB_POP3 TAB("Services > POP3 > Other", "Servizi > POP3 > Altro")
#define TAB_DELIVERY TAB("Mail > SMTP Service > Delivery", "Posta > Servizio SMTP > Consegna")
#define TAB_REDIRECTS TAB("Mail > SMTP Service > Routing", "Posta > Servizio SMTP > Reindirizzamento")
#define TAB_ADVANCED TAB("Mail > SMTP Service > Advanced", "Posta > Servizio SMTP > Avanzate")
#define TAB_SECURITY TAB("Mail > Security > General", "Posta > Sicurezza > Generale")
#define TAB_DNS TAB("Mail > Security > DNS", "Posta > Sicurezza > DNS")
#define TAB_INTRUSION TAB("Mail > Security > Intrusion Prevention", "Posta > Sicurezza > Prevenzione intrusioni")
#define TAB_SECURITY_ADVANCED TAB("Mail > Security > Advanced", "Posta > Sicurezza > Avanzate")
#define TAB_TLS TAB("System > TLS", "Sistema > TLS")
#define TAB_LOG TAB("System > Log", "Sistema > Log")
#define TAB_HISTORY TAB("System > History", "Sistema > Storico")
#define TAB_CONSOLE TAB("System > Console", "Sistema > Console")

static const struct settings_spec specs[SETTINGS_KEYS] = {
#define SETTING(section_name, key_name, type_name, ...)                                                                \
    [SETTINGS_KEY_##section_name##_##key_name] = {.key = TEXT_INIT(#section_name "." #key_name),                       \
                                                  .section = TEXT_INIT(#section_name),                                 \
                                                  .name = TEXT_INIT(#key_name),                                        \
                                                  .type = SETTINGS_##type_name,                                        \
                                                  .offset = offsetof(struct settings, section_name##_##key_name),      \
                                                  __VA_ARGS__},
#include "settings/settings.def"
};

const struct settings_spec *settings_spec(enum settings_key key)
{
    must((size_t)key < SETTINGS_KEYS);
    return &specs[key];
}

enum settings_key settings_key_of(const struct settings_spec *spec)
{
    return (enum settings_key)(spec - specs);
}

bool settings_is_table(const struct settings_spec *spec)
{
    return spec->type >= SETTINGS_LISTENS;
}

unsigned settings_place(const struct settings_spec *spec)
{
    unsigned place = 0;
    for (const struct settings_spec *other = specs; other <= spec; other++)
        place += text_equals(other->tab_en, spec->tab_en);
    return place;
}

bool settings_may_read(const struct settings_spec *spec, enum settings_reader reader)
{
    return reader == SETTINGS_READER_SUPERVISOR || (spec->readers & (unsigned)reader) != 0;
}

static const struct settings_spec *find_by_name(struct text name)
{
    const struct settings_spec *found = NULL;
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        if (!text_equals_ignoring_case(specs[i].name, name))
            continue;
        if (text_equals(specs[i].section, TEXT("service")))
            return &specs[i];
        if (found != NULL)
            return NULL; /* two sections have it, and neither goes without saying */
        found = &specs[i];
    }
    return found;
}

const struct settings_spec *settings_find(struct text name)
{
    if (text_is_empty(name))
        return NULL;
    for (size_t i = 0; i < SETTINGS_KEYS; i++)
        if (text_equals_ignoring_case(specs[i].key, name) || settings_name_is_alias(&specs[i], name))
            return &specs[i];
    return find_by_name(name);
}

bool settings_name_is_alias(const struct settings_spec *spec, struct text name)
{
    return !text_is_empty(spec->alias) && text_equals_ignoring_case(spec->alias, name);
}

enum { LONGEST_NAME = 80 };

/* Levenshtein, without case; both at most LONGEST_NAME octets. */
static size_t distance(struct text a, struct text b)
{
    size_t row[LONGEST_NAME + 1];
    for (size_t j = 0; j <= b.length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.length; j++) {
            size_t change = diagonal + (octet_lower(a.bytes[i - 1]) != octet_lower(b.bytes[j - 1]));
            diagonal = row[j];
            row[j] = smaller(change, smaller(row[j], row[j - 1]) + 1);
        }
    }
    return row[b.length];
}

const struct settings_spec *settings_nearest(struct text name)
{
    if (name.length > LONGEST_NAME)
        return NULL;
    const struct settings_spec *nearest = NULL;
    size_t nearest_distance = 2 + name.length / 5; /* further away is another word */
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        bool is_dotted = text_has_octet(name, '.');
        size_t here = distance(name, is_dotted ? specs[i].key : specs[i].name);
        if (here < nearest_distance) {
            nearest = &specs[i];
            nearest_distance = here;
        }
    }
    return nearest;
}

struct text settings_type_word(enum settings_type type)
{
    static const struct text words[SETTINGS_TYPES] = {
        [SETTINGS_COUNT] = TEXT_INIT("number"),
        [SETTINGS_DURATION] = TEXT_INIT("duration"),
        [SETTINGS_SIZE] = TEXT_INIT("size"),
        [SETTINGS_SHARE] = TEXT_INIT("share"),
        [SETTINGS_FLAG] = TEXT_INIT("yes or no"),
        [SETTINGS_CHOICE] = TEXT_INIT("choice"),
        [SETTINGS_TEXT] = TEXT_INIT("text"),
        [SETTINGS_DURATIONS] = TEXT_INIT("list of durations"),
        [SETTINGS_LISTENS] = TEXT_INIT("table of listeners"),
        [SETTINGS_CLIENTS] = TEXT_INIT("table of clients"),
        [SETTINGS_RESOLVERS] = TEXT_INIT("table of resolvers"),
        [SETTINGS_RELAY_HOSTS] = TEXT_INIT("table of relay hosts"),
        [SETTINGS_ROUTES] = TEXT_INIT("table of routes"),
        [SETTINGS_REDIRECTS] = TEXT_INIT("table of redirects"),
        [SETTINGS_DOMAIN_NUMBERS] = TEXT_INIT("table of domains and numbers"),
        [SETTINGS_TLS_RULES] = TEXT_INIT("table of domains and TLS levels"),
        [SETTINGS_CERTIFICATES] = TEXT_INIT("table of certificates"),
        [SETTINGS_ZONES] = TEXT_INIT("table of zones"),
        [SETTINGS_BYPASSES] = TEXT_INIT("table of exempt parties"),
        [SETTINGS_HELO_FILTERS] = TEXT_INIT("table of HELO filters"),
        [SETTINGS_ACCOUNT_LIMITS] = TEXT_INIT("table of account limits"),
    };
    must((size_t)type < SETTINGS_TYPES);
    return words[type];
}
