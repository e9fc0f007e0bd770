/* SPDX-License-Identifier: Apache-2.0 */
/* One question at a time for each verifier: what waits, waits here, where turns are fair. */
#include "roles/vault.h"

#include <stdlib.h>
#include <string.h>

struct vault_check {
    struct vault_check *next; /* among the busy ones */
    uint64_t tag;
    uint64_t deadline_ms;
    bool is_new;
    struct text mechanism; /* a constant */
    struct buffer record, response;
    vault_check_function *function; /* NULL: nobody waits for it any more */
    void *context;
    struct link *verifier; /* NULL: it waits for its turn */
};

static void free_check(struct vault_check *check)
{
    buffer_wipe_done(&check->record);
    buffer_wipe_done(&check->response);
    free(check);
}

/* Answers, and forgets it. The check stands in no list any more. */
static void end_check(struct vault *v, struct vault_check *check, enum vault_verdict verdict, struct text record)
{
    if (check->function)
        check->function(v, check->context, verdict, record);
    free_check(check);
}

static struct vault_check *take_busy(struct vault *v, const struct link *verifier)
{
    for (struct vault_check **at = &v->busy; *at; at = &(*at)->next)
        if ((*at)->verifier == verifier) {
            struct vault_check *check = *at;
            *at = check->next;
            return check;
        }
    return NULL;
}

static bool is_busy(const struct vault *v, const struct link *verifier)
{
    for (const struct vault_check *check = v->busy; check; check = check->next)
        if (check->verifier == verifier)
            return true;
    return false;
}

size_t vault_verifiers(struct vault *v)
{
    size_t count = 0;
    for (size_t i = 0; i < v->role->link_count; i++)
        count += v->role->links[i].remote == PEERS_VERIFIER && v->role->links[i].channel >= 0;
    return count;
}

static struct link *idle_verifier(struct vault *v)
{
    for (size_t i = 0; i < v->role->link_count; i++) {
        struct link *link = &v->role->links[i];
        if (link->remote == PEERS_VERIFIER && link->channel >= 0 && !is_busy(v, link))
            return link;
    }
    return NULL;
}

void vault_check_serve(struct vault *v)
{
    struct link *verifier;
    struct vault_check *check;
    while ((verifier = idle_verifier(v)) && (check = turns_take(v->turns))) {
        struct peers_verify_ask ask = {.tag = check->tag,
                                       .is_new = check->is_new,
                                       .mechanism = check->mechanism,
                                       .record = buffer_text(&check->record),
                                       .response = buffer_text(&check->response)};
        check->verifier = verifier;
        check->next = v->busy;
        v->busy = check;
        v->checks++;
        bool is_sent = link_send(verifier, PEERS_verify_ask, &ask, NULL);
        buffer_wipe_done(&check->response);
        if (is_sent)
            continue;
        must(take_busy(v, verifier) == check);
        end_check(v, check, VAULT_NO_VERDICT, TEXT_NONE);
        break; /* the loop hears of its end, and of the next one */
    }
}

static struct vault_check *add_check(struct vault *v, struct vault_check *check, const struct vault_question *question)
{
    struct buffer network released_by(buffer_done) = buffer_new(512);
    turn_network_append(&network, question->client);
    if (buffer_append(&check->record, question->record) && buffer_append(&check->response, question->response) &&
        turns_add(v->turns, buffer_text(&network), question->account, check))
        return check;
    free_check(check);
    return NULL;
}

/* It is not served yet: the asker must know the check before it can be answered. */
struct vault_check *vault_check_new(struct vault *v, const struct vault_question *question)
{
    if (vault_verifiers(v) == 0)
        return NULL;
    struct vault_check *check = calloc(1, sizeof *check);
    must(check != NULL);
    *check = (struct vault_check){
        .tag = ++v->next_check,
        .deadline_ms = clock_monotonic_ms() + VAULT_CHECK_MS,
        .is_new = question->is_new,
        .mechanism = question->mechanism,
        .record = buffer_new(1024),
        .response = buffer_new(12288 + 1024),
        .function = question->function,
        .context = question->context,
    };
    return add_check(v, check, question);
}

void vault_check_drop(struct vault *v, struct vault_check **check)
{
    struct vault_check *dropped = *check;
    *check = NULL;
    if (!dropped)
        return;
    if (turns_remove(v->turns, dropped))
        free_check(dropped);
    else
        dropped->function = NULL; /* the verifier is at it */
}

void vault_check_answered(struct vault *v, struct link *verifier, const struct peers_verify_answer *answer)
{
    struct vault_check *check = take_busy(v, verifier);
    if (!check || check->tag != answer->tag) {
        role_event(v->role, RECORD_ALARM, TEXT("verifier-misspoke"), NULL, 0);
        if (check)
            end_check(v, check, VAULT_NO_VERDICT, TEXT_NONE);
    } else {
        end_check(v, check, answer->is_right == 1 ? VAULT_RIGHT : VAULT_WRONG, answer->record);
    }
    vault_check_serve(v);
}

static void refuse_waiting(struct vault *v)
{
    struct vault_check *check;
    while ((check = turns_take(v->turns)))
        end_check(v, check, VAULT_NO_VERDICT, TEXT_NONE);
}

/* What it had is not given to another: it may be what killed it. */
void vault_check_unlinked(struct vault *v, struct link *verifier)
{
    struct vault_check *check = take_busy(v, verifier);
    if (check)
        end_check(v, check, VAULT_NO_VERDICT, TEXT_NONE);
    if (vault_verifiers(v) == 0)
        refuse_waiting(v);
}

static struct vault_check *find_late(struct vault *v, uint64_t now_ms)
{
    struct vault_check *check;
    for (size_t place = 0; (check = turns_next(v->turns, &place));)
        if (check->deadline_ms <= now_ms)
            return check;
    return NULL;
}

void vault_check_tick(struct vault *v, uint64_t now_ms)
{
    struct vault_check *check;
    while ((check = find_late(v, now_ms))) {
        turns_remove(v->turns, check);
        end_check(v, check, VAULT_NO_VERDICT, TEXT_NONE);
    }
    for (check = v->busy; check; check = check->next)
        if (check->deadline_ms <= now_ms && check->function) {
            vault_check_function *function = check->function;
            check->function = NULL; /* its verifier stays busy until it answers or dies */
            function(v, check->context, VAULT_NO_VERDICT, TEXT_NONE);
        }
}

void vault_check_done(struct vault *v)
{
    struct vault_check *check;
    while ((check = turns_take(v->turns)))
        free_check(check);
    while ((check = v->busy)) {
        v->busy = check->next;
        free_check(check);
    }
    turns_free(&v->turns);
}
