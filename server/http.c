/*
 * An HTTP server on GNU libmicrohttpd.
 *
 * Design notes. Why this library: it is GNU's, kept up, made to be embedded, and
 * says of each connection when it begins and ends, so that a limit to their
 * number and their time can be kept here; libevent's evhttp (2.1) tells neither,
 * and its time-out begins anew with each byte. It brings TLS, which is not used,
 * and so some 2.6 MB of libraries; they are loaded by who serves HTTP only.
 *
 * One thread has the listening socket, the library's descriptor and a wake-up in
 * one poll(2), accepts, and lets the library run, which has no thread of its own.
 * So nothing here is locked; the handler is called on that thread, too.
 *
 * To cut off a connection its socket is shut down, and the library finds that
 * out as if the peer had gone: it alone closes what it was given.
 */
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cratos/error.h>

#include "errgroup/clock.h"
#include "server/http.h"
#include "server/lazy.h"
#include "server/listener.h"

enum {
	ACCEPTS = 16, /* at a time */
	END_MS = 300, /* for streams to be read to their end */
	FULL_PAUSE_MS = 100, /* no descriptor, and nobody to cut off */
	FIRST_BODY = 256
};

/* ---- the library ---- */

#define LIBRARY "libmicrohttpd.so.12"
#define SYMBOLS(X)                           \
	X(MHD_start_daemon)                  \
	X(MHD_stop_daemon)                   \
	X(MHD_run)                           \
	X(MHD_get_timeout)                   \
	X(MHD_get_daemon_info)               \
	X(MHD_add_connection)                \
	X(MHD_get_connection_info)           \
	X(MHD_lookup_connection_value)       \
	X(MHD_lookup_connection_value_n)     \
	X(MHD_create_response_from_buffer)   \
	X(MHD_create_response_from_callback) \
	X(MHD_suspend_connection)            \
	X(MHD_resume_connection)             \
	X(MHD_add_response_header)           \
	X(MHD_queue_response)                \
	X(MHD_destroy_response)

#define MEMBER(name) __typeof__(name) *(name);
static struct {
	pthread_once_t once;
	bool loaded;
	char why[128];
	SYMBOLS(MEMBER)
} lib = {.once = PTHREAD_ONCE_INIT};

static void load(void)
{
#define SYMBOL(name) {#name, &lib.name},
	const struct lazy_symbol symbols[] = {SYMBOLS(SYMBOL)};

	lib.loaded = lazy_load(LIBRARY, symbols,
	    sizeof(symbols) / sizeof(*symbols), lib.why, sizeof(lib.why));
}

static int need_library(void)
{
	pthread_once(&lib.once, load);
	if (lib.loaded)
		return 0;
	return error_set(-ENOPKG,
	    "HTTP needs GNU libmicrohttpd (Debian: libmicrohttpd12): %s",
	    lib.why);
}

/* ---- a server ---- */

struct stream {
	struct http *http;
	struct connection *connection; /* NULL: it has gone */
	http_source_fn *source;
	void (*done)(void *arg);
	void *arg;
	int64_t said_ms; /* when something was said last */
	size_t at, used;
	char text[HTTP_STREAM_BYTES];
};

struct http_request {
	struct http *http;
	struct MHD_Connection *connection;
	int fd;
	const char *extra, *extra_value; /* a header of the answer */
	const char *method, *path;
	char *body;
	size_t body_size, body_room;
	bool begun, replied, too_large;
};

/* A place is free if there is no descriptor in it. */
struct connection {
	int fd; /* the library's; less than 0: none */
	int64_t since_ms, until_ms;
	bool cut;
	bool waits; /* its stream has nothing to say */
	struct stream *stream; /* NULL: it is none */
	struct http_request request;
};

struct http {
	struct listener listener;
	http_handler_fn *handler;
	void *arg;
	struct MHD_Daemon *daemon;
	int library_fd, wake;
	pthread_t thread;
	bool started;
	atomic_bool closing;
	bool ending; /* streams are at their end when they have said all */
	atomic_int waiting; /* how many streams are */
	int stream_count;
	int64_t paused_ms; /* nobody is accepted until then */
	struct connection connections[HTTP_CONNECTIONS];
};

static struct connection *find_connection(struct http *http, int fd)
{
	for (size_t i = 0; i < HTTP_CONNECTIONS; i++)
		if (http->connections[i].fd == fd)
			return &http->connections[i];
	return NULL;
}

/* ---- requests ---- */

const char *http_method(const struct http_request *request)
{
	return request->method;
}

const char *http_path(const struct http_request *request)
{
	return request->path;
}

const char *http_argument(const struct http_request *request, const char *name)
{
	const char *value = NULL;

	if (lib.MHD_lookup_connection_value_n(request->connection,
		MHD_GET_ARGUMENT_KIND, name, strlen(name), &value,
		NULL) != MHD_YES)
		return NULL;
	return value ? value : "";
}

const char *http_header(const struct http_request *request, const char *name)
{
	return lib.MHD_lookup_connection_value(request->connection,
	    MHD_HEADER_KIND, name);
}

/* The response is given away. */
static enum MHD_Result finish(struct http_request *request, int status,
    const char *type, struct MHD_Response *response)
{
	/* A second request on the connection is not to come. */
	enum MHD_Result ret =
	    lib.MHD_add_response_header(response, "Connection", "close");

	lib.MHD_add_response_header(response, "Content-Type", type);
	lib.MHD_add_response_header(response, "Cache-Control", "no-store");
	if (request->extra)
		lib.MHD_add_response_header(response, request->extra,
		    request->extra_value);
	if (ret == MHD_YES)
		ret = lib.MHD_queue_response(request->connection,
		    (unsigned)status, response);
	lib.MHD_destroy_response(response);
	return ret;
}

static enum MHD_Result queue(struct http_request *request, int status,
    const char *type, const char *text, size_t size)
{
	struct MHD_Response *response =
	    lib.MHD_create_response_from_buffer(size, (void *)text,
		MHD_RESPMEM_MUST_COPY);

	return response ? finish(request, status, type, response) : MHD_NO;
}

int http_fd(const struct http_request *request)
{
	return request->fd;
}

void http_add_header(struct http_request *request, const char *name,
    const char *value)
{
	request->extra = name;
	request->extra_value = value;
}

void http_reply(struct http_request *request, int status, const char *type,
    const char *text, size_t size)
{
	assert(!request->replied);
	request->replied = queue(request, status, type, text, size) == MHD_YES;
}

FILE *http_page_begin(struct http_page *page)
{
	page->text = NULL;
	page->out = open_memstream(&page->text, &page->size);
	return page->out;
}

bool http_page_reply(struct http_page *page, struct http_request *request,
    int status, const char *type)
{
	bool whole = page->out && !ferror(page->out);

	if (page->out)
		whole = !fclose(page->out) && whole;
	if (whole)
		http_reply(request, status, type, page->text, page->size);
	free(page->text);
	return whole;
}

/* ---- streams ---- */

static void go_on(struct connection *connection)
{
	struct http *http = connection->request.http;

	if (!connection->waits)
		return;
	connection->waits = false;
	http->waiting--;
	connection->until_ms = clock_deadline_ms(HTTP_TIME_MS);
	lib.MHD_resume_connection(connection->request.connection);
}

/* False if there is nothing to say now. */
static bool refill(struct stream *stream, ssize_t *size)
{
	int64_t now_ms = clock_ms();

	*size = stream->source(stream->arg, stream->text);
	if (!*size && stream->http->ending)
		*size = -1;
	if (!*size && now_ms - stream->said_ms >= HTTP_BEAT_MS)
		stream->text[(*size)++] = '\n';
	if (!*size)
		return false;
	stream->said_ms = now_ms;
	stream->at = 0;
	stream->used = *size > 0 ? (size_t)*size : 0;
	return true;
}

/*
 * False if it waits. Who has news looks at `waiting` after it has put them there:
 * so it is counted first, and then looked once more.
 */
static bool has_news(struct stream *stream, ssize_t *size)
{
	struct connection *connection = stream->connection;

	if (refill(stream, size))
		return true;
	stream->http->waiting++;
	if (refill(stream, size)) {
		stream->http->waiting--;
		return true;
	}
	connection->waits = true;
	lib.MHD_suspend_connection(connection->request.connection);
	return false;
}

static ssize_t read_stream(void *arg, uint64_t position, char *text,
    size_t most)
{
	struct stream *stream = arg;
	ssize_t size;

	(void)position;
	if (stream->at == stream->used) {
		if (!has_news(stream, &size))
			return 0;
		if (size < 0)
			return MHD_CONTENT_READER_END_OF_STREAM;
	}
	stream->connection->until_ms = clock_deadline_ms(HTTP_TIME_MS);
	size = (ssize_t)(stream->used - stream->at);
	if ((size_t)size > most)
		size = (ssize_t)most;
	memcpy(text, stream->text + stream->at, (size_t)size);
	stream->at += (size_t)size;
	return size;
}

static void free_stream(void *arg)
{
	struct stream *stream = arg;

	if (stream->connection)
		stream->connection->stream = NULL;
	stream->http->stream_count--;
	stream->done(stream->arg);
	free(stream);
}

static struct stream *new_stream(struct http_request *request,
    http_source_fn *source, void (*done)(void *arg), void *arg)
{
	struct stream *stream = malloc(sizeof(*stream));

	if (!stream)
		return NULL;
	stream->connection =
	    (struct connection *)((char *)request -
				  offsetof(struct connection, request));
	stream->http = request->http;
	stream->source = source;
	stream->done = done;
	stream->arg = arg;
	stream->said_ms = clock_ms();
	stream->at = stream->used = 0;
	return stream;
}

void http_stream(struct http_request *request, const char *type,
    http_source_fn *source, void (*done)(void *arg), void *arg)
{
	static const char busy[] = "too many streams\n";
	struct stream *stream = NULL;
	struct MHD_Response *response = NULL;

	if (request->http->stream_count < HTTP_STREAMS)
		stream = new_stream(request, source, done, arg);
	if (stream)
		response =
		    lib.MHD_create_response_from_callback(MHD_SIZE_UNKNOWN,
			HTTP_STREAM_BYTES, read_stream, stream, free_stream);
	if (!response) {
		free(stream);
		done(arg);
		http_reply(request, 503, "text/plain", busy, strlen(busy));
		return;
	}
	stream->connection->stream = stream;
	request->http->stream_count++;
	request->replied = finish(request, 200, type, response) == MHD_YES;
}

void http_wake(struct http *http)
{
	if (http->waiting)
		eventfd_write(http->wake, 1);
}

static enum MHD_Result refuse(struct http_request *request, int status,
    const char *text)
{
	return queue(request, status, "text/plain; charset=utf-8", text,
	    strlen(text));
}

/* False without memory, or if it is too large. */
static bool take_body(struct http_request *request, const char *data,
    size_t size)
{
	size_t room = request->body_room ? request->body_room : FIRST_BODY;
	char *body;

	if (size > HTTP_BODY_MAX - request->body_size)
		return false;
	while (room < request->body_size + size)
		room *= 2;
	if (room > request->body_room) {
		body = realloc(request->body, room);
		if (!body)
			return false;
		request->body = body;
		request->body_room = room;
	}
	memcpy(request->body + request->body_size, data, size);
	request->body_size += size;
	return true;
}

static bool announces_too_much(const struct http_request *request)
{
	const char *text = http_header(request, "Content-Length");

	return text && strtoull(text, NULL, 10) > HTTP_BODY_MAX;
}

/*
 * The library calls this when it has the headers, with each piece of the body, and
 * when it has all of it.
 */
static enum MHD_Result handle(void *arg, struct MHD_Connection *connection,
    const char *url, const char *method, const char *version, const char *data,
    size_t *size, void **of_request)
{
	struct http *http = arg;
	struct connection *ours = *of_request;
	struct http_request *request;

	(void)version;
	if (!ours) {
		ours = find_connection(http,
		    lib.MHD_get_connection_info(connection,
			   MHD_CONNECTION_INFO_CONNECTION_FD)
			->connect_fd);
		if (!ours)
			return MHD_NO;
		*of_request = ours;
	}
	request = &ours->request;
	request->connection = connection;
	request->method = method;
	request->path = url;
	request->fd = ours->fd;
	request->http = http;
	if (!request->begun) {
		request->begun = true;
		return announces_too_much(request)
			   ? refuse(request, MHD_HTTP_CONTENT_TOO_LARGE,
				 "the body is too large\n")
			   : MHD_YES;
	}
	if (*size) {
		if (!request->too_large)
			request->too_large = !take_body(request, data, *size);
		*size = 0;
		return MHD_YES;
	}
	if (request->too_large)
		return refuse(request, MHD_HTTP_CONTENT_TOO_LARGE,
		    "the body is too large\n");
	http->handler(request, http->arg);
	return request->replied ? MHD_YES : MHD_NO;
}

/* ---- connections ---- */

static void forget(struct http *http, struct connection *connection)
{
	/* Its end is the library's to say. */
	if (connection->stream)
		connection->stream->connection = NULL;
	if (connection->waits)
		http->waiting--;
	free(connection->request.body);
	*connection = (struct connection){.fd = -1};
}

static void notify(void *arg, struct MHD_Connection *connection,
    void **socket_context, enum MHD_ConnectionNotificationCode what)
{
	struct http *http = arg;
	struct connection *ours;

	(void)socket_context;
	if (what != MHD_CONNECTION_NOTIFY_CLOSED)
		return;
	ours = find_connection(http, lib.MHD_get_connection_info(connection,
					    MHD_CONNECTION_INFO_CONNECTION_FD)
					 ->connect_fd);
	if (ours)
		forget(http, ours);
}

static void cut(struct connection *connection)
{
	connection->cut = true;
	shutdown(connection->fd, SHUT_RDWR);
	go_on(connection);
}

/* Streams last; of the others those who are there for long. */
static bool is_rather(const struct connection *a, const struct connection *b)
{
	if (!a->stream != !b->stream)
		return !a->stream;
	return a->since_ms < b->since_ms;
}

/* The oldest that is not on its way out; NULL: there is none. */
static struct connection *oldest(struct http *http)
{
	struct connection *found = NULL;

	for (size_t i = 0; i < HTTP_CONNECTIONS; i++) {
		struct connection *connection = &http->connections[i];

		if (connection->fd < 0 || connection->cut)
			continue;
		if (!found || is_rather(connection, found))
			found = connection;
	}
	return found;
}

static struct connection *free_place(struct http *http)
{
	struct connection *victim;

	if (!find_connection(http, -1)) {
		victim = oldest(http);
		if (victim)
			cut(victim);
		lib.MHD_run(http->daemon);
	}
	return find_connection(http, -1);
}

/* False if nobody more can be accepted now. */
static bool accept_one(struct http *http)
{
	struct connection *place = free_place(http), *victim;
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	socklen_t size = sizeof(address);
	int fd;

	if (!place)
		return false;
	fd = accept4(http->listener.fd, (struct sockaddr *)&address, &size,
	    SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		victim =
		    errno == EMFILE || errno == ENFILE ? oldest(http) : NULL;
		if (victim)
			cut(victim);
		if (errno != EAGAIN && errno != ECONNABORTED)
			http->paused_ms = clock_deadline_ms(FULL_PAUSE_MS);
		return false;
	}
	*place = (struct connection){.fd = fd,
	    .since_ms = clock_ms(),
	    .until_ms = clock_deadline_ms(HTTP_TIME_MS)};
	/* It closes the socket if it cannot take it. */
	if (lib.MHD_add_connection(http->daemon, fd,
		(struct sockaddr *)&address, size) != MHD_YES)
		forget(http, place);
	return true;
}

/* When something is to be done about it. */
static int64_t due_ms(const struct connection *connection)
{
	return connection->waits ? connection->stream->said_ms + HTTP_BEAT_MS
				 : connection->until_ms;
}

/*
 * Cuts off those whose time is over, and has streams say that they are there;
 * when the next one's is.
 */
static int64_t check_time(struct http *http, int64_t now_ms)
{
	int64_t next_ms = INT64_MAX;

	for (size_t i = 0; i < HTTP_CONNECTIONS; i++) {
		struct connection *connection = &http->connections[i];

		if (connection->fd < 0 || connection->cut)
			continue;
		if (now_ms >= due_ms(connection) && connection->waits)
			go_on(connection);
		else if (now_ms >= due_ms(connection))
			cut(connection);
		else if (due_ms(connection) < next_ms)
			next_ms = due_ms(connection);
	}
	return next_ms;
}

static void wake_streams(struct http *http)
{
	for (size_t i = 0; i < HTTP_CONNECTIONS; i++)
		if (http->connections[i].fd >= 0)
			go_on(&http->connections[i]);
}

/* ---- the thread ---- */

static int timeout_ms(struct http *http)
{
	int64_t now_ms = clock_ms(), next_ms = check_time(http, now_ms);
	MHD_UNSIGNED_LONG_LONG wanted;

	if (http->paused_ms && http->paused_ms < next_ms)
		next_ms = http->paused_ms;
	if (lib.MHD_get_timeout(http->daemon, &wanted) == MHD_YES &&
	    (next_ms == INT64_MAX || wanted < (uint64_t)(next_ms - now_ms)))
		return wanted < INT32_MAX ? (int)wanted : INT32_MAX;
	if (next_ms == INT64_MAX)
		return -1;
	return next_ms > now_ms ? (int)(next_ms - now_ms) : 0;
}

static void turn(struct http *http, int timeout)
{
	bool accepts = !http->paused_ms && !http->ending;
	struct pollfd fds[] = {{.fd = http->wake, .events = POLLIN},
	    {.fd = http->library_fd, .events = POLLIN},
	    {.fd = accepts ? http->listener.fd : -1, .events = POLLIN}};
	eventfd_t unused;

	if (poll(fds, sizeof(fds) / sizeof(*fds), timeout) < 0)
		return;
	if (fds[0].revents && !eventfd_read(http->wake, &unused))
		wake_streams(http);
	if (http->paused_ms && clock_ms() >= http->paused_ms)
		http->paused_ms = 0;
	for (int i = 0; i < ACCEPTS && fds[2].revents; i++)
		if (!accept_one(http))
			break;
	lib.MHD_run(http->daemon);
}

/* The last words are for those who listen: at the end is what they wait for. */
static void end_streams(struct http *http)
{
	int64_t end_ms = clock_deadline_ms(END_MS);
	int64_t left_ms = END_MS;

	http->ending = true;
	wake_streams(http);
	lib.MHD_run(http->daemon);
	for (; http->stream_count && left_ms > 0;
	     left_ms = end_ms - clock_ms()) {
		int wait_ms = timeout_ms(http);

		turn(http,
		    wait_ms < 0 || wait_ms > left_ms ? (int)left_ms : wait_ms);
	}
}

static void *serve(void *arg)
{
	struct http *http = arg;

	while (!http->closing)
		turn(http, timeout_ms(http));
	end_streams(http);
	return NULL;
}

static void say_nothing(void *arg, const char *fmt, va_list ap)
{
	(void)arg;
	(void)fmt;
	(void)ap;
}

/* ---- from begin to end ---- */

static int start_library(struct http *http)
{
	const union MHD_DaemonInfo *info;

	http->daemon =
	    lib.MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
				     MHD_ALLOW_SUSPEND_RESUME,
		0, NULL, NULL, handle, http, MHD_OPTION_EXTERNAL_LOGGER,
		say_nothing, NULL, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)HTTP_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HTTP_MEMORY, MHD_OPTION_NOTIFY_CONNECTION, notify, http,
		MHD_OPTION_END);
	if (!http->daemon)
		return error_set(-ENOMEM, "HTTP: libmicrohttpd does not start");
	info = lib.MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	http->library_fd = info->epoll_fd;
	return 0;
}

int http_open(struct http **http, const char *address, mode_t mode,
    http_handler_fn *handler, void *arg)
{
	int ret = need_library();
	struct http *new;

	*http = NULL;
	if (ret)
		return ret;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	listener_init(&new->listener);
	new->listener.mode = mode;
	new->handler = handler;
	new->arg = arg;
	new->wake = -1;
	for (size_t i = 0; i < HTTP_CONNECTIONS; i++)
		new->connections[i].fd = -1;
	ret = listener_open(&new->listener, address, SOMAXCONN);
	if (!ret) {
		new->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ret = new->wake < 0 ? -errno : start_library(new);
	}
	if (ret)
		http_close(&new);
	*http = new;
	return ret;
}

int http_start(struct http *http)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	ret = pthread_create(&http->thread, NULL, serve, http);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret)
		return -ret;
	http->started = true;
	pthread_setname_np(http->thread, "cratos-http");
	return 0;
}

const char *http_url(const struct http *http)
{
	return http->listener.url;
}

void http_close(struct http **http)
{
	struct http *old = *http;

	if (!old)
		return;
	*http = NULL;
	if (old->started) {
		old->closing = true;
		eventfd_write(old->wake, 1);
		pthread_join(old->thread, NULL);
	}
	/* Nobody new, then who is there. */
	listener_close(&old->listener);
	if (old->daemon)
		lib.MHD_stop_daemon(old->daemon);
	if (old->wake >= 0)
		close(old->wake);
	for (size_t i = 0; i < HTTP_CONNECTIONS; i++)
		free(old->connections[i].request.body);
	free(old);
}
