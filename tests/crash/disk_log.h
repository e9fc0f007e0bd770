/* SPDX-License-Identifier: Apache-2.0 */
/* disk_log: stands between the program and the kernel (the linker's --wrap): it writes down every write, sync and change of a folder, and can make
 * any one of them fail. From the log a disk can be made as a power cut at any moment might have left it: what was synced is there, of the
 * rest none, all, or any blocks. Only files beneath the folder that is watched are seen. For one thread. */
#ifndef TESTS_CRASH_DISK_LOG_H
#define TESTS_CRASH_DISK_LOG_H

#include "base/base.h"

enum disk_fault {
    DISK_NO_FAULT,
    DISK_FAILS,      /* EIO */
    DISK_IS_FULL,    /* ENOSPC for what takes room, EIO for the rest */
    DISK_IS_SHORT,   /* half of a write is done; the next call fails with ENOSPC */
    DISK_SYNC_LOSES, /* a sync fails with EIO, and what was not synced is gone; other calls pass */
    DISK_READ_ONLY,  /* EROFS */
    DISK_NO_DESCRIPTORS, /* EMFILE for every open, the others pass */
    DISK_FAULTS,
};

void disk_log_begin(const char *path, int folder); /* forgets what was logged before */
void disk_log_end(void);
/* The call after this many more fails, and all those behind it when the trouble stays. */
void disk_log_fail_after(size_t calls, enum disk_fault fault, bool stays);
bool disk_log_has_failed(void); /* the fault came */
const char *disk_fault_word(enum disk_fault fault);

size_t disk_log_count(void); /* entries so far: a moment */
size_t disk_log_syncs(void);

enum disk_variant { DISK_NOTHING_MORE, DISK_ALL, DISK_ANY_BLOCKS, DISK_ANY_SECTORS, DISK_VARIANTS };
/* Makes the files in an empty folder as they might be after a power cut at this moment. Moments must come in ascending order. */
void disk_log_replay(size_t moment, enum disk_variant variant, uint32_t seed, int folder);
void disk_log_replay_done(void);

#endif
