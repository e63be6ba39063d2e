/* The limits of setrlimit(2), by name. */
#ifndef CRATOS_LIMITS_H
#define CRATOS_LIMITS_H

#include <cratos/exec.h>

enum { LIMITS_TEXT_BYTES = 48 };

/* "nofile" of RLIMIT_NOFILE; NULL of what is none. */
const char *limits_name(int resource);

/* "1024:infinity", in text. */
const char *limits_format(const struct exec_limit *limit,
    char text[static LIMITS_TEXT_BYTES]);

#endif
