/*
 * Groups of tasks that work on one thing, where the first error ends all;
 * after Go's golang.org/x/sync/errgroup.
 *
 * Tasks run on threads of the library that are reused, and a waiting thread
 * may run tasks of the group it waits for. A task that nobody waits for begins
 * within a tenth of a millisecond or so if fewer run than there are processors.
 * Any number of tasks may block on each other: every task gets to run, as more
 * threads are made once none of those that are queued has begun for a
 * millisecond, or those that run sleep for most of the time (as /proc/self says);
 * at once if it is a wait of this library that blocks. The library's threads
 * block all signals but the synchronous ones (SIGSEGV, SIGBUS, SIGFPE, SIGILL,
 * SIGTRAP, SIGSYS).
 *
 * Every function but errgroup_free may be called from any thread, tasks of the
 * group included.
 */
#ifndef CRATOS_ERRGROUP_H
#define CRATOS_ERRGROUP_H

#include <stdbool.h>
#include <stddef.h>

#include <cratos/context.h>
#include <cratos/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A task: ctx is the group's context, arg as given. Returns 0 or a negative
 * errno, best through error_set(); more than 0 is a programmer error.
 */
typedef int task_fn(struct context *ctx, void *arg);

struct errgroup;

/*
 * A plain group, Go's zero Group: no limit, and its tasks get the background
 * context. NULL with errno ENOMEM.
 */
struct errgroup *errgroup_new(void);

/*
 * A group whose context is a child of parent (NULL: background), done when
 * the first task fails, when wait returns, or when parent is done. *ctx (ctx
 * may be NULL) is set to it; it belongs to the group: do not free it, nor use
 * it after errgroup_free. NULL with errno ENOMEM.
 */
struct errgroup *errgroup_with_context(struct context *parent,
    struct context **ctx);

/*
 * At most n tasks are active at a time from now on; a negative n is no limit,
 * the default. Does not block. -EBUSY while tasks are active, and nothing is
 * changed.
 */
int errgroup_set_limit(struct errgroup *g, int n);

/*
 * Starts fn(ctx, arg) as a task. At the limit it blocks until another task
 * has returned. The first task that fails decides the group's error, cancels
 * its context, and gives its name as the error's origin: that of the function
 * (the text of the argument fn). A task starts also after an error, and with a
 * context that is done already.
 *
 * Returns 0, or what kept the task from starting, which becomes an error of
 * the group as well: -ENOMEM, -EAGAIN if no thread can be made for it. A task
 * that was accepted runs in any case. If it waits for a thread, none can be
 * made, and no task moves for 20 ms, that is an error of the group, too, so that
 * those end that wait for its context.
 */
int errgroup_go(struct errgroup *g, task_fn *fn, void *arg);

/* The same; name (copied, cut to 31 bytes, may be NULL) is the origin. */
int errgroup_go_named(struct errgroup *g, const char *name, task_fn *fn,
    void *arg);

/* The same; name is not copied, and has to stay until the task has ended. */
int errgroup_go_literal(struct errgroup *g, const char *name, task_fn *fn,
    void *arg);

/*
 * Like errgroup_go, but never blocks: false, and fn is not run, if the group
 * is at its limit, or if the task could not be started. Neither is an error of
 * the group.
 */
bool errgroup_try_go(struct errgroup *g, task_fn *fn, void *arg);
bool errgroup_try_go_named(struct errgroup *g, const char *name, task_fn *fn,
    void *arg);

/*
 * Starts a task that is parked until when (NULL: background) is done, and
 * runs fn then. It counts as active from now on, with limit and wait, but
 * holds no thread while it is parked. Blocks and fails as errgroup_go_named,
 * but once accepted it runs as soon as a thread can be had.
 */
int errgroup_go_after(struct errgroup *g, struct context *when,
    const char *name, task_fn *fn, void *arg);

/*
 * Blocks until every task has returned, whatever the context says; then
 * cancels the group's context and returns 0 or the code of the first error,
 * with all of it in *err (may be NULL; zeroed on success). What tasks wrote is
 * visible afterwards. Several threads may wait; all get the same error. The
 * group can be used again; the first error stays, its context stays done.
 */
int errgroup_wait(struct errgroup *g, struct error *err);

/*
 * Frees *g and its context, which it cancels, and sets *g to NULL. Accepts the
 * address of NULL. No task may be active and no thread waiting: that is a
 * programmer error.
 */
void errgroup_free(struct errgroup **g);

/*
 * The stack that threads made from now on get, in bytes, rounded up to whole
 * pages; 1 MiB unless set. For the whole process. -EINVAL if the system calls
 * it too small.
 */
int errgroup_set_stack_size(size_t bytes);

/* The name of a task is the text of its function. */
#define errgroup_go(g, fn, ...) errgroup_go_literal(g, #fn, fn, __VA_ARGS__)
#define errgroup_try_go(g, fn, ...) \
	errgroup_try_go_named(g, #fn, fn, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
