/*
 * A lock in one word, for what is held for some ten instructions: half the
 * cost of a pthread_mutex_t, a tenth of its size, and nothing to destroy.
 *
 * The word may be freed by whoever takes the lock next, as soon as it is free:
 * the thread that lets go touches it no more, it only names its address to the
 * kernel (and a futex wakes for no reason now and then, so nobody minds if the
 * address has become another one's).
 */
#ifndef CRATOS_LOCK_H
#define CRATOS_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "errgroup/futex.h"

enum {
	LOCK_FREE, /* so a lock of zeros is one */
	LOCK_HELD,
	LOCK_WAITED /* held, and somebody sleeps or is about to */
};

struct lock {
	atomic_int word;
};

/* The slow half of lock_take: the lock was held. */
void lock_wait(struct lock *lock);

static inline void lock_init(struct lock *lock)
{
	atomic_init(&lock->word, LOCK_FREE);
}

/* Does not wait: false if it is held. */
static inline bool lock_try(struct lock *lock)
{
	int word = LOCK_FREE;

	return atomic_compare_exchange_strong_explicit(&lock->word, &word,
	    LOCK_HELD, memory_order_acquire, memory_order_relaxed);
}

/* Not recursive. */
static inline void lock_take(struct lock *lock)
{
	if (!lock_try(lock))
		lock_wait(lock);
}

static inline void lock_leave(struct lock *lock)
{
	if (atomic_exchange_explicit(&lock->word, LOCK_FREE,
		memory_order_release) == LOCK_WAITED)
		futex_wake_one(&lock->word);
}

/*
 * Whether nobody holds the lock; what was done under it before has happened.
 * For whoever knows that nobody is going to take it.
 */
static inline bool lock_is_free(struct lock *lock)
{
	return atomic_load_explicit(&lock->word, memory_order_acquire) ==
	       LOCK_FREE;
}

#endif
