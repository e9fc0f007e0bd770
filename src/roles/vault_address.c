/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/vault.h"

enum { ARENA_LIMIT = 1 << 20, ADDRESSES = 1024 };

static enum mail_address_kind kind_of(struct vault *v, struct text text, struct text login)
{
    struct arena arena released_by(arena_done) = arena_new(ARENA_LIMIT);
    struct address address;
    if (text.length == 0)
        return MAIL_ADDRESS_FOREIGN; /* the null sender */
    if (address_parse(text, true, &address) != ADDRESS_OK)
        return MAIL_ADDRESS_FOREIGN; /* front parsed it before; it is no name of ours */
    return accounts_resolve(v->accounts, v->role->settings, &address, login, &arena).kind;
}

void vault_addresses(struct vault *v, struct link *from, const struct peers_addresses_ask *ask)
{
    char kinds[ADDRESSES];
    must(ask->addresses.count <= ADDRESSES);
    vault_refresh(v);
    for (size_t i = 0; i < ask->addresses.count; i++)
        kinds[i] = (char)kind_of(v, ask->addresses.items[i], ask->login);
    /* asked after the answers: a store that broke meanwhile has another generation */
    struct peers_addresses_answer answer = {
        .tag = ask->tag, .generation = accounts_generation(v->accounts), .kinds = text_of(kinds, ask->addresses.count)};
    ignored(link_send(from, PEERS_addresses_answer, &answer, NULL)); /* who asked is gone */
}

void vault_route(struct vault *v, struct link *from, const struct peers_route_ask *ask)
{
    struct arena arena released_by(arena_done) = arena_new(ARENA_LIMIT);
    struct address address;
    struct accounts_route route = {.kind = MAIL_ADDRESS_FOREIGN};
    vault_refresh(v);
    if (ask->recipient.length && address_parse(ask->recipient, true, &address) == ADDRESS_OK)
        route = accounts_resolve(v->accounts, v->role->settings, &address, TEXT_NONE, &arena);
    struct peers_route_answer answer = {.tag = ask->tag,
                                        .kind = route.kind,
                                        .account = route.account,
                                        .quota = route.quota,
                                        .forwards = {.items = route.forwards, .count = route.forward_count}};
    ignored(link_send(from, PEERS_route_answer, &answer, NULL)); /* who asked is gone */
}
