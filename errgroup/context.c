/*
 * Contexts.
 *
 * Design notes. The contexts made from the background context, and those made
 * by context_without_cancel, are roots: an end never reaches them from above. A
 * root and all that ends with it are a tree, and one lock, the root's, guards
 * the whole tree: links, causes, afters, descriptors, references. So cancelling
 * is one walk in one hold of the lock: when it lets go, all descendants are done
 * (C4); a child is linked either before the walk, and found, or after it, and
 * born done (C19); a second canceller waits for the lock, hence for the walk
 * (C23); and cancels up and down a tree cannot deadlock (C20). The walk is a
 * loop, so depth costs no stack.
 *
 * `err` is also a futex word. It is written once, last, under the lock
 * (release), and read without (acquire): whoever sees it set sees the cause. No
 * wake-up is lost: a waiter counts itself in `waiters` under the lock, unless
 * the context is done already. So the walk, which comes after, sees it and wakes
 * it; and the kernel compares err again before it sleeps. A waiter that sees err
 * set touches the context no more.
 *
 * A cause is not copied down the tree. `cause` points to a constant, or to
 * what `given` of the context that was cancelled with one points to: an ancestor,
 * or the context itself, which is there for as long as its descendants are. The
 * room for it is part of a context that is made to be cancelled, so that this
 * cannot fail for want of memory; unless it is used, it is never touched. A context
 * with a value, or one that only parks jobs, is small, and gets room when it is
 * cancelled with a cause all the same, or else says that it was lost.
 *
 * An after is linked while its context is live, and posted by the walk; so it is
 * prevented if it is stopped, under the lock, before err is set, and not if it
 * is stopped after that (C18). Each handle is stopped once, so the walk need not
 * tell every single one. The memory of an after is freed by the later of the
 * stop and the call's return: each takes its `ctx`, and who finds that taken is
 * the later. The handle's reference to the context lasts until the stop; so the
 * call leaves the pointer in `arg` (release), where the stop finds it (acquire).
 * A job of context_after_job is linked likewise, but needs no reference.
 *
 * Lifetime. `refs` counts the maker, each child (which needs its parent for
 * values, the cause and the lock), each after's handle, and an armed timer. All
 * of them change it under the lock, so that is a plain addition. A context that
 * is linked into its tree has its maker's reference still: freeing passes the
 * lock and unlinks first. Hence the walk may drop a timer's reference in place.
 * An unlinked context that is done is not touched by any walk again.
 *
 * A root that has its maker's reference only, no descriptor that may have been
 * handed on, and nothing to be run after it, is freed without the lock, and
 * without being made done: nobody else has a way to it. Whoever had one gave it up
 * under the lock: refs of 1 (release, acquire) says that this has begun, and the
 * lock, free after that, that it has ended; who lets go of a lock does not touch
 * it any more. Nor can a reference be added meanwhile: only who has one can make
 * another. For any other context the walk of an ancestor is a way to it, so it
 * takes the lock.
 *
 * A new root is not locked either, for nobody knows it yet.
 *
 * Lock order: a tree's lock, then the timers'. Two trees' are never held at a
 * time. Functions of context_after are given to the pool after the lock was let
 * go, since that may take a while.
 */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include <cratos/context.h>

#include "errgroup/after.h"
#include "errgroup/clock.h"
#include "errgroup/futex.h"
#include "errgroup/lock.h"
#include "errgroup/timer.h"
#include "errgroup/worker.h"

enum { CONTEXT_MAGIC = 0x43747821, NO_FD = -1 };

struct context_after {
	struct job job; /* its link is the context's until it is posted */
	_Atomic(struct context *) ctx; /* NULL: one of two has let go */
	void (*fn)(void *arg);
	void *arg; /* once fn has returned, ctx */
};

LIST_HEAD(context_list, context);

struct context {
	atomic_int err; /* first: see context_err */
	unsigned magic;
	/* constant after creation */
	struct context *parent, *root;
	const void *key;
	void *value;
	int64_t deadline_ms;
	bool has_deadline, roomy; /* roomy: given was made with it */
	/* guarded by root->lock */
	bool linked;
	bool timed; /* its timer was armed */
	int fd;
	int waiters;
	atomic_int refs; /* of a root, also read without */
	struct lock lock; /* of a root only */
	LIST_ENTRY(context) sibling; /* of the parent, or of a walk */
	struct context_list children;
	struct job_list afters;
	struct timer timer;
	const struct error *cause; /* constant once err is set */
	struct error *given; /* room for a cause, or NULL */
};

static_assert(offsetof(struct context, err) == 0 &&
		  sizeof(atomic_int) == sizeof(int),
    "as context_err reads it");

struct roomy_context {
	struct context base;
	struct error given;
};

static struct context background = {.magic = CONTEXT_MAGIC,
    .refs = 1,
    .root = &background,
    .fd = NO_FD,
    .afters = TAILQ_HEAD_INITIALIZER(background.afters)};

static const struct error canceled = {.code = -ECANCELED, .text = "canceled"},
			  timed_out = {.code = -ETIMEDOUT,
			      .text = "deadline exceeded"},
			  lost = {.code = -ECANCELED,
			      .text = "canceled; no memory for the cause"};

struct context *context_background(void)
{
	return &background;
}

static void lock_tree(const struct context *ctx)
{
	assert(ctx->magic == CONTEXT_MAGIC);
	lock_take(&ctx->root->lock);
}

static void unlock_tree(const struct context *ctx)
{
	lock_leave(&ctx->root->lock);
}

/* Under the tree's lock: n references more; returns how many there are. */
static int ref(struct context *ctx, int n)
{
	int refs = atomic_load_explicit(&ctx->refs, memory_order_relaxed) + n;

	atomic_store_explicit(&ctx->refs, refs, memory_order_release);
	return refs;
}

/* Returns the parent. */
static struct context *destroy(struct context *ctx)
{
	struct context *parent = ctx->parent;

	assert(!ctx->linked && TAILQ_EMPTY(&ctx->afters));
	if (ctx->fd != NO_FD)
		close(ctx->fd);
	ctx->magic = 0;
	if (!ctx->roomy)
		free(ctx->given);
	free(ctx);
	return parent;
}

/*
 * Under the tree's lock, which it lets go: gives up a reference to ctx, and
 * frees what then has none, from ctx upwards. The parent of a root is in
 * another tree.
 */
static void unref_and_unlock(struct context *ctx)
{
	for (;;) {
		struct context *root = ctx->root, *above = root->parent;
		struct context *alive = ctx;

		while (alive != above && !ref(alive, -1))
			alive = alive->parent;
		lock_leave(&root->lock);
		while (ctx != alive)
			ctx = destroy(ctx);
		if (ctx != above || ctx == &background)
			return;
		lock_tree(ctx);
	}
}

static void mark_done(struct context *ctx, int err, const struct error *cause,
    struct job_list *fired)
{
	ctx->linked = false;
	ctx->cause = cause;
	atomic_store_explicit(&ctx->err, err, memory_order_release);
	if (ctx->waiters)
		futex_wake_all(&ctx->err);
	if (ctx->fd != NO_FD)
		eventfd_write(ctx->fd, 1);
	if (ctx->timed && timer_disarm(&ctx->timer))
		ref(ctx, -1); /* never the last one */
	TAILQ_CONCAT(fired, &ctx->afters, link);
}

static const struct error *keep_cause(struct context *ctx,
    const struct error *given)
{
	if (!ctx->given)
		ctx->given = malloc(sizeof(*given));
	if (!ctx->given)
		return &lost;
	*ctx->given = *given;
	return ctx->given;
}

/*
 * Under the tree's lock: makes ctx and all descendants done. With a given cause,
 * or with that of err.
 */
static void walk(struct context *ctx, int err, const struct error *given,
    struct job_list *fired)
{
	const struct error *cause = err == -ETIMEDOUT ? &timed_out : &canceled;
	struct context_list todo = LIST_HEAD_INITIALIZER(todo);

	if (context_err(ctx))
		return;
	if (given)
		cause = keep_cause(ctx, given);
	if (ctx->linked)
		LIST_REMOVE(ctx, sibling);
	LIST_INSERT_HEAD(&todo, ctx, sibling);
	while (!LIST_EMPTY(&todo)) {
		struct context *next = LIST_FIRST(&todo), *child;

		LIST_REMOVE(next, sibling);
		while ((child = LIST_FIRST(&next->children))) {
			LIST_REMOVE(child, sibling);
			LIST_INSERT_HEAD(&todo, child, sibling);
		}
		mark_done(next, err, cause, fired);
	}
}

static void after_run(struct job *job)
{
	struct context_after *after = (struct context_after *)job;
	struct context *ctx =
	    atomic_load_explicit(&after->ctx, memory_order_relaxed);

	after->fn(after->arg);
	after->arg = ctx;
	if (!atomic_exchange_explicit(&after->ctx, NULL, memory_order_acq_rel))
		free(after);
}

static void post(struct job_list *fired)
{
	if (!TAILQ_EMPTY(fired))
		worker_post_all(fired);
}

static void end(struct context *ctx, int err, const struct error *given)
{
	struct job_list fired = TAILQ_HEAD_INITIALIZER(fired);

	lock_tree(ctx);
	walk(ctx, err, given, &fired);
	unlock_tree(ctx);
	post(&fired);
}

/* The same, and gives up a reference. */
static void end_and_unref(struct context *ctx, int err)
{
	struct job_list fired = TAILQ_HEAD_INITIALIZER(fired);

	lock_tree(ctx);
	walk(ctx, err, NULL, &fired);
	unref_and_unlock(ctx);
	post(&fired);
}

void context_cancel(struct context *ctx, const struct error *cause)
{
	assert(ctx != &background);
	assert(!cause || cause->code < 0);
	end(ctx, -ECANCELED, cause);
}

void context_cancel_for_jobs(struct context *ctx, struct job_list *jobs)
{
	lock_tree(ctx);
	walk(ctx, -ECANCELED, NULL, jobs);
	unlock_tree(ctx);
}

static void deadline_passed(struct timer *timer)
{
	struct context *ctx =
	    (struct context *)((char *)timer - offsetof(struct context, timer));

	end_and_unref(ctx, -ETIMEDOUT);
}

/* A root that nobody but the caller has a way to; see the design notes. */
static bool is_sole(struct context *ctx)
{
	return ctx->root == ctx &&
	       atomic_load_explicit(&ctx->refs, memory_order_acquire) == 1 &&
	       lock_is_free(&ctx->lock) && ctx->fd == NO_FD &&
	       TAILQ_EMPTY(&ctx->afters);
}

void context_free(struct context **ctx)
{
	struct context *old = *ctx, *parent;

	if (!old)
		return;
	*ctx = NULL;
	assert(old != &background && old->magic == CONTEXT_MAGIC);
	if (!is_sole(old)) {
		end_and_unref(old, -ECANCELED);
		return;
	}
	parent = destroy(old);
	if (parent != &background) {
		lock_tree(parent);
		unref_and_unlock(parent);
	}
}

/*
 * A live context that nobody knows yet, in memory that was allocated for it;
 * with root, the root of a new tree. Not by calloc, which is slow, and would
 * touch what is seldom used.
 */
static struct context *init(struct context *ctx, struct context *parent,
    bool root)
{
	if (!parent)
		parent = &background;
	assert(parent->magic == CONTEXT_MAGIC);
	root = root || parent == &background;
	ctx->magic = CONTEXT_MAGIC;
	atomic_init(&ctx->err, 0);
	ctx->parent = parent;
	ctx->root = root ? ctx : parent->root;
	ctx->key = NULL;
	ctx->value = NULL;
	ctx->deadline_ms = root ? 0 : parent->deadline_ms;
	ctx->has_deadline = !root && parent->has_deadline;
	ctx->roomy = false;
	ctx->given = NULL;
	ctx->linked = false;
	ctx->timed = false;
	ctx->fd = NO_FD;
	ctx->waiters = 0;
	atomic_init(&ctx->refs, 1);
	lock_init(&ctx->lock);
	LIST_INIT(&ctx->children);
	TAILQ_INIT(&ctx->afters);
	ctx->cause = NULL;
	return ctx;
}

static struct context *make(struct context *parent, bool root)
{
	struct roomy_context *ctx = malloc(sizeof(*ctx));

	if (!ctx)
		return NULL;
	init(&ctx->base, parent, root);
	ctx->base.roomy = true;
	ctx->base.given = &ctx->given;
	return &ctx->base;
}

static struct context *make_small(struct context *parent)
{
	struct context *ctx = malloc(sizeof(*ctx));

	return ctx ? init(ctx, parent, false) : NULL;
}

/* Under the tree's lock: from here on an end of the parent finds ctx. */
static void link_to_parent(struct context *ctx)
{
	struct context *parent = ctx->parent;
	int err;

	if (ctx->root == ctx)
		return;
	ref(parent, 1);
	err = context_err(parent);
	if (err) {
		ctx->cause = parent->cause;
		atomic_store_explicit(&ctx->err, err, memory_order_release);
		return;
	}
	LIST_INSERT_HEAD(&parent->children, ctx, sibling);
	ctx->linked = true;
}

static struct context *link_up(struct context *ctx)
{
	if (ctx->root == ctx)
		return ctx;
	lock_tree(ctx);
	link_to_parent(ctx);
	unlock_tree(ctx);
	return ctx;
}

struct context *context_with_cancel(struct context *parent)
{
	struct context *ctx = make(parent, false);

	return ctx ? link_up(ctx) : NULL;
}

struct context *context_for_jobs(struct context *parent)
{
	struct context *ctx = make_small(parent);

	return ctx ? link_up(ctx) : NULL;
}

struct context *context_without_cancel(struct context *parent)
{
	struct context *ctx = make(parent, true);

	if (ctx && ctx->parent != &background) {
		lock_tree(ctx->parent);
		ref(ctx->parent, 1);
		unlock_tree(ctx->parent);
	}
	return ctx;
}

struct context *context_with_value(struct context *parent, const void *key,
    void *value)
{
	struct context *ctx = make_small(parent);

	if (!ctx)
		return NULL;
	ctx->key = key;
	ctx->value = value;
	return link_up(ctx);
}

/* Under the tree's lock. */
static int arm_deadline(struct context *ctx)
{
	int ret;

	if (context_err(ctx))
		return 0;
	ret = timer_arm(&ctx->timer, ctx->deadline_ms, deadline_passed);
	if (ret)
		return ret;
	ref(ctx, 1);
	ctx->timed = true;
	return 0;
}

static struct context *make_deadline(struct context *parent,
    int64_t deadline_ms, int64_t now_ms)
{
	struct context *ctx = make(parent, false);
	bool own;
	int ret = 0;

	if (!ctx)
		return NULL;
	/* A parent's earlier deadline ends ctx as well: no timer for it. */
	own = !ctx->has_deadline || deadline_ms < ctx->deadline_ms;
	if (own) {
		ctx->has_deadline = true;
		ctx->deadline_ms = deadline_ms;
	}
	lock_tree(ctx);
	link_to_parent(ctx);
	if (own && now_ms < deadline_ms && deadline_ms != INT64_MAX)
		ret = arm_deadline(ctx);
	unlock_tree(ctx);
	if (ret) {
		context_free(&ctx);
		errno = -ret;
		return NULL;
	}
	/* The parent's timer may be late, ctx may not. */
	if (now_ms >= ctx->deadline_ms)
		end(ctx, -ETIMEDOUT, NULL);
	return ctx;
}

struct context *context_with_deadline(struct context *parent,
    int64_t deadline_ms)
{
	return make_deadline(parent, deadline_ms, clock_ms());
}

struct context *context_detached(struct context *parent, int64_t deadline_ms)
{
	struct context *ctx = context_without_cancel(parent);
	int ret;

	if (!ctx || deadline_ms == INT64_MAX)
		return ctx;
	ctx->has_deadline = true;
	ctx->deadline_ms = deadline_ms;
	lock_tree(ctx);
	ret = arm_deadline(ctx);
	unlock_tree(ctx);
	if (ret) {
		context_free(&ctx);
		errno = -ret;
		return NULL;
	}
	if (clock_ms() >= deadline_ms)
		end(ctx, -ETIMEDOUT, NULL);
	return ctx;
}

struct context *context_with_timeout(struct context *parent, int64_t timeout_ms)
{
	int64_t now_ns = clock_ns(), now_ms = now_ns / NS_PER_MS;

	if (timeout_ms <= 0)
		return make_deadline(parent, now_ms, now_ms);
	return make_deadline(parent, clock_deadline_from_ms(now_ns, timeout_ms),
	    now_ms);
}

extern inline int context_err(const struct context *ctx);

struct error context_cause(const struct context *ctx)
{
	if (!context_err(ctx))
		return (struct error){0};
	return *ctx->cause;
}

bool context_deadline(const struct context *ctx, int64_t *deadline_ms)
{
	if (ctx->has_deadline && deadline_ms)
		*deadline_ms = ctx->deadline_ms;
	return ctx->has_deadline;
}

void *context_value(const struct context *ctx, const void *key)
{
	for (; ctx; ctx = ctx->parent)
		if (ctx->key && ctx->key == key)
			return ctx->value;
	return NULL;
}

int context_fd(struct context *ctx)
{
	int fd;

	lock_tree(ctx);
	if (ctx->fd == NO_FD) {
		fd = eventfd(context_err(ctx) != 0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd >= 0)
			ctx->fd = fd;
		else
			fd = -errno;
	} else {
		fd = ctx->fd;
	}
	unlock_tree(ctx);
	return fd;
}

/* True if ctx is live: then it will wake the caller. */
static bool count_waiter(struct context *ctx)
{
	bool live;

	lock_tree(ctx);
	live = !context_err(ctx);
	if (live)
		ctx->waiters++;
	unlock_tree(ctx);
	return live;
}

int context_wait(struct context *ctx, int64_t timeout_ms)
{
	bool for_ever = timeout_ms < 0;
	int64_t deadline_ms;
	struct timespec until;
	int err = context_err(ctx);

	if (err || !timeout_ms)
		return err;
	deadline_ms = for_ever ? INT64_MAX : clock_deadline_ms(timeout_ms);
	until = clock_timespec_ms(deadline_ms);
	if (!count_waiter(ctx))
		return context_err(ctx);
	worker_block();
	while (!(err = context_err(ctx))) {
		if (clock_ms() >= deadline_ms)
			break;
		futex_wait(&ctx->err, 0, for_ever ? NULL : &until);
	}
	worker_unblock();
	if (!err) {
		lock_tree(ctx);
		ctx->waiters--;
		unlock_tree(ctx);
	}
	return err;
}

struct context_after *context_after(struct context *ctx, void (*fn)(void *arg),
    void *arg)
{
	struct context_after *after;
	bool fire;
	int ret = timer_start(); /* worker_post needs it */

	if (ret) {
		errno = -ret;
		return NULL;
	}
	after = malloc(sizeof(*after));
	if (!after)
		return NULL;
	after->job = (struct job){.run = after_run};
	atomic_init(&after->ctx, ctx);
	after->fn = fn;
	after->arg = arg;
	lock_tree(ctx);
	ref(ctx, 1);
	fire = context_err(ctx) != 0;
	if (!fire)
		TAILQ_INSERT_TAIL(&ctx->afters, &after->job, link);
	unlock_tree(ctx);
	if (fire)
		worker_post(&after->job);
	return after;
}

int context_after_job(struct context *ctx, struct job *job)
{
	bool fire;
	int ret = timer_start(); /* worker_post needs it */

	if (ret || ctx == &background)
		return ret;
	lock_tree(ctx);
	fire = context_err(ctx) != 0;
	if (!fire)
		TAILQ_INSERT_TAIL(&ctx->afters, job, link);
	unlock_tree(ctx);
	if (fire)
		worker_post(job);
	return 0;
}

bool context_after_stop(struct context_after **after)
{
	struct context_after *old = *after;
	struct context *ctx;
	bool stopped, returned;

	if (!old)
		return false;
	*after = NULL;
	ctx = atomic_exchange_explicit(&old->ctx, NULL, memory_order_acq_rel);
	returned = !ctx;
	if (returned)
		ctx = old->arg;
	lock_tree(ctx);
	stopped = !context_err(ctx);
	if (stopped)
		TAILQ_REMOVE(&ctx->afters, &old->job, link);
	unref_and_unlock(ctx);
	if (stopped || returned)
		free(old);
	return stopped;
}
