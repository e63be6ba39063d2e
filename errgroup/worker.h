/*
 * The threads that run jobs: errgroup tasks and functions of context_after.
 * One pool for the process.
 */
#ifndef CRATOS_WORKER_H
#define CRATOS_WORKER_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

struct job {
	void (*run)(struct job *job); /* owns the job from here on */
	TAILQ_ENTRY(job) link; /* the pool's, as is queued */
	bool queued;
};

TAILQ_HEAD(job_list, job);

/*
 * Queues a job for which there is a thread, an idle one or a new one, so that
 * it runs whatever all others block on. With patient, waits a moment for a
 * thread to become idle before it makes a new one. Returns 0 or, with nothing
 * queued, the negative errno of a thread that could not be made (-EAGAIN).
 */
int worker_submit(struct job *job, bool patient);

/*
 * Queues a job in any case, and does not wait: if there is no thread for it
 * now, one is made soon, and until that works the job waits for any thread to
 * become idle. Needs timer_start to have succeeded before.
 */
void worker_post(struct job *job);

/* The same for all of the list, in its order, at once; leaves it empty. */
void worker_post_all(struct job_list *jobs);

/* Takes the job back if no thread has taken it yet: then true. */
bool worker_take_back(struct job *job);

/* Whether a thread is one of the pool's that has nothing to do, for reports. */
bool worker_is_idle(pid_t tid);

#endif
