/*
 * Stands between the library and the calls that can fail: in the copy of the
 * library that the tests are linked with, objcopy has renamed them to those
 * here. So the interceptors of the sanitizers and of valgrind stay in place
 * below, and nobody else's calls fail.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fault.h"

int fault_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
    void *(*main)(void *), void *arg);
int fault_pthread_attr_setsigmask_np(pthread_attr_t *attr,
    const sigset_t *mask);
void *fault_malloc(size_t size);
void *fault_calloc(size_t count, size_t size);
void *fault_realloc(void *old, size_t size);
char *fault_strdup(const char *text);
void fault_free(void *old);

static struct {
	atomic_int countdown; /* the call that makes it 0 fails; 0: none */
	atomic_bool sticks; /* and those after it */
	atomic_uint threshold; /* of UINT32_MAX */
	atomic_uint random;
	atomic_int failed, succeeded;
} faults[FAULT_COUNT];

static atomic_long blocks;

static void *on_failing_arg;
static _Atomic(void (*)(void *arg)) on_failing;

static void order(enum fault fault, int n, bool sticks)
{
	faults[fault].threshold = 0;
	faults[fault].failed = 0;
	faults[fault].sticks = sticks;
	faults[fault].countdown = n;
}

void fault_nth(enum fault fault, int n)
{
	order(fault, n, false);
}

void fault_from(enum fault fault, int n)
{
	order(fault, n, true);
}

void fault_probability(enum fault fault, double probability, unsigned seed)
{
	order(fault, 0, false);
	faults[fault].random = seed;
	faults[fault].threshold = (unsigned)(probability * UINT32_MAX);
}

void fault_on_failing(void (*fn)(void *arg), void *arg)
{
	on_failing_arg = arg;
	on_failing = fn;
}

void fault_none(void)
{
	on_failing = NULL;
	for (int i = 0; i < FAULT_COUNT; i++) {
		faults[i].countdown = 0;
		faults[i].sticks = false;
		faults[i].threshold = 0;
	}
}

int fault_failed(enum fault fault)
{
	return faults[fault].failed;
}

int fault_succeeded(enum fault fault)
{
	return faults[fault].succeeded;
}

long fault_blocks(void)
{
	return blocks;
}

/* True if this call is the one that makes the countdown 0, or after it. */
static bool counted_down(enum fault fault)
{
	int n = faults[fault].countdown;

	while (n > 0) {
		bool last = n == 1;
		int next = last && faults[fault].sticks ? 1 : n - 1;

		if (atomic_compare_exchange_weak(&faults[fault].countdown, &n,
			next))
			return last;
	}
	return false;
}

/* The finaliser of splitmix32: the nth call's number depends on n alone. */
static bool unlucky(enum fault fault)
{
	uint32_t x;

	if (!faults[fault].threshold)
		return false;
	x = atomic_fetch_add(&faults[fault].random, 0x9e3779b9U);
	x = (x ^ (x >> 16)) * 0x21f0aaadU;
	x = (x ^ (x >> 15)) * 0x735a2d97U;
	return (x ^ (x >> 15)) < faults[fault].threshold;
}

static bool fails(enum fault fault)
{
	if (counted_down(fault) || unlucky(fault)) {
		void (*fn)(void *arg) = on_failing;

		atomic_fetch_add(&faults[fault].failed, 1);
		if (fn)
			fn(on_failing_arg);
		return true;
	}
	atomic_fetch_add(&faults[fault].succeeded, 1);
	return false;
}

int fault_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
    void *(*main)(void *), void *arg)
{
	if (fails(FAULT_THREAD))
		return EAGAIN;
	return pthread_create(thread, attr, main, arg);
}

int fault_pthread_attr_setsigmask_np(pthread_attr_t *attr, const sigset_t *mask)
{
	if (fails(FAULT_THREAD_MASK))
		return ENOMEM;
	return pthread_attr_setsigmask_np(attr, mask);
}

static void *counted(void *block)
{
	if (block)
		atomic_fetch_add(&blocks, 1);
	return block;
}

static bool memory_fails(void)
{
	if (!fails(FAULT_MEMORY))
		return false;
	errno = ENOMEM;
	return true;
}

void *fault_malloc(size_t size)
{
	return memory_fails() ? NULL : counted(malloc(size));
}

void *fault_calloc(size_t count, size_t size)
{
	return memory_fails() ? NULL : counted(calloc(count, size));
}

void *fault_realloc(void *old, size_t size)
{
	void *block;

	if (memory_fails())
		return NULL;
	block = realloc(old, size);
	return old ? block : counted(block);
}

char *fault_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = fault_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}

void fault_free(void *old)
{
	if (old)
		atomic_fetch_sub(&blocks, 1);
	free(old);
}
