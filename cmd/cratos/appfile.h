/* The file of "cratos run": its keys, and the app that it describes. */
#ifndef CRATOS_CMD_APPFILE_H
#define CRATOS_CMD_APPFILE_H

#include <stddef.h>
#include <stdint.h>

#include <cratos/app.h>
#include <cratos/config.h>
#include <cratos/exec.h>
#include <cratos/tcp.h>

/* [app] */
struct app_keys {
	const char *name, *version;
	int64_t start_timeout_ms, stop_timeout_ms, drain_delay_ms;
};

/* [server:NAME] */
struct server_keys {
	const char *exec, *shell, *tcp_echo;
	const char *dir, *endpoint;
	const char *const *env;
	int stop_signal;
	int64_t start_timeout_ms, stop_timeout_ms, max_connections;
};

extern const struct config_section appfile_sections[];

/* One server that was made from its section: a child or a built-in. */
struct appfile_server {
	const char *name;
	const struct server_keys *keys;
	struct exec *exec;
	struct tcp *tcp;
	struct server server;
};

struct appfile {
	struct config *config;
	const struct app_keys *app;
	struct appfile_server *servers;
	size_t count;
};

/*
 * Reads the file and makes its servers; starts nothing. Prints what is wrong
 * to stderr, a line each, and returns the exit status, 0 if nothing is. With
 * thorough, programs and folders are looked for as well.
 */
int appfile_load(struct appfile *file, const char *path, bool thorough);
void appfile_free(struct appfile *file);

/* The server of that name, or NULL. */
const struct appfile_server *appfile_find(const struct appfile *file,
    const char *name);

/* "SIGTERM"; for a number without a name, "signal 99". */
const char *signal_name(int signal);

/* The signal that stops the child. */
int appfile_stop_signal(const struct server_keys *keys);

#endif
