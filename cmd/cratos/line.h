/* What lines are put together from: for people, for journald, and as JSON. */
#ifndef CRATOS_CMD_LINE_H
#define CRATOS_CMD_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum level { LEVEL_ERROR = 3, LEVEL_WARNING = 4, LEVEL_INFO = 6 };

/* "error", "warn", "info". */
const char *level_name(enum level level);

/* Text in a room of a fixed size; what finds no place is left out. */
struct line {
	char *text;
	size_t size, used;
};

/* An empty line in an array. */
#define LINE_IN(array) ((struct line){.text = (array), .size = sizeof(array)})

void line_add(struct line *line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void line_bytes(struct line *line, const char *text, size_t size);

/* "19:40:46.589" */
void line_time(struct line *line, const struct timespec *time);

/* Text of one line: what is a control character becomes a question mark. */
void line_plain(struct line *line, const char *text);

/*
 * Anything, for a terminal: control characters, and what is no UTF-8, as \x1b.
 * With colour, the sequences that set it are left as they are, and end here.
 */
void line_escaped(struct line *line, const char *text, size_t size,
    bool colour);

/* {"time":"...","level":"...","event":"..." */
void line_begin_json(struct line *line, const struct timespec *time,
    enum level level, const char *event);

/* ,"key":"value", valid whatever value is; cut at 1000 bytes. */
void line_json(struct line *line, const char *key, const char *value);

/* The same of any bytes, all of them. Needs 6 bytes of room for each. */
void line_json_bytes(struct line *line, const char *key, const char *text,
    size_t size);

/*
 * The size of the UTF-8 character that text begins with, 0 if it is none. If
 * what is left may be the beginning of one, that is more than left.
 */
size_t line_character(const char *text, size_t left);

#endif
