/* SPDX-License-Identifier: Apache-2.0 */
/* script_for_tests: a fake server out of tests/hostile, as a process of its own. */
#ifndef ROLES_SCRIPT_FOR_TESTS_H
#define ROLES_SCRIPT_FOR_TESTS_H

#include "base/base.h"

struct script {
    int process;
    int output;
    struct buffer said; /* until "ready", one line each */
};

/* name in tests/hostile; arguments end with NULL. Fails the test when it does not get ready. */
struct script script_start(const char *name, const char *const *arguments);
void script_stop(struct script *script);
uint64_t script_port(const struct script *script); /* the number that its first line begins with */

#endif
