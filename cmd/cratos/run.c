/* "cratos run": the app of a file, from its start to its exit status. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <cratos/admin.h>

#include "cmd/cratos/forward.h"
#include "cmd/cratos/main.h"
#include "cmd/cratos/output.h"
#include "cmd/cratos/print.h"
#include "cmd/cratos/registrar.h"
#include "cmd/cratos/reload.h"

struct run {
	struct app *app;
	struct admin *admin; /* NULL: none */
	struct reloader files;
	struct printer printer;
	struct commands commands;
	bool had_terminal;
};

/* ---- the terminal ---- */

static bool has_terminal(void)
{
	int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* A terminal that goes away says so with the signal that asks for a reload. */
static bool has_lost_terminal(const struct run *run)
{
	return run->had_terminal && !has_terminal();
}

/* As nohup(1) leaves it: the app goes on without its terminal. */
static bool ignores_hangup(void)
{
	struct sigaction hangup;

	sigaction(SIGHUP, NULL, &hangup);
	return hangup.sa_handler == SIG_IGN;
}

/* ---- what the app calls ---- */

/* On another thread than on_event; see reload.h. */
static int reload(struct context *ctx, struct app_reload *change, void *arg)
{
	struct run *run = arg;

	(void)ctx;
	if (has_lost_terminal(run)) {
		app_stop(run->app);
		return error_set(-ECANCELED, "the terminal has gone");
	}
	return reloader_read(&run->files, change, &run->printer);
}

static void on_event(const struct app_event *event, void *arg)
{
	struct run *run = arg;

	if (event->type == APP_EVENT_STATE &&
	    event->state == APP_STATE_COMMITTING)
		run->printer.next = &run->files.next;
	printer_event(event, &run->printer);
	switch (event->type) {
	case APP_EVENT_SIGNAL:
		forward_pass_on(&run->files.file, event->signal);
		if (event->signal == SIGUSR2 &&
		    !forward_wanted(&run->files.file, SIGUSR2))
			output_reopen();
		if (event->signal == SIGHUP && has_lost_terminal(run))
			app_stop(run->app);
		break;
	case APP_EVENT_RELOADED:
		run->printer.next = NULL;
		reloader_use(&run->files);
		break;
	default:
		break;
	}
}

/* ---- the run ---- */

static int add_servers(struct app *app, struct appfile *file)
{
	int ret = 0;

	for (size_t i = 0; i < file->count && !ret; i++) {
		ret = app_add_server(app, &file->servers[i].server);
		file->servers[i].given = !ret;
	}
	return ret;
}

static int run_app(struct run *run)
{
	struct error err;
	size_t errors;
	int ret = add_servers(run->app, &run->files.file);

	if (ret) {
		print_problem(&run->printer, error_of(ret).text);
		return APP_EXIT_FAILED;
	}
	app_run(run->app, &err);
	app_errors(run->app, &errors);
	output_end();
	printer_end(&run->printer, &err, errors);
	return app_exit_status(run->app);
}

static bool has_default(int signal)
{
	struct sigaction action;

	return !sigaction(signal, NULL, &action) &&
	       action.sa_handler == SIG_DFL;
}

/*
 * The signals that stop the app, 0-terminated. The kernel keeps from PID 1 what
 * it has no handler for: what would end any other process by default is a
 * request to stop then, too. A signal that a thread raises itself gets through.
 */
static const int *stop_signals(const struct appfile *file)
{
	static const int fatal[] = {SIGABRT, SIGALRM, SIGVTALRM, SIGPROF, SIGIO,
	    SIGPWR, SIGSTKFLT, SIGXCPU, SIGXFSZ};
	static int list[NSIG] = {SIGTERM, SIGQUIT, SIGINT};
	size_t n = 3;

	if (getpid() != 1)
		return list;
	for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++)
		if (has_default(fatal[i]) && !forward_wanted(file, fatal[i]))
			list[n++] = fatal[i];
	for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
		if (has_default(i) && !forward_wanted(file, i))
			list[n++] = i;
	return list;
}

/* Those that do nothing by themselves: see on_event. 0-terminated. */
static const int *told_signals(const struct appfile *file)
{
	static int list[NSIG];
	size_t n = 0;

	for (int i = 1; i <= SIGRTMAX; i++)
		if (i == SIGUSR2 || forward_wanted(file, i))
			list[n++] = i;
	return list;
}

static int run_file(struct run *run)
{
	const struct appfile *file = &run->files.file;
	const struct app_keys *keys = file->app;
	const struct registrar registrar = commands_registrar(&run->commands);
	struct app_options options = {.name = keys->name,
	    .version = keys->version,
	    .registrar = &registrar,
	    .registrar_policy = (enum registrar_policy)keys->register_policy,
	    .registrar_timeout_ms = keys->register_timeout_ms,
	    .registrar_delay_ms = keys->register_delay_ms,
	    .registrar_max_delay_ms = keys->register_max_delay_ms,
	    .start_timeout_ms = keys->start_timeout_ms,
	    .stop_timeout_ms = keys->stop_timeout_ms,
	    .drain_delay_ms = keys->drain_delay_ms,
	    .reload = reload,
	    .reload_arg = run,
	    .reload_timeout_ms =
		keys->reload_timeout_ms ? keys->reload_timeout_ms : -1,
	    .reload_signal =
		ignores_hangup() || forward_wanted(file, SIGHUP) ? 0 : SIGHUP,
	    .report_signal = forward_wanted(file, SIGUSR1) ? 0 : SIGUSR1,
	    .told_signals = told_signals(file),
	    .signals = stop_signals(file),
	    /* PID 1 has to reap in any case. */
	    .reaper = keys->strays == STRAYS_KILL || getpid() == 1,
	    .on_event = on_event,
	    .event_arg = run};
	int status;

	if (keys->admin || keys->control) {
		struct admin_options seen;

		appfile_admin(keys, &seen);
		run->admin = options.admin = admin_new(&seen);
		if (!run->admin) {
			print_problem(&run->printer, "out of memory");
			return APP_EXIT_FAILED;
		}
	}
	run->printer.reloads = options.reload_signal != 0;
	run->had_terminal = has_terminal();
	run->app = app_new(&options);
	if (!run->app) {
		admin_free(&run->admin);
		print_problem(&run->printer, "out of memory");
		return APP_EXIT_FAILED;
	}
	output_keep(run->admin);
	status = run_app(run);
	app_free(&run->app);
	output_keep(NULL);
	admin_free(&run->admin);
	return status;
}

/* The signal to open files anew is no reason to end before all runs, either. */
static void block_reopen(void)
{
	sigset_t reopen;

	sigemptyset(&reopen);
	sigaddset(&reopen, SIGUSR2);
	signal(SIGUSR2, SIG_DFL);
	sigprocmask(SIG_BLOCK, &reopen, NULL);
}

int run_command(const struct run_options *options)
{
	struct run run = {.files.path = options->path};
	int status;

	block_reopen();
	printer_init(&run.printer, options);
	output_begin(&run.printer);
	status = appfile_load(&run.files.file, options->path, false, NULL,
	    &run.printer);
	/* A reader of our lines that goes away does not end the servers. */
	signal(SIGPIPE, SIG_IGN);
	/* Nor does a log file that may grow no more. */
	signal(SIGXFSZ, SIG_IGN);
	/* Ignored, as some parents leave it, it would lose how children end. */
	signal(SIGCHLD, SIG_DFL);
	if (!status && (commands_init(&run.commands, run.files.file.app) ||
			   printer_begin(&run.printer, &run.files.file))) {
		print_problem(&run.printer, "out of memory");
		status = APP_EXIT_FAILED;
	}
	if (!status)
		status = run_file(&run);
	printer_fini(&run.printer);
	commands_fini(&run.commands);
	reloader_fini(&run.files);
	return status;
}
