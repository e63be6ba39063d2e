/* The sub-commands that ask a running app, or tell it what to do. */
#ifndef CRATOS_CMD_OPERATE_H
#define CRATOS_CMD_OPERATE_H

#include <stdbool.h>

/* If there is one of that name, runs it, and sets *status. */
bool operate(const char *name, int argc, char **argv, int *status);

/* The text of its --help; NULL: there is none of that name. */
const char *operate_help(const char *name);

#endif
