/*
 * Environment variables in a value: ${NAME}, ${NAME:default}, where a default
 * may have variables itself, ${NAME:-default} as in sh, and $$ for a dollar
 * sign; and a number of the section's own.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/printable.h"

enum { MAX_DEPTH = 8, MAX_NAME_BYTES = 255, MAX_DIGITS = 9 };

struct expansion {
	const struct expand_number *number; /* or NULL */
	char *text;
	size_t used, room;
	char *why;
	size_t why_size;
};

static int append(struct expansion *x, const char *text, size_t size)
{
	if (size > EXPAND_MAX_BYTES - x->used) {
		snprintf(x->why, x->why_size,
		    "with its variables the value is longer than %d bytes",
		    EXPAND_MAX_BYTES);
		return -EINVAL;
	}
	if (x->used + size > x->room) {
		size_t room = (x->used + size) * 2;
		char *larger = realloc(x->text, room);
		if (!larger)
			return -ENOMEM;
		x->text = larger;
		x->room = room;
	}
	if (size)
		memcpy(x->text + x->used, text, size);
	x->used += size;
	return 0;
}

static bool name_character(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (!first && c >= '0' && c <= '9');
}

/* The '}' that belongs to the "${" before text, NULL if there is none. */
static const char *closing(const char *text, const char *end)
{
	int depth = 1;

	for (; text < end; text++) {
		if (*text == '$' && end - text > 1 &&
		    (text[1] == '$' || text[1] == '{')) {
			depth += text[1] == '{';
			text++;
		} else if (*text == '}' && --depth == 0) {
			return text;
		}
	}
	return NULL;
}

static int expand(struct expansion *x, const char *text, const char *end,
    int depth);

/* What stands behind the number's name: nothing, a default, or what to add. */
static int append_number(struct expansion *x, const char *rest,
    const char *close)
{
	size_t digits = *rest == '+' ? strspn(rest + 1, "0123456789") : 0;
	int64_t value = x->number->value;
	char text[32];

	if (*rest == '+' &&
	    (!digits || digits > MAX_DIGITS || rest + 1 + digits != close)) {
		snprintf(x->why, x->why_size,
		    "behind '+' in ${%s+...} stands a number of up to %d "
		    "digits, as in ${%s+8080}",
		    x->number->name, MAX_DIGITS, x->number->name);
		return -EINVAL;
	}
	if (digits)
		value += strtoll(rest + 1, NULL, 10);
	snprintf(text, sizeof(text), "%" PRId64, value);
	return append(x, text, strlen(text));
}

/* One variable, of which text is what stands behind "${". */
static int variable(struct expansion *x, const char *text, const char *end,
    int depth, const char **behind)
{
	char name[MAX_NAME_BYTES + 1];
	size_t size = 0;

	while (text + size < end && name_character(text[size], size == 0))
		size++;
	const char *close = closing(text, end);
	if (!close) {
		snprintf(x->why, x->why_size,
		    "'${' without '}'; write ${NAME}, or $$ for a dollar sign");
		return -EINVAL;
	}
	bool is_number = x->number && size == strlen(x->number->name) &&
			 !strncmp(text, x->number->name, size);
	if (!size || size >= sizeof(name) ||
	    (text[size] != '}' && text[size] != ':' &&
		!(is_number && text[size] == '+'))) {
		snprintf(x->why, x->why_size,
		    "'${' needs the name of a variable, as in ${NAME} or "
		    "${NAME:default}; write $$ for a dollar sign");
		return -EINVAL;
	}
	memcpy(name, text, size);
	name[size] = '\0';
	*behind = close + 1;
	if (is_number && x->number->value)
		return append_number(x, text + size, close);
	const char *value = text[size] == '+' ? NULL : getenv(name);
	bool as_in_sh = text[size] == ':' && text[size + 1] == '-';
	if (value && (*value || !as_in_sh))
		return append(x, value, strlen(value));
	if (text[size] == ':')
		return expand(x, text + size + 1 + as_in_sh, close, depth + 1);
	if (is_number) {
		snprintf(x->why, x->why_size,
		    "there is no %s here: it is in sections that have "
		    "instances",
		    name);
		return -EINVAL;
	}
	snprintf(x->why, x->why_size,
	    "environment variable %s is not set, and there is no default as "
	    "in ${NAME:default}; to leave it to a shell write $${NAME}",
	    excerpt_of(name).text);
	return -EINVAL;
}

static int expand(struct expansion *x, const char *text, const char *end,
    int depth)
{
	int rc = 0;

	if (depth > MAX_DEPTH) {
		snprintf(x->why, x->why_size,
		    "more than %d variables within one another", MAX_DEPTH);
		return -EINVAL;
	}
	while (text < end && !rc) {
		const char *dollar = memchr(text, '$', (size_t)(end - text));
		const char *stop = dollar ? dollar : end;
		rc = append(x, text, (size_t)(stop - text));
		if (rc || !dollar)
			break;
		text = dollar + 1;
		if (text < end && *text == '{') {
			rc = variable(x, text + 1, end, depth, &text);
		} else {
			if (text < end && *text == '$')
				text++;
			rc = append(x, "$", 1);
		}
	}
	return rc;
}

int expand_text(struct arena *arena, const struct expand_number *number,
    const char *text, const char **result, char *why, size_t size)
{
	struct expansion x = {.number = number, .why = why, .why_size = size};

	*result = text;
	if (!strchr(text, '$'))
		return 0;
	int rc = expand(&x, text, text + strlen(text), 0);
	if (!rc) {
		*result = arena_copy(arena, x.text, x.used);
		if (!*result)
			rc = -ENOMEM;
	}
	free(x.text);
	return rc;
}
