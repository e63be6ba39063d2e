/*
 * The poll loop (epoll, eventfd, timerfd).
 *
 * Design notes. All but loop_add and loop_wake happens on one thread. Within
 * the events of one epoll_wait a source may be dropped by another one's ready:
 * its `ready` is cleared then, and it is freed after the last of the events.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "app/loop.h"
#include "errgroup/clock.h"
#include "errgroup/worker.h"

static int add_fd(struct loop *loop, int fd, void *source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};

	return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int loop_init(struct loop *loop)
{
	int ret;

	STAILQ_INIT(&loop->dropped);
	loop->armed_ms = INT64_MAX;
	loop->fired = false;
	loop->wake = loop->timer = -1;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return -errno;
	loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake < 0)
		return -errno;
	loop->timer =
	    timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->timer < 0)
		return -errno;
	ret = add_fd(loop, loop->wake, &loop->wake);
	return ret ? ret : add_fd(loop, loop->timer, &loop->timer);
}

static void free_dropped(struct loop *loop)
{
	struct source *source;

	while ((source = STAILQ_FIRST(&loop->dropped))) {
		STAILQ_REMOVE_HEAD(&loop->dropped, dropped);
		free(source);
	}
}

void loop_fini(struct loop *loop)
{
	free_dropped(loop);
	if (loop->timer >= 0)
		close(loop->timer);
	if (loop->wake >= 0)
		close(loop->wake);
	if (loop->epoll >= 0)
		close(loop->epoll);
}

int loop_add(struct loop *loop, struct source *source)
{
	return add_fd(loop, source->fd, source);
}

void loop_remove(struct loop *loop, struct source *source)
{
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	source->ready = NULL;
}

void loop_drop(struct loop *loop, struct source *source)
{
	loop_remove(loop, source);
	STAILQ_INSERT_TAIL(&loop->dropped, source, dropped);
}

void loop_wake(struct loop *loop)
{
	eventfd_write(loop->wake, 1);
}

void loop_arm(struct loop *loop, int64_t deadline_ms)
{
	struct itimerspec when = {0};

	if (deadline_ms >= loop->armed_ms)
		return;
	loop->armed_ms = deadline_ms;
	when.it_value = clock_timespec_ms(deadline_ms);
	if (!when.it_value.tv_sec && !when.it_value.tv_nsec)
		when.it_value.tv_nsec = 1; /* all zeros would disarm it */
	timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

bool loop_disarm(struct loop *loop)
{
	const struct itimerspec never = {0};

	if (loop->armed_ms == INT64_MAX)
		return false;
	timerfd_settime(loop->timer, 0, &never, NULL);
	loop->armed_ms = INT64_MAX;
	loop->fired = true;
	return true;
}

static void take_timer(struct loop *loop)
{
	uint64_t count;

	/* Nothing to read if it was armed anew meanwhile. */
	if (read(loop->timer, &count, sizeof(count)) < 0)
		return;
	loop->armed_ms = INT64_MAX;
	loop->fired = true;
}

void loop_poll(struct loop *loop)
{
	struct epoll_event events[64];
	uint64_t count;
	int n;

	/* What was queued since the last time is run by others, at once. */
	worker_block();
	n = epoll_wait(loop->epoll, events, 64, -1);
	worker_unblock();
	for (int i = 0; i < n; i++) {
		struct source *source = events[i].data.ptr;

		if (events[i].data.ptr == &loop->wake) {
			eventfd_read(loop->wake, &count);
		} else if (events[i].data.ptr == &loop->timer) {
			take_timer(loop);
		} else if (source->ready) {
			source->ready(source);
		}
	}
	free_dropped(loop);
}
