/* SPDX-License-Identifier: Apache-2.0 */
/* vault: the role that knows who exists and who may enter. It joins the accounts store, the dialogue of a log-in and
 * the verifiers; here is what its files share. Everything runs in one loop and nothing waits in it: a password goes to
 * a verifier and the answer comes back as a call. What holds a password is wiped, and no event or answer shows one. A
 * store in trouble makes every answer "unavailable". */
#ifndef ROLES_VAULT_H
#define ROLES_VAULT_H

#include "accounts/accounts.h"
#include "accounts/login.h"
#include "accounts/ticket.h"
#include "accounts/turn.h"
#include "roles/role.h"

enum {
    VAULT_TICK_MS = 1000,
    VAULT_CHECKS = 1024,    /* passwords that wait for a verifier */
    VAULT_CHECK_MS = 20000, /* how long one waits: less than front does */
    VAULT_EXCHANGES = 20000,
    VAULT_EXCHANGE_MS = 600000, /* a dialogue that nobody goes on with */
    VAULT_TICKET_MS = 86400000,
};

struct vault_exchange;

struct vault {
    struct role *role;
    struct accounts *accounts;
    struct ticket_keys tickets;
    struct turns *turns;      /* of struct vault_check */
    struct map exchanges;     /* 16 octets, link and exchange, to struct vault_exchange */
    struct vault_check *busy; /* those a verifier has, linked */
    struct loop_timer *tick;
    uint64_t next_check;
    uint64_t told_generation;
    bool is_trouble_told;
    uint64_t logins, failures, checks; /* since it began */
};

/* Looks after the store, tells of its trouble and its recovery, and of a new generation. */
bool vault_refresh(struct vault *v);
void vault_tell_generation(struct vault *v);

/* --- vault_check.c: passwords and verifiers
 * ------------------------------------------------------------------------------------ */
enum vault_verdict { VAULT_WRONG, VAULT_RIGHT, VAULT_NO_VERDICT };

/* record: the credential that was made, or the better one. Called once, unless dropped. */
typedef void vault_check_function(struct vault *v, void *context, enum vault_verdict verdict, struct text record);

struct vault_question {
    bool is_new;
    struct text mechanism, record, response; /* copied */
    struct text client, account;             /* whose turn it is */
    vault_check_function *function;
    void *context;
};

/* NULL: no verifier, or too many wait; the function is not called then. */
struct vault_check *vault_check_new(struct vault *v, const struct vault_question *question);
void vault_check_drop(struct vault *v, struct vault_check **check); /* the function is not called any more */
void vault_check_answered(struct vault *v, struct link *verifier, const struct peers_verify_answer *answer);
void vault_check_unlinked(struct vault *v, struct link *verifier);
void vault_check_serve(
    struct vault *v); /* to be called after vault_check_new; the function may be called from within */
void vault_check_tick(struct vault *v, uint64_t now_ms);
void vault_check_done(struct vault *v);
size_t vault_verifiers(struct vault *v);

/* --- vault_login.c
 * ------------------------------------------------------------------------------------------------------------- */
void vault_login(struct vault *v, struct link *from, const struct peers_login_ask *ask);
void vault_login_drop(struct vault *v, struct link *from, uint64_t exchange);
void vault_login_unlinked(struct vault *v, struct link *from);
void vault_login_tick(struct vault *v, uint64_t now_ms);
void vault_login_done(struct vault *v);

/* --- vault_address.c
 * ----------------------------------------------------------------------------------------------------------- */
void vault_addresses(struct vault *v, struct link *from, const struct peers_addresses_ask *ask);
void vault_route(struct vault *v, struct link *from, const struct peers_route_ask *ask);

/* --- vault_command.c, vault_list.c
 * ----------------------------------------------------------------------------------------------- */
void vault_command(struct vault *v, struct link *from, const struct peers_command_ask *ask);
void vault_command_domain_list(struct vault *v, struct link *from, const struct peers_command_ask *ask);
void vault_command_domain_first(struct vault *v, struct link *from, const struct peers_command_ask *ask);
void vault_command_account_list(struct vault *v, struct link *from, const struct peers_command_ask *ask);
void vault_command_alias_list(struct vault *v, struct link *from, const struct peers_command_ask *ask);
void vault_command_address_kinds(struct vault *v, struct link *from, const struct peers_command_ask *ask);
void vault_command_status(struct vault *v, struct link *from, const struct peers_command_ask *ask);
/* The end of a command as the store's result says; why is the message when it failed. */
void vault_command_end(struct link *to, uint64_t tag, enum accounts_result result, const struct buffer *why);

#endif
