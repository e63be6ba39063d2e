/*
 * A child process from its clone to its exec.
 *
 * Design notes. posix_spawn sets no limits, users, or parent-death signals, and a
 * fork in a threaded process copies its page tables and may run next to nothing
 * afterwards. So this does what posix_spawn does, and more:
 *
 * - The child shares our memory (CLONE_VM) until it is executed, and the
 *   thread that makes it waits for that (CLONE_VFORK): nothing is copied, and
 *   how it went is read where the child has left it.
 * - It shares our descriptors, too (CLONE_FILES), for as long as it takes to ask
 *   for a table of its own with the few that it is to have. A table that clone
 *   copies costs a child of an app that watches a thousand others more than all
 *   else that happens here.
 * - It runs on a stack of its own, and calls nothing but system calls, by
 *   syscall(2): they take no lock, and no library may do its own part in them, as
 *   glibc does in setuid (on all threads), and sanitizers in many. errno is
 *   the waiting thread's; so is all thread-local storage.
 * - All signals are blocked meanwhile. It has no handler of ours any more, nor
 *   anything ignored, when it unblocks them: a handler that ran in it would run
 *   in our memory.
 * - A child that becomes another user gets a copy of our memory, as with
 *   fork, but for a page in which it leaves how it went. It belongs to that
 *   user before it is executed: who may do as he likes with it must not reach
 *   our memory, and the kernel would take our core dumps away for that reason.
 *
 * How it is told: the child leaves the step it is at, and what went wrong, and
 * exits. The thread that waited reaps it, and nobody else ever hears of it.
 *
 * What is ours is given up after all that needs it: limits are raised, and
 * niceness lowered, before the user is changed. Directory, stdin and program are
 * reached as the user. The parent-death signal comes last, since the kernel
 * forgets it when the user changes; we may have died before, so the child looks
 * whether its parent is still us. (That the thread ends which made it does not
 * happen: see keeper.c.)
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/child.h"

/* Code of the child is not to call a sanitizer's. */
#define IN_CHILD                                                      \
	__attribute__((no_sanitize("address"), no_sanitize("thread"), \
	    no_sanitize("undefined")))

enum {
	STACK_BYTES = 16 * 1024, /* the linker's first look-up is on it, too */
	SIGNAL_SET_BYTES = _NSIG / 8, /* as the kernel has it */
};

/* clone itself is replaced in a build with ThreadSanitizer. */
extern int __clone(int (*fn)(void *arg), void *stack, int flags, void *arg,
    ...);

/* What the child is made from; ready before it runs. */
struct making {
	const struct child *child;
	pid_t parent;
	bool shares_files;
	char oom_score_adj[16];
	int *moved; /* room for as many descriptors as the child gets */
	struct child_failure *failure; /* shared with the child */
};

/* ---- in the child ---------------------------------------------------------- */

IN_CHILD static int code_of(long result)
{
	return result < 0 ? errno : 0;
}

/* All zero is SIG_DFL without flags, wherever the kernel has its fields. */
IN_CHILD static void reset_signals(void)
{
	static const long none[16];

	for (int signal = 1; signal < _NSIG; signal++)
		syscall(SYS_rt_sigaction, signal, none, NULL, SIGNAL_SET_BYTES);
}

IN_CHILD static void unblock_signals(void)
{
	static const long none[SIGNAL_SET_BYTES / sizeof(long)];

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, none, NULL, SIGNAL_SET_BYTES);
}

/*
 * What a terminal, or a kill of our whole process group, has sent to it before
 * it had a group of its own was for us: it is blocked, and dropped.
 */
IN_CHILD static void drop_signals(void)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM,
	    SIGTSTP};
	static const long ignore[16] = {(long)SIG_IGN}, none[16];

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		syscall(SYS_rt_sigaction, signals[i], ignore, NULL,
		    SIGNAL_SET_BYTES);
		syscall(SYS_rt_sigaction, signals[i], none, NULL,
		    SIGNAL_SET_BYTES);
	}
}

IN_CHILD static int leave_group(void)
{
	if (syscall(SYS_setpgid, 0, 0))
		return errno;
	drop_signals();
	return 0;
}

/* ---- descriptors ---- */

struct linux_dirent64 {
	uint64_t inode, offset;
	unsigned short size;
	unsigned char type;
	char name[];
};

IN_CHILD static int number_of(const char *name)
{
	int number = 0;

	for (; *name; name++) {
		if (*name < '0' || *name > '9')
			return -1;
		number = number * 10 + *name - '0';
	}
	return number;
}

IN_CHILD static void close_listed(int list, const char *names, long size,
    int first, int last)
{
	long at = 0;

	while (at < size) {
		const struct linux_dirent64 *entry =
		    (const struct linux_dirent64 *)(names + at);
		int fd = number_of(entry->name);

		if (fd >= first && fd <= last && fd != list)
			syscall(SYS_close, fd);
		at += entry->size;
	}
}

/* What close_range does, for kernels before 5.9. */
IN_CHILD static int close_one_by_one(int first, int last)
{
	_Alignas(8) char names[1024];
	long list, size;

	list = syscall(SYS_openat, AT_FDCWD, "/proc/self/fd",
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (list < 0)
		return errno;
	/* The list goes by number, and does not mind what was closed. */
	while ((size = syscall(SYS_getdents64, list, names, sizeof(names))) > 0)
		close_listed((int)list, names, size, first, last);
	syscall(SYS_close, list);
	return size < 0 ? EIO : 0;
}

IN_CHILD static int close_from_to(int first, int last)
{
	if (first > last || !syscall(SYS_close_range, first, last, 0))
		return 0;
	return close_one_by_one(first, last);
}

/* A table of descriptors of its own, with those below `end` at least. */
IN_CHILD static int leave_files(bool shared, int end)
{
	if (!shared)
		return 0;
	if (!syscall(SYS_close_range, end, INT_MAX, CLOSE_RANGE_UNSHARE))
		return 0;
	return code_of(syscall(SYS_unshare, CLONE_FILES));
}

/* Copies out of the way of the numbers that they are to get. */
IN_CHILD static int move_away(const struct child *child, int end, int *moved)
{
	for (size_t i = 0; i < child->file_count; i++) {
		moved[i] = (int)syscall(SYS_fcntl, child->files[i].from,
		    F_DUPFD_CLOEXEC, end);
		if (moved[i] < 0)
			return errno;
	}
	return 0;
}

IN_CHILD static int take_files(const struct making *making)
{
	const struct child *child = making->child;
	int *moved = making->moved, end = STDERR_FILENO + 1, next = end, code;

	for (size_t i = 0; i < child->file_count; i++) {
		const struct spawn_file *file = &child->files[i];

		end = file->from >= end ? file->from + 1 : end;
		end = file->to >= end ? file->to + 1 : end;
	}
	code = leave_files(making->shares_files, end);
	if (!code)
		code = move_away(child, end, moved);
	for (size_t i = 0; i < child->file_count && !code; i++) {
		int to = child->files[i].to;

		code = code_of(syscall(SYS_dup3, moved[i], to, 0));
		if (to < next || code)
			continue;
		code = close_from_to(next, to - 1);
		next = to + 1;
	}
	return code ? code : close_from_to(next, INT_MAX);
}

/* A pipe that nobody writes to is at its end; it keeps nobody waiting. */
IN_CHILD static int take_input(const struct child *child)
{
	const struct spawn *spawn = child->spawn;
	const char *path = spawn->input ? spawn->input : "/dev/null";
	long fd;

	for (size_t i = 0; i < child->file_count; i++)
		if (child->files[i].to == STDIN_FILENO)
			return 0;
	if (spawn->inherit_input)
		return 0;
	fd = syscall(SYS_openat, AT_FDCWD, path,
	    O_RDONLY | O_NOCTTY | (spawn->input ? O_NONBLOCK : 0));
	if (fd < 0)
		return errno;
	if (spawn->input)
		syscall(SYS_fcntl, fd, F_SETFL, 0);
	if (fd == STDIN_FILENO)
		return 0;
	if (syscall(SYS_dup3, fd, STDIN_FILENO, 0) < 0)
		return errno;
	syscall(SYS_close, fd);
	return 0;
}

/* ---- what needs its rights ---- */

IN_CHILD static int set_nice(const struct spawn *spawn)
{
	if (!spawn->set_nice)
		return 0;
	return code_of(syscall(SYS_setpriority, PRIO_PROCESS, 0, spawn->nice));
}

IN_CHILD static int set_oom_score_adj(const struct making *making)
{
	size_t size = 0;
	int code;
	long fd;

	while (making->oom_score_adj[size])
		size++;
	if (!size)
		return 0;
	fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj",
	    O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	code = code_of(syscall(SYS_write, fd, making->oom_score_adj, size));
	syscall(SYS_close, fd);
	return code;
}

IN_CHILD static int set_limits(const struct spawn *spawn, size_t *which)
{
	for (size_t i = 0; i < spawn->limit_count; i++) {
		const struct exec_limit *limit = &spawn->limits[i];
		/* As prlimit64 has it, on every machine. */
		const uint64_t values[] = {limit->soft, limit->hard};

		*which = i;
		if (syscall(SYS_prlimit64, 0, limit->resource, values, NULL))
			return errno;
	}
	return 0;
}

#ifdef SYS_setresuid32 /* where the call without it has 16 bits only */
enum {
	CALL_SETGROUPS = SYS_setgroups32,
	CALL_SETRESGID = SYS_setresgid32,
	CALL_SETRESUID = SYS_setresuid32
};
#else
enum {
	CALL_SETGROUPS = SYS_setgroups,
	CALL_SETRESGID = SYS_setresgid,
	CALL_SETRESUID = SYS_setresuid
};
#endif

IN_CHILD static int set_groups(const struct account *account)
{
	if (!account->changes_groups)
		return 0;
	return code_of(
	    syscall(CALL_SETGROUPS, account->group_count, account->groups));
}

IN_CHILD static int set_group(const struct account *account)
{
	const gid_t gid = account->gid;

	if (!account->changes_group)
		return 0;
	return code_of(syscall(CALL_SETRESGID, gid, gid, gid));
}

IN_CHILD static int set_user(const struct account *account)
{
	const uid_t uid = account->uid;

	if (!account->changes_user)
		return 0;
	return code_of(syscall(CALL_SETRESUID, uid, uid, uid));
}

/* ---- the rest ---- */

/* The parent may have died before the signal was asked for. */
IN_CHILD static int die_with(pid_t parent)
{
	if (syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		return errno;
	return syscall(SYS_getppid) == parent ? 0 : ESRCH;
}

/* Nobody knows it before. */
IN_CHILD static void write_pid(char *entry)
{
	long pid = syscall(SYS_getpid), unit = 1;

	while (*entry)
		entry++;
	while (pid / unit >= 10)
		unit *= 10;
	for (; unit; unit /= 10)
		*entry++ = (char)('0' + pid / unit % 10);
	*entry = '\0';
}

IN_CHILD static int execute(const struct child *child)
{
	if (child->dry)
		return code_of(
		    syscall(SYS_faccessat, AT_FDCWD, child->file, X_OK));
	write_pid(child->pid_entry);
	unblock_signals();
	syscall(SYS_execve, child->file, child->spawn->argv, child->env);
	return errno;
}

IN_CHILD static int take_step(const struct making *making, enum child_step step)
{
	const struct child *child = making->child;
	const struct spawn *spawn = child->spawn;

	switch (step) {
	case CHILD_CLONE:
		reset_signals();
		if (spawn->set_umask)
			syscall(SYS_umask, spawn->umask);
		return 0;
	case CHILD_FILES:
		return take_files(making);
	case CHILD_PROCESS_GROUP:
		return leave_group();
	case CHILD_NICE:
		return set_nice(spawn);
	case CHILD_OOM_SCORE_ADJ:
		return set_oom_score_adj(making);
	case CHILD_LIMIT:
		return set_limits(spawn, &making->failure->which);
	case CHILD_GROUPS:
		return set_groups(child->account);
	case CHILD_GROUP:
		return set_group(child->account);
	case CHILD_USER:
		return set_user(child->account);
	case CHILD_DIR:
		return spawn->dir ? code_of(syscall(SYS_chdir, spawn->dir)) : 0;
	case CHILD_INPUT:
		return take_input(child);
	case CHILD_ORPHAN:
		return spawn->keep_orphan ? 0 : die_with(making->parent);
	case CHILD_EXEC:
		break;
	}
	return execute(child);
}

IN_CHILD static int child_main(void *arg)
{
	const struct making *making = arg;
	struct child_failure *failure = making->failure;
	int step = CHILD_CLONE;

	do {
		failure->step = (enum child_step)step;
		failure->code = take_step(making, failure->step);
	} while (!failure->code && step++ < CHILD_EXEC);
	syscall(SYS_exit_group, failure->code ? 127 : 0);
	return 127;
}

/* ---- in the parent --------------------------------------------------------- */

/*
 * Whether a child may share our descriptors for a moment. Kernels that know
 * clone3 know it, or nearly, and valgrind knows neither.
 */
static bool shares_files(void)
{
	static atomic_int known = -1;

	if (known < 0)
		known = syscall(SYS_clone3, NULL, 0) < 0 && errno != ENOSYS;
	return known;
}

/* What a thread that makes children has for them. It lasts, and so does this. */
struct workshop {
	char *stack_end; /* our own, not to be shared with another user */
	struct child_failure *failure; /* shared with each child */
};

static void *map(size_t size, int sharing)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    sharing | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* NULL without memory. */
static const struct workshop *workshop(void)
{
	static _Thread_local struct workshop ours;
	char *stack;

	if (!ours.stack_end) {
		stack = map(STACK_BYTES, MAP_PRIVATE);
		ours.stack_end = stack ? stack + STACK_BYTES : NULL;
	}
	if (!ours.failure)
		ours.failure = map(sizeof(*ours.failure), MAP_SHARED);
	return ours.stack_end && ours.failure ? &ours : NULL;
}

static pid_t clone_child(struct making *making, char *stack_end)
{
	const struct account *account = making->child->account;
	bool changes = account->changes_user || account->changes_group ||
		       account->changes_groups;
	int flags = CLONE_VFORK | (changes ? 0 : CLONE_VM) |
		    (making->shares_files ? CLONE_FILES : 0) |
		    (making->child->dry ? 0 : SIGCHLD);
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pid = __clone(child_main, stack_end, flags, making);
	if (pid < 0)
		pid = -errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid;
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		continue;
}

int child_make(const struct child *child, pid_t *pid,
    struct child_failure *failure)
{
	const struct workshop *own = workshop();
	int moved[SPAWN_ALL_FILES] = {0};
	struct making making = {.child = child,
	    .moved = moved,
	    .parent = getpid(),
	    .shares_files = shares_files()};

	assert(child->file_count <= SPAWN_ALL_FILES);
	*failure = (struct child_failure){.step = CHILD_CLONE, .code = ENOMEM};
	if (!own)
		return -1;
	making.failure = own->failure;
	if (child->spawn->set_oom_score_adj)
		snprintf(making.oom_score_adj, sizeof(making.oom_score_adj),
		    "%d", child->spawn->oom_score_adj);
	*making.failure = (struct child_failure){0};
	*pid = clone_child(&making, own->stack_end);
	if (*pid < 0) {
		failure->code = -*pid;
		return -1;
	}
	*failure = *making.failure;
	if (failure->code || child->dry)
		reap(*pid);
	return failure->code ? -1 : 0;
}
