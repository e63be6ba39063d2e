/*
 * A client of the control socket.
 *
 * It asks in HTTP/1.0, so that the answer ends where the connection does. The
 * answer is the app's, which may be anybody's program: what is read of it has a
 * limit in size and in time.
 */
#include "cmd/cratos/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cratos/config.h>

#include "cmd/cratos/keys.h"

enum {
	ANSWER_MAX = 64 * 1024 * 1024,
	LINE_MAX_BYTES = 1024 * 1024,
	PATIENCE_S = 15
};

static int complain(int status, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static int complain(int status, const char *fmt, ...)
{
	va_list ap;

	fputs("cratos: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

/* ---- where it is ---- */

/* The control key of the file; what else is wrong with it is not our affair. */
static int find_in_file(struct client *client, const char *path)
{
	struct config *config = NULL;
	const struct app_keys *keys = NULL;
	const struct config_error *errors;
	char text[2048];
	size_t count;
	int status = CLIENT_DONE;

	config_load(path, file_sections, &config);
	if (!config)
		return complain(CLIENT_NOT_SO, "%s: out of memory", path);
	keys = config_get(config, "app");
	errors = config_errors(config, &count);
	if (!keys && count) {
		config_error_format(&errors[0], text, sizeof(text));
		status = complain(CLIENT_USAGE, "%s", text);
	} else if (!keys || !keys->control) {
		status = complain(CLIENT_USAGE,
		    "%s: [app] has no control = PATH, so nobody can ask it",
		    path);
	} else if (strlen(keys->control) >= sizeof(client->socket)) {
		status =
		    complain(CLIENT_USAGE, "%s: control is too long", path);
	} else {
		strcpy(client->socket, keys->control);
	}
	config_free(&config);
	return status;
}

int client_find(struct client *client, const char *where)
{
	struct stat st;

	if (!where)
		where = getenv("CRATOS_CONTROL");
	if (!where || !*where)
		return complain(CLIENT_USAGE,
		    "which app? say -s SOCKET, or -s FILE, or set "
		    "CRATOS_CONTROL");
	if (!stat(where, &st) && S_ISREG(st.st_mode))
		return find_in_file(client, where);
	if (strlen(where) >= sizeof(client->socket))
		return complain(CLIENT_USAGE, "%.40s...: the path is too long",
		    where);
	strcpy(client->socket, where);
	return CLIENT_DONE;
}

/* ---- asking ---- */

/* A negative errno if nobody is there. */
static int reach(const struct client *client)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ret;

	if (fd < 0)
		return -errno;
	strcpy(address.sun_path, client->socket);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

static int send_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		text += sent;
		size -= (size_t)sent;
	}
	return 0;
}

/* All that comes, as a string. */
static int receive_all(int fd, struct answer *answer)
{
	size_t room = 0, used = 0;
	ssize_t size;

	do {
		if (used + 1 >= room) {
			char *text;

			room = room ? 2 * room : 4096;
			text = room > ANSWER_MAX ? NULL
						 : realloc(answer->text, room);
			if (!text)
				return -ENOMEM;
			answer->text = text;
		}
		size = recv(fd, answer->text + used, room - used - 1, 0);
		if (size > 0)
			used += (size_t)size;
	} while (size > 0 || (size < 0 && errno == EINTR));
	if (size < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	answer->text[used] = '\0';
	answer->size = used;
	return 0;
}

/* Where the body begins, and what the status is. */
static int split(struct answer *answer)
{
	static const char version[] = "HTTP/1.";
	const char *end = strstr(answer->text, "\r\n\r\n");
	size_t length = strlen(version);

	if (!end || strncmp(answer->text, version, length) != 0 ||
	    strlen(answer->text) < length + 5)
		return -EPROTO;
	answer->status = atoi(answer->text + length + 1);
	answer->body = end + 4;
	answer->size -= (size_t)(answer->body - answer->text);
	return 0;
}

static int exchange(int fd, const char *method, const char *path,
    struct answer *answer)
{
	char *request;
	int ret;

	if (asprintf(&request,
		"%s %s HTTP/1.0\r\nHost: app\r\nContent-Length: 0\r\n\r\n",
		method, path) < 0)
		return -ENOMEM;
	ret = send_all(fd, request, strlen(request));
	free(request);
	if (!ret)
		ret = receive_all(fd, answer);
	return ret ? ret : split(answer);
}

static int no_app(const struct client *client, int code)
{
	bool forbidden = code == -EACCES || code == -EPERM;

	return complain(forbidden ? CLIENT_NO_RIGHT : CLIENT_NO_APP,
	    "%s: %s: no app answers there%s", client->socket, strerror(-code),
	    forbidden ? " for this user" : "");
}

int client_ask(const struct client *client, const char *method,
    const char *path, struct answer *answer, bool quiet)
{
	int fd = reach(client), ret = fd;

	*answer = (struct answer){0};
	if (json_need_library())
		ret = complain(-ENOPKG, "%s", error_of(-ENOPKG).text);
	else if (fd >= 0)
		ret = exchange(fd, method, path, answer);
	if (fd >= 0)
		close(fd);
	if (ret >= 0) {
		answer->value = json_parse(answer->body, answer->size);
		return CLIENT_DONE;
	}
	if (ret == -ENOPKG)
		return CLIENT_NOT_SO;
	if (quiet)
		return CLIENT_NO_APP;
	return no_app(client, ret);
}

/* ---- following ---- */

/* Buffered bytes of a connection. */
struct follower {
	int fd;
	size_t used, size;
	char *text;
};

/* One line without its end, NULL at the end of all; *ret says why. */
static char *next_line(struct follower *follower, size_t *taken, int *ret)
{
	for (;;) {
		char *end = follower->used
				? memchr(follower->text, '\n', follower->used)
				: NULL;
		ssize_t size;

		*ret = 0;
		if (end) {
			*end = '\0';
			*taken = (size_t)(end - follower->text) + 1;
			return follower->text;
		}
		if (follower->used + 1 >= follower->size) {
			size_t room =
			    follower->size ? 2 * follower->size : 8192;
			char *text = room > LINE_MAX_BYTES
					 ? NULL
					 : realloc(follower->text, room);

			*ret = -ENOMEM;
			if (!text)
				return NULL;
			follower->text = text;
			follower->size = room;
		}
		size = recv(follower->fd, follower->text + follower->used,
		    follower->size - follower->used, 0);
		if (size < 0 && errno == EINTR)
			continue;
		*ret = size < 0 ? -errno : 0;
		if (size <= 0)
			return NULL;
		follower->used += (size_t)size;
	}
}

static void take_line(struct follower *follower, size_t taken)
{
	follower->used -= taken;
	memmove(follower->text, follower->text + taken, follower->used);
}

/* The status of HTTP, and all lines of the head taken; or a negative errno. */
static int read_head(struct follower *follower)
{
	size_t taken;
	int ret, status = 0;
	char *line;

	while ((line = next_line(follower, &taken, &ret))) {
		bool last = !*line || !strcmp(line, "\r");

		if (!status)
			status = strlen(line) > 9 ? atoi(line + 9) : -EPROTO;
		take_line(follower, taken);
		if (last || status < 0)
			return status;
	}
	return ret ? ret : -EPROTO;
}

static int read_lines(struct follower *follower, bool is_error,
    int (*fn)(const json_t *line, void *arg), void *arg)
{
	size_t taken;
	int ret = 0, status = CLIENT_DONE;
	char *line;

	while (!status && (line = next_line(follower, &taken, &ret))) {
		json_t *value = json_parse(line, strlen(line));

		/* An empty one says only that the app is there. */
		if (value && is_error)
			status = complain(CLIENT_NOT_SO, "%s",
			    json_text_of(value, "error"));
		else if (value)
			status = fn(value, arg);
		json_drop(&value);
		take_line(follower, taken);
	}
	if (!status && is_error)
		return complain(CLIENT_NOT_SO, "it answers with an error");
	if (!status && ret == -EAGAIN)
		return complain(CLIENT_NO_APP, "the app does not answer");
	if (!status && ret)
		return complain(CLIENT_NO_APP, "the app has gone: %s",
		    strerror(-ret));
	return status;
}

int client_follow(const struct client *client, const char *path,
    int (*fn)(const json_t *line, void *arg), void *arg)
{
	struct follower follower = {.fd = reach(client)};
	char request[1024];
	int ret = follower.fd, status;

	if (json_need_library())
		return complain(CLIENT_NOT_SO, "%s", error_of(-ENOPKG).text);
	snprintf(request, sizeof(request),
	    "GET %s HTTP/1.0\r\nHost: app\r\n\r\n", path);
	if (ret >= 0)
		ret = send_all(follower.fd, request, strlen(request));
	if (!ret)
		ret = read_head(&follower);
	if (ret < 0)
		status = no_app(client, ret);
	else
		status = read_lines(&follower, ret != 200, fn, arg);
	if (ret == 404)
		status = CLIENT_NO_SERVER;
	if (follower.fd >= 0)
		close(follower.fd);
	free(follower.text);
	return status;
}

/* ---- what it means ---- */

int answer_check(const struct answer *answer)
{
	const char *why =
	    answer->value ? json_text_of(answer->value, "error") : "";

	if (answer->status >= 200 && answer->status < 300)
		return CLIENT_DONE;
	complain(CLIENT_NOT_SO, "%s", *why ? why : "it answers with an error");
	return answer->status == 404   ? CLIENT_NO_SERVER
	       : answer->status == 403 ? CLIENT_NO_RIGHT
				       : CLIENT_NOT_SO;
}

void answer_fini(struct answer *answer)
{
	json_drop(&answer->value);
	free(answer->text);
	*answer = (struct answer){0};
}
