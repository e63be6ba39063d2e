/*
 * Events as lines on standard error: for people on a terminal, for journald, or
 * as JSON. A line is one write(2), so that lines of children do not mix with it;
 * see writer.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cratos/output.h"
#include "cmd/cratos/print.h"
#include "cmd/cratos/writer.h"

enum { NAME_WIDTH_MAX = 31 }; /* of a server's name; the app's may be longer */

static void put_out(struct line *line)
{
	line->text[line->used++] = '\n';
	writer_put(line->text, line->used);
}

/* True if standard error is the very stream that journald made. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;

	return stream &&
	       sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == device &&
	       st.st_ino == inode;
}

static size_t print_lost(size_t count, char text[static WRITER_LINE],
    void *arg);

void printer_init(struct printer *printer, const struct run_options *options)
{
	const char *no_colour = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	*printer = (struct printer){.output = options->output,
	    .least = options->quiet ? LEVEL_WARNING : LEVEL_INFO,
	    .journal = is_journal()};
	printer->terminal = isatty(STDERR_FILENO);
	printer->colour = printer->terminal && !(no_colour && *no_colour) &&
			  !(term && !strcmp(term, "dumb"));
}

int printer_begin(struct printer *printer, struct appfile *file)
{
	printer->file = file;
	printer->name = strdup(file->app->name);
	if (!printer->name)
		return -ENOMEM;
	printer->name_width = (int)strnlen(printer->name, NAME_WIDTH_MAX);
	for (size_t i = 0; i < file->count; i++) {
		int width = (int)strlen(file->servers[i].name);

		if (printer->name_width < width)
			printer->name_width = width;
	}
	writer_begin(print_lost, printer);
	return 0;
}

void printer_fini(struct printer *printer)
{
	writer_end();
	free(printer->name);
}

const char *print_duration(int64_t ms, char buffer[static 32])
{
	if (ms < 1000)
		snprintf(buffer, 32, "%" PRId64 " ms", ms);
	else if (ms % 1000 >= 100)
		snprintf(buffer, 32, "%" PRId64 ".%" PRId64 " s", ms / 1000,
		    ms % 1000 / 100);
	else
		snprintf(buffer, 32, "%" PRId64 " s", ms / 1000);
	return buffer;
}

/* ---- what an event says ---- */

static void describe_running(struct line *text, struct printer *printer)
{
	char took[32];

	if (printer->has_run)
		return;
	printer->has_run = true;
	print_duration(printer->up_ms, took);
	if (printer->lost)
		line_add(text, "running after %s, without %zu that failed",
		    took, printer->lost);
	else
		line_add(text, "running, all ready after %s", took);
	line_add(text, "; to stop: %skill %d",
	    isatty(STDIN_FILENO) ? "Ctrl-C, or " : "", (int)getpid());
}

/* With the state, or before it if something has to end first. */
static void describe_stop(struct line *text, struct printer *printer)
{
	char within[32];

	if (printer->has_stopped)
		return;
	printer->has_stopped = true;
	line_add(text, "stopping, within %s",
	    print_duration(printer->file->app->stop_timeout_ms, within));
}

static void describe_state(struct line *text, struct printer *printer,
    const struct app_event *event)
{
	const struct appfile *file = printer->file;
	char took[32];

	switch (event->state) {
	case APP_STATE_STARTING:
		line_add(text, "starting %zu server%s", file->count,
		    file->count == 1 ? "" : "s");
		break;
	case APP_STATE_RUNNING:
		describe_running(text, printer);
		break;
	case APP_STATE_BEFORE_STOP:
		describe_stop(text, printer);
		break;
	case APP_STATE_DRAINING:
		if (file->app->drain_delay_ms)
			line_add(text, "draining, for %s",
			    print_duration(file->app->drain_delay_ms, took));
		break;
	default:
		break;
	}
}

/* While a new file is put in force: what stops is of the old one. */
static struct appfile_server *find_server(const struct printer *printer,
    const struct app_event *event)
{
	bool starts = event->type == APP_EVENT_SERVER_STARTING ||
		      event->type == APP_EVENT_SERVER_READY ||
		      event->type == APP_EVENT_SERVER_RETURNED;
	struct appfile *files[] = {printer->file, printer->next};
	struct appfile_server *server = NULL;

	for (int i = 0; i < 2 && !server; i++) {
		struct appfile *file = files[starts ? 1 - i : i];

		server = file ? appfile_find(file, event->server) : NULL;
	}
	return server;
}

static void describe_ready(struct line *text,
    const struct appfile_server *server, const struct app_event *event)
{
	char took[32];

	print_duration(event->took_ms, took);
	if (server->keys->oneshot) {
		line_add(text, "done after %s", took);
		return;
	}
	line_add(text, "ready after %s", took);
	if (event->endpoint)
		line_add(text, ": %s", event->endpoint);
	if (event->pid)
		line_add(text, ", pid %d", (int)event->pid);
}

static void describe_stopping(struct line *text, struct appfile_server *server,
    const struct app_event *event)
{
	/* Nothing of what has ended by itself, unless something is left. */
	server->stop_is_told = event->pid || !server->has_ended;
	if (!server->stop_is_told)
		return;
	line_add(text, "stopping");
	if (event->pid && server->keys->stop_exec)
		line_add(text, ": %s", server->keys->stop_exec);
	else if (event->pid)
		line_add(text, ": %s to pid %d",
		    signal_name(keys_stop_signal(server->keys)),
		    (int)event->pid);
}

/* A built-in does not return, and a one-shot is done when it does. */
static void describe_returned(struct line *text,
    const struct appfile_server *server)
{
	if (server->keys->tcp_echo || server->keys->oneshot)
		return;
	line_add(text, "exited with %s",
	    server->keys->success_exit ? "success" : "status 0");
	if (server->keys->on_exit == ON_EXIT_STOP)
		line_add(text, ": the app stops");
}

static void describe_server(struct line *text, struct appfile_server *server,
    const struct app_event *event)
{
	char took[32];

	switch (event->type) {
	case APP_EVENT_SERVER_STARTING:
		line_add(text, "starting: %s%s",
		    server->keys->tcp_echo ? "tcp-echo " : "",
		    appfile_command(server));
		break;
	case APP_EVENT_SERVER_READY:
		describe_ready(text, server, event);
		break;
	case APP_EVENT_SERVER_RETURNED:
		describe_returned(text, server);
		break;
	case APP_EVENT_SERVER_STOPPING:
		describe_stopping(text, server, event);
		break;
	case APP_EVENT_SERVER_STOPPED:
		if (server->stop_is_told)
			line_add(text, "stopped after %s",
			    print_duration(event->took_ms, took));
		break;
	default:
		break;
	}
}

static void describe_reloaded(struct line *text, const struct appfile *next)
{
	line_add(text, "reloaded: ");
	if (!next || !(next->added + next->changed + next->removed))
		line_add(text, "no server has changed");
	else
		line_add(text, "%zu added, %zu changed, %zu removed",
		    next->added, next->changed, next->removed);
}

/* What is nobody else's comes from the app, as the line says already. */
static void add_error(struct line *text, const struct error *err)
{
	if (strcmp(err->origin, "app") != 0)
		line_add(text, "%s: ", err->origin);
	line_add(text, "%s", err->text);
}

static void describe_failure(struct line *text, const struct app_event *event)
{
	const struct error *err = event->error;
	char delay[32];

	switch (event->type) {
	case APP_EVENT_SERVER_FAILED:
		line_add(text, "failed: %s", err->text);
		break;
	case APP_EVENT_SERVER_LOST:
		line_add(text,
		    "failed for good, the app goes on without it: %s",
		    err->text);
		break;
	case APP_EVENT_REGISTRAR_RETRY:
		add_error(text, err);
		line_add(text, "; tried again in %s",
		    print_duration(event->delay_ms, delay));
		break;
	case APP_EVENT_RELOAD_REFUSED:
		/* The app stops, and says so. */
		if (err->code != -ECANCELED)
			line_add(text,
			    "reload refused, the old configuration stays in "
			    "force: %s",
			    err->text);
		break;
	case APP_EVENT_STUCK:
		line_add(text, "%s%s", err->text,
		    event->state < APP_STATE_BEFORE_STOP ? ""
							 : "; ending the app");
		break;
	case APP_EVENT_SERVER_SLOW:
	case APP_EVENT_TIMEOUT:
		line_add(text, "%s", err->text);
		break;
	default:
		add_error(text, err);
		break;
	}
}

/* A reload is not begun while the app comes up, nor when it goes down. */
static const char *what_becomes_of(const struct printer *printer,
    const struct app_event *event)
{
	if (event->signal != SIGHUP || !printer->reloads)
		return "";
	if (event->state < APP_STATE_RUNNING)
		return ": the file is read again once the app runs";
	return event->state > APP_STATE_COMMITTING ? ": too late, the app stops"
						   : "";
}

/* " from pid 17 (bash)", as far as it is known. */
static void describe_sender(struct line *text, pid_t pid)
{
	char path[48], name[32] = "";
	ssize_t size = -1;
	int fd;

	if (!pid)
		return;
	line_add(text, " from pid %d", (int)pid);
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		size = read(fd, name, sizeof(name) - 1);
		close(fd);
	}
	name[strcspn(name, "\n")] = '\0';
	if (size <= 0)
		return; /* it has gone */
	line_add(text, " (");
	line_plain(text, name);
	line_add(text, ")");
}

static void describe(struct line *text, struct printer *printer,
    const struct app_event *event)
{
	struct appfile_server *server = find_server(printer, event);
	char delay[32];

	switch (event->type) {
	case APP_EVENT_STATE:
		describe_state(text, printer, event);
		break;
	case APP_EVENT_SIGNAL:
		line_add(text, "got %s", signal_name(event->signal));
		describe_sender(text, event->pid);
		line_add(text, "%s", what_becomes_of(printer, event));
		break;
	case APP_EVENT_STOP:
		describe_stop(text, printer);
		break;
	case APP_EVENT_REGISTERED:
		line_add(text, "registered after %s",
		    print_duration(event->took_ms, delay));
		break;
	case APP_EVENT_FORCED:
		line_add(text, "ended by force, by a second signal (%s)",
		    signal_name(event->signal));
		break;
	case APP_EVENT_SERVER_RESTARTING:
		line_add(text, "%srestarts in %s",
		    event->error ? "" : "exited with status 0; ",
		    print_duration(event->delay_ms, delay));
		break;
	case APP_EVENT_SERVER_ASKED:
		line_add(text, "asked to %s", event->text);
		break;
	case APP_EVENT_SERVER_BEATS:
		line_add(text, "has its heartbeat again");
		break;
	case APP_EVENT_ADMIN:
		line_add(text, "health and metrics: %s", event->endpoint);
		break;
	case APP_EVENT_SERVER_ADDED:
		line_add(text, "added");
		break;
	case APP_EVENT_SERVER_REMOVED:
		line_add(text, "removed");
		break;
	case APP_EVENT_RELOADED:
		describe_reloaded(text, printer->next);
		break;
	case APP_EVENT_REPORT:
		line_add(text, "%s", event->text);
		break;
	case APP_EVENT_READY:
		/* The first time it is told that all runs. */
		if (printer->unready)
			line_add(text, "ready again");
		break;
	default:
		if (event->error)
			describe_failure(text, event);
		else if (server)
			describe_server(text, server, event);
		break;
	}
}

static enum level level_of(const struct app_event *event)
{
	switch (event->type) {
	case APP_EVENT_SERVER_FAILED:
	case APP_EVENT_ERROR:
	case APP_EVENT_RELOAD_REFUSED:
	case APP_EVENT_STUCK:
	case APP_EVENT_FORCED:
		return LEVEL_ERROR;
	case APP_EVENT_SERVER_SLOW:
	case APP_EVENT_SERVER_SILENT:
	case APP_EVENT_MANAGER:
	case APP_EVENT_SERVER_LOST:
	case APP_EVENT_REGISTRAR_RETRY:
	case APP_EVENT_TIMEOUT:
		return LEVEL_WARNING;
	case APP_EVENT_SERVER_RESTARTING:
		return event->error ? LEVEL_WARNING : LEVEL_INFO;
	default:
		return LEVEL_INFO;
	}
}

/* ---- lines for people and for journald ---- */

/* What a line begins with. */
struct head {
	const struct timespec *time;
	enum level level;
	const char *word, *word_colour; /* for people, instead of the level */
	const char *name, *name_colour;
};

static void format_head(const struct printer *printer, struct line *line,
    const struct head *head)
{
	int pad =
	    printer->name_width - (int)strnlen(head->name, NAME_WIDTH_MAX);

	if (pad < 0) /* no server's */
		pad = 0;
	if (printer->journal) {
		line_add(line, "<%d>", (int)head->level);
		line_plain(line, head->name);
		line_add(line, ": ");
	} else if (printer->colour) {
		line_add(line, "\033[2m");
		line_time(line, head->time);
		line_add(line, "\033[0m %s%-5s\033[0m %s", head->word_colour,
		    head->word, head->name_colour);
		line_plain(line, head->name);
		line_add(line, "\033[0m%*s  ", pad, "");
	} else {
		line_time(line, head->time);
		line_add(line, " %-5s ", head->word);
		line_plain(line, head->name);
		line_add(line, "%*s  ", pad, "");
	}
}

static void format_line(const struct printer *printer, struct line *line,
    const struct timespec *time, enum level level, const char *name,
    const char *text)
{
	const struct head head = {.time = time,
	    .level = level,
	    .word = level_name(level),
	    .word_colour = level == LEVEL_ERROR	    ? "\033[1;31m"
			   : level == LEVEL_WARNING ? "\033[33m"
						    : "\033[32m",
	    .name = name,
	    .name_colour = "\033[1m"};

	format_head(printer, line, &head);
	line_plain(line, text);
}

static void print_line(const struct printer *printer,
    const struct timespec *time, enum level level, const char *name,
    const char *text)
{
	char room[WRITER_LINE];
	struct line line = LINE_IN(room);

	format_line(printer, &line, time, level, name, text);
	put_out(&line);
}

/* ---- JSON ---- */

static void print_json(const struct app_event *event, const char *text)
{
	char room[WRITER_LINE];
	struct line line = LINE_IN(room);

	line_begin_json(&line, &event->time, level_of(event),
	    app_event_name(event->type));
	line_json(&line, "state", app_state_name(event->state));
	if (event->server)
		line_json(&line, "server", event->server);
	if (event->pid)
		line_add(&line, ",\"pid\":%d", (int)event->pid);
	if (event->endpoint)
		line_json(&line, "endpoint", event->endpoint);
	if (event->signal)
		line_json(&line, "signal", signal_name(event->signal));
	if (event->error)
		line_json(&line, "origin", event->error->origin);
	if (*text)
		line_json(&line, "text", text);
	if (event->delay_ms)
		line_add(&line, ",\"delay_ms\":%" PRId64, event->delay_ms);
	line_add(&line, ",\"took_ms\":%" PRId64 "}", event->took_ms);
	put_out(&line);
}

/* ---- what servers print ---- */

/* For journald, a line may say itself how urgent it is: "<3>no disk". */
static enum level take_priority(struct printed *printed)
{
	const char *text = printed->text;
	bool has = !printed->goes_on && printed->size >= 3 && text[0] == '<' &&
		   text[1] >= '0' && text[1] <= '7' && text[2] == '>';

	if (!has)
		return LEVEL_INFO;
	printed->text += 3;
	printed->size -= 3;
	return (enum level)(text[1] - '0');
}

static void format_printed(const struct printer *printer, struct line *line,
    struct printed *printed)
{
	/* Not those of the levels. */
	static const char *const colours[] = {"\033[36m", "\033[35m",
	    "\033[34m", "\033[96m", "\033[95m", "\033[94m"};
	const struct head head = {.time = &printed->time,
	    .level = printer->journal ? take_priority(printed) : LEVEL_INFO,
	    .word = printed->goes_on ? "out+" : "out",
	    .word_colour = "\033[2m",
	    .name = printed->name,
	    .name_colour = colours[printed->colour % 6]};
	size_t size = printed->size;

	format_head(printer, line, &head);
	if (!printer->terminal) {
		line_bytes(line, printed->text, size);
		return;
	}
	/* As programs for terminals of old end lines. */
	if (size && printed->text[size - 1] == '\r')
		size--;
	line_escaped(line, printed->text, size, printer->colour);
}

void printer_output(const struct printer *printer, struct printed printed,
    struct line *lines)
{
	if (printer->output == OUTPUT_LINES) {
		format_printed(printer, lines, &printed);
	} else {
		line_begin_json(lines, &printed.time, LEVEL_INFO, "output");
		line_json(lines, "server", printed.name);
		line_json_bytes(lines, "text", printed.text, printed.size);
		line_add(lines, "%s}",
		    printed.goes_on ? ",\"goes_on\":true" : "");
	}
	lines->text[lines->used++] = '\n';
}

/* ---- what is no event ---- */

/* Only what stays as it is in the printer: this is called on other threads. */
static void format_note(const struct printer *printer, struct line *line,
    enum level level, const char *word, const char *text)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (printer->output == OUTPUT_LINES) {
		format_line(printer, line, &now, level, printer->name, text);
		return;
	}
	line_begin_json(line, &now, level, word);
	line_json(line, "text", text);
	line_add(line, "}");
}

static size_t print_lost(size_t count, char text[static WRITER_LINE], void *arg)
{
	struct line line = {.text = text, .size = WRITER_LINE};
	char words[80];

	snprintf(words, sizeof(words), "%zu line%s lost here: nobody read them",
	    count, count == 1 ? "" : "s");
	format_note(arg, &line, LEVEL_WARNING, "lines-lost", words);
	line.text[line.used++] = '\n';
	return line.used;
}

void print_problem(const struct printer *printer, const char *text)
{
	char room[WRITER_LINE];
	struct line line = LINE_IN(room);

	if (printer && printer->output == OUTPUT_JSON) {
		format_note(printer, &line, LEVEL_ERROR, "problem", text);
	} else {
		if (printer && printer->journal)
			line_add(&line, "<%d>", (int)LEVEL_ERROR);
		line_add(&line, "cratos: ");
		line_plain(&line, text);
	}
	put_out(&line);
}

/* ---- what the program calls ---- */

static void note_end(struct printer *printer, const struct app_event *event)
{
	struct appfile_server *server = find_server(printer, event);

	if (!server)
		return;
	if (event->type == APP_EVENT_SERVER_READY)
		server->has_ended = server->keys->oneshot;
	else
		server->has_ended = event->type != APP_EVENT_SERVER_STARTING;
}

/* What later lines depend on. */
static void note(struct printer *printer, const struct app_event *event)
{
	int width = event->server ? (int)strlen(event->server) : 0;

	if (printer->name_width < width)
		printer->name_width = width;
	if (event->type == APP_EVENT_SERVER_STARTING ||
	    event->type == APP_EVENT_SERVER_READY ||
	    event->type == APP_EVENT_SERVER_RETURNED ||
	    event->type == APP_EVENT_SERVER_FAILED ||
	    event->type == APP_EVENT_SERVER_RESTARTING)
		note_end(printer, event);
	if (event->type == APP_EVENT_SERVER_LOST)
		printer->lost++;
	if (event->type == APP_EVENT_UNREADY)
		printer->unready = true; /* why is told elsewhere */
	if (event->type != APP_EVENT_STATE)
		return;
	if (event->state <= APP_STATE_RUNNING && !printer->has_run)
		printer->up_ms += event->took_ms;
	if (event->state > APP_STATE_BEFORE_STOP)
		printer->down_ms += event->took_ms;
}

/* The last words of a run come before it is said how it has ended. */
static void print_last_words(struct printer *printer,
    const struct app_event *event)
{
	struct appfile_server *server = NULL;

	switch (event->type) {
	case APP_EVENT_SERVER_READY: /* a one-shot that is done, or not yet */
	case APP_EVENT_SERVER_RETURNED:
	case APP_EVENT_SERVER_FAILED:
	case APP_EVENT_SERVER_RESTARTING:
	case APP_EVENT_SERVER_STOPPED:
		server = find_server(printer, event);
		break;
	default:
		break;
	}
	if (server)
		output_settle(server->output, !event->pid);
}

void printer_event(const struct app_event *event, void *arg)
{
	struct printer *printer = arg;
	enum level level = level_of(event);
	char words[WRITER_LINE];
	struct line text = LINE_IN(words);

	note(printer, event);
	print_last_words(printer, event);
	/* A report is what somebody has asked for. */
	if (level > printer->least && event->type != APP_EVENT_REPORT)
		return;
	if (event->type == APP_EVENT_FORCED ||
	    (event->type == APP_EVENT_STUCK &&
		event->state >= APP_STATE_BEFORE_STOP))
		printer->ending = true;
	describe(&text, printer, event);
	text.text[text.used] = '\0';
	if (printer->output == OUTPUT_JSON)
		print_json(event, text.text);
	else if (text.used)
		print_line(printer, &event->time, level,
		    event->server ? event->server : printer->name, text.text);
	if (printer->ending)
		writer_flush();
}

void printer_end(const struct printer *printer, const struct error *err,
    size_t errors)
{
	enum level level = err->code ? LEVEL_ERROR : LEVEL_INFO;
	char words[WRITER_LINE], room[WRITER_LINE];
	struct line text = LINE_IN(words), line = LINE_IN(room);
	struct timespec now;
	char took[32];

	if (level > printer->least)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	print_duration(printer->down_ms, took);
	if (err->code) {
		line_add(&text, "failed: ");
		add_error(&text, err);
	} else {
		line_add(&text, "stopped after %s", took);
	}
	if (errors > 1)
		line_add(&text, "; %zu error%s more, see above", errors - 1,
		    errors > 2 ? "s" : "");
	text.text[text.used] = '\0';
	if (printer->output == OUTPUT_LINES) {
		print_line(printer, &now, level, printer->name, text.text);
		return;
	}
	line_begin_json(&line, &now, level, "end");
	line_json(&line, "text", text.text);
	line_add(&line, ",\"ok\":%s,\"took_ms\":%" PRId64 "}",
	    err->code ? "false" : "true", printer->down_ms);
	put_out(&line);
}
