/* How much work a test does where a tool makes all of it slower. */
#ifndef TESTS_SCALE_H
#define TESTS_SCALE_H

#include <stdlib.h>
#include <string.h>

/* For tcase_set_timeout: when even a slow machine must have been done, in s. */
enum { SCALE_TIMEOUT_S = 300 };

static inline int scale_slowdown(void)
{
	const char *wrap = getenv("WRAP");

	if (wrap && !strcmp(wrap, "valgrind"))
		return 50;
	if (wrap && !strcmp(wrap, "tsan"))
		return 20;
	if (wrap && !strcmp(wrap, "asan"))
		return 4;
	return 1;
}

/* The number of rounds to make of n; what the tests say is n. */
static inline int scale(int n)
{
	int scaled = n / scale_slowdown();

	return scaled > 1 ? scaled : 1;
}

#endif
