/* "cratos check": what would run, without running it. */
#include <stdio.h>
#include <string.h>

#include "cmd/cratos/appfile.h"
#include "cmd/cratos/main.h"
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
}

static void show_child(const struct appfile_server *server)
{
	const struct server_keys *keys = server->keys;
	char text[32];

	printf("    %s %s\n", keys->exec ? "exec " : "shell",
	    keys->exec ? keys->exec : keys->shell);
	if (keys->dir)
		printf("    dir   %s\n", keys->dir);
	for (size_t i = 0; keys->env && keys->env[i]; i++)
		printf("    env   %s\n", keys->env[i]);
	if (keys->endpoint)
		printf("    at    %s\n", keys->endpoint);
	printf("    stop  %s", signal_name(appfile_stop_signal(keys)));
	if (keys->stop_timeout_ms)
		printf(", SIGKILL after %s",
		    print_duration(keys->stop_timeout_ms, text));
	printf("\n");
}

/* They start at once, so the order is the one of the file. */
static void show(const struct appfile *file)
{
	char text[32];

	show_app(file);
	for (size_t i = 0; i < file->count; i++) {
		const struct appfile_server *server = &file->servers[i];

		printf("\n%zu. %s", i + 1, server->name);
		if (server->keys->start_timeout_ms)
			printf(" (ready within %s)",
			    print_duration(server->keys->start_timeout_ms,
				text));
		printf("\n");
		if (server->tcp)
			printf("    tcp-echo %s\n", server->keys->tcp_echo);
		else
			show_child(server);
	}
}

int check_command(const char *path)
{
	struct appfile file;
	int status = appfile_load(&file, path, true);

	if (!status) {
		show(&file);
		if (fflush(stdout) || ferror(stdout)) {
			fprintf(stderr, "cratos: cannot write: %m\n");
			status = EXIT_FAILED;
		}
	}
	appfile_free(&file);
	return status;
}
