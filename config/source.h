/* A file of the configuration, or the text that stands for one. */
#ifndef CRATOS_CONFIG_SOURCE_H
#define CRATOS_CONFIG_SOURCE_H

#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

enum { SOURCE_MAX_BYTES = 64 << 20 };

struct source {
	STAILQ_ENTRY(source) link;
	const char *name;
	int index; /* in the order in which they are read */
	int lines; /* how many it has, at least 1 */
	int depth; /* how many files up to the first one */
	const struct source *parent; /* the file that includes this one */
	int parent_line;
	dev_t device;
	ino_t inode; /* 0 of text in memory */
};
STAILQ_HEAD(source_list, source);

/* What is in a file: an allocation of its own. */
struct source_text {
	char *text;
	size_t size;
	dev_t device;
	ino_t inode;
};

/*
 * Reads a whole regular file; blocks on the disk, but not on what is no file.
 * Returns 0 or a negative errno: -EISDIR, -EFBIG over SOURCE_MAX_BYTES,
 * -EINVAL for what is not a regular file, -ENOMEM, those of open and read. On
 * success the caller frees text->text.
 */
int source_read(const char *path, struct source_text *text);

/* The words for an error of source_read. */
const char *source_error(int code);

#endif
