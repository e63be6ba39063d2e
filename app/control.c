/*
 * The control socket. What can be asked, and told:
 *
 *	GET	/v1/status			all of the app
 *	GET	/v1/graph			who comes after whom, for dot(1)
 *	GET	/v1/events			what has happened, JSON a line
 *	GET	/v1/servers/NAME/log?last=N	what it has printed, the same
 *	POST	/v1/servers/NAME/start		also stop, restart
 *	POST	/v1/servers/NAME/signal?signal=N
 *	POST	/v1/stop, /v1/reload, /v1/report
 *
 * Answers are JSON; an error is {"error":"..."}. With ?follow the last two go on
 * until the app ends.
 *
 * Rights. The file's mode says who can connect, and whoever can may read. To
 * tell something one has to be root, the user that the app runs as, or in the
 * group of writers; the kernel says who the peer is (SO_PEERCRED,
 * SO_PEERGROUPS), as it was when it connected.
 */
#include "app/control.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/json.h"
#include "app/record.h"
#include "errgroup/clock.h"
#include "server/account.h"
#include "server/http.h"
#include "server/listener.h"

enum { DEFAULT_MODE = 0600, GROUPS_MAX = 65536 };

static const char media_type[] = "application/json";

static const char servers_path[] = "/v1/servers/";

struct control {
	struct app *app;
	struct record *record;
	struct http *http;
	bool has_writers;
	gid_t writers;
};

/* ---- rights ---- */

static bool is_in_group(int fd, const struct ucred *peer, gid_t group)
{
	socklen_t size = 0;
	gid_t *groups;
	bool found = peer->gid == group;

	if (found || !getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) ||
	    errno != ERANGE || size > GROUPS_MAX * sizeof(gid_t))
		return found;
	groups = malloc(size);
	if (groups && !getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size))
		for (size_t i = 0; i < size / sizeof(*groups); i++)
			found = found || groups[i] == group;
	free(groups);
	return found;
}

static bool may_write(const struct control *control,
    const struct http_request *request)
{
	int fd = http_fd(request);
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return false;
	return peer.uid == 0 || peer.uid == geteuid() ||
	       (control->has_writers &&
		   is_in_group(fd, &peer, control->writers));
}

/* ---- answers ---- */

/* Takes the value. */
static void reply(struct http_request *request, int status, json_t *value)
{
	static const char out_of_memory[] = "{\"error\":\"out of memory\"}\n";
	char *text = json_write(value), *line = NULL;

	json_drop(&value);
	if (text && asprintf(&line, "%s\n", text) >= 0)
		http_reply(request, status, media_type, line, strlen(line));
	else
		http_reply(request, 500, media_type, out_of_memory,
		    strlen(out_of_memory));
	free(line);
	free(text);
}

static void refuse(struct http_request *request, int status, const char *text)
{
	json_t *value = json_new_object();

	json_put(&value, "error", json_new_text(text));
	reply(request, status, value);
}

static void accept_order(struct http_request *request)
{
	json_t *value = json_new_object();

	json_put(&value, "accepted", json_new_bool(true));
	reply(request, 202, value);
}

/* ---- status ---- */

static json_t *error_value(const struct error *err)
{
	json_t *value;

	if (!err->code)
		return json_new_text(NULL);
	value = json_new_object();
	json_put(&value, "errno", json_new_number(-err->code));
	json_put(&value, "text", json_new_text(err->text));
	return value;
}

static json_t *names_value(const char *const *names)
{
	json_t *value = json_new_array();

	for (; *names; names++)
		json_append(&value, json_new_text(*names));
	return value;
}

/* Of its main process; null if there is none. */
static json_t *memory_value(pid_t pid)
{
	long long pages = -1, resident = -1;
	char path[32];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	file = pid ? fopen(path, "re") : NULL;
	if (file) {
		if (fscanf(file, "%lld %lld", &pages, &resident) != 2)
			resident = -1;
		fclose(file);
	}
	return resident < 0 ? json_new_text(NULL)
			    : json_new_number(resident * sysconf(_SC_PAGESIZE));
}

static json_t *known_value(int64_t ms)
{
	return ms < 0 ? json_new_text(NULL) : json_new_number(ms);
}

static json_t *server_value(const struct server_status *server, int64_t now_ms)
{
	json_t *value = json_new_object();

	json_put(&value, "name", json_new_text(server->name));
	json_put(&value, "state",
	    json_new_text(server_state_name(server->state)));
	json_put(&value, "for_ms", json_new_number(now_ms - server->since_ms));
	json_put(&value, "pid",
	    server->pid ? json_new_number(server->pid) : json_new_text(NULL));
	json_put(&value, "memory", memory_value(server->pid));
	json_put(&value, "starts", json_new_number(server->starts));
	json_put(&value, "restarts", json_new_number(server->restarts));
	json_put(&value, "start_ms", known_value(server->start_ms));
	json_put(&value, "stop_ms", known_value(server->stop_ms));
	json_put(&value, "waits", json_new_text(server->waits));
	json_put(&value, "leaving", json_new_bool(server->leaving));
	json_put(&value, "heartbeat_missed", json_new_bool(server->silent));
	json_put(&value, "optional", json_new_bool(server->optional));
	json_put(&value, "last_error", error_value(&server->error));
	json_put(&value, "after", names_value(server->after));
	json_put(&value, "wants", names_value(server->wants));
	return value;
}

static json_t *app_value(const struct app *app, const struct app_status *status,
    int64_t now_ms)
{
	json_t *value = json_new_object();

	json_put(&value, "id", json_new_text(app_id(app)));
	json_put(&value, "name", json_new_text(app_name(app)));
	json_put(&value, "version", json_new_text(app_version(app)));
	json_put(&value, "pid", json_new_number(getpid()));
	json_put(&value, "state", json_new_text(app_state_name(status->state)));
	json_put(&value, "for_ms", json_new_number(now_ms - status->since_ms));
	json_put(&value, "ready", json_new_bool(status->ready));
	json_put(&value, "reloads", json_new_number(status->reloads));
	json_put(&value, "reload_error", error_value(&status->reload_error));
	return value;
}

static void serve_status(struct http_request *request, const struct app *app,
    const struct app_status *status)
{
	json_t *value = json_new_object(), *servers = json_new_array();
	int64_t now_ms = clock_ms();

	for (size_t i = 0; i < status->server_count; i++)
		json_append(&servers,
		    server_value(&status->servers[i], now_ms));
	json_put(&value, "app", app_value(app, status, now_ms));
	json_put(&value, "servers", servers);
	reply(request, 200, value);
}

/* ---- the graph ---- */

static const char *colour_of(enum server_state state)
{
	switch (state) {
	case SERVER_READY:
	case SERVER_UP:
		return "#b5e8bd";
	case SERVER_STARTING:
	case SERVER_WAITING:
	case SERVER_RESTARTING:
		return "#bfdcff";
	case SERVER_STOPPING:
		return "#ffdfa8";
	case SERVER_FAILING:
	case SERVER_LOST:
		return "#ffc0bb";
	default:
		return "#e1e4e8";
	}
}

/* As dot(1) has a text between quotes. */
static void write_id(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static void write_edges(FILE *out, const char *from, const char *const *names,
    const char *style)
{
	for (; *names; names++) {
		fputs("\t", out);
		write_id(out, from);
		fputs(" -> ", out);
		write_id(out, *names);
		fprintf(out, "%s;\n", style);
	}
}

static void write_graph(FILE *out, const struct app_status *status)
{
	fputs("// an arrow leads to what a server comes after\n"
	      "digraph app {\n"
	      "\trankdir=BT;\n"
	      "\tnode [shape=box, style=\"rounded,filled\", "
	      "fontname=\"sans-serif\"];\n",
	    out);
	for (size_t i = 0; i < status->server_count; i++) {
		const struct server_status *server = &status->servers[i];

		fputs("\t", out);
		write_id(out, server->name);
		fprintf(out, " [fillcolor=\"%s\", tooltip=\"%s\"];\n",
		    colour_of(server->state), server_state_name(server->state));
		write_edges(out, server->name, server->after, "");
		write_edges(out, server->name, server->wants,
		    " [style=dashed]");
	}
	fputs("}\n", out);
}

static void serve_graph(struct http_request *request,
    const struct app_status *status)
{
	struct http_page page;

	if (http_page_begin(&page))
		write_graph(page.out, status);
	if (!http_page_reply(&page, request, 200,
		"text/vnd.graphviz; charset=utf-8"))
		refuse(request, 500, "out of memory");
}

/* ---- what goes on ---- */

static uint64_t number_of(const struct http_request *request, const char *name)
{
	const char *text = http_argument(request, name);

	return text ? strtoull(text, NULL, 10) : 0;
}

struct reading {
	struct record *record;
	struct record_reader reader;
	bool follows;
	char server[64];
};

static ssize_t read_on(void *arg, char text[static HTTP_STREAM_BYTES])
{
	struct reading *reading = arg;
	size_t size = record_read(reading->record, &reading->reader, text,
	    HTTP_STREAM_BYTES);

	return size || reading->follows ? (ssize_t)size : -1;
}

/* server NULL: of the app. */
static void serve_stream(struct http_request *request, struct record *record,
    const char *server)
{
	struct reading *reading = calloc(1, sizeof(*reading));

	if (!reading) {
		refuse(request, 500, "out of memory");
		return;
	}
	reading->record = record;
	reading->follows = http_argument(request, "follow");
	if (server) {
		snprintf(reading->server, sizeof(reading->server), "%s",
		    server);
		reading->reader.server = reading->server;
	}
	record_begin(record, &reading->reader,
	    (size_t)number_of(request, "last"));
	http_stream(request, "application/x-ndjson", read_on, free, reading);
}

static bool is_server(const struct app_status *status, const char *name)
{
	for (size_t i = 0; i < status->server_count; i++)
		if (!strcmp(status->servers[i].name, name))
			return true;
	return false;
}

static void serve_log(struct http_request *request, struct record *record,
    const struct app_status *status)
{
	const char *at = http_path(request) + strlen(servers_path);
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)(strlen(at) - strlen("/log")),
	    at);
	if (is_server(status, name))
		serve_stream(request, record, name);
	else
		refuse(request, 404, "no server has that name");
}

/* ---- orders ---- */

static void answer_order(struct http_request *request, int ret)
{
	int status = ret == -ENOENT			    ? 404
		     : ret == -ESHUTDOWN		    ? 503
		     : ret == -EOPNOTSUPP || ret == -EINVAL ? 400
		     : ret == -ESRCH			    ? 409
							    : 500;

	if (!ret)
		accept_order(request);
	else
		refuse(request, status, error_of(ret).text);
}

static int send_signal(struct http_request *request, struct app *app,
    const char *name)
{
	const char *text = http_argument(request, "signal");
	char *end = NULL;
	long number = text ? strtol(text, &end, 10) : 0;

	if (!text || !*text || *end || number < 1 || number > SIGRTMAX)
		return error_set(-EINVAL,
		    "signal=N is wanted, with a number from 1 to %d", SIGRTMAX);
	return app_server_signal(app, name, (int)number);
}

/* "NAME/ORDER" */
static void order_server(struct http_request *request, struct app *app,
    const char *path)
{
	const char *order = strrchr(path, '/');
	char name[64];

	if (!order || order == path || (size_t)(order - path) >= sizeof(name)) {
		refuse(request, 404, "not /v1/servers/NAME/ORDER");
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(order - path), path);
	order++;
	if (!strcmp(order, "start"))
		answer_order(request, app_server_start(app, name));
	else if (!strcmp(order, "stop"))
		answer_order(request, app_server_stop(app, name));
	else if (!strcmp(order, "restart"))
		answer_order(request, app_server_restart(app, name));
	else if (!strcmp(order, "signal"))
		answer_order(request, send_signal(request, app, name));
	else
		refuse(request, 404,
		    "no such order; there are start, stop, restart and signal");
}

/* "/v1/servers/NAME/log" */
static bool is_log(const char *path)
{
	const char *last = strrchr(path, '/');

	return !strncmp(path, servers_path, strlen(servers_path)) &&
	       !strcmp(last, "/log") &&
	       (size_t)(last - path) >= strlen(servers_path);
}

static bool is_order(const char *path)
{
	if (is_log(path))
		return false;
	return !strcmp(path, "/v1/stop") || !strcmp(path, "/v1/reload") ||
	       !strcmp(path, "/v1/report") ||
	       !strncmp(path, servers_path, strlen(servers_path));
}

static void serve_order(struct http_request *request, struct app *app)
{
	const char *path = http_path(request);

	if (!strcmp(path, "/v1/stop"))
		answer_order(request, app_stop(app));
	else if (!strcmp(path, "/v1/reload"))
		answer_order(request, app_reload(app));
	else if (!strcmp(path, "/v1/report"))
		answer_order(request, app_report(app));
	else
		order_server(request, app, path + strlen(servers_path));
}

/* ---- requests ---- */

static void refuse_method(struct http_request *request, const char *methods)
{
	http_add_header(request, "Allow", methods);
	refuse(request, 405, "another method is wanted");
}

static void serve_page(struct http_request *request,
    const struct control *control)
{
	const char *path = http_path(request);
	struct app_status *status = app_status(control->app);

	if (!status)
		refuse(request, 500, "out of memory");
	else if (!strcmp(path, "/v1/status"))
		serve_status(request, control->app, status);
	else if (!strcmp(path, "/v1/graph"))
		serve_graph(request, status);
	else if (!strcmp(path, "/v1/events"))
		serve_stream(request, control->record, NULL);
	else if (is_log(path))
		serve_log(request, control->record, status);
	else
		refuse(request, 404, "no such page");
	app_status_free(&status);
}

static void serve(struct http_request *request, void *arg)
{
	const struct control *control = arg;
	const char *method = http_method(request);

	if (is_order(http_path(request))) {
		if (strcmp(method, "POST") != 0)
			refuse_method(request, "POST");
		else if (!may_write(control, request))
			refuse(request, 403,
			    "only root, the app's user and the group of "
			    "writers may do that");
		else
			serve_order(request, control->app);
	} else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		refuse_method(request, "GET, HEAD");
	} else {
		serve_page(request, control);
	}
}

/* ---- from begin to end ---- */

static int find_group(const char *name, gid_t *group)
{
	struct account account;
	int ret = account_find(NULL, name, &account);

	*group = account.gid;
	account_fini(&account);
	return ret;
}

/* Between nobody's and its own there is less right, not more. */
static int set_group(const struct admin_options *options)
{
	gid_t group;
	int ret;

	if (!options->control_group)
		return 0;
	ret = find_group(options->control_group, &group);
	if (ret)
		return ret;
	if (chown(options->control, (uid_t)-1, group))
		return error_set(-errno, "control %.100s: group %.32s: %m",
		    options->control, options->control_group);
	return 0;
}

static void tell_news(void *http)
{
	http_wake(http);
}

int control_check(const struct admin_options *options)
{
	char address[256];

	if (options->control_mode & ~(mode_t)0777)
		return error_set(-EINVAL, "control_mode: %o is more than 777",
		    (unsigned)options->control_mode);
	snprintf(address, sizeof(address), "unix:%s", options->control);
	return listener_check(address);
}

int control_open(struct control **control, const struct admin_options *options,
    struct app *app, struct record *record)
{
	struct control *new;
	char address[256];
	int ret = json_need_library();

	*control = NULL;
	if (ret)
		return ret;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->app = app;
	new->has_writers = options->control_writers;
	if (options->control_writers)
		ret = find_group(options->control_writers, &new->writers);
	snprintf(address, sizeof(address), "unix:%s", options->control);
	if (!ret)
		ret = http_open(&new->http, address,
		    options->control_mode ? options->control_mode
					  : DEFAULT_MODE,
		    serve, new);
	if (!ret) {
		new->record = record;
		record_on_news(record, tell_news, new->http);
		ret = set_group(options);
	}
	if (!ret)
		ret = http_start(new->http);
	if (ret)
		control_close(&new);
	*control = new;
	return ret;
}

void control_close(struct control **control)
{
	struct control *old = *control;

	if (!old)
		return;
	*control = NULL;
	if (old->record)
		record_on_news(old->record, NULL, NULL);
	http_close(&old->http);
	free(old);
}
