/* JSON by Jansson; its inline functions are not used, since they are linked. */
#include "app/json.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cratos/error.h>

#include "server/lazy.h"

#define LIBRARY "libjansson.so.4"
#define SYMBOLS(X)                     \
	X(json_object)                 \
	X(json_array)                  \
	X(json_stringn_nocheck)        \
	X(json_integer)                \
	X(json_true)                   \
	X(json_false)                  \
	X(json_null)                   \
	X(json_object_set_new_nocheck) \
	X(json_array_append_new)       \
	X(json_dumps)                  \
	X(json_loadb)                  \
	X(json_object_get)             \
	X(json_string_value)           \
	X(json_integer_value)          \
	X(json_array_size)             \
	X(json_array_get)              \
	X(json_delete)

#define MEMBER(name) __typeof__(name) *(name);
static struct {
	pthread_once_t once;
	bool loaded;
	char why[128];
	SYMBOLS(MEMBER)
} lib = {.once = PTHREAD_ONCE_INIT};

static void load(void)
{
#define SYMBOL(name) {#name, &lib.name},
	const struct lazy_symbol symbols[] = {SYMBOLS(SYMBOL)};

	lib.loaded = lazy_load(LIBRARY, symbols,
	    sizeof(symbols) / sizeof(*symbols), lib.why, sizeof(lib.why));
}

int json_need_library(void)
{
	pthread_once(&lib.once, load);
	if (lib.loaded)
		return 0;
	return error_set(-ENOPKG,
	    "JSON needs Jansson (Debian: libjansson4): %s", lib.why);
}

/* ---- writing ---- */

json_t *json_new_object(void)
{
	return lib.json_object();
}

json_t *json_new_array(void)
{
	return lib.json_array();
}

json_t *json_new_number(int64_t number)
{
	return lib.json_integer(number);
}

json_t *json_new_bool(bool truth)
{
	return truth ? lib.json_true() : lib.json_false();
}

/* The bytes of the character there, 0 if it is none. */
static size_t character(const unsigned char *at)
{
	static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t size = *at < 0x80   ? 1
		      : *at < 0xc0 ? 0
		      : *at < 0xe0 ? 2
		      : *at < 0xf0 ? 3
		      : *at < 0xf8 ? 4
				   : 0;
	unsigned code = size > 1 ? *at & (0xffU >> (size + 1)) : *at;

	for (size_t i = 1; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (at[i] & 0x3f);
	}
	if (size && (code < least[size] || code > 0x10ffff ||
			(code >= 0xd800 && code < 0xe000)))
		return 0;
	return size;
}

json_t *json_new_text(const char *text)
{
	static const char replacement[] = "\xef\xbf\xbd";
	size_t length = text ? strlen(text) : 0, used = 0;
	json_t *value;
	char *clean;

	if (!text)
		return lib.json_null();
	clean = malloc(strlen(replacement) * length + 1);
	if (!clean)
		return NULL;
	while (*text) {
		size_t size = character((const unsigned char *)text);

		if (size) {
			memcpy(clean + used, text, size);
			used += size;
		} else {
			memcpy(clean + used, replacement, strlen(replacement));
			used += strlen(replacement);
		}
		text += size ? size : 1;
	}
	value = lib.json_stringn_nocheck(clean, used);
	free(clean);
	return value;
}

void json_put(json_t **object, const char *key, json_t *value)
{
	/* It drops the value itself, if it fails. */
	if (*object &&
	    (!value || lib.json_object_set_new_nocheck(*object, key, value)))
		json_drop(object);
	else if (!*object)
		json_drop(&value);
}

void json_append(json_t **array, json_t *value)
{
	if (*array && (!value || lib.json_array_append_new(*array, value)))
		json_drop(array);
	else if (!*array)
		json_drop(&value);
}

char *json_write(const json_t *value)
{
	return value ? lib.json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY)
		     : NULL;
}

/* ---- reading ---- */

json_t *json_parse(const char *text, size_t size)
{
	return lib.json_loadb(text, size, JSON_DECODE_ANY, NULL);
}

json_t *json_member(const json_t *object, const char *key)
{
	return lib.json_object_get(object, key);
}

const char *json_text_of(const json_t *object, const char *key)
{
	const char *text =
	    lib.json_string_value(lib.json_object_get(object, key));

	return text ? text : "";
}

const char *json_text(const json_t *value)
{
	return lib.json_string_value(value);
}

int64_t json_number_of(const json_t *object, const char *key)
{
	return lib.json_integer_value(lib.json_object_get(object, key));
}

bool json_bool_of(const json_t *object, const char *key)
{
	return json_is_true(lib.json_object_get(object, key));
}

size_t json_count(const json_t *array)
{
	return lib.json_array_size(array);
}

json_t *json_element(const json_t *array, size_t i)
{
	return lib.json_array_get(array, i);
}

/* What json_decref does. */
void json_drop(json_t **value)
{
	json_t *old = *value;

	*value = NULL;
	if (old && old->refcount != (size_t)-1 &&
	    JSON_INTERNAL_DECREF(old) == 0)
		lib.json_delete(old);
}
