#include "server/lazy.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

bool lazy_load(const char *library, const struct lazy_symbol *symbols,
    size_t count, char *why, size_t size)
{
	void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	bool found = handle;

	for (size_t i = 0; i < count && found; i++) {
		void *symbol = dlsym(handle, symbols[i].name);

		/* A pointer to a function is none to an object, in C. */
		memcpy(symbols[i].place, &symbol, sizeof(symbol));
		found = symbol;
	}
	if (!found)
		snprintf(why, size, "%s", dlerror());
	return found;
}
