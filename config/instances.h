/* Sections that stand for several. */
#ifndef CRATOS_CONFIG_INSTANCES_H
#define CRATOS_CONFIG_INSTANCES_H

#include <stdbool.h>

#include "config/tree.h"

/*
 * Puts the instances of each section that has some in its place. Once all files
 * are read, and before values are looked at. The only failure is -ENOMEM; what
 * is wrong is a finding, or is for the check of values to find.
 */
int instances_make(struct tree *tree);

/* Whether it says how many instances there are. */
bool instances_is_count(const struct setting *setting);

#endif
