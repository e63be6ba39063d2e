/* What the rest of the library knows of a thread's last error. */
#ifndef CRATOS_ERROR_THREAD_H
#define CRATOS_ERROR_THREAD_H

#include <stddef.h>

#include <cratos/error.h>

enum { ERROR_TEXT_SIZE = sizeof(((struct error *)NULL)->text) };

/*
 * Code 0 means that the thread has said nothing. The text is not in here: that
 * would make each thread touch a page more of its stack.
 */
struct error_thread {
	int code;
	char *text; /* ERROR_TEXT_SIZE; NULL: not needed so far */
};
extern _Thread_local struct error_thread error_thread;

/* The error of a code with the code's own words, those of strerror(3). */
struct error error_plain(int code);

/* Sets the origin of an error; cut to fit, NULL is "". */
void error_origin(struct error *err, const char *origin);

#endif
