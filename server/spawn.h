/* How a child process is made: as if nothing had run in this one before. */
#ifndef CRATOS_SPAWN_H
#define CRATOS_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

enum { SPAWN_ENTRIES = 2 };

struct spawn {
	char *const *argv;
	const char *dir; /* NULL: the parent's */
	const char *const *env; /* on top of the parent's; may be NULL */
	const char
	    *entries[SPAWN_ENTRIES]; /* more, on top of env; may be NULL */
	int pass_fd, pass_as; /* the child has pass_fd as that; 0: none */
	bool silent; /* stdout and stderr to /dev/null as well */
	const int *out; /* for stdout and stderr, above 2; -1: the parent's */
};

/*
 * Starts the program argv[0], looked up in the PATH that the child gets, as
 * the leader of a process group of its own: no signal blocked or ignored,
 * stdin from /dev/null, stdout and stderr as given, nothing else open but what
 * is passed. Blocks
 * until the program has been executed. Returns 0 and sets *pid, or a negative
 * errno, with words that name the command or the directory.
 */
int spawn_group(const struct spawn *spawn, pid_t *pid);

/* Looks for all that spawn_group needs, in the same words; starts nothing. */
int spawn_check(const struct spawn *spawn);

#endif
