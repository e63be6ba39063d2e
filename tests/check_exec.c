/* Child processes as servers: words, start, end, stop. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cratos/exec.h>

#include "server/reaper.h"
#include "tests/fake_host.h"
#include "tests/suite.h"

/* A stop that is to have all the time it wants. */
enum { LONG_MS = 1000 * EVENT_PATIENCE_S };

/* ---- a place for children to leave word ---- */

static char place[64];
static int word_fd; /* of the fifo to which children write lines */

static const char *in_place(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", place, name);
	return path;
}

static void set_up(void)
{
	strcpy(place, "/tmp/cratos-exec-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(place));
	ck_assert_int_eq(mkfifo(in_place("word"), 0600), 0);
	word_fd = open(in_place("word"), O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(word_fd, 0);
	ck_assert_int_eq(setenv("PLACE", place, 1), 0);
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "exec rm -rf %s", place);
	ck_assert_int_eq(system(command), 0);
	close(word_fd);
}

/* The next line that a child has written to $PLACE/word. */
static const char *next_word(void)
{
	static char line[256];
	struct pollfd pollfd = {.fd = word_fd, .events = POLLIN};
	size_t length = 0;

	do {
		ck_assert_int_eq(poll(&pollfd, 1, 1000 * EVENT_PATIENCE_S), 1);
		ck_assert_int_eq(read(word_fd, line + length, 1), 1);
	} while (line[length++] != '\n');
	line[length - 1] = '\0';
	return line;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
	ck_assert_int_eq(chmod(path, mode), 0);
}

/* ---- one child in a host ---- */

static struct exec *child;
static struct fake_host host;

static void make(const struct exec_options *options)
{
	struct server server;

	child = exec_new(options);
	ck_assert_ptr_nonnull(child);
	server = exec_server(child, "child");
	fake_host_init(&host, &server);
}

static void make_shell(const char *script)
{
	make(&(struct exec_options){.command = script, .shell = true});
}

static void run(const struct exec_options *options)
{
	make(options);
	fake_host_start(&host);
}

static void run_shell(const char *script)
{
	make_shell(script);
	fake_host_start(&host);
}

static void clear(void)
{
	fake_host_fini(&host);
	exec_free(&child);
	ck_assert_ptr_null(child);
}

static void assert_end(int code, const char *text)
{
	struct error end = fake_host_until_end(&host);

	ck_assert_msg(end.code == code, "%d: %s", end.code, end.text);
	if (text)
		ck_assert_str_eq(end.text, text);
}

static void stop_cleanly(void)
{
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(0, NULL);
	clear();
}

static void assert_refused(const struct exec_options *options, int code,
    const char *text)
{
	run(options);
	assert_end(code, text);
	ck_assert_int_eq(host.ready_count, 0);
	ck_assert_int_eq(exec_pid(child), 0);
	/* An app stops the one that failed, too. */
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	clear();
}

static bool is_reaped(struct fake_host *unused)
{
	(void)unused;
	return !exec_pid(child);
}

static bool is_group_gone(void *pid)
{
	return kill(-*(pid_t *)pid, 0) && errno == ESRCH;
}

/* ---- signals ---- */

START_TEST(a_signal_can_be_sent_to_the_childs_group)
{
	make_shell("trap 'echo usr1 >$PLACE/word' USR1; echo up >$PLACE/word; "
		   "while :; do sleep 0.01; done");
	ck_assert_int_eq(exec_signal(child, SIGUSR1), -ESRCH);
	fake_host_start(&host);
	fake_host_until_ready(&host);
	ck_assert_str_eq(next_word(), "up");
	ck_assert_int_eq(exec_signal(child, SIGUSR1), 0);
	ck_assert_str_eq(next_word(), "usr1");
	ck_assert_int_eq(exec_signal(child, NSIG + 1), -EINVAL);
	stop_cleanly();
}
END_TEST

/* ---- words ---- */

static void assert_words(const char *command, const char *const *words)
{
	int argc = -1, n = 0;
	char **argv = exec_split(command, &argc);

	ck_assert_ptr_nonnull(argv);
	for (; words[n]; n++) {
		ck_assert_int_lt(n, argc);
		ck_assert_str_eq(argv[n], words[n]);
	}
	ck_assert_int_eq(argc, n);
	ck_assert_ptr_null(argv[argc]);
	free(argv);
}

#define ASSERT_WORDS(command, ...) \
	assert_words(command, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(a_command_is_split_at_blanks)
{
	ASSERT_WORDS("a", "a");
	ASSERT_WORDS("  redis-server\t--port \n 0 ", "redis-server", "--port",
	    "0");
}
END_TEST

START_TEST(quotes_keep_blanks_and_join_what_they_touch)
{
	ASSERT_WORDS("'a b' \"c d\"", "a b", "c d");
	ASSERT_WORDS("--name='a b'\"c d\"e", "--name=a bc de");
	ASSERT_WORDS("a '' \"\"", "a", "", "");
	ASSERT_WORDS("'$HOME *' \"'\" '\"'", "$HOME *", "'", "\"");
}
END_TEST

START_TEST(a_backslash_keeps_what_follows)
{
	ASSERT_WORDS("a\\ b \\' \\\\ \\x", "a b", "'", "\\", "x");
	ASSERT_WORDS("\"\\\" \\\\ \\x\"", "\" \\ \\x");
	ASSERT_WORDS("'\\' '\\\\'", "\\", "\\\\");
}
END_TEST

static void assert_no_words(const char *command, const char *text)
{
	char **argv;

	errno = 0;
	argv = exec_split(command, NULL);
	ck_assert_ptr_null(argv);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_str_eq(error_of(-EINVAL).text, text);
}

START_TEST(a_word_without_an_end_is_refused_with_the_command)
{
	assert_no_words("a 'b c", "unclosed quote in: a 'b c");
	assert_no_words("a \"b\\\"", "unclosed quote in: a \"b\\\"");
	assert_no_words("a 'b' \\", "nothing after the backslash in: a 'b' \\");
	assert_no_words(" \t", "empty command");
	assert_no_words("", "empty command");
}
END_TEST

static void assert_not_made(const struct exec_options *options,
    const char *text)
{
	errno = 0;
	ck_assert_ptr_null(exec_new(options));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_str_eq(error_of(-EINVAL).text, text);
}

START_TEST(options_that_make_no_sense_are_refused_at_once)
{
	const char *const env[] = {"A=1", "B", NULL};
	const struct exec_limit no_limit = {99, 0, 0};

	assert_not_made(&(struct exec_options){0}, "empty command");
	assert_not_made(&(struct exec_options){.command = "''"},
	    "empty command");
	assert_not_made(&(struct exec_options){.command = " ", .shell = true},
	    "empty command");
	assert_not_made(&(struct exec_options){.command = "a 'b"},
	    "unclosed quote in: a 'b");
	assert_not_made(&(struct exec_options){.command = "a", .env = env},
	    "not NAME=value in the environment: B");
	assert_not_made(&(struct exec_options){.command = "a",
			    .stop_signal = 1000},
	    "no signal: 1000");
	assert_not_made(&(struct exec_options){.command = "a",
			    .kill_signal = -1},
	    "no signal: -1");
	assert_not_made(&(struct exec_options){.command = "a",
			    .stop_command = "b 'c"},
	    "stop_exec: unclosed quote in: b 'c");
	assert_not_made(&(struct exec_options){.command = "a",
			    .success_statuses = (const int[]){256, 0}},
	    "no exit status: 256");
	assert_not_made(&(struct exec_options){.command = "a",
			    .success_signals = (const int[]){99, 0}},
	    "no signal: 99");
	assert_not_made(&(struct exec_options){.command = "a",
			    .limits = &no_limit,
			    .limit_count = 1},
	    "no limit: 99");
	assert_not_made(&(struct exec_options){.command = "a",
			    .set_umask = true,
			    .umask = 01777},
	    "umask: 1777 is more than 777");
	assert_not_made(&(struct exec_options){.command = "a",
			    .set_nice = true,
			    .nice = 20},
	    "nice: 20 is not from -20 to 19");
	assert_not_made(&(struct exec_options){.command = "a",
			    .set_oom_score_adj = true,
			    .oom_score_adj = -1001},
	    "oom_score_adj: -1001 is not from -1000 to 1000");
}
END_TEST

START_TEST(options_are_copied)
{
	char command[] = "sh -c 'echo $A $B $(cat) $(ulimit -n) >word'",
	     dir[64], env_a[] = "A=1", env_file[] = "env", input[] = "input";
	const char *env[] = {env_a, NULL};
	struct exec_limit limits[] = {{RLIMIT_NOFILE, 77, 77}};
	struct exec_options options = {.command = command,
	    .dir = dir,
	    .env = env,
	    .env_file = env_file,
	    .input = input,
	    .limits = limits,
	    .limit_count = 1};

	strcpy(dir, place);
	make(&options);
	memset(command, 'x', sizeof(command) - 1);
	memset(dir, 'x', sizeof(dir) - 1);
	memset(env_a, 'x', sizeof(env_a) - 1);
	memset(env_file, 'x', sizeof(env_file) - 1);
	memset(input, 'x', sizeof(input) - 1);
	memset(limits, 'x', sizeof(limits));
	env[0] = NULL;
	write_file(in_place("env"), "B=2\n", 0600);
	write_file(in_place("input"), "3\n", 0600);
	fake_host_start(&host);
	ck_assert_str_eq(next_word(), "1 2 3 77");
	fake_host_until_end(&host);
	clear();
}
END_TEST

START_TEST(a_lack_of_memory_is_an_error_and_leaves_nothing)
{
	const char *const env[] = {"A=1", "B=2", NULL};
	const struct exec_limit limits[] = {{RLIMIT_CORE, 0, 0}};
	struct exec_options options = {.command = "sleep 1000",
	    .dir = "/",
	    .env = env,
	    .stop_command = "true",
	    .user = "root",
	    .group = "root",
	    .env_file = "env",
	    .input = "input",
	    .limits = limits,
	    .limit_count = 1,
	    .endpoint = "tcp://x:1"};
	int failed;

	for (int n = 1;; n++) {
		fault_nth(FAULT_MEMORY, n);
		child = exec_new(&options);
		failed = fault_failed(FAULT_MEMORY);
		fault_none();
		if (child)
			break;
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_int_eq(failed, 1);
	}
	ck_assert_int_eq(failed, 0);
	exec_free(&child);
}
END_TEST

/* ---- start ---- */

/* A3 */
START_TEST(a_server_is_ready_when_its_program_runs_in_its_own_group)
{
	pid_t pid;

	run(&(struct exec_options){.command = "sleep 1000"});
	fake_host_until_ready(&host);
	pid = exec_pid(child);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(getpgid(pid), pid);
	ck_assert_int_eq(host.server.pid(host.server.arg), pid);
	stop_cleanly();
}
END_TEST

START_TEST(a_shell_runs_a_command_if_it_is_asked_to)
{
	run_shell("echo one two | tr a-z A-Z >$PLACE/word; exec sleep 1000");
	ck_assert_str_eq(next_word(), "ONE TWO");
	fake_host_until_ready(&host);
	stop_cleanly();
}
END_TEST

/* A C daemon's rule 2 */
START_TEST(a_child_has_no_signal_blocked_or_ignored)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	run_shell("grep -E '^Sig(Blk|Ign)' /proc/self/status >$PLACE/word;"
		  "exec sleep 1000");
	ck_assert_str_eq(next_word(), "SigBlk:\t0000000000000000");
	ck_assert_str_eq(next_word(), "SigIgn:\t0000000000000000");
	fake_host_until_ready(&host);
	stop_cleanly();
}
END_TEST

/* A C daemon's rule 7 */
START_TEST(a_child_has_no_descriptor_of_the_parents_but_stdout_and_stderr)
{
	int careless = open("/dev/zero", O_RDONLY);

	ck_assert_int_gt(careless, 3);
	/* 3 is the folder that ls reads. */
	run_shell("readlink /proc/$$/fd/0 >$PLACE/word;"
		  "exec ls -x /proc/self/fd >$PLACE/word");
	ck_assert_str_eq(next_word(), "/dev/null");
	ck_assert_str_eq(next_word(), "0  1  2  3");
	fake_host_until_end(&host);
	clear();
	close(careless);
}
END_TEST

START_TEST(a_child_gets_the_parents_environment_with_its_own_on_top)
{
	const char *const env[] = {"B=no", "C=3", "B=2", NULL};

	setenv("A", "1", 1);
	setenv("B", "parent's", 1);
	run(&(struct exec_options){.command =
				       "sh -c 'echo $A $B $C >$PLACE/word; env "
				       "| grep -c ^B= >$PLACE/word'",
	    .env = env});
	ck_assert_str_eq(next_word(), "1 2 3");
	ck_assert_str_eq(next_word(), "1");
	fake_host_until_end(&host);
	clear();
}
END_TEST

START_TEST(a_command_is_looked_up_in_the_path_that_the_child_gets)
{
	char path[128];
	const char *const env[] = {path, NULL};

	snprintf(path, sizeof(path), "PATH=/nowhere:%s:/usr/bin:/bin", place);
	write_file(in_place("cratos-hello"),
	    "#!/bin/sh\necho hello $0 >$PLACE/word\n", 0755);
	run(&(struct exec_options){.command = "cratos-hello", .env = env});
	ck_assert_ptr_nonnull(strstr(next_word(), "/cratos-hello"));
	fake_host_until_end(&host);
	clear();
}
END_TEST

START_TEST(a_child_runs_in_its_directory_and_is_looked_up_there)
{
	write_file(in_place("here"), "#!/bin/sh\npwd >word\n", 0755);
	run(&(struct exec_options){.command = "./here", .dir = place});
	ck_assert_str_eq(next_word(), place);
	fake_host_until_end(&host);
	clear();
}
END_TEST

START_TEST(a_command_that_is_not_there_is_an_error_that_names_it)
{
	assert_refused(&(struct exec_options){.command = "no-such-command -v"},
	    -ENOENT, "command no-such-command: not found in PATH");
}
END_TEST

START_TEST(a_directory_that_is_not_there_is_an_error_that_names_it)
{
	assert_refused(&(struct exec_options){.command = "true",
			   .dir = "/no/such/dir"},
	    -ENOENT,
	    "working directory /no/such/dir: No such file or directory");
	assert_refused(&(struct exec_options){.command = "true",
			   .dir = "/dev/null"},
	    -ENOTDIR, "working directory /dev/null: Not a directory");
}
END_TEST

START_TEST(a_file_in_path_that_cannot_be_executed_is_said_to_be_there)
{
	char path[128];
	const char *const env[] = {path, NULL};

	snprintf(path, sizeof(path), "PATH=%s", place);
	write_file(in_place("plain"), "text\n", 0644);
	assert_refused(&(struct exec_options){.command = "plain", .env = env},
	    -EACCES, "command plain: what PATH has cannot be executed");
}
END_TEST

/* What only execve finds out. */
START_TEST(a_command_that_cannot_be_executed_is_an_error_with_the_reason)
{
	struct exec_options options = {.dir = place};

	options.command = "./gone";
	assert_refused(&options, -ENOENT,
	    "command ./gone: No such file or directory");
	write_file(in_place("plain"), "text\n", 0644);
	options.command = "./plain";
	assert_refused(&options, -EACCES, "command ./plain: Permission denied");
	write_file(in_place("lost"), "#!/no/such/interpreter\n", 0755);
	options.command = "./lost";
	assert_refused(&options, -ENOENT,
	    "command ./lost: the interpreter that it names is missing");
	write_file(in_place("bare"), "echo no first line\n", 0755);
	options.command = "./bare";
	assert_refused(&options, -ENOEXEC,
	    "command ./bare: no program, and a script without #!");
}
END_TEST

START_TEST(a_child_that_cannot_be_watched_is_ended_and_an_error)
{
	make(&(struct exec_options){.command = "sleep 1000"});
	host.refuse_watch = -ENOSPC;
	fake_host_start(&host);
	assert_end(-ENOSPC,
	    "cannot watch the process: No space left on device");
	ck_assert_int_eq(exec_pid(child), 0);
	clear();
}
END_TEST

static void assert_reads(int fd, const char *text)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};
	char found[64] = "";
	size_t used = 0;

	while (used < strlen(text)) {
		ssize_t n;

		ck_assert_int_eq(poll(&pollfd, 1, 1000 * EVENT_PATIENCE_S), 1);
		n = read(fd, found + used, sizeof(found) - 1 - used);
		ck_assert_int_gt(n, 0);
		used += (size_t)n;
	}
	ck_assert_str_eq(found, text);
}

START_TEST(output_goes_where_options_say)
{
	int out[2], err[2];

	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(err, O_CLOEXEC), 0);
	make(&(struct exec_options){.shell = true,
	    .command = "echo to-out; echo to-err >&2;"
		       "ls /proc/self/fd | tr '\\n' ' '; exec sleep 1000",
	    .stdout_fd = out[1],
	    .stderr_fd = err[1]});
	/* They are copies. */
	close(out[1]);
	close(err[1]);
	fake_host_start(&host);
	assert_reads(out[0], "to-out\n0 1 2 3 ");
	assert_reads(err[0], "to-err\n");
	stop_cleanly();
	/* Nobody holds them any more. */
	ck_assert_int_eq(read(out[0], (char[1]){0}, 1), 0);
	ck_assert_int_eq(read(err[0], (char[1]){0}, 1), 0);
	close(out[0]);
	close(err[0]);
}
END_TEST

START_TEST(output_may_be_one_stream_and_stays_from_run_to_run)
{
	int out[2];

	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	make(&(struct exec_options){.shell = true,
	    .command = "echo out; echo err >&2; exit 3",
	    .stdout_fd = out[1],
	    .stderr_fd = out[1]});
	close(out[1]);
	for (int i = 0; i < 2; i++) {
		fake_host_start(&host);
		assert_end(-ECHILD, "exited with status 3");
		fake_host_stop(&host, LONG_MS);
		ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
		assert_reads(out[0], "out\nerr\n");
	}
	clear();
	ck_assert_int_eq(read(out[0], (char[1]){0}, 1), 0);
	close(out[0]);
}
END_TEST

START_TEST(one_stream_may_stay_the_parents)
{
	int err[2];

	ck_assert_int_eq(pipe2(err, O_CLOEXEC), 0);
	run(&(struct exec_options){.shell = true,
	    .command = "echo err >&2;"
		       "[ /dev/fd/1 -ef /proc/$PPID/fd/1 ] && echo same >&2;"
		       "exec sleep 1000",
	    .stderr_fd = err[1]});
	assert_reads(err[0], "err\nsame\n");
	stop_cleanly();
	close(err[0]);
	close(err[1]);
}
END_TEST

START_TEST(a_descriptor_for_output_that_is_none_is_refused)
{
	errno = 0;
	ck_assert_ptr_null(exec_new(
	    &(struct exec_options){.command = "true", .stderr_fd = 1000000}));
	ck_assert_int_eq(errno, EBADF);
	ck_assert_str_eq(error_of(-EBADF).text,
	    "stderr_fd 1000000: Bad file descriptor");
	assert_not_made(&(struct exec_options){.command = "true",
			    .stdout_fd = 2},
	    "no descriptor for output: stdout_fd 2");
	assert_not_made(&(struct exec_options){.command = "true",
			    .stderr_fd = -1},
	    "no descriptor for output: stderr_fd -1");
}
END_TEST

START_TEST(a_lack_of_descriptors_is_an_error_and_leaves_no_child)
{
	struct rlimit limit, before;
	int fds[256], n = 0;

	getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	limit.rlim_cur = 200;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	make(&(struct exec_options){.command = "sleep 1000"});
	while ((fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	fake_host_start(&host);
	assert_end(-EMFILE, "cannot watch the process: Too many open files");
	while (n)
		close(fds[--n]);
	setrlimit(RLIMIT_NOFILE, &before);
	clear();
}
END_TEST

/* The nth allocation from start on fails. */
static task_fn *real_start;
static int nth_allocation;

static int start_short_of_memory(struct context *ctx, void *arg)
{
	int ret;

	fault_nth(FAULT_MEMORY, nth_allocation);
	ret = real_start(ctx, arg);
	fault_none();
	return ret;
}

static bool has_returned(struct fake_host *unused)
{
	(void)unused;
	return host.returned;
}

START_TEST(a_start_that_is_short_of_memory_leaves_no_child)
{
	const char *const env[] = {"A=1", NULL};
	char user[16];
	int code;

	/* By number, as a name would take more memory than is ours. */
	snprintf(user, sizeof(user), "%u", (unsigned)getuid());
	write_file(in_place("env"), "B=1\n", 0600);
	make(&(struct exec_options){.command = "sleep 1000",
	    .env = env,
	    .env_file = in_place("env"),
	    .user = user});
	real_start = host.server.start;
	host.server.start = start_short_of_memory;
	nth_allocation = 0;
	do {
		nth_allocation++;
		fake_host_start(&host);
		fake_host_drive(&host, has_returned);
		fake_host_stop(&host, LONG_MS);
		ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
		code = host.end.code;
		ck_assert_msg(!code || code == -ENOMEM, "%d: %s", code,
		    host.end.text);
		ck_assert_int_eq(exec_pid(child), 0);
	} while (code || fault_failed(FAULT_MEMORY));
	clear();
}
END_TEST

START_TEST(an_endpoint_is_the_text_that_was_given)
{
	struct server server;
	char url[32];

	child = exec_new(&(struct exec_options){.command = "true",
	    .endpoint = "tcp://127.0.0.1:6379"});
	server = exec_server(child, "child");
	ck_assert_int_eq(server.endpoint(server.arg, url, sizeof(url)), 0);
	ck_assert_str_eq(url, "tcp://127.0.0.1:6379");
	ck_assert_int_eq(server.endpoint(server.arg, url, 20), -ENAMETOOLONG);
	exec_free(&child);
	child = exec_new(&(struct exec_options){.command = "true"});
	ck_assert(!exec_server(child, "child").endpoint);
	exec_free(&child);
}
END_TEST

/* ---- an end by itself ---- */

START_TEST(a_child_that_exits_is_an_error_with_its_status)
{
	run_shell("exit 3");
	assert_end(-ECHILD, "exited with status 3");
	ck_assert_int_eq(host.ready_count, 1);
	ck_assert_int_eq(exec_pid(child), 0);
	clear();
}
END_TEST

START_TEST(a_child_that_is_killed_is_an_error_with_the_signal)
{
	run_shell("kill -KILL $$");
	assert_end(-ECHILD, "killed by signal 9 (SIGKILL)");
	clear();
	run_shell("kill -TERM $$");
	assert_end(-ECHILD, "killed by signal 15 (SIGTERM)");
	clear();
	run_shell("kill -40 $$");
	assert_end(-ECHILD, "killed by signal 40");
	clear();
}
END_TEST

START_TEST(a_child_that_exits_with_0_unasked_is_an_error_with_a_hint)
{
	run(&(struct exec_options){.command = "true"});
	assert_end(-ECHILD,
	    "exited with status 0 without being told to stop: if it goes to "
	    "the background, have it stay in the foreground; if that is all it "
	    "does, it is a oneshot");
	clear();
}
END_TEST

START_TEST(an_exit_with_0_is_a_return_if_it_may)
{
	struct exec_options options = {.may_exit = true, .shell = true};

	options.command = "exit 0";
	run(&options);
	assert_end(0, NULL);
	ck_assert_int_eq(host.ready_count, 1);
	ck_assert_int_eq(exec_pid(child), 0);
	clear();
	/* What it leaves goes, as ever. */
	options.command = "sleep 1000 & exit 0";
	run(&options);
	assert_end(0, NULL);
	clear();
	options.command = "exit 3";
	run(&options);
	assert_end(-ECHILD, "exited with status 3");
	clear();
	options.command = "kill -TERM $$";
	run(&options);
	assert_end(-ECHILD, "killed by signal 15 (SIGTERM)");
	clear();
}
END_TEST

/* A13: the app calls the stop of the one that failed, too. */
START_TEST(a_stop_after_the_end_finds_nothing_to_do)
{
	run_shell("exit 3");
	assert_end(-ECHILD, NULL);
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	clear();
}
END_TEST

START_TEST(what_a_dead_child_leaves_in_its_group_is_stopped_first)
{
	run_shell("sleep 1000 & sleep 1000 & exit 3");
	assert_end(-ECHILD, "exited with status 3");
	clear();
}
END_TEST

/* 5 s is what the leftover gets. */
START_TEST(what_a_dead_child_leaves_and_does_not_stop_is_killed)
{
	pid_t group;

	ck_assert_int_eq(mkfifo(in_place("go"), 0600), 0);
	run_shell("(trap '' TERM; echo $$ >$PLACE/word; exec sleep 1000) & "
		  "read line <$PLACE/go; exit 3");
	group = atoi(next_word());
	write_file(in_place("go"), "go\n", 0600);
	assert_end(-ECHILD, NULL);
	ck_assert(event_poll(is_group_gone, &group));
	clear();
}
END_TEST

/* ---- stop ---- */

START_TEST(a_stop_is_clean_if_the_child_dies_of_the_stop_signal)
{
	run(&(struct exec_options){.command = "sleep 1000",
	    .stop_signal = SIGINT});
	fake_host_until_ready(&host);
	stop_cleanly();
}
END_TEST

static void assert_stop(const char *script, int stop_signal, int code,
    const char *text)
{
	run(&(struct exec_options){.command = script,
	    .shell = true,
	    .stop_signal = stop_signal});
	ck_assert_str_eq(next_word(), "up");
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(code, text);
	clear();
}

/* Short sleeps: one that begins after the signal does not keep the trap. */
#define FOREVER "while :; do sleep 0.02; done"
#define TRAP(signal, action) \
	"trap '" action "' " signal "; echo up >$PLACE/word; " FOREVER

START_TEST(a_stop_is_clean_if_the_child_exits_as_if_by_the_signal)
{
	assert_stop(TRAP("TERM", "exit 0"), 0, 0, NULL);
	assert_stop(TRAP("TERM", "exit 143"), 0, 0, NULL);
	assert_stop(TRAP("INT", "exit 130"), SIGINT, 0, NULL);
	assert_stop(TRAP("INT", "exit 143"), SIGINT, 0, NULL);
}
END_TEST

START_TEST(a_stop_that_ends_another_way_is_an_error_in_words)
{
	assert_stop(TRAP("TERM", "exit 5"), 0, -ECHILD, "exited with status 5");
	assert_stop(TRAP("TERM", "kill -USR1 $$"), 0, -ECHILD,
	    "killed by signal 10 (SIGUSR1)");
}
END_TEST

START_TEST(a_child_that_was_stopped_by_a_signal_can_be_stopped)
{
	run(&(struct exec_options){.command = "sleep 1000"});
	fake_host_until_ready(&host);
	ck_assert_int_eq(kill(exec_pid(child), SIGSTOP), 0);
	stop_cleanly();
}
END_TEST

START_TEST(the_server_has_ended_when_all_of_its_group_have)
{
	pid_t group;

	/* The leader dies at once, the other takes a step more. */
	ck_assert_int_eq(mkfifo(in_place("go"), 0600), 0);
	run_shell("(trap 'read line <$PLACE/go; exit' TERM;"
		  " echo $$ >$PLACE/word; " FOREVER ") & wait");
	group = atoi(next_word());
	fake_host_stop(&host, LONG_MS);
	/* Reaped, and yet not over. */
	fake_host_drive(&host, is_reaped);
	ck_assert(!is_group_gone(&group));
	write_file(in_place("go"), "go\n", 0600);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(0, NULL);
	ck_assert(is_group_gone(&group));
	clear();
}
END_TEST

/* A9 */
START_TEST(a_child_that_does_not_stop_is_killed_at_the_deadline)
{
	run_shell("trap '' TERM; echo up >$PLACE/word; exec sleep 1000");
	ck_assert_str_eq(next_word(), "up");
	fake_host_stop(&host, LONG_MS);
	fake_host_cancel(&host);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(-ETIMEDOUT, "did not stop in time: killed (SIGKILL)");
	clear();
}
END_TEST

/* A9 */
START_TEST(what_a_child_leaves_in_its_group_is_killed_at_the_deadline)
{
	pid_t group;

	run_shell("(trap '' TERM; echo $$ >$PLACE/word; exec sleep 1000) & "
		  "wait");
	fake_host_until_ready(&host);
	group = atoi(next_word());
	fake_host_stop(&host, LONG_MS);
	fake_host_drive(&host, is_reaped);
	fake_host_cancel(&host);
	assert_end(-ETIMEDOUT,
	    "processes that it started did not stop in time: killed (SIGKILL)");
	fake_host_until_stopped(&host);
	ck_assert(event_poll(is_group_gone, &group));
	clear();
}
END_TEST

/* A4: the end of start's context is an order to end, with or without stop. */
START_TEST(a_child_whose_context_is_done_is_killed)
{
	run(&(struct exec_options){.command = "sleep 1000"});
	fake_host_until_ready(&host);
	fake_host_cancel(&host);
	assert_end(-ETIMEDOUT, "did not stop in time: killed (SIGKILL)");
	clear();
}
END_TEST

START_TEST(a_context_that_is_done_before_start_leaves_no_child)
{
	make(&(struct exec_options){.command = "sleep 1000"});
	fake_host_start(&host);
	fake_host_cancel(&host);
	assert_end(-ETIMEDOUT, "did not stop in time: killed (SIGKILL)");
	clear();
}
END_TEST

/* A13: start has been called, and yet stop may be the first to get there. */
START_TEST(a_stop_that_overtakes_start_keeps_it_from_starting)
{
	make(&(struct exec_options){.command = "sleep 1000"});
	ck_assert_int_eq(host.server.stop(context_background(),
			     host.server.arg),
	    0);
	fake_host_start(&host);
	assert_end(0, NULL);
	ck_assert_int_eq(exec_pid(child), 0);
	/* And no other start. */
	fake_host_start(&host);
	fake_host_until_ready(&host);
	stop_cleanly();
}
END_TEST

START_TEST(a_stop_at_any_moment_of_start_leaves_no_child)
{
	make(&(struct exec_options){.command = "sleep 1000"});
	for (int i = 0; i < scale(200); i++) {
		fake_host_start(&host);
		fake_host_stop(&host, LONG_MS);
		ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
		assert_end(0, NULL);
	}
	clear();
}
END_TEST

START_TEST(a_deadline_at_any_moment_of_a_run_leaves_no_child)
{
	make(&(struct exec_options){.command = "true"});
	for (int i = 0; i < scale(200); i++) {
		fake_host_start(&host);
		if (i % 2)
			fake_host_until_ready(&host);
		fake_host_cancel(&host);
		ck_assert_int_ne(fake_host_until_end(&host).code, 0);
		fake_host_stop(&host, LONG_MS);
		ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	}
	clear();
}
END_TEST

/* ---- other ways to tell it ---- */

static void run_stopped_by(const char *script, const char *command)
{
	run(&(struct exec_options){.command = script,
	    .shell = true,
	    .stop_command = command});
	ck_assert_str_eq(next_word(), "up");
	fake_host_until_ready(&host);
}

START_TEST(a_stop_command_stops_instead_of_the_signal)
{
	char pid[16];

	run_stopped_by("trap '' TERM; " TRAP("USR1", "exit 0"),
	    "sh -c 'echo $MAINPID >$PLACE/word; kill -USR1 $MAINPID'");
	snprintf(pid, sizeof(pid), "%d", (int)exec_pid(child));
	fake_host_stop(&host, LONG_MS);
	ck_assert_str_eq(next_word(), pid);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(0, NULL);
	clear();
}
END_TEST

START_TEST(a_stop_command_that_fails_leaves_it_to_the_signal)
{
	run_stopped_by(TRAP("TERM", "exit 0"), "sh -c 'exit 3'");
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(-ECHILD, "stop_exec: exited with status 3");
	clear();
	run_stopped_by(TRAP("TERM", "exit 0"), "sh -c 'kill -USR1 $$'");
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(-ECHILD, "stop_exec: killed by signal 10");
	clear();
	run_stopped_by(TRAP("TERM", "exit 0"), "no-such-command");
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(-ENOENT,
	    "stop_exec: command no-such-command: not found in PATH");
	clear();
}
END_TEST

/* As one does that loses its connection to what it has stopped. */
START_TEST(a_stop_command_that_fails_after_the_end_has_not_failed)
{
	run_stopped_by(TRAP("TERM", "exit 0"),
	    "sh -c 'kill -TERM $MAINPID; while kill -0 $MAINPID; do "
	    "sleep 0.02; done 2>/dev/null; exit 1'");
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(0, NULL);
	clear();
}
END_TEST

START_TEST(the_server_has_ended_when_its_stop_command_has)
{
	ck_assert_int_eq(mkfifo(in_place("go"), 0600), 0);
	run_stopped_by(TRAP("TERM", "exit 0"),
	    "sh -c 'kill -TERM $MAINPID; echo $$ >$PLACE/word; "
	    "read line <$PLACE/go'");
	fake_host_stop(&host, LONG_MS);
	fake_host_drive(&host, is_reaped);
	ck_assert_int_gt(atoi(next_word()), 0);
	ck_assert(!host.ended);
	write_file(in_place("go"), "go\n", 0600);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(0, NULL);
	clear();
}
END_TEST

START_TEST(a_stop_command_is_killed_at_the_deadline_with_all_of_it)
{
	pid_t group;

	run_stopped_by("trap '' TERM; echo up >$PLACE/word; " FOREVER,
	    "sh -c 'sleep 1000 & echo $$ >$PLACE/word; wait'");
	fake_host_stop(&host, LONG_MS);
	group = atoi(next_word());
	fake_host_cancel(&host);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(-ETIMEDOUT, "did not stop in time: killed (SIGKILL)");
	ck_assert(event_poll(is_group_gone, &group));
	clear();
	/* Also one that has done what it had to. */
	run_stopped_by(TRAP("TERM", "exit 0"),
	    "sh -c 'kill -TERM $MAINPID; sleep 1000 & echo $$ >$PLACE/word; "
	    "wait'");
	fake_host_stop(&host, LONG_MS);
	group = atoi(next_word());
	fake_host_drive(&host, is_reaped);
	fake_host_cancel(&host);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(-ETIMEDOUT,
	    "stop_exec: did not end in time: killed (SIGKILL)");
	ck_assert(event_poll(is_group_gone, &group));
	clear();
}
END_TEST

/* What the app does when a child has ended. */
static bool has_stopped_as_reaper(struct fake_host *unused)
{
	(void)unused;
	reaper_look();
	return host.stopped && host.ended && host.returned;
}

static void stop_at_any_moment_by(const char *command)
{
	make(&(struct exec_options){.command = "sleep 1000",
	    .stop_command = command});
	for (int i = 0; i < scale(100); i++) {
		fake_host_start(&host);
		if (i % 3 == 1)
			fake_host_until_ready(&host);
		fake_host_stop(&host, LONG_MS);
		if (i % 7 == 3)
			fake_host_cancel(&host);
		fake_host_drive(&host, has_stopped_as_reaper);
		ck_assert_int_eq(host.stop_err.code, 0);
		if (i % 7 != 3)
			assert_end(0, NULL);
	}
	clear();
}

START_TEST(a_stop_command_at_any_moment_of_a_run_leaves_nothing)
{
	stop_at_any_moment_by("sh -c 'kill -TERM $MAINPID'");
	ck_assert_int_eq(reaper_begin(), 0);
	stop_at_any_moment_by(
	    "sh -c 'setsid sleep 1000 & kill -TERM $MAINPID'");
	reaper_end();
}
END_TEST

START_TEST(kill_ends_a_stop_command_too)
{
	pid_t group;

	run_stopped_by("trap '' TERM; echo up >$PLACE/word; " FOREVER,
	    "sh -c 'echo $$ >$PLACE/word; exec sleep 1000'");
	fake_host_stop(&host, LONG_MS);
	group = atoi(next_word());
	host.server.kill(host.server.arg);
	fake_host_until_stopped(&host);
	ck_assert(is_group_gone(&group));
	clear();
}
END_TEST

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) && errno == ESRCH;
}

START_TEST(what_a_stop_command_leaves_in_whatever_group_is_gone_with_it)
{
	pid_t group, astray;

	ck_assert_int_eq(reaper_begin(), 0);
	ck_assert_int_eq(mkfifo(in_place("go"), 0600), 0);
	run_stopped_by(TRAP("TERM", "exit 0"),
	    "sh -c \"sleep 1000 & "
	    "setsid sh -c 'echo $$ >$PLACE/word; exec sleep 1000' & "
	    "read go <$PLACE/go; echo $$ >$PLACE/word; kill -TERM $MAINPID\"");
	fake_host_stop(&host, LONG_MS);
	astray = atoi(next_word());
	ck_assert(!is_gone(astray));
	write_file(in_place("go"), "go\n", 0600);
	group = atoi(next_word());
	fake_host_drive(&host, has_stopped_as_reaper);
	ck_assert_int_eq(host.stop_err.code, 0);
	assert_end(0, NULL);
	ck_assert(is_gone(astray));
	ck_assert(is_group_gone(&group));
	clear();
	reaper_end();
}
END_TEST

START_TEST(what_a_stop_command_leaves_of_the_child_gets_the_stop_signal)
{
	run_stopped_by("trap 'exit 0' USR1; "
		       "(trap 'echo told >$PLACE/word; exit 0' TERM; "
		       "echo up >$PLACE/word; " FOREVER ") & " FOREVER,
	    "sh -c 'kill -USR1 $MAINPID'");
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	ck_assert_str_eq(next_word(), "told");
	assert_end(0, NULL);
	clear();
}
END_TEST

START_TEST(a_stop_command_is_not_run_for_one_that_ends_by_itself)
{
	run(&(struct exec_options){.command = "exit 3",
	    .shell = true,
	    .stop_command = "sh -c 'echo >$PLACE/ran'"});
	assert_end(-ECHILD, "exited with status 3");
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	ck_assert_int_ne(access(in_place("ran"), F_OK), 0);
	clear();
}
END_TEST

static bool is_word_there(struct fake_host *unused)
{
	struct pollfd pollfd = {.fd = word_fd, .events = POLLIN};

	(void)unused;
	return poll(&pollfd, 1, 0) == 1;
}

START_TEST(a_stop_command_ends_an_attempt_at_a_probe)
{
	run(&(struct exec_options){.command = "sleep 1000",
	    .stop_command = "sh -c 'kill -TERM $MAINPID'",
	    .ready = "exec:sh -c 'echo $$ >$PLACE/word; exec sleep 1000'"});
	for (int i = 0; i < 2; i++) {
		pid_t attempt;

		fake_host_drive(&host, is_word_there);
		attempt = atoi(next_word());
		ck_assert_int_gt(attempt, 0);
		fake_host_stop(&host, LONG_MS);
		ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
		assert_end(0, NULL);
		ck_assert(is_gone(attempt));
		ck_assert_int_eq(host.ready_count, 0);
		if (!i)
			fake_host_start(&host);
	}
	clear();
}
END_TEST

/* The pipe by which the child tells is the child's alone, and so is a socket. */
START_TEST(a_stop_command_has_no_part_in_the_childs_probes)
{
	run(&(struct exec_options){.ready = "fd:7",
	    .command = "echo >&7; " TRAP("USR1", "exit 0"),
	    .shell = true,
	    .stop_command =
		"sh -c '[ -e /proc/$$/fd/7 ] && echo open >$PLACE/word; "
		"echo \"<$NOTIFY_SOCKET>\" >$PLACE/word; "
		"kill -USR1 $MAINPID'"});
	ck_assert_str_eq(next_word(), "up");
	fake_host_until_ready(&host);
	fake_host_stop(&host, LONG_MS);
	ck_assert_str_eq(next_word(), "<>");
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(0, NULL);
	clear();
}
END_TEST

START_TEST(another_signal_may_be_sent_at_the_deadline)
{
	run(&(struct exec_options){.command = TRAP("TERM", ":"),
	    .shell = true,
	    .kill_signal = SIGABRT});
	ck_assert_str_eq(next_word(), "up");
	fake_host_stop(&host, LONG_MS);
	fake_host_cancel(&host);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(-ETIMEDOUT, "did not stop in time: killed (SIGABRT)");
	clear();
}
END_TEST

START_TEST(another_signal_is_sent_to_what_a_child_leaves_too)
{
	pid_t group;

	run(&(struct exec_options){
	    .command =
		"(trap '' TERM; trap 'echo late >$PLACE/word; exit 0' USR1; "
		"echo $$ >$PLACE/word; " FOREVER ") & wait",
	    .shell = true,
	    .kill_signal = SIGUSR1});
	group = atoi(next_word());
	fake_host_until_ready(&host);
	fake_host_stop(&host, LONG_MS);
	fake_host_drive(&host, is_reaped);
	fake_host_cancel(&host);
	assert_end(-ETIMEDOUT,
	    "processes that it started did not stop in time: killed (SIGUSR1)");
	fake_host_until_stopped(&host);
	ck_assert_str_eq(next_word(), "late");
	ck_assert(event_poll(is_group_gone, &group));
	clear();
}
END_TEST

/* Of a signal that is the stop signal's, but was not sent before. */
START_TEST(a_child_that_its_stop_command_does_not_stop_is_late)
{
	run(&(struct exec_options){.command = "sleep 1000",
	    .stop_command = "sh -c 'echo told >$PLACE/word'",
	    .kill_signal = SIGTERM});
	fake_host_until_ready(&host);
	fake_host_stop(&host, LONG_MS);
	ck_assert_str_eq(next_word(), "told");
	fake_host_cancel(&host);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(-ETIMEDOUT, "did not stop in time: killed (SIGTERM)");
	clear();
}
END_TEST

START_TEST(sigkill_follows_whatever_is_sent_at_the_deadline)
{
	run(&(struct exec_options){
	    .command = "trap '' TERM; trap 'echo late >$PLACE/word' INT; "
		       "echo up >$PLACE/word; " FOREVER,
	    .shell = true,
	    .kill_signal = SIGINT});
	ck_assert_str_eq(next_word(), "up");
	fake_host_stop(&host, LONG_MS);
	fake_host_cancel(&host);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	ck_assert_str_eq(next_word(), "late");
	assert_end(-ETIMEDOUT, "did not stop in time: killed (SIGKILL)");
	clear();
}
END_TEST

static void assert_success(const char *script, bool may_exit, int code,
    const char *text)
{
	const int statuses[] = {3, 255, 0}, signals[] = {SIGUSR1, 0};

	run(&(struct exec_options){.command = script,
	    .shell = true,
	    .may_exit = may_exit,
	    .success_statuses = statuses,
	    .success_signals = signals});
	if (text && !strcmp(text, "stop")) {
		ck_assert_str_eq(next_word(), "up");
		fake_host_stop(&host, LONG_MS);
		ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
		text = NULL;
	}
	assert_end(code, text);
	clear();
}

START_TEST(statuses_and_signals_can_be_as_good_as_status_0)
{
	assert_success("exit 3", true, 0, NULL);
	assert_success("exit 255", true, 0, NULL);
	assert_success("exit 0", true, 0, NULL);
	assert_success("kill -USR1 $$", true, 0, NULL);
	assert_success("exit 4", true, -ECHILD, "exited with status 4");
	assert_success("kill -USR2 $$", true, -ECHILD,
	    "killed by signal 12 (SIGUSR2)");
	assert_success("exit 3", false, -ECHILD,
	    "exited with status 3 without being told to stop: if it goes to "
	    "the background, have it stay in the foreground; if that is all it "
	    "does, it is a oneshot");
	assert_success("kill -USR1 $$", false, -ECHILD,
	    "killed by signal 10 (SIGUSR1)");
	assert_success(TRAP("TERM", "exit 3"), false, 0, "stop");
	assert_success(TRAP("TERM", "kill -USR1 $$"), false, 0, "stop");
}
END_TEST

START_TEST(a_server_can_be_started_again_after_its_end)
{
	make(&(struct exec_options){.command = "sleep 1000"});
	for (int i = 0; i < 3; i++) {
		fake_host_start(&host);
		fake_host_until_ready(&host);
		ck_assert_int_eq(kill(exec_pid(child), SIGKILL), 0);
		assert_end(-ECHILD, "killed by signal 9 (SIGKILL)");
	}
	fake_host_start(&host);
	fake_host_until_ready(&host);
	stop_cleanly();
}
END_TEST

/* What a child of one of many runs does, by the content of $PLACE/way. */
static const char *const many_ways =
    "read way <$PLACE/way; case $way in "
    "serve) echo up >$PLACE/word; exec sleep 1000;; "
    "fail) exit 3;; "
    "return) exit 0;; "
    "leave) sleep 1000 & exit 4;; "
    "stay) trap '' TERM; echo up >$PLACE/word; exec sleep 1000;; "
    "stay-behind) (trap '' TERM; echo up >$PLACE/word; exec sleep 1000) & "
    "wait;; esac";

static void run_again(const char *way)
{
	char line[32];

	snprintf(line, sizeof(line), "%s\n", way);
	write_file(in_place("way"), line, 0600);
	fake_host_start(&host);
	fake_host_until_ready(&host);
	ck_assert_int_eq(host.ready_count, 1);
}

static void assert_run(const char *way, int code, const char *text)
{
	run_again(way);
	assert_end(code, text);
	ck_assert_int_eq(exec_pid(child), 0);
	/* The app calls its stop, too. */
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
}

static void assert_stopped_run(void)
{
	run_again("serve");
	ck_assert_str_eq(next_word(), "up");
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	assert_end(0, NULL);
}

static bool has_stop_returned(struct fake_host *unused)
{
	(void)unused;
	return host.stopped;
}

static void assert_late_run(const char *way, const char *text)
{
	run_again(way);
	ck_assert_str_eq(next_word(), "up");
	fake_host_stop(&host, LONG_MS);
	fake_host_drive(&host, has_stop_returned);
	fake_host_cancel(&host);
	assert_end(-ETIMEDOUT, text);
	fake_host_until_stopped(&host);
	ck_assert_int_eq(exec_pid(child), 0);
}

START_TEST(runs_in_a_row_know_nothing_of_one_another)
{
	make(&(struct exec_options){.command = many_ways,
	    .shell = true,
	    .may_exit = true});
	assert_stopped_run();
	assert_run("fail", -ECHILD, "exited with status 3");
	assert_stopped_run();
	assert_late_run("stay", "did not stop in time: killed (SIGKILL)");
	assert_run("return", 0, NULL);
	assert_run("leave", -ECHILD, "exited with status 4");
	assert_late_run("stay-behind",
	    "processes that it started did not stop in time: killed (SIGKILL)");
	assert_run("fail", -ECHILD, "exited with status 3");
	/* One that is stopped before it starts. */
	ck_assert_int_eq(host.server.stop(context_background(),
			     host.server.arg),
	    0);
	fake_host_start(&host);
	assert_end(0, NULL);
	ck_assert_int_eq(host.ready_count, 0);
	assert_stopped_run();
	clear();
}
END_TEST

START_TEST(ten_failures_in_a_row_leave_nothing)
{
	int fds;

	make_shell("exit 3");
	fds = suite_count("/proc/self/fd");
	for (int i = 0; i < 10; i++) {
		fake_host_start(&host);
		assert_end(-ECHILD, "exited with status 3");
		fake_host_stop(&host, LONG_MS);
		ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
		ck_assert_int_eq(exec_pid(child), 0);
		/* start's context, which the host keeps, may have one. */
		ck_assert_int_le(suite_count("/proc/self/fd"), fds + 1);
	}
	clear();
}
END_TEST

/* The process is about to be ended: a restart must not slip in. */
START_TEST(nothing_starts_once_kill_was_called)
{
	make(&(struct exec_options){.command = "sleep 1000"});
	host.server.kill(host.server.arg);
	fake_host_start(&host);
	assert_end(0, NULL);
	ck_assert_int_eq(host.ready_count, 0);
	ck_assert_int_eq(exec_pid(child), 0);
	clear();
}
END_TEST

START_TEST(a_second_start_of_one_that_runs_is_refused)
{
	run(&(struct exec_options){.command = "sleep 1000"});
	fake_host_until_ready(&host);
	ck_assert_int_eq(host.server.start(host.ctx, host.server.arg), -EBUSY);
	stop_cleanly();
}
END_TEST

START_TEST(kill_ends_the_whole_group_at_once)
{
	pid_t group;

	run_shell("trap '' TERM; sleep 1000 & echo $$ >$PLACE/word; wait");
	group = atoi(next_word());
	fake_host_until_ready(&host);
	host.server.kill(host.server.arg);
	assert_end(-ECHILD, "killed by signal 9 (SIGKILL)");
	ck_assert(event_poll(is_group_gone, &group));
	clear();
}
END_TEST

START_TEST(a_child_that_somebody_else_reaped_is_no_hang)
{
	signal(SIGCHLD, SIG_IGN);
	run(&(struct exec_options){.command = "true"});
	assert_end(-ECHILD,
	    "ended, and its status is lost: is SIGCHLD ignored?");
	clear();
	signal(SIGCHLD, SIG_DFL);
}
END_TEST

START_TEST(a_context_of_no_server_is_refused)
{
	struct server server;

	child = exec_new(&(struct exec_options){.command = "sleep 1000"});
	server = exec_server(child, "child");
	ck_assert_int_eq(server.start(context_background(), server.arg),
	    -EINVAL);
	ck_assert_int_eq(server_ready(context_background()), -EINVAL);
	ck_assert_ptr_null(server_name(context_background()));
	exec_free(&child);
	exec_free(&child);
}
END_TEST

/* The place is made before the suite's set-up looks, and goes after it. */
static void add(Suite *suite, const char *behaviour, const TTest *const *tests,
    size_t count)
{
	TCase *tcase = suite_case(suite, behaviour);

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
}

#define ADD(suite, behaviour, ...)                                 \
	add(suite, behaviour, (const TTest *const[]){__VA_ARGS__}, \
	    sizeof((const TTest *const[]){__VA_ARGS__}) /          \
		sizeof(const TTest *))

static void add_children(Suite *suite)
{
	ADD(suite, "signals", a_signal_can_be_sent_to_the_childs_group);
	ADD(suite, "start", options_are_copied,
	    a_server_is_ready_when_its_program_runs_in_its_own_group,
	    a_shell_runs_a_command_if_it_is_asked_to,
	    a_child_has_no_signal_blocked_or_ignored,
	    a_child_has_no_descriptor_of_the_parents_but_stdout_and_stderr,
	    a_child_gets_the_parents_environment_with_its_own_on_top,
	    a_command_is_looked_up_in_the_path_that_the_child_gets,
	    a_child_runs_in_its_directory_and_is_looked_up_there,
	    a_second_start_of_one_that_runs_is_refused,
	    a_context_of_no_server_is_refused);
	ADD(suite, "failing start",
	    a_command_that_cannot_be_executed_is_an_error_with_the_reason,
	    a_child_that_cannot_be_watched_is_ended_and_an_error,
	    output_goes_where_options_say,
	    output_may_be_one_stream_and_stays_from_run_to_run,
	    one_stream_may_stay_the_parents,
	    a_descriptor_for_output_that_is_none_is_refused,
	    a_lack_of_descriptors_is_an_error_and_leaves_no_child,
	    a_start_that_is_short_of_memory_leaves_no_child);
	ADD(suite, "end", a_child_that_exits_is_an_error_with_its_status,
	    a_child_that_is_killed_is_an_error_with_the_signal,
	    a_child_that_exits_with_0_unasked_is_an_error_with_a_hint,
	    an_exit_with_0_is_a_return_if_it_may,
	    a_stop_after_the_end_finds_nothing_to_do,
	    what_a_dead_child_leaves_in_its_group_is_stopped_first,
	    what_a_dead_child_leaves_and_does_not_stop_is_killed,
	    a_child_that_somebody_else_reaped_is_no_hang);
	ADD(suite, "restart", a_server_can_be_started_again_after_its_end,
	    runs_in_a_row_know_nothing_of_one_another,
	    ten_failures_in_a_row_leave_nothing,
	    nothing_starts_once_kill_was_called);
	ADD(suite, "stop", a_stop_is_clean_if_the_child_dies_of_the_stop_signal,
	    a_stop_is_clean_if_the_child_exits_as_if_by_the_signal,
	    a_stop_that_ends_another_way_is_an_error_in_words,
	    a_child_that_was_stopped_by_a_signal_can_be_stopped,
	    the_server_has_ended_when_all_of_its_group_have,
	    a_stop_that_overtakes_start_keeps_it_from_starting,
	    a_stop_at_any_moment_of_start_leaves_no_child);
	ADD(suite, "stop command", a_stop_command_stops_instead_of_the_signal,
	    a_stop_command_that_fails_leaves_it_to_the_signal,
	    a_stop_command_that_fails_after_the_end_has_not_failed,
	    the_server_has_ended_when_its_stop_command_has,
	    a_stop_command_is_killed_at_the_deadline_with_all_of_it,
	    a_stop_command_at_any_moment_of_a_run_leaves_nothing,
	    kill_ends_a_stop_command_too,
	    what_a_stop_command_leaves_in_whatever_group_is_gone_with_it,
	    what_a_stop_command_leaves_of_the_child_gets_the_stop_signal,
	    a_stop_command_is_not_run_for_one_that_ends_by_itself,
	    a_stop_command_ends_an_attempt_at_a_probe,
	    a_stop_command_has_no_part_in_the_childs_probes);
	ADD(suite, "kill signal", another_signal_may_be_sent_at_the_deadline,
	    another_signal_is_sent_to_what_a_child_leaves_too,
	    a_child_that_its_stop_command_does_not_stop_is_late,
	    sigkill_follows_whatever_is_sent_at_the_deadline);
	ADD(suite, "success", statuses_and_signals_can_be_as_good_as_status_0);
	ADD(suite, "deadline",
	    a_child_that_does_not_stop_is_killed_at_the_deadline,
	    what_a_child_leaves_in_its_group_is_killed_at_the_deadline,
	    a_child_whose_context_is_done_is_killed,
	    a_context_that_is_done_before_start_leaves_no_child,
	    a_deadline_at_any_moment_of_a_run_leaves_no_child,
	    kill_ends_the_whole_group_at_once);
}

/*
 * False under a valgrind that does not know the call. It also makes a fork of
 * a vfork, and what execve said is lost.
 */
static bool has_pidfd(void)
{
	int fd = pidfd_open(getpid(), 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static Suite *exec_suite(void)
{
	Suite *suite = suite_create("exec");
	TCase *words = suite_case(suite, "words");

	tcase_add_test(words, a_command_is_split_at_blanks);
	tcase_add_test(words, quotes_keep_blanks_and_join_what_they_touch);
	tcase_add_test(words, a_backslash_keeps_what_follows);
	tcase_add_test(words,
	    a_word_without_an_end_is_refused_with_the_command);
	ADD(suite, "options", options_that_make_no_sense_are_refused_at_once,
	    a_lack_of_memory_is_an_error_and_leaves_nothing,
	    an_endpoint_is_the_text_that_was_given);
	ADD(suite, "nothing to start",
	    a_command_that_is_not_there_is_an_error_that_names_it,
	    a_directory_that_is_not_there_is_an_error_that_names_it,
	    a_file_in_path_that_cannot_be_executed_is_said_to_be_there);
	if (has_pidfd())
		add_children(suite);
	return suite;
}

int main(void)
{
	return suite_run(exec_suite());
}
