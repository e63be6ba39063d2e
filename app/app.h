/*
 * The app: a daemon's servers, started together, stopped together.
 *
 *	app_new -> app_add_server, app_add_hook -> app_run -> app_free
 *
 * The order is that of kratos:
 *
 *	before-start hooks; all servers start at once; when all are ready:
 *	register, after-start hooks; wait for a signal, app_stop, the end of
 *	the parent context, or the first error; then, whatever it was:
 *	before-stop hooks, deregister, drain delay, all servers stop at once,
 *	after-stop hooks.
 *
 * app_run stays on the thread that calls it, which watches signals, deadlines
 * and the servers; every function of the program's runs on another, but for
 * on_event, watch functions and server.kill.
 */
#ifndef CRATOS_APP_H
#define CRATOS_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cratos/context.h>
#include <cratos/errgroup.h>
#include <cratos/error.h>
#include <cratos/server.h>

#ifdef __cplusplus
extern "C" {
#endif

struct app;

/*
 * What the app is to others: complete before the first hook runs, and never
 * changed; texts and lists live as long as the app.
 */
struct instance {
	const char *id, *name, *version; /* never NULL */
	const char *const *metadata; /* "key=value", NULL-terminated */
	const char *const *endpoints; /* URLs, NULL-terminated */
};

/*
 * Makes the app known to the world, once all servers are ready, and unknown
 * again before they stop. Both functions get a context with the registrar's
 * timeout; neither keeps the app from stopping. Deregistration follows a
 * registration that succeeded, and one that was cut off, whose outcome nobody
 * knows. An error of the first ends the app.
 */
struct registrar {
	int (*register_instance)(struct context *ctx,
	    const struct instance *instance, void *arg);
	int (*deregister_instance)(struct context *ctx,
	    const struct instance *instance, void *arg);
	void *arg; /* borrowed until app_free */
};

enum app_phase {
	APP_BEFORE_START,
	APP_AFTER_START,
	APP_BEFORE_STOP,
	APP_AFTER_STOP
};

/* Where an app is, in the order in which it gets there. */
enum app_state {
	APP_STATE_NEW,
	APP_STATE_PREPARING, /* endpoints are asked and bound */
	APP_STATE_BEFORE_START, /* before-start hooks run */
	APP_STATE_STARTING, /* servers start */
	APP_STATE_REGISTERING,
	APP_STATE_AFTER_START, /* after-start hooks run */
	APP_STATE_RUNNING,
	APP_STATE_BEFORE_STOP, /* before-stop hooks run */
	APP_STATE_DEREGISTERING,
	APP_STATE_DRAINING, /* the drain delay passes */
	APP_STATE_STOPPING, /* servers stop */
	APP_STATE_AFTER_STOP, /* after-stop hooks run */
	APP_STATE_DONE
};

enum app_event_type {
	APP_EVENT_STATE, /* the app is in another state */
	APP_EVENT_SIGNAL, /* signal: a stop signal came */
	APP_EVENT_SERVER_STARTING, /* server: its start is on its way */
	APP_EVENT_SERVER_READY, /* server, took_ms, endpoint or NULL */
	APP_EVENT_SERVER_RETURNED, /* server: start returned 0 */
	APP_EVENT_SERVER_FAILED, /* server, error: of start or stop */
	APP_EVENT_SERVER_STOPPING, /* server: its stop is on its way */
	APP_EVENT_SERVER_STOPPED, /* server, took_ms: stop and start are over */
	APP_EVENT_ERROR, /* error: of a hook, the registrar, the app */
	APP_EVENT_TIMEOUT, /* error: what is late, at a deadline */
	APP_EVENT_STUCK, /* error: who does not come back, in which phase; the
			    process ends after these */
	APP_EVENT_FORCED /* signal: a second one; the process ends after this */
};

/* A transition. Pointers hold during the call only; copy what is to stay. */
struct app_event {
	enum app_event_type type;
	enum app_state state; /* the app's */
	struct timespec time; /* CLOCK_REALTIME */
	int64_t took_ms; /* how long the step took that ends here */
	const char *server; /* NULL if it is not of a server */
	const char *endpoint;
	int signal;
	const struct error *error; /* NULL if there is none */
};

/* What to do when something does not come back 1 s after the deadline. */
enum app_stuck {
	APP_STUCK_EXIT, /* report it, then end the process with status 124 */
	APP_STUCK_WAIT /* report it, and wait for it for ever */
};

struct app_options { /* zero is the default everywhere */
	const char *id; /* NULL: a random UUID */
	const char *name, *version; /* NULL: "" */
	const char *const *metadata; /* "key=value", NULL-terminated */
	const char *const *endpoints; /* instead of what the servers say */
	struct context *parent; /* borrowed until app_run has returned */
	/*
	 * 0-terminated, the signals that stop the app; NULL: SIGTERM, SIGQUIT,
	 * SIGINT. An empty list is none.
	 */
	const int *signals;
	/*
	 * Time for all servers to be ready; 0 and less: no limit. Time from
	 * the request to stop until all is stopped, hooks included; 0: 10 s,
	 * less: no limit. Wait between deregistration and the first stop, on
	 * top of it. Time for each call of the registrar; 0: 10 s, less: none.
	 */
	int64_t start_timeout_ms, stop_timeout_ms, drain_delay_ms,
	    registrar_timeout_ms;
	const struct registrar *registrar; /* copied */
	/*
	 * Told of each transition, in order, on the thread of app_run. Signals
	 * and deadlines wait while it runs.
	 */
	void (*on_event)(const struct app_event *event, void *arg);
	void *event_arg; /* borrowed until app_run has returned */
	enum app_stuck stuck;
};

/*
 * A new app; options (NULL: all defaults) are copied, lists and texts
 * included. NULL with errno ENOMEM.
 */
struct app *app_new(const struct app_options *options);

/*
 * Adds a server, copied with its texts; its arg is borrowed until app_free.
 * Before app_run. -EINVAL without a name or a start, -ENAMETOOLONG for a name
 * of more than 31 bytes, -EEXIST for one that is taken, -ENOTSUP for one with
 * dependencies, -EALREADY after app_run, -ENOMEM. The words are in error_of().
 */
int app_add_server(struct app *app, const struct server *server);

/*
 * Adds a hook to a phase. Hooks run one after the other: in the order in which
 * they were added on the way up, in reverse on the way down. The first that
 * fails on the way up ends the way up; on the way down the others still run.
 * Before app_run. -EINVAL, -EALREADY, -ENOMEM.
 */
int app_add_hook(struct app *app, enum app_phase phase, task_fn *fn, void *arg);

/*
 * Runs the app and blocks until it has stopped and all that was started is
 * joined. Returns 0 for a clean end: a signal, app_stop, or a parent that was
 * plainly cancelled. Else the code of the error that caused the stop, or, if
 * nothing failed before, of the first that happened in stopping; *err (may be
 * NULL; zeroed on success) has its origin and text. Signal mask and
 * dispositions are as before when it returns. -EALREADY the second time.
 *
 * The stop signals are blocked in the calling thread from the first
 * instruction, and taken from a descriptor; delivered to another thread of the
 * program they are passed on. A second one ends the process with _exit(128+n),
 * 200 ms after the first at the earliest, since timeout(1) and others send one
 * request twice (in the drain delay it ends the delay). What does not come back 1 s after
 * the deadline is reported and ends the process with _exit(124), unless
 * app_options.stuck says otherwise.
 */
int app_run(struct app *app, struct error *err);

/*
 * Asks the app to stop, and returns 0 at once, however often it is called.
 * From any thread, hooks and servers included, and before app_run, which then
 * runs nothing and returns 0. Not from a signal handler.
 */
int app_stop(struct app *app);

/*
 * Frees *app and sets it to NULL. Accepts the address of NULL. Not while
 * app_run runs.
 */
void app_free(struct app **app);

/* The app in whose server or hook ctx was given; NULL if it is in none. */
struct app *app_from_context(const struct context *ctx);

/* These never block; the texts live as long as the app. */
const char *app_id(const struct app *app);
const char *app_name(const struct app *app);
const char *app_version(const struct app *app);

/*
 * The instance. Before app_run its endpoints are those of the options. From
 * any thread; an earlier answer stays valid until app_free.
 */
const struct instance *app_instance(const struct app *app);

/*
 * All errors of a run, in the order in which they happened, with who failed as
 * origin; *count is their number. Once app_run has returned; they live as long
 * as the app.
 */
const struct error *app_errors(const struct app *app, size_t *count);

/* The words for a state: "before-start hooks", "running". */
const char *app_state_name(enum app_state state);

#ifdef __cplusplus
}
#endif

#endif
