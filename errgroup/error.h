/*
 * Errors: a negative errno says what, an origin who, a text why.
 *
 * A function of the library, or a task, returns 0 or a negative errno. The
 * words behind the number stay in the thread, put there by error_set(); who
 * receives the number there and then (an errgroup, the app) picks them up.
 * So an error travels by value: no text outlives its owner, and nothing is
 * allocated on a failure path.
 */
#ifndef CRATOS_ERROR_H
#define CRATOS_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

struct error {
	int code; /* 0, or a negative errno */
	char origin[32]; /* who failed: a task, a server, "before-stop hook" */
	char text[220]; /* why, for people; never parse it */
};

/*
 * Leaves the words of a failure in the calling thread and returns code, so
 * that a task can end with
 *
 *	return error_set(-errno, "bind %s: %m", address);
 *
 * fmt is that of printf(3), %m included. The text is cut to fit struct error
 * and holds until the thread's next error_set. code is a negative errno; a
 * positive one is a programmer error. Does not block, keeps errno, and may be
 * called from any thread. Does not allocate in a task, a server, a hook or the
 * first thread; any other thread has its room allocated by its first call, and
 * leaves only the code if there is no memory.
 */
int error_set(int code, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/*
 * The error behind a code that a function on this thread has just returned:
 * the thread's words if error_set was last called with that very code, else
 * the code's own (those of strerror(3)). The origin is empty. Code 0 gives an
 * error of zeros. May be called from any thread.
 */
struct error error_of(int code);

#ifdef __cplusplus
}
#endif

#endif
