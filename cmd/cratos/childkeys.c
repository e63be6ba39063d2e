/* The keys of a server that say what its program gets. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cratos/childkeys.h"

/* A program that is there. */
#define ITSELF "/proc/self/exe"

/* ---- numbers ---- */

static int refuse(struct appfile *file, size_t i, const char *key,
    const char *text)
{
	return config_refuse(file->config, "server:", i, key, "%s", text);
}

/* 0 and *number, or -EINVAL when it was refused. */
static int take_number(struct appfile *file, size_t i, const char *key,
    const char *text, int min, int max, int *number)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (strchr(" \t", *text) || *end || end == text || value < min ||
	    value > max)
		return config_refuse(file->config, "server:", i, key,
		    "'%s' is not a number from %d to %d", text, min, max);
	*number = (int)value;
	return 0;
}

static int take_umask(struct appfile *file, size_t i, const char *text,
    mode_t *umask)
{
	size_t digits = strspn(text, "01234567");

	if (!digits || text[digits] || digits > 4 ||
	    strtoul(text, NULL, 8) > 0777)
		return config_refuse(file->config, "server:", i, "umask",
		    "'%s' is not an octal number from 0 to 777, such as 022",
		    text);
	*umask = (mode_t)strtoul(text, NULL, 8);
	return 0;
}

/* ---- limits ---- */

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static int take_limit(struct appfile *file, size_t i, const char *text,
    struct exec_limit *limit)
{
	char key[300];
	int ret = exec_limit_parse(text, limit);

	if (!ret)
		return 0;
	snprintf(key, sizeof(key), "limit.%.*s", (int)strcspn(text, "="), text);
	return refuse(file, i, key, error_of(ret).text);
}

static int take_limits(struct appfile *file, size_t i, const char *const *texts,
    struct exec_options *options, struct exec_limit **limits)
{
	size_t n = count(texts);
	int ret = 0;

	*limits = calloc(n + 1, sizeof(**limits));
	if (!*limits)
		return refuse(file, i, "limit", "out of memory");
	options->limits = *limits;
	for (size_t at = 0; at < n; at++)
		if (take_limit(file, i, texts[at],
			&(*limits)[options->limit_count]))
			ret = -EINVAL;
		else
			options->limit_count++;
	return ret;
}

/* ---- what is as good as an exit with status 0 ---- */

static int take_success(struct appfile *file, size_t i, const char *word,
    int **status, int **signal)
{
	size_t length = strcspn(word, ","), digits = strspn(word, "0123456789");
	int number = digits && digits < 4 && digits == length ? atoi(word) : -1;

	if (number == 0)
		return 0;
	if (number > 0 && number < 256)
		*(*status)++ = number;
	else if (keys_signal(word))
		*(*signal)++ = keys_signal(word);
	else
		return config_refuse(file->config, "server:", i, "success_exit",
		    "'%.*s' is neither an exit status from 0 to 255 nor a "
		    "signal, such as TERM",
		    (int)length, word);
	return 0;
}

/* Both lists end with 0; *success is both of them. */
static int take_successes(struct appfile *file, size_t i,
    const char *const *words, struct exec_options *options, int **success)
{
	size_t n = count(words);
	int *status, *signal, ret = 0;

	*success = status = calloc(2 * n + 2, sizeof(**success));
	if (!status)
		return refuse(file, i, "success_exit", "out of memory");
	signal = status + n + 1;
	options->success_statuses = status;
	options->success_signals = signal;
	for (size_t at = 0; at < n; at++)
		if (take_success(file, i, words[at], &status, &signal))
			ret = -EINVAL;
	return ret;
}

/* ---- sockets ---- */

static void free_words(char **words)
{
	for (char **word = words; word && *word; word++)
		free(*word);
	free(words);
}

/* The same words, without a comma behind them. */
static int take_listen(struct appfile *file, size_t i, const char *const *words,
    struct exec_options *options, char ***listen)
{
	size_t n = count(words);
	char **copy = calloc(n + 1, sizeof(*copy));

	*listen = copy;
	for (size_t at = 0; copy && at < n; at++) {
		size_t length = strlen(words[at]);

		if (length > 1 && words[at][length - 1] == ',')
			length--;
		copy[at] = strndup(words[at], length);
		if (!copy[at])
			return refuse(file, i, "listen", "out of memory");
	}
	options->listen = (const char *const *)copy;
	return copy ? 0 : refuse(file, i, "listen", "out of memory");
}

/* ---- all of it ---- */

static void set_input(const char *text, struct exec_options *options)
{
	options->inherit_input = text && !strcmp(text, "inherit");
	if (text && strcmp(text, "null") != 0 && !options->inherit_input)
		options->input = text;
}

void childkeys_fini(struct childkeys *own)
{
	free(own->limits);
	free(own->success);
	free_words(own->listen);
}

int childkeys_set(struct appfile *file, size_t i, struct exec_options *options,
    struct childkeys *own)
{
	const struct server_keys *keys = config_at(file->config, "server:", i);
	int ret = take_limits(file, i, keys->limit, options, &own->limits);

	if (take_successes(file, i, keys->success_exit, options, &own->success))
		ret = -EINVAL;
	if (take_listen(file, i, keys->listen, options, &own->listen))
		ret = -EINVAL;
	options->stop_signal = keys_stop_signal(keys);
	options->kill_signal = keys_kill_signal(keys);
	options->stop_command = keys->stop_exec;
	options->user = keys->user;
	options->group = keys->group;
	options->env_file = keys->env_file;
	options->keep_orphan = file->app->orphans == ORPHANS_KEEP;
	set_input(keys->input, options);
	options->set_umask = keys->umask != NULL;
	if (keys->umask && take_umask(file, i, keys->umask, &options->umask))
		ret = -EINVAL;
	options->set_nice = keys->nice != NULL;
	if (keys->nice &&
	    take_number(file, i, "nice", keys->nice, -20, 19, &options->nice))
		ret = -EINVAL;
	options->set_oom_score_adj = keys->oom_score_adj != NULL;
	if (keys->oom_score_adj &&
	    take_number(file, i, "oom_score_adj", keys->oom_score_adj, -1000,
		1000, &options->oom_score_adj))
		ret = -EINVAL;
	return ret;
}

static const char *absolute(const char *path)
{
	return path && *path == '/' ? path : NULL;
}

static void leave_out_command(struct exec_options *options)
{
	options->command = ITSELF;
	options->shell = false;
}

/* With what is looked for from the folder, or may be. */
static void leave_out_dir(struct exec_options *options)
{
	leave_out_command(options);
	options->dir = options->stop_command = NULL;
	options->ready = options->health = NULL;
	options->env_file = absolute(options->env_file);
	options->input = absolute(options->input);
}

static void leave_out_limit(struct exec_options *options, struct childkeys *own,
    const char *key)
{
	struct exec_limit fault = {0};
	char text[48];
	size_t n = 0;

	snprintf(text, sizeof(text), "%s=0", key + strlen("limit."));
	if (exec_limit_parse(text, &fault))
		return;
	for (size_t i = 0; i < options->limit_count; i++)
		if (own->limits[i].resource != fault.resource)
			own->limits[n++] = own->limits[i];
	options->limit_count = n;
}

void childkeys_leave_out(struct exec_options *options, struct childkeys *own,
    const char *key)
{
	if (!strcmp(key, "user"))
		options->user = NULL;
	else if (!strcmp(key, "group"))
		options->group = NULL;
	else if (!strcmp(key, "env_file"))
		options->env_file = NULL;
	else if (!strcmp(key, "stdin"))
		options->input = NULL;
	else if (!strcmp(key, "listen"))
		options->listen = NULL;
	else if (!strcmp(key, "nice"))
		options->set_nice = false;
	else if (!strcmp(key, "oom_score_adj"))
		options->set_oom_score_adj = false;
	else if (!strcmp(key, "stop_exec"))
		options->stop_command = NULL;
	else if (!strcmp(key, "ready"))
		options->ready = NULL;
	else if (!strcmp(key, "health"))
		options->health = NULL;
	else if (!strncmp(key, "limit.", 6))
		leave_out_limit(options, own, key);
	else if (!strcmp(key, "dir"))
		leave_out_dir(options);
	else
		leave_out_command(options);
}

size_t childkeys_check_idle(struct appfile *file, size_t i,
    const struct server_keys *keys)
{
	static const char *const names[] = {"instances", "dir", "env",
	    "env_file", "user", "group", "umask", "nice", "oom_score_adj",
	    "limit", "stdin", "listen", "log", "endpoint", "ready", "health",
	    "oneshot", "on_exit", "stop_signal", "stop_exec", "kill_signal",
	    "success_exit", NULL};
	const struct server_keys *defaults =
	    config_at(file->defaults, "server:", 0);
	size_t idle = 0;

	if (!keys->tcp_echo)
		return 0;
	for (const struct config_field *field = server_fields; field->key;
	     field++)
		for (size_t n = 0; names[n]; n++)
			if (!strcmp(names[n], field->key) &&
			    !keys_same_value(field, keys, defaults)) {
				refuse(file, i, field->key,
				    "goes with exec and shell only");
				idle++;
			}
	return idle;
}

const char *childkeys_at_fault(const char **text)
{
	static char key[32];
	size_t size = strcspn(*text, ":. ");

	for (const struct config_field *field = server_fields; field->key;
	     field++) {
		size_t whole = strcspn(*text, ": ");

		if (strlen(field->key) != size ||
		    strncmp(field->key, *text, size) != 0 ||
		    strncmp(*text + whole, ": ", 2) != 0 ||
		    whole >= sizeof(key))
			continue;
		snprintf(key, sizeof(key), "%.*s", (int)whole, *text);
		*text += whole + 2;
		return key;
	}
	return NULL;
}

/* ---- for people ---- */

static void show_text(const char *word, const char *text)
{
	if (text)
		printf("    %-5s %s\n", word, text);
}

void childkeys_show(const struct server_keys *keys)
{
	show_text("user", keys->user);
	show_text("group", keys->group);
	show_text("umask", keys->umask);
	show_text("nice", keys->nice);
	show_text("oom_score_adj", keys->oom_score_adj);
	for (size_t i = 0; keys->limit && keys->limit[i]; i++)
		show_text("limit", keys->limit[i]);
	show_text("stdin", keys->input);
	show_text("env_file", keys->env_file);
	for (size_t i = 0; keys->listen && keys->listen[i]; i++)
		show_text("listen", keys->listen[i]);
}

void childkeys_show_stop(const struct server_keys *keys)
{
	if (keys->success_exit && *keys->success_exit) {
		printf("    ends  well with 0");
		for (size_t i = 0; keys->success_exit[i]; i++) {
			const char *word = keys->success_exit[i];
			int length = (int)strcspn(word, ",");

			if (length != 1 || *word != '0')
				printf(", %.*s", length, word);
		}
		printf("\n");
	}
	printf("    stop  %s", keys->stop_exec
				   ? keys->stop_exec
				   : signal_name(keys_stop_signal(keys)));
}
