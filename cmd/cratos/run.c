/* "cratos run": the app of a file, from its start to its exit status. */
#include <signal.h>
#include <stdio.h>

#include "cmd/cratos/appfile.h"
#include "cmd/cratos/main.h"
#include "cmd/cratos/print.h"

static int add_servers(struct app *app, const struct appfile *file)
{
	int ret = 0;

	for (size_t i = 0; i < file->count && !ret; i++)
		ret = app_add_server(app, &file->servers[i].server);
	return ret;
}

static int run(const struct appfile *file, struct printer *printer)
{
	static const int with_hangup[] = {SIGTERM, SIGQUIT, SIGINT, SIGHUP, 0};
	struct app_options options = {.name = file->app->name,
	    .version = file->app->version,
	    .start_timeout_ms = file->app->start_timeout_ms,
	    .stop_timeout_ms = file->app->stop_timeout_ms,
	    .drain_delay_ms = file->app->drain_delay_ms,
	    .on_event = printer_event,
	    .event_arg = printer};
	struct sigaction hangup;
	struct error err;
	struct app *app;
	size_t errors;
	int ret;

	/* A terminal that goes away stops the app, but not under nohup(1). */
	sigaction(SIGHUP, NULL, &hangup);
	if (hangup.sa_handler != SIG_IGN)
		options.signals = with_hangup;
	app = app_new(&options);
	if (!app) {
		fprintf(stderr, "cratos: out of memory\n");
		return EXIT_FAILED;
	}
	ret = add_servers(app, file);
	if (ret) {
		fprintf(stderr, "cratos: %s\n", error_of(ret).text);
	} else {
		ret = app_run(app, &err);
		app_errors(app, &errors);
		printer_end(printer, &err, errors);
	}
	app_free(&app);
	return ret ? EXIT_FAILED : EXIT_CLEAN;
}

int run_command(const struct run_options *options)
{
	struct appfile file;
	struct printer printer;
	int status = appfile_load(&file, options->path, false);

	/* A reader of our lines that goes away does not end the servers. */
	signal(SIGPIPE, SIG_IGN);
	/* Ignored, as some parents leave it, it would lose how children end. */
	signal(SIGCHLD, SIG_DFL);
	if (!status) {
		printer_init(&printer, &file, options);
		status = run(&file, &printer);
	}
	appfile_free(&file);
	return status;
}
