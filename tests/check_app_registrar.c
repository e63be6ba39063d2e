/* What a registration that fails, or hangs, means: by policy, and in time. */
#include "tests/app_thread.h"

#include "app/internal.h"

/* ---- a registrar ---- */

static struct {
	atomic_int fails; /* so many tries fail, with code */
	int code;
	atomic_bool
	    heeds; /* waits for its context in the try that is the last */
	struct event *hold; /* ... or for this, whatever its context says */
	atomic_int tries, deregisters, inside, overlaps;
	struct event entered;
	atomic_llong deadline_ms; /* of the context of the last try */
	const char *wrong;
} reg = {.entered = EVENT_INIT};

static void check_instance(struct context *ctx, const struct instance *instance)
{
	int64_t deadline_ms;

	if (strcmp(instance->name, "daemon") != 0 ||
	    strcmp(instance->metadata[0], "zone=a") != 0 ||
	    instance->metadata[1])
		reg.wrong = "instance";
	if (strcmp(instance->id, app_id(app_from_context(ctx))) != 0)
		reg.wrong = "id";
	if (context_deadline(ctx, &deadline_ms))
		reg.deadline_ms = deadline_ms;
	else
		reg.wrong = "deadline";
}

static int reg_register(struct context *ctx, const struct instance *instance,
    void *arg)
{
	int n = ++reg.tries, code = n <= reg.fails ? reg.code : 0;

	(void)arg;
	if (reg.inside++)
		reg.overlaps++;
	note("register:%d", n);
	check_instance(ctx, instance);
	if (code) {
		reg.inside--;
		return error_set(code, "the registry is down");
	}
	event_set(&reg.entered);
	if (reg.hold)
		event_wait(reg.hold);
	if (reg.heeds)
		code = context_wait(ctx, LONG_MS);
	reg.inside--;
	note("register-over");
	return code;
}

static int reg_deregister(struct context *ctx, const struct instance *instance,
    void *arg)
{
	(void)arg;
	if (reg.inside)
		reg.overlaps++;
	reg.deregisters++;
	note("deregister");
	check_instance(ctx, instance);
	return 0;
}

static const struct registrar registrar = {reg_register, reg_deregister, NULL,
    NULL};
static const char *const metadata[] = {"zone=a", NULL};
static struct probe server_a = PROBE(.name = "a", .blocks = true);

static void setup(enum registrar_policy policy)
{
	options.name = "daemon";
	options.metadata = metadata;
	options.on_event = run_event;
	options.registrar = &registrar;
	options.registrar_policy = policy;
	options.registrar_delay_ms = 1;
	options.registrar_max_delay_ms = 4;
	options.registrar_timeout_ms = LONG_MS;
	reg.code = -ECONNREFUSED;
	app_make();
	add_probe(&server_a);
	hook(APP_AFTER_START, note_hook, "up");
	hook(APP_BEFORE_STOP, note_hook, "before-stop");
}

static void ck_assert_clean_end(int deregisters)
{
	ck_assert_int_eq(run_stop(), 0);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_int_eq(reg.deregisters, deregisters);
	ck_assert_int_eq(reg.overlaps, 0);
	ck_assert_msg(!reg.wrong, "%s", reg.wrong);
	ck_assert_int_eq(noted("stop:a"), 1);
	app_free(&app);
}

/* ---- once ---- */

/* A6, A18 */
START_TEST(once_a_registration_that_fails_ends_the_app)
{
	setup(REGISTRAR_ONCE);
	reg.fails = 1;
	ck_assert_int_eq(app_go(), -ECONNREFUSED);
	ck_assert_str_eq(result.origin, "registrar");
	ck_assert_str_eq(result.text, "the registry is down");
	ck_assert_uint_eq(error_count(), 1);
	ck_assert_int_eq(noted("up") + noted("deregister"), 0);
	ck_assert_int_eq(noted("registrar-retry:registrar"), 0);
	ck_assert_noted_in_order("register:1", "before-stop", "stop:a");
	app_free(&app);
}
END_TEST

/* ---- retry ---- */

START_TEST(a_registration_is_tried_until_it_succeeds_and_then_the_app_goes_on)
{
	setup(REGISTRAR_RETRY);
	reg.fails = 5;
	run_up();
	ck_assert_int_eq(reg.tries, 6);
	ck_assert_int_eq(noted("registrar-retry:registrar"), 5);
	ck_assert_noted_in_order("register:5", "register:6",
	    "state:after-start-hooks", "up");
	ck_assert_int_eq(run_of.retried.code, -ECONNREFUSED);
	ck_assert_str_eq(run_of.retried.origin, "registrar");
	ck_assert_str_eq(run_of.retried.text, "the registry is down");
	ck_assert_clean_end(1);
	ck_assert_noted_in_order("before-stop", "deregister", "stop:a");
}
END_TEST

/* Doubled up to the greatest, less a random part of up to a quarter. */
START_TEST(the_delays_between_tries_grow_up_to_the_greatest)
{
	static const int64_t whole[] = {8, 16, 32, 40, 40};

	setup(REGISTRAR_RETRY);
	app_free(&app);
	options.registrar_delay_ms = 8;
	options.registrar_max_delay_ms = 40;
	app_make();
	add_probe(&server_a);
	reg.fails = 5;
	run_up();
	ck_assert_uint_eq(run_of.delay_count, 5);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_le(run_of.delays_ms[i], whole[i]);
		ck_assert_int_ge(run_of.delays_ms[i], whole[i] - whole[i] / 4);
	}
	ck_assert_clean_end(1);
}
END_TEST

START_TEST(a_retry_waits_for_its_delay)
{
	int64_t begin_ms = kit_now_ms();

	setup(REGISTRAR_RETRY);
	app_free(&app);
	options.registrar_delay_ms = options.registrar_max_delay_ms = 100;
	app_make();
	add_probe(&server_a);
	reg.fails = 2;
	run_up();
	ck_assert_int_ge(kit_now_ms() - begin_ms, 150);
	ck_assert_clean_end(1);
}
END_TEST

START_TEST(a_negative_delay_is_none)
{
	setup(REGISTRAR_RETRY);
	app_free(&app);
	options.registrar_delay_ms = -1;
	options.registrar_max_delay_ms = -1;
	app_make();
	add_probe(&server_a);
	reg.fails = 20;
	run_up();
	ck_assert_uint_eq(run_of.delay_count, 20);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(run_of.delays_ms[i], 0);
	ck_assert_clean_end(1);
}
END_TEST

/* A3, A18 */
START_TEST(the_start_timeout_ends_the_tries)
{
	setup(REGISTRAR_RETRY);
	app_free(&app);
	options.start_timeout_ms = 1000; /* until it is tried on any machine */
	options.registrar_delay_ms = options.registrar_max_delay_ms = LONG_MS;
	app_make();
	/* No servers, so that the time is not theirs. */
	reg.fails = 1000;
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "registrar");
	ck_assert_uint_eq(error_count(), 1);
	/* What was refused was not registered. */
	ck_assert_int_eq(reg.deregisters, 0);
	ck_assert_int_eq(noted("state:running"), 0);
	app_free(&app);
}
END_TEST

/* A3, A10, A18 */
START_TEST(the_end_of_the_time_to_start_has_the_last_error_of_the_registrar)
{
	setup(REGISTRAR_RETRY);
	app_free(&app);
	options.start_timeout_ms = 1500;
	options.registrar_delay_ms = options.registrar_max_delay_ms = LONG_MS;
	app_make();
	reg.fails = 1000;
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "registrar");
	ck_assert_str_eq(result.text, "start is not done after 1.5 s; the "
				      "last try failed: the registry is down");
	app_free(&app);
}
END_TEST

/* A18: it returns what its context says, and has no words for it. */
START_TEST(a_registrar_that_heeds_its_timeout_is_said_to_be_late)
{
	setup(REGISTRAR_ONCE);
	app_free(&app);
	options.registrar_timeout_ms = 20;
	app_make();
	reg.heeds = true;
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "registrar");
	ck_assert_ptr_nonnull(strstr(result.text, "not done after "));
	app_free(&app);
}
END_TEST

/* A6, A18: though the state changes only when the try is over. */
START_TEST(a_stop_is_told_while_a_try_is_still_on_its_way)
{
	struct event go = EVENT_INIT;

	setup(REGISTRAR_RETRY);
	reg.hold = &go;
	run_begin();
	ck_assert(event_wait(&reg.entered));
	app_stop(app);
	until("stop-begins");
	ck_assert_int_eq(noted("register-over"), 0);
	event_set(&go);
	run_join();
	ck_assert_noted_in_order("state:registering", "stop-begins",
	    "state:before-stop-hooks");
	app_free(&app);
}
END_TEST

/* A12, A18 */
START_TEST(app_stop_ends_the_wait_for_the_next_try_at_once)
{
	setup(REGISTRAR_RETRY);
	app_free(&app);
	options.registrar_delay_ms = options.registrar_max_delay_ms = LONG_MS;
	app_make();
	add_probe(&server_a);
	reg.fails = 1000;
	run_begin();
	until("registrar-retry:registrar");
	ck_assert_int_eq(app_state(app), APP_STATE_REGISTERING);
	ck_assert_clean_end(0);
	ck_assert_int_eq(reg.tries, 1);
}
END_TEST

/* A18: nobody knows whether it was registered. */
START_TEST(app_stop_ends_a_try_and_it_is_deregistered)
{
	setup(REGISTRAR_RETRY);
	reg.heeds = true;
	reg.fails = 2;
	run_begin();
	ck_assert(event_wait(&reg.entered));
	ck_assert_clean_end(1);
	ck_assert_noted_in_order("register-over", "before-stop", "deregister",
	    "stop:a");
	ck_assert_int_eq(noted("up"), 0);
}
END_TEST

/* A18: it is late, and is waited for. */
START_TEST(a_try_that_hangs_and_comes_back_is_the_one)
{
	struct event go = EVENT_INIT;

	setup(REGISTRAR_RETRY);
	app_free(&app);
	options.registrar_timeout_ms = 20;
	app_make();
	add_probe(&server_a);
	reg.hold = &go;
	run_begin();
	until("timeout:registrar");
	ck_assert_int_eq(app_state(app), APP_STATE_REGISTERING);
	event_set(&go);
	until("state:running");
	ck_assert_int_eq(reg.tries, 1);
	ck_assert_clean_end(1);
}
END_TEST

/* A18 */
START_TEST(a_try_that_hangs_does_not_keep_the_app_from_stopping)
{
	struct event go = EVENT_INIT;

	setup(REGISTRAR_RETRY);
	app_free(&app);
	options.registrar_timeout_ms = 20;
	app_make();
	add_probe(&server_a);
	reg.hold = &go;
	run_begin();
	until("timeout:registrar");
	app_stop(app);
	/* All else has stopped before it comes back. */
	until("state:after-stop-hooks");
	ck_assert_int_eq(reg.deregisters, 1);
	ck_assert_int_eq(noted("register-over"), 0);
	ck_assert_int_eq(noted("stop:a"), 1);
	event_set(&go);
	ck_assert_int_eq(run_join(), 0);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

/* A18: a try that ignores its context has what the stop has. */
START_TEST(a_stop_waits_for_a_try_that_hangs_no_longer_than_its_timeout)
{
	struct event go = EVENT_INIT;
	int64_t begin_ms;

	setup(REGISTRAR_RETRY);
	app_free(&app);
	options.stop_timeout_ms = 100;
	app_make();
	add_probe(&server_a);
	reg.hold = &go;
	run_begin();
	ck_assert(event_wait(&reg.entered));
	begin_ms = kit_now_ms();
	app_stop(app);
	until("stop:a");
	ck_assert_int_lt(kit_now_ms() - begin_ms, LONG_MS / 2);
	event_set(&go);
	run_join();
	ck_assert_int_eq(reg.deregisters, 1);
	app_free(&app);
}
END_TEST

static int no_endpoint(void *arg, char *url, size_t size)
{
	int *questions = arg;

	(void)url;
	(void)size;
	return (*questions)++ ? error_set(-EADDRINUSE, "port 80 is taken")
			      : -EAGAIN;
}

static int start_nothing(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	return 0;
}

/* A17 */
START_TEST(an_endpoint_that_fails_is_not_tried_again)
{
	int questions = 0;
	struct server server = {.name = "b",
	    .start = start_nothing,
	    .endpoint = no_endpoint,
	    .arg = &questions};

	setup(REGISTRAR_RETRY);
	add(&server);
	ck_assert_int_eq(app_go(), -EADDRINUSE);
	ck_assert_str_eq(result.origin, "b");
	ck_assert_int_eq(reg.tries, 0);
	ck_assert_int_eq(noted("registrar-retry:registrar"), 0);
	app_free(&app);
}
END_TEST

/* ---- beside ---- */

START_TEST(beside_the_app_runs_and_is_registered_when_that_succeeds)
{
	setup(REGISTRAR_RETRY_BESIDE);
	reg.fails = 10;
	run_up();
	ck_assert(app_ready(app));
	until("register-over");
	ck_assert_int_eq(reg.tries, 11);
	ck_assert_noted_in_order("register:1", "state:after-start-hooks");
	ck_assert_clean_end(1);
}
END_TEST

/* A18: the start timeout is for what the app waits for. */
START_TEST(a_try_has_the_registrars_timeout_and_beside_no_other)
{
	enum registrar_policy policy = (enum registrar_policy)_i;
	int64_t begin_ms = kit_now_ms();

	setup(policy);
	app_free(&app);
	options.start_timeout_ms = LONG_MS / 2;
	app_make();
	add_probe(&server_a);
	reg.fails = 2;
	run_up();
	until("register-over");
	if (policy == REGISTRAR_RETRY_BESIDE)
		ck_assert_int_ge(reg.deadline_ms, begin_ms + LONG_MS);
	else
		ck_assert_int_lt(reg.deadline_ms, begin_ms + LONG_MS);
	ck_assert_clean_end(1);
}
END_TEST

START_TEST(beside_the_first_try_comes_before_the_after_start_hooks)
{
	setup(REGISTRAR_RETRY_BESIDE);
	run_up();
	ck_assert_clean_end(1);
	ck_assert_noted_in_order("register:1", "register-over",
	    "state:after-start-hooks", "up");
	ck_assert_int_eq(reg.tries, 1);
}
END_TEST

START_TEST(beside_a_stop_ends_the_wait_for_the_next_try)
{
	setup(REGISTRAR_RETRY_BESIDE);
	app_free(&app);
	options.registrar_delay_ms = options.registrar_max_delay_ms = LONG_MS;
	app_make();
	add_probe(&server_a);
	reg.fails = 1000;
	run_up();
	ck_assert_clean_end(0);
	ck_assert_int_eq(reg.tries, 1);
}
END_TEST

static struct event stop_go = EVENT_INIT;

static int slow_stop(struct context *ctx, void *arg)
{
	probe_stop(ctx, arg);
	event_wait(&stop_go);
	return 0;
}

/* A18: not even when the next one is due while servers take time to stop. */
START_TEST(beside_no_try_begins_in_a_stop)
{
	struct server server = probe_server(&server_a);
	int tries;

	setup(REGISTRAR_RETRY_BESIDE);
	app_free(&app);
	options.registrar_delay_ms = options.registrar_max_delay_ms = 50;
	app_make();
	server.stop = slow_stop;
	add(&server);
	reg.fails = 1000;
	run_up();
	app_stop(app);
	until("stop:a");
	tries = reg.tries;
	kit_pause_ms(120);
	ck_assert_int_eq(reg.tries, tries);
	event_set(&stop_go);
	ck_assert_clean_end(0);
}
END_TEST

START_TEST(beside_a_stop_ends_a_try_before_it_deregisters)
{
	setup(REGISTRAR_RETRY_BESIDE);
	reg.fails = 3;
	reg.heeds = true;
	run_up();
	ck_assert(event_wait(&reg.entered));
	ck_assert_clean_end(1);
	ck_assert_noted_in_order("register-over", "deregister", "stop:a");
}
END_TEST

/* A18: the registration that is late is the one that is taken back. */
START_TEST(beside_deregistration_waits_for_a_try_that_ignores_the_stop)
{
	struct event go = EVENT_INIT;

	setup(REGISTRAR_RETRY_BESIDE);
	reg.fails = 1;
	reg.hold = &go;
	run_up();
	ck_assert(event_wait(&reg.entered));
	app_stop(app);
	until("before-stop");
	ck_assert_int_eq(reg.deregisters, 0);
	ck_assert_int_eq(noted("state:deregistering"), 0);
	event_set(&go);
	ck_assert_int_eq(run_join(), 0);
	ck_assert_noted_in_order("before-stop", "register-over", "deregister");
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

/* A18 */
START_TEST(beside_the_app_goes_on_though_the_first_try_hangs)
{
	struct event go = EVENT_INIT;

	setup(REGISTRAR_RETRY_BESIDE);
	app_free(&app);
	options.registrar_timeout_ms = 20;
	app_make();
	add_probe(&server_a);
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	reg.hold = &go;
	run_up();
	ck_assert_int_eq(noted("timeout:registrar"), 1);
	app_stop(app);
	until("after-stop");
	ck_assert_int_eq(noted("register-over"), 0);
	ck_assert_int_eq(reg.deregisters, 1);
	event_set(&go);
	ck_assert_int_eq(run_join(), 0);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

/* It comes back with an error, and is tried again. */
START_TEST(beside_a_try_that_comes_back_late_is_tried_again)
{
	setup(REGISTRAR_RETRY_BESIDE);
	app_free(&app);
	options.registrar_timeout_ms = 20;
	app_make();
	add_probe(&server_a);
	reg.heeds = true;
	run_up();
	until_times("registrar-retry:registrar", 2);
	reg.heeds = false;
	until_times("register-over", 3);
	/* It was cut off, so it may have been registered. */
	ck_assert_clean_end(1);
	ck_assert_int_eq(run_of.retried.code, -ETIMEDOUT);
}
END_TEST

static int hang(struct context *ctx, const struct instance *instance, void *arg)
{
	static struct event never = EVENT_INIT;

	(void)ctx;
	(void)instance;
	(void)arg;
	tell("hangs");
	event_wait(&never);
	return 0;
}

static char whose[] = "registrar";

static void tell_kill(void *arg)
{
	tell("kill:%s", (const char *)arg);
}

static enum registrar_policy hanging_policy;

static int run_hanging(void)
{
	const struct registrar hanging = {.register_instance = hang,
	    .arg = whose,
	    .kill = tell_kill};

	options.on_event = tell_event;
	options.registrar = &hanging;
	options.registrar_policy = hanging_policy;
	options.registrar_timeout_ms = 20;
	options.stop_timeout_ms = 100;
	options.start_timeout_ms =
	    hanging_policy == REGISTRAR_RETRY ? 100 : LONG_MS;
	app_make();
	stop_when_up();
	app_go();
	return 0;
}

/* A9, A18: one that never comes back is named, and the process ends. */
START_TEST(a_registrar_that_never_returns_makes_the_end_stuck)
{
	struct child child;

	hanging_policy = (enum registrar_policy)_i;
	child_start(&child, run_hanging);
	child_until(&child, "hangs");
	child_until(&child, "state:after-stop-hooks");
	child_until(&child, "stuck:registrar:stuck in registering for ");
	child_until(&child, "kill:registrar");
	ck_assert_exit(&child, 124);
}
END_TEST

static struct event stuck_go = EVENT_INIT;
static atomic_llong stuck_at_ms;

static void go_when_stuck(const struct app_event *event, void *arg)
{
	run_event(event, arg);
	if (event->type == APP_EVENT_STUCK) {
		stuck_at_ms = kit_now_ms();
		event_set(&stuck_go);
	}
}

/* A9, A18: however long it has hung by then, it has a grace from the stop on. */
START_TEST(beside_a_try_that_hangs_is_not_stuck_right_after_the_request_to_stop)
{
	int64_t asked_ms;

	setup(REGISTRAR_RETRY_BESIDE);
	app_free(&app);
	options.registrar_timeout_ms = 20;
	options.stuck = APP_STUCK_WAIT;
	options.on_event = go_when_stuck;
	app_make();
	add_probe(&server_a);
	reg.hold = &stuck_go;
	run_up();
	until("timeout:registrar");
	kit_pause_ms(1100); /* its own grace is over */
	asked_ms = kit_now_ms();
	run_stop();
	ck_assert_int_eq(noted("stuck:registrar"), 1);
	ck_assert_int_ge(stuck_at_ms - asked_ms, 1000);
	app_free(&app);
}
END_TEST

static int return_at_once(struct context *ctx, const struct instance *instance,
    void *arg)
{
	(void)ctx;
	(void)instance;
	(void)arg;
	return 0;
}

static int hang_in_hook(struct context *ctx, void *arg)
{
	return hang(ctx, NULL, arg);
}

static bool hangs_in_hook;

static int run_until_forced(void)
{
	const struct registrar killable = {.register_instance = return_at_once,
	    .deregister_instance = hangs_in_hook ? return_at_once : hang,
	    .arg = whose,
	    .kill = tell_kill};

	options.on_event = tell_event;
	options.registrar = &killable;
	app_make();
	if (hangs_in_hook)
		hook(APP_AFTER_STOP, hang_in_hook, NULL);
	app_go();
	return 0;
}

static void force(struct child *child)
{
	child_start(child, run_until_forced);
	child_until(child, "state:running");
	kill(child->pid, SIGTERM);
	child_until(child, "hangs");
	kill(child->pid, SIGINT);
	child_until(child, "forced:2");
}

/* A8 */
START_TEST(what_a_registrar_has_started_is_killed_by_a_second_signal)
{
	struct child child;

	force(&child);
	child_until(&child, "kill:registrar");
	ck_assert_exit(&child, 128 + SIGINT);
}
END_TEST

START_TEST(a_registrar_that_does_not_run_is_not_killed)
{
	struct child child;

	hangs_in_hook = true;
	force(&child);
	ck_assert_exit(&child, 128 + SIGINT);
}
END_TEST

static int count_reload(struct context *ctx, struct app_reload *reload,
    void *arg)
{
	static const char *const names[] = {"x", "y", "z"};
	struct server server = {.start = start_nothing};
	int *count = arg, ret = 0;

	(void)ctx;
	for (int i = 0; i < 3 && !ret; i++) {
		server.name = names[i];
		ret = *count % 2 ? app_reload_remove(reload, names[i])
				 : app_reload_add(reload, &server);
	}
	(*count)++;
	return ret;
}

/* A reload changes the servers while the registrar is tried beside it. */
START_TEST(beside_the_app_is_reloaded_while_it_is_tried)
{
	int count = 0, n = scale(100);

	setup(REGISTRAR_RETRY_BESIDE);
	app_free(&app);
	options.registrar_delay_ms = -1;
	options.reload = count_reload;
	options.reload_arg = &count;
	options.on_event = note_event;
	app_make();
	add_probe(&server_a);
	reg.fails = 1000000;
	run_begin();
	until("register:20");
	for (int i = 0; i < n; i++) {
		pthread_mutex_lock(&journal.lock);
		journal.text[0] = '\0';
		pthread_mutex_unlock(&journal.lock);
		app_reload(app);
		until("reloaded");
	}
	ck_assert_int_eq(run_stop(), 0);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_int_eq(count, n);
	app_free(&app);
}
END_TEST

/* ---- two apps, and faults ---- */

static int other_register(struct context *ctx, const struct instance *instance,
    void *arg)
{
	(void)ctx;
	(void)arg;
	note("other:%s", instance->name);
	return 0;
}

static const struct registrar other_registrar = {other_register, NULL, NULL,
    NULL};

/* The second has its own registrar, and is up while the first one waits. */
START_TEST(a_second_app_does_not_wait_for_the_registrar_of_the_first)
{
	struct app_options second = {.name = "second",
	    .registrar = &other_registrar,
	    .registrar_policy = REGISTRAR_RETRY};
	struct app *other;

	setup(REGISTRAR_RETRY);
	reg.fails = 1000000;
	run_begin();
	until("registrar-retry:registrar");
	other = app_new(&second);
	ck_assert_ptr_nonnull(other);
	ck_assert_int_eq(app_add_hook(other, APP_AFTER_START, stop_hook, NULL),
	    0);
	ck_assert_int_eq(app_run(other, NULL), 0);
	app_free(&other);
	ck_assert_int_eq(noted("other:second"), 1);
	ck_assert_int_eq(noted("state:after-start-hooks"), 0);
	ck_assert_clean_end(0);
}
END_TEST

/* A retry for which there is no memory is one that has failed. */
START_TEST(memory_that_runs_out_in_a_retry_is_no_error_of_the_app)
{
	int n = 0, failed;

	do {
		setup(REGISTRAR_RETRY_BESIDE);
		reg.fails = 1000000;
		reg.tries = 0;
		server_a = (struct probe)PROBE(.name = "a", .blocks = true);
		pthread_mutex_lock(&journal.lock);
		journal.text[0] = '\0';
		pthread_mutex_unlock(&journal.lock);
		run_up();
		fault_nth(FAULT_MEMORY, ++n);
		until("register:7");
		reg.fails = 0;
		until("register-over");
		failed = fault_failed(FAULT_MEMORY);
		fault_none();
		ck_assert_int_eq(run_stop(), 0);
		ck_assert_uint_eq(error_count(), 0);
		app_free(&app);
	} while (failed && n < 15);
	ck_assert_int_gt(n, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("app_registrar");
	TCase *policies, *stuck;

	SUITE_ADD(suite, "once", once_a_registration_that_fails_ends_the_app,
	    a_registrar_that_heeds_its_timeout_is_said_to_be_late);
	SUITE_ADD(suite, "retry",
	    a_registration_is_tried_until_it_succeeds_and_then_the_app_goes_on,
	    the_delays_between_tries_grow_up_to_the_greatest,
	    a_retry_waits_for_its_delay, a_negative_delay_is_none,
	    the_start_timeout_ends_the_tries,
	    the_end_of_the_time_to_start_has_the_last_error_of_the_registrar,
	    a_stop_is_told_while_a_try_is_still_on_its_way,
	    app_stop_ends_the_wait_for_the_next_try_at_once,
	    app_stop_ends_a_try_and_it_is_deregistered,
	    a_try_that_hangs_and_comes_back_is_the_one,
	    a_try_that_hangs_does_not_keep_the_app_from_stopping,
	    a_stop_waits_for_a_try_that_hangs_no_longer_than_its_timeout,
	    an_endpoint_that_fails_is_not_tried_again);
	SUITE_ADD(suite, "beside",
	    beside_the_app_runs_and_is_registered_when_that_succeeds,
	    beside_the_first_try_comes_before_the_after_start_hooks,
	    beside_a_stop_ends_the_wait_for_the_next_try,
	    beside_no_try_begins_in_a_stop,
	    beside_a_stop_ends_a_try_before_it_deregisters,
	    beside_deregistration_waits_for_a_try_that_ignores_the_stop,
	    beside_the_app_goes_on_though_the_first_try_hangs,
	    beside_a_try_that_comes_back_late_is_tried_again,
	    beside_a_try_that_hangs_is_not_stuck_right_after_the_request_to_stop,
	    beside_the_app_is_reloaded_while_it_is_tried);
	policies = suite_case(suite, "policies");
	tcase_add_checked_fixture(policies, suite_setup, suite_teardown);
	tcase_add_loop_test(policies,
	    a_try_has_the_registrars_timeout_and_beside_no_other,
	    REGISTRAR_RETRY, REGISTRAR_RETRY_BESIDE + 1);
	stuck = suite_case(suite, "stuck");
	tcase_add_checked_fixture(stuck, suite_setup, suite_teardown);
	tcase_add_loop_test(stuck,
	    a_registrar_that_never_returns_makes_the_end_stuck, 0, 3);
	SUITE_ADD(suite, "forced",
	    what_a_registrar_has_started_is_killed_by_a_second_signal,
	    a_registrar_that_does_not_run_is_not_killed);
	SUITE_ADD(suite, "two apps",
	    a_second_app_does_not_wait_for_the_registrar_of_the_first);
	SUITE_ADD(suite, "faults",
	    memory_that_runs_out_in_a_retry_is_no_error_of_the_app);
	return suite_run(suite);
}
