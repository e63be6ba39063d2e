/* Configuration: what is read from an ini file, and what is said of a bad one. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cratos/config.h>

enum color { RED, GREEN, DARK_BLUE };
static const char *const color_names[] = {"red", "green", "dark-blue", NULL};

struct app {
	const char *name;
	int64_t port;
};

struct server {
	const char *exec, *dir;
	int64_t workers, any, below;
	bool verbose;
	int64_t timeout_ms, delay_ms;
	int64_t buffer_bytes;
	int color;
	const char *const *after;
	const char *const *env;
	const char *note;
};

#define FIELD(in, member, name, kind, ...)                         \
	{                                                          \
		.key = name, .type = kind,                         \
		.offset = offsetof(struct in, member), __VA_ARGS__ \
	}

static const struct config_field app_fields[] = {
    FIELD(app, name, "name", CONFIG_STRING, .fallback = "an $app ; it's",
	.help = "what it is called"),
    FIELD(app, port, "port", CONFIG_INT, .min = 1, .max = 65535,
	.fallback = "8080", .help = "the port"),
    {0},
};

static const struct config_field server_fields[] = {
    FIELD(server, exec, "exec", CONFIG_COMMAND, .required = true,
	.example = "sleep 10", .help = "the command"),
    FIELD(server, dir, "dir", CONFIG_STRING, .help = NULL),
    FIELD(server, workers, "workers", CONFIG_INT, .min = 1, .max = 64,
	.fallback = "4", .others = "threads num_procs", .help = "how many"),
    FIELD(server, any, "any", CONFIG_INT, .min = INT64_MIN, .max = INT64_MAX),
    FIELD(server, below, "below", CONFIG_INT, .min = -5),
    FIELD(server, verbose, "verbose", CONFIG_BOOL, .help = NULL),
    FIELD(server, timeout_ms, "timeout", CONFIG_DURATION, .min = 1,
	.max = 3600000, .fallback = "10s"),
    FIELD(server, delay_ms, "delay", CONFIG_DURATION, .help = NULL),
    FIELD(server, buffer_bytes, "buffer", CONFIG_SIZE, .fallback = "64KiB"),
    FIELD(server, color, "color", CONFIG_ENUM, .names = color_names,
	.fallback = "green"),
    FIELD(server, after, "after", CONFIG_LIST, .help = NULL),
    FIELD(server, env, "env", CONFIG_MAP, .others = "environment"),
    FIELD(server, note, "note", CONFIG_STRING, .fallback = " \"kept\" "),
    {0},
};

static const struct config_section sections[] = {
    {.name = "app",
	.fields = app_fields,
	.size = sizeof(struct app),
	.help = "the app"},
    {.name = "server:",
	.fields = server_fields,
	.size = sizeof(struct server),
	.others = "program service",
	.help = "a server"},
    {0},
};

/* ---- common -------------------------------------------------------------- */

static char folder[64];
static int fds_before;

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%.40s/config-XXXXXX",
	    tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	fds_before = count_fds();
}

static int remove_one(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void teardown(void)
{
	ck_assert_int_eq(count_fds(), fds_before);
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The path of a file in the test's folder; a few may be in use at once. */
static const char *path_of(const char *name)
{
	static char paths[8][256];
	static int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static const char *write_file(const char *name, const char *text)
{
	const char *path = path_of(name);
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	ck_assert_int_eq(fclose(file), 0);
	return path;
}

static struct config *parse_bytes(const char *text, size_t size, int rc)
{
	struct config *config;
	size_t count;

	ck_assert_int_eq(config_parse("test.ini", text, size, sections,
			     &config),
	    rc);
	ck_assert_ptr_nonnull(config);
	config_errors(config, &count);
	ck_assert_msg(!count == !rc, "%zu errors with %d", count, rc);
	return config;
}

static struct config *parse(const char *text)
{
	struct config *config;
	int rc =
	    config_parse("test.ini", text, strlen(text), sections, &config);

	ck_assert_msg(!rc, "%s\n%s", error_of(rc).text, text);
	return config;
}

static struct config *load(const char *path, int expected)
{
	struct config *config;
	int rc = config_load(path, sections, &config);

	ck_assert_msg(rc == expected, "%d: %s", rc, error_of(rc).text);
	ck_assert_ptr_nonnull(config);
	return config;
}

/* The first server of a text. */
static const struct server *first(const struct config *config)
{
	const struct server *server = config_at(config, "server:", 0);

	ck_assert_ptr_nonnull(server);
	return server;
}

/* Asserts that the i-th error begins with a place and has some words. */
static void assert_error(const struct config *config, size_t i,
    const char *place, const char *words)
{
	char text[1500];
	size_t count;
	const struct config_error *errors = config_errors(config, &count);

	ck_assert_msg(i < count, "no error %zu: %s: %s", i, place, words);
	config_error_format(&errors[i], text, sizeof(text));
	ck_assert_msg(!strncmp(text, place, strlen(place)) &&
			  strstr(text, words),
	    "'%s' is not '%s' with '%s'", text, place, words);
}

static void assert_count(const struct config *config, size_t expected)
{
	char text[1500] = "";
	size_t count;
	const struct config_error *errors = config_errors(config, &count);

	if (count)
		config_error_format(&errors[count - 1], text, sizeof(text));
	ck_assert_msg(count == expected, "%zu errors, last: %s", count, text);
}

/* Asserts that text has one error, at that place, with those words. */
static void refused(const char *text, const char *place, const char *words)
{
	struct config *config = parse_bytes(text, strlen(text), -EINVAL);

	assert_error(config, 0, place, words);
	assert_count(config, 1);
	config_free(&config);
}

/* The same for one line of a server. */
static void refused_key(const char *line, const char *words)
{
	char text[1024];

	snprintf(text, sizeof(text), "[server:a]\nexec=x\n%s\n", line);
	refused(text, "test.ini:3: [server:a] ", words);
}

/* ---- values -------------------------------------------------------------- */

START_TEST(every_type_is_read)
{
	struct config *config = parse("[app]\n"
				      "name = web\n"
				      "port = 80\n"
				      "[server:one]\n"
				      "exec = sh -c \"a ; b\" 'c' ; comment\n"
				      "workers = 64\n"
				      "any = -7\n"
				      "verbose = yes\n"
				      "timeout = 1m30s\n"
				      "buffer = 10MB\n"
				      "color = dark-blue\n"
				      "after = a b\n"
				      "env.A = 1\n");
	const struct app *app = config_get(config, "app");
	const struct server *server = first(config);

	ck_assert_str_eq(app->name, "web");
	ck_assert_int_eq(app->port, 80);
	ck_assert_str_eq(server->exec, "sh -c \"a ; b\" 'c'");
	ck_assert_int_eq(server->workers, 64);
	ck_assert_int_eq(server->any, -7);
	ck_assert(server->verbose);
	ck_assert_int_eq(server->timeout_ms, 90000);
	ck_assert_int_eq(server->buffer_bytes, 10000000);
	ck_assert_int_eq(server->color, DARK_BLUE);
	ck_assert_str_eq(server->after[0], "a");
	ck_assert_str_eq(server->after[1], "b");
	ck_assert_ptr_null(server->after[2]);
	ck_assert_str_eq(server->env[0], "A=1");
	ck_assert_ptr_null(server->env[1]);
	config_free(&config);
	ck_assert_ptr_null(config);
	config_free(&config);
}
END_TEST

START_TEST(a_missing_key_has_its_default)
{
	struct config *config = parse("[server:one]\nexec = x\n");
	const struct server *server = first(config);

	ck_assert_int_eq(server->workers, 4);
	ck_assert_int_eq(server->timeout_ms, 10000);
	ck_assert_int_eq(server->delay_ms, 0);
	ck_assert_int_eq(server->buffer_bytes, 65536);
	ck_assert_int_eq(server->color, GREEN);
	ck_assert_str_eq(server->note, " \"kept\" ");
	ck_assert_ptr_null(server->dir);
	ck_assert_ptr_null(server->after);
	ck_assert_ptr_null(server->env);
	ck_assert(!server->verbose);
	config_free(&config);
}
END_TEST

START_TEST(a_missing_section_has_its_defaults)
{
	struct config *config = parse("");
	const struct app *app = config_get(config, "app");

	ck_assert_str_eq(app->name, "an $app ; it's");
	ck_assert_int_eq(app->port, 8080);
	ck_assert_uint_eq(config_count(config, "server:"), 0);
	ck_assert_ptr_null(config_at(config, "server:", 0));
	ck_assert_ptr_null(config_get(config, "server:"));
	ck_assert_ptr_null(config_get(config, "other"));
	ck_assert_uint_eq(config_count(config, "other"), 0);
	config_free(&config);
}
END_TEST

/* The value of a key of [server:a], or INT64_MIN if it is refused. */
static int64_t number(const char *key, const char *value)
{
	char text[256];
	struct config *config;

	snprintf(text, sizeof(text), "[server:a]\nexec=x\n%s = %s\n", key,
	    value);
	int rc =
	    config_parse("test.ini", text, strlen(text), sections, &config);
	const struct server *server = first(config);
	int64_t n = !strcmp(key, "delay") ? server->delay_ms
		    : !strcmp(key, "any") ? server->any
					  : server->buffer_bytes;
	if (rc)
		assert_error(config, 0, "test.ini:3: [server:a] ", "");
	config_free(&config);
	return rc ? INT64_MIN : n;
}

struct number {
	const char *text;
	int64_t n;
};

static void assert_numbers(const char *key, const struct number *numbers)
{
	for (; numbers->text; numbers++) {
		int64_t n = number(key, numbers->text);
		ck_assert_msg(n == numbers->n,
		    "%s = %s: %" PRId64 " instead of %" PRId64, key,
		    numbers->text, n, numbers->n);
	}
}

START_TEST(durations_have_units_that_descend)
{
	static const struct number numbers[] = {
	    {"0", 0},
	    {"250ms", 250},
	    {"10s", 10000},
	    {"1m30s", 90000},
	    {"2h", 7200000},
	    {"7d", 604800000},
	    {"1d2h3m4s5ms", 93784005},
	    {"0s", 0},
	    {"90m", 5400000},
	    {"1M", INT64_MIN},
	    {"9223372036854775807ms", INT64_MAX},
	    {"9223372036854775808ms", INT64_MIN},
	    {"106751991168d", INT64_MIN},
	    {"1s9223372036854775807ms", INT64_MIN},
	    {"10", INT64_MIN},
	    {"1", INT64_MIN},
	    {"s", INT64_MIN},
	    {"10x", INT64_MIN},
	    {"30s1m", INT64_MIN},
	    {"1s1s", INT64_MIN},
	    {"1m30", INT64_MIN},
	    {"1.5s", INT64_MIN},
	    {"-1s", INT64_MIN},
	    {"10 s", INT64_MIN},
	    {"", INT64_MIN},
	    {"1ss", INT64_MIN},
	    {0},
	};

	assert_numbers("delay", numbers);
}
END_TEST

START_TEST(sizes_know_binary_and_decimal_units)
{
	static const struct number numbers[] = {
	    {"0", 0},
	    {"512", 512},
	    {"512B", 512},
	    {"64KiB", 65536},
	    {"64K", 65536},
	    {"64k", 65536},
	    {"1MiB", 1 << 20},
	    {"1M", 1 << 20},
	    {"1GiB", 1 << 30},
	    {"1G", 1 << 30},
	    {"1TiB", INT64_C(1) << 40},
	    {"1T", INT64_C(1) << 40},
	    {"10KB", 10000},
	    {"10MB", 10000000},
	    {"1GB", 1000000000},
	    {"1TB", 1000000000000},
	    {"8388607TiB", INT64_C(8388607) << 40},
	    {"8388608TiB", INT64_MIN},
	    {"9223372036854775808", INT64_MIN},
	    {"1.5M", INT64_MIN},
	    {"-1", INT64_MIN},
	    {"K", INT64_MIN},
	    {"1KiBx", INT64_MIN},
	    {"1P", INT64_MIN},
	    {"", INT64_MIN},
	    {"1 M", INT64_MIN},
	    {0},
	};

	assert_numbers("buffer", numbers);
}
END_TEST

START_TEST(integers_are_decimal_and_do_not_overflow)
{
	static const struct number numbers[] = {
	    {"0", 0},
	    {"-1", -1},
	    {"+5", 5},
	    {"007", 7},
	    {"9223372036854775807", INT64_MAX},
	    {"9223372036854775808", INT64_MIN},
	    {"-9223372036854775807", -INT64_MAX},
	    {"0x10", INT64_MIN},
	    {"1e3", INT64_MIN},
	    {"--1", INT64_MIN},
	    {"-", INT64_MIN},
	    {"", INT64_MIN},
	    {"1 2", INT64_MIN},
	    {"ten", INT64_MIN},
	    {0},
	};

	assert_numbers("any", numbers);
	struct config *config =
	    parse("[server:a]\nexec=x\nany = -9223372036854775808\nbelow=-5\n");
	ck_assert_int_eq(first(config)->any, INT64_MIN);
	ck_assert_int_eq(first(config)->below, -5);
	config_free(&config);
	refused_key("below = 1",
	    "1 is out of range; it should be from -5 to 0");
}
END_TEST

START_TEST(booleans_have_four_words_each)
{
	static const char *const words[] = {
	    "false",
	    "true",
	    "no",
	    "YES",
	    "off",
	    "On",
	    "0",
	    "1",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		char text[64];
		snprintf(text, sizeof(text),
		    "[server:a]\nexec=x\nverbose = %s\n", words[i]);
		struct config *config = parse(text);
		ck_assert_int_eq(first(config)->verbose, i % 2);
		config_free(&config);
	}
}
END_TEST

START_TEST(a_list_is_split_at_blanks_outside_of_quotes)
{
	struct config *config =
	    parse("[server:a]\nexec=x\n"
		  "after = a  \t'b c' \"d \\\" \\\\ \\e\" f\\ g h'i'\"j\" '' "
		  "k,l ; m\n");
	static const char *const words[] = {
	    "a",
	    "b c",
	    "d \" \\ \\e",
	    "f g",
	    "hij",
	    "",
	    "k,l",
	};
	const char *const *after = first(config)->after;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		ck_assert_str_eq(after[i], words[i]);
	ck_assert_ptr_null(after[7]);
	config_free(&config);

	config = parse("[server:a]\nexec=x\nafter =\n");
	ck_assert_ptr_null(first(config)->after[0]);
	config_free(&config);
	refused_key("after = a 'b", "a quote is not closed");
}
END_TEST

START_TEST(a_map_has_its_names_in_order)
{
	struct config *config = parse("[server:a]\nexec=x\n"
				      "env.Z = 1\n"
				      "env.A = ' two '\n"
				      "env.a.b-c =\n");
	const char *const *env = first(config)->env;

	ck_assert_str_eq(env[0], "Z=1");
	ck_assert_str_eq(env[1], "A= two ");
	ck_assert_str_eq(env[2], "a.b-c=");
	ck_assert_ptr_null(env[3]);
	config_free(&config);
	refused_key("env = x", "write env.NAME = value");
	refused_key("env. = x", "write env.NAME = value");
	refused_key("env.a b = x", "write env.NAME = value");
}
END_TEST

START_TEST(quotes_around_a_whole_string_are_taken_off)
{
	static const struct {
		const char *value, *string, *command;
	} cases[] = {
	    {"\"a ; b\"", "a ; b", "\"a ; b\""},
	    {"'a ; b' ; c", "a ; b", "'a ; b'"},
	    {"' a '", " a ", "' a '"},
	    {"\"a\\\"b\\\\\"", "a\"b\\", "\"a\\\"b\\\\\""},
	    {"\"a\" \"b\"", "\"a\" \"b\"", "\"a\" \"b\""},
	    {"it's ; it's", "it's", "it's"},
	    {"don't \"a ; b\"", "don't \"a ; b\"", "don't \"a ; b\""},
	    {"\"open", "\"open", "\"open"},
	    {"'open ; c", "'open", "'open"},
	    {"a;b", "a;b", "a;b"},
	    {"; c", "", NULL},
	    {"find \\;", "find \\;", "find \\;"},
	    {"a # b", "a # b", "a # b"},
	    {"\"\"", "", "\"\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[256];
		snprintf(text, sizeof(text),
		    "[server:a]\nexec = %s\ndir = %s\n",
		    cases[i].command ? cases[i].value : "x", cases[i].value);
		struct config *config = parse(text);
		ck_assert_str_eq(first(config)->dir, cases[i].string);
		if (cases[i].command)
			ck_assert_str_eq(first(config)->exec, cases[i].command);
		config_free(&config);
	}
}
END_TEST

/* ---- what is wrong with a value ------------------------------------------ */

START_TEST(a_wrong_type_says_what_would_be_right)
{
	refused_key("workers = four",
	    "'four' is not a whole number, from 1 to 64");
	refused_key("verbose = maybe",
	    "'maybe' is not true or false (or yes, no, on, off, 1, 0)");
	refused_key("timeout = 1.5s",
	    "'1.5s' is not a duration like 250ms, 10s or 1m30s");
	refused_key("timeout = 10", "10 has no unit; write 10 followed by ms");
	refused_key("buffer = big", "'big' is not a size like 512, 64KiB");
	refused_key("color = blue", "'blue' is not red, green or dark-blue");
	refused_key("color = grene", "did you mean 'green'?");
	refused_key("workers =", "the value is empty; it should be a whole");
	refused("[server:a]\nexec =\n",
	    "test.ini:2: [server:a] exec: ", "the value is empty");
}
END_TEST

START_TEST(a_number_out_of_range_says_the_range)
{
	refused_key("workers = 65", "65 is out of range; it should be from 1 "
				    "to 64");
	refused_key("workers = 0", "from 1 to 64");
	refused_key("workers = 99999999999999999999", "from 1 to 64");
	refused_key("timeout = 2h", "2h is out of range; it should be from 1ms "
				    "to 1h");
	refused_key("timeout = 99999999999999999999s", "is out of range");
	refused_key("buffer = 99999999TiB", "0 or more");
}
END_TEST

START_TEST(a_number_that_is_too_large_for_any_says_so)
{
	refused_key("any = 99999999999999999999",
	    "99999999999999999999 is out of range, too large for 64 bits");
	refused_key("any = -99999999999999999999", "is out of range");
	refused_key("buffer = 99999999999999999999",
	    "is out of range, too large for 64 bits; it should be 0 or more");
	refused_key("buffer = 99999999TiB", "too large for 64 bits");
	refused_key("delay = 99999999999999999999h",
	    "is out of range, too large for 64 bits; it should be 0 or more");
	refused_key("delay = 9999999999999999d1h", "too large for 64 bits");
}
END_TEST

START_TEST(what_is_quoted_from_a_file_is_printable_and_short)
{
	char text[1024] = "[server:a]\nexec=x\nworkers = \xff\xc2\x9b\xed\xa0";
	struct config *config;

	memset(text + strlen(text), 'y', 300);
	config = parse_bytes(text, strlen(text), -EINVAL);
	assert_error(config, 0, "test.ini:3: [server:a] workers: ",
	    "'\\xff\\xc2\\x9b\\xed\\xa0yyyyy");
	assert_error(config, 0, "test.ini:3: ", "y...' is not a whole");
	config_free(&config);
	refused("[\x1b[31m]\n", "test.ini:1: ", "unknown section [\\x1b[31m]");
	refused_key("k\xc3\xa4y = 1", "unknown key 'k\xc3\xa4y'");
}
END_TEST

/* ---- lines --------------------------------------------------------------- */

START_TEST(blanks_and_comments_do_not_count)
{
	struct config *config = parse("; a\n"
				      "# b\n"
				      "\n"
				      "   ; c\n"
				      " [ app ] ; d\n"
				      "\tname\t=\tweb\t; e\n"
				      "  port:1 ;f\n"
				      "[server:a]# g\n"
				      "exec=a=b:c\n"
				      "    dir = indented\n"
				      "; \x01\x02 anything \xff");
	const struct app *app = config_get(config, "app");

	ck_assert_str_eq(app->name, "web");
	ck_assert_int_eq(app->port, 1);
	ck_assert_str_eq(first(config)->exec, "a=b:c");
	ck_assert_str_eq(first(config)->dir, "indented");
	config_free(&config);
}
END_TEST

START_TEST(a_value_does_not_go_on_in_the_next_line)
{
	refused("[server:a]\nexec = a\n  b c\n", "test.ini:3: ",
	    "no '=' in the line; write key = value, all of it in one line");
}
END_TEST

START_TEST(a_byte_order_mark_and_crlf_are_accepted)
{
	struct config *config = parse(
	    "\xef\xbb\xbf[app]\r\nname = x\r\n\r\n[server:a]\r\nexec = y\r\n");
	const struct app *app = config_get(config, "app");

	ck_assert_str_eq(app->name, "x");
	ck_assert_str_eq(first(config)->exec, "y");
	config_free(&config);
	refused("\xff\xfe[\0a\0", "test.ini:1: ", "UTF-16");
}
END_TEST

START_TEST(files_without_content_are_valid)
{
	static const char *const texts[] = {
	    "",
	    "\n",
	    "\r\n",
	    "\xef\xbb\xbf",
	    ";",
	    "#",
	    " ",
	    "[app]",
	    "[app]\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct config *config = parse(texts[i]);
		config_free(&config);
	}
}
END_TEST

START_TEST(a_line_that_is_none_is_refused)
{
	refused("[app]\nname\n", "test.ini:2: [app]: ", "no '=' in the line");
	refused("[app]\nname ; = x\n", "test.ini:2: [app]: ", "no '='");
	refused("[app]\n= x\n", "test.ini:2: [app]: ", "no key before the '='");
	refused("[app\n", "test.ini:1: ", "'[' without ']'");
	refused("[]\n", "test.ini:1: ", "a section without a name");
	refused("[app] name = x\n", "test.ini:1: ", "text after [app]");
	refused("\nname = x\n", "test.ini:2: name: ",
	    "key 'name' stands before the first [section]");
	refused("[app]\nname = a\rb\n",
	    "test.ini:2: [app] name: ", "control character 0x0d in the value");
	refused("[app]\nna\x01me = x\n",
	    "test.ini:2: [app]: ", "control character 0x01 in the key");
}
END_TEST

START_TEST(a_nul_byte_is_refused)
{
	static const char text[] = "[app]\nname = a\0b\n; \0\nport = 1\n";
	struct config *config = parse_bytes(text, sizeof(text) - 1, -EINVAL);

	assert_error(config, 0, "test.ini:2: [app]: ", "a NUL byte");
	assert_error(config, 1, "test.ini:3: [app]: ", "a NUL byte");
	assert_count(config, 2);
	config_free(&config);
}
END_TEST

/* A text with a value of size bytes, which is returned as well. */
static char *long_value(size_t size, const char *begin, char **value)
{
	char *text = malloc(size + strlen(begin) + 2);

	ck_assert_ptr_nonnull(text);
	*value = stpcpy(text, begin);
	for (size_t i = 0; i < size; i++)
		(*value)[i] = (char)('a' + i % 26);
	strcpy(*value + size, "\n");
	return text;
}

START_TEST(a_value_of_any_length_is_whole_or_refused)
{
	static const size_t sizes[] = {
	    4096,
	    65535,
	    65536,
	    65537,
	    1000000,
	};
	char *value, *text;

	for (size_t i = 0; i < 300; i++) {
		size_t size = i < 295 ? i + 1 : sizes[i - 295];
		text = long_value(size, "[server:a]\nexec = ", &value);
		struct config *config;
		int rc = config_parse("test.ini", text, strlen(text), sections,
		    &config);
		ck_assert_int_eq(rc, size > 65536 ? -EINVAL : 0);
		if (rc) {
			assert_count(config, 1);
			assert_error(config, 0, "test.ini:2: [server:a] exec: ",
			    "bytes; 65536 are possible");
		} else {
			value[size] = '\0';
			ck_assert_str_eq(first(config)->exec, value);
		}
		config_free(&config);
		free(text);
	}
}
END_TEST

START_TEST(lines_behind_a_long_one_keep_their_numbers)
{
	char *value;
	char *text = long_value(5000, "[server:a]\nexec = ", &value);
	char *more = malloc(strlen(text) + 64);

	ck_assert_ptr_nonnull(more);
	strcpy(stpcpy(more, text), "color = x\n# y\nworker = 1\n");
	struct config *config = parse_bytes(more, strlen(more), -EINVAL);
	assert_error(config, 0, "test.ini:3: [server:a] color: ", "");
	assert_error(config, 1, "test.ini:5: [server:a] worker: ", "");
	config_free(&config);
	free(text);
	free(more);
}
END_TEST

START_TEST(a_key_is_never_cut)
{
	char key[300], text[400];

	for (size_t size = 1; size < 280; size++) {
		memset(key, 'K', size);
		key[size] = '\0';
		snprintf(text, sizeof(text), "[server:a]\nexec=x\nenv.%s=v\n",
		    key);
		if (size + 4 > 255) {
			refused(text, "test.ini:3: [server:a]: ",
			    "bytes; 255 are possible");
			continue;
		}
		struct config *config = parse(text);
		strcat(key, "=v");
		ck_assert_str_eq(first(config)->env[0], key);
		config_free(&config);
	}
}
END_TEST

START_TEST(a_long_section_is_not_cut_to_a_known_one)
{
	char text[1024] = "[app";

	memset(text + 4, ' ', 700);
	strcpy(text + 704, "x]\n");
	refused(text, "test.ini:1: ", "unknown section");
}
END_TEST

START_TEST(bytes_that_are_blanks_elsewhere_stay_in_a_value)
{
	struct config *config = parse("[server:a]\nexec = x\ndir = \xc3\xa0\n"
				      "env.\xc3\xa0 = \xa0\n");

	ck_assert_str_eq(first(config)->dir, "\xc3\xa0");
	ck_assert_str_eq(first(config)->env[0], "\xc3\xa0=\xa0");
	config_free(&config);
}
END_TEST

/* ---- sections and keys --------------------------------------------------- */

START_TEST(an_unknown_key_has_a_suggestion)
{
	refused_key("workes = 1",
	    "unknown key 'workes', did you mean 'workers'?");
	refused_key("Workers = 1", "did you mean 'workers'?");
	refused_key("evn.A = 1", "did you mean 'env.A'?");
	refused_key("xyzzy = 1", "unknown key 'xyzzy'; known here: exec, dir, "
				 "workers,");
	refused_key("xyzzy = 1", "env.NAME");
	/* What it is called elsewhere. */
	refused_key("num_procs = 1",
	    "unknown key 'num_procs', did you mean 'workers'?");
	refused_key("Threads = 1", "did you mean 'workers'?");
	refused_key("environment = A=1", "did you mean 'env.NAME'?");
	refused_key("environments = A=1", "; known here: ");
	refused("[app]\nincldue = x\n",
	    "test.ini:2: [app] incldue: ", "did you mean 'include'?");
}
END_TEST

START_TEST(the_known_keys_are_told_once)
{
	static const char text[] =
	    "[server:a]\nexec = x\nxyzzy = 1\nplugh = 1\n";
	struct config *config = parse_bytes(text, strlen(text), -EINVAL);

	assert_error(config, 0,
	    "test.ini:3: [server:a] xyzzy: ", "; known here: exec, ");
	assert_error(config, 1, "test.ini:4: [server:a] plugh: ",
	    "unknown key 'plugh'; those known are above");
	assert_count(config, 2);
	config_free(&config);
}
END_TEST

START_TEST(an_unknown_section_has_a_suggestion)
{
	refused("[ap]\nx = 1\n", "test.ini:1: [ap]: ", "did you mean [app]?");
	refused("[sever:web]\n",
	    "test.ini:1: [sever:web]: ", "did you mean [server:web]?");
	refused("[program:web]\n",
	    "test.ini:1: [program:web]: ", "did you mean [server:web]?");
	refused("[Service]\n",
	    "test.ini:1: [Service]: ", "did you mean [server:NAME]?");
	refused("[server]\n", "test.ini:1: ", "did you mean [server:NAME]?");
	refused("[app:x]\n", "test.ini:1: ", "did you mean [app]?");
	refused("[xyzzy]\n", "test.ini:1: [xyzzy]: ",
	    "unknown section [xyzzy]; known: [app], [server:NAME]");
}
END_TEST

START_TEST(a_name_has_its_rules)
{
	char text[128];
	struct config *config =
	    parse("[server:0123456789_ABCDEF.abcdefg-12345]\nexec=x\n");

	ck_assert_str_eq(config_name(config, "server:", 0),
	    "0123456789_ABCDEF.abcdefg-12345");
	config_free(&config);
	static const char *const bad[] = {
	    "",
	    "a b",
	    "a:b",
	    "a/b",
	    "\xc3\xa4",
	    "0123456789012345678901234567890x",
	    "a\"b",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(text, sizeof(text), "[server:%s]\nexec=x\n", bad[i]);
		refused(text, "test.ini:1: [server:", "cannot be the NAME");
	}
}
END_TEST

START_TEST(a_missing_key_is_named_at_its_section)
{
	refused("\n[server:a]\ndir = /\n\n[server:b]\nexec = x\n",
	    "test.ini:2: [server:a] exec: ",
	    "key 'exec' is missing; it must be there");
}
END_TEST

START_TEST(a_missing_section_is_named_at_the_end)
{
	struct config_section required[] = {
	    sections[0],
	    sections[1],
	    {0},
	};
	struct config *config;

	required[0].required = required[1].required = true;
	ck_assert_int_eq(config_parse("test.ini", "\n\n; c\n", 6, required,
			     &config),
	    -EINVAL);
	assert_error(config, 0, "test.ini:3: ", "section [app] is missing");
	assert_error(config, 1,
	    "test.ini:3: ", "section [server:NAME] is missing");
	assert_count(config, 2);
	config_free(&config);
}
END_TEST

START_TEST(a_key_twice_names_the_first)
{
	refused("[app]\nname = a\nport = 1\nname = a\n",
	    "test.ini:4: [app] name: ",
	    "key 'name' is there twice; the first one is at test.ini:2");
	refused("[server:a]\nexec=x\nenv.A=1\nenv.B=1\nenv.A=2\n",
	    "test.ini:5: [server:a] env.A: ", "test.ini:3");
}
END_TEST

START_TEST(a_section_twice_names_the_first)
{
	struct config *config = parse_bytes(
	    "[server:a]\nexec=x\n[app]\n[server:a]\nexce=y\n[app]\n", 47,
	    -EINVAL);

	assert_error(config, 0, "test.ini:4: [server:a]: ",
	    "section [server:a] is there twice; the first one is at "
	    "test.ini:1");
	assert_error(config, 1, "test.ini:5: [server:a] exce: ", "'exec'");
	assert_error(config, 2, "test.ini:6: [app]: ", "test.ini:3");
	assert_count(config, 3);
	ck_assert_uint_eq(config_count(config, "server:"), 1);
	config_free(&config);
}
END_TEST

START_TEST(named_sections_are_in_the_order_of_the_file)
{
	struct config *config = parse(
	    "[server:z]\nexec=1\n\n[app]\n[server:a]\nexec=2\n[server:m]\n"
	    "exec=3\n");
	static const char *const names[] = {
	    "z",
	    "a",
	    "m",
	};
	static const int lines[] = {
	    1,
	    5,
	    7,
	};

	ck_assert_uint_eq(config_count(config, "server:"), 3);
	for (size_t i = 0; i < 3; i++) {
		const struct server *server = config_at(config, "server:", i);
		int line;
		ck_assert_str_eq(config_name(config, "server:", i), names[i]);
		ck_assert_int_eq(server->exec[0], '1' + (int)i);
		ck_assert_str_eq(config_where(config, "server:", i, &line),
		    "test.ini");
		ck_assert_int_eq(line, lines[i]);
		config_where(config, "server:", i, NULL);
	}
	ck_assert(config_has(config, "server:", 1, "exec"));
	ck_assert(!config_has(config, "server:", 1, "env"));
	ck_assert(!config_has(config, "server:", 3, "exec"));
	ck_assert_ptr_null(config_name(config, "server:", 3));
	ck_assert_ptr_null(config_where(config, "server:", 3, NULL));
	config_free(&config);
}
END_TEST

/* ---- errors -------------------------------------------------------------- */

START_TEST(all_errors_come_at_once_in_order)
{
	static const char text[] = "[server:a]\n"
				   "workers = x\n"
				   "junk\n"
				   "colour = red\n"
				   "[nope]\n"
				   "[server:b]\n"
				   "exec = ${CONFIG_TEST_UNSET}\n"
				   "timeout = 0\n";
	struct config *config = parse_bytes(text, sizeof(text) - 1, -EINVAL);

	assert_error(config, 0, "test.ini:1: [server:a] exec: ", "missing");
	assert_error(config, 1, "test.ini:2: [server:a] workers: ", "number");
	assert_error(config, 2, "test.ini:3: [server:a]: ", "no '='");
	assert_error(config, 3, "test.ini:4: [server:a] colour: ", "'color'");
	assert_error(config, 4, "test.ini:5: [nope]: ", "unknown section");
	assert_error(config, 5, "test.ini:7: [server:b] exec: ", "not set");
	assert_error(config, 6, "test.ini:8: [server:b] timeout: ", "range");
	assert_count(config, 7);
	config_free(&config);
}
END_TEST

START_TEST(the_words_of_the_first_error_stay_in_the_thread)
{
	struct config *config;

	ck_assert_int_eq(config_parse("test.ini", "[app]\nport=x\n=\n", 15,
			     sections, &config),
	    -EINVAL);
	ck_assert_str_eq(error_of(-EINVAL).text,
	    "test.ini:2: [app] port: 'x' is not a whole number, from 1 to "
	    "65535");
	config_free(&config);
}
END_TEST

START_TEST(errors_beyond_a_hundred_are_counted)
{
	char text[4096] = "[app]\nport = x\n", *p = text + strlen(text);
	struct config *config;
	char words[64];

	for (int i = 0; i < 150; i++)
		p = stpcpy(p, i % 2 ? "junk\n" : "jnk = 1\n");
	config = parse_bytes(text, strlen(text), -EINVAL);
	assert_count(config, 101);
	/* Values are checked last, but this one stands first. */
	assert_error(config, 0, "test.ini:2: [app] port: ", "");
	assert_error(config, 99, "test.ini:101: ", "");
	assert_error(config, 100, "test.ini:101: and 51 more errors", "");
	config_refuse(config, "app", 0, "port", "not here");
	assert_count(config, 101);
	assert_error(config, 1, "test.ini:2: [app] port: not here", "");
	snprintf(words, sizeof(words), "and %d more errors", 52);
	assert_error(config, 100, "test.ini:100: ", words);
	config_free(&config);
}
END_TEST

START_TEST(an_error_is_formatted_with_what_there_is_of_it)
{
	struct config_error error = {
	    .file = "a\nb",
	    .line = 0,
	    .section = "",
	    .key = "",
	    .text = "t",
	};
	char text[64];

	ck_assert_int_eq(config_error_format(&error, text, sizeof(text)), 7);
	ck_assert_str_eq(text, "a\\nb: t");
	error.file = "f";
	error.line = 7;
	error.section = "s";
	config_error_format(&error, text, sizeof(text));
	ck_assert_str_eq(text, "f:7: [s]: t");
	error.key = "k";
	ck_assert_int_eq(config_error_format(&error, text, 5), 13);
	ck_assert_str_eq(text, "f:7:");
	config_error_format(&error, text, sizeof(text));
	ck_assert_str_eq(text, "f:7: [s] k: t");
}
END_TEST

START_TEST(a_program_refuses_with_the_place_of_a_key)
{
	struct config *config =
	    parse("[server:a]\nexec=x\n[server:b]\nexec=y\nenv.A = 1\n\n");

	ck_assert_int_eq(config_refuse(config, "server:", 1, "exec",
			     "no program '%s'", "y\x01"),
	    -EINVAL);
	ck_assert_str_eq(error_of(-EINVAL).text,
	    "test.ini:4: [server:b] exec: no program 'y\\x01'");
	config_refuse(config, "server:", 0, "dir", "is needed");
	config_refuse(config, "server:", 1, NULL, "is odd");
	config_refuse(config, "server:", 1, "env", "is too much");
	config_refuse(config, "app", 0, "name", "is needed");
	assert_error(config, 0, "test.ini:1: [server:a] dir: is needed", "");
	assert_error(config, 1, "test.ini:3: [server:b]: is odd", "");
	assert_error(config, 2, "test.ini:4: ", "");
	assert_error(config, 3, "test.ini:5: [server:b] env.A: is too much",
	    "");
	assert_error(config, 4, "test.ini:6: [app] name: is needed", "");
	assert_count(config, 5);
	config_free(&config);
}
END_TEST

/* ---- variables ----------------------------------------------------------- */

/* The value of dir when it is written like that. */
static char *expanded(const char *value)
{
	char text[1024];

	snprintf(text, sizeof(text), "[server:a]\nexec=x\ndir = %s\n", value);
	struct config *config = parse(text);
	char *copy = strdup(first(config)->dir);
	ck_assert_ptr_nonnull(copy);
	config_free(&config);
	return copy;
}

START_TEST(variables_are_put_into_values)
{
	static const struct {
		const char *value, *expected;
	} cases[] = {
	    {"${CONFIG_TEST_A}", "\"one\" ; two"},
	    {"'${CONFIG_TEST_A}'", "\"one\" ; two"},
	    {"<${CONFIG_TEST_A}${CONFIG_TEST_EMPTY}>", "<\"one\" ; two>"},
	    {"${CONFIG_TEST_A:x}", "\"one\" ; two"},
	    {"${CONFIG_TEST_EMPTY:x}", ""},
	    {"${CONFIG_TEST_UNSET:x:y}", "x:y"},
	    {"${CONFIG_TEST_UNSET:}", ""},
	    {"${CONFIG_TEST_UNSET:<${CONFIG_TEST_UNSET:y}>}z", "<y>z"},
	    {"${CONFIG_TEST_UNSET:$${}", "${"},
	    {"$$", "$"},
	    {"$${HOME}", "${HOME}"},
	    {"$$$$", "$$"},
	    {"$HOME $ $x", "$HOME $ $x"},
	    {"a$", "a$"},
	    {"}{", "}{"},
	    {"${CONFIG_TEST_UNSET:-80}", "80"},
	    {"${CONFIG_TEST_UNSET:--80}", "-80"},
	    {"${CONFIG_TEST_EMPTY:80}${CONFIG_TEST_EMPTY:-90}", "90"},
	    {"${CONFIG_TEST_A:-80}", "\"one\" ; two"},
	};

	setenv("CONFIG_TEST_A", "\"one\" ; two", 1);
	setenv("CONFIG_TEST_EMPTY", "", 1);
	unsetenv("CONFIG_TEST_UNSET");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *value = expanded(cases[i].value);
		ck_assert_str_eq(value, cases[i].expected);
		free(value);
	}
}
END_TEST

START_TEST(variables_come_before_types)
{
	setenv("CONFIG_TEST_A", "6", 1);
	setenv("CONFIG_TEST_B", "a 'b c'", 1);
	struct config *config = parse("[server:a]\nexec=x\n"
				      "workers = ${CONFIG_TEST_A}4\n"
				      "after = ${CONFIG_TEST_B}\n"
				      "env.A = ${CONFIG_TEST_B}\n");

	ck_assert_int_eq(first(config)->workers, 64);
	ck_assert_str_eq(first(config)->after[1], "b c");
	ck_assert_str_eq(first(config)->env[0], "A=a 'b c'");
	config_free(&config);
	setenv("CONFIG_TEST_A", "", 1);
	refused("[server:a]\nexec=${CONFIG_TEST_A}\n",
	    "test.ini:2: [server:a] exec: ", "the value is empty");
}
END_TEST

START_TEST(a_variable_that_cannot_be_put_in_is_refused)
{
	unsetenv("CONFIG_TEST_UNSET");
	refused_key("dir = ${CONFIG_TEST_UNSET}",
	    "environment variable CONFIG_TEST_UNSET is not set");
	refused_key("env.A = ${CONFIG_TEST_UNSET}", "is not set");
	refused_key("dir = ${CONFIG_TEST_UNSET:${CONFIG_TEST_UNSET}}",
	    "is not set");
	refused_key("dir = ${HOME", "'${' without '}'");
	refused_key("dir = ${", "'${' without '}'");
	refused_key("dir = ${}", "'${' needs the name of a variable");
	refused_key("dir = ${1A}", "needs the name");
	refused_key("dir = ${A B}", "needs the name");
	refused_key("dir = ${A-B}", "needs the name");
	refused_key("dir = ${U:${U:${U:${U:${U:${U:${U:${U:${U:${U:}}}}}}}}}}",
	    "more than 8 variables within one another");
	refused_key("${HOME} = 1", "unknown key '${HOME}'");
}
END_TEST

START_TEST(variables_do_not_make_a_value_too_long)
{
	char *value;
	char *text = long_value(40000, "", &value);

	value[40000] = '\0';
	setenv("CONFIG_TEST_A", value, 1);
	refused_key("dir = ${CONFIG_TEST_A}${CONFIG_TEST_A}",
	    "with its variables the value is longer than 65536 bytes");
	unsetenv("CONFIG_TEST_A");
	free(text);
}
END_TEST

/* ---- instances ----------------------------------------------------------- */

struct many {
	int64_t count;
	const char *text;
	const char *const *env;
	int64_t port;
};

static const struct config_field many_fields[] = {
    FIELD(many, count, "count", CONFIG_INT, .min = 1, .max = 10000),
    FIELD(many, text, "text", CONFIG_STRING, .fallback = "none"),
    FIELD(many, env, "env", CONFIG_MAP, .help = NULL),
    FIELD(many, port, "port", CONFIG_INT, .max = 65535),
    {0},
};

static const struct config_section many_sections[] = {
    {.name = "many:",
	.fields = many_fields,
	.size = sizeof(struct many),
	.instances = "count",
	.number = "NUMBER"},
    {0},
};

static struct config *parse_many(const char *text)
{
	struct config *config;

	config_parse("test.ini", text, strlen(text), many_sections, &config);
	ck_assert_ptr_nonnull(config);
	return config;
}

static void is_instance(const struct config *config, size_t i, const char *name,
    const char *section, int64_t expected)
{
	int64_t number = -1;

	ck_assert_str_eq(config_name(config, "many:", i), name);
	ck_assert_str_eq(config_instance(config, "many:", i, &number), section);
	ck_assert_int_eq(number, expected);
}

/* All errors, a line each. */
static void many_refused(const char *text, const char *expected)
{
	struct config *config = parse_many(text);
	char all[1000] = "", line[300];
	size_t count;
	const struct config_error *errors = config_errors(config, &count);

	for (size_t i = 0; i < count; i++) {
		config_error_format(&errors[i], line, sizeof(line));
		ck_assert_uint_lt(strlen(all) + strlen(line) + 1, sizeof(all));
		strcat(strcat(all, line), "\n");
	}
	ck_assert_str_eq(all, expected);
	config_free(&config);
}

START_TEST(a_section_stands_for_its_instances_in_its_place)
{
	struct config *config = parse_many("[many:a]\n[many:b]\ncount = 3\n"
					   "[many:c]\ncount = 1\n[many:d]\n");
	const struct many *many;
	int64_t number;
	int line;

	ck_assert_uint_eq(config_count(config, "many:"), 6);
	is_instance(config, 0, "a", "a", 0);
	is_instance(config, 1, "b-1", "b", 1);
	is_instance(config, 2, "b-2", "b", 2);
	is_instance(config, 3, "b-3", "b", 3);
	is_instance(config, 4, "c-1", "c", 1);
	is_instance(config, 5, "d", "d", 0);
	ck_assert_ptr_null(config_instance(config, "many:", 6, &number));
	ck_assert_int_eq(number, 0);
	many = config_at(config, "many:", 3);
	ck_assert_int_eq(many->count, 3);
	ck_assert_str_eq(many->text, "none");
	ck_assert(config_has(config, "many:", 3, "count"));
	config_where(config, "many:", 3, &line);
	ck_assert_int_eq(line, 2);
	config_free(&config);
}
END_TEST

START_TEST(each_instance_has_its_number_in_its_values)
{
	struct config *config;
	const struct many *many;

	setenv("NUMBER", "from outside", 1);
	setenv("CONFIG_TEST_A", "2", 1);
	config = parse_many("[many:a]\ncount = ${CONFIG_TEST_A}\n"
			    "text = <${NUMBER}> ${NUMBER:x} $NUMBER $${NUMBER} "
			    "${CONFIG_TEST_UNSET:${NUMBER}}\n"
			    "env.A = ${NUMBER+0}\n"
			    "port = ${NUMBER+8080}\n"
			    "[many:b]\ntext = ${NUMBER}\n");
	ck_assert_uint_eq(config_count(config, "many:"), 3);
	many = config_at(config, "many:", 0);
	ck_assert_str_eq(many->text, "<1> 1 $NUMBER ${NUMBER} 1");
	ck_assert_str_eq(many->env[0], "A=1");
	ck_assert_int_eq(many->port, 8081);
	many = config_at(config, "many:", 1);
	ck_assert_str_eq(many->text, "<2> 2 $NUMBER ${NUMBER} 2");
	ck_assert_str_eq(many->env[0], "A=2");
	ck_assert_int_eq(many->port, 8082);
	many = config_at(config, "many:", 2);
	ck_assert_str_eq(many->text, "from outside");
	config_free(&config);
	unsetenv("NUMBER");
	config = parse_many("[many:b]\ntext = ${NUMBER:none}\n");
	many = config_at(config, "many:", 0);
	ck_assert_str_eq(many->text, "none");
	config_free(&config);
}
END_TEST

START_TEST(a_number_that_cannot_be_put_in_is_refused)
{
	static const char *const values[] = {"${NUMBER+}", "${NUMBER+x}",
	    "${NUMBER+1x}", "${NUMBER+-1}", "${NUMBER+1234567890}",
	    "${NUMBER+1:2}"};
	char text[200];

	unsetenv("NUMBER");
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		snprintf(text, sizeof(text), "[many:a]\ncount = 3\ntext = %s\n",
		    values[i]);
		many_refused(text,
		    "test.ini:3: [many:a] text: behind '+' in ${NUMBER+...} "
		    "stands a number of up to 9 digits, as in "
		    "${NUMBER+8080}\n");
	}
	many_refused("[many:a]\ntext = ${NUMBER}\nenv.A = ${NUMBER+1}\n",
	    "test.ini:2: [many:a] text: there is no NUMBER here: it is in "
	    "sections that have instances\n"
	    "test.ini:3: [many:a] env.A: there is no NUMBER here: it is in "
	    "sections that have instances\n");
	many_refused("[many:a]\ncount = ${NUMBER+1}\n",
	    "test.ini:2: [many:a] count: there is no NUMBER here: it is in "
	    "sections that have instances\n");
	many_refused("[many:a]\ncount = 2\ntext = ${OTHER+1}\n",
	    "test.ini:3: [many:a] text: '${' needs the name of a variable, as "
	    "in ${NAME} or ${NAME:default}; write $$ for a dollar sign\n");
}
END_TEST

START_TEST(an_error_of_instances_is_told_once)
{
	struct config *config;
	size_t count;

	many_refused("[many:a]\ncount = 1000\nport = x\n",
	    "test.ini:3: [many:a] port: 'x' is not a whole number, from 0 to "
	    "65535\n");
	many_refused("[many:a]\ncount = 1000\nport = ${NUMBER+65533}\n",
	    "test.ini:3: [many:a] port: a-3: 65536 is out of range; it should "
	    "be from 0 to 65535\n");
	config = parse_many("[many:a]\ncount = 3\nport = 1\n");
	for (size_t i = 0; i < 3; i++)
		config_refuse(config, "many:", i, "port", "taken");
	for (size_t i = 1; i < 3; i++)
		config_refuse(config, "many:", i, NULL, "too late");
	ck_assert_str_eq(config_errors(config, &count)[1].text, "taken");
	ck_assert_str_eq(config_errors(config, &count)[0].text,
	    "a-2: too late");
	ck_assert_uint_eq(count, 2);
	config_free(&config);
}
END_TEST

START_TEST(instances_have_names_of_their_own)
{
	many_refused("[many:a]\ncount = 3\n[many:a-2]\n",
	    "test.ini:2: [many:a] count: one would be called a-2, as is the "
	    "section at test.ini:3: rename one of the two\n");
	many_refused("[many:a-1]\ncount = 2\n[many:a]\ncount = 1\n",
	    "test.ini:4: [many:a] count: one would be called a-1, as is the "
	    "section at test.ini:1: rename one of the two\n");
	many_refused("[many:a]\ncount = 3\n[many:a-4]\n[many:a-0]\n"
		     "[many:a-01]\n[many:a-1x]\n[many:a-]\n[many:a1]\n",
	    "");
	many_refused("[many:a123456789012345678901234567-]\ncount = 10\n"
		     "[many:b1234567890123456789012345678]\ncount = 9\n",
	    "test.ini:2: [many:a123456789012345678901234567-] count: the last "
	    "one would be called a123456789012345678901234567--10, which is "
	    "longer than 31 bytes: shorten the section's name\n");
	many_refused("[many:a]\ncount = 0\n[many:b]\ncount = 10001\n"
		     "[many:c]\ncount =\n",
	    "test.ini:2: [many:a] count: 0 is out of range; it should be from "
	    "1 to 10000\n"
	    "test.ini:4: [many:b] count: 10001 is out of range; it should be "
	    "from 1 to 10000\n"
	    "test.ini:6: [many:c] count: the value is empty; it should be a "
	    "whole number, from 1 to 10000\n");
}
END_TEST

/* ---- include ------------------------------------------------------------- */

START_TEST(files_are_included_relative_to_the_including_one)
{
	ck_assert_int_eq(mkdir(path_of("sub"), 0700), 0);
	ck_assert_int_eq(mkdir(path_of("sub/more"), 0700), 0);
	write_file("sub/b.ini", "[server:b]\nexec=b\n");
	write_file("sub/a.ini",
	    "[app]\ninclude = more/*.ini\n[server:a]\nexec=a\n");
	write_file("sub/more/c.ini", "[server:c]\nexec=c\n");
	write_file("sub/.hidden.ini", "junk\n");
	setenv("CONFIG_TEST_A", "sub", 1);
	struct config *config =
	    load(write_file("main.ini",
		     "[server:m]\nexec=m\n"
		     "[app]\n"
		     "include = ${CONFIG_TEST_A}/?.ini no*.ini\n"
		     "[server:n]\nexec=n\n"),
		0);
	static const char names[] = "mnacb";
	int line;

	ck_assert_uint_eq(config_count(config, "server:"), 5);
	for (size_t i = 0; i < 5; i++)
		ck_assert_int_eq(config_name(config, "server:", i)[0],
		    names[i]);
	ck_assert_str_eq(config_where(config, "server:", 3, &line),
	    path_of("sub/more/c.ini"));
	ck_assert_int_eq(line, 1);
	config_free(&config);
}
END_TEST

START_TEST(an_included_app_goes_on_with_the_first)
{
	write_file("a.ini", "[app]\nport = 7\n");
	struct config *config =
	    load(write_file("main.ini", "[app]\ninclude = a.ini\nname = x\n"),
		0);
	const struct app *app = config_get(config, "app");

	ck_assert_str_eq(app->name, "x");
	ck_assert_int_eq(app->port, 7);
	config_free(&config);
}
END_TEST

START_TEST(what_is_twice_in_two_files_names_both)
{
	char place[128], words[256];

	write_file("a.ini", "[server:a]\nexec=x\n[app]\nname=x\n");
	write_file("b.ini", "; b\n[server:a]\nexec=x\n[app]\nname=y\n[app]\n");
	struct config *config =
	    load(write_file("main.ini", "[app]\ninclude = a.ini b.ini\n"),
		-EINVAL);
	snprintf(place, sizeof(place), "%s/b.ini:2: [server:a]: ", folder);
	snprintf(words, sizeof(words), "the first one is at %s/a.ini:1",
	    folder);
	assert_error(config, 0, place, words);
	snprintf(place, sizeof(place), "%s/b.ini:5: [app] name: ", folder);
	snprintf(words, sizeof(words), "the first one is at %s/a.ini:4",
	    folder);
	assert_error(config, 1, place, words);
	snprintf(place, sizeof(place), "%s/b.ini:6: [app]: ", folder);
	snprintf(words, sizeof(words), "the first one is at %s/main.ini:1",
	    folder);
	assert_error(config, 2, place, words);
	assert_count(config, 3);
	config_free(&config);
}
END_TEST

/* Asserts that main.ini of that text has one error with those words. */
static void include_refused(const char *text, const char *name, int line,
    const char *words)
{
	char place[160];
	struct config *config = load(write_file("main.ini", text), -EINVAL);

	snprintf(place, sizeof(place), "%s/%s:%d: [app] include: ", folder,
	    name, line);
	assert_error(config, 0, place, words);
	assert_count(config, 1);
	config_free(&config);
}

START_TEST(an_include_that_cannot_be_is_refused)
{
	unsetenv("CONFIG_TEST_UNSET");
	ck_assert_int_eq(mkfifo(path_of("fifo"), 0600), 0);
	include_refused("[app]\ninclude = gone.ini\n", "main.ini", 2,
	    "gone.ini cannot be read: No such file or directory");
	include_refused("[app]\ninclude = .\n", "main.ini", 2,
	    "cannot be read: Is a directory");
	include_refused("[app]\ninclude = fif*\n", "main.ini", 2,
	    "fifo cannot be read: not a regular file");
	include_refused("[app]\ninclude = a.ini 'b\n", "main.ini", 2,
	    "a quote is not closed");
	include_refused("[app]\ninclude =\n", "main.ini", 2,
	    "the value is empty");
	include_refused("[app]\n\ninclude = ${CONFIG_TEST_UNSET}\n", "main.ini",
	    3, "CONFIG_TEST_UNSET is not set");
	include_refused("[app]\ninclude = x*\ninclude = y*\n", "main.ini", 3,
	    "key 'include' is there twice");
}
END_TEST

START_TEST(a_circle_of_files_is_refused_with_its_path)
{
	include_refused("[app]\ninclude = *.ini\n", "main.ini", 2,
	    "files include one another in a circle: ");
	write_file("a.ini", "[app]\ninclude = b.ini\n");
	write_file("b.ini", "[app]\n\ninclude = ./main.ini\n");
	include_refused("[app]\ninclude = a.ini\n", "b.ini", 3, "/b.ini <- ");
	include_refused("[app]\ninclude = a.ini\n", "b.ini", 3, "/a.ini <- ");
}
END_TEST

START_TEST(a_file_is_not_read_twice)
{
	write_file("a.ini", "");
	ck_assert_int_eq(link(path_of("a.ini"), path_of("b.ini")), 0);
	include_refused("[app]\ninclude = a.ini b.ini\n", "main.ini", 2,
	    "b.ini is read twice; first by ");
}
END_TEST

START_TEST(includes_are_not_endlessly_deep)
{
	char name[32], text[64];

	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "%d.ini", i);
		snprintf(text, sizeof(text), "[app]\ninclude = %d.ini\n",
		    i + 1);
		write_file(name, text);
	}
	include_refused("[app]\ninclude = 0.ini\n", "15.ini", 2,
	    "16.ini is not read: more than 1000 files, or 16 deep");
}
END_TEST

START_TEST(a_folder_named_like_a_pattern_is_none)
{
	ck_assert_int_eq(mkdir(path_of("[x]*"), 0700), 0);
	write_file("[x]*/a.ini", "[server:a]\nexec=x\n");
	write_file("[x]*/b.ini", "[server:b]\nexec=x\n");
	write_file("[x]*/main.ini", "[app]\ninclude = ?.ini\n");
	struct config *config = load(path_of("[x]*/main.ini"), 0);

	ck_assert_uint_eq(config_count(config, "server:"), 2);
	config_free(&config);
}
END_TEST

START_TEST(a_program_without_an_app_can_include)
{
	struct config *config;
	const char *path = write_file("main.ini", "[app]\ninclude = s*.ini\n");

	write_file("s1.ini", "[server:a]\nexec=x\n");
	ck_assert_int_eq(config_load(path, sections + 1, &config), 0);
	ck_assert_uint_eq(config_count(config, "server:"), 1);
	config_free(&config);
	write_file("main.ini", "[app]\nname = x\n");
	ck_assert_int_eq(config_load(path, sections + 1, &config), -EINVAL);
	assert_error(config, 0, path, "known here: include");
	config_free(&config);
}
END_TEST

/* ---- files --------------------------------------------------------------- */

static void unreadable(const char *path, int rc, const char *words)
{
	struct config *config = load(path, rc);
	size_t count;
	const struct config_error *errors = config_errors(config, &count);

	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(errors[0].file, path);
	ck_assert_int_eq(errors[0].line, 0);
	ck_assert_ptr_nonnull(strstr(errors[0].text, words));
	ck_assert_ptr_nonnull(strstr(error_of(rc).text, words));
	ck_assert_ptr_nonnull(config_get(config, "app"));
	config_free(&config);
}

START_TEST(a_file_that_cannot_be_read_says_why)
{
	ck_assert_int_eq(mkfifo(path_of("fifo"), 0600), 0);
	unreadable(path_of("gone"), -ENOENT, "No such file or directory");
	unreadable(folder, -EISDIR, "Is a directory");
	unreadable(path_of("fifo"), -EINVAL, "not a regular file");
	unreadable("/dev/zero", -EINVAL, "not a regular file");
	unreadable("", -ENOENT, "No such file or directory");
	const char *path = write_file("large", "");
	ck_assert_int_eq(truncate(path, (64 << 20) + 1), 0);
	unreadable(path, -EFBIG, "larger than 64 MiB");
}
END_TEST

START_TEST(a_file_without_permission_says_so)
{
	const char *path = write_file("secret", "");
	uid_t uid = geteuid();

	ck_assert_int_eq(chmod(path, 0), 0);
	if (uid == 0)
		ck_assert_int_eq(seteuid(65534), 0);
	unreadable(path, -EACCES, "Permission denied");
	if (uid == 0)
		ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(a_file_of_ten_megabytes_is_read)
{
	const char *path = path_of("large.ini");
	FILE *file = fopen(path, "w");
	long n = 0;

	ck_assert_ptr_nonnull(file);
	for (; ftell(file) < 10 << 20; n++)
		fprintf(file,
		    "[server:s%ld]\nexec = sleep %ld ; %0200ld\n"
		    "env.A = %01000ld\n",
		    n, n, n, n);
	ck_assert_int_eq(fclose(file), 0);
	struct config *config = load(path, 0);
	ck_assert_uint_eq(config_count(config, "server:"), (size_t)n);
	const struct server *last = config_at(config, "server:", (size_t)n - 1);
	ck_assert_uint_eq(strlen(last->env[0]), 1002);
	config_free(&config);

	ck_assert_int_eq(truncate(path, 0), 0);
	ck_assert_int_eq(truncate(path, 10 << 20), 0);
	config = load(path, -EINVAL);
	assert_error(config, 0, path, "a NUL byte");
	config_free(&config);
}
END_TEST

/* ---- reference and sample ------------------------------------------------ */

static char *written(void (*write)(const struct config_section *, FILE *),
    const struct config_section *declared)
{
	char *text;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(file);
	write(declared, file);
	ck_assert_int_eq(fclose(file), 0);
	return text;
}

/* Takes the ';' from the lines that begin with one. */
static void uncomment(char *text)
{
	char *to = text;
	bool begin = true;

	for (; *text; text++) {
		if (!begin || *text != ';')
			*to++ = *text;
		begin = *text == '\n';
	}
	*to = '\0';
}

START_TEST(a_sample_is_valid_with_and_without_its_comments)
{
	char *sample = written(config_sample, sections);
	struct config *config = parse(sample);

	ck_assert_str_eq(first(config)->exec, "sleep 10");
	config_free(&config);
	uncomment(sample);
	config = parse(sample);
	const struct app *app = config_get(config, "app");
	const struct server *server = first(config);
	ck_assert_str_eq(app->name, "an $app ; it's");
	ck_assert_int_eq(app->port, 8080);
	ck_assert_int_eq(server->timeout_ms, 10000);
	ck_assert_int_eq(server->color, GREEN);
	ck_assert_str_eq(server->env[0], "NAME=value");
	ck_assert_str_eq(server->note, " \"kept\" ");
	config_free(&config);
	free(sample);
}
END_TEST

START_TEST(a_sample_has_what_is_shown_as_it_is)
{
	const struct config_field fields[] = {
	    {.key = "shown",
		.type = CONFIG_STRING,
		.example = "x",
		.shown = true},
	    {.key = "other", .type = CONFIG_STRING, .example = "y"},
	    {0},
	};
	const struct config_section own[] = {
	    {.name = "own", .fields = fields, .size = 8},
	    {0},
	};
	char *sample = written(config_sample, own);

	ck_assert_ptr_nonnull(strstr(sample, "\nshown = x\n"));
	ck_assert_ptr_nonnull(strstr(sample, "\n;other = y\n"));
	free(sample);
}
END_TEST

START_TEST(a_sample_makes_up_what_is_required)
{
	/* Every type, required, at an offset of its own, in a range that
	 * leaves out zero. */
	static const char *const names[] = {"one", NULL};
	struct config_field fields[] = {
	    {.key = "string", .type = CONFIG_STRING},
	    {.key = "int", .type = CONFIG_INT, .min = 7, .max = 9},
	    {.key = "negative", .type = CONFIG_INT, .min = -9, .max = -7},
	    {.key = "bool", .type = CONFIG_BOOL},
	    {.key = "duration", .type = CONFIG_DURATION, .min = 90061001},
	    {.key = "size", .type = CONFIG_SIZE, .min = 3 << 20},
	    {.key = "odd", .type = CONFIG_SIZE, .min = 1025},
	    {.key = "enum", .type = CONFIG_ENUM, .names = names},
	    {.key = "list", .type = CONFIG_LIST},
	    {.key = "map", .type = CONFIG_MAP},
	    {.key = "command", .type = CONFIG_COMMAND},
	    {0},
	};
	struct config_section own[] = {
	    {.name = "own", .fields = fields, .size = 11 * 8, .required = true},
	    {0},
	};
	struct config *config;

	for (size_t i = 0; fields[i].key; i++) {
		fields[i].offset = 8 * i;
		fields[i].required = true;
	}
	char *sample = written(config_sample, own);
	int rc = config_parse("s", sample, strlen(sample), own, &config);
	ck_assert_msg(!rc, "%s", error_of(rc).text);
	config_free(&config);
	ck_assert_ptr_nonnull(strstr(sample, "\nduration = 1d1h1m1s1ms\n"));
	ck_assert_ptr_nonnull(strstr(sample, "\nsize = 3MiB\n"));
	ck_assert_ptr_nonnull(strstr(sample, "\nodd = 1025\n"));
	ck_assert_ptr_nonnull(strstr(sample, "\n;include = "));
	free(sample);
}
END_TEST

START_TEST(the_reference_tells_every_key)
{
	char *text = written(config_reference, sections);
	static const char *const expected[] = {
	    "[app]\n    the app\n",
	    "[server:NAME]\n    a server\n",
	    "    env.NAME = ",
	    "    include = ",
	    "    port = a whole number, from 1 to 65535\n",
	    "        the port\n        default: 8080\n",
	    "    exec = a command\n        the command\n        must be there\n",
	    "    color = red, green or dark-blue\n        default: green\n",
	    "    delay = a duration like 250ms, 10s or 1m30s\n",
	};

	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
		ck_assert_msg(strstr(text, expected[i]) != NULL,
		    "no '%s' in\n%s", expected[i], text);
	for (const struct config_field *f = server_fields; f->key; f++)
		ck_assert_ptr_nonnull(strstr(text, f->key));
	free(text);
}
END_TEST

/* ---- threads ------------------------------------------------------------- */

static void *parse_often(void *arg)
{
	static const char text[] = "[app]\nname = ${HOME:x}\nport = 0\n"
				   "[server:a]\nexec = 'a ; b' ; c\nexce = d\n";
	bool *good = arg;

	for (int i = 0; i < 50; i++) {
		struct config *config;
		int rc = config_parse("t", text, sizeof(text) - 1, sections,
		    &config);
		size_t count;
		config_errors(config, &count);
		const struct server *server = config_at(config, "server:", 0);
		*good = *good && rc == -EINVAL && count == 2 &&
			!strcmp(server->exec, "'a ; b'") &&
			!strncmp(error_of(rc).text, "t:3: [app] port: ", 17);
		config_free(&config);
	}
	return NULL;
}

START_TEST(threads_do_not_disturb_one_another)
{
	pthread_t threads[4];
	bool good[4] = {true, true, true, true};

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, parse_often,
				     &good[i]),
		    0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		ck_assert(good[i]);
	}
}
END_TEST

/* ---- all of them --------------------------------------------------------- */

static void add(Suite *suite, const char *name, const TTest *test)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test);
	suite_add_tcase(suite, tc);
}
#define ADD(test) add(suite, #test, test)

int main(void)
{
	Suite *suite = suite_create("config");

	ADD(every_type_is_read);
	ADD(a_missing_key_has_its_default);
	ADD(a_missing_section_has_its_defaults);
	ADD(durations_have_units_that_descend);
	ADD(sizes_know_binary_and_decimal_units);
	ADD(integers_are_decimal_and_do_not_overflow);
	ADD(booleans_have_four_words_each);
	ADD(a_list_is_split_at_blanks_outside_of_quotes);
	ADD(a_map_has_its_names_in_order);
	ADD(quotes_around_a_whole_string_are_taken_off);
	ADD(a_wrong_type_says_what_would_be_right);
	ADD(a_number_out_of_range_says_the_range);
	ADD(a_number_that_is_too_large_for_any_says_so);
	ADD(what_is_quoted_from_a_file_is_printable_and_short);
	ADD(blanks_and_comments_do_not_count);
	ADD(a_value_does_not_go_on_in_the_next_line);
	ADD(a_byte_order_mark_and_crlf_are_accepted);
	ADD(files_without_content_are_valid);
	ADD(a_line_that_is_none_is_refused);
	ADD(a_nul_byte_is_refused);
	ADD(a_value_of_any_length_is_whole_or_refused);
	ADD(lines_behind_a_long_one_keep_their_numbers);
	ADD(a_key_is_never_cut);
	ADD(a_long_section_is_not_cut_to_a_known_one);
	ADD(bytes_that_are_blanks_elsewhere_stay_in_a_value);
	ADD(an_unknown_key_has_a_suggestion);
	ADD(the_known_keys_are_told_once);
	ADD(an_unknown_section_has_a_suggestion);
	ADD(a_name_has_its_rules);
	ADD(a_missing_key_is_named_at_its_section);
	ADD(a_missing_section_is_named_at_the_end);
	ADD(a_key_twice_names_the_first);
	ADD(a_section_twice_names_the_first);
	ADD(named_sections_are_in_the_order_of_the_file);
	ADD(all_errors_come_at_once_in_order);
	ADD(the_words_of_the_first_error_stay_in_the_thread);
	ADD(errors_beyond_a_hundred_are_counted);
	ADD(an_error_is_formatted_with_what_there_is_of_it);
	ADD(a_program_refuses_with_the_place_of_a_key);
	ADD(variables_are_put_into_values);
	ADD(variables_come_before_types);
	ADD(a_variable_that_cannot_be_put_in_is_refused);
	ADD(variables_do_not_make_a_value_too_long);
	ADD(a_section_stands_for_its_instances_in_its_place);
	ADD(each_instance_has_its_number_in_its_values);
	ADD(a_number_that_cannot_be_put_in_is_refused);
	ADD(an_error_of_instances_is_told_once);
	ADD(instances_have_names_of_their_own);
	ADD(files_are_included_relative_to_the_including_one);
	ADD(an_included_app_goes_on_with_the_first);
	ADD(what_is_twice_in_two_files_names_both);
	ADD(an_include_that_cannot_be_is_refused);
	ADD(a_circle_of_files_is_refused_with_its_path);
	ADD(a_file_is_not_read_twice);
	ADD(includes_are_not_endlessly_deep);
	ADD(a_folder_named_like_a_pattern_is_none);
	ADD(a_program_without_an_app_can_include);
	ADD(a_file_that_cannot_be_read_says_why);
	ADD(a_file_without_permission_says_so);
	ADD(a_file_of_ten_megabytes_is_read);
	ADD(a_sample_is_valid_with_and_without_its_comments);
	ADD(a_sample_makes_up_what_is_required);
	ADD(a_sample_has_what_is_shown_as_it_is);
	ADD(the_reference_tells_every_key);
	ADD(threads_do_not_disturb_one_another);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
