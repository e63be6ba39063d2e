/*
 * The floor under app.c with blocking servers: N bare threads, which have the
 * stack that the library's threads have by default, a signalfd, and a
 * condition to stop on.
 *
 *	app_floor N
 *
 * It writes a byte to descriptor 3 once all threads run, as app.c and app.go
 * wait for theirs.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { READY_FD = 3, STACK_BYTES = 1024 * 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_run = PTHREAD_COND_INITIALIZER;
static pthread_cond_t stop = PTHREAD_COND_INITIALIZER;
/* guarded by lock */
static int missing;
static bool stopped;

static void *serve(void *arg)
{
	pthread_mutex_lock(&lock);
	if (--missing == 0)
		pthread_cond_signal(&all_run);
	while (!stopped)
		pthread_cond_wait(&stop, &lock);
	pthread_mutex_unlock(&lock);
	return arg;
}

/* Returns a descriptor for the signals that stop; before there is a thread. */
static int block_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGQUIT);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static int start(pthread_t *threads, int count)
{
	pthread_attr_t attr;
	int ret = 0;

	missing = count;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (int i = 0; i < count && !ret; i++)
		ret = pthread_create(&threads[i], &attr, serve, NULL);
	pthread_attr_destroy(&attr);
	if (ret)
		return ret;
	pthread_mutex_lock(&lock);
	while (missing)
		pthread_cond_wait(&all_run, &lock);
	pthread_mutex_unlock(&lock);
	return 0;
}

static void stop_all(pthread_t *threads, int count)
{
	pthread_mutex_lock(&lock);
	stopped = true;
	pthread_cond_broadcast(&stop);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	struct signalfd_siginfo info;
	pthread_t *threads;
	int count, signal_fd, status = 1;

	if (argc != 2) {
		fprintf(stderr, "usage: app_floor N\n");
		return 2;
	}
	count = atoi(argv[1]);
	threads = calloc((size_t)count, sizeof(*threads));
	signal_fd = block_signals();
	if (threads && signal_fd >= 0 && start(threads, count) == 0 &&
	    write(READY_FD, "", 1) == 1 &&
	    read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
		stop_all(threads, count);
		status = 0;
	}
	if (status)
		fprintf(stderr, "app_floor: failed\n");
	free(threads);
	close(signal_fd);
	return status;
}
