/* The command's sub-commands. Their exit statuses are those of enum app_exit. */
#ifndef CRATOS_CMD_MAIN_H
#define CRATOS_CMD_MAIN_H

#include <stdbool.h>

enum output_format { OUTPUT_LINES, OUTPUT_JSON };

struct run_options {
	const char *path;
	enum output_format output;
	bool quiet;
	bool ini; /* of a Procfile */
};

int run_command(const struct run_options *options);
int check_command(const struct run_options *options);

/* Its own options; the exit status may be the command's. */
int exec_command(int argc, char **argv);
extern const char exec_help[];

/* To standard output; the exit status. */
int print_help(const char *text);

#endif
