/*
 * The end of the ladder: what has not come back a while after its deadline is
 * reported, with where its threads are, and then ended by force, waited for, or
 * left behind, as the program chose.
 *
 * The report comes once, when nothing is left but what is stuck: then it names
 * all of it. It interrupts the system calls of the threads that it names, for
 * their backtraces; they were lost anyhow.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "app/internal.h"
#include "app/names.h"
#include "app/where.h"
#include "errgroup/error_thread.h"
#include "server/reaper.h"

enum { STUCK_SIZE = 190 };

static void kill_registrar(struct app *app)
{
	if (app->registrar.kill &&
	    (app->steps[APP_STATE_REGISTERING].running ||
		app->steps[APP_STATE_DEREGISTERING].running))
		app->registrar.kill(app->registrar.arg);
}

/* So that nothing that a server has started outlives the process. */
_Noreturn void stuck_force(struct app *app, int status)
{
	struct error first = {0};

	for (size_t i = 0; i < app->units.count; i++) {
		struct unit *unit = app->units.all[i];

		if (unit->server.kill && !lifecycle_is_down(unit->state))
			unit->server.kill(unit->server.arg);
	}
	kill_registrar(app);
	if (app->reaps)
		reaper_kill_all();
	/* Others may keep errors still. */
	pthread_mutex_lock(&app->lock);
	if (app->error_count)
		first = app->errors[0];
	pthread_mutex_unlock(&app->lock);
	manager_end(app, status, &first);
	_exit(status);
}

static bool is_late(const struct unit *unit)
{
	return unit->run.late && !lifecycle_is_down(unit->state);
}

/* How many do not come back, and whether all else is over. */
static bool all_stuck(const struct app *app, int64_t now_ms)
{
	size_t stuck = 0, open = app->units.count - app->down_count;

	if (app->state < APP_STATE_STOPPING)
		return false;
	for (size_t i = 0; i < app->units.count; i++) {
		const struct unit *unit = app->units.all[i];

		stuck += is_late(unit) && now_ms >= unit_stuck_ms(unit);
	}
	for (int i = 0; i < STATES; i++) {
		const struct step *step = &app->steps[i];

		open += step->running;
		stuck += step->running && step->abandoned &&
			 now_ms - step->overdue_ms >= GRACE_MS;
	}
	return stuck && stuck == open;
}

static void tell_stuck(struct app *app, struct unit *unit, const char *origin,
    const char *phase, int64_t ms, const char *place)
{
	struct error err;
	char since[32];

	error_set(-ETIMEDOUT, "stuck in %s for %s%s", phase,
	    report_duration(ms, since), place);
	err = error_of(-ETIMEDOUT);
	report_error(app, unit, origin, &err);
	error_origin(&err, unit ? unit->name : origin);
	report_event(app, APP_EVENT_STUCK, unit, ms, &err);
}

static void report_stuck_step(struct app *app, struct step *step,
    int64_t now_ms)
{
	char place[REPORT_PLACE];
	const char *phase;
	int64_t ms;
	struct unit *unit = reload_called(step, &phase, &ms);

	report_step_place(step, place);
	if (unit)
		tell_stuck(app, unit, NULL, phase, ms, place);
	else
		tell_stuck(app, NULL, step_origin(step->state),
		    app_state_name(step->state), now_ms - step->begin_ms,
		    place);
	report_step_thread(step, true);
}

static void report_stuck_unit(struct app *app, struct unit *unit,
    int64_t now_ms)
{
	char place[REPORT_PLACE];

	report_unit_place(unit, place);
	tell_stuck(app, unit, NULL, unit_phase(unit),
	    now_ms - unit->run.stop_ms, place);
	report_unit_threads(unit, true);
}

static void report_stuck(struct app *app, int64_t now_ms)
{
	app->stuck_told = true;
	for (int i = 0; i < STATES; i++)
		if (app->steps[i].running)
			report_stuck_step(app, &app->steps[i], now_ms);
	for (size_t i = 0; i < app->units.count; i++)
		if (is_late(app->units.all[i]))
			report_stuck_unit(app, app->units.all[i], now_ms);
	report_other_threads(app, app->stuck == APP_STUCK_EXIT);
	if (app->stuck == APP_STUCK_EXIT)
		stuck_force(app, APP_EXIT_STUCK);
	app->left_behind = app->stuck == APP_STUCK_RETURN;
}

static int prepare(struct context *unused, void *arg)
{
	(void)unused;
	(void)arg;
	where_prepare();
	return 0;
}

/*
 * On a thread of its own: what is late may be so for the very lock that this
 * takes, and the loop must not wait for it.
 */
void stuck_prepare(struct app *app)
{
	if (!app->overdue)
		errgroup_try_go(app->group, prepare, NULL);
	app->overdue = true;
}

void stuck_check(struct app *app, int64_t now_ms)
{
	if (!app->stuck_told && all_stuck(app, now_ms))
		report_stuck(app, now_ms);
}

/* What app_run returns when it leaves something behind. */
struct error stuck_error(const struct app *app)
{
	char text[STUCK_SIZE];
	struct names names;
	struct error err;

	names_init(&names, text, sizeof(text));
	for (int i = 0; i < STATES; i++)
		if (app->steps[i].running)
			names_add(&names, "%s", step_origin((enum app_state)i));
	for (size_t i = 0; i < app->units.count; i++)
		if (is_late(app->units.all[i]))
			names_add(&names, "%s (%s)", app->units.all[i]->name,
			    unit_phase(app->units.all[i]));
	names_end(&names);
	error_set(-ETIMEDOUT, "still running: %s", text);
	err = error_of(-ETIMEDOUT);
	error_origin(&err, "app");
	return err;
}
