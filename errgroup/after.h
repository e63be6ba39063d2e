/* context_after for those who never stop it, and have the memory. */
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

#endif
