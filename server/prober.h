/*
 * Whether a child is ready, and well: the probes of one, over its runs.
 *
 * A run is begin, which makes what the child is to be given; watch, once it has
 * been executed; looks at what has happened, on the app's loop; and end. All
 * functions may be called from any thread, and none blocks but free and wait.
 */
#ifndef CRATOS_PROBER_H
#define CRATOS_PROBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cratos/exec.h>

#include "server/spawn.h"

struct prober;

/* What a look has found out. */
struct prober_news {
	bool ready;
	int64_t extend_ms; /* the child asks for that time; 0: not */
	pid_t main_pid; /* its main process is that now; 0: no news */
	struct error failure; /* code 0: it is well */
};

/*
 * *prober is NULL if there is nothing to probe: it is ready when it has been
 * executed, and has no health to be asked about. Exec probes are run as spawn
 * says, but for its argv; its texts are borrowed. 0, -ENOMEM, or -EINVAL with
 * words.
 */
int prober_new(struct prober **prober, const struct exec_options *options,
    const struct spawn *spawn);

/* Frees *prober, and waits for what it is about to execute. NULL is fine. */
void prober_free(struct prober **prober);

/* Whether the child is not ready by having been executed. */
bool prober_decides(const struct prober *prober);

/* 0, or what keeps an exec probe from being executed, with words. */
int prober_check(const struct prober *prober);

/*
 * Begins a run, and adds to spawn what the child is to be given (borrowed until
 * watch). 0 or a negative errno, with words; end in any case.
 */
int prober_begin(struct prober *prober, struct spawn *spawn);

/*
 * The child, which leads the process group of that number, has been executed.
 * Has the app's loop call fn(fd, arg), for it to call prober_look. 0, or what
 * server_watch says.
 */
int prober_watch(struct prober *prober, struct context *ctx, pid_t leader,
    server_watch_fn *fn, void *arg);
void prober_look(struct prober *prober, struct prober_news *news);

/* What the child has printed, for a "log" to be found in it. */
void prober_hear(struct prober *prober, const char *text, size_t size);

/* No more attempts: what one has started is killed. */
void prober_stop(struct prober *prober);

/* Whether something that an attempt has started is left; reaps it. */
bool prober_is_left(struct prober *prober);

/* Stops, and waits until nothing is left that was killed. */
void prober_wait(struct prober *prober);

/* The run is over: nothing is left, or it has been waited for long enough. */
void prober_end(struct prober *prober);

/* What is lacking for it to be ready, or nothing. */
void prober_lacks(struct prober *prober, char *text, size_t size);

#endif
