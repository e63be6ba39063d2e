/*
 * The service manager that started the process, systemd(1) or one that speaks
 * its protocol: sd_notify(3), sd_watchdog_enabled(3).
 */
#ifndef CRATOS_APP_MANAGER_H
#define CRATOS_APP_MANAGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct app;
struct error;

enum { MANAGER_STATUS_SIZE = 256 };

/* What it has yet to be told. */
enum manager_news {
	MANAGER_READY = 1 << 0,
	MANAGER_RELOADING = 1 << 1,
	MANAGER_STOPPING = 1 << 2,
	MANAGER_STATUS = 1 << 3,
	MANAGER_EXTEND = 1 << 4,
	MANAGER_PING = 1 << 5
};

/* Of the loop's thread, but for news. */
struct manager {
	int fd; /* less than 0: nobody is to be told */
	struct sockaddr_un address;
	socklen_t address_size;
	unsigned untold; /* enum manager_news */
	/* Something of the status, or of how long it takes, may have changed. */
	bool news;
	bool progress; /* a server got further, or asked for time */
	bool ready; /* told to be, since the last reload */
	bool was_ready; /* ... or before */
	int64_t reload_ns; /* when the reload began; CLOCK_MONOTONIC */
	char status[MANAGER_STATUS_SIZE]; /* told, or to be told next */
	int64_t status_ms; /* when it was told */
	int64_t until_ms; /* the end of the time that was asked for */
	int64_t ping_every_ms, ping_ms; /* 0: no watchdog; the next one */
	int64_t retry_ms; /* 0: no message waits; when to send it again */
	unsigned tries; /* in a row that failed */
};

/* Before anything starts: takes the variables out of the environment. */
void manager_begin(struct app *app);
/* The app has entered its state; a stop was asked for. */
void manager_enter(struct app *app);
void manager_stopping(struct app *app);
/* Before the loop waits: tells what is new. */
void manager_look(struct app *app);
/* The next deadline after now, INT64_MAX for none. */
int64_t manager_check_deadline(struct app *app, int64_t now_ms);
/*
 * The last word; err (may be NULL) is why it ends. Does not wait for more than
 * 100 ms.
 */
void manager_end(struct app *app, int exit_status, const struct error *err);

#endif
