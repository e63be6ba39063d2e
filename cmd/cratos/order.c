/* What comes after what in a file: names, cycles, levels. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cratos/instances.h"
#include "cmd/cratos/order.h"

/* So many names are told to one who has got a name wrong. */
enum { FEW = 8 };

/* ---- names ---- */

/* A server, or all instances of a section. */
static bool is_there(const struct appfile *file, const char *name)
{
	for (size_t i = 0; i < file->count; i++)
		if (instances_match(&file->servers[i], name))
			return true;
	return false;
}

/* An instance, perhaps, of a section that says wrongly how many there are. */
static bool may_be_there(const struct appfile *file, const char *name)
{
	const char *end = strrchr(name, '-');

	for (size_t i = 0; end && i < file->count; i++) {
		const char *section = file->servers[i].section;

		if (!strncmp(section, name, (size_t)(end - name)) &&
		    !section[end - name] && file->servers[i].number == 1 &&
		    !strcmp(section, file->servers[i].name))
			return true;
	}
	return false;
}

static bool is_first(const struct appfile_server *server)
{
	return server->number <= 1;
}

static size_t count_sections(const struct appfile *file)
{
	size_t n = 0;

	for (size_t i = 0; i < file->count; i++)
		n += is_first(&file->servers[i]);
	return n;
}

/* "; there are db, web": the other sections, if they are few. */
static const char *describe_others(const struct appfile *file, size_t me,
    char text[static 512])
{
	const char *mine = file->servers[me].section;
	size_t used = 0, sections = count_sections(file);

	*text = '\0';
	if (sections < 2 || sections > FEW + 1)
		return text;
	for (size_t i = 0; i < file->count; i++)
		if (is_first(&file->servers[i]) &&
		    strcmp(file->servers[i].section, mine) != 0)
			used += (size_t)snprintf(text + used, 512 - used,
			    "%s%s", used ? ", " : "; there are ",
			    file->servers[i].section);
	return text;
}

static size_t check_list(struct appfile *file, size_t i, const char *key,
    const char *const *names)
{
	char others[512];
	size_t wrong = 0;

	for (; names && *names; names++) {
		if (instances_match(&file->servers[i], *names))
			config_refuse(file->config, "server:", i, key,
			    "a server cannot come after itself");
		else if (!is_there(file, *names) && !may_be_there(file, *names))
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
		    server->after ? "after" : "wants", "%s", err->text);
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

/* Where the server of that name, which is there, is. All instances are often
 * asked for in a row: those behind the last one that was found come first. */
static size_t find(const struct appfile *file, const char *name, size_t last)
{
	for (size_t i = last; i < file->count; i++)
		if (file->servers[i].name == name)
			return i;
	return (size_t)(appfile_find(file, name) - file->servers);
}

static size_t highest(const struct appfile *file, size_t *levels,
    const char *const *names)
{
	size_t high = 0, at = 0, level;

	for (; names && *names; names++) {
		at = find(file, *names, at);
		level = level_of(file, levels, at);
		if (high < level)
			high = level;
	}
	return high;
}

static size_t level_of(const struct appfile *file, size_t *levels, size_t i)
{
	const struct appfile_server *server = &file->servers[i];
	size_t after, wants;

	if (levels[i] == UNKNOWN) {
		after = highest(file, levels, server->after);
		wants = highest(file, levels, server->wants);
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
