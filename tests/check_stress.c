/*
 * All of it at once, at random: CRATOS_STRESS_S seconds (5 unless set) in all,
 * from the seed CRATOS_STRESS_SEED (1 unless set). Round n of a test depends on
 * seed + n alone, as far as threads let it.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cratos/errgroup.h>

#include "errgroup/clock.h"
#include "tests/suite.h"

enum { TESTS = 4, HOUR_MS = 3600 * 1000 };

static int number_from(const char *variable, int otherwise)
{
	const char *text = getenv(variable);

	return text && *text ? atoi(text) : otherwise;
}

static unsigned first_seed(void)
{
	return (unsigned)number_from("CRATOS_STRESS_SEED", 1);
}

/* When a test that starts now has to end. */
static int64_t test_end_ms(void)
{
	int64_t all_ms = number_from("CRATOS_STRESS_S", 5) * INT64_C(1000);

	return clock_ms() + all_ms / TESTS;
}

/* splitmix64 */
struct dice {
	uint64_t state;
};

static uint64_t roll(struct dice *dice)
{
	uint64_t x = dice->state += 0x9e3779b97f4a7c15U;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
	return x ^ (x >> 31);
}

static int below(struct dice *dice, int n)
{
	return (int)(roll(dice) % (uint64_t)n);
}

/* ---- groups in groups ---------------------------------------------------- */

enum { BRANCHES = 6, DEPTH = 3 };

struct family {
	bool faulty; /* threads and memory fail at random */
	atomic_int accepted, ran;
	atomic_int wrong; /* what must not be and was */
};

struct person {
	struct family *family;
	struct dice dice;
	int depth;
	pthread_barrier_t *barrier; /* where it meets its siblings, or NULL */
	atomic_int *failed; /* of its siblings, how many */
};

static int live(struct context *ctx, void *arg);

static int give_birth(struct errgroup *g, struct context *when,
    struct person *child, struct dice *dice)
{
	int how = below(dice, 3), ret;

	if (!child->barrier && how == 0)
		return errgroup_try_go(g, live, child) ? 0 : -EBUSY;
	if (when && how == 1)
		ret = errgroup_go_after(g, when, "parked", live, child);
	else
		ret = errgroup_go(g, live, child);
	if (ret)
		atomic_fetch_add(child->failed, 1);
	return ret;
}

/* One round of a group: its children, and the wait for them. */
static void raise_children(struct context *ctx, struct errgroup *g,
    struct person *parent, atomic_int *failed)
{
	struct dice *dice = &parent->dice;
	struct person children[BRANCHES];
	int count = 1 + below(dice, BRANCHES);
	bool meet = !parent->family->faulty && below(dice, 3) == 0;
	int limit = meet ? count + below(dice, 3) : 1 + below(dice, 3);
	struct context *when = context_with_timeout(ctx, below(dice, 3));
	pthread_barrier_t barrier;

	if (below(dice, 2))
		limit = -1;
	if (errgroup_set_limit(g, limit))
		atomic_fetch_add(&parent->family->wrong, 1);
	pthread_barrier_init(&barrier, NULL, (unsigned)count);
	for (int i = 0; i < count; i++) {
		children[i] = (struct person){parent->family, {roll(dice)},
		    parent->depth - 1, meet ? &barrier : NULL, failed};
		if (!give_birth(g, when, &children[i], dice))
			atomic_fetch_add(&parent->family->accepted, 1);
	}
	if (below(dice, 3) == 0 && when)
		context_cancel(when, NULL);
	if ((errgroup_wait(g, NULL) != 0) != (*failed > 0))
		atomic_fetch_add(&parent->family->wrong, 1);
	pthread_barrier_destroy(&barrier);
	context_free(&when);
}

static int found_family(struct context *ctx, struct person *parent)
{
	struct context *inner = ctx;
	struct errgroup *g = below(&parent->dice, 2)
				 ? errgroup_with_context(ctx, &inner)
				 : errgroup_new();
	int rounds = 1 + below(&parent->dice, 3);
	atomic_int failed = 0;
	struct error err = {0};

	if (!g)
		return -ENOMEM;
	for (int i = 0; i < rounds; i++)
		raise_children(inner, g, parent, &failed);
	if (errgroup_wait(g, &err) != err.code)
		atomic_fetch_add(&parent->family->wrong, 1);
	errgroup_free(&g);
	return err.code;
}

static int live(struct context *ctx, void *arg)
{
	struct person *self = arg;
	int ret = 0;

	atomic_fetch_add(&self->family->ran, 1);
	if (self->barrier)
		pthread_barrier_wait(self->barrier);
	switch (below(&self->dice, 6)) {
	case 0:
		sched_yield();
		break;
	case 1:
		context_wait(ctx, below(&self->dice, 2));
		break;
	case 2:
		ret = error_set(-1 - below(&self->dice, 100), "at random");
		break;
	default:
		if (self->depth > 0)
			ret = found_family(ctx, self);
		break;
	}
	if (ret)
		atomic_fetch_add(self->failed, 1);
	return ret;
}

static void live_a_round(unsigned seed, bool faulty)
{
	struct family family = {.faulty = faulty};
	atomic_int failed = 0;
	struct person top = {&family, {seed}, DEPTH, NULL, &failed};

	if (faulty) {
		fault_probability(FAULT_THREAD, 0.3, seed);
		fault_probability(FAULT_MEMORY, 0.03, seed);
	}
	found_family(context_background(), &top);
	fault_none();
	ck_assert_msg(!family.wrong, "seed %u: %d are wrong", seed,
	    (int)family.wrong);
	ck_assert_msg(family.ran == family.accepted,
	    "seed %u: %d ran of %d accepted", seed, (int)family.ran,
	    (int)family.accepted);
}

/* G2, G5, G8, G11, G12, G13, G15 */
START_TEST(groups_in_groups_that_block_at_random_end)
{
	int64_t end_ms = test_end_ms();
	unsigned seed = first_seed();

	do
		live_a_round(seed++, false);
	while (clock_ms() < end_ms);
}
END_TEST

/* G16, G18, C25 */
START_TEST(groups_in_groups_end_though_threads_and_memory_fail_at_random)
{
	int64_t end_ms = test_end_ms();
	unsigned seed = first_seed();
	long few = fault_blocks() + 1;

	do {
		live_a_round(seed, true);
		ck_assert_msg(event_poll(suite_blocks_are_few, &few),
		    "seed %u: %ld blocks leaked", seed, fault_blocks() - few);
		seed++;
	} while (clock_ms() < end_ms);
}
END_TEST

/* ---- trees --------------------------------------------------------------- */

enum { SHARED = 24, OWN = 12, CLIMBERS = 4, STEPS = 300 };

struct own {
	struct context *ctx;
	struct context *parent; /* NULL if its end does not reach ctx */
};

struct climber {
	pthread_t thread;
	struct context **shared;
	struct dice dice;
	struct own own[OWN];
	int wrong; /* handed back */
};

static struct context *make_any(struct context *parent, struct dice *dice)
{
	static const char key;

	switch (below(dice, 5)) {
	case 0:
		return context_with_timeout(parent, below(dice, 4) - 1);
	case 1:
		return context_with_timeout(parent, HOUR_MS);
	case 2:
		return context_with_value(parent, &key, NULL);
	default:
		return context_with_cancel(parent);
	}
}

/* A parent that is shared, or the climber's own. */
static struct context *any_parent(struct climber *self)
{
	struct context *own = self->own[below(&self->dice, OWN)].ctx;

	if (own && below(&self->dice, 2))
		return own;
	return self->shared[below(&self->dice, SHARED)];
}

static void drop(struct climber *self, struct own *own)
{
	for (int i = 0; i < OWN; i++)
		if (self->own[i].parent == own->ctx)
			self->own[i].parent = NULL;
	own->parent = NULL;
	context_free(&own->ctx);
}

static void make_own(struct climber *self, struct own *own)
{
	struct context *parent;
	bool done;

	drop(self, own);
	parent = any_parent(self);
	done = context_err(parent) != 0;
	if (below(&self->dice, 8) == 0) {
		own->ctx = context_without_cancel(parent);
		self->wrong += context_err(own->ctx) != 0;
		return;
	}
	own->ctx = make_any(parent, &self->dice);
	own->parent = parent;
	self->wrong += done && !context_err(own->ctx);
}

static void cancel_any(struct climber *self)
{
	struct error cause = {.code = -1 - below(&self->dice, 100)};
	struct context *ctx = any_parent(self);

	/* The shared ones last for some steps. */
	if (below(&self->dice, 4))
		ctx = self->own[below(&self->dice, OWN)].ctx;
	if (!ctx)
		return;
	context_cancel(ctx, below(&self->dice, 2) ? &cause : NULL);
	self->wrong += context_err(ctx) == 0;
	for (int i = 0; i < OWN; i++)
		if (self->own[i].parent == ctx)
			self->wrong += context_err(self->own[i].ctx) == 0;
}

static void look_at(struct climber *self, struct context *ctx)
{
	int err = context_err(ctx);
	struct error cause = context_cause(ctx);

	if (err)
		self->wrong += cause.code >= 0 || context_err(ctx) != err ||
			       context_wait(ctx, -1) != err;
	if (below(&self->dice, 8) == 0)
		self->wrong += context_fd(ctx) < 0;
	if (below(&self->dice, 32) == 0)
		context_wait(ctx, 1);
}

static void *climb_main(void *arg)
{
	struct climber *self = arg;

	for (int i = 0; i < STEPS; i++) {
		struct own *own = &self->own[below(&self->dice, OWN)];
		int what = below(&self->dice, 8);

		if (what == 0)
			cancel_any(self);
		else if (what < 4 && own->ctx)
			look_at(self, own->ctx);
		else
			make_own(self, own);
	}
	for (int i = 0; i < OWN; i++)
		drop(self, &self->own[i]);
	return NULL;
}

/* C3, C4, C5, C6, C14, C19, C20, C21, C22 */
START_TEST(trees_that_grow_while_they_are_cancelled_leave_no_orphan)
{
	int64_t end_ms = test_end_ms();
	unsigned seed = first_seed();

	do {
		struct dice dice = {seed};
		struct context *shared[SHARED];
		struct climber climbers[CLIMBERS];

		for (int i = 0; i < SHARED; i++)
			shared[i] =
			    make_any(i ? shared[below(&dice, i)] : NULL, &dice);
		for (int i = 0; i < CLIMBERS; i++) {
			climbers[i] = (struct climber){.shared = shared,
			    .dice = {roll(&dice)}};
			pthread_create(&climbers[i].thread, NULL, climb_main,
			    &climbers[i]);
		}
		for (int i = 0; i < CLIMBERS; i++) {
			pthread_join(climbers[i].thread, NULL);
			ck_assert_msg(!climbers[i].wrong,
			    "seed %u: %d are wrong", seed, climbers[i].wrong);
		}
		context_cancel(shared[0], NULL);
		for (int i = 0; i < SHARED; i++)
			ck_assert_msg(context_err(shared[i]),
			    "seed %u: an orphan", seed);
		for (int i = 0; i < SHARED; i++)
			context_free(&shared[(i * 7 + 3) % SHARED]);
		seed++;
	} while (clock_ms() < end_ms);
}
END_TEST

/* ---- afters -------------------------------------------------------------- */

enum { ENDS = 8, RACERS = 4, AFTERS = 60 };

struct racer {
	pthread_t thread;
	struct context **ends;
	struct event *ran;
	struct dice dice;
	struct context_after *afters[AFTERS];
	int stopped; /* handed back */
};

static void record_run(void *ran)
{
	event_set(ran);
}

static void *race_main(void *arg)
{
	struct racer *self = arg;

	for (int i = 0; i < AFTERS; i++) {
		struct context *end = self->ends[below(&self->dice, ENDS)];

		self->afters[i] = context_after(end, record_run, self->ran);
		if (below(&self->dice, 8) == 0)
			context_cancel(end, NULL);
		if (below(&self->dice, 16) == 0)
			context_wait(end, 1);
		/* One of those before, perhaps for the second time. */
		self->stopped += context_after_stop(
		    &self->afters[below(&self->dice, i + 1)]);
	}
	for (int i = 0; i < AFTERS; i++)
		self->stopped += context_after_stop(&self->afters[i]);
	return NULL;
}

/* C14, C17, C18, C23 */
START_TEST(afters_that_race_with_ends_and_stops_run_or_were_stopped)
{
	int64_t end_ms = test_end_ms();
	unsigned seed = first_seed();

	do {
		struct dice dice = {seed};
		struct event ran = EVENT_INIT;
		struct context *ends[ENDS];
		struct racer racers[RACERS];
		int stopped = 0;

		for (int i = 0; i < ENDS; i++)
			ends[i] =
			    make_any(i && i % 2 ? ends[below(&dice, i)] : NULL,
				&dice);
		for (int i = 0; i < RACERS; i++) {
			racers[i] = (struct racer){.ends = ends,
			    .ran = &ran,
			    .dice = {roll(&dice)}};
			pthread_create(&racers[i].thread, NULL, race_main,
			    &racers[i]);
		}
		for (int i = 0; i < RACERS; i++) {
			pthread_join(racers[i].thread, NULL);
			stopped += racers[i].stopped;
		}
		ck_assert_msg(event_wait_count(&ran, RACERS * AFTERS - stopped),
		    "seed %u: %d did not run", seed,
		    RACERS * AFTERS - stopped - ran.count);
		for (int i = 0; i < ENDS; i++)
			context_free(&ends[i]);
		ck_assert_msg(ran.count == RACERS * AFTERS - stopped,
		    "seed %u: %d ran and were stopped", seed,
		    ran.count + stopped - RACERS * AFTERS);
		seed++;
	} while (clock_ms() < end_ms);
}
END_TEST

static Suite *stress_suite(void)
{
	Suite *suite = suite_create("stress");

	SUITE_ADD(suite, "groups", groups_in_groups_that_block_at_random_end);
	SUITE_ADD(suite, "failures",
	    groups_in_groups_end_though_threads_and_memory_fail_at_random);
	SUITE_ADD(suite, "trees",
	    trees_that_grow_while_they_are_cancelled_leave_no_orphan);
	SUITE_ADD(suite, "afters",
	    afters_that_race_with_ends_and_stops_run_or_were_stopped);
	return suite;
}

int main(void)
{
	printf("seed %u\n", first_seed());
	fflush(stdout);
	return suite_run(stress_suite());
}
