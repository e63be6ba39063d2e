/* A reload: the file read anew, compared with the one in force. */
#include <errno.h>

#include "cmd/cratos/reload.h"

/* All of what is wrong has been printed; the first of it is in the error. */
static int refuse(const struct reloader *reloader)
{
	const struct config *config = reloader->next.config;
	const struct config_error *errors;
	char text[200];
	size_t count;

	if (!config)
		return error_set(-ENOMEM, "out of memory");
	errors = config_errors(config, &count);
	if (!count)
		return error_set(-ENOMEM, "out of memory");
	appfile_error(&reloader->next, &errors[0], text, sizeof(text));
	if (count == 1)
		return error_set(-EINVAL, "%s", text);
	return error_set(-EINVAL, "%.150s; %zu error%s more, see above", text,
	    count - 1, count > 2 ? "s" : "");
}

static void drop(struct reloader *reloader)
{
	appfile_free(&reloader->next);
	reloader->next = (struct appfile){0};
}

int reloader_read(struct reloader *reloader, struct app_reload *reload,
    const struct printer *printer)
{
	drop(reloader);
	if (appfile_load(&reloader->next, reloader->path, true, &reloader->file,
		printer))
		return refuse(reloader);
	return appfile_change(&reloader->next, &reloader->file, reload);
}

/* What has been seen of the servers that stay. */
static void take_over(struct appfile *next, const struct appfile *file)
{
	for (size_t i = 0; i < next->count; i++) {
		struct appfile_server *server = &next->servers[i];
		const struct appfile_server *old =
		    appfile_find(file, server->name);

		if (!old || server->given)
			continue;
		server->exec = old->exec;
		server->has_ended = old->has_ended;
		server->stop_is_told = old->stop_is_told;
	}
}

void reloader_use(struct reloader *reloader)
{
	take_over(&reloader->next, &reloader->file);
	appfile_free(&reloader->file);
	reloader->file = reloader->next;
	reloader->next = (struct appfile){0};
}

void reloader_fini(struct reloader *reloader)
{
	drop(reloader);
	appfile_free(&reloader->file);
}
