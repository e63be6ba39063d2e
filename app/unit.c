/*
 * A server in its app.
 *
 * Design notes. The unit's state moves on the loop's thread only, by the table
 * in lifecycle.c; count() keeps the counts of its neighbours, and act() does what
 * a transition asks for. Start and stop run as tasks, and tell by mail what
 * happened.
 *
 * Order. `unmet` is the number of links to units that this one still waits for
 * before it may start; `held` that of links from units that are to be stopped
 * before it (they are `leaving`) and of which something runs. Both change with
 * the neighbours' transitions only, and who gets to 0 is queued. Nothing starts
 * or stops from within a transition, so that a chain of any length costs no
 * stack, and a set of units that leave together is marked before the first of
 * them is looked at.
 *
 * A unit that starts again goes through stop first, whatever it was. All that
 * belongs to one start is in `run`, which is made anew with each launch, as are
 * the errors of start and stop: by then both tasks of the last have told all that
 * they had to tell, so nothing of it can be taken for the new one's.
 *
 * Whether start is called at all is decided once, under the lock, by whoever
 * comes first: the task that sets `begun`, or the loop that sets `revoked`. So
 * a stop function is called if and only if start was (A13).
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/internal.h"
#include "app/names.h"
#include "errgroup/after.h"
#include "errgroup/clock.h"
#include "errgroup/error_thread.h"

static void apply(struct unit *unit, enum unit_event event);

void unit_release(struct unit *unit)
{
	context_free(&unit->run.stop_ctx);
	context_free(&unit->run.turn);
	context_free(&unit->run.ctx);
}

void unit_free(struct unit *unit)
{
	unit_release(unit);
	if (unit->server.release)
		unit->server.release(unit->server.arg);
	list_free(unit->server.after);
	list_free(unit->server.wants);
	free(unit->restarts);
	free(unit->endpoint);
	free(unit->errors);
	free(unit);
}

/* Most units never have one, and it is as large as all the rest of a unit. */
void unit_set_error(struct unit *unit, enum unit_error which,
    const struct error *err)
{
	unit->error_codes[which] = err ? err->code : 0;
	if (!err)
		return;
	if (!unit->errors)
		unit->errors = calloc(UNIT_ERRORS, sizeof(*unit->errors));
	if (unit->errors)
		unit->errors[which] = *err;
}

struct error unit_error(const struct unit *unit, enum unit_error which)
{
	int code = unit->error_codes[which];
	struct error err = {0};

	if (!code)
		return err;
	/* One that there was no memory for has no words, or those of another. */
	if (unit->errors && unit->errors[which].code == code)
		err = unit->errors[which];
	else
		err = error_plain(code);
	error_origin(&err, unit->name);
	return err;
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

static void host_fail(struct server_host *host, int code)
{
	struct unit *unit = (struct unit *)host;

	unit_keep_failure(unit, code);
	post_unlocked(unit, MAIL_FAILED);
}

static void host_extend(struct server_host *host, int64_t time_ms)
{
	struct unit *unit = (struct unit *)host;

	pthread_mutex_lock(&unit->app->lock);
	unit->run.extended_ms = clock_deadline_ms(time_ms);
	post(unit, MAIL_EXTENDED);
	pthread_mutex_unlock(&unit->app->lock);
}

/* The loop looks when the next is due, and need not be told of each. */
static void host_heartbeat(struct server_host *host)
{
	struct unit *unit = (struct unit *)host;

	pthread_mutex_lock(&unit->app->lock);
	unit->run.beat_ms = clock_ms();
	if (unit->run.silent)
		post(unit, MAIL_BEAT);
	pthread_mutex_unlock(&unit->app->lock);
}

static bool host_ending(const struct server_host *host)
{
	const struct unit *unit = (const struct unit *)host;

	return unit->app->stopping || unit->leaving;
}

void unit_over(struct unit *unit, int code)
{
	pthread_mutex_lock(&unit->app->lock);
	unit->run.start_over = true;
	watch_drop_all(unit);
	pthread_mutex_unlock(&unit->app->lock);
	unit->run.watched = false;
	apply(unit,
	    code || policy_restarts(unit, false) ? UNIT_END : UNIT_RETURN);
}

/* With the lock held: for all that is known now, its failure is the app's. */
static bool fails_the_app(const struct unit *unit)
{
	if (unit->app->stopping)
		return !unit->server.optional;
	return !unit->leaving && !policy_absorbs(unit);
}

void unit_keep_failure(struct unit *unit, int code)
{
	struct error err = error_of(code);
	bool reported;

	error_origin(&err, unit->name);
	pthread_mutex_lock(&unit->app->lock);
	reported = fails_the_app(unit);
	unit_set_error(unit, UNIT_ERROR_START, &err);
	unit->run.reported = reported;
	pthread_mutex_unlock(&unit->app->lock);
	if (reported)
		report_error(unit->app, unit, NULL, &err);
}

void unit_init_host(struct unit *unit)
{
	static const struct server_host_ops ops = {.ready = host_ready,
	    .fail = host_fail,
	    .extend = host_extend,
	    .heartbeat = host_heartbeat,
	    .watch = watch_add,
	    .ending = host_ending};

	unit->host = (struct server_host){.name = unit->name, .ops = &ops};
}

/* ---- tasks ---- */

/* The group's context is not the server's: see A4. */
static int start_task(struct context *unused, void *arg)
{
	struct unit *unit = arg;
	int code = unit->joined ? instance_ask(unit) : 0;
	bool revoked;

	(void)unused;
	pthread_mutex_lock(&unit->app->lock);
	revoked = unit->run.revoked;
	unit->run.begun = !revoked && !code;
	unit->run.start_tid = unit->run.begun ? report_tid() : 0;
	if (revoked)
		post(unit, MAIL_SKIPPED);
	else if (!code)
		post(unit, MAIL_BEGUN);
	pthread_mutex_unlock(&unit->app->lock);
	if (revoked)
		return 0;
	if (!code)
		code = unit->server.start(unit->run.ctx, unit->server.arg);
	assert(code <= 0);
	if (code)
		unit_keep_failure(unit, code);
	pthread_mutex_lock(&unit->app->lock);
	unit->run.start_tid = 0;
	unit->run.start_code = code;
	unit->run.ended_ms = clock_ms();
	post(unit,
	    unit->run.begun ? MAIL_RETURNED : MAIL_BEGUN | MAIL_RETURNED);
	pthread_mutex_unlock(&unit->app->lock);
	return 0;
}

static struct context *new_stop_context(struct unit *unit)
{
	int64_t deadline_ms;

	pthread_mutex_lock(&unit->app->lock);
	deadline_ms = unit->run.stop_deadline_ms;
	pthread_mutex_unlock(&unit->app->lock);
	return context_detached(unit->run.ctx, deadline_ms);
}

static int call_stop(struct unit *unit)
{
	struct context *ahead = unit->run.stop_ctx, *own = NULL, *ctx;
	int code;

	if (!ahead)
		own = new_stop_context(unit);
	/* Out of memory, the stop has to do with start's, which lives as long. */
	ctx = ahead ? ahead : own ? own : unit->run.ctx;
	code = unit->server.stop(ctx, unit->server.arg);
	assert(code <= 0);
	context_free(&own);
	return code;
}

/*
 * The first allocation of a thread costs as much as many stops, so the contexts
 * of a few are the loop's, which has allocated before. Those of many would only
 * take room at the same time.
 */
static void make_stop_context_ahead(struct unit *unit)
{
	struct app *app = unit->app;

	if (unit->run.skip_stop || app->stops_ahead == STOPS_AHEAD)
		return;
	unit->run.stop_ctx = new_stop_context(unit);
	if (unit->run.stop_ctx)
		app->stops_ahead++;
}

static void free_stop_context(struct unit *unit)
{
	if (unit->run.stop_ctx)
		unit->app->stops_ahead--;
	context_free(&unit->run.stop_ctx);
}

/*
 * While the app runs, an error of a stop keeps nobody from starting again; nor
 * is that of a server that the app can do without one of the app's.
 */
static void keep_stop_error(struct unit *unit, int code)
{
	struct error err = error_of(code);
	bool of_app;

	error_origin(&err, unit->name);
	pthread_mutex_lock(&unit->app->lock);
	of_app = unit->app->stopping && !unit->server.optional;
	if (!of_app)
		unit_set_error(unit, UNIT_ERROR_STOP, &err);
	pthread_mutex_unlock(&unit->app->lock);
	if (of_app)
		report_error(unit->app, unit, NULL, &err);
}

static int stop_task(struct context *unused, void *arg)
{
	struct unit *unit = arg;
	bool skip;
	int code = 0;

	(void)unused;
	pthread_mutex_lock(&unit->app->lock);
	skip = unit->run.skip_stop;
	unit->run.stop_tid = skip ? 0 : report_tid();
	pthread_mutex_unlock(&unit->app->lock);
	if (!skip)
		code = call_stop(unit);
	if (code)
		keep_stop_error(unit, code);
	pthread_mutex_lock(&unit->app->lock);
	unit->run.stop_tid = 0;
	unit->run.ended_ms = clock_ms();
	post(unit, MAIL_HALTED);
	pthread_mutex_unlock(&unit->app->lock);
	return 0;
}

/* ---- what transitions ask for ---- */

bool unit_is_lost(const struct unit *unit)
{
	return unit->state == UNIT_LOST || unit->given_up || unit->losing;
}

/* The app goes on without it. */
static bool is_gone(enum unit_state state)
{
	return state == UNIT_LOST || state == UNIT_OFF;
}

bool unit_is_settled(const struct unit *unit)
{
	return lifecycle_is_ready(unit->state) || is_gone(unit->state) ||
	       unit->given_up;
}

bool unit_is_unsettled(const struct unit *unit)
{
	return !unit_is_settled(unit);
}

bool unit_is_silent(const struct unit *unit)
{
	return unit->run.silent;
}

void unit_list(const struct app *app, bool (*test)(const struct unit *unit),
    char list[static UNIT_LIST_SIZE])
{
	struct names names;

	names_init(&names, list, UNIT_LIST_SIZE);
	for (size_t i = 0; i < app->units.count; i++)
		if (test(app->units.all[i]))
			names_add(&names, "%s", app->units.all[i]->name);
	names_end(&names);
}

struct unit *unit_first_not_ready(const struct app *app)
{
	struct unit *waits = NULL;

	for (size_t i = 0; i < app->units.count; i++) {
		struct unit *unit = app->units.all[i];

		if (!unit_is_settled(unit) && unit->state != UNIT_NEW)
			return unit;
		if (!unit_is_settled(unit) && !waits)
			waits = unit;
	}
	return waits;
}

int64_t unit_start_deadline_ms(const struct app *app)
{
	int64_t latest_ms = 0;

	for (size_t i = 0; i < app->units.count; i++) {
		const struct unit *unit = app->units.all[i];

		if (unit_is_settled(unit))
			continue;
		if (unit->state != UNIT_LAUNCHED &&
		    unit->state != UNIT_STARTING)
			return INT64_MAX;
		if (unit->run.start_deadline_ms > latest_ms)
			latest_ms = unit->run.start_deadline_ms;
	}
	return latest_ms ? latest_ms : INT64_MAX;
}

void unit_queue(struct unit *unit)
{
	if (unit->due)
		return;
	unit->due = true;
	STAILQ_INSERT_TAIL(&unit->app->due, unit, due_link);
}

/* It is met, or missed again, by what comes after it. */
static void count_users(struct unit *unit, bool was_ready, bool was_settled)
{
	bool ready = lifecycle_is_ready(unit->state);
	bool settled = unit_is_settled(unit);

	for (size_t i = 0; i < unit->links.user_count; i++) {
		const struct link *link = &unit->links.users[i];
		bool before = link->need ? was_ready : was_settled;
		bool after = link->need ? ready : settled;

		if (before != after)
			link->unit->unmet += after ? -1U : 1;
		if (!link->unit->unmet)
			unit_queue(link->unit);
	}
}

/* It does not hold up those before it any more. */
static void let_go(struct unit *unit)
{
	for (size_t i = 0; i < unit->links.on_count; i++) {
		struct unit *before = unit->links.on[i].unit;

		if (!--before->held && before->leaving)
			unit_queue(before);
	}
}

static void count(struct unit *unit, enum unit_state before)
{
	struct app *app = unit->app;
	bool was_ready = lifecycle_is_ready(before);
	bool was_settled = was_ready || is_gone(before) || unit->given_up;
	bool settled = unit_is_settled(unit);
	bool was_down = lifecycle_is_down(before);
	bool down = lifecycle_is_down(unit->state);

	app->settled_count += (size_t)settled - was_settled;
	app->down_count += (size_t)down - was_down;
	if (was_ready != lifecycle_is_ready(unit->state) ||
	    was_settled != settled)
		count_users(unit, was_ready, was_settled);
	if (down && !was_down && unit->leaving)
		let_go(unit);
}

/* In one hold, so that no app is ready with a server that is not. */
static void publish(struct unit *unit, enum unit_state before)
{
	/* What was lost remains so when all stops. */
	enum server_state shown =
	    before == UNIT_LOST && unit->state == UNIT_STOPPED
		? SERVER_LOST
		: lifecycle_shown(unit->state);
	bool settled = unit_is_settled(unit);
	int64_t now_ms = clock_ms();

	pthread_mutex_lock(&unit->app->lock);
	if (unit->status.state != shown)
		unit->status.since_ms = now_ms;
	unit->status.state = shown;
	if (lifecycle_is_ready(unit->state) && !lifecycle_is_ready(before)) {
		unit->run.ready_ms = unit->run.beat_ms = now_ms;
		unit->status.start_ms = now_ms - unit->run.launch_ms;
	}
	if (lifecycle_is_down(unit->state) && !lifecycle_is_down(before))
		unit->status.stop_ms = now_ms - unit->run.stop_ms;
	if (!settled)
		status_hide_ready(unit->app);
	pthread_mutex_unlock(&unit->app->lock);
	unit->app->manager.news = unit->app->manager.progress = true;
	/* Not ready any more: said before all else that follows. */
	if (!settled)
		status_update_ready(unit->app);
}

static int64_t heartbeat_due_ms(const struct unit *unit)
{
	int64_t beat_ms;

	if (unit->server.heartbeat_ms <= 0)
		return INT64_MAX;
	pthread_mutex_lock(&unit->app->lock);
	beat_ms = unit->run.beat_ms;
	pthread_mutex_unlock(&unit->app->lock);
	return beat_ms < INT64_MAX - unit->server.heartbeat_ms
		   ? beat_ms + unit->server.heartbeat_ms
		   : INT64_MAX;
}

static void set_silent(struct unit *unit, bool silent)
{
	pthread_mutex_lock(&unit->app->lock);
	unit->run.silent = silent;
	pthread_mutex_unlock(&unit->app->lock);
	if (silent)
		unit->app->silent_count++;
	else
		unit->app->silent_count--;
	unit->app->manager.news = true;
}

/* It promises nothing while it does not run; that is not its heartbeat. */
static void promise_over(struct unit *unit)
{
	if (unit->run.silent && !lifecycle_is_ready(unit->state))
		set_silent(unit, false);
}

static void become_ready(struct unit *unit)
{
	loop_arm(&unit->app->loop, heartbeat_due_ms(unit));
	report_event(unit->app, APP_EVENT_SERVER_READY, unit,
	    unit->run.ready_ms - unit->run.launch_ms, NULL);
}

static void become_up(struct unit *unit, enum unit_state before)
{
	if (!lifecycle_is_ready(before))
		become_ready(unit);
	report_event(unit->app, APP_EVENT_SERVER_RETURNED, unit, 0, NULL);
	if (unit->server.on_return == SERVER_STOPS_APP)
		run_request_stop(unit->app);
}

/* The task is there for a stop that is not to be called. */
static void skip_stop(struct unit *unit)
{
	pthread_mutex_lock(&unit->app->lock);
	unit->run.skip_stop = true;
	pthread_mutex_unlock(&unit->app->lock);
}

void unit_post_turns(struct app *app)
{
	if (!app->turn_count)
		return;
	app->turn_count = 0;
	worker_post_all(&app->turns); /* takes them off */
}

static void begin_stop(struct unit *unit)
{
	unit->run.stop_called = true;
	if (unit->run.begun)
		report_event(unit->app, APP_EVENT_SERVER_STOPPING, unit, 0,
		    NULL);
	else
		skip_stop(unit);
	if (unit->run.parked) {
		make_stop_context_ahead(unit);
		context_cancel_for_jobs(unit->run.turn, &unit->app->turns);
		if (++unit->app->turn_count == TURNS_MAX)
			unit_post_turns(unit->app);
	} else {
		if (unit->run.ctx)
			context_cancel(unit->run.ctx, NULL);
		apply(unit, UNIT_HALT);
	}
}

/* Also if it ended at the deadline, and the loop has yet to look at that. */
static bool was_late(const struct unit *unit)
{
	const struct unit_run *run = &unit->run;

	return run->late || (run->stop_deadline_ms &&
				run->ended_ms >= run->stop_deadline_ms);
}

/* An error of its stop, while the app runs. */
static void tell_stop_error(struct unit *unit)
{
	struct error err;

	pthread_mutex_lock(&unit->app->lock);
	err = unit_error(unit, UNIT_ERROR_STOP);
	if (err.code)
		unit_set_error(unit, UNIT_ERROR_LAST, &err);
	pthread_mutex_unlock(&unit->app->lock);
	if (err.code)
		report_event(unit->app, APP_EVENT_SERVER_FAILED, unit, 0, &err);
}

/* Threads that keep a failure look at it. */
static void set_leaving(struct unit *unit, bool leaving)
{
	if (unit->leaving == leaving)
		return;
	pthread_mutex_lock(&unit->app->lock);
	unit->leaving = leaving;
	pthread_mutex_unlock(&unit->app->lock);
}

/* Nothing of it runs: what is to come of it? */
static void go_on(struct unit *unit)
{
	set_leaving(unit, false);
	if (unit->app->stopping)
		return;
	if (unit->losing)
		apply(unit, UNIT_LOSE);
	else if (unit->going_off)
		apply(unit, UNIT_SWITCH_OFF);
	else if (unit->again && !unit->removed)
		apply(unit, UNIT_AGAIN);
}

static void be_stopped(struct unit *unit)
{
	struct app *app = unit->app;
	int64_t ms = clock_ms() - unit->run.stop_ms;
	char took[32];

	if (was_late(unit) && !unit->run.failed_in_stop && app->stopping) {
		error_set(-ETIMEDOUT, "stopped only after its deadline: %s",
		    report_duration(ms, took));
		report_code(app, unit, NULL, -ETIMEDOUT);
	}
	report_new_errors(app);
	tell_stop_error(unit);
	/* What was left behind may be all that is left by now. */
	if (app->overdue)
		app->loop.fired = true;
	/* Also of one whose start was not called: it was told to be starting. */
	report_event(app, APP_EVENT_SERVER_STOPPED, unit, ms, NULL);
	if (unit->run.ctx && !context_err(unit->run.ctx))
		context_cancel(unit->run.ctx, NULL);
	go_on(unit);
}

/* start has ended, and that is not the end of it. */
static void be_ended(struct unit *unit)
{
	struct error err;

	pthread_mutex_lock(&unit->app->lock);
	err = unit_error(unit, UNIT_ERROR_START);
	pthread_mutex_unlock(&unit->app->lock);
	policy_fail(unit, err.code ? &err : NULL);
}

/* It has said so itself, and its end, which is to come, says it no more. */
static void be_failing(struct unit *unit)
{
	struct error err;

	if (unit->state != UNIT_STARTING && !lifecycle_is_ready(unit->state))
		return;
	pthread_mutex_lock(&unit->app->lock);
	err = unit_error(unit, UNIT_ERROR_START);
	unit_set_error(unit, UNIT_ERROR_START, NULL);
	pthread_mutex_unlock(&unit->app->lock);
	if (err.code)
		policy_fail(unit, &err);
}

static void be_lost(struct unit *unit)
{
	struct error loss;

	unit->losing = unit->again = false;
	if (unit->given_up) {
		/* It was told to be lost; now it can start again. */
		pthread_mutex_lock(&unit->app->lock);
		unit->given_up = false;
		pthread_mutex_unlock(&unit->app->lock);
		return;
	}
	/* Its stop may have failed as well: that is not why it is lost. */
	pthread_mutex_lock(&unit->app->lock);
	loss = unit_error(unit, UNIT_ERROR_LOSS);
	unit_set_error(unit, UNIT_ERROR_LAST, &loss);
	pthread_mutex_unlock(&unit->app->lock);
	report_event(unit->app, APP_EVENT_SERVER_LOST, unit, 0, &loss);
}

static void act(struct unit *unit, enum unit_state before)
{
	switch (unit->state) {
	case UNIT_NEW:
		unit_queue(unit);
		break;
	case UNIT_REVOKED:
		pthread_mutex_lock(&unit->app->lock);
		unit->run.revoked = !unit->run.begun;
		pthread_mutex_unlock(&unit->app->lock);
		break;
	case UNIT_READY:
		become_ready(unit);
		break;
	case UNIT_UP:
		become_up(unit, before);
		break;
	case UNIT_ENDED:
		be_ended(unit);
		break;
	case UNIT_STOPPING:
		begin_stop(unit);
		break;
	case UNIT_HALTING:
		if (before == UNIT_STOPPING)
			be_ended(unit);
		else
			begin_stop(unit);
		break;
	case UNIT_STOPPED:
		if (before == UNIT_LEAVING)
			be_ended(unit);
		if (!lifecycle_is_down(before))
			be_stopped(unit);
		break;
	case UNIT_BACKOFF:
		unit->again = false;
		loop_arm(&unit->app->loop, unit->restart_ms);
		break;
	case UNIT_LOST:
		be_lost(unit);
		break;
	case UNIT_OFF:
		unit->going_off = unit->again = false;
		break;
	default:
		break;
	}
}

static void apply(struct unit *unit, enum unit_event event)
{
	enum unit_state before = unit->state;

	unit->state = lifecycle_unit(before, event);
	if (unit->state == before)
		return;
	count(unit, before);
	publish(unit, before);
	promise_over(unit);
	act(unit, before);
	status_update_ready(unit->app);
}

/* ---- start and stop, when it is their turn ---- */

static int prepare(struct unit *unit)
{
	struct app *app = unit->app;
	struct unit_run *run = &unit->run;
	int ret;

	run->ctx = context_with_value(app->base, &server_host_key, &unit->host);
	if (!run->ctx)
		return -errno;
	if (!unit->server.stop)
		return 0;
	ret = run_reserve_thread(app);
	if (ret)
		return ret;
	run->turn = context_for_jobs(app->base);
	if (!run->turn)
		return -errno;
	return errgroup_go_after(app->group, run->turn, unit->name, stop_task,
	    unit);
}

int64_t unit_stuck_ms(const struct unit *unit)
{
	int64_t deadline_ms = unit->run.stop_deadline_ms;

	return deadline_ms > INT64_MAX - GRACE_MS ? INT64_MAX
						  : deadline_ms + GRACE_MS;
}

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
	return a_ms < b_ms ? a_ms : b_ms;
}

/* The app's time to stop, or as much as it would have. */
static int64_t latest_stop(const struct unit *unit)
{
	const struct app *app = unit->app;

	if (app->stopping)
		return app->stop_deadline_ms;
	return app->stop_timeout_ms < 0
		   ? INT64_MAX
		   : clock_deadline_from_ms((unit->run.stop_ms + 1) *
						NS_PER_MS, /* rounded down */
			 app->stop_timeout_ms);
}

/* Its own time to stop, within that. */
static int64_t stop_deadline(const struct unit *unit)
{
	int64_t deadline_ms = latest_stop(unit);

	if (unit->server.stop_timeout_ms <= 0)
		return deadline_ms;
	return earlier(deadline_ms,
	    clock_deadline_ms(unit->server.stop_timeout_ms));
}

static void set_stop_deadline(struct unit *unit, int64_t deadline_ms)
{
	struct unit_run *run = &unit->run;

	/* Others may have used up the time: a moment is there for each. */
	if (deadline_ms < run->stop_ms + SLACK_MS)
		deadline_ms = run->stop_ms + SLACK_MS;
	pthread_mutex_lock(&unit->app->lock);
	run->stop_deadline_ms = deadline_ms;
	pthread_mutex_unlock(&unit->app->lock);
	loop_arm(&unit->app->loop, deadline_ms);
}

/* It has asked for time, to start or to stop in. */
static void extend(struct unit *unit)
{
	struct unit_run *run = &unit->run;
	int64_t until_ms;

	pthread_mutex_lock(&unit->app->lock);
	until_ms = run->extended_ms;
	pthread_mutex_unlock(&unit->app->lock);
	unit->app->manager.news = unit->app->manager.progress = true;
	if (unit_is_stopping(unit)) {
		until_ms = earlier(until_ms, latest_stop(unit));
		if (!run->late && until_ms > run->stop_deadline_ms)
			set_stop_deadline(unit, until_ms);
	} else if (until_ms > run->start_deadline_ms) {
		run->start_deadline_ms = until_ms;
	}
}

static void launch(struct unit *unit)
{
	struct app *app = unit->app;
	int64_t timeout_ms = unit->server.start_timeout_ms;
	int ret;

	unit_release(unit);
	pthread_mutex_lock(&app->lock);
	unit->run = (struct unit_run){.launch_ms = clock_ms()};
	unit->status.starts++;
	unit_set_error(unit, UNIT_ERROR_START, NULL);
	unit_set_error(unit, UNIT_ERROR_STOP, NULL);
	pthread_mutex_unlock(&app->lock);
	apply(unit, UNIT_LAUNCH);
	unit->run.start_deadline_ms =
	    timeout_ms > 0 ? clock_deadline_ms(timeout_ms) : INT64_MAX;
	/* The others are ready as soon as they have a thread. */
	unit->run.slow_ms = unit->server.notifies || unit->server.oneshot
				? clock_deadline_ms(SLOW_MS)
				: INT64_MAX;
	loop_arm(&app->loop,
	    earlier(unit->run.start_deadline_ms, unit->run.slow_ms));
	report_event(app, APP_EVENT_SERVER_STARTING, unit, 0, NULL);
	ret = prepare(unit);
	unit->run.parked = !ret && unit->server.stop;
	if (!ret)
		ret =
		    errgroup_go_named(app->group, unit->name, start_task, unit);
	if (!ret)
		return;
	report_code(app, unit, NULL, ret);
	unit->run.stop_ms = clock_ms();
	set_stop_deadline(unit, stop_deadline(unit));
	apply(unit, UNIT_REFUSE);
	run_request_stop(app);
}

void unit_stop(struct unit *unit)
{
	unit->run.stop_ms = clock_ms();
	set_stop_deadline(unit, stop_deadline(unit));
	apply(unit, UNIT_STOP);
}

void unit_leave(struct unit *unit)
{
	if (unit->leaving)
		return;
	set_leaving(unit, true);
	if (!lifecycle_is_down(unit->state))
		for (size_t i = 0; i < unit->links.on_count; i++)
			unit->links.on[i].unit->held++;
	unit_queue(unit);
}

void unit_switch_off(struct unit *unit)
{
	unit->going_off = true;
	unit->again = unit->losing = false;
	if (lifecycle_is_down(unit->state))
		apply(unit, UNIT_SWITCH_OFF);
	else
		unit_leave(unit);
}

void unit_start_now(struct unit *unit)
{
	unit->restart_ms = clock_ms();
	if (unit->going_off || unit->losing)
		unit->again = true;
	unit->going_off = unit->losing = false;
	if (unit->state == UNIT_BACKOFF)
		loop_arm(&unit->app->loop, unit->restart_ms);
	else
		apply(unit, UNIT_AGAIN);
}

void unit_end(struct unit *unit)
{
	unit->again = unit->losing = unit->going_off = false;
	unit_leave(unit);
	if (unit_is_stopping(unit) && !unit->run.late &&
	    unit->run.stop_deadline_ms > unit->app->stop_deadline_ms)
		set_stop_deadline(unit, unit->app->stop_deadline_ms);
}

/*
 * What needs it is told first, so that it is on its way out, too, when it is the
 * unit's turn to stop.
 */
void unit_lose(struct unit *unit)
{
	unit->losing = true;
	unit->again = false;
	for (size_t i = 0; i < unit->links.user_count; i++) {
		const struct link *link = &unit->links.users[i];

		/* One that was to stay stopped is waited for. */
		if (!link->need || unit->going_off)
			continue;
		link->unit->bereft = true;
		unit_queue(link->unit);
	}
	if (lifecycle_is_down(unit->state))
		apply(unit, UNIT_LOSE);
	else
		unit_leave(unit);
}

void unit_give_up(struct unit *unit)
{
	unit_lose(unit);
	be_lost(unit);
	unit->losing = true; /* for when it comes back after all */
	pthread_mutex_lock(&unit->app->lock);
	unit->given_up = true;
	pthread_mutex_unlock(&unit->app->lock);
	unit->app->settled_count++;
	count_users(unit, false, false);
	status_update_ready(unit->app);
}

/* It must not start on what is about to be stopped. */
static bool may_start(const struct unit *unit)
{
	for (size_t i = 0; i < unit->links.on_count; i++) {
		const struct unit *before = unit->links.on[i].unit;

		if (before->leaving && !before->given_up)
			return false;
	}
	return !unit->unmet && run_may_start(unit->app);
}

void unit_settle(struct unit *unit)
{
	if (unit->bereft && !unit->app->stopping) {
		unit->bereft = false;
		policy_bereft(unit);
		unit_queue(unit); /* after what needs it */
	} else if (unit->leaving && lifecycle_is_down(unit->state)) {
		apply(unit, UNIT_STOP);
	} else if (unit->leaving) {
		if (!unit->held && !unit_is_stopping(unit))
			unit_stop(unit);
	} else if (unit->state == UNIT_NEW && may_start(unit)) {
		launch(unit);
	}
}

/* ---- what the loop calls ---- */

/* Start has returned; its watches may go on for it. */
static void read_return(struct unit *unit)
{
	bool ended, watches;

	pthread_mutex_lock(&unit->app->lock);
	ended = unit->run.watch_ended;
	watches = unit->watch_count > 0;
	pthread_mutex_unlock(&unit->app->lock);
	if (unit->run.start_code)
		unit_over(unit, unit->run.start_code);
	else if (ended)
		unit_over(unit, unit->run.watch_code);
	else if (watches)
		unit->run.watched = true;
	else
		unit_over(unit, 0);
}

void unit_take_order(struct unit *unit)
{
	enum unit_order order;

	pthread_mutex_lock(&unit->app->lock);
	order = unit->order;
	if (run_takes_orders(unit->app))
		unit->order = UNIT_NO_ORDER;
	else
		unit->app->orders_wait = true;
	pthread_mutex_unlock(&unit->app->lock);
	if (order && run_takes_orders(unit->app))
		policy_order(unit, order);
}

/* The last one counts. */
static int give_order(struct app *app, const char *name, enum unit_order order)
{
	struct unit *unit;
	int ret = 0;

	pthread_mutex_lock(&app->lock);
	unit = units_find(&app->units, name);
	if (!unit)
		ret = -ENOENT;
	else if (!app->running || app->stopping || app->stop_wanted)
		ret = -ESHUTDOWN;
	else
		unit->order = order;
	if (!ret)
		post(unit, MAIL_ORDER);
	pthread_mutex_unlock(&app->lock);
	if (ret == -ENOENT)
		return error_set(ret, "no server is called %.64s", name);
	return ret ? error_set(ret, "the app does not run, or stops") : 0;
}

int app_server_start(struct app *app, const char *name)
{
	return give_order(app, name, UNIT_ORDER_START);
}

int app_server_stop(struct app *app, const char *name)
{
	return give_order(app, name, UNIT_ORDER_STOP);
}

int app_server_restart(struct app *app, const char *name)
{
	return give_order(app, name, UNIT_ORDER_RESTART);
}

int app_server_signal(struct app *app, const char *name, int signal)
{
	struct unit *unit;
	int ret = -ENOENT;

	pthread_mutex_lock(&app->lock);
	unit = units_find(&app->units, name);
	if (unit)
		ret = unit->server.signal
			  ? unit->server.signal(unit->server.arg, signal)
			  : -EOPNOTSUPP;
	pthread_mutex_unlock(&app->lock);
	switch (ret) {
	case -ENOENT:
		return error_set(ret, "no server is called %.64s", name);
	case -EOPNOTSUPP:
		return error_set(ret, "%s is no program that could be sent it",
		    name);
	case -ESRCH:
		return error_set(ret, "no process of %s runs", name);
	default:
		return ret;
	}
}

static void beat_again(struct unit *unit)
{
	if (!unit->run.silent)
		return;
	set_silent(unit, false);
	loop_arm(&unit->app->loop, heartbeat_due_ms(unit));
	report_event(unit->app, APP_EVENT_SERVER_BEATS, unit, 0, NULL);
}

void unit_read_mail(struct unit *unit, unsigned mail)
{
	if (mail & MAIL_SKIPPED)
		apply(unit, UNIT_SKIP);
	if (mail & MAIL_BEGUN) {
		apply(unit, UNIT_BEGIN);
		if (!unit->server.notifies && !unit->server.oneshot &&
		    !((mail & MAIL_RETURNED) && unit->run.start_code))
			apply(unit, UNIT_ANNOUNCE);
	}
	if (mail & MAIL_READY && !unit->server.oneshot)
		apply(unit, UNIT_ANNOUNCE);
	if (mail & MAIL_EXTENDED)
		extend(unit);
	if (mail & MAIL_BEAT)
		beat_again(unit);
	if (mail & MAIL_ORDER)
		unit_take_order(unit);
	if (mail & MAIL_FAILED)
		be_failing(unit);
	if (mail & MAIL_RETURNED)
		read_return(unit);
	if (mail & MAIL_HALTED) {
		free_stop_context(unit);
		apply(unit, UNIT_HALT);
	}
}

bool unit_is_stopping(const struct unit *unit)
{
	return lifecycle_shown(unit->state) == SERVER_STOPPING;
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
		return unit->run.watched ? "its processes have not ended"
					 : "start has not returned";
	default:
		return "no thread for its start";
	}
}

void unit_lacks(const struct unit *unit, const char *before,
    char text[static LACKS_SIZE])
{
	char lacks[LACKS_SIZE - 32] = "";

	if (unit->server.lacks)
		unit->server.lacks(unit->server.arg, lacks, sizeof(lacks));
	snprintf(text, LACKS_SIZE, "%s%s", *lacks ? before : "", lacks);
}

static struct error slow_error(const struct unit *unit, int code,
    const char *word, int64_t time_ms)
{
	struct error err;
	char after[32], lacks[LACKS_SIZE];

	unit_lacks(unit, ": ", lacks);
	error_set(code, "not %s after %s%s", word,
	    report_duration(time_ms, after), lacks);
	err = error_of(code);
	error_origin(&err, unit->name);
	return err;
}

static void not_ready(struct unit *unit, int64_t now_ms)
{
	int64_t time_ms = unit->run.extended_ms ? now_ms - unit->run.launch_ms
						: unit->server.start_timeout_ms;
	struct error err = slow_error(unit, -ETIMEDOUT, "ready", time_ms);

	unit->run.start_deadline_ms = INT64_MAX;
	policy_fail(unit, &err);
}

/* It may well get ready still, but perhaps waits for what does not come. */
static void tell_slow(struct unit *unit, int64_t now_ms)
{
	int64_t time_ms = now_ms - unit->run.launch_ms;
	struct error err = slow_error(unit, -EINPROGRESS,
	    unit->server.oneshot ? "done" : "ready", time_ms);

	unit->run.slow_ms = unit->run.launch_ms + SLOWER * time_ms;
	unit->app->manager.news = true; /* what it lacks may be known now */
	report_event(unit->app, APP_EVENT_SERVER_SLOW, unit, time_ms, &err);
}

static struct error late_error(const struct unit *unit, const char *text,
    int64_t now_ms)
{
	struct error err;
	char after[32];

	error_set(-ETIMEDOUT, "%s after %s: %s", text,
	    report_duration(now_ms - unit->run.stop_ms, after), hanging(unit));
	err = error_of(-ETIMEDOUT);
	error_origin(&err, unit->name);
	return err;
}

/* The deadline to stop has passed: what still runs is told by its context. */
static void be_late(struct unit *unit, int64_t now_ms)
{
	struct error cause = late_error(unit, "not stopped", now_ms);

	unit->run.late = true;
	stuck_prepare(unit->app);
	report_event(unit->app, APP_EVENT_TIMEOUT, unit,
	    now_ms - unit->run.stop_ms, &cause);
	if (unit->run.ctx)
		context_cancel(unit->run.ctx, &cause);
}

/* In a stop of the app run.c tells, when nothing else is left. */
static void be_stuck(struct unit *unit, int64_t now_ms)
{
	struct error err = late_error(unit,
	    unit->again ? "cannot be started again: not stopped"
			: "still not stopped",
	    now_ms);

	unit->run.stuck_told = true;
	report_unit_threads(unit, false);
	policy_stuck(unit, &err);
}

static int64_t check_stop(struct unit *unit, int64_t now_ms)
{
	int64_t stuck_ms = unit_stuck_ms(unit);

	if (!unit->run.late && now_ms < unit->run.stop_deadline_ms)
		return unit->run.stop_deadline_ms;
	if (!unit->run.late)
		be_late(unit, now_ms);
	if (now_ms < stuck_ms)
		return stuck_ms;
	if (!unit->app->stopping && !unit->run.stuck_told)
		be_stuck(unit, now_ms);
	return INT64_MAX;
}

static int64_t check_start(struct unit *unit, int64_t now_ms)
{
	if (unit->app->state >= APP_STATE_BEFORE_STOP || unit->leaving)
		return INT64_MAX;
	if (now_ms >= unit->run.start_deadline_ms) {
		not_ready(unit, now_ms);
		return INT64_MAX;
	}
	if (now_ms >= unit->run.slow_ms)
		tell_slow(unit, now_ms);
	return earlier(unit->run.start_deadline_ms, unit->run.slow_ms);
}

static void fall_silent(struct unit *unit, int64_t now_ms)
{
	int64_t since_ms =
	    now_ms - heartbeat_due_ms(unit) + unit->server.heartbeat_ms;
	struct error err;
	char time[32];

	error_set(-ETIMEDOUT, "no heartbeat for %s",
	    report_duration(since_ms, time));
	err = error_of(-ETIMEDOUT);
	error_origin(&err, unit->name);
	set_silent(unit, true);
	report_event(unit->app, APP_EVENT_SERVER_SILENT, unit, since_ms, &err);
}

/* It is told once; the next heartbeat is told by mail. */
static int64_t check_heartbeat(struct unit *unit, int64_t now_ms)
{
	int64_t due_ms;

	if (unit->run.silent || unit->server.heartbeat_ms <= 0 ||
	    !lifecycle_is_ready(unit->state))
		return INT64_MAX;
	due_ms = heartbeat_due_ms(unit);
	if (now_ms < due_ms)
		return due_ms;
	fall_silent(unit, now_ms);
	return INT64_MAX;
}

int64_t unit_check_deadline(struct unit *unit, int64_t now_ms)
{
	if (unit->state == UNIT_BACKOFF) {
		if (now_ms < unit->restart_ms)
			return unit->restart_ms;
		apply(unit, UNIT_DUE);
		return INT64_MAX;
	}
	if (unit->state == UNIT_LAUNCHED || unit->state == UNIT_STARTING)
		return check_start(unit, now_ms);
	return unit_is_stopping(unit) ? check_stop(unit, now_ms)
				      : check_heartbeat(unit, now_ms);
}
