/* The file of "cratos run": the app that it describes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cratos/admin.h>
#include <cratos/exec.h>
#include <cratos/tcp.h>

#include "cmd/cratos/appfile.h"
#include "cmd/cratos/childkeys.h"
#include "cmd/cratos/echo.h"
#include "cmd/cratos/forward.h"
#include "cmd/cratos/instances.h"
#include "cmd/cratos/order.h"
#include "cmd/cratos/output.h"
#include "cmd/cratos/print.h"

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

static int refuse(struct appfile *file, size_t i, const char *key,
    const char *text)
{
	return config_refuse(file->config, "server:", i, key, "%s", text);
}

/* ---- what a server cannot be ---- */

/* Keys that do nothing here are a mistake, and so are those that disagree. */
struct rule {
	bool broken;
	const char *key, *text;
};

static size_t check_rules(struct appfile *file, size_t i,
    const struct rule *rules)
{
	size_t broken = 0;

	for (; rules->text; rules++)
		if (rules->broken) {
			refuse(file, i, rules->key, rules->text);
			broken++;
		}
	return broken;
}

static size_t check_kinds(struct appfile *file, size_t i,
    const struct server_keys *keys)
{
	int kinds = (keys->exec != NULL) + (keys->shell != NULL) +
		    (keys->tcp_echo != NULL);
	const struct rule rules[] =
	    {{kinds < 1, NULL,
		 "nothing to run: give one of exec, shell and tcp-echo"},
		{kinds > 1, NULL,
		    "more than one of exec, shell and tcp-echo: which is it?"},
		{0}};

	return check_rules(file, i, rules);
}

static size_t check_built_in(struct appfile *file, size_t i,
    const struct server_keys *keys)
{
	const struct rule rules[] = {{!keys->tcp_echo && keys->max_connections,
					 "max_connections",
					 "goes with tcp-echo only"},
	    {0}};

	return childkeys_check_idle(file, i, keys) +
	       check_rules(file, i, rules);
}

static size_t check_end(struct appfile *file, size_t i,
    const struct server_keys *keys)
{
	bool always = keys->restart == SERVER_RESTART_ALWAYS;
	const struct rule rules[] = {
	    {keys->oneshot && always, "restart",
		"a one-shot is done when it has exited with status 0, and "
		"cannot be restarted always; on-failure goes with oneshot"},
	    {keys->oneshot && keys->on_exit && !keys->tcp_echo, "on_exit",
		"a one-shot is done when it has exited with status 0, and "
		"on_exit has no say; leave out one of the two"},
	    {!keys->oneshot && always && keys->on_exit, "on_exit",
		"what is restarted always does not stay as it is, nor stop the "
		"app, when it exits; on-failure goes with on_exit"},
	    {0}};

	return check_rules(file, i, rules);
}

/* Keys of the restart that differ from the defaults. */
static size_t check_idle_restart(struct appfile *file, size_t i,
    const struct server_keys *keys, const struct server_keys *defaults)
{
	const struct config_field *field = server_fields;
	size_t idle = 0;

	if (keys->restart != SERVER_RESTART_NEVER)
		return 0;
	for (; field->key; field++)
		if (!strncmp(field->key, "restart_", 8) &&
		    !keys_same_value(field, keys, defaults)) {
			config_refuse(file->config, "server:", i, field->key,
			    "does nothing without restart = on-failure or "
			    "always");
			idle++;
		}
	return idle;
}

static size_t check_delays(struct appfile *file, size_t i,
    const struct server_keys *keys, const struct server_keys *defaults)
{
	bool max_is_default =
	    keys->restart_max_delay_ms == defaults->restart_max_delay_ms;
	const struct rule rules[] =
	    {{keys->restart_max_delay_ms < keys->restart_delay_ms,
		 max_is_default ? "restart_delay" : "restart_max_delay",
		 max_is_default
		     ? "restart_delay is more than restart_max_delay, which is "
		       "30s by default: set both"
		     : "restart_max_delay is less than restart_delay"},
		{0}};

	return check_rules(file, i, rules);
}

/* A text that is none; and what begins from a folder has less room. */
static size_t check_probe(struct appfile *file, size_t i, const char *key,
    const char *text, int (*check)(const char *text))
{
	if (!text || !check(text))
		return 0;
	refuse(file, i, key, error_of(-EINVAL).text);
	return 1;
}

static bool is_log(const char *probe)
{
	return probe && !strncmp(probe, "log:", 4);
}

static bool is_tried(const char *probe)
{
	return probe && strpbrk(probe, ":") && strncmp(probe, "fd:", 3) &&
	       strncmp(probe, "delay:", 6) && !is_log(probe);
}

/* Keys of probes that differ from the defaults, where they do nothing. */
static size_t check_idle_probes(struct appfile *file, size_t i,
    const struct server_keys *keys, const struct server_keys *defaults)
{
	const struct config_field *field = server_fields;
	size_t idle = 0;

	for (; field->key; field++) {
		bool of_ready = !strncmp(field->key, "ready_", 6);
		bool of_health = !strncmp(field->key, "health_", 7);

		if (keys_same_value(field, keys, defaults) ||
		    !((of_ready && !is_tried(keys->ready)) ||
			(of_health && !keys->health)))
			continue;
		refuse(file, i, field->key,
		    of_ready ? "does nothing without ready = tcp:, unix:, "
			       "http: or exec:"
			     : "does nothing without health");
		idle++;
	}
	return idle;
}

static size_t check_probes(struct appfile *file, size_t i,
    const struct server_keys *keys, const struct server_keys *defaults)
{
	const struct rule rules[] =
	    {{keys->oneshot && keys->ready, "ready",
		 "a one-shot is ready when it has exited with status 0"},
		{keys->oneshot && keys->health, "health",
		    "a one-shot is done when it is ready, and has no health"},
		{0}};

	return check_rules(file, i, rules) +
	       check_idle_probes(file, i, keys, defaults) +
	       check_probe(file, i, "ready", keys->ready, exec_check_ready) +
	       check_probe(file, i, "health", keys->health, exec_check_health);
}

/* What is wrong with a section that is right key by key. */
static bool is_wrong(struct appfile *file, size_t i,
    const struct server_keys *keys)
{
	const struct server_keys *defaults =
	    config_at(file->defaults, "server:", 0);
	size_t wrong = check_kinds(file, i, keys);

	wrong += check_built_in(file, i, keys);
	wrong += check_end(file, i, keys);
	wrong += check_idle_restart(file, i, keys, defaults);
	wrong += check_delays(file, i, keys, defaults);
	wrong += check_probes(file, i, keys, defaults);
	wrong += forward_check(file, i, keys);
	return wrong;
}

/* ---- making servers ---- */

/* What is 0 in the file to say none is less in the library. */
static int64_t or_none(int64_t number)
{
	return number ? number : -1;
}

static void set_policies(struct server *server, const struct server_keys *keys)
{
	server->oneshot = keys->oneshot;
	server->optional = keys->optional;
	server->on_return =
	    keys->on_exit == ON_EXIT_STOP ? SERVER_STOPS_APP : SERVER_STAYS_UP;
	server->restart =
	    (struct server_restart){.when =
					(enum server_restart_when)keys->restart,
		.scope = (enum server_restart_scope)keys->restart_scope,
		.delay_ms = or_none(keys->restart_delay_ms),
		.max_delay_ms = or_none(keys->restart_max_delay_ms),
		.stable_ms = or_none(keys->restart_stable_ms),
		.limit = (int)or_none(keys->restart_limit),
		.window_ms = keys->restart_window_ms};
	server->start_timeout_ms = keys->start_timeout_ms;
	server->stop_timeout_ms = keys->stop_timeout_ms;
}

static void release_exec(void *arg)
{
	struct exec *exec = arg;

	output_tell_no_more(exec);
	exec_free(&exec);
}

static void release_tcp(void *arg)
{
	struct tcp *tcp = arg;

	tcp_free(&tcp);
}

/* Where the program's output goes: *fd, 0 for where ours goes. */
static int open_output(struct appfile_server *server, size_t i, int *fd)
{
	const struct log *log = &server->log;
	const struct output_options options = {.name = server->name,
	    .colour = (unsigned)i,
	    .path = log->path,
	    .file_size = log->size,
	    .file_keep = log->keep};

	*fd = 0;
	if (log->kind == LOG_INHERIT)
		return 0;
	if (log->kind != LOG_NULL)
		return output_open(&server->output, &options, fd);
	*fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return *fd < 0 ? error_set(-errno, "/dev/null: %m") : 0;
}

/* Whether fault was found with the key already; NULL: with any. */
static bool has_errors(const struct appfile *file, size_t i, const char *key)
{
	const struct config_error *errors;
	char section[64];
	size_t count;

	snprintf(section, sizeof(section), "server:%s",
	    file->servers[i].section);
	errors = config_errors(file->config, &count);
	for (size_t at = 0; at < count; at++)
		if (!strcmp(errors[at].section, section) &&
		    (!key || !strcmp(errors[at].key, key)))
			return true;
	return false;
}

/* Refuses the key at fault, which an error of the library's is about. */
static const char *refuse_error(struct appfile *file, size_t i,
    const struct error *err)
{
	const struct server_keys *keys = config_at(file->config, "server:", i);
	const char *text = err->text, *key = childkeys_at_fault(&text);

	if (!key)
		key = keys->dir && access(keys->dir, X_OK) ? "dir"
		      : keys->exec			   ? "exec"
							   : "shell";
	if (!has_errors(file, i, key))
		refuse(file, i, key, text);
	return key;
}

/*
 * Program and folder have to be there, and what is asked for be allowed, if they
 * are looked for. All that is wrong is told, not only the first of it. NULL if
 * anything is.
 */
static struct exec *new_exec(struct appfile *file, size_t i,
    struct exec_options *options, struct childkeys *own, bool thorough)
{
	char last[32] = "";

	for (;;) {
		struct exec *exec = exec_new(options);
		int ret = !exec ? -errno : thorough ? exec_check(exec) : 0;
		struct error err = error_of(ret);
		const char *key;

		if (!ret && !*last)
			return exec;
		exec_free(&exec);
		if (!ret)
			return NULL;
		key = refuse_error(file, i, &err);
		if (!strcmp(key, last))
			return NULL;
		snprintf(last, sizeof(last), "%s", key);
		childkeys_leave_out(options, own, key);
	}
}

static int make_exec(struct appfile *file, struct appfile_server *server,
    size_t i, int output_fd, bool thorough)
{
	const struct server_keys *keys = server->keys;
	struct exec_options options = {.command = appfile_command(server),
	    .shell = keys->shell != NULL,
	    .dir = keys->dir,
	    .endpoint = keys->endpoint,
	    .ready = keys->ready,
	    .ready_interval_ms = keys->ready_interval_ms,
	    .ready_timeout_ms = keys->ready_timeout_ms,
	    .health = keys->health,
	    .health_interval_ms = keys->health_interval_ms,
	    .health_timeout_ms = keys->health_timeout_ms,
	    .health_failures = (int)keys->health_failures,
	    .may_exit = keys->oneshot || keys->on_exit != ON_EXIT_FAIL ||
			keys->restart == SERVER_RESTART_ALWAYS,
	    .stdout_fd = output_fd,
	    .stderr_fd = output_fd};
	struct childkeys own = {0};
	struct exec *exec = NULL;
	const char **env = instances_env(server);
	int ret = childkeys_set(file, i, &options, &own);

	options.env = env;
	if (env)
		exec = new_exec(file, i, &options, &own, thorough);
	else
		refuse(file, i, NULL, "out of memory");
	childkeys_fini(&own);
	free(env);
	if (ret)
		exec_free(&exec);
	if (!exec)
		return -EINVAL;
	if (server->output && is_log(keys->ready))
		output_tell(server->output, exec);
	server->exec = exec;
	server->server = exec_server(exec, server->name);
	server->server.release = release_exec;
	return 0;
}

/* One that is to run has its output read. */
static int make_child(struct appfile *file, struct appfile_server *server,
    size_t i, bool runs, bool thorough)
{
	int fd = 0, ret = 0;

	if (runs) {
		log_opens(&server->log);
		ret = open_output(server, i, &fd);
	}
	if (ret)
		refuse(file, i, "log", error_of(ret).text);
	if (make_exec(file, server, i, fd, thorough))
		ret = -EINVAL;
	if (fd)
		close(fd);
	return ret;
}

static int make_echo(struct appfile *file, struct appfile_server *server,
    size_t i)
{
	const struct tcp_options options = {.listen = server->keys->tcp_echo,
	    .handler = echo_handler,
	    .max_connections = (int)server->keys->max_connections};
	struct tcp *tcp = tcp_new(&options);

	if (!tcp)
		return refuse(file, i, "tcp-echo", error_of(-errno).text);
	server->server = tcp_server(tcp, server->name);
	server->server.release = release_tcp;
	return 0;
}

/* The same server as in the file that an app runs. */
static bool is_same(const struct appfile_server *server,
    const struct appfile_server *old)
{
	return old && keys_same(server_fields, server->keys, old->keys) &&
	       keys_same_list(server->after, old->after) &&
	       keys_same_list(server->wants, old->wants) &&
	       log_same(&server->log, &old->log);
}

/* Before any is made, since they name one another. */
static void name_server(struct appfile *file, size_t i)
{
	struct appfile_server *server = &file->servers[i];

	server->name = config_name(file->config, "server:", i);
	server->section =
	    config_instance(file->config, "server:", i, &server->number);
}

/* Whether somebody reads what it prints. */
static bool is_read(struct appfile *file, size_t i)
{
	enum log_kind kind = file->servers[i].log.kind;

	if (kind == LOG_LINES || kind == LOG_FILE)
		return true;
	refuse(file, i, "ready",
	    "its output is not read, as log is inherit or null");
	return false;
}

/* What the system has to say can be asked, whatever else is wrong. */
static bool has_command(const struct server_keys *keys)
{
	return !keys->tcp_echo && !keys->exec != !keys->shell;
}

static void make_server(struct appfile *file, size_t i, bool thorough,
    const struct appfile *in_force)
{
	struct appfile_server *server = &file->servers[i];
	const struct server_keys *keys = config_at(file->config, "server:", i);
	bool wrong, log_is_wrong = false, runs;
	int ret;

	server->keys = keys;
	wrong = has_errors(file, i, NULL) || is_wrong(file, i, keys);
	if (file->app && !keys->tcp_echo)
		log_is_wrong = !log_resolve(file, i, thorough);
	if (!wrong && !log_is_wrong && is_log(keys->ready))
		log_is_wrong = !is_read(file, i);
	wrong = order_check_names(file, i) || wrong;
	if (wrong && !(thorough && has_command(keys)))
		return;
	if (!wrong && (instances_names(file, keys->after, &server->after) ||
			  instances_names(file, keys->wants, &server->wants))) {
		refuse(file, i, NULL, "out of memory");
		return;
	}
	runs =
	    !wrong && !log_is_wrong &&
	    (in_force ? !is_same(server, appfile_find(in_force, server->name))
		      : !thorough);
	ret = keys->tcp_echo ? make_echo(file, server, i)
			     : make_child(file, server, i, runs, thorough);
	if (ret)
		return;
	set_policies(&server->server, keys);
	server->server.after = server->after;
	server->server.wants = server->wants;
}

/* ---- the file as a whole ---- */

static size_t count_errors(const struct appfile *file)
{
	size_t count;

	config_errors(file->config, &count);
	return count;
}

static void refuse_app(struct appfile *file, const char *key, const char *text)
{
	config_refuse(file->config, "app", 0, key, "%s", text);
}

/* The program of a command has to be there. */
static void look_for_command(struct appfile *file, const char *key,
    const char *command)
{
	const struct exec_options options = {.command = command};
	struct exec *exec = command ? exec_new(&options) : NULL;
	int ret = command && !exec ? -errno : exec ? exec_check(exec) : 0;

	if (ret)
		refuse_app(file, key, error_of(ret).text);
	exec_free(&exec);
}

/* Keys of the registrar that differ from the defaults, where they do nothing. */
static void check_idle_register(struct appfile *file)
{
	const struct app_keys *keys = file->app,
			      *defaults = config_get(file->defaults, "app");
	bool once = keys->register_policy == REGISTRAR_ONCE;

	for (const struct config_field *field = app_fields; field->key; field++)
		if (strncmp(field->key, "register_", 9) != 0 ||
		    keys_same_value(field, keys, defaults))
			continue;
		else if (!keys->register_command)
			refuse_app(file, field->key, "goes with register only");
		else if (once && strstr(field->key, "delay"))
			refuse_app(file, field->key,
			    "does nothing without register_policy = retry or "
			    "retry-beside");
}

static void check_registrar(struct appfile *file, bool thorough)
{
	const struct app_keys *keys = file->app,
			      *defaults = config_get(file->defaults, "app");
	bool max_is_default =
	    keys->register_max_delay_ms == defaults->register_max_delay_ms;

	if (keys->deregister_command && !keys->register_command)
		refuse_app(file, "deregister", "goes with register only");
	check_idle_register(file);
	if (keys->register_max_delay_ms < keys->register_delay_ms)
		refuse_app(file,
		    max_is_default ? "register_delay" : "register_max_delay",
		    max_is_default
			? "register_delay is more than register_max_delay, "
			  "which is 1m by default: set both"
			: "register_max_delay is less than register_delay");
	if (!thorough)
		return;
	look_for_command(file, "register", keys->register_command);
	look_for_command(file, "deregister", keys->deregister_command);
}

/* The keys that do nothing without control. */
static void check_idle_control(struct appfile *file)
{
	const struct app_keys *keys = file->app;

	if (keys->control_mode)
		refuse_app(file, "control_mode",
		    "does nothing without control");
	if (keys->control_group)
		refuse_app(file, "control_group",
		    "does nothing without control");
	if (keys->control_writers)
		refuse_app(file, "control_writers",
		    "does nothing without control");
}

/* NULL if there is none, or when something was refused. */
static struct admin *new_admin(struct appfile *file, const char *key,
    const struct admin_options *options)
{
	struct admin *admin = admin_new(options);

	if (!admin)
		refuse_app(file, key, error_of(-errno).text);
	return admin;
}

int appfile_admin(const struct app_keys *keys, struct admin_options *options)
{
	const char *mode = keys->control_mode;
	size_t digits = mode ? strspn(mode, "01234567") : 0;

	*options = (struct admin_options){.listen = keys->admin,
	    .control = keys->control,
	    .control_group = keys->control_group,
	    .control_writers = keys->control_writers};
	if (!mode)
		return 0;
	options->control_mode = (mode_t)strtoul(mode, NULL, 8);
	if (digits && !mode[digits] && digits <= 4 &&
	    options->control_mode <= 0777 && options->control_mode)
		return 0;
	return error_set(-EINVAL,
	    "'%s' is not an octal number from 1 to 777, such as 0660", mode);
}

static void check_admin(struct appfile *file)
{
	const struct app_keys *keys = file->app;
	struct admin_options options, one;
	struct admin *admin;

	if (appfile_admin(keys, &options))
		refuse_app(file, "control_mode", error_of(-EINVAL).text);
	if (!keys->control)
		check_idle_control(file);
	if (keys->admin) {
		one = (struct admin_options){.listen = keys->admin};
		admin = new_admin(file, "admin", &one);
		admin_free(&admin);
	}
	if (keys->control) {
		one = (struct admin_options){.control = keys->control};
		admin = new_admin(file, "control", &one);
		admin_free(&admin);
	}
}

static void check_app(struct appfile *file, const struct appfile *in_force,
    bool thorough)
{
	static const char *const lasting[] = {"name", "version", "register",
	    "deregister", "register_policy", "register_timeout",
	    "register_delay", "register_max_delay", "strays", "orphans",
	    "admin", NULL};
	const struct app_keys *keys = file->app;

	/* One in force cannot change, and its commands may have gone. */
	if (keys) {
		if (!*keys->name)
			refuse_app(file, "name",
			    "is empty: leave it out, or name the app");
		check_admin(file);
		check_registrar(file, thorough && !in_force);
		log_check_app(file);
	}
	if (!file->count && !count_errors(file))
		config_refuse(file->config, "app", 0, NULL,
		    "no server to run: add a section [server:NAME]");
	/* What cannot be read at all differs in everything. */
	if (!in_force || count_errors(file))
		return;
	forward_check_change(file, in_force);
	for (const struct config_field *field = app_fields; field->key; field++)
		for (size_t i = 0; lasting[i]; i++)
			if (!strcmp(field->key, lasting[i]) &&
			    !keys_same_value(field, file->app, in_force->app))
				config_refuse(file->config, "app", 0,
				    field->key,
				    "cannot change while the app runs: restart "
				    "it");
}

void appfile_error(const struct appfile *file, const struct config_error *error,
    char *text, size_t size)
{
	struct config_error own = *error;

	if (file->procfile.ini)
		own = procfile_error(&file->procfile, error);
	config_error_format(&own, text, size);
}

static int print_errors(const struct appfile *file,
    const struct printer *printer)
{
	size_t count;
	const struct config_error *errors = config_errors(file->config, &count);
	char text[2048];

	for (size_t i = 0; i < count; i++) {
		appfile_error(file, &errors[i], text, sizeof(text));
		print_problem(printer, text);
	}
	return count ? APP_EXIT_CONFIG : 0;
}

static int no_memory(const struct printer *printer, const char *path)
{
	char text[2048];

	snprintf(text, sizeof(text), "%s: out of memory", path);
	print_problem(printer, text);
	return APP_EXIT_FAILED;
}

int appfile_load(struct appfile *file, const char *path, bool thorough,
    const struct appfile *in_force, const struct printer *printer)
{
	/* A section without keys has the defaults. */
	static const char empty[] = "[server:none]";

	*file = (struct appfile){0};
	if (procfile_is(path))
		procfile_load(&file->procfile, path, file_sections,
		    &file->config);
	else
		config_load(path, file_sections, &file->config);
	config_parse("defaults", empty, sizeof(empty) - 1, file_sections,
	    &file->defaults);
	if (!file->config || !file->defaults)
		return no_memory(printer, path);
	file->app = config_get(file->config, "app");
	file->count = config_count(file->config, "server:");
	file->servers = calloc(file->count + 1, sizeof(*file->servers));
	if (!file->servers)
		return no_memory(printer, path);
	if (in_force || !thorough)
		output_make_room(file->count);
	for (size_t i = 0; i < file->count; i++)
		name_server(file, i);
	for (size_t i = 0; i < file->count; i++)
		make_server(file, i, thorough, in_force);
	check_app(file, in_force, thorough);
	if (!count_errors(file))
		order_check(file);
	for (size_t i = 0; count_errors(file) && i < file->count; i++)
		log_undo(&file->servers[i].log);
	return print_errors(file, printer);
}

void appfile_free(struct appfile *file)
{
	for (size_t i = 0; file->servers && i < file->count; i++) {
		const struct appfile_server *made = &file->servers[i];

		if (made->server.release && !made->given)
			made->server.release(made->server.arg);
		output_free(&file->servers[i].output);
		log_fini(&file->servers[i].log);
		free(file->servers[i].after);
		free(file->servers[i].wants);
	}
	free(file->servers);
	config_free(&file->defaults);
	config_free(&file->config);
	procfile_fini(&file->procfile);
}

struct appfile_server *appfile_find(const struct appfile *file,
    const char *name)
{
	for (size_t i = 0; name && i < file->count; i++)
		if (!strcmp(file->servers[i].name, name))
			return &file->servers[i];
	return NULL;
}

const char *appfile_command(const struct appfile_server *server)
{
	const struct server_keys *keys = server->keys;

	return keys->exec    ? keys->exec
	       : keys->shell ? keys->shell
			     : keys->tcp_echo;
}

/* ---- changes ---- */

static int put(struct appfile *file, struct appfile_server *server,
    const struct appfile_server *old, struct app_reload *reload)
{
	int ret;

	if (is_same(server, old))
		return 0;
	if (old) {
		ret = app_reload_replace(reload, &server->server);
		file->changed++;
	} else {
		ret = app_reload_add(reload, &server->server);
		file->added++;
	}
	server->given = !ret;
	return ret;
}

int appfile_change(struct appfile *file, const struct appfile *in_force,
    struct app_reload *reload)
{
	const struct app_keys *app = file->app;
	int ret = 0;

	for (size_t i = 0; i < in_force->count && !ret; i++) {
		const char *name = in_force->servers[i].name;

		if (appfile_find(file, name))
			continue;
		ret = app_reload_remove(reload, name);
		file->removed++;
	}
	for (size_t i = 0; i < file->count && !ret; i++)
		ret = put(file, &file->servers[i],
		    appfile_find(in_force, file->servers[i].name), reload);
	app_reload_timeouts(reload, app->stop_timeout_ms,
	    or_none(app->drain_delay_ms));
	return ret;
}
