/* What an operator tells single servers: to start, to stop, to restart. */
#include <stdlib.h>

#include "tests/app_thread.h"

/* ---- a server that can start again ---- */

struct worker {
	const char *name;
	struct event *hold_start; /* until it is stopped */
	struct event *hold_stop;
	atomic_int starts, stops, fails; /* fails: so many starts do */
	struct context *ctx;
};

static int worker_start(struct context *ctx, void *arg)
{
	struct worker *worker = arg;

	worker->ctx = ctx;
	worker->starts++;
	note("start:%s", worker->name);
	if (worker->fails > 0) {
		worker->fails--;
		return error_set(-EIO, "%s cannot start", worker->name);
	}
	if (worker->hold_start)
		event_wait(worker->hold_start);
	return 0;
}

static int worker_stop(struct context *ctx, void *arg)
{
	struct worker *worker = arg;

	(void)ctx;
	worker->stops++;
	note("stop:%s", worker->name);
	if (worker->hold_start)
		event_set(worker->hold_start);
	if (worker->hold_stop)
		event_wait(worker->hold_stop);
	return 0;
}

static struct server worker_server(struct worker *worker)
{
	return (struct server){.name = worker->name,
	    .start = worker_start,
	    .stop = worker_stop,
	    .notifies = worker->hold_start != NULL,
	    .arg = worker};
}

static void add_worker(struct worker *worker, const char *const *after)
{
	struct server server = worker_server(worker);

	server.after = after;
	add(&server);
}

static void make(void)
{
	options.on_event = run_event;
	app_make();
}

static void end(void)
{
	ck_assert_int_eq(run_stop(), 0);
	app_free(&app);
}

#define ck_assert_counts(worker, starts_, stops_)            \
	do {                                                 \
		ck_assert_int_eq((worker)->starts, starts_); \
		ck_assert_int_eq((worker)->stops, stops_);   \
	} while (0)

/* ---- one server ---- */

START_TEST(one_that_is_told_to_stop_stays_so_until_it_is_told_to_start)
{
	struct worker a = {.name = "a"}, b = {.name = "b"};
	struct server_status status;

	make();
	add_worker(&a, NULL);
	add_worker(&b, NULL);
	run_up();
	ck_assert_int_eq(app_server_stop(app, "a"), 0);
	until_state("a", SERVER_STOPPED);
	ck_assert(app_ready(app)); /* it is as if it were not there */
	ck_assert_int_eq(app_server_stop(app, "a"), 0); /* nothing */
	ck_assert_int_eq(app_server_start(app, "a"), 0);
	until_state("a", SERVER_UP);
	ck_assert_int_eq(app_server_start(app, "a"), 0); /* nothing */
	ck_assert_int_eq(server_state(app, "a", &status), 0);
	ck_assert_uint_eq(status.restarts, 0);
	end();
	ck_assert_counts(&a, 2, 2);
	ck_assert_counts(&b, 1, 1);
	ck_assert_int_eq(noted("failed:a"), 0);
}
END_TEST

START_TEST(restart_stops_and_starts_it_alone)
{
	static const char *const on_a[] = {"a", NULL};
	struct worker a = {.name = "a"}, b = {.name = "b"};
	struct server_status status;

	make();
	add_worker(&a, NULL);
	add_worker(&b, on_a);
	run_up();
	ck_assert_int_eq(app_server_restart(app, "a"), 0);
	until_times("start:a", 2);
	until_state("a", SERVER_UP);
	ck_assert_int_eq(server_state(app, "a", &status), 0);
	ck_assert_uint_eq(status.restarts, 1);
	ck_assert_counts(&b, 1, 0);
	end();
	ck_assert_counts(&a, 2, 2);
	ck_assert_counts(&b, 1, 1);
}
END_TEST

/* Its stop takes a while, and the last order counts. */
START_TEST(start_while_it_stops_starts_it_again)
{
	struct event hold = EVENT_INIT;
	struct worker a = {.name = "a", .hold_stop = &hold};

	make();
	add_worker(&a, NULL);
	run_up();
	ck_assert_int_eq(app_server_stop(app, "a"), 0);
	until("stop:a");
	ck_assert_int_eq(app_server_start(app, "a"), 0);
	until_times("asked:a", 2);
	event_set(&hold);
	until_times("start:a", 2);
	until_state("a", SERVER_UP);
	end();
	ck_assert_counts(&a, 2, 2);
}
END_TEST

START_TEST(stop_while_it_is_restarted_stops_it)
{
	struct event hold = EVENT_INIT;
	struct worker a = {.name = "a", .hold_stop = &hold};

	make();
	add_worker(&a, NULL);
	run_up();
	ck_assert_int_eq(app_server_restart(app, "a"), 0);
	until("stop:a");
	ck_assert_int_eq(app_server_stop(app, "a"), 0);
	until_times("asked:a", 2);
	event_set(&hold);
	until_state("a", SERVER_STOPPED);
	ck_assert(app_ready(app));
	end();
	ck_assert_counts(&a, 1, 1);
}
END_TEST

START_TEST(one_that_is_stuck_in_its_start_can_be_left_out)
{
	struct event hold = EVENT_INIT;
	struct worker a = {.name = "a", .hold_start = &hold}, b = {.name = "b"};

	make();
	add_worker(&a, NULL);
	add_worker(&b, NULL);
	run_begin();
	until_state("a", SERVER_STARTING);
	until_state("b", SERVER_UP);
	ck_assert(!app_ready(app));
	ck_assert_int_eq(app_server_stop(app, "a"), 0);
	until("state:running");
	ck_assert(app_ready(app));
	end();
	ck_assert_counts(&a, 1, 1);
}
END_TEST

/* ---- those that need it ---- */

START_TEST(what_needs_it_stops_before_it_and_comes_back_with_it)
{
	static const char *const on_a[] = {"a", NULL}, *const on_b[] = {"b",
							   NULL};
	struct worker a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"},
		      d = {.name = "d"};
	struct server_status status;

	make();
	add_worker(&a, NULL);
	add_worker(&b, on_a);
	add_worker(&c, on_b);
	add_worker(&d, NULL);
	run_up();
	ck_assert_int_eq(app_server_stop(app, "a"), 0);
	until_state("a", SERVER_STOPPED);
	until_state("b", SERVER_WAITING);
	until_state("c", SERVER_WAITING);
	ck_assert_noted_in_order("stop:c", "stop:b", "stop:a");
	ck_assert(!app_ready(app));
	ck_assert_int_eq(server_state(app, "b", &status), 0);
	ck_assert_str_eq(status.waits, "a");
	ck_assert_int_eq(app_server_start(app, "a"), 0);
	until_state("c", SERVER_UP);
	ck_assert(app_ready(app));
	end();
	ck_assert_counts(&a, 2, 2);
	ck_assert_counts(&b, 2, 2);
	ck_assert_counts(&c, 2, 2);
	ck_assert_counts(&d, 1, 1);
}
END_TEST

START_TEST(what_only_wants_it_goes_on_without_it)
{
	static const char *const on_a[] = {"a", NULL};
	struct worker a = {.name = "a"}, b = {.name = "b"};
	struct server server = worker_server(&b);

	make();
	add_worker(&a, NULL);
	server.wants = on_a;
	add(&server);
	run_up();
	ck_assert_int_eq(app_server_stop(app, "a"), 0);
	until_state("a", SERVER_STOPPED);
	ck_assert_int_eq(app_server_restart(app, "b"), 0);
	until_times("start:b", 2);
	until_state("b", SERVER_UP);
	end();
	ck_assert_counts(&a, 1, 1);
}
END_TEST

/* ---- those that have failed ---- */

static struct server failing_server(struct worker *worker, int64_t delay_ms)
{
	struct server server = worker_server(worker);

	server.optional = true;
	server.restart =
	    (struct server_restart){.when = delay_ms ? SERVER_RESTART_ON_FAILURE
						     : SERVER_RESTART_NEVER,
		.delay_ms = delay_ms};
	return server;
}

START_TEST(one_that_is_lost_starts_anew)
{
	struct worker a = {.name = "a", .fails = 1};
	struct server server = failing_server(&a, 0);

	make();
	add(&server);
	run_up();
	until_state("a", SERVER_LOST);
	ck_assert_int_eq(app_server_start(app, "a"), 0);
	until_state("a", SERVER_UP);
	end();
	ck_assert_counts(&a, 2, 2);
}
END_TEST

/* _i: the order. */
START_TEST(one_that_waits_for_its_restart_waits_no_longer)
{
	struct worker a = {.name = "a", .fails = 1};
	struct server server = failing_server(&a, LONG_MS);

	make();
	add(&server);
	run_begin();
	until_state("a", SERVER_RESTARTING);
	ck_assert_int_eq(_i ? app_server_restart(app, "a")
			    : app_server_start(app, "a"),
	    0);
	until_state("a", SERVER_UP);
	until("state:running");
	end();
	ck_assert_counts(&a, 2, 2);
}
END_TEST

/* _i: it was lost. */
START_TEST(one_that_has_failed_can_be_told_to_stop)
{
	struct worker a = {.name = "a", .fails = 1};
	struct server server = failing_server(&a, _i ? 0 : LONG_MS);

	make();
	add(&server);
	run_begin();
	until_state("a", _i ? SERVER_LOST : SERVER_RESTARTING);
	ck_assert_int_eq(app_server_stop(app, "a"), 0);
	until_state("a", SERVER_STOPPED);
	until("state:running");
	ck_assert_int_eq(app_server_start(app, "a"), 0);
	until_state("a", SERVER_UP);
	end();
	ck_assert_counts(&a, 2, 2);
}
END_TEST

/* _i: what needs it is optional. It was switched off, so it is not lost. */
START_TEST(one_that_is_switched_off_does_not_fail_with_what_it_needs)
{
	static const char *const on_a[] = {"a", NULL};
	struct worker a = {.name = "a"}, b = {.name = "b"};
	struct server first = failing_server(&a, 0), second = worker_server(&b);

	make();
	add(&first);
	second.after = on_a;
	second.optional = _i;
	add(&second);
	run_up();
	ck_assert_int_eq(app_server_stop(app, "b"), 0);
	until_state("b", SERVER_STOPPED);
	a.fails = 1;
	ck_assert_int_eq(app_server_restart(app, "a"), 0);
	until_state("a", SERVER_LOST);
	ck_assert(!run_of.done);
	ck_assert_int_eq(app_server_start(app, "a"), 0);
	until_state("a", SERVER_UP);
	ck_assert_int_eq(app_server_start(app, "b"), 0);
	until_state("b", SERVER_UP);
	ck_assert_int_eq(app_server_restart(app, "b"), 0);
	until_times("start:b", 3);
	until_state("b", SERVER_UP);
	end();
	ck_assert_counts(&b, 3, 3);
	ck_assert_int_eq(noted("lost:b"), 0);
}
END_TEST

START_TEST(one_that_is_on_its_way_to_be_lost_can_be_told_to_start)
{
	struct event hold = EVENT_INIT;
	struct worker a = {.name = "a", .fails = 1, .hold_stop = &hold};
	struct server server = failing_server(&a, 0);

	make();
	add(&server);
	run_begin();
	until("stop:a");
	ck_assert_int_eq(app_server_start(app, "a"), 0);
	until("asked:a");
	event_set(&hold);
	until_state("a", SERVER_UP);
	end();
	ck_assert_counts(&a, 2, 2);
}
END_TEST

START_TEST(one_that_was_given_up_starts_when_it_has_come_back)
{
	struct event hold = EVENT_INIT;
	struct worker a = {.name = "a", .hold_stop = &hold};
	struct server server = failing_server(&a, 0);

	make();
	server.stop_timeout_ms = 20;
	add(&server);
	run_up();
	ck_assert_int_eq(app_server_restart(app, "a"), 0);
	until("lost:a");
	ck_assert(app_ready(app));
	event_set(&hold);
	until_state("a", SERVER_LOST);
	ck_assert_int_eq(app_server_start(app, "a"), 0);
	until_state("a", SERVER_UP);
	end();
	ck_assert_counts(&a, 2, 2);
}
END_TEST

/* ---- when it cannot be ---- */

START_TEST(an_order_for_nobody_and_to_an_app_that_does_not_run_is_refused)
{
	struct worker a = {.name = "a"};

	make();
	add_worker(&a, NULL);
	ck_assert_int_eq(app_server_start(app, "a"), -ESHUTDOWN);
	run_up();
	ck_assert_int_eq(app_server_stop(app, "b"), -ENOENT);
	ck_assert_str_eq(error_of(-ENOENT).text, "no server is called b");
	app_stop(app);
	ck_assert_int_eq(app_server_restart(app, "a"), -ESHUTDOWN);
	ck_assert_int_eq(run_join(), 0);
	ck_assert_int_eq(app_server_start(app, "a"), -ESHUTDOWN);
	app_free(&app);
	ck_assert_counts(&a, 1, 1);
}
END_TEST

static struct event reload_holds, reload_entered;

static int slow_reload(struct context *ctx, struct app_reload *change,
    void *arg)
{
	(void)ctx;
	(void)change;
	(void)arg;
	event_set(&reload_entered);
	event_wait(&reload_holds);
	return 0;
}

START_TEST(an_order_waits_for_a_reload)
{
	struct worker a = {.name = "a"};

	reload_holds = reload_entered = (struct event)EVENT_INIT;
	options.reload = slow_reload;
	make();
	add_worker(&a, NULL);
	run_up();
	app_reload(app);
	ck_assert(event_wait(&reload_entered));
	ck_assert_int_eq(app_server_stop(app, "a"), 0);
	kit_pause_ms(20);
	ck_assert_counts(&a, 1, 0);
	event_set(&reload_holds);
	until_state("a", SERVER_STOPPED);
	ck_assert_noted_in_order("reloaded", "asked:a", "stop:a");
	end();
	ck_assert_counts(&a, 1, 1);
}
END_TEST

/* ---- all of it at once ---- */

enum { MANY = 12, ORDERS = 2000, ORDERERS = 3 };

static struct worker many[MANY];
static char names[MANY][8];

static void *order_main(void *arg)
{
	unsigned seed = *(unsigned *)arg;
	int (*const orders[])(struct app * app,
	    const char *name) = {app_server_start, app_server_stop,
	    app_server_restart};

	for (int i = 0; i < scale(ORDERS); i++) {
		const char *name = names[rand_r(&seed) % MANY];
		int ret = orders[rand_r(&seed) % 3](app, name);

		ck_assert_int_eq(ret, 0);
		if (rand_r(&seed) % 8 == 0)
			sched_yield();
	}
	return NULL;
}

/* A13: whoever is started is stopped, whatever the orders and their order. */
START_TEST(any_orders_leave_every_start_with_its_stop)
{
	pthread_t threads[ORDERERS];
	unsigned seeds[ORDERERS];

	options.on_event = NULL;
	app_make();
	for (int i = 0; i < MANY; i++) {
		const char *after[] = {i ? names[(i - 1) / 2] : NULL, NULL};

		snprintf(names[i], sizeof(names[i]), "s%d", i);
		many[i].name = names[i];
		add_worker(&many[i], i ? after : NULL);
	}
	run_begin();
	ck_assert(event_poll(run_is_ready, NULL));
	for (int i = 0; i < ORDERERS; i++) {
		seeds[i] = (unsigned)i + 1;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, order_main,
				     &seeds[i]),
		    0);
	}
	for (int i = 0; i < ORDERERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(app_server_start(app, names[i]), 0);
	ck_assert(event_poll(run_is_ready, NULL));
	for (int i = 0; i < MANY; i++)
		until_state(names[i], SERVER_UP);
	end();
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(many[i].starts, many[i].stops);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("app_orders");
	TCase *tcase;

	SUITE_ADD(suite, "one server",
	    one_that_is_told_to_stop_stays_so_until_it_is_told_to_start,
	    restart_stops_and_starts_it_alone,
	    start_while_it_stops_starts_it_again,
	    stop_while_it_is_restarted_stops_it,
	    one_that_is_stuck_in_its_start_can_be_left_out);
	SUITE_ADD(suite, "those that need it",
	    what_needs_it_stops_before_it_and_comes_back_with_it,
	    what_only_wants_it_goes_on_without_it);
	SUITE_ADD(suite, "failed", one_that_is_lost_starts_anew,
	    one_that_is_on_its_way_to_be_lost_can_be_told_to_start,
	    one_that_was_given_up_starts_when_it_has_come_back);
	tcase = suite_case(suite, "failed, two ways");
	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase,
	    one_that_waits_for_its_restart_waits_no_longer, 0, 2);
	tcase_add_loop_test(tcase, one_that_has_failed_can_be_told_to_stop, 0,
	    2);
	tcase_add_loop_test(tcase,
	    one_that_is_switched_off_does_not_fail_with_what_it_needs, 0, 2);
	SUITE_ADD(suite, "refused, or later",
	    an_order_for_nobody_and_to_an_app_that_does_not_run_is_refused,
	    an_order_waits_for_a_reload);
	SUITE_ADD(suite, "any", any_orders_leave_every_start_with_its_stop);
	return suite_run(suite);
}
