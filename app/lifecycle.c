/* The one place that says what comes after what. */
#include <assert.h>

#include "app/lifecycle.h"

enum { SAME = 0 };

/*
 * 0 stands for "stays as it is", so what leads back to UNIT_NEW, which is 0, is
 * written as NEW_AGAIN.
 */
enum { NEW_AGAIN = UNIT_STATES };

static const struct {
	const char *name;
	bool down, ready;
	enum server_state shown;
	int next[UNIT_EVENTS];
} units[UNIT_STATES] = {
    [UNIT_NEW] = {"new", true, false, SERVER_WAITING,
	{[UNIT_LAUNCH] = UNIT_LAUNCHED,
	    [UNIT_STOP] = UNIT_STOPPED,
	    [UNIT_LOSE] = UNIT_LOST}},
    [UNIT_LAUNCHED] = {"launched", false, false, SERVER_STARTING,
	{[UNIT_REFUSE] = UNIT_HALTING,
	    [UNIT_BEGIN] = UNIT_STARTING,
	    [UNIT_STOP] = UNIT_REVOKED}},
    [UNIT_REVOKED] = {"revoked", false, false, SERVER_STOPPING,
	{[UNIT_SKIP] = UNIT_HALTING, [UNIT_BEGIN] = UNIT_STOPPING}},
    [UNIT_STARTING] = {"starting", false, false, SERVER_STARTING,
	{[UNIT_ANNOUNCE] = UNIT_READY,
	    [UNIT_RETURN] = UNIT_UP,
	    [UNIT_END] = UNIT_ENDED,
	    [UNIT_STOP] = UNIT_STOPPING}},
    [UNIT_READY] = {"ready", false, true, SERVER_READY,
	{[UNIT_RETURN] = UNIT_UP,
	    [UNIT_END] = UNIT_ENDED,
	    [UNIT_STOP] = UNIT_STOPPING}},
    [UNIT_UP] = {"up", false, true, SERVER_UP, {[UNIT_STOP] = UNIT_HALTING}},
    [UNIT_ENDED] = {"ended", false, false, SERVER_FAILING,
	{[UNIT_STOP] = UNIT_HALTING}},
    [UNIT_STOPPING] = {"stopping", false, false, SERVER_STOPPING,
	{[UNIT_RETURN] = UNIT_HALTING,
	    [UNIT_END] = UNIT_HALTING,
	    [UNIT_HALT] = UNIT_LEAVING}},
    [UNIT_LEAVING] = {"leaving", false, false, SERVER_STOPPING,
	{[UNIT_RETURN] = UNIT_STOPPED, [UNIT_END] = UNIT_STOPPED}},
    [UNIT_HALTING] = {"halting", false, false, SERVER_STOPPING,
	{[UNIT_HALT] = UNIT_STOPPED}},
    [UNIT_STOPPED] = {"stopped", true, false, SERVER_STOPPED,
	{[UNIT_AGAIN] = UNIT_BACKOFF, [UNIT_LOSE] = UNIT_LOST}},
    [UNIT_BACKOFF] = {"back-off", true, false, SERVER_RESTARTING,
	{[UNIT_DUE] = NEW_AGAIN,
	    [UNIT_STOP] = UNIT_STOPPED,
	    [UNIT_LOSE] = UNIT_LOST}},
    [UNIT_LOST] = {"lost", true, false, SERVER_LOST,
	{[UNIT_STOP] = UNIT_STOPPED}},
};

static const char *const event_names[UNIT_EVENTS] = {
    [UNIT_LAUNCH] = "launch",
    [UNIT_REFUSE] = "refuse",
    [UNIT_SKIP] = "skip",
    [UNIT_BEGIN] = "begin",
    [UNIT_ANNOUNCE] = "announce",
    [UNIT_RETURN] = "return",
    [UNIT_END] = "end",
    [UNIT_STOP] = "stop",
    [UNIT_HALT] = "halt",
    [UNIT_AGAIN] = "again",
    [UNIT_DUE] = "due",
    [UNIT_LOSE] = "lose",
};

/*
 * The way up has one exit, to the way down, which is always walked whole. On
 * the way down nothing is skipped: what fails or is overdue is left behind.
 */
static const struct {
	const char *name;
	enum app_state next[APP_STEP_ENDS]; /* go, leave, back */
} apps[APP_STATE_DONE + 1] = {
    [APP_STATE_NEW] = {"new", {APP_STATE_PREPARING, APP_STATE_DONE}},
    [APP_STATE_PREPARING] = {"preparing",
	{APP_STATE_BEFORE_START, APP_STATE_BEFORE_STOP}},
    [APP_STATE_BEFORE_START] = {"before-start hooks",
	{APP_STATE_STARTING, APP_STATE_BEFORE_STOP}},
    [APP_STATE_STARTING] = {"starting",
	{APP_STATE_REGISTERING, APP_STATE_BEFORE_STOP}},
    [APP_STATE_REGISTERING] = {"registering",
	{APP_STATE_AFTER_START, APP_STATE_BEFORE_STOP}},
    [APP_STATE_AFTER_START] = {"after-start hooks",
	{APP_STATE_RUNNING, APP_STATE_BEFORE_STOP}},
    [APP_STATE_RUNNING] = {"running",
	{APP_STATE_RELOADING, APP_STATE_BEFORE_STOP}},
    [APP_STATE_RELOADING] = {"reloading",
	{APP_STATE_COMMITTING, APP_STATE_BEFORE_STOP, APP_STATE_RUNNING}},
    [APP_STATE_COMMITTING] = {"committing",
	{APP_STATE_RUNNING, APP_STATE_BEFORE_STOP}},
    [APP_STATE_BEFORE_STOP] = {"before-stop hooks",
	{APP_STATE_DEREGISTERING, APP_STATE_DEREGISTERING}},
    [APP_STATE_DEREGISTERING] = {"deregistering",
	{APP_STATE_DRAINING, APP_STATE_DRAINING}},
    [APP_STATE_DRAINING] = {"draining",
	{APP_STATE_STOPPING, APP_STATE_STOPPING}},
    [APP_STATE_STOPPING] = {"stopping",
	{APP_STATE_AFTER_STOP, APP_STATE_AFTER_STOP}},
    [APP_STATE_AFTER_STOP] = {"after-stop hooks",
	{APP_STATE_DONE, APP_STATE_DONE}},
    [APP_STATE_DONE] = {"done", {APP_STATE_NEW}},
};

static const char *const end_names[APP_STEP_ENDS] = {"go", "leave", "back"};

static const char *const shown_names[] = {
    [SERVER_WAITING] = "waiting",
    [SERVER_STARTING] = "starting",
    [SERVER_READY] = "ready",
    [SERVER_UP] = "up",
    [SERVER_FAILING] = "failing",
    [SERVER_STOPPING] = "stopping",
    [SERVER_RESTARTING] = "restarting",
    [SERVER_STOPPED] = "stopped",
    [SERVER_LOST] = "lost",
};

enum unit_state lifecycle_unit(enum unit_state state, enum unit_event event)
{
	int next = units[state].next[event];

	if (next == NEW_AGAIN)
		return UNIT_NEW;
	return next == SAME ? state : (enum unit_state)next;
}

bool lifecycle_is_down(enum unit_state state)
{
	return units[state].down;
}

bool lifecycle_is_ready(enum unit_state state)
{
	return units[state].ready;
}

enum server_state lifecycle_shown(enum unit_state state)
{
	return units[state].shown;
}

enum app_state lifecycle_app(enum app_state state, enum app_step_end end)
{
	enum app_state next = apps[state].next[end];

	/* No way leads back to APP_STATE_NEW, which is 0. */
	return next == APP_STATE_NEW ? state : next;
}

const char *lifecycle_unit_name(enum unit_state state)
{
	return units[state].name;
}

const char *lifecycle_event_name(enum unit_event event)
{
	return event_names[event];
}

const char *app_state_name(enum app_state state)
{
	if (state < APP_STATE_NEW || state > APP_STATE_DONE)
		return "unknown";
	return apps[state].name;
}

const char *server_state_name(enum server_state state)
{
	if (state < SERVER_WAITING || state > SERVER_LOST)
		return "unknown";
	return shown_names[state];
}

/* ---- the diagram ---- */

static void draw_units(FILE *out)
{
	fprintf(out, "digraph server {\n\tlabel = \"a server\"\n"
		     "\tnode [shape = box, style = rounded, fontname = sans]\n"
		     "\tedge [fontname = sans, fontsize = 10]\n");
	for (int i = 0; i < UNIT_STATES; i++)
		fprintf(out, "\t\"%s\"%s%s\n", units[i].name,
		    units[i].ready ? " [peripheries = 2]" : "",
		    units[i].down ? " [style = \"rounded,dashed\"]" : "");
	for (int i = 0; i < UNIT_STATES; i++) {
		for (int j = 0; j < UNIT_EVENTS; j++) {
			enum unit_state next =
			    lifecycle_unit((enum unit_state)i,
				(enum unit_event)j);

			if (units[i].next[j] != SAME)
				fprintf(out,
				    "\t\"%s\" -> \"%s\" [label = %s]\n",
				    units[i].name, units[next].name,
				    event_names[j]);
		}
	}
	fprintf(out, "}\n");
}

static void draw_apps(FILE *out)
{
	fprintf(out, "digraph app {\n\tlabel = \"an app\"\n"
		     "\tnode [shape = box, style = rounded, fontname = sans]\n"
		     "\tedge [fontname = sans, fontsize = 10]\n");
	for (int i = 0; i <= APP_STATE_DONE; i++)
		fprintf(out, "\t\"%s\"\n", apps[i].name);
	for (int i = 0; i <= APP_STATE_DONE; i++) {
		for (int j = 0; j < APP_STEP_ENDS; j++) {
			enum app_state next = apps[i].next[j];
			/* On the way down both ends lead on. */
			bool both = j && next == apps[i].next[0];

			if (next != APP_STATE_NEW && !both)
				fprintf(out,
				    "\t\"%s\" -> \"%s\" [label = %s]\n",
				    apps[i].name, apps[next].name,
				    end_names[j]);
		}
	}
	fprintf(out, "}\n");
}

void lifecycle_draw(FILE *out)
{
	draw_apps(out);
	draw_units(out);
}
