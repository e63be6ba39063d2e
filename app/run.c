/*
 * app_run: the loop that takes an app from state to state.
 *
 * Design notes. See internal.h for who does what on which thread. A round of
 * the loop: wait for descriptors; take signals and watches as they come; read
 * the mail of tasks; make events of new errors; look at deadlines, if the timer
 * fired; then go on as far as the states' work is over. Mail is read before
 * deadlines are looked at, so what came in time counts as in time.
 *
 * A stop is asked for from many places, and is one flag: the loop begins the
 * way down once, with one deadline for all of it.
 *
 * No mail is lost: it is put in the queue and the loop is woken in one hold of
 * the lock; `woken` spares the second write until the loop has taken it.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/internal.h"
#include "app/names.h"
#include "errgroup/clock.h"
#include "errgroup/error_thread.h"
#include "errgroup/starving.h"
#include "server/inherited.h"
#include "server/process.h"
#include "server/reaper.h"

/* ---- stopping ---- */

void run_wake(struct app *app)
{
	if (app->woken || !app->running)
		return;
	app->woken = true;
	loop_wake(&app->loop);
}

static void ask(struct app *app, bool *wanted)
{
	pthread_mutex_lock(&app->lock);
	*wanted = true;
	run_wake(app);
	pthread_mutex_unlock(&app->lock);
}

int app_stop(struct app *app)
{
	pthread_mutex_lock(&app->lock);
	app->stop_wanted = true;
	status_hide_ready(app);
	run_wake(app);
	pthread_mutex_unlock(&app->lock);
	return 0;
}

int app_reload(struct app *app)
{
	ask(app, &app->reload_wanted);
	return 0;
}

int app_report(struct app *app)
{
	ask(app, &app->report_wanted);
	return 0;
}

struct context *run_deadline(struct context *parent, int64_t deadline_ms)
{
	return deadline_ms == INT64_MAX
		   ? context_with_cancel(parent)
		   : context_with_deadline(parent, deadline_ms);
}

void run_request_stop(struct app *app)
{
	if (app->stopping)
		return;
	pthread_mutex_lock(&app->lock);
	app->stopping = true;
	manager_stopping(app);
	status_hide_ready(app);
	pthread_mutex_unlock(&app->lock);
	status_update_ready(app);
	/* Else the next state says so at once. */
	if (app->steps[app->state].running) {
		report_new_errors(app); /* why */
		report_event(app, APP_EVENT_STOP, NULL, 0, NULL);
	}
	app->stop_deadline_ms = app->stop_timeout_ms < 0
				    ? INT64_MAX
				    : clock_deadline_ms(app->stop_timeout_ms);
	step_end_all(app);
	loop_arm(&app->loop, app->stop_deadline_ms);
	context_cancel(app->live, NULL);
	if (app->spare)
		context_cancel(app->spare, NULL);
}

static _Noreturn void force_by_signal(struct app *app, int signal)
{
	report_signal(app, APP_EVENT_FORCED, signal, 0);
	stuck_force(app, 128 + signal);
}

/* The drain delay is over sooner; false if it does not pass just now. */
static bool end_drain(struct app *app)
{
	if (app->state != APP_STATE_DRAINING || app->drained)
		return false;
	app->drained = true;
	return true;
}

/*
 * timeout(1), make(1) and others signal the process and its group, so that one
 * request comes twice. A second signal right after the first takes effect only
 * a moment after it: by then an app that stops at once has stopped in order,
 * and one that drains has come to its delay.
 */
static void take_second_signal(struct app *app, int signal)
{
	int64_t force_ms = app->signal_ms + REPEAT_MS;

	if (clock_ms() >= force_ms)
		force_by_signal(app, signal);
	app->force_signal = signal;
	loop_arm(&app->loop, force_ms);
}

/* The moment has passed. */
static void obey_second_signal(struct app *app)
{
	if (!end_drain(app))
		force_by_signal(app, app->force_signal);
	app->force_signal = 0; /* the next one forces */
}

static void take_signal(struct app *app, int signal)
{
	if (signal == SIGCHLD && app->reaper) {
		reaper_look();
		return;
	}
	report_signal(app, APP_EVENT_SIGNAL, signal, app->signals->sender);
	if (app->told_signals & UINT64_C(1) << (signal - 1)) {
		return;
	} else if (signal == app->reload_signal) {
		app_reload(app);
	} else if (signal == app->report_signal) {
		report_all(app);
	} else if (!app->signals_seen) {
		app->signals_seen = 1;
		app->signal_ms = clock_ms();
		run_request_stop(app);
		/* If the stop has another cause, the delay may pass already. */
		end_drain(app);
	} else if (!end_drain(app)) {
		take_second_signal(app, signal);
	}
}

static void signals_ready(struct source *source)
{
	struct app *app = (struct app *)((char *)source -
					 offsetof(struct app, signal_source));
	int signal;

	while ((signal = signals_next(app->signals)))
		take_signal(app, signal);
}

static void forward_ready(struct source *source)
{
	struct app *app = (struct app *)((char *)source -
					 offsetof(struct app, forward_source));

	signals_ready(&app->signal_source);
}

/* A parent that was plainly cancelled is a clean end. */
static void parent_ready(struct source *source)
{
	struct app *app = (struct app *)((char *)source -
					 offsetof(struct app, parent_source));
	struct error cause = context_cause(app->parent);

	loop_remove(&app->loop, source);
	if (cause.code != -ECANCELED && !app->stopping)
		report_error(app, NULL, *cause.origin ? cause.origin : "parent",
		    &cause);
	run_request_stop(app);
}

/* ---- from state to state ---- */

bool run_may_start(const struct app *app)
{
	return !app->stopping && app->state >= APP_STATE_STARTING &&
	       app->state <= APP_STATE_COMMITTING;
}

bool run_takes_orders(const struct app *app)
{
	return run_may_start(app) && app->state != APP_STATE_RELOADING &&
	       app->state != APP_STATE_COMMITTING;
}

static void take_orders(struct app *app)
{
	bool wait;

	pthread_mutex_lock(&app->lock);
	wait = app->orders_wait;
	app->orders_wait = false;
	pthread_mutex_unlock(&app->lock);
	for (size_t i = 0; wait && i < app->units.count; i++)
		unit_take_order(app->units.all[i]);
}

static void start_servers(struct app *app)
{
	for (size_t i = 0; i < app->units.count; i++)
		unit_queue(app->units.all[i]);
}

static void settle(struct app *app)
{
	struct unit *unit;

	while ((unit = STAILQ_FIRST(&app->due))) {
		STAILQ_REMOVE_HEAD(&app->due, due_link);
		unit->due = false;
		unit_settle(unit);
	}
}

static void begin_drain(struct app *app)
{
	app->drain_ms = clock_ms();
	app->drain_end_ms = clock_deadline_ms(app->drain_delay_ms);
	app->drained = !app->announced || app->drain_delay_ms <= 0;
	if (!app->drained)
		loop_arm(&app->loop, app->drain_end_ms);
}

/* The drain delay is on top of the time to stop, as long as it really was. */
static void stop_servers(struct app *app)
{
	int64_t drain_ms = clock_ms() - app->drain_ms;

	if (app->stop_deadline_ms < INT64_MAX - drain_ms)
		app->stop_deadline_ms += drain_ms;
	loop_arm(&app->loop, app->stop_deadline_ms);
	for (size_t i = 0; i < app->units.count; i++)
		unit_end(app->units.all[i]);
}

/* The time is over: whatever still waits for its turn has waited in vain. */
static void stop_all_at_once(struct app *app)
{
	for (size_t i = 0; i < app->units.count; i++) {
		struct unit *unit = app->units.all[i];

		if (!lifecycle_is_down(unit->state) && !unit_is_stopping(unit))
			unit_stop(unit);
	}
}

/* ---- what no server answers for ---- */

/* It has the rest of the time to stop, but not for ever. */
static size_t begin_sweep(struct app *app)
{
	int64_t least_ms = clock_deadline_ms(SLACK_MS);
	size_t left = reaper_sweep(SIGTERM);

	app->sweeping = true;
	app->sweep_end_ms = clock_deadline_ms(SWEEP_MS);
	if (app->stop_deadline_ms < app->sweep_end_ms)
		app->sweep_end_ms = app->stop_deadline_ms;
	if (app->sweep_end_ms < least_ms)
		app->sweep_end_ms = least_ms;
	if (left)
		loop_arm(&app->loop, app->sweep_end_ms);
	return left;
}

/* Who they are, as "17 (sleep), 18 (sh) and 3 more". */
static void name_strays(char text[static SWEEP_NAMES_SIZE])
{
	pid_t all[SWEEP_NAMES_MAX];
	size_t count = reaper_list(all, SWEEP_NAMES_MAX);
	struct names names;

	names_init(&names, text, SWEEP_NAMES_SIZE);
	for (size_t i = 0; i < count && i < SWEEP_NAMES_MAX; i++) {
		struct process process;

		if (!process_read(all[i], &process))
			process.name[0] = '\0';
		names_add(&names, "%d (%s)", (int)all[i], process.name);
	}
	if (count > SWEEP_NAMES_MAX)
		names.left += count - SWEEP_NAMES_MAX;
	names_end(&names);
}

static void sweep_failed(struct app *app, size_t left, const char *what)
{
	char names[SWEEP_NAMES_SIZE];

	name_strays(names);
	error_set(-ETIMEDOUT, "%zu process%s left behind %s: %s", left,
	    left == 1 ? "" : "es", what, names);
	report_code(app, NULL, "app", -ETIMEDOUT);
}

/* At the deadline they are killed; what cannot be killed is given up. */
static void check_sweep(struct app *app)
{
	size_t left = reaper_sweep(SIGKILL);

	if (app->swept_by_force) {
		app->sweep_over = true;
		if (left)
			sweep_failed(app, left, "cannot be killed");
	} else if (left) {
		sweep_failed(app, left,
		    "did not stop in time, killed (SIGKILL)");
		app->sweep_end_ms = clock_deadline_ms(SWEEP_KILL_MS);
	}
	app->swept_by_force = true;
}

/* The end of each of them is a SIGCHLD, after which this is asked again. */
static bool is_swept(struct app *app)
{
	if (!app->reaper || app->sweep_over)
		return true;
	app->sweep_over =
	    app->sweeping
		? !reaper_sweep(app->swept_by_force ? SIGKILL : SIGTERM)
		: !begin_sweep(app);
	return app->sweep_over;
}

static void begin_reload(struct app *app)
{
	pthread_mutex_lock(&app->lock);
	app->reload_wanted = false;
	pthread_mutex_unlock(&app->lock);
	if (reload_begin(app))
		step_begin(app, APP_STATE_RELOADING);
}

static void publish_state(struct app *app)
{
	pthread_mutex_lock(&app->lock);
	app->status.state = app->state;
	app->status.since_ms = app->state_ms;
	pthread_mutex_unlock(&app->lock);
}

static void enter(struct app *app, enum app_state state)
{
	int64_t now_ms = clock_ms();
	int64_t took_ms = now_ms - app->state_ms;

	app->state = state;
	app->state_ms = now_ms;
	publish_state(app);
	manager_enter(app);
	report_event(app, APP_EVENT_STATE, NULL, took_ms, NULL);
	status_update_ready(app);
	switch (state) {
	case APP_STATE_STARTING:
		start_servers(app);
		take_orders(app);
		break;
	case APP_STATE_RUNNING:
		take_orders(app);
		break;
	case APP_STATE_AFTER_START:
		app->announced = true;
		step_begin(app, state);
		break;
	case APP_STATE_RELOADING:
		begin_reload(app);
		break;
	case APP_STATE_COMMITTING:
		reload_switch(app);
		step_begin(app, state);
		break;
	case APP_STATE_DRAINING:
		begin_drain(app);
		break;
	case APP_STATE_STOPPING:
		stop_servers(app);
		break;
	default:
		step_begin(app, state);
		break;
	}
}

static bool any_step_runs(const struct app *app)
{
	for (int i = 0; i < STATES; i++)
		if (app->steps[i].running)
			return true;
	return false;
}

static bool wants_reload(struct app *app)
{
	bool wanted;

	pthread_mutex_lock(&app->lock);
	wanted = app->reload_wanted;
	pthread_mutex_unlock(&app->lock);
	return wanted;
}

/* A check that nobody waits for any more goes on beside the stop. */
static bool is_checked(struct app *app)
{
	struct step *step = &app->steps[APP_STATE_RELOADING];

	if (app->stopping && app->reload && step->running && !step->abandoned &&
	    reload_abandon(app))
		step->abandoned = true;
	return !app->reload || step_is_over(app, APP_STATE_RELOADING);
}

static bool is_over(struct app *app)
{
	switch (app->state) {
	case APP_STATE_STARTING:
		return app->stopping || app->settled_count == app->units.count;
	case APP_STATE_RUNNING:
		return app->stopping || wants_reload(app);
	case APP_STATE_RELOADING:
		return is_checked(app);
	case APP_STATE_COMMITTING:
		return step_is_over(app, APP_STATE_COMMITTING) &&
		       (app->stopping || reload_is_switched(app));
	case APP_STATE_BEFORE_STOP:
		/* What may still register comes before what takes it back. */
		return step_is_over(app, app->state) &&
		       (!app->steps[APP_STATE_REGISTERING].running ||
			   app->steps[APP_STATE_REGISTERING].abandoned);
	case APP_STATE_DRAINING:
		return app->drained;
	case APP_STATE_STOPPING:
		return app->down_count == app->units.count && is_swept(app);
	case APP_STATE_AFTER_STOP:
		return !any_step_runs(app);
	case APP_STATE_DONE:
		return false;
	default:
		return step_is_over(app, app->state);
	}
}

static enum app_step_end end_of(struct app *app)
{
	if (app->state == APP_STATE_RELOADING)
		return reload_checked(app);
	return app->stopping ? APP_LEAVE : APP_GO;
}

static void advance(struct app *app)
{
	for (settle(app); is_over(app); settle(app)) {
		enum app_step_end end = end_of(app);

		if (app->state == APP_STATE_COMMITTING && end == APP_GO)
			reload_finish(app);
		else if (app->state == APP_STATE_COMMITTING)
			reload_cut_off(app);
		enter(app, lifecycle_app(app->state, end));
	}
}

/* ---- mail ---- */

enum { SACK_SIZE = 64 };

/* The mail of many units, taken in one hold of the lock. */
struct sack {
	size_t count;
	struct {
		struct unit *unit;
		unsigned mail;
	} letters[SACK_SIZE];
	bool stop_wanted; /* maybe by one whose letter is in here */
};

static void fill_sack(struct app *app, struct sack *sack)
{
	struct unit *unit;

	sack->count = 0;
	pthread_mutex_lock(&app->lock);
	while (sack->count < SACK_SIZE && (unit = STAILQ_FIRST(&app->mail))) {
		STAILQ_REMOVE_HEAD(&app->mail, mail_link);
		sack->letters[sack->count].unit = unit;
		sack->letters[sack->count++].mail = unit->mail;
		unit->mail = 0;
	}
	sack->stop_wanted = app->stop_wanted;
	pthread_mutex_unlock(&app->lock);
}

static void read_mail(struct app *app)
{
	bool report_wanted, step_mail;
	struct sack sack;

	pthread_mutex_lock(&app->lock);
	app->woken = false;
	report_wanted = app->report_wanted;
	step_mail = app->step_mail;
	app->report_wanted = app->step_mail = false;
	pthread_mutex_unlock(&app->lock);
	do {
		fill_sack(app, &sack);
		if (sack.stop_wanted)
			run_request_stop(app);
		for (size_t i = 0; i < sack.count; i++)
			unit_read_mail(sack.letters[i].unit,
			    sack.letters[i].mail);
	} while (sack.count == SACK_SIZE);
	if (step_mail)
		step_read_mail(app);
	if (report_wanted)
		report_all(app);
}

/* ---- deadlines ---- */

static void start_timed_out(struct app *app)
{
	char after[32], list[UNIT_LIST_SIZE], try[STEP_TRY],
	    lacks[LACKS_SIZE] = "";
	struct unit *unit = NULL;

	report_duration(app->start_timeout_ms, after);
	if (app->state == APP_STATE_STARTING) {
		unit = unit_first_not_ready(app);
		unit_list(app, unit_is_unsettled, list);
		if (unit)
			unit_lacks(unit, "; ", lacks);
		error_set(-ETIMEDOUT, "not ready after %s: %s%s", after, list,
		    lacks);
	} else {
		step_last_try(&app->steps[app->state], try);
		error_set(-ETIMEDOUT, "start is not done after %s%s", after,
		    try);
	}
	report_code(app, unit, step_origin(app->state), -ETIMEDOUT);
	run_request_stop(app);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void check_deadlines(struct app *app)
{
	int64_t now_ms = clock_ms(), next_ms = INT64_MAX;

	app->loop.fired = false;
	if (app->force_signal && now_ms >= app->signal_ms + REPEAT_MS)
		obey_second_signal(app);
	if (app->force_signal)
		next_ms = app->signal_ms + REPEAT_MS;
	if (!app->stopping && app->state < APP_STATE_RUNNING) {
		if (now_ms >= app->start_deadline_ms)
			start_timed_out(app);
		next_ms = least(next_ms, app->start_deadline_ms);
	}
	for (int i = 0; i < STATES; i++)
		next_ms =
		    least(next_ms, step_check_deadline(&app->steps[i], now_ms));
	for (size_t i = 0; i < app->units.count; i++)
		next_ms = least(next_ms,
		    unit_check_deadline(app->units.all[i], now_ms));
	if (app->state == APP_STATE_STOPPING) {
		if (now_ms >= app->stop_deadline_ms)
			stop_all_at_once(app);
		else
			next_ms = least(next_ms, app->stop_deadline_ms);
	}
	if (app->sweeping && !app->sweep_over) {
		if (now_ms >= app->sweep_end_ms)
			check_sweep(app);
		next_ms = least(next_ms, app->sweep_end_ms);
	}
	if (app->state == APP_STATE_DRAINING && !app->drained) {
		app->drained = now_ms >= app->drain_end_ms;
		next_ms = least(next_ms, app->drain_end_ms);
	}
	next_ms = least(next_ms, manager_check_deadline(app, now_ms));
	stuck_check(app, now_ms);
	loop_arm(&app->loop, next_ms);
}

/* ---- the run ---- */

static int add_source(struct app *app, struct source *source, int fd,
    void (*ready)(struct source *source))
{
	source->fd = fd;
	source->ready = ready;
	return loop_add(&app->loop, source);
}

static int add_sources(struct app *app)
{
	int ret = add_source(app, &app->signal_source, app->signals->fd,
	    signals_ready);
	int fd;

	if (!ret)
		ret = add_source(app, &app->forward_source,
		    app->signals->forward[0], forward_ready);
	/* The background context never ends. */
	if (ret || !app->parent || app->parent == context_background())
		return ret;
	fd = context_fd(app->parent);
	return fd < 0 ? fd
		      : add_source(app, &app->parent_source, fd, parent_ready);
}

static int make_contexts(struct app *app)
{
	app->values = context_without_cancel(app->parent);
	if (!app->values)
		return -errno;
	app->base = context_with_value(app->values, &app_key, app);
	if (!app->base)
		return -errno;
	app->start_deadline_ms = app->start_timeout_ms > 0
				     ? clock_deadline_ms(app->start_timeout_ms)
				     : INT64_MAX;
	app->live = context_with_cancel(app->base);
	if (!app->live)
		return -errno;
	app->up = run_deadline(app->live, app->start_deadline_ms);
	return app->up ? 0 : -errno;
}

static int spare_task(struct context *unused, void *arg)
{
	struct app *app = arg;

	(void)unused;
	pthread_mutex_lock(&app->lock);
	app->spare_waits = true;
	pthread_mutex_unlock(&app->lock);
	context_cancel(app->spare_news, NULL);
	context_wait(app->spare, -1);
	return 0;
}

/* A task that was accepted may not have a thread yet, so that is waited for. */
int run_reserve_thread(struct app *app)
{
	int ret;

	if (app->spare)
		return 0;
	app->spare = context_with_cancel(app->base);
	if (!app->spare)
		return -errno;
	ret = errgroup_go(app->group, spare_task, app);
	if (ret) {
		context_free(&app->spare);
		return ret;
	}
	context_wait(app->spare_news, -1);
	pthread_mutex_lock(&app->lock);
	if (!app->spare_waits)
		ret = -EAGAIN;
	pthread_mutex_unlock(&app->lock);
	return ret;
}

/* Then the thread for it is there before the time to start begins to count. */
static bool has_stop(const struct app *app)
{
	for (size_t i = 0; i < app->units.count; i++)
		if (app->units.all[i]->server.stop)
			return true;
	return false;
}

/* Before anything starts, or any hook runs. */
static int check_order(struct app *app, struct error *err)
{
	int ret = order_make(&app->units, err);

	if (ret == -ENOENT || ret == -ELOOP) {
		pthread_mutex_lock(&app->lock);
		app->exit_status = APP_EXIT_CONFIG;
		pthread_mutex_unlock(&app->lock);
	}
	if (!ret) {
		pthread_mutex_lock(&app->lock);
		order_link(&app->units);
		pthread_mutex_unlock(&app->lock);
		order_use(&app->units);
		app->down_count = app->units.count;
	}
	return ret;
}

/* There is no thread to be had for what was to run, so the app has to end. */
static void starving(void *arg, const struct error *err)
{
	struct app *app = arg;

	report_error(app, NULL, err->origin, err);
	app_stop(app);
	context_cancel(app->spare_news, NULL);
}

/* Before all else that others see, and until the very last. */
static int begin_admin(struct app *app, struct error *err)
{
	char url[URL_SIZE];
	int ret =
	    front_of(app->admin)->begin(app->admin, app, url, sizeof(url));

	app->admin_serves = !ret;
	if (!ret) {
		if (*url)
			report_endpoint(app, APP_EVENT_ADMIN, url);
		return 0;
	}
	*err = error_of(ret);
	error_origin(err, "admin");
	return ret;
}

static int init(struct app *app, struct error *err)
{
	/* Before all else: until then a thread without our mask is killed. */
	int ret = signals_init(app->signals);
	int loop_ret = loop_init(&app->loop); /* fini undoes it, whatever ret */

	if (!ret)
		ret = loop_ret;
	if (!ret)
		ret = report_init(app);
	if (!ret && app->reaper) {
		ret = reaper_begin();
		app->reaps = !ret;
	}
	if (app->has_manager)
		inherited_take();
	manager_begin(app);
	if (!ret && app->admin)
		ret = begin_admin(app, err);
	if (!ret)
		ret = check_order(app, err);
	if (!ret)
		ret = add_sources(app);
	if (!ret)
		ret = make_contexts(app);
	if (ret)
		return ret;
	app->spare_news = context_with_cancel(NULL);
	if (!app->spare_news)
		return -errno;
	app->group = errgroup_new();
	if (!app->group)
		return -ENOMEM;
	errgroup_on_starving(app->group, starving, app);
	if (has_stop(app))
		ret = run_reserve_thread(app);
	return ret ? ret : step_park_all(app);
}

/*
 * Joins all that ran. Every task has begun by now, so that waiting does not run
 * one on this thread.
 */
static void fini(struct app *app)
{
	step_skip_all(app);
	if (app->spare)
		context_cancel(app->spare, NULL);
	if (app->group)
		errgroup_wait(app->group, NULL);
	errgroup_free(&app->group);
	for (int i = 0; i < STATES; i++)
		context_free(&app->steps[i].turn);
	for (size_t i = 0; i < app->units.count; i++)
		unit_release(app->units.all[i]);
	context_free(&app->spare);
	context_free(&app->spare_news);
	context_free(&app->up);
	context_free(&app->live);
	context_free(&app->base);
	context_free(&app->values);
	loop_fini(&app->loop);
	if (app->reaps)
		reaper_end();
}

static void set_running(struct app *app, bool running)
{
	pthread_mutex_lock(&app->lock);
	app->running = running;
	pthread_mutex_unlock(&app->lock);
}

static void run(struct app *app)
{
	app->state_ms = clock_ms();
	loop_arm(&app->loop, app->start_deadline_ms);
	enter(app, APP_STATE_PREPARING);
	/* What came before the loop does is obeyed before anything starts. */
	signals_ready(&app->signal_source);
	if (app->parent && context_err(app->parent))
		parent_ready(&app->parent_source);
	for (;;) {
		read_mail(app);
		report_new_errors(app);
		if (app->loop.fired)
			check_deadlines(app);
		report_new_errors(app);
		advance(app);
		unit_post_turns(app);
		if (app->state == APP_STATE_DONE || app->left_behind)
			break;
		manager_look(app);
		if (app->has_come_up) {
			app->has_come_up = false;
			if (loop_disarm(&app->loop))
				continue;
		}
		loop_poll(&app->loop);
	}
	report_new_errors(app);
}

/* A run happens once, and not at all if it was stopped before. */
static int claim(struct app *app, bool *stopped)
{
	int ret = 0;

	pthread_mutex_lock(&app->lock);
	if (app->ran)
		ret = error_set(-EALREADY, "app_run was called before");
	app->ran = true;
	*stopped = app->stop_wanted;
	pthread_mutex_unlock(&app->lock);
	return ret;
}

static struct error run_claimed(struct app *app)
{
	struct error result = {0};
	int ret = init(app, &result);

	if (!ret) {
		set_running(app, true);
		run(app);
		set_running(app, false);
		if (app->left_behind)
			return stuck_error(app);
	} else {
		if (!result.code) {
			result = error_of(ret);
			error_origin(&result, "app");
		}
		if (app->error_size)
			report_error(app, NULL, result.origin, &result);
	}
	fini(app);
	return app->error_count ? app->errors[0] : result;
}

static void set_outcome(struct app *app, int code)
{
	pthread_mutex_lock(&app->lock);
	if (app->stuck_told)
		app->exit_status = APP_EXIT_STUCK;
	else if (app->exit_status != APP_EXIT_CONFIG)
		app->exit_status = code ? APP_EXIT_FAILED : APP_EXIT_CLEAN;
	/* Also of one that has not run at all. */
	if (!app->left_behind)
		app->status.state = APP_STATE_DONE;
	pthread_mutex_unlock(&app->lock);
}

int app_run(struct app *app, struct error *err)
{
	struct signals signals;
	struct error result = {0};
	bool stopped;
	int ret;

	signals_block(&signals, app->signal_list);
	ret = claim(app, &stopped);
	if (ret) {
		result = error_of(ret);
		error_origin(&result, "app");
	} else if (!stopped) {
		/* Not for longer than the run. */
		app->signals = &signals; /* cppcheck-suppress autoVariables */
		result = run_claimed(app);
		app->signals = NULL;
	}
	if (ret != -EALREADY) {
		status_end_ready(app);
		set_outcome(app, result.code);
		manager_end(app, app_exit_status(app), &result);
		if (app->admin_serves)
			front_of(app->admin)->end(app->admin);
	}
	signals_fini(&signals);
	if (err)
		*err = result;
	return result.code;
}
