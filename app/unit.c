/*
 * A server in its app.
 *
 * Design notes. The unit's state moves on the loop's thread only, by the table
 * in lifecycle.c; act() does what a transition asks for. Start and stop run as
 * tasks, and tell by mail what happened.
 *
 * Whether start is called at all is decided once, under the lock, by whoever
 * comes first: the task that sets `begun`, or the loop that sets `revoked`. So
 * a stop function is called if and only if start was (A13).
 *
 * Watches are added by the server's own threads and end on the loop's; the
 * list is guarded by the lock. The server has ended when its start has
 * returned an error, when a watch has ended it, or when start has returned 0 and
 * no watch is left.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/internal.h"
#include "errgroup/clock.h"
#include "errgroup/error_thread.h"

static void apply(struct unit *unit, enum unit_event event);

void unit_release(struct unit *unit)
{
	context_free(&unit->turn);
	context_free(&unit->ctx);
	context_free(&unit->host_ctx);
}

void unit_free(struct unit *unit)
{
	unit_release(unit);
	free(unit->endpoint);
	free(unit);
}

/* From any thread, with the lock held. */
static void post(struct unit *unit, unsigned mail)
{
	if (!unit->mail)
		STAILQ_INSERT_TAIL(&unit->app->mail, unit, mail_link);
	unit->mail |= mail;
	run_wake(unit->app);
}

static void post_unlocked(struct unit *unit, unsigned mail)
{
	pthread_mutex_lock(&unit->app->lock);
	post(unit, mail);
	pthread_mutex_unlock(&unit->app->lock);
}

/* ---- the host that the server's context leads to ---- */

static void host_ready(struct server_host *host)
{
	post_unlocked((struct unit *)host, MAIL_READY);
}

/* With the lock held, on the loop's thread. */
static void drop_watch(struct watch *watch)
{
	int fd = watch->source.fd;

	LIST_REMOVE(watch, link);
	watch->unit->watch_count--;
	loop_drop(&watch->unit->app->loop, &watch->source);
	close(fd);
}

static void drop_watches(struct unit *unit)
{
	pthread_mutex_lock(&unit->app->lock);
	while (!LIST_EMPTY(&unit->watches))
		drop_watch(LIST_FIRST(&unit->watches));
	pthread_mutex_unlock(&unit->app->lock);
}

/* The server is over: start will not be heard of again. */
static void over(struct unit *unit, int code)
{
	pthread_mutex_lock(&unit->app->lock);
	unit->start_over = true;
	pthread_mutex_unlock(&unit->app->lock);
	drop_watches(unit);
	unit->watched = false;
	apply(unit, code ? UNIT_FAIL : UNIT_RETURN);
}

static void watch_ready(struct source *source)
{
	struct watch *watch = (struct watch *)source;
	struct unit *unit = watch->unit;
	bool ended;
	int code;

	error_thread.code = 0;
	code = watch->fn(source->fd, watch->arg);
	if (code == SERVER_WATCH_ON)
		return;
	assert(code <= 0 || code == SERVER_WATCH_OFF);
	if (code < 0)
		report_code(unit->app, unit, NULL, code);
	pthread_mutex_lock(&unit->app->lock);
	drop_watch(watch);
	if (code != SERVER_WATCH_OFF) {
		unit->watch_ended = true;
		unit->watch_code = code;
		while (!LIST_EMPTY(&unit->watches))
			drop_watch(LIST_FIRST(&unit->watches));
	}
	ended = !unit->watch_count;
	pthread_mutex_unlock(&unit->app->lock);
	if (ended && unit->watched)
		over(unit, unit->watch_code);
}

static int host_watch(struct server_host *host, int fd, server_watch_fn *fn,
    void *arg)
{
	struct unit *unit = (struct unit *)host;
	struct watch *watch = malloc(sizeof(*watch));
	int ret = -EINVAL;

	if (!watch)
		return -ENOMEM;
	*watch = (struct watch){.source = {.ready = watch_ready, .fd = fd},
	    .unit = unit,
	    .fn = fn,
	    .arg = arg};
	pthread_mutex_lock(&unit->app->lock);
	if (!unit->start_over && !unit->watch_ended)
		ret = loop_add(&unit->app->loop, &watch->source);
	if (!ret) {
		LIST_INSERT_HEAD(&unit->watches, watch, link);
		unit->watch_count++;
	}
	pthread_mutex_unlock(&unit->app->lock);
	if (ret)
		free(watch);
	return ret;
}

/* ---- tasks ---- */

/* The group's context is not the server's: see A4. */
static int start_task(struct context *unused, void *arg)
{
	struct unit *unit = arg;
	bool revoked;
	int code;

	(void)unused;
	pthread_mutex_lock(&unit->app->lock);
	revoked = unit->revoked;
	unit->begun = !revoked;
	post(unit, revoked ? MAIL_SKIPPED : MAIL_BEGUN);
	pthread_mutex_unlock(&unit->app->lock);
	if (revoked)
		return 0;
	code = unit->server.start(unit->ctx, unit->server.arg);
	assert(code <= 0);
	if (code)
		report_code(unit->app, unit, NULL, code);
	pthread_mutex_lock(&unit->app->lock);
	unit->start_code = code;
	unit->ended_ms = clock_ms();
	post(unit, MAIL_RETURNED);
	pthread_mutex_unlock(&unit->app->lock);
	return 0;
}

static int call_stop(struct unit *unit)
{
	struct context *ctx;
	int code;

	/* Out of memory, the stop has to do without its deadline. */
	ctx = run_deadline(unit->host_ctx, unit->stop_deadline_ms);
	code = unit->server.stop(ctx ? ctx : unit->host_ctx, unit->server.arg);
	context_free(&ctx);
	assert(code <= 0);
	return code;
}

static int stop_task(struct context *unused, void *arg)
{
	struct unit *unit = arg;
	bool skip;
	int code;

	(void)unused;
	pthread_mutex_lock(&unit->app->lock);
	skip = unit->skip_stop;
	pthread_mutex_unlock(&unit->app->lock);
	if (skip)
		return 0;
	code = call_stop(unit);
	if (code)
		report_code(unit->app, unit, NULL, code);
	pthread_mutex_lock(&unit->app->lock);
	unit->ended_ms = clock_ms();
	post(unit, MAIL_HALTED);
	pthread_mutex_unlock(&unit->app->lock);
	return 0;
}

/* ---- what transitions ask for ---- */

static void become_ready(struct unit *unit)
{
	if (unit->was_ready)
		return;
	unit->was_ready = true;
	unit->app->ready_count++;
	report_event(unit->app, APP_EVENT_SERVER_READY, unit,
	    clock_ms() - unit->launch_ms, NULL);
}

static void begin_stop(struct unit *unit)
{
	unit->stop_called = true;
	report_event(unit->app, APP_EVENT_SERVER_STOPPING, unit, 0, NULL);
	if (unit->parked) {
		context_cancel(unit->turn, NULL);
	} else {
		context_cancel(unit->ctx, NULL);
		apply(unit, UNIT_HALT);
	}
}

/* Also if it ended at the deadline, and the loop has yet to look at that. */
static bool was_late(const struct unit *unit)
{
	return unit->late || (unit->late_ms && unit->ended_ms >= unit->late_ms);
}

static void be_stopped(struct unit *unit)
{
	struct app *app = unit->app;
	char took[32];
	int64_t ms = clock_ms() - unit->stop_ms;

	if (unit->parked && !unit->stop_called) {
		pthread_mutex_lock(&app->lock);
		unit->skip_stop = true;
		pthread_mutex_unlock(&app->lock);
		context_cancel(unit->turn, NULL);
	}
	if (was_late(unit) && !unit->failed_in_stop) {
		error_set(-ETIMEDOUT, "stopped only after its deadline: %s",
		    report_duration(ms, took));
		report_code(app, unit, NULL, -ETIMEDOUT);
	}
	report_new_errors(app);
	app->stopped_count++;
	/* What was left behind may be all that is left by now. */
	if (app->overdue)
		app->loop.fired = true;
	if (unit->begun)
		report_event(app, APP_EVENT_SERVER_STOPPED, unit, ms, NULL);
	if (unit->ctx)
		context_cancel(unit->ctx, NULL);
}

static void act(struct unit *unit, enum unit_state before)
{
	switch (unit->state) {
	case UNIT_REVOKED:
		pthread_mutex_lock(&unit->app->lock);
		unit->revoked = !unit->begun;
		pthread_mutex_unlock(&unit->app->lock);
		break;
	case UNIT_READY:
		become_ready(unit);
		break;
	case UNIT_UP:
		become_ready(unit);
		report_event(unit->app, APP_EVENT_SERVER_RETURNED, unit, 0,
		    NULL);
		break;
	case UNIT_FAILED:
		run_request_stop(unit->app);
		break;
	case UNIT_STOPPING:
		begin_stop(unit);
		break;
	case UNIT_HALTING:
		if (before != UNIT_STOPPING)
			begin_stop(unit);
		break;
	case UNIT_STOPPED:
		be_stopped(unit);
		break;
	default:
		break;
	}
}

static void apply(struct unit *unit, enum unit_event event)
{
	enum unit_state before = unit->state;

	unit->state = lifecycle_unit(before, event);
	if (unit->state != before)
		act(unit, before);
}

/* ---- what the loop calls ---- */

static int prepare(struct unit *unit)
{
	struct app *app = unit->app;

	unit->host = (struct server_host){.name = unit->name,
	    .ready = host_ready,
	    .watch = host_watch};
	unit->host_ctx =
	    context_with_value(app->base, &server_host_key, &unit->host);
	if (!unit->host_ctx)
		return -errno;
	unit->ctx = context_with_cancel(unit->host_ctx);
	if (!unit->ctx)
		return -errno;
	if (!unit->server.stop)
		return 0;
	unit->turn = context_with_cancel(app->base);
	if (!unit->turn)
		return -errno;
	return errgroup_go_after(app->group, unit->turn, unit->name, stop_task,
	    unit);
}

void unit_launch(struct unit *unit)
{
	struct app *app = unit->app;
	int64_t timeout_ms = unit->server.start_timeout_ms;
	int ret;

	apply(unit, UNIT_LAUNCH);
	unit->launch_ms = clock_ms();
	unit->start_deadline_ms =
	    timeout_ms > 0 ? clock_deadline_ms(timeout_ms) : INT64_MAX;
	loop_arm(&app->loop, unit->start_deadline_ms);
	report_event(app, APP_EVENT_SERVER_STARTING, unit, 0, NULL);
	ret = prepare(unit);
	unit->parked = !ret && unit->server.stop;
	if (!ret)
		ret =
		    errgroup_go_named(app->group, unit->name, start_task, unit);
	if (!ret)
		return;
	report_code(app, unit, NULL, ret);
	unit->stop_ms = clock_ms();
	apply(unit, UNIT_REFUSE);
	run_request_stop(app);
}

/* Its own time to stop, within the app's. */
static int64_t stop_deadline(const struct unit *unit)
{
	int64_t deadline_ms = unit->app->stop_deadline_ms;
	int64_t own_ms;

	if (unit->server.stop_timeout_ms <= 0)
		return deadline_ms;
	own_ms = clock_deadline_ms(unit->server.stop_timeout_ms);
	return own_ms < deadline_ms ? own_ms : deadline_ms;
}

static int64_t add_ms(int64_t ms, int64_t more)
{
	return ms > INT64_MAX - more ? INT64_MAX : ms + more;
}

void unit_stop(struct unit *unit)
{
	unit->stop_ms = clock_ms();
	unit->stop_deadline_ms = stop_deadline(unit);
	unit->late_ms = unit->stop_deadline_ms;
	/* Others may have used up the time: it is not late for that alone. */
	if (unit->late_ms <= unit->stop_ms)
		unit->late_ms = unit->stop_ms + SLACK_MS;
	unit->stuck_ms = add_ms(unit->late_ms, GRACE_MS);
	loop_arm(&unit->app->loop, unit->late_ms);
	apply(unit, UNIT_STOP);
	if (unit->ctx && unit->stop_deadline_ms <= unit->stop_ms)
		context_cancel(unit->ctx, NULL);
}

/* Start has returned; its watches may go on for it. */
static void read_return(struct unit *unit)
{
	bool ended, watches;

	pthread_mutex_lock(&unit->app->lock);
	ended = unit->watch_ended;
	watches = unit->watch_count > 0;
	pthread_mutex_unlock(&unit->app->lock);
	if (unit->start_code)
		over(unit, unit->start_code);
	else if (ended)
		over(unit, unit->watch_code);
	else if (watches)
		unit->watched = true;
	else
		over(unit, 0);
}

void unit_read_mail(struct unit *unit, unsigned mail)
{
	if (mail & MAIL_SKIPPED)
		apply(unit, UNIT_SKIP);
	if (mail & MAIL_BEGUN) {
		apply(unit, UNIT_BEGIN);
		if (!unit->server.notifies &&
		    !((mail & MAIL_RETURNED) && unit->start_code))
			apply(unit, UNIT_ANNOUNCE);
	}
	if (mail & MAIL_READY)
		apply(unit, UNIT_ANNOUNCE);
	if (mail & MAIL_RETURNED)
		read_return(unit);
	if (mail & MAIL_HALTED)
		apply(unit, UNIT_HALT);
}

static bool is_stopping(const struct unit *unit)
{
	return unit->state == UNIT_REVOKED || unit->state == UNIT_STOPPING ||
	       unit->state == UNIT_LEAVING || unit->state == UNIT_HALTING;
}

const char *unit_phase(const struct unit *unit)
{
	return unit->state == UNIT_STOPPING || unit->state == UNIT_HALTING
		   ? "stop"
		   : "start";
}

static const char *hanging(const struct unit *unit)
{
	switch (unit->state) {
	case UNIT_STOPPING:
		return "stop and start have not returned";
	case UNIT_HALTING:
		return "stop has not returned";
	case UNIT_LEAVING:
		return unit->watched ? "its processes have not ended"
				     : "start has not returned";
	default:
		return "no thread for its start";
	}
}

static void not_ready(struct unit *unit)
{
	char after[32];

	error_set(-ETIMEDOUT, "not ready after %s",
	    report_duration(unit->server.start_timeout_ms, after));
	report_code(unit->app, unit, NULL, -ETIMEDOUT);
	run_request_stop(unit->app);
}

/* The deadline to stop has passed: what still runs is told by its context. */
static void be_late(struct unit *unit, int64_t now_ms)
{
	struct error cause;
	char after[32];

	unit->late = unit->app->overdue = true;
	error_set(-ETIMEDOUT, "not stopped after %s: %s",
	    report_duration(now_ms - unit->stop_ms, after), hanging(unit));
	cause = error_of(-ETIMEDOUT);
	error_origin(&cause, unit->name);
	report_event(unit->app, APP_EVENT_TIMEOUT, unit, now_ms - unit->stop_ms,
	    &cause);
	if (unit->ctx)
		context_cancel(unit->ctx, &cause);
}

int64_t unit_check_deadline(struct unit *unit, int64_t now_ms)
{
	if (unit->state == UNIT_LAUNCHED || unit->state == UNIT_STARTING) {
		if (unit->app->state >= APP_STATE_BEFORE_STOP)
			return INT64_MAX;
		if (now_ms < unit->start_deadline_ms)
			return unit->start_deadline_ms;
		unit->start_deadline_ms = INT64_MAX;
		not_ready(unit);
	}
	if (!is_stopping(unit))
		return INT64_MAX;
	if (!unit->late && now_ms < unit->late_ms)
		return unit->late_ms;
	if (!unit->late)
		be_late(unit, now_ms);
	return now_ms < unit->stuck_ms ? unit->stuck_ms : INT64_MAX;
}
