/* An operator's side of an app's control socket. */
#ifndef CRATOS_CMD_CLIENT_H
#define CRATOS_CMD_CLIENT_H

#include <stddef.h>

#include "app/json.h"

/* Exit statuses of what asks a running app. */
enum client_exit {
	CLIENT_DONE = 0,
	CLIENT_NOT_SO = 1, /* it could not be done, or is not as asked for */
	CLIENT_USAGE = 2,
	CLIENT_NO_APP = 3, /* nobody answers */
	CLIENT_NO_SERVER = 4, /* none of that name */
	CLIENT_NO_RIGHT = 5,
	CLIENT_TIMEOUT = 124 /* as timeout(1) */
};

struct client {
	char socket[108];
};

struct answer {
	int status; /* of HTTP */
	char *text; /* whole, with its head */
	const char *body;
	size_t size;
	json_t *value; /* of the body, or NULL */
};

/*
 * Where the app is: a socket, or the file of an app that names one; NULL: what
 * CRATOS_CONTROL says. CLIENT_DONE, or another one after a line on standard error.
 */
int client_find(struct client *client, const char *where);

/*
 * Asks, and waits for the answer; answer_fini in any case. CLIENT_DONE, also if
 * the answer is an error, or another one after a line on standard error, unless
 * quiet.
 */
int client_ask(const struct client *client, const char *method,
    const char *path, struct answer *answer, bool quiet);

/*
 * The same of an answer that is JSON a line: fn gets each as it comes. It ends
 * where the app says so, or ends itself.
 */
int client_follow(const struct client *client, const char *path,
    int (*fn)(const json_t *line, void *arg), void *arg);

/* What the answer means: CLIENT_DONE, or another one after such a line. */
int answer_check(const struct answer *answer);
void answer_fini(struct answer *answer);

#endif
