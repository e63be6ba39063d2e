/*
 * Files, and the files that they include: each is read to its end, then those
 * that it includes, in the order of the patterns, and by name within one.
 */
#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/field.h"
#include "config/include.h"
#include "config/lines.h"
#include "config/quotes.h"

enum { MAX_DEPTH = 16, MAX_FILES = 1000 };

#define WRONG(tree, setting, ...)                                           \
	findings_add(&(tree)->findings, (setting)->source, (setting)->line, \
	    "app", "include", __VA_ARGS__)

/* ---- one file ------------------------------------------------------------ */

static const struct source *find_source(const struct tree *tree,
    const struct source_text *text)
{
	const struct source *source;

	STAILQ_FOREACH(source, &tree->sources, link) {
		if (source->inode && source->inode == text->inode &&
		    source->device == text->device)
			return source;
	}
	return NULL;
}

/* Whether a file is read now, and not once more; says so if it is not. */
static bool check_new(struct tree *tree, const struct setting *setting,
    const char *path, const struct source_text *text)
{
	const struct source *found = find_source(tree, text);
	const struct source *p = setting->source;

	if (!found)
		return true;
	while (p && p != found)
		p = p->parent;
	if (!p) {
		/* The first file is above all, so this one has a parent. */
		WRONG(tree, setting, "%s is read twice; first by %s:%d", path,
		    found->parent->name, found->parent_line);
		return false;
	}
	/* The way round, backwards, as far as it has room. */
	char way[512] = "";
	size_t used = 0;
	for (p = setting->source; used < sizeof(way); p = p->parent) {
		used += (size_t)snprintf(way + used, sizeof(way) - used,
		    " <- %s", p->name);
		if (p == found)
			break;
	}
	WRONG(tree, setting, "files include one another in a circle: %s%s",
	    path, way);
	return false;
}

static int read_file(struct tree *tree, const struct setting *setting,
    const char *path)
{
	struct source_text text;

	if (tree->source_count >= MAX_FILES ||
	    setting->source->depth >= MAX_DEPTH) {
		WRONG(tree, setting,
		    "%s is not read: more than %d files, or %d deep", path,
		    MAX_FILES, MAX_DEPTH);
		return 0;
	}
	int rc = source_read(path, &text);
	if (rc == -ENOMEM)
		return rc;
	if (rc) {
		WRONG(tree, setting, "%s cannot be read: %s", path,
		    source_error(rc));
		return 0;
	}
	if (check_new(tree, setting, path, &text)) {
		struct source *source = tree_source(tree, path);
		rc = -ENOMEM;
		if (source) {
			source->parent = setting->source;
			source->parent_line = setting->line;
			source->depth = setting->source->depth + 1;
			source->device = text.device;
			source->inode = text.inode;
			rc = include_read(tree, source, text.text, text.size);
		}
	}
	free(text.text);
	return rc;
}

/* ---- patterns ------------------------------------------------------------ */

/* The path of a word relative to the including file. Its folder is not part of
 * the pattern, whatever it is called. NULL: no memory. */
static char *resolve(struct arena *arena, const char *name, const char *word,
    bool wildcard)
{
	const char *slash = strrchr(name, '/');
	size_t folder = *word != '/' && slash ? (size_t)(slash - name) + 1 : 0;
	size_t size = strlen(word);
	char *path = arena_alloc(arena, 2 * folder + size + 1);
	char *p = path;

	if (!path)
		return NULL;
	for (size_t i = 0; i < folder; i++) {
		if (wildcard && strchr("*?[]\\", name[i]))
			*p++ = '\\';
		*p++ = name[i];
	}
	memcpy(p, word, size + 1);
	return path;
}

/* What is not there has no files; what may not be read is an error. */
static int stop_unless_missing(const char *path, int error)
{
	(void)path;
	return error != ENOENT && error != ENOTDIR;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_matches(struct tree *tree, const struct setting *setting,
    const char *pattern)
{
	glob_t matches;
	int rc = glob(pattern, GLOB_NOSORT, stop_unless_missing, &matches);

	if (rc == GLOB_NOMATCH)
		return 0;
	if (rc == GLOB_ABORTED)
		WRONG(tree, setting, "%s: a folder cannot be read", pattern);
	if (rc) {
		globfree(&matches);
		return rc == GLOB_NOSPACE ? -ENOMEM : 0;
	}
	/* Sorted here, as the order of glob(3) depends on the locale. */
	qsort(matches.gl_pathv, matches.gl_pathc, sizeof(*matches.gl_pathv),
	    compare_paths);
	for (size_t i = 0; i < matches.gl_pathc && !rc; i++)
		rc = read_file(tree, setting, matches.gl_pathv[i]);
	globfree(&matches);
	return rc;
}

static int follow(struct tree *tree, const struct setting *setting)
{
	char words[FIELD_WORDS_BYTES];
	const char *value, *const *list = NULL;
	int rc = expand_text(&tree->arena, NULL, setting->value, &value, words,
	    sizeof(words));

	if (!rc) {
		rc = quotes_split(&tree->arena, value, &list);
		if (rc == -EINVAL)
			snprintf(words, sizeof(words), "a quote is not closed");
	}
	if (rc == -EINVAL) {
		WRONG(tree, setting, "%s", words);
		return 0;
	}
	if (!rc && !*list)
		WRONG(tree, setting, "the value is empty; write a path");
	for (; !rc && *list; list++) {
		bool wildcard = strpbrk(*list, "*?[") != NULL;
		char *path = resolve(&tree->arena, setting->source->name, *list,
		    wildcard);
		if (!path)
			return -ENOMEM;
		rc = wildcard ? read_matches(tree, setting, path)
			      : read_file(tree, setting, path);
	}
	return rc;
}

int include_read(struct tree *tree, struct source *source, const char *text,
    size_t size)
{
	int rc = lines_read(tree, source, text, size);
	const struct setting *setting = tree->include;

	/* The files that follow have settings of their own. */
	return rc || !setting || !setting->value ? rc : follow(tree, setting);
}
