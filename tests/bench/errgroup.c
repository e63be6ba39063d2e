/* Workloads of groups. errgroup.go has the same in Go: change both. */
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include <cratos/errgroup.h>

#include "round.h"

enum { MANY = 1000000, DEPTH = 12, PRODUCERS = 4, BLOCKED = 1000 };

static int nothing(struct context *ctx, void *arg)
{
	(void)ctx, (void)arg;
	return 0;
}

static struct errgroup *new_group(int limit)
{
	struct errgroup *g = errgroup_new();

	round_must(g != NULL, "errgroup_new");
	round_must(errgroup_set_limit(g, limit) == 0, "errgroup_set_limit");
	return g;
}

static void finish(struct errgroup **g)
{
	round_must(errgroup_wait(*g, NULL) == 0, "errgroup_wait");
	errgroup_free(g);
}

static void one_task(long n)
{
	for (long i = 0; i < n; i++) {
		struct context *ctx;
		struct errgroup *g = errgroup_with_context(NULL, &ctx);

		round_must(g != NULL, "errgroup_with_context");
		errgroup_go(g, nothing, NULL);
		finish(&g);
	}
}

static void first_task(long n)
{
	one_task(n);
}

/* What errgroup_go returns is the group's error, too: finish() looks. */
static void tasks(long n, int limit, task_fn *fn)
{
	struct errgroup *g = new_group(limit);

	for (long i = 0; i < n; i++)
		errgroup_go(g, fn, NULL);
	finish(&g);
}

static void fan_out_10(long n)
{
	while (n--)
		tasks(10, -1, nothing);
}

static void fan_out_100(long n)
{
	while (n--)
		tasks(100, -1, nothing);
}

static void fan_out_1000(long n)
{
	while (n--)
		tasks(1000, -1, nothing);
}

static void many(long n)
{
	while (n--)
		tasks(MANY, -1, nothing);
}

static void many_limit_2(long n)
{
	while (n--)
		tasks(MANY, 2, nothing);
}

static void many_limit_64(long n)
{
	while (n--)
		tasks(MANY, 64, nothing);
}

/* ---- tasks that work ---- */

static int work_number(struct context *ctx, void *arg)
{
	(void)ctx, (void)arg;
	round_work(round_number());
	return 0;
}

static void limit_2_work(long n)
{
	tasks(n, 2, work_number);
}

/* ---- groups of groups ---- */

static int fork_join(struct context *ctx, void *arg)
{
	intptr_t depth = (intptr_t)arg;
	struct errgroup *g;
	int ret;

	(void)ctx;
	if (depth == 0)
		return 0;
	g = errgroup_new();
	round_must(g != NULL, "errgroup_new");
	errgroup_go(g, fork_join, (void *)(depth - 1));
	errgroup_go(g, fork_join, (void *)(depth - 1));
	ret = errgroup_wait(g, NULL);
	errgroup_free(&g);
	return ret;
}

static void fork_joins(long n)
{
	while (n--)
		round_must(fork_join(NULL, (void *)DEPTH) == 0, "fork_join");
}

struct production {
	struct errgroup *g;
	long count;
};

static int produce(struct context *ctx, void *arg)
{
	const struct production *production = arg;
	int ret = 0;

	(void)ctx;
	for (long i = 0; i < production->count && !ret; i++)
		ret = errgroup_go(production->g, nothing, NULL);
	return ret;
}

static void producers(long n)
{
	struct errgroup *makers = new_group(-1);
	struct production production = {.g = new_group(8),
	    .count = (n + PRODUCERS - 1) / PRODUCERS};

	for (int i = 0; i < PRODUCERS; i++)
		errgroup_go(makers, produce, &production);
	finish(&makers);
	finish(&production.g);
}

/* ---- against bare threads: errgroup_floor.c ---- */

static atomic_int missing;
static sem_t all_there;

static int block(struct context *ctx, void *arg)
{
	(void)arg;
	if (atomic_fetch_sub(&missing, 1) == 1)
		sem_post(&all_there);
	context_wait(ctx, -1);
	return 0;
}

static void blocked(long n)
{
	sem_init(&all_there, 0, 0);
	while (n--) {
		struct context *ctx;
		struct errgroup *g = errgroup_with_context(NULL, &ctx);

		round_must(g != NULL, "errgroup_with_context");
		atomic_store(&missing, BLOCKED);
		for (int i = 0; i < BLOCKED; i++)
			errgroup_go(g, block, NULL);
		sem_wait(&all_there);
		context_cancel(ctx, NULL);
		finish(&g);
	}
}

/* Where the library does not know it, unlike context_wait. */
static int sleep_1_ms(struct context *ctx, void *arg)
{
	(void)ctx, (void)arg;
	usleep(1000);
	return 0;
}

static void sleepers(long n)
{
	while (n--)
		tasks(BLOCKED, -1, sleep_1_ms);
}

int main(int argc, char **argv)
{
	static const struct workload workloads[] = {WORKLOAD(one_task),
	    WORKLOAD(fan_out_10), WORKLOAD(fan_out_100), WORKLOAD(fan_out_1000),
	    WORKLOAD(many), WORKLOAD(many_limit_2), WORKLOAD(many_limit_64),
	    {.name = "work", .run = round_work}, WORKLOAD(limit_2_work),
	    WORKLOAD(fork_joins), WORKLOAD(producers),
	    WORKLOAD_COLD(first_task), WORKLOAD_COLD(blocked),
	    WORKLOAD_COLD(sleepers), {0}};

	return round_main(workloads, argc, argv);
}
