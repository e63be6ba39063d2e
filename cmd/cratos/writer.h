/*
 * Lines for standard error that hold up nobody for long: not if a terminal is
 * paused, nor if the reader of a pipe has stalled.
 */
#ifndef CRATOS_CMD_WRITER_H
#define CRATOS_CMD_WRITER_H

#include <stdbool.h>
#include <stddef.h>

enum { WRITER_LINE = 8192 }; /* bytes of the longest line */

/* Makes the line that stands for `count` lost ones; returns its size. */
typedef size_t writer_lost_fn(size_t count, char line[static WRITER_LINE],
    void *arg);

/*
 * From here to writer_end, lost is called, on any thread, under a lock: it must
 * not call these functions.
 */
void writer_begin(writer_lost_fn *lost, void *arg);

/*
 * Writes the line, which ends with the only newline in it. From any thread;
 * what comes first is written first. Blocks until it is written, but for 100 ms
 * at most, and in the long run for a tenth of the time; then it is written
 * later. A line that comes when a megabyte waits already is lost.
 */
void writer_put(const char *line, size_t size);

/*
 * For lines of which none may be lost: whether there is room for some, half a
 * megabyte at most. If there is none, fn of writer_on_room is called once there
 * is, under a lock: it must not call these functions.
 */
bool writer_has_room(void);
void writer_on_room(void (*fn)(void));

/* The same, but does not wait for it. Only while there is room. */
void writer_offer(const char *lines, size_t size);

/*
 * The process is about to end: blocks until all is written, but for 500 ms at
 * most, all calls together.
 */
void writer_flush(void);

/* The same, and no more lines come. */
void writer_end(void);

#endif
