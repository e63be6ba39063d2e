/*
 * Runs a program that writes a byte to descriptor 3 once it is up, and stops
 * it with SIGTERM:
 *
 *	drive PROGRAM [ARGUMENT...]
 *
 * It prints the nanoseconds from right before the program is made to the
 * byte, those from the signal until the program was waited for, and the bytes
 * of memory (proportional set size) it had in between.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "round.h"

extern char **environ;

enum {
	READY_FD = 3,
	/* A Go program may take a while to ask for its signals. */
	SETTLE_MS = 50,
	TIMEOUT_MS = 20000
};

static pid_t child;

static void die(const char *what)
{
	fprintf(stderr, "drive: %s\n", what);
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	exit(1);
}

static void wait_readable(int fd, const char *what)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};

	if (poll(&pollfd, 1, TIMEOUT_MS) != 1)
		die(what);
}

/* Returns the descriptor from which the byte is read. */
static int spawn(char **argv)
{
	posix_spawn_file_actions_t actions;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		die("no pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], READY_FD);
	if (posix_spawn(&child, argv[0], &actions, NULL, argv, environ)) {
		child = 0;
		die("cannot run the program");
	}
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	return fds[0];
}

static int64_t ready_ns(char **argv)
{
	int64_t start_ns = round_clock_ns();
	int fd = spawn(argv);
	int64_t end_ns;
	char byte;

	wait_readable(fd, "the program is not up in time");
	end_ns = round_clock_ns();
	if (read(fd, &byte, 1) != 1)
		die("the program ended before it was up");
	close(fd);
	return end_ns - start_ns;
}

static long pss_bytes(void)
{
	char path[64], line[256];
	long kib = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)child);
	file = fopen(path, "re");
	if (!file)
		die("no smaps_rollup");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Pss: %ld kB", &kib) == 1)
			break;
	}
	fclose(file);
	if (kib < 0)
		die("no proportional set size");
	return kib * 1024;
}

static int64_t exit_ns(void)
{
	int fd = pidfd_open(child, 0);
	int64_t start_ns, end_ns;
	int status;

	if (fd < 0)
		die("no pidfd");
	start_ns = round_clock_ns();
	kill(child, SIGTERM);
	wait_readable(fd, "the program does not stop in time");
	if (waitpid(child, &status, 0) != child)
		die("lost the program");
	end_ns = round_clock_ns();
	child = 0;
	if (status)
		die("the program did not end with status 0");
	return end_ns - start_ns;
}

int main(int argc, char **argv)
{
	int64_t ready, gone;
	long pss;

	if (argc < 2) {
		fprintf(stderr, "usage: drive PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	ready = ready_ns(argv + 1);
	usleep(SETTLE_MS * 1000);
	pss = pss_bytes();
	gone = exit_ns();
	printf("%lld %lld %ld\n", (long long)ready, (long long)gone, pss);
	return 0;
}
