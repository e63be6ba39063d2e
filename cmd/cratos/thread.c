/* The threads that the command has of its own. */
#include <pthread.h>
#include <signal.h>

#include "cmd/cratos/thread.h"

static int start(void *(*fn)(void *arg), pthread_attr_t *attr)
{
	static const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL,
	    SIGTRAP, SIGSYS};
	pthread_t thread;
	sigset_t mask;
	int ret;

	/* Signals are not its affair, but for its own faults. */
	sigfillset(&mask);
	for (size_t i = 0; i < sizeof(synchronous) / sizeof(int); i++)
		sigdelset(&mask, synchronous[i]);
	ret = pthread_attr_setdetachstate(attr, PTHREAD_CREATE_DETACHED);
	if (!ret)
		ret = pthread_attr_setsigmask_np(attr, &mask);
	if (!ret)
		ret = pthread_create(&thread, attr, fn, NULL);
	/* Reports leave out threads of that name (app/report.c). */
	if (!ret)
		pthread_setname_np(thread, "cratos-lines");
	return ret;
}

int thread_start(void *(*fn)(void *arg))
{
	pthread_attr_t attr;
	int ret = pthread_attr_init(&attr);

	if (ret)
		return -ret;
	ret = start(fn, &attr);
	pthread_attr_destroy(&attr);
	return -ret;
}
