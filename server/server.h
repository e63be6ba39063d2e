/*
 * Servers: what an app runs.
 *
 * A server is a start function, most often a stop function, and their
 * argument. app_run (app.h) calls them as tasks, each server's on its own:
 *
 *   start  begins to serve. It may block for as long as the server serves, or
 *          return 0 once the server is up (a server with threads of its own,
 *          or one that only sets something up). An error from start is a
 *          failure of the server, and ends the app unless the server's
 *          policies below say otherwise.
 *   stop   ends the serving: it makes a blocking start return, and waits
 *          until what runs is done or its context is. It is called exactly
 *          once for each call of start, also when that has failed; it may be
 *          called while start still runs, and always is for a start that
 *          blocks; it may even overtake the first instruction of start.
 *
 * They return 0 or a negative errno. A number above 0 (a count, an errno that
 * lost its sign) is a programmer error, and is asserted: it aborts the process.
 * The same holds for reload and endpoint.
 *
 * A server that is restarted goes through start and stop again, never two of
 * its starts or stops at a time.
 *
 * Both get a context that carries the app and the values of the app's parent.
 * start's outlives the request to stop, so that the server can drain: it is
 * cancelled when the time to stop is over, or, if the server has no stop
 * function, at once, as its request to stop. stop's is live until the time to
 * stop is over. Neither may be used after both functions have returned.
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
#include <sys/types.h>

#include <cratos/context.h>
#include <cratos/errgroup.h>

#ifdef __cplusplus
extern "C" {
#endif

/* When a server that has ended by itself is started again. */
enum server_restart_when {
	SERVER_RESTART_NEVER,
	SERVER_RESTART_ON_FAILURE, /* after an error, and a start timeout */
	SERVER_RESTART_ALWAYS /* also when start has returned 0 */
};

/* Which servers are stopped, and started again, with it. */
enum server_restart_scope {
	SERVER_RESTART_ONE, /* none */
	SERVER_RESTART_DEPENDENTS, /* those that run and need it */
	SERVER_RESTART_ALL /* all that run, one-shots that are done included */
};

/*
 * The restart policy. A server is stopped before it is started again. The delay
 * before the first restart is delay_ms and doubles with each one up to
 * max_delay_ms, less a random part of up to a quarter; it starts anew once the
 * server was ready for stable_ms. If `limit` restarts have happened within
 * window_ms, the next one is not made: the server has failed for good, with
 * -ENOTRECOVERABLE. So has one whose start or stop does not return 1 s after
 * its deadline to stop, with -ETIMEDOUT. In all fields 0 is the default; less
 * is no delay, no stable time (each restart is a first one), no limit.
 */
struct server_restart {
	enum server_restart_when when;
	enum server_restart_scope scope;
	int64_t delay_ms; /* 100 ms */
	int64_t max_delay_ms; /* 30 s */
	int64_t stable_ms; /* 10 s */
	int limit; /* 5 */
	int64_t window_ms; /* 10 s */
};

/* What it means that start, or the last watch, has ended with 0. */
enum server_return {
	SERVER_STAYS_UP, /* its work goes on, or was done */
	SERVER_STOPS_APP /* the app's work is done: it stops, cleanly */
};

struct server {
	/* Up to 31 bytes, unique in its app: it is an error's origin. */
	const char *name;
	task_fn *start;
	task_fn *stop;
	/*
	 * Takes on a new configuration while the server runs; see
	 * server_reload_phase. NULL: nothing of it can change.
	 */
	task_fn *reload;
	/*
	 * Writes the server's URL ("tcp://127.0.0.1:8080") to url, and returns
	 * 0 or a negative errno, -ENAMETOOLONG if size is too small. Called
	 * before any start, so a server that listens binds here at the latest
	 * (the tcp server does); an error ends the app. -EAGAIN says that the
	 * URL is known only when the server is ready: it is asked again then.
	 */
	int (*endpoint)(void *arg, char *url, size_t size);
	void *arg; /* for all functions; borrowed until app_free */
	/*
	 * NULL-terminated names. The server is started when those in `after`
	 * are ready and those in `wants` are ready or have failed for good, and
	 * stopped before them. It needs what it is `after`: when such a server
	 * has failed for good, it has failed, too, with -ENOTCONN. Mind when
	 * those are ready: if they neither notify nor are one-shots, it is
	 * before their first line.
	 */
	const char *const *after;
	const char *const *wants;
	/* Ready only once it calls server_ready, not when its start runs. */
	bool notifies;
	/* Ready only once start, or the last watch, has ended with 0. */
	bool oneshot;
	/* When it has failed for good, the app goes on without it. */
	bool optional;
	enum server_return on_return;
	struct server_restart restart;
	/*
	 * Time to become ready, and time for stop, in ms. 0 is the app's; less
	 * is no limit of its own. The app's time to stop is the upper bound. A
	 * server that is not ready in time has failed.
	 */
	int64_t start_timeout_ms, stop_timeout_ms;
	/*
	 * The server promises to call server_heartbeat at least that often (in
	 * ms) from when it is ready until it is stopped; 0 and less: it
	 * promises nothing. While it does not keep that, the service manager's
	 * watchdog is not fed, and so ends the process in the end
	 * (app_options.no_manager); the app itself only tells of it.
	 */
	int64_t heartbeat_ms;
	/*
	 * The last resort: called on the thread of app_run right before the
	 * process is ended by force (a second signal, a stop that is stuck),
	 * so that nothing the server has started stays behind. May be NULL;
	 * must not block.
	 */
	void (*kill)(void *arg);
	/*
	 * The process that the server runs, 0 for none, for events and reports.
	 * From any thread; must neither block nor call what takes an app.
	 * NULL: it runs none.
	 */
	pid_t (*pid)(void *arg);
	/*
	 * Sends a signal to what the server runs: 0 or a negative errno, -ESRCH
	 * if nothing runs. As pid; NULL: it cannot be sent any.
	 */
	int (*signal)(void *arg, int signal);
	/*
	 * Writes to text what the server lacks to be ready, as far as it knows,
	 * or "": "tcp:127.0.0.1:80: Connection refused". For the error of a
	 * start timeout, for reports and states. As pid; NULL: it knows nothing.
	 */
	void (*lacks)(void *arg, char *text, size_t size);
	/*
	 * Called once when the app has let go of the server and its arg: when
	 * a reload has removed or replaced it, or was given up; else in
	 * app_free. NULL: arg stays the program's affair.
	 */
	void (*release)(void *arg);
};

/*
 * Tells the app that the server that was given ctx (or a context made from it)
 * is ready. Needed only if the server says that it notifies; more than one
 * call is one. Does not block; from any thread, while start or stop runs.
 * -EINVAL if ctx is not of a server that an app runs.
 */
int server_ready(struct context *ctx);

/*
 * Tells the app that the server has failed, with code and its words (see
 * error_set), though its start or its watches go on: what it says for itself is
 * not all there is to it. What follows is what follows an error of start, its
 * restart policy included; the server is stopped first. Nothing happens if it
 * is stopped or has ended already. Does not block; from any thread, while start
 * or a watch function runs. -EINVAL if ctx is not of a server that an app runs.
 */
int server_fail(struct context *ctx, int code);

/*
 * Asks for more time: while the server starts, its start_timeout_ms is over no
 * sooner than in time_ms from now; while it stops, its time to stop, within that
 * of the app. Does not block; from any thread, while start or stop runs. -EINVAL
 * if ctx is not of a server that an app runs.
 */
int server_extend(struct context *ctx, int64_t time_ms);

/*
 * A sign of life, see server.heartbeat_ms: to be called where the server's work
 * is done, not on a thread that lives on when that hangs. Costs a moment's lock,
 * and wakes nobody. Does not block; from any thread, while start or stop runs or
 * the server is up. -EINVAL if ctx is not of a server that an app runs. The
 * semantics are those of WatchdogSec= in systemd.service(5), by server.
 */
int server_heartbeat(struct context *ctx);

/*
 * Reload, in two phases, so that either all of the app has the new
 * configuration or none of it. server.reload is called to CHECK: it prepares
 * what it needs, and returns 0 or says why it cannot. When all servers agree it
 * is called to COMMIT, and the new configuration is in force; else those that
 * agreed are called to ABORT, and what they prepared is dropped. Exactly one of
 * the two follows a CHECK that returned 0. An error of COMMIT is a failure of
 * the server; one of ABORT means nothing. A COMMIT that is not over at its
 * context's deadline (app_options.reload_timeout_ms) ends the app. Servers are called one after the
 * other, beside their start, and beside stop if the app stops meanwhile.
 */
enum server_reload {
	SERVER_RELOAD_NONE, /* ctx is not of a reload */
	SERVER_RELOAD_CHECK,
	SERVER_RELOAD_COMMIT,
	SERVER_RELOAD_ABORT
};
enum server_reload server_reload_phase(const struct context *ctx);

/*
 * What the program's reload function has read (app_reload_config), or NULL. In
 * a call of server.reload only: a new server finds its configuration in its arg.
 */
void *server_reload_config(const struct context *ctx);

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
