/* An app and the service manager that has started it. */
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/app_thread.h"

enum { MESSAGE_SIZE = 4096, A_WHILE_MS = 300 };

/* ---- the manager ---- */

static struct {
	int fd;
	struct sockaddr_un address;
	char dir[64], message[MESSAGE_SIZE]; /* the last one */
	int count; /* that it has got */
} manager;

static void manager_listen(void)
{
	struct sockaddr_un *address = &manager.address;
	size_t length;

	address->sun_family = AF_UNIX;
	if (!*manager.dir) { /* abstract */
		snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1,
		    "cratos-check-manager-%d", (int)getpid());
		length = 1 + strlen(address->sun_path + 1);
	} else {
		snprintf(address->sun_path, sizeof(address->sun_path),
		    "%s/notify", manager.dir);
		length = strlen(address->sun_path) + 1;
	}
	manager.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(manager.fd, 0);
	ck_assert_int_eq(bind(manager.fd, (struct sockaddr *)address,
			     (socklen_t)(offsetof(struct sockaddr_un,
					     sun_path) +
					 length)),
	    0);
}

static void make_dir(void)
{
	strcpy(manager.dir, "/tmp/cratos-manager-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(manager.dir));
}

static void manager_begins(void)
{
	char name[sizeof(manager.address.sun_path)];

	manager_listen();
	memcpy(name, manager.address.sun_path, sizeof(name));
	if (!*name)
		*name = '@';
	setenv("NOTIFY_SOCKET", name, 1);
}

static void manager_ends(void)
{
	close(manager.fd);
	if (*manager.dir) {
		unlink(manager.address.sun_path);
		rmdir(manager.dir);
	}
	unsetenv("NOTIFY_SOCKET");
}

/* The next message, within the time; false if there is none. */
static bool hear(int timeout_ms)
{
	struct pollfd pollfd = {.fd = manager.fd, .events = POLLIN};
	ssize_t size;

	*manager.message = '\0';
	if (poll(&pollfd, 1, timeout_ms) != 1)
		return false;
	size = recv(manager.fd, manager.message, MESSAGE_SIZE - 1, 0);
	ck_assert_int_gt(size, 0);
	manager.message[size] = '\0';
	manager.count++;
	return true;
}

/* The text after "NAME=" in the last message; NULL: it has none. */
static const char *field(const char *name)
{
	static char value[MESSAGE_SIZE];
	size_t length = strlen(name);

	for (const char *at = manager.message; at && *at; at++) {
		if (!strncmp(at, name, length) && at[length] == '=') {
			strcpy(value, at + length + 1);
			value[strcspn(value, "\n")] = '\0';
			return value;
		}
		at = strchr(at, '\n');
		if (!at)
			break;
	}
	return NULL;
}

static bool says(const char *name, const char *text)
{
	const char *value = field(name);

	return value && !strcmp(value, text);
}

/* Skips messages up to the one that says so. */
static void hear_until(const char *name, const char *text)
{
	char last[MESSAGE_SIZE] = "";

	for (;;) {
		if (!hear(LONG_MS))
			ck_abort_msg("no %s=%s, last: %s", name, text, last);
		strcpy(last, manager.message);
		if (says(name, text))
			return;
	}
}

/* Up to the last one; whether none of them has this field. */
static bool never_heard(const char *name)
{
	bool heard = false;

	while (hear(0))
		heard = heard || field(name);
	return !heard;
}

static long long number(const char *name)
{
	const char *value = field(name);

	ck_assert_ptr_nonnull(value);
	return strtoll(value, NULL, 10);
}

/* ---- a server that is told what to do ---- */

static struct puppet {
	struct event begun, ready, beat, quit, stopping, let_stop;
	int code;
	bool slow_stop;
} puppet;

static void puppet_init(void)
{
	puppet = (struct puppet){.begun = EVENT_INIT,
	    .ready = EVENT_INIT,
	    .beat = EVENT_INIT,
	    .quit = EVENT_INIT,
	    .stopping = EVENT_INIT,
	    .let_stop = EVENT_INIT};
}

static struct context *puppet_ctx;

static int puppet_start(struct context *ctx, void *arg)
{
	struct puppet *self = arg;

	puppet_ctx = ctx;
	event_set(&self->begun);
	event_wait(&self->ready);
	server_ready(ctx);
	event_wait(&self->quit);
	return self->code ? error_set(self->code, "out\nof order") : 0;
}

static int puppet_stop(struct context *ctx, void *arg)
{
	struct puppet *self = arg;

	(void)ctx;
	event_set(&self->stopping);
	if (self->slow_stop)
		event_wait(&self->let_stop);
	event_set(&self->ready);
	event_set(&self->quit);
	return 0;
}

static void puppet_lacks(void *arg, char *text, size_t size)
{
	(void)arg;
	snprintf(text, size, "the strings");
}

static struct server puppet_server(void)
{
	return (struct server){.name = "puppet",
	    .start = puppet_start,
	    .stop = puppet_stop,
	    .lacks = puppet_lacks,
	    .notifies = true,
	    .arg = &puppet};
}

static void add_puppet(void)
{
	struct server server = puppet_server();

	add(&server);
}

static void make(void)
{
	options.on_event = run_event;
	app_make();
	puppet_init();
}

/* Up, with the puppet only, and all that is said until then heard. */
static void make_ready(void)
{
	make();
	add_puppet();
	run_begin();
	event_set(&puppet.ready);
	hear_until("READY", "1");
}

static void end(int code)
{
	ck_assert_int_eq(run_join(), code);
	app_free(&app);
	manager_ends();
}

static void stop_and_end(void)
{
	app_stop(app);
	end(0);
}

/* ---- ready, and what is waited for ---- */

START_TEST(ready_comes_after_the_last_server_and_what_lacks_is_told)
{
	struct server other;
	struct probe quick = PROBE(.name = "quick", .blocks = true);

	make_dir();
	manager_begins();
	make();
	other = probe_server(&quick);
	add(&other);
	add_puppet();
	run_begin();
	hear_until("STATUS",
	    "Starting: 1 of 2 ready; waiting for puppet: the strings");
	ck_assert(!field("READY"));
	ck_assert(!hear(A_WHILE_MS) || !field("READY"));
	event_set(&puppet.ready);
	hear_until("READY", "1");
	ck_assert_ptr_nonnull(field("STATUS"));
	if (!says("STATUS", "Running: 2 of 2 ready"))
		hear_until("STATUS", "Running: 2 of 2 ready");
	app_stop(app);
	hear_until("STOPPING", "1");
	hear_until("STATUS", "Stopped");
	ck_assert(!field("EXIT_STATUS") && !field("ERRNO"));
	end(0);
}
END_TEST

START_TEST(an_abstract_socket_is_as_good)
{
	*manager.dir = '\0';
	manager_begins();
	make_ready();
	stop_and_end();
}
END_TEST

/* One that begins after the stop is asked for is not heard of. */
START_TEST(who_is_stopped_before_it_is_ready_never_is)
{
	manager_begins();
	make();
	add_puppet();
	run_begin();
	ck_assert(event_wait(&puppet.begun));
	app_stop(app);
	hear_until("STOPPING", "1");
	ck_assert(!field("READY"));
	ck_assert_int_eq(run_join(), 0);
	ck_assert(never_heard("READY"));
	app_free(&app);
	manager_ends();
}
END_TEST

static const char *const variables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC",
    "WATCHDOG_PID"};

START_TEST(the_variables_are_gone_before_anything_starts)
{
	manager_begins();
	setenv("WATCHDOG_USEC", "60000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	make();
	add_puppet();
	run_begin();
	ck_assert(event_wait(&puppet.begun));
	for (int i = 0; i < 3; i++)
		ck_assert_msg(!getenv(variables[i]), "%s", variables[i]);
	event_set(&puppet.ready);
	stop_and_end();
}
END_TEST

START_TEST(who_wants_no_manager_leaves_all_as_it_is)
{
	manager_begins();
	setenv("WATCHDOG_USEC", "60000000", 1);
	options.no_manager = true;
	make();
	add_puppet();
	run_begin();
	event_set(&puppet.ready);
	ck_assert(event_wait(&puppet.begun));
	ck_assert_ptr_nonnull(getenv("NOTIFY_SOCKET"));
	ck_assert_ptr_nonnull(getenv("WATCHDOG_USEC"));
	app_stop(app);
	ck_assert_int_eq(run_join(), 0);
	ck_assert(!hear(0));
	app_free(&app);
	manager_ends();
}
END_TEST

/* ---- reload ---- */

static int reload(struct context *ctx, struct app_reload *change, void *arg)
{
	(void)ctx;
	(void)change;
	return *(int *)arg;
}

/* _i: it is refused. */
START_TEST(a_reload_is_told_with_its_time_and_ready_again_after)
{
	int code = _i ? -EINVAL : 0;
	int64_t before_ms = kit_now_ms();
	long long us;

	manager_begins();
	options.reload = reload;
	options.reload_arg = &code;
	make_ready();
	app_reload(app);
	hear_until("RELOADING", "1");
	us = number("MONOTONIC_USEC");
	ck_assert_int_ge(us, before_ms * 1000);
	ck_assert_int_le(us, kit_now_ms() * 1000 + 1000);
	if (!field("READY"))
		hear_until("READY", "1");
	stop_and_end();
}
END_TEST

/* ---- time ---- */

/* Our own time, and a little, so that it is we who decide. */
START_TEST(the_manager_waits_for_our_own_time_to_start_and_to_stop)
{
	manager_begins();
	options.start_timeout_ms = LONG_MS / 2;
	make();
	add_puppet();
	puppet.slow_stop = true;
	run_begin();
	while (!field("EXTEND_TIMEOUT_USEC"))
		ck_assert(hear(LONG_MS));
	ck_assert_int_gt(number("EXTEND_TIMEOUT_USEC"), LONG_MS / 2 * 990LL);
	ck_assert_int_lt(number("EXTEND_TIMEOUT_USEC"),
	    (LONG_MS / 2 + 20000) * 1000LL);
	event_set(&puppet.ready);
	hear_until("READY", "1");
	app_stop(app);
	hear_until("STOPPING", "1");
	ck_assert_int_gt(number("EXTEND_TIMEOUT_USEC"), LONG_MS * 990LL);
	ck_assert(event_wait(&puppet.stopping));
	event_set(&puppet.let_stop);
	end(0);
}
END_TEST

static bool later(void *arg)
{
	(void)arg;
	server_extend(puppet_ctx, LONG_MS);
	while (hear(0))
		if (field("EXTEND_TIMEOUT_USEC"))
			return true;
	return false;
}

START_TEST(who_has_no_time_of_its_own_asks_for_more_while_it_gets_further)
{
	int count;

	manager_begins();
	make();
	add_puppet();
	run_begin();
	while (!field("EXTEND_TIMEOUT_USEC"))
		ck_assert(hear(LONG_MS));
	/* 30 s from when it was due, and sent a moment later. */
	ck_assert_int_le(number("EXTEND_TIMEOUT_USEC"), 30000000);
	ck_assert_int_gt(number("EXTEND_TIMEOUT_USEC"), 20000000);
	/* It gets no further: no more is asked for. */
	count = 0;
	while (hear(A_WHILE_MS))
		count += field("EXTEND_TIMEOUT_USEC") != NULL;
	ck_assert_int_eq(count, 0);
	ck_assert(event_wait(&puppet.begun));
	ck_assert(event_poll(later, NULL));
	event_set(&puppet.ready);
	stop_and_end();
}
END_TEST

/* ---- the watchdog ---- */

static void watchdog(const char *usec)
{
	manager_begins();
	setenv("WATCHDOG_USEC", usec, 1);
}

START_TEST(the_watchdog_is_fed_twice_in_its_time)
{
	int64_t begin_ms;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	watchdog("400000");
	setenv("WATCHDOG_PID", pid, 1);
	make_ready();
	begin_ms = kit_now_ms();
	for (int i = 0; i < 4; i++)
		hear_until("WATCHDOG", "1");
	/* The first may be due at once, the others are 200 ms apart. */
	ck_assert_int_ge(kit_now_ms() - begin_ms, 590);
	stop_and_end();
}
END_TEST

START_TEST(a_watchdog_of_another_process_is_not_fed)
{
	watchdog("100000");
	setenv("WATCHDOG_PID", "1", 1);
	make_ready();
	kit_pause_ms(A_WHILE_MS);
	ck_assert(never_heard("WATCHDOG"));
	stop_and_end();
}
END_TEST

/* _i: a number that is none, or none above 0. */
START_TEST(a_time_that_is_none_is_no_watchdog)
{
	static const char *const texts[] = {"", "0", "-5", "12x", "x",
	    "99999999999999999999999"};

	watchdog(texts[_i]);
	make_ready();
	kit_pause_ms(20);
	ck_assert(never_heard("WATCHDOG"));
	stop_and_end();
}
END_TEST

static bool beats(void *arg)
{
	(void)arg;
	return server_heartbeat(puppet_ctx) == 0 && noted("beats-again:puppet");
}

START_TEST(who_misses_a_heartbeat_starves_the_watchdog_until_the_next)
{
	struct server server;

	watchdog("100000");
	make();
	server = puppet_server();
	server.heartbeat_ms = 300;
	add(&server);
	run_begin();
	event_set(&puppet.ready);
	hear_until("READY", "1");
	hear_until("STATUS", "Running: 1 of 1 ready; no heartbeat from puppet");
	ck_assert_int_eq(noted("silent:puppet"), 1);
	while (hear(0))
		;
	kit_pause_ms(A_WHILE_MS);
	ck_assert(never_heard("WATCHDOG"));
	ck_assert(app_ready(app));
	ck_assert(event_poll(beats, NULL));
	hear_until("WATCHDOG", "1");
	/* Not in its stop: then it need not beat. */
	puppet.slow_stop = true;
	app_stop(app);
	hear_until("STOPPING", "1");
	kit_pause_ms(2 * A_WHILE_MS);
	hear_until("WATCHDOG", "1");
	hear_until("WATCHDOG", "1");
	event_set(&puppet.let_stop);
	end(0);
}
END_TEST

START_TEST(a_heartbeat_that_is_kept_is_not_told_of)
{
	struct server server;

	watchdog("100000");
	make();
	server = puppet_server();
	server.heartbeat_ms = LONG_MS;
	add(&server);
	run_begin();
	event_set(&puppet.ready);
	hear_until("READY", "1");
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(server_heartbeat(puppet_ctx), 0);
	hear_until("WATCHDOG", "1");
	ck_assert_int_eq(noted("silent:puppet"), 0);
	stop_and_end();
}
END_TEST

START_TEST(a_heartbeat_of_nobody_and_of_a_one_shot_is_refused)
{
	struct server server = puppet_server();

	ck_assert_int_eq(server_heartbeat(NULL), -EINVAL);
	ck_assert_int_eq(server_heartbeat(context_background()), -EINVAL);
	app_make();
	server.oneshot = true;
	server.heartbeat_ms = 1;
	ck_assert_int_eq(app_add_server(app, &server), -EINVAL);
	app_free(&app);
}
END_TEST

/* ---- failure ---- */

START_TEST(a_failure_is_told_with_its_errno_and_the_exit_status)
{
	manager_begins();
	make_ready();
	puppet.code = -EIO;
	event_set(&puppet.quit);
	hear_until("ERRNO", "5");
	ck_assert(says("EXIT_STATUS", "1"));
	ck_assert(says("STATUS", "Failed: puppet: out of order"));
	end(-EIO);
}
END_TEST

static _Noreturn int stuck_start(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	for (;;)
		pause();
}

static int stuck_body(void)
{
	struct server server = {.name = "stuck", .start = stuck_start};

	options.stop_timeout_ms = 50;
	options.on_event = NULL;
	app_make();
	add(&server);
	stop_when_up();
	app_run(app, NULL);
	return 98;
}

START_TEST(who_is_ended_by_force_says_so_still)
{
	struct child child;

	manager_begins();
	child_start(&child, stuck_body);
	hear_until("EXIT_STATUS", "124");
	ck_assert_exit(&child, 124);
	manager_ends();
}
END_TEST

/* ---- a manager that does not listen ---- */

/* It is full at first. */
START_TEST(what_a_busy_manager_has_no_room_for_is_told_later)
{
	int filler = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	socklen_t size;

	*manager.dir = '\0';
	manager_begins();
	size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   strlen(manager.address.sun_path + 1));
	while (sendto(filler, "x", 1, 0, (struct sockaddr *)&manager.address,
		   size) == 1)
		;
	ck_assert_int_eq(errno, EAGAIN);
	make();
	add_puppet();
	run_begin();
	event_set(&puppet.ready);
	until("app-ready");
	hear_until("READY", "1");
	close(filler);
	stop_and_end();
}
END_TEST

/* And the app does not mind. */
START_TEST(a_manager_that_is_not_there_is_given_up_in_the_end)
{
	manager_begins();
	close(manager.fd);
	make();
	add_puppet();
	run_begin();
	event_set(&puppet.ready);
	until("app-ready");
	ck_assert_int_eq(noted("manager:service-manager"), 0);
	app_stop(app);
	ck_assert_int_eq(run_join(), 0);
	app_free(&app);
	unsetenv("NOTIFY_SOCKET");
}
END_TEST

/* _i: what is no address; the app goes on. */
START_TEST(an_address_that_is_none_is_told_of)
{
	static const char *const addresses[] = {"notify", "@", "/", "vsock:1:2",
	    NULL};
	char longest[200];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	setenv("NOTIFY_SOCKET", addresses[_i] ? addresses[_i] : longest, 1);
	make();
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("manager:service-manager"), 1);
	ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
	app_free(&app);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("app_manager");
	TCase *tcase;

	SUITE_ADD(suite, "ready",
	    ready_comes_after_the_last_server_and_what_lacks_is_told,
	    an_abstract_socket_is_as_good,
	    who_is_stopped_before_it_is_ready_never_is);
	SUITE_ADD(suite, "environment",
	    the_variables_are_gone_before_anything_starts,
	    who_wants_no_manager_leaves_all_as_it_is);
	tcase = suite_case(suite, "reload");
	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase,
	    a_reload_is_told_with_its_time_and_ready_again_after, 0, 2);
	SUITE_ADD(suite, "time",
	    the_manager_waits_for_our_own_time_to_start_and_to_stop,
	    who_has_no_time_of_its_own_asks_for_more_while_it_gets_further);
	SUITE_ADD(suite, "watchdog", the_watchdog_is_fed_twice_in_its_time,
	    a_watchdog_of_another_process_is_not_fed,
	    who_misses_a_heartbeat_starves_the_watchdog_until_the_next,
	    a_heartbeat_that_is_kept_is_not_told_of,
	    a_heartbeat_of_nobody_and_of_a_one_shot_is_refused);
	tcase = suite_case(suite, "watchdog's time");
	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase, a_time_that_is_none_is_no_watchdog, 0, 6);
	SUITE_ADD(suite, "failure",
	    a_failure_is_told_with_its_errno_and_the_exit_status,
	    who_is_ended_by_force_says_so_still);
	SUITE_ADD(suite, "deaf",
	    what_a_busy_manager_has_no_room_for_is_told_later,
	    a_manager_that_is_not_there_is_given_up_in_the_end);
	tcase = suite_case(suite, "no address");
	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase, an_address_that_is_none_is_told_of, 0, 5);
	return suite_run(suite);
}
