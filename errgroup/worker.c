/*
 * The pool of threads under errgroup tasks and context_after functions.
 *
 * Design notes. One queue, first in, first out; `lock` guards everything.
 * Tasks may block on each other in any way, so no job may depend on another
 * one's end: that is the balance
 *
 *	idle + starting >= queued
 *
 * where idle threads are those that wait for work (also those that are
 * signalled, but have not woken up yet), and starting are those that were
 * made, but have not come to the queue yet. Each of them takes one job before
 * anything else, so while the balance holds every queued job gets a thread,
 * whatever the running ones do.
 *
 * worker_submit keeps the balance: it queues only when there is a thread to
 * spare, and makes one first if there is none. A thread counts as starting only
 * once pthread_create has succeeded, so that nobody relies on one that does not
 * come; `starting` is negative for the moment in which a new thread is faster
 * than its maker. A running thread that becomes free and takes a queued job
 * itself only adds to the balance. A thread leaves, unused for a while, only
 * when the queue is empty.
 *
 * To make a thread for every task of a burst that is over in a microsecond
 * would be a waste: worker_submit waits first, for a thread to become idle:
 * while several jobs wait for threads that are bound to come for them (one more
 * would not come sooner), and then for `patience`. The patience adapts: it
 * shrinks to nothing when tasks block (waiting was in vain), and grows back when
 * idle threads are met.
 *
 * worker_post may not fail and may not wait (it runs in context_cancel), so it
 * may leave the balance negative. Then a timer looks once a millisecond, until
 * the balance is back: if the threads of before have taken no job since the
 * last look, it makes threads, twice as many as the last time.
 *
 * No wake-up is lost: a thread finds the queue empty and goes to sleep in one
 * hold of the lock, and whoever queues signals under it.
 *
 * Lock order: any group's or context's lock, then `lock`. Jobs run without.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "errgroup/clock.h"
#include "errgroup/thread.h"
#include "errgroup/timer.h"
#include "errgroup/worker.h"

enum {
	IDLE_S = 5, /* a thread unused for as long leaves */
	PATIENCE_MAX_NS = 1000000,
	PATIENCE_MIN_NS = 4000, /* less is not worth a sleep */
	PATIENCE_ROUNDS = 8,
	LOOK_MS = 1, /* between looks at a negative balance */
	GROW_MAX = 64 /* threads made in one look */
};

/* A thread that waits for work; on its own stack. */
struct idler {
	pid_t tid;
	LIST_ENTRY(idler) link;
};

static struct {
	pthread_mutex_t lock;
	pthread_once_t once;
	int processors;
	/* guarded by lock */
	pthread_cond_t work, freed;
	struct job_list queue;
	LIST_HEAD(, idler) idlers;
	int queued, idle, starting, threads;
	int waiting; /* submitters that wait for freed */
	int64_t patience_ns;
	unsigned long taken, taken_at_look; /* jobs */
	int grow; /* threads made in the last look */
	bool looking;
	struct timer look;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
    .once = PTHREAD_ONCE_INIT,
    .queue = TAILQ_HEAD_INITIALIZER(pool.queue),
    .patience_ns = PATIENCE_MAX_NS};

static void init_pool(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool.work, &attr);
	pthread_cond_init(&pool.freed, &attr);
	pthread_condattr_destroy(&attr);
	pool.processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
	if (pool.processors < 1)
		pool.processors = 1;
}

static int spare(void)
{
	return pool.idle + pool.starting - pool.queued;
}

static void push(struct job *job)
{
	job->queued = true;
	TAILQ_INSERT_TAIL(&pool.queue, job, link);
	pool.queued++;
	pthread_cond_signal(&pool.work);
}

static void take(struct job *job)
{
	job->queued = false;
	TAILQ_REMOVE(&pool.queue, job, link);
	pool.queued--;
	pool.taken++;
	if (pool.waiting)
		pthread_cond_broadcast(&pool.freed);
}

static bool wait_until(pthread_cond_t *cond, int64_t deadline_ns)
{
	struct timespec until = {deadline_ns / NS_PER_S,
	    deadline_ns % NS_PER_S};

	return pthread_cond_timedwait(cond, &pool.lock, &until) != ETIMEDOUT;
}

/* A thread's idle time. False when it was too long, and there is no work. */
static bool wait_for_work(struct idler *idler)
{
	int64_t deadline_ns = clock_ns() + IDLE_S * NS_PER_S;
	bool in_time = true;

	pool.idle++;
	LIST_INSERT_HEAD(&pool.idlers, idler, link);
	if (pool.waiting)
		pthread_cond_broadcast(&pool.freed);
	while (!pool.queued && in_time)
		in_time = wait_until(&pool.work, deadline_ns);
	LIST_REMOVE(idler, link);
	pool.idle--;
	return pool.queued > 0;
}

static void *worker_main(void *unused)
{
	struct idler self = {.tid = gettid()};

	(void)unused;
	pthread_setname_np(pthread_self(), "cratos-worker");
	pthread_mutex_lock(&pool.lock);
	pool.starting--;
	while (pool.queued || wait_for_work(&self)) {
		struct job *job = TAILQ_FIRST(&pool.queue);

		take(job);
		pthread_mutex_unlock(&pool.lock);
		job->run(job);
		pthread_mutex_lock(&pool.lock);
	}
	pool.threads--;
	pthread_mutex_unlock(&pool.lock);
	return NULL;
}

/* Lets go of the lock meanwhile: the caller looks at everything again. */
static int add_thread(void)
{
	int ret;

	pool.threads++;
	pthread_mutex_unlock(&pool.lock);
	ret = thread_start(worker_main, NULL);
	pthread_mutex_lock(&pool.lock);
	if (ret)
		pool.threads--;
	else
		pool.starting++;
	return ret;
}

/*
 * Waits for a spare thread: while jobs wait for threads that are bound to come
 * for them, since another one would not come sooner; then for as long as it
 * has paid off lately, and longer, but not for ever, while threads take jobs.
 */
static void be_patient(void)
{
	int64_t now_ns = clock_ns();
	int64_t deadline_ns = now_ns + pool.patience_ns;
	int64_t end_ns = now_ns + PATIENCE_ROUNDS * pool.patience_ns;
	unsigned long taken = pool.taken;

	pool.waiting++;
	while (spare() <= 0) {
		if (spare() == 0 && pool.queued >= 2 * pool.processors) {
			pthread_cond_wait(&pool.freed, &pool.lock);
			continue;
		}
		if (pool.patience_ns < PATIENCE_MIN_NS)
			break;
		if (wait_until(&pool.freed, deadline_ns))
			continue;
		if (taken == pool.taken || deadline_ns >= end_ns)
			break;
		taken = pool.taken;
		deadline_ns += pool.patience_ns;
	}
	pool.waiting--;
	if (spare() <= 0)
		pool.patience_ns /= 4;
}

int worker_submit(struct job *job, bool patient)
{
	int ret = 0;

	pthread_once(&pool.once, init_pool);
	pthread_mutex_lock(&pool.lock);
	if (spare() <= 0 && patient && pool.threads >= pool.processors)
		be_patient();
	if (spare() > 0 && pool.patience_ns < PATIENCE_MAX_NS)
		pool.patience_ns = 2 * pool.patience_ns + PATIENCE_MIN_NS;
	while (!ret && spare() <= 0)
		ret = add_thread();
	/* A thread may have become idle while another could not be made. */
	if (spare() > 0) {
		push(job);
		ret = 0;
	}
	pthread_mutex_unlock(&pool.lock);
	return ret;
}

static void look_again(int64_t in_ms);

/* On the timer thread, while there are jobs without a thread. */
static void look_after(struct timer *look)
{
	int64_t next_ms = LOOK_MS;

	(void)look;
	pthread_mutex_lock(&pool.lock);
	pool.looking = false;
	/* The first job of a thread that the last look made is no progress. */
	if (pool.taken - pool.taken_at_look > (unsigned long)pool.grow)
		pool.grow = 0;
	else if (pool.grow < GROW_MAX)
		pool.grow = pool.grow ? 2 * pool.grow : 1;
	for (int i = 0; i < pool.grow && spare() < 0; i++) {
		if (add_thread()) {
			next_ms = 10 * LOOK_MS;
			break;
		}
	}
	look_again(next_ms);
	pthread_mutex_unlock(&pool.lock);
}

static void look_again(int64_t in_ms)
{
	if (spare() >= 0 || pool.looking)
		return;
	pool.taken_at_look = pool.taken;
	pool.looking = true;
	timer_arm_kept(&pool.look, clock_deadline_ms(in_ms), look_after);
}

void worker_post_all(struct job_list *jobs)
{
	struct job *job;

	pthread_once(&pool.once, init_pool);
	pthread_mutex_lock(&pool.lock);
	while ((job = TAILQ_FIRST(jobs))) {
		TAILQ_REMOVE(jobs, job, link);
		push(job);
	}
	while (spare() < 0 && pool.threads < pool.processors)
		if (add_thread())
			break;
	look_again(LOOK_MS);
	pthread_mutex_unlock(&pool.lock);
}

void worker_post(struct job *job)
{
	struct job_list jobs = TAILQ_HEAD_INITIALIZER(jobs);

	TAILQ_INSERT_TAIL(&jobs, job, link);
	worker_post_all(&jobs);
}

bool worker_take_back(struct job *job)
{
	bool mine;

	pthread_mutex_lock(&pool.lock);
	mine = job->queued;
	if (mine)
		take(job);
	pthread_mutex_unlock(&pool.lock);
	return mine;
}

bool worker_is_idle(pid_t tid)
{
	struct idler *idler;

	pthread_mutex_lock(&pool.lock);
	LIST_FOREACH(idler, &pool.idlers, link)
	if (idler->tid == tid)
		break;
	pthread_mutex_unlock(&pool.lock);
	return idler != NULL;
}
