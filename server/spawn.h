/* How a child process is made: as if nothing had run in this one before. */
#ifndef CRATOS_SPAWN_H
#define CRATOS_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <cratos/exec.h>

enum {
	SPAWN_ENTRIES = 2,
	SPAWN_FILES = 3,
	SPAWN_FIRST_SOCKET = 3,
	SPAWN_SOCKETS = 64, /* at most, as inherited.h */
	SPAWN_ALL_FILES = SPAWN_FILES + SPAWN_SOCKETS
};

/* A descriptor of ours that the child gets as another one. */
struct spawn_file {
	int from, to;
};

struct spawn {
	char *const *argv;
	const char *dir; /* NULL: the parent's */
	const char *const *env; /* on top of all else; may be NULL */
	/* As in struct exec_options. */
	const char *env_file, *user, *group, *input;
	bool inherit_input, keep_orphan, set_umask, set_nice, set_oom_score_adj;
	mode_t umask;
	int nice, oom_score_adj;
	const struct exec_limit *limits;
	size_t limit_count;
	/* More for the environment, on top of it; each may be NULL. */
	const char *entries[SPAWN_ENTRIES];
	/* What it is given of ours, by rising `to`; see spawn_give. */
	struct spawn_file files[SPAWN_FILES];
	size_t file_count;
	/*
	 * Inherited sockets that it gets from descriptor 3 on, "fd:NAME",
	 * NULL-terminated; may be NULL.
	 */
	const char *const *sockets;
	bool silent; /* /dev/null for both outputs, instead of files */
};

/* The child is to have our descriptor `from` as its descriptor `to`. */
void spawn_give(struct spawn *spawn, int from, int to);

/*
 * Starts the program argv[0], looked up in the PATH that the child gets, as
 * the leader of a process group of its own: no signal blocked or ignored,
 * stdin from /dev/null, stdout and stderr inherited, nothing else open, unless
 * spawn says otherwise. Blocks until the program has been executed. Returns 0
 * and sets *pid, or a negative errno, with words that name the command, the
 * directory, or the option at fault.
 */
int spawn_group(const struct spawn *spawn, pid_t *pid);

/*
 * Looks for all that spawn_group needs, and has a child of no consequence try
 * what only the kernel can tell; in the same words. Starts nothing.
 */
int spawn_check(const struct spawn *spawn);

/*
 * Copies what options say of the child, but for its command, directory and
 * environment. 0, -ENOMEM, or -EINVAL with words; spawn_fini in any case.
 */
int spawn_copy(struct spawn *spawn, const struct exec_options *options);

/* Frees what spawn_copy has copied. */
void spawn_fini(struct spawn *spawn);

#endif
