/* What comes after what in a file: names, cycles, levels. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cratos/order.h"

/* So many names are told to one who has got a name wrong. */
enum { FEW = 8 };

/* ---- names ---- */

static bool has_section(const struct appfile *file, const char *name)
{
	for (size_t i = 0; i < file->count; i++)
		if (!strcmp(config_name(file->config, "server:", i), name))
			return true;
	return false;
}

/* "; there are db, web": the others, if they are few. */
static const char *describe_others(const struct appfile *file, size_t me,
    char text[static 512])
{
	size_t used = 0;

	*text = '\0';
	if (file->count < 2 || file->count > FEW + 1)
		return text;
	for (size_t i = 0; i < file->count; i++)
		if (i != me)
			used += (size_t)snprintf(text + used, 512 - used,
			    "%s%s", used ? ", " : "; there are ",
			    config_name(file->config, "server:", i));
	return text;
}

static size_t check_list(struct appfile *file, size_t i, const char *key,
    const char *const *names)
{
	const char *me = config_name(file->config, "server:", i);
	char others[512];
	size_t wrong = 0;

	for (; names && *names; names++) {
		if (!strcmp(*names, me))
			config_refuse(file->config, "server:", i, key,
			    "a server cannot come after itself");
		else if (!has_section(file, *names))
			config_refuse(file->config, "server:", i, key,
			    "there is no server '%s'%s%s", *names,
			    strchr(*names, ',')
				? "; names stand with blanks between them, "
				  "without commas"
				: "",
			    describe_others(file, i, others));
		else
			continue;
		wrong++;
	}
	return wrong;
}

size_t order_check_names(struct appfile *file, size_t i)
{
	const struct server_keys *keys = config_at(file->config, "server:", i);

	return check_list(file, i, "after", keys->after) +
	       check_list(file, i, "wants", keys->wants);
}

/* ---- cycles ---- */

static void refuse(struct appfile *file, const struct error *err)
{
	for (size_t i = 0; i < file->count; i++) {
		const struct appfile_server *server = &file->servers[i];

		if (strcmp(server->name, err->origin))
			continue;
		config_refuse(file->config, "server:", i,
		    server->keys->after ? "after" : "wants", "%s", err->text);
		return;
	}
	config_refuse(file->config, "app", 0, NULL, "%s", err->text);
}

void order_check(struct appfile *file)
{
	struct app *app = app_new(NULL);
	struct error err;
	int ret = app ? 0 : -errno;

	for (size_t i = 0; i < file->count && !ret; i++) {
		struct server server = file->servers[i].server;

		server.release = NULL; /* it is not this app's */
		ret = app_add_server(app, &server);
		if (ret)
			config_refuse(file->config, "server:", i, NULL, "%s",
			    error_of(ret).text);
	}
	if (!app)
		config_refuse(file->config, "app", 0, NULL, "%s",
		    error_of(ret).text);
	else if (!ret && app_check(app, &err))
		refuse(file, &err);
	app_free(&app);
}

/* ---- levels ---- */

enum { UNKNOWN = 0 }; /* levels are counted from 1 until all are known */

static size_t level_of(const struct appfile *file, size_t *levels, size_t i);

static size_t highest(const struct appfile *file, size_t *levels,
    const char *const *names)
{
	size_t high = 0, level;

	for (; names && *names; names++) {
		level = level_of(file, levels,
		    (size_t)(appfile_find(file, *names) - file->servers));
		if (high < level)
			high = level;
	}
	return high;
}

static size_t level_of(const struct appfile *file, size_t *levels, size_t i)
{
	const struct server_keys *keys = file->servers[i].keys;
	size_t after, wants;

	if (levels[i] == UNKNOWN) {
		after = highest(file, levels, keys->after);
		wants = highest(file, levels, keys->wants);
		levels[i] = 1 + (after > wants ? after : wants);
	}
	return levels[i];
}

size_t *order_levels(const struct appfile *file)
{
	size_t *levels = calloc(file->count + 1, sizeof(*levels));

	for (size_t i = 0; levels && i < file->count; i++)
		level_of(file, levels, i);
	for (size_t i = 0; levels && i < file->count; i++)
		levels[i]--;
	return levels;
}
