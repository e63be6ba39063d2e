/*
 * Lines for standard error, through a queue.
 *
 * Design notes. Nothing but a thread of its own can write to a stream that may
 * stall: O_NONBLOCK would be set for the children as well, which share the
 * stream, and a pipe that poll(2) finds writable may be filled by one of them
 * before we write. So there is such a thread; it does not exist for files,
 * which take what they are given. Whoever has a line waits for it to be written, so
 * that it stands before what it leads to: the first words of a child, or the end
 * of the process. That wait is short and has a budget, and there is none behind
 * lines that wait already.
 *
 * From the first line that finds the queue full, all are lost until it is
 * empty. Then a line that says how many stands in their place: the order
 * holds.
 *
 * The lock guards all of it but `line`, which is the thread's. Both conditions
 * are signalled under it. The thread is detached and all it touches is static,
 * since it may sit in write(2) when the process ends. `lost_fn` it calls under the
 * lock, and not after `over`.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cratos/writer.h"

#define NS_PER_MS INT64_C(1000000)

enum {
	QUEUE_BYTES = 1 << 20,
	HOLD_MS = 100, /* how long a line holds up the one who has it */
	HOLD_SHARE = 10, /* ... and a part of all time, in the long run */
	END_MS = 500 /* for what waits in the end */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t filled, drained;
	bool threaded, busy, over;
	writer_lost_fn *lost_fn;
	void *arg;
	size_t lost;
	int64_t paid_ns; /* when what was waited is a tenth of the time */
	int64_t end_ns;
	size_t begin, used; /* of the ring */
	char ring[QUEUE_BYTES];
	char line[WRITER_LINE];
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER,
    .filled = PTHREAD_COND_INITIALIZER};

/* ---- the stream ---- */

/* Another process that shares the stream may have made it non-blocking. */
static bool is_worth_another_try(void)
{
	struct pollfd stream = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (errno == EAGAIN)
		return poll(&stream, 1, -1) >= 0 || errno == EINTR;
	return errno == EINTR;
}

/* There is nowhere to report that this failed. */
static void write_line(const char *line, size_t size)
{
	ssize_t written;

	while (size) {
		written = write(STDERR_FILENO, line, size);
		if (written < 0 && !is_worth_another_try())
			return;
		if (written < 0)
			continue;
		line += written;
		size -= (size_t)written;
	}
}

/* Files, and devices such as /dev/null, have no reader. */
static bool may_stall(void)
{
	struct stat st;

	return !fstat(STDERR_FILENO, &st) && !S_ISREG(st.st_mode) &&
	       (!S_ISCHR(st.st_mode) || isatty(STDERR_FILENO));
}

/* ---- the queue, under the lock ---- */

static bool is_drained(void)
{
	return !writer.used && !writer.lost && !writer.busy;
}

static void push(const char *line, size_t size)
{
	for (size_t i = 0; i < size; i++)
		writer.ring[(writer.begin + writer.used++) % QUEUE_BYTES] =
		    line[i];
}

static size_t pop(char line[static WRITER_LINE])
{
	size_t size = 0;

	do
		line[size] = writer.ring[(writer.begin + size) % QUEUE_BYTES];
	while (line[size++] != '\n');
	writer.used -= size;
	/* From the start again, so that little memory is touched. */
	writer.begin = writer.used ? (writer.begin + size) % QUEUE_BYTES : 0;
	return size;
}

/* The next line; once all are out, the one for those that are not. */
static size_t next(char line[static WRITER_LINE])
{
	size_t lost = writer.lost;

	if (writer.used)
		return pop(line);
	writer.lost = 0;
	return writer.lost_fn(lost, line, writer.arg);
}

static void *work(void *unused)
{
	size_t size;

	pthread_mutex_lock(&writer.lock);
	while (!writer.over) {
		if (is_drained()) {
			pthread_cond_wait(&writer.filled, &writer.lock);
			continue;
		}
		size = next(writer.line);
		writer.busy = true;
		pthread_mutex_unlock(&writer.lock);
		write_line(writer.line, size);
		pthread_mutex_lock(&writer.lock);
		writer.busy = false;
		if (is_drained())
			pthread_cond_broadcast(&writer.drained);
	}
	pthread_mutex_unlock(&writer.lock);
	return unused;
}

/* ---- waiting, under the lock ---- */

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 * NS_PER_MS + now.tv_nsec;
}

static void wait_until(int64_t ns)
{
	const struct timespec until = {ns / (1000 * NS_PER_MS),
	    ns % (1000 * NS_PER_MS)};

	while (!is_drained() && pthread_cond_timedwait(&writer.drained,
				    &writer.lock, &until) != ETIMEDOUT)
		;
}

static void wait_for_a_moment(void)
{
	int64_t begin = now_ns(), hold = HOLD_MS * NS_PER_MS;

	if (writer.paid_ns < begin)
		writer.paid_ns = begin;
	hold -= (writer.paid_ns - begin) / HOLD_SHARE;
	if (hold <= 0)
		return;
	wait_until(begin + hold);
	writer.paid_ns += (now_ns() - begin) * HOLD_SHARE;
}

static void wait_for_the_end(void)
{
	if (!writer.threaded)
		return;
	if (!writer.end_ns)
		writer.end_ns = now_ns() + END_MS * NS_PER_MS;
	wait_until(writer.end_ns);
}

/* ---- what the command calls ---- */

/* Signals are not this thread's affair, but for its own faults. */
static bool start_thread(void)
{
	static const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL,
	    SIGTRAP, SIGSYS};
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t mask;
	bool started;

	sigfillset(&mask);
	for (size_t i = 0; i < sizeof(synchronous) / sizeof(int); i++)
		sigdelset(&mask, synchronous[i]);
	if (pthread_attr_init(&attr))
		return false;
	started =
	    !pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) &&
	    !pthread_attr_setsigmask_np(&attr, &mask) &&
	    !pthread_create(&thread, &attr, work, NULL);
	/* Reports leave out threads of that name (app/report.c). */
	if (started)
		pthread_setname_np(thread, "cratos-lines");
	pthread_attr_destroy(&attr);
	return started;
}

void writer_begin(writer_lost_fn *lost, void *arg)
{
	pthread_condattr_t attr;

	writer.lost_fn = lost;
	writer.arg = arg;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&writer.drained, &attr);
	pthread_condattr_destroy(&attr);
	/* Without a thread lines are written all the same. */
	writer.threaded = may_stall() && start_thread();
}

void writer_put(const char *line, size_t size)
{
	bool first;

	pthread_mutex_lock(&writer.lock);
	if (!writer.threaded) {
		write_line(line, size);
		goto out;
	}
	first = is_drained();
	if (writer.lost || size > QUEUE_BYTES - writer.used) {
		writer.lost++;
		goto out;
	}
	push(line, size);
	pthread_cond_signal(&writer.filled);
	if (first)
		wait_for_a_moment();
out:
	pthread_mutex_unlock(&writer.lock);
}

void writer_flush(void)
{
	pthread_mutex_lock(&writer.lock);
	wait_for_the_end();
	pthread_mutex_unlock(&writer.lock);
}

void writer_end(void)
{
	pthread_mutex_lock(&writer.lock);
	wait_for_the_end();
	writer.over = true;
	pthread_cond_signal(&writer.filled);
	pthread_mutex_unlock(&writer.lock);
}
