/*
 * Files of NAME=value lines, in the language of systemd's EnvironmentFile:
 *
 * - Lines that are empty, or begin with # or ;, are comments.
 * - A value goes to the end of its line, without the blanks around it. A
 *   backslash outside of quotes keeps the next character.
 * - '...' keeps everything. "..." keeps everything but a backslash before
 *   ", \, ` or $. Both may go on over lines, and stand beside other text.
 * - A backslash at the end of a line has the value go on in the next one.
 * - Nothing is expanded.
 *
 * What systemd leaves out without a word, a line that is none of these, is an
 * error here. Values are no longer than what they are read from, so each is
 * put where it stood.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cratos/error.h>

#include "server/envfile.h"

enum { FILE_BYTES_MAX = 1 << 20 };

/* Where the reader is. */
struct reader {
	const char *path;
	char *at;
	int line;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static int refuse(const struct reader *reader, int line, const char *what)
{
	return error_set(-EINVAL, "env_file: %s:%d: %s", reader->path, line,
	    what);
}

static void skip_blanks(struct reader *reader)
{
	while (is_blank(*reader->at))
		reader->at++;
}

static void skip_line(struct reader *reader)
{
	reader->at += strcspn(reader->at, "\n");
	if (*reader->at)
		reader->at++;
	reader->line++;
}

/* ---- values ---- */

/* Behind the backslash: what stands for one character, or for none. */
static char *take_escaped(struct reader *reader, char quote, char *out)
{
	char c = *reader->at;

	if (c == '\n') {
		reader->line++;
		reader->at++;
		return out;
	}
	if (!c || (quote && !strchr("\"\\`$", c)))
		*out++ = '\\';
	if (c) {
		*out++ = c;
		reader->at++;
	}
	return out;
}

/* The end of what was copied, without blanks that no quotes have kept. */
static char *trim(char *out, const char *kept)
{
	while (out > kept && is_blank(out[-1]))
		out--;
	return out;
}

/* Copies the value to out, and goes behind its line. */
static int take_value(struct reader *reader, char *out)
{
	const char *kept = out;
	int opened_in = 0;
	char quote = 0;

	for (char c; (c = *reader->at) && (quote || c != '\n');) {
		reader->at++;
		if (c == '\\' && quote != '\'') {
			out = take_escaped(reader, quote, out);
			kept = out;
		} else if (quote ? c == quote : c == '\'' || c == '"') {
			quote = quote ? 0 : c;
			opened_in = reader->line;
			kept = out;
		} else {
			reader->line += c == '\n';
			*out++ = c;
		}
	}
	if (quote)
		return refuse(reader, opened_in, "the quote is not closed");
	skip_line(reader);
	*trim(out, kept) = '\0';
	return 0;
}

/* ---- lines ---- */

static bool is_name(const char *text, size_t size)
{
	if (!size || (*text >= '0' && *text <= '9'))
		return false;
	for (; size; size--, text++)
		if (!(*text == '_' || (*text >= '0' && *text <= '9') ||
			(*text >= 'A' && *text <= 'Z') ||
			(*text >= 'a' && *text <= 'z')))
			return false;
	return true;
}

static int take_line(struct reader *reader, const char **entry)
{
	char *name = reader->at, *out;
	size_t size = strcspn(name, "=\n"), name_size = size;

	while (name_size && is_blank(name[name_size - 1]))
		name_size--;
	if (name[size] != '=')
		return refuse(reader, reader->line, "no NAME=value");
	if (!strncmp(name, "export", 6) && is_blank(name[6]))
		return refuse(reader, reader->line,
		    "a name stands here without export");
	if (!is_name(name, name_size))
		return refuse(reader, reader->line,
		    "a name has letters, digits and _, and does not begin with "
		    "a digit");
	reader->at += size + 1;
	skip_blanks(reader);
	*entry = name;
	out = name + name_size;
	*out++ = '=';
	return take_value(reader, out);
}

static int parse(const char *path, struct envfile *file)
{
	struct reader reader = {path, file->text, 1};
	size_t count = 0;
	int ret = 0;

	while (*reader.at && !ret) {
		skip_blanks(&reader);
		if (*reader.at == '#' || *reader.at == ';' ||
		    *reader.at == '\n')
			skip_line(&reader);
		else if (*reader.at)
			ret = take_line(&reader, &file->entries[count++]);
	}
	file->entries[ret ? 0 : count] = NULL;
	return ret;
}

/* ---- files ---- */

/* Where a relative path begins, with a slash; "" if that is not known. */
static void find_folder(int dir_fd, char folder[static PATH_MAX])
{
	char link[40];
	ssize_t size;

	if (dir_fd < 0)
		strcpy(link, "/proc/self/cwd");
	else
		snprintf(link, sizeof(link), "/proc/self/fd/%d", dir_fd);
	size = readlink(link, folder, PATH_MAX - 2);
	if (size > 1)
		folder[size++] = '/';
	folder[size > 0 ? size : 0] = '\0';
}

static int cannot_read(int dir_fd, const char *path, int code)
{
	char folder[PATH_MAX] = "";

	if (*path != '/')
		find_folder(dir_fd, folder);
	errno = -code;
	return error_set(code, "env_file: %s%s: %m", folder, path);
}

/* All of it, with a NUL behind; a negative errno. */
static int read_all(int fd, char **text, size_t *size)
{
	struct stat st;
	ssize_t n;

	*size = 0;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	*text = malloc(FILE_BYTES_MAX + 1 < st.st_size + 2
			   ? FILE_BYTES_MAX + 1
			   : (size_t)st.st_size + 2);
	if (!*text)
		return -ENOMEM;
	if (st.st_size > FILE_BYTES_MAX)
		return -EFBIG;
	/* It may grow meanwhile: that is the next reader's. */
	while (*size < (size_t)st.st_size) {
		n = read(fd, *text + *size, (size_t)st.st_size - *size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		*size += (size_t)n;
	}
	(*text)[*size] = '\0';
	return 0;
}

int envfile_read(int dir_fd, const char *path, struct envfile *file)
{
	size_t size = 0, lines = 1;
	int fd, ret;

	*file = (struct envfile){0};
	/* Not to wait for the writer of a pipe, which is refused. */
	fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return cannot_read(dir_fd, path, -errno);
	ret = read_all(fd, &file->text, &size);
	close(fd);
	if (ret)
		return cannot_read(dir_fd, path, ret);
	if (strlen(file->text) != size)
		return error_set(-EINVAL, "env_file: %s: has a NUL byte", path);
	for (const char *at = file->text; *at; at++)
		lines += *at == '\n';
	file->entries = calloc(lines + 1, sizeof(*file->entries));
	return file->entries ? parse(path, file)
			     : cannot_read(dir_fd, path, -ENOMEM);
}

void envfile_fini(struct envfile *file)
{
	free(file->entries);
	free(file->text);
	*file = (struct envfile){0};
}
