/* Contexts for the rooms above: what the public ones do, for less. */
#ifndef CRATOS_AFTER_H
#define CRATOS_AFTER_H

#include <cratos/context.h>

#include "errgroup/worker.h"

/*
 * Runs the job on a thread of the pool once ctx is done; never if that is the
 * background context. 0, -ENOMEM, -EAGAIN, and then the job is the caller's
 * still.
 */
int context_after_job(struct context *ctx, struct job *job);

/*
 * As context_with_cancel, for a context that is there only to have jobs run
 * after it: it is smaller.
 */
struct context *context_for_jobs(struct context *parent);

/*
 * As context_cancel without a cause, but does not post what runs after it: that
 * comes at the end of *jobs, for the caller to post with that of other contexts.
 */
void context_cancel_for_jobs(struct context *ctx, struct job_list *jobs);

/*
 * A context with the parent's values that ends at deadline_ms, INT64_MAX: never,
 * and not with the parent. NULL with errno ENOMEM or EAGAIN.
 */
struct context *context_detached(struct context *parent, int64_t deadline_ms);

#endif
