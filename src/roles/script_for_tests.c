/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/script_for_tests.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { ARGUMENTS = 16, OUTPUT_LIMIT = 64 * 1024 };

static void become(const char *name, const char *const *arguments, int output)
{
    char path[4096];
    const char *list[ARGUMENTS] = {"python3", path};
    snprintf(path, sizeof path, "%s/tests/hostile/%s", PROJECT_ROOT, name);
    for (size_t i = 0; arguments[i] && i + 3 < ARGUMENTS; i++)
        list[i + 2] = arguments[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(output, 1);
    execv("/usr/bin/python3", (char *const *)(uintptr_t)list);
    _exit(127);
}

struct script script_start(const char *name, const char *const *arguments)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct script script = {.process = fork(), .output = ends[0], .said = buffer_new(OUTPUT_LIMIT)};
    if (script.process == 0)
        become(name, arguments, ends[1]);
    close(ends[1]);
    struct text end = TEXT("ready\n");
    while (!text_ends_with(buffer_text(&script.said), end)) {
        char *room = buffer_room(&script.said, 1024);
        assert_non_null(room);
        ssize_t got = read(script.output, room, 1024);
        if (got <= 0)
            fail_msg("%s did not get ready", name);
        buffer_grew(&script.said, (size_t)got);
    }
    script.said.length -= end.length;
    return script;
}

void script_stop(struct script *script)
{
    kill(script->process, SIGKILL);
    waitpid(script->process, NULL, 0);
    close(script->output);
    buffer_done(&script->said);
}

uint64_t script_port(const struct script *script)
{
    uint64_t port = 0;
    struct text said = buffer_text(&script->said), line = text_take_until(&said, '\n');
    assert_true(text_number(text_take_word(&line), 65535, &port));
    return port;
}
