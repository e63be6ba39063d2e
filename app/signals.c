/*
 * Signals.
 *
 * Design notes. The thread of app_run blocks the stop signals, as do all of the
 * library's threads; so they stay pending for the process, and a signalfd
 * hands them over. A program may have threads of its own, made before, that do
 * not block them: the kernel then delivers to one of those, whose default
 * action would kill the process. So while an app runs its signals have a
 * handler, which passes the number on through a pipe.
 *
 * Several apps may run in one process. `lock` guards the list of those that
 * have descriptors and, per signal, how many use it and the disposition from
 * before the first. The handler takes no lock: it reads `forward_fd`, the pipe
 * of the latest app. Before a pipe is closed forward_fd is changed, and then
 * the handlers that may have read the old one are waited for (`handling`); both
 * are sequentially consistent, so a handler that is not counted yet reads the
 * new one.
 *
 * A signal is meant for all apps of the process, but only one of them finds it,
 * on whichever descriptor. That one passes it on to the pipes of the others
 * that have it on their list, marked as SHARED so that it goes no further. An
 * app that ends does so with what it finds then, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app/signals.h"

enum { SHARED = 0x80 }; /* no signal has so high a number */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, signals) running = LIST_HEAD_INITIALIZER(running);
static struct {
	int users;
	struct sigaction before;
} used[NSIG];

static atomic_int forward_fd = -1;
static atomic_int handling;

static void forward(int signal)
{
	unsigned char number = (unsigned char)signal;
	int saved = errno, fd;

	atomic_fetch_add(&handling, 1);
	fd = atomic_load(&forward_fd);
	/* A full pipe has more than one signal in it already. */
	if (fd >= 0 && write(fd, &number, 1) < 0)
		errno = saved;
	atomic_fetch_sub(&handling, 1);
	errno = saved;
}

void signals_block(struct signals *signals, const int *list)
{
	sigemptyset(&signals->set);
	for (; *list; list++)
		sigaddset(&signals->set, *list);
	pthread_sigmask(SIG_BLOCK, &signals->set, &signals->old_mask);
	signals->fd = signals->forward[0] = signals->forward[1] = -1;
}

static void use(int signal)
{
	struct sigaction action = {.sa_handler = forward,
	    .sa_flags = SA_RESTART | SA_NOCLDSTOP};

	if (!used[signal].users++)
		sigaction(signal, &action, &used[signal].before);
}

static void unuse(int signal)
{
	if (!--used[signal].users)
		sigaction(signal, &used[signal].before, NULL);
}

int signals_init(struct signals *signals)
{
	signals->fd = signalfd(-1, &signals->set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals->fd < 0)
		return -errno;
	if (pipe2(signals->forward, O_CLOEXEC | O_NONBLOCK) < 0) {
		signals->forward[0] = signals->forward[1] = -1;
		return -errno;
	}
	pthread_mutex_lock(&lock);
	LIST_INSERT_HEAD(&running, signals, link);
	atomic_store(&forward_fd, signals->forward[1]);
	for (int i = 1; i < NSIG; i++)
		if (sigismember(&signals->set, i) == 1)
			use(i);
	pthread_mutex_unlock(&lock);
	return 0;
}

static void share(const struct signals *finder, int signal)
{
	unsigned char number = (unsigned char)(signal | SHARED);
	struct signals *other;

	pthread_mutex_lock(&lock);
	LIST_FOREACH(other, &running, link)
	{
		if (other == finder || sigismember(&other->set, signal) != 1)
			continue;
		/* A full pipe has more than one signal in it already. */
		if (write(other->forward[1], &number, 1) < 0)
			continue;
	}
	pthread_mutex_unlock(&lock);
}

static int read_number(struct signals *signals)
{
	struct signalfd_siginfo info;
	unsigned char number;

	signals->sender = 0;
	if (read(signals->fd, &info, sizeof(info)) == sizeof(info)) {
		/* Of what processes send the codes are 0 and less. */
		signals->sender = info.ssi_code <= 0 ? (pid_t)info.ssi_pid : 0;
		return (int)info.ssi_signo;
	}
	if (read(signals->forward[0], &number, 1) == 1)
		return number;
	return 0;
}

int signals_next(struct signals *signals)
{
	int number;

	while ((number = read_number(signals))) {
		if (!(number & SHARED))
			share(signals, number);
		number &= ~SHARED;
		/* The handler knows only the latest app, not whose it is. */
		if (sigismember(&signals->set, number) == 1)
			break;
	}
	return number;
}

static void unregister(struct signals *signals)
{
	struct signals *latest;

	pthread_mutex_lock(&lock);
	for (int i = 1; i < NSIG; i++)
		if (sigismember(&signals->set, i) == 1)
			unuse(i);
	LIST_REMOVE(signals, link);
	latest = LIST_FIRST(&running);
	atomic_store(&forward_fd, latest ? latest->forward[1] : -1);
	pthread_mutex_unlock(&lock);
	while (atomic_load(&handling))
		sched_yield();
}

void signals_fini(struct signals *signals)
{
	if (signals->forward[1] >= 0) {
		unregister(signals);
		/* Still blocked here: what came late is dropped, and does not
		 * meet a default action below. */
		while (signals_next(signals))
			;
		close(signals->forward[0]);
		close(signals->forward[1]);
	}
	if (signals->fd >= 0)
		close(signals->fd);
	pthread_sigmask(SIG_SETMASK, &signals->old_mask, NULL);
}
