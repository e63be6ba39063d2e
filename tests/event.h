/*
 * Something that happens once, and what waits for it: how the threads of a test
 * meet. No wait is for ever, so that a test that fails says where.
 */
#ifndef TESTS_EVENT_H
#define TESTS_EVENT_H

#include <pthread.h>
#include <stdbool.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { EVENT_PATIENCE_S = 60 };

struct event {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int count;
};

#define EVENT_INIT                                  \
	{                                           \
		.lock = PTHREAD_MUTEX_INITIALIZER,  \
		.changed = PTHREAD_COND_INITIALIZER \
	}

static inline void event_set(struct event *event)
{
	pthread_mutex_lock(&event->lock);
	event->count++;
	pthread_cond_broadcast(&event->changed);
	pthread_mutex_unlock(&event->lock);
}

static inline bool event_is_set(struct event *event)
{
	bool set;

	pthread_mutex_lock(&event->lock);
	set = event->count > 0;
	pthread_mutex_unlock(&event->lock);
	return set;
}

/* Waits until event_set was called n times; false when patience has run out. */
static inline bool event_wait_count(struct event *event, int n)
{
	struct timespec until;
	bool set;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += EVENT_PATIENCE_S;
	pthread_mutex_lock(&event->lock);
	while (event->count < n)
		if (pthread_cond_timedwait(&event->changed, &event->lock,
			&until))
			break;
	set = event->count >= n;
	pthread_mutex_unlock(&event->lock);
	return set;
}

static inline bool event_wait(struct event *event)
{
	return event_wait_count(event, 1);
}

/*
 * For what nothing tells of, as that a thread has ended: true as soon as
 * condition(arg) is.
 */
static inline bool event_poll(bool (*condition)(void *arg), void *arg)
{
	struct timespec start, now, pause = {0, 1000000};

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		if (condition(arg))
			return true;
		nanosleep(&pause, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < EVENT_PATIENCE_S);
	return false;
}

/* True if the kernel has the thread asleep, as in a call that blocks. */
static inline bool event_thread_sleeps(void *tid)
{
	char path[64], state = 0, line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", *(int *)tid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (fgets(line, sizeof(line), file) && strrchr(line, ')'))
		state = strrchr(line, ')')[2];
	fclose(file);
	return state == 'S';
}

#endif
