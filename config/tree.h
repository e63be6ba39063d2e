/* The sections and keys of all files, before their values are looked at. */
#ifndef CRATOS_CONFIG_TREE_H
#define CRATOS_CONFIG_TREE_H

#include <stdbool.h>
#include <sys/queue.h>

#include <cratos/config.h>

#include "config/arena.h"
#include "config/findings.h"
#include "config/source.h"

/* The longest NAME of a section. */
enum { TREE_NAME_BYTES = 31 };

struct setting {
	STAILQ_ENTRY(setting) link;
	const struct section *section;
	const struct config_field *field; /* NULL: include */
	const char *key;
	const char *value; /* NULL: was refused */
	const struct source *source;
	int line;
};
STAILQ_HEAD(setting_list, setting);

struct section {
	STAILQ_ENTRY(section) link;
	const struct config_section *declared; /* NULL: [app] of our own */
	const char *title; /* "server:web" */
	const char *name; /* "web", or ""; of an instance "web-1" */
	const char *group; /* of an instance "web", else as name */
	int64_t number; /* of an instance, from 1 on; else 0 */
	const struct source *source;
	int line;
	const struct source *last; /* that has opened it, of [app] */
	bool detached; /* a name twice, or a wrong one: checked, no more */
	struct setting_list settings;
	void *data; /* the program's struct */
};
STAILQ_HEAD(section_list, section);

struct tree {
	const struct config_section *declared;
	struct arena arena;
	struct findings findings;
	struct source_list sources;
	int source_count;
	struct section_list sections;
	/* While a source is read: */
	struct section *current; /* NULL: its keys cannot be checked */
	bool begun; /* there was a section in this source */
	const struct setting *include;
	const struct config_section *listed; /* whose keys were told last */
	void *by_title, *by_key; /* of tsearch(3) */
};

void tree_init(struct tree *tree, const struct config_section *declared);
void tree_fini(struct tree *tree);

/* Drops what only reading needs. */
void tree_complete(struct tree *tree);

/* The next source, NULL without memory. name is copied. */
struct source *tree_source(struct tree *tree, const char *name);

/*
 * What a line says; errors are reported, with the only failure -ENOMEM. A NULL
 * title is a section whose name cannot be known, a NULL value one that has been
 * refused already. Texts are copied.
 */
int tree_section(struct tree *tree, const struct source *source, int line,
    const char *title);
int tree_setting(struct tree *tree, const struct source *source, int line,
    const char *key, const char *value);

/* Whether declared is for any number of sections, and the length of "server"
 * of its "server:". */
bool tree_named(const struct config_section *declared, size_t *size);

#endif
