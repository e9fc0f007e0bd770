/* SPDX-License-Identifier: Apache-2.0 */
#include "system/thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct beginning {
    void (*function)(void *context);
    void *context;
};

static void *run(void *argument)
{
    struct beginning beginning = *(struct beginning *)argument;
    free(argument);
    beginning.function(beginning.context);
    return NULL;
}

int thread_start(void (*function)(void *context), void *context)
{
    struct beginning *beginning = malloc(sizeof *beginning);
    must(beginning != NULL);
    *beginning = (struct beginning){.function = function, .context = context};
    pthread_attr_t attributes;
    must(pthread_attr_init(&attributes) == 0);
    must(pthread_attr_setstacksize(&attributes, THREAD_STACK) == 0);
    must(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int result = pthread_create(&thread, &attributes, run, beginning);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    ignored(pthread_attr_destroy(&attributes)); /* cannot fail here */
    if (result)
        free(beginning);
    return result;
}
