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
	    [UNIT_LOSE] = UNIT_LOST,
	    [UNIT_SWITCH_OFF] = UNIT_OFF}},
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
	{[UNIT_AGAIN] = UNIT_BACKOFF,
	    [UNIT_LOSE] = UNIT_LOST,
	    [UNIT_SWITCH_OFF] = UNIT_OFF}},
    [UNIT_BACKOFF] = {"back-off", true, false, SERVER_RESTARTING,
	{[UNIT_DUE] = NEW_AGAIN,
	    [UNIT_STOP] = UNIT_STOPPED,
	    [UNIT_LOSE] = UNIT_LOST,
	    [UNIT_SWITCH_OFF] = UNIT_OFF}},
    [UNIT_LOST] = {"lost", true, false, SERVER_LOST,
	{[UNIT_STOP] = UNIT_STOPPED,
	    [UNIT_AGAIN] = UNIT_BACKOFF,
	    [UNIT_SWITCH_OFF] = UNIT_OFF}},
    [UNIT_OFF] = {"off", true, false, SERVER_STOPPED,
	{[UNIT_STOP] = UNIT_STOPPED, [UNIT_AGAIN] = UNIT_BACKOFF}},
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
    [UNIT_SWITCH_OFF] = "switch off",
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

/* ---- the diagrams ---- */

/* Legible on light and on dark ground. */
static void begin_graph(FILE *out, const char *name, const char *attributes)
{
	fprintf(out,
	    "digraph %s {\n"
	    "\tbgcolor = transparent; %s\n"
	    "\tnode [shape = box, style = \"rounded,filled\", "
	    "fontname = \"Helvetica,Arial,sans-serif\", fontsize = 12, "
	    "color = \"#57606a\", fontcolor = \"#1f2328\"]\n"
	    "\tedge [fontname = \"Helvetica,Arial,sans-serif\", "
	    "fontsize = 10, color = \"#768390\", fontcolor = \"#768390\"]\n",
	    name, attributes);
}

static const char *colour(enum unit_state state)
{
	if (units[state].down)
		return "#e1e4e8";
	if (units[state].ready)
		return "#b4e6bc";
	return units[state].shown == SERVER_STOPPING  ? "#ffdfa8"
	       : units[state].shown == SERVER_FAILING ? "#ffc1ba"
						      : "#bcdcff";
}

/* One arrow for all events that lead from one state to one other. */
static void draw_event(FILE *out, int state, int next)
{
	const char *before = "";

	for (int i = 0; i < UNIT_EVENTS; i++) {
		if (units[state].next[i] == SAME ||
		    (int)lifecycle_unit((enum unit_state)state,
			(enum unit_event)i) != next)
			continue;
		if (!*before)
			fprintf(out, "\t\"%s\" -> \"%s\" [label = \" ",
			    units[state].name, units[next].name);
		fprintf(out, "%s%s", before, event_names[i]);
		before = ", ";
	}
	if (*before)
		fprintf(out, " \"]\n");
}

void lifecycle_draw_server(FILE *out)
{
	begin_graph(out, "server", "nodesep = 0.5; ranksep = 0.35;");
	for (int i = 0; i < UNIT_STATES; i++)
		fprintf(out, "\t\"%s\" [fillcolor = \"%s\"%s]\n", units[i].name,
		    colour((enum unit_state)i),
		    units[i].down ? ", style = \"rounded,filled,dashed\"" : "");
	for (int i = 0; i < UNIT_STATES; i++)
		for (int j = 0; j < UNIT_STATES; j++)
			draw_event(out, i, j);
	fprintf(out, "}\n");
}

static const char *app_colour(int state)
{
	if (state == APP_STATE_NEW || state == APP_STATE_DONE)
		return "#e1e4e8";
	if (state >= APP_STATE_BEFORE_STOP)
		return "#ffdfa8";
	return state < APP_STATE_REGISTERING ? "#bcdcff" : "#b4e6bc";
}

/* The way up and the way down side by side, so that leaving is a step aside. */
void lifecycle_draw_app(FILE *out)
{
	begin_graph(out, "app", "nodesep = 0.9; ranksep = 0.3;");
	for (int i = 0; i <= APP_STATE_DONE; i++)
		fprintf(out, "\t\"%s\" [fillcolor = \"%s\", group = %s]\n",
		    apps[i].name, app_colour(i),
		    i < APP_STATE_BEFORE_STOP ? "up" : "down");
	fprintf(out, "\t{rank = same; \"%s\"; \"%s\"}\n",
	    apps[APP_STATE_REGISTERING].name, apps[APP_STATE_BEFORE_STOP].name);
	for (int i = 0; i <= APP_STATE_DONE; i++) {
		for (int j = 0; j < APP_STEP_ENDS; j++) {
			enum app_state next = apps[i].next[j];
			/* On the way down both ends lead on. */
			bool both = j && next == apps[i].next[0];

			if (next != APP_STATE_NEW && !both)
				fprintf(out,
				    "\t\"%s\" -> \"%s\" [label = \" %s \"%s]\n",
				    apps[i].name, apps[next].name, end_names[j],
				    j == APP_LEAVE ? ", constraint = false"
						   : ", weight = 10");
		}
	}
	fprintf(out, "}\n");
}
