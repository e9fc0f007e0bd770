/* SPDX-License-Identifier: Apache-2.0 */
/* portiere-vault. */
#include "roles/vault.h"

#include <openssl/crypto.h>

static void tell_trouble(struct vault *v, bool is_available)
{
    if (is_available && v->is_trouble_told)
        role_event(v->role, RECORD_NOTICE, TEXT("accounts-available"), NULL, 0);
    if (!is_available && !v->is_trouble_told)
        role_event(v->role, RECORD_ALARM, TEXT("accounts-unavailable"),
                   (struct text[]){TEXT("why"), accounts_problem(v->accounts)}, 2);
    v->is_trouble_told = !is_available;
}

void vault_tell_generation(struct vault *v)
{
    static const enum peers_role listeners[] = {PEERS_FRONT, PEERS_QUEUE, PEERS_SUPERVISOR};
    struct peers_accounts_changed changed = {.generation = accounts_generation(v->accounts)};
    if (v->told_generation == changed.generation)
        return;
    v->told_generation = changed.generation;
    for (size_t i = 0; i < length_of(listeners); i++)
        ignored(link_send(listeners[i] == PEERS_SUPERVISOR ? &v->role->supervisor : role_link(v->role, listeners[i]),
                          PEERS_accounts_changed, &changed, NULL)); /* who is not there hears it when linked */
}

bool vault_refresh(struct vault *v)
{
    bool is_available = accounts_refresh(v->accounts, clock_monotonic_ms());
    tell_trouble(v, is_available);
    vault_tell_generation(v);
    return is_available;
}

static bool prepare(struct role *role)
{
    struct vault *v = role->context;
    int folder = role_folder(role, TEXT("vault"));
    if (folder < 0) {
        role_event(role, RECORD_ALARM, TEXT("no-folder"), (struct text[]){TEXT("folder"), TEXT("vault")}, 2);
        return false;
    }
    char key[TICKET_KEY_LENGTH];
    random_fill(key, sizeof key);
    *v = (struct vault){
        .role = role,
        .accounts = accounts_new(folder, (uint64_t)clock_wall_ms()),
        .turns = turns_new(VAULT_CHECKS, random_number()),
        .exchanges = map_new(VAULT_EXCHANGES, random_number()),
    };
    must(ticket_keys_add(&v->tickets, text_of(key, sizeof key)));
    OPENSSL_cleanse(key, sizeof key);
    /* Outside the sandbox, so that SQLite's own source of random numbers is read; a store in trouble is tried again
     * later. */
    tell_trouble(v, accounts_refresh(v->accounts, clock_monotonic_ms()));
    v->told_generation = accounts_generation(v->accounts);
    return true;
}

/* Deadlines; and a store in trouble comes back without being asked. */
static void tick(void *context)
{
    struct vault *v = context;
    uint64_t now = clock_monotonic_ms();
    vault_check_tick(v, now);
    vault_login_tick(v, now);
    vault_refresh(v);
    loop_timer_set(v->tick, VAULT_TICK_MS);
}

static void begin(struct role *role)
{
    struct vault *v = role->context;
    v->tick = loop_timer_new(role->loop, tick, v);
    loop_timer_set(v->tick, VAULT_TICK_MS);
}

static void message(struct role *role, struct link *from, const struct peers_message *m,
                    struct channel_descriptors *files not_used)
{
    struct vault *v = role->context;
    switch ((int)m->type) { /* what may come to the vault; peers.def keeps the others away */
    case PEERS_addresses_ask:
        vault_addresses(v, from, &m->addresses_ask);
        break;
    case PEERS_route_ask:
        vault_route(v, from, &m->route_ask);
        break;
    case PEERS_login_ask:
        vault_login(v, from, &m->login_ask);
        break;
    case PEERS_login_drop:
        vault_login_drop(v, from, m->login_drop.exchange);
        break;
    case PEERS_verify_answer:
        vault_check_answered(v, from, &m->verify_answer);
        break;
    case PEERS_command_ask:
        vault_command(v, from, &m->command_ask);
        break;
    default:
        break;
    }
}

static void linked(struct role *role, struct link *link)
{
    struct vault *v = role->context;
    struct peers_accounts_changed changed = {.generation = accounts_generation(v->accounts)};
    struct peers_ticket_key key = {.key = text_of((const char *)v->tickets.keys[0], TICKET_KEY_LENGTH)};
    if (link->remote == PEERS_QUEUE)
        ignored(link_send(link, PEERS_ticket_key, &key, NULL)); /* it comes again with the next channel */
    if (link->remote == PEERS_FRONT || link->remote == PEERS_QUEUE)
        ignored(link_send(link, PEERS_accounts_changed, &changed, NULL)); /* as above */
    if (link->remote == PEERS_VERIFIER)
        vault_check_serve(v);
}

static void unlinked(struct role *role, struct link *link)
{
    struct vault *v = role->context;
    if (link->remote == PEERS_VERIFIER)
        vault_check_unlinked(v, link);
    else
        vault_login_unlinked(v, link);
}

static void settings_changed(struct role *role, const struct settings *before)
{
    struct vault *v = role->context;
    accounts_generation_grow(v->accounts); /* the administrator, the primary domain */
    vault_tell_generation(v);
    role_settings_release(role, before);
}

int main(void)
{
    static const struct role_program program = {
        .self = PEERS_VAULT,
        .grants = SANDBOX_FILES,
        .prepare = prepare,
        .begin = begin,
        .message = message,
        .linked = linked,
        .unlinked = unlinked,
        .settings_changed = settings_changed,
    };
    struct vault vault = {.role = NULL};
    int result = role_main(&program, &vault);
    if (vault.accounts) {
        vault_login_done(&vault);
        vault_check_done(&vault);
        loop_timer_free(&vault.tick);
        accounts_free(&vault.accounts);
    }
    ticket_keys_done(&vault.tickets);
    return result;
}
