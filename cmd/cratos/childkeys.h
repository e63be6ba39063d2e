/* The keys of a server that say what its program gets. */
#ifndef CRATOS_CMD_CHILDKEYS_H
#define CRATOS_CMD_CHILDKEYS_H

#include <cratos/exec.h>

#include "cmd/cratos/appfile.h"

/* What options borrow that is not the file's. */
struct childkeys {
	struct exec_limit *limits;
	int *success;
	char **listen;
};

/*
 * Puts those of the i-th section into options. 0, or -EINVAL when the file has
 * got errors for what is wrong; childkeys_fini in any case, once options were
 * used.
 */
int childkeys_set(struct appfile *file, size_t i, struct exec_options *options,
    struct childkeys *own);

void childkeys_fini(struct childkeys *own);

/*
 * Leaves out what has been refused, and what cannot be looked at without it, so
 * that the rest can.
 */
void childkeys_leave_out(struct exec_options *options, struct childkeys *own,
    const char *key);

/* Refuses keys that only a program has a use for. Returns how many. */
size_t childkeys_check_idle(struct appfile *file, size_t i,
    const struct server_keys *keys);

/*
 * Which key an error of exec_check is about: one that its words begin with,
 * which *text is moved on behind; else NULL.
 */
const char *childkeys_at_fault(const char **text);

/* For "cratos check": a line each. */
void childkeys_show(const struct server_keys *keys);

/* The same of how it ends; the last line, of the stop, is without its end. */
void childkeys_show_stop(const struct server_keys *keys);

#endif
