/*
 * What runs a server, as the server's context leads to it. The app fills one
 * in for each server; server.c reaches it through the context, so that this
 * room need not know the app.
 */
#ifndef CRATOS_SERVER_HOST_H
#define CRATOS_SERVER_HOST_H

#include <cratos/server.h>

struct server_host;

struct server_host_ops {
	/* As server_ready and the like in server.h. */
	void (*ready)(struct server_host *host);
	void (*fail)(struct server_host *host, int code);
	void (*extend)(struct server_host *host, int64_t time_ms);
	void (*heartbeat)(struct server_host *host);
	int (*watch)(struct server_host *host, int fd, server_watch_fn *fn,
	    void *arg);
	/* On the thread that calls watch functions: it, or all, is to stop. */
	bool (*ending)(const struct server_host *host);
};

struct server_host {
	const char *name;
	const struct server_host_ops *ops;
};

/* What `ending` says of the host that a context leads to. */
bool server_is_ending(const struct context *ctx);

/* The key under which a server's context carries its struct server_host. */
extern const char server_host_key;

/* What a context of server.reload carries, and its key. */
struct server_reload_call {
	enum server_reload phase;
	void *config;
};
extern const char server_reload_key;

#endif
