/*
 * What others see of an app, and may tell it: pages over HTTP, for who looks after it: a container platform, a
 * monitoring system, a person with curl.
 *
 *	/livez		200 as long as the process answers and all servers keep
 *			their heartbeat (server.heartbeat_ms), else 503
 *	/readyz		200 while app_ready, else 503: while it starts, is told to
 *			stop, drains; ?verbose: a line a server
 *	/healthz	the same as /readyz
 *	/metrics	for Prometheus, or as OpenMetrics for who accepts that
 *
 * and a control socket. Both are served by GNU libmicrohttpd, and the latter uses
 * Jansson; they are loaded when the app runs: a program that uses nothing of this
 * neither needs nor loads them. A connection is
 * for one request, and for 10 s.
 */
#ifndef CRATOS_ADMIN_H
#define CRATOS_ADMIN_H

#include <cratos/app.h>

#ifdef __cplusplus
extern "C" {
#endif

struct admin_options { /* zero is the default everywhere */
	/*
	 * For the pages: "host:port", "unix:/path" and so on, as
	 * tcp_options.listen. Whoever can connect can read: mind which address
	 * it is.
	 */
	const char *listen; /* NULL: no pages */
	/*
	 * The path of a socket file for an operator: "cratos status -s PATH", or
	 * HTTP/1.1 with JSON for other programs; see cratos(1). NULL: none. Whoever
	 * can connect can read; root, the user of the process, and members of
	 * control_writers can also tell the app, and single servers, what to do.
	 * The file has control_mode (0: 0600) and belongs to control_group (NULL:
	 * the process's).
	 */
	const char *control;
	mode_t control_mode;
	const char *control_group, *control_writers;
};

struct admin;

/*
 * Both after options, which are copied, for app_options.admin. Nothing is bound
 * yet: app_run does that before all else, and fails if it cannot be. NULL with
 * errno ENOMEM, EINVAL for an address that is none or without any, ENAMETOOLONG; error_of() has
 * the words. Does not block; from any thread.
 */
struct admin *admin_new(const struct admin_options *options);

/*
 * Frees *admin and sets it to NULL. Accepts the address of NULL. Not before
 * app_run has returned.
 */
void admin_free(struct admin **admin);

/*
 * Where the pages are, "http://127.0.0.1:40123" or "unix:/path", in url; the address
 * that was really bound while app_run runs, else that of the options; "" without
 * any. 0, or -ENAMETOOLONG. From any thread.
 */
int admin_endpoint(struct admin *admin, char *url, size_t size);

/*
 * Keeps what a server has printed, in pieces of any size, for "cratos logs": the
 * last 64 KiB of its lines. A piece of no size ends a line that has begun. Does nothing without a control socket. Does not block;
 * from any thread, until admin_free.
 */
void admin_log(struct admin *admin, const char *server, const char *text,
    size_t size);

#ifdef __cplusplus
}
#endif

#endif
