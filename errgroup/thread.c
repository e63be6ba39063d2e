/* How every thread of the library is made: signals and stack. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cratos/errgroup.h>

#include "errgroup/thread.h"

static _Atomic size_t stack_size_bytes = 1024 * 1024;

/*
 * The mask goes with the attributes, so there is no instant at which a new
 * thread has another one. A synchronous signal that is blocked would kill the
 * process without a handler's word.
 */
static int block_signals(pthread_attr_t *attr)
{
	static const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL,
	    SIGTRAP, SIGSYS};
	sigset_t mask;

	sigfillset(&mask);
	for (size_t i = 0; i < sizeof(synchronous) / sizeof(int); i++)
		sigdelset(&mask, synchronous[i]);
	return pthread_attr_setsigmask_np(attr, &mask);
}

int thread_start(void *(*main)(void *arg), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret = pthread_attr_init(&attr);

	if (ret)
		return -ret;
	ret = block_signals(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, stack_size_bytes);
	if (!ret)
		ret = pthread_create(&thread, &attr, main, arg);
	pthread_attr_destroy(&attr);
	return -ret;
}

int errgroup_set_stack_size(size_t bytes)
{
	const size_t page = 4096;
	pthread_attr_t attr;
	int ret;

	if (bytes > (size_t)-1 / 2)
		return error_set(-EINVAL, "stack of %zu bytes", bytes);
	bytes = (bytes + page - 1) / page * page;
	ret = pthread_attr_init(&attr);
	if (ret)
		return -ret;
	ret = pthread_attr_setstacksize(&attr, bytes);
	pthread_attr_destroy(&attr);
	if (ret)
		return error_set(-ret, "stack of %zu bytes is too small",
		    bytes);
	stack_size_bytes = bytes;
	return 0;
}
