/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/control.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TICK_MS = 500,
    STATUS_MS = 3000,   /* a role that says nothing for so long is shown as silent */
    SILENCE_MS = 50000, /* below the command line's own patience, so that the reason reaches it */
    IDLE_MS = 60000,
    CHUNK = 4000,
    CHUNKS_IN_ROW = 32,
    SNAPSHOT_LIMIT = 64 << 20,
    SUPERVISOR_BIT = 63,
};

/* --- asks -------------------------------------------------------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
    return clock_monotonic_ms();
}

static unsigned bit_of(struct role *role, const struct link *link)
{
    return link == &role->supervisor ? SUPERVISOR_BIT : (unsigned)(link - role->links);
}

static struct link *link_of(struct role *role, unsigned bit)
{
    return bit == SUPERVISOR_BIT ? &role->supervisor : &role->links[bit];
}

static struct ask *ask_open(struct client *client, const struct peers_command_ask *from)
{
    struct control *c = client->control;
    for (size_t i = 0; i < ASKS_LIMIT; i++) {
        struct ask *ask = &c->asks[i];
        if (ask->is_open)
            continue;
        *ask = (struct ask){.is_open = true, .tag = ++c->counter * ASKS_LIMIT + i, .client = client, .client_tag = from->tag, .active_ms = now_ms(),
                            .name_length = smaller(from->name.length, NAME_LIMIT)};
        memcpy(ask->name, from->name.bytes, ask->name_length);
        client->asks++;
        return ask;
    }
    return NULL;
}

static void ask_close(struct ask *ask)
{
    ask->client->asks--;
    ask->client->active_ms = now_ms();
    ask->is_open = false;
}

static void ask_end(struct ask *ask, uint64_t status, struct text message)
{
    struct client *client = ask->client;
    uint64_t tag = ask->client_tag;
    ask_close(ask);
    control_client_end(client, tag, status, message);
}

void control_forget(struct client *client)
{
    struct control *c = client->control;
    for (size_t i = 0; i < ASKS_LIMIT && client->asks; i++)
        if (c->asks[i].is_open && c->asks[i].client == client)
            ask_close(&c->asks[i]);
}

static struct ask *ask_of(struct control *c, uint64_t tag)
{
    struct ask *ask = &c->asks[tag % ASKS_LIMIT];
    return ask->is_open && ask->tag == tag ? ask : NULL; /* whoever asked may be gone */
}

/* --- commands that are answered here ----------------------------------------------------------------------------------------------------- */

static void give_snapshot(struct control *c, struct client *client, uint64_t tag)
{
    struct buffer packed released_by(buffer_done) = buffer_new(SNAPSHOT_LIMIT);
    if (!settings_pack(&packed, c->role->settings, SETTINGS_READER_CONTROL)) {
        control_client_end(client, tag, COMMAND_EXIT_FAILED, TEXT("the settings are too big to be handed over"));
        return;
    }
    struct text rest = buffer_text(&packed);
    while (rest.length) {
        struct text fields[2 * CHUNKS_IN_ROW];
        size_t count = 0;
        while (rest.length && count < length_of(fields)) {
            fields[count++] = TEXT("octets");
            fields[count++] = text_take(&rest, smaller(rest.length, CHUNK));
        }
        control_client_row(client, tag, fields, count);
    }
    control_client_end(client, tag, COMMAND_EXIT_DONE, TEXT_NONE);
}

static void own_status(struct control *c, struct client *client, uint64_t tag)
{
    const struct {
        struct text name;
        uint64_t value;
    } own[] = {
        {TEXT("process"), (uint64_t)getpid()},      {TEXT("landlock"), c->role->sandbox.landlock},
        {TEXT("seccomp"), c->role->sandbox.has_seccomp}, {TEXT("settings"), c->role->settings_generation},
        {TEXT("callers_now"), c->client_count},     {TEXT("callers_peak"), c->peak},
        {TEXT("callers_total"), c->taken},          {TEXT("garbage"), c->garbage},
    };
    struct buffer numbers[length_of(own)];
    struct text fields[2 + 2 * length_of(own)] = {TEXT("role"), peers_role_word(PEERS_CONTROL)};
    for (size_t i = 0; i < length_of(own); i++) {
        numbers[i] = buffer_new(24);
        ignored(buffer_append_number(&numbers[i], own[i].value)); /* fits */
        fields[2 + 2 * i] = own[i].name;
        fields[3 + 2 * i] = buffer_text(&numbers[i]);
    }
    control_client_row(client, tag, fields, length_of(fields));
    for (size_t i = 0; i < length_of(own); i++)
        buffer_done(&numbers[i]);
}

static void silent_row(struct control *c, struct ask *ask, unsigned bit)
{
    struct text row[] = {TEXT("role"), peers_role_word(link_of(c->role, bit)->remote), TEXT("state"), TEXT("no answer")};
    control_client_row(ask->client, ask->client_tag, row, length_of(row));
}

/* --- commands for others ----------------------------------------------------------------------------------------------------------------- */

static bool put_to(struct link *link, const struct ask *ask, const struct peers_command_ask *from, struct text caller)
{
    struct peers_command_ask to = {.tag = ask->tag, .right = ask->client->right, .caller = caller, .name = from->name, .arguments = from->arguments};
    return link_send(link, PEERS_command_ask, &to, NULL);
}

static void put_status(struct control *c, struct ask *ask, const struct peers_command_ask *from, struct text caller)
{
    struct role *role = c->role;
    ask->is_status = true;
    own_status(c, ask->client, ask->client_tag);
    if (!ask->is_open)
        return; /* the client was dropped over its own row */
    if (put_to(&role->supervisor, ask, from, caller))
        ask->waiting |= 1ULL << SUPERVISOR_BIT;
    for (unsigned i = 0; i < role->link_count; i++)
        if (put_to(&role->links[i], ask, from, caller))
            ask->waiting |= 1ULL << i;
}

/* The rows of some tables hold log-ins. */
static bool sets_a_secret(const struct peers_command_ask *ask)
{
    for (size_t i = 0; i + 1 < ask->arguments.count; i += 2) {
        if (!text_equals(ask->arguments.items[i], TEXT("key")))
            continue;
        const struct settings_spec *spec = settings_find(ask->arguments.items[i + 1]);
        return spec && spec->secret_readers;
    }
    return false;
}

static void log_command(struct client *client, const struct peers_command_ask *ask, struct text caller)
{
    bool hides = sets_a_secret(ask);
    struct buffer said released_by(buffer_done) = buffer_new(1500);
    for (size_t i = 0; i + 1 < ask->arguments.count; i += 2) {
        bool is_secret = text_equals(ask->arguments.items[i], TEXT("password")) || (hides && !text_equals(ask->arguments.items[i], TEXT("key")));
        struct text value = is_secret ? TEXT("***") : text_first(ask->arguments.items[i + 1], 200);
        ignored(buffer_append_format(&said, "%s%.*s=%.*s", said.length ? " " : "", TEXT_ARGUMENTS(text_first(ask->arguments.items[i], 64)),
                                     TEXT_ARGUMENTS(value))); /* a cut list still tells the first ones */
    }
    role_event(client->control->role, RECORD_INFO, TEXT("command"),
               (struct text[]){TEXT("name"), ask->name, TEXT("arguments"), buffer_text(&said), TEXT("caller"), caller}, 6);
}

static void put_command(struct control *c, struct client *client, const struct command_row *row, const struct peers_command_ask *from)
{
    struct buffer caller released_by(buffer_done) = buffer_new(64), why released_by(buffer_done) = buffer_new(256);
    struct link *link = row->handler == PEERS_SUPERVISOR ? &c->role->supervisor : role_link(c->role, row->handler);
    bool is_status = command_id_of(row) == COMMAND_status;
    struct ask *ask = client->asks < ASKS_PER_CLIENT ? ask_open(client, from) : NULL;
    ignored(buffer_append_format(&caller, "user %u, process %d", client->user, client->process)); /* fits */
    if (!ask) {
        control_client_end(client, from->tag, COMMAND_EXIT_FAILED, TEXT("too many commands at once; try again when one has ended"));
        return;
    }
    if (row->right > COMMAND_RIGHT_READ)
        log_command(client, from, buffer_text(&caller));
    if (is_status) {
        put_status(c, ask, from, buffer_text(&caller));
    } else if (put_to(link, ask, from, buffer_text(&caller))) {
        ask->waiting = 1ULL << bit_of(c->role, link);
    } else {
        ignored(buffer_append_format(&why, "the role %.*s does not run now; it is started again, portiere status shows it", TEXT_ARGUMENTS(peers_role_word(row->handler)))); /* fits */
        ask_end(ask, COMMAND_EXIT_FAILED, buffer_text(&why));
    }
    control_tick_soon(c);
}

void control_take(struct client *client, const struct peers_command_ask *ask)
{
    struct control *c = client->control;
    const struct command_row *row = command_find(ask->name);
    struct buffer why released_by(buffer_done) = buffer_new(256);
    if (!row || row->handler == PEERS_NOBODY) {
        control_client_end(client, ask->tag, COMMAND_EXIT_USAGE, TEXT("the server has no such command; portiere and the server may be of different versions"));
    } else if (client->right < row->right) {
        ignored(buffer_append_format(&why, "%.*s needs the right to %.*s; this socket gives you: %.*s", TEXT_ARGUMENTS(row->words),
                                     TEXT_ARGUMENTS(command_right_word(row->right)), TEXT_ARGUMENTS(command_right_word(client->right)))); /* fits */
        control_client_end(client, ask->tag, COMMAND_EXIT_NOT_PERMITTED, buffer_text(&why));
    } else if (command_id_of(row) == COMMAND_settings_snapshot) {
        give_snapshot(c, client, ask->tag);
    } else {
        put_command(c, client, row, ask);
    }
}

/* --- what the roles answer --------------------------------------------------------------------------------------------------------------- */

static void take_end(struct control *c, struct ask *ask, const struct link *from, const struct peers_command_end *end)
{
    ask->waiting &= ~(1ULL << bit_of(c->role, from));
    if (!ask->is_status)
        ask_end(ask, end->status, end->message);
    else if (ask->waiting == 0)
        ask_end(ask, COMMAND_EXIT_DONE, TEXT_NONE);
}

static void message(struct role *role, struct link *from, const struct peers_message *message, struct channel_descriptors *files not_used)
{
    struct control *c = role->context;
    bool is_row = message->type == PEERS_command_row;
    if (!is_row && message->type != PEERS_command_end)
        return;
    struct ask *ask = ask_of(c, is_row ? message->command_row.tag : message->command_end.tag);
    if (!ask || !(ask->waiting & 1ULL << bit_of(role, from)))
        return; /* nobody waits, or not for this role */
    ask->active_ms = now_ms();
    if (is_row)
        control_client_row(ask->client, ask->client_tag, message->command_row.fields.items, message->command_row.fields.count);
    else
        take_end(c, ask, from, &message->command_end);
}

/* What it owes will not come. */
static void unlinked(struct role *role, struct link *link)
{
    struct control *c = role->context;
    uint64_t bit = 1ULL << bit_of(role, link);
    for (size_t i = 0; c->asks && i < ASKS_LIMIT; i++) {
        struct ask *ask = &c->asks[i];
        if (!ask->is_open || !(ask->waiting & bit))
            continue;
        ask->waiting &= ~bit;
        if (!ask->is_status)
            ask_end(ask, COMMAND_EXIT_FAILED, TEXT("the role that was asked ended before it answered; it is started again, ask once more"));
        else if (ask->waiting == 0)
            ask_end(ask, COMMAND_EXIT_DONE, TEXT_NONE);
    }
}

/* --- time -------------------------------------------------------------------------------------------------------------------------------- */

static void overdue(struct control *c, struct ask *ask, uint64_t now)
{
    if (now - ask->active_ms < (ask->is_status ? (uint64_t)STATUS_MS : (uint64_t)SILENCE_MS))
        return;
    for (unsigned bit = 0; bit < 64 && ask->is_open && ask->is_status; bit++)
        if (ask->waiting & 1ULL << bit)
            silent_row(c, ask, bit);
    if (!ask->is_open)
        return; /* the client was dropped over a row */
    ask_end(ask, ask->is_status ? COMMAND_EXIT_DONE : COMMAND_EXIT_FAILED,
            ask->is_status ? TEXT_NONE : TEXT("the role that was asked does not answer; portiere status shows how it is"));
}

static void tick(void *context)
{
    struct control *c = context;
    uint64_t now = now_ms();
    for (size_t i = 0; i < ASKS_LIMIT; i++)
        if (c->asks[i].is_open)
            overdue(c, &c->asks[i], now);
    for (size_t i = 0; i < CLIENTS_LIMIT; i++) {
        struct client *client = &c->clients[i];
        if (client->channel >= 0 && client->asks == 0 && now - client->active_ms > IDLE_MS)
            control_client_drop(client);
    }
    c->is_ticking = false;
    if (c->client_count)
        control_tick_soon(c);
}

void control_tick_soon(struct control *c)
{
    if (!c->is_ticking)
        loop_timer_set(c->timer, TICK_MS);
    c->is_ticking = true;
}

/* ------------------------------------------------------------------------------------------------------------------------------------------ */

static void begin(struct role *role)
{
    struct control *c = role->context;
    c->role = role;
    c->clients = calloc(CLIENTS_LIMIT, sizeof *c->clients);
    c->asks = calloc(ASKS_LIMIT, sizeof *c->asks);
    must(c->clients != NULL && c->asks != NULL);
    for (size_t i = 0; i < CLIENTS_LIMIT; i++)
        c->clients[i] = (struct client){.control = c, .channel = -1};
    c->timer = loop_timer_new(role->loop, tick, c);
    control_doors_open(c);
}

static const struct role_program program = {
    .self = PEERS_CONTROL,
    .grants = SANDBOX_ACCEPT,
    .begin = begin,
    .message = message,
    .unlinked = unlinked,
};

int main(void)
{
    static struct control control;
    return role_main(&program, &control);
}
