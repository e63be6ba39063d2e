/* A file of the configuration: how its bytes get into memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/source.h"

static int check(int fd, struct source_text *text, size_t *size)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	/* A pipe or a terminal could keep us waiting for ever. */
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > SOURCE_MAX_BYTES)
		return -EFBIG;
	text->device = st.st_dev;
	text->inode = st.st_ino;
	*size = (size_t)st.st_size;
	return 0;
}

/* The file may grow or shrink while it is read, and those in /proc say that
 * they have no size: only the end of file tells. */
static int fill(int fd, struct source_text *text, size_t expected)
{
	size_t room = expected + 1;

	text->text = malloc(room);
	while (text->text) {
		ssize_t n =
		    read(fd, text->text + text->size, room - text->size);
		if (n == 0)
			return 0;
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		text->size += (size_t)n;
		if (text->size > SOURCE_MAX_BYTES)
			return -EFBIG;
		if (text->size < room)
			continue;
		room *= 2;
		char *larger = realloc(text->text, room);
		if (!larger)
			return -ENOMEM;
		text->text = larger;
	}
	return -ENOMEM;
}

int source_read(const char *path, struct source_text *text)
{
	size_t expected = 0;
	int rc;

	*text = (struct source_text){0};
	/* Without O_NONBLOCK the open of a FIFO waits for a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	rc = check(fd, text, &expected);
	if (!rc)
		rc = fill(fd, text, expected);
	close(fd);
	if (rc) {
		free(text->text);
		text->text = NULL;
	}
	return rc;
}

const char *source_error(int code)
{
	if (code == -EINVAL)
		return "not a regular file";
	if (code == -EFBIG)
		return "larger than 64 MiB";
	const char *text = strerrordesc_np(-code);
	return text ? text : "unknown error";
}
