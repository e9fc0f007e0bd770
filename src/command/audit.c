/* SPDX-License-Identifier: Apache-2.0 */
#include "command/audit.h"

#include "mail/facts.h"
#include "system/system.h"

enum severity { SEVERITY_LOW, SEVERITY_MEDIUM, SEVERITY_HIGH, SEVERITIES };
enum { ROWS_LIMIT = 256, CERTIFICATE_SOON_DAYS = 14 };

struct status_row {
    const struct text *fields;
    size_t count;
};

struct audit {
    struct command_session *session;
    const struct settings *settings;
    bool is_running;
    struct status_row rows[ROWS_LIMIT]; /* of `status` */
    size_t row_count;
    struct text check; /* the one that is being made */
    size_t findings;
    bool is_read; /* somebody still reads */
};

static const struct text severity_words[SEVERITIES] = {
    [SEVERITY_LOW] = TEXT_INIT("low"), [SEVERITY_MEDIUM] = TEXT_INIT("medium"), [SEVERITY_HIGH] = TEXT_INIT("high")};

struct said {
    enum command_word word;
    struct text first, second;
};

static void finding(struct audit *a, enum severity severity, struct said evidence, struct said remedy)
{
    enum settings_language language = a->session->call.language;
    struct buffer seen released_by(buffer_done) = buffer_new(1 << 16), mend released_by(buffer_done) = buffer_new(1 << 16);
    command_word_append(&seen, evidence.word, language, evidence.first, evidence.second);
    command_word_append(&mend, remedy.word, language, remedy.first, remedy.second);
    struct text row[] = {TEXT("check"), a->check, TEXT("severity"), severity_words[severity], TEXT("evidence"), buffer_text(&seen), TEXT("remedy"), buffer_text(&mend)};
    a->findings++;
    a->is_read = command_answer(a->session, row, length_of(row));
}

static struct text field_of(const struct status_row *row, struct text name)
{
    for (size_t i = 0; i + 1 < row->count; i += 2)
        if (text_equals(row->fields[i], name))
            return row->fields[i + 1];
    return TEXT_NONE;
}

/* --- the checks -------------------------------------------------------------------------------------------------------------------------- */

static void check_guide(struct audit *a)
{
    const struct settings_spec *spec;
    for (size_t place = 0; (spec = settings_audit_next(a->settings, &place)) != NULL;) {
        struct buffer value released_by(buffer_done) = buffer_new(1 << 16), is released_by(buffer_done) = buffer_new(1 << 16);
        settings_value_text(a->settings, spec, false, &value);
        ignored(buffer_append_format(&is, "%.*s = %.*s", TEXT_ARGUMENTS(spec->key), TEXT_ARGUMENTS(buffer_text(&value)))); /* for a message */
        finding(a, SEVERITY_MEDIUM, (struct said){COMMAND_WORD_AUDIT_GUIDE, buffer_text(&is), spec->guide_text},
                (struct said){COMMAND_WORD_AUDIT_GUIDE_REMEDY, spec->key, spec->guide_text});
    }
}

static void check_backlog(struct audit *a)
{
    struct buffer most released_by(buffer_done) = buffer_new(64), wanted released_by(buffer_done) = buffer_new(24);
    uint64_t allowed;
    if (file_read_whole(-1, TEXT("/proc/sys/net/core/somaxconn"), &most) != 0 || !text_number(text_trimmed(buffer_text(&most)), UINT32_MAX, &allowed) ||
        a->settings->service_backlog <= allowed)
        return;
    ignored(buffer_append_number(&wanted, a->settings->service_backlog)); /* fits */
    finding(a, SEVERITY_LOW, (struct said){COMMAND_WORD_AUDIT_BACKLOG, buffer_text(&wanted), text_trimmed(buffer_text(&most))},
            (struct said){COMMAND_WORD_AUDIT_BACKLOG_REMEDY, buffer_text(&wanted), TEXT_NONE});
}

/* The supervisor's rows name its children; what they say of themselves is not asked about their own locks. */
static void check_sandbox(struct audit *a)
{
    for (size_t i = 0; i < a->row_count; i++) {
        struct text role = field_of(&a->rows[i], TEXT("child"));
        if (role.length == 0 || !text_equals(field_of(&a->rows[i], TEXT("state")), TEXT("ready")))
            continue;
        if (text_equals(field_of(&a->rows[i], TEXT("landlock")), TEXT("0")))
            finding(a, SEVERITY_HIGH, (struct said){COMMAND_WORD_AUDIT_LANDLOCK, role, TEXT_NONE},
                    (struct said){COMMAND_WORD_AUDIT_LANDLOCK_REMEDY, TEXT_NONE, TEXT_NONE});
        if (!text_equals(field_of(&a->rows[i], TEXT("seccomp")), TEXT("yes")))
            finding(a, SEVERITY_HIGH, (struct said){COMMAND_WORD_AUDIT_SECCOMP, role, TEXT_NONE},
                    (struct said){COMMAND_WORD_AUDIT_SECCOMP_REMEDY, TEXT_NONE, TEXT_NONE});
    }
}

static void check_roles(struct audit *a)
{
    for (size_t i = 0; i < a->row_count; i++) {
        struct text role = field_of(&a->rows[i], TEXT("child")), state = field_of(&a->rows[i], TEXT("state"));
        if (role.length && !text_equals(state, TEXT("ready")))
            finding(a, SEVERITY_HIGH, (struct said){COMMAND_WORD_AUDIT_ROLE, role, state}, (struct said){COMMAND_WORD_AUDIT_ROLE_REMEDY, TEXT_NONE, TEXT_NONE});
    }
}

/* Front tells the days that are left of the one that ends first: "none" without any, below zero when it has ended. */
static void check_certificate(struct audit *a)
{
    for (size_t i = 0; i < a->row_count; i++) {
        struct text days = field_of(&a->rows[i], TEXT("certificate_days"));
        bool is_absent = text_equals(days, TEXT("none")), has_ended = text_starts_with(days, TEXT("-"));
        uint64_t left = CERTIFICATE_SOON_DAYS;
        bool is_good = !is_absent && !has_ended && (!text_number(days, UINT32_MAX, &left) || left >= CERTIFICATE_SOON_DAYS);
        if (is_good)
            continue;
        finding(a, is_absent || has_ended ? SEVERITY_HIGH : SEVERITY_MEDIUM,
                (struct said){is_absent ? COMMAND_WORD_AUDIT_NO_CERTIFICATE : COMMAND_WORD_AUDIT_CERTIFICATE, days, TEXT_NONE},
                (struct said){is_absent ? COMMAND_WORD_AUDIT_NO_CERTIFICATE_REMEDY : COMMAND_WORD_AUDIT_CERTIFICATE_REMEDY, TEXT_NONE, TEXT_NONE});
    }
}

static void check_listeners(struct audit *a)
{
    bool has_submission = false;
    for (size_t i = 0; i < a->settings->service_listen.count; i++) {
        const struct settings_listen *listen = &a->settings->service_listen.rows[i];
        has_submission |= listen->role == SETTINGS_LISTEN_SUBMISSION || listen->role == SETTINGS_LISTEN_SUBMISSIONS;
        if (listen->role == SETTINGS_LISTEN_SMTP && listen->offers_auth)
            finding(a, SEVERITY_LOW, (struct said){COMMAND_WORD_AUDIT_AUTH_ON_SMTP, listen->row.text, TEXT_NONE},
                    (struct said){COMMAND_WORD_AUDIT_AUTH_ON_SMTP_REMEDY, TEXT_NONE, TEXT_NONE});
        if (listen->is_lenient)
            finding(a, SEVERITY_MEDIUM, (struct said){COMMAND_WORD_AUDIT_LENIENT, listen->row.text, TEXT_NONE},
                    (struct said){COMMAND_WORD_AUDIT_LENIENT_REMEDY, TEXT_NONE, TEXT_NONE});
    }
    if (!has_submission)
        finding(a, SEVERITY_MEDIUM, (struct said){COMMAND_WORD_AUDIT_NO_SUBMISSION, TEXT_NONE, TEXT_NONE},
                (struct said){COMMAND_WORD_AUDIT_NO_SUBMISSION_REMEDY, TEXT_NONE, TEXT_NONE});
}

static bool take_kind(void *context, const struct text *fields, size_t count)
{
    uint64_t kind;
    for (size_t i = 0; i + 1 < count; i += 2)
        if (text_equals(fields[i], TEXT("kind")) && text_number(fields[i + 1], MAIL_ADDRESS_KINDS - 1, &kind))
            *(enum mail_address_kind *)context = (enum mail_address_kind)kind;
    return true;
}

static void check_bad_mail(struct audit *a)
{
    struct text address = a->settings->delivery_bad_mail;
    struct said remedy = {COMMAND_WORD_AUDIT_BAD_MAIL_REMEDY, a->settings->service_primary_domain, TEXT_NONE};
    enum mail_address_kind kind = MAIL_ADDRESS_UNKNOWN_YET;
    if (address.length == 0) {
        finding(a, SEVERITY_MEDIUM, (struct said){COMMAND_WORD_AUDIT_BAD_MAIL_NONE, TEXT_NONE, TEXT_NONE}, remedy);
        return;
    }
    bool is_postmaster = text_starts_with_ignoring_case(address, TEXT("postmaster@"));
    if (is_postmaster || text_equals_ignoring_case(address, a->settings->service_administrator)) {
        finding(a, SEVERITY_MEDIUM, (struct said){COMMAND_WORD_AUDIT_BAD_MAIL_ADMINISTRATOR, address, TEXT_NONE}, remedy);
        return;
    }
    if (!a->is_running)
        return;
    struct text ask[] = {TEXT("address"), address};
    enum command_exit exit = command_put(a->session, command_row(COMMAND_address_kinds), ask, length_of(ask), take_kind, &kind);
    if (exit == COMMAND_EXIT_DONE && (kind == MAIL_ADDRESS_LOCAL_NOBODY || kind == MAIL_ADDRESS_FOREIGN))
        finding(a, SEVERITY_HIGH, (struct said){COMMAND_WORD_AUDIT_BAD_MAIL_NOBODY, address, TEXT_NONE}, remedy);
}

static void check_trusted(struct audit *a)
{
    for (size_t i = 0; i < a->settings->security_trusted.count; i++) {
        const struct settings_client *client = &a->settings->security_trusted.rows[i];
        if (client->kind == SETTINGS_CLIENT_NETWORK && !network_is_single(&client->network) && !network_is_loopback(&client->network))
            finding(a, SEVERITY_HIGH, (struct said){COMMAND_WORD_AUDIT_TRUSTED, client->row.text, TEXT_NONE},
                    (struct said){COMMAND_WORD_AUDIT_TRUSTED_REMEDY, TEXT_NONE, TEXT_NONE});
    }
}

static const struct {
    struct text name;
    void (*check)(struct audit *a);
    bool needs_server;
} checks[] = {
    {.name = TEXT_INIT("roles"), .check = check_roles, .needs_server = true},
    {.name = TEXT_INIT("sandbox"), .check = check_sandbox, .needs_server = true},
    {.name = TEXT_INIT("certificate"), .check = check_certificate, .needs_server = true},
    {.name = TEXT_INIT("listeners"), .check = check_listeners},
    {.name = TEXT_INIT("trusted"), .check = check_trusted},
    {.name = TEXT_INIT("bad-mail"), .check = check_bad_mail},
    {.name = TEXT_INIT("guide"), .check = check_guide},
    {.name = TEXT_INIT("backlog"), .check = check_backlog},
};

/* ------------------------------------------------------------------------------------------------------------------------------------------ */

static bool take_status(void *context, const struct text *fields, size_t count)
{
    struct audit *a = context;
    struct text *kept = arena_take_array(&a->session->arena, count, sizeof *kept);
    if (a->row_count == ROWS_LIMIT || !kept)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!arena_copy(&a->session->arena, fields[i], &kept[i]))
            return false;
    a->rows[a->row_count++] = (struct status_row){.fields = kept, .count = count};
    return true;
}

enum command_exit command_audit(struct command_session *s)
{
    struct audit *a = arena_take(&s->arena, sizeof *a);
    enum command_exit exit = COMMAND_EXIT_FAILED;
    must(a != NULL);
    a->session = s;
    a->is_read = true;
    a->settings = command_running(s);
    a->is_running = a->settings != NULL;
    if (!a->is_running)
        a->settings = command_settings(s, &exit);
    if (!a->settings)
        return exit;
    if (a->is_running) {
        exit = command_put(s, command_row(COMMAND_status), NULL, 0, take_status, a);
        if (exit != COMMAND_EXIT_DONE)
            return exit;
    }
    for (size_t i = 0; i < length_of(checks) && a->is_read; i++) {
        a->check = checks[i].name;
        if (a->is_running || !checks[i].needs_server)
            checks[i].check(a);
    }
    return a->findings ? COMMAND_EXIT_FINDINGS : COMMAND_EXIT_DONE;
}
