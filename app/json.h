/*
 * JSON, read and written by Jansson, which is loaded by who uses it first: who
 * does not needs it neither linked nor installed. A value belongs to what it was
 * put in, else to the caller. NULL is what there was no memory for, and accepted
 * wherever a value is; so only the end result needs to be looked at.
 */
#ifndef CRATOS_APP_JSON_H
#define CRATOS_APP_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Before all else. 0, or -ENOPKG with words. From any thread. */
int json_need_library(void);

/* ---- writing ---- */

json_t *json_new_object(void);
json_t *json_new_array(void);
/* What is no UTF-8 in it is replaced; NULL text is null. */
json_t *json_new_text(const char *text);
json_t *json_new_number(int64_t number);
json_t *json_new_bool(bool truth);

/* Puts a value in. Without memory it is dropped, and the object as well. */
void json_put(json_t **object, const char *key, json_t *value);
void json_append(json_t **array, json_t *value);

/* In one line; to be freed with free(3). NULL without memory. */
char *json_write(const json_t *value);

/* ---- reading ---- */

/* NULL if it is no JSON. */
json_t *json_parse(const char *text, size_t size);
/* What is not there, or is another type, is NULL, "", 0, false. */
json_t *json_member(const json_t *object, const char *key);
const char *json_text_of(const json_t *object, const char *key);
/* Of a text itself, NULL if it is another type. */
const char *json_text(const json_t *value);
int64_t json_number_of(const json_t *object, const char *key);
bool json_bool_of(const json_t *object, const char *key);
size_t json_count(const json_t *array);
json_t *json_element(const json_t *array, size_t i);

void json_drop(json_t **value);

#endif
