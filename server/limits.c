/* The limits of setrlimit(2), by name. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cratos/exec.h>

#include "server/limits.h"

static const struct {
	const char *name;
	int resource;
} limits[] = {
    {"as", RLIMIT_AS},
    {"core", RLIMIT_CORE},
    {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},
    {"fsize", RLIMIT_FSIZE},
    {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE},
    {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},
    {"nproc", RLIMIT_NPROC},
    {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},
    {"rttime", RLIMIT_RTTIME},
    {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

enum { LIMITS = sizeof(limits) / sizeof(*limits) };

const char *limits_name(int resource)
{
	for (size_t i = 0; i < LIMITS; i++)
		if (limits[i].resource == resource)
			return limits[i].name;
	return NULL;
}

const char *limits_format(const struct exec_limit *limit,
    char text[static LIMITS_TEXT_BYTES])
{
	const uint64_t values[] = {limit->soft, limit->hard};
	size_t used = 0;

	for (int i = 0; i < 2; i++) {
		const char *colon = i ? ":" : "";

		if (values[i] == EXEC_NO_LIMIT)
			used += (size_t)snprintf(text + used,
			    LIMITS_TEXT_BYTES - used, "%sinfinity", colon);
		else
			used += (size_t)snprintf(text + used,
			    LIMITS_TEXT_BYTES - used, "%s%llu", colon,
			    (unsigned long long)values[i]);
	}
	return text;
}

static int refuse_name(const char *text, int size)
{
	char names[LIMITS * 12] = "";

	for (size_t i = 0; i < LIMITS; i++) {
		strcat(names, i ? ", " : "");
		strcat(names, limits[i].name);
	}
	return error_set(-EINVAL, "there is no limit '%.*s'; there are %s",
	    size, text, names);
}

/* Goes over a number, or infinity; false if there is neither. */
static bool take_number(const char **at, uint64_t *number)
{
	static const char infinity[] = "infinity";
	char *end;

	if (!strncmp(*at, infinity, strlen(infinity))) {
		*number = EXEC_NO_LIMIT;
		*at += strlen(infinity);
		return true;
	}
	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*number = strtoull(*at, &end, 10);
	*at = end;
	return !errno;
}

int exec_limit_parse(const char *text, struct exec_limit *limit)
{
	int size = (int)strcspn(text, "=");
	const char *at = text + size + (text[size] == '='), *value = at;
	struct exec_limit parsed = {.resource = -1};
	bool right;

	for (size_t i = 0; i < LIMITS; i++)
		if (!strncmp(text, limits[i].name, (size_t)size) &&
		    !limits[i].name[size])
			parsed.resource = limits[i].resource;
	if (parsed.resource < 0)
		return refuse_name(text, size);
	right = take_number(&at, &parsed.soft);
	parsed.hard = parsed.soft;
	if (right && *at == ':') {
		at++;
		right = take_number(&at, &parsed.hard);
	}
	if (!right || *at)
		return error_set(-EINVAL,
		    "'%s' is no limit: it should be a number, soft:hard, or "
		    "infinity for one of them",
		    value);
	if (parsed.soft > parsed.hard)
		return error_set(-EINVAL,
		    "the soft limit of %s is above the "
		    "hard one",
		    value);
	*limit = parsed;
	return 0;
}
