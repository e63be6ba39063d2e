/* How a child is made: what it gets, and who it is. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cratos/errgroup.h>
#include <cratos/exec.h>

#include "errgroup/worker.h"
#include "server/envfile.h"
#include "server/spawn.h"
#include "tests/suite.h"

/* ---- a child whose output is read ---- */

static char place[64];

static const char *in_place(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", place, name);
	return path;
}

static void set_up(void)
{
	strcpy(place, "/tmp/cratos-spawn-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(place));
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "exec rm -rf %s", place);
	ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(in_place(name), O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
}

/* Reads until the other end is closed. */
static const char *read_all(int fd)
{
	static char text[4096];
	size_t size = 0;
	ssize_t n;

	while ((n = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)n;
	text[size] = '\0';
	return text;
}

static void assert_exit(pid_t pid, int status)
{
	int got;

	ck_assert_int_eq(waitpid(pid, &got, 0), pid);
	ck_assert_int_eq(got, status);
}

/* What a shell script says, in such a child. */
static const char *output_of(const char *script, struct spawn spawn)
{
	const char *argv[] = {"/bin/sh", "-c", script, NULL};
	const char *text;
	int fds[2], ret;
	pid_t pid;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	spawn.argv = (char *const *)argv;
	spawn_give(&spawn, fds[1], STDOUT_FILENO);
	ret = spawn_group(&spawn, &pid);
	ck_assert_msg(!ret, "%s", error_of(ret).text);
	close(fds[1]);
	text = read_all(fds[0]);
	close(fds[0]);
	assert_exit(pid, 0);
	return text;
}

static void assert_refused(struct spawn spawn, int code, const char *text)
{
	const char *argv[] = {"true", NULL};
	pid_t pid = -1;
	int ret;

	if (!spawn.argv)
		spawn.argv = (char *const *)argv;
	ret = spawn_group(&spawn, &pid);
	ck_assert_str_eq(error_of(ret).text, text);
	ck_assert_int_eq(ret, code);
	ck_assert_int_eq(pid, -1);
	/* A check says the same, without a start. */
	ret = spawn_check(&spawn);
	ck_assert_str_eq(error_of(ret).text, text);
	ck_assert_int_eq(ret, code);
}

/* ---- numbers ---- */

static struct exec_limit limit(const char *text)
{
	struct exec_limit parsed;

	ck_assert_int_eq(exec_limit_parse(text, &parsed), 0);
	return parsed;
}

START_TEST(limits_are_set_soft_and_hard)
{
	const struct exec_limit limits[] = {limit("nofile=100:200"),
	    limit("core=0"), limit("fsize=5120:infinity")};

	ck_assert_str_eq(
	    output_of("ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc;"
		      "ulimit -Sf; ulimit -Hf",
		(struct spawn){.limits = limits, .limit_count = 3}),
	    "100\n200\n0\n0\n10\nunlimited\n");
}
END_TEST

/* Not even root can open that many. */
START_TEST(a_limit_that_cannot_be_set_is_named)
{
	const struct exec_limit limits[] = {limit("core=0"),
	    limit("nofile=100:infinity")};

	assert_refused((struct spawn){.limits = limits, .limit_count = 2},
	    -EPERM,
	    "limit.nofile: cannot set 100:infinity: Operation not permitted");
}
END_TEST

static void assert_no_limit(const char *text, const char *words)
{
	struct exec_limit parsed = {.resource = -7};

	ck_assert_int_eq(exec_limit_parse(text, &parsed), -EINVAL);
	ck_assert_str_eq(error_of(-EINVAL).text, words);
	ck_assert_int_eq(parsed.resource, -7);
}

START_TEST(what_is_no_limit_is_told)
{
	struct exec_limit parsed;

	assert_no_limit("nofiles=1",
	    "there is no limit 'nofiles'; there are as, core, cpu, data, "
	    "fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, "
	    "rtprio, rttime, sigpending, stack");
	assert_no_limit("nofile=many",
	    "'many' is no limit: it should be a number, soft:hard, or infinity "
	    "for one of them");
	assert_no_limit("nofile=1:2:3",
	    "'1:2:3' is no limit: it should be a number, soft:hard, or "
	    "infinity for one of them");
	assert_no_limit("nofile=-1",
	    "'-1' is no limit: it should be a number, soft:hard, or infinity "
	    "for one of them");
	assert_no_limit("nofile=99999999999999999999",
	    "'99999999999999999999' is no limit: it should be a number, "
	    "soft:hard, or infinity for one of them");
	assert_no_limit("nofile=", "'' is no limit: it should be a number, "
				   "soft:hard, or infinity for one of them");
	assert_no_limit("nofile=2:1",
	    "the soft limit of 2:1 is above the hard one");
	parsed = limit("nofile=infinity");
	ck_assert_int_eq(parsed.resource, RLIMIT_NOFILE);
	ck_assert(parsed.soft == EXEC_NO_LIMIT && parsed.hard == parsed.soft);
	parsed = limit("rtprio=3:infinity");
	ck_assert_int_eq(parsed.resource, RLIMIT_RTPRIO);
	ck_assert(parsed.soft == 3 && parsed.hard == EXEC_NO_LIMIT);
}
END_TEST

START_TEST(umask_niceness_and_oom_score_are_the_childs_alone)
{
	mode_t before = umask(022);
	const char *script =
	    "umask; nice; cat /proc/self/oom_score_adj /proc/$PPID/oom_score_adj";
	const struct spawn spawn = {.set_umask = true,
	    .umask = 0137,
	    .set_nice = true,
	    .nice = 11,
	    .set_oom_score_adj = true,
	    .oom_score_adj = 701};

	ck_assert_str_eq(output_of(script, spawn), "0137\n11\n701\n0\n");
	ck_assert_int_eq(umask(before), 022);
	ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), 0);
}
END_TEST

/* ---- stdin ---- */

START_TEST(stdin_is_null_a_file_or_ours)
{
	const char *script = "readlink /proc/self/fd/0";
	int before = dup(STDIN_FILENO), fd;

	write_file("input", "one\ntwo\n", 0600);
	ck_assert_str_eq(output_of(script, (struct spawn){0}), "/dev/null\n");
	ck_assert_str_eq(output_of("cat",
			     (struct spawn){.input = in_place("input")}),
	    "one\ntwo\n");
	ck_assert_str_eq(output_of("cat",
			     (struct spawn){.dir = place, .input = "input"}),
	    "one\ntwo\n");
	fd = open(in_place("input"), O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(dup2(fd, STDIN_FILENO), STDIN_FILENO);
	close(fd);
	ck_assert_str_eq(output_of("cat",
			     (struct spawn){.inherit_input = true}),
	    "one\ntwo\n");
	dup2(before, STDIN_FILENO);
	close(before);
}
END_TEST

START_TEST(a_file_for_stdin_that_is_not_there_is_named)
{
	assert_refused((struct spawn){.input = "/no/such/file"}, -ENOENT,
	    "stdin: /no/such/file: No such file or directory");
}
END_TEST

START_TEST(a_pipe_for_stdin_that_nobody_writes_to_is_at_its_end)
{
	ck_assert_int_eq(mkfifo(in_place("pipe"), 0600), 0);
	ck_assert_str_eq(output_of("cat; echo end",
			     (struct spawn){.input = in_place("pipe")}),
	    "end\n");
}
END_TEST

/* ---- descriptors ---- */

static void write_and_close(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
}

/* They stand where the others are to go, and the other way round. */
START_TEST(descriptors_get_the_numbers_that_were_asked_for)
{
	int a[2], b[2], out[2];
	const char *argv[] = {"sh", "-c", "cat <&5; cat <&7; ls -x /proc/$$/fd",
	    NULL};
	struct spawn spawn = {.argv = (char *const *)argv};
	int five;
	pid_t pid;

	ck_assert_int_eq(pipe2(a, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(b, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	/* 7 and 5 may be anything of ours: the child has its own table. */
	five = fcntl(a[0], F_DUPFD_CLOEXEC, 7);
	spawn_give(&spawn, out[1], STDOUT_FILENO);
	spawn_give(&spawn, five, 5);
	spawn_give(&spawn, b[0], 7);
	ck_assert_int_eq(spawn_group(&spawn, &pid), 0);
	close(out[1]);
	close(five);
	close(a[0]);
	close(b[0]);
	write_and_close(a[1], "for five\n");
	write_and_close(b[1], "for seven\n");
	ck_assert_str_eq(read_all(out[0]),
	    "for five\nfor seven\n0  1  2  5  7\n");
	close(out[0]);
	assert_exit(pid, 0);
}
END_TEST

/* Calls of that number fail from now on, in this process and its children. */
static void break_call(int number, int code)
{
	struct sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					   offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)code),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program),
	    0);
}

static void assert_closes_all(void)
{
	int careless[100];

	for (int i = 0; i < 100; i++)
		careless[i] = open("/dev/zero", O_RDONLY);
	ck_assert_str_eq(output_of("ls -x /proc/$$/fd", (struct spawn){0}),
	    "0  1  2\n");
	for (int i = 0; i < 100; i++)
		close(careless[i]);
}

START_TEST(kernels_without_close_range_will_do)
{
	break_call(SYS_close_range, ENOSYS);
	assert_closes_all();
}
END_TEST

START_TEST(kernels_without_clone3_will_do)
{
	break_call(SYS_clone3, ENOSYS);
	break_call(SYS_close_range, ENOSYS);
	assert_closes_all();
}
END_TEST

START_TEST(nothing_is_open_in_a_child_that_was_not_given_to_it)
{
	assert_closes_all();
}
END_TEST

/* ---- files of variables ---- */

static void assert_entries(const char *text, const char *const *entries)
{
	struct envfile file;
	int n = 0;

	unlink(in_place("env"));
	write_file("env", text, 0600);
	ck_assert_int_eq(envfile_read(AT_FDCWD, in_place("env"), &file), 0);
	for (; entries[n]; n++) {
		ck_assert_ptr_nonnull(file.entries[n]);
		ck_assert_str_eq(file.entries[n], entries[n]);
	}
	ck_assert_ptr_null(file.entries[n]);
	envfile_fini(&file);
}

#define ASSERT_ENTRIES(text, ...) \
	assert_entries(text, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(an_environment_file_has_a_name_and_a_value_a_line)
{
	assert_entries("", (const char *const[]){NULL});
	assert_entries("\n  # one\n; two\n\t\n", (const char *const[]){NULL});
	ASSERT_ENTRIES("A=1\nB_2=two words  \n C = x=y # z", "A=1",
	    "B_2=two words", "C=x=y # z");
	ASSERT_ENTRIES("A=\r\nB=\"\"\r\nC=''", "A=", "B=", "C=");
}
END_TEST

START_TEST(quotes_of_an_environment_file_keep_what_is_between)
{
	ASSERT_ENTRIES("A=' a  '\nB=\" b \"  \nC='x'\"y\"z", "A= a  ", "B= b ",
	    "C=xyz");
	ASSERT_ENTRIES("A='$x \\n \"'\nB=\"\\$x \\\\ \\\" \\` \\n '\"",
	    "A=$x \\n \"", "B=$x \\ \" ` \\n '");
	ASSERT_ENTRIES("A=\"one\ntwo\"\nB='three\nfour'\nC=5", "A=one\ntwo",
	    "B=three\nfour", "C=5");
}
END_TEST

START_TEST(a_backslash_in_an_environment_file_keeps_or_goes_on)
{
	ASSERT_ENTRIES("A=one\\\ntwo\nB=\"one\\\ntwo\"\nC=a\\ b\\n\\ \nD=\\",
	    "A=onetwo", "B=onetwo", "C=a bn ", "D=\\");
}
END_TEST

static void assert_no_entries(const char *text, const char *words)
{
	char expected[256];
	struct envfile file;

	unlink(in_place("env"));
	write_file("env", text, 0600);
	snprintf(expected, sizeof(expected), "env_file: %s%s", in_place("env"),
	    words);
	ck_assert_int_eq(envfile_read(AT_FDCWD, in_place("env"), &file),
	    -EINVAL);
	ck_assert_str_eq(error_of(-EINVAL).text, expected);
	envfile_fini(&file);
}

START_TEST(what_an_environment_file_cannot_have_is_told_with_its_line)
{
	assert_no_entries("A=1\n\nB\n", ":3: no NAME=value");
	assert_no_entries("A='1\n2\n", ":1: the quote is not closed");
	assert_no_entries("A=\"1\n2\"\nB=\\\n\"\nC",
	    ":4: the quote is not closed");
	assert_no_entries("#\nexport A=1",
	    ":2: a name stands here without export");
	assert_no_entries("A-B=1",
	    ":1: a name has letters, digits and _, and does not begin with a "
	    "digit");
	assert_no_entries("=1",
	    ":1: a name has letters, digits and _, and does not begin with a "
	    "digit");
	assert_no_entries("1A=1",
	    ":1: a name has letters, digits and _, and does not begin with a "
	    "digit");
}
END_TEST

START_TEST(an_environment_file_that_cannot_be_read_is_named)
{
	assert_refused((struct spawn){.env_file = "/no/such/file"}, -ENOENT,
	    "env_file: /no/such/file: No such file or directory");
	assert_refused((struct spawn){.dir = "/", .env_file = "tmp"}, -EISDIR,
	    "env_file: /tmp: Is a directory");
	assert_refused((struct spawn){.env_file = "/dev/null"}, -EINVAL,
	    "env_file: /dev/null: Invalid argument");
}
END_TEST

START_TEST(what_env_gives_goes_before_the_file_and_that_before_ours)
{
	const char *const env[] = {"B=env", NULL};
	const struct spawn spawn = {.dir = place,
	    .env_file = "env",
	    .env = env};

	write_file("env", "B=file\nC=file\nC=last\n", 0600);
	setenv("A", "ours", 1);
	setenv("B", "ours", 1);
	setenv("C", "ours", 1);
	ck_assert_str_eq(output_of("echo $A $B $C; env | grep -c '^[ABC]='",
			     spawn),
	    "ours env last\n3\n");
}
END_TEST

/* ---- orphans ---- */

static bool is_gone(void *arg)
{
	return kill(*(pid_t *)arg, 0) && errno == ESRCH;
}

/* A process that makes a child as asked, says its id, and waits. */
static pid_t start_parent(bool keep, pid_t *child)
{
	const char *argv[] = {"sleep", "1000", NULL};
	struct spawn spawn = {.argv = (char *const *)argv, .keep_orphan = keep};
	int fds[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		if (spawn_group(&spawn, child))
			_exit(1);
		if (write(fds[1], child, sizeof(*child)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	ck_assert_int_eq(read(fds[0], child, sizeof(*child)), sizeof(*child));
	close(fds[0]);
	return pid;
}

START_TEST(a_child_dies_with_its_parent)
{
	pid_t child, parent = start_parent(false, &child);

	kill(parent, SIGKILL);
	assert_exit(parent, SIGKILL);
	ck_assert(event_poll(is_gone, &child));
}
END_TEST

START_TEST(a_child_that_is_kept_lives_on)
{
	pid_t child, parent = start_parent(true, &child);

	kill(parent, SIGKILL);
	assert_exit(parent, SIGKILL);
	/* A signal of the kernel's would have come before its parent's end. */
	ck_assert_int_eq(kill(child, 0), 0);
	kill(child, SIGKILL);
	ck_assert(event_poll(is_gone, &child));
}
END_TEST

/* In a process of its own: a sanitizer at its end wants to know its parent. */
static void lose_parent(void)
{
	const char *argv[] = {"touch", in_place("executed"), NULL};
	struct spawn spawn = {.argv = (char *const *)argv};
	pid_t pid;

	break_call(SYS_getppid, ENOSYS);
	ck_assert_int_eq(spawn_group(&spawn, &pid), -ESRCH);
	ck_assert_int_eq(access(in_place("executed"), F_OK), -1);
	spawn.keep_orphan = true;
	ck_assert_int_eq(spawn_group(&spawn, &pid), 0);
	assert_exit(pid, 0);
	ck_assert_int_eq(access(in_place("executed"), F_OK), 0);
}

/* Its parent died between the clone and the wish to die with it. */
START_TEST(a_child_that_has_lost_its_parent_already_is_not_executed)
{
	pid_t pid = fork();

	if (!pid) {
		lose_parent();
		_exit(0);
	}
	assert_exit(pid, 0);
}
END_TEST

/* A cat that answers what it is told, for as long as it lives. */
struct cat {
	pid_t pid;
	int in, out, ret;
};

static void *start_cat(void *arg)
{
	const char *argv[] = {"cat", NULL};
	struct cat *cat = arg;
	struct spawn spawn = {.argv = (char *const *)argv};
	int in[2], out[2];

	cat->ret = -EMFILE;
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return NULL;
	spawn_give(&spawn, in[0], STDIN_FILENO);
	spawn_give(&spawn, out[1], STDOUT_FILENO);
	cat->ret = spawn_group(&spawn, &cat->pid);
	close(in[0]);
	close(out[1]);
	cat->in = in[1];
	cat->out = out[0];
	return NULL;
}

static void assert_lives(const struct cat *cat)
{
	char answer = 0;

	ck_assert_int_eq(write(cat->in, "x", 1), 1);
	ck_assert_int_eq(read(cat->out, &answer, 1), 1);
	ck_assert_int_eq(answer, 'x');
}

static void end_cat(const struct cat *cat)
{
	close(cat->in);
	assert_exit(cat->pid, 0);
	close(cat->out);
}

/* The kernel's parent is a thread. */
START_TEST(a_child_outlives_the_thread_that_asked_for_it)
{
	struct cat cats[8];
	pthread_t threads[8];

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, start_cat, &cats[i]);
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_int_eq(cats[i].ret, 0);
		assert_lives(&cats[i]);
	}
	for (int i = 0; i < 8; i++)
		end_cat(&cats[i]);
}
END_TEST

/* So many tasks at a time that each needs a thread of the pool. */
enum { CROWD = 12 };
static struct cat crowd[CROWD];
static pthread_barrier_t barrier;

static int start_in_crowd(struct context *ctx, void *arg)
{
	(void)ctx;
	pthread_barrier_wait(&barrier);
	start_cat(arg);
	return 0;
}

static bool only_those_that_stay_are_left(void *unused)
{
	(void)unused;
	return suite_workers() <= 4;
}

START_TEST(children_outlive_the_threads_of_the_pool_that_leave)
{
	struct errgroup *group = errgroup_new();

	signal(SIGPIPE, SIG_IGN);
	pthread_barrier_init(&barrier, NULL, CROWD);
	for (int i = 0; i < CROWD; i++)
		ck_assert_int_eq(errgroup_go(group, start_in_crowd, &crowd[i]),
		    0);
	ck_assert_int_eq(errgroup_wait(group, NULL), 0);
	errgroup_free(&group);
	pthread_barrier_destroy(&barrier);
	ck_assert(event_poll(only_those_that_stay_are_left, NULL));
	for (int i = 0; i < CROWD; i++) {
		ck_assert_int_eq(crowd[i].ret, 0);
		assert_lives(&crowd[i]);
		end_cat(&crowd[i]);
	}
}
END_TEST

START_TEST(without_a_thread_that_lasts_there_is_no_child)
{
	fault_from(FAULT_THREAD, 1);
	assert_refused((struct spawn){.set_nice = true}, -EAGAIN,
	    "no thread that makes children: Resource temporarily unavailable");
	fault_none();
	ck_assert_str_eq(output_of("echo 1", (struct spawn){0}), "1\n");
}
END_TEST

/* ---- a check ---- */

START_TEST(a_check_executes_nothing)
{
	const char *argv[] = {"touch", in_place("executed"), NULL};
	const struct exec_limit limits[] = {limit("core=0")};
	struct spawn spawn = {.argv = (char *const *)argv,
	    .limits = limits,
	    .limit_count = 1};

	ck_assert_int_eq(spawn_check(&spawn), 0);
	ck_assert_int_eq(access(in_place("executed"), F_OK), -1);
	/* And leaves nothing to be reaped, also of those that are not seen. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG | __WALL), -1);
}
END_TEST

/* ---- users ---- */

static const struct passwd *nobody(void)
{
	return getpwnam("nobody");
}

START_TEST(users_and_groups_that_are_not_there_are_named)
{
	assert_refused((struct spawn){.user = "no-such-user"}, -ENOENT,
	    "user: there is no user no-such-user");
	assert_refused((struct spawn){.group = "no-such-group"}, -ENOENT,
	    "group: there is no group no-such-group");
	assert_refused((struct spawn){.user = "3999999999"}, -ENOENT,
	    "user: 3999999999 has no entry in the user database, so its group "
	    "is not known: give group, too");
	assert_refused((struct spawn){.user = "4294967295"}, -ENOENT,
	    "user: there is no user 4294967295");
	assert_refused((struct spawn){.user = ""}, -ENOENT,
	    "user: there is no user ");
}
END_TEST

START_TEST(one_may_be_oneself)
{
	char uid[16];

	snprintf(uid, sizeof(uid), "%u\n", (unsigned)getuid());
	ck_assert_str_eq(output_of("id -u",
			     (struct spawn){
				 .user = getpwuid(getuid())->pw_name}),
	    uid);
}
END_TEST

START_TEST(a_user_brings_his_groups_and_his_home)
{
	const struct passwd *user = nobody();
	char expected[512];

	ck_assert_ptr_nonnull(user);
	snprintf(expected, sizeof(expected), "%u %u %u\n%s %s %s\n",
	    (unsigned)user->pw_uid, (unsigned)user->pw_gid,
	    (unsigned)user->pw_gid, user->pw_dir, user->pw_name, user->pw_name);
	ck_assert_str_eq(output_of("echo $(id -u) $(id -g) $(id -G);"
				   "echo $HOME $USER $LOGNAME",
			     (struct spawn){.user = "nobody"}),
	    expected);
	/* All three ids: nothing is left to go back to. */
	snprintf(expected, sizeof(expected), "Uid: %u %u %u %u\n",
	    (unsigned)user->pw_uid, (unsigned)user->pw_uid,
	    (unsigned)user->pw_uid, (unsigned)user->pw_uid);
	ck_assert_str_eq(output_of("echo $(grep ^Uid /proc/self/status)",
			     (struct spawn){.user = "nobody"}),
	    expected);
}
END_TEST

START_TEST(the_supplementary_groups_are_the_users_not_ours)
{
	const gid_t ours[] = {0, 1, 2, 3};

	ck_assert_int_eq(setgroups(4, ours), 0);
	ck_assert_str_eq(output_of("id -G", (struct spawn){0}), "0 1 2 3\n");
	ck_assert_str_eq(output_of("id -G", (struct spawn){.user = "root"}),
	    "0\n");
	ck_assert_str_eq(output_of("id -G", (struct spawn){.group = "7"}),
	    "7\n");
	ck_assert_str_eq(output_of("id -G",
			     (struct spawn){.user = "12345", .group = "7"}),
	    "7\n");
	ck_assert_str_eq(output_of("id -u; echo $USER",
			     (struct spawn){.user = "12345", .group = "root"}),
	    "12345\n\n");
}
END_TEST

START_TEST(a_variable_that_was_given_goes_before_the_users)
{
	const char *const env[] = {"HOME=/given", NULL};

	setenv("USER", "ours", 1);
	ck_assert_str_eq(output_of("echo $HOME $USER",
			     (struct spawn){.user = "nobody", .env = env}),
	    "/given nobody\n");
}
END_TEST

START_TEST(niceness_is_lowered_before_the_user_is_changed)
{
	ck_assert_str_eq(output_of("nice", (struct spawn){.user = "nobody",
					       .set_nice = true,
					       .nice = -3}),
	    "-3\n");
}
END_TEST

START_TEST(limits_are_raised_before_the_user_is_changed)
{
	const struct rlimit low = {100, 100};
	const struct exec_limit limits[] = {limit("nofile=150:200")};
	struct rlimit before;

	getrlimit(RLIMIT_NOFILE, &before);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	ck_assert_str_eq(output_of("ulimit -n; ulimit -Hn",
			     (struct spawn){.user = "nobody",
				 .limits = limits,
				 .limit_count = 1}),
	    "150\n200\n");
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}
END_TEST

START_TEST(another_user_dies_with_the_parent_too)
{
	const char *argv[] = {"sleep", "1000", NULL};
	struct spawn spawn = {.argv = (char *const *)argv, .user = "nobody"};
	int fds[2];
	pid_t parent, child;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	parent = fork();
	if (!parent) {
		if (spawn_group(&spawn, &child) ||
		    write(fds[1], &child, sizeof(child)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	ck_assert_int_eq(read(fds[0], &child, sizeof(child)), sizeof(child));
	close(fds[0]);
	kill(parent, SIGKILL);
	assert_exit(parent, SIGKILL);
	ck_assert(event_poll(is_gone, &child));
}
END_TEST

START_TEST(our_own_dumps_are_not_taken_away_by_another_user)
{
	ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
	output_of("true", (struct spawn){.user = "nobody"});
	ck_assert_int_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
}
END_TEST

START_TEST(what_the_user_may_not_reach_is_named)
{
	char program[128], words[256];
	const char *argv[] = {program, NULL};

	strcpy(program, in_place("program"));
	write_file("program", "#!/bin/sh\n", 0700);
	write_file("input", "", 0600);
	ck_assert_int_eq(chmod(place, 0711), 0);
	snprintf(words, sizeof(words), "command %s: Permission denied",
	    argv[0]);
	assert_refused((struct spawn){.argv = (char *const *)argv,
			   .user = "nobody"},
	    -EACCES, words);
	snprintf(words, sizeof(words), "stdin: %s: Permission denied",
	    in_place("input"));
	assert_refused((struct spawn){.user = "nobody",
			   .input = in_place("input")},
	    -EACCES, words);
	ck_assert_int_eq(chmod(place, 0700), 0);
	snprintf(words, sizeof(words),
	    "working directory %s: Permission denied", place);
	assert_refused((struct spawn){.user = "nobody", .dir = place}, -EACCES,
	    words);
}
END_TEST

static void become_nobody(void)
{
	const struct passwd *user = nobody();

	ck_assert_int_eq(setgroups(0, NULL), 0);
	ck_assert_int_eq(setresgid(user->pw_gid, user->pw_gid, user->pw_gid),
	    0);
	ck_assert_int_eq(setresuid(user->pw_uid, user->pw_uid, user->pw_uid),
	    0);
}

/* In a process that is no longer root. */
static void refuse_all(void)
{
	const struct exec_limit limits[] = {limit("nice=40")};

	become_nobody();
	output_of("true", (struct spawn){.user = "nobody"});
	output_of("true", (struct spawn){.group = "nogroup"});
	assert_refused((struct spawn){.user = "root"}, -EPERM,
	    "user: cannot take on the groups of root: Operation not permitted");
	assert_refused((struct spawn){.group = "0"}, -EPERM,
	    "group: cannot take on the groups of 0: Operation not permitted");
	assert_refused((struct spawn){.user = "12345", .group = "nogroup"},
	    -EPERM, "user: cannot become 12345: Operation not permitted");
	assert_refused((struct spawn){.set_nice = true, .nice = -5}, -EACCES,
	    "nice: cannot set -5: Permission denied");
	assert_refused((struct spawn){.set_oom_score_adj = true,
			   .oom_score_adj = -500},
	    -EACCES, "oom_score_adj: cannot set -500: Permission denied");
	assert_refused((struct spawn){.limits = limits, .limit_count = 1},
	    -EPERM, "limit.nice: cannot set 40:40: Operation not permitted");
}

START_TEST(what_needs_root_and_has_none_is_refused_with_the_reason)
{
	pid_t pid = fork();

	if (!pid) {
		refuse_all();
		_exit(0);
	}
	assert_exit(pid, 0);
}
END_TEST

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
	ADD(suite, "numbers", limits_are_set_soft_and_hard,
	    a_limit_that_cannot_be_set_is_named,
	    umask_niceness_and_oom_score_are_the_childs_alone);
	ADD(suite, "stdin", stdin_is_null_a_file_or_ours,
	    a_file_for_stdin_that_is_not_there_is_named,
	    a_pipe_for_stdin_that_nobody_writes_to_is_at_its_end);
	ADD(suite, "descriptors",
	    descriptors_get_the_numbers_that_were_asked_for,
	    nothing_is_open_in_a_child_that_was_not_given_to_it,
	    kernels_without_close_range_will_do,
	    kernels_without_clone3_will_do);
	ADD(suite, "environment",
	    what_env_gives_goes_before_the_file_and_that_before_ours);
	ADD(suite, "orphans", a_child_dies_with_its_parent,
	    a_child_that_is_kept_lives_on,
	    a_child_that_has_lost_its_parent_already_is_not_executed,
	    a_child_outlives_the_thread_that_asked_for_it,
	    children_outlive_the_threads_of_the_pool_that_leave,
	    without_a_thread_that_lasts_there_is_no_child);
	ADD(suite, "check", a_check_executes_nothing, one_may_be_oneself);
}

/* Not every root may, as in a container. */
static bool may(int capability)
{
	struct __user_cap_header_struct header = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	return !syscall(SYS_capget, &header, data) &&
	       data[capability / 32].effective & 1U << capability % 32;
}

static void add_users(Suite *suite)
{
	ADD(suite, "users", a_user_brings_his_groups_and_his_home,
	    the_supplementary_groups_are_the_users_not_ours,
	    a_variable_that_was_given_goes_before_the_users,
	    another_user_dies_with_the_parent_too,
	    our_own_dumps_are_not_taken_away_by_another_user,
	    what_the_user_may_not_reach_is_named,
	    what_needs_root_and_has_none_is_refused_with_the_reason);
	if (may(CAP_SYS_NICE))
		ADD(suite, "niceness",
		    niceness_is_lowered_before_the_user_is_changed);
	else
		printf("skip niceness: root has no CAP_SYS_NICE\n");
	if (may(CAP_SYS_RESOURCE))
		ADD(suite, "limits",
		    limits_are_raised_before_the_user_is_changed);
	else
		printf("skip limits: root has no CAP_SYS_RESOURCE\n");
}

/* False under a valgrind: it makes a fork of what is none. */
static bool has_pidfd(void)
{
	int fd = pidfd_open(getpid(), 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static Suite *spawn_suite(void)
{
	Suite *suite = suite_create("spawn");

	ADD(suite, "files of variables",
	    an_environment_file_has_a_name_and_a_value_a_line,
	    quotes_of_an_environment_file_keep_what_is_between,
	    a_backslash_in_an_environment_file_keeps_or_goes_on,
	    what_an_environment_file_cannot_have_is_told_with_its_line,
	    an_environment_file_that_cannot_be_read_is_named);
	ADD(suite, "words", what_is_no_limit_is_told,
	    users_and_groups_that_are_not_there_are_named);
	if (has_pidfd())
		add_children(suite);
	if (has_pidfd() && !getuid())
		add_users(suite);
	else
		printf("skip users: only root can become another\n");
	return suite;
}

int main(void)
{
	return suite_run(spawn_suite());
}
