#include <stdarg.h>
#include <stdio.h>

#include "app/names.h"

/* Room for how many are left out: " and 12345 more". */
enum { MORE_SIZE = 32, ONE_SIZE = 128 };

void names_init(struct names *names, char *text, size_t size)
{
	*names = (struct names){.text = text, .size = size};
	*text = '\0';
}

void names_add(struct names *names, const char *fmt, ...)
{
	char one[ONE_SIZE];
	int length;
	va_list ap;

	va_start(ap, fmt);
	length = vsnprintf(one, sizeof(one), fmt, ap);
	va_end(ap);
	if (names->left ||
	    names->used + (size_t)length + MORE_SIZE > names->size)
		names->left++;
	else
		names->used += (size_t)snprintf(names->text + names->used,
		    names->size - names->used, "%s%s", names->used ? ", " : "",
		    one);
}

void names_end(struct names *names)
{
	if (names->left)
		snprintf(names->text + names->used, names->size - names->used,
		    "%s%zu%s", names->used ? " and " : "", names->left,
		    names->used ? " more" : "");
}
