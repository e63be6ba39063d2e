/* For who does not wait for a group, but has to know that it cannot go on. */
#ifndef CRATOS_STARVING_H
#define CRATOS_STARVING_H

#include <cratos/errgroup.h>

/*
 * Calls fn with the group's error when a task that was accepted gets no thread
 * since none can be made. On a thread of the pool; set it before the first task.
 * arg has to live until errgroup_free has returned, which fn must not call.
 */
void errgroup_on_starving(struct errgroup *g,
    void (*fn)(void *arg, const struct error *err), void *arg);

#endif
