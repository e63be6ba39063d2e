/* The one place that says what comes after what. */
#include <assert.h>

#include "app/lifecycle.h"

/* 0 stands for "stays as it is": no transition leads to UNIT_NEW. */
static const enum unit_state unit_table[UNIT_STATES][UNIT_EVENTS] = {
    [UNIT_NEW] = {[UNIT_LAUNCH] = UNIT_LAUNCHED, [UNIT_STOP] = UNIT_STOPPED},
    [UNIT_LAUNCHED] = {[UNIT_REFUSE] = UNIT_STOPPED,
	[UNIT_BEGIN] = UNIT_STARTING,
	[UNIT_STOP] = UNIT_REVOKED},
    [UNIT_REVOKED] = {[UNIT_SKIP] = UNIT_STOPPED, [UNIT_BEGIN] = UNIT_STOPPING},
    [UNIT_STARTING] = {[UNIT_ANNOUNCE] = UNIT_READY,
	[UNIT_RETURN] = UNIT_UP,
	[UNIT_FAIL] = UNIT_FAILED,
	[UNIT_STOP] = UNIT_STOPPING},
    [UNIT_READY] = {[UNIT_RETURN] = UNIT_UP,
	[UNIT_FAIL] = UNIT_FAILED,
	[UNIT_STOP] = UNIT_STOPPING},
    [UNIT_UP] = {[UNIT_STOP] = UNIT_HALTING},
    [UNIT_FAILED] = {[UNIT_STOP] = UNIT_HALTING},
    [UNIT_STOPPING] = {[UNIT_RETURN] = UNIT_HALTING,
	[UNIT_FAIL] = UNIT_HALTING,
	[UNIT_HALT] = UNIT_LEAVING},
    [UNIT_LEAVING] = {[UNIT_RETURN] = UNIT_STOPPED, [UNIT_FAIL] = UNIT_STOPPED},
    [UNIT_HALTING] = {[UNIT_HALT] = UNIT_STOPPED},
};

static const char *const unit_names[UNIT_STATES] = {
    [UNIT_NEW] = "new",
    [UNIT_LAUNCHED] = "launched",
    [UNIT_REVOKED] = "revoked",
    [UNIT_STARTING] = "starting",
    [UNIT_READY] = "ready",
    [UNIT_UP] = "up",
    [UNIT_FAILED] = "failed",
    [UNIT_STOPPING] = "stopping",
    [UNIT_LEAVING] = "leaving",
    [UNIT_HALTING] = "halting",
    [UNIT_STOPPED] = "stopped",
};

/*
 * The way up has one exit, to the way down, which is always walked whole. On
 * the way down nothing is skipped: what fails or is overdue is left behind.
 */
static const struct {
	const char *name;
	enum app_state go, leave;
} app_table[APP_STATE_DONE + 1] = {
    [APP_STATE_NEW] = {"new", APP_STATE_PREPARING, APP_STATE_DONE},
    [APP_STATE_PREPARING] = {"preparing", APP_STATE_BEFORE_START,
	APP_STATE_BEFORE_STOP},
    [APP_STATE_BEFORE_START] = {"before-start hooks", APP_STATE_STARTING,
	APP_STATE_BEFORE_STOP},
    [APP_STATE_STARTING] = {"starting", APP_STATE_REGISTERING,
	APP_STATE_BEFORE_STOP},
    [APP_STATE_REGISTERING] = {"registering", APP_STATE_AFTER_START,
	APP_STATE_BEFORE_STOP},
    [APP_STATE_AFTER_START] = {"after-start hooks", APP_STATE_RUNNING,
	APP_STATE_BEFORE_STOP},
    [APP_STATE_RUNNING] = {"running", APP_STATE_RUNNING, APP_STATE_BEFORE_STOP},
    [APP_STATE_BEFORE_STOP] = {"before-stop hooks", APP_STATE_DEREGISTERING,
	APP_STATE_DEREGISTERING},
    [APP_STATE_DEREGISTERING] = {"deregistering", APP_STATE_DRAINING,
	APP_STATE_DRAINING},
    [APP_STATE_DRAINING] = {"draining", APP_STATE_STOPPING, APP_STATE_STOPPING},
    [APP_STATE_STOPPING] = {"stopping", APP_STATE_AFTER_STOP,
	APP_STATE_AFTER_STOP},
    [APP_STATE_AFTER_STOP] = {"after-stop hooks", APP_STATE_DONE,
	APP_STATE_DONE},
    [APP_STATE_DONE] = {"done", APP_STATE_DONE, APP_STATE_DONE},
};

enum unit_state lifecycle_unit(enum unit_state state, enum unit_event event)
{
	enum unit_state next = unit_table[state][event];

	return next ? next : state;
}

enum app_state lifecycle_app(enum app_state state, enum app_step_end end)
{
	return end == APP_GO ? app_table[state].go : app_table[state].leave;
}

const char *lifecycle_unit_name(enum unit_state state)
{
	return unit_names[state];
}

const char *app_state_name(enum app_state state)
{
	if (state < APP_STATE_NEW || state > APP_STATE_DONE)
		return "unknown";
	return app_table[state].name;
}
