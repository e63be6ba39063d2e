/*
 * Configuration: ini text to checked, typed values.
 *
 * Files are read into a tree of sections and keys (include.c, lines.c,
 * tree.c); then values are checked section by section (field.c) and put into
 * the program's structs. What is wrong is collected on the way (findings.c), so
 * that the user hears of it all at once. All that is handed out lives in the
 * tree's arena, until config_free.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/field.h"
#include "config/include.h"
#include "config/instances.h"
#include "config/printable.h"
#include "config/quotes.h"
#include "config/tree.h"

/* The sections of one declaration, in the order of the files. */
struct table {
	const struct config_section *declared;
	size_t field_count;
	struct section **sections;
	size_t count;
	void *defaults; /* a struct with those, which others start from */
};

struct config {
	struct tree tree;
	struct source *main;
	struct table *tables; /* as many as are declared, in that order */
	size_t table_count;
	const struct setting **by_field; /* the settings of the section that is
					  checked, by index of field */
};

/* ---- the program's structs ----------------------------------------------- */

static int set_defaults(struct config *config, struct table *table)
{
	const struct config_section *declared = table->declared;
	char words[FIELD_WORDS_BYTES];

	table->defaults = arena_alloc(&config->tree.arena, declared->size);
	if (!table->defaults)
		return -ENOMEM;
	for (const struct config_field *field = declared->fields; field->key;
	     field++) {
		if (!field->fallback)
			continue;
		assert(field->type != CONFIG_MAP);
		int rc = field_parse(&config->tree.arena, field,
		    field->fallback, table->defaults, words);
		assert(rc != -EINVAL);
		if (rc == -ENOMEM)
			return rc;
	}
	return 0;
}

static int make_tables(struct config *config)
{
	const struct config_section *declared = config->tree.declared;
	struct arena *arena = &config->tree.arena;
	size_t most = 0;

	while (declared[config->table_count].name)
		config->table_count++;
	config->tables =
	    arena_alloc(arena, config->table_count * sizeof(*config->tables));
	if (!config->tables)
		return -ENOMEM;
	for (size_t i = 0; i < config->table_count; i++) {
		struct table *table = &config->tables[i];
		table->declared = &declared[i];
		while (declared[i].fields[table->field_count].key)
			table->field_count++;
		if (table->field_count > most)
			most = table->field_count;
		int rc = set_defaults(config, table);
		if (rc)
			return rc;
	}
	config->by_field = arena_alloc(arena, most * sizeof(void *));
	return config->by_field ? 0 : -ENOMEM;
}

static struct table *table_of(const struct config *config,
    const struct config_section *declared)
{
	return &config->tables[declared - config->tree.declared];
}

/* Sorts the tree's sections into their tables. */
static int fill_tables(struct config *config)
{
	struct section *section;

	STAILQ_FOREACH(section, &config->tree.sections, link) {
		if (section->declared && !section->detached)
			table_of(config, section->declared)->count++;
	}
	for (size_t i = 0; i < config->table_count; i++) {
		struct table *table = &config->tables[i];
		table->sections = arena_alloc(&config->tree.arena,
		    table->count * sizeof(*table->sections));
		if (!table->sections)
			return -ENOMEM;
		table->count = 0;
	}
	STAILQ_FOREACH(section, &config->tree.sections, link) {
		if (!section->declared || section->detached)
			continue;
		struct table *table = table_of(config, section->declared);
		table->sections[table->count++] = section;
	}
	return 0;
}

/* ---- errors of a section ------------------------------------------------- */

/* What is wrong with an instance is told of the first that has it. */
static void add_finding(struct config *config, const struct section *section,
    const struct source *source, int line, const char *key, const char *words)
{
	struct findings *findings = &config->tree.findings;
	bool later = section->number > 1;

	if (later && findings_has(findings, source, line, key))
		return;
	findings_add(findings, source, line, section->title, key, "%s%s%s",
	    later ? section->name : "", later ? ": " : "", words);
}

static void refuse(struct config *config, const struct section *section,
    const struct setting *setting, const char *words)
{
	add_finding(config, section, setting->source, setting->line,
	    setting->key, words);
}

/* ---- values -------------------------------------------------------------- */

/* The text of an setting as its field takes it. */
static int prepare(struct config *config, const struct section *section,
    const struct setting *setting, const char **text, char *words)
{
	struct arena *arena = &config->tree.arena;
	/* How many instances there are cannot depend on which one it is. */
	const struct expand_number number = {section->declared->number,
	    instances_is_count(setting) ? 0 : section->number};

	*text = setting->value;
	/* Before variables come in, so that what they hold stays as it is. */
	if (field_unquotes(setting->field))
		*text = quotes_unquote(arena, *text);
	if (!*text)
		return -ENOMEM;
	int rc = expand_text(arena, number.name ? &number : NULL, *text, text,
	    words, FIELD_WORDS_BYTES);
	if (!rc && setting->field->required && !**text) {
		snprintf(words, FIELD_WORDS_BYTES,
		    "the value is empty; it must have one");
		return -EINVAL;
	}
	return rc;
}

/* "NAME=value" of a map's setting, NULL without memory. */
static const char *map_item(struct arena *arena, const struct setting *setting,
    const char *text)
{
	const char *name = setting->key + strlen(setting->field->key) + 1;
	size_t name_size = strlen(name), size = strlen(text);
	char *item = arena_alloc(arena, name_size + size + 2);

	if (item) {
		memcpy(item, name, name_size);
		item[name_size] = '=';
		memcpy(item + name_size + 1, text, size);
	}
	return item;
}

/* Puts the settings of a map into a list in the program's struct. */
static int parse_map(struct config *config, struct section *section,
    const struct config_field *field)
{
	struct arena *arena = &config->tree.arena;
	char words[FIELD_WORDS_BYTES];
	struct setting *setting;
	size_t count = 0;

	STAILQ_FOREACH(setting, &section->settings, link)
		count += setting->field == field;
	const char **list = arena_alloc(arena, (count + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	memcpy((char *)section->data + field->offset, &list, sizeof(list));
	STAILQ_FOREACH(setting, &section->settings, link) {
		const char *text;
		if (setting->field != field || !setting->value)
			continue;
		int rc = prepare(config, section, setting, &text, words);
		if (rc == -EINVAL) {
			refuse(config, section, setting, words);
			continue;
		}
		if (rc)
			return rc;
		*list = map_item(arena, setting, text);
		if (!*list++)
			return -ENOMEM;
	}
	return 0;
}

static int parse_setting(struct config *config, struct section *section,
    const struct setting *setting)
{
	char words[FIELD_WORDS_BYTES];
	const char *text;

	if (setting->field->type == CONFIG_MAP)
		return parse_map(config, section, setting->field);
	if (!setting->value)
		return 0;
	int rc = prepare(config, section, setting, &text, words);
	if (!rc)
		rc = field_parse(&config->tree.arena, setting->field, text,
		    section->data, words);
	if (rc != -EINVAL)
		return rc;
	refuse(config, section, setting, words);
	return 0;
}

static int check_section(struct config *config, struct section *section)
{
	const struct config_section *declared = section->declared;
	const struct table *table = table_of(config, declared);
	struct setting *setting;

	section->data = arena_alloc(&config->tree.arena, declared->size);
	if (!section->data)
		return -ENOMEM;
	if (declared->size)
		memcpy(section->data, table->defaults, declared->size);
	for (size_t i = 0; i < table->field_count; i++)
		config->by_field[i] = NULL;
	STAILQ_FOREACH(setting, &section->settings, link) {
		size_t i = (size_t)(setting->field - declared->fields);
		if (!config->by_field[i])
			config->by_field[i] = setting;
	}
	for (size_t i = 0; i < table->field_count; i++) {
		const struct config_field *field = &declared->fields[i];
		if (config->by_field[i]) {
			int rc =
			    parse_setting(config, section, config->by_field[i]);
			if (rc)
				return rc;
		} else if (field->required && !section->detached &&
			   section->number <= 1) {
			findings_add(&config->tree.findings, section->source,
			    section->line, section->title, field->key,
			    "key '%s%s' is missing; it must be there",
			    field->key,
			    field->type == CONFIG_MAP ? ".NAME" : "");
		}
	}
	return 0;
}

static int check(struct config *config)
{
	struct section *section;
	int rc = instances_make(&config->tree);

	if (!rc)
		rc = fill_tables(config);

	STAILQ_FOREACH(section, &config->tree.sections, link) {
		if (!rc && section->declared)
			rc = check_section(config, section);
	}
	for (size_t i = 0; i < config->table_count && !rc; i++) {
		const struct table *table = &config->tables[i];
		if (!table->declared->required || table->count)
			continue;
		size_t size;
		bool named = tree_named(table->declared, &size);
		/* At the end of the file, where it could be added. */
		findings_add(&config->tree.findings, config->main,
		    config->main->lines, "", "",
		    "section [%s%s] is missing; it must be there",
		    table->declared->name, named ? "NAME" : "");
	}
	return rc;
}

/* ---- from the outside ---------------------------------------------------- */

/* The first error for error_of(), and the code for all of them. */
static int result(const struct config *config)
{
	char text[1024];
	size_t count;
	const struct config_error *errors = config_errors(config, &count);

	if (!count)
		return 0;
	config_error_format(&errors[0], text, sizeof(text));
	return error_set(-EINVAL, "%s", text);
}

static int no_memory(const char *name, struct config **config)
{
	config_free(config);
	return error_set(-ENOMEM, "%s: no memory to read it", name);
}

/* A config with its tables and the main source, nothing read yet. */
static int config_new(const char *name, const struct config_section *sections,
    struct config **config)
{
	assert(name && sections);
	*config = calloc(1, sizeof(**config));
	if (!*config)
		return -ENOMEM;
	tree_init(&(*config)->tree, sections);
	(*config)->main = tree_source(&(*config)->tree, name);
	if (!(*config)->main)
		return -ENOMEM;
	return make_tables(*config);
}

static int read_and_check(struct config *config, const char *text, size_t size)
{
	int rc = include_read(&config->tree, config->main, text, size);

	tree_complete(&config->tree);
	if (!rc)
		rc = check(config);
	if (!rc && config->tree.findings.no_memory)
		rc = -ENOMEM;
	return rc;
}

int config_parse(const char *name, const char *text, size_t size,
    const struct config_section *sections, struct config **config)
{
	struct config *made;
	int rc = config_new(name, sections, &made);

	if (!rc)
		rc = read_and_check(made, text, size);
	*config = NULL;
	if (rc)
		return no_memory(name, &made);
	*config = made;
	return result(made);
}

int config_load(const char *path, const struct config_section *sections,
    struct config **config)
{
	struct source_text text = {0};
	struct config *made;
	int rc = config_new(path, sections, &made), unreadable = 0;

	*config = NULL;
	if (rc)
		return no_memory(path, &made);
	unreadable = source_read(path, &text);
	if (unreadable == -ENOMEM)
		return no_memory(path, &made);
	if (unreadable) {
		findings_add(&made->tree.findings, made->main, 0, "", "",
		    "cannot be read: %s", source_error(unreadable));
	} else {
		made->main->device = text.device;
		made->main->inode = text.inode;
		rc = read_and_check(made, text.text, text.size);
		free(text.text);
	}
	if (rc || made->tree.findings.no_memory)
		return no_memory(path, &made);
	*config = made;
	rc = result(made);
	return unreadable ? error_set(unreadable, "%s", error_of(rc).text) : rc;
}

void config_free(struct config **config)
{
	if (!*config)
		return;
	tree_fini(&(*config)->tree);
	free(*config);
	*config = NULL;
}

const struct config_error *config_errors(const struct config *config,
    size_t *count)
{
	return findings_errors(&config->tree.findings, count);
}

int config_error_format(const struct config_error *error, char *text,
    size_t size)
{
	char file[512], line[16] = "", section[80] = "", key[80] = "";

	printable(file, sizeof(file), error->file);
	if (error->line)
		snprintf(line, sizeof(line), ":%d", error->line);
	if (*error->section && *error->key)
		snprintf(section, sizeof(section), "[%s] ", error->section);
	else if (*error->section)
		snprintf(section, sizeof(section), "[%s]: ", error->section);
	if (*error->key)
		snprintf(key, sizeof(key), "%s: ", error->key);
	return snprintf(text, size, "%s%s: %s%s%s", file, line, section, key,
	    error->text);
}

/* ---- what was read ------------------------------------------------------- */

static const struct table *find_table(const struct config *config,
    const char *section)
{
	for (size_t i = 0; i < config->table_count; i++) {
		if (!strcmp(config->tables[i].declared->name, section))
			return &config->tables[i];
	}
	return NULL;
}

static const struct section *find_section(const struct config *config,
    const char *section, size_t i)
{
	const struct table *table = find_table(config, section);

	return table && i < table->count ? table->sections[i] : NULL;
}

const void *config_get(const struct config *config, const char *section)
{
	const struct table *table = find_table(config, section);
	size_t size;

	if (!table || tree_named(table->declared, &size))
		return NULL;
	return table->count ? table->sections[0]->data : table->defaults;
}

size_t config_count(const struct config *config, const char *section)
{
	const struct table *table = find_table(config, section);

	return table ? table->count : 0;
}

const char *config_name(const struct config *config, const char *section,
    size_t i)
{
	const struct section *found = find_section(config, section, i);

	return found ? found->name : NULL;
}

const void *config_at(const struct config *config, const char *section,
    size_t i)
{
	const struct section *found = find_section(config, section, i);

	return found ? found->data : NULL;
}

const char *config_where(const struct config *config, const char *section,
    size_t i, int *line)
{
	const struct section *found = find_section(config, section, i);

	if (line)
		*line = found ? found->line : 0;
	return found ? found->source->name : NULL;
}

const char *config_instance(const struct config *config, const char *section,
    size_t i, int64_t *number)
{
	const struct section *found = find_section(config, section, i);

	*number = found ? found->number : 0;
	return found ? found->group : NULL;
}

/* The setting of "key", or the first of "key.NAME". */
static const struct setting *find_setting(const struct section *section,
    const char *key)
{
	const struct setting *setting, *map = NULL;
	size_t size = strlen(key);

	STAILQ_FOREACH(setting, &section->settings, link) {
		if (!strcmp(setting->key, key))
			return setting;
		if (!map && setting->field->type == CONFIG_MAP &&
		    !strncmp(setting->key, key, size) &&
		    setting->key[size] == '.')
			map = setting;
	}
	return map;
}

bool config_has(const struct config *config, const char *section, size_t i,
    const char *key)
{
	const struct section *found = find_section(config, section, i);

	return found && find_setting(found, key);
}

int config_refuse(struct config *config, const char *section, size_t i,
    const char *key, const char *fmt, ...)
{
	const struct section *found = find_section(config, section, i);
	const struct setting *setting =
	    found && key ? find_setting(found, key) : NULL;
	struct findings *findings = &config->tree.findings;
	const struct source *source = config->main;
	int line = source->lines;
	char text[1024];
	va_list ap;

	assert(find_table(config, section));
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (setting) {
		source = setting->source;
		line = setting->line;
		key = setting->key;
	} else if (found) {
		source = found->source;
		line = found->line;
	}
	if (found)
		add_finding(config, found, source, line, key ? key : "", text);
	else
		findings_add(findings, source, line, section, key ? key : "",
		    "%s", text);
	if (findings->no_memory)
		return error_set(-ENOMEM, "no memory for an error of %s",
		    source->name);
	return result(config);
}
