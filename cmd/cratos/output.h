/*
 * What servers print: read from pipes, on one thread for all of them, and
 * printed line by line among the events, or put into files.
 */
#ifndef CRATOS_CMD_OUTPUT_H
#define CRATOS_CMD_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/cratos/print.h"

struct admin;

/* Where a server's lines come from. */
struct output;
struct exec;

/* Where it goes. */
struct output_options {
	const char *name; /* the server's */
	unsigned int colour; /* which of some */
	const char *path; /* of a file; NULL: printed */
	int64_t file_size; /* see logfile.h */
	int file_keep;
};

/* Who prints; until output_end. */
void output_begin(const struct printer *printer);

/*
 * Gives what servers print to admin_log as well, before it is printed; NULL: no
 * more.
 */
void output_keep(struct admin *admin);

/*
 * Raises the limit of descriptors, if it is too low for so many servers, as
 * far as it may be. Programs that are started later have that limit, too.
 */
void output_make_room(size_t servers);

/*
 * A pipe for a server's stdout and stderr: *fd, which is the caller's to close.
 * What comes from it is printed until it ends, that is, all who can write to
 * it have gone, whether *output has been freed or not. Returns 0 or a negative
 * errno, with words. From any thread.
 */
int output_open(struct output **output, const struct output_options *options,
    int *fd);

/*
 * Has exec_printed told what the program prints; until output_tell_no_more, which
 * comes before exec_free. From any thread.
 */
void output_tell(struct output *output, struct exec *exec);
void output_tell_no_more(const struct exec *exec);

/*
 * Has all files opened anew, under their names. Does not block, nor wait for it;
 * from any thread.
 */
void output_reopen(void);

/* Lets go of it. Accepts the address of NULL. */
void output_free(struct output **output);

/*
 * Prints what is in the pipe by now, so that it stands before what is printed
 * next. If the server has ended, that is all of it: a line without a newline
 * is one. Blocks only if standard error is a file; if there is no room for
 * lines (writer.h), it is printed later. NULL is none.
 */
void output_settle(struct output *output, bool ended);

/*
 * Prints what is in all pipes by now, and no more after that. Blocks until it
 * is done, but for 500 ms at most.
 */
void output_end(void);

#endif
