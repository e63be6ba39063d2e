/* What the rest of the library knows of a thread's last error. */
#ifndef CRATOS_ERROR_THREAD_H
#define CRATOS_ERROR_THREAD_H

#include <cratos/error.h>

/* Code 0 means that the thread has said nothing. */
extern _Thread_local struct error error_thread;

/* The error of a code with the code's own words, those of strerror(3). */
struct error error_plain(int code);

/* Sets the origin of an error; cut to fit, NULL is "". */
void error_origin(struct error *err, const char *origin);

#endif
