/* Events as lines on standard error. */
#ifndef CRATOS_CMD_PRINT_H
#define CRATOS_CMD_PRINT_H

#include <stdatomic.h>

#include <cratos/app.h>

#include "cmd/cratos/appfile.h"
#include "cmd/cratos/line.h"
#include "cmd/cratos/main.h"

struct printer {
	struct appfile *file; /* in force */
	struct appfile *next; /* being put in force, or NULL */
	enum output_format output;
	enum level least; /* what is less urgent is not printed */
	bool terminal, colour, journal;
	bool reloads; /* on SIGHUP */
	char *name; /* the app's, which does not change */
	atomic_int name_width; /* other threads print as well */
	bool has_run, unready, has_stopped;
	bool ending; /* by force: each line may be the last */
	size_t lost; /* servers that the app goes on without */
	int64_t up_ms, down_ms; /* how long start and stop took so far */
};

/* In this order: what a file is to be read for; the file; when all is said. */
void printer_init(struct printer *printer, const struct run_options *options);
int printer_begin(struct printer *printer, struct appfile *file); /* -ENOMEM */
void printer_fini(struct printer *printer);

/* app_options.on_event; arg is the printer. */
void printer_event(const struct app_event *event, void *arg);

/* A line that a server has printed, or a part of one that is too long. */
struct printed {
	const char *name;
	unsigned int colour; /* which of some */
	const char *text; /* without a newline */
	size_t size;
	bool goes_on; /* from the part before */
	struct timespec time;
};

/*
 * Puts it after the others in lines, with a newline. There must be room for
 * PRINTED_ROOM(size). From any thread.
 */
void printer_output(const struct printer *printer, struct printed printed,
    struct line *lines);
#define PRINTED_ROOM(size) (6 * (size) + 512)

/* The last line: how it ended, by what app_run said. */
void printer_end(const struct printer *printer, const struct error *err,
    size_t errors);

/*
 * What is wrong with a file, or with us: "cratos: TEXT", or a JSON object. From
 * any thread. NULL is a printer of plain lines.
 */
void print_problem(const struct printer *printer, const char *text);

/* "250 ms", "1.5 s", "10 s". */
const char *print_duration(int64_t ms, char buffer[static 32]);

#endif
