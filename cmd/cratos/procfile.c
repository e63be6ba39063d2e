/*
 * A Procfile, told as an ini file.
 *
 * Each process becomes a section [server:NAME]. A line that is none becomes a
 * section as well, of a name that no process can have, and what is wrong is
 * said of that section: so all errors are in one config, in the order of the
 * lines, and a section's name tells the line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cratos/procfile.h"
#include "config/source.h"
#include "server/envfile.h"

enum {
	NAME_MAX_BYTES = 31, /* of the NAME in [server:NAME] */
	PORT_FIRST = 5000,
	PORT_STEP = 100,
	PORT_MAX = 65535,
	PROCESSES_MAX = PORT_MAX / PORT_STEP + 2 /* with one that has no port */
};

struct process {
	int line;
	char name[NAME_MAX_BYTES + 1];
	const char *command; /* in the file's text */
	char wrong[160]; /* what is wrong with the line, or "" */
};

/* What a file is read with. */
struct reader {
	struct procfile *file;
	const char *path;
	size_t folder; /* how much of path is its folder, with the '/' */
	bool has_env;
	int port; /* of the first process */
	char wrong[600]; /* with no line in particular; or "" */
};

bool procfile_is(const char *path)
{
	static const char name[] = "Procfile", ini[] = ".ini";
	const char *slash = strrchr(path, '/'),
		   *base = slash ? slash + 1 : path;

	if (strncmp(base, name, strlen(name)) != 0)
		return false;
	base += strlen(name);
	return !*base ||
	       (*base == '.' && strcmp(path + strlen(path) - strlen(ini), ini));
}

/* ---- the port ---- */

/* What is no port is wrong, and PORT_FIRST. */
static int parse_port(struct reader *reader, const char *text,
    const char *where)
{
	char *end;
	long port = strtol(text, &end, 10);

	if (*text >= '0' && *text <= '9' && !*end && port >= 1 &&
	    port <= PORT_MAX)
		return (int)port;
	snprintf(reader->wrong, sizeof(reader->wrong),
	    "PORT is '%.64s' in %s; write a number from 1 to %d", text, where,
	    PORT_MAX);
	return PORT_FIRST;
}

/* From the .env, else from the environment, else the usual one. */
static int find_port(struct reader *reader)
{
	static const char key[] = "PORT=", prefix[] = "env_file: ";
	const char *port = getenv("PORT"), *where = "the environment";
	struct envfile env;
	char path[4096];
	int ret;

	snprintf(path, sizeof(path), "%.*s.env", (int)reader->folder,
	    reader->path);
	ret = envfile_read(AT_FDCWD, path, &env);
	reader->has_env = !ret;
	for (size_t i = 0; !ret && env.entries[i]; i++)
		if (!strncmp(env.entries[i], key, strlen(key))) {
			port = env.entries[i] + strlen(key);
			where = ".env";
		}
	if (ret && ret != -ENOENT)
		snprintf(reader->wrong, sizeof(reader->wrong), "%s",
		    error_of(ret).text + strlen(prefix));
	ret = port ? parse_port(reader, port, where) : PORT_FIRST;
	envfile_fini(&env);
	return ret;
}

static int port_of(const struct reader *reader, size_t i)
{
	return reader->port + PORT_STEP * (int)i;
}

/* ---- lines ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static const struct process *find(const struct procfile *file, size_t count,
    const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(file->processes[i].name, name))
			return &file->processes[i];
	return NULL;
}

/* Takes a process from its line. What is wrong with it is in wrong. */
static void take_process(const struct reader *reader, struct process *process,
    const char *line, bool has_nul)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	size_t i = reader->file->count, size = strspn(line, letters);
	const struct process *first;
	char *wrong = process->wrong;

	process->command = line + size + (line[size] == ':');
	while (is_blank(*process->command))
		process->command++;
	snprintf(process->name, sizeof(process->name), "%.*s", (int)size, line);
	first = find(reader->file, i, process->name);
	if (has_nul)
		snprintf(wrong, sizeof(process->wrong),
		    "a NUL byte in the line; this is not a text");
	else if (!size || line[size] != ':')
		snprintf(wrong, sizeof(process->wrong),
		    "no process; write NAME: COMMAND from the start of the "
		    "line, with letters, digits, _ and - in NAME");
	else if (size > NAME_MAX_BYTES)
		snprintf(wrong, sizeof(process->wrong),
		    "the name has %zu characters; %d are possible", size,
		    NAME_MAX_BYTES);
	else if (!*process->command)
		snprintf(wrong, sizeof(process->wrong),
		    "no command after %s:; write NAME: COMMAND", process->name);
	else if (first)
		snprintf(wrong, sizeof(process->wrong),
		    "%s is there twice; the first one is in line %d",
		    process->name, first->line);
	else if (port_of(reader, i) > PORT_MAX)
		snprintf(wrong, sizeof(process->wrong),
		    "no port is left for %s: the first is %d, each has %d "
		    "more, and %d is the last",
		    process->name, reader->port, PORT_STEP, PORT_MAX);
}

/* The end of the line without the blanks there, but for one that a backslash
 * keeps. */
static char *trim(const char *line, char *end)
{
	while (end > line && (is_blank(end[-1]) || end[-1] == '\r'))
		end--;
	return end > line && end[-1] == '\\' && is_blank(*end) ? end + 1 : end;
}

/* Whether there may be more. */
static bool take_line(const struct reader *reader, char *line, char *end,
    int number)
{
	struct procfile *file = reader->file;
	struct process *process = &file->processes[file->count];
	const char *text = line;

	end = trim(line, end);
	*end = '\0';
	while (is_blank(*text))
		text++;
	if (*text == '#' || text == end)
		return true;
	process->line = number;
	take_process(reader, process, line,
	    strlen(line) < (size_t)(end - line));
	if (*process->wrong)
		snprintf(process->name, sizeof(process->name), "line.%d",
		    number);
	file->count++;
	return file->count < PROCESSES_MAX &&
	       port_of(reader, file->count - 1) <= PORT_MAX;
}

static void take_lines(struct reader *reader, size_t size)
{
	char *line = reader->file->text, *end = line + size, *stop;

	for (int number = 1; line < end; number++) {
		stop = memchr(line, '\n', (size_t)(end - line));
		stop = stop ? stop : end;
		if (!take_line(reader, line, stop, number))
			return;
		line = stop + 1;
	}
	if (!reader->file->count && !*reader->wrong)
		snprintf(reader->wrong, sizeof(reader->wrong),
		    "no process to run; write NAME: COMMAND");
}

/* What keeps it from being read is wrong as well; -ENOMEM is all that fails. */
static int read_file(struct reader *reader)
{
	struct procfile *file = reader->file;
	struct source_text text;
	int ret = source_read(reader->path, &text);

	if (ret == -ENOMEM)
		return ret;
	if (ret) {
		snprintf(reader->wrong, sizeof(reader->wrong),
		    "cannot be read: %s", source_error(ret));
		return 0;
	}
	file->processes = calloc(PROCESSES_MAX, sizeof(*file->processes));
	file->text = realloc(text.text, text.size + 1);
	if (!file->text)
		free(text.text);
	if (!file->text || !file->processes)
		return -ENOMEM;
	file->text[text.size] = '\0';
	reader->port = find_port(reader);
	take_lines(reader, text.size);
	return 0;
}

/* ---- the ini file ---- */

/* A dollar sign is two. */
static void write_character(FILE *out, char c)
{
	if (c == '$')
		fputc(c, out);
	fputc(c, out);
}

/* With quotes around it that keep all of it. */
static void write_quoted(FILE *out, const char *text, size_t size)
{
	fputc('"', out);
	for (; size; text++, size--) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		write_character(out, *text);
	}
	fputc('"', out);
}

/* Whether it would lose its end: what looks like a comment, or a blank. */
static bool needs_quotes(const char *command)
{
	for (const char *p = command; *p; p++)
		if ((*p == ';' && (p == command || is_blank(p[-1]))) ||
		    (is_blank(*p) && !p[1]))
			return true;
	return false;
}

/* As the key shell does not take quotes away, exec has the shell run what
 * needs them. */
static void write_command(FILE *out, const char *command)
{
	if (needs_quotes(command)) {
		fputs("exec = /bin/sh -c ", out);
		write_quoted(out, command, strlen(command));
	} else {
		fputs("shell = ", out);
		for (; *command; command++)
			write_character(out, *command);
	}
	fputc('\n', out);
}

static void write_process(FILE *out, const struct reader *reader, size_t i)
{
	const struct process *process = &reader->file->processes[i];
	size_t folder = reader->folder;

	fprintf(out, "%s[server:%s]\n", i ? "\n" : "", process->name);
	write_command(out, *process->wrong ? ":" : process->command);
	if (folder) {
		fputs("dir = ", out);
		write_quoted(out, reader->path, folder > 1 ? folder - 1 : 1);
		fputc('\n', out);
	}
	if (reader->has_env)
		fputs("env_file = .env\n", out);
	fprintf(out, "env.PORT = %d\non_exit = stop\n", port_of(reader, i));
}

static int write_ini(const struct reader *reader)
{
	struct procfile *file = reader->file;
	FILE *out = open_memstream(&file->ini, &file->ini_size);
	bool failed;

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < file->count; i++)
		write_process(out, reader, i);
	failed = ferror(out);
	return fclose(out) || failed ? -ENOMEM : 0;
}

/* ---- from the outside ---- */

void procfile_load(struct procfile *file, const char *path,
    const struct config_section *sections, struct config **config)
{
	const char *slash = strrchr(path, '/');
	struct reader reader = {.file = file,
	    .path = path,
	    .folder = slash ? (size_t)(slash - path) + 1 : 0,
	    .port = PORT_FIRST};

	*file = (struct procfile){0};
	*config = NULL;
	if (read_file(&reader) || write_ini(&reader))
		return;
	config_parse(path, file->ini, file->ini_size, sections, config);
	if (!*config)
		return;
	if (*reader.wrong)
		config_refuse(*config, "app", 0, NULL, "%s", reader.wrong);
	for (size_t i = 0; i < file->count; i++)
		if (*file->processes[i].wrong)
			config_refuse(*config, "server:", i, NULL, "%s",
			    file->processes[i].wrong);
}

void procfile_fini(struct procfile *file)
{
	free(file->ini);
	free(file->text);
	free(file->processes);
	*file = (struct procfile){0};
}

struct config_error procfile_error(const struct procfile *file,
    const struct config_error *error)
{
	static const char server[] = "server:";
	struct config_error own = {.file = error->file,
	    .section = "",
	    .key = "",
	    .text = error->text};
	const struct process *process;

	if (strncmp(error->section, server, strlen(server)) != 0)
		return own;
	process = find(file, file->count, error->section + strlen(server));
	if (!process)
		return own;
	own.line = process->line;
	if (!*process->wrong)
		own.key = process->name;
	return own;
}
