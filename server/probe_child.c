/*
 * The child process of an attempt.
 *
 * Design notes. Executing a program may block for long (a file system over the
 * network), and the app's loop must not, so a job on a thread of the pool does
 * it. The attempt may be over, or its server's run, before the job is: whoever
 * ends the attempt takes the job off `job`, and a job that does not find itself
 * there kills and reaps what it has started. What is published in `pid` is
 * killed by probe_child_kill and reaped by whoever looks next; it is reaped under
 * the lock, so no id that may be another's is ever signalled.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "errgroup/after.h"
#include "server/attempt.h"
#include "server/probe_child.h"

struct probe_job {
	struct job job; /* first */
	struct probe_child *child;
	const struct spawn *spawn;
	struct reaper_run run; /* until the child is the attempt's */
};

void probe_child_init(struct probe_child *child, pthread_mutex_t *lock)
{
	*child = (struct probe_child){.lock = lock, .pidfd = -1};
	pthread_cond_init(&child->over, NULL);
}

static void close_pidfd(struct probe_child *child)
{
	if (child->pidfd >= 0)
		close(child->pidfd);
	child->pidfd = -1;
}

/* ---- the job --------------------------------------------------------------- */

static void reap_now(pid_t pid)
{
	siginfo_t end;

	kill(-pid, SIGKILL);
	while (waitid(P_PID, (id_t)pid, &end, WEXITED) && errno == EINTR)
		continue;
}

static int watch(struct probe_child *child, pid_t pid)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = child->tag};
	int ret;

	child->pidfd = pidfd_open(pid, 0);
	if (child->pidfd < 0)
		return -errno;
	if (!epoll_ctl(child->epoll, EPOLL_CTL_ADD, child->pidfd, &event))
		return 0;
	ret = -errno;
	close_pidfd(child);
	return ret;
}

static void wake(struct probe_child *child)
{
	const struct itimerspec now = {.it_value.tv_nsec = 1};

	timerfd_settime(child->wake, 0, &now, NULL);
}

/* Under the lock: false if the child is to go. */
static bool publish(struct probe_job *job, pid_t pid, int code)
{
	struct probe_child *child = job->child;
	char mark[REAPER_MARK_SIZE]; /* it has none; see run_job */

	if (child->job != job)
		return false;
	child->job = NULL;
	if (!code)
		code = watch(child, pid);
	if (!code) {
		child->pid = pid;
		reaper_run_begin(&child->run, mark);
		reaper_run_spawned(&child->run, pid);
		return true;
	}
	child->failure = error_of(code);
	wake(child);
	return false;
}

/* Under the lock: the job touches the child no more once that is let go. */
static void be_over(struct probe_child *child)
{
	child->jobs--;
	pthread_cond_broadcast(&child->over);
}

static void run_job(struct job *arg)
{
	struct probe_job *job = (struct probe_job *)arg;
	struct probe_child *child = job->child;
	char mark[REAPER_MARK_SIZE];
	pid_t pid = 0;
	bool stays;
	int code;

	/* Without its mark: what it leaves behind is nobody's, and ends with the app. */
	reaper_run_begin(&job->run, mark);
	code = spawn_group(job->spawn, &pid);
	reaper_run_spawned(&job->run, code ? 0 : pid);
	pthread_mutex_lock(child->lock);
	stays = publish(job, pid, code);
	if (code || stays)
		be_over(child);
	pthread_mutex_unlock(child->lock);
	if (!code && !stays) {
		reap_now(pid);
		pthread_mutex_lock(child->lock);
		be_over(child);
		pthread_mutex_unlock(child->lock);
	}
	reaper_run_end(&job->run);
	free(job);
}

static int post(struct probe_child *child, struct probe_job *job)
{
	if (!child->done) {
		child->done = context_with_cancel(NULL);
		if (!child->done)
			return -errno;
		context_cancel(child->done, NULL);
	}
	return context_after_job(child->done, &job->job);
}

int probe_child_begin(struct probe_child *child, const struct spawn *spawn,
    int epoll, uint32_t tag, int wake_fd)
{
	struct probe_job *job;
	int ret;

	if (probe_child_is_left(child))
		return error_set(-EBUSY, "%s",
		    child->pid ? "the one before has not ended"
			       : "the one before is still being executed");
	job = malloc(sizeof(*job));
	if (!job)
		return attempt_failed(-ENOMEM);
	*job = (struct probe_job){.job.run = run_job,
	    .child = child,
	    .spawn = spawn};
	ret = post(child, job);
	if (ret) {
		free(job);
		return attempt_failed(ret);
	}
	child->jobs++;
	child->job = job;
	child->failure.code = 0;
	child->epoll = epoll;
	child->tag = tag;
	child->wake = wake_fd;
	return ATTEMPT_GOES_ON;
}

/* ---- its end --------------------------------------------------------------- */

/* False if it has not ended. What it has left in its group goes first. */
static bool reap(struct probe_child *child, siginfo_t *end)
{
	end->si_pid = 0;
	if (!waitid(P_PID, (id_t)child->pid, end,
		WEXITED | WNOHANG | WNOWAIT) &&
	    !end->si_pid)
		return false;
	if (end->si_pid) {
		kill(-child->pid, SIGKILL);
		waitid(P_PID, (id_t)child->pid, end, WEXITED | WNOHANG);
	}
	child->pid = 0;
	reaper_run_end(&child->run);
	close_pidfd(child);
	return true;
}

static int judge(const siginfo_t *end)
{
	const char *name = sigabbrev_np(end->si_status);

	if (!end->si_pid)
		return error_set(-ECHILD, "its exit status is lost");
	if (end->si_code != CLD_EXITED)
		return error_set(-ECHILD, "killed by signal %d%s%s%s",
		    end->si_status, name ? " (SIG" : "", name ? name : "",
		    name ? ")" : "");
	if (end->si_status)
		return error_set(-ECHILD, "exited with status %d",
		    end->si_status);
	return 0;
}

int probe_child_look(struct probe_child *child)
{
	siginfo_t end;

	int code = child->failure.code, ret;

	if (code) {
		child->failure.code = 0;
		ret = attempt_failed(code);
		return ret == code ? error_set(code, "%s", child->failure.text)
				   : ret;
	}
	if (!child->pid || !reap(child, &end))
		return ATTEMPT_GOES_ON;
	return judge(&end);
}

void probe_child_kill(struct probe_child *child)
{
	child->job = NULL;
	child->failure.code = 0;
	if (child->pid)
		kill(-child->pid, SIGKILL);
}

bool probe_child_is_left(struct probe_child *child)
{
	siginfo_t end;

	return (child->pid && !reap(child, &end)) || child->jobs;
}

void probe_child_fini(struct probe_child *child)
{
	pthread_mutex_lock(child->lock);
	while (child->jobs)
		pthread_cond_wait(&child->over, child->lock);
	probe_child_is_left(child); /* one that nobody had time to wait for */
	close_pidfd(child);
	pthread_mutex_unlock(child->lock);
	context_free(&child->done);
	pthread_cond_destroy(&child->over);
}

void probe_child_wait(struct probe_child *child)
{
	siginfo_t end;

	while (child->pid && !reap(child, &end))
		waitid(P_PID, (id_t)child->pid, &end, WEXITED | WNOWAIT);
}
