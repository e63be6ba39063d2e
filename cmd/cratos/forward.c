/*
 * The key "forward". A signal that a server wants is that server's: cratos does
 * not do with it what it does otherwise (SIGHUP, SIGUSR1, SIGUSR2). Those that stop the
 * app cannot be had, since they reach the programs as their stop_signal.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <cratos/exec.h>

#include "cmd/cratos/appfile.h"
#include "cmd/cratos/forward.h"

/* Why it cannot be had; NULL if it can. */
static const char *reason(int signal)
{
	switch (signal) {
	case 0:
		return "is no signal; there are USR1, USR2, WINCH, HUP, ALRM, "
		       "CONT, RTMIN, RTMIN+1 and so on";
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
		return "stops the app, and the program with it: see "
		       "stop_signal";
	case SIGKILL:
	case SIGSTOP:
		return "cannot be caught, so not passed on either";
	case SIGCHLD:
		return "is how cratos learns that programs have ended";
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
	case SIGTRAP:
	case SIGSYS:
		return "is what a process raises by a mistake of its own";
	default:
		return NULL;
	}
}

size_t forward_check(struct appfile *file, size_t i,
    const struct server_keys *keys)
{
	size_t wrong = 0;

	if (!keys->forward || !keys->forward[0])
		return 0;
	if (keys->tcp_echo) {
		config_refuse(file->config, "server:", i, "forward",
		    "goes with exec and shell only");
		return 1;
	}
	for (size_t k = 0; keys->forward[k]; k++) {
		const char *why = reason(keys_signal(keys->forward[k]));

		if (!why)
			continue;
		config_refuse(file->config, "server:", i, "forward",
		    "'%.*s' %s", (int)strcspn(keys->forward[k], ","),
		    keys->forward[k], why);
		wrong++;
	}
	return wrong;
}

static bool wants(const struct server_keys *keys, int signal)
{
	for (size_t i = 0; keys && keys->forward && keys->forward[i]; i++)
		if (keys_signal(keys->forward[i]) == signal)
			return true;
	return false;
}

bool forward_wanted(const struct appfile *file, int signal)
{
	for (size_t i = 0; i < file->count; i++)
		if (wants(file->servers[i].keys, signal))
			return true;
	return false;
}

void forward_pass_on(const struct appfile *file, int signal)
{
	for (size_t i = 0; i < file->count; i++)
		if (wants(file->servers[i].keys, signal))
			exec_signal(file->servers[i].exec, signal);
}

size_t forward_check_change(struct appfile *file,
    const struct appfile *in_force)
{
	size_t wrong = 0;

	for (size_t i = 0; i < file->count; i++) {
		const struct server_keys *keys = file->servers[i].keys;

		for (size_t k = 0; keys && keys->forward && keys->forward[k];
		     k++) {
			int signal = keys_signal(keys->forward[k]);

			if (!signal || forward_wanted(in_force, signal))
				continue;
			config_refuse(file->config, "server:", i, "forward",
			    "%s is passed on to no server so far, and that "
			    "cannot change while the app runs: restart it",
			    signal_name(signal));
			wrong++;
		}
	}
	return wrong;
}

void forward_show(const struct server_keys *keys)
{
	const char *before = "    passes on ";

	for (size_t i = 0; keys->forward && keys->forward[i]; i++) {
		printf("%s%s", before,
		    signal_name(keys_signal(keys->forward[i])));
		before = ", ";
	}
	if (*before == ',')
		printf("\n");
}

void forward_show_app(const struct appfile *file)
{
	if (forward_wanted(file, SIGHUP))
		printf("    SIGHUP     is passed on, and does not reload\n");
	if (forward_wanted(file, SIGUSR1))
		printf("    SIGUSR1    is passed on, and does not report\n");
	if (forward_wanted(file, SIGUSR2))
		printf("    SIGUSR2    is passed on, and does not open log "
		       "files anew\n");
}
