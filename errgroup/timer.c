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
 * No wake-up is lost: the thread looks at the heap and goes to sleep in one
 * hold of the lock, and a timer that becomes the earliest signals under it.
 *
 * Lock order: a context's tree lock, then `lock`. fire is called without.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "errgroup/clock.h"
#include "errgroup/thread.h"
#include "errgroup/timer.h"

static struct {
	pthread_mutex_t lock;
	pthread_once_t once;
	/* guarded by lock */
	pthread_cond_t earlier;
	bool running;
	struct timer **heap; /* from index 1 */
	size_t count, size;
} timers = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

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

static void *timer_main(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "cratos-timer");
	pthread_mutex_lock(&timers.lock);
	for (;;) {
		struct timer *first;
		struct timespec until;

		if (!timers.count) {
			pthread_cond_wait(&timers.earlier, &timers.lock);
			continue;
		}
		first = timers.heap[1];
		until = clock_timespec_ms(first->deadline_ms);
		if (clock_ms() < first->deadline_ms) {
			pthread_cond_timedwait(&timers.earlier, &timers.lock,
			    &until);
			continue;
		}
		take_off(first);
		pthread_mutex_unlock(&timers.lock);
		first->fire(first);
		pthread_mutex_lock(&timers.lock);
	}
	return NULL;
}

static void init_cond(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&timers.earlier, &attr);
	pthread_condattr_destroy(&attr);
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
	return 0;
}

static void arm(struct timer *timer, int64_t deadline_ms,
    void (*fire)(struct timer *timer))
{
	timer->deadline_ms = deadline_ms;
	timer->fire = fire;
	sift_up(timer, ++timers.count);
	if (timers.heap[1] == timer)
		pthread_cond_signal(&timers.earlier);
}

int timer_start(void)
{
	int ret;

	pthread_once(&timers.once, init_cond);
	pthread_mutex_lock(&timers.lock);
	ret = prepare();
	pthread_mutex_unlock(&timers.lock);
	return ret;
}

int timer_arm(struct timer *timer, int64_t deadline_ms,
    void (*fire)(struct timer *timer))
{
	int ret;

	pthread_once(&timers.once, init_cond);
	pthread_mutex_lock(&timers.lock);
	ret = prepare();
	if (!ret)
		arm(timer, deadline_ms, fire);
	pthread_mutex_unlock(&timers.lock);
	return ret;
}

void timer_arm_kept(struct timer *timer, int64_t deadline_ms,
    void (*fire)(struct timer *timer))
{
	pthread_mutex_lock(&timers.lock);
	arm(timer, deadline_ms, fire);
	pthread_mutex_unlock(&timers.lock);
}

bool timer_disarm(struct timer *timer)
{
	bool armed;

	pthread_mutex_lock(&timers.lock);
	armed = timer->place != 0;
	if (armed)
		take_off(timer);
	pthread_mutex_unlock(&timers.lock);
	return armed;
}
