/* A list in a text that may be too short for all of it: "a, b and 12 more". */
#ifndef CRATOS_APP_NAMES_H
#define CRATOS_APP_NAMES_H

#include <stddef.h>

struct names {
	char *text; /* the caller's, always a string */
	size_t size, used, left;
};

void names_init(struct names *names, char *text, size_t size);
void names_add(struct names *names, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* After the last one. */
void names_end(struct names *names);

#endif
