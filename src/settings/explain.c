/* SPDX-License-Identifier: Apache-2.0 */
/* A setting in words, for one reader, in his language. */
#include "settings/value.h"

struct words {
    struct text english, italian;
};

enum phrase {
    PHRASE_SET_IN_LINE,
    PHRASE_IS_DEFAULT,
    PHRASE_DEFAULT,
    PHRASE_GUIDE,
    PHRASE_GUIDE_SAYS,
    PHRASE_AS_GUIDE,
    PHRASE_NOT_AS_GUIDE,
    PHRASE_PLACE,
    PHRASE_TYPE,
    PHRASE_READERS,
    PHRASE_SECRETS,
    PHRASE_ALIAS,
    PHRASE_NOT_BUILT,
    PHRASE_WITHHELD,
    PHRASE_EMPTY,
    PHRASES,
};

static struct text phrase(enum phrase which, enum settings_language language)
{
    static const struct words phrases[PHRASES] = {
        [PHRASE_SET_IN_LINE] = {.english = TEXT_INIT("set in line "), .italian = TEXT_INIT("impostato alla riga ")},
        [PHRASE_IS_DEFAULT] = {.english = TEXT_INIT("the default"), .italian = TEXT_INIT("valore predefinito")},
        [PHRASE_DEFAULT] = {.english = TEXT_INIT("default:"), .italian = TEXT_INIT("predefinito:")},
        [PHRASE_GUIDE] = {.english = TEXT_INIT("the guide recommends:"), .italian = TEXT_INIT("la guida consiglia:")},
        [PHRASE_GUIDE_SAYS] = {.english = TEXT_INIT("the guide says: "), .italian = TEXT_INIT("la guida dice: ")},
        [PHRASE_AS_GUIDE] = {.english = TEXT_INIT(" (so it is)"), .italian = TEXT_INIT(" (così è)")},
        [PHRASE_NOT_AS_GUIDE] = {.english = TEXT_INIT(" (it is not so)"), .italian = TEXT_INIT(" (non è così)")},
        [PHRASE_PLACE] = {.english = TEXT_INIT(", place "), .italian = TEXT_INIT(", posto ")},
        [PHRASE_TYPE] = {.english = TEXT_INIT("type: "), .italian = TEXT_INIT("tipo: ")},
        [PHRASE_READERS] = {.english = TEXT_INIT("read by: supervisor"), .italian = TEXT_INIT("letto da: supervisor")},
        [PHRASE_SECRETS] = {.english = TEXT_INIT("; log-ins only by:"), .italian = TEXT_INIT("; credenziali solo da:")},
        [PHRASE_ALIAS] = {.english = TEXT_INIT("also named: "), .italian = TEXT_INIT("detto anche: ")},
        [PHRASE_NOT_BUILT] = {.english = TEXT_INIT("not built yet: only its default is taken"),
                              .italian = TEXT_INIT("non ancora realizzato: accetta solo il valore predefinito")},
        [PHRASE_WITHHELD] = {.english = TEXT_INIT("this process may not read it"),
                             .italian = TEXT_INIT("questo processo non può leggerlo")},
        [PHRASE_EMPTY] = {.english = TEXT_INIT("(empty)"), .italian = TEXT_INIT("(vuoto)")},
    };
    return language == SETTINGS_ITALIAN ? phrases[which].italian : phrases[which].english;
}

static void append_readers(struct buffer *b, unsigned readers)
{
    static const struct {
        enum settings_reader reader;
        struct text word;
    } rows[] = {
        {.reader = SETTINGS_READER_FRONT, .word = TEXT_INIT(" front")},
        {.reader = SETTINGS_READER_RELAY, .word = TEXT_INIT(" relay")},
        {.reader = SETTINGS_READER_RESOLVER, .word = TEXT_INIT(" resolver")},
        {.reader = SETTINGS_READER_CONTROL, .word = TEXT_INIT(" control")},
        {.reader = SETTINGS_READER_CONSOLE, .word = TEXT_INIT(" console")},
        {.reader = SETTINGS_READER_QUEUE, .word = TEXT_INIT(" queue")},
        {.reader = SETTINGS_READER_MAILBOX, .word = TEXT_INIT(" mailbox")},
        {.reader = SETTINGS_READER_VAULT, .word = TEXT_INIT(" vault")},
        {.reader = SETTINGS_READER_VERIFIER, .word = TEXT_INIT(" verifier")},
        {.reader = SETTINGS_READER_LEDGER, .word = TEXT_INIT(" ledger")},
    };
    for (size_t i = 0; i < length_of(rows); i++)
        if (readers & (unsigned)rows[i].reader)
            buffer_append(b, rows[i].word);
}

/* After a blank; values of tables stand below one another. */
static void append_value(struct buffer *b, struct text value, enum settings_language language)
{
    if (text_is_empty(value)) {
        buffer_append_octet(b, ' ');
        buffer_append(b, phrase(PHRASE_EMPTY, language));
        return;
    }
    if (!text_has_octet(value, '\n')) {
        buffer_append_octet(b, ' ');
        buffer_append(b, value);
        return;
    }
    while (!text_is_empty(value)) {
        buffer_append(b, TEXT("\n    "));
        buffer_append(b, text_take_until(&value, '\n'));
    }
}

void settings_default_append(const struct settings_spec *spec, enum settings_language language, struct buffer *b)
{
    static const struct words derived[] = {
        [SETTINGS_DERIVED_NOT] = {.english = TEXT_INIT(""), .italian = TEXT_INIT("")},
        [SETTINGS_DERIVED_MACHINE_NAME] = {.english = TEXT_INIT("the machine's fully qualified name"),
                                           .italian = TEXT_INIT("il nome completo della macchina")},
        [SETTINGS_DERIVED_FIRST_DOMAIN] = {.english = TEXT_INIT("the first domain added"),
                                           .italian = TEXT_INIT("il primo dominio aggiunto")},
        [SETTINGS_DERIVED_AT_PRIMARY] = {.english = TEXT_INIT("@ the primary domain"),
                                         .italian = TEXT_INIT("@ il dominio primario")},
        [SETTINGS_DERIVED_TWICE_MAXIMUM] = {.english = TEXT_INIT("2 x delivery.max_message_size"),
                                            .italian = TEXT_INIT("2 x delivery.max_message_size")},
    };
    if (spec->derived == SETTINGS_DERIVED_NOT) {
        append_value(b, spec->default_text, language);
        return;
    }
    buffer_append_octet(b, ' ');
    buffer_append(b, spec->default_text);
    buffer_append(b, language == SETTINGS_ITALIAN ? derived[spec->derived].italian : derived[spec->derived].english);
}

static void append_heading(const struct settings *s, const struct settings_spec *spec, enum settings_language language,
                           struct buffer *b)
{
    size_t line = s->lines[settings_key_of(spec)];
    struct buffer value = buffer_new(b->limit);
    settings_value_text(s, spec, false, &value);
    buffer_append(b, spec->key);
    buffer_append(b, TEXT(" ="));
    append_value(b, s->withheld[settings_key_of(spec)] ? phrase(PHRASE_WITHHELD, language) : buffer_text(&value),
                 language);
    buffer_done(&value);
    buffer_append(b, TEXT("\n  "));
    buffer_append(b, phrase(line == 0 ? PHRASE_IS_DEFAULT : PHRASE_SET_IN_LINE, language));
    if (line != 0)
        buffer_append_number(b, line);
    buffer_append(b, TEXT("\n  "));
    buffer_append(b, language == SETTINGS_ITALIAN ? spec->label_it : spec->label_en);
    buffer_append(b, TEXT(" ("));
    buffer_append(b, language == SETTINGS_ITALIAN ? spec->tab_it : spec->tab_en);
    buffer_append(b, phrase(PHRASE_PLACE, language));
    buffer_append_number(b, settings_place(spec));
    buffer_append(b, TEXT(")\n  "));
    buffer_append(b, language == SETTINGS_ITALIAN ? spec->help_it : spec->help_en);
    buffer_append_octet(b, '\n');
}

static void append_guide(const struct settings *s, const struct settings_spec *spec, enum settings_language language,
                         struct buffer *b)
{
    if (!text_is_empty(spec->guide_text)) {
        buffer_append(b, TEXT("  "));
        buffer_append(b, phrase(PHRASE_GUIDE, language));
        append_value(b, spec->guide_text, language);
        buffer_append(b, phrase(settings_is_as_guide(s, spec) ? PHRASE_AS_GUIDE : PHRASE_NOT_AS_GUIDE, language));
        buffer_append_octet(b, '\n');
    }
    if (text_is_empty(spec->guide_note))
        return;
    buffer_append(b, TEXT("  "));
    buffer_append(b, phrase(PHRASE_GUIDE_SAYS, language));
    buffer_append(b, language == SETTINGS_ITALIAN ? spec->guide_note_it : spec->guide_note);
    buffer_append_octet(b, '\n');
}

static struct text type_word(enum settings_type type, enum settings_language language)
{
    static const struct text italian[SETTINGS_TYPES] = {
        [SETTINGS_COUNT] = TEXT_INIT("numero"),
        [SETTINGS_DURATION] = TEXT_INIT("durata"),
        [SETTINGS_SIZE] = TEXT_INIT("dimensione"),
        [SETTINGS_SHARE] = TEXT_INIT("percentuale"),
        [SETTINGS_FLAG] = TEXT_INIT("yes o no"),
        [SETTINGS_CHOICE] = TEXT_INIT("scelta"),
        [SETTINGS_TEXT] = TEXT_INIT("testo"),
        [SETTINGS_DURATIONS] = TEXT_INIT("elenco di durate"),
        [SETTINGS_LISTENS] = TEXT_INIT("tabella di porte di ascolto"),
        [SETTINGS_CLIENTS] = TEXT_INIT("tabella di client"),
        [SETTINGS_RESOLVERS] = TEXT_INIT("tabella di server DNS"),
        [SETTINGS_RELAY_HOSTS] = TEXT_INIT("tabella di server di inoltro"),
        [SETTINGS_ROUTES] = TEXT_INIT("tabella di instradamento"),
        [SETTINGS_REDIRECTS] = TEXT_INIT("tabella di reindirizzamenti"),
        [SETTINGS_DOMAIN_NUMBERS] = TEXT_INIT("tabella di domini e numeri"),
        [SETTINGS_TLS_RULES] = TEXT_INIT("tabella di domini e livelli TLS"),
        [SETTINGS_CERTIFICATES] = TEXT_INIT("tabella di certificati"),
        [SETTINGS_ZONES] = TEXT_INIT("tabella di liste DNS"),
        [SETTINGS_BYPASSES] = TEXT_INIT("tabella di esenzioni"),
        [SETTINGS_HELO_FILTERS] = TEXT_INIT("tabella di filtri HELO"),
        [SETTINGS_ACCOUNT_LIMITS] = TEXT_INIT("tabella di limiti degli account"),
    };
    return language == SETTINGS_ITALIAN ? italian[type] : settings_type_word(type);
}

static void append_words(const struct settings_spec *spec, enum settings_language language, struct buffer *b)
{
    if (spec->type != SETTINGS_CHOICE)
        buffer_append(b, type_word(spec->type, language));
    for (size_t i = 0; i < spec->word_count; i++) {
        if (i > 0)
            buffer_append(b, TEXT(" | "));
        buffer_append(b, spec->words[i]);
    }
}

void settings_explain(const struct settings *s, const struct settings_spec *spec, enum settings_language language,
                      struct buffer *b)
{
    append_heading(s, spec, language, b);
    buffer_append(b, TEXT("  "));
    buffer_append(b, phrase(PHRASE_DEFAULT, language));
    settings_default_append(spec, language, b);
    buffer_append_octet(b, '\n');
    append_guide(s, spec, language, b);
    buffer_append(b, TEXT("  "));
    buffer_append(b, phrase(PHRASE_TYPE, language));
    append_words(spec, language, b);
    buffer_append(b, TEXT("\n  "));
    buffer_append(b, phrase(PHRASE_READERS, language));
    append_readers(b, spec->readers);
    if (spec->secret_readers != 0) {
        buffer_append(b, phrase(PHRASE_SECRETS, language));
        append_readers(b, spec->secret_readers);
    }
    buffer_append_octet(b, '\n');
    if (!text_is_empty(spec->alias)) {
        buffer_append(b, TEXT("  "));
        buffer_append(b, phrase(PHRASE_ALIAS, language));
        buffer_append(b, spec->alias);
        buffer_append(b, TEXT(" = "));
        ignored(settings_alias_text(s, spec, false, b)); /* it has an alias */
        buffer_append_octet(b, '\n');
    }
    if (spec->built)
        return;
    buffer_append(b, TEXT("  "));
    buffer_append(b, phrase(PHRASE_NOT_BUILT, language));
    buffer_append_octet(b, '\n');
}
