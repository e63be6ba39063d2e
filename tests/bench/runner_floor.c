/*
 * The floor under "cratos run": no more than a loop around posix_spawn, and
 * another one around pidfds and waitpid.
 *
 *	runner_floor N PROGRAM
 *
 * Runs PROGRAM N times, starts anew which of them ends, and when SIGTERM comes
 * passes it on and ends when all have ended.
 */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct child {
	pid_t pid;
	int fd;
};

static void die(const char *what)
{
	fprintf(stderr, "runner_floor: %s: %m\n", what);
	exit(1);
}

static void start(struct child *child, int epoll, char *program)
{
	char *argv[] = {program, NULL};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = child};
	posix_spawnattr_t attr;
	sigset_t none;

	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attr, &none);
	if (posix_spawn(&child->pid, program, NULL, &attr, argv, environ))
		die("posix_spawn");
	posix_spawnattr_destroy(&attr);
	child->fd = pidfd_open(child->pid, 0);
	if (child->fd < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, child->fd, &event) < 0)
		die("pidfd");
}

static int block_sigterm(int epoll)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("signalfd");
	return fd;
}

int main(int argc, char **argv)
{
	int count = argc == 3 ? atoi(argv[1]) : 0;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct child *children = calloc((size_t)count + 1, sizeof(*children));
	struct epoll_event event;

	if (count < 1 || !children)
		die("usage: runner_floor N PROGRAM");
	block_sigterm(epoll);
	for (int i = 0; i < count; i++)
		start(&children[i], epoll, argv[2]);
	for (;;) {
		struct child *child;

		if (epoll_wait(epoll, &event, 1, -1) != 1)
			continue;
		child = event.data.ptr;
		if (!child)
			break;
		waitpid(child->pid, NULL, 0);
		close(child->fd);
		start(child, epoll, argv[2]);
	}
	for (int i = 0; i < count; i++)
		kill(children[i].pid, SIGTERM);
	for (int i = 0; i < count; i++)
		waitpid(children[i].pid, NULL, 0);
	return 0;
}
