/*
 * Attempts to connect, and to ask over HTTP.
 *
 * Of an answer only the status line counts. What follows is read and thrown
 * away while nobody waits for it, so that a server which has not sent all yet
 * finds no connection reset; but no more of it than DRAIN_MAX.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cratos/error.h>

#include "server/attempt.h"

enum {
	NO_FD = -1,
	SOCKET_FLAGS = SOCK_CLOEXEC | SOCK_NONBLOCK,
	DRAIN_MAX = 64 * 1024,
	STATUS_AT = 9, /* in "HTTP/1.1 200 OK" */
	HEAD_LENGTH = 13 /* with what ends the number */
};

void attempt_init(struct attempt *attempt)
{
	attempt->fd = NO_FD;
}

void attempt_end(struct attempt *attempt)
{
	if (attempt->fd != NO_FD)
		close(attempt->fd); /* which ends the watching as well */
	attempt->fd = NO_FD;
}

int attempt_failed(int code)
{
	errno = -code;
	error_set(code, "%m");
	switch (-code) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
	case ENOSPC:
	case EAGAIN:
		return ATTEMPT_NOT_MADE;
	default:
		return code;
	}
}

static int fail(struct attempt *attempt, int code)
{
	attempt_end(attempt);
	return attempt_failed(code);
}

static int watch(struct attempt *attempt, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u32 = attempt->tag};

	if (!epoll_ctl(attempt->epoll, operation, attempt->fd, &event))
		return ATTEMPT_GOES_ON;
	return fail(attempt, -errno);
}

/* ---- connecting ------------------------------------------------------------ */

/* A local socket may be of another type than a stream. */
static int connect_unix(struct attempt *attempt,
    const struct probe_address *address)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
	/* A name of these is looked for among those of its type only. */
	bool is_abstract = !address->is.un.sun_path[0];
	int code = 0;

	for (int i = 0; i < 3; i++) {
		attempt->fd = socket(AF_UNIX, types[i] | SOCKET_FLAGS, 0);
		if (attempt->fd < 0)
			return -errno;
		if (!connect(attempt->fd, &address->is.any, address->size))
			return 0;
		code = -errno;
		attempt_end(attempt);
		if (code != -EPROTOTYPE &&
		    !(is_abstract && code == -ECONNREFUSED))
			break;
	}
	return code;
}

static int connect_to(struct attempt *attempt,
    const struct probe_address *address)
{
	int family = address->is.any.sa_family;

	if (family == AF_UNIX)
		return connect_unix(attempt, address);
	attempt->fd = socket(family, SOCK_STREAM | SOCKET_FLAGS, 0);
	if (attempt->fd < 0)
		return -errno;
	return connect(attempt->fd, &address->is.any, address->size) ? -errno
								     : 0;
}

/*
 * Where nobody listens on a port of those that are given out, a connection may
 * be made to itself.
 */
static bool is_its_own_peer(int fd)
{
	struct probe_address here = {.size = sizeof(here.is)};
	struct probe_address there = {.size = sizeof(there.is)};

	memset(&here.is, 0, sizeof(here.is));
	memset(&there.is, 0, sizeof(there.is));
	return !getsockname(fd, &here.is.any, &here.size) &&
	       here.is.any.sa_family != AF_UNIX &&
	       !getpeername(fd, &there.is.any, &there.size) &&
	       here.size == there.size &&
	       !memcmp(&here.is, &there.is, here.size);
}

static int connected(struct attempt *attempt)
{
	if (attempt->probe->kind != PROBE_HTTP) {
		attempt_end(attempt);
		return 0;
	}
	attempt->state = ATTEMPT_ASKS;
	return watch(attempt, EPOLL_CTL_MOD, EPOLLOUT);
}

/* From attempt->address on, to the first that does not fail at once. */
static int connect_next(struct attempt *attempt)
{
	for (; attempt->address < attempt->probe->address_count;
	     attempt->address++) {
		int code = connect_to(attempt,
		    &attempt->probe->addresses[attempt->address]);

		if (!code || code == -EINPROGRESS) {
			attempt->state = ATTEMPT_CONNECTS;
			return watch(attempt, EPOLL_CTL_ADD, EPOLLOUT);
		}
		attempt_end(attempt);
		if (!attempt->code)
			attempt->code = code;
	}
	if (attempt->code == -EAGAIN && attempt->probe->kind == PROBE_UNIX)
		return error_set(-EAGAIN, "too many connections wait there");
	return fail(attempt, attempt->code);
}

int attempt_begin(struct attempt *attempt, const struct probe *probe, int epoll,
    uint32_t tag)
{
	attempt_end(attempt);
	*attempt = (struct attempt){.fd = NO_FD,
	    .probe = probe,
	    .epoll = epoll,
	    .tag = tag};
	return connect_next(attempt);
}

static int look_at_connection(struct attempt *attempt)
{
	int code = 0;
	socklen_t size = sizeof(code);

	if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &code, &size))
		code = errno;
	if (!code && is_its_own_peer(attempt->fd))
		code = ECONNREFUSED;
	if (!code)
		return connected(attempt);
	attempt_end(attempt);
	if (!attempt->code)
		attempt->code = -code;
	attempt->address++;
	return connect_next(attempt);
}

/* ---- HTTP ------------------------------------------------------------------ */

static int ask(struct attempt *attempt)
{
	const char *rest = attempt->probe->request + attempt->sent;
	ssize_t n = send(attempt->fd, rest, strlen(rest), MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR
			   ? ATTEMPT_GOES_ON
			   : fail(attempt, -errno);
	attempt->sent += (size_t)n;
	if (attempt->probe->request[attempt->sent])
		return ATTEMPT_GOES_ON;
	attempt->state = ATTEMPT_HEARS;
	return watch(attempt, EPOLL_CTL_MOD, EPOLLIN);
}

/* "HTTP/1.x NNN": the number, or 0 if it is none. */
static int status_of(const char head[static HEAD_LENGTH])
{
	const char *number = head + STATUS_AT;

	if (memcmp(head, "HTTP/1.", 7) || !isdigit((unsigned char)head[7]) ||
	    head[8] != ' ' || isdigit((unsigned char)number[3]))
		return 0;
	for (int i = 0; i < 3; i++)
		if (!isdigit((unsigned char)number[i]))
			return 0;
	return atoi(number);
}

static int judge(struct attempt *attempt)
{
	int status = status_of(attempt->head);

	if (status >= 200 && status < 300) {
		attempt->state = ATTEMPT_DRAINS;
		return 0;
	}
	attempt_end(attempt);
	if (!status)
		return error_set(-EPROTO, "what answers does not speak HTTP/1");
	return error_set(-EPROTO, "the answer is status %d", status);
}

static int hear(struct attempt *attempt)
{
	ssize_t n = recv(attempt->fd, attempt->head + attempt->head_length,
	    HEAD_LENGTH - attempt->head_length, 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR
			   ? ATTEMPT_GOES_ON
			   : fail(attempt, -errno);
	attempt->head_length += (size_t)n;
	if (attempt->head_length == HEAD_LENGTH)
		return judge(attempt);
	if (n)
		return ATTEMPT_GOES_ON;
	attempt_end(attempt);
	return error_set(-EPROTO, "closed without an answer");
}

/* The attempt has succeeded already. */
static int drain(struct attempt *attempt)
{
	char rest[4096];
	ssize_t n = recv(attempt->fd, rest, sizeof(rest), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return ATTEMPT_GOES_ON;
	attempt->drained += n > 0 ? (size_t)n : 0;
	if (n <= 0 || attempt->drained >= DRAIN_MAX)
		attempt_end(attempt);
	return ATTEMPT_GOES_ON;
}

int attempt_go_on(struct attempt *attempt)
{
	if (attempt->fd == NO_FD)
		return ATTEMPT_GOES_ON;
	switch (attempt->state) {
	case ATTEMPT_CONNECTS:
		return look_at_connection(attempt);
	case ATTEMPT_ASKS:
		return ask(attempt);
	case ATTEMPT_HEARS:
		return hear(attempt);
	default:
		return drain(attempt);
	}
}
