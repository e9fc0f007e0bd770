/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of an administrator that change accounts. Each is logged with who asked; a new password goes to a verifier
 * first. */
#include "roles/vault.h"

#include "accounts/credential.h"
#include "accounts/password.h"
#include "command/command.h"

#include <stdlib.h>
#include <string.h>

enum { WHY_LIMIT = 3000 };

void vault_command_end(struct link *to, uint64_t tag, enum accounts_result result, const struct buffer *why)
{
    role_end(to, tag, result == ACCOUNTS_OK ? COMMAND_EXIT_DONE : COMMAND_EXIT_FAILED,
             result == ACCOUNTS_OK ? TEXT_NONE : buffer_text(why));
}

/* One event for what was done or refused; the password is never among the pairs. */
static void log_change(struct vault *v, struct text name, struct text caller, const struct text *pairs, size_t count,
                       enum accounts_result result, const struct buffer *why)
{
    struct text all[16] = {TEXT("command"), name, TEXT("by"), caller};
    size_t at = 4;
    for (size_t i = 0; i < count && at < 14; i++)
        all[at++] = pairs[i];
    if (result != ACCOUNTS_OK) {
        all[at++] = TEXT("why");
        all[at++] = text_first(buffer_text(why), 500);
    }
    role_event(v->role, RECORD_NOTICE,
               result == ACCOUNTS_OK ? TEXT("accounts-changed") : TEXT("accounts-change-refused"), all, at);
}

/* Logs, answers, tells the others. */
static void end_change(struct vault *v, struct link *from, const struct peers_command_ask *ask,
                       enum accounts_result result, const struct buffer *why)
{
    static const struct text shown[] = {TEXT_INIT("domain"), TEXT_INIT("address"), TEXT_INIT("alias"),
                                        TEXT_INIT("target"), TEXT_INIT("sender"),  TEXT_INIT("quota"),
                                        TEXT_INIT("remove")};
    struct text pairs[2 * length_of(shown)];
    size_t count = 0;
    for (size_t i = 0; i < length_of(shown); i++) {
        struct text value = role_argument(ask, shown[i]);
        if (value.length == 0)
            continue;
        pairs[count++] = shown[i];
        pairs[count++] = text_first(value, 320);
    }
    log_change(v, ask->name, ask->caller, pairs, count, result, why);
    vault_command_end(from, ask->tag, result, why);
    vault_tell_generation(v);
}

static enum accounts_result refuse(struct buffer *why, struct text words)
{
    ignored(buffer_append(why, words)); /* fits */
    return ACCOUNTS_REFUSED;
}

/* The address under that name; "@domain" only where a domain will do. */
static bool take_address(const struct peers_command_ask *ask, struct text name, bool may_be_domain,
                         struct address *ret_address, struct buffer *why)
{
    struct text value = role_argument(ask, name);
    struct address address = {.local = TEXT_NONE, .domain = text_after(value, 1)};
    bool is_domain = may_be_domain && text_starts_with(value, TEXT("@")) && domain_is_valid(address.domain, true);
    if (!is_domain && (address_parse(value, true, &address) != ADDRESS_OK || address.local.length == 0 ||
                       address.domain.length == 0)) {
        ignored(buffer_append_format(why, "%.*s: \"%.*s\" is no mail address; right would be anna@casa.test",
                                     TEXT_ARGUMENTS(name), TEXT_ARGUMENTS(text_first(value, 300)))); /* fits */
        return false;
    }
    *ret_address = address;
    return true;
}

static bool take_quota(const struct peers_command_ask *ask, uint64_t *ret_quota, struct buffer *why)
{
    struct text value = role_argument(ask, TEXT("quota"));
    if (value.length == 0 || text_number(value, INT64_MAX, ret_quota))
        return true;
    ignored(refuse(why, TEXT("quota: that is no size in octets"))); /* told */
    return false;
}

/* --- commands without a password
 * ------------------------------------------------------------------------------------------------------ */

static enum accounts_result domain_add(struct vault *v, const struct peers_command_ask *ask, struct buffer *why)
{
    return accounts_domain_add(v->accounts, role_argument(ask, TEXT("domain")), TEXT_NONE, clock_wall_ms(), why);
}

static enum accounts_result domain_remove(struct vault *v, const struct peers_command_ask *ask, struct buffer *why)
{
    return accounts_domain_remove(v->accounts, role_argument(ask, TEXT("domain")), why);
}

static enum accounts_result domain_catch_all(struct vault *v, const struct peers_command_ask *ask, struct buffer *why)
{
    struct address address;
    bool has_address = role_argument(ask, TEXT("address")).length > 0;
    if (has_address && !take_address(ask, TEXT("address"), false, &address, why))
        return ACCOUNTS_REFUSED;
    return accounts_domain_catch_all(v->accounts, role_argument(ask, TEXT("domain")), has_address ? &address : NULL,
                                     why);
}

static enum accounts_result account_remove(struct vault *v, const struct peers_command_ask *ask, struct buffer *why)
{
    struct address address;
    return take_address(ask, TEXT("address"), false, &address, why) ? accounts_user_remove(v->accounts, &address, why)
                                                                    : ACCOUNTS_REFUSED;
}

static enum accounts_result account_disable(struct vault *v, const struct peers_command_ask *ask, struct buffer *why)
{
    struct address address;
    return take_address(ask, TEXT("address"), false, &address, why)
               ? accounts_user_disable(v->accounts, &address, true, why)
               : ACCOUNTS_REFUSED;
}

static enum accounts_result account_enable(struct vault *v, const struct peers_command_ask *ask, struct buffer *why)
{
    struct address address;
    return take_address(ask, TEXT("address"), false, &address, why)
               ? accounts_user_disable(v->accounts, &address, false, why)
               : ACCOUNTS_REFUSED;
}

static enum accounts_result account_quota(struct vault *v, const struct peers_command_ask *ask, struct buffer *why)
{
    struct address address;
    uint64_t quota = 0;
    if (!take_address(ask, TEXT("address"), false, &address, why) || !take_quota(ask, &quota, why))
        return ACCOUNTS_REFUSED;
    return accounts_user_quota(v->accounts, &address, quota, why);
}

static enum accounts_result account_send_as(struct vault *v, const struct peers_command_ask *ask, struct buffer *why)
{
    struct address address, sender;
    if (!take_address(ask, TEXT("address"), false, &address, why) ||
        !take_address(ask, TEXT("sender"), true, &sender, why))
        return ACCOUNTS_REFUSED;
    if (text_equals(role_argument(ask, TEXT("remove")), TEXT("yes")))
        return accounts_send_as_remove(v->accounts, &address, &sender, why);
    return accounts_send_as_add(v->accounts, v->role->settings, &address, &sender, why);
}

/* "@haus.test" to "@casa.test": the whole domain is an alias. */
static enum accounts_result alias_add(struct vault *v, const struct peers_command_ask *ask, struct buffer *why)
{
    struct address alias, target;
    if (!take_address(ask, TEXT("alias"), true, &alias, why) || !take_address(ask, TEXT("target"), true, &target, why))
        return ACCOUNTS_REFUSED;
    if ((alias.local.length == 0) != (target.local.length == 0))
        return refuse(why, TEXT("a whole domain (@haus.test) can only be an alias of a whole domain (@casa.test)"));
    if (alias.local.length == 0)
        return accounts_domain_add(v->accounts, alias.domain, target.domain, clock_wall_ms(), why);
    return accounts_alias_add(v->accounts, v->role->settings, &alias, &target, why);
}

static enum accounts_result alias_remove(struct vault *v, const struct peers_command_ask *ask, struct buffer *why)
{
    struct address alias, target;
    bool has_target = role_argument(ask, TEXT("target")).length > 0;
    if (!take_address(ask, TEXT("alias"), true, &alias, why) ||
        (has_target && !take_address(ask, TEXT("target"), true, &target, why)))
        return ACCOUNTS_REFUSED;
    if (alias.local.length == 0)
        return accounts_alias_domain_remove(v->accounts, alias.domain, has_target ? target.domain : TEXT_NONE, why);
    return accounts_alias_remove(v->accounts, &alias, has_target ? &target : NULL, why);
}

/* --- commands with a password
 * --------------------------------------------------------------------------------------------------------- */

/* What is kept while a verifier hashes. */
struct hashing {
    struct arena arena;
    struct link *from;
    struct peers_command_ask ask; /* without the password */
    struct address address;
    uint64_t quota;
    bool is_new_account;
};

static enum accounts_result keep_credential(struct vault *v, struct hashing *h, struct text credential,
                                            struct buffer *why)
{
    if (h->is_new_account)
        return accounts_user_add(v->accounts, &h->address, credential, h->quota, clock_wall_ms(), why);
    return accounts_user_credential(v->accounts, &h->address, credential, why);
}

static void hashed(struct vault *v, void *context, enum vault_verdict verdict, struct text record)
{
    struct hashing *h = context;
    struct buffer why released_by(buffer_done) = buffer_new(WHY_LIMIT);
    enum accounts_result result = ACCOUNTS_REFUSED;
    if (verdict == VAULT_NO_VERDICT)
        result =
            refuse(&why, TEXT("no verifier answered: portiere status shows whether one runs; nothing was changed"));
    else if (verdict == VAULT_WRONG || record.length == 0)
        result = refuse(
            &why, TEXT("the password holds characters that no password may hold (RFC 4013); nothing was changed"));
    else if (!vault_refresh(v))
        result = refuse(&why, accounts_problem(v->accounts));
    else
        result = keep_credential(v, h, record, &why);
    end_change(v, h->from, &h->ask, result, &why);
    arena_done(&h->arena);
    free(h);
}

static bool copy_ask(struct hashing *h, const struct peers_command_ask *ask)
{
    static const struct text kept[] = {TEXT_INIT("address"), TEXT_INIT("quota")};
    struct text *items = arena_take_array(&h->arena, 2 * length_of(kept), sizeof *items);
    h->ask = (struct peers_command_ask){.tag = ask->tag, .right = ask->right};
    if (!items || !arena_copy(&h->arena, ask->name, &h->ask.name) ||
        !arena_copy(&h->arena, ask->caller, &h->ask.caller))
        return false;
    for (size_t i = 0; i < length_of(kept); i++) {
        items[2 * i] = kept[i];
        if (!arena_copy(&h->arena, role_argument(ask, kept[i]), &items[2 * i + 1]))
            return false;
    }
    h->ask.arguments = (struct texts){.items = items, .count = 2 * length_of(kept)};
    return address_parse(role_argument(&h->ask, TEXT("address")), true, &h->address) == ADDRESS_OK;
}

/* False: the command has ended already. */
static bool begin_hashing(struct vault *v, struct link *from, const struct peers_command_ask *ask, bool is_new_account,
                          uint64_t quota, struct buffer *why)
{
    struct hashing *h = calloc(1, sizeof *h);
    must(h != NULL);
    *h = (struct hashing){.arena = arena_new(65536), .from = from, .quota = quota, .is_new_account = is_new_account};
    struct vault_question question = {.is_new = true,
                                      .response = role_argument(ask, TEXT("password")),
                                      .client = ask->caller,
                                      .account = role_argument(ask, TEXT("address")),
                                      .function = hashed,
                                      .context = h};
    if (copy_ask(h, ask) && vault_check_new(v, &question)) {
        vault_check_serve(v);
        return true;
    }
    ignored(refuse(
        why,
        TEXT(
            "no verifier is there to hash the password, or too many wait: portiere status shows it; try again"))); /* told
                                                                                                                    */
    arena_done(&h->arena);
    free(h);
    return false;
}

static enum accounts_result check_password(struct vault *v, const struct peers_command_ask *ask,
                                           const struct address *address, struct buffer *why)
{
    unsigned faults = password_faults(v->role->settings, address, role_argument(ask, TEXT("password")));
    password_faults_append(why, faults, v->role->settings);
    return faults ? ACCOUNTS_REFUSED : ACCOUNTS_OK;
}

static void account_add(struct vault *v, struct link *from, const struct peers_command_ask *ask)
{
    struct buffer why released_by(buffer_done) = buffer_new(WHY_LIMIT);
    struct address address;
    uint64_t quota = 0;
    enum accounts_result result = ACCOUNTS_REFUSED;
    bool has_password = role_argument(ask, TEXT("password")).length > 0;
    if (take_address(ask, TEXT("address"), false, &address, &why) && take_quota(ask, &quota, &why))
        result = accounts_user_may_add(v->accounts, &address, &why);
    if (result == ACCOUNTS_OK && has_password)
        result = check_password(v, ask, &address, &why);
    if (result == ACCOUNTS_OK && has_password) {
        if (begin_hashing(v, from, ask, true, quota, &why))
            return;
        result = ACCOUNTS_REFUSED;
    }
    if (result == ACCOUNTS_OK)
        result = accounts_user_add(v->accounts, &address, TEXT_NONE, quota, clock_wall_ms(), &why);
    end_change(v, from, ask, result, &why);
}

static void account_password(struct vault *v, struct link *from, const struct peers_command_ask *ask)
{
    struct buffer why released_by(buffer_done) = buffer_new(WHY_LIMIT);
    struct arena arena released_by(arena_done) = arena_new(8192);
    struct accounts_user user;
    struct address address;
    enum accounts_result result = ACCOUNTS_REFUSED;
    if (take_address(ask, TEXT("address"), false, &address, &why)) {
        result = accounts_user_find(v->accounts, &address, &arena, &user);
        if (result == ACCOUNTS_UNKNOWN)
            ignored(refuse(&why, TEXT("there is no such account"))); /* told */
        if (result == ACCOUNTS_UNAVAILABLE)
            ignored(refuse(&why, accounts_problem(v->accounts))); /* told */
    }
    if (result == ACCOUNTS_OK)
        result = check_password(v, ask, &address, &why);
    if (result == ACCOUNTS_OK) {
        if (begin_hashing(v, from, ask, false, 0, &why))
            return;
        result = ACCOUNTS_REFUSED;
    }
    end_change(v, from, ask, result, &why);
}

/* --- the table
 * --------------------------------------------------------------------------------------------------------------------------
 */

static const struct {
    enum command_id command;
    enum accounts_result (*change)(struct vault *v, const struct peers_command_ask *ask,
                                   struct buffer *why);                                   /* ends with its result */
    void (*run)(struct vault *v, struct link *from, const struct peers_command_ask *ask); /* or ends by itself */
} handlers[] = {
    {.command = COMMAND_domain_add, .change = domain_add},
    {.command = COMMAND_domain_remove, .change = domain_remove},
    {.command = COMMAND_domain_list, .run = vault_command_domain_list},
    {.command = COMMAND_domain_first, .run = vault_command_domain_first},
    {.command = COMMAND_domain_catch_all, .change = domain_catch_all},
    {.command = COMMAND_account_add, .run = account_add},
    {.command = COMMAND_account_remove, .change = account_remove},
    {.command = COMMAND_account_list, .run = vault_command_account_list},
    {.command = COMMAND_account_password, .run = account_password},
    {.command = COMMAND_account_disable, .change = account_disable},
    {.command = COMMAND_account_enable, .change = account_enable},
    {.command = COMMAND_account_quota, .change = account_quota},
    {.command = COMMAND_account_send_as, .change = account_send_as},
    {.command = COMMAND_alias_add, .change = alias_add},
    {.command = COMMAND_alias_remove, .change = alias_remove},
    {.command = COMMAND_alias_list, .run = vault_command_alias_list},
    {.command = COMMAND_address_kinds, .run = vault_command_address_kinds},
    {.command = COMMAND_status, .run = vault_command_status},
};

static void run(struct vault *v, struct link *from, const struct peers_command_ask *ask)
{
    const struct command_row *row = command_find(ask->name);
    /* the supervisor may all; whoever speaks for somebody says what that one may */
    if (row && from->remote != PEERS_SUPERVISOR && ask->right < row->right) {
        role_end(from, ask->tag, COMMAND_EXIT_NOT_PERMITTED, TEXT("not permitted"));
        return;
    }
    vault_refresh(v);
    for (size_t i = 0; row && i < length_of(handlers); i++) {
        if (handlers[i].command != command_id_of(row))
            continue;
        if (handlers[i].run) {
            handlers[i].run(v, from, ask);
            return;
        }
        struct buffer why released_by(buffer_done) = buffer_new(WHY_LIMIT);
        enum accounts_result result = handlers[i].change(v, ask, &why);
        end_change(v, from, ask, result, &why);
        return;
    }
    role_end(from, ask->tag, COMMAND_EXIT_FAILED, TEXT("the vault has no such command"));
}

void vault_command(struct vault *v, struct link *from, const struct peers_command_ask *ask)
{
    run(v, from, ask);
    struct text password = role_argument(ask, TEXT("password"));
    explicit_bzero((char *)(uintptr_t)password.bytes,
                   password.length); /* the packet it came in lives on until the next one */
}
