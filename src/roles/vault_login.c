/* SPDX-License-Identifier: Apache-2.0 */
/* Known and unknown names go the same way: an unknown one, a disabled account, one without a password get a credential
 * that looks and costs like theirs, and fails. */
#include "roles/vault.h"

#include "accounts/credential.h"

#include <stdlib.h>
#include <string.h>

struct vault_exchange {
    struct vault *vault;
    struct link *from;
    uint64_t exchange, tag, session;
    uint64_t deadline_ms;
    struct login login;
    struct buffer client, service;
    struct buffer account, credential; /* what the name stands for; account is empty when it can't be right */
    struct text why;                   /* of a failure, for the log alone; a constant */
    struct vault_check *check;
};

enum { KEY_LENGTH = 16 };

static struct text key_of(const struct link *from, uint64_t exchange, char *room)
{
    uint64_t link = (uintptr_t)from;
    memcpy(room, &link, 8);
    memcpy(room + 8, &exchange, 8);
    return text_of(room, KEY_LENGTH);
}

static void free_exchange(struct vault_exchange **exchange)
{
    struct vault_exchange *x = *exchange;
    *exchange = NULL;
    vault_check_drop(x->vault, &x->check);
    login_done(&x->login);
    buffer_done(&x->client);
    buffer_done(&x->service);
    buffer_done(&x->account);
    buffer_wipe_done(&x->credential);
    free(x);
}

static void forget_exchange(struct vault_exchange *x)
{
    char room[KEY_LENGTH];
    ignored(map_remove(&x->vault->exchanges, key_of(x->from, x->exchange, room)) != NULL); /* it is x */
    free_exchange(&x);
}

static void answer(struct link *to, uint64_t tag, enum mail_login_state state, struct text challenge)
{
    struct peers_login_answer message = {.tag = tag, .state = state, .challenge = challenge};
    ignored(link_send(to, PEERS_login_answer, &message, NULL)); /* nobody waits for it any more */
}

/* --- the end of an exchange
 * ------------------------------------------------------------------------------------------------------- */

static void log_end(struct vault_exchange *x, bool is_done)
{
    struct buffer session released_by(buffer_done) = buffer_new(24);
    ignored(session_name_append(&session, x->session)); /* seventeen octets fit */
    const struct text pairs[] = {
        TEXT("login"),
        text_first(buffer_text(&x->login.name), 320),
        TEXT("client"),
        buffer_text(&x->client),
        TEXT("service"),
        buffer_text(&x->service),
        TEXT("mechanism"),
        login_mechanism_word(x->login.mechanism),
        TEXT("session"),
        buffer_text(&session),
        is_done ? TEXT("account") : TEXT("why"),
        is_done ? buffer_text(&x->account) : x->why,
    };
    role_event(x->vault->role, is_done ? RECORD_INFO : RECORD_NOTICE, is_done ? TEXT("login") : TEXT("login-failed"),
               pairs, length_of(pairs));
}

/* Answers, logs and forgets. */
static void fail(struct vault_exchange *x, enum mail_login_state state, struct text why)
{
    x->why = why;
    x->vault->failures += state == MAIL_LOGIN_WRONG;
    answer(x->from, x->tag, state, TEXT_NONE);
    log_end(x, false);
    forget_exchange(x);
}

static void succeed(struct vault_exchange *x)
{
    struct vault *v = x->vault;
    struct buffer octets released_by(buffer_done) = buffer_new(TICKET_LENGTH);
    struct ticket ticket = {.account = buffer_text(&x->account),
                            .session = x->session,
                            .expires_ms = clock_monotonic_ms() + VAULT_TICKET_MS};
    if (!ticket_make(&v->tickets, &ticket, &octets)) {
        fail(x, MAIL_LOGIN_UNAVAILABLE, TEXT("no ticket could be made"));
        return;
    }
    struct peers_login_answer done = {
        .tag = x->tag, .state = MAIL_LOGIN_DONE, .account = ticket.account, .ticket = buffer_text(&octets)};
    v->logins++;
    ignored(link_send(x->from, PEERS_login_answer, &done, NULL)); /* nobody waits for it any more */
    log_end(x, true);
    forget_exchange(x);
}

static void renew(struct vault_exchange *x, struct text better)
{
    if (accounts_user_renew(x->vault->accounts, buffer_text(&x->account), buffer_text(&x->credential), better) ==
        ACCOUNTS_OK)
        role_event(x->vault->role, RECORD_INFO, TEXT("credential-renewed"),
                   (struct text[]){TEXT("account"), buffer_text(&x->account)}, 2);
}

/* An account may have been disabled or removed, or got another password, while the verifier was at it: what counts is
 * now. */
static bool is_still_so(struct vault_exchange *x)
{
    struct arena arena released_by(arena_done) = arena_new(8192);
    struct accounts_user user;
    struct address address;
    return address_parse(buffer_text(&x->account), true, &address) == ADDRESS_OK &&
           accounts_user_find(x->vault->accounts, &address, &arena, &user) == ACCOUNTS_OK && !user.is_disabled &&
           text_equals(user.credential, buffer_text(&x->credential));
}

static void checked(struct vault *v not_used, void *context, enum vault_verdict verdict, struct text record)
{
    struct vault_exchange *x = context;
    x->check = NULL;
    if (verdict == VAULT_NO_VERDICT)
        fail(x, MAIL_LOGIN_UNAVAILABLE, TEXT("no verifier answered"));
    else if (x->account.length == 0)
        fail(x, MAIL_LOGIN_WRONG, x->why);
    else if (verdict == VAULT_WRONG)
        fail(x, MAIL_LOGIN_WRONG, TEXT("wrong password"));
    else if (!accounts_is_available(x->vault->accounts))
        fail(x, MAIL_LOGIN_UNAVAILABLE, TEXT("the accounts store is not available"));
    else if (!is_still_so(x))
        fail(x, MAIL_LOGIN_WRONG, TEXT("the account changed meanwhile"));
    else {
        if (record.length)
            renew(x, record);
        succeed(x);
    }
}

/* --- steps
 * -------------------------------------------------------------------------------------------------------------------------
 */

static bool take_fake(struct vault_exchange *x, struct text why)
{
    struct text key;
    x->why = why;
    return accounts_fake_key(x->vault->accounts, &key) == ACCOUNTS_OK &&
           credential_make_fake(key, buffer_text(&x->login.name), &x->credential);
}

static bool take_account(struct vault_exchange *x, const struct accounts_user *user)
{
    if (user->is_disabled)
        return take_fake(x, TEXT("the account is disabled"));
    if (user->credential.length == 0)
        return take_fake(x, TEXT("the account has no password"));
    return buffer_append(&x->account, user->address) && buffer_append(&x->credential, user->credential);
}

/* False: the store could not say. */
static bool find_account(struct vault_exchange *x)
{
    struct arena arena released_by(arena_done) = arena_new(16384);
    struct accounts_user user;
    if (!vault_refresh(x->vault))
        return false;
    enum accounts_result result =
        accounts_login_find(x->vault->accounts, x->vault->role->settings, buffer_text(&x->login.name), &arena, &user);
    if (result == ACCOUNTS_OK)
        return take_account(x, &user);
    return result == ACCOUNTS_UNKNOWN && take_fake(x, TEXT("no such account"));
}

static void check_password(struct vault_exchange *x)
{
    if (!find_account(x)) {
        fail(x, MAIL_LOGIN_UNAVAILABLE, TEXT("the accounts store is not available"));
        return;
    }
    struct vault_question question = {
        .mechanism = login_mechanism_word(x->login.mechanism),
        .record = buffer_text(&x->credential),
        .response = buffer_text(&x->login.response),
        .client = buffer_text(&x->client),
        .account = x->account.length ? buffer_text(&x->account) : buffer_text(&x->login.name),
        .function = checked,
        .context = x,
    };
    x->check = vault_check_new(x->vault, &question);
    buffer_wipe_done(&x->login.response);
    if (!x->check)
        fail(x, MAIL_LOGIN_UNAVAILABLE, TEXT("no verifier, or too many wait"));
    else
        vault_check_serve(x->vault); /* x may be gone */
}

static void go_on(struct vault_exchange *x, enum login_outcome outcome, struct text challenge)
{
    switch (outcome) {
    case LOGIN_CHALLENGE:
        answer(x->from, x->tag, MAIL_LOGIN_CONTINUE, challenge);
        return;
    case LOGIN_CHECK:
        check_password(x);
        return;
    case LOGIN_MALFORMED:
        fail(x, MAIL_LOGIN_MALFORMED, TEXT("malformed"));
        return;
    case LOGIN_UNSUPPORTED:
        fail(x, MAIL_LOGIN_UNSUPPORTED, TEXT("mechanism not offered"));
        return;
    case LOGIN_WRONG:
        fail(x, MAIL_LOGIN_WRONG, TEXT("no password, or for somebody else"));
        return;
    }
}

static struct vault_exchange *new_exchange(struct vault *v, struct link *from, const struct peers_login_ask *ask)
{
    struct vault_exchange *x = calloc(1, sizeof *x);
    char room[KEY_LENGTH];
    must(x != NULL);
    *x = (struct vault_exchange){
        .vault = v,
        .from = from,
        .exchange = ask->exchange,
        .session = ask->session,
        .client = buffer_new(64),
        .service = buffer_new(16),
        .account = buffer_new(1024),
        .credential = buffer_new(CREDENTIAL_LIMIT),
    };
    bool fits = buffer_append(&x->client, ask->client) && buffer_append(&x->service, ask->service) &&
                map_put(&v->exchanges, key_of(from, ask->exchange, room), x);
    if (!fits)
        free_exchange(&x);
    return x;
}

static void step(struct vault *v, struct link *from, const struct peers_login_ask *ask)
{
    char room[KEY_LENGTH];
    struct text challenge = TEXT_NONE;
    bool is_first = ask->mechanism.length > 0;
    struct vault_exchange *x = map_find(&v->exchanges, key_of(from, ask->exchange, room));
    if (x && (is_first || x->check)) { /* begun anew, or two steps at once: the old one is void */
        forget_exchange(x);
        x = NULL;
    }
    if (!x && !is_first) { /* this vault is not the one it began with */
        answer(from, ask->tag, MAIL_LOGIN_UNAVAILABLE, TEXT_NONE);
        return;
    }
    if (!x)
        x = new_exchange(v, from, ask);
    if (!x) {
        answer(from, ask->tag, MAIL_LOGIN_UNAVAILABLE, TEXT_NONE);
        return;
    }
    x->tag = ask->tag;
    x->deadline_ms = clock_monotonic_ms() + VAULT_EXCHANGE_MS;
    enum login_outcome outcome =
        is_first ? login_begin(&x->login, ask->mechanism, ask->is_encrypted == 1, ask->response, &challenge)
                 : login_continue(&x->login, ask->response, &challenge);
    go_on(x, outcome, challenge);
}

void vault_login(struct vault *v, struct link *from, const struct peers_login_ask *ask)
{
    step(v, from, ask);
    /* the packet it came in lives on until the next one */
    explicit_bzero((char *)(uintptr_t)ask->response.bytes, ask->response.length);
}

void vault_login_drop(struct vault *v, struct link *from, uint64_t exchange)
{
    char room[KEY_LENGTH];
    struct vault_exchange *x = map_find(&v->exchanges, key_of(from, exchange, room));
    if (x)
        forget_exchange(x);
}

enum { BATCH = 64 };

/* Those of that link, and those that are too old; some at a time, as a map is not changed while it is walked. */
static size_t find_over(struct vault *v, const struct link *from, uint64_t now_ms, struct vault_exchange **ret_found)
{
    size_t place = 0, count = 0;
    struct text key;
    void *value;
    while (count < BATCH && map_next(&v->exchanges, &place, &key, &value)) {
        struct vault_exchange *x = value;
        if (x->from == from || x->deadline_ms <= now_ms)
            ret_found[count++] = x;
    }
    return count;
}

static void forget_over(struct vault *v, const struct link *from, uint64_t now_ms)
{
    struct vault_exchange *found[BATCH];
    size_t count;
    while ((count = find_over(v, from, now_ms, found)))
        for (size_t i = 0; i < count; i++)
            forget_exchange(found[i]);
}

void vault_login_unlinked(struct vault *v, struct link *from)
{
    forget_over(v, from, 0);
}

void vault_login_tick(struct vault *v, uint64_t now_ms)
{
    forget_over(v, NULL, now_ms);
}

void vault_login_done(struct vault *v)
{
    vault_login_tick(v, UINT64_MAX);
    map_done(&v->exchanges);
}
