#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/process.h"

/* Where they stand in the line after the name (proc_pid_stat(5)), from 0. */
enum { PARENT = 1, GROUP = 2, ENV_START = 47, ENV_END = 48, FIELDS = 49 };

static bool read_line(pid_t pid, char *line, size_t size)
{
	char path[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, line, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	line[n] = '\0';
	return true;
}

bool process_read(pid_t pid, struct process *process)
{
	unsigned long long fields[FIELDS] = {0};
	char line[1024], *name, *rest;

	if (!read_line(pid, line, sizeof(line)))
		return false;
	name = strchr(line, '(');
	rest = strrchr(line, ')'); /* it may be in the name, too */
	if (!name || !rest || rest < name)
		return false;
	*rest++ = '\0';
	snprintf(process->name, sizeof(process->name), "%s", name + 1);
	for (int i = 0; i < FIELDS && *rest; i++) {
		char *field = ++rest;

		rest += strcspn(rest, " ");
		fields[i] = strtoull(field, NULL, 10);
	}
	process->parent = (pid_t)fields[PARENT];
	process->group = (pid_t)fields[GROUP];
	/* The end is set last, when all has been copied to the new program. */
	process->is_bare =
	    fields[ENV_END] && fields[ENV_START] == fields[ENV_END];
	return true;
}
