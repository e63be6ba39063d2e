/*
 * A child process as a server.
 *
 * Design notes. Three threads meet here: the task that runs start, the task
 * that runs stop, and the app's loop, on which the child's end is seen (a pidfd
 * polls readable) and which may call kill; at the deadline a fourth, on which
 * the library calls out_of_time. `lock` guards all that changes. It is held for
 * a few system calls that do not block, never across the spawn, and of other
 * locks only the reaper's and the prober's (prober.c) are taken under it.
 *
 *	busy		from start's first instruction until the server ended
 *	group		the process group that may be signalled, 0: none
 *
 * A stop that comes while start spawns finds no group yet: it leaves `told`,
 * and start, which looks at it in the hold of the lock in which it publishes
 * the group, sends the signal. A stop before its start: see turn.h.
 *
 * No stranger is ever signalled. The leader is reaped under the lock, and its
 * id, which is the group's, cannot be given away before. Afterwards the
 * kernel keeps the id for as long as the group has a member; `group` stays set
 * only while a look, 20 ms old at most, has found one.
 *
 * No end is lost. The pidfd is watched last, once all else is in place; a child
 * that has ended already makes it readable at once.
 *
 * The server ends when the whole group is gone: for what the leader leaves
 * behind nothing but looking again works (it is not our child), so a timerfd
 * is watched in its turn. If this process is the subreaper or PID 1, what was
 * left is our child after all, and is reaped with each look; and then the server
 * ends when what has left the group is gone, too (reaper.h). That is looked for
 * from the group's end on (`gone_ns`), as by then all of it is ours.
 *
 * The deadline is the end of start's context. context_after does not wait for
 * a function that runs, so exec_free waits for `callbacks` to be 0. One that is
 * late finds the context of another run, or none, and looks at it: it kills
 * only what is over its time.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cratos/exec.h>

#include "errgroup/clock.h"
#include "server/probe.h"
#include "server/prober.h"
#include "server/reaper.h"
#include "server/spawn.h"
#include "server/turn.h"

enum {
	LOOK_MIN_MS = 1, /* between looks at a group without its leader */
	LOOK_MAX_MS = 20,
	/* What a leader that died has left behind gets as long to stop. */
	LEFTOVER_MS = 5000,
	/* Looks after SIGKILL: then only zombies that nobody reaps are left. */
	LOOKS_AFTER_KILL = 25
};

struct exec {
	/* constant */
	char **argv, **env, *dir, *endpoint;
	struct prober *prober; /* NULL: nothing is asked of it */
	struct spawn spawn; /* of these, and of what else the child gets */
	int stop_signal;
	bool may_exit;
	int out[2]; /* copies for stdout and stderr, maybe one; -1: none */
	pthread_mutex_t lock;
	pthread_cond_t called_back;
	_Atomic pid_t pid; /* for exec_pid; 0 once the leader is reaped */
	/* guarded by lock */
	struct turn turn;
	bool busy, told;
	bool late; /* the deadline has passed, SIGKILL was sent */
	bool doomed; /* kill was called: the process is about to end */
	pid_t group;
	struct reaper_run strays; /* what of the run has left the group */
	struct context *ctx; /* of the run, from the spawn to the end */
	struct context_after *deadline;
	int callbacks;
	struct error result;
	/* the run's: start's until it watches, the loop's from then on */
	int look_timer; /* timerfd; as all that is watched, the app's */
	int64_t give_up_ms; /* when what is left over gets SIGKILL */
	int look_ms, looks_after_kill;
	bool reaped; /* the leader */
	int64_t gone_ns; /* when the group was found gone; 0: it is not yet */
};

/* ---- signals, all under the lock ------------------------------------------ */

static int signal_group(struct exec *exec, int signal)
{
	if (!exec->group || !kill(-exec->group, signal) || errno == ESRCH)
		return 0;
	return error_set(-errno,
	    "cannot send signal %d to process group %d: %m", signal,
	    (int)exec->group);
}

static int ask_to_stop(struct exec *exec)
{
	int ret = signal_group(exec, exec->stop_signal);

	if (exec->prober)
		prober_stop(exec->prober);
	/* One that was stopped (SIGSTOP) could not act on it. */
	signal_group(exec, SIGCONT);
	reaper_run_tell(&exec->strays, exec->stop_signal);
	return ret;
}

static void kill_all(struct exec *exec)
{
	signal_group(exec, SIGKILL);
	reaper_run_tell(&exec->strays, SIGKILL);
	if (exec->prober)
		prober_stop(exec->prober);
}

static bool has_members(const struct exec *exec)
{
	siginfo_t info;

	if (!exec->group || (kill(-exec->group, 0) && errno == ESRCH))
		return false;
	/* Its members are children of ours only if we are a reaper. */
	do
		info.si_pid = 0;
	while (!waitid(P_PGID, (id_t)exec->group, &info, WEXITED | WNOHANG) &&
	       info.si_pid);
	return !kill(-exec->group, 0) || errno == EPERM;
}

/* Once it is gone its id may be another's. */
static bool has_group(struct exec *exec)
{
	if (exec->group && !has_members(exec)) {
		exec->group = 0;
		exec->gone_ns = clock_ns();
	}
	return exec->group;
}

/* Of the group, or away from it. */
static bool has_processes(struct exec *exec)
{
	return has_group(exec) ||
	       reaper_run_strays(&exec->strays, exec->gone_ns);
}

/* Also of an attempt at a probe, which was killed already. */
static bool is_anything_left(struct exec *exec)
{
	return has_processes(exec) ||
	       (exec->prober && prober_is_left(exec->prober));
}

/* ---- the end, in words ----------------------------------------------------- */

static void __attribute__((format(printf, 3, 4)))
conclude(struct exec *exec, int code, const char *fmt, ...)
{
	va_list ap;

	exec->result.code = code;
	va_start(ap, fmt);
	vsnprintf(exec->result.text, sizeof(exec->result.text), fmt, ap);
	va_end(ap);
}

static bool is_clean(const struct exec *exec, const siginfo_t *end)
{
	int status = end->si_status;

	if (end->si_code == CLD_EXITED)
		return !status || status == 128 + exec->stop_signal ||
		       status == 128 + SIGTERM;
	return status == exec->stop_signal || status == SIGTERM;
}

static void judge(struct exec *exec, const siginfo_t *end)
{
	const char *name = sigabbrev_np(end->si_status);
	bool killed = end->si_code != CLD_EXITED;

	exec->result.code = 0;
	if (exec->told && is_clean(exec, end))
		return;
	if (exec->may_exit && !killed && !end->si_status)
		return;
	if (exec->late && killed && end->si_status == SIGKILL)
		conclude(exec, -ETIMEDOUT,
		    "did not stop in time: killed (SIGKILL)");
	else if (killed)
		conclude(exec, -ECHILD, "killed by signal %d%s%s%s%s",
		    end->si_status, name ? " (SIG" : "", name ? name : "",
		    name ? ")" : "",
		    end->si_code == CLD_DUMPED ? " (core dumped)" : "");
	else if (end->si_status)
		conclude(exec, -ECHILD, "exited with status %d",
		    end->si_status);
	else
		conclude(exec, -ECHILD,
		    "exited with status 0 without being told to stop: if it "
		    "goes to the background, have it stay in the foreground");
}

/* ---- a run's end ----------------------------------------------------------- */

static void call_back_over(struct exec *exec)
{
	exec->callbacks--;
	pthread_cond_broadcast(&exec->called_back);
}

/* The start of a new run is possible from here on. Returns the run's result. */
static int end_run(struct exec *exec)
{
	struct context_after *deadline;
	struct error result;

	if (exec->prober)
		prober_end(exec->prober);
	pthread_mutex_lock(&exec->lock);
	result = exec->result;
	deadline = exec->deadline;
	exec->deadline = NULL;
	exec->ctx = NULL;
	exec->group = 0;
	reaper_run_end(&exec->strays);
	exec->busy = false;
	pthread_mutex_unlock(&exec->lock);
	if (context_after_stop(&deadline)) {
		pthread_mutex_lock(&exec->lock);
		call_back_over(exec);
		pthread_mutex_unlock(&exec->lock);
	}
	return result.code ? error_set(result.code, "%s", result.text) : 0;
}

/* Under the lock: the leader has gone, others have not in time. */
static void kill_leftovers(struct exec *exec)
{
	bool are_its = has_processes(exec);

	kill_all(exec);
	if (are_its && !exec->result.code)
		conclude(exec, -ETIMEDOUT,
		    "processes that it started did not stop in time: killed "
		    "(SIGKILL)");
}

static void out_of_time(void *arg)
{
	struct exec *exec = arg;

	pthread_mutex_lock(&exec->lock);
	if (exec->ctx && context_err(exec->ctx)) {
		exec->late = true;
		if (exec->reaped && is_anything_left(exec))
			kill_leftovers(exec);
		else
			kill_all(exec);
	}
	call_back_over(exec);
	pthread_mutex_unlock(&exec->lock);
}

/* ---- on the loop ----------------------------------------------------------- */

static void look_later(struct exec *exec)
{
	struct itimerspec in = {
	    .it_value.tv_nsec = exec->look_ms * (long)NS_PER_MS};

	timerfd_settime(exec->look_timer, 0, &in, NULL);
	exec->look_ms *= 2;
	if (exec->look_ms > LOOK_MAX_MS)
		exec->look_ms = LOOK_MAX_MS;
}

/* Under the lock: whether there is anything left to wait for. */
static bool is_left(struct exec *exec)
{
	bool over = exec->late || clock_ms() >= exec->give_up_ms;

	if (!is_anything_left(exec))
		return false;
	if (!over)
		return true;
	kill_leftovers(exec);
	return exec->looks_after_kill++ < LOOKS_AFTER_KILL;
}

static int look_at_group(int fd, void *arg)
{
	struct exec *exec = arg;
	bool left;

	(void)fd; /* settime makes it unreadable again */
	pthread_mutex_lock(&exec->lock);
	left = is_left(exec);
	pthread_mutex_unlock(&exec->lock);
	if (!left)
		return end_run(exec);
	look_later(exec);
	return SERVER_WATCH_ON;
}

/* The leader is gone, others of its group are not. */
static int watch_group(struct exec *exec)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0 || server_watch(exec->ctx, fd, look_at_group, exec)) {
		if (fd >= 0)
			close(fd);
		pthread_mutex_lock(&exec->lock);
		kill_all(exec);
		pthread_mutex_unlock(&exec->lock);
		return end_run(exec);
	}
	exec->look_timer = fd;
	exec->look_ms = LOOK_MIN_MS;
	exec->looks_after_kill = 0;
	look_later(exec);
	return SERVER_WATCH_OFF;
}

/* Under the lock: false if the leader has not ended. */
static bool reap(struct exec *exec, idtype_t type, int id)
{
	siginfo_t end = {0};

	if (waitid(type, (id_t)id, &end, WEXITED | WNOHANG)) {
		/* Where SIGCHLD is ignored nobody learns how it ended. */
		conclude(exec, exec->told ? 0 : -ECHILD,
		    "ended, and its status is lost: is SIGCHLD ignored?");
	} else {
		if (!end.si_pid)
			return false;
		judge(exec, &end);
	}
	atomic_store(&exec->pid, 0);
	return true;
}

static int leader_ended(int fd, void *arg)
{
	struct exec *exec = arg;
	bool was_reaped, left;

	pthread_mutex_lock(&exec->lock);
	was_reaped = exec->reaped;
	if (!was_reaped)
		exec->reaped = reap(exec, P_PIDFD, fd);
	/*
	 * Strays are looked for in the next round of the loop: one look is for
	 * all that have ended in this one.
	 */
	if (!exec->reaped ||
	    (!was_reaped && !has_group(exec) && reaper_is_on())) {
		pthread_mutex_unlock(&exec->lock);
		return SERVER_WATCH_ON;
	}
	exec->give_up_ms = INT64_MAX;
	if (exec->prober)
		prober_stop(exec->prober);
	left = is_anything_left(exec);
	if (left && !exec->told) {
		exec->give_up_ms = clock_deadline_ms(LEFTOVER_MS);
		ask_to_stop(exec);
	}
	pthread_mutex_unlock(&exec->lock);
	return left ? watch_group(exec) : end_run(exec);
}

/* What the probes have to say, which is told without the lock. */
static int look_at_probes(int fd, void *arg)
{
	struct exec *exec = arg;
	struct prober_news news;
	struct context *ctx;

	(void)fd;
	prober_look(exec->prober, &news);
	pthread_mutex_lock(&exec->lock);
	ctx = exec->ctx;
	if (news.main_pid && exec_pid(exec))
		atomic_store(&exec->pid, news.main_pid);
	pthread_mutex_unlock(&exec->lock);
	if (!ctx) /* the run has ended, and the watch is about to */
		return SERVER_WATCH_ON;
	if (news.extend_ms)
		server_extend(ctx, news.extend_ms);
	if (news.ready)
		server_ready(ctx);
	if (news.failure.code)
		server_fail(ctx,
		    error_set(news.failure.code, "%s", news.failure.text));
	return SERVER_WATCH_ON;
}

/* ---- start and stop -------------------------------------------------------- */

/* 1 if there is a run to begin, 0 if it was stopped, or killed, already. */
static int begin_run(struct exec *exec, char mark[static REAPER_MARK_SIZE])
{
	int ret = -EBUSY;

	pthread_mutex_lock(&exec->lock);
	if (!exec->busy) {
		exec->busy = turn_start(&exec->turn) && !exec->doomed;
		ret = exec->busy;
		exec->told = exec->late = exec->reaped = false;
		exec->gone_ns = 0;
		exec->result.code = 0;
		if (exec->busy)
			reaper_run_begin(&exec->strays, mark);
	}
	pthread_mutex_unlock(&exec->lock);
	return ret < 0 ? error_set(ret, "runs already") : ret;
}

/* Before the child has been executed: what it is to be given. */
static int spawn_child(struct exec *exec, const char *mark, pid_t *pid)
{
	struct spawn spawn = exec->spawn;
	int ret;

	spawn.entries[1] = *mark ? mark : NULL;
	ret = exec->prober ? prober_begin(exec->prober, &spawn) : 0;

	return ret ? ret : spawn_group(&spawn, pid);
}

static void publish(struct exec *exec, struct context *ctx, pid_t pid)
{
	pthread_mutex_lock(&exec->lock);
	exec->group = pid;
	exec->ctx = ctx;
	atomic_store(&exec->pid, pid);
	if (exec->told)
		ask_to_stop(exec);
	if (exec->doomed)
		kill_all(exec);
	pthread_mutex_unlock(&exec->lock);
}

static int set_deadline(struct exec *exec, struct context *ctx)
{
	struct context_after *deadline;
	int ret;

	pthread_mutex_lock(&exec->lock);
	exec->callbacks++;
	pthread_mutex_unlock(&exec->lock);
	deadline = context_after(ctx, out_of_time, exec);
	ret = deadline ? 0 : -errno;
	pthread_mutex_lock(&exec->lock);
	exec->deadline = deadline;
	if (ret)
		call_back_over(exec);
	pthread_mutex_unlock(&exec->lock);
	return ret;
}

/* From here on the run is the loop's, unless this fails. */
static int watch_leader(struct exec *exec, struct context *ctx, pid_t pid)
{
	int fd = pidfd_open(pid, 0);
	int ret = fd < 0 ? -errno : set_deadline(exec, ctx);

	if (!ret && !prober_decides(exec->prober))
		server_ready(ctx);
	if (!ret && exec->prober)
		ret =
		    prober_watch(exec->prober, ctx, pid, look_at_probes, exec);
	if (!ret)
		ret = server_watch(ctx, fd, leader_ended, exec);
	if (ret && fd >= 0)
		close(fd);
	return ret;
}

/* The child runs, but cannot be watched: it has to go. */
static int undo_spawn(struct exec *exec, pid_t pid, int code)
{
	siginfo_t end;

	pthread_mutex_lock(&exec->lock);
	kill_all(exec);
	pthread_mutex_unlock(&exec->lock);
	if (exec->prober)
		prober_wait(exec->prober);
	while (
	    waitid(P_PID, (id_t)pid, &end, WEXITED | WNOWAIT) && errno == EINTR)
		continue;
	pthread_mutex_lock(&exec->lock);
	reap(exec, P_PID, pid);
	errno = -code;
	/* ESRCH: somebody else has reaped it, and reap() has the words. */
	if (code != -ESRCH)
		conclude(exec, code, "cannot watch the process: %m");
	pthread_mutex_unlock(&exec->lock);
	return end_run(exec);
}

static int start(struct context *ctx, void *arg)
{
	struct exec *exec = arg;
	char mark[REAPER_MARK_SIZE] = "";
	int ret = begin_run(exec, mark);
	pid_t pid;

	if (ret <= 0)
		return ret;
	ret = spawn_child(exec, mark, &pid);
	reaper_run_spawned(&exec->strays, ret ? 0 : pid);
	if (ret) {
		end_run(exec);
		return ret;
	}
	publish(exec, ctx, pid);
	ret = watch_leader(exec, ctx, pid);
	return ret ? undo_spawn(exec, pid, ret) : 0;
}

static int stop(struct context *ctx, void *arg)
{
	struct exec *exec = arg;
	int ret = 0;

	(void)ctx; /* the app waits for the end */
	pthread_mutex_lock(&exec->lock);
	if (turn_stop(&exec->turn) && exec->busy) {
		exec->told = true;
		ret = ask_to_stop(exec);
	}
	pthread_mutex_unlock(&exec->lock);
	return ret;
}

static void kill_now(void *arg)
{
	struct exec *exec = arg;

	pthread_mutex_lock(&exec->lock);
	exec->doomed = true;
	kill_all(exec);
	pthread_mutex_unlock(&exec->lock);
}

static int endpoint(void *arg, char *url, size_t size)
{
	const struct exec *exec = arg;
	int length = snprintf(url, size, "%s", exec->endpoint);

	if ((size_t)length < size)
		return 0;
	return error_set(-ENAMETOOLONG,
	    "the endpoint has more than %zu bytes: %.40s...", size - 1,
	    exec->endpoint);
}

int exec_check(const struct exec *exec)
{
	int ret = spawn_check(&exec->spawn);

	return ret || !exec->prober ? ret : prober_check(exec->prober);
}

static int check_probe(const char *text, enum probe_use use)
{
	struct probe probe;
	int ret = probe_parse(&probe, text, NULL, use);

	probe_fini(&probe);
	return ret;
}

int exec_check_ready(const char *text)
{
	return check_probe(text, PROBE_FOR_READY);
}

int exec_check_health(const char *text)
{
	return check_probe(text, PROBE_FOR_HEALTH);
}

static void lacks(void *arg, char *text, size_t size)
{
	const struct exec *exec = arg;

	if (exec->prober)
		prober_lacks(exec->prober, text, size);
}

int exec_signal(struct exec *exec, int signal)
{
	int ret = -ESRCH;

	pthread_mutex_lock(&exec->lock);
	if (exec->group)
		ret = kill(-exec->group, signal) ? -errno : 0;
	pthread_mutex_unlock(&exec->lock);
	return ret;
}

pid_t exec_pid(const struct exec *exec)
{
	return atomic_load(&exec->pid);
}

static pid_t pid_of(void *arg)
{
	return exec_pid(arg);
}

/* ---- making and freeing ---------------------------------------------------- */

static char **shell_words(const char *command)
{
	static const char sh[] = "/bin/sh\0-c";
	char **argv, *words;

	if (!command || !command[strspn(command, " \t\r\n")]) {
		error_set(-EINVAL, "empty command");
		errno = EINVAL;
		return NULL;
	}
	argv = malloc(4 * sizeof(*argv) + sizeof(sh) + strlen(command) + 1);
	if (!argv)
		return NULL;
	words = memcpy(argv + 4, sh, sizeof(sh));
	argv[0] = words;
	argv[1] = words + strlen(words) + 1;
	argv[2] = strcpy(words + sizeof(sh), command);
	argv[3] = NULL;
	return argv;
}

static void free_list(char **list)
{
	for (char **text = list; text && *text; text++)
		free(*text);
	free(list);
}

/* With room for the mark. Sets errno, and has words if it is EINVAL. */
static char **copy_env(const char *const *env)
{
	size_t n = 0;
	char **copy;

	for (; env[n]; n++) {
		if (strchr(env[n], '=') && env[n][0] != '=')
			continue;
		error_set(-EINVAL, "not NAME=value in the environment: %s",
		    env[n]);
		errno = EINVAL;
		return NULL;
	}
	copy = calloc(n + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < n; i++) {
		copy[i] = strdup(env[i]);
		if (!copy[i]) {
			free_list(copy);
			return NULL;
		}
	}
	return copy;
}

static bool copy_text(char **copy, const char *text)
{
	*copy = text ? strdup(text) : NULL;
	return *copy || !text;
}

/* Returns 0 or a negative errno with words. */
static int copy_output(int copy[2], const struct exec_options *options)
{
	const int given[] = {options->stdout_fd, options->stderr_fd};
	static const char *const names[] = {"stdout_fd", "stderr_fd"};

	for (int i = 0; i < 2; i++) {
		if (!given[i])
			continue;
		if (given[i] <= STDERR_FILENO)
			return error_set(-EINVAL,
			    "no descriptor for output: %s %d", names[i],
			    given[i]);
		copy[i] =
		    i && given[0] == given[1]
			? copy[0]
			: fcntl(given[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		if (copy[i] < 0)
			return error_set(-errno, "%s %d: %m", names[i],
			    given[i]);
	}
	return 0;
}

static void close_output(const int copy[2])
{
	if (copy[0] >= 0)
		close(copy[0]);
	if (copy[1] >= 0 && copy[1] != copy[0])
		close(copy[1]);
}

static void destroy(struct exec *exec)
{
	close_output(exec->out);
	prober_free(&exec->prober);
	pthread_cond_destroy(&exec->called_back);
	pthread_mutex_destroy(&exec->lock);
	spawn_fini(&exec->spawn);
	free_list(exec->env);
	free(exec->argv);
	free(exec->dir);
	free(exec->endpoint);
	free(exec);
}

/* Returns 0 or a negative errno, -EINVAL with words. */
static int copy_options(struct exec *exec, const struct exec_options *options)
{
	int ret;

	exec->argv = options->shell ? shell_words(options->command)
				    : exec_split(options->command, NULL);
	if (!exec->argv)
		return -errno;
	if (!exec->argv[0][0])
		return error_set(-EINVAL, "empty command");
	if (options->stop_signal < 0 || options->stop_signal > SIGRTMAX)
		return error_set(-EINVAL, "no signal: %d",
		    options->stop_signal);
	exec->stop_signal =
	    options->stop_signal ? options->stop_signal : SIGTERM;
	exec->may_exit = options->may_exit;
	if (options->env) {
		exec->env = copy_env(options->env);
		if (!exec->env)
			return -errno;
	}
	if (!copy_text(&exec->dir, options->dir) ||
	    !copy_text(&exec->endpoint, options->endpoint))
		return -ENOMEM;
	ret = copy_output(exec->out, options);
	if (ret)
		return ret;
	exec->spawn = (struct spawn){.argv = exec->argv,
	    .dir = exec->dir,
	    .env = (const char *const *)exec->env};
	for (int i = 0; i < 2; i++)
		if (exec->out[i] >= 0)
			spawn_give(&exec->spawn, exec->out[i],
			    STDOUT_FILENO + i);
	ret = spawn_copy(&exec->spawn, options);
	return ret ? ret : prober_new(&exec->prober, options, &exec->spawn);
}

struct exec *exec_new(const struct exec_options *options)
{
	struct exec *exec = calloc(1, sizeof(*exec));
	int ret;

	if (!exec)
		return NULL;
	pthread_mutex_init(&exec->lock, NULL);
	pthread_cond_init(&exec->called_back, NULL);
	exec->out[0] = exec->out[1] = -1;
	ret = copy_options(exec, options);
	if (ret) {
		destroy(exec);
		errno = -ret;
		return NULL;
	}
	return exec;
}

void exec_free(struct exec **exec)
{
	struct exec *old = *exec;

	if (!old)
		return;
	*exec = NULL;
	pthread_mutex_lock(&old->lock);
	assert(!old->busy);
	while (old->callbacks)
		pthread_cond_wait(&old->called_back, &old->lock);
	pthread_mutex_unlock(&old->lock);
	destroy(old);
}

struct server exec_server(struct exec *exec, const char *name)
{
	return (struct server){
	    .name = name,
	    .start = start,
	    .stop = stop,
	    .kill = kill_now,
	    .endpoint = exec->endpoint ? endpoint : NULL,
	    .pid = pid_of,
	    .arg = exec,
	    .notifies = true, /* executed, or what its probe says */
	    .lacks = exec->prober ? lacks : NULL,
	};
}
