/*
 * Strays: what children leave behind, and who is to end it.
 *
 * Design notes. The kernel gives a process that has lost its parent to its
 * nearest ancestor that is a reaper, and there to the main thread. So strays
 * stand in the main thread's list of children. What exec.c spawns does not: it is
 * made on other threads, which do not end (keeper.c). Whoever is in the list is a
 * stray. Children that the program itself makes on other threads are not looked
 * at.
 *
 * Only children are told anything, not their children: a stray may have its own
 * way to end those. When it has ended they are children of ours in their turn,
 * and are told then. A child of ours keeps its id until it is reaped, so nobody
 * else can be hit; that it is one is asked of its pidfd, in case another part of
 * the program reaps.
 *
 * A stray belongs to the run whose mark is in its environment, where it was
 * born, so that it need not have been seen there. One that has the mark
 * no more (its environment was cleared, or overwritten) belongs to nobody; it is
 * ended with the app. One that just executes another program has no environment
 * for a moment, and it is not known whose it is: all runs count it among theirs
 * meanwhile, so that none ends without it.
 *
 * A look (`refresh`) costs a read of the list, and a few calls for each stray in
 * it. It is taken when a child has ended, and when somebody needs to know of a
 * moment that is later than that of the last look, so that a thousand children
 * that end at a time are not a thousand looks. A look that has found one of which
 * it is not known whose it is says so for a moment only: nothing need happen
 * that would have it looked at again. Orphans are given away before
 * the kernel lets anyone see that their parent has ended: so after a look that
 * is later than the end of a run's group, and finds no stray of it, there is
 * nothing of it left.
 *
 * `lock` guards all; it is taken last.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cratos/error.h>

#include "errgroup/clock.h"
#include "server/process.h"
#include "server/reaper.h"

#define MARK "CRATOS_RUN="

enum {
	SERIAL_SIZE = 21, /* with the final 0 */
	STRAY_BUCKETS = 64,
	BARE_MS = 500, /* who has nothing to be read for so long has no mark */
	FRESH_MS = 20, /* a look is good enough to tell strays something */
	UNKNOWN_MS = 5, /* so long if it is not known whose one of them is */
	KILL_MS = 500,
	KILL_LOOK_MS = 10
};

struct stray {
	pid_t pid;
	bool marked; /* it has a run, or had one */
	struct reaper_run *run; /* NULL: that has ended, or is not known */
	bool known; /* whose it is, or that it is nobody's */
	int64_t seen_ns; /* first */
	int told; /* the last signal */
	uint64_t look; /* the last that it was seen in */
	LIST_ENTRY(stray) link;
};

LIST_HEAD(run_list, reaper_run);
LIST_HEAD(stray_list, stray);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int users;
/* guarded by lock */
static struct run_list runs;
static struct stray_list strays[STRAY_BUCKETS];
static size_t stray_count;
static size_t unknown_count; /* in the last look: whose they are is not known */
static uint64_t last_serial, last_look;
static int64_t looked_ns; /* no sooner than that the last look began */
static int64_t judged_ns; /* when it was over, if it has left something open */
static int sweep_signal; /* what all strays are told, or 0 */
static int list_fd = -1; /* the main thread's children */
static int was_reaper; /* before the first reaper_begin */
static char own_mark[REAPER_MARK_SIZE - SERIAL_SIZE]; /* without the serial */
static struct {
	pid_t *all;
	size_t count, size;
} children;

/* ---- runs ------------------------------------------------------------------ */

/* For a stray that was never seen before; it takes a while. */
static struct reaper_run *run_of_serial(uint64_t serial)
{
	struct reaper_run *run;

	LIST_FOREACH(run, &runs, link)
	{
		if (run->serial == serial)
			return run;
	}
	return NULL;
}

void reaper_run_begin(struct reaper_run *run,
    char mark[static REAPER_MARK_SIZE])
{
	pthread_mutex_lock(&lock);
	*run = (struct reaper_run){.serial = ++last_serial};
	LIST_INSERT_HEAD(&runs, run, link);
	*mark = '\0';
	if (atomic_load(&users))
		snprintf(mark, REAPER_MARK_SIZE, "%s%llu", own_mark,
		    (unsigned long long)run->serial);
	pthread_mutex_unlock(&lock);
}

void reaper_run_spawned(struct reaper_run *run, pid_t pid)
{
	pthread_mutex_lock(&lock);
	run->group = pid;
	pthread_mutex_unlock(&lock);
}

void reaper_run_end(struct reaper_run *run)
{
	struct stray *stray;

	pthread_mutex_lock(&lock);
	for (int i = 0; stray_count && i < STRAY_BUCKETS; i++)
		LIST_FOREACH(stray, &strays[i], link)
		{
			if (stray->run == run)
				stray->run = NULL;
		}
	if (run->serial)
		LIST_REMOVE(run, link);
	run->serial = 0;
	run->group = 0;
	pthread_mutex_unlock(&lock);
}

/* ---- strays ---------------------------------------------------------------- */

/* "CRATOS_RUN=OUR-PID.SERIAL", maybe with more behind it: we run a cratos. */
static uint64_t serial_in(const char *entry)
{
	size_t length = strlen(own_mark);
	unsigned long long serial;
	char *end;

	if (strncmp(entry, own_mark, length) != 0)
		return 0;
	serial = strtoull(entry + length, &end, 10);
	return !*end || *end == '/' ? serial : 0;
}

/* False if it has no environment. *serial is 0 if there is no mark in it. */
static bool read_mark(pid_t pid, uint64_t *serial)
{
	char path[32], *entry = NULL;
	bool has_any = false;
	size_t size = 0;
	FILE *file;

	*serial = 0;
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	file = fopen(path, "re");
	if (!file) /* it is gone, or not ours to look at */
		return true;
	while (!*serial && getdelim(&entry, &size, '\0', file) > 0) {
		has_any = true;
		*serial = serial_in(entry);
	}
	free(entry);
	fclose(file);
	return has_any;
}

static struct stray *find_stray(pid_t pid)
{
	struct stray *stray;

	LIST_FOREACH(stray, &strays[pid % STRAY_BUCKETS], link)
	{
		if (stray->pid == pid)
			return stray;
	}
	stray = calloc(1, sizeof(*stray));
	if (stray) {
		stray->pid = pid;
		stray->seen_ns = looked_ns;
		LIST_INSERT_HEAD(&strays[pid % STRAY_BUCKETS], stray, link);
		stray_count++;
	}
	return stray;
}

static void forget(struct stray *stray)
{
	LIST_REMOVE(stray, link);
	stray_count--;
	free(stray);
}

/* Without a descriptor to be had, its number has to do. */
static void send_signal(pid_t pid, int signal)
{
	siginfo_t info;
	int fd = pidfd_open(pid, 0);
	int ret =
	    fd < 0
		? waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT)
		: waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | WNOWAIT);

	if (!ret && fd < 0)
		kill(pid, signal);
	else if (!ret)
		pidfd_send_signal(fd, signal, NULL, 0);
	if (fd >= 0)
		close(fd);
}

/* One that was stopped (SIGSTOP) could not act on it. */
static void tell(struct stray *stray, int signal)
{
	if (!signal || stray->told == signal || stray->told == SIGKILL)
		return;
	stray->told = signal;
	send_signal(stray->pid, signal);
	if (signal != SIGKILL)
		send_signal(stray->pid, SIGCONT);
}

static void find_run(struct stray *stray)
{
	struct process process;
	uint64_t serial;

	stray->known =
	    read_mark(stray->pid, &serial) ||
	    (process_read(stray->pid, &process) && process.is_bare) ||
	    looked_ns - stray->seen_ns > BARE_MS * NS_PER_MS;
	stray->marked = serial;
	stray->run = serial ? run_of_serial(serial) : NULL;
}

/*
 * What it is to be told, and whose it is. Who is still in the group of its run
 * is told with the group; what nobody answers for any more was told to stop
 * and did not.
 */
static void judge(struct stray *stray)
{
	struct reaper_run *run;
	int signal = sweep_signal;

	if (!stray->known)
		find_run(stray);
	unknown_count += !stray->known;
	run = stray->run;
	if (run && run->group && getpgid(stray->pid) == run->group)
		return;
	if (run) {
		run->strays++;
		signal = run->signal;
	} else if (stray->marked) {
		signal = SIGKILL;
	}
	tell(stray, signal);
}

/* ---- looking --------------------------------------------------------------- */

static void add_child(pid_t pid)
{
	size_t size = children.size ? 2 * children.size : 64;
	pid_t *all = children.all;

	if (children.count == children.size) {
		all = realloc(all, size * sizeof(*all));
		/* It is there the next time, too. */
		if (!all)
			return;
		children.all = all;
		children.size = size;
	}
	children.all[children.count++] = pid;
}

static void read_children(void)
{
	char text[4096];
	ssize_t length;
	off_t at = 0;
	pid_t pid = 0;

	children.count = 0;
	while ((length = pread(list_fd, text, sizeof(text), at)) > 0) {
		for (ssize_t i = 0; i < length; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				pid = 10 * pid + text[i] - '0';
			} else if (pid) {
				add_child(pid);
				pid = 0;
			}
		}
		at += length;
	}
}

/* True if it is gone, reaped by us or by others. */
static bool reap(pid_t pid)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) ||
	       info.si_pid;
}

/* True if a child was reaped: then those that it left are in a new list. */
static bool look_once(void)
{
	bool reaped = false;

	looked_ns = clock_ns();
	last_look++;
	read_children();
	for (size_t i = 0; i < children.count; i++) {
		pid_t pid = children.all[i];
		struct stray *stray;

		if (reap(pid)) {
			reaped = true;
			continue;
		}
		stray = find_stray(pid);
		if (stray)
			stray->look = last_look;
	}
	return reaped;
}

static void refresh(void)
{
	struct reaper_run *run;
	struct stray *stray, *next;

	if (!atomic_load(&users))
		return;
	while (look_once())
		continue;
	unknown_count = 0;
	if (!stray_count)
		return;
	LIST_FOREACH(run, &runs, link)
	{
		run->strays = 0;
	}
	for (int i = 0; i < STRAY_BUCKETS; i++)
		for (stray = LIST_FIRST(&strays[i]); stray; stray = next) {
			next = LIST_NEXT(stray, link);
			if (stray->look == last_look)
				judge(stray);
			else
				forget(stray);
		}
	if (unknown_count)
		judged_ns = clock_ns();
}

void reaper_look(void)
{
	pthread_mutex_lock(&lock);
	refresh();
	pthread_mutex_unlock(&lock);
}

/* Those that it is known to have; the others are told when they are seen. */
static void tell_strays_of(const struct reaper_run *run)
{
	struct stray *stray;

	for (int i = 0; i < STRAY_BUCKETS; i++)
		LIST_FOREACH(stray, &strays[i], link)
		{
			if (stray->run == run &&
			    getpgid(stray->pid) != run->group)
				tell(stray, run->signal);
		}
}

/* Whether the last look has left something open, and was a moment ago. */
static bool is_open(void)
{
	return unknown_count && clock_ns() - judged_ns > UNKNOWN_MS * NS_PER_MS;
}

void reaper_run_tell(struct reaper_run *run, int signal)
{
	pthread_mutex_lock(&lock);
	run->signal = signal;
	if (clock_ns() - looked_ns > FRESH_MS * NS_PER_MS || is_open())
		refresh();
	if (stray_count)
		tell_strays_of(run);
	pthread_mutex_unlock(&lock);
}

size_t reaper_run_strays(struct reaper_run *run, int64_t since_ns)
{
	size_t count;

	pthread_mutex_lock(&lock);
	if (looked_ns <= since_ns || is_open())
		refresh();
	count = run->strays + unknown_count;
	pthread_mutex_unlock(&lock);
	return count;
}

size_t reaper_sweep(int signal)
{
	size_t count;

	pthread_mutex_lock(&lock);
	sweep_signal = atomic_load(&users) == 1 ? signal : 0;
	refresh();
	count = sweep_signal ? stray_count : 0;
	pthread_mutex_unlock(&lock);
	return count;
}

size_t reaper_list(pid_t *all, size_t max)
{
	struct stray *stray;
	size_t count = 0;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < STRAY_BUCKETS; i++)
		LIST_FOREACH(stray, &strays[i], link)
		{
			if (count < max)
				all[count++] = stray->pid;
		}
	count = stray_count;
	pthread_mutex_unlock(&lock);
	return count;
}

/* ---- by force -------------------------------------------------------------- */

/* The status of a child is of no use to anybody now. */
static bool kill_children(void)
{
	siginfo_t info;
	int ret = 0;

	pthread_mutex_lock(&lock);
	read_children();
	for (size_t i = 0; i < children.count; i++)
		kill(children.all[i], SIGKILL);
	do {
		info.si_pid = 0;
		ret = waitid(P_ALL, 0, &info, WEXITED | WNOHANG);
	} while (!ret && info.si_pid);
	pthread_mutex_unlock(&lock);
	return !ret;
}

/*
 * The lock is let go in between: who is about to spawn finds that the app is
 * doomed, and kills the child that it has.
 */
void reaper_kill_all(void)
{
	const struct timespec moment = {.tv_nsec = KILL_LOOK_MS * NS_PER_MS};
	const int64_t deadline_ms = clock_deadline_ms(KILL_MS);
	sigset_t set;

	if (!atomic_load(&users))
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while (kill_children() && clock_ms() < deadline_ms)
		sigtimedwait(&set, NULL, &moment);
}

/* ---- being a reaper -------------------------------------------------------- */

/* A mark in our own environment is that of a cratos that runs us. */
static void make_own_mark(void)
{
	const char *outer = getenv("CRATOS_RUN");
	int length = -1;

	if (outer)
		length = snprintf(own_mark, sizeof(own_mark), MARK "%s/%d.",
		    outer, (int)getpid());
	if (length < 0 || length >= (int)sizeof(own_mark))
		snprintf(own_mark, sizeof(own_mark), MARK "%d.", (int)getpid());
}

static int become_reaper(void)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
	    (int)getpid());
	list_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (list_fd < 0)
		return error_set(-errno,
		    "cannot follow what children leave behind: %s: %m", path);
	make_own_mark();
	prctl(PR_GET_CHILD_SUBREAPER, &was_reaper, 0, 0, 0);
	if (!prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		return 0;
	error_set(-errno, "cannot follow what children leave behind: %m");
	close(list_fd);
	return -errno;
}

int reaper_begin(void)
{
	int ret = 0;

	pthread_mutex_lock(&lock);
	if (!atomic_load(&users))
		ret = become_reaper();
	if (!ret)
		atomic_fetch_add(&users, 1);
	sweep_signal = 0;
	pthread_mutex_unlock(&lock);
	return ret;
}

static void forget_all(void)
{
	struct stray *stray, *next;

	for (int i = 0; i < STRAY_BUCKETS; i++)
		for (stray = LIST_FIRST(&strays[i]); stray; stray = next) {
			next = LIST_NEXT(stray, link);
			forget(stray);
		}
	unknown_count = 0;
	free(children.all);
	children.all = NULL;
	children.count = children.size = 0;
}

void reaper_end(void)
{
	pthread_mutex_lock(&lock);
	sweep_signal = 0;
	if (atomic_fetch_sub(&users, 1) == 1) {
		prctl(PR_SET_CHILD_SUBREAPER, was_reaper, 0, 0, 0);
		close(list_fd);
		forget_all();
	}
	pthread_mutex_unlock(&lock);
}

bool reaper_is_on(void)
{
	return atomic_load(&users) > 0;
}
