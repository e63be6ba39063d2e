/* The command: its sub-commands, and its exit statuses. */
#ifndef CRATOS_CMD_MAIN_H
#define CRATOS_CMD_MAIN_H

#include <stdbool.h>

enum {
	EXIT_CLEAN = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_CONFIG = 78 /* EX_CONFIG of sysexits.h */
	/* 124: something was stuck; 128+n: forced by signal n */
};

enum output { OUTPUT_LINES, OUTPUT_JSON };

struct run_options {
	const char *path;
	enum output output;
	bool quiet;
};

int run_command(const struct run_options *options);
int check_command(const char *path);

#endif
