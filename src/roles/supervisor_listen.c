/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- listeners ----------------------------------------------------------------------------------------------------------------------- */

/* Two rows that differ only behind address:port keep their socket: nobody in the kernel's queue is lost. */
static bool is_same_place(const struct listener *l, const struct settings_listen *row)
{
    struct text one = l->row, other = row->row.text;
    ignored(text_take_word(&one));   /* the role */
    ignored(text_take_word(&other)); /* the role */
    return text_equals(text_take_word(&one), text_take_word(&other));
}

static void set_row(struct listener *l, struct text row)
{
    struct text cut = text_first(row, sizeof l->row_octets);
    memcpy(l->row_octets, cut.bytes, cut.length);
    l->row = text_of(l->row_octets, cut.length);
}

static struct listener *find(struct supervisor *s, const struct settings_listen *row)
{
    for (size_t i = 0; i < LISTENERS_LIMIT; i++)
        if (s->listeners[i].socket >= 0 && !s->listeners[i].is_wanted && is_same_place(&s->listeners[i], row))
            return &s->listeners[i];
    return NULL;
}

static struct listener *free_place(struct supervisor *s)
{
    for (size_t i = 0; i < LISTENERS_LIMIT; i++)
        if (s->listeners[i].socket < 0)
            return &s->listeners[i];
    return NULL;
}

static void send_one(struct supervisor *s, struct child *child, const struct listener *l)
{
    struct peers_listener message = {.number = l->number, .row = l->row};
    if (child->role == PEERS_FRONT)
        ignored(supervisor_send(child, PEERS_listener, &message, &(struct channel_descriptors){.files = {l->socket}, .count = 1})); /* its death is noticed */
    (void)s;
}

static bool bind_row(struct supervisor *s, const struct settings_listen *row, struct buffer *why)
{
    struct listener *l = free_place(s);
    struct buffer address released_by(buffer_done) = buffer_new(SOCKET_ADDRESS_LIMIT);
    int backlog = (int)s->settings->service_backlog;
    if (row->is_any)
        ignored(buffer_append_octet(&address, '*')); /* fits */
    else
        network_address_append(&address, &row->address);
    int result = l ? socket_listen(buffer_text(&address), row->port, backlog, &l->socket) : EMFILE;
    if (result == EADDRNOTAVAIL || result == EAFNOSUPPORT) { /* a machine without IPv6: "*" is then all of IPv4 */
        if (row->is_any && l)
            result = socket_listen(TEXT("0.0.0.0"), row->port, backlog, &l->socket);
    }
    if (result) {
        ignored(buffer_append_format(why, "[table service.listen] %.*s: can't listen: %.*s%s\n", TEXT_ARGUMENTS(row->row.text), TEXT_ARGUMENTS(file_error_word(result)),
                                     result == EACCES && row->port < 1024 ? " (ports below 1024 need root; choose others, such as 2525, 5587, 4465)" : "")); /* a cut reason is still one */
        return false;
    }
    l->number = ++s->next_listener;
    l->backlog = backlog;
    l->is_wanted = true;
    set_row(l, row->row.text);
    struct child *front = supervisor_child(s, PEERS_FRONT);
    if (front && front->channel >= 0)
        send_one(s, front, l);
    return true;
}

static void keep_row(struct supervisor *s, struct listener *l, const struct settings_listen *row)
{
    int backlog = (int)s->settings->service_backlog;
    l->is_wanted = true;
    if (l->backlog != backlog && listen(l->socket, backlog) == 0) /* a second listen only changes the number */
        l->backlog = backlog;
    if (text_equals(l->row, row->row.text))
        return;
    set_row(l, row->row.text);
    struct child *front = supervisor_child(s, PEERS_FRONT);
    if (front && front->channel >= 0)
        send_one(s, front, l); /* the same number with another row */
}

static void close_unwanted(struct supervisor *s)
{
    for (size_t i = 0; i < LISTENERS_LIMIT; i++) {
        struct listener *l = &s->listeners[i];
        if (l->socket < 0 || l->is_wanted)
            continue;
        struct peers_listener_gone gone = {.number = l->number};
        ignored(supervisor_send(supervisor_child(s, PEERS_FRONT), PEERS_listener_gone, &gone, NULL)); /* its death is noticed */
        socket_end(l->socket); /* front holds it too: the port is free for another row at once */
        file_close(&l->socket);
    }
}

bool supervisor_listeners_match(struct supervisor *s, struct buffer *why)
{
    const struct settings_listens *rows = &s->settings->service_listen;
    bool all = true;
    for (size_t i = 0; i < LISTENERS_LIMIT; i++)
        s->listeners[i].is_wanted = false;
    for (size_t i = 0; i < rows->count; i++) {
        const struct settings_listen *row = &rows->rows[i];
        if (!row->starts)
            continue;
        struct listener *l = find(s, row);
        if (l)
            keep_row(s, l, row);
        else
            all = bind_row(s, row, why) && all;
    }
    if (all)
        close_unwanted(s);
    return all;
}

void supervisor_listeners_send(struct supervisor *s, struct child *child)
{
    for (size_t i = 0; i < LISTENERS_LIMIT; i++)
        if (s->listeners[i].socket >= 0)
            send_one(s, child, &s->listeners[i]);
    if (child->role == PEERS_CONTROL && s->control_socket >= 0) {
        struct peers_listener message = {.number = 0, .row = TEXT("control")};
        ignored(supervisor_send(child, PEERS_listener, &message, &(struct channel_descriptors){.files = {s->control_socket}, .count = 1})); /* as above */
    }
}

bool supervisor_control_listen(struct supervisor *s)
{
    struct buffer path released_by(buffer_done) = buffer_new(4096);
    unsigned group;
    ignored(buffer_append_format(&path, "/proc/self/fd/%d/control", s->folders[FOLDER_RUN])); /* fits; short whatever the folder's path is */
    int result = socket_listen_unix(buffer_text(&path), 0660, 64, &s->control_socket);
    if (!result && process_own_user() == 0 && process_group("portiere-admin", &group))
        result = fchownat(s->folders[FOLDER_RUN], "control", (uid_t)-1, group, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
    if (result)
        supervisor_event(s, RECORD_ALARM, TEXT("no-control-socket"), (struct text[]){TEXT("why"), file_error_word(result)}, 2);
    return result == 0;
}

/* --- certificates -------------------------------------------------------------------------------------------------------------------- */

static bool read_pem(struct supervisor *s, struct text name, struct buffer *pem)
{
    bool is_path = text_starts_with(name, TEXT("/"));
    int result = file_read_whole(is_path ? -1 : s->folders[FOLDER_TLS], name, pem);
    if (result && result != ENOENT)
        supervisor_event(s, RECORD_ALARM, TEXT("certificate-unreadable"), (struct text[]){TEXT("file"), name, TEXT("why"), file_error_word(result)}, 4);
    return result == 0;
}

static bool send_certificate(struct supervisor *s, struct child *front, struct text name, struct text certificate, struct text key)
{
    struct buffer pem = buffer_new(PEM_LIMIT);
    int file released_by(file_close) = -1;
    bool is_read = read_pem(s, certificate, &pem) && buffer_append_octet(&pem, '\n') && read_pem(s, key, &pem);
    bool sent = false;
    if (is_read && memory_new_sealed("certificate", buffer_text(&pem), &file) == 0) {
        struct peers_certificate message = {.name = name};
        sent = supervisor_send(front, PEERS_certificate, &message, &(struct channel_descriptors){.files = {file}, .count = 1});
    }
    buffer_wipe_done(&pem);
    return sent;
}

static void stamp_file(struct supervisor *s, struct text name, uint64_t *stamp)
{
    struct file_facts facts;
    bool is_path = text_starts_with(name, TEXT("/"));
    if (file_facts_of(is_path ? -1 : s->folders[FOLDER_TLS], name, &facts) == 0)
        *stamp = *stamp * 1099511628211ULL ^ facts.inode ^ facts.size << 20 ^ (uint64_t)facts.changed_ms;
}

static uint64_t stamp_of_all(struct supervisor *s)
{
    const struct settings_certificates *rows = &s->settings->tls_certificates;
    uint64_t stamp = 14695981039346656037ULL + rows->count;
    if (rows->count == 0) {
        stamp_file(s, TEXT("cert.pem"), &stamp);
        stamp_file(s, TEXT("key.pem"), &stamp);
    }
    for (size_t i = 0; i < rows->count; i++) {
        stamp_file(s, rows->rows[i].certificate, &stamp);
        stamp_file(s, rows->rows[i].key, &stamp);
    }
    return stamp;
}

bool supervisor_certificates_changed(struct supervisor *s)
{
    return s->certificate_stamp != stamp_of_all(s);
}

/* Without rows, tls/cert.pem and tls/key.pem serve every name. */
void supervisor_certificates_send(struct supervisor *s, struct child *front)
{
    const struct settings_certificates *rows = &s->settings->tls_certificates;
    s->certificate_stamp = stamp_of_all(s);
    s->certificate_count = 0;
    if (rows->count == 0)
        s->certificate_count += send_certificate(s, front, TEXT_NONE, TEXT("cert.pem"), TEXT("key.pem"));
    for (size_t i = 0; i < rows->count; i++)
        s->certificate_count += send_certificate(s, front, rows->rows[i].name, rows->rows[i].certificate, rows->rows[i].key);
    if (s->certificate_count == 0)
        supervisor_event(s, RECORD_ALARM, TEXT("no-certificate"),
                         (struct text[]){TEXT("remedy"), TEXT("put cert.pem and key.pem into the folder tls; without them nobody can log in")}, 2);
}
