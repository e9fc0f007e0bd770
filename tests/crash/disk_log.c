/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 512, ENTRIES = 100000, NAME = 128, BLOCK = 4096, SECTOR = 512 };

enum kind { WRITE, RESIZE, SYNC, SYNC_FOLDER, MAKE, RENAME, REMOVE, MAKE_FOLDER };

struct entry {
    enum kind kind;
    size_t file;   /* number of a file; of a folder for SYNC_FOLDER */
    uint64_t at, length;
    char *new_octets, *old_octets;
    char from[NAME], to[NAME]; /* paths beneath the folder */
    size_t folder;
    bool is_settled; /* replay: it is on the disk */
};

struct seen_file {
    ino_t inode;
    char path[NAME]; /* for folders, "" or "large/" */
    bool is_folder;
    char *octets; /* replay: what is on the disk */
    uint64_t size;
};

/* The log is the test's, not the program's: one for the whole process, since the wrapped calls have no place for a context. */
static struct disk_log {
    bool is_on;
    dev_t device;
    struct seen_file files[FILES];
    size_t file_count;
    struct entry *entries;
    size_t entry_count, syncs, replayed;
    size_t calls_left;
    enum disk_fault fault;
    bool has_fault, stays, has_failed, next_is_full;
} disk;

/* replay: which file a path names on the disk */
struct named {
    char path[NAME];
    size_t file;
    bool is_there;
};
static struct named names[FILES];
static size_t name_count;

ssize_t __real_pwrite64(int file, const void *bytes, size_t count, off_t at);
ssize_t __real_write(int file, const void *bytes, size_t count);
int __real_fsync(int file);
int __real_fdatasync(int file);
int __real_openat64(int folder, const char *path, int flags, ...);
int __real_fallocate64(int file, int mode, off_t at, off_t length);
int __real_ftruncate64(int file, off_t length);
int __real_renameat(int from_folder, const char *from, int to_folder, const char *to);
int __real_unlinkat(int folder, const char *path, int flags);
int __real_mkdirat(int folder, const char *path, mode_t mode);

ssize_t __wrap_pwrite64(int file, const void *bytes, size_t count, off_t at);
ssize_t __wrap_write(int file, const void *bytes, size_t count);
int __wrap_fsync(int file);
int __wrap_fdatasync(int file);
int __wrap_openat64(int folder, const char *path, int flags, ...);
int __wrap_fallocate64(int file, int mode, off_t at, off_t length);
int __wrap_ftruncate64(int file, off_t length);
int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to);
int __wrap_unlinkat(int folder, const char *path, int flags);
int __wrap_mkdirat(int folder, const char *path, mode_t mode);

const char *disk_fault_word(enum disk_fault fault)
{
    static const char *const words[DISK_FAULTS] = {"none", "fails", "is full", "writes short", "loses at a sync", "is read-only", "no descriptors"};
    return words[fault];
}

static struct seen_file *file_of(int file)
{
    struct stat s;
    if (!disk.is_on || fstat(file, &s) < 0 || s.st_dev != disk.device)
        return NULL;
    for (size_t i = disk.file_count; i-- > 0;)
        if (disk.files[i].inode == s.st_ino)
            return &disk.files[i];
    return NULL;
}

static struct seen_file *see_file(int file, const char *path, bool is_folder)
{
    struct stat s;
    must(disk.file_count < FILES && fstat(file, &s) == 0);
    struct seen_file *f = &disk.files[disk.file_count++];
    *f = (struct seen_file){.inode = s.st_ino, .is_folder = is_folder};
    snprintf(f->path, NAME, "%s", path);
    return f;
}

static size_t number_of(const struct seen_file *f)
{
    return (size_t)(f - disk.files);
}

static struct entry *note(enum kind kind, size_t file)
{
    must(disk.entry_count < ENTRIES);
    struct entry *e = &disk.entries[disk.entry_count++];
    *e = (struct entry){.kind = kind, .file = file};
    return e;
}

static void forget_log(void)
{
    for (size_t i = 0; i < disk.entry_count; i++) {
        free(disk.entries[i].new_octets);
        free(disk.entries[i].old_octets);
    }
    free(disk.entries);
    disk_log_replay_done();
}

void disk_log_begin(const char *path, int folder)
{
    struct stat s;
    must(fstat(folder, &s) == 0 && path);
    forget_log();
    disk = (struct disk_log){.is_on = true, .device = s.st_dev, .entries = calloc(ENTRIES, sizeof(struct entry))};
    must(disk.entries != NULL);
    see_file(folder, "", true);
}

void disk_log_end(void)
{
    disk.is_on = false;
}

void disk_log_fail_after(size_t calls, enum disk_fault fault, bool stays)
{
    disk.calls_left = calls;
    disk.fault = fault;
    disk.has_fault = fault != DISK_NO_FAULT;
    disk.stays = stays;
    disk.has_failed = disk.next_is_full = false;
}

bool disk_log_has_failed(void)
{
    return disk.has_failed;
}

size_t disk_log_count(void)
{
    return disk.entry_count;
}

size_t disk_log_syncs(void)
{
    return disk.syncs;
}

/* Is it this call's turn? */
static bool fails_now(bool is_concerned)
{
    if (!disk.is_on || !disk.has_fault || !is_concerned)
        return false;
    if (disk.has_failed)
        return disk.stays;
    if (disk.calls_left > 0) {
        disk.calls_left--;
        return false;
    }
    disk.has_failed = true;
    return true;
}

static int error_of(bool takes_room)
{
    if (disk.fault == DISK_READ_ONLY)
        return EROFS;
    if (disk.fault == DISK_NO_DESCRIPTORS)
        return EMFILE;
    return (disk.fault == DISK_IS_FULL || disk.fault == DISK_IS_SHORT) && takes_room ? ENOSPC : EIO;
}

static bool concerns_writes(void)
{
    return disk.fault != DISK_SYNC_LOSES && disk.fault != DISK_NO_DESCRIPTORS;
}

static ssize_t logged_write(int file, const void *bytes, size_t count, off_t at, bool has_place)
{
    struct seen_file *f = file_of(file);
    if (!f)
        return has_place ? __real_pwrite64(file, bytes, count, at) : __real_write(file, bytes, count);
    if (disk.next_is_full || fails_now(concerns_writes())) {
        bool is_half = disk.fault == DISK_IS_SHORT && !disk.next_is_full && count > 1;
        disk.next_is_full = is_half;
        if (!is_half) {
            errno = error_of(true);
            return -1;
        }
        count /= 2;
    }
    struct entry *e = note(WRITE, number_of(f));
    e->at = (uint64_t)(has_place ? at : lseek(file, 0, SEEK_CUR));
    e->length = count;
    e->new_octets = malloc(count + 1);
    e->old_octets = calloc(1, count + 1);
    must(e->new_octets != NULL && e->old_octets != NULL);
    memcpy(e->new_octets, bytes, count);
    if (pread(file, e->old_octets, count, (off_t)e->at) < 0)
        memset(e->old_octets, 0, count); /* opened for writing only: a new file */
    return has_place ? __real_pwrite64(file, bytes, count, at) : __real_write(file, bytes, count);
}

ssize_t __wrap_pwrite64(int file, const void *bytes, size_t count, off_t at)
{
    return logged_write(file, bytes, count, at, true);
}

ssize_t __wrap_write(int file, const void *bytes, size_t count)
{
    return logged_write(file, bytes, count, 0, false);
}

/* What the last sync of this file has not covered goes back to what it was. */
static void lose_unsynced(int file, size_t number)
{
    for (size_t i = disk.entry_count; i-- > 0;) {
        struct entry *e = &disk.entries[i];
        if (e->file != number || e->kind == MAKE || e->kind == RENAME || e->kind == REMOVE)
            continue;
        if (e->kind == SYNC)
            return;
        if (e->kind == WRITE)
            must(__real_pwrite64(file, e->old_octets, e->length, (off_t)e->at) == (ssize_t)e->length);
    }
}

static int logged_sync(int file, int (*real)(int))
{
    struct seen_file *f = file_of(file);
    if (!f)
        return real(file);
    if (fails_now(disk.fault != DISK_NO_DESCRIPTORS)) {
        if (disk.fault == DISK_SYNC_LOSES && !f->is_folder)
            lose_unsynced(file, number_of(f));
        errno = error_of(true);
        return -1;
    }
    disk.syncs++;
    note(f->is_folder ? SYNC_FOLDER : SYNC, number_of(f));
    return 0; /* the test's disk is memory */
}

int __wrap_fsync(int file)
{
    return logged_sync(file, __real_fsync);
}

int __wrap_fdatasync(int file)
{
    return logged_sync(file, __real_fdatasync);
}

int __wrap_fallocate64(int file, int mode, off_t at, off_t length)
{
    struct seen_file *f = file_of(file);
    if (f && fails_now(concerns_writes())) {
        errno = error_of(true);
        return -1;
    }
    if (f)
        note(RESIZE, number_of(f))->length = (uint64_t)(at + length);
    return __real_fallocate64(file, mode, at, length);
}

int __wrap_ftruncate64(int file, off_t length)
{
    struct seen_file *f = file_of(file);
    if (f && fails_now(concerns_writes())) {
        errno = error_of(true);
        return -1;
    }
    if (f)
        note(RESIZE, number_of(f))->length = (uint64_t)length;
    return __real_ftruncate64(file, length);
}

/* The path beneath the watched folder. */
static bool path_in(char path[NAME], int folder, const char *name, size_t *ret_folder)
{
    struct seen_file *f = file_of(folder);
    if (!f || !f->is_folder)
        return false;
    snprintf(path, NAME, "%.60s%.60s", f->path, name);
    *ret_folder = number_of(f);
    return true;
}

static int open_folder(int folder, const char *path, int flags, mode_t mode)
{
    char full[NAME];
    size_t parent;
    int opened = __real_openat64(folder, path, flags, mode);
    if (opened < 0 || strcmp(path, ".") == 0 || !path_in(full, folder, path, &parent))
        return opened;
    char with_slash[NAME];
    snprintf(with_slash, NAME, "%.120s/", full);
    if (!file_of(opened))
        see_file(opened, with_slash, true);
    return opened;
}

int __wrap_openat64(int folder, const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list list;
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    char full[NAME];
    size_t parent;
    bool is_ours = disk.is_on && path_in(full, folder, path, &parent);
    bool is_concerned = disk.fault == DISK_NO_DESCRIPTORS || (concerns_writes() && (flags & O_CREAT));
    if (is_ours && fails_now(is_concerned)) {
        errno = error_of(true);
        return -1;
    }
    if (!is_ours)
        return __real_openat64(folder, path, flags, mode);
    if (flags & O_DIRECTORY)
        return open_folder(folder, path, flags, mode);
    struct stat before;
    bool is_new = (flags & O_CREAT) && fstatat(folder, path, &before, AT_SYMLINK_NOFOLLOW) < 0;
    int file = __real_openat64(folder, path, flags, mode);
    if (file < 0 || !is_new)
        return file;
    struct entry *e = note(MAKE, number_of(see_file(file, full, false)));
    snprintf(e->to, NAME, "%s", full);
    e->folder = parent;
    return file;
}

int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    char full_from[NAME], full_to[NAME];
    size_t parent, other;
    if (!disk.is_on || !path_in(full_from, from_folder, from, &other) || !path_in(full_to, to_folder, to, &parent))
        return __real_renameat(from_folder, from, to_folder, to);
    if (fails_now(concerns_writes())) {
        errno = error_of(true);
        return -1;
    }
    int result = __real_renameat(from_folder, from, to_folder, to);
    if (result < 0)
        return result;
    struct entry *e = note(RENAME, 0);
    snprintf(e->from, NAME, "%s", full_from);
    snprintf(e->to, NAME, "%s", full_to);
    e->folder = parent;
    return 0;
}

int __wrap_unlinkat(int folder, const char *path, int flags)
{
    char full[NAME];
    size_t parent;
    if (!disk.is_on || !path_in(full, folder, path, &parent))
        return __real_unlinkat(folder, path, flags);
    if (fails_now(concerns_writes())) {
        errno = error_of(false);
        return -1;
    }
    int result = __real_unlinkat(folder, path, flags);
    if (result < 0)
        return result;
    struct entry *e = note(REMOVE, 0);
    snprintf(e->from, NAME, "%s", full);
    e->folder = parent;
    return 0;
}

int __wrap_mkdirat(int folder, const char *path, mode_t mode)
{
    char full[NAME];
    size_t parent;
    if (disk.is_on && path_in(full, folder, path, &parent)) {
        if (fails_now(concerns_writes())) {
            errno = error_of(true);
            return -1;
        }
        struct entry *e = note(MAKE_FOLDER, 0);
        snprintf(e->to, NAME, "%s", full);
    }
    return __real_mkdirat(folder, path, mode);
}

/* --- replay ---------------------------------------------------------------------------------------------------------------- */

static struct named *name_of(const char *path)
{
    for (size_t i = 0; i < name_count; i++)
        if (strcmp(names[i].path, path) == 0)
            return &names[i];
    must(name_count < FILES);
    names[name_count] = (struct named){.is_there = false};
    snprintf(names[name_count].path, NAME, "%s", path);
    return &names[name_count++];
}

static void resize_image(struct seen_file *f, uint64_t size)
{
    if (size <= f->size)
        return;
    f->octets = realloc(f->octets, size);
    must(f->octets != NULL);
    memset(f->octets + f->size, 0, size - f->size);
    f->size = size;
}

static void write_image(struct seen_file *f, uint64_t at, const char *octets, uint64_t length)
{
    resize_image(f, at + length);
    memcpy(f->octets + at, octets, length);
}

static void settle(struct entry *e)
{
    e->is_settled = true;
    switch (e->kind) {
    case WRITE:
        write_image(&disk.files[e->file], e->at, e->new_octets, e->length);
        return;
    case RESIZE:
        resize_image(&disk.files[e->file], e->length);
        return;
    case MAKE: {
        struct named *made = name_of(e->to);
        made->file = e->file;
        made->is_there = true;
        return;
    }
    case RENAME: {
        struct named *from = name_of(e->from), *to = name_of(e->to);
        if (from->is_there) {
            to->file = from->file;
            to->is_there = true;
        }
        from->is_there = false;
        return;
    }
    case REMOVE:
        name_of(e->from)->is_there = false;
        return;
    case SYNC:
    case SYNC_FOLDER:
    case MAKE_FOLDER:
        return;
    }
}

static bool is_name_change(const struct entry *e)
{
    return e->kind == MAKE || e->kind == RENAME || e->kind == REMOVE;
}

static void settle_synced(size_t sync)
{
    const struct entry *s = &disk.entries[sync];
    for (size_t i = 0; i < sync; i++) {
        struct entry *e = &disk.entries[i];
        if (e->is_settled)
            continue;
        bool is_data = s->kind == SYNC && !is_name_change(e) && e->file == s->file;
        bool is_name = s->kind == SYNC_FOLDER && is_name_change(e) && e->folder == s->file;
        if (is_data || is_name)
            settle(e);
    }
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Pieces of a write that the cut let through. */
static void write_some(struct seen_file *image, const struct entry *e, size_t piece, uint32_t *seed)
{
    for (uint64_t at = e->at; at < e->at + e->length;) {
        uint64_t end = (at / piece + 1) * piece;
        if (end > e->at + e->length)
            end = e->at + e->length;
        if (next_random(seed) % 2)
            write_image(image, at, e->new_octets + (at - e->at), end - at);
        at = end;
    }
}

static void materialize(const char *path, const struct seen_file *image, int folder)
{
    int file = __real_openat64(folder, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(file >= 0);
    must(__real_ftruncate64(file, (off_t)image->size) == 0);
    if (image->size)
        must(__real_pwrite64(file, image->octets, image->size, 0) == (ssize_t)image->size);
    close(file);
}

static void apply_unsynced(size_t moment, enum disk_variant variant, uint32_t seed)
{
    bool names_go_on = true; /* a journal keeps the order of names */
    for (size_t i = 0; i < moment; i++) {
        struct entry *e = &disk.entries[i];
        if (e->is_settled || variant == DISK_NOTHING_MORE)
            continue;
        bool is_name = is_name_change(e);
        names_go_on &= !is_name || variant == DISK_ALL || next_random(&seed) % 2;
        if (is_name && !names_go_on)
            continue;
        if (e->kind == WRITE && variant != DISK_ALL)
            write_some(&disk.files[e->file], e, variant == DISK_ANY_BLOCKS ? BLOCK : SECTOR, &seed);
        else {
            settle(e);
            e->is_settled = false;
        }
    }
}

void disk_log_replay(size_t moment, enum disk_variant variant, uint32_t seed, int folder)
{
    must(moment <= disk.entry_count);
    for (; disk.replayed < moment; disk.replayed++)
        if (disk.entries[disk.replayed].kind == SYNC || disk.entries[disk.replayed].kind == SYNC_FOLDER)
            settle_synced(disk.replayed);
    /* the unsynced part is tried on copies */
    static struct named kept_names[FILES];
    size_t kept_count = name_count;
    struct seen_file kept[FILES];
    memcpy(kept_names, names, sizeof names);
    memcpy(kept, disk.files, sizeof kept);
    for (size_t i = 0; i < disk.file_count; i++) {
        if (!kept[i].octets)
            continue;
        disk.files[i].octets = malloc(kept[i].size + 1);
        must(disk.files[i].octets != NULL);
        memcpy(disk.files[i].octets, kept[i].octets, kept[i].size);
    }
    apply_unsynced(moment, variant, seed);
    for (size_t i = 0; i < disk.file_count; i++)
        if (disk.files[i].is_folder && disk.files[i].path[0]) {
            char path[NAME];
            snprintf(path, NAME, "%.*s", (int)strlen(disk.files[i].path) - 1, disk.files[i].path);
            ignored(__real_mkdirat(folder, path, 0700)); /* it may be there */
        }
    for (size_t i = 0; i < name_count; i++)
        if (names[i].is_there)
            materialize(names[i].path, &disk.files[names[i].file], folder);
    for (size_t i = 0; i < disk.file_count; i++)
        free(disk.files[i].octets);
    memcpy(names, kept_names, sizeof names);
    name_count = kept_count;
    memcpy(disk.files, kept, sizeof kept);
}

void disk_log_replay_done(void)
{
    for (size_t i = 0; i < disk.file_count; i++) {
        free(disk.files[i].octets);
        disk.files[i].octets = NULL;
        disk.files[i].size = 0;
    }
    name_count = 0;
    disk.replayed = 0;
}
