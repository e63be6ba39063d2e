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
 *	family		the child's process group, and what has left it (family.h)
 *
 * A stop that comes while start spawns finds no group yet: it leaves `told`,
 * and start, which looks at it in the hold of the lock in which it publishes
 * the group, sends the signal. A stop before its start: see turn.h.
 *
 * No end is lost. The pidfd is watched last, once all else is in place; a child
 * that has ended already makes it readable at once.
 *
 * The server ends when the whole group is gone: for what the leader leaves
 * behind nothing but looking again works (it is not our child), so a timerfd
 * is watched in its turn. If this process is the subreaper or PID 1, what was
 * left is our child after all, and is reaped with each look; and then the server
 * ends when what has left the group is gone, too (reaper.h).
 *
 * The deadline is the end of start's context. context_after does not wait for
 * a function that runs, so exec_free waits for `callbacks` to be 0. One that is
 * late finds the context of another run, or none, and looks at it: it kills
 * only what is over its time. If the kill signal is not SIGKILL, a context with
 * a timeout, `grace`, ends when that is to follow; it belongs to the run.
 *
 * A stop command is a second child, with a family of its own. `stopper` says how
 * far it is: whoever finds that it is to be run sets it to COMING in the same hold
 * of the lock, and runs it without; the loop sees its end. The run does not end
 * while it is COMING or RUNS, so its context can be used meanwhile. As the child
 * must be watched before the command may be, start sees to it after that if the
 * stop came before (`watched`). Whoever sets `stopper` to what the run may end
 * with has the timer expire, and that look finds what is left; so there is a
 * timer from the start on if there is a command.
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
#include "server/family.h"
#include "server/host.h"
#include "server/probe.h"
#include "server/prober.h"
#include "server/reaper.h"
#include "server/spawn.h"
#include "server/stop_command.h"
#include "server/turn.h"

enum {
	LOOK_MIN_MS = 1, /* between looks at a group without its leader */
	LOOK_MAX_MS = 20,
	/* What a leader that died has left behind gets as long to stop. */
	LEFTOVER_MS = 5000,
	GRACE_MS = 400, /* from another kill signal to SIGKILL */
	/* Looks after SIGKILL: then only zombies that nobody reaps are left. */
	LOOKS_AFTER_KILL = 25,
	SIGNAL_SIZE = 16 /* of a name, with the final 0 */
};

/* How far the stop command of a run is. */
enum stopper {
	STOPPER_NONE, /* there is none, or it could not be run */
	STOPPER_COMING, /* it is being started */
	STOPPER_RUNS,
	STOPPER_ENDED /* what it has left behind may be there */
};

struct exec {
	/* constant */
	char **argv, **env, *dir, *endpoint;
	struct prober *prober; /* NULL: nothing is asked of it */
	struct spawn spawn; /* of these, and of what else the child gets */
	char **stop_argv; /* NULL: the stop signal will do */
	int stop_signal, kill_signal;
	uint8_t success_statuses[256 / 8], success_signals[_NSIG / 8 + 1];
	bool may_exit;
	int out[2]; /* copies for stdout and stderr, maybe one; -1: none */
	pthread_mutex_t lock;
	pthread_cond_t called_back;
	_Atomic pid_t pid; /* for exec_pid; 0 once the leader is reaped */
	/* guarded by lock */
	struct turn turn;
	bool busy, told;
	bool ending; /* the app stops, or is to stop it, when the child ended */
	bool asked; /* the stop signal was sent */
	bool late; /* the deadline has passed, the kill signal was sent */
	bool lost; /* SIGKILL was */
	bool watched; /* the child is, by the loop */
	bool doomed; /* kill was called: the process is about to end */
	struct family family;
	enum stopper stopper;
	struct family stop_family;
	struct context *ctx; /* of the run, from the spawn to the end */
	struct context_after *deadline;
	struct context *grace;
	struct context_after *grace_over;
	int callbacks;
	int code; /* how it went; 0: well */
	char *words; /* of that; NULL: there was no memory for them */
	bool only_stop; /* they are the stop command's: all else was well */
	bool reaped; /* the leader */
	/* the run's: start's until it watches, the loop's from then on */
	int look_timer; /* timerfd; as all that is watched, the app's; or -1 */
	int64_t give_up_ms; /* when what is left over gets SIGKILL */
	int look_ms, looks_after_kill;
	bool leaderless; /* what is left is waited for */
};

/* ---- signals, all under the lock ------------------------------------------ */

static int ask_to_stop(struct exec *exec)
{
	int ret = family_tell(&exec->family, exec->stop_signal);

	exec->asked = true;
	if (exec->prober)
		prober_stop(exec->prober);
	return ret;
}

/* The stop command gets SIGKILL in any case. */
static void kill_with(struct exec *exec, int signal)
{
	family_tell(&exec->family, signal);
	if (exec->stopper != STOPPER_NONE)
		family_tell(&exec->stop_family, SIGKILL);
	if (exec->prober)
		prober_stop(exec->prober);
}

static void kill_all(struct exec *exec)
{
	exec->lost = true;
	kill_with(exec, SIGKILL);
}

/* As far as nothing worse was sent. */
static void ask_if_in_time(struct exec *exec)
{
	if (!exec->late && !exec->lost)
		ask_to_stop(exec);
}

static bool is_stopper_about(const struct exec *exec)
{
	return exec->stopper == STOPPER_COMING || exec->stopper == STOPPER_RUNS;
}

static bool has_stopper_left(struct exec *exec)
{
	return exec->stopper == STOPPER_ENDED &&
	       family_is_left(&exec->stop_family);
}

/*
 * Also of a stop command that has ended, and of an attempt at a probe: those were
 * killed already.
 */
static bool is_anything_left(struct exec *exec)
{
	return family_is_left(&exec->family) || has_stopper_left(exec) ||
	       (exec->prober && prober_is_left(exec->prober));
}

/* ---- the end, in words ----------------------------------------------------- */

static void __attribute__((format(printf, 3, 4)))
conclude(struct exec *exec, int code, const char *fmt, ...)
{
	va_list ap;

	free(exec->words);
	exec->only_stop = false;
	exec->code = code;
	va_start(ap, fmt);
	if (vasprintf(&exec->words, fmt, ap) < 0)
		exec->words = NULL;
	va_end(ap);
}

/* Whether there is nothing to say but what the stop command has to. */
static bool is_well(const struct exec *exec)
{
	return !exec->code || exec->only_stop;
}

static bool has_bit(const uint8_t *bits, int n)
{
	return bits[n / 8] & 1 << n % 8;
}

/* An exit with status 0, or what counts as one. */
static bool is_success(const struct exec *exec, const siginfo_t *end)
{
	int status = end->si_status;

	if (end->si_code == CLD_EXITED)
		return !status || has_bit(exec->success_statuses, status);
	return has_bit(exec->success_signals, status);
}

/* The end of one that was told to stop. */
static bool is_clean(const struct exec *exec, const siginfo_t *end)
{
	int status = end->si_status;

	if (is_success(exec, end))
		return true;
	if (end->si_code == CLD_EXITED)
		return status == 128 + exec->stop_signal ||
		       status == 128 + SIGTERM;
	return status == exec->stop_signal || status == SIGTERM;
}

/* One that died of its stop signal, if it was sent, did what it should. */
static bool is_killed_late(const struct exec *exec, const siginfo_t *end)
{
	int signal = end->si_code == CLD_EXITED ? 0 : end->si_status;

	return exec->late && signal &&
	       (signal == SIGKILL || signal == exec->kill_signal) &&
	       !(exec->asked && signal == exec->stop_signal);
}

/* "SIGKILL" */
static const char *signal_text(int signal, char text[static SIGNAL_SIZE])
{
	const char *name = sigabbrev_np(signal);

	if (name)
		snprintf(text, SIGNAL_SIZE, "SIG%s", name);
	else
		snprintf(text, SIGNAL_SIZE, "signal %d", signal);
	return text;
}

/* "killed by signal 9 (SIGKILL)" */
static void say_signal(struct exec *exec, const siginfo_t *end)
{
	const char *name = sigabbrev_np(end->si_status);

	conclude(exec, -ECHILD, "killed by signal %d%s%s%s%s", end->si_status,
	    name ? " (SIG" : "", name ? name : "", name ? ")" : "",
	    end->si_code == CLD_DUMPED ? " (core dumped)" : "");
}

static void judge(struct exec *exec, const siginfo_t *end)
{
	char text[SIGNAL_SIZE];

	if (is_killed_late(exec, end))
		conclude(exec, -ETIMEDOUT, "did not stop in time: killed (%s)",
		    signal_text(end->si_status, text));
	else if (((exec->told || exec->ending) && is_clean(exec, end)) ||
		 (exec->may_exit && is_success(exec, end)))
		return;
	else if (end->si_code != CLD_EXITED)
		say_signal(exec, end);
	else if (!is_success(exec, end))
		conclude(exec, -ECHILD, "exited with status %d",
		    end->si_status);
	else
		conclude(exec, -ECHILD,
		    "exited with status %d without being told to stop: if it "
		    "goes to the background, have it stay in the foreground; "
		    "if that is all it does, it is a oneshot",
		    end->si_status);
}

/* Of the stop command, which counts if nothing else is wrong. */
static void complain(struct exec *exec, int code, const char *text)
{
	if (!is_well(exec))
		return;
	conclude(exec, code, "%s", text);
	exec->only_stop = true;
}

/* ---- a run's end ----------------------------------------------------------- */

static void call_back_over(struct exec *exec)
{
	exec->callbacks--;
	pthread_cond_broadcast(&exec->called_back);
}

/* Gives up a function of context_after's, which may run all the same. */
static void give_up(struct exec *exec, struct context_after *after)
{
	if (!context_after_stop(&after))
		return;
	pthread_mutex_lock(&exec->lock);
	call_back_over(exec);
	pthread_mutex_unlock(&exec->lock);
}

/* The start of a new run is possible from here on. Returns the run's result. */
static int end_run(struct exec *exec)
{
	struct context_after *deadline, *grace_over;
	struct context *grace;
	char *words;
	int code;

	if (exec->prober)
		prober_end(exec->prober);
	pthread_mutex_lock(&exec->lock);
	assert(!is_stopper_about(exec));
	code = exec->code;
	words = exec->words;
	exec->words = NULL;
	deadline = exec->deadline;
	grace_over = exec->grace_over;
	grace = exec->grace;
	exec->deadline = exec->grace_over = NULL;
	exec->grace = exec->ctx = NULL;
	exec->family.group = exec->stop_family.group = 0;
	reaper_run_end(&exec->family.strays);
	reaper_run_end(&exec->stop_family.strays);
	exec->stopper = STOPPER_NONE;
	exec->busy = exec->watched = false;
	pthread_mutex_unlock(&exec->lock);
	give_up(exec, deadline);
	give_up(exec, grace_over);
	context_free(&grace);
	if (code)
		error_set(code, "%s",
		    words ? words : "ended badly; no memory to say how");
	free(words);
	return code;
}

/* Under the lock: the leader has gone, others have not in time. */
static void conclude_leftovers(struct exec *exec, int signal)
{
	char text[SIGNAL_SIZE];

	if (is_well(exec))
		conclude(exec, -ETIMEDOUT,
		    "processes that it started did not stop in time: killed "
		    "(%s)",
		    signal_text(signal, text));
}

/* Under the lock: time is over for all that there is. */
static void kill_late(struct exec *exec, int signal)
{
	bool are_its = exec->reaped && family_is_left(&exec->family);

	if (signal == SIGKILL)
		kill_all(exec);
	else
		kill_with(exec, signal);
	if (are_its)
		conclude_leftovers(exec, signal);
}

static void out_of_grace(void *arg)
{
	struct exec *exec = arg;

	pthread_mutex_lock(&exec->lock);
	if (exec->grace && context_err(exec->grace))
		kill_late(exec, SIGKILL);
	call_back_over(exec);
	pthread_mutex_unlock(&exec->lock);
}

/* Under the lock: SIGKILL follows, now if not later. */
static void begin_grace(struct exec *exec)
{
	exec->grace = context_with_timeout(NULL, GRACE_MS);
	exec->grace_over =
	    exec->grace ? context_after(exec->grace, out_of_grace, exec) : NULL;
	if (exec->grace_over)
		exec->callbacks++;
	else
		kill_late(exec, SIGKILL);
}

static void out_of_time(void *arg)
{
	struct exec *exec = arg;

	pthread_mutex_lock(&exec->lock);
	if (exec->ctx && context_err(exec->ctx)) {
		exec->late = true;
		kill_late(exec, exec->kill_signal);
		if (exec->kill_signal != SIGKILL)
			begin_grace(exec);
	}
	call_back_over(exec);
	pthread_mutex_unlock(&exec->lock);
}

/* ---- on the loop ----------------------------------------------------------- */

/* 0 is never. It makes the timer unreadable, if it was not. */
static void look_in(const struct exec *exec, int64_t ms)
{
	struct itimerspec in = {.it_value = clock_timespec_ms(ms)};

	timerfd_settime(exec->look_timer, 0, &in, NULL);
}

static void look_later(struct exec *exec)
{
	look_in(exec, exec->look_ms);
	exec->look_ms *= 2;
	if (exec->look_ms > LOOK_MAX_MS)
		exec->look_ms = LOOK_MAX_MS;
}

/* Under the lock, after the leader: whether there is anything to look at again. */
static bool is_left(struct exec *exec)
{
	bool over = exec->lost || clock_ms() >= exec->give_up_ms;

	if (!is_anything_left(exec))
		return false;
	/* A command that has stopped the child need not have stopped all. */
	if (!exec->asked && !is_stopper_about(exec))
		ask_if_in_time(exec);
	if (!over)
		return true;
	kill_late(exec, SIGKILL);
	return exec->looks_after_kill++ < LOOKS_AFTER_KILL;
}

static int look_at_families(int fd, void *arg)
{
	struct exec *exec = arg;
	bool left, over;

	(void)fd;
	pthread_mutex_lock(&exec->lock);
	left = exec->leaderless ? is_left(exec) : has_stopper_left(exec);
	over = exec->leaderless && !left && !is_stopper_about(exec);
	/* In the hold of the lock: else who wants a look now might not get it. */
	if (left)
		look_later(exec);
	else
		look_in(exec, 0);
	pthread_mutex_unlock(&exec->lock);
	return over ? end_run(exec) : SERVER_WATCH_ON;
}

static int make_look_timer(struct exec *exec, struct context *ctx)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int ret =
	    fd < 0 ? -errno : server_watch(ctx, fd, look_at_families, exec);

	if (!ret)
		exec->look_timer = fd;
	else if (fd >= 0)
		close(fd);
	return ret;
}

/* The leader is gone, not all else is. */
static int watch_families(struct exec *exec)
{
	if (exec->look_timer < 0 && make_look_timer(exec, exec->ctx)) {
		pthread_mutex_lock(&exec->lock);
		kill_all(exec);
		pthread_mutex_unlock(&exec->lock);
		return end_run(exec);
	}
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
		if (!exec->told)
			conclude(exec, -ECHILD,
			    "ended, and its status is lost: is SIGCHLD "
			    "ignored?");
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
	const struct context *ctx;
	bool was_reaped, left, ending;

	/* The run's, which ends on this thread only. */
	pthread_mutex_lock(&exec->lock);
	ctx = exec->ctx;
	pthread_mutex_unlock(&exec->lock);
	ending = server_is_ending(ctx);
	pthread_mutex_lock(&exec->lock);
	was_reaped = exec->reaped;
	/*
	 * Who tells the app to stop may tell the child as well, as systemd does
	 * (the app first), a container platform, or somebody with killall: then
	 * it has done what it was to do, though it was not yet its turn.
	 */
	exec->ending = ending;
	if (!was_reaped)
		exec->reaped = reap(exec, P_PIDFD, fd);
	/*
	 * Strays are looked for in the next round of the loop: one look is for
	 * all that have ended in this one.
	 */
	if (!exec->reaped || (!was_reaped && !family_has_group(&exec->family) &&
				 reaper_is_on())) {
		pthread_mutex_unlock(&exec->lock);
		return SERVER_WATCH_ON;
	}
	exec->give_up_ms = INT64_MAX;
	if (exec->prober)
		prober_stop(exec->prober);
	exec->leaderless = true;
	left = is_anything_left(exec) || is_stopper_about(exec);
	if (left && !exec->told) {
		exec->give_up_ms = clock_deadline_ms(LEFTOVER_MS);
		ask_to_stop(exec);
	}
	pthread_mutex_unlock(&exec->lock);
	return left ? watch_families(exec) : end_run(exec);
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

/* ---- the stop command ------------------------------------------------------- */

/*
 * Under the lock: false if it has not ended. What it leaves behind goes with it.
 * Where its status is lost, end->si_pid is 0, and its id may be another's.
 */
static bool reap_stopper(struct exec *exec, int fd, siginfo_t *end)
{
	*end = (siginfo_t){0};
	if (waitid(P_PIDFD, (id_t)fd, end, WEXITED | WNOHANG | WNOWAIT))
		exec->stop_family.group = 0;
	else if (!end->si_pid)
		return false;
	family_tell(&exec->stop_family, SIGKILL);
	if (end->si_pid)
		waitid(P_PIDFD, (id_t)fd, end, WEXITED | WNOHANG);
	return true;
}

/* Under the lock: a command that fails has not stopped what still runs. */
static void judge_stopper(struct exec *exec, const siginfo_t *end)
{
	bool exited = end->si_code == CLD_EXITED;
	char text[64];

	if (!end->si_pid || (exited && !end->si_status))
		return;
	if (exec->late || exec->doomed) {
		complain(exec, -ETIMEDOUT,
		    "stop_exec: did not end in time: killed (SIGKILL)");
		return;
	}
	if (exec->reaped)
		return;
	snprintf(text, sizeof(text), "stop_exec: %s %d",
	    exited ? "exited with status" : "killed by signal", end->si_status);
	complain(exec, -ECHILD, text);
	ask_to_stop(exec);
}

static int stopper_ended(int fd, void *arg)
{
	struct exec *exec = arg;
	siginfo_t end;
	bool ended;

	pthread_mutex_lock(&exec->lock);
	ended = reap_stopper(exec, fd, &end);
	if (ended) {
		judge_stopper(exec, &end);
		exec->stopper = STOPPER_ENDED;
	}
	pthread_mutex_unlock(&exec->lock);
	if (!ended)
		return SERVER_WATCH_ON;
	exec->look_ms = LOOK_MIN_MS;
	look_later(exec);
	return SERVER_WATCH_OFF;
}

/* It could not be watched, and has to go. */
static void undo_stopper(struct exec *exec, pid_t pid)
{
	pthread_mutex_lock(&exec->lock);
	family_tell(&exec->stop_family, SIGKILL);
	exec->stop_family.group = 0;
	pthread_mutex_unlock(&exec->lock);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

static int watch_stopper(struct exec *exec, struct context *ctx, pid_t pid)
{
	int fd = pidfd_open(pid, 0);
	int ret = fd < 0 ? -errno : 0;

	pthread_mutex_lock(&exec->lock);
	exec->stop_family.group = pid;
	exec->stopper = STOPPER_RUNS;
	if (exec->late || exec->doomed)
		family_tell(&exec->stop_family, SIGKILL);
	pthread_mutex_unlock(&exec->lock);
	if (!ret)
		ret = server_watch(ctx, fd, stopper_ended, exec);
	if (!ret)
		return 0;
	if (fd >= 0)
		close(fd);
	undo_stopper(exec, pid);
	errno = -ret;
	return error_set(ret, "stop_exec: cannot watch the process: %m");
}

static int start_stopper(struct exec *exec, struct context *ctx, pid_t main_pid)
{
	struct reaper_run *strays = &exec->stop_family.strays;
	char mark[REAPER_MARK_SIZE];
	pid_t pid;
	int ret;

	reaper_run_begin(strays, mark);
	ret = stop_command_start(&exec->spawn, exec->stop_argv, main_pid, mark,
	    &pid);
	reaper_run_spawned(strays, ret ? 0 : pid);
	if (!ret)
		ret = watch_stopper(exec, ctx, pid);
	return ret;
}

/* Once the child is watched, and `stopper` is COMING. */
static void run_stop_command(struct exec *exec)
{
	struct context *ctx;
	pid_t main_pid;
	int ret = 0;

	pthread_mutex_lock(&exec->lock);
	main_pid = exec_pid(exec);
	ctx = exec->ctx;
	pthread_mutex_unlock(&exec->lock);
	if (main_pid)
		ret = start_stopper(exec, ctx, main_pid);
	if (main_pid && !ret)
		return;
	pthread_mutex_lock(&exec->lock);
	if (ret) {
		complain(exec, ret, error_of(ret).text);
		ask_if_in_time(exec);
	}
	exec->stopper = STOPPER_NONE;
	look_in(exec, LOOK_MIN_MS);
	pthread_mutex_unlock(&exec->lock);
}

/*
 * Under the lock: tells the child to stop. True if a command is to do that, and
 * the caller to run it, without the lock.
 */
static bool tell(struct exec *exec, int *ret)
{
	*ret = 0;
	if (!exec->stop_argv || exec->reaped) {
		*ret = ask_to_stop(exec);
		return false;
	}
	if (exec->prober)
		prober_stop(exec->prober);
	if (!exec->watched)
		return false;
	exec->stopper = STOPPER_COMING;
	return true;
}

/* ---- start and stop -------------------------------------------------------- */

/* Under the lock: nothing of the run before is known any more. */
static void begin_afresh(struct exec *exec)
{
	exec->told = exec->asked = exec->late = exec->lost = false;
	exec->ending = false;
	exec->reaped = exec->leaderless = false;
	exec->family.gone_ns = exec->stop_family.gone_ns = 0;
	exec->code = 0;
	exec->only_stop = false;
	exec->look_timer = -1;
}

/* 1 if there is a run to begin, 0 if it was stopped, or killed, already. */
static int begin_run(struct exec *exec, char mark[static REAPER_MARK_SIZE])
{
	int ret = -EBUSY;

	pthread_mutex_lock(&exec->lock);
	if (!exec->busy) {
		exec->busy = turn_start(&exec->turn) && !exec->doomed;
		ret = exec->busy;
		begin_afresh(exec);
		if (exec->busy)
			reaper_run_begin(&exec->family.strays, mark);
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
	exec->family.group = pid;
	exec->ctx = ctx;
	atomic_store(&exec->pid, pid);
	if (exec->told && !exec->stop_argv)
		ask_to_stop(exec);
	if (exec->doomed)
		kill_all(exec);
	pthread_mutex_unlock(&exec->lock);
}

/* A stop that came before may have its command now. */
static void be_watched(struct exec *exec)
{
	bool command;
	int ret;

	pthread_mutex_lock(&exec->lock);
	exec->watched = exec->busy;
	command = exec->busy && exec->told && tell(exec, &ret);
	pthread_mutex_unlock(&exec->lock);
	if (command)
		run_stop_command(exec);
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
	if (!ret && exec->stop_argv)
		ret = make_look_timer(exec, ctx);
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
	reaper_run_spawned(&exec->family.strays, ret ? 0 : pid);
	if (ret) {
		end_run(exec);
		return ret;
	}
	publish(exec, ctx, pid);
	ret = watch_leader(exec, ctx, pid);
	if (ret)
		return undo_spawn(exec, pid, ret);
	if (exec->stop_argv)
		be_watched(exec);
	return 0;
}

static int stop(struct context *ctx, void *arg)
{
	struct exec *exec = arg;
	bool command = false;
	int ret = 0;

	(void)ctx; /* the app waits for the end */
	pthread_mutex_lock(&exec->lock);
	if (turn_stop(&exec->turn) && exec->busy) {
		exec->told = true;
		command = tell(exec, &ret);
	}
	pthread_mutex_unlock(&exec->lock);
	if (command)
		run_stop_command(exec);
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

	if (!ret && exec->stop_argv)
		ret = stop_command_check(&exec->spawn, exec->stop_argv);
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

void exec_printed(struct exec *exec, const char *text, size_t size)
{
	if (exec->prober)
		prober_hear(exec->prober, text, size);
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
	if (exec->family.group)
		ret = kill(-exec->family.group, signal) ? -errno : 0;
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

static int send_signal(void *arg, int signal)
{
	return exec_signal(arg, signal);
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
	free(exec->stop_argv);
	free(exec->dir);
	free(exec->endpoint);
	free(exec->words);
	free(exec);
}

/* The numbers of a list, from 1 to most, as bits. */
static int copy_bits(uint8_t *bits, const int *list, int most, const char *what)
{
	for (; list && *list; list++) {
		if (*list < 0 || *list > most)
			return error_set(-EINVAL, "no %s: %d", what, *list);
		bits[*list / 8] |= (uint8_t)(1 << *list % 8);
	}
	return 0;
}

static int copy_signal(int *copy, int signal, int fallback)
{
	if (signal < 0 || signal > SIGRTMAX)
		return error_set(-EINVAL, "no signal: %d", signal);
	*copy = signal ? signal : fallback;
	return 0;
}

/* The same as of copy_options, of how the child ends. */
static int copy_end(struct exec *exec, const struct exec_options *options)
{
	int ret =
	    copy_signal(&exec->stop_signal, options->stop_signal, SIGTERM);

	if (!ret)
		ret = copy_signal(&exec->kill_signal, options->kill_signal,
		    SIGKILL);
	if (!ret)
		ret = copy_bits(exec->success_statuses,
		    options->success_statuses, 255, "exit status");
	if (!ret)
		ret = copy_bits(exec->success_signals, options->success_signals,
		    SIGRTMAX, "signal");
	exec->may_exit = options->may_exit;
	if (ret || !options->stop_command)
		return ret;
	exec->stop_argv = exec_split(options->stop_command, NULL);
	if (!exec->stop_argv && errno != EINVAL)
		return -ENOMEM;
	if (!exec->stop_argv)
		return error_set(-EINVAL, "stop_exec: %s",
		    error_of(-EINVAL).text);
	if (!exec->stop_argv[0][0])
		return error_set(-EINVAL, "stop_exec: empty command");
	return 0;
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
	ret = copy_end(exec, options);
	if (ret)
		return ret;
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
	    .signal = send_signal,
	    .arg = exec,
	    .notifies = true, /* executed, or what its probe says */
	    .lacks = exec->prober ? lacks : NULL,
	};
}
