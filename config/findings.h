/* What is wrong: the errors of a config, in order, and not too many. */
#ifndef CRATOS_CONFIG_FINDINGS_H
#define CRATOS_CONFIG_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include <cratos/config.h>

struct source;

enum { FINDINGS_LIMIT = 100 };

/* All zero is none. */
struct findings {
	struct config_error errors[FINDINGS_LIMIT + 1];
	struct finding {
		const struct source *source;
		char *memory; /* of the texts */
	} entries[FINDINGS_LIMIT];
	size_t count; /* of errors, without the last line */
	size_t dropped; /* errors that are only counted */
	char more[64]; /* the last line's text */
	bool no_memory; /* for one of the errors */
};

/*
 * Adds an error, behind all of its file's lines up to this one. Control
 * characters are escaped here, and words cut at about a thousand bytes.
 */
void findings_add(struct findings *findings, const struct source *source,
    int line, const char *section, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* Whether an error of that key (of an instance's twin) is there already. */
bool findings_has(const struct findings *findings, const struct source *source,
    int line, const char *key);

/* Whether an error there would be kept: if not, findings_add needs no words. */
bool findings_wants(const struct findings *findings,
    const struct source *source, int line);

/* The errors with the line for those that were dropped. */
const struct config_error *findings_errors(const struct findings *findings,
    size_t *count);

void findings_fini(struct findings *findings);

#endif
