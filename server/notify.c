/*
 * The receiving end of sd_notify.
 *
 * Anybody on this machine can send to the socket, so the kernel is asked who
 * sent what (SCM_CREDENTIALS), and /proc whether that is one of the child's own:
 * in its process group, or a descendant. A process that is gone by the time its
 * message is read cannot be asked about, and its message is dropped. That is what
 * BARRIER=1 is for: its sender waits until the descriptor that comes with it is
 * closed, as all descriptors are here once the message has been read.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/notify.h"
#include "server/process.h"

enum {
	MESSAGE_SIZE = 4096,
	FDS_MAX = 253, /* the kernel's own limit */
	ANCESTORS_MAX = 64,
	USEC_PER_MS = 1000
};

int notify_open(char entry[static NOTIFY_ENTRY_SIZE])
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const socklen_t no_name = offsetof(struct sockaddr_un, sun_path);
	socklen_t size = no_name;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, ret;

	if (fd < 0)
		return -errno;
	/* Bound to no name, it gets one that is free. */
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ||
	    bind(fd, (const struct sockaddr *)&addr, size))
		goto fail;
	size = sizeof(addr);
	if (getsockname(fd, (struct sockaddr *)&addr, &size))
		goto fail;
	snprintf(entry, NOTIFY_ENTRY_SIZE, "NOTIFY_SOCKET=@%.*s",
	    (int)(size - no_name - 1), addr.sun_path + 1);
	return fd;
fail:
	ret = -errno;
	close(fd);
	return ret;
}

/* ---- whose it is ----------------------------------------------------------- */

bool notify_is_of(pid_t pid, pid_t leader)
{
	struct process process;

	for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
		if (pid == leader)
			return true;
		if (!process_read(pid, &process))
			return false;
		if (process.group == leader)
			return true;
		pid = process.parent;
	}
	return false;
}

/* ---- what it says ---------------------------------------------------------- */

/* Digits only, or -1. */
static int64_t parse_number(const char *digits)
{
	char *end;
	long long number;

	if (*digits < '0' || *digits > '9')
		return -1;
	errno = 0;
	number = strtoll(digits, &end, 10);
	return errno || *end ? -1 : number;
}

static void parse_line(struct notify_message *message, const char *line,
    pid_t leader)
{
	int64_t number;

	if (!strcmp(line, "READY=1")) {
		message->ready = true;
	} else if (!strcmp(line, "STOPPING=1")) {
		message->stopping = true;
	} else if (!strncmp(line, "STATUS=", 7)) {
		message->has_status = true;
		snprintf(message->status, sizeof(message->status), "%s",
		    line + 7);
	} else if (!strncmp(line, "EXTEND_TIMEOUT_USEC=", 20)) {
		number = parse_number(line + 20);
		if (number > 0)
			message->extend_ms =
			    number / USEC_PER_MS + !!(number % USEC_PER_MS);
	} else if (!strncmp(line, "MAINPID=", 8)) {
		number = parse_number(line + 8);
		if (number > 1 && number <= INT32_MAX &&
		    notify_is_of((pid_t)number, leader))
			message->main_pid = (pid_t)number;
	}
}

static void parse(struct notify_message *message, char *text, pid_t leader)
{
	char *rest = text;

	while (rest)
		parse_line(message, strsep(&rest, "\n"), leader);
}

/* ---- what the kernel says -------------------------------------------------- */

/* The sender, 0 if it is not known; closes what came along. */
static pid_t take_control(struct msghdr *header)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(header);
	struct ucred sender = {0};

	for (; control; control = CMSG_NXTHDR(header, control)) {
		size_t size = control->cmsg_len - CMSG_LEN(0);

		if (control->cmsg_level != SOL_SOCKET)
			continue;
		if (control->cmsg_type == SCM_CREDENTIALS &&
		    size == sizeof(sender))
			memcpy(&sender, CMSG_DATA(control), sizeof(sender));
		for (size_t i = 0;
		     control->cmsg_type == SCM_RIGHTS && i < size / sizeof(int);
		     i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(control) + i * sizeof(int),
			    sizeof(fd));
			close(fd);
		}
	}
	return sender.pid;
}

int notify_read(int fd, pid_t leader, struct notify_message *message)
{
	char text[MESSAGE_SIZE + 1];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred)) +
			  CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec data = {.iov_base = text, .iov_len = MESSAGE_SIZE};
	struct msghdr header = {.msg_iov = &data,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	pid_t sender;

	*message = (struct notify_message){0};
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	sender = take_control(&header);
	text[n] = '\0';
	if (!(header.msg_flags & MSG_TRUNC) && strlen(text) == (size_t)n &&
	    notify_is_of(sender, leader))
		parse(message, text, leader);
	return 0;
}
