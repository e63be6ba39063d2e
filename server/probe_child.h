/*
 * The child process of an attempt at "exec:": executed on a thread of the pool,
 * since that may block; watched by an epoll instance of the caller's.
 *
 * The caller's lock guards all of it, and is held in all calls but free's.
 */
#ifndef CRATOS_PROBE_CHILD_H
#define CRATOS_PROBE_CHILD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <cratos/error.h>

#include "server/reaper.h"
#include "server/spawn.h"

struct probe_job;

struct probe_child {
	pthread_mutex_t *lock;
	pthread_cond_t over; /* a job is */
	int jobs; /* of this and of former attempts */
	struct probe_job *job; /* of the attempt that waits for it; or NULL */
	struct context *done; /* what jobs run after */
	/* Of the child that runs, or was not reaped yet: 0 is none. */
	pid_t pid;
	struct reaper_run run;
	int pidfd;
	struct error failure; /* of the job */
	int epoll, wake;
	uint32_t tag;
};

/* The lock is borrowed. fini waits, without the lock, for jobs to end. */
void probe_child_init(struct probe_child *child, pthread_mutex_t *lock);
void probe_child_fini(struct probe_child *child);

/*
 * Has the program executed (spawn is borrowed until fini). Once it can be said
 * what has come of it, epoll tells with the tag, or the timerfd `wake` is made to
 * expire, and it is to be looked at. ATTEMPT_GOES_ON, or as attempt_begin.
 */
int probe_child_begin(struct probe_child *child, const struct spawn *spawn,
    int epoll, uint32_t tag, int wake);

/* As attempt_go_on. */
int probe_child_look(struct probe_child *child);

/* Ends it, by SIGKILL to its group. */
void probe_child_kill(struct probe_child *child);

/* Whether it still is there, or about to be; reaps it, and does not block. */
bool probe_child_is_left(struct probe_child *child);

/* After kill: until it is gone. */
void probe_child_wait(struct probe_child *child);

#endif
