/* Environment variables in a value. */
#ifndef CRATOS_CONFIG_EXPAND_H
#define CRATOS_CONFIG_EXPAND_H

#include <stddef.h>

#include "config/arena.h"

/* The longest value, before and after its variables are put in. */
enum { EXPAND_MAX_BYTES = 64 << 10 };

/*
 * text with ${NAME}, ${NAME:default} and $$ replaced; text itself if it has no
 * '$'. Returns 0, -ENOMEM, or -EINVAL with the words of what is wrong in why.
 */
int expand_text(struct arena *arena, const char *text, const char **result,
    char *why, size_t size);

#endif
