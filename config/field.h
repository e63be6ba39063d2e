/* The types of values: from text, to text, and their description. */
#ifndef CRATOS_CONFIG_FIELD_H
#define CRATOS_CONFIG_FIELD_H

#include <stdbool.h>
#include <stdio.h>

#include <cratos/config.h>

#include "config/arena.h"

/* Room for the words of what is wrong with a value, and of what is right. */
enum { FIELD_WORDS_BYTES = 320, FIELD_RIGHT_BYTES = 200 };

/*
 * Puts the value of text into the section's struct at data. Not for maps.
 * Returns 0, -ENOMEM, or -EINVAL with the words of what is wrong and what
 * would be right in words, of FIELD_WORDS_BYTES.
 */
int field_parse(struct arena *arena, const struct config_field *field,
    const char *text, void *data, char *words);

/* Whether quotes around the whole of a value are not part of it. */
bool field_unquotes(const struct config_field *field);

/* What the field takes, as in "a whole number, from 1 to 64", in right, of
 * FIELD_RIGHT_BYTES. */
void field_describe(const struct config_field *field, char *right);

/*
 * Writes before and a value that the field accepts, as it stands in a file:
 * the default, the example, or one made up. Nothing if the field may be empty
 * and is so by default.
 */
void field_sample(const struct config_field *field, const char *before,
    FILE *out);

#endif
