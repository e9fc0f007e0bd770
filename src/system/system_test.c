/* SPDX-License-Identifier: Apache-2.0 */
#include "system/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static int scratch(void)
{
    char name[] = "/tmp/system_test.XXXXXX";
    assert_non_null(mkdtemp(name));
    int folder = -1;
    assert_int_equal(folder_open(-1, text_of_terminated(name), &folder), 0);
    return folder;
}

static void a_packet_arrives_whole_with_its_descriptors(void **state not_used)
{
    static char bytes[CHANNEL_PACKET_LIMIT];
    static char big[150000] = {1, 2, 3};
    int ends[2];
    assert_int_equal(channel_pair(ends), 0);
    struct channel_descriptors out = {.files = {ends[1]}, .count = 1}, in;
    struct text packet;
    assert_int_equal(channel_receive(ends[1], bytes, 0, &packet, &in), CHANNEL_EMPTY);
    assert_int_equal(channel_send(ends[0], text_of(big, sizeof big), &out, true), CHANNEL_OK);
    assert_int_equal(channel_receive(ends[1], bytes, 0, &packet, &in), CHANNEL_OK);
    assert_true(text_equals(packet, text_of(big, sizeof big)));
    assert_int_equal(in.count, 1);
    channel_descriptors_close(&in);
    file_close(&ends[0]);
    assert_int_equal(channel_receive(ends[1], bytes, 0, &packet, &in), CHANNEL_CLOSED);
    assert_int_equal(channel_send(ends[1], TEXT("x"), NULL, true), CHANNEL_CLOSED);
    file_close(&ends[1]);
}

static void a_link_is_not_followed(void **state not_used)
{
    int folder = scratch();
    int file = -1;
    assert_int_equal(symlinkat("/etc/passwd", folder, "link"), 0);
    assert_int_equal(file_open(folder, TEXT("link"), O_RDONLY, 0, &file), ELOOP);
    assert_int_equal(file_open(folder, TEXT("a\0b"), O_RDONLY, 0, &file), EINVAL);
    assert_int_equal(file, -1);
    file_close(&folder);
}

static void a_new_name_never_replaces_a_file(void **state not_used)
{
    int folder = scratch();
    assert_int_equal(file_replace(folder, TEXT("old"), TEXT("old"), 0600), 0);
    assert_int_equal(file_replace(folder, TEXT("there"), TEXT("there"), 0600), 0);
    assert_int_equal(file_rename_new(folder, TEXT("old"), folder, TEXT("there")), EEXIST);
    assert_int_equal(file_rename_new(folder, TEXT("old"), folder, TEXT("free")), 0);
    struct buffer b released_by(buffer_done) = buffer_new(16);
    assert_int_equal(file_read_whole(folder, TEXT("there"), &b), 0);
    assert_true(text_equals(buffer_text(&b), TEXT("there")));
    assert_int_equal(file_read_whole(folder, TEXT("old"), &b), ENOENT);
    assert_int_equal(folder_sync_system(folder), 0);
    file_close(&folder);
}

static void a_replaced_file_is_the_new_one_whole(void **state not_used)
{
    int folder = scratch();
    assert_int_equal(file_replace(folder, TEXT("f"), TEXT("one"), 0600), 0);
    assert_int_equal(file_replace(folder, TEXT("f"), TEXT("second"), 0600), 0);
    struct buffer b released_by(buffer_done) = buffer_new(6);
    assert_int_equal(file_read_whole(folder, TEXT("f"), &b), 0);
    assert_true(text_equals(buffer_text(&b), TEXT("second")));
    struct buffer small released_by(buffer_done) = buffer_new(5);
    assert_int_equal(file_read_whole(folder, TEXT("f"), &small), EFBIG);
    struct folder_walk *walk = NULL;
    struct text name;
    size_t count = 0;
    assert_int_equal(folder_walk_new(folder, &walk), 0);
    while (folder_walk_next(walk, &name))
        count++;
    folder_walk_free(&walk);
    assert_int_equal(count, 1);
    file_close(&folder);
}

static void sealed_memory_can_be_read_and_not_changed(void **state not_used)
{
    int file = -1;
    void *address = NULL;
    assert_int_equal(memory_new_sealed("t", TEXT("hello"), &file), 0);
    assert_int_equal(memory_size(file), 5);
    assert_int_equal(memory_map(file, 6, false, &address), ENODATA);
    assert_int_equal(memory_map(file, 5, true, &address), EPERM);
    assert_int_equal(memory_map(file, 5, false, &address), 0);
    assert_true(text_equals(text_of(address, 5), TEXT("hello")));
    memory_unmap(address, 5);
    assert_int_equal(ftruncate(file, 1), -1);
    file_close(&file);
}

struct ticks {
    struct loop *loop;
    struct loop_timer *timers[3];
    char order[4];
    size_t count;
};

static void tick(void *context, char which)
{
    struct ticks *t = context;
    t->order[t->count++] = which;
    if (t->count == 3)
        loop_stop(t->loop);
}
static void tick_a(void *context)
{
    tick(context, 'a');
}
static void tick_b(void *context)
{
    struct ticks *t = context;
    tick(context, 'b');
    if (t->count == 1)
        loop_timer_set(t->timers[1], 0);
}
static void never(void *context not_used)
{
    fail();
}

static void timers_run_in_the_order_of_their_deadlines(void **state not_used)
{
    struct ticks t = {.loop = loop_new()};
    t.timers[0] = loop_timer_new(t.loop, tick_a, &t);
    t.timers[1] = loop_timer_new(t.loop, tick_b, &t);
    t.timers[2] = loop_timer_new(t.loop, never, &t);
    loop_timer_set(t.timers[2], 0);
    loop_timer_set(t.timers[0], 20);
    loop_timer_set(t.timers[1], 1);
    loop_timer_stop(t.timers[2]);
    loop_run(t.loop);
    assert_memory_equal(t.order, "bba", 3);
    for (size_t i = 0; i < 3; i++)
        loop_timer_free(&t.timers[i]);
    loop_free(&t.loop);
}

static void the_ring_turns_and_a_full_one_waits(void **state not_used)
{
    struct window *w = aligned_alloc(4096, sizeof *w);
    assert_non_null(w);
    *w = (struct window){.consumed = 0};
    static char out[WINDOW_SIZE];
    uint64_t position = WINDOW_SIZE - 3;
    window_put(w, position, TEXT("abcdef"));
    assert_true(window_copy(w, position, 6, out));
    assert_memory_equal(out, "abcdef", 6);
    assert_false(window_copy(w, position, WINDOW_SIZE + 1, out));
    assert_false(window_wait_for_room(w, WINDOW_SIZE + 1, 5));
    window_consumed(w, 1);
    assert_true(window_wait_for_room(w, WINDOW_SIZE + 1, 5));
    window_abandon(w);
    uint64_t began = clock_monotonic_ms();
    assert_false(window_wait_for_room(w, WINDOW_SIZE + 2, 60000));
    assert_true(clock_monotonic_ms() - began < 30000);
    free(w);
}

/* In a child, since there is no way back. */
static void a_sandboxed_process_is_denied_everything_not_granted(void **state not_used)
{
    int folder = scratch();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sandbox_folder folders[] = {{.folder = folder, .may_write = true}};
        struct sandbox sandbox = {.grants = SANDBOX_FILES | SANDBOX_THREADS, .folders = folders, .folder_count = 1};
        struct sandbox_state entered;
        struct buffer b = buffer_new(4096);
        if (!sandbox_enter(&sandbox, &entered))
            _exit(2);
        if (entered.landlock && !sandbox_prove(&b, sandbox.grants)) {
            ignored(write(2, b.bytes, b.length)); /* the exit status tells */
            _exit(3);
        }
        int file = -1;
        if (file_replace(folder, TEXT("mine"), TEXT("x"), 0600) || file_open(folder, TEXT("mine"), O_RDONLY, 0, &file))
            _exit(4);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    file_close(&folder);
}

static void two_sockets_talk_and_tell_their_names(void **state not_used)
{
    int listener = -1, client = -1, served = -1;
    struct socket_name name, peer;
    assert_int_equal(socket_listen(TEXT("127.0.0.1"), 0, 5, &listener), 0);
    assert_int_equal(socket_own_name(listener, &name), 0);
    assert_int_equal(socket_accept(listener, &peer, &served), EAGAIN);
    assert_int_equal(socket_connect(TEXT("127.0.0.1"), name.port, TEXT("127.0.0.9"), 1000, &client), 0);
    assert_true(socket_wait(listener, false, 1000));
    assert_int_equal(socket_accept(listener, &peer, &served), 0);
    assert_true(text_equals(socket_name_address(&peer), TEXT("127.0.0.9")));
    size_t count;
    assert_int_equal(socket_write(client, TEXT("hi"), &count), 0);
    assert_true(socket_wait(served, false, 1000));
    char bytes[8];
    assert_int_equal(socket_read(served, bytes, sizeof bytes, &count), 0);
    assert_int_equal(count, 2);
    file_close(&client);
    assert_true(socket_wait(served, false, 1000));
    assert_int_equal(socket_read(served, bytes, sizeof bytes, &count), 0);
    assert_int_equal(count, 0);
    file_close(&served);
    file_close(&listener);
}

static void a_machine_knows_its_own_addresses(void **state not_used)
{
    assert_true(socket_is_own(TEXT("127.0.0.1")));
    assert_true(socket_is_own(TEXT("::ffff:127.0.0.1")));
    assert_false(socket_is_own(TEXT("192.0.2.1")));
    assert_false(socket_is_own(TEXT("nonsense")));
    assert_false(socket_is_own(TEXT("*")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_arrives_whole_with_its_descriptors),
        cmocka_unit_test(a_link_is_not_followed),
        cmocka_unit_test(a_new_name_never_replaces_a_file),
        cmocka_unit_test(a_replaced_file_is_the_new_one_whole),
        cmocka_unit_test(sealed_memory_can_be_read_and_not_changed),
        cmocka_unit_test(timers_run_in_the_order_of_their_deadlines),
        cmocka_unit_test(the_ring_turns_and_a_full_one_waits),
        cmocka_unit_test(a_sandboxed_process_is_denied_everything_not_granted),
        cmocka_unit_test(two_sockets_talk_and_tell_their_names),
        cmocka_unit_test(a_machine_knows_its_own_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
