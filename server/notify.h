/*
 * What a child tells of itself, by the protocol of sd_notify(3): datagrams with
 * lines NAME=value to a socket that its environment names.
 */
#ifndef CRATOS_NOTIFY_H
#define CRATOS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { NOTIFY_ENTRY_SIZE = 32, NOTIFY_STATUS_SIZE = 128 };

struct notify_message {
	bool ready, stopping;
	int64_t extend_ms; /* 0: it does not ask for time */
	pid_t main_pid; /* 0: not told */
	bool has_status;
	char status[NOTIFY_STATUS_SIZE];
};

/*
 * Makes a socket, and the "NOTIFY_SOCKET=..." for the child's environment. The
 * socket has a name but no file, so nothing can stay behind. Returns the
 * descriptor, or a negative errno.
 */
int notify_open(char entry[static NOTIFY_ENTRY_SIZE]);

/*
 * Takes the next message; does not block. 0: *message is what one of the
 * children in group, or a descendant of leader, said; all zeros if it was
 * nobody of these, or nothing that can be understood. -EAGAIN if there is none.
 */
int notify_read(int fd, pid_t leader, struct notify_message *message);

/* Whether pid is in the process group of leader, or descends from it. */
bool notify_is_of(pid_t pid, pid_t leader);

#endif
