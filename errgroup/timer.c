/*
 * The process's one source of deadlines.
 *
 * Design notes. All timers are in a binary heap by deadline, in an array that
 * only grows; `lock` guards it and every timer's place. Once it is there, it has
 * room for one timer more at all times, timer_arm_kept's. A thread sleeps until
 * the earliest deadline. It takes a timer off the heap before it lets go of the
 * lock and calls fire, so for each timer either timer_disarm or fire happens,
 * never both. Whoever arms keeps the timer's memory alive until one of them has
 * been seen.
 *
 * `look_ms` is when the thread is going to look at the heap at the latest; it
 * is in the past while the thread is awake. Only a timer that is earlier wakes
 * it: then look_ms is that deadline, so the next one need not. Disarming leaves
 * look_ms alone: the thread looks once in vain, which is cheaper than to move
 * the look back and forth for each timeout that does not come to pass.
 *
 * No wake-up is lost: `moved` changes, under the lock, with each look that is
 * put forward; the thread reads it in the hold of the lock in which it sets
 * look_ms, and the kernel compares it again before the thread sleeps.
 *
 * `ready` is set, under the lock, once thread and heap are there, for good;
 * whoever reads it set (acquire) sees what was done before (release).
 *
 * Lock order: a context's tree lock, then `lock`. fire is called without.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "errgroup/clock.h"
#include "errgroup/lock.h"
#include "errgroup/thread.h"
#include "errgroup/timer.h"

static struct {
	struct lock lock;
	atomic_bool ready;
	atomic_int moved; /* counts; written under lock */
	/* guarded by lock */
	bool running;
	int64_t look_ms;
	struct timer **heap; /* from index 1 */
	size_t count, size;
} timers = {.look_ms = INT64_MIN};

static void put(struct timer *timer, size_t place)
{
	timers.heap[place] = timer;
	timer->place = place;
}

static void sift_up(struct timer *timer, size_t place)
{
	while (place > 1 &&
	       timers.heap[place / 2]->deadline_ms > timer->deadline_ms) {
		put(timers.heap[place / 2], place);
		place /= 2;
	}
	put(timer, place);
}

static void sift_down(struct timer *timer, size_t place)
{
	for (;;) {
		size_t child = 2 * place;

		if (child > timers.count)
			break;
		if (child < timers.count &&
		    timers.heap[child + 1]->deadline_ms <
			timers.heap[child]->deadline_ms)
			child++;
		if (timers.heap[child]->deadline_ms >= timer->deadline_ms)
			break;
		put(timers.heap[child], place);
		place = child;
	}
	put(timer, place);
}

static void take_off(struct timer *timer)
{
	size_t place = timer->place;
	struct timer *last = timers.heap[timers.count--];

	timer->place = 0;
	if (last == timer)
		return;
	if (place > 1 &&
	    timers.heap[place / 2]->deadline_ms > last->deadline_ms)
		sift_up(last, place);
	else
		sift_down(last, place);
}

/* Under the lock, which it lets go meanwhile: fires what is due. */
static void fire_due(void)
{
	while (timers.count && timers.heap[1]->deadline_ms <= clock_ms()) {
		struct timer *first = timers.heap[1];

		take_off(first);
		lock_leave(&timers.lock);
		first->fire(first);
		lock_take(&timers.lock);
	}
}

static void *timer_main(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "cratos-timer");
	lock_take(&timers.lock);
	for (;;) {
		int64_t promised_ms = timers.look_ms;
		struct timespec until;
		int moved;

		timers.look_ms = INT64_MIN;
		fire_due();
		timers.look_ms = INT64_MAX;
		if (timers.count)
			timers.look_ms = timers.heap[1]->deadline_ms;
		if (promised_ms > clock_ms() && promised_ms < timers.look_ms)
			timers.look_ms = promised_ms;
		until = clock_timespec_ms(timers.look_ms);
		moved =
		    atomic_load_explicit(&timers.moved, memory_order_relaxed);
		lock_leave(&timers.lock);
		futex_wait(&timers.moved, moved, &until);
		lock_take(&timers.lock);
	}
	return NULL;
}

/* Under the lock: a thread, and room for one timer and the kept one. */
static int prepare(void)
{
	size_t size = timers.size ? 2 * timers.size : 64;
	struct timer **heap;
	int ret;

	if (!timers.running) {
		ret = thread_start(timer_main, NULL);
		if (ret)
			return ret;
		timers.running = true;
	}
	if (timers.count + 2 < timers.size)
		return 0;
	heap = realloc(timers.heap, size * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	timers.heap = heap;
	timers.size = size;
	atomic_store_explicit(&timers.ready, true, memory_order_release);
	return 0;
}

/* Under the lock. True if the thread has to be woken, after it. */
static bool arm(struct timer *timer, int64_t deadline_ms,
    void (*fire)(struct timer *timer))
{
	timer->deadline_ms = deadline_ms;
	timer->fire = fire;
	sift_up(timer, ++timers.count);
	if (deadline_ms >= timers.look_ms)
		return false;
	timers.look_ms = deadline_ms;
	atomic_fetch_add_explicit(&timers.moved, 1, memory_order_relaxed);
	return true;
}

int timer_start(void)
{
	int ret;

	if (atomic_load_explicit(&timers.ready, memory_order_acquire))
		return 0;
	lock_take(&timers.lock);
	ret = prepare();
	lock_leave(&timers.lock);
	return ret;
}

int timer_arm(struct timer *timer, int64_t deadline_ms,
    void (*fire)(struct timer *timer))
{
	bool wake = false;
	int ret;

	lock_take(&timers.lock);
	ret = prepare();
	if (!ret)
		wake = arm(timer, deadline_ms, fire);
	lock_leave(&timers.lock);
	if (wake)
		futex_wake_one(&timers.moved);
	return ret;
}

void timer_arm_kept(struct timer *timer, int64_t deadline_ms,
    void (*fire)(struct timer *timer))
{
	bool wake;

	lock_take(&timers.lock);
	wake = arm(timer, deadline_ms, fire);
	lock_leave(&timers.lock);
	if (wake)
		futex_wake_one(&timers.moved);
}

bool timer_disarm(struct timer *timer)
{
	bool armed;

	lock_take(&timers.lock);
	armed = timer->place != 0;
	if (armed)
		take_off(timer);
	lock_leave(&timers.lock);
	return armed;
}
