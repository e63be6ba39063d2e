/*
 * A child process as a server: started in a process group of its own, watched
 * without a thread, stopped by a signal and, at the deadline, by SIGKILL.
 */
#ifndef CRATOS_EXEC_H
#define CRATOS_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cratos/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A limit of setrlimit(2): RLIMIT_NOFILE, ... */
struct exec_limit {
	int resource;
	uint64_t soft, hard; /* EXEC_NO_LIMIT: none */
};
#define EXEC_NO_LIMIT UINT64_MAX

struct exec_options { /* zero is the default everywhere */
	/*
	 * The command. Words are split at blanks; '...' keeps everything,
	 * "..." everything but \" and \\, and a backslash outside of quotes
	 * the next character. No shell: no variables, globs, pipes. The first
	 * word is looked up in PATH, that of env if it has one; if it has a
	 * slash it is taken as it is, seen from dir.
	 */
	const char *command;
	bool shell; /* hand the command to /bin/sh -c instead */
	const char *dir; /* working directory; NULL: the parent's */
	/*
	 * "NAME=value" texts, NULL-terminated, on top of the parent's; the
	 * last of a name wins.
	 */
	const char *const *env;
	int stop_signal; /* 0: SIGTERM */
	/*
	 * A command, as above, that is run instead of the stop signal, with
	 * MAINPID, what exec_pid says, in its environment, and else as the child
	 * is, but for its stdin, /dev/null. If it fails while the child runs, the
	 * child gets the stop signal after all, and that is an error of the
	 * server. It is not run for a child that ends without being told to, and
	 * never outlives the process. NULL: none.
	 */
	const char *stop_command;
	/*
	 * What is sent at the deadline; 0: SIGKILL. After another one SIGKILL
	 * follows 0.4 s later.
	 */
	int kill_signal;
	const char *endpoint; /* URL to report; NULL: none */
	/*
	 * An exit with status 0 without being told to stop is a return of 0,
	 * not a failure. What that means is for the server's oneshot, on_return
	 * and restart to say.
	 */
	bool may_exit;
	/*
	 * What counts as an exit with status 0: statuses beside 0, and signals
	 * that the child dies of. Both end with 0; NULL: none. A child that was
	 * killed at the deadline has failed all the same, and so has one whose
	 * health has.
	 */
	const int *success_statuses, *success_signals;
	/*
	 * Descriptors that become the child's stdout and stderr, above 2, and
	 * may be one and the same; 0: the parent's own. They are duplicated:
	 * close yours whenever you like. The copies stay open from one start to
	 * the next, until exec_free, so the other end of a pipe sees no end
	 * before that.
	 */
	int stdout_fd, stderr_fd;
	/*
	 * What tells that the child is ready, which is asked anew with each run:
	 *
	 *	start		it has been executed; the same as NULL
	 *	delay:TIME	it has run for that time: 500ms, 2s, 1m30s
	 *	fd:N		it writes a newline to descriptor N, 3 to 1023, which
	 *			is a pipe that it gets (as s6 has it)
	 *	log:REGEX	it prints a line that has what the extended regular
	 *			expression means, see regex(7); exec_printed tells
	 *	notify		it, or another process of its group or descending
	 *			from it, sends READY=1 to NOTIFY_SOCKET, see
	 *			sd_notify(3)
	 *	tcp:HOST:PORT	a connection can be made; HOST is a numeric
	 *			address, or localhost; also tcp:[ADDRESS]:PORT
	 *	unix:PATH	the same; relative to dir, or an abstract @NAME
	 *	http://HOST:PORT/PATH	the answer to a GET has a status of 2xx;
	 *			HOST as with tcp; PORT is 80 if it is left out
	 *	exec:COMMAND	a command, split as `command` is, with the child's
	 *			dir and env and no output, exits with status 0
	 *
	 * Of the last four, attempts are made: the next one comes
	 * ready_interval_ms after the last, sooner at first; one has
	 * ready_timeout_ms. NULL-terminated, as all texts, and copied.
	 */
	const char *ready;
	int64_t ready_interval_ms; /* 0: 100 ms */
	int64_t ready_timeout_ms; /* 0: 5 s */
	/*
	 * What tells that it is well, once it is ready: tcp, unix, http or exec,
	 * as above; NULL: nothing. If it is not, health_failures times in a row,
	 * the server has failed. A child that told STOPPING=1 is asked no more.
	 */
	const char *health;
	int64_t health_interval_ms; /* 0: 10 s */
	int64_t health_timeout_ms; /* 0: 5 s */
	int health_failures; /* 0: 3 */
	/*
	 * Who the child is: a user and a group, by name or number. NULL: as
	 * the parent. A user brings his own group, unless there is one here,
	 * and the supplementary groups that list him, and HOME, USER and
	 * LOGNAME; a group alone is the only one. What would be another's needs
	 * root. Directory, stdin and program are reached as that user.
	 */
	const char *user, *group;
	/*
	 * A file of NAME=value lines, read at each start, relative to dir: over
	 * the parent's environment and what user brings, and below env. Its
	 * language is that of systemd's EnvironmentFile, but for lines that
	 * are wrong, which are errors.
	 */
	const char *env_file;
	/*
	 * What stdin is: a file, opened for reading, relative to dir; or the
	 * parent's own; else /dev/null. Of a pipe nobody waits for its writer.
	 */
	const char *input;
	bool inherit_input;
	/*
	 * Sockets that the service manager listens on for this process
	 * (app_options.no_manager) and that the child gets as if for itself, see
	 * sd_listen_fds(3): "fd:NAME", all of that name, NULL-terminated; NULL:
	 * none. Descriptors from 3 on in this order, with LISTEN_FDS, LISTEN_PID
	 * and LISTEN_FDNAMES. It gets them anew with each start, and they go on
	 * to listen in between.
	 */
	const char *const *listen;
	/* Each counts only if it is set; raising some of it needs root. */
	bool set_umask, set_nice, set_oom_score_adj;
	mode_t umask;
	int nice; /* -20 to 19, as in setpriority(2), not on top of ours */
	int oom_score_adj; /* -1000 to 1000, see proc(5) */
	const struct exec_limit *limits; /* borrowed during the call */
	size_t limit_count;
	/*
	 * The child goes on if this process dies without having stopped it.
	 * Else it gets SIGKILL then, whoever it is; not so what it has started
	 * itself, nor a program that is set-user-ID or has capabilities.
	 */
	bool keep_orphan;
};

struct exec;

/*
 * A child process after options, which are copied. Nothing is started yet.
 * NULL with errno ENOMEM, EINVAL for a command that is empty or has a quote
 * that is not closed, an env entry without a name, a number that is no signal,
 * no descriptor for output or out of its range, or a probe that is none, or
 * EBADF or EMFILE if a descriptor cannot be duplicated; error_of() has the
 * words.
 */
struct exec *exec_new(const struct exec_options *options);

/*
 * Frees *exec and sets it to NULL. Accepts the address of NULL. Not before
 * app_run has returned, or the server's release was called.
 */
void exec_free(struct exec **exec);

/*
 * The server for app_add_server, under name (borrowed until it is added).
 *
 * Its start returns once the program has been executed; one that cannot be is
 * an error with the command, or the option at fault ("limit.nofile: ..."), and
 * the reason. The child has no signal blocked or ignored, stdin from /dev/null,
 * unless told otherwise, and no descriptor of the parent but stdout and stderr,
 * its own or those of options. It is ready when it has been executed, or when
 * options.ready says so; if the server is a one-shot, when it has exited with 0,
 * as it may. A child that ends without being
 * told to is an error of the server, in words (-ECHILD), unless it may; what
 * is left of its process group gets the stop signal, and SIGKILL 5 s later.
 *
 * Its stop sends the stop signal to the process group, or runs the stop command;
 * the server has ended when all of the group are gone, and so is the command with
 * what it has started. If the process is a reaper
 * (app_options.reaper), "the group" here is all that the child has started, in
 * whatever group: who has lost its parent is told by itself, others are left to
 * the parent that they have. CRATOS_RUN in its environment says what belongs to
 * the child; of what has taken that away, or hides it, only the app's end is the
 * end. What a command that has ended leaves of the child without its leader gets
 * the stop signal, what it leaves of its own gets SIGKILL. What is left when the
 * time to stop is over gets the kill signal, SIGKILL, and up to 0.5 s to be gone,
 * and the result is -ETIMEDOUT. After
 * a stop, exit status 0, 128 plus the stop signal or SIGTERM, or death by one of
 * the two is a clean end, anything else an error. It can be started again as
 * often as one likes.
 */
struct server exec_server(struct exec *exec, const char *name);

/*
 * Looks for the program and the working directory as start would, and for the
 * programs of probes, has a child that executes nothing try what only the kernel
 * can tell (users, limits), and starts nothing. Returns 0 or what start would
 * return; error_of() has the words. Blocks on the file system and the user
 * database only. From any thread.
 */
int exec_check(const struct exec *exec);

/*
 * Sends a signal to the process group of the child. 0, -ESRCH if none runs, or
 * what kill(2) reports (-EINVAL). Does not block; from any thread.
 */
int exec_signal(struct exec *exec, int signal);

/*
 * Whether a text can be exec_options.ready, or health: 0, -ENOMEM, or -EINVAL
 * with words. Looks nothing up, and does not block. From any thread.
 */
int exec_check_ready(const char *text);
int exec_check_health(const char *text);

/*
 * The child's process id, or that of the process which it has told to be its main
 * one (MAINPID of notify); 0 if none runs. From any thread.
 */
pid_t exec_pid(const struct exec *exec);

/*
 * Tells what the child has printed, for ready = log:REGEX: to be called by who
 * reads the other end of stdout_fd, with each piece as it comes; the last one of
 * a run before that server's next start. A line ends with a newline, or \r\n, and
 * counts up to 1023 bytes. Does nothing if no line is waited for, and does not
 * block. From any thread, one at a time, until exec_free.
 */
void exec_printed(struct exec *exec, const char *text, size_t size);

/*
 * Splits a command as exec_options.command is: a NULL-terminated array in one
 * allocation, to be freed with free(3). NULL with errno ENOMEM, or EINVAL as
 * exec_new. *argc (may be NULL) is the number of words.
 */
char **exec_split(const char *command, int *argc);

/*
 * Reads a limit: "nofile=1024", "nofile=1024:4096" (soft:hard), "core=infinity".
 * 0, or -EINVAL with words in error_of(), and *limit as it was.
 */
int exec_limit_parse(const char *text, struct exec_limit *limit);

#ifdef __cplusplus
}
#endif

#endif
