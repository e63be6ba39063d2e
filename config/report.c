/*
 * What is wrong: the errors of a config, in order, and not too many.
 *
 * Errors are found in several passes, but are to be read from top to bottom,
 * and a file of a million broken lines must not give a million of them. So
 * the first REPORT_LIMIT in the order of files and lines are kept, whatever
 * order they come in, and the others are counted.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/printable.h"
#include "config/report.h"
#include "config/source.h"

static int compare(const struct source *a, int a_line, const struct source *b,
    int b_line)
{
	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	return (a_line > b_line) - (a_line < b_line);
}

/* Where a new error goes: behind those of the same line. */
static size_t place(const struct report *report, const struct source *source,
    int line)
{
	size_t i = report->count;

	while (i > 0 && compare(report->entries[i - 1].source,
			    report->errors[i - 1].line, source, line) > 0)
		i--;
	return i;
}

bool report_wants(const struct report *report, const struct source *source,
    int line)
{
	return report->count < REPORT_LIMIT ||
	       place(report, source, line) < REPORT_LIMIT;
}

static void count_dropped(struct report *report)
{
	struct config_error *last = &report->errors[REPORT_LIMIT];

	report->dropped++;
	snprintf(report->more, sizeof(report->more), "and %zu more error%s",
	    report->dropped, report->dropped == 1 ? "" : "s");
	*last = report->errors[REPORT_LIMIT - 1];
	last->section = last->key = "";
	last->text = report->more;
}

static void insert(struct report *report, size_t at, struct config_error error,
    struct report_entry entry)
{
	bool drop = report->count == REPORT_LIMIT;

	if (drop)
		free(report->entries[--report->count].memory);
	memmove(&report->errors[at + 1], &report->errors[at],
	    (report->count - at) * sizeof(error));
	memmove(&report->entries[at + 1], &report->entries[at],
	    (report->count - at) * sizeof(entry));
	report->errors[at] = error;
	report->entries[at] = entry;
	report->count++;
	if (drop)
		count_dropped(report);
}

void report_add(struct report *report, const struct source *source, int line,
    const char *section, const char *key, const char *fmt, ...)
{
	/* Room for long program words of config_refuse; ours are shorter. */
	char words[2048], section_text[64], key_text[64], text[1024];
	size_t at = place(report, source, line);
	va_list ap;

	if (at == REPORT_LIMIT) {
		count_dropped(report);
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
		report->no_memory = true;
		return;
	}
	char *key_copy = memory + section_size;
	char *text_copy = key_copy + key_size;
	memcpy(memory, section_text, section_size);
	memcpy(key_copy, key_text, key_size);
	memcpy(text_copy, text, text_size);
	insert(report, at,
	    (struct config_error){.file = source->name,
		.line = line,
		.section = memory,
		.key = key_copy,
		.text = text_copy},
	    (struct report_entry){.source = source, .memory = memory});
}

const struct config_error *report_errors(const struct report *report,
    size_t *count)
{
	*count = report->count + (report->dropped ? 1 : 0);
	return report->errors;
}

void report_fini(struct report *report)
{
	for (size_t i = 0; i < report->count; i++)
		free(report->entries[i].memory);
	report->count = 0;
}
