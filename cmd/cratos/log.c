/* Where what a server prints goes, as the file says. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cratos/appfile.h"

/* A percent sign that stands for nothing. */
static bool has_other_percent(const char *path)
{
	for (; (path = strchr(path, '%')); path += 2)
		if (path[1] != 'n' && path[1] != '%')
			return true;
	return false;
}

/* Another name for what is open, which cannot be had a second time. */
static bool is_descriptor(const char *path)
{
	static const char *const names[] = {"/dev/stdout", "/dev/stderr",
	    "/dev/stdin", "/dev/fd/", "/proc/"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strncmp(path, names[i], strlen(names[i])))
			return true;
	return false;
}

/* NULL, or what is wrong with the text. *path is set for a file. */
static const char *parse(const char *text, enum log_kind *kind,
    const char **path)
{
	static const char *const kinds[] = {"lines", "inherit", "null"};
	static const char prefix[] = "file:";
	size_t size = sizeof(prefix) - 1;

	*path = NULL;
	for (int i = 0; i < 3; i++)
		if (!strcmp(text, kinds[i])) {
			*kind = (enum log_kind)i;
			return NULL;
		}
	if (strncmp(text, prefix, size) != 0 || !text[size])
		return "must be lines, inherit, null, or file:PATH";
	if (has_other_percent(text + size))
		return "in a PATH, %n is the server's name, %% a percent sign, "
		       "and another % nothing";
	if (is_descriptor(text + size))
		return "no file of its own; log = inherit leaves stdout and "
		       "stderr to the program";
	*kind = LOG_FILE;
	*path = text + size;
	return NULL;
}

/* The path with the name for %n, and % for %%; NULL without memory. */
static char *expand(const char *path, const char *name)
{
	char *text = malloc(strlen(path) * (strlen(name) + 1) + 1);
	char *end = text;

	for (; text && *path; path++) {
		if (*path == '%' && path[1] == 'n') {
			end = stpcpy(end, name);
			path++;
		} else {
			*end++ = *path;
			path += *path == '%' && path[1] == '%';
		}
	}
	if (text)
		*end = '\0';
	return text;
}

/* The path without links and detours; NULL without memory. */
static char *resolve(const char *path)
{
	const char *slash = strrchr(path, '/'),
		   *base = slash ? slash + 1 : path;
	char *real = realpath(path, NULL), *dir, *cwd, *whole = NULL;

	if (real)
		return real;
	dir = slash ? strndup(path, (size_t)(base - path)) : strdup(".");
	real = dir ? realpath(dir, NULL) : NULL;
	if (real) {
		if (asprintf(&whole, "%s/%s", real, base) < 0)
			whole = NULL;
	} else {
		/* Its folder is not there, which is told of elsewhere. */
		cwd = *path == '/' ? strdup("") : getcwd(NULL, 0);
		if (!cwd ||
		    asprintf(&whole, "%s%s%s", cwd, *cwd ? "/" : "", path) < 0)
			whole = NULL;
		free(cwd);
	}
	free(real);
	free(dir);
	return whole;
}

/* Whether the file is called other.1 or so, as the other one will be. */
static bool is_older(const struct log *log, const struct log *other)
{
	size_t size = strlen(other->real);
	const char *number = log->real + size + 1;
	int64_t n;

	if (!other->size || strncmp(log->real, other->real, size) != 0 ||
	    log->real[size] != '.' || *number < '1' || *number > '9')
		return false;
	n = strspn(number, "0123456789") == strlen(number) ? atoll(number) : 0;
	return n >= 1 && n <= other->keep;
}

/* NULL, or when two servers would have one file. */
static const char *clash(const struct log *log, const struct log *other)
{
	if (!other->real)
		return NULL;
	if (!strcmp(log->real, other->real))
		return "";
	if (is_older(log, other))
		return ", once that is full";
	return is_older(other, log) ? ", once it is full" : NULL;
}

/* The first server before the i-th one that has the same file. */
static const struct appfile_server *find_twin(const struct appfile *file,
    size_t i, const char **when)
{
	for (size_t j = 0; j < i; j++) {
		const struct appfile_server *other = &file->servers[j];

		*when = clash(&file->servers[i].log, &other->log);
		if (*when)
			return other;
	}
	return NULL;
}

/* 0, or a negative errno if it could not be opened to write. */
static int look_for(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = strdup(path);
	struct stat st;
	int ret = 0;

	if (!dir)
		return -ENOMEM;
	if (slash)
		dir[slash - path + 1] = '\0';
	if (!stat(path, &st))
		ret = !S_ISREG(st.st_mode)			    ? -EINVAL
		      : faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) ? -errno
								    : 0;
	else if (errno != ENOENT || faccessat(AT_FDCWD, slash ? dir : ".",
					W_OK | X_OK, AT_EACCESS))
		ret = -errno;
	free(dir);
	return ret;
}

static bool check_file(struct appfile *file, size_t i, bool thorough)
{
	const struct log *log = &file->servers[i].log;
	const char *when = "";
	const struct appfile_server *twin = find_twin(file, i, &when);
	int ret = thorough ? look_for(log->path) : 0;

	if (twin)
		config_refuse(file->config, "server:", i, "log",
		    "%s is the log of %s as well%s: give each its own, "
		    "with %%n for the server's name",
		    log->path, twin->name, when);
	else if (ret == -EINVAL)
		config_refuse(file->config, "server:", i, "log",
		    "%s is no regular file", log->path);
	else if (ret)
		config_refuse(file->config, "server:", i, "log",
		    "cannot write to %s: %s", log->real, strerror(-ret));
	return !twin && !ret;
}

/* Keys that are there and do nothing. */
static bool check_idle(struct appfile *file, size_t i)
{
	static const char *const keys[] = {"log_size", "log_keep"};
	bool idle = false;

	if (file->servers[i].log.kind == LOG_FILE)
		return true;
	for (int k = 0; k < 2; k++)
		if (config_has(file->config, "server:", i, keys[k])) {
			config_refuse(file->config, "server:", i, keys[k],
			    "goes with log = file:PATH only");
			idle = true;
		}
	return !idle;
}

bool log_resolve(struct appfile *file, size_t i, bool thorough)
{
	struct appfile_server *server = &file->servers[i];
	const struct server_keys *keys = server->keys;
	const struct app_keys *app = file->app;
	struct log *log = &server->log;
	const char *path, *wrong;

	*log = (struct log){.size = app->log_size, .keep = (int)app->log_keep};
	if (config_has(file->config, "server:", i, "log_size"))
		log->size = keys->log_size;
	if (config_has(file->config, "server:", i, "log_keep"))
		log->keep = (int)keys->log_keep;
	wrong = parse(keys->log ? keys->log : app->log, &log->kind, &path);
	if (wrong && keys->log)
		config_refuse(file->config, "server:", i, "log", "'%.100s': %s",
		    keys->log, wrong);
	if (wrong)
		return !keys->log; /* the app's is told once, elsewhere */
	if (path) {
		log->path = expand(path, server->name);
		log->real = log->path ? resolve(log->path) : NULL;
		if (!log->real)
			return false;
		return check_file(file, i, thorough);
	}
	return check_idle(file, i);
}

void log_fini(struct log *log)
{
	free(log->path);
	free(log->real);
	log->path = log->real = NULL;
}

void log_opens(struct log *log)
{
	log->is_new =
	    log->kind == LOG_FILE && access(log->path, F_OK) && errno == ENOENT;
}

void log_undo(struct log *log)
{
	struct stat st;

	if (log->is_new && !lstat(log->path, &st) && S_ISREG(st.st_mode) &&
	    !st.st_size)
		unlink(log->path);
	log->is_new = false;
}

static bool goes_to_a_file(const struct appfile *file)
{
	for (size_t i = 0; i < file->count; i++)
		if (file->servers[i].log.kind == LOG_FILE)
			return true;
	return false;
}

void log_check_app(struct appfile *file)
{
	static const char *const keys[] = {"log_size", "log_keep"};
	const char *path, *wrong;
	enum log_kind kind;

	wrong = parse(file->app->log, &kind, &path);
	if (wrong)
		config_refuse(file->config, "app", 0, "log", "'%.100s': %s",
		    file->app->log, wrong);
	if (wrong || path || goes_to_a_file(file))
		return;
	for (int k = 0; k < 2; k++)
		if (config_has(file->config, "app", 0, keys[k]))
			config_refuse(file->config, "app", 0, keys[k],
			    "goes with log = file:PATH only, which no server "
			    "has");
}

bool log_same(const struct log *a, const struct log *b)
{
	if (a->kind != b->kind)
		return false;
	return a->kind != LOG_FILE ||
	       (!strcmp(a->path, b->path) && a->size == b->size &&
		   a->keep == b->keep);
}
