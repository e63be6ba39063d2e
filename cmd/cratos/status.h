/* What "cratos status" prints. */
#ifndef CRATOS_CMD_STATUS_H
#define CRATOS_CMD_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#include "app/json.h"

/*
 * A line for the app and a table of the servers, of those names or (count 0) of
 * all, on standard output; over what is on the terminal, if it is to be watched.
 * CLIENT_DONE, or CLIENT_NOT_SO if it, or one of the names, is not ready.
 */
int status_print(const json_t *status, char *const *names, size_t count,
    bool watch);

#endif
