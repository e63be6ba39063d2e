/*
 * Contexts: when to end, why, and values for those below; after Go's package
 * context.
 *
 * A context is done when it is cancelled, when its deadline passes, or when
 * its parent is done; it stays done. Contexts form a tree: whoever makes a
 * child frees it. Every function here may be called from any thread.
 *
 * A parent of NULL is the background context. Times are milliseconds;
 * deadlines are points of CLOCK_MONOTONIC. A function that makes a context
 * returns NULL with errno ENOMEM when memory is out, and, where it needs the
 * thread that watches deadlines and that cannot be made, with errno EAGAIN.
 */
#ifndef CRATOS_CONTEXT_H
#define CRATOS_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include <cratos/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct context;
struct context_after;

/*
 * The root of all contexts: never done, no deadline, no values. It is static:
 * cancelling or freeing it is a programmer error.
 */
struct context *context_background(void);

/* A child that is done when its parent is, or when it is cancelled. */
struct context *context_with_cancel(struct context *parent);

/*
 * A child that is also done, with -ETIMEDOUT, timeout_ms after the call: never
 * earlier, at once if timeout_ms is 0 or less. A parent's earlier deadline
 * wins. A timeout too large to count is the farthest deadline there is.
 */
struct context *context_with_timeout(struct context *parent,
    int64_t timeout_ms);

/* The same, for a point in time on CLOCK_MONOTONIC. */
struct context *context_with_deadline(struct context *parent,
    int64_t deadline_ms);

/*
 * A child that carries value under key. Keys are compared by address; use the
 * address of a static variable. The value is borrowed until the context and
 * all its descendants are freed.
 */
struct context *context_with_value(struct context *parent, const void *key,
    void *value);

/*
 * A context with the values of parent, but none of its ends: not its
 * cancellation, cause or deadline. It can be cancelled by itself.
 */
struct context *context_without_cancel(struct context *parent);

/*
 * Makes ctx and all its descendants done: on return context_err() of each is
 * set. ctx reads -ECANCELED and cause, or -ECANCELED as the cause if cause is
 * NULL. The first error and cause of a context stay; a further cancel changes
 * nothing, but waits until the first has reached all descendants. Does not
 * wait for work: functions of context_after run on other threads. The cause is
 * copied (by a context with a value only if there is memory for it: else the text
 * of its cause says so); its code must be negative.
 */
void context_cancel(struct context *ctx, const struct error *cause);

/*
 * Cancels *ctx, gives up the caller's hold on it and sets it to NULL. Accepts
 * the address of NULL. A parent may be freed before its children: they are
 * done, and still valid until they are freed themselves. No other thread may
 * use *ctx any more.
 */
void context_free(struct context **ctx);

/*
 * 0 while ctx is live; -ECANCELED or -ETIMEDOUT once it is done. One load: the
 * library has this as a function too, but a context begins with the word that
 * it reads, as part of the ABI, so that a loop may ask at each turn.
 */
inline int context_err(const struct context *ctx)
{
	return __atomic_load_n((const int *)(const void *)ctx,
	    __ATOMIC_ACQUIRE);
}

/*
 * Why ctx is done: the cause of whoever was first to cancel it or one of its
 * ancestors, -ETIMEDOUT for a deadline. All zeros while it is live.
 */
struct error context_cause(const struct context *ctx);

/*
 * True if ctx has a deadline, its own or an ancestor's; then *deadline_ms (may
 * be NULL) is the earliest. Else false, and *deadline_ms is left alone.
 */
bool context_deadline(const struct context *ctx, int64_t *deadline_ms);

/* The nearest value under key, from ctx upwards; NULL if there is none. */
void *context_value(const struct context *ctx, const void *key);

/*
 * A descriptor that polls readable once ctx is done and from then on. It is
 * made on first use, close-on-exec, and belongs to ctx: poll it, never read
 * or close it, and stop using it before ctx is freed. Returns a negative errno
 * (-EMFILE, -ENFILE, -ENOMEM) if it cannot be made.
 */
int context_fd(struct context *ctx);

/*
 * Blocks until ctx is done, at most timeout_ms; for ever if that is negative.
 * Returns context_err(ctx), so 0 if the time ran out first.
 */
int context_wait(struct context *ctx, int64_t timeout_ms);

/*
 * Has fn(arg) called, once, when ctx is done; at once if it is already. It
 * runs on a thread of the library, never on the one that cancels; it may block
 * without holding up others, cancel contexts and make children. The handle is
 * the caller's, to be given back with context_after_stop in any case, and stays
 * valid until then, also after ctx was freed. Go's AfterFunc. Returns NULL with
 * errno ENOMEM, or EAGAIN if the library's first thread cannot be made.
 */
struct context_after *context_after(struct context *ctx, void (*fn)(void *arg),
    void *arg);

/*
 * Gives back the handle and sets *after to NULL. Returns true if this prevented
 * the call of fn, false if fn has run, runs or is about to: it does not wait
 * for it. Accepts the address of NULL (false).
 */
bool context_after_stop(struct context_after **after);

#ifdef __cplusplus
}
#endif

#endif
