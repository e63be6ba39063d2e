/* Sleeping on a word until another thread changes it (Linux' futex). */
#ifndef CRATOS_FUTEX_H
#define CRATOS_FUTEX_H

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * Sleeps while *word is value, until a wake-up, deadline (a point of
 * CLOCK_MONOTONIC, NULL: none), or for no reason: the caller looks again.
 */
static inline void futex_wait(atomic_int *word, int value,
    const struct timespec *deadline)
{
	syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, deadline,
	    NULL, FUTEX_BITSET_MATCH_ANY);
}

static inline void futex_wake_one(atomic_int *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1);
}

static inline void futex_wake_all(atomic_int *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX);
}

/*
 * Changes *word and wakes up to count of those who sleep on it. Who sleeps has
 * read the word, and counts as a sleeper, under a lock that is held here.
 */
static inline void futex_ring(atomic_int *word, int count)
{
	atomic_fetch_add_explicit(word, 1, memory_order_relaxed);
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count);
}

#endif
