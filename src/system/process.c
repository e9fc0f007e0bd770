/* SPDX-License-Identifier: Apache-2.0 */
#include "system/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs in the child, between fork and exec: only calls that are safe there. */
_Noreturn static void become(const struct process_start *start)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a role does not outlive its supervisor */
    int channel = start->channel;
    int program = fcntl(start->program, F_DUPFD_CLOEXEC, 10);
    bool ready = program >= 0 && (channel == PROCESS_CHANNEL ? fcntl(channel, F_SETFD, 0) == 0 : dup2(channel, PROCESS_CHANNEL) >= 0);
    if (ready && start->user)
        ready = setgroups(0, NULL) == 0 && setresgid(start->group, start->group, start->group) == 0 &&
                setresuid(start->user, start->user, start->user) == 0;
    /* the change of user clears the signal asked for above */
    ready = ready && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
    if (ready) {
        char *const arguments[] = {(char *)(uintptr_t)start->name, (char *)(uintptr_t)start->argument, NULL};
        extern char **environ;
        fexecve(program, arguments, environ);
    }
    _exit(127);
}

int process_start(const struct process_start *start, int *ret_process)
{
    pid_t child = fork();
    if (child < 0)
        return errno;
    if (child == 0)
        become(start);
    *ret_process = child;
    return 0;
}

enum { ARGUMENTS_LIMIT = 16, ARGUMENT_OCTETS = 16384 };

int process_become(int program, const struct text *arguments, size_t count)
{
    char octets[ARGUMENT_OCTETS];
    char *strings[ARGUMENTS_LIMIT + 1];
    size_t used = 0;
    if (count > ARGUMENTS_LIMIT)
        return E2BIG;
    for (size_t i = 0; i < count; i++) {
        if (arguments[i].length >= sizeof octets - used)
            return E2BIG;
        strings[i] = octets + used;
        memcpy(strings[i], arguments[i].bytes, arguments[i].length);
        used += arguments[i].length;
        octets[used++] = '\0';
    }
    strings[count] = NULL;
    extern char **environ;
    fexecve(program, strings, environ);
    return errno;
}

void process_wait(int process)
{
    int status;
    while (process > 0 && waitpid(process, &status, 0) < 0 && errno == EINTR)
        continue;
}

bool process_reap(int *ret_process, bool *ret_is_clean, struct buffer *why)
{
    int status;
    pid_t child;
    do
        child = waitpid(-1, &status, WNOHANG);
    while (child < 0 && errno == EINTR);
    if (child <= 0)
        return false;
    if (WIFSIGNALED(status))
        ignored(buffer_append_format(why, "signal %d", WTERMSIG(status))); /* a word for the log */
    else
        ignored(buffer_append_format(why, "exit %d", WEXITSTATUS(status))); /* as above */
    *ret_process = child;
    *ret_is_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return true;
}

void process_signal(int process, int signal)
{
    if (process > 0)
        ignored(kill(process, signal)); /* it may be gone already */
}

unsigned process_own_user(void)
{
    return geteuid();
}

bool process_user(const char *name, unsigned *ret_user, unsigned *ret_group)
{
    const struct passwd *entry = getpwnam(name);
    if (!entry)
        return false;
    *ret_user = entry->pw_uid;
    *ret_group = entry->pw_gid;
    return true;
}

bool process_group(const char *name, unsigned *ret_group)
{
    const struct group *entry = getgrnam(name);
    if (!entry)
        return false;
    *ret_group = entry->gr_gid;
    return true;
}

uint64_t process_raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    limit.rlim_cur = limit.rlim_max;
    ignored(setrlimit(RLIMIT_NOFILE, &limit)); /* the old limit then stays */
    ignored(getrlimit(RLIMIT_NOFILE, &limit)); /* it worked above */
    return limit.rlim_cur;
}

int process_signals(const int *signals, size_t count, int *ret_file)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < count; i++)
        sigaddset(&set, signals[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return errno;
    int file = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (file < 0)
        return errno;
    *ret_file = file;
    return 0;
}

bool process_take_signal(int file, int *ret_signal)
{
    struct signalfd_siginfo facts;
    if (read(file, &facts, sizeof facts) != (ssize_t)sizeof facts)
        return false;
    *ret_signal = (int)facts.ssi_signo;
    return true;
}

bool process_own_folder(struct buffer *b)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path);
    if (length <= 0)
        return false;
    while (length > 1 && path[length - 1] != '/')
        length--;
    return buffer_append(b, text_of(path, (size_t)(length - 1)));
}

void process_machine_name(struct buffer *b)
{
    char name[256] = "localhost";
    ignored(gethostname(name, sizeof name - 1)); /* "localhost" then */
    struct addrinfo wanted = {.ai_flags = AI_CANONNAME, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (strchr(name, '.') == NULL && getaddrinfo(name, NULL, &wanted, &found) == 0 && found->ai_canonname)
        ignored(buffer_append(b, text_of_terminated(found->ai_canonname))); /* is_full tells */
    else
        ignored(buffer_append(b, text_of_terminated(name))); /* as above */
    if (found)
        freeaddrinfo(found);
}

unsigned process_cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (unsigned)count : 1;
}
