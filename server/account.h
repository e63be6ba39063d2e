/* Who a child is to be: a user and groups, by name or number. */
#ifndef CRATOS_ACCOUNT_H
#define CRATOS_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct account {
	bool changes_user, changes_group, changes_groups; /* from ours */
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* the supplementary ones */
	size_t group_count;
	/* HOME=, USER= and LOGNAME=, if the user is known by name; or none. */
	char *env[4];
};

/*
 * Looks up a user, or a group, or both (NULL: ours). Blocks on the user
 * database. 0, or a negative errno with words that begin with "user: " or
 * "group: "; account_fini in any case.
 */
int account_find(const char *user, const char *group, struct account *account);

void account_fini(struct account *account);

#endif
