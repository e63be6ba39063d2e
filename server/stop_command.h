/* A command that stops a child. */
#ifndef CRATOS_STOP_COMMAND_H
#define CRATOS_STOP_COMMAND_H

#include <sys/types.h>

#include "server/spawn.h"

/*
 * Starts argv as the child of spawn was started, with that one's process id as
 * MAINPID, and the reaper's mark, in its environment. As spawn_group, with words
 * that begin with "stop_exec: ".
 */
int stop_command_start(const struct spawn *spawn, char *const *argv,
    pid_t main_pid, const char *mark, pid_t *pid);

/* As spawn_check, in the same way. */
int stop_command_check(const struct spawn *spawn, char *const *argv);

#endif
