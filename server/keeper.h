/*
 * Threads of the library that last as long as the process: what the kernel ties
 * to the thread that asks for it is asked for there.
 */
#ifndef CRATOS_KEEPER_H
#define CRATOS_KEEPER_H

/*
 * Calls fn(arg) on such a thread, and returns when it has returned. There are
 * a few, so that several calls may run at a time. 0, or a negative errno with
 * words if there can be no such thread: then fn was not called.
 */
int keeper_call(void (*fn)(void *arg), void *arg);

#endif
