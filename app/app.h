/*
 * The app: a daemon's servers, started together, stopped together.
 *
 *	app_new -> app_add_server, app_add_hook -> app_run -> app_free
 *
 * The order is that of kratos:
 *
 *	before-start hooks; the servers start, each as soon as those that it
 *	comes after are ready; when all are ready: register, after-start
 *	hooks; wait for a signal, app_stop, the end of the parent context, or
 *	the first error; then, whatever it was: before-stop hooks,
 *	deregister, drain delay, the servers stop, each as soon as those that
 *	come after it have; after-stop hooks.
 *
 * Meanwhile servers may be restarted, and the app may be reloaded; see struct
 * server and app_reload.
 *
 * app_run stays on the thread that calls it, which watches signals, deadlines
 * and the servers; every function of the program's runs on another, but for
 * on_event, watch functions, the kill functions and what releases servers and
 * configurations.
 */
#ifndef CRATOS_APP_H
#define CRATOS_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <cratos/context.h>
#include <cratos/errgroup.h>
#include <cratos/error.h>
#include <cratos/server.h>

#ifdef __cplusplus
extern "C" {
#endif

struct app;
struct admin;

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
 * timeout, and return 0 or a negative errno; neither keeps the app from
 * stopping. Deregistration follows a registration that succeeded, and one that
 * was cut off, whose outcome nobody knows. One that does not heed its context is
 * left behind: then deregister_instance is called while register_instance still
 * runs, on another thread. What a failing registration means is
 * app_options.registrar_policy.
 */
struct registrar {
	int (*register_instance)(struct context *ctx,
	    const struct instance *instance, void *arg);
	int (*deregister_instance)(struct context *ctx,
	    const struct instance *instance, void *arg);
	void *arg; /* borrowed until app_free */
	/*
	 * The last resort: called on the thread of app_run right before the
	 * process is ended by force (a second signal, a stop that is stuck)
	 * while one of the functions above runs, so that nothing it has
	 * started stays behind. May be NULL; must not block.
	 */
	void (*kill)(void *arg);
};

enum registrar_policy {
	REGISTRAR_ONCE, /* one that fails ends the app */
	/* Tried again until it succeeds; only then the app goes on. */
	REGISTRAR_RETRY,
	/* The same, but the app goes on after the first try. */
	REGISTRAR_RETRY_BESIDE
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
	APP_STATE_RELOADING, /* a new configuration is read and checked */
	APP_STATE_COMMITTING, /* ... and put in force; then RUNNING again */
	APP_STATE_BEFORE_STOP, /* before-stop hooks run */
	APP_STATE_DEREGISTERING,
	APP_STATE_DRAINING, /* the drain delay passes */
	APP_STATE_STOPPING, /* servers stop */
	APP_STATE_AFTER_STOP, /* after-stop hooks run */
	APP_STATE_DONE
};

enum app_event_type {
	APP_EVENT_STATE, /* the app is in another state */
	APP_EVENT_SIGNAL, /* signal: one of the options' came; pid: from that
			     process, if it is known */
	APP_EVENT_READY, /* app_ready is true from now on */
	APP_EVENT_UNREADY, /* ... and false */
	APP_EVENT_SERVER_STARTING, /* server: its start is on its way */
	APP_EVENT_SERVER_SLOW, /* server, error: not ready yet, and what it
				  lacks; after 10 s, 1 min, 6 min, ... */
	APP_EVENT_SERVER_READY, /* server, took_ms, endpoint or NULL */
	APP_EVENT_SERVER_RETURNED, /* server: start returned 0 */
	APP_EVENT_SERVER_FAILED, /* server, error: of start or stop */
	APP_EVENT_SERVER_RESTARTING, /* server: starts again in delay_ms */
	APP_EVENT_SERVER_SILENT, /* server, error: its heartbeat is missed */
	APP_EVENT_SERVER_BEATS, /* server: ... and has come again */
	APP_EVENT_SERVER_LOST, /* server, error: failed for good, and the app
				  goes on without it */
	APP_EVENT_SERVER_ASKED, /* server, text: "start", "stop" or "restart",
				   by app_server_start and the like */
	APP_EVENT_SERVER_STOPPING, /* server: its stop is on its way */
	APP_EVENT_SERVER_STOPPED, /* server, took_ms: stop and start are over,
				     or were not called after all */
	APP_EVENT_SERVER_ADDED, /* server: by a reload */
	APP_EVENT_SERVER_REMOVED, /* server: by a reload */
	APP_EVENT_ERROR, /* error: of a hook, the registrar, the app */
	APP_EVENT_REGISTERED, /* took_ms: by the registrar */
	APP_EVENT_REGISTRAR_RETRY, /* error; tried again in delay_ms */
	APP_EVENT_RELOADED, /* took_ms: the new configuration is in force */
	APP_EVENT_RELOAD_REFUSED, /* error: the old one stays in force */
	APP_EVENT_STOP, /* the app stops, though the state changes only when
			   what still runs on the way up has ended */
	APP_EVENT_TIMEOUT, /* error: what is late, at a deadline */
	APP_EVENT_ADMIN, /* endpoint: of app_options.admin */
	APP_EVENT_MANAGER, /* error: why the service manager is not told */
	APP_EVENT_REPORT, /* text: a line of a report; server or NULL */
	APP_EVENT_STUCK, /* error: who does not come back, in which phase */
	APP_EVENT_FORCED /* signal: a second one; the process ends after this */
};

/* A transition. Pointers hold during the call only; copy what is to stay. */
struct app_event {
	enum app_event_type type;
	enum app_state state; /* the app's */
	struct timespec time; /* CLOCK_REALTIME */
	int64_t took_ms; /* how long the step took that ends here */
	int64_t delay_ms; /* until the next try */
	const char *server; /* NULL if it is not of a server */
	pid_t pid; /* the server's process; 0 if there is none */
	const char *endpoint;
	int signal;
	const char *text;
	const struct error *error; /* NULL if there is none */
};

/*
 * What to do when something does not come back 1 s after the deadline. For what
 * was over a time of its own before (the registrar's, a reload's) that second
 * begins with the request to stop.
 */
enum app_stuck {
	APP_STUCK_EXIT, /* report it, then end the process with status 124 */
	APP_STUCK_WAIT, /* report it, and wait for it for ever */
	/*
	 * Report it, and return -ETIMEDOUT from app_run. What still runs then
	 * goes on with what it was given; app_free frees nothing of that.
	 */
	APP_STUCK_RETURN
};

/* A change that is being prepared; see app_options.reload. */
struct app_reload;

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
	 * less: no limit. What comes to its turn only when that is over has
	 * 100 ms still. Wait between deregistration and the first stop, on top
	 * of it. Time for each call of the registrar; 0: 10 s, less: none.
	 */
	int64_t start_timeout_ms, stop_timeout_ms, drain_delay_ms,
	    registrar_timeout_ms;
	const struct registrar *registrar; /* copied */
	/*
	 * What a failing registration means; and the delay before the second
	 * try, which doubles up to the greatest one, less a random part of up to
	 * a quarter. 0: 1 s and 60 s; less: none.
	 */
	enum registrar_policy registrar_policy;
	int64_t registrar_delay_ms, registrar_max_delay_ms;
	/*
	 * Reads the new configuration, as a whole, when a reload was asked
	 * for, and says through the app_reload_* functions what is to change.
	 * An error refuses the reload. Runs as a task; its context ends with
	 * reload_timeout_ms (0: 10 s; less: no limit), which is for the checks
	 * as well, and when the app stops. NULL: only the servers are asked.
	 * The commits have that time once more, all together. There is no way
	 * back from them: if they take longer the app stops, with -ETIMEDOUT.
	 */
	int (
	    *reload)(struct context *ctx, struct app_reload *reload, void *arg);
	void *reload_arg; /* borrowed until app_free */
	int64_t reload_timeout_ms;
	/*
	 * Signals, 0 for none: one that reloads, one that asks for a report.
	 * Each signal is for one thing.
	 */
	int reload_signal, report_signal;
	/*
	 * 0-terminated, signals that are told by APP_EVENT_SIGNAL and do nothing
	 * else, say to pass them on (exec_signal); NULL: none.
	 */
	const int *told_signals;
	/*
	 * While app_run runs, the process is the reaper of all that descends
	 * from it (PR_SET_CHILD_SUBREAPER; as PID 1 it is that anyway): it gets
	 * those that have lost their parent, reaps them, and ends them with
	 * their server (exec_server) or, if they are of none, when all servers
	 * have stopped: SIGTERM, and SIGKILL at the deadline of the stop, or
	 * after 5 s. For all of the process, hence for a program to choose: it
	 * must not itself wait for children that its main thread has forked
	 * (those of other threads are left alone), and the main thread must not
	 * end before app_run does. Takes SIGCHLD. Of several apps in a process
	 * the last one ends what is of no server.
	 */
	bool reaper;
	/*
	 * By default the app talks to the service manager that has started the
	 * process, if there is one, as systemd does: sd_notify(3),
	 * sd_watchdog_enabled(3), sd_listen_fds(3). It is told READY=1 once
	 * app_ready is, RELOADING=1 with MONOTONIC_USEC, STOPPING=1, STATUS= with
	 * what is being waited for, EXTEND_TIMEOUT_USEC= while a start or a stop
	 * takes its time, WATCHDOG=1 at half the interval and while all servers
	 * keep their heartbeat, and at the end ERRNO= and EXIT_STATUS=, if it
	 * failed. app_run takes NOTIFY_SOCKET, WATCHDOG_*, and LISTEN_* out of the
	 * environment before anything starts, so that no child is misled; so no
	 * other thread may use the environment meanwhile. true: none of it, and
	 * the environment stays as it is. Of several apps in a process the first
	 * to run has it.
	 */
	bool no_manager;
	/*
	 * Pages over HTTP about the app, see admin.h: served from before
	 * anything starts until app_run returns. Borrowed until then, for one
	 * app at a time. NULL: none.
	 */
	struct admin *admin;
	/*
	 * Told of each transition, in order, on the thread of app_run. Signals
	 * and deadlines wait while it runs. It may call what can be called from
	 * any thread while app_run runs (app_stop, app_reload, app_report, and
	 * what asks for states), but must not wait for a server or a hook.
	 * NULL: only reports, and what is stuck, are told, as lines on standard
	 * error. Those hold up the app for 100 ms at most; if nobody reads
	 * them, they are lost and counted.
	 */
	void (*on_event)(const struct app_event *event, void *arg);
	void *event_arg; /* borrowed until app_run has returned */
	enum app_stuck stuck;
};

/*
 * A new app; options (NULL: all defaults) are copied, lists and texts
 * included. From any thread. NULL with errno ENOMEM; or EINVAL, with the words
 * in error_of(-EINVAL), for a number that is no signal, a signal that cannot be
 * caught or that a thread raises itself (SIGSEGV and the like), one that is to
 * do two things, and a policy or a choice that there is none of.
 */
struct app *app_new(const struct app_options *options);

/*
 * Adds a server, copied with its texts; its arg is borrowed until app_free.
 * Before app_run, from any thread. -EINVAL without a name or a start, for a
 * control character in the name, and for a number that an enum does not have;
 * -ENAMETOOLONG for a name of more than 31 bytes or a dependency, -EEXIST for
 * one that is taken, -EALREADY after app_run, -ENOMEM; -EINVAL also for policies
 * that contradict each other: a one-shot that is always restarted, or one whose
 * return both stops the app and restarts the server. The words are in
 * error_of(). On error the server, with its release, is still the program's.
 */
int app_add_server(struct app *app, const struct server *server);

/*
 * Adds a hook to a phase. Hooks run one after the other: in the order in which
 * they were added on the way up, in reverse on the way down. The first that
 * fails on the way up ends the way up; on the way down the others still run.
 *
 * A hook returns 0 or a negative errno; a number above 0 is a programmer error,
 * and is asserted. Its context carries the app and the values of the app's
 * parent. On the way up it has the deadline of start_timeout_ms, if there is one,
 * and ends when the app is asked to stop; on the way down it has the deadline of
 * the stop, and nothing else ends it.
 *
 * Before app_run, from any thread. -EINVAL without a function or a phase,
 * -EALREADY after app_run, -ENOMEM.
 */
int app_add_hook(struct app *app, enum app_phase phase, task_fn *fn, void *arg);

/*
 * Whether the servers' dependencies hold: 0, -ENOENT for a name that no server
 * has, -ELOOP for a cycle, -ENOMEM; -EALREADY once app_run was called, which does
 * the same before anything starts. *err (may be NULL) has the server as origin
 * and the words, with the path of the cycle. From any thread, but not while
 * another is in app_check, app_add_server or app_run of this app.
 */
int app_check(const struct app *app, struct error *err);

/*
 * Runs the app and blocks until it has stopped and all that was started is
 * joined. Returns 0 for a clean end: a signal, app_stop, or a parent that was
 * plainly cancelled. Else the code of the error that caused the stop, or, if
 * nothing failed before, of the first that happened in stopping; *err (may be
 * NULL; zeroed on success) has its origin and text. Signal mask and
 * dispositions are as before when it returns. -EALREADY the second time. What
 * app_check finds ends it before any hook runs.
 *
 * The stop signals are blocked in the calling thread from the first
 * instruction, and taken from a descriptor; delivered to another thread of the
 * program they are passed on. A second one ends the process with _exit(128+n),
 * 200 ms after the first at the earliest, since timeout(1) and others send one
 * request twice. In the drain delay it ends the delay instead, and the next one
 * forces; a first one there, after a stop with another cause, ends it as well.
 * What does not come back 1 s after the deadline is reported and ends the
 * process with _exit(124), unless app_options.stuck says otherwise.
 */
int app_run(struct app *app, struct error *err);

/*
 * Asks the app to stop, and returns 0 at once, however often it is called: what
 * comes after the first call changes nothing, the drain delay included, which
 * only a signal cuts short. From any thread, hooks and servers included, and
 * before app_run, which then runs nothing and returns 0. Not from a signal
 * handler.
 */
int app_stop(struct app *app);

/*
 * Asks for a reload and returns 0 at once; several requests may become one. From
 * any thread. It happens when the app runs; events tell how it ended. First
 * app_options.reload reads the configuration; then the new set of servers is
 * checked as app_check does, and each server that stays and has a reload
 * function is asked to check; see server_reload_phase. If all agree, the servers
 * that go are stopped, in order, while those that stay commit; then the new ones
 * are started, in order. Whatever stays untouched keeps running. If one does
 * not agree, nothing changes.
 *
 * The instance stays as it is, and so does what else the app was made with.
 */
int app_reload(struct app *app);

/*
 * Called by app_options.reload, from its thread: the change has a server more;
 * has another one in the place of one (stopped, then started, under the same
 * name); has one less. Errors as app_add_server, and -ENOENT for a name that
 * is not there, -EBUSY for one that was changed already or hangs in its stop.
 */
int app_reload_add(struct app_reload *reload, const struct server *server);
int app_reload_replace(struct app_reload *reload, const struct server *server);
int app_reload_remove(struct app_reload *reload, const char *name);

/* The same: new times, as in app_options; 0 keeps the old one. */
void app_reload_timeouts(struct app_reload *reload, int64_t stop_timeout_ms,
    int64_t drain_delay_ms);

/*
 * The same: config is what servers get by server_reload_config. release (may be
 * NULL) is called when it is done with: after the next reload, in app_free, or at
 * once if this reload is refused.
 */
void app_reload_config(struct app_reload *reload, void *config,
    void (*release)(void *config));

/*
 * For an operator: what one server is to do. They return 0 at once, -ENOENT if no
 * server has the name, or -ESHUTDOWN if the app does not run or is stopping. From
 * any thread. Of several that come at a time the last counts; one that comes
 * while the app is reloaded waits for that.
 *
 * One that is told to stop is stopped as by its policies, after what needs it,
 * and stays stopped: the app goes on without it, as without an optional one that
 * has failed for good, and it is not restarted. What needs it waits until it is
 * told to start. start is nothing to one that runs; one that waits for its
 * restart does not wait any longer, and one that has failed for good starts
 * anew. restart stops and starts it, with those that its restart.scope says, or
 * just starts it. A server whose section, or whose struct, changes in a reload
 * starts with that.
 */
int app_server_start(struct app *app, const char *name);
int app_server_stop(struct app *app, const char *name);
int app_server_restart(struct app *app, const char *name);

/*
 * Sends a signal to what the server of that name runs, a child's process group:
 * 0, -ENOENT, -EOPNOTSUPP if it is no child, -ESRCH if none runs, or what kill(2)
 * says. Does not block; from any thread.
 */
int app_server_signal(struct app *app, const char *name, int signal);

/*
 * Asks for a report, and returns 0 at once. From any thread. One that was asked
 * for before app_run comes when that has begun; after its end none comes. It
 * comes as events of type APP_EVENT_REPORT: for each server its state,
 * for how long, what it waits for; for each thread in a function of the program
 * the system call and the kernel function that it waits in.
 */
int app_report(struct app *app);

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

/* Where the app is. From any thread, at any time; does not block. */
enum app_state app_state(const struct app *app);

/*
 * Whether the app is ready: all servers are, but for those that have failed for
 * good and are optional, and nobody has asked it to stop. From any thread.
 */
bool app_ready(const struct app *app);

/*
 * A descriptor that polls POLLIN while the app is ready, and POLLHUP once it
 * will not be any more, having stopped. It is the app's, made on first use; do not
 * read or close it. From any thread. A negative errno if it cannot be made.
 */
int app_ready_fd(struct app *app);

enum server_state {
	SERVER_WAITING, /* for the app, or for what it comes after */
	SERVER_STARTING,
	SERVER_READY, /* its start runs */
	SERVER_UP, /* its start has returned 0, or a one-shot is done */
	SERVER_FAILING, /* its start has ended; stop is to come */
	SERVER_STOPPING,
	SERVER_RESTARTING, /* the delay before its next start passes */
	SERVER_STOPPED, /* also by app_server_stop */
	SERVER_LOST /* failed for good, and the app went on */
};

struct server_status {
	char name[32];
	enum server_state state;
	int64_t since_ms; /* CLOCK_MONOTONIC, when it got there */
	unsigned starts; /* how often its start was on its way */
	unsigned restarts; /* by itself, or since it was told to */
	int64_t start_ms, stop_ms; /* how long they took last; -1: not known */
	pid_t pid; /* 0: none */
	/*
	 * WAITING: the servers that it waits for, "a, b"; STARTING: what it
	 * lacks, as far as it knows; else "".
	 */
	char waits[160];
	/*
	 * What it comes after, NULL-terminated; NULL in what server_state gives.
	 */
	const char *const *after, *const *wants;
	bool leaving; /* it is to stop, and maybe to start again, in its turn */
	bool silent; /* it promised a heartbeat, which is missed */
	bool optional; /* struct server.optional */
	struct error error; /* the last one; code 0: none */
};

/*
 * How the server of that name is, now. From any thread; blocks for moments only.
 * 0, or -ENOENT and *status is as before.
 */
int server_state(const struct app *app, const char *name,
    struct server_status *status);

/* All of the app, at one moment; the servers in the order they were added. */
struct app_status {
	enum app_state state;
	bool ready;
	int64_t since_ms; /* CLOCK_MONOTONIC, when it got there */
	unsigned reloads; /* that were put in force */
	struct error reload_error; /* why the last was refused; code 0: not */
	size_t server_count;
	const struct server_status *servers;
};

/* From any thread. NULL with errno ENOMEM. */
struct app_status *app_status(const struct app *app);

/* Frees *status and sets it to NULL. Accepts the address of NULL. */
void app_status_free(struct app_status **status);

/* Exit statuses, as app_exit_status returns them. */
enum app_exit {
	APP_EXIT_CLEAN = 0,
	APP_EXIT_FAILED = 1, /* a server, a hook, the registrar */
	APP_EXIT_USAGE = 2, /* for the program's own use */
	APP_EXIT_CONFIG =
	    78, /* what app_check finds; EX_CONFIG of sysexits.h */
	APP_EXIT_STUCK = 124, /* something did not come back; as timeout(1) */
	APP_EXIT_SIGNAL = 128 /* plus n: forced by signal n */
};

/*
 * The exit status for how app_run went; APP_EXIT_FAILED before. From any thread.
 */
int app_exit_status(const struct app *app);

/*
 * The words for a state ("before-start hooks", "running"; "waiting") and for an
 * event ("restarting").
 */
const char *app_state_name(enum app_state state);
const char *server_state_name(enum server_state state);
const char *app_event_name(enum app_event_type type);

#ifdef __cplusplus
}
#endif

#endif
