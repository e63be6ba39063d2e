/*
 * The registrar of "cratos run". A command is run by an app of its own, with
 * one server and no signals, which ends with the context that the registrar
 * was given: so it is stopped, killed and reaped as any other child is. Only
 * when the process ends by force is it killed from outside of that app.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cratos/exec.h>

#include "cmd/cratos/output.h"
#include "cmd/cratos/registrar.h"

enum { KILL_MS = 50 }; /* from the stop signal to SIGKILL */

static char *variable(const char *name, const char *value)
{
	char *text;

	return asprintf(&text, "%s=%s", name, value) < 0 ? NULL : text;
}

static char *endpoints(const struct instance *instance)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out, "CRATOS_ENDPOINTS=");
	for (size_t i = 0; instance->endpoints[i]; i++)
		fprintf(out, "%s%s", i ? " " : "", instance->endpoints[i]);
	if (!fclose(out))
		return text;
	free(text);
	return NULL;
}

static int run_child(struct context *ctx, struct exec *exec, const char *key)
{
	static const int no_signals[] = {0};
	const struct app_options options = {.parent = ctx,
	    .signals = no_signals,
	    .stop_timeout_ms = KILL_MS,
	    .stuck = APP_STUCK_WAIT};
	struct app *app = app_new(&options);
	struct server server = exec_server(exec, "command");
	struct error err = {0};
	int ret;

	if (!app)
		return -ENOMEM;
	server.oneshot = true;
	server.on_return = SERVER_STOPS_APP;
	ret = app_add_server(app, &server);
	if (!ret)
		ret = app_run(app, &err);
	/* Cut off it may have ended in order: it was not done for all that. */
	if (context_err(ctx))
		ret = error_set(context_err(ctx), "%s: killed, as it %s", key,
		    context_err(ctx) == -ETIMEDOUT
			? "was not done in register_timeout"
			: "has no time left");
	else if (err.code)
		error_set(ret, "%s: %s", key, err.text);
	app_free(&app);
	return ret;
}

/* False if all is over, and nothing may be started any more. */
static bool enter(struct commands *commands, struct exec **slot,
    struct exec *exec)
{
	bool killed;

	pthread_mutex_lock(&commands->lock);
	killed = commands->killed;
	*slot = exec;
	pthread_mutex_unlock(&commands->lock);
	return !killed;
}

/* What a command prints is printed as what a server does. */
static struct exec *make_command(const struct commands *commands,
    const char *key, struct exec_options *options, struct output **output)
{
	const struct output_options to = {.name = key};
	struct exec *exec;
	int fd = 0, ret = 0;

	if (!commands->inherit)
		ret = output_open(output, &to, &fd);
	if (ret) {
		errno = -ret;
		return NULL;
	}
	options->stdout_fd = options->stderr_fd = fd;
	exec = exec_new(options);
	if (fd)
		close(fd);
	return exec;
}

static int run(struct context *ctx, const struct instance *instance,
    const char *key, struct commands *commands, struct exec **slot)
{
	const char *command = slot == &commands->registering
				  ? commands->register_command
				  : commands->deregister_command;

	char *env[] = {variable("CRATOS_ID", instance->id),
	    variable("CRATOS_NAME", instance->name),
	    variable("CRATOS_VERSION", instance->version), endpoints(instance),
	    NULL};
	struct exec_options options = {.command = command,
	    .env = (const char *const *)env,
	    .may_exit = true};
	struct output *output = NULL;
	struct exec *exec = NULL;
	int ret = -ENOMEM;

	if (env[0] && env[1] && env[2] && env[3]) {
		exec = make_command(commands, key, &options, &output);
		ret = !exec			    ? -errno
		      : enter(commands, slot, exec) ? run_child(ctx, exec, key)
						    : -ECANCELED;
		enter(commands, slot, NULL);
	}
	output_settle(output, true);
	output_free(&output);
	exec_free(&exec);
	for (int i = 0; i < 4; i++)
		free(env[i]);
	return ret;
}

static int register_instance(struct context *ctx,
    const struct instance *instance, void *arg)
{
	struct commands *commands = arg;

	return run(ctx, instance, "register", commands, &commands->registering);
}

static int deregister_instance(struct context *ctx,
    const struct instance *instance, void *arg)
{
	struct commands *commands = arg;

	return run(ctx, instance, "deregister", commands,
	    &commands->deregistering);
}

static void kill_command(struct exec *exec)
{
	struct server server;

	if (!exec)
		return;
	server = exec_server(exec, "command");
	server.kill(server.arg);
}

static void kill_commands(void *arg)
{
	struct commands *commands = arg;

	pthread_mutex_lock(&commands->lock);
	commands->killed = true;
	kill_command(commands->registering);
	kill_command(commands->deregistering);
	pthread_mutex_unlock(&commands->lock);
}

int commands_init(struct commands *commands, const struct app_keys *keys)
{
	*commands = (struct commands){.lock = PTHREAD_MUTEX_INITIALIZER,
	    .inherit = !strcmp(keys->log, "inherit")};
	if (keys->register_command)
		commands->register_command = strdup(keys->register_command);
	if (keys->deregister_command)
		commands->deregister_command = strdup(keys->deregister_command);
	return !commands->register_command == !keys->register_command &&
		       !commands->deregister_command ==
			   !keys->deregister_command
		   ? 0
		   : -ENOMEM;
}

void commands_fini(struct commands *commands)
{
	free(commands->register_command);
	free(commands->deregister_command);
}

struct registrar commands_registrar(struct commands *commands)
{
	return (struct registrar){
	    .register_instance =
		commands->register_command ? register_instance : NULL,
	    .deregister_instance =
		commands->deregister_command ? deregister_instance : NULL,
	    .arg = commands,
	    .kill = kill_commands,
	};
}
