/* "cratos check": what would run, without running it. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cratos/childkeys.h"
#include "cmd/cratos/forward.h"
#include "cmd/cratos/main.h"
#include "cmd/cratos/order.h"
#include "cmd/cratos/print.h"

static void show_app(const struct appfile *file)
{
	const struct app_keys *app = file->app;
	char text[32];

	printf("app %s%s%s: %zu server%s", app->name, app->version ? " " : "",
	    app->version ? app->version : "", file->count,
	    file->count == 1 ? "" : "s");
	if (app->start_timeout_ms)
		printf(", ready within %s",
		    print_duration(app->start_timeout_ms, text));
	if (app->drain_delay_ms)
		printf(", drains for %s",
		    print_duration(app->drain_delay_ms, text));
	printf(", stops within %s\n",
	    print_duration(app->stop_timeout_ms, text));
	if (app->strays == STRAYS_KEEP)
		printf("    strays     are kept\n");
	if (app->orphans == ORPHANS_KEEP)
		printf("    orphans    kept\n");
	forward_show_app(file);
	if (app->register_command)
		printf("    register   %s\n", app->register_command);
	if (app->deregister_command)
		printf("    deregister %s\n", app->deregister_command);
}

/* "after a, b", if there are any. */
static void show_names(const char *word, const char *const *names)
{
	if (!names || !*names)
		return;
	printf("    %s %s", word, *names);
	while (*++names)
		printf(", %s", *names);
	printf("\n");
}

static void show_limit(const struct server_keys *keys)
{
	char window[32];

	if (keys->restart_limit)
		printf(", at most %" PRId64 " time%s in %s",
		    keys->restart_limit, keys->restart_limit == 1 ? "" : "s",
		    print_duration(keys->restart_window_ms, window));
	else
		printf(", as often as it takes");
}

/* "restarts on failure: after 100 ms, doubling up to 30 s, ...". */
static void show_restart(const struct server_keys *keys)
{
	char text[32];

	if (keys->restart == SERVER_RESTART_NEVER)
		return;
	printf("    restarts %s: ",
	    keys->restart == SERVER_RESTART_ALWAYS ? "always" : "on failure");
	if (keys->restart_delay_ms)
		printf("after %s",
		    print_duration(keys->restart_delay_ms, text));
	else
		printf("at once");
	if (keys->restart_delay_ms &&
	    keys->restart_delay_ms < keys->restart_max_delay_ms)
		printf(", doubling up to %s",
		    print_duration(keys->restart_max_delay_ms, text));
	show_limit(keys);
	if (keys->restart_scope == SERVER_RESTART_DEPENDENTS)
		printf(", with its dependents");
	if (keys->restart_scope == SERVER_RESTART_ALL)
		printf(", with all others");
	printf("\n");
}

static void show_exit(const struct server_keys *keys)
{
	if (keys->on_exit == ON_EXIT_STAY)
		printf("    exit  with status 0 changes nothing\n");
	if (keys->on_exit == ON_EXIT_STOP)
		printf("    exit  with status 0 stops the app\n");
}

/* "10 MiB" */
static void show_size(int64_t size)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB",
	    "TiB"};
	int unit = 0;

	for (; unit < 4 && size % 1024 == 0; unit++)
		size /= 1024;
	printf("%" PRId64 " %s", size, units[unit]);
}

static void show_log(const struct log *log)
{
	if (log->kind == LOG_LINES)
		return;
	printf("    log   %s", log->kind == LOG_INHERIT ? "inherit"
			       : log->kind == LOG_NULL	? "null"
							: log->path);
	if (log->path && log->size) {
		printf(", a new one after ");
		show_size(log->size);
		printf(", %d kept", log->keep);
	}
	printf("\n");
}

/* "health tcp:127.0.0.1:80, every 10 s, failed after 3 times". */
static void show_probes(const struct server_keys *keys)
{
	char text[32];

	if (keys->ready)
		printf("    ready %s\n", keys->ready);
	if (!keys->health)
		return;
	printf("    health %s, every %s, failed after %" PRId64 " time%s\n",
	    keys->health, print_duration(keys->health_interval_ms, text),
	    keys->health_failures, keys->health_failures == 1 ? "" : "s");
}

static void show_child(const struct appfile_server *server,
    const struct app_keys *app)
{
	const struct server_keys *keys = server->keys;
	int64_t stop_ms = keys->stop_timeout_ms &&
				  keys->stop_timeout_ms < app->stop_timeout_ms
			      ? keys->stop_timeout_ms
			      : app->stop_timeout_ms;
	char text[32];

	printf("    %s %s\n", keys->exec ? "exec " : "shell",
	    appfile_command(server));
	if (keys->dir)
		printf("    dir   %s\n", keys->dir);
	for (size_t i = 0; keys->env && keys->env[i]; i++)
		printf("    env   %s\n", keys->env[i]);
	childkeys_show(keys);
	if (keys->endpoint)
		printf("    at    %s\n", keys->endpoint);
	show_log(&server->log);
	show_probes(keys);
	show_exit(keys);
	forward_show(keys);
	childkeys_show_stop(keys);
	if (keys->stop_timeout_ms || keys_kill_signal(keys) != SIGKILL)
		printf(", %s after %s", signal_name(keys_kill_signal(keys)),
		    print_duration(stop_ms, text));
	printf("\n");
}

/* "2. web (optional, ready within 5 s)", "3. web-1 to web-4 (4 instances)" */
static void show_head(const struct appfile_server *server, size_t count,
    size_t number)
{
	const struct server_keys *keys = server->keys;
	const char *before = " (";
	char text[32];

	printf("\n%zu. %s", number, server->name);
	if (count > 1) {
		printf(" to %s (%zu instances", server[count - 1].name, count);
		before = ", ";
	}
	if (keys->oneshot) {
		printf("%sone-shot", before);
		before = ", ";
	}
	if (keys->optional) {
		printf("%soptional", before);
		before = ", ";
	}
	if (keys->start_timeout_ms) {
		printf("%s%s within %s", before,
		    keys->oneshot ? "done" : "ready",
		    print_duration(keys->start_timeout_ms, text));
		before = ", ";
	}
	printf("%s\n", *before == ',' ? ")" : "");
}

/* Of count instances, what the first of them has. */
static void show_server(const struct appfile *file, size_t i, size_t count,
    size_t number)
{
	const struct appfile_server *server = &file->servers[i];
	const struct server_keys *keys = server->keys;

	show_head(server, count, number);
	show_names("after", keys->after);
	show_names("wants", keys->wants);
	if (keys->tcp_echo)
		printf("    tcp-echo %s\n", keys->tcp_echo);
	else
		show_child(server, file->app);
	show_restart(keys);
}

/* How many servers there are from the i-th on, on one level, of one section. */
static size_t count_row(const struct appfile *file, const size_t *levels,
    size_t i)
{
	size_t count = 1;

	while (
	    i + count < file->count && levels[i + count] == levels[i] &&
	    !strcmp(file->servers[i + count].section, file->servers[i].section))
		count++;
	return count;
}

/* In the order of their start; those that start at once in that of the file. */
static int show(const struct appfile *file)
{
	size_t *levels = order_levels(file);
	size_t shown = 0, count;

	if (!levels) {
		fprintf(stderr, "cratos: out of memory\n");
		return APP_EXIT_FAILED;
	}
	show_app(file);
	for (size_t level = 0; shown < file->count; level++)
		for (size_t i = 0; i < file->count; i += count) {
			count = count_row(file, levels, i);
			if (levels[i] != level)
				continue;
			show_server(file, i, count, shown + 1);
			shown += count;
		}
	free(levels);
	if (!fflush(stdout) && !ferror(stdout))
		return APP_EXIT_CLEAN;
	fprintf(stderr, "cratos: cannot write: %m\n");
	return APP_EXIT_FAILED;
}

int check_command(const struct run_options *options)
{
	struct appfile file;
	int status = appfile_load(&file, options->path, true, NULL, NULL);

	if (!status)
		status =
		    options->ini ? print_help(file.procfile.ini) : show(&file);
	appfile_free(&file);
	return status;
}
