/*
 * Configuration: ini text to checked, typed values.
 *
 * A program declares its sections as tables of fields; each field says the
 * key, the type, the range, the default and a line of help, and where in a
 * struct of the program's the value goes. From the same tables come the
 * checks, the errors, the reference text and the sample file.
 *
 *	struct web { const char *listen; int64_t timeout_ms; };
 *	static const struct config_field web_fields[] = {
 *		{.key = "listen", .type = CONFIG_STRING, .required = true,
 *		 .offset = offsetof(struct web, listen),
 *		 .help = "address to listen on"},
 *		{.key = "timeout", .type = CONFIG_DURATION, .fallback = "10s",
 *		 .offset = offsetof(struct web, timeout_ms),
 *		 .help = "time for a request"},
 *		{0}};
 *	static const struct config_section sections[] = {
 *		{.name = "web", .fields = web_fields,
 *		 .size = sizeof(struct web), .help = "the web server"},
 *		{0}};
 *
 * The file's language, in UTF-8 or ASCII:
 *
 * - "[section]" and "key = value" lines ("key: value" is the same). Blanks
 *   around all of these do not count, nor do those at the start of a line:
 *   a value does not go on in the next line. Keys are up to 255 bytes long,
 *   values up to 64 KiB, before and after their variables are put in.
 * - Comments from ";" or "#" at the start of a line, or from ";" after a blank
 *   that is not between quotes. "..." and '...' are quotes if they are closed
 *   on the line; an apostrophe after a letter or digit is none.
 * - ${NAME} in a value is an environment variable, an error if it is not set.
 *   ${NAME:default} has a default, which may have variables itself; so has
 *   ${NAME:-default}, also if the variable is empty, as in sh. $$ is a
 *   dollar sign; so is a $ before anything but $ and {.
 * - A section with N instances (config_section.instances) stands for N, called
 *   NAME-1 to NAME-N, in its place. In its values ${NUMBER}, where NUMBER is
 *   config_section.number, is 1 to N, and ${NUMBER+8080} is 8081 and on; both
 *   go before the environment. An error that all have is said once.
 * - "include = web.ini local-*.ini" in [app] reads further files once the one
 *   it stands in has been read: patterns of glob(7), split and quoted like a
 *   list, relative to the folder of that file. What has no wildcard must be
 *   there; no file is read twice. Any file's [app] may include others, also
 *   where the program declares no [app].
 * - A section stands once in all files together, but for [app], which every
 *   file may go on with. A key stands once in its section. The NAME in
 *   [server:NAME] is 1 to 31 of letters, digits, "_", "." and "-".
 *
 * libinih reads the lines underneath.
 */
#ifndef CRATOS_CONFIG_H
#define CRATOS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cratos/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum config_type {
	CONFIG_STRING, /* const char *, without quotes around all of it */
	CONFIG_INT, /* int64_t, decimal, from min to max */
	CONFIG_BOOL, /* bool: true, yes, on, 1; false, no, off, 0 */
	CONFIG_DURATION, /* int64_t in ms: 250ms, 10s, 1m30s, 2h, 7d; 0 */
	CONFIG_SIZE, /* int64_t in bytes: 512, 64KiB, 64K (the same), 10MB */
	CONFIG_ENUM, /* int: the index in names */
	/* const char *const *: words, NULL-terminated; split and quoted like the
	 * command of exec_options; NULL if the key is not there */
	CONFIG_LIST,
	/* The same: "NAME=value" of each "key.NAME = value", in the order of
	 * the file */
	CONFIG_MAP,
	CONFIG_COMMAND /* const char *: a text that keeps its quotes */
};

struct config_field {
	const char *key;
	enum config_type type;
	size_t offset; /* in the section's struct */
	/* Of numbers. A max of 0 with a min of 0 or more: no maximum. */
	int64_t min, max;
	const char *const *names; /* of CONFIG_ENUM, NULL-terminated */
	/* The default, as text without variables; NULL, or a map: zero. One
	 * that the field itself would refuse is a programmer error. */
	const char *fallback;
	bool required; /* to be there, and not empty */
	/* What it is called elsewhere, with blanks between: who writes that is
	 * told this one. NULL: nothing. */
	const char *others;
	const char *help; /* one line */
	const char *example; /* for the sample, if there is no fallback */
	bool shown; /* there as it is, not behind a ';' */
};

struct config_section {
	/* "app", or "server:" for any number of [server:NAME]. */
	const char *name;
	const struct config_field *fields; /* ends with a NULL key */
	size_t size; /* of the struct */
	bool required;
	const char *help;
	/*
	 * Of a "server:": the key, a CONFIG_INT from 1 on, that makes one section
	 * stand for so many, and the variable that is each one's number in its
	 * values; NULL: none.
	 */
	const char *instances, *number;
	/* As of a field: what it might be called elsewhere, or NULL. */
	const char *others;
};

/*
 * What is wrong, and where. line is 0 for a file that cannot be read; what is
 * missing is said of the section's line, or of the last one if a section is.
 * Control characters in section, key and text are escaped.
 */
struct config_error {
	const char *file;
	int line;
	const char *section, *key; /* "" if it is of none */
	const char *text; /* what is wrong, and what would be right */
};

struct config;

/*
 * Reads path and checks it against sections (ends with a NULL name; borrowed
 * until config_free). Blocks on files. Returns 0, or -EINVAL if anything in
 * the file is wrong, or what kept it from being read (-ENOENT, -EACCES,
 * -EISDIR, -EFBIG over 64 MiB, -EINVAL for a pipe or a device, -ENOMEM, ...);
 * *config is set in every case but -ENOMEM, when it is NULL, and has all errors
 * of the file, not only the first. error_of() has the words of the first, as
 * "FILE:LINE: ...". From any thread, as long as none calls setenv(3).
 */
int config_load(const char *path, const struct config_section *sections,
    struct config **config);

/* The same for text in memory, which errors call by name; what it includes is
 * relative to the folder in name. text is needed during the call only. */
int config_parse(const char *name, const char *text, size_t size,
    const struct config_section *sections, struct config **config);

/*
 * Frees *config with all that it handed out, and sets it to NULL. Accepts the
 * address of NULL.
 */
void config_free(struct config **config);

/*
 * What is wrong, in order of files and lines; *count is 0 if nothing is. After
 * the first 100, one more says how many others there are. Holds until
 * config_refuse or config_free.
 */
const struct config_error *config_errors(const struct config *config,
    size_t *count);

/*
 * Writes "FILE:LINE: [section] key: text" (what there is of it) to text, as
 * snprintf(3) does, and returns what that returns.
 */
int config_error_format(const struct config_error *error, char *text,
    size_t size);

/*
 * The struct of section "app", filled in; of a section that the file does not
 * have, with the defaults. NULL if no such section was declared.
 */
const void *config_get(const struct config *config, const char *section);

/*
 * The sections [server:NAME] for "server:", in the order of the file: how
 * many, the NAME of the i-th, its struct, and the file and line (may be NULL)
 * where it begins.
 */
size_t config_count(const struct config *config, const char *section);
const char *config_name(const struct config *config, const char *section,
    size_t i);
const void *config_at(const struct config *config, const char *section,
    size_t i);
const char *config_where(const struct config *config, const char *section,
    size_t i, int *line);

/*
 * The NAME in the file of the i-th section, which is config_name but for an
 * instance; *number is which one it is, from 1 on, or 0 for a section without
 * instances.
 */
const char *config_instance(const struct config *config, const char *section,
    size_t i, int64_t *number);

/* Whether the file has that key in the i-th section of that name. */
bool config_has(const struct config *config, const char *section, size_t i,
    const char *key);

/*
 * An error of the program's own about a key (key may be NULL) of the i-th
 * section of that name (0 for one without a NAME): added to config_errors with
 * the file and line where the key stands, or else its section, or else the
 * last line of the file. Returns -EINVAL, or -ENOMEM; error_of() has the words
 * of the first error of all. Not while another thread uses config.
 */
int config_refuse(struct config *config, const char *section, size_t i,
    const char *key, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 5, 6)))
#endif
    ;

/* The reference of all keys, as plain text for people. */
void config_reference(const struct config_section *sections, FILE *out);

/*
 * A sample file with every key at its default, behind a ';', with help. What
 * is required stands there as it is, so that the sample is a valid file.
 */
void config_sample(const struct config_section *sections, FILE *out);

#ifdef __cplusplus
}
#endif

#endif
