/*
 * echod: a small daemon, whole. It listens, and sends back what it gets; on
 * SIGTERM it accepts no more, lets connections finish, cuts off those that do
 * not, and tells by its exit status. Copy it and change the handler.
 *
 *	echod FILE
 *
 * Exit status: 0 stopped in order, 1 failed or cut off, 2 usage, 78 FILE.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cratos/app.h>
#include <cratos/config.h>
#include <cratos/tcp.h>

/* ---- configuration: the section [echod] of FILE ---- */

struct settings {
	const char *listen;
	int64_t max_connections, stop_timeout_ms;
};

static const struct config_field fields[] =
    {{.key = "listen",
	 .type = CONFIG_STRING,
	 .offset = offsetof(struct settings, listen),
	 .required = true,
	 .help = "host:port or unix:/path to listen on; port 0: any"},
	{.key = "max_connections",
	    .type = CONFIG_INT,
	    .offset = offsetof(struct settings, max_connections),
	    .min = 1,
	    .max = 100000,
	    .fallback = "1000",
	    .help = "connections served at a time"},
	{.key = "stop_timeout",
	    .type = CONFIG_DURATION,
	    .offset = offsetof(struct settings, stop_timeout_ms),
	    .min = 1,
	    .max = INT64_MAX,
	    .fallback = "5s",
	    .help = "time for connections to finish when echod is stopped"},
	{0}};

static const struct config_section sections[] = {{.name = "echod",
						     .fields = fields,
						     .size = sizeof(
							 struct settings),
						     .required = true,
						     .help = "the echo server"},
    {0}};

/* ---- a connection ---- */

/* Serves until the client has finished, or the time to stop is over. */
static int echo(struct context *ctx, int fd, void *arg)
{
	char data[4096];
	ssize_t n, sent;

	(void)ctx, (void)arg;
	while ((n = recv(fd, data, sizeof(data), 0)) > 0) {
		for (ssize_t at = 0; at < n; at += sent) {
			sent =
			    send(fd, data + at, (size_t)(n - at), MSG_NOSIGNAL);
			if (sent < 0)
				return error_set(-errno, "send: %m");
		}
	}
	return n < 0 ? error_set(-errno, "recv: %m") : 0;
}

/* ---- hooks ---- */

static int say_hello(struct context *ctx, void *arg)
{
	const struct instance *me = app_instance(app_from_context(ctx));

	(void)arg;
	fprintf(stderr, "echod: listening on %s\n", me->endpoints[0]);
	return 0;
}

static int say_stopping(struct context *ctx, void *arg)
{
	(void)ctx;
	fprintf(stderr, "echod: stopping, %d connections to finish\n",
	    tcp_connections(arg));
	return 0;
}

/* ---- the app ---- */

/* Returns the exit status. */
static int run(const struct settings *settings, struct error *err)
{
	struct app_options app_options = {.name = "echod",
	    .stop_timeout_ms = settings->stop_timeout_ms};
	struct tcp_options tcp_options = {.listen = settings->listen,
	    .handler = echo,
	    .max_connections = (int)settings->max_connections};
	struct tcp *tcp = tcp_new(&tcp_options);
	struct app *app = tcp ? app_new(&app_options) : NULL;
	struct server server;
	int status = APP_EXIT_FAILED;
	int ret = -errno;

	if (!app)
		goto out;
	server = tcp_server(tcp, "echo");
	if ((ret = app_add_server(app, &server)) ||
	    (ret = app_add_hook(app, APP_AFTER_START, say_hello, NULL)) ||
	    (ret = app_add_hook(app, APP_BEFORE_STOP, say_stopping, tcp)))
		goto out;
	ret = app_run(app, err);
	status = app_exit_status(app);
out:
	if (ret && !err->code)
		*err = error_of(ret);
	app_free(&app);
	tcp_free(&tcp);
	return status;
}

/* All that is wrong with the file, not only the first. */
static void print_errors(const struct config *config)
{
	const struct config_error *errors;
	char text[1024];
	size_t count;

	errors = config_errors(config, &count);
	for (size_t i = 0; i < count; i++) {
		config_error_format(&errors[i], text, sizeof(text));
		fprintf(stderr, "echod: %s\n", text);
	}
}

int main(int argc, char **argv)
{
	struct config *config = NULL;
	struct error err = {0};
	int ret, status;

	if (argc != 2) {
		fprintf(stderr, "usage: echod FILE\n");
		return APP_EXIT_USAGE;
	}
	ret = config_load(argv[1], sections, &config);
	if (ret) {
		if (config)
			print_errors(config);
		else
			fprintf(stderr, "echod: %s\n", error_of(ret).text);
		config_free(&config);
		return APP_EXIT_CONFIG;
	}
	status = run(config_get(config, "echod"), &err);
	if (status)
		fprintf(stderr, "echod: %s%s%s\n", err.origin,
		    *err.origin ? ": " : "", err.text);
	else
		fprintf(stderr, "echod: stopped\n");
	config_free(&config);
	return status;
}
