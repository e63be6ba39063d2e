/*
 * The table of "cratos status". Each column is as wide as what is in it; the last
 * one, which says what is waited for or how it has ended, has the rest of the
 * line.
 */
#include "cmd/cratos/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/cratos/client.h"
#include "cmd/cratos/line.h"

enum { COLUMNS = 7, CELL = 40, LAST_CELL = 400 };
enum { NAME, STATE, SINCE, PID, RESTARTS, MEMORY, WHY };

struct row {
	char cells[COLUMNS - 1][CELL], why[LAST_CELL];
	const char *colour;
};

static const char *const titles[COLUMNS] = {"SERVER", "STATE", "FOR", "PID",
    "RESTARTS", "MEMORY", "WHY"};

/* ---- cells ---- */

/* "250ms", "12s", "3m12s", "4h02m", "5d03h" */
static void write_time(char *text, size_t size, int64_t ms)
{
	int64_t s = ms / 1000;

	if (ms < 1000)
		snprintf(text, size, "%" PRId64 "ms", ms);
	else if (s < 60)
		snprintf(text, size, "%" PRId64 "s", s);
	else if (s < 3600)
		snprintf(text, size, "%" PRId64 "m%02" PRId64 "s", s / 60,
		    s % 60);
	else if (s < 86400)
		snprintf(text, size, "%" PRId64 "h%02" PRId64 "m", s / 3600,
		    s / 60 % 60);
	else
		snprintf(text, size, "%" PRId64 "d%02" PRId64 "h", s / 86400,
		    s / 3600 % 24);
}

static void write_size(char *text, size_t size, int64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes / 1024;
	size_t unit = 0;

	while (value >= 1000 && unit < 3) {
		value /= 1024;
		unit++;
	}
	snprintf(text, size, value < 10 && unit ? "%.1f %s" : "%.0f %s", value,
	    units[unit]);
}

static bool is_ready(const char *state)
{
	return !strcmp(state, "ready") || !strcmp(state, "up");
}

static const char *colour_of(const char *state)
{
	if (is_ready(state))
		return "\033[32m";
	if (!strcmp(state, "failing") || !strcmp(state, "lost"))
		return "\033[31m";
	return !strcmp(state, "stopped") ? "\033[2m" : "\033[33m";
}

/* What it waits for; else, unless it is well, how it has ended last. */
static void write_why(const json_t *server, char *text, size_t size)
{
	const char *state = json_text_of(server, "state");
	const char *waits = json_text_of(server, "waits");
	const char *error =
	    json_text_of(json_member(server, "last_error"), "text");
	struct line line = {.text = text, .size = size - 1};

	if (json_bool_of(server, "heartbeat_missed")) {
		snprintf(text, size, "its heartbeat is missed");
		return;
	}
	if (*waits && !strcmp(state, "waiting"))
		line_plain(&line, "waits for ");
	else if (*error && !*waits && !strcmp(state, "starting"))
		line_plain(&line, "the last time: ");
	else if (*error && !*waits && is_ready(state))
		line_plain(&line, "before: ");
	if (*waits)
		line_plain(&line, waits);
	else if (*error && strcmp(state, "stopped") != 0)
		line_plain(&line, error);
	text[line.used] = '\0';
}

/* A dash where there is nothing. */
static void fill(struct row *row, const json_t *server)
{
	int64_t pid = json_number_of(server, "pid");
	int64_t memory = json_number_of(server, "memory");
	struct line name = {.text = row->cells[NAME], .size = CELL - 1};

	line_plain(&name, json_text_of(server, "name"));
	row->cells[NAME][name.used] = '\0';
	snprintf(row->cells[STATE], CELL, "%.30s",
	    json_text_of(server, "state"));
	write_time(row->cells[SINCE], CELL, json_number_of(server, "for_ms"));
	strcpy(row->cells[PID], "-");
	strcpy(row->cells[MEMORY], "-");
	if (pid)
		snprintf(row->cells[PID], CELL, "%" PRId64, pid);
	if (memory)
		write_size(row->cells[MEMORY], CELL, memory);
	snprintf(row->cells[RESTARTS], CELL, "%" PRId64,
	    json_number_of(server, "restarts"));
	write_why(server, row->why, sizeof(row->why));
	row->colour = colour_of(row->cells[STATE]);
}

/* ---- the table ---- */

/* 0: no terminal, hence no end. */
static int terminal_width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		return 0;
	return size.ws_col;
}

static bool has_colour(void)
{
	const char *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no && *no);
}

static bool is_number(int column)
{
	return column >= SINCE && column <= MEMORY;
}

static void print_cell(const char *text, int column, int width,
    const char *colour)
{
	printf("%s%s%*s%s", column ? "  " : "", colour,
	    is_number(column) ? width : -width, text, *colour ? "\033[0m" : "");
}

static void print_rows(const struct row *rows, size_t count)
{
	int widths[COLUMNS - 1], used = 0, terminal = terminal_width();
	bool colour = has_colour();

	for (int c = 0; c < COLUMNS - 1; c++) {
		widths[c] = (int)strlen(titles[c]);
		for (size_t i = 0; i < count; i++)
			if ((int)strlen(rows[i].cells[c]) > widths[c])
				widths[c] = (int)strlen(rows[i].cells[c]);
		used += widths[c] + 2;
	}
	for (int c = 0; c < COLUMNS - 1; c++)
		print_cell(titles[c], c, widths[c], "");
	printf("  %s\n", titles[WHY]);
	for (size_t i = 0; i < count; i++) {
		int room = terminal > used + 10 ? terminal - used : LAST_CELL;

		for (int c = 0; c < COLUMNS - 1; c++)
			print_cell(rows[i].cells[c], c, widths[c],
			    colour && c == STATE ? rows[i].colour : "");
		printf("%s%.*s\n", *rows[i].why ? "  " : "", room, rows[i].why);
	}
}

static void print_app(const json_t *app)
{
	const char *error =
	    json_text_of(json_member(app, "reload_error"), "text");
	const char *version = json_text_of(app, "version");
	char since[CELL];
	char room[1024];
	struct line line = LINE_IN(room);

	write_time(since, sizeof(since), json_number_of(app, "for_ms"));
	line_plain(&line, json_text_of(app, "name"));
	line_add(&line, "%s", *version ? " " : "");
	line_plain(&line, version);
	line_add(&line, ": ");
	line_plain(&line, json_text_of(app, "state"));
	line_add(&line, " for %s, %sready, pid %" PRId64, since,
	    json_bool_of(app, "ready") ? "" : "not ",
	    json_number_of(app, "pid"));
	if (*error) {
		line_add(&line, "; the last reload was refused: ");
		line_plain(&line, error);
	}
	printf("%.*s\n", (int)line.used, line.text);
}

static bool is_named(const json_t *server, char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(json_text_of(server, "name"), names[i]))
			return true;
	return !count;
}

int status_print(const json_t *status, char *const *names, size_t count,
    bool watch)
{
	const json_t *app = json_member(status, "app");
	const json_t *servers = json_member(status, "servers");
	size_t all = json_count(servers), n = 0;
	struct row *rows = calloc(all + 1, sizeof(*rows));
	bool well = count || json_bool_of(app, "ready");

	if (!rows) {
		fprintf(stderr, "cratos: out of memory\n");
		return CLIENT_NOT_SO;
	}
	for (size_t i = 0; i < all; i++) {
		const json_t *server = json_element(servers, i);

		if (!is_named(server, names, count))
			continue;
		fill(&rows[n++], server);
		well =
		    well && (!count || is_ready(json_text_of(server, "state")));
	}
	if (watch && isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	print_app(app);
	print_rows(rows, n);
	free(rows);
	fflush(stdout);
	return well ? CLIENT_DONE : CLIENT_NOT_SO;
}
