/*
 * The pool of threads under errgroup tasks and context_after functions.
 *
 * Design notes. Each group has a queue of its own, with a lock of its own. A
 * queue that may have jobs is on the pool's list; to push to one that is listed
 * touches nothing of the pool. Jobs are taken by the threads that wait for
 * their group, by workers that come from a job of the same queue, and by the
 * pool's workers. Tasks may block on each other in any way, so no job may rely
 * on another one's end. That is the watcher's duty:
 *
 *	While a queue is listed, one worker, the watcher, has nothing to do
 *	but to look at the list again and again. Before it takes a job itself
 *	it sees to a successor, an idle worker or a new one, unless the job
 *	was the last one. If none can be made it takes no job, and tries
 *	again.
 *
 * So whatever the running jobs do, somebody looks at those that are queued. At
 * a look it takes one at once if fewer workers are active than there are
 * processors, and either somebody is in a hurry, or none of the queue's jobs
 * was taken for STILL_NS: what moves by itself, say since the waiting thread
 * runs it, is left alone, as it is done by then, and would be slower on two
 * processors; and so is what was queued just now, by who may be about to wait.
 * With as many active as there are processors it does so once the queue has been
 * still for STALE_NS, for one job; and those that have used no processor time
 * meanwhile block, and are active no more until their next job. If there were
 * such, twice as many jobs as the last time are taken.
 * A worker that is known to block (worker_block) is not active. So threads grow
 * with the number of tasks that block, as fast as they can be made if that is
 * known, and a pool whose threads mostly block is as quick as an idle one.
 *
 * While the watcher makes its successor, the lock is free, and the successor
 * may come and look before the watcher is back for its job: `claims` keeps it
 * from making one more for the same job.
 *
 * A watcher looks every LOOK_NS, awake, for as long as spinning is allowed,
 * then every TICK_NS, asleep in between. When it has found the list empty for
 * QUIET_LOOKS it goes to sleep for good: nobody runs while there is nothing to
 * do. A worker that was not used for IDLE_S leaves.
 *
 * If no thread can be made (the pool is short of threads), worker_list refuses
 * new work unless a worker is idle. For what was accepted already the watcher
 * keeps trying; after STARVED_TRIES in vain while nothing moved, the jobs are
 * told, so that their groups fail, which ends those that wait for the context,
 * and what they do about it may be posted. After LAST_TRIES the watcher takes one
 * itself, the last thing that it can do for them.
 * A later worker_list, or whoever returns from a job, sees to the next watcher.
 * worker_post cannot refuse; a timer tries again for it. What was posted comes
 * first, since it ends what others do, and so makes room.
 *
 * No job is lost: `listed` is set with both locks held, and unset with both
 * held and the queue empty, and who pushes has seen it set in the same hold of
 * the queue's lock. The list gets its first queue, and a watcher goes off duty,
 * in one hold of the pool's lock: whoever lists finds a watcher or appoints
 * one. No wake-up is lost: a worker goes to sleep in the hold of the pool's
 * lock in which it found nothing to do, and is appointed or told to hurry under
 * it.
 *
 * A goer whose wake-up was put off (`overdue`) is woken at the next look, or
 * when its queue leaves the list, for then there is no next look.
 *
 * Lock order: the pool's lock, then a queue's. Neither is taken with a context's
 * held. Jobs run without. tests/model has a model of all this.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "errgroup/clock.h"
#include "errgroup/pause.h"
#include "errgroup/thread.h"
#include "errgroup/timer.h"
#include "errgroup/worker.h"

enum {
	IDLE_S = 5, /* a worker unused for as long leaves */
	SPIN_NS = 10000, /* about what it costs to sleep and be woken */
	LOOK_NS = 1000, /* between looks of a watcher that is awake */
	STILL_NS = 5000, /* without a job taken: it does not move by itself */
	TICK_NS = 50000, /* between those of one that sleeps */
	LINGER_PAUSES = 4,
	QUIET_LOOKS = 20, /* asleep, after which there is nothing to watch */
	STALE_NS = 1000000, /* without a job taken: more threads */
	GROW_MAX = 64, /* threads at a time */
	STARVED_TRIES = 20, /* to make a thread, one in STALE_NS */
	LAST_TRIES = 200, /* and then the watcher itself has to do */
	RETRY_MS = 10 /* to make a thread for what was posted */
};

/* A thread of the pool; on its own stack. */
struct worker {
	pid_t tid;
	int blocked; /* depth of worker_block */
	bool dozes;
	bool eager; /* somebody waited for its last job to end */
	atomic_int rings; /* what it sleeps on */
	clockid_t clock; /* of the processor time that it has used */
	int64_t used_ns; /* at the last time that it was looked at, -1: never */
	bool counts; /* as active */
	LIST_ENTRY(worker) active_link;
	LIST_ENTRY(worker) link; /* of the idle ones */
};

static struct {
	struct lock lock;
	pthread_once_t once;
	int processors;
	atomic_int spinners;
	/* guarded by lock */
	TAILQ_HEAD(, worker_queue) queues;
	LIST_HEAD(, worker) idle;
	LIST_HEAD(, worker) actives;
	struct worker *watcher;
	bool coming; /* a new thread that is to be the watcher */
	bool unsure; /* whether it comes, and nobody tries again if not */
	atomic_int tried; /* what those sleep on who have to know */
	atomic_bool is_short; /* the last thread could not be made */
	int64_t tried_ns; /* when one was to be made */
	int tries; /* in vain, while jobs do not move */
	int active; /* have a job, or look for one, and do not block */
	int claims; /* jobs for workers that are making their successor */
	int hurry; /* jobs that may be taken though others move */
	int allowance; /* and though there are enough active workers */
	int grow; /* the last allowance */
	int64_t
	    checked_ns; /* when it was seen who blocks; 0: no need to know */
	struct worker_queue posted;
	struct timer retry;
	bool retrying;
} pool = {.once = PTHREAD_ONCE_INIT,
    .queues = TAILQ_HEAD_INITIALIZER(pool.queues),
    .idle = LIST_HEAD_INITIALIZER(pool.idle)};

static _Thread_local struct worker *this_worker;

/* ---- waiting awake --------------------------------------------------------*/

static void init_pool(void)
{
	cpu_set_t set;

	pool.processors = 1;
	if (!sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) > 1)
		pool.processors = CPU_COUNT(&set);
	worker_queue_init(&pool.posted);
}

bool spin_begin(struct spin *spin)
{
	pthread_once(&pool.once, init_pool);
	if (atomic_fetch_add_explicit(&pool.spinners, 1,
		memory_order_relaxed) >= pool.processors ||
	    pool.processors == 1) {
		spin_end();
		return false;
	}
	spin->end_ns = clock_ns() + SPIN_NS;
	spin->pauses = 0;
	return true;
}

bool spin_more(struct spin *spin)
{
	pause_briefly();
	return ++spin->pauses % 16 || clock_ns() < spin->end_ns;
}

void spin_end(void)
{
	atomic_fetch_sub_explicit(&pool.spinners, 1, memory_order_relaxed);
}

/* ---- queues ---------------------------------------------------------------*/

void worker_queue_init(struct worker_queue *queue)
{
	lock_init(&queue->lock);
	TAILQ_INIT(&queue->jobs);
	atomic_init(&queue->count, 0);
	queue->taken = queue->taken_at_look = 0;
	queue->still_since_ns = 0;
	queue->may_be_taken = false;
	queue->wanted = 0;
	queue->overdue = NULL;
	queue->listed = queue->starving = false;
}

/* With both locks held. */
static void tell_overdue(struct worker_queue *queue)
{
	if (queue->overdue)
		futex_ring(queue->overdue, 1);
	queue->overdue = NULL;
}

/* With both locks held. */
static void unlist(struct worker_queue *queue)
{
	tell_overdue(queue);
	queue->listed = false;
	TAILQ_REMOVE(&pool.queues, queue, link);
}

void worker_queue_fini(struct worker_queue *queue)
{
	bool listed;

	/* Whoever ran the last job may still be on his way out. */
	lock_take(&queue->lock);
	listed = queue->listed;
	lock_leave(&queue->lock);
	if (listed) {
		lock_take(&pool.lock);
		lock_take(&queue->lock);
		if (queue->listed)
			unlist(queue);
		lock_leave(&queue->lock);
		lock_leave(&pool.lock);
	}
}

/* ---- threads --------------------------------------------------------------*/

static void *worker_main(void *unused);

/* Lets go of the lock meanwhile. */
static int add_thread(void)
{
	int ret;

	lock_leave(&pool.lock);
	ret = thread_start(worker_main, NULL);
	lock_take(&pool.lock);
	pool.is_short = ret != 0;
	return ret;
}

/*
 * When this returns 0 there is a watcher, or one is on its way. Lets go of the
 * lock if a thread has to be made.
 */
static int appoint(void)
{
	int ret = 0;

	while (!ret && !pool.watcher && !pool.coming) {
		pool.watcher = LIST_FIRST(&pool.idle);
		if (pool.watcher) {
			LIST_REMOVE(pool.watcher, link);
			futex_ring(&pool.watcher->rings, 1);
			break;
		}
		pool.coming = true;
		ret = add_thread();
		if (ret) {
			pool.coming = false;
			/* One that has come to rest meanwhile is as good. */
			if (!LIST_EMPTY(&pool.idle))
				ret = 0;
		}
	}
	return ret;
}

/*
 * The same, for who does not try again: so that nobody else relies on a thread
 * that is not there in the end, others wait until it is known.
 */
static int appoint_once(void)
{
	int ret;

	while (pool.unsure) {
		int seen =
		    atomic_load_explicit(&pool.tried, memory_order_relaxed);

		lock_leave(&pool.lock);
		futex_wait(&pool.tried, seen, NULL);
		lock_take(&pool.lock);
	}
	if (pool.watcher || pool.coming || !LIST_EMPTY(&pool.idle))
		return appoint();
	pool.unsure = true;
	ret = appoint();
	pool.unsure = false;
	futex_ring(&pool.tried, INT_MAX);
	return ret;
}

bool worker_is_short(void)
{
	return atomic_load_explicit(&pool.is_short, memory_order_relaxed);
}

int worker_list(struct worker_queue *queue)
{
	int ret;

	lock_leave(&queue->lock);
	pthread_once(&pool.once, init_pool);
	lock_take(&pool.lock);
	if (pool.is_short && LIST_EMPTY(&pool.idle))
		ret = add_thread();
	else
		ret = 0;
	if (!ret)
		ret = appoint_once();
	lock_take(&queue->lock);
	if (!ret && !queue->listed) {
		queue->listed = true;
		TAILQ_INSERT_TAIL(&pool.queues, queue, link);
	}
	lock_leave(&pool.lock);
	return ret;
}

/* ---- taking jobs ----------------------------------------------------------*/

/* With both locks held: a job, and the others' turn. */
static struct job *take(struct worker_queue *queue)
{
	struct job *job = worker_pop(queue);

	if (queue != &pool.posted && TAILQ_NEXT(queue, link)) {
		TAILQ_REMOVE(&pool.queues, queue, link);
		TAILQ_INSERT_TAIL(&pool.queues, queue, link);
	}
	return job;
}

/*
 * For a worker that comes from a job, while somebody else watches. A queue that
 * somebody waits to push to stays listed.
 */
static struct job *take_any(void)
{
	struct worker_queue *queue, *next;
	struct job *job = NULL;

	for (queue = TAILQ_FIRST(&pool.queues); queue && !job; queue = next) {
		next = TAILQ_NEXT(queue, link);
		if (!atomic_load_explicit(&queue->count, memory_order_relaxed))
			continue;
		lock_take(&queue->lock);
		if (!TAILQ_EMPTY(&queue->jobs))
			job = take(queue);
		if (TAILQ_EMPTY(&queue->jobs) && !queue->wanted)
			unlist(queue);
		lock_leave(&queue->lock);
	}
	return job;
}

/* What a look has found. */
struct view {
	int count; /* jobs */
	bool eligible; /* some may be taken, if there may be one more active */
	int64_t
	    still_since_ns; /* of the queue that has not moved for longest */
};

/* With both locks held. */
static void look_at(struct worker_queue *queue, struct view *view,
    int64_t now_ns)
{
	bool moved = queue->taken != queue->taken_at_look;

	queue->taken_at_look = queue->taken;
	queue->may_be_taken = false;
	tell_overdue(queue);
	if (TAILQ_EMPTY(&queue->jobs)) {
		queue->still_since_ns = 0;
		unlist(queue);
		return;
	}
	view->count += queue->count;
	if (moved || !queue->still_since_ns)
		queue->still_since_ns = moved ? 0 : now_ns;
	queue->may_be_taken = queue->wanted || pool.hurry > 0 ||
			      (queue->still_since_ns &&
				  now_ns - queue->still_since_ns >= STILL_NS);
	view->eligible |= queue->may_be_taken;
	if (queue->still_since_ns &&
	    queue->still_since_ns < view->still_since_ns)
		view->still_since_ns = queue->still_since_ns;
}

/* Empty queues leave the list. */
static struct view look(int64_t now_ns)
{
	struct view view = {.still_since_ns = INT64_MAX};
	struct worker_queue *queue, *next;

	for (queue = TAILQ_FIRST(&pool.queues); queue; queue = next) {
		next = TAILQ_NEXT(queue, link);
		lock_take(&queue->lock);
		look_at(queue, &view, now_ns);
		lock_leave(&queue->lock);
	}
	if (!view.count)
		pool.hurry = 0;
	if (view.still_since_ns == INT64_MAX) {
		pool.allowance = pool.grow = 0;
		pool.checked_ns = 0;
		pool.tries = 0;
	}
	return view;
}

/* One that the last look has found; or only if it is the last one there is. */
static struct job *take_found(bool only_last)
{
	struct worker_queue *queue, *next;
	struct job *job = NULL;

	for (queue = TAILQ_FIRST(&pool.queues); queue && !job; queue = next) {
		next = TAILQ_NEXT(queue, link);
		if (!queue->may_be_taken)
			continue;
		lock_take(&queue->lock);
		if (queue->count == 1 || (queue->count && !only_last))
			job = take(queue);
		/* That is no sign of its moving by itself. */
		queue->taken_at_look = queue->taken;
		if (TAILQ_EMPTY(&queue->jobs))
			unlist(queue);
		lock_leave(&queue->lock);
	}
	if (job && pool.hurry > 0)
		pool.hurry--;
	return job;
}

static void count_in(struct worker *worker)
{
	if (worker->counts)
		return;
	worker->counts = true;
	worker->used_ns = -1;
	pool.active++;
	LIST_INSERT_HEAD(&pool.actives, worker, active_link);
}

static void count_out(struct worker *worker)
{
	if (!worker->counts)
		return;
	worker->counts = false;
	pool.active--;
	LIST_REMOVE(worker, active_link);
}

/* Those that have used no processor since the last time block. How many? */
static int find_blocked(void)
{
	struct worker *worker, *next;
	struct timespec used;
	int found = 0;

	for (worker = LIST_FIRST(&pool.actives); worker; worker = next) {
		int64_t used_ns;

		next = LIST_NEXT(worker, active_link);
		if (clock_gettime(worker->clock, &used))
			continue;
		used_ns = used.tv_sec * NS_PER_S + used.tv_nsec;
		if (used_ns == worker->used_ns) {
			count_out(worker);
			found++;
		}
		worker->used_ns = used_ns;
	}
	return found;
}

/*
 * Jobs do not move, and as many workers are active as there are processors:
 * once in STALE_NS, finds those that block, and allows more.
 */
static void allow_more(int64_t now_ns)
{
	int blocked;

	if (pool.checked_ns && now_ns - pool.checked_ns < STALE_NS)
		return;
	blocked = find_blocked();
	if (pool.checked_ns) {
		pool.grow = pool.grow && blocked ? 2 * pool.grow : 1;
		if (pool.grow > GROW_MAX)
			pool.grow = GROW_MAX;
		pool.allowance = pool.grow;
	}
	pool.checked_ns = now_ns;
}

/* Whether the watcher may take one of the jobs that a look has found. */
static bool may_take(const struct view *view, int64_t now_ns)
{
	if (view->eligible && pool.active < pool.processors)
		return true;
	if (view->still_since_ns == INT64_MAX)
		return false;
	if (!pool.allowance)
		allow_more(now_ns);
	return pool.allowance > 0 ||
	       (view->eligible && pool.active < pool.processors);
}

/* ---- the watcher ----------------------------------------------------------*/

/* Tells one job of one queue; false if all know. Lets go of the lock. */
static bool tell_starving(int code)
{
	struct worker_queue *queue;
	struct job *job;

	TAILQ_FOREACH(queue, &pool.queues, link) {
		lock_take(&queue->lock);
		job = TAILQ_FIRST(&queue->jobs);
		if (!job || !job->starved || queue->starving) {
			lock_leave(&queue->lock);
			continue;
		}
		/* While it is out of the queue, nobody runs or frees it. */
		queue->starving = true;
		TAILQ_REMOVE(&queue->jobs, job, link);
		queue->count--;
		lock_leave(&queue->lock);
		lock_leave(&pool.lock);
		job->starved(job, code);
		lock_take(&pool.lock);
		lock_take(&queue->lock);
		TAILQ_INSERT_HEAD(&queue->jobs, job, link);
		queue->count++;
		if (!queue->listed) {
			queue->listed = true;
			TAILQ_INSERT_TAIL(&pool.queues, queue, link);
		}
		lock_leave(&queue->lock);
		return true;
	}
	return false;
}

/*
 * Sees to somebody who watches the jobs that the watcher leaves. If that cannot
 * be, it stays; when nothing has moved for long, it goes all the same.
 */
static bool succeeded(struct worker *self, int64_t now_ns)
{
	int ret;

	if (pool.is_short && LIST_EMPTY(&pool.idle) &&
	    now_ns - pool.tried_ns < STALE_NS)
		return false;
	pool.tried_ns = now_ns;
	pool.watcher = NULL;
	pool.claims++;
	ret = appoint();
	pool.claims--;
	if (!ret || pool.watcher)
		return true;
	pool.watcher = self;
	if (++pool.tries == STARVED_TRIES)
		while (tell_starving(ret))
			;
	if (pool.tries < LAST_TRIES)
		return false;
	pool.tries = 0;
	pool.watcher = NULL;
	return true;
}

/* The watcher's job, if it may have one, and then it is the watcher no more. */
static struct job *watcher_take(struct worker *self, int64_t now_ns)
{
	struct view view = look(now_ns);
	struct job *job = NULL;

	if (!may_take(&view, now_ns) || view.count <= pool.claims)
		return NULL;
	if (view.count == 1) {
		job = take_found(true);
		if (job)
			pool.watcher = NULL;
	} else if (succeeded(self, now_ns)) {
		job = take_found(false);
	}
	if (job && pool.allowance > 0)
		pool.allowance--;
	return job;
}

static void doze(struct worker *self, int64_t until_ns)
{
	struct timespec until = {until_ns / NS_PER_S, until_ns % NS_PER_S};

	int seen = atomic_load_explicit(&self->rings, memory_order_relaxed);

	self->dozes = true;
	lock_leave(&pool.lock);
	futex_wait(&self->rings, seen, &until);
	lock_take(&pool.lock);
	self->dozes = false;
}

/* Until it has a job, or there has been nothing to watch for a while. */
static struct job *watch(struct worker *self)
{
	struct job *job = NULL;
	struct spin spin;
	bool awake = spin_begin(&spin);
	int quiet = 0;

	while (!job && pool.watcher == self && quiet < QUIET_LOOKS) {
		int64_t now_ns = clock_ns();

		job = watcher_take(self, now_ns);
		if (job || pool.watcher != self)
			break;
		if (awake) {
			lock_leave(&pool.lock);
			do
				awake = spin_more(&spin);
			while (awake && clock_ns() < now_ns + LOOK_NS);
			lock_take(&pool.lock);
			if (!awake)
				spin_end();
			continue;
		}
		quiet = TAILQ_EMPTY(&pool.queues) ? quiet + 1 : 0;
		doze(self,
		    now_ns + (pool.active < pool.processors ? TICK_NS
							    : STALE_NS / 2));
	}
	if (awake)
		spin_end();
	if (pool.watcher == self)
		pool.watcher = NULL;
	return job;
}

/* ---- the workers ----------------------------------------------------------*/

/* More may come soon; at once, if somebody waited for the last job's end. */
static struct job *linger(struct worker *self)
{
	struct job *job = NULL;
	struct spin spin;
	int64_t look_ns;
	bool awake = spin_begin(&spin);

	if (!awake)
		return NULL;
	look_ns = clock_ns() + LOOK_NS;
	while (!job && awake) {
		lock_leave(&pool.lock);
		for (int i = 0; i < LINGER_PAUSES && awake; i++)
			awake = spin_more(&spin);
		lock_take(&pool.lock);
		if (!pool.watcher && !pool.coming)
			break;
		if (self->eager) {
			job = take_any();
		} else if (clock_ns() >= look_ns) {
			look_ns = clock_ns() + LOOK_NS;
			if (look(look_ns - LOOK_NS).eligible)
				job = take_found(false);
		}
	}
	spin_end();
	return job;
}

/* Until it is the watcher, or was not used for too long: then false. */
static bool rest(struct worker *self)
{
	int64_t deadline_ns = clock_ns() + IDLE_S * NS_PER_S;

	if (!pool.watcher && !pool.coming && !TAILQ_EMPTY(&pool.queues)) {
		pool.watcher = self;
		return true;
	}
	LIST_INSERT_HEAD(&pool.idle, self, link);
	while (pool.watcher != self && clock_ns() < deadline_ns)
		doze(self, deadline_ns);
	if (pool.watcher == self)
		return true;
	LIST_REMOVE(self, link);
	return false;
}

static struct job *next_job(struct worker *self)
{
	struct job *job = NULL;

	if (pool.watcher || pool.coming)
		job = take_any();
	if (!job)
		job = linger(self);
	if (job)
		return job;
	count_out(self);
	while (!job && rest(self))
		job = watch(self);
	return job;
}

static void *worker_main(void *unused)
{
	struct worker self = {.tid = gettid(), .rings = 0};
	struct job *job = NULL;

	(void)unused;
	pthread_setname_np(pthread_self(), "cratos-worker");
	pthread_getcpuclockid(pthread_self(), &self.clock);
	this_worker = &self;
	lock_take(&pool.lock);
	pool.coming = false;
	while (!job && rest(&self))
		job = watch(&self);
	while (job) {
		count_in(&self);
		lock_leave(&pool.lock);
		self.eager = false;
		job->run(job);
		lock_take(&pool.lock);
		job = next_job(&self);
	}
	lock_leave(&pool.lock);
	this_worker = NULL;
	return NULL;
}

/* Under the lock: one job more may be taken, now. */
static void hurry(void)
{
	if (TAILQ_EMPTY(&pool.queues))
		return;
	pool.hurry++;
	if (pool.watcher && pool.watcher->dozes)
		futex_ring(&pool.watcher->rings, 1);
}

void worker_eager(void)
{
	if (this_worker)
		this_worker->eager = true;
}

void worker_block(void)
{
	struct worker *self = this_worker;

	lock_take(&pool.lock);
	if (self && !self->blocked++)
		count_out(self);
	hurry();
	lock_leave(&pool.lock);
}

void worker_unblock(void)
{
	if (!this_worker || --this_worker->blocked)
		return;
	lock_take(&pool.lock);
	count_in(this_worker);
	lock_leave(&pool.lock);
}

/* ---- what cannot be refused -----------------------------------------------*/

static void retry_later(void);

static void retry(struct timer *timer)
{
	(void)timer;
	lock_take(&pool.lock);
	pool.retrying = false;
	if (!TAILQ_EMPTY(&pool.queues) && appoint())
		retry_later();
	lock_leave(&pool.lock);
}

static void retry_later(void)
{
	if (pool.retrying)
		return;
	pool.retrying = true;
	timer_arm_kept(&pool.retry, clock_deadline_ms(RETRY_MS), retry);
}

void worker_post_all(struct job_list *jobs)
{
	struct worker_queue *queue = &pool.posted;
	struct job *job;

	pthread_once(&pool.once, init_pool);
	lock_take(&pool.lock);
	lock_take(&queue->lock);
	TAILQ_FOREACH(job, jobs, link)
		queue->count++;
	TAILQ_CONCAT(&queue->jobs, jobs, link);
	if (!queue->listed && queue->count) {
		queue->listed = true;
		TAILQ_INSERT_HEAD(&pool.queues, queue, link);
	}
	lock_leave(&queue->lock);
	if (appoint())
		retry_later();
	hurry();
	lock_leave(&pool.lock);
}

void worker_post(struct job *job)
{
	struct job_list jobs = TAILQ_HEAD_INITIALIZER(jobs);

	TAILQ_INSERT_TAIL(&jobs, job, link);
	worker_post_all(&jobs);
}

bool worker_is_idle(pid_t tid)
{
	struct worker *worker;

	lock_take(&pool.lock);
	LIST_FOREACH(worker, &pool.idle, link)
	if (worker->tid == tid)
		break;
	if (!worker && pool.watcher && pool.watcher->tid == tid)
		worker = pool.watcher;
	lock_leave(&pool.lock);
	return worker != NULL;
}
