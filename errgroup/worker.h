/*
 * The threads that run jobs: errgroup tasks and functions of context_after.
 * One pool for the process.
 */
#ifndef CRATOS_WORKER_H
#define CRATOS_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "errgroup/lock.h"

struct job {
	void (*run)(struct job *job); /* owns the job from here on */
	/*
	 * Told that jobs of its queue get no thread, since none can be made,
	 * and that nothing else moves; it is going to run all the same. Once
	 * a queue; may be NULL.
	 */
	void (*starved)(struct job *job, int code);
	TAILQ_ENTRY(job) link;
};

TAILQ_HEAD(job_list, job);

/*
 * Jobs that wait for a thread. Whoever has the queue may take them, too; its
 * lock is there for its owner's state as well.
 */
struct worker_queue {
	struct lock lock;
	/* guarded by lock */
	struct job_list jobs;
	atomic_int count; /* may be looked at without the lock */
	unsigned taken; /* jobs, ever */
	int wanted; /* threads that wait for a job of it to end */
	atomic_int *overdue; /* is rung at the next look */
	bool listed; /* changes with the pool's lock held as well */
	bool starving; /* has been told */
	/* guarded by the pool's lock */
	unsigned taken_at_look;
	int64_t still_since_ns; /* its jobs do not move; 0: they do */
	bool may_be_taken; /* by who looks */
	TAILQ_ENTRY(worker_queue) link;
};

void worker_queue_init(struct worker_queue *queue);

/* Forgets an empty queue: nobody of the pool touches it afterwards. */
void worker_queue_fini(struct worker_queue *queue);

/*
 * Puts a queue on the list of those that the pool looks after, if it is not
 * there: whatever is pushed while it is listed gets a thread. With its lock
 * held, which it lets go meanwhile. 0, or the negative errno of a thread that
 * could not be made (-EAGAIN), and then the queue may not be listed.
 */
int worker_list(struct worker_queue *queue);

/* With the lock held. */
static inline void worker_push(struct worker_queue *queue, struct job *job)
{
	TAILQ_INSERT_TAIL(&queue->jobs, job, link);
	atomic_store_explicit(&queue->count, queue->count + 1,
	    memory_order_relaxed);
}

/* With the lock held: the first job, to be run by the caller, or NULL. */
static inline struct job *worker_pop(struct worker_queue *queue)
{
	struct job *job = TAILQ_FIRST(&queue->jobs);

	if (!job)
		return NULL;
	TAILQ_REMOVE(&queue->jobs, job, link);
	atomic_store_explicit(&queue->count, queue->count - 1,
	    memory_order_relaxed);
	queue->taken++;
	return job;
}

/*
 * Queues jobs in any case, and does not wait: if no thread can be made for
 * them now, it is tried again until one can. Needs timer_start to have
 * succeeded before.
 */
void worker_post(struct job *job);
void worker_post_all(struct job_list *jobs);

/*
 * Around what blocks the calling thread: if it is one of the pool's, another
 * one may take its place meanwhile.
 */
void worker_block(void);
void worker_unblock(void);

/* In a job: somebody waits for its end to queue another one. */
void worker_eager(void);

/* Whether the last thread could not be made: then list before each push. */
bool worker_is_short(void);

/*
 * A short time of waiting awake, for what is about to come:
 *
 *	if (spin_begin(&spin)) {
 *		while (!there && spin_more(&spin))
 *			;
 *		spin_end();
 *	}
 *
 * begin is false where it would only keep others from running.
 */
struct spin {
	int64_t end_ns;
	int pauses;
};

bool spin_begin(struct spin *spin);
bool spin_more(struct spin *spin);
void spin_end(void);

/* Whether a thread is one of the pool's that has nothing to do, for reports. */
bool worker_is_idle(pid_t tid);

#endif
