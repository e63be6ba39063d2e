/* Listening sockets: parsing an address, binding it, leaving nothing behind. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cratos/error.h>

#include "errgroup/clock.h"
#include "server/inherited.h"
#include "server/listener.h"

enum { NO_FD = -1, SOCKET_FLAGS = SOCK_CLOEXEC | SOCK_NONBLOCK };
enum { DIR_LOCK_TRIES = 200, DIR_LOCK_PAUSE_MS = 10 };

void listener_init(struct listener *listener)
{
	*listener = (struct listener){.fd = NO_FD};
}

/* The words for a code: "listen ADDRESS: Address already in use". */
static int refuse(int code, const char *address)
{
	errno = -code;
	return error_set(code, "listen %.150s: %m", address);
}

/* ---- unix ------------------------------------------------------------------ */

/*
 * Between "nobody listens there" and the new socket that listens, another
 * process could see the same, or take the new one for dead. So all that happens
 * under a lock on the directory, which leaves no file behind. Who cannot get it
 * goes on without.
 */
static int lock_dir(const char *path)
{
	const struct timespec pause = {0, DIR_LOCK_PAUSE_MS * NS_PER_MS};
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < DIR_LOCK_TRIES; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK)
			break;
		nanosleep(&pause, NULL);
	}
	return fd;
}

/* 0 if nobody listens at addr, -EADDRINUSE if somebody does. */
static int probe(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCKET_FLAGS, 0);
	int ret;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ||
	    errno == EAGAIN || errno == EPROTOTYPE)
		ret = -EADDRINUSE;
	else
		ret = errno == ECONNREFUSED || errno == ENOENT ? 0 : -errno;
	close(fd);
	return ret;
}

static int remove_stale(const struct sockaddr_un *addr, const char *address)
{
	struct stat st;
	int ret;

	if (lstat(addr->sun_path, &st))
		return errno == ENOENT ? 0 : refuse(-errno, address);
	if (!S_ISSOCK(st.st_mode))
		return error_set(-EEXIST,
		    "listen %s: a file that is not a socket is there", address);
	ret = probe(addr);
	if (ret == -EADDRINUSE)
		return error_set(ret, "listen %s: in use by a running process",
		    address);
	if (!ret && unlink(addr->sun_path) && errno != ENOENT)
		ret = -errno;
	return ret ? refuse(ret, address) : 0;
}

static int bind_unix(int fd, const struct sockaddr_un *addr,
    const char *address)
{
	const struct sockaddr *sa = (const struct sockaddr *)addr;
	int ret;

	if (!bind(fd, sa, sizeof(*addr)))
		return 0;
	if (errno != EADDRINUSE)
		return refuse(-errno, address);
	ret = remove_stale(addr, address);
	if (ret)
		return ret;
	return bind(fd, sa, sizeof(*addr)) ? refuse(-errno, address) : 0;
}

static int listen_unix(struct listener *listener,
    const struct sockaddr_un *addr, const char *address, int backlog)
{
	struct stat st;
	int ret = bind_unix(listener->fd, addr, address);

	if (ret)
		return ret;
	if (!lstat(addr->sun_path, &st)) {
		memcpy(listener->path, addr->sun_path, sizeof(listener->path));
		listener->dev = st.st_dev;
		listener->ino = st.st_ino;
	}
	if (listener->mode && chmod(addr->sun_path, listener->mode))
		return refuse(-errno, address);
	return listen(listener->fd, backlog) ? refuse(-errno, address) : 0;
}

static int check_unix(const char *address)
{
	const char *path = address + strlen("unix:");
	const size_t size = sizeof(((struct sockaddr_un *)0)->sun_path);

	if (!*path)
		return error_set(-EINVAL, "listen %s: no path", address);
	if (strlen(path) >= size)
		return error_set(-ENAMETOOLONG,
		    "listen %.100s...: the path is longer than %zu bytes",
		    address, size - 1);
	return 0;
}

static int open_unix(struct listener *listener, const char *address,
    int backlog)
{
	const char *path = address + strlen("unix:");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int dir_fd, ret = check_unix(address);

	if (ret)
		return ret;
	strcpy(addr.sun_path, path);
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCKET_FLAGS, 0);
	if (listener->fd < 0)
		return refuse(-errno, address);
	/* Its file is made with that, less the umask: never with more. */
	if (listener->mode && fchmod(listener->fd, listener->mode))
		return refuse(-errno, address);
	dir_fd = lock_dir(path);
	ret = listen_unix(listener, &addr, address, backlog);
	if (dir_fd >= 0)
		close(dir_fd);
	if (!ret)
		snprintf(listener->url, sizeof(listener->url), "unix:%s", path);
	return ret;
}

/* ---- TCP ------------------------------------------------------------------- */

struct address {
	char host[NI_MAXHOST]; /* "": every address */
	char port[6];
	bool bracketed;
};

static int refuse_text(const char *text, const char *why)
{
	return error_set(-EINVAL, "listen %.100s: %s", text, why);
}

static int parse_port(struct address *address, const char *port,
    const char *text)
{
	size_t digits = strspn(port, "0123456789");

	if (!digits || port[digits] || digits >= sizeof(address->port) ||
	    atoi(port) > UINT16_MAX)
		return refuse_text(text, "the port is not one of 0 to 65535");
	strcpy(address->port, port);
	return 0;
}

static int parse(struct address *address, const char *text)
{
	const char *host = text, *end = strrchr(text, ':'), *port;

	address->bracketed = *text == '[';
	if (address->bracketed) {
		host++;
		end = strchr(host, ']');
		if (!end || end[1] != ':')
			return refuse_text(text, "not [address]:port");
	}
	if (!end)
		return refuse_text(text, "not host:port, unix:path or fd:name");
	port = end + (address->bracketed ? 2 : 1);
	if (!address->bracketed && memchr(host, ':', (size_t)(end - host)))
		return refuse_text(text, "IPv6 is written [address]:port");
	if ((size_t)(end - host) >= sizeof(address->host))
		return refuse_text(text, "the host's name is too long");
	if (address->bracketed && end == host)
		return refuse_text(text, "no address between the brackets");
	memcpy(address->host, host, (size_t)(end - host));
	address->host[end - host] = '\0';
	return parse_port(address, port, text);
}

/* Where a port 0 was bound before, the same is taken again. */
static void set_port(struct sockaddr *sa, in_port_t port)
{
	in_port_t *place = sa->sa_family == AF_INET6
			       ? &((struct sockaddr_in6 *)sa)->sin6_port
			       : &((struct sockaddr_in *)sa)->sin_port;

	if (!*place)
		*place = port;
}

static int try_address(struct listener *listener, struct sockaddr *sa,
    socklen_t length, bool both_families, int backlog)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCKET_FLAGS, 0);
	int on = 1, v6only = !both_families, ret;

	if (fd < 0)
		return -errno;
	set_port(sa, listener->port);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		goto fail;
	if (sa->sa_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)))
		goto fail;
	if (bind(fd, sa, length) || listen(fd, backlog))
		goto fail;
	listener->fd = fd;
	return 0;
fail:
	ret = -errno;
	close(fd);
	return ret;
}

/* One socket for both families; where there is no IPv6, one for IPv4. */
static int try_every_address(struct listener *listener, const char *port,
    int backlog)
{
	in_port_t number = htons((uint16_t)atoi(port));
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6,
	    .sin6_port = number,
	    .sin6_addr = IN6ADDR_ANY_INIT};
	struct sockaddr_in any = {.sin_family = AF_INET,
	    .sin_port = number,
	    .sin_addr.s_addr = htonl(INADDR_ANY)};
	int ret = try_address(listener, (struct sockaddr *)&any6, sizeof(any6),
	    true, backlog);

	if (ret != -EAFNOSUPPORT && ret != -EADDRNOTAVAIL &&
	    ret != -ENOPROTOOPT && ret != -EINVAL)
		return ret;
	return try_address(listener, (struct sockaddr *)&any, sizeof(any),
	    false, backlog);
}

/*
 * The first address of the name that can be bound. One in use ends the search:
 * the next could be bound, but a client may take the first.
 */
static int try_name(struct listener *listener, const struct address *address,
    const char *text, int backlog)
{
	struct addrinfo hints = {
	    .ai_flags = AI_PASSIVE | AI_NUMERICSERV |
			(address->bracketed ? AI_NUMERICHOST : 0),
	    .ai_family = address->bracketed ? AF_INET6 : AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *list;
	int ret = getaddrinfo(address->host, address->port, &hints, &list);

	if (ret && address->bracketed)
		return refuse_text(text,
		    "no IPv6 address between the brackets");
	if (ret == EAI_MEMORY)
		return refuse(-ENOMEM, text);
	if (ret)
		return error_set(-EADDRNOTAVAIL, "listen %.100s: %s", text,
		    gai_strerror(ret));
	for (struct addrinfo *at = list; at; at = at->ai_next) {
		ret = try_address(listener, at->ai_addr, at->ai_addrlen, false,
		    backlog);
		if (!ret || ret == -EADDRINUSE)
			break;
	}
	freeaddrinfo(list);
	return ret ? refuse(ret, text) : 0;
}

/* What was really bound. */
static int take_name(struct listener *listener, const char *text)
{
	struct sockaddr_storage addr = {0};
	socklen_t length = sizeof(addr);
	char host[INET6_ADDRSTRLEN + 32], port[6];
	bool v6;

	if (getsockname(listener->fd, (struct sockaddr *)&addr, &length))
		return refuse(-errno, text);
	if (getnameinfo((struct sockaddr *)&addr, length, host, sizeof(host),
		port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		return refuse(-ENOMEM, text);
	v6 = addr.ss_family == AF_INET6;
	snprintf(listener->url, sizeof(listener->url), "tcp://%s%s%s:%s",
	    v6 ? "[" : "", host, v6 ? "]" : "", port);
	listener->port = htons((uint16_t)atoi(port));
	return 0;
}

static int open_tcp(struct listener *listener, const char *text, int backlog)
{
	struct address address = {0};
	int ret = parse(&address, text);

	if (ret)
		return ret;
	if (*address.host) {
		ret = try_name(listener, &address, text, backlog);
	} else {
		ret = try_every_address(listener, address.port, backlog);
		if (ret)
			ret = refuse(ret, text);
	}
	return ret ? ret : take_name(listener, text);
}

/* ---- inherited ---- */

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? -errno : 0;
}

static int option(int fd, int name)
{
	socklen_t size = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, name, &value, &size) ? -1 : value;
}

/* Its file, if it has one, is of whoever has bound it. */
static int take_any_name(struct listener *listener, const char *text)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t length = sizeof(addr);

	if (option(listener->fd, SO_DOMAIN) != AF_UNIX)
		return take_name(listener, text);
	if (getsockname(listener->fd, (struct sockaddr *)&addr, &length))
		return refuse(-errno, text);
	if (!*addr.sun_path)
		*addr.sun_path = '@'; /* abstract */
	snprintf(listener->url, sizeof(listener->url), "unix:%.*s",
	    (int)(length - offsetof(struct sockaddr_un, sun_path)),
	    addr.sun_path);
	return 0;
}

/*
 * A copy, so that the socket goes on to listen while the server does not: who
 * connects then is served by its next start.
 */
static int open_inherited(struct listener *listener, const char *text)
{
	int fds[INHERITED_MAX], count = inherited_find(text, fds), ret;

	if (count < 0)
		return error_set(count, "listen %s", error_of(count).text);
	if (count > 1)
		return error_set(-EINVAL,
		    "listen %.100s: %d sockets that were passed have this "
		    "name, and one is wanted",
		    text, count);
	if (option(fds[0], SO_TYPE) != SOCK_STREAM ||
	    option(fds[0], SO_ACCEPTCONN) != 1)
		return error_set(-EINVAL,
		    "listen %.100s: what was passed is not a stream socket "
		    "that listens",
		    text);
	listener->fd = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	if (listener->fd < 0)
		return refuse(-errno, text);
	ret = set_nonblocking(listener->fd);
	return ret ? refuse(ret, text) : take_any_name(listener, text);
}

/* ---- all ------------------------------------------------------------------ */

static bool is_unix(const char *address)
{
	return !strncmp(address, "unix:", strlen("unix:"));
}

int listener_check(const char *address)
{
	struct address parsed;

	int ret;

	if (inherited_is_address(address)) {
		ret = inherited_check(address);
		return ret ? error_set(ret, "listen %s", error_of(ret).text)
			   : 0;
	}
	return is_unix(address) ? check_unix(address) : parse(&parsed, address);
}

int listener_open(struct listener *listener, const char *address, int backlog)
{
	int ret;

	if (inherited_is_address(address))
		ret = open_inherited(listener, address);
	else if (is_unix(address))
		ret = open_unix(listener, address, backlog);
	else
		ret = open_tcp(listener, address, backlog);
	if (ret)
		listener_close(listener);
	return ret;
}

void listener_close(struct listener *listener)
{
	struct stat st;

	/* While it still listens: nobody replaces the file between the two. */
	if (*listener->path && !lstat(listener->path, &st) &&
	    st.st_dev == listener->dev && st.st_ino == listener->ino)
		unlink(listener->path);
	*listener->path = '\0';
	if (listener->fd != NO_FD)
		close(listener->fd);
	listener->fd = NO_FD;
}
