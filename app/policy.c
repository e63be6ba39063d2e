/*
 * What a server's end means for the app: that it is started again, alone or
 * with others; that the app goes on without it; or that the app ends.
 *
 * All of it on the loop's thread. A failure is one of the app's errors if and
 * only if it ends the app, or happens while it stops; all others are told by
 * events and by the server's status.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "app/internal.h"
#include "errgroup/clock.h"
#include "errgroup/error_thread.h"

bool policy_restarts(const struct unit *unit, bool failed)
{
	enum server_restart_when when = unit->server.restart.when;

	return when == SERVER_RESTART_ALWAYS ||
	       (when == SERVER_RESTART_ON_FAILURE && failed);
}

bool policy_absorbs(const struct unit *unit)
{
	return unit->server.optional || policy_restarts(unit, true);
}

/* ---- delays ---- */

/* So that many who failed at one time do not come back at one time. */
static int64_t less_a_part(int64_t ms)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (uint32_t)clock_ms();
	return ms - (int64_t)((double)ms / 4 * random / UINT32_MAX);
}

int64_t policy_delay(unsigned attempt, int64_t delay_ms, int64_t max_delay_ms)
{
	if (delay_ms < 0)
		return 0;
	if (max_delay_ms < 0)
		max_delay_ms = INT64_MAX;
	while (attempt-- && delay_ms < max_delay_ms)
		delay_ms =
		    delay_ms > max_delay_ms / 2 ? max_delay_ms : 2 * delay_ms;
	if (delay_ms > max_delay_ms)
		delay_ms = max_delay_ms;
	return less_a_part(delay_ms);
}

/* ---- how often ---- */

/* Counts a restart; false if there have been too many already. */
static bool take_restart(struct unit *unit, int64_t now_ms)
{
	const struct server_restart *policy = &unit->server.restart;
	size_t oldest;

	if (policy->limit <= 0)
		return true;
	oldest = unit->restart_count % (size_t)policy->limit;
	if (unit->restart_count >= (unsigned)policy->limit &&
	    (policy->window_ms < 0 ||
		now_ms - unit->restarts[oldest] < policy->window_ms))
		return false;
	unit->restarts[oldest] = now_ms;
	return true;
}

/* However its run ends, it was stable: the next failure is a first one. */
static void forget_if_stable(struct unit *unit)
{
	int64_t stable_ms = unit->server.restart.stable_ms;
	int64_t ready_ms = unit->run.ready_ms;

	if (stable_ms < 0 || (ready_ms && clock_ms() - ready_ms >= stable_ms))
		unit->attempt = 0;
}

/* ---- with whom ---- */

static bool runs(const struct unit *unit)
{
	return !lifecycle_is_down(unit->state);
}

/* One that is on its way out anyhow starts again only if it was to. */
static void leave_again(struct unit *unit, int64_t when_ms)
{
	if (unit->state == UNIT_BACKOFF || unit->again) {
		if (unit->restart_ms < when_ms)
			unit->restart_ms = when_ms;
	} else if (runs(unit) && !unit->leaving) {
		unit->again = true;
		unit->restart_ms = when_ms;
		forget_if_stable(unit);
		pthread_mutex_lock(&unit->app->lock);
		unit->status.restarts++;
		pthread_mutex_unlock(&unit->app->lock);
		unit_leave(unit);
	}
}

/* Those that need it, and those that need them. */
static void dependents_leave(struct unit *first, int64_t when_ms)
{
	struct unit *unit = first, *next;

	unit->app->wave++;
	unit->wave = unit->app->wave;
	unit->wave_next = NULL;
	for (struct unit *last = unit; unit; unit = next) {
		for (size_t i = 0; i < unit->links.user_count; i++) {
			const struct link *link = &unit->links.users[i];

			if (!link->need || link->unit->wave == unit->app->wave)
				continue;
			link->unit->wave = unit->app->wave;
			link->unit->wave_next = NULL;
			last = last->wave_next = link->unit;
		}
		next = unit->wave_next;
		if (unit != first)
			leave_again(unit, when_ms);
	}
}

static void leave_in_scope(struct unit *unit, int64_t when_ms)
{
	struct app *app = unit->app;

	leave_again(unit, when_ms);
	if (unit->server.restart.scope == SERVER_RESTART_DEPENDENTS)
		dependents_leave(unit, when_ms);
	if (unit->server.restart.scope == SERVER_RESTART_ALL)
		for (size_t i = 0; i < app->units.count; i++)
			leave_again(app->units.all[i], when_ms);
}

/* ---- what it comes to ---- */

static void keep_error(struct unit *unit, enum unit_error which,
    const struct error *err)
{
	pthread_mutex_lock(&unit->app->lock);
	unit_set_error(unit, which, err);
	pthread_mutex_unlock(&unit->app->lock);
}

static void tell_failure(struct unit *unit, const struct error *err)
{
	keep_error(unit, UNIT_ERROR_LAST, err);
	report_event(unit->app, APP_EVENT_SERVER_FAILED, unit, 0, err);
}

static void restart(struct unit *unit, const struct error *err)
{
	const struct server_restart *policy = &unit->server.restart;
	int64_t delay_ms;

	forget_if_stable(unit);
	delay_ms =
	    policy_delay(unit->attempt, policy->delay_ms, policy->max_delay_ms);
	unit->restart_count++;
	report_delay(unit->app, APP_EVENT_SERVER_RESTARTING, unit, delay_ms,
	    err);
	leave_in_scope(unit, clock_deadline_ms(delay_ms));
	unit->attempt++;
}

/* For good: err is the last word on it. */
static void fail_for_good(struct unit *unit, const struct error *err,
    bool reported)
{
	if (unit->server.optional) {
		keep_error(unit, UNIT_ERROR_LOSS, err);
		unit_lose(unit);
		return;
	}
	if (!reported)
		report_error(unit->app, unit, NULL, err);
	run_request_stop(unit->app);
}

static struct error too_often(const struct unit *unit, const struct error *err)
{
	const struct server_restart *policy = &unit->server.restart;
	struct error last;
	char window[32];

	report_duration(policy->window_ms, window);
	error_set(-ENOTRECOVERABLE,
	    "gave up after %d restart%s in %s; the last time it %s%s",
	    policy->limit, policy->limit == 1 ? "" : "s",
	    policy->window_ms < 0 ? "all" : window, err ? "failed: " : "ended",
	    err ? err->text : "");
	last = error_of(-ENOTRECOVERABLE);
	error_origin(&last, unit->name);
	return last;
}

/*
 * It was to be stopped anyhow. -ECANCELED is then what was asked for. One that
 * had failed before it was asked has ended the app, whatever came in between.
 */
static void fail_in_stop(struct unit *unit, const struct error *err)
{
	if (unit->run.reported)
		run_request_stop(unit->app);
	else if (unit->app->stopping && !unit->server.optional)
		report_error(unit->app, unit, NULL, err);
	else if (err->code != -ECANCELED)
		tell_failure(unit, err);
}

void policy_fail(struct unit *unit, const struct error *err)
{
	int64_t now_ms = clock_ms();
	struct error last;

	if (unit->app->stopping || unit->leaving) {
		if (err)
			fail_in_stop(unit, err);
		return;
	}
	if (!policy_restarts(unit, err)) {
		assert(err);
		if (policy_absorbs(unit))
			tell_failure(unit, err);
		fail_for_good(unit, err, unit->run.reported);
		return;
	}
	if (err)
		tell_failure(unit, err);
	if (take_restart(unit, now_ms)) {
		restart(unit, err);
		return;
	}
	last = too_often(unit, err);
	fail_for_good(unit, &last, false);
}

void policy_stuck(struct unit *unit, const struct error *err)
{
	bool can_do_without = unit->server.optional || unit->going_off;

	/* A reload that waits for it can neither end nor go back. */
	if (unit->removed || !can_do_without) {
		report_error(unit->app, unit, NULL, err);
		run_request_stop(unit->app);
		return;
	}
	keep_error(unit, UNIT_ERROR_LOSS, err);
	unit_give_up(unit);
}

static void start_anew(struct unit *unit)
{
	unit->attempt = unit->restart_count = 0;
	unit_start_now(unit);
}

/* What needs it is stopped before it, and waits for it to start again. */
static void switch_off(struct unit *unit)
{
	dependents_leave(unit, clock_ms());
	unit_switch_off(unit);
}

void policy_order(struct unit *unit, enum unit_order order)
{
	static const char *const words[] = {[UNIT_ORDER_START] = "start",
	    [UNIT_ORDER_STOP] = "stop",
	    [UNIT_ORDER_RESTART] = "restart"};

	report_order(unit->app, unit, words[order]);
	if (unit->given_up)
		return; /* it hangs */
	if (order == UNIT_ORDER_STOP) {
		switch_off(unit);
	} else if (!runs(unit) || unit->leaving) {
		start_anew(unit);
	} else if (order == UNIT_ORDER_RESTART) {
		unit->attempt = 0;
		leave_in_scope(unit, clock_ms());
	}
}

static struct unit *lost_need(const struct unit *unit)
{
	for (size_t i = 0; i < unit->links.on_count; i++)
		if (unit->links.on[i].need &&
		    unit_is_lost(unit->links.on[i].unit))
			return unit->links.on[i].unit;
	return NULL;
}

/* Why it will be lost, unless that was told as its failure already. */
static void tell_loss(struct unit *unit)
{
	struct error loss;
	bool told;

	if (unit->state == UNIT_LOST || unit->given_up)
		return;
	pthread_mutex_lock(&unit->app->lock);
	loss = unit_error(unit, UNIT_ERROR_LOSS);
	told = !strcmp(unit_error(unit, UNIT_ERROR_LAST).text, loss.text);
	pthread_mutex_unlock(&unit->app->lock);
	if (!told)
		tell_failure(unit, &loss);
}

/*
 * The app is about to end for one that needs it, and so will not come to lose
 * it. The cause, at the end of the chain, comes first.
 */
static void tell_losses(struct unit *lost)
{
	struct unit *list = NULL;

	for (; lost; lost = lost_need(lost)) {
		lost->wave_next = list;
		list = lost;
	}
	for (; list; list = list->wave_next)
		tell_loss(list);
}

void policy_bereft(struct unit *unit)
{
	struct unit *lost = lost_need(unit);
	struct error err;

	if (!lost || unit_is_lost(unit) || unit->losing || unit->removed)
		return;
	/* It needs nothing while it is to stay stopped. */
	if (unit->state == UNIT_OFF || unit->going_off)
		return;
	error_set(-ENOTCONN, "needs %s, which has failed for good", lost->name);
	err = error_of(-ENOTCONN);
	error_origin(&err, unit->name);
	if (!unit->server.optional)
		tell_losses(lost);
	fail_for_good(unit, &err, false);
}
