/* SPDX-License-Identifier: Apache-2.0 */
/* vault_for_tests: the real portiere-vault and portiere-verifier in their sandboxes, with a scripted supervisor, front,
 * queue, ledger and, where it counts what is asked of it, verifier. A stage is one of them in a folder of its own; the
 * house has casa.test and anna@casa.test. */
#ifndef ROLES_VAULT_FOR_TESTS_H
#define ROLES_VAULT_FOR_TESTS_H

#include "accounts/ticket.h"
#include "command/command.h"
#include "mail/mail.h"
#include "roles/program_for_tests.h"

#define PASSWORD "segreto-di-prova"

struct stage {
    char path[40];
    int folder;
    struct program *vault;
    struct program *verifier;
    int front, queue, ledger, fake_verifier;
    uint64_t tag, exchange;
    struct ticket_keys keys;
    struct buffer events; /* all that the ledger heard */
};

struct outcome {
    uint64_t status, rows;
    struct buffer text; /* the rows, name=value; and the message */
};

#define COMMAND_FAILS(s, part, name, ...)                                                                              \
    stage_expect_command(s, TEXT(name), (struct text[]){__VA_ARGS__}, length_of(((struct text[]){__VA_ARGS__})),       \
                         COMMAND_EXIT_FAILED, TEXT(part))
#define COMMAND_DOES(s, name, ...)                                                                                     \
    stage_expect_command(s, TEXT(name), (struct text[]){__VA_ARGS__}, length_of(((struct text[]){__VA_ARGS__})),       \
                         COMMAND_EXIT_DONE, TEXT_NONE)
#define COMMAND_SHOWS(s, part, name, ...)                                                                              \
    stage_expect_command(s, TEXT(name), (struct text[]){__VA_ARGS__}, length_of(((struct text[]){__VA_ARGS__})),       \
                         COMMAND_EXIT_DONE, TEXT(part))

struct peers_message stage_expect(struct stage *s, int channel, enum peers_role as, enum peers_type type);
void stage_link_all(struct stage *s);
void stage_start_vault(struct stage *s, struct text settings);
void stage_start_verifier(struct stage *s);
struct outcome stage_command(struct stage *s, struct text name, const struct text *pairs, size_t count);
void stage_expect_command(struct stage *s, struct text name, const struct text *pairs, size_t count, uint64_t status,
                          struct text part);
struct peers_message stage_answer(struct stage *s, int channel, enum peers_role as, enum peers_type type);
enum mail_address_kind stage_kind_of(struct stage *s, struct text address, struct text login);
void stage_ask_login(struct stage *s, uint64_t exchange, struct text mechanism, struct text response);
enum mail_login_state stage_login_state(struct stage *s);
enum mail_login_state stage_plain(struct stage *s, struct text name, struct text password);
int stage_set_up(void **state);
int stage_set_up_house(void **state);
void stage_end_vault(struct stage *s);
int stage_tear_down(void **state);
void stage_gather_events(struct stage *s);
bool stage_was_told(struct stage *s, struct text what);

#endif
