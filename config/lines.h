/* The lines of a file, read with libinih. */
#ifndef CRATOS_CONFIG_LINES_H
#define CRATOS_CONFIG_LINES_H

#include <stddef.h>

#include "config/tree.h"

/*
 * Puts the sections and keys of text into tree, and reports what is no line of
 * an ini file. Sets source->lines. Returns 0 or -ENOMEM.
 */
int lines_read(struct tree *tree, struct source *source, const char *text,
    size_t size);

#endif
