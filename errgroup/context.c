/*
 * Contexts.
 *
 * Design notes. The contexts made from the background context, and those made
 * by context_without_cancel, are roots: an end never reaches them from above. A
 * root and all that ends with it are a tree, and one lock, the root's, guards
 * the whole tree: links, causes, afters, descriptors. So cancelling is one walk
 * in one hold of the lock: when it lets go, all descendants are done (C4); a
 * child is linked either before the walk, and found, or after it, and born done
 * (C19); a second canceller waits for the lock, hence for the walk (C23); and
 * cancels up and down a tree cannot deadlock (C20). The walk is a loop, so depth
 * costs no stack.
 *
 * `err` is also a futex word. It is written last, under the lock, and read
 * without: whoever sees it set sees the cause. No wake-up is lost: a waiter
 * counts itself in `waiters` before it looks at err and sleeps, the walk sets
 * err before it looks at waiters, all sequentially consistent, and the kernel
 * compares err again before it sleeps.
 *
 * Lifetime. `refs` counts the maker, each child (which needs its parent for
 * values and the lock), each after's handle, and an armed timer. A context that
 * is linked into its tree has its maker's reference still: freeing passes the
 * lock and unlinks first. Hence the walk may drop a timer's reference in place.
 * An unlinked context that is done is not touched by any walk again.
 *
 * Lock order: a tree's lock, then the timers'. Functions of context_after are
 * given to the pool after the lock was let go, since that may take a while.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include <cratos/context.h>

#include "errgroup/clock.h"
#include "errgroup/futex.h"
#include "errgroup/timer.h"
#include "errgroup/worker.h"

enum { CONTEXT_MAGIC = 0x43747821, NO_FD = -1 };

struct context_after {
	struct job job;
	struct context *ctx;
	void (*fn)(void *arg);
	void *arg;
	atomic_int refs; /* the handle, and the call to come */
	/* guarded by the tree's lock */
	bool armed;
	TAILQ_ENTRY(context_after) link;
};

TAILQ_HEAD(after_list, context_after);
LIST_HEAD(context_list, context);

struct context {
	unsigned magic;
	atomic_int err;
	atomic_int waiters;
	atomic_int refs;
	/* constant after creation */
	struct context *parent, *root;
	const void *key;
	void *value;
	bool has_deadline;
	int64_t deadline_ms;
	/* guarded by root->lock */
	bool linked;
	bool timed; /* its timer was armed */
	int fd;
	LIST_ENTRY(context) sibling; /* of the parent, or of a walk */
	struct context_list children;
	struct after_list afters;
	struct timer timer;
	struct error cause; /* constant once err is set */
	pthread_mutex_t lock; /* of a root only */
};

static struct context background = {.magic = CONTEXT_MAGIC,
    .refs = 1,
    .root = &background,
    .fd = NO_FD,
    .lock = PTHREAD_MUTEX_INITIALIZER};

struct context *context_background(void)
{
	return &background;
}

static void lock_tree(const struct context *ctx)
{
	assert(ctx->magic == CONTEXT_MAGIC);
	pthread_mutex_lock(&ctx->root->lock);
}

static void unlock_tree(const struct context *ctx)
{
	pthread_mutex_unlock(&ctx->root->lock);
}

static void unref(struct context *ctx)
{
	while (ctx != &background && atomic_fetch_sub(&ctx->refs, 1) == 1) {
		struct context *parent = ctx->parent;

		assert(!ctx->linked && TAILQ_EMPTY(&ctx->afters));
		if (ctx->fd != NO_FD)
			close(ctx->fd);
		if (ctx->root == ctx)
			pthread_mutex_destroy(&ctx->lock);
		ctx->magic = 0;
		free(ctx);
		ctx = parent;
	}
}

static void ref(struct context *ctx)
{
	if (ctx != &background)
		atomic_fetch_add(&ctx->refs, 1);
}

static void mark_done(struct context *ctx, int err, const struct error *cause,
    struct after_list *fired)
{
	struct context_after *after;

	ctx->linked = false;
	ctx->cause = *cause;
	atomic_store(&ctx->err, err);
	if (atomic_load(&ctx->waiters))
		futex_wake_all(&ctx->err);
	if (ctx->fd != NO_FD)
		eventfd_write(ctx->fd, 1);
	if (ctx->timed && timer_disarm(&ctx->timer))
		atomic_fetch_sub(&ctx->refs, 1); /* never the last one */
	TAILQ_FOREACH(after, &ctx->afters, link)
		after->armed = false;
	TAILQ_CONCAT(fired, &ctx->afters, link);
}

/* Under the tree's lock: makes ctx and all descendants done. */
static void walk(struct context *ctx, int err, const struct error *cause,
    struct after_list *fired)
{
	struct context_list todo = LIST_HEAD_INITIALIZER(todo);

	if (atomic_load(&ctx->err))
		return;
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

static void after_unref(struct context_after *after, int count)
{
	if (atomic_fetch_sub(&after->refs, count) == count)
		free(after);
}

static void after_run(struct job *job)
{
	struct context_after *after = (struct context_after *)job;

	after->fn(after->arg);
	after_unref(after, 1);
}

static void end(struct context *ctx, int err, const struct error *cause)
{
	struct after_list fired = TAILQ_HEAD_INITIALIZER(fired);
	struct context_after *after;

	lock_tree(ctx);
	walk(ctx, err, cause, &fired);
	unlock_tree(ctx);
	while ((after = TAILQ_FIRST(&fired))) {
		TAILQ_REMOVE(&fired, after, link);
		worker_post(&after->job);
	}
}

static struct error plain_cause(int code)
{
	struct error cause = {.code = code};

	snprintf(cause.text, sizeof(cause.text), "%s",
	    code == -ETIMEDOUT ? "deadline exceeded" : "canceled");
	return cause;
}

void context_cancel(struct context *ctx, const struct error *cause)
{
	struct error plain;

	assert(ctx != &background);
	assert(!cause || cause->code < 0);
	if (!cause) {
		plain = plain_cause(-ECANCELED);
		cause = &plain;
	}
	end(ctx, -ECANCELED, cause);
}

static void deadline_passed(struct timer *timer)
{
	struct context *ctx =
	    (struct context *)((char *)timer - offsetof(struct context, timer));
	struct error cause = plain_cause(-ETIMEDOUT);

	end(ctx, -ETIMEDOUT, &cause);
	unref(ctx);
}

void context_free(struct context **ctx)
{
	struct context *old = *ctx;

	if (!old)
		return;
	*ctx = NULL;
	context_cancel(old, NULL);
	unref(old);
}

/* A live context that nobody knows yet; with root, the root of a new tree. */
static struct context *make(struct context *parent, bool root)
{
	struct context *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return NULL;
	ctx->magic = CONTEXT_MAGIC;
	ctx->refs = 1;
	ctx->fd = NO_FD;
	ctx->parent = parent ? parent : &background;
	assert(ctx->parent->magic == CONTEXT_MAGIC);
	LIST_INIT(&ctx->children);
	TAILQ_INIT(&ctx->afters);
	ref(ctx->parent);
	if (root || ctx->parent == &background) {
		ctx->root = ctx;
		pthread_mutex_init(&ctx->lock, NULL);
	} else {
		ctx->root = ctx->parent->root;
		ctx->has_deadline = ctx->parent->has_deadline;
		ctx->deadline_ms = ctx->parent->deadline_ms;
	}
	return ctx;
}

/* Under the tree's lock: from here on an end of the parent finds ctx. */
static void link_to_parent(struct context *ctx)
{
	struct context *parent = ctx->parent;

	if (ctx->root == ctx)
		return;
	if (atomic_load(&parent->err)) {
		ctx->cause = parent->cause;
		atomic_store(&ctx->err, atomic_load(&parent->err));
		return;
	}
	LIST_INSERT_HEAD(&parent->children, ctx, sibling);
	ctx->linked = true;
}

static struct context *link_up(struct context *ctx)
{
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

struct context *context_without_cancel(struct context *parent)
{
	return make(parent, true);
}

struct context *context_with_value(struct context *parent, const void *key,
    void *value)
{
	struct context *ctx = make(parent, false);

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

	if (atomic_load(&ctx->err))
		return 0;
	ref(ctx);
	ret = timer_arm(&ctx->timer, ctx->deadline_ms, deadline_passed);
	if (ret)
		atomic_fetch_sub(&ctx->refs, 1);
	else
		ctx->timed = true;
	return ret;
}

struct context *context_with_deadline(struct context *parent,
    int64_t deadline_ms)
{
	struct context *ctx = make(parent, false);
	struct error cause;
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
	if (own && clock_ms() < deadline_ms && deadline_ms != INT64_MAX)
		ret = arm_deadline(ctx);
	unlock_tree(ctx);
	if (ret) {
		context_free(&ctx);
		errno = -ret;
		return NULL;
	}
	/* The parent's timer may be late, ctx may not. */
	if (clock_ms() >= ctx->deadline_ms) {
		cause = plain_cause(-ETIMEDOUT);
		end(ctx, -ETIMEDOUT, &cause);
	}
	return ctx;
}

struct context *context_with_timeout(struct context *parent, int64_t timeout_ms)
{
	return context_with_deadline(parent,
	    timeout_ms <= 0 ? clock_ms() : clock_deadline_ms(timeout_ms));
}

int context_err(const struct context *ctx)
{
	return atomic_load_explicit(&ctx->err, memory_order_acquire);
}

struct error context_cause(const struct context *ctx)
{
	if (!context_err(ctx))
		return (struct error){0};
	return ctx->cause;
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

int context_wait(struct context *ctx, int64_t timeout_ms)
{
	int64_t deadline_ms = clock_deadline_ms(timeout_ms);
	struct timespec until = clock_timespec_ms(deadline_ms);
	int err = context_err(ctx);

	if (err || !timeout_ms)
		return err;
	atomic_fetch_add(&ctx->waiters, 1);
	while (!(err = atomic_load(&ctx->err))) {
		if (timeout_ms >= 0 && clock_ms() >= deadline_ms)
			break;
		futex_wait(&ctx->err, 0, timeout_ms < 0 ? NULL : &until);
	}
	atomic_fetch_sub(&ctx->waiters, 1);
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
	after = calloc(1, sizeof(*after));
	if (!after)
		return NULL;
	after->job.run = after_run;
	after->ctx = ctx;
	after->fn = fn;
	after->arg = arg;
	after->refs = 2;
	ref(ctx);
	lock_tree(ctx);
	fire = context_err(ctx) != 0;
	after->armed = !fire;
	if (after->armed && ctx != &background)
		TAILQ_INSERT_TAIL(&ctx->afters, after, link);
	unlock_tree(ctx);
	if (fire)
		worker_post(&after->job);
	return after;
}

bool context_after_stop(struct context_after **after)
{
	struct context_after *old = *after;
	bool stopped;

	if (!old)
		return false;
	*after = NULL;
	lock_tree(old->ctx);
	stopped = old->armed;
	old->armed = false;
	if (stopped && old->ctx != &background)
		TAILQ_REMOVE(&old->ctx->afters, old, link);
	unlock_tree(old->ctx);
	unref(old->ctx);
	after_unref(old, stopped ? 2 : 1);
	return stopped;
}
