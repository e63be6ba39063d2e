/* The keys of the file of "cratos run": what they take, and what is the same. */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cratos/instances.h"
#include "cmd/cratos/keys.h"

enum { SIGNAL_SIZE = 16 }; /* of a name, with the final 0 */

/* The names that stop_signal and kill_signal take, and what they stand for. */
static const char *const signal_names[] = {"TERM", "INT", "QUIT", "HUP", "USR1",
    "USR2", "WINCH", "KILL", "ABRT", "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP",
    "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGKILL", "SIGABRT", NULL};
static const int signal_numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1,
    SIGUSR2, SIGWINCH, SIGKILL, SIGABRT};

/* In the order of the enums that they stand for. */
static const char *const on_exit_names[] = {"fail", "stay", "stop", NULL};
static const char *const restart_names[] = {"never", "on-failure", "always",
    NULL};
static const char *const policy_names[] = {"once", "retry", "retry-beside",
    NULL};
static const char *const strays_names[] = {"kill", "keep", NULL};
static const char *const orphans_names[] = {"kill", "keep", NULL};
static const char *const scope_names[] = {"one", "dependents", "all", NULL};

const struct config_field app_fields[] =
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
	{.key = "reload_timeout",
	    .type = CONFIG_DURATION,
	    .offset = offsetof(struct app_keys, reload_timeout_ms),
	    .fallback = "10s",
	    .help =
		"time to read and check a new configuration; 0 is no limit"},
	{.key = "register",
	    .type = CONFIG_COMMAND,
	    .offset = offsetof(struct app_keys, register_command),
	    .help = "command that makes the app known once all servers are "
		    "ready"},
	{.key = "deregister",
	    .type = CONFIG_COMMAND,
	    .offset = offsetof(struct app_keys, deregister_command),
	    .help = "command that takes that back before they stop"},
	{.key = "register_policy",
	    .type = CONFIG_ENUM,
	    .offset = offsetof(struct app_keys, register_policy),
	    .names = policy_names,
	    .fallback = "once",
	    .help = "what follows when register fails: the end of the app, or "
		    "further tries before, or while, it runs"},
	{.key = "register_timeout",
	    .type = CONFIG_DURATION,
	    .offset = offsetof(struct app_keys, register_timeout_ms),
	    .min = 1,
	    .max = INT64_MAX,
	    .fallback = "10s",
	    .help = "time for each of the two commands; then it is killed"},
	{.key = "register_delay",
	    .type = CONFIG_DURATION,
	    .offset = offsetof(struct app_keys, register_delay_ms),
	    .min = 1,
	    .max = INT64_MAX,
	    .fallback = "1s",
	    .help = "wait before register is tried again; doubles with each "
		    "try"},
	{.key = "register_max_delay",
	    .type = CONFIG_DURATION,
	    .offset = offsetof(struct app_keys, register_max_delay_ms),
	    .min = 1,
	    .max = INT64_MAX,
	    .fallback = "1m",
	    .help = "the longest wait before a further try"},
	{.key = "strays",
	    .type = CONFIG_ENUM,
	    .offset = offsetof(struct app_keys, strays),
	    .names = strays_names,
	    .fallback = "kill",
	    .help = "what happens to processes that have left their server's "
		    "group, when it has stopped"},
	{.key = "log",
	    .type = CONFIG_STRING,
	    .offset = offsetof(struct app_keys, log),
	    .fallback = "lines",
	    .help = "where what servers print goes: lines, inherit, null, or "
		    "file:PATH with %n for the server's name"},
	{.key = "log_size",
	    .type = CONFIG_SIZE,
	    .offset = offsetof(struct app_keys, log_size),
	    .fallback = "10MiB",
	    .help = "size of such a file after which a new one is begun; 0 is "
		    "no limit"},
	{.key = "log_keep",
	    .type = CONFIG_INT,
	    .offset = offsetof(struct app_keys, log_keep),
	    .max = 100,
	    .fallback = "5",
	    .help = "how many of the files before it are kept, as PATH.1 and "
		    "on"},
	{.key = "admin",
	    .type = CONFIG_STRING,
	    .offset = offsetof(struct app_keys, admin),
	    .others = "metrics health_address status_address inet_http_server",
	    .help = "address for health and metrics over HTTP: host:port or "
		    "unix:/path",
	    .example = "127.0.0.1:9901"},
	{.key = "control",
	    .type = CONFIG_STRING,
	    .offset = offsetof(struct app_keys, control),
	    .others = "control_socket unix_http_server socket",
	    .help = "path of the socket for cratos status, start, stop and the "
		    "like",
	    .example = "/run/app.sock"},
	{.key = "control_mode",
	    .type = CONFIG_STRING,
	    .offset = offsetof(struct app_keys, control_mode),
	    .others = "chmod",
	    .help = "mode of its file, in octal; whoever can connect can read; "
		    "0600 by default",
	    .example = "0660"},
	{.key = "control_group",
	    .type = CONFIG_STRING,
	    .offset = offsetof(struct app_keys, control_group),
	    .others = "chown",
	    .help = "group of its file"},
	{.key = "control_writers",
	    .type = CONFIG_STRING,
	    .offset = offsetof(struct app_keys, control_writers),
	    .help = "group that may start and stop as well, as may root and "
		    "the user of cratos"},
	{.key = "orphans",
	    .type = CONFIG_ENUM,
	    .offset = offsetof(struct app_keys, orphans),
	    .names = orphans_names,
	    .fallback = "kill",
	    .help =
		"what becomes of the programs when cratos itself is killed"},
	{0}};

const struct config_field server_fields[] = {
    {.key = "exec",
	.type = CONFIG_COMMAND,
	.offset = offsetof(struct server_keys, exec),
	.others = "command cmd program execstart run args",
	.help = "program and arguments to run, with quotes, without a shell",
	.example = "sleep infinity",
	.shown = true},
    {.key = "shell",
	.type = CONFIG_COMMAND,
	.offset = offsetof(struct server_keys, shell),
	.help = "command line for /bin/sh -c, instead of exec"},
    {.key = "tcp-echo",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, tcp_echo),
	.help =
	    "instead of exec, the built-in echo server: host:port, unix:/path "
	    "or fd:NAME"},
    {.key = "instances",
	.type = CONFIG_INT,
	.offset = offsetof(struct server_keys, instances),
	.min = 1,
	.max = 10000,
	.others = "numprocs replicas scale processes",
	.help = "how many of it there are: NAME-1, NAME-2 and so on, with "
		"${CRATOS_INSTANCE} in values",
	.example = "4"},
    {.key = "dir",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, dir),
	.others =
	    "directory cwd chdir workdir working_dir working_directory workingdirectory",
	.help = "working directory of the program"},
    {.key = "env",
	.type = CONFIG_MAP,
	.offset = offsetof(struct server_keys, env),
	.others = "environment",
	.help =
	    "environment variable for the program, on top of the inherited"},
    {.key = "env_file",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, env_file),
	.others = "environment_file environmentfile dotenv",
	.help = "file of NAME=value lines for the environment; env goes "
		"before it"},
    {.key = "user",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, user),
	.others = "uid",
	.help = "user that the program runs as, by name or number"},
    {.key = "group",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, group),
	.others = "gid",
	.help = "group that it runs as, instead of the user's own"},
    {.key = "umask",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, umask),
	.help = "what new files of it must not allow, in octal, such as 022"},
    {.key = "nice",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, nice),
	.help = "its niceness, from -20 to 19"},
    {.key = "oom_score_adj",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, oom_score_adj),
	.others = "oomscoreadjust",
	.help = "how early it is killed when memory is short, from -1000 to "
		"1000"},
    {.key = "limit",
	.type = CONFIG_MAP,
	.offset = offsetof(struct server_keys, limit),
	.others =
	    "rlimit ulimit limits ulimits limitnofile limitcore limitnproc limitmemlock limitas limitstack",
	.help = "limit of resources: a number, soft:hard, or infinity; as in "
		"limit.nofile"},
    {.key = "stdin",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, input),
	.others = "standardinput stdin_file",
	.help = "what it reads as standard input: null, inherit or a file; "
		"null by default"},
    {.key = "listen",
	.type = CONFIG_LIST,
	.offset = offsetof(struct server_keys, listen),
	.others = "sockets socket",
	.help = "sockets passed to cratos that the program gets, as fd:NAME; "
		"see sd_listen_fds(3)"},
    {.key = "endpoint",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, endpoint),
	.help = "URL to show for the program, where it says which it serves"},
    {.key = "after",
	.type = CONFIG_LIST,
	.offset = offsetof(struct server_keys, after),
	.others = "depends_on depends requires needs priority bindsto partof",
	.help = "servers that must be ready before this one starts; they stop "
		"after it"},
    {.key = "wants",
	.type = CONFIG_LIST,
	.offset = offsetof(struct server_keys, wants),
	.others = "upholds",
	.help =
	    "the same of servers that it can do without, if they have failed"},
    {.key = "oneshot",
	.type = CONFIG_BOOL,
	.offset = offsetof(struct server_keys, oneshot),
	.fallback = "false",
	.help = "the program does something and exits: ready once it exited "
		"with status 0"},
    {.key = "optional",
	.type = CONFIG_BOOL,
	.offset = offsetof(struct server_keys, optional),
	.fallback = "false",
	.help = "the app goes on without it when it has failed for good"},
    {.key = "on_exit",
	.type = CONFIG_ENUM,
	.offset = offsetof(struct server_keys, on_exit),
	.names = on_exit_names,
	.fallback = "fail",
	.others = "remainafterexit",
	.help = "what an exit with status 0 is: a failure, nothing, or the end "
		"of the app"},
    {.key = "restart",
	.type = CONFIG_ENUM,
	.offset = offsetof(struct server_keys, restart),
	.names = restart_names,
	.fallback = "never",
	.others = "autorestart",
	.help = "when it is started again after it ended by itself"},
    {.key = "restart_delay",
	.type = CONFIG_DURATION,
	.offset = offsetof(struct server_keys, restart_delay_ms),
	.fallback = "100ms",
	.others = "restart_sec restartsec backoff",
	.help = "wait before the first restart; doubles with each one; 0 is "
		"none"},
    {.key = "restart_max_delay",
	.type = CONFIG_DURATION,
	.offset = offsetof(struct server_keys, restart_max_delay_ms),
	.fallback = "30s",
	.others = "restartmaxdelaysec",
	.help = "the longest wait before a restart"},
    {.key = "restart_stable",
	.type = CONFIG_DURATION,
	.offset = offsetof(struct server_keys, restart_stable_ms),
	.fallback = "10s",
	.help = "once ready for that long, the next restart is a first one; 0 "
		"is at once"},
    {.key = "restart_limit",
	.type = CONFIG_INT,
	.offset = offsetof(struct server_keys, restart_limit),
	.max = 10000,
	.fallback = "5",
	.others = "startretries max_restarts startlimitburst",
	.help = "restarts within restart_window, then it has failed for good; "
		"0 is no limit"},
    {.key = "restart_window",
	.type = CONFIG_DURATION,
	.offset = offsetof(struct server_keys, restart_window_ms),
	.min = 1,
	.max = INT64_MAX,
	.fallback = "10s",
	.others =
	    "startlimitinterval startlimitintervalsec startlimit_interval",
	.help = "time in which restart_limit counts"},
    {.key = "restart_scope",
	.type = CONFIG_ENUM,
	.offset = offsetof(struct server_keys, restart_scope),
	.names = scope_names,
	.fallback = "one",
	.help = "what restarts: it, also those that come after it, or all"},
    {.key = "start_timeout",
	.type = CONFIG_DURATION,
	.offset = offsetof(struct server_keys, start_timeout_ms),
	.fallback = "0",
	.others = "startsecs timeoutstartsec",
	.help =
	    "time until the server must be ready; 0 is no limit of its own"},
    {.key = "stop_timeout",
	.type = CONFIG_DURATION,
	.offset = offsetof(struct server_keys, stop_timeout_ms),
	.fallback = "0",
	.others =
	    "stopwaitsecs timeoutstopsec shutdown_timeout stop_grace_period timeoutsec",
	.help = "time to stop within the app's; 0 is all of it"},
    {.key = "stop_signal",
	.type = CONFIG_ENUM,
	.offset = offsetof(struct server_keys, stop_signal),
	.names = signal_names,
	.fallback = "TERM",
	.others = "killsignal shutdown_signal",
	.help = "signal that tells the program to stop"},
    {.key = "stop_exec",
	.type = CONFIG_COMMAND,
	.offset = offsetof(struct server_keys, stop_exec),
	.others = "execstop shutdown_command",
	.help = "command that stops the program, MAINPID, instead of the "
		"signal"},
    {.key = "kill_signal",
	.type = CONFIG_ENUM,
	.offset = offsetof(struct server_keys, kill_signal),
	.names = signal_names,
	.fallback = "KILL",
	.others = "finalkillsignal",
	.help = "signal when the time to stop is over; KILL follows it"},
    {.key = "success_exit",
	.type = CONFIG_LIST,
	.offset = offsetof(struct server_keys, success_exit),
	.others = "exitcodes success_codes successexitstatus",
	.help = "exit statuses, and signals to die of, that are as good as "
		"status 0"},
    {.key = "log",
	.type = CONFIG_STRING,
	.offset = offsetof(struct server_keys, log),
	.others =
	    "stdout_logfile stderr_logfile logfile log_location output standardoutput standarderror stdout stderr",
	.help = "where what the program prints goes, if not where [app] says",
	.example = "file:web.log"},
    {.key = "log_size",
	.type = CONFIG_SIZE,
	.offset = offsetof(struct server_keys, log_size),
	.others = "stdout_logfile_maxbytes stderr_logfile_maxbytes",
	.help = "the same as in [app], for this server",
	.example = "10MiB"},
    {.key = "log_keep",
	.type = CONFIG_INT,
	.offset = offsetof(struct server_keys, log_keep),
	.max = 100,
	.others = "stdout_logfile_backups stderr_logfile_backups",
	.help = "the same as in [app], for this server",
	.example = "5"},
    {.key = "ready",
	.type = CONFIG_COMMAND,
	.offset = offsetof(struct server_keys, ready),
	.others = "readiness readiness_probe type",
	.help = "what tells that the program is ready: start, notify, fd:N, "
		"log:REGEX, delay:TIME, tcp:HOST:PORT, unix:PATH, "
		"http://HOST:PORT/PATH or exec:COMMAND",
	.example = "start"},
    {.key = "ready_interval",
	.type = CONFIG_DURATION,
	.offset = offsetof(struct server_keys, ready_interval_ms),
	.min = 1,
	.max = 86400000,
	.fallback = "100ms",
	.help = "wait between attempts at tcp, unix, http and exec; less at "
		"first"},
    {.key = "ready_timeout",
	.type = CONFIG_DURATION,
	.offset = offsetof(struct server_keys, ready_timeout_ms),
	.min = 1,
	.max = 86400000,
	.fallback = "5s",
	.help = "time for one of these attempts"},
    {.key = "health",
	.type = CONFIG_COMMAND,
	.offset = offsetof(struct server_keys, health),
	.others = "healthcheck liveness liveness_probe",
	.help = "what tells that it is well, once it is ready: "
		"tcp:HOST:PORT, unix:PATH, http://HOST:PORT/PATH or "
		"exec:COMMAND",
	.example = "tcp:localhost:8080"},
    {.key = "health_interval",
	.type = CONFIG_DURATION,
	.offset = offsetof(struct server_keys, health_interval_ms),
	.min = 1,
	.max = 86400000,
	.fallback = "10s",
	.help = "wait between checks of its health"},
    {.key = "health_timeout",
	.type = CONFIG_DURATION,
	.offset = offsetof(struct server_keys, health_timeout_ms),
	.min = 1,
	.max = 86400000,
	.fallback = "5s",
	.help = "time for one check"},
    {.key = "health_failures",
	.type = CONFIG_INT,
	.offset = offsetof(struct server_keys, health_failures),
	.min = 1,
	.max = 1000,
	.fallback = "3",
	.help = "how many checks in a row must fail for the server to have "
		"failed"},
    {.key = "forward",
	.type = CONFIG_LIST,
	.offset = offsetof(struct server_keys, forward),
	.help = "signals that are passed on to the program, such as USR1, "
		"WINCH"},
    {.key = "max_connections",
	.type = CONFIG_INT,
	.offset = offsetof(struct server_keys, max_connections),
	.min = 1,
	.max = 1000000,
	.help = "connections that tcp-echo serves at a time; 1024 by default",
	.example = "1024"},
    {0}};

const struct config_section file_sections[] = {{.name = "app",
						   .fields = app_fields,
						   .size =
						       sizeof(struct app_keys),
						   .help =
						       "the app as a whole"},
    {.name = "server:",
	.fields = server_fields,
	.size = sizeof(struct server_keys),
	.instances = "instances",
	.number = INSTANCES_VARIABLE,
	.others = "program service process unit",
	.help = "a server of the app: one of exec, shell and tcp-echo"},
    {0}};

static int signal_of(int name)
{
	const int count = sizeof(signal_numbers) / sizeof(*signal_numbers);

	return signal_numbers[name % count];
}

int keys_stop_signal(const struct server_keys *keys)
{
	return signal_of(keys->stop_signal);
}

int keys_kill_signal(const struct server_keys *keys)
{
	return signal_of(keys->kill_signal);
}

/* Without "SIG", and a comma at its end. */
static void trim(const char *word, char name[static SIGNAL_SIZE])
{
	size_t length;

	if (!strncmp(word, "SIG", 3))
		word += 3;
	length = strcspn(word, ",");
	snprintf(name, SIGNAL_SIZE, "%.*s", (int)length, word);
}

int keys_signal(const char *word)
{
	char name[SIGNAL_SIZE], *end;
	long more;

	trim(word, name);
	for (int i = 1; i < SIGRTMIN; i++)
		if (sigabbrev_np(i) && !strcmp(sigabbrev_np(i), name))
			return i;
	if (strncmp(name, "RTMIN", 5) != 0)
		return 0;
	more = name[5] == '+' ? strtol(name + 6, &end, 10) : 0;
	if ((name[5] && name[5] != '+') || (name[5] && (!name[6] || *end)) ||
	    more < 0 || more > SIGRTMAX - SIGRTMIN)
		return 0;
	return SIGRTMIN + (int)more;
}

/* ---- what is the same ---- */

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

bool keys_same_list(const char *const *a, const char *const *b)
{
	static const char *const none[] = {NULL};

	a = a ? a : none;
	b = b ? b : none;
	while (*a && same_text(*a, *b))
		a++, b++;
	return *a == *b;
}

static bool same_enum(const struct config_field *field, int a, int b)
{
	if (field->names == signal_names)
		return signal_of(a) == signal_of(b);
	return a == b;
}

bool keys_same_value(const struct config_field *field, const void *a,
    const void *b)
{
	const void *in_a = (const char *)a + field->offset;
	const void *in_b = (const char *)b + field->offset;

	switch (field->type) {
	case CONFIG_STRING:
	case CONFIG_COMMAND:
		return same_text(*(const char *const *)in_a,
		    *(const char *const *)in_b);
	case CONFIG_LIST:
	case CONFIG_MAP:
		return keys_same_list(*(const char *const *const *)in_a,
		    *(const char *const *const *)in_b);
	case CONFIG_BOOL:
		return *(const bool *)in_a == *(const bool *)in_b;
	case CONFIG_ENUM:
		return same_enum(field, *(const int *)in_a, *(const int *)in_b);
	case CONFIG_INT:
	case CONFIG_DURATION:
	case CONFIG_SIZE:
		break;
	}
	return *(const int64_t *)in_a == *(const int64_t *)in_b;
}

bool keys_same(const struct config_field *fields, const void *a, const void *b)
{
	for (; fields->key; fields++)
		if (strcmp(fields->key, "instances") != 0 &&
		    !keys_same_value(fields, a, b))
			return false;
	return true;
}
