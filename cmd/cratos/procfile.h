/*
 * A Procfile: lines "NAME: COMMAND", as foreman has them. It is told as an ini
 * file, so that all that follows, keys, checks and errors, is the same.
 */
#ifndef CRATOS_CMD_PROCFILE_H
#define CRATOS_CMD_PROCFILE_H

#include <stdbool.h>
#include <stddef.h>

#include <cratos/config.h>

struct process;

/* One that is all zero stands for a file that is none. */
struct procfile {
	char *ini; /* the ini file that says the same */
	size_t ini_size;
	char *text; /* its own, that of the processes */
	struct process *processes; /* a section each, in this order */
	size_t count;
};

/* Whether a file of that name is one: Procfile or Procfile.*, but not *.ini. */
bool procfile_is(const char *path);

/*
 * Reads the Procfile, and the .env beside it, into *config, as config_load does
 * with an ini file: *config has all that is wrong, and is NULL without memory.
 * procfile_fini in any case.
 */
void procfile_load(struct procfile *file, const char *path,
    const struct config_section *sections, struct config **config);

void procfile_fini(struct procfile *file);

/* An error of that config, in the words of the Procfile: its line, and the
 * name of the process. Holds as long as both. */
struct config_error procfile_error(const struct procfile *file,
    const struct config_error *error);

#endif
