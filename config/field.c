/*
 * The types of values: from text, to text, and their description.
 *
 * Nothing here depends on the locale, so strtol, strcasecmp and isspace are
 * not used.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "config/field.h"
#include "config/nearest.h"
#include "config/printable.h"
#include "config/quotes.h"

struct unit {
	const char *name;
	int64_t factor;
};

/* From large to small, the order in which they follow one another. */
static const struct unit duration_units[] = {{"d", 86400000}, {"h", 3600000},
    {"m", 60000}, {"s", 1000}, {"ms", 1}, {0}};

/* What is printed takes the first that divides evenly. */
static const struct unit size_units[] = {{"TiB", INT64_C(1) << 40},
    {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1},
    {"T", INT64_C(1) << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10},
    {"TB", 1000000000000}, {"GB", 1000000000}, {"MB", 1000000}, {"KB", 1000},
    {0}};

/* ---- text ---------------------------------------------------------------- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b))
		a++, b++;
	return lower(*a) == lower(*b);
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits to a number; *end is behind them. False if there is none, or if it
 * is too large, which sets *large. */
static bool number(const char *text, const char **end, int64_t *n, bool *large)
{
	const char *p = text;

	for (*n = 0; digit(*p); p++) {
		if (__builtin_mul_overflow(*n, 10, n) ||
		    __builtin_add_overflow(*n, *p - '0', n)) {
			*large = true;
			return false;
		}
	}
	*end = p;
	return p > text;
}

/* ---- ranges -------------------------------------------------------------- */

static bool is_number(const struct config_field *field)
{
	return field->type == CONFIG_INT || field->type == CONFIG_DURATION ||
	       field->type == CONFIG_SIZE;
}

/* No maximum is given as 0, which it can be only for a negative minimum. */
static int64_t maximum(const struct config_field *field)
{
	return field->max == 0 && field->min >= 0 ? INT64_MAX : field->max;
}

static size_t format_duration(int64_t ms, char *text, size_t size)
{
	size_t used = 0;

	for (const struct unit *unit = duration_units; unit->name; unit++) {
		if (ms < unit->factor)
			continue;
		used += (size_t)snprintf(text + used, size - used,
		    "%" PRId64 "%s", ms / unit->factor, unit->name);
		ms %= unit->factor;
	}
	return used;
}

/* A number as it is written in a file. */
static void format(const struct config_field *field, int64_t n, char *text,
    size_t size)
{
	const struct unit *unit = size_units;

	if (field->type == CONFIG_DURATION && n > 0) {
		format_duration(n, text, size);
	} else if (field->type == CONFIG_SIZE && n > 0) {
		while (n % unit->factor)
			unit++;
		snprintf(text, size, "%" PRId64 "%s", n / unit->factor,
		    unit->factor == 1 ? "" : unit->name);
	} else {
		snprintf(text, size, "%" PRId64, n);
	}
}

/* "from 1 to 64", "1 or more", "up to 64", or nothing. */
static void format_range(const struct config_field *field, char *text,
    size_t size)
{
	int64_t min = field->min, max = maximum(field);
	char low[40], high[40];

	format(field, min, low, sizeof(low));
	format(field, max, high, sizeof(high));
	if (min == INT64_MIN && max == INT64_MAX)
		*text = '\0';
	else if (max == INT64_MAX)
		snprintf(text, size, "%s or more", low);
	else if (min == INT64_MIN)
		snprintf(text, size, "%s or less", high);
	else
		snprintf(text, size, "from %s to %s", low, high);
}

/* ---- what is wrong ------------------------------------------------------- */

static int refuse(const struct config_field *field, const char *text,
    char *words)
{
	char right[FIELD_RIGHT_BYTES];

	field_describe(field, right);
	if (*text)
		snprintf(words, FIELD_WORDS_BYTES, "'%s' is not %s",
		    excerpt_of(text).text, right);
	else
		snprintf(words, FIELD_WORDS_BYTES,
		    "the value is empty; it should be %s", right);
	return -EINVAL;
}

static int refuse_range(const struct config_field *field, const char *text,
    char *words)
{
	char range[96];

	format_range(field, range, sizeof(range));
	snprintf(words, FIELD_WORDS_BYTES, "%s is out of range%s%s",
	    excerpt_of(text).text, *range ? "; it should be " : "", range);
	return -EINVAL;
}

/* So large that no number holds it: then "0 or more" does not help. */
static int refuse_large(const struct config_field *field, const char *text,
    char *words)
{
	char range[96];

	if (maximum(field) < INT64_MAX || *text == '-')
		return refuse_range(field, text, words);
	format_range(field, range, sizeof(range));
	snprintf(words, FIELD_WORDS_BYTES,
	    "%s is out of range, too large for 64 bits%s%s",
	    excerpt_of(text).text, *range ? "; it should be " : "", range);
	return -EINVAL;
}

/* ---- types --------------------------------------------------------------- */

static int check_range(const struct config_field *field, const char *text,
    int64_t n, void *slot, char *words)
{
	if (n < field->min || n > maximum(field))
		return refuse_range(field, text, words);
	memcpy(slot, &n, sizeof(n));
	return 0;
}

static int parse_int(const struct config_field *field, const char *text,
    void *slot, char *words)
{
	const char *p = text + (*text == '-' || *text == '+');
	bool large = false;
	int64_t n;

	if (!number(p, &p, &n, &large)) {
		/* The smallest number has no positive counterpart. */
		if (!strcmp(text, "-9223372036854775808"))
			return check_range(field, text, INT64_MIN, slot, words);
		while (large && digit(*p))
			p++;
		if (!large || *p)
			return refuse(field, text, words);
		return refuse_large(field, text, words);
	}
	if (*p)
		return refuse(field, text, words);
	return check_range(field, text, *text == '-' ? -n : n, slot, words);
}

static int parse_bool(const struct config_field *field, const char *text,
    void *slot, char *words)
{
	static const char *const names[] = {"false", "true", "no", "yes", "off",
	    "on", "0", "1", NULL};

	for (int i = 0; names[i]; i++) {
		if (same(text, names[i])) {
			bool value = i % 2;
			memcpy(slot, &value, sizeof(value));
			return 0;
		}
	}
	return refuse(field, text, words);
}

/* The unit at text, NULL if there is none; *end is behind it. Case counts not
 * for sizes, but 1M is no minute. */
static const struct unit *find_unit(const struct unit *units, const char *text,
    const char **end)
{
	bool fold = units == size_units;
	size_t size = 0;

	while (lower(text[size]) >= 'a' && lower(text[size]) <= 'z')
		size++;
	*end = text + size;
	for (const struct unit *unit = units; unit->name; unit++) {
		size_t i = 0;
		while (i < size &&
		       (text[i] == unit->name[i] ||
			   (fold && lower(text[i]) == lower(unit->name[i]))))
			i++;
		if (size && i == size && !unit->name[i])
			return unit;
	}
	return NULL;
}

static int parse_duration(const struct config_field *field, const char *text,
    void *slot, char *words)
{
	const struct unit *last = NULL;
	int64_t total = 0, n;
	bool large = false;
	const char *p = text;

	while (*p) {
		if (!number(p, &p, &n, &large))
			return large ? refuse_large(field, text, words)
				     : refuse(field, text, words);
		if (!*p && !last) {
			if (n == 0)
				break;
			snprintf(words, FIELD_WORDS_BYTES,
			    "%s has no unit; write %s followed by ms, s, m, h "
			    "or d, as in %ss",
			    excerpt_of(text).text, excerpt_of(text).text,
			    excerpt_of(text).text);
			return -EINVAL;
		}
		const struct unit *unit = find_unit(duration_units, p, &p);
		if (!unit || (last && unit->factor >= last->factor))
			return refuse(field, text, words);
		if (__builtin_mul_overflow(n, unit->factor, &n) ||
		    __builtin_add_overflow(total, n, &total))
			return refuse_large(field, text, words);
		last = unit;
	}
	if (!*text)
		return refuse(field, text, words);
	return check_range(field, text, total, slot, words);
}

static int parse_size(const struct config_field *field, const char *text,
    void *slot, char *words)
{
	bool large = false;
	const char *p;
	int64_t n;

	if (!number(text, &p, &n, &large))
		return large ? refuse_large(field, text, words)
			     : refuse(field, text, words);
	if (*p) {
		const struct unit *unit = find_unit(size_units, p, &p);
		if (!unit || *p)
			return refuse(field, text, words);
		if (__builtin_mul_overflow(n, unit->factor, &n))
			return refuse_large(field, text, words);
	}
	return check_range(field, text, n, slot, words);
}

static int parse_enum(const struct config_field *field, const char *text,
    void *slot, char *words)
{
	struct nearest nearest = {.wrong = text};

	for (int i = 0; field->names[i]; i++) {
		if (!strcmp(text, field->names[i])) {
			memcpy(slot, &i, sizeof(i));
			return 0;
		}
		nearest_try(&nearest, field->names[i]);
	}
	refuse(field, text, words);
	if (nearest.name[0]) {
		size_t used = strlen(words);
		snprintf(words + used, FIELD_WORDS_BYTES - used,
		    "; did you mean '%s'?", nearest.name);
	}
	return -EINVAL;
}

static int parse_string(struct arena *arena, const char *text, void *slot)
{
	const char *copy = arena_copy(arena, text, strlen(text));

	if (!copy)
		return -ENOMEM;
	memcpy(slot, &copy, sizeof(copy));
	return 0;
}

static int parse_list(struct arena *arena, const char *text, void *slot,
    char *words)
{
	const char *const *list;
	int rc = quotes_split(arena, text, &list);

	if (!rc)
		memcpy(slot, &list, sizeof(list));
	else if (rc == -EINVAL)
		snprintf(words, FIELD_WORDS_BYTES,
		    "a quote is not closed in: %s", excerpt_of(text).text);
	return rc;
}

int field_parse(struct arena *arena, const struct config_field *field,
    const char *text, void *data, char *words)
{
	void *slot = (char *)data + field->offset;

	switch (field->type) {
	case CONFIG_STRING:
	case CONFIG_COMMAND:
		return parse_string(arena, text, slot);
	case CONFIG_INT:
		return parse_int(field, text, slot, words);
	case CONFIG_BOOL:
		return parse_bool(field, text, slot, words);
	case CONFIG_DURATION:
		return parse_duration(field, text, slot, words);
	case CONFIG_SIZE:
		return parse_size(field, text, slot, words);
	case CONFIG_ENUM:
		return parse_enum(field, text, slot, words);
	case CONFIG_LIST:
		return parse_list(arena, text, slot, words);
	case CONFIG_MAP:
		break;
	}
	assert(!"a field of that type has no value");
	return -EINVAL;
}

bool field_unquotes(const struct config_field *field)
{
	return field->type == CONFIG_STRING || field->type == CONFIG_MAP;
}

/* ---- description --------------------------------------------------------- */

static void describe_enum(const struct config_field *field, char *right)
{
	size_t used = 0;

	for (int i = 0; field->names[i] && used < FIELD_RIGHT_BYTES; i++) {
		const char *before = i == 0		   ? ""
				     : field->names[i + 1] ? ", "
							   : " or ";
		used += (size_t)snprintf(right + used, FIELD_RIGHT_BYTES - used,
		    "%s%s", before, field->names[i]);
	}
}

static const char *kind(const struct config_field *field)
{
	switch (field->type) {
	case CONFIG_STRING:
		return "a text";
	case CONFIG_COMMAND:
		return "a command";
	case CONFIG_INT:
		return "a whole number";
	case CONFIG_BOOL:
		return "true or false (or yes, no, on, off, 1, 0)";
	case CONFIG_DURATION:
		return "a duration like 250ms, 10s or 1m30s";
	case CONFIG_SIZE:
		return "a size like 512, 64KiB or 10MB";
	case CONFIG_LIST:
		return "words with blanks between them";
	case CONFIG_MAP:
		return "a text for each NAME";
	case CONFIG_ENUM:
		break;
	}
	return "";
}

void field_describe(const struct config_field *field, char *right)
{
	char range[96] = "";

	if (field->type == CONFIG_ENUM) {
		describe_enum(field, right);
		return;
	}
	/* "0 or more" goes without saying, but for a plain number. */
	if (is_number(field) &&
	    (field->type == CONFIG_INT || field->min || field->max))
		format_range(field, range, sizeof(range));
	snprintf(right, FIELD_RIGHT_BYTES, "%s%s%s", kind(field),
	    *range ? ", " : "", range);
}

/* ---- sample -------------------------------------------------------------- */

/* A value of the declaration as it has to be written in a file: with '$'
 * doubled, and quotes where blanks or a comment's sign would be lost. */
static void write_value(const struct config_field *field, const char *value,
    FILE *out)
{
	size_t n = strlen(value);
	bool quote = field_unquotes(field) && n &&
		     (is_blank(value[0]) || is_blank(value[n - 1]) ||
			 quotes_comment(value, value + n) != value + n ||
			 value[0] == '"' || value[0] == '\'');

	if (quote)
		fputc('"', out);
	for (; *value; value++) {
		if (*value == '$')
			fputc('$', out);
		if (quote && (*value == '"' || *value == '\\'))
			fputc('\\', out);
		fputc(*value, out);
	}
	if (quote)
		fputc('"', out);
}

void field_sample(const struct config_field *field, const char *before,
    FILE *out)
{
	const char *value = field->fallback ? field->fallback : field->example;
	int64_t n = field->min > 0 ? field->min : 0;
	char text[40] = "";

	if (!value && is_number(field)) {
		format(field, n > maximum(field) ? maximum(field) : n, text,
		    sizeof(text));
		value = text;
	} else if (!value && field->type == CONFIG_BOOL) {
		value = "false";
	} else if (!value && field->type == CONFIG_ENUM) {
		value = field->names[0];
	} else if (!value && (field->required || field->type == CONFIG_MAP)) {
		value = "value";
	}
	if (value && *value) {
		fputs(before, out);
		write_value(field, value, out);
	}
}
