/*
 * Pages over HTTP about an app.
 *
 * All that they say is from app_status, a copy made at one moment; so they are
 * answered as well while the app's loop, or a server, hangs.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cratos/admin.h>

#include "app/control.h"
#include "app/front.h"
#include "app/metrics.h"
#include "app/record.h"
#include "errgroup/clock.h"
#include "server/http.h"
#include "server/listener.h"

static const char plain[] = "text/plain; charset=utf-8";

struct admin {
	const struct front *front; /* first */
	struct admin_options options; /* copied, but for the texts' const */
	struct record *record; /* NULL without a control socket */
	struct control *control;
	struct app *app;
	pthread_mutex_t lock;
	struct http *http; /* guarded by lock, but for the run */
};

/* ---- pages ---- */

static void reply(struct http_request *request, int status, const char *text)
{
	http_reply(request, status, plain, text, strlen(text));
}

/* It is ready, or the app goes on without it. */
static bool is_fine(const struct server_status *server, bool app_ready)
{
	return app_ready || server->state == SERVER_READY ||
	       server->state == SERVER_UP;
}

static void write_server(FILE *out, const struct server_status *server,
    bool fine)
{
	int64_t ms = clock_ms() - server->since_ms;

	fprintf(out, "[%c]%s %s for %lld.%03d s", fine ? '+' : '-',
	    server->name, server_state_name(server->state),
	    (long long)(ms / 1000), (int)(ms % 1000));
	if (*server->waits)
		fprintf(out, "%s%s",
		    server->state == SERVER_WAITING ? ", for " : ": ",
		    server->waits);
	else if (!fine && server->error.code)
		fprintf(out, ": %s", server->error.text);
	if (server->silent)
		fprintf(out, ", its heartbeat is missed");
	fputc('\n', out);
}

static void write_servers(FILE *out, const struct app_status *status)
{
	for (size_t i = 0; i < status->server_count; i++)
		write_server(out, &status->servers[i],
		    is_fine(&status->servers[i], status->ready));
	fprintf(out, "%s: %s\n", status->ready ? "ready" : "not ready",
	    app_state_name(status->state));
}

static void page_reply(struct http_page *page, struct http_request *request,
    int status, const char *type)
{
	if (!http_page_reply(page, request, status, type))
		reply(request, 500, "out of memory\n");
}

static void serve_ready(struct http_request *request,
    const struct app_status *status)
{
	struct http_page page;

	if (!http_argument(request, "verbose")) {
		reply(request, status->ready ? 200 : 503,
		    status->ready ? "ready\n" : "not ready\n");
		return;
	}
	if (http_page_begin(&page))
		write_servers(page.out, status);
	page_reply(&page, request, status->ready ? 200 : 503, plain);
}

static void serve_live(struct http_request *request,
    const struct app_status *status)
{
	for (size_t i = 0; i < status->server_count; i++)
		if (status->servers[i].silent) {
			char text[128];

			snprintf(text, sizeof(text),
			    "the heartbeat of %s is missed\n",
			    status->servers[i].name);
			reply(request, 503, text);
			return;
		}
	reply(request, 200, "alive\n");
}

static void serve_metrics(struct http_request *request,
    const struct admin *admin, const struct app_status *status)
{
	const char *accept = http_header(request, "Accept");
	bool open = accept && strstr(accept, "application/openmetrics-text");
	struct http_page page;

	if (http_page_begin(&page))
		metrics_write(page.out, admin->app, status, open);
	page_reply(&page, request, 200,
	    open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		 : "text/plain; version=0.0.4; charset=utf-8");
}

static void serve(struct http_request *request, void *arg)
{
	const struct admin *admin = arg;
	const char *path = http_path(request), *method = http_method(request);
	struct app_status *status;

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		http_add_header(request, "Allow", "GET, HEAD");
		reply(request, 405, "only GET and HEAD\n");
		return;
	}
	status = app_status(admin->app);
	if (!status)
		reply(request, 500, "out of memory\n");
	else if (!strcmp(path, "/livez"))
		serve_live(request, status);
	else if (!strcmp(path, "/readyz") || !strcmp(path, "/healthz"))
		serve_ready(request, status);
	else if (!strcmp(path, "/metrics"))
		serve_metrics(request, admin, status);
	else if (!strcmp(path, "/"))
		reply(request, 200, "/livez\n/readyz\n/healthz\n/metrics\n");
	else
		reply(request, 404,
		    "no such page; there are /livez, /readyz, /healthz and "
		    "/metrics\n");
	app_status_free(&status);
}

/* ---- from begin to end ---- */

static int open_pages(struct admin *admin)
{
	struct http *http;
	int ret = http_open(&http, admin->options.listen, 0, serve, admin);

	if (ret)
		return ret;
	ret = http_start(http);
	if (ret) {
		http_close(&http);
		return ret;
	}
	pthread_mutex_lock(&admin->lock);
	admin->http = http;
	pthread_mutex_unlock(&admin->lock);
	return 0;
}

static void end(struct admin *admin)
{
	struct http *http;

	pthread_mutex_lock(&admin->lock);
	http = admin->http;
	admin->http = NULL;
	pthread_mutex_unlock(&admin->lock);
	http_close(&http);
	control_close(&admin->control);
}

static int begin(struct admin *admin, struct app *app, char *url, size_t size)
{
	int ret = 0;

	admin->app = app;
	if (admin->options.control)
		ret = control_open(&admin->control, &admin->options, app,
		    admin->record);
	if (!ret && admin->options.listen)
		ret = open_pages(admin);
	if (ret)
		end(admin);
	return ret ? ret : admin_endpoint(admin, url, size);
}

static void event(struct admin *admin, const struct app_event *event)
{
	if (admin->record)
		record_event(admin->record, event);
}

static const struct front front = {begin, end, event};

void admin_log(struct admin *admin, const char *server, const char *text,
    size_t size)
{
	if (admin->record)
		record_print(admin->record, server, text, size);
}

static int check(const struct admin_options *options)
{
	int ret = 0;

	if (!options->listen && !options->control)
		return error_set(-EINVAL, "no address to listen on");
	if (options->listen)
		ret = listener_check(options->listen);
	if (!ret && options->control)
		ret = control_check(options);
	return ret;
}

static bool copy_text(const char **copy, const char *text)
{
	*copy = text ? strdup(text) : NULL;
	return *copy || !text;
}

struct admin *admin_new(const struct admin_options *options)
{
	int ret = check(options);
	struct admin *admin;

	if (ret) {
		errno = -ret;
		return NULL;
	}
	admin = calloc(1, sizeof(*admin));
	if (!admin)
		return NULL;
	admin->front = &front;
	pthread_mutex_init(&admin->lock, NULL);
	admin->options.control_mode = options->control_mode;
	if (!copy_text(&admin->options.listen, options->listen) ||
	    !copy_text(&admin->options.control, options->control) ||
	    !copy_text(&admin->options.control_group, options->control_group) ||
	    !copy_text(&admin->options.control_writers,
		options->control_writers) ||
	    (options->control && !(admin->record = record_new()))) {
		admin_free(&admin);
		errno = ENOMEM;
	}
	return admin;
}

void admin_free(struct admin **admin)
{
	struct admin *old = *admin;

	if (!old)
		return;
	*admin = NULL;
	assert(!old->http);
	pthread_mutex_destroy(&old->lock);
	record_free(&old->record);
	free((char *)old->options.listen);
	free((char *)old->options.control);
	free((char *)old->options.control_group);
	free((char *)old->options.control_writers);
	free(old);
}

/* What is bound is "tcp://..." to the listener. */
int admin_endpoint(struct admin *admin, char *url, size_t size)
{
	static const char tcp[] = "tcp://";
	const char *bound;
	size_t length;

	pthread_mutex_lock(&admin->lock);
	bound = admin->http		? http_url(admin->http)
		: admin->options.listen ? admin->options.listen
					: "";
	if (!strncmp(bound, tcp, strlen(tcp)))
		length = (size_t)snprintf(url, size, "http://%s",
		    bound + strlen(tcp));
	else
		length = (size_t)snprintf(url, size, "%s", bound);
	pthread_mutex_unlock(&admin->lock);
	return length < size ? 0 : -ENAMETOOLONG;
}
