/*
 * The sections and keys of all files: which declaration they belong to, and
 * what stands there twice. Values are looked at when all files are known.
 */
#include <errno.h>
#include <search.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "config/nearest.h"
#include "config/printable.h"
#include "config/quotes.h"
#include "config/tree.h"

enum { KNOWN_BYTES = 960 };

void tree_init(struct tree *tree, const struct config_section *declared)
{
	*tree = (struct tree){.declared = declared};
	STAILQ_INIT(&tree->sources);
	STAILQ_INIT(&tree->sections);
}

static void keep(void *node)
{
	(void)node; /* the arena's */
}

void tree_complete(struct tree *tree)
{
	tdestroy(tree->by_title, keep);
	tdestroy(tree->by_key, keep);
	tree->by_title = tree->by_key = NULL;
}

void tree_fini(struct tree *tree)
{
	tree_complete(tree);
	findings_fini(&tree->findings);
	arena_fini(&tree->arena);
}

struct source *tree_source(struct tree *tree, const char *name)
{
	struct source *source = arena_alloc(&tree->arena, sizeof(*source));

	if (!source)
		return NULL;
	source->name = arena_copy(&tree->arena, name, strlen(name));
	if (!source->name)
		return NULL;
	source->index = tree->source_count++;
	source->lines = 1;
	STAILQ_INSERT_TAIL(&tree->sources, source, link);
	tree->current = NULL;
	tree->begun = false;
	tree->include = NULL;
	return source;
}

bool tree_named(const struct config_section *declared, size_t *size)
{
	size_t n = strlen(declared->name);
	bool named = n > 0 && declared->name[n - 1] == ':';

	*size = n - named;
	return named;
}

/* ---- lists of what is known ---------------------------------------------- */

struct known {
	char text[KNOWN_BYTES + 8];
	size_t used;
	bool full;
};

static void known_add(struct known *known, const char *name)
{
	size_t room = KNOWN_BYTES - known->used;

	if (known->full)
		return;
	int n = snprintf(known->text + known->used, room, "%s%s",
	    known->used ? ", " : "", name);
	known->full = n < 0 || (size_t)n >= room;
	if (known->full)
		strcpy(known->text + known->used, ", ...");
	else
		known->used += (size_t)n;
}

/* ---- sections ------------------------------------------------------------ */

static int compare_titles(const void *a, const void *b)
{
	const struct section *x = a, *y = b;

	return strcmp(x->title, y->title);
}

/* The declaration of a title. *name is where the NAME in it begins, if it
 * has one, else where the title ends. */
static const struct config_section *find_declared(const struct tree *tree,
    const char *title, size_t *name)
{
	const struct config_section *declared = tree->declared;

	for (; declared->name; declared++) {
		size_t size;
		bool named = tree_named(declared, &size);
		*name = named ? size + 1 : size;
		if (!strncmp(title, declared->name, *name) &&
		    (named || !title[*name]))
			return declared;
	}
	*name = strlen(title);
	return NULL;
}

static bool valid_name(const char *name)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_.-");

	return size > 0 && size <= TREE_NAME_BYTES && !name[size];
}

/* Titles are compared by what stands before the ':', so that [sever:web]
 * finds [server:web], and [server] finds [server:NAME]. */
static void refuse_section(struct tree *tree, const struct source *source,
    int line, const char *title)
{
	const struct config_section *declared;
	const char *colon = strchrnul(title, ':');
	char wrong[64], head[64];
	struct nearest nearest = {.wrong = wrong};
	struct known known = {.used = 0};

	snprintf(wrong, sizeof(wrong), "%.*s", (int)(colon - title), title);
	for (declared = tree->declared; declared->name; declared++) {
		size_t size;
		bool named = tree_named(declared, &size);
		snprintf(head, sizeof(head), "[%s%s]", declared->name,
		    named ? "NAME" : "");
		known_add(&known, head);
		snprintf(head, sizeof(head), "%.*s", (int)size, declared->name);
		nearest_try_others(&nearest, head, declared->others);
		nearest_try(&nearest, head);
	}
	if (!nearest.name[0]) {
		findings_add(&tree->findings, source, line, title, "",
		    "unknown section [%s]; known: %s", excerpt_of(title).text,
		    known.text);
		return;
	}
	for (declared = tree->declared; declared->name; declared++) {
		size_t size;
		bool named = tree_named(declared, &size);
		if (strlen(nearest.name) != size ||
		    strncmp(nearest.name, declared->name, size))
			continue;
		const char *name = colon[0] && colon[1] ? colon + 1 : "NAME";
		findings_add(&tree->findings, source, line, title, "",
		    "unknown section [%s], did you mean [%s%s%s]?",
		    excerpt_of(title).text, nearest.name, named ? ":" : "",
		    named ? excerpt_of(name).text : "");
		return;
	}
}

static struct section *section_new(struct tree *tree,
    const struct source *source, int line, const char *title)
{
	struct section *section = arena_alloc(&tree->arena, sizeof(*section));

	if (!section)
		return NULL;
	section->title = arena_copy(&tree->arena, title, strlen(title));
	if (!section->title)
		return NULL;
	section->name = section->group = "";
	section->source = section->last = source;
	section->line = line;
	STAILQ_INIT(&section->settings);
	return section;
}

/* Finds out whether there is such a section already: goes on with that one if
 * it is the [app] of another file, else refuses the new one. */
static int insert_section(struct tree *tree, struct section *section)
{
	struct section **found =
	    tsearch(section, &tree->by_title, compare_titles);

	if (!found)
		return -ENOMEM;
	struct section *first = *found;
	if (first == section)
		return 0;
	if (!strcmp(section->title, "app") && first->last != section->source) {
		first->last = section->source;
		tree->current = first;
		return 0;
	}
	section->detached = true;
	findings_add(&tree->findings, section->source, section->line,
	    section->title, "",
	    "section [%s] is there twice; the first one is at %s:%d",
	    section->title, first->source->name, first->line);
	return 0;
}

int tree_section(struct tree *tree, const struct source *source, int line,
    const char *title)
{
	size_t name;

	tree->current = NULL;
	tree->begun = true;
	if (!title)
		return 0;
	const struct config_section *declared =
	    find_declared(tree, title, &name);
	if (!declared && strcmp(title, "app")) {
		refuse_section(tree, source, line, title);
		return 0;
	}
	struct section *section = section_new(tree, source, line, title);
	if (!section)
		return -ENOMEM;
	tree->current = section;
	section->declared = declared;
	section->name = section->group = section->title + name;
	if (declared && tree_named(declared, &name) &&
	    !valid_name(section->name)) {
		section->detached = true;
		findings_add(&tree->findings, source, line, title, "",
		    "'%s' cannot be the NAME in [%sNAME]; write 1 to %d of "
		    "letters, digits, '_', '.' and '-'",
		    excerpt_of(section->name).text, declared->name,
		    TREE_NAME_BYTES);
	} else {
		int rc = insert_section(tree, section);
		if (rc)
			return rc;
	}
	if (tree->current == section)
		STAILQ_INSERT_TAIL(&tree->sections, section, link);
	return 0;
}

/* ---- settings ------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b)
{
	const struct setting *x = a, *y = b;

	if (x->section != y->section)
		return (uintptr_t)x->section < (uintptr_t)y->section ? -1 : 1;
	return strcmp(x->key, y->key);
}

/* The field of a key; for a map "key.NAME" is one as well. */
static const struct config_field *find_field(const struct section *section,
    const char *key)
{
	const struct config_field *map = NULL;

	if (!section->declared)
		return NULL;
	for (const struct config_field *field = section->declared->fields;
	     field->key; field++) {
		size_t size = strlen(field->key);
		if (strncmp(key, field->key, size))
			continue;
		if (!key[size])
			return field;
		if (field->type == CONFIG_MAP && key[size] == '.')
			map = field;
	}
	return map;
}

static void refuse_key(struct tree *tree, const struct source *source, int line,
    const char *key)
{
	const struct section *section = tree->current;
	struct nearest nearest = {.wrong = key};
	struct known known = {.used = 0};
	const char *dot = strchr(key, '.');
	char with_name[64];

	if (!findings_wants(&tree->findings, source, line)) {
		findings_add(&tree->findings, source, line, "", "", " ");
		return;
	}
	if (section->declared) {
		const struct config_field *field = section->declared->fields;
		for (; field->key; field++) {
			bool map = field->type == CONFIG_MAP;
			snprintf(with_name, sizeof(with_name), "%s%s",
			    field->key, map ? ".NAME" : "");
			known_add(&known, with_name);
			nearest_try_others(&nearest, with_name, field->others);
			snprintf(with_name, sizeof(with_name), "%s%s",
			    field->key, map && dot ? dot : "");
			nearest_try(&nearest, with_name);
		}
	}
	if (!strcmp(section->title, "app")) {
		known_add(&known, "include");
		nearest_try(&nearest, "include");
	}
	struct excerpt wrong = excerpt_of(key);
	if (nearest.name[0])
		findings_add(&tree->findings, source, line, section->title, key,
		    "unknown key '%s', did you mean '%s'?", wrong.text,
		    excerpt_of(nearest.name).text);
	else if (section->declared && tree->listed == section->declared)
		findings_add(&tree->findings, source, line, section->title, key,
		    "unknown key '%s'; those known are above", wrong.text);
	else
		findings_add(&tree->findings, source, line, section->title, key,
		    "unknown key '%s'; known here: %s", wrong.text,
		    known.used ? known.text : "none");
	if (!nearest.name[0])
		tree->listed = section->declared;
}

static void refuse_twice(struct tree *tree, const struct source *source,
    int line, const struct setting *first)
{
	findings_add(&tree->findings, source, line, tree->current->title,
	    first->key, "key '%s' is there twice; the first one is at %s:%d",
	    excerpt_of(first->key).text, first->source->name, first->line);
}

/* NULL: no memory. The key of a field that is no map's is the field's. */
static struct setting *setting_new(struct tree *tree,
    const struct source *source, int line, const char *key, const char *value,
    const struct config_field *field)
{
	struct setting *setting = arena_alloc(&tree->arena, sizeof(*setting));

	if (!setting)
		return NULL;
	setting->section = tree->current;
	setting->field = field;
	setting->source = source;
	setting->line = line;
	if (field && field->type != CONFIG_MAP)
		setting->key = field->key;
	else
		setting->key = arena_copy(&tree->arena, key, strlen(key));
	if (!setting->key)
		return NULL;
	if (value) {
		setting->value = arena_copy(&tree->arena, value, strlen(value));
		if (!setting->value)
			return NULL;
	}
	return setting;
}

static int include(struct tree *tree, const struct source *source, int line,
    const char *value)
{
	if (tree->include) {
		refuse_twice(tree, source, line, tree->include);
		return 0;
	}
	tree->include = setting_new(tree, source, line, "include", value, NULL);
	return tree->include ? 0 : -ENOMEM;
}

/* Whether key is one that a map can have: "key.NAME". */
static bool check_map_key(struct tree *tree, const struct source *source,
    int line, const struct config_field *field, const char *key)
{
	const char *name = key + strlen(field->key);

	if (*name && *++name) {
		const char *p = name;
		while (*p && !is_blank(*p))
			p++;
		if (!*p)
			return true;
	}
	findings_add(&tree->findings, source, line, tree->current->title, key,
	    "'%s' needs a NAME without blanks; write %s.NAME = value",
	    excerpt_of(key).text, field->key);
	return false;
}

int tree_setting(struct tree *tree, const struct source *source, int line,
    const char *key, const char *value)
{
	struct section *section = tree->current;

	if (!section) {
		if (!tree->begun)
			findings_add(&tree->findings, source, line, "", key,
			    "key '%s' stands before the first [section]",
			    excerpt_of(key).text);
		return 0;
	}
	if (!strcmp(section->title, "app") && !strcmp(key, "include"))
		return include(tree, source, line, value);
	const struct config_field *field = find_field(section, key);
	if (!field) {
		refuse_key(tree, source, line, key);
		return 0;
	}
	if (field->type == CONFIG_MAP &&
	    !check_map_key(tree, source, line, field, key))
		return 0;
	struct setting *setting =
	    setting_new(tree, source, line, key, value, field);
	if (!setting)
		return -ENOMEM;
	struct setting **found = tsearch(setting, &tree->by_key, compare_keys);
	if (!found)
		return -ENOMEM;
	if (*found == setting)
		STAILQ_INSERT_TAIL(&section->settings, setting, link);
	else
		refuse_twice(tree, source, line, *found);
	return 0;
}
