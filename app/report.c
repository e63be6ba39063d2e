/* Errors, kept in the order in which they happened, and events. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/internal.h"
#include "app/names.h"
#include "app/where.h"
#include "errgroup/clock.h"
#include "errgroup/error_thread.h"
#include "errgroup/worker.h"

enum { WAITS_SIZE = 200 };

static int grow(struct app *app)
{
	size_t size = app->error_size ? 2 * app->error_size : 16;
	struct error *errors;
	struct unit **culprits;

	errors = realloc(app->errors, size * sizeof(*errors));
	if (!errors)
		return -ENOMEM;
	app->errors = errors;
	culprits = realloc(app->culprits, size * sizeof(*culprits));
	if (!culprits)
		return -ENOMEM;
	app->culprits = culprits;
	app->error_size = size;
	return 0;
}

int report_init(struct app *app)
{
	return app->error_size ? 0 : grow(app);
}

/* Under the lock: a stop was asked for, though the loop may not know yet. */
static bool is_ending(const struct app *app)
{
	return app->stopping || app->stop_wanted ||
	       (app->parent && context_err(app->parent));
}

void report_error(struct app *app, struct unit *unit, const char *origin,
    const struct error *err)
{
	pthread_mutex_lock(&app->lock);
	/* After the run, of what was left behind: the list is final. */
	if (app->ready_over || (err->code == -ECANCELED && is_ending(app)))
		goto out;
	if (unit && app->stopping)
		unit->run.failed_in_stop = true;
	if (unit)
		unit_set_error(unit, UNIT_ERROR_LAST, err);
	/* Out of memory, the errors after the first few go unrecorded. */
	if (app->error_count == app->error_size && grow(app))
		goto out;
	app->errors[app->error_count] = *err;
	error_origin(&app->errors[app->error_count],
	    unit ? unit->name : origin);
	app->culprits[app->error_count] = unit;
	app->error_count++;
	run_wake(app);
out:
	pthread_mutex_unlock(&app->lock);
}

int report_code(struct app *app, struct unit *unit, const char *origin,
    int code)
{
	struct error err = error_of(code);

	report_error(app, unit, origin, &err);
	return code;
}

/*
 * A process that ends by force, and a report that was asked for, say so also if
 * the program hears no events.
 */
static void tell_stderr(struct app *app, const struct app_event *event)
{
	const char *text = event->error ? event->error->text : event->text;
	char line[OUTLET_LINE];

	if (!text)
		return;
	snprintf(line, sizeof(line), "%s: %s\n",
	    event->server  ? event->server
	    : event->error ? event->error->origin
			   : "app",
	    text);
	outlet_put(&app->outlet, line);
}

static bool is_heard(const struct app *app, enum app_event_type type)
{
	return app->on_event || app->admin_serves || type == APP_EVENT_STUCK ||
	       type == APP_EVENT_REPORT;
}

static void tell(struct app *app, struct app_event *event)
{
	if (!is_heard(app, event->type))
		return;
	event->state = app->state;
	clock_gettime(CLOCK_REALTIME, &event->time);
	if (app->admin_serves)
		front_of(app->admin)->event(app->admin, event);
	if (app->on_event)
		app->on_event(event, app->event_arg);
	else if (event->type == APP_EVENT_STUCK ||
		 event->type == APP_EVENT_REPORT)
		tell_stderr(app, event);
}

static struct app_event event_of(enum app_event_type type,
    const struct unit *unit, const struct error *err)
{
	struct app_event event = {.type = type, .error = err};

	if (!unit)
		return event;
	event.server = unit->name;
	event.endpoint = unit->endpoint;
	if (unit->server.pid && !lifecycle_is_down(unit->state))
		event.pid = unit->server.pid(unit->server.arg);
	return event;
}

void report_event(struct app *app, enum app_event_type type,
    const struct unit *unit, int64_t took_ms, const struct error *err)
{
	struct app_event event;

	if (!is_heard(app, type))
		return;
	event = event_of(type, unit, err);
	event.took_ms = took_ms;
	tell(app, &event);
}

void report_delay(struct app *app, enum app_event_type type,
    const struct unit *unit, int64_t delay_ms, const struct error *err)
{
	struct app_event event = event_of(type, unit, err);

	event.delay_ms = delay_ms;
	tell(app, &event);
}

void report_endpoint(struct app *app, enum app_event_type type,
    const char *endpoint)
{
	struct app_event event = {.type = type, .endpoint = endpoint};

	tell(app, &event);
}

void report_order(struct app *app, const struct unit *unit, const char *order)
{
	struct app_event event = event_of(APP_EVENT_SERVER_ASKED, unit, NULL);

	event.text = order;
	tell(app, &event);
}

void report_signal(struct app *app, enum app_event_type type, int signal,
    pid_t sender)
{
	struct app_event event = {.type = type,
	    .signal = signal,
	    .pid = sender};

	tell(app, &event);
}

void report_warning(struct app *app, enum app_event_type type,
    const char *origin, int code)
{
	struct error err = error_of(code);

	error_origin(&err, origin);
	report_event(app, type, NULL, 0, &err);
}

void report_new_errors(struct app *app)
{
	struct error err;
	struct unit *unit;

	pthread_mutex_lock(&app->lock);
	while (app->told < app->error_count) {
		err = app->errors[app->told];
		unit = app->culprits[app->told];
		app->told++;
		pthread_mutex_unlock(&app->lock);
		report_event(app,
		    unit ? APP_EVENT_SERVER_FAILED : APP_EVENT_ERROR, unit, 0,
		    &err);
		pthread_mutex_lock(&app->lock);
	}
	pthread_mutex_unlock(&app->lock);
}

const char *app_event_name(enum app_event_type type)
{
	static const char *const names[] = {[APP_EVENT_STATE] = "state",
	    [APP_EVENT_SIGNAL] = "signal",
	    [APP_EVENT_READY] = "app-ready",
	    [APP_EVENT_UNREADY] = "app-unready",
	    [APP_EVENT_SERVER_STARTING] = "starting",
	    [APP_EVENT_SERVER_READY] = "ready",
	    [APP_EVENT_SERVER_RETURNED] = "returned",
	    [APP_EVENT_SERVER_FAILED] = "failed",
	    [APP_EVENT_SERVER_SILENT] = "silent",
	    [APP_EVENT_SERVER_BEATS] = "beats-again",
	    [APP_EVENT_SERVER_RESTARTING] = "restarting",
	    [APP_EVENT_SERVER_LOST] = "lost",
	    [APP_EVENT_SERVER_ASKED] = "asked",
	    [APP_EVENT_SERVER_STOPPING] = "stopping",
	    [APP_EVENT_SERVER_STOPPED] = "stopped",
	    [APP_EVENT_SERVER_ADDED] = "added",
	    [APP_EVENT_SERVER_REMOVED] = "removed",
	    [APP_EVENT_ERROR] = "error",
	    [APP_EVENT_MANAGER] = "manager",
	    [APP_EVENT_ADMIN] = "admin",
	    [APP_EVENT_REGISTERED] = "registered",
	    [APP_EVENT_REGISTRAR_RETRY] = "registrar-retry",
	    [APP_EVENT_RELOADED] = "reloaded",
	    [APP_EVENT_RELOAD_REFUSED] = "reload-refused",
	    [APP_EVENT_SERVER_SLOW] = "slow",
	    [APP_EVENT_TIMEOUT] = "timeout",
	    [APP_EVENT_REPORT] = "report",
	    [APP_EVENT_STUCK] = "stuck",
	    [APP_EVENT_FORCED] = "forced",
	    [APP_EVENT_STOP] = "stop-begins"};

	return (size_t)type < sizeof(names) / sizeof(*names) ? names[type]
							     : "unknown";
}

const char *report_duration(int64_t ms, char buffer[static 32])
{
	if (ms < 1000)
		snprintf(buffer, 32, "%lld ms", (long long)ms);
	else if (ms % 1000 < 100)
		snprintf(buffer, 32, "%lld s", (long long)(ms / 1000));
	else
		snprintf(buffer, 32, "%lld.%lld s", (long long)(ms / 1000),
		    (long long)(ms % 1000 / 100));
	return buffer;
}

/* ---- reports ---- */

_Static_assert(REPORT_PLACE == WHERE_TEXT + 2, "\": \" and a place");

void report_line(struct app *app, const struct unit *unit, const char *fmt, ...)
{
	struct app_event event = event_of(APP_EVENT_REPORT, unit, NULL);
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	event.text = text;
	tell(app, &event);
}

static void report_frames(struct app *app, const struct unit *unit, pid_t tid)
{
	void *frames[WHERE_FRAMES];
	char text[WHERE_TEXT];
	int count = where_backtrace(tid, frames, WHERE_FRAMES);

	for (int i = 0; i < count; i++) {
		where_frame(frames[i], text);
		report_line(app, unit, "  #%d %s", i, text);
	}
}

static void report_thread(struct app *app, const struct unit *unit,
    const char *what, pid_t tid, bool deep)
{
	char text[WHERE_TEXT];

	if (!tid)
		return;
	where_thread(getpid(), tid, text);
	report_line(app, unit, "%s in thread %d: %s", what, (int)tid, text);
	if (deep)
		report_frames(app, unit, tid);
}

/* Those of the process that it runs. */
static void report_process(struct app *app, const struct unit *unit)
{
	enum { MAX = 8 };
	pid_t pid = unit->server.pid && !lifecycle_is_down(unit->state)
			? unit->server.pid(unit->server.arg)
			: 0;
	char text[WHERE_TEXT];
	pid_t tids[MAX];
	size_t count = pid ? where_threads(pid, tids, MAX) : 0;

	for (size_t i = 0; i < count && i < MAX; i++) {
		where_thread(pid, tids[i], text);
		report_line(app, unit, "pid %d, thread %d: %s", (int)pid,
		    (int)tids[i], text);
	}
	if (count > MAX)
		report_line(app, unit, "pid %d: %zu threads more", (int)pid,
		    count - MAX);
}

/* ": " and where the thread is; nothing if there is none. */
static void place(struct app *app, const pid_t *tid_of,
    char text[static REPORT_PLACE])
{
	pid_t tid;

	pthread_mutex_lock(&app->lock);
	tid = *tid_of;
	pthread_mutex_unlock(&app->lock);
	*text = '\0';
	if (!tid)
		return;
	memcpy(text, ": ", 2);
	where_thread(getpid(), tid, text + 2);
}

void report_unit_place(struct unit *unit, char text[static REPORT_PLACE])
{
	bool stop = unit->state == UNIT_STOPPING || unit->state == UNIT_HALTING;

	place(unit->app, stop ? &unit->run.stop_tid : &unit->run.start_tid,
	    text);
}

void report_step_place(struct step *step, char text[static REPORT_PLACE])
{
	place(step->app, &step->tid, text);
}

void report_unit_threads(struct unit *unit, bool deep)
{
	struct app *app = unit->app;
	pid_t start, stop;

	pthread_mutex_lock(&app->lock);
	start = unit->run.start_tid;
	stop = unit->run.stop_tid;
	pthread_mutex_unlock(&app->lock);
	report_thread(app, unit, "start", start, deep);
	report_thread(app, unit, "stop", stop, deep);
	report_process(app, unit);
}

void report_step_thread(struct step *step, bool deep)
{
	pid_t tid;

	pthread_mutex_lock(&step->app->lock);
	tid = step->tid;
	pthread_mutex_unlock(&step->app->lock);
	report_thread(step->app, NULL, step_origin(step->state), tid, deep);
}

static bool is_met(const struct link *link)
{
	return link->need ? lifecycle_is_ready(link->unit->state)
			  : unit_is_settled(link->unit);
}

/* Those that stay hold up nobody. */
static bool holds(const struct unit *user)
{
	return user->leaving && !lifecycle_is_down(user->state);
}

/*
 * ", waits for a, b": what keeps it from starting, or from stopping; or ",
 * starts again in 2.0 s".
 */
static void list_waits(const struct unit *unit, char list[static WAITS_SIZE])
{
	bool up = unit->state == UNIT_NEW && unit->unmet;
	bool down = unit->leaving && unit->held && !unit_is_stopping(unit);
	const struct links *links = &unit->links;
	size_t count = up ? links->on_count : down ? links->user_count : 0;
	int64_t delay_ms = unit->restart_ms - clock_ms();
	struct names names;
	char delay[32], text[WAITS_SIZE - 32];

	*list = '\0';
	if (unit->state == UNIT_BACKOFF)
		snprintf(list, WAITS_SIZE, ", starts again in %s",
		    report_duration(delay_ms > 0 ? delay_ms : 0, delay));
	names_init(&names, text, sizeof(text));
	for (size_t i = 0; i < count; i++) {
		const struct link *link = up ? &links->on[i] : &links->users[i];
		bool open = up ? !is_met(link) : holds(link->unit);

		if (open)
			names_add(&names, "%s", link->unit->name);
	}
	names_end(&names);
	if (*text)
		snprintf(list, WAITS_SIZE, ", waits for %s", text);
}

static void report_unit(struct unit *unit)
{
	char since[32], waits[WAITS_SIZE], restarts[40] = "", lacks[LACKS_SIZE];
	unsigned restart_count;
	struct error err;

	pthread_mutex_lock(&unit->app->lock);
	restart_count = unit->status.restarts;
	err = unit_error(unit, UNIT_ERROR_LAST);
	pthread_mutex_unlock(&unit->app->lock);
	list_waits(unit, waits);
	if (restart_count)
		snprintf(restarts, sizeof(restarts), ", %u restart%s",
		    restart_count, restart_count == 1 ? "" : "s");
	report_line(unit->app, unit, "%s for %s%s%s",
	    server_state_name(unit->status.state),
	    report_duration(clock_ms() - unit->status.since_ms, since),
	    restarts, waits);
	unit_lacks(unit, "not ready: ", lacks);
	if (unit->state == UNIT_STARTING && *lacks)
		report_line(unit->app, unit, "%s", lacks);
	if (err.code)
		report_line(unit->app, unit, "last error: %s", err.text);
	report_unit_threads(unit, false);
}

pid_t report_tid(void)
{
	static _Thread_local pid_t tid;

	if (!tid)
		tid = gettid();
	return tid;
}

static bool is_reported(struct app *app, pid_t tid)
{
	bool found = false;

	pthread_mutex_lock(&app->lock);
	for (size_t i = 0; i < app->units.count && !found; i++)
		found = app->units.all[i]->run.start_tid == tid ||
			app->units.all[i]->run.stop_tid == tid;
	for (int i = 0; i < STATES && !found; i++)
		found = app->steps[i].tid == tid;
	pthread_mutex_unlock(&app->lock);
	return found;
}

/* Whether it is a thread to name; fills in what it is called. */
static bool is_other(struct app *app, pid_t tid, char name[static WHERE_NAME])
{
	if (tid == gettid() || worker_is_idle(tid) || is_reported(app, tid))
		return false;
	where_name(getpid(), tid, name);
	return strcmp(name, "cratos-timer") != 0 &&
	       strcmp(name, "cratos-lines") != 0;
}

/*
 * What the other threads of the process do: those that a server has made, and
 * the library's that run a task of one. Only the latter can be asked for their
 * stacks: the program's own may be in good health, or not answer.
 */
void report_other_threads(struct app *app, bool deep)
{
	enum { MAX = 256, SHOWN = 32 };
	char name[WHERE_NAME];
	pid_t tids[MAX];
	size_t count = where_threads(getpid(), tids, MAX), shown = 0;

	for (size_t i = 0; i < count && i < MAX; i++) {
		if (!is_other(app, tids[i], name) || shown++ >= SHOWN)
			continue;
		report_thread(app, NULL, name, tids[i],
		    deep && !strcmp(name, "cratos-worker"));
	}
	if (shown > SHOWN)
		report_line(app, NULL, "%zu threads more", shown - SHOWN);
}

void report_all(struct app *app)
{
	size_t ready = 0, lost = 0;
	char since[32], also[40] = "";

	for (size_t i = 0; i < app->units.count; i++) {
		ready += lifecycle_is_ready(app->units.all[i]->state);
		lost += unit_is_lost(app->units.all[i]);
	}
	if (lost)
		snprintf(also, sizeof(also), ", %zu lost", lost);
	report_line(app, NULL, "%s for %s, %sready; %zu of %zu servers ready%s",
	    app_state_name(app->state),
	    report_duration(clock_ms() - app->state_ms, since),
	    app_ready(app) ? "" : "not ", ready, app->units.count, also);
	for (size_t i = 0; i < app->units.count; i++)
		report_unit(app->units.all[i]);
	for (int i = 0; i < STATES; i++) {
		step_report_retry(&app->steps[i]);
		if (app->steps[i].running)
			report_step_thread(&app->steps[i], false);
	}
	report_other_threads(app, false);
}
