/* Deadlines: one thread for all of them, made when the first is needed. */
#ifndef CRATOS_TIMER_H
#define CRATOS_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
	int64_t deadline_ms;
	void (*fire)(struct timer *timer);
	size_t place; /* in the heap, from 1; 0: not armed */
};

/*
 * Makes the thread, and keeps a place for the timer of timer_arm_kept, if they
 * are not there. 0 or a negative errno (-EAGAIN, -ENOMEM).
 */
int timer_start(void);

/*
 * Calls fire once, on the timer thread, when deadline_ms (CLOCK_MONOTONIC) has
 * passed. The timer must not be armed. -ENOMEM, and what timer_start says.
 * fire must not block; it may arm the timer again.
 */
int timer_arm(struct timer *timer, int64_t deadline_ms,
    void (*fire)(struct timer *timer));

/*
 * The same, but never fails: for the one timer, the pool's, for which a place is
 * kept. timer_start must have succeeded before.
 */
void timer_arm_kept(struct timer *timer, int64_t deadline_ms,
    void (*fire)(struct timer *timer));

/*
 * True if this kept fire from being called; false if the timer was not armed,
 * or fire is being called or was. Does not wait for it.
 */
bool timer_disarm(struct timer *timer);

#endif
