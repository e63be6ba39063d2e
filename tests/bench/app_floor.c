/*
 * The floor under app.c: a signalfd, and N servers by hand.
 *
 *	app_floor hook|blocking N
 *
 * Hooks are called in turn, by the first thread. A server that blocks is a bare
 * thread, which has the stack that the library's threads have by default, and a
 * condition to stop on. A byte is written to descriptor 3 once all run, as
 * app.c and app.go do.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { READY_FD = 3, STACK_BYTES = 1024 * 1024 };

struct hooks {
	int (*start)(void *arg);
	int (*stop)(void *arg);
};

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

static int start_threads(pthread_t *threads, int count)
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

static void stop_threads(pthread_t *threads, int count)
{
	pthread_mutex_lock(&lock);
	stopped = true;
	pthread_cond_broadcast(&stop);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

static bool wait_for_signal(int fd)
{
	struct signalfd_siginfo info;

	return write(READY_FD, "", 1) == 1 &&
	       read(fd, &info, sizeof(info)) == sizeof(info);
}

static bool run_blocking(int count, int signal_fd)
{
	pthread_t *threads = calloc((size_t)count, sizeof(*threads));
	bool ok = threads && start_threads(threads, count) == 0 &&
		  wait_for_signal(signal_fd);

	if (ok)
		stop_threads(threads, count);
	free(threads);
	return ok;
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static bool run_hooks(int count, int signal_fd)
{
	struct hooks *hooks = calloc((size_t)count, sizeof(*hooks));
	bool ok = hooks != NULL;

	for (int i = 0; ok && i < count; i++)
		hooks[i] = (struct hooks){nothing, nothing};
	for (int i = 0; ok && i < count; i++)
		ok = hooks[i].start(NULL) == 0;
	ok = ok && wait_for_signal(signal_fd);
	for (int i = count; ok && i-- > 0;)
		ok = hooks[i].stop(NULL) == 0;
	free(hooks);
	return ok;
}

int main(int argc, char **argv)
{
	bool hook = argc == 3 && strcmp(argv[1], "hook") == 0, ok;
	int signal_fd;

	if (argc != 3 || (!hook && strcmp(argv[1], "blocking") != 0)) {
		fprintf(stderr, "usage: app_floor hook|blocking N\n");
		return 2;
	}
	signal_fd = block_signals();
	ok = signal_fd >= 0 &&
	     (hook ? run_hooks : run_blocking)(atoi(argv[2]), signal_fd);
	if (!ok)
		fprintf(stderr, "app_floor: failed\n");
	close(signal_fd);
	return ok ? 0 : 1;
}
