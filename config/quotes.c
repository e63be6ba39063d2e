/*
 * Quotes in a value. '...' keeps everything, "..." everything but \" and \\,
 * a backslash outside of quotes keeps the next character.
 */
#include <errno.h>
#include <string.h>

#include "config/quotes.h"

/* The quote that closes the one at text, NULL if there is none before end. */
static const char *quote_end(const char *text, const char *end)
{
	char quote = *text++;

	while (text < end && *text != quote) {
		if (quote == '"' && *text == '\\' && end - text > 1 &&
		    (text[1] == '"' || text[1] == '\\'))
			text++;
		text++;
	}
	return text < end ? text : NULL;
}

/* Whether a quote may open here: not in words like "don't". */
static bool opens(const char *text, const char *begin)
{
	if (*text == '"')
		return true;
	if (*text != '\'')
		return false;
	if (text == begin)
		return true;
	char c = text[-1];
	return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		 (c >= '0' && c <= '9'));
}

const char *quotes_comment(const char *text, const char *end)
{
	const char *begin = text;
	bool unclosed[2] = {false, false}; /* once is enough: no square time */

	for (; text < end; text++) {
		if (*text == ';' && text > begin && is_blank(text[-1]))
			return text;
		if (*text == '\\' && end - text > 1 && strchr("\\\"'", text[1]))
			text++;
		else if (opens(text, begin) && !unclosed[*text == '"']) {
			const char *close = quote_end(text, end);
			if (close)
				text = close;
			else
				unclosed[*text == '"'] = true;
		}
	}
	return end;
}

/* Copies what stands between two quotes. Returns behind the copy. */
static char *copy_quoted(char *to, const char *open, const char *close)
{
	for (const char *p = open + 1; p < close; p++) {
		if (*open == '"' && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
			p++;
		*to++ = *p;
	}
	return to;
}

const char *quotes_unquote(struct arena *arena, const char *text)
{
	const char *end = text + strlen(text);

	if (*text != '"' && *text != '\'')
		return text;
	const char *close = quote_end(text, end);
	if (!close || close + 1 != end)
		return text;
	char *copy = arena_alloc(arena, (size_t)(end - text));
	if (copy)
		*copy_quoted(copy, text, close) = '\0';
	return copy;
}

/* Copies one word without its quotes and ends it with NUL. Returns behind the
 * word in text, NULL for a quote that is not closed. */
static const char *copy_word(char **to, const char *text, const char *end)
{
	char *p = *to;

	while (text < end && !is_blank(*text)) {
		if (*text == '\'' || *text == '"') {
			const char *close = quote_end(text, end);
			if (!close)
				return NULL;
			p = copy_quoted(p, text, close);
			text = close + 1;
			continue;
		}
		if (*text == '\\' && end - text > 1)
			text++;
		*p++ = *text++;
	}
	*p++ = '\0';
	*to = p;
	return text;
}

int quotes_split(struct arena *arena, const char *text,
    const char *const **words)
{
	size_t size = strlen(text), count = 0;
	const char *end = text + size;

	/* No more words than every other character, and with its NUL none is
	 * longer than in the text. */
	const char **list = arena_alloc(arena, (size / 2 + 2) * sizeof(*list));
	char *copy = arena_alloc(arena, size + 1);
	if (!list || !copy)
		return -ENOMEM;
	for (;;) {
		while (text < end && is_blank(*text))
			text++;
		if (text == end)
			break;
		list[count++] = copy;
		text = copy_word(&copy, text, end);
		if (!text)
			return -EINVAL;
	}
	*words = list;
	return 0;
}
