/* SPDX-License-Identifier: Apache-2.0 */
#include "route/remote.h"

static const struct reason_row {
    struct text word;
    enum route_kind kind;
    struct text enhanced, stage, text;
} reasons[ROUTE_REASONS] = {
    [ROUTE_REASON_NONE] = {.word = TEXT_INIT("none"),
                           .kind = ROUTE_LATER,
                           .enhanced = TEXT_INIT("4.0.0"),
                           .stage = TEXT_INIT("dns"),
                           .text = TEXT_INIT("not tried yet")},
    [ROUTE_REASON_UNAVAILABLE] = {.word = TEXT_INIT("unavailable"),
                                  .kind = ROUTE_LATER,
                                  .enhanced = TEXT_INIT("4.3.0"),
                                  .stage = TEXT_INIT("mailbox"),
                                  .text = TEXT_INIT("the accounts can not be asked at the moment")},
    [ROUTE_REASON_NO_RELAY_HOST] = {.word = TEXT_INIT("no-relay-host"),
                                    .kind = ROUTE_LATER,
                                    .enhanced = TEXT_INIT("4.3.5"),
                                    .stage = TEXT_INIT("dns"),
                                    .text =
                                        TEXT_INIT("delivery.mode is relay, and delivery.relay_hosts names no host")},
    [ROUTE_REASON_HOST_IS_SELF] = {.word = TEXT_INIT("host-is-self"),
                                   .kind = ROUTE_LATER,
                                   .enhanced = TEXT_INIT("4.3.5"),
                                   .stage = TEXT_INIT("dns"),
                                   .text =
                                       TEXT_INIT("delivery.relay_hosts or delivery.routes leads back to this server")},
    [ROUTE_REASON_UNKNOWN] = {.word = TEXT_INIT("unknown"),
                              .kind = ROUTE_REFUSED,
                              .enhanced = TEXT_INIT("5.1.1"),
                              .stage = TEXT_INIT("mailbox"),
                              .text = TEXT_INIT("nobody here has this address")},
    [ROUTE_REASON_DISABLED] = {.word = TEXT_INIT("disabled"),
                               .kind = ROUTE_REFUSED,
                               .enhanced = TEXT_INIT("5.2.1"),
                               .stage = TEXT_INIT("mailbox"),
                               .text = TEXT_INIT("the account is disabled")},
    [ROUTE_REASON_BAD_DOMAIN] = {.word = TEXT_INIT("bad-domain"),
                                 .kind = ROUTE_REFUSED,
                                 .enhanced = TEXT_INIT("5.1.2"),
                                 .stage = TEXT_INIT("dns"),
                                 .text = TEXT_INIT("no valid domain name")},
    [ROUTE_REASON_DOMAIN_IS_SELF] =
        {.word = TEXT_INIT("domain-is-self"),
         .kind = ROUTE_REFUSED,
         .enhanced = TEXT_INIT("5.4.6"),
         .stage = TEXT_INIT("dns"),
         .text = TEXT_INIT("the domain is this server's own name or address, and it takes no mail for it")},
    [ROUTE_REASON_NEVER_CONNECT] = {.word = TEXT_INIT("never-connect"),
                                    .kind = ROUTE_REFUSED,
                                    .enhanced = TEXT_INIT("5.4.4"),
                                    .stage = TEXT_INIT("dns"),
                                    .text = TEXT_INIT("this server never connects to that address")},
    [ROUTE_REASON_FORWARD_LOOP] = {.word = TEXT_INIT("forward-loop"),
                                   .kind = ROUTE_REFUSED,
                                   .enhanced = TEXT_INIT("5.4.6"),
                                   .stage = TEXT_INIT("mailbox"),
                                   .text = TEXT_INIT("aliases or groups forward in a circle")},
};

struct route route_because(enum route_reason reason)
{
    return (struct route){.kind = reasons[reason].kind, .reason = reason};
}

static struct route route_local(const struct route_question *q)
{
    if (q->depth > ROUTE_FORWARDS_DEEP)
        return route_because(ROUTE_REASON_FORWARD_LOOP);
    if (!text_is_empty(q->account))
        return (struct route){.kind = ROUTE_MAILBOX, .destination = q->account, .account = q->account};
    return q->forward_count ? (struct route){.kind = ROUTE_FORWARD} : route_because(ROUTE_REASON_UNAVAILABLE);
}

bool route_decide(struct arena *arena, const struct route_question *question, const struct settings *s,
                  struct route *ret_route)
{
    switch (question->kind) {
    case MAIL_ADDRESS_UNKNOWN_YET:
    case MAIL_ADDRESS_UNAVAILABLE:
    case MAIL_ADDRESS_KINDS:
        *ret_route = route_because(ROUTE_REASON_UNAVAILABLE);
        return true;
    case MAIL_ADDRESS_LOCAL:
    case MAIL_ADDRESS_LOCAL_OWN:
    case MAIL_ADDRESS_LOCAL_FULL: /* the mailbox keeper knows best whether there is room by now */
        *ret_route = route_local(question);
        return true;
    case MAIL_ADDRESS_LOCAL_NOBODY:
        *ret_route = route_because(ROUTE_REASON_UNKNOWN);
        return true;
    case MAIL_ADDRESS_LOCAL_DISABLED:
        *ret_route = route_because(ROUTE_REASON_DISABLED);
        return true;
    case MAIL_ADDRESS_FOREIGN:
        break;
    }
    const struct route_self self = {.settings = s, .own = question->own, .own_count = question->own_count};
    return route_to_domain(arena, question->recipient->domain, &self, ret_route);
}

bool route_of_destination(struct arena *arena, struct text destination, const struct network_address *own,
                          size_t own_count, const struct settings *s, struct route *ret_route)
{
    const struct route_self self = {.settings = s, .own = own, .own_count = own_count};
    if (text_equals(destination, ROUTE_RELAY_HOSTS))
        return route_to_relay_hosts(arena, &self, ret_route);
    return route_to_domain(arena, destination, &self, ret_route);
}

bool route_forward_is_loop(const struct address *recipient, const struct address *forward)
{
    return address_equals(recipient, forward);
}

struct text route_kind_word(enum route_kind kind)
{
    static const struct text words[ROUTE_KINDS] = {
        [ROUTE_LATER] = TEXT_INIT("later"),     [ROUTE_MAILBOX] = TEXT_INIT("mailbox"),
        [ROUTE_FORWARD] = TEXT_INIT("forward"), [ROUTE_DNS] = TEXT_INIT("dns"),
        [ROUTE_HOSTS] = TEXT_INIT("hosts"),     [ROUTE_REFUSED] = TEXT_INIT("refused"),
    };
    must((unsigned)kind < ROUTE_KINDS);
    return words[kind];
}

struct text route_reason_word(enum route_reason reason)
{
    must((unsigned)reason < ROUTE_REASONS);
    return reasons[reason].word;
}

struct result route_result(const struct route *route)
{
    const struct reason_row *row = &reasons[route->reason];
    return (struct result){
        .class = row->kind == ROUTE_REFUSED ? RESULT_FAILED : RESULT_DEFERRED,
        .enhanced = row->enhanced,
        .host = TEXT_NONE,
        .stage = row->stage,
        .text = row->text,
    };
}
