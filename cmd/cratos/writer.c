/*
 * Lines for standard error, through a queue.
 *
 * Design notes. The stream may stall, and it is not ours alone: O_NONBLOCK would
 * be set for the children as well, which share it, and a pipe that poll(2) finds
 * writable may be filled by one of them before we write. A single call can be told
 * not to wait, where the kernel knows how: for sockets, and for pipes of new
 * kernels. What these do not take at once, and all for a terminal, is left to a
 * thread that may sit in write(2); it does not exist for files, which take what they
 * are given. Either way so many lines are written at a time as a pipe takes in one
 * piece. Whoever has a line waits for it to be written, so that it stands before
 * what it leads to: the first words of a child, or the end of the process. That
 * wait is short and has a budget, and there is none behind lines that wait already.
 *
 * From the first line that finds the queue full, all are lost until it is
 * empty. Then a line that says how many stands in their place: the order
 * holds.
 *
 * What servers print must not be lost, nor push out what else there is to say.
 * So it is only offered while little waits, and else is left in the servers'
 * pipes, until room_fn says that there is room.
 *
 * The lock guards all of it but `line`, which is the thread's. Both conditions
 * are signalled under it. The thread is detached and all it touches is static,
 * since it may sit in write(2) when the process ends. `lost_fn` and `room_fn` it
 * calls under the lock, and not after `over`.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cratos/thread.h"
#include "cmd/cratos/writer.h"

#define NS_PER_MS INT64_C(1000000)

enum {
	QUEUE_BYTES = 1 << 20,
	ROOM_BYTES = 1 << 16, /* with more than that, nothing is offered */
	SPREAD_BYTES = 1 << 17, /* of the ring, as long as that is enough */
	HOLD_MS = 100, /* how long a line holds up the one who has it */
	HOLD_SHARE = 10, /* ... and a part of all time, in the long run */
	END_MS = 500 /* for what waits in the end */
};

enum stream { TAKES_ALL, MAY_STALL, IS_PIPE, IS_SOCKET };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t filled, drained; /* drained: to some extent */
	enum stream stream;
	bool threaded, busy, over;
	bool wanted; /* room, by somebody who waits for room_fn */
	void (*room_fn)(void);
	writer_lost_fn *lost_fn;
	void *arg;
	size_t lost;
	int64_t paid_ns; /* when what was waited is a tenth of the time */
	int64_t end_ns;
	size_t begin, used; /* of the ring */
	uint64_t pushed, popped, written; /* bytes, since the beginning */
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
static void write_all(const char *line, size_t size)
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
static enum stream kind_of_stream(void)
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st) < 0 || S_ISREG(st.st_mode) ||
	    (S_ISCHR(st.st_mode) && !isatty(STDERR_FILENO)))
		return TAKES_ALL;
	if (S_ISSOCK(st.st_mode))
		return IS_SOCKET;
	return S_ISFIFO(st.st_mode) ? IS_PIPE : MAY_STALL;
}

static ssize_t write_to_pipe(const char *text, size_t size)
{
	struct iovec part = {(void *)text, size};
	ssize_t written = pwritev2(STDERR_FILENO, &part, 1, -1, RWF_NOWAIT);

	if (written < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
		writer.stream = MAY_STALL;
	return written;
}

/* As many lines as a pipe takes without others between them, or one. */
static size_t piece_of(const char *lines, size_t size)
{
	const char *end =
	    memrchr(lines, '\n', size < PIPE_BUF ? size : PIPE_BUF);

	if (!end)
		end = memchr(lines, '\n', size);
	return end ? (size_t)(end - lines) + 1 : size;
}

/* As much as the stream takes without a wait; there is nothing before it. */
static size_t write_at_once(const char *text, size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t piece = piece_of(text + done, size - done);
		ssize_t written = -1;

		if (writer.stream == IS_PIPE)
			written = write_to_pipe(text + done, piece);
		else if (writer.stream == IS_SOCKET)
			written = send(STDERR_FILENO, text + done, piece,
			    MSG_DONTWAIT);
		if (written > 0)
			done += (size_t)written;
		if (written < (ssize_t)piece)
			break;
	}
	return done;
}

/* ---- the queue, under the lock ---- */

static bool is_drained(void)
{
	return !writer.used && !writer.lost && !writer.busy;
}

static void push(const char *line, size_t size)
{
	size_t end = (writer.begin + writer.used) % QUEUE_BYTES;
	size_t first = QUEUE_BYTES - end;

	if (first > size)
		first = size;
	memcpy(writer.ring + end, line, first);
	memcpy(writer.ring, line + first, size - first);
	writer.used += size;
	writer.pushed += size;
	pthread_cond_signal(&writer.filled);
}

/* So that little memory is touched. */
static void draw_near(void)
{
	if (!writer.used)
		writer.begin = 0;
	if (writer.begin < SPREAD_BYTES || writer.used > writer.begin ||
	    writer.begin + writer.used > QUEUE_BYTES)
		return;
	memcpy(writer.ring, writer.ring + writer.begin, writer.used);
	writer.begin = 0;
}

/* The next piece; of a line that is longer than the buffer, a part. */
static size_t pop(char lines[static WRITER_LINE])
{
	size_t size = writer.used < WRITER_LINE ? writer.used : WRITER_LINE;
	size_t first = QUEUE_BYTES - writer.begin;

	if (first > size)
		first = size;
	memcpy(lines, writer.ring + writer.begin, first);
	memcpy(lines + first, writer.ring, size - first);
	size = piece_of(lines, size);
	writer.used -= size;
	writer.popped += size;
	writer.begin = (writer.begin + size) % QUEUE_BYTES;
	draw_near();
	return size;
}

static bool has_room(void)
{
	return !writer.threaded || (!writer.lost && writer.used <= ROOM_BYTES);
}

static void tell_room(void)
{
	/* Not for each line. */
	if (!writer.wanted || writer.lost || writer.used > ROOM_BYTES / 2)
		return;
	writer.wanted = false;
	writer.room_fn();
}

/* The next lines; once all are out, the one for those that are not. */
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
		tell_room();
		pthread_mutex_unlock(&writer.lock);
		write_all(writer.line, size);
		pthread_mutex_lock(&writer.lock);
		writer.busy = false;
		writer.written = writer.popped;
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

/* Until that many bytes are written, or all of what there is. */
static void wait_until(int64_t ns, uint64_t bytes)
{
	const struct timespec until = {ns / (1000 * NS_PER_MS),
	    ns % (1000 * NS_PER_MS)};

	while (writer.written < bytes && !is_drained() &&
	       pthread_cond_timedwait(&writer.drained, &writer.lock, &until) !=
		   ETIMEDOUT)
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
	wait_until(begin + hold, writer.pushed);
	writer.paid_ns += (now_ns() - begin) * HOLD_SHARE;
}

static void wait_for_the_end(void)
{
	if (!writer.threaded)
		return;
	if (!writer.end_ns)
		writer.end_ns = now_ns() + END_MS * NS_PER_MS;
	wait_until(writer.end_ns, UINT64_MAX);
}

/* ---- what the command calls ---- */

void writer_begin(writer_lost_fn *lost, void *arg)
{
	pthread_condattr_t attr;

	pthread_mutex_lock(&writer.lock);
	writer.lost_fn = lost;
	writer.arg = arg;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&writer.drained, &attr);
	pthread_condattr_destroy(&attr);
	writer.stream = kind_of_stream();
	/* Without a thread lines are written all the same. */
	writer.threaded = writer.stream != TAKES_ALL && !thread_start(work);
	pthread_mutex_unlock(&writer.lock);
}

/* With the lock held; false if nothing of it waits. */
static bool queue(const char *text, size_t size)
{
	size_t written;

	if (!writer.threaded) {
		write_all(text, size);
		return false;
	}
	written = is_drained() ? write_at_once(text, size) : 0;
	text += written;
	size -= written;
	if (writer.lost || size > QUEUE_BYTES - writer.used)
		writer.lost++;
	else if (size)
		push(text, size);
	return size > 0;
}

void writer_put(const char *line, size_t size)
{
	bool first;

	pthread_mutex_lock(&writer.lock);
	first = is_drained();
	if (queue(line, size) && first)
		wait_for_a_moment();
	pthread_mutex_unlock(&writer.lock);
}

void writer_on_room(void (*fn)(void))
{
	pthread_mutex_lock(&writer.lock);
	writer.room_fn = fn;
	pthread_mutex_unlock(&writer.lock);
}

bool writer_has_room(void)
{
	bool room;

	pthread_mutex_lock(&writer.lock);
	room = has_room();
	writer.wanted = writer.wanted || !room;
	pthread_mutex_unlock(&writer.lock);
	return room;
}

void writer_offer(const char *lines, size_t size)
{
	pthread_mutex_lock(&writer.lock);
	queue(lines, size);
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
