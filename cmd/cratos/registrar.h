/* The registrar of "cratos run": commands that make the app known. */
#ifndef CRATOS_CMD_REGISTRAR_H
#define CRATOS_CMD_REGISTRAR_H

#include <pthread.h>

#include <cratos/app.h>
#include <cratos/exec.h>

#include "cmd/cratos/keys.h"

/* The commands of [app], copied: they outlive the file. */
struct commands {
	char *register_command, *deregister_command;
	bool inherit; /* what they print is left alone */
	pthread_mutex_t lock;
	/* Guarded by it: what runs (both may), and that nothing is to any more. */
	struct exec *registering, *deregistering;
	bool killed;
};

/* 0 or -ENOMEM; then fini is still to be called. */
int commands_init(struct commands *commands, const struct app_keys *keys);
void commands_fini(struct commands *commands);

/*
 * A registrar that runs the commands. They get the instance in their
 * environment, as CRATOS_ID, CRATOS_NAME, CRATOS_VERSION and CRATOS_ENDPOINTS
 * (separated by blanks). One that does not exit with status 0 has failed; one
 * that is out of time is killed, and so is one that runs when the process is
 * ended by force.
 */
struct registrar commands_registrar(struct commands *commands);

#endif
