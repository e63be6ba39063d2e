/* Files of NAME=value lines. */
#ifndef CRATOS_ENVFILE_H
#define CRATOS_ENVFILE_H

struct envfile {
	char *text; /* owns what the entries point to */
	const char **entries; /* "NAME=value", NULL-terminated */
};

/*
 * Reads path, seen from dir_fd. 0, or a negative errno with words that begin
 * with "env_file: " and have the line, if it is one's fault; envfile_fini in
 * any case.
 */
int envfile_read(int dir_fd, const char *path, struct envfile *file);

void envfile_fini(struct envfile *file);

#endif
