/*
 * Dependencies: who comes after whom.
 *
 * The links of a set of units are made aside, in next_links and in one array
 * that belongs to the set, so that a set that turns out to be wrong, or that a
 * reload only tries, changes nothing. Ranks (Kahn's algorithm: take away what
 * comes after nothing, again and again) find the cycles without recursion.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/internal.h"
#include "errgroup/error_thread.h"

static size_t length(const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

static int refuse(const struct unit *unit, struct error *err, int code)
{
	*err = error_of(code);
	error_origin(err, unit->name);
	return code;
}

/* ---- links ---- */

static bool has_link(const struct links *links, const struct unit *unit)
{
	for (size_t i = 0; i < links->on_count; i++)
		if (links->on[i].unit == unit)
			return true;
	return false;
}

static int look_up(const struct units *units, struct unit *unit,
    const char *const *names, bool need, struct error *err)
{
	struct links *links = &unit->next_links;

	for (; *names; names++) {
		struct unit *before = units_find(units, *names);

		if (!before) {
			error_set(-ENOENT, "%s %s, which is not there",
			    need ? "comes after" : "wants", *names);
			return refuse(unit, err, -ENOENT);
		}
		/* Named twice it counts once, as the stronger: `after`. */
		if (has_link(links, before))
			continue;
		links->on[links->on_count++] = (struct link){before, need};
		before->next_links.user_count++;
	}
	return 0;
}

static int look_up_all(struct units *units, struct link **room,
    struct error *err)
{
	int ret = 0;

	for (size_t i = 0; i < units->count; i++)
		units->all[i]->next_links = (struct links){0};
	for (size_t i = 0; i < units->count && !ret; i++) {
		struct unit *unit = units->all[i];

		unit->next_links.on = *room;
		ret = look_up(units, unit, unit->server.after, true, err);
		if (!ret)
			ret = look_up(units, unit, unit->server.wants, false,
			    err);
		*room += unit->next_links.on_count;
	}
	return ret;
}

/* The same links, seen from the other end. */
static void turn_round(struct units *units, struct link *room)
{
	for (size_t i = 0; i < units->count; i++) {
		struct links *links = &units->all[i]->next_links;

		links->users = room;
		room += links->user_count;
		links->user_count = 0;
	}
	for (size_t i = 0; i < units->count; i++) {
		struct unit *unit = units->all[i];

		for (size_t j = 0; j < unit->next_links.on_count; j++) {
			const struct link *on = &unit->next_links.on[j];
			struct links *before = &on->unit->next_links;

			before->users[before->user_count++] =
			    (struct link){unit, on->need};
		}
	}
}

/* ---- cycles ---- */

/* How many are in a cycle, or after one: their rank is not 0 in the end. */
static size_t count_tied(struct units *units, struct unit **todo)
{
	size_t done = 0, found = 0;

	for (size_t i = 0; i < units->count; i++) {
		struct unit *unit = units->all[i];

		unit->rank = unit->next_links.on_count;
		if (!unit->rank)
			todo[found++] = unit;
	}
	while (done < found) {
		const struct links *links = &todo[done++]->next_links;

		for (size_t i = 0; i < links->user_count; i++)
			if (!--links->users[i].unit->rank)
				todo[found++] = links->users[i].unit;
	}
	return units->count - found;
}

/* What is tied comes after something that is: going back meets a cycle. */
static struct unit *go_back(const struct unit *unit)
{
	for (size_t i = 0; i < unit->next_links.on_count; i++)
		if (unit->next_links.on[i].unit->rank)
			return unit->next_links.on[i].unit;
	return NULL;
}

static int refuse_cycle(const struct units *units, struct error *err)
{
	struct unit *unit = NULL, *first;
	char path[160];
	size_t used;

	for (size_t i = 0; i < units->count && !unit; i++)
		if (units->all[i]->rank)
			unit = units->all[i];
	for (size_t i = 0; i < units->count && unit; i++)
		unit = go_back(unit);
	assert(unit);
	first = unit;
	used = (size_t)snprintf(path, sizeof(path), "%s", unit->name);
	do {
		unit = go_back(unit);
		assert(unit);
		/* With room for the dots that may have to follow. */
		if (used + strlen(unit->name) + 18 <= sizeof(path)) {
			used += (size_t)snprintf(path + used,
			    sizeof(path) - used, " after %s", unit->name);
		} else {
			snprintf(path + used, sizeof(path) - used,
			    " after ...");
			break;
		}
	} while (unit != first);
	error_set(-ELOOP, "comes after itself: %s", path);
	return refuse(first, err, -ELOOP);
}

/* ---- what others call ---- */

static int no_memory(struct error *err)
{
	*err = error_of(-ENOMEM);
	error_origin(err, "app");
	return -ENOMEM;
}

int order_make(struct units *units, struct error *err)
{
	size_t count = 0;
	struct link *room;
	struct unit **todo;
	int ret;

	*err = (struct error){0};
	for (size_t i = 0; i < units->count; i++)
		count += length(units->all[i]->server.after) +
			 length(units->all[i]->server.wants);
	free(units->links);
	units->links = calloc(2 * count + 1, sizeof(*units->links));
	todo = calloc(units->count + 1, sizeof(struct unit *));
	if (!units->links || !todo) {
		free(todo);
		return no_memory(err);
	}
	room = units->links;
	ret = look_up_all(units, &room, err);
	if (!ret) {
		turn_round(units, room);
		if (count_tied(units, todo))
			ret = refuse_cycle(units, err);
	}
	free(todo);
	return ret;
}

static void count_waits(struct unit *unit)
{
	unit->unmet = unit->held = 0;
	for (size_t i = 0; i < unit->links.on_count; i++) {
		const struct link *link = &unit->links.on[i];

		unit->unmet += link->need
				   ? !lifecycle_is_ready(link->unit->state)
				   : !unit_is_settled(link->unit);
		if (link->need && unit_is_lost(link->unit))
			unit->bereft = true;
	}
	for (size_t i = 0; i < unit->links.user_count; i++) {
		const struct unit *user = unit->links.users[i].unit;

		unit->held += user->leaving && !lifecycle_is_down(user->state);
	}
}

void order_link(struct units *units)
{
	for (size_t i = 0; i < units->count; i++)
		units->all[i]->links = units->all[i]->next_links;
}

void order_use(struct units *units)
{
	for (size_t i = 0; i < units->count; i++) {
		count_waits(units->all[i]);
		unit_queue(units->all[i]);
	}
}
