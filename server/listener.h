/* A listening socket: an address as text, bound and known again. */
#ifndef CRATOS_LISTENER_H
#define CRATOS_LISTENER_H

#include <netinet/in.h>
#include <sys/types.h>
#include <sys/un.h>

/* Whoever has a listener guards it; nothing here is locked. */
struct listener {
	int fd; /* non-blocking; -1: not open */
	/* What was bound last; stays after close. */
	char url[sizeof("unix:") + sizeof(((struct sockaddr_un *)0)->sun_path)];
	mode_t mode; /* of a socket file; 0: as the umask leaves it */
	in_port_t port; /* network order; taken again for a port 0 */
	/* The socket file that is ours. */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t dev;
	ino_t ino;
};

void listener_init(struct listener *listener);

/* Whether an address is one, without looking anything up: as listener_open. */
int listener_check(const char *address);

/*
 * Binds and listens on "host:port", "[v6]:port", ":port" or "unix:path", or
 * takes a copy of an inherited one, "fd:name". May block, for a name to be resolved. Returns 0 or a negative errno with words:
 * -EINVAL for an address that is none, -ENAMETOOLONG, -EADDRINUSE, -EEXIST for
 * a path where something is that is no socket, -EADDRNOTAVAIL for a name that
 * is not known, -ENOENT for an inherited one that is not there, or what bind(2) and listen(2) say. Never -EAGAIN.
 */
int listener_open(struct listener *listener, const char *address, int backlog);

/* Closes it, if it is open, and removes its socket file, if that is still its
 * own. */
void listener_close(struct listener *listener);

#endif
