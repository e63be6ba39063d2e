/* The threads that the command has of its own. */
#ifndef CRATOS_CMD_THREAD_H
#define CRATOS_CMD_THREAD_H

/*
 * Starts a thread that nobody joins, and that no signal is handled on. Returns
 * 0 or a negative errno.
 */
int thread_start(void *(*fn)(void *arg));

#endif
