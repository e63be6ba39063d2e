/*
 * Where a thread is, as the kernel and the stack see it.
 *
 * Design notes. All but where_backtrace only reads: /proc, and the list of
 * loaded objects. dladdr(3) would have been shorter, but it waits for the lock
 * that dlopen holds while it reads files and runs constructors, which may be
 * just where a thread hangs.
 *
 * where_backtrace sends the thread a SIGSYS, with tgkill, and the handler takes
 * the backtrace: backtrace(3) needs no memory and no lock once libgcc is
 * loaded, see where_prepare. SIGSYS since it is one of the synchronous signals,
 * which are the only ones that the library's threads do not block, and the one
 * that is used the least. `lock` lets one caller in at a time; the handler
 * takes no lock.
 *
 * A request lies in a slot. `asked` is the word on which handler and caller
 * meet: the tid while the thread is asked, -tid while it answers, 0 when it is
 * over. The handler finds the slot by its tid and takes it with a
 * compare-and-swap, so it can neither answer what was asked of another thread
 * nor answer twice; it then writes frames and depth, stores 0, and wakes the
 * caller. That sleeps while the word is what it has read last, so no wake-up is
 * lost. Everything else of a slot is the caller's, under the lock.
 *
 * A thread that does not answer in time, as it is in an uninterruptible call,
 * will still run the handler when it leaves that. So its slot is not reused
 * until it has answered or ended, no second signal is sent for it (asked once
 * more, it is only waited for), and the handler stays, as the default action
 * would be to dump core. The first call that finds all slots over puts the
 * disposition back. Each slot that is asked thus has one signal under way, and
 * a signal that finds no slot is not ours.
 *
 * Such a signal goes to the disposition from before: a seccomp filter's, or
 * the program's own. The kernel applies its mask and stack, which ours takes
 * over, and its function is called from our handler. Only SA_NODEFER is left to
 * do by hand: with it, a thread that is asked again as soon as it has answered
 * would nest handlers until its stack is full. A tgkill(SIGSYS) of the
 * program to a thread that is just asked looks like ours, but then ours is the
 * one that finds no slot, and is passed on in its stead. `before` has two
 * copies, as a handler may be reading while a new one is written: the next is
 * written only when nobody reads (`readers`) since it became the other one.
 * Both are sequentially consistent, so a handler that is not counted yet reads
 * the new one.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "app/where.h"
#include "errgroup/clock.h"
#include "errgroup/futex.h"

#ifdef __has_include
#if __has_include(<execinfo.h>)
#include <execinfo.h>
#define HAS_BACKTRACE
#endif
#endif

enum {
	PATH_SHOWN = 64,
	NAME_SHOWN = 60,
	CHANNEL_SHOWN = 48,
	PROC_PATH = 64,
	SLOTS = 8, /* threads that do not answer */
	HANDLER_FRAMES = 8, /* the handler's and those below it */
	PATIENCE_MS = 200
};

/* ---- what /proc says ---- */

/* The pid is what tells a process that is gone from a /proc that is not. */
static bool is_gone(pid_t pid, pid_t tid)
{
	return syscall(SYS_tgkill, pid, tid, 0) && errno == ESRCH;
}

/* The first line of a small file of the thread; false if there is none. */
static bool read_line(pid_t pid, pid_t tid, const char *file, char *line,
    size_t size)
{
	char path[PROC_PATH];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, line, size - 1);
	close(fd);
	if (length <= 0)
		return false;
	line[length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return true;
}

/* Its state's letter, 0 if unknown. The name before it may be ") R (". */
static char read_state(pid_t pid, pid_t tid)
{
	char stat[512], *name_end;

	if (!read_line(pid, tid, "stat", stat, sizeof(stat)))
		return 0;
	name_end = strrchr(stat, ')');
	return name_end && name_end[1] == ' ' ? name_end[2] : 0;
}

static const char *state_words(char state)
{
	switch (state) {
	case 'R':
		return "running";
	case 'S':
		return "sleeping";
	case 'D':
		return "in uninterruptible sleep";
	case 'T':
		return "stopped";
	case 't':
		return "stopped by a debugger";
	case 'Z':
		return "a zombie";
	default:
		return "in an unknown state";
	}
}

/* A path for a line: its end, if it is long, and nothing that breaks lines. */
static void show_path(const char *path, char shown[static PATH_SHOWN])
{
	size_t length = strlen(path);

	if (length < PATH_SHOWN)
		strcpy(shown, path);
	else
		snprintf(shown, PATH_SHOWN, "...%s",
		    path + length - (PATH_SHOWN - 4));
	for (char *c = shown; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
}

/* What readlink says, as show_path shows it. */
static bool read_link(const char *link, char shown[static PATH_SHOWN])
{
	char path[PATH_MAX];
	ssize_t length = readlink(link, path, sizeof(path) - 1);

	if (length < 0)
		return false;
	path[length] = '\0';
	show_path(path, shown);
	return true;
}

/* ---- system calls ---- */

const char *where_call(long number, char text[static WHERE_CALL])
{
	/* No pointers, which each process would have to relocate. */
	static const struct {
		int number;
		char name[36];
	} calls[] = {
#define SYSCALL(name) {SYS_##name, #name},
#include "app/syscalls.h"
#undef SYSCALL
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (calls[i].number == number)
			return calls[i].name;
	snprintf(text, WHERE_CALL, "system call %ld", number);
	return text;
}

/* By name, as no architecture has all of them. */
static bool is_on_descriptor(const char *call)
{
	static const char *const calls[] = {"accept", "accept4", "close",
	    "connect", "epoll_pwait", "epoll_pwait2", "epoll_wait", "fallocate",
	    "fcntl", "fcntl64", "fdatasync", "flock", "fsync", "ftruncate",
	    "getdents64", "ioctl", "pread64", "preadv", "preadv2", "pwrite64",
	    "pwritev", "pwritev2", "read", "readv", "recvfrom", "recvmmsg",
	    "recvmsg", "sendfile", "sendmmsg", "sendmsg", "sendto", "splice",
	    "syncfs", "write", "writev"};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (!strcmp(call, calls[i]))
			return true;
	return false;
}

/*
 * "running", or its call, if /proc/PID/task/TID/syscall says: "running";
 * number, arguments and so on; or a negative number, if it sleeps in none.
 */
static bool describe_call(pid_t pid, pid_t tid, char text[static WHERE_TEXT])
{
	char line[256], link[PROC_PATH], shown[PATH_SHOWN], number[WHERE_CALL];
	const char *call;
	char *rest;
	long nr;
	int fd;

	if (!read_line(pid, tid, "syscall", line, sizeof(line)))
		return false;
	if (!strcmp(line, "running")) {
		strcpy(text, line);
		return true;
	}
	nr = strtol(line, &rest, 10);
	if (rest == line || nr < 0)
		return false;
	call = where_call(nr, number);
	if (!is_on_descriptor(call)) {
		snprintf(text, WHERE_TEXT, "%s", call);
		return true;
	}
	fd = (int)strtoul(rest, NULL, 16);
	snprintf(link, sizeof(link), "/proc/%d/task/%d/fd/%d", pid, tid, fd);
	if (read_link(link, shown))
		snprintf(text, WHERE_TEXT, "%s(%d) on %s", call, fd, shown);
	else
		snprintf(text, WHERE_TEXT, "%s(%d)", call, fd);
	return true;
}

void where_thread(pid_t pid, pid_t tid, char text[static WHERE_TEXT])
{
	char state = read_state(pid, tid), channel[CHANNEL_SHOWN];
	bool sleeps = state == 'S' || state == 'D', call;
	size_t length;

	if (state == 'X' || (!state && is_gone(pid, tid))) {
		strcpy(text, "not there any more");
		return;
	}
	if (!state) {
		strcpy(text, "there, but /proc does not say where");
		return;
	}
	call = sleeps && describe_call(pid, tid, text);
	if (!call)
		strcpy(text, state_words(state));
	if (!sleeps || !strcmp(text, "running"))
		return;
	length = strlen(text);
	/* "0" is also what the kernel says if it does not want to. */
	if (read_line(pid, tid, "wchan", channel, sizeof(channel)) &&
	    strcmp(channel, "0") != 0)
		length += (size_t)snprintf(text + length, WHERE_TEXT - length,
		    ", in %s", channel);
	if (call && state == 'D')
		snprintf(text + length, WHERE_TEXT - length,
		    ", uninterruptible");
}

void where_name(pid_t pid, pid_t tid, char name[static WHERE_NAME])
{
	if (!read_line(pid, tid, "comm", name, WHERE_NAME))
		snprintf(name, WHERE_NAME, "thread");
}

size_t where_threads(pid_t pid, pid_t *tids, size_t max)
{
	char path[PROC_PATH];
	struct dirent *entry;
	size_t count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (count < max)
			tids[count] = (pid_t)strtol(entry->d_name, NULL, 10);
		count++;
	}
	closedir(dir);
	return count;
}

/* ---- backtrace ---- */

#ifdef HAS_BACKTRACE

struct slot {
	bool used; /* guarded by lock */
	atomic_int asked;
	int depth;
	void *frames[WHERE_FRAMES + HANDLER_FRAMES];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct slot slots[SLOTS];
static struct sigaction before[2]; /* written under lock */
static atomic_int before_now, readers;
static atomic_bool prepared;

/* It fails an assertion when a thread that computes is sent a SIGSYS. */
static bool is_under_valgrind(void)
{
	const char *preloaded = getenv("LD_PRELOAD");

	return preloaded && strstr(preloaded, "/vgpreload_");
}

void where_prepare(void)
{
	void *frame;

	if (!is_under_valgrind())
		atomic_store(&prepared, backtrace(&frame, 1) > 0);
}

/* Where the signal found the thread, NULL where we do not know how to tell. */
static void *interrupted_at(const ucontext_t *context)
{
#if defined(__x86_64__)
	return (void *)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__i386__)
	return (void *)context->uc_mcontext.gregs[REG_EIP];
#elif defined(__aarch64__)
	return (void *)context->uc_mcontext.pc;
#elif defined(__riscv)
	return (void *)context->uc_mcontext.__gregs[REG_PC];
#else
	(void)context;
	return NULL;
#endif
}

/* Leaves out the handler's own frames. */
static void answer(struct slot *slot, const ucontext_t *context)
{
	int depth = backtrace(slot->frames, WHERE_FRAMES + HANDLER_FRAMES);
	void *innermost = interrupted_at(context);
	int first = 0;

	while (first < depth && slot->frames[first] != innermost)
		first++;
	if (first == depth)
		first = 0;
	memmove(slot->frames, slot->frames + first,
	    (size_t)(depth - first) * sizeof(*slot->frames));
	slot->depth = depth - first;
	atomic_store(&slot->asked, 0);
	futex_wake_all(&slot->asked);
}

static bool is_answered(const siginfo_t *info, const ucontext_t *context)
{
	bool tgkilled = info->si_code == SI_TKILL && info->si_pid == getpid();
	/* Out of memory for pending signals, the kernel forgets the rest. */
	bool bare = info->si_code == SI_USER && info->si_pid == 0;
	int tid = gettid(), expected;

	for (int i = 0; (tgkilled || bare) && i < SLOTS; i++) {
		expected = tid;
		if (atomic_compare_exchange_strong(&slots[i].asked, &expected,
			-tid)) {
			answer(&slots[i], context);
			return true;
		}
	}
	return false;
}

static void unblock(int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* What the kernel would have done without us. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	struct sigaction action, dump = {.sa_handler = SIG_DFL};

	atomic_fetch_add(&readers, 1);
	action = before[atomic_load(&before_now)];
	atomic_fetch_sub(&readers, 1);
	if ((action.sa_flags & SA_NODEFER) &&
	    !sigismember(&action.sa_mask, signal))
		unblock(signal);
	if (action.sa_flags & SA_SIGINFO) {
		action.sa_sigaction(signal, info, context);
	} else if (action.sa_handler == SIG_IGN && info->si_code <= 0) {
		return;
	} else if (action.sa_handler == SIG_IGN ||
		   action.sa_handler == SIG_DFL) {
		/* It is blocked until the handler returns, and kills then. */
		sigaction(signal, &dump, NULL);
		if (syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signal,
			info))
			raise(signal);
	} else {
		action.sa_handler(signal);
	}
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	int saved = errno;
	bool answered = is_answered(info, context);

	errno = saved;
	if (!answered)
		pass_on(signal, info, context);
}

static bool is_ours(const struct sigaction *action)
{
	return (action->sa_flags & SA_SIGINFO) &&
	       action->sa_sigaction == on_signal;
}

/* Under the lock. The handler may run before sigaction has said what was. */
static bool install(void)
{
	int next = 1 - atomic_load(&before_now);
	struct sigaction action;

	sigaction(SIGSYS, NULL, &action);
	if (is_ours(&action))
		return true;
	/* One that is to run once cannot be called from ours. */
	if (action.sa_flags & (int)SA_RESETHAND)
		return false;
	before[next] = action;
	atomic_store(&before_now, next);
	while (atomic_load(&readers))
		sched_yield();
	action.sa_flags &= SA_ONSTACK;
	action.sa_flags |= SA_SIGINFO | SA_RESTART;
	action.sa_sigaction = on_signal;
	return !sigaction(SIGSYS, &action, NULL);
}

/* Under the lock. Unless a signal of ours is still under way. */
static void uninstall(void)
{
	struct sigaction action;
	bool waiting = false;
	int tid;

	for (int i = 0; i < SLOTS; i++) {
		tid = abs(atomic_load(&slots[i].asked));
		if (tid && is_gone(getpid(), tid))
			atomic_store(&slots[i].asked, tid = 0);
		if (!tid)
			slots[i].used = false;
		waiting = waiting || tid;
	}
	sigaction(SIGSYS, NULL, &action);
	/* The program may have set one of its own in the meantime. */
	if (!waiting && is_ours(&action))
		sigaction(SIGSYS, &before[atomic_load(&before_now)], NULL);
}

/* Under the lock. A slot in which tid is asked; NULL if it cannot be. */
static struct slot *ask(pid_t tid)
{
	struct slot *slot = NULL;

	for (int i = 0; i < SLOTS; i++) {
		if (abs(atomic_load(&slots[i].asked)) == tid)
			return &slots[i];
		if (!slots[i].used)
			slot = &slots[i];
	}
	if (!slot)
		return NULL;
	slot->depth = 0;
	atomic_store(&slot->asked, tid);
	if (syscall(SYS_tgkill, getpid(), tid, SIGSYS)) {
		atomic_store(&slot->asked, 0);
		return NULL;
	}
	slot->used = true;
	return slot;
}

static bool is_over_in_time(struct slot *slot)
{
	int64_t deadline_ms = clock_deadline_ms(PATIENCE_MS);
	struct timespec deadline = clock_timespec_ms(deadline_ms);
	int asked;

	while ((asked = atomic_load(&slot->asked))) {
		if (clock_ms() >= deadline_ms || is_gone(getpid(), abs(asked)))
			return false;
		futex_wait(&slot->asked, asked, &deadline);
	}
	return true;
}

int where_backtrace(pid_t tid, void **frames, int max)
{
	struct slot *slot;
	int depth = 0;

	if (!atomic_load(&prepared) || tid <= 0 || max <= 0)
		return 0;
	pthread_mutex_lock(&lock);
	if (install()) {
		slot = ask(tid);
		if (slot && is_over_in_time(slot)) {
			depth = slot->depth < max ? slot->depth : max;
			if (depth > WHERE_FRAMES)
				depth = WHERE_FRAMES;
			memcpy(frames, slot->frames,
			    (size_t)depth * sizeof(*frames));
		}
		uninstall();
	}
	pthread_mutex_unlock(&lock);
	return depth;
}

#else

void where_prepare(void)
{
}

int where_backtrace(pid_t tid, void **frames, int max)
{
	(void)tid;
	(void)frames;
	(void)max;
	return 0;
}

#endif

/* ---- frames ---- */

struct lookup {
	uintptr_t address; /* that is looked for */
	uintptr_t base; /* of the object; 0 in one that is not relocated */
	uintptr_t start; /* of the function */
	char object[PATH_SHOWN], name[NAME_SHOWN];
};

/* An entry of an object's dynamic section; not every libc relocates them. */
static const void *dynamic_pointer(const ElfW(Dyn) * dynamic, uintptr_t base,
    long tag)
{
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
		if (dynamic->d_tag == tag)
			return (const void *)(dynamic->d_un.d_ptr < base
						  ? dynamic->d_un.d_ptr + base
						  : dynamic->d_un.d_ptr);
	return NULL;
}

/* The number of symbols, which only the hash table tells. */
static size_t symbol_count(const uint32_t *hash)
{
	uint32_t bucket_count = hash[0], first = hash[1], bloom_count = hash[2];
	const uint32_t *buckets =
	    hash + 4 + bloom_count * (sizeof(ElfW(Addr)) / sizeof(*hash));
	const uint32_t *chains = buckets + bucket_count;
	uint32_t last = 0;

	for (uint32_t i = 0; i < bucket_count; i++)
		if (buckets[i] > last)
			last = buckets[i];
	if (last < first)
		return first;
	while (!(chains[last - first] & 1))
		last++;
	return (size_t)last + 1;
}

static void find_name(struct lookup *lookup, const ElfW(Dyn) * dynamic)
{
	uintptr_t base = lookup->base, offset = lookup->address - base;
	const ElfW(Sym) *symbol = dynamic_pointer(dynamic, base, DT_SYMTAB);
	const char *names = dynamic_pointer(dynamic, base, DT_STRTAB), *name;
	const uint32_t *hash = dynamic_pointer(dynamic, base, DT_GNU_HASH);
	size_t count = symbol && names && hash ? symbol_count(hash) : 0;

	for (; count--; symbol++) {
		name = names + symbol->st_name;
		if (symbol->st_shndx == SHN_UNDEF || !*name ||
		    ELF64_ST_TYPE(symbol->st_info) == STT_TLS ||
		    offset - symbol->st_value >= symbol->st_size)
			continue;
		lookup->start = base + symbol->st_value;
		snprintf(lookup->name, sizeof(lookup->name), "%s", name);
		/* "write" rather than its alias "__write". */
		if (name[0] != '_')
			return;
	}
}

/* For dl_iterate_phdr: whether the address is in this object, and where. */
static int look_up(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct lookup *lookup = arg;
	const ElfW(Dyn) *dynamic = NULL;
	bool inside = false;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + part->p_vaddr;

		if (part->p_type == PT_LOAD &&
		    lookup->address - start < part->p_memsz)
			inside = true;
		if (part->p_type == PT_DYNAMIC)
			dynamic = (const void *)start;
	}
	if (!inside)
		return 0;
	lookup->base = info->dlpi_addr;
	/* The program itself has no name here. */
	if (info->dlpi_name && *info->dlpi_name)
		show_path(info->dlpi_name, lookup->object);
	else if (!read_link("/proc/self/exe", lookup->object))
		strcpy(lookup->object, "the program");
	find_name(lookup, dynamic);
	return 1;
}

void where_frame(const void *frame, char text[static WHERE_TEXT])
{
	struct lookup lookup = {.address = (uintptr_t)frame - 1};

	if (!dl_iterate_phdr(look_up, &lookup))
		snprintf(text, WHERE_TEXT, "%p", frame);
	else if (lookup.name[0])
		snprintf(text, WHERE_TEXT, "%s+0x%zx in %s (+0x%zx)",
		    lookup.name, (size_t)(lookup.address - lookup.start),
		    lookup.object, (size_t)(lookup.address - lookup.base));
	else
		snprintf(text, WHERE_TEXT, "%s (+0x%zx)", lookup.object,
		    (size_t)(lookup.address - lookup.base));
}
