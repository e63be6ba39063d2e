/* Contexts: when they end, why, and what they carry. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cratos/context.h>

#include "errgroup/after.h"
#include "errgroup/clock.h"
#include "tests/suite.h"

enum { HOUR_MS = 3600 * 1000, THREADS = 8 };

static const struct error cause_a = {-EIO, "disk", "cause A"};
static const struct error cause_b = {-EPIPE, "socket", "cause B"};

static const char key_a, key_b;

static void assert_cause(struct context *ctx, int err, const struct error *want)
{
	struct error cause = context_cause(ctx);

	ck_assert_int_eq(context_err(ctx), err);
	ck_assert_int_eq(cause.code, want->code);
	ck_assert_str_eq(cause.origin, want->origin);
	ck_assert_str_eq(cause.text, want->text);
}

static void assert_ended(struct context *ctx, int err)
{
	struct error cause = context_cause(ctx);

	ck_assert_int_eq(context_err(ctx), err);
	ck_assert_int_eq(cause.code, err);
	ck_assert_str_ne(cause.text, "");
}

static void assert_live(struct context *ctx)
{
	static const struct error none;
	struct error cause = context_cause(ctx);

	ck_assert_int_eq(context_err(ctx), 0);
	ck_assert_mem_eq(&cause, &none, sizeof(cause));
}

static bool readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents == POLLIN;
}

static void set_event(void *event)
{
	event_set(event);
}

/* One child of each kind. */
enum { KINDS = 4 };

static struct context *make_kind(struct context *parent, int kind)
{
	switch (kind) {
	case 0:
		return context_with_cancel(parent);
	case 1:
		return context_with_timeout(parent, HOUR_MS);
	case 2:
		return context_with_deadline(parent, clock_ms() + HOUR_MS);
	default:
		return context_with_value(parent, &key_b, NULL);
	}
}

/* ---- background ---------------------------------------------------------- */

/* C1 */
START_TEST(the_background_context_is_never_done)
{
	struct context *ctx = context_background();
	int64_t deadline_ms = 42;

	ck_assert_ptr_nonnull(ctx);
	ck_assert_ptr_eq(context_background(), ctx);
	ck_assert_int_eq(context_wait(ctx, 5), 0);
	assert_live(ctx);
	ck_assert(!context_deadline(ctx, &deadline_ms));
	ck_assert_int_eq(deadline_ms, 42);
	ck_assert_ptr_null(context_value(ctx, &key_a));
}
END_TEST

/* C1, C21: its descriptor is as static as it is. */
START_TEST(the_descriptor_of_the_background_context_is_never_readable)
{
	int fd = context_fd(context_background());

	ck_assert_int_ge(fd, 0);
	ck_assert(!readable(fd));
	ck_assert_int_eq(context_fd(context_background()), fd);
}
END_TEST

/* C1, C18 */
START_TEST(an_after_of_the_background_context_can_be_stopped)
{
	struct event ran = EVENT_INIT;
	struct context_after *after =
	    context_after(context_background(), set_event, &ran);

	ck_assert_ptr_nonnull(after);
	ck_assert(context_after_stop(&after));
	ck_assert_ptr_null(after);
	ck_assert(!event_is_set(&ran));
}
END_TEST

/* C1 */
START_TEST(cancelling_the_background_context_is_a_programmer_error)
{
	context_cancel(context_background(), NULL);
}
END_TEST

/* C1 */
START_TEST(freeing_the_background_context_is_a_programmer_error)
{
	struct context *ctx = context_background();

	context_free(&ctx);
}
END_TEST

/* ---- cancel -------------------------------------------------------------- */

/* C2 */
START_TEST(cancel_makes_the_context_done)
{
	struct context *ctx = context_with_cancel(NULL);

	assert_live(ctx);
	context_cancel(ctx, NULL);
	assert_ended(ctx, -ECANCELED);
	ck_assert_int_eq(context_wait(ctx, -1), -ECANCELED);
	ck_assert_int_eq(context_wait(ctx, 0), -ECANCELED);
	context_free(&ctx);
	ck_assert_ptr_null(ctx);
}
END_TEST

/* C3, C8 */
START_TEST(the_first_cancel_and_its_cause_stick)
{
	struct context *ctx = context_with_cancel(NULL);
	struct error mine = cause_a;

	context_cancel(ctx, &mine);
	memset(&mine, 'x', sizeof(mine)); /* it was copied */
	assert_cause(ctx, -ECANCELED, &cause_a);
	context_cancel(ctx, NULL);
	context_cancel(ctx, &cause_b);
	assert_cause(ctx, -ECANCELED, &cause_a);
	context_free(&ctx);

	ctx = context_with_cancel(NULL);
	context_cancel(ctx, NULL);
	context_cancel(ctx, &cause_b);
	assert_ended(ctx, -ECANCELED);
	context_free(&ctx);
}
END_TEST

struct cancel_thread {
	pthread_t thread;
	pthread_barrier_t *start;
	struct context *ctx, *leaf;
	struct error cause;
	/* handed back: what the thread sees after its cancel */
	struct error seen, leaf_seen;
	int err;
};

static void *cancel_main(void *arg)
{
	struct cancel_thread *self = arg;

	pthread_barrier_wait(self->start);
	context_cancel(self->ctx, &self->cause);
	self->err = context_err(self->leaf);
	self->seen = context_cause(self->ctx);
	self->leaf_seen = context_cause(self->leaf);
	return NULL;
}

/* C3, C4, C8 */
START_TEST(of_many_threads_that_cancel_one_gives_the_cause_for_all)
{
	for (int round = 0; round < scale(300); round++) {
		struct context *ctx = context_with_cancel(NULL);
		struct context *leaf = context_with_timeout(ctx, HOUR_MS);
		struct cancel_thread threads[THREADS] = {0};
		pthread_barrier_t start;
		struct error cause;

		pthread_barrier_init(&start, NULL, THREADS);
		for (int i = 0; i < THREADS; i++) {
			threads[i].start = &start;
			threads[i].ctx = ctx;
			threads[i].leaf = leaf;
			threads[i].cause.code = -1 - i;
			pthread_create(&threads[i].thread, NULL, cancel_main,
			    &threads[i]);
		}
		for (int i = 0; i < THREADS; i++)
			pthread_join(threads[i].thread, NULL);
		cause = context_cause(ctx);
		ck_assert_int_lt(cause.code, 0);
		ck_assert_int_ge(cause.code, -THREADS);
		for (int i = 0; i < THREADS; i++) {
			ck_assert_int_eq(threads[i].err, -ECANCELED);
			ck_assert_int_eq(threads[i].seen.code, cause.code);
			ck_assert_int_eq(threads[i].leaf_seen.code, cause.code);
		}
		pthread_barrier_destroy(&start);
		context_free(&leaf);
		context_free(&ctx);
	}
}
END_TEST

struct block {
	struct event began, go_on, ended;
};

#define BLOCK_INIT                                 \
	{                                          \
		EVENT_INIT, EVENT_INIT, EVENT_INIT \
	}

static void block(void *arg)
{
	struct block *self = arg;

	event_set(&self->began);
	event_wait(&self->go_on);
	event_set(&self->ended);
}

/* C3, C17 */
START_TEST(cancel_does_not_wait_for_work)
{
	struct context *ctx = context_with_cancel(NULL);
	struct block work = BLOCK_INIT;
	struct context_after *after = context_after(ctx, block, &work);

	context_cancel(ctx, NULL); /* would hang */
	ck_assert(event_wait(&work.began));
	ck_assert(!event_is_set(&work.ended));
	event_set(&work.go_on);
	ck_assert(event_wait(&work.ended));
	ck_assert(!context_after_stop(&after));
	context_free(&ctx);
}
END_TEST

/* C4, C10 */
START_TEST(all_descendants_are_done_before_cancel_returns)
{
	enum { NODES = 1000 };
	struct context *nodes[NODES];

	nodes[0] = context_with_cancel(NULL);
	for (int i = 1; i < NODES; i++)
		nodes[i] = make_kind(nodes[(i - 1) / 3], i % KINDS);
	context_cancel(nodes[0], &cause_a);
	for (int i = 0; i < NODES; i++)
		assert_cause(nodes[i], -ECANCELED, &cause_a);
	for (int i = 0; i < NODES; i++)
		context_free(&nodes[i]);
}
END_TEST

struct wait_thread {
	pthread_t thread;
	struct context *ctx;
	int64_t timeout_ms;
	struct event *began;
	int tid;
	/* handed back */
	int err;
	struct error cause;
};

static void *wait_main(void *arg)
{
	struct wait_thread *self = arg;

	self->tid = gettid();
	event_set(self->began);
	self->err = context_wait(self->ctx, self->timeout_ms);
	self->cause = context_cause(self->ctx);
	return NULL;
}

/* Looks at the error without a pause until it is set. */
static void *watch_main(void *arg)
{
	struct wait_thread *self = arg;

	event_set(self->began);
	while (!(self->err = context_err(self->ctx)))
		sched_yield();
	self->cause = context_cause(self->ctx);
	return NULL;
}

/* C4 */
START_TEST(error_and_cause_are_visible_before_waiters_wake)
{
	for (int round = 0; round < scale(200); round++) {
		struct context *ctx = context_with_cancel(NULL);
		struct event began = EVENT_INIT;
		struct wait_thread threads[THREADS] = {0};

		for (int i = 0; i < THREADS; i++) {
			threads[i].ctx = make_kind(ctx, i % KINDS);
			threads[i].timeout_ms = i & 1 ? -1 : HOUR_MS;
			threads[i].began = &began;
			pthread_create(&threads[i].thread, NULL,
			    i < 2 ? watch_main : wait_main, &threads[i]);
		}
		if (round % 2)
			event_wait_count(&began, THREADS);
		context_cancel(ctx, &cause_b);
		for (int i = 0; i < THREADS; i++) {
			pthread_join(threads[i].thread, NULL);
			ck_assert_int_eq(threads[i].err, -ECANCELED);
			ck_assert_int_eq(threads[i].cause.code, cause_b.code);
			ck_assert_str_eq(threads[i].cause.text, cause_b.text);
			context_free(&threads[i].ctx);
		}
		context_free(&ctx);
	}
}
END_TEST

/* C4: those that are fast asleep, too. */
START_TEST(all_waiters_that_sleep_are_woken)
{
	struct context *ctx = context_with_cancel(NULL);
	struct event began = EVENT_INIT;
	struct wait_thread threads[THREADS] = {0};

	for (int i = 0; i < THREADS; i++) {
		threads[i].ctx = ctx;
		threads[i].timeout_ms = -1;
		threads[i].began = &began;
		pthread_create(&threads[i].thread, NULL, wait_main,
		    &threads[i]);
	}
	ck_assert(event_wait_count(&began, THREADS));
	for (int i = 0; i < THREADS; i++)
		ck_assert(event_poll(event_thread_sleeps, &threads[i].tid));
	context_cancel(ctx, NULL);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i].thread, NULL);
		ck_assert_int_eq(threads[i].err, -ECANCELED);
	}
	context_free(&ctx);
}
END_TEST

/* C4 */
START_TEST(one_who_gave_up_waiting_keeps_no_other_from_waking)
{
	struct context *ctx = context_with_cancel(NULL);
	struct event began = EVENT_INIT;
	struct wait_thread threads[THREADS] = {0};

	for (int i = 0; i < THREADS; i++) {
		threads[i].ctx = ctx;
		threads[i].timeout_ms = i ? -1 : 1;
		threads[i].began = &began;
		pthread_create(&threads[i].thread, NULL, wait_main,
		    &threads[i]);
	}
	pthread_join(threads[0].thread, NULL);
	ck_assert_int_eq(threads[0].err, 0);
	ck_assert(event_wait_count(&began, THREADS));
	for (int i = 1; i < THREADS; i++)
		ck_assert(event_poll(event_thread_sleeps, &threads[i].tid));
	context_cancel(ctx, NULL);
	for (int i = 1; i < THREADS; i++) {
		pthread_join(threads[i].thread, NULL);
		ck_assert_int_eq(threads[i].err, -ECANCELED);
	}
	context_free(&ctx);
}
END_TEST

/* C5, C24 */
START_TEST(cancelling_a_child_leaves_its_parent_and_siblings_alone)
{
	struct context *parent = context_with_cancel(NULL);
	struct context *a = context_with_cancel(parent);
	struct context *b = context_with_timeout(parent, HOUR_MS);
	struct context *below_b = context_with_cancel(b);

	context_cancel(a, &cause_a);
	assert_live(parent);
	assert_live(b);
	assert_live(below_b);
	context_free(&a);
	assert_live(parent);
	context_cancel(b, &cause_b);
	assert_cause(below_b, -ECANCELED, &cause_b);
	assert_live(parent);
	context_free(&below_b);
	context_free(&b);
	context_free(&parent);
}
END_TEST

/* C5 */
START_TEST(a_million_children_leave_the_parents_memory_flat)
{
	struct context *parent = context_with_timeout(NULL, HOUR_MS);
	long before = fault_blocks(), most = before;
	struct context *child;

	for (int i = 0; i < scale(1000000); i++) {
		child = i % 4 ? context_with_cancel(parent)
			      : context_with_timeout(parent, HOUR_MS / 2);
		if (i % 3 == 0)
			context_cancel(child, NULL);
		context_free(&child);
		if (fault_blocks() > most)
			most = fault_blocks();
	}
	ck_assert_int_eq(most, before);
	ck_assert_int_eq(fault_blocks(), before);
	assert_live(parent);
	context_free(&parent);
}
END_TEST

/* C6 */
START_TEST(a_child_of_a_done_parent_is_born_done)
{
	struct context *parent = context_with_cancel(NULL);

	context_cancel(parent, &cause_a);
	for (int kind = 0; kind < KINDS; kind++) {
		struct context *child = make_kind(parent, kind);
		struct context *below = make_kind(child, kind);

		assert_cause(child, -ECANCELED, &cause_a);
		assert_cause(below, -ECANCELED, &cause_a);
		ck_assert_int_eq(context_wait(child, -1), -ECANCELED);
		context_free(&child);
		context_free(&below);
	}
	context_free(&parent);
}
END_TEST

/* C7 */
START_TEST(a_child_of_a_parent_that_timed_out_reads_timed_out)
{
	struct context *parent = context_with_timeout(NULL, 1);
	struct context *before[KINDS], *after;

	for (int kind = 0; kind < KINDS; kind++)
		before[kind] = make_kind(parent, kind);
	ck_assert_int_eq(context_wait(parent, -1), -ETIMEDOUT);
	for (int kind = 0; kind < KINDS; kind++) {
		ck_assert_int_eq(context_wait(before[kind], -1), -ETIMEDOUT);
		assert_ended(before[kind], -ETIMEDOUT);
		after = make_kind(parent, kind);
		assert_ended(after, -ETIMEDOUT);
		context_free(&after);
		context_free(&before[kind]);
	}
	context_free(&parent);
}
END_TEST

/* C9 */
START_TEST(a_child_cancelled_before_its_parent_keeps_its_cause)
{
	struct context *parent = context_with_cancel(NULL);
	struct context *child = context_with_cancel(parent);

	context_cancel(child, &cause_b);
	context_cancel(parent, &cause_a);
	assert_cause(child, -ECANCELED, &cause_b);
	assert_cause(parent, -ECANCELED, &cause_a);
	context_free(&child);
	context_free(&parent);
}
END_TEST

/* C9 */
START_TEST(a_child_cancelled_after_its_parent_has_the_parents_cause)
{
	struct context *parent = context_with_cancel(NULL);
	struct context *child = context_with_cancel(parent);

	context_cancel(parent, &cause_a);
	context_cancel(child, &cause_b);
	assert_cause(child, -ECANCELED, &cause_a);
	assert_cause(parent, -ECANCELED, &cause_a);
	context_free(&child);
	context_free(&parent);
}
END_TEST

/* C6, C9, C10, C22 */
START_TEST(a_cause_outlives_the_context_that_it_was_given_to)
{
	struct context *root = context_with_cancel(NULL);
	struct context *given = context_with_timeout(root, HOUR_MS);
	struct context *below = context_with_cancel(given);
	struct context *leaf = context_with_cancel(below);
	struct context *late;

	context_cancel(given, &cause_a);
	context_cancel(root, &cause_b);
	context_free(&root);
	context_free(&given);
	assert_cause(below, -ECANCELED, &cause_a);
	context_free(&below);
	assert_cause(leaf, -ECANCELED, &cause_a);
	late = context_with_cancel(leaf);
	context_free(&leaf);
	assert_cause(late, -ECANCELED, &cause_a);
	context_free(&late);
}
END_TEST

/* C10 */
START_TEST(a_cause_is_visible_through_value_timeout_and_cancel_descendants)
{
	struct context *root = context_with_cancel(NULL);
	struct context *value = context_with_value(root, &key_a, NULL);
	struct context *timeout = context_with_timeout(value, HOUR_MS);
	struct context *cancel = context_with_cancel(timeout);
	struct context *leaf = context_with_value(cancel, &key_b, NULL);

	context_cancel(root, &cause_a);
	assert_cause(value, -ECANCELED, &cause_a);
	assert_cause(timeout, -ECANCELED, &cause_a);
	assert_cause(cancel, -ECANCELED, &cause_a);
	assert_cause(leaf, -ECANCELED, &cause_a);
	context_free(&leaf);
	context_free(&cancel);
	context_free(&timeout);
	context_free(&value);
	context_free(&root);
}
END_TEST

/* C20 */
START_TEST(cancels_up_and_down_one_tree_do_not_deadlock)
{
	enum { DEPTH = THREADS * 8 };

	for (int round = 0; round < scale(300); round++) {
		struct context *nodes[DEPTH];
		struct cancel_thread threads[THREADS] = {0};
		pthread_barrier_t start;

		for (int i = 0; i < DEPTH; i++)
			nodes[i] = make_kind(i ? nodes[i - 1] : NULL, i % 4);
		pthread_barrier_init(&start, NULL, THREADS);
		for (int i = 0; i < THREADS; i++) {
			threads[i].start = &start;
			threads[i].ctx = nodes[(i * 13 + round) % DEPTH];
			threads[i].leaf = nodes[DEPTH - 1];
			threads[i].cause = cause_a;
			pthread_create(&threads[i].thread, NULL, cancel_main,
			    &threads[i]);
		}
		for (int i = 0; i < THREADS; i++) {
			pthread_join(threads[i].thread, NULL);
			ck_assert_int_eq(threads[i].err, -ECANCELED);
		}
		pthread_barrier_destroy(&start);
		for (int i = 0; i < DEPTH; i++)
			context_free(&nodes[i]);
	}
}
END_TEST

struct free_thread {
	pthread_t thread;
	pthread_barrier_t *start;
	struct context *ctx;
};

static void *free_main(void *arg)
{
	struct free_thread *self = arg;

	pthread_barrier_wait(self->start);
	context_free(&self->ctx);
	return NULL;
}

/* C20, C22 */
START_TEST(parents_and_children_may_be_freed_at_the_same_time)
{
	for (int round = 0; round < scale(300); round++) {
		struct context *nodes[THREADS];
		struct free_thread threads[THREADS];
		pthread_barrier_t start;

		for (int i = 0; i < THREADS; i++)
			nodes[i] = make_kind(i ? nodes[i - 1] : NULL, i % 4);
		pthread_barrier_init(&start, NULL, THREADS);
		for (int i = 0; i < THREADS; i++) {
			threads[i].start = &start;
			threads[i].ctx = nodes[i];
			pthread_create(&threads[i].thread, NULL, free_main,
			    &threads[i]);
		}
		for (int i = 0; i < THREADS; i++)
			pthread_join(threads[i].thread, NULL);
		pthread_barrier_destroy(&start);
	}
}
END_TEST

struct make_thread {
	pthread_t thread;
	struct event *began;
	struct context *parent;
	int live; /* handed back: children that were not done in the end */
	int made;
};

/* Makes children until one is born done; then all of them must be. */
static void *make_main(void *arg)
{
	enum { MOST = 500 };
	struct make_thread *self = arg;
	struct context **children = calloc(MOST, sizeof(struct context *));
	struct context *last = NULL;

	while (self->made < MOST) {
		last = make_kind(self->parent, self->made % KINDS);
		children[self->made++] = last;
		if (self->made == 1)
			event_set(self->began);
		if (context_err(last))
			break;
	}
	context_wait(self->parent, -1);
	context_cancel(self->parent, NULL); /* waits for the first cancel */
	for (int i = 0; i < self->made; i++) {
		self->live += context_err(children[i]) == 0;
		context_free(&children[i]);
	}
	free(children);
	return NULL;
}

/* C19, C23 */
START_TEST(a_child_made_while_its_parent_is_cancelled_ends_done)
{
	for (int round = 0; round < scale(40); round++) {
		struct context *root = context_with_cancel(NULL);
		struct context *parent = context_with_cancel(root);
		struct event began = EVENT_INIT;
		struct make_thread threads[THREADS] = {0};

		for (int i = 0; i < THREADS; i++) {
			threads[i].parent = parent;
			threads[i].began = &began;
			pthread_create(&threads[i].thread, NULL, make_main,
			    &threads[i]);
		}
		ck_assert(event_wait_count(&began, 1 + round % THREADS));
		context_cancel(root, NULL);
		for (int i = 0; i < THREADS; i++) {
			pthread_join(threads[i].thread, NULL);
			ck_assert_int_eq(threads[i].live, 0);
		}
		context_free(&parent);
		context_free(&root);
	}
}
END_TEST

struct second_cancel {
	pthread_t thread;
	pthread_barrier_t *start;
	struct context **nodes;
	int count;
	int live; /* handed back: nodes not done when cancel returned */
};

static void *second_cancel_main(void *arg)
{
	struct second_cancel *self = arg;

	pthread_barrier_wait(self->start);
	context_cancel(self->nodes[0], NULL);
	for (int i = self->count - 1; i >= 0; i--)
		self->live += context_err(self->nodes[i]) == 0;
	return NULL;
}

/* C23 */
START_TEST(a_second_canceller_too_returns_only_when_all_descendants_are_done)
{
	enum { NODES = 5000 };

	for (int round = 0; round < scale(50); round++) {
		struct context **nodes = calloc(NODES, sizeof(*nodes));
		struct second_cancel threads[4];
		pthread_barrier_t start;

		for (int i = 0; i < NODES; i++)
			nodes[i] =
			    context_with_cancel(i ? nodes[(i - 1) / 2] : NULL);
		pthread_barrier_init(&start, NULL, 4);
		for (int i = 0; i < 4; i++) {
			threads[i] = (struct second_cancel){.start = &start,
			    .nodes = nodes,
			    .count = NODES};
			pthread_create(&threads[i].thread, NULL,
			    second_cancel_main, &threads[i]);
		}
		for (int i = 0; i < 4; i++) {
			pthread_join(threads[i].thread, NULL);
			ck_assert_int_eq(threads[i].live, 0);
		}
		pthread_barrier_destroy(&start);
		for (int i = 0; i < NODES; i++)
			context_free(&nodes[i]);
		free(nodes);
	}
}
END_TEST

/* C4, C5, C16: depth costs no stack, from either end. */
START_TEST(a_chain_of_a_hundred_thousand_contexts_is_cancelled_and_freed)
{
	const int depth = scale(100000);
	struct context **chain = calloc((size_t)depth, sizeof(*chain));
	int value = 42;

	for (int round = 0; round < 2; round++) {
		chain[0] = context_with_value(NULL, &key_a, &value);
		for (int i = 1; i < depth; i++) {
			chain[i] = i % 16 ? context_with_cancel(chain[i - 1])
					  : make_kind(chain[i - 1], i / 16 % 4);
			ck_assert_ptr_nonnull(chain[i]);
		}
		ck_assert_ptr_eq(context_value(chain[depth - 1], &key_a),
		    &value);
		assert_live(chain[depth - 1]);
		if (!round)
			context_cancel(chain[0], &cause_a);
		for (int i = 0; i < depth; i++)
			context_free(&chain[round ? depth - 1 - i : i]);
	}
	/* The last reference takes all with it. */
	for (int i = 0; i < depth; i++)
		chain[i] = context_with_cancel(i ? chain[i - 1] : NULL);
	for (int i = 0; i < depth; i++)
		context_free(&chain[i]);
	free(chain);
}
END_TEST

/* ---- deadlines ----------------------------------------------------------- */

/* C11, C24 */
START_TEST(a_timeout_ends_the_context_and_never_early)
{
	for (int timeout_ms = 1; timeout_ms <= scale(40); timeout_ms++) {
		int64_t start_ns = clock_ns();
		struct context *ctx = context_with_timeout(NULL, timeout_ms);
		int64_t deadline_ms = 0;

		ck_assert(context_deadline(ctx, &deadline_ms));
		ck_assert_int_ge(deadline_ms * NS_PER_MS,
		    start_ns + timeout_ms * NS_PER_MS);
		ck_assert_int_eq(context_wait(ctx, -1), -ETIMEDOUT);
		ck_assert_int_ge(clock_ns(), deadline_ms * NS_PER_MS);
		assert_ended(ctx, -ETIMEDOUT);
		context_cancel(ctx, &cause_a);
		assert_ended(ctx, -ETIMEDOUT);
		context_free(&ctx);
	}
}
END_TEST

/* C11 */
START_TEST(a_deadline_is_a_point_of_the_monotonic_clock)
{
	struct timespec now;
	int64_t deadline_ms, read_ms = 0;
	struct context *ctx;

	clock_gettime(CLOCK_MONOTONIC, &now);
	deadline_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000 + 20;
	ctx = context_with_deadline(NULL, deadline_ms);
	ck_assert(context_deadline(ctx, &read_ms));
	ck_assert_int_eq(read_ms, deadline_ms);
	ck_assert_int_eq(context_wait(ctx, -1), -ETIMEDOUT);
	clock_gettime(CLOCK_MONOTONIC, &now);
	ck_assert_int_ge(now.tv_sec * 1000 + now.tv_nsec / 1000000,
	    deadline_ms);
	context_free(&ctx);
}
END_TEST

/* C11: in whatever order they were made. */
START_TEST(many_deadlines_pass_each_in_its_time)
{
	enum { COUNT = 500 };
	struct context *ctxs[COUNT];
	int64_t deadline_ms = 0;

	for (int i = 0; i < COUNT; i++)
		ctxs[i] =
		    context_with_timeout(NULL, i % 3 ? i * 7919 % 97 : HOUR_MS);
	for (int i = 0; i < COUNT; i += 5)
		context_free(&ctxs[i]);
	for (int i = 0; i < COUNT; i++) {
		if (i % 5 == 0)
			continue;
		if (i % 3) {
			ck_assert_int_eq(context_wait(ctxs[i], -1), -ETIMEDOUT);
			ck_assert(context_deadline(ctxs[i], &deadline_ms));
			ck_assert_int_ge(clock_ms(), deadline_ms);
		} else {
			assert_live(ctxs[i]);
		}
		context_free(&ctxs[i]);
	}
}
END_TEST

/* C12, C24 */
START_TEST(a_deadline_that_is_not_ahead_makes_the_context_done_on_return)
{
	const int64_t timeouts_ms[] = {0, -1, -HOUR_MS, INT64_MIN};
	const int64_t deadlines_ms[] = {0, -1, INT64_MIN, clock_ms() - 1,
	    clock_ms()};
	struct context *ctx;

	for (size_t i = 0; i < sizeof(timeouts_ms) / sizeof(int64_t); i++) {
		ctx = context_with_timeout(NULL, timeouts_ms[i]);
		assert_ended(ctx, -ETIMEDOUT);
		ck_assert(context_deadline(ctx, NULL));
		context_free(&ctx);
	}
	for (size_t i = 0; i < sizeof(deadlines_ms) / sizeof(int64_t); i++) {
		ctx = context_with_deadline(NULL, deadlines_ms[i]);
		assert_ended(ctx, -ETIMEDOUT);
		context_free(&ctx);
	}
}
END_TEST

/* C12, C13: also when the timer of the parent's deadline is a little late. */
START_TEST(a_deadline_that_is_not_ahead_does_not_rely_on_the_parents)
{
	for (int round = 0; round < scale(200); round++) {
		struct context *parent = context_with_timeout(NULL, 1);
		struct context *child;
		int64_t deadline_ms = 0;

		context_deadline(parent, &deadline_ms);
		while (clock_ms() < deadline_ms)
			;
		child = round % 2 ? context_with_timeout(parent, 0)
				  : context_with_timeout(parent, HOUR_MS);
		assert_ended(child, -ETIMEDOUT);
		context_free(&child);
		context_free(&parent);
	}
}
END_TEST

/* C13 */
START_TEST(a_parents_earlier_deadline_wins)
{
	struct context *parent = context_with_timeout(NULL, 10);
	struct context *child = context_with_timeout(parent, HOUR_MS);
	struct context *cancel = context_with_cancel(child);
	int64_t parent_ms = 0, child_ms = 0, cancel_ms = 0;

	ck_assert(context_deadline(parent, &parent_ms));
	ck_assert(context_deadline(child, &child_ms));
	ck_assert(context_deadline(cancel, &cancel_ms));
	ck_assert_int_eq(child_ms, parent_ms);
	ck_assert_int_eq(cancel_ms, parent_ms);
	ck_assert_int_eq(context_wait(cancel, -1), -ETIMEDOUT);
	ck_assert_int_eq(context_wait(child, -1), -ETIMEDOUT);
	context_free(&cancel);
	context_free(&child);
	context_free(&parent);
}
END_TEST

/* C13, C5 */
START_TEST(a_childs_earlier_deadline_ends_the_child_alone)
{
	struct context *parent = context_with_timeout(NULL, HOUR_MS);
	struct context *child = context_with_timeout(parent, 5);
	int64_t parent_ms = 0, child_ms = 0;

	ck_assert(context_deadline(parent, &parent_ms));
	ck_assert(context_deadline(child, &child_ms));
	ck_assert_int_lt(child_ms, parent_ms);
	ck_assert_int_eq(context_wait(child, -1), -ETIMEDOUT);
	assert_live(parent);
	context_free(&child);
	context_free(&parent);
}
END_TEST

/* C13 */
START_TEST(a_parent_that_is_done_wins_over_a_deadline_that_has_passed)
{
	struct context *parent = context_with_cancel(NULL);
	struct context *child;

	context_cancel(parent, &cause_a);
	child = context_with_timeout(parent, 0);
	assert_cause(child, -ECANCELED, &cause_a);
	context_free(&child);
	child = context_with_deadline(parent, -1);
	assert_cause(child, -ECANCELED, &cause_a);
	context_free(&child);
	context_free(&parent);
}
END_TEST

/* C14 */
START_TEST(a_cancel_that_races_the_deadline_gives_exactly_one_error)
{
	int canceled = 0, timed_out = 0;
	struct context *ctx = context_with_timeout(NULL, HOUR_MS);
	long before;

	context_free(&ctx);
	before = fault_blocks();
	for (int round = 0; round < scale(400); round++) {
		int64_t at_ns = 0;
		struct event ran = EVENT_INIT;
		struct context_after *after;
		int err;

		ctx = context_with_timeout(NULL, 1);
		after = context_after(ctx, set_event, &ran);
		context_deadline(ctx, &at_ns);
		at_ns = at_ns * NS_PER_MS + (round % 100 - 20) * 2000;
		while (clock_ns() < at_ns)
			;
		context_cancel(ctx, &cause_a);
		err = context_err(ctx);
		if (err == -ECANCELED) {
			canceled++;
			assert_cause(ctx, -ECANCELED, &cause_a);
		} else {
			timed_out++;
			assert_ended(ctx, -ETIMEDOUT);
		}
		ck_assert(event_wait(&ran));
		ck_assert_int_eq(context_err(ctx), err);
		context_free(&ctx);
		ck_assert(!context_after_stop(&after));
		ck_assert_int_eq(ran.count, 1);
	}
	/* Released, though not before the thread that ran it lets go. */
	ck_assert(event_poll(suite_blocks_are_few, &before));
	ck_assert_int_eq(canceled + timed_out, scale(400));
}
END_TEST

/* C14 */
START_TEST(the_timer_of_a_cancelled_context_is_released_at_once)
{
	struct context *ctx = context_with_timeout(NULL, HOUR_MS);
	long before;

	context_free(&ctx);
	before = fault_blocks();
	for (int i = 0; i < scale(100000); i++) {
		ctx = context_with_timeout(NULL, HOUR_MS);
		if (i % 2)
			context_cancel(ctx, NULL);
		context_free(&ctx);
		if (fault_blocks() != before)
			break;
	}
	ck_assert_int_eq(fault_blocks(), before);
}
END_TEST

/* C24 */
START_TEST(a_huge_timeout_saturates)
{
	const int64_t huge_ms[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX / 2,
	    INT64_C(1) << 53};
	struct context *ctx;
	int64_t deadline_ms, now_ms = clock_ms();

	for (size_t i = 0; i < sizeof(huge_ms) / sizeof(int64_t); i++) {
		ctx = context_with_timeout(NULL, huge_ms[i]);
		assert_live(ctx);
		ck_assert(context_deadline(ctx, &deadline_ms));
		ck_assert_int_ge(deadline_ms, huge_ms[i]);
		ck_assert_int_ge(deadline_ms, now_ms);
		ck_assert_int_eq(context_wait(ctx, 2), 0);
		context_free(&ctx);

		ctx = context_with_deadline(NULL, huge_ms[i]);
		ck_assert_int_eq(context_wait(ctx, 2), 0);
		context_free(&ctx);
	}
}
END_TEST

/* C11: an earlier deadline is not held up by a far one that is waited for. */
START_TEST(a_deadline_that_becomes_the_earliest_is_kept)
{
	struct context *far = context_with_timeout(NULL, INT64_MAX - 1);
	struct context *near = context_with_timeout(NULL, 5);

	ck_assert_int_eq(context_wait(near, -1), -ETIMEDOUT);
	assert_live(far);
	context_free(&near);
	context_free(&far);
}
END_TEST

/* C11, C14: the thread that watches deadlines looks at the wrong time, once. */
START_TEST(a_deadline_is_kept_whatever_was_taken_back_before)
{
	for (int i = 0; i < scale(200); i++) {
		struct context *far = context_with_timeout(NULL, HOUR_MS);
		struct context *soon = context_with_timeout(NULL, 1 + i % 3);
		struct context *next;

		context_free(i % 2 ? &soon : &far);
		next = context_with_timeout(NULL, 1 + i / 3 % 4);
		context_free(i % 2 ? &far : &soon);
		ck_assert_int_eq(context_wait(next, -1), -ETIMEDOUT);
		context_free(&next);
	}
}
END_TEST

struct timer_thread {
	int tid;
	long sleeps; /* how often it went to sleep */
};

static bool find_timer_thread(void *arg)
{
	struct timer_thread *timer = arg;
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char path[64], name[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm",
		    entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file) &&
		    !strcmp(name, "cratos-timer\n"))
			timer->tid = atoi(entry->d_name);
		fclose(file);
	}
	if (dir)
		closedir(dir);
	return timer->tid != 0;
}

static void count_sleeps(struct timer_thread *timer)
{
	char path[64], line[128];
	FILE *file;

	ck_assert(event_poll(event_thread_sleeps, &timer->tid));
	snprintf(path, sizeof(path), "/proc/self/task/%d/status", timer->tid);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	timer->sleeps = -1;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "voluntary_ctxt_switches: %ld",
			&timer->sleeps) == 1)
			break;
	fclose(file);
	ck_assert_int_ge(timer->sleeps, 0);
}

/* C14: to release a timer, and to arm the next, takes no other thread. */
START_TEST(timeouts_that_do_not_come_to_pass_wake_nobody)
{
	enum { ROUNDS = 10000, FEW = 20 };
	struct context *ctx = context_with_timeout(NULL, HOUR_MS);
	struct timer_thread timer = {0};
	long before;

	context_free(&ctx);
	ck_assert(event_poll(find_timer_thread, &timer));
	count_sleeps(&timer);
	before = timer.sleeps;
	for (int i = 0; i < ROUNDS; i++) {
		ctx = context_with_timeout(NULL, i % 2 ? HOUR_MS : HOUR_MS / 2);
		context_free(&ctx);
		if (i < 200) /* if woken, it has looked at no timer */
			count_sleeps(&timer);
	}
	count_sleeps(&timer);
	ck_assert_int_lt(timer.sleeps - before, FEW);
}
END_TEST

/* ---- waiting ------------------------------------------------------------- */

/* C24, C11 */
START_TEST(wait_returns_zero_when_its_time_has_run_out_and_never_early)
{
	struct context *ctx = context_with_cancel(NULL);

	ck_assert_int_eq(context_wait(ctx, 0), 0);
	for (int timeout_ms = 1; timeout_ms < 20; timeout_ms++) {
		int64_t start_ns = clock_ns();

		ck_assert_int_eq(context_wait(ctx, timeout_ms), 0);
		ck_assert_int_ge(clock_ns() - start_ns, timeout_ms * NS_PER_MS);
	}
	context_free(&ctx);
}
END_TEST

static void ignore_signal(int signal)
{
	(void)signal;
}

/* C24: nor do signals end it. */
START_TEST(any_negative_wait_is_for_ever)
{
	const int64_t timeouts_ms[] = {-1, -5, INT64_MIN, INT64_MAX};
	struct sigaction action = {.sa_handler = ignore_signal};

	sigaction(SIGUSR1, &action, NULL);
	for (size_t i = 0; i < sizeof(timeouts_ms) / sizeof(int64_t); i++) {
		struct context *ctx = context_with_cancel(NULL);
		struct event began = EVENT_INIT;
		struct wait_thread thread = {.ctx = ctx,
		    .timeout_ms = timeouts_ms[i],
		    .began = &began};

		pthread_create(&thread.thread, NULL, wait_main, &thread);
		ck_assert(event_wait(&began));
		ck_assert(event_poll(event_thread_sleeps, &thread.tid));
		pthread_kill(thread.thread, SIGUSR1);
		ck_assert(event_poll(event_thread_sleeps, &thread.tid));
		context_cancel(ctx, &cause_a);
		pthread_join(thread.thread, NULL);
		ck_assert_int_eq(thread.err, -ECANCELED);
		ck_assert_int_eq(thread.cause.code, cause_a.code);
		context_free(&ctx);
	}
}
END_TEST

/* ---- without_cancel ------------------------------------------------------ */

/* C15 */
START_TEST(without_cancel_has_the_values_and_none_of_the_ends)
{
	int value = 7;
	struct context *root = context_with_timeout(NULL, HOUR_MS);
	struct context *parent = context_with_value(root, &key_a, &value);
	struct context *ctx = context_without_cancel(parent);
	struct context *late;

	ck_assert_ptr_eq(context_value(ctx, &key_a), &value);
	ck_assert(!context_deadline(ctx, NULL));
	context_cancel(root, &cause_a);
	assert_live(ctx);
	late = context_without_cancel(parent);
	assert_live(late);
	ck_assert_ptr_eq(context_value(late, &key_a), &value);
	ck_assert(!context_deadline(late, NULL));
	context_free(&parent);
	context_free(&root);
	ck_assert_ptr_eq(context_value(ctx, &key_a), &value);
	assert_live(ctx);
	context_free(&ctx);
	context_free(&late);
}
END_TEST

/* C15 */
START_TEST(a_timeout_on_top_of_a_cancelled_parents_without_cancel_is_live)
{
	struct context *parent = context_with_timeout(NULL, 0);
	struct context *without = context_without_cancel(parent);
	struct context *ctx = context_with_timeout(without, HOUR_MS);
	struct context *brief = context_with_timeout(without, 2);

	assert_live(ctx);
	ck_assert_int_eq(context_wait(brief, -1), -ETIMEDOUT);
	assert_live(without);
	context_free(&brief);
	context_free(&ctx);
	context_free(&without);
	context_free(&parent);
}
END_TEST

/* C24 */
START_TEST(cancelling_a_without_cancel_context_ends_what_descends_from_it)
{
	struct context *parent = context_with_cancel(NULL);
	struct context *ctx = context_without_cancel(parent);
	struct context *child = context_with_cancel(ctx);
	struct context *other = context_without_cancel(parent);

	context_cancel(ctx, &cause_b);
	assert_cause(ctx, -ECANCELED, &cause_b);
	assert_cause(child, -ECANCELED, &cause_b);
	assert_live(parent);
	context_free(&other);
	assert_live(parent);
	context_free(&ctx);
	context_free(&child);
	context_free(&parent);
}
END_TEST

/* What a server's stop gets: A5. */
START_TEST(a_detached_context_ends_with_its_deadline_only)
{
	int value = 7;
	int64_t deadline_ms = clock_ms() + 20, is_ms;
	struct context *parent = context_with_value(NULL, &key_a, &value);
	struct context *ctx = context_detached(parent, deadline_ms);
	struct context *live = context_detached(parent, INT64_MAX);
	struct context *late = context_detached(parent, clock_ms());

	assert_ended(late, -ETIMEDOUT);
	context_cancel(parent, &cause_a);
	context_free(&parent);
	ck_assert_ptr_eq(context_value(ctx, &key_a), &value);
	ck_assert(context_deadline(ctx, &is_ms) && is_ms == deadline_ms);
	ck_assert_int_eq(context_wait(ctx, -1), -ETIMEDOUT);
	ck_assert_int_ge(clock_ms(), deadline_ms);
	assert_live(live);
	ck_assert(!context_deadline(live, NULL));
	context_free(&ctx);
	context_free(&live);
	context_free(&late);
}
END_TEST

START_TEST(jobs_of_a_context_for_jobs_are_handed_over)
{
	struct context *parent = context_with_cancel(NULL);
	struct context *a = context_for_jobs(parent);
	struct context *b = context_for_jobs(parent);
	struct job jobs[2] = {0};
	struct job_list list = TAILQ_HEAD_INITIALIZER(list);

	ck_assert_int_eq(context_after_job(a, &jobs[0]), 0);
	ck_assert_int_eq(context_after_job(b, &jobs[1]), 0);
	context_cancel_for_jobs(b, &list);
	assert_ended(b, -ECANCELED);
	assert_live(a);
	context_cancel_for_jobs(a, &list);
	context_cancel_for_jobs(a, &list);
	ck_assert_ptr_eq(TAILQ_FIRST(&list), &jobs[1]);
	ck_assert_ptr_eq(TAILQ_NEXT(&jobs[1], link), &jobs[0]);
	ck_assert_ptr_null(TAILQ_NEXT(&jobs[0], link));
	context_free(&b);
	b = context_for_jobs(parent);
	context_cancel(parent, &cause_a);
	assert_cause(b, -ECANCELED, &cause_a);
	context_free(&a);
	context_free(&b);
	context_free(&parent);
}
END_TEST

/* ---- values -------------------------------------------------------------- */

/* C16 */
START_TEST(the_nearest_value_wins)
{
	int one = 1, two = 2, other = 3;
	struct context *top = context_with_value(NULL, &key_a, &one);
	struct context *middle = context_with_value(top, &key_b, &other);
	struct context *cancel = context_with_timeout(middle, HOUR_MS);
	struct context *low = context_with_value(cancel, &key_a, &two);
	struct context *none = context_with_value(low, &key_b, NULL);

	ck_assert_ptr_eq(context_value(top, &key_a), &one);
	ck_assert_ptr_null(context_value(top, &key_b));
	ck_assert_ptr_eq(context_value(cancel, &key_a), &one);
	ck_assert_ptr_eq(context_value(low, &key_a), &two);
	ck_assert_ptr_eq(context_value(low, &key_b), &other);
	ck_assert_ptr_null(context_value(none, &key_b));
	ck_assert_ptr_null(context_value(none, &one));
	context_cancel(low, NULL);
	ck_assert_ptr_eq(context_value(low, &key_a), &two);
	context_free(&none);
	context_free(&low);
	context_free(&cancel);
	context_free(&middle);
	context_free(&top);
}
END_TEST

/* C16, C24 */
START_TEST(a_value_context_passes_cancellation_through)
{
	struct context *root = context_with_cancel(NULL);
	struct context *parent = context_with_cancel(root);
	struct context *value = context_with_value(parent, &key_a, NULL);
	struct context *child = context_with_cancel(value);

	context_cancel(parent, &cause_a);
	assert_cause(value, -ECANCELED, &cause_a);
	assert_cause(child, -ECANCELED, &cause_a);
	context_free(&value);
	context_free(&child);

	value = context_with_value(root, &key_a, NULL);
	child = context_with_cancel(value);
	context_cancel(value, &cause_b);
	assert_cause(child, -ECANCELED, &cause_b);
	assert_live(root);
	context_free(&child);
	context_free(&value);
	context_free(&parent);
	context_free(&root);
}
END_TEST

/* ---- after --------------------------------------------------------------- */

struct run {
	struct event ran;
	atomic_int count;
	pthread_t thread;
	char name[16];
};

#define RUN_INIT                  \
	{                         \
		.ran = EVENT_INIT \
	}

static void record_run(void *arg)
{
	struct run *run = arg;

	run->count++;
	run->thread = pthread_self();
	pthread_getname_np(pthread_self(), run->name, sizeof(run->name));
	event_set(&run->ran);
}

/* C17 */
START_TEST(after_runs_once_on_a_thread_of_the_library)
{
	struct context *ctx = context_with_cancel(NULL);
	struct run run = RUN_INIT;
	struct context_after *after = context_after(ctx, record_run, &run);

	ck_assert_int_eq(run.count, 0);
	context_cancel(ctx, NULL);
	context_cancel(ctx, NULL);
	ck_assert(event_wait(&run.ran));
	ck_assert(!pthread_equal(run.thread, pthread_self()));
	ck_assert_int_eq(strncmp(run.name, "cratos", 6), 0);
	context_free(&ctx);
	ck_assert(!context_after_stop(&after));
	ck_assert_int_eq(run.count, 1);
}
END_TEST

struct call_count {
	atomic_int *calls;
	int wanted;
};

static bool count_is(void *arg)
{
	struct call_count *self = arg;

	return atomic_load(self->calls) == self->wanted;
}

static void count_call(void *calls)
{
	atomic_fetch_add((atomic_int *)calls, 1);
}

/* C17, C18 */
START_TEST(of_a_thousand_afters_of_a_tree_all_run_once_but_the_stopped)
{
	enum { NODES = 10, AFTERS = 1000 };
	struct context *nodes[NODES];
	struct context_after *afters[AFTERS];
	atomic_int calls[AFTERS] = {0};

	for (int i = 0; i < NODES; i++)
		nodes[i] = make_kind(i ? nodes[(i - 1) / 2] : NULL, i % KINDS);
	for (int i = 0; i < AFTERS; i++)
		afters[i] =
		    context_after(nodes[i * 7 % NODES], count_call, &calls[i]);
	for (int i = 0; i < AFTERS; i += 3)
		ck_assert(context_after_stop(&afters[i]));
	context_cancel(nodes[0], NULL);
	for (int i = 0; i < AFTERS; i++)
		ck_assert(!context_after_stop(&afters[i]));
	for (int i = 0; i < NODES; i++)
		context_free(&nodes[i]);
	for (int i = 0; i < AFTERS; i++) {
		struct call_count wanted = {&calls[i], i % 3 != 0};

		ck_assert(event_poll(count_is, &wanted));
	}
}
END_TEST

/* C17, C6 */
START_TEST(after_on_a_done_context_runs_at_once)
{
	struct context *ctx = context_with_timeout(NULL, 0);
	struct run run = RUN_INIT;
	struct context_after *after = context_after(ctx, record_run, &run);

	ck_assert(event_wait(&run.ran));
	ck_assert(!pthread_equal(run.thread, pthread_self()));
	ck_assert(!context_after_stop(&after));
	ck_assert_int_eq(run.count, 1);
	context_free(&ctx);
}
END_TEST

/* C17 */
START_TEST(after_runs_for_every_way_to_end)
{
	struct context *parent = context_with_cancel(NULL);
	struct context *child = context_with_value(parent, &key_a, NULL);
	struct context *timeout = context_with_timeout(NULL, 2);
	struct context *freed = context_with_cancel(NULL);
	struct run runs[3] = {RUN_INIT, RUN_INIT, RUN_INIT};
	struct context_after *afters[3] = {context_after(child, record_run,
					       &runs[0]),
	    context_after(timeout, record_run, &runs[1]),
	    context_after(freed, record_run, &runs[2])};

	context_cancel(parent, NULL);
	context_free(&freed);
	for (int i = 0; i < 3; i++) {
		ck_assert(event_wait(&runs[i].ran));
		ck_assert(!context_after_stop(&afters[i]));
	}
	context_free(&timeout);
	context_free(&child);
	context_free(&parent);
}
END_TEST

/* C17, C23 */
START_TEST(several_afters_of_one_context_all_run)
{
	enum { COUNT = 100 };
	struct context *ctx = context_with_cancel(NULL);
	struct event ran = EVENT_INIT;
	struct context_after *afters[COUNT];

	for (int i = 0; i < COUNT; i++)
		afters[i] = context_after(ctx, set_event, &ran);
	context_cancel(ctx, NULL);
	ck_assert(event_wait_count(&ran, COUNT));
	for (int i = 0; i < COUNT; i++)
		ck_assert(!context_after_stop(&afters[i]));
	context_free(&ctx);
	ck_assert_int_eq(ran.count, COUNT);
}
END_TEST

struct busy {
	struct event done;
	struct context *ctx, *other;
	int born, cancelled;
};

static void cancel_and_make(void *arg)
{
	struct busy *self = arg;
	struct context *child = context_with_cancel(self->ctx);
	struct context *live = context_without_cancel(self->ctx);

	self->born = context_err(child);
	context_cancel(self->ctx, NULL);
	context_cancel(self->other, &cause_b);
	context_cancel(live, NULL);
	self->cancelled = context_err(live);
	context_free(&live);
	context_free(&child);
	event_set(&self->done);
}

/* C17 */
START_TEST(an_after_may_cancel_contexts_and_make_children)
{
	struct busy busy = {.done = EVENT_INIT};
	struct context *root = context_with_cancel(NULL);
	struct context_after *after;

	busy.ctx = context_with_cancel(root);
	busy.other = context_with_cancel(root);
	after = context_after(busy.ctx, cancel_and_make, &busy);
	context_cancel(busy.ctx, NULL);
	ck_assert(event_wait(&busy.done));
	ck_assert_int_eq(busy.born, -ECANCELED);
	ck_assert_int_eq(busy.cancelled, -ECANCELED);
	assert_cause(busy.other, -ECANCELED, &cause_b);
	assert_live(root);
	ck_assert(!context_after_stop(&after));
	context_free(&busy.ctx);
	context_free(&busy.other);
	context_free(&root);
}
END_TEST

/* C18 */
START_TEST(stop_is_true_when_it_prevented_the_function)
{
	struct context *ctx = context_with_cancel(NULL);
	struct run stopped = RUN_INIT, ran = RUN_INIT;
	struct context_after *a = context_after(ctx, record_run, &stopped);
	struct context_after *b = context_after(ctx, record_run, &ran);

	ck_assert(context_after_stop(&a));
	ck_assert_ptr_null(a);
	ck_assert(!context_after_stop(&a));
	context_cancel(ctx, NULL);
	ck_assert(event_wait(&ran.ran));
	ck_assert_int_eq(stopped.count, 0);
	ck_assert(!context_after_stop(&b));
	context_free(&ctx);
}
END_TEST

/* C18, C23 */
START_TEST(stop_is_false_when_the_function_is_bound_to_run)
{
	struct context *ctx = context_with_cancel(NULL);
	struct run run = RUN_INIT;
	struct context_after *after = context_after(ctx, record_run, &run);

	context_cancel(ctx, NULL);
	ck_assert(!context_after_stop(&after));
	context_free(&ctx);
	ck_assert(event_wait(&run.ran));
	ck_assert_int_eq(run.count, 1);
}
END_TEST

/* C18 */
START_TEST(against_a_racing_cancel_exactly_one_of_stopped_and_ran_is_true)
{
	const int rounds = scale(2000);
	struct event ran = EVENT_INIT;
	int stopped = 0;

	for (int i = 0; i < rounds; i++) {
		struct context *ctx = context_with_cancel(NULL);
		struct context_after *after =
		    context_after(ctx, set_event, &ran);
		struct cancel_thread thread = {.ctx = ctx, .leaf = ctx};
		pthread_barrier_t start;

		thread.cause = cause_a;
		thread.start = &start;
		pthread_barrier_init(&start, NULL, 2);
		pthread_create(&thread.thread, NULL, cancel_main, &thread);
		pthread_barrier_wait(&start);
		for (int spin = 0; spin < i % 64; spin++)
			context_err(ctx);
		stopped += context_after_stop(&after);
		pthread_join(thread.thread, NULL);
		pthread_barrier_destroy(&start);
		context_free(&ctx);
		/* What was not stopped runs, sooner or later. */
		ck_assert(event_wait_count(&ran, i + 1 - stopped));
		ck_assert_int_eq(ran.count, i + 1 - stopped);
	}
}
END_TEST

/* C23 */
START_TEST(stop_does_not_wait_for_a_function_that_runs)
{
	struct context *ctx = context_with_cancel(NULL);
	struct block work = BLOCK_INIT;
	struct context_after *after = context_after(ctx, block, &work);

	context_cancel(ctx, NULL);
	ck_assert(event_wait(&work.began));
	ck_assert(!context_after_stop(&after)); /* would hang */
	context_free(&ctx);
	event_set(&work.go_on);
	ck_assert(event_wait(&work.ended));
}
END_TEST

/* C23 */
START_TEST(a_handle_stays_valid_after_its_context_was_freed)
{
	struct context *ctx = context_with_cancel(NULL);
	struct context *child = context_with_cancel(ctx);
	struct run runs[2] = {RUN_INIT, RUN_INIT};
	struct context_after *a = context_after(ctx, record_run, &runs[0]);
	struct context_after *b = context_after(child, record_run, &runs[1]);

	context_free(&child);
	context_free(&ctx);
	ck_assert(event_wait(&runs[0].ran));
	ck_assert(event_wait(&runs[1].ran));
	ck_assert(!context_after_stop(&a));
	ck_assert(!context_after_stop(&b));
}
END_TEST

struct meeting {
	pthread_barrier_t barrier;
	struct event left;
};

static void meet(void *arg)
{
	struct meeting *self = arg;

	pthread_barrier_wait(&self->barrier);
	event_set(&self->left);
}

/* C23, G15 */
START_TEST(functions_that_block_hold_up_no_other_and_no_deadline)
{
	enum { COUNT = 64 };
	struct context *ctx = context_with_cancel(NULL);
	struct context *timeout;
	struct context_after *afters[COUNT];
	struct block work = BLOCK_INIT;
	struct meeting all = {.left = EVENT_INIT};

	pthread_barrier_init(&all.barrier, NULL, COUNT + 1);
	for (int i = 0; i < COUNT; i++)
		afters[i] = context_after(ctx, meet, &all);
	context_cancel(ctx, NULL);
	timeout = context_with_timeout(NULL, 5);
	ck_assert_int_eq(context_wait(timeout, -1), -ETIMEDOUT);
	context_free(&timeout);
	pthread_barrier_wait(&all.barrier);
	for (int i = 0; i < COUNT; i++)
		ck_assert(!context_after_stop(&afters[i]));
	context_free(&ctx);

	/* One that was started by a deadline, too. */
	ctx = context_with_timeout(NULL, 1);
	afters[0] = context_after(ctx, block, &work);
	ck_assert(event_wait(&work.began));
	timeout = context_with_timeout(NULL, 1);
	ck_assert_int_eq(context_wait(timeout, -1), -ETIMEDOUT);
	event_set(&work.go_on);
	ck_assert(event_wait(&work.ended));
	ck_assert(!context_after_stop(&afters[0]));
	context_free(&timeout);
	context_free(&ctx);
	ck_assert(event_wait_count(&all.left, COUNT));
	pthread_barrier_destroy(&all.barrier);
}
END_TEST

/* ---- descriptors --------------------------------------------------------- */

/* C21 */
START_TEST(the_descriptor_becomes_readable_and_stays_so)
{
	struct context *parent = context_with_cancel(NULL);

	for (int kind = 0; kind < KINDS; kind++) {
		struct context *ctx = make_kind(parent, kind);
		int fds = suite_count("/proc/self/fd");
		int fd = context_fd(ctx);

		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(context_fd(ctx), fd);
		ck_assert_int_eq(suite_count("/proc/self/fd"), fds + 1);
		ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		ck_assert(!readable(fd));
		context_cancel(ctx, NULL);
		ck_assert(readable(fd));
		context_cancel(ctx, NULL);
		ck_assert(readable(fd));
		ck_assert_int_eq(context_fd(ctx), fd);
		context_free(&ctx);
		ck_assert_int_eq(suite_count("/proc/self/fd"), fds);
	}
	context_free(&parent);
}
END_TEST

/* C21 */
START_TEST(the_descriptor_of_a_done_context_is_readable_from_the_start)
{
	struct context *ctx = context_with_timeout(NULL, 0);
	struct context *child = context_with_cancel(ctx);

	ck_assert(readable(context_fd(ctx)));
	ck_assert(readable(context_fd(child)));
	context_free(&child);
	context_free(&ctx);
}
END_TEST

/* C21, C4 */
START_TEST(poll_wakes_when_an_ancestor_ends_or_a_deadline_passes)
{
	struct context *timeout = context_with_timeout(NULL, 5);
	struct context *leaf = context_with_value(timeout, &key_a, NULL);
	struct pollfd fd = {.fd = context_fd(leaf), .events = POLLIN};

	ck_assert_int_eq(poll(&fd, 1, EVENT_PATIENCE_S * 1000), 1);
	assert_ended(leaf, -ETIMEDOUT);
	context_free(&leaf);
	context_free(&timeout);
}
END_TEST

static void *first_use_main(void *arg)
{
	struct wait_thread *self = arg;
	struct pollfd fd = {.fd = context_fd(self->ctx), .events = POLLIN};

	event_set(self->began);
	self->err = poll(&fd, 1, EVENT_PATIENCE_S * 1000);
	return NULL;
}

/* C21 */
START_TEST(a_descriptor_first_used_while_the_context_ends_is_readable)
{
	for (int round = 0; round < scale(500); round++) {
		struct context *ctx = context_with_cancel(NULL);
		struct event began = EVENT_INIT;
		struct wait_thread threads[2] = {{.ctx = ctx, .began = &began},
		    {.ctx = ctx, .began = &began}};

		for (int i = 0; i < 2; i++)
			pthread_create(&threads[i].thread, NULL, first_use_main,
			    &threads[i]);
		if (round % 2)
			event_wait(&began);
		context_cancel(ctx, NULL);
		for (int i = 0; i < 2; i++) {
			pthread_join(threads[i].thread, NULL);
			ck_assert_int_eq(threads[i].err, 1);
		}
		context_free(&ctx);
	}
}
END_TEST

/* ---- freeing ------------------------------------------------------------- */

/* C22 */
START_TEST(freeing_a_parent_that_has_live_children_is_safe)
{
	int value = 5;
	struct context *parent = context_with_value(NULL, &key_a, &value);
	struct context *child = context_with_timeout(parent, HOUR_MS);
	struct context *leaf = context_with_cancel(child);
	struct context *late;
	struct run run = RUN_INIT;
	struct context_after *after;

	context_free(&parent);
	ck_assert_ptr_null(parent);
	assert_ended(child, -ECANCELED);
	context_free(&child);
	assert_ended(leaf, -ECANCELED);
	ck_assert_ptr_eq(context_value(leaf, &key_a), &value);
	ck_assert(context_deadline(leaf, NULL));
	ck_assert(readable(context_fd(leaf)));
	ck_assert_int_eq(context_wait(leaf, -1), -ECANCELED);
	late = context_with_cancel(leaf);
	assert_ended(late, -ECANCELED);
	after = context_after(leaf, record_run, &run);
	ck_assert(event_wait(&run.ran));
	ck_assert(!context_after_stop(&after));
	context_cancel(leaf, NULL);
	context_free(&leaf);
	context_free(&late);
}
END_TEST

/* C15, C22 */
START_TEST(trees_that_others_take_values_from_may_be_freed_first)
{
	enum { TREES = 20 };
	struct context *leaves[TREES], *root;
	int values[TREES];

	for (int i = 0; i < TREES; i++) {
		root = context_without_cancel(i ? leaves[i - 1] : NULL);
		leaves[i] = context_with_value(root, &values[i], &values[i]);
		context_free(&root);
	}
	for (int i = 0; i < TREES - 1; i++)
		context_free(&leaves[i]);
	for (int i = 0; i < TREES; i++)
		ck_assert_ptr_eq(context_value(leaves[TREES - 1], &values[i]),
		    &values[i]);
	root = context_without_cancel(leaves[TREES - 1]);
	context_free(&leaves[TREES - 1]);
	assert_live(root);
	context_free(&root); /* the last reference takes all with it */
}
END_TEST

struct let_go_thread {
	pthread_t thread;
	pthread_barrier_t *start;
	struct context *ctx;
	struct context_after *after;
	bool stopped; /* handed back */
};

static void *let_go_main(void *arg)
{
	struct let_go_thread *self = arg;

	pthread_barrier_wait(self->start);
	context_free(&self->ctx);
	self->stopped = context_after_stop(&self->after);
	return NULL;
}

/* C14, C18, C22, C23: the root's maker, a child's, an after's, a deadline. */
START_TEST(a_root_may_be_freed_while_others_let_go_of_it)
{
	enum { FREERS = 3 };
	struct event ran = EVENT_INIT;
	int stopped = 0;

	for (int round = 0; round < scale(500); round++) {
		struct context *root =
		    round % 2 ? context_with_cancel(NULL)
			      : context_with_timeout(NULL, round / 2 % 2);
		struct let_go_thread threads[FREERS] = {{.ctx = root},
		    {.ctx = context_with_timeout(root, round % 3)},
		    {.after = context_after(root, set_event, &ran)}};
		pthread_barrier_t start;

		pthread_barrier_init(&start, NULL, FREERS);
		for (int i = 0; i < FREERS; i++) {
			threads[i].start = &start;
			pthread_create(&threads[i].thread, NULL, let_go_main,
			    &threads[i]);
		}
		for (int i = 0; i < FREERS; i++)
			pthread_join(threads[i].thread, NULL);
		pthread_barrier_destroy(&start);
		stopped += threads[FREERS - 1].stopped;
	}
	ck_assert(event_wait_count(&ran, scale(500) - stopped));
	ck_assert_int_eq(ran.count, scale(500) - stopped);
}
END_TEST

/* C24 */
START_TEST(a_free_accepts_the_address_of_null)
{
	struct context *ctx = NULL;
	struct context_after *after = NULL;

	context_free(&ctx);
	ck_assert(!context_after_stop(&after));
}
END_TEST

/* C24 */
START_TEST(a_null_parent_is_the_background_context)
{
	struct context *ctxs[] = {context_with_cancel(NULL),
	    context_with_timeout(NULL, HOUR_MS),
	    context_with_deadline(NULL, INT64_MAX),
	    context_with_value(NULL, &key_a, NULL),
	    context_without_cancel(NULL),
	    context_with_cancel(context_background())};

	for (size_t i = 0; i < sizeof(ctxs) / sizeof(*ctxs); i++) {
		assert_live(ctxs[i]);
		context_cancel(ctxs[i], NULL);
		assert_ended(ctxs[i], -ECANCELED);
		context_free(&ctxs[i]);
	}
	assert_live(context_background());
}
END_TEST

/* ---- failures ------------------------------------------------------------ */

static void *make_cancel(struct context *parent)
{
	return context_with_cancel(parent);
}

static void *make_timeout(struct context *parent)
{
	return context_with_timeout(parent, HOUR_MS);
}

static void *make_deadline(struct context *parent)
{
	return context_with_deadline(parent, clock_ms() + HOUR_MS);
}

static void *make_value(struct context *parent)
{
	return context_with_value(parent, &key_a, NULL);
}

static void *make_without(struct context *parent)
{
	return context_without_cancel(parent);
}

static void *make_after(struct context *parent)
{
	return context_after(parent, set_event, NULL);
}

typedef void *make_fn(struct context *parent);

static make_fn *const makers[] = {make_cancel, make_timeout, make_deadline,
    make_value, make_without, make_after};

enum { MAKERS = sizeof(makers) / sizeof(makers[0]) };

static void unmake(make_fn *maker, void *made)
{
	struct context *ctx = made;
	struct context_after *after = made;

	if (maker == make_after)
		ck_assert(context_after_stop(&after));
	else
		context_free(&ctx);
}

/*
 * Every failure there is on the way of maker; returns how many there were. The
 * first time, the heap of timers may be what was left behind.
 */
static int fail_each(make_fn *maker, struct context *parent, enum fault fault,
    int errno_wanted)
{
	static bool heap_made;
	int fails = 0;
	void *made;

	for (;;) {
		long before = fault_blocks();

		fault_nth(fault, fails + 1);
		errno = 0;
		made = maker(parent);
		if (made)
			break;
		ck_assert_int_eq(errno, errno_wanted);
		ck_assert_int_eq(fault_failed(fault), 1);
		ck_assert_int_le(fault_blocks(), before + !heap_made);
		fails++;
	}
	fault_none();
	heap_made = true;
	unmake(maker, made);
	return fails;
}

/* C25; once in a process that has no thread of the library yet. */
START_TEST(what_cannot_be_allocated_is_null_and_enomem)
{
	struct context *parent = context_with_cancel(NULL);
	make_fn *maker = makers[_i];

	ck_assert_int_ge(fail_each(maker, parent, FAULT_MEMORY, ENOMEM), 1);
	ck_assert_int_ge(fail_each(maker, parent, FAULT_MEMORY, ENOMEM), 1);
	ck_assert_int_ge(fail_each(maker, context_background(), FAULT_MEMORY,
			     ENOMEM),
	    1);
	assert_live(parent);
	context_free(&parent);
}
END_TEST

static bool needs_thread(make_fn *maker)
{
	return maker == make_timeout || maker == make_deadline ||
	       maker == make_after;
}

/* C25, G16 */
START_TEST(a_thread_that_cannot_be_made_is_null_and_eagain)
{
	struct context *parent = context_with_cancel(NULL);
	make_fn *maker = makers[_i];
	int fails = fail_each(maker, parent, FAULT_THREAD, EAGAIN);

	ck_assert_int_eq(fails, needs_thread(maker));
	/* The thread is there now. */
	ck_assert_int_eq(fail_each(maker, parent, FAULT_THREAD, EAGAIN), 0);
	assert_live(parent);
	context_free(&parent);
}
END_TEST

/* C25, G19: better no thread than one that takes signals. */
START_TEST(a_thread_whose_mask_cannot_be_set_is_null_and_enomem)
{
	int fails = fail_each(makers[_i], context_background(),
	    FAULT_THREAD_MASK, ENOMEM);

	ck_assert_int_eq(fails, needs_thread(makers[_i]));
}
END_TEST

/* C25: the heap of timers has to grow now and then. */
START_TEST(out_of_memory_for_one_more_timer_harms_no_other)
{
	enum { COUNT = 1000 };
	struct context *parent = context_with_cancel(NULL);
	struct context *ctxs[COUNT];
	struct event ran = EVENT_INIT;
	struct context_after *after;
	struct context *ended;
	int fails = 0;

	for (int i = 0; i < COUNT; i++) {
		long before = fault_blocks();

		fault_nth(FAULT_MEMORY, 2); /* the first is the context */
		ctxs[i] = context_with_timeout(parent, i % 2 ? 20 : HOUR_MS);
		fault_none();
		if (ctxs[i])
			continue;
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_int_eq(fault_blocks(), before);
		fails++;
		ctxs[i] = context_with_timeout(parent, i % 2 ? 20 : HOUR_MS);
		ck_assert_ptr_nonnull(ctxs[i]);
	}
	ck_assert_int_gt(fails, 0);
	/* Nor does want of memory keep what was promised from running. */
	ended = context_with_cancel(NULL);
	after = context_after(ended, set_event, &ran);
	fault_from(FAULT_MEMORY, 1);
	context_cancel(ended, NULL);
	ck_assert(event_wait(&ran));
	fault_none();
	ck_assert(!context_after_stop(&after));
	context_free(&ended);
	for (int i = 0; i < COUNT; i++) {
		if (i % 2)
			ck_assert_int_eq(context_wait(ctxs[i], -1), -ETIMEDOUT);
		else
			assert_live(ctxs[i]);
	}
	context_free(&parent);
	for (int i = 0; i < COUNT; i++) {
		ck_assert_int_ne(context_err(ctxs[i]), 0);
		context_free(&ctxs[i]);
	}
}
END_TEST

/* C4, C10: a context with a value is small; a cause of its own it may lose. */
START_TEST(a_cancel_with_a_cause_needs_memory_only_for_its_words)
{
	const struct error lost = {-ECANCELED, "",
	    "canceled; no memory for the cause"};
	long before = fault_blocks();

	for (int i = 0; i < 3; i++) {
		bool is_small = i > 0, fails = i < 2;
		struct context *ctx = is_small
					  ? context_with_value(NULL, &key_a, &i)
					  : context_with_cancel(NULL);
		struct context *leaf = context_with_cancel(ctx);

		if (fails)
			fault_from(FAULT_MEMORY, 1);
		context_cancel(ctx, &cause_a);
		context_cancel(ctx, &cause_b);
		fault_none();
		assert_cause(leaf, -ECANCELED,
		    is_small && fails ? &lost : &cause_a);
		context_free(&ctx);
		assert_cause(leaf, -ECANCELED,
		    is_small && fails ? &lost : &cause_a);
		context_free(&leaf);
	}
	ck_assert_int_eq(fault_blocks(), before);
}
END_TEST

/*
 * C17, C25, G16: all fails from the moment on at which after was accepted, and
 * the heap of timers has no more room than it must have.
 */
START_TEST(an_after_that_was_accepted_runs_whatever_fails)
{
	enum { AFTERS = 60, TIMERS = 1000 };
	struct context *ctx = context_with_cancel(NULL);
	struct context *timers[TIMERS];
	struct context_after *afters[AFTERS];
	struct event ran = EVENT_INIT;
	int count = 0;

	for (int i = 0; i < AFTERS; i++)
		afters[i] = context_after(ctx, set_event, &ran);
	for (; count < TIMERS; count++) {
		fault_nth(FAULT_MEMORY, 2); /* the first is the context */
		timers[count] = context_with_timeout(NULL, HOUR_MS);
		if (!timers[count])
			break;
	}
	ck_assert_int_lt(count, TIMERS);
	fault_from(FAULT_THREAD, 1);
	fault_from(FAULT_MEMORY, 1);
	context_cancel(ctx, NULL);
	ck_assert(!event_is_set(&ran));
	fault_nth(FAULT_THREAD, 3); /* memory fails still */
	ck_assert(event_wait_count(&ran, AFTERS));
	fault_none();
	for (int i = 0; i < AFTERS; i++)
		ck_assert(!context_after_stop(&afters[i]));
	while (count--)
		context_free(&timers[count]);
	context_free(&ctx);
}
END_TEST

/* C25, C21 */
START_TEST(a_descriptor_that_cannot_be_made_is_a_negative_errno)
{
	struct context *ctx = context_with_cancel(NULL);
	struct rlimit limit, none;
	int fd, free_fd = dup(0);

	ck_assert_int_ge(free_fd, 0);
	close(free_fd);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = (rlim_t)free_fd;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	fd = context_fd(ctx);
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_int_eq(fd, -EMFILE);
	/* It is tried again the next time. */
	fd = context_fd(ctx);
	ck_assert_int_ge(fd, 0);
	context_cancel(ctx, NULL);
	ck_assert(readable(fd));
	context_free(&ctx);
}
END_TEST

/* C25 */
START_TEST(a_cause_above_zero_is_a_programmer_error)
{
	static struct context *volatile ctx;
	struct error cause = {.code = EIO};

	ctx = context_with_cancel(NULL);
	context_cancel(ctx, &cause);
}
END_TEST

/* C25, C8 */
START_TEST(a_cause_of_zero_is_a_programmer_error)
{
	static struct context *volatile ctx;
	struct error cause = {.code = 0};

	ctx = context_with_cancel(NULL);
	context_cancel(ctx, &cause);
}
END_TEST

/* ---- the suite ----------------------------------------------------------- */

static void add_failures(Suite *suite)
{
	TCase *tcase = suite_case(suite, "failures of each function");

	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase, what_cannot_be_allocated_is_null_and_enomem,
	    0, MAKERS);
	tcase_add_loop_test(tcase,
	    a_thread_that_cannot_be_made_is_null_and_eagain, 0, MAKERS);
	tcase_add_loop_test(tcase,
	    a_thread_whose_mask_cannot_be_set_is_null_and_enomem, 0, MAKERS);

	tcase = suite_case(suite, "programmer errors");
	tcase_add_test_raise_signal(tcase,
	    cancelling_the_background_context_is_a_programmer_error, SIGABRT);
	tcase_add_test_raise_signal(tcase,
	    freeing_the_background_context_is_a_programmer_error, SIGABRT);
	tcase_add_test_raise_signal(tcase,
	    a_cause_above_zero_is_a_programmer_error, SIGABRT);
	tcase_add_test_raise_signal(tcase,
	    a_cause_of_zero_is_a_programmer_error, SIGABRT);
}

static void add_ends(Suite *suite)
{
	SUITE_ADD(suite, "background", the_background_context_is_never_done,
	    an_after_of_the_background_context_can_be_stopped);
	tcase_add_test(suite_case(suite, "background descriptor"),
	    the_descriptor_of_the_background_context_is_never_readable);
	SUITE_ADD(suite, "cancel", cancel_makes_the_context_done,
	    the_first_cancel_and_its_cause_stick,
	    of_many_threads_that_cancel_one_gives_the_cause_for_all,
	    cancel_does_not_wait_for_work);
	SUITE_ADD(suite, "descendants",
	    all_descendants_are_done_before_cancel_returns,
	    a_child_of_a_done_parent_is_born_done,
	    a_child_of_a_parent_that_timed_out_reads_timed_out,
	    a_child_made_while_its_parent_is_cancelled_ends_done,
	    a_second_canceller_too_returns_only_when_all_descendants_are_done);
	SUITE_ADD(suite, "waiters",
	    error_and_cause_are_visible_before_waiters_wake,
	    all_waiters_that_sleep_are_woken,
	    one_who_gave_up_waiting_keeps_no_other_from_waking,
	    wait_returns_zero_when_its_time_has_run_out_and_never_early,
	    any_negative_wait_is_for_ever);
	SUITE_ADD(suite, "parents and siblings",
	    cancelling_a_child_leaves_its_parent_and_siblings_alone,
	    a_million_children_leave_the_parents_memory_flat);
	SUITE_ADD(suite, "causes",
	    a_child_cancelled_before_its_parent_keeps_its_cause,
	    a_child_cancelled_after_its_parent_has_the_parents_cause,
	    a_cause_outlives_the_context_that_it_was_given_to,
	    a_cause_is_visible_through_value_timeout_and_cancel_descendants);
	SUITE_ADD(suite, "whole trees",
	    cancels_up_and_down_one_tree_do_not_deadlock,
	    parents_and_children_may_be_freed_at_the_same_time,
	    a_chain_of_a_hundred_thousand_contexts_is_cancelled_and_freed);
	SUITE_ADD(suite, "deadlines",
	    a_timeout_ends_the_context_and_never_early,
	    a_deadline_is_a_point_of_the_monotonic_clock,
	    many_deadlines_pass_each_in_its_time,
	    a_deadline_that_becomes_the_earliest_is_kept,
	    a_deadline_is_kept_whatever_was_taken_back_before,
	    a_huge_timeout_saturates);
	SUITE_ADD(suite, "deadlines that have passed",
	    a_deadline_that_is_not_ahead_makes_the_context_done_on_return,
	    a_deadline_that_is_not_ahead_does_not_rely_on_the_parents,
	    a_parent_that_is_done_wins_over_a_deadline_that_has_passed);
	SUITE_ADD(suite, "a parent's deadline", a_parents_earlier_deadline_wins,
	    a_childs_earlier_deadline_ends_the_child_alone);
	SUITE_ADD(suite, "cancel against deadline",
	    a_cancel_that_races_the_deadline_gives_exactly_one_error,
	    the_timer_of_a_cancelled_context_is_released_at_once,
	    timeouts_that_do_not_come_to_pass_wake_nobody);
}

static Suite *context_suite(void)
{
	Suite *suite = suite_create("context");

	add_ends(suite);
	SUITE_ADD(suite, "without_cancel",
	    without_cancel_has_the_values_and_none_of_the_ends,
	    a_timeout_on_top_of_a_cancelled_parents_without_cancel_is_live,
	    cancelling_a_without_cancel_context_ends_what_descends_from_it,
	    a_detached_context_ends_with_its_deadline_only,
	    jobs_of_a_context_for_jobs_are_handed_over);
	SUITE_ADD(suite, "values", the_nearest_value_wins,
	    a_value_context_passes_cancellation_through);
	SUITE_ADD(suite, "after", after_runs_once_on_a_thread_of_the_library,
	    after_on_a_done_context_runs_at_once,
	    after_runs_for_every_way_to_end,
	    several_afters_of_one_context_all_run,
	    of_a_thousand_afters_of_a_tree_all_run_once_but_the_stopped,
	    an_after_may_cancel_contexts_and_make_children,
	    functions_that_block_hold_up_no_other_and_no_deadline);
	SUITE_ADD(suite, "stopping an after",
	    stop_is_true_when_it_prevented_the_function,
	    stop_is_false_when_the_function_is_bound_to_run,
	    against_a_racing_cancel_exactly_one_of_stopped_and_ran_is_true,
	    stop_does_not_wait_for_a_function_that_runs,
	    a_handle_stays_valid_after_its_context_was_freed);
	SUITE_ADD(suite, "descriptor",
	    the_descriptor_becomes_readable_and_stays_so,
	    the_descriptor_of_a_done_context_is_readable_from_the_start,
	    poll_wakes_when_an_ancestor_ends_or_a_deadline_passes,
	    a_descriptor_first_used_while_the_context_ends_is_readable);
	SUITE_ADD(suite, "free",
	    freeing_a_parent_that_has_live_children_is_safe,
	    trees_that_others_take_values_from_may_be_freed_first,
	    a_root_may_be_freed_while_others_let_go_of_it,
	    a_free_accepts_the_address_of_null,
	    a_null_parent_is_the_background_context);
	SUITE_ADD(suite, "failures",
	    out_of_memory_for_one_more_timer_harms_no_other,
	    a_cancel_with_a_cause_needs_memory_only_for_its_words,
	    an_after_that_was_accepted_runs_whatever_fails,
	    a_descriptor_that_cannot_be_made_is_a_negative_errno);
	add_failures(suite);
	return suite;
}

int main(void)
{
	return suite_run(context_suite());
}
