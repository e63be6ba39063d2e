/* Errors, kept in the order in which they happened, and events. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/internal.h"
#include "errgroup/clock.h"
#include "errgroup/error_thread.h"

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
	if (err->code == -ECANCELED && is_ending(app))
		goto out;
	if (unit && app->stopping)
		unit->failed_in_stop = true;
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

static void tell(struct app *app, struct app_event *event)
{
	if (!app->on_event)
		return;
	event->state = app->state;
	clock_gettime(CLOCK_REALTIME, &event->time);
	app->on_event(event, app->event_arg);
}

void report_event(struct app *app, enum app_event_type type,
    const struct unit *unit, int64_t took_ms, const struct error *err)
{
	struct app_event event = {.type = type,
	    .took_ms = took_ms,
	    .server = unit ? unit->name : NULL,
	    .endpoint = unit ? unit->endpoint : NULL,
	    .error = err};

	tell(app, &event);
}

void report_signal(struct app *app, enum app_event_type type, int signal)
{
	struct app_event event = {.type = type, .signal = signal};

	tell(app, &event);
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

const char *report_duration(int64_t ms, char buffer[static 32])
{
	if (ms < 1000)
		snprintf(buffer, 32, "%lld ms", (long long)ms);
	else
		snprintf(buffer, 32, "%lld.%lld s", (long long)(ms / 1000),
		    (long long)(ms % 1000 / 100));
	return buffer;
}
