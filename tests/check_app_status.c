/* What anyone may ask of an app: readiness, states, the exit status. */
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cratos/exec.h>

#include "tests/app_kit.h"

/* ---- what the tests look with ---- */

static void note_ready(const char *where)
{
	note("%s:%s", where, app_ready(app) ? "ready" : "not");
}

static int note_ready_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	note_ready(arg);
	return 0;
}

static int note_ready_register(struct context *ctx,
    const struct instance *instance, void *arg)
{
	(void)ctx;
	(void)instance;
	(void)arg;
	note_ready("register");
	return 0;
}

static int note_ready_deregister(struct context *ctx,
    const struct instance *instance, void *arg)
{
	(void)ctx;
	(void)instance;
	(void)arg;
	note_ready("deregister");
	return 0;
}

static const struct registrar looking = {note_ready_register,
    note_ready_deregister, NULL, NULL};

/* "in" if there is something to read, "hup" if there will not be any more. */
static const char *polled(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};
	bool in, hup;

	if (poll(&pollfd, 1, 0) < 0)
		return "error";
	in = pollfd.revents & POLLIN;
	hup = pollfd.revents & POLLHUP;
	return in && hup ? "both" : in ? "in" : hup ? "hup" : "none";
}

static int note_polled_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	note("%s:%s", (const char *)arg, polled(app_ready_fd(app)));
	return 0;
}

/* READY and UNREADY take turns, and the last word is UNREADY. */
static void ck_assert_ready_events(int times)
{
	int count = 0;

	for (const char *text = journal.text; (text = strstr(text, " app-"));
	     text++) {
		const char *word = count % 2 ? "app-unready" : "app-ready";

		ck_assert_msg(!strncmp(text + 1, word, strlen(word)),
		    "not %s at:%s", word, text);
		count++;
	}
	ck_assert_int_eq(count, 2 * times);
}

static void ck_assert_state(const char *name, enum server_state state)
{
	struct server_status status;

	ck_assert_int_eq(server_state(app, name, &status), 0);
	ck_assert_msg(status.state == state, "%s is %s, not %s", name,
	    server_state_name(status.state), server_state_name(state));
}

static int note_state_hook(struct context *ctx, void *arg)
{
	struct server_status status = {0};

	(void)ctx;
	server_state(app, arg, &status);
	note("%s=%s", (const char *)arg, server_state_name(status.state));
	return 0;
}

struct awaited {
	const char *name;
	enum server_state state;
};

static bool is_in_state(void *arg)
{
	const struct awaited *awaited = arg;
	struct server_status status;

	return !server_state(app, awaited->name, &status) &&
	       status.state == awaited->state;
}

static bool is_app_ready(void *arg)
{
	return app_ready(app) == *(bool *)arg;
}

static bool await_ready(bool ready)
{
	return event_poll(is_app_ready, &ready);
}

/* ---- a server that fails when it is told to ---- */

struct flaky {
	const char *name;
	struct event begun, fail, ready; /* as often as it does, may, shall */
	struct event stop;
	int begun_count, failed_count;
};

#define FLAKY(word)                                                    \
	{                                                              \
		.name = word, .begun = EVENT_INIT, .fail = EVENT_INIT, \
		.ready = EVENT_INIT, .stop = EVENT_INIT                \
	}

static int flaky_start(struct context *ctx, void *arg)
{
	struct flaky *flaky = arg;

	flaky->begun_count++;
	event_set(&flaky->begun);
	event_wait_count(&flaky->ready, flaky->begun_count);
	server_ready(ctx);
	event_wait_count(&flaky->fail, flaky->failed_count + 1);
	if (event_is_set(&flaky->stop))
		return 0;
	flaky->failed_count++;
	return error_set(-EIO, "%s has failed %d times", flaky->name,
	    flaky->failed_count);
}

/* Only the last stop is one that start waits for. */
static int flaky_stop(struct context *ctx, void *arg)
{
	struct flaky *flaky = arg;

	(void)ctx;
	if (!app_ready(app) && app_state(app) == APP_STATE_STOPPING) {
		event_set(&flaky->stop);
		event_set(&flaky->fail);
		event_set(&flaky->ready);
	}
	return 0;
}

static struct server flaky_server(struct flaky *flaky)
{
	return (struct server){.name = flaky->name,
	    .start = flaky_start,
	    .stop = flaky_stop,
	    .arg = flaky,
	    .notifies = true,
	    .restart = {.when = SERVER_RESTART_ON_FAILURE,
		.delay_ms = -1,
		.limit = -1}};
}

static struct flaky flaky = FLAKY("flaky");
static struct probe a = PROBE(.name = "a", .blocks = true);
static struct probe b = PROBE(.name = "b", .blocks = true);

/* ---- readiness ---- */

static int fail_when_told(struct context *ctx, void *arg)
{
	probe_start(ctx, arg);
	return app_state(app) < APP_STATE_BEFORE_STOP ? -EIO : 0;
}

static int return_when_told(struct context *ctx, void *arg)
{
	return probe_start(ctx, arg);
}

static int by_signal(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	return kill(getpid(), SIGTERM);
}

static int by_failing(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	return -EIO;
}

static int by_parent(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	context_cancel(options.parent, NULL);
	return 0;
}

/* The server of the test comes to its end. */
static int by_server(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	event_set(&a.quit);
	return 0;
}

static const struct cause {
	task_fn *hook, *start;
	enum server_return on_return;
	int code;
} causes[] = {{by_signal, probe_start, SERVER_STAYS_UP, 0},
    {stop_hook, probe_start, SERVER_STAYS_UP, 0},
    {by_failing, probe_start, SERVER_STAYS_UP, -EIO},
    {by_parent, probe_start, SERVER_STAYS_UP, 0},
    {by_server, fail_when_told, SERVER_STAYS_UP, -EIO},
    {by_server, return_when_told, SERVER_STOPS_APP, 0}};

enum { CAUSES = sizeof(causes) / sizeof(*causes) };

/* A3, A6, A19 */
START_TEST(an_app_is_ready_from_the_barrier_until_anything_ends_it)
{
	const struct cause *cause = &causes[_i];
	struct server server = probe_server(&a);
	struct server looker = {.name = "looker",
	    .start = note_ready_hook,
	    .stop = note_ready_hook,
	    .arg = (void *)"server",
	    .notifies = true};

	options.on_event = note_event;
	options.registrar = &looking;
	options.parent = context_with_cancel(NULL);
	app_make();
	server.start = cause->start;
	server.on_return = cause->on_return;
	add(&server);
	add(&looker);
	hook(APP_BEFORE_START, note_ready_hook, "before-start");
	hook(APP_AFTER_START, note_ready_hook, "after-start");
	hook(APP_BEFORE_STOP, note_ready_hook, "before-stop");
	hook(APP_AFTER_STOP, note_ready_hook, "after-stop");
	hook(APP_AFTER_START, cause->hook, NULL);
	ck_assert(!app_ready(app));
	ck_assert_int_eq(app_go(), cause->code);
	ck_assert(!app_ready(app));
	ck_assert_noted_in_order("before-start:not", "state:starting",
	    "app-ready", "register:ready", "after-start:ready", "app-unready",
	    "state:before-stop-hooks", "before-stop:not", "deregister:not",
	    "state:stopping", "after-stop:not");
	ck_assert_int_eq(noted("server:not"), 2);
	ck_assert_ready_events(1);
	app_free(&app);
	context_free(&options.parent);
}
END_TEST

static int look_while_it_restarts(struct context *ctx, void *arg)
{
	int fd = app_ready_fd(app);

	for (int i = 2; i < 5; i++) {
		note_ready(arg);
		note("%s", polled(fd));
		event_set(&flaky.fail);
		if (!event_wait_count(&flaky.begun, i))
			return -ETIMEDOUT;
		note_ready("restarting");
		note("%s", polled(fd));
		event_set(&flaky.ready);
		if (!await_ready(true))
			return -ETIMEDOUT;
	}
	note("%s", polled(fd));
	return stop_hook(ctx, arg);
}

START_TEST(an_app_is_not_ready_while_a_server_restarts_and_is_again_after)
{
	struct server server = flaky_server(&flaky);

	options.on_event = note_event;
	app_make();
	add_probe(&a);
	add(&server);
	hook(APP_AFTER_START, look_while_it_restarts, "running");
	event_set(&flaky.ready);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("running:ready"), 3);
	ck_assert_int_eq(noted("restarting:not"), 3);
	ck_assert_int_eq(noted("in"), 4);
	ck_assert_int_eq(noted("none"), 3);
	ck_assert_ready_events(4);
	app_free(&app);
}
END_TEST

/* A16 */
START_TEST(an_app_without_servers_is_ready)
{
	options.on_event = note_event;
	app_make();
	hook(APP_BEFORE_START, note_ready_hook, "before-start");
	hook(APP_AFTER_START, note_ready_hook, "after-start");
	hook(APP_BEFORE_STOP, note_ready_hook, "before-stop");
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("before-start:not", "app-ready",
	    "after-start:ready", "app-unready", "before-stop:not");
	ck_assert_ready_events(1);
	app_free(&app);
}
END_TEST

static int lose_a_server(struct context *ctx, void *arg)
{
	struct awaited lost = {"flaky", SERVER_LOST};
	struct awaited other = {"failing", SERVER_LOST};

	if (!event_poll(is_in_state, &other) || !await_ready(true))
		return -ETIMEDOUT;
	note_ready("before");
	event_set(&flaky.fail);
	if (!event_poll(is_in_state, &lost) || !await_ready(true))
		return -ETIMEDOUT;
	note_ready("after");
	return stop_hook(ctx, arg);
}

START_TEST(an_optional_server_that_is_lost_does_not_count)
{
	struct server server = flaky_server(&flaky);
	struct probe failing = PROBE(.name = "failing", .start_code = -EIO);
	struct server lost = probe_server(&failing);

	options.on_event = note_event;
	app_make();
	server.restart.when = SERVER_RESTART_NEVER;
	server.optional = lost.optional = true;
	add(&server);
	add(&lost);
	add_probe(&a);
	hook(APP_AFTER_START, lose_a_server, NULL);
	event_set(&flaky.ready);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("before:ready", "lost:flaky", "after:ready");
	ck_assert_int_eq(noted("lost:failing"), 1);
	/* The other one may be lost before the app is ready, or after. */
	ck_assert_ready_events(noted("app-ready"));
	ck_assert_state("failing", SERVER_LOST);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

static struct event busy = EVENT_INIT, asked = EVENT_INIT;

static void be_busy(const struct app_event *event, void *arg)
{
	note_event(event, arg);
	if (event->type != APP_EVENT_REPORT)
		return;
	event_set(&busy);
	event_wait(&asked);
}

static int ask_after_app_stop(struct context *ctx, void *arg)
{
	int fd = app_ready_fd(app);
	struct app_status *status;

	note("%s", polled(fd));
	app_report(app);
	event_wait(&busy);
	stop_hook(ctx, arg);
	note_ready("stopped");
	note("%s", polled(fd));
	status = app_status(app);
	note("status:%s", status && status->ready ? "ready" : "not");
	app_status_free(&status);
	event_set(&asked);
	return 0;
}

/* A12, A19: also for who asks before the loop has heard of it */
START_TEST(an_app_is_not_ready_from_the_return_of_app_stop_on)
{
	options.on_event = be_busy;
	app_make();
	add_probe(&a);
	hook(APP_AFTER_START, ask_after_app_stop, NULL);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("in", "stopped:not", "none", "status:not",
	    "app-unready");
	ck_assert_ready_events(1);
	app_free(&app);
}
END_TEST

/* At the event right before the one that would say that the app is ready. */
static void stop_when_back(const struct app_event *event, void *arg)
{
	note_event(event, arg);
	if (event->type == APP_EVENT_SERVER_READY && noted("ready:flaky") == 2)
		app_stop(app);
}

static int fail_until_stopped(struct context *ctx, void *arg)
{
	(void)arg;
	event_set(&flaky.fail);
	event_set(&flaky.ready);
	return context_wait(ctx, LONG_MS) == -ECANCELED ? 0 : -ETIMEDOUT;
}

/* A19 */
START_TEST(an_app_that_is_to_stop_does_not_become_ready_any_more)
{
	struct server server = flaky_server(&flaky);

	options.on_event = stop_when_back;
	app_make();
	add(&server);
	hook(APP_AFTER_START, fail_until_stopped, NULL);
	event_set(&flaky.ready);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("ready:flaky"), 2);
	ck_assert_ready_events(1);
	app_free(&app);
}
END_TEST

static struct {
	int states, ready, unready, servers, wrong;
} told;

/* What is told by an event can be asked for by then. */
static void compare_event(const struct app_event *event, void *arg)
{
	struct server_status status;

	(void)arg;
	if (event->server)
		server_state(app, event->server, &status);
	switch (event->type) {
	case APP_EVENT_STATE:
		told.states++;
		told.wrong += app_state(app) != event->state;
		break;
	case APP_EVENT_READY:
		told.ready++;
		told.wrong += !app_ready(app);
		break;
	case APP_EVENT_UNREADY:
		told.unready++;
		told.wrong += app_ready(app);
		break;
	case APP_EVENT_SERVER_READY:
		told.servers++;
		told.wrong +=
		    status.state != SERVER_READY && status.state != SERVER_UP;
		told.wrong += status.start_ms < 0;
		break;
	case APP_EVENT_SERVER_FAILED:
		told.servers++;
		told.wrong += status.state != SERVER_FAILING;
		told.wrong += status.error.code != event->error->code;
		/* Before anything else, that it is not ready any more. */
		told.wrong += told.ready != told.unready;
		break;
	case APP_EVENT_SERVER_STOPPED:
		told.servers++;
		told.wrong += status.state != SERVER_STOPPED;
		told.wrong += status.stop_ms < 0;
		break;
	default:
		break;
	}
}

static int fail_once(struct context *ctx, void *arg)
{
	event_set(&flaky.fail);
	if (!event_wait_count(&flaky.begun, 2))
		return -ETIMEDOUT;
	event_set(&flaky.ready);
	if (!await_ready(true))
		return -ETIMEDOUT;
	return stop_hook(ctx, arg);
}

START_TEST(what_an_event_tells_can_be_asked_for_by_then)
{
	struct server server = flaky_server(&flaky);

	options.on_event = compare_event;
	app_make();
	add_probe(&a);
	add(&server);
	hook(APP_AFTER_START, fail_once, NULL);
	event_set(&flaky.ready);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(told.wrong, 0);
	ck_assert_int_eq(told.states, 11);
	ck_assert_int_eq(told.ready, 2);
	ck_assert_int_eq(told.unready, 2);
	ck_assert_int_ge(told.servers, 7);
	app_free(&app);
}
END_TEST

/* ---- app_ready_fd ---- */

START_TEST(the_descriptor_polls_readable_while_ready_and_hung_up_at_the_end)
{
	int fd;

	options.registrar = &looking;
	app_make();
	add_probe(&a);
	fd = app_ready_fd(app);
	ck_assert_int_ge(fd, 0);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ck_assert_str_eq(polled(fd), "none");
	hook(APP_BEFORE_START, note_polled_hook, "before-start");
	hook(APP_AFTER_START, note_polled_hook, "after-start");
	hook(APP_AFTER_START, note_polled_hook, "again");
	hook(APP_BEFORE_STOP, note_polled_hook, "before-stop");
	hook(APP_AFTER_STOP, note_polled_hook, "after-stop");
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("before-start:none", "after-start:in",
	    "again:in", "before-stop:none", "after-stop:none");
	ck_assert_str_eq(polled(fd), "hup");
	ck_assert_int_eq(app_ready_fd(app), fd);
	app_free(&app);
}
END_TEST

START_TEST(the_descriptor_may_first_be_asked_for_while_ready)
{
	app_make();
	add_probe(&a);
	hook(APP_AFTER_START, note_polled_hook, "after-start");
	hook(APP_BEFORE_STOP, note_polled_hook, "before-stop");
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("after-start:in", "before-stop:none");
	ck_assert_str_eq(polled(app_ready_fd(app)), "hup");
	app_free(&app);
}
END_TEST

START_TEST(the_descriptor_may_first_be_asked_for_after_the_end)
{
	int fd;

	app_make();
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	fd = app_ready_fd(app);
	ck_assert_int_ge(fd, 0);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ck_assert_str_eq(polled(fd), "hup");
	ck_assert_int_eq(app_ready_fd(app), fd);
	app_free(&app);
}
END_TEST

START_TEST(the_descriptor_hangs_up_if_nothing_ever_runs)
{
	app_make();
	add_probe(&a);
	ck_assert_str_eq(polled(app_ready_fd(app)), "none");
	app_stop(app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_str_eq(polled(app_ready_fd(app)), "hup");
	app_free(&app);
	/* And is given back if app_run is never called. */
	app_make();
	ck_assert_str_eq(polled(app_ready_fd(app)), "none");
	app_free(&app);
}
END_TEST

START_TEST(without_descriptors_there_is_an_error_and_later_there_is_one)
{
	struct rlimit before, none;

	app_make();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){0, before.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(app_ready_fd(app), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	hook(APP_AFTER_START, note_polled_hook, "after-start");
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("after-start:in"), 1);
	app_free(&app);
}
END_TEST

static void *poll_for_ready(void *arg)
{
	struct pollfd pollfd = {.fd = *(int *)arg, .events = POLLIN};

	if (poll(&pollfd, 1, LONG_MS) != 1 || pollfd.revents != POLLIN)
		return NULL;
	note("awake");
	app_stop(app);
	/* Of no interest but hanging up. */
	pollfd.events = 0;
	if (poll(&pollfd, 1, LONG_MS) != 1 || pollfd.revents != POLLHUP)
		return NULL;
	return arg;
}

START_TEST(a_thread_that_polls_wakes_when_ready_and_at_the_end)
{
	pthread_t thread;
	void *outcome;
	int fd;

	app_make();
	add_probe(&a);
	fd = app_ready_fd(app);
	ck_assert_int_eq(pthread_create(&thread, NULL, poll_for_ready, &fd), 0);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(pthread_join(thread, &outcome), 0);
	ck_assert_ptr_eq(outcome, &fd);
	ck_assert_int_eq(noted("awake"), 1);
	app_free(&app);
}
END_TEST

START_TEST(two_apps_have_a_descriptor_each)
{
	struct app *other;
	int fds[2];

	app_make();
	other = app;
	app_make();
	fds[0] = app_ready_fd(app);
	fds[1] = app_ready_fd(other);
	ck_assert_int_ne(fds[0], fds[1]);
	hook(APP_AFTER_START, note_polled_hook, "one");
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("one:in"), 1);
	ck_assert_str_eq(polled(fds[0]), "hup");
	ck_assert_str_eq(polled(fds[1]), "none");
	app_free(&app);
	ck_assert_str_eq(polled(fds[1]), "none");
	app_free(&other);
}
END_TEST

/* ---- states ---- */

static void ck_assert_fresh(const struct server_status *status,
    const char *name, int64_t from_ms)
{
	ck_assert_str_eq(status->name, name);
	ck_assert_int_eq(status->state, SERVER_WAITING);
	ck_assert_int_ge(status->since_ms, from_ms);
	ck_assert_int_le(status->since_ms, kit_now_ms());
	ck_assert_uint_eq(status->restarts, 0);
	ck_assert_int_eq(status->start_ms, -1);
	ck_assert_int_eq(status->stop_ms, -1);
	ck_assert_int_eq(status->pid, 0);
	ck_assert_int_eq(status->error.code, 0);
}

START_TEST(before_app_run_all_servers_are_waiting)
{
	int64_t from_ms = kit_now_ms();
	struct server_status one;
	struct app_status *all;

	app_make();
	/* Neither in the order of the alphabet, nor against it. */
	add_probe(&b);
	add_probe(&(struct probe)PROBE(.name = "c"));
	add_probe(&a);
	ck_assert_int_eq(server_state(app, "c", &one), 0);
	ck_assert_fresh(&one, "c", from_ms);
	all = app_status(app);
	ck_assert_ptr_nonnull(all);
	ck_assert_int_eq(all->state, APP_STATE_NEW);
	ck_assert_int_eq(app_state(app), APP_STATE_NEW);
	ck_assert(!all->ready);
	ck_assert_int_ge(all->since_ms, from_ms);
	ck_assert_int_le(all->since_ms, kit_now_ms());
	ck_assert_uint_eq(all->reloads, 0);
	ck_assert_int_eq(all->reload_error.code, 0);
	ck_assert_uint_eq(all->server_count, 3);
	ck_assert_fresh(&all->servers[0], "b", from_ms);
	ck_assert_fresh(&all->servers[1], "c", from_ms);
	ck_assert_fresh(&all->servers[2], "a", from_ms);
	app_status_free(&all);
	ck_assert_ptr_null(all);
	app_status_free(&all);
	app_free(&app);
}
END_TEST

START_TEST(an_unknown_server_leaves_the_status_as_it_was)
{
	static const char long_name[] = "a-name-that-is-longer-than-31-bytes";
	struct server_status status, before;

	memset(&status, 0xa5, sizeof(status));
	before = status;
	app_make();
	ck_assert_int_eq(server_state(app, "a", &status), -ENOENT);
	add_probe(&a);
	ck_assert_int_eq(server_state(app, "b", &status), -ENOENT);
	ck_assert_int_eq(server_state(app, "", &status), -ENOENT);
	ck_assert_int_eq(server_state(app, "aa", &status), -ENOENT);
	ck_assert_int_eq(server_state(app, long_name, &status), -ENOENT);
	ck_assert_int_eq(memcmp(&status, &before, sizeof(status)), 0);
	app_free(&app);
}
END_TEST

START_TEST(out_of_memory_there_is_no_status)
{
	struct app_status *status;

	app_make();
	add_probe(&a);
	fault_nth(FAULT_MEMORY, 1);
	errno = 0;
	status = app_status(app);
	fault_none();
	ck_assert_ptr_null(status);
	ck_assert_int_eq(errno, ENOMEM);
	status = app_status(app);
	ck_assert_ptr_nonnull(status);
	app_status_free(&status);
	app_free(&app);
}
END_TEST

static int slow_start(struct context *ctx, void *arg)
{
	note_state_hook(ctx, (void *)"slow");
	note_state_hook(ctx, (void *)"user");
	kit_pause_ms(30);
	server_ready(ctx);
	return probe_start(ctx, arg);
}

static int slow_stop(struct context *ctx, void *arg)
{
	note_state_hook(ctx, (void *)"slow");
	kit_pause_ms(30);
	return probe_stop(ctx, arg);
}

START_TEST(a_status_tells_where_a_server_is_and_how_long_it_took)
{
	const char *const after[] = {"slow", NULL};
	struct probe slow = PROBE(.name = "slow", .blocks = true);
	struct probe user = PROBE(.name = "user", .blocks = true);
	struct probe returns = PROBE(.name = "returns");
	struct server server = probe_server(&slow);
	struct server dependent = probe_server(&user);
	struct server_status status;
	int64_t from_ms = kit_now_ms(), to_ms;

	app_make();
	server.start = slow_start;
	server.stop = slow_stop;
	server.notifies = true;
	add(&server);
	dependent.after = after;
	add(&dependent);
	add_probe(&returns);
	hook(APP_AFTER_START, note_state_hook, "slow");
	hook(APP_AFTER_START, note_state_hook, "returns");
	hook(APP_AFTER_STOP, note_state_hook, "returns");
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	to_ms = kit_now_ms();
	ck_assert_noted_in_order("slow=starting", "user=waiting", "slow=ready",
	    "slow=stopping");
	ck_assert_noted_in_order("returns=up", "returns=stopped");
	ck_assert_int_eq(server_state(app, "slow", &status), 0);
	ck_assert_int_eq(status.state, SERVER_STOPPED);
	ck_assert_int_ge(status.start_ms, 29);
	ck_assert_int_ge(status.stop_ms, 29);
	ck_assert_int_le(status.start_ms + status.stop_ms, to_ms - from_ms);
	ck_assert_int_ge(status.since_ms, from_ms + 58);
	ck_assert_int_le(status.since_ms, to_ms);
	ck_assert_int_eq(app_state(app), APP_STATE_DONE);
	app_free(&app);
}
END_TEST

static int note_failing(struct context *ctx, void *arg)
{
	note_state_hook(ctx, (void *)"broken");
	return probe_stop(ctx, arg);
}

/* It waits for its turn to be stopped, after those that need it. */
START_TEST(a_server_that_has_failed_is_failing_until_its_stop)
{
	const char *const after[] = {"broken", NULL};
	struct probe broken =
	    PROBE(.name = "broken", .blocks = true, .start_code = -EIO);
	struct probe user = PROBE(.name = "user", .blocks = true);
	struct server server = probe_server(&broken);
	struct server dependent = probe_server(&user);
	struct server_status status;

	app_make();
	dependent.stop = note_failing;
	dependent.after = after;
	add(&dependent);
	add(&server);
	event_set(&broken.quit);
	ck_assert_int_eq(app_go(), -EIO);
	/* If it failed before the other started, nobody has looked. */
	ck_assert_int_eq(noted("broken=failing"), noted("start:user"));
	ck_assert_int_eq(server_state(app, "broken", &status), 0);
	ck_assert_int_eq(status.error.code, -EIO);
	ck_assert_str_eq(status.error.origin, "broken");
	ck_assert_str_eq(status.error.text, "broken cannot start");
	ck_assert_int_eq(server_state(app, "user", &status), 0);
	ck_assert_int_eq(status.error.code, 0);
	app_free(&app);
}
END_TEST

static int fail_three_times(struct context *ctx, void *arg)
{
	for (int i = 2; i < 5; i++) {
		event_set(&flaky.fail);
		if (!event_wait_count(&flaky.begun, i))
			return -ETIMEDOUT;
		event_set(&flaky.ready);
		if (!await_ready(true))
			return -ETIMEDOUT;
	}
	return stop_hook(ctx, arg);
}

START_TEST(restarts_are_counted_and_the_last_error_is_kept)
{
	struct server server = flaky_server(&flaky);
	struct server_status status;

	app_make();
	add_probe(&a);
	add(&server);
	hook(APP_AFTER_START, fail_three_times, NULL);
	event_set(&flaky.ready);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(server_state(app, "flaky", &status), 0);
	ck_assert_uint_eq(status.restarts, 3);
	ck_assert_int_eq(status.error.code, -EIO);
	ck_assert_str_eq(status.error.origin, "flaky");
	ck_assert_str_eq(status.error.text, "flaky has failed 3 times");
	ck_assert_int_eq(server_state(app, "a", &status), 0);
	ck_assert_uint_eq(status.restarts, 0);
	ck_assert_int_eq(status.error.code, 0);
	app_free(&app);
}
END_TEST

static int stop_while_it_waits(struct context *ctx, void *arg)
{
	struct awaited restarting = {"flaky", SERVER_RESTARTING};

	event_set(&flaky.fail);
	if (!event_poll(is_in_state, &restarting))
		return -ETIMEDOUT;
	note("restarting");
	return stop_hook(ctx, arg);
}

START_TEST(a_server_is_restarting_while_its_delay_passes)
{
	struct server server = flaky_server(&flaky);

	app_make();
	server.restart.delay_ms = LONG_MS;
	server.restart.max_delay_ms = LONG_MS;
	add(&server);
	hook(APP_AFTER_START, stop_while_it_waits, NULL);
	event_set(&flaky.ready);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("restarting"), 1);
	ck_assert_state("flaky", SERVER_STOPPED);
	app_free(&app);
}
END_TEST

static struct exec *program;

static int compare_pid(struct context *ctx, void *arg)
{
	struct server_status status;
	struct app_status *all = app_status(app);

	(void)ctx;
	(void)arg;
	if (!all || server_state(app, "program", &status))
		return -ENOMEM;
	note(status.pid > 0 && status.pid == exec_pid(program) &&
		     all->servers[1].pid == status.pid && !all->servers[0].pid
		 ? "pid"
		 : "no-pid");
	app_status_free(&all);
	return 0;
}

START_TEST(the_status_of_a_program_has_its_process)
{
	struct server server;
	struct server_status status;

	if (is_emulated()) /* with no descriptors of processes */
		return;
	program = exec_new(&(struct exec_options){.command = "sleep 1000"});
	ck_assert_ptr_nonnull(program);
	server = exec_server(program, "program");
	app_make();
	add_probe(&a);
	add(&server);
	hook(APP_AFTER_START, compare_pid, NULL);
	stop_when_up();
	ck_assert_int_eq(server_state(app, "program", &status), 0);
	ck_assert_int_eq(status.pid, 0);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("pid"), 1);
	ck_assert_int_eq(server_state(app, "program", &status), 0);
	ck_assert_int_eq(status.pid, 0);
	app_free(&app);
	exec_free(&program);
}
END_TEST

static struct event reloaded = EVENT_INIT;
static bool refuses = true;

static int reload_or_refuse(struct context *ctx, struct app_reload *reload,
    void *arg)
{
	(void)ctx;
	(void)reload;
	(void)arg;
	return refuses ? error_set(-EINVAL, "not like this") : 0;
}

static void set_at_reload(const struct app_event *event, void *arg)
{
	(void)arg;
	if (event->type == APP_EVENT_RELOADED ||
	    event->type == APP_EVENT_RELOAD_REFUSED)
		event_set(&reloaded);
}

static void *reload_twice(void *unused)
{
	struct app_status *status;

	await_ready(true);
	for (int i = 1; i <= 2; i++) {
		app_reload(app);
		if (!event_wait_count(&reloaded, i))
			break;
		status = app_status(app);
		if (status)
			note("%u:%d:%s", status->reloads,
			    status->reload_error.code,
			    status->reload_error.code
				? status->reload_error.origin
				: "-");
		app_status_free(&status);
		refuses = false;
	}
	app_stop(app);
	return unused;
}

START_TEST(the_status_counts_reloads_and_has_the_error_of_the_last)
{
	pthread_t thread;

	options.reload = reload_or_refuse;
	options.on_event = set_at_reload;
	app_make();
	add_probe(&a);
	ck_assert_int_eq(pthread_create(&thread, NULL, reload_twice, NULL), 0);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_journal("start:a 0:-22:reload 1:0:- stop:a end:a");
	app_free(&app);
}
END_TEST

/* ---- many who ask, while all changes ---- */

enum { READERS = 3, FIXED = 5, MAX_SERVERS = FIXED + 1 };

static atomic_int restart_goal, reload_goal;
static pthread_mutex_t fault_lock = PTHREAD_MUTEX_INITIALIZER;
static char fault_text[256];

static void fault_found(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
static void fault_found(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	pthread_mutex_lock(&fault_lock);
	if (!fault_text[0])
		vsnprintf(fault_text, sizeof(fault_text), fmt, ap);
	pthread_mutex_unlock(&fault_lock);
	va_end(ap);
}

static int serve_a_moment(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	kit_pause_ms(1);
	return 0;
}

static int stop_nothing(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	return 0;
}

/* Comes and goes with each reload. */
static int add_or_remove(struct context *ctx, struct app_reload *reload,
    void *arg)
{
	const struct server extra = {.name = "extra",
	    .start = serve_a_moment,
	    .stop = stop_nothing};
	bool *there = arg;
	int ret;

	(void)ctx;
	ret = *there ? app_reload_remove(reload, "extra")
		     : app_reload_add(reload, &extra);
	*there = !*there;
	return ret;
}

static const char *const fixed[FIXED] = {"m", "restarting-1", "restarting-2",
    "restarting-3", "a"};

/* What one reader saw last. */
struct seen {
	struct app_status app;
	struct server_status servers[FIXED];
	unsigned states; /* bits: that were seen */
};

static bool is_settled(enum server_state state)
{
	return state == SERVER_READY || state == SERVER_UP ||
	       state == SERVER_LOST;
}

static void check_server(struct seen *seen, int i,
    const struct server_status *now)
{
	struct server_status *last = &seen->servers[i];

	if (strcmp(now->name, fixed[i]) != 0)
		fault_found("%s is called %s", fixed[i], now->name);
	if (now->state < SERVER_WAITING || now->state > SERVER_LOST)
		fault_found("%s is in state %d", now->name, (int)now->state);
	else
		seen->states |= 1U << now->state;
	if (now->restarts < last->restarts)
		fault_found("%s: %u restarts after %u", now->name,
		    now->restarts, last->restarts);
	if (now->since_ms < last->since_ms)
		fault_found("%s: time goes back", now->name);
	if (now->start_ms < 0 && last->start_ms > 0)
		fault_found("%s: it has never started, now", now->name);
	if (is_settled(now->state) && now->start_ms < 0)
		fault_found("%s: ready, and nobody knows when", now->name);
	*last = *now;
}

static bool is_serving(enum app_state state)
{
	return state >= APP_STATE_REGISTERING && state <= APP_STATE_COMMITTING;
}

static void check_all(struct seen *seen, const struct app_status *now)
{
	bool settled = true;

	for (size_t i = 0; i < now->server_count; i++)
		settled = settled && is_settled(now->servers[i].state);
	if (now->ready && !settled)
		fault_found("ready, with a server that is not");
	if (now->ready && !is_serving(now->state))
		fault_found("ready when %s", app_state_name(now->state));
	if (now->reloads < seen->app.reloads)
		fault_found("fewer reloads than before");
	if (now->since_ms < seen->app.since_ms)
		fault_found("the app's time goes back");
	if (now->server_count != FIXED && now->server_count != MAX_SERVERS)
		fault_found("%zu servers", now->server_count);
	for (int i = 0; i < FIXED; i++)
		check_server(seen, i, &now->servers[i]);
	memcpy(&seen->app, now, sizeof(seen->app));
}

/* Who has seen that it is not settled will not see that the app is ready. */
static void check_order_of_two(void)
{
	struct app_status *before = app_status(app);
	bool ready = app_ready(app);
	struct app_status *after = app_status(app);

	/* Nothing has happened in between, so nothing can have come. */
	if (before && after && before->reloads == after->reloads && ready)
		for (int i = 0; i < FIXED; i++) {
			const struct server_status *one = &before->servers[i];
			const struct server_status *two = &after->servers[i];

			if (!is_settled(one->state) &&
			    one->state == two->state &&
			    one->since_ms == two->since_ms &&
			    one->restarts == two->restarts)
				fault_found("ready, with %s %s", one->name,
				    server_state_name(one->state));
		}
	app_status_free(&before);
	app_status_free(&after);
}

static unsigned count_restarts(const struct seen *seen)
{
	unsigned restarts = 0;

	for (int i = 0; i < FIXED; i++)
		restarts += seen->servers[i].restarts;
	return restarts;
}

static void *ask_all_the_time(void *arg)
{
	struct seen *seen = arg;
	struct server_status one;
	struct app_status *all;

	while (app_state(app) != APP_STATE_DONE) {
		all = app_status(app);
		if (all)
			check_all(seen, all);
		app_status_free(&all);
		for (int i = 0; i < FIXED; i++)
			if (server_state(app, fixed[i], &one))
				fault_found("no server %s", fixed[i]);
			else
				check_server(seen, i, &one);
		if (!server_state(app, "extra", &one) &&
		    strcmp(one.name, "extra") != 0)
			fault_found("extra is called %s", one.name);
		check_order_of_two();
		app_ready_fd(app);
		app_exit_status(app);
		app_reload(app);
		if (count_restarts(seen) >= (unsigned)restart_goal &&
		    seen->app.reloads >= (unsigned)reload_goal)
			app_stop(app);
	}
	return NULL;
}

START_TEST(who_asks_while_all_changes_sees_what_fits_together)
{
	static struct seen seen[READERS];
	pthread_t threads[READERS];
	bool there = false;

	restart_goal = scale(1500);
	reload_goal = scale(100);
	options.reload = add_or_remove;
	options.reload_arg = &there;
	options.on_event = compare_event;
	app_make();
	for (int i = 0; i < FIXED; i++) {
		struct server server = {.name = fixed[i],
		    .start = serve_a_moment,
		    .stop = stop_nothing};

		if (fixed[i][0] == 'r')
			server.restart =
			    (struct server_restart){SERVER_RESTART_ALWAYS,
				.delay_ms = -1, .limit = -1};
		add(&server);
	}
	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
				     ask_all_the_time, &seen[i]),
		    0);
	ck_assert_int_eq(app_go(), 0);
	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_str_eq(fault_text, "");
	ck_assert_int_eq(told.wrong, 0);
	ck_assert_int_ge(told.ready, 1);
	ck_assert_int_eq(told.ready, told.unready);
	/* It was worth looking. */
	ck_assert(seen[0].states & (1U << SERVER_READY));
	ck_assert(seen[0].states & ~(1U << SERVER_READY));
	app_free(&app);
}
END_TEST

/* ---- names ---- */

static const char *name_of_event(int i)
{
	return app_event_name((enum app_event_type)i);
}

static const char *name_of_server_state(int i)
{
	return server_state_name((enum server_state)i);
}

static const char *name_of_app_state(int i)
{
	return app_state_name((enum app_state)i);
}

static void check_names(const char *(*name)(int i), int last)
{
	for (int i = 0; i <= last; i++) {
		ck_assert_ptr_nonnull(name(i));
		ck_assert_str_ne(name(i), "");
		ck_assert_str_ne(name(i), "unknown");
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(name(i), name(j));
	}
	ck_assert_str_eq(name(last + 1), "unknown");
	ck_assert_str_eq(name(INT_MAX), "unknown");
	ck_assert_str_eq(name(-1), "unknown");
	ck_assert_str_eq(name(INT_MIN), "unknown");
}

START_TEST(every_event_and_state_has_a_name_of_its_own)
{
	check_names(name_of_event, APP_EVENT_FORCED);
	check_names(name_of_server_state, SERVER_LOST);
	check_names(name_of_app_state, APP_STATE_DONE);
}
END_TEST

/* ---- the exit status ---- */

START_TEST(the_exit_status_of_a_clean_end_is_0_and_of_none_1)
{
	app_make();
	ck_assert_int_eq(app_exit_status(app), 1);
	add_probe(&a);
	hook(APP_AFTER_START, stop_hook, NULL);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(app_exit_status(app), 0);
	/* A second run is none. */
	ck_assert_int_eq(app_go(), -EALREADY);
	ck_assert_int_eq(app_exit_status(app), 0);
	app_free(&app);
}
END_TEST

START_TEST(the_exit_status_of_a_failure_is_1)
{
	struct probe failing = PROBE(.name = "failing", .start_code = -EIO);

	app_make();
	add_probe(&failing);
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_int_eq(app_exit_status(app), 1);
	ck_assert_int_eq(app_go(), -EALREADY);
	ck_assert_int_eq(app_exit_status(app), 1);
	app_free(&app);
	app_make();
	hook(APP_AFTER_STOP, fail_hook, "hook");
	stop_when_up();
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_int_eq(app_exit_status(app), 1);
	app_free(&app);
}
END_TEST

/* A14 */
START_TEST(the_exit_status_of_dependencies_that_do_not_hold_is_78)
{
	const char *const on_nobody[] = {"nobody", NULL};
	const char *const on_a[] = {"a", NULL}, *const on_b[] = {"b", NULL};
	struct server one = probe_server(&a), two = probe_server(&b);

	app_make();
	one.after = on_nobody;
	add(&one);
	hook(APP_BEFORE_START, note_hook, "hook");
	hook(APP_AFTER_STOP, note_hook, "hook");
	ck_assert_int_eq(app_go(), -ENOENT);
	ck_assert_int_eq(app_exit_status(app), 78);
	ck_assert(!app_ready(app));
	ck_assert_str_eq(polled(app_ready_fd(app)), "hup");
	ck_assert_int_eq(app_go(), -EALREADY);
	ck_assert_int_eq(app_exit_status(app), 78);
	app_free(&app);
	app_make();
	one.after = on_b;
	two.after = on_a;
	add(&one);
	add(&two);
	ck_assert_int_eq(app_go(), -ELOOP);
	ck_assert_int_eq(app_exit_status(app), 78);
	ck_assert_state("a", SERVER_WAITING);
	app_free(&app);
	ck_assert_journal("");
}
END_TEST

/* A12 */
START_TEST(the_exit_status_of_an_app_that_was_stopped_before_is_0)
{
	app_make();
	add_probe(&a);
	app_stop(app);
	ck_assert_int_eq(app_exit_status(app), 1);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(app_exit_status(app), 0);
	ck_assert_int_eq(app_go(), -EALREADY);
	ck_assert_int_eq(app_exit_status(app), 0);
	ck_assert_state("a", SERVER_WAITING);
	app_free(&app);
}
END_TEST

static struct event released = EVENT_INIT;

static int until_released(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	event_wait(&released);
	return 0;
}

static void release_when_stuck(const struct app_event *event, void *arg)
{
	(void)arg;
	if (event->type == APP_EVENT_STUCK)
		event_set(&released);
}

/* A9: 124 for APP_STUCK_RETURN: see check_app_report.c */
START_TEST(the_exit_status_of_an_app_that_was_stuck_is_124)
{
	struct server server = {.name = "hanging",
	    .start = stop_nothing,
	    .stop = until_released};

	options.stop_timeout_ms = 50;
	options.stuck = APP_STUCK_WAIT;
	options.on_event = release_when_stuck;
	app_make();
	add(&server);
	stop_when_up();
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_int_eq(app_exit_status(app), 124);
	app_free(&app);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("app_status");
	TCase *tcase;

	tcase = suite_case(suite, "each of several");
	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase,
	    an_app_is_ready_from_the_barrier_until_anything_ends_it, 0, CAUSES);
	SUITE_ADD(suite, "readiness",
	    an_app_is_not_ready_while_a_server_restarts_and_is_again_after,
	    an_app_without_servers_is_ready,
	    an_optional_server_that_is_lost_does_not_count,
	    an_app_is_not_ready_from_the_return_of_app_stop_on,
	    an_app_that_is_to_stop_does_not_become_ready_any_more,
	    what_an_event_tells_can_be_asked_for_by_then);
	SUITE_ADD(suite, "app_ready_fd",
	    the_descriptor_polls_readable_while_ready_and_hung_up_at_the_end,
	    the_descriptor_may_first_be_asked_for_while_ready,
	    the_descriptor_may_first_be_asked_for_after_the_end,
	    the_descriptor_hangs_up_if_nothing_ever_runs,
	    without_descriptors_there_is_an_error_and_later_there_is_one,
	    a_thread_that_polls_wakes_when_ready_and_at_the_end,
	    two_apps_have_a_descriptor_each);
	SUITE_ADD(suite, "states", before_app_run_all_servers_are_waiting,
	    an_unknown_server_leaves_the_status_as_it_was,
	    out_of_memory_there_is_no_status,
	    a_status_tells_where_a_server_is_and_how_long_it_took,
	    a_server_that_has_failed_is_failing_until_its_stop,
	    restarts_are_counted_and_the_last_error_is_kept,
	    a_server_is_restarting_while_its_delay_passes,
	    the_status_of_a_program_has_its_process,
	    the_status_counts_reloads_and_has_the_error_of_the_last,
	    who_asks_while_all_changes_sees_what_fits_together);
	SUITE_ADD(suite, "names", every_event_and_state_has_a_name_of_its_own);
	SUITE_ADD(suite, "exit status",
	    the_exit_status_of_a_clean_end_is_0_and_of_none_1,
	    the_exit_status_of_a_failure_is_1,
	    the_exit_status_of_dependencies_that_do_not_hold_is_78,
	    the_exit_status_of_an_app_that_was_stopped_before_is_0,
	    the_exit_status_of_an_app_that_was_stuck_is_124);
	return suite_run(suite);
}
