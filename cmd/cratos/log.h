/* Where what a server prints goes, as the file says. */
#ifndef CRATOS_CMD_LOG_H
#define CRATOS_CMD_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct appfile;

enum log_kind { LOG_LINES, LOG_INHERIT, LOG_NULL, LOG_FILE };

struct log {
	enum log_kind kind;
	char *path; /* of a file, with the name in it */
	char *real; /* the same file's, whatever path it is given by */
	bool is_new; /* see log_opens */
	int64_t size; /* 0: no limit */
	int keep;
};

/*
 * Sets the log of the i-th server from its keys, or else those of [app]; false,
 * and config_refuse says why, if that cannot be. With thorough, the file is to
 * be one that can be written.
 */
bool log_resolve(struct appfile *file, size_t i, bool thorough);
void log_fini(struct log *log);

/*
 * The file is about to be opened. log_undo removes one that is made by this and
 * has nothing in it.
 */
void log_opens(struct log *log);
void log_undo(struct log *log);

/* What is wrong with these keys of [app]. Once all servers are resolved. */
void log_check_app(struct appfile *file);

bool log_same(const struct log *a, const struct log *b);

#endif
