/* SPDX-License-Identifier: Apache-2.0 */
/* A message in memory, and where its recipients' mail goes. */
#include "roles/queue.h"

#include <stdlib.h>
#include <string.h>

enum { ROUTES_KEPT_MS = 60000, ENVELOPE_LIMIT = 64 << 20 };

/* What the vault said of an address; counted nowhere, forgotten whole. */
struct known_route {
    enum mail_address_kind kind;
    uint64_t quota;
    struct buffer account;
    struct text forwards[64];
    size_t forward_count;
    struct arena arena;
};

struct asked_route {
    uint64_t mail;
    uint32_t recipient;
};

struct text queue_key(uint64_t number, char octets[8])
{
    memcpy(octets, &number, 8);
    return text_of(octets, 8);
}

struct text queue_id_text(uint64_t id, char octets[QUEUE_ID_LENGTH])
{
    struct buffer b = buffer_new(QUEUE_ID_LENGTH);
    must(queue_id_append(&b, id));
    memcpy(octets, b.bytes, QUEUE_ID_LENGTH);
    buffer_done(&b);
    return text_of(octets, QUEUE_ID_LENGTH);
}

/* --- in and out of memory ------------------------------------------------------------------------------------------------------------ */

static struct mail *mail_new(uint64_t id)
{
    struct mail *mail = calloc(1, sizeof *mail);
    must(mail != NULL);
    *mail = (struct mail){.id = id, .octets = buffer_new(ENVELOPE_LIMIT), .arena = arena_new(ENVELOPE_LIMIT)};
    return mail;
}

static void mail_free(struct mail *mail)
{
    buffer_done(&mail->octets);
    arena_done(&mail->arena);
    free(mail);
}

static bool keep(struct queue *q, struct mail *mail)
{
    char octets[8];
    return map_put(&q->mails, queue_key(mail->id, octets), mail);
}

static bool make_recipients(struct mail *mail)
{
    mail->recipients = arena_take_array(&mail->arena, larger(mail->envelope.recipient_count, 1), sizeof *mail->recipients);
    return mail->recipients != NULL;
}

bool queue_mail_of_take(struct queue *q, uint64_t id, struct text envelope, uint64_t body_length)
{
    if (q->mails.count >= QUEUE_MAILS / 2)
        return true; /* read again when its turn comes */
    struct mail *mail = mail_new(id);
    if (!buffer_append(&mail->octets, envelope) || !envelope_unpack(buffer_text(&mail->octets), &mail->arena, &mail->envelope) ||
        !make_recipients(mail) || !keep(q, mail)) {
        mail_free(mail);
        return false;
    }
    mail->taken_ms = clock_wall_ms();
    mail->body_length = body_length;
    mail->is_fresh = true;
    return true;
}

static void apply_updates(struct mail *mail, const struct spool_message *message)
{
    for (size_t i = 0; i < message->update_count; i++) {
        const struct spool_update *u = &message->updates[i];
        struct text result;
        if (u->recipient >= mail->envelope.recipient_count)
            continue;
        struct recipient_facts *facts = &mail->recipients[u->recipient];
        facts->state = u->state;
        facts->attempts = u->attempts;
        facts->flags = u->flags;
        if (u->result.length && arena_copy(&mail->arena, u->result, &result))
            facts->last_result = result;
    }
}

struct mail *queue_mail_open(struct queue *q, uint64_t id)
{
    char octets[8], name[QUEUE_ID_LENGTH];
    struct mail *mail = map_find(&q->mails, queue_key(id, octets));
    struct spool_message message;
    if (mail)
        return mail;
    mail = mail_new(id);
    enum spool_result result = spool_read(q->spool, id, &mail->octets, &mail->arena, &message);
    bool is_good = result == SPOOL_OK && envelope_unpack(message.envelope, &mail->arena, &mail->envelope) && make_recipients(mail) && keep(q, mail);
    if (!is_good) {
        if (result != SPOOL_UNKNOWN)
            role_event(q->role, RECORD_ALARM, TEXT("message-unreadable"),
                       (struct text[]){TEXT("id"), queue_id_text(id, name), TEXT("why"), spool_result_word(result)}, 4);
        mail_free(mail);
        return NULL;
    }
    mail->taken_ms = message.taken_ms;
    mail->body_length = message.body_length;
    mail->is_durable = true;
    apply_updates(mail, &message);
    return mail;
}

void queue_mail_release(struct queue *q, struct mail *mail)
{
    char octets[8];
    if (mail->holders || mail->asked || mail->first_work || !mail->is_durable)
        return;
    ignored(map_remove(&q->mails, queue_key(mail->id, octets))); /* it is there */
    mail_free(mail);
}

bool queue_mail_is_done(const struct mail *mail)
{
    for (size_t i = 0; i < mail->envelope.recipient_count; i++)
        if (mail->recipients[i].state != SPOOL_DONE)
            return false;
    return true;
}

/* --- routes -------------------------------------------------------------------------------------------------------------------------- */

void queue_routes_forget(struct queue *q)
{
    size_t place = 0;
    struct text key;
    void *value;
    while (map_next(&q->routes, &place, &key, &value)) {
        struct known_route *known = value;
        buffer_done(&known->account);
        arena_done(&known->arena);
        free(known);
    }
    map_clear(&q->routes);
    q->routes_since_ms = clock_monotonic_ms();
}

static void set_route(struct queue *q, struct mail *mail, uint32_t recipient, const struct known_route *known)
{
    struct recipient_facts *facts = &mail->recipients[recipient];
    struct route_question question = {
        .recipient = &mail->envelope.recipients[recipient].address,
        .kind = known->kind,
        .account = buffer_text(&known->account),
        .forward_count = known->forward_count,
    };
    facts->is_routed = true;
    facts->quota = known->quota;
    facts->forward_count = 0;
    facts->forwards = known->forward_count ? arena_take_array(&mail->arena, known->forward_count, sizeof *facts->forwards) : NULL;
    for (size_t i = 0; facts->forwards && i < known->forward_count; i++)
        facts->forward_count += arena_copy(&mail->arena, known->forwards[i], &facts->forwards[facts->forward_count]);
    if (!route_decide(&mail->arena, &question, q->role->settings, &facts->route))
        facts->route = (struct route){.kind = ROUTE_LATER, .reason = ROUTE_REASON_UNAVAILABLE};
    struct text account;
    if (facts->route.account.length && arena_copy(&mail->arena, facts->route.account, &account))
        facts->route.account = account; /* the vault's words go with the next change */
    /* all mailboxes are one destination: the role that holds them */
    if (facts->route.kind == ROUTE_MAILBOX)
        facts->route.destination = TEXT("mailbox");
    else if (facts->route.kind != ROUTE_DNS && facts->route.kind != ROUTE_HOSTS)
        facts->route.destination = TEXT("here");
}

static void append_recipient_key(struct buffer *b, const struct mail *mail, uint32_t recipient)
{
    address_append_key(b, &mail->envelope.recipients[recipient].address);
}

static void ask_route(struct queue *q, struct mail *mail, uint32_t recipient)
{
    char octets[8];
    struct buffer address released_by(buffer_done) = buffer_new(1024);
    struct asked_route *asked = malloc(sizeof *asked);
    must(asked != NULL);
    *asked = (struct asked_route){.mail = mail->id, .recipient = recipient};
    address_append(&address, &mail->envelope.recipients[recipient].address);
    struct peers_route_ask ask = {.tag = ++q->next_tag, .recipient = buffer_text(&address)};
    mail->recipients[recipient].is_asked = true;
    if (map_put(&q->asked_routes, queue_key(ask.tag, octets), asked) && link_send(role_link(q->role, PEERS_VAULT), PEERS_route_ask, &ask, NULL)) {
        mail->asked++;
        return;
    }
    ignored(map_remove(&q->asked_routes, queue_key(ask.tag, octets))); /* perhaps it was not put */
    free(asked);
    struct known_route unavailable = {.kind = MAIL_ADDRESS_UNAVAILABLE};
    set_route(q, mail, recipient, &unavailable);
}

void queue_mail_route(struct queue *q, struct mail *mail)
{
    struct buffer key released_by(buffer_done) = buffer_new(1024);
    if (clock_monotonic_ms() - q->routes_since_ms > ROUTES_KEPT_MS || q->routes.count >= QUEUE_ROUTES)
        queue_routes_forget(q);
    mail->asked++; /* so that an answer that is there at once does not end it too early */
    for (uint32_t i = 0; i < mail->envelope.recipient_count; i++) {
        if (mail->recipients[i].state != SPOOL_WAITING || mail->recipients[i].is_asked)
            continue;
        buffer_clear(&key);
        append_recipient_key(&key, mail, i);
        const struct known_route *known = map_find(&q->routes, buffer_text(&key));
        if (known)
            set_route(q, mail, i, known);
        else
            ask_route(q, mail, i);
    }
    if (--mail->asked == 0)
        queue_mail_routed(q, mail);
}

static struct known_route *remember(struct queue *q, struct mail *mail, uint32_t recipient, const struct peers_route_answer *answer)
{
    struct buffer key released_by(buffer_done) = buffer_new(1024);
    struct known_route *known = calloc(1, sizeof *known);
    must(known != NULL);
    *known = (struct known_route){.kind = answer->kind < MAIL_ADDRESS_KINDS ? (enum mail_address_kind)answer->kind : MAIL_ADDRESS_UNAVAILABLE,
                                  .quota = answer->quota, .account = buffer_new(512), .arena = arena_new(65536)};
    ignored(buffer_append(&known->account, answer->account)); /* as long as peers.def allows */
    for (size_t i = 0; i < answer->forwards.count; i++)
        known->forward_count += arena_copy(&known->arena, answer->forwards.items[i], &known->forwards[known->forward_count]);
    append_recipient_key(&key, mail, recipient);
    struct known_route *before = map_find(&q->routes, buffer_text(&key));
    if (before) {
        buffer_done(&before->account);
        arena_done(&before->arena);
        *before = *known;
        free(known);
        return before;
    }
    return map_put(&q->routes, buffer_text(&key), known) ? known : NULL;
}

static void answered(struct queue *q, uint64_t tag, const struct peers_route_answer *answer)
{
    char octets[8];
    struct asked_route *asked = map_remove(&q->asked_routes, queue_key(tag, octets));
    struct mail *mail = asked ? map_find(&q->mails, queue_key(asked->mail, octets)) : NULL;
    if (mail) {
        struct known_route unavailable = {.kind = MAIL_ADDRESS_UNAVAILABLE};
        const struct known_route *known = answer && answer->kind != MAIL_ADDRESS_UNAVAILABLE ? remember(q, mail, asked->recipient, answer) : NULL;
        mail->recipients[asked->recipient].is_asked = false;
        set_route(q, mail, asked->recipient, known ? known : &unavailable);
        if (--mail->asked == 0)
            queue_mail_routed(q, mail);
    }
    free(asked);
}

void queue_route_answer(struct queue *q, const struct peers_route_answer *answer)
{
    answered(q, answer->tag, answer);
}

void queue_routes_lost(struct queue *q)
{
    size_t place = 0;
    struct text key;
    void *value;
    while (place = 0, map_next(&q->asked_routes, &place, &key, &value)) {
        uint64_t tag;
        memcpy(&tag, key.bytes, sizeof tag);
        answered(q, tag, NULL);
    }
}
