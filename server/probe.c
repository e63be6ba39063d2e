/* Probes, read from texts. Nothing is looked up: names of hosts would block. */
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cratos/exec.h>

#include "server/probe.h"

enum { HTTP_PORT = 80, HOST_SIZE = 64 };

static const char *const forms[] = {
    [PROBE_FOR_READY] = "start, notify, fd:N, log:REGEX, delay:TIME, "
			"tcp:HOST:PORT, unix:PATH, http://HOST:PORT/PATH "
			"or exec:COMMAND",
    [PROBE_FOR_HEALTH] = "tcp:HOST:PORT, unix:PATH, http://HOST:PORT/PATH or "
			 "exec:COMMAND",
};

static int refuse(const char *text, const char *why)
{
	return error_set(-EINVAL, "%.80s: %s", text, why);
}

/* What follows the prefix, or NULL. */
static const char *after(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) ? NULL : text + length;
}

/* A number of digits only, from min to max; -1 if it is none. */
static int parse_number(const char *digits, size_t length, int min, int max)
{
	int number = 0;

	if (!length || length > 5)
		return -1;
	for (size_t i = 0; i < length; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return -1;
		number = 10 * number + digits[i] - '0';
	}
	return number < min || number > max ? -1 : number;
}

/* ---- fd and delay ---------------------------------------------------------- */

static int parse_fd(struct probe *probe, const char *number)
{
	probe->fd =
	    parse_number(number, strlen(number), PROBE_FD_MIN, PROBE_FD_MAX);
	return probe->fd < 0 ? refuse(probe->text,
				   "the descriptor is not one of 3 to 1023")
			     : 0;
}

/* "500ms", "1m30s": numbers with units, the larger ones first. */
static int parse_delay(struct probe *probe, const char *time)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
	const size_t count = sizeof(units) / sizeof(*units);
	size_t next = 0;

	do {
		size_t digits = strspn(time, "0123456789"), unit = next;
		size_t letters = strcspn(time + digits, "0123456789");
		int number = parse_number(time, digits, 0, 99999);

		while (unit < count &&
		       (strlen(units[unit].name) != letters ||
			   strncmp(units[unit].name, time + digits, letters)))
			unit++;
		if (number < 0 || unit == count)
			return refuse(probe->text,
			    "not a time such as 500ms, 2s or 1m30s");
		probe->delay_ms += number * units[unit].ms;
		time += digits + letters;
		next = unit + 1;
	} while (*time);
	return 0;
}

/* ---- addresses ------------------------------------------------------------- */

static void add_in(struct probe *probe, struct in_addr addr, int port)
{
	struct probe_address *at = &probe->addresses[probe->address_count++];

	at->size = sizeof(at->is.in);
	at->is.in.sin_family = AF_INET;
	at->is.in.sin_port = htons((uint16_t)port);
	at->is.in.sin_addr = addr;
}

static void add_in6(struct probe *probe, struct in6_addr addr, int port)
{
	struct probe_address *at = &probe->addresses[probe->address_count++];

	at->size = sizeof(at->is.in6);
	at->is.in6.sin6_family = AF_INET6;
	at->is.in6.sin6_port = htons((uint16_t)port);
	at->is.in6.sin6_addr = addr;
}

static int add_host(struct probe *probe, const char *host, bool bracketed,
    int port)
{
	struct in6_addr in6;
	struct in_addr in;

	if (bracketed) {
		if (inet_pton(AF_INET6, host, &in6) != 1)
			return refuse(probe->text,
			    "no IPv6 address between the brackets");
		add_in6(probe, in6, port);
	} else if (!strcmp(host, "localhost")) {
		add_in(probe, (struct in_addr){htonl(INADDR_LOOPBACK)}, port);
		add_in6(probe, in6addr_loopback, port);
	} else if (inet_pton(AF_INET, host, &in) == 1) {
		add_in(probe, in, port);
	} else {
		return refuse(probe->text,
		    "the host is neither a numeric address nor localhost; "
		    "names are not looked up");
	}
	return 0;
}

/*
 * "host:port", "[v6]:port", of length bytes. Without a port fallback is it, if
 * it is none the port must be there.
 */
static int parse_host(struct probe *probe, const char *at, size_t length,
    int fallback)
{
	const char *end = at + length, *host_end;
	bool bracketed = length && *at == '[';
	char host[HOST_SIZE];
	int port = fallback;

	at += bracketed;
	host_end = bracketed ? memchr(at, ']', (size_t)(end - at))
			     : memchr(at, ':', length);
	if (!host_end && (bracketed || !fallback))
		return refuse(probe->text, bracketed
					       ? "no ] after the ["
					       : "no port: it is host:port");
	if (!host_end)
		host_end = end;
	length = (size_t)(host_end - at);
	if (!length || length >= sizeof(host))
		return refuse(probe->text,
		    length ? "the host is too long" : "no host");
	memcpy(host, at, length);
	host[length] = '\0';
	at = host_end + bracketed;
	if (at == end && !fallback)
		return refuse(probe->text, "no port: it is host:port");
	if (!bracketed && at != end &&
	    memchr(at + 1, ':', (size_t)(end - at - 1)))
		return refuse(probe->text, "IPv6 is written [address]:port");
	if (at != end)
		port = *at != ':' ? -1
				  : parse_number(at + 1, (size_t)(end - at - 1),
					1, UINT16_MAX);
	if (port < 0)
		return refuse(probe->text, "the port is not one of 1 to 65535");
	return add_host(probe, host, bracketed, port);
}

/* "/path", "path" from dir, or "@name" of an abstract one. */
static int parse_unix(struct probe *probe, const char *path, const char *dir)
{
	struct probe_address *at = &probe->addresses[0];
	char *to = at->is.un.sun_path;
	bool joins = dir && *path != '/' && *path != '@';
	int length;

	if (!*path)
		return refuse(probe->text, "no path");
	length = snprintf(to, sizeof(at->is.un.sun_path), "%s%s%s",
	    joins ? dir : "", joins ? "/" : "", path);
	if ((size_t)length >= sizeof(at->is.un.sun_path))
		return refuse(probe->text, "the path has more than 107 bytes");
	at->is.un.sun_family = AF_UNIX;
	at->size = sizeof(at->is.un);
	if (*path == '@') {
		*to = '\0';
		at->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				       (size_t)length);
	}
	probe->address_count = 1;
	return 0;
}

/* ---- http and exec --------------------------------------------------------- */

static bool is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			return false;
	return true;
}

static int parse_http(struct probe *probe, const char *rest)
{
	size_t host = strcspn(rest, "/?#");
	const char *path = rest + host;
	int ret;

	if (!is_plain(rest))
		return refuse(probe->text,
		    "blanks and control characters are written %20 and the "
		    "like");
	ret = parse_host(probe, rest, host, HTTP_PORT);
	if (ret)
		return ret;
	ret = asprintf(&probe->request,
	    "GET %s%.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: cratos\r\n"
	    "Accept: */*\r\nConnection: close\r\n\r\n",
	    *path == '/' ? "" : "/", (int)strcspn(path, "#"), path, (int)host,
	    rest);
	if (ret < 0)
		probe->request = NULL;
	return ret < 0 ? -ENOMEM : 0;
}

static int parse_exec(struct probe *probe, const char *command)
{
	struct error err;

	probe->argv = exec_split(command, NULL);
	if (!probe->argv) {
		if (errno == ENOMEM)
			return -ENOMEM;
		err = error_of(-EINVAL);
		return refuse(probe->text, err.text);
	}
	return probe->argv[0][0] ? 0 : refuse(probe->text, "empty command");
}

/* ---- log ------------------------------------------------------------------- */

static int parse_log(struct probe *probe, const char *text)
{
	char why[80];
	int ret;

	if (!*text)
		return refuse(probe->text, "no regular expression");
	probe->regex = malloc(sizeof(*probe->regex));
	if (!probe->regex)
		return -ENOMEM;
	ret = regcomp(probe->regex, text, REG_EXTENDED | REG_NOSUB);
	if (!ret)
		return 0;
	regerror(ret, probe->regex, why, sizeof(why));
	free(probe->regex);
	probe->regex = NULL;
	return ret == REG_ESPACE ? -ENOMEM : refuse(probe->text, why);
}

/* ---- all of them ----------------------------------------------------------- */

static int parse_text(struct probe *probe, const char *dir)
{
	const char *text = probe->text, *rest;

	if (!strcmp(text, "start")) {
		probe->kind = PROBE_START;
		return 0;
	}
	if (!strcmp(text, "notify")) {
		probe->kind = PROBE_NOTIFY;
		return 0;
	}
	if ((rest = after(text, "fd:"))) {
		probe->kind = PROBE_FD;
		return parse_fd(probe, rest);
	}
	if ((rest = after(text, "log:"))) {
		probe->kind = PROBE_LOG;
		return parse_log(probe, rest);
	}
	if ((rest = after(text, "delay:"))) {
		probe->kind = PROBE_DELAY;
		return parse_delay(probe, rest);
	}
	if ((rest = after(text, "tcp:"))) {
		probe->kind = PROBE_TCP;
		return parse_host(probe, rest, strlen(rest), 0);
	}
	if ((rest = after(text, "unix:"))) {
		probe->kind = PROBE_UNIX;
		return parse_unix(probe, rest, dir);
	}
	if ((rest = after(text, "http://"))) {
		probe->kind = PROBE_HTTP;
		return parse_http(probe, rest);
	}
	if ((rest = after(text, "exec:"))) {
		probe->kind = PROBE_EXEC;
		return parse_exec(probe, rest);
	}
	return -ENOENT;
}

int probe_parse(struct probe *probe, const char *text, const char *dir,
    enum probe_use use)
{
	int ret;

	*probe = (struct probe){.kind = PROBE_START};
	if (!text)
		return 0;
	probe->text = strdup(text);
	if (!probe->text)
		return -ENOMEM;
	ret = parse_text(probe, dir);
	if (ret == -ENOENT ||
	    (!ret && use == PROBE_FOR_HEALTH && !probe_is_tried(probe)))
		return error_set(-EINVAL, "%.40s: not one of %s", text,
		    forms[use]);
	return ret;
}

void probe_fini(struct probe *probe)
{
	free(probe->text);
	free(probe->request);
	free(probe->argv);
	if (probe->regex)
		regfree(probe->regex);
	free(probe->regex);
	*probe = (struct probe){.kind = PROBE_START};
}

bool probe_is_tried(const struct probe *probe)
{
	return probe->kind >= PROBE_TCP;
}
