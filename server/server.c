/* What a server may ask of whoever runs it, found through its context. */
#include <assert.h>
#include <errno.h>

#include <cratos/server.h>

#include "server/host.h"

const char server_host_key, server_reload_key;

static struct server_host *host_of(const struct context *ctx)
{
	return context_value(ctx, &server_host_key);
}

int server_ready(struct context *ctx)
{
	struct server_host *host = host_of(ctx);

	if (!host)
		return error_set(-EINVAL, "server_ready: not in a server");
	host->ops->ready(host);
	return 0;
}

int server_fail(struct context *ctx, int code)
{
	struct server_host *host = host_of(ctx);

	assert(code < 0);
	if (!host)
		return error_set(-EINVAL, "server_fail: not in a server");
	host->ops->fail(host, code);
	return 0;
}

int server_extend(struct context *ctx, int64_t time_ms)
{
	struct server_host *host = host_of(ctx);

	if (!host)
		return error_set(-EINVAL, "server_extend: not in a server");
	host->ops->extend(host, time_ms);
	return 0;
}

int server_heartbeat(struct context *ctx)
{
	struct server_host *host = host_of(ctx);

	if (!host)
		return error_set(-EINVAL, "server_heartbeat: not in a server");
	host->ops->heartbeat(host);
	return 0;
}

bool server_is_ending(const struct context *ctx)
{
	const struct server_host *host = host_of(ctx);

	return host && host->ops->ending(host);
}

const char *server_name(const struct context *ctx)
{
	struct server_host *host = host_of(ctx);

	return host ? host->name : NULL;
}

int server_watch(struct context *ctx, int fd, server_watch_fn *fn, void *arg)
{
	struct server_host *host = host_of(ctx);

	if (!host)
		return error_set(-EINVAL, "server_watch: not in a server");
	return host->ops->watch(host, fd, fn, arg);
}

enum server_reload server_reload_phase(const struct context *ctx)
{
	const struct server_reload_call *call =
	    context_value(ctx, &server_reload_key);

	return call ? call->phase : SERVER_RELOAD_NONE;
}

void *server_reload_config(const struct context *ctx)
{
	const struct server_reload_call *call =
	    context_value(ctx, &server_reload_key);

	return call ? call->config : NULL;
}
