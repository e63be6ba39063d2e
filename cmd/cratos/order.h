/* What comes after what in a file. */
#ifndef CRATOS_CMD_ORDER_H
#define CRATOS_CMD_ORDER_H

#include "cmd/cratos/appfile.h"

/* Refuses names in `after` and `wants` of the i-th section that no section
 * has, or that are its own. Returns how many. */
size_t order_check_names(struct appfile *file, size_t i);

/*
 * Refuses what an app would refuse of all servers together: cycles. Once all
 * else is right.
 */
void order_check(struct appfile *file);

/*
 * How many steps must come before each server's start: 0 for those that start
 * at once. Of a file that is right. NULL without memory, to be freed.
 */
size_t *order_levels(const struct appfile *file);

#endif
