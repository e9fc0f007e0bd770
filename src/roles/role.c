/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/role.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARENA_LIMIT = 16 << 20, SNAPSHOT_LIMIT = 64 << 20, UNPACK_LIMIT = 1 << 20, LAST_WORDS_MS = 1000 };

/* A snapshot and the memory it stands in; the settings come first, so that the pointer finds its holder. */
struct snapshot {
    struct settings settings;
    struct arena arena;
};

struct link *role_link_instance(struct role *role, enum peers_role remote, unsigned instance)
{
    for (size_t i = 0; i < role->link_count; i++)
        if (role->links[i].remote == remote && role->links[i].instance == instance)
            return &role->links[i];
    return NULL;
}

struct link *role_link(struct role *role, enum peers_role remote)
{
    for (size_t i = 0; i < role->link_count; i++)
        if (role->links[i].remote == remote)
            return &role->links[i];
    return NULL;
}

int role_folder(struct role *role, struct text name)
{
    for (size_t i = 0; i < role->folder_count; i++)
        if (text_equals(role->folders[i].name, name))
            return role->folders[i].folder;
    return -1;
}

static void event_to_standard_error(const struct peers_event *event)
{
    struct buffer line released_by(buffer_done) = buffer_new(8192);
    bool fits = buffer_append(&line, TEXT("portiere: ")) && buffer_append(&line, event->name);
    for (size_t i = 0; fits && i + 1 < event->fields.count; i += 2)
        fits = buffer_append_format(&line, " %.*s=", TEXT_ARGUMENTS(event->fields.items[i])) && buffer_append(&line, event->fields.items[i + 1]);
    /* a stranger's octets: nothing that a terminal would obey */
    for (size_t i = 0; i < line.length; i++)
        if ((unsigned char)line.bytes[i] < 32 || line.bytes[i] == 127)
            line.bytes[i] = '?';
    ignored(buffer_append_octet(&line, '\n')); /* a cut line is still a line */
    ignored(file_write_all(2, buffer_text(&line))); /* nowhere else to tell */
}

void role_event(struct role *role, enum record_level level, struct text name, const struct text *pairs, size_t count)
{
    struct text cut[64];
    struct peers_event event = {.time = (uint64_t)clock_wall_ms(), .level = level, .name = name,
                                .fields = {.items = cut, .count = smaller(count, length_of(cut))}};
    for (size_t i = 0; i < event.fields.count; i++)
        cut[i] = text_first(pairs[i], 2000);
    struct link *ledger = role_link(role, PEERS_LEDGER);
    if (!link_send(ledger, PEERS_event, &event, NULL) && level >= RECORD_NOTICE)
        event_to_standard_error(&event);
}

void role_event_pack(struct buffer *b, enum record_level level, struct text name, const struct text *pairs, size_t count)
{
    struct text cut[64];
    struct peers_event event = {.time = (uint64_t)clock_wall_ms(), .level = level, .name = name,
                                .fields = {.items = cut, .count = smaller(count, length_of(cut))}};
    for (size_t i = 0; i < event.fields.count; i++)
        cut[i] = text_first(pairs[i], 2000);
    must(peers_pack(b, PEERS_event, &event)); /* cut to what the row allows */
}

void role_event_send(struct role *role, struct text packed)
{
    if (packed.length)
        ignored(link_send_packed(role_link(role, PEERS_LEDGER), packed, true)); /* a lost ledger has lost it */
}

bool role_events_add(struct buffer *events, struct text packed)
{
    char length[4];
    if (packed.length + sizeof length > events->limit - events->length)
        return false;
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (char)(packed.length >> (8 * i) & 255);
    return buffer_append(events, text_of(length, sizeof length)) && buffer_append(events, packed);
}

bool role_events_next(struct text *rest, struct text *ret_packed)
{
    size_t length = 0;
    if (rest->length < 4)
        return false;
    for (size_t i = 0; i < 4; i++)
        length |= (size_t)(unsigned char)rest->bytes[i] << (8 * i);
    if (length > rest->length - 4)
        return false;
    *ret_packed = text_first(text_after(*rest, 4), length);
    *rest = text_after(*rest, 4 + length);
    return true;
}

/* A lost ledger has lost them; what an administrator should know is told all the same. */
static void events_to_standard_error(struct role *role, struct text events)
{
    struct text packed;
    while (role_events_next(&events, &packed)) {
        struct arena arena released_by(arena_done) = arena_new(UNPACK_LIMIT);
        struct peers_message event;
        if (peers_unpack(packed, role->program->self, PEERS_LEDGER, 0, &arena, &event) == PEERS_OK && event.type == PEERS_event && event.event.level >= RECORD_NOTICE)
            event_to_standard_error(&event.event);
    }
}

void role_events_send(struct role *role, struct text events)
{
    struct peers_events message = {.packed = events};
    if (!link_send(role_link(role, PEERS_LEDGER), PEERS_events, &message, NULL))
        events_to_standard_error(role, events);
}

void role_row(struct link *to, uint64_t tag, const struct text *pairs, size_t count)
{
    struct text *items = malloc(sizeof *items * larger(count, 1));
    must(items != NULL);
    for (size_t i = 0; i < count; i++)
        items[i] = text_first(pairs[i], 4000);
    struct peers_command_row row = {.tag = tag, .fields = {.items = items, .count = count}};
    ignored(link_send(to, PEERS_command_row, &row, NULL)); /* nobody waits for it any more */
    free(items);
}

void role_end(struct link *to, uint64_t tag, uint64_t status, struct text message)
{
    struct peers_command_end end = {.tag = tag, .status = status, .message = text_first(message, 4000)};
    ignored(link_send(to, PEERS_command_end, &end, NULL)); /* as above */
}

struct text role_argument(const struct peers_command_ask *ask, struct text name)
{
    for (size_t i = 0; i + 1 < ask->arguments.count; i += 2)
        if (text_equals(ask->arguments.items[i], name))
            return ask->arguments.items[i + 1];
    return TEXT_NONE;
}

void role_status(struct role *role, struct link *to, uint64_t tag, const struct text *pairs, size_t count)
{
    struct buffer numbers released_by(buffer_done) = buffer_new(256);
    struct text row[64] = {TEXT("role"), peers_role_word(role->program->self)};
    struct {
        struct text name;
        uint64_t value;
    } own[] = {
        {TEXT("instance"), role->instance},
        {TEXT("process"), (uint64_t)getpid()},
        {TEXT("landlock"), role->sandbox.landlock},
        {TEXT("seccomp"), role->sandbox.has_seccomp},
        {TEXT("settings"), role->settings_generation},
    };
    size_t at = 2, starts[length_of(own) + 1] = {0};
    for (size_t i = 0; i < length_of(own); i++) {
        ignored(buffer_append_number(&numbers, own[i].value)); /* five numbers fit in 256 octets */
        starts[i + 1] = numbers.length;
    }
    for (size_t i = 0; i < length_of(own); i++) {
        row[at++] = own[i].name;
        row[at++] = text_of(numbers.bytes + starts[i], starts[i + 1] - starts[i]);
    }
    for (size_t i = 0; i < count && at < length_of(row); i++)
        row[at++] = pairs[i];
    role_row(to, tag, row, at);
}

/* --- what the supervisor hands over ---------------------------------------------------------------------------------------------- */

static bool take_settings(struct role *role, int file, uint64_t generation)
{
    size_t size = memory_size(file);
    void *octets = NULL;
    if (size > SNAPSHOT_LIMIT || memory_map(file, size, false, &octets) != 0)
        return false;
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    must(snapshot != NULL);
    snapshot->arena = arena_new(SNAPSHOT_LIMIT);
    const struct settings *read = NULL;
    bool is_good = settings_unpack(&snapshot->arena, text_of(octets, size), &read);
    if (is_good)
        snapshot->settings = *read;
    memory_unmap(octets, size);
    if (!is_good) {
        arena_done(&snapshot->arena);
        free(snapshot);
        return false;
    }
    const struct settings *before = role->settings;
    role->settings = &snapshot->settings;
    role->settings_generation = generation;
    if (before && role->program->settings_changed)
        role->program->settings_changed(role, before);
    else
        role_settings_release(role, before);
    return true;
}

void role_settings_release(struct role *role not_used, const struct settings *old)
{
    if (!old)
        return;
    struct snapshot *snapshot = (struct snapshot *)(uintptr_t)old;
    arena_done(&snapshot->arena);
    free(snapshot);
}

static void link_ready(void *context, unsigned ready);

static void link_watch(struct link *link)
{
    if (link->role->loop && atomic_load(&link->is_open))
        link->watch = loop_watch_new(link->role->loop, link->channel, LOOP_READABLE, link_ready, link);
}

/* The new channel takes the old one's number: a thread that sends meanwhile sends to one of the two, never to a stranger. */
static void link_open(struct link *link, int channel)
{
    if (link->channel < 0) {
        link->channel = channel;
    } else {
        must(file_replace_descriptor(channel, link->channel) == 0);
        file_close(&channel);
    }
    atomic_store_explicit(&link->is_open, true, memory_order_release);
    link_watch(link);
}

static void link_close(struct link *link)
{
    bool was_open = atomic_exchange(&link->is_open, false);
    loop_watch_free(&link->watch);
    link_forget(link);
    if (!was_open)
        return;
    socket_end(link->channel);
    if (link->role->program->unlinked)
        link->role->program->unlinked(link->role, link);
}

/* The role's number holds the bit in its lower half and the instance in its upper one. */
void role_misspoke(struct link *link, struct text fault)
{
    role_event(link->role, RECORD_ALARM, TEXT("peer-misspoke"), (struct text[]){TEXT("peer"), peers_role_word(link->remote), TEXT("fault"), fault}, 4);
    link_close(link);
}

static bool take_peer(struct role *role, uint64_t number, int channel)
{
    enum peers_role remote = (enum peers_role)(number & PEERS_ANYBODY);
    unsigned instance = (unsigned)(number >> 32);
    struct link *link = role_link_instance(role, remote, instance);
    if (!link) {
        size_t count = role->link_count;
        if (count == ROLE_LINKS)
            return false;
        link = &role->links[count];
        *link = (struct link){.role = role, .remote = remote, .instance = instance, .channel = -1};
        role->link_count = count + 1; /* other threads may look for a link meanwhile */
    }
    link_close(link);
    link_open(link, channel);
    if (role->program->linked && role->loop)
        role->program->linked(role, link);
    return true;
}

/* The same number again is the same socket with another row. */
static bool take_listener(struct role *role, const struct peers_listener *listener, int socket)
{
    struct text row;
    size_t place = role->listener_count;
    if (!arena_copy(&role->arena, listener->row, &row))
        return false;
    for (size_t i = 0; i < role->listener_count; i++) {
        if (role->listeners[i].socket >= 0 && role->listeners[i].number == listener->number) {
            role->listeners[i].row_before = role->listeners[i].row;
            role->listeners[i].row = row;
            return false;
        }
        if (role->listeners[i].socket < 0)
            place = i; /* one that is gone */
    }
    if (place == ROLE_LISTENERS)
        return false;
    role->listeners[place] = (struct role_listener){.number = listener->number, .row = row, .socket = socket};
    if (place == role->listener_count)
        role->listener_count++;
    return true;
}

static bool certificate_is_good(struct role *role, struct text name, struct text pem)
{
    struct buffer why released_by(buffer_done) = buffer_new(500);
    if (!role->program->certificate_is_good || role->program->certificate_is_good(pem, &why))
        return true;
    role_event(role, RECORD_ALARM, TEXT("certificate-refused"), (struct text[]){TEXT("name"), name, TEXT("why"), buffer_text(&why)}, 4);
    return false;
}

static bool take_certificate(struct role *role, struct text name, int file)
{
    void *octets = NULL;
    size_t size = memory_size(file);
    struct text pem, own_name;
    if (role->certificate_count == ROLE_CERTIFICATES || memory_map(file, size, false, &octets) != 0)
        return false;
    bool kept = certificate_is_good(role, name, text_of(octets, size)) && arena_copy(&role->arena, text_of(octets, size), &pem) &&
                arena_copy(&role->arena, name, &own_name);
    memory_unmap(octets, size);
    if (!kept)
        return false;
    for (size_t i = 0; i < role->certificate_count; i++)
        if (text_equals(role->certificates[i].name, own_name)) {
            role->certificates[i].pem = pem;
            return true;
        }
    role->certificates[role->certificate_count++] = (struct role_certificate){.name = own_name, .pem = pem};
    return true;
}

/* True when the message was one that every role understands. Descriptors that are kept are taken out of files. */
static bool take_common(struct role *role, const struct peers_message *message, struct channel_descriptors *files)
{
    bool keeps = false, is_known = true;
    switch ((int)message->type) { /* the few that everybody knows; the others are the program's */
    case PEERS_settings:
        ignored(take_settings(role, files->files[0], message->settings.generation)); /* a bad one leaves the old one */
        break;
    case PEERS_peer:
        keeps = take_peer(role, message->peer.role, files->files[0]);
        break;
    case PEERS_folder: {
        struct text name;
        keeps = role->folder_count < ROLE_FOLDERS && arena_copy(&role->arena, message->folder.name, &name);
        if (keeps)
            role->folders[role->folder_count++] = (struct role_folder){.name = name, .folder = files->files[0]};
        break;
    }
    case PEERS_listener:
        keeps = take_listener(role, &message->listener, files->files[0]);
        is_known = role->loop == NULL; /* later ones are news for the program too */
        break;
    case PEERS_certificate:
        ignored(take_certificate(role, message->certificate.name, files->files[0])); /* the old one stays */
        is_known = role->loop == NULL;
        break;
    default:
        is_known = false;
        break;
    }
    if (keeps)
        files->count = 0;
    return is_known;
}

static void stop(struct role *role, uint64_t grace_ms)
{
    if (role->program->stop)
        role->program->stop(role, grace_ms);
    else
        loop_stop(role->loop);
}

static void prove(struct role *role, struct text what)
{
    struct buffer lines released_by(buffer_done) = buffer_new(4096);
    if (!text_equals(what, TEXT("sandbox")))
        return;
    bool all = sandbox_prove(&lines, role->program->grants);
    struct text rest = buffer_text(&lines);
    while (rest.length) {
        struct text line = text_take_until(&rest, '\n');
        role_event(role, RECORD_NOTICE, TEXT("sandbox-tried"), (struct text[]){TEXT("what"), line}, 2);
    }
    role_event(role, all ? RECORD_NOTICE : RECORD_ALARM, TEXT("sandbox-proved"),
               (struct text[]){TEXT("role"), peers_role_word(role->program->self), TEXT("all-denied"), all ? TEXT("yes") : TEXT("no")}, 4);
}

static void dispatch(struct link *link, const struct peers_message *message, struct channel_descriptors *files)
{
    struct role *role = link->role;
    if (take_common(role, message, files))
        return;
    if (message->type == PEERS_stop)
        stop(role, message->stop.grace);
    else if (message->type == PEERS_hook)
        prove(role, message->hook.what);
    else
        role->program->message(role, link, message, files);
}

enum { ONE_TURN = 512 }; /* more than the mailbox has slots: its batches are whole */

static void link_ready(void *context, unsigned ready)
{
    static char bytes[CHANNEL_PACKET_LIMIT]; /* only the loop's thread comes here */
    struct link *link = context;
    if (ready & LOOP_WRITABLE)
        link_flush(link);
    int channel = link->channel;
    struct loop_watch *watch = link->watch;
    for (int i = 0; i < ONE_TURN && atomic_load(&link->is_open) && link->watch == watch; i++) {
        struct text packet;
        struct channel_descriptors files;
        enum channel_result received = channel_receive(channel, bytes, 0, &packet, &files);
        if (received == CHANNEL_EMPTY)
            return;
        if (received != CHANNEL_OK) {
            bool is_orphan = link == &link->role->supervisor;
            link_close(link);
            if (is_orphan)
                stop(link->role, 0);
            return;
        }
        struct arena arena released_by(arena_done) = arena_new(UNPACK_LIMIT);
        struct peers_message message;
        enum peers_result result = peers_unpack(packet, link->remote, link->role->program->self, files.count, &arena, &message);
        if (result == PEERS_OK)
            dispatch(link, &message, &files);
        channel_descriptors_close(&files);
        if (result != PEERS_OK) {
            role_misspoke(link, peers_result_word(result));
            return;
        }
    }
}

/* Until `go`: one message after the other, before there is a loop. */
static bool take_start(struct role *role)
{
    static char bytes[CHANNEL_PACKET_LIMIT];
    for (;;) {
        struct text packet;
        struct channel_descriptors files;
        if (channel_receive(PROCESS_CHANNEL, bytes, -1, &packet, &files) != CHANNEL_OK)
            return false;
        struct arena arena released_by(arena_done) = arena_new(UNPACK_LIMIT);
        struct peers_message message;
        if (peers_unpack(packet, PEERS_SUPERVISOR, role->program->self, files.count, &arena, &message) != PEERS_OK)
            return false;
        ignored(take_common(role, &message, &files)); /* others before go are not for us yet */
        channel_descriptors_close(&files);
        if (message.type != PEERS_go)
            continue;
        role->boot = message.go.boot;
        role->instance = message.go.instance;
        return role->settings != NULL;
    }
}

static bool enter_sandbox(struct role *role)
{
    struct sandbox_folder folders[ROLE_FOLDERS];
    for (size_t i = 0; i < role->folder_count; i++)
        folders[i] = (struct sandbox_folder){.folder = role->folders[i].folder, .may_write = true};
    struct sandbox sandbox = {.grants = role->program->grants, .folders = folders, .folder_count = role->folder_count};
    return sandbox_enter(&sandbox, &role->sandbox);
}

bool role_is_loop_thread(const struct role *role)
{
    return pthread_equal(role->loop_thread, pthread_self());
}

/* The last events and answers, as far as somebody reads them. */
static void say_the_rest(struct role *role)
{
    for (size_t i = 0; i < role->link_count; i++) {
        struct link *link = &role->links[i];
        for (uint64_t until = clock_monotonic_ms() + LAST_WORDS_MS; link->watch && link->waiting.length && clock_monotonic_ms() < until;)
            if (socket_wait(link->channel, true, LAST_WORDS_MS / 10))
                link_flush(link);
    }
}

int role_main(const struct role_program *program, void *context)
{
    struct role *role = calloc(1, sizeof *role);
    must(role != NULL);
    *role = (struct role){.program = program, .context = context, .arena = arena_new(ARENA_LIMIT), .loop_thread = pthread_self()};
    role->supervisor = (struct link){.role = role, .remote = PEERS_SUPERVISOR, .channel = -1};
    if (!take_start(role))
        return 2;
    if (program->prepare && !program->prepare(role))
        return 3;
    if (!enter_sandbox(role)) {
        role_event(role, RECORD_ALARM, TEXT("no-sandbox"), (struct text[]){TEXT("role"), peers_role_word(program->self)}, 2);
        return 4;
    }
    role->loop = loop_new();
    link_open(&role->supervisor, PROCESS_CHANNEL);
    for (size_t i = 0; i < role->link_count; i++)
        link_watch(&role->links[i]);
    struct peers_ready ready = {.landlock = role->sandbox.landlock, .seccomp = role->sandbox.has_seccomp};
    if (!link_send(&role->supervisor, PEERS_ready, &ready, NULL))
        return 5;
    if (program->begin)
        program->begin(role);
    for (size_t i = 0; i < role->link_count && program->linked; i++)
        program->linked(role, &role->links[i]);
    loop_run(role->loop);
    say_the_rest(role);
    return 0;
}
