/* SPDX-License-Identifier: Apache-2.0 */
/* settings: settings.def has one row for each setting; here is what walks it. A snapshot (struct settings) lives whole
 * in the arena given and is never changed: a reload makes a new one. Parsing a file either gives a snapshot or a list
 * of problems, each with its line, never half of both. A role gets only the rows that it may read (settings_pack); the
 * others come back as their defaults. The file is edited in place with its comments and layout; whoever edits parses
 * the result before writing it. */
#ifndef SETTINGS_SETTINGS_H
#define SETTINGS_SETTINGS_H

#include "mail/mail.h"
#include "settings/network.h"
#include "settings/rows.h"

/* Equal to enum peers_role, which this folder may not include; a test in peers holds them together. */
enum settings_reader {
    SETTINGS_READER_SUPERVISOR = 1 << 0,
    SETTINGS_READER_FRONT = 1 << 1,
    SETTINGS_READER_RELAY = 1 << 2,
    SETTINGS_READER_RESOLVER = 1 << 3,
    SETTINGS_READER_CONTROL = 1 << 4,
    SETTINGS_READER_CONSOLE = 1 << 5,
    SETTINGS_READER_QUEUE = 1 << 6,
    SETTINGS_READER_MAILBOX = 1 << 7,
    SETTINGS_READER_VAULT = 1 << 8,
    SETTINGS_READER_VERIFIER = 1 << 9,
    SETTINGS_READER_LEDGER = 1 << 10,
    SETTINGS_READER_ALL = (1 << 11) - 1,
};

/* The words of choices: enum settings_when_full { SETTINGS_WHEN_FULL_WAIT, SETTINGS_WHEN_FULL_REFUSE,
 * SETTINGS_WHEN_FULL_WORDS } */
#define CHOICES(name)                                                                                                  \
    enum settings_##name                                                                                               \
    {
#define WORD(NAME, WORD_NAME, word) SETTINGS_##NAME##_##WORD_NAME,
#define CHOICES_END(name, NAME)                                                                                        \
    SETTINGS_##NAME##_WORDS                                                                                            \
    }                                                                                                                  \
    ;
#include "settings/choices.def"

struct settings_durations {
    const uint64_t *items; /* milliseconds */
    size_t count;
};

/* What a type of row is in the snapshot. A limit of 0 is no limit where the row says so (may_be_none). */
#define SETTINGS_MEMBER_COUNT uint64_t
#define SETTINGS_MEMBER_DURATION uint64_t /* milliseconds */
#define SETTINGS_MEMBER_SIZE uint64_t     /* octets */
#define SETTINGS_MEMBER_SHARE uint64_t    /* percent */
#define SETTINGS_MEMBER_FLAG bool
#define SETTINGS_MEMBER_CHOICE uint64_t /* a value of the row's enum */
#define SETTINGS_MEMBER_TEXT struct text
#define SETTINGS_MEMBER_DURATIONS struct settings_durations
#define SETTINGS_MEMBER_LISTENS struct settings_listens
#define SETTINGS_MEMBER_CLIENTS struct settings_clients
#define SETTINGS_MEMBER_RESOLVERS struct settings_resolvers
#define SETTINGS_MEMBER_RELAY_HOSTS struct settings_relay_hosts
#define SETTINGS_MEMBER_ROUTES struct settings_routes
#define SETTINGS_MEMBER_REDIRECTS struct settings_redirects
#define SETTINGS_MEMBER_DOMAIN_NUMBERS struct settings_domain_numbers
#define SETTINGS_MEMBER_TLS_RULES struct settings_tls_rules
#define SETTINGS_MEMBER_CERTIFICATES struct settings_certificates
#define SETTINGS_MEMBER_ZONES struct settings_zones
#define SETTINGS_MEMBER_BYPASSES struct settings_bypasses
#define SETTINGS_MEMBER_HELO_FILTERS struct settings_helo_filters
#define SETTINGS_MEMBER_ACCOUNT_LIMITS struct settings_account_limits

/* SETTINGS_KEY_service_thread_cache, ... : a row's place in settings_spec */
enum settings_key {
#define SETTING(section, name, type, ...) SETTINGS_KEY_##section##_##name,
#include "settings/settings.def"
    SETTINGS_KEYS
};

/* settings->service_thread_cache, settings->security_trusted.rows[i], ... */
struct settings {
#define SETTING(section, name, type, ...) SETTINGS_MEMBER_##type section##_##name;
#include "settings/settings.def"
    size_t lines[SETTINGS_KEYS];      /* where the file sets it; 0: it is the default */
    uint32_t withheld[SETTINGS_KEYS]; /* 1: this role may not read it, the value is the default's */
};

enum settings_type {
    SETTINGS_COUNT,
    SETTINGS_DURATION,
    SETTINGS_SIZE,
    SETTINGS_SHARE,
    SETTINGS_FLAG,
    SETTINGS_CHOICE,
    SETTINGS_TEXT,
    SETTINGS_DURATIONS,
    /* tables */
    SETTINGS_LISTENS,
    SETTINGS_CLIENTS,
    SETTINGS_RESOLVERS,
    SETTINGS_RELAY_HOSTS,
    SETTINGS_ROUTES,
    SETTINGS_REDIRECTS,
    SETTINGS_DOMAIN_NUMBERS,
    SETTINGS_TLS_RULES,
    SETTINGS_CERTIFICATES,
    SETTINGS_ZONES,
    SETTINGS_BYPASSES,
    SETTINGS_HELO_FILTERS,
    SETTINGS_ACCOUNT_LIMITS,
    SETTINGS_TYPES,
};

/* What a TEXT must be. */
enum settings_form {
    SETTINGS_FORM_ANY,       /* printable, one line */
    SETTINGS_FORM_HOST_NAME, /* fully qualified */
    SETTINGS_FORM_DOMAIN,
    SETTINGS_FORM_ADDRESS,
    SETTINGS_FORM_LOCAL_PART,
    SETTINGS_FORM_ENDPOINT, /* address:port */
};

/* How a default is made when it is not a constant. A default derived from an unlimited value is unlimited. */
enum settings_derived {
    SETTINGS_DERIVED_NOT,
    SETTINGS_DERIVED_MACHINE_NAME,  /* the machine's fully qualified name */
    SETTINGS_DERIVED_FIRST_DOMAIN,  /* the first domain of the vault */
    SETTINGS_DERIVED_AT_PRIMARY,    /* default_text @ primary_domain; empty while there is none */
    SETTINGS_DERIVED_TWICE_MAXIMUM, /* 2 x delivery.max_message_size */
};

/* How a value looks under its alias. */
enum settings_alias_unit {
    SETTINGS_ALIAS_PLAIN, /* numbers as they are (sizes in bytes), flags 0/1, texts as they are */
    SETTINGS_ALIAS_SECONDS,
    SETTINGS_ALIAS_MINUTES,
    SETTINGS_ALIAS_HOURS,
    SETTINGS_ALIAS_DAYS,
    SETTINGS_ALIAS_KILOBYTES,
    SETTINGS_ALIAS_INVERSE,    /* flag: 1 = no */
    SETTINGS_ALIAS_FIRST_IS_1, /* choice of two: 1 = the first word, 0 = the second (delivery mode 1 = DNS) */
    SETTINGS_ALIAS_SWITCH,     /* choice: 0 = the first word (off), 1 = alias_on */
    SETTINGS_ALIAS_LIST,       /* table: rows joined by ";" */
};

enum settings_language {
    SETTINGS_ENGLISH,
    SETTINGS_ITALIAN,
};

struct settings_spec {
    struct text key; /* "service.thread_cache" */
    struct text section, name;
    enum settings_type type;
    size_t offset;            /* of the member in struct settings */
    struct text default_text; /* as in the file; a table's rows are parted by "\n" */
    enum settings_derived derived;
    struct text guide_text;                /* what the guide recommends, as in the file; empty: no advice */
    bool guide_at_most, guide_at_least;    /* as good as the guide when below / above its value */
    struct text guide_note, guide_note_it; /* the guide's advice that is no value */
    uint64_t minimum, maximum;             /* in the unit of the type; maximum 0: none */
    bool may_be_none;                      /* 0 or "none": no limit, or off */
    bool may_be_empty;                     /* TEXT */
    enum settings_form form;
    const struct text *words; /* CHOICE */
    size_t word_count;
    unsigned refused_kinds;         /* BYPASSES: bits 1 << kind that can't be known yet where the feature decides */
    struct text label_en, label_it; /* label_it: the guide's, exactly, where it has one */
    struct text tab_en, tab_it;
    struct text help_en, help_it;
    struct text alias; /* the product's variable, where its name is known in full */
    enum settings_alias_unit alias_unit;
    uint64_t alias_on;       /* SWITCH: which word 1 means */
    unsigned readers;        /* of enum settings_reader; the supervisor reads all */
    unsigned secret_readers; /* not 0: rows may hold a log-in, which only these get and which is never shown */
    bool built;              /* false: anything but the default is refused with "not built yet" */
};

/* What the caller knows of the machine and its domains; texts may be empty. */
struct settings_machine {
    struct text fqdn;
    struct text first_domain;
};

struct settings_problem {
    size_t line;     /* 0: the file as a whole */
    struct text key; /* may be empty */
    struct text message;
};

/* Grows in its arena up to a limit; the first 100 problems are kept and all are counted. */
struct settings_problems {
    struct arena *arena;
    struct settings_problem items[100];
    size_t count; /* kept */
    size_t total;
};

/* --- the table --- */
const struct settings_spec *settings_spec(enum settings_key key);
enum settings_key settings_key_of(const struct settings_spec *spec);
bool settings_is_table(const struct settings_spec *spec);
unsigned settings_place(const struct settings_spec *spec); /* in its tab, from 1 */
bool settings_may_read(const struct settings_spec *spec, enum settings_reader reader);
/* By key ("service.thread_cache"), by its name alone when one section or [service] has it ("thread_cache"), or by
 * alias; any case. */
const struct settings_spec *settings_find(struct text name);
bool settings_name_is_alias(const struct settings_spec *spec, struct text name);
/* The key nearest in spelling, or NULL when nothing is near. */
const struct settings_spec *settings_nearest(struct text name);
struct text settings_type_word(enum settings_type type);

/* --- snapshots --- */
/* false: over the arena's limit. */
must_check bool settings_new_default(struct arena *arena, const struct settings_machine *machine,
                                     const struct settings **ret_settings);
/* false: at least one problem was added, and there is no snapshot. */
must_check bool settings_parse(struct arena *arena, struct text file, const struct settings_machine *machine,
                               struct settings_problems *problems, const struct settings **ret_settings);
void settings_problem_append(struct buffer *b, struct text file_name, const struct settings_problem *problem);

/* --- values --- */
/* Canonical text, as the file would have it; a table's rows one a line with their comments. Secrets are written "***"
 * unless with_secrets. */
void settings_value_text(const struct settings *s, const struct settings_spec *spec, bool with_secrets,
                         struct buffer *b);
bool settings_is_default(const struct settings *s, const struct settings_spec *spec);
/* The rows of a table as they were written. */
size_t settings_row_count(const struct settings *s, const struct settings_spec *spec);
const struct settings_row *settings_row_at(const struct settings *s, const struct settings_spec *spec, size_t index);
/* The value in the alias's unit; false when the row has no alias. */
must_check bool settings_alias_text(const struct settings *s, const struct settings_spec *spec, bool with_secrets,
                                    struct buffer *b);
/* From the alias's unit to what stands in the file; false with a message when it is no value of that variable. A
 * table's rows come one a line. */
must_check bool settings_alias_value(const struct settings_spec *spec, struct text value, struct buffer *b,
                                     const char **ret_message);

/* One row of [table service.listen], as the supervisor hands it to front with the socket. Its texts are those of row.
 */
must_check bool settings_listen_parse(struct text row, struct settings_listen *ret_listen);

/* --- questions that several stages ask --- */
bool settings_clients_contain(const struct settings_clients *clients, const struct network_address *address);
/* By its networks alone; rows with host names and "self" need look-ups of the caller. */
bool settings_trusts(const struct settings *s, const struct network_address *address);
/* domain equals mask, or mask is "*.x" and domain lies below x; ASCII case is ignored, both as A-labels. */
bool settings_domain_matches(struct text mask, struct text domain);

/* --- passwords in files of their own: "file:NAME" in a log-in --- */
struct settings_secret {
    const struct settings_spec *spec;
    const struct settings_row *row;
    struct text file;    /* its name, as the row says it */
    struct text content; /* TEXT_NONE until somebody has read it */
};
struct settings_secrets {
    const struct settings_secret *items; /* in the order of the walk */
    size_t count;
};
/* The next row from *place on whose password stands in a file; *place is set behind it. false at the end. */
bool settings_secret_next(const struct settings *s, size_t *place, struct settings_secret *ret_secret);

/* --- between processes --- */
/* false: the buffer is full. */
must_check bool settings_pack(struct buffer *b, const struct settings *s, enum settings_reader reader);
/* The same; who may see a row's log-in gets its password in the place of "file:NAME". */
must_check bool settings_pack_with_secrets(struct buffer *b, const struct settings *s,
                                           const struct settings_secrets *secrets, enum settings_reader reader);
/* false: damaged, or over the arena's limit. */
must_check bool settings_unpack(struct arena *arena, struct text octets, const struct settings **ret_settings);
/* Equal in every value and row (comments too); a walk. */
bool settings_equals(const struct settings *a, const struct settings *b);

/* --- the file, edited --- */
enum settings_edit_result {
    SETTINGS_EDIT_DONE,
    SETTINGS_EDIT_NOTHING,    /* it stood so already; out holds the file unchanged */
    SETTINGS_EDIT_NOT_SINGLE, /* it is a table: use the row functions */
    SETTINGS_EDIT_NOT_TABLE,
    SETTINGS_EDIT_BAD_VALUE, /* a line break, or a "#" that would become a comment */
    SETTINGS_EDIT_FULL,      /* out is full */
};
must_check enum settings_edit_result settings_edit_set(struct text file, const struct settings_spec *spec,
                                                       struct text value, struct buffer *out);
/* Takes the key, or the whole table, out of the file: it has its default again. */
must_check enum settings_edit_result settings_edit_unset(struct text file, const struct settings_spec *spec,
                                                         struct buffer *out);
/* Adds the row at the end of its table. A table that the file does not have is begun with the rows that hold now
 * (current). */
must_check enum settings_edit_result settings_edit_row_add(struct text file, const struct settings_spec *spec,
                                                           const struct settings *current, struct text row,
                                                           struct text comment, struct buffer *out);
/* row may also be as it is shown, with *** for its password. */
must_check enum settings_edit_result settings_edit_row_remove(struct text file, const struct settings_spec *spec,
                                                              const struct settings *current, struct text row,
                                                              struct buffer *out);
/* Replaces all rows ("\n" between them). */
must_check enum settings_edit_result settings_edit_rows(struct text file, const struct settings_spec *spec,
                                                        struct text rows, struct buffer *out);
struct text settings_edit_result_text(enum settings_edit_result result);

/* --- words --- */
/* The first row from *place on in which the two differ; *place is set behind it. NULL at the end. */
const struct settings_spec *settings_diff_next(const struct settings *a, const struct settings *b, size_t *place);
/* The same walk for rows whose guide value differs from the running one (for the audit). */
const struct settings_spec *settings_audit_next(const struct settings *s, size_t *place);
bool settings_is_as_guide(const struct settings *s,
                          const struct settings_spec *spec); /* true where the guide has no value */
void settings_explain(const struct settings *s, const struct settings_spec *spec, enum settings_language language,
                      struct buffer *b);
/* portiere.conf(5) in roff. */
void settings_as_manual(struct buffer *b);
/* A commented portiere.conf with every section, key and default. */
void settings_as_example(struct buffer *b);

#endif
