/*
 * The work between that of the servers: endpoints and the instance, hooks, the
 * registrar. Each state that has such work has a step; it runs as one task and
 * tells by mail that it is over.
 *
 * Design notes. Steps of the way up get a context that ends with the way up.
 * Those of the way down are parked before anything starts, and get a context
 * with the deadline of the stop. A step that does not return a moment after its
 * deadline is abandoned: the app goes on without it, and waits for it again at
 * its end.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "app/internal.h"
#include "errgroup/clock.h"
#include "errgroup/error_thread.h"

struct app_instance {
	struct instance public;
	const char **endpoints;
	struct app_instance *older;
};

/* ---- the instance ---- */

static void publish(struct app *app, struct app_instance *instance)
{
	instance->older = atomic_load(&app->instance);
	atomic_store(&app->instance, instance);
}

/* The same instance with the endpoints that are known by now. */
static int update_instance(struct app *app)
{
	struct app_instance *old = atomic_load(&app->instance);
	struct app_instance *instance = calloc(1, sizeof(*instance));
	size_t n = 0;

	if (!instance)
		return -ENOMEM;
	instance->endpoints =
	    calloc(app->unit_count + 1, sizeof(*instance->endpoints));
	if (!instance->endpoints) {
		free(instance);
		return -ENOMEM;
	}
	for (size_t i = 0; i < app->unit_count; i++)
		if (app->units[i]->endpoint)
			instance->endpoints[n++] = app->units[i]->endpoint;
	instance->public = old->public;
	instance->public.endpoints = instance->endpoints;
	publish(app, instance);
	return 0;
}

static void free_list(const char *const *list)
{
	for (size_t i = 0; list && list[i]; i++)
		free((char *)list[i]);
	free((void *)list);
}

static int copy_list(const char *const *list, const char *const **copy)
{
	size_t n = 0;
	char **new;

	while (list && list[n])
		n++;
	new = calloc(n + 1, sizeof(*new));
	*copy = (const char *const *)new;
	if (!new)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!(new[i] = strdup(list[i])))
			return -ENOMEM;
	return 0;
}

/* A random UUID, version 4. */
static char *new_id(void)
{
	unsigned char r[16];
	char *id = malloc(37);

	if (!id || getrandom(r, sizeof(r), 0) != sizeof(r)) {
		free(id);
		return NULL;
	}
	r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
	r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
	snprintf(id, 37,
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
	    r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10],
	    r[11], r[12], r[13], r[14], r[15]);
	return id;
}

int instance_init(struct app *app, const struct app_options *options)
{
	struct app_instance *instance = calloc(1, sizeof(*instance));
	struct instance *public;

	if (!instance)
		return -ENOMEM;
	publish(app, instance);
	public = &instance->public;
	public->id = options->id ? strdup(options->id) : new_id();
	public->name = strdup(options->name ? options->name : "");
	public->version = strdup(options->version ? options->version : "");
	if (!public->id || !public->name || !public->version)
		return -ENOMEM;
	if (copy_list(options->metadata, &public->metadata))
		return -ENOMEM;
	app->endpoints_given = options->endpoints != NULL;
	return copy_list(options->endpoints, &public->endpoints);
}

void instance_free_all(struct app *app)
{
	struct app_instance *instance = atomic_load(&app->instance);

	while (instance && instance->older) {
		struct app_instance *older = instance->older;

		free(instance->endpoints);
		free(instance);
		instance = older;
	}
	if (!instance)
		return;
	free((char *)instance->public.id);
	free((char *)instance->public.name);
	free((char *)instance->public.version);
	free_list(instance->public.metadata);
	free_list(instance->public.endpoints);
	free(instance);
}

const struct instance *app_instance(const struct app *app)
{
	return &atomic_load(&app->instance)->public;
}

static int fail(struct step *step, int code)
{
	return report_code(step->app, NULL, step_origin(step->state), code);
}

/*
 * The way up ended before the step did. If the loop has not seen yet that the
 * time to start is over, it will not say so after this step's failure.
 */
static int cut_off(struct step *step, struct context *up)
{
	int code = context_err(up);
	bool stopping;

	pthread_mutex_lock(&step->app->lock);
	stopping = step->app->stopping;
	pthread_mutex_unlock(&step->app->lock);
	if (code != -ETIMEDOUT || stopping)
		return code;
	error_set(code, "start is not done in time");
	return fail(step, code);
}

/* Asks one server for its endpoint; -EAGAIN is for later. */
static int ask_endpoint(struct unit *unit)
{
	char url[URL_SIZE] = "";
	int ret;

	if (!unit->server.endpoint || unit->endpoint)
		return 0;
	error_thread.code = 0;
	ret = unit->server.endpoint(unit->server.arg, url, sizeof(url));
	assert(ret <= 0);
	if (ret == -EAGAIN)
		return 0;
	if (!ret) {
		unit->endpoint = strdup(url);
		ret = unit->endpoint ? 0 : -ENOMEM;
	}
	if (ret)
		report_code(unit->app, unit, NULL, ret);
	return ret;
}

static int ask_endpoints(struct step *step, struct context *ctx)
{
	struct app *app = step->app;
	int ret = 0;

	for (size_t i = 0; i < app->unit_count; i++) {
		if (context_err(ctx))
			return cut_off(step, ctx);
		ret = ask_endpoint(app->units[i]);
		if (ret)
			return ret;
	}
	if (!app->endpoints_given && (ret = update_instance(app)))
		fail(step, ret);
	return ret;
}

static bool asks_later(const struct app *app)
{
	for (size_t i = 0; i < app->unit_count; i++)
		if (app->units[i]->server.endpoint && !app->units[i]->endpoint)
			return true;
	return false;
}

static bool has_endpoints(const struct app *app)
{
	for (size_t i = 0; i < app->unit_count; i++)
		if (app->units[i]->server.endpoint)
			return true;
	return false;
}

/* ---- what steps do ---- */

static int run_hook(struct step *step, const struct hook *hook,
    struct context *ctx)
{
	int code;

	error_thread.code = 0; /* the words of the hook before are not its */
	code = hook->fn(ctx, hook->arg);
	assert(code <= 0);
	return code ? fail(step, code) : 0;
}

static int hooks_up(struct step *step, struct context *ctx)
{
	enum app_phase phase = step->state == APP_STATE_BEFORE_START
				   ? APP_BEFORE_START
				   : APP_AFTER_START;
	int code = 0;

	for (size_t i = 0; i < step->app->hook_count[phase] && !code; i++) {
		if (context_err(ctx))
			return cut_off(step, ctx);
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
	return code ? fail(step, code) : 0;
}

static int do_register(struct step *step, struct context *up)
{
	struct app *app = step->app;
	struct context *ctx;
	int code = asks_later(app) ? ask_endpoints(step, up) : 0;

	if (code || !app->has_registrar)
		return code;
	ctx = app->registrar_timeout_ms > 0
		  ? context_with_deadline(up, step->deadline_ms)
		  : context_with_cancel(up);
	if (!ctx)
		return fail(step, -errno);
	code = call_registrar(step, ctx, app->registrar.register_instance);
	pthread_mutex_lock(&app->lock);
	app->registered = !code || code == -ETIMEDOUT || code == -ECANCELED;
	pthread_mutex_unlock(&app->lock);
	context_free(&ctx);
	return code;
}

static int do_deregister(struct step *step, struct context *ctx)
{
	if (!step->app->registrar.deregister_instance)
		return 0;
	return call_registrar(step, ctx,
	    step->app->registrar.deregister_instance);
}

static const struct {
	const char *origin;
	int (*run)(struct step *step, struct context *ctx);
} works[STATES] = {
    [APP_STATE_PREPARING] = {"endpoints", ask_endpoints},
    [APP_STATE_BEFORE_START] = {"before-start hook", hooks_up},
    [APP_STATE_REGISTERING] = {"registrar", do_register},
    [APP_STATE_AFTER_START] = {"after-start hook", hooks_up},
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

static bool has_work(const struct app *app, enum app_state state)
{
	switch (state) {
	case APP_STATE_PREPARING:
		return has_endpoints(app);
	case APP_STATE_BEFORE_START:
		return app->hook_count[APP_BEFORE_START];
	case APP_STATE_REGISTERING:
		return app->has_registrar || asks_later(app);
	case APP_STATE_AFTER_START:
		return app->hook_count[APP_AFTER_START];
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

static int run_work(struct step *step)
{
	struct app *app = step->app;
	struct context *ctx;
	int code;

	if (is_way_up(step->state))
		return works[step->state].run(step, app->up);
	/* Out of memory, the step has to do without its deadline. */
	ctx = run_deadline(app->base, step->deadline_ms);
	code = works[step->state].run(step, ctx ? ctx : app->base);
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
	pthread_mutex_unlock(&app->lock);
	if (skip)
		return 0;
	code = run_work(step);
	pthread_mutex_lock(&app->lock);
	step->code = code;
	step->over = true;
	app->step_mail = true;
	run_wake(app);
	pthread_mutex_unlock(&app->lock);
	return 0;
}

int step_park_all(struct app *app)
{
	int ret = 0;

	for (int i = 0; i < STATES && !ret; i++) {
		struct step *step = &app->steps[i];

		step->app = app;
		step->state = (enum app_state)i;
		if (is_way_up(step->state) || !has_work(app, step->state))
			continue;
		step->turn = context_with_cancel(app->base);
		ret = step->turn
			  ? errgroup_go_after(app->group, step->turn,
				step_origin(step->state), step_task, step)
			  : -errno;
		step->parked = !ret;
	}
	return ret;
}

static int64_t deadline_of(const struct app *app, enum app_state state)
{
	int64_t deadline_ms = INT64_MAX, own_ms, least_ms;

	if (state == APP_STATE_REGISTERING || state == APP_STATE_DEREGISTERING)
		if (app->has_registrar && app->registrar_timeout_ms > 0)
			deadline_ms =
			    clock_deadline_ms(app->registrar_timeout_ms);
	if (is_way_up(state))
		return deadline_ms;
	own_ms = app->stop_deadline_ms;
	least_ms = clock_deadline_ms(SLACK_MS);
	if (own_ms < least_ms)
		own_ms = least_ms;
	return own_ms < deadline_ms ? own_ms : deadline_ms;
}

void step_begin(struct app *app, enum app_state state)
{
	struct step *step = &app->steps[state];
	int ret;

	if (!has_work(app, state))
		return;
	if (state == APP_STATE_DEREGISTERING) {
		pthread_mutex_lock(&app->lock);
		step->skip = !app->registered;
		pthread_mutex_unlock(&app->lock);
		if (step->skip) {
			context_cancel(step->turn, NULL);
			return;
		}
	}
	step->begin_ms = clock_ms();
	step->deadline_ms = deadline_of(app, state);
	step->overdue_ms = step->deadline_ms < INT64_MAX - SLACK_MS
			       ? step->deadline_ms + SLACK_MS
			       : INT64_MAX;
	step->running = true;
	if (is_way_up(state)) {
		ret = errgroup_go_named(app->group, step_origin(state),
		    step_task, step);
		if (ret) {
			step->running = false;
			fail(step, ret);
			run_request_stop(app);
			return;
		}
	} else {
		context_cancel(step->turn, NULL);
	}
	loop_arm(&app->loop, step->overdue_ms);
}

bool step_is_over(const struct app *app, enum app_state state)
{
	const struct step *step = &app->steps[state];

	return !step->running || step->abandoned;
}

void step_read_mail(struct app *app)
{
	for (int i = 0; i < STATES; i++) {
		struct step *step = &app->steps[i];
		bool over, failed;

		if (!step->running)
			continue;
		pthread_mutex_lock(&app->lock);
		over = step->over;
		failed = step->code != 0;
		pthread_mutex_unlock(&app->lock);
		if (!over)
			continue;
		step->running = false;
		if (failed && is_way_up(step->state))
			run_request_stop(app);
	}
}

static void abandon(struct step *step, int64_t now_ms)
{
	const char *origin = step_origin(step->state);
	struct app *app = step->app;
	char after[32];

	step->abandoned = app->overdue = true;
	if (step->state == APP_STATE_REGISTERING) {
		/* Nobody knows how it will end. */
		pthread_mutex_lock(&app->lock);
		app->registered = app->has_registrar;
		pthread_mutex_unlock(&app->lock);
	}
	error_set(-ETIMEDOUT, "not done after %s",
	    report_duration(now_ms - step->begin_ms, after));
	report_code(app, NULL, origin, -ETIMEDOUT);
	if (is_way_up(step->state))
		run_request_stop(app);
}

int64_t step_check_deadline(struct step *step, int64_t now_ms)
{
	int64_t stuck_ms;

	if (!step->running)
		return INT64_MAX;
	if (!step->abandoned && now_ms < step->overdue_ms)
		return step->overdue_ms;
	if (!step->abandoned)
		abandon(step, now_ms);
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
