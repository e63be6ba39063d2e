/*
 * Groups of tasks.
 *
 * Design notes. The lock of a group's queue guards the group. A task is active
 * from the moment it is queued until it has returned and its error, if any, was
 * recorded and has cancelled the context (G3): only then does the count go down,
 * so wait cannot return before (G5), and when it returns the slot is free (G12).
 * The count's way down is the last that a task does to its group; the group may
 * be freed once the lock is let go.
 *
 * A thread that waits for the group takes from the queue what no other has
 * taken, and runs it: the task would have to be waited for anyhow. A worker
 * that has ended a task takes the next one in the same hold of the lock, but
 * after BATCH goes back to the pool, for other groups.
 *
 * A waiter waits for the count to be 0 or for `rounds` to have moved, so that
 * a group that is busy again at once lets go those who waited for the round
 * before. Waiters, and those that wait for a slot, do so awake for a moment,
 * and then asleep. While one is awake for a slot, none of the others is woken
 * for each slot that frees: the one awake takes it. Another is woken at the
 * pool's next look if one is left, and now and then all the same, so that none
 * starves.
 *
 * No wake-up is lost: counts change, and `done` and `slot` are signalled, in
 * one hold of the lock. Lock order: the pool's, then the queue's; so nothing of
 * the pool is called with the queue's lock held but what says so.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <cratos/errgroup.h>

#include "errgroup/after.h"
#include "errgroup/error_thread.h"
#include "errgroup/futex.h"
#include "errgroup/starving.h"
#include "errgroup/worker.h"

enum {
	GROUP_MAGIC = 0x47727021,
	NO_LIMIT = INT_MAX,
	BATCH = 64, /* tasks in a row */
	FAIR = 1024, /* one in as many slots is for who sleeps */
	BLOCK_MAX = 256 /* tasks */
};

struct task {
	struct job job;
	struct errgroup *group;
	task_fn *fn;
	void *arg;
	char name[sizeof(((struct error *)0)->origin)];
};

/* Memory for tasks, until the group is freed; each is larger than the last. */
struct block {
	struct block *next;
	int count;
	struct task tasks[];
};

struct errgroup {
	unsigned magic;
	struct context *ctx; /* NULL for a plain group */
	struct worker_queue queue; /* its lock guards what follows */
	int limit;
	atomic_int active; /* may be looked at without the lock */
	int sleeping; /* goers that sleep, of those of queue.wanted */
	unsigned freed; /* slots, ever */
	int waiting; /* waiters that sleep */
	bool failed;
	atomic_int rounds, slots; /* what they sleep on */
	void (*starving)(void *arg, const struct error *err);
	void *starving_arg;
	struct job_list spare; /* tasks to be used again, of the blocks */
	struct block *blocks;
	struct error err;
};

struct errgroup *errgroup_new(void)
{
	struct errgroup *g = malloc(sizeof(*g));

	if (!g)
		return NULL;
	g->magic = GROUP_MAGIC;
	g->ctx = NULL;
	worker_queue_init(&g->queue);
	g->limit = NO_LIMIT;
	atomic_init(&g->active, 0);
	g->sleeping = 0;
	g->freed = 0;
	g->waiting = 0;
	atomic_init(&g->rounds, 0);
	atomic_init(&g->slots, 0);
	g->failed = false;
	g->starving = NULL;
	TAILQ_INIT(&g->spare);
	g->blocks = NULL;
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

static void lock(struct errgroup *g)
{
	lock_take(&g->queue.lock);
}

static void unlock(struct errgroup *g)
{
	lock_leave(&g->queue.lock);
}

/* With the lock held, which it lets go meanwhile: sleeps until word changes. */
static void sleep_on(struct errgroup *g, atomic_int *word)
{
	int seen = atomic_load_explicit(word, memory_order_relaxed);

	unlock(g);
	worker_block();
	futex_wait(word, seen, NULL);
	worker_unblock();
	lock(g);
}

void errgroup_free(struct errgroup **g)
{
	struct errgroup *old = *g;
	struct block *block;

	if (!old)
		return;
	*g = NULL;
	assert(old->magic == GROUP_MAGIC);
	context_free(&old->ctx);
	worker_queue_fini(&old->queue);
	assert(!old->active);
	while ((block = old->blocks)) {
		old->blocks = block->next;
		free(block);
	}
	old->magic = 0;
	free(old);
}

int errgroup_set_limit(struct errgroup *g, int n)
{
	int ret = 0;

	lock(g);
	if (g->active) {
		ret = error_set(-EBUSY, "cannot set the limit: %d tasks active",
		    g->active);
	} else {
		g->limit = n < 0 ? NO_LIMIT : n;
		futex_ring(&g->slots, INT_MAX);
	}
	unlock(g);
	return ret;
}

/* The first error stays; it is there before the context says so. */
static void fail(struct errgroup *g, const struct error *err)
{
	bool first;

	lock(g);
	first = !g->failed;
	if (first) {
		g->failed = true;
		g->err = *err;
	}
	unlock(g);
	if (first && g->ctx)
		context_cancel(g->ctx, err);
}

/* A task that was not started, or not in time, is the group's error. */
static struct error not_started(struct errgroup *g, const char *name, int code)
{
	struct error err;

	error_set(code, "cannot start a task: %.100s", error_plain(code).text);
	err = error_of(code);
	error_origin(&err, name ? name : "task");
	fail(g, &err);
	return err;
}

/* With the lock held. */
static void add_active(struct errgroup *g, int n)
{
	atomic_store_explicit(&g->active,
	    atomic_load_explicit(&g->active, memory_order_relaxed) + n,
	    memory_order_relaxed);
}

/*
 * With the lock held: a slot is free. While more tasks are queued, and the one
 * to be taken next may be over in no time, too, the goer is not woken for each:
 * but at the latest when the pool looks at the queue.
 */
static void tell_goer(struct errgroup *g, const struct job *next)
{
	worker_eager();
	if (!g->sleeping)
		return;
	if (next && !TAILQ_EMPTY(&g->queue.jobs) && !worker_is_short())
		g->queue.overdue = &g->slots;
	else if (g->sleeping == g->queue.wanted || !(++g->freed % FAIR))
		futex_ring(&g->slots, 1);
}

/*
 * With the lock held: the task's last touch of its group, but for the next one
 * that the caller takes at once.
 */
static struct task *leave(struct errgroup *g, struct task *task, bool take_next)
{
	struct job *next = take_next ? worker_pop(&g->queue) : NULL;

	add_active(g, -1);
	if (task)
		TAILQ_INSERT_HEAD(&g->spare, &task->job, link);
	if (g->queue.wanted)
		tell_goer(g, next);
	if (!g->active) {
		atomic_fetch_add_explicit(&g->rounds, 1, memory_order_relaxed);
		if (g->waiting)
			futex_wake_all(&g->rounds);
	}
	return (struct task *)next;
}

/*
 * The thread's last error is the outer task's when a waiting thread runs this
 * one, so it is put back.
 */
static void run(struct task *task)
{
	struct errgroup *g = task->group;
	int outer_code = error_thread.code, ret;
	struct error outer, err;

	if (outer_code)
		outer = error_thread;
	error_thread.code = 0;
	ret = task->fn(g->ctx ? g->ctx : context_background(), task->arg);
	assert(ret <= 0);
	if (ret) {
		err = error_of(ret);
		error_origin(&err, task->name);
		fail(g, &err);
	}
	if (outer_code)
		error_thread = outer;
	else
		error_thread.code = 0;
}

static void run_job(struct job *job)
{
	struct task *task = (struct task *)job;
	struct errgroup *g = task->group;

	for (int left = BATCH; task; left--) {
		run(task);
		lock(g);
		task = leave(g, task, left > 1);
		unlock(g);
	}
}

void errgroup_on_starving(struct errgroup *g,
    void (*fn)(void *arg, const struct error *err), void *arg)
{
	lock(g);
	g->starving = fn;
	g->starving_arg = arg;
	unlock(g);
}

static void job_starved(struct job *job, int code)
{
	struct task *task = (struct task *)job;
	struct errgroup *g = task->group;
	struct error err = not_started(g, task->name, code);

	if (g->starving)
		g->starving(g->starving_arg, &err);
}

/* With the lock held. */
static bool add_block(struct errgroup *g)
{
	int count = !g->blocks			       ? 1
		    : 4 * g->blocks->count < BLOCK_MAX ? 4 * g->blocks->count
						       : BLOCK_MAX;
	struct block *block =
	    malloc(sizeof(*block) + (size_t)count * sizeof(block->tasks[0]));

	if (!block)
		return false;
	block->count = count;
	block->next = g->blocks;
	g->blocks = block;
	for (int i = 0; i < count; i++)
		TAILQ_INSERT_TAIL(&g->spare, &block->tasks[i].job, link);
	return true;
}

/* With the lock held. */
static struct task *new_task(struct errgroup *g, const char *name, task_fn *fn,
    void *arg)
{
	struct task *task;
	size_t length;

	if (TAILQ_EMPTY(&g->spare) && !add_block(g))
		return NULL;
	task = (struct task *)TAILQ_FIRST(&g->spare);
	TAILQ_REMOVE(&g->spare, &task->job, link);
	if (!name)
		name = "task";
	length = strnlen(name, sizeof(task->name) - 1);
	memcpy(task->name, name, length);
	task->name[length] = '\0';
	task->job.run = run_job;
	task->job.starved = job_starved;
	task->group = g;
	task->fn = fn;
	task->arg = arg;
	return task;
}

/* With the lock held: waits for a slot, awake for a moment. */
static void wait_for_slot(struct errgroup *g)
{
	struct spin spin;
	int limit;

	g->queue.wanted++;
	while (g->active >= (limit = g->limit)) {
		if (g->queue.wanted - g->sleeping == 1 && spin_begin(&spin)) {
			unlock(g);
			while (atomic_load_explicit(&g->active,
				   memory_order_relaxed) >= limit &&
			       spin_more(&spin))
				;
			spin_end();
			lock(g);
			if (g->active < g->limit)
				break;
		}
		g->sleeping++;
		sleep_on(g, &g->slots);
		g->sleeping--;
	}
	g->queue.wanted--;
}

/*
 * With the lock held, by a goer that goes on: a slot that it leaves is another
 * one's, who was not woken while this one was awake.
 */
static void leave_slots(struct errgroup *g)
{
	if (!g->sleeping || g->active >= g->limit)
		return;
	if (g->queue.listed && !worker_is_short())
		g->queue.overdue = &g->slots;
	else
		futex_ring(&g->slots, 1);
}

/*
 * Queues a task, once there is a slot and somebody who looks after the queue.
 * Both may be gone again when the other one has come.
 */
static int start(struct errgroup *g, const char *name, task_fn *fn, void *arg,
    bool may_block)
{
	struct task *task;
	int ret = 0;

	assert(g->magic == GROUP_MAGIC);
	lock(g);
	for (;;) {
		if (g->active >= g->limit) {
			if (!may_block) {
				ret = -EBUSY;
				break;
			}
			wait_for_slot(g);
		}
		if (g->queue.listed && !worker_is_short())
			break;
		ret = worker_list(&g->queue);
		if (ret || g->active < g->limit)
			break;
	}
	task = ret ? NULL : new_task(g, name, fn, arg);
	if (task) {
		worker_push(&g->queue, &task->job);
		add_active(g, 1);
	} else if (!ret) {
		ret = -ENOMEM;
	}
	leave_slots(g);
	unlock(g);
	return ret;
}

int errgroup_go_named(struct errgroup *g, const char *name, task_fn *fn,
    void *arg)
{
	int ret = start(g, name, fn, arg, true);

	if (ret)
		not_started(g, name, ret);
	return ret;
}

int(errgroup_go)(struct errgroup *g, task_fn *fn, void *arg)
{
	return errgroup_go_named(g, NULL, fn, arg);
}

bool errgroup_try_go_named(struct errgroup *g, const char *name, task_fn *fn,
    void *arg)
{
	return !start(g, name, fn, arg, false);
}

bool(errgroup_try_go)(struct errgroup *g, task_fn *fn, void *arg)
{
	return errgroup_try_go_named(g, NULL, fn, arg);
}

static void run_parked(struct job *job)
{
	struct task *task = (struct task *)job;
	struct errgroup *g = task->group;

	run(task);
	lock(g);
	leave(g, task, false);
	unlock(g);
}

int errgroup_go_after(struct errgroup *g, struct context *when,
    const char *name, task_fn *fn, void *arg)
{
	struct task *task;
	int ret = -ENOMEM;

	lock(g);
	if (g->active >= g->limit)
		wait_for_slot(g);
	task = new_task(g, name, fn, arg);
	if (task)
		add_active(g, 1);
	leave_slots(g);
	unlock(g);
	if (task) {
		task->job.run = run_parked;
		task->job.starved = NULL; /* it is in no hurry */
		ret = context_after_job(when ? when : context_background(),
		    &task->job);
	}
	if (!ret)
		return 0;
	not_started(g, name, ret);
	lock(g);
	if (task)
		leave(g, task, false);
	unlock(g);
	return ret;
}

/* With the lock held, nothing queued: waits for a change, awake for a moment. */
static void wait_for_end(struct errgroup *g, int round)
{
	struct spin spin;

	if (spin_begin(&spin)) {
		unlock(g);
		while (atomic_load_explicit(&g->active, memory_order_relaxed) &&
		       !atomic_load_explicit(&g->queue.count,
			   memory_order_relaxed) &&
		       spin_more(&spin))
			;
		spin_end();
		lock(g);
	}
	if (!g->active || g->rounds != round || g->queue.count)
		return;
	g->waiting++;
	sleep_on(g, &g->rounds);
	g->waiting--;
}

int errgroup_wait(struct errgroup *g, struct error *err)
{
	struct task *task = NULL;
	int round, ret;

	lock(g);
	round = g->rounds;
	while (g->active && g->rounds == round) {
		if (!task)
			task = (struct task *)worker_pop(&g->queue);
		if (!task) {
			wait_for_end(g, round);
			continue;
		}
		unlock(g);
		run(task);
		lock(g);
		task = leave(g, task, g->rounds == round);
	}
	ret = g->failed ? g->err.code : 0;
	unlock(g);
	if (g->ctx)
		context_cancel(g->ctx, ret ? &g->err : NULL);
	if (err && ret)
		*err = g->err;
	else if (err)
		*err = (struct error){0};
	return ret;
}
