/*
 * Descriptors that a server has the app's loop watch for it.
 *
 * Design notes. Watches are added by the server's own threads and end on the loop's; the
 * list is guarded by the lock. The server has ended when its start has
 * returned an error, when a watch has ended it, or when start has returned 0 and
 * no watch is left.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/internal.h"
#include "errgroup/error_thread.h"

/* With the lock held, on the loop's thread. */
static void drop(struct watch *watch)
{
	int fd = watch->source.fd;

	LIST_REMOVE(watch, link);
	watch->unit->watch_count--;
	loop_drop(&watch->unit->app->loop, &watch->source);
	close(fd);
}

void watch_drop_all(struct unit *unit)
{
	while (!LIST_EMPTY(&unit->watches))
		drop(LIST_FIRST(&unit->watches));
}

static void be_ready(struct source *source)
{
	struct watch *watch = (struct watch *)source;
	struct unit *unit = watch->unit;
	bool ended;
	int code;

	error_thread.code = 0;
	code = watch->fn(source->fd, watch->arg);
	if (code == SERVER_WATCH_ON)
		return;
	assert(code <= 0 || code == SERVER_WATCH_OFF);
	if (code < 0)
		unit_keep_failure(unit, code);
	pthread_mutex_lock(&unit->app->lock);
	drop(watch);
	if (code != SERVER_WATCH_OFF) {
		unit->run.watch_ended = true;
		unit->run.watch_code = code;
		watch_drop_all(unit);
	}
	ended = !unit->watch_count;
	pthread_mutex_unlock(&unit->app->lock);
	if (ended && unit->run.watched)
		unit_over(unit, unit->run.watch_code);
}

int watch_add(struct server_host *host, int fd, server_watch_fn *fn, void *arg)
{
	struct unit *unit = (struct unit *)host;
	struct watch *watch = malloc(sizeof(*watch));
	int ret = -EINVAL;

	if (!watch)
		return -ENOMEM;
	*watch = (struct watch){.source = {.ready = be_ready, .fd = fd},
	    .unit = unit,
	    .fn = fn,
	    .arg = arg};
	pthread_mutex_lock(&unit->app->lock);
	if (!unit->run.start_over && !unit->run.watch_ended)
		ret = loop_add(&unit->app->loop, &watch->source);
	if (!ret) {
		LIST_INSERT_HEAD(&unit->watches, watch, link);
		unit->watch_count++;
	}
	pthread_mutex_unlock(&unit->app->lock);
	if (ret)
		free(watch);
	return ret;
}
