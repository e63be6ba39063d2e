/*
 * Which stop belongs to which start. Both are called once a run, on threads of
 * their own, so the stop may get here first: then its start must find that it
 * has nothing to begin. A stop that comes after its run has ended by itself
 * must not be taken for that of the next run. The caller's lock guards it.
 */
#ifndef CRATOS_TURN_H
#define CRATOS_TURN_H

#include <stdbool.h>

struct turn {
	bool started; /* a start that no stop has come for */
	bool stopped; /* a stop whose start has not come */
};

/* False if the stop of this start has come already. */
static inline bool turn_start(struct turn *turn)
{
	turn->started = !turn->stopped;
	turn->stopped = false;
	return turn->started;
}

/* False if the start of this stop has not come yet. */
static inline bool turn_stop(struct turn *turn)
{
	turn->stopped = !turn->started;
	turn->started = false;
	return !turn->stopped;
}

#endif
