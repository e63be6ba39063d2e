/* Quotes in a value, which mean the same as in a command of exec_options. */
#ifndef CRATOS_CONFIG_QUOTES_H
#define CRATOS_CONFIG_QUOTES_H

#include <stdbool.h>
#include <stddef.h>

#include "config/arena.h"

/* A blank within a line. */
static inline bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * Where the comment in text begins: at a ';' after a blank, outside of quotes;
 * end if there is none. A quote that is not closed is a character like any.
 */
const char *quotes_comment(const char *text, const char *end);

/*
 * text without the quotes around it, if the whole of it stands in one pair of
 * quotes, else text itself. NULL: no memory.
 */
const char *quotes_unquote(struct arena *arena, const char *text);

/*
 * The words of text, split at blanks, NULL-terminated. Returns 0, -ENOMEM, or
 * -EINVAL for a quote that is not closed.
 */
int quotes_split(struct arena *arena, const char *text,
    const char *const **words);

#endif
