/*
 * What is wrong: the errors of a config, in order, and not too many.
 *
 * Errors are found in several passes, but are to be read from top to bottom,
 * and a file of a million broken lines must not give a million of them. So
 * the first FINDINGS_LIMIT in the order of files and lines are kept, whatever
 * order they come in, and the others are counted.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/findings.h"
#include "config/printable.h"
#include "config/source.h"

static int compare(const struct source *a, int a_line, const struct source *b,
    int b_line)
{
	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	return (a_line > b_line) - (a_line < b_line);
}

/* Where a new error goes: behind those of the same line. */
static size_t place(const struct findings *findings,
    const struct source *source, int line)
{
	size_t i = findings->count;

	while (i > 0 && compare(findings->entries[i - 1].source,
			    findings->errors[i - 1].line, source, line) > 0)
		i--;
	return i;
}

bool findings_wants(const struct findings *findings,
    const struct source *source, int line)
{
	return findings->count < FINDINGS_LIMIT ||
	       place(findings, source, line) < FINDINGS_LIMIT;
}

bool findings_has(const struct findings *findings, const struct source *source,
    int line, const char *key)
{
	for (size_t i = 0; i < findings->count; i++)
		if (findings->entries[i].source == source &&
		    findings->errors[i].line == line &&
		    !strcmp(findings->errors[i].key, key))
			return true;
	return false;
}

static void count_dropped(struct findings *findings)
{
	struct config_error *last = &findings->errors[FINDINGS_LIMIT];

	findings->dropped++;
	snprintf(findings->more, sizeof(findings->more), "and %zu more error%s",
	    findings->dropped, findings->dropped == 1 ? "" : "s");
	*last = findings->errors[FINDINGS_LIMIT - 1];
	last->section = last->key = "";
	last->text = findings->more;
}

static void insert(struct findings *findings, size_t at,
    struct config_error error, struct finding entry)
{
	bool drop = findings->count == FINDINGS_LIMIT;

	if (drop)
		free(findings->entries[--findings->count].memory);
	memmove(&findings->errors[at + 1], &findings->errors[at],
	    (findings->count - at) * sizeof(error));
	memmove(&findings->entries[at + 1], &findings->entries[at],
	    (findings->count - at) * sizeof(entry));
	findings->errors[at] = error;
	findings->entries[at] = entry;
	findings->count++;
	if (drop)
		count_dropped(findings);
}

void findings_add(struct findings *findings, const struct source *source,
    int line, const char *section, const char *key, const char *fmt, ...)
{
	/* Room for long program words of config_refuse; ours are shorter. */
	char words[2048], section_text[64], key_text[64], text[1024];
	size_t at = place(findings, source, line);
	va_list ap;

	if (at == FINDINGS_LIMIT) {
		count_dropped(findings);
		return;
	}
	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	printable(text, sizeof(text), words);
	printable(section_text, sizeof(section_text), section);
	printable(key_text, sizeof(key_text), key);

	size_t section_size = strlen(section_text) + 1;
	size_t key_size = strlen(key_text) + 1;
	size_t text_size = strlen(text) + 1;
	char *memory = malloc(section_size + key_size + text_size);
	if (!memory) {
		findings->no_memory = true;
		return;
	}
	char *key_copy = memory + section_size;
	char *text_copy = key_copy + key_size;
	memcpy(memory, section_text, section_size);
	memcpy(key_copy, key_text, key_size);
	memcpy(text_copy, text, text_size);
	insert(findings, at,
	    (struct config_error){.file = source->name,
		.line = line,
		.section = memory,
		.key = key_copy,
		.text = text_copy},
	    (struct finding){.source = source, .memory = memory});
}

const struct config_error *findings_errors(const struct findings *findings,
    size_t *count)
{
	*count = findings->count + (findings->dropped ? 1 : 0);
	return findings->errors;
}

void findings_fini(struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++)
		free(findings->entries[i].memory);
	findings->count = 0;
}
