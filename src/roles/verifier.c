/* SPDX-License-Identifier: Apache-2.0 */
/* portiere-verifier: checks one SASL exchange against one credential, or makes a credential of a new password. It opens
 * no file and knows no accounts; secrets are wiped when the answer is sent. One exchange at a time: the vault decides
 * who is next. */
#include "accounts/credential.h"
#include "accounts/sasl.h"
#include "roles/role.h"

#include <string.h>

enum { SALTS = 32 };

struct verifier {
    struct sasl *sasl;
    uint64_t checked, made;
};

/* Everything is used once before the sandbox is entered: what the libraries read when they begin, they have read. */
static bool prepare(struct role *role)
{
    struct verifier *v = role->context;
    struct buffer credential released_by(buffer_wipe_done) = buffer_new(CREDENTIAL_LIMIT),
                             renewed released_by(buffer_wipe_done) = buffer_new(CREDENTIAL_LIMIT);
    char salts[SALTS];
    random_fill(salts, sizeof salts);
    v->sasl = sasl_new();
    if (v->sasl && credential_make(TEXT("try"), text_of(salts, sizeof salts), &credential) &&
        sasl_verify(v->sasl, TEXT("PLAIN"), buffer_text(&credential), TEXT("\0try\0try"), text_of(salts, sizeof salts),
                    &renewed))
        return true;
    role_event(role, RECORD_ALARM, TEXT("verifier-useless"),
               (struct text[]){TEXT("why"), TEXT("GNU SASL or crypt does not work")}, 2);
    return false;
}

static void verify(struct verifier *v, struct link *from, const struct peers_verify_ask *ask)
{
    struct buffer made released_by(buffer_wipe_done) = buffer_new(CREDENTIAL_LIMIT);
    struct peers_verify_answer answer = {.tag = ask->tag};
    char salts[SALTS];
    random_fill(salts, sizeof salts);
    if (ask->is_new)
        answer.is_right = credential_make(ask->response, text_of(salts, sizeof salts), &made);
    else
        answer.is_right =
            sasl_verify(v->sasl, ask->mechanism, ask->record, ask->response, text_of(salts, sizeof salts), &made);
    v->checked += !ask->is_new;
    v->made += made.length > 0;
    answer.record = buffer_text(&made);
    ignored(link_send(from, PEERS_verify_answer, &answer, NULL)); /* a lost vault asks nobody */
    /* the packet it came in lives on until the next one */
    explicit_bzero((char *)(uintptr_t)ask->response.bytes, ask->response.length);
    explicit_bzero((char *)(uintptr_t)ask->record.bytes, ask->record.length);
}

static void status(struct role *role, struct link *from, const struct peers_command_ask *ask)
{
    struct verifier *v = role->context;
    struct buffer numbers released_by(buffer_done) = buffer_new(64);
    ignored(buffer_append_number(&numbers, v->checked)); /* two numbers fit */
    size_t first = numbers.length;
    ignored(buffer_append_number(&numbers, v->made)); /* as above */
    const struct text pairs[] = {TEXT("checked"), text_first(buffer_text(&numbers), first), TEXT("made"),
                                 text_after(buffer_text(&numbers), first)};
    role_status(role, from, ask->tag, pairs, length_of(pairs));
    role_end(from, ask->tag, 0, TEXT_NONE);
}

static void message(struct role *role, struct link *from, const struct peers_message *m,
                    struct channel_descriptors *files not_used)
{
    if (m->type == PEERS_verify_ask)
        verify(role->context, from, &m->verify_ask);
    else if (m->type == PEERS_command_ask && text_equals(m->command_ask.name, TEXT("status")))
        status(role, from, &m->command_ask);
    else if (m->type == PEERS_command_ask)
        role_end(from, m->command_ask.tag, 1, TEXT("the verifier has no such command"));
}

int main(void)
{
    static const struct role_program program = {.self = PEERS_VERIFIER, .prepare = prepare, .message = message};
    struct verifier verifier = {.sasl = NULL};
    int result = role_main(&program, &verifier);
    sasl_free(&verifier.sasl);
    return result;
}
