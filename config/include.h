/* Files, and the files that they include. */
#ifndef CRATOS_CONFIG_INCLUDE_H
#define CRATOS_CONFIG_INCLUDE_H

#include <stddef.h>

#include "config/tree.h"

/* Reads a source's text into tree, then what it includes. 0 or -ENOMEM. */
int include_read(struct tree *tree, struct source *source, const char *text,
    size_t size);

#endif
