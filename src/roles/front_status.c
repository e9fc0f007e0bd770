/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/front.h"

enum { STATUS_ROWS = 20 };

static void days_of_certificate(struct front *f, struct buffer *b)
{
    int64_t soonest = INT64_MAX;
    for (size_t i = 0; i < f->role->certificate_count; i++) {
        int64_t ends;
        if (tls_certificate_ends(f->role->certificates[i].pem, &ends) && ends < soonest)
            soonest = ends;
    }
    if (soonest == INT64_MAX)
        ignored(buffer_append(b, TEXT("none"))); /* fits */
    else
        ignored(buffer_append_format(b, "%lld", (long long)((soonest - clock_wall_ms()) / 86400000))); /* fits */
}

/* "relay-not-permitted=3 unknown-command=12" */
static void append_refusals(struct front *f, struct buffer *b)
{
    for (size_t i = 0; i < REPLY_COUNT; i++) {
        uint64_t count = atomic_load_explicit(&f->refused[i], memory_order_relaxed);
        struct text cause = reply_row((enum reply)i)->explain;
        if (count && cause.length)
            ignored(buffer_append_format(b, "%s%.*s=%llu", b->length ? " " : "", TEXT_ARGUMENTS(cause), (unsigned long long)count)); /* a cut list still tells */
    }
}

void front_status(struct front *f, struct link *to, const struct peers_command_ask *ask)
{
    if (!text_equals(ask->name, TEXT("status"))) {
        role_end(to, ask->tag, 2, TEXT("front does not know this command."));
        return;
    }
    pthread_mutex_lock(&f->lock);
    const struct {
        struct text name;
        uint64_t value;
    } rows[] = {
        {TEXT("threads"), f->worker_count},
        {TEXT("threads_busy"), f->worker_count - f->waiting - f->parked},
        {TEXT("threads_idle"), f->waiting + f->parked},
        {TEXT("threads_made"), f->made},
        {TEXT("threads_reused"), f->reused},
        {TEXT("sessions"), atomic_load(&f->greeted)},
        {TEXT("sessions_peak"), atomic_load(&f->greeted_peak)},
        {TEXT("at_door"), f->at_door},
        {TEXT("connections"), atomic_load(&f->connections)},
        {TEXT("refused_at_door"), atomic_load(&f->refused_at_door)},
        {TEXT("messages"), atomic_load(&f->messages)},
        {TEXT("octets_in"), atomic_load(&f->octets_in)},
        {TEXT("octets_out"), atomic_load(&f->octets_out)},
        {TEXT("max_incoming"), f->settings->settings->service_max_incoming},
        {TEXT("listeners"), f->settings->service_count},
    };
    pthread_mutex_unlock(&f->lock);
    struct buffer numbers released_by(buffer_done) = buffer_new(1024), days released_by(buffer_done) = buffer_new(32);
    struct buffer refusals released_by(buffer_done) = buffer_new(3900);
    struct text pairs[2 * (length_of(rows) + 2)];
    size_t starts[length_of(rows) + 1];
    starts[0] = 0;
    for (size_t i = 0; i < length_of(rows); i++) {
        ignored(buffer_append_number(&numbers, rows[i].value)); /* fits */
        starts[i + 1] = numbers.length;
    }
    for (size_t i = 0; i < length_of(rows); i++) {
        pairs[2 * i] = rows[i].name;
        pairs[2 * i + 1] = text_of(numbers.bytes + starts[i], starts[i + 1] - starts[i]);
    }
    days_of_certificate(f, &days);
    pairs[2 * length_of(rows)] = TEXT("certificate_days");
    pairs[2 * length_of(rows) + 1] = buffer_text(&days);
    append_refusals(f, &refusals);
    pairs[2 * length_of(rows) + 2] = TEXT("refusals");
    pairs[2 * length_of(rows) + 3] = buffer_text(&refusals);
    role_status(f->role, to, ask->tag, pairs, length_of(pairs));
    role_end(to, ask->tag, 0, TEXT_NONE);
}
