/* SPDX-License-Identifier: Apache-2.0 */
/* Every call into the kernel that a delivery makes fails in turn, and the process is killed at each in turn. The calls
 * are wrapped by the linker
 * (--wrap); beside that the wrappers keep a model of what a power cut would leave: data and names count only once they
 * were synced. */
#include "mailbox/mailbox.h"
#include "mailbox/scratch_for_tests.h"

#include "system/system.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { KILLED = 137, MESSAGES = 5, MODEL = 64 };

/* The wrappers have no other way to know: the test's plan, and the model. */
static struct {
    bool is_on, kills;
    unsigned calls, fail_at;
    int error;
    bool has_failed;
    int dirty[MODEL]; /* files written since their last sync */
    size_t dirty_count;
    char tmp_of[MODEL][300]; /* names opened in tmp, beside their files */
    int file_of[MODEL];
    size_t opened;
    size_t unsynced_names; /* renamed since the last sync of a folder or the system */
    bool is_broken_order;
} plan;

static int due(void)
{
    if (!plan.is_on || ++plan.calls != plan.fail_at)
        return 0;
    plan.has_failed = true;
    if (plan.kills)
        _exit(KILLED);
    return plan.error;
}

#define REAL(type, name, ...)                                                                                          \
    type __real_##name(__VA_ARGS__);                                                                                   \
    type __wrap_##name(__VA_ARGS__)
REAL(int, file_open, int folder, struct text name, int flags, unsigned mode, int *ret_file);
REAL(int, folder_open, int parent, struct text name, int *ret_folder);
REAL(int, folder_make, int parent, struct text name, unsigned mode);
REAL(int, file_write_all, int file, struct text octets);
REAL(int, file_sync, int file);
REAL(int, file_sync_data, int file);
REAL(int, folder_sync_system, int folder);
REAL(int, file_rename_new, int from_folder, struct text from, int to_folder, struct text to);
REAL(int, file_close_checked, int *file);
REAL(int, file_remove, int folder, struct text name);
REAL(int, file_facts, int file, struct file_facts *ret_facts);
REAL(int, file_replace, int folder, struct text name, struct text octets, unsigned mode);
REAL(int, folder_walk_new, int folder, struct folder_walk **ret_walk);

static void forget_dirty(int file)
{
    for (size_t i = 0; i < plan.dirty_count; i++)
        if (plan.dirty[i] == file)
            plan.dirty[i] = -1;
}

static bool is_dirty(int file)
{
    for (size_t i = 0; i < plan.dirty_count; i++)
        if (plan.dirty[i] == file)
            return true;
    return false;
}

int __wrap_file_open(int folder, struct text name, int flags, unsigned mode, int *ret_file)
{
    int error = due();
    if (!error)
        error = __real_file_open(folder, name, flags, mode, ret_file);
    if (!error && plan.is_on && plan.opened < MODEL && name.length < 300) {
        memcpy(plan.tmp_of[plan.opened], name.bytes, name.length);
        plan.tmp_of[plan.opened][name.length] = '\0';
        plan.file_of[plan.opened++] = *ret_file;
    }
    return error;
}

int __wrap_folder_open(int parent, struct text name, int *ret_folder)
{
    int error = due();
    return error ? error : __real_folder_open(parent, name, ret_folder);
}

int __wrap_folder_make(int parent, struct text name, unsigned mode)
{
    int error = due();
    return error ? error : __real_folder_make(parent, name, mode);
}

int __wrap_file_write_all(int file, struct text octets)
{
    int error = due();
    if (error) { /* as a full disk does it: a part is written */
        ignored(__real_file_write_all(file, text_first(octets, octets.length / 2)));
        return error;
    }
    if (plan.is_on && plan.dirty_count < MODEL)
        plan.dirty[plan.dirty_count++] = file;
    return __real_file_write_all(file, octets);
}

int __wrap_file_sync(int file)
{
    int error = due();
    if (!error)
        plan.unsynced_names = 0;
    return error ? error : __real_file_sync(file);
}

int __wrap_file_sync_data(int file)
{
    int error = due();
    if (!error)
        forget_dirty(file);
    return error ? error : __real_file_sync_data(file);
}

int __wrap_folder_sync_system(int folder)
{
    int error = due();
    if (!error)
        plan.dirty_count = plan.unsynced_names = 0;
    return error ? error : __real_folder_sync_system(folder);
}

int __wrap_file_rename_new(int from_folder, struct text from, int to_folder, struct text to)
{
    int error = due();
    if (error)
        return error;
    for (size_t i = 0; i < plan.opened; i++)
        if (text_equals(text_of_terminated(plan.tmp_of[i]), from) && is_dirty(plan.file_of[i]))
            plan.is_broken_order = true;
    plan.unsynced_names++;
    return __real_file_rename_new(from_folder, from, to_folder, to);
}

int __wrap_file_close_checked(int *file)
{
    int error = due();
    int closed = __real_file_close_checked(file);
    return error ? error : closed;
}

int __wrap_file_remove(int folder, struct text name)
{
    int error = due();
    return error ? error : __real_file_remove(folder, name);
}

int __wrap_file_facts(int file, struct file_facts *ret_facts)
{
    int error = due();
    return error ? error : __real_file_facts(file, ret_facts);
}

int __wrap_file_replace(int folder, struct text name, struct text octets, unsigned mode)
{
    int error = due();
    return error ? error : __real_file_replace(folder, name, octets, mode);
}

int __wrap_folder_walk_new(int folder, struct folder_walk **ret_walk)
{
    int error = due();
    return error ? error : __real_folder_walk_new(folder, ret_walk);
}

static const struct {
    const char *account, *folder;
    struct text octets;
    uint64_t quota;
} messages[MESSAGES] = {
    {"a@casa.test", "casa.test/a/new", TEXT_INIT("A: 1\r\n\r\none\r\n"), 0},
    {"a@casa.test", "casa.test/a/new", TEXT_INIT("A: 2\r\n\r\nsecond\r\n"), 0},
    {"b@casa.test", "casa.test/b/new", TEXT_INIT("A: 3\r\n\r\nthe third\r\n"), 10000},
    {"c@other.test", "other.test/c/new", TEXT_INIT("Return-Path: x\r\nA: 4\r\n\r\n4\r\n"), 0},
    {"b@casa.test", "casa.test/b/new", TEXT_INIT("A: 5\r\n\r\n....5\r\n"), 10000},
};

static struct text stored(size_t index)
{
    return index == 3 ? text_after(messages[index].octets, 16) : messages[index].octets;
}

static struct mailbox_store *store_on(int root)
{
    struct mailbox_store *store = mailbox_store_new(root);
    mailbox_store_options(store, &(struct mailbox_options){.host = TEXT("mx.casa.test"), .deletes_duplicates = true});
    return store;
}

/* The messages from first on, as one batch. */
static void deliver(struct mailbox_store *store, size_t first, size_t count, bool may_be_repeat, struct result *results)
{
    struct mailbox_delivery *batch[MESSAGES] = {NULL};
    for (size_t i = 0; i < count; i++) {
        struct mailbox_order order = {.account = text_of_terminated(messages[first + i].account),
                                      .id = first + i + 1,
                                      .arrived_ms = 1764075532623,
                                      .now_ms = 1764075533123,
                                      .quota = messages[first + i].quota,
                                      .may_be_repeat = may_be_repeat};
        batch[i] = scratch_begin(store, order, messages[first + i].octets);
    }
    mailbox_deliveries_commit(store, batch, count);
    for (size_t i = 0; i < count; i++) {
        mailbox_delivery_result(batch[i], &results[i]);
        if (plan.is_on && results[i].class == RESULT_DELIVERED && plan.unsynced_names > 0)
            plan.is_broken_order = true;
        mailbox_delivery_free(&batch[i]);
    }
}

/* Batches of one, of two and of all five take different ways to the disk. */
static const size_t shapes[] = {1, 2, MESSAGES};

static void everything_is_there_once(int root, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(scratch_count_equal(root, messages[i].folder, stored(i)), 1);
    size_t files = scratch_count(root, "casa.test/a/new") + scratch_count(root, "casa.test/b/new") +
                   scratch_count(root, "other.test/c/new");
    assert_int_equal(files, count);
}

static void nothing_is_there_in_part(int root)
{
    size_t files = scratch_count(root, "casa.test/a/new") + scratch_count(root, "casa.test/b/new") +
                   scratch_count(root, "other.test/c/new");
    size_t whole = 0;
    for (size_t i = 0; i < MESSAGES; i++)
        whole += scratch_count_equal(root, messages[i].folder, stored(i));
    assert_int_equal(files, whole);
}

static bool fail_once(int error, unsigned at, size_t count)
{
    int root = scratch_new();
    struct mailbox_store *store = store_on(root);
    struct result results[MESSAGES];
    memset(&plan, 0, sizeof plan);
    plan.is_on = true;
    plan.error = error;
    plan.fail_at = at;
    deliver(store, 0, count, false, results);
    plan.is_on = false;
    bool has_failed = plan.has_failed;
    assert_false(plan.is_broken_order);
    nothing_is_there_in_part(root);
    for (size_t i = 0; i < count; i++) {
        assert_int_not_equal(results[i].class, RESULT_FAILED);
        if (results[i].class == RESULT_DELIVERED)
            assert_int_equal(scratch_count_equal(root, messages[i].folder, stored(i)), 1);
        else
            assert_true(results[i].code == 451 || results[i].code == 452);
    }
    /* the disk is well again: the queue repeats what was deferred, and what was done is not doubled by a repeat either
     */
    deliver(store, 0, count, true, results);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(results[i].class, RESULT_DELIVERED);
    everything_is_there_once(root, count);
    mailbox_store_free(&store);
    scratch_free(&root);
    return has_failed;
}

static void whatever_call_fails_nothing_is_lost_doubled_or_refused_for_good(void **state not_used)
{
    static const int errors[] = {ENOSPC, EDQUOT, EIO, EROFS, EACCES, EMFILE, ENOMEM};
    for (size_t e = 0; e < length_of(errors); e++)
        for (size_t s = 0; s < length_of(shapes); s++) {
            unsigned at = 1;
            while (fail_once(errors[e], at, shapes[s]))
                at++;
            assert_true(at > 10);
        }
}

static bool kill_once(unsigned at, size_t count)
{
    int root = scratch_new();
    struct result results[MESSAGES];
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct mailbox_store *store = store_on(root);
        memset(&plan, 0, sizeof plan);
        plan.is_on = plan.kills = true;
        plan.fail_at = at;
        deliver(store, 0, count, false, results);
        _exit(plan.is_broken_order ? 1 : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == KILLED));
    nothing_is_there_in_part(root);
    struct mailbox_store *store = store_on(root);
    deliver(store, 0, count, true, results);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(results[i].class, RESULT_DELIVERED);
    everything_is_there_once(root, count);
    while (mailbox_store_sweep(store, clock_wall_ms() + (int64_t)37 * 60 * 60 * 1000))
        ;
    assert_int_equal(scratch_count(root, "casa.test/a/tmp") + scratch_count(root, "casa.test/b/tmp") +
                         scratch_count(root, "other.test/c/tmp"),
                     0);
    mailbox_store_free(&store);
    scratch_free(&root);
    return WEXITSTATUS(status) == KILLED;
}

static void killed_at_any_call_and_repeated_each_message_is_there_once(void **state not_used)
{
    for (size_t s = 0; s < length_of(shapes); s++) {
        unsigned at = 1;
        while (kill_once(at, shapes[s]))
            at++;
        assert_true(at > 10);
    }
}

/* What a child can make for itself, when it may: a small file system of its own. */
static bool mount_small(const char *path, const char *options)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("small", path, "tmpfs", 0, options) == 0;
}

enum { SKIPPED = 77, FIRST = 1000 };

static struct result deliver_one(struct mailbox_store *store, uint64_t id, struct text octets)
{
    struct mailbox_order order = {
        .account = TEXT("a@casa.test"), .id = id, .arrived_ms = 1764075532623, .now_ms = 1764075533123};
    struct mailbox_delivery *delivery = scratch_begin(store, order, octets);
    struct result result;
    mailbox_deliveries_commit(store, &delivery, 1);
    mailbox_delivery_result(delivery, &result);
    mailbox_delivery_free(&delivery);
    return result;
}

static bool is_told_full(const struct result *result)
{
    return result->class == RESULT_DEFERRED && result->code == 452 && text_equals(result->enhanced, TEXT("4.3.1"));
}

/* Fills the file system up with mail, then makes room: 0 when all went as it must. */
static int fill_up(const char *path, const char *options)
{
    static char octets[3000];
    if (!mount_small(path, options))
        return SKIPPED;
    int root = -1;
    assert_int_equal(folder_open(-1, text_of_terminated(path), &root), 0);
    memset(octets, 'x', sizeof octets);
    struct text body = text_of(octets, sizeof octets);
    struct mailbox_store *store = store_on(root);
    uint64_t id = FIRST;
    struct result result = deliver_one(store, id, body);
    while (result.class == RESULT_DELIVERED)
        result = deliver_one(store, ++id, body);
    if (!is_told_full(&result) || id < FIRST + 3)
        return 1;
    if (scratch_count_equal(root, "casa.test/a/new", body) != id - FIRST || scratch_count(root, "casa.test/a/tmp") != 0)
        return 2;
    int new = scratch_step(root, "casa.test/a/new");
    struct folder_walk *walk = NULL;
    struct text name;
    assert_int_equal(folder_walk_new(new, &walk), 0);
    for (int i = 0; i < 2 && folder_walk_next(walk, &name); i++)
        assert_int_equal(file_remove(new, name), 0);
    folder_walk_free(&walk);
    return deliver_one(store, id, body).class == RESULT_DELIVERED ? 0 : 3;
}

static void a_full_disk_is_told_as_full_and_is_well_again_by_itself(void **state not_used)
{
    static const char *const options[] = {"size=64k", "nr_inodes=20"};
    memset(&plan, 0, sizeof plan);
    for (size_t i = 0; i < length_of(options); i++) {
        char path[] = "/tmp/mailbox_small.XXXXXX";
        int status = 0;
        assert_non_null(mkdtemp(path));
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(fill_up(path, options[i]));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(rmdir(path), 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
            skip(); /* only root may mount */
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_call_fails_nothing_is_lost_doubled_or_refused_for_good),
        cmocka_unit_test(a_full_disk_is_told_as_full_and_is_well_again_by_itself),
        cmocka_unit_test(killed_at_any_call_and_repeated_each_message_is_there_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
