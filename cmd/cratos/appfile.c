/* The file of "cratos run": its keys, and the app that it describes. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cratos/appfile.h"
#include "cmd/cratos/echo.h"
#include "cmd/cratos/main.h"

/* The names that stop_signal takes, and what they stand for. */
static const char *const signal_names[] = {"TERM", "INT", "QUIT", "HUP", "USR1",
    "USR2", "WINCH", "KILL", "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP",
    "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGKILL", NULL};
static const int signal_numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1,
    SIGUSR2, SIGWINCH, SIGKILL};

static const struct config_field app_fields[] =
    {{.key = "name",
	 .type = CONFIG_STRING,
	 .offset = offsetof(struct app_keys, name),
	 .fallback = "app",
	 .help = "what the app is called in its messages"},
	{.key = "version",
	    .type = CONFIG_STRING,
	    .offset = offsetof(struct app_keys, version),
	    .help = "version of the app"},
	{.key = "start_timeout",
	    .type = CONFIG_DURATION,
	    .offset = offsetof(struct app_keys, start_timeout_ms),
	    .fallback = "0",
	    .help = "time until all servers must be ready; 0 is no limit"},
	{.key = "stop_timeout",
	    .type = CONFIG_DURATION,
	    .offset = offsetof(struct app_keys, stop_timeout_ms),
	    .min = 1,
	    .max = INT64_MAX,
	    .fallback = "10s",
	    .help = "time for the whole stop; what is left then is killed"},
	{.key = "drain_delay",
	    .type = CONFIG_DURATION,
	    .offset = offsetof(struct app_keys, drain_delay_ms),
	    .fallback = "0",
	    .help =
		"wait before servers are told to stop, on top of stop_timeout"},
	{0}};

static const struct config_field server_fields[] = {
    {.key = "exec",
	.type = CONFIG_COMMAND,
	.offset = offsetof(struct server_keys, exec),
	.help = "program and arguments to run, with quotes, without a shell"},
    {.key = "shell",
	.type = CONFIG_COMMAND,
	.offset = offsetof(struct server_keys, shell),
	.help = "command line for /bin/sh -c, instead of exec"},
    {.key = "tcp-echo",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, tcp_echo),
	.help =
	    "instead of exec, the built-in echo server: host:port or unix:/path"},
    {.key = "dir",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, dir),
	.help = "working directory of the program"},
    {.key = "env",
	.type = CONFIG_MAP,
	.offset = offsetof(struct server_keys, env),
	.help =
	    "environment variable for the program, on top of the inherited"},
    {.key = "endpoint",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, endpoint),
	.help = "URL to show for the program, where it says which it serves"},
    {.key = "start_timeout",
	.type = CONFIG_DURATION,
	.offset = offsetof(struct server_keys, start_timeout_ms),
	.fallback = "0",
	.help =
	    "time until the server must be ready; 0 is no limit of its own"},
    {.key = "stop_timeout",
	.type = CONFIG_DURATION,
	.offset = offsetof(struct server_keys, stop_timeout_ms),
	.fallback = "0",
	.help = "time to stop within the app's; 0 is all of it"},
    {.key = "stop_signal",
	.type = CONFIG_ENUM,
	.offset = offsetof(struct server_keys, stop_signal),
	.names = signal_names,
	.fallback = "TERM",
	.help = "signal that tells the program to stop"},
    {.key = "max_connections",
	.type = CONFIG_INT,
	.offset = offsetof(struct server_keys, max_connections),
	.min = 1,
	.max = 1000000,
	.help = "connections that tcp-echo serves at a time; 1024 by default"},
    {0}};

const struct config_section appfile_sections[] = {{.name = "app",
						      .fields = app_fields,
						      .size = sizeof(
							  struct app_keys),
						      .help =
							  "the app as a whole"},
    {.name = "server:",
	.fields = server_fields,
	.size = sizeof(struct server_keys),
	.help = "a server of the app: one of exec, shell and tcp-echo"},
    {0}};

const char *signal_name(int signal)
{
	static _Thread_local char other[32];
	const char *abbreviation = sigabbrev_np(signal);

	if (abbreviation)
		snprintf(other, sizeof(other), "SIG%s", abbreviation);
	else
		snprintf(other, sizeof(other), "signal %d", signal);
	return other;
}

int appfile_stop_signal(const struct server_keys *keys)
{
	const int count = sizeof(signal_numbers) / sizeof(*signal_numbers);

	return signal_numbers[keys->stop_signal % count];
}

static int refuse(struct appfile *file, size_t i, const char *key,
    const char *text)
{
	return config_refuse(file->config, "server:", i, key, "%s", text);
}

/* Program and folder have to be there. */
static void look_for(struct appfile *file, size_t i)
{
	const struct appfile_server *server = &file->servers[i];
	const char *dir = server->keys->dir;
	int ret = server->exec ? exec_check(server->exec) : 0;

	if (ret)
		refuse(file, i,
		    dir && access(dir, X_OK) ? "dir"
		    : server->keys->exec     ? "exec"
					     : "shell",
		    error_of(ret).text);
}

static int make_exec(struct appfile *file, struct appfile_server *server,
    size_t i)
{
	const struct server_keys *keys = server->keys;
	const struct exec_options options = {.command = keys->exec
							    ? keys->exec
							    : keys->shell,
	    .shell = keys->shell != NULL,
	    .dir = keys->dir,
	    .env = keys->env,
	    .stop_signal = appfile_stop_signal(keys),
	    .endpoint = keys->endpoint};

	server->exec = exec_new(&options);
	if (!server->exec)
		return refuse(file, i, keys->exec ? "exec" : "shell",
		    error_of(-errno).text);
	server->server = exec_server(server->exec, server->name);
	return 0;
}

static int make_echo(struct appfile *file, struct appfile_server *server,
    size_t i)
{
	const struct tcp_options options = {.listen = server->keys->tcp_echo,
	    .handler = echo_handler,
	    .max_connections = (int)server->keys->max_connections};

	server->tcp = tcp_new(&options);
	if (!server->tcp)
		return refuse(file, i, "tcp-echo", error_of(-errno).text);
	server->server = tcp_server(server->tcp, server->name);
	return 0;
}

/* Whether the file's reader has found fault with the section already. */
static bool has_errors(const struct appfile *file, const char *name)
{
	const struct config_error *errors;
	char section[64];
	size_t count;

	snprintf(section, sizeof(section), "server:%s", name);
	errors = config_errors(file->config, &count);
	for (size_t i = 0; i < count; i++)
		if (!strcmp(errors[i].section, section))
			return true;
	return false;
}

/* Keys that do nothing for a built-in are a mistake. */
static int refuse_idle_keys(struct appfile *file, size_t i,
    const struct server_keys *keys)
{
	const char *key = keys->dir		      ? "dir"
			  : keys->endpoint	      ? "endpoint"
			  : keys->env && keys->env[0] ? "env"
						      : NULL;

	if (keys->tcp_echo && key)
		return refuse(file, i, strcmp(key, "env") ? key : NULL,
		    "dir, endpoint and env go with exec and shell only");
	if (!keys->tcp_echo && keys->max_connections)
		return refuse(file, i, "max_connections",
		    "max_connections goes with tcp-echo only");
	return 0;
}

static int make_server(struct appfile *file, size_t i)
{
	struct appfile_server *server = &file->servers[i];
	const struct server_keys *keys = config_at(file->config, "server:", i);
	int kinds = (keys->exec != NULL) + (keys->shell != NULL) +
		    (keys->tcp_echo != NULL);
	int ret;

	server->name = config_name(file->config, "server:", i);
	server->keys = keys;
	if (has_errors(file, server->name))
		return -EINVAL;
	if (!kinds)
		return refuse(file, i, NULL,
		    "nothing to run: give one of exec, shell and tcp-echo");
	if (kinds > 1)
		return refuse(file, i, NULL,
		    "more than one of exec, shell and tcp-echo: which is it?");
	ret = refuse_idle_keys(file, i, keys);
	if (!ret)
		ret = keys->tcp_echo ? make_echo(file, server, i)
				     : make_exec(file, server, i);
	server->server.start_timeout_ms = keys->start_timeout_ms;
	server->server.stop_timeout_ms = keys->stop_timeout_ms;
	return ret;
}

static int print_errors(const struct appfile *file)
{
	size_t count;
	const struct config_error *errors = config_errors(file->config, &count);
	char text[2048];

	for (size_t i = 0; i < count; i++) {
		config_error_format(&errors[i], text, sizeof(text));
		fprintf(stderr, "cratos: %s\n", text);
	}
	return count ? EXIT_CONFIG : 0;
}

int appfile_load(struct appfile *file, const char *path, bool thorough)
{
	int ret;

	*file = (struct appfile){0};
	ret = config_load(path, appfile_sections, &file->config);
	if (!file->config) {
		fprintf(stderr, "cratos: %s: %s\n", path, error_of(ret).text);
		return EXIT_CONFIG;
	}
	file->app = config_get(file->config, "app");
	file->count = config_count(file->config, "server:");
	file->servers = calloc(file->count + 1, sizeof(*file->servers));
	if (!file->servers) {
		fprintf(stderr, "cratos: %s: out of memory\n", path);
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < file->count; i++)
		if (!make_server(file, i) && thorough)
			look_for(file, i);
	if (!file->count && !ret)
		config_refuse(file->config, "app", 0, NULL,
		    "no server to run: add a section [server:NAME]");
	return print_errors(file);
}

void appfile_free(struct appfile *file)
{
	for (size_t i = 0; file->servers && i < file->count; i++) {
		exec_free(&file->servers[i].exec);
		tcp_free(&file->servers[i].tcp);
	}
	free(file->servers);
	config_free(&file->config);
}

const struct appfile_server *appfile_find(const struct appfile *file,
    const char *name)
{
	for (size_t i = 0; name && i < file->count; i++)
		if (!strcmp(file->servers[i].name, name))
			return &file->servers[i];
	return NULL;
}
