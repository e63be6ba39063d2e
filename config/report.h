/* What is wrong: the errors of a config, in order, and not too many. */
#ifndef CRATOS_CONFIG_REPORT_H
#define CRATOS_CONFIG_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include <cratos/config.h>

struct source;

enum { REPORT_LIMIT = 100 };

/* All zero is an empty report. */
struct report {
	struct config_error errors[REPORT_LIMIT + 1];
	struct report_entry {
		const struct source *source;
		char *memory; /* of the texts */
	} entries[REPORT_LIMIT];
	size_t count; /* of errors, without the last line */
	size_t dropped; /* errors that are only counted */
	char more[64]; /* the last line's text */
	bool no_memory; /* for one of the errors */
};

/*
 * Adds an error, behind all of its file's lines up to this one. Control
 * characters are escaped here; fmt must not hold anything of any length.
 */
void report_add(struct report *report, const struct source *source, int line,
    const char *section, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* Whether an error there would be kept: if not, report_add needs no words. */
bool report_wants(const struct report *report, const struct source *source,
    int line);

/* The errors with the line for those that were dropped. */
const struct config_error *report_errors(const struct report *report,
    size_t *count);

void report_fini(struct report *report);

#endif
