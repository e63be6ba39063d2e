/* The keys of a server that say what its program gets. */
#ifndef CRATOS_CMD_CHILDKEYS_H
#define CRATOS_CMD_CHILDKEYS_H

#include <cratos/exec.h>

#include "cmd/cratos/appfile.h"

/*
 * Puts those of the i-th section into options, the limits into *limits, to be
 * freed with free(3) once options were used. 0, or -EINVAL when the file has
 * got errors for what is wrong.
 */
int childkeys_set(struct appfile *file, size_t i, struct exec_options *options,
    struct exec_limit **limits);

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

#endif
