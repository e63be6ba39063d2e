/*
 * The lifecycle: which states a server and an app go through, and by which
 * events. Pure tables; who acts on a transition is unit.c and run.c.
 */
#ifndef CRATOS_APP_LIFECYCLE_H
#define CRATOS_APP_LIFECYCLE_H

#include <cratos/app.h>

/* A server's state. "Started" means that its start was called. */
enum unit_state {
	UNIT_NEW,
	UNIT_LAUNCHED, /* start is handed to a thread */
	UNIT_REVOKED, /* ... and taken back, if it has not begun by now */
	UNIT_STARTING, /* start runs */
	UNIT_READY, /* start runs, and the server is ready */
	UNIT_UP, /* start has returned 0: ready, without a thread */
	UNIT_FAILED, /* start has returned an error; stop is to come */
	UNIT_STOPPING, /* stop runs, start has not returned */
	UNIT_LEAVING, /* stop has returned, start has not */
	UNIT_HALTING, /* start has returned, stop runs */
	UNIT_STOPPED,
	UNIT_STATES
};

enum unit_event {
	UNIT_LAUNCH, /* the app starts it */
	UNIT_REFUSE, /* no thread or memory for it */
	UNIT_SKIP, /* the thread found it revoked: start was not called */
	UNIT_BEGIN, /* start is being called */
	UNIT_ANNOUNCE, /* it is ready */
	UNIT_RETURN, /* start (or its last watch) ended with 0 */
	UNIT_FAIL, /* the same with an error */
	UNIT_STOP, /* its turn to stop */
	UNIT_HALT, /* stop has returned, or there is none */
	UNIT_EVENTS
};

/*
 * The state after event in state; state itself if the event means nothing
 * there (being ready while stopping).
 */
enum unit_state lifecycle_unit(enum unit_state state, enum unit_event event);

enum app_step_end {
	APP_GO, /* the state's work is done, and nobody wants to stop */
	APP_LEAVE, /* a stop is wanted, the work failed, or is overdue */
};

/* The app's state after one whose work has ended in this way. */
enum app_state lifecycle_app(enum app_state state, enum app_step_end end);

const char *lifecycle_unit_name(enum unit_state state);

#endif
