/* The file of "cratos run": the app that it describes. */
#ifndef CRATOS_CMD_APPFILE_H
#define CRATOS_CMD_APPFILE_H

#include <stdbool.h>
#include <stddef.h>

#include <cratos/admin.h>
#include <cratos/app.h>
#include <cratos/config.h>

#include "cmd/cratos/keys.h"
#include "cmd/cratos/log.h"
#include "cmd/cratos/procfile.h"

/* One server that was made from its section: a child or a built-in. */
struct appfile_server {
	const char *name, *section; /* the latter as it is in the file */
	int64_t number; /* which instance of it, from 1 on; 0: it has none */
	const struct server_keys *keys;
	/* Those of keys, with the instances that names of sections stand for. */
	const char **after, **wants;
	struct log log;
	struct output *output; /* of what runs and is read; or NULL */
	struct server server; /* with a release */
	/* Its child, NULL if it is none; of a server that stays in a reload
	 * that which runs. */
	struct exec *exec;
	bool given; /* to an app, which releases it */
	bool has_ended, stop_is_told; /* the printer's */
};

struct output;
struct printer;

struct appfile {
	struct config *config; /* owns all texts; NULL: no memory for it */
	struct config *defaults;
	struct procfile procfile; /* that config was made from; or all zero */
	const struct app_keys *app;
	struct appfile_server *servers;
	size_t count;
	/* How it differs from the one that it was loaded to replace. */
	size_t added, changed, removed;
};

/*
 * Reads the file, an ini file or a Procfile, and makes its servers; starts nothing. Prints what is wrong
 * (print_problem), a line each, and returns the exit status, 0 if nothing is. With
 * thorough, programs and folders are looked for as well. With in_force, a file
 * that an app runs, what cannot change meanwhile is wrong if it has.
 */
int appfile_load(struct appfile *file, const char *path, bool thorough,
    const struct appfile *in_force, const struct printer *printer);

/* The error of the config in words, with file and line. */
void appfile_error(const struct appfile *file, const struct config_error *error,
    char *text, size_t size);

/* Also of one that is all zero. Servers that were given away stay. */
void appfile_free(struct appfile *file);

/* The server of that name, or NULL. */
struct appfile_server *appfile_find(const struct appfile *file,
    const char *name);

/*
 * What others see of the app, and may tell it. 0, or -EINVAL with words if the
 * mode is none.
 */
int appfile_admin(const struct app_keys *keys, struct admin_options *options);

/* What runs, as the file has it. */
const char *appfile_command(const struct appfile_server *server);

/*
 * Has the app_reload_* functions do what makes the app of file, a loaded one,
 * from that of in_force, and counts it in file. The servers that are new or
 * changed are given away. 0, or what one of these functions says.
 */
int appfile_change(struct appfile *file, const struct appfile *in_force,
    struct app_reload *reload);

/* "SIGTERM"; for a number without a name, "signal 99". */
const char *signal_name(int signal);

#endif
