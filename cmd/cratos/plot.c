/*
 * The time line of an app's last start, and of its stop.
 *
 * An app runs for long, and starts and stops in moments: these are two panels,
 * each with a scale of its own, and what is between them is left out. A row is a
 * server, in the order of their starts; a bar is a state that it was in, and a
 * mark is where it failed.
 */
#include "cmd/cratos/plot.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum state { NONE, WAITING, STARTING, READY, STOPPING, RESTARTING, LOST };

struct change {
	int64_t us;
	enum state state;
};

struct row {
	char *name;
	struct change *changes;
	size_t count, size;
	int64_t *failures;
	size_t failure_count, failure_size;
	bool restarts; /* it has ended, and is to start again */
};

struct plot {
	struct row *rows;
	size_t count, size;
	bool begun;
	/* 0: it has not come so far */
	int64_t begin_us, up_us, stop_us, end_us, last_us;
	bool ready;
};

static const struct {
	const char *class, *word;
} states[] = {[NONE] = {"none", ""},
    [WAITING] = {"waiting", "waits"},
    [STARTING] = {"starting", "starts"},
    [READY] = {"ready", "is ready"},
    [STOPPING] = {"stopping", "stops"},
    [RESTARTING] = {"restarting", "waits for its restart"},
    [LOST] = {"lost", "has failed for good"}};

/* ---- events ---- */

/* Room for one more; false without memory. */
static bool reserve(void *array, size_t count, size_t *size, size_t element)
{
	void **place = array, *larger;
	size_t wanted = *size ? 2 * *size : 8;

	if (count < *size)
		return true;
	larger = realloc(*place, wanted * element);
	if (!larger)
		return false;
	*place = larger;
	*size = wanted;
	return true;
}

struct plot *plot_new(void)
{
	return calloc(1, sizeof(struct plot));
}

static void clear(struct plot *plot)
{
	for (size_t i = 0; i < plot->count; i++) {
		free(plot->rows[i].name);
		free(plot->rows[i].changes);
		free(plot->rows[i].failures);
	}
	free(plot->rows);
	*plot = (struct plot){0};
}

void plot_free(struct plot **plot)
{
	if (!*plot)
		return;
	clear(*plot);
	free(*plot);
	*plot = NULL;
}

/* "2026-11-29T07:26:06.345678Z", with as many digits as there are; 0: none. */
static int64_t time_of(const json_t *event)
{
	struct tm tm = {0};
	const char *at =
	    strptime(json_text_of(event, "time"), "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t us, unit = 100000;

	if (!at)
		return 0;
	us = (int64_t)timegm(&tm) * 1000000;
	if (*at == '.')
		for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10)
			us += (*at - '0') * unit;
	return us;
}

static struct row *row_of(struct plot *plot, const char *name)
{
	struct row *row;

	for (size_t i = 0; i < plot->count; i++)
		if (!strcmp(plot->rows[i].name, name))
			return &plot->rows[i];
	if (!reserve(&plot->rows, plot->count, &plot->size,
		sizeof(*plot->rows)))
		return NULL;
	row = &plot->rows[plot->count];
	*row = (struct row){.name = strdup(name)};
	if (!row->name)
		return NULL;
	plot->count++;
	return row;
}

static bool change(struct row *row, int64_t us, enum state state)
{
	if (!reserve(&row->changes, row->count, &row->size,
		sizeof(*row->changes)))
		return false;
	row->changes[row->count++] = (struct change){us, state};
	return true;
}

static bool fail(struct row *row, int64_t us)
{
	if (!reserve(&row->failures, row->failure_count, &row->failure_size,
		sizeof(*row->failures)))
		return false;
	row->failures[row->failure_count++] = us;
	return true;
}

static bool add_of_server(struct plot *plot, const char *name,
    const char *event, int64_t us)
{
	static const struct {
		const char *event;
		enum state state;
	} all[] = {{"starting", STARTING}, {"ready", READY},
	    {"stopping", STOPPING}, {"stopped", NONE}, {"lost", LOST}};
	struct row *row = row_of(plot, name);

	if (!row)
		return false;
	if (!strcmp(event, "failed"))
		return fail(row, us);
	/* What is told before it has stopped, counts from then on. */
	if (!strcmp(event, "restarting")) {
		row->restarts = true;
		return true;
	}
	if (!strcmp(event, "starting"))
		row->restarts = false;
	if (!strcmp(event, "stopped") && row->restarts)
		return change(row, us, RESTARTING);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (!strcmp(event, all[i].event))
			return change(row, us, all[i].state);
	return true;
}

static void add_of_app(struct plot *plot, const char *state, int64_t us)
{
	if (!strcmp(state, "running") && !plot->up_us)
		plot->up_us = us;
	if (!strcmp(state, "before-stop hooks") && !plot->stop_us)
		plot->stop_us = us;
	if (!strcmp(state, "done"))
		plot->end_us = us;
}

bool plot_add(struct plot *plot, const json_t *event)
{
	const char *what = json_text_of(event, "event");
	const char *state = json_text_of(event, "state");
	const char *server = json_text_of(event, "server");
	int64_t us = time_of(event);

	if (!us || !*state)
		return true; /* what is none, or a line that was printed */
	if (!strcmp(what, "state") && !strcmp(state, "preparing")) {
		clear(plot);
		plot->begun = true;
		plot->begin_us = us;
	}
	if (!plot->begun)
		return true;
	plot->last_us = us;
	if (!strcmp(what, "state"))
		add_of_app(plot, state, us);
	if (!strcmp(what, "stop-begins") && !plot->stop_us)
		plot->stop_us = us;
	return !*server || add_of_server(plot, server, what, us);
}

void plot_now(struct plot *plot)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	plot->last_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool plot_add_server(struct plot *plot, const char *name)
{
	return row_of(plot, name);
}

bool plot_has_begun(const struct plot *plot)
{
	return plot->begun;
}

/* ---- the picture ---- */

enum {
	ROW = 22, /* the height of a row, and of its bar */
	BAR = 14,
	TOP = 64, /* title and scale */
	BOTTOM = 48, /* the legend */
	MARGIN = 20,
	CHARACTER = 7,
	GAP = 36, /* between panels, with the sign of a break */
	PANEL = 620,
	SECOND_PANEL = 320,
	TICK = 76 /* between two of them, at least */
};

struct panel {
	int64_t from_us, to_us;
	double x, width;
	const char *title;
};

static const char style[] =
    "<style>\n"
    "svg { font: 12px ui-sans-serif, system-ui, sans-serif; }\n"
    ".back { fill: #ffffff; }\n"
    "text { fill: #1f2328; }\n"
    ".title { font-size: 15px; font-weight: 600; }\n"
    ".quiet { fill: #656d76; font-size: 11px; }\n"
    ".grid { stroke: #d8dee4; stroke-width: 1; }\n"
    ".stripe { fill: #f6f8fa; }\n"
    ".waiting, .restarting { fill: #d0d7de; }\n"
    ".starting { fill: #54aeff; }\n"
    ".ready { fill: #6bc46d; }\n"
    ".stopping { fill: #f0a64a; }\n"
    ".lost, .failure { fill: #e5534b; }\n"
    "@media (prefers-color-scheme: dark) {\n"
    ".back { fill: #0d1117; }\n"
    "text { fill: #e6edf3; }\n"
    ".quiet { fill: #8d96a0; }\n"
    ".grid { stroke: #30363d; }\n"
    ".stripe { fill: #161b22; }\n"
    ".waiting, .restarting { fill: #424a53; }\n"
    ".starting { fill: #388bfd; }\n"
    ".ready { fill: #3fa351; }\n"
    ".stopping { fill: #d18616; }\n"
    "}\n"
    "</style>\n";

static void print_xml(const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '<':
			fputs("&lt;", stdout);
			break;
		case '&':
			fputs("&amp;", stdout);
			break;
		case '"':
			fputs("&quot;", stdout);
			break;
		default:
			putchar((unsigned char)*text < ' ' ? '?' : *text);
		}
}

static double x_of(const struct panel *panel, int64_t us)
{
	if (us < panel->from_us)
		us = panel->from_us;
	if (us > panel->to_us)
		us = panel->to_us;
	return panel->x + panel->width * (double)(us - panel->from_us) /
			      (double)(panel->to_us - panel->from_us);
}

/* "250 us", "1.5 ms", "12 s" */
static const char *duration(int64_t us, char text[static 32])
{
	if (us < 1000)
		snprintf(text, 32, "%d us", (int)us);
	else if (us < 1000000)
		snprintf(text, 32, "%.3g ms", (double)us / 1e3);
	else
		snprintf(text, 32, "%.*f s", us < 100000000 ? 1 : 0,
		    (double)us / 1e6);
	return text;
}

/* 1, 2 or 5 times a power of ten. */
static int64_t step_of(const struct panel *panel)
{
	int64_t step = 1, span = panel->to_us - panel->from_us;
	int64_t ticks = (int64_t)panel->width / TICK;

	for (;;) {
		if (span / step <= ticks)
			return step;
		if (span / (2 * step) <= ticks)
			return 2 * step;
		if (span / (5 * step) <= ticks)
			return 5 * step;
		step *= 10;
	}
}

static void draw_scale(const struct panel *panel, size_t rows)
{
	double bottom = TOP + (double)rows * ROW;
	int64_t step = step_of(panel);
	char text[32];

	for (int64_t at = 0; panel->from_us + at <= panel->to_us; at += step) {
		double x = x_of(panel, panel->from_us + at);

		printf("<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" "
		       "y2=\"%.1f\"/>\n",
		    x, x, TOP - 4, bottom);
		printf("<text class=\"quiet\" x=\"%.1f\" y=\"%d\" "
		       "text-anchor=\"middle\">%s</text>\n",
		    x, TOP - 10, at ? duration(at, text) : panel->title);
	}
}

static void draw_bar(const struct panel *panel, double y, enum state state,
    int64_t from_us, int64_t to_us)
{
	double x = x_of(panel, from_us), width = x_of(panel, to_us) - x;
	bool thin = state == WAITING || state == RESTARTING;
	char text[32];

	if (to_us == from_us) /* as exactly as the clock is told */
		to_us++;
	if (state == NONE || to_us <= panel->from_us || from_us >= panel->to_us)
		return;
	/* What takes no time on this scale can still be seen. */
	if (width < 2 && state != WAITING)
		width = 2;
	printf("<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
	       "height=\"%d\" rx=\"2\"><title>%s for %s</title></rect>\n",
	    states[state].class, x, y + (thin ? BAR / 2.0 - 1 : 0), width,
	    thin ? 2 : BAR, states[state].word,
	    duration(to_us - from_us, text));
}

/* How long it took, where there is room for it. */
static void draw_time(const struct panel *panel, double y, int64_t from_us,
    int64_t to_us)
{
	double left = x_of(panel, from_us), right = x_of(panel, to_us);
	char text[32];

	if (to_us <= panel->from_us || from_us >= panel->to_us)
		return;
	duration(to_us - from_us, text);
	if (right - left < (double)strlen(text) * CHARACTER + 8)
		return;
	printf("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" "
	       "style=\"font-size:10px\">%s</text>\n",
	    (left + right) / 2, y + BAR - 3, text);
}

static void draw_row(const struct plot *plot, const struct panel *panel,
    const struct row *row, double y)
{
	for (size_t i = 0; i <= row->count; i++) {
		struct change from =
		    i ? row->changes[i - 1]
		      : (struct change){plot->begin_us, WAITING};
		int64_t to_us = i < row->count ? row->changes[i].us
				: plot->end_us ? plot->end_us
					       : panel->to_us;

		draw_bar(panel, y, from.state, from.us, to_us);
		if (from.state == STARTING || from.state == STOPPING)
			draw_time(panel, y, from.us, to_us);
	}
	for (size_t i = 0; i < row->failure_count; i++) {
		double x = x_of(panel, row->failures[i]);

		if (row->failures[i] < panel->from_us ||
		    row->failures[i] > panel->to_us)
			continue;
		printf("<path class=\"failure\" d=\"M%.1f %.1f l4 -5 l-8 0 z\">"
		       "<title>failed</title></path>\n",
		    x, y + 2);
	}
}

static void draw_legend(double y)
{
	static const enum state all[] = {WAITING, STARTING, READY, STOPPING,
	    LOST};
	double x = MARGIN;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		const char *word = states[all[i]].word;
		bool thin = all[i] == WAITING;

		printf("<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"14\" "
		       "height=\"%d\" rx=\"2\"/>\n",
		    states[all[i]].class, x, y - (thin ? 5 : 10),
		    thin ? 2 : 11);
		printf(
		    "<text class=\"quiet\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
		    x + 20, y, word);
		x += 36 + (double)strlen(word) * CHARACTER;
	}
	printf("<path class=\"failure\" d=\"M%.1f %.1f l4 -5 l-8 0 z\"/>\n",
	    x + 7, y - 2);
	printf("<text class=\"quiet\" x=\"%.1f\" y=\"%.1f\">fails</text>\n",
	    x + 20, y);
}

static double names_width(const struct plot *plot)
{
	size_t longest = 6;

	for (size_t i = 0; i < plot->count; i++)
		if (strlen(plot->rows[i].name) > longest)
			longest = strlen(plot->rows[i].name);
	return (double)longest * CHARACTER + 12;
}

/* One if it has not begun to stop, else two. */
static size_t make_panels(const struct plot *plot, struct panel panels[2])
{
	int64_t up_us = plot->up_us	? plot->up_us
			: plot->stop_us ? plot->stop_us
					: plot->last_us;
	int64_t end_us = plot->end_us ? plot->end_us : plot->last_us;
	double x = MARGIN + names_width(plot);

	panels[0] = (struct panel){.from_us = plot->begin_us,
	    /* A little of what comes after, so that it is seen to be ready. */
	    .to_us = up_us + (up_us - plot->begin_us) / 12 + 1,
	    .x = x,
	    .width = plot->stop_us ? PANEL : PANEL + GAP + SECOND_PANEL,
	    .title = "start"};
	if (panels[0].to_us <= panels[0].from_us) /* the clock was set */
		panels[0].to_us = panels[0].from_us + 1;
	if (plot->stop_us && panels[0].to_us > plot->stop_us)
		panels[0].to_us = plot->stop_us > plot->begin_us
				      ? plot->stop_us
				      : plot->begin_us + 1;
	panels[1] = (struct panel){.from_us = plot->stop_us -
					      (end_us - plot->stop_us) / 16 - 1,
	    .to_us = end_us + 1,
	    .x = x + PANEL + GAP,
	    .width = SECOND_PANEL,
	    .title = "stop"};
	if (panels[1].from_us < panels[0].to_us)
		panels[1].from_us = panels[0].to_us;
	if (panels[1].to_us <= panels[1].from_us)
		panels[1].to_us = panels[1].from_us + 1;
	return plot->stop_us ? 2 : 1;
}

static int64_t first_start(const struct row *row)
{
	return row->count ? row->changes[0].us : INT64_MAX;
}

/* In the order of their starts; stable. */
static void sort(const struct row **rows, const struct plot *plot)
{
	for (size_t i = 0; i < plot->count; i++) {
		const struct row *row = &plot->rows[i];
		size_t at = i;

		for (; at && first_start(rows[at - 1]) > first_start(row); at--)
			rows[at] = rows[at - 1];
		rows[at] = row;
	}
}

static void draw_title(const struct plot *plot, const char *title)
{
	char text[32];

	printf("<text class=\"title\" x=\"%d\" y=\"26\">", MARGIN);
	print_xml(*title ? title : "app");
	printf("<tspan class=\"quiet\" dx=\"10\">%zu server%s", plot->count,
	    plot->count == 1 ? "" : "s");
	if (plot->up_us)
		printf(", up in %s",
		    duration(plot->up_us - plot->begin_us, text));
	else if (!plot->stop_us)
		fputs(", starting still", stdout);
	if (plot->stop_us)
		printf(", %s %s", plot->end_us ? "down in" : "stopping for",
		    duration((plot->end_us ? plot->end_us : plot->last_us) -
				 plot->stop_us,
			text));
	puts("</tspan></text>");
}

void plot_draw(const struct plot *plot, const char *title)
{
	const struct row **rows = calloc(plot->count + 1, sizeof(*rows));
	struct panel panels[2];
	size_t count = make_panels(plot, panels);
	double width =
	    MARGIN + names_width(plot) + PANEL + GAP + SECOND_PANEL + MARGIN;
	double height = TOP + (double)plot->count * ROW + BOTTOM;

	if (!rows)
		return;
	sort(rows, plot);
	printf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" "
	       "height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\">\n%s",
	    width, height, width, height, style);
	printf("<rect class=\"back\" width=\"%.0f\" height=\"%.0f\"/>\n", width,
	    height);
	draw_title(plot, title);
	for (size_t i = 0; i < plot->count; i += 2)
		printf("<rect class=\"stripe\" x=\"%d\" y=\"%zu\" "
		       "width=\"%.0f\" height=\"%d\"/>\n",
		    MARGIN, TOP + i * ROW, width - 2 * MARGIN, ROW);
	for (size_t p = 0; p < count; p++)
		draw_scale(&panels[p], plot->count);
	if (count > 1)
		printf("<text class=\"quiet\" x=\"%.1f\" y=\"%d\" "
		       "text-anchor=\"middle\">...</text>\n",
		    panels[1].x - GAP / 2.0 - 8, TOP - 10);
	for (size_t i = 0; i < plot->count; i++) {
		double y = TOP + (double)i * ROW + (ROW - BAR) / 2.0;

		printf("<g><text x=\"%d\" y=\"%.1f\">", MARGIN + 4,
		    y + BAR - 3);
		print_xml(rows[i]->name);
		puts("</text>");
		for (size_t p = 0; p < count; p++)
			draw_row(plot, &panels[p], rows[i], y);
		puts("</g>");
	}
	draw_legend(height - 18);
	puts("</svg>");
	free(rows);
}
