/*
 * Servers: what an app runs.
 *
 * A server is a start function, most often a stop function, and their
 * argument. app_run (app.h) calls them as tasks, each server's on its own:
 *
 *   start  begins to serve. It may block for as long as the server serves, or
 *          return 0 once the server is up (a server with threads of its own,
 *          or one that only sets something up). An error from start ends the
 *          app.
 *   stop   ends the serving: it makes a blocking start return, and waits
 *          until what runs is done or its context is. It is called exactly
 *          once, after start has been called, also when start has failed; it
 *          may be called while start still runs, and always is for a start
 *          that blocks; it may even overtake the first instruction of start.
 *
 * Both get a context that carries the app and the values of the app's parent.
 * start's outlives the request to stop, so that the server can drain: it is
 * cancelled when the time to stop is over, or, if the server has no stop
 * function, at once, as its request to stop. stop's is live until the time to
 * stop is over.
 *
 * A daemon author's checklist: let start block on something that stop can
 * end (a context, a descriptor); let stop return by the deadline of its
 * context; free what both use after app_run has returned.
 */
#ifndef CRATOS_SERVER_H
#define CRATOS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cratos/context.h>
#include <cratos/errgroup.h>

#ifdef __cplusplus
extern "C" {
#endif

struct server {
	/* Up to 31 bytes, unique in its app: it is an error's origin. */
	const char *name;
	task_fn *start;
	task_fn *stop;
	task_fn *reload; /* reserved: not called by this version */
	/*
	 * Writes the server's URL ("tcp://127.0.0.1:8080") to url, and returns
	 * 0 or a negative errno, -ENAMETOOLONG if size is too small. Called
	 * before any start, so a server that listens binds here at the latest
	 * (the tcp server does); an error ends the app. -EAGAIN says that the
	 * URL is known only when the server is ready: it is asked again then.
	 */
	int (*endpoint)(void *arg, char *url, size_t size);
	void *arg; /* for all functions; borrowed until app_free */
	/* NULL-terminated names of servers that must be ready before. */
	const char *const *after;
	/* Ready only once it calls server_ready, not when its start runs. */
	bool notifies;
	/*
	 * Time to become ready, and time for stop, in ms. 0 is the app's; less
	 * is no limit of its own. The app's time to stop is the upper bound.
	 */
	int64_t start_timeout_ms, stop_timeout_ms;
	/*
	 * The last resort: called on the thread of app_run right before the
	 * process is ended by force (a second signal, a stop that is stuck),
	 * so that nothing the server has started stays behind. May be NULL;
	 * must not block.
	 */
	void (*kill)(void *arg);
};

/*
 * Tells the app that the server that was given ctx (or a context made from it)
 * is ready. Needed only if the server says that it notifies; more than one
 * call is one. Does not block; from any thread, while start or stop runs.
 * -EINVAL if ctx is not of a server that an app runs.
 */
int server_ready(struct context *ctx);

/* The name of the server that was given ctx, or NULL. Lives as its app. */
const char *server_name(const struct context *ctx);

/*
 * A server that needs no thread: from its start (or from a watch function) it
 * has the app's loop watch descriptors, and returns 0. The server then counts
 * as serving, as if start blocked, until one of its watch functions ends it.
 *
 * fn(fd, arg) is called on the thread of app_run whenever fd polls readable,
 * never two at a time; it must not block, since signals and deadlines wait
 * meanwhile. It returns SERVER_WATCH_ON to go on, SERVER_WATCH_OFF to be
 * called no more, or 0 or a negative errno to end the server with that result,
 * as if start returned it; that drops all its watches.
 *
 * On success the descriptor is the app's, which closes it when it is no longer
 * watched; fn must not. (Only so it is closed neither too early, when its
 * number could be another's before the app has let go of it, nor too late.)
 *
 * Returns 0, -EINVAL if ctx is not of a server that an app runs, or what
 * epoll_ctl(2) reports (-ENOMEM, -ENOSPC); then fd is still the caller's.
 */
typedef int server_watch_fn(int fd, void *arg);
enum { SERVER_WATCH_ON = 1, SERVER_WATCH_OFF = 2 };
int server_watch(struct context *ctx, int fd, server_watch_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
