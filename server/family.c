/*
 * Process groups and strays.
 *
 * Design notes. No stranger is ever signalled. The leader is reaped under the
 * caller's lock, and its id, which is the group's, cannot be given away before.
 * Afterwards the kernel keeps the id for as long as the group has a member;
 * `group` stays set only while a look, 20 ms old at most, has found one.
 *
 * Strays are looked for from the group's end on (`gone_ns`), as by then all that
 * the group has left behind is ours.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include <cratos/error.h>

#include "errgroup/clock.h"
#include "server/family.h"

int family_signal(const struct family *family, int signal)
{
	if (!family->group || !kill(-family->group, signal) || errno == ESRCH)
		return 0;
	return error_set(-errno,
	    "cannot send signal %d to process group %d: %m", signal,
	    (int)family->group);
}

int family_tell(struct family *family, int signal)
{
	int ret = family_signal(family, signal);

	if (signal != SIGKILL)
		family_signal(family, SIGCONT);
	reaper_run_tell(&family->strays, signal);
	return ret;
}

static bool has_members(const struct family *family)
{
	siginfo_t info;

	if (!family->group || (kill(-family->group, 0) && errno == ESRCH))
		return false;
	/* They are children of ours only if we are a reaper. */
	do
		info.si_pid = 0;
	while (!waitid(P_PGID, (id_t)family->group, &info, WEXITED | WNOHANG) &&
	       info.si_pid);
	return !kill(-family->group, 0) || errno == EPERM;
}

/* Once it is gone its id may be another's. */
bool family_has_group(struct family *family)
{
	if (family->group && !has_members(family)) {
		family->group = 0;
		family->gone_ns = clock_ns();
	}
	return family->group;
}

bool family_is_left(struct family *family)
{
	return family_has_group(family) ||
	       reaper_run_strays(&family->strays, family->gone_ns);
}
