/* Libraries that are loaded by who uses them first, and never unloaded. */
#ifndef CRATOS_LAZY_H
#define CRATOS_LAZY_H

#include <stdbool.h>
#include <stddef.h>

/* What is looked up, and the pointer to a function that it is put in. */
struct lazy_symbol {
	const char *name;
	void *place;
};

/* With the libraries that it needs; false, and why, if something is missing. */
bool lazy_load(const char *library, const struct lazy_symbol *symbols,
    size_t count, char *why, size_t size);

#endif
