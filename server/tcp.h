/*
 * A stream server, ready-made: it listens on TCP or a unix socket, and runs a
 * handler for each connection, as a task of a group with a limit.
 */
#ifndef CRATOS_TCP_H
#define CRATOS_TCP_H

#include <stdint.h>

#include <cratos/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Serves one connection. fd is a connected socket, blocking and close-on-exec,
 * that the server closes when the handler has returned. ctx is done when the
 * time to stop is over, and the socket is shut down in both directions then,
 * so that a handler that blocks in read(2) or write(2) wakes up. The result
 * is that of a task; it ends this connection only, and is not reported.
 *
 * To write to a peer that has gone raises SIGPIPE, which ends the process
 * unless the program ignores it: use send(2) with MSG_NOSIGNAL, or ignore it.
 */
typedef int tcp_handler_fn(struct context *ctx, int fd, void *arg);

struct tcp_options { /* zero is the default everywhere */
	/*
	 * "host:port", "[::1]:port", ":port" (every address), with a host by
	 * number or name and 0 for a port that the system chooses; or
	 * "unix:/path"; or "fd:NAME", the one socket of that name that the
	 * service manager listens on for the process, see sd_listen_fds(3) and
	 * app_options.no_manager: it goes on to listen while the server is
	 * stopped. Of a name's addresses it is the first that can be
	 * bound; one in use is an error. "[::]:port" is IPv6 only, ":port"
	 * takes both families.
	 */
	const char *listen;
	tcp_handler_fn *handler;
	void *arg; /* for handler; borrowed until tcp_free */
	int max_connections; /* served at a time; 0: 1024 */
	int backlog; /* of listen(2); 0: SOMAXCONN */
};

struct tcp;

/*
 * A stream server after options, which are copied. Nothing is bound yet. NULL
 * with errno ENOMEM, EINVAL without a handler or with an address that is none,
 * ENAMETOOLONG; error_of() has the words.
 */
struct tcp *tcp_new(const struct tcp_options *options);

/*
 * Frees the server, closes its socket, removes its socket file, and sets *tcp
 * to NULL. Accepts the address of NULL. Not before app_run has returned.
 */
void tcp_free(struct tcp **tcp);

/*
 * The server for app_add_server, under name (borrowed until it is added).
 *
 * Its endpoint binds: an address in use is an error before anything starts. A
 * unix socket's file that a dead process left is replaced, that of a live one
 * is -EADDRINUSE. The endpoint's URL is the address that was really bound:
 * "tcp://127.0.0.1:40123", "unix:/path".
 *
 * Its stop serves who has connected already, as far as max_connections leaves
 * room; the others are reset. It accepts no more, makes tcp_drain() done, and
 * waits for the connections; those that are left when its context is done it
 * cuts off, and returns -ETIMEDOUT with their number.
 */
struct server tcp_server(struct tcp *tcp, const char *name);

/*
 * The context that is done once the server was told to stop. A handler whose
 * connection may stay idle waits for it, with context_fd in its poll, and
 * returns then, once what it had begun is answered. ctx is a handler's
 * context; NULL if it is not. Owned by the server.
 */
struct context *tcp_drain(const struct context *ctx);

/*
 * The address that is bound, or was when the server has stopped, as the
 * endpoint's URL; binds if need be. A port that the system chose is kept when
 * the server is started again. Returns 0 or a negative errno, -ENAMETOOLONG if size is too small. From any thread.
 */
int tcp_endpoint(struct tcp *tcp, char *url, size_t size);

/* How many connections are served now. From any thread. */
int tcp_connections(const struct tcp *tcp);

#ifdef __cplusplus
}
#endif

#endif
