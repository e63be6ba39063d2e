/* What children leave behind, in an app that is a reaper, and in one that is not. */
#include <spawn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <cratos/exec.h>

#include "tests/app_kit.h"

static char word_path[64];
static int word_fd;

static void set_up(void)
{
	snprintf(word_path, sizeof(word_path), "/tmp/cratos-reaper-%d",
	    (int)getpid());
	unlink(word_path);
	ck_assert_int_eq(mkfifo(word_path, 0600), 0);
	word_fd = open(word_path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(word_fd, 0);
	setenv("WORD", word_path, 1);
	*journal.text = '\0';
	options =
	    (struct app_options){.stop_timeout_ms = LONG_MS, .reaper = true};
}

static void tear_down(void)
{
	close(word_fd);
	unlink(word_path);
}

/* The next number that a child has written to $WORD; 0 if none comes. */
static pid_t next_pid(void)
{
	struct pollfd pollfd = {.fd = word_fd, .events = POLLIN};
	pid_t pid = 0;
	char c = '\0';

	while (poll(&pollfd, 1, LONG_MS) == 1 && read(word_fd, &c, 1) == 1 &&
	       c != '\n')
		pid = 10 * pid + c - '0';
	return pid;
}

static struct exec *children[3];
static int child_count;

static void add_after(const char *name, const char *before, const char *script)
{
	const struct exec_options child = {.command = script, .shell = true};
	const char *const after[] = {before, NULL};
	struct exec *exec = exec_new(&child);
	struct server server;

	ck_assert_ptr_nonnull(exec);
	children[child_count++] = exec;
	server = exec_server(exec, name);
	server.after = after;
	add(&server);
}

static void add_child(const char *name, const char *script)
{
	add_after(name, NULL, script);
}

static int learn(struct context *ctx, void *arg)
{
	pid_t *pid = arg;

	(void)ctx;
	*pid = next_pid();
	return *pid ? 0 : -ETIMEDOUT;
}

/* What comes after it has to wait until the stray of `before` has come to be. */
static void add_learner(const char *name, const char *before, pid_t *pid)
{
	const char *const wants[] = {before, NULL};

	add(&(struct server){.name = name,
	    .start = learn,
	    .arg = pid,
	    .wants = wants,
	    .oneshot = true});
}

static void free_all(void)
{
	app_free(&app);
	while (child_count)
		exec_free(&children[--child_count]);
}

static bool is_gone(void *pid)
{
	return kill(*(pid_t *)pid, 0) && errno == ESRCH;
}

/* A hook: the stray has come to be. */
static pid_t stray;

static int learn_stray(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	stray = next_pid();
	return stray ? 0 : -ETIMEDOUT;
}

static const char leaves_a_stray[] =
    "(setsid sh -c 'echo $$ >$WORD; exec sleep 1000' &); exec sleep 1000";
static const char leaves_one_without_mark[] =
    "(WORD=$WORD; export WORD; env -i WORD=$WORD PATH=$PATH "
    "setsid sh -c 'echo $$ >$WORD; exec sleep 1000' &); exec sleep 1000";

/* One that has no environment at all is looked at until that is certain. */
static const char leaves_a_bare_one[] =
    "(setsid env -i sleep 1000 & "
    "until [ $(cat /proc/$!/comm) = sleep ]; do :; done; echo $! >$WORD); "
    "exec sleep 1000";

/* ---- whether it is one ---- */

static int is_reaper(void)
{
	int is = -1;

	prctl(PR_GET_CHILD_SUBREAPER, &is, 0, 0, 0);
	return is;
}

static int note_reaper(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	note("reaper:%d", is_reaper());
	return 0;
}

START_TEST(a_process_is_a_reaper_for_as_long_as_the_app_runs)
{
	options.reaper = _i;
	app_make();
	hook(APP_BEFORE_START, note_reaper, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_journal(_i ? "reaper:1" : "reaper:0");
	ck_assert_int_eq(is_reaper(), 0);
	app_free(&app);
}
END_TEST

START_TEST(sigchld_cannot_be_for_two_things)
{
	options.report_signal = SIGCHLD;
	ck_assert_ptr_null(app_new(&options));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(without_the_choice_a_stray_is_nobodys_affair)
{
	options.reaper = false;
	app_make();
	add_child("child", leaves_a_stray);
	hook(APP_AFTER_START, learn_stray, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(kill(stray, SIGKILL), 0);
	free_all();
}
END_TEST

/* ---- whose a stray is ---- */

START_TEST(a_stray_ends_with_its_server)
{
	static const char *const scripts[] = {leaves_a_stray,
	    leaves_one_without_mark, leaves_a_bare_one};

	app_make();
	add_child("child", scripts[_i]);
	hook(APP_AFTER_START, learn_stray, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert(is_gone(&stray));
	ck_assert_int_eq(error_count(), 0);
	free_all();
}
END_TEST

/* The other server's stray, and one that has no mark, outlive the failure. */
static pid_t other, bare;

static int fail_first(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	bare = next_pid();
	kill(exec_pid(children[0]), SIGKILL);
	if (!event_poll(is_gone, &stray))
		note("stray-stays");
	note("others:%d", !is_gone(&other) + !is_gone(&bare));
	return 0;
}

START_TEST(a_server_that_has_failed_takes_only_its_own_strays_along)
{
	struct server server;

	app_make();
	children[0] = exec_new(
	    &(struct exec_options){.command = leaves_a_stray, .shell = true});
	child_count = 1;
	server = exec_server(children[0], "fails");
	server.optional = true;
	add(&server);
	/* One after the other, so that it is known who has written what. */
	add_learner("fails-told", "fails", &stray);
	add_after("other", "fails-told", leaves_a_stray);
	add_learner("other-told", "other", &other);
	add_after("bare", "other-told", leaves_one_without_mark);
	hook(APP_AFTER_START, fail_first, NULL);
	stop_when_up();
	app_go();
	ck_assert_int_eq(noted("stray-stays"), 0);
	ck_assert_int_eq(noted("others:2"), 1);
	ck_assert(is_gone(&other) && is_gone(&bare));
	free_all();
}
END_TEST

/* ---- what does not go ---- */

static const char leaves_a_deaf_one[] =
    "(setsid sh -c 'trap \"\" TERM; echo $$ >$WORD; while :; do sleep 1000; "
    "done' &); exec sleep 1000";
static const char leaves_a_deaf_one_without_mark[] =
    "(env -i WORD=$WORD PATH=$PATH setsid sh -c 'trap \"\" TERM; "
    "echo $$ >$WORD; while :; do sleep 1000; done' &); exec sleep 1000";

START_TEST(what_does_not_stop_is_killed_at_the_deadline)
{
	options.stop_timeout_ms = 200;
	app_make();
	add_child("child",
	    _i ? leaves_a_deaf_one_without_mark : leaves_a_deaf_one);
	hook(APP_AFTER_START, learn_stray, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, _i ? "app" : "child");
	ck_assert(is_gone(&stray));
	free_all();
}
END_TEST

static int run_deaf(void)
{
	app_make();
	add_child("child", leaves_a_deaf_one);
	hook(APP_AFTER_START, learn_stray, NULL);
	return app_go();
}

static void tell_stray(const struct app_event *event, void *arg)
{
	if (event->type == APP_EVENT_STATE && event->state == APP_STATE_RUNNING)
		tell("stray:%d", (int)stray);
	tell_event(event, arg);
}

START_TEST(a_second_signal_kills_strays_too)
{
	struct child child;

	options.on_event = tell_stray;
	child_start(&child, run_deaf);
	child_until(&child, "stray:");
	stray = atoi(child.line + strlen("stray:"));
	child_until(&child, "state:running");
	kill(child.pid, SIGTERM);
	child_until(&child, "state:stopping");
	kit_pause_ms(250); /* two at a time are one request */
	kill(child.pid, SIGTERM);
	ck_assert_exit(&child, 128 + SIGTERM);
	ck_assert(is_gone(&stray));
}
END_TEST

/* ---- what is not ours to end ---- */

static pid_t own;

static int spawn_own(struct context *ctx, void *arg)
{
	char *const argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 7",
	    NULL};

	(void)ctx;
	(void)arg;
	return -posix_spawn(&own, "/bin/sh", NULL, NULL, argv, environ);
}

static int wait_for_own(struct context *ctx, void *arg)
{
	int status = -1;

	(void)ctx;
	(void)arg;
	if (waitpid(own, &status, 0) == own && WIFEXITED(status))
		note("own:%d", WEXITSTATUS(status));
	return 0;
}

START_TEST(children_of_other_threads_are_left_alone)
{
	app_make();
	add_child("child", leaves_a_stray);
	hook(APP_AFTER_START, spawn_own, NULL);
	hook(APP_AFTER_START, learn_stray, NULL);
	hook(APP_AFTER_STOP, wait_for_own, NULL);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_journal("own:7");
	free_all();
}
END_TEST

static bool is_the_main_threads(pid_t pid)
{
	char path[64], text[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
	    (int)getpid());
	file = fopen(path, "re");
	if (file && !fgets(text, sizeof(text), file))
		*text = '\0';
	if (file)
		fclose(file);
	return atoi(text) == pid;
}

static struct server inner;
static int inner_result;

static void *start_inner(void *ctx)
{
	inner_result = inner.start(ctx, inner.arg);
	return NULL;
}

/* On a thread that ends. */
static int start_elsewhere(struct context *ctx, void *arg)
{
	pthread_t thread;
	int ret = pthread_create(&thread, NULL, start_inner, ctx);

	(void)arg;
	if (ret)
		return -ret;
	pthread_join(thread, NULL);
	return inner_result;
}

static int end_child(struct context *ctx, void *arg)
{
	pid_t pid = exec_pid(children[0]);

	(void)ctx;
	(void)arg;
	if (is_the_main_threads(pid))
		note("a stray");
	return -kill(pid, SIGUSR1);
}

/* It does not come to the main thread, as strays do. */
START_TEST(a_child_is_no_stray_when_the_thread_that_started_it_has_ended)
{
	const struct exec_options child = {.command = "sleep 1000"};
	struct server server;

	app_make();
	children[child_count++] = exec_new(&child);
	ck_assert_ptr_nonnull(children[0]);
	server = inner = exec_server(children[0], "child");
	server.start = start_elsewhere;
	add(&server);
	hook(APP_AFTER_START, end_child, NULL);
	ck_assert_int_eq(app_go(), -ECHILD);
	ck_assert_journal("");
	ck_assert_str_eq(result.text, "killed by signal 10 (SIGUSR1)");
	free_all();
}
END_TEST

static void add_children(TCase *tcase)
{
	tcase_add_test(tcase, without_the_choice_a_stray_is_nobodys_affair);
	tcase_add_loop_test(tcase, a_stray_ends_with_its_server, 0, 3);
	tcase_add_test(tcase,
	    a_server_that_has_failed_takes_only_its_own_strays_along);
	tcase_add_loop_test(tcase, what_does_not_stop_is_killed_at_the_deadline,
	    0, 2);
	tcase_add_test(tcase, a_second_signal_kills_strays_too);
	tcase_add_test(tcase, children_of_other_threads_are_left_alone);
	tcase_add_test(tcase,
	    a_child_is_no_stray_when_the_thread_that_started_it_has_ended);
}

int main(void)
{
	Suite *suite = suite_create("reaper");
	TCase *tcase = suite_case(suite, "reaper");

	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_loop_test(tcase,
	    a_process_is_a_reaper_for_as_long_as_the_app_runs, 0, 2);
	tcase_add_test(tcase, sigchld_cannot_be_for_two_things);
	if (!is_emulated())
		add_children(tcase);
	return suite_run(suite);
}
