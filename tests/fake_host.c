/* One server's host; see server/host.h for what a real one owes it. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/event.h"
#include "tests/fake_host.h"

static void tell(struct fake_host *host)
{
	eventfd_write(host->wake, 1);
}

static void be_ready(struct server_host *server_host)
{
	struct fake_host *host = (struct fake_host *)server_host;

	pthread_mutex_lock(&host->lock);
	host->ready_count++;
	tell(host);
	pthread_mutex_unlock(&host->lock);
}

static void take_failure(struct server_host *server_host, int code)
{
	struct fake_host *host = (struct fake_host *)server_host;

	pthread_mutex_lock(&host->lock);
	host->failure = error_of(code);
	tell(host);
	pthread_mutex_unlock(&host->lock);
}

static void take_extension(struct server_host *server_host, int64_t time_ms)
{
	struct fake_host *host = (struct fake_host *)server_host;

	pthread_mutex_lock(&host->lock);
	host->extended_ms = time_ms;
	tell(host);
	pthread_mutex_unlock(&host->lock);
}

static int watch(struct server_host *server_host, int fd, server_watch_fn *fn,
    void *arg)
{
	struct fake_host *host = (struct fake_host *)server_host;
	int ret = host->refuse_watch;

	pthread_mutex_lock(&host->lock);
	if (!ret && host->watch_count == FAKE_HOST_WATCHES)
		ret = -ENOSPC;
	if (!ret) {
		host->watches[host->watch_count++] =
		    (struct fake_watch){fd, fn, arg};
		tell(host);
	}
	pthread_mutex_unlock(&host->lock);
	return ret;
}

static void beat(struct server_host *server_host)
{
	(void)server_host;
}

static bool is_ending(const struct server_host *server_host)
{
	(void)server_host;
	return false;
}

void fake_host_init(struct fake_host *host, const struct server *server)
{
	static const struct server_host_ops ops = {.ready = be_ready,
	    .fail = take_failure,
	    .extend = take_extension,
	    .heartbeat = beat,
	    .watch = watch,
	    .ending = is_ending};

	*host = (struct fake_host){
	    .host = {.name = server->name, .ops = &ops},
	    .server = *server,
	    .lock = PTHREAD_MUTEX_INITIALIZER,
	};
	host->group = errgroup_new();
	host->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_ptr_nonnull(host->group);
	ck_assert_int_ge(host->wake, 0);
}

static void free_contexts(struct fake_host *host)
{
	context_free(&host->ctx);
	context_free(&host->life);
}

void fake_host_fini(struct fake_host *host)
{
	if (host->life)
		context_cancel(host->life, NULL);
	errgroup_wait(host->group, NULL);
	errgroup_free(&host->group);
	ck_assert_int_eq(host->watch_count, 0);
	free_contexts(host);
	close(host->wake);
}

/* With the lock held. */
static void end(struct fake_host *host, int code)
{
	host->ended = true;
	host->end = error_of(code);
	while (host->watch_count)
		close(host->watches[--host->watch_count].fd);
	tell(host);
}

static int run_start(struct context *ctx, void *arg)
{
	struct fake_host *host = arg;
	int code = host->server.start(host->ctx, host->server.arg);

	(void)ctx;
	pthread_mutex_lock(&host->lock);
	host->returned = true;
	tell(host);
	if (!host->ended && (code || !host->watch_count))
		end(host, code);
	pthread_mutex_unlock(&host->lock);
	return 0;
}

static int run_stop(struct context *ctx, void *arg)
{
	struct fake_host *host = arg;
	struct context *stop_ctx =
	    context_with_timeout(NULL, host->stop_timeout_ms);
	int code = host->server.stop(stop_ctx, host->server.arg);

	(void)ctx;
	context_free(&stop_ctx);
	pthread_mutex_lock(&host->lock);
	host->stopped = true;
	host->stop_err = error_of(code);
	tell(host);
	pthread_mutex_unlock(&host->lock);
	return 0;
}

void fake_host_start(struct fake_host *host)
{
	free_contexts(host);
	host->life = context_with_cancel(NULL);
	host->ctx =
	    context_with_value(host->life, &server_host_key, &host->host);
	ck_assert_ptr_nonnull(host->ctx);
	host->returned = host->ended = false;
	host->ready_count = 0;
	host->extended_ms = 0;
	host->failure.code = 0;
	ck_assert_int_eq(errgroup_go(host->group, run_start, host), 0);
}

void fake_host_stop(struct fake_host *host, int64_t timeout_ms)
{
	host->stopped = false;
	host->stop_timeout_ms = timeout_ms;
	ck_assert_int_eq(errgroup_go(host->group, run_stop, host), 0);
}

void fake_host_cancel(struct fake_host *host)
{
	context_cancel(host->life, NULL);
}

static void call(struct fake_host *host, const struct fake_watch *watched)
{
	int code = watched->fn(watched->fd, watched->arg);

	if (code == SERVER_WATCH_ON)
		return;
	pthread_mutex_lock(&host->lock);
	if (code != SERVER_WATCH_OFF) {
		end(host, code);
	} else {
		for (int i = 0; i < host->watch_count; i++)
			if (host->watches[i].fd == watched->fd)
				host->watches[i] =
				    host->watches[--host->watch_count];
		close(watched->fd);
	}
	pthread_mutex_unlock(&host->lock);
}

static bool is_done(struct fake_host *host,
    bool (*done)(struct fake_host *host))
{
	bool result;

	pthread_mutex_lock(&host->lock);
	result = done(host);
	pthread_mutex_unlock(&host->lock);
	return result;
}

static bool is_over(struct fake_host *host)
{
	return host->ended;
}

/* One round of the loop; true if there was something. */
static bool poll_once(struct fake_host *host)
{
	struct pollfd fds[FAKE_HOST_WATCHES + 1];
	struct fake_watch watches[FAKE_HOST_WATCHES];
	eventfd_t count;
	int n, ready;

	pthread_mutex_lock(&host->lock);
	n = host->watch_count;
	memcpy(watches, host->watches, sizeof(watches));
	pthread_mutex_unlock(&host->lock);
	for (int i = 0; i < n; i++)
		fds[i] = (struct pollfd){.fd = watches[i].fd, .events = POLLIN};
	fds[n] = (struct pollfd){.fd = host->wake, .events = POLLIN};
	ready = poll(fds, (nfds_t)n + 1, EVENT_PATIENCE_S * 1000);
	eventfd_read(host->wake, &count);
	for (int i = 0; i < n; i++)
		if (fds[i].revents && !is_done(host, is_over))
			call(host, &watches[i]);
	return ready > 0;
}

void fake_host_drive(struct fake_host *host,
    bool (*done)(struct fake_host *host))
{
	while (!is_done(host, done))
		ck_assert_msg(poll_once(host), "the server does not move");
}

static bool is_ready(struct fake_host *host)
{
	return host->ready_count || host->ended;
}

void fake_host_until_ready(struct fake_host *host)
{
	fake_host_drive(host, is_ready);
	ck_assert_msg(host->ready_count, "ended before it was ready: %s",
	    host->end.text);
}

static bool has_failed(struct fake_host *host)
{
	return host->failure.code || host->ended;
}

struct error fake_host_until_failed(struct fake_host *host)
{
	fake_host_drive(host, has_failed);
	ck_assert_msg(host->failure.code, "ended before it has failed: %s",
	    host->end.text);
	return host->failure;
}

static bool has_ended(struct fake_host *host)
{
	return host->ended && host->returned;
}

struct error fake_host_until_end(struct fake_host *host)
{
	fake_host_drive(host, has_ended);
	return host->end;
}

static bool is_stopped(struct fake_host *host)
{
	return host->stopped;
}

bool fake_host_is_stopped(struct fake_host *host)
{
	return is_done(host, is_stopped);
}

static bool has_stopped(struct fake_host *host)
{
	return host->stopped && has_ended(host);
}

struct error fake_host_until_stopped(struct fake_host *host)
{
	fake_host_drive(host, has_stopped);
	return host->stop_err;
}
