/*
 * What has happened in an app, and what its servers have printed: as much of it
 * as there is room for, for an operator who asks. Safe from any thread.
 */
#ifndef CRATOS_APP_RECORD_H
#define CRATOS_APP_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cratos/app.h>

enum {
	RECORD_EVENTS_BYTES = 1024 * 1024,
	RECORD_LINES_BYTES = 64 * 1024, /* of a server */
	RECORD_LINE = 4096, /* longer ones are cut into such */
	RECORD_READ = 6 * RECORD_LINE + 64, /* one as JSON, at most */
	RECORD_SERVERS = 20000
};

struct record;

/* NULL without memory. */
struct record *record_new(void);
void record_free(struct record **record);

void record_event(struct record *record, const struct app_event *event);

/* As admin_log. */
void record_print(struct record *record, const char *server, const char *text,
    size_t size);

/* Has fn(arg) called after each of these; NULL: no more. It must not block. */
void record_on_news(struct record *record, void (*fn)(void *arg), void *arg);

/* How far somebody has read. */
struct record_reader {
	const char *server; /* whose lines; NULL: the events */
	uint64_t after;
};

/* From the last `count` on; 0: from the first that is there. */
void record_begin(struct record *record, struct record_reader *reader,
    size_t count);

/*
 * Writes what comes next, JSON a line: objects, or texts; and {"lost":true} where
 * some are not there any more. Returns how many bytes that is, 0 if there is
 * nothing. size is RECORD_READ at least.
 */
size_t record_read(struct record *record, struct record_reader *reader,
    char *text, size_t size);

#endif
