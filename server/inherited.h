/*
 * Sockets that the process was started with, by a service manager that listens
 * for it: sd_listen_fds(3). They stay open, and listen, as long as the process
 * lives, whoever accepts from them. An address "fd:NAME" means those of a name.
 * From any thread.
 */
#ifndef CRATOS_INHERITED_H
#define CRATOS_INHERITED_H

#include <stdbool.h>
#include <stddef.h>

enum { INHERITED_MAX = 64, INHERITED_NAME_MAX = 255 };

/*
 * Takes LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment, once,
 * and makes the descriptors close-on-exec; the other functions do that as well.
 */
void inherited_take(void);

/* How many there are. */
size_t inherited_count(void);

bool inherited_is_address(const char *address);

/* 0, or -EINVAL with words. */
int inherited_check(const char *address);

/*
 * The descriptors of an address, which stay ours: their number, up to
 * INHERITED_MAX, or -ENOENT with words, or what inherited_check says.
 */
int inherited_find(const char *address, int fds[static INHERITED_MAX]);

#endif
