/*
 * The lines of a file, read with libinih.
 *
 * libinih cuts lines at 200 bytes, keys and section names at 50, counts lines
 * in its own way, tells of the first bad line only, of no section without
 * keys, takes an indented line for a part of the value before it, and a ';'
 * between quotes for a comment; and part of that depends on variables that
 * anyone in the process may change. So it gets its lines from a reader that
 * knows where it is: it keeps sections, comments and bad lines to itself,
 * takes off indentation and comment, and hands over each "key = value" line on
 * its own. In place of a line that libinih would not get right it hands
 * over a stand-in, and the handler takes key and value from the line itself.
 */
#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/lines.h"
#include "config/printable.h"
#include "config/quotes.h"

enum {
	MAX_KEY_BYTES = 255,
	INIH_KEY_BYTES = 49,
};

struct span {
	const char *begin, *end;
};

struct reader {
	struct tree *tree;
	struct source *source;
	const char *next, *end; /* what is still to be read */
	int line;
	/* The line that libinih has been given: */
	struct span key, value;
	bool stand_in; /* and not the line itself */
	bool handed; /* and it has not called the handler yet */
	int rc;
	char key_text[MAX_KEY_BYTES + 1];
	char value_text[EXPAND_MAX_BYTES + 1];
};

static size_t span_size(struct span span)
{
	return (size_t)(span.end - span.begin);
}

static struct span trim(struct span span)
{
	while (span.begin < span.end && is_blank(*span.begin))
		span.begin++;
	while (span.begin < span.end && is_blank(span.end[-1]))
		span.end--;
	return span;
}

/* to has room for the span and a NUL. */
static const char *copy(char *to, struct span span)
{
	memcpy(to, span.begin, span_size(span));
	to[span_size(span)] = '\0';
	return to;
}

/* What is wrong with the line, which stands in a section if any has begun. */
static void wrong(struct reader *reader, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void wrong(struct reader *reader, const char *key, const char *fmt, ...)
{
	const struct section *section = reader->tree->current;
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	findings_add(&reader->tree->findings, reader->source, reader->line,
	    section ? section->title : "", key, "%s", text);
}

/* ---- sections ------------------------------------------------------------ */

static int read_section(struct reader *reader, struct span line)
{
	const char *close = memchr(line.begin, ']', span_size(line));
	char title[512];

	reader->tree->current = NULL;
	if (!close) {
		wrong(reader, "", "'[' without ']'; write [section]");
		return tree_section(reader->tree, reader->source, reader->line,
		    NULL);
	}
	struct span name = trim((struct span){line.begin + 1, close});
	struct span rest = trim((struct span){close + 1, line.end});
	if (span_size(name) >= sizeof(title))
		name.end = name.begin + sizeof(title) - 1;
	copy(title, name);
	if (rest.begin < rest.end && *rest.begin != ';' && *rest.begin != '#')
		wrong(reader, "",
		    "text after [%s]; a section is a line of its own",
		    excerpt_of(title).text);
	else if (!*title)
		wrong(reader, "", "a section without a name; write [section]");
	return tree_section(reader->tree, reader->source, reader->line,
	    *title ? title : NULL);
}

/* ---- keys ---------------------------------------------------------------- */

/* The first control character, which must not be in a line outside of
 * comments; -1 if there is none. */
static int control_character(struct span span)
{
	for (const char *p = span.begin; p < span.end; p++) {
		unsigned char c = (unsigned char)*p;
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return c;
	}
	return -1;
}

/* Splits a line at the first '=' or ':' that is not in a comment. */
static bool split(struct reader *reader, struct span line, bool indented)
{
	const char *p = line.begin;

	while (p < line.end && *p != '=' && *p != ':' &&
	       !(*p == ';' && p > line.begin && is_blank(p[-1])))
		p++;
	if (p == line.end || *p == ';') {
		wrong(reader, "", "no '=' in the line; write key = value%s",
		    indented ? ", all of it in one line" : "");
		return false;
	}
	reader->key = trim((struct span){line.begin, p});
	p++;
	reader->value = trim((struct span){p, quotes_comment(p, line.end)});
	return true;
}

static bool check_key(struct reader *reader)
{
	int c = control_character(reader->key);

	if (!span_size(reader->key))
		wrong(reader, "", "no key before the '='; write key = value");
	else if (span_size(reader->key) > MAX_KEY_BYTES)
		wrong(reader, "", "the key has %zu bytes; %d are possible",
		    span_size(reader->key), MAX_KEY_BYTES);
	else if (c >= 0)
		wrong(reader, "",
		    "control character 0x%02x in the key; remove it", c);
	else
		return true;
	return false;
}

static bool check_value(struct reader *reader)
{
	int c = control_character(reader->value);
	const char *key = copy(reader->key_text, reader->key);

	if (span_size(reader->value) > EXPAND_MAX_BYTES)
		wrong(reader, key, "the value has %zu bytes; %d are possible",
		    span_size(reader->value), EXPAND_MAX_BYTES);
	else if (c >= 0)
		wrong(reader, key,
		    "control character 0x%02x in the value; remove it", c);
	else
		return true;
	/* The key is there all the same. */
	reader->rc =
	    tree_setting(reader->tree, reader->source, reader->line, key, NULL);
	return false;
}

/* Whether libinih finds the same key and value in the line as split did. */
static bool plain(const struct reader *reader, struct span line, size_t room)
{
	if (span_size(line) + 2 > room ||
	    span_size(reader->key) > INIH_KEY_BYTES)
		return false;
	for (const char *p = line.begin; p < line.end; p++) {
		/* Bytes from 0x80 on may be blanks in some locale. */
		if (*p == '"' || *p == '\'' || (*p < 0x20 && *p != '\t') ||
		    *p >= 0x7f)
			return false;
	}
	return true;
}

/* ---- libinih ------------------------------------------------------------- */

/* The next line, without what ends it. False at the end of the file. */
static bool next_line(struct reader *reader, struct span *line)
{
	size_t size = (size_t)(reader->end - reader->next);

	if (!size)
		return false;
	const char *p = memchr(reader->next, '\n', size);
	if (p)
		size = (size_t)(p - reader->next);
	while (size > 0 && reader->next[size - 1] == '\r')
		size--;
	*line = (struct span){reader->next, reader->next + size};
	reader->next = p ? p + 1 : reader->end;
	reader->line++;
	return true;
}

/* Deals with a line, or leaves it in key and value to be handed over. */
static bool read_line(struct reader *reader, struct span *line)
{
	if (memchr(line->begin, '\0', span_size(*line))) {
		wrong(reader, "", "a NUL byte in the line; this is not a text");
		return false;
	}
	bool indented = line->begin < line->end && is_blank(*line->begin);
	*line = trim(*line);
	if (line->begin == line->end || *line->begin == ';' ||
	    *line->begin == '#')
		return false;
	if (*line->begin == '[') {
		reader->rc = read_section(reader, *line);
		return false;
	}
	return split(reader, *line, indented) && check_key(reader) &&
	       check_value(reader);
}

/* The ini_reader: fills buffer like fgets(3). */
static char *give(char *buffer, int size, void *arg)
{
	struct reader *reader = arg;
	struct span line;

	assert(size >= (int)sizeof("k=v\n"));
	if (reader->handed)
		wrong(reader, "", "libinih does not understand the line");
	reader->handed = false;
	while (!reader->rc && next_line(reader, &line)) {
		if (!read_line(reader, &line))
			continue;
		reader->handed = true;
		line.end = reader->value.end;
		reader->stand_in = !plain(reader, line, (size_t)size);
		if (reader->stand_in) {
			strcpy(buffer, "k=v\n");
		} else {
			copy(buffer, line);
			strcat(buffer, "\n");
		}
		return buffer;
	}
	return NULL;
}

/* The ini_handler. */
static int take(void *arg, const char *section, const char *key,
    const char *value)
{
	struct reader *reader = arg;

	(void)section;
	if (!reader->handed || reader->rc)
		return 1;
	reader->handed = false;
	if (reader->stand_in) {
		key = copy(reader->key_text, reader->key);
		value = copy(reader->value_text, reader->value);
	}
	reader->rc = tree_setting(reader->tree, reader->source, reader->line,
	    key, value);
	return 1;
}

int lines_read(struct tree *tree, struct source *source, const char *text,
    size_t size)
{
	static const char mark[] = "\xef\xbb\xbf";

	if (size >= 2 &&
	    (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2))) {
		findings_add(&tree->findings, source, 1, "", "",
		    "this is UTF-16; save the file as UTF-8");
		return 0;
	}
	struct reader *reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->tree = tree;
	reader->source = source;
	reader->next = text;
	reader->end = text + size;
	if (size >= 3 && !memcmp(text, mark, 3))
		reader->next += 3;
	int rc = ini_parse_stream(give, reader, take, reader);
	/* -2 is the one error of libinih's that is not of a line. */
	rc = rc == -2 ? -ENOMEM : reader->rc;
	if (reader->line > 0)
		source->lines = reader->line;
	free(reader);
	return rc;
}
