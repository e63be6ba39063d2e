/*
 * The probes of a child.
 *
 * Design notes. All that is to be watched for a run (a timer, the connection or
 * the child of an attempt, the pipe or the socket by which the server's child
 * tells) is in an epoll instance of its own, and the app's loop watches that one
 * descriptor. So descriptors may come and go as attempts do, and be watched for
 * writing. A look takes one event: if there are more, the loop calls again.
 *
 * `lock` guards all that changes: looks happen on the loop, stop and begin on
 * threads of tasks, and executing a probe on a thread of the pool. What a look
 * has found is handed back, for the caller to tell the app without the lock.
 * It is taken under the exec's, and no other under it but the pool's.
 *
 * No event of a former attempt is taken for one of the next: its descriptors are
 * closed, or its child's reaped, before that begins; and a time that has run out
 * is read from the timer, which setting it anew takes back.
 *
 * There is one timer: of an attempt that is under way, else until the next one.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "errgroup/clock.h"
#include "server/attempt.h"
#include "server/notify.h"
#include "server/probe.h"
#include "server/probe_child.h"
#include "server/prober.h"

enum {
	NO_FD = -1,
	/* Attempts at readiness come closer together at first. */
	FIRST_PART = 64,
	READY_INTERVAL_MS = 100,
	READY_TIMEOUT_MS = 5000,
	HEALTH_INTERVAL_MS = 10000,
	HEALTH_TIMEOUT_MS = 5000,
	HEALTH_FAILURES = 3,
	MESSAGES_MAX = 16, /* of one look */
	REASON_SIZE = 160,
	LINE_SIZE = 1024 /* of a line that is looked at */
};

enum tag { TAG_TIMER, TAG_ATTEMPT, TAG_CHILD, TAG_TOLD };

enum phase {
	PHASE_OFF, /* nothing is tried; what the child tells is heard */
	PHASE_READY, /* until it is ready */
	PHASE_HEALTH /* from then on, if there is something to ask */
};

struct prober {
	pthread_mutex_t lock;
	/* constant */
	struct probe ready, health;
	struct spawn ready_spawn, health_spawn; /* of exec probes */
	struct times {
		int64_t interval_ms, timeout_ms;
	} ready_times, health_times;
	int failures_max;
	/* guarded by lock: the run's */
	enum phase phase;
	pid_t leader;
	int epoll, timer;
	bool watched; /* epoll is the app's */
	int told; /* what the child tells by: a pipe, or a socket */
	int given; /* the pipe's other end, until the child has it */
	char entry[NOTIFY_ENTRY_SIZE];
	bool trying;
	int64_t delay_ms; /* until the next attempt */
	int failures; /* of health, in a row */
	char reason[REASON_SIZE]; /* why it is not ready */
	char *line; /* of LINE_SIZE, of what is printed; NULL: not heard */
	size_t line_used;
	bool found; /* the line that was waited for */
	struct attempt attempt;
	struct probe_child child;
};

static const struct probe *current(const struct prober *prober)
{
	return prober->phase == PHASE_HEALTH ? &prober->health : &prober->ready;
}

static const struct times *current_times(const struct prober *prober)
{
	return prober->phase == PHASE_HEALTH ? &prober->health_times
					     : &prober->ready_times;
}

static void __attribute__((format(printf, 2, 3)))
set_reason(struct prober *prober, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(prober->reason, sizeof(prober->reason), fmt, ap);
	va_end(ap);
}

/* ---- the timer ------------------------------------------------------------- */

/* 0 is at once, less is never. */
static void set_timer(struct prober *prober, int64_t ms)
{
	struct itimerspec in = {0};

	if (ms >= 0)
		in.it_value = clock_timespec_ms(ms);
	if (!ms)
		in.it_value.tv_nsec = 1; /* all zeros would disarm it */
	if (prober->timer >= 0)
		timerfd_settime(prober->timer, 0, &in, NULL);
}

static bool take_timer(struct prober *prober)
{
	uint64_t count;

	return read(prober->timer, &count, sizeof(count)) == sizeof(count);
}

/* ---- attempts -------------------------------------------------------------- */

static void end_attempt(struct prober *prober)
{
	prober->trying = false;
	attempt_end(&prober->attempt);
	probe_child_kill(&prober->child);
}

static void go_off(struct prober *prober)
{
	prober->phase = PHASE_OFF;
	end_attempt(prober);
	set_timer(prober, -1);
}

static void try_later(struct prober *prober)
{
	int64_t most_ms = current_times(prober)->interval_ms;

	set_timer(prober, prober->delay_ms);
	prober->delay_ms *= 2;
	if (prober->delay_ms > most_ms)
		prober->delay_ms = most_ms;
}

static void be_well(struct prober *prober)
{
	prober->failures = 0;
	try_later(prober);
}

static void be_ready(struct prober *prober, struct prober_news *news)
{
	news->ready = true;
	prober->phase = prober->health.text ? PHASE_HEALTH : PHASE_OFF;
	prober->failures = 0;
	prober->delay_ms = prober->health_times.interval_ms;
	if (prober->phase == PHASE_HEALTH)
		try_later(prober);
	else /* what of an answer is still to come has that long */
		set_timer(prober, prober->attempt.fd >= 0
				      ? prober->ready_times.timeout_ms
				      : -1);
}

static void be_unwell(struct prober *prober, struct prober_news *news, int code,
    const char *why)
{
	int failures = ++prober->failures;

	if (failures < prober->failures_max) {
		try_later(prober);
		return;
	}
	error_set(code, "health check failed %d time%s: %.80s: %s", failures,
	    failures == 1 ? "" : "s", prober->health.text, why);
	news->failure = error_of(code);
	go_off(prober);
}

static void tell_result(struct prober *prober, struct prober_news *news,
    int ret)
{
	struct error err = {0};

	if (ret == ATTEMPT_GOES_ON)
		return;
	prober->trying = false;
	/* What could not even be tried says nothing of the child. */
	if (ret == ATTEMPT_NOT_MADE) {
		try_later(prober);
		return;
	}
	if (ret)
		err = error_of(ret);
	if (ret && prober->phase == PHASE_READY) {
		set_reason(prober, "%.80s: %s", prober->ready.text, err.text);
		try_later(prober);
	} else if (ret) {
		be_unwell(prober, news, ret, err.text);
	} else if (prober->phase == PHASE_READY) {
		be_ready(prober, news);
	} else {
		be_well(prober);
	}
}

static void try_now(struct prober *prober, struct prober_news *news)
{
	const struct probe *probe = current(prober);
	int ret;

	prober->trying = true;
	set_timer(prober, current_times(prober)->timeout_ms);
	if (probe->kind == PROBE_EXEC)
		ret = probe_child_begin(&prober->child,
		    probe == &prober->health ? &prober->health_spawn
					     : &prober->ready_spawn,
		    prober->epoll, TAG_CHILD, prober->timer);
	else
		ret = attempt_begin(&prober->attempt, probe, prober->epoll,
		    TAG_ATTEMPT);
	tell_result(prober, news, ret);
}

static void give_up_attempt(struct prober *prober, struct prober_news *news)
{
	int64_t ms = current_times(prober)->timeout_ms;

	end_attempt(prober);
	tell_result(prober, news,
	    error_set(-ETIMEDOUT, "no answer within %g s", (double)ms / 1000));
}

static void time_is_over(struct prober *prober, struct prober_news *news)
{
	if (!take_timer(prober))
		return;
	if (prober->phase == PHASE_OFF)
		end_attempt(prober);
	else if (!probe_is_tried(current(prober)))
		be_ready(prober, news); /* "delay", or "log" was found */
	else if (!prober->trying)
		try_now(prober, news);
	else if (prober->child.failure.code)
		tell_result(prober, news, probe_child_look(&prober->child));
	else
		give_up_attempt(prober, news);
}

/* One that was given up is reaped here, and has nothing to say. */
static void look_at_child(struct prober *prober, struct prober_news *news)
{
	int ret = probe_child_look(&prober->child);

	if (prober->trying)
		tell_result(prober, news, ret);
}

/* ---- what the child tells -------------------------------------------------- */

static void close_told(struct prober *prober)
{
	if (prober->told >= 0)
		close(prober->told);
	prober->told = NO_FD;
}

/*
 * A newline is all that counts, but the pipe is read to its end: whoever writes
 * more must not die of that.
 */
static void read_pipe(struct prober *prober, struct prober_news *news)
{
	char text[256];
	ssize_t n = read(prober->told, text, sizeof(text));

	if (n < 0)
		return;
	if (n > 0 && prober->phase == PHASE_READY &&
	    memchr(text, '\n', (size_t)n))
		be_ready(prober, news);
	if (n > 0)
		return;
	close_told(prober);
	if (prober->phase == PHASE_READY)
		set_reason(prober, "%s: closed without a newline",
		    prober->ready.text);
}

static void hear(struct prober *prober, const struct notify_message *message,
    struct prober_news *news)
{
	if (message->has_status && prober->phase == PHASE_READY)
		set_reason(prober, "%s: %s", prober->ready.text,
		    message->status);
	if (message->extend_ms)
		news->extend_ms = message->extend_ms;
	if (message->main_pid)
		news->main_pid = message->main_pid;
	if (message->ready && prober->phase == PHASE_READY)
		be_ready(prober, news);
	/* On its way out it need not be well. */
	if (message->stopping && prober->phase == PHASE_HEALTH)
		go_off(prober);
}

static void read_messages(struct prober *prober, struct prober_news *news)
{
	struct notify_message message;

	for (int i = 0; i < MESSAGES_MAX; i++) {
		if (notify_read(prober->told, prober->leader, &message))
			break;
		hear(prober, &message, news);
	}
}

static bool ends_well(struct prober *prober)
{
	prober->line[prober->line_used] = '\0';
	if (prober->line_used && prober->line[prober->line_used - 1] == '\r')
		prober->line[prober->line_used - 1] = '\0';
	prober->line_used = 0;
	return !regexec(prober->ready.regex, prober->line, 0, NULL, 0);
}

/* Who hears is not on the app's loop: the timer has it look. */
static void hear_printed(struct prober *prober, const char *text, size_t size)
{
	for (size_t i = 0; i < size && !prober->found; i++) {
		if (text[i] == '\n')
			prober->found = ends_well(prober);
		else if (prober->line_used < LINE_SIZE - 1)
			prober->line[prober->line_used++] =
			    text[i] ? text[i] : ' ';
	}
	if (prober->found)
		set_timer(prober, 0);
}

void prober_hear(struct prober *prober, const char *text, size_t size)
{
	if (!prober->line)
		return;
	pthread_mutex_lock(&prober->lock);
	if (prober->phase == PHASE_READY)
		hear_printed(prober, text, size);
	pthread_mutex_unlock(&prober->lock);
}

/* ---- a run ----------------------------------------------------------------- */

static int watch(struct prober *prober, int fd, enum tag tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = tag};

	return epoll_ctl(prober->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int make_pipe(struct prober *prober, struct spawn *spawn)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	prober->told = ends[0];
	prober->given = ends[1];
	spawn_give(spawn, ends[1], prober->ready.fd);
	/* Not the child's end: who writes there wants to be waited for. */
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK))
		return -errno;
	return watch(prober, prober->told, TAG_TOLD);
}

static int make_socket(struct prober *prober, struct spawn *spawn)
{
	int fd = notify_open(prober->entry);

	if (fd < 0)
		return fd;
	prober->told = fd;
	spawn->entries[0] = prober->entry;
	return watch(prober, fd, TAG_TOLD);
}

static int make(struct prober *prober, struct spawn *spawn)
{
	int ret = 0;

	prober->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (prober->epoll < 0)
		return -errno;
	prober->timer =
	    timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (prober->timer < 0)
		return -errno;
	ret = watch(prober, prober->timer, TAG_TIMER);
	if (!ret && prober->ready.kind == PROBE_FD)
		ret = make_pipe(prober, spawn);
	if (!ret && prober->ready.kind == PROBE_NOTIFY)
		ret = make_socket(prober, spawn);
	return ret;
}

int prober_begin(struct prober *prober, struct spawn *spawn)
{
	int ret;

	pthread_mutex_lock(&prober->lock);
	assert(prober->epoll < 0);
	prober->watched = prober->trying = false;
	prober->found = false;
	prober->line_used = 0;
	prober->failures = 0;
	*prober->reason = '\0';
	prober->phase = prober_decides(prober) ? PHASE_READY : PHASE_HEALTH;
	ret = make(prober, spawn);
	pthread_mutex_unlock(&prober->lock);
	if (!ret)
		return 0;
	errno = -ret;
	return error_set(ret, "cannot watch for %s: %m",
	    prober_decides(prober) ? prober->ready.text : prober->health.text);
}

static void close_given(struct prober *prober)
{
	if (prober->given >= 0)
		close(prober->given);
	prober->given = NO_FD;
}

/* When the first attempt is made, or what is waited for is over. */
static void begin_phase(struct prober *prober)
{
	int64_t interval_ms = current_times(prober)->interval_ms;

	if (prober->phase == PHASE_HEALTH) {
		prober->delay_ms = interval_ms;
		try_later(prober);
		return;
	}
	prober->delay_ms = interval_ms / FIRST_PART + 1;
	set_reason(prober, "%s", prober->ready.text);
	if (prober->ready.kind == PROBE_DELAY)
		set_timer(prober, prober->ready.delay_ms);
	else if (probe_is_tried(&prober->ready))
		set_timer(prober, 0);
}

int prober_watch(struct prober *prober, struct context *ctx, pid_t leader,
    server_watch_fn *fn, void *arg)
{
	int ret;

	pthread_mutex_lock(&prober->lock);
	close_given(prober);
	prober->leader = leader;
	if (prober->phase != PHASE_OFF) /* else it was stopped already */
		begin_phase(prober);
	prober->watched = true;
	pthread_mutex_unlock(&prober->lock);
	/* Until it is the app's, nobody ends the run but who is here. */
	ret = server_watch(ctx, prober->epoll, fn, arg);
	if (ret) {
		pthread_mutex_lock(&prober->lock);
		prober->watched = false;
		pthread_mutex_unlock(&prober->lock);
	}
	return ret;
}

void prober_look(struct prober *prober, struct prober_news *news)
{
	struct epoll_event event;

	*news = (struct prober_news){0};
	pthread_mutex_lock(&prober->lock);
	if (prober->epoll >= 0 && epoll_wait(prober->epoll, &event, 1, 0) > 0)
		switch (event.data.u32) {
		case TAG_TIMER:
			time_is_over(prober, news);
			break;
		case TAG_ATTEMPT:
			tell_result(prober, news,
			    attempt_go_on(&prober->attempt));
			break;
		case TAG_CHILD:
			look_at_child(prober, news);
			break;
		default:
			if (prober->ready.kind == PROBE_FD)
				read_pipe(prober, news);
			else
				read_messages(prober, news);
			break;
		}
	pthread_mutex_unlock(&prober->lock);
}

void prober_stop(struct prober *prober)
{
	pthread_mutex_lock(&prober->lock);
	go_off(prober);
	pthread_mutex_unlock(&prober->lock);
}

bool prober_is_left(struct prober *prober)
{
	bool left;

	pthread_mutex_lock(&prober->lock);
	left = probe_child_is_left(&prober->child);
	pthread_mutex_unlock(&prober->lock);
	return left;
}

void prober_wait(struct prober *prober)
{
	pthread_mutex_lock(&prober->lock);
	go_off(prober);
	probe_child_wait(&prober->child);
	pthread_mutex_unlock(&prober->lock);
}

void prober_end(struct prober *prober)
{
	pthread_mutex_lock(&prober->lock);
	go_off(prober);
	close_given(prober);
	close_told(prober);
	if (prober->timer >= 0)
		close(prober->timer);
	if (prober->epoll >= 0 && !prober->watched)
		close(prober->epoll);
	prober->timer = prober->epoll = NO_FD;
	pthread_mutex_unlock(&prober->lock);
}

void prober_lacks(struct prober *prober, char *text, size_t size)
{
	pthread_mutex_lock(&prober->lock);
	snprintf(text, size, "%s",
	    prober->phase == PHASE_READY ? prober->reason : "");
	pthread_mutex_unlock(&prober->lock);
}

/* ---- making and freeing ---------------------------------------------------- */

bool prober_decides(const struct prober *prober)
{
	return prober && prober->ready.kind != PROBE_START;
}

/* The words of an error begin with the option that it is about. */
static int about(const char *option, int ret)
{
	struct error err;

	if (!ret)
		return 0;
	err = error_of(ret);
	return error_set(ret, "%s: %s", option, err.text);
}

static int check_command(const struct probe *probe, const struct spawn *spawn)
{
	return probe->kind == PROBE_EXEC ? spawn_check(spawn) : 0;
}

int prober_check(const struct prober *prober)
{
	int ret =
	    about("ready", check_command(&prober->ready, &prober->ready_spawn));

	return ret ? ret
		   : about("health",
			 check_command(&prober->health, &prober->health_spawn));
}

static int64_t or_default(int64_t given, int64_t fallback)
{
	return given > 0 ? given : fallback;
}

static struct spawn spawn_of(const struct probe *probe,
    const struct spawn *spawn)
{
	struct spawn own = *spawn;

	own.argv = probe->argv;
	own.sockets = NULL;
	own.silent = true;
	return own;
}

static void copy_numbers(struct prober *prober,
    const struct exec_options *options)
{
	prober->ready_times =
	    (struct times){or_default(options->ready_interval_ms,
			       READY_INTERVAL_MS),
		or_default(options->ready_timeout_ms, READY_TIMEOUT_MS)};
	prober->health_times =
	    (struct times){or_default(options->health_interval_ms,
			       HEALTH_INTERVAL_MS),
		or_default(options->health_timeout_ms, HEALTH_TIMEOUT_MS)};
	prober->failures_max =
	    (int)or_default(options->health_failures, HEALTH_FAILURES);
}

/* The sockets that the child gets come first, one a name at least. */
static int check_descriptor(int fd, const char *const *listen)
{
	int first = SPAWN_FIRST_SOCKET;

	while (listen && *listen++)
		first++;
	if (fd >= first)
		return 0;
	return error_set(-EINVAL,
	    "ready: fd:%d is one of the sockets that listen passes: take "
	    "fd:%d or above",
	    fd, first);
}

static int parse(struct prober *prober, const struct exec_options *options)
{
	int ret = about("ready", probe_parse(&prober->ready, options->ready,
				     options->dir, PROBE_FOR_READY));

	if (!ret && prober->ready.kind == PROBE_FD)
		ret = check_descriptor(prober->ready.fd, options->listen);
	if (!ret && prober->ready.kind == PROBE_LOG) {
		prober->line = malloc(LINE_SIZE);
		ret = prober->line ? 0 : -ENOMEM;
	}
	return ret ? ret
		   : about("health",
			 probe_parse(&prober->health, options->health,
			     options->dir, PROBE_FOR_HEALTH));
}

int prober_new(struct prober **prober, const struct exec_options *options,
    const struct spawn *spawn)
{
	struct prober *new;
	int ret;

	*prober = NULL;
	if (!options->ready && !options->health)
		return 0;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	pthread_mutex_init(&new->lock, NULL);
	probe_child_init(&new->child, &new->lock);
	attempt_init(&new->attempt);
	new->epoll = new->timer = new->told = new->given = NO_FD;
	ret = parse(new, options);
	if (ret || (!prober_decides(new) && !new->health.text)) {
		prober_free(&new);
		return ret;
	}
	copy_numbers(new, options);
	new->ready_spawn = spawn_of(&new->ready, spawn);
	new->health_spawn = spawn_of(&new->health, spawn);
	*prober = new;
	return 0;
}

void prober_free(struct prober **prober)
{
	struct prober *old = *prober;

	if (!old)
		return;
	*prober = NULL;
	probe_child_fini(&old->child);
	free(old->line);
	probe_fini(&old->ready);
	probe_fini(&old->health);
	pthread_mutex_destroy(&old->lock);
	free(old);
}
