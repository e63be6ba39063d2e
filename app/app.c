/* What a program builds before it runs: options, servers, hooks. */
#include <assert.h>
#include <errno.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "app/internal.h"

const char app_key;

static const int default_signals[] = {SIGTERM, SIGQUIT, SIGINT, 0};

static int64_t or_default(int64_t ms, int64_t fallback_ms)
{
	return ms ? ms : fallback_ms;
}

static int copy_options(struct app *app, const struct app_options *options)
{
	const int *list = options->signals ? options->signals : default_signals;
	size_t n = 0;

	while (list[n++])
		;
	app->signal_list = calloc(n, sizeof(int));
	if (!app->signal_list)
		return -ENOMEM;
	memcpy(app->signal_list, list, n * sizeof(int));
	app->start_timeout_ms = options->start_timeout_ms;
	app->stop_timeout_ms =
	    or_default(options->stop_timeout_ms, DEFAULT_STOP_TIMEOUT_MS);
	app->drain_delay_ms = options->drain_delay_ms;
	app->registrar_timeout_ms = or_default(options->registrar_timeout_ms,
	    DEFAULT_REGISTRAR_TIMEOUT_MS);
	if (options->registrar) {
		app->registrar = *options->registrar;
		app->has_registrar = app->registrar.register_instance;
	}
	app->parent = options->parent;
	app->on_event = options->on_event;
	app->event_arg = options->event_arg;
	app->stuck = options->stuck;
	return instance_init(app, options);
}

struct app *app_new(const struct app_options *options)
{
	const struct app_options defaults = {0};
	struct app *app = calloc(1, sizeof(*app));

	if (!app)
		return NULL;
	app->magic = APP_MAGIC;
	pthread_mutex_init(&app->lock, NULL);
	STAILQ_INIT(&app->mail);
	if (copy_options(app, options ? options : &defaults)) {
		app_free(&app);
		errno = ENOMEM;
	}
	return app;
}

static void keep_node(void *node)
{
	(void)node; /* the units are freed on their own */
}

void app_free(struct app **app)
{
	struct app *old = *app;

	if (!old)
		return;
	*app = NULL;
	assert(old->magic == APP_MAGIC && !old->running);
	tdestroy(old->names, keep_node);
	for (size_t i = 0; i < old->unit_count; i++)
		unit_free(old->units[i]);
	free(old->units);
	for (int i = 0; i < PHASES; i++)
		free(old->hooks[i]);
	instance_free_all(old);
	free(old->signal_list);
	free(old->errors);
	free(old->culprits);
	pthread_mutex_destroy(&old->lock);
	old->magic = 0;
	free(old);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct unit *)a)->name,
	    ((const struct unit *)b)->name);
}

static int check_server(const struct server *server)
{
	const size_t max = sizeof(((struct error *)0)->origin) - 1;

	if (!server->name || !*server->name)
		return error_set(-EINVAL, "a server without a name");
	if (!server->start)
		return error_set(-EINVAL, "server %.40s has no start",
		    server->name);
	if (strlen(server->name) > max)
		return error_set(-ENAMETOOLONG,
		    "the server's name has more than %zu bytes: %.40s...", max,
		    server->name);
	if (server->after && server->after[0])
		return error_set(-ENOTSUP,
		    "server %s: dependencies are not supported yet",
		    server->name);
	return 0;
}

static struct unit *new_unit(struct app *app, const struct server *server)
{
	size_t size = strlen(server->name) + 1;
	struct unit *unit = calloc(1, sizeof(*unit) + size);

	if (!unit)
		return NULL;
	memcpy(unit->name, server->name, size);
	unit->app = app;
	unit->server = *server;
	unit->server.name = unit->name;
	unit->server.after = NULL;
	LIST_INIT(&unit->watches);
	return unit;
}

static int insert(struct app *app, struct unit *unit)
{
	struct unit **slot, **units;

	if (app->unit_count == app->unit_size) {
		size_t size = app->unit_size ? 2 * app->unit_size : 8;

		units = realloc(app->units, size * sizeof(*units));
		if (!units)
			return -ENOMEM;
		app->units = units;
		app->unit_size = size;
	}
	slot = tsearch(unit, &app->names, compare_names);
	if (!slot)
		return -ENOMEM;
	if (*slot != unit)
		return error_set(-EEXIST, "server %s is there already",
		    unit->name);
	app->units[app->unit_count++] = unit;
	return 0;
}

int app_add_server(struct app *app, const struct server *server)
{
	struct unit *unit;
	int ret = check_server(server);

	if (ret)
		return ret;
	unit = new_unit(app, server);
	if (!unit)
		return -ENOMEM;
	pthread_mutex_lock(&app->lock);
	ret = app->ran ? error_set(-EALREADY, "server %s comes after app_run",
			     unit->name)
		       : insert(app, unit);
	pthread_mutex_unlock(&app->lock);
	if (ret)
		unit_free(unit);
	return ret;
}

int app_add_hook(struct app *app, enum app_phase phase, task_fn *fn, void *arg)
{
	struct hook *hooks;
	int ret = 0;

	if (!fn || phase < APP_BEFORE_START || phase > APP_AFTER_STOP)
		return error_set(-EINVAL, "a hook without a %s",
		    fn ? "phase" : "function");
	pthread_mutex_lock(&app->lock);
	hooks = app->ran ? NULL
			 : realloc(app->hooks[phase],
			       (app->hook_count[phase] + 1) * sizeof(*hooks));
	if (hooks) {
		hooks[app->hook_count[phase]++] = (struct hook){fn, arg};
		app->hooks[phase] = hooks;
	} else if (app->ran) {
		ret = error_set(-EALREADY, "a hook comes after app_run");
	} else {
		ret = -ENOMEM;
	}
	pthread_mutex_unlock(&app->lock);
	return ret;
}

struct app *app_from_context(const struct context *ctx)
{
	return context_value(ctx, &app_key);
}

const char *app_id(const struct app *app)
{
	return app_instance(app)->id;
}

const char *app_name(const struct app *app)
{
	return app_instance(app)->name;
}

const char *app_version(const struct app *app)
{
	return app_instance(app)->version;
}

const struct error *app_errors(const struct app *app, size_t *count)
{
	*count = app->error_count;
	return app->errors;
}
