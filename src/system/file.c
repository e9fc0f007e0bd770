/* SPDX-License-Identifier: Apache-2.0 */
#include "system/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { NAME_LIMIT = 4096 };

/* A name as the kernel wants it. False (ENAMETOOLONG, EINVAL) for one with a NUL in it or too long. */
struct terminated {
    char string[NAME_LIMIT];
};

static int terminate(struct text name, struct terminated *ret_name)
{
    if (name.length >= NAME_LIMIT)
        return ENAMETOOLONG;
    if (text_has_octet(name, '\0'))
        return EINVAL;
    memcpy(ret_name->string, name.bytes, name.length);
    ret_name->string[name.length] = '\0';
    return 0;
}

void file_close(int *file)
{
    if (*file >= 0)
        close(*file);
    *file = -1;
}

int file_close_checked(int *file)
{
    int result = *file >= 0 && close(*file) < 0 ? errno : 0;
    *file = -1;
    return result == EINTR ? 0 : result; /* Linux has closed it then */
}

int file_copy_descriptor(int source)
{
    return fcntl(source, F_DUPFD_CLOEXEC, 3);
}

int file_replace_descriptor(int source, int target)
{
    return dup3(source, target, O_CLOEXEC) < 0 ? errno : 0;
}

int file_open(int folder, struct text name, int flags, unsigned mode, int *ret_file)
{
    struct terminated path;
    int result = terminate(name, &path);
    if (result)
        return result;
    int file;
    do
        file = openat(folder < 0 ? AT_FDCWD : folder, path.string, flags | O_NOFOLLOW | O_CLOEXEC, mode);
    while (file < 0 && errno == EINTR);
    if (file < 0)
        return errno;
    *ret_file = file;
    return 0;
}

int folder_open(int parent, struct text name, int *ret_folder)
{
    return file_open(parent, name, O_RDONLY | O_DIRECTORY, 0, ret_folder);
}

int folder_make(int parent, struct text name, unsigned mode)
{
    struct terminated path;
    int result = terminate(name, &path);
    if (result)
        return result;
    return mkdirat(parent < 0 ? AT_FDCWD : parent, path.string, mode) == 0 || errno == EEXIST ? 0 : errno;
}

int file_write_all(int file, struct text octets)
{
    while (octets.length) {
        ssize_t written = write(file, octets.bytes, octets.length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        octets = text_after(octets, (size_t)written);
    }
    return 0;
}

int file_write_all_at(int file, struct text octets, uint64_t at)
{
    while (octets.length) {
        ssize_t written = pwrite(file, octets.bytes, octets.length, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        octets = text_after(octets, (size_t)written);
        at += (uint64_t)written;
    }
    return 0;
}

int file_read_at(int file, void *bytes, size_t count, uint64_t at, size_t *ret_got)
{
    size_t done = 0;
    while (done < count) {
        ssize_t got = pread(file, (char *)bytes + done, count - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *ret_got = done;
    return 0;
}

int file_read_whole(int folder, struct text name, struct buffer *b)
{
    int file released_by(file_close) = -1;
    int result = file_open(folder, name, O_RDONLY | O_NONBLOCK, 0, &file);
    if (result)
        return result;
    for (;;) {
        size_t wanted = smaller(65536, buffer_space(b));
        if (wanted == 0) {
            char probe;
            ssize_t more = read(file, &probe, 1);
            return more == 0 ? 0 : more < 0 ? errno : EFBIG;
        }
        char *room = buffer_room(b, wanted);
        ssize_t got = read(file, room, wanted);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            return 0;
        buffer_grew(b, (size_t)got);
    }
}

int file_sync(int file)
{
    return fsync(file) < 0 ? errno : 0;
}

int file_sync_data(int file)
{
    return fdatasync(file) < 0 ? errno : 0;
}

int folder_sync_system(int folder)
{
    return syncfs(folder) < 0 ? errno : 0;
}

int file_resize(int file, uint64_t size)
{
    return ftruncate(file, (off_t)size) < 0 ? errno : 0;
}

int file_set_owner(int file, unsigned user, unsigned group)
{
    return fchown(file, user, group) < 0 ? errno : 0;
}

int file_allocate(int file, uint64_t size)
{
    int result;
    do
        result = fallocate(file, 0, 0, (off_t)size) < 0 ? errno : 0;
    while (result == EINTR);
    return result == EOPNOTSUPP ? file_resize(file, size) : result;
}

int file_drop_cache(int file)
{
    return posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
}

static struct file_facts facts_of(const struct stat *s)
{
    return (struct file_facts){
        .size = (uint64_t)s->st_size,
        .blocks = (uint64_t)s->st_blocks,
        .inode = s->st_ino,
        .owner = s->st_uid,
        .links = (unsigned)s->st_nlink,
        .mode = s->st_mode & 07777,
        .is_file = S_ISREG(s->st_mode),
        .is_folder = S_ISDIR(s->st_mode),
        .changed_ms = (int64_t)s->st_mtim.tv_sec * 1000 + s->st_mtim.tv_nsec / 1000000,
    };
}

int file_facts(int file, struct file_facts *ret_facts)
{
    struct stat s;
    if (fstat(file, &s) < 0)
        return errno;
    *ret_facts = facts_of(&s);
    return 0;
}

int file_facts_of(int folder, struct text name, struct file_facts *ret_facts)
{
    struct terminated path;
    int result = terminate(name, &path);
    if (result)
        return result;
    struct stat s;
    if (fstatat(folder < 0 ? AT_FDCWD : folder, path.string, &s, AT_SYMLINK_NOFOLLOW) < 0)
        return errno;
    *ret_facts = facts_of(&s);
    return 0;
}

int file_rename(int from_folder, struct text from, int to_folder, struct text to)
{
    struct terminated old, new;
    int result = terminate(from, &old);
    if (!result)
        result = terminate(to, &new);
    if (result)
        return result;
    return renameat(from_folder, old.string, to_folder, new.string) < 0 ? errno : 0;
}

int file_rename_new(int from_folder, struct text from, int to_folder, struct text to)
{
    struct terminated old, new;
    int result = terminate(from, &old);
    if (!result)
        result = terminate(to, &new);
    if (result)
        return result;
    if (renameat2(from_folder, old.string, to_folder, new.string, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    /* a file system without it: the link is the moment that counts */
    if (linkat(from_folder, old.string, to_folder, new.string, 0) < 0)
        return errno;
    return unlinkat(from_folder, old.string, 0) < 0 ? errno : 0;
}

int file_link(int from_folder, struct text from, int to_folder, struct text to)
{
    struct terminated old, new;
    int result = terminate(from, &old);
    if (!result)
        result = terminate(to, &new);
    if (result)
        return result;
    return linkat(from_folder, old.string, to_folder, new.string, 0) < 0 ? errno : 0;
}

static int remove_name(int folder, struct text name, int flags)
{
    struct terminated path;
    int result = terminate(name, &path);
    if (result)
        return result;
    return unlinkat(folder < 0 ? AT_FDCWD : folder, path.string, flags) < 0 ? errno : 0;
}

int file_remove(int folder, struct text name)
{
    return remove_name(folder, name, 0);
}

int folder_remove(int folder, struct text name)
{
    return remove_name(folder, name, AT_REMOVEDIR);
}

int file_replace(int folder, struct text name, struct text octets, unsigned mode)
{
    struct buffer temporary released_by(buffer_done) = buffer_new(NAME_LIMIT);
    if (!buffer_append_format(&temporary, ".%.*s.%d.new", TEXT_ARGUMENTS(name), (int)getpid()))
        return ENAMETOOLONG;
    ignored(file_remove(folder, buffer_text(&temporary))); /* left by a crash, or not there */
    int file released_by(file_close) = -1;
    int result = file_open(folder, buffer_text(&temporary), O_WRONLY | O_CREAT | O_EXCL, mode, &file);
    if (result)
        return result;
    result = file_write_all(file, octets);
    if (!result)
        result = file_sync(file);
    int closed = file_close_checked(&file);
    if (!result)
        result = closed;
    if (!result)
        result = file_rename(folder, buffer_text(&temporary), folder, name);
    if (result) {
        ignored(file_remove(folder, buffer_text(&temporary))); /* the first error is the one to tell */
        return result;
    }
    return file_sync(folder);
}

int file_lock(int file)
{
    return flock(file, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
}

int folder_free(int folder, uint64_t *ret_octets, uint64_t *ret_inodes)
{
    struct statvfs s;
    if (fstatvfs(folder, &s) < 0)
        return errno;
    *ret_octets = (uint64_t)s.f_bavail * s.f_frsize;
    *ret_inodes = s.f_files ? (uint64_t)s.f_favail : UINT64_MAX; /* some file systems count none */
    return 0;
}

struct folder_walk {
    DIR *folder;
};

int folder_walk_new(int folder, struct folder_walk **ret_walk)
{
    int own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (own < 0)
        return errno;
    DIR *opened = fdopendir(own);
    if (!opened) {
        int error = errno;
        close(own);
        return error;
    }
    struct folder_walk *walk = malloc(sizeof *walk);
    must(walk != NULL);
    walk->folder = opened;
    *ret_walk = walk;
    return 0;
}

bool folder_walk_next(struct folder_walk *walk, struct text *ret_name)
{
    for (;;) {
        struct dirent *entry = readdir(walk->folder);
        if (!entry)
            return false;
        struct text name = text_of_terminated(entry->d_name);
        if (text_equals(name, TEXT(".")) || text_equals(name, TEXT("..")))
            continue;
        *ret_name = name;
        return true;
    }
}

void folder_walk_free(struct folder_walk **walk)
{
    if (*walk) {
        closedir((*walk)->folder);
        free(*walk);
    }
    *walk = NULL;
}

struct text file_error_word(int error)
{
    const char *word = strerrordesc_np(error);
    return text_of_terminated(word ? word : "unknown error");
}
