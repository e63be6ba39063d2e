/*
 * The floor under errgroup.c and context.c: the same with bare threads, which
 * have the stack that the library's threads have by default, and no more than
 * the workload needs.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "round.h"

enum {
	BLOCKED = 1000,
	PARKED = 1000,
	MANY = 1000000,
	LOOKS = 64,
	LINE = 64,
	LIMIT = 2,
	PRODUCERS = 4,
	PRODUCERS_LIMIT = 8,
	STACK_BYTES = 1024 * 1024
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_there = PTHREAD_COND_INITIALIZER;
static pthread_cond_t cancel = PTHREAD_COND_INITIALIZER;
/* guarded by lock */
static int missing;
static bool cancelled;

static void start(pthread_t *thread, void *(*main)(void *arg), void *arg)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	errno = pthread_create(thread, &attr, main, arg);
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

		start(&thread, nothing, NULL);
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
			start(&threads[i], block, NULL);
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

/* ---- threads that stay awake, and are handed one task after another ---- */

static alignas(LINE) atomic_long handed_out;
static alignas(LINE) atomic_long done;
/* constant once the threads run */
static alignas(LINE) long to_do;
static long steps; /* of work a task */
/*
 * As many as there are processors beside that of the first thread, which hands
 * out, but no more than may run at a time.
 */
static int threads_count;

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

/* Until *count is at least least. */
static void wait_awake(atomic_long *count, long least)
{
	for (int i = 1;
	     atomic_load_explicit(count, memory_order_acquire) < least; i++) {
		pause_briefly();
		if (i % LOOKS == 0)
			sched_yield();
	}
}

static void count_one(atomic_long *count, bool alone)
{
	if (alone)
		atomic_store_explicit(count,
		    atomic_load_explicit(count, memory_order_relaxed) + 1,
		    memory_order_release);
	else
		atomic_fetch_add(count, 1);
}

/* Does every threads_count-th task, from the one numbered arg. */
static void *do_tasks(void *arg)
{
	for (long i = (long)(intptr_t)arg; i < to_do; i += threads_count) {
		wait_awake(&handed_out, i + 1);
		round_work(steps);
		count_one(&done, threads_count == 1);
	}
	return arg;
}

static void hand_out(long n, long steps_a_task)
{
	pthread_t threads[LIMIT];

	atomic_store(&handed_out, 0);
	atomic_store(&done, 0);
	to_do = n;
	steps = steps_a_task;
	threads_count = get_nprocs() > LIMIT ? LIMIT : 1;
	for (int i = 0; i < threads_count; i++)
		start(&threads[i], do_tasks, (void *)(intptr_t)i);
	for (long i = 0; i < n; i++) {
		wait_awake(&done, i - LIMIT + 1);
		count_one(&handed_out, true);
	}
	for (int i = 0; i < threads_count; i++)
		pthread_join(threads[i], NULL);
}

static void limit_2_work(long n)
{
	hand_out(n, round_number());
}

static void many_limit_2(long n)
{
	while (n--)
		hand_out(MANY, 0);
}

/* ---- the same by several threads, which share a limit ---- */

static alignas(LINE) atomic_long slots; /* free */

static void take_slot(void)
{
	for (int i = 1;; i++) {
		long free = atomic_load_explicit(&slots, memory_order_relaxed);

		if (free > 0 &&
		    atomic_compare_exchange_weak(&slots, &free, free - 1))
			return;
		pause_briefly();
		if (i % LOOKS == 0)
			sched_yield();
	}
}

static void *produce(void *arg)
{
	for (long i = 0; i < to_do / PRODUCERS; i++) {
		take_slot();
		atomic_fetch_add(&handed_out, 1);
	}
	return arg;
}

static void producers(long n)
{
	pthread_t threads[PRODUCERS];

	to_do = n;
	atomic_store(&handed_out, 0);
	atomic_store(&slots, PRODUCERS_LIMIT);
	for (int i = 0; i < PRODUCERS; i++)
		start(&threads[i], produce, NULL);
	for (long i = 0; i < n / PRODUCERS * PRODUCERS; i++) {
		wait_awake(&handed_out, i + 1);
		atomic_fetch_add(&slots, 1);
	}
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(threads[i], NULL);
}

/* ---- a sleeping thread that calls what a list holds ---- */

struct parked {
	struct parked *next;
	void (*fn)(void *arg);
};

static sem_t cancelled_list, all_ran;
static atomic_long to_run;
static struct parked *list; /* given with cancelled_list */

static void ran(void *arg)
{
	(void)arg;
	if (atomic_fetch_sub(&to_run, 1) == 1)
		sem_post(&all_ran);
}

static void *run_lists(void *arg)
{
	struct parked *next;

	for (;;) {
		sem_wait(&cancelled_list);
		next = list; /* which is another's once all have run */
		if (!next)
			return arg;
		while (next) {
			struct parked *parked = next;

			next = parked->next;
			parked->fn(NULL);
			free(parked);
		}
	}
}

static void parked_1000(long n)
{
	pthread_t thread;

	sem_init(&cancelled_list, 0, 0);
	sem_init(&all_ran, 0, 0);
	start(&thread, run_lists, NULL);
	while (n--) {
		struct parked *head = NULL;

		atomic_store(&to_run, PARKED);
		for (int i = 0; i < PARKED; i++) {
			struct parked *parked = malloc(sizeof(*parked));

			round_must(parked != NULL, "malloc");
			*parked = (struct parked){head, ran};
			head = parked;
		}
		list = head;
		sem_post(&cancelled_list);
		sem_wait(&all_ran);
	}
	list = NULL;
	sem_post(&cancelled_list);
	pthread_join(thread, NULL);
}

/* ---- tasks that block where the library does not know it ---- */

static void *sleep_1_ms(void *arg)
{
	usleep(1000);
	return arg;
}

static void sleepers(long n)
{
	static pthread_t threads[BLOCKED];

	while (n--) {
		for (int i = 0; i < BLOCKED; i++)
			start(&threads[i], sleep_1_ms, NULL);
		for (int i = 0; i < BLOCKED; i++)
			pthread_join(threads[i], NULL);
	}
}

int main(int argc, char **argv)
{
	static const struct workload workloads[] = {WORKLOAD(limit_2_work),
	    WORKLOAD(many_limit_2), WORKLOAD(producers), WORKLOAD(parked_1000),
	    WORKLOAD_COLD(first_task), WORKLOAD_COLD(blocked),
	    WORKLOAD_COLD(sleepers), {0}};

	return round_main(workloads, argc, argv);
}
