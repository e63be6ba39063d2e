/* What an app is to others: id, name, version, and its servers' endpoints. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "app/internal.h"
#include "errgroup/error_thread.h"

struct app_instance {
	struct instance public;
	const char *const *endpoints; /* what public.endpoints is */
	struct app_instance *older;
};

/* ---- the instance ---- */

static void publish(struct app *app, struct app_instance *instance)
{
	instance->older = atomic_load(&app->instance);
	atomic_store(&app->instance, instance);
}

static void free_instance(struct app_instance *instance)
{
	if (instance)
		list_free(instance->endpoints);
	free(instance);
}

/*
 * The same instance with the endpoints that are known by now. They are copies,
 * since a server may go before the app does.
 */
static int update_instance(struct app *app)
{
	struct app_instance *old = atomic_load(&app->instance);
	struct app_instance *instance = calloc(1, sizeof(*instance));
	const char **endpoints =
	    calloc(app->units.count + 1, sizeof(*endpoints));
	size_t n = 0;
	int ret = instance && endpoints ? 0 : -ENOMEM;

	for (size_t i = 0; i < app->units.count && !ret; i++)
		if (app->units.all[i]->endpoint)
			endpoints[n++] = app->units.all[i]->endpoint;
	if (!ret)
		ret = list_copy(endpoints, &instance->endpoints);
	free(endpoints);
	if (ret) {
		free_instance(instance);
		return ret;
	}
	instance->public = old->public;
	instance->public.endpoints = instance->endpoints;
	publish(app, instance);
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
	if (list_copy(options->metadata, &public->metadata))
		return -ENOMEM;
	app->endpoints_given = options->endpoints != NULL;
	if (list_copy(options->endpoints, &instance->endpoints))
		return -ENOMEM;
	public->endpoints = instance->endpoints;
	return 0;
}

void instance_free_all(struct app *app)
{
	struct app_instance *instance = atomic_load(&app->instance);

	/* All but the endpoints is that of the first. */
	if (instance) {
		free((char *)instance->public.id);
		free((char *)instance->public.name);
		free((char *)instance->public.version);
		list_free(instance->public.metadata);
	}
	while (instance) {
		struct app_instance *older = instance->older;

		free_instance(instance);
		instance = older;
	}
}

const struct instance *app_instance(const struct app *app)
{
	return &atomic_load(&app->instance)->public;
}

/* Asks one server for its endpoint; -EAGAIN is for later. */
int instance_ask(struct unit *unit)
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
	return ret;
}

int instance_ask_all(struct step *step, struct context *ctx)
{
	struct app *app = step->app;
	int ret = 0;

	for (size_t i = 0; i < app->units.count; i++) {
		if (context_err(ctx))
			return step_cut_off(step, ctx);
		ret = instance_ask(app->units.all[i]);
		if (ret)
			return report_code(app, app->units.all[i], NULL, ret);
	}
	if (!app->endpoints_given && (ret = update_instance(app)))
		step_fail(step, ret);
	return ret;
}

bool instance_asks(const struct app *app, bool still)
{
	for (size_t i = 0; i < app->units.count; i++) {
		const struct unit *unit = app->units.all[i];

		if (unit->server.endpoint && !(still && unit->endpoint))
			return true;
	}
	return false;
}
