/*
 * A child that leads a process group, and all that it has started: what is in
 * the group, and what has left it, if this process is a reaper (reaper.h).
 *
 * The caller's lock guards it, and is held in all calls. None blocks.
 */
#ifndef CRATOS_FAMILY_H
#define CRATOS_FAMILY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/reaper.h"

struct family {
	pid_t group; /* the group that may be signalled, 0: none */
	struct reaper_run strays; /* what has left it */
	int64_t gone_ns; /* when the group was found gone; 0: it is not yet */
};

/* To the group alone. 0, or a negative errno with words. */
int family_signal(const struct family *family, int signal);

/*
 * To all, those that are seen only later included, and SIGCONT with it: one
 * that was stopped (SIGSTOP) could not act on it. As family_signal.
 */
int family_tell(struct family *family, int signal);

/* The group has members. Once the leader was reaped, and not before. */
bool family_has_group(struct family *family);

/* The group has members, or there are strays. As family_has_group. */
bool family_is_left(struct family *family);

#endif
