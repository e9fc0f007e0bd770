/* SPDX-License-Identifier: Apache-2.0 */
#include "courier/private.h"

#include <errno.h>

enum { READ_SIZE = 4096 };

static int left_ms(uint64_t until_ms)
{
    uint64_t now = clock_monotonic_ms();
    if (now >= until_ms)
        return 0;
    uint64_t left = until_ms - now;
    return left > INT32_MAX ? INT32_MAX : (int)left;
}

static bool wait_for(struct courier_stream *s, bool for_writing, uint64_t until_ms)
{
    int left = left_ms(until_ms);
    return left > 0 && socket_wait(s->socket, for_writing, left);
}

/* True: try again. */
static bool wait_for_tls(struct courier_stream *s, enum tls_result result, uint64_t until_ms,
                         enum courier_flow *ret_flow)
{
    if (result == TLS_WANTS_READ || result == TLS_WANTS_WRITE) {
        if (wait_for(s, result == TLS_WANTS_WRITE, until_ms))
            return true;
        *ret_flow = COURIER_LATE;
        return false;
    }
    *ret_flow = COURIER_ENDED;
    return false;
}

static enum courier_flow write_some(struct courier_stream *s, struct text octets, uint64_t until_ms,
                                    size_t *ret_written)
{
    for (;;) {
        if (s->tls) {
            enum courier_flow flow = COURIER_ENDED;
            enum tls_result result = tls_write(s->tls, octets, ret_written);
            if (result == TLS_DONE)
                return COURIER_FLOWS;
            if (!wait_for_tls(s, result, until_ms, &flow))
                return flow;
            continue;
        }
        int error = socket_write(s->socket, octets, ret_written);
        if (error == 0)
            return COURIER_FLOWS;
        if (error != EAGAIN)
            return COURIER_ENDED;
        if (!wait_for(s, true, until_ms))
            return COURIER_LATE;
    }
}

enum courier_flow stream_write(struct courier_stream *s, struct text octets, uint64_t until_ms)
{
    while (octets.length) {
        size_t written = 0;
        enum courier_flow flow = write_some(s, octets, until_ms, &written);
        if (flow != COURIER_FLOWS)
            return flow;
        octets = text_after(octets, written);
    }
    return COURIER_FLOWS;
}

enum courier_flow stream_read(struct courier_stream *s, struct buffer *b, uint64_t until_ms)
{
    char *room = buffer_room(b, READ_SIZE);
    size_t got = 0;
    if (!room)
        return COURIER_ENDED;
    for (;;) {
        if (s->tls) {
            enum courier_flow flow = COURIER_ENDED;
            enum tls_result result = tls_read(s->tls, room, READ_SIZE, &got);
            if (result == TLS_DONE)
                break;
            if (!wait_for_tls(s, result, until_ms, &flow))
                return flow;
            continue;
        }
        int error = socket_read(s->socket, room, READ_SIZE, &got);
        if (error == 0)
            break;
        if (error != EAGAIN)
            return COURIER_ENDED;
        if (!wait_for(s, false, until_ms))
            return COURIER_LATE;
    }
    buffer_grew(b, got);
    return got ? COURIER_FLOWS : COURIER_ENDED;
}

enum courier_flow stream_handshake(struct courier_stream *s, struct tls_context *tls, struct text host,
                                   bool must_verify, uint64_t until_ms, struct buffer *why)
{
    s->tls = tls_client_connection_new(tls, s->socket, host, must_verify);
    for (;;) {
        enum courier_flow flow = COURIER_ENDED;
        enum tls_result result = tls_handshake(s->tls);
        if (result == TLS_DONE)
            return COURIER_FLOWS;
        if (wait_for_tls(s, result, until_ms, &flow))
            continue;
        if (flow == COURIER_LATE)
            buffer_append(why, TEXT("no answer to the TLS handshake in time"));
        else
            tls_problem(s->tls, why);
        return flow;
    }
}

void stream_close(struct courier_stream *s)
{
    if (s->tls)
        tls_shut(s->tls);
    tls_connection_free(&s->tls);
    file_close(&s->socket);
}
