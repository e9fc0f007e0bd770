/* SPDX-License-Identifier: Apache-2.0 */
#include "outcome/outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { HOUR = 3600 * 1000 };
static const int64_t arrived = 1764000000000;

static struct settings plain_settings(void)
{
    return (struct settings){
        .service_hostname = TEXT("mx.casa.test"),
        .service_primary_domain = TEXT("casa.test"),
        .delivery_delivery_reports = true,
        .delivery_undelivered_after = 48 * HOUR,
        .delivery_warn_after = 4 * HOUR,
        .delivery_report_alias = TEXT("MAILER-DAEMON"),
        .delivery_report_name = TEXT("Mail Delivery Subsystem"),
        .delivery_report_truncate = true,
        .delivery_report_truncate_at = 16384,
        .delivery_report_to = SETTINGS_REPORT_TO_ALL,
    };
}

static struct address address_of(struct text t)
{
    struct address a;
    assert_int_equal(address_parse(t, true, &a), ADDRESS_OK);
    return a;
}

/* --- judging ---------------------------------------------------------------------------------------------------- */

static void a_try_is_judged_by_its_class_and_by_its_age(void **state not_used)
{
    static const struct {
        enum result_class class;
        int64_t age;
        struct text stage, enhanced;
        bool full_is_permanent;
        enum outcome_next next;
        struct text judged;
    } rows[] = {
        {.class = RESULT_DELIVERED, .enhanced = TEXT_INIT("2.0.0"), .next = OUTCOME_DONE, .judged = TEXT_INIT("2.0.0")},
        {.class = RESULT_RELAYED,
         .age = 99LL * 24 * HOUR,
         .enhanced = TEXT_INIT("2.0.0"),
         .next = OUTCOME_DONE,
         .judged = TEXT_INIT("2.0.0")},
        {.class = RESULT_FAILED, .enhanced = TEXT_INIT("5.1.1"), .next = OUTCOME_FAILED, .judged = TEXT_INIT("5.1.1")},
        {.class = RESULT_DEFERRED,
         .age = 48 * HOUR - 1,
         .enhanced = TEXT_INIT("4.4.1"),
         .next = OUTCOME_AGAIN,
         .judged = TEXT_INIT("4.4.1")},
        {.class = RESULT_DEFERRED,
         .age = 48 * HOUR,
         .enhanced = TEXT_INIT("4.4.1"),
         .next = OUTCOME_FAILED,
         .judged = TEXT_INIT("5.4.7")},
        {.class = RESULT_DEFERRED,
         .stage = TEXT_INIT("mailbox"),
         .enhanced = TEXT_INIT("4.2.2"),
         .next = OUTCOME_AGAIN,
         .judged = TEXT_INIT("4.2.2")},
        {.class = RESULT_DEFERRED,
         .stage = TEXT_INIT("mailbox"),
         .enhanced = TEXT_INIT("4.2.2"),
         .full_is_permanent = true,
         .next = OUTCOME_FAILED,
         .judged = TEXT_INIT("5.2.2")},
        {.class = RESULT_DEFERRED,
         .stage = TEXT_INIT("rcpt"),
         .enhanced = TEXT_INIT("4.2.2"),
         .full_is_permanent = true,
         .next = OUTCOME_AGAIN,
         .judged = TEXT_INIT("4.2.2")},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct settings s = plain_settings();
        s.delivery_full_mailbox_permanent = rows[i].full_is_permanent;
        struct result r = {.class = rows[i].class, .stage = rows[i].stage, .enhanced = rows[i].enhanced}, judged;
        assert_int_equal(outcome_judge(&s, &r, arrived, arrived + rows[i].age, &judged), rows[i].next);
        assert_true(text_equals(judged.enhanced, rows[i].judged));
        assert_int_equal(judged.class == RESULT_FAILED, rows[i].next == OUTCOME_FAILED);
    }
}

static void a_report_is_due_as_notify_says(void **state not_used)
{
    enum {
        NEVER = ENVELOPE_NOTIFY_NEVER,
        SUCCESS = ENVELOPE_NOTIFY_SUCCESS,
        FAILURE = ENVELOPE_NOTIFY_FAILURE,
        DELAY = ENVELOPE_NOTIFY_DELAY
    };
    static const struct {
        unsigned notify;
        enum outcome_report_kind failed, delivered, relayed, relayed_without_dsn;
        bool is_warned;
    } rows[] = {
        {.notify = 0, .failed = OUTCOME_REPORT_FAILED, .is_warned = true},
        {.notify = NEVER},
        {.notify = SUCCESS, .delivered = OUTCOME_REPORT_DELIVERED, .relayed_without_dsn = OUTCOME_REPORT_RELAYED},
        {.notify = FAILURE, .failed = OUTCOME_REPORT_FAILED},
        {.notify = DELAY, .is_warned = true},
        {.notify = SUCCESS | FAILURE | DELAY,
         .failed = OUTCOME_REPORT_FAILED,
         .delivered = OUTCOME_REPORT_DELIVERED,
         .relayed_without_dsn = OUTCOME_REPORT_RELAYED,
         .is_warned = true},
    };
    struct settings s = plain_settings();
    for (size_t i = 0; i < length_of(rows); i++) {
        struct envelope_recipient r = {.notify = rows[i].notify};
        assert_int_equal(outcome_report_due(&s, &r, OUTCOME_FAILED, &(struct result){.class = RESULT_FAILED}),
                         rows[i].failed);
        assert_int_equal(outcome_report_due(&s, &r, OUTCOME_DONE, &(struct result){.class = RESULT_DELIVERED}),
                         rows[i].delivered);
        assert_int_equal(outcome_report_due(&s, &r, OUTCOME_DONE, &(struct result){.class = RESULT_RELAYED}),
                         rows[i].relayed);
        assert_int_equal(
            outcome_report_due(&s, &r, OUTCOME_DONE, &(struct result){.class = RESULT_RELAYED_WITHOUT_DSN}),
            rows[i].relayed_without_dsn);
        assert_int_equal(outcome_report_due(&s, &r, OUTCOME_AGAIN, &(struct result){.class = RESULT_DEFERRED}),
                         OUTCOME_REPORT_NONE);
        assert_int_equal(outcome_warning_due(&s, &r, arrived, arrived + 4 * HOUR, false), rows[i].is_warned);
        assert_false(outcome_warning_due(&s, &r, arrived, arrived + 4 * HOUR, true));
        assert_false(outcome_warning_due(&s, &r, arrived, arrived + 4 * HOUR - 1, false));
    }
    s.delivery_warn_after = 0;
    assert_false(outcome_warning_due(&s, &(struct envelope_recipient){.notify = 0}, arrived, INT64_MAX - 1, false));
    s.delivery_delivery_reports = false;
    assert_int_equal(outcome_report_due(&s, &(struct envelope_recipient){.notify = SUCCESS}, OUTCOME_DONE,
                                        &(struct result){.class = RESULT_DELIVERED}),
                     OUTCOME_REPORT_NONE);
}

static void nobody_is_told_of_a_report_that_failed(void **state not_used)
{
    struct settings s = plain_settings();
    struct envelope null = {.sender = {.local = TEXT_NONE}}, stranger = {.sender = address_of(TEXT("a@fuori.test"))};
    struct envelope known = {.sender = address_of(TEXT("a@casa.test")), .login = TEXT("a@casa.test")};
    assert_int_equal(outcome_addressee(&s, &null, OUTCOME_REPORT_FAILED, true), OUTCOME_TO_BAD_MAIL);
    assert_int_equal(outcome_addressee(&s, &null, OUTCOME_REPORT_DELAYED, true), OUTCOME_TO_NOBODY);
    assert_int_equal(outcome_addressee(&s, &stranger, OUTCOME_REPORT_FAILED, false), OUTCOME_TO_SENDER);
    assert_int_equal(outcome_addressee(&s, &stranger, OUTCOME_REPORT_NONE, false), OUTCOME_TO_NOBODY);
    s.delivery_report_to = SETTINGS_REPORT_TO_AUTHENTICATED;
    assert_int_equal(outcome_addressee(&s, &stranger, OUTCOME_REPORT_FAILED, false), OUTCOME_TO_BAD_MAIL);
    assert_int_equal(outcome_addressee(&s, &known, OUTCOME_REPORT_FAILED, true), OUTCOME_TO_SENDER);
    s.delivery_report_to = SETTINGS_REPORT_TO_LOCAL;
    assert_int_equal(outcome_addressee(&s, &stranger, OUTCOME_REPORT_FAILED, false), OUTCOME_TO_BAD_MAIL);
    assert_int_equal(outcome_addressee(&s, &stranger, OUTCOME_REPORT_FAILED, true), OUTCOME_TO_SENDER);
    s.delivery_report_to = SETTINGS_REPORT_TO_NONE;
    assert_int_equal(outcome_addressee(&s, &known, OUTCOME_REPORT_FAILED, true), OUTCOME_TO_BAD_MAIL);
}

static void a_cause_is_found_for_every_kind_of_refusal(void **state not_used)
{
    static const struct {
        unsigned code;
        struct text enhanced, stage, text;
        enum outcome_cause cause;
    } rows[] = {
        {.code = 550, .enhanced = TEXT_INIT("5.1.1"), .stage = TEXT_INIT("rcpt"), .cause = OUTCOME_CAUSE_WRONG_ADDRESS},
        {.code = 550, .enhanced = TEXT_INIT("5.0.0"), .stage = TEXT_INIT("rcpt"), .cause = OUTCOME_CAUSE_WRONG_ADDRESS},
        {.code = 550, .enhanced = TEXT_INIT("5.7.1"), .stage = TEXT_INIT("rcpt"), .cause = OUTCOME_CAUSE_REFUSED},
        {.code = 554, .enhanced = TEXT_INIT("5.0.0"), .stage = TEXT_INIT("banner"), .cause = OUTCOME_CAUSE_REFUSED},
        {.enhanced = TEXT_INIT("5.1.2"), .stage = TEXT_INIT("dns"), .cause = OUTCOME_CAUSE_NO_SUCH_DOMAIN},
        {.code = 556,
         .enhanced = TEXT_INIT("5.1.10"),
         .stage = TEXT_INIT("dns"),
         .cause = OUTCOME_CAUSE_NO_MAIL_DOMAIN},
        {.code = 552,
         .enhanced = TEXT_INIT("5.2.2"),
         .stage = TEXT_INIT("mailbox"),
         .cause = OUTCOME_CAUSE_MAILBOX_FULL},
        {.code = 552,
         .enhanced = TEXT_INIT("5.0.0"),
         .stage = TEXT_INIT("end-of-data"),
         .cause = OUTCOME_CAUSE_TOO_BIG},
        {.enhanced = TEXT_INIT("5.3.4"), .stage = TEXT_INIT("mail"), .cause = OUTCOME_CAUSE_TOO_BIG},
        {.enhanced = TEXT_INIT("5.4.7"),
         .stage = TEXT_INIT("connect"),
         .text = TEXT_INIT("connection refused"),
         .cause = OUTCOME_CAUSE_UNREACHABLE},
        {.code = 452,
         .enhanced = TEXT_INIT("5.4.7"),
         .stage = TEXT_INIT("rcpt"),
         .text = TEXT_INIT("4.2.2 full"),
         .cause = OUTCOME_CAUSE_MAILBOX_FULL},
        {.enhanced = TEXT_INIT("4.7.4"), .stage = TEXT_INIT("starttls"), .cause = OUTCOME_CAUSE_TLS},
        {.enhanced = TEXT_INIT("5.4.7"), .stage = TEXT_INIT("starttls"), .cause = OUTCOME_CAUSE_TLS},
        {.enhanced = TEXT_INIT("5.4.6"), .stage = TEXT_INIT("dns"), .cause = OUTCOME_CAUSE_LOOP},
        {.enhanced = TEXT_INIT("5.6.7"), .stage = TEXT_INIT("mail"), .cause = OUTCOME_CAUSE_NEEDS_UTF8},
        {.code = 450, .enhanced = TEXT_INIT("4.7.1"), .stage = TEXT_INIT("rcpt"), .cause = OUTCOME_CAUSE_BUSY},
        {.code = 421, .enhanced = TEXT_INIT("4.0.0"), .stage = TEXT_INIT("banner"), .cause = OUTCOME_CAUSE_BUSY},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct result r = {
            .code = rows[i].code, .enhanced = rows[i].enhanced, .stage = rows[i].stage, .text = rows[i].text};
        assert_int_equal(outcome_cause(&r), rows[i].cause);
    }
    for (int cause = 0; cause < OUTCOME_CAUSES; cause++) {
        assert_true(outcome_cause_words((enum outcome_cause)cause, SETTINGS_ENGLISH).length > 10);
        assert_true(outcome_cause_words((enum outcome_cause)cause, SETTINGS_ITALIAN).length > 10);
    }
}

/* --- reports ---------------------------------------------------------------------------------------------------- */

static bool body_of_text(void *context, uint64_t at, char *bytes, size_t count)
{
    const struct text *message = context;
    if (at + count > message->length)
        return false;
    memcpy(bytes, message->bytes + at, count);
    return true;
}

struct trial {
    struct settings settings;
    struct envelope envelope;
    struct envelope_recipient recipient;
    struct result result;
    struct outcome_report_recipient row;
    struct outcome_report report;
    struct text message;
};

static void trial_init(struct trial *t, enum outcome_report_kind kind, struct text message)
{
    *t = (struct trial){.settings = plain_settings(), .message = message};
    t->envelope = (struct envelope){.sender = address_of(TEXT("anna@casa.test")), .arrived_ms = arrived};
    t->recipient = (struct envelope_recipient){.address = address_of(TEXT("bruno@fuori.test"))};
    t->result = (struct result){.class = RESULT_FAILED,
                                .code = 550,
                                .enhanced = TEXT("5.1.1"),
                                .stage = TEXT("rcpt"),
                                .host = TEXT("mx.fuori.test [192.0.2.1]:25"),
                                .text = TEXT("5.1.1 no such user")};
    t->row =
        (struct outcome_report_recipient){.recipient = &t->recipient, .result = &t->result, .tried_ms = arrived + HOUR};
    t->report = (struct outcome_report){.kind = kind,
                                        .settings = &t->settings,
                                        .envelope = &t->envelope,
                                        .id = TEXT("1a2b"),
                                        .report_id = TEXT("3c4d"),
                                        .recipients = &t->row,
                                        .recipient_count = 1,
                                        .now_ms = arrived + 2 * HOUR,
                                        .seed = 0x1234567890abcdef,
                                        .message_length = message.length,
                                        .body = body_of_text,
                                        .body_context = &t->message};
}

static struct buffer written(const struct trial *t)
{
    struct buffer b = buffer_new(outcome_report_limit(&t->report));
    assert_true(outcome_report_write(&b, &t->report));
    return b;
}

static bool has(const struct buffer *b, struct text what)
{
    return text_find(buffer_text(b), what) < b->length;
}

/* Every line ends with CRLF and none is longer than RFC 5322 allows. */
static void assert_lines(const struct buffer *b)
{
    struct text rest = buffer_text(b);
    while (rest.length) {
        struct text line = text_take_until(&rest, '\n');
        assert_true(text_ends_with(line, TEXT("\r")));
        assert_true(line.length <= 999);
        assert_int_equal(text_find_octet(text_first(line, line.length - 1), '\r'), line.length - 1);
    }
}

static const struct text small =
    TEXT_INIT("From: <anna@casa.test>\r\nMessage-ID: <orig@casa.test>\r\nSubject: ciao\r\n\r\nbody of it\r\n");

static void a_failed_report_says_what_where_and_why(void **state not_used)
{
    struct trial t;
    trial_init(&t, OUTCOME_REPORT_FAILED, small);
    t.recipient.original = TEXT("rfc822;b.rossi@altro.test");
    t.envelope.envid = TEXT("QQ314159");
    struct buffer b released_by(buffer_done) = written(&t);
    static const struct text wanted[] = {
        TEXT_INIT("From: Mail Delivery Subsystem <MAILER-DAEMON@casa.test>\r\n"),
        TEXT_INIT("To: <anna@casa.test>\r\n"),
        TEXT_INIT("Auto-Submitted: auto-replied\r\n"),
        TEXT_INIT("Message-ID: <3c4d@mx.casa.test>\r\n"),
        TEXT_INIT("In-Reply-To: <orig@casa.test>\r\n"),
        TEXT_INIT("multipart/report; report-type=delivery-status;"),
        TEXT_INIT("Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; "
                  "mx.casa.test\r\nOriginal-Envelope-Id: QQ314159\r\nArrival-Date: "),
        TEXT_INIT("\r\n\r\nOriginal-Recipient: rfc822;b.rossi@altro.test\r\nFinal-Recipient: rfc822; "
                  "bruno@fuori.test\r\nAction: failed\r\nStatus: "
                  "5.1.1\r\nRemote-MTA: dns; mx.fuori.test\r\nDiagnostic-Code: smtp; 550 5.1.1 no such "
                  "user\r\nLast-Attempt-Date: "),
        TEXT_INIT("The address does not exist there."),
        TEXT_INIT("L'indirizzo non esiste."),
        TEXT_INIT("mx.fuori.test [192.0.2.1]:25 said:"),
        TEXT_INIT("Content-Type: message/rfc822\r\n"),
        TEXT_INIT("\r\n\r\nbody of it\r\n\r\n--=_"),
    };
    for (size_t i = 0; i < length_of(wanted); i++)
        assert_true(has(&b, wanted[i]));
    assert_lines(&b);
    struct envelope_recipient to;
    struct envelope e;
    outcome_report_envelope(&t.report, &to, &e);
    assert_true(address_is_null(&e.sender));
    assert_false(e.is_utf8);
    assert_true(address_equals(&e.recipients[0].address, &t.envelope.sender));
}

static void a_hostile_reply_makes_no_line_of_its_own(void **state not_used)
{
    static char long_text[4096];
    for (size_t i = 0; i < sizeof long_text; i++)
        long_text[i] = 'x';
    static const struct text replies[] = {
        TEXT_INIT("bad\r\nX-Injected: yes\r\n\r\n.\r\n"),
        TEXT_INIT("bad\nX-Injected: yes\n\nX-Injected: two"),
        TEXT_INIT("\x1b[31mred\a\0nul"),
        TEXT_INIT("\r\n--=_1234567890abcdef.0\r\nX-Injected: yes"),
        TEXT_INIT("gr\xc3\xbc\xc3\x9f \xff\xfe %n%s"),
        TEXT_INIT("\xe2\x80\xae reversed"),
    };
    for (size_t i = 0; i <= length_of(replies); i++) {
        struct trial t;
        trial_init(&t, OUTCOME_REPORT_FAILED, small);
        t.result.text = i < length_of(replies) ? replies[i] : text_of(long_text, sizeof long_text);
        t.result.host = t.result.text;
        t.envelope.envid = t.result.text;
        t.recipient.original = t.result.text;
        struct buffer b released_by(buffer_done) = written(&t);
        assert_false(has(&b, TEXT("\nX-Injected")));
        assert_false(has(&b, TEXT("\x1b")));
        assert_false(has(&b, TEXT("\0")));
        assert_lines(&b);
        struct buffer fields released_by(buffer_done) = buffer_new(64 * 1024);
        assert_true(outcome_bad_mail_fields(&fields, &t.report));
        assert_false(has(&fields, TEXT("\nX-Injected")));
        assert_lines(&fields);
        struct text rest = buffer_text(&fields);
        struct header_field field;
        while (header_take_field(&rest, &field))
            ;
        assert_int_equal(rest.length, 0);
    }
}

static void control_octets_are_shown_as_hex(void **state not_used)
{
    struct trial t;
    trial_init(&t, OUTCOME_REPORT_FAILED, small);
    t.result.text = TEXT("5.7.1 bad\r\x1b\\ \xc3\xbc");
    struct buffer b released_by(buffer_done) = written(&t);
    assert_true(has(&b, TEXT("Diagnostic-Code: smtp; 550 5.7.1 bad\\x0D\\x1B\\x5C \\xC3\\xBC\r\n")));
}

static void what_is_returned_follows_ret_and_the_limit(void **state not_used)
{
    static char octets[40000];
    memset(octets, 'y', sizeof octets);
    for (size_t i = 78; i < sizeof octets; i += 80) {
        octets[i] = '\r';
        octets[i + 1] = '\n';
    }
    struct text head = TEXT("Subject: lungo\r\nX-Two: 2\r\n\r\n");
    memcpy(octets, head.bytes, head.length);
    struct text large = text_of(octets, sizeof octets);
    static const struct {
        enum outcome_report_kind kind;
        enum envelope_return ret;
        enum envelope_body body;
        bool is_large, truncates, is_utf8;
        struct text type;
        bool has_body;
    } rows[] = {
        {.kind = OUTCOME_REPORT_FAILED, .truncates = true, .type = TEXT_INIT("message/rfc822\r\n"), .has_body = true},
        {.kind = OUTCOME_REPORT_FAILED,
         .truncates = true,
         .ret = ENVELOPE_RETURN_FULL,
         .type = TEXT_INIT("message/rfc822\r\n"),
         .has_body = true},
        {.kind = OUTCOME_REPORT_FAILED,
         .truncates = true,
         .ret = ENVELOPE_RETURN_HEADERS,
         .type = TEXT_INIT("text/rfc822-headers\r\n")},
        {.kind = OUTCOME_REPORT_FAILED,
         .is_large = true,
         .truncates = true,
         .type = TEXT_INIT("text/plain; charset=utf-8\r\nContent-Description: The first 16384 octets of the message, "
                           "which has 40000\r\n"),
         .has_body = true},
        {.kind = OUTCOME_REPORT_FAILED,
         .is_large = true,
         .truncates = true,
         .ret = ENVELOPE_RETURN_FULL,
         .type = TEXT_INIT("text/rfc822-headers\r\n")},
        {.kind = OUTCOME_REPORT_FAILED, .is_large = true, .type = TEXT_INIT("message/rfc822\r\n"), .has_body = true},
        {.kind = OUTCOME_REPORT_FAILED,
         .truncates = true,
         .body = ENVELOPE_BINARYMIME,
         .type = TEXT_INIT("text/rfc822-headers\r\n")},
        {.kind = OUTCOME_REPORT_FAILED,
         .truncates = true,
         .is_utf8 = true,
         .type = TEXT_INIT("message/global\r\n"),
         .has_body = true},
        {.kind = OUTCOME_REPORT_DELAYED,
         .truncates = true,
         .ret = ENVELOPE_RETURN_FULL,
         .type = TEXT_INIT("text/rfc822-headers\r\n")},
        {.kind = OUTCOME_REPORT_DELIVERED,
         .truncates = true,
         .is_utf8 = true,
         .type = TEXT_INIT("message/global-headers\r\n")},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct trial t;
        trial_init(&t, rows[i].kind, rows[i].is_large ? large : small);
        t.settings.delivery_report_truncate = rows[i].truncates;
        t.envelope.ret = rows[i].ret;
        t.envelope.body = rows[i].body;
        t.envelope.is_utf8 = rows[i].is_utf8;
        struct buffer b released_by(buffer_done) = written(&t);
        assert_true(has(&b, rows[i].type));
        assert_int_equal(has(&b, rows[i].is_large ? TEXT("yyyy") : TEXT("body of it")), rows[i].has_body);
        assert_true(has(&b, rows[i].is_large ? TEXT("Subject: lungo\r\nX-Two: 2\r\n") : TEXT("Subject: ciao\r\n")));
        assert_lines(&b);
    }
}

static void a_report_goes_without_a_message_that_can_not_be_read(void **state not_used)
{
    struct trial t;
    trial_init(&t, OUTCOME_REPORT_FAILED, small);
    t.report.message_length += 10;
    struct buffer b released_by(buffer_done) = written(&t);
    assert_false(has(&b, TEXT("message/rfc822")));
    assert_true(has(&b, TEXT("Action: failed")));
}

static void a_delayed_report_says_how_long_it_goes_on(void **state not_used)
{
    struct trial t;
    trial_init(&t, OUTCOME_REPORT_DELAYED, small);
    t.result = (struct result){.class = RESULT_DEFERRED,
                               .enhanced = TEXT("4.4.1"),
                               .stage = TEXT("connect"),
                               .host = TEXT("mx.fuori.test [192.0.2.1]:25"),
                               .text = TEXT("connection refused")};
    struct buffer b released_by(buffer_done) = written(&t);
    assert_true(has(&b, TEXT("Action: delayed\r\nStatus: 4.4.1\r\n")));
    assert_true(has(&b, TEXT("Diagnostic-Code: X-Portiere; connection refused\r\n")));
    struct buffer until released_by(buffer_done) = buffer_new(100);
    buffer_append(&until, TEXT("Will-Retry-Until: "));
    moment_append_mail_date(&until, arrived + 48 * HOUR);
    assert_true(has(&b, buffer_text(&until)));
}

static void an_international_address_makes_a_global_report(void **state not_used)
{
    struct trial t;
    trial_init(&t, OUTCOME_REPORT_FAILED, small);
    t.recipient.address = address_of(TEXT("用户@fuori.test"));
    t.envelope.is_utf8 = true;
    struct buffer b released_by(buffer_done) = written(&t);
    assert_true(has(&b, TEXT("Content-Type: message/global-delivery-status\r\n")));
    assert_true(has(&b, TEXT("Final-Recipient: utf-8; 用户@fuori.test\r\n")));
    struct envelope_recipient to;
    struct envelope e;
    outcome_report_envelope(&t.report, &to, &e);
    assert_false(e.is_utf8);
}

static void many_recipients_stand_in_one_report(void **state not_used)
{
    struct trial t;
    trial_init(&t, OUTCOME_REPORT_FAILED, small);
    struct outcome_report_recipient rows[50];
    for (size_t i = 0; i < length_of(rows); i++)
        rows[i] = t.row;
    t.report.recipients = rows;
    t.report.recipient_count = length_of(rows);
    struct buffer b released_by(buffer_done) = written(&t);
    size_t count = 0;
    for (struct text rest = buffer_text(&b); (rest = text_after(rest, text_find(rest, TEXT("Action: failed")))).length;
         count++)
        rest = text_after(rest, 1);
    assert_int_equal(count, length_of(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_try_is_judged_by_its_class_and_by_its_age),
        cmocka_unit_test(a_report_is_due_as_notify_says),
        cmocka_unit_test(nobody_is_told_of_a_report_that_failed),
        cmocka_unit_test(a_cause_is_found_for_every_kind_of_refusal),
        cmocka_unit_test(a_failed_report_says_what_where_and_why),
        cmocka_unit_test(a_hostile_reply_makes_no_line_of_its_own),
        cmocka_unit_test(control_octets_are_shown_as_hex),
        cmocka_unit_test(what_is_returned_follows_ret_and_the_limit),
        cmocka_unit_test(a_report_goes_without_a_message_that_can_not_be_read),
        cmocka_unit_test(a_delayed_report_says_how_long_it_goes_on),
        cmocka_unit_test(an_international_address_makes_a_global_report),
        cmocka_unit_test(many_recipients_stand_in_one_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
