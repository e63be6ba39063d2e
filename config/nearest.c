/*
 * The name that was probably meant: the one at the least distance, counting
 * characters put in, left out, replaced, and neighbours swapped. Case, and
 * '_' for '-', cost nothing.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "config/nearest.h"

enum { LONGEST = sizeof(((struct nearest *)0)->name) - 1 };

static char folded(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '_' ? '-' : c;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Three rows of the usual table are enough: swaps look back by two. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][LONGEST + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];
	size_t width = strlen(b);

	for (unsigned j = 0; j <= width; j++)
		last[j] = before[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		row[0] = i;
		for (size_t j = 1; j <= width; j++) {
			char x = folded(a[i - 1]), y = folded(b[j - 1]);
			unsigned best = last[j - 1] + (x != y);
			best = least(best, last[j] + 1);
			best = least(best, row[j - 1] + 1);
			if (i > 1 && j > 1 && x == folded(b[j - 2]) &&
			    folded(a[i - 2]) == y)
				best = least(best, before[j - 2] + 1);
			row[j] = best;
		}
		unsigned *spare = before;
		before = last, last = row, row = spare;
	}
	return last[width];
}

void nearest_try(struct nearest *nearest, const char *name)
{
	size_t size = strlen(name), wrong_size = strlen(nearest->wrong);

	if (size > LONGEST || wrong_size > LONGEST || !wrong_size)
		return;
	/* A third of it may be wrong; more is another word. */
	size_t longer = size > wrong_size ? size : wrong_size;
	unsigned limit = longer < 6 ? 1 : (unsigned)longer / 3;
	unsigned d = distance(nearest->wrong, name);
	if (d > limit || d >= size)
		return;
	if (nearest->name[0] && d >= nearest->distance)
		return;
	nearest->distance = d;
	snprintf(nearest->name, sizeof(nearest->name), "%s", name);
}

static bool is_word(const char *wrong, const char *word, size_t size)
{
	size_t i = 0;

	while (i < size && folded(wrong[i]) == folded(word[i]))
		i++;
	return i == size && !wrong[i];
}

void nearest_try_others(struct nearest *nearest, const char *name,
    const char *others)
{
	while (others && *others) {
		size_t size = strcspn(others, " ");

		if (is_word(nearest->wrong, others, size)) {
			nearest->distance = 0;
			snprintf(nearest->name, sizeof(nearest->name), "%s",
			    name);
			return;
		}
		others += size;
		others += strspn(others, " ");
	}
}
