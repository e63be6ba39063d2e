/*
 * The tables of states and events, looked at as a whole, and the diagrams that
 * are made from them. LIFECYCLE_DRAW=1 writes the diagrams anew:
 *
 *	LIFECYCLE_DRAW=1 build/tests/check_lifecycle
 *	for f in app/lifecycle_*.dot; do dot -Tsvg -o "${f%.dot}.svg" "$f"; done
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/lifecycle.h"
#include "tests/suite.h"

/*
 * What has happened to a server in its latest run, beside the state that the
 * table keeps; and whether that was its first.
 */
struct walk {
	enum unit_state state;
	bool launched, begun, returned, skipped, stop_called, halted, again;
};

enum { HISTORIES = 1 << 7 };

static bool seen[UNIT_STATES][HISTORIES];

static unsigned history(const struct walk *walk)
{
	return (unsigned)walk->launched | (unsigned)walk->begun << 1 |
	       (unsigned)walk->returned << 2 | (unsigned)walk->skipped << 3 |
	       (unsigned)walk->stop_called << 4 | (unsigned)walk->halted << 5 |
	       (unsigned)walk->again << 6;
}

/* The stop task has had its turn: to call stop, or to be told not to. */
static bool had_turn(const struct walk *walk)
{
	return walk->stop_called || walk->skipped;
}

/* What the app and the tasks may do there. The loop may do anything. */
static bool is_possible(const struct walk *walk, enum unit_event event)
{
	switch (event) {
	case UNIT_REFUSE:
		return walk->state == UNIT_LAUNCHED && !walk->begun;
	case UNIT_SKIP:
		return walk->state == UNIT_REVOKED && !walk->begun;
	case UNIT_BEGIN:
		return walk->launched && !walk->begun && !walk->skipped;
	case UNIT_ANNOUNCE:
		return walk->begun;
	case UNIT_RETURN:
	case UNIT_END:
		return walk->begun && !walk->returned;
	case UNIT_HALT:
		return had_turn(walk) && !walk->halted;
	default:
		return true;
	}
}

/* Nothing more can come of its latest run. */
static bool is_over(const struct walk *walk)
{
	if (!walk->launched)
		return true;
	return walk->halted &&
	       (walk->begun ? walk->stop_called && walk->returned
			    : walk->skipped && !walk->stop_called);
}

/* The rule of unit.c: into STOPPING, and into HALTING from elsewhere. */
static bool is_turn(enum unit_state before, enum unit_state after)
{
	return (after == UNIT_STOPPING && before != UNIT_STOPPING) ||
	       (after == UNIT_HALTING && before != UNIT_HALTING &&
		   before != UNIT_STOPPING);
}

static struct walk next_walk(const struct walk *walk, enum unit_event event)
{
	struct walk next = *walk;

	next.state = lifecycle_unit(walk->state, event);
	if (event == UNIT_LAUNCH && next.state != walk->state)
		next = (struct walk){.state = next.state,
		    .launched = true,
		    .again = walk->launched};
	next.begun |= event == UNIT_BEGIN;
	next.skipped |= event == UNIT_SKIP || event == UNIT_REFUSE;
	next.returned |= event == UNIT_RETURN || event == UNIT_END;
	next.halted |= event == UNIT_HALT;
	return next;
}

static void explore(struct walk walk)
{
	if (seen[walk.state][history(&walk)])
		return;
	seen[walk.state][history(&walk)] = true;
	ck_assert(lifecycle_is_down(walk.state) == is_over(&walk));
	for (int i = 0; i < UNIT_EVENTS; i++) {
		enum unit_event event = (enum unit_event)i;
		struct walk next;

		if (!is_possible(&walk, event))
			continue;
		next = next_walk(&walk, event);
		/* No second start before the end of the first run. */
		if (next.state == UNIT_LAUNCHED && walk.state != UNIT_LAUNCHED)
			ck_assert(is_over(&walk));
		if (is_turn(walk.state, next.state)) {
			ck_assert(next.begun || next.skipped);
			ck_assert(!had_turn(&walk));
			next.stop_called = next.begun;
		}
		explore(next);
	}
}

/* A13: whatever the order of events, in all histories that there are. */
START_TEST(stop_is_called_once_for_each_start_and_else_never)
{
	explore((struct walk){.state = UNIT_NEW});
	for (int i = 0; i < UNIT_STATES; i++) {
		bool first = false, again = false;

		for (int j = 0; j < HISTORIES; j++) {
			first |= j < HISTORIES / 2 && seen[i][j];
			again |= j >= HISTORIES / 2 && seen[i][j];
		}
		ck_assert_msg(first, "%s is never reached",
		    lifecycle_unit_name((enum unit_state)i));
		ck_assert_msg(again, "%s is never reached again",
		    lifecycle_unit_name((enum unit_state)i));
	}
}
END_TEST

/* What happens when nobody starts anything any more. */
static const enum unit_event ending[] = {UNIT_REFUSE, UNIT_SKIP, UNIT_BEGIN,
    UNIT_RETURN, UNIT_END, UNIT_STOP, UNIT_HALT};

enum { ENDING = sizeof(ending) / sizeof(*ending) };

/* How many steps it takes at most; the way is never a circle. */
static int steps_to_end(enum unit_state state, int depth)
{
	int most = 0;

	ck_assert_msg(depth < UNIT_STATES, "a circle through %s",
	    lifecycle_unit_name(state));
	for (int i = 0; i < ENDING; i++) {
		enum unit_state next = lifecycle_unit(state, ending[i]);
		int steps =
		    next == state ? 0 : 1 + steps_to_end(next, depth + 1);

		most = steps > most ? steps : most;
	}
	if (!most)
		ck_assert_int_eq(state, UNIT_STOPPED);
	return most;
}

/* A6: there is a way to the end from everywhere, and nothing else. */
START_TEST(every_state_of_a_server_leads_to_stopped)
{
	for (int i = 0; i < UNIT_STATES; i++)
		steps_to_end((enum unit_state)i, 0);
	ck_assert_int_eq(steps_to_end(UNIT_STOPPED, 0), 0);
}
END_TEST

/* A server that has stopped starts by no other event than "again". */
START_TEST(a_stopped_server_starts_only_after_a_delay)
{
	for (int i = 0; i < UNIT_EVENTS; i++) {
		enum unit_state next =
		    lifecycle_unit(UNIT_STOPPED, (enum unit_event)i);

		ck_assert_int_eq(next, i == UNIT_AGAIN	      ? UNIT_BACKOFF
				       : i == UNIT_LOSE	      ? UNIT_LOST
				       : i == UNIT_SWITCH_OFF ? UNIT_OFF
							      : UNIT_STOPPED);
		next = lifecycle_unit(UNIT_BACKOFF, (enum unit_event)i);
		ck_assert(i == UNIT_DUE ? next == UNIT_NEW : next != UNIT_NEW);
		for (int gone = UNIT_LOST; gone <= UNIT_OFF; gone++) {
			next = lifecycle_unit((enum unit_state)gone,
			    (enum unit_event)i);
			ck_assert(next == (enum unit_state)gone ||
				  next == UNIT_STOPPED || next == UNIT_OFF ||
				  (i == UNIT_AGAIN && next == UNIT_BACKOFF));
		}
	}
}
END_TEST

/* A14: whatever is not ready holds up what comes after it. */
START_TEST(a_server_is_ready_when_its_start_runs_or_has_returned_0)
{
	bool shown[SERVER_LOST + 1] = {false};

	for (int i = 0; i < UNIT_STATES; i++) {
		enum unit_state state = (enum unit_state)i;

		ck_assert(lifecycle_is_ready(state) ==
			  (state == UNIT_READY || state == UNIT_UP));
		ck_assert(
		    !lifecycle_is_ready(state) || !lifecycle_is_down(state));
		shown[lifecycle_shown(state)] = true;
	}
	for (int i = 0; i <= SERVER_LOST; i++)
		ck_assert_msg(shown[i], "no server is ever %s",
		    server_state_name((enum server_state)i));
}
END_TEST

/* A6: one stop sequence, whatever state of the way up it starts from. */
START_TEST(the_way_up_leaves_to_the_way_down_which_is_walked_whole)
{
	for (int i = APP_STATE_PREPARING; i < APP_STATE_BEFORE_STOP; i++)
		ck_assert_int_eq(lifecycle_app((enum app_state)i, APP_LEAVE),
		    APP_STATE_BEFORE_STOP);
	for (int i = APP_STATE_NEW; i < APP_STATE_COMMITTING; i++)
		ck_assert_int_eq(lifecycle_app((enum app_state)i, APP_GO),
		    i + 1);
	for (int i = APP_STATE_BEFORE_STOP; i < APP_STATE_DONE; i++) {
		ck_assert_int_eq(lifecycle_app((enum app_state)i, APP_GO),
		    i + 1);
		ck_assert_int_eq(lifecycle_app((enum app_state)i, APP_LEAVE),
		    i + 1);
	}
	for (int i = 0; i < APP_STEP_ENDS; i++)
		ck_assert_int_eq(lifecycle_app(APP_STATE_DONE,
				     (enum app_step_end)i),
		    APP_STATE_DONE);
	/* Before anything was done there is nothing to undo. */
	ck_assert_int_eq(lifecycle_app(APP_STATE_NEW, APP_LEAVE),
	    APP_STATE_DONE);
}
END_TEST

START_TEST(a_reload_leads_back_to_running_whether_it_is_made_or_not)
{
	ck_assert_int_eq(lifecycle_app(APP_STATE_RELOADING, APP_BACK),
	    APP_STATE_RUNNING);
	ck_assert_int_eq(lifecycle_app(APP_STATE_COMMITTING, APP_GO),
	    APP_STATE_RUNNING);
	for (int i = 0; i <= APP_STATE_DONE; i++)
		if (i != APP_STATE_RELOADING)
			ck_assert_int_eq(lifecycle_app((enum app_state)i,
					     APP_BACK),
			    i);
}
END_TEST

static void ck_assert_unique(const char *(*name)(int), int count)
{
	for (int i = 0; i < count; i++) {
		ck_assert_ptr_nonnull(name(i));
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(name(i), name(j));
	}
}

static const char *unit_name(int i)
{
	return lifecycle_unit_name((enum unit_state)i);
}

static const char *event_name(int i)
{
	return lifecycle_event_name((enum unit_event)i);
}

static const char *app_name_of(int i)
{
	return app_state_name((enum app_state)i);
}

static const char *server_name_of(int i)
{
	return server_state_name((enum server_state)i);
}

START_TEST(every_state_and_event_has_a_name_of_its_own)
{
	ck_assert_unique(unit_name, UNIT_STATES);
	ck_assert_unique(event_name, UNIT_EVENTS);
	ck_assert_unique(app_name_of, APP_STATE_DONE + 1);
	ck_assert_unique(server_name_of, SERVER_LOST + 1);
	ck_assert_str_eq(app_state_name((enum app_state)99), "unknown");
	ck_assert_str_eq(app_state_name((enum app_state) - 1), "unknown");
	ck_assert_str_eq(server_state_name((enum server_state)99), "unknown");
	ck_assert_str_eq(server_state_name((enum server_state) - 1), "unknown");
}
END_TEST

/* ---- the diagrams ---- */

static char *read_all(FILE *file)
{
	char *text = calloc(1, 65536);

	ck_assert_ptr_nonnull(text);
	if (file) {
		ck_assert_uint_lt(fread(text, 1, 65535, file), 65535);
		fclose(file);
	}
	return text;
}

static char *draw(void (*drawing)(FILE *out))
{
	FILE *file = tmpfile();

	ck_assert_ptr_nonnull(file);
	drawing(file);
	rewind(file);
	return read_all(file);
}

static void write_all(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

/* From the top of the tree, as tests/run has it. */
static void ck_assert_drawn(const char *path, void (*drawing)(FILE *out))
{
	char *now = draw(drawing), *kept;

	if (getenv("LIFECYCLE_DRAW"))
		write_all(path, now);
	kept = read_all(fopen(path, "r"));
	ck_assert_msg(!strcmp(now, kept),
	    "%s is not what the tables say; at the top of the tree: "
	    "LIFECYCLE_DRAW=1 build/tests/check_lifecycle, then "
	    "dot -Tsvg for the picture beside it",
	    path);
	free(now);
	free(kept);
}

START_TEST(the_diagrams_are_those_of_the_tables)
{
	ck_assert_drawn("app/lifecycle_app.dot", lifecycle_draw_app);
	ck_assert_drawn("app/lifecycle_server.dot", lifecycle_draw_server);
}
END_TEST

static int count_text(const char *text, const char *part)
{
	int count = 0;

	for (; (text = strstr(text, part)); text++)
		count++;
	return count;
}

START_TEST(the_diagrams_show_every_state_and_every_transition)
{
	char *app = draw(lifecycle_draw_app);
	char *server = draw(lifecycle_draw_server);
	char line[128];

	for (int i = 0; i <= APP_STATE_DONE; i++) {
		snprintf(line, sizeof(line), "\t\"%s\" [fill", app_name_of(i));
		ck_assert_int_eq(count_text(app, line), 1);
	}
	for (int i = 0; i < UNIT_STATES; i++) {
		snprintf(line, sizeof(line), "\t\"%s\" [fill", unit_name(i));
		ck_assert_int_eq(count_text(server, line), 1);
		for (int j = 0; j < UNIT_EVENTS; j++) {
			enum unit_state next =
			    lifecycle_unit((enum unit_state)i,
				(enum unit_event)j);
			const char *arrow;

			if ((int)next == i)
				continue;
			snprintf(line, sizeof(line), "\t\"%s\" -> \"%s\" [",
			    unit_name(i), unit_name((int)next));
			ck_assert_int_eq(count_text(server, line), 1);
			arrow = strstr(server, line);
			ck_assert_ptr_nonnull(strstr(arrow, event_name(j)));
			ck_assert(
			    strstr(arrow, event_name(j)) < strchr(arrow, ']'));
		}
	}
	free(app);
	free(server);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lifecycle");

	SUITE_ADD(suite, "a server",
	    stop_is_called_once_for_each_start_and_else_never,
	    every_state_of_a_server_leads_to_stopped,
	    a_stopped_server_starts_only_after_a_delay,
	    a_server_is_ready_when_its_start_runs_or_has_returned_0);
	SUITE_ADD(suite, "an app",
	    the_way_up_leaves_to_the_way_down_which_is_walked_whole,
	    a_reload_leads_back_to_running_whether_it_is_made_or_not,
	    every_state_and_event_has_a_name_of_its_own);
	SUITE_ADD(suite, "the diagrams", the_diagrams_are_those_of_the_tables,
	    the_diagrams_show_every_state_and_every_transition);
	return suite_run(suite);
}
