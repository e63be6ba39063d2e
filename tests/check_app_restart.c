/* Servers that fail, or just end, and are started again: when, with whom. */
#include <inttypes.h>
#include <stdatomic.h>

#include "app/internal.h"
#include "tests/app_kit.h"

/* ---- a server that counts its runs ---- */

enum { MAX_RUNS = 64 };

struct worker {
	const char *name;
	int failures; /* so many of its runs fail, the first ones */
	int code; /* with that; 0: they return 0 */
	bool gated; /* the first run fails only when gate is set */
	bool notifies; /* it is ready when it is to serve */
	bool returns; /* start returns 0 when it is to serve */
	int quit_code; /* of the first run, when it is stopped */
	int stop_code; /* of the first stop */
	struct event *gate; /* NULL: the common one */
	struct event began, quit;
	atomic_int starts, stops, in_start, in_stop;
	atomic_int wrong; /* overlaps, contexts that are not fresh */
	int64_t start_ms[MAX_RUNS];
};

static struct event gate = EVENT_INIT;

#define WORKER(...)                                                  \
	{                                                            \
		.began = EVENT_INIT, .quit = EVENT_INIT, __VA_ARGS__ \
	}

static int worker_run(struct context *ctx, struct worker *worker, int run)
{
	if (run <= worker->failures) {
		if (worker->gated && run == 1 && worker->notifies)
			server_ready(ctx);
		if (worker->gated && run == 1)
			event_wait(worker->gate ? worker->gate : &gate);
		return worker->code ? error_set(worker->code, "%s broke: %d",
					  worker->name, run)
				    : 0;
	}
	if (worker->notifies && server_ready(ctx))
		worker->wrong++;
	if (worker->returns)
		return 0;
	/* There is one stop for each start. */
	event_wait_count(&worker->quit, run);
	return run == 1 && worker->quit_code
		   ? error_set(worker->quit_code, "%s broke in its stop",
			 worker->name)
		   : 0;
}

static int worker_start(struct context *ctx, void *arg)
{
	struct worker *worker = arg;
	int run = ++worker->starts, code;

	if (worker->in_start++ || run != worker->stops + 1 - worker->in_stop)
		worker->wrong += worker->stops >= run ? 0 : 1;
	if (context_err(ctx) || strcmp(server_name(ctx), worker->name) ||
	    app_from_context(ctx) != app)
		worker->wrong++;
	if (run < MAX_RUNS)
		worker->start_ms[run] = kit_now_ms();
	note("start:%s#%d", worker->name, run);
	event_set(&worker->began);
	code = worker_run(ctx, worker, run);
	worker->in_start--;
	return code;
}

static int worker_stop(struct context *ctx, void *arg)
{
	struct worker *worker = arg;
	int run = ++worker->stops;

	if (worker->in_stop++ || context_err(ctx))
		worker->wrong++;
	/* It was called, but its thread may not have come so far. */
	event_wait_count(&worker->began, run);
	if (worker->starts != run)
		worker->wrong++;
	note("stop:%s#%d", worker->name, run);
	event_set(&worker->quit);
	if (worker->gated && run == 1)
		event_set(worker->gate ? worker->gate : &gate);
	worker->in_stop--;
	return run == 1 && worker->stop_code
		   ? error_set(worker->stop_code, "%s cannot stop",
			 worker->name)
		   : 0;
}

/* Restarted on failure, at once, and as often as it takes. */
static struct server worker_server(struct worker *worker)
{
	return (struct server){.name = worker->name,
	    .start = worker_start,
	    .stop = worker_stop,
	    .notifies = worker->notifies,
	    .restart = {.when = SERVER_RESTART_ON_FAILURE,
		.delay_ms = -1,
		.limit = -1},
	    .arg = worker};
}

static void add_worker(struct worker *worker)
{
	struct server server = worker_server(worker);

	add(&server);
}

/* One that is not restarted on its own account. */
static void add_plain(struct worker *worker)
{
	struct server server = worker_server(worker);

	server.restart.when = SERVER_RESTART_NEVER;
	add(&server);
}

static void ck_assert_worker(const struct worker *worker, int runs)
{
	ck_assert_msg(worker->starts == runs && worker->stops == runs &&
			  !worker->wrong,
	    "%s: %d starts, %d stops instead of %d, %d wrong:%s", worker->name,
	    worker->starts, worker->stops, runs, worker->wrong, journal.text);
}

/* ---- what the loop's events set off ---- */

static struct {
	const char *word; /* of an event; its nth one */
	int count;
	void (*act)(void);
} triggers[4];

static int64_t delays[MAX_RUNS], told_ms[MAX_RUNS];
static int delay_count;
static struct error last_error; /* of a failure, or a loss */

static void on_event(const struct app_event *event, void *arg)
{
	char word[64];

	note_event(event, arg);
	word_of_event(event, word, sizeof(word));
	if (event->type == APP_EVENT_SERVER_RESTARTING &&
	    delay_count < MAX_RUNS) {
		delays[delay_count] = event->delay_ms;
		told_ms[delay_count++] = kit_now_ms();
	}
	if (event->type == APP_EVENT_SERVER_FAILED ||
	    event->type == APP_EVENT_SERVER_LOST)
		last_error = *event->error;
	for (int i = 0; i < 4; i++)
		if (triggers[i].word && !strcmp(word, triggers[i].word) &&
		    noted(word) == triggers[i].count)
			triggers[i].act();
}

static void when(const char *word, int count, void (*act)(void))
{
	int i = 0;

	while (triggers[i].word)
		i++;
	triggers[i].word = word;
	triggers[i].count = count;
	triggers[i].act = act;
}

static void stop_app(void)
{
	app_stop(app);
}

static void send_term(void)
{
	kill(getpid(), SIGTERM);
}

static void open_gate(void)
{
	event_set(&gate);
}

static void make(void)
{
	options.on_event = on_event;
	app_make();
}

static struct server_status status_of(const char *name)
{
	struct server_status status;

	ck_assert_int_eq(server_state(app, name, &status), 0);
	return status;
}

/* ---- delays ---- */

static void ck_assert_delay(int64_t ms, int64_t base_ms)
{
	ck_assert_msg(ms >= base_ms - base_ms / 4 && ms <= base_ms,
	    "%" PRId64 " ms instead of %" PRId64, ms, base_ms);
}

START_TEST(a_delay_doubles_up_to_the_greatest_less_a_quarter_at_most)
{
	int64_t least = INT64_MAX, most = 0;

	for (int i = 0; i < 1000; i++) {
		int64_t ms = policy_delay(0, 1000, 30000);

		ck_assert_delay(ms, 1000);
		ck_assert_delay(policy_delay(1, 1000, 30000), 2000);
		ck_assert_delay(policy_delay(2, 1000, 30000), 4000);
		ck_assert_delay(policy_delay(4, 1000, 30000), 16000);
		ck_assert_delay(policy_delay(5, 1000, 30000), 30000);
		ck_assert_delay(policy_delay(UINT32_MAX, 1000, 30000), 30000);
		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
	}
	/* A random part, from next to nothing to the quarter. */
	ck_assert_int_lt(least, 800);
	ck_assert_int_gt(most, 950);
}
END_TEST

START_TEST(delays_of_all_sizes_are_in_bounds)
{
	const int64_t huge = INT64_MAX;

	ck_assert_int_eq(policy_delay(0, -1, 30000), 0);
	ck_assert_int_eq(policy_delay(9, INT64_MIN, 30000), 0);
	ck_assert_int_eq(policy_delay(3, 0, 30000), 0);
	ck_assert_delay(policy_delay(0, 1000, 10), 10);
	ck_assert_delay(policy_delay(3, 1000, 10), 10);
	ck_assert_int_eq(policy_delay(7, 1, 1), 1);
	ck_assert_int_ge(policy_delay(UINT32_MAX, 1, huge), huge / 4 * 3);
	ck_assert_int_ge(policy_delay(0, huge, huge), huge / 4 * 3);
	ck_assert_int_ge(policy_delay(1, huge / 2 + 1, huge), huge / 4 * 3);
	ck_assert_delay(policy_delay(61, 1, huge), INT64_C(1) << 61);
	/* No greatest one. */
	ck_assert_delay(policy_delay(20, 1000, -1), INT64_C(1000) << 20);
	ck_assert_int_ge(policy_delay(UINT32_MAX, 1, -1), huge / 4 * 3);
}
END_TEST

/* ---- when ---- */

static struct server_status seen;

static int see_hook(struct context *ctx, void *arg)
{
	server_state(app_from_context(ctx), arg, &seen);
	return 0;
}

/* A13 */
START_TEST(a_server_that_fails_is_started_again_with_growing_delays)
{
	struct worker a =
	    WORKER(.name = "a", .failures = 4, .code = -EIO, .notifies = true);
	struct server server = worker_server(&a);
	static const int64_t bases_ms[] = {8, 16, 20, 20};

	make();
	server.restart.delay_ms = 8;
	server.restart.max_delay_ms = 20;
	server.restart.limit = 0;
	add(&server);
	hook(APP_AFTER_START, see_hook, "a");
	hook(APP_AFTER_START, note_hook, "up");
	when("state:running", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_worker(&a, 5);
	ck_assert_int_eq(delay_count, 4);
	for (int i = 0; i < 4; i++) {
		ck_assert_delay(delays[i], bases_ms[i]);
		ck_assert_int_ge(a.start_ms[i + 2], told_ms[i] + delays[i]);
	}
	ck_assert_int_eq(noted("failed:a"), 4);
	ck_assert_int_eq(noted("restarting:a"), 4);
	ck_assert_noted_in_order("stop:a#4", "start:a#5", "ready:a",
	    "app-ready", "stop:a#5", "state:done");
	app_free(&app);
}
END_TEST

static void *see_thread(void *name)
{
	struct server_status status = {0};

	(void)name;
	event_wait(&gate);
	server_state(app, "a", &status);
	seen = status;
	app_stop(app);
	return NULL;
}

START_TEST(the_status_has_the_restarts_and_the_last_error)
{
	struct worker a =
	    WORKER(.name = "a", .failures = 2, .code = -EIO, .notifies = true);
	pthread_t thread;

	make();
	add_worker(&a);
	when("state:running", 1, open_gate);
	ck_assert_int_eq(pthread_create(&thread, NULL, see_thread, NULL), 0);
	ck_assert_int_eq(app_go(), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(seen.state, SERVER_READY);
	ck_assert_uint_eq(seen.restarts, 2);
	ck_assert_int_eq(seen.error.code, -EIO);
	ck_assert_str_eq(seen.error.text, "a broke: 2");
	ck_assert_str_eq(seen.error.origin, "a");
	ck_assert_uint_eq(status_of("a").restarts, 2);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

/* A6, A10 */
START_TEST(a_server_that_is_never_restarted_ends_the_app)
{
	struct worker a = WORKER(.name = "a", .failures = 1, .code = -EIO);

	make();
	add_plain(&a);
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_worker(&a, 1);
	ck_assert_int_eq(noted("restarting:a"), 0);
	ck_assert_uint_eq(error_count(), 1);
	app_free(&app);
}
END_TEST

/* A2 */
START_TEST(on_failure_a_server_that_returns_stays_up)
{
	struct worker a = WORKER(.name = "a", .returns = true);

	make();
	add_worker(&a);
	hook(APP_AFTER_START, see_hook, "a");
	when("returned:a", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 1);
	ck_assert_int_eq(noted("restarting:a"), 0);
	app_free(&app);
}
END_TEST

START_TEST(always_restarts_a_server_that_returns)
{
	struct worker a = WORKER(.name = "a", .failures = 3);
	struct worker b = WORKER(.name = "b", .failures = 2, .code = -EIO);
	struct server server = worker_server(&a);
	int ret;

	make();
	server.restart.when = SERVER_RESTART_ALWAYS;
	add(&server);
	server = worker_server(&b);
	server.restart.when = SERVER_RESTART_ALWAYS;
	add(&server);
	when("ready:a", 4, open_gate);
	hook(APP_AFTER_START, note_hook, "up");
	when("app-ready", 1, stop_app);
	ret = app_go();
	/* It may be about to fail once more when the app stops. */
	ck_assert(ret == 0 || ret == b.code);
	ck_assert_int_ge(a.starts, 1);
	ck_assert_int_eq(a.starts, a.stops);
	ck_assert_int_eq(b.starts, b.stops);
	ck_assert_int_eq(a.wrong + b.wrong, 0);
	ck_assert_int_eq(noted("returned:a"), 0);
	ck_assert_int_eq(noted("failed:a"), 0);
	app_free(&app);
}
END_TEST

/* The same without an app that stops as soon as it can. */
START_TEST(always_restarts_as_often_as_it_returns)
{
	struct worker a = WORKER(.name = "a", .failures = 3);
	struct server server = worker_server(&a);

	make();
	server.restart.when = SERVER_RESTART_ALWAYS;
	add(&server);
	when("starting:a", 4, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("restarting:a"), 3);
	ck_assert_int_ge(a.starts, 3);
	ck_assert_int_eq(a.starts, a.stops);
	ck_assert_int_eq(a.wrong, 0);
	ck_assert_int_eq(noted("failed:a"), 0);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

/* ---- how often ---- */

static void limited(struct worker *worker, int limit)
{
	struct server server = worker_server(worker);

	server.restart.limit = limit;
	server.restart.window_ms = LONG_MS;
	add(&server);
}

/* A6, A10 */
START_TEST(one_that_fails_too_often_ends_the_app)
{
	struct worker a = WORKER(.name = "a", .failures = 99, .code = -EIO);
	struct worker b = WORKER(.name = "b");

	make();
	limited(&a, 3);
	add_plain(&b);
	ck_assert_int_eq(app_go(), -ENOTRECOVERABLE);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_str_eq(result.text, "gave up after 3 restarts in 60 s; "
				      "the last time it failed: a broke: 4");
	ck_assert_worker(&a, 4);
	ck_assert_worker(&b, 1);
	ck_assert_uint_eq(error_count(), 1);
	ck_assert_int_eq(noted("restarting:a"), 3);
	ck_assert_uint_eq(status_of("a").restarts, 3);
	ck_assert_int_eq(status_of("a").error.code, -ENOTRECOVERABLE);
	app_free(&app);
}
END_TEST

START_TEST(the_words_of_giving_up_fit_one_restart_and_no_failure)
{
	struct worker a = WORKER(.name = "a", .failures = 99);
	struct server server = worker_server(&a);

	make();
	server.restart.when = SERVER_RESTART_ALWAYS;
	server.restart.limit = 1;
	server.restart.window_ms = -1;
	add(&server);
	ck_assert_int_eq(app_go(), -ENOTRECOVERABLE);
	ck_assert_str_eq(result.text,
	    "gave up after 1 restart in all; the last time it ended");
	ck_assert_worker(&a, 2);
	app_free(&app);
}
END_TEST

START_TEST(the_default_limit_is_five)
{
	struct worker a = WORKER(.name = "a", .failures = 99, .code = -EIO);

	make();
	limited(&a, 0);
	ck_assert_int_eq(app_go(), -ENOTRECOVERABLE);
	ck_assert_worker(&a, 6);
	app_free(&app);
}
END_TEST

START_TEST(without_an_optional_one_that_fails_too_often_the_app_goes_on)
{
	struct worker a = WORKER(.name = "a", .failures = 99, .code = -EIO,
	    .stop_code = -EIO, .notifies = true);
	struct worker b = WORKER(.name = "b");
	struct server server = worker_server(&a);

	make();
	server.optional = true;
	server.restart.limit = 2;
	server.restart.window_ms = LONG_MS;
	add(&server);
	add_plain(&b);
	hook(APP_AFTER_START, see_hook, "a");
	when("state:running", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 3);
	ck_assert_worker(&b, 1);
	ck_assert_noted_in_order("lost:a", "app-ready", "stop:b#1",
	    "state:done");
	ck_assert_int_eq(seen.state, SERVER_LOST);
	ck_assert_int_eq(seen.error.code, -ENOTRECOVERABLE);
	ck_assert_ptr_nonnull(strstr(seen.error.text, "a broke: 3"));
	ck_assert_str_eq(seen.error.origin, "a");
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

static int fail_in_last_stop(struct context *ctx, void *arg)
{
	struct worker *worker = arg;
	int code = worker_stop(ctx, arg);

	return worker->stops == 3 ? error_set(-EPIPE, "cannot stop") : code;
}

START_TEST(why_a_server_is_lost_is_not_what_its_last_stop_said)
{
	struct worker a = WORKER(.name = "a", .failures = 99, .code = -EIO);
	struct server server = worker_server(&a);

	make();
	server.stop = fail_in_last_stop;
	server.optional = true;
	server.restart.limit = 2;
	server.restart.window_ms = LONG_MS;
	add(&server);
	when("lost:a", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(last_error.code, -ENOTRECOVERABLE);
	ck_assert_int_eq(status_of("a").error.code, -ENOTRECOVERABLE);
	/* Three of start, one of stop. */
	ck_assert_int_eq(noted("failed:a"), 4);
	app_free(&app);
}
END_TEST

START_TEST(without_a_limit_no_server_is_given_up)
{
	struct worker a = WORKER(.name = "a", .failures = 99, .code = -EIO);

	make();
	limited(&a, -1);
	when("restarting:a", 20, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 20);
	app_free(&app);
}
END_TEST

START_TEST(one_that_fails_slowly_enough_is_never_given_up)
{
	struct worker a = WORKER(.name = "a", .failures = 99, .code = -EIO);
	struct server server = worker_server(&a);

	make();
	/* At least 15 ms apart: never two within 10. */
	server.restart =
	    (struct server_restart){.when = SERVER_RESTART_ON_FAILURE,
		.delay_ms = 20,
		.max_delay_ms = 20,
		.limit = 1,
		.window_ms = 10};
	add(&server);
	when("restarting:a", 8, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 8);
	app_free(&app);
}
END_TEST

static int serve_a_while_and_fail(struct context *ctx, void *arg)
{
	struct worker *worker = arg;
	int run = ++worker->starts;

	(void)ctx;
	note("start:%s#%d", worker->name, run);
	event_set(&worker->began);
	kit_pause_ms(10);
	return error_set(-EIO, "%s broke: %d", worker->name, run);
}

static void fail_after_a_while(struct worker *worker, int64_t stable_ms)
{
	struct server server = worker_server(worker);

	make();
	server.start = serve_a_while_and_fail;
	server.restart.delay_ms = 2;
	server.restart.stable_ms = stable_ms;
	add(&server);
	when("restarting:a", 5, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(delay_count, 5);
	app_free(&app);
}

START_TEST(the_delay_starts_anew_for_one_that_was_stable)
{
	struct worker a = WORKER(.name = "a");

	/* Ready when its start was begun, up to when it failed: 10 ms. */
	fail_after_a_while(&a, 1);
	for (int i = 0; i < 5; i++)
		ck_assert_delay(delays[i], 2);
}
END_TEST

START_TEST(with_no_stable_time_each_restart_is_a_first_one)
{
	/* It never becomes ready. */
	struct worker a = WORKER(.name = "a", .notifies = true);

	fail_after_a_while(&a, -1);
	for (int i = 0; i < 5; i++)
		ck_assert_delay(delays[i], 2);
}
END_TEST

START_TEST(the_delay_grows_for_one_that_was_not_stable)
{
	struct worker a = WORKER(.name = "a");

	fail_after_a_while(&a, LONG_MS);
	for (int i = 0; i < 5; i++)
		ck_assert_delay(delays[i], 2 << i);
}
END_TEST

/* ---- a run is a run ---- */

/* A13 */
START_TEST(each_of_many_runs_is_stopped_once_before_the_next)
{
	struct worker a =
	    WORKER(.name = "a", .failures = 50, .code = -EIO, .notifies = true);

	make();
	add_worker(&a);
	when("app-ready", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 51);
	for (int i = 1; i <= 50; i++) {
		char words[3][32];

		snprintf(words[0], 32, "start:a#%d", i);
		snprintf(words[1], 32, "stop:a#%d", i);
		snprintf(words[2], 32, "start:a#%d", i + 1);
		ck_assert_noted_in_order(words[0], words[1], words[2]);
	}
	app_free(&app);
}
END_TEST

static int start_until_cancelled(struct context *ctx, void *arg)
{
	struct worker *worker = arg;
	int run = ++worker->starts;

	if (worker->in_start++ || context_err(ctx))
		worker->wrong++;
	note("start:%s#%d", worker->name, run);
	if (run > worker->failures) {
		server_ready(ctx);
		context_wait(ctx, -1);
	}
	worker->in_start--;
	return run > worker->failures ? context_err(ctx) : worker->code;
}

/* A4 */
START_TEST(a_server_without_a_stop_is_restarted)
{
	struct worker a =
	    WORKER(.name = "a", .failures = 3, .code = -EIO, .notifies = true);
	struct server server = worker_server(&a);

	make();
	server.start = start_until_cancelled;
	server.stop = NULL;
	add(&server);
	when("app-ready", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(a.starts, 4);
	ck_assert_int_eq(a.wrong, 0);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

struct pipes {
	struct worker worker;
	int ends[2];
};

static int pipe_ready(int fd, void *arg)
{
	char c = '?';

	(void)arg;
	if (read(fd, &c, 1) == 1 && c == 'q')
		return 0;
	return error_set(-EIO, "the pipe broke");
}

static int pipe_start(struct context *ctx, void *arg)
{
	struct pipes *pipes = arg;
	int run = ++pipes->worker.starts, ret;

	if (pipe2(pipes->ends, O_CLOEXEC))
		return -errno;
	ret = server_watch(ctx, pipes->ends[0], pipe_ready, pipes);
	if (ret) {
		close(pipes->ends[0]);
		return ret;
	}
	/* The write end is closed by stop. */
	if (run <= pipes->worker.failures && write(pipes->ends[1], "f", 1) != 1)
		return -errno;
	return pipes->worker.notifies && run > pipes->worker.failures
		   ? server_ready(ctx)
		   : 0;
}

static int pipe_stop(struct context *ctx, void *arg)
{
	struct pipes *pipes = arg;
	int run = ++pipes->worker.stops;

	(void)ctx;
	if (run > pipes->worker.failures && write(pipes->ends[1], "q", 1) != 1)
		pipes->worker.wrong++;
	close(pipes->ends[1]);
	return 0;
}

/* A13; that no descriptor stays open is seen after each test */
START_TEST(a_server_of_watches_is_restarted)
{
	struct pipes pipes = {
	    .worker = WORKER(.name = "a", .failures = 9, .notifies = true)};
	struct server server = worker_server(&pipes.worker);

	make();
	server.start = pipe_start;
	server.stop = pipe_stop;
	server.arg = &pipes;
	add(&server);
	when("app-ready", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&pipes.worker, 10);
	ck_assert_int_eq(noted("failed:a"), 9);
	ck_assert_int_eq(status_of("a").error.code, -EIO);
	ck_assert_str_eq(status_of("a").error.text, "the pipe broke");
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

START_TEST(an_error_of_the_stop_does_not_keep_a_server_from_starting_again)
{
	struct worker a = WORKER(.name = "a", .failures = 1, .code = -EIO,
	    .stop_code = -EPIPE, .notifies = true);

	make();
	add_worker(&a);
	hook(APP_AFTER_START, see_hook, "a");
	when("state:running", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 2);
	ck_assert_int_eq(noted("failed:a"), 2);
	ck_assert_int_eq(last_error.code, -EPIPE);
	ck_assert_str_eq(last_error.text, "a cannot stop");
	ck_assert_int_eq(seen.error.code, -EPIPE);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

/* ---- with whom ---- */

static struct worker db = WORKER(.name = "db", .failures = 1, .code = -EIO,
    .gated = true, .notifies = true);
static struct worker init = WORKER(.name = "init", .returns = true);
static struct worker api = WORKER(.name = "api", .notifies = true);
static struct worker web = WORKER(.name = "web", .notifies = true);
static struct worker list = WORKER(.name = "list", .notifies = true);
static struct worker lone = WORKER(.name = "lone", .notifies = true);

static const char *const init_names[] = {"init", NULL};
static const char *const db_names[] = {"db", NULL};
static const char *const api_names[] = {"api", NULL};

/* init <- db <- api <- web; list wants db; lone is alone. */
static void add_group(enum server_restart_scope scope)
{
	struct server server = worker_server(&db);

	server.after = init_names;
	server.restart.scope = scope;
	add(&server);
	server = worker_server(&init);
	server.oneshot = true;
	add(&server);
	server = worker_server(&web);
	server.restart.when = SERVER_RESTART_NEVER;
	server.after = api_names;
	add(&server);
	server = worker_server(&api);
	server.restart.when = SERVER_RESTART_NEVER;
	server.after = db_names;
	add(&server);
	server = worker_server(&list);
	server.restart.when = SERVER_RESTART_NEVER;
	server.wants = db_names;
	add(&server);
	add_plain(&lone);
}

static void run_group(enum server_restart_scope scope)
{
	make();
	add_group(scope);
	when("state:running", 1, open_gate);
	when("app-ready", 2, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_worker(&db, 2);
	ck_assert_int_eq(noted("app-unready"), 2);
	ck_assert_int_eq(noted("restarting:db"), 1);
	ck_assert_uint_eq(status_of("db").restarts, 1);
}

START_TEST(a_restart_of_one_leaves_its_dependents_alone)
{
	run_group(SERVER_RESTART_ONE);
	ck_assert_worker(&api, 1);
	ck_assert_worker(&web, 1);
	ck_assert_worker(&list, 1);
	ck_assert_worker(&lone, 1);
	ck_assert_worker(&init, 1);
	ck_assert_noted_in_order("stop:db#1", "start:db#2", "stop:web#1",
	    "stop:api#1", "stop:db#2");
	app_free(&app);
}
END_TEST

/* A14 */
START_TEST(those_that_need_it_are_restarted_with_it_in_order)
{
	run_group(SERVER_RESTART_DEPENDENTS);
	ck_assert_worker(&api, 2);
	ck_assert_worker(&web, 2);
	ck_assert_worker(&list, 1);
	ck_assert_worker(&lone, 1);
	ck_assert_worker(&init, 1);
	ck_assert_noted_in_order("stop:web#1", "stop:api#1", "stop:db#1",
	    "start:db#2", "start:api#2", "start:web#2", "stop:web#2",
	    "stop:api#2", "stop:db#2", "stop:init#1");
	ck_assert_uint_eq(status_of("web").restarts, 1);
	ck_assert_uint_eq(status_of("list").restarts, 0);
	app_free(&app);
}
END_TEST

/* A14 */
START_TEST(all_are_restarted_in_order_one_shots_included)
{
	run_group(SERVER_RESTART_ALL);
	ck_assert_worker(&api, 2);
	ck_assert_worker(&web, 2);
	ck_assert_worker(&list, 2);
	ck_assert_worker(&lone, 2);
	ck_assert_worker(&init, 2);
	ck_assert_noted_in_order("stop:web#1", "stop:api#1", "stop:db#1",
	    "stop:init#1", "start:init#2", "start:db#2", "start:api#2",
	    "start:web#2");
	ck_assert_noted_in_order("stop:list#1", "stop:db#1", "start:db#2",
	    "start:list#2", "stop:list#2", "stop:db#2");
	ck_assert_noted_in_order("stop:lone#1", "start:lone#2");
	app_free(&app);
}
END_TEST

START_TEST(two_that_fail_at_one_time_restart_all_once)
{
	struct worker a =
	    WORKER(.name = "a", .failures = 1, .code = -EIO, .gated = true);
	struct worker b =
	    WORKER(.name = "b", .failures = 1, .code = -EPIPE, .gated = true);
	struct server server = worker_server(&a);

	make();
	server.restart.scope = SERVER_RESTART_ALL;
	add(&server);
	server = worker_server(&b);
	server.restart.scope = SERVER_RESTART_ALL;
	add(&server);
	add_plain(&lone);
	when("state:running", 1, open_gate);
	when("app-ready", 2, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_worker(&a, 2);
	ck_assert_worker(&b, 2);
	ck_assert_worker(&lone, 2);
	/* The failure of the one that was to go anyhow is no secret. */
	ck_assert_int_eq(noted("failed:a"), 1);
	ck_assert_int_eq(noted("failed:b"), 1);
	ck_assert_int_eq(noted("restarting:a") + noted("restarting:b"), 1);
	app_free(&app);
}
END_TEST

/* A10 */
START_TEST(a_failure_of_one_that_is_stopped_for_another_does_not_end_the_app)
{
	struct worker a = WORKER(.name = "a", .quit_code = -EPIPE);

	make();
	add_group(SERVER_RESTART_ALL);
	add_plain(&a);
	when("state:running", 1, open_gate);
	when("app-ready", 2, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_worker(&a, 2);
	ck_assert_int_eq(noted("failed:a"), 1);
	ck_assert_int_eq(status_of("a").error.code, -EPIPE);
	app_free(&app);
}
END_TEST

static struct event other_gate = EVENT_INIT;

static int stop_after_the_other(struct context *ctx, void *arg)
{
	event_wait(&other_gate);
	return worker_stop(ctx, arg);
}

static void open_other_gate(void)
{
	event_set(&other_gate);
}

static struct event its_gate = EVENT_INIT;

static void open_its_gate(void)
{
	event_set(&its_gate);
}

/*
 * A10. a has failed by itself, but only when it was to be stopped for db,
 * which waits for its turn still: web, which needs a, is slow to stop.
 */
START_TEST(a_failure_of_one_that_waits_for_its_turn_does_not_end_the_app)
{
	struct worker a = WORKER(.name = "a", .failures = 1, .code = -EPIPE,
	    .gated = true, .gate = &its_gate);
	static const char *const names[] = {"a", NULL};
	struct server server = worker_server(&db);

	make();
	server.restart.scope = SERVER_RESTART_ALL;
	add(&server);
	add_plain(&a);
	server = worker_server(&web);
	server.restart.when = SERVER_RESTART_NEVER;
	server.after = names;
	server.stop = stop_after_the_other;
	add(&server);
	when("state:running", 1, open_gate);
	when("stopping:web", 1, open_its_gate);
	when("failed:a", 1, open_other_gate);
	when("app-ready", 2, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_worker(&a, 2);
	ck_assert_worker(&web, 2);
	ck_assert_int_eq(noted("failed:a"), 1);
	app_free(&app);
}
END_TEST

START_TEST(to_be_cancelled_by_a_restart_is_no_failure)
{
	struct worker a = WORKER(.name = "a", .notifies = true);
	struct server server = worker_server(&a);

	make();
	add_group(SERVER_RESTART_ALL);
	server.start = start_until_cancelled;
	server.stop = NULL;
	server.restart.when = SERVER_RESTART_NEVER;
	add(&server);
	when("state:running", 1, open_gate);
	when("app-ready", 2, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(a.starts, 2);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_int_eq(noted("failed:a"), 0);
	ck_assert_int_eq(status_of("a").error.code, 0);
	app_free(&app);
}
END_TEST

START_TEST(one_in_back_off_stays_there_when_all_are_restarted)
{
	struct worker a = WORKER(.name = "a", .failures = 1, .code = -EIO,
	    .gated = true, .gate = &other_gate);
	struct server server = worker_server(&a);

	make();
	add_group(SERVER_RESTART_ALL);
	server.restart.delay_ms = server.restart.max_delay_ms = LONG_MS;
	add(&server);
	when("state:running", 1, open_other_gate);
	when("stopped:a", 1, open_gate);
	when("ready:web", 2, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 1);
	ck_assert_worker(&web, 2);
	ck_assert_uint_eq(status_of("a").restarts, 1);
	app_free(&app);
}
END_TEST

static bool waits_or_runs(void *name)
{
	struct server_status status;

	return !server_state(app, name, &status) && status.state < SERVER_UP;
}

static int stop_after_back_off(struct context *ctx, void *arg)
{
	struct worker *worker = arg;

	if (!worker->stops && event_is_set(&gate)) {
		event_poll(waits_or_runs, (void *)"b");
		kit_pause_ms(20); /* nobody relies on it */
	}
	return worker_stop(ctx, arg);
}

/*
 * A14. While all are stopped for db, b is through with its back-off, and what
 * it comes after still waits for its turn to stop.
 */
START_TEST(nobody_starts_on_what_is_about_to_be_stopped)
{
	struct worker a = WORKER(.name = "a", .notifies = true);
	struct worker b = WORKER(.name = "b", .failures = 1, .code = -EIO,
	    .gated = true, .gate = &other_gate);
	static const char *const names[] = {"a", NULL};
	struct server server = worker_server(&db);

	make();
	server.restart.scope = SERVER_RESTART_ALL;
	add(&server);
	add_plain(&a);
	server = worker_server(&web);
	server.restart.when = SERVER_RESTART_NEVER;
	server.after = names;
	server.stop = stop_after_back_off;
	add(&server);
	server = worker_server(&b);
	server.after = names;
	server.restart.delay_ms = server.restart.max_delay_ms = 200;
	add(&server);
	when("state:running", 1, open_other_gate);
	when("stopped:b", 1, open_gate);
	when("app-ready", 2, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 2);
	ck_assert_worker(&b, 2);
	ck_assert_noted_in_order("stop:b#1", "stop:web#1", "stop:a#1",
	    "start:a#2", "start:b#2");
	app_free(&app);
}
END_TEST

/* Runs 1 and 3 fail. */
static int start_every_other_time(struct context *ctx, void *arg)
{
	struct worker *worker = arg;

	worker->failures = worker->starts % 2 ? 0 : MAX_RUNS;
	return worker_start(ctx, arg);
}

static int gate_hook(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	kit_pause_ms(5); /* more than the stable time below */
	event_set(&gate);
	return 0;
}

/* When all are restarted for db, a is stable: its next failure is a first one. */
START_TEST(one_that_was_stable_when_another_restarted_it_starts_anew)
{
	struct worker a = WORKER(.name = "a", .code = -EIO, .notifies = true);
	struct server server = worker_server(&a);

	make();
	server.start = start_every_other_time;
	server.restart.delay_ms = 8;
	server.restart.stable_ms = 1;
	add(&server);
	server = worker_server(&db);
	server.restart.scope = SERVER_RESTART_ALL;
	add(&server);
	hook(APP_AFTER_START, gate_hook, NULL);
	when("app-ready", 2, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 4);
	ck_assert_int_eq(delay_count, 3);
	ck_assert_delay(delays[0], 8);
	ck_assert_int_eq(delays[1], 0);
	ck_assert_delay(delays[2], 8);
	app_free(&app);
}
END_TEST

/* ---- losses ---- */

static struct worker user = WORKER(.name = "user");

/* The one that everybody is asked to leave for. */
START_TEST(what_needs_a_lost_server_has_failed_too)
{
	struct worker a =
	    WORKER(.name = "a", .failures = 99, .code = -EIO, .gated = true);
	static const char *const names[] = {"a", NULL};
	struct server server = worker_server(&a);

	make();
	server.restart.limit = 1;
	server.restart.window_ms = -1;
	server.restart.scope = SERVER_RESTART_DEPENDENTS;
	server.optional = true;
	add(&server);
	server = worker_server(&user);
	server.after = names;
	server.optional = true;
	add(&server);
	server = worker_server(&list);
	server.wants = names;
	add(&server);
	when("state:running", 1, open_gate);
	when("lost:a", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_eq(noted("lost:user"), 1);
	ck_assert_int_eq(a.starts, a.stops);
	ck_assert_int_eq(user.starts, user.stops);
	ck_assert_int_eq(list.starts, 1);
	ck_assert_int_eq(status_of("user").error.code, -ENOTCONN);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

static char gave_up[220];

static void keep_giving_up(const struct app_event *event, void *arg)
{
	on_event(event, arg);
	if (event->type != APP_EVENT_SERVER_LOST &&
	    (event->type != APP_EVENT_SERVER_FAILED ||
		event->error->code == -EIO))
		return;
	note("told:%s:%d", event->server, -event->error->code);
	if (event->error->code == -ENOTRECOVERABLE)
		strcpy(gave_up, event->error->text);
}

/* A10: the app has to end for c, whether it came to lose b by then or not */
START_TEST(why_a_server_is_lost_is_told_before_what_needs_it_ends_the_app)
{
	struct worker a = WORKER(.name = "a", .failures = 99, .code = -EIO);
	struct worker b = WORKER(.name = "b"), c = WORKER(.name = "c");
	static const char *const after_a[] = {"a", NULL};
	static const char *const after_b[] = {"b", NULL};
	struct server server = worker_server(&a);
	char cause[32], second[32], last[32];

	make();
	app_free(&app);
	options.on_event = keep_giving_up;
	app_make();
	server.restart.limit = 2;
	server.restart.window_ms = -1;
	server.optional = true;
	add(&server);
	server = worker_server(&b);
	server.after = after_a;
	server.optional = true;
	add(&server);
	server = worker_server(&c);
	server.after = after_b;
	add(&server);
	ck_assert_int_eq(app_go(), -ENOTCONN);
	ck_assert_str_eq(result.origin, "c");
	ck_assert_str_eq(result.text, "needs b, which has failed for good");
	snprintf(cause, sizeof(cause), "told:a:%d", ENOTRECOVERABLE);
	snprintf(second, sizeof(second), "told:b:%d", ENOTCONN);
	snprintf(last, sizeof(last), "told:c:%d", ENOTCONN);
	ck_assert_noted_in_order(cause, last);
	ck_assert_noted_in_order(second, last);
	ck_assert_ptr_nonnull(strstr(gave_up, "gave up after 2 restarts"));
	ck_assert_int_eq(status_of("a").error.code, -ENOTRECOVERABLE);
	app_free(&app);
}
END_TEST

/* ---- who does not become ready, or does not come back ---- */

static int start_ready_the_second_time(struct context *ctx, void *arg)
{
	struct worker *worker = arg;
	int run = ++worker->starts;

	if (context_err(ctx))
		worker->wrong++;
	note("start:%s#%d", worker->name, run);
	event_set(&worker->began);
	if (run == 1) {
		/* Deaf to its stop; told by its context at the deadline. */
		context_wait(ctx, -1);
		note("told:%d", context_cause(ctx).code == -ETIMEDOUT);
		return context_err(ctx);
	}
	server_ready(ctx);
	event_wait_count(&worker->quit, run);
	return 0;
}

/* A3, A9 */
START_TEST(one_that_is_not_ready_in_time_is_restarted)
{
	struct worker a = WORKER(.name = "a", .notifies = true);
	struct server server = worker_server(&a);

	make();
	server.start = start_ready_the_second_time;
	server.start_timeout_ms = 50;
	server.stop_timeout_ms = 50;
	add(&server);
	when("app-ready", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_int_ge(a.starts, 2);
	ck_assert_worker(&a, a.starts);
	ck_assert_noted_in_order("start:a#1", "stop:a#1", "timeout:a", "told:1",
	    "start:a#2");
	ck_assert_int_eq(status_of("a").error.code, -ETIMEDOUT);
	ck_assert_str_eq(status_of("a").error.text, "not ready after 50 ms");
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

/* It says of itself that it has failed, and goes on. */
static int start_unwell_the_first_time(struct context *ctx, void *arg)
{
	struct worker *worker = arg;
	int run = ++worker->starts;

	note("start:%s#%d", worker->name, run);
	event_set(&worker->began);
	server_ready(ctx);
	if (run == 1)
		server_fail(ctx, error_set(-EIO, "not well"));
	event_wait_count(&worker->quit, run);
	return 0;
}

START_TEST(one_that_says_that_it_has_failed_is_stopped_and_restarted)
{
	struct worker a = WORKER(.name = "a", .notifies = true);
	struct server server = worker_server(&a);

	make();
	server.start = start_unwell_the_first_time;
	add(&server);
	when("ready:a", 2, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 2);
	ck_assert_noted_in_order("start:a#1", "failed:a", "stop:a#1",
	    "start:a#2");
	ck_assert_str_eq(status_of("a").error.text, "not well");
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

START_TEST(one_that_says_that_it_has_failed_ends_the_app_if_nothing_absorbs_it)
{
	struct worker a = WORKER(.name = "a", .notifies = true);
	struct server server = worker_server(&a);

	make();
	server.start = start_unwell_the_first_time;
	server.restart.when = SERVER_RESTART_NEVER;
	add(&server);
	ck_assert_int_eq(app_go(), -EIO);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_str_eq(result.text, "not well");
	ck_assert_uint_eq(error_count(), 1);
	ck_assert_worker(&a, 1);
	app_free(&app);
	ck_assert_int_eq(server_fail(context_background(), -EIO), -EINVAL);
	ck_assert_int_eq(server_extend(context_background(), 1), -EINVAL);
}
END_TEST

static void lack_the_moon(void *arg, char *text, size_t size)
{
	(void)arg;
	snprintf(text, size, "no moon");
}

static int start_never_ready(struct context *ctx, void *arg)
{
	struct worker *worker = arg;

	(void)ctx;
	event_set(&worker->began);
	event_wait_count(&worker->quit, ++worker->starts);
	return 0;
}

static struct server server_without_a_moon(struct worker *worker)
{
	struct server server = worker_server(worker);

	server.restart.when = SERVER_RESTART_NEVER;
	server.start = start_never_ready;
	server.lacks = lack_the_moon;
	return server;
}

/* A3 */
START_TEST(one_that_is_not_ready_in_time_says_what_it_lacked)
{
	struct worker a = WORKER(.name = "a", .notifies = true);
	struct server server = server_without_a_moon(&a);

	make();
	server.start_timeout_ms = 500; /* until it has begun on any machine */
	add(&server);
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.text, "not ready after 500 ms: no moon");
	app_free(&app);
}
END_TEST

/* A3 */
START_TEST(an_app_that_is_not_ready_in_time_says_what_was_lacking)
{
	struct worker a = WORKER(.name = "a", .notifies = true);
	struct server server = server_without_a_moon(&a);

	options.start_timeout_ms = 500; /* until it has begun on any machine */
	make();
	add(&server);
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.text, "not ready after 500 ms: a; no moon");
	app_free(&app);
}
END_TEST

static int start_with_more_time(struct context *ctx, void *arg)
{
	struct worker *worker = arg;

	worker->starts++;
	event_set(&worker->began);
	if (server_extend(ctx, LONG_MS))
		worker->wrong++;
	context_wait(ctx, 2500);
	server_ready(ctx);
	event_wait_count(&worker->quit, 1);
	return 0;
}

START_TEST(one_that_asks_for_time_has_it)
{
	struct worker a = WORKER(.name = "a", .notifies = true);
	struct server server = worker_server(&a);

	make();
	server.start = start_with_more_time;
	server.start_timeout_ms = 2000; /* until it has asked on any machine */
	add(&server);
	when("app-ready", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 1);
	app_free(&app);
}
END_TEST

static struct event released = EVENT_INIT;

static int start_deaf(struct context *ctx, void *arg)
{
	struct worker *worker = arg;

	(void)ctx;
	worker->starts++;
	note("start:%s#%d", worker->name, worker->starts);
	event_set(&worker->began);
	event_wait(&released);
	note("back");
	return -ECANCELED;
}

static struct worker deaf = WORKER(.name = "deaf", .notifies = true);

static struct server deaf_server(void)
{
	struct server server = worker_server(&deaf);

	server.start = start_deaf;
	server.start_timeout_ms = 20;
	server.stop_timeout_ms = 20;
	return server;
}

static void tell_text(const struct app_event *event, void *arg)
{
	tell_event(event, arg);
	if (event->type == APP_EVENT_SERVER_FAILED)
		tell("%s: %s", event->server, event->error->text);
}

static int run_deaf(void)
{
	struct server server = deaf_server();

	options.on_event = tell_text;
	options.stop_timeout_ms = 100;
	app_make();
	add(&server);
	app_go();
	return 0;
}

/* A9 */
START_TEST(one_that_does_not_come_back_cannot_be_restarted_and_is_stuck)
{
	struct child child;

	child_start(&child, run_deaf);
	child_until(&child, "deaf: not ready after 20 ms");
	child_until(&child, "timeout:deaf");
	child_until(&child,
	    "deaf: cannot be started again: not stopped after ");
	child_until(&child, "stuck:deaf:stuck in start for ");
	ck_assert_exit(&child, 124);
}
END_TEST

static void release(void)
{
	event_set(&released);
}

/* A9: what it was lost for is told at once, though its start never returned */
START_TEST(without_an_optional_one_that_does_not_come_back_the_app_goes_on)
{
	static const char *const names[] = {"deaf", NULL};
	struct server server = deaf_server();

	make();
	server.start_timeout_ms = 500; /* until it has begun on any machine */
	server.optional = true;
	add(&server);
	server = worker_server(&list);
	server.wants = names;
	add(&server);
	server = worker_server(&user);
	server.after = names;
	server.optional = true;
	add(&server);
	hook(APP_AFTER_START, see_hook, "deaf");
	when("state:running", 1, release);
	when("stopped:deaf", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:deaf#1", "stop:deaf#1", "lost:deaf",
	    "starting:list", "app-ready", "state:running", "back",
	    "stopped:deaf", "stop:list#1", "state:done");
	ck_assert_noted_in_order("lost:deaf", "lost:user");
	ck_assert_int_eq(user.starts, 0);
	ck_assert_int_eq(deaf.starts, 1);
	ck_assert_int_eq(seen.error.code, -ETIMEDOUT);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

/* A9 */
START_TEST(one_that_comes_back_late_after_all_does_not_start_again)
{
	struct server server = deaf_server();

	make();
	options.stop_timeout_ms = 2000;
	server.start_timeout_ms = 500; /* until it has begun on any machine */
	add(&server);
	when("failed:deaf", 2, release);
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "deaf");
	ck_assert_ptr_nonnull(strstr(result.text, "cannot be started again"));
	ck_assert_int_eq(deaf.starts, 1);
	ck_assert_int_eq(deaf.stops, 1);
	app_free(&app);
}
END_TEST

/* ---- an app that stops meanwhile ---- */

/* A12, A13 */
START_TEST(a_stop_ends_a_back_off_at_once)
{
	struct worker a = WORKER(.name = "a", .failures = 1, .code = -EIO);
	struct server server = worker_server(&a);

	make();
	server.restart.delay_ms = server.restart.max_delay_ms = 10 * LONG_MS;
	add(&server);
	when("stopped:a", 1, _i ? send_term : stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 1);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_int_eq(status_of("a").state, SERVER_STOPPED);
	app_free(&app);
}
END_TEST

static int stop_app_in_first_stop(struct context *ctx, void *arg)
{
	struct worker *worker = arg;

	if (!worker->stops)
		app_stop(app_from_context(ctx));
	return worker_stop(ctx, arg);
}

/* A12, A13 */
START_TEST(a_stop_during_the_stop_of_a_restart_is_the_last)
{
	struct worker a = WORKER(.name = "a", .failures = 9, .code = -EIO);
	struct server server = worker_server(&a);

	make();
	server.stop = stop_app_in_first_stop;
	add(&server);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 1);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

static int stop_app_in_second_start(struct context *ctx, void *arg)
{
	struct worker *worker = arg;

	if (worker->starts == 1)
		app_stop(app_from_context(ctx));
	return worker_start(ctx, arg);
}

/* A12, A13 */
START_TEST(a_stop_while_it_starts_again_stops_it_once_more)
{
	struct worker a =
	    WORKER(.name = "a", .failures = 1, .code = -EIO, .notifies = true);
	struct server server = worker_server(&a);

	make();
	server.start = stop_app_in_second_start;
	add(&server);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_worker(&a, 2);
	ck_assert_uint_eq(error_count(), 0);
	app_free(&app);
}
END_TEST

static const struct {
	const char *word;
	int count;
} halfway[] = {{"failed:db", 1}, {"restarting:db", 1}, {"app-unready", 1},
    {"stopping:web", 1}, {"stopped:web", 1}, {"stopping:api", 1},
    {"stopped:api", 1}, {"stopping:db", 1}, {"stopped:db", 1},
    {"starting:db", 2}, {"ready:db", 2}, {"starting:api", 2}, {"ready:api", 2},
    {"starting:web", 2}, {"ready:web", 2}};

enum { HALFWAY = sizeof(halfway) / sizeof(*halfway) };

/* A12, A13, A14 */
START_TEST(a_stop_half_way_through_a_restart_of_many_stops_what_runs)
{
	struct worker *all[] = {&db, &init, &api, &web, &list, &lone};

	make();
	add_group(_i % 2 ? SERVER_RESTART_ALL : SERVER_RESTART_DEPENDENTS);
	when("state:running", 1, open_gate);
	when(halfway[_i / 2 % HALFWAY].word, halfway[_i / 2 % HALFWAY].count,
	    _i / 2 / HALFWAY ? send_term : stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_uint_eq(error_count(), 0);
	for (int i = 0; i < 6; i++) {
		ck_assert_int_le(all[i]->starts, 2);
		ck_assert_worker(all[i], all[i]->starts);
	}
	ck_assert_int_eq(noted("state:done"), 1);
	app_free(&app);
}
END_TEST

static bool is_noted(void *word)
{
	return noted(word) > 0;
}

/* The start has failed by then. */
static int stop_until_it_failed(struct context *ctx, void *arg)
{
	int code = worker_stop(ctx, arg);

	event_poll(is_noted, (void *)"failed:a");
	return code;
}

static void run_failing_in_stop(bool optional, task_fn *stop)
{
	struct worker a = WORKER(.name = "a", .quit_code = -EIO);
	struct server server = worker_server(&a);

	make();
	server.stop = stop;
	server.optional = optional;
	add(&server);
	stop_when_up();
	ck_assert_int_eq(app_go(), optional ? 0 : -EIO);
	ck_assert_uint_eq(error_count(), optional ? 0 : 1);
	ck_assert_worker(&a, 1);
	ck_assert_int_eq(noted("failed:a"), 1);
	ck_assert_str_eq(last_error.text, "a broke in its stop");
	ck_assert_int_eq(status_of("a").error.code, -EIO);
}

/* A10 */
START_TEST(one_that_fails_when_the_app_stops_it_is_an_error)
{
	run_failing_in_stop(false, worker_stop);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_str_eq(result.text, "a broke in its stop");
	app_free(&app);
}
END_TEST

START_TEST(an_optional_one_that_fails_when_the_app_stops_it_is_none)
{
	run_failing_in_stop(true, worker_stop);
	app_free(&app);
}
END_TEST

START_TEST(an_optional_one_may_fail_before_its_stop_has_returned)
{
	run_failing_in_stop(true, stop_until_it_failed);
	app_free(&app);
}
END_TEST

static bool has_failed(void *name)
{
	struct server_status status;

	return !server_state(app, name, &status) &&
	       status.state == SERVER_FAILING;
}

static int fail_now_hook(struct context *ctx, void *name)
{
	(void)ctx;
	event_set(&gate);
	event_poll(has_failed, name);
	return 0;
}

static void run_failing_before_stop(bool optional)
{
	struct worker a =
	    WORKER(.name = "a", .failures = 1, .code = -EIO, .gated = true);
	struct server server = worker_server(&a);

	make();
	server.optional = optional;
	add(&server);
	stop_when_up();
	hook(APP_BEFORE_STOP, fail_now_hook, "a");
	ck_assert_int_eq(app_go(), optional ? 0 : -EIO);
	ck_assert_uint_eq(error_count(), optional ? 0 : 1);
	ck_assert_worker(&a, 1);
	ck_assert_int_eq(noted("failed:a"), 1);
	ck_assert_int_eq(noted("restarting:a"), 0);
	app_free(&app);
}

/* A10 */
START_TEST(one_that_fails_before_it_is_stopped_is_not_restarted)
{
	run_failing_before_stop(false);
}
END_TEST

START_TEST(an_optional_one_that_fails_before_it_is_stopped_is_no_error)
{
	run_failing_before_stop(true);
}
END_TEST

/* ---- an app that starts meanwhile ---- */

/* A3 */
START_TEST(the_barrier_waits_for_one_that_is_restarted)
{
	struct worker a =
	    WORKER(.name = "a", .failures = 3, .code = -EIO, .notifies = true);

	make();
	add_worker(&a);
	add_plain(&lone);
	hook(APP_AFTER_START, note_hook, "up");
	when("app-ready", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a#1", "start:a#2", "start:a#3",
	    "start:a#4", "ready:a", "state:registering", "app-ready");
	ck_assert_worker(&a, 4);
	ck_assert_worker(&lone, 1);
	app_free(&app);
}
END_TEST

/* A3 */
START_TEST(what_comes_after_waits_for_one_that_is_restarted)
{
	struct worker a =
	    WORKER(.name = "a", .failures = 2, .code = -EIO, .notifies = true);
	static const char *const names[] = {"a", NULL};
	struct server server = worker_server(&user);

	make();
	server.after = names;
	add(&server);
	add_worker(&a);
	when("app-ready", 1, stop_app);
	ck_assert_int_eq(app_go(), 0);
	ck_assert_noted_in_order("start:a#3", "ready:a", "start:user#1",
	    "stop:user#1", "stop:a#3");
	app_free(&app);
}
END_TEST

/* A3 */
START_TEST(a_start_that_times_out_names_the_one_that_is_restarting)
{
	struct worker a =
	    WORKER(.name = "a", .failures = 99, .code = -EIO, .notifies = true);
	struct server server = worker_server(&a);

	options.start_timeout_ms = 2000; /* until lone is up on any machine */
	make();
	add_plain(&lone);
	server.restart.delay_ms = LONG_MS;
	server.restart.max_delay_ms = LONG_MS;
	add(&server);
	ck_assert_int_eq(app_go(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_str_eq(result.text, "not ready after 2 s: a");
	ck_assert_worker(&a, 1);
	ck_assert_worker(&lone, 1);
	app_free(&app);
}
END_TEST

/* ---- many ---- */

enum { MANY = 20 };

static struct {
	struct worker worker;
	char name[8], on[8];
	const char *names[2];
} many[MANY];
static atomic_int starts_left;
static atomic_uint random_state;

static unsigned random_of(unsigned n)
{
	unsigned x = atomic_fetch_add(&random_state, 0x9e3779b9u);

	x = (x ^ x >> 16) * 0x85ebca6bu;
	x = (x ^ x >> 13) * 0xc2b2ae35u;
	return (x ^ x >> 16) % n;
}

static int start_at_random(struct context *ctx, void *arg)
{
	struct worker *worker = arg;
	int run = ++worker->starts, code = 0;
	int left = --starts_left;

	if (worker->in_start++ || context_err(ctx))
		worker->wrong++;
	event_set(&worker->began);
	if (left == 0)
		app_stop(app);
	switch (run <= 2 ? 0 : left < 0 ? 3 : random_of(5)) {
	case 0:
		code = -EIO;
		break;
	case 1:
		kit_pause_ms(1);
		code = error_set(-EPIPE, "broke");
		break;
	case 2:
		break;
	default:
		event_wait_count(&worker->quit, run);
		code = random_of(4) ? 0 : -ECANCELED;
	}
	worker->in_start--;
	return code;
}

static int stop_quietly(struct context *ctx, void *arg)
{
	struct worker *worker = arg;
	int run = ++worker->stops;

	(void)ctx;
	if (worker->in_stop++)
		worker->wrong++;
	event_wait_count(&worker->began, run);
	if (worker->starts != run)
		worker->wrong++;
	event_set(&worker->quit);
	worker->in_stop--;
	return random_of(10) ? 0 : -EPIPE;
}

static void stop_if_ready(const struct app_event *event, void *arg)
{
	(void)arg;
	if (event->type == APP_EVENT_READY)
		app_stop(app);
}

static void add_one_of_many(int i)
{
	struct worker fresh = WORKER(.name = many[i].name);
	struct server server;

	memcpy(&many[i].worker, &fresh, sizeof(fresh));
	snprintf(many[i].name, sizeof(many[i].name), "s%d", i);
	snprintf(many[i].on, sizeof(many[i].on), "s%d", i / 2);
	many[i].names[0] = many[i].on;
	server = worker_server(&many[i].worker);
	server.start = start_at_random;
	server.stop = stop_quietly;
	server.after = i && i % 3 == 1 ? many[i].names : NULL;
	server.wants = i && i % 3 == 2 ? many[i].names : NULL;
	server.restart.scope = (enum server_restart_scope)(i % 3);
	if (i % 4 == 3)
		server.restart.when = SERVER_RESTART_ALWAYS;
	server.optional = i % 5 == 4;
	add(&server);
}

/* A13 */
START_TEST(many_that_fail_at_random_are_all_stopped_as_often_as_started)
{
	starts_left = scale(60 + 60 * _i) + 60;
	random_state = (unsigned)_i * 7919u;
	options.on_event = stop_if_ready;
	app_make();
	for (int i = 0; i < MANY; i++)
		add_one_of_many(i);
	app_go();
	for (int i = 0; i < MANY; i++) {
		ck_assert_msg(many[i].worker.starts == many[i].worker.stops &&
				  !many[i].worker.wrong,
		    "s%d: %d starts, %d stops, %d wrong", i,
		    many[i].worker.starts, many[i].worker.stops,
		    many[i].worker.wrong);
		ck_assert_int_eq(status_of(many[i].name).state, SERVER_STOPPED);
	}
	app_free(&app);
}
END_TEST

/* ---- what runs out ---- */

static int failing_call;
static enum fault failing_kind;

static void order_fault(void)
{
	fault_nth(failing_kind, failing_call);
}

/* 0 if all is as it should be, whatever failed. */
static int run_with_fault(bool from_the_start, int code)
{
	struct worker *all[] = {&db, &api, &web};
	static const struct worker fresh = WORKER(.name = "");
	int ret;

	for (int i = 0; i < 3; i++) {
		const char *name = all[i]->name;

		memcpy(all[i], &fresh, sizeof(fresh));
		all[i]->name = name;
	}
	gate = (struct event)EVENT_INIT;
	memset(triggers, 0, sizeof(triggers));
	*journal.text = '\0';
	db.failures = 1;
	db.code = -EIO;
	db.gated = true;
	if (from_the_start)
		order_fault();
	options.on_event = on_event;
	app = app_new(&options);
	if (!app)
		return 0;
	for (int i = 0; i < 3; i++) {
		struct server server = worker_server(all[i]);

		server.after = i == 1 ? db_names : i == 2 ? api_names : NULL;
		server.restart.scope = SERVER_RESTART_DEPENDENTS;
		if (app_add_server(app, &server)) {
			app_free(&app);
			return 0;
		}
	}
	when("state:running", 1, open_gate);
	if (!from_the_start)
		when("restarting:db", 1, order_fault);
	when("app-ready", 2, stop_app);
	ret = app_run(app, &result);
	app_free(&app);
	for (int i = 0; i < 3; i++)
		if (all[i]->starts != all[i]->stops || all[i]->wrong)
			return 1;
	return ret == 0 || ret == code ? 0 : 2;
}

START_TEST(memory_that_runs_out_in_a_restart_ends_the_app_in_order)
{
	int ended = 0;

	failing_kind = FAULT_MEMORY;
	do {
		failing_call++;
		ck_assert_msg(run_with_fault(false, -ENOMEM) == 0,
		    "call %d: %d %s: %s", failing_call, result.code,
		    result.text, journal.text);
		ended += result.code != 0;
	} while (fault_failed(FAULT_MEMORY));
	ck_assert_int_gt(failing_call, 5);
	ck_assert_int_gt(ended, 2);
}
END_TEST

static int run_short_of_threads(void)
{
	int ret = run_with_fault(true, -EAGAIN);

	if (ret)
		tell("%d:%d:%s", ret, result.code, journal.text);
	return ret ? ret : fault_failed(FAULT_THREAD) ? 0 : 10;
}

/* In a process that has no thread yet. */
START_TEST(a_thread_that_cannot_be_made_ends_the_app_in_order)
{
	int status = 0;

	failing_kind = FAULT_THREAD;
	for (failing_call = 1; status == 0; failing_call++) {
		struct child child;

		child_start(&child, run_short_of_threads);
		status = child_end(&child);
		ck_assert_msg(WIFEXITED(status) &&
				  (WEXITSTATUS(status) == 0 ||
				      WEXITSTATUS(status) == 10),
		    "thread %d: %#x: %s", failing_call, (unsigned)status,
		    child.line);
	}
	ck_assert_int_gt(failing_call, 4);
}
END_TEST

static void order_all_faults(void)
{
	fault_from(FAULT_THREAD, 1);
}

static int run_restart_without_threads(void)
{
	struct worker a =
	    WORKER(.name = "a", .failures = 1, .code = -EIO, .notifies = true);

	options.on_event = on_event;
	app_make();
	add_worker(&a);
	when("restarting:a", 1, order_all_faults);
	when("app-ready", 1, stop_app);
	app_run(app, &result);
	app_free(&app);
	return a.starts == a.stops && !a.wrong &&
		       (!result.code || result.code == -EAGAIN)
		   ? 0
		   : 1;
}

START_TEST(a_restart_with_no_thread_to_be_had_ends_or_goes_on)
{
	struct child child;

	child_start(&child, run_restart_without_threads);
	ck_assert_exit(&child, 0);
}
END_TEST

static void add_loops(Suite *suite)
{
	TCase *tcase = suite_case(suite, "loops");

	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase, a_stop_ends_a_back_off_at_once, 0, 2);
	tcase_add_loop_test(tcase,
	    a_stop_half_way_through_a_restart_of_many_stops_what_runs, 0,
	    4 * HALFWAY);
	tcase_add_loop_test(tcase,
	    many_that_fail_at_random_are_all_stopped_as_often_as_started, 0, 8);
}

int main(void)
{
	Suite *suite = suite_create("app_restart");

	SUITE_ADD(suite, "delays",
	    a_delay_doubles_up_to_the_greatest_less_a_quarter_at_most,
	    delays_of_all_sizes_are_in_bounds);
	SUITE_ADD(suite, "when",
	    a_server_that_fails_is_started_again_with_growing_delays,
	    the_status_has_the_restarts_and_the_last_error,
	    a_server_that_is_never_restarted_ends_the_app,
	    on_failure_a_server_that_returns_stays_up,
	    always_restarts_a_server_that_returns,
	    always_restarts_as_often_as_it_returns);
	SUITE_ADD(suite, "how often", one_that_fails_too_often_ends_the_app,
	    the_words_of_giving_up_fit_one_restart_and_no_failure,
	    the_default_limit_is_five,
	    without_an_optional_one_that_fails_too_often_the_app_goes_on,
	    why_a_server_is_lost_is_not_what_its_last_stop_said,
	    without_a_limit_no_server_is_given_up,
	    one_that_fails_slowly_enough_is_never_given_up,
	    the_delay_starts_anew_for_one_that_was_stable,
	    with_no_stable_time_each_restart_is_a_first_one,
	    the_delay_grows_for_one_that_was_not_stable);
	SUITE_ADD(suite, "runs",
	    each_of_many_runs_is_stopped_once_before_the_next,
	    a_server_without_a_stop_is_restarted,
	    a_server_of_watches_is_restarted,
	    an_error_of_the_stop_does_not_keep_a_server_from_starting_again);
	SUITE_ADD(suite, "with whom",
	    a_restart_of_one_leaves_its_dependents_alone,
	    those_that_need_it_are_restarted_with_it_in_order,
	    all_are_restarted_in_order_one_shots_included,
	    two_that_fail_at_one_time_restart_all_once,
	    a_failure_of_one_that_is_stopped_for_another_does_not_end_the_app,
	    a_failure_of_one_that_waits_for_its_turn_does_not_end_the_app,
	    to_be_cancelled_by_a_restart_is_no_failure,
	    one_in_back_off_stays_there_when_all_are_restarted,
	    nobody_starts_on_what_is_about_to_be_stopped,
	    one_that_was_stable_when_another_restarted_it_starts_anew,
	    what_needs_a_lost_server_has_failed_too,
	    why_a_server_is_lost_is_told_before_what_needs_it_ends_the_app);
	SUITE_ADD(suite, "what a server says of itself",
	    one_that_says_that_it_has_failed_is_stopped_and_restarted,
	    one_that_says_that_it_has_failed_ends_the_app_if_nothing_absorbs_it,
	    one_that_is_not_ready_in_time_says_what_it_lacked,
	    an_app_that_is_not_ready_in_time_says_what_was_lacking,
	    one_that_asks_for_time_has_it);
	SUITE_ADD(suite, "who does not come back",
	    one_that_is_not_ready_in_time_is_restarted,
	    one_that_does_not_come_back_cannot_be_restarted_and_is_stuck,
	    without_an_optional_one_that_does_not_come_back_the_app_goes_on,
	    one_that_comes_back_late_after_all_does_not_start_again);
	SUITE_ADD(suite, "an app that stops",
	    a_stop_during_the_stop_of_a_restart_is_the_last,
	    a_stop_while_it_starts_again_stops_it_once_more,
	    one_that_fails_when_the_app_stops_it_is_an_error,
	    an_optional_one_that_fails_when_the_app_stops_it_is_none,
	    an_optional_one_may_fail_before_its_stop_has_returned,
	    one_that_fails_before_it_is_stopped_is_not_restarted,
	    an_optional_one_that_fails_before_it_is_stopped_is_no_error);
	SUITE_ADD(suite, "an app that starts",
	    the_barrier_waits_for_one_that_is_restarted,
	    what_comes_after_waits_for_one_that_is_restarted,
	    a_start_that_times_out_names_the_one_that_is_restarting);
	SUITE_ADD(suite, "what runs out",
	    memory_that_runs_out_in_a_restart_ends_the_app_in_order,
	    a_thread_that_cannot_be_made_ends_the_app_in_order,
	    a_restart_with_no_thread_to_be_had_ends_or_goes_on);
	add_loops(suite);
	return suite_run(suite);
}
