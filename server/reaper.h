/*
 * What children leave behind: descendants that have left their process group
 * and lost their parent, and so are children of this process, if it is a
 * reaper (PR_SET_CHILD_SUBREAPER, or PID 1). Here they are strays.
 *
 * From any thread; nothing here blocks but for moments, unless it says so.
 */
#ifndef CRATOS_REAPER_H
#define CRATOS_REAPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

enum { REAPER_MARK_SIZE = 96 };

/* A child from before it is spawned until all that it started is gone. */
struct reaper_run {
	uint64_t serial; /* never that of another run; 0: none */
	pid_t group; /* the child, and its process group; 0: not yet */
	unsigned strays; /* that were seen in the last look */
	short signal; /* what they are told, or 0 */
	LIST_ENTRY(reaper_run) link;
};

/*
 * The process becomes a reaper, until as many calls of reaper_end as there were
 * of this. 0, or a negative errno with words.
 */
int reaper_begin(void);
void reaper_end(void);
bool reaper_is_on(void);

/*
 * Around the spawn of a child, whether this process is a reaper or not: it may
 * become one. mark is for the child's environment, "" if it needs none. pid 0
 * says that nothing was spawned.
 */
void reaper_run_begin(struct reaper_run *run,
    char mark[static REAPER_MARK_SIZE]);
void reaper_run_spawned(struct reaper_run *run, pid_t pid);
/* Also of one that has not begun. What is left of it is killed when seen. */
void reaper_run_end(struct reaper_run *run);

/* Its strays get the signal, and SIGCONT; later ones when they are seen. */
void reaper_run_tell(struct reaper_run *run, int signal);
/* How many strays it has; what happened before since_ns is in the number. */
size_t reaper_run_strays(struct reaper_run *run, int64_t since_ns);

/* A child has ended (SIGCHLD): what nobody else waits for is reaped. */
void reaper_look(void);

/*
 * Looks, tells all strays, whoever's they are, and those that are still to
 * come, and returns how many there are. 0 for signal stops that. If another app
 * runs that relies on this one's being a reaper, none is told, and 0 returned.
 */
size_t reaper_sweep(int signal);
/* Those of the last look, at most max of them; how many are in all. */
size_t reaper_list(pid_t *all, size_t max);

/*
 * The process is about to end: kills all strays and all that come of them.
 * Blocks until no child is left, at most for half a second.
 */
void reaper_kill_all(void);

#endif
