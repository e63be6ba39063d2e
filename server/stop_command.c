/* A command that stops a child. */
#include <stdio.h>

#include <cratos/error.h>

#include "server/stop_command.h"

static int prefix(int ret)
{
	return ret ? error_set(ret, "stop_exec: %s", error_of(ret).text) : 0;
}

/* What the child gets, but for its input. Nobody needs it without us. */
static struct spawn like(const struct spawn *spawn, char *const *argv)
{
	struct spawn command = *spawn;

	command.argv = argv;
	command.input = NULL;
	command.sockets = NULL;
	command.inherit_input = false;
	command.keep_orphan = false;
	return command;
}

int stop_command_start(const struct spawn *spawn, char *const *argv,
    pid_t main_pid, const char *mark, pid_t *pid)
{
	struct spawn command = like(spawn, argv);
	char entry[32];

	snprintf(entry, sizeof(entry), "MAINPID=%d", (int)main_pid);
	command.entries[0] = entry;
	command.entries[1] = *mark ? mark : NULL;
	return prefix(spawn_group(&command, pid));
}

int stop_command_check(const struct spawn *spawn, char *const *argv)
{
	const struct spawn command = like(spawn, argv);

	return prefix(spawn_check(&command));
}
