/* SPDX-License-Identifier: Apache-2.0 */
/* connection: the client machine over a stream. */
#include "courier/private.h"

#include <stdlib.h>

enum {
    INPUT_LIMIT = 128 * 1024,
    OUTPUT_LIMIT = 512 * 1024,
    PIECE = 32 * 1024, /* of a body, at a time */
    CONNECT_MS = 30 * 1000,
    QUIT_MS = 1000,
    LAST_WORDS_MS = 1000,
    MESSAGE_MS = 60 * 60 * 1000, /* a host that takes each command's whole time is not waited for for ever */
    SLOWEST = 10,                /* and the body goes at this many octets a millisecond, on the average */
};

struct text courier_kept(struct arena *arena, struct text t)
{
    struct text copy = TEXT_NONE;
    return arena_copy(arena, t, &copy) ? copy : TEXT_NONE;
}

void host_append(struct buffer *b, const struct courier_host *host)
{
    struct buffer address released_by(buffer_done) = buffer_new(64);
    network_address_append(&address, &host->address);
    if (host->name.length) {
        buffer_append(b, host->name);
        buffer_append_octet(b, ' ');
    }
    buffer_append_octet(b, '[');
    buffer_append(b, buffer_text(&address));
    buffer_append(b, TEXT("]:"));
    buffer_append_number(b, host->port);
}

/* --- one step of the machine, and what it wants ----------------------------------------------------------------- */

static void set_deadline(struct courier_connection *c)
{
    uint64_t until = clock_monotonic_ms() + smtp_client_deadline_ms(&c->client);
    c->until_ms = until < c->give_up_ms ? until : c->give_up_ms;
}

static enum smtp_client_effect step(struct courier_connection *c)
{
    struct text input = buffer_text(&c->input);
    size_t before = input.length;
    enum smtp_client_effect effect = smtp_client_step(&c->client, &input, &c->output);
    buffer_drop_front(&c->input, before - input.length);
    return effect;
}

static void lost(struct courier_connection *c, enum courier_flow flow)
{
    struct buffer why released_by(buffer_done) = buffer_new(300);
    if (c->stream.tls && flow != COURIER_LATE)
        tls_problem(c->stream.tls, &why);
    smtp_client_lost(&c->client, flow == COURIER_LATE, buffer_text(&why));
}

/* When a write fails the host may have said why before it ended: a refusal in the middle of the text. */
static void hear_last_words(struct courier_connection *c, enum courier_flow flow)
{
    uint64_t until = clock_monotonic_ms() + LAST_WORDS_MS;
    while (stream_read(&c->stream, &c->input, until) == COURIER_FLOWS) {
        buffer_clear(&c->output);
        if (step(c) == SMTP_CLIENT_CLOSE)
            return;
    }
    lost(c, flow);
}

static bool flush(struct courier_connection *c)
{
    if (c->output.length == 0)
        return true;
    set_deadline(c);
    enum courier_flow flow = stream_write(&c->stream, buffer_text(&c->output), c->until_ms);
    buffer_clear(&c->output);
    if (flow == COURIER_FLOWS)
        return true;
    hear_last_words(c, flow);
    return false;
}

static void wait_for_input(struct courier_connection *c)
{
    bool is_new = c->output.length || c->client.reader.octets == 0;
    if (!flush(c))
        return;
    if (is_new)
        set_deadline(c);
    enum courier_flow flow = stream_read(&c->stream, &c->input, c->until_ms);
    if (flow != COURIER_FLOWS)
        lost(c, flow);
}

static void start_tls(struct courier_connection *c)
{
    struct buffer why released_by(buffer_done) = buffer_new(300);
    bool must_verify = c->options.tls == SETTINGS_TLS_LEVEL_VERIFY;
    if (!flush(c))
        return;
    buffer_clear(&c->input); /* said in clear */
    set_deadline(c);
    if (!c->world->tls)
        smtp_client_tls_failed(&c->client, TEXT("TLS can not be used here"));
    else if (stream_handshake(&c->stream, c->world->tls, c->server_name, must_verify, c->until_ms, &why) ==
             COURIER_FLOWS)
        smtp_client_tls_started(&c->client, &c->output);
    else
        smtp_client_tls_failed(&c->client, buffer_text(&why));
}

static void send_body(struct courier_connection *c)
{
    struct text piece = TEXT_NONE;
    if (c->body_at < c->body_size) {
        piece = text_first(c->world->body(c->world->context, c->body_at), PIECE);
        if (piece.length == 0) {
            smtp_client_body_failed(&c->client);
            return;
        }
        if (piece.length > c->body_size - c->body_at)
            piece.length = (size_t)(c->body_size - c->body_at);
    }
    c->body_at += piece.length;
    must(smtp_client_body(&c->client, piece, c->body_at == c->body_size, &c->output));
    ignored(flush(c)); /* the next step says CLOSE when it failed */
}

/* Until the machine is ready for a message, or over. */
static enum smtp_client_effect run(struct courier_connection *c)
{
    for (;;) {
        enum smtp_client_effect effect = step(c);
        switch (effect) {
        case SMTP_CLIENT_NEED_INPUT:
            wait_for_input(c);
            break;
        case SMTP_CLIENT_START_TLS:
            start_tls(c);
            break;
        case SMTP_CLIENT_NEED_BODY:
            send_body(c);
            break;
        case SMTP_CLIENT_READY:
        case SMTP_CLIENT_CLOSE:
            return effect;
        }
    }
}

/* --- open, send, close ------------------------------------------------------------------------------------------ */

static void wipe(struct courier_connection *c)
{
    stream_close(&c->stream);
    smtp_client_done(&c->client);
    buffer_wipe_done(&c->output);
    buffer_done(&c->input);
    arena_done(&c->texts);
    free(c);
}

static int connect_to(const struct courier_plan *plan, const struct courier_host *host, int *ret_socket)
{
    struct buffer address released_by(buffer_done) = buffer_new(64), source released_by(buffer_done) = buffer_new(64);
    network_address_append(&address, &host->address);
    bool is_same_family = network_address_is_v4(&host->address) == network_address_is_v4(&plan->source);
    if (plan->has_source && is_same_family)
        network_address_append(&source, &plan->source);
    return socket_connect(buffer_text(&address), host->port, buffer_text(&source), CONNECT_MS, ret_socket);
}

static struct result connect_failure(struct arena *arena, const struct courier_host *host, int error)
{
    struct buffer name released_by(buffer_done) = buffer_new(400);
    host_append(&name, host);
    return (struct result){.class = RESULT_DEFERRED,
                           .enhanced = TEXT("4.4.1"),
                           .stage = TEXT("connect"),
                           .host = courier_kept(arena, buffer_text(&name)),
                           .text = courier_kept(arena, file_error_word(error))};
}

static struct courier_connection *connection_new(const struct courier_world *world, const struct courier_plan *plan,
                                                 const struct courier_host *host, bool without_tls, int socket)
{
    struct courier_connection *c = calloc(1, sizeof *c);
    struct buffer name released_by(buffer_done) = buffer_new(400);
    must(c != NULL);
    host_append(&name, host);
    *c = (struct courier_connection){.texts = arena_new(8192),
                                     .stream = {.socket = socket},
                                     .input = buffer_new(INPUT_LIMIT),
                                     .output = buffer_new(OUTPUT_LIMIT),
                                     .world = world,
                                     .give_up_ms = clock_monotonic_ms() + MESSAGE_MS};
    c->destination = courier_kept(&c->texts, plan->destination);
    c->options = (struct smtp_client_options){
        .hostname = courier_kept(&c->texts, world->hostname),
        .host = courier_kept(&c->texts, buffer_text(&name)),
        .tls = without_tls || (!world->tls && host->tls == SETTINGS_TLS_LEVEL_OPPORTUNISTIC) ? SETTINGS_TLS_LEVEL_OFF
                                                                                             : host->tls,
        .user = host->user,
        .password = host->password,
        .may_login_in_clear = host->may_login_in_clear,
    };
    c->server_name = courier_kept(&c->texts, host->name);
    smtp_client_init(&c->client, &c->options);
    return c;
}

static struct result copied(struct arena *arena, const struct result *r)
{
    struct result copy = *r;
    copy.enhanced = courier_kept(arena, r->enhanced);
    copy.host = courier_kept(arena, r->host);
    copy.text = courier_kept(arena, r->text);
    return copy;
}

static void tell(const struct courier_connection *c)
{
    struct buffer details released_by(buffer_done) = buffer_new(200);
    if (c->stream.tls)
        tls_describe(c->stream.tls, &details);
    c->world->note(c->world->context, COURIER_NOTE_CONNECTED, c->options.host, NULL, buffer_text(&details));
}

struct courier_connection *connection_open(const struct courier_world *world, const struct courier_plan *plan,
                                           const struct courier_host *host, bool without_tls, struct arena *arena,
                                           struct result *failure, bool *wants_clear)
{
    int socket = -1;
    *wants_clear = false;
    int error = connect_to(plan, host, &socket);
    if (error) {
        *failure = connect_failure(arena, host, error);
        return NULL;
    }
    struct courier_connection *c = connection_new(world, plan, host, without_tls, socket);
    if (run(c) == SMTP_CLIENT_READY) {
        tell(c);
        c->options.user = TEXT_NONE; /* the settings that it stands in may go while this is kept */
        c->options.password = TEXT_NONE;
        return c;
    }
    *failure = copied(arena, &c->client.failure);
    *wants_clear = c->client.trouble == SMTP_CLIENT_TLS && c->options.tls == SETTINGS_TLS_LEVEL_OPPORTUNISTIC;
    ignored(stream_write(&c->stream, buffer_text(&c->output),
                         clock_monotonic_ms() + QUIT_MS)); /* QUIT, when there is one */
    wipe(c);
    return NULL;
}

bool connection_send(const struct courier_world *world, struct courier_connection *c,
                     const struct smtp_client_message *message)
{
    c->world = world;
    c->body_at = 0;
    c->body_size = message->size;
    c->give_up_ms = clock_monotonic_ms() + MESSAGE_MS + message->size / SLOWEST;
    smtp_client_begin(&c->client, message, &c->output);
    return run(c) == SMTP_CLIENT_READY;
}

int courier_connection_socket(const struct courier_connection *connection)
{
    return connection->stream.socket;
}

void courier_connection_free(struct courier_connection **connection)
{
    struct courier_connection *c = *connection;
    if (!c)
        return;
    smtp_client_quit(&c->client, &c->output);
    uint64_t until = clock_monotonic_ms() + QUIT_MS;
    if (c->output.length && stream_write(&c->stream, buffer_text(&c->output), until) == COURIER_FLOWS)
        ignored(stream_read(&c->stream, &c->input, until)); /* 221, or not */
    wipe(c);
    *connection = NULL;
}
