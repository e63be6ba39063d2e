/* The app's one poll loop: descriptors, a wake-up, a deadline. */
#ifndef CRATOS_APP_LOOP_H
#define CRATOS_APP_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct source {
	/* On the loop's thread, while fd polls readable. */
	void (*ready)(struct source *source);
	int fd;
	STAILQ_ENTRY(source) dropped;
};

struct loop {
	int epoll, wake, timer;
	int64_t armed_ms; /* when timer fires; INT64_MAX: never */
	bool fired; /* it has; for the loop's owner to clear */
	STAILQ_HEAD(, source) dropped;
};

/* 0 or a negative errno; then fini is still to be called. */
int loop_init(struct loop *loop);
void loop_fini(struct loop *loop);

/* From any thread. 0 or a negative errno. */
int loop_add(struct loop *loop, struct source *source);

/* Stops the watching; for a source that stays, and on the loop's thread. */
void loop_remove(struct loop *loop, struct source *source);

/*
 * The same, and frees the source with free(3) when no event of it can be in
 * the works any more.
 */
void loop_drop(struct loop *loop, struct source *source);

/* Makes loop_poll return. From any thread. */
void loop_wake(struct loop *loop);

/* Makes loop_poll return by deadline_ms at the latest. */
void loop_arm(struct loop *loop, int64_t deadline_ms);

/*
 * As if the timer had fired, so that its owner arms it again, if it has to; false
 * if it was not armed. On the loop's thread.
 */
bool loop_disarm(struct loop *loop);

/* Waits for events and calls the sources; returns after at least one. */
void loop_poll(struct loop *loop);

#endif
