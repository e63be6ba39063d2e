/* An app on its way up: what it copies, in what order it starts, who it is. */
#include <sys/resource.h>

#include "tests/app_kit.h"

/* ---- building ---- */

/* A17, A20 */
START_TEST(an_app_copies_its_options)
{
	char id[] = "id", name[] = "name", version[] = "1";
	char pair[] = "key=value", url[] = "http://there";
	const char *metadata[] = {pair, NULL}, *endpoints[] = {url, NULL};
	int signals[] = {SIGUSR1, 0};
	struct registrar registrar = {0};
	const struct instance *instance;

	options.id = id;
	options.name = name;
	options.version = version;
	options.metadata = metadata;
	options.endpoints = endpoints;
	options.signals = signals;
	options.registrar = &registrar;
	app_make();
	id[0] = name[0] = version[0] = pair[0] = url[0] = '?';
	metadata[0] = endpoints[0] = NULL;
	signals[0] = 0;
	options.id = NULL;
	ck_assert_str_eq(app_id(app), "id");
	ck_assert_str_eq(app_name(app), "name");
	ck_assert_str_eq(app_version(app), "1");
	instance = app_instance(app);
	ck_assert_str_eq(instance->metadata[0], "key=value");
	ck_assert_ptr_null(instance->metadata[1]);
	ck_assert_str_eq(instance->endpoints[0], "http://there");
	ck_assert_ptr_null(instance->endpoints[1]);
	app_free(&app);
	ck_assert_ptr_null(app);
	app_free(&app);
}
END_TEST

/* A20 */
START_TEST(a_server_is_copied_with_its_name)
{
	struct probe probe = PROBE(.name = "first", .blocks = true);
	struct server server = probe_server(&probe);
	char name[] = "name";

	options.on_event = note_event;
	app_make();
	server.name = name;
	add(&server);
	name[0] = '?';
	memset(&server, 0, sizeof(server));
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:first", "stop:first");
	ck_assert_int_eq(noted("starting:name"), 1);
	app_free(&app);
}
END_TEST

/* A20 */
START_TEST(a_name_that_is_taken_or_too_long_is_refused)
{
	struct probe probe = PROBE(.name = "a");
	struct server server = probe_server(&probe);
	char name[40];

	app_make();
	add(&server);
	ck_assert_int_eq(app_add_server(app, &server), -EEXIST);
	ck_assert_ptr_nonnull(strstr(error_of(-EEXIST).text, "a"));
	memset(name, 'n', sizeof(name));
	name[32] = '\0';
	server.name = name;
	ck_assert_int_eq(app_add_server(app, &server), -ENAMETOOLONG);
	ck_assert_ptr_nonnull(strstr(error_of(-ENAMETOOLONG).text, "nnn"));
	name[31] = '\0';
	add(&server);
	app_free(&app);
}
END_TEST

START_TEST(a_server_without_a_name_or_a_start_is_refused)
{
	struct server server = {.start = probe_start};

	app_make();
	ck_assert_int_eq(app_add_server(app, &server), -EINVAL);
	server.name = "";
	ck_assert_int_eq(app_add_server(app, &server), -EINVAL);
	server = (struct server){.name = "a"};
	ck_assert_int_eq(app_add_server(app, &server), -EINVAL);
	app_free(&app);
}
END_TEST

static void ck_assert_server_refused(const struct server *server,
    const char *words)
{
	ck_assert_int_eq(app_add_server(app, server), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error_of(-EINVAL).text, words));
}

/* A20 */
START_TEST(a_server_with_a_choice_or_a_name_that_cannot_be_is_refused)
{
	struct probe probe = PROBE(.name = "a");
	struct server server = probe_server(&probe);

	app_make();
	server.restart.when = (enum server_restart_when)7;
	ck_assert_server_refused(&server, "server a: 7 is no restart.when");
	server = probe_server(&probe);
	server.restart.scope = (enum server_restart_scope) - 1;
	ck_assert_server_refused(&server, "server a: -1 is no restart.scope");
	server = probe_server(&probe);
	server.on_return = (enum server_return)2;
	ck_assert_server_refused(&server, "server a: 2 is no on_return");
	server = probe_server(&probe);
	server.name = "a\nb";
	ck_assert_server_refused(&server, "control character");
	server.name = "a b";
	add(&server);
	app_free(&app);
}
END_TEST

static void ck_assert_options_refused(const char *words)
{
	errno = 0;
	ck_assert_ptr_null(app_new(&options));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_str_eq(error_of(-EINVAL).text, words);
}

static void ck_assert_signal_refused(int signal, const char *words)
{
	int list[] = {SIGTERM, signal, 0};

	options.signals = list;
	ck_assert_options_refused(words);
	options.signals = NULL;
}

/* A8 */
START_TEST(signals_that_cannot_be_taken_are_refused)
{
	ck_assert_signal_refused(99, "99 is no signal");
	ck_assert_signal_refused(-1, "-1 is no signal");
	ck_assert_signal_refused(SIGSEGV, "signal 11 cannot stop the app");
	ck_assert_signal_refused(SIGKILL, "signal 9 cannot stop the app");
	options.reload_signal = SIGSTOP;
	ck_assert_options_refused("signal 19 cannot reload the app");
	options.reload_signal = 0;
	options.report_signal = -5;
	ck_assert_options_refused("-5 is no signal");
}
END_TEST

/* A8: by the default list, too */
START_TEST(a_signal_for_two_things_is_refused)
{
	options.reload_signal = SIGTERM;
	ck_assert_options_refused("signal 15 is to reload the app and to do "
				  "something else: which is it?");
	options.reload_signal = options.report_signal = SIGHUP;
	ck_assert_options_refused("signal 1 is to ask for a report and to do "
				  "something else: which is it?");
	options.report_signal = SIGUSR1;
	app_make();
	app_free(&app);
}
END_TEST

START_TEST(an_option_that_is_no_choice_is_refused)
{
	options.registrar_policy = (enum registrar_policy)3;
	ck_assert_options_refused("3 is no registrar_policy");
	options.registrar_policy = REGISTRAR_ONCE;
	options.stuck = (enum app_stuck) - 1;
	ck_assert_options_refused("-1 is no choice for the stuck");
}
END_TEST

START_TEST(a_hook_without_a_function_or_a_phase_is_refused)
{
	app_make();
	ck_assert_int_eq(app_add_hook(app, APP_BEFORE_START, NULL, NULL),
	    -EINVAL);
	ck_assert_int_eq(app_add_hook(app, (enum app_phase)7, stop_hook, NULL),
	    -EINVAL);
	app_free(&app);
}
END_TEST

/* A12 */
START_TEST(an_app_runs_once_and_nothing_is_added_after)
{
	struct probe probe = PROBE(.name = "a");
	struct server server = probe_server(&probe);

	app_make();
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(app_go(), -EALREADY);
	ck_assert_str_eq(result.origin, "app");
	ck_assert_int_eq(app_add_server(app, &server), -EALREADY);
	ck_assert_int_eq(app_add_hook(app, APP_AFTER_STOP, stop_hook, NULL),
	    -EALREADY);
	ck_assert_int_eq(app_run(app, NULL), -EALREADY);
	app_free(&app);
}
END_TEST

/* ---- order ---- */

/* A1 */
START_TEST(hooks_run_in_order_going_up_and_in_reverse_going_down)
{
	app_make();
	hook(APP_BEFORE_START, note_hook, "a1");
	hook(APP_BEFORE_START, note_hook, "a2");
	hook(APP_AFTER_START, note_hook, "b1");
	hook(APP_AFTER_START, note_hook, "b2");
	hook(APP_BEFORE_STOP, note_hook, "c1");
	hook(APP_BEFORE_STOP, note_hook, "c2");
	hook(APP_AFTER_STOP, note_hook, "d1");
	hook(APP_AFTER_STOP, note_hook, "d2");
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_journal("a1 a2 b1 b2 c2 c1 d2 d1");
	app_free(&app);
}
END_TEST

static pthread_t thread_of_run;

static int off_thread_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	note(pthread_equal(pthread_self(), thread_of_run) ? "same" : "other");
	return 0;
}

/* A1 */
START_TEST(hooks_run_on_another_thread_than_app_run)
{
	thread_of_run = pthread_self();
	app_make();
	for (int i = APP_BEFORE_START; i <= APP_AFTER_STOP; i++)
		hook((enum app_phase)i, off_thread_hook, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_journal("other other other other");
	app_free(&app);
}
END_TEST

static int note_register(struct context *ctx, const struct instance *instance,
    void *arg)
{
	(void)ctx;
	(void)instance;
	(void)arg;
	note("register");
	return 0;
}

static int note_deregister(struct context *ctx, const struct instance *instance,
    void *arg)
{
	(void)ctx;
	(void)instance;
	(void)arg;
	note("deregister");
	return 0;
}

static const struct registrar note_registrar = {note_register, note_deregister,
    NULL, NULL};

/* A6, A19: kratos' order */
START_TEST(an_app_goes_up_and_down_in_the_order_of_kratos)
{
	struct probe a = PROBE(.name = "a", .blocks = true);

	options.registrar = &note_registrar;
	app_make();
	add_probe(&a);
	hook(APP_BEFORE_START, note_hook, "before-start");
	hook(APP_AFTER_START, note_hook, "after-start");
	hook(APP_BEFORE_STOP, note_hook, "before-stop");
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("before-start", "start:a", "stop:a", "end:a",
	    "after-stop");
	ck_assert_noted_in_order("before-start", "register", "after-start",
	    "before-stop", "deregister", "stop:a", "after-stop");
	app_free(&app);
}
END_TEST

static void note_event_on_thread(const struct app_event *event, void *arg)
{
	if (!pthread_equal(pthread_self(), thread_of_run))
		note("elsewhere");
	if (event->time.tv_sec == 0 || event->took_ms < 0)
		note("no-time");
	note_event(event, arg);
}

static bool has_returned(void *unused)
{
	(void)unused;
	return noted("returned:a") > 0;
}

/* Its start may have ended, and the loop not know yet. */
static int stop_when_returned(struct context *ctx, void *arg)
{
	event_poll(has_returned, NULL);
	return stop_hook(ctx, arg);
}

START_TEST(events_tell_each_transition_in_order)
{
	struct probe a = PROBE(.name = "a");

	thread_of_run = pthread_self();
	options.on_event = note_event_on_thread;
	app_make();
	add_probe(&a);
	hook(APP_AFTER_START, stop_when_returned, NULL);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("elsewhere"), 0);
	ck_assert_int_eq(noted("no-time"), 0);
	ck_assert_noted_in_order("state:preparing", "state:before-start-hooks",
	    "state:starting", "starting:a", "ready:a", "state:registering",
	    "state:after-start-hooks", "state:before-stop-hooks",
	    "state:deregistering", "state:draining", "state:stopping",
	    "stopping:a", "stopped:a", "state:after-stop-hooks", "state:done");
	ck_assert_noted_in_order("starting:a", "ready:a", "returned:a",
	    "stopping:a");
	app_free(&app);
}
END_TEST

/* ---- start ---- */

/* A2 */
START_TEST(a_start_that_returns_0_does_not_end_the_app)
{
	struct probe a = PROBE(.name = "a"),
		     b = PROBE(.name = "b", .blocks = true);

	options.on_event = note_event;
	app_make();
	add_probe(&a);
	add_probe(&b);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a", "end:a", "state:stopping",
	    "stop:a");
	ck_assert_noted_in_order("start:b", "stop:b", "end:b");
	app_free(&app);
}
END_TEST

static struct event up = EVENT_INIT;

static int up_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	note("up");
	event_set(&up);
	return 0;
}

/* A2: with nothing that serves it is as up as with what does */
START_TEST(an_app_whose_servers_have_all_returned_0_goes_on_until_its_stop)
{
	struct probe probes[] = {PROBE(.name = "a"), PROBE(.name = "b")};

	options.on_event = note_event;
	app_make();
	for (int i = 0; i < 2; i++) {
		struct server server = probe_server(&probes[i]);

		server.notifies = true; /* so that up is after its return */
		add(&server);
	}
	hook(APP_AFTER_START, up_hook, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("returned:a", "up", "stopping:a");
	ck_assert_noted_in_order("returned:b", "up", "stopping:b");
	app_free(&app);
}
END_TEST

/* Waits for what is not to come, to give it the chance. */
static int notify_late(struct context *ctx, void *arg)
{
	struct probe *probe = arg;

	for (int i = 0; i < 100 && !event_is_set(&up); i++)
		kit_pause_ms(1);
	note("notify:%s", probe->name);
	if (server_ready(ctx) || server_ready(ctx))
		note("refused");
	return probe_start(ctx, arg);
}

/* A3 */
START_TEST(after_start_hooks_and_registration_wait_for_all_to_be_ready)
{
	struct probe a = PROBE(.name = "a", .blocks = true),
		     b = PROBE(.name = "b", .blocks = true),
		     c = PROBE(.name = "c");
	struct server server = probe_server(&b);

	options.on_event = note_event;
	options.registrar = &note_registrar;
	app_make();
	add_probe(&a);
	server.start = notify_late;
	server.notifies = true;
	add(&server);
	add_probe(&c);
	hook(APP_AFTER_START, up_hook, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("notify:b", "ready:b", "register", "up");
	ck_assert_noted_in_order("ready:a", "register");
	ck_assert_noted_in_order("ready:c", "register");
	ck_assert_int_eq(noted("refused"), 0);
	app_free(&app);
}
END_TEST

/* A3 */
START_TEST(a_server_that_notifies_is_ready_when_its_start_returns_0)
{
	struct probe a = PROBE(.name = "a");
	struct server server = probe_server(&a);

	options.on_event = note_event;
	app_make();
	server.notifies = true;
	add(&server);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a", "end:a", "ready:a", "stop:a");
	app_free(&app);
}
END_TEST

/* A3 */
START_TEST(a_start_timeout_names_the_servers_that_are_not_ready)
{
	struct probe a = PROBE(.name = "a", .blocks = true),
		     b = PROBE(.name = "quick", .blocks = true),
		     c = PROBE(.name = "c", .blocks = true);
	struct server server;
	int64_t begin_ms = kit_now_ms();

	options.start_timeout_ms = 50;
	app_make();
	server = probe_server(&a);
	server.notifies = true;
	add(&server);
	add_probe(&b);
	server = probe_server(&c);
	server.notifies = true;
	add(&server);
	hook(APP_AFTER_START, note_hook, "up");
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_int_ge(kit_now_ms() - begin_ms, 50);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_ptr_nonnull(strstr(result.text, "not ready after"));
	/* On a machine that slow, the quick one may be late as well. */
	ck_assert_ptr_nonnull(strstr(result.text, ": a,"));
	ck_assert_ptr_nonnull(strstr(result.text, ", c"));
	ck_assert_int_eq(noted("up"), 0);
	ck_assert_int_eq(noted("stop:a"), noted("start:a"));
	ck_assert_int_eq(noted("stop:c"), noted("start:c"));
	app_free(&app);
}
END_TEST

/* A3: those that are not ready, and none of those that are */
START_TEST(a_start_timeout_does_not_name_a_server_that_is_ready)
{
	static const char *const quick_names[] = {"quick", NULL};
	int64_t timeout_ms = 25;

	/* With more and more time, until the quick one was ready within it. */
	do {
		struct probe quick = PROBE(.name = "quick", .blocks = true),
			     slow = PROBE(.name = "slow", .blocks = true);
		struct server server = probe_server(&slow);

		ck_assert_int_lt(timeout_ms, LONG_MS);
		options.start_timeout_ms = timeout_ms *= 2;
		app_make();
		add_probe(&quick);
		server.notifies = true;
		server.after = quick_names;
		add(&server);
		ck_assert_int_eq(app_go(), -ETIMEDOUT);
		app_free(&app);
	} while (!noted("start:slow"));
	ck_assert_str_eq(result.origin, "slow");
	ck_assert_str_eq(strrchr(result.text, ':'), ": slow");
}
END_TEST

/* A3 */
START_TEST(a_server_has_a_start_timeout_of_its_own)
{
	struct probe a = PROBE(.name = "a", .blocks = true);
	struct server server = probe_server(&a);

	app_make();
	server.notifies = true;
	server.start_timeout_ms = 30;
	add(&server);
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_ptr_nonnull(strstr(result.text, "not ready after"));
	ck_assert_uint_eq(error_count(), 1);
	app_free(&app);
}
END_TEST

static int wait_hook(struct context *ctx, void *arg)
{
	(void)arg;
	context_wait(ctx, LONG_MS);
	return 0;
}

/* A3, A6: the hook takes the time-out for its own business; the app does not */
START_TEST(before_start_hooks_that_use_up_the_start_timeout_are_an_error)
{
	struct probe a = PROBE(.name = "a");

	options.start_timeout_ms = 30;
	app_make();
	add_probe(&a);
	hook(APP_BEFORE_START, wait_hook, NULL);
	hook(APP_BEFORE_START, note_hook, "second");
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "before-start hook");
	ck_assert_journal("after-stop");
	app_free(&app);
}
END_TEST

static struct probe meeting[2] = {PROBE(.name = "a"), PROBE(.name = "b")};

/* Returns once the other one has come here, too. */
static int meet(struct context *ctx, void *arg)
{
	struct probe *mine = arg, *other = &meeting[mine == &meeting[0]];

	(void)ctx;
	event_set(&mine->started);
	return event_wait(&other->started) ? 0 : -ETIMEDOUT;
}

static int meet_again(struct context *ctx, void *arg)
{
	struct probe *mine = arg, *other = &meeting[mine == &meeting[0]];

	(void)ctx;
	event_set(&mine->quit);
	return event_wait(&other->quit) ? 0 : -ETIMEDOUT;
}

/* A15 */
START_TEST(servers_start_and_stop_in_parallel)
{
	app_make();
	for (int i = 0; i < 2; i++) {
		struct server server = {.name = meeting[i].name,
		    .start = meet,
		    .stop = meet_again,
		    .notifies = true,
		    .arg = &meeting[i]};

		add(&server);
	}
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	app_free(&app);
}
END_TEST

static const char value_key;

static int look_around(struct context *ctx, void *arg)
{
	const char *value = context_value(ctx, &value_key);

	(void)arg;
	note("%s:%s:%s", server_name(ctx) ? server_name(ctx) : "-",
	    app_name(app_from_context(ctx)), value ? value : "-");
	return 0;
}

/* A5, A17 */
START_TEST(servers_and_hooks_see_their_app_and_the_values_of_the_parent)
{
	struct context *parent =
	    context_with_value(NULL, &value_key, (void *)"value");
	struct server server = {.name = "a",
	    .start = look_around,
	    .stop = look_around};

	options.parent = parent;
	options.name = "app";
	app_make();
	add(&server);
	hook(APP_BEFORE_START, look_around, NULL);
	hook(APP_AFTER_STOP, look_around, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_journal("-:app:value a:app:value a:app:value -:app:value");
	ck_assert_ptr_null(app_from_context(parent));
	ck_assert_ptr_null(server_name(parent));
	ck_assert_int_eq(server_ready(parent), -EINVAL);
	app_free(&app);
	context_free(&parent);
}
END_TEST

static int count_threads_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	*(int *)arg = suite_count("/proc/self/task");
	return 0;
}

/*
 * A2, A13: neither a server that is up nor its stopper holds a thread. Where one
 * thread runs at a time, the others look asleep, and the pool makes more.
 */
START_TEST(a_thousand_servers_that_return_need_few_threads)
{
	enum { SERVERS = 1000 };
	static struct probe probes[SERVERS];
	static char names[SERVERS][16];
	int threads = 0;

	app_make();
	for (int i = 0; i < SERVERS; i++) {
		snprintf(names[i], sizeof(names[i]), "%d", i);
		probes[i] = (struct probe)PROBE(.name = names[i]);
		add_probe(&probes[i]);
	}
	hook(APP_AFTER_START, count_threads_hook, &threads);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_gt(threads, 0);
	ck_assert_int_le(threads, is_emulated() ? SERVERS / 4 : 32);
	for (int i = 0; i < SERVERS; i++) {
		ck_assert_int_eq(probes[i].started.count, 1);
		ck_assert_int_eq(probes[i].quit.count, 1);
	}
	app_free(&app);
}
END_TEST

/* ---- the instance ---- */

/* A17 */
START_TEST(the_id_is_a_random_uuid)
{
	char first[64];

	app_make();
	ck_assert_uint_eq(strlen(app_id(app)), 36);
	for (size_t i = 0; i < 36; i++) {
		char c = app_id(app)[i];

		if (i == 8 || i == 13 || i == 18 || i == 23)
			ck_assert_int_eq(c, '-');
		else
			ck_assert_ptr_nonnull(strchr("0123456789abcdef", c));
	}
	ck_assert_int_eq(app_id(app)[14], '4');
	ck_assert_ptr_nonnull(strchr("89ab", app_id(app)[19]));
	ck_assert_str_eq(app_name(app), "");
	ck_assert_str_eq(app_version(app), "");
	ck_assert_ptr_null(app_instance(app)->metadata[0]);
	ck_assert_ptr_null(app_instance(app)->endpoints[0]);
	strcpy(first, app_id(app));
	app_free(&app);
	app = app_new(NULL);
	ck_assert_ptr_nonnull(app);
	ck_assert_str_ne(app_id(app), first);
	app_free(&app);
}
END_TEST

/* An endpoint that is known after so many questions. */
static int endpoint(void *arg, char *url, size_t size)
{
	int *questions = arg;

	note("asked");
	if ((*questions)-- > 0)
		return -EAGAIN;
	snprintf(url, size, "tcp://127.0.0.1:7");
	return 0;
}

static void note_endpoints(const struct app *of)
{
	const struct instance *instance = app_instance(of);

	for (int i = 0; instance->endpoints[i]; i++)
		note("%s", instance->endpoints[i]);
	note("of-it");
}

static int endpoints_task(struct context *ctx, void *arg)
{
	(void)arg;
	note_endpoints(app_from_context(ctx));
	return 0;
}

/* A17 */
START_TEST(endpoints_are_known_before_anything_runs)
{
	int questions = 0;
	struct server server = {.name = "a",
	    .start = endpoints_task,
	    .endpoint = endpoint,
	    .arg = &questions};

	app_make();
	add(&server);
	hook(APP_BEFORE_START, endpoints_task, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_journal(
	    "asked tcp://127.0.0.1:7 of-it tcp://127.0.0.1:7 of-it");
	note_endpoints(app);
	app_free(&app);
}
END_TEST

/* What is asked again is asked when all are ready: not before this has looked. */
static int endpoints_then_ready(struct context *ctx, void *arg)
{
	(void)arg;
	note_endpoints(app_from_context(ctx));
	return server_ready(ctx);
}

static int endpoints_register(struct context *ctx,
    const struct instance *instance, void *arg)
{
	(void)ctx;
	(void)arg;
	note("register:%s", instance->endpoints[0]);
	return 0;
}

/* A17 */
START_TEST(a_late_endpoint_is_asked_again_and_registered)
{
	const struct registrar registrar = {endpoints_register, NULL, NULL,
	    NULL};
	int questions = 1;
	struct server server = {.name = "a",
	    .start = endpoints_then_ready,
	    .notifies = true,
	    .endpoint = endpoint,
	    .arg = &questions};

	options.registrar = &registrar;
	app_make();
	add(&server);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_journal("asked of-it asked register:tcp://127.0.0.1:7");
	app_free(&app);
}
END_TEST

static int read_instance(struct context *ctx, void *arg)
{
	*(const struct instance **)arg = app_instance(app_from_context(ctx));
	return 0;
}

/* A17: what becomes known later is in another one, whenever this was read */
START_TEST(an_instance_that_was_read_never_changes)
{
	const struct registrar registrar = {endpoints_register, NULL, NULL,
	    NULL};
	int questions = 1;
	struct server server = {.name = "a",
	    .start = endpoints_task,
	    .endpoint = endpoint,
	    .arg = &questions};
	const struct instance *first, *second = NULL;

	options.registrar = &registrar;
	options.name = "app";
	app_make();
	first = app_instance(app);
	add(&server);
	hook(APP_BEFORE_START, read_instance, &second);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_str_eq(app_instance(app)->endpoints[0], "tcp://127.0.0.1:7");
	ck_assert_ptr_null(first->endpoints[0]);
	ck_assert_ptr_null(second->endpoints[0]);
	ck_assert_str_eq(first->name, "app");
	app_free(&app);
}
END_TEST

/* A17 */
START_TEST(endpoints_of_the_options_replace_those_of_the_servers)
{
	const char *const endpoints[] = {"tcp://outside", NULL};
	int questions = 0;
	struct server server = {.name = "a",
	    .start = endpoints_task,
	    .endpoint = endpoint,
	    .arg = &questions};

	options.endpoints = endpoints;
	app_make();
	add(&server);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_journal("asked tcp://outside of-it");
	app_free(&app);
}
END_TEST

static int no_endpoint(void *arg, char *url, size_t size)
{
	(void)arg;
	(void)url;
	(void)size;
	return error_set(-EADDRINUSE, "port 80 is taken");
}

/* A6, A17 */
START_TEST(a_failing_endpoint_ends_the_app_before_anything_starts)
{
	struct probe a = PROBE(.name = "a");
	struct server server = probe_server(&a);

	options.registrar = &note_registrar;
	app_make();
	server.endpoint = no_endpoint;
	add(&server);
	hook(APP_BEFORE_START, note_hook, "before-start");
	hook(APP_BEFORE_STOP, note_hook, "before-stop");
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	ck_assert_int_eq(app_go(), -EADDRINUSE);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_str_eq(result.text, "port 80 is taken");
	ck_assert_journal("before-stop after-stop");
	app_free(&app);
}
END_TEST

/* ---- the registrar ---- */

static int count_register(struct context *ctx, const struct instance *instance,
    void *arg)
{
	int *count = arg;

	note(context_deadline(ctx, NULL) ? "register:deadline" : "register");
	note("%s", instance->metadata[0]);
	(*count)++;
	return 0;
}

static int count_deregister(struct context *ctx,
    const struct instance *instance, void *arg)
{
	int *count = arg;

	note(
	    context_deadline(ctx, NULL) ? "deregister:deadline" : "deregister");
	note("%s", instance->metadata[0]);
	(*count)++;
	return 0;
}

/* A17, A18 */
START_TEST(a_registrar_gets_the_instance_and_a_deadline)
{
	const char *const metadata[] = {"zone=a", NULL};
	int count = 0;
	const struct registrar registrar = {count_register, count_deregister,
	    &count, NULL};

	options.registrar = &registrar;
	options.metadata = metadata;
	app_make();
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(count, 2);
	ck_assert_journal(
	    "register:deadline zone=a deregister:deadline zone=a");
	app_free(&app);
}
END_TEST

static int fail_register(struct context *ctx, const struct instance *instance,
    void *arg)
{
	(void)ctx;
	(void)instance;
	(void)arg;
	return error_set(-ECONNREFUSED, "the registry is down");
}

/* A6, A18 */
START_TEST(a_failing_registrar_stops_the_app)
{
	const struct registrar registrar = {fail_register, note_deregister,
	    NULL, NULL};
	struct probe a = PROBE(.name = "a", .blocks = true);

	options.registrar = &registrar;
	app_make();
	add_probe(&a);
	hook(APP_AFTER_START, note_hook, "up");
	hook(APP_BEFORE_STOP, note_hook, "before-stop");
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	ck_assert_int_eq(app_go(), -ECONNREFUSED);
	ck_assert_str_eq(result.origin, "registrar");
	ck_assert_str_eq(result.text, "the registry is down");
	/* What was not registered is not deregistered either. */
	ck_assert_int_eq(noted("deregister"), 0);
	ck_assert_int_eq(noted("up"), 0);
	ck_assert_noted_in_order("before-stop", "stop:a", "after-stop");
	app_free(&app);
}
END_TEST

static int patient_register(struct context *ctx,
    const struct instance *instance, void *arg)
{
	(void)instance;
	(void)arg;
	return context_wait(ctx, LONG_MS);
}

/* A18 */
START_TEST(a_registrar_that_heeds_its_timeout_is_one_error_and_undone)
{
	const struct registrar registrar = {patient_register, note_deregister,
	    NULL, NULL};
	int64_t begin_ms = kit_now_ms();

	options.registrar = &registrar;
	options.registrar_timeout_ms = 50;
	app_make();
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_int_ge(kit_now_ms() - begin_ms, 50);
	ck_assert_str_eq(result.origin, "registrar");
	ck_assert_journal("deregister");
	app_free(&app);
}
END_TEST

static struct event released = EVENT_INIT;

static int hang_register(struct context *ctx, const struct instance *instance,
    void *arg)
{
	(void)ctx;
	(void)instance;
	(void)arg;
	event_wait(&released);
	note("back");
	return 0;
}

static int release_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	note("release");
	event_set(&released);
	return 0;
}

/* A18 */
START_TEST(a_registrar_that_hangs_is_left_behind)
{
	const struct registrar registrar = {hang_register, note_deregister,
	    NULL, NULL};
	struct probe a = PROBE(.name = "a", .blocks = true);

	options.registrar = &registrar;
	options.registrar_timeout_ms = 50;
	options.on_event = note_event;
	app_make();
	add_probe(&a);
	hook(APP_AFTER_STOP, release_hook, NULL);
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "registrar");
	ck_assert_noted_in_order("deregister", "stop:a", "release", "back",
	    "state:done");
	app_free(&app);
}
END_TEST

/* A18 */
START_TEST(a_deregistration_that_hangs_does_not_keep_the_app_from_stopping)
{
	const struct registrar registrar = {note_register, hang_register, NULL,
	    NULL};
	struct probe a = PROBE(.name = "a", .blocks = true);

	options.registrar = &registrar;
	options.registrar_timeout_ms = 50;
	app_make();
	add_probe(&a);
	stop_when_up();
	hook(APP_AFTER_STOP, release_hook, NULL);
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "registrar");
	ck_assert_noted_in_order("register", "stop:a", "release", "back");
	app_free(&app);
}
END_TEST

/* ---- watches ---- */

struct pipe_server {
	int ends[2];
	int answer; /* of the watch function when it has read */
	const char *name;
};

static void pipe_open(struct pipe_server *server)
{
	ck_assert_int_eq(pipe2(server->ends, O_CLOEXEC), 0);
}

static int pipe_ready(int fd, void *arg)
{
	struct pipe_server *server = arg;
	char c = 0;

	if (read(fd, &c, 1) != 1)
		c = '?';
	note("%s:%c:%s", server->name, c,
	    pthread_equal(pthread_self(), thread_of_run) ? "same" : "other");
	if (c == 'q')
		return server->answer < 0
			   ? error_set(server->answer, "%s broke", server->name)
			   : server->answer;
	return SERVER_WATCH_ON;
}

static int pipe_start(struct context *ctx, void *arg)
{
	struct pipe_server *server = arg;

	note("start:%s", server->name);
	return server_watch(ctx, server->ends[0], pipe_ready, server);
}

static int pipe_write(struct pipe_server *server, const char *text)
{
	return write(server->ends[1], text, strlen(text)) < 0 ? -errno : 0;
}

static int pipe_stop(struct context *ctx, void *arg)
{
	(void)ctx;
	note("stop");
	return pipe_write(arg, "q");
}

static int write_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	return pipe_write(arg, "ab");
}

static int quit_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	return pipe_write(arg, "q");
}

START_TEST(a_server_of_watches_serves_without_a_thread)
{
	struct pipe_server a = {.name = "a"};
	struct server server = {.name = "a",
	    .start = pipe_start,
	    .stop = pipe_stop,
	    .arg = &a};

	thread_of_run = pthread_self();
	pipe_open(&a);
	options.on_event = note_event;
	app_make();
	add(&server);
	hook(APP_AFTER_START, write_hook, &a);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a", "a:a:same", "a:b:same", "a:q:same",
	    "stopped:a", "state:done");
	ck_assert_noted_in_order("ready:a", "stop", "a:q:same");
	/* The app has closed it. */
	ck_assert_int_eq(fcntl(a.ends[0], F_GETFD), -1);
	close(a.ends[1]);
	app_free(&app);
}
END_TEST

/* A6, A13 */
START_TEST(a_watch_that_fails_ends_the_app)
{
	struct pipe_server a = {.name = "a", .answer = -EIO};
	struct server server = {.name = "a",
	    .start = pipe_start,
	    .stop = pipe_stop,
	    .arg = &a};

	pipe_open(&a);
	app_make();
	add(&server);
	hook(APP_AFTER_START, quit_hook, &a);
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_str_eq(result.text, "a broke");
	ck_assert_int_eq(noted("stop"), 1);
	close(a.ends[1]);
	app_free(&app);
}
END_TEST

/* A2 */
START_TEST(a_server_whose_last_watch_goes_off_is_up)
{
	struct pipe_server a = {.name = "a", .answer = SERVER_WATCH_OFF};
	struct server server = {.name = "a",
	    .start = pipe_start,
	    .stop = stop_hook,
	    .arg = &a};
	struct probe b = PROBE(.name = "b", .blocks = true);

	pipe_open(&a);
	options.on_event = note_event;
	app_make();
	add(&server);
	add_probe(&b);
	hook(APP_AFTER_START, quit_hook, &a);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("failed:a"), 0);
	ck_assert_noted_in_order("start:a", "stopping:a", "stopped:a");
	close(a.ends[1]);
	app_free(&app);
}
END_TEST

struct two_pipes {
	struct pipe_server failing, other;
	struct event went_off;
};

static int other_ready(int fd, void *arg)
{
	struct two_pipes *two = arg;
	char c;

	note("other");
	if (read(fd, &c, 1) < 0)
		note("read");
	event_set(&two->went_off);
	return SERVER_WATCH_OFF;
}

static int failing_ready(int fd, void *arg)
{
	struct two_pipes *two = arg;

	(void)fd;
	event_set(&two->went_off);
	return error_set(-EIO, "broke");
}

/* Both watches are called before start returns. */
static int two_pipes_start(struct context *ctx, void *arg)
{
	struct two_pipes *two = arg;
	int ret = server_watch(ctx, two->other.ends[0], other_ready, two);

	if (!ret)
		ret =
		    server_watch(ctx, two->failing.ends[0], failing_ready, two);
	event_wait(&two->went_off);
	pipe_write(&two->other, "x");
	/* Gives the second one the chance that it is not to have. */
	for (int i = 0; i < 100 && !noted("other"); i++)
		kit_pause_ms(1);
	return ret;
}

/* A10: an end before start has returned is not undone by another watch */
START_TEST(the_first_watch_that_ends_a_server_ends_it)
{
	struct two_pipes two = {.failing = {.name = "f", .answer = -EIO},
	    .other = {.name = "o"},
	    .went_off = EVENT_INIT};
	struct probe b = PROBE(.name = "b", .blocks = true);
	struct server server = {.name = "a",
	    .start = two_pipes_start,
	    .arg = &two};

	pipe_open(&two.failing);
	pipe_open(&two.other);
	pipe_write(&two.failing, "x");
	/* What is to be dropped must not break the writer. */
	signal(SIGPIPE, SIG_IGN);
	app_make();
	add(&server);
	add_probe(&b);
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_int_eq(noted("other"), 0);
	ck_assert_int_eq(fcntl(two.other.ends[0], F_GETFD), -1);
	close(two.failing.ends[1]);
	close(two.other.ends[1]);
	app_free(&app);
}
END_TEST

static int pipe_start_in_vain(struct context *ctx, void *arg)
{
	int ret = pipe_start(ctx, arg);

	return ret ? ret : -EIO;
}

/* Dropped in the loop's last round, too. */
START_TEST(a_start_that_fails_drops_its_watches)
{
	struct pipe_server pipes = {.name = "a"};
	struct server server = {.name = "a",
	    .start = pipe_start_in_vain,
	    .arg = &pipes};

	pipe_open(&pipes);
	app_make();
	add(&server);
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_int_eq(fcntl(pipes.ends[0], F_GETFD), -1);
	close(pipes.ends[1]);
	app_free(&app);
}
END_TEST

START_TEST(a_watch_outside_of_a_server_is_refused)
{
	ck_assert_int_eq(server_watch(context_background(), 0, pipe_ready,
			     NULL),
	    -EINVAL);
}
END_TEST

/* ---- two apps ---- */

static void *run_other(void *arg)
{
	struct error err;
	struct app *other = arg;

	return app_run(other, &err) ? arg : NULL;
}

static int stop_other_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	app_stop(arg);
	return 0;
}

START_TEST(two_apps_run_in_one_process)
{
	struct probe a = PROBE(.name = "a", .blocks = true),
		     b = PROBE(.name = "b", .blocks = true);
	struct server server = probe_server(&b);
	struct app *other;
	pthread_t thread;
	void *outcome;

	app_make();
	other = app_new(&options);
	ck_assert_ptr_nonnull(other);
	add_probe(&a);
	ck_assert_int_eq(app_add_server(other, &server), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_other, other), 0);
	ck_assert(event_wait(&b.started));
	stop_when_up();
	hook(APP_AFTER_STOP, stop_other_hook, other);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(pthread_join(thread, &outcome), 0);
	ck_assert_ptr_null(outcome);
	ck_assert_noted_in_order("stop:a", "stop:b");
	app_free(&app);
	app_free(&other);
}
END_TEST

/* ---- what can be refused ---- */

/* An app with one of each; what it may fail with is code. */
static int run_all_sorts(int code)
{
	struct probe a = PROBE(.name = "a", .blocks = true),
		     b = PROBE(.name = "b");
	struct server servers[] = {probe_server(&a), probe_server(&b)};
	struct context *parent = context_with_cancel(NULL);
	int ret = parent ? 0 : code;

	journal.text[0] = '\0';
	options.parent = parent;
	options.registrar = &note_registrar;
	app = ret ? NULL : app_new(&options);
	if (!app)
		ret = -ENOMEM;
	for (int i = 0; i < 2 && !ret; i++)
		ret = app_add_server(app, &servers[i]);
	if (!ret)
		ret = app_add_hook(app, APP_BEFORE_START, note_hook,
		    (void *)"before-start");
	if (!ret)
		ret = app_add_hook(app, APP_AFTER_START, stop_hook, NULL);
	if (!ret)
		ret = app_add_hook(app, APP_BEFORE_STOP, note_hook,
		    (void *)"before-stop");
	if (!ret)
		ret = app_add_hook(app, APP_AFTER_STOP, note_hook,
		    (void *)"after-stop");
	if (!ret)
		ret = app_run(app, &result);
	app_free(&app);
	context_free(&parent);
	/* Whatever failed: all that was started was stopped, hooks ran. */
	if (noted("start:a") != noted("stop:a") ||
	    noted("start:b") != noted("stop:b"))
		return 1;
	if (noted("before-start") && !noted("after-stop"))
		return 2;
	return ret == 0 || ret == code ? 0 : 3;
}

/* No memory at the nth question: nothing half done, whatever n is. */
START_TEST(memory_that_runs_out_anywhere_is_an_error)
{
	int n = 0;

	do {
		fault_nth(FAULT_MEMORY, ++n);
		ck_assert_msg(run_all_sorts(-ENOMEM) == 0, "call %d: %d: %s", n,
		    run_all_sorts(-ENOMEM), journal.text);
	} while (fault_failed(FAULT_MEMORY));
	ck_assert_int_gt(n, 10);
}
END_TEST

static int failing_thread;

static int run_without_a_thread(void)
{
	int ret;

	fault_nth(FAULT_THREAD, failing_thread);
	ret = run_all_sorts(-EAGAIN);
	if (ret)
		tell("%d:%s", ret, journal.text);
	return ret ? ret : fault_failed(FAULT_THREAD) ? 0 : 10;
}

/* No thread at the nth question, in a process that has none yet. */
START_TEST(a_thread_that_cannot_be_made_is_an_error)
{
	int status = 0;

	for (failing_thread = 1; status == 0; failing_thread++) {
		struct child child;

		child_start(&child, run_without_a_thread);
		status = child_end(&child);
		ck_assert_msg(WIFEXITED(status) &&
				  (WEXITSTATUS(status) == 0 ||
				      WEXITSTATUS(status) == 10),
		    "thread %d: %#x: %s", failing_thread, (unsigned)status,
		    child.line);
	}
	ck_assert_int_gt(failing_thread, 2);
}
END_TEST

static int run_without_threads(void)
{
	int ret;

	fault_from(FAULT_THREAD, failing_thread);
	ret = run_all_sorts(-EAGAIN);
	return ret ? ret : fault_failed(FAULT_THREAD) ? 0 : 10;
}

static int run_servers_without_threads(void)
{
	static struct probe probes[] = {PROBE(.name = "a", .blocks = true),
	    PROBE(.name = "b", .blocks = true), PROBE(.name = "c")};
	int ret;

	fault_from(FAULT_THREAD, failing_thread);
	app_make();
	for (int i = 0; i < 3; i++)
		add_probe(&probes[i]);
	stop_when_up();
	ret = app_run(app, &result);
	app_free(&app);
	if (ret != 0 && ret != -EAGAIN)
		return 1;
	return fault_failed(FAULT_THREAD) ? 0 : 10;
}

static void run_out_of_threads(int (*body)(void))
{
	int status = 0;

	for (failing_thread = 1; status == 0; failing_thread++) {
		struct child child;

		child_start(&child, body);
		status = child_end(&child);
		ck_assert_msg(WIFEXITED(status) &&
				  (WEXITSTATUS(status) == 0 ||
				      WEXITSTATUS(status) == 10),
		    "from thread %d: %#x", failing_thread, (unsigned)status);
	}
	ck_assert_int_gt(failing_thread, 3);
}

/* No threads from the nth on: the stop finds one in any case. */
START_TEST(an_app_that_gets_no_more_threads_stops_in_good_order)
{
	run_out_of_threads(run_without_threads);
	run_out_of_threads(run_servers_without_threads);
}
END_TEST

/* The lowest limit with which app_run gets all its descriptors ends it. */
START_TEST(descriptors_that_run_out_are_an_error)
{
	struct rlimit before, few;
	int code = -EMFILE, failures = 0;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	for (int more = 0; code; more++) {
		struct context *parent = context_with_cancel(NULL);

		options.parent = parent;
		app_make();
		hook(APP_BEFORE_START, note_hook, "ran");
		stop_when_up();
		few.rlim_cur = (rlim_t)more;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
		code = app_run(app, &result);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (code) {
			ck_assert_int_eq(code, -EMFILE);
			ck_assert_str_eq(result.origin, "app");
			ck_assert_journal("");
			failures++;
		}
		app_free(&app);
		context_free(&parent);
	}
	ck_assert_int_gt(failures, 0);
	ck_assert_journal("ran");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("app");

	SUITE_ADD(suite, "building", an_app_copies_its_options,
	    a_server_is_copied_with_its_name,
	    a_name_that_is_taken_or_too_long_is_refused,
	    a_server_without_a_name_or_a_start_is_refused,
	    a_server_with_a_choice_or_a_name_that_cannot_be_is_refused,
	    signals_that_cannot_be_taken_are_refused,
	    a_signal_for_two_things_is_refused,
	    an_option_that_is_no_choice_is_refused,
	    a_hook_without_a_function_or_a_phase_is_refused,
	    an_app_runs_once_and_nothing_is_added_after);
	SUITE_ADD(suite, "order",
	    hooks_run_in_order_going_up_and_in_reverse_going_down,
	    hooks_run_on_another_thread_than_app_run,
	    an_app_goes_up_and_down_in_the_order_of_kratos,
	    events_tell_each_transition_in_order);
	SUITE_ADD(suite, "start", a_start_that_returns_0_does_not_end_the_app,
	    an_app_whose_servers_have_all_returned_0_goes_on_until_its_stop,
	    after_start_hooks_and_registration_wait_for_all_to_be_ready,
	    a_server_that_notifies_is_ready_when_its_start_returns_0,
	    a_start_timeout_names_the_servers_that_are_not_ready,
	    a_start_timeout_does_not_name_a_server_that_is_ready,
	    a_server_has_a_start_timeout_of_its_own,
	    before_start_hooks_that_use_up_the_start_timeout_are_an_error,
	    servers_start_and_stop_in_parallel,
	    servers_and_hooks_see_their_app_and_the_values_of_the_parent,
	    a_thousand_servers_that_return_need_few_threads);
	SUITE_ADD(suite, "instance", the_id_is_a_random_uuid,
	    endpoints_are_known_before_anything_runs,
	    a_late_endpoint_is_asked_again_and_registered,
	    an_instance_that_was_read_never_changes,
	    endpoints_of_the_options_replace_those_of_the_servers,
	    a_failing_endpoint_ends_the_app_before_anything_starts);
	SUITE_ADD(suite, "registrar",
	    a_registrar_gets_the_instance_and_a_deadline,
	    a_failing_registrar_stops_the_app,
	    a_registrar_that_heeds_its_timeout_is_one_error_and_undone,
	    a_registrar_that_hangs_is_left_behind,
	    a_deregistration_that_hangs_does_not_keep_the_app_from_stopping);
	SUITE_ADD(suite, "watches", a_server_of_watches_serves_without_a_thread,
	    a_watch_that_fails_ends_the_app,
	    a_server_whose_last_watch_goes_off_is_up,
	    the_first_watch_that_ends_a_server_ends_it,
	    a_start_that_fails_drops_its_watches,
	    a_watch_outside_of_a_server_is_refused);
	SUITE_ADD(suite, "two apps", two_apps_run_in_one_process);
	SUITE_ADD(suite, "faults", memory_that_runs_out_anywhere_is_an_error,
	    a_thread_that_cannot_be_made_is_an_error,
	    an_app_that_gets_no_more_threads_stops_in_good_order,
	    descriptors_that_run_out_are_an_error);
	return suite_run(suite);
}
