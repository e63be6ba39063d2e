/*
 * Text of unknown origin, made fit to be printed: a broken file must not send
 * escape sequences to the terminal of whoever reads what is wrong with it.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "config/printable.h"

/* The length of the character at text if it is one to print, or 0. */
static size_t character(const unsigned char *text)
{
	uint32_t least, code;
	size_t size;

	if (text[0] < 0x80)
		return text[0] >= 0x20 && text[0] != 0x7f;
	if ((text[0] & 0xe0) == 0xc0) {
		size = 2, least = 0x80, code = text[0] & 0x1f;
	} else if ((text[0] & 0xf0) == 0xe0) {
		size = 3, least = 0x800, code = text[0] & 0x0f;
	} else if ((text[0] & 0xf8) == 0xf0) {
		size = 4, least = 0x10000, code = text[0] & 0x07;
	} else {
		return 0;
	}
	for (size_t i = 1; i < size; i++) {
		if ((text[i] & 0xc0) != 0x80) /* the NUL at the end as well */
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	if (code < least || code > 0x10ffff || (code >> 11) == 0x1b)
		return 0;
	return code < 0xa0 ? 0 : size; /* U+0080 to 9F are controls */
}

static size_t escape(char to[5], unsigned char byte)
{
	if (byte == '\n' || byte == '\t')
		return (size_t)sprintf(to, "\\%c", byte == '\n' ? 'n' : 't');
	return (size_t)sprintf(to, "\\x%02x", byte);
}

char *printable(char *to, size_t size, const char *text)
{
	size_t used = 0, cut = 0; /* cut: where "..." has room */

	assert(size >= 4);
	while (*text) {
		char escaped[5];
		const char *from = text;
		size_t n = character((const unsigned char *)text);
		text += n ? n : 1;
		if (!n) {
			n = escape(escaped, (unsigned char)*from);
			from = escaped;
		}
		if (used + n >= size) {
			memcpy(to + cut, "...", 4);
			return to;
		}
		memcpy(to + used, from, n);
		used += n;
		if (used + 4 <= size)
			cut = used;
	}
	to[used] = '\0';
	return to;
}

struct excerpt excerpt_of(const char *text)
{
	struct excerpt excerpt = {""};

	printable(excerpt.text, sizeof(excerpt.text), text);
	return excerpt;
}
