/* CLOCK_MONOTONIC in one integer, and back. */
#ifndef CRATOS_CLOCK_H
#define CRATOS_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

static inline int64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Milliseconds, rounded down: for "how long did it take". */
static inline int64_t clock_ms(void)
{
	return clock_ns() / NS_PER_MS;
}

/*
 * The deadline timeout_ms from a point in time, rounded up so that it is never
 * early, and saturating.
 */
static inline int64_t clock_deadline_from_ms(int64_t now_ns, int64_t timeout_ms)
{
	int64_t now_ms = (now_ns + NS_PER_MS - 1) / NS_PER_MS;

	if (timeout_ms > 0 && now_ms > INT64_MAX - timeout_ms)
		return INT64_MAX;
	return now_ms + timeout_ms;
}

/* The same, from now. */
static inline int64_t clock_deadline_ms(int64_t timeout_ms)
{
	return clock_deadline_from_ms(clock_ns(), timeout_ms);
}

/* A point in ms as the kernel wants it; what it cannot hold is far away. */
static inline struct timespec clock_timespec_ms(int64_t ms)
{
	if (ms < 0)
		ms = 0;
	if (ms / 1000 > INT32_MAX)
		ms = INT32_MAX * INT64_C(1000);
	return (struct timespec){ms / 1000, ms % 1000 * NS_PER_MS};
}

#endif
