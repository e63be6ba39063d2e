/*
 * Child processes, made with posix_spawn: in a threaded process nothing may
 * run between fork and exec but what it does.
 *
 * The program is looked up here, and not by posix_spawnp, for three reasons:
 * the child's own PATH counts, relative entries are seen from its working
 * directory, and whatever fails can be named.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cratos/error.h>

#include "server/spawn.h"

#define DEFAULT_PATH "/bin:/usr/bin"

/* What is to be executed: where, and with what environment. */
struct found {
	char **merged;
	char *const *env;
	int dir_fd;
	char file[PATH_MAX];
};

/* The length of the name in "NAME=value", with the '='. */
static size_t name_size(const char *entry)
{
	return strcspn(entry, "=") + 1;
}

static bool is_set_in(const char *entry, const char *const *env)
{
	size_t size = name_size(entry);

	for (; env && *env; env++)
		if (!strncmp(entry, *env, size))
			return true;
	return false;
}

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static bool is_set_on_top(const char *entry, const struct spawn *spawn)
{
	for (size_t i = 0; i < SPAWN_ENTRIES; i++) {
		const char *const top[] = {spawn->entries[i], NULL};

		if (is_set_in(entry, top))
			return true;
	}
	return false;
}

/*
 * The parent's environment with env and the entries on top, the last of a name
 * wins. The list is the caller's to free, the texts are borrowed.
 */
static char **merge(const struct spawn *spawn)
{
	const char *const *env = spawn->env;
	size_t n = 0, most = count((const char *const *)environ) + count(env);
	char **merged = calloc(most + SPAWN_ENTRIES + 1, sizeof(*merged));

	if (!merged)
		return NULL;
	for (char **entry = environ; entry && *entry; entry++)
		if (!is_set_in(*entry, env) && !is_set_on_top(*entry, spawn))
			merged[n++] = *entry;
	for (; env && *env; env++)
		if (!is_set_in(*env, env + 1) && !is_set_on_top(*env, spawn))
			merged[n++] = (char *)*env;
	for (size_t i = 0; i < SPAWN_ENTRIES; i++)
		if (spawn->entries[i])
			merged[n++] = (char *)spawn->entries[i];
	return merged;
}

static bool adds_to_env(const struct spawn *spawn)
{
	for (size_t i = 0; i < SPAWN_ENTRIES; i++)
		if (spawn->entries[i])
			return true;
	return spawn->env && spawn->env[0];
}

static const char *path_of(char *const *env)
{
	for (; env && *env; env++)
		if (!strncmp(*env, "PATH=", 5))
			return *env + 5;
	return DEFAULT_PATH;
}

static int check_program(int dir_fd, const char *file)
{
	struct stat st;

	if (fstatat(dir_fd, file, &st, 0))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return faccessat(dir_fd, file, X_OK, AT_EACCESS) ? -errno : 0;
}

/* Finds the program behind name: 0 and its file, or a negative errno. */
static int look_up(const char *name, const char *path, int dir_fd,
    char file[static PATH_MAX])
{
	int result = -ENOENT;

	if (strchr(name, '/')) {
		if (snprintf(file, PATH_MAX, "%s", name) >= PATH_MAX)
			return error_set(-ENAMETOOLONG,
			    "command %.100s...: the name is too long", name);
		return 0;
	}
	for (;; path++) {
		int length = (int)strcspn(path, ":"), ret;

		/* An empty entry is the working directory. */
		ret = snprintf(file, PATH_MAX, "%.*s/%s", length ? length : 1,
		    length ? path : ".", name);
		ret = ret < PATH_MAX ? check_program(dir_fd, file) : -ENOENT;
		if (!ret)
			return 0;
		if (ret == -EACCES)
			result = ret;
		path += length;
		if (!*path)
			break;
	}
	if (result == -EACCES)
		return error_set(result,
		    "command %s: what PATH has cannot be executed", name);
	return error_set(result, "command %s: not found in PATH", name);
}

static int prepare_attr(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int ret = posix_spawnattr_init(attr);

	if (ret)
		return ret;
	sigemptyset(&none);
	/* Not sigfillset: it leaves out two, which glibc would then ignore. */
	memset(&all, 0xff, sizeof(all));
	posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP |
					   POSIX_SPAWN_SETSIGMASK |
					   POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(attr, 0);
	posix_spawnattr_setsigmask(attr, &none);
	posix_spawnattr_setsigdefault(attr, &all);
	return 0;
}

/*
 * Ours are close-on-exec, those of other libraries may not be. What is passed
 * goes first to where it is not closed, and then to where it is to be.
 */
static int prepare_passed(posix_spawn_file_actions_t *files,
    const struct spawn *spawn)
{
	const int first = STDERR_FILENO + 1;
	int ret = 0;

	if (spawn->pass_as)
		ret = posix_spawn_file_actions_adddup2(files, spawn->pass_fd,
		    first);
	if (!ret)
		ret = posix_spawn_file_actions_addclosefrom_np(files,
		    first + !!spawn->pass_as);
	if (ret || spawn->pass_as <= first)
		return ret;
	ret = posix_spawn_file_actions_adddup2(files, first, spawn->pass_as);
	return ret ? ret : posix_spawn_file_actions_addclose(files, first);
}

static int prepare_files(posix_spawn_file_actions_t *files,
    const struct spawn *spawn, int dir_fd)
{
	int ret = posix_spawn_file_actions_init(files);

	if (ret)
		return ret;
	ret = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null",
	    O_RDONLY, 0);
	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		if (!ret && spawn->silent)
			ret = posix_spawn_file_actions_addopen(files, fd,
			    "/dev/null", O_WRONLY, 0);
	for (int i = 0; i < 2 && !ret; i++)
		if (spawn->out && !spawn->silent && spawn->out[i] >= 0)
			ret = posix_spawn_file_actions_adddup2(files,
			    spawn->out[i], STDOUT_FILENO + i);
	if (!ret && dir_fd != AT_FDCWD)
		ret = posix_spawn_file_actions_addfchdir_np(files, dir_fd);
	if (!ret)
		ret = prepare_passed(files, spawn);
	if (ret)
		posix_spawn_file_actions_destroy(files);
	return ret;
}

/* Returns 0 or a positive errno, as posix_spawn does. */
static int run(const struct spawn *spawn, const struct found *found, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int ret = prepare_files(&files, spawn, found->dir_fd);

	if (ret)
		return ret;
	ret = prepare_attr(&attr);
	if (!ret) {
		ret = posix_spawn(pid, found->file, &files, &attr, spawn->argv,
		    found->env);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&files);
	return ret;
}

/* A script says "No such file" when it is the interpreter that is missing. */
static int cannot_execute(int code, const char *name, const char *file,
    int dir_fd)
{
	if (code == ENOENT && !faccessat(dir_fd, file, F_OK, 0))
		return error_set(-code,
		    "command %s: the interpreter that it names is missing",
		    name);
	if (code == ENOEXEC)
		return error_set(-code,
		    "command %s: no program, and a script without #!", name);
	errno = code;
	return error_set(-code, "command %s: %m", name);
}

/* The working directory, or AT_FDCWD; a negative errno has words. */
static int open_dir(const char *dir, int *fd)
{
	int ret;

	*fd = AT_FDCWD;
	if (!dir)
		return 0;
	*fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return error_set(-errno, "working directory %s: %m", dir);
	if (!faccessat(*fd, ".", X_OK, AT_EACCESS))
		return 0;
	ret = error_set(-errno, "working directory %s: %m", dir);
	close(*fd);
	return ret;
}

static void found_fini(struct found *found)
{
	free(found->merged);
	if (found->dir_fd != AT_FDCWD && found->dir_fd >= 0)
		close(found->dir_fd);
}

/* Returns 0 or a negative errno with words; found_fini in any case. */
static int find(const struct spawn *spawn, struct found *found)
{
	const char *name = spawn->argv[0];
	int ret;

	found->merged = NULL;
	found->env = environ;
	ret = open_dir(spawn->dir, &found->dir_fd);
	if (ret)
		found->dir_fd = AT_FDCWD;
	if (!ret && adds_to_env(spawn)) {
		found->env = found->merged = merge(spawn);
		if (!found->merged)
			ret = error_set(-ENOMEM, "command %s: %m", name);
	}
	return ret ? ret
		   : look_up(name, path_of(found->env), found->dir_fd,
			 found->file);
}

int spawn_group(const struct spawn *spawn, pid_t *pid)
{
	struct found found;
	int ret = find(spawn, &found);

	if (!ret) {
		ret = run(spawn, &found, pid);
		if (ret)
			ret = cannot_execute(ret, spawn->argv[0], found.file,
			    found.dir_fd);
	}
	found_fini(&found);
	return ret;
}

int spawn_check(const struct spawn *spawn)
{
	struct found found;
	int ret = find(spawn, &found);

	if (!ret) {
		ret = check_program(found.dir_fd, found.file);
		if (ret)
			ret = cannot_execute(-ret, spawn->argv[0], found.file,
			    found.dir_fd);
	}
	found_fini(&found);
	return ret;
}
