/*
 * Files that take what servers print, byte by byte: PATH, and PATH.1 and on,
 * which it was before.
 */
#ifndef CRATOS_CMD_LOGFILE_H
#define CRATOS_CMD_LOGFILE_H

#include <stddef.h>
#include <stdint.h>

struct logfile;

/*
 * Opens a file, which is made if it is not there, to write at its end. Before
 * it would have more than `most` bytes (0: no limit) it becomes PATH.1, PATH.1
 * becomes PATH.2, and so on, of which `keep` stay. A line is in one file, unless
 * it is longer than that. One that is open already is the same, and has these
 * limits from now on.
 *
 * Returns 0 or a negative errno, with words. Blocks on the file system, as all
 * of these functions do; from any thread.
 */
int logfile_open(struct logfile **file, const char *path, int64_t most,
    int keep);

/* Accepts the address of NULL. */
void logfile_free(struct logfile **file);

/*
 * Returns 0, or a negative errno, with words, if something has gone wrong that
 * has not been told: until it goes well again what is written is lost, or the
 * file becomes longer than it should.
 */
int logfile_write(struct logfile *file, const char *data, size_t size);

/*
 * Opens all files anew, under their names, for what has renamed them. One that
 * cannot be opened stays as it is, and failed is called with words.
 */
void logfile_reopen_all(void (*failed)(const char *text));

#endif
