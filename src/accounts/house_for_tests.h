/* SPDX-License-Identifier: Apache-2.0 */
/* house_for_tests: an accounts store in a folder of its own, and the words to furnish it and to ask it. Unexpected
 * results fail the test. */
#ifndef ACCOUNTS_HOUSE_FOR_TESTS_H
#define ACCOUNTS_HOUSE_FOR_TESTS_H

#include "accounts/accounts.h"

struct house {
    char path[32];
    int folder;
    struct arena arena;
    const struct settings *settings;
    struct accounts *accounts;
    uint64_t now_ms;
};

int house_set_up(void **state);
int house_tear_down(void **state);
void house_refresh(struct house *p, bool is_available);
struct address house_address_of(struct text t);
void house_check_why(enum accounts_result result, enum accounts_result expected, struct buffer *why);
void house_add_user(struct house *p, struct text name, enum accounts_result expected);
void house_add_alias(struct house *p, struct text alias, struct text target, enum accounts_result expected);
void house_add_send_as(struct house *p, struct text account, struct text address, enum accounts_result expected);
void house_catch_all(struct house *p, struct text domain, struct text target, enum accounts_result expected);
void house_add_domain(struct house *p, struct text domain, struct text alias_of, enum accounts_result expected);
void house_furnish(struct house *p);
struct accounts_route house_resolve(struct house *p, struct text name, struct text login);

#endif
