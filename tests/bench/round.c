/* See round.h. round.go does the same: change both. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "round.h"

#define WARM_NS INT64_C(25000000)
#define ROUND_NS INT64_C(150000000)

static long number;

long round_number(void)
{
	return number;
}

void round_work(long steps)
{
	static _Atomic uint64_t worked;
	uint64_t x = (uint64_t)steps;

	for (long i = 0; i < steps; i++)
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
	atomic_store_explicit(&worked, x, memory_order_relaxed);
}

void round_must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static int64_t time_ns(const struct workload *workload, long n)
{
	int64_t start_ns = round_clock_ns();

	workload->run(n);
	return round_clock_ns() - start_ns;
}

/* Twice as many until it takes long enough to know how many make a round. */
static double measure(const struct workload *workload)
{
	int64_t took_ns;
	long n = 1;

	if (workload->cold)
		return (double)time_ns(workload, 1);
	while ((took_ns = time_ns(workload, n)) < WARM_NS)
		n *= 2;
	n = (long)((double)n * ROUND_NS / (double)took_ns);
	if (n < 1)
		n = 1;
	return (double)time_ns(workload, n) / (double)n;
}

int round_main(const struct workload *workloads, int argc, char **argv)
{
	if (argc > 2)
		number = atol(argv[2]);
	for (const struct workload *w = workloads; argc > 1 && w->name; w++) {
		if (strcmp(w->name, argv[1]) == 0) {
			printf("%.3f\n", measure(w));
			return 0;
		}
	}
	fprintf(stderr, "usage: %s WORKLOAD [NUMBER], with one of\n", argv[0]);
	for (const struct workload *w = workloads; w->name; w++)
		fprintf(stderr, "\t%s\n", w->name);
	return 2;
}
