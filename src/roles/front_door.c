/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets in, who waits at the door, who gives way; and the watch over deadlines and data rates. */
#include "roles/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { ACCEPT_AT_ONCE = 32, DOOR_LOOK = 64, GIVE_WAY_AT_ONCE = 64, IDLE_MOST_MS = 5000, IDLE_LEAST_MS = 1000, RATE_WINDOW_MS = 30000 };

/* --- claims -------------------------------------------------------------------------------------------------------------------------- */

bool front_claim(struct session *s, uint64_t generation)
{
    uint64_t word = atomic_load_explicit(&s->claim, memory_order_acquire);
    for (;;) {
        if (word >> 2 != generation || (word & 3) == CLAIM_FREE || (word & 3) == CLAIM_AGAIN)
            return false;
        uint64_t wanted = generation << 2 | ((word & 3) == CLAIM_IDLE ? CLAIM_TAKEN : CLAIM_AGAIN);
        if (atomic_compare_exchange_weak_explicit(&s->claim, &word, wanted, memory_order_acq_rel, memory_order_acquire))
            return (word & 3) == CLAIM_IDLE;
    }
}

bool front_release(struct session *s)
{
    uint64_t word = atomic_load_explicit(&s->claim, memory_order_relaxed);
    for (;;) {
        bool was_called = (word & 3) == CLAIM_AGAIN;
        uint64_t wanted = (word & ~(uint64_t)3) | (was_called ? CLAIM_TAKEN : CLAIM_IDLE);
        if (atomic_compare_exchange_weak_explicit(&s->claim, &word, wanted, memory_order_acq_rel, memory_order_acquire))
            return !was_called;
    }
}

static uint64_t generation_of(const struct session *s)
{
    return atomic_load_explicit(&s->claim, memory_order_relaxed) >> 2;
}

/* --- slots --------------------------------------------------------------------------------------------------------------------------- */

struct session *front_session_at(struct front *f, uint32_t slot)
{
    struct session *chunk = atomic_load_explicit(&f->chunks[slot / FRONT_SLOT_CHUNK], memory_order_acquire);
    return chunk + slot % FRONT_SLOT_CHUNK;
}

/* With the lock held. NULL: all slots are taken. */
static struct session *slot_take(struct front *f)
{
    uint32_t slot;
    if (f->free_count) {
        slot = f->free_slots[--f->free_count];
    } else {
        if (f->slot_count == FRONT_SLOTS)
            return NULL;
        slot = f->slot_count;
        if (slot % FRONT_SLOT_CHUNK == 0) {
            struct session *chunk = calloc(FRONT_SLOT_CHUNK, sizeof *chunk);
            must(chunk != NULL);
            for (size_t i = 0; i < FRONT_SLOT_CHUNK; i++)
                atomic_store(&chunk[i].claim, (uint64_t)1 << 2 | CLAIM_FREE);
            atomic_store_explicit(&f->chunks[slot / FRONT_SLOT_CHUNK], chunk, memory_order_release);
        }
        f->slot_count++;
    }
    return front_session_at(f, slot);
}

static uint32_t slot_of(struct front *f, const struct session *wanted)
{
    for (uint32_t i = 0; i < FRONT_SLOTS / FRONT_SLOT_CHUNK; i++) {
        const struct session *chunk = atomic_load(&f->chunks[i]);
        if (chunk && wanted >= chunk && wanted < chunk + FRONT_SLOT_CHUNK)
            return i * FRONT_SLOT_CHUNK + (uint32_t)(wanted - chunk);
    }
    must(false && "a session stands in a chunk");
    return 0;
}

/* --- clients ------------------------------------------------------------------------------------------------------------------------- */

/* One client is an IPv4 address or an IPv6 /64. */
static struct text host_key(const struct network_address *address, char octets[FRONT_HOST_KEY])
{
    memcpy(octets, address->octets, FRONT_HOST_KEY);
    if (!network_address_is_v4(address))
        memset(octets + 8, 0, 8);
    return text_of(octets, FRONT_HOST_KEY);
}

/* With the lock held. */
static struct host *host_enter(struct front *f, struct session *s)
{
    char octets[FRONT_HOST_KEY];
    struct text key = host_key(&s->address, octets);
    struct host *host = map_find(&f->hosts, key);
    if (!host) {
        host = calloc(1, sizeof *host);
        must(host != NULL);
        if (!map_put(&f->hosts, key, host)) { /* as many as there are slots: can't be full */
            free(host);
            return NULL;
        }
    }
    host->sessions++;
    return host;
}

static void host_leave(struct front *f, struct session *s)
{
    char octets[FRONT_HOST_KEY];
    struct text key = host_key(&s->address, octets);
    struct host *host = map_find(&f->hosts, key);
    if (host && --host->sessions == 0)
        free(map_remove(&f->hosts, key));
}

static unsigned host_sessions(struct front *f, const struct session *s)
{
    char octets[FRONT_HOST_KEY];
    const struct host *host = map_find(&f->hosts, host_key(&s->address, octets));
    return host ? host->sessions : 0;
}

/* --- places -------------------------------------------------------------------------------------------------------------------------- */

/* Strangers may fill all but the reserve; who is privileged may fill that too. */
static bool place_reserve(struct front *f, const struct session *s)
{
    uint64_t most = s->settings->settings->service_max_incoming;
    uint64_t reserved = s->is_privileged ? 0 : most * s->settings->settings->service_reserve / 100;
    unsigned now = atomic_load(&f->greeted);
    do {
        if (now >= larger(most - reserved, 1))
            return false;
    } while (!atomic_compare_exchange_weak(&f->greeted, &now, now + 1));
    unsigned peak = atomic_load(&f->greeted_peak);
    while (now + 1 > peak && !atomic_compare_exchange_weak(&f->greeted_peak, &peak, now + 1))
        ;
    return true;
}

/* With the lock held: who comes next, and out of the line. The reserve's clients, then the address with the fewest sessions; of a long line
 * only both ends are looked at, unless is_thorough. */
static struct session *door_next(struct front *f, bool is_thorough)
{
    struct session *best = NULL, *before_best = NULL, *before = NULL;
    unsigned fewest = 0;
    size_t place = 0, from_end = f->at_door > DOOR_LOOK ? f->at_door - DOOR_LOOK : 0;
    for (struct session *s = f->door_first; s; before = s, s = s->next, place++) {
        if (!is_thorough && place >= DOOR_LOOK && place < from_end)
            continue;
        unsigned sessions = s->is_privileged ? 0 : host_sessions(f, s);
        if (best && sessions >= fewest)
            continue;
        best = s;
        before_best = before;
        fewest = sessions;
        if (fewest == 0)
            break;
    }
    /* its place first: a claim that must be given back may have been called for meanwhile, and nobody would answer */
    if (!best || !place_reserve(f, best))
        return NULL;
    if (!front_claim(best, generation_of(best))) {
        atomic_fetch_sub(&f->greeted, 1);
        return NULL; /* it is just being looked at: the next tick asks again */
    }
    best->is_greeted = true;
    *(before_best ? &before_best->next : &f->door_first) = best->next;
    if (f->door_last == best)
        f->door_last = before_best;
    best->next = NULL;
    f->at_door--;
    return best;
}

static void door_remove(struct front *f, struct session *s)
{
    struct session *before = NULL;
    for (struct session *at = f->door_first; at; before = at, at = at->next) {
        if (at != s)
            continue;
        *(before ? &before->next : &f->door_first) = s->next;
        if (f->door_last == s)
            f->door_last = before;
        f->at_door--;
        break;
    }
    s->next = NULL;
}

static void door_admit(struct worker *w, bool is_thorough)
{
    struct front *f = w->front;
    if (w->is_admitting)
        return; /* one who was let in has ended at once: the loop that let him in goes on */
    w->is_admitting = true;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        pthread_mutex_lock(&f->lock);
        struct session *s = f->at_door ? door_next(f, is_thorough) : NULL;
        if (f->is_full && f->at_door < f->settings->settings->service_max_at_door)
            front_wait_set_listeners(f, true);
        pthread_mutex_unlock(&f->lock);
        if (!s)
            break;
        session_begin(w, s);
    }
    w->is_admitting = false;
}

/* --- beginning and end --------------------------------------------------------------------------------------------------------------- */

static const struct front_service *service_of(const struct front_settings *settings, uint64_t number)
{
    for (size_t i = 0; i < settings->service_count; i++)
        if (settings->services[i].number == number)
            return &settings->services[i];
    return NULL;
}

static struct session *session_new(struct front *f, int socket, const struct socket_name *peer, uint64_t listener)
{
    pthread_mutex_lock(&f->lock);
    struct front_settings *settings = front_settings_hold(f);
    const struct front_service *service = service_of(settings, listener);
    struct session *s = service ? slot_take(f) : NULL;
    if (!s) {
        pthread_mutex_unlock(&f->lock);
        front_settings_release(settings);
        return NULL;
    }
    uint64_t generation = generation_of(s);
    struct network_address address = {.octets = {0}};
    ignored(network_address_parse(socket_name_address(peer), &address)); /* what the kernel gives can be read */
    uint64_t now = clock_monotonic_ms();
    memset((char *)s + offsetof(struct session, slot), 0, sizeof *s - offsetof(struct session, slot));
    atomic_store(&s->is_hung_up, false);
    s->slot = slot_of(f, s);
    s->socket = socket;
    s->settings = settings;
    s->service = service;
    s->address = address;
    s->is_privileged = service->row->role != SETTINGS_LISTEN_SMTP;
    s->rest = buffer_new(FRONT_INPUT);
    s->unsent = buffer_new(FRONT_OUTPUT);
    s->body = buffer_new(FRONT_BODY + FRONT_INPUT);
    s->trace = buffer_new(8192);
    s->ticket = buffer_new(256);
    s->kept_event = buffer_new(PEERS_MESSAGE_LIMIT);
    s->began_ms = now;
    atomic_store(&s->deadline_ms, UINT64_MAX);
    atomic_store(&s->idle_since_ms, now);
    atomic_store_explicit(&s->claim, generation << 2 | CLAIM_TAKEN, memory_order_release);
    ignored(host_enter(f, s)); /* without an entry it is not counted */
    pthread_mutex_unlock(&f->lock);
    smtp_server_init(&s->machine, &service->options, service->row->role == SETTINGS_LISTEN_SUBMISSIONS);
    return s;
}

static bool watch(struct front *f, struct session *s)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u64 = generation_of(s) << 16 | s->slot};
    return epoll_ctl(f->epoll, EPOLL_CTL_ADD, s->socket, &event) == 0;
}

static void enter(struct worker *w, struct session *s)
{
    struct front *f = w->front;
    const struct settings *settings = s->settings->settings;
    pthread_mutex_lock(&f->lock);
    unsigned of_host = host_sessions(f, s);
    pthread_mutex_unlock(&f->lock);
    if (settings->service_max_incoming_per_host && of_host > settings->service_max_incoming_per_host && !settings_trusts(settings, &s->address)) {
        session_refuse(w, s, REPLY_TOO_MANY_CONNECTIONS);
        return;
    }
    pthread_mutex_lock(&f->lock);
    bool may_enter = f->at_door == 0 || s->is_privileged;
    pthread_mutex_unlock(&f->lock);
    if (may_enter && place_reserve(f, s)) {
        s->is_greeted = true;
        session_begin(w, s);
        return;
    }
    if (settings->service_when_full == SETTINGS_WHEN_FULL_REFUSE) {
        session_refuse(w, s, REPLY_SERVER_FULL);
        return;
    }
    pthread_mutex_lock(&f->lock);
    s->next = NULL;
    *(f->door_last ? &f->door_last->next : &f->door_first) = s;
    f->door_last = s;
    f->at_door++;
    if (f->at_door >= settings->service_max_at_door && !f->is_full)
        front_wait_set_listeners(f, false); /* the kernel's queue holds the others */
    pthread_mutex_unlock(&f->lock);
    if (!front_release(s))
        session_run(w, s);
}

void front_accept(struct worker *w, size_t listener)
{
    struct front *f = w->front;
    for (int i = 0; i < ACCEPT_AT_ONCE && !f->is_full && !atomic_load(&f->is_stopping); i++) {
        struct socket_name peer;
        int socket released_by(file_close) = -1;
        int result = socket_accept(f->role->listeners[listener].socket, &peer, &socket);
        if (result == EMFILE || result == ENFILE || result == ENOMEM || result == ENOBUFS) {
            pthread_mutex_lock(&f->lock);
            front_wait_set_listeners(f, false); /* the tick tries again: no spinning on a socket that can't be taken */
            pthread_mutex_unlock(&f->lock);
            role_event(f->role, RECORD_ALARM, TEXT("accept-failed"), (struct text[]){TEXT("why"), file_error_word(result)}, 2);
        }
        if (result)
            return;
        atomic_fetch_add(&f->connections, 1);
        struct session *s = session_new(f, socket, &peer, f->role->listeners[listener].number);
        if (s)
            socket = -1; /* the session's now */
        if (!s || !watch(f, s)) {
            atomic_fetch_add(&f->refused_at_door, 1);
            if (s)
                front_session_end(w, s);
            continue;
        }
        enter(w, s);
    }
}

void front_session_end(struct worker *w, struct session *s)
{
    struct front *f = w->front;
    bool was_greeted = s->is_greeted;
    message_drop(w, s);
    if (smtp_server_is_logging_in(&s->machine))
        front_login_drop(w, s);
    if (s->tls)
        tls_shut(s->tls);
    tls_connection_free(&s->tls);
    file_close(&s->socket);
    smtp_server_done(&s->machine);
    buffer_wipe_done(&s->rest);
    buffer_done(&s->unsent);
    buffer_done(&s->body);
    buffer_done(&s->ticket);
    buffer_done(&s->kept_event);
    struct front_settings *settings = s->settings;
    if (was_greeted)
        atomic_fetch_sub(&f->greeted, 1);
    pthread_mutex_lock(&f->lock);
    if (s->phase == SESSION_AT_DOOR)
        door_remove(f, s);
    host_leave(f, s);
    atomic_store_explicit(&s->claim, (generation_of(s) + 1) << 2 | CLAIM_FREE, memory_order_release);
    f->free_slots[f->free_count++] = s->slot;
    bool somebody_waits = f->at_door > 0 || f->is_full;
    pthread_mutex_unlock(&f->lock);
    front_settings_release(settings);
    if (somebody_waits && !atomic_load(&f->is_stopping))
        door_admit(w, false);
}

/* --- four times a second --------------------------------------------------------------------------------------------------------------- */

struct idle_list {
    struct session *sessions[GIVE_WAY_AT_ONCE];
    uint64_t since[GIVE_WAY_AT_ONCE], generations[GIVE_WAY_AT_ONCE];
    size_t count, wanted;
};

/* Keeps the longest idle ones: a small list in order. */
static void idle_note(struct idle_list *list, struct session *s, uint64_t since)
{
    size_t place = list->count;
    while (place > 0 && list->since[place - 1] > since)
        place--;
    if (place >= list->wanted)
        return;
    size_t last = smaller(list->count, list->wanted - 1);
    for (size_t i = last; i > place; i--) {
        list->sessions[i] = list->sessions[i - 1];
        list->since[i] = list->since[i - 1];
        list->generations[i] = list->generations[i - 1];
    }
    list->sessions[place] = s;
    list->since[place] = since;
    list->generations[place] = generation_of(s);
    list->count = smaller(list->count + 1, list->wanted);
}

static bool may_give_way(const struct session *s)
{
    return s->phase == SESSION_TALKS && !s->is_privileged && smtp_server_login(&s->machine).length == 0 &&
           !smtp_server_is_in_transaction(&s->machine);
}

static void too_slow(struct worker *w, struct session *s, uint64_t now)
{
    uint64_t elapsed = now - s->rate_since_ms;
    uint64_t least = s->settings->settings->service_min_data_rate * elapsed / 1000;
    bool is_receiving = s->phase == SESSION_SHAKES_HANDS || s->machine.state == SMTP_STATE_TEXT || s->machine.state == SMTP_STATE_CHUNK;
    if (is_receiving && elapsed >= RATE_WINDOW_MS && s->octets_in - s->rate_octets < least) {
        session_overdue(w, s, REPLY_TOO_SLOW);
        return;
    }
    if (elapsed >= RATE_WINDOW_MS || !is_receiving) {
        s->rate_since_ms = now;
        s->rate_octets = s->octets_in;
    }
    if (!front_release(s))
        session_run(w, s);
}

static void look_at(struct worker *w, struct session *s, uint64_t now, struct idle_list *idle)
{
    uint64_t word = atomic_load(&s->claim);
    uint64_t since = atomic_load(&s->idle_since_ms);
    if ((word & 3) != CLAIM_IDLE)
        return;
    if (now >= atomic_load(&s->deadline_ms)) {
        if (front_claim(s, word >> 2))
            session_overdue(w, s, REPLY_TIME_OUT);
        return;
    }
    if (now - since < 250 && idle->wanted == 0 && !atomic_load(&w->front->is_stopping))
        return; /* it is busy: its rate is looked at when it is not */
    if (!front_claim(s, word >> 2))
        return;
    if (atomic_load(&w->front->is_stopping) && s->phase == SESSION_TALKS && !smtp_server_is_in_transaction(&s->machine)) {
        session_overdue(w, s, REPLY_STOPPING);
        return;
    }
    if (idle->wanted && may_give_way(s))
        idle_note(idle, s, since);
    too_slow(w, s, now);
}

void front_look_around(struct worker *w)
{
    struct front *f = w->front;
    uint64_t now = clock_monotonic_ms();
    pthread_mutex_lock(&f->lock);
    uint32_t slots = f->slot_count;
    uint64_t waited = f->door_first ? now - f->door_first->began_ms : 0;
    struct idle_list idle = {.wanted = smaller(f->at_door, GIVE_WAY_AT_ONCE)};
    pthread_mutex_unlock(&f->lock);
    for (uint32_t i = 0; i < slots; i++)
        look_at(w, front_session_at(f, i), now, &idle);
    uint64_t least = waited >= IDLE_MOST_MS - IDLE_LEAST_MS ? IDLE_LEAST_MS : IDLE_MOST_MS - waited;
    for (size_t i = 0; i < idle.count; i++) {
        struct session *s = idle.sessions[i];
        if (now - idle.since[i] >= least && front_claim(s, idle.generations[i])) {
            if (may_give_way(s))
                session_overdue(w, s, REPLY_MADE_ROOM);
            else if (!front_release(s))
                session_run(w, s);
        }
    }
    pthread_mutex_lock(&f->lock);
    if (f->is_full && f->at_door < f->settings->settings->service_max_at_door)
        front_wait_set_listeners(f, true);
    pthread_mutex_unlock(&f->lock);
    if (idle.wanted)
        door_admit(w, true);
}
