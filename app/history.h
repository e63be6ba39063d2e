/* The last of many texts, numbered from 1; safe from any thread. */
#ifndef CRATOS_APP_HISTORY_H
#define CRATOS_APP_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct history;

/* Keeps what fits into so many bytes, the latest. NULL without memory. */
struct history *history_new(size_t bytes);
void history_free(struct history **history);

/* What there is no memory for is lost, as what is too old is. */
void history_add(struct history *history, const char *text, size_t size);

/*
 * Calls fn for each text with a number above *after, until it returns false, which
 * says that it has not taken that one. *after is the number of the last one taken.
 * *lost says whether some on the way are not there any more. fn must not call into
 * this.
 */
void history_read(struct history *history, uint64_t *after,
    bool (*fn)(const char *text, void *arg), void *arg, bool *lost);

/* Where to begin in order to get the last ones only. */
uint64_t history_last(struct history *history, size_t count);

#endif
