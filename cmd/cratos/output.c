/*
 * What servers print.
 *
 * Design notes. A server has one pipe, for both of its streams, so that what
 * it says stays in its order. The pipe stays from one run to the next: the exec
 * holds its other end until it is freed. So it does not tell when a run ends,
 * the app does: output_settle then notes how many bytes are in the pipe
 * (`left`), and the line that they end with is one, with a newline or without.
 * What comes later is of the next run, or of a process that the last one has
 * left behind. Once nobody holds the other end the reader lets go of the pipe.
 *
 * Back-pressure. Lines are read only while the writer has room for what they
 * become. So if nobody reads ours, or one server says more than can be shown,
 * lines wait in the pipes, and those who print are held up, nobody else. While
 * there is no room the pipes with lines, which are in an epoll of their own
 * (`lines_epoll`) within the reader's, are taken out of that as a whole: files are
 * written all the same. Each pipe that has something is read once in turn, a few
 * kilobytes, so that a flood of one server is no more than a part of the lines.
 *
 * Threads. The reader does all the reading but that of output_settle, which is
 * called on the app's thread; both do it under `lock`, which guards all that
 * is printed. It is held for one piece at a time. What goes to files only the
 * reader touches, and writes without the lock: a slow disk holds up no more
 * than what else is printed. The reader alone drops a pipe, so what an epoll has
 * given it is there. `lock` is taken under that of logfile.c, and that of writer.c
 * under it. An exec is told under it, too: what it is told is of the run that goes
 * on, and it is there.
 *
 * The reader is detached, and ends with the process. After output_end (`over`)
 * it prints nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cratos/admin.h>
#include <cratos/error.h>
#include <cratos/exec.h>

#include "cmd/cratos/logfile.h"
#include "cmd/cratos/output.h"
#include "cmd/cratos/thread.h"
#include "cmd/cratos/writer.h"

enum {
	PIECE = 4096, /* bytes that are read at a time */
	FILE_PIECE = 16384, /* ... for a file */
	PART = 4096, /* of a line that is printed in parts: the longest */
	BATCH = 65536,
	TURNS = 16, /* pieces of lines before what else there is is looked at */
	END_MS = 500
};

struct output {
	LIST_ENTRY(output) link;
	int fd;
	struct logfile *file; /* the reader's; NULL: it is printed */
	/* guarded by lock */
	int refs; /* the reader's and the holder's */
	int left; /* bytes until the end of a run; -1: it goes on */
	int taken; /* of them, read already, but not in the file yet */
	struct exec *exec; /* that is told; NULL: none */
	bool goes_on; /* what comes belongs to a line that has begun */
	char *text; /* of a line without its end, or NULL */
	size_t used, size;
	unsigned int colour;
	char name[];
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t settled;
	const struct printer *printer;
	struct admin *admin; /* keeps what is printed; NULL: nobody does */
	LIST_HEAD(, output) all;
	size_t unsettled; /* how many have a run to end */
	size_t telling; /* how many have an exec */
	bool over;
	char piece[PIECE], batch[BATCH];
	struct line lines; /* in batch */
	struct timespec now; /* when what is printed was read */
	/* constant once the reader runs */
	bool started;
	int epoll, lines_epoll, wake;
	atomic_bool reopen; /* before a wake */
	/* the reader's */
	bool waits; /* for room */
	char file_piece[FILE_PIECE];
} out = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- lines, under the lock ---- */

static void flush(void)
{
	if (out.lines.used)
		writer_offer(out.lines.text, out.lines.used);
	out.lines = LINE_IN(out.batch);
}

static void print(struct output *output, const char *text, size_t size,
    bool ends)
{
	const struct printed printed = {.name = output->name,
	    .colour = output->colour,
	    .text = text,
	    .size = size,
	    .goes_on = output->goes_on,
	    .time = out.now};

	if (out.lines.size - out.lines.used < PRINTED_ROOM(size))
		flush();
	printer_output(out.printer, printed, &out.lines);
	output->goes_on = !ends;
}

static void forget(struct output *output)
{
	free(output->text);
	output->text = NULL;
	output->used = output->size = 0;
}

static bool reserve(struct output *output, size_t size)
{
	char *text;

	if (size <= output->size)
		return true;
	size = (size + 255) / 256 * 256;
	text = realloc(output->text, size);
	if (!text)
		return false;
	output->text = text;
	output->size = size;
	return true;
}

/* All of what there is but a character that is not complete. */
static void print_part(struct output *output)
{
	size_t rest = 0;

	for (size_t i = 1; i < 4 && i < output->used && !rest; i++)
		if (line_character(output->text + output->used - i, i) > i)
			rest = i;
	output->used -= rest;
	print(output, output->text, output->used, false);
	memmove(output->text, output->text + output->used, rest);
	output->used = rest;
}

/* A line's next bytes, a piece at most. */
static void keep(struct output *output, const char *text, size_t size)
{
	size_t fits;

	if (!reserve(output,
		output->used + size < PART ? output->used + size : PART)) {
		if (output->used)
			print(output, output->text, output->used, false);
		print(output, text, size, false);
		forget(output);
		return;
	}
	for (; size > (fits = PART - output->used); size -= fits) {
		memcpy(output->text + output->used, text, fits);
		output->used = PART;
		print_part(output);
		text += fits;
	}
	memcpy(output->text + output->used, text, size);
	output->used += size;
}

static void end_line(struct output *output)
{
	print(output, output->text ? output->text : "", output->used, true);
	forget(output);
}

static void print_lines(struct output *output, const char *text, size_t size)
{
	const char *end;

	for (; (end = memchr(text, '\n', size)); text = end + 1) {
		size_t length = (size_t)(end - text);

		if (output->used) {
			keep(output, text, length);
			end_line(output);
		} else {
			print(output, text, length, true);
		}
		size -= length + 1;
	}
	if (size)
		keep(output, text, size);
}

/* ---- the end of a run, under the lock ---- */

static void settle(struct output *output)
{
	if (output->left >= 0 && !--out.unsettled)
		pthread_cond_signal(&out.settled);
	output->left = -1;
	if (out.admin)
		admin_log(out.admin, output->name, "", 0);
	if (output->used) {
		clock_gettime(CLOCK_REALTIME, &out.now);
		end_line(output);
	}
	output->goes_on = false;
	flush();
}

/* How much is in the pipe. */
static int waiting(const struct output *output)
{
	int size;

	return ioctl(output->fd, FIONREAD, &size) ? 0 : size;
}

/* All that is in the pipe, and no more, is of a run that has ended. */
static void begin_to_settle(struct output *output)
{
	int left = waiting(output) + output->taken;

	if (output->left < 0)
		out.unsettled++;
	output->left = left;
	if (!left)
		settle(output);
}

/*
 * Reads a piece, of one run; what read(2) has returned. What is of a run that has
 * ended is no news of the next one's.
 */
static ssize_t take(struct output *output, char *piece, size_t most)
{
	ssize_t n;

	if (output->left >= 0 && (size_t)output->left < most)
		most = (size_t)output->left;
	n = read(output->fd, piece, most);
	if (n > 0 && out.admin)
		admin_log(out.admin, output->name, piece, (size_t)n);
	if (n > 0 && output->exec && output->left < 0)
		exec_printed(output->exec, piece, (size_t)n);
	return n;
}

static void took(struct output *output, ssize_t size)
{
	if (output->left < 0 || size <= 0)
		return;
	output->left -= (int)size;
	if (!output->left)
		settle(output);
}

/* Reads and prints a piece; what read(2) has returned. */
static ssize_t print_piece(struct output *output)
{
	ssize_t n = take(output, out.piece, PIECE);

	if (n <= 0)
		return n;
	clock_gettime(CLOCK_REALTIME, &out.now);
	print_lines(output, out.piece, (size_t)n);
	flush();
	took(output, n);
	return n;
}

/* ---- the reader ---- */

static void unref(struct output *output)
{
	if (--output->refs)
		return;
	free(output->text);
	free(output);
}

/* Nobody can write to it any more. */
static void drop(struct output *output)
{
	struct logfile *file = output->file;

	pthread_mutex_lock(&out.lock);
	/* A child that is being made may have it open for a moment more. */
	epoll_ctl(output->file ? out.epoll : out.lines_epoll, EPOLL_CTL_DEL,
	    output->fd, NULL);
	close(output->fd);
	output->fd = -1;
	if (!out.over)
		settle(output);
	LIST_REMOVE(output, link);
	unref(output);
	pthread_mutex_unlock(&out.lock);
	logfile_free(&file);
}

static void tell(const char *text)
{
	pthread_mutex_lock(&out.lock);
	if (!out.over)
		print_problem(out.printer, text);
	pthread_mutex_unlock(&out.lock);
}

static void read_for_file(struct output *output)
{
	ssize_t n;
	int ret;

	pthread_mutex_lock(&out.lock);
	n = take(output, out.file_piece, FILE_PIECE);
	output->taken = n > 0 ? (int)n : 0;
	pthread_mutex_unlock(&out.lock);
	if (!n) {
		drop(output);
		return;
	}
	if (n < 0)
		return;
	ret = logfile_write(output->file, out.file_piece, (size_t)n);
	if (ret)
		tell(error_of(ret).text);
	pthread_mutex_lock(&out.lock);
	output->taken = 0;
	took(output, n);
	pthread_mutex_unlock(&out.lock);
}

static int watch(int epoll, int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static void wait_for_room(void)
{
	out.waits = true;
	epoll_ctl(out.epoll, EPOLL_CTL_DEL, out.lines_epoll, NULL);
}

/*
 * One at a time: what epoll has handed out goes behind all others that have
 * something, so whoever comes next when there is no room is the first then.
 */
static void read_for_lines(void)
{
	struct epoll_event event;
	bool room = true;

	for (int i = 0; i < TURNS && room; i++) {
		struct output *output;
		ssize_t size = -1;

		if (epoll_wait(out.lines_epoll, &event, 1, 0) != 1)
			return;
		output = event.data.ptr;
		pthread_mutex_lock(&out.lock);
		if (!out.over)
			size = print_piece(output);
		room = !out.over && writer_has_room();
		pthread_mutex_unlock(&out.lock);
		if (!size)
			drop(output);
	}
	if (!room)
		wait_for_room();
}

static void woken(void)
{
	uint64_t count;

	eventfd_read(out.wake, &count);
	if (atomic_exchange(&out.reopen, false))
		logfile_reopen_all(tell);
	if (out.waits && writer_has_room())
		out.waits =
		    watch(out.epoll, out.lines_epoll, &out.lines_epoll) != 0;
}

static void *work(void *unused)
{
	struct epoll_event events[16];
	int n;

	for (;;) {
		n = epoll_wait(out.epoll, events, 16, -1);
		for (int i = 0; i < n; i++) {
			void *what = events[i].data.ptr;

			if (what == &out.wake)
				woken();
			else if (what == &out.lines_epoll)
				read_for_lines();
			else
				read_for_file(what);
		}
	}
	return unused;
}

/* From the thread of the writer. */
static void has_room(void)
{
	eventfd_write(out.wake, 1);
}

/* ---- what the command calls ---- */

static int make_descriptors(void)
{
	out.epoll = epoll_create1(EPOLL_CLOEXEC);
	out.lines_epoll = epoll_create1(EPOLL_CLOEXEC);
	out.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (out.epoll < 0 || out.lines_epoll < 0 || out.wake < 0)
		return -errno;
	return 0;
}

/* Under the lock. A process whose output cannot be read has no use for it. */
static int start(void)
{
	int ret = out.started ? 0 : make_descriptors();

	if (out.started)
		return 0;
	if (!ret)
		ret = watch(out.epoll, out.wake, &out.wake);
	if (!ret)
		ret = watch(out.epoll, out.lines_epoll, &out.lines_epoll);
	writer_on_room(has_room);
	if (!ret)
		ret = thread_start(work);
	out.started = !ret;
	return ret;
}

void output_begin(const struct printer *printer)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&out.settled, &attr);
	pthread_condattr_destroy(&attr);
	out.printer = printer;
	out.lines = LINE_IN(out.batch);
}

void output_keep(struct admin *admin)
{
	pthread_mutex_lock(&out.lock);
	out.admin = admin;
	pthread_mutex_unlock(&out.lock);
}

void output_make_room(size_t servers)
{
	/* Two for the pipe, one to see its end, one for what is left of it. */
	rlim_t wanted = 64 + 4 * servers;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static struct output *make(const struct output_options *options)
{
	size_t size = strlen(options->name) + 1;
	struct output *output = calloc(1, sizeof(*output) + size);

	if (!output)
		return NULL;
	memcpy(output->name, options->name, size);
	output->colour = options->colour;
	output->left = -1;
	output->refs = 2;
	return output;
}

/* The reader has it from here on. */
static int hand_over(struct output *output)
{
	int ret;

	pthread_mutex_lock(&out.lock);
	ret = start();
	if (!ret)
		ret = watch(output->file ? out.epoll : out.lines_epoll,
		    output->fd, output);
	if (!ret)
		LIST_INSERT_HEAD(&out.all, output, link);
	pthread_mutex_unlock(&out.lock);
	return ret ? error_set(ret, "cannot be read: %s", strerror(-ret)) : 0;
}

int output_open(struct output **output, const struct output_options *options,
    int *fd)
{
	struct output *made = make(options);
	int ret = 0, ends[2];

	if (!made)
		return error_set(-ENOMEM, "out of memory");
	if (options->path)
		ret = logfile_open(&made->file, options->path,
		    options->file_size, options->file_keep);
	if (!ret && pipe2(ends, O_CLOEXEC)) {
		ret = error_set(-errno, "no pipe: %m");
	} else if (!ret) {
		made->fd = ends[0];
		fcntl(made->fd, F_SETFL, O_NONBLOCK);
		ret = hand_over(made);
		if (ret) {
			close(ends[0]);
			close(ends[1]);
		}
	}
	if (ret) {
		logfile_free(&made->file);
		free(made);
		return ret;
	}
	*output = made;
	*fd = ends[1];
	return 0;
}

void output_tell(struct output *output, struct exec *exec)
{
	pthread_mutex_lock(&out.lock);
	output->exec = exec;
	out.telling++;
	pthread_mutex_unlock(&out.lock);
}

void output_tell_no_more(const struct exec *exec)
{
	struct output *output;

	pthread_mutex_lock(&out.lock);
	output = out.telling ? LIST_FIRST(&out.all) : NULL;
	while (output && output->exec != exec)
		output = LIST_NEXT(output, link);
	if (output) {
		output->exec = NULL;
		out.telling--;
	}
	pthread_mutex_unlock(&out.lock);
}

void output_reopen(void)
{
	pthread_mutex_lock(&out.lock);
	if (out.started) {
		out.reopen = true;
		eventfd_write(out.wake, 1);
	}
	pthread_mutex_unlock(&out.lock);
}

void output_free(struct output **output)
{
	struct output *old = *output;

	*output = NULL;
	if (!old)
		return;
	pthread_mutex_lock(&out.lock);
	unref(old);
	pthread_mutex_unlock(&out.lock);
}

/* Under the lock. */
static void print_waiting(struct output *output)
{
	ssize_t n = 1;

	for (int left = waiting(output); left > 0 && n > 0 && writer_has_room();
	     left -= (int)n)
		n = print_piece(output);
}

void output_settle(struct output *output, bool ended)
{
	if (!output)
		return;
	pthread_mutex_lock(&out.lock);
	if (ended)
		begin_to_settle(output);
	if (!output->file)
		print_waiting(output);
	pthread_mutex_unlock(&out.lock);
}

void output_end(void)
{
	struct timespec until;
	struct output *output;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += END_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&out.lock);
	LIST_FOREACH(output, &out.all, link)
	{
		begin_to_settle(output);
	}
	while (out.unsettled && pthread_cond_timedwait(&out.settled, &out.lock,
				    &until) != ETIMEDOUT)
		continue;
	out.over = true;
	pthread_mutex_unlock(&out.lock);
}
