/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/front.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { TICK_MS = 250 };

/* --- events -------------------------------------------------------------------------------------------------------------------------- */

uint64_t front_session_number(const struct session *s)
{
    uint64_t generation = atomic_load_explicit(&s->claim, memory_order_relaxed) >> 2;
    return session_number_make(s->settings->front->role->boot, s->slot, generation);
}

struct text front_session_name(const struct session *s, char octets[24])
{
    struct buffer b = buffer_new(24);
    ignored(session_name_append(&b, front_session_number(s))); /* seventeen octets fit */
    memcpy(octets, b.bytes, b.length);
    struct text name = text_of(octets, b.length);
    buffer_done(&b);
    return name;
}

enum { PAIRS_LIMIT = 40, EVENTS_AT_ONCE = 32 * 1024 };

static size_t fill_pairs(const struct session *s, char octets[24], struct buffer *address, struct text *all, const struct text *pairs, size_t count)
{
    size_t at = 0;
    network_address_append(address, &s->address);
    all[at++] = TEXT("session");
    all[at++] = front_session_name(s, octets);
    all[at++] = TEXT("client");
    all[at++] = buffer_text(address);
    for (size_t i = 0; i + 1 < count && at + 2 <= PAIRS_LIMIT; i += 2) {
        if (pairs[i + 1].length == 0)
            continue;
        all[at++] = pairs[i];
        all[at++] = pairs[i + 1];
    }
    return at;
}

void front_events_send(struct worker *w)
{
    if (w->events.length == 0)
        return;
    role_events_send(w->front->role, buffer_text(&w->events));
    buffer_clear(&w->events);
    atomic_fetch_sub(&w->front->gathering, 1);
}

static void gather(struct worker *w, struct text packed)
{
    bool was_empty = w->events.length == 0;
    if (!role_events_add(&w->events, packed)) {
        front_events_send(w); /* the order stays */
        role_event_send(w->front->role, packed);
        return;
    }
    if (was_empty)
        atomic_fetch_add(&w->front->gathering, 1);
    if (w->events.length >= EVENTS_AT_ONCE)
        front_events_send(w);
}

void front_event(struct worker *w, struct session *s, enum record_level level, struct text name, const struct text *pairs, size_t count)
{
    char octets[24];
    struct text all[PAIRS_LIMIT];
    struct buffer address released_by(buffer_done) = buffer_new(SOCKET_ADDRESS_LIMIT);
    size_t filled = fill_pairs(s, octets, &address, all, pairs, count);
    buffer_clear(&w->event);
    role_event_pack(&w->event, level, name, all, filled);
    gather(w, buffer_text(&w->event));
}

void front_event_keep(struct session *s, enum record_level level, struct text name, const struct text *pairs, size_t count)
{
    char octets[24];
    struct text all[PAIRS_LIMIT];
    struct buffer address released_by(buffer_done) = buffer_new(SOCKET_ADDRESS_LIMIT);
    size_t filled = fill_pairs(s, octets, &address, all, pairs, count);
    buffer_clear(&s->kept_event);
    role_event_pack(&s->kept_event, level, name, all, filled);
}

void front_event_send_kept(struct worker *w, struct session *s)
{
    if (s->kept_event.length)
        gather(w, buffer_text(&s->kept_event));
    buffer_done(&s->kept_event);
}

/* --- settings ------------------------------------------------------------------------------------------------------------------------ */

struct front_settings *front_settings_hold(struct front *f)
{
    atomic_fetch_add(&f->settings->holders, 1);
    return f->settings;
}

static void snapshot_release(struct front *f, struct front_snapshot *snapshot)
{
    if (atomic_fetch_sub(&snapshot->holders, 1) != 1)
        return;
    role_settings_release(f->role, snapshot->settings);
    free(snapshot);
}

/* The one of the present generation, if it is of these settings. */
static struct front_snapshot *snapshot_hold(struct front *f, const struct settings *settings)
{
    struct front_snapshot *snapshot = f->settings && f->settings->settings == settings ? f->settings->snapshot : NULL;
    if (!snapshot) {
        snapshot = calloc(1, sizeof *snapshot);
        must(snapshot != NULL);
        snapshot->settings = settings;
    }
    atomic_fetch_add(&snapshot->holders, 1);
    return snapshot;
}

void front_settings_release(struct front_settings *settings)
{
    if (!settings || atomic_fetch_sub(&settings->holders, 1) != 1)
        return;
    for (size_t i = 0; i < settings->service_count; i++)
        tls_context_release(&settings->tls[i]);
    snapshot_release(settings->front, settings->snapshot);
    free(settings);
}

static struct tls_context *context_for(struct role *role, const struct settings *settings, const struct settings_listen *row)
{
    struct tls_certificate certificates[ROLE_CERTIFICATES];
    struct tls_context *context = NULL;
    struct buffer why released_by(buffer_done) = buffer_new(500);
    uint64_t oldest = row->tls_min == SETTINGS_TLS_VERSION_WORDS ? settings->tls_min_version : row->tls_min;
    for (size_t i = 0; i < role->certificate_count; i++)
        certificates[i] = (struct tls_certificate){.name = role->certificates[i].name, .pem = role->certificates[i].pem};
    struct tls_server_options options = {
        .listener = row->row.text,
        .min_version = (enum tls_version)oldest,
        .policy = (enum tls_policy)settings->tls_policy,
        .certificates = certificates,
        .certificate_count = role->certificate_count,
    };
    if (role->certificate_count && !tls_server_context_new(&options, &why, &context))
        role_event(role, RECORD_ALARM, TEXT("certificate-refused"), (struct text[]){TEXT("listener"), row->row.text, TEXT("why"), buffer_text(&why)}, 4);
    return context;
}

/* Alone, so that a broken one does not take the others with it. */
static bool certificate_is_good(struct text pem, struct buffer *why)
{
    struct tls_certificate certificate = {.pem = pem};
    struct tls_server_options options = {.listener = TEXT("test"), .min_version = TLS_VERSION_1_2, .certificates = &certificate, .certificate_count = 1};
    struct tls_context *context = NULL;
    if (!tls_server_context_new(&options, why, &context))
        return false;
    tls_context_release(&context);
    return true;
}

static struct smtp_server_options options_for(const struct settings *settings, const struct settings_listen *row, bool has_tls)
{
    bool is_submission = row->role != SETTINGS_LISTEN_SMTP;
    uint64_t most = settings->delivery_max_message_size;
    return (struct smtp_server_options){
        .hostname = settings->service_hostname,
        .title = settings->security_server_title,
        .max_message_size = most,
        .max_read_size = settings->security_block_message_size,
        .max_recipients = (size_t)settings->advanced_max_recipients_server,
        .max_hops = (unsigned)settings->advanced_max_hops,
        .max_bad_commands = (unsigned)settings->service_max_bad_commands,
        .max_idle_commands = (unsigned)settings->service_max_idle_commands,
        .mechanisms = TEXT("PLAIN LOGIN"),
        .is_submission = is_submission,
        .offers_tls = has_tls && row->role != SETTINGS_LISTEN_SUBMISSIONS,
        .offers_auth = row->offers_auth,
        .offers_dsn = settings->delivery_delivery_reports,
        .offers_utf8 = true,
        .require_helo = settings->security_require_helo,
        .is_lenient = row->is_lenient || settings->advanced_bare_newline == SETTINGS_BARE_NEWLINE_NORMALISE,
        .answers_vrfy = settings->security_vrfy,
        .answers_expn = settings->security_expn,
    };
}

static const struct settings_listen *row_of(const struct settings *settings, struct text row)
{
    for (size_t i = 0; i < settings->service_listen.count; i++)
        if (text_equals(settings->service_listen.rows[i].row.text, row))
            return &settings->service_listen.rows[i];
    return NULL;
}

/* A new generation out of the role's settings, listeners and certificates. Sessions keep the one they began with. */
static void settings_make(struct front *f)
{
    struct role *role = f->role;
    struct front_settings *made = calloc(1, sizeof *made);
    must(made != NULL);
    *made = (struct front_settings){.front = f, .snapshot = snapshot_hold(f, role->settings), .settings = role->settings, .policy = policy_settings_of(role->settings)};
    atomic_init(&made->holders, 1);
    for (size_t i = 0; i < role->listener_count; i++) {
        const struct settings_listen *row = row_of(role->settings, role->listeners[i].row);
        if (!row)
            row = row_of(role->settings, role->listeners[i].row_before);
        if (!row || role->listeners[i].socket < 0)
            continue; /* its settings are still to come */
        struct front_service *service = &made->services[made->service_count];
        made->tls[made->service_count] = context_for(role, role->settings, row);
        *service = (struct front_service){.number = role->listeners[i].number, .row = row,
                                          .options = options_for(role->settings, row, made->tls[made->service_count] != NULL)};
        made->service_count++;
    }
    pthread_mutex_lock(&f->lock);
    struct front_settings *before = f->settings;
    f->settings = made;
    pthread_mutex_unlock(&f->lock);
    front_settings_release(before);
}

/* --- what the others say ------------------------------------------------------------------------------------------------------------- */

static void listener_gone(struct front *f, uint64_t number)
{
    struct role *role = f->role;
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < role->listener_count; i++)
        if (role->listeners[i].number == number && role->listeners[i].socket >= 0) {
            ignored(epoll_ctl(f->epoll, EPOLL_CTL_DEL, role->listeners[i].socket, NULL)); /* out already is as good; the supervisor may hold it still */
            file_close(&role->listeners[i].socket);
        }
    pthread_mutex_unlock(&f->lock);
    settings_make(f);
}

static void message(struct role *role, struct link *from not_used, const struct peers_message *m, struct channel_descriptors *files not_used)
{
    struct front *f = role->context;
    switch ((int)m->type) { /* what may come to front; peers.def keeps the others away */
    case PEERS_addresses_answer:
    case PEERS_login_answer:
        front_answered(f, m);
        break;
    case PEERS_accounts_changed:
        atomic_store(&f->accounts_generation, m->accounts_changed.generation);
        break;
    case PEERS_listener:
        settings_make(f);
        pthread_mutex_lock(&f->lock);
        front_wait_set_listeners(f, true);
        pthread_mutex_unlock(&f->lock);
        break;
    case PEERS_listener_gone:
        listener_gone(f, m->listener_gone.number);
        break;
    case PEERS_certificate:
        settings_make(f);
        break;
    case PEERS_command_ask:
        front_status(f, from, &m->command_ask);
        break;
    default:
        break;
    }
}

static void settings_changed(struct role *role, const struct settings *before not_used)
{
    struct front *f = role->context;
    settings_make(f); /* the sessions hold the old one: the last gives it back */
    pthread_mutex_lock(&f->lock);
    front_wait_set_listeners(f, true); /* those whose row has only come now */
    pthread_cond_broadcast(&f->unpark); /* a smaller cache lets threads end */
    pthread_mutex_unlock(&f->lock);
}

static void unlinked(struct role *role, struct link *link)
{
    struct front *f = role->context;
    if (link->remote == PEERS_QUEUE) {
        atomic_fetch_add(&f->queue_epoch, 1); /* all lanes to it are lost with it */
        atomic_store(&f->is_lane_due, true);
        front_kick(f);
    } else if (link->remote == PEERS_VAULT) {
        front_unanswered(f);
    }
}

static void tick(void *context)
{
    struct front *f = context;
    atomic_store(&f->is_tick_due, true);
    front_kick(f);
    loop_timer_set(f->tick, TICK_MS);
    if (atomic_load(&f->is_stopping) && ((atomic_load(&f->greeted) == 0 && atomic_load(&f->gathering) == 0) || clock_monotonic_ms() >= f->stop_at_ms))
        loop_stop(f->role->loop);
}

/* New ones are refused by the closed listeners; who is idle is told, who sends a message may end it. */
static void stop(struct role *role, uint64_t grace_ms)
{
    struct front *f = role->context;
    pthread_mutex_lock(&f->lock);
    front_wait_set_listeners(f, false);
    pthread_mutex_unlock(&f->lock);
    f->stop_at_ms = clock_monotonic_ms() + grace_ms;
    atomic_store(&f->is_stopping, true);
    atomic_store(&f->is_tick_due, true);
    front_kick(f);
}

static bool prepare(struct role *role)
{
    struct front *f = role->context;
    f->role = role;
    signal(SIGPIPE, SIG_IGN);
    must(pthread_mutex_init(&f->lock, NULL) == 0 && pthread_cond_init(&f->unpark, NULL) == 0);
    f->free_slots = calloc(FRONT_SLOTS, sizeof *f->free_slots);
    must(f->free_slots != NULL);
    f->hosts = map_new(FRONT_SLOTS, random_number());
    atomic_store(&f->queue_epoch, 1);
    for (unsigned i = 0; i < FRONT_LANES; i++) {
        f->lanes[i].number = i;
        f->lanes[i].channel = -1;
    }
    ignored(process_raise_file_limit()); /* the limit then stays; EMFILE is handled */
    f->cores = process_cores();
    settings_make(f);                    /* OpenSSL reads what it needs before the sandbox */
    return front_worker_watch(f);
}

static void begin(struct role *role)
{
    struct front *f = role->context;
    f->tick = loop_timer_new(role->loop, tick, f);
    loop_timer_set(f->tick, TICK_MS);
    pthread_mutex_lock(&f->lock);
    for (unsigned i = 0; i < f->cores; i++)
        ignored(front_worker_start(f)); /* one at least, or nobody answers: the next start tries again */
    front_wait_set_listeners(f, true);
    pthread_mutex_unlock(&f->lock);
}

int main(void)
{
    static struct front front;
    static const struct role_program program = {
        .self = PEERS_FRONT,
        .grants = SANDBOX_THREADS | SANDBOX_ACCEPT | SANDBOX_PAIRS,
        .prepare = prepare,
        .begin = begin,
        .message = message,
        .unlinked = unlinked,
        .settings_changed = settings_changed,
        .certificate_is_good = certificate_is_good,
        .stop = stop,
    };
    _exit(role_main(&program, &front)); /* the threads are at work: nothing is taken apart under them */
}
