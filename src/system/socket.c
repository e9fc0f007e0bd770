/* SPDX-License-Identifier: Apache-2.0 */
#include "system/socket.h"
#include "system/clock.h"
#include "system/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

union any_address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    struct sockaddr_un local;
    struct sockaddr_storage storage;
};

struct text socket_name_address(const struct socket_name *name)
{
    return text_of(name->address, name->address_length);
}

static void name_of(const union any_address *from, struct socket_name *ret_name)
{
    struct socket_name name = {.address_length = 0};
    if (from->any.sa_family == AF_INET) {
        ignored(inet_ntop(AF_INET, &from->four.sin_addr, name.address, sizeof name.address)); /* the room is enough */
        name.port = ntohs(from->four.sin_port);
    } else if (from->any.sa_family == AF_INET6) {
        const struct in6_addr *six = &from->six.sin6_addr;
        bool is_mapped = IN6_IS_ADDR_V4MAPPED(six);
        ignored(inet_ntop(is_mapped ? AF_INET : AF_INET6, is_mapped ? (const void *)&six->s6_addr[12] : (const void *)six,
                          name.address, sizeof name.address)); /* as above */
        name.port = ntohs(from->six.sin6_port);
    }
    name.address_length = strnlen(name.address, sizeof name.address);
    *ret_name = name;
}

static int parse(struct text address, unsigned port, union any_address *ret_address, socklen_t *ret_length)
{
    char string[SOCKET_ADDRESS_LIMIT];
    union any_address a;
    memset(&a, 0, sizeof a);
    if (address.length >= sizeof string)
        return EINVAL;
    memcpy(string, address.bytes, address.length);
    string[address.length] = '\0';
    if (text_equals(address, TEXT("*"))) {
        a.six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        *ret_length = sizeof a.six;
    } else if (inet_pton(AF_INET, string, &a.four.sin_addr) == 1) {
        a.four.sin_family = AF_INET;
        a.four.sin_port = htons((uint16_t)port);
        *ret_length = sizeof a.four;
    } else if (inet_pton(AF_INET6, string, &a.six.sin6_addr) == 1) {
        a.six.sin6_family = AF_INET6;
        a.six.sin6_port = htons((uint16_t)port);
        *ret_length = sizeof a.six;
    } else {
        return EINVAL;
    }
    *ret_address = a;
    return 0;
}

static int stream_socket(int family, int *ret_socket)
{
    int made = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (made < 0)
        return errno;
    *ret_socket = made;
    return 0;
}

int socket_listen(struct text address, unsigned port, int backlog, int *ret_socket)
{
    union any_address a;
    socklen_t length;
    int result = parse(address, port, &a, &length);
    int made released_by(file_close) = -1;
    if (!result)
        result = stream_socket(a.any.sa_family, &made);
    if (result)
        return result;
    int on = 1;
    int both = text_equals(address, TEXT("*")) ? 0 : 1;
    ignored(setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)); /* bind tells when it matters */
    if (a.any.sa_family == AF_INET6)
        ignored(setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both)); /* as above */
    if (bind(made, &a.any, length) < 0 || listen(made, backlog) < 0)
        return errno;
    *ret_socket = made;
    made = -1;
    return 0;
}

static int unix_address(struct text path, union any_address *ret_address)
{
    union any_address a;
    memset(&a, 0, sizeof a);
    a.local.sun_family = AF_UNIX;
    if (path.length >= sizeof a.local.sun_path)
        return ENAMETOOLONG;
    memcpy(a.local.sun_path, path.bytes, path.length);
    *ret_address = a;
    return 0;
}

int socket_listen_unix(struct text path, unsigned mode, int backlog, int *ret_socket)
{
    union any_address a;
    int result = unix_address(path, &a);
    if (result)
        return result;
    int made released_by(file_close) = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (made < 0)
        return errno;
    ignored(file_remove(-1, path)); /* left by an earlier run, or not there */
    if (bind(made, &a.any, sizeof a.local) < 0 || chmod(a.local.sun_path, mode) < 0 || listen(made, backlog) < 0)
        return errno;
    *ret_socket = made;
    made = -1;
    return 0;
}

static int connect_unix(struct text path, int type, int *ret_socket)
{
    union any_address a;
    int result = unix_address(path, &a);
    if (result)
        return result;
    int made released_by(file_close) = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (made < 0 || connect(made, &a.any, sizeof a.local) < 0)
        return errno;
    *ret_socket = made;
    made = -1;
    return 0;
}

int socket_connect_unix(struct text path, int *ret_socket)
{
    return connect_unix(path, SOCK_SEQPACKET, ret_socket);
}

int socket_connect_unix_datagram(struct text path, int *ret_socket)
{
    return connect_unix(path, SOCK_DGRAM, ret_socket);
}

int socket_accept(int listener, struct socket_name *ret_peer, int *ret_socket)
{
    union any_address a;
    socklen_t length = sizeof a;
    memset(&a, 0, sizeof a);
    int made;
    do
        made = accept4(listener, &a.any, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    while (made < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (made < 0)
        return errno;
    int on = 1;
    if (a.any.sa_family != AF_UNIX)
        ignored(setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)); /* slower at worst */
    name_of(&a, ret_peer);
    *ret_socket = made;
    return 0;
}

static int finish_connect(int made, int deadline_ms)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (!socket_wait(made, true, deadline_ms))
        return ETIMEDOUT;
    if (getsockopt(made, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return errno;
    return error;
}

int socket_connect(struct text address, unsigned port, struct text from, int deadline_ms, int *ret_socket)
{
    union any_address to, own;
    socklen_t length, own_length;
    int made released_by(file_close) = -1;
    int result = parse(address, port, &to, &length);
    if (!result)
        result = stream_socket(to.any.sa_family, &made);
    if (!result && from.length) {
        result = parse(from, 0, &own, &own_length);
        if (!result && bind(made, &own.any, own_length) < 0)
            result = errno;
    }
    if (result)
        return result;
    if (connect(made, &to.any, length) < 0) {
        if (errno != EINPROGRESS && errno != EINTR)
            return errno;
        result = finish_connect(made, deadline_ms);
        if (result)
            return result;
    }
    int on = 1;
    ignored(setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)); /* slower at worst */
    *ret_socket = made;
    made = -1;
    return 0;
}

int socket_own_name(int socket, struct socket_name *ret_name)
{
    union any_address a;
    socklen_t length = sizeof a;
    memset(&a, 0, sizeof a);
    if (getsockname(socket, &a.any, &length) < 0)
        return errno;
    name_of(&a, ret_name);
    return 0;
}

/* Where the kernel would send from its own address to itself, the address is its own; a datagram socket asks it without a packet. */
bool socket_is_own(struct text address)
{
    union any_address to;
    socklen_t length;
    struct socket_name name, wanted;
    if (parse(address, 9, &to, &length) || text_equals(address, TEXT("*")))
        return false;
    int made released_by(file_close) = socket(to.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (made < 0 || connect(made, &to.any, length) < 0 || socket_own_name(made, &name) != 0)
        return false;
    name_of(&to, &wanted);
    return text_equals(socket_name_address(&name), socket_name_address(&wanted));
}

int socket_read(int socket, char *bytes, size_t count, size_t *ret_got)
{
    ssize_t got;
    do
        got = recv(socket, bytes, count, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno;
    *ret_got = (size_t)got;
    return 0;
}

int socket_write(int socket, struct text octets, size_t *ret_written)
{
    ssize_t written;
    do
        written = send(socket, octets.bytes, octets.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        return errno;
    *ret_written = (size_t)written;
    return 0;
}

bool socket_wait(int socket, bool for_writing, int deadline_ms)
{
    uint64_t end = clock_monotonic_ms() + (deadline_ms > 0 ? (uint64_t)deadline_ms : 0);
    for (;;) {
        struct pollfd p = {.fd = socket, .events = for_writing ? POLLOUT : POLLIN};
        uint64_t now = clock_monotonic_ms();
        int left = deadline_ms < 0 ? -1 : now >= end ? 0 : (int)(end - now);
        int ready = poll(&p, 1, left);
        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

void socket_shut(int socket)
{
    ignored(shutdown(socket, SHUT_WR)); /* the peer may be gone already */
}

void socket_end(int socket)
{
    ignored(shutdown(socket, SHUT_RDWR)); /* the peer may be gone already */
}

bool socket_is_ended(int socket)
{
    char octet;
    ssize_t got = recv(socket, &octet, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

int socket_peer_user(int socket, unsigned *ret_user, unsigned *ret_group, int *ret_process)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return errno;
    *ret_user = peer.uid;
    *ret_group = peer.gid;
    *ret_process = peer.pid;
    return 0;
}
