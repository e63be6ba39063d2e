/* The lock of one word: one holder, no lost wake-up, no touch after the end. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "errgroup/lock.h"
#include "tests/suite.h"

enum { THREADS = 8 };

struct shared {
	struct lock lock;
	/* guarded by lock */
	int users;
	long sum;
};

struct user {
	pthread_t thread;
	struct shared *shared;
	struct event *began;
	int rounds;
	int tid;
};

static void *add_main(void *arg)
{
	struct user *self = arg;

	self->tid = gettid();
	event_set(self->began);
	for (int i = 0; i < self->rounds; i++) {
		lock_take(&self->shared->lock);
		self->shared->sum++;
		lock_leave(&self->shared->lock);
	}
	return NULL;
}

static void start_users(struct user *users, struct shared *shared,
    struct event *began, int rounds, void *(*main)(void *arg))
{
	for (int i = 0; i < THREADS; i++) {
		users[i] = (struct user){.shared = shared,
		    .began = began,
		    .rounds = rounds};
		pthread_create(&users[i].thread, NULL, main, &users[i]);
	}
}

static void join_users(struct user *users)
{
	for (int i = 0; i < THREADS; i++)
		pthread_join(users[i].thread, NULL);
}

/* C3, C20 */
START_TEST(one_thread_at_a_time_holds_the_lock)
{
	const int rounds = scale(200000);
	struct shared shared = {0};
	struct event began = EVENT_INIT;
	struct user users[THREADS];

	start_users(users, &shared, &began, rounds, add_main);
	join_users(users);
	ck_assert_int_eq(shared.sum, (long)THREADS * rounds);
	ck_assert(lock_is_free(&shared.lock));
}
END_TEST

/* C20, C23: and each of them is woken, though one wakes at a time. */
START_TEST(who_waits_for_the_lock_sleeps_until_it_is_let_go)
{
	struct shared shared = {0};
	struct event began = EVENT_INIT;
	struct user users[THREADS];

	lock_init(&shared.lock);
	lock_take(&shared.lock);
	ck_assert(!lock_is_free(&shared.lock));
	start_users(users, &shared, &began, 1, add_main);
	ck_assert(event_wait_count(&began, THREADS));
	for (int i = 0; i < THREADS; i++)
		ck_assert(event_poll(event_thread_sleeps, &users[i].tid));
	ck_assert_int_eq(shared.sum, 0);
	lock_leave(&shared.lock);
	join_users(users);
	ck_assert_int_eq(shared.sum, THREADS);
	ck_assert(lock_is_free(&shared.lock));
}
END_TEST

static void *let_go_main(void *arg)
{
	struct user *self = arg;
	struct shared *shared = self->shared;
	bool last;

	event_set(self->began);
	event_wait_count(self->began, THREADS);
	lock_take(&shared->lock);
	last = !--shared->users;
	lock_leave(&shared->lock);
	if (last)
		free(shared);
	return NULL;
}

/* C22 */
START_TEST(the_last_holder_may_free_the_lock)
{
	for (int round = 0; round < scale(300); round++) {
		struct shared *shared = calloc(1, sizeof(*shared));
		struct event began = EVENT_INIT;
		struct user users[THREADS];

		shared->users = THREADS;
		start_users(users, shared, &began, 1, let_go_main);
		join_users(users);
	}
}
END_TEST

static Suite *lock_suite(void)
{
	Suite *suite = suite_create("lock");

	SUITE_ADD(suite, "lock", one_thread_at_a_time_holds_the_lock,
	    who_waits_for_the_lock_sleeps_until_it_is_let_go,
	    the_last_holder_may_free_the_lock);
	return suite;
}

int main(void)
{
	return suite_run(lock_suite());
}
