/*
 * Sections that stand for several: NAME-1, NAME-2 and so on, with the settings
 * of the one in the file. Each of them has its values looked at by itself, since
 * its number may be part of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/field.h"
#include "config/instances.h"

enum { NAME_BYTES = 64 };

bool instances_is_count(const struct setting *setting)
{
	const struct config_section *declared = setting->section->declared;

	return declared->instances &&
	       !strcmp(setting->key, declared->instances);
}

/* NULL if the section stands for itself. */
static const struct setting *find_count(const struct section *section)
{
	const struct setting *setting;

	if (!section->declared || section->detached)
		return NULL;
	STAILQ_FOREACH(setting, &section->settings, link)
		if (instances_is_count(setting))
			return setting->value ? setting : NULL;
	return NULL;
}

/* *count is 0 for a value that is wrong, which is told later. */
static int read_count(struct tree *tree, const struct setting *setting,
    int64_t *count)
{
	char words[FIELD_WORDS_BYTES];
	char *data =
	    arena_alloc(&tree->arena, setting->section->declared->size);
	const char *text;
	int rc;

	*count = 0;
	if (!data)
		return -ENOMEM;
	rc = expand_text(&tree->arena, NULL, setting->value, &text, words,
	    sizeof(words));
	if (!rc)
		rc = field_parse(&tree->arena, setting->field, text, data,
		    words);
	if (!rc)
		memcpy(count, data + setting->field->offset, sizeof(*count));
	return rc == -EINVAL ? 0 : rc;
}

static void name_instance(const struct section *section, int64_t number,
    char name[static NAME_BYTES])
{
	snprintf(name, NAME_BYTES, "%s-%" PRId64, section->group, number);
}

/* Whether a section of the file is called as an instance would be. */
static bool is_instance(const char *name, const struct section *section,
    int64_t count)
{
	size_t size = strlen(section->group);
	char same[NAME_BYTES];
	int64_t number;

	if (strncmp(name, section->group, size) != 0 || name[size] != '-')
		return false;
	number = strtoll(name + size + 1, NULL, 10);
	if (number < 1 || number > count)
		return false;
	name_instance(section, number, same);
	return !strcmp(name, same);
}

static void refuse(struct tree *tree, const struct setting *setting,
    const char *words)
{
	findings_add(&tree->findings, setting->source, setting->line,
	    setting->section->title, setting->key, "%s", words);
}

/* Whether names are short enough, and nobody else's. */
static bool check_names(struct tree *tree, const struct setting *setting,
    int64_t count)
{
	const struct section *section = setting->section, *other;
	char name[NAME_BYTES], words[FIELD_WORDS_BYTES];

	name_instance(section, count, name);
	if (strlen(name) > TREE_NAME_BYTES) {
		snprintf(words, sizeof(words),
		    "the last one would be called %s, which is longer than %d "
		    "bytes: shorten the section's name",
		    name, TREE_NAME_BYTES);
		refuse(tree, setting, words);
		return false;
	}
	STAILQ_FOREACH(other, &tree->sections, link) {
		if (other->declared != section->declared || other->detached ||
		    !is_instance(other->group, section, count))
			continue;
		snprintf(words, sizeof(words),
		    "one would be called %s, as is the section at %.100s:%d: "
		    "rename one of the two",
		    other->group, other->source->name, other->line);
		refuse(tree, setting, words);
		return false;
	}
	return true;
}

static int set_instance(struct tree *tree, struct section *section,
    int64_t number)
{
	char name[NAME_BYTES];

	name_instance(section, number, name);
	section->number = number;
	section->name = arena_copy(&tree->arena, name, strlen(name));
	return section->name ? 0 : -ENOMEM;
}

/* The section itself is the first. */
static int make(struct tree *tree, struct section *section, int64_t count)
{
	struct section *last = section, *next;
	int rc = set_instance(tree, section, 1);

	for (int64_t number = 2; number <= count && !rc; number++) {
		next = arena_alloc(&tree->arena, sizeof(*next));
		if (!next)
			return -ENOMEM;
		*next = *section; /* with its settings, which only are read */
		rc = set_instance(tree, next, number);
		STAILQ_INSERT_AFTER(&tree->sections, last, next, link);
		last = next;
	}
	return rc;
}

int instances_make(struct tree *tree)
{
	struct section *section;
	int64_t count;
	int rc = 0;

	STAILQ_FOREACH(section, &tree->sections, link) {
		const struct setting *setting =
		    section->number ? NULL : find_count(section);

		if (!setting)
			continue;
		rc = read_count(tree, setting, &count);
		if (!rc && count && check_names(tree, setting, count))
			rc = make(tree, section, count);
		else if (!rc)
			section->number = 1; /* its number is no error more */
		if (rc)
			break;
	}
	return rc;
}
