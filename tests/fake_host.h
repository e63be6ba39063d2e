/*
 * A host for one server, so that a server can be tested without an app: start
 * and stop run as tasks, watches in a poll loop on the test's thread.
 */
#ifndef TESTS_FAKE_HOST_H
#define TESTS_FAKE_HOST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <cratos/errgroup.h>
#include <cratos/server.h>

#include "server/host.h"

enum { FAKE_HOST_WATCHES = 4 };

struct fake_host {
	struct server_host host;
	struct server server;
	struct context *life, *ctx; /* start's is ctx */
	struct errgroup *group;
	int64_t stop_timeout_ms;
	int refuse_watch; /* the negative errno that server_watch shall return */
	pthread_mutex_t lock;
	/* guarded by lock */
	int wake;
	struct fake_watch {
		int fd;
		server_watch_fn *fn;
		void *arg;
	} watches[FAKE_HOST_WATCHES];
	int watch_count;
	int ready_count;
	int64_t extended_ms; /* what server_extend has asked for last */
	struct error failure; /* what server_fail has told */
	bool returned, stopped; /* start, stop have returned */
	bool ended; /* the server has */
	struct error end, stop_err; /* with what */
};

void fake_host_init(struct fake_host *host, const struct server *server);

/* Cancels what is left, joins, and frees. */
void fake_host_fini(struct fake_host *host);

/* Calls the server's start, as a task. Also again, after an end. */
void fake_host_start(struct fake_host *host);

/* Calls the server's stop, as a task, with a context of that timeout. */
void fake_host_stop(struct fake_host *host, int64_t timeout_ms);

/* Cancels start's context, as an app does when the time to stop is over. */
void fake_host_cancel(struct fake_host *host);

/* Drives the loop until done(host); fails the test if that takes too long. */
void fake_host_drive(struct fake_host *host,
    bool (*done)(struct fake_host *host));

/* Until the server is ready; fails the test if it ends before. */
void fake_host_until_ready(struct fake_host *host);

/* Until the server has failed, though it goes on, and with what. */
struct error fake_host_until_failed(struct fake_host *host);

/* Until the server has ended, and with what. */
struct error fake_host_until_end(struct fake_host *host);

/* Whether stop has returned. */
bool fake_host_is_stopped(struct fake_host *host);

/* Until it has ended and stop has returned; stop's result. */
struct error fake_host_until_stopped(struct fake_host *host);

#endif
