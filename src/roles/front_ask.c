/* SPDX-License-Identifier: Apache-2.0 */
/* Questions that a worker asks and waits for: addresses and log-ins of the vault; and the policy's verdict out of their answers. */
#include "roles/front.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { FACTS_KEPT_MS = 10000, FACTS_LIMIT = 4096, POLICY_STEPS = 16 };

/* --- question and answer ------------------------------------------------------------------------------------------------------------- */

static uint64_t ask_begin(struct worker *w)
{
    struct answer *a = &w->answer;
    pthread_mutex_lock(&a->lock);
    a->tag = (uint64_t)w->number << 40 | (++w->next_tag & 0xffffffffff);
    a->is_there = a->is_lost = false;
    buffer_clear(&a->text);
    buffer_clear(&a->second);
    buffer_clear(&a->third);
    uint64_t tag = a->tag;
    pthread_mutex_unlock(&a->lock);
    return tag;
}

/* True: the answer stands in w->answer, which nobody else touches then. */
static bool ask_wait(struct worker *w, bool was_sent)
{
    struct answer *a = &w->answer;
    struct timespec until;
    must(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += FRONT_ASK_DEADLINE_MS / 1000;
    if (was_sent)
        front_before_waiting(w);
    pthread_mutex_lock(&a->lock);
    int result = 0;
    while (was_sent && !a->is_there && !a->is_lost && result != ETIMEDOUT)
        result = pthread_cond_timedwait(&a->came, &a->lock, &until);
    a->tag = 0;
    bool is_there = a->is_there;
    pthread_mutex_unlock(&a->lock);
    if (was_sent)
        front_after_waiting(w);
    return is_there;
}

static struct worker *worker_of(struct front *f, uint64_t tag)
{
    uint64_t number = tag >> 40;
    return number < FRONT_WORKERS ? f->workers[number] : NULL;
}

void front_answered(struct front *f, const struct peers_message *message)
{
    bool is_login = message->type == PEERS_login_answer;
    uint64_t tag = is_login ? message->login_answer.tag : message->addresses_answer.tag;
    pthread_mutex_lock(&f->lock);
    struct worker *w = worker_of(f, tag);
    if (w) {
        struct answer *a = &w->answer;
        pthread_mutex_lock(&a->lock);
        if (a->tag == tag) {
            a->is_there = true;
            a->type = message->type;
            a->number = is_login ? message->login_answer.state : message->addresses_answer.generation;
            ignored(buffer_append(&a->text, is_login ? message->login_answer.challenge : message->addresses_answer.kinds)); /* as long as peers.def allows */
            if (is_login) {
                ignored(buffer_append(&a->second, message->login_answer.account)); /* as above */
                ignored(buffer_append(&a->third, message->login_answer.ticket));   /* as above */
            }
            pthread_cond_signal(&a->came);
        }
        pthread_mutex_unlock(&a->lock);
    }
    pthread_mutex_unlock(&f->lock);
}

void front_unanswered(struct front *f)
{
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < FRONT_WORKERS; i++) {
        struct worker *w = f->workers[i];
        if (!w)
            continue;
        pthread_mutex_lock(&w->answer.lock);
        w->answer.is_lost = true;
        pthread_cond_signal(&w->answer.came);
        pthread_mutex_unlock(&w->answer.lock);
    }
    pthread_mutex_unlock(&f->lock);
}

/* --- addresses ----------------------------------------------------------------------------------------------------------------------- */

/* What a worker remembers is forgotten when an account changed, and after some seconds (a mailbox fills without a change of accounts). */
static void facts_freshen(struct worker *w)
{
    uint64_t now = clock_monotonic_ms(), generation = atomic_load(&w->front->accounts_generation);
    if (w->facts_generation == generation && now - w->facts_since_ms < FACTS_KEPT_MS && w->facts.count < FACTS_LIMIT)
        return;
    map_clear(&w->facts);
    w->facts_generation = generation;
    w->facts_since_ms = now;
}

static void append_fact_key(struct buffer *b, const struct address *address, struct text login)
{
    address_append_key(b, address);
    ignored(buffer_append_octet(b, '\0')); /* no key holds one */
    ignored(buffer_append(b, login));      /* a cut key only misses */
}

static void remember(struct worker *w, struct text key, enum mail_address_kind kind)
{
    if (kind != MAIL_ADDRESS_UNAVAILABLE && kind != MAIL_ADDRESS_LOCAL_FULL)
        ignored(map_put(&w->facts, key, (void *)(uintptr_t)((unsigned)kind + 1))); /* a full one is asked again */
}

/* One question for all that are not known. */
static void find_kinds(struct worker *w, const struct address *const *addresses, size_t count, struct text login, enum mail_address_kind *kinds)
{
    struct buffer octets[SMTP_RECIPIENTS_AT_ONCE];
    struct text items[SMTP_RECIPIENTS_AT_ONCE];
    size_t places[SMTP_RECIPIENTS_AT_ONCE], asked = 0;
    struct buffer key released_by(buffer_done) = buffer_new(2048);
    facts_freshen(w);
    for (size_t i = 0; i < count; i++) {
        buffer_clear(&key);
        append_fact_key(&key, addresses[i], login);
        void *known = map_find(&w->facts, buffer_text(&key));
        kinds[i] = known ? (enum mail_address_kind)((uintptr_t)known - 1) : MAIL_ADDRESS_UNAVAILABLE;
        if (known)
            continue;
        octets[asked] = buffer_new(1024);
        address_append(&octets[asked], addresses[i]);
        items[asked] = buffer_text(&octets[asked]);
        places[asked++] = i;
    }
    if (asked == 0)
        return;
    struct peers_addresses_ask ask = {.tag = ask_begin(w), .login = login, .addresses = {.items = items, .count = asked}};
    bool is_there = ask_wait(w, link_send(role_link(w->front->role, PEERS_VAULT), PEERS_addresses_ask, &ask, NULL));
    struct text got = is_there && w->answer.type == PEERS_addresses_answer ? buffer_text(&w->answer.text) : TEXT_NONE;
    bool is_same = is_there && w->answer.number == w->facts_generation;
    for (size_t i = 0; i < asked; i++) {
        if (i < got.length && (unsigned char)got.bytes[i] < MAIL_ADDRESS_KINDS && got.bytes[i] != MAIL_ADDRESS_UNKNOWN_YET) {
            enum mail_address_kind kind = (enum mail_address_kind)got.bytes[i];
            kinds[places[i]] = kind;
            buffer_clear(&key);
            append_fact_key(&key, addresses[places[i]], login);
            if (is_same)
                remember(w, buffer_text(&key), kind);
        }
        buffer_done(&octets[i]);
    }
}

static enum mail_address_kind find_kind(struct worker *w, const struct address *address, struct text login)
{
    enum mail_address_kind kind = MAIL_ADDRESS_UNAVAILABLE;
    find_kinds(w, &address, 1, login, &kind);
    return kind;
}

/* --- verdicts ------------------------------------------------------------------------------------------------------------------------ */

struct asked {
    const struct address *sender;
    const struct address *from;
    enum mail_address_kind recipient;
};

static struct policy_facts facts_of(const struct session *s, enum policy_stage stage)
{
    static const enum policy_listener listeners[SETTINGS_LISTEN_ROLES] = {
        [SETTINGS_LISTEN_SMTP] = POLICY_LISTENER_SMTP,
        [SETTINGS_LISTEN_SUBMISSION] = POLICY_LISTENER_SUBMISSION,
        [SETTINGS_LISTEN_SUBMISSIONS] = POLICY_LISTENER_SUBMISSIONS,
    };
    return (struct policy_facts){
        .stage = stage,
        .listener = listeners[s->service->row->role],
        .offers_auth = s->service->options.offers_auth,
        .is_encrypted = s->tls != NULL,
        .has_greeted = s->machine.has_said_hello,
        .is_logged_in = smtp_server_login(&s->machine).length > 0,
    };
}

static bool is_excepted(const struct session *s, const struct address *sender)
{
    const struct settings_bypasses *rows = &s->settings->settings->security_local_sender_exceptions;
    struct buffer text released_by(buffer_done) = buffer_new(1024);
    address_append(&text, sender);
    for (size_t i = 0; i < rows->count; i++) {
        const struct settings_bypass *row = &rows->rows[i];
        if (row->has_until && clock_wall_ms() >= row->until_ms)
            continue;
        if (row->has_network ? network_contains(&row->network, &s->address)
                             : text_equals_ignoring_case(row->value, buffer_text(&text)) || settings_domain_matches(row->value, sender->domain))
            return true;
    }
    return false;
}

/* Looks up the one fact that the policy still needs; false when nobody here can tell it. */
static bool find_fact(struct worker *w, struct session *s, struct policy_facts *facts, enum policy_input needs, const struct asked *asked)
{
    struct text login = smtp_server_login(&s->machine);
    switch ((int)needs) { /* the facts that are looked up; the others are known from the start */
    case POLICY_FACT_TRUSTED:
        facts->trusted = settings_trusts(s->settings->settings, &s->address) ? POLICY_ANSWER_YES : POLICY_ANSWER_NO;
        return true;
    case POLICY_FACT_POP:
        facts->pop = POLICY_POP_NONE; /* there is no POP3 server yet that could have seen one */
        return true;
    case POLICY_FACT_SENDER:
        facts->sender = asked->sender ? find_kind(w, asked->sender, login) : MAIL_ADDRESS_UNAVAILABLE;
        return true;
    case POLICY_FACT_RECIPIENT:
        facts->recipient = asked->recipient;
        return asked->recipient != MAIL_ADDRESS_UNKNOWN_YET;
    case POLICY_FACT_HEADER_FROM:
        facts->header_from = asked->from ? find_kind(w, asked->from, login) : MAIL_ADDRESS_UNAVAILABLE;
        return true;
    default:
        return false;
    }
}

static struct policy_verdict judge(struct worker *w, struct session *s, struct policy_facts *facts, const struct asked *asked)
{
    struct policy_verdict verdict = policy_judge(facts, &s->settings->policy);
    for (int i = 0; verdict.outcome == POLICY_NEEDS && i < POLICY_STEPS; i++) {
        if (!find_fact(w, s, facts, verdict.needs, asked))
            return (struct policy_verdict){.outcome = POLICY_REFUSE, .rule = POLICY_RULE_FACT_UNAVAILABLE, .reply = REPLY_FACTS_UNAVAILABLE};
        verdict = policy_judge(facts, &s->settings->policy);
    }
    if (verdict.outcome == POLICY_NEEDS) /* it asks for each fact once at most */
        return (struct policy_verdict){.outcome = POLICY_REFUSE, .rule = POLICY_RULE_FACT_UNAVAILABLE, .reply = REPLY_FACTS_UNAVAILABLE};
    return verdict;
}

static void note_way(struct session *s, const struct policy_facts *facts)
{
    enum policy_input needs;
    enum policy_way way;
    if (policy_way_of(facts, &s->settings->policy, &way, &needs)) /* else this stage did not ask: what an earlier one found holds */
        s->way = way;
}

/* subject fills the refusal's words. */
static struct smtp_answer answer_of(const struct policy_verdict *verdict, struct text subject)
{
    struct smtp_answer answer = {.reply = REPLY_NONE};
    if (verdict->outcome != POLICY_REFUSE)
        return answer;
    answer.reply = verdict->reply;
    answer.arguments.values[0] = subject;
    return answer;
}

static struct policy_facts sender_facts(const struct session *s, enum policy_stage stage, const struct envelope *e)
{
    struct policy_facts facts = facts_of(s, stage);
    facts.is_sender_null = address_is_null(&e->sender);
    facts.is_sender_excepted = is_excepted(s, &e->sender);
    return facts;
}

/* A text that answers point to until they are written, which is before the worker's next question. */
static struct text subject_of(struct worker *w, const struct address *address)
{
    struct buffer b released_by(buffer_done) = buffer_new(1024);
    struct text copy = TEXT_NONE;
    address_append(&b, address);
    ignored(arena_copy(&w->words, buffer_text(&b), &copy)); /* without it the reply says less */
    return copy;
}

static struct text limit_text(struct worker *w, uint64_t limit)
{
    struct buffer b released_by(buffer_done) = buffer_new(24);
    struct text copy = TEXT_NONE;
    ignored(buffer_append_number(&b, limit));            /* fits */
    ignored(arena_copy(&w->words, buffer_text(&b), &copy)); /* as above */
    return copy;
}

struct smtp_answer front_ask_sender(struct worker *w, struct session *s, const struct smtp_event *event)
{
    arena_done(&w->words);
    struct policy_facts facts = sender_facts(s, POLICY_STAGE_SENDER, event->envelope);
    uint64_t most = s->settings->settings->delivery_max_message_size;
    facts.is_over_size = most && event->declared_size > most;
    struct policy_verdict verdict = judge(w, s, &facts, &(struct asked){.sender = &event->envelope->sender});
    s->way = POLICY_WAY_NONE;
    note_way(s, &facts);
    if (verdict.reply == REPLY_MESSAGE_TOO_LARGE)
        return answer_of(&verdict, limit_text(w, most));
    return answer_of(&verdict, subject_of(w, &event->envelope->sender));
}

void front_ask_recipients(struct worker *w, struct session *s, const struct smtp_event *event, struct smtp_answer *answers)
{
    const struct address *addresses[SMTP_RECIPIENTS_AT_ONCE] = {NULL};
    enum mail_address_kind kinds[SMTP_RECIPIENTS_AT_ONCE];
    size_t count = smaller(event->recipient_count, SMTP_RECIPIENTS_AT_ONCE);
    size_t accepted = event->envelope->recipient_count, most = s->service->options.max_recipients;
    for (size_t i = 0; i < count; i++)
        addresses[i] = &event->recipients[i].address;
    arena_done(&w->words);
    find_kinds(w, addresses, count, TEXT_NONE, kinds);
    for (size_t i = 0; i < count; i++) {
        const struct address *address = addresses[i];
        struct policy_facts facts = sender_facts(s, POLICY_STAGE_RECIPIENT, event->envelope);
        bool is_bare_postmaster = address_is_postmaster(address) && address->domain.length == 0;
        facts.is_postmaster = address_is_postmaster(address);
        facts.is_over_recipients = most && accepted >= most;
        struct asked asked = {.sender = &event->envelope->sender, .recipient = is_bare_postmaster ? MAIL_ADDRESS_LOCAL : kinds[i]};
        struct policy_verdict verdict = judge(w, s, &facts, &asked);
        note_way(s, &facts);
        answers[i] = answer_of(&verdict, verdict.outcome == POLICY_REFUSE ? subject_of(w, address) : TEXT_NONE);
        if (verdict.reply == REPLY_TOO_MANY_RECIPIENTS)
            answers[i].arguments.values[0] = limit_text(w, most);
        accepted += verdict.outcome != POLICY_REFUSE;
    }
}

struct smtp_answer front_ask_message(struct worker *w, struct session *s, const struct smtp_event *event)
{
    arena_done(&w->words);
    const struct smtp_message *message = event->message;
    struct policy_facts facts = sender_facts(s, POLICY_STAGE_MESSAGE, event->envelope);
    uint64_t most = s->settings->settings->delivery_max_message_size, hops = s->settings->settings->advanced_max_hops;
    facts.has_header_from = message->has_from;
    facts.is_over_size = most && message->size > most;
    facts.is_over_hops = hops && message->hops > hops;
    struct policy_verdict verdict = judge(w, s, &facts, &(struct asked){.sender = &event->envelope->sender, .from = message->has_from ? &message->from : NULL});
    note_way(s, &facts);
    if (verdict.rule == POLICY_RULE_RELAY_NULL)
        front_event(w, s, RECORD_NOTICE, TEXT("null-sender-relayed"), (struct text[]){TEXT("login"), smtp_server_login(&s->machine)}, 2);
    s->is_marked = verdict.rule == POLICY_RULE_LOCAL_HEADER_MARKED;
    if (s->is_marked)
        front_event(w, s, RECORD_NOTICE, TEXT("local-header-marked"), (struct text[]){TEXT("from"), subject_of(w, &message->from)}, 2);
    if (verdict.reply == REPLY_MESSAGE_TOO_LARGE)
        return answer_of(&verdict, limit_text(w, most));
    if (verdict.reply == REPLY_MAIL_LOOP)
        return answer_of(&verdict, limit_text(w, hops));
    return answer_of(&verdict, message->has_from ? subject_of(w, &message->from) : TEXT_NONE);
}

struct smtp_answer front_ask_stage(struct worker *w, struct session *s, enum policy_stage stage)
{
    arena_done(&w->words);
    struct policy_facts facts = facts_of(s, stage);
    struct policy_verdict verdict = judge(w, s, &facts, &(struct asked){.sender = NULL});
    return answer_of(&verdict, TEXT_NONE);
}

/* --- log-ins ------------------------------------------------------------------------------------------------------------------------- */

static struct text word_of_state(enum mail_login_state state)
{
    switch (state) {
    case MAIL_LOGIN_CONTINUE:
        return TEXT("continue");
    case MAIL_LOGIN_DONE:
        return TEXT("done");
    case MAIL_LOGIN_WRONG:
        return TEXT("wrong");
    case MAIL_LOGIN_MALFORMED:
        return TEXT("malformed");
    case MAIL_LOGIN_UNSUPPORTED:
        return TEXT("unsupported");
    case MAIL_LOGIN_UNAVAILABLE:
        return TEXT("unavailable");
    }
    return TEXT("?");
}

enum mail_login_state front_ask_login(struct worker *w, struct session *s, const struct smtp_event *event, struct buffer *text)
{
    struct buffer address released_by(buffer_done) = buffer_new(SOCKET_ADDRESS_LIMIT), binding released_by(buffer_done) = buffer_new(64);
    if (event->mechanism.length) {
        struct smtp_answer answer = front_ask_stage(w, s, POLICY_STAGE_AUTH);
        s->exchange = atomic_fetch_add(&w->front->exchanges, 1) + 1;
        if (answer.reply != REPLY_NONE)
            return MAIL_LOGIN_UNSUPPORTED;
    }
    network_address_append(&address, &s->address);
    if (s->tls)
        ignored(tls_binding(s->tls, &binding)); /* mechanisms that bind fail without it */
    struct peers_login_ask ask = {
        .tag = ask_begin(w),
        .exchange = s->exchange,
        .session = front_session_number(s),
        .is_encrypted = s->tls != NULL,
        .service = TEXT("smtp"),
        .client = buffer_text(&address),
        .mechanism = event->mechanism,
        .response = event->response,
        .binding = buffer_text(&binding),
    };
    if (!ask_wait(w, link_send(role_link(w->front->role, PEERS_VAULT), PEERS_login_ask, &ask, NULL)) || w->answer.type != PEERS_login_answer)
        return MAIL_LOGIN_UNAVAILABLE;
    enum mail_login_state state = (enum mail_login_state)smaller(w->answer.number, MAIL_LOGIN_UNAVAILABLE);
    bool is_done = state == MAIL_LOGIN_DONE;
    ignored(buffer_append(text, buffer_text(is_done ? &w->answer.second : &w->answer.text))); /* as long as peers.def allows */
    if (is_done) {
        buffer_clear(&s->ticket);
        ignored(buffer_append(&s->ticket, buffer_text(&w->answer.third))); /* as above; a cut one is refused by the queue */
    }
    if (state != MAIL_LOGIN_CONTINUE)
        front_event(w, s, is_done ? RECORD_INFO : RECORD_NOTICE, is_done ? TEXT("session-login") : TEXT("session-login-failed"),
                    (struct text[]){TEXT("account"), is_done ? buffer_text(text) : TEXT_NONE, TEXT("state"), word_of_state(state)}, 4);
    return state;
}

void front_login_drop(struct worker *w, struct session *s)
{
    struct peers_login_drop drop = {.exchange = s->exchange};
    ignored(link_send(role_link(w->front->role, PEERS_VAULT), PEERS_login_drop, &drop, NULL)); /* a lost vault has dropped it */
}
