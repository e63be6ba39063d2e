/*
 * What an app says of those who hang, and of all of them when asked. See
 * check_app_stop.c for the steps before (the deadline, the cancelled context,
 * the grace) and check_app_signals.c for the second signal.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "app/internal.h"
#include "tests/app_kit.h"

/* ---- the lines ---- */

static struct {
	pthread_mutex_t lock;
	char text[1 << 16]; /* "server|text\n" for each line of a report */
	/* The server whose line is the last one, and how that begins. */
	const char *last, *last_text;
	struct event done;
} report = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = EVENT_INIT};

static void keep_line(const struct app_event *event)
{
	const char *server = event->server ? event->server : "";
	size_t used;

	pthread_mutex_lock(&report.lock);
	used = strlen(report.text);
	snprintf(report.text + used, sizeof(report.text) - used, "%s|%s\n",
	    server, event->text);
	pthread_mutex_unlock(&report.lock);
	if (report.last && !strcmp(server, report.last) &&
	    (!report.last_text || !strncmp(event->text, report.last_text,
				      strlen(report.last_text))))
		event_set(&report.done);
}

static void keep_report(const struct app_event *event, void *arg)
{
	note_event(event, arg);
	if (event->type == APP_EVENT_REPORT)
		keep_line(event);
}

/* A line that begins with that, and has this in it. */
static bool has_line(const char *beginning, const char *part)
{
	char line[1024];

	for (const char *from = report.text; *from;) {
		size_t length = strcspn(from, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)length, from);
		if (!strncmp(line, beginning, strlen(beginning)) &&
		    strstr(line, part))
			return true;
		from += length + 1;
	}
	return false;
}

#define ck_assert_line(beginning, part)                                    \
	ck_assert_msg(has_line(beginning, part),                           \
	    "no line that begins with %s and has %s in:\n%s%s", beginning, \
	    part, report.text, journal.text)

#define ck_assert_no_line(beginning, part)                             \
	ck_assert_msg(!has_line(beginning, part),                      \
	    "there is a line with %s and %s in:\n%s", beginning, part, \
	    report.text)

/* Asks, from a function of the program, and waits for the last line. */
static int ask(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	app_report(app);
	return event_wait(&report.done) ? 0 : -ETIMEDOUT;
}

static struct probe a = PROBE(.name = "a", .blocks = true);
static struct probe b = PROBE(.name = "b", .blocks = true);
static struct probe c = PROBE(.name = "c", .blocks = true);

static const char *const on_a[] = {"a", NULL}, *const on_b[] = {"b", NULL};

static void add_after(struct probe *probe, const char *const *after)
{
	struct server server = probe_server(probe);

	server.after = after;
	add(&server);
}

/* ---- a report when asked ---- */

static int ask_in_start(struct context *ctx, void *arg)
{
	if (ask(ctx, arg))
		return -ETIMEDOUT;
	server_ready(ctx);
	return probe_start(ctx, arg);
}

START_TEST(a_report_during_the_start_says_who_waits_for_whom)
{
	struct server server = probe_server(&a);

	options.on_event = keep_report;
	report.last = "c";
	app_make();
	server.start = ask_in_start;
	server.notifies = true;
	add(&server);
	add_after(&b, on_a);
	add_after(&c, on_b);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_line("|starting for ", ", not ready; 0 of 3 servers ready");
	ck_assert_line("a|starting for ", " ms");
	ck_assert_no_line("a|starting", "waits for");
	ck_assert_line("a|start in thread ", ": ");
	ck_assert_line("b|waiting for ", ", waits for a");
	ck_assert_line("c|waiting for ", ", waits for b");
	ck_assert_no_line("c|waiting", "waits for a");
	ck_assert_no_line("b|start", "thread");
	app_free(&app);
}
END_TEST

START_TEST(a_report_while_running_has_all_servers_and_their_threads)
{
	options.on_event = keep_report;
	report.last = "";
	report.last_text = "after-start hook in thread";
	app_make();
	add_probe(&a);
	add_after(&b, on_a);
	hook(APP_AFTER_START, ask, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_line("|after-start hooks for ",
	    ", ready; 2 of 2 servers ready");
	ck_assert_line("a|ready for ", " ms");
	ck_assert_line("b|ready for ", " ms");
	ck_assert_no_line("", "waits for");
	ck_assert_no_line("", "restart");
	ck_assert_no_line("", "last error");
	ck_assert_line("a|start in thread ", ": ");
	ck_assert_line("|after-start hook in thread ", ": ");
	app_free(&app);
}
END_TEST

static int ask_in_stop(struct context *ctx, void *arg)
{
	return ask(ctx, arg) ? -ETIMEDOUT : probe_stop(ctx, arg);
}

START_TEST(a_report_during_the_stop_says_who_is_held_up)
{
	struct server server = probe_server(&c);

	options.on_event = keep_report;
	report.last = "c";
	report.last_text = "stop in thread";
	app_make();
	add_probe(&a);
	add_after(&b, on_a);
	server.after = on_b;
	server.stop = ask_in_stop;
	add(&server);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_line("|stopping for ", ", not ready; 2 of 3 servers ready");
	ck_assert_line("a|ready for ", ", waits for b");
	ck_assert_line("b|ready for ", ", waits for c");
	ck_assert_line("c|stopping for ", " ms");
	ck_assert_no_line("c|stopping", "waits for");
	ck_assert_line("c|start in thread ", ": ");
	ck_assert_line("c|stop in thread ", ": ");
	app_free(&app);
}
END_TEST

static int ask_in_hook(struct context *ctx, void *arg)
{
	note("%s", (const char *)arg);
	return ask(ctx, arg);
}

START_TEST(a_report_before_the_start_has_the_hook)
{
	options.on_event = keep_report;
	report.last = "";
	report.last_text = "before-start hook in thread";
	app_make();
	add_probe(&a);
	hook(APP_BEFORE_START, ask_in_hook, "asked");
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_line("|before-start hooks for ", ", not ready; 0 of 1 ");
	ck_assert_line("a|waiting for ", " ms");
	ck_assert_no_line("a|waiting for", "waits for");
	app_free(&app);
}
END_TEST

static struct event failing_may_end = EVENT_INIT;
static int failures;

static int fail_at_first(struct context *ctx, void *arg)
{
	if (failures)
		return probe_start(ctx, arg);
	failures++;
	event_wait(&failing_may_end);
	return error_set(-EIO, "a cable is loose");
}

static bool is_in_state(void *arg)
{
	struct server_status status;

	return !server_state(app, "a", &status) &&
	       status.state == *(enum server_state *)arg;
}

static int fail_and_ask(struct context *ctx, void *arg)
{
	event_set(&failing_may_end);
	return event_poll(is_in_state, arg) ? ask(ctx, arg) : -ETIMEDOUT;
}

START_TEST(a_report_has_the_restarts_and_the_last_error)
{
	enum server_state restarting = SERVER_RESTARTING;
	struct server server = probe_server(&a);

	options.on_event = keep_report;
	report.last = "b";
	app_make();
	server.start = fail_at_first;
	server.restart = (struct server_restart){SERVER_RESTART_ON_FAILURE,
	    .delay_ms = LONG_MS, .max_delay_ms = LONG_MS};
	event_set(&a.started);
	add(&server);
	add_probe(&b);
	hook(APP_AFTER_START, fail_and_ask, &restarting);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_line("a|restarting for ", ", 1 restart, starts again in ");
	ck_assert_line("a|last error: a cable is loose", "");
	ck_assert_no_line("b|", "last error");
	app_free(&app);
}
END_TEST

static int ask_when_lost(struct context *ctx, void *arg)
{
	enum server_state lost = SERVER_LOST;

	if (!event_poll(is_in_state, &lost))
		return -ETIMEDOUT;
	if (ask(ctx, arg))
		return -ETIMEDOUT;
	server_ready(ctx);
	return probe_start(ctx, arg);
}

START_TEST(a_report_says_only_what_is_waited_for)
{
	const char *const wants[] = {"a", NULL};
	struct probe lost = PROBE(.name = "a", .start_code = -EIO);
	struct server server = probe_server(&lost), slow = probe_server(&b);
	struct server waiting = probe_server(&c);

	options.on_event = keep_report;
	report.last = "c";
	app_make();
	server.optional = true;
	add(&server);
	slow.start = ask_when_lost;
	slow.notifies = true;
	add(&slow);
	waiting.wants = wants;
	waiting.after = on_b;
	add(&waiting);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_line("a|lost for ", " ms");
	ck_assert_line("a|last error: a cannot start", "");
	ck_assert_line("c|waiting for ", ", waits for b");
	ck_assert_no_line("c|waiting for ", "waits for a");
	ck_assert_no_line("c|waiting for ", ", a");
	app_free(&app);
}
END_TEST

static int fail_and_await(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	event_set(&failing_may_end);
	return event_wait(&report.done) ? 0 : -ETIMEDOUT;
}

/* b, which only wants a, stays; c, which needs it, restarts with it. */
START_TEST(a_report_names_nobody_who_stays_as_holding_up)
{
	struct server server = probe_server(&a), stays = probe_server(&b);
	struct server leaves = probe_server(&c);

	options.on_event = keep_report;
	report.last = "c";
	report.last_text = "stop in thread";
	app_make();
	server.start = fail_at_first;
	server.restart = (struct server_restart){SERVER_RESTART_ON_FAILURE,
	    SERVER_RESTART_DEPENDENTS, .delay_ms = LONG_MS,
	    .max_delay_ms = LONG_MS};
	event_set(&a.started);
	add(&server);
	stays.wants = on_a;
	add(&stays);
	leaves.after = on_a;
	leaves.stop = ask_in_stop;
	add(&leaves);
	hook(APP_AFTER_START, fail_and_await, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_line("a|failing for ", ", waits for c");
	ck_assert_no_line("a|failing for ", "waits for b");
	ck_assert_no_line("a|failing for ", ", b");
	app_free(&app);
}
END_TEST

/* A line has its end; what does not fit is counted. */
START_TEST(a_report_counts_whom_it_does_not_name)
{
	enum { MANY = 50 };
	static char names[MANY][32];
	static struct probe many[MANY];
	const char *after[MANY + 1] = {NULL};
	struct server slow = probe_server(&a);

	options.on_event = keep_report;
	report.last = "b";
	app_make();
	slow.start = ask_in_start;
	slow.notifies = true;
	add(&slow);
	for (int i = 0; i < MANY; i++) {
		struct probe probe = PROBE(.name = names[i]);

		snprintf(names[i], sizeof(names[i]),
		    "a-name-as-long-as-a-name-may-%02d", i);
		many[i] = probe;
		add_after(&many[i], on_a);
		after[i] = names[i];
	}
	add_after(&b, after);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_line("b|waiting for ",
	    ", waits for a-name-as-long-as-a-name-may-00, a-name-as-long-as-a-"
	    "name-may-01, a-name-as-long-as-a-name-may-02");
	ck_assert_line("b|waiting for ", " and 4");
	ck_assert_line("b|waiting for ", " more");
	app_free(&app);
}
END_TEST

static int by_signal(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	kill(getpid(), SIGUSR1);
	return event_wait(&report.done) ? 0 : -ETIMEDOUT;
}

/* A8 */
START_TEST(a_signal_asks_for_a_report_and_does_not_stop_the_app)
{
	options.on_event = keep_report;
	options.report_signal = SIGUSR1;
	report.last = "a";
	app_make();
	add_probe(&a);
	hook(APP_AFTER_START, by_signal, NULL);
	hook(APP_AFTER_START, note_hook, "still-there");
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("signal:10", "still-there",
	    "state:before-stop-hooks");
	ck_assert_line("a|ready for ", "");
	app_free(&app);
}
END_TEST

static atomic_int handled;

static void on_signal(int number)
{
	handled = number;
}

static bool is_handled(void *unused)
{
	(void)unused;
	return handled == SIGUSR1;
}

static int signal_for_the_program(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	kill(getpid(), SIGUSR1);
	return event_poll(is_handled, NULL) ? 0 : -ETIMEDOUT;
}

/* A8 */
START_TEST(without_a_report_signal_it_is_the_programs_own)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGUSR1, &action, NULL);
	options.on_event = keep_report;
	app_make();
	add_probe(&a);
	hook(APP_AFTER_START, signal_for_the_program, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_str_eq(report.text, "");
	ck_assert_int_eq(noted("signal:10"), 0);
	app_free(&app);
}
END_TEST

START_TEST(a_report_that_nobody_hears_harms_nobody)
{
	options.on_event = NULL;
	options.report_signal = SIGUSR1;
	app_make();
	ck_assert_int_eq(app_report(app), 0);
	add_probe(&a);
	hook(APP_AFTER_STOP, ask_in_hook, "asked");
	stop_when_up();
	event_set(&report.done);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(app_report(app), 0);
	app_free(&app);
}
END_TEST

/* ---- on standard error ---- */

/* A pipe in the place of standard error, which is full. */
static struct {
	int source, sink, saved;
} pipeline;

static void replace_stderr(void)
{
	static const char filling[4096];
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	while (write(fds[1], filling, sizeof(filling)) > 0)
		;
	fcntl(fds[1], F_SETFL, 0);
	pipeline.source = fds[0];
	pipeline.sink = fds[1];
	pipeline.saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	dup2(pipeline.sink, STDERR_FILENO);
}

static void restore_stderr(void)
{
	dup2(pipeline.saved, STDERR_FILENO);
	close(pipeline.saved);
	close(pipeline.sink);
	close(pipeline.source);
}

/* Asked for by each report, on the thread of app_run. */
static struct event told = EVENT_INIT;

static pid_t count_reports(void *arg)
{
	(void)arg;
	event_set(&told);
	return 0;
}

/* A report has begun after this, and the one before it is over. */
static bool report_again(void)
{
	int before;

	pthread_mutex_lock(&told.lock);
	before = told.count;
	pthread_mutex_unlock(&told.lock);
	app_report(app);
	return event_wait_count(&told, before + 1);
}

static int report_in_vain(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	for (int i = 0; i < 3; i++)
		if (!report_again())
			return -ETIMEDOUT;
	return 0;
}

/* What comes in until that does. */
static bool read_until(const char *text)
{
	char in[1 << 17];
	size_t used = 0;
	struct pollfd source = {.fd = pipeline.source, .events = POLLIN};
	ssize_t n;

	while (poll(&source, 1, LONG_MS) == 1 &&
	       (n = read(pipeline.source, in + used, sizeof(in) - used)) > 0) {
		used += (size_t)n;
		if (memmem(in, used, text, strlen(text)))
			return true;
	}
	return false;
}

static int report_and_read(struct context *ctx, void *arg)
{
	if (report_in_vain(ctx, arg))
		return -ETIMEDOUT;
	app_report(app);
	return read_until(" lines lost here: nobody read them\n") ? 0 : -ETIME;
}

static void run_unread(task_fn *fn)
{
	struct server server = probe_server(&a);

	options.on_event = NULL;
	app_make();
	server.pid = count_reports;
	add(&server);
	hook(APP_AFTER_START, fn, NULL);
	stop_when_up();
	replace_stderr();
	app_go();
	restore_stderr();
	ck_assert_msg(!result.code, "%s", result.text);
	app_free(&app);
}

START_TEST(a_report_that_nobody_reads_does_not_keep_the_app_from_stopping)
{
	run_unread(report_in_vain);
}
END_TEST

START_TEST(a_report_says_how_many_lines_were_lost_before)
{
	run_unread(report_and_read);
}
END_TEST

/* ---- who hangs ---- */

enum place {
	IN_START,
	IN_STOP,
	IN_BEFORE_START,
	IN_AFTER_START,
	IN_BEFORE_STOP,
	IN_AFTER_STOP,
	IN_REGISTER,
	IN_DEREGISTER,
	PLACES
};

static const struct {
	const char *word, *phase, *thread, *left;
} hangs[PLACES] = {
    [IN_START] = {"stuck:hanging", "stuck in start for ",
	"hanging|start in thread ", "still running: hanging (start)"},
    [IN_STOP] = {"stuck:hanging", "stuck in stop for ",
	"hanging|stop in thread ", "still running: hanging (stop)"},
    [IN_BEFORE_START] = {"stuck:before-start-hook",
	"stuck in before-start hooks for ", "|before-start hook in thread ",
	"still running: before-start hook"},
    [IN_AFTER_START] = {"stuck:after-start-hook",
	"stuck in after-start hooks for ", "|after-start hook in thread ",
	"still running: after-start hook"},
    [IN_BEFORE_STOP] = {"stuck:before-stop-hook",
	"stuck in before-stop hooks for ", "|before-stop hook in thread ",
	"still running: before-stop hook"},
    [IN_AFTER_STOP] = {"stuck:after-stop-hook",
	"stuck in after-stop hooks for ", "|after-stop hook in thread ",
	"still running: after-stop hook"},
    [IN_REGISTER] = {"stuck:registrar", "stuck in registering for ",
	"|registrar in thread ", "still running: registrar"},
    [IN_DEREGISTER] = {"stuck:registrar", "stuck in deregistering for ",
	"|registrar in thread ", "still running: registrar"},
};

static enum place hanging_place;
static int wall[2]; /* a pipe that nobody writes to before the test says so */
static struct event hangs_now = EVENT_INIT, back = EVENT_INIT;

static int hang_in_read(struct context *ctx, void *arg)
{
	char byte;

	(void)ctx;
	(void)arg;
	event_set(&hangs_now);
	while (read(wall[0], &byte, 1) < 0)
		;
	event_set(&back);
	return 0;
}

static int hang_in_registrar(struct context *ctx,
    const struct instance *instance, void *arg)
{
	(void)instance;
	return hang_in_read(ctx, arg);
}

static int register_at_once(struct context *ctx,
    const struct instance *instance, void *arg)
{
	(void)ctx;
	(void)instance;
	(void)arg;
	return 0;
}

static int do_nothing(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	return 0;
}

static void *stop_when_it_hangs(void *unused)
{
	event_wait(&hangs_now);
	app_stop(app);
	return unused;
}

static void build_hanging(void)
{
	static struct registrar registrar;
	struct server server = {.name = "hanging",
	    .start = hanging_place == IN_START ? hang_in_read : do_nothing,
	    .stop = hanging_place == IN_STOP ? hang_in_read : do_nothing};
	bool down = hanging_place == IN_BEFORE_STOP ||
		    hanging_place == IN_AFTER_STOP ||
		    hanging_place == IN_DEREGISTER || hanging_place == IN_STOP;
	pthread_t thread;

	if (pipe2(wall, O_CLOEXEC))
		_exit(96);
	registrar.register_instance =
	    hanging_place == IN_REGISTER ? hang_in_registrar : register_at_once;
	registrar.deregister_instance = hanging_place == IN_DEREGISTER
					    ? hang_in_registrar
					    : register_at_once;
	options.registrar = &registrar;
	options.stop_timeout_ms = 100;
	app_make();
	add(&server);
	add_probe(&a);
	if (hanging_place >= IN_BEFORE_START && hanging_place <= IN_AFTER_STOP)
		hook((enum app_phase)(hanging_place - IN_BEFORE_START),
		    hang_in_read, NULL);
	if (down) {
		stop_when_up();
		return;
	}
	/* The way up, and a start, hang before anybody stops the app. */
	pthread_create(&thread, NULL, stop_when_it_hangs, NULL);
	pthread_detach(thread);
}

static void tell_all(const struct app_event *event, void *arg)
{
	char word[64];

	(void)arg;
	word_of_event(event, word, sizeof(word));
	if (event->type == APP_EVENT_REPORT)
		tell("%s|%s", event->server ? event->server : "", event->text);
	else if (event->type == APP_EVENT_STUCK)
		tell("%s:%d:%s", word, event->took_ms >= 1000,
		    event->error->text);
	else
		tell("%s", word);
}

static int run_hanging(void)
{
	options.on_event = tell_all;
	build_hanging();
	tell("pipe:%d", wall[0]);
	app_go();
	return 0;
}

/* How it looks if the kernel says: "read(7) on pipe:[". */
static void say_place(char *text, size_t size, int fd)
{
	if (access("/proc/self/syscall", R_OK) || fd < 0)
		snprintf(text, size, ": ");
	else
		snprintf(text, size, ": read(%d) on pipe:[", fd);
}

/* One for each place, at one time: most of theirs goes by in waiting. */
static void start_all(struct child children[static PLACES], int (*body)(void))
{
	for (int i = 0; i < PLACES; i++) {
		hanging_place = (enum place)i;
		child_start(&children[i], body);
	}
}

static void check_hanging(struct child *child, int i)
{
	char place[64], beginning[128];

	child_until(child, "pipe:");
	say_place(place, sizeof(place), atoi(child->line + strlen("pipe:")));
	snprintf(beginning, sizeof(beginning), "%s:1:%s", hangs[i].word,
	    hangs[i].phase);
	child_until(child, beginning);
	ck_assert_msg(strstr(child->line, place), "no %s in %s", place,
	    child->line);
	/* In seconds: at least the deadline and the grace. */
	ck_assert_msg(child->line[strlen(beginning)] >= '1' &&
			  strspn(child->line + strlen(beginning) + 1, ". "),
	    "how long? %s", child->line);
	child_until(child, hangs[i].thread);
	ck_assert_msg(strstr(child->line, place), "no %s in %s", place,
	    child->line);
	/* And the stack, from the inside; see where.h for the exception. */
	if (!is_emulated()) {
		ck_assert(child_next(child));
		ck_assert_ptr_nonnull(strstr(child->line, "|  #0 "));
	}
	ck_assert_exit(child, 124);
}

/* A9 */
START_TEST(one_that_hangs_is_named_with_its_phase_time_and_system_call)
{
	struct child children[PLACES];

	start_all(children, run_hanging);
	for (int i = 0; i < PLACES; i++)
		check_hanging(&children[i], i);
}
END_TEST

/* ---- APP_STUCK_RETURN ---- */

static struct sigaction actions[NSIG];
static sigset_t mask;

static void keep_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGQUIT);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	for (int i = 1; i < NSIG; i++)
		sigaction(i, NULL, &actions[i]);
}

static bool signals_are_as_before(void)
{
	struct sigaction action;
	sigset_t now;
	bool same = true;

	pthread_sigmask(SIG_SETMASK, NULL, &now);
	for (int i = 1; i < NSIG; i++) {
		same = same && sigismember(&now, i) == sigismember(&mask, i);
		if (!sigaction(i, NULL, &action))
			same =
			    same && action.sa_handler == actions[i].sa_handler;
	}
	return same;
}

static bool is_alone(void *unused)
{
	(void)unused;
	return suite_workers() == 0;
}

/* Lets what hangs go on, until its threads have come to their end. */
static bool release(void)
{
	return write(wall[1], "", 1) == 1 && event_wait(&back) &&
	       event_poll(is_alone, NULL);
}

/*
 * What is left behind is never freed: its threads may use it yet. The pointer
 * tells whoever looks for leaks that this is not one.
 */
static const struct app *volatile left_behind;

static void free_left_behind(void)
{
	left_behind = app;
	app_free(&app);
}

static int run_and_return(void)
{
	int status, code;
	size_t before;

	options.on_event = tell_all;
	options.stuck = APP_STUCK_RETURN;
	build_hanging();
	tell("pipe:%d", wall[0]);
	keep_signals();
	code = app_run(app, &result);
	status = app_exit_status(app);
	before = error_count();
	tell("returned %d %d %s: %s", code, status, result.origin, result.text);
	tell(signals_are_as_before() ? "signals" : "other signals");
	tell(app_ready(app) ? "ready" : "not ready");
	tell("second %d %d", app_run(app, NULL), app_exit_status(app));
	if (!release())
		return 95;
	tell("errors %s", before && error_count() == before ? "kept" : "grow");
	free_left_behind();
	tell(app ? "there" : "freed");
	return 0;
}

static void check_returned(struct child *child, int i)
{
	char line[128];

	child_until(child, hangs[i].word);
	snprintf(line, sizeof(line), "returned %d 124 app: %s", -ETIMEDOUT,
	    hangs[i].left);
	child_until(child, "returned ");
	ck_assert_str_eq(child->line, line);
	ck_assert(child_next(child));
	ck_assert_str_eq(child->line, "signals");
	ck_assert(child_next(child));
	ck_assert_str_eq(child->line, "not ready");
	ck_assert(child_next(child));
	snprintf(line, sizeof(line), "second %d 124", -EALREADY);
	ck_assert_str_eq(child->line, line);
	ck_assert(child_next(child));
	ck_assert_str_eq(child->line, "errors kept");
	ck_assert(child_next(child));
	ck_assert_str_eq(child->line, "freed");
	ck_assert_exit(child, 0);
}

/* A9 */
START_TEST(an_app_may_choose_to_return_and_leave_the_stuck_behind)
{
	struct child children[PLACES];

	start_all(children, run_and_return);
	for (int i = 0; i < PLACES; i++)
		check_returned(&children[i], i);
}
END_TEST

static int run_free_and_release(void)
{
	options.stuck = APP_STUCK_RETURN;
	build_hanging();
	if (app_run(app, &result) != -ETIMEDOUT)
		return 1;
	free_left_behind();
	/* It goes on with what it was given. */
	if (!release())
		return 2;
	/* And another app may run, and end well. */
	hanging_place = PLACES;
	event_set(&hangs_now);
	options.stuck = APP_STUCK_EXIT;
	build_hanging();
	if (app_run(app, &result))
		return 3;
	app_free(&app);
	return 0;
}

START_TEST(what_was_left_behind_may_come_back_after_app_free)
{
	struct child children[PLACES];

	start_all(children, run_free_and_release);
	for (int i = 0; i < PLACES; i++)
		ck_assert_exit(&children[i], 0);
}
END_TEST

static int fail_when_released(struct context *ctx, void *arg)
{
	hang_in_read(ctx, arg);
	return error_set(-EIO, "too late to matter");
}

/* Under the lock, as nothing else tells. */
static bool has_halted(void *unused)
{
	bool halted;

	(void)unused;
	pthread_mutex_lock(&app->lock);
	halted = app->units.all[0]->mail & MAIL_HALTED;
	pthread_mutex_unlock(&app->lock);
	return halted;
}

static int run_and_fail_late(void)
{
	struct server server = {.name = "hanging",
	    .start = do_nothing,
	    .stop = fail_when_released};
	const struct error *errors;
	size_t before, after;

	if (pipe2(wall, O_CLOEXEC))
		return 96;
	options.stop_timeout_ms = 50;
	options.stuck = APP_STUCK_RETURN;
	app_make();
	add(&server);
	stop_when_up();
	if (app_run(app, &result) != -ETIMEDOUT)
		return 1;
	errors = app_errors(app, &before);
	if (before != 1 || errors[0].code != -ETIMEDOUT)
		return 2;
	if (write(wall[1], "", 1) != 1 || !event_poll(has_halted, NULL))
		return 3;
	if (app_errors(app, &after) != errors || after != before)
		return 4;
	free_left_behind();
	return 0;
}

START_TEST(the_errors_of_a_run_are_final_though_something_still_runs)
{
	struct child child;

	child_start(&child, run_and_fail_late);
	ck_assert_exit(&child, 0);
}
END_TEST

static int run_two_that_hang(void)
{
	struct server other = {.name = "other",
	    .start = hang_in_read,
	    .stop = do_nothing};

	options.on_event = tell_all;
	options.stuck = APP_STUCK_RETURN;
	hanging_place = IN_STOP;
	build_hanging();
	add(&other);
	app_run(app, &result);
	tell("returned %s", result.text);
	return 0;
}

/* A9: all of them, not the first */
START_TEST(all_that_hang_are_named)
{
	struct child child;

	child_start(&child, run_two_that_hang);
	child_until(&child, "stuck:hanging:1:stuck in stop for ");
	child_until(&child, "stuck:other:1:stuck in start for ");
	child_until(&child, "returned ");
	ck_assert_str_eq(child.line,
	    "returned still running: hanging (stop), other (start)");
	ck_assert_exit(&child, 0);
}
END_TEST

enum { CROWD = 14 };

static int run_crowd_that_hangs(void)
{
	static char names[CROWD][NAME_SIZE];

	options.on_event = tell_event;
	options.stuck = APP_STUCK_RETURN;
	options.stop_timeout_ms = 50;
	if (pipe2(wall, O_CLOEXEC))
		return 96;
	app_make();
	for (int i = 0; i < CROWD; i++) {
		struct server server = {.name = names[i],
		    .start = do_nothing,
		    .stop = hang_in_read};

		snprintf(names[i], sizeof(names[i]), "a-rather-long-name-%d",
		    i);
		add(&server);
	}
	stop_when_up();
	app_run(app, &result);
	tell("returned %s", result.text);
	return 0;
}

/* A9 */
START_TEST(those_that_hang_and_are_not_named_are_counted)
{
	struct child child;
	int named = 0, left = 0;

	child_start(&child, run_crowd_that_hangs);
	child_until(&child, "returned still running: ");
	for (const char *at = child.line; (at = strstr(at, "(stop)")); at++)
		named++;
	ck_assert_int_gt(named, 3);
	ck_assert_ptr_nonnull(strstr(child.line, "(stop) and "));
	sscanf(strstr(child.line, "(stop) and "), "(stop) and %d more", &left);
	ck_assert_int_eq(named + left, CROWD);
	ck_assert_exit(&child, 0);
}
END_TEST

/* The registry is down, and the report comes while the next try is due. */
static int refuse_to_register(struct context *ctx,
    const struct instance *instance, void *arg)
{
	(void)ctx;
	(void)instance;
	(void)arg;
	return error_set(-ECONNREFUSED, "the registry is down");
}

static void report_and_stop(const struct app_event *event, void *arg)
{
	keep_report(event, arg);
	if (event->type == APP_EVENT_REGISTRAR_RETRY)
		app_report(app);
	if (event->type == APP_EVENT_REPORT &&
	    strstr(event->text, "registrar: last error"))
		app_stop(app);
}

/* A18 */
START_TEST(a_report_has_the_registrars_next_try_and_its_last_error)
{
	const struct registrar registrar = {
	    .register_instance = refuse_to_register};

	options.on_event = report_and_stop;
	options.registrar = &registrar;
	options.registrar_policy = REGISTRAR_RETRY;
	options.registrar_delay_ms = options.registrar_max_delay_ms = LONG_MS;
	app_make();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_line("|registrar: tried again in ", " s");
	ck_assert_line("|registrar: last error: the registry is down", "");
	app_free(&app);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("app_report");

	SUITE_ADD(suite, "a report when asked",
	    a_report_during_the_start_says_who_waits_for_whom,
	    a_report_while_running_has_all_servers_and_their_threads,
	    a_report_during_the_stop_says_who_is_held_up,
	    a_report_before_the_start_has_the_hook,
	    a_report_has_the_restarts_and_the_last_error,
	    a_report_has_the_registrars_next_try_and_its_last_error,
	    a_report_says_only_what_is_waited_for,
	    a_report_names_nobody_who_stays_as_holding_up,
	    a_report_counts_whom_it_does_not_name,
	    a_signal_asks_for_a_report_and_does_not_stop_the_app,
	    without_a_report_signal_it_is_the_programs_own,
	    a_report_that_nobody_hears_harms_nobody);
	SUITE_ADD(suite, "on standard error",
	    a_report_that_nobody_reads_does_not_keep_the_app_from_stopping,
	    a_report_says_how_many_lines_were_lost_before);
	SUITE_ADD(suite, "who hangs",
	    one_that_hangs_is_named_with_its_phase_time_and_system_call,
	    all_that_hang_are_named,
	    those_that_hang_and_are_not_named_are_counted);
	SUITE_ADD(suite, "left behind",
	    an_app_may_choose_to_return_and_leave_the_stuck_behind,
	    what_was_left_behind_may_come_back_after_app_free,
	    the_errors_of_a_run_are_final_though_something_still_runs);
	return suite_run(suite);
}
