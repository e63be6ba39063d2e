/*
 * What the files of this room share.
 *
 *	app.c    what a program builds before it runs: servers, hooks, options
 *	run.c    the loop: signals, deadlines, the way from state to state
 *	unit.c   a server in its app: start, readiness, watches, stop
 *	step.c   the work between the servers': endpoints, hooks, registrar
 *	report.c errors and events
 *
 * Design notes. Everything that decides happens on one thread, that of
 * app_run, in its loop: it alone moves states. Whatever the program wrote runs
 * as tasks of one errgroup, and tells the loop by mail: bits in its unit or in
 * the app, set under `lock`, and a wake-up of the loop. So there is one lock, it
 * is held for moments, and never while a function of the program runs; fields
 * without "guarded by lock" are the loop's alone while app_run runs, or are
 * written by it before it hands over the task that reads them.
 *
 * What is to happen in a stop is accepted before anything starts: stop
 * functions and the hooks of the way down are tasks that are parked, each on a
 * context `turn`, and the loop cancels that when it is their turn. One thread is
 * held from the beginning by a task that waits for the stop (`spare`). So a stop
 * needs no thread or memory that could be refused; at worst its functions run
 * one after the other. What was parked in vain is let go as soon as that is
 * known, while the thread is still there.
 *
 * Lock order: `lock`, then whatever the errgroup room takes.
 */
#ifndef CRATOS_APP_INTERNAL_H
#define CRATOS_APP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <cratos/app.h>

#include "app/lifecycle.h"
#include "app/loop.h"
#include "app/signals.h"
#include "server/host.h"

enum {
	APP_MAGIC = 0x41707021,
	PHASES = APP_AFTER_STOP + 1,
	STATES = APP_STATE_DONE + 1,
	URL_SIZE = 256,
	DEFAULT_STOP_TIMEOUT_MS = 10000,
	DEFAULT_REGISTRAR_TIMEOUT_MS = 10000,
	GRACE_MS = 1000, /* between the deadline and "stuck" */
	SLACK_MS = 100, /* for what begins, or heeds, a passed deadline */
	REPEAT_MS = 200, /* a second signal forces no sooner after the first */
	EXIT_STUCK = 124 /* as timeout(1) */
};

/* What a task tells the loop about its unit, handled in this order. */
enum mail {
	MAIL_SKIPPED = 1 << 0,
	MAIL_BEGUN = 1 << 1,
	MAIL_READY = 1 << 2,
	MAIL_RETURNED = 1 << 3, /* start has; see start_code */
	MAIL_HALTED = 1 << 4 /* stop has */
};

struct unit {
	struct server_host host; /* first: the host is the unit */
	struct app *app;
	struct server server;
	_Atomic(char *) endpoint; /* once known; a step's thread sets it */
	enum unit_state state;
	bool was_ready, late, stop_called;
	bool watched; /* start has returned, its watches serve */
	int64_t launch_ms, start_deadline_ms;
	int64_t stop_ms, stop_deadline_ms, late_ms, stuck_ms;
	/* carries the host; start's; the stop task is parked on turn */
	struct context *host_ctx, *ctx, *turn;
	bool parked;
	/* guarded by app->lock */
	unsigned mail;
	STAILQ_ENTRY(unit) mail_link;
	bool begun, revoked, start_over;
	bool skip_stop; /* parked, but not to be called */
	bool failed_in_stop; /* an error of it was kept while stopping */
	bool watch_ended;
	int64_t ended_ms; /* when the later of start and stop returned */
	int start_code, watch_code, watch_count;
	LIST_HEAD(, watch) watches;
	char name[]; /* server.name */
};

struct watch {
	struct source source; /* first */
	struct unit *unit;
	server_watch_fn *fn;
	void *arg;
	LIST_ENTRY(watch) link;
};

struct hook {
	task_fn *fn;
	void *arg;
};

/* The work of one state of the app that is not the servers'. */
struct step {
	struct app *app;
	enum app_state state;
	struct context *turn; /* on the way down: parked on it */
	bool parked, running, abandoned;
	/* deadline is its context's; it is left behind when it is overdue */
	int64_t begin_ms, deadline_ms, overdue_ms;
	/* guarded by app->lock */
	bool skip, over;
	int code;
};

struct app {
	unsigned magic;
	pthread_mutex_t lock;
	/* options, copied */
	int64_t start_timeout_ms, stop_timeout_ms, drain_delay_ms,
	    registrar_timeout_ms;
	struct registrar registrar;
	bool has_registrar, endpoints_given;
	struct context *parent;
	int *signal_list;
	void (*on_event)(const struct app_event *event, void *arg);
	void *event_arg;
	enum app_stuck stuck;
	/* what it runs */
	struct unit **units;
	size_t unit_count, unit_size;
	void *names; /* tsearch(3) tree of the units */
	struct hook *hooks[PHASES];
	size_t hook_count[PHASES];
	/* instances, the latest last; the others are kept for their readers */
	_Atomic(struct app_instance *) instance;

	/* the run */
	enum app_state state;
	int64_t state_ms, start_deadline_ms, stop_deadline_ms;
	int64_t drain_ms, drain_end_ms;
	bool announced; /* registered and ready: others may rely on it */
	bool drained, stuck_told;
	bool overdue; /* something was left behind at its deadline */
	int signals_seen; /* 0 or 1: the next one forces */
	int force_signal; /* 0, or the second, which came too soon */
	int64_t signal_ms; /* when the first came */
	size_t ready_count, stopped_count;
	struct signals *signals; /* of app_run's frame */
	struct loop loop;
	struct source signal_source, forward_source, parent_source;
	struct errgroup *group;
	struct context *values, *base, *up; /* parent's values; plus the app;
					       the way up */
	struct context *spare; /* a thread waits on it */
	struct step steps[STATES];
	/* guarded by lock */
	bool ran, running, stop_wanted, stopping, registered;
	STAILQ_HEAD(, unit) mail;
	bool woken, step_mail;
	struct error *errors;
	struct unit **culprits; /* of the errors; NULL: the app */
	size_t error_count, error_size;
	size_t told; /* errors that events were made of; the loop's */
};

/* Key under which contexts carry their app. */
extern const char app_key;

/* ---- report.c ---- */

/* Makes room for errors, so that the first ones are never lost. */
int report_init(struct app *app);
/*
 * Keeps an error, from any thread; unit or origin says whose. -ECANCELED that
 * follows from stopping is not one.
 */
void report_error(struct app *app, struct unit *unit, const char *origin,
    const struct error *err);
/* The same, of a code that was just returned on this thread; returns it. */
int report_code(struct app *app, struct unit *unit, const char *origin,
    int code);
void report_event(struct app *app, enum app_event_type type,
    const struct unit *unit, int64_t took_ms, const struct error *err);
void report_signal(struct app *app, enum app_event_type type, int signal);
/* Events for the errors that came since; on the loop's thread. */
void report_new_errors(struct app *app);
/* "250 ms", "1.5 s". */
const char *report_duration(int64_t ms, char buffer[static 32]);

/* ---- unit.c ---- */

void unit_free(struct unit *unit);
void unit_launch(struct unit *unit);
void unit_stop(struct unit *unit);
void unit_read_mail(struct unit *unit, unsigned mail);
/* The next deadline of the unit after now, INT64_MAX if there is none. */
int64_t unit_check_deadline(struct unit *unit, int64_t now_ms);
/* The function in which it hangs: "stop" or "start". */
const char *unit_phase(const struct unit *unit);
/* Frees what the run made. */
void unit_release(struct unit *unit);

/* ---- step.c ---- */

/* Parks the steps of the way down. 0 or a negative errno. */
int step_park_all(struct app *app);
/* Begins the step of a state, if it has work. */
void step_begin(struct app *app, enum app_state state);
bool step_is_over(const struct app *app, enum app_state state);
void step_read_mail(struct app *app);
int64_t step_check_deadline(struct step *step, int64_t now_ms);
void step_skip_all(struct app *app);
const char *step_origin(enum app_state state);
/* The first instance, from the options; and its end. */
int instance_init(struct app *app, const struct app_options *options);
void instance_free_all(struct app *app);

/* ---- run.c ---- */

/* On the loop's thread: begins the way down, once. */
void run_request_stop(struct app *app);
/* A context with that deadline, INT64_MAX being none; NULL: out of memory. */
struct context *run_deadline(struct context *parent, int64_t deadline_ms);
/* From any thread: makes the loop look at its mail. With the lock held. */
void run_wake(struct app *app);

#endif
