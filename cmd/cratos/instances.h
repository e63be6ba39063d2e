/* The key "instances": sections that stand for several servers. */
#ifndef CRATOS_CMD_INSTANCES_H
#define CRATOS_CMD_INSTANCES_H

#include <stdbool.h>
#include <stddef.h>

struct appfile;
struct appfile_server;

/* What tells an instance, in its environment and in values, which one it is. */
#define INSTANCES_VARIABLE "CRATOS_INSTANCE"

/* Whether a name in "after" and "wants" means the server: its own, or that of
 * its section. */
bool instances_match(const struct appfile_server *server, const char *name);

/*
 * A list of names with each name of a section that has instances replaced by
 * theirs; NULL if there is none. To be freed with free(3), the names being the
 * file's. 0 or -ENOMEM.
 */
int instances_names(const struct appfile *file, const char *const *names,
    const char ***list);

/*
 * The key "env" of a server, with its number before all else; to be freed in
 * the same way. NULL without memory.
 */
const char **instances_env(const struct appfile_server *server);

#endif
