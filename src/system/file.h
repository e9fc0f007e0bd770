/* SPDX-License-Identifier: Apache-2.0 */
/* file: files and folders by descriptor. Names are relative to an open folder and never follow a link at their end;
 * every descriptor is close-on-exec. Results are errno values (0 = done), so that a caller can tell ENOSPC from EIO;
 * EINTR and short writes are handled here. */
#ifndef SYSTEM_FILE_H
#define SYSTEM_FILE_H

#include "base/base.h"

struct file_facts {
    uint64_t size;
    uint64_t blocks; /* of 512 octets, really there */
    uint64_t inode;
    unsigned owner;  /* user id */
    unsigned links;
    unsigned mode;   /* permission bits */
    bool is_file;    /* a regular one */
    bool is_folder;
    int64_t changed_ms; /* modification, wall clock */
};

void file_close(int *file); /* released_by(file_close); ignores -1 */
/* Another descriptor of the same, close-on-exec; -1 when there is none to be had. */
int file_copy_descriptor(int source);
/* target becomes another descriptor of what source is, close-on-exec; what target was is closed. */
must_check int file_replace_descriptor(int source, int target);
/* As file_close, but tells of an error: what was written may not be there. */
must_check int file_close_checked(int *file);

/* flags as open(2): O_RDONLY, O_RDWR | O_CREAT | O_EXCL ...; O_NOFOLLOW | O_CLOEXEC are added. */
must_check int file_open(int folder, struct text name, int flags, unsigned mode, int *ret_file);
must_check int folder_open(int parent, struct text name, int *ret_folder); /* parent -1: name is a path from the start */
must_check int folder_make(int parent, struct text name, unsigned mode);   /* an existing folder is no error */

must_check int file_write_all(int file, struct text octets);
must_check int file_write_all_at(int file, struct text octets, uint64_t at);
/* Reads up to count octets; ret_got is less only at the end. */
must_check int file_read_at(int file, void *bytes, size_t count, uint64_t at, size_t *ret_got);
/* A whole small file; EFBIG when it is over the buffer's limit. */
must_check int file_read_whole(int folder, struct text name, struct buffer *b);
must_check int file_sync(int file);      /* fsync */
must_check int file_sync_data(int file); /* fdatasync */
/* syncfs: all that was written to the file system that holds the folder; one journal commit for many files. */
must_check int folder_sync_system(int folder);
must_check int file_resize(int file, uint64_t size);
must_check int file_allocate(int file, uint64_t size); /* blocks for the first size octets; where the file system can't promise them, only the size */
must_check int file_drop_cache(int file); /* clean pages are forgotten: the next read comes from the disk */
must_check int file_set_owner(int file, unsigned user, unsigned group); /* folders too */
must_check int file_facts(int file, struct file_facts *ret_facts);
must_check int file_facts_of(int folder, struct text name, struct file_facts *ret_facts); /* the link itself, if it is one */
must_check int file_rename(int from_folder, struct text from, int to_folder, struct text to);
/* The same, but EEXIST when to is there already: it is never replaced. */
must_check int file_rename_new(int from_folder, struct text from, int to_folder, struct text to);
must_check int file_link(int from_folder, struct text from, int to_folder, struct text to); /* EEXIST when to is there */
must_check int file_remove(int folder, struct text name);
must_check int folder_remove(int folder, struct text name);
/* Writes a whole file so that a reader sees the old one or the new one: temporary name, sync, rename, sync of the folder. */
must_check int file_replace(int folder, struct text name, struct text octets, unsigned mode);
/* Takes an exclusive lock that dies with the process; EWOULDBLOCK when somebody holds it. */
must_check int file_lock(int file);
/* Free octets and inodes of the file system that holds the folder. */
must_check int folder_free(int folder, uint64_t *ret_octets, uint64_t *ret_inodes);

/* Walks a folder: names in no order, without . and .. ; false at the end. */
struct folder_walk;
must_check int folder_walk_new(int folder, struct folder_walk **ret_walk);
bool folder_walk_next(struct folder_walk *walk, struct text *ret_name); /* valid until the next call */
void folder_walk_free(struct folder_walk **walk);

struct text file_error_word(int error); /* "no space left on device" */

#endif
