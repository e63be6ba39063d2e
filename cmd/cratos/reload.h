/*
 * A reload: the file read anew, compared with the one in force.
 *
 * Design notes. Two threads meet here, and no lock is needed. reloader_read,
 * one call at a time, reads `file` and fills in `next`. The app may give up on it
 * and refuse the reload while it still runs, so a refusal says nothing about
 * `next`: that is reloader_read's own, until the app says that it puts the
 * change in force. From then until it has done so nothing is read, and the
 * thread of app_run may look at `next` and make it `file`; at `file` it may
 * look at any time. What was refused is freed by the next one, or in the end.
 */
#ifndef CRATOS_CMD_RELOAD_H
#define CRATOS_CMD_RELOAD_H

#include "cmd/cratos/appfile.h"

struct reloader {
	const char *path;
	struct appfile file; /* in force */
	struct appfile next; /* that the last reload has read; or all zero */
};

/*
 * Loads the file into next, and says to reload what is to change. Prints what
 * is wrong. 0 or a negative errno with words.
 */
int reloader_read(struct reloader *reloader, struct app_reload *reload,
    const struct printer *printer);

/* Next is in force. */
void reloader_use(struct reloader *reloader);

/* Frees both files, once the app is freed. */
void reloader_fini(struct reloader *reloader);

#endif
