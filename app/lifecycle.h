/*
 * The lifecycle: which states a server and an app go through, and by which
 * events. Pure tables; who acts on a transition is unit.c and run.c. The state
 * diagram in the documentation is made from them.
 */
#ifndef CRATOS_APP_LIFECYCLE_H
#define CRATOS_APP_LIFECYCLE_H

#include <stdio.h>

#include <cratos/app.h>

/* A server's state. "Started" means that its start was called. */
enum unit_state {
	UNIT_NEW, /* waits for the app, or for what it comes after */
	UNIT_LAUNCHED, /* start is handed to a thread */
	UNIT_REVOKED, /* ... and taken back, if it has not begun by now */
	UNIT_STARTING, /* start runs */
	UNIT_READY, /* start runs, and the server is ready */
	UNIT_UP, /* start has returned 0: ready, without a thread */
	UNIT_ENDED, /* start has returned, and that is not the end of it */
	UNIT_STOPPING, /* stop runs, start has not returned */
	UNIT_LEAVING, /* stop has returned, start has not */
	UNIT_HALTING, /* start has returned or was never called, stop runs */
	UNIT_STOPPED, /* nothing of it runs */
	UNIT_BACKOFF, /* the same, and it is to start again after a delay */
	UNIT_LOST, /* the same, it has failed for good, and the app went on */
	UNIT_OFF, /* the same, it was told to stop, and the app went on */
	UNIT_STATES
};

enum unit_event {
	UNIT_LAUNCH, /* the app starts it */
	UNIT_REFUSE, /* no thread or memory for it */
	UNIT_SKIP, /* the thread found it revoked: start was not called */
	UNIT_BEGIN, /* start is being called */
	UNIT_ANNOUNCE, /* it is ready */
	UNIT_RETURN, /* start (or its last watch) ended with 0: stays up */
	UNIT_END, /* the same with an error, or to be started again */
	UNIT_STOP, /* its turn to stop */
	UNIT_HALT, /* stop has returned, or there is none to call */
	UNIT_AGAIN, /* it is to start again */
	UNIT_DUE, /* the delay has passed */
	UNIT_LOSE, /* it has failed for good */
	UNIT_SWITCH_OFF, /* it is to stay stopped until told otherwise */
	UNIT_EVENTS
};

/*
 * The state after event in state; state itself if the event means nothing
 * there (being ready while stopping).
 */
enum unit_state lifecycle_unit(enum unit_state state, enum unit_event event);

/* Nothing of the server runs. */
bool lifecycle_is_down(enum unit_state state);
/* What comes after it may start. */
bool lifecycle_is_ready(enum unit_state state);
/* What the world is told: several states are one. */
enum server_state lifecycle_shown(enum unit_state state);

enum app_step_end {
	APP_GO, /* the state's work is done, and nobody wants to stop */
	APP_LEAVE, /* a stop is wanted, the work failed, or is overdue */
	APP_BACK, /* nothing is to change after all */
	APP_STEP_ENDS
};

/* The app's state after one whose work has ended in this way. */
enum app_state lifecycle_app(enum app_state state, enum app_step_end end);

const char *lifecycle_unit_name(enum unit_state state);
const char *lifecycle_event_name(enum unit_event event);

/* The tables as digraphs in the language of Graphviz. */
void lifecycle_draw_app(FILE *out);
void lifecycle_draw_server(FILE *out);

#endif
