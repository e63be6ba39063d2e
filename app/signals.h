/* Stop signals as a descriptor, whichever thread they are delivered to. */
#ifndef CRATOS_APP_SIGNALS_H
#define CRATOS_APP_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

struct signals {
	sigset_t set, old_mask;
	int fd; /* signalfd: what comes to the process */
	int forward[2]; /* pipe: what came to another thread */
	pid_t sender; /* of the last one; 0 if that is not known */
	LIST_ENTRY(signals) link;
};

/* Only blocks the signals of a 0-terminated list in the calling thread. */
void signals_block(struct signals *signals, const int *list);

/* Then makes the descriptors. 0 or a negative errno. */
int signals_init(struct signals *signals);

/*
 * The next signal of the list that came, on either descriptor; 0 if there is
 * none. Passes it on to the other apps of the process.
 */
int signals_next(struct signals *signals);

/*
 * Undoes both; what came in the meantime is dropped. init may have failed or
 * not have been called.
 */
void signals_fini(struct signals *signals);

#endif
