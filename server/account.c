/*
 * Users and groups, as su(1) and login(1) make of them: the user's own group,
 * those of the group database that list it, HOME, USER, LOGNAME.
 *
 * What would change nothing is left out, so that one who is not root may name
 * himself.
 */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cratos/error.h>

#include "server/account.h"

enum { DATA_BYTES_MAX = 1 << 20 }; /* of an entry in a database */

/* A number that is an id: digits only, and not the one that means none. */
static bool is_id(const char *text, uint32_t *id)
{
	size_t digits = strspn(text, "0123456789");
	char *end;
	unsigned long long number;

	if (!digits || text[digits] || digits > 10)
		return false;
	number = strtoull(text, &end, 10);
	*id = (uint32_t)number;
	return number < UINT32_MAX;
}

static int no_memory(const char *option)
{
	errno = ENOMEM;
	return error_set(-ENOMEM, "%s: %m", option);
}

/* ---- the databases ---- */

/* Both of them are asked with more room until there is enough. */
typedef int ask_fn(const char *name, uint32_t id, void *entry, char *data,
    size_t size, bool *found);

static int ask_user(const char *name, uint32_t id, void *entry, char *data,
    size_t size, bool *found)
{
	struct passwd *result;
	int ret = name ? getpwnam_r(name, entry, data, size, &result)
		       : getpwuid_r(id, entry, data, size, &result);

	*found = !ret && result;
	return ret;
}

static int ask_group(const char *name, uint32_t id, void *entry, char *data,
    size_t size, bool *found)
{
	struct group *result;
	int ret = name ? getgrnam_r(name, entry, data, size, &result)
		       : getgrgid_r(id, entry, data, size, &result);

	*found = !ret && result;
	return ret;
}

/* Some say of what is not there that it is not there. */
static bool is_absence(int code)
{
	return code == ENOENT || code == ESRCH || code == EBADF ||
	       code == EPERM;
}

/* 0 and whether it was found, with its *data to be freed; or a negative errno. */
static int ask(ask_fn *fn, const char *name, uint32_t id, void *entry,
    char **data, bool *found)
{
	size_t size = 1024;
	int ret;

	*data = NULL;
	do {
		char *more = realloc(*data, size);

		if (!more)
			return -ENOMEM;
		*data = more;
		ret = fn(name, id, entry, *data, size, found);
		size *= 2;
	} while (ret == EINTR || (ret == ERANGE && size <= DATA_BYTES_MAX));
	return is_absence(ret) ? 0 : -ret;
}

/* ---- the user ---- */

static char *variable(const char *name, const char *value)
{
	char *text = malloc(strlen(name) + strlen(value) + 2);

	if (text)
		sprintf(text, "%s=%s", name, value);
	return text;
}

static int set_env(struct account *account, const struct passwd *entry)
{
	account->env[0] = variable("HOME", entry->pw_dir);
	account->env[1] = variable("USER", entry->pw_name);
	account->env[2] = variable("LOGNAME", entry->pw_name);
	return account->env[0] && account->env[1] && account->env[2]
		   ? 0
		   : no_memory("user");
}

/* The groups of a user that is known by name, gid among them. */
static int set_groups(struct account *account, const char *name)
{
	int room = 16, count, ret;

	do {
		gid_t *more =
		    realloc(account->groups, sizeof(gid_t) * (size_t)room);

		if (!more)
			return no_memory("user");
		account->groups = more;
		count = room;
		ret = getgrouplist(name, account->gid, more, &count);
		room = count > room ? count : room * 2;
	} while (ret < 0 && room <= 1 << 16);
	if (ret < 0)
		return error_set(-E2BIG, "user: %s is in too many groups",
		    name);
	account->group_count = (size_t)count;
	return 0;
}

static int set_only_group(struct account *account)
{
	account->groups = malloc(sizeof(gid_t));
	if (!account->groups)
		return no_memory("group");
	account->groups[0] = account->gid;
	account->group_count = 1;
	return 0;
}

/* An entry that was found. */
static int take_user(struct account *account, const struct passwd *entry,
    bool own_group)
{
	int ret;

	account->uid = entry->pw_uid;
	if (own_group)
		account->gid = entry->pw_gid;
	ret = set_env(account, entry);
	return ret ? ret : set_groups(account, entry->pw_name);
}

static int find_user(const char *user, bool own_group, struct account *account)
{
	struct passwd entry;
	uint32_t id = 0;
	bool found, numeric = is_id(user, &id);
	char *data;
	int ret =
	    ask(ask_user, numeric ? NULL : user, id, &entry, &data, &found);

	account->uid = id;
	errno = -ret;
	if (ret)
		error_set(ret, "user: cannot look up %s: %m", user);
	else if (found)
		ret = take_user(account, &entry, own_group);
	else if (!numeric)
		ret = error_set(-ENOENT, "user: there is no user %s", user);
	else if (own_group)
		ret = error_set(-ENOENT,
		    "user: %s has no entry in the user database, so its group "
		    "is not known: give group, too",
		    user);
	else
		ret = set_only_group(account);
	free(data);
	return ret;
}

static int find_group(const char *group, gid_t *gid)
{
	struct group entry;
	bool found = false;
	uint32_t id;
	char *data;
	int ret;

	if (is_id(group, &id)) {
		*gid = id;
		return 0;
	}
	ret = ask(ask_group, group, 0, &entry, &data, &found);
	errno = -ret;
	if (ret)
		error_set(ret, "group: cannot look up %s: %m", group);
	else if (!found)
		ret = error_set(-ENOENT, "group: there is no group %s", group);
	else
		*gid = entry.gr_gid;
	free(data);
	return ret;
}

/* ---- what changes ---- */

static int compare(const void *a, const void *b)
{
	gid_t left = *(const gid_t *)a, right = *(const gid_t *)b;

	return left < right ? -1 : left > right;
}

/* Sorted, each once, and without gid, which one has in any case. */
static size_t tidy(gid_t *groups, size_t count, gid_t gid)
{
	size_t kept = 0;

	qsort(groups, count, sizeof(*groups), compare);
	for (size_t i = 0; i < count; i++)
		if (groups[i] != gid &&
		    (!kept || groups[kept - 1] != groups[i]))
			groups[kept++] = groups[i];
	return kept;
}

/* Whether the supplementary groups are others than ours. */
static int compare_groups(struct account *account)
{
	int count = getgroups(0, NULL);
	size_t room = (size_t)(count > 0 ? count : 0), ours;
	gid_t *groups = malloc(sizeof(gid_t) * (room + account->group_count));
	gid_t *wanted = groups ? groups + room : NULL;
	size_t wanted_count = account->group_count;

	if (!groups)
		return no_memory("user");
	count = getgroups((int)room, groups);
	ours = tidy(groups, (size_t)(count > 0 ? count : 0), account->gid);
	memcpy(wanted, account->groups, sizeof(gid_t) * wanted_count);
	wanted_count = tidy(wanted, wanted_count, account->gid);
	account->changes_groups = ours != wanted_count ||
				  memcmp(groups, wanted, ours * sizeof(gid_t));
	free(groups);
	return 0;
}

static int compare_with_ours(struct account *account)
{
	uid_t uid, effective_uid, saved_uid;
	gid_t gid, effective_gid, saved_gid;

	getresuid(&uid, &effective_uid, &saved_uid);
	getresgid(&gid, &effective_gid, &saved_gid);
	account->changes_user = account->uid != uid ||
				account->uid != effective_uid ||
				account->uid != saved_uid;
	account->changes_group = account->gid != gid ||
				 account->gid != effective_gid ||
				 account->gid != saved_gid;
	return compare_groups(account);
}

int account_find(const char *user, const char *group, struct account *account)
{
	int ret = 0;

	*account = (struct account){.uid = getuid(), .gid = getgid()};
	if (!user && !group)
		return 0;
	if (group)
		ret = find_group(group, &account->gid);
	if (!ret)
		ret = user ? find_user(user, !group, account)
			   : set_only_group(account);
	return ret ? ret : compare_with_ours(account);
}

void account_fini(struct account *account)
{
	for (int i = 0; i < 3; i++)
		free(account->env[i]);
	free(account->groups);
	*account = (struct account){0};
}
