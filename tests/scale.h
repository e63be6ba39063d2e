/* What a test does less of, or not at all, under a tool: WRAP names it. */
#ifndef TESTS_SCALE_H
#define TESTS_SCALE_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* For tcase_set_timeout: when even a slow machine must have been done, in s. */
enum { SCALE_TIMEOUT_S = 300 };

static inline bool is_under(const char *tool)
{
	const char *wrap = getenv("WRAP");

	return wrap && !strcmp(wrap, tool);
}

/*
 * By valgrind, which runs one thread at a time, makes a fork of a vfork, and
 * does not know all system calls nor what the kernel has of them.
 */
static inline bool is_emulated(void)
{
	return is_under("valgrind");
}

static inline int scale_slowdown(void)
{
	if (is_under("valgrind"))
		return 50;
	if (is_under("tsan"))
		return 20;
	if (is_under("asan"))
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
