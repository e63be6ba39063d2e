/*
 * One attempt at a probe that connects to something: tcp, unix, http. It does not
 * block: its socket is watched by an epoll instance of the caller's, who says
 * when there is something to do, and when the time for it is over.
 */
#ifndef CRATOS_ATTEMPT_H
#define CRATOS_ATTEMPT_H

#include <stddef.h>
#include <stdint.h>

#include "server/probe.h"

/* What comes of it; else 0, it has succeeded, or a negative errno with words. */
enum {
	ATTEMPT_GOES_ON = 1,
	ATTEMPT_NOT_MADE = 2 /* for lack of something of ours; with words */
};

struct attempt {
	int fd; /* -1: none is under way */
	enum {
		ATTEMPT_CONNECTS,
		ATTEMPT_ASKS,
		ATTEMPT_HEARS,
		ATTEMPT_DRAINS
	} state;
	const struct probe *probe;
	int epoll;
	uint32_t tag;
	int address; /* the one that is being tried */
	int code; /* why the first of them could not be connected to */
	size_t sent; /* of the request */
	char head[16]; /* the first bytes of the answer */
	size_t head_length, drained;
};

void attempt_init(struct attempt *attempt);

/* Begins; what epoll tells of it carries the tag as data. */
int attempt_begin(struct attempt *attempt, const struct probe *probe, int epoll,
    uint32_t tag);

/* Its socket is ready. */
int attempt_go_on(struct attempt *attempt);

/* Ends it, if one is under way. */
void attempt_end(struct attempt *attempt);

/* The code's own words; and the code, or ATTEMPT_NOT_MADE. */
int attempt_failed(int code);

#endif
