/*
 * What the files of this room share.
 *
 *	app.c     what a program builds before it runs: servers, hooks, options
 *	run.c     the loop: signals, deadlines, the way from state to state
 *	unit.c    a server in its app: start, readiness, watches, stop
 *	watch.c   descriptors that a server has watched
 *	policy.c  what a server's end means: restart, loss, the app's end
 *	order.c   dependencies: who comes after whom, cycles
 *	step.c    the work between the servers': endpoints, hooks, registrar
 *	reload.c  a new set of servers, checked and put in force
 *	instance.c what the app is to others
 *	stuck.c   what does not come back
 *	report.c  errors, events, reports
 *	outlet.c  lines on standard error, if the program hears no events
 *	status.c  what is told from any thread: states, readiness, exit status
 *	manager.c what the service manager is told
 *	admin.c   pages over HTTP: health, metrics; see front.h
 *	control.c what an operator asks, and tells
 *	record.c  what has happened, and what servers have printed
 *	history.c the last of many texts
 *	json.c    JSON by a library that is loaded
 *	metrics.c the text of the latter
 *	names.c   lists of names in texts of a given size
 *
 * Design notes. Everything that decides happens on one thread, that of
 * app_run, in its loop: it alone moves states. Whatever the program wrote runs
 * as tasks of one errgroup, and tells the loop by mail: bits in its unit or in
 * the app, set under `lock`, and a wake-up of the loop. So there is one lock, it
 * is held for moments, and never while a function of the program runs; fields
 * without "guarded by lock" are the loop's alone while app_run runs, or are
 * written by it before it hands over the task that reads them.
 *
 * Who may start or stop is decided in one place as well: a transition changes
 * the counts of those that come before and after it (unit.c, count), and whoever
 * has none left to wait for is put on the list `due`, which the loop works off
 * before it goes on to the next state (unit_settle).
 *
 * What is to happen in a stop is accepted before it can be needed: the hooks of
 * the way down before anything starts, a server's stop function before its
 * start. They are tasks that are parked, each on a context `turn`, and the loop
 * cancels that when it is their turn. From the first of them on, one thread is
 * held by a task that waits for the stop (`spare`). So a stop needs no thread or
 * memory that could be refused; at worst its functions run one after the other.
 * What was parked in vain is let go as soon as that is known, while the thread
 * is still there.
 *
 * What threads other than the loop's may look at, states included, is a copy
 * under `lock`, which the loop writes with each transition.
 *
 * Lock order: `lock`, then whatever the errgroup room takes.
 */
#ifndef CRATOS_APP_INTERNAL_H
#define CRATOS_APP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <cratos/app.h>

#include "app/front.h"
#include "app/lifecycle.h"
#include "app/loop.h"
#include "app/manager.h"
#include "app/outlet.h"
#include "app/signals.h"
#include "errgroup/worker.h"
#include "server/host.h"

enum {
	APP_MAGIC = 0x41707021,
	PHASES = APP_AFTER_STOP + 1,
	STATES = APP_STATE_DONE + 1,
	URL_SIZE = 256,
	NAME_SIZE = sizeof(((struct error *)0)->origin),
	DEFAULT_STOP_TIMEOUT_MS = 10000,
	DEFAULT_REGISTRAR_TIMEOUT_MS = 10000,
	DEFAULT_RELOAD_TIMEOUT_MS = 10000,
	DEFAULT_REGISTRAR_DELAY_MS = 1000,
	DEFAULT_REGISTRAR_MAX_DELAY_MS = 60000,
	DEFAULT_RESTART_DELAY_MS = 100,
	DEFAULT_RESTART_MAX_DELAY_MS = 30000,
	DEFAULT_STABLE_MS = 10000,
	DEFAULT_RESTART_LIMIT = 5,
	DEFAULT_RESTART_WINDOW_MS = 10000,
	GRACE_MS = 1000, /* between the deadline and "stuck" */
	SLOW_MS = 10000, /* a server that is not ready is told of */
	SLOWER = 6, /* ... and when it has taken that many times as long */
	SLACK_MS = 100, /* for what begins, or heeds, a passed deadline */
	SWEEP_MS = 5000, /* for strays to stop, at most */
	SWEEP_NAMES_MAX = 4, /* that are named, if they do not stop */
	SWEEP_NAMES_SIZE = 160,
	SWEEP_KILL_MS = 500, /* for them to go after SIGKILL */
	REPORT_PLACE = 162,
	LACKS_SIZE = 160,
	UNIT_LIST_SIZE = 160,
	RELOAD_PLACE = 112,
	STEP_TRY = 160,
	TURNS_MAX = 64, /* stop tasks that are posted at a time */
	STOPS_AHEAD = 16, /* contexts for stops that the loop makes */
	REPEAT_MS = 200, /* a second signal forces no sooner after the first */
	EXIT_STUCK = 124 /* as timeout(1) */
};

/* What a task tells the loop about its unit, handled in this order. */
enum mail {
	MAIL_SKIPPED = 1 << 0,
	MAIL_BEGUN = 1 << 1,
	MAIL_READY = 1 << 2,
	MAIL_EXTENDED = 1 << 3, /* it asks for time; see extended_ms */
	MAIL_FAILED = 1 << 4, /* and goes on; see UNIT_ERROR_START */
	MAIL_RETURNED = 1 << 5, /* start has; see start_code */
	MAIL_HALTED = 1 << 6, /* stop has */
	MAIL_BEAT = 1 << 7, /* it was silent, and is no more */
	MAIL_ORDER = 1 << 8 /* see order */
};

/* What an operator wants of it. */
enum unit_order {
	UNIT_NO_ORDER,
	UNIT_ORDER_START,
	UNIT_ORDER_STOP,
	UNIT_ORDER_RESTART
};

struct link {
	struct unit *unit;
	bool need; /* `after`, not `wants` */
};

/* What a unit comes after, and what comes after it. */
struct links {
	struct link *on, *users;
	unsigned on_count, user_count;
};

/* From a launch until start and stop are over. */
struct unit_run {
	bool late, stop_called;
	bool watched; /* start has returned, its watches serve */
	bool stuck_told;
	bool parked;
	/* guarded by app->lock */
	bool reported; /* the error is one of the app's already */
	bool begun, revoked, start_over;
	bool skip_stop; /* parked, but not to be called */
	bool failed_in_stop; /* an error of it was kept while stopping */
	bool watch_ended;
	bool silent; /* its heartbeat is due for long; the loop writes it */
	pid_t start_tid, stop_tid; /* of the threads in these functions */
	int start_code, watch_code;
	int64_t extended_ms; /* until when it asks for time */
	int64_t ended_ms; /* when the later of start and stop returned */
	int64_t beat_ms; /* its last heartbeat */
	int64_t stop_deadline_ms; /* when it is late; the loop writes it */
	/* the loop's again */
	int64_t launch_ms, start_deadline_ms, ready_ms, stop_ms;
	int64_t slow_ms; /* when it is told that it is not ready yet */
	/* start's; the stop task is parked on turn; stop's, if made ahead */
	struct context *ctx, *turn, *stop_ctx;
};

/* What a unit keeps an error of. */
enum unit_error {
	UNIT_ERROR_LAST, /* what its status tells */
	UNIT_ERROR_START, /* of the run's start */
	UNIT_ERROR_STOP, /* of the run's stop, while the app runs */
	UNIT_ERROR_LOSS, /* why it is lost */
	UNIT_ERRORS
};

struct unit {
	struct server_host host; /* first: the host is the unit */
	struct app *app;
	struct server server;
	_Atomic(char *) endpoint; /* once known; a step's thread sets it */
	/* Now, written under app->lock; when a reload is in force. */
	struct links links, next_links;
	enum unit_state state;
	/*
	 * To be stopped; then to be started again, to be lost, to go for good,
	 * or nothing of it if the app stops. leaving is written under app->lock.
	 */
	bool leaving, again, losing, removed;
	bool going_off; /* instead: to stay stopped until it is told to start */
	bool given_up; /* lost, though it has not come back from its stop */
	bool stays; /* of a reload's thread: it is in the new set, too */
	bool joined; /* by a reload: its endpoint is asked for when it starts */
	bool bereft; /* a server that it needs is lost */
	bool due; /* on app->due */
	/* How many of links.on it waits for, and of links.users wait for it. */
	unsigned unmet, held;
	unsigned rank; /* of order.c */
	/* Of policy.c: the last walk that has reached it, and who is next. */
	unsigned wave;
	struct unit *wave_next;
	unsigned attempt; /* restarts since it was stable */
	int64_t restart_ms; /* when to start again */
	int64_t *restarts; /* when the last server.restart.limit ones were */
	unsigned restart_count;
	struct unit_run run;
	STAILQ_ENTRY(unit) due_link;
	/* guarded by app->lock */
	struct {
		enum server_state state;
		unsigned starts, restarts;
		int64_t since_ms, start_ms, stop_ms;
	} status; /* as in struct server_status */
	/* 0: none; the words are in errors, once there is a first one */
	int error_codes[UNIT_ERRORS];
	struct error *errors;
	enum unit_order order; /* that is yet to be taken */
	unsigned mail;
	STAILQ_ENTRY(unit) mail_link;
	int watch_count;
	LIST_HEAD(, watch) watches;
	char name[]; /* server.name */
};

STAILQ_HEAD(unit_list, unit);

/* A set of units, in the order in which they were added. */
struct units {
	struct unit **all;
	size_t count, size;
	/* By name: a hash table with linear probing, never full. */
	struct unit **slots;
	size_t slot_count; /* a power of 2, or 0 */
	struct link *links; /* all that the units' links are slices of */
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
	struct context *turn; /* it may be parked on this */
	bool parked, running, abandoned;
	/* deadline is its context's; it is left behind when it is overdue */
	int64_t begin_ms, deadline_ms, overdue_ms;
	int64_t retry_ms; /* when to try again; 0: not */
	unsigned attempt;
	/* guarded by app->lock */
	pid_t tid; /* of the thread that does it */
	/* The server that a reload is in, since when; NULL: it is in none. */
	struct unit *called;
	enum server_reload called_phase;
	int64_t called_ms;
	bool skip, over;
	int code;
};

struct app {
	unsigned magic;
	pthread_mutex_t lock;
	/* options, copied */
	int64_t start_timeout_ms, stop_timeout_ms, drain_delay_ms,
	    registrar_timeout_ms, reload_timeout_ms;
	struct registrar registrar;
	bool has_registrar, endpoints_given;
	enum registrar_policy registrar_policy;
	int64_t registrar_delay_ms, registrar_max_delay_ms;
	int (*reload_fn)(struct context *ctx, struct app_reload *reload,
	    void *arg);
	void *reload_arg;
	int reload_signal, report_signal;
	uint64_t told_signals; /* signal n is the bit n - 1 */
	bool reaper, has_manager;
	struct context *parent;
	int *signal_list;
	void (*on_event)(const struct app_event *event, void *arg);
	void *event_arg;
	enum app_stuck stuck;
	/* what it runs; the set is guarded by lock */
	struct units units;
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
	/* What is of no server: told to stop, killed; until when. */
	bool reaps, sweeping, swept_by_force, sweep_over;
	int64_t sweep_end_ms;
	bool ready_told; /* what the last event of it was */
	bool has_come_up; /* just now: deadlines to start are none any more */
	bool overdue; /* something was left behind at its deadline */
	int signals_seen; /* 0 or 1: the next one forces */
	int force_signal; /* 0, or the second, which came too soon */
	int64_t signal_ms; /* when the first came */
	/* How many are ready or lost, and of how many nothing runs. */
	size_t settled_count, down_count;
	size_t silent_count; /* those whose heartbeat is missed */
	struct unit_list due;
	struct job_list turns; /* stop tasks that are yet to be posted */
	unsigned turn_count;
	unsigned stops_ahead;
	unsigned wave;
	struct signals *signals; /* of app_run's frame */
	struct manager manager;
	struct admin *admin; /* NULL: none */
	bool admin_serves;
	struct loop loop;
	struct source signal_source, forward_source, parent_source;
	struct errgroup *group;
	/* parent's values; plus the app; until the stop; the way up */
	struct context *values, *base, *live, *up;
	struct context *spare; /* a thread waits on it; NULL: no need yet */
	struct context *spare_news; /* done once it does, or never will */
	bool spare_waits; /* guarded by lock */
	struct step steps[STATES];
	struct app_reload *reload; /* in the making */
	struct app_reload *checked; /* what the last check is about */
	void *config; /* of the last reload */
	void (*config_release)(void *config);
	bool left_behind; /* something still runs after app_run */
	/* guarded by lock */
	bool ran, running, stop_wanted, stopping, registered;
	struct error register_error; /* of a try that is not the last */
	bool reload_wanted, report_wanted;
	bool orders_wait; /* until they can be taken */
	bool ready, ready_over;
	int ready_fds[2]; /* a pipe, with a byte in it while ready */
	int exit_status;
	struct {
		enum app_state state;
		int64_t since_ms;
		unsigned reloads;
		struct error reload_error;
	} status;
	struct unit_list mail;
	bool woken, step_mail;
	struct error *errors;
	struct unit **culprits; /* of the errors; NULL: the app */
	size_t error_count, error_size;
	size_t told; /* errors that events were made of; the loop's */
	struct outlet outlet;
};

/* Key under which contexts carry their app. */
extern const char app_key;

/* ---- app.c ---- */

/* Copies a NULL-terminated list of texts; NULL is an empty one. 0 or -ENOMEM. */
int list_copy(const char *const *list, const char *const **copy);
void list_free(const char *const *list);
/* A unit of the server; NULL with errno ENOMEM, or EINVAL and words. */
struct unit *unit_new(struct app *app, const struct server *server);
/* 0, -ENOMEM, or -EEXIST with words. */
int units_insert(struct units *units, struct unit *unit);
struct unit *units_find(const struct units *units, const char *name);
/* Frees the set, not the units. */
void units_fini(struct units *units);

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
void report_delay(struct app *app, enum app_event_type type,
    const struct unit *unit, int64_t delay_ms, const struct error *err);
void report_order(struct app *app, const struct unit *unit, const char *order);
void report_endpoint(struct app *app, enum app_event_type type,
    const char *endpoint);
void report_signal(struct app *app, enum app_event_type type, int signal,
    pid_t sender);
/* Events for the errors that came since; on the loop's thread. */
void report_new_errors(struct app *app);
/* "250 ms", "1.5 s". */
const char *report_duration(int64_t ms, char buffer[static 32]);
/* A line of a report, as an event; unit NULL: of the app. */
void report_line(struct app *app, const struct unit *unit, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The calling thread's, for reports; gettid(2) asks the kernel each time. */
pid_t report_tid(void);
/* All servers and threads, a line each, as events. */
void report_all(struct app *app);
/* Where the threads of what is stuck are; deep: with their backtraces. */
void report_unit_threads(struct unit *unit, bool deep);
void report_step_thread(struct step *step, bool deep);
/* And of all that is not in a function of a server or a step. */
void report_other_threads(struct app *app, bool deep);
/* ": read(7) on pipe:[81]", the same in few words; or nothing. */
void report_unit_place(struct unit *unit, char text[static REPORT_PLACE]);
void report_step_place(struct step *step, char text[static REPORT_PLACE]);

/* An event of an error that is none of the run's: the app goes on. */
void report_warning(struct app *app, enum app_event_type type,
    const char *origin, int code);

/* ---- status.c ---- */

/* On the loop's thread: whether the app is ready may have changed. */
void status_update_ready(struct app *app);
/* With the lock held: it is not ready any more; the event is to follow. */
void status_hide_ready(struct app *app);
/* Readiness is over for good. */
void status_end_ready(struct app *app);
void status_free(struct app *app);

/* ---- order.c ---- */

/*
 * Looks up what the units of a set come after, into next_links. 0, -ENOMEM,
 * -ENOENT, -ELOOP; *err has the words.
 */
int order_make(struct units *units, struct error *err);
/* Puts next_links in force; with the lock held. */
void order_link(struct units *units);
/* After that: counts anew who waits for whom. */
void order_use(struct units *units);

/* ---- unit.c ---- */

void unit_init_host(struct unit *unit);
void unit_free(struct unit *unit);
/* It may have to start or to stop: unit_settle will see. */
void unit_queue(struct unit *unit);
void unit_settle(struct unit *unit);
/* It is to be stopped when it is its turn. */
void unit_leave(struct unit *unit);
/* Stops it now, whatever its turn. */
void unit_stop(struct unit *unit);
/* The app stops: no restart any more, and no more time than the app has. */
void unit_end(struct unit *unit);
/* It is to be stopped when it is its turn, and to stay so. */
void unit_switch_off(struct unit *unit);
/* One that is down, or on its way there, starts again without a delay. */
void unit_start_now(struct unit *unit);
/* If there is one, and the app takes them now. */
void unit_take_order(struct unit *unit);
/* What is kept as UNIT_ERROR_LOSS says why. */
void unit_lose(struct unit *unit);
/* The same of one that does not come back: the app goes on without it now. */
void unit_give_up(struct unit *unit);
/* Before the loop waits: those whose turn it is to stop do so. */
void unit_post_turns(struct app *app);
void unit_read_mail(struct unit *unit, unsigned mail);
/* The next deadline of the unit after now, INT64_MAX if there is none. */
int64_t unit_check_deadline(struct unit *unit, int64_t now_ms);
bool unit_is_stopping(const struct unit *unit);
bool unit_is_lost(const struct unit *unit);
/* It is ready, or the app goes on without it. */
bool unit_is_settled(const struct unit *unit);
bool unit_is_unsettled(const struct unit *unit);
/* It is up, and has not kept its promise of a heartbeat. */
bool unit_is_silent(const struct unit *unit);
/* Those that pass the test, as "a, b and 12 more"; or "". */
void unit_list(const struct app *app, bool (*test)(const struct unit *unit),
    char list[static UNIT_LIST_SIZE]);
/* One that waits for another is not the one to name; NULL: all are settled. */
struct unit *unit_first_not_ready(const struct app *app);
/* When the last of those that start has to be ready; INT64_MAX: not known. */
int64_t unit_start_deadline_ms(const struct app *app);
/* When it is stuck in its stop, INT64_MAX for never. */
int64_t unit_stuck_ms(const struct unit *unit);
/* The function in which it hangs: "stop" or "start". */
const char *unit_phase(const struct unit *unit);
/* Start, or the last watch, is over, and will not be heard of again. */
void unit_over(struct unit *unit, int code);
/*
 * From any thread: start, or a watch, has failed. What may turn out to be none of
 * the app's errors is left to the loop; others are kept in the order in which
 * they happen.
 */
void unit_keep_failure(struct unit *unit, int code);
/*
 * Keeps an error, NULL for none, with the unit as origin; with the lock held.
 * Out of memory its words are those of its code.
 */
void unit_set_error(struct unit *unit, enum unit_error which,
    const struct error *err);
/* With the lock held; code 0 if there is none. */
struct error unit_error(const struct unit *unit, enum unit_error which);
/* Before and what it lacks to be ready; or "" if it does not say. */
void unit_lacks(const struct unit *unit, const char *before,
    char text[static LACKS_SIZE]);
/* Frees what the run made. */
void unit_release(struct unit *unit);

/* ---- watch.c ---- */

/* server_watch. */
int watch_add(struct server_host *host, int fd, server_watch_fn *fn, void *arg);
/* With the lock held, on the loop's thread. */
void watch_drop_all(struct unit *unit);

/* ---- policy.c ---- */

/* Whether its failure may be none of the app's: decided by policy_fail. */
bool policy_absorbs(const struct unit *unit);
bool policy_restarts(const struct unit *unit, bool failed);
/* It has failed, or (NULL) ended, and is to start again. */
void policy_fail(struct unit *unit, const struct error *err);
/* It does not come back from a stop after which it was to start again. */
void policy_stuck(struct unit *unit, const struct error *err);
/* What an operator wants. */
void policy_order(struct unit *unit, enum unit_order order);
/* Something that it needs has failed for good. */
void policy_bereft(struct unit *unit);
/* The delay before a try, the first being 0. */
int64_t policy_delay(unsigned attempt, int64_t delay_ms, int64_t max_delay_ms);

/* ---- step.c ---- */

/* Parks the steps of the way down. 0 or a negative errno. */
int step_park_all(struct app *app);
/* Parks one, unless it is parked still. */
int step_park(struct step *step);
/* Begins the step of a state, if it has work. */
void step_begin(struct app *app, enum app_state state);
bool step_is_over(const struct app *app, enum app_state state);
void step_read_mail(struct app *app);
int64_t step_check_deadline(struct step *step, int64_t now_ms);
void step_skip_all(struct app *app);
/* The app stops: none of the way up has longer than that, or tries again. */
void step_end_all(struct app *app);
const char *step_origin(enum app_state state);
int step_fail(struct step *step, int code);
/*
 * A function that took so long has heeded its context, and returned what that
 * says, without words of its own: these are added. Returns code.
 */
int step_heeded(int code, const struct context *ctx, int64_t begin_ms);
/* "; the last try failed: ...", or nothing. */
void step_last_try(struct step *step, char text[static STEP_TRY]);
/* A line of the report if it is to be tried again. */
void step_report_retry(struct step *step);
/* The way up ended before the step did. */
int step_cut_off(struct step *step, struct context *up);

/* ---- instance.c ---- */

/* The first instance, from the options; and its end. */
int instance_init(struct app *app, const struct app_options *options);
void instance_free_all(struct app *app);
/* Some endpoint is to be asked for, still or at all. */
bool instance_asks(const struct app *app, bool still);
/* Asks the servers for their endpoints; a step's work. */
int instance_ask_all(struct step *step, struct context *ctx);
/* Asks one of them. */
int instance_ask(struct unit *unit);

/* ---- reload.c ---- */

/* The work of two steps. */
int reload_check(struct step *step, struct context *ctx);
int reload_commit(struct step *step, struct context *ctx);
/* The loop's part. Before the first; false if there is none to do. */
bool reload_begin(struct app *app);
/* After it: what has come of it. */
enum app_step_end reload_checked(struct app *app);
/* Beside the second: the servers that go are stopped. */
void reload_switch(struct app *app);
bool reload_is_switched(const struct app *app);
/* After both. */
void reload_finish(struct app *app);
/* The check has not begun. */
void reload_not_begun(struct app *app, int code);
/* Nobody waits for the check any more; false if it has ended meanwhile. */
bool reload_abandon(struct app *app);
/* The app stops before the new set is in force. */
void reload_cut_off(struct app *app);
/* The server in which the step's reload is now, in which phase, since when. */
struct unit *reload_called(struct step *step, const char **phase, int64_t *ms);
/* ": a has been in its reload check for 1.2 s", or nothing. */
void reload_place(struct step *step, char text[static RELOAD_PLACE]);
/* After the run. */
void reload_free(struct app *app);

/* ---- stuck.c ---- */

/* Ends the process, and first what the servers have started. */
_Noreturn void stuck_force(struct app *app, int status);
/* Something is late: it may be stuck before long. */
void stuck_prepare(struct app *app);
/* Reports what is stuck, if nothing else is left. */
void stuck_check(struct app *app, int64_t now_ms);
/* What app_run returns when it leaves something behind. */
struct error stuck_error(const struct app *app);

/* ---- run.c ---- */

/* On the loop's thread: begins the way down, once. */
void run_request_stop(struct app *app);
/* Before something is parked: a thread that the stop will find. */
int run_reserve_thread(struct app *app);
/* Servers may start. */
bool run_may_start(const struct app *app);
/* The same, and their set does not change just now. */
bool run_takes_orders(const struct app *app);
/* A context with that deadline, INT64_MAX being none; NULL: out of memory. */
struct context *run_deadline(struct context *parent, int64_t deadline_ms);
/* From any thread: makes the loop look at its mail. With the lock held. */
void run_wake(struct app *app);

#endif
