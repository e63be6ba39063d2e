/*
 * What the service manager is told, and when.
 *
 * Design notes. All happens on the loop's thread. Others only set `news` and
 * `progress`, in the loop as well; manager_look, at the end of each round, finds
 * out what that means and sends one message with all that is new. A message that
 * does not go out (the manager is busy) stays untold and is made anew when it
 * is tried again, so that nothing old is told.
 *
 * Time. The manager has a time of its own for a start and a stop. Where we have
 * one, it is asked to wait until that is over, so that it is our own that decides
 * and says what was late. Where there is none it is asked for EXTEND_MS more,
 * each time something gets further.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/internal.h"
#include "errgroup/clock.h"
#include "errgroup/error_thread.h"

enum {
	STATUS_GAP_MS = 100, /* between two of them */
	EXTEND_MS = 30000,
	EXTEND_STEP_MS = 5000, /* not asked for again sooner */
	RETRY_MS = 50, /* doubles with each try */
	RETRY_MAX_MS = 10000,
	TRIES_MAX = 12,
	LAST_WAIT_MS = 100,
	LAST_STEP_MS = 10,
	MESSAGE_SIZE = 1024,
	US_PER_MS = 1000
};

/* ---- the environment ---- */

/* A number of the environment, whole and above 0; else 0. */
static int64_t number_of(const char *text)
{
	long long number;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return 0;
	errno = 0;
	number = strtoll(text, &end, 10);
	return *end || errno ? 0 : number;
}

/* As sd_watchdog_enabled: another process may be meant. */
static void take_watchdog(struct manager *manager)
{
	const char *pid = getenv("WATCHDOG_PID");
	int64_t us = number_of(getenv("WATCHDOG_USEC"));

	if (!us || (pid && number_of(pid) != getpid()))
		return;
	manager->ping_every_ms = us / 2 / US_PER_MS;
	if (!manager->ping_every_ms)
		manager->ping_every_ms = 1;
}

/* "/path", or "@name", which is an abstract one. */
static int take_address(struct manager *manager, const char *text)
{
	size_t length = strlen(text);

	if (*text != '/' && *text != '@')
		return error_set(-EAFNOSUPPORT,
		    "NOTIFY_SOCKET=%.100s: not /path or @name", text);
	if (length < 2 || length >= sizeof(manager->address.sun_path))
		return error_set(-EINVAL, "NOTIFY_SOCKET=%.150s: its length",
		    text);
	manager->address.sun_family = AF_UNIX;
	memcpy(manager->address.sun_path, text, length);
	if (*text == '@')
		manager->address.sun_path[0] = '\0';
	manager->address_size =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	manager->fd =
	    socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return manager->fd < 0 ? -errno : 0;
}

void manager_begin(struct app *app)
{
	struct manager *manager = &app->manager;
	const char *text;

	if (!app->has_manager)
		return;
	text = getenv("NOTIFY_SOCKET");
	if (text && *text) {
		int ret = take_address(manager, text);

		if (ret)
			report_warning(app, APP_EVENT_MANAGER,
			    "service manager", ret);
		else
			take_watchdog(manager);
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (manager->ping_every_ms) {
		manager->ping_ms = clock_ms();
		loop_arm(&app->loop, manager->ping_ms);
	}
}

/* ---- texts ---- */

/* One that is cut to its size. */
struct line {
	char *text;
	size_t size, used;
};

static void add(struct line *line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void add(struct line *line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line->used += (size_t)vsnprintf(line->text + line->used,
	    line->size - line->used, fmt, ap);
	va_end(ap);
	if (line->used >= line->size)
		line->used = line->size - 1;
}

/* A message has a field a line. */
static void add_field(struct line *message, const char *name, const char *text)
{
	size_t from = message->used;

	add(message, "%s=%s", name, text);
	for (; from < message->used; from++)
		if ((unsigned char)message->text[from] < ' ')
			message->text[from] = ' ';
	add(message, "\n");
}

/* ---- what is new ---- */

static bool is_on(const struct manager *manager)
{
	return manager->fd >= 0;
}

void manager_enter(struct app *app)
{
	struct manager *manager = &app->manager;

	manager->news = manager->progress = true;
	if (app->state == APP_STATE_RELOADING) {
		manager->reload_ns = clock_ns();
		manager->untold |= MANAGER_RELOADING;
		manager->untold &= (unsigned)~MANAGER_READY;
		manager->ready = false;
	}
}

void manager_stopping(struct app *app)
{
	struct manager *manager = &app->manager;

	manager->news = manager->progress = true;
	manager->until_ms = 0; /* its time to stop begins anew */
	manager->untold |= MANAGER_STOPPING;
	manager->untold &= (unsigned)~(MANAGER_READY | MANAGER_RELOADING);
}

static bool is_busy(const struct app *app)
{
	return app->stopping || app->state != APP_STATE_RUNNING;
}

static bool is_up(const struct unit *unit)
{
	return !lifecycle_is_down(unit->state);
}

static bool is_off(const struct unit *unit)
{
	return unit->state == UNIT_OFF;
}

static bool is_lost(const struct unit *unit)
{
	return unit->state == UNIT_LOST || unit->given_up;
}

/* "; waiting for a, b", or nothing. */
static void add_list(const struct app *app, struct line *line,
    const char *before, bool (*test)(const struct unit *unit))
{
	char list[UNIT_LIST_SIZE];

	unit_list(app, test, list);
	if (*list)
		add(line, "; %s%s", before, list);
}

static void add_servers(const struct app *app, struct line *line)
{
	struct unit *unit = unit_first_not_ready(app);
	char lacks[LACKS_SIZE];
	size_t ready = 0;

	for (size_t i = 0; i < app->units.count; i++)
		ready += lifecycle_is_ready(app->units.all[i]->state);
	add(line, "%zu of %zu ready", ready, app->units.count);
	add_list(app, line, "waiting for ", unit_is_unsettled);
	if (unit) {
		unit_lacks(unit, ": ", lacks);
		add(line, "%s", lacks);
	}
	add_list(app, line, "failed for good: ", is_lost);
	add_list(app, line, "told to stop: ", is_off);
	add_list(app, line, "no heartbeat from ", unit_is_silent);
}

/* What goes on, and what is being waited for, in words. */
static void write_status(const struct app *app, struct line *line)
{
	add(line, "%s: ",
	    app->stopping		     ? "Stopping"
	    : app->state < APP_STATE_RUNNING ? "Starting"
					     : "Running");
	if (app->state == APP_STATE_STOPPING) {
		add(line, "%zu of %zu stopped", app->down_count,
		    app->units.count);
		add_list(app, line, "waiting for ", is_up);
	} else if (!app->stopping && (app->state == APP_STATE_STARTING ||
					 app->state == APP_STATE_RUNNING)) {
		add_servers(app, line);
	} else {
		add(line, "%s", app_state_name(app->state));
	}
}

static void look_at_status(struct app *app)
{
	struct manager *manager = &app->manager;
	char text[MANAGER_STATUS_SIZE];
	struct line line = {.text = text, .size = sizeof(text)};

	write_status(app, &line);
	if (!strcmp(text, manager->status))
		return;
	strcpy(manager->status, text);
	manager->untold |= MANAGER_STATUS;
}

/* When our own time for what happens now is over; INT64_MAX: there is none. */
static int64_t own_deadline_ms(struct app *app)
{
	int64_t deadline_ms = app->steps[app->state].running
				  ? app->steps[app->state].deadline_ms
				  : INT64_MAX;

	if (app->stopping) {
		deadline_ms = app->stop_deadline_ms;
		if (app->state <= APP_STATE_DRAINING && app->announced &&
		    app->drain_delay_ms > 0 &&
		    deadline_ms < INT64_MAX - app->drain_delay_ms)
			deadline_ms += app->drain_delay_ms;
	} else if (app->state < APP_STATE_RUNNING) {
		if (app->start_deadline_ms < deadline_ms)
			deadline_ms = app->start_deadline_ms;
		if (deadline_ms == INT64_MAX &&
		    app->state == APP_STATE_STARTING)
			deadline_ms = unit_start_deadline_ms(app);
	}
	return deadline_ms < INT64_MAX - EXTEND_STEP_MS - GRACE_MS
		   ? deadline_ms + GRACE_MS + EXTEND_STEP_MS
		   : INT64_MAX;
}

static void look_at_time(struct app *app)
{
	struct manager *manager = &app->manager;
	int64_t until_ms, now_ms = clock_ms();

	if (!is_busy(app)) {
		manager->until_ms = 0;
		return;
	}
	until_ms = own_deadline_ms(app);
	if (until_ms == INT64_MAX) {
		if (!manager->progress)
			return;
		until_ms = now_ms + EXTEND_MS;
		if (until_ms < manager->until_ms + EXTEND_STEP_MS)
			return;
	}
	if (until_ms <= manager->until_ms || until_ms <= now_ms)
		return;
	manager->until_ms = until_ms;
	manager->untold |= MANAGER_EXTEND;
}

/*
 * It may rely on it now. After a reload it waits for this, whatever became of the
 * servers.
 */
static void look_at_readiness(struct app *app)
{
	struct manager *manager = &app->manager;

	if (manager->ready || !(app->ready_told || manager->was_ready) ||
	    app->stopping || app->state == APP_STATE_RELOADING ||
	    app->state == APP_STATE_COMMITTING)
		return;
	manager->ready = manager->was_ready = true;
	manager->untold |= MANAGER_READY;
}

/*
 * The status of many servers takes a while to find out, and nobody reads it that
 * often; but it goes along with what is not to wait.
 */
static void look_for_news(struct app *app)
{
	struct manager *manager = &app->manager;
	int64_t due_ms = manager->status_ms + STATUS_GAP_MS;

	look_at_readiness(app);
	if (!manager->untold && clock_ms() < due_ms) {
		loop_arm(&app->loop, due_ms);
		return;
	}
	manager->news = false;
	look_at_status(app);
	look_at_time(app);
	manager->progress = false;
	manager->status_ms = clock_ms();
}

/* ---- the message ---- */

static int send_once(const struct manager *manager, const struct line *message)
{
	ssize_t ret = sendto(manager->fd, message->text, message->used,
	    MSG_NOSIGNAL, (const struct sockaddr *)&manager->address,
	    manager->address_size);

	return ret < 0 ? -errno : 0;
}

static void write_message(const struct manager *manager, unsigned what,
    int64_t now_ms, struct line *message)
{
	if (what & MANAGER_RELOADING)
		add(message, "RELOADING=1\nMONOTONIC_USEC=%lld\n",
		    (long long)(manager->reload_ns / 1000));
	if (what & MANAGER_READY)
		add(message, "READY=1\n");
	if (what & MANAGER_STOPPING)
		add(message, "STOPPING=1\n");
	if (what & MANAGER_STATUS)
		add_field(message, "STATUS", manager->status);
	if (what & MANAGER_EXTEND && manager->until_ms > now_ms)
		add(message, "EXTEND_TIMEOUT_USEC=%lld\n",
		    (long long)(manager->until_ms - now_ms) * US_PER_MS);
	if (what & MANAGER_PING)
		add(message, "WATCHDOG=1\n");
}

static void give_up(struct app *app, int code)
{
	struct manager *manager = &app->manager;

	close(manager->fd);
	manager->fd = -1;
	manager->retry_ms = manager->ping_ms = 0;
	errno = -code;
	error_set(code, "it cannot be told any more: %m");
	report_warning(app, APP_EVENT_MANAGER, "service manager", code);
}

/* A manager that is busy has all the time; one that is gone may come back. */
static void try_later(struct app *app, int code, int64_t now_ms)
{
	struct manager *manager = &app->manager;
	int64_t delay_ms = RETRY_MS;

	for (unsigned i = 0; i < manager->tries && delay_ms < RETRY_MAX_MS; i++)
		delay_ms *= 2;
	if (delay_ms > RETRY_MAX_MS)
		delay_ms = RETRY_MAX_MS;
	manager->tries++;
	if (code != -EAGAIN && code != -ENOBUFS && manager->tries > TRIES_MAX) {
		give_up(app, code);
		return;
	}
	manager->retry_ms = now_ms + delay_ms;
	loop_arm(&app->loop, manager->retry_ms);
}

static void tell(struct app *app, int64_t now_ms)
{
	struct manager *manager = &app->manager;
	unsigned what = manager->untold;
	char text[MESSAGE_SIZE];
	struct line message = {.text = text, .size = sizeof(text)};
	int ret;

	write_message(manager, what, now_ms, &message);
	ret = message.used ? send_once(manager, &message) : 0;
	if (ret) {
		try_later(app, ret, now_ms);
		return;
	}
	manager->untold = 0;
	manager->retry_ms = 0;
	manager->tries = 0;
}

void manager_look(struct app *app)
{
	struct manager *manager = &app->manager;

	if (!is_on(manager))
		return;
	if (manager->news)
		look_for_news(app);
	if (manager->untold && !manager->retry_ms)
		tell(app, clock_ms());
}

/* ---- deadlines ---- */

int64_t manager_check_deadline(struct app *app, int64_t now_ms)
{
	struct manager *manager = &app->manager;
	int64_t next_ms = INT64_MAX;

	if (!is_on(manager))
		return INT64_MAX;
	if (manager->ping_ms && now_ms >= manager->ping_ms) {
		manager->ping_ms = now_ms + manager->ping_every_ms;
		if (!app->silent_count)
			manager->untold |= MANAGER_PING;
	}
	if (manager->ping_ms)
		next_ms = manager->ping_ms;
	if (manager->retry_ms && now_ms >= manager->retry_ms)
		manager->retry_ms = 0;
	if (manager->retry_ms && manager->retry_ms < next_ms)
		next_ms = manager->retry_ms;
	if (manager->news && manager->status_ms + STATUS_GAP_MS < next_ms)
		next_ms = manager->status_ms + STATUS_GAP_MS;
	return next_ms;
}

/* ---- the end ---- */

void manager_end(struct app *app, int exit_status, const struct error *err)
{
	struct manager *manager = &app->manager;
	const struct timespec step = {0, LAST_STEP_MS * NS_PER_MS};
	char text[MESSAGE_SIZE], status[MANAGER_STATUS_SIZE];
	struct line message = {.text = text, .size = sizeof(text)};
	struct line why = {.text = status, .size = sizeof(status)};

	if (!is_on(manager))
		return;
	if (manager->untold & MANAGER_STOPPING || !app->stopping)
		add(&message, "STOPPING=1\n");
	if (err && err->code)
		add(&why, "Failed: %s: %s", err->origin, err->text);
	else
		add(&why, exit_status ? "Ended by force" : "Stopped");
	add_field(&message, "STATUS", status);
	if (err && err->code)
		add(&message, "ERRNO=%d\n", -err->code);
	if (exit_status)
		add(&message, "EXIT_STATUS=%d\n", exit_status);
	/* Whether it has room cannot be waited for: it is not connected. */
	for (int i = 0; send_once(manager, &message) == -EAGAIN; i++) {
		if (i == LAST_WAIT_MS / LAST_STEP_MS)
			break;
		nanosleep(&step, NULL);
	}
	close(manager->fd);
	manager->fd = -1;
}
