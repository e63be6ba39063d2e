/*
 * The floor under errgroup.c: the same with bare threads, which have the stack
 * that the library's threads have by default.
 */
#include <errno.h>
#include <pthread.h>

#include "round.h"

enum { BLOCKED = 1000, STACK_BYTES = 1024 * 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_there = PTHREAD_COND_INITIALIZER;
static pthread_cond_t cancel = PTHREAD_COND_INITIALIZER;
/* guarded by lock */
static int missing;
static bool cancelled;

static void start(pthread_t *thread, void *(*main)(void *arg))
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	errno = pthread_create(thread, &attr, main, NULL);
	round_must(errno == 0, "pthread_create");
	pthread_attr_destroy(&attr);
}

static void *nothing(void *arg)
{
	return arg;
}

static void first_task(long n)
{
	while (n--) {
		pthread_t thread;

		start(&thread, nothing);
		pthread_join(thread, NULL);
	}
}

static void *block(void *arg)
{
	pthread_mutex_lock(&lock);
	if (--missing == 0)
		pthread_cond_signal(&all_there);
	while (!cancelled)
		pthread_cond_wait(&cancel, &lock);
	pthread_mutex_unlock(&lock);
	return arg;
}

static void blocked(long n)
{
	static pthread_t threads[BLOCKED];

	while (n--) {
		missing = BLOCKED;
		cancelled = false;
		for (int i = 0; i < BLOCKED; i++)
			start(&threads[i], block);
		pthread_mutex_lock(&lock);
		while (missing)
			pthread_cond_wait(&all_there, &lock);
		cancelled = true;
		pthread_cond_broadcast(&cancel);
		pthread_mutex_unlock(&lock);
		for (int i = 0; i < BLOCKED; i++)
			pthread_join(threads[i], NULL);
	}
}

int main(int argc, char **argv)
{
	static const struct workload workloads[] = {WORKLOAD_COLD(first_task),
	    WORKLOAD_COLD(blocked), {0}};

	return round_main(workloads, argc, argv);
}
