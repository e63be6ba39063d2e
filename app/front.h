/*
 * What serves pages about an app, as app_run sees it: functions in an object, so
 * that a program without one links nothing of it.
 */
#ifndef CRATOS_APP_FRONT_H
#define CRATOS_APP_FRONT_H

#include <stddef.h>

struct admin;
struct app;
struct app_event;

/* The first member of struct admin. */
struct front {
	/*
	 * Writes to url where it is, and returns 0; or a negative errno with
	 * words, and then end is not called.
	 */
	int (*begin)(struct admin *admin, struct app *app, char *url,
	    size_t size);
	void (*end)(struct admin *admin);
	/* On the loop's thread, before the program hears of it. */
	void (*event)(struct admin *admin, const struct app_event *event);
};

static inline const struct front *front_of(const struct admin *admin)
{
	return *(const struct front *const *)admin;
}

#endif
