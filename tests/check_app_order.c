/*
 * What comes after what: dependencies on the way up and down, one-shots,
 * servers that are done without, and the time that all of a stop has.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/app_kit.h"

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void add_after(const struct server *server, const char *const *after,
    const char *const *wants)
{
	struct server copy = *server;

	copy.after = after;
	copy.wants = wants;
	add(&copy);
}

/*
 * A start that just runs may run on before it has written anything: here they
 * are ready when they have.
 */
static int start_and_tell(struct context *ctx, void *arg)
{
	struct probe *probe = arg;

	note("start:%s", probe->name);
	event_set(&probe->started);
	server_ready(ctx);
	if (probe->blocks)
		event_wait(&probe->quit);
	note("end:%s", probe->name);
	return 0;
}

static struct server ordered_server(struct probe *probe)
{
	struct server server = probe_server(probe);

	server.start = start_and_tell;
	server.notifies = true;
	return server;
}

static void add_ordered(struct probe *probe)
{
	struct server server = ordered_server(probe);

	add(&server);
}

static void add_ordered_after(struct probe *probe, const char *const *after)
{
	struct server server = ordered_server(probe);

	add_after(&server, after, NULL);
}

static struct server_status status_of(const char *name)
{
	struct server_status status = {.state = SERVER_LOST};

	if (server_state(app, name, &status))
		memset(&status, 0xff, sizeof(status));
	return status;
}

/*
 * Looks for a while whether it leaves that state, which nothing must make it
 * do. Nobody waits for anything by this.
 */
static bool stays(const char *name, enum server_state state)
{
	for (int i = 0; i < 25; i++) {
		if (status_of(name).state != state)
			return false;
		kit_pause_ms(2);
	}
	return true;
}

static int return_0(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	return 0;
}

/* What a test that waits for what never comes ends with. */
static void limit_patience(void)
{
	options.parent =
	    context_with_timeout(NULL, 15000 * (int64_t)scale_slowdown());
	ck_assert_ptr_nonnull(options.parent);
}

static void free_all(void)
{
	app_free(&app);
	context_free(&options.parent);
}

static struct probe a = PROBE(.name = "a", .blocks = true);
static struct probe b = PROBE(.name = "b", .blocks = true);
static struct probe c = PROBE(.name = "c", .blocks = true);
static struct probe d = PROBE(.name = "d", .blocks = true);

/* ---- start and stop ---- */

/* Two that meet, on the way up and on the way down. */
static struct event up_met = EVENT_INIT, down_met = EVENT_INIT;

static int meet_in_start(struct context *ctx, void *arg)
{
	event_set(&up_met);
	if (!event_wait_count(&up_met, 2))
		return -EDEADLK;
	return start_and_tell(ctx, arg);
}

static int meet_in_stop(struct context *ctx, void *arg)
{
	event_set(&down_met);
	if (!event_wait_count(&down_met, 2))
		return -EDEADLK;
	return probe_stop(ctx, arg);
}

/* A14, A15 */
START_TEST(a_diamond_starts_in_order_and_stops_in_reverse_its_middle_at_once)
{
	struct server left = ordered_server(&b), right = ordered_server(&c);

	left.start = right.start = meet_in_start;
	left.stop = right.stop = meet_in_stop;
	app_make();
	/* Not in the order in which they are to start. */
	add_ordered_after(&d, NAMES("b", "c"));
	add_after(&right, NAMES("a"), NULL);
	add_ordered(&a);
	add_after(&left, NAMES("a"), NULL);
	hook(APP_BEFORE_START, note_hook, "before-start");
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("before-start", "start:a", "start:b",
	    "start:d", "stop:d", "stop:b", "stop:a", "end:a");
	ck_assert_noted_in_order("start:a", "start:c", "start:d", "end:d",
	    "stop:c", "stop:a");
	ck_assert_noted_in_order("end:d", "stop:b", "stop:a");
	ck_assert_noted_in_order("end:b", "stop:a");
	ck_assert_noted_in_order("end:c", "stop:a");
	app_free(&app);
}
END_TEST

/* A14: both stand still until they are looked at side by side. */
START_TEST(what_does_not_depend_does_not_wait)
{
	struct server one = ordered_server(&a), two = ordered_server(&b);

	one.start = two.start = meet_in_start;
	one.stop = two.stop = meet_in_stop;
	app_make();
	add(&one);
	add(&two);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	app_free(&app);
}
END_TEST

static int late_ready(struct context *ctx, void *arg)
{
	note(stays("b", SERVER_WAITING) ? "waited" : "early");
	note("ready");
	server_ready(ctx);
	return start_and_tell(ctx, arg);
}

/* A3, A14 */
START_TEST(what_comes_after_one_that_notifies_waits_until_it_is_ready)
{
	struct server server = ordered_server(&a);

	server.start = late_ready;
	server.notifies = true;
	app_make();
	add_ordered_after(&b, NAMES("a"));
	add(&server);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("waited", "ready", "start:b", "stop:b",
	    "end:b", "stop:a");
	app_free(&app);
}
END_TEST

static int oneshot_start(struct context *ctx, void *arg)
{
	note("start:%s", (const char *)arg);
	/* It is ready when it is done, and not before. */
	server_ready(ctx);
	note(stays("b", SERVER_WAITING) ? "waited" : "early");
	note("done:%s", (const char *)arg);
	return 0;
}

static int note_stop(struct context *ctx, void *arg)
{
	(void)ctx;
	note("stop:%s", (const char *)arg);
	return 0;
}

static struct server oneshot(const char *name, task_fn *start)
{
	return (struct server){.name = name,
	    .start = start,
	    .stop = note_stop,
	    .oneshot = true,
	    .arg = (void *)name};
}

/* A3, A13, A14 */
START_TEST(what_comes_after_a_one_shot_waits_until_it_has_returned_0)
{
	struct server server = oneshot("a", oneshot_start);

	options.on_event = note_event;
	app_make();
	add_ordered_after(&b, NAMES("a"));
	add(&server);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a", "waited", "done:a", "ready:a",
	    "start:b", "end:b", "stop:a", "stopped:a", "state:done");
	ck_assert_noted_in_order("ready:a", "returned:a", "state:registering");
	app_free(&app);
}
END_TEST

static int fail_oneshot(struct context *ctx, void *arg)
{
	oneshot_start(ctx, arg);
	return error_set(-EIO, "nothing to migrate");
}

/* A6, A13, A14 */
START_TEST(a_one_shot_that_fails_ends_the_app_before_what_comes_after_it)
{
	struct server server = oneshot("a", fail_oneshot);

	options.on_event = note_event;
	app_make();
	add(&server);
	add_ordered_after(&b, NAMES("a"));
	add_ordered_after(&c, NAMES("b"));
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_str_eq(result.text, "nothing to migrate");
	ck_assert_uint_eq(error_count(), 1);
	ck_assert_noted_in_order("start:a", "waited", "done:a", "stop:a");
	ck_assert_int_eq(noted("ready:a"), 0);
	for (const char *const *word = NAMES("start:b", "stop:b", "starting:b",
		 "stopping:b", "start:c", "stop:c");
	     *word; word++)
		ck_assert_int_eq(noted(*word), 0);
	app_free(&app);
}
END_TEST

static int note_oneshot(struct context *ctx, void *arg)
{
	(void)ctx;
	note("done:%s", (const char *)arg);
	return 0;
}

/* A2 */
START_TEST(one_shots_in_a_row_run_one_after_the_other)
{
	struct server first = oneshot("1", note_oneshot);
	struct server second = oneshot("2", note_oneshot);
	struct server third = oneshot("3", note_oneshot);

	app_make();
	add_after(&third, NAMES("2"), NULL);
	add_after(&second, NAMES("1"), NULL);
	add(&first);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_journal("done:1 done:2 done:3 stop:3 stop:2 stop:1");
	app_free(&app);
}
END_TEST

static struct event late = EVENT_INIT, late_began = EVENT_INIT;

/* Its stop does not end it. */
static int late_start(struct context *ctx, void *arg)
{
	(void)ctx;
	note("start:%s", (const char *)arg);
	event_set(&late_began);
	if (!event_wait(&late))
		return -EDEADLK;
	note("late:%s", (const char *)arg);
	return 0;
}

/* Its start was called, but the thread may not have come so far. */
static int stop_begun(struct context *ctx, void *arg)
{
	event_wait(&late_began);
	return note_stop(ctx, arg);
}

static int let_late_return(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	note(stays("a", SERVER_READY) ? "waited" : "early");
	event_set(&late);
	return 0;
}

/* A14 */
START_TEST(a_stop_waits_for_the_start_of_what_comes_after_to_return)
{
	struct server server = {.name = "b",
	    .start = late_start,
	    .stop = stop_begun,
	    .arg = (void *)"b"};
	struct server other = {.name = "z",
	    .start = return_0,
	    .stop = let_late_return};

	app_make();
	add_ordered(&a);
	add_after(&server, NAMES("a"), NULL);
	add(&other);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:b", "stop:b", "late:b", "stop:a");
	ck_assert_noted_in_order("waited", "late:b");
	app_free(&app);
}
END_TEST

static int long_stop(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	note(stays("a", SERVER_READY) ? "waited" : "early");
	note("end-of-stop");
	return 0;
}

/* A14 */
START_TEST(a_stop_waits_for_the_stop_of_what_comes_after_to_return)
{
	struct server server = {.name = "b",
	    .start = return_0,
	    .stop = long_stop};

	app_make();
	add_ordered(&a);
	add_after(&server, NAMES("a"), NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("waited", "end-of-stop", "stop:a");
	app_free(&app);
}
END_TEST

static int until_cancelled(struct context *ctx, void *arg)
{
	note("start:%s", (const char *)arg);
	context_wait(ctx, LONG_MS);
	note(stays("a", SERVER_READY) ? "waited" : "early");
	note("end:%s", (const char *)arg);
	return 0;
}

/* A4, A14 */
START_TEST(a_server_without_a_stop_holds_up_what_it_needs_until_it_ends)
{
	struct server server = {.name = "b",
	    .start = until_cancelled,
	    .arg = (void *)"b"};

	app_make();
	add_ordered(&a);
	add_after(&server, NAMES("a"), NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a", "start:b", "waited", "end:b",
	    "stop:a");
	app_free(&app);
}
END_TEST

static int stop_and_return(struct context *ctx, void *arg)
{
	note("start:%s", (const char *)arg);
	app_stop(app_from_context(ctx));
	return 0;
}

/* A6, A12, A13, A14 */
START_TEST(a_stop_amid_a_chain_stops_in_reverse_and_starts_no_more)
{
	static const char *const names[] = {"0", "1", "2", "3", "4", "5"};
	char word[16];

	app_make();
	for (int i = 5; i >= 0; i--) {
		struct server server =
		    oneshot(names[i], i == 3 ? stop_and_return : note_oneshot);

		add_after(&server, i ? NAMES(names[i - 1]) : NULL, NULL);
	}
	hook(APP_AFTER_START, note_hook, "up");
	hook(APP_BEFORE_STOP, note_hook, "down");
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("done:0", "done:1", "done:2", "start:3",
	    "down", "stop:3", "stop:2", "stop:1", "stop:0");
	for (int i = 4; i < 6; i++) {
		snprintf(word, sizeof(word), "done:%d", i);
		ck_assert_int_eq(noted(word), 0);
		snprintf(word, sizeof(word), "stop:%d", i);
		ck_assert_int_eq(noted(word), 0);
	}
	ck_assert_int_eq(noted("up"), 0);
	app_free(&app);
}
END_TEST

/* A6, A14 */
START_TEST(a_failure_amid_a_chain_stops_in_reverse_and_is_the_result)
{
	struct server server = oneshot("c", fail_oneshot);

	app_make();
	add_ordered_after(&b, NAMES("a"));
	add_after(&server, NAMES("b"), NULL);
	add_ordered_after(&d, NAMES("c"));
	add_ordered(&a);
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_str_eq(result.origin, "c");
	ck_assert_noted_in_order("start:a", "start:b", "start:c", "stop:c",
	    "stop:b", "end:b", "stop:a");
	ck_assert_int_eq(noted("start:d") + noted("stop:d"), 0);
	app_free(&app);
}
END_TEST

static int never_ready(struct context *ctx, void *arg)
{
	(void)arg;
	context_wait(ctx, LONG_MS);
	return 0;
}

/* A3, A14: not those that only wait for it */
START_TEST(a_start_timeout_names_the_one_at_fault_and_who_waits_for_it)
{
	struct server server = {.name = "a",
	    .start = never_ready,
	    .notifies = true};

	options.start_timeout_ms = 50;
	app_make();
	add_ordered_after(&c, NAMES("b"));
	add_ordered_after(&b, NAMES("a"));
	add(&server);
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_str_eq(result.text, "not ready after 50 ms: c, b, a");
	ck_assert_uint_eq(error_count(), 1);
	ck_assert_journal("");
	app_free(&app);
}
END_TEST

/* A3: a server's own time begins with its start, not with the app's. */
START_TEST(the_time_to_start_does_not_run_while_a_server_waits)
{
	struct server slow = oneshot("a", oneshot_start);
	struct server server = ordered_server(&b);
	struct server_status status;

	slow.notifies = true; /* which means nothing for a one-shot */
	server.start_timeout_ms = LONG_MS;
	app_make();
	add(&slow);
	add_after(&server, NAMES("a"), NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	status = status_of("b");
	ck_assert_int_eq(status.state, SERVER_STOPPED);
	/* It waited for as long as the one-shot looked. */
	ck_assert_int_lt(status.start_ms, status_of("a").start_ms);
	app_free(&app);
}
END_TEST

/* ---- names ---- */

/* A14: nothing starts, no hook runs, and it is the configuration's fault. */
static void ck_assert_refused(int code, const char *origin, const char *text)
{
	struct error err = {0};

	hook(APP_BEFORE_START, note_hook, "before-start");
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	ck_assert_int_eq(app_check(app, &err), code);
	ck_assert_int_eq(err.code, code);
	ck_assert_str_eq(err.origin, origin);
	if (text)
		ck_assert_str_eq(err.text, text);
	ck_assert_int_eq(app_check(app, NULL), code);
	ck_assert_int_eq(app_exit_status(app), APP_EXIT_FAILED);
	ck_assert_int_eq(app_go(), code);
	ck_assert_str_eq(result.origin, origin);
	ck_assert_str_eq(result.text, err.text);
	ck_assert_int_eq(app_exit_status(app), APP_EXIT_CONFIG);
	ck_assert_uint_eq(error_count(), 1);
	ck_assert_str_eq(nth_error(0).text, err.text);
	ck_assert_int_eq(app_state(app), APP_STATE_DONE);
	ck_assert_journal("");
	app_free(&app);
}

/* A14 */
START_TEST(a_name_that_nobody_has_is_refused_before_anything_runs)
{
	struct server server = ordered_server(&a);

	options.on_event = note_event;
	app_make();
	add_ordered(&b);
	add_after(&server, NAMES("b", "nobody"), NULL);
	ck_assert_refused(-ENOENT, "a",
	    "comes after nobody, which is not there");
	app_make();
	add_ordered(&b);
	add_after(&server, NAMES("b"), NAMES("b", "nobody"));
	ck_assert_refused(-ENOENT, "a", "wants nobody, which is not there");
	app_make();
	add_after(&server, NAMES(""), NULL);
	ck_assert_refused(-ENOENT, "a", "comes after , which is not there");
}
END_TEST

/* A14 */
START_TEST(a_server_that_comes_after_itself_is_refused)
{
	struct server server = ordered_server(&a);

	options.on_event = note_event;
	app_make();
	add_after(&server, NAMES("a"), NULL);
	ck_assert_refused(-ELOOP, "a", "comes after itself: a after a");
	app_make();
	add_after(&server, NULL, NAMES("a"));
	ck_assert_refused(-ELOOP, "a", "comes after itself: a after a");
}
END_TEST

/* A14 */
START_TEST(a_cycle_is_refused_with_its_path_and_nobody_beside_it)
{
	struct server server = ordered_server(&c);

	options.on_event = note_event;
	app_make();
	add_ordered_after(&a, NAMES("b"));
	add_ordered_after(&b, NAMES("a"));
	ck_assert_refused(-ELOOP, "a", "comes after itself: a after b after a");
	/* One comes after the cycle, one before it; it is of both kinds. */
	app_make();
	add_ordered_after(&d, NAMES("a"));
	add_ordered_after(&a, NAMES("e", "b"));
	add_ordered_after(&b, NAMES("c"));
	add_after(&server, NULL, NAMES("e", "a"));
	server.name = "e";
	add(&server);
	ck_assert_refused(-ELOOP, "b",
	    "comes after itself: b after c after a after b");
}
END_TEST

/* In so many digits. */
static void write_number(char *text, int digits, int number)
{
	text[digits] = '\0';
	while (digits--) {
		text[digits] = (char)('0' + number % 10);
		number /= 10;
	}
}

/* n servers, each after the one before it; the first after the last. */
static void add_ring(int n, int length)
{
	static char names[10000][32];

	for (int i = 0; i < n; i++)
		write_number(names[i], length, i);
	for (int i = 0; i < n; i++) {
		struct server server = {.name = names[i], .start = return_0};

		add_after(&server, NAMES(names[(i + n - 1) % n]), NULL);
	}
}

/* All names of the path are whole, or it says that there are more. */
static void ck_assert_whole_path(const char *text, int length)
{
	const char *name = text + strlen("comes after itself: ");

	for (;;) {
		size_t n = strcspn(name, " ");

		if (!strcmp(name, "..."))
			return;
		ck_assert_msg(n == (size_t)length, "\"%s\" is cut in: %s", name,
		    text);
		if (!name[n])
			return;
		ck_assert_msg(!strncmp(name + n, " after ", 7), "in: %s", text);
		name += n + 7;
	}
}

/* A14 */
START_TEST(the_path_of_a_long_cycle_is_cut_between_names)
{
	struct error err;

	for (int length = 4; length < 32; length++) {
		app_make();
		add_ring(60, length);
		ck_assert_int_eq(app_check(app, &err), -ELOOP);
		ck_assert_whole_path(err.text, length);
		ck_assert_ptr_nonnull(strstr(err.text, " after ..."));
		app_free(&app);
	}
}
END_TEST

/* A14 */
START_TEST(a_cycle_of_ten_thousand_and_one_at_the_end_of_a_chain_are_found)
{
	const int n = 10000;
	static char names[10000][32];

	app_make();
	add_ring(n, 5);
	ck_assert_int_eq(app_check(app, &result), -ELOOP);
	ck_assert_whole_path(result.text, 5);
	app_free(&app);
	app_make();
	for (int i = 0; i < n; i++) {
		struct server server = {.name = names[i], .start = return_0};

		snprintf(names[i], sizeof(names[i]), "%d", i);
		add_after(&server,
		    i == n - 2 ? NAMES("9997", "9999")
		    : i	       ? NAMES(names[i - 1])
			       : NULL,
		    NULL);
	}
	ck_assert_refused(-ELOOP, "9998",
	    "comes after itself: 9998 after 9999 after 9998");
}
END_TEST

/* A14: counted twice it would be waited for for ever. */
START_TEST(a_name_given_twice_counts_once)
{
	struct server server = ordered_server(&b);

	app_make();
	ck_assert_int_eq(app_check(app, &result), 0);
	ck_assert_int_eq(result.code, 0);
	add_after(&server, NAMES("a", "a", "c"), NAMES("a", "c", "c"));
	add_ordered(&a);
	add_ordered(&c);
	ck_assert_int_eq(app_check(app, &result), 0);
	ck_assert_int_eq(app_check(app, &result), 0);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a", "start:b", "end:b", "stop:a");
	ck_assert_noted_in_order("start:c", "start:b", "end:b", "stop:c");
	app_free(&app);
}
END_TEST

/* A20 */
START_TEST(dependencies_are_copied)
{
	char name[] = "a";
	const char *after[] = {name, NULL};

	app_make();
	add_ordered_after(&b, after);
	name[0] = '?';
	after[0] = NULL;
	add_ordered(&a);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a", "start:b", "stop:b", "stop:a");
	app_free(&app);
}
END_TEST

/* A20: both the list and the names in it */
START_TEST(what_a_server_wants_is_copied)
{
	struct server server = ordered_server(&b);
	char name[] = "a";
	const char *wants[] = {name, NULL};

	app_make();
	add_after(&server, NULL, wants);
	name[0] = '?';
	wants[0] = "nobody";
	add_ordered(&a);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a", "start:b", "stop:b", "stop:a");
	app_free(&app);
}
END_TEST

/* A20 */
START_TEST(a_dependency_whose_name_is_too_long_for_any_server_is_refused)
{
	const char *longest = "0123456789012345678901234567890";
	const char *longer = "01234567890123456789012345678901";
	struct server server = ordered_server(&a);

	app_make();
	server.after = NAMES(longer);
	ck_assert_int_eq(app_add_server(app, &server), -ENAMETOOLONG);
	server.after = NAMES(longest);
	server.wants = NAMES("b", longer);
	ck_assert_int_eq(app_add_server(app, &server), -ENAMETOOLONG);
	server.wants = NULL;
	add(&server);
	server.name = longest;
	server.after = NULL;
	add(&server);
	ck_assert_int_eq(app_check(app, NULL), 0);
	app_free(&app);
}
END_TEST

/* ---- policies ---- */

START_TEST(policies_that_contradict_each_other_are_refused_with_words)
{
	struct server server = ordered_server(&a);

	app_make();
	server.restart.when = SERVER_RESTART_ALWAYS;
	server.oneshot = true;
	ck_assert_int_eq(app_add_server(app, &server), -EINVAL);
	ck_assert_str_eq(error_of(-EINVAL).text,
	    "server a is a one-shot that is always restarted: it would never "
	    "be done");
	server.oneshot = false;
	server.on_return = SERVER_STOPS_APP;
	ck_assert_int_eq(app_add_server(app, &server), -EINVAL);
	ck_assert_str_eq(error_of(-EINVAL).text,
	    "server a is to be restarted and to stop the app when its start "
	    "returns: which is it?");
	/* What is not the same case is allowed. */
	server.restart.when = SERVER_RESTART_ON_FAILURE;
	server.oneshot = true;
	add(&server);
	app_free(&app);
}
END_TEST

static struct event go = EVENT_INIT;

static int go_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	note("up");
	event_set(&go);
	return 0;
}

/* Serves until the app is up, and ends with the code that arg points to. */
static int end_when_up(struct context *ctx, void *arg)
{
	const int *code = arg;

	(void)ctx;
	event_wait(&go);
	note("over");
	return *code ? error_set(*code, "it broke") : 0;
}

/* A2, A6 */
START_TEST(the_end_of_a_server_may_be_the_clean_end_of_the_app)
{
	int code = 0;
	struct server server = {.name = "main",
	    .start = end_when_up,
	    .stop = return_0,
	    .on_return = SERVER_STOPS_APP,
	    .arg = &code};

	options.on_event = note_event;
	app_make();
	add_ordered(&a);
	add_after(&server, NAMES("a"), NULL);
	add_ordered_after(&b, NAMES("main"));
	hook(APP_AFTER_START, go_hook, NULL);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_str_eq(result.text, "");
	ck_assert_int_eq(app_exit_status(app), APP_EXIT_CLEAN);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_noted_in_order("start:a", "ready:main", "start:b", "up",
	    "over", "returned:main", "state:before-stop-hooks", "stop:b",
	    "end:b", "stopping:main", "stopped:main", "stop:a", "end:a");
	app_free(&app);
}
END_TEST

/* A2 */
START_TEST(the_end_of_a_one_shot_may_be_the_clean_end_of_the_app)
{
	struct server server = oneshot("main", note_oneshot);

	server.on_return = SERVER_STOPS_APP;
	app_make();
	add_ordered(&a);
	add_after(&server, NAMES("a"), NULL);
	add_ordered_after(&b, NAMES("main"));
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a", "done:main", "stop:main", "stop:a");
	ck_assert_int_eq(noted("start:b"), noted("stop:b"));
	app_free(&app);
}
END_TEST

START_TEST(a_server_that_may_end_the_app_and_fails_is_a_failure)
{
	int code = -EIO;
	struct server server = {.name = "main",
	    .start = end_when_up,
	    .on_return = SERVER_STOPS_APP,
	    .arg = &code};

	app_make();
	add_ordered(&a);
	add(&server);
	hook(APP_AFTER_START, go_hook, NULL);
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_str_eq(result.origin, "main");
	ck_assert_str_eq(result.text, "it broke");
	ck_assert_int_eq(app_exit_status(app), APP_EXIT_FAILED);
	ck_assert_noted_in_order("over", "stop:a", "end:a");
	app_free(&app);
}
END_TEST

/* ---- those that are done without ---- */

/* Stops the app when the server that arg names is lost. */
static void stop_when_lost(const struct app_event *event, void *arg)
{
	note_event(event, NULL);
	if (event->type != APP_EVENT_SERVER_LOST || strcmp(event->server, arg))
		return;
	app_stop(app);
}

static int fail_start(struct context *ctx, void *arg)
{
	(void)ctx;
	note("start:%s", (const char *)arg);
	return error_set(-EIO, "%s cannot start", (const char *)arg);
}

static struct server failing(const char *name)
{
	return (struct server){.name = name,
	    .start = fail_start,
	    .stop = note_stop,
	    .notifies = true,
	    .arg = (void *)name};
}

static int look_at_ready(struct context *ctx, void *arg)
{
	struct app_status *status = app_status(app);

	(void)ctx;
	(void)arg;
	note(app_ready(app) && status->ready ? "is-ready" : "is-not-ready");
	note("a:%s", server_state_name(status_of("a").state));
	app_status_free(&status);
	return 0;
}

/* A3, A13 */
START_TEST(an_optional_server_that_fails_to_start_is_done_without)
{
	struct server server = failing("a");

	server.optional = true;
	options.on_event = note_event;
	app_make();
	add(&server);
	add_ordered(&b);
	hook(APP_AFTER_START, look_at_ready, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_noted_in_order("start:a", "failed:a", "stopping:a",
	    "stopped:a", "lost:a", "state:registering", "is-ready", "a:lost",
	    "stop:b", "end:b", "state:done");
	ck_assert_noted_in_order("failed:a", "stop:a", "lost:a");
	ck_assert_int_eq(noted("app-unready"), 1);
	ck_assert_int_eq(status_of("a").error.code, -EIO);
	ck_assert_str_eq(status_of("a").error.text, "a cannot start");
	ck_assert_str_eq(status_of("a").error.origin, "a");
	app_free(&app);
}
END_TEST

/* A6: whoever fails later is done without as well. */
START_TEST(an_optional_server_that_fails_while_it_runs_is_done_without)
{
	int code = -EIO;
	struct server server = {.name = "a",
	    .start = end_when_up,
	    .stop = return_0,
	    .optional = true,
	    .arg = &code};

	limit_patience();
	options.on_event = stop_when_lost;
	options.event_arg = (void *)"a";
	app_make();
	add(&server);
	add_ordered(&b);
	hook(APP_AFTER_START, go_hook, NULL);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_noted_in_order("up", "over", "failed:a", "stopping:a",
	    "stopped:a", "lost:a", "state:before-stop-hooks", "stop:b",
	    "end:b");
	ck_assert_int_eq(noted("lost:b"), 0);
	free_all();
}
END_TEST

/* A14: `after` is need. */
START_TEST(what_needs_a_lost_one_and_is_optional_never_starts_and_is_lost)
{
	struct server server = failing("a");
	struct server second = ordered_server(&b), third = ordered_server(&c);

	server.optional = second.optional = third.optional = true;
	options.on_event = note_event;
	app_make();
	add_after(&third, NAMES("b"), NULL);
	add_after(&second, NAMES("d", "a"), NULL);
	add(&server);
	add_ordered(&d);
	hook(APP_AFTER_START, look_at_ready, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a", "lost:b", "lost:c",
	    "state:registering", "is-ready", "stop:d");
	ck_assert_noted_in_order("failed:a", "lost:a", "state:registering");
	ck_assert_int_eq(noted("start:b") + noted("stop:b"), 0);
	ck_assert_int_eq(noted("start:c") + noted("stop:c"), 0);
	ck_assert_int_eq(status_of("b").error.code, -ENOTCONN);
	ck_assert_str_eq(status_of("b").error.origin, "b");
	ck_assert_str_eq(status_of("b").error.text,
	    "needs a, which has failed for good");
	ck_assert_str_eq(status_of("c").error.text,
	    "needs b, which has failed for good");
	app_free(&app);
}
END_TEST

/* An app in which a is lost when all is up, and which ends with the last. */
static void make_losing(const char *last)
{
	static const int code = -EIO;
	struct server server = {.name = "a",
	    .start = end_when_up,
	    .stop = return_0,
	    .optional = true,
	    .arg = (void *)&code};

	limit_patience();
	options.on_event = stop_when_lost;
	options.event_arg = (void *)last;
	app_make();
	add(&server);
	hook(APP_AFTER_START, go_hook, NULL);
}

static int note_status(struct context *ctx, void *arg)
{
	struct server_status status = status_of("b");

	(void)ctx;
	(void)arg;
	note("b:%s:%d", server_state_name(status.state), -status.error.code);
	return 0;
}

/* A14 */
START_TEST(what_needs_a_lost_one_and_runs_is_stopped_and_lost)
{
	struct server second = ordered_server(&b), third = ordered_server(&c);
	char word[32];

	make_losing("a");
	second.optional = third.optional = true;
	add_after(&second, NAMES("a"), NULL);
	add_after(&third, NAMES("b"), NULL);
	add_ordered(&d);
	hook(APP_BEFORE_STOP, note_status, NULL);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_uint_eq(error_count(), 0);
	/* Last come, first gone; and not ready before all of it is over. */
	ck_assert_noted_in_order("start:b", "start:c", "up", "over", "failed:a",
	    "stop:c", "end:c", "lost:c", "stop:b", "end:b", "lost:b",
	    "stopping:a", "lost:a", "state:before-stop-hooks", "stop:d");
	ck_assert_int_eq(noted("app-unready"), 1);
	snprintf(word, sizeof(word), "b:lost:%d", ENOTCONN);
	ck_assert_int_eq(noted(word), 1);
	ck_assert_int_eq(noted("lost:d"), 0);
	free_all();
}
END_TEST

/* A14: those that need it go first, however they do. */
START_TEST(those_that_are_lost_together_stop_in_order)
{
	struct server second = ordered_server(&b), third = ordered_server(&c);

	make_losing("a");
	second.optional = third.optional = true;
	add_after(&second, NAMES("a"), NULL);
	add_after(&third, NAMES("a", "b"), NULL);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:b", "start:c", "over", "failed:a",
	    "stop:c", "end:c", "stop:b", "end:b", "stopping:a", "lost:a");
	free_all();
}
END_TEST

/* A10, A14 */
START_TEST(what_needs_a_lost_one_and_is_not_optional_ends_the_app)
{
	make_losing("nobody");
	add_ordered_after(&b, NAMES("a"));
	add_ordered(&d);
	ck_assert_int_eq(app_go(), -ENOTCONN);
	ck_assert_str_eq(result.origin, "b");
	ck_assert_str_eq(result.text, "needs a, which has failed for good");
	ck_assert_uint_eq(error_count(), 1);
	ck_assert_int_eq(app_exit_status(app), APP_EXIT_FAILED);
	ck_assert_noted_in_order("up", "over", "failed:a", "stop:b", "end:b");
	ck_assert_noted_in_order("failed:a", "stop:d", "end:d");
	free_all();
}
END_TEST

/* A10, A13, A14 */
START_TEST(what_needs_a_lost_one_and_is_not_optional_is_not_started)
{
	struct server server = failing("a");

	server.optional = true;
	app_make();
	add_ordered_after(&b, NAMES("a"));
	add(&server);
	ck_assert_int_eq(app_go(), -ENOTCONN);
	ck_assert_str_eq(result.origin, "b");
	ck_assert_noted_in_order("start:a", "stop:a");
	ck_assert_int_eq(noted("start:b") + noted("stop:b"), 0);
	app_free(&app);
}
END_TEST

/* A14: of two ways to be named the stronger one counts. */
START_TEST(one_that_is_wanted_and_needed_is_needed)
{
	struct server server = failing("a"), second = ordered_server(&b);

	server.optional = true;
	app_make();
	add_after(&second, NAMES("a"), NAMES("a"));
	add(&server);
	ck_assert_int_eq(app_go(), -ENOTCONN);
	ck_assert_int_eq(noted("start:b"), 0);
	app_free(&app);
}
END_TEST

static int late_fail(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	note(stays("b", SERVER_WAITING) ? "waited" : "early");
	return -EIO;
}

static int late_stop(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	/* Failed, but not for good: something of it still runs. */
	note(stays("b", SERVER_WAITING) ? "still-waited" : "too-early");
	return 0;
}

/* A14: `wants` is order without need. */
START_TEST(what_wants_one_that_is_lost_starts_when_it_is)
{
	struct server server = {.name = "a",
	    .start = late_fail,
	    .stop = late_stop,
	    .notifies = true,
	    .optional = true};
	struct server second = ordered_server(&b);

	options.on_event = note_event;
	app_make();
	add_after(&second, NULL, NAMES("a"));
	add(&server);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("waited", "failed:a", "still-waited", "lost:a",
	    "start:b", "stop:b");
	app_free(&app);
}
END_TEST

/* A14 */
START_TEST(what_wants_another_starts_when_it_is_ready_and_stops_before_it)
{
	struct server server = ordered_server(&a), second = ordered_server(&b);

	server.start = late_ready;
	server.notifies = true;
	second.start = late_start;
	second.notifies = false;
	second.stop = note_stop;
	second.arg = (void *)"b";
	app_make();
	add_after(&second, NULL, NAMES("a"));
	add(&server);
	add(&(struct server){.name = "z",
	    .start = return_0,
	    .stop = let_late_return});
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("ready", "start:b", "stop:b", "late:b",
	    "stop:a");
	ck_assert_int_eq(noted("waited"), 2);
	app_free(&app);
}
END_TEST

/* A14 */
START_TEST(what_wants_one_that_is_lost_while_both_run_goes_on)
{
	struct server second = ordered_server(&b);

	make_losing("a");
	add_after(&second, NULL, NAMES("a"));
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:b", "up", "over", "lost:a",
	    "state:before-stop-hooks", "stop:b", "end:b");
	ck_assert_int_eq(noted("lost:b"), 0);
	free_all();
}
END_TEST

/* ---- order and restarts ---- */

static const struct server_restart at_once = {.when = SERVER_RESTART_ON_FAILURE,
    .delay_ms = -1};

static atomic_int starts;

static bool is_ready(void *name)
{
	return status_of(name).state == SERVER_READY;
}

/* Fails the first time, when b runs; then sees whether it still does. */
static int fail_once(struct context *ctx, void *arg)
{
	char name[] = "b";

	(void)arg;
	if (!atomic_fetch_add(&starts, 1)) {
		note("first");
		ck_assert(event_poll(is_ready, name));
		return error_set(-EIO, "once");
	}
	note("second");
	note(stays("b", SERVER_READY) ? "b-runs" : "b-does-not-run");
	event_set(&go);
	context_wait(ctx, LONG_MS);
	note("end:a");
	return 0;
}

static int ready_when_told(struct context *ctx, void *arg)
{
	(void)arg;
	event_wait(&go);
	note("gate");
	server_ready(ctx);
	return 0;
}

/* A14 */
START_TEST(what_runs_goes_on_while_one_that_it_needs_starts_again)
{
	struct server server = {.name = "a", .start = fail_once};
	struct server gate = {.name = "gate",
	    .start = ready_when_told,
	    .notifies = true};

	server.restart = at_once;
	options.on_event = note_event;
	app_make();
	add_ordered_after(&b, NAMES("a"));
	add_ordered_after(&c, NAMES("a", "gate"));
	add(&server);
	add(&gate);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_noted_in_order("first", "start:b", "failed:a", "second",
	    "b-runs", "stop:b", "end:b", "end:a");
	ck_assert_noted_in_order("b-runs", "gate", "start:c", "stop:c",
	    "end:a");
	app_free(&app);
}
END_TEST

static int fail_before_ready(struct context *ctx, void *arg)
{
	if (atomic_fetch_add(&starts, 1) < 2) {
		note(stays("b", SERVER_WAITING) ? "waited" : "early");
		return -EIO;
	}
	note("ready");
	server_ready(ctx);
	return start_and_tell(ctx, arg);
}

/* A14 */
START_TEST(what_waits_goes_on_waiting_while_one_that_it_needs_starts_again)
{
	struct server server = ordered_server(&a), second = ordered_server(&c);

	server.start = fail_before_ready;
	server.stop = return_0;
	server.restart = at_once;
	server.notifies = true;
	a.blocks = false;
	app_make();
	add_ordered_after(&b, NAMES("a"));
	add_after(&second, NULL, NAMES("a"));
	add(&server);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("waited"), 2);
	ck_assert_noted_in_order("ready", "start:b", "stop:b");
	ck_assert_noted_in_order("ready", "start:c", "stop:c");
	app_free(&app);
}
END_TEST

static int fail_when_up_once(struct context *ctx, void *arg)
{
	(void)arg;
	if (atomic_fetch_add(&starts, 1)) {
		context_wait(ctx, LONG_MS);
		return 0;
	}
	event_wait(&go);
	return -EIO;
}

static bool b_is_out(void *unused)
{
	enum server_state state = status_of("b").state;

	(void)unused;
	return state != SERVER_READY && state != SERVER_STOPPING;
}

static atomic_int a_starts, b_starts;

/* Holds up a until b would be started again under it. */
static int stop_after_b(struct context *ctx, void *arg)
{
	struct probe *probe = arg;

	(void)ctx;
	event_set(&probe->quit);
	if (atomic_load(&b_starts) > 1)
		return 0; /* the end of the app */
	event_poll(b_is_out, NULL);
	note(stays("a", SERVER_READY) ? "a-is-held" : "a-is-not-held");
	return 0;
}

static int count_b_start(struct context *ctx, void *arg)
{
	int before = atomic_fetch_add(&b_starts, 1);

	(void)arg;
	note("b-starts-%d", before);
	/* By now a must have been stopped, too. */
	if (before)
		app_stop(app);
	context_wait(ctx, LONG_MS);
	return 0;
}

static int count_a_start(struct context *ctx, void *arg)
{
	(void)arg;
	note("a-starts-%d", atomic_fetch_add(&a_starts, 1));
	server_ready(ctx);
	context_wait(ctx, LONG_MS);
	return 0;
}

/* A14: it would lose the ground right away. */
START_TEST(nothing_starts_on_one_that_is_about_to_be_stopped)
{
	struct server trouble = {.name = "trouble",
	    .start = fail_when_up_once,
	    .restart = at_once};
	struct server first = {.name = "a",
	    .start = count_a_start,
	    .notifies = true};
	struct server second = {.name = "b", .start = count_b_start};
	struct server third = ordered_server(&c);

	limit_patience();
	third.stop = stop_after_b;
	trouble.restart.scope = SERVER_RESTART_ALL;
	app_make();
	add(&trouble);
	add(&first);
	add_after(&second, NAMES("a"), NULL);
	add_after(&third, NAMES("a"), NULL);
	hook(APP_AFTER_START, go_hook, NULL);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("a-starts-0", "b-starts-0", "a-is-held",
	    "a-starts-1", "b-starts-1");
	free_all();
}
END_TEST

/* The loop reads two ends in one go: z's, which loses a, then c's. */
static struct event c_stops = EVENT_INIT, in_report = EVENT_INIT;
static struct event z_stopped = EVENT_INIT, c_stopped = EVENT_INIT;
static struct event a_failed = EVENT_INIT;

static int fail_on(struct context *ctx, void *arg)
{
	(void)ctx;
	event_wait(arg);
	return -EIO;
}

static int stop_z(struct context *ctx, void *arg)
{
	(void)arg;
	app_report(app_from_context(ctx));
	event_wait(&in_report);
	event_set(&z_stopped);
	return 0;
}

static int stop_c(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	event_set(&c_stops);
	event_wait(&z_stopped);
	kit_pause_ms(20);
	event_set(&c_stopped);
	return 0;
}

static void hold_up_the_loop(const struct app_event *event, void *arg)
{
	stop_when_lost(event, arg);
	if (event->type == APP_EVENT_SERVER_RESTARTING &&
	    !strcmp(event->server, "a"))
		event_set(&a_failed);
	if (event->type != APP_EVENT_REPORT || event_is_set(&in_report))
		return;
	event_set(&in_report);
	event_wait(&c_stopped);
	kit_pause_ms(20);
}

/* A14: the one message must not be lost over the other. */
START_TEST(one_that_is_about_to_stop_and_loses_what_it_needs_still_stops)
{
	const struct server_restart later = {.when = SERVER_RESTART_ON_FAILURE,
	    .delay_ms = 1000 * LONG_MS,
	    .max_delay_ms = 1000 * LONG_MS};
	struct server server = {.name = "z",
	    .start = fail_on,
	    .stop = stop_z,
	    .optional = true,
	    .arg = &c_stops};
	struct server second = ordered_server(&b);

	limit_patience();
	options.on_event = hold_up_the_loop;
	options.event_arg = (void *)"b";
	app_make();
	add(&server);
	server = (struct server){.name = "a",
	    .start = fail_on,
	    .after = NAMES("z"),
	    .optional = true,
	    .restart = later,
	    .arg = &go};
	add(&server);
	server = (struct server){.name = "w",
	    .start = fail_on,
	    .restart = at_once,
	    .arg = &a_failed};
	server.restart.scope = SERVER_RESTART_DEPENDENTS;
	server.restart.delay_ms = server.restart.max_delay_ms = 1000 * LONG_MS;
	add(&server);
	second.optional = true;
	add_after(&second, NAMES("a", "w"), NULL);
	server = (struct server){.name = "c",
	    .start = return_0,
	    .stop = stop_c,
	    .after = NAMES("b"),
	    .optional = true};
	add(&server);
	hook(APP_AFTER_START, go_hook, NULL);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:b", "up", "lost:z", "stop:b", "lost:b");
	free_all();
}
END_TEST

/* ---- many ---- */

enum { MANY = 5000 };

static atomic_int clock_now;
static char many_names[MANY][8];
static int started_at[MANY], stopped_at[MANY], many_calls[MANY];

static int start_one(struct context *ctx, void *arg)
{
	int i = *(int *)arg;

	(void)ctx;
	started_at[i] = atomic_fetch_add(&clock_now, 1);
	return 0;
}

static int stop_one(struct context *ctx, void *arg)
{
	int i = *(int *)arg;

	(void)ctx;
	stopped_at[i] = atomic_fetch_add(&clock_now, 1);
	many_calls[i]++;
	return 0;
}

static int numbers[MANY];

static void name_many(int n)
{
	for (int i = 0; i < n; i++) {
		numbers[i] = i;
		snprintf(many_names[i], sizeof(many_names[i]), "%d", i);
	}
}

static void add_one(int i, const char *const *after)
{
	add(&(struct server){.name = many_names[i],
	    .start = start_one,
	    .stop = stop_one,
	    .oneshot = true, /* ready when it has written its time */
	    .after = after,
	    .arg = &numbers[i]});
}

/* A14: no stack and no time is lost on the length of a chain. */
START_TEST(a_chain_of_five_thousand_starts_and_stops_in_order)
{
	int n = scale(MANY);

	name_many(n);
	app_make();
	for (int i = n - 1; i >= 0; i--)
		add_one(i, i ? NAMES(many_names[i - 1]) : NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(started_at[i], i);
		ck_assert_int_eq(stopped_at[i], 2 * n - 1 - i);
		ck_assert_int_eq(many_calls[i], 1);
	}
	app_free(&app);
}
END_TEST

/* A14: the first is what all others need, or needs all others. */
START_TEST(a_star_of_two_thousand_starts_and_stops_in_order)
{
	static const char *all[2000];
	int n = scale(2000);

	name_many(n);
	for (int i = 1; i < n; i++)
		all[i - 1] = many_names[i];
	for (int round = 0; round < 2; round++) {
		bool centre_first = round == 0;

		atomic_store(&clock_now, 0);
		app_make();
		add_one(0, centre_first ? NULL : all);
		for (int i = 1; i < n; i++)
			add_one(i, centre_first ? NAMES("0") : NULL);
		stop_when_up();
		ck_assert_int_eq(app_go(), 0);
		ck_assert_int_eq(started_at[0], centre_first ? 0 : n - 1);
		ck_assert_int_eq(stopped_at[0], centre_first ? 2 * n - 1 : n);
		for (int i = 0; i < n; i++)
			ck_assert_int_eq(many_calls[i], round + 1);
		app_free(&app);
	}
}
END_TEST

/* ---- the time that all of a stop has ---- */

enum { DOZEN = 12 };

static struct event dozen_begun = EVENT_INIT;
static int64_t begun_ms[DOZEN];

/* Whatever its context says. */
static int meet_the_dozen(struct context *ctx, void *arg)
{
	int i = *(int *)arg;

	(void)ctx;
	begun_ms[i] = kit_now_ms();
	many_calls[i]++;
	event_set(&dozen_begun);
	return event_wait_count(&dozen_begun, DOZEN) ? 0 : -EDEADLK;
}

static void add_dozen(task_fn *stop, bool chain)
{
	name_many(DOZEN);
	for (int i = 0; i < DOZEN; i++)
		add(&(struct server){.name = many_names[i],
		    .start = start_one,
		    .stop = stop,
		    .after = chain && i ? NAMES(many_names[i - 1]) : NULL,
		    .arg = &numbers[i]});
}

/* A15: none returns before all have begun. */
START_TEST(twelve_independent_servers_stop_all_at_the_same_time)
{
	app_make();
	add_dozen(meet_the_dozen, false);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	for (int i = 0; i < DOZEN; i++)
		ck_assert_int_eq(many_calls[i], 1);
	app_free(&app);
}
END_TEST

static int take_300_ms(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	kit_pause_ms(300);
	return 0;
}

static int64_t hook_ms;

static int time_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	hook_ms = kit_now_ms();
	return 0;
}

/* A15: one after the other it would be 3600 ms. */
START_TEST(twelve_stops_of_300_ms_take_about_300_ms)
{
	int64_t took_ms;

	app_make();
	add_dozen(take_300_ms, false);
	stop_when_up();
	hook(APP_BEFORE_STOP, time_hook, NULL);
	ck_assert_int_eq(app_go(), 0);
	took_ms = kit_now_ms() - hook_ms;
	ck_assert_int_ge(took_ms, 300);
	ck_assert_int_lt(took_ms, 2500 * (int64_t)scale_slowdown());
	app_free(&app);
}
END_TEST

static int64_t request_ms;

static int stop_and_time(struct context *ctx, void *arg)
{
	request_ms = kit_now_ms();
	return stop_hook(ctx, arg);
}

/*
 * A9, A13, A15: the last of the chain holds up all others until the deadline,
 * and does not return before all of them are stopped.
 */
START_TEST(at_the_deadline_all_that_waits_for_its_turn_is_stopped_at_once)
{
	options.stop_timeout_ms = 200;
	options.on_event = note_event;
	app_make();
	add_dozen(meet_the_dozen, true);
	hook(APP_AFTER_START, stop_and_time, NULL);
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	for (int i = 0; i < DOZEN; i++)
		ck_assert_int_eq(many_calls[i], 1);
	for (int i = 0; i < DOZEN - 1; i++)
		ck_assert_int_ge(begun_ms[i], request_ms + 200);
	ck_assert_noted_in_order("stopping:11", "timeout:11", "stopped:11",
	    "after-stop");
	ck_assert_noted_in_order("stopping:11", "stopping:0", "stopped:0");
	app_free(&app);
}
END_TEST

static int until_deadline(struct context *ctx, void *arg)
{
	(void)arg;
	note("stop:b");
	context_wait(ctx, LONG_MS);
	note("deadline:b");
	return 0;
}

/* A9, A15: the rest of the chain still has the app's time. */
START_TEST(a_stop_timeout_of_its_own_lets_go_of_what_comes_before)
{
	struct server server = {.name = "b",
	    .start = return_0,
	    .stop = until_deadline,
	    .stop_timeout_ms = 50};

	app_make();
	add_ordered(&a);
	add_after(&server, NAMES("a"), NULL);
	hook(APP_AFTER_START, stop_and_time, NULL);
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "b");
	ck_assert_uint_eq(error_count(), 1);
	ck_assert_int_ge(kit_now_ms(), request_ms + 50);
	ck_assert_int_lt(kit_now_ms(), request_ms + LONG_MS);
	ck_assert_noted_in_order("stop:b", "deadline:b", "stop:a", "end:a");
	app_free(&app);
}
END_TEST

static int64_t stop_deadline_ms;

static int note_deadline(struct context *ctx, void *arg)
{
	(void)arg;
	return context_deadline(ctx, &stop_deadline_ms) ? 0 : -EINVAL;
}

/* A15: a server cannot have more time than there is. */
START_TEST(the_time_of_the_app_is_the_upper_bound_of_a_servers)
{
	struct server server = {.name = "a",
	    .start = return_0,
	    .stop = note_deadline,
	    .stop_timeout_ms = 1000 * LONG_MS};

	app_make();
	add(&server);
	hook(APP_AFTER_START, stop_and_time, NULL);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_ge(stop_deadline_ms, request_ms + LONG_MS);
	ck_assert_int_lt(stop_deadline_ms, request_ms + 10 * LONG_MS);
	app_free(&app);
}
END_TEST

static int stop_b_after_a(struct context *ctx, void *arg)
{
	(void)arg;
	context_wait(ctx, LONG_MS);
	note("deadline:b");
	event_wait(&a.quit);
	note("back:b");
	return 0;
}

static int64_t a_stop_ms;

static int time_a_stop(struct context *ctx, void *arg)
{
	int64_t deadline_ms = 0;

	a_stop_ms = kit_now_ms();
	/* The time was over: all it has is a moment of its own. */
	if (context_deadline(ctx, &deadline_ms) &&
	    deadline_ms > request_ms + 300 && deadline_ms <= a_stop_ms + 100)
		note("a-moment");
	return probe_stop(ctx, arg);
}

/* A9, A15: it may ignore its own time, but not the app's. */
START_TEST(one_that_ignores_its_own_stop_timeout_holds_others_to_the_apps)
{
	struct server first = ordered_server(&a);
	struct server server = {.name = "b",
	    .start = return_0,
	    .stop = stop_b_after_a,
	    .stop_timeout_ms = 20};

	options.stop_timeout_ms = 300;
	options.on_event = note_event;
	app_make();
	first.stop = time_a_stop;
	add(&first);
	add_after(&server, NAMES("a"), NULL);
	hook(APP_AFTER_START, stop_and_time, NULL);
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "b");
	ck_assert_int_ge(a_stop_ms, request_ms + 300);
	ck_assert_noted_in_order("stopping:b", "timeout:b", "stopping:a",
	    "stop:a", "back:b", "stopped:b");
	ck_assert_noted_in_order("deadline:b", "a-moment", "stop:a");
	app_free(&app);
}
END_TEST

static int run_hanging_chain(void)
{
	options.stop_timeout_ms = 100;
	options.on_event = tell_event;
	app_make();
	name_many(3);
	for (int i = 0; i < 3; i++)
		add(&(struct server){.name = many_names[i],
		    .start = return_0,
		    .stop = i ? fail_on : return_0,
		    .after = i ? NAMES(many_names[i - 1]) : NULL,
		    .arg = &go});
	stop_when_up();
	app_go();
	return 0;
}

/* A9, A15: all that hangs is named, and nothing that merely waited. */
START_TEST(a_chain_whose_stops_hang_ends_the_process_after_the_grace)
{
	struct child child;
	int64_t begin_ms;

	child_start(&child, run_hanging_chain);
	child_until(&child, "stopping:2");
	begin_ms = kit_now_ms();
	child_until(&child, "stopped:0");
	child_until(&child, "stuck:1:stuck in stop for ");
	child_until(&child, "stuck:2:stuck in stop for ");
	ck_assert_exit(&child, APP_EXIT_STUCK);
	/* Deadline, slack and grace; not each one's after the other's. */
	ck_assert_int_lt(kit_now_ms() - begin_ms,
	    3000 * (int64_t)scale_slowdown());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("app_order");

	SUITE_ADD(suite, "start and stop",
	    a_diamond_starts_in_order_and_stops_in_reverse_its_middle_at_once,
	    what_does_not_depend_does_not_wait,
	    what_comes_after_one_that_notifies_waits_until_it_is_ready,
	    what_comes_after_a_one_shot_waits_until_it_has_returned_0,
	    a_one_shot_that_fails_ends_the_app_before_what_comes_after_it,
	    one_shots_in_a_row_run_one_after_the_other,
	    a_stop_waits_for_the_start_of_what_comes_after_to_return,
	    a_stop_waits_for_the_stop_of_what_comes_after_to_return,
	    a_server_without_a_stop_holds_up_what_it_needs_until_it_ends,
	    a_stop_amid_a_chain_stops_in_reverse_and_starts_no_more,
	    a_failure_amid_a_chain_stops_in_reverse_and_is_the_result,
	    a_start_timeout_names_the_one_at_fault_and_who_waits_for_it,
	    the_time_to_start_does_not_run_while_a_server_waits);
	SUITE_ADD(suite, "names",
	    a_name_that_nobody_has_is_refused_before_anything_runs,
	    a_server_that_comes_after_itself_is_refused,
	    a_cycle_is_refused_with_its_path_and_nobody_beside_it,
	    the_path_of_a_long_cycle_is_cut_between_names,
	    a_cycle_of_ten_thousand_and_one_at_the_end_of_a_chain_are_found,
	    a_name_given_twice_counts_once, dependencies_are_copied,
	    what_a_server_wants_is_copied,
	    a_dependency_whose_name_is_too_long_for_any_server_is_refused);
	SUITE_ADD(suite, "policies",
	    policies_that_contradict_each_other_are_refused_with_words,
	    the_end_of_a_server_may_be_the_clean_end_of_the_app,
	    the_end_of_a_one_shot_may_be_the_clean_end_of_the_app,
	    a_server_that_may_end_the_app_and_fails_is_a_failure);
	SUITE_ADD(suite, "those that are done without",
	    an_optional_server_that_fails_to_start_is_done_without,
	    an_optional_server_that_fails_while_it_runs_is_done_without,
	    what_needs_a_lost_one_and_is_optional_never_starts_and_is_lost,
	    what_needs_a_lost_one_and_runs_is_stopped_and_lost,
	    those_that_are_lost_together_stop_in_order,
	    what_needs_a_lost_one_and_is_not_optional_ends_the_app,
	    what_needs_a_lost_one_and_is_not_optional_is_not_started,
	    one_that_is_wanted_and_needed_is_needed,
	    what_wants_one_that_is_lost_starts_when_it_is,
	    what_wants_another_starts_when_it_is_ready_and_stops_before_it,
	    what_wants_one_that_is_lost_while_both_run_goes_on);
	SUITE_ADD(suite, "restarts",
	    what_runs_goes_on_while_one_that_it_needs_starts_again,
	    what_waits_goes_on_waiting_while_one_that_it_needs_starts_again,
	    nothing_starts_on_one_that_is_about_to_be_stopped,
	    one_that_is_about_to_stop_and_loses_what_it_needs_still_stops);
	SUITE_ADD(suite, "many",
	    a_chain_of_five_thousand_starts_and_stops_in_order,
	    a_star_of_two_thousand_starts_and_stops_in_order);
	SUITE_ADD(suite, "the time to stop",
	    twelve_independent_servers_stop_all_at_the_same_time,
	    twelve_stops_of_300_ms_take_about_300_ms,
	    at_the_deadline_all_that_waits_for_its_turn_is_stopped_at_once,
	    a_stop_timeout_of_its_own_lets_go_of_what_comes_before,
	    the_time_of_the_app_is_the_upper_bound_of_a_servers,
	    one_that_ignores_its_own_stop_timeout_holds_others_to_the_apps,
	    a_chain_whose_stops_hang_ends_the_process_after_the_grace);
	return suite_run(suite);
}
