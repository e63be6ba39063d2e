/*
 * All of it at once, at random: CRATOS_STRESS_S seconds (5 unless set) in all,
 * from the seed CRATOS_STRESS_SEED (1 unless set). Round n of a test depends on
 * seed + n alone, as far as threads let it.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include <cratos/errgroup.h>

#include "errgroup/clock.h"
#include "tests/suite.h"

enum { TESTS = 6, HOUR_MS = 3600 * 1000 };

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

/* ---- everything at once -------------------------------------------------- */

/*
 * Drivers with a group each, whose tasks, the errands, block, fail, cancel,
 * park, stop afters and have groups of their own, while threads fail if that is
 * asked for. What an errand waits for by means of its own comes from the watch,
 * which never calls the library; it also sees to it that something moves.
 */
enum {
	DRIVERS = 3,
	GOERS = 3, /* of a group at the same time, the driver included */
	PHASES = 3, /* of a group, each with a wait */
	GROUPS = 4, /* of a driver, one after the other */
	ERRANDS = 10,
	WATCH_US = 150,
	STILL_S = 40 /* without a step: it hangs */
};

struct storm {
	unsigned seed;
	bool faulty; /* threads fail at random */
	atomic_int wrong; /* the first line that found something, or 0 */
	atomic_int steps;
	atomic_bool over;
	int pipe[2];
	struct event afters_ran;
	atomic_int afters; /* made, and not prevented */
	pthread_mutex_t lock;
	pthread_cond_t moved;
	/* guarded by lock */
	int moves, readers;
	LIST_HEAD(, squad) squads;
};

struct errand {
	struct squad *squad;
	uint64_t seed;
	atomic_int runs;
	/* written by who goes */
	int ret; /* of go; try_go that is false: -EBUSY */
	bool tried;
	/* written by the task */
	int code;
	bool saw_live; /* its context, when it failed */
};

/* One phase of a group. */
struct squad {
	struct storm *storm;
	struct errgroup *g;
	struct context *ctx; /* the group's, or NULL */
	struct context *parent, *when; /* may be NULL */
	int depth, limit, count, goers;
	atomic_int active;
	atomic_int used; /* errands, the spare ones included */
	atomic_bool disturbed; /* ctx may end for another reason than errors */
	struct errand errands[2 * ERRANDS];
	LIST_ENTRY(squad) link;
};

static void expect_at(struct storm *storm, bool right, int line)
{
	int none = 0;

	if (!right)
		atomic_compare_exchange_strong(&storm->wrong, &none, line);
}

#define EXPECT(storm, right) expect_at(storm, right, __LINE__)

static void nap(int us)
{
	struct timespec pause = {us / 1000000, us % 1000000 * 1000L};

	nanosleep(&pause, NULL);
}

static void await_move(struct storm *storm)
{
	int seen;

	pthread_mutex_lock(&storm->lock);
	seen = storm->moves;
	while (storm->moves == seen)
		pthread_cond_wait(&storm->moved, &storm->lock);
	pthread_mutex_unlock(&storm->lock);
}

static void await_byte(struct storm *storm)
{
	char byte;

	pthread_mutex_lock(&storm->lock);
	storm->readers++;
	pthread_mutex_unlock(&storm->lock);
	EXPECT(storm, read(storm->pipe[0], &byte, 1) == 1);
}

/* C17, C18: some are stopped, some run, on a context that ends or does not. */
static void race_afters(struct storm *storm, struct context *ctx,
    struct dice *dice)
{
	struct context *own = context_with_timeout(ctx, below(dice, 3));
	struct context_after *afters[4];

	if (!own)
		return;
	for (int i = 0; i < 4; i++) {
		afters[i] = context_after(own, record_run, &storm->afters_ran);
		if (afters[i])
			atomic_fetch_add(&storm->afters, 1);
	}
	if (below(dice, 2))
		context_cancel(own, NULL);
	else if (below(dice, 2))
		nap(below(dice, 1500));
	for (int i = 0; i < 4; i++)
		if (context_after_stop(&afters[(i * 3 + 1) % 4]))
			atomic_fetch_sub(&storm->afters, 1);
	context_free(&own);
}

static int muster(struct storm *storm, struct context *ctx, struct dice *dice,
    int depth);
static int do_errand(struct context *ctx, void *arg);

static void send(struct errand *errand, int how)
{
	struct squad *squad = errand->squad;

	errand->tried = how == 0;
	if (how == 0)
		errand->ret =
		    errgroup_try_go(squad->g, do_errand, errand) ? 0 : -EBUSY;
	else if (how == 1 && squad->when)
		errand->ret = errgroup_go_after(squad->g, squad->when, "parked",
		    do_errand, errand);
	else
		errand->ret = errgroup_go(squad->g, do_errand, errand);
	atomic_fetch_add(&squad->storm->steps, 1);
}

/* Where a slot is sure to come, or none is needed. */
static void send_a_spare_one(struct squad *squad, struct dice *dice)
{
	int i = atomic_fetch_add(&squad->used, 1);

	if (i < 2 * ERRANDS)
		send(&squad->errands[i], squad->limit < 0 ? below(dice, 3) : 0);
}

static int fail_errand(struct context *ctx, struct errand *self,
    struct dice *dice)
{
	self->code = -1 - below(dice, 100);
	self->saw_live = !context_err(ctx);
	return error_set(self->code, "errand %d",
	    (int)(self - self->squad->errands));
}

static void disturb(struct squad *squad, struct dice *dice)
{
	if (below(dice, 2) || !squad->parent) {
		if (squad->when)
			context_cancel(squad->when, NULL);
		return;
	}
	squad->disturbed = true;
	context_cancel(squad->parent, NULL);
}

static int do_errand(struct context *ctx, void *arg)
{
	struct errand *self = arg;
	struct squad *squad = self->squad;
	struct storm *storm = squad->storm;
	struct dice dice = {self->seed};
	int ret = 0, active = atomic_fetch_add(&squad->active, 1) + 1;

	EXPECT(storm, atomic_fetch_add(&self->runs, 1) == 0);
	EXPECT(storm, squad->limit < 0 || active <= squad->limit);
	switch (below(&dice, 12)) {
	case 0:
		context_wait(ctx, below(&dice, 2));
		break;
	case 1:
		nap(below(&dice, 300));
		break;
	case 2:
		await_move(storm);
		break;
	case 3:
		await_byte(storm);
		break;
	case 4:
		disturb(squad, &dice);
		break;
	case 5:
		race_afters(storm, ctx, &dice);
		break;
	case 6:
		send_a_spare_one(squad, &dice);
		break;
	case 7:
		EXPECT(storm, errgroup_set_limit(squad->g, 1) == -EBUSY);
		break;
	case 8:
		ret = fail_errand(ctx, self, &dice);
		break;
	case 9:
	case 10:
		if (squad->depth)
			muster(storm, ctx, &dice, squad->depth - 1);
		break;
	default:
		break;
	}
	atomic_fetch_sub(&squad->active, 1);
	atomic_fetch_add(&storm->steps, 1);
	return ret;
}

struct sender {
	pthread_t thread;
	struct squad *squad;
	int number;
};

static void *send_main(void *arg)
{
	struct sender *self = arg;
	struct squad *squad = self->squad;

	for (int i = self->number; i < squad->count; i += squad->goers) {
		struct dice dice = {squad->errands[i].seed + 1};

		send(&squad->errands[i], below(&dice, 3));
	}
	return NULL;
}

struct fellow {
	pthread_t thread;
	struct errgroup *g;
	int code; /* handed back */
};

static void *wait_too_main(void *arg)
{
	struct fellow *self = arg;

	self->code = errgroup_wait(self->g, NULL);
	return NULL;
}

/* The error of a first phase is that of an errand, and of the first. */
static void expect_first(struct squad *squad, const struct error *err)
{
	struct storm *storm = squad->storm;
	struct errand *errand;
	int number;

	if (err->code == -EAGAIN && !strncmp(err->text, "cannot start", 12)) {
		EXPECT(storm, storm->faulty);
		return;
	}
	if (sscanf(err->text, "errand %d", &number) != 1 || number < 0 ||
	    number >= 2 * ERRANDS) {
		EXPECT(storm, false);
		return;
	}
	errand = &squad->errands[number];
	EXPECT(storm, errand->runs == 1 && errand->code == err->code);
	if (!squad->ctx || squad->disturbed)
		return;
	/* A context that was done says that there was one before. */
	EXPECT(storm, errand->saw_live);
	EXPECT(storm, !strcmp(context_cause(squad->ctx).text, err->text));
}

/* After the wait that returned err; before it the group's error was was. */
static void expect_done(struct squad *squad, const struct error *err,
    const struct error *was)
{
	struct storm *storm = squad->storm;
	int failed = 0;

	EXPECT(storm, !squad->active);
	for (int i = 0; i < 2 * ERRANDS; i++) {
		struct errand *errand = &squad->errands[i];
		bool sent =
		    i < squad->count || (i >= ERRANDS && i < squad->used);

		EXPECT(storm, errand->runs == (sent && !errand->ret));
		EXPECT(storm, !errand->ret || errand->tried ||
				  (storm->faulty && errand->ret == -EAGAIN));
		failed += errand->code || (errand->ret && !errand->tried);
	}
	if (was->code)
		EXPECT(storm, !memcmp(was, err, sizeof(*err)));
	else if (err->code)
		expect_first(squad, err);
	else
		EXPECT(storm, !failed);
}

/* What another group, or this one before, has made of it. */
static void form(struct squad *squad, struct dice *dice)
{
	squad->limit = below(dice, 2) ? -1 : 1 + below(dice, 4);
	squad->count = 1 + below(dice, ERRANDS);
	squad->used = ERRANDS;
	for (int i = 0; i < 2 * ERRANDS; i++)
		squad->errands[i] =
		    (struct errand){.squad = squad, .seed = roll(dice)};
	pthread_mutex_lock(&squad->storm->lock);
	LIST_INSERT_HEAD(&squad->storm->squads, squad, link);
	pthread_mutex_unlock(&squad->storm->lock);
	EXPECT(squad->storm, !errgroup_set_limit(squad->g, squad->limit));
}

static void dismiss(struct squad *squad)
{
	pthread_mutex_lock(&squad->storm->lock);
	LIST_REMOVE(squad, link);
	pthread_mutex_unlock(&squad->storm->lock);
	context_free(&squad->when);
}

static void one_phase(struct squad *squad, struct dice *dice,
    struct error *first)
{
	struct fellow fellow = {.g = squad->g};
	struct sender senders[GOERS];
	bool two = below(dice, 4) == 0;
	struct error err;
	int code;

	squad->when = context_with_timeout(squad->ctx, below(dice, 4));
	squad->goers = squad->depth ? 1 + below(dice, GOERS) : 1;
	form(squad, dice);
	for (int i = 0; i < squad->goers; i++) {
		senders[i] = (struct sender){.squad = squad, .number = i};
		if (i)
			pthread_create(&senders[i].thread, NULL, send_main,
			    &senders[i]);
	}
	send_main(&senders[0]);
	for (int i = 1; i < squad->goers; i++)
		pthread_join(senders[i].thread, NULL);
	if (two)
		pthread_create(&fellow.thread, NULL, wait_too_main, &fellow);
	code = errgroup_wait(squad->g, &err);
	if (two) {
		pthread_join(fellow.thread, NULL);
		EXPECT(squad->storm, fellow.code == code);
	}
	EXPECT(squad->storm, err.code == code);
	expect_done(squad, &err, first);
	*first = err;
	squad->disturbed = true; /* the wait has ended its context */
	dismiss(squad);
}

static int muster(struct storm *storm, struct context *ctx, struct dice *dice,
    int depth)
{
	struct squad squad = {.storm = storm, .depth = depth};
	int phases = 1 + below(dice, PHASES);
	struct error first = {0};

	/* What ends above ends the group's context as well. */
	squad.disturbed = ctx != context_background();
	if (below(dice, 2)) {
		squad.parent = below(dice, 3)
				   ? context_with_cancel(ctx)
				   : context_with_timeout(ctx, below(dice, 5));
		squad.disturbed |=
		    squad.parent && context_deadline(squad.parent, NULL);
	}
	if (below(dice, 4))
		squad.g =
		    errgroup_with_context(squad.parent ? squad.parent : ctx,
			&squad.ctx);
	else
		squad.g = errgroup_new();
	EXPECT(storm, squad.g);
	for (int i = 0; i < phases; i++)
		one_phase(&squad, dice, &first);
	errgroup_free(&squad.g);
	context_free(&squad.parent);
	return 0;
}

struct driver {
	pthread_t thread;
	struct storm *storm;
	struct dice dice;
};

static void *drive_main(void *arg)
{
	struct driver *self = arg;

	for (int i = 0; i < GROUPS; i++)
		muster(self->storm, context_background(), &self->dice, 2);
	return NULL;
}

static void dump_threads(void)
{
	static const char *const files[] = {"comm", "wchan", "syscall"};
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	char path[300], line[100];

	while (tasks && (entry = readdir(tasks))) {
		if (*entry->d_name == '.')
			continue;
		fprintf(stderr, "thread %s:", entry->d_name);
		for (int i = 0; i < 3; i++) {
			FILE *in;

			snprintf(path, sizeof(path), "/proc/self/task/%s/%s",
			    entry->d_name, files[i]);
			in = fopen(path, "re");
			if (in && fgets(line, sizeof(line), in))
				fprintf(stderr, " %.*s",
				    (int)strcspn(line, "\n"), line);
			if (in)
				fclose(in);
		}
		fputc('\n', stderr);
	}
	if (tasks)
		closedir(tasks);
}

/* Nothing moves: says what there is, and ends the process with a core. */
static void give_up(struct storm *storm)
{
	struct squad *squad;

	fprintf(stderr, "seed %u%s: hangs after %d steps; wrong in line %d\n",
	    storm->seed, storm->faulty ? ", faulty" : "", (int)storm->steps,
	    (int)storm->wrong);
	LIST_FOREACH(squad, &storm->squads, link)
	{
		fprintf(stderr,
		    "group %p: depth %d, limit %d, %d goers, %d active;",
		    (void *)squad->g, squad->depth, squad->limit, squad->goers,
		    (int)squad->active);
		for (int i = 0; i < 2 * ERRANDS; i++)
			if (i < squad->count ||
			    (i >= ERRANDS && i < squad->used))
				fprintf(stderr, " %d:%d/%d", i,
				    squad->errands[i].ret,
				    (int)squad->errands[i].runs);
		fputc('\n', stderr);
	}
	dump_threads();
	abort();
}

static void *watch_main(void *arg)
{
	struct storm *storm = arg;
	int64_t moved_ms = clock_ms();
	int steps = 0;

	while (!storm->over) {
		char bytes[64] = {0};

		nap(WATCH_US);
		pthread_mutex_lock(&storm->lock);
		storm->moves++;
		pthread_cond_broadcast(&storm->moved);
		for (; storm->readers; storm->readers--)
			EXPECT(storm, write(storm->pipe[1], bytes, 1) == 1);
		if (steps != storm->steps) {
			steps = storm->steps;
			moved_ms = clock_ms();
		} else if (clock_ms() - moved_ms > STILL_S * 1000) {
			give_up(storm);
		}
		pthread_mutex_unlock(&storm->lock);
	}
	return NULL;
}

/* Threads fail for a while, or all of them, or none. */
static void *weather_main(void *arg)
{
	static const double chances[] = {0.1, 0.5, 0.9, 1};
	struct storm *storm = arg;
	struct dice dice = {storm->seed + UINT64_C(1000000)};

	while (!storm->over) {
		if (below(&dice, 2))
			fault_probability(FAULT_THREAD,
			    chances[below(&dice, 4)], (unsigned)roll(&dice));
		else
			fault_none();
		nap(below(&dice, below(&dice, 64) ? 8000 : 300000));
	}
	fault_none();
	return NULL;
}

static void ride_out(unsigned seed, bool faulty)
{
	struct storm storm = {.seed = seed,
	    .faulty = faulty,
	    .afters_ran = EVENT_INIT,
	    .lock = PTHREAD_MUTEX_INITIALIZER,
	    .moved = PTHREAD_COND_INITIALIZER};
	struct driver drivers[DRIVERS];
	pthread_t watch, weather;
	struct dice dice = {seed};
	bool ran;

	LIST_INIT(&storm.squads);
	ck_assert_int_eq(pipe2(storm.pipe, O_CLOEXEC), 0);
	pthread_create(&watch, NULL, watch_main, &storm);
	if (faulty)
		pthread_create(&weather, NULL, weather_main, &storm);
	for (int i = 0; i < DRIVERS; i++) {
		drivers[i] =
		    (struct driver){.storm = &storm, .dice = {roll(&dice)}};
		pthread_create(&drivers[i].thread, NULL, drive_main,
		    &drivers[i]);
	}
	for (int i = 0; i < DRIVERS; i++)
		pthread_join(drivers[i].thread, NULL);
	storm.over = true;
	pthread_join(watch, NULL);
	if (faulty)
		pthread_join(weather, NULL);
	ran = event_wait_count(&storm.afters_ran, storm.afters);
	ck_assert_msg(ran && storm.afters_ran.count == storm.afters,
	    "seed %u: %d afters ran of %d", seed, storm.afters_ran.count,
	    (int)storm.afters);
	ck_assert_msg(!storm.wrong, "seed %u: wrong in line %d", seed,
	    (int)storm.wrong);
	close(storm.pipe[0]);
	close(storm.pipe[1]);
}

static void weather_storms(bool faulty)
{
	int64_t end_ms = test_end_ms();
	unsigned seed = first_seed();

	do
		ride_out(seed++, faulty);
	while (clock_ms() < end_ms);
	printf("seeds %u to %u\n", first_seed(), seed - 1);
	fflush(stdout);
}

/* C17, C18, G2, G3, G5, G8, G9, G11, G12, G13, G14, G15 */
START_TEST(whatever_tasks_do_at_once_each_runs_once_and_the_first_error_wins)
{
	weather_storms(false);
}
END_TEST

/* The same, and G16, G18 */
START_TEST(whatever_tasks_do_at_once_they_end_though_threads_come_and_go)
{
	weather_storms(true);
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
	SUITE_ADD(suite, "all at once",
	    whatever_tasks_do_at_once_each_runs_once_and_the_first_error_wins,
	    whatever_tasks_do_at_once_they_end_though_threads_come_and_go);
	return suite;
}

int main(void)
{
	printf("seed %u\n", first_seed());
	fflush(stdout);
	return suite_run(stress_suite());
}
