/* Memory that is given back all at once: everything a config hands out. */
#ifndef CRATOS_CONFIG_ARENA_H
#define CRATOS_CONFIG_ARENA_H

#include <stddef.h>

struct arena_block;

/* All zero is an empty arena. */
struct arena {
	struct arena_block *blocks;
};

/* Zeroed memory for any type, NULL if there is none. */
void *arena_alloc(struct arena *arena, size_t size);

/* A copy of size bytes with a NUL after them, NULL if there is no memory. */
char *arena_copy(struct arena *arena, const char *text, size_t size);

/* Gives back all that was handed out. */
void arena_fini(struct arena *arena);

#endif
