/* SPDX-License-Identifier: Apache-2.0 */
/* process: starts programs of ours, and ends them. Only the supervisor and the command line use it. */
#ifndef SYSTEM_PROCESS_H
#define SYSTEM_PROCESS_H

#include "base/base.h"

enum { PROCESS_CHANNEL = 3 }; /* the start channel's descriptor in a role */

struct process_start {
    int program;          /* an open descriptor of the program file */
    const char *name;     /* argv[0] */
    const char *argument; /* argv[1], or NULL */
    int channel;          /* becomes descriptor PROCESS_CHANNEL there; everything else but 0, 1, 2 is closed */
    unsigned user, group; /* 0: stay who we are */
};

must_check int process_start(const struct process_start *start, int *ret_process);
/* Becomes another program, under the same process id; arguments[0] is its name. Returns only when that failed: errno. */
must_check int process_become(int program, const struct text *arguments, size_t count);
/* Waits until a child has ended. */
void process_wait(int process);
/* A child that ended: its id and status text ("exit 1", "signal 9"); false when there is none. */
bool process_reap(int *ret_process, bool *ret_is_clean, struct buffer *why);
void process_signal(int process, int signal);
unsigned process_own_user(void);
/* Ids of a user by name; false when the system does not know it. */
must_check bool process_user(const char *name, unsigned *ret_user, unsigned *ret_group);
must_check bool process_group(const char *name, unsigned *ret_group);
/* Raises the limit of open files as far as allowed; returns it. */
uint64_t process_raise_file_limit(void);
/* A descriptor that becomes readable when one of the signals comes (they are blocked then). */
must_check int process_signals(const int *signals, size_t count, int *ret_file);
must_check bool process_take_signal(int file, int *ret_signal);
/* Path of the folder that holds the running program. */
must_check bool process_own_folder(struct buffer *b);
/* The machine's fully qualified name, or its plain one. */
void process_machine_name(struct buffer *b);
unsigned process_cores(void);

#endif
