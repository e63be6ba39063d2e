/*
 * Configuration: some ten thousand variants of files, most of them bad. Each
 * is either accepted or refused with file and line; what must be wrong is
 * refused at its very line; what must not change anything does not.
 *
 * The variants are the same in each run. CONFIG_FUZZ_SEED=n gives others.
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cratos/config.h>

#include "tests/fuzz/config_seeds.h"

enum {
	MUTANTS = 12000,
	BAD_LINES = 3000,
	HARMLESS = 1000,
	MAX_BYTES = 8192,
};

/* ---- the program that is configured -------------------------------------- */

static const char *const color_names[] = {
    "red",
    "blue",
    NULL,
};

struct all {
	const char *name, *exec;
	int64_t port, workers, timeout_ms, buffer_bytes;
	bool verbose;
	int color;
	const char *const *after, *const *env;
};

#define FIELD(name, kind, member, ...)                              \
	{                                                           \
		.key = name, .type = kind,                          \
		.offset = offsetof(struct all, member), __VA_ARGS__ \
	}

static const struct config_field app_fields[] = {
    FIELD("name", CONFIG_STRING, name, .fallback = "x"),
    FIELD("port", CONFIG_INT, port, .min = 1, .max = 65535),
    {0},
};
static const struct config_field server_fields[] = {
    FIELD("exec", CONFIG_COMMAND, exec, .required = true),
    FIELD("workers", CONFIG_INT, workers, .min = 1, .max = 64),
    FIELD("timeout", CONFIG_DURATION, timeout_ms, .max = 3723004),
    FIELD("buffer", CONFIG_SIZE, buffer_bytes, .fallback = "1K"),
    FIELD("verbose", CONFIG_BOOL, verbose, .fallback = "on"),
    FIELD("color", CONFIG_ENUM, color, .names = color_names),
    FIELD("after", CONFIG_LIST, after, .fallback = "a b"),
    FIELD("env", CONFIG_MAP, env, .required = false),
    {0},
};
static const struct config_section sections[] = {
    {.name = "app", .fields = app_fields, .size = sizeof(struct all)},
    {.name = "server:",
	.fields = server_fields,
	.size = sizeof(struct all),
	.instances = "workers",
	.number = "NUMBER"},
    {0},
};

/* ---- common -------------------------------------------------------------- */

static uint64_t state;

static uint64_t draw(uint64_t below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * UINT64_C(2685821657736338717) >> 33) % below;
}

struct text {
	char bytes[MAX_BYTES + 1];
	size_t size;
};

/* Replaces drop bytes at a place; what does not fit is left as it is. */
static void splice(struct text *text, size_t at, size_t drop, const char *bytes,
    size_t size)
{
	if (text->size - drop + size > MAX_BYTES)
		return;
	memmove(text->bytes + at + size, text->bytes + at + drop,
	    text->size - at - drop);
	memcpy(text->bytes + at, bytes, size);
	text->size = text->size - drop + size;
	text->bytes[text->size] = '\0';
}

static struct text text_of(const char *string)
{
	struct text text = {
	    .size = 0,
	};

	splice(&text, 0, 0, string, strlen(string));
	return text;
}

static const char *any_seed(void)
{
	return config_seeds[draw(CONFIG_COUNT(config_seeds))];
}

static bool is_printable(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	}
	return true;
}

static int count_lines(const struct text *text)
{
	int n = 1;

	for (size_t i = 0; i < text->size; i++)
		n += text->bytes[i] == '\n';
	return n;
}

static void write_list(FILE *out, const char *name, const char *const *list)
{
	for (; list && *list; list++)
		fprintf(out, " %s=<%s>", name, *list);
}

/* All that the program gets to see. */
static char *dump(const struct config *config)
{
	const struct all *app = config_get(config, "app");
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(out);
	fprintf(out, "%s %" PRId64 "\n", app->name, app->port);
	for (size_t i = 0; i < config_count(config, "server:"); i++) {
		const struct all *server = config_at(config, "server:", i);
		int line;
		config_where(config, "server:", i, &line);
		fprintf(out,
		    "%s:%d <%s> %" PRId64 " %" PRId64 " %" PRId64 " %d %d",
		    config_name(config, "server:", i), line,
		    server->exec ? server->exec : "", server->workers,
		    server->timeout_ms, server->buffer_bytes, server->verbose,
		    server->color);
		write_list(out, "after", server->after);
		write_list(out, "env", server->env);
		fputc('\n', out);
	}
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

/* Asserts what holds for the errors of any file. */
static void check_errors(const struct config *config, int rc,
    const struct text *text)
{
	size_t count;
	const struct config_error *errors = config_errors(config, &count);
	int lines = count_lines(text), last = 0;
	char place[32], line[2048];

	ck_assert_int_eq(rc, count ? -EINVAL : 0);
	ck_assert_uint_le(count, 101);
	for (size_t i = 0; i < count; i++) {
		const struct config_error *error = &errors[i];
		ck_assert_int_ge(error->line, 1);
		ck_assert_int_le(error->line, lines);
		ck_assert_int_ge(error->line, last);
		last = error->line;
		ck_assert(error->text[0] && is_printable(error->text));
		ck_assert(is_printable(error->section));
		ck_assert(is_printable(error->key));
		config_error_format(error, line, sizeof(line));
		snprintf(place, sizeof(place), "f.ini:%d: ", error->line);
		ck_assert(!strncmp(line, place, strlen(place)));
	}
}

static struct config *parse(const struct text *text, int *rc)
{
	/* In an allocation of its own size, so that a byte too far is seen. */
	char *copy = malloc(text->size ? text->size : 1);
	struct config *config;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text->bytes, text->size);
	*rc = config_parse("f.ini", copy, text->size, sections, &config);
	free(copy);
	ck_assert_ptr_nonnull(config);
	check_errors(config, *rc, text);
	return config;
}

/* The text with so many blanks behind each '=' that libinih would cut the line,
 * which must not change anything. */
static struct text lengthened(const struct text *text)
{
	struct text longer = *text;
	char blanks[200];

	memset(blanks, ' ', sizeof(blanks));
	/* Backwards, line by line. */
	for (size_t at = longer.size + 1; at-- > 0;) {
		if (at > 0 && longer.bytes[at - 1] != '\n')
			continue;
		bool mark = !at && !strncmp(longer.bytes, "\xef\xbb\xbf", 3);
		size_t first = at + (mark ? 3 : 0);
		first += strspn(longer.bytes + first, " \t");
		size_t sign = first + strcspn(longer.bytes + first, "=:\n");
		/* Behind a blank, a ';' would begin a comment. */
		if (!strchr(";#[", longer.bytes[first]) &&
		    strchr("=:", longer.bytes[sign]) && longer.bytes[sign] &&
		    longer.bytes[sign + 1] != ';')
			splice(&longer, sign + 1, 0, blanks, sizeof(blanks));
	}
	return longer;
}

/* ---- tests --------------------------------------------------------------- */

static char folder[] = "/tmp/config-fuzz-XXXXXX";

static void setup(void)
{
	const char *seed = getenv("CONFIG_FUZZ_SEED");

	state = UINT64_C(0x9e3779b97f4a7c15);
	if (seed)
		state ^= strtoull(seed, NULL, 10) * 2 + 2;
	unsetenv("NO_SUCH_VARIABLE");
	/* Some variants include what is near. */
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chdir(folder), 0);
}

static void teardown(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}

static void mutate(struct text *text)
{
	size_t at = draw(text->size + 1), n = draw(24);
	char byte = (char)draw(256);
	const char *token, *seed = any_seed();

	if (n > text->size - at)
		n = text->size - at;
	switch (draw(6)) {
	case 0:
		splice(text, at, n > 0, &byte, 1);
		break;
	case 1:
		splice(text, at, n, "", 0);
		break;
	case 2:
	case 3:
		token = config_tokens[draw(CONFIG_COUNT(config_tokens))];
		splice(text, at, n < 4 ? n : 0, token, strlen(token));
		break;
	case 4:
		splice(text, at, 0, seed, strlen(seed));
		break;
	case 5: {
		struct text copy = *text;
		splice(text, draw(text->size + 1), 0, copy.bytes + at, n);
		break;
	}
	}
}

START_TEST(mutants_are_accepted_or_refused_with_file_and_line)
{
	int accepted = 0, rc;

	for (int i = 0; i < MUTANTS; i++) {
		struct text text = text_of(any_seed());
		for (uint64_t n = 1 + draw(4); n > 0; n--)
			mutate(&text);
		struct config *config = parse(&text, &rc);
		if (!rc) {
			struct text longer = lengthened(&text);
			accepted++;
			struct config *other = parse(&longer, &rc);
			char *a = dump(config), *b = dump(other);
			ck_assert_int_eq(rc, 0);
			ck_assert_str_eq(a, b);
			free(a);
			free(b);
			config_free(&other);
		}
		config_free(&config);
	}
	/* Or else there is not much of a test in it. */
	ck_assert_int_gt(accepted, MUTANTS / 50);
	ck_assert_int_lt(accepted, MUTANTS / 2);
}
END_TEST

START_TEST(every_beginning_of_a_file_is_accepted_or_refused)
{
	int rc;

	for (size_t i = 0; i < CONFIG_COUNT(config_seeds); i++) {
		struct text text = text_of(config_seeds[i]);
		for (;; text.size--) {
			struct config *config = parse(&text, &rc);
			if (text.size == strlen(config_seeds[i]))
				ck_assert_msg(!rc, "%s", error_of(rc).text);
			config_free(&config);
			if (!text.size)
				break;
		}
	}
}
END_TEST

/* The place behind a line of text, and how many lines are before it. */
static size_t any_line(const struct text *text, int *before)
{
	size_t at = draw(text->size + 1);

	while (at > 0 && text->bytes[at - 1] != '\n')
		at--;
	*before = 0;
	for (size_t i = 0; i < at; i++)
		*before += text->bytes[i] == '\n';
	return at;
}

START_TEST(a_bad_line_is_refused_at_its_very_line)
{
	int rc, before;

	for (size_t i = 0; i < BAD_LINES; i++) {
		struct config_bad_line bad =
		    config_bad_lines[i % CONFIG_COUNT(config_bad_lines)];
		struct text text = text_of(any_seed());
		size_t at = any_line(&text, &before);
		splice(&text, at, 0, "\n", 1);
		splice(&text, at, 0, bad.line, strlen(bad.line));
		int line = before + 1;
		for (const char *p = bad.line; *p; p++)
			line += *p == '\n';
		/* What follows [server:new] would be a part of it, but for a
		 * line that gives it its exec. */
		if (!strncmp(bad.line, "[server:new]", 12))
			splice(&text, at + strlen(bad.line) + 1, 0,
			    "[server:after]\nexec=x\n", 22);
		struct config *config = parse(&text, &rc);
		size_t count;
		const struct config_error *errors =
		    config_errors(config, &count);
		bool found = false;
		for (size_t j = 0; j < count; j++)
			found = found || (errors[j].line == line &&
					     strstr(errors[j].text, bad.words));
		ck_assert_msg(found, "no '%s' at line %d, but %s, in:\n%s",
		    bad.words, line, rc ? error_of(rc).text : "nothing",
		    text.bytes);
		config_free(&config);
	}
}
END_TEST

START_TEST(harmless_lines_change_nothing)
{
	static const char *const lines[] = {
	    "\n",
	    " \t\n",
	    "; [x\n",
	    "# x = y\n",
	    "  ; ${\n",
	    "\r\n",
	    ";\xff\x01\n",
	};
	int rc, before;

	for (int i = 0; i < HARMLESS; i++) {
		struct text text = text_of(any_seed());
		struct config *config = parse(&text, &rc);
		ck_assert_msg(!rc, "%s", error_of(rc).text);
		/* At the end, so that sections stay where they are. */
		for (uint64_t n = draw(4); n > 0; n--) {
			const char *line = lines[draw(CONFIG_COUNT(lines))];
			splice(&text, text.size, 0, line, strlen(line));
		}
		struct config *other = parse(&text, &rc);
		char *a = dump(config), *b = dump(other);
		ck_assert_msg(!rc, "%s", error_of(rc).text);
		ck_assert_str_eq(a, b);
		free(a);
		free(b);
		config_free(&other);
		config_free(&config);
		/* Anywhere else, they only move what follows. */
		const char *line = lines[draw(CONFIG_COUNT(lines))];
		size_t at = any_line(&text, &before);
		if (at || strncmp(text.bytes, "\xef\xbb\xbf", 3))
			splice(&text, at, 0, line, strlen(line));
		config = parse(&text, &rc);
		ck_assert_msg(!rc, "%s", error_of(rc).text);
		config_free(&config);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config variants");
	TCase *tc = tcase_create("variants");

	tcase_add_checked_fixture(tc, setup, teardown);
	/* It takes a second; valgrind takes a minute. */
	tcase_set_timeout(tc, 600);
	tcase_add_test(tc, mutants_are_accepted_or_refused_with_file_and_line);
	tcase_add_test(tc, every_beginning_of_a_file_is_accepted_or_refused);
	tcase_add_test(tc, a_bad_line_is_refused_at_its_very_line);
	tcase_add_test(tc, harmless_lines_change_nothing);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
