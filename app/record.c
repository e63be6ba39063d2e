/*
 * Events are kept as the JSON that is asked for, lines as they are: there are
 * more of them than are ever read.
 *
 * `lock` guards the set of servers and their unfinished lines; a history has one
 * of its own, taken under it. Servers are never taken out: a removed one can be
 * asked for, too.
 */
#include "app/record.h"

#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "app/json.h"
#include "app/history.h"

struct printer {
	struct history *lines;
	size_t used; /* of a line that goes on */
	char *line; /* RECORD_LINE bytes, or NULL */
	char name[];
};

struct record {
	pthread_mutex_t lock;
	struct history *events;
	/* guarded by lock */
	void *printers; /* a tree, by name */
	size_t printer_count;
	void (*on_news)(void *arg);
	void *news_arg;
};

static int compare(const void *a, const void *b)
{
	const struct printer *printer = b;

	return strcmp(a, printer->name);
}

static int compare_printers(const void *a, const void *b)
{
	return compare(((const struct printer *)a)->name, b);
}

static void free_printer(void *arg)
{
	struct printer *printer = arg;

	history_free(&printer->lines);
	free(printer->line);
	free(printer);
}

struct record *record_new(void)
{
	struct record *record = calloc(1, sizeof(*record));

	if (!record)
		return NULL;
	pthread_mutex_init(&record->lock, NULL);
	record->events = history_new(RECORD_EVENTS_BYTES);
	if (!record->events)
		record_free(&record);
	return record;
}

void record_free(struct record **record)
{
	struct record *old = *record;

	if (!old)
		return;
	*record = NULL;
	history_free(&old->events);
	tdestroy(old->printers, free_printer);
	pthread_mutex_destroy(&old->lock);
	free(old);
}

void record_on_news(struct record *record, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&record->lock);
	record->on_news = fn;
	record->news_arg = arg;
	pthread_mutex_unlock(&record->lock);
}

/* With the lock held, so that who is told is there. */
static void tell_news(struct record *record)
{
	if (record->on_news)
		record->on_news(record->news_arg);
}

/* ---- events ---- */

static void put_text(json_t **value, const char *key, const char *text)
{
	if (text && *text)
		json_put(value, key, json_new_text(text));
}

static void put_number(json_t **value, const char *key, int64_t number)
{
	if (number)
		json_put(value, key, json_new_number(number));
}

/* The keys that "cratos run --json" has, as far as they are the app's. */
static json_t *event_value(const struct app_event *event)
{
	json_t *value = json_new_object();
	char time[64], text[32];
	struct tm tm;

	gmtime_r(&event->time.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(time, sizeof(time), "%s.%06ldZ", text,
	    event->time.tv_nsec / 1000);
	json_put(&value, "time", json_new_text(time));
	json_put(&value, "event", json_new_text(app_event_name(event->type)));
	json_put(&value, "state", json_new_text(app_state_name(event->state)));
	put_text(&value, "server", event->server);
	put_number(&value, "pid", event->pid);
	put_text(&value, "endpoint", event->endpoint);
	put_number(&value, "signal", event->signal);
	if (event->error)
		put_text(&value, "origin", event->error->origin);
	put_text(&value, "text",
	    event->error ? event->error->text : event->text);
	put_number(&value, "delay_ms", event->delay_ms);
	json_put(&value, "took_ms", json_new_number(event->took_ms));
	return value;
}

void record_event(struct record *record, const struct app_event *event)
{
	json_t *value = event_value(event);
	char *text = json_write(value);

	json_drop(&value);
	if (text)
		history_add(record->events, text, strlen(text));
	free(text);
	pthread_mutex_lock(&record->lock);
	tell_news(record);
	pthread_mutex_unlock(&record->lock);
}

/* ---- what servers print ---- */

/* With the lock held; NULL: it is not known, or there is no room for it. */
static struct printer *find_printer(struct record *record, const char *name,
    bool make)
{
	struct printer **found = tfind(name, &record->printers, compare);
	struct printer *printer;

	if (found)
		return *found;
	if (!make || record->printer_count == RECORD_SERVERS)
		return NULL;
	printer = calloc(1, sizeof(*printer) + strlen(name) + 1);
	if (!printer)
		return NULL;
	strcpy(printer->name, name);
	printer->lines = history_new(RECORD_LINES_BYTES);
	if (!printer->lines ||
	    !tsearch(printer, &record->printers, compare_printers)) {
		free_printer(printer);
		return NULL;
	}
	record->printer_count++;
	return printer;
}

static void end_line(struct printer *printer)
{
	history_add(printer->lines, printer->line ? printer->line : "",
	    printer->used);
	free(printer->line);
	printer->line = NULL;
	printer->used = 0;
}

static void keep(struct printer *printer, const char *text, size_t size)
{
	if (!printer->line)
		printer->line = malloc(RECORD_LINE);
	if (!printer->line)
		return;
	memcpy(printer->line + printer->used, text, size);
	/* It is a text from here on. */
	for (size_t i = 0; i < size; i++)
		if (!printer->line[printer->used + i])
			printer->line[printer->used + i] = '?';
	printer->used += size;
}

static void print(struct printer *printer, const char *text, size_t size)
{
	while (size) {
		const char *end = memchr(text, '\n', size);
		size_t length = end ? (size_t)(end - text) : size;
		bool whole = end;

		if (length > RECORD_LINE - printer->used) {
			length = RECORD_LINE - printer->used;
			whole = false;
		}
		keep(printer, text, length);
		if (whole || printer->used == RECORD_LINE)
			end_line(printer);
		length += whole;
		text += length;
		size -= length;
	}
}

void record_print(struct record *record, const char *server, const char *text,
    size_t size)
{
	struct printer *printer;

	pthread_mutex_lock(&record->lock);
	printer = find_printer(record, server, true);
	if (printer && size)
		print(printer, text, size);
	else if (printer && printer->used)
		end_line(printer);
	tell_news(record);
	pthread_mutex_unlock(&record->lock);
}

/* ---- reading ---- */

/* The lines of whom, or the events; with the lock held. NULL: nothing yet. */
static struct history *history_of(struct record *record, const char *server)
{
	struct printer *printer;

	if (!server)
		return record->events;
	printer = find_printer(record, server, false);
	return printer ? printer->lines : NULL;
}

void record_begin(struct record *record, struct record_reader *reader,
    size_t count)
{
	struct history *history;

	pthread_mutex_lock(&record->lock);
	history = history_of(record, reader->server);
	reader->after =
	    history ? history_last(history, count ? count : SIZE_MAX) : 0;
	pthread_mutex_unlock(&record->lock);
}

struct room {
	char *text;
	size_t size, used;
	bool quotes; /* else it is JSON already */
};

static const char lost_line[] = "{\"lost\":true}\n";

static bool put(const char *text, void *arg)
{
	struct room *room = arg;
	json_t *value = room->quotes ? json_new_text(text) : NULL;
	char *quoted = json_write(value);
	const char *line = !room->quotes ? text : quoted ? quoted : "\"\"";
	size_t length = strlen(line);
	bool fits = room->used + length + 1 + strlen(lost_line) <= room->size;

	/* One that never would is worth no stop. */
	if (length + 1 + strlen(lost_line) > room->size)
		fits = true;
	else if (fits)
		room->used +=
		    (size_t)sprintf(room->text + room->used, "%s\n", line);
	json_drop(&value);
	free(quoted);
	return fits;
}

size_t record_read(struct record *record, struct record_reader *reader,
    char *text, size_t size)
{
	struct room room = {.text = text,
	    .size = size - 1,
	    .quotes = reader->server};
	struct history *history;
	bool lost = false;

	pthread_mutex_lock(&record->lock);
	history = history_of(record, reader->server);
	if (history)
		history_read(history, &reader->after, put, &room, &lost);
	pthread_mutex_unlock(&record->lock);
	if (lost) {
		memmove(text + strlen(lost_line), text, room.used);
		memcpy(text, lost_line, strlen(lost_line));
		room.used += strlen(lost_line);
	}
	return room.used;
}
