/*
 * The threads that last.
 *
 * Design notes. The kernel sends a child's parent-death signal when the thread
 * ends that made the child, not when the process does (prctl(2)). Threads of
 * the pool come and go, and so may the one of app_run, so the children are
 * made by threads that never leave. The first of the pool's that ask become
 * such, a few of them (worker_stay): they need nobody else, and the wait for
 * another thread would be a tenth of what a child costs. Whoever else
 * comes hands his call to one more, the keeper, which is started with the first
 * of these, and sleeps whenever nobody calls.
 *
 * `lock` guards all that is here. Calls wait in the order in which they came,
 * each on a condition of its own on its caller's stack: the keeper touches a
 * call no more once it has said, under the lock, that it is done. Who finds no
 * keeper starts one in the same hold of the lock, so there is never a second.
 * No wake-up is lost, as both sides look at the list, and at `done`, under
 * the lock before they sleep.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#include <cratos/error.h>

#include "errgroup/thread.h"
#include "errgroup/worker.h"
#include "server/keeper.h"

struct call {
	void (*fn)(void *arg);
	void *arg;
	bool done;
	pthread_cond_t over;
	STAILQ_ENTRY(call) link;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t called;
	bool lives;
	STAILQ_HEAD(, call) calls;
} keeper = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .called = PTHREAD_COND_INITIALIZER,
    .calls = STAILQ_HEAD_INITIALIZER(keeper.calls),
};

static void *keep(void *unused)
{
	struct call *call;

	(void)unused;
	pthread_setname_np(pthread_self(), "cratos-keeper");
	pthread_mutex_lock(&keeper.lock);
	for (;;) {
		while (STAILQ_EMPTY(&keeper.calls))
			pthread_cond_wait(&keeper.called, &keeper.lock);
		call = STAILQ_FIRST(&keeper.calls);
		STAILQ_REMOVE_HEAD(&keeper.calls, link);
		pthread_mutex_unlock(&keeper.lock);
		call->fn(call->arg);
		pthread_mutex_lock(&keeper.lock);
		call->done = true;
		pthread_cond_signal(&call->over);
	}
	return NULL;
}

static int hand_over(void (*fn)(void *arg), void *arg)
{
	struct call call = {.fn = fn,
	    .arg = arg,
	    .over = PTHREAD_COND_INITIALIZER};
	int ret = 0;

	pthread_mutex_lock(&keeper.lock);
	if (!keeper.lives)
		ret = thread_start(keep, NULL);
	keeper.lives = !ret;
	if (!ret) {
		STAILQ_INSERT_TAIL(&keeper.calls, &call, link);
		pthread_cond_signal(&keeper.called);
	}
	while (!ret && !call.done)
		pthread_cond_wait(&call.over, &keeper.lock);
	pthread_mutex_unlock(&keeper.lock);
	pthread_cond_destroy(&call.over);
	errno = -ret;
	return ret ? error_set(ret, "no thread that makes children: %m") : 0;
}

int keeper_call(void (*fn)(void *arg), void *arg)
{
	int ret = 0;

	worker_elsewhere(true);
	if (worker_stay())
		fn(arg);
	else
		ret = hand_over(fn, arg);
	worker_elsewhere(false);
	return ret;
}
