/*
 * "cratos exec": one command, with this process as its init: signals are passed
 * on to it, orphans are reaped, what it leaves behind is ended, and its exit
 * status is passed on.
 *
 * Design notes. One thread, and all signals are blocked and waited for, so that
 * nothing can come between two instructions. The child stays in our process
 * group, so that a terminal and its job control see one job; a signal that the
 * terminal sends has reached it already then, and is not passed on. Left over are
 * the children that we have when the command has ended: all that descends from it
 * comes to us (PR_SET_CHILD_SUBREAPER) when it has lost its parent.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cratos/config.h>

#include "cmd/cratos/main.h"

enum {
	/* As shells and env(1) have them. */
	EXIT_OWN_FAILURE = 125,
	EXIT_CANNOT_EXECUTE = 126,
	EXIT_NOT_FOUND = 127,
	KILLED_MS = 500, /* to be gone after SIGKILL */
	MS_PER_S = 1000,
	NS_PER_MS = 1000000
};

const char exec_help[] =
    "usage: cratos exec [--stop-timeout TIME] [--] COMMAND [ARGUMENT...]\n"
    "\n"
    "Runs one command, as the first process of a container or in place of it: passes\n"
    "on to it the signals that come, reaps what loses its parent, and when the\n"
    "command has ended tells what it has left behind to stop, kills it if it does not,\n"
    "and ends with the command's exit status.\n"
    "\n"
    "options:\n"
    "  -t, --stop-timeout TIME  how long what is left has to stop before it is\n"
    "                           killed; 5s by default, 0 kills it at once\n"
    "  -h, --help               this text\n"
    "\n"
    "exit status:\n"
    "  that of the command; 128+n if it was killed by signal n\n"
    "  2    wrong usage\n"
    "  125  it could not be started for another reason than these:\n"
    "  126  it cannot be executed\n"
    "  127  it was not found\n";

struct single {
	char **argv;
	int64_t stop_timeout_ms;
	sigset_t signals, old_mask;
	pid_t child; /* 0 once it has ended */
	int status;
};

/* ---- the command line ---- */

static int usage(const char *text, const char *word)
{
	fprintf(stderr, "cratos: %s%s; see \"cratos exec --help\"\n", text,
	    word);
	return 2;
}

/* A time as a file has it, and with the same words if it is none. */
static int parse_time(const char *text, int64_t *ms)
{
	static const struct config_field fields[] =
	    {{.key = "stop-timeout", .type = CONFIG_DURATION, .fallback = "5s"},
		{0}};
	static const struct config_section sections[] =
	    {{.name = "exec", .fields = fields, .size = sizeof(*ms)}, {0}};
	struct config *config = NULL;
	const struct config_error *errors;
	char *lines;
	size_t count = 0;
	int length = asprintf(&lines, "[exec]\nstop-timeout = %s\n", text);

	if (length < 0)
		return usage("out of memory", "");
	config_parse("", lines, (size_t)length, sections, &config);
	free(lines);
	errors = config ? config_errors(config, &count) : NULL;
	if (count)
		usage("--stop-timeout: ", errors->text);
	else if (config)
		memcpy(ms, config_get(config, "exec"), sizeof(*ms));
	config_free(&config);
	return count ? 2 : -1;
}

/* -1 to go on, else the exit status. */
static int parse(int argc, char **argv, struct single *single)
{
	static const struct option longs[] = {{"stop-timeout",
						  required_argument, NULL, 't'},
	    {"help", no_argument, NULL, 'h'}, {0}};
	int c, status;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:t:h", longs, NULL)) != -1) {
		if (c == 'h')
			return print_help(exec_help);
		if (c == ':')
			return usage("a time is missing after ",
			    argv[optind - 1]);
		if (c != 't')
			return usage("unknown option ", argv[optind - 1]);
		status = parse_time(optarg, &single->stop_timeout_ms);
		if (status >= 0)
			return status;
	}
	single->argv = argv + optind;
	return *single->argv ? -1 : usage("no command to run", "");
}

/* ---- start ---- */

/* All but what a thread raises itself by a mistake of its own. */
static void block_signals(struct single *single)
{
	static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP,
	    SIGSYS};

	sigfillset(&single->signals);
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		sigdelset(&single->signals, own[i]);
	sigprocmask(SIG_BLOCK, &single->signals, &single->old_mask);
	/* Ignored, as some parents leave it, it would lose how children end. */
	signal(SIGCHLD, SIG_DFL);
}

static int cannot_start(const char *name, int code)
{
	errno = code;
	if (code == ENOENT && !strchr(name, '/'))
		fprintf(stderr, "cratos: %s: command not found\n", name);
	else if (code == ENOENT && !access(name, F_OK))
		fprintf(stderr,
		    "cratos: %s: the interpreter that it names is missing\n",
		    name);
	else if (code == ENOEXEC)
		fprintf(stderr,
		    "cratos: %s: no program, and a script without #!\n", name);
	else
		fprintf(stderr, "cratos: %s: %m\n", name);
	return code == ENOENT || code == ENOTDIR ? EXIT_NOT_FOUND
	       : code == EACCES || code == ENOEXEC || code == EISDIR
		   ? EXIT_CANNOT_EXECUTE
		   : EXIT_OWN_FAILURE;
}

static int start(struct single *single)
{
	posix_spawnattr_t attr;
	int ret = posix_spawnattr_init(&attr);

	if (!ret) {
		posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
		posix_spawnattr_setsigmask(&attr, &single->old_mask);
		ret = posix_spawnp(&single->child, single->argv[0], NULL, &attr,
		    single->argv, environ);
		posix_spawnattr_destroy(&attr);
	}
	return ret ? cannot_start(single->argv[0], ret) : -1;
}

/* ---- signals ---- */

static bool is_of_job_control(int signal)
{
	return signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* What the terminal sends goes to all of its foreground group. */
static bool has_reached_child(const struct single *single,
    const siginfo_t *info)
{
	int signal = info->si_signo;

	return info->si_code == SI_KERNEL &&
	       (signal == SIGINT || signal == SIGQUIT || signal == SIGWINCH ||
		   is_of_job_control(signal)) &&
	       getpgid(single->child) == getpgrp();
}

/* Does by default what it does to any process, which is to stop, or nothing. */
static void stop_too(int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	kill(getpid(), signal);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void pass_on(struct single *single, const siginfo_t *info)
{
	int signal = info->si_signo;

	if (!has_reached_child(single, info)) {
		if (info->si_code == SI_QUEUE)
			sigqueue(single->child, signal, info->si_value);
		else
			kill(single->child, signal);
	}
	if (is_of_job_control(signal))
		stop_too(signal);
}

static void reap(struct single *single)
{
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) || !info.si_pid)
			return;
		if (info.si_pid != single->child)
			continue;
		single->child = 0;
		single->status = info.si_code == CLD_EXITED
				     ? info.si_status
				     : 128 + info.si_status;
	}
}

/* Until the command has ended. */
static void attend(struct single *single)
{
	siginfo_t info;

	while (single->child) {
		if (sigwaitinfo(&single->signals, &info) < 0)
			continue;
		if (info.si_signo == SIGCHLD)
			reap(single);
		else
			pass_on(single, &info);
	}
}

/* ---- what is left ---- */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * (int64_t)MS_PER_S + now.tv_nsec / NS_PER_MS;
}

/* Our children, " 12 34 ", to be freed; NULL if it cannot be told. */
static char *list_children(void)
{
	char path[48], *text = NULL;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
	    (int)getpid());
	file = fopen(path, "re");
	if (!file)
		return NULL;
	if (getdelim(&text, &size, '\0', file) < 0 && text)
		*text = '\0';
	fclose(file);
	return text;
}

static bool is_in(const char *list, const char *number, size_t length)
{
	while (list && *list) {
		size_t other = strcspn(list, " ");

		if (other == length && !strncmp(list, number, length))
			return true;
		list += other + strspn(list + other, " ");
	}
	return false;
}

/* Those in `told` have been told to stop before; SIGKILL is for all. */
static void tell_all(const char *children, const char *told, int signal)
{
	for (const char *one = children; one && *one;) {
		size_t length = strcspn(one, " ");
		pid_t pid = (pid_t)atol(one);

		/* Ours until we reap it, so it is nobody else. */
		if (pid > 0 && signal == SIGKILL) {
			kill(pid, SIGKILL);
		} else if (pid > 0 && !is_in(told, one, length)) {
			kill(pid, signal);
			kill(pid, SIGCONT);
		}
		one += length + strspn(one + length, " ");
	}
}

static bool has_children(void)
{
	return !waitid(P_ALL, 0, NULL, WEXITED | WNOHANG | WNOWAIT);
}

/* Any signal but of a child's end is an order to be done. */
static bool was_hurried(const struct single *single, int64_t until_ms)
{
	int64_t left_ms = until_ms - now_ms();
	struct timespec left = {0};
	siginfo_t info;

	if (left_ms > 0) {
		left.tv_sec = left_ms / MS_PER_S;
		left.tv_nsec = left_ms % MS_PER_S * NS_PER_MS;
	}
	return sigtimedwait(&single->signals, &info, &left) > 0 &&
	       (info.si_signo == SIGTERM || info.si_signo == SIGINT ||
		   info.si_signo == SIGQUIT || info.si_signo == SIGHUP);
}

/* Each child that goes may leave others to us: so there is more than a round. */
static void end_leftovers(struct single *single)
{
	int64_t kill_ms = now_ms() + single->stop_timeout_ms,
		end_ms = INT64_MAX;
	char *children, *told = NULL;
	bool kills;

	for (reap(single); has_children() && now_ms() < end_ms; reap(single)) {
		kills = now_ms() >= kill_ms;
		children = list_children();
		tell_all(children, told, kills ? SIGKILL : SIGTERM);
		free(told);
		told = children;
		if (kills && end_ms == INT64_MAX)
			end_ms = now_ms() + KILLED_MS;
		if (was_hurried(single, kills ? end_ms : kill_ms) && !kills)
			kill_ms = now_ms();
	}
	free(told);
}

int exec_command(int argc, char **argv)
{
	struct single single = {.stop_timeout_ms = 5 * MS_PER_S};
	int status = parse(argc, argv, &single);

	if (status >= 0)
		return status;
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	block_signals(&single);
	status = start(&single);
	if (status >= 0)
		return status;
	attend(&single);
	end_leftovers(&single);
	return single.status;
}
