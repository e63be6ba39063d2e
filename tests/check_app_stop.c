/* An app on its way down: what ends it, in what order, by when, and with what. */
#include <inttypes.h>

#include "tests/app_kit.h"

static const char value_key;

/* ---- what ends an app ---- */

static struct probe a = PROBE(.name = "a", .blocks = true);
static struct probe b = PROBE(.name = "b", .blocks = true);

static void note_all_hooks(void)
{
	hook(APP_BEFORE_START, note_hook, "before-start");
	hook(APP_AFTER_START, note_hook, "after-start");
	hook(APP_BEFORE_STOP, note_hook, "before-stop");
	hook(APP_AFTER_STOP, note_hook, "after-stop");
}

/* A6, A13 */
START_TEST(a_failing_server_stops_all_and_is_stopped_itself)
{
	struct probe failing = PROBE(.name = "failing", .start_code = -EIO);

	app_make();
	add_probe(&a);
	add_probe(&failing);
	add_probe(&b);
	note_all_hooks();
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_str_eq(result.origin, "failing");
	ck_assert_str_eq(result.text, "failing cannot start");
	ck_assert_int_eq(noted("stop:failing"), 1);
	ck_assert_int_eq(noted("stop:a"), noted("start:a"));
	ck_assert_int_eq(noted("stop:b"), noted("start:b"));
	ck_assert_noted_in_order("before-start", "start:failing", "before-stop",
	    "stop:failing", "after-stop");
	ck_assert_uint_eq(error_count(), 1);
	app_free(&app);
}
END_TEST

/* A6, A13 */
START_TEST(a_failing_before_start_hook_runs_the_whole_stop_and_no_server)
{
	app_make();
	add_probe(&a);
	hook(APP_BEFORE_START, fail_hook, "failing");
	note_all_hooks();
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_str_eq(result.origin, "before-start hook");
	ck_assert_str_eq(result.text, strerror(EIO));
	ck_assert_journal("failing before-stop after-stop");
	app_free(&app);
}
END_TEST

/* A6 */
START_TEST(a_failing_after_start_hook_stops_the_servers)
{
	app_make();
	add_probe(&a);
	hook(APP_AFTER_START, fail_hook, "failing");
	note_all_hooks();
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_str_eq(result.origin, "after-start hook");
	ck_assert_noted_in_order("before-start", "start:a", "stop:a",
	    "after-stop");
	ck_assert_noted_in_order("failing", "before-stop", "stop:a");
	ck_assert_int_eq(noted("after-start"), 0);
	app_free(&app);
}
END_TEST

static int stop_in_start(struct context *ctx, void *arg)
{
	app_stop(app_from_context(ctx));
	return probe_start(ctx, arg);
}

/* A12 */
START_TEST(app_stop_in_a_servers_start_ends_the_app)
{
	struct server server = probe_server(&a);

	app_make();
	server.start = stop_in_start;
	add(&server);
	note_all_hooks();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("before-start", "start:a", "stop:a", "end:a",
	    "after-stop");
	app_free(&app);
}
END_TEST

/* A12 */
START_TEST(app_stop_in_a_hook_ends_the_way_up)
{
	app_make();
	add_probe(&a);
	hook(APP_BEFORE_START, stop_hook, NULL);
	hook(APP_BEFORE_START, note_hook, "second");
	hook(APP_AFTER_START, note_hook, "up");
	hook(APP_BEFORE_STOP, stop_hook, NULL);
	hook(APP_AFTER_STOP, stop_hook, NULL);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("up"), 0);
	ck_assert_int_eq(noted("stop:a"), noted("start:a"));
	app_free(&app);
}
END_TEST

/* A12 */
START_TEST(app_stop_before_app_run_runs_nothing)
{
	options.on_event = note_event;
	app_make();
	add_probe(&a);
	note_all_hooks();
	ck_assert_int_eq(app_stop(app), 0);
	ck_assert_int_eq(app_stop(app), 0);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_journal("");
	ck_assert_int_eq(app_go(), -EALREADY);
	app_free(&app);
}
END_TEST

static struct event up = EVENT_INIT;

static int up_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	event_set(&up);
	return 0;
}

static void *stop_often(void *unused)
{
	int ret = 0;

	event_wait(&up);
	for (int i = 0; i < 100; i++)
		ret |= app_stop(app);
	return ret ? app : unused;
}

/* A12 */
START_TEST(app_stop_from_many_threads_is_one_stop)
{
	pthread_t threads[4];

	app_make();
	add_probe(&a);
	note_all_hooks();
	hook(APP_AFTER_START, up_hook, NULL);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, stop_often,
				     NULL),
		    0);
	ck_assert_int_eq(app_go(), 0);
	for (int i = 0; i < 4; i++) {
		void *outcome = app;

		ck_assert_int_eq(pthread_join(threads[i], &outcome), 0);
		ck_assert_ptr_null(outcome);
	}
	ck_assert_noted_in_order("before-stop", "stop:a", "after-stop");
	ck_assert_int_eq(app_stop(app), 0);
	app_free(&app);
}
END_TEST

static pid_t run_tid;

static void up_when_running(const struct app_event *event, void *arg)
{
	(void)arg;
	if (event->type == APP_EVENT_STATE && event->state == APP_STATE_RUNNING)
		event_set(&up);
}

static void *stop_when_idle(void *unused)
{
	event_wait(&up);
	return event_poll(event_thread_sleeps, &run_tid) && !app_stop(app)
		   ? unused
		   : app;
}

/* A12: with nothing else that would make it look */
START_TEST(app_stop_from_a_plain_thread_ends_an_app_that_waits)
{
	pthread_t thread;
	void *outcome;

	run_tid = gettid();
	options.on_event = up_when_running;
	app_make();
	add_probe(&a);
	ck_assert_int_eq(pthread_create(&thread, NULL, stop_when_idle, NULL),
	    0);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(pthread_join(thread, &outcome), 0);
	ck_assert_ptr_null(outcome);
	ck_assert_noted_in_order("start:a", "stop:a", "end:a");
	app_free(&app);
}
END_TEST

static int cancel_hook(struct context *ctx, void *arg)
{
	const struct error *cause = arg;

	(void)ctx;
	context_cancel(options.parent, cause);
	return 0;
}

/* A4: until its stop is called, start's context knows nothing of it. */
static int watch_own_context(struct context *ctx, void *arg)
{
	struct probe *probe = arg;

	note("start:%s", probe->name);
	event_set(&probe->started);
	event_wait(&probe->quit);
	note(context_err(ctx) ? "dead" : "alive");
	return 0;
}

/* A5 */
static int look_in_stop(struct context *ctx, void *arg)
{
	const char *value = context_value(ctx, &value_key);
	int64_t deadline_ms;

	note("stop:%s", value ? value : "-");
	note(context_err(ctx) ? "done" : "live");
	note(app_from_context(ctx) == app ? "app" : "no-app");
	if (context_deadline(ctx, &deadline_ms))
		note(deadline_ms > kit_now_ms() ? "deadline" : "past");
	kit_pause_ms(20);
	return probe_stop(ctx, arg);
}

static void run_under_parent(const struct error *cause)
{
	struct server server = {.name = "a",
	    .start = watch_own_context,
	    .stop = look_in_stop,
	    .arg = &a};
	struct context *values =
	    context_with_value(NULL, &value_key, (void *)"value");

	options.parent = context_with_cancel(values);
	app_make();
	add(&server);
	hook(APP_AFTER_START, cancel_hook, cause);
	ck_assert_int_eq(app_go(), cause ? cause->code : 0);
	ck_assert_noted_in_order("start:a", "stop:value", "live", "app",
	    "deadline", "stop:a", "alive");
	context_free(&options.parent);
	context_free(&values);
}

/* A4, A5, A10 */
START_TEST(a_parent_that_is_plainly_cancelled_is_a_clean_end)
{
	run_under_parent(NULL);
	ck_assert_int_eq(result.code, 0);
	ck_assert_str_eq(result.origin, "");
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

/* A4, A5, A10 */
START_TEST(a_parents_cause_is_the_result)
{
	const struct error cause = {-EPIPE, "upstream", "gone"};

	run_under_parent(&cause);
	ck_assert_str_eq(result.origin, "upstream");
	ck_assert_str_eq(result.text, "gone");
	app_free(&app);
}
END_TEST

/* A5, A10 */
START_TEST(a_parents_deadline_is_the_result)
{
	struct server server = {.name = "a",
	    .start = watch_own_context,
	    .stop = look_in_stop,
	    .arg = &a};

	options.parent = context_with_timeout(NULL, 50);
	app_make();
	add(&server);
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "parent");
	if (noted("start:a"))
		ck_assert_noted_in_order("live", "deadline", "alive");
	app_free(&app);
	context_free(&options.parent);
}
END_TEST

/* A6: nor is a hook begun that would only be overtaken */
START_TEST(a_parent_that_is_done_before_the_run_ends_it_at_once)
{
	options.parent = context_with_cancel(NULL);
	context_cancel(options.parent, NULL);
	options.on_event = note_event;
	app_make();
	add_probe(&a);
	note_all_hooks();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("state:before-start-hooks"), 0);
	ck_assert_int_eq(noted("before-start"), 0);
	ck_assert_int_eq(noted("start:a"), 0);
	ck_assert_noted_in_order("before-stop", "after-stop");
	app_free(&app);
	context_free(&options.parent);
}
END_TEST

START_TEST(the_background_is_a_parent_that_never_ends)
{
	options.parent = context_background();
	app_make();
	add_probe(&a);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	app_free(&app);
}
END_TEST

/* ---- how servers are stopped ---- */

static int until_done(struct context *ctx, void *arg)
{
	struct probe *probe = arg;
	int err;

	note("start:%s", probe->name);
	err = context_wait(ctx, LONG_MS);
	note("end:%s", probe->name);
	return err;
}

/* A4, A10: what the context says is not an error then */
START_TEST(a_server_without_a_stop_has_its_context_cancelled)
{
	struct server server = {.name = "a", .start = until_done, .arg = &a};

	app_make();
	add(&server);
	stop_when_up();
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a", "end:a", "after-stop");
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

static struct context *kept;

static int keep_context(struct context *ctx, void *arg)
{
	(void)arg;
	kept = context_with_cancel(ctx);
	return kept ? 0 : -ENOMEM;
}

/* A4 */
START_TEST(a_context_outlives_a_start_that_returned_until_the_stop)
{
	struct server server = {.name = "a", .start = keep_context};

	app_make();
	add(&server);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(context_err(kept), -ECANCELED);
	context_free(&kept);
	app_free(&app);
}
END_TEST

static int stop_and_do_nothing(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	return 0;
}

/* A4, A9, A10 */
START_TEST(a_server_that_ends_only_at_the_deadline_is_late)
{
	struct server server = {.name = "late",
	    .start = until_done,
	    .stop = stop_and_do_nothing,
	    .arg = &a};
	int64_t begin_ms = kit_now_ms();

	options.stop_timeout_ms = 100;
	options.on_event = note_event;
	app_make();
	add(&server);
	stop_when_up();
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_int_ge(kit_now_ms() - begin_ms, 100);
	ck_assert_str_eq(result.origin, "late");
	ck_assert_noted_in_order("start:a", "timeout:late", "end:a",
	    "stopped:late", "after-stop");
	ck_assert_uint_eq(error_count(), 1);
	app_free(&app);
}
END_TEST

static int wait_in_stop(struct context *ctx, void *arg)
{
	context_wait(ctx, LONG_MS);
	return probe_stop(ctx, arg);
}

/* A9: also if it just heeds its context, and says nothing of it */
START_TEST(a_stop_that_takes_until_its_deadline_is_late)
{
	struct server server = probe_server(&a);
	int64_t begin_ms = kit_now_ms();

	server.stop = wait_in_stop;
	server.stop_timeout_ms = 50;
	app_make();
	add(&server);
	add_probe(&b);
	stop_when_up();
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_int_ge(kit_now_ms() - begin_ms, 50);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_uint_eq(error_count(), 1);
	ck_assert_noted_in_order("start:b", "stop:b", "end:b");
	app_free(&app);
}
END_TEST

static int64_t deadlines[3];

static int use_up_time(struct context *ctx, void *arg)
{
	int64_t *deadline_ms = arg;

	if (!context_deadline(ctx, deadline_ms))
		return -EINVAL;
	context_wait(ctx, LONG_MS);
	return 0;
}

static int note_deadline(struct context *ctx, void *arg)
{
	int64_t *deadline_ms = arg;

	return context_deadline(ctx, deadline_ms) ? 0 : -EINVAL;
}

/* A15: what a hook uses up is gone for the stops */
START_TEST(there_is_one_clock_for_the_whole_stop)
{
	struct server server = {.name = "a",
	    .start = stop_and_do_nothing,
	    .stop = note_deadline,
	    .arg = &deadlines[1]};
	int64_t begin_ms = kit_now_ms();

	options.stop_timeout_ms = 1500;
	app_make();
	add(&server);
	stop_when_up();
	hook(APP_BEFORE_STOP, use_up_time, &deadlines[0]);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_ge(deadlines[0], begin_ms + 1500);
	/* The loop's own pace is not counted as a drain delay. */
	ck_assert_int_ge(deadlines[1], deadlines[0]);
	ck_assert_int_lt(deadlines[1], deadlines[0] + 1500);
	app_free(&app);
}
END_TEST

static int ok_register(struct context *ctx, const struct instance *instance,
    void *arg)
{
	(void)ctx;
	(void)instance;
	(void)arg;
	return 0;
}

static int note_deregister_deadline(struct context *ctx,
    const struct instance *instance, void *arg)
{
	(void)instance;
	return note_deadline(ctx, arg);
}

/* A15: whatever time the registrar has of its own */
START_TEST(a_deregistration_has_no_longer_than_the_whole_stop)
{
	const struct registrar registrar = {ok_register,
	    note_deregister_deadline, &deadlines[1], NULL};

	options.registrar = &registrar;
	options.registrar_timeout_ms = 1000 * LONG_MS;
	app_make();
	stop_when_up();
	hook(APP_BEFORE_STOP, note_deadline, &deadlines[0]);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_gt(deadlines[1], 0);
	ck_assert_int_le(deadlines[1], deadlines[0]);
	app_free(&app);
}
END_TEST

static int64_t asked_ms;

static int note_deregister_time(struct context *ctx,
    const struct instance *instance, void *arg)
{
	(void)instance;
	asked_ms = kit_now_ms();
	return note_deadline(ctx, arg);
}

/* A15, A18: one that hangs is not to use up what the servers need */
START_TEST(a_deregistration_leaves_half_of_the_time_to_the_servers)
{
	const struct registrar registrar = {ok_register, note_deregister_time,
	    &deadlines[1], NULL};
	int64_t begin_ms = kit_now_ms();

	options.registrar = &registrar;
	options.registrar_timeout_ms = 1000 * LONG_MS;
	app_make();
	stop_when_up();
	hook(APP_BEFORE_STOP, note_deadline, &deadlines[0]);
	ck_assert_int_eq(app_go(), 0);
	/* Half of what is left when it begins, to the millisecond. */
	ck_assert_int_ge(2 * deadlines[1], deadlines[0] + begin_ms);
	ck_assert_int_le(2 * deadlines[1], deadlines[0] + asked_ms + 1);
	app_free(&app);
}
END_TEST

/* A15 */
START_TEST(a_stop_has_10_s_if_the_options_do_not_say)
{
	int64_t begin_ms = kit_now_ms();

	options.stop_timeout_ms = 0;
	app_make();
	stop_when_up();
	hook(APP_BEFORE_STOP, note_deadline, &deadlines[0]);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_ge(deadlines[0], begin_ms + 10000);
	/* Half a millisecond is a whole one there and none here. */
	ck_assert_int_le(deadlines[0], kit_now_ms() + 10000 + 1);
	app_free(&app);
}
END_TEST

static int64_t unregistered_ms, stopped_ms;

static int time_hook(struct context *ctx, void *arg)
{
	int64_t *now_ms = arg;

	(void)ctx;
	*now_ms = kit_now_ms();
	return 0;
}

/* A15, A19 */
START_TEST(the_drain_delay_comes_before_the_stops_and_on_top_of_their_time)
{
	struct server server = {.name = "a",
	    .start = stop_and_do_nothing,
	    .stop = note_deadline,
	    .arg = &deadlines[1]};
	struct server timed = {.name = "b",
	    .start = stop_and_do_nothing,
	    .stop = time_hook,
	    .arg = &stopped_ms};

	options.drain_delay_ms = 200;
	options.stop_timeout_ms = LONG_MS;
	app_make();
	add(&server);
	add(&timed);
	stop_when_up();
	hook(APP_BEFORE_STOP, time_hook, &unregistered_ms);
	hook(APP_BEFORE_STOP, note_deadline, &deadlines[0]);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_ge(stopped_ms - unregistered_ms, 200);
	ck_assert_int_ge(deadlines[1] - deadlines[0], 200);
	app_free(&app);
}
END_TEST

static int time_deregister(struct context *ctx, const struct instance *instance,
    void *arg)
{
	(void)instance;
	return time_hook(ctx, arg);
}

/* A19: it is for those who have not heard of it yet */
START_TEST(the_drain_delay_comes_after_the_deregistration)
{
	const struct registrar registrar = {ok_register, time_deregister,
	    &unregistered_ms, NULL};
	struct server server = {.name = "a",
	    .start = stop_and_do_nothing,
	    .stop = time_hook,
	    .arg = &stopped_ms};

	options.registrar = &registrar;
	options.drain_delay_ms = 100;
	app_make();
	add(&server);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_gt(unregistered_ms, 0);
	ck_assert_int_ge(stopped_ms - unregistered_ms, 100);
	app_free(&app);
}
END_TEST

/* A19: nobody relies on what was never announced */
START_TEST(an_app_that_never_came_up_does_not_drain)
{
	struct probe failing = PROBE(.name = "failing", .start_code = -EIO);
	struct server server = probe_server(&failing);

	server.notifies = true;
	options.drain_delay_ms = 1000 * LONG_MS;
	app_make();
	add(&server);
	ck_assert_int_eq(app_go(), -EIO);
	app_free(&app);
}
END_TEST

/* A15: numbers that cannot be added up mean "very long" */
START_TEST(the_longest_times_do_not_overflow)
{
	options.drain_delay_ms = INT64_MAX;
	options.stop_timeout_ms = INT64_MAX;
	options.start_timeout_ms = INT64_MAX;
	options.registrar_timeout_ms = INT64_MAX;
	app_make();
	add_probe(&a);
	hook(APP_BEFORE_START, stop_hook, NULL);
	ck_assert_int_eq(app_go(), 0);
	app_free(&app);
}
END_TEST

/* ---- errors ---- */

static int fail_deregister(struct context *ctx, const struct instance *instance,
    void *arg)
{
	(void)ctx;
	(void)instance;
	(void)arg;
	return error_set(-ECONNRESET, "lost the registry");
}

static const struct registrar half_broken = {ok_register, fail_deregister, NULL,
    NULL};

static int fail_stop(struct context *ctx, void *arg)
{
	probe_stop(ctx, arg);
	return -EBUSY;
}

static void ck_assert_nth_error(size_t n, const char *origin, int code,
    const char *text)
{
	struct error err = nth_error(n);

	ck_assert_str_eq(err.origin, origin);
	ck_assert_int_eq(err.code, code);
	ck_assert_str_eq(err.text, text);
}

static void run_breaking_down(task_fn *last, int code)
{
	struct server server = probe_server(&a);

	options.registrar = &half_broken;
	options.on_event = note_event;
	app_make();
	server.stop = fail_stop;
	add(&server);
	hook(APP_AFTER_START, last, "last-up");
	hook(APP_BEFORE_STOP, fail_hook, "hook-1");
	hook(APP_BEFORE_STOP, fail_hook, "hook-2");
	hook(APP_AFTER_STOP, fail_hook, "hook-3");
	ck_assert_int_eq(app_go(), code);
}

/* A10, A11 */
START_TEST(all_errors_are_kept_in_order_with_their_origins)
{
	run_breaking_down(fail_hook, -EIO);
	ck_assert_str_eq(result.origin, "after-start hook");
	ck_assert_uint_eq(error_count(), 6);
	ck_assert_nth_error(0, "after-start hook", -EIO, strerror(EIO));
	ck_assert_nth_error(1, "before-stop hook", -EIO, strerror(EIO));
	ck_assert_nth_error(2, "before-stop hook", -EIO, strerror(EIO));
	ck_assert_nth_error(3, "registrar", -ECONNRESET, "lost the registry");
	ck_assert_nth_error(4, "a", -EBUSY, strerror(EBUSY));
	ck_assert_nth_error(5, "after-stop hook", -EIO, strerror(EIO));
	ck_assert_noted_in_order("last-up", "hook-2", "hook-1", "stop:a",
	    "hook-3");
	ck_assert_noted_in_order("error:after-start-hook", "error:registrar",
	    "failed:a", "stopped:a", "error:after-stop-hook", "state:done");
	ck_assert_int_eq(noted("error:before-stop-hook"), 2);
	app_free(&app);
}
END_TEST

/* A10, A11 */
START_TEST(with_no_error_before_the_first_one_in_stopping_is_the_result)
{
	run_breaking_down(stop_hook, -EIO);
	ck_assert_str_eq(result.origin, "before-stop hook");
	ck_assert_uint_eq(error_count(), 5);
	app_free(&app);
}
END_TEST

static int recover_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	error_set(-EIO, "of a first try");
	return 0;
}

/* A10: the words of one hook are not those of the next */
START_TEST(the_text_of_an_error_without_words_is_that_of_the_code)
{
	app_make();
	hook(APP_AFTER_START, recover_hook, NULL);
	hook(APP_AFTER_START, fail_hook, "failing");
	hook(APP_BEFORE_STOP, fail_hook, "failing");
	hook(APP_BEFORE_STOP, recover_hook, NULL);
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_uint_eq(error_count(), 2);
	ck_assert_nth_error(0, "after-start hook", -EIO, strerror(EIO));
	ck_assert_nth_error(1, "before-stop hook", -EIO, strerror(EIO));
	app_free(&app);
}
END_TEST

static int many_errors_stop(struct context *ctx, void *arg)
{
	(void)ctx;
	return error_set(-EIO, "%s", (const char *)arg);
}

/* A10 */
START_TEST(no_error_is_lost_however_many_there_are)
{
	static char names[100][16];
	bool found[100] = {false};

	app_make();
	for (int i = 0; i < 100; i++) {
		struct server server = {.name = names[i],
		    .start = stop_and_do_nothing,
		    .stop = many_errors_stop,
		    .arg = names[i]};

		snprintf(names[i], sizeof(names[i]), "%d", i);
		add(&server);
	}
	stop_when_up();
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_uint_eq(error_count(), 100);
	for (size_t i = 0; i < 100; i++) {
		struct error err = nth_error(i);

		ck_assert_str_eq(err.origin, err.text);
		found[atoi(err.origin)] = true;
	}
	for (size_t i = 0; i < 100; i++)
		ck_assert(found[i]);
	app_free(&app);
}
END_TEST

static int stop_and_be_cancelled(struct context *ctx, void *arg)
{
	(void)arg;
	app_stop(app_from_context(ctx));
	return -ECANCELED;
}

static int cancelled_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	return -ECANCELED;
}

/* A10 */
START_TEST(being_cancelled_by_the_stop_is_no_error)
{
	struct server server = {.name = "a",
	    .start = stop_and_be_cancelled,
	    .stop = cancelled_hook};

	app_make();
	add(&server);
	hook(APP_BEFORE_STOP, cancelled_hook, NULL);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

static int cancelled_with_parent(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	context_cancel(options.parent, NULL);
	return context_err(options.parent);
}

/* A10 */
START_TEST(being_cancelled_by_the_parent_is_no_error)
{
	struct server server = {.name = "a", .start = cancelled_with_parent};

	options.parent = context_with_cancel(NULL);
	app_make();
	add(&server);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
	context_free(&options.parent);
}
END_TEST

/* A10: with nobody to have cancelled it, it is an error like any other */
START_TEST(being_cancelled_by_oneself_is_an_error)
{
	struct server server = {.name = "a", .start = cancelled_hook};

	app_make();
	add(&server);
	ck_assert_int_eq(app_go(), -ECANCELED);
	ck_assert_str_eq(result.origin, "a");
	app_free(&app);
}
END_TEST

/* ---- who does not come back ---- */

static struct event released = EVENT_INIT;

static int hang(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	event_wait(&released);
	return 0;
}

static void tell_kill(void *arg)
{
	tell("kill:%s", (const char *)arg);
}

static int run_stuck_stop(void)
{
	struct server server = {.name = "hanging",
	    .start = stop_and_do_nothing,
	    .stop = hang,
	    .kill = tell_kill,
	    .arg = (void *)"hanging"};
	struct probe other = PROBE(.name = "other", .blocks = true);
	struct server second = probe_server(&other);

	options.stop_timeout_ms = 100;
	options.on_event = tell_event;
	app_make();
	add(&server);
	second.kill = tell_kill;
	add(&second);
	stop_when_up();
	app_go();
	return 0;
}

/* A9 */
START_TEST(a_stop_that_hangs_is_reported_and_ends_the_process)
{
	struct child child;
	int64_t begin_ms;

	child_start(&child, run_stuck_stop);
	child_until(&child, "state:before-stop");
	begin_ms = kit_now_ms();
	child_until(&child, "timeout:hanging");
	child_until(&child, "stuck:hanging:stuck in stop for ");
	child_until(&child, "kill:hanging");
	/* The other one has stopped: it is not to be killed. */
	ck_assert(!child_next(&child));
	ck_assert_exit(&child, 124);
	/* The deadline and 1 s, less what the line was on its way. */
	ck_assert_int_ge(kit_now_ms() - begin_ms, 500);
}
END_TEST

static int run_stuck_start(void)
{
	struct server server = {.name = "hanging",
	    .start = hang,
	    .stop = stop_and_do_nothing};

	options.stop_timeout_ms = 100;
	options.on_event = tell_event;
	app_make();
	add(&server);
	stop_when_up();
	app_go();
	return 0;
}

/* A9 */
START_TEST(a_start_that_hangs_is_reported_and_ends_the_process)
{
	struct child child;

	child_start(&child, run_stuck_start);
	child_until(&child, "stuck:hanging:stuck in start for ");
	ck_assert_exit(&child, 124);
}
END_TEST

static enum app_phase hanging_phase;

static int run_stuck_hook(void)
{
	options.stop_timeout_ms = 100;
	options.on_event = tell_event;
	app_make();
	add_probe(&a);
	hook(hanging_phase, hang, NULL);
	stop_when_up();
	app_go();
	return 0;
}

static void *stop_from_outside(void *unused)
{
	event_wait(&up);
	app_stop(app);
	return unused;
}

static int hang_after_up(struct context *ctx, void *arg)
{
	event_set(&up);
	return hang(ctx, arg);
}

static int run_stuck_on_the_way_up(void)
{
	pthread_t thread;

	options.stop_timeout_ms = 100;
	options.on_event = tell_event;
	app_make();
	add_probe(&a);
	hook(hanging_phase, hang_after_up, NULL);
	pthread_create(&thread, NULL, stop_from_outside, NULL);
	pthread_detach(thread);
	app_go();
	return 0;
}

/* A9 */
START_TEST(a_hook_that_hangs_is_reported_and_ends_the_process)
{
	static const char *const stuck[] =
	    {[APP_BEFORE_START] =
		    "stuck:before-start-hook:stuck in before-start hooks for ",
		[APP_AFTER_START] =
		    "stuck:after-start-hook:stuck in after-start hooks for ",
		[APP_BEFORE_STOP] =
		    "stuck:before-stop-hook:stuck in before-stop hooks for ",
		[APP_AFTER_STOP] =
		    "stuck:after-stop-hook:stuck in after-stop hooks for "};

	for (int i = APP_BEFORE_START; i <= APP_AFTER_STOP; i++) {
		struct child child;

		hanging_phase = (enum app_phase)i;
		child_start(&child, i < APP_BEFORE_STOP
					? run_stuck_on_the_way_up
					: run_stuck_hook);
		child_until(&child, stuck[i]);
		ck_assert_exit(&child, 124);
	}
}
END_TEST

static void release_when_stuck(const struct app_event *event, void *arg)
{
	note_event(event, arg);
	if (event->type == APP_EVENT_STUCK)
		event_set(&released);
}

static int hang_until_released(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	event_wait(&released);
	note("back");
	return 0;
}

/* A9 */
START_TEST(an_app_may_choose_to_wait_for_the_stuck)
{
	struct server server = {.name = "hanging",
	    .start = stop_and_do_nothing,
	    .stop = hang_until_released};
	int64_t begin_ms = kit_now_ms();

	options.stop_timeout_ms = 50;
	options.stuck = APP_STUCK_WAIT;
	options.on_event = release_when_stuck;
	app_make();
	add(&server);
	stop_when_up();
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_int_ge(kit_now_ms() - begin_ms, 1050);
	ck_assert_str_eq(result.origin, "hanging");
	ck_assert_ptr_nonnull(strstr(result.text, "stuck in stop for 1"));
	ck_assert_noted_in_order("timeout:hanging", "stuck:hanging", "back",
	    "stopped:hanging", "after-stop", "state:done");
	app_free(&app);
}
END_TEST

static int stop_after_stuck(struct context *ctx, void *arg)
{
	/* Until the other one has been stuck for a while. */
	event_wait(&up);
	kit_pause_ms(1500);
	return probe_stop(ctx, arg);
}

static void up_at_timeout(const struct app_event *event, void *arg)
{
	tell_event(event, arg);
	if (event->type == APP_EVENT_TIMEOUT)
		event_set(&up);
}

static int run_stuck_without_limit(void)
{
	struct server server = {.name = "hanging",
	    .start = stop_and_do_nothing,
	    .stop = hang,
	    .stop_timeout_ms = 50};
	struct server slow = probe_server(&a);

	options.stop_timeout_ms = -1;
	options.on_event = up_at_timeout;
	app_make();
	add(&server);
	slow.stop = stop_after_stuck;
	add(&slow);
	stop_when_up();
	app_go();
	return 0;
}

/* A9: those that may take for ever are waited for, and then the end comes */
START_TEST(the_stuck_are_reported_when_the_last_of_the_others_has_stopped)
{
	struct child child;

	child_start(&child, run_stuck_without_limit);
	child_until(&child, "stopped:a");
	child_until(&child, "stuck:hanging:");
	ck_assert_exit(&child, 124);
}
END_TEST

/* A9 */
START_TEST(a_before_stop_hook_that_hangs_does_not_keep_servers_from_stopping)
{
	options.stop_timeout_ms = 100;
	options.stuck = APP_STUCK_WAIT;
	options.on_event = release_when_stuck;
	app_make();
	add_probe(&a);
	stop_when_up();
	hook(APP_BEFORE_STOP, hang_until_released, NULL);
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "before-stop hook");
	ck_assert_noted_in_order("stop:a", "stopped:a", "back", "state:done");
	app_free(&app);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("app_stop");

	SUITE_ADD(suite, "what ends an app",
	    a_failing_server_stops_all_and_is_stopped_itself,
	    a_failing_before_start_hook_runs_the_whole_stop_and_no_server,
	    a_failing_after_start_hook_stops_the_servers,
	    app_stop_in_a_servers_start_ends_the_app,
	    app_stop_in_a_hook_ends_the_way_up,
	    app_stop_before_app_run_runs_nothing,
	    app_stop_from_many_threads_is_one_stop,
	    app_stop_from_a_plain_thread_ends_an_app_that_waits,
	    a_parent_that_is_plainly_cancelled_is_a_clean_end,
	    a_parents_cause_is_the_result, a_parents_deadline_is_the_result,
	    a_parent_that_is_done_before_the_run_ends_it_at_once,
	    the_background_is_a_parent_that_never_ends);
	SUITE_ADD(suite, "how servers are stopped",
	    a_server_without_a_stop_has_its_context_cancelled,
	    a_context_outlives_a_start_that_returned_until_the_stop,
	    a_server_that_ends_only_at_the_deadline_is_late,
	    a_stop_that_takes_until_its_deadline_is_late,
	    there_is_one_clock_for_the_whole_stop,
	    a_deregistration_has_no_longer_than_the_whole_stop,
	    a_deregistration_leaves_half_of_the_time_to_the_servers,
	    a_stop_has_10_s_if_the_options_do_not_say,
	    the_drain_delay_comes_before_the_stops_and_on_top_of_their_time,
	    the_drain_delay_comes_after_the_deregistration,
	    an_app_that_never_came_up_does_not_drain,
	    the_longest_times_do_not_overflow);
	SUITE_ADD(suite, "errors",
	    all_errors_are_kept_in_order_with_their_origins,
	    with_no_error_before_the_first_one_in_stopping_is_the_result,
	    the_text_of_an_error_without_words_is_that_of_the_code,
	    no_error_is_lost_however_many_there_are,
	    being_cancelled_by_the_stop_is_no_error,
	    being_cancelled_by_the_parent_is_no_error,
	    being_cancelled_by_oneself_is_an_error);
	SUITE_ADD(suite, "who does not come back",
	    a_stop_that_hangs_is_reported_and_ends_the_process,
	    a_start_that_hangs_is_reported_and_ends_the_process,
	    a_hook_that_hangs_is_reported_and_ends_the_process,
	    an_app_may_choose_to_wait_for_the_stuck,
	    the_stuck_are_reported_when_the_last_of_the_others_has_stopped,
	    a_before_stop_hook_that_hangs_does_not_keep_servers_from_stopping);
	return suite_run(suite);
}
