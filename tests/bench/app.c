/*
 * An app of N servers that do nothing, for drive.c to measure:
 *
 *	app hook N       each start returns 0; each stop does, too
 *	app blocking N   each start blocks until the app stops
 *
 * It writes a byte to descriptor 3 once it is up. app.go and app_floor.c are
 * what it is compared with.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cratos/app.h>

enum { READY_FD = 3 };

static int return_0(struct context *ctx, void *arg)
{
	(void)ctx, (void)arg;
	return 0;
}

/* It has no stop: its context is done when the app stops. */
static int block(struct context *ctx, void *arg)
{
	(void)arg;
	context_wait(ctx, -1);
	return 0;
}

static int tell_ready(struct context *ctx, void *arg)
{
	(void)ctx, (void)arg;
	if (write(READY_FD, "", 1) != 1)
		return error_set(-EIO, "write: %m");
	return 0;
}

static int add_servers(struct app *app, const char *kind, int count)
{
	bool blocking = strcmp(kind, "blocking") == 0;

	for (int i = 0; i < count; i++) {
		char name[32];
		struct server server = {.name = name,
		    .start = blocking ? block : return_0,
		    .stop = blocking ? NULL : return_0};
		int ret;

		snprintf(name, sizeof(name), "server-%d", i);
		ret = app_add_server(app, &server);
		if (ret)
			return ret;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct app *app = app_new(NULL);
	struct error err = {.code = -ENOMEM};

	if (argc != 3) {
		fprintf(stderr, "usage: app hook|blocking N\n");
		return APP_EXIT_USAGE;
	}
	if (app && add_servers(app, argv[1], atoi(argv[2])) == 0 &&
	    app_add_hook(app, APP_AFTER_START, tell_ready, NULL) == 0)
		app_run(app, &err);
	app_free(&app);
	if (err.code)
		fprintf(stderr, "app: %s: %s\n", err.origin, err.text);
	return err.code ? APP_EXIT_FAILED : APP_EXIT_CLEAN;
}
