/* SPDX-License-Identifier: Apache-2.0 */
/* socket: TCP by descriptor. Addresses travel as text: "127.0.0.1", "2001:db8::1" (IPv4 in IPv6 is shown as IPv4). */
#ifndef SYSTEM_SOCKET_H
#define SYSTEM_SOCKET_H

#include "base/base.h"

enum { SOCKET_ADDRESS_LIMIT = 64 };

struct socket_name {
    char address[SOCKET_ADDRESS_LIMIT];
    size_t address_length;
    unsigned port;
};
struct text socket_name_address(const struct socket_name *name);

/* A listening socket, non-blocking; address "*" is all of both families. 0 or errno. */
must_check int socket_listen(struct text address, unsigned port, int backlog, int *ret_socket);
must_check int socket_listen_unix(struct text path, unsigned mode, int backlog, int *ret_socket);
must_check int socket_connect_unix(struct text path, int *ret_socket); /* SEQPACKET */
must_check int socket_connect_unix_datagram(struct text path, int *ret_socket);
/* Another connection waiting: EAGAIN when there is none. Non-blocking, TCP_NODELAY. */
must_check int socket_accept(int listener, struct socket_name *ret_peer, int *ret_socket);
/* Connects within deadline_ms (ETIMEDOUT after); from is our address or empty. The socket is non-blocking. */
must_check int socket_connect(struct text address, unsigned port, struct text from, int deadline_ms, int *ret_socket);
must_check int socket_own_name(int socket, struct socket_name *ret_name);
/* Is it one of this machine's addresses? Nothing is sent. */
bool socket_is_own(struct text address);

/* errno EAGAIN: nothing now. ret_got 0: the peer has ended. */
must_check int socket_read(int socket, char *bytes, size_t count, size_t *ret_got);
must_check int socket_write(int socket, struct text octets, size_t *ret_written);
/* Waits until readable / writable; false when the time is over. */
bool socket_wait(int socket, bool for_writing, int deadline_ms);
void socket_shut(int socket); /* no more from us */
/* The peer has ended; octets that wait to be read do not hide it only when there are none. Takes nothing. */
bool socket_is_ended(int socket);
void socket_end(int socket); /* nothing more in either direction; the descriptor stays */
/* User and process at the other end of a UNIX socket. */
must_check int socket_peer_user(int socket, unsigned *ret_user, unsigned *ret_group, int *ret_process);

#endif
