/*
 * "cratos status" and the others: a table of commands, each with the options
 * that all of them have, and its own.
 */
#include "cmd/cratos/operate.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cratos/app.h>
#include <cratos/config.h>

#include "cmd/cratos/client.h"
#include "cmd/cratos/keys.h"
#include "cmd/cratos/line.h"
#include "cmd/cratos/main.h"
#include "cmd/cratos/plot.h"
#include "cmd/cratos/status.h"
#include "errgroup/clock.h"

enum {
	PAUSE_MS = 20, /* between two looks, at first */
	PAUSE_MAX_MS = 200,
	WATCH_MS = 1000,
	DEFAULT_TIMEOUT_MS = 60000,
	DEFAULT_LINES = 100,
	PATH_SIZE = 512
};

struct request {
	const char *command, *where, *title;
	bool json, watch, names, no_wait, follow;
	int64_t timeout_ms;
	long lines;
	int count;
	char **words;
	struct client client;
};

static int usage(const struct request *request, const char *text,
    const char *word)
{
	fprintf(stderr, "cratos: %s%s; see \"cratos %s --help\"\n", text,
	    word ? word : "", request->command);
	return CLIENT_USAGE;
}

/* ---- paths ---- */

/* What is not plain in a name is written as %XX. */
static void add_name(char path[static PATH_SIZE], const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._~";
	size_t used = strlen(path);

	for (; *name && used + 4 < PATH_SIZE; name++)
		used += (size_t)snprintf(path + used, PATH_SIZE - used,
		    strchr(plain, *name) ? "%c" : "%%%02X",
		    (unsigned char)*name);
}

static void server_path(char path[static PATH_SIZE], const char *name,
    const char *order)
{
	size_t used;

	strcpy(path, "/v1/servers/");
	add_name(path, name);
	used = strlen(path);
	snprintf(path + used, PATH_SIZE - used, "/%s", order);
}

/* ---- asking ---- */

static int tell(const struct request *request, const char *path)
{
	struct answer answer;
	int status = client_ask(&request->client, "POST", path, &answer, false);

	if (!status)
		status = answer_check(&answer);
	answer_fini(&answer);
	return status;
}

static int ask(const struct request *request, const char *path,
    struct answer *answer, bool quiet)
{
	int status = client_ask(&request->client, "GET", path, answer, quiet);

	if (status)
		return status;
	status = answer_check(answer);
	if (!status && !answer->value && !strcmp(path, "/v1/status")) {
		fprintf(stderr, "cratos: it answers, but not in JSON\n");
		status = CLIENT_NOT_SO;
	}
	return status;
}

static json_t *find_server(const struct answer *answer, const char *name)
{
	const json_t *servers = json_member(answer->value, "servers");

	for (size_t i = 0; i < json_count(servers); i++) {
		json_t *server = json_element(servers, i);

		if (!strcmp(json_text_of(server, "name"), name))
			return server;
	}
	return NULL;
}

static int no_server(const char *name)
{
	fprintf(stderr, "cratos: no server is called %s\n", name);
	return CLIENT_NO_SERVER;
}

static void pause_ms(int64_t ms)
{
	const struct timespec time = clock_timespec_ms(ms);

	nanosleep(&time, NULL);
}

/* ---- waiting ---- */

/* Whether what is waited for has come, or cannot come any more. */
typedef bool until_fn(const json_t *server, const void *arg, int *status);

static int wait_for(const struct request *request, const char *name,
    until_fn *until, const void *arg)
{
	int64_t deadline_ms = request->timeout_ms
				  ? clock_deadline_ms(request->timeout_ms)
				  : INT64_MAX;
	int64_t wait_ms = PAUSE_MS;

	for (;;) {
		struct answer answer;
		const json_t *server = NULL;
		bool over;
		int status = ask(request, "/v1/status", &answer, false);

		if (!status) {
			server = find_server(&answer, name);
			if (!server)
				status = no_server(name);
		}
		over = status || until(server, arg, &status);
		answer_fini(&answer);
		if (over)
			return status;
		if (clock_ms() >= deadline_ms) {
			fprintf(stderr, "cratos: %s: time has run out\n", name);
			return CLIENT_TIMEOUT;
		}
		pause_ms(wait_ms);
		wait_ms =
		    2 * wait_ms < PAUSE_MAX_MS ? 2 * wait_ms : PAUSE_MAX_MS;
	}
}

static bool is_up(const json_t *server)
{
	const char *state = json_text_of(server, "state");

	return (!strcmp(state, "ready") || !strcmp(state, "up")) &&
	       !json_bool_of(server, "leaving");
}

/* "ready" is "up" as well. */
static bool is_in_state(const json_t *server, const void *arg, int *status)
{
	const char *state = arg;

	*status = CLIENT_DONE;
	return !strcmp(state, "ready")
		   ? is_up(server)
		   : !strcmp(json_text_of(server, "state"), state);
}

static bool say_lost(const json_t *server)
{
	if (strcmp(json_text_of(server, "state"), "lost") != 0)
		return false;
	fprintf(stderr, "cratos: %s has failed for good: %s\n",
	    json_text_of(server, "name"),
	    json_text_of(json_member(server, "last_error"), "text"));
	return true;
}

/* Before it was told to start, or to start again. */
struct before {
	int64_t starts;
	bool again; /* else it may be up already */
};

static bool has_started(const json_t *server, const void *arg, int *status)
{
	const struct before *before = arg;
	bool started = json_number_of(server, "starts") > before->starts;

	*status = CLIENT_DONE;
	if (is_up(server) && (started || !before->again))
		return true;
	if (!started)
		return false; /* the app has yet to come to it */
	*status = CLIENT_NOT_SO;
	return say_lost(server);
}

static bool has_stopped(const json_t *server, const void *arg, int *status)
{
	(void)arg;
	*status = CLIENT_DONE;
	return !strcmp(json_text_of(server, "state"), "stopped");
}

/* ---- commands ---- */

static int look_before(const struct request *request, const char *name,
    struct before *before)
{
	struct answer answer;
	const json_t *server;
	int status = ask(request, "/v1/status", &answer, false);

	if (!status) {
		server = find_server(&answer, name);
		if (server) {
			before->starts = json_number_of(server, "starts");
		} else {
			status = no_server(name);
		}
	}
	answer_fini(&answer);
	return status;
}

/* start, stop, restart: each of the servers, one after the other. */
static int order_command(struct request *request)
{
	bool stops = !strcmp(request->command, "stop");
	bool restarts = !strcmp(request->command, "restart");
	int worst = CLIENT_DONE;

	if (!request->count)
		return usage(request, "which server?", NULL);
	for (int i = 0; i < request->count; i++) {
		const char *name = request->words[i];
		struct before before = {.again = restarts};
		char path[PATH_SIZE];
		int status = look_before(request, name, &before);

		server_path(path, name, request->command);
		if (!status)
			status = tell(request, path);
		if (!status && !request->no_wait)
			status = wait_for(request, name,
			    stops ? has_stopped : has_started, &before);
		worst = status ? status : worst;
	}
	return worst;
}

static int signal_command(struct request *request)
{
	char path[PATH_SIZE];
	size_t used;
	int number;

	if (request->count != 2)
		return usage(request, "a server and a signal are wanted", NULL);
	number = keys_signal(request->words[1]);
	if (!number)
		number = atoi(request->words[1]);
	if (number < 1 || number > SIGRTMAX)
		return usage(request, "no signal: ", request->words[1]);
	server_path(path, request->words[0], "signal");
	used = strlen(path);
	snprintf(path + used, sizeof(path) - used, "?signal=%d", number);
	return tell(request, path);
}

static int wait_command(struct request *request)
{
	const char *state = request->count > 1 ? request->words[1] : "ready";
	bool known = false;

	if (request->count < 1 || request->count > 2)
		return usage(request, "a server, and a state, are wanted",
		    NULL);
	for (int i = 0; i <= SERVER_LOST; i++)
		known = known ||
			!strcmp(state, server_state_name((enum server_state)i));
	if (!known)
		return usage(request, "no state: ", state);
	return wait_for(request, request->words[0], is_in_state, state);
}

/* reload, report, stop-app. */
static int app_command(struct request *request)
{
	if (request->count)
		return usage(request, "it is about the whole app, not ",
		    request->words[0]);
	if (!strcmp(request->command, "stop-app"))
		return tell(request, "/v1/stop");
	return tell(request,
	    !strcmp(request->command, "reload") ? "/v1/reload" : "/v1/report");
}

static int graph_command(struct request *request)
{
	struct answer answer;
	int status;

	if (request->count)
		return usage(request, "it is about the whole app, not ",
		    request->words[0]);
	status = ask(request, "/v1/graph", &answer, false);
	if (!status)
		status = print_help(answer.body);
	answer_fini(&answer);
	return status;
}

/* ---- what has happened, and what was printed ---- */

/* For a terminal, without what could do something to it. */
static void print_text(const char *text)
{
	size_t size = strlen(text);
	struct line line = {.size = 4 * size + 64};

	if (!isatty(STDOUT_FILENO)) {
		fputs(text, stdout);
		return;
	}
	line.text = malloc(line.size);
	if (!line.text)
		return;
	line_escaped(&line, text, size, true);
	fwrite(line.text, 1, line.used, stdout);
	free(line.text);
}

static void print_event(const json_t *event)
{
	const char *server = json_text_of(event, "server");
	const char *text = json_text_of(event, "text");
	int64_t pid = json_number_of(event, "pid");
	int64_t took_ms = json_number_of(event, "took_ms");
	bool is_state = !strcmp(json_text_of(event, "event"), "state");

	printf("%s  ", json_text_of(event, "time"));
	print_text(*server ? server : "-");
	printf("  %s", json_text_of(event, is_state ? "state" : "event"));
	if (took_ms && !is_state) /* else it is that of the one before */
		printf("  %" PRId64 " ms", took_ms);
	if (pid)
		printf("  pid %" PRId64, pid);
	if (*text) {
		fputs("  ", stdout);
		print_text(text);
	}
	putchar('\n');
}

static int print_line(const json_t *element, void *arg)
{
	const struct request *request = arg;
	const char *line = json_text(element);
	char *text;

	if (json_bool_of(element, "lost")) {
		fprintf(stderr, "cratos: some were lost here\n");
	} else if (line) {
		print_text(line);
		putchar('\n');
	} else if (request->json) {
		text = json_write(element);
		puts(text ? text : "");
		free(text);
	} else {
		print_event(element);
	}
	return fflush(stdout) || ferror(stdout) ? CLIENT_NOT_SO : CLIENT_DONE;
}

static int follow(struct request *request, const char *what)
{
	char path[PATH_SIZE + 32];

	snprintf(path, sizeof(path), "%s?last=%ld%s", what, request->lines,
	    request->follow ? "&follow" : "");
	return client_follow(&request->client, path, print_line, request);
}

static int logs_command(struct request *request)
{
	char path[PATH_SIZE];

	if (request->count != 1)
		return usage(request, "one server is wanted", NULL);
	server_path(path, request->words[0], "log");
	return follow(request, path);
}

static int events_command(struct request *request)
{
	if (request->count)
		return usage(request, "it is about the whole app, not ",
		    request->words[0]);
	request->lines = 0;
	return follow(request, "/v1/events");
}

/* ---- the time line ---- */

static int plot_line(const json_t *event, void *arg)
{
	return plot_add(arg, event) ? CLIENT_DONE : CLIENT_NOT_SO;
}

/* The events of a file, as "cratos run --json" prints them; "-" is stdin. */
static int plot_file(const struct request *request, const char *path,
    struct plot *plot)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	int status = CLIENT_DONE;

	if (!file) {
		fprintf(stderr, "cratos: %s: %m\n", path);
		return CLIENT_USAGE;
	}
	if (json_need_library())
		status = usage(request, error_of(-ENOPKG).text, NULL);
	while (!status && (length = getline(&line, &size, file)) > 0) {
		json_t *event = json_parse(line, (size_t)length);

		if (event)
			status = plot_line(event, plot);
		json_drop(&event);
	}
	free(line);
	if (file != stdin)
		fclose(file);
	return status;
}

/* What is in no event: the app's name, and who waits for its start still. */
static int plot_status(const struct request *request, struct plot *plot,
    char title[static 128])
{
	struct answer answer;
	const json_t *servers;
	int status = ask(request, "/v1/status", &answer, false);

	if (!status) {
		snprintf(title, 128, "%s",
		    json_text_of(json_member(answer.value, "app"), "name"));
		servers = json_member(answer.value, "servers");
		for (size_t i = 0; i < json_count(servers) && !status; i++)
			if (!plot_add_server(plot,
				json_text_of(json_element(servers, i), "name")))
				status = CLIENT_NOT_SO;
	}
	answer_fini(&answer);
	return status;
}

static int plot_app(struct request *request, struct plot *plot,
    char title[static 128])
{
	int status = client_find(&request->client, request->where);

	if (!status)
		status = client_follow(&request->client, "/v1/events",
		    plot_line, plot);
	plot_now(plot);
	return status ? status : plot_status(request, plot, title);
}

static int plot_command(struct request *request)
{
	struct plot *plot;
	char title[128] = "";
	int status;

	if (request->count > 1)
		return usage(request, "one file, not also ", request->words[1]);
	plot = plot_new();
	if (!plot)
		return CLIENT_NOT_SO;
	status = request->count ? plot_file(request, request->words[0], plot)
				: plot_app(request, plot, title);
	if (!status && !plot_has_begun(plot)) {
		fprintf(stderr, "cratos: no start of an app is in there\n");
		status = CLIENT_NOT_SO;
	}
	if (!status) {
		plot_draw(plot, request->title ? request->title : title);
		status = print_help("");
	}
	plot_free(&plot);
	return status;
}

/* For completion. */
static int print_names(const struct answer *answer)
{
	const json_t *servers = json_member(answer->value, "servers");

	for (size_t i = 0; i < json_count(servers); i++)
		puts(json_text_of(json_element(servers, i), "name"));
	return print_help("");
}

static int show_status(const struct request *request, bool again)
{
	struct answer answer;
	int status = ask(request, "/v1/status", &answer, again);

	for (int i = 0; !status && i < request->count; i++)
		if (!find_server(&answer, request->words[i]))
			status = no_server(request->words[i]);
	if (!status && request->names)
		status = print_names(&answer);
	else if (!status && request->json)
		status = print_help(answer.body);
	else if (!status)
		status = status_print(answer.value, request->words,
		    (size_t)request->count, request->watch);
	answer_fini(&answer);
	return status;
}

static int status_command(struct request *request)
{
	int status = show_status(request, false);

	while (request->watch && status <= CLIENT_NOT_SO) {
		pause_ms(WATCH_MS);
		status = show_status(request, true);
	}
	if (request->watch && status == CLIENT_NO_APP)
		puts("the app has ended");
	return status;
}

/* ---- the table ---- */

#define COMMON_HELP                                                              \
	"options:\n"                                                             \
	"  -s, --socket WHERE  the app's control socket, or the ini file that\n" \
	"                      names it; else the variable CRATOS_CONTROL\n"

#define EXIT_HELP                                                                  \
	"\n"                                                                       \
	"exit status: 0 done, 1 not, 2 wrong usage, 3 no app answers, 4 no such\n" \
	"server, 5 no right to, 124 time has run out\n"

static const struct command {
	const char *name;
	int (*run)(struct request *request);
	const char *options; /* of its own, as letters */
	const char *help;
} commands[] = {
    {"status", status_command, "jwa",
	"usage: cratos status [-s WHERE] [--json] [--names] [--watch] [SERVER...]\n"
	"\n"
	"What runs, since when, and if not, why not: a line a server. Exit status 1\n"
	"if the app, or one of the servers that are named, is not ready.\n"
	"\n" COMMON_HELP "      --json          what the app says, as JSON\n"
	"      --names         the names of the servers only\n"
	"  -w, --watch         anew each second, until the app has ended\n"
	"  -h, --help          this text\n" EXIT_HELP},
    {"start", order_command, "Nt",
	"usage: cratos start [-s WHERE] [--timeout TIME] [--no-wait] SERVER...\n"
	"\n"
	"Starts what was stopped, has failed for good, or waits for its restart, and\n"
	"waits until it is ready.\n"
	"\n" COMMON_HELP
	"      --timeout TIME  how long to wait; 1m, 0 is for ever\n"
	"      --no-wait       do not wait\n"
	"  -h, --help          this text\n" EXIT_HELP},
    {"stop", order_command, "Nt",
	"usage: cratos stop [-s WHERE] [--timeout TIME] [--no-wait] SERVER...\n"
	"\n"
	"Stops it, after what needs it, and waits until it has stopped. It stays so\n"
	"until it is told to start; the app goes on. See stop-app for that.\n"
	"\n" COMMON_HELP
	"      --timeout TIME  how long to wait; 1m, 0 is for ever\n"
	"      --no-wait       do not wait\n"
	"  -h, --help          this text\n" EXIT_HELP},
    {"restart", order_command, "Nt",
	"usage: cratos restart [-s WHERE] [--timeout TIME] [--no-wait] SERVER...\n"
	"\n"
	"Stops it and starts it again, with those that its restart_scope says, and\n"
	"waits until it is ready.\n"
	"\n" COMMON_HELP
	"      --timeout TIME  how long to wait; 1m, 0 is for ever\n"
	"      --no-wait       do not wait\n"
	"  -h, --help          this text\n" EXIT_HELP},
    {"signal", signal_command, "",
	"usage: cratos signal [-s WHERE] SERVER SIGNAL\n"
	"\n"
	"Sends a signal, by name or number, to the process group of a program.\n"
	"\n" COMMON_HELP "  -h, --help          this text\n" EXIT_HELP},
    {"wait", wait_command, "t",
	"usage: cratos wait [-s WHERE] [--timeout TIME] SERVER [STATE]\n"
	"\n"
	"Waits until the server is in the state: ready, which is the default, up,\n"
	"waiting, starting, failing, stopping, restarting, stopped or lost.\n"
	"\n" COMMON_HELP
	"      --timeout TIME  how long to wait; 1m, 0 is for ever\n"
	"  -h, --help          this text\n" EXIT_HELP},
    {"logs", logs_command, "fn",
	"usage: cratos logs [-s WHERE] [-f] [-n LINES] SERVER\n"
	"\n"
	"What the server has printed: the last 100 lines, as far as they are kept, which\n"
	"are 64 KiB; whatever its log key says, but for inherit and null.\n"
	"\n" COMMON_HELP
	"  -f, --follow        and what it prints from now on, until the app ends\n"
	"  -n, --lines LINES   how many; 0: all that are kept\n"
	"  -h, --help          this text\n" EXIT_HELP},
    {"events", events_command, "fj",
	"usage: cratos events [-s WHERE] [-f] [--json]\n"
	"\n"
	"What has happened in the app, as far as it is kept.\n"
	"\n" COMMON_HELP
	"  -f, --follow        and what happens from now on, until the app ends\n"
	"      --json          an object a line, as cratos run --json has them\n"
	"  -h, --help          this text\n" EXIT_HELP},
    {"plot", plot_command, "T",
	"usage: cratos plot [-s WHERE | FILE] [--title TEXT]\n"
	"\n"
	"Draws when each server waited, started, was ready and stopped, in the last start\n"
	"and the last stop, as an SVG picture: of an app that runs, or of the events that\n"
	"\"cratos run --json\" has written to FILE, - being standard input.\n"
	"\n" COMMON_HELP "      --title TEXT    instead of the app's name\n"
	"  -h, --help          this text\n" EXIT_HELP},
    {"reload", app_command, "",
	"usage: cratos reload [-s WHERE]\n"
	"\n"
	"Has the app read its file again, as SIGHUP does.\n"
	"\n" COMMON_HELP "  -h, --help          this text\n" EXIT_HELP},
    {"report", app_command, "",
	"usage: cratos report [-s WHERE]\n"
	"\n"
	"Has the app print where everything is, among its events, as SIGUSR1 does.\n"
	"\n" COMMON_HELP "  -h, --help          this text\n" EXIT_HELP},
    {"stop-app", app_command, "",
	"usage: cratos stop-app [-s WHERE]\n"
	"\n"
	"Stops the app, as SIGTERM does; does not wait for that.\n"
	"\n" COMMON_HELP "  -h, --help          this text\n" EXIT_HELP},
    {"graph", graph_command, "",
	"usage: cratos graph [-s WHERE]\n"
	"\n"
	"Prints who comes after whom, and how each is, for Graphviz:\n"
	"cratos graph | dot -Tsvg >app.svg\n"
	"\n" COMMON_HELP "  -h, --help          this text\n" EXIT_HELP},
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

const char *operate_help(const char *name)
{
	const struct command *command = find_command(name);

	return command ? command->help : NULL;
}

/* As in a file. */
static bool parse_time(const char *text, int64_t *ms)
{
	static const struct config_field fields[] =
	    {{.key = "time", .type = CONFIG_DURATION}, {0}};
	static const struct config_section sections[] =
	    {{.name = "options", .fields = fields, .size = sizeof(int64_t)},
		{0}};
	struct config *config = NULL;
	const int64_t *value;
	size_t errors;
	char file[128];
	int size =
	    snprintf(file, sizeof(file), "[options]\ntime = %.64s\n", text);

	config_parse("options", file, (size_t)size, sections, &config);
	if (!config)
		return false;
	config_errors(config, &errors);
	value = errors ? NULL : config_get(config, "options");
	if (value)
		*ms = *value;
	config_free(&config);
	return value && *text && !strpbrk(text, "\n;#");
}

static bool parse_lines(const char *text, long *lines)
{
	char *end;

	*lines = strtol(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end;
}

/* -1 to go on, else the exit status. */
static int parse(const struct command *command, int argc, char **argv,
    struct request *request)
{
	static const struct option longs[] = {{"socket", required_argument,
						  NULL, 's'},
	    {"help", no_argument, NULL, 'h'}, {"json", no_argument, NULL, 'j'},
	    {"watch", no_argument, NULL, 'w'},
	    {"no-wait", no_argument, NULL, 'N'},
	    {"follow", no_argument, NULL, 'f'},
	    {"names", no_argument, NULL, 'a'},
	    {"title", required_argument, NULL, 'T'},
	    {"lines", required_argument, NULL, 'n'},
	    {"timeout", required_argument, NULL, 't'}, {0}};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":s:hwfn:", longs, NULL)) != -1) {
		if (c == 'h')
			return print_help(command->help);
		if (c == ':')
			return usage(request, "something is missing after ",
			    argv[optind - 1]);
		if (c != 's' && (c == '?' || !strchr(command->options, c)))
			return usage(request, "unknown option ",
			    argv[optind - 1]);
		if (c == 's')
			request->where = optarg;
		if (c == 'T')
			request->title = optarg;
		if (c == 't' && !parse_time(optarg, &request->timeout_ms))
			return usage(request, "no time, such as 30s: ", optarg);
		request->json = request->json || c == 'j';
		request->watch = request->watch || c == 'w';
		request->names = request->names || c == 'a';
		request->no_wait = request->no_wait || c == 'N';
		request->follow = request->follow || c == 'f';
		if (c == 'n' && !parse_lines(optarg, &request->lines))
			return usage(request, "no number of lines: ", optarg);
	}
	request->count = argc - optind;
	request->words = argv + optind;
	return -1;
}

bool operate(const char *name, int argc, char **argv, int *status)
{
	const struct command *command = find_command(name);
	struct request request = {.command = name,
	    .timeout_ms = DEFAULT_TIMEOUT_MS,
	    .lines = DEFAULT_LINES};

	if (!command)
		return false;
	*status = parse(command, argc, argv, &request);
	if (*status < 0) {
		/* It finds the app itself, or needs none. */
		*status = command->run == plot_command
			      ? CLIENT_DONE
			      : client_find(&request.client, request.where);
		if (!*status)
			*status = command->run(&request);
	}
	return true;
}
