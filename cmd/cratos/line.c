/* What lines are put together from. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cratos/line.h"

enum { VALUE_MAX = 1000 }; /* bytes of a JSON value, the rest is left out */

const char *level_name(enum level level)
{
	return level == LEVEL_ERROR	? "error"
	       : level == LEVEL_WARNING ? "warn"
					: "info";
}

void line_add(struct line *line, const char *fmt, ...)
{
	size_t room = line->size - 1 - line->used; /* 1: newline */
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line->text + line->used, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		line->used += (size_t)n < room ? (size_t)n : room - 1;
}

void line_bytes(struct line *line, const char *text, size_t size)
{
	size_t room = line->size - 1 - line->used;

	if (size > room)
		size = room;
	memcpy(line->text + line->used, text, size);
	line->used += size;
}

/* ---- for people ---- */

/* Many lines are of the same second. */
void line_time(struct line *line, const struct timespec *time)
{
	static _Thread_local time_t second;
	static _Thread_local char text[16];
	struct tm tm;

	if (!*text || second != time->tv_sec) {
		second = time->tv_sec;
		localtime_r(&second, &tm);
		strftime(text, sizeof(text), "%H:%M:%S", &tm);
	}
	line_add(line, "%s.%03ld", text, time->tv_nsec / 1000000);
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

void line_plain(struct line *line, const char *text)
{
	for (; *text; text++)
		line_bytes(line, is_control(*text) ? "?" : text, 1);
}

size_t line_character(const char *text, size_t left)
{
	const unsigned char *bytes = (const unsigned char *)text;
	unsigned char first = bytes[0];
	size_t size = first < 0x80		      ? 1
		      : first >= 0xc2 && first < 0xe0 ? 2
		      : first >= 0xe0 && first < 0xf0 ? 3
		      : first >= 0xf0 && first < 0xf5 ? 4
						      : 0;

	for (size_t i = 1; i < size && i < left; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	/* Too long for what they say, surrogates, and too great. */
	if (left > 1 && ((first == 0xe0 && bytes[1] < 0xa0) ||
			    (first == 0xed && bytes[1] > 0x9f) ||
			    (first == 0xf0 && bytes[1] < 0x90) ||
			    (first == 0xf4 && bytes[1] > 0x8f)))
		return 0;
	return size;
}

/* The size of a sequence that sets colours (SGR), 0 if it is none. */
static size_t colour_sequence(const char *text, size_t left)
{
	size_t size = 2;

	if (left < 3 || text[0] != '\033' || text[1] != '[')
		return 0;
	while (size < left && strchr("0123456789;:", text[size]) && text[size])
		size++;
	return size < left && text[size] == 'm' ? size + 1 : 0;
}

/* How many bytes from text on a terminal may get as they are. */
static size_t harmless(const char *text, size_t left, bool colour)
{
	size_t size = line_character(text, left);

	if (size > left)
		return 0;
	/* In UTF-8, too, the controls from 0x80 on drive some terminals. */
	if (size == 2 && text[0] == '\xc2' && (unsigned char)text[1] < 0xa0)
		return 0;
	if (size == 1 && is_control(*text) && *text != '\t')
		return colour ? colour_sequence(text, left) : 0;
	return size;
}

void line_escaped(struct line *line, const char *text, size_t size, bool colour)
{
	bool coloured = false;
	size_t n;

	for (size_t i = 0; i < size; i += n) {
		n = harmless(text + i, size - i, colour);
		coloured = coloured || (n && text[i] == '\033');
		if (n) {
			line_bytes(line, text + i, n);
			continue;
		}
		line_add(line, "\\x%02x", (unsigned char)text[i]);
		n = 1;
	}
	if (coloured)
		line_add(line, "\033[0m");
}

/* ---- JSON ---- */

/* Valid JSON for the character at text, which is put behind it; its size. */
static size_t json_character(struct line *line, const char *text, size_t left)
{
	size_t size = line_character(text, left);

	if (!size || size > left)
		line_add(line, "\\ufffd");
	else if (*text == '"' || *text == '\\')
		line_add(line, "\\%c", *text);
	else if (is_control(*text))
		line_add(line, "\\u%04x", (unsigned char)*text);
	else
		line_bytes(line, text, size);
	return size && size <= left ? size : 1;
}

void line_json(struct line *line, const char *key, const char *value)
{
	size_t left = strlen(value), size, begin;

	line_add(line, ",\"%s\":\"", key);
	for (begin = line->used; left; value += size, left -= size) {
		if (line->used - begin > VALUE_MAX) {
			line_add(line, "...");
			break;
		}
		size = json_character(line, value, left);
	}
	line_add(line, "\"");
}

void line_json_bytes(struct line *line, const char *key, const char *text,
    size_t size)
{
	line_add(line, ",\"%s\":\"", key);
	for (size_t i = 0; i < size;)
		i += json_character(line, text + i, size - i);
	line_add(line, "\"");
}

void line_begin_json(struct line *line, const struct timespec *time,
    enum level level, const char *event)
{
	char text[32];
	struct tm tm;

	gmtime_r(&time->tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	line_add(line,
	    "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":\"%s\"", text,
	    time->tv_nsec / 1000000, level_name(level), event);
}
