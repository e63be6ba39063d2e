/*
 * Lines on standard error that do not block.
 *
 * O_NONBLOCK is out of the question, since all who share the stream would have
 * it; and that poll(2) finds a pipe writable helps little when another fills it
 * before we write. So a pipe and a terminal are opened a second time, as a
 * description of our own that does not block. A socket needs none.
 *
 * What cannot be opened (the pipe is another user's, there is no /proc) is
 * asked with poll(2) first, which is good but for that case.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/outlet.h"
#include "errgroup/clock.h"

enum {
	HOLD_MS = 100, /* how long a line holds up the loop */
	HOLD_SHARE = 10 /* ... and a part of all time, in the long run */
};

struct stream {
	int fd; /* less than 0: nobody has the other end */
	bool own, socket;
	int64_t until_ns; /* when we wait no longer */
};

static struct stream open_stream(int64_t until_ns)
{
	struct stream stream = {.fd = STDERR_FILENO, .until_ns = until_ns};
	struct stat st;
	int fd;

	if (fstat(STDERR_FILENO, &st))
		return stream;
	stream.socket = S_ISSOCK(st.st_mode);
	if (!S_ISFIFO(st.st_mode) && !isatty(STDERR_FILENO))
		return stream;
	fd = open("/proc/self/fd/2",
	    O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	stream.own = fd >= 0;
	if (stream.own || errno == ENXIO)
		stream.fd = fd;
	return stream;
}

static void close_stream(const struct stream *stream)
{
	if (stream->own)
		close(stream->fd);
}

/* False if it takes nothing until the time is over. */
static bool wait_for_room(const struct stream *stream)
{
	struct pollfd room = {.fd = stream->fd, .events = POLLOUT};
	int64_t left_ns, left_ms;
	int n;

	do {
		left_ns = stream->until_ns - clock_ns();
		left_ms = (left_ns + NS_PER_MS - 1) / NS_PER_MS;
		n = poll(&room, 1, left_ns > 0 ? (int)left_ms : 0);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

static ssize_t write_some(const struct stream *stream, const char *text,
    size_t size)
{
	if (stream->socket)
		return send(stream->fd, text, size,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	return write(stream->fd, text, size);
}

/* How much of it got out; all, if there is nobody to lose it. */
static size_t write_line(const struct stream *stream, const char *text)
{
	size_t size = strlen(text), used = 0;
	ssize_t n;

	while (used < size && stream->fd >= 0) {
		if (!stream->own && !wait_for_room(stream))
			return used;
		n = write_some(stream, text + used, size - used);
		if (n >= 0)
			used += (size_t)n;
		else if (errno == EAGAIN && !wait_for_room(stream))
			return used;
		else if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return size;
}

static bool put(struct outlet *outlet, const struct stream *stream,
    const char *line)
{
	size_t used = write_line(stream, line);
	bool out = used == strlen(line);

	outlet->cut = out ? false : outlet->cut || used > 0;
	return out;
}

static bool put_lost(struct outlet *outlet, const struct stream *stream)
{
	char line[80];

	if (!outlet->lost)
		return true;
	snprintf(line, sizeof(line),
	    "%sapp: %zu line%s lost here: nobody read them\n",
	    outlet->cut ? "\n" : "", outlet->lost,
	    outlet->lost == 1 ? "" : "s");
	if (!put(outlet, stream, line))
		return false;
	outlet->lost = 0;
	return true;
}

void outlet_put(struct outlet *outlet, const char *line)
{
	int64_t begin_ns = clock_ns(), hold_ns = HOLD_MS * NS_PER_MS;
	struct stream stream;

	if (outlet->paid_ns < begin_ns)
		outlet->paid_ns = begin_ns;
	hold_ns -= (outlet->paid_ns - begin_ns) / HOLD_SHARE;
	stream = open_stream(begin_ns + hold_ns);
	if (!put_lost(outlet, &stream) || !put(outlet, &stream, line))
		outlet->lost++;
	close_stream(&stream);
	outlet->paid_ns += (clock_ns() - begin_ns) * HOLD_SHARE;
}
