/*
 * Child processes: what is to be executed, and with what environment. child.c
 * has the rest.
 *
 * The program is looked up here, and not by the child, for three reasons:
 * the child's own PATH counts, relative entries are seen from its working
 * directory, and whatever fails can be named. And what a slow file system has
 * to be asked for is asked on the caller's thread, not on the one that makes
 * all children.
 */
#include <assert.h>
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

#include "server/account.h"
#include "server/child.h"
#include "server/envfile.h"
#include "server/inherited.h"
#include "server/keeper.h"
#include "server/limits.h"
#include "server/spawn.h"

#define DEFAULT_PATH "/bin:/usr/bin"

/* ---- the environment ------------------------------------------------------- */

/* From below to above: who gives a name last wins. */
enum { LAYERS = 5 };

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

static bool is_covered(const char *const *entry,
    const char *const *const layers[LAYERS], int layer)
{
	/* The parent's is taken to have each name once. */
	if (layer && is_set_in(*entry, entry + 1))
		return true;
	while (++layer < LAYERS)
		if (is_set_in(*entry, layers[layer]))
			return true;
	return false;
}

/* The list is the caller's to free, the texts are borrowed. */
static char **merge(const char *const *const layers[LAYERS])
{
	size_t n = 0, most = 0;
	char **merged;

	for (int i = 0; i < LAYERS; i++)
		most += count(layers[i]);
	merged = calloc(most + 1, sizeof(*merged));
	for (int i = 0; merged && i < LAYERS; i++)
		for (const char *const *entry = layers[i]; entry && *entry;
		     entry++)
			if (!is_covered(entry, layers, i))
				merged[n++] = (char *)*entry;
	return merged;
}

/* ---- the program -------------------------------------------------------- */

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

/* ---- what is to be executed ------------------------------------------------- */

/*
 * The sockets and what is said of them. The child's own process id is written
 * behind LISTEN_PID= by the child.
 */
struct passed {
	size_t count;
	struct spawn_file files[SPAWN_ALL_FILES];
	size_t file_count;
	char fds[sizeof("LISTEN_FDS=") + 12], pid[CHILD_PID_SIZE];
	char *names;
};

struct found {
	struct passed passed;
	char **merged;
	char *const *env;
	struct account account;
	struct envfile envfile;
	int dir_fd;
	char file[PATH_MAX];
};

static void found_fini(struct found *found)
{
	free(found->passed.names);
	free(found->merged);
	account_fini(&found->account);
	envfile_fini(&found->envfile);
	if (found->dir_fd != AT_FDCWD)
		close(found->dir_fd);
}

/* "LISTEN_FDNAMES=web:web:admin", each of the name behind "fd:". */
static int add_names(struct passed *passed, const char *address, int count)
{
	static const char first[] = "LISTEN_FDNAMES=";
	const char *name = address + strlen("fd:");
	size_t used = passed->names ? strlen(passed->names) : 0;
	char *names = realloc(passed->names,
	    used + sizeof(first) + (size_t)count * (strlen(name) + 1));

	if (!names)
		return error_set(-ENOMEM, "listen: %.100s: %m", address);
	passed->names = names;
	if (!used)
		used = (size_t)sprintf(names, "%s", first);
	else
		used += (size_t)sprintf(names + used, ":");
	for (int i = 0; i < count; i++)
		used +=
		    (size_t)sprintf(names + used, "%s%s", i ? ":" : "", name);
	return 0;
}

static int add_sockets(struct passed *passed, const char *address)
{
	int fds[INHERITED_MAX], count = inherited_find(address, fds);

	if (count < 0)
		return error_set(count, "listen: %s", error_of(count).text);
	if (passed->count + (size_t)count > SPAWN_SOCKETS)
		return error_set(-E2BIG,
		    "listen: %.100s: more than %d sockets for one program",
		    address, SPAWN_SOCKETS);
	for (int i = 0; i < count; i++) {
		int to = SPAWN_FIRST_SOCKET + (int)passed->count++;

		passed->files[passed->file_count++] =
		    (struct spawn_file){fds[i], to};
	}
	return add_names(passed, address, count);
}

/* Nobody knows what will be passed when it is the real thing. */
static bool is_tried_without(const struct spawn *spawn, bool dry)
{
	return !spawn->sockets || (dry && !inherited_count());
}

/* All that the child gets, by rising `to`: outputs, sockets, others. */
static int set_files(const struct spawn *spawn, bool dry, struct passed *passed)
{
	size_t next = 0;
	int ret = 0;

	for (; next < spawn->file_count &&
	       spawn->files[next].to < SPAWN_FIRST_SOCKET;
	     next++)
		passed->files[passed->file_count++] = spawn->files[next];
	if (!is_tried_without(spawn, dry))
		for (size_t i = 0; spawn->sockets[i] && !ret; i++)
			ret = add_sockets(passed, spawn->sockets[i]);
	for (; next < spawn->file_count && !ret; next++) {
		int to = spawn->files[next].to;

		if (to < SPAWN_FIRST_SOCKET + (int)passed->count)
			ret = error_set(-EINVAL,
			    "ready: fd:%d is one of the sockets that listen "
			    "passes: take fd:%d or above",
			    to, SPAWN_FIRST_SOCKET + (int)passed->count);
		passed->files[passed->file_count++] = spawn->files[next];
	}
	snprintf(passed->fds, sizeof(passed->fds), "LISTEN_FDS=%zu",
	    passed->count);
	snprintf(passed->pid, sizeof(passed->pid), "%s", CHILD_PID_ENTRY);
	return ret;
}

static int set_env(const struct spawn *spawn, struct found *found)
{
	const char *entries[SPAWN_ENTRIES + 3 + 1] = {NULL};
	const char *const *layers[LAYERS] = {(const char *const *)environ,
	    (const char *const *)found->account.env, found->envfile.entries,
	    spawn->env, entries};
	size_t more = 0;

	for (size_t i = 0; i < SPAWN_ENTRIES; i++)
		if (spawn->entries[i])
			entries[more++] = spawn->entries[i];
	if (found->passed.count) {
		entries[more++] = found->passed.fds;
		entries[more++] = found->passed.names;
		entries[more++] = found->passed.pid;
	}
	for (int i = 1; i < LAYERS - 1; i++)
		more += count(layers[i]);
	found->env = environ;
	if (!more)
		return 0;
	found->env = found->merged = merge(layers);
	if (found->merged)
		return 0;
	return error_set(-ENOMEM, "command %s: %m", spawn->argv[0]);
}

/* Returns 0 or a negative errno with words; found_fini in any case. */
static int find(const struct spawn *spawn, bool dry, struct found *found)
{
	int ret;

	found->passed.count = found->passed.file_count = 0;
	found->passed.names = NULL;
	found->merged = NULL;
	found->envfile = (struct envfile){0};
	ret = account_find(spawn->user, spawn->group, &found->account);
	found->dir_fd = AT_FDCWD;
	if (!ret)
		ret = open_dir(spawn->dir, &found->dir_fd);
	if (!ret && spawn->env_file)
		ret = envfile_read(found->dir_fd, spawn->env_file,
		    &found->envfile);
	if (!ret)
		ret = set_files(spawn, dry, &found->passed);
	if (!ret)
		ret = set_env(spawn, found);
	return ret ? ret
		   : look_up(spawn->argv[0], path_of(found->env), found->dir_fd,
			 found->file);
}

/* ---- the child -------------------------------------------------------------- */

/* A call of the keeper's. */
struct making {
	struct child child;
	pid_t pid;
	struct child_failure failure;
	int ret;
};

static void make(void *arg)
{
	struct making *making = arg;

	making->ret =
	    child_make(&making->child, &making->pid, &making->failure);
}

static const char *who(const struct spawn *spawn)
{
	return spawn->user ? spawn->user : spawn->group;
}

static int limit_failed(const struct exec_limit *limit, int code)
{
	char text[LIMITS_TEXT_BYTES];

	errno = -code;
	return error_set(code, "limit.%s: cannot set %s: %m",
	    limits_name(limit->resource), limits_format(limit, text));
}

/* What the child could not do, in words. */
static int failed(const struct spawn *spawn, const struct found *found,
    const struct child_failure *failure)
{
	int code = -failure->code;

	errno = failure->code;
	switch (failure->step) {
	case CHILD_NICE:
		return error_set(code, "nice: cannot set %d: %m", spawn->nice);
	case CHILD_OOM_SCORE_ADJ:
		return error_set(code, "oom_score_adj: cannot set %d: %m",
		    spawn->oom_score_adj);
	case CHILD_LIMIT:
		assert(failure->which < spawn->limit_count);
		return limit_failed(&spawn->limits[failure->which], code);
	case CHILD_GROUPS:
	case CHILD_GROUP:
		return error_set(code,
		    "%s: cannot take on the groups of %s: %m",
		    spawn->group ? "group" : "user", who(spawn));
	case CHILD_USER:
		return error_set(code, "user: cannot become %s: %m",
		    spawn->user);
	case CHILD_DIR:
		return error_set(code, "working directory %s: %m", spawn->dir);
	case CHILD_INPUT:
		return error_set(code, "stdin: %s: %m",
		    spawn->input ? spawn->input : "/dev/null");
	default:
		return cannot_execute(failure->code, spawn->argv[0],
		    found->file, found->dir_fd);
	}
}

static int execute_with(const struct spawn *spawn, struct found *found,
    bool dry, pid_t *pid)
{
	struct making making = {.child = {.spawn = spawn,
				    .file = found->file,
				    .env = found->env,
				    .account = &found->account,
				    .files = found->passed.files,
				    .file_count = found->passed.file_count,
				    .pid_entry = found->passed.pid,
				    .dry = dry}};
	int ret = keeper_call(make, &making);

	if (ret)
		return ret;
	if (making.ret)
		return failed(spawn, found, &making.failure);
	*pid = making.pid;
	return 0;
}

static int execute_silent(const struct spawn *spawn, struct found *found,
    bool dry, pid_t *pid)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), ret;

	if (null < 0)
		return error_set(-errno, "/dev/null: %m");
	found->passed.files[0] = (struct spawn_file){null, STDOUT_FILENO};
	found->passed.files[1] = (struct spawn_file){null, STDERR_FILENO};
	found->passed.file_count = 2;
	ret = execute_with(spawn, found, dry, pid);
	close(null);
	return ret;
}

static int execute(const struct spawn *spawn, struct found *found, bool dry,
    pid_t *pid)
{
	return spawn->silent ? execute_silent(spawn, found, dry, pid)
			     : execute_with(spawn, found, dry, pid);
}

void spawn_give(struct spawn *spawn, int from, int to)
{
	assert(spawn->file_count < SPAWN_FILES);
	assert(
	    !spawn->file_count || spawn->files[spawn->file_count - 1].to < to);
	spawn->files[spawn->file_count++] = (struct spawn_file){from, to};
}

int spawn_group(const struct spawn *spawn, pid_t *pid)
{
	struct found found;
	int ret = find(spawn, false, &found);

	if (!ret)
		ret = execute(spawn, &found, false, pid);
	found_fini(&found);
	return ret;
}

/* Whether there is more to it than to find the program and to execute it. */
static bool asks_for_more(const struct spawn *spawn)
{
	return spawn->user || spawn->group || spawn->input ||
	       spawn->limit_count || spawn->set_nice ||
	       spawn->set_oom_score_adj;
}

int spawn_check(const struct spawn *spawn)
{
	struct found found;
	int ret = find(spawn, true, &found);
	pid_t none;

	if (!ret) {
		ret = check_program(found.dir_fd, found.file);
		if (ret)
			ret = cannot_execute(-ret, spawn->argv[0], found.file,
			    found.dir_fd);
	}
	if (!ret && asks_for_more(spawn))
		ret = execute(spawn, &found, true, &none);
	found_fini(&found);
	return ret;
}

/* ---- copies ----------------------------------------------------------------- */

static bool copy_text(const char **copy, const char *text)
{
	*copy = text ? strdup(text) : NULL;
	return *copy || !text;
}

static bool copy_sockets(struct spawn *spawn, const char *const *list)
{
	size_t n = count(list);
	const char **copy;

	if (!n)
		return true;
	copy = calloc(n + 1, sizeof(*copy));
	spawn->sockets = copy;
	for (size_t i = 0; copy && i < n; i++)
		if (!copy_text(&copy[i], list[i]))
			return false;
	return copy;
}

static void free_sockets(const char *const *sockets)
{
	for (size_t i = 0; sockets && sockets[i]; i++)
		free((char *)sockets[i]);
	free((const char **)sockets);
}

static bool copy_limits(struct spawn *spawn, const struct exec_options *options)
{
	size_t size = options->limit_count * sizeof(*options->limits);
	struct exec_limit *copy = size ? malloc(size) : NULL;

	if (!copy)
		return !size;
	spawn->limits = memcpy(copy, options->limits, size);
	spawn->limit_count = options->limit_count;
	return true;
}

static int check_choices(const struct exec_options *options)
{
	for (size_t i = 0; i < options->limit_count; i++)
		if (!limits_name(options->limits[i].resource))
			return error_set(-EINVAL, "no limit: %d",
			    options->limits[i].resource);
	for (const char *const *at = options->listen; at && *at; at++) {
		int ret = -EINVAL;

		if (!inherited_is_address(*at))
			return error_set(ret, "listen: %.100s: not fd:NAME",
			    *at);
		ret = inherited_check(*at);
		if (ret)
			return error_set(ret, "listen: %s", error_of(ret).text);
	}
	if (options->set_umask && options->umask > 0777)
		return error_set(-EINVAL, "umask: %o is more than 777",
		    options->umask);
	if (options->set_nice && (options->nice < -20 || options->nice > 19))
		return error_set(-EINVAL, "nice: %d is not from -20 to 19",
		    options->nice);
	if (options->set_oom_score_adj &&
	    (options->oom_score_adj < -1000 || options->oom_score_adj > 1000))
		return error_set(-EINVAL,
		    "oom_score_adj: %d is not from -1000 to 1000",
		    options->oom_score_adj);
	return 0;
}

int spawn_copy(struct spawn *spawn, const struct exec_options *options)
{
	int ret = check_choices(options);

	if (ret)
		return ret;
	spawn->inherit_input = options->inherit_input;
	spawn->keep_orphan = options->keep_orphan;
	spawn->set_umask = options->set_umask;
	spawn->umask = options->umask;
	spawn->set_nice = options->set_nice;
	spawn->nice = options->nice;
	spawn->set_oom_score_adj = options->set_oom_score_adj;
	spawn->oom_score_adj = options->oom_score_adj;
	return copy_sockets(spawn, options->listen) &&
		       copy_text(&spawn->env_file, options->env_file) &&
		       copy_text(&spawn->user, options->user) &&
		       copy_text(&spawn->group, options->group) &&
		       copy_text(&spawn->input, options->input) &&
		       copy_limits(spawn, options)
		   ? 0
		   : -ENOMEM;
}

void spawn_fini(struct spawn *spawn)
{
	free_sockets(spawn->sockets);
	free((char *)spawn->env_file);
	free((char *)spawn->user);
	free((char *)spawn->group);
	free((char *)spawn->input);
	free((struct exec_limit *)spawn->limits);
}
