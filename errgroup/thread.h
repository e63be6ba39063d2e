/* How every thread of the library is made. */
#ifndef CRATOS_THREAD_H
#define CRATOS_THREAD_H

/*
 * Starts a detached thread that has all signals blocked but the synchronous
 * ones, and the stack that errgroup_set_stack_size says. Returns 0 or a negative
 * errno (-EAGAIN, -ENOMEM).
 */
int thread_start(void *(*main)(void *arg), void *arg);

#endif
