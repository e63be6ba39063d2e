/*
 * A stream server.
 *
 * Design notes. start is the loop: it accepts, hands each connection to a task
 * of a group, and owns all that a run needs. stop and the connections' ends
 * come from other threads. `lock` guards what they share; it is held for a few
 * instructions or a shutdown(2), never while the handler runs. `bind_lock`
 * guards the listener; names are resolved under it, so stop does not take it.
 * Lock order: lock, then those of contexts.
 *
 * The limit counts connections, from accept until the handler has returned. It
 * is kept here, so that the loop knows when not to accept, and by the group,
 * whose tasks end a moment later: errgroup_go waits for that moment.
 *
 * No wake-up is lost: the loop looks at the state and says that it wants to
 * hear of ends (`wanting`) in one hold of the lock; an end changes the state
 * and looks at `wanting` in another, and then writes to an eventfd, which
 * stays readable until the loop has read it, before it looks again.
 *
 * A connection's descriptor is closed after it was unlinked under the lock, so
 * whoever cuts off, under the lock, never meets one that was given to somebody
 * else. An accepted one is never lost: what it needs is allocated before, and
 * if no thread is to be had for it, it stays at hand and is tried again.
 *
 * Contexts: start's is the parent of `cut`, which ends all connections; their
 * contexts, with the connection as value, and `drain` are its children.
 *
 * stop waits on a context of its own making, below its own: start's end cancels
 * it. So it needs no descriptor, which might be what the process is short of.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cratos/tcp.h>

#include "errgroup/clock.h"
#include "server/listener.h"
#include "server/turn.h"

enum {
	NO_FD = -1,
	DEFAULT_CONNECTIONS = 1024,
	/* Until the next try when descriptors, memory or threads are short. */
	PAUSE_MS = 100
};

/* A loop's step that has nothing more to do for now. */
enum { STEP_WAIT = 1 };

struct connection {
	struct tcp *tcp;
	struct context *ctx;
	int fd;
	TAILQ_ENTRY(connection) link; /* guarded by tcp->lock */
};

struct tcp {
	/* constant */
	char *address;
	tcp_handler_fn *handler;
	void *arg;
	int max_connections, backlog;
	pthread_mutex_t bind_lock;
	struct listener listener; /* guarded by bind_lock */
	pthread_mutex_t lock;
	pthread_cond_t over;
	atomic_int connections; /* changed under lock */
	/* guarded by lock */
	struct turn turn;
	bool running; /* from start's first instruction to its last */
	bool told, wanting;
	TAILQ_HEAD(, connection) live;
	int cut_count, cut_of; /* connections cut off, of how many */
	bool is_cut;
	int wake; /* eventfd, while running */
	struct context *cut, *drain, *stopper;
};

/* The loop's own. */
struct run {
	struct tcp *tcp;
	struct context *ctx;
	struct errgroup *group;
	int ctx_fd;
	struct connection *spare; /* for the next accept */
	struct connection *pending; /* accepted, waits for a thread */
	int64_t pause_until_ms; /* 0: no pause */
};

static const char connection_key;

/* ---- connections ----------------------------------------------------------- */

static struct connection *connection_new(struct tcp *tcp)
{
	struct connection *conn = malloc(sizeof(*conn));

	if (!conn)
		return NULL;
	*conn = (struct connection){.tcp = tcp, .fd = NO_FD};
	conn->ctx = context_with_value(tcp->cut, &connection_key, conn);
	if (!conn->ctx) {
		free(conn);
		return NULL;
	}
	return conn;
}

static void connection_free(struct connection **conn)
{
	struct connection *old = *conn;

	if (!old)
		return;
	*conn = NULL;
	context_free(&old->ctx);
	if (old->fd != NO_FD)
		close(old->fd);
	free(old);
}

static void connection_begin(struct connection *conn)
{
	struct tcp *tcp = conn->tcp;

	pthread_mutex_lock(&tcp->lock);
	TAILQ_INSERT_TAIL(&tcp->live, conn, link);
	atomic_fetch_add(&tcp->connections, 1);
	if (tcp->told)
		tcp->cut_of++;
	if (tcp->is_cut)
		shutdown(conn->fd, SHUT_RDWR);
	pthread_mutex_unlock(&tcp->lock);
}

static void connection_end(struct connection *conn)
{
	struct tcp *tcp = conn->tcp;
	bool wanted;

	pthread_mutex_lock(&tcp->lock);
	TAILQ_REMOVE(&tcp->live, conn, link);
	atomic_fetch_sub(&tcp->connections, 1);
	wanted = tcp->wanting;
	tcp->wanting = false;
	pthread_mutex_unlock(&tcp->lock);
	connection_free(&conn);
	/* Now that its descriptor is free for the next. */
	if (wanted)
		eventfd_write(tcp->wake, 1);
}

static int serve(struct context *group_ctx, void *arg)
{
	struct connection *conn = arg;

	(void)group_ctx;
	conn->tcp->handler(conn->ctx, conn->fd, conn->tcp->arg);
	connection_end(conn);
	return 0;
}

/* Under the lock: ends all that is left. Once a run. */
static void cut_off(struct tcp *tcp)
{
	struct connection *conn;
	int count = atomic_load(&tcp->connections);

	if (tcp->is_cut)
		return;
	tcp->is_cut = true;
	tcp->cut_count = count;
	if (!tcp->told)
		tcp->cut_of = count;
	if (tcp->cut)
		context_cancel(tcp->cut, NULL);
	TAILQ_FOREACH(conn, &tcp->live, link)
		shutdown(conn->fd, SHUT_RDWR);
}

static int was_cut_off(const struct tcp *tcp)
{
	if (!tcp->cut_count)
		return 0;
	return error_set(-ETIMEDOUT,
	    "cut off %d of %d connections at the deadline", tcp->cut_count,
	    tcp->cut_of);
}

/* ---- the loop --------------------------------------------------------------- */

static void pause_run(struct run *run)
{
	run->pause_until_ms = clock_deadline_ms(PAUSE_MS);
}

/* Gives run->pending to a thread, or leaves it there for a while. */
static void hand_over(struct run *run)
{
	if (errgroup_go(run->group, serve, run->pending))
		pause_run(run);
	else
		run->pending = NULL;
}

/* What accept(2) says of one connection, or of nothing, and not of us. */
static bool is_passing(int code)
{
	switch (code) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ETIMEDOUT:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
		return true;
	default:
		return false;
	}
}

static bool is_shortage(int code)
{
	return code == EMFILE || code == ENFILE || code == ENOBUFS ||
	       code == ENOMEM;
}

/* One connection: 0, STEP_WAIT, or the listener's negative errno. */
static int accept_one(struct run *run)
{
	struct tcp *tcp = run->tcp;

	if (run->pause_until_ms || run->pending ||
	    atomic_load(&tcp->connections) >= tcp->max_connections)
		return STEP_WAIT;
	if (!run->spare)
		run->spare = connection_new(tcp);
	if (!run->spare) {
		pause_run(run);
		return STEP_WAIT;
	}
	run->spare->fd = accept4(tcp->listener.fd, NULL, NULL, SOCK_CLOEXEC);
	if (run->spare->fd >= 0) {
		run->pending = run->spare;
		run->spare = NULL;
		connection_begin(run->pending);
		hand_over(run);
		return 0;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return STEP_WAIT;
	if (is_passing(errno))
		return 0;
	if (!is_shortage(errno))
		return error_set(-errno, "accept on %s: %m", tcp->listener.url);
	pause_run(run);
	return STEP_WAIT;
}

static bool is_told(struct run *run)
{
	struct tcp *tcp = run->tcp;
	bool told;

	pthread_mutex_lock(&tcp->lock);
	told = tcp->told;
	pthread_mutex_unlock(&tcp->lock);
	return told || context_err(run->ctx);
}

/*
 * Sleeps until something may have changed. In a pause, at the limit and once
 * told to stop, that is the end of a connection, too.
 */
static void sleep_until_changed(struct run *run, bool accepting, bool cut)
{
	struct tcp *tcp = run->tcp;
	struct pollfd fds[3] = {{.fd = tcp->wake, .events = POLLIN},
	    {.fd = cut ? NO_FD : run->ctx_fd, .events = POLLIN},
	    {.fd = NO_FD, .events = POLLIN}};
	int64_t left_ms = -1;
	eventfd_t count;

	if (run->pause_until_ms) {
		left_ms = run->pause_until_ms - clock_ms();
		if (left_ms < 0)
			left_ms = 0;
	}
	pthread_mutex_lock(&tcp->lock);
	if (accepting && !run->pause_until_ms && !run->pending &&
	    atomic_load(&tcp->connections) < tcp->max_connections)
		fds[2].fd = tcp->listener.fd;
	tcp->wanting = fds[2].fd == NO_FD;
	pthread_mutex_unlock(&tcp->lock);
	poll(fds, 3, (int)left_ms);
	if (fds[0].revents)
		eventfd_read(tcp->wake, &count);
	if (fds[0].revents || clock_ms() >= run->pause_until_ms)
		run->pause_until_ms = 0;
	if (run->pending && !run->pause_until_ms)
		hand_over(run);
}

/* Until told to stop, or the listener is of no use any more. */
static int accept_all(struct run *run)
{
	int ret = 0;

	while (ret >= 0 && !is_told(run)) {
		ret = accept_one(run);
		if (ret == STEP_WAIT)
			sleep_until_changed(run, true, false);
	}
	return ret < 0 ? ret : 0;
}

/*
 * Who had connected before the stop is served, if there is room. New ones that
 * come all the time do not keep the server from stopping.
 */
static int accept_rest(struct run *run)
{
	int ret = 0;

	for (int i = 0; !ret && i < run->tcp->max_connections; i++)
		ret = context_err(run->ctx) ? STEP_WAIT : accept_one(run);
	return ret < 0 ? ret : 0;
}

static void close_listener(struct tcp *tcp)
{
	pthread_mutex_lock(&tcp->bind_lock);
	listener_close(&tcp->listener);
	pthread_mutex_unlock(&tcp->bind_lock);
}

/* Nothing comes in any more: waits for the connections, at most until ctx. */
static void drain_all(struct run *run, bool at_once)
{
	struct tcp *tcp = run->tcp;
	bool cut, left = true;

	while (left) {
		pthread_mutex_lock(&tcp->lock);
		if (at_once || context_err(run->ctx))
			cut_off(tcp);
		cut = tcp->is_cut;
		left = !TAILQ_EMPTY(&tcp->live);
		/* An end between here and the poll is told by wanting. */
		tcp->wanting = true;
		pthread_mutex_unlock(&tcp->lock);
		if (cut && run->pending) {
			connection_end(run->pending);
			run->pending = NULL;
			continue;
		}
		if (left)
			sleep_until_changed(run, false, cut);
	}
}

/* ---- a run's begin and end -------------------------------------------------- */

static int bind_listener(struct tcp *tcp)
{
	int ret = 0;

	pthread_mutex_lock(&tcp->bind_lock);
	if (tcp->listener.fd == NO_FD)
		ret = listener_open(&tcp->listener, tcp->address, tcp->backlog);
	pthread_mutex_unlock(&tcp->bind_lock);
	return ret;
}

/* 1 if there is a run to begin, 0 if it was stopped already. */
static int begin_run(struct tcp *tcp)
{
	int ret = -EBUSY;

	pthread_mutex_lock(&tcp->lock);
	if (!tcp->running) {
		tcp->running = turn_start(&tcp->turn);
		ret = tcp->running;
		tcp->told = tcp->wanting = tcp->is_cut = false;
		tcp->cut_count = tcp->cut_of = 0;
	}
	pthread_mutex_unlock(&tcp->lock);
	return ret < 0 ? error_set(ret, "runs already") : ret;
}

/* All that a run needs, before stop may see it. */
static int prepare(struct run *run)
{
	struct tcp *tcp = run->tcp;
	struct context *cut = context_with_cancel(run->ctx);
	struct context *drain = cut ? context_with_cancel(cut) : NULL;
	int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), wake_errno = errno;

	run->ctx_fd = context_fd(run->ctx);
	run->group = errgroup_new();
	pthread_mutex_lock(&tcp->lock);
	tcp->cut = cut;
	tcp->drain = drain;
	tcp->wake = wake;
	pthread_mutex_unlock(&tcp->lock);
	if (!drain || !run->group)
		return -ENOMEM;
	if (wake < 0)
		return -wake_errno;
	if (run->ctx_fd < 0)
		return run->ctx_fd;
	errgroup_set_limit(run->group, tcp->max_connections);
	return 0;
}

/* Joins the tasks, and lets stop go. Returns the run's result. */
static int end_run(struct run *run, int result)
{
	struct tcp *tcp = run->tcp;
	struct context *cut, *drain;

	if (run->group)
		errgroup_wait(run->group, NULL);
	errgroup_free(&run->group);
	connection_free(&run->spare);
	pthread_mutex_lock(&tcp->lock);
	cut = tcp->cut;
	drain = tcp->drain;
	tcp->cut = tcp->drain = NULL;
	if (tcp->wake != NO_FD)
		close(tcp->wake);
	tcp->wake = NO_FD;
	/* If stop has come, it has the words. */
	if (!result && !tcp->told)
		result = was_cut_off(tcp);
	tcp->running = false;
	if (tcp->stopper)
		context_cancel(tcp->stopper, NULL);
	pthread_cond_broadcast(&tcp->over);
	pthread_mutex_unlock(&tcp->lock);
	context_free(&drain);
	context_free(&cut);
	return result;
}

static int start(struct context *ctx, void *arg)
{
	struct tcp *tcp = arg;
	struct run run = {.tcp = tcp, .ctx = ctx};
	int ret = begin_run(tcp);

	if (!ret)
		close_listener(tcp); /* the endpoint may have opened it */
	if (ret <= 0)
		return ret;
	ret = prepare(&run);
	if (ret) {
		errno = -ret;
		error_set(ret, "listen %.150s: %m", tcp->address);
	} else {
		ret = bind_listener(tcp);
	}
	if (!ret) {
		server_ready(ctx);
		ret = accept_all(&run);
		if (!ret)
			ret = accept_rest(&run);
		context_cancel(tcp->drain, NULL);
	}
	close_listener(tcp);
	drain_all(&run, ret < 0);
	return end_run(&run, ret);
}

static int stop(struct context *ctx, void *arg)
{
	struct tcp *tcp = arg;
	struct context *stopper = context_with_cancel(ctx);
	int ret = 0;

	pthread_mutex_lock(&tcp->lock);
	if (!turn_stop(&tcp->turn) || !tcp->running)
		goto out;
	tcp->told = true;
	if (!tcp->is_cut)
		tcp->cut_of = atomic_load(&tcp->connections);
	tcp->stopper = stopper;
	if (tcp->wake != NO_FD)
		eventfd_write(tcp->wake, 1);
	pthread_mutex_unlock(&tcp->lock);
	if (stopper) /* without memory for one: no grace, but no hang */
		context_wait(stopper, -1);
	pthread_mutex_lock(&tcp->lock);
	tcp->stopper = NULL;
	if (tcp->running) /* so it was ctx that has ended */
		cut_off(tcp);
	while (tcp->running)
		pthread_cond_wait(&tcp->over, &tcp->lock);
	ret = was_cut_off(tcp);
out:
	pthread_mutex_unlock(&tcp->lock);
	context_free(&stopper);
	return ret;
}

/* ---- what users call -------------------------------------------------------- */

struct tcp *tcp_new(const struct tcp_options *options)
{
	struct tcp *tcp;
	int ret;

	if (!options->listen || !*options->listen || !options->handler) {
		error_set(-EINVAL, "a stream server without %s",
		    options->handler ? "an address" : "a handler");
		errno = EINVAL;
		return NULL;
	}
	ret = listener_check(options->listen);
	if (ret) {
		errno = -ret;
		return NULL;
	}
	tcp = calloc(1, sizeof(*tcp));
	if (!tcp)
		return NULL;
	tcp->address = strdup(options->listen);
	if (!tcp->address) {
		free(tcp);
		return NULL;
	}
	tcp->handler = options->handler;
	tcp->arg = options->arg;
	tcp->max_connections = options->max_connections > 0
				   ? options->max_connections
				   : DEFAULT_CONNECTIONS;
	tcp->backlog = options->backlog > 0 ? options->backlog : SOMAXCONN;
	tcp->wake = NO_FD;
	TAILQ_INIT(&tcp->live);
	listener_init(&tcp->listener);
	pthread_mutex_init(&tcp->bind_lock, NULL);
	pthread_mutex_init(&tcp->lock, NULL);
	pthread_cond_init(&tcp->over, NULL);
	return tcp;
}

void tcp_free(struct tcp **tcp)
{
	struct tcp *old = *tcp;

	if (!old)
		return;
	*tcp = NULL;
	assert(!old->running);
	listener_close(&old->listener);
	pthread_cond_destroy(&old->over);
	pthread_mutex_destroy(&old->lock);
	pthread_mutex_destroy(&old->bind_lock);
	free(old->address);
	free(old);
}

int tcp_endpoint(struct tcp *tcp, char *url, size_t size)
{
	int ret = 0, length;

	pthread_mutex_lock(&tcp->bind_lock);
	/* After a stop it says what was; only a start binds again. */
	if (!*tcp->listener.url)
		ret = listener_open(&tcp->listener, tcp->address, tcp->backlog);
	if (!ret) {
		length = snprintf(url, size, "%s", tcp->listener.url);
		if ((size_t)length >= size)
			ret = -ENAMETOOLONG;
	}
	pthread_mutex_unlock(&tcp->bind_lock);
	return ret;
}

static int endpoint(void *arg, char *url, size_t size)
{
	return tcp_endpoint(arg, url, size);
}

int tcp_connections(const struct tcp *tcp)
{
	return atomic_load(&tcp->connections);
}

struct context *tcp_drain(const struct context *ctx)
{
	struct connection *conn = context_value(ctx, &connection_key);

	return conn ? conn->tcp->drain : NULL;
}

struct server tcp_server(struct tcp *tcp, const char *name)
{
	return (struct server){
	    .name = name,
	    .start = start,
	    .stop = stop,
	    .endpoint = endpoint,
	    .arg = tcp,
	    .notifies = true, /* when it accepts */
	};
}
