/* A child process from its clone to its exec. */
#ifndef CRATOS_CHILD_H
#define CRATOS_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <cratos/exec.h>

#include "server/account.h"
#include "server/spawn.h"

#define CHILD_PID_ENTRY "LISTEN_PID="
enum { CHILD_PID_SIZE = sizeof(CHILD_PID_ENTRY) + 11 };

/* What is to be executed, and as what; all is borrowed. */
struct child {
	const struct spawn *spawn;
	const char *file; /* the program, seen from the directory */
	char *const *env; /* all of it */
	const struct account *account;
	/* By rising `to`. */
	const struct spawn_file *files;
	size_t file_count;
	/* Text of CHILD_PID_SIZE; the child adds its process id. */
	char *pid_entry;
	bool dry; /* do all but execute it */
};

/* In the order in which they are taken. */
enum child_step {
	CHILD_CLONE,
	CHILD_FILES,
	CHILD_PROCESS_GROUP,
	CHILD_NICE,
	CHILD_OOM_SCORE_ADJ,
	CHILD_LIMIT, /* which one: child_failure.which */
	CHILD_GROUPS,
	CHILD_GROUP,
	CHILD_USER,
	CHILD_DIR,
	CHILD_INPUT,
	CHILD_ORPHAN,
	CHILD_EXEC
};

/* The step that failed, and its errno. */
struct child_failure {
	enum child_step step;
	int code;
	size_t which;
};

/*
 * Makes the child, and waits until it has been executed: 0, and its *pid. Or
 * -1 and the failure; nothing is left of it then, and if it was dry there is
 * nothing left in any case. On threads that last only (keeper.h).
 */
int child_make(const struct child *child, pid_t *pid,
    struct child_failure *failure);

#endif
