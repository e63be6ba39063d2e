/*
 * An app on a thread of its own, so that a test's thread can drive it, and look
 * at it meanwhile. For what includes tests/app_kit.h.
 */
#ifndef TESTS_APP_THREAD_H
#define TESTS_APP_THREAD_H

#include <stdatomic.h>

#include "tests/app_kit.h"

static struct {
	pthread_t thread;
	int code;
	atomic_bool done;
	/* Of the events that end a reload. */
	struct event reload_ends;
	/* guarded by journal.lock */
	struct error refused; /* why the last reload was refused */
	int64_t delays_ms[64]; /* of retries */
	size_t delay_count;
	struct error retried;
} run_of = {.reload_ends = EVENT_INIT};

static inline void run_event(const struct app_event *event, void *arg)
{
	note_event(event, arg);
	pthread_mutex_lock(&journal.lock);
	if (event->type == APP_EVENT_RELOAD_REFUSED)
		run_of.refused = *event->error;
	if (event->type == APP_EVENT_REGISTRAR_RETRY) {
		run_of.retried = *event->error;
		if (run_of.delay_count < 64)
			run_of.delays_ms[run_of.delay_count++] =
			    event->delay_ms;
	}
	pthread_mutex_unlock(&journal.lock);
	if (event->type == APP_EVENT_RELOADED ||
	    event->type == APP_EVENT_RELOAD_REFUSED)
		event_set(&run_of.reload_ends);
}

static inline void *run_main(void *arg)
{
	(void)arg;
	run_of.code = app_run(app, &result);
	run_of.done = true;
	return NULL;
}

static inline void run_begin(void)
{
	run_of.done = false;
	ck_assert_int_eq(pthread_create(&run_of.thread, NULL, run_main, NULL),
	    0);
}

static inline int run_join(void)
{
	pthread_join(run_of.thread, NULL);
	return run_of.code;
}

static inline int run_stop(void)
{
	app_stop(app);
	return run_join();
}

struct noted_want {
	const char *word;
	int count;
};

static inline bool is_noted(void *want)
{
	const struct noted_want *wanted = want;

	return noted(wanted->word) >= wanted->count;
}

static inline bool noted_in_time(const char *word, int count)
{
	struct noted_want want = {word, count};

	return event_poll(is_noted, &want);
}

/* Waits until the word was noted so often. */
#define until_times(word, count)                                         \
	ck_assert_msg(noted_in_time(word, count), "no %s in:%s", (word), \
	    journal.text)
#define until(word) until_times(word, 1)

/* An app with these events, made by app_make, is up. */
static inline void run_up(void)
{
	run_begin();
	until("state:running");
}

struct state_want {
	const char *name;
	enum server_state state;
};

static inline bool is_in_state(void *want)
{
	const struct state_want *wanted = want;
	struct server_status status;

	return !server_state(app, wanted->name, &status) &&
	       status.state == wanted->state;
}

static inline void until_state(const char *name, enum server_state state)
{
	struct state_want want = {name, state};

	ck_assert_msg(event_poll(is_in_state, &want), "%s is not %s: %s", name,
	    server_state_name(state), journal.text);
}

static inline bool run_is_done(void *unused)
{
	(void)unused;
	return run_of.done;
}

static inline bool run_is_ready(void *unused)
{
	(void)unused;
	return app_ready(app);
}

static inline bool run_is_done_or_ready(void *unused)
{
	return run_of.done || run_is_ready(unused);
}

#endif
