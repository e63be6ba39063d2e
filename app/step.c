/*
 * The work between that of the servers: endpoints, hooks, the registrar, reloads.
 * Each state that has such work has a step; it runs as one task and tells by
 * mail that it is over.
 *
 * Design notes. Steps of the way up get a context that ends with the way up.
 * Those of the way down are parked before anything starts, and get a context
 * with the deadline of the stop. A step that does not return a moment after its
 * deadline is abandoned: the app goes on without it, and waits for it again at
 * its end.
 *
 * A registration that is tried again holds no thread while it waits: each try
 * is a task, and the loop begins the next one when it is due. With
 * REGISTRAR_RETRY_BESIDE the tries go on in later states. Deregistration comes
 * after the last try has returned or was abandoned: before-stop hooks, the
 * state before, wait for that.
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

/* ---- what steps do ---- */

int step_fail(struct step *step, int code)
{
	return report_code(step->app, NULL, step_origin(step->state), code);
}

/*
 * The way up ended before the step did. If the loop has not seen yet that the
 * time to start is over, it will not say so after this step's failure.
 */
int step_cut_off(struct step *step, struct context *up)
{
	int code = context_err(up);
	bool stopping;

	pthread_mutex_lock(&step->app->lock);
	stopping = step->app->stopping;
	pthread_mutex_unlock(&step->app->lock);
	if (code != -ETIMEDOUT || stopping)
		return code;
	error_set(code, "start is not done in time");
	return step_fail(step, code);
}

int step_heeded(int code, const struct context *ctx, int64_t begin_ms)
{
	char after[32];

	if (code == -ETIMEDOUT && error_thread.code != code &&
	    context_err(ctx) == code)
		error_set(code, "not done after %s",
		    report_duration(clock_ms() - begin_ms, after));
	return code;
}

/* The error of the last try; code 0 if it has not failed. */
static struct error last_error(struct step *step)
{
	struct error err;

	pthread_mutex_lock(&step->app->lock);
	err = step->app->register_error;
	pthread_mutex_unlock(&step->app->lock);
	return err;
}

void step_last_try(struct step *step, char text[static STEP_TRY])
{
	struct error err = last_error(step);

	*text = '\0';
	if (err.code)
		snprintf(text, STEP_TRY, "; the last try failed: %.*s",
		    STEP_TRY - 32, err.text);
}

void step_report_retry(struct step *step)
{
	int64_t delay_ms = step->retry_ms - clock_ms();
	struct error err;
	char delay[32];

	if (!step->attempt || !(step->retry_ms || step->running))
		return;
	err = last_error(step);
	if (step->retry_ms)
		report_line(step->app, NULL, "%s: tried again in %s",
		    step_origin(step->state),
		    report_duration(delay_ms > 0 ? delay_ms : 0, delay));
	if (err.code)
		report_line(step->app, NULL, "%s: last error: %s",
		    step_origin(step->state), err.text);
}

static int run_hook(struct step *step, const struct hook *hook,
    struct context *ctx)
{
	int code;

	error_thread.code = 0; /* the words of the hook before are not its */
	code = hook->fn(ctx, hook->arg);
	assert(code <= 0);
	return code ? step_fail(step, code) : 0;
}

static int hooks_up(struct step *step, struct context *ctx)
{
	enum app_phase phase = step->state == APP_STATE_BEFORE_START
				   ? APP_BEFORE_START
				   : APP_AFTER_START;
	int code = 0;

	for (size_t i = 0; i < step->app->hook_count[phase] && !code; i++) {
		if (context_err(ctx))
			return step_cut_off(step, ctx);
		code = run_hook(step, &step->app->hooks[phase][i], ctx);
	}
	return code;
}

static int hooks_down(struct step *step, struct context *ctx)
{
	enum app_phase phase = step->state == APP_STATE_BEFORE_STOP
				   ? APP_BEFORE_STOP
				   : APP_AFTER_STOP;

	for (size_t i = step->app->hook_count[phase]; i > 0; i--)
		run_hook(step, &step->app->hooks[phase][i - 1], ctx);
	return 0;
}

static int call_registrar(struct step *step, struct context *ctx,
    int (*fn)(struct context *, const struct instance *, void *))
{
	struct app *app = step->app;
	int code;

	error_thread.code = 0;
	code = fn(ctx, app_instance(app), app->registrar.arg);
	assert(code <= 0);
	return step_heeded(code, ctx, step->begin_ms);
}

static bool tries_again(const struct app *app)
{
	return app->registrar_policy != REGISTRAR_ONCE;
}

static int do_register(struct step *step, struct context *up)
{
	struct app *app = step->app;
	struct context *ctx;
	int code = 0;

	/* A later try may be made beside a reload, which changes the set. */
	if (!step->attempt && instance_asks(app, true))
		code = instance_ask_all(step, up);
	if (code || !app->has_registrar)
		return code;
	ctx = run_deadline(up,
	    app->registrar_timeout_ms > 0 ? step->deadline_ms : INT64_MAX);
	code = ctx ? call_registrar(step, ctx, app->registrar.register_instance)
		   : -errno;
	if (code && !tries_again(app))
		step_fail(step, code);
	pthread_mutex_lock(&app->lock);
	app->register_error = error_of(code);
	app->registered |=
	    ctx && (!code || code == -ETIMEDOUT || code == -ECANCELED);
	pthread_mutex_unlock(&app->lock);
	context_free(&ctx);
	return code;
}

static int do_deregister(struct step *step, struct context *ctx)
{
	int code;

	if (!step->app->registrar.deregister_instance)
		return 0;
	code =
	    call_registrar(step, ctx, step->app->registrar.deregister_instance);
	return code ? step_fail(step, code) : 0;
}

static const struct {
	const char *origin;
	int (*run)(struct step *step, struct context *ctx);
} works[STATES] = {
    [APP_STATE_PREPARING] = {"endpoints", instance_ask_all},
    [APP_STATE_BEFORE_START] = {"before-start hook", hooks_up},
    [APP_STATE_REGISTERING] = {"registrar", do_register},
    [APP_STATE_AFTER_START] = {"after-start hook", hooks_up},
    [APP_STATE_RELOADING] = {"reload", reload_check},
    [APP_STATE_COMMITTING] = {"reload", reload_commit},
    [APP_STATE_BEFORE_STOP] = {"before-stop hook", hooks_down},
    [APP_STATE_DEREGISTERING] = {"registrar", do_deregister},
    [APP_STATE_AFTER_STOP] = {"after-stop hook", hooks_down},
};

const char *step_origin(enum app_state state)
{
	return works[state].origin ? works[state].origin
				   : app_state_name(state);
}

static bool is_way_up(enum app_state state)
{
	return state < APP_STATE_RUNNING;
}

static bool is_way_down(enum app_state state)
{
	return state >= APP_STATE_BEFORE_STOP;
}

static bool has_work(const struct app *app, enum app_state state)
{
	switch (state) {
	case APP_STATE_PREPARING:
		return instance_asks(app, false);
	case APP_STATE_BEFORE_START:
		return app->hook_count[APP_BEFORE_START];
	case APP_STATE_REGISTERING:
		return app->has_registrar || instance_asks(app, true);
	case APP_STATE_AFTER_START:
		return app->hook_count[APP_AFTER_START];
	case APP_STATE_RELOADING:
	case APP_STATE_COMMITTING:
		return true;
	case APP_STATE_BEFORE_STOP:
		return app->hook_count[APP_BEFORE_STOP];
	case APP_STATE_DEREGISTERING:
		return app->has_registrar;
	case APP_STATE_AFTER_STOP:
		return app->hook_count[APP_AFTER_STOP];
	default:
		return false;
	}
}

/* ---- how they run ---- */

static struct context *parent_of(const struct step *step)
{
	struct app *app = step->app;

	if (is_way_down(step->state))
		return app->base;
	if (!is_way_up(step->state) ||
	    (step->state == APP_STATE_REGISTERING &&
		app->registrar_policy == REGISTRAR_RETRY_BESIDE))
		return app->live;
	return app->up;
}

static int run_work(struct step *step)
{
	struct context *parent = parent_of(step);
	struct context *ctx;
	int code;

	if (is_way_up(step->state))
		return works[step->state].run(step, parent);
	/* Out of memory, the step has to do without its deadline. */
	ctx = run_deadline(parent, step->deadline_ms);
	code = works[step->state].run(step, ctx ? ctx : parent);
	context_free(&ctx);
	return code;
}

static int step_task(struct context *unused, void *arg)
{
	struct step *step = arg;
	struct app *app = step->app;
	bool skip;
	int code;

	(void)unused;
	pthread_mutex_lock(&app->lock);
	skip = step->skip;
	step->tid = skip ? 0 : report_tid();
	pthread_mutex_unlock(&app->lock);
	if (skip)
		return 0;
	code = run_work(step);
	pthread_mutex_lock(&app->lock);
	step->tid = 0;
	step->code = code;
	step->over = true;
	app->step_mail = true;
	run_wake(app);
	pthread_mutex_unlock(&app->lock);
	return 0;
}

int step_park(struct step *step)
{
	struct app *app = step->app;
	int ret;

	if (step->parked && !context_err(step->turn))
		return 0;
	context_free(&step->turn);
	step->parked = false;
	ret = run_reserve_thread(app);
	if (ret)
		return ret;
	step->turn = context_with_cancel(app->base);
	ret = step->turn ? errgroup_go_after(app->group, step->turn,
			       step_origin(step->state), step_task, step)
			 : -errno;
	step->parked = !ret;
	return ret;
}

int step_park_all(struct app *app)
{
	int ret = 0;

	for (int i = 0; i < STATES && !ret; i++) {
		struct step *step = &app->steps[i];

		step->app = app;
		step->state = (enum app_state)i;
		if (is_way_down(step->state) && has_work(app, step->state))
			ret = step_park(step);
	}
	return ret;
}

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
	return a_ms < b_ms ? a_ms : b_ms;
}

static int64_t deadline_of(const struct app *app, enum app_state state)
{
	int64_t deadline_ms = INT64_MAX, own_ms;

	if (state == APP_STATE_REGISTERING || state == APP_STATE_DEREGISTERING)
		if (app->has_registrar && app->registrar_timeout_ms > 0)
			deadline_ms =
			    clock_deadline_ms(app->registrar_timeout_ms);
	if (state == APP_STATE_RELOADING || state == APP_STATE_COMMITTING)
		if (app->reload_timeout_ms > 0)
			deadline_ms = clock_deadline_ms(app->reload_timeout_ms);
	if (!is_way_down(state))
		return app->stopping
			   ? earlier(deadline_ms, app->stop_deadline_ms)
			   : deadline_ms;
	own_ms = app->stop_deadline_ms;
	/* The servers are to have time left to stop in order. */
	if (state == APP_STATE_DEREGISTERING && own_ms < INT64_MAX)
		own_ms -= (own_ms - clock_ms()) / 2;
	if (own_ms < clock_deadline_ms(SLACK_MS))
		own_ms = clock_deadline_ms(SLACK_MS);
	return earlier(own_ms, deadline_ms);
}

/* Nothing was registered: the thread that is parked for it is let go. */
static bool is_idle(struct step *step)
{
	struct app *app = step->app;

	if (step->state != APP_STATE_DEREGISTERING)
		return false;
	pthread_mutex_lock(&app->lock);
	step->skip = !app->registered;
	pthread_mutex_unlock(&app->lock);
	if (step->skip)
		context_cancel(step->turn, NULL);
	return step->skip;
}

/* A state may come, and a step be tried, more than once. */
static void reset(struct step *step)
{
	struct app *app = step->app;

	step->begin_ms = clock_ms();
	step->deadline_ms = deadline_of(app, step->state);
	step->overdue_ms = step->deadline_ms < INT64_MAX - SLACK_MS
			       ? step->deadline_ms + SLACK_MS
			       : INT64_MAX;
	step->retry_ms = 0;
	step->abandoned = false;
	pthread_mutex_lock(&app->lock);
	step->over = false;
	step->code = 0;
	pthread_mutex_unlock(&app->lock);
	step->running = true;
}

/* Registering has failed, and is to be tried again. */
static void try_later(struct step *step)
{
	struct app *app = step->app;
	int64_t delay_ms;
	struct error err;

	pthread_mutex_lock(&app->lock);
	err = app->register_error;
	pthread_mutex_unlock(&app->lock);
	delay_ms = policy_delay(step->attempt++, app->registrar_delay_ms,
	    app->registrar_max_delay_ms);
	error_origin(&err, step_origin(step->state));
	report_delay(app, APP_EVENT_REGISTRAR_RETRY, NULL, delay_ms, &err);
	step->retry_ms = clock_deadline_ms(delay_ms);
	loop_arm(&app->loop, step->retry_ms);
}

/* No thread, or no memory, for it. */
static void not_begun(struct step *step, int code)
{
	step->running = false;
	if (step->state == APP_STATE_RELOADING) {
		reload_not_begun(step->app, code);
	} else if (step->state == APP_STATE_REGISTERING && step->attempt) {
		step->app->register_error = error_of(code);
		try_later(step);
	} else {
		step_fail(step, code);
		run_request_stop(step->app);
	}
}

void step_begin(struct app *app, enum app_state state)
{
	struct step *step = &app->steps[state];
	int ret = 0;

	if (!has_work(app, state) || is_idle(step))
		return;
	reset(step);
	if (step->parked)
		context_cancel(step->turn, NULL);
	else
		ret = errgroup_go_named(app->group, step_origin(state),
		    step_task, step);
	if (ret)
		not_begun(step, ret);
	else
		loop_arm(&app->loop, step->overdue_ms);
}

static bool is_beside(const struct step *step)
{
	return step->state == APP_STATE_REGISTERING &&
	       step->app->registrar_policy == REGISTRAR_RETRY_BESIDE &&
	       (step->attempt || step->abandoned);
}

bool step_is_over(const struct app *app, enum app_state state)
{
	const struct step *step = &app->steps[state];

	if (app->stopping || is_beside(step))
		return !step->running || step->abandoned || is_beside(step);
	/* One that hangs may yet come back, and is to be tried again. */
	if (state == APP_STATE_REGISTERING && tries_again(app))
		return !step->running && !step->retry_ms;
	return !step->running || step->abandoned;
}

static void read_over(struct step *step, int code)
{
	struct app *app = step->app;
	bool failed;

	step->running = false;
	if (!code && step->state == APP_STATE_REGISTERING && app->has_registrar)
		report_event(app, APP_EVENT_REGISTERED, NULL,
		    clock_ms() - step->begin_ms, NULL);
	if (!code || !is_way_up(step->state) || app->stopping)
		return;
	/* An error of a server's endpoint is not the registrar's. */
	pthread_mutex_lock(&app->lock);
	failed = app->error_count;
	pthread_mutex_unlock(&app->lock);
	if (step->state == APP_STATE_REGISTERING && tries_again(app) && !failed)
		try_later(step);
	else
		run_request_stop(app);
}

void step_read_mail(struct app *app)
{
	for (int i = 0; i < STATES; i++) {
		struct step *step = &app->steps[i];
		bool over;
		int code;

		if (!step->running)
			continue;
		pthread_mutex_lock(&app->lock);
		over = step->over;
		code = step->code;
		pthread_mutex_unlock(&app->lock);
		if (over)
			read_over(step, code);
	}
}

static void tell_late(struct step *step, const struct error *err)
{
	struct error late = *err;

	error_origin(&late, step_origin(step->state));
	report_event(step->app, APP_EVENT_TIMEOUT, NULL,
	    clock_ms() - step->begin_ms, &late);
}

static void abandon(struct step *step, int64_t now_ms)
{
	struct app *app = step->app;
	bool only_late = false;
	struct error err;
	char after[32], place[RELOAD_PLACE];

	if (step->state == APP_STATE_RELOADING && !reload_abandon(app)) {
		step->overdue_ms = INT64_MAX; /* it is about to say so */
		return;
	}
	step->abandoned = true;
	stuck_prepare(app);
	if (step->state == APP_STATE_RELOADING)
		return;
	if (step->state == APP_STATE_REGISTERING) {
		/* Nobody knows how it will end. */
		pthread_mutex_lock(&app->lock);
		app->registered = app->has_registrar;
		pthread_mutex_unlock(&app->lock);
		only_late = tries_again(app);
	}
	reload_place(step, place);
	error_set(-ETIMEDOUT, "not done after %s%s",
	    report_duration(now_ms - step->begin_ms, after), place);
	err = error_of(-ETIMEDOUT);
	if (only_late) {
		tell_late(step, &err);
		return;
	}
	report_error(app, NULL, step_origin(step->state), &err);
	if (!is_way_down(step->state))
		run_request_stop(app);
}

int64_t step_check_deadline(struct step *step, int64_t now_ms)
{
	int64_t stuck_ms;

	if (step->retry_ms && now_ms >= step->retry_ms)
		step_begin(step->app, step->state);
	else if (step->retry_ms)
		return step->retry_ms;
	if (!step->running)
		return INT64_MAX;
	if (!step->abandoned && now_ms < step->overdue_ms)
		return step->overdue_ms;
	if (!step->abandoned)
		abandon(step, now_ms);
	if (step->overdue_ms > INT64_MAX - GRACE_MS)
		return INT64_MAX;
	stuck_ms = step->overdue_ms + GRACE_MS;
	return now_ms < stuck_ms ? stuck_ms : INT64_MAX;
}

void step_skip_all(struct app *app)
{
	for (int i = 0; i < STATES; i++) {
		struct step *step = &app->steps[i];

		if (!step->parked || context_err(step->turn))
			continue;
		pthread_mutex_lock(&app->lock);
		step->skip = true;
		pthread_mutex_unlock(&app->lock);
		context_cancel(step->turn, NULL);
	}
}

void step_end_all(struct app *app)
{
	int64_t now_ms = clock_ms();
	/* Registering is told by its context, and gets no more than that. */
	int64_t soon_ms =
	    earlier(clock_deadline_ms(GRACE_MS), app->stop_deadline_ms);

	for (int i = 0; i < STATES; i++) {
		struct step *step = &app->steps[i];
		int64_t end_ms = step->state == APP_STATE_REGISTERING
				     ? soon_ms
				     : app->stop_deadline_ms;

		step->retry_ms = 0;
		if (!step->running || is_way_down(step->state))
			continue;
		/* One that was left behind is told now: a grace from here. */
		step->overdue_ms = step->abandoned
				       ? now_ms
				       : earlier(step->overdue_ms, end_ms);
		loop_arm(&app->loop, step->overdue_ms);
	}
}
