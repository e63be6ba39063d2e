/* What a program builds before it runs: options, servers, hooks. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "app/internal.h"
#include "errgroup/clock.h"
#include "errgroup/error_thread.h"

const char app_key;

static const int default_signals[] = {SIGTERM, SIGQUIT, SIGINT, 0};

static int64_t or_default(int64_t ms, int64_t fallback_ms)
{
	return ms ? ms : fallback_ms;
}

/* What cannot be caught, and what a thread raises itself, is not to be taken. */
static int check_signal(int signal, const char *purpose)
{
	static const int others[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
	    SIGILL, SIGTRAP, SIGSYS};
	sigset_t set;

	sigemptyset(&set);
	if (sigaddset(&set, signal))
		return error_set(-EINVAL, "%d is no signal", signal);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (signal == others[i])
			return error_set(-EINVAL, "signal %d cannot %s", signal,
			    purpose);
	return 0;
}

/* 0 is none; adds it to those that are used. */
static int check_one_use(int signal, const char *purpose, sigset_t *used)
{
	int ret = signal ? check_signal(signal, purpose) : 0;

	if (!signal || ret)
		return ret;
	if (sigismember(used, signal))
		return error_set(-EINVAL,
		    "signal %d is to %s and to do something else: which is it?",
		    signal, purpose);
	sigaddset(used, signal);
	return 0;
}

static int check_options(const struct app_options *options)
{
	const int *list = options->signals ? options->signals : default_signals;
	sigset_t used;
	int ret = 0;

	sigemptyset(&used);
	for (; *list && !ret; list++) {
		ret = check_signal(*list, "stop the app");
		if (!ret)
			sigaddset(&used, *list);
	}
	if (!ret)
		ret = check_one_use(options->reload_signal, "reload the app",
		    &used);
	if (!ret)
		ret = check_one_use(options->report_signal, "ask for a report",
		    &used);
	for (list = options->told_signals; !ret && list && *list; list++)
		ret = check_one_use(*list, "be told", &used);
	if (!ret)
		ret = check_one_use(options->reaper ? SIGCHLD : 0,
		    "tell of children", &used);
	if (ret)
		return ret;
	if ((unsigned)options->registrar_policy > REGISTRAR_RETRY_BESIDE)
		return error_set(-EINVAL, "%d is no registrar_policy",
		    (int)options->registrar_policy);
	if ((unsigned)options->stuck > APP_STUCK_RETURN)
		return error_set(-EINVAL, "%d is no choice for the stuck",
		    (int)options->stuck);
	return 0;
}

static int copy_options(struct app *app, const struct app_options *options)
{
	const int *list = options->signals ? options->signals : default_signals;
	const int *told = options->told_signals;
	size_t n = 0, more = 3; /* that do something else */

	while (list[n++])
		;
	while (told && told[more - 3])
		more++;
	app->signal_list = calloc(n + more, sizeof(int));
	if (!app->signal_list)
		return -ENOMEM;
	memcpy(app->signal_list, list, n * sizeof(int));
	n--;
	if (options->reload_signal)
		app->signal_list[n++] = options->reload_signal;
	if (options->report_signal)
		app->signal_list[n++] = options->report_signal;
	if (options->reaper)
		app->signal_list[n++] = SIGCHLD;
	for (; told && *told; told++) {
		app->signal_list[n++] = *told;
		app->told_signals |= UINT64_C(1) << (*told - 1);
	}
	app->start_timeout_ms = options->start_timeout_ms;
	app->stop_timeout_ms =
	    or_default(options->stop_timeout_ms, DEFAULT_STOP_TIMEOUT_MS);
	app->drain_delay_ms = options->drain_delay_ms;
	app->registrar_timeout_ms = or_default(options->registrar_timeout_ms,
	    DEFAULT_REGISTRAR_TIMEOUT_MS);
	app->registrar_policy = options->registrar_policy;
	app->registrar_delay_ms =
	    or_default(options->registrar_delay_ms, DEFAULT_REGISTRAR_DELAY_MS);
	app->registrar_max_delay_ms =
	    or_default(options->registrar_max_delay_ms,
		DEFAULT_REGISTRAR_MAX_DELAY_MS);
	app->reload_timeout_ms =
	    or_default(options->reload_timeout_ms, DEFAULT_RELOAD_TIMEOUT_MS);
	app->reload_fn = options->reload;
	app->reload_arg = options->reload_arg;
	app->reload_signal = options->reload_signal;
	app->report_signal = options->report_signal;
	app->reaper = options->reaper;
	app->manager.fd = -1;
	app->has_manager = !options->no_manager;
	if (options->registrar) {
		app->registrar = *options->registrar;
		app->has_registrar = app->registrar.register_instance;
	}
	app->parent = options->parent;
	app->admin = options->admin;
	app->on_event = options->on_event;
	app->event_arg = options->event_arg;
	app->stuck = options->stuck;
	return instance_init(app, options);
}

struct app *app_new(const struct app_options *options)
{
	const struct app_options defaults = {0};
	struct app *app;

	if (options && check_options(options)) {
		errno = EINVAL;
		return NULL;
	}
	app = calloc(1, sizeof(*app));
	if (!app)
		return NULL;
	app->magic = APP_MAGIC;
	pthread_mutex_init(&app->lock, NULL);
	STAILQ_INIT(&app->mail);
	STAILQ_INIT(&app->due);
	TAILQ_INIT(&app->turns);
	app->ready_fds[0] = app->ready_fds[1] = -1;
	app->exit_status = APP_EXIT_FAILED;
	app->status.since_ms = clock_ms();
	if (copy_options(app, options ? options : &defaults)) {
		app_free(&app);
		errno = ENOMEM;
	}
	return app;
}

void app_free(struct app **app)
{
	struct app *old = *app;

	if (!old)
		return;
	*app = NULL;
	assert(old->magic == APP_MAGIC && !old->running);
	/* What still runs may use all of it. */
	if (old->left_behind)
		return;
	for (size_t i = 0; i < old->units.count; i++)
		unit_free(old->units.all[i]);
	reload_free(old);
	units_fini(&old->units);
	for (int i = 0; i < PHASES; i++)
		free(old->hooks[i]);
	instance_free_all(old);
	status_free(old);
	free(old->signal_list);
	free(old->errors);
	free(old->culprits);
	pthread_mutex_destroy(&old->lock);
	old->magic = 0;
	free(old);
}

/* ---- lists ---- */

/* Most lists are empty: they are all this one. */
static const char *const empty_list[] = {NULL};

void list_free(const char *const *list)
{
	if (list == empty_list)
		return;
	for (size_t i = 0; list && list[i]; i++)
		free((char *)list[i]);
	free((void *)list);
}

int list_copy(const char *const *list, const char *const **copy)
{
	size_t n = 0;
	char **new;

	while (list && list[n])
		n++;
	if (!n) {
		*copy = empty_list;
		return 0;
	}
	new = calloc(n + 1, sizeof(*new));
	*copy = (const char *const *)new;
	if (!new)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!(new[i] = strdup(list[i])))
			return -ENOMEM;
	return 0;
}

/* ---- servers ---- */

static int check_names(const struct server *server, const char *const *names)
{
	for (; names && *names; names++)
		if (strlen(*names) >= NAME_SIZE)
			return error_set(-ENAMETOOLONG,
			    "server %s comes after one whose name has more "
			    "than %d bytes: %.40s...",
			    server->name, NAME_SIZE - 1, *names);
	return 0;
}

/* A line is an event's or a report's, whatever the name in it. */
static bool is_on_one_line(const char *name)
{
	for (; *name; name++)
		if ((unsigned char)*name < ' ' || *name == 0x7f)
			return false;
	return true;
}

static int check_choices(const struct server *server)
{
	const struct server_restart *restart = &server->restart;

	if ((unsigned)restart->when > SERVER_RESTART_ALWAYS)
		return error_set(-EINVAL, "server %s: %d is no restart.when",
		    server->name, (int)restart->when);
	if ((unsigned)restart->scope > SERVER_RESTART_ALL)
		return error_set(-EINVAL, "server %s: %d is no restart.scope",
		    server->name, (int)restart->scope);
	if ((unsigned)server->on_return > SERVER_STOPS_APP)
		return error_set(-EINVAL, "server %s: %d is no on_return",
		    server->name, (int)server->on_return);
	return 0;
}

/* Policies that say two things at once. */
static int check_policies(const struct server *server)
{
	bool always = server->restart.when == SERVER_RESTART_ALWAYS;

	if (always && server->oneshot)
		return error_set(-EINVAL,
		    "server %s is a one-shot that is always restarted: it "
		    "would never be done",
		    server->name);
	if (server->oneshot && server->heartbeat_ms > 0)
		return error_set(-EINVAL,
		    "server %s is a one-shot with a heartbeat: once it is done "
		    "there would be none",
		    server->name);
	if (always && server->on_return == SERVER_STOPS_APP)
		return error_set(-EINVAL,
		    "server %s is to be restarted and to stop the app when its "
		    "start returns: which is it?",
		    server->name);
	return 0;
}

static int check_server(const struct server *server)
{
	int ret;

	if (!server->name || !*server->name)
		return error_set(-EINVAL, "a server without a name");
	if (!server->start)
		return error_set(-EINVAL, "server %.40s has no start",
		    server->name);
	if (strlen(server->name) >= NAME_SIZE)
		return error_set(-ENAMETOOLONG,
		    "the server's name has more than %d bytes: %.40s...",
		    NAME_SIZE - 1, server->name);
	if (!is_on_one_line(server->name))
		return error_set(-EINVAL,
		    "a server's name has a control character");
	ret = check_names(server, server->after);
	if (!ret)
		ret = check_names(server, server->wants);
	if (!ret)
		ret = check_choices(server);
	return ret ? ret : check_policies(server);
}

static void set_defaults(struct server_restart *restart)
{
	restart->delay_ms =
	    or_default(restart->delay_ms, DEFAULT_RESTART_DELAY_MS);
	restart->max_delay_ms =
	    or_default(restart->max_delay_ms, DEFAULT_RESTART_MAX_DELAY_MS);
	restart->stable_ms = or_default(restart->stable_ms, DEFAULT_STABLE_MS);
	restart->window_ms =
	    or_default(restart->window_ms, DEFAULT_RESTART_WINDOW_MS);
	if (!restart->limit)
		restart->limit = DEFAULT_RESTART_LIMIT;
}

static int copy_server(struct unit *unit, const struct server *server)
{
	int ret;

	unit->server = *server;
	unit->server.name = unit->name;
	unit->server.after = unit->server.wants = NULL;
	set_defaults(&unit->server.restart);
	ret = list_copy(server->after, &unit->server.after);
	if (!ret)
		ret = list_copy(server->wants, &unit->server.wants);
	if (ret || server->restart.when == SERVER_RESTART_NEVER ||
	    unit->server.restart.limit < 0)
		return ret;
	unit->restarts =
	    calloc((size_t)unit->server.restart.limit, sizeof(*unit->restarts));
	return unit->restarts ? 0 : -ENOMEM;
}

struct unit *unit_new(struct app *app, const struct server *server)
{
	int ret = check_server(server);
	struct unit *unit = NULL;
	size_t size;

	if (!ret) {
		size = strlen(server->name) + 1;
		unit = calloc(1, sizeof(*unit) + size);
		ret = unit ? 0 : -ENOMEM;
	}
	if (unit) {
		memcpy(unit->name, server->name, size);
		unit->status.start_ms = unit->status.stop_ms = -1;
		unit->status.since_ms = clock_ms();
		unit->app = app;
		LIST_INIT(&unit->watches);
		unit_init_host(unit);
		ret = copy_server(unit, server);
	}
	if (!ret)
		return unit;
	if (unit) {
		unit->server.release = NULL; /* it is the caller's still */
		unit_free(unit);
	}
	errno = -ret;
	return NULL;
}

/* FNV-1a; names are short. */
static size_t hash_of(const char *name)
{
	uint32_t hash = 2166136261;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619;
	return hash;
}

/* Where the unit of that name is, or would be. */
static struct unit **find_slot(const struct units *units, const char *name)
{
	size_t last = units->slot_count - 1, i = hash_of(name) & last;

	while (units->slots[i] && strcmp(units->slots[i]->name, name))
		i = (i + 1) & last;
	return &units->slots[i];
}

static int grow_all(struct units *units)
{
	size_t size = units->size ? 2 * units->size : 8;
	struct unit **all = realloc(units->all, size * sizeof(struct unit *));

	if (!all)
		return -ENOMEM;
	units->all = all;
	units->size = size;
	return 0;
}

static int grow_slots(struct units *units)
{
	struct unit **old = units->slots;
	size_t count = units->slot_count ? 2 * units->slot_count : 16;

	units->slots = calloc(count, sizeof(struct unit *));
	if (!units->slots) {
		units->slots = old;
		return -ENOMEM;
	}
	units->slot_count = count;
	for (size_t i = 0; i < units->count; i++)
		*find_slot(units, units->all[i]->name) = units->all[i];
	free(old);
	return 0;
}

int units_insert(struct units *units, struct unit *unit)
{
	struct unit **slot;

	if (units->count == units->size && grow_all(units))
		return -ENOMEM;
	if (units->count >= units->slot_count / 4 * 3 && grow_slots(units))
		return -ENOMEM;
	slot = find_slot(units, unit->name);
	if (*slot)
		return error_set(-EEXIST, "server %s is there already",
		    unit->name);
	*slot = units->all[units->count++] = unit;
	return 0;
}

struct unit *units_find(const struct units *units, const char *name)
{
	return name && units->count ? *find_slot(units, name) : NULL;
}

void units_fini(struct units *units)
{
	free(units->slots);
	free(units->all);
	free(units->links);
	*units = (struct units){0};
}

int app_add_server(struct app *app, const struct server *server)
{
	struct unit *unit = unit_new(app, server);
	int ret;

	if (!unit)
		return -errno;
	pthread_mutex_lock(&app->lock);
	ret = app->ran ? error_set(-EALREADY, "server %s comes after app_run",
			     unit->name)
		       : units_insert(&app->units, unit);
	pthread_mutex_unlock(&app->lock);
	if (ret) {
		unit->server.release = NULL;
		unit_free(unit);
	}
	return ret;
}

int app_check(const struct app *app, struct error *err)
{
	struct app *locked = (struct app *)app;
	struct error ignored;
	bool ran;

	if (!err)
		err = &ignored;
	pthread_mutex_lock(&locked->lock);
	ran = app->ran;
	pthread_mutex_unlock(&locked->lock);
	if (ran) {
		error_set(-EALREADY, "app_run has checked it");
		*err = error_of(-EALREADY);
		error_origin(err, "app");
		return -EALREADY;
	}
	/* Only what order_use would put in force is written to. */
	return order_make(&locked->units, err);
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
