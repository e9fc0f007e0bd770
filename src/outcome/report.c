/* SPDX-License-Identifier: Apache-2.0 */
/* report: multipart/report of RFC 6522 with the fields of RFC 3464; addresses that are not ASCII as RFC 6533 has them.
 */
#include "outcome/private.h"

enum { BOUNDARY_LIMIT = 70 };

static void append_name(struct buffer *b, struct text name)
{
    buffer_append(b, name);
    buffer_append(b, TEXT(": "));
}

static void append_field(struct buffer *b, struct text name, struct text value)
{
    append_name(b, name);
    buffer_append(b, value);
    buffer_append(b, TEXT("\r\n"));
}

static void append_date(struct buffer *b, struct text name, int64_t wall_ms)
{
    append_name(b, name);
    moment_append_mail_date(b, wall_ms);
    buffer_append(b, TEXT("\r\n"));
}

bool outcome_is_global(const struct outcome_report *report)
{
    bool is_global = !address_is_ascii(&report->envelope->sender);
    for (size_t i = 0; i < report->recipient_count; i++) {
        const struct envelope_recipient *r = report->recipients[i].recipient;
        is_global |= !address_is_ascii(&r->address) || !utf8_is_ascii(r->original);
    }
    return is_global;
}

/* --- the message's own header ----------------------------------------------------------------------------------- */

static void append_sender(struct buffer *b, const struct settings *s)
{
    struct text domain = s->service_primary_domain.length ? s->service_primary_domain : s->service_hostname;
    buffer_append(b, TEXT("From: "));
    if (s->delivery_report_name.length) {
        header_append_phrase(b, s->delivery_report_name);
        buffer_append_octet(b, ' ');
    }
    buffer_append_octet(b, '<');
    buffer_append(b, s->delivery_report_alias);
    buffer_append_octet(b, '@');
    buffer_append(b, domain);
    buffer_append(b, TEXT(">\r\n"));
}

/* The Message-ID as it may be repeated: one word in angle brackets. */
static struct text message_id(struct text header)
{
    struct header_field field;
    while (header_take_field(&header, &field)) {
        if (!text_equals_ignoring_case(field.name, TEXT("Message-ID")))
            continue;
        struct text value = text_trimmed(field.value);
        if (value.length < 3 || value.length > 250 || value.bytes[0] != '<' || value.bytes[value.length - 1] != '>')
            return TEXT_NONE;
        for (size_t i = 0; i < value.length; i++)
            if (value.bytes[i] <= ' ' || value.bytes[i] > '~')
                return TEXT_NONE;
        return value;
    }
    return TEXT_NONE;
}

static void append_references(struct buffer *b, const struct outcome_report *report)
{
    struct buffer header released_by(buffer_done) = buffer_new(outcome_original_limit(report) + (1 << 20));
    outcome_read_header(&header, report);
    struct text id = message_id(buffer_text(&header));
    if (id.length == 0)
        return;
    append_field(b, TEXT("In-Reply-To"), id);
    append_field(b, TEXT("References"), id);
}

static void append_header(struct buffer *b, const struct outcome_report *report, struct text boundary)
{
    const struct settings *s = report->settings;
    append_date(b, TEXT("Date"), report->now_ms);
    append_sender(b, s);
    buffer_append(b, TEXT("To: <"));
    address_append(b, &report->envelope->sender);
    buffer_append(b, TEXT(">\r\n"));
    append_field(b, TEXT("Subject"), outcome_subject(report->kind));
    buffer_append(b, TEXT("Message-ID: <"));
    buffer_append(b, report->report_id);
    buffer_append_octet(b, '@');
    buffer_append(b, s->service_hostname);
    buffer_append(b, TEXT(">\r\n"));
    append_references(b, report);
    append_field(b, TEXT("Auto-Submitted"), TEXT("auto-replied")); /* RFC 3834 section 5 */
    append_field(b, TEXT("MIME-Version"), TEXT("1.0"));
    buffer_append(b, TEXT("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\""));
    buffer_append(b, boundary);
    buffer_append(b, TEXT("\"\r\n\r\n"));
}

/* --- the part for people ---------------------------------------------------------------------------------------- */

static void append_said(struct buffer *b, const struct result *r, enum settings_language language)
{
    if (r->text.length == 0)
        return;
    buffer_append(b, TEXT("  "));
    if (r->host.length) {
        outcome_quote(b, r->host, 2, TEXT("    "));
        buffer_append(b, r->code == 0                   ? TEXT(":\r\n    ") /* our words: it said nothing */
                         : language == SETTINGS_ENGLISH ? TEXT(" said:\r\n    ")
                                                        : TEXT(" ha risposto:\r\n    "));
    } else {
        buffer_append(b, TEXT("  "));
    }
    if (r->code) {
        buffer_append_number(b, r->code);
        buffer_append_octet(b, ' ');
    }
    outcome_quote(b, r->text, 8, TEXT("    "));
    buffer_append(b, TEXT("\r\n"));
}

static void append_expiry(struct buffer *b, const struct outcome_report *report, const struct result *r,
                          enum settings_language language)
{
    if (report->kind == OUTCOME_REPORT_FAILED && text_equals(r->enhanced, TEXT("5.4.7"))) {
        buffer_append(b, language == SETTINGS_ENGLISH ? TEXT("  It was tried in vain since ")
                                                      : TEXT("  I tentativi sono stati vani dal "));
        moment_append_mail_date(b, report->envelope->arrived_ms);
        buffer_append(b, TEXT(".\r\n"));
    }
    if (report->kind == OUTCOME_REPORT_DELAYED) {
        buffer_append(b, language == SETTINGS_ENGLISH ? TEXT("  It will be tried until ")
                                                      : TEXT("  Si riproverà fino al "));
        moment_append_mail_date(b,
                                report->envelope->arrived_ms + (int64_t)report->settings->delivery_undelivered_after);
        buffer_append(b, TEXT(".\r\n"));
    }
}

static void append_recipient_words(struct buffer *b, const struct outcome_report *report,
                                   const struct outcome_report_recipient *recipient, enum settings_language language)
{
    bool has_cause = report->kind == OUTCOME_REPORT_FAILED || report->kind == OUTCOME_REPORT_DELAYED;
    buffer_append(b, TEXT("<"));
    address_append(b, &recipient->recipient->address);
    buffer_append(b, TEXT(">\r\n"));
    if (has_cause) {
        buffer_append(b, TEXT("  "));
        buffer_append(b, outcome_cause_words(outcome_cause(recipient->result), language));
        buffer_append(b, TEXT("\r\n"));
        append_expiry(b, report, recipient->result, language);
        append_said(b, recipient->result, language);
    }
    buffer_append(b, TEXT("\r\n"));
}

static void append_words(struct buffer *b, const struct outcome_report *report, enum settings_language language)
{
    outcome_quote_utf8(b, outcome_introduction(report->kind, language), 0, TEXT_NONE);
    buffer_append(b, TEXT("\r\n\r\n"));
    for (size_t i = 0; i < report->recipient_count; i++)
        append_recipient_words(b, report, &report->recipients[i], language);
}

static void append_people_part(struct buffer *b, const struct outcome_report *report)
{
    buffer_append(b, TEXT("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
    buffer_append(b, TEXT("(In italiano più sotto.)\r\n\r\n"));
    append_words(b, report, SETTINGS_ENGLISH);
    buffer_append(b, TEXT("* * *\r\n\r\n"));
    append_words(b, report, SETTINGS_ITALIAN);
    outcome_quote(b, report->settings->service_hostname, 0, TEXT_NONE);
    buffer_append(b, TEXT(", id "));
    outcome_quote(b, report->id, 0, TEXT_NONE);
    buffer_append(b, TEXT("\r\n"));
}

/* --- the part for programs -------------------------------------------------------------------------------------- */

static void append_quoted_field(struct buffer *b, struct text name, struct text type, struct text value)
{
    append_name(b, name);
    buffer_append(b, type);
    outcome_quote(b, value, name.length + 2 + type.length, TEXT(" "));
    buffer_append(b, TEXT("\r\n"));
}

static void append_address_field(struct buffer *b, struct text name, const struct address *a)
{
    append_name(b, name);
    buffer_append(b, address_is_ascii(a) ? TEXT("rfc822; ") : TEXT("utf-8; "));
    address_append(b, a); /* an address by its grammar: it holds no line end */
    buffer_append(b, TEXT("\r\n"));
}

static struct text class_digit(enum outcome_report_kind kind)
{
    switch (kind) {
    case OUTCOME_REPORT_FAILED:
        return TEXT("5");
    case OUTCOME_REPORT_DELAYED:
        return TEXT("4");
    case OUTCOME_REPORT_NONE:
    case OUTCOME_REPORT_DELIVERED:
    case OUTCOME_REPORT_RELAYED:
    case OUTCOME_REPORT_EXPANDED:
    case OUTCOME_REPORT_KINDS:
        break;
    }
    return TEXT("2");
}

static bool is_status(struct text t)
{
    size_t dots = 0;
    for (size_t i = 0; i < t.length; i++) {
        dots += t.bytes[i] == '.';
        if (t.bytes[i] != '.' && !octet_is_digit(t.bytes[i]))
            return false;
    }
    return dots == 2 && t.length >= 5 && t.length <= 9;
}

static void append_status(struct buffer *b, const struct outcome_report *report, const struct result *r)
{
    struct text class = class_digit(report->kind);
    buffer_append(b, TEXT("Status: "));
    if (is_status(r->enhanced) && text_starts_with(r->enhanced, class)) {
        buffer_append(b, r->enhanced);
    } else {
        buffer_append(b, class);
        buffer_append(b, TEXT(".0.0"));
    }
    buffer_append(b, TEXT("\r\n"));
}

static void append_diagnostic(struct buffer *b, struct text name, const struct result *r)
{
    size_t start = b->length;
    if (r->text.length == 0 && r->code == 0)
        return;
    append_name(b, name);
    buffer_append(b, r->code && r->host.length ? TEXT("smtp; ") : TEXT("X-Portiere; "));
    if (r->code) {
        buffer_append_number(b, r->code);
        buffer_append_octet(b, ' ');
    }
    outcome_quote(b, r->text, b->length - start, TEXT(" "));
    buffer_append(b, TEXT("\r\n"));
}

static void append_recipient_fields(struct buffer *b, const struct outcome_report *report,
                                    const struct outcome_report_recipient *recipient)
{
    const struct result *r = recipient->result;
    const struct envelope_recipient *e = recipient->recipient;
    buffer_append(b, TEXT("\r\n"));
    if (e->original.length) {
        append_name(b, TEXT("Original-Recipient"));
        outcome_quote_utf8(b, e->original, 20, TEXT(" "));
        buffer_append(b, TEXT("\r\n"));
    }
    append_address_field(b, TEXT("Final-Recipient"), &e->address);
    append_field(b, TEXT("Action"), outcome_action(report->kind));
    append_status(b, report, r);
    struct text host = r->host;
    if (host.length)
        append_quoted_field(b, TEXT("Remote-MTA"), TEXT("dns; "), text_take_word(&host));
    if (report->kind == OUTCOME_REPORT_FAILED || report->kind == OUTCOME_REPORT_DELAYED)
        append_diagnostic(b, TEXT("Diagnostic-Code"), r);
    if (recipient->tried_ms)
        append_date(b, TEXT("Last-Attempt-Date"), recipient->tried_ms);
    if (report->kind == OUTCOME_REPORT_DELAYED)
        append_date(b, TEXT("Will-Retry-Until"),
                    report->envelope->arrived_ms + (int64_t)report->settings->delivery_undelivered_after);
}

static void append_program_part(struct buffer *b, const struct outcome_report *report)
{
    if (outcome_is_global(report))
        buffer_append(b,
                      TEXT("Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
    else
        buffer_append(b, TEXT("Content-Type: message/delivery-status\r\n\r\n"));
    append_quoted_field(b, TEXT("Reporting-MTA"), TEXT("dns; "), report->settings->service_hostname);
    if (report->envelope->envid.length)
        append_quoted_field(b, TEXT("Original-Envelope-Id"), TEXT_NONE, report->envelope->envid);
    append_date(b, TEXT("Arrival-Date"), report->envelope->arrived_ms);
    for (size_t i = 0; i < report->recipient_count; i++)
        append_recipient_fields(b, report, &report->recipients[i]);
}

size_t outcome_report_limit(const struct outcome_report *report)
{
    return OUTCOME_REPORT_OVERHEAD + report->recipient_count * OUTCOME_REPORT_PER_RECIPIENT +
           outcome_original_limit(report);
}

bool outcome_report_write(struct buffer *b, const struct outcome_report *report)
{
    must(report->kind != OUTCOME_REPORT_NONE && report->kind < OUTCOME_REPORT_KINDS);
    struct buffer name released_by(buffer_done) = buffer_new(BOUNDARY_LIMIT);
    ignored(buffer_append_format(&name, "=_%016llx.%016llx", (unsigned long long)report->seed,
                                 (unsigned long long)text_hash(report->report_id, report->seed))); /* 35 octets */
    struct text boundary = buffer_text(&name);
    append_header(b, report, boundary);
    buffer_append(b, TEXT("--"));
    buffer_append(b, boundary);
    buffer_append(b, TEXT("\r\n"));
    append_people_part(b, report);
    buffer_append(b, TEXT("\r\n--"));
    buffer_append(b, boundary);
    buffer_append(b, TEXT("\r\n"));
    append_program_part(b, report);
    outcome_append_original(b, report, boundary);
    buffer_append(b, TEXT("\r\n--"));
    buffer_append(b, boundary);
    buffer_append(b, TEXT("--\r\n"));
    return !b->is_full;
}

void outcome_report_envelope(const struct outcome_report *report, struct envelope_recipient *recipient,
                             struct envelope *ret_envelope)
{
    *recipient = (struct envelope_recipient){.address = report->envelope->sender};
    *ret_envelope = (struct envelope){
        .sender = {.local = TEXT_NONE, .domain = TEXT_NONE},
        .recipients = recipient,
        .recipient_count = 1,
        .body = ENVELOPE_8BITMIME, /* the Italian words alone are 8-bit */
        .is_utf8 = !address_is_ascii(&report->envelope->sender),
        .arrived_ms = report->now_ms,
        .listener = TEXT("local"),
    };
}

bool outcome_bad_mail_fields(struct buffer *b, const struct outcome_report *report)
{
    append_quoted_field(b, TEXT("X-Portiere-Bad-Mail"), TEXT_NONE, report->id);
    append_date(b, TEXT("X-Portiere-Date"), report->now_ms);
    buffer_append(b, TEXT("X-Portiere-Sender: <"));
    address_append(b, &report->envelope->sender);
    buffer_append(b, TEXT(">\r\n"));
    for (size_t i = 0; i < report->recipient_count; i++) {
        const struct result *r = report->recipients[i].result;
        buffer_append(b, TEXT("X-Portiere-Recipient: <"));
        address_append(b, &report->recipients[i].recipient->address);
        buffer_append(b, TEXT(">\r\n"));
        append_quoted_field(b, TEXT("X-Portiere-Reason"), TEXT_NONE,
                            outcome_cause_words(outcome_cause(r), SETTINGS_ENGLISH));
        append_diagnostic(b, TEXT("X-Portiere-Diagnostic"), r);
    }
    return !b->is_full;
}
