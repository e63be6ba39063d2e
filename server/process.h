/* What /proc says of a process. */
#ifndef CRATOS_PROCESS_H
#define CRATOS_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

struct process {
	char name[16]; /* of its program, cut; any byte may be in it */
	pid_t parent, group;
	/*
	 * It is certain that its environment has nothing in it. One that
	 * executes another program has none for a moment, which does not count.
	 */
	bool is_bare;
};

/* False if it is gone, or cannot be read. Does not block. */
bool process_read(pid_t pid, struct process *process);

#endif
