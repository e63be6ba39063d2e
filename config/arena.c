/* Memory that is given back all at once: a list of blocks that only grows. */
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/arena.h"

enum {
	FIRST_BLOCK_BYTES = 4 << 10,
	LARGEST_BLOCK_BYTES = 1 << 20, /* but for a single larger object */
};

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	alignas(max_align_t) char data[];
};

/* Each block is twice as large as the one before, so that a small file costs
 * little and a large one few calls. */
static struct arena_block *block_new(const struct arena *arena, size_t least)
{
	size_t size = FIRST_BLOCK_BYTES;

	if (arena->blocks)
		size = arena->blocks->size * 2;
	if (size > LARGEST_BLOCK_BYTES)
		size = LARGEST_BLOCK_BYTES;
	if (size < least)
		size = least;
	struct arena_block *block = malloc(sizeof(*block) + size);
	if (block) {
		block->used = 0;
		block->size = size;
	}
	return block;
}

static void *take(struct arena *arena, size_t size, size_t alignment)
{
	struct arena_block *block = arena->blocks;
	size_t at =
	    block ? (block->used + alignment - 1) & ~(alignment - 1) : 0;

	if (size > SIZE_MAX / 4)
		return NULL;
	if (!block || at > block->size || size > block->size - at) {
		block = block_new(arena, size);
		if (!block)
			return NULL;
		block->next = arena->blocks;
		arena->blocks = block;
		at = 0;
	}
	block->used = at + size;
	return memset(block->data + at, 0, size);
}

void *arena_alloc(struct arena *arena, size_t size)
{
	return take(arena, size, alignof(max_align_t));
}

char *arena_copy(struct arena *arena, const char *text, size_t size)
{
	char *copy = take(arena, size + 1, 1);

	if (copy && size)
		memcpy(copy, text, size);
	return copy;
}

void arena_fini(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *block = arena->blocks;
		arena->blocks = block->next;
		free(block);
	}
}
