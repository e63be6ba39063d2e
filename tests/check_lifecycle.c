/* The tables of states and events, looked at as a whole. */
#include <check.h>

#include "app/lifecycle.h"
#include "tests/suite.h"

/* What has happened to a server, beside the state that the table keeps. */
struct walk {
	enum unit_state state;
	bool launched, begun, returned, skipped, stop_called, halted;
};

static bool seen[UNIT_STATES][64];

static unsigned history(const struct walk *walk)
{
	return (unsigned)walk->launched | (unsigned)walk->begun << 1 |
	       (unsigned)walk->returned << 2 | (unsigned)walk->skipped << 3 |
	       (unsigned)walk->stop_called << 4 | (unsigned)walk->halted << 5;
}

/* What the app and the tasks may do there. */
static bool is_possible(const struct walk *walk, enum unit_event event)
{
	switch (event) {
	case UNIT_LAUNCH:
		return walk->state == UNIT_NEW;
	case UNIT_REFUSE:
		return walk->state == UNIT_LAUNCHED && !walk->begun;
	case UNIT_SKIP:
		return walk->state == UNIT_REVOKED && !walk->begun;
	case UNIT_BEGIN:
		return walk->launched && !walk->begun && !walk->skipped &&
		       walk->state != UNIT_STOPPED;
	case UNIT_ANNOUNCE:
		return walk->begun;
	case UNIT_RETURN:
	case UNIT_FAIL:
		return walk->begun && !walk->returned;
	case UNIT_STOP:
		return true;
	case UNIT_HALT:
		return walk->stop_called && !walk->halted;
	default:
		return false;
	}
}

/* The rule of unit.c: into STOPPING, and into HALTING from elsewhere. */
static bool calls_stop(enum unit_state before, enum unit_state after)
{
	return (after == UNIT_STOPPING && before != UNIT_STOPPING) ||
	       (after == UNIT_HALTING && before != UNIT_HALTING &&
		   before != UNIT_STOPPING);
}

static void explore(struct walk walk)
{
	if (seen[walk.state][history(&walk)])
		return;
	seen[walk.state][history(&walk)] = true;
	if (walk.state == UNIT_STOPPED && walk.begun) {
		ck_assert(walk.stop_called);
		ck_assert(walk.halted);
		ck_assert(walk.returned);
	}
	for (int i = 0; i < UNIT_EVENTS; i++) {
		enum unit_event event = (enum unit_event)i;
		struct walk next = walk;

		if (!is_possible(&walk, event))
			continue;
		next.state = lifecycle_unit(walk.state, event);
		next.launched |= event == UNIT_LAUNCH;
		next.begun |= event == UNIT_BEGIN;
		next.skipped |= event == UNIT_SKIP || event == UNIT_REFUSE;
		next.returned |= event == UNIT_RETURN || event == UNIT_FAIL;
		next.halted |= event == UNIT_HALT;
		if (calls_stop(walk.state, next.state)) {
			ck_assert(walk.begun || event == UNIT_BEGIN);
			ck_assert(!walk.stop_called);
			next.stop_called = true;
		}
		explore(next);
	}
}

/* A13: whatever the order of events, in all histories that there are. */
START_TEST(stop_is_called_once_if_start_was_and_else_never)
{
	explore((struct walk){.state = UNIT_NEW});
	for (int i = 0; i < UNIT_STATES; i++) {
		bool reached = false;

		for (int j = 0; j < 64; j++)
			reached |= seen[i][j];
		ck_assert_msg(reached, "%s is never reached",
		    lifecycle_unit_name((enum unit_state)i));
	}
}
END_TEST

/* A6: there is a way to the end from everywhere, and no way back. */
START_TEST(every_state_of_a_server_leads_to_stopped)
{
	bool ends[UNIT_STATES] = {[UNIT_STOPPED] = true};

	for (int round = 0; round < UNIT_STATES; round++)
		for (int i = 0; i < UNIT_STATES; i++)
			for (int j = 0; j < UNIT_EVENTS; j++)
				ends[i] |=
				    ends[lifecycle_unit((enum unit_state)i,
					(enum unit_event)j)];
	for (int i = 0; i < UNIT_STATES; i++)
		ck_assert(ends[i]);
	for (int j = 0; j < UNIT_EVENTS; j++)
		ck_assert_int_eq(lifecycle_unit(UNIT_STOPPED,
				     (enum unit_event)j),
		    UNIT_STOPPED);
}
END_TEST

/* A6: one stop sequence, whatever state of the way up it starts from. */
START_TEST(the_way_up_leaves_to_the_way_down_which_is_walked_whole)
{
	for (int i = APP_STATE_PREPARING; i <= APP_STATE_RUNNING; i++)
		ck_assert_int_eq(lifecycle_app((enum app_state)i, APP_LEAVE),
		    APP_STATE_BEFORE_STOP);
	for (int i = APP_STATE_PREPARING; i < APP_STATE_RUNNING; i++)
		ck_assert_int_eq(lifecycle_app((enum app_state)i, APP_GO),
		    i + 1);
	for (int i = APP_STATE_BEFORE_STOP; i < APP_STATE_DONE; i++) {
		ck_assert_int_eq(lifecycle_app((enum app_state)i, APP_GO),
		    i + 1);
		ck_assert_int_eq(lifecycle_app((enum app_state)i, APP_LEAVE),
		    i + 1);
	}
}
END_TEST

START_TEST(every_state_has_a_name_of_its_own)
{
	for (int i = 0; i < UNIT_STATES; i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(lifecycle_unit_name(
					     (enum unit_state)i),
			    lifecycle_unit_name((enum unit_state)j));
	for (int i = 0; i <= APP_STATE_DONE; i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(app_state_name((enum app_state)i),
			    app_state_name((enum app_state)j));
	ck_assert_str_eq(app_state_name((enum app_state)99), "unknown");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lifecycle");

	SUITE_ADD(suite, "a server",
	    stop_is_called_once_if_start_was_and_else_never,
	    every_state_of_a_server_leads_to_stopped);
	SUITE_ADD(suite, "an app",
	    the_way_up_leaves_to_the_way_down_which_is_walked_whole,
	    every_state_has_a_name_of_its_own);
	return suite_run(suite);
}
