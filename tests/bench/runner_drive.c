/*
 * Measures a program that runs N children (runner_child):
 *
 *	runner_drive N SIGNAL REST-MS RESTARTS COMMAND [ARGUMENT...]
 *
 * It prints the nanoseconds from right before the runner is made until all N
 * children run; those from SIGNAL to the runner until it and all children are
 * gone; the bytes of memory (proportional set size) of the runner and its
 * helpers; the clock ticks and the context switches of these in REST-MS; and
 * the nanoseconds from SIGKILL to a child until another one runs in its place,
 * the median of RESTARTS, 0 without any.
 *
 * The children say that they run through a fifo, which is at its end when none of
 * them is there any more.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "round.h"

extern char **environ;

enum { SETTLE_MS = 200, TIMEOUT_MS = 30000, MOST = 100000 };

static char fifo_path[128];
static int fifo;
static pid_t runner;
static pid_t *children; /* that run */
static int child_count;

/* ---- processes ------------------------------------------------------------- */

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512] = "";
	const char *end;
	FILE *file;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fgets(line, sizeof(line), file) && (end = strrchr(line, ')')))
		sscanf(end, ") %*c %d", &parent);
	fclose(file);
	return parent;
}

static bool descends(pid_t pid)
{
	while (pid > 1 && pid != getpid())
		pid = parent_of(pid);
	return pid == getpid();
}

static bool is_child(pid_t pid)
{
	for (int i = 0; i < child_count; i++)
		if (children[i] == pid)
			return true;
	return false;
}

/* Calls fn for each process that descends from this one. */
static void each_descendant(void (*fn)(pid_t pid))
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid > 0 && pid != getpid() && descends(pid))
			fn(pid);
	}
	if (dir)
		closedir(dir);
}

static void kill_one(pid_t pid)
{
	kill(pid, SIGKILL);
}

/* This process is a reaper: all that is left comes to it. */
static void clean_up(void)
{
	unlink(fifo_path);
	do {
		each_descendant(kill_one);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	} while (waitpid(-1, NULL, 0) > 0 || errno != ECHILD);
}

static void die(const char *what)
{
	fprintf(stderr, "runner_drive: %s\n", what);
	clean_up();
	exit(1);
}

/* ---- figures --------------------------------------------------------------- */

static long pss_kib, ticks, switches;

static long number_in(const char *path, const char *word)
{
	char line[512];
	long number = 0;
	FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, word, strlen(word)))
			number += atol(line + strlen(word));
	if (file)
		fclose(file);
	return number;
}

static void add_memory(pid_t pid)
{
	char path[64];

	if (is_child(pid))
		return;
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	pss_kib += number_in(path, "Pss:");
}

static void add_ticks(pid_t pid)
{
	char path[64], line[512] = "";
	long user = 0, system = 0;
	const char *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (file && fgets(line, sizeof(line), file) &&
	    (end = strrchr(line, ')')))
		sscanf(end,
		    ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld",
		    &user, &system);
	if (file)
		fclose(file);
	ticks += user + system;
}

static void add_rest(pid_t pid)
{
	char path[320];
	struct dirent *entry;
	DIR *dir;

	if (is_child(pid))
		return;
	add_ticks(pid);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status",
		    (int)pid, entry->d_name);
		switches += number_in(path, "voluntary_ctxt_switches:");
		switches += number_in(path, "nonvoluntary_ctxt_switches:");
	}
	if (dir)
		closedir(dir);
}

static void measure_rest(int ms)
{
	long ticks_before, switches_before;

	each_descendant(add_rest);
	ticks_before = ticks;
	switches_before = switches;
	ticks = switches = 0;
	usleep((useconds_t)ms * 1000);
	each_descendant(add_rest);
	ticks -= ticks_before;
	switches -= switches_before;
}

/* ---- start, restart, stop -------------------------------------------------- */

static void wait_readable(int fd, const char *what)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};

	if (poll(&pollfd, 1, TIMEOUT_MS) != 1)
		die(what);
}

/* Waits until so many more children run; when the last of them has told. */
static int64_t until_run(int more, pid_t *pids)
{
	int left = more * (int)sizeof(pid_t);
	char *at = (char *)pids;

	while (left) {
		ssize_t length;

		wait_readable(fifo, "the children do not run in time");
		length = read(fifo, at, (size_t)left);
		if (!length)
			die("the children have ended");
		if (length > 0) {
			at += length;
			left -= (int)length;
		}
	}
	return round_clock_ns();
}

static void make_fifo(void)
{
	const char *folder = getenv("TMPDIR");

	snprintf(fifo_path, sizeof(fifo_path), "%.90s/runner-%d",
	    folder ? folder : "/tmp", (int)getpid());
	unlink(fifo_path);
	if (mkfifo(fifo_path, 0600) || setenv("RUNNER_FIFO", fifo_path, 1))
		die("no fifo");
	fifo = open(fifo_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fifo < 0)
		die("cannot open the fifo");
}

static int64_t start(int count, char **argv)
{
	posix_spawn_file_actions_t files;
	int64_t start_ns = round_clock_ns(), end_ns;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null",
	    O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null",
	    O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null",
	    O_WRONLY, 0);
	if (posix_spawnp(&runner, argv[0], &files, NULL, argv, environ))
		die("cannot run the runner");
	posix_spawn_file_actions_destroy(&files);
	end_ns = until_run(count, children);
	child_count = count;
	return end_ns - start_ns;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t restart(int times)
{
	int64_t *took = calloc((size_t)times + 1, sizeof(*took)), median;
	/* It is not at its end when the only child is killed. */
	int writer = open(fifo_path, O_WRONLY | O_CLOEXEC);

	if (!took || writer < 0)
		die("no memory, or no descriptor");
	for (int i = 0; i < times; i++) {
		pid_t *pid = &children[i * 7 % child_count];
		int64_t begin_ns = round_clock_ns();

		kill(*pid, SIGKILL);
		took[i] = until_run(1, pid) - begin_ns;
		usleep(10 * 1000);
	}
	qsort(took, (size_t)times, sizeof(*took), compare);
	median = took[times / 2];
	free(took);
	close(writer);
	return times ? median : 0;
}

static int64_t stop(int signal)
{
	int fd = pidfd_open(runner, 0);
	int64_t begin_ns;
	pid_t extra;

	if (fd < 0)
		die("no pidfd");
	begin_ns = round_clock_ns();
	kill(runner, signal);
	wait_readable(fd, "the runner does not stop in time");
	waitpid(runner, NULL, 0);
	/* A restart that came in between tells of itself, too. */
	for (;;) {
		ssize_t length;

		wait_readable(fifo, "the children do not stop in time");
		length = read(fifo, &extra, sizeof(extra));
		if (!length)
			break;
	}
	close(fd);
	return round_clock_ns() - begin_ns;
}

int main(int argc, char **argv)
{
	int count, signal, rest_ms, restarts;
	int64_t start_ns, stop_ns, restart_ns;

	if (argc < 6) {
		fprintf(stderr, "usage: runner_drive N SIGNAL REST-MS RESTARTS "
				"COMMAND [ARGUMENT...]\n");
		return 2;
	}
	count = atoi(argv[1]);
	signal = atoi(argv[2]);
	rest_ms = atoi(argv[3]);
	restarts = atoi(argv[4]);
	children = calloc(MOST, sizeof(*children));
	if (count < 1 || count > MOST || !children)
		return 2;
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	make_fifo();
	start_ns = start(count, argv + 5);
	usleep(SETTLE_MS * 1000);
	if (rest_ms) {
		each_descendant(add_memory);
		measure_rest(rest_ms);
	}
	restart_ns = restart(restarts);
	stop_ns = stop(signal);
	printf("%lld %lld %ld %ld %ld %lld\n", (long long)start_ns,
	    (long long)stop_ns, pss_kib * 1024, ticks, switches,
	    (long long)restart_ns);
	clean_up();
	return 0;
}
