/* What tells that a child is ready, or well: a text, and what it stands for. */
#ifndef CRATOS_PROBE_H
#define CRATOS_PROBE_H

#include <netinet/in.h>
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum probe_kind {
	PROBE_START, /* it has been executed */
	/* What the child, or the clock, tells: nothing is tried. */
	PROBE_NOTIFY,
	PROBE_FD,
	PROBE_LOG,
	PROBE_DELAY,
	/* What is tried until it succeeds: see attempt.h. */
	PROBE_TCP,
	PROBE_UNIX,
	PROBE_HTTP,
	PROBE_EXEC
};

enum { PROBE_FD_MIN = 3, PROBE_FD_MAX = 1023, PROBE_ADDRESSES = 2 };

struct probe_address {
	socklen_t size;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} is;
};

struct probe {
	enum probe_kind kind;
	char *text; /* as it was given, for messages */
	int fd; /* of the child, for PROBE_FD */
	int64_t delay_ms;
	/* Tried in turn, until one can be connected to. */
	struct probe_address addresses[PROBE_ADDRESSES];
	int address_count;
	char *request; /* what is sent, for PROBE_HTTP */
	char **argv; /* for PROBE_EXEC */
	regex_t *regex; /* for PROBE_LOG */
};

/* The two uses of a probe: not every kind can be both. */
enum probe_use { PROBE_FOR_READY, PROBE_FOR_HEALTH };

/*
 * Reads a text; NULL is "start" (no probe). dir is where relative paths of
 * sockets start from, NULL: here. Returns 0, -ENOMEM, or -EINVAL with words
 * that begin with the text; probe_fini in any case.
 */
int probe_parse(struct probe *probe, const char *text, const char *dir,
    enum probe_use use);
void probe_fini(struct probe *probe);

/* Whether attempts are made at it. */
bool probe_is_tried(const struct probe *probe);

#endif
