/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that only look. A list gives at most limit rows and, when it was full, its place for "after". */
#include "roles/vault.h"

#include "command/command.h"

enum { LIMIT_MOST = 10000, PLACE_LIMIT = 4000 };

struct list {
    struct link *to;
    uint64_t tag, limit, rows;
    struct buffer place;
};

static struct list list_begin(struct link *to, const struct peers_command_ask *ask)
{
    struct list list = {.to = to, .tag = ask->tag, .limit = LIMIT_MOST, .place = buffer_new(PLACE_LIMIT)};
    uint64_t limit;
    if (text_number(role_argument(ask, TEXT("limit")), LIMIT_MOST, &limit) && limit > 0)
        list.limit = limit;
    return list;
}

static void list_end(struct vault *v, struct list *list, enum accounts_result result)
{
    struct buffer why released_by(buffer_done) = buffer_new(PLACE_LIMIT);
    if (result == ACCOUNTS_UNAVAILABLE)
        ignored(buffer_append(&why, accounts_problem(v->accounts))); /* fits */
    if (result == ACCOUNTS_UNKNOWN)
        ignored(buffer_append(&why, TEXT("that is no domain name"))); /* fits */
    if (result == ACCOUNTS_OK && list->rows == list->limit && !list->place.is_full)
        role_end(list->to, list->tag, COMMAND_PAGE_MORE, buffer_text(&list->place));
    else
        vault_command_end(list->to, list->tag, result, &why);
    buffer_done(&list->place);
}

/* Numbers of a row, written one behind the other. */
struct numbers {
    struct buffer b;
};

static struct text number(struct numbers *n, uint64_t value)
{
    size_t before = n->b.length;
    ignored(buffer_append_number(&n->b, value)); /* there is room for each */
    return text_after(buffer_text(&n->b), before);
}

static struct numbers numbers_new(void)
{
    struct numbers n = {.b = buffer_new(256)};
    must(buffer_room(&n.b, 128) != NULL); /* what was written stays where it is */
    return n;
}

static void numbers_done(struct numbers *n)
{
    buffer_done(&n->b);
}

static struct text yes_or_no(bool is_so)
{
    return is_so ? TEXT("yes") : TEXT("no");
}

static void domain_row(void *context, const struct accounts_domain *domain)
{
    struct list *list = context;
    struct numbers n released_by(numbers_done) = numbers_new();
    struct text pairs[] = {
        TEXT("domain"),    domain->name,
        TEXT("accounts"),  number(&n, domain->users),
        TEXT("alias_of"),  domain->alias_of,
        TEXT("catch_all"), domain->catch_all,
        TEXT("created"),   number(&n, (uint64_t)domain->created_ms),
    };
    role_row(list->to, list->tag, pairs, length_of(pairs));
    buffer_clear(&list->place);
    ignored(buffer_append_number(&list->place, domain->place)); /* fits */
    list->rows++;
}

void vault_command_domain_list(struct vault *v, struct link *from, const struct peers_command_ask *ask)
{
    struct list list = list_begin(from, ask);
    uint64_t after = 0;
    ignored(text_number(role_argument(ask, TEXT("after")), INT64_MAX, &after)); /* from the first one on then */
    list_end(v, &list, accounts_domain_list(v->accounts, after, list.limit, domain_row, &list));
}

void vault_command_domain_first(struct vault *v, struct link *from, const struct peers_command_ask *ask)
{
    struct arena arena released_by(arena_done) = arena_new(4096);
    struct text pairs[] = {TEXT("domain"), TEXT_NONE};
    struct buffer why released_by(buffer_done) = buffer_new(PLACE_LIMIT);
    enum accounts_result result = accounts_first_domain(v->accounts, &arena, &pairs[1]);
    if (result == ACCOUNTS_OK)
        role_row(from, ask->tag, pairs, length_of(pairs));
    else
        ignored(buffer_append(&why, accounts_problem(v->accounts))); /* fits */
    vault_command_end(from, ask->tag, result, &why);
}

static void user_row(void *context, const struct accounts_user *user)
{
    struct list *list = context;
    struct numbers n released_by(numbers_done) = numbers_new();
    struct text pairs[] = {
        TEXT("account"),  user->address,
        TEXT("disabled"), yes_or_no(user->is_disabled),
        TEXT("password"), yes_or_no(user->credential.length > 0), /* whether there is one */
        TEXT("quota"),    number(&n, user->quota),
        TEXT("created"),  number(&n, (uint64_t)user->created_ms),
    };
    role_row(list->to, list->tag, pairs, length_of(pairs));
    buffer_clear(&list->place);
    ignored(buffer_append(&list->place, user->address)); /* an address is shorter */
    list->rows++;
}

void vault_command_account_list(struct vault *v, struct link *from, const struct peers_command_ask *ask)
{
    struct list list = list_begin(from, ask);
    list_end(v, &list,
             accounts_user_list(v->accounts, role_argument(ask, TEXT("domain")), role_argument(ask, TEXT("after")),
                                list.limit, user_row, &list));
}

static void alias_row(void *context, const struct accounts_pair *alias)
{
    struct list *list = context;
    struct text pairs[] = {TEXT("alias"), alias->name, TEXT("target"), alias->value};
    role_row(list->to, list->tag, pairs, length_of(pairs));
    buffer_clear(&list->place);
    ignored(buffer_append(&list->place, alias->name) && buffer_append_octet(&list->place, '\n') &&
            buffer_append(&list->place, alias->value)); /* a full one ends the list */
    list->rows++;
}

void vault_command_alias_list(struct vault *v, struct link *from, const struct peers_command_ask *ask)
{
    struct list list = list_begin(from, ask);
    struct text rest = role_argument(ask, TEXT("after"));
    struct accounts_pair after = {.name = text_take_until(&rest, '\n')}; /* no address holds a line break */
    after.value = rest;
    list_end(
        v, &list,
        accounts_alias_list(v->accounts, role_argument(ask, TEXT("domain")), &after, list.limit, alias_row, &list));
}

void vault_command_address_kinds(struct vault *v, struct link *from, const struct peers_command_ask *ask)
{
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct numbers n released_by(numbers_done) = numbers_new();
    struct text given = role_argument(ask, TEXT("address"));
    struct address address = {.local = TEXT_NONE, .domain = TEXT_NONE};
    if (given.length && address_parse(given, true, &address) != ADDRESS_OK) {
        role_end(from, ask->tag, COMMAND_EXIT_FAILED,
                 TEXT("address: that is no mail address; right would be anna@casa.test"));
        return;
    }
    struct accounts_route route =
        accounts_resolve(v->accounts, v->role->settings, &address, role_argument(ask, TEXT("login")), &arena);
    struct text pairs[] = {TEXT("kind"), number(&n, route.kind), TEXT("account"), route.account};
    role_row(from, ask->tag, pairs, length_of(pairs));
    role_end(from, ask->tag, COMMAND_EXIT_DONE, TEXT_NONE);
}

void vault_command_status(struct vault *v, struct link *from, const struct peers_command_ask *ask)
{
    struct numbers n released_by(numbers_done) = numbers_new();
    struct accounts_counts counts = {.users = 0};
    bool is_known = accounts_count(v->accounts, &counts) == ACCOUNTS_OK;
    struct text pairs[] = {
        TEXT("accounts_store"),
        is_known ? TEXT("available") : accounts_problem(v->accounts),
        TEXT("domains"),
        number(&n, counts.domains),
        TEXT("accounts"),
        number(&n, counts.users),
        TEXT("aliases"),
        number(&n, counts.aliases),
        TEXT("verifiers"),
        number(&n, vault_verifiers(v)),
        TEXT("logins"),
        number(&n, v->logins),
        TEXT("logins_failed"),
        number(&n, v->failures),
        TEXT("passwords_checked"),
        number(&n, v->checks),
        TEXT("passwords_waiting"),
        number(&n, turns_waiting(v->turns)),
    };
    role_status(v->role, from, ask->tag, pairs, length_of(pairs));
    role_end(from, ask->tag, COMMAND_EXIT_DONE, TEXT_NONE);
}
