/*
 * Groups of tasks.
 *
 * Design notes. `started` and `ended` count tasks, ever; the difference is
 * active. A task is started, under the lock, before it can be taken, and ended
 * when it has returned and its error, if any, was recorded and has cancelled
 * the context (G3): so wait cannot return before (G5), and when it returns the
 * slot is free (G12). Tasks are pushed under the lock and taken without (see
 * tasks.c); without a limit, a thread that runs several tells the end of all
 * that it has run when it finds no more, since nobody waits for less.
 *
 * Whoever runs tasks of a group visits it, or waits for it, or holds it for a
 * parked task; errgroup_free waits for the visitors to leave. So the end of a
 * task need not be the last that its thread does to the group: a worker that
 * has found no more stays for a moment, awake. At a limit the next task is
 * likely to come at once, and to go back to the pool would cost ten times as
 * much as a task. Without, what comes is left alone for STILL_NS, since who
 * has pushed it may be about to wait, and would run it himself.
 *
 * A thread that waits for the group takes from the queue what no other has
 * taken, and runs it: the task would have to be waited for anyhow, since it was
 * the first of the queue before the group was seen to be busy, and still is: so
 * the group was not idle in between. It waits
 * for all to have ended at once, or for `idle_at`, as many had ended at once
 * before another one was started, to reach the number that was started when it
 * came; so a group that is busy again at once lets go those who waited for the
 * tasks before. `ended` is read before `started`: both grow, so if they are
 * equal, all had ended at the time of the second read.
 *
 * Waiters, and goers (those that wait for a slot), wait awake for a moment, and
 * then asleep. While a goer is awake, none of the others is woken for each slot
 * that frees: the one awake takes it. Whoever goes on and leaves a slot behind
 * hands it on to one that sleeps, at the pool's next look if more may come from
 * here at once; and now and then one is woken all the same, so none starves.
 *
 * No wake-up is lost: who sleeps says so (`asleep`, `waiting`) before he looks
 * for the last time, and who ends a task looks for sleepers after it has ended;
 * all sequentially consistent. `asleep` goes down only under the lock, by who
 * wakes; how many were told is counted, so that who wakes for another reason
 * sleeps on. What they sleep on is read before the last look, or under the lock
 * that is needed to change it. tests/model/group.pml is a model of this.
 *
 * Lock order: the pool's, then the queue's; so nothing of the pool is called
 * with the queue's lock held but what says so.
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
	BATCH = 64, /* tasks in a row, before others get a look */
	FAIR = 1024, /* one in as many slots is for who sleeps */
	BLOCK_MAX = 64 /* parked tasks */
};

/* A task that is not queued, but waits for a context. */
struct parked {
	struct job job;
	struct errgroup *group;
	struct task task;
};

/* Memory for them, until the group is freed; each is larger than the last. */
struct block {
	struct block *next;
	int count;
	struct parked parked[];
};

struct errgroup {
	struct worker_queue queue; /* its lock guards what goers change */
	alignas(LINE) _Atomic uint64_t started; /* tasks, ever */
	_Atomic uint64_t idle_at; /* as many had all ended at some time */
	alignas(LINE) _Atomic uint64_t ended; /* of those that were started */
	atomic_int waiting; /* waiters that sleep */
	atomic_int rounds, slots; /* what they sleep on */
	/* what changes rarely */
	alignas(LINE) atomic_int limit;
	int told; /* goers that sleep, or wake up just now */
	unsigned magic;
	atomic_bool failed;
	struct context *ctx; /* NULL for a plain group */
	void (*starving)(void *arg, const struct error *err);
	void *starving_arg;
	struct job_list
	    spare; /* parked tasks to be used again, of the blocks */
	struct block *blocks;
	void *base; /* of the group, as malloc has given it */
	struct error err;
};

static const struct worker_queue_type queue_type;

struct errgroup *errgroup_new(void)
{
	void *base = malloc(sizeof(struct errgroup) + LINE);
	struct errgroup *g;

	if (!base)
		return NULL;
	g = tasks_line(base);
	worker_queue_init(&g->queue, &queue_type);
	atomic_init(&g->started, 0);
	atomic_init(&g->idle_at, 0);
	atomic_init(&g->ended, 0);
	atomic_init(&g->waiting, 0);
	atomic_init(&g->rounds, 0);
	atomic_init(&g->slots, 0);
	atomic_init(&g->limit, NO_LIMIT);
	g->told = 0;
	g->magic = GROUP_MAGIC;
	atomic_init(&g->failed, false);
	g->ctx = NULL;
	g->starving = NULL;
	TAILQ_INIT(&g->spare);
	g->blocks = NULL;
	g->base = base;
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

/* Reads ended first: 0 means that none was, at some time after the call. */
static uint64_t active(struct errgroup *g)
{
	uint64_t ended = atomic_load(&g->ended);

	return atomic_load(&g->started) - ended;
}

static bool is_full(struct errgroup *g)
{
	return active(g) >=
	       (uint64_t)atomic_load_explicit(&g->limit, memory_order_relaxed);
}

static void sleep_on(atomic_int *word, int seen)
{
	worker_block();
	futex_wait(word, seen, NULL);
	worker_unblock();
}

void errgroup_free(struct errgroup **g)
{
	struct errgroup *old = *g;
	struct block *block;

	if (!old)
		return;
	*g = NULL;
	assert(old->magic == GROUP_MAGIC && !active(old));
	worker_queue_fini(&old->queue);
	context_free(&old->ctx);
	while ((block = old->blocks)) {
		old->blocks = block->next;
		free(block);
	}
	old->magic = 0;
	free(old->base);
}

int errgroup_set_limit(struct errgroup *g, int n)
{
	int ret = 0;

	lock(g);
	if (active(g)) {
		ret =
		    error_set(-EBUSY, "cannot set the limit: tasks are active");
	} else {
		g->limit = n < 0 ? NO_LIMIT : n;
		if (g->queue.asleep) {
			g->told += atomic_exchange(&g->queue.asleep, 0);
			futex_ring(&g->slots, INT_MAX);
		}
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
		g->err = *err;
		g->failed = true;
	}
	unlock(g);
	if (first && g->ctx)
		context_cancel(g->ctx, err);
}

static const char *name_of(const struct task *task)
{
	return task->name ? task->name : task->text;
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

/*
 * With the lock held: a task is active. If none was, those who wait need not
 * wait for this one.
 */
static void begin(struct errgroup *g)
{
	uint64_t started =
	    atomic_load_explicit(&g->started, memory_order_relaxed);

	if (started && started == atomic_load(&g->ended)) {
		atomic_exchange(&g->idle_at, started);
		if (atomic_load(&g->waiting))
			futex_ring(&g->rounds, INT_MAX);
	}
	atomic_store_explicit(&g->started, started + 1, memory_order_release);
}

/* With the lock held: a goer that sleeps, if there is one, has a slot. */
static void tell_goer(struct errgroup *g)
{
	if (!g->queue.asleep || is_full(g))
		return;
	g->queue.asleep--;
	g->told++;
	futex_ring(&g->slots, 1);
}

/*
 * Tasks have ended, by a visitor or a waiter. While one of the goers is awake, it
 * takes the slot.
 */
static void end(struct errgroup *g, int count)
{
	uint64_t ended =
	    atomic_fetch_add(&g->ended, (uint64_t)count) + (uint64_t)count;
	int asleep;

	asleep = atomic_load(&g->queue.asleep);
	if (asleep && (asleep == atomic_load(&g->queue.wanted) ||
			  !(tasks_taken(&g->queue.tasks) % FAIR))) {
		lock(g);
		tell_goer(g);
		unlock(g);
	}
	if (atomic_load(&g->waiting) && ended == atomic_load(&g->started))
		futex_ring(&g->rounds, INT_MAX);
}

/* Apart, so that tasks that do not fail need less of the stack. */
__attribute__((noinline)) static void task_failed(struct errgroup *g,
    const struct task *task, int code)
{
	struct error err = error_of(code);

	error_origin(&err, name_of(task));
	fail(g, &err);
}

static void call(struct errgroup *g, const struct task *task)
{
	int ret = task->fn(g->ctx ? g->ctx : context_background(), task->arg);

	assert(ret <= 0);
	if (ret)
		task_failed(g, task, ret);
	error_thread.code = 0;
}

/*
 * The thread's last error is the outer task's when a waiting thread runs this
 * one, so it is put back.
 */
__attribute__((noinline)) static void call_within(struct errgroup *g,
    const struct task *task)
{
	struct error outer = error_of(error_thread.code);

	error_thread.code = 0;
	call(g, task);
	error_set(outer.code, "%s", outer.text);
}

static void run(struct errgroup *g, const struct task *task)
{
	if (error_thread.code)
		call_within(g, task);
	else
		call(g, task);
}

/*
 * For a worker that has found no task more, as a visitor: waits awake for one
 * that nobody else runs; false if there is none. At a limit it is likely to
 * come at once. Apart, for the stack's sake, too.
 */
__attribute__((noinline)) static bool stay(struct errgroup *g)
{
	struct tasks *tasks = &g->queue.tasks;
	bool is_limited = g->limit != NO_LIMIT, found = false;
	int64_t still_since_ns = 0;
	uint64_t taken = 0;
	struct spin spin;

	if (!spin_begin(&spin))
		return false;
	while (!found && !worker_queue_ends(&g->queue) && spin_more(&spin)) {
		if (!tasks_any(tasks))
			continue;
		if (taken != tasks_taken(tasks) || !still_since_ns) {
			taken = tasks_taken(tasks);
			still_since_ns = spin.now_ns;
		}
		found = is_limited || spin.now_ns - still_since_ns >= STILL_NS;
	}
	spin_end(&spin);
	return found;
}

/* Runs tasks that are queued, from a first one on. */
static void run_queue(struct worker_queue *queue, struct task *task)
{
	struct errgroup *g = (struct errgroup *)queue;
	bool found = true;
	int ended = 0;

	for (int n = 1; found; n++) {
		bool is_batch = n % BATCH == 0;

		run(g, task);
		ended++;
		if (is_batch || g->limit != NO_LIMIT) {
			end(g, ended);
			ended = 0;
		}
		if (is_batch && worker_has_others())
			return;
		found = tasks_take(&queue->tasks, task);
		if (found)
			continue;
		if (ended)
			end(g, ended);
		ended = 0;
		found = stay(g) && tasks_take(&queue->tasks, task);
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

static void queue_starved(struct worker_queue *queue, int code)
{
	struct errgroup *g = (struct errgroup *)queue;
	void (*starving)(void *arg, const struct error *err);
	struct task task;
	struct error err;
	bool is_there;
	void *arg;

	lock(g);
	is_there = tasks_peek(&queue->tasks, &task);
	starving = g->starving;
	arg = g->starving_arg;
	unlock(g);
	if (!is_there)
		return;
	err = not_started(g, name_of(&task), code);
	if (starving)
		starving(arg, &err);
}

static void queue_overdue(struct worker_queue *queue)
{
	tell_goer((struct errgroup *)queue);
}

static const struct worker_queue_type queue_type = {.run = run_queue,
    .starved = queue_starved,
    .overdue = queue_overdue};

static void fill(struct task *task, const char *name, bool copy, task_fn *fn,
    void *arg)
{
	size_t length;

	task->fn = fn;
	task->arg = arg;
	task->name = name ? name : "task";
	if (!copy || !name)
		return;
	length = strnlen(name, sizeof(task->text) - 1);
	memcpy(task->text, name, length);
	task->text[length] = '\0';
	task->name = NULL;
}

/* With the lock held, until a goer that is told to go on. */
static void sleep_for_slot(struct errgroup *g)
{
	atomic_fetch_add(&g->queue.asleep, 1);
	if (!is_full(g)) {
		g->queue.asleep--;
		return;
	}
	do {
		int seen = atomic_load(&g->slots);

		unlock(g);
		sleep_on(&g->slots, seen);
		lock(g);
	} while (!g->told);
	g->told--;
}

/* With the lock held: waits for a slot, awake for a moment if nobody else is. */
static void wait_for_slot(struct errgroup *g)
{
	struct spin spin;

	atomic_fetch_add(&g->queue.wanted, 1);
	while (is_full(g)) {
		if (g->queue.wanted - g->queue.asleep == 1 &&
		    spin_begin(&spin)) {
			unlock(g);
			while (is_full(g) && spin_more(&spin))
				;
			spin_end(&spin);
			lock(g);
			if (!is_full(g))
				break;
		}
		sleep_for_slot(g);
	}
	atomic_fetch_sub(&g->queue.wanted, 1);
}

/*
 * With the lock held, by a goer that goes on: a slot that it leaves is another
 * one's, who was not told of it while this one was awake. If more may come from
 * here at once, that is soon enough when the pool looks.
 */
static void leave_slots(struct errgroup *g)
{
	if (!atomic_load(&g->queue.asleep) || is_full(g))
		return;
	if (g->queue.listed && !worker_is_short())
		g->queue.overdue = true;
	else
		tell_goer(g);
}

/*
 * Queues a task, once there is a slot and somebody who looks after the queue.
 * Both may be gone again when the other one has come.
 */
static int start(struct errgroup *g, const char *name, bool copy, task_fn *fn,
    void *arg, bool may_block)
{
	struct task *task;
	int ret = 0;

	assert(g->magic == GROUP_MAGIC);
	lock(g);
	for (;;) {
		if (is_full(g)) {
			if (!may_block) {
				ret = -EBUSY;
				break;
			}
			wait_for_slot(g);
		}
		if (g->queue.listed && !worker_is_short())
			break;
		ret = worker_list(&g->queue);
		if (ret || !is_full(g))
			break;
	}
	task = ret ? NULL : tasks_next(&g->queue.tasks);
	if (task) {
		fill(task, name, copy, fn, arg);
		begin(g);
		tasks_push(&g->queue.tasks);
	} else if (!ret) {
		ret = -ENOMEM;
	}
	leave_slots(g);
	unlock(g);
	return ret;
}

int errgroup_go_literal(struct errgroup *g, const char *name, task_fn *fn,
    void *arg)
{
	int ret = start(g, name, false, fn, arg, true);

	if (ret)
		not_started(g, name, ret);
	return ret;
}

int errgroup_go_named(struct errgroup *g, const char *name, task_fn *fn,
    void *arg)
{
	int ret = start(g, name, true, fn, arg, true);

	if (ret)
		not_started(g, name, ret);
	return ret;
}

int(errgroup_go)(struct errgroup *g, task_fn *fn, void *arg)
{
	return errgroup_go_literal(g, NULL, fn, arg);
}

bool errgroup_try_go_named(struct errgroup *g, const char *name, task_fn *fn,
    void *arg)
{
	return !start(g, name, true, fn, arg, false);
}

bool(errgroup_try_go)(struct errgroup *g, task_fn *fn, void *arg)
{
	return !start(g, NULL, false, fn, arg, false);
}

/* With the lock held. */
static bool add_block(struct errgroup *g)
{
	int count = !g->blocks			       ? 1
		    : 4 * g->blocks->count < BLOCK_MAX ? 4 * g->blocks->count
						       : BLOCK_MAX;
	struct block *block =
	    malloc(sizeof(*block) + (size_t)count * sizeof(block->parked[0]));

	if (!block)
		return false;
	block->count = count;
	block->next = g->blocks;
	g->blocks = block;
	for (int i = 0; i < count; i++)
		TAILQ_INSERT_TAIL(&g->spare, &block->parked[i].job, link);
	return true;
}

/* With the lock held. */
static struct parked *new_parked(struct errgroup *g)
{
	struct parked *parked;

	if (TAILQ_EMPTY(&g->spare) && !add_block(g))
		return NULL;
	parked = (struct parked *)TAILQ_FIRST(&g->spare);
	TAILQ_REMOVE(&g->spare, &parked->job, link);
	parked->group = g;
	return parked;
}

static void end_parked(struct parked *parked)
{
	struct errgroup *g = parked->group;

	lock(g);
	TAILQ_INSERT_HEAD(&g->spare, &parked->job, link);
	unlock(g);
	end(g, 1);
	worker_leave(&g->queue);
}

static void run_parked(struct job *job)
{
	struct parked *parked = (struct parked *)job;

	run(parked->group, &parked->task);
	end_parked(parked);
}

int errgroup_go_after(struct errgroup *g, struct context *when,
    const char *name, task_fn *fn, void *arg)
{
	struct parked *parked;
	int ret = -ENOMEM;

	lock(g);
	if (is_full(g))
		wait_for_slot(g);
	parked = new_parked(g);
	if (parked) {
		fill(&parked->task, name, true, fn, arg);
		parked->job.run = run_parked;
		begin(g);
		worker_visit(&g->queue);
	}
	leave_slots(g);
	unlock(g);
	if (parked)
		ret = context_after_job(when ? when : context_background(),
		    &parked->job);
	if (!ret)
		return 0;
	not_started(g, name, ret);
	if (parked)
		end_parked(parked);
	return ret;
}

/* Whether a task of the first so many may not have ended. */
static bool is_busy(struct errgroup *g, uint64_t started)
{
	return active(g) && atomic_load(&g->idle_at) < started;
}

/* No task is queued: waits for a change, awake for a moment. */
static void wait_for_end(struct errgroup *g, uint64_t started)
{
	struct spin spin;
	int seen;

	if (spin_begin(&spin)) {
		while (is_busy(g, started) && !tasks_any(&g->queue.tasks) &&
		       spin_more(&spin))
			;
		spin_end(&spin);
	}
	seen = atomic_load(&g->rounds);
	atomic_fetch_add(&g->waiting, 1);
	if (is_busy(g, started) && !tasks_count(&g->queue.tasks))
		sleep_on(&g->rounds, seen);
	atomic_fetch_sub(&g->waiting, 1);
}

int errgroup_wait(struct errgroup *g, struct error *err)
{
	uint64_t started = atomic_load(&g->started);
	struct claim claim;
	struct task task;
	int ended = 0, ret;

	for (;;) {
		bool found = tasks_first(&g->queue.tasks, &claim);

		if (!is_busy(g, started))
			break;
		if (found) {
			if (!tasks_claim(&g->queue.tasks, &claim, &task))
				continue;
			run(g, &task);
			ended++;
			if (ended < BATCH && g->limit == NO_LIMIT)
				continue;
		}
		if (ended)
			end(g, ended);
		else
			wait_for_end(g, started);
		ended = 0;
	}
	assert(!ended);
	ret = g->failed ? g->err.code : 0;
	if (g->ctx)
		context_cancel(g->ctx, ret ? &g->err : NULL);
	if (err && ret)
		*err = g->err;
	else if (err)
		*err = (struct error){0};
	return ret;
}
