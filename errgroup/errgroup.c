/*
 * Groups of tasks.
 *
 * Design notes. `lock` guards a group. A task is active from the moment go has
 * a slot for it until it has returned and its error, if any, was recorded and
 * has cancelled the context (G3): only then does the count go down, so wait
 * cannot return before (G5), and when it returns the slot is free (G12). The
 * count's way down is the last that a task does to its group; the group may be
 * freed once the lock is let go.
 *
 * `pending` has the tasks that no thread has begun yet. A thread that waits
 * for the group takes from it what the pool has not given to a thread, and runs
 * it: the task would have to be waited for anyhow.
 *
 * A waiter waits for the count to be 0 or for `rounds` to have moved, so that
 * a group that is busy again at once lets go those who waited for the round
 * before.
 *
 * No wake-up is lost: counts change, and `done` and `slot` are signalled, in
 * one hold of the lock. Lock order: `lock`, then the pool's.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <cratos/errgroup.h>

#include "errgroup/error_thread.h"
#include "errgroup/worker.h"

enum { GROUP_MAGIC = 0x47727021, NO_LIMIT = -1 };

struct task {
	struct job job;
	struct errgroup *group;
	task_fn *fn;
	void *arg;
	char name[sizeof(((struct error *)0)->origin)];
	/* guarded by group->lock */
	bool pending;
	TAILQ_ENTRY(task) link;
	struct context_after *parked;
};

struct errgroup {
	unsigned magic;
	struct context *ctx; /* NULL for a plain group */
	pthread_mutex_t lock;
	/* guarded by lock */
	pthread_cond_t done, slot;
	int limit, active, wanting; /* goers that wait for a slot */
	unsigned rounds;
	bool failed;
	struct error err;
	TAILQ_HEAD(, task) pending;
};

struct errgroup *errgroup_new(void)
{
	struct errgroup *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->magic = GROUP_MAGIC;
	g->limit = NO_LIMIT;
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->done, NULL);
	pthread_cond_init(&g->slot, NULL);
	TAILQ_INIT(&g->pending);
	return g;
}

struct errgroup *errgroup_with_context(struct context *parent,
    struct context **ctx)
{
	struct errgroup *g = errgroup_new();

	if (!g)
		return NULL;
	g->ctx = context_with_cancel(parent);
	if (!g->ctx) {
		errgroup_free(&g);
		errno = ENOMEM;
		return NULL;
	}
	if (ctx)
		*ctx = g->ctx;
	return g;
}

void errgroup_free(struct errgroup **g)
{
	struct errgroup *old = *g;

	if (!old)
		return;
	*g = NULL;
	assert(old->magic == GROUP_MAGIC);
	context_free(&old->ctx);
	/* The last task may still be on its way out of the lock. */
	pthread_mutex_lock(&old->lock);
	assert(!old->active);
	pthread_mutex_unlock(&old->lock);
	pthread_cond_destroy(&old->slot);
	pthread_cond_destroy(&old->done);
	pthread_mutex_destroy(&old->lock);
	old->magic = 0;
	free(old);
}

int errgroup_set_limit(struct errgroup *g, int n)
{
	int ret = 0;

	pthread_mutex_lock(&g->lock);
	if (g->active) {
		ret = error_set(-EBUSY, "cannot set the limit: %d tasks active",
		    g->active);
	} else {
		g->limit = n < 0 ? NO_LIMIT : n;
		pthread_cond_broadcast(&g->slot);
	}
	pthread_mutex_unlock(&g->lock);
	return ret;
}

/* The first error stays; it is there before the context says so. */
static void fail(struct errgroup *g, const struct error *err)
{
	bool first;

	pthread_mutex_lock(&g->lock);
	first = !g->failed;
	if (first) {
		g->failed = true;
		g->err = *err;
	}
	pthread_mutex_unlock(&g->lock);
	if (first && g->ctx)
		context_cancel(g->ctx, err);
}

/* The task's last touch of its group. */
static void leave(struct errgroup *g)
{
	pthread_mutex_lock(&g->lock);
	g->active--;
	if (g->wanting)
		pthread_cond_signal(&g->slot);
	if (!g->active) {
		g->rounds++;
		pthread_cond_broadcast(&g->done);
	}
	pthread_mutex_unlock(&g->lock);
}

/*
 * The thread's last error is the outer task's when a waiting thread runs this
 * one, so it is put back.
 */
static void run(struct task *task)
{
	struct errgroup *g = task->group;
	struct error outer = error_thread;
	struct error err;
	int ret;

	error_thread.code = 0;
	ret = task->fn(g->ctx ? g->ctx : context_background(), task->arg);
	assert(ret <= 0);
	if (ret) {
		err = error_of(ret);
		error_origin(&err, task->name);
		fail(g, &err);
	}
	error_thread = outer;
	free(task);
	leave(g);
}

static void begin(struct task *task)
{
	if (task->pending) {
		task->pending = false;
		TAILQ_REMOVE(&task->group->pending, task, link);
	}
}

static void run_job(struct job *job)
{
	struct task *task = (struct task *)job;
	struct errgroup *g = task->group;

	pthread_mutex_lock(&g->lock);
	begin(task);
	pthread_mutex_unlock(&g->lock);
	run(task);
}

static struct task *new_task(struct errgroup *g, const char *name, task_fn *fn,
    void *arg)
{
	struct task *task = malloc(sizeof(*task));

	if (!task)
		return NULL;
	*task =
	    (struct task){.job.run = run_job, .group = g, .fn = fn, .arg = arg};
	snprintf(task->name, sizeof(task->name), "%s", name ? name : "task");
	return task;
}

/* Waits for a slot if it may; false if there is none. */
static bool take_slot(struct errgroup *g, bool may_block)
{
	bool got;

	assert(g->magic == GROUP_MAGIC);
	pthread_mutex_lock(&g->lock);
	g->wanting++;
	while (may_block && g->limit != NO_LIMIT && g->active >= g->limit)
		pthread_cond_wait(&g->slot, &g->lock);
	g->wanting--;
	got = g->limit == NO_LIMIT || g->active < g->limit;
	if (got)
		g->active++;
	pthread_mutex_unlock(&g->lock);
	return got;
}

/* Gives the slot back; a task that was not started is the group's error. */
static int not_started(struct errgroup *g, const char *name, int code)
{
	struct error err;

	error_set(code, "cannot start a task: %.100s", error_plain(code).text);
	err = error_of(code);
	error_origin(&err, name ? name : "task");
	fail(g, &err);
	leave(g);
	return code;
}

static int start(struct errgroup *g, const char *name, task_fn *fn, void *arg,
    bool patient)
{
	struct task *task = new_task(g, name, fn, arg);
	int ret;

	if (!task)
		return -ENOMEM;
	pthread_mutex_lock(&g->lock);
	task->pending = true;
	TAILQ_INSERT_TAIL(&g->pending, task, link);
	pthread_mutex_unlock(&g->lock);
	ret = worker_submit(&task->job, patient);
	if (ret) {
		pthread_mutex_lock(&g->lock);
		begin(task);
		pthread_mutex_unlock(&g->lock);
		free(task);
	}
	return ret;
}

int errgroup_go_named(struct errgroup *g, const char *name, task_fn *fn,
    void *arg)
{
	int ret;

	take_slot(g, true);
	ret = start(g, name, fn, arg, true);
	return ret ? not_started(g, name, ret) : 0;
}

int(errgroup_go)(struct errgroup *g, task_fn *fn, void *arg)
{
	return errgroup_go_named(g, NULL, fn, arg);
}

bool errgroup_try_go_named(struct errgroup *g, const char *name, task_fn *fn,
    void *arg)
{
	if (!take_slot(g, false))
		return false;
	if (start(g, name, fn, arg, false)) {
		leave(g);
		return false;
	}
	return true;
}

bool(errgroup_try_go)(struct errgroup *g, task_fn *fn, void *arg)
{
	return errgroup_try_go_named(g, NULL, fn, arg);
}

static void unpark(void *arg)
{
	struct task *task = arg;
	struct errgroup *g = task->group;
	struct context_after *parked;

	/* go_after holds the lock until it has put the handle there. */
	pthread_mutex_lock(&g->lock);
	parked = task->parked;
	pthread_mutex_unlock(&g->lock);
	context_after_stop(&parked);
	run(task);
}

int errgroup_go_after(struct errgroup *g, struct context *when,
    const char *name, task_fn *fn, void *arg)
{
	struct task *task;
	int ret = -ENOMEM;

	take_slot(g, true);
	task = new_task(g, name, fn, arg);
	if (!task)
		return not_started(g, name, ret);
	pthread_mutex_lock(&g->lock);
	task->parked =
	    context_after(when ? when : context_background(), unpark, task);
	ret = task->parked ? 0 : -errno;
	pthread_mutex_unlock(&g->lock);
	if (!ret)
		return 0;
	free(task);
	return not_started(g, name, ret);
}

/* Under the lock: the first task that no thread has, to be run here. */
static struct task *take_pending(struct errgroup *g)
{
	struct task *task = TAILQ_FIRST(&g->pending);

	if (!task || !worker_take_back(&task->job))
		return NULL;
	begin(task);
	return task;
}

int errgroup_wait(struct errgroup *g, struct error *err)
{
	struct error result = {0};
	unsigned round;

	pthread_mutex_lock(&g->lock);
	round = g->rounds;
	while (g->active && g->rounds == round) {
		struct task *task = take_pending(g);

		if (!task) {
			pthread_cond_wait(&g->done, &g->lock);
			continue;
		}
		pthread_mutex_unlock(&g->lock);
		run(task);
		pthread_mutex_lock(&g->lock);
	}
	if (g->failed)
		result = g->err;
	pthread_mutex_unlock(&g->lock);
	if (g->ctx)
		context_cancel(g->ctx, result.code ? &result : NULL);
	if (err)
		*err = result;
	return result.code;
}
