/*
 * One round of one workload: chosen by name, warmed up, measured, and printed
 * as nanoseconds per operation.
 */
#ifndef CRATOS_BENCH_ROUND_H
#define CRATOS_BENCH_ROUND_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct workload {
	const char *name;
	void (*run)(long n); /* n operations */
	bool cold; /* one operation, the first of the process */
};

/* Named as their functions. */
#define WORKLOAD(fn)                     \
	{                                \
		.name = #fn, .run = (fn) \
	}
#define WORKLOAD_COLD(fn)                              \
	{                                              \
		.name = #fn, .run = (fn), .cold = true \
	}

/*
 * The main of a program of workloads, the last of which has no name. Its
 * arguments are the workload and, if that wants one, a number.
 */
int round_main(const struct workload *workloads, int argc, char **argv);

/* The number on the command line; 0 without. */
long round_number(void);

/* Each step needs the one before, so that compilers make the same of it. */
void round_work(long steps);

/* Ends the process if what a workload relies on has failed. */
void round_must(bool ok, const char *what);

static inline int64_t round_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

#endif
