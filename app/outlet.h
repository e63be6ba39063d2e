/*
 * Standard error, for the few lines that a library may write there: it does not
 * hold up the loop if nobody reads them.
 */
#ifndef CRATOS_APP_OUTLET_H
#define CRATOS_APP_OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OUTLET_LINE = 1024 }; /* bytes of the longest line */

/* Zero is a new one. */
struct outlet {
	size_t lost; /* lines, since the last that came through */
	bool cut; /* one of them has begun */
	int64_t paid_ns; /* when what was waited is a tenth of the time */
};

/*
 * Writes the line, a newline at its end, and before it how many were lost.
 * Blocks while the stream is full, but for 100 ms at most, and in the long run
 * for a tenth of the time; then the line is lost.
 */
void outlet_put(struct outlet *outlet, const char *line);

#endif
