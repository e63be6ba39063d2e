/* Where threads are: what the report of a hanging stop says of them. */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/where.h"
#include "errgroup/thread.h"
#include "tests/suite.h"

enum { CROWD = 20 }; /* threads, more than can be late with an answer */

static bool is_gone(void *tid)
{
	return syscall(SYS_tgkill, getpid(), *(int *)tid, 0) && errno == ESRCH;
}

/* ---- a thread that hangs until it is let go ---- */

struct hanger {
	int fd[2];
	bool deaf; /* SIGSYS is blocked while it hangs */
	bool stays_deaf; /* and after that */
	void (*hang)(struct hanger *hanger);
	/* the thread writes these */
	atomic_int tid;
	void *caller; /* the return address of the function in which it hangs */
	bool hung;
	int result;
	struct event over;
};

static void hang_in_read(struct hanger *hanger)
{
	char byte;

	hanger->result = (int)read(hanger->fd[0], &byte, 1);
}

/* A function that the stack is to show. */
__attribute__((noinline)) static void hang(struct hanger *hanger)
{
	hanger->caller = __builtin_return_address(0);
	hanger->hang(hanger);
	hanger->hung = true; /* so this is no tail call */
}

static void *hanger_main(void *arg)
{
	struct hanger *hanger = arg;
	sigset_t sigsys;

	sigemptyset(&sigsys);
	sigaddset(&sigsys, SIGSYS);
	if (hanger->deaf)
		pthread_sigmask(SIG_BLOCK, &sigsys, NULL);
	hanger->tid = gettid();
	hang(hanger);
	if (!hanger->stays_deaf)
		pthread_sigmask(SIG_UNBLOCK, &sigsys, NULL);
	event_set(&hanger->over);
	return NULL;
}

static bool is_there(void *tid)
{
	return *(atomic_int *)tid != 0;
}

/* On a thread as the library makes them; returns when it hangs. */
static void hanger_start(struct hanger *hanger)
{
	int tid;

	if (!hanger->hang)
		hanger->hang = hang_in_read;
	hanger->over = (struct event)EVENT_INIT;
	ck_assert_int_eq(pipe2(hanger->fd, O_CLOEXEC), 0);
	ck_assert_int_eq(thread_start(hanger_main, hanger), 0);
	ck_assert(event_poll(is_there, &hanger->tid));
	tid = hanger->tid;
	ck_assert(event_poll(event_thread_sleeps, &tid));
}

static void hanger_let_go(struct hanger *hanger)
{
	ck_assert_int_eq(write(hanger->fd[1], "", 1), 1);
	ck_assert(event_wait(&hanger->over));
}

/* Lets it go, and waits until there is nothing left of it. */
static void hanger_end(struct hanger *hanger)
{
	int tid = hanger->tid;

	hanger_let_go(hanger);
	ck_assert(event_poll(is_gone, &tid));
	close(hanger->fd[0]);
	close(hanger->fd[1]);
}

/* ---- what where_thread comes to say ---- */

struct look {
	pid_t pid, tid;
	const char *want; /* in the text */
	char text[WHERE_TEXT];
};

static bool look_matches(void *arg)
{
	struct look *look = arg;

	where_thread(look->pid, look->tid, look->text);
	return strstr(look->text, look->want);
}

static void ck_assert_where(pid_t pid, pid_t tid, const char *want)
{
	struct look look = {.pid = pid, .tid = tid, .want = want};

	ck_assert_msg(event_poll(look_matches, &look), "\"%s\" has no \"%s\"",
	    look.text, want);
	ck_assert_ptr_eq(strchr(look.text, '\n'), NULL);
}

START_TEST(a_thread_in_read_says_the_descriptor_and_its_pipe)
{
	struct hanger hanger = {0};
	char want[64], text[WHERE_TEXT];
	struct stat pipe;

	hanger_start(&hanger);
	ck_assert_int_eq(fstat(hanger.fd[0], &pipe), 0);
	snprintf(want, sizeof(want), "read(%d) on pipe:[%lu]", hanger.fd[0],
	    (unsigned long)pipe.st_ino);
	ck_assert_where(getpid(), hanger.tid, want);
	where_thread(getpid(), hanger.tid, text);
	ck_assert_int_eq(strncmp(text, want, strlen(want)), 0);
	ck_assert_ptr_ne(strstr(text, ", in "), NULL);
	hanger_end(&hanger);
}
END_TEST

START_TEST(a_descriptor_that_is_closed_is_a_number_only)
{
	struct hanger hanger = {0};
	char want[64], text[WHERE_TEXT];

	/* To close what another thread reads is what it complains of. */
	if (is_under("tsan"))
		return;
	hanger_start(&hanger);
	snprintf(want, sizeof(want), "read(%d)", hanger.fd[0]);
	close(hanger.fd[0]);
	ck_assert_where(getpid(), hanger.tid, want);
	where_thread(getpid(), hanger.tid, text);
	ck_assert_ptr_eq(strstr(text, " on "), NULL);
	hanger.fd[0] = dup(hanger.fd[1]);
	hanger_end(&hanger);
}
END_TEST

static void hang_in_read_of_fifo(struct hanger *hanger)
{
	char byte, path[] = "/tmp/cratos-where-XXXXXX", fifo[200];
	int fd;

	if (!mkdtemp(path))
		return;
	snprintf(fifo, sizeof(fifo), "%s/%0100d\nthe end", path, 0);
	if (!mkfifo(fifo, 0600)) {
		fd = open(fifo, O_RDWR | O_CLOEXEC);
		unlink(fifo);
		dup2(fd, hanger->fd[0]);
		dup2(fd, hanger->fd[1]);
		close(fd);
		hanger->result = (int)read(hanger->fd[0], &byte, 1);
	}
	rmdir(path);
}

START_TEST(a_long_path_is_cut_at_its_head_and_stays_on_the_line)
{
	struct hanger hanger = {.hang = hang_in_read_of_fifo};
	char want[64], text[WHERE_TEXT];

	hanger_start(&hanger);
	snprintf(want, sizeof(want), "read(%d) on ...000", hanger.fd[0]);
	ck_assert_where(getpid(), hanger.tid, want);
	where_thread(getpid(), hanger.tid, text);
	ck_assert_ptr_ne(strstr(text, "0?the end"), NULL);
	hanger_end(&hanger);
}
END_TEST

static struct event condition = EVENT_INIT;

static void hang_on_condition(struct hanger *hanger)
{
	(void)hanger;
	pthread_mutex_lock(&condition.lock);
	while (condition.count < 1)
		pthread_cond_wait(&condition.changed, &condition.lock);
	pthread_mutex_unlock(&condition.lock);
}

START_TEST(a_thread_that_waits_for_a_condition_is_in_futex)
{
	struct hanger hanger = {.hang = hang_on_condition};
	char text[WHERE_TEXT];

	hanger_start(&hanger);
	ck_assert_where(getpid(), hanger.tid, "futex");
	where_thread(getpid(), hanger.tid, text);
	ck_assert_int_eq(strncmp(text, "futex", 5), 0);
	ck_assert_ptr_eq(strchr(text, '('), NULL);
	event_set(&condition);
	hanger_end(&hanger);
}
END_TEST

struct spinner {
	atomic_int tid;
	atomic_bool end;
	int errno_after;
};

static void *spin(void *arg)
{
	struct spinner *spinner = arg;

	errno = EDOM;
	spinner->tid = gettid();
	while (!spinner->end)
		;
	spinner->errno_after = errno;
	return NULL;
}

START_TEST(a_thread_that_computes_is_running)
{
	struct spinner spinner = {0};
	char text[WHERE_TEXT];
	pthread_t thread;

	if (is_emulated())
		return;
	ck_assert_int_eq(pthread_create(&thread, NULL, spin, &spinner), 0);
	ck_assert(event_poll(is_there, &spinner.tid));
	where_thread(getpid(), spinner.tid, text);
	spinner.end = true;
	pthread_join(thread, NULL);
	ck_assert_str_eq(text, "running");
}
END_TEST

START_TEST(a_thread_that_has_ended_is_not_there_any_more)
{
	struct hanger hanger = {0};
	char text[WHERE_TEXT];

	hanger_start(&hanger);
	hanger_end(&hanger);
	where_thread(getpid(), hanger.tid, text);
	ck_assert_str_eq(text, "not there any more");
}
END_TEST

/* In vfork(2) the kernel waits for the child, whatever signal comes. */
static void hang_in_vfork(struct hanger *hanger)
{
	char byte;
	pid_t pid = vfork();

	if (!pid)
		_exit((int)read(hanger->fd[0], &byte, 1));
	waitpid(pid, NULL, 0);
}

START_TEST(a_thread_that_no_signal_reaches_is_uninterruptible)
{
	struct hanger hanger = {.hang = hang_in_vfork};
	int tid;

	if (scale_slowdown() > 4)
		return; /* no vfork there */
	hanger.over = (struct event)EVENT_INIT;
	ck_assert_int_eq(pipe2(hanger.fd, O_CLOEXEC), 0);
	ck_assert_int_eq(thread_start(hanger_main, &hanger), 0);
	ck_assert(event_poll(is_there, &hanger.tid));
	tid = hanger.tid;
	ck_assert_where(getpid(), tid, ", uninterruptible");
	hanger_end(&hanger);
}
END_TEST

/* ---- other processes ---- */

static pid_t start_child(void (*run)(void))
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		run();
		_exit(0);
	}
	return pid;
}

static void sleep_for_ever(void)
{
	for (;;)
		pause();
}

/* As a name may be; the state of whoever believes it is S. */
static void exit_under_a_wicked_name(void)
{
	prctl(PR_SET_NAME, ") S (x");
}

START_TEST(the_thread_of_another_process_says_its_call)
{
	pid_t pid = start_child(sleep_for_ever);
	struct look look = {.pid = pid, .tid = pid, .want = "pause"};
	bool found = event_poll(look_matches, &look);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* Not each architecture has a call of that name. */
	ck_assert_msg(found || strstr(look.text, "ppoll"), "%s", look.text);
}
END_TEST

START_TEST(a_name_with_brackets_and_blanks_does_not_hide_the_state)
{
	pid_t pid = start_child(exit_under_a_wicked_name);
	char text[WHERE_TEXT];
	siginfo_t info;

	ck_assert_int_eq(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	where_thread(pid, pid, text);
	waitpid(pid, NULL, 0);
	ck_assert_str_eq(text, "a zombie");
}
END_TEST

START_TEST(a_stopped_process_is_stopped)
{
	pid_t pid = start_child(sleep_for_ever);
	char text[WHERE_TEXT];

	kill(pid, SIGSTOP);
	ck_assert_int_eq(waitpid(pid, NULL, WUNTRACED), pid);
	where_thread(pid, pid, text);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ck_assert_str_eq(text, "stopped");
}
END_TEST

/* As one who may not trace its parent: nobody, and the parent not dumpable. */
static void exit_if_parent_only_sleeps(void)
{
	struct look look = {.pid = getppid(), .tid = getppid(), .want = "sle"};
	bool found;

	if (!getuid() && setresuid(65534, 65534, 65534))
		_exit(77);
	found = event_poll(look_matches, &look);
	_exit(found && !strcmp(look.text, "sleeping") ? 42 : 1);
}

START_TEST(of_a_process_that_may_not_be_traced_the_state_is_known)
{
	int status;
	pid_t pid;

	prctl(PR_SET_DUMPABLE, 0);
	pid = start_child(exit_if_parent_only_sleeps);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert(WEXITSTATUS(status) == 42 || WEXITSTATUS(status) == 77);
}
END_TEST

/* ---- lists and names ---- */

static bool has(const pid_t *tids, size_t count, pid_t tid)
{
	for (size_t i = 0; i < count; i++)
		if (tids[i] == tid)
			return true;
	return false;
}

START_TEST(the_threads_of_a_process_are_listed)
{
	struct hanger hanger = {0};
	pid_t tids[CROWD];
	size_t count;

	hanger_start(&hanger);
	count = where_threads(getpid(), tids, CROWD);
	/* A sanitizer has one of its own. */
	ck_assert_uint_ge(count, 2);
	ck_assert_uint_lt(count, 5);
	ck_assert(has(tids, count, getpid()));
	ck_assert(has(tids, count, hanger.tid));
	hanger_end(&hanger);
}
END_TEST

START_TEST(more_threads_than_there_is_room_for_are_counted)
{
	struct hanger hanger = {0};
	pid_t tids[2] = {0, -7};

	hanger_start(&hanger);
	ck_assert_uint_ge(where_threads(getpid(), tids, 1), 2);
	ck_assert_int_gt(tids[0], 0);
	ck_assert_int_eq(tids[1], -7);
	hanger_end(&hanger);
}
END_TEST

START_TEST(a_thread_has_the_name_it_was_given_while_it_is_there)
{
	pid_t pid = start_child(exit_under_a_wicked_name);
	char name[WHERE_NAME];
	siginfo_t info;

	ck_assert_int_eq(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	where_name(pid, pid, name);
	waitpid(pid, NULL, 0);
	ck_assert_str_eq(name, ") S (x");
	where_name(pid, pid, name);
	ck_assert_str_eq(name, "thread");
}
END_TEST

START_TEST(a_process_that_is_not_there_has_no_threads)
{
	pid_t pid = start_child(exit_under_a_wicked_name), tid;

	waitpid(pid, NULL, 0);
	ck_assert_uint_eq(where_threads(pid, &tid, 1), 0);
}
END_TEST

START_TEST(system_calls_have_their_names)
{
	char text[WHERE_CALL];

	ck_assert_str_eq(where_call(SYS_getpid, text), "getpid");
	ck_assert_str_eq(where_call(SYS_read, text), "read");
	ck_assert_str_eq(where_call(SYS_futex, text), "futex");
	ck_assert_str_eq(where_call(SYS_exit_group, text), "exit_group");
}
END_TEST

START_TEST(a_system_call_without_a_name_is_a_number)
{
	char text[WHERE_CALL];

	ck_assert_str_eq(where_call(99999, text), "system call 99999");
	ck_assert_str_eq(where_call(-1, text), "system call -1");
}
END_TEST

/* ---- backtraces ---- */

static bool shows(void *const *frames, int count, const void *frame)
{
	for (int i = 0; i < count; i++)
		if (frames[i] == frame)
			return true;
	return false;
}

static void ck_assert_backtrace_of(struct hanger *hanger)
{
	void *frames[WHERE_FRAMES];
	int count = where_backtrace(hanger->tid, frames, WHERE_FRAMES);

	ck_assert_int_gt(count, 0);
	ck_assert(shows(frames, count, hanger->caller));
}

static void ck_assert_no_backtrace_of(struct hanger *hanger)
{
	void *frames[WHERE_FRAMES];

	ck_assert_int_eq(where_backtrace(hanger->tid, frames, WHERE_FRAMES), 0);
}

static void ck_assert_action_eq(const struct sigaction *a,
    const struct sigaction *b)
{
	/* SA_RESTORER, which libc sets in whatever it is given. */
	const int restorer = 0x04000000;

	ck_assert_int_eq(a->sa_flags | restorer, b->sa_flags | restorer);
	ck_assert(a->sa_handler == b->sa_handler);
	/* No handler, no mask. */
	if (a->sa_handler == SIG_DFL || a->sa_handler == SIG_IGN)
		return;
	for (int signal = 1; signal < NSIG; signal++)
		ck_assert_int_eq(sigismember(&a->sa_mask, signal),
		    sigismember(&b->sa_mask, signal));
}

static struct sigaction action_now(void)
{
	struct sigaction action;

	sigaction(SIGSYS, NULL, &action);
	return action;
}

START_TEST(a_backtrace_shows_the_function_in_which_a_thread_hangs)
{
	struct hanger hanger = {0};

	where_prepare();
	hanger_start(&hanger);
	ck_assert_backtrace_of(&hanger);
	hanger_end(&hanger);
}
END_TEST

START_TEST(a_backtrace_begins_where_the_thread_is)
{
	struct hanger hanger = {0};
	char text[WHERE_TEXT];
	void *frame;

	where_prepare();
	hanger_start(&hanger);
	ck_assert_int_eq(where_backtrace(hanger.tid, &frame, 1), 1);
	hanger_end(&hanger);
	where_frame(frame, text);
	ck_assert_msg(strstr(text, "/libc.so") != NULL, "%s", text);
	ck_assert_msg(!strstr(text, "restore"), "%s", text);
}
END_TEST

START_TEST(a_backtrace_fills_no_more_than_there_is_room_for)
{
	struct hanger hanger = {0};
	void *frames[3] = {NULL, NULL, &hanger};

	where_prepare();
	hanger_start(&hanger);
	ck_assert_int_eq(where_backtrace(hanger.tid, frames, 2), 2);
	ck_assert_ptr_ne(frames[0], NULL);
	ck_assert_ptr_ne(frames[1], NULL);
	ck_assert_ptr_eq(frames[2], &hanger);
	ck_assert_int_eq(where_backtrace(hanger.tid, frames, 0), 0);
	ck_assert_int_eq(where_backtrace(hanger.tid, frames, -1), 0);
	hanger_end(&hanger);
}
END_TEST

static void dive(struct hanger *hanger, int depth);

/* Not to be known to the compiler, which would make a loop of it. */
static void (*volatile dive_again)(struct hanger *hanger, int depth) = dive;

static void dive(struct hanger *hanger, int depth)
{
	volatile int below = depth - 1;

	if (below)
		dive_again(hanger, below);
	else
		hang_in_read(hanger);
	below = depth;
}

static void hang_deep(struct hanger *hanger)
{
	dive(hanger, 2 * WHERE_FRAMES);
}

START_TEST(a_deep_stack_is_cut)
{
	struct hanger hanger = {.hang = hang_deep};
	void *frames[2 * WHERE_FRAMES] = {NULL};

	where_prepare();
	hanger_start(&hanger);
	ck_assert_int_eq(where_backtrace(hanger.tid, frames, 2 * WHERE_FRAMES),
	    WHERE_FRAMES);
	ck_assert_ptr_ne(frames[WHERE_FRAMES - 1], NULL);
	ck_assert_ptr_eq(frames[WHERE_FRAMES], NULL);
	hanger_end(&hanger);
}
END_TEST

START_TEST(a_call_that_restarts_goes_on_after_a_backtrace)
{
	struct hanger hanger = {.result = -7};

	where_prepare();
	hanger_start(&hanger);
	ck_assert_backtrace_of(&hanger);
	hanger_end(&hanger);
	ck_assert_int_eq(hanger.result, 1);
}
END_TEST

START_TEST(a_backtrace_leaves_errno_alone)
{
	struct spinner spinner = {0};
	void *frames[WHERE_FRAMES];
	pthread_t thread;
	int count;

	where_prepare();
	ck_assert_int_eq(pthread_create(&thread, NULL, spin, &spinner), 0);
	ck_assert(event_poll(is_there, &spinner.tid));
	count = where_backtrace(spinner.tid, frames, WHERE_FRAMES);
	spinner.end = true;
	pthread_join(thread, NULL);
	ck_assert_int_eq(spinner.errno_after, EDOM);
	ck_assert_int_gt(count, 0);
}
END_TEST

START_TEST(a_thread_that_has_ended_has_no_backtrace)
{
	struct sigaction before = action_now(), after;
	struct hanger hanger = {0};
	void *frame;

	where_prepare();
	hanger_start(&hanger);
	ck_assert_backtrace_of(&hanger);
	hanger_end(&hanger);
	ck_assert_no_backtrace_of(&hanger);
	ck_assert_int_eq(where_backtrace(0, &frame, 1), 0);
	ck_assert_int_eq(where_backtrace(-1, &frame, 1), 0);
	after = action_now();
	ck_assert_action_eq(&before, &after);
}
END_TEST

START_TEST(a_backtrace_that_was_not_prepared_is_not_tried)
{
	struct hanger hanger = {0};

	hanger_start(&hanger);
	ck_assert_no_backtrace_of(&hanger);
	hanger_end(&hanger);
}
END_TEST

struct ask {
	pthread_t thread;
	struct hanger hanger;
	int right, wrong;
	atomic_bool done;
};

static void *ask_again_and_again(void *arg)
{
	void *frames[WHERE_FRAMES];
	struct ask *ask = arg;
	int count;

	for (int i = 0; i < scale(400); i++) {
		count = where_backtrace(ask->hanger.tid, frames, WHERE_FRAMES);
		if (shows(frames, count, ask->hanger.caller))
			ask->right++;
		else if (count)
			ask->wrong++;
	}
	ask->done = true;
	return NULL;
}

START_TEST(many_may_ask_at_a_time)
{
	struct sigaction before = action_now(), after;
	struct ask asks[4] = {0};

	where_prepare();
	for (int i = 0; i < 4; i++)
		hanger_start(&asks[i].hanger);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&asks[i].thread, NULL,
				     ask_again_and_again, &asks[i]),
		    0);
	for (int i = 0; i < 4; i++)
		pthread_join(asks[i].thread, NULL);
	for (int i = 0; i < 4; i++) {
		hanger_end(&asks[i].hanger);
		/* On a slow machine an answer may be late. */
		ck_assert_int_gt(asks[i].right, 0);
		ck_assert_int_eq(asks[i].wrong, 0);
	}
	after = action_now();
	ck_assert_action_eq(&before, &after);
}
END_TEST

/* ---- the signal's disposition ---- */

static atomic_int plain_calls, detailed_calls, detailed_code, detailed_value;
static atomic_bool detailed_masked;

static void plain(int signal)
{
	plain_calls += signal == SIGSYS;
}

static void detailed(int signal, siginfo_t *info, void *context)
{
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	detailed_masked = sigismember(&mask, SIGWINCH) == 1 &&
			  sigismember(&mask, SIGSYS) == 0;
	detailed_code = info->si_code;
	detailed_value = info->si_value.sival_int;
	detailed_calls += signal == SIGSYS && context;
}

static struct sigaction plain_action(void)
{
	return (struct sigaction){.sa_handler = plain};
}

static struct sigaction detailed_action(void)
{
	struct sigaction action = {.sa_sigaction = detailed,
	    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

	sigaddset(&action.sa_mask, SIGWINCH);
	return action;
}

static void ck_assert_restored(const struct sigaction *action)
{
	struct hanger hanger = {0};
	struct sigaction before, after;

	where_prepare();
	sigaction(SIGSYS, action, NULL);
	before = action_now();
	hanger_start(&hanger);
	for (int i = 0; i < 3; i++) {
		ck_assert_backtrace_of(&hanger);
		after = action_now();
		ck_assert_action_eq(&before, &after);
	}
	hanger_end(&hanger);
}

START_TEST(the_disposition_is_as_before_after_a_backtrace)
{
	struct sigaction ignored = {.sa_handler = SIG_IGN};
	struct sigaction action = action_now();

	ck_assert_restored(&action);
	ck_assert_restored(&ignored);
	action = plain_action();
	ck_assert_restored(&action);
	action = detailed_action();
	ck_assert_restored(&action);
}
END_TEST

START_TEST(a_handler_that_runs_once_is_not_tampered_with)
{
	struct sigaction once = {.sa_handler = plain,
	    .sa_flags = (int)SA_RESETHAND};
	struct hanger hanger = {0};
	struct sigaction after;

	where_prepare();
	sigaction(SIGSYS, &once, NULL);
	once = action_now();
	hanger_start(&hanger);
	ck_assert_no_backtrace_of(&hanger);
	after = action_now();
	ck_assert_action_eq(&once, &after);
	hanger_end(&hanger);
}
END_TEST

/* Asks one that does not answer, so that the handler stays. */
static void leave_behind(struct hanger *hanger)
{
	*hanger = (struct hanger){.deaf = true};
	where_prepare();
	hanger_start(hanger);
	ck_assert_no_backtrace_of(hanger);
	ck_assert(action_now().sa_flags & SA_SIGINFO);
}

START_TEST(a_late_answer_does_no_harm)
{
	struct hanger late, other = {0};
	struct sigaction before = action_now(), after;

	leave_behind(&late);
	hanger_start(&other);
	ck_assert_backtrace_of(&other);
	/* Unblocks the signal, and would die of it. */
	hanger_end(&late);
	ck_assert_backtrace_of(&other);
	hanger_end(&other);
	after = action_now();
	ck_assert_action_eq(&before, &after);
}
END_TEST

static void answer_between(struct hanger *hanger)
{
	sigset_t sigsys, before;
	char byte;

	hang_in_read(hanger);
	sigemptyset(&sigsys);
	sigaddset(&sigsys, SIGSYS);
	pthread_sigmask(SIG_UNBLOCK, &sigsys, &before);
	hanger->result = (int)read(hanger->fd[0], &byte, 1);
}

START_TEST(a_thread_that_was_late_is_asked_anew)
{
	struct hanger late = {.deaf = true, .hang = answer_between};
	struct sigaction before = action_now(), after;
	int tid, unread;

	where_prepare();
	hanger_start(&late);
	ck_assert_no_backtrace_of(&late);
	ck_assert_no_backtrace_of(&late);
	tid = late.tid;
	ck_assert_int_eq(write(late.fd[1], "", 1), 1);
	do
		ck_assert_int_eq(ioctl(late.fd[0], FIONREAD, &unread), 0);
	while (unread);
	ck_assert(event_poll(event_thread_sleeps, &tid));
	ck_assert_backtrace_of(&late);
	hanger_end(&late);
	after = action_now();
	ck_assert_action_eq(&before, &after);
}
END_TEST

START_TEST(a_thread_that_ended_without_an_answer_is_forgotten)
{
	struct hanger late = {.deaf = true, .stays_deaf = true}, other = {0};
	struct sigaction before = action_now(), after;

	where_prepare();
	hanger_start(&late);
	ck_assert_no_backtrace_of(&late);
	hanger_end(&late);
	hanger_start(&other);
	ck_assert_backtrace_of(&other);
	hanger_end(&other);
	after = action_now();
	ck_assert_action_eq(&before, &after);
}
END_TEST

START_TEST(any_number_of_threads_may_be_late)
{
	struct hanger late[CROWD], other = {0};
	struct sigaction before = action_now(), after;
	int i;

	where_prepare();
	for (i = 0; i < CROWD; i++) {
		late[i] = (struct hanger){.deaf = true};
		hanger_start(&late[i]);
	}
	hanger_start(&other);
	for (i = 0; i < CROWD; i++)
		ck_assert_no_backtrace_of(&late[i]);
	for (i = 0; i < CROWD; i++)
		hanger_end(&late[i]);
	/* The first call finds that there is room again. */
	where_backtrace(other.tid, &(void *){NULL}, 1);
	ck_assert_backtrace_of(&other);
	hanger_end(&other);
	after = action_now();
	ck_assert_action_eq(&before, &after);
}
END_TEST

START_TEST(another_handler_set_in_the_meantime_is_kept)
{
	struct sigaction action = detailed_action(), before, after;
	struct hanger late, other = {0};

	leave_behind(&late);
	sigaction(SIGSYS, &action, NULL);
	before = action_now();
	hanger_end(&late);
	ck_assert_int_eq(detailed_calls, 1);
	hanger_start(&other);
	ck_assert_backtrace_of(&other);
	hanger_end(&other);
	after = action_now();
	ck_assert_action_eq(&before, &after);
	ck_assert_int_eq(detailed_calls, 1);
}
END_TEST

START_TEST(a_foreign_signal_reaches_the_plain_handler_from_before)
{
	struct sigaction action = plain_action();
	struct hanger late;

	sigaction(SIGSYS, &action, NULL);
	leave_behind(&late);
	raise(SIGSYS);
	ck_assert_int_eq(plain_calls, 1);
	hanger_end(&late);
	ck_assert_int_eq(plain_calls, 1);
}
END_TEST

START_TEST(a_foreign_signal_reaches_the_handler_from_before_with_its_details)
{
	struct sigaction action = detailed_action();
	struct hanger late;

	sigaction(SIGSYS, &action, NULL);
	leave_behind(&late);
	sigqueue(getpid(), SIGSYS, (union sigval){.sival_int = 4711});
	ck_assert_int_eq(detailed_calls, 1);
	ck_assert(detailed_masked);
	ck_assert_int_eq(detailed_code, SI_QUEUE);
	ck_assert_int_eq(detailed_value, 4711);
	hanger_end(&late);
	ck_assert_int_eq(detailed_calls, 1);
}
END_TEST

START_TEST(foreign_signals_while_another_thread_is_asked_are_not_lost)
{
	struct sigaction action = detailed_action();
	struct ask ask = {0};
	int sent = 0;

	where_prepare();
	sigaction(SIGSYS, &action, NULL);
	hanger_start(&ask.hanger);
	ck_assert_int_eq(pthread_create(&ask.thread, NULL, ask_again_and_again,
			     &ask),
	    0);
	do {
		raise(SIGSYS);
		sent++;
	} while (!ask.done);
	pthread_join(ask.thread, NULL);
	hanger_end(&ask.hanger);
	ck_assert_int_gt(ask.right, 0);
	ck_assert_int_eq(detailed_calls, sent);
}
END_TEST

START_TEST(a_foreign_signal_is_ignored_if_it_was_before)
{
	struct sigaction action = {.sa_handler = SIG_IGN};
	struct hanger late;

	sigaction(SIGSYS, &action, NULL);
	leave_behind(&late);
	raise(SIGSYS);
	hanger_end(&late);
}
END_TEST

START_TEST(a_foreign_signal_kills_if_it_would_have_before)
{
	struct hanger late;

	leave_behind(&late);
	raise(SIGSYS);
	_exit(0);
}
END_TEST

/* From now on a seccomp filter traps getpriority, which nobody else calls. */
static int trap_getpriority(void)
{
	struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					 offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog filter = {.len = sizeof(code) / sizeof(*code),
	    .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) ? -errno : 0;
}

START_TEST(a_seccomp_trap_reaches_the_handler_from_before)
{
	struct sigaction action = detailed_action();
	struct hanger late;

	sigaction(SIGSYS, &action, NULL);
	leave_behind(&late);
	if (!trap_getpriority()) {
		syscall(SYS_getpriority, 0, 0);
		ck_assert_int_eq(detailed_calls, 1);
		ck_assert_int_eq(detailed_code, 1 /* SYS_SECCOMP */);
	}
	hanger_end(&late);
}
END_TEST

/* Where a test cannot be made: ends as it would. */
static void die_of_sigsys(void)
{
	sigaction(SIGSYS, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	raise(SIGSYS);
}

START_TEST(a_seccomp_trap_kills_even_if_the_signal_is_ignored)
{
	struct sigaction action = {.sa_handler = SIG_IGN};
	struct hanger late;

	sigaction(SIGSYS, &action, NULL);
	leave_behind(&late);
	if (trap_getpriority())
		die_of_sigsys();
	syscall(SYS_getpriority, 0, 0);
	_exit(0);
}
END_TEST

/* ---- frames ---- */

static uintptr_t base_of(const void *address)
{
	struct link_map *map = NULL;
	Dl_info info;

	ck_assert(dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP));
	return map->l_addr;
}

START_TEST(a_frame_of_a_library_has_its_name_and_offsets)
{
	/* One that no tool replaces. */
	char *start = dlsym(RTLD_NEXT, "gnu_get_libc_version");
	char text[WHERE_TEXT], want[64];

	ck_assert_ptr_ne(start, NULL);
	where_frame(start + 3, text);
	ck_assert_msg(!strncmp(text, "gnu_get_libc_version+0x2 in /", 29), "%s",
	    text);
	snprintf(want, sizeof(want), " (+0x%zx)",
	    (size_t)((uintptr_t)start + 2 - base_of(start)));
	ck_assert_msg(strstr(text, want) != NULL, "%s has no%s", text, want);
}
END_TEST

START_TEST(of_two_names_a_frame_has_the_one_without_underscores)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	char text[WHERE_TEXT], *start;

	if (!libc)
		return;
	start = dlsym(libc, "__nanosleep");
	if (start && start == (char *)dlsym(libc, "nanosleep")) {
		where_frame(start + 1, text);
		ck_assert_msg(!strncmp(text, "nanosleep+0x0 in", 16), "%s",
		    text);
	}
	dlclose(libc);
}
END_TEST

START_TEST(a_frame_of_the_program_says_its_file_and_offset)
{
	const char *address =
	    (const char *)a_frame_of_a_library_has_its_name_and_offsets;
	char text[WHERE_TEXT], want[64];

	where_frame(address + 1, text);
	snprintf(want, sizeof(want), "check_where (+0x%zx)",
	    (size_t)((uintptr_t)address - base_of(address)));
	ck_assert_msg(strstr(text, want) != NULL, "%s has no %s", text, want);
}
END_TEST

START_TEST(a_frame_of_nothing_is_an_address)
{
	char text[WHERE_TEXT];

	where_frame((const void *)0x10, text);
	ck_assert_str_eq(text, "0x10");
	where_frame(NULL, text);
	ck_assert_str_ne(text, "");
}
END_TEST

static void add_backtraces(Suite *suite)
{
	TCase *deadly = suite_case(suite, "signals that kill");

	SUITE_ADD(suite, "backtraces",
	    a_backtrace_shows_the_function_in_which_a_thread_hangs,
	    a_backtrace_begins_where_the_thread_is,
	    a_backtrace_fills_no_more_than_there_is_room_for,
	    a_deep_stack_is_cut, a_call_that_restarts_goes_on_after_a_backtrace,
	    a_backtrace_leaves_errno_alone,
	    a_thread_that_has_ended_has_no_backtrace,
	    a_backtrace_that_was_not_prepared_is_not_tried,
	    many_may_ask_at_a_time);
	SUITE_ADD(suite, "late answers", a_late_answer_does_no_harm,
	    a_thread_that_was_late_is_asked_anew,
	    a_thread_that_ended_without_an_answer_is_forgotten,
	    any_number_of_threads_may_be_late,
	    another_handler_set_in_the_meantime_is_kept);
	SUITE_ADD(suite, "the signal's disposition",
	    the_disposition_is_as_before_after_a_backtrace,
	    a_handler_that_runs_once_is_not_tampered_with,
	    a_foreign_signal_reaches_the_plain_handler_from_before,
	    a_foreign_signal_reaches_the_handler_from_before_with_its_details,
	    foreign_signals_while_another_thread_is_asked_are_not_lost,
	    a_foreign_signal_is_ignored_if_it_was_before,
	    a_seccomp_trap_reaches_the_handler_from_before);
	tcase_add_test_raise_signal(deadly,
	    a_foreign_signal_kills_if_it_would_have_before, SIGSYS);
	tcase_add_test_raise_signal(deadly,
	    a_seccomp_trap_kills_even_if_the_signal_is_ignored, SIGSYS);
}

static Suite *where_suite(void)
{
	Suite *suite = suite_create("where");

	SUITE_ADD(suite, "threads",
	    a_thread_in_read_says_the_descriptor_and_its_pipe,
	    a_descriptor_that_is_closed_is_a_number_only,
	    a_long_path_is_cut_at_its_head_and_stays_on_the_line,
	    a_thread_that_waits_for_a_condition_is_in_futex,
	    a_thread_that_computes_is_running,
	    a_thread_that_has_ended_is_not_there_any_more,
	    a_thread_that_no_signal_reaches_is_uninterruptible);
	SUITE_ADD(suite, "other processes",
	    the_thread_of_another_process_says_its_call,
	    a_name_with_brackets_and_blanks_does_not_hide_the_state,
	    a_stopped_process_is_stopped,
	    of_a_process_that_may_not_be_traced_the_state_is_known);
	SUITE_ADD(suite, "lists and names", the_threads_of_a_process_are_listed,
	    more_threads_than_there_is_room_for_are_counted,
	    a_process_that_is_not_there_has_no_threads,
	    a_thread_has_the_name_it_was_given_while_it_is_there,
	    system_calls_have_their_names,
	    a_system_call_without_a_name_is_a_number);
	SUITE_ADD(suite, "frames",
	    a_frame_of_a_library_has_its_name_and_offsets,
	    of_two_names_a_frame_has_the_one_without_underscores,
	    a_frame_of_the_program_says_its_file_and_offset,
	    a_frame_of_nothing_is_an_address);
	/* There are none under valgrind, see where.h. */
	if (!is_emulated())
		add_backtraces(suite);
	return suite;
}

int main(void)
{
	return suite_run(where_suite());
}
