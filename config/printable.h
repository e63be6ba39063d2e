/* Text of unknown origin, made fit to be printed. */
#ifndef CRATOS_CONFIG_PRINTABLE_H
#define CRATOS_CONFIG_PRINTABLE_H

#include <stddef.h>

/*
 * Copies text to to, with control characters and what is not UTF-8 written as
 * \n, \t or \xNN; cut to fit size (at least 4), with "..." at the end then.
 * Returns to.
 */
char *printable(char *to, size_t size, const char *text);

/* A short piece of a file for the middle of a sentence. */
struct excerpt {
	char text[48];
};
struct excerpt excerpt_of(const char *text);

#endif
