/* Signals: at any instant, on any thread, once or twice. */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/app_kit.h"

static struct probe a = PROBE(.name = "a", .blocks = true);

static int raise_hook(struct context *ctx, void *arg)
{
	const int *number = arg;

	(void)ctx;
	kill(getpid(), *number);
	return 0;
}

static void raise_when_up(const int *number)
{
	hook(APP_AFTER_START, raise_hook, number);
}

static const int sigterm = SIGTERM, sigint = SIGINT, sigquit = SIGQUIT;

/* ---- the first one ---- */

/* A7 */
START_TEST(the_default_signals_stop_the_app_in_good_order)
{
	static const int *const numbers[] = {&sigterm, &sigint, &sigquit};
	char word[16];

	options.on_event = note_event;
	app_make();
	add_probe(&a);
	raise_when_up(numbers[_i]);
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	ck_assert_int_eq(app_go(), 0);
	snprintf(word, sizeof(word), "signal:%d", *numbers[_i]);
	ck_assert_noted_in_order(word, "state:stopping", "stop:a",
	    "after-stop");
	app_free(&app);
}
END_TEST

static int run_with_sigusr1(void)
{
	static const int only[] = {SIGUSR1, 0};
	int code;

	options.signals = only;
	options.on_event = tell_event;
	app_make();
	add_probe(&a);
	code = app_go();
	return code ? 1 : 0;
}

/* A8 */
START_TEST(the_list_says_which_signals_stop_the_app)
{
	struct child child;

	child_start(&child, run_with_sigusr1);
	child_until(&child, "state:running");
	kill(child.pid, SIGUSR1);
	child_until(&child, "signal:");
	ck_assert_exit(&child, 0);
}
END_TEST

/* A8 */
START_TEST(signals_that_are_not_on_the_list_are_left_alone)
{
	struct child child;
	int status;

	child_start(&child, run_with_sigusr1);
	child_until(&child, "state:running");
	kill(child.pid, SIGTERM);
	status = child_end(&child);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGTERM);
}
END_TEST

static int run_told(void)
{
	static const int told[] = {SIGUSR2, SIGWINCH, 0};

	options.told_signals = told;
	options.on_event = tell_event;
	app_make();
	add_probe(&a);
	return app_go() ? 1 : 0;
}

/* A8 */
START_TEST(a_signal_that_is_told_does_nothing_else)
{
	struct child child;

	child_start(&child, run_told);
	child_until(&child, "state:running");
	for (int i = 0; i < 3; i++) {
		kill(child.pid, i == 1 ? SIGWINCH : SIGUSR2);
		child_until(&child, i == 1 ? "signal:28" : "signal:12");
	}
	kill(child.pid, SIGTERM);
	child_until(&child, "state:stopping");
	ck_assert_exit(&child, 0);
}
END_TEST

START_TEST(a_signal_that_is_told_is_for_nothing_else)
{
	static const int told[][2] = {{SIGTERM}, {SIGHUP}, {SIGKILL}, {NSIG}};

	for (int i = 0; i < 4; i++) {
		options.told_signals = told[i];
		options.reload_signal = SIGHUP;
		errno = 0;
		ck_assert_ptr_null(app_new(&options));
		ck_assert_int_eq(errno, EINVAL);
	}
}
END_TEST

/* A8 */
START_TEST(an_empty_list_is_no_signals)
{
	static const int none[] = {0};

	options.signals = none;
	app_make();
	add_probe(&a);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	app_free(&app);
}
END_TEST

/* A16 */
START_TEST(an_app_without_servers_runs_hooks_and_waits_for_a_signal)
{
	options.on_event = note_event;
	app_make();
	hook(APP_BEFORE_START, note_hook, "before-start");
	hook(APP_BEFORE_STOP, note_hook, "before-stop");
	raise_when_up(&sigterm);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("before-start", "signal:15", "before-stop",
	    "state:done");
	app_free(&app);
}
END_TEST

static int run_nothing(void)
{
	options.on_event = tell_event;
	app_make();
	return app_go() ? 1 : 0;
}

/* A16: the signal is the next thing that happens to it */
START_TEST(an_app_without_servers_runs_until_a_signal_comes)
{
	struct child child;

	child_start(&child, run_nothing);
	child_until(&child, "state:running");
	kill(child.pid, SIGTERM);
	ck_assert(child_next(&child));
	ck_assert_str_eq(child.line, "signal:15");
	ck_assert_exit(&child, 0);
}
END_TEST

/* A7: one that came before, while the caller had it blocked */
START_TEST(a_signal_that_is_pending_before_the_run_is_obeyed)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	kill(getpid(), SIGTERM);
	options.on_event = note_event;
	app_make();
	add_probe(&a);
	hook(APP_BEFORE_START, note_hook, "before-start");
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("signal:15"), 1);
	ck_assert_int_eq(noted("before-start"), 0);
	ck_assert_int_eq(noted("start:a"), 0);
	app_free(&app);
}
END_TEST

static bool raises_first;
static const pthread_t *raises_on; /* that thread, instead of the process */
static struct event handled = EVENT_INIT; /* by that thread */

/* Instead of the C library's: app_run makes its loop before all else. */
int epoll_create1(int flags)
{
	if (raises_first && raises_on) {
		pthread_kill(*raises_on, SIGTERM);
		event_wait(&handled);
	} else if (raises_first)
		kill(getpid(), SIGTERM);
	return (int)syscall(SYS_epoll_create1, flags);
}

/* A7: nothing of the app is there yet but its mask */
START_TEST(a_signal_in_the_first_moment_of_app_run_is_obeyed)
{
	options.on_event = note_event;
	app_make();
	add_probe(&a);
	hook(APP_BEFORE_START, note_hook, "before-start");
	raises_first = true;
	ck_assert_int_eq(app_go(), 0);
	raises_first = false;
	ck_assert_noted_in_order("signal:15", "state:before-stop-hooks");
	ck_assert_int_eq(noted("state:before-start-hooks"), 0);
	ck_assert_int_eq(noted("before-start"), 0);
	ck_assert_int_eq(noted("start:a"), 0);
	app_free(&app);
}
END_TEST

static void raise_when_done(const struct app_event *event, void *arg)
{
	note_event(event, arg);
	if (event->type == APP_EVENT_STATE && event->state == APP_STATE_DONE)
		kill(getpid(), SIGTERM);
}

/* A7: the loop takes no signal any more, and the default action would kill */
START_TEST(a_signal_in_the_last_moment_of_app_run_is_dropped)
{
	options.on_event = raise_when_done;
	app_make();
	add_probe(&a);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("state:done"), 1);
	ck_assert_int_eq(noted("signal:15"), 0);
	app_free(&app);
}
END_TEST

static int raise_and_wait(struct context *ctx, void *arg)
{
	(void)arg;
	kill(getpid(), SIGTERM);
	return context_wait(ctx, LONG_MS);
}

/* A7 */
START_TEST(a_signal_during_before_start_hooks_cuts_them_short)
{
	app_make();
	add_probe(&a);
	hook(APP_BEFORE_START, raise_and_wait, NULL);
	hook(APP_BEFORE_START, note_hook, "second");
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	ck_assert_int_eq(app_go(), 0);
	ck_assert_journal("after-stop");
	app_free(&app);
}
END_TEST

static int raise_and_finish(struct context *ctx, void *arg)
{
	raise_and_wait(ctx, arg);
	return 0;
}

/* A7: also if the one that was cut short says nothing of it */
START_TEST(no_before_start_hook_begins_after_a_signal)
{
	app_make();
	add_probe(&a);
	hook(APP_BEFORE_START, raise_and_finish, NULL);
	hook(APP_BEFORE_START, note_hook, "second");
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	ck_assert_int_eq(app_go(), 0);
	ck_assert_journal("after-stop");
	app_free(&app);
}
END_TEST

static int raise_and_serve(struct context *ctx, void *arg)
{
	kill(getpid(), SIGTERM);
	return probe_start(ctx, arg);
}

/* A7: in start, and in the barrier, since it never becomes ready */
START_TEST(a_signal_during_start_stops_what_was_started)
{
	struct server server = probe_server(&a);

	options.on_event = note_event;
	app_make();
	server.start = raise_and_serve;
	server.notifies = true;
	add(&server);
	hook(APP_AFTER_START, note_hook, "up");
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a", "stop:a", "end:a", "stopped:a");
	ck_assert_int_eq(noted("up"), 0);
	ck_assert_int_eq(noted("ready:a"), 0);
	app_free(&app);
}
END_TEST

static void note_mask(const struct app_event *event, void *arg)
{
	sigset_t mask;

	(void)arg;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (event->type == APP_EVENT_STATE)
		note(sigismember(&mask, SIGTERM) == 1 ? "blocked" : "open");
}

static int note_mask_hook(struct context *ctx, void *arg)
{
	struct app_event event = {.type = APP_EVENT_STATE};

	(void)ctx;
	note_mask(&event, arg);
	return 0;
}

/* A7: blocked wherever the app's code runs, from its first to its last state */
START_TEST(the_stop_signals_are_blocked_on_all_threads_of_the_app)
{
	options.on_event = note_mask;
	app_make();
	for (int i = APP_BEFORE_START; i <= APP_AFTER_STOP; i++)
		hook((enum app_phase)i, note_mask_hook, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_ge(noted("blocked"), 8);
	ck_assert_int_eq(noted("open"), 0);
	app_free(&app);
}
END_TEST

/* ---- any instant ---- */

static atomic_bool *inside; /* app_run has surely blocked the signals */
static bool keeps_blocked;

static void on_sigterm(int number)
{
	(void)number;
	_exit(atomic_load(inside) ? 99 : 0);
}

static void come_inside(const struct app_event *event, void *arg)
{
	(void)event;
	(void)arg;
	atomic_store(inside, true);
}

static int pause_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	kit_pause_ms(3);
	return 0;
}

static int slow_start(struct context *ctx, void *arg)
{
	kit_pause_ms(3);
	server_ready(ctx);
	return probe_start(ctx, arg);
}

static int run_until_signal(void)
{
	static struct probe slow = PROBE(.name = "slow", .blocks = true),
			    returns = PROBE(.name = "returns");
	struct sigaction action = {.sa_handler = on_sigterm};
	struct server server = probe_server(&slow);
	sigset_t set;
	int code;

	options.on_event = come_inside;
	app_make();
	add_probe(&a);
	server.start = slow_start;
	server.notifies = true;
	add(&server);
	add_probe(&returns);
	for (int i = APP_BEFORE_START; i <= APP_AFTER_STOP; i++)
		hook((enum app_phase)i, pause_hook, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	/* On odd rounds it stays blocked, and what came early is pending. */
	if (!keeps_blocked)
		sigprocmask(SIG_UNBLOCK, &set, NULL);
	code = app_run(app, &result);
	if (code || error_count())
		return 1;
	if (noted("start:a") != noted("stop:a") ||
	    noted("start:slow") != noted("stop:slow") ||
	    noted("start:returns") != noted("stop:returns"))
		return 2;
	app_free(&app);
	return 0;
}

/* A7, A13: from before app_run on, through all of the way up */
START_TEST(a_signal_at_any_instant_ends_the_app_cleanly)
{
	const int rounds = scale(200);
	sigset_t set;

	inside = mmap(NULL, sizeof(*inside), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(inside, MAP_FAILED);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	srandom(7);
	for (int i = 0; i < rounds; i++) {
		struct timespec pause = {0, random() % 20000000};
		struct child child;

		atomic_store(inside, false);
		keeps_blocked = i % 2;
		child_start(&child, run_until_signal);
		nanosleep(&pause, NULL);
		kill(child.pid, SIGTERM);
		ck_assert_exit(&child, 0);
	}
	munmap(inside, sizeof(*inside));
}
END_TEST

/* ---- another thread ---- */

static struct event gone = EVENT_INIT;

static void *unblocked_thread(void *unused)
{
	sigset_t set;

	sigemptyset(&set);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	event_wait(&gone);
	return unused;
}

static int raise_in_thread(struct context *ctx, void *arg)
{
	(void)ctx;
	return -pthread_kill(*(pthread_t *)arg, SIGTERM);
}

/* A7 */
START_TEST(a_signal_to_a_thread_that_does_not_block_it_is_obeyed)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, unblocked_thread, NULL),
	    0);
	options.on_event = note_event;
	app_make();
	add_probe(&a);
	hook(APP_AFTER_START, raise_in_thread, &thread);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("signal:15", "stop:a", "state:done");
	event_set(&gone);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	app_free(&app);
}
END_TEST

static void *suspended_thread(void *unused)
{
	sigset_t set;

	sigemptyset(&set);
	sigsuspend(&set);
	event_set(&handled);
	return unused;
}

/* A7: its handler is there before anything else of the app */
START_TEST(a_signal_to_such_a_thread_in_the_first_moment_of_app_run_is_obeyed)
{
	pthread_t thread;
	sigset_t set, before;

	/* Only while it is suspended, so that it is known when it was told. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	ck_assert_int_eq(pthread_create(&thread, NULL, suspended_thread, NULL),
	    0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	options.on_event = note_event;
	app_make();
	add_probe(&a);
	hook(APP_BEFORE_START, note_hook, "before-start");
	raises_on = &thread;
	raises_first = true;
	ck_assert_int_eq(app_go(), 0);
	raises_first = false;
	ck_assert_int_eq(noted("signal:15"), 1);
	ck_assert_int_eq(noted("start:a"), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	app_free(&app);
}
END_TEST

static int hang(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	event_wait(&gone);
	return 0;
}

static int run_with_unblocked_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, unblocked_thread, NULL);
	options.on_event = tell_event;
	app_make();
	hook(APP_BEFORE_STOP, hang, NULL);
	app_go();
	return 1;
}

/* A7, A8: the kernel may deliver them there */
START_TEST(signals_to_a_process_with_such_a_thread_force_its_end)
{
	struct child child;

	child_start(&child, run_with_unblocked_thread);
	child_until(&child, "state:running");
	kill(child.pid, SIGTERM);
	child_until(&child, "signal:15");
	child_until(&child, "state:before-stop");
	kill(child.pid, SIGINT);
	ck_assert_exit(&child, 128 + SIGINT);
}
END_TEST

/* ---- two apps ---- */

static struct app *other;
static int other_events;

static void count_signals(const struct app_event *event, void *arg)
{
	(void)arg;
	other_events += event->type == APP_EVENT_SIGNAL;
}

static void *run_other(void *arg)
{
	return app_run(other, NULL) ? arg : NULL;
}

static pthread_t start_other(struct probe *probe)
{
	struct server server = probe_server(probe);
	pthread_t thread;

	options.on_event = count_signals;
	other = app_new(&options);
	ck_assert_ptr_nonnull(other);
	ck_assert_int_eq(app_add_server(other, &server), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_other, other), 0);
	ck_assert(event_wait(&probe->started));
	options.on_event = note_event;
	return thread;
}

/* A7: whichever of them finds it */
START_TEST(a_signal_stops_all_apps_of_the_process)
{
	struct probe b = PROBE(.name = "b", .blocks = true);
	pthread_t thread = start_other(&b);
	void *outcome;

	app_make();
	add_probe(&a);
	raise_when_up(&sigterm);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(pthread_join(thread, &outcome), 0);
	ck_assert_ptr_null(outcome);
	ck_assert_int_eq(noted("signal:15"), 1);
	ck_assert_int_eq(other_events, 1);
	app_free(&app);
	app_free(&other);
}
END_TEST

static int raise_in_thread_and_stop(struct context *ctx, void *arg)
{
	/* Handled when pthread_kill is, as the thread is only waiting. */
	raise_in_thread(ctx, arg);
	kit_pause_ms(50);
	app_stop(app_from_context(ctx));
	return 0;
}

/* A8: the handler knows the latest app, which has another list */
START_TEST(an_app_is_not_stopped_by_the_signals_of_another)
{
	static const int only[] = {SIGUSR1, 0};
	struct probe b = PROBE(.name = "b", .blocks = true);
	pthread_t other_thread = start_other(&b), thread;
	void *outcome;

	ck_assert_int_eq(pthread_create(&thread, NULL, unblocked_thread, NULL),
	    0);
	options.signals = only;
	app_make();
	add_probe(&a);
	hook(APP_AFTER_START, raise_in_thread_and_stop, &thread);
	ck_assert_int_eq(app_go(), 0);
	/* The other one is, and ends on its own. */
	ck_assert_int_eq(pthread_join(other_thread, &outcome), 0);
	ck_assert_ptr_null(outcome);
	ck_assert_int_eq(noted("signal:15"), 0);
	ck_assert_int_eq(other_events, 1);
	event_set(&gone);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	app_free(&app);
	app_free(&other);
}
END_TEST

/* ---- the second one ---- */

static enum app_phase hanging_phase;

static void tell_kill(void *arg)
{
	(void)arg;
	tell("kill");
}

static int tell_and_hang(struct context *ctx, void *arg)
{
	tell("hanging");
	return hang(ctx, arg);
}

static int run_hanging_in_hook(void)
{
	struct server server = probe_server(&a);

	options.on_event = tell_event;
	app_make();
	server.kill = tell_kill;
	add(&server);
	hook(hanging_phase, tell_and_hang, NULL);
	app_go();
	return 1;
}

/* A8 */
START_TEST(a_second_signal_forces_the_end_of_a_hook_that_hangs)
{
	bool way_up = _i < APP_BEFORE_STOP;
	struct child child;

	hanging_phase = (enum app_phase)_i;
	child_start(&child, run_hanging_in_hook);
	child_until(&child, way_up ? "hanging" : "state:running");
	kill(child.pid, SIGTERM);
	child_until(&child, "signal:15");
	if (!way_up)
		child_until(&child, "hanging");
	kill(child.pid, SIGINT);
	child_until(&child, "signal:2");
	/* What the server has started is not left behind. */
	if (_i == APP_AFTER_START || _i == APP_BEFORE_STOP)
		child_until(&child, "kill");
	ck_assert_exit(&child, 128 + SIGINT);
}
END_TEST

static int run_hanging_in_stop(void)
{
	struct server server = {.name = "a", .start = pause_hook, .stop = hang};

	options.on_event = tell_event;
	app_make();
	add(&server);
	app_go();
	return 1;
}

/* A8 */
START_TEST(a_second_signal_while_a_stop_hangs_forces_the_end)
{
	struct child child;

	child_start(&child, run_hanging_in_stop);
	child_until(&child, "state:running");
	kill(child.pid, SIGTERM);
	child_until(&child, "stopping:a");
	kill(child.pid, SIGQUIT);
	ck_assert_exit(&child, 128 + SIGQUIT);
}
END_TEST

static int run_draining(void)
{
	struct server server = {.name = "a", .start = pause_hook, .stop = hang};

	options.drain_delay_ms = 1000 * LONG_MS;
	options.on_event = tell_event;
	app_make();
	add(&server);
	app_go();
	return 1;
}

/* A8, A19 */
START_TEST(a_second_signal_ends_the_drain_delay_and_the_next_one_forces)
{
	struct child child;

	child_start(&child, run_draining);
	child_until(&child, "state:running");
	kill(child.pid, SIGTERM);
	child_until(&child, "state:draining");
	kill(child.pid, SIGTERM);
	child_until(&child, "state:stopping");
	child_until(&child, "stopping:a");
	kill(child.pid, SIGTERM);
	ck_assert_exit(&child, 128 + SIGTERM);
}
END_TEST

static atomic_int signals_told;

/* The next one is sent only when the one before was seen: none is merged. */
static void raise_again(const struct app_event *event, void *arg)
{
	tell_event(event, arg);
	if (event->type == APP_EVENT_SIGNAL && ++signals_told == 1)
		kill(getpid(), SIGINT);
}

static int run_draining_with_two_signals(void)
{
	struct server server = {.name = "a", .start = pause_hook, .stop = hang};

	options.drain_delay_ms = 1000 * LONG_MS;
	options.on_event = raise_again;
	app_make();
	add(&server);
	app_go();
	return 1;
}

/* A8, A19: the second comes before the delay does */
START_TEST(two_signals_at_a_time_end_the_drain_delay_and_the_next_one_forces)
{
	struct child child;

	child_start(&child, run_draining_with_two_signals);
	child_until(&child, "state:running");
	kill(child.pid, SIGTERM);
	child_until(&child, "signal:15");
	child_until(&child, "signal:2");
	child_until(&child, "state:stopping");
	child_until(&child, "stopping:a");
	kill(child.pid, SIGTERM);
	ck_assert_exit(&child, 128 + SIGTERM);
}
END_TEST

static int run_draining_after_app_stop(void)
{
	options.drain_delay_ms = 1000 * LONG_MS;
	options.on_event = tell_event;
	app_make();
	add_probe(&a);
	stop_when_up();
	return app_go() ? 1 : 0;
}

/* A8, A12 */
START_TEST(the_first_signal_after_another_cause_ends_the_drain_delay)
{
	struct child child;

	child_start(&child, run_draining_after_app_stop);
	child_until(&child, "state:draining");
	kill(child.pid, SIGTERM);
	child_until(&child, "signal:15");
	child_until(&child, "state:stopping");
	ck_assert_exit(&child, 0);
}
END_TEST

static int raise_and_stop(struct context *ctx, void *arg)
{
	probe_stop(ctx, arg);
	/* The loop sees it, or the end of the run drops it. */
	kill(getpid(), SIGTERM);
	return 0;
}

/* A8 */
START_TEST(the_first_signal_after_another_cause_is_a_first_one)
{
	struct server server = probe_server(&a);

	options.on_event = note_event;
	app_make();
	server.stop = raise_and_stop;
	add(&server);
	stop_when_up();
	hook(APP_BEFORE_STOP, pause_hook, NULL);
	hook(APP_AFTER_STOP, note_hook, "after-stop");
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("stop:a", "after-stop", "state:done");
	app_free(&app);
}
END_TEST

/* ---- what it leaves ---- */

static void on_signal(int number)
{
	note("handler:%d", number);
}

static void ck_assert_as_before(const sigset_t *mask,
    const struct sigaction *actions)
{
	struct sigaction action;
	sigset_t now;

	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	for (int i = 1; i < NSIG; i++) {
		ck_assert_int_eq(sigismember(&now, i), sigismember(mask, i));
		if (sigaction(i, NULL, &action))
			continue;
		ck_assert_ptr_eq(action.sa_handler, actions[i].sa_handler);
		/* The C library has a flag of its own (SA_RESTORER). */
		ck_assert_int_eq(action.sa_flags & ~0x04000000,
		    actions[i].sa_flags & ~0x04000000);
	}
}

/* A8 */
START_TEST(mask_and_dispositions_are_as_before_when_app_run_returns)
{
	struct sigaction action = {.sa_handler = on_signal}, actions[NSIG];
	sigset_t mask;

	sigaction(SIGTERM, &action, NULL);
	signal(SIGINT, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigaddset(&mask, SIGQUIT);
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
	for (int i = 1; i < NSIG; i++)
		sigaction(i, NULL, &actions[i]);
	app_make();
	add_probe(&a);
	raise_when_up(&sigterm);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_as_before(&mask, actions);
	ck_assert_int_eq(app_go(), -EALREADY);
	ck_assert_as_before(&mask, actions);
	app_free(&app);
	app_make();
	app_stop(app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_as_before(&mask, actions);
	app_free(&app);
	/* None is left over for the handler either. */
	ck_assert_int_eq(noted("handler:15"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("app_signals");
	TCase *tcase;

	SUITE_ADD(suite, "the first one",
	    the_list_says_which_signals_stop_the_app,
	    signals_that_are_not_on_the_list_are_left_alone,
	    a_signal_that_is_told_does_nothing_else,
	    a_signal_that_is_told_is_for_nothing_else,
	    an_empty_list_is_no_signals,
	    an_app_without_servers_runs_hooks_and_waits_for_a_signal,
	    an_app_without_servers_runs_until_a_signal_comes,
	    a_signal_that_is_pending_before_the_run_is_obeyed,
	    a_signal_in_the_first_moment_of_app_run_is_obeyed,
	    a_signal_in_the_last_moment_of_app_run_is_dropped,
	    a_signal_during_before_start_hooks_cuts_them_short,
	    no_before_start_hook_begins_after_a_signal,
	    a_signal_during_start_stops_what_was_started,
	    the_stop_signals_are_blocked_on_all_threads_of_the_app);
	SUITE_ADD(suite, "any instant",
	    a_signal_at_any_instant_ends_the_app_cleanly);
	SUITE_ADD(suite, "another thread",
	    a_signal_to_a_thread_that_does_not_block_it_is_obeyed,
	    a_signal_to_such_a_thread_in_the_first_moment_of_app_run_is_obeyed,
	    signals_to_a_process_with_such_a_thread_force_its_end);
	SUITE_ADD(suite, "two apps", a_signal_stops_all_apps_of_the_process,
	    an_app_is_not_stopped_by_the_signals_of_another);
	SUITE_ADD(suite, "the second one",
	    a_second_signal_while_a_stop_hangs_forces_the_end,
	    a_second_signal_ends_the_drain_delay_and_the_next_one_forces,
	    two_signals_at_a_time_end_the_drain_delay_and_the_next_one_forces,
	    the_first_signal_after_another_cause_ends_the_drain_delay,
	    the_first_signal_after_another_cause_is_a_first_one);
	SUITE_ADD(suite, "what it leaves",
	    mask_and_dispositions_are_as_before_when_app_run_returns);
	tcase = suite_case(suite, "each of several");
	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase,
	    the_default_signals_stop_the_app_in_good_order, 0, 3);
	tcase_add_loop_test(tcase,
	    a_second_signal_forces_the_end_of_a_hook_that_hangs,
	    APP_BEFORE_START, APP_AFTER_STOP + 1);
	return suite_run(suite);
}
