/*
 * The key "instances". The reader of the file makes the servers (config.h):
 * here is what their names and numbers mean.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cratos/appfile.h"
#include "cmd/cratos/instances.h"

bool instances_match(const struct appfile_server *server, const char *name)
{
	return !strcmp(server->name, name) || !strcmp(server->section, name);
}

/* ---- lists ---- */

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

/* Those that a name means, into list unless it is NULL; how many. One that
 * means nothing is refused elsewhere. */
static size_t resolve(const struct appfile *file, const char *name,
    const char **list)
{
	size_t n = 0;

	for (size_t i = 0; i < file->count; i++)
		if (instances_match(&file->servers[i], name)) {
			if (list)
				list[n] = file->servers[i].name;
			n++;
		}
	return n;
}

int instances_names(const struct appfile *file, const char *const *names,
    const char ***list)
{
	size_t n = 0, all = 0;

	for (size_t k = 0; k < count(names); k++)
		all += resolve(file, names[k], NULL);
	*list = all ? calloc(all + 1, sizeof(**list)) : NULL;
	for (size_t k = 0; *list && k < count(names); k++)
		n += resolve(file, names[k], *list + n);
	return all && !*list ? -ENOMEM : 0;
}

const char **instances_env(const struct appfile_server *server)
{
	const struct server_keys *keys = server->keys;
	int64_t number = server->number;
	size_t own = number ? sizeof(INSTANCES_VARIABLE) + 24 : 0;
	size_t n = count(keys->env), slots = n + 2;
	/* The text of the number stands behind the list. */
	const char **list = calloc(1, slots * sizeof(*list) + own);

	if (!list)
		return NULL;
	if (number) {
		char *text = (char *)(list + slots);

		snprintf(text, own, INSTANCES_VARIABLE "=%" PRId64, number);
		list[0] = text;
	}
	if (n)
		memcpy(&list[number ? 1 : 0], keys->env, n * sizeof(*list));
	return list;
}
