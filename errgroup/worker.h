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
#include "errgroup/tasks.h"

/* A queue of which no job was taken for as long does not move by itself. */
enum { STILL_NS = 5000 };

struct job {
	void (*run)(struct job *job); /* owns the job from here on */
	TAILQ_ENTRY(job) link;
};

TAILQ_HEAD(job_list, job);

/* What the pool knows of jobs that wait. */
struct watched {
	uint64_t taken; /* of them, ever, at the last look */
	int64_t still_since_ns; /* they do not move; 0: they do */
	uint64_t pushed; /* the same */
	bool may_be_taken; /* by who looks */
};

/*
 * Tasks that wait for a thread. Whoever has the queue may take them, too; its
 * lock is there for its owner's state as well.
 */
struct worker_queue {
	struct lock lock;
	atomic_bool
	    listed; /* changes with both locks held, this one and the pool's */
	bool starving; /* the pool's; has been told */
	atomic_int wanted; /* threads that wait for a task of it to end */
	atomic_bool overdue; /* type->overdue is called at the next look */
	const struct worker_queue_type *type;
	struct tasks tasks;
	alignas(LINE) atomic_int visitors; /* see worker_visit */
	atomic_int asleep; /* of those of wanted, and not told of an end */
	/* guarded by the pool's lock */
	alignas(LINE) struct watched watched;
	TAILQ_ENTRY(worker_queue) link;
};

struct worker_queue_type {
	/* Runs a task that was taken, and more of them if it likes. */
	void (*run)(struct worker_queue *queue, struct task *task);
	/*
	 * Told that its tasks get no thread, since none can be made, and that
	 * nothing else moves; they are going to run all the same. Once a queue.
	 */
	void (*starved)(struct worker_queue *queue, int code);
	void (*overdue)(struct worker_queue *queue); /* with the lock held */
};

void worker_queue_init(struct worker_queue *queue,
    const struct worker_queue_type *type);

/*
 * Forgets an empty queue, once nobody visits it: nobody of the pool touches it
 * afterwards.
 */
void worker_queue_fini(struct worker_queue *queue);

/*
 * A visitor may touch the queue between two of its tasks, and worker_queue_fini
 * waits for its leave, which should come soon once worker_queue_ends. Whoever
 * runs a task for the pool is one.
 */
void worker_visit(struct worker_queue *queue);
void worker_leave(struct worker_queue *queue);
bool worker_queue_ends(const struct worker_queue *queue);

/*
 * Puts a queue on the list of those that the pool looks after, if it is not
 * there: whatever is pushed while it is listed gets a thread. With its lock
 * held, which it lets go meanwhile. 0, or the negative errno of a thread that
 * could not be made (-EAGAIN), and then the queue may not be listed.
 */
int worker_list(struct worker_queue *queue);

/*
 * Queues jobs in any case, and does not wait: if no thread can be made for
 * them now, it is tried again until one can. Needs timer_start to have
 * succeeded before.
 */
void worker_post(struct job *job);
void worker_post_all(struct job_list *jobs);

/*
 * Around what blocks the calling thread, which so will not run what it has
 * queued: the pool does, at once. If it is one of the pool's, another one may
 * take its place meanwhile.
 */
void worker_block(void);
void worker_unblock(void);

/*
 * Around what has another thread or process work in the place of the calling
 * thread, which waits: then that is no sign that it blocks. Not one in another.
 */
void worker_elsewhere(bool busy);

/*
 * Whether the calling thread is one of the pool's and, from now on, lasts as
 * long as the process. A few can; the others get false.
 */
bool worker_stay(void);

/* Whether there may be work in more than one queue: then do not stay in one. */
bool worker_has_others(void);

/* Whether the last thread could not be made: then list before each push. */
bool worker_is_short(void);

/*
 * A short time of waiting awake, for what is about to come:
 *
 *	if (spin_begin(&spin)) {
 *		while (!there && spin_more(&spin))
 *			;
 *		spin_end(&spin);
 *	}
 *
 * begin is false where it would only keep others from running.
 */
struct spin {
	int64_t now_ns;
	int64_t end_ns; /* 0 while it is so short that nobody minds */
	int room; /* for those who spin */
	int pauses;
};

bool spin_begin(struct spin *spin);
bool spin_more(struct spin *spin);
void spin_end(struct spin *spin);

/* Whether a thread is one of the pool's that has nothing to do, for reports. */
bool worker_is_idle(pid_t tid);

#endif
