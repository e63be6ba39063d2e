#include "app/history.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct entry {
	STAILQ_ENTRY(entry) link;
	uint64_t number;
	size_t size; /* of all of it */
	char text[];
};

struct history {
	pthread_mutex_t lock;
	STAILQ_HEAD(, entry) entries; /* the oldest first */
	size_t bytes, most, count;
	uint64_t number; /* of the latest, whether it could be kept or not */
};

struct history *history_new(size_t bytes)
{
	struct history *history = calloc(1, sizeof(*history));

	if (!history)
		return NULL;
	pthread_mutex_init(&history->lock, NULL);
	STAILQ_INIT(&history->entries);
	history->most = bytes;
	return history;
}

static void drop_oldest(struct history *history)
{
	struct entry *oldest = STAILQ_FIRST(&history->entries);

	STAILQ_REMOVE_HEAD(&history->entries, link);
	history->bytes -= oldest->size;
	history->count--;
	free(oldest);
}

void history_free(struct history **history)
{
	struct history *old = *history;

	if (!old)
		return;
	*history = NULL;
	while (!STAILQ_EMPTY(&old->entries))
		drop_oldest(old);
	pthread_mutex_destroy(&old->lock);
	free(old);
}

void history_add(struct history *history, const char *text, size_t size)
{
	struct entry *entry = malloc(sizeof(*entry) + size + 1);

	pthread_mutex_lock(&history->lock);
	history->number++;
	if (entry) {
		entry->number = history->number;
		entry->size = sizeof(*entry) + size + 1;
		memcpy(entry->text, text, size);
		entry->text[size] = '\0';
		STAILQ_INSERT_TAIL(&history->entries, entry, link);
		history->bytes += entry->size;
		history->count++;
	}
	while (history->bytes > history->most)
		drop_oldest(history);
	pthread_mutex_unlock(&history->lock);
}

void history_read(struct history *history, uint64_t *after,
    bool (*fn)(const char *text, void *arg), void *arg, bool *lost)
{
	const struct entry *entry;
	bool takes = true;

	*lost = false;
	pthread_mutex_lock(&history->lock);
	/* It is that of another one. */
	if (*after > history->number)
		*after = history->number;
	STAILQ_FOREACH(entry, &history->entries, link) {
		if (entry->number <= *after)
			continue;
		takes = fn(entry->text, arg);
		if (!takes)
			break;
		*lost = *lost || entry->number != *after + 1;
		*after = entry->number;
	}
	/* What could not be kept behind the last one. */
	if (takes && *after < history->number) {
		*lost = true;
		*after = history->number;
	}
	pthread_mutex_unlock(&history->lock);
}

uint64_t history_last(struct history *history, size_t count)
{
	const struct entry *entry;
	uint64_t after = 0;
	size_t skip;

	pthread_mutex_lock(&history->lock);
	skip = history->count > count ? history->count - count : 0;
	STAILQ_FOREACH(entry, &history->entries, link) {
		/* What has gone already is not lost to who begins now. */
		if (!skip--) {
			after = entry->number - 1;
			break;
		}
		after = entry->number;
	}
	pthread_mutex_unlock(&history->lock);
	return after;
}
