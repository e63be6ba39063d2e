/* Groups of tasks: who runs, who waits, whose error it is. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cratos/errgroup.h>

#include "tests/suite.h"

enum { HOUR_MS = 3600 * 1000, MANY = 64 };

static const struct error cause_a = {-EPIPE, "parent", "cause A"};

/* ---- tasks --------------------------------------------------------------- */

static int succeed(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	return 0;
}

static int count_up(struct context *ctx, void *count)
{
	(void)ctx;
	atomic_fetch_add((atomic_int *)count, 1);
	return 0;
}

static int fail_with(struct context *ctx, void *code)
{
	(void)ctx;
	return *(int *)code;
}

static int fail_in_words(struct context *ctx, void *text)
{
	(void)ctx;
	return error_set(-EIO, "words: %s", (char *)text);
}

static int wait_for_context(struct context *ctx, void *arg)
{
	(void)arg;
	return context_wait(ctx, -1);
}

static int meet(struct context *ctx, void *barrier)
{
	(void)ctx;
	pthread_barrier_wait(barrier);
	return 0;
}

struct block {
	struct event began, go_on;
	atomic_int ended;
	int result;
};

#define BLOCK_INIT                                       \
	{                                                \
		.began = EVENT_INIT, .go_on = EVENT_INIT \
	}

static int block(struct context *ctx, void *arg)
{
	struct block *self = arg;

	(void)ctx;
	event_set(&self->began);
	event_wait(&self->go_on);
	self->ended++;
	return self->result;
}

static int set_event(struct context *ctx, void *event)
{
	(void)ctx;
	event_set(event);
	return 0;
}

static void assert_none(const struct error *err)
{
	static const struct error none;

	ck_assert_mem_eq(err, &none, sizeof(none));
}

static void assert_error(const struct error *err, int code, const char *origin,
    const char *text)
{
	ck_assert_int_eq(err->code, code);
	ck_assert_str_eq(err->origin, origin);
	ck_assert_str_eq(err->text, text);
}

/* No task is active, or the limit could not be set; it is left at none. */
static void assert_idle(struct errgroup *g)
{
	ck_assert_int_eq(errgroup_set_limit(g, -1), 0);
}

/* ---- plain groups and groups with a context ------------------------------ */

/* G1, G18 */
START_TEST(waiting_on_an_empty_group_returns_zero)
{
	struct errgroup *g = errgroup_new();
	struct context *ctx = NULL;
	struct error err;

	memset(&err, 0xff, sizeof(err));
	ck_assert_int_eq(errgroup_wait(g, &err), 0);
	assert_none(&err);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	errgroup_free(&g);
	ck_assert_ptr_null(g);

	g = errgroup_with_context(NULL, &ctx);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_int_eq(context_err(ctx), -ECANCELED);
	errgroup_free(&g);
}
END_TEST

static int store_context(struct context *ctx, void *where)
{
	*(struct context **)where = ctx;
	return 0;
}

/* G1 */
START_TEST(tasks_of_a_plain_group_get_the_background_context)
{
	struct errgroup *g = errgroup_new();
	struct context *ctx = NULL;
	int code = -EIO;

	ck_assert_int_eq(errgroup_go(g, store_context, &ctx), 0);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_ptr_eq(ctx, context_background());
	/* An error has no context to cancel, but is the error all the same. */
	errgroup_go(g, fail_with, &code);
	ck_assert_int_eq(errgroup_wait(g, NULL), -EIO);
	ck_assert_int_eq(context_err(context_background()), 0);
	errgroup_free(&g);
}
END_TEST

/* G1, G15 */
START_TEST(a_plain_group_has_no_limit)
{
	struct errgroup *g = errgroup_new();
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, MANY);
	for (int i = 0; i < MANY; i++)
		ck_assert(errgroup_try_go(g, meet, &barrier));
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	pthread_barrier_destroy(&barrier);
	errgroup_free(&g);
}
END_TEST

static const char key;

/* G1 */
START_TEST(tasks_of_a_group_with_a_context_get_that_context)
{
	int value = 3;
	struct context *parent = context_with_value(NULL, &key, &value);
	struct context *ctx = NULL, *seen = NULL;
	struct errgroup *g = errgroup_with_context(parent, &ctx);

	errgroup_go(g, store_context, &seen);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_ptr_nonnull(ctx);
	ck_assert_ptr_eq(ctx, seen);
	ck_assert_ptr_eq(context_value(ctx, &key), &value);
	ck_assert_int_eq(context_err(parent), 0);
	errgroup_free(&g);
	g = errgroup_with_context(parent, NULL); /* ctx may be NULL */
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	errgroup_free(&g);
	context_free(&parent);
}
END_TEST

/* G1, G19 */
START_TEST(the_context_of_a_group_ends_with_it)
{
	struct context *ctx = NULL;
	struct errgroup *g = errgroup_with_context(NULL, &ctx);
	struct context *child = context_with_cancel(ctx);

	ck_assert_int_eq(context_err(child), 0);
	errgroup_free(&g);
	ck_assert_int_eq(context_err(child), -ECANCELED);
	context_free(&child);
	errgroup_free(&g); /* C24: accepts the address of NULL */
}
END_TEST

/* ---- the first error ----------------------------------------------------- */

struct after_done {
	struct context *ctx;
	struct error cause; /* handed back: what the context said */
	int result;
};

/* Fails once the context is done, so after the first. */
static int fail_after(struct context *ctx, void *arg)
{
	struct after_done *self = arg;

	context_wait(ctx, -1);
	self->cause = context_cause(ctx);
	return error_set(self->result, "later");
}

/* G2, G3, G17 */
START_TEST(wait_returns_the_first_error)
{
	for (int round = 0; round < scale(300); round++) {
		struct context *ctx = NULL;
		struct errgroup *g = errgroup_with_context(NULL, &ctx);
		struct after_done later[8] = {0};
		struct error err, cause;

		for (int i = 0; i < 8; i++) {
			later[i].result = -ENOENT;
			errgroup_go(g, fail_after, &later[i]);
		}
		errgroup_go_named(g, "first one", fail_in_words,
		    (void *)"disk");
		ck_assert_int_eq(errgroup_wait(g, &err), -EIO);
		assert_error(&err, -EIO, "first one", "words: disk");
		cause = context_cause(ctx);
		assert_error(&cause, -EIO, "first one", "words: disk");
		ck_assert_int_eq(context_err(ctx), -ECANCELED);
		for (int i = 0; i < 8; i++)
			assert_error(&later[i].cause, -EIO, "first one",
			    "words: disk");
		errgroup_free(&g);
	}
}
END_TEST

struct store {
	struct errgroup *g;
	struct context *ctx;
	struct error waited, cause;
	pthread_t thread;
	int code;
};

static void *wait_main(void *arg)
{
	struct store *self = arg;

	self->code = errgroup_wait(self->g, &self->waited);
	return NULL;
}

/* G2: of those that fail at the same time one wins, with all that is its. */
START_TEST(of_errors_at_the_same_time_exactly_one_wins)
{
	static const char *const names[] = {"zero", "one", "two", "three"};

	for (int round = 0; round < scale(500); round++) {
		struct context *ctx = NULL;
		struct errgroup *g = errgroup_with_context(NULL, &ctx);
		struct error err, cause;
		char want[32];

		for (int i = 0; i < 4; i++)
			errgroup_go_named(g, names[i], fail_in_words,
			    (void *)names[i]);
		ck_assert_int_eq(errgroup_wait(g, &err), -EIO);
		snprintf(want, sizeof(want), "words: %.20s", err.origin);
		ck_assert_str_eq(err.text, want);
		cause = context_cause(ctx);
		ck_assert_mem_eq(&err, &cause, sizeof(err));
		errgroup_free(&g);
	}
}
END_TEST

static int look_at_context(struct context *ctx, void *err)
{
	*(int *)err = context_err(ctx);
	return 0;
}

/* G4: with a limit of one, the first has returned when the second begins. */
START_TEST(a_task_that_returns_zero_cancels_nothing)
{
	struct context *ctx = NULL;
	struct errgroup *g = errgroup_with_context(NULL, &ctx);
	int err = 1;

	errgroup_set_limit(g, 1);
	errgroup_go(g, succeed, NULL);
	errgroup_go(g, look_at_context, &err);
	ck_assert_int_eq(errgroup_go(g, succeed, NULL), 0);
	ck_assert_int_eq(context_err(ctx), 0);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_int_eq(err, 0);
	errgroup_free(&g);
}
END_TEST

/* G17 */
START_TEST(the_origin_is_the_name_of_the_function_or_the_one_given)
{
	struct errgroup *g = errgroup_new();
	struct error err;
	int code = -ENOENT;

	errgroup_go(g, fail_with, &code);
	errgroup_wait(g, &err);
	assert_error(&err, -ENOENT, "fail_with", strerror(ENOENT));
	errgroup_free(&g);

	g = errgroup_new();
	ck_assert(errgroup_try_go(g, fail_with, &code));
	errgroup_wait(g, &err);
	ck_assert_str_eq(err.origin, "fail_with");
	errgroup_free(&g);

	g = errgroup_new();
	ck_assert(errgroup_try_go_named(g, "given", fail_with, &code));
	errgroup_wait(g, &err);
	ck_assert_str_eq(err.origin, "given");
	errgroup_free(&g);
}
END_TEST

/* G17 */
START_TEST(a_name_is_copied_cut_to_fit_and_may_be_missing)
{
	char name[64] = "0123456789012345678901234567890123456789";
	struct errgroup *g = errgroup_new();
	struct error err;
	int code = -ENOENT;
	struct block work = BLOCK_INIT;

	work.result = -EIO;
	errgroup_go_named(g, name, block, &work);
	memset(name, 'x', sizeof(name));
	event_set(&work.go_on);
	errgroup_wait(g, &err);
	ck_assert_str_eq(err.origin, "0123456789012345678901234567890");
	errgroup_free(&g);

	g = errgroup_new();
	errgroup_go_named(g, NULL, fail_with, &code);
	errgroup_wait(g, &err);
	assert_error(&err, -ENOENT, "task", strerror(ENOENT));
	errgroup_free(&g);

	g = errgroup_new();
	(errgroup_go)(g, fail_with, &code); /* the function, not the macro */
	errgroup_wait(g, &err);
	assert_error(&err, -ENOENT, "task", strerror(ENOENT));
	errgroup_free(&g);

	g = errgroup_new();
	ck_assert((errgroup_try_go)(g, fail_with, &code));
	errgroup_wait(g, &err);
	ck_assert_str_eq(err.origin, "task");
	errgroup_free(&g);
}
END_TEST

static int set_and_succeed(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	error_set(-ENOENT, "of a task that succeeded");
	return 0;
}

static int set_another(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	error_set(-EIO, "of another code");
	return -ENOENT;
}

/* G17: one after the other, so often on one thread. */
START_TEST(without_words_of_its_own_a_task_has_those_of_its_code)
{
	for (int round = 0; round < scale(100); round++) {
		struct errgroup *g = errgroup_new();
		struct error err;
		int code = -ENOENT;

		errgroup_set_limit(g, 1);
		for (int i = 0; i < 4; i++)
			errgroup_go(g, set_and_succeed, NULL);
		if (round % 2)
			errgroup_go(g, fail_with, &code);
		else
			errgroup_go(g, set_another, NULL);
		ck_assert_int_eq(errgroup_wait(g, &err), -ENOENT);
		ck_assert_str_eq(err.text, strerror(ENOENT));
		errgroup_free(&g);
	}
}
END_TEST

static int run_inner_group(struct context *ctx, void *arg)
{
	struct errgroup *g = errgroup_with_context(ctx, NULL);

	(void)arg;
	error_set(-EIO, "of the outer task");
	for (int i = 0; i < 4; i++)
		errgroup_go(g, fail_in_words, (void *)"of the inner task");
	errgroup_wait(g, NULL);
	errgroup_free(&g);
	return -EIO;
}

/* G17 */
START_TEST(an_inner_group_does_not_disturb_the_text_of_an_outer_task)
{
	for (int round = 0; round < scale(300); round++) {
		struct errgroup *g = errgroup_new();
		struct error err;

		errgroup_go(g, run_inner_group, NULL);
		ck_assert_int_eq(errgroup_wait(g, &err), -EIO);
		assert_error(&err, -EIO, "run_inner_group",
		    "of the outer task");
		errgroup_free(&g);
	}
	/* Nor does a wait on this thread disturb its text, */
	error_set(-EIO, "of the test");
	run_inner_group(context_background(), NULL);
	ck_assert_str_eq(error_of(-EIO).text, "of the outer task");
	/* nor does this thread's text become that of a task. */
	for (int round = 0; round < scale(300); round++) {
		struct errgroup *g = errgroup_new();
		struct error err;
		int code = -EIO;

		errgroup_go(g, succeed, NULL);
		errgroup_go(g, fail_with, &code);
		ck_assert_int_eq(errgroup_wait(g, &err), -EIO);
		ck_assert_str_eq(err.text, strerror(EIO));
		errgroup_free(&g);
	}
}
END_TEST

/* ---- waiting ------------------------------------------------------------- */

struct slow {
	struct event *go_on;
	int wrote; /* plain memory */
};

static int write_late(struct context *ctx, void *arg)
{
	struct slow *self = arg;

	context_wait(ctx, -1);
	event_wait(self->go_on);
	self->wrote = 1;
	return 0;
}

static void *set_event_main(void *event)
{
	event_set(event);
	return NULL;
}

/* G5, G6, G7 */
START_TEST(wait_returns_only_after_every_task_whatever_the_context_says)
{
	for (int round = 0; round < scale(100); round++) {
		struct context *parent = context_with_cancel(NULL), *ctx = NULL;
		struct errgroup *g = errgroup_with_context(parent, &ctx);
		struct event go_on = EVENT_INIT;
		struct slow slow[8] = {0};
		struct error err, cause;
		pthread_t thread;

		for (int i = 0; i < 8; i++) {
			slow[i].go_on = &go_on;
			errgroup_go(g, write_late, &slow[i]);
		}
		context_cancel(parent, &cause_a);
		pthread_create(&thread, NULL, set_event_main, &go_on);
		ck_assert_int_eq(errgroup_wait(g, &err), 0);
		for (int i = 0; i < 8; i++)
			ck_assert_int_eq(slow[i].wrote, 1);
		assert_none(&err);
		cause = context_cause(ctx);
		ck_assert_int_eq(cause.code, cause_a.code);
		pthread_join(thread, NULL);
		errgroup_free(&g);
		context_free(&parent);
	}
}
END_TEST

/* G5 */
START_TEST(a_wait_does_not_return_while_a_task_blocks)
{
	struct errgroup *g = errgroup_with_context(NULL, NULL);
	struct block work = BLOCK_INIT;
	struct store waiter = {.g = g};

	work.result = -EIO;
	errgroup_go(g, block, &work);
	ck_assert(event_wait(&work.began));
	pthread_create(&waiter.thread, NULL, wait_main, &waiter);
	event_set(&work.go_on);
	pthread_join(waiter.thread, NULL);
	ck_assert_int_eq(work.ended, 1);
	ck_assert_int_eq(waiter.code, -EIO);
	errgroup_free(&g);
}
END_TEST

/* G5 */
START_TEST(wait_cancels_the_groups_context)
{
	struct context *parent = context_with_cancel(NULL), *ctx = NULL;
	struct errgroup *g = errgroup_with_context(parent, &ctx);
	struct error cause;

	errgroup_go(g, succeed, NULL);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_int_eq(context_err(ctx), -ECANCELED);
	cause = context_cause(ctx);
	ck_assert_int_eq(cause.code, -ECANCELED);
	ck_assert_int_eq(context_err(parent), 0);
	errgroup_free(&g);
	context_free(&parent);
}
END_TEST

/* G6, G7 */
START_TEST(with_a_parent_that_is_done_tasks_run_and_wait_returns_zero)
{
	struct context *parent = context_with_timeout(NULL, 0);
	struct errgroup *g = errgroup_with_context(parent, NULL);
	atomic_int count = 0;
	int err = 0;

	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(errgroup_go(g, count_up, &count), 0);
	ck_assert(errgroup_try_go(g, look_at_context, &err));
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_int_eq(count, 10);
	ck_assert_int_eq(err, -ETIMEDOUT);
	errgroup_free(&g);
	context_free(&parent);
}
END_TEST

/* G7 */
START_TEST(go_after_an_error_still_runs_the_task)
{
	struct context *ctx = NULL;
	struct errgroup *g = errgroup_with_context(NULL, &ctx);
	atomic_int count = 0;
	int code = -EIO;

	errgroup_go(g, fail_with, &code);
	ck_assert_int_eq(context_wait(ctx, -1), -ECANCELED);
	ck_assert_int_eq(errgroup_go(g, count_up, &count), 0);
	ck_assert(errgroup_try_go(g, count_up, &count));
	ck_assert_int_eq(errgroup_wait(g, NULL), -EIO);
	ck_assert_int_eq(count, 2);
	errgroup_free(&g);
}
END_TEST

/* G13 */
START_TEST(a_group_can_be_used_again_after_wait)
{
	struct context *ctx = NULL;
	struct errgroup *g = errgroup_with_context(NULL, &ctx);
	atomic_int count = 0;
	int first = -EIO, second = -ENOENT;
	struct error err;

	for (int round = 0; round < 20; round++) {
		errgroup_go(g, count_up, &count);
		errgroup_go(g, count_up, &count);
		ck_assert_int_eq(errgroup_wait(g, &err), 0);
		ck_assert_int_eq(count, 2 * (round + 1));
		ck_assert_int_eq(context_err(ctx), -ECANCELED);
		ck_assert_int_eq(context_cause(ctx).code, -ECANCELED);
	}
	errgroup_go_named(g, "first", fail_with, &first);
	ck_assert_int_eq(errgroup_wait(g, &err), -EIO);
	errgroup_go_named(g, "second", fail_with, &second);
	ck_assert_int_eq(errgroup_wait(g, &err), -EIO);
	assert_error(&err, -EIO, "first", strerror(EIO));
	ck_assert_int_eq(errgroup_wait(g, &err), -EIO); /* empty */
	ck_assert_str_eq(err.origin, "first");
	ck_assert_int_eq(context_cause(ctx).code, -ECANCELED);
	errgroup_free(&g);
}
END_TEST

/* G14 */
START_TEST(several_threads_may_wait_and_all_get_the_same_error)
{
	enum { WAITERS = 8 };

	for (int round = 0; round < scale(200); round++) {
		struct errgroup *g = errgroup_with_context(NULL, NULL);
		struct block work = BLOCK_INIT;
		struct store waiters[WAITERS];

		work.result = -EIO;
		errgroup_go_named(g, "the one", block, &work);
		for (int i = 0; i < 20; i++)
			errgroup_go(g, wait_for_context, NULL);
		for (int i = 0; i < WAITERS; i++) {
			waiters[i].g = g;
			pthread_create(&waiters[i].thread, NULL, wait_main,
			    &waiters[i]);
		}
		event_set(&work.go_on);
		for (int i = 0; i < WAITERS; i++) {
			pthread_join(waiters[i].thread, NULL);
			ck_assert_int_eq(waiters[i].code, -EIO);
			assert_error(&waiters[i].waited, -EIO, "the one",
			    strerror(EIO));
		}
		errgroup_free(&g);
	}
}
END_TEST

struct round_waiter {
	pthread_t thread;
	struct errgroup *g;
	struct event began, returned;
	int tid;
};

static void *wait_round_main(void *arg)
{
	struct round_waiter *self = arg;

	self->tid = gettid();
	event_set(&self->began);
	errgroup_wait(self->g, NULL);
	event_set(&self->returned);
	return NULL;
}

/* G14: who waits for a round is let go though the next has begun. */
START_TEST(a_wait_returns_though_the_group_is_busy_again_at_once)
{
	for (int round = 0; round < scale(100); round++) {
		struct errgroup *g = errgroup_new();
		struct block first = BLOCK_INIT, second = BLOCK_INIT;
		struct round_waiter waiter = {.g = g,
		    .began = EVENT_INIT,
		    .returned = EVENT_INIT};

		errgroup_set_limit(g, 1);
		errgroup_go(g, block, &first);
		ck_assert(event_wait(&first.began));
		pthread_create(&waiter.thread, NULL, wait_round_main, &waiter);
		ck_assert(event_wait(&waiter.began));
		ck_assert(event_poll(event_thread_sleeps, &waiter.tid));
		event_set(&first.go_on);
		/* As soon as there is a slot, so as soon as none is active. */
		ck_assert_int_eq(errgroup_go(g, block, &second), 0);
		ck_assert(event_wait(&waiter.returned));
		event_set(&second.go_on);
		pthread_join(waiter.thread, NULL);
		ck_assert_int_eq(errgroup_wait(g, NULL), 0);
		errgroup_free(&g);
	}
}
END_TEST

struct spread {
	struct errgroup *g;
	atomic_int count;
	int depth;
};

struct spread_task {
	struct spread *all;
	int depth;
};

static int spread(struct context *ctx, void *arg)
{
	struct spread_task *self = arg;
	struct spread *all = self->all;

	(void)ctx;
	atomic_fetch_add(&all->count, 1);
	for (int i = 0; i < 2 && self->depth < all->depth; i++) {
		struct spread_task *below = malloc(sizeof(*below));

		*below = (struct spread_task){all, self->depth + 1};
		errgroup_go(all->g, spread, below);
	}
	free(self);
	return 0;
}

/* G14 */
START_TEST(a_task_may_call_go_on_its_own_group)
{
	struct spread all = {.g = errgroup_new(), .depth = 9};
	struct spread_task *top = malloc(sizeof(*top));

	*top = (struct spread_task){&all, 0};
	errgroup_go(all.g, spread, top);
	ck_assert_int_eq(errgroup_wait(all.g, NULL), 0);
	ck_assert_int_eq(all.count, 1023);
	errgroup_free(&all.g);
}
END_TEST

/* ---- limits -------------------------------------------------------------- */

struct crowd {
	atomic_int active, most, over;
	int limit;
};

static int join_crowd(struct context *ctx, void *arg)
{
	struct crowd *crowd = arg;
	int active = atomic_fetch_add(&crowd->active, 1) + 1;
	int most = crowd->most;

	(void)ctx;
	while (active > most &&
	       !atomic_compare_exchange_weak(&crowd->most, &most, active))
		;
	if (active > crowd->limit)
		atomic_fetch_add(&crowd->over, 1);
	sched_yield();
	atomic_fetch_sub(&crowd->active, 1);
	return 0;
}

/* G8 */
START_TEST(active_tasks_never_exceed_the_limit)
{
	struct errgroup *g = errgroup_new();

	for (int limit = 1; limit <= 5; limit++) {
		struct crowd crowd = {.limit = limit};

		ck_assert_int_eq(errgroup_set_limit(g, limit), 0);
		for (int i = 0; i < scale(1000); i++) {
			if (i % 3)
				errgroup_go(g, join_crowd, &crowd);
			else
				errgroup_try_go(g, join_crowd, &crowd);
		}
		ck_assert_int_eq(errgroup_wait(g, NULL), 0);
		ck_assert_int_eq(crowd.over, 0);
		ck_assert_int_eq(crowd.active, 0);
	}
	errgroup_free(&g);
}
END_TEST

/* G8, G15: as many as the limit says do run at the same time. */
START_TEST(as_many_tasks_as_the_limit_run_at_the_same_time)
{
	struct errgroup *g = errgroup_new();
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, 20);
	errgroup_set_limit(g, 20);
	for (int i = 0; i < 20 * scale(100); i++)
		ck_assert_int_eq(errgroup_go(g, meet, &barrier), 0);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	pthread_barrier_destroy(&barrier);
	errgroup_free(&g);
}
END_TEST

struct goer {
	pthread_t thread;
	struct errgroup *g;
	struct event began, ran;
	struct block *work;
	int tid;
	atomic_bool through;
	/* handed back */
	int ret, ended_before;
};

static void *go_main(void *arg)
{
	struct goer *self = arg;

	self->tid = gettid();
	event_set(&self->began);
	self->ret = errgroup_go(self->g, set_event, &self->ran);
	if (self->work)
		self->ended_before = self->work->ended;
	self->through = true;
	return NULL;
}

/* G8 */
START_TEST(at_the_limit_go_blocks_until_a_slot_is_free)
{
	struct errgroup *g = errgroup_new();
	struct block work = BLOCK_INIT;
	struct goer goer = {.g = g,
	    .began = EVENT_INIT,
	    .ran = EVENT_INIT,
	    .work = &work};

	errgroup_set_limit(g, 1);
	errgroup_go(g, block, &work);
	ck_assert(event_wait(&work.began));
	pthread_create(&goer.thread, NULL, go_main, &goer);
	ck_assert(event_wait(&goer.began));
	ck_assert(event_poll(event_thread_sleeps, &goer.tid));
	ck_assert(!event_is_set(&goer.ran));
	event_set(&work.go_on);
	pthread_join(goer.thread, NULL);
	ck_assert_int_eq(goer.ret, 0);
	ck_assert_int_eq(goer.ended_before, 1);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert(event_is_set(&goer.ran));
	errgroup_free(&g);
}
END_TEST

/* G8: several that wait for a slot, and some that do not wait. */
START_TEST(all_who_wait_for_a_slot_get_one)
{
	enum { GOERS = 16 };

	for (int round = 0; round < scale(100); round++) {
		struct errgroup *g = errgroup_new();
		struct block work = BLOCK_INIT;
		struct goer goers[GOERS];
		atomic_int count = 0;
		int tries = 0;

		errgroup_set_limit(g, 1 + round % 3);
		errgroup_go(g, block, &work);
		for (int i = 0; i < GOERS; i++) {
			goers[i] = (struct goer){.g = g,
			    .began = EVENT_INIT,
			    .ran = EVENT_INIT};
			pthread_create(&goers[i].thread, NULL, go_main,
			    &goers[i]);
		}
		event_set(&work.go_on);
		for (int i = 0; i < 50; i++)
			tries += errgroup_try_go(g, count_up, &count);
		for (int i = 0; i < GOERS; i++)
			pthread_join(goers[i].thread, NULL);
		ck_assert_int_eq(errgroup_wait(g, NULL), 0);
		for (int i = 0; i < GOERS; i++) {
			ck_assert_int_eq(goers[i].ret, 0);
			ck_assert(event_is_set(&goers[i].ran));
		}
		ck_assert_int_eq(count, tries);
		errgroup_free(&g);
	}
}
END_TEST

struct handing {
	struct errgroup *g;
	struct context *end; /* of those that are parked */
	struct event go_on; /* for those that are not */
	struct event through;
};

struct comer {
	pthread_t thread;
	struct handing *all;
	bool parks;
	atomic_int tid;
};

static int hold_slot(struct context *ctx, void *arg)
{
	struct handing *all = arg;

	(void)ctx;
	event_wait(&all->go_on);
	return 0;
}

static int come_and_hold(struct handing *all, bool parks)
{
	if (parks)
		return errgroup_go_after(all->g, all->end, "parked", succeed,
		    NULL);
	return errgroup_go(all->g, hold_slot, all);
}

static void *come_main(void *arg)
{
	struct comer *self = arg;

	self->tid = gettid();
	come_and_hold(self->all, self->parks);
	event_set(&self->all->through);
	return NULL;
}

/* What takes no longer than that a thread is woken, and not always as long. */
static void dawdle(int ns)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec -
		   start.tv_nsec <
	       ns);
}

/*
 * As many slots as there are goers, but for one, who comes when all others
 * sleep, and just as all slots free. Nothing else moves until all are through.
 */
static void hand_on(int round)
{
	enum { SLEEPERS = 3 };
	struct handing all = {.g = errgroup_new(),
	    .end = context_with_cancel(NULL),
	    .go_on = EVENT_INIT,
	    .through = EVENT_INIT};
	struct context *first = context_with_cancel(NULL);
	struct comer comers[SLEEPERS];

	ck_assert_int_eq(errgroup_set_limit(all.g, SLEEPERS + 1), 0);
	for (int i = 0; i <= SLEEPERS; i++)
		ck_assert_int_eq(errgroup_go_after(all.g, first, "first",
				     succeed, NULL),
		    0);
	for (int i = 0; i < SLEEPERS; i++) {
		struct comer *comer = &comers[i];
		int tid;

		*comer = (struct comer){.all = &all, .parks = (i + round) % 2};
		pthread_create(&comer->thread, NULL, come_main, comer);
		while (!(tid = comer->tid) || !event_thread_sleeps(&tid))
			sched_yield();
	}
	context_cancel(first, NULL);
	dawdle(round % 64 * 300);
	ck_assert_int_eq(come_and_hold(&all, round % 4 < 3), 0);
	ck_assert_msg(event_wait_count(&all.through, SLEEPERS),
	    "round %d: %d of %d are through", round, all.through.count,
	    SLEEPERS);
	event_set(&all.go_on);
	context_cancel(all.end, NULL);
	for (int i = 0; i < SLEEPERS; i++)
		pthread_join(comers[i].thread, NULL);
	ck_assert_int_eq(errgroup_wait(all.g, NULL), 0);
	errgroup_free(&all.g);
	context_free(&first);
	context_free(&all.end);
}

/* G8: a goer that finds two slots, and takes one, leaves nobody asleep. */
START_TEST(no_goer_sleeps_while_another_leaves_a_slot_free)
{
	for (int round = 0; round < scale(1500); round++)
		hand_on(round);
}
END_TEST

/* G9, G18 */
START_TEST(at_the_limit_try_go_is_false_and_runs_nothing)
{
	struct errgroup *g = errgroup_with_context(NULL, NULL);
	struct block work[2] = {BLOCK_INIT, BLOCK_INIT};
	atomic_int count = 0;
	struct error err;

	ck_assert(errgroup_try_go(g, count_up, &count)); /* no limit */
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	errgroup_set_limit(g, 2);
	ck_assert(errgroup_try_go(g, block, &work[0]));
	ck_assert(errgroup_try_go(g, block, &work[1]));
	ck_assert(!errgroup_try_go(g, count_up, &count));
	ck_assert(!errgroup_try_go_named(g, "name", count_up, &count));
	event_set(&work[0].go_on);
	event_set(&work[1].go_on);
	ck_assert_int_eq(errgroup_wait(g, &err), 0);
	assert_none(&err);
	ck_assert_int_eq(count, 1);
	ck_assert(errgroup_try_go(g, count_up, &count));
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_int_eq(count, 2);
	errgroup_free(&g);
}
END_TEST

/* G10 */
START_TEST(a_limit_of_zero_lets_nothing_start)
{
	struct errgroup *g = errgroup_new();
	struct goer goer = {.g = g, .began = EVENT_INIT, .ran = EVENT_INIT};
	atomic_int count = 0;

	ck_assert_int_eq(errgroup_set_limit(g, 0), 0);
	ck_assert(!errgroup_try_go(g, count_up, &count));
	pthread_create(&goer.thread, NULL, go_main, &goer);
	ck_assert(event_wait(&goer.began));
	ck_assert(event_poll(event_thread_sleeps, &goer.tid));
	ck_assert(!event_is_set(&goer.ran));
	ck_assert_int_eq(errgroup_wait(g, NULL), 0); /* none is active */
	ck_assert_int_eq(errgroup_set_limit(g, 0), 0);
	ck_assert(!event_is_set(&goer.ran));
	ck_assert_int_eq(errgroup_set_limit(g, 1), 0);
	ck_assert(event_wait(&goer.ran));
	pthread_join(goer.thread, NULL);
	ck_assert_int_eq(goer.ret, 0);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_int_eq(count, 0);
	errgroup_free(&g);
}
END_TEST

/* G10 */
START_TEST(a_negative_limit_is_none)
{
	struct errgroup *g = errgroup_new();
	pthread_barrier_t barrier;

	for (int limit = -1; limit > -3; limit--) {
		errgroup_set_limit(g, 1);
		ck_assert_int_eq(errgroup_set_limit(g, limit), 0);
		pthread_barrier_init(&barrier, NULL, 10);
		for (int i = 0; i < 10; i++)
			ck_assert(errgroup_try_go(g, meet, &barrier));
		ck_assert_int_eq(errgroup_wait(g, NULL), 0);
		pthread_barrier_destroy(&barrier);
	}
	errgroup_free(&g);
}
END_TEST

/* G11, G18 */
START_TEST(changing_the_limit_while_tasks_are_active_is_refused)
{
	static const int others[] = {2, 1, 3, 0, 100, -1, -7};
	struct errgroup *g = errgroup_new();
	struct block work[2] = {BLOCK_INIT, BLOCK_INIT};

	errgroup_set_limit(g, 2);
	errgroup_go(g, block, &work[0]);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		ck_assert_int_eq(errgroup_set_limit(g, others[i]), -EBUSY);
		ck_assert_str_ne(error_of(-EBUSY).text, strerror(EBUSY));
	}
	ck_assert(errgroup_try_go(g, block, &work[1]));
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		ck_assert_int_eq(errgroup_set_limit(g, others[i]), -EBUSY);
		ck_assert(!errgroup_try_go(g, succeed, NULL));
	}
	event_set(&work[0].go_on);
	event_set(&work[1].go_on);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_int_eq(errgroup_set_limit(g, 3), 0);
	errgroup_free(&g);

	/* From none, too. */
	g = errgroup_new();
	work[0] = (struct block)BLOCK_INIT;
	errgroup_go(g, block, &work[0]);
	ck_assert_int_eq(errgroup_set_limit(g, 1), -EBUSY);
	ck_assert_int_eq(errgroup_set_limit(g, -1), -EBUSY);
	ck_assert(errgroup_try_go(g, succeed, NULL));
	event_set(&work[0].go_on);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	errgroup_free(&g);
}
END_TEST

/* G12 */
START_TEST(a_slot_is_free_before_wait_can_return)
{
	struct errgroup *g = errgroup_new();

	for (int i = 0; i < scale(5000); i++) {
		int limit = 1 + i % 3;

		ck_assert_int_eq(errgroup_set_limit(g, limit), 0);
		for (int j = 0; j < limit; j++)
			ck_assert(errgroup_try_go(g, succeed, NULL));
		ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	}
	errgroup_free(&g);
}
END_TEST

/* ---- progress ------------------------------------------------------------ */

/* G15 */
START_TEST(tasks_that_meet_in_a_barrier_finish)
{
	for (int round = 0; round < scale(50); round++) {
		struct errgroup *g = errgroup_new();
		pthread_barrier_t barrier;

		pthread_barrier_init(&barrier, NULL, MANY);
		for (int i = 0; i < MANY; i++)
			ck_assert_int_eq(errgroup_go(g, meet, &barrier), 0);
		ck_assert_int_eq(errgroup_wait(g, NULL), 0);
		pthread_barrier_destroy(&barrier);
		errgroup_free(&g);
	}
}
END_TEST

struct link {
	struct event self, *next;
};

static int pass_on(struct context *ctx, void *arg)
{
	struct link *link = arg;

	(void)ctx;
	event_wait(&link->self);
	if (link->next)
		event_set(link->next);
	return 0;
}

/* G15: each is let go by the one that starts after it. */
START_TEST(no_number_of_blocked_tasks_stops_the_next)
{
	const int count = scale(1000) + 50;
	struct link *links = calloc((size_t)count, sizeof(*links));
	struct errgroup *g = errgroup_new();

	for (int i = 0; i < count; i++) {
		links[i].self = (struct event)EVENT_INIT;
		links[i].next = i ? &links[i - 1].self : NULL;
		ck_assert_int_eq(errgroup_go(g, pass_on, &links[i]), 0);
	}
	errgroup_go(g, set_event, &links[count - 1].self);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	errgroup_free(&g);
	free(links);
}
END_TEST

/* Talks to its peer through a socket, byte by byte. */
static int talk(struct context *ctx, void *fd)
{
	char byte = 'x';

	(void)ctx;
	for (int i = 0; i < 10; i++)
		if (write(*(int *)fd, &byte, 1) != 1 ||
		    read(*(int *)fd, &byte, 1) != 1)
			return error_set(-EIO, "talk: %m");
	return 0;
}

/* G15 */
START_TEST(tasks_that_block_on_each_others_sockets_finish)
{
	enum { PAIRS = 32 };
	struct errgroup *g = errgroup_new();
	int fds[PAIRS][2];

	for (int i = 0; i < PAIRS; i++)
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds[i]),
		    0);
	for (int end = 0; end < 2; end++)
		for (int i = 0; i < PAIRS; i++)
			errgroup_go(g, talk, &fds[i][end]);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	for (int i = 0; i < PAIRS; i++) {
		close(fds[i][0]);
		close(fds[i][1]);
	}
	errgroup_free(&g);
}
END_TEST

struct nest {
	pthread_barrier_t *barrier;
	int depth;
};

static int nest(struct context *ctx, void *arg)
{
	struct nest *self = arg;
	struct nest below = {self->barrier, self->depth - 1};
	struct errgroup *g;
	int ret;

	if (!self->depth) {
		pthread_barrier_wait(self->barrier);
		return 0;
	}
	g = errgroup_with_context(ctx, NULL);
	for (int i = 0; i < 3; i++)
		errgroup_go(g, nest, &below);
	ret = errgroup_wait(g, NULL);
	errgroup_free(&g);
	return ret;
}

/* G15: the leaves of different inner groups meet. */
START_TEST(tasks_of_nested_groups_that_wait_for_each_other_finish)
{
	for (int round = 0; round < scale(50); round++) {
		pthread_barrier_t barrier;
		struct nest top = {&barrier, 3};

		pthread_barrier_init(&barrier, NULL, 27);
		ck_assert_int_eq(nest(context_background(), &top), 0);
		pthread_barrier_destroy(&barrier);
	}
}
END_TEST

struct turn {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	int turn, players;
};

struct player {
	struct turn *game;
	int number;
};

static int play(struct context *ctx, void *arg)
{
	struct player *self = arg;
	struct turn *game = self->game;

	(void)ctx;
	pthread_mutex_lock(&game->lock);
	for (int round = 0; round < 5; round++) {
		while (game->turn % game->players != self->number)
			pthread_cond_wait(&game->moved, &game->lock);
		game->turn++;
		pthread_cond_broadcast(&game->moved);
	}
	pthread_mutex_unlock(&game->lock);
	return 0;
}

/* G15: the last to start has the first turn. */
START_TEST(tasks_that_take_turns_under_a_mutex_finish)
{
	enum { PLAYERS = 40 };
	struct turn game = {.lock = PTHREAD_MUTEX_INITIALIZER,
	    .moved = PTHREAD_COND_INITIALIZER,
	    .players = PLAYERS};
	struct player players[PLAYERS];
	struct errgroup *g = errgroup_new();

	for (int i = 0; i < PLAYERS; i++) {
		players[i] = (struct player){&game, PLAYERS - 1 - i};
		errgroup_go(g, play, &players[i]);
	}
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_int_eq(game.turn, 5 * PLAYERS);
	errgroup_free(&g);
}
END_TEST

/* ---- threads ------------------------------------------------------------- */

enum { FEW_THREADS = 16 };

/* G15: those that waited for one another in vain are not kept for ever. */
START_TEST(a_hundred_thousand_tasks_in_a_row_leave_few_threads)
{
	struct errgroup *g = errgroup_new();
	atomic_int count = 0;
	const int rounds = scale(100000);

	for (int i = 0; i < rounds; i++)
		ck_assert_int_eq(errgroup_go(g, count_up, &count), 0);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_int_eq(count, rounds);
	ck_assert_int_le(suite_workers(), FEW_THREADS);
	for (int i = 0; i < rounds; i++) {
		errgroup_go(g, count_up, &count);
		errgroup_wait(g, NULL);
	}
	ck_assert_int_eq(count, 2 * rounds);
	ck_assert_int_le(suite_workers(), FEW_THREADS);
	errgroup_free(&g);
}
END_TEST

struct meeting {
	pthread_barrier_t barrier;
	atomic_int *met;
};

static int meet_and_count(struct context *ctx, void *arg)
{
	struct meeting *crowd = arg;

	(void)ctx;
	pthread_barrier_wait(&crowd->barrier);
	atomic_fetch_add(crowd->met, 1);
	return 0;
}

static bool workers_have_left(void *arg)
{
	(void)arg;
	return suite_workers() == 0;
}

/* G15 */
START_TEST(a_group_that_stands_still_gets_threads_beside_one_that_does_not)
{
	struct errgroup *still = errgroup_new(), *busy = errgroup_new();
	atomic_int count = 0, met = 0;
	struct meeting crowd = {.met = &met};
	time_t end = time(NULL) + EVENT_PATIENCE_S;

	pthread_barrier_init(&crowd.barrier, NULL, MANY);
	for (int i = 0; i < MANY; i++)
		errgroup_go(still, meet_and_count, &crowd);
	/* This thread runs them all itself. */
	while (met < MANY && time(NULL) < end) {
		errgroup_go(busy, count_up, &count);
		errgroup_wait(busy, NULL);
	}
	ck_assert_int_eq(met, MANY);
	errgroup_wait(still, NULL);
	pthread_barrier_destroy(&crowd.barrier);
	errgroup_free(&busy);
	errgroup_free(&still);
}
END_TEST

/* ---- how many run at a time ---------------------------------------------- */

struct throng {
	int ns; /* that each sleeps, or works, for */
	atomic_int now; /* so many run */
	atomic_int most;
	atomic_int beside; /* tasks that began while another one ran */
};

static void count_in(struct throng *throng)
{
	int now = atomic_fetch_add(&throng->now, 1) + 1, most = throng->most;

	while (now > most &&
	       !atomic_compare_exchange_weak(&throng->most, &most, now))
		;
	if (now > 1)
		atomic_fetch_add(&throng->beside, 1);
}

static int sleep_briefly(struct context *ctx, void *arg)
{
	struct throng *throng = arg;

	(void)ctx;
	count_in(throng);
	nanosleep(&(struct timespec){.tv_nsec = throng->ns}, NULL);
	atomic_fetch_sub(&throng->now, 1);
	return 0;
}

static int work_briefly(struct context *ctx, void *arg)
{
	struct throng *throng = arg;
	struct timespec start, now;

	(void)ctx;
	count_in(throng);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec -
		   start.tv_nsec <
	       throng->ns);
	atomic_fetch_sub(&throng->now, 1);
	return 0;
}

/* Until as many have run at a time. */
static bool comes_to(struct throng *throng, int most, task_fn *fn)
{
	time_t end = time(NULL) + EVENT_PATIENCE_S;
	struct errgroup *g = errgroup_new();

	throng->most = 0;
	while (throng->most < most && time(NULL) < end) {
		for (int i = 0; i < 200; i++)
			errgroup_go(g, fn, throng);
		errgroup_wait(g, NULL);
	}
	errgroup_free(&g);
	return throng->most >= most;
}

/* Their queue never stands still for long. */
START_TEST(tasks_that_sleep_briefly_run_many_at_a_time)
{
	struct throng throng = {.ns = 1000000};

	ck_assert(comes_to(&throng, 24, sleep_briefly));
}
END_TEST

/* The kernel, not the number of tasks, says how many are at it. */
START_TEST(tasks_that_work_run_a_few_at_a_time)
{
	struct throng throng = {.ns = 50000};

	if (is_emulated())
		return;
	ck_assert(comes_to(&throng, 2, work_briefly));
	for (int i = 0; i < 10; i++)
		comes_to(&throng, 2, work_briefly);
	ck_assert_int_le(suite_workers(),
	    FEW_THREADS + (int)sysconf(_SC_NPROCESSORS_ONLN));
}
END_TEST

static int wait_for_event(struct context *ctx, void *arg)
{
	(void)ctx;
	return event_wait(arg) ? 0 : -ETIMEDOUT;
}

/* While ten others block, by means that the library knows nothing of. */
static int work_beside_blocked(int count)
{
	struct throng throng = {.ns = 500000};
	struct errgroup *blocked = errgroup_new(), *g = errgroup_new();
	struct event go_on = EVENT_INIT;

	for (int i = 0; i < 10; i++)
		errgroup_go(blocked, wait_for_event, &go_on);
	/* For so long that the pool has turned to other things. */
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	for (int i = 0; i < count; i++)
		errgroup_go(g, work_briefly, &throng);
	errgroup_wait(g, NULL);
	event_set(&go_on);
	ck_assert_int_eq(errgroup_wait(blocked, NULL), 0);
	errgroup_free(&blocked);
	errgroup_free(&g);
	return throng.beside;
}

/* A thread that blocks is none of those that there are processors for. */
START_TEST(tasks_run_side_by_side_though_others_block)
{
	const int count = 400;

	for (int i = 0; i < 5 && !is_emulated(); i++)
		ck_assert_int_ge(work_beside_blocked(count), count / 4);
}
END_TEST

/* G15 */
START_TEST(threads_that_are_not_used_leave)
{
	struct errgroup *g = errgroup_new();
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, MANY);
	for (int i = 0; i < MANY; i++)
		errgroup_go(g, meet, &barrier);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	pthread_barrier_destroy(&barrier);
	ck_assert(event_poll(workers_have_left, NULL));
	/* And are made again. */
	ck_assert_int_eq(errgroup_go(g, succeed, NULL), 0);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	errgroup_free(&g);
}
END_TEST

struct thread_look {
	struct event done;
	sigset_t mask;
	size_t stack_size;
	char name[16];
};

static int look_at_thread(struct context *ctx, void *arg)
{
	struct thread_look *self = arg;
	pthread_attr_t attr;
	void *stack;

	(void)ctx;
	pthread_sigmask(SIG_SETMASK, NULL, &self->mask);
	pthread_getname_np(pthread_self(), self->name, sizeof(self->name));
	if (!pthread_getattr_np(pthread_self(), &attr)) {
		pthread_attr_getstack(&attr, &stack, &self->stack_size);
		pthread_attr_destroy(&attr);
	}
	event_set(&self->done);
	return 0;
}

static void unpark_look(void *arg)
{
	look_at_thread(NULL, arg);
}

static void assert_mask(const sigset_t *mask)
{
	static const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL,
	    SIGTRAP, SIGSYS};
	static const int others[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGCHLD,
	    SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM};

	for (size_t i = 0; i < sizeof(synchronous) / sizeof(int); i++)
		ck_assert_int_eq(sigismember(mask, synchronous[i]), 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(int); i++)
		ck_assert_int_eq(sigismember(mask, others[i]), 1);
}

/* G19; nobody waits before the task has run, so it runs on a thread made. */
START_TEST(threads_block_all_signals_but_the_synchronous_ones)
{
	struct thread_look look = {.done = EVENT_INIT};
	struct errgroup *g = errgroup_new();
	struct context *ctx = context_with_timeout(NULL, 0);
	struct context_after *after;

	errgroup_go(g, look_at_thread, &look);
	ck_assert(event_wait(&look.done));
	assert_mask(&look.mask);
	ck_assert_int_eq(strncmp(look.name, "cratos", 6), 0);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	errgroup_free(&g);

	look = (struct thread_look){.done = EVENT_INIT};
	after = context_after(ctx, unpark_look, &look);
	ck_assert(event_wait(&look.done));
	assert_mask(&look.mask);
	ck_assert(!context_after_stop(&after));
	context_free(&ctx);
}
END_TEST

/* In steps, as calls do. */
static size_t use_bytes(size_t bytes)
{
	volatile char frame[16 * 1024];

	frame[0] = 1;
	if (bytes > sizeof(frame))
		return use_bytes(bytes - sizeof(frame)) + (size_t)frame[0];
	return (size_t)frame[0];
}

static int use_stack(struct context *ctx, void *bytes)
{
	(void)ctx;
	use_bytes(*(size_t *)bytes);
	return 0;
}

static size_t stack_size_of_new_threads(void)
{
	struct thread_look look = {.done = EVENT_INIT};
	struct block work[8];
	struct errgroup *g = errgroup_new();

	/* More blocked tasks than idle threads: the last has a new one. */
	for (int i = 0; i < 8; i++) {
		work[i] = (struct block)BLOCK_INIT;
		errgroup_go(g, block, &work[i]);
		ck_assert(event_wait(&work[i].began));
	}
	errgroup_go(g, look_at_thread, &look);
	ck_assert(event_wait(&look.done));
	for (int i = 0; i < 8; i++)
		event_set(&work[i].go_on);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	errgroup_free(&g);
	return look.stack_size;
}

/* G19; the guard page may be counted in. */
START_TEST(threads_have_a_stack_of_1_mib_unless_set)
{
	const size_t mib = 1024 * 1024, slack = 64 * 1024;

	ck_assert_uint_ge(stack_size_of_new_threads() + slack, mib);
}
END_TEST

/* G19 */
START_TEST(the_stack_size_can_be_set)
{
	const size_t mib = 1024 * 1024, slack = 64 * 1024;
	struct errgroup *g = errgroup_new();
	size_t used = 6 * mib;
	struct event done = EVENT_INIT;

	ck_assert_int_eq(errgroup_set_stack_size(0), -EINVAL);
	ck_assert_str_ne(error_of(-EINVAL).text, strerror(EINVAL));
	ck_assert_int_eq(errgroup_set_stack_size(1), -EINVAL);
	ck_assert_int_eq(errgroup_set_stack_size((size_t)-1), -EINVAL);
	ck_assert_int_eq(errgroup_set_stack_size(8 * mib - 1), 0);
	ck_assert_uint_ge(stack_size_of_new_threads() + slack, 8 * mib);
	errgroup_set_limit(g, 1);
	errgroup_go(g, use_stack, &used);
	errgroup_go(g, set_event, &done);
	ck_assert(event_wait(&done));
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	errgroup_free(&g);
}
END_TEST

/* ---- parked tasks -------------------------------------------------------- */

/* G5, G8: parked is active, but holds no thread. */
START_TEST(a_parked_task_holds_no_thread_and_runs_when_its_context_is_done)
{
	const int count = scale(10000);
	struct context *when = context_with_cancel(NULL);
	struct errgroup *g = errgroup_new();
	atomic_int ran = 0;

	for (int i = 0; i < count; i++)
		ck_assert_int_eq(errgroup_go_after(g, when, "parked", count_up,
				     &ran),
		    0);
	ck_assert_int_eq(ran, 0);
	ck_assert_int_le(suite_workers(), 4);
	ck_assert_int_eq(errgroup_set_limit(g, 1), -EBUSY);
	context_cancel(when, NULL);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_int_eq(ran, count);
	assert_idle(g);
	errgroup_free(&g);
	context_free(&when);
}
END_TEST

/* G2, G7, G17 */
START_TEST(a_parked_task_is_a_task_like_any_other)
{
	struct context *when = context_with_timeout(NULL, 2), *ctx = NULL;
	struct errgroup *g = errgroup_with_context(NULL, &ctx);
	struct context *seen = NULL;
	struct error err;

	errgroup_go_after(g, when, "seer", store_context, &seen);
	errgroup_go_after(g, when, "parked", fail_in_words, (void *)"late");
	/* One that is done already, and the group's own. */
	errgroup_go_after(g, ctx, NULL, store_context, &seen);
	ck_assert_int_eq(errgroup_wait(g, &err), -EIO);
	assert_error(&err, -EIO, "parked", "words: late");
	ck_assert_ptr_eq(seen, ctx);
	seen = NULL;
	errgroup_go_after(g, when, NULL, store_context, &seen);
	ck_assert_int_eq(errgroup_wait(g, NULL), -EIO);
	ck_assert_ptr_eq(seen, ctx);
	errgroup_free(&g);
	context_free(&when);
}
END_TEST

/* G8, G9 */
START_TEST(a_parked_task_counts_for_the_limit)
{
	struct context *when = context_with_cancel(NULL);
	struct errgroup *g = errgroup_new();
	atomic_int ran = 0;

	errgroup_set_limit(g, 1);
	errgroup_go_after(g, when, "parked", count_up, &ran);
	ck_assert(!errgroup_try_go(g, count_up, &ran));
	context_free(&when);
	ck_assert_int_eq(errgroup_go(g, count_up, &ran), 0);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	ck_assert_int_eq(ran, 2);
	errgroup_free(&g);
}
END_TEST

/* G15: parked tasks that block on each other once they run. */
START_TEST(parked_tasks_that_meet_in_a_barrier_finish)
{
	struct context *when = context_with_cancel(NULL);
	struct errgroup *g = errgroup_new();
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, MANY);
	for (int i = 0; i < MANY; i++) {
		if (i % 2)
			errgroup_go(g, meet, &barrier);
		else
			errgroup_go_after(g, when, NULL, meet, &barrier);
	}
	context_cancel(when, NULL);
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	pthread_barrier_destroy(&barrier);
	errgroup_free(&g);
	context_free(&when);
}
END_TEST

/* ---- failures ------------------------------------------------------------ */

/* G16, G18 */
START_TEST(a_thread_that_cannot_be_made_is_an_error_of_the_group)
{
	struct context *ctx = NULL;
	struct errgroup *g = errgroup_with_context(NULL, &ctx);
	atomic_int count = 0;
	struct error err, cause;

	errgroup_set_limit(g, 1);
	fault_from(FAULT_THREAD, 1);
	ck_assert_int_eq(errgroup_go(g, count_up, &count), -EAGAIN);
	ck_assert_str_ne(error_of(-EAGAIN).text, strerror(EAGAIN));
	fault_none();
	ck_assert_int_eq(context_err(ctx), -ECANCELED);
	ck_assert_int_eq(errgroup_set_limit(g, 1), 0); /* none is active */
	ck_assert(errgroup_try_go(g, count_up, &count)); /* the slot is free */
	ck_assert_int_eq(errgroup_wait(g, &err), -EAGAIN);
	ck_assert_int_eq(count, 1);
	ck_assert_str_eq(err.origin, "count_up");
	ck_assert_str_eq(err.text,
	    "cannot start a task: Resource temporarily unavailable");
	cause = context_cause(ctx);
	ck_assert_mem_eq(&cause, &err, sizeof(err));
	errgroup_free(&g);
}
END_TEST

/*
 * A group has room for a few tasks from the beginning; of so many that are
 * started at once, one needs more.
 */
enum { MORE_THAN_ROOM = 100000 };

/* G18 */
START_TEST(a_try_go_that_fails_is_false_and_no_error_of_the_group)
{
	struct context *ctx = NULL;
	struct errgroup *g = errgroup_with_context(NULL, &ctx);
	atomic_int count = 0;
	int started = 0;
	struct error err;

	for (int fault = 0; fault < FAULT_COUNT; fault++) {
		int first = fault == FAULT_MEMORY ? started : 0;

		fault_from(fault, 1);
		while (errgroup_try_go(g, count_up, &count) &&
		       started - first < MORE_THAN_ROOM)
			started++;
		ck_assert_int_gt(fault_failed(fault), 0);
		ck_assert(fault == FAULT_MEMORY || !started);
		fault_none();
		ck_assert_int_eq(context_err(ctx), 0);
	}
	ck_assert_int_eq(errgroup_wait(g, &err), 0);
	assert_none(&err);
	assert_idle(g);
	ck_assert_int_eq(count, started);
	errgroup_free(&g);
}
END_TEST

/* C25, G16, G18 */
START_TEST(a_task_that_cannot_be_allocated_is_an_error_of_the_group)
{
	struct context *ctx = NULL;
	struct errgroup *g = errgroup_with_context(NULL, &ctx);
	long before = suite_blocks();
	atomic_int count = 0;
	int started = 0, ret;
	struct error err;

	fault_from(FAULT_MEMORY, 1);
	while (!(ret = errgroup_go(g, count_up, &count)) &&
	       started < MORE_THAN_ROOM)
		started++;
	fault_none();
	ck_assert_int_eq(ret, -ENOMEM);
	ck_assert(event_poll(suite_blocks_are_few, &before));
	ck_assert_int_eq(context_err(ctx), -ECANCELED);
	ck_assert_int_eq(errgroup_wait(g, &err), -ENOMEM);
	assert_error(&err, -ENOMEM, "count_up",
	    "cannot start a task: Cannot allocate memory");
	ck_assert_int_eq(errgroup_set_limit(g, 1), 0);
	ck_assert(errgroup_try_go(g, count_up, &count));
	ck_assert_int_eq(errgroup_wait(g, &err), -ENOMEM);
	ck_assert_int_eq(count, started + 1);
	errgroup_free(&g);
}
END_TEST

/* G16, G19 */
START_TEST(a_thread_whose_mask_cannot_be_set_is_an_error_of_the_group)
{
	struct errgroup *g = errgroup_new();
	atomic_int count = 0;

	fault_from(FAULT_THREAD_MASK, 1);
	ck_assert_int_eq(errgroup_go(g, count_up, &count), -ENOMEM);
	fault_none();
	ck_assert_int_eq(errgroup_wait(g, NULL), -ENOMEM);
	ck_assert_int_eq(count, 0);
	errgroup_free(&g);
}
END_TEST

/* C25, G16: each thing that can fail on the way of a parked task. */
START_TEST(a_task_that_cannot_be_parked_is_an_error_of_the_group)
{
	struct context *when = context_with_cancel(NULL);
	const int want = _i == FAULT_THREAD ? -EAGAIN : -ENOMEM;
	atomic_int ran = 0;
	int fails = 0;

	for (;;) {
		struct errgroup *g = errgroup_new();
		struct error err;
		int ret;

		errgroup_set_limit(g, 1);
		fault_nth(_i, fails + 1);
		ret = errgroup_go_after(g, when, "parked", count_up, &ran);
		fault_none();
		if (!ret) {
			context_cancel(when, NULL);
			ck_assert_int_eq(errgroup_wait(g, NULL), 0);
			errgroup_free(&g);
			break;
		}
		fails++;
		ck_assert_int_eq(ret, want);
		ck_assert_int_eq(errgroup_set_limit(g, 2), 0);
		ck_assert_int_eq(errgroup_wait(g, &err), want);
		ck_assert_str_eq(err.origin, "parked");
		ck_assert_int_eq(strncmp(err.text, "cannot start", 12), 0);
		errgroup_free(&g);
	}
	ck_assert_int_eq(ran, 1);
	ck_assert_int_ge(fails, 1);
	context_free(&when);
}
END_TEST

/* C25 */
START_TEST(a_group_that_cannot_be_allocated_is_null_and_enomem)
{
	struct context *parent = context_with_cancel(NULL), *ctx = parent;
	struct errgroup *g;
	long before = fault_blocks();

	fault_nth(FAULT_MEMORY, 1);
	errno = 0;
	ck_assert_ptr_null(errgroup_new());
	ck_assert_int_eq(errno, ENOMEM);
	for (int n = 1; n <= 2; n++) {
		fault_nth(FAULT_MEMORY, n);
		errno = 0;
		ck_assert_ptr_null(errgroup_with_context(parent, &ctx));
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_ptr_eq(ctx, parent); /* written only on success */
		ck_assert_int_eq(fault_blocks(), before);
	}
	fault_none();
	g = errgroup_with_context(parent, &ctx);
	ck_assert_ptr_nonnull(g);
	errgroup_free(&g);
	context_free(&parent);
}
END_TEST

/* G16: nothing that was accepted is lost, nothing that was not runs. */
START_TEST(every_task_that_was_accepted_runs_though_threads_fail_at_random)
{
	for (int round = 0; round < scale(100); round++) {
		struct errgroup *g = errgroup_new();
		struct context *when = context_with_cancel(NULL);
		atomic_int count = 0;
		int accepted = 0, refused = 0, ret;

		/* So that the timers' thread is there. */
		ck_assert_int_eq(errgroup_go_after(g, when, NULL, count_up,
				     &count),
		    0);
		accepted++;
		if (round % 2)
			errgroup_set_limit(g, 4);
		fault_probability(FAULT_THREAD, 0.8, (unsigned)round + 1);
		for (int i = 0; i < 50; i++) {
			if (i % 3 == 0)
				ret = errgroup_try_go(g, count_up, &count)
					  ? 0
					  : -EBUSY;
			else if (i % 3 == 1)
				ret = errgroup_go(g, count_up, &count);
			else if (round % 2)
				continue; /* would fill the limit */
			else
				ret = errgroup_go_after(g, when, NULL, count_up,
				    &count);
			accepted += ret == 0;
			refused += ret == -EAGAIN;
		}
		context_cancel(when, NULL);
		ret = errgroup_wait(g, NULL);
		fault_none();
		ck_assert_int_eq(ret, refused ? -EAGAIN : 0);
		ck_assert_int_eq(count, accepted);
		assert_idle(g);
		errgroup_free(&g);
		context_free(&when);
	}
}
END_TEST

/* G16: a thread that is idle is as good as a new one. */
START_TEST(no_thread_is_needed_while_one_is_idle)
{
	struct errgroup *g = errgroup_new();
	struct event done = EVENT_INIT;

	errgroup_go(g, succeed, NULL);
	errgroup_go(g, set_event, &done);
	ck_assert(event_wait(&done));
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	fault_from(FAULT_THREAD, 1);
	/* The thread may not be back from its last task yet. */
	while (!errgroup_try_go(g, succeed, NULL))
		sched_yield();
	ck_assert_int_eq(errgroup_wait(g, NULL), 0);
	fault_none();
	errgroup_free(&g);
}
END_TEST

static int count_and_wait(struct context *ctx, void *count)
{
	atomic_fetch_add((atomic_int *)count, 1);
	return context_wait(ctx, -1);
}

/* G15, G16: the error ends those that run, and so makes room for the others. */
START_TEST(tasks_that_get_no_thread_once_accepted_fail_the_group_and_run)
{
	for (int thread = 1; thread <= 3; thread++) {
		struct errgroup *g = errgroup_with_context(NULL, NULL);
		atomic_int count = 0;
		int accepted = 0;
		struct error err;

		fault_from(FAULT_THREAD, thread);
		for (int i = 0; i < 8; i++)
			accepted += !errgroup_go(g, count_and_wait, &count);
		ck_assert_int_eq(errgroup_wait(g, &err), -EAGAIN);
		fault_none();
		ck_assert_str_eq(err.origin, "count_and_wait");
		ck_assert_str_eq(err.text,
		    "cannot start a task: Resource temporarily unavailable");
		ck_assert_int_eq(count, accepted);
		assert_idle(g);
		errgroup_free(&g);
	}
}
END_TEST

struct count_want {
	atomic_int *count;
	int want;
};

static bool has_count(void *arg)
{
	struct count_want *self = arg;

	return *self->count == self->want;
}

/* G16: the only thread there is runs all, one after the other. */
START_TEST(one_thread_runs_all_if_no_other_can_be_made)
{
	struct errgroup *g = errgroup_new();
	atomic_int count = 0;
	struct count_want want = {&count, 0};

	fault_from(FAULT_THREAD, 2);
	for (int i = 0; i < 100; i++)
		want.want += !errgroup_go(g, count_up, &count);
	ck_assert_int_gt(want.want, 0);
	ck_assert(event_poll(has_count, &want));
	fault_none();
	errgroup_wait(g, NULL);
	errgroup_free(&g);
}
END_TEST

static int run_short_of_threads(struct context *ctx, void *arg)
{
	struct errgroup *g = arg;

	(void)ctx;
	fault_from(FAULT_THREAD, 1);
	/* Fails once all idle threads are blocked. */
	while (!errgroup_go(g, wait_for_context, NULL))
		;
	return 0;
}

/* G2, G16: a task that cannot start ends those that run. */
START_TEST(a_task_that_cannot_start_cancels_those_that_run)
{
	struct errgroup *g = errgroup_with_context(NULL, NULL);
	struct error err;

	errgroup_go(g, run_short_of_threads, g);
	ck_assert_int_eq(errgroup_wait(g, &err), -EAGAIN);
	ck_assert_str_eq(err.origin, "wait_for_context");
	fault_none();
	errgroup_free(&g);
}
END_TEST

struct meanwhile {
	struct event failing, go_on;
};

static void fail_late(void *arg)
{
	struct meanwhile *self = arg;

	event_set(&self->failing);
	event_wait(&self->go_on);
}

static bool goer_is_through(void *goer)
{
	return ((struct goer *)goer)->through;
}

static bool goer_is_through_or_sleeps(void *arg)
{
	struct goer *self = arg;

	return self->through || event_thread_sleeps(&self->tid);
}

/*
 * G15, G16: two groups at the same time, and the thread that both count on
 * cannot be made, while (_i) a worker comes to rest.
 */
START_TEST(a_task_is_not_left_to_a_thread_that_never_came)
{
	struct errgroup *busy = errgroup_new();
	struct meanwhile late = {EVENT_INIT, EVENT_INIT};
	struct block work = BLOCK_INIT;
	struct goer goers[2];

	if (_i) {
		ck_assert_int_eq(errgroup_go(busy, block, &work), 0);
		ck_assert(event_wait(&work.began));
	}
	fault_nth(FAULT_THREAD, 1);
	fault_on_failing(fail_late, &late);
	for (int i = 0; i < 2; i++) {
		goers[i] = (struct goer){.g = errgroup_new(),
		    .began = EVENT_INIT,
		    .ran = EVENT_INIT};
		pthread_create(&goers[i].thread, NULL, go_main, &goers[i]);
		if (i)
			break;
		ck_assert(event_wait(&late.failing));
		event_set(&work.go_on);
		if (_i)
			ck_assert_int_eq(errgroup_wait(busy, NULL), 0);
	}
	ck_assert(event_wait(&goers[1].began));
	ck_assert(event_poll(goer_is_through_or_sleeps, &goers[1]));
	event_set(&late.go_on);
	for (int i = 0; i < 2; i++) {
		pthread_join(goers[i].thread, NULL);
		if (!goers[i].ret)
			ck_assert(event_wait(&goers[i].ran));
		ck_assert_int_eq(errgroup_wait(goers[i].g, NULL), goers[i].ret);
		errgroup_free(&goers[i].g);
	}
	ck_assert_int_eq(goers[1].ret, 0);
	fault_none();
	errgroup_free(&busy);
}
END_TEST

static int await_goer(struct context *ctx, void *arg)
{
	struct goer *goer = arg;

	(void)ctx;
	for (int i = 0; i < EVENT_PATIENCE_S * 1000 && !goer->through; i++)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	return goer->through ? 0 : -ETIMEDOUT;
}

/*
 * While one thread is idle, and no other can be made: all three are queued. If
 * they wait long, that is an error of the group, and it stays.
 */
static bool three_are_queued(struct errgroup *g, struct block *first,
    struct goer *goer)
{
	struct event done = EVENT_INIT;
	int queued = 0;

	fault_none();
	errgroup_go(g, set_event, &done);
	ck_assert(event_wait(&done));
	ck_assert_int_ne(errgroup_wait(g, NULL), -ETIMEDOUT);
	fault_from(FAULT_THREAD, 1);
	*first = (struct block)BLOCK_INIT;
	goer->through = false;
	queued += errgroup_try_go(g, block, first);
	queued += errgroup_try_go(g, await_goer, goer);
	queued += errgroup_try_go(g, succeed, NULL);
	if (queued == 3)
		return true;
	event_set(&first->go_on);
	goer->through = true;
	ck_assert_int_ne(errgroup_wait(g, NULL), -ETIMEDOUT);
	return false;
}

/*
 * G8, G16: the only worker runs the tasks itself, and nobody looks at the queue
 * any more; the second task waits for the goer, who has the first one's slot.
 */
START_TEST(a_free_slot_is_told_though_nobody_looks_at_the_queue)
{
	struct errgroup *g = errgroup_new();
	bool slept = false;

	errgroup_set_limit(g, 3);
	/* It does not sleep if there are threads left for all three. */
	for (int i = 0; i < 20 && !slept; i++) {
		struct goer goer = {.g = g,
		    .began = EVENT_INIT,
		    .ran = EVENT_INIT};
		struct block first;

		while (!three_are_queued(g, &first, &goer))
			;
		pthread_create(&goer.thread, NULL, go_main, &goer);
		ck_assert(event_wait(&goer.began));
		ck_assert(event_poll(goer_is_through_or_sleeps, &goer));
		slept = !goer.through;
		event_set(&first.go_on);
		ck_assert(event_poll(goer_is_through, &goer));
		fault_none();
		pthread_join(goer.thread, NULL);
		ck_assert_int_ne(errgroup_wait(g, NULL), -ETIMEDOUT);
	}
	ck_assert(slept);
	errgroup_free(&g);
}
END_TEST

/* ---- programmer errors --------------------------------------------------- */

/* C25 */
START_TEST(a_result_above_zero_is_a_programmer_error)
{
	struct errgroup *g = errgroup_new();
	int code = 1;

	errgroup_go(g, fail_with, &code);
	errgroup_wait(g, NULL);
}
END_TEST

/* G19 */
START_TEST(freeing_a_group_with_active_tasks_is_a_programmer_error)
{
	struct errgroup *g = errgroup_new();
	struct block work = BLOCK_INIT;

	errgroup_go(g, block, &work);
	errgroup_free(&g);
}
END_TEST

/* ---- the suite ----------------------------------------------------------- */

static void add_failures(Suite *suite)
{
	TCase *tcase;

	SUITE_ADD(suite, "tasks that cannot start",
	    a_thread_that_cannot_be_made_is_an_error_of_the_group,
	    a_try_go_that_fails_is_false_and_no_error_of_the_group,
	    a_task_that_cannot_be_allocated_is_an_error_of_the_group,
	    a_thread_whose_mask_cannot_be_set_is_an_error_of_the_group,
	    a_task_that_cannot_start_cancels_those_that_run);
	SUITE_ADD(suite, "tasks that were accepted",
	    every_task_that_was_accepted_runs_though_threads_fail_at_random,
	    tasks_that_get_no_thread_once_accepted_fail_the_group_and_run,
	    one_thread_runs_all_if_no_other_can_be_made,
	    a_free_slot_is_told_though_nobody_looks_at_the_queue,
	    no_thread_is_needed_while_one_is_idle);
	SUITE_ADD(suite, "groups that cannot be made",
	    a_group_that_cannot_be_allocated_is_null_and_enomem);

	tcase = suite_case(suite, "tasks that cannot be parked");
	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase,
	    a_task_that_cannot_be_parked_is_an_error_of_the_group, 0,
	    FAULT_COUNT);

	tcase = suite_case(suite, "threads that never came");
	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase,
	    a_task_is_not_left_to_a_thread_that_never_came, 0, 2);

	tcase = suite_case(suite, "programmer errors");
	tcase_add_test_raise_signal(tcase,
	    a_result_above_zero_is_a_programmer_error, SIGABRT);
	tcase_add_test_raise_signal(tcase,
	    freeing_a_group_with_active_tasks_is_a_programmer_error, SIGABRT);
}

static void add_limits(Suite *suite)
{
	SUITE_ADD(suite, "limit", active_tasks_never_exceed_the_limit,
	    as_many_tasks_as_the_limit_run_at_the_same_time,
	    at_the_limit_go_blocks_until_a_slot_is_free,
	    all_who_wait_for_a_slot_get_one,
	    no_goer_sleeps_while_another_leaves_a_slot_free,
	    at_the_limit_try_go_is_false_and_runs_nothing);
	SUITE_ADD(suite, "setting the limit",
	    a_limit_of_zero_lets_nothing_start, a_negative_limit_is_none,
	    changing_the_limit_while_tasks_are_active_is_refused,
	    a_slot_is_free_before_wait_can_return);
}

static void add_progress(Suite *suite)
{
	SUITE_ADD(suite, "progress", tasks_that_meet_in_a_barrier_finish,
	    no_number_of_blocked_tasks_stops_the_next,
	    tasks_that_block_on_each_others_sockets_finish,
	    tasks_of_nested_groups_that_wait_for_each_other_finish,
	    tasks_that_take_turns_under_a_mutex_finish);
	SUITE_ADD(suite, "threads",
	    a_hundred_thousand_tasks_in_a_row_leave_few_threads,
	    a_group_that_stands_still_gets_threads_beside_one_that_does_not,
	    tasks_that_sleep_briefly_run_many_at_a_time,
	    tasks_that_work_run_a_few_at_a_time,
	    tasks_run_side_by_side_though_others_block,
	    threads_that_are_not_used_leave,
	    threads_block_all_signals_but_the_synchronous_ones,
	    threads_have_a_stack_of_1_mib_unless_set,
	    the_stack_size_can_be_set);
	SUITE_ADD(suite, "parked tasks",
	    a_parked_task_holds_no_thread_and_runs_when_its_context_is_done,
	    a_parked_task_is_a_task_like_any_other,
	    a_parked_task_counts_for_the_limit,
	    parked_tasks_that_meet_in_a_barrier_finish);
}

static Suite *errgroup_suite(void)
{
	Suite *suite = suite_create("errgroup");

	SUITE_ADD(suite, "plain and with context",
	    waiting_on_an_empty_group_returns_zero,
	    tasks_of_a_plain_group_get_the_background_context,
	    a_plain_group_has_no_limit,
	    tasks_of_a_group_with_a_context_get_that_context,
	    the_context_of_a_group_ends_with_it);
	SUITE_ADD(suite, "first error", wait_returns_the_first_error,
	    of_errors_at_the_same_time_exactly_one_wins,
	    a_task_that_returns_zero_cancels_nothing);
	SUITE_ADD(suite, "names and words",
	    the_origin_is_the_name_of_the_function_or_the_one_given,
	    a_name_is_copied_cut_to_fit_and_may_be_missing,
	    without_words_of_its_own_a_task_has_those_of_its_code,
	    an_inner_group_does_not_disturb_the_text_of_an_outer_task);
	SUITE_ADD(suite, "wait",
	    wait_returns_only_after_every_task_whatever_the_context_says,
	    a_wait_does_not_return_while_a_task_blocks,
	    wait_cancels_the_groups_context,
	    several_threads_may_wait_and_all_get_the_same_error,
	    a_wait_returns_though_the_group_is_busy_again_at_once);
	SUITE_ADD(suite, "go at any time",
	    with_a_parent_that_is_done_tasks_run_and_wait_returns_zero,
	    go_after_an_error_still_runs_the_task,
	    a_group_can_be_used_again_after_wait,
	    a_task_may_call_go_on_its_own_group);
	add_limits(suite);
	add_progress(suite);
	add_failures(suite);
	return suite;
}

int main(void)
{
	return suite_run(errgroup_suite());
}
