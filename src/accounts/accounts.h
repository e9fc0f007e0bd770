/* SPDX-License-Identifier: Apache-2.0 */
/* accounts: who exists: domains, accounts, aliases, catch-alls, send-as lists, in SQLite in one folder. Every name is
 * kept by its key (address_append_key). A store that is missing, damaged, or cannot be read is ACCOUNTS_UNAVAILABLE in
 * every answer, never "nobody", until it can be read again; accounts_problem says what is wrong and what to do. One
 * process at a time has the store. Each change is durable when its function returns, and makes the generation grow. */
#ifndef ACCOUNTS_ACCOUNTS_H
#define ACCOUNTS_ACCOUNTS_H

#include "mail/mail.h"
#include "settings/settings.h"

struct accounts;

enum accounts_result {
    ACCOUNTS_OK,
    ACCOUNTS_UNAVAILABLE, /* the store could not say, or could not keep it */
    ACCOUNTS_UNKNOWN,     /* no such domain, account, alias */
    ACCOUNTS_EXISTS,
    ACCOUNTS_REFUSED, /* it would make no sense; why says it */
};

/* folder is borrowed. The generation begins above the one given (a wall clock does) and above the one that the store
 * remembers. */
struct accounts *accounts_new(int folder, uint64_t generation);
void accounts_free(struct accounts **accounts);

/* Opens the store (makes it in a folder that never had one), or looks whether its file is still the one we know; called
 * before questions are answered, costs little. now_ms: monotonic clock; a store that could not be opened is tried again
 * after a second. */
bool accounts_refresh(struct accounts *a, uint64_t now_ms);
bool accounts_is_available(const struct accounts *a);
struct text accounts_problem(const struct accounts *a); /* empty while all is well; valid until the next call */
uint64_t accounts_generation(const struct accounts *a);
void accounts_generation_grow(struct accounts *a); /* answers depend on settings too */

/* --- questions
 * ---------------------------------------------------------------------------------------------------------------- */
enum { ACCOUNTS_FORWARDS = 64 };

struct accounts_route {
    enum mail_address_kind kind;
    struct text account;                     /* the mailbox's account, empty: none (foreign, or forwards alone) */
    uint64_t quota;                          /* octets, 0 = none */
    struct text forwards[ACCOUNTS_FORWARDS]; /* further addresses: accounts of ours, or outside */
    size_t forward_count;
};

/* Where mail for the address goes. login (an account's address, or empty) makes LOCAL_OWN of an address that it may
 * send as. Texts stand in the arena. Unavailable is a kind. */
struct accounts_route accounts_resolve(struct accounts *a, const struct settings *settings,
                                       const struct address *address, struct text login, struct arena *arena);

struct accounts_user {
    struct text address, credential; /* credential is empty: nobody can log in */
    bool is_disabled;
    uint64_t quota;
    int64_t created_ms;
};

/* name as a client typed it: an address, also in an alias domain, or a bare name of the primary domain. */
must_check enum accounts_result accounts_login_find(struct accounts *a, const struct settings *settings,
                                                    struct text name, struct arena *arena,
                                                    struct accounts_user *ret_user);
must_check enum accounts_result accounts_user_find(struct accounts *a, const struct address *address,
                                                   struct arena *arena, struct accounts_user *ret_user);
/* 32 octets that never change, for credential_make_fake. */
must_check enum accounts_result accounts_fake_key(struct accounts *a, struct text *ret_key);
/* Empty while there is none. */
must_check enum accounts_result accounts_first_domain(struct accounts *a, struct arena *arena, struct text *ret_domain);

struct accounts_counts {
    uint64_t users, domains, aliases;
};
must_check enum accounts_result accounts_count(struct accounts *a, struct accounts_counts *ret_counts);

/* --- changes: why tells what is wrong and what would be right, for an administrator
 * ------------------------------------------- */
/* alias_of empty: a domain of its own; else every address of the new domain is the same one of the other. */
must_check enum accounts_result accounts_domain_add(struct accounts *a, struct text domain, struct text alias_of,
                                                    int64_t now_ms, struct buffer *why);
must_check enum accounts_result accounts_domain_remove(struct accounts *a, struct text domain, struct buffer *why);
/* alias_of empty: whatever it is an alias of. */
must_check enum accounts_result accounts_alias_domain_remove(struct accounts *a, struct text domain,
                                                             struct text alias_of, struct buffer *why);
/* target NULL: nobody catches what is for nobody. */
must_check enum accounts_result accounts_domain_catch_all(struct accounts *a, struct text domain,
                                                          const struct address *target, struct buffer *why);

/* May the account be added? For those who hash a password first. */
must_check enum accounts_result accounts_user_may_add(struct accounts *a, const struct address *address,
                                                      struct buffer *why);
must_check enum accounts_result accounts_user_add(struct accounts *a, const struct address *address,
                                                  struct text credential, uint64_t quota, int64_t now_ms,
                                                  struct buffer *why);
/* Its send-as list, and its place in aliases and catch-alls, go with it. */
must_check enum accounts_result accounts_user_remove(struct accounts *a, const struct address *address,
                                                     struct buffer *why);
must_check enum accounts_result accounts_user_credential(struct accounts *a, const struct address *address,
                                                         struct text credential, struct buffer *why);
/* A verifier made a better one of the same password. No news for anybody, and nothing happens when old is not the
 * present one. */
must_check enum accounts_result accounts_user_renew(struct accounts *a, struct text account, struct text old,
                                                    struct text credential);
must_check enum accounts_result accounts_user_disable(struct accounts *a, const struct address *address,
                                                      bool is_disabled, struct buffer *why);
must_check enum accounts_result accounts_user_quota(struct accounts *a, const struct address *address, uint64_t quota,
                                                    struct buffer *why);

/* An alias with several targets has several rows. A target is an address of ours that somebody takes, or one outside.
 */
must_check enum accounts_result accounts_alias_add(struct accounts *a, const struct settings *settings,
                                                   const struct address *alias, const struct address *target,
                                                   struct buffer *why);
/* target NULL: all of them. */
must_check enum accounts_result accounts_alias_remove(struct accounts *a, const struct address *alias,
                                                      const struct address *target, struct buffer *why);
/* address: an address of ours that somebody takes, or with an empty local part all those of a domain of ours. */
must_check enum accounts_result accounts_send_as_add(struct accounts *a, const struct settings *settings,
                                                     const struct address *account, const struct address *address,
                                                     struct buffer *why);
must_check enum accounts_result accounts_send_as_remove(struct accounts *a, const struct address *account,
                                                        const struct address *address, struct buffer *why);

/* --- lists: the function is called for at most limit rows, those behind the place given; texts are valid during the
 * call -------- */
struct accounts_domain {
    uint64_t place; /* for "after" */
    struct text name, alias_of, catch_all;
    uint64_t users;
    int64_t created_ms;
};
struct accounts_pair {
    struct text name, value;
};
typedef void accounts_domain_function(void *context, const struct accounts_domain *domain);
typedef void accounts_user_function(void *context, const struct accounts_user *user);
typedef void accounts_pair_function(void *context, const struct accounts_pair *pair);

/* In the order in which they were added; after 0: from the first one on. */
must_check enum accounts_result accounts_domain_list(struct accounts *a, uint64_t after, uint64_t limit,
                                                     accounts_domain_function *function, void *context);
/* By address. domain empty: of all; after empty: from the first one on. */
must_check enum accounts_result accounts_user_list(struct accounts *a, struct text domain, struct text after,
                                                   uint64_t limit, accounts_user_function *function, void *context);
/* Alias and target, by both. An alias domain is "@domain" and "@domain". */
must_check enum accounts_result accounts_alias_list(struct accounts *a, struct text domain,
                                                    const struct accounts_pair *after, uint64_t limit,
                                                    accounts_pair_function *function, void *context);
must_check enum accounts_result accounts_send_as_list(struct accounts *a, struct text account,
                                                      accounts_pair_function *function, void *context);

#endif
