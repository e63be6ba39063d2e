/* Workloads of contexts. context.go has the same in Go: change both. */
#include <semaphore.h>
#include <stdatomic.h>

#include <cratos/context.h>

#include "round.h"

enum { HOUR_MS = 60 * 60 * 1000, PARKED_MAX = 10000 };

static struct context *new_context(struct context *parent)
{
	struct context *ctx = context_with_cancel(parent);

	round_must(ctx != NULL, "context_with_cancel");
	return ctx;
}

static void make_and_cancel(struct context *parent, long n)
{
	while (n--) {
		struct context *ctx = new_context(parent);

		context_free(&ctx);
	}
}

static void cancel(long n)
{
	make_and_cancel(NULL, n);
}

static void child(long n)
{
	struct context *parent = new_context(NULL);

	make_and_cancel(parent, n);
	context_free(&parent);
}

static void timeout(long n)
{
	struct context *parent = new_context(NULL);

	while (n--) {
		struct context *ctx = context_with_timeout(parent, HOUR_MS);

		round_must(ctx != NULL, "context_with_timeout");
		context_free(&ctx);
	}
	context_free(&parent);
}

static void err(long n)
{
	struct context *ctx = new_context(NULL);
	long done = 0;

	for (long i = 0; i < n; i++)
		done += context_err(ctx) != 0;
	round_must(done == 0, "context_err");
	context_free(&ctx);
}

/* ---- functions parked on a context ---- */

static atomic_long to_run;
static sem_t all_ran;

static void run(void *arg)
{
	(void)arg;
	if (atomic_fetch_sub(&to_run, 1) == 1)
		sem_post(&all_ran);
}

static void park(long count, long n)
{
	static struct context_after *after[PARKED_MAX];

	sem_init(&all_ran, 0, 0);
	while (n--) {
		struct context *ctx = new_context(NULL);

		atomic_store(&to_run, count);
		for (long i = 0; i < count; i++) {
			after[i] = context_after(ctx, run, NULL);
			round_must(after[i] != NULL, "context_after");
		}
		context_cancel(ctx, NULL);
		sem_wait(&all_ran);
		for (long i = 0; i < count; i++)
			context_after_stop(&after[i]);
		context_free(&ctx);
	}
}

static void parked_1000(long n)
{
	park(1000, n);
}

static void parked_10000(long n)
{
	park(10000, n);
}

int main(int argc, char **argv)
{
	static const struct workload workloads[] = {WORKLOAD(cancel),
	    WORKLOAD(child), WORKLOAD(timeout), WORKLOAD(err),
	    WORKLOAD(parked_1000), WORKLOAD(parked_10000), {0}};

	return round_main(workloads, argc, argv);
}
