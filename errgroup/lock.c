/*
 * Waiting for a lock.
 *
 * Design notes. After Drepper's third mutex ("Futexes Are Tricky"). A thread
 * that finds the lock held spins for a moment, since it is let go after some
 * ten instructions unless its holder was preempted; then it writes LOCK_WAITED
 * and sleeps while the word is that. No wake-up is lost: the kernel compares
 * the word before it sleeps, and whoever lets go of a LOCK_WAITED wakes one. A
 * thread that has slept takes the lock as LOCK_WAITED, since it cannot know
 * whether it was the last; that costs a wake-up of nobody at times.
 *
 * Memory orders: taking acquires, letting go releases, and every change of the
 * word is a read-modify-write.
 */
#include "errgroup/lock.h"
#include "errgroup/pause.h"

enum { SPINS = 100 };

void lock_wait(struct lock *lock)
{
	for (int i = 0; i < SPINS; i++) {
		int word =
		    atomic_load_explicit(&lock->word, memory_order_relaxed);

		if (word == LOCK_FREE &&
		    atomic_compare_exchange_weak_explicit(&lock->word, &word,
			LOCK_HELD, memory_order_acquire, memory_order_relaxed))
			return;
		if (word == LOCK_WAITED)
			break; /* behind those that sleep already */
		pause_briefly();
	}
	while (atomic_exchange_explicit(&lock->word, LOCK_WAITED,
		   memory_order_acquire) != LOCK_FREE)
		futex_wait(&lock->word, LOCK_WAITED, NULL);
}
