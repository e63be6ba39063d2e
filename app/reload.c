/*
 * Reload: a new set of servers and a new configuration, in force as a whole or
 * not at all.
 *
 * Design notes. The state RELOADING has a step, a task that calls the program's
 * reload function, makes the new set aside and asks the servers; then the loop
 * decides. While it runs the set in force does not change, so both may read it.
 * Whether the change is agreed upon is settled once, under the lock: by the task,
 * when all have said yes or one has said no (`decided`), or by the loop, when the
 * time is over or the app stops (`abandoned`). What was abandoned is the task's,
 * which takes back what it has asked for and frees it; else it is the loop's.
 *
 * In the state COMMITTING the servers that go are stopped, by the old links, and
 * those that stay are told, by another step. When both is done the loop puts the
 * new set in force, which needs no memory any more, and the new servers start
 * by the new links. So none of them meets the port of one that goes.
 *
 * A server that has agreed is told how it ended, whatever runs out: the context
 * for that is made before it is asked, and the task that commits is accepted
 * before the one that checks.
 *
 * A server that is replaced is another one, of the same name.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/internal.h"
#include "errgroup/clock.h"
#include "errgroup/error_thread.h"

struct change {
	struct unit *old, *new; /* one of them may be NULL */
	STAILQ_ENTRY(change) link;
};

/* What server.reload is called with. */
struct call {
	struct server_reload_call what;
	struct context *host, *ctx; /* carries the host; and `what` as well */
};

/* A server that was asked. */
struct answer {
	struct unit *unit;
	struct call last; /* to commit or to abort, when memory has run out */
	struct error failed; /* of the commit */
};

struct app_reload {
	struct app *app;
	STAILQ_HEAD(, change) changes;
	int64_t stop_timeout_ms, drain_delay_ms, begin_ms;
	void *config;
	void (*config_release)(void *config);
	struct units next;
	struct answer *answers;
	size_t answer_size, answer_count; /* of all; of those that agreed */
	struct error err;
	/* guarded by app->lock */
	bool decided, agreed, abandoned;
};

/* ---- what the program's function says ---- */

static struct change *find_change(const struct app_reload *reload,
    const char *name)
{
	struct change *change;

	STAILQ_FOREACH(change, &reload->changes, link)
		if (!strcmp(change->old ? change->old->name : change->new->name,
			name))
			return change;
	return NULL;
}

static int add_change(struct app_reload *reload, struct unit *old,
    const struct server *server)
{
	struct change *change = calloc(1, sizeof(*change));
	int ret = -ENOMEM;

	if (change && server) {
		change->new = unit_new(reload->app, server);
		ret = change->new ? 0 : -errno;
	} else if (change) {
		ret = 0;
	}
	if (ret) {
		free(change);
		return ret;
	}
	change->old = old;
	if (change->new)
		change->new->joined = true;
	STAILQ_INSERT_TAIL(&reload->changes, change, link);
	return 0;
}

/* The server of that name, if the change has not touched it yet. */
static int find_old(const struct app_reload *reload, const char *name,
    struct unit **old)
{
	struct app *app = reload->app;
	bool given_up;

	*old = units_find(&app->units, name);
	if (!*old)
		return error_set(-ENOENT, "no server %.40s", name);
	pthread_mutex_lock(&app->lock);
	given_up = (*old)->given_up;
	pthread_mutex_unlock(&app->lock);
	if (given_up)
		return error_set(-EBUSY,
		    "server %s has not come back from its stop", name);
	if (find_change(reload, name))
		return error_set(-EBUSY, "server %s was changed already", name);
	return 0;
}

int app_reload_add(struct app_reload *reload, const struct server *server)
{
	const char *name = server->name;

	if (name && (units_find(&reload->app->units, name) ||
			find_change(reload, name)))
		return error_set(-EEXIST, "server %s is there already", name);
	return add_change(reload, NULL, server);
}

int app_reload_replace(struct app_reload *reload, const struct server *server)
{
	struct unit *old;
	int ret;

	if (!server->name)
		return error_set(-EINVAL, "a server without a name");
	ret = find_old(reload, server->name, &old);
	return ret ? ret : add_change(reload, old, server);
}

int app_reload_remove(struct app_reload *reload, const char *name)
{
	struct unit *old;
	int ret = find_old(reload, name, &old);

	return ret ? ret : add_change(reload, old, NULL);
}

void app_reload_timeouts(struct app_reload *reload, int64_t stop_timeout_ms,
    int64_t drain_delay_ms)
{
	reload->stop_timeout_ms = stop_timeout_ms;
	reload->drain_delay_ms = drain_delay_ms;
}

static void release_config(void *config, void (*release)(void *config))
{
	if (release)
		release(config);
}

void app_reload_config(struct app_reload *reload, void *config,
    void (*release)(void *config))
{
	release_config(reload->config, reload->config_release);
	reload->config = config;
	reload->config_release = release;
}

/* ---- the end of a change that is not made ---- */

static void free_changes(struct app_reload *reload)
{
	struct change *change;

	while ((change = STAILQ_FIRST(&reload->changes))) {
		STAILQ_REMOVE_HEAD(&reload->changes, link);
		if (change->new)
			unit_free(change->new);
		free(change);
	}
}

static void call_fini(struct call *call)
{
	context_free(&call->ctx);
	context_free(&call->host);
}

static void free_answers(struct app_reload *reload)
{
	for (size_t i = 0; i < reload->answer_size; i++)
		call_fini(&reload->answers[i].last);
	free(reload->answers);
}

static void drop(struct app_reload *reload)
{
	free_changes(reload);
	units_fini(&reload->next);
	free_answers(reload);
	release_config(reload->config, reload->config_release);
	free(reload);
}

void reload_free(struct app *app)
{
	if (app->reload)
		drop(app->reload);
	release_config(app->config, app->config_release);
}

/* ---- the new set ---- */

/* Those that stay, in their order, with what replaces others; then the new. */
static int make_set(struct app_reload *reload)
{
	const struct units *units = &reload->app->units;
	struct change *change;
	int ret = 0;

	for (size_t i = 0; i < units->count && !ret; i++) {
		struct unit *unit = units->all[i];

		change = find_change(reload, unit->name);
		unit->stays = !change;
		if (change)
			unit = change->new;
		if (unit)
			ret = units_insert(&reload->next, unit);
	}
	STAILQ_FOREACH(change, &reload->changes, link)
		if (!change->old && !ret)
			ret = units_insert(&reload->next, change->new);
	return ret;
}

/* ---- the servers are asked, and told ---- */

/* 0 or -ENOMEM; then fini is still to be called. */
static int call_init(struct call *call, struct unit *unit, void *config,
    struct context *ctx)
{
	*call = (struct call){.what.config = config};
	call->host = context_with_value(ctx, &server_host_key, &unit->host);
	if (call->host)
		call->ctx = context_with_value(call->host, &server_reload_key,
		    &call->what);
	return call->ctx ? 0 : -ENOMEM;
}

/* For who asks why it takes so long. */
static void set_called(struct unit *unit, enum server_reload phase, bool called)
{
	struct app *app = unit->app;
	struct step *step =
	    &app->steps[phase == SERVER_RELOAD_COMMIT ? APP_STATE_COMMITTING
						      : APP_STATE_RELOADING];

	pthread_mutex_lock(&app->lock);
	step->called = called ? unit : NULL;
	step->called_phase = phase;
	step->called_ms = clock_ms();
	pthread_mutex_unlock(&app->lock);
}

static int call(struct call *call, struct unit *unit, enum server_reload phase)
{
	int64_t begin_ms = clock_ms();
	int code;

	assert(unit && unit->server.reload);
	error_thread.code = 0;
	call->what.phase = phase;
	set_called(unit, phase, true);
	code = unit->server.reload(call->ctx, unit->server.arg);
	set_called(unit, phase, false);
	assert(code <= 0);
	return step_heeded(code, call->ctx, begin_ms);
}

/* While that step runs no reload is made, so the server stays the app's. */
struct unit *reload_called(struct step *step, const char **phase, int64_t *ms)
{
	static const char *const phases[] = {[SERVER_RELOAD_CHECK] =
						 "reload check",
	    [SERVER_RELOAD_COMMIT] = "reload commit",
	    [SERVER_RELOAD_ABORT] = "reload abort"};
	struct unit *unit;

	pthread_mutex_lock(&step->app->lock);
	unit = step->called;
	*phase = unit ? phases[step->called_phase] : NULL;
	*ms = clock_ms() - step->called_ms;
	pthread_mutex_unlock(&step->app->lock);
	return unit;
}

void reload_place(struct step *step, char text[static RELOAD_PLACE])
{
	const char *phase;
	char since[32];
	int64_t ms;
	const struct unit *unit = reload_called(step, &phase, &ms);

	*text = '\0';
	if (unit)
		snprintf(text, RELOAD_PLACE, ": %s has been in its %s for %s",
		    unit->name, phase, report_duration(ms, since));
}

static int refuse(struct app_reload *reload, const char *origin, int code)
{
	reload->err = error_of(code);
	error_origin(&reload->err, origin);
	return code;
}

static int refuse_ended(struct app_reload *reload, struct context *ctx)
{
	int code = context_err(ctx);

	error_set(code,
	    code == -ETIMEDOUT ? "not done in time" : "the app stops");
	return refuse(reload, "reload", code);
}

static int ask(struct app_reload *reload, struct unit *unit,
    struct context *ctx)
{
	struct answer *answer = &reload->answers[reload->answer_count];
	struct call check;
	int code;

	call_fini(&answer->last); /* of one that has refused */
	answer->unit = unit;
	code =
	    call_init(&answer->last, unit, reload->config, reload->app->base);
	if (code)
		return refuse(reload, "app", code);
	code = call_init(&check, unit, reload->config, ctx);
	if (!code)
		code = call(&check, unit, SERVER_RELOAD_CHECK);
	if (code)
		refuse(reload, check.ctx ? unit->name : "app", code);
	else
		reload->answer_count++;
	call_fini(&check);
	return code;
}

static int ask_all(struct app_reload *reload, struct context *ctx)
{
	const struct units *units = &reload->app->units;
	int code = 0;

	reload->answers = calloc(units->count + 1, sizeof(*reload->answers));
	if (!reload->answers)
		return refuse(reload, "app", -ENOMEM);
	reload->answer_size = units->count;
	for (size_t i = 0; i < units->count && !code; i++) {
		struct unit *unit = units->all[i];

		if (!unit->stays || !unit->server.reload)
			continue;
		code = context_err(ctx) ? refuse_ended(reload, ctx)
					: ask(reload, unit, ctx);
	}
	return code;
}

/* With a context that is live: it is to be carried through. */
static void take_back(struct app_reload *reload)
{
	while (reload->answer_count) {
		struct answer *answer =
		    &reload->answers[--reload->answer_count];

		call(&answer->last, answer->unit, SERVER_RELOAD_ABORT);
	}
}

static int check(struct app_reload *reload, struct context *ctx)
{
	struct app *app = reload->app;
	int code = 0;

	error_thread.code = 0;
	if (app->reload_fn)
		code = app->reload_fn(ctx, reload, app->reload_arg);
	assert(code <= 0);
	step_heeded(code, ctx, reload->begin_ms);
	if (!code && context_err(ctx))
		return refuse_ended(reload, ctx);
	if (code)
		return refuse(reload, "reload", code);
	code = make_set(reload);
	if (code)
		return refuse(reload, "reload", code);
	code = order_make(&reload->next, &reload->err);
	return code ? code : ask_all(reload, ctx);
}

int reload_check(struct step *step, struct context *ctx)
{
	struct app *app = step->app;
	struct app_reload *reload = app->checked;
	int code = check(reload, ctx);
	bool abandoned;

	if (code)
		take_back(reload);
	pthread_mutex_lock(&app->lock);
	abandoned = reload->abandoned;
	reload->decided = !abandoned;
	reload->agreed = !abandoned && !code;
	pthread_mutex_unlock(&app->lock);
	if (abandoned) {
		take_back(reload);
		drop(reload);
	}
	return code;
}

static void commit(struct app_reload *reload, struct answer *answer,
    struct context *ctx)
{
	struct unit *unit = answer->unit;
	struct call own;
	int code = call_init(&own, unit, reload->config, ctx);

	/* Out of memory, it has to do without a deadline. */
	code = call(code ? &answer->last : &own, unit, SERVER_RELOAD_COMMIT);
	if (code) {
		answer->failed = error_of(code);
		error_origin(&answer->failed, unit->name);
	}
	call_fini(&own);
}

int reload_commit(struct step *step, struct context *ctx)
{
	struct app_reload *reload = step->app->reload;

	for (size_t i = 0; i < reload->answer_count; i++) {
		struct answer *answer = &reload->answers[i];

		commit(reload, answer, ctx);
	}
	return 0;
}

/* ---- the loop's part ---- */

static void tell_refused(struct app *app, const struct error *err)
{
	pthread_mutex_lock(&app->lock);
	app->status.reload_error = *err;
	pthread_mutex_unlock(&app->lock);
	report_event(app, APP_EVENT_RELOAD_REFUSED, NULL, 0, err);
}

static void tell_refused_code(struct app *app, int code, const char *text)
{
	struct error err;

	error_set(code, "%s", text);
	err = error_of(code);
	error_origin(&err, "reload");
	tell_refused(app, &err);
}

/* What the app's reload needs is there, or why not. */
static int prepare(struct app *app)
{
	struct app_reload *reload;
	int ret = step_park(&app->steps[APP_STATE_COMMITTING]);

	if (ret)
		return ret;
	reload = calloc(1, sizeof(*reload));
	if (!reload)
		return -ENOMEM;
	reload->app = app;
	reload->begin_ms = clock_ms();
	STAILQ_INIT(&reload->changes);
	app->reload = app->checked = reload;
	return 0;
}

bool reload_begin(struct app *app)
{
	int ret;

	if (app->steps[APP_STATE_RELOADING].running) {
		tell_refused_code(app, -EBUSY,
		    "the one before it has not returned yet");
		return false;
	}
	ret = prepare(app);
	if (ret)
		tell_refused_code(app, ret, "no memory or thread for it");
	return !ret;
}

void reload_not_begun(struct app *app, int code)
{
	tell_refused_code(app, code, "no memory or thread for it");
	drop(app->reload);
	app->reload = NULL;
}

bool reload_abandon(struct app *app)
{
	struct app_reload *reload = app->reload;
	char place[RELOAD_PLACE], late[RELOAD_PLACE + 32];
	bool abandoned;

	reload_place(&app->steps[APP_STATE_RELOADING], place);
	pthread_mutex_lock(&app->lock);
	abandoned = !reload->decided;
	reload->abandoned = abandoned;
	pthread_mutex_unlock(&app->lock);
	if (!abandoned)
		return false;
	app->reload = NULL;
	snprintf(late, sizeof(late), "not done in time%s", place);
	if (app->stopping)
		tell_refused_code(app, -ECANCELED, "the app stops");
	else
		tell_refused_code(app, -ETIMEDOUT, late);
	return true;
}

enum app_step_end reload_checked(struct app *app)
{
	struct app_reload *reload = app->reload;

	if (reload && reload->agreed)
		return APP_GO;
	if (reload) {
		tell_refused(app, &reload->err);
		app->reload = NULL;
		drop(reload);
	}
	return app->stopping ? APP_LEAVE : APP_BACK;
}

/* Since it was asked it was given up: it will not be told again. */
static void give_up_again(struct unit *unit)
{
	struct error loss;

	pthread_mutex_lock(&unit->app->lock);
	loss = unit_error(unit, UNIT_ERROR_LOSS);
	pthread_mutex_unlock(&unit->app->lock);
	policy_stuck(unit, &loss);
}

void reload_switch(struct app *app)
{
	struct app_reload *reload = app->reload;
	struct change *change;

	if (app->stopping) /* which has an order of its own */
		return;
	if (reload->stop_timeout_ms)
		app->stop_timeout_ms = reload->stop_timeout_ms;
	if (reload->drain_delay_ms)
		app->drain_delay_ms = reload->drain_delay_ms;
	STAILQ_FOREACH(change, &reload->changes, link)
		if (change->old) {
			change->old->removed = true;
			change->old->again = change->old->losing = false;
			unit_leave(change->old);
			if (change->old->given_up)
				give_up_again(change->old);
		}
}

bool reload_is_switched(const struct app *app)
{
	const struct app_reload *reload = app->reload;
	const struct change *change;

	STAILQ_FOREACH(change, &reload->changes, link)
		if (change->old && !lifecycle_is_down(change->old->state))
			return false;
	return true;
}

static void forget(struct unit *unit)
{
	struct app *app = unit->app;

	if (unit->due)
		STAILQ_REMOVE(&app->due, unit, unit, due_link);
	pthread_mutex_lock(&app->lock);
	if (unit->mail)
		STAILQ_REMOVE(&app->mail, unit, unit, mail_link);
	pthread_mutex_unlock(&app->lock);
	unit_free(unit);
}

static void put_in_force(struct app *app, struct app_reload *reload)
{
	struct units old = app->units;
	size_t settled = 0, down = 0;

	for (size_t i = 0; i < reload->next.count; i++) {
		settled += unit_is_settled(reload->next.all[i]);
		down += lifecycle_is_down(reload->next.all[i]->state);
	}
	pthread_mutex_lock(&app->lock);
	app->units = reload->next;
	order_link(&app->units);
	app->settled_count = settled;
	app->down_count = down;
	if (settled < app->units.count)
		status_hide_ready(app);
	pthread_mutex_unlock(&app->lock);
	reload->next = old;
	order_use(&app->units);
}

/* After the servers that have used the old one are gone. */
static void change_config(struct app *app, struct app_reload *reload)
{
	release_config(app->config, app->config_release);
	app->config = reload->config;
	app->config_release = reload->config_release;
	reload->config_release = NULL;
}

static void tell_changes(struct app *app, struct app_reload *reload)
{
	struct change *change;

	STAILQ_FOREACH(change, &reload->changes, link) {
		if (!change->new)
			report_event(app, APP_EVENT_SERVER_REMOVED, change->old,
			    0, NULL);
		else if (!change->old)
			report_event(app, APP_EVENT_SERVER_ADDED, change->new,
			    0, NULL);
		if (change->old)
			forget(change->old);
		change->new = NULL; /* it is the app's */
	}
}

/* A commit that failed is a failure of the server. */
static void tell_failed(struct app_reload *reload)
{
	for (size_t i = 0; i < reload->answer_count; i++)
		if (reload->answers[i].failed.code)
			policy_fail(reload->answers[i].unit,
			    &reload->answers[i].failed);
	report_new_errors(reload->app);
}

void reload_cut_off(struct app *app)
{
	if (!app->steps[APP_STATE_COMMITTING].running)
		tell_failed(app->reload);
}

void reload_finish(struct app *app)
{
	struct app_reload *reload = app->reload;

	report_new_errors(app);
	put_in_force(app, reload);
	status_update_ready(app);
	tell_changes(app, reload);
	change_config(app, reload);
	pthread_mutex_lock(&app->lock);
	app->status.reloads++;
	app->status.reload_error = (struct error){0};
	pthread_mutex_unlock(&app->lock);
	report_event(app, APP_EVENT_RELOADED, NULL,
	    clock_ms() - reload->begin_ms, NULL);
	tell_failed(reload);
	app->reload = NULL;
	drop(reload);
}
