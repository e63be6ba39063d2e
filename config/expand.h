/* Environment variables in a value. */
#ifndef CRATOS_CONFIG_EXPAND_H
#define CRATOS_CONFIG_EXPAND_H

#include <stddef.h>
#include <stdint.h>

#include "config/arena.h"

/* The longest value, before and after its variables are put in. */
enum { EXPAND_MAX_BYTES = 64 << 10 };

/* A variable of the section's own: the number of the instance. */
struct expand_number {
	const char *name;
	int64_t value; /* 0: the section has no instances */
};

/*
 * text with ${NAME}, ${NAME:default} and $$ replaced; text itself if it has no
 * '$'. number, which may be NULL, goes before the environment, and is also there
 * as ${NAME+8080}, the sum of the two. Returns 0, -ENOMEM, or -EINVAL with the words of what is wrong in why.
 */
int expand_text(struct arena *arena, const struct expand_number *number,
    const char *text, const char **result, char *why, size_t size);

#endif
