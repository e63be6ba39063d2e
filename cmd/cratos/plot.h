/* "cratos plot": when each server waited, started, was ready, and stopped. */
#ifndef CRATOS_CMD_PLOT_H
#define CRATOS_CMD_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "app/json.h"

/* Events of a run, in the order in which they happened. */
struct plot;

/* NULL without memory. */
struct plot *plot_new(void);
void plot_free(struct plot **plot);

/* An event, as "cratos run --json" and "cratos events --json" have it. */
bool plot_add(struct plot *plot, const json_t *event); /* false: no memory */

/* A server of which there may be no event yet. The same. */
bool plot_add_server(struct plot *plot, const char *name);

/* The app runs still: what was last goes on. */
void plot_now(struct plot *plot);

/* Whether there was any that can be drawn. */
bool plot_has_begun(const struct plot *plot);

/* Draws the last start, and the last stop if there was one, as SVG. */
void plot_draw(const struct plot *plot, const char *title);

#endif
