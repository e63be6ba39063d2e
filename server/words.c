/* A command line's words, quotes resolved, without a shell. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cratos/exec.h>

static bool is_blank(char c)
{
	return c && strchr(" \t\r\n", c);
}

static const char *skip_blanks(const char *at)
{
	while (is_blank(*at))
		at++;
	return at;
}

/* Whether a backslash makes something of the character after it. */
static bool escapes(char quote, char next)
{
	return !quote || (quote == '"' && (next == '"' || next == '\\'));
}

/*
 * Goes to the end of the word that begins at `at`, and copies it with a NUL to
 * *out, moved on behind it, unless out is NULL. NULL with *why if the word does
 * not end.
 */
static const char *take_word(const char *at, char **out, const char **why)
{
	char quote = 0;

	for (; *at && (quote || !is_blank(*at)); at++) {
		if (quote ? *at == quote : *at == '\'' || *at == '"') {
			quote = quote ? 0 : *at;
			continue;
		}
		if (*at == '\\' && escapes(quote, at[1]) && !*++at) {
			*why = "nothing after the backslash in: ";
			return NULL;
		}
		if (out)
			*(*out)++ = *at;
	}
	if (quote) {
		*why = "unclosed quote in: ";
		return NULL;
	}
	if (out)
		*(*out)++ = '\0';
	return at;
}

static char **refuse(const char *why, const char *command)
{
	error_set(-EINVAL, "%s%s", why, command);
	errno = EINVAL;
	return NULL;
}

char **exec_split(const char *command, int *argc)
{
	size_t count = 0, words_size;
	const char *at = command ? command : "", *why;
	char **argv, *out;

	for (at = skip_blanks(at); *at; at = skip_blanks(at), count++) {
		at = take_word(at, NULL, &why);
		if (!at)
			return refuse(why, command);
	}
	if (!count)
		return refuse("empty command", "");
	/* With blanks and NULs, the words are no longer than the command. */
	words_size = strlen(command) + 1;
	argv = malloc((count + 1) * sizeof(*argv) + words_size);
	if (!argv)
		return NULL;
	out = (char *)(argv + count + 1);
	at = skip_blanks(command);
	for (size_t i = 0; i < count; i++) {
		argv[i] = out;
		at = skip_blanks(take_word(at, &out, &why));
	}
	argv[count] = NULL;
	if (argc)
		*argc = (int)count;
	return argv;
}
