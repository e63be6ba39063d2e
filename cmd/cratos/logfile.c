/*
 * Files that take what servers print.
 *
 * Design notes. There is one struct for a file, also while a reload hands it on
 * from one server to the next, and whatever it is called: else two would rename
 * one file. One lock guards the list and all that is in it; it is held across writes, as only
 * the thread that reads what servers print has anything to write.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cratos/error.h>

#include "cmd/cratos/logfile.h"

struct logfile {
	LIST_ENTRY(logfile) link;
	int refs, fd;
	dev_t device;
	ino_t inode;
	int64_t size, most, keep;
	bool in_line; /* what is there does not end with a newline */
	bool failed; /* and that was told */
	char path[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, logfile) files = LIST_HEAD_INITIALIZER(files);

/* Returns a descriptor or a negative errno, with words. */
static int open_path(const char *path, struct stat *st)
{
	/* Without a wait for who reads a fifo. */
	int fd = open(path,
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
	    0666);
	int ret = fd;

	*st = (struct stat){0};
	if (fd < 0 || fstat(fd, st))
		ret = error_set(-errno, "cannot write to %s: %m", path);
	else if (!S_ISREG(st->st_mode))
		ret = error_set(-EINVAL, "%s is no regular file", path);
	if (ret < 0 && fd >= 0)
		close(fd);
	return ret;
}

static void take_file(struct logfile *file, int fd, const struct stat *st)
{
	file->fd = fd;
	file->device = st->st_dev;
	file->inode = st->st_ino;
	file->size = st->st_size;
	file->in_line = false;
}

/* What it writes to from now on; the one before stays if this fails. */
static int open_file(struct logfile *file)
{
	struct stat st;
	int fd = open_path(file->path, &st);

	if (fd < 0)
		return fd;
	if (file->fd >= 0)
		close(file->fd);
	take_file(file, fd, &st);
	return 0;
}

/* PATH.1, which is what PATH becomes. */
static void old_path(const char *path, int64_t number,
    char old[static PATH_MAX])
{
	if (number)
		snprintf(old, PATH_MAX, "%s.%d", path, (int)number);
	else
		snprintf(old, PATH_MAX, "%s", path);
}

/* The file itself moves, beside where it is, and a link to it stays. */
static int rotate(struct logfile *file)
{
	char real[PATH_MAX], from[PATH_MAX], to[PATH_MAX];
	const char *path = realpath(file->path, real);

	if (!path) /* it is gone, and is made anew */
		return open_file(file);
	if (!file->keep && unlink(path) && errno != ENOENT)
		return error_set(-errno, "cannot remove %s: %m", path);
	for (int64_t i = file->keep; i > 0; i--) {
		old_path(path, i - 1, from);
		old_path(path, i, to);
		if (rename(from, to) && errno != ENOENT)
			return error_set(-errno, "cannot rename %s to %s: %m",
			    from, to);
	}
	return open_file(file);
}

static int write_all(struct logfile *file, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(file->fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(-errno,
			    "cannot write to %s: %m; what comes is lost",
			    file->path);
		file->size += n;
		file->in_line = data[n - 1] != '\n';
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

/*
 * How much of data still belongs into the file: the lines that find room, and
 * the rest of one that has begun, if that does not make it twice as long.
 */
static size_t fitting(const struct logfile *file, const char *data, size_t size)
{
	int64_t room = file->most - file->size;
	const char *end;

	if (!file->most || (int64_t)size <= room)
		return size;
	end = room > 0 ? memrchr(data, '\n', (size_t)room) : NULL;
	if (end)
		return (size_t)(end - data) + 1;
	if (!file->in_line && file->size)
		return 0;
	if (file->size >= 2 * file->most)
		return 0;
	end = memchr(data, '\n', size);
	return end ? (size_t)(end - data) + 1 : size;
}

/* Under the lock. */
static int put(struct logfile *file, const char *data, size_t size)
{
	int ret = 0, first = 0;

	while (size) {
		size_t n = fitting(file, data, size);
		bool full = n < size;

		ret = write_all(file, data, n);
		if (ret)
			return ret;
		data += n;
		size -= n;
		if (!full)
			break;
		ret = rotate(file);
		if (!ret)
			continue;
		/* Better too long than lost; tried again after as much. */
		first = first ? first : ret;
		file->size = 0;
		file->in_line = false;
	}
	return first;
}

/* ---- what others call ---- */

static struct logfile *find(const char *path)
{
	struct logfile *file;

	LIST_FOREACH(file, &files, link)
	{
		if (!strcmp(file->path, path))
			break;
	}
	return file;
}

/* By another path. */
static struct logfile *find_same(const struct stat *st)
{
	struct logfile *file;

	LIST_FOREACH(file, &files, link)
	{
		if (file->device == st->st_dev && file->inode == st->st_ino)
			break;
	}
	return file;
}

/* Of a file that is open. */
static struct logfile *make(const char *path, int fd, const struct stat *st)
{
	size_t size = strlen(path) + 1;
	struct logfile *made = calloc(1, sizeof(*made) + size);

	if (!made)
		return NULL;
	memcpy(made->path, path, size);
	take_file(made, fd, st);
	LIST_INSERT_HEAD(&files, made, link);
	return made;
}

/* One that was removed meanwhile is made anew. */
static int renew(struct logfile *file)
{
	struct stat st;

	return !fstat(file->fd, &st) && st.st_nlink ? 0 : open_file(file);
}

/* The one that is open, or a new one. */
static int find_or_make(struct logfile **file, const char *path)
{
	struct stat st;
	int fd;

	*file = find(path);
	if (*file)
		return renew(*file);
	if (strlen(path) >= PATH_MAX - sizeof(".100"))
		return error_set(-ENAMETOOLONG, "%.40s... is too long", path);
	fd = open_path(path, &st);
	if (fd < 0)
		return fd;
	*file = find_same(&st);
	if (*file) {
		close(fd);
		return 0;
	}
	*file = make(path, fd, &st);
	if (*file)
		return 0;
	close(fd);
	return error_set(-ENOMEM, "out of memory");
}

int logfile_open(struct logfile **file, const char *path, int64_t most,
    int keep)
{
	int ret;

	pthread_mutex_lock(&lock);
	ret = find_or_make(file, path);
	if (ret)
		*file = NULL;
	if (*file) {
		(*file)->refs++;
		(*file)->most = most;
		(*file)->keep = keep;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

void logfile_free(struct logfile **file)
{
	struct logfile *old = *file;

	*file = NULL;
	if (!old)
		return;
	pthread_mutex_lock(&lock);
	if (!--old->refs) {
		LIST_REMOVE(old, link);
		close(old->fd);
		free(old);
	}
	pthread_mutex_unlock(&lock);
}

int logfile_write(struct logfile *file, const char *data, size_t size)
{
	bool told;
	int ret;

	pthread_mutex_lock(&lock);
	told = file->failed;
	ret = put(file, data, size);
	file->failed = ret != 0;
	pthread_mutex_unlock(&lock);
	return told ? 0 : ret;
}

void logfile_reopen_all(void (*failed)(const char *text))
{
	struct logfile *file;
	int ret;

	pthread_mutex_lock(&lock);
	LIST_FOREACH(file, &files, link)
	{
		ret = open_file(file);
		if (ret)
			failed(error_of(ret).text);
	}
	pthread_mutex_unlock(&lock);
}
