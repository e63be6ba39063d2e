/* The thread's last error, and how it becomes a struct error. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "errgroup/error_thread.h"

_Thread_local struct error error_thread;

int error_set(int code, const char *fmt, ...)
{
	va_list ap;
	int saved = errno;

	assert(code <= 0);
	error_thread.code = code;
	va_start(ap, fmt);
	vsnprintf(error_thread.text, sizeof(error_thread.text), fmt, ap);
	va_end(ap);
	errno = saved;
	return code;
}

struct error error_plain(int code)
{
	struct error err = {.code = code};
	char buffer[sizeof(err.text)];

	/* The GNU strerror_r may answer with a constant instead of filling
	 * the buffer. */
	if (code)
		snprintf(err.text, sizeof(err.text), "%s",
		    strerror_r(-code, buffer, sizeof(buffer)));
	return err;
}

struct error error_of(int code)
{
	struct error err;

	assert(code <= 0);
	if (!code || error_thread.code != code)
		return error_plain(code);
	err = error_thread;
	error_origin(&err, NULL);
	return err;
}

void error_origin(struct error *err, const char *origin)
{
	snprintf(err->origin, sizeof(err->origin), "%s", origin ? origin : "");
}
