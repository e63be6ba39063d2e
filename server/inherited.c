/*
 * Sockets that the process was started with.
 *
 * As with sd_listen_fds they are descriptors from 3 on, LISTEN_FDS in number, if
 * LISTEN_PID is this process; LISTEN_FDNAMES has their names, with colons
 * between, and more than one may have the same. Who has no name is "unknown", as
 * with systemd. The names are kept in the process's own copy, since the
 * environment may be changed by others.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cratos/error.h>

#include "server/inherited.h"

enum { FIRST_FD = 3 };

static const char prefix[] = "fd:";

static struct {
	pthread_once_t once;
	size_t count;
	char *names; /* NULL: without memory, or none was said */
} inherited = {.once = PTHREAD_ONCE_INIT};

/* A number of the environment, 0 if it is none. */
static long number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long value;

	if (!text || *text < '0' || *text > '9')
		return 0;
	errno = 0;
	value = strtol(text, &end, 10);
	return *end || errno ? 0 : value;
}

/* False if it is not open. */
static bool set_cloexec(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags >= 0 && !fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

static void take(void)
{
	const char *names = getenv("LISTEN_FDNAMES");
	long count = number("LISTEN_FDS");

	if (number("LISTEN_PID") == getpid()) {
		for (int i = 0; i < count && set_cloexec(FIRST_FD + i); i++)
			inherited.count += i < INHERITED_MAX;
		inherited.names = names ? strdup(names) : NULL;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

void inherited_take(void)
{
	pthread_once(&inherited.once, take);
}

size_t inherited_count(void)
{
	inherited_take();
	return inherited.count;
}

bool inherited_is_address(const char *address)
{
	return !strncmp(address, prefix, strlen(prefix));
}

int inherited_check(const char *address)
{
	const char *name = address + strlen(prefix);

	if (!*name)
		return error_set(-EINVAL, "%s: no name", address);
	if (strlen(name) > INHERITED_NAME_MAX)
		return error_set(-EINVAL,
		    "%.100s...: the name is longer than %d bytes", address,
		    INHERITED_NAME_MAX);
	for (; *name; name++)
		if ((unsigned char)*name <= ' ' || *name == ':' ||
		    *name == 0x7f)
			return error_set(-EINVAL,
			    "%.100s: a name has no blank, colon or "
			    "control character",
			    address);
	return 0;
}

/* The name at *names, and the next one there; *length is its length. */
static const char *next_name(const char **names, size_t *length)
{
	const char *name = *names;

	if (!name)
		name = "unknown";
	*length = strcspn(name, ":");
	if (*names)
		*names = name[*length] ? name + *length + 1 : NULL;
	return name;
}

static int refuse(const char *address)
{
	if (!inherited.count)
		return error_set(-ENOENT,
		    "%.100s: no sockets were passed to this process "
		    "(LISTEN_FDS and LISTEN_PID are not set for it)",
		    address);
	return error_set(-ENOENT,
	    "%.100s: none of the %zu sockets that were passed has this "
	    "name; LISTEN_FDNAMES was \"%.100s\"",
	    address, inherited.count, inherited.names ? inherited.names : "");
}

int inherited_find(const char *address, int fds[static INHERITED_MAX])
{
	const char *wanted = address + strlen(prefix), *names;
	int count = 0, ret = inherited_check(address);

	if (ret)
		return ret;
	inherited_take();
	names = inherited.names;
	for (size_t i = 0; i < inherited.count; i++) {
		size_t length;
		const char *name = next_name(&names, &length);

		if (strlen(wanted) == length && !memcmp(name, wanted, length))
			fds[count++] = FIRST_FD + (int)i;
	}
	return count ? count : refuse(address);
}
