/*
 * What any thread may ask: states, readiness, the exit status.
 *
 * All of it is a copy under the app's lock, which the loop writes with each
 * transition. Readiness for poll(2) is a pipe with a byte in it while the app is
 * ready; its other end is closed when the app will not be ready any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/internal.h"
#include "app/names.h"

/* ---- readiness ---- */

/* Under the lock. The pipe is empty or has one byte, so neither blocks. */
static void show_ready(const struct app *app, bool ready)
{
	char byte = '\n';

	if (app->ready_fds[1] < 0)
		return;
	if (ready ? write(app->ready_fds[1], &byte, 1) != 1
		  : read(app->ready_fds[0], &byte, 1) != 1)
		return;
}

/* On the loop's thread: but for a stop that it has not heard of yet. */
static bool may_be_ready(const struct app *app)
{
	return !app->stopping && app->state >= APP_STATE_REGISTERING &&
	       app->state <= APP_STATE_COMMITTING &&
	       app->settled_count == app->units.count;
}

static void set_ready(struct app *app, bool ready)
{
	if (ready == app->ready)
		return;
	app->ready = ready;
	show_ready(app, ready);
}

void status_hide_ready(struct app *app)
{
	set_ready(app, false);
}

void status_update_ready(struct app *app)
{
	bool ready = may_be_ready(app);

	/* Only this function makes it ready: it is not, and stays so. */
	if (!ready && !app->ready_told)
		return;
	pthread_mutex_lock(&app->lock);
	ready = ready && !app->stop_wanted;
	set_ready(app, ready);
	pthread_mutex_unlock(&app->lock);
	if (ready == app->ready_told)
		return;
	app->ready_told = ready;
	app->has_come_up = app->has_come_up || ready;
	report_event(app, ready ? APP_EVENT_READY : APP_EVENT_UNREADY, NULL, 0,
	    NULL);
}

void status_end_ready(struct app *app)
{
	pthread_mutex_lock(&app->lock);
	set_ready(app, false);
	app->ready_over = true;
	if (app->ready_fds[1] >= 0)
		close(app->ready_fds[1]);
	app->ready_fds[1] = -1;
	pthread_mutex_unlock(&app->lock);
}

bool app_ready(const struct app *app)
{
	struct app *locked = (struct app *)app;
	bool ready;

	pthread_mutex_lock(&locked->lock);
	ready = app->ready;
	pthread_mutex_unlock(&locked->lock);
	return ready;
}

int app_ready_fd(struct app *app)
{
	int ret;

	pthread_mutex_lock(&app->lock);
	ret = app->ready_fds[0];
	if (ret < 0) {
		ret =
		    pipe2(app->ready_fds, O_CLOEXEC | O_NONBLOCK) ? -errno : 0;
		if (ret)
			app->ready_fds[0] = app->ready_fds[1] = -1;
		else
			ret = app->ready_fds[0];
		if (app->ready)
			show_ready(app, true);
		if (app->ready_over && ret >= 0) {
			close(app->ready_fds[1]);
			app->ready_fds[1] = -1;
		}
	}
	pthread_mutex_unlock(&app->lock);
	return ret;
}

void status_free(struct app *app)
{
	for (int i = 0; i < 2; i++)
		if (app->ready_fds[i] >= 0)
			close(app->ready_fds[i]);
}

/* ---- states ---- */

enum app_state app_state(const struct app *app)
{
	struct app *locked = (struct app *)app;
	enum app_state state;

	pthread_mutex_lock(&locked->lock);
	state = app->status.state;
	pthread_mutex_unlock(&locked->lock);
	return state;
}

/* Under the lock, hence by what is shown of the units, not by their states. */
static bool is_met(const struct link *link)
{
	enum server_state state = link->unit->status.state;

	if (state == SERVER_READY || state == SERVER_UP)
		return true;
	/* What the app goes on without. */
	return !link->need &&
	       (state == SERVER_LOST || state == SERVER_STOPPED ||
		   link->unit->given_up);
}

static void tell_waits(const struct unit *unit, struct server_status *status)
{
	struct names names;

	if (status->state == SERVER_STARTING && unit->server.lacks)
		unit->server.lacks(unit->server.arg, status->waits,
		    sizeof(status->waits));
	if (status->state != SERVER_WAITING)
		return;
	names_init(&names, status->waits, sizeof(status->waits));
	for (size_t i = 0; i < unit->links.on_count; i++)
		if (!is_met(&unit->links.on[i]))
			names_add(&names, "%s", unit->links.on[i].unit->name);
	names_end(&names);
}

/* Under the lock. */
static struct server_status status_of(const struct unit *unit)
{
	struct server_status status = {.state = unit->status.state,
	    .since_ms = unit->status.since_ms,
	    .starts = unit->status.starts,
	    .restarts = unit->status.restarts,
	    .start_ms = unit->status.start_ms,
	    .stop_ms = unit->status.stop_ms,
	    .leaving = unit->leaving,
	    .silent = unit->run.silent,
	    .optional = unit->server.optional,
	    .error = unit_error(unit, UNIT_ERROR_LAST)};

	strcpy(status.name, unit->name);
	if (unit->server.pid)
		status.pid = unit->server.pid(unit->server.arg);
	tell_waits(unit, &status);
	return status;
}

int server_state(const struct app *app, const char *name,
    struct server_status *status)
{
	struct app *locked = (struct app *)app;
	const struct unit *unit;

	pthread_mutex_lock(&locked->lock);
	unit = units_find(&app->units, name);
	if (unit)
		*status = status_of(unit);
	pthread_mutex_unlock(&locked->lock);
	return unit ? 0 : -ENOENT;
}

/* ---- all of them, in one piece of memory ---- */

/* The app's; its servers; the lists of names; the names. */
struct shape {
	size_t lists, texts;
};

static struct shape shape_of(const struct app *app)
{
	struct shape shape = {0, 0};

	for (size_t i = 0; i < app->units.count; i++) {
		const struct links *links = &app->units.all[i]->links;

		shape.lists += links->on_count + 2; /* two of them, each ends */
		for (size_t n = 0; n < links->on_count; n++)
			shape.texts += strlen(links->on[n].unit->name) + 1;
	}
	return shape;
}

/* Where the next ones go. */
struct place {
	const char **list;
	char *text;
};

static const char *const *copy_names(const struct unit *unit, bool need,
    struct place *place)
{
	const char **list = place->list;

	for (size_t i = 0; i < unit->links.on_count; i++) {
		const struct link *link = &unit->links.on[i];

		if (link->need != need)
			continue;
		*place->list++ = strcpy(place->text, link->unit->name);
		place->text += strlen(place->text) + 1;
	}
	*place->list++ = NULL;
	return list;
}

static void fill_status(const struct app *app, struct app_status *status,
    struct shape shape)
{
	struct server_status *servers = (struct server_status *)(status + 1);
	size_t count = app->units.count;
	struct place place = {.list = (const char **)(servers + count)};

	place.text = (char *)(place.list + shape.lists);
	*status = (struct app_status){.state = app->status.state,
	    .ready = app->ready,
	    .since_ms = app->status.since_ms,
	    .reloads = app->status.reloads,
	    .reload_error = app->status.reload_error,
	    .server_count = count,
	    .servers = servers};
	for (size_t i = 0; i < count; i++) {
		const struct unit *unit = app->units.all[i];

		servers[i] = status_of(unit);
		servers[i].after = copy_names(unit, true, &place);
		servers[i].wants = copy_names(unit, false, &place);
	}
}

struct app_status *app_status(const struct app *app)
{
	struct app *locked = (struct app *)app;
	struct app_status *status;
	struct shape shape;

	pthread_mutex_lock(&locked->lock);
	shape = shape_of(app);
	status = malloc(sizeof(*status) +
			app->units.count * sizeof(*status->servers) +
			shape.lists * sizeof(char *) + shape.texts);
	if (status)
		fill_status(app, status, shape);
	pthread_mutex_unlock(&locked->lock);
	if (!status)
		errno = ENOMEM;
	return status;
}

void app_status_free(struct app_status **status)
{
	free(*status);
	*status = NULL;
}

int app_exit_status(const struct app *app)
{
	struct app *locked = (struct app *)app;
	int status;

	pthread_mutex_lock(&locked->lock);
	status = app->exit_status;
	pthread_mutex_unlock(&locked->lock);
	return status;
}
