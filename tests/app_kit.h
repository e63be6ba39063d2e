/*
 * What the app's suites share: a journal of what happened, servers and hooks
 * that write to it, and children in which an app may end its process.
 */
#ifndef TESTS_APP_KIT_H
#define TESTS_APP_KIT_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cratos/app.h>

#include "tests/event.h"
#include "tests/suite.h"

/* Time that nobody is to run out of, in ms. */
enum { LONG_MS = 1000 * EVENT_PATIENCE_S };

static inline int64_t kit_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* Takes time; nobody relies on how much. */
static inline void kit_pause_ms(int ms)
{
	struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&pause, NULL);
}

/* ---- the journal ---- */

static struct {
	pthread_mutex_t lock;
	char text[32768]; /* words, each after a space */
} journal = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void note(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
static inline void note(const char *fmt, ...)
{
	va_list ap;
	size_t used;

	va_start(ap, fmt);
	pthread_mutex_lock(&journal.lock);
	used = strlen(journal.text);
	if (used + 1 < sizeof(journal.text))
		journal.text[used++] = ' ';
	vsnprintf(journal.text + used, sizeof(journal.text) - used, fmt, ap);
	pthread_mutex_unlock(&journal.lock);
	va_end(ap);
}

/* How often the word is there; *place is the last one's, from 1. */
static inline int noted_in(const char *word, int *place)
{
	size_t length = strlen(word);
	int count = 0, places = 0;

	pthread_mutex_lock(&journal.lock);
	for (const char *text = journal.text; *text;) {
		size_t word_length = strcspn(text + 1, " ");

		places++;
		if (word_length == length && !strncmp(text + 1, word, length)) {
			count++;
			*place = places;
		}
		text += 1 + word_length;
	}
	pthread_mutex_unlock(&journal.lock);
	return count;
}

static inline int noted(const char *word)
{
	int place;

	return noted_in(word, &place);
}

static inline int noted_at(const char *word)
{
	int place = 0;

	noted_in(word, &place);
	return place;
}

/* The words are there, once each, and in this order; NULL ends them. */
#define ck_assert_noted_in_order(...)                                          \
	do {                                                                   \
		const char *const words_[] = {__VA_ARGS__, NULL};              \
		for (int i_ = 0; words_[i_]; i_++) {                           \
			ck_assert_msg(noted(words_[i_]) == 1,                  \
			    "%s not once in:%s", words_[i_], journal.text);    \
			ck_assert_msg(!i_ || noted_at(words_[i_ - 1]) <        \
						 noted_at(words_[i_]),         \
			    "%s not before %s in:%s", words_[i_ ? i_ - 1 : 0], \
			    words_[i_], journal.text);                         \
		}                                                              \
	} while (0)

/* The journal is exactly this. */
#define ck_assert_journal(expected) \
	ck_assert_str_eq(*journal.text ? journal.text + 1 : "", expected)

/* ---- events ---- */

static inline void word_of_event(const struct app_event *event, char *word,
    size_t size)
{
	const char *name = app_event_name(event->type);

	if (event->type == APP_EVENT_STATE)
		snprintf(word, size, "%s:%s", name,
		    app_state_name(event->state));
	else if (event->type == APP_EVENT_SIGNAL ||
		 event->type == APP_EVENT_FORCED)
		snprintf(word, size, "%s:%d", name, event->signal);
	else
		snprintf(word, size, "%s%s%s", name,
		    event->server || event->error ? ":" : "",
		    event->server  ? event->server
		    : event->error ? event->error->origin
				   : "");
	for (; *word; word++)
		if (*word == ' ')
			*word = '-';
}

static inline void note_event(const struct app_event *event, void *arg)
{
	char word[64];

	(void)arg;
	word_of_event(event, word, sizeof(word));
	note("%s", word);
}

/* ---- an app ---- */

static struct app_options options = {.stop_timeout_ms = LONG_MS};
static struct app *app;
static struct error result;

static inline void app_make(void)
{
	app = app_new(&options);
	ck_assert_ptr_nonnull(app);
}

static inline int app_go(void)
{
	int code = app_run(app, &result);

	ck_assert_int_eq(code, result.code);
	return code;
}

/* The nth error of the run; zeros if there are not so many. */
static inline struct error nth_error(size_t n)
{
	size_t count;
	const struct error *errors = app_errors(app, &count);

	return n < count ? errors[n] : (struct error){0};
}

static inline size_t error_count(void)
{
	size_t count;

	app_errors(app, &count);
	return count;
}

/* ---- a server that writes to the journal ---- */

struct probe {
	const char *name;
	bool blocks; /* start returns once quit is set */
	int start_code, stop_code;
	struct event started, quit;
};

#define PROBE(...)                                                     \
	{                                                              \
		__VA_ARGS__, .started = EVENT_INIT, .quit = EVENT_INIT \
	}

static inline int probe_start(struct context *ctx, void *arg)
{
	struct probe *probe = arg;

	(void)ctx;
	note("start:%s", probe->name);
	event_set(&probe->started);
	if (probe->blocks)
		event_wait(&probe->quit);
	if (probe->start_code)
		return error_set(probe->start_code, "%s cannot start",
		    probe->name);
	note("end:%s", probe->name);
	return 0;
}

static inline int probe_stop(struct context *ctx, void *arg)
{
	struct probe *probe = arg;

	(void)ctx;
	/* It was called, but its thread may not have come so far. */
	event_wait(&probe->started);
	note("stop:%s", probe->name);
	event_set(&probe->quit);
	if (probe->stop_code)
		return error_set(probe->stop_code, "%s cannot stop",
		    probe->name);
	return 0;
}

static inline struct server probe_server(struct probe *probe)
{
	return (struct server){.name = probe->name,
	    .start = probe_start,
	    .stop = probe_stop,
	    .arg = probe};
}

static inline void add(const struct server *server)
{
	ck_assert_int_eq(app_add_server(app, server), 0);
}

static inline void add_probe(struct probe *probe)
{
	struct server server = probe_server(probe);

	add(&server);
}

/* ---- hooks ---- */

static inline int note_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	note("%s", (const char *)arg);
	return 0;
}

static inline int stop_hook(struct context *ctx, void *arg)
{
	(void)arg;
	app_stop(app_from_context(ctx));
	return 0;
}

static inline int fail_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	note("%s", (const char *)arg);
	return -EIO;
}

static inline void hook(enum app_phase phase, task_fn *fn, const void *arg)
{
	ck_assert_int_eq(app_add_hook(app, phase, fn, (void *)arg), 0);
}

/* The app stops as soon as it is up. */
static inline void stop_when_up(void)
{
	hook(APP_AFTER_START, stop_hook, NULL);
}

/* ---- a child ---- */

struct child {
	pid_t pid;
	int fd;
	char line[256];
};

static int child_out = -1;

static inline void tell(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
static inline void tell(const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int length;

	va_start(ap, fmt);
	length = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (length > (int)sizeof(line) - 2)
		length = (int)sizeof(line) - 2;
	line[length++] = '\n';
	if (write(child_out, line, (size_t)length) != length)
		_exit(97);
}

static inline void tell_event(const struct app_event *event, void *arg)
{
	char word[64];

	(void)arg;
	word_of_event(event, word, sizeof(word));
	if (event->type == APP_EVENT_STUCK)
		tell("%s:%s", word, event->error->text);
	else
		tell("%s", word);
}

/* Runs body in a child, which ends with what it returns. */
static inline void child_start(struct child *child, int (*body)(void))
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	child->pid = fork();
	ck_assert_int_ge(child->pid, 0);
	if (!child->pid) {
		close(ends[0]);
		child_out = ends[1];
		/* Not the handlers of the test runner. */
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		_exit(body());
	}
	close(ends[1]);
	child->fd = ends[0];
}

/* The next line that the child tells; false if there is none to come. */
static inline bool child_next(struct child *child)
{
	struct pollfd pollfd = {.fd = child->fd, .events = POLLIN};
	size_t length = 0;

	do {
		ck_assert_int_eq(poll(&pollfd, 1, LONG_MS), 1);
		if (read(child->fd, child->line + length, 1) != 1)
			return false;
	} while (child->line[length++] != '\n');
	child->line[length - 1] = '\0';
	return true;
}

/* Skips lines up to the one that begins so. */
static inline void child_until(struct child *child, const char *beginning)
{
	int status = -1;

	do {
		if (child_next(child))
			continue;
		waitpid(child->pid, &status, 0);
		ck_abort_msg("the child never told: %s; status %#x, last: %s",
		    beginning, (unsigned)status, child->line);
	} while (strncmp(child->line, beginning, strlen(beginning)) != 0);
}

/* Waits for its end; the status as wait(2) has it. */
static inline int child_end(struct child *child)
{
	int status;

	while (child_next(child))
		;
	close(child->fd);
	ck_assert_int_eq(waitpid(child->pid, &status, 0), child->pid);
	return status;
}

#define ck_assert_exit(child, code)                                          \
	do {                                                                 \
		int status_ = child_end(child);                              \
		ck_assert_msg(WIFEXITED(status_) &&                          \
				  WEXITSTATUS(status_) == (code),            \
		    "wait status %#x instead of exit %d", (unsigned)status_, \
		    code);                                                   \
	} while (0)

#endif
