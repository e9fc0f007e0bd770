/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that the queue writes itself: reports, what goes to bad_mail, and forwards. */
#include "roles/queue.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_LOOK = 64 * 1024 };

struct body_source {
    struct queue *queue;
    uint64_t id;
};

static bool read_body(void *context, uint64_t at, char *bytes, size_t count)
{
    const struct body_source *source = context;
    size_t got = 0;
    return spool_read_body(source->queue->spool, source->id, at, bytes, count, &got) == SPOOL_OK && got == count;
}

/* A message that can neither be delivered nor returned is never dropped. */
static void hold(struct queue *q, struct mail *mail, const uint32_t *indexes, size_t count, struct text why)
{
    char name[QUEUE_ID_LENGTH];
    for (size_t i = 0; i < count; i++) {
        mail->recipients[indexes[i]].state = SPOOL_HELD;
        queue_update(q, mail, indexes[i], mail->recipients[indexes[i]].flags, &mail->recipients[indexes[i]].last_result, 0);
    }
    role_event(q->role, RECORD_ALARM, TEXT("message-held"), (struct text[]){TEXT("id"), queue_id_text(mail->id, name), TEXT("why"), why}, 4);
}

static void send_to_bad_mail(struct queue *q, struct mail *mail, const struct outcome_report *report, const uint32_t *indexes, size_t count)
{
    struct text bad_mail = q->role->settings->delivery_bad_mail;
    struct envelope_recipient recipient = {.notify = ENVELOPE_NOTIFY_NEVER};
    struct buffer front released_by(buffer_done) = buffer_new(outcome_report_limit(report));
    uint64_t id;
    bool is_bad_mail_itself = text_equals(mail->envelope.listener, TEXT("local")) && text_equals(mail->envelope.session, TEXT("bad-mail"));
    if (is_bad_mail_itself || address_parse(bad_mail, true, &recipient.address) != ADDRESS_OK || address_is_null(&recipient.address)) {
        hold(q, mail, indexes, count, is_bad_mail_itself ? TEXT("bad_mail can't take it") : TEXT("bad_mail is not set"));
        return;
    }
    struct envelope e = {.recipients = &recipient, .recipient_count = 1, .body = mail->envelope.body, .is_utf8 = mail->envelope.is_utf8,
                         .arrived_ms = clock_wall_ms(), .session = TEXT("bad-mail"), .listener = TEXT("local")};
    if (!outcome_bad_mail_fields(&front, report) || !queue_append_own(q, &e, buffer_text(&front), mail->id, mail->body_length, &id))
        hold(q, mail, indexes, count, TEXT("bad_mail's copy can't be written"));
}

static void send_report(struct queue *q, struct mail *mail, struct outcome_report *report, const uint32_t *indexes, size_t count)
{
    char name[QUEUE_ID_LENGTH], of[QUEUE_ID_LENGTH];
    struct buffer whole released_by(buffer_done) = buffer_new(outcome_report_limit(report)), to released_by(buffer_done) = buffer_new(1024);
    struct envelope_recipient recipient;
    struct envelope e;
    uint64_t id;
    outcome_report_envelope(report, &recipient, &e);
    e.arrived_ms = clock_wall_ms();
    e.session = TEXT("report");
    e.listener = TEXT("local");
    address_append(&to, &recipient.address);
    if (!outcome_report_write(&whole, report) || !queue_append_own(q, &e, buffer_text(&whole), 0, 0, &id)) {
        role_event(q->role, RECORD_ALARM, TEXT("report-failed"), (struct text[]){TEXT("id"), queue_id_text(mail->id, name)}, 2);
        if (report->kind == OUTCOME_REPORT_FAILED) /* else nobody would ever hear of it */
            hold(q, mail, indexes, count, TEXT("the report can't be written"));
        return;
    }
    q->reports++;
    role_event(q->role, RECORD_INFO, TEXT("report-made"),
               (struct text[]){TEXT("id"), queue_id_text(id, name), TEXT("of"), queue_id_text(mail->id, of), TEXT("for"), buffer_text(&to)}, 6);
}

void queue_report(struct queue *q, struct mail *mail, enum outcome_report_kind kind, const uint32_t *indexes, const struct result *results, size_t count)
{
    char name[QUEUE_ID_LENGTH], report_name[QUEUE_ID_LENGTH];
    struct outcome_report_recipient *rows = calloc(count, sizeof *rows);
    struct body_source source = {.queue = q, .id = mail->id};
    must(rows != NULL);
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct outcome_report_recipient){.recipient = &mail->envelope.recipients[indexes[i]], .result = &results[i],
                                                    .tried_ms = mail->recipients[indexes[i]].tried_ms};
    struct outcome_report report = {
        .kind = kind,
        .settings = q->role->settings,
        .envelope = &mail->envelope,
        .id = queue_id_text(mail->id, name),
        .report_id = queue_id_text(queue_id_make(q->role->boot, QUEUE_OWN_LANE, q->next_own + 1), report_name),
        .recipients = rows,
        .recipient_count = count,
        .now_ms = clock_wall_ms(),
        .seed = random_number(),
        .message_length = mail->body_length,
        .body = read_body,
        .body_context = &source,
    };
    /* who is authorised sends from one of our domains, but for what the administrator allowed to others */
    switch (outcome_addressee(q->role->settings, &mail->envelope, kind, mail->envelope.authorised.length > 0)) {
    case OUTCOME_TO_NOBODY:
        break;
    case OUTCOME_TO_SENDER:
        send_report(q, mail, &report, indexes, count);
        break;
    case OUTCOME_TO_BAD_MAIL:
        send_to_bad_mail(q, mail, &report, indexes, count);
        break;
    }
    free(rows);
}

/* A message that was here for this recipient before goes in a circle (Delivered-To). */
static bool was_here(struct queue *q, const struct mail *mail, struct text address)
{
    static char octets[HEADER_LOOK];
    size_t got = 0;
    struct header_field field;
    if (spool_read_body(q->spool, mail->id, 0, octets, sizeof octets, &got) != SPOOL_OK)
        return false;
    struct text rest = text_of(octets, got);
    while (header_take_field(&rest, &field))
        if (text_equals_ignoring_case(field.name, TEXT("Delivered-To")) && text_equals_ignoring_case(text_trimmed(field.value), address))
            return true;
    return false;
}

struct result queue_forward(struct queue *q, struct mail *mail, uint32_t recipient)
{
    const struct recipient_facts *facts = &mail->recipients[recipient];
    struct buffer address released_by(buffer_done) = buffer_new(1024), front released_by(buffer_done) = buffer_new(2048);
    struct envelope_recipient to[64];
    size_t count = 0;
    uint64_t id;
    address_append(&address, &mail->envelope.recipients[recipient].address);
    if (was_here(q, mail, buffer_text(&address)))
        return (struct result){.class = RESULT_FAILED, .code = 554, .enhanced = TEXT("5.4.6"), .stage = TEXT("mailbox"), .text = TEXT("Mail loop: the message was here before")};
    for (size_t i = 0; i < facts->forward_count; i++) {
        struct envelope_recipient one = mail->envelope.recipients[recipient];
        if (address_parse(facts->forwards[i], true, &one.address) == ADDRESS_OK && !route_forward_is_loop(&mail->envelope.recipients[recipient].address, &one.address))
            to[count++] = one;
    }
    if (count == 0)
        return (struct result){.class = RESULT_FAILED, .code = 550, .enhanced = TEXT("5.4.6"), .stage = TEXT("mailbox"), .text = TEXT("The alias leads back to itself")};
    struct envelope e = mail->envelope;
    e.recipients = to;
    e.recipient_count = count;
    e.session = TEXT("forward");
    e.listener = TEXT("local");
    ignored(buffer_append_format(&front, "Delivered-To: %.*s\r\n", TEXT_ARGUMENTS(buffer_text(&address)))); /* fits */
    if (!queue_append_own(q, &e, buffer_text(&front), mail->id, mail->body_length, &id))
        return (struct result){.class = RESULT_DEFERRED, .code = 452, .enhanced = TEXT("4.3.1"), .stage = TEXT("mailbox"), .text = TEXT("The forwarded copy can't be stored now")};
    return (struct result){.class = RESULT_DELIVERED, .enhanced = TEXT("2.1.5"), .stage = TEXT("mailbox"), .text = TEXT("Forwarded")};
}
