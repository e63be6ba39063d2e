/* The thread's last error, and how it becomes a struct error. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "errgroup/error_thread.h"

_Thread_local struct error_thread error_thread;

static pthread_key_t key; /* frees a thread's text with the thread */
static bool has_key;

/* A later destructor of the thread may set an error again. */
static void thread_ends(void *text)
{
	error_thread = (struct error_thread){0};
	free(text);
}

static void make_key(void)
{
	has_key = !pthread_key_create(&key, thread_ends);
}

static char *allocate_text(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char *text;

	pthread_once(&once, make_key);
	text = has_key ? malloc(ERROR_TEXT_SIZE) : NULL;
	if (text && pthread_setspecific(key, text)) {
		free(text);
		text = NULL;
	}
	return text;
}

/*
 * Threads of the pool come with a text, and the first thread has this one. So
 * only one that a program has made may be without, if there is no memory.
 */
static char *text_of_thread(void)
{
	static char first[ERROR_TEXT_SIZE];

	if (!error_thread.text)
		error_thread.text =
		    gettid() == getpid() ? first : allocate_text();
	return error_thread.text;
}

int error_set(int code, const char *fmt, ...)
{
	int saved = errno;
	char *text = text_of_thread();
	va_list ap;

	assert(code <= 0);
	error_thread.code = code;
	errno = saved; /* for %m */
	va_start(ap, fmt);
	if (text)
		vsnprintf(text, ERROR_TEXT_SIZE, fmt, ap);
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
	struct error err = {.code = code};

	assert(code <= 0);
	if (!code || error_thread.code != code || !error_thread.text)
		return error_plain(code);
	strcpy(err.text, error_thread.text);
	return err;
}

void error_origin(struct error *err, const char *origin)
{
	snprintf(err->origin, sizeof(err->origin), "%s", origin ? origin : "");
}
