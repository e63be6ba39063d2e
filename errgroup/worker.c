/*
 * The pool of threads under errgroup tasks and context_after functions.
 *
 * Design notes. Each group has a queue of its own, with a lock of its own. A
 * queue that may have jobs is on the pool's list; to push to one that is listed
 * touches nothing of the pool. Tasks are taken, without a lock, by the threads
 * that wait for their group, by workers that visit it, and by those of the pool.
 * What was posted (functions of context_after) is in a list of the pool's own.
 * Tasks may block on each other in any way, so no job may rely
 * on another one's end. That is the watcher's duty:
 *
 *	While a queue is listed, one worker, the watcher, has nothing to do
 *	but to look at the list again and again. If there is a job to be taken
 *	it makes an idle worker its successor, and takes the job; or it makes
 *	a thread, a hand, that takes it; or if it was the last job there is,
 *	it takes it, and there is nothing to watch.
 *
 * So whatever the running jobs do, somebody looks at those that are queued. At
 * a look it takes one at once if fewer workers are active than there are
 * processors, and either somebody is in a hurry, or none of the queue's jobs
 * was taken for STILL_NS: what moves by itself, say since the waiting thread
 * runs it, is left alone, as it is done by then, and would be slower on two
 * processors; and so is what was queued just now, by who may be about to wait.
 * But if there is so much of it that it takes SLOW_NS at that pace, and nobody
 * else is at it, it is helped.
 * With as many active as there are processors it does so once the queue has been
 * still for STALE_NS, for one job; and those that have used no processor time
 * meanwhile block, and are active no more until their next job. If there were
 * such, twice as many jobs as the last time are taken.
 * If it moves, a few of those that are active, others each time, are observed as
 * often: who has used no processor time, and does not wait for any, blocks as well,
 * and keeps no other from its processor. And with as many active as there are
 * processors, if all that were observed have slept for three quarters of the time,
 * they block again and again for a moment each: twice as many jobs as the last time
 * are taken, up to DROWSY_MAX threads a processor. While processors are short those
 * that do not run are runnable (the kernel's word on it is asked for), and nothing
 * grows. Such a thread that cannot be made is not missed: the jobs move.
 * One for which another thread or process works meanwhile (worker_elsewhere) uses
 * no processor time either, but blocks nobody for long: it stays active, and with
 * n of those a queue has to be still for n times STALE_NS, or more and more would
 * wait for the same processors. That is bounded (STALE_MAX, ELSEWHERE_NS), so if
 * they do block, threads grow all the same.
 * A worker that is known to block (worker_block) is not active, and lets two more
 * jobs be taken. So threads grow with the number of tasks that block, as fast as
 * they can be made if that is known, and a pool whose threads mostly block is as
 * quick as an idle one. A hand that has not begun yet counts as active, and one
 * of the jobs as its (`claims`): so none is made for a job that has its thread.
 *
 * A watcher looks every LOOK_NS, awake, for as long as spinning is allowed,
 * then every TICK_NS, or half as often if all moves, asleep in between. When it
 * has found the list empty for QUIET_LOOKS it goes to sleep for good: nobody runs
 * while there is nothing to do. A worker without a job waits awake for a moment
 * to be appointed, too. One that was not used for IDLE_S leaves, unless it has
 * said that it stays, as a few may.
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
 * held and the queue empty (which it stays, since tasks are pushed with its lock
 * held), and who pushes has seen it set in the same hold of the queue's lock. The
 * list gets its first queue, and a watcher goes off duty, in one hold of the
 * pool's lock: whoever lists finds a watcher or appoints one. No wake-up is lost:
 * a worker goes to sleep in the hold of the pool's lock in which it found nothing
 * to do, and is appointed or told to hurry under it: then what it sleeps on has
 * another value. The call that wakes it follows once the lock is let go.
 *
 * A goer whose wake-up was put off (`overdue`) is woken at the next look, or
 * when its queue leaves the list, for then there is no next look.
 *
 * A queue is not touched after it has left the list and its lock was let go, but
 * by its visitors: it may be freed. Who takes a task for the pool visits before
 * the task can have ended; the last visitor's leave is his last touch, and wakes
 * who frees the queue by its address alone (as in lock.h).
 *
 * Lock order: the pool's lock, then a queue's. Neither is taken with a context's
 * held. Jobs run without. tests/model has a model of this, but for how many
 * threads there are to be.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "errgroup/clock.h"
#include "errgroup/error_thread.h"
#include "errgroup/pause.h"
#include "errgroup/thread.h"
#include "errgroup/timer.h"
#include "errgroup/worker.h"

enum {
	IDLE_S = 5, /* a worker unused for as long leaves */
	STAYERS_MAX = 4, /* but for so many */
	SPIN_NS = 10000, /* about what it costs to sleep and be woken */
	LOOK_NS = 2500, /* between looks of a watcher that is awake */
	TICK_NS = 50000, /* between those of one that sleeps */
	SLOW_NS = 100000, /* what moves, but takes longer, is helped */
	BRIEF = 32, /* pauses that need no leave to be made */
	QUIET_LOOKS = 20, /* asleep, after which there is nothing to watch */
	STALE_NS = 1000000, /* without a job taken: more threads */
	STALE_MAX = 20, /* times as long, if that many work elsewhere */
	ELSEWHERE_NS = 500000000, /* who does for longer blocks, too */
	GROW_MAX = 64, /* threads at a time */
	SAMPLE = 4, /* active workers that stand for all */
	DROWSY_MAX = 32, /* threads a processor, if jobs move all the same */
	MANY = 16, /* tasks pushed between two looks: who pushes is at it */
	STARVED_TRIES = 20, /* to make a thread, one in STALE_NS */
	LAST_TRIES = 200, /* and then the watcher itself has to do */
	RETRY_MS = 10 /* to make a thread for what was posted */
};

/* A thread of the pool; on its own stack. */
struct worker {
	pid_t tid;
	int blocked; /* depth of worker_block */
	atomic_int rings; /* what it sleeps on */
	bool dozes;
	bool counts; /* as active */
	bool stays;
	_Atomic int64_t elsewhere_ns; /* since when; 0: see worker_elsewhere */
	clockid_t clock; /* of the processor time that it has used */
	int64_t used_ns; /* when it was last observed, -1: never */
	int64_t observed_ns;
	TAILQ_ENTRY(worker) active_link;
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
	TAILQ_HEAD(, worker) actives; /* as they are observed */
	struct worker *watcher;
	bool coming; /* a new thread that is to be the watcher */
	bool unsure; /* whether it comes, and nobody tries again if not */
	atomic_int tried; /* what those sleep on who have to know */
	atomic_bool is_short; /* the last thread could not be made */
	int64_t tried_ns; /* when one was to be made */
	int tries; /* in vain, while jobs do not move */
	int active; /* have a job, or look for one, and do not block */
	int claims; /* jobs for threads that are being made */
	int stayers; /* workers that never leave */
	atomic_int hurry; /* jobs that may be taken though others move */
	int credit; /* and though there are enough active workers */
	int allowance; /* the same, if jobs do not move */
	int grow; /* the last time that more were allowed, so many */
	int elsewhere; /* workers, of the active ones, at the last check */
	int64_t checked_ns; /* when it was seen who blocks */
	struct job_list posted;
	_Atomic uint64_t posted_count;
	uint64_t posted_taken;
	atomic_int listed; /* queues */
	struct watched posted_watched;
	int64_t looked_ns;
	struct timer retry;
	bool retrying;
	atomic_int *rung; /* to be woken once the lock is let go */
} pool = {.once = PTHREAD_ONCE_INIT,
    .queues = TAILQ_HEAD_INITIALIZER(pool.queues),
    .actives = TAILQ_HEAD_INITIALIZER(pool.actives),
    .posted = TAILQ_HEAD_INITIALIZER(pool.posted),
    .idle = LIST_HEAD_INITIALIZER(pool.idle)};

/* What a worker does next; one of both. */
struct work {
	struct job *job;
	struct worker_queue *queue; /* that it visits */
	struct task task;
};

static _Thread_local struct worker *this_worker;

/*
 * Who was rung is woken now: before, it might run at once, and wait for the
 * lock. It may be gone already: then its address wakes nobody.
 */
static void leave_pool(void)
{
	atomic_int *rung = pool.rung;

	pool.rung = NULL;
	lock_leave(&pool.lock);
	if (rung)
		futex_wake_one(rung);
}

/* ---- waiting awake --------------------------------------------------------*/

static void init_pool(void)
{
	cpu_set_t set;

	pool.processors = 1;
	if (!sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) > 1)
		pool.processors = CPU_COUNT(&set);
}

bool spin_begin(struct spin *spin)
{
	pthread_once(&pool.once, init_pool);
	spin->room = pool.processors;
	spin->now_ns = spin->end_ns = 0;
	spin->pauses = 0;
	return pool.processors > 1;
}

/* Another one of the pool's: a processor is left for who does not spin. */
static bool spin_begin_spare(struct spin *spin)
{
	bool begun = spin_begin(spin);

	spin->room -= 1 + pool.active;
	return begun && spin->room > 0;
}

bool spin_more(struct spin *spin)
{
	pause_briefly();
	if (++spin->pauses % 16 || spin->pauses < BRIEF)
		return true;
	spin->now_ns = clock_ns();
	if (spin->end_ns)
		return spin->now_ns < spin->end_ns;
	if (atomic_fetch_add_explicit(&pool.spinners, 1,
		memory_order_relaxed) >= spin->room) {
		atomic_fetch_sub_explicit(&pool.spinners, 1,
		    memory_order_relaxed);
		return false;
	}
	spin->end_ns = spin->now_ns + SPIN_NS;
	return true;
}

void spin_end(struct spin *spin)
{
	if (spin->end_ns)
		atomic_fetch_sub_explicit(&pool.spinners, 1,
		    memory_order_relaxed);
}

/* ---- queues ---------------------------------------------------------------*/

enum { /* with the number of visitors */
	ENDS = 1 << 30,
	SLEEPS = 1 << 29 /* who waits for the last one */
};

void worker_queue_init(struct worker_queue *queue,
    const struct worker_queue_type *type)
{
	lock_init(&queue->lock);
	queue->type = type;
	atomic_init(&queue->listed, false);
	queue->starving = false;
	atomic_init(&queue->wanted, 0);
	atomic_init(&queue->asleep, 0);
	atomic_init(&queue->overdue, false);
	tasks_init(&queue->tasks);
	atomic_init(&queue->visitors, 0);
	queue->watched = (struct watched){0};
}

/* With both locks held. */
static void tell_overdue(struct worker_queue *queue)
{
	if (!queue->overdue)
		return;
	queue->overdue = false;
	queue->type->overdue(queue);
}

static void count_listed(int n)
{
	atomic_store_explicit(&pool.listed,
	    atomic_load_explicit(&pool.listed, memory_order_relaxed) + n,
	    memory_order_relaxed);
}

/* With both locks held. */
static void unlist(struct worker_queue *queue)
{
	tell_overdue(queue);
	queue->listed = false;
	count_listed(-1);
	TAILQ_REMOVE(&pool.queues, queue, link);
}

void worker_visit(struct worker_queue *queue)
{
	atomic_fetch_add_explicit(&queue->visitors, 1, memory_order_relaxed);
}

void worker_leave(struct worker_queue *queue)
{
	if (atomic_fetch_sub_explicit(&queue->visitors, 1,
		memory_order_release) == (ENDS | SLEEPS | 1))
		futex_wake_one(&queue->visitors);
}

bool worker_queue_ends(const struct worker_queue *queue)
{
	return atomic_load_explicit(&queue->visitors, memory_order_relaxed) &
	       ENDS;
}

static void wait_for_visitors(struct worker_queue *queue)
{
	struct spin spin;
	int visitors;

	if (spin_begin(&spin)) {
		while (atomic_load_explicit(&queue->visitors,
			   memory_order_relaxed) != ENDS &&
		       spin_more(&spin))
			;
		spin_end(&spin);
	}
	visitors = atomic_fetch_or(&queue->visitors, SLEEPS) | SLEEPS;
	while (visitors != (ENDS | SLEEPS)) {
		futex_wait(&queue->visitors, visitors, NULL);
		visitors = atomic_load(&queue->visitors);
	}
}

void worker_queue_fini(struct worker_queue *queue)
{
	if (queue->listed) {
		/* Nobody pushes, so the pool's lock alone will do. */
		lock_take(&pool.lock);
		if (queue->listed)
			unlist(queue);
		leave_pool();
	} else {
		/* Who has unlisted it may be there still. */
		lock_take(&queue->lock);
		lock_leave(&queue->lock);
	}
	if (atomic_load(&queue->visitors) &&
	    atomic_fetch_or(&queue->visitors, ENDS))
		wait_for_visitors(queue);
	tasks_fini(&queue->tasks);
}

/* ---- threads --------------------------------------------------------------*/

/* What a new thread of the pool does first. */
typedef void *first_fn(void *text);
static first_fn watch_first, take_first;

static bool has_work(void)
{
	return pool.posted_count || !TAILQ_EMPTY(&pool.queues);
}

static void ring(struct worker *worker)
{
	atomic_fetch_add_explicit(&worker->rings, 1, memory_order_relaxed);
	if (worker->dozes && pool.rung)
		futex_wake_one(&worker->rings);
	else if (worker->dozes)
		pool.rung = &worker->rings;
	worker->dozes = false;
}

/* Lets go of the lock meanwhile. */
static int add_thread(first_fn *first)
{
	char *text; /* of its errors; at need, it does without */
	int ret;

	leave_pool();
	text = malloc(ERROR_TEXT_SIZE);
	ret = thread_start(first, text);
	if (ret)
		free(text);
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
			ring(pool.watcher);
			break;
		}
		pool.coming = true;
		ret = add_thread(watch_first);
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

		leave_pool();
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

bool worker_has_others(void)
{
	return atomic_load_explicit(&pool.listed, memory_order_relaxed) > 1 ||
	       atomic_load_explicit(&pool.posted_count, memory_order_relaxed);
}

/* With both locks held. */
static void list(struct worker_queue *queue)
{
	if (queue->listed)
		return;
	queue->listed = true;
	count_listed(1);
	TAILQ_INSERT_TAIL(&pool.queues, queue, link);
}

int worker_list(struct worker_queue *queue)
{
	int ret;

	pthread_once(&pool.once, init_pool);
	if (!lock_try(&pool.lock)) {
		lock_leave(&queue->lock);
		lock_take(&pool.lock);
	} else if ((pool.watcher || (pool.coming && !pool.unsure)) &&
		   !pool.is_short) {
		list(queue);
		leave_pool();
		return 0;
	} else {
		lock_leave(&queue->lock);
	}
	if (pool.is_short && LIST_EMPTY(&pool.idle))
		ret = add_thread(watch_first);
	else
		ret = 0;
	if (!ret)
		ret = appoint_once();
	lock_take(&queue->lock);
	if (!ret)
		list(queue);
	leave_pool();
	return ret;
}

/* ---- taking jobs ----------------------------------------------------------*/

/* A task, if there is one, and the others' turn. */
static bool take_from(struct worker_queue *queue, struct work *work)
{
	if (!tasks_take(&queue->tasks, &work->task))
		return false;
	/* The task is active, so the queue stays until it is visited. */
	worker_visit(queue);
	work->job = NULL;
	work->queue = queue;
	if (TAILQ_NEXT(queue, link)) {
		TAILQ_REMOVE(&pool.queues, queue, link);
		TAILQ_INSERT_TAIL(&pool.queues, queue, link);
	}
	return true;
}

static bool take_posted(struct work *work)
{
	work->job = TAILQ_FIRST(&pool.posted);
	if (!work->job)
		return false;
	TAILQ_REMOVE(&pool.posted, work->job, link);
	pool.posted_count--;
	pool.posted_taken++;
	return true;
}

/* For a worker that comes from a job, while somebody else watches. */
static bool take_any(struct work *work)
{
	struct worker_queue *queue;

	if (take_posted(work))
		return true;
	TAILQ_FOREACH(queue, &pool.queues, link)
		if (take_from(queue, work))
			return true;
	return false;
}

/* What a look has found. */
struct view {
	uint64_t count; /* jobs */
	bool eligible; /* some may be taken, if there may be one more active */
	int64_t
	    still_since_ns; /* of the queue that has not moved for longest */
};

/* Whether there are jobs. */
static bool look_at(struct watched *watched, uint64_t taken, uint64_t count,
    struct view *view, int64_t now_ns)
{
	bool moved = taken != watched->taken;

	watched->taken = taken;
	watched->may_be_taken = false;
	if (!count) {
		watched->still_since_ns = 0;
		return false;
	}
	view->count += count;
	if (moved || !watched->still_since_ns)
		watched->still_since_ns = moved ? 0 : now_ns;
	watched->may_be_taken =
	    pool.hurry > 0 || (watched->still_since_ns &&
				  now_ns - watched->still_since_ns >= STILL_NS);
	if (watched->still_since_ns &&
	    watched->still_since_ns < view->still_since_ns)
		view->still_since_ns = watched->still_since_ns;
	return true;
}

/*
 * Whether a queue that moves will not be empty soon, while a processor has
 * nothing to do: those of the pool have, and who waits for the queue's end and
 * moves it, and who pushes, unless he sleeps.
 */
static bool is_slow(const struct worker_queue *queue, uint64_t moved,
    uint64_t count, uint64_t pushed, int64_t took_ns)
{
	int wanted = queue->wanted;
	int busy = pool.active + (queue->visitors == 0) +
		   (pushed && !(wanted && wanted == queue->asleep));

	return moved && busy < pool.processors &&
	       (double)count * (double)took_ns / (double)moved > SLOW_NS;
}

/* Queues that are empty, and were so at the last look, leave the list. */
static void look_at_queue(struct worker_queue *queue, struct view *view,
    int64_t now_ns)
{
	struct watched *watched = &queue->watched;
	uint64_t taken = tasks_taken(&queue->tasks);
	uint64_t count = tasks_count(&queue->tasks);
	uint64_t moved = taken - watched->taken;
	uint64_t pushed = taken + count - watched->pushed;

	if ((queue->overdue && pushed < MANY) ||
	    (!count && !pushed && !queue->wanted)) {
		bool gone;

		lock_take(&queue->lock);
		tell_overdue(queue);
		count = tasks_count(&queue->tasks);
		gone = !count && !queue->wanted;
		if (gone)
			unlist(queue);
		lock_leave(&queue->lock);
		if (gone)
			return; /* it may be freed already */
	}
	if (look_at(watched, taken, count, view, now_ns) &&
	    ((queue->wanted && !queue->visitors) ||
		is_slow(queue, moved, count, pushed, now_ns - pool.looked_ns)))
		watched->may_be_taken = true;
	view->eligible |= watched->may_be_taken;
	watched->pushed = taken + count;
}

static struct view look(int64_t now_ns)
{
	struct view view = {.still_since_ns = INT64_MAX};
	struct worker_queue *queue, *next;

	look_at(&pool.posted_watched, pool.posted_taken, pool.posted_count,
	    &view, now_ns);
	view.eligible = pool.posted_watched.may_be_taken;
	for (queue = TAILQ_FIRST(&pool.queues); queue; queue = next) {
		next = TAILQ_NEXT(queue, link);
		look_at_queue(queue, &view, now_ns);
	}
	pool.looked_ns = now_ns;
	if (!view.count)
		pool.hurry = pool.credit = pool.grow = 0;
	if (view.still_since_ns == INT64_MAX) {
		pool.allowance = 0;
		pool.tries = 0;
	}
	return view;
}

/* One that the last look has found. */
static bool take_found(struct work *work)
{
	struct worker_queue *queue;
	bool found = pool.posted_watched.may_be_taken && take_posted(work);

	/* What it takes itself is no sign of a queue that moves. */
	pool.posted_watched.taken = pool.posted_taken;
	for (queue = TAILQ_FIRST(&pool.queues); queue && !found;
	     queue = TAILQ_NEXT(queue, link)) {
		if (!queue->watched.may_be_taken)
			continue;
		found = take_from(queue, work);
		queue->watched.taken = tasks_taken(&queue->tasks);
		if (found)
			break;
	}
	if (found && pool.hurry > 0)
		pool.hurry--;
	return found;
}

/* The same, if it is all there is: then nothing is left to watch. */
static bool take_last(struct work *work)
{
	struct worker_queue *queue = TAILQ_FIRST(&pool.queues);
	bool found = false;

	if (!queue)
		return pool.posted_count == 1 && take_found(work);
	if (pool.posted_count || TAILQ_NEXT(queue, link))
		return false;
	lock_take(&queue->lock);
	if (tasks_count(&queue->tasks) <= 1) {
		found = take_found(work);
		if (!tasks_count(&queue->tasks))
			unlist(queue);
	}
	lock_leave(&queue->lock);
	return found;
}

static void count_in(struct worker *worker)
{
	if (worker->counts)
		return;
	worker->counts = true;
	worker->used_ns = -1;
	pool.active++;
	TAILQ_INSERT_TAIL(&pool.actives, worker, active_link);
}

static void count_out(struct worker *worker)
{
	if (!worker->counts)
		return;
	worker->counts = false;
	pool.active--;
	TAILQ_REMOVE(&pool.actives, worker, active_link);
}

/* Whether another one uses a processor for it; for so long that is believed. */
static bool is_elsewhere(const struct worker *worker, int64_t now_ns)
{
	int64_t since_ns = worker->elsewhere_ns;

	return since_ns && now_ns - since_ns < ELSEWHERE_NS;
}

/* Whether a thread runs, or waits for a processor; if in doubt, it does. */
static bool is_runnable(pid_t tid)
{
	char path[48], text[64], *comm_end;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length > 0 ? length : 0] = '\0';
	comm_end = strrchr(text, ')');
	return !comm_end || !strncmp(comm_end, ") R", 3);
}

/* How a worker has spent its time since it was last observed. */
enum habit {
	UNKNOWN,
	AWAKE, /* or it waits for a processor */
	DROWSY, /* blocked for most of it */
	BLOCKED
};

static enum habit observe(struct worker *worker, int64_t now_ns, bool may_ask)
{
	int64_t was_ns = worker->used_ns;
	int64_t took_ns = now_ns - worker->observed_ns;
	struct timespec used;

	if (clock_gettime(worker->clock, &used))
		return UNKNOWN;
	worker->used_ns = used.tv_sec * NS_PER_S + used.tv_nsec;
	worker->observed_ns = now_ns;
	if (was_ns < 0)
		return UNKNOWN;
	if ((worker->used_ns - was_ns) * 4 >= took_ns ||
	    (may_ask && is_runnable(worker->tid)))
		return AWAKE;
	return worker->used_ns == was_ns ? BLOCKED : DROWSY;
}

/* So many from the front are the last ones to be observed again. */
static void go_round(int count)
{
	struct worker *worker;

	while (count-- > 0 && (worker = TAILQ_FIRST(&pool.actives))) {
		TAILQ_REMOVE(&pool.actives, worker, active_link);
		TAILQ_INSERT_TAIL(&pool.actives, worker, active_link);
	}
}

/*
 * Observes all active workers, or a few that stand for all, others each time;
 * those that block are active no more. Whoever works elsewhere is awake.
 */
static void observe_some(int64_t now_ns, int most, int habits[BLOCKED + 1])
{
	struct worker *worker, *next;
	int observed = 0, seen = 0;

	pool.elsewhere = 0;
	for (worker = TAILQ_FIRST(&pool.actives); worker; worker = next) {
		enum habit habit = AWAKE;

		next = TAILQ_NEXT(worker, active_link);
		seen += observed < most;
		if (is_elsewhere(worker, now_ns))
			pool.elsewhere++;
		else if (observed == most)
			continue;
		else
			habit = observe(worker, now_ns, observed++ < SAMPLE);
		habits[habit]++;
		if (habit == BLOCKED) {
			count_out(worker);
			seen--;
		}
	}
	if (observed == most)
		go_round(seen);
}

/*
 * Those that work elsewhere share the processors there, and each takes as much
 * longer.
 */
static int64_t stale_ns(void)
{
	int count = pool.elsewhere;

	return STALE_NS * (int64_t)(count < 1		? 1
				    : count < STALE_MAX ? count
							: STALE_MAX);
}

/*
 * There are jobs, and none may be taken: once in a while, finds those that block,
 * and allows more.
 */
static void allow_more(const struct view *view, int64_t now_ns)
{
	bool still = view->still_since_ns <= pool.checked_ns;
	int threads = pool.active + pool.claims;
	bool may_grow = threads >= pool.processors && !pool.is_short &&
			threads < DROWSY_MAX * pool.processors;
	int habits[BLOCKED + 1] = {0}, blocked;

	if (now_ns - pool.checked_ns < stale_ns())
		return;
	pool.checked_ns = now_ns;
	if (!still && view->still_since_ns < now_ns)
		pool.checked_ns = view->still_since_ns;
	observe_some(now_ns, still ? INT_MAX : SAMPLE, habits);
	if (still)
		blocked = habits[BLOCKED];
	else
		blocked = may_grow && !habits[AWAKE] ? habits[DROWSY] : 0;
	if (blocked)
		pool.grow = pool.grow ? 2 * pool.grow : 1;
	else
		pool.grow = still;
	if (pool.grow > GROW_MAX)
		pool.grow = GROW_MAX;
	if (still) {
		pool.allowance = pool.grow;
		return;
	}
	if (pool.credit < pool.grow)
		pool.credit = pool.grow;
	if (pool.hurry < pool.grow)
		pool.hurry = pool.grow;
}

/* Whether the watcher may take one of the jobs that a look has found. */
static bool may_take(const struct view *view, int64_t now_ns)
{
	if (view->eligible &&
	    (pool.active + pool.claims < pool.processors || pool.credit > 0))
		return true;
	if (!pool.allowance)
		allow_more(view, now_ns);
	if (view->still_since_ns == INT64_MAX)
		return false;
	return pool.allowance > 0 ||
	       (view->eligible && pool.active + pool.claims < pool.processors);
}

/* ---- the watcher ----------------------------------------------------------*/

/* Tells one queue; false if all know. Lets go of the lock. */
static bool tell_starving(int code)
{
	struct worker_queue *queue;

	TAILQ_FOREACH(queue, &pool.queues, link) {
		if (queue->starving || !tasks_count(&queue->tasks))
			continue;
		queue->starving = true;
		worker_visit(queue);
		leave_pool();
		queue->type->starved(queue, code);
		lock_take(&pool.lock);
		worker_leave(queue);
		return true;
	}
	return false;
}

/*
 * No thread could be made. When nothing has moved for long, all know, and the
 * watcher goes all the same.
 */
static bool gives_up(int code)
{
	if (++pool.tries == STARVED_TRIES)
		while (tell_starving(code))
			;
	if (pool.tries < LAST_TRIES)
		return false;
	pool.tries = 0;
	pool.watcher = NULL;
	return true;
}

enum step { WAIT, AGAIN, GO };

/*
 * Sees to a thread more, while there is a watcher: an idle worker takes the
 * watcher's place, who may go; a new one takes a job, and the watcher stays.
 */
static enum step add_hand(int64_t now_ns, bool moves)
{
	int ret;

	if (!LIST_EMPTY(&pool.idle)) {
		pool.watcher = NULL;
		appoint();
		return GO;
	}
	if (pool.is_short && now_ns - pool.tried_ns < STALE_NS)
		return WAIT;
	pool.tried_ns = now_ns;
	pool.claims++;
	ret = add_thread(take_first);
	if (!ret)
		return AGAIN;
	pool.claims--;
	if (moves) { /* then there are enough, if need be */
		pool.is_short = false;
		pool.hurry = pool.credit = 0;
		return WAIT;
	}
	return gives_up(ret) ? GO : WAIT;
}

/* What the watcher does; with GO it has work, and is the watcher no more. */
static enum step watcher_step(struct work *work, const struct view *view,
    int64_t now_ns)
{
	enum step step = WAIT;

	if (view->count <= (uint64_t)pool.claims || !may_take(view, now_ns))
		return WAIT;
	if (view->count == 1 && take_last(work)) {
		pool.watcher = NULL;
		step = GO;
	} else if (has_work()) {
		step = add_hand(now_ns, view->still_since_ns == INT64_MAX);
		if (step == GO && !take_found(work))
			step = WAIT;
	}
	if (step != WAIT && pool.credit > 0)
		pool.credit--;
	else if (step != WAIT && pool.allowance > 0)
		pool.allowance--;
	return step;
}

static void doze(struct worker *self, int64_t until_ns)
{
	struct timespec until = {until_ns / NS_PER_S, until_ns % NS_PER_S};

	int seen = atomic_load_explicit(&self->rings, memory_order_relaxed);

	self->dozes = true;
	leave_pool();
	futex_wait(&self->rings, seen, &until);
	lock_take(&pool.lock);
	self->dozes = false;
}

/* Awake until the next look; false if it may not be. Lets go of the lock. */
static bool wait_awake(struct spin *spin, int64_t now_ns)
{
	bool awake;

	leave_pool();
	do
		awake = spin_more(spin);
	while (awake && spin->now_ns < now_ns + LOOK_NS && !pool.hurry);
	lock_take(&pool.lock);
	return awake;
}

/* How long the watcher may sleep. */
static int64_t tick_ns(const struct view *view)
{
	if (pool.active >= pool.processors)
		return STALE_NS / 2;
	return view->count && view->still_since_ns == INT64_MAX ? 2 * TICK_NS
								: TICK_NS;
}

/*
 * Until it has something to do, or there has been nothing to watch for a while.
 * Apart, so that its part of the stack costs no page of those that only rest.
 */
__attribute__((noinline)) static bool watch(struct worker *self,
    struct work *work)
{
	enum step step = WAIT;
	struct spin spin;
	bool awake;
	int quiet = 0;

	awake = spin_begin_spare(&spin);
	while (pool.watcher == self && quiet < QUIET_LOOKS) {
		int64_t now_ns = clock_ns();
		struct view view = look(now_ns);

		step = watcher_step(work, &view, now_ns);
		if (step == AGAIN)
			continue;
		if (step == GO || pool.watcher != self)
			break;
		if (awake) {
			awake = wait_awake(&spin, now_ns);
			if (!awake)
				spin_end(&spin);
			continue;
		}
		quiet = has_work() ? 0 : quiet + 1;
		doze(self, now_ns + tick_ns(&view));
	}
	if (awake)
		spin_end(&spin);
	if (pool.watcher == self)
		pool.watcher = NULL;
	return step == GO;
}

/* ---- the workers ----------------------------------------------------------*/

/* Until it is the watcher, or was not used for too long: then false. */
static bool rest(struct worker *self)
{
	int seen = atomic_load_explicit(&self->rings, memory_order_relaxed);
	int64_t deadline_ns;
	struct spin spin;

	if (!pool.watcher && !pool.coming && has_work()) {
		pool.watcher = self;
		return true;
	}
	LIST_INSERT_HEAD(&pool.idle, self, link);
	if (spin_begin_spare(&spin)) {
		leave_pool();
		while (atomic_load_explicit(&self->rings,
			   memory_order_relaxed) == seen &&
		       spin_more(&spin))
			;
		lock_take(&pool.lock);
		spin_end(&spin);
	}
	deadline_ns = self->stays ? INT64_MAX : clock_ns() + IDLE_S * NS_PER_S;
	while (pool.watcher != self && clock_ns() < deadline_ns)
		doze(self, deadline_ns);
	if (pool.watcher == self)
		return true;
	LIST_REMOVE(self, link);
	return false;
}

/* Apart, so that its part of the stack is not held during a job. */
__attribute__((noinline)) static bool find_work(struct worker *self,
    struct work *work)
{
	bool found = (pool.watcher || pool.coming) && take_any(work);

	if (found)
		return true;
	count_out(self);
	while (!found && rest(self))
		found = watch(self, work);
	return found;
}

static void do_work(struct work *work)
{
	if (work->job) {
		work->job->run(work->job);
		return;
	}
	work->queue->type->run(work->queue, &work->task);
	worker_leave(work->queue);
}

static void work(char *text, bool is_hand)
{
	struct worker self = {.tid = gettid(), .rings = 0};
	struct work work;
	bool found = false;

	pthread_setname_np(pthread_self(), "cratos-worker");
	pthread_getcpuclockid(pthread_self(), &self.clock);
	error_thread.text = text;
	this_worker = &self;
	lock_take(&pool.lock);
	if (is_hand) {
		pool.claims--;
		found = take_found(&work);
	} else {
		pool.coming = false;
	}
	for (; found || find_work(&self, &work); found = false) {
		count_in(&self);
		leave_pool();
		do_work(&work);
		lock_take(&pool.lock);
	}
	leave_pool();
	this_worker = NULL;
	error_thread = (struct error_thread){0};
	free(text);
}

/* It is the watcher that is coming. */
static void *watch_first(void *text)
{
	work(text, false);
	return NULL;
}

/* A hand: one of the jobs has been claimed for it. */
static void *take_first(void *text)
{
	work(text, true);
	return NULL;
}

/* Under the lock: one job more may be taken, now. */
static void hurry(void)
{
	if (!has_work())
		return;
	pool.hurry++;
	if (pool.watcher && pool.watcher->dozes)
		ring(pool.watcher);
}

void worker_block(void)
{
	struct worker *self = this_worker;

	lock_take(&pool.lock);
	if (self && !self->blocked++) {
		count_out(self);
		/* Others may block, too: threads are made ahead of them. */
		if (has_work() && pool.credit < GROW_MAX)
			pool.credit += 2;
	}
	hurry();
	leave_pool();
}

void worker_unblock(void)
{
	if (!this_worker || --this_worker->blocked)
		return;
	lock_take(&pool.lock);
	count_in(this_worker);
	leave_pool();
}

void worker_elsewhere(bool busy)
{
	if (this_worker)
		this_worker->elsewhere_ns = busy ? clock_ns() : 0;
}

bool worker_stay(void)
{
	struct worker *self = this_worker;

	if (!self || self->stays)
		return self;
	lock_take(&pool.lock);
	if (pool.stayers < STAYERS_MAX) {
		pool.stayers++;
		self->stays = true;
	}
	lock_leave(&pool.lock);
	return self->stays;
}

/* ---- what cannot be refused -----------------------------------------------*/

static void retry_later(void);

static void retry(struct timer *timer)
{
	(void)timer;
	lock_take(&pool.lock);
	pool.retrying = false;
	if (has_work() && appoint())
		retry_later();
	leave_pool();
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
	struct job *job;

	pthread_once(&pool.once, init_pool);
	lock_take(&pool.lock);
	TAILQ_FOREACH(job, jobs, link)
		pool.posted_count++;
	TAILQ_CONCAT(&pool.posted, jobs, link);
	if (appoint())
		retry_later();
	hurry();
	leave_pool();
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
	leave_pool();
	return worker != NULL;
}
