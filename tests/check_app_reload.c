/* An app that is reloaded: asked, refused, changed, stopped meanwhile. */
#include "tests/app_thread.h"

#include "app/internal.h"

enum { CHECK = SERVER_RELOAD_CHECK, COMMIT = SERVER_RELOAD_COMMIT };

/* ---- a server that is reloaded ---- */

struct subject {
	const char *name,
	    *label; /* the label, or the name, is in the journal */
	/* of its reload, by phase: waits for an event, or for its context */
	struct event *hold[4];
	bool heeds[4], late[4]; /* late: and has nothing to say then */
	int codes[4];
	struct event *stop_hold;
	bool no_reload;
	atomic_int crash_code; /* of start, when it is made to end */
	atomic_int starts, stops, releases, asked[4], agreed;
	struct event entered[4], begun, quit; /* quit: so many are to end */
	void *config; /* the last it has seen */
};

#define SUBJECT(...)                                                  \
	{                                                             \
		__VA_ARGS__, .begun = EVENT_INIT, .quit = EVENT_INIT, \
			     .entered =                               \
		{ EVENT_INIT,                                         \
			EVENT_INIT,                                   \
			EVENT_INIT,                                   \
			EVENT_INIT }                                  \
	}

static const char *label_of(const struct subject *subject)
{
	return subject->label ? subject->label : subject->name;
}

static int subject_start(struct context *ctx, void *arg)
{
	struct subject *subject = arg;
	int n = ++subject->starts;

	note("start:%s", label_of(subject));
	if (server_reload_phase(ctx) != SERVER_RELOAD_NONE ||
	    server_reload_config(ctx))
		note("reload-in-start");
	event_set(&subject->begun);
	event_wait_count(&subject->quit, n);
	note("end:%s", label_of(subject));
	n = atomic_exchange(&subject->crash_code, 0);
	return n ? error_set(n, "%s crashed", subject->name) : 0;
}

/* All starts so far end. */
static void let_end(struct subject *subject)
{
	pthread_mutex_lock(&subject->quit.lock);
	subject->quit.count = subject->starts;
	pthread_cond_broadcast(&subject->quit.changed);
	pthread_mutex_unlock(&subject->quit.lock);
}

static void crash(struct subject *subject, int code)
{
	/* A server may be ready before its start has come so far. */
	event_wait(&subject->begun);
	subject->crash_code = code;
	let_end(subject);
}

static int subject_stop(struct context *ctx, void *arg)
{
	struct subject *subject = arg;

	event_wait_count(&subject->begun, ++subject->stops);
	note("stop:%s", label_of(subject));
	if (server_reload_phase(ctx) != SERVER_RELOAD_NONE)
		note("reload-in-stop");
	if (subject->stop_hold)
		event_wait(subject->stop_hold);
	let_end(subject);
	return 0;
}

static int subject_reload(struct context *ctx, void *arg)
{
	static const char *const words[] = {"none", "check", "commit", "abort"};
	struct subject *subject = arg;
	enum server_reload phase = server_reload_phase(ctx);
	int code = subject->codes[phase];

	note("%s:%s", words[phase], label_of(subject));
	if (!server_name(ctx) || strcmp(server_name(ctx), subject->name) != 0 ||
	    app_from_context(ctx) != app)
		note("wrong-name");
	/* What was agreed upon is taken back whatever has ended. */
	if (phase == SERVER_RELOAD_ABORT && context_err(ctx))
		note("abort-done");
	subject->config = server_reload_config(ctx);
	subject->asked[phase]++;
	event_set(&subject->entered[phase]);
	if (subject->hold[phase])
		event_wait(subject->hold[phase]);
	if (subject->heeds[phase])
		code = context_wait(ctx, LONG_MS);
	if (subject->late[phase])
		context_wait(ctx, LONG_MS);
	if (phase == SERVER_RELOAD_CHECK && !code)
		subject->agreed++;
	return code ? error_set(code, "%s cannot %s", subject->name,
			  words[phase])
		    : 0;
}

static void subject_release(void *arg)
{
	struct subject *subject = arg;

	subject->releases++;
	note("release:%s", label_of(subject));
}

static struct server server_of(struct subject *subject)
{
	return (struct server){.name = subject->name,
	    .start = subject_start,
	    .stop = subject_stop,
	    .reload = subject->no_reload ? NULL : subject_reload,
	    .release = subject_release,
	    .arg = subject};
}

static void add_subject(struct subject *subject)
{
	struct server server = server_of(subject);

	add(&server);
}

/* It ran once, was told all it had to be told, and is not there any more. */
static void ck_assert_gone(struct subject *subject)
{
	ck_assert_int_eq(subject->starts, subject->stops);
	ck_assert_int_eq(subject->releases, 1);
	ck_assert_int_eq(subject->agreed,
	    subject->asked[COMMIT] + subject->asked[SERVER_RELOAD_ABORT]);
}

static void ck_assert_untouched(struct subject *subject)
{
	ck_assert_int_eq(subject->starts, 1);
	ck_assert_int_eq(subject->stops, 0);
	ck_assert_int_eq(subject->releases, 0);
}

/* ---- what the program's function does, reload after reload ---- */

struct op {
	enum { OP_NONE, OP_ADD, OP_REPLACE, OP_REMOVE } what;
	struct server server; /* of a removal, the name */
	int ret;
	char text[220];
};

static struct plan {
	struct op ops[8];
	void *config;
	bool releases;
	int64_t stop_timeout_ms, drain_delay_ms;
	struct event entered;
	struct event *hold;
	bool heeds, late;
	int code;
} plans[8];

static int planned; /* reloads so far */

static void release_config_word(void *config)
{
	note("free:%s", (const char *)config);
}

static void do_op(struct app_reload *reload, struct op *op)
{
	switch (op->what) {
	case OP_NONE:
		return;
	case OP_ADD:
		op->ret = app_reload_add(reload, &op->server);
		break;
	case OP_REPLACE:
		op->ret = app_reload_replace(reload, &op->server);
		break;
	case OP_REMOVE:
		op->ret = app_reload_remove(reload, op->server.name);
		break;
	}
	snprintf(op->text, sizeof(op->text), "%s", error_of(op->ret).text);
}

static int plan_reload(struct context *ctx, struct app_reload *reload,
    void *arg)
{
	struct plan *plan = &plans[planned++];
	int code = plan->code;

	note("plan:%s", (const char *)arg);
	if (app_from_context(ctx) != app)
		note("wrong-app");
	for (int i = 0; i < 8; i++)
		do_op(reload, &plan->ops[i]);
	if (plan->config)
		app_reload_config(reload, plan->config,
		    plan->releases ? release_config_word : NULL);
	if (plan->stop_timeout_ms || plan->drain_delay_ms)
		app_reload_timeouts(reload, plan->stop_timeout_ms,
		    plan->drain_delay_ms);
	event_set(&plan->entered);
	if (plan->hold)
		event_wait(plan->hold);
	if (plan->heeds)
		code = context_wait(ctx, LONG_MS);
	if (plan->late)
		context_wait(ctx, LONG_MS);
	return code ? error_set(code, "no such file") : 0;
}

static struct op op_add(struct subject *subject)
{
	return (struct op){OP_ADD, server_of(subject), 0, ""};
}

static struct op op_after(struct subject *subject, const char *const *after)
{
	struct op op = op_add(subject);

	op.server.after = after;
	return op;
}

static struct op op_replace(struct subject *subject)
{
	return (struct op){OP_REPLACE, server_of(subject), 0, ""};
}

static struct op op_remove(const char *name)
{
	return (struct op){OP_REMOVE, {.name = name}, 0, ""};
}

/* ---- the app ---- */

static const char *const after_a[] = {"a", NULL},
			 *const after_b[] = {"b", NULL},
			 *const after_x[] = {"x", NULL};

static void setup(void)
{
	for (int i = 0; i < 8; i++)
		plans[i].entered = (struct event)EVENT_INIT;
	options.on_event = run_event;
	options.reload = plan_reload;
	options.reload_arg = (void *)"it";
	app_make();
}

static void reload_ended(int n)
{
	ck_assert_msg(event_wait_count(&run_of.reload_ends, n), "in:%s",
	    journal.text);
}

static int reload_count(void)
{
	int count;

	pthread_mutex_lock(&run_of.reload_ends.lock);
	count = run_of.reload_ends.count;
	pthread_mutex_unlock(&run_of.reload_ends.lock);
	return count;
}

/* Asks for a reload and waits for its end. */
static void reload_once(void)
{
	int n = reload_count() + 1;

	app_reload(app);
	reload_ended(n);
}

/* What app_status says of reloads. */
static unsigned reloads(struct error *err)
{
	struct app_status *status = app_status(app);
	unsigned count;

	ck_assert_ptr_nonnull(status);
	count = status->reloads;
	if (err)
		*err = status->reload_error;
	app_status_free(&status);
	return count;
}

static void ck_assert_refused(int code, const char *origin, const char *text)
{
	struct error err;

	reloads(&err);
	ck_assert_int_eq(err.code, code);
	ck_assert_str_eq(err.origin, origin);
	ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
	ck_assert_int_eq(run_of.refused.code, code);
	ck_assert_str_eq(run_of.refused.origin, origin);
	ck_assert_str_eq(run_of.refused.text, err.text);
}

/* It stops cleanly, and nothing is left to say. */
static void ck_assert_clean_end(void)
{
	ck_assert_int_eq(run_stop(), 0);
	ck_assert_uint_eq(error_count(), 0);
	ck_assert_int_eq(noted("wrong-name"), 0);
	ck_assert_int_eq(noted("wrong-app"), 0);
	ck_assert_int_eq(noted("abort-done"), 0);
	ck_assert_int_eq(noted("reload-in-start"), 0);
	ck_assert_int_eq(noted("reload-in-stop"), 0);
	app_free(&app);
}

/* ---- all agree ---- */

START_TEST(servers_are_asked_in_order_to_check_and_then_to_commit)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       c = SUBJECT(.name = "c", .no_reload = true);

	options.on_event = run_event;
	app_make(); /* and no function of the program */
	add_subject(&a);
	add_subject(&c);
	add_subject(&b);
	run_up();
	ck_assert_uint_eq(reloads(NULL), 0);
	reload_once();
	ck_assert_uint_eq(reloads(NULL), 1);
	ck_assert_noted_in_order("state:reloading", "check:a", "check:b",
	    "state:committing", "reloaded");
	ck_assert_noted_in_order("check:b", "commit:a", "commit:b", "reloaded");
	ck_assert_ptr_null(b.config);
	ck_assert_untouched(&a);
	until_times("state:running", 2);
	ck_assert_clean_end();
	ck_assert_gone(&a);
	ck_assert_gone(&b);
	ck_assert_gone(&c);
}
END_TEST

START_TEST(outside_of_a_reload_there_is_no_phase_and_no_config)
{
	ck_assert_int_eq(server_reload_phase(context_background()),
	    SERVER_RELOAD_NONE);
	ck_assert_ptr_null(server_reload_config(context_background()));
}
END_TEST

START_TEST(a_config_is_seen_by_servers_and_released_when_it_is_replaced)
{
	struct subject a = SUBJECT(.name = "a");
	char first[] = "first", second[] = "second", third[] = "third",
	     fourth[] = "fourth";

	setup();
	add_subject(&a);
	plans[0].config = first;
	plans[1].config = second;
	plans[2].config = third;
	plans[2].code = -EIO;
	/* 3 has none: the config of a reload is the whole of it. */
	plans[4].config = fourth;
	for (int i = 0; i < 5; i++)
		plans[i].releases = true;
	run_up();
	reload_once();
	ck_assert_ptr_eq(a.config, first);
	ck_assert_int_eq(noted("free:first"), 0);
	reload_once();
	ck_assert_ptr_eq(a.config, second);
	ck_assert_int_eq(noted("free:first"), 1);
	reload_once();
	until("free:third");
	ck_assert_int_eq(noted("free:second"), 0);
	reload_once();
	ck_assert_int_eq(noted("free:second"), 1);
	ck_assert_ptr_null(a.config);
	reload_once();
	ck_assert_ptr_eq(a.config, fourth);
	ck_assert_int_eq(run_stop(), 0);
	ck_assert_int_eq(noted("free:fourth"), 0);
	app_free(&app);
	ck_assert_noted_in_order("free:first", "free:third", "free:second",
	    "free:fourth");
}
END_TEST

static int two_configs(struct context *ctx, struct app_reload *reload,
    void *arg)
{
	(void)ctx;
	(void)arg;
	app_reload_config(reload, (void *)"one", release_config_word);
	app_reload_config(reload, (void *)"two", release_config_word);
	note("given");
	return 0;
}

START_TEST(the_last_config_that_a_reload_gives_is_the_one)
{
	struct subject a = SUBJECT(.name = "a");

	options.on_event = run_event;
	options.reload = two_configs;
	app_make();
	add_subject(&a);
	run_up();
	reload_once();
	ck_assert_str_eq(a.config, "two");
	ck_assert_noted_in_order("free:one", "given", "check:a");
	ck_assert_int_eq(noted("free:two"), 0);
	ck_assert_clean_end();
	ck_assert_int_eq(noted("free:two"), 1);
}
END_TEST

/* Servers may point into the config: they go first. */
START_TEST(a_config_outlives_the_servers_that_go_with_it)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");

	setup();
	plans[0].config = (void *)"first";
	plans[0].releases = true;
	plans[0].ops[0] = op_add(&a);
	plans[1].ops[0] = op_remove("a");
	plans[2].config = (void *)"third";
	plans[2].releases = true;
	plans[2].code = -EIO;
	plans[2].ops[0] = op_add(&b);
	run_up();
	reload_once();
	until("start:a");
	reload_once();
	ck_assert_noted_in_order("stop:a", "release:a", "free:first");
	reload_once();
	until("free:third");
	ck_assert_noted_in_order("release:b", "free:third");
	ck_assert_clean_end();
}
END_TEST

/* ---- somebody does not ---- */

START_TEST(a_server_that_refuses_takes_back_what_the_others_agreed_to)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       c = SUBJECT(.name = "c"), d = SUBJECT(.name = "d"),
		       e = SUBJECT(.name = "e");
	struct error err;

	setup();
	add_subject(&a);
	add_subject(&b);
	add_subject(&c);
	add_subject(&d);
	c.codes[CHECK] = -EINVAL;
	plans[0].ops[0] = op_add(&e);
	plans[0].config = (void *)"config";
	plans[0].releases = true;
	run_up();
	reload_once();
	ck_assert_refused(-EINVAL, "c", "c cannot check");
	until("free:config");
	ck_assert_noted_in_order("check:a", "check:b", "check:c", "abort:b",
	    "abort:a", "reload-refused:c", "release:e");
	ck_assert_int_eq(noted("check:d") + noted("abort:c"), 0);
	ck_assert_int_eq(noted("state:committing"), 0);
	ck_assert_int_eq(e.starts, 0);
	ck_assert_uint_eq(reloads(NULL), 0);
	ck_assert_untouched(&a);
	ck_assert_untouched(&c);
	/* The next one is a new one. */
	c.codes[CHECK] = 0;
	reload_once();
	ck_assert_uint_eq(reloads(&err), 1);
	ck_assert_int_eq(err.code, 0);
	ck_assert_clean_end();
	ck_assert_gone(&a);
	ck_assert_gone(&c);
	ck_assert_gone(&e);
	ck_assert_int_eq(noted("commit:a") + noted("commit:b"), 2);
	ck_assert_int_eq(noted("free:config"), 1);
}
END_TEST

START_TEST(the_error_of_an_abort_means_nothing)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");

	setup();
	add_subject(&a);
	add_subject(&b);
	a.codes[SERVER_RELOAD_ABORT] = -EIO;
	b.codes[CHECK] = -EINVAL;
	run_up();
	reload_once();
	ck_assert_refused(-EINVAL, "b", "b cannot check");
	ck_assert_clean_end();
	ck_assert_int_eq(noted("abort:a"), 1);
	ck_assert_int_eq(noted("failed:a"), 0);
}
END_TEST

START_TEST(a_program_function_that_fails_refuses_the_reload)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");

	setup();
	add_subject(&a);
	plans[0].ops[0] = op_add(&b);
	plans[0].code = -ENOENT;
	run_up();
	reload_once();
	ck_assert_refused(-ENOENT, "reload", "no such file");
	until("release:b");
	ck_assert_int_eq(noted("check:a"), 0);
	ck_assert_int_eq(noted("plan:it"), 1);
	ck_assert_clean_end();
}
END_TEST

/* A14 */
START_TEST(a_new_set_with_an_unknown_name_or_a_cycle_is_refused)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       c = SUBJECT(.name = "c");
	const char *const after_c[] = {"c", NULL};

	setup();
	add_subject(&a);
	plans[0].ops[0] = op_after(&b, after_x);
	plans[1].ops[0] = op_after(&b, after_c);
	plans[1].ops[1] = op_after(&c, after_b);
	/* The old ones are of the set as well. */
	plans[2].ops[0] = op_replace(&a);
	plans[2].ops[0].server.after = after_b;
	plans[2].ops[1] = op_after(&b, after_a);
	run_up();
	reload_once();
	ck_assert_refused(-ENOENT, "b", "x");
	reload_once();
	ck_assert_int_eq(run_of.refused.code, -ELOOP);
	ck_assert_ptr_nonnull(strstr(run_of.refused.text, "after b"));
	until_times("release:b", 2);
	reload_once();
	ck_assert_int_eq(run_of.refused.code, -ELOOP);
	until("release:a");
	ck_assert_int_eq(noted("check:a"), 0);
	ck_assert_int_eq(a.stops, 0);
	ck_assert_clean_end();
	ck_assert_int_eq(b.starts + c.starts, 0);
}
END_TEST

/* A14 */
START_TEST(a_server_that_others_need_is_not_removed)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");
	struct server server = server_of(&b);

	setup();
	add_subject(&a);
	server.after = after_a;
	add(&server);
	plans[0].ops[0] = op_remove("a");
	plans[1].ops[0] = op_remove("a");
	plans[1].ops[1] = op_remove("b");
	run_up();
	reload_once();
	ck_assert_refused(-ENOENT, "b", "a");
	ck_assert_untouched(&a);
	ck_assert_int_eq(plans[0].ops[0].ret, 0);
	/* With those that need it, it is. */
	reload_once();
	ck_assert_uint_eq(reloads(NULL), 1);
	ck_assert_noted_in_order("stop:b", "end:b", "stop:a", "end:a",
	    "reloaded");
	ck_assert_gone(&a);
	ck_assert_gone(&b);
	ck_assert_clean_end();
}
END_TEST

/* A6: once the app runs, a refused reload is none of its errors. */
START_TEST(a_hundred_refusals_are_no_error_of_the_app)
{
	struct subject a = SUBJECT(.name = "a");

	options.on_event = run_event;
	app_make();
	add_subject(&a);
	a.codes[CHECK] = -EINVAL;
	run_up();
	for (int i = 0; i < 100; i++)
		reload_once();
	ck_assert_uint_eq(reloads(NULL), 0);
	ck_assert_clean_end();
	ck_assert_int_eq(a.asked[CHECK], 100);
}
END_TEST

/* ---- the set changes ---- */

START_TEST(what_is_untouched_keeps_running)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       c = SUBJECT(.name = "c"), d = SUBJECT(.name = "d"),
		       b2 = SUBJECT(.name = "b", .label = "b2");

	setup();
	add_subject(&a);
	add_subject(&b);
	add_subject(&c);
	plans[0].ops[0] = op_remove("c");
	plans[0].ops[1] = op_replace(&b2);
	plans[0].ops[2] = op_add(&d);
	run_up();
	reload_once();
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(plans[0].ops[i].ret, 0);
	ck_assert_gone(&b);
	ck_assert_gone(&c);
	until("start:d");
	until("start:b2");
	ck_assert_untouched(&a);
	/* Only who stays is asked. */
	ck_assert_noted_in_order("check:a", "commit:a");
	ck_assert_int_eq(noted("check:b") + noted("check:c"), 0);
	ck_assert_int_eq(noted("check:d") + noted("check:b2"), 0);
	/* The old one is gone before the new one starts. */
	ck_assert_noted_in_order("stop:b", "end:b", "release:b", "start:b2");
	ck_assert_noted_in_order("stop:c", "end:c", "removed:c", "release:c",
	    "reloaded", "start:d");
	ck_assert_int_eq(noted("added:d"), 1);
	ck_assert_int_eq(noted("added:b") + noted("removed:b"), 0);
	ck_assert_clean_end();
	ck_assert_gone(&a);
	ck_assert_gone(&b2);
	ck_assert_gone(&d);
}
END_TEST

/* A14 */
START_TEST(those_that_go_stop_in_reverse_order_and_new_ones_start_in_order)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       c = SUBJECT(.name = "c"), x = SUBJECT(.name = "x"),
		       y = SUBJECT(.name = "y"), z = SUBJECT(.name = "z");
	const char *const after_y[] = {"y", NULL};
	struct server server;

	setup();
	add_subject(&a);
	server = server_of(&b);
	server.after = after_a;
	add(&server);
	server = server_of(&c);
	server.after = after_b;
	add(&server);
	/* The order in which they are named is another one. */
	plans[0].ops[0] = op_remove("b");
	plans[0].ops[1] = op_remove("c");
	plans[0].ops[2] = op_remove("a");
	plans[0].ops[3] = op_after(&z, after_y);
	plans[0].ops[4] = op_after(&y, after_x);
	plans[0].ops[5] = op_add(&x);
	run_up();
	reload_once();
	until("start:z");
	ck_assert_noted_in_order("stop:c", "end:c", "stop:b", "end:b", "stop:a",
	    "end:a", "starting:x", "starting:y", "starting:z");
	ck_assert_noted_in_order("starting:x", "ready:x", "starting:y",
	    "ready:y", "starting:z");
	ck_assert_clean_end();
	ck_assert_noted_in_order("stop:z", "end:z", "stop:y", "end:y", "stop:x",
	    "end:x");
}
END_TEST

/* A14 */
START_TEST(a_new_server_comes_after_one_that_stays)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");

	setup();
	add_subject(&a);
	plans[0].ops[0] = op_after(&b, after_a);
	run_up();
	reload_once();
	until("start:b");
	ck_assert_untouched(&a);
	ck_assert_clean_end();
	ck_assert_noted_in_order("stop:b", "end:b", "stop:a", "end:a");
}
END_TEST

/* A14: b comes after a, and a after c, only once they were replaced. */
START_TEST(a_replacement_brings_its_own_dependencies)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       c = SUBJECT(.name = "c"),
		       a2 = SUBJECT(.name = "a", .label = "a2"),
		       b2 = SUBJECT(.name = "b", .label = "b2");
	const char *const after_c[] = {"c", NULL};
	struct server server;

	setup();
	server = server_of(&a);
	server.after = after_b;
	add(&server);
	add_subject(&b);
	add_subject(&c);
	plans[0].ops[0] = op_replace(&a2);
	plans[0].ops[0].server.after = after_c;
	plans[0].ops[1] = op_replace(&b2);
	plans[0].ops[1].server.after = after_a;
	run_up();
	reload_once();
	until("start:b2");
	ck_assert_noted_in_order("stop:a", "end:a", "stop:b", "end:b",
	    "start:a2");
	ck_assert_int_lt(noted_at("end:b"), noted_at("start:b2"));
	ck_assert_untouched(&c);
	ck_assert_clean_end();
	ck_assert_noted_in_order("stop:b2", "end:b2", "stop:a2", "end:a2",
	    "stop:c");
}
END_TEST

/* One that needs the server keeps running while that is replaced. */
START_TEST(who_needs_one_that_is_replaced_is_untouched)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       a2 = SUBJECT(.name = "a", .label = "a2");
	struct server server = server_of(&b);

	setup();
	add_subject(&a);
	server.after = after_a;
	add(&server);
	plans[0].ops[0] = op_replace(&a2);
	run_up();
	reload_once();
	until("start:a2");
	ck_assert_untouched(&b);
	ck_assert_gone(&a);
	ck_assert(event_poll(run_is_ready, NULL));
	ck_assert_clean_end();
	ck_assert_noted_in_order("stop:b", "end:b", "stop:a2", "end:a2");
}
END_TEST

START_TEST(states_are_those_of_the_new_set)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       c = SUBJECT(.name = "c"), d = SUBJECT(.name = "d"),
		       b2 = SUBJECT(.name = "b");
	const char *const names[] = {"b", "c", "d"};
	struct server_status status = {.name = "as before"};
	struct app_status *all;

	setup();
	add_subject(&a);
	add_subject(&b);
	add_subject(&c);
	plans[0].ops[0] = op_add(&d);
	plans[0].ops[1] = op_remove("a");
	plans[0].ops[2] = op_replace(&b2);
	run_up();
	ck_assert_int_eq(server_state(app, "d", &status), -ENOENT);
	reload_once();
	ck_assert_int_eq(server_state(app, "a", &status), -ENOENT);
	ck_assert_str_eq(status.name, "as before");
	ck_assert_int_eq(server_state(app, "d", &status), 0);
	ck_assert_str_eq(status.name, "d");
	all = app_status(app);
	ck_assert_uint_eq(all->server_count, 3);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(all->servers[i].name, names[i]);
	app_status_free(&all);
	ck_assert(event_poll(run_is_ready, NULL));
	ck_assert_clean_end();
}
END_TEST

/* Ready is who has all servers ready, the new ones included. */
START_TEST(an_app_is_ready_again_when_its_new_servers_are)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");

	setup();
	add_subject(&a);
	plans[0].ops[0] = op_add(&b);
	plans[0].ops[0].server.notifies = true; /* and never does */
	plans[1].ops[0] = op_remove("b");
	run_up();
	ck_assert(app_ready(app));
	reload_once();
	ck_assert(!app_ready(app));
	until_state("b", SERVER_STARTING);
	ck_assert(!app_ready(app));
	reload_once();
	ck_assert(app_ready(app));
	ck_assert_clean_end();
	ck_assert_int_eq(noted("app-ready"), 2);
	ck_assert_int_eq(noted("app-unready"), 2);
}
END_TEST

static int b_endpoint(void *arg, char *url, size_t size)
{
	(void)arg;
	note("endpoint:b");
	snprintf(url, size, "tcp://b");
	return 0;
}

static int a_endpoint(void *arg, char *url, size_t size)
{
	(void)arg;
	snprintf(url, size, "tcp://a");
	return 0;
}

/* A17 */
START_TEST(the_instance_is_as_before_though_its_servers_are_gone)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");
	const struct instance *before, *after;
	struct server server = server_of(&a);

	setup();
	server.endpoint = a_endpoint;
	add(&server);
	plans[0].ops[0] = op_remove("a");
	plans[0].ops[1] = op_add(&b);
	plans[0].ops[1].server.endpoint = b_endpoint;
	run_up();
	before = app_instance(app);
	reload_once();
	until("start:b");
	ck_assert_gone(&a);
	after = app_instance(app);
	ck_assert_str_eq(before->endpoints[0], "tcp://a");
	ck_assert_str_eq(after->endpoints[0], "tcp://a");
	ck_assert_ptr_null(after->endpoints[1]);
	ck_assert_noted_in_order("release:a", "endpoint:b", "start:b");
	ck_assert_clean_end();
}
END_TEST

static int bad_endpoint(void *arg, char *url, size_t size)
{
	(void)arg;
	(void)url;
	(void)size;
	return error_set(-EADDRINUSE, "port 80 is taken");
}

START_TEST(a_new_server_whose_endpoint_fails_has_failed)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       c = SUBJECT(.name = "c");

	setup();
	add_subject(&a);
	plans[0].ops[0] = op_add(&b);
	plans[0].ops[0].server.endpoint = bad_endpoint;
	plans[0].ops[0].server.optional = true;
	plans[1].ops[0] = op_add(&c);
	plans[1].ops[0].server.endpoint = bad_endpoint;
	run_up();
	reload_once();
	until("lost:b");
	ck_assert_untouched(&a);
	reload_once();
	ck_assert_int_eq(run_join(), -EADDRINUSE);
	ck_assert_str_eq(result.origin, "c");
	ck_assert_str_eq(result.text, "port 80 is taken");
	ck_assert_int_eq(noted("reloaded"), 2);
	app_free(&app);
	/* A13: neither was started, so neither is stopped. */
	ck_assert_int_eq(b.starts + c.starts + b.stops + c.stops, 0);
	ck_assert_int_eq(noted("ready:b") + noted("ready:c"), 0);
	ck_assert_int_eq(a.stops, 1);
}
END_TEST

/* Its start comes after this, on the same thread. */
static int endpoint_that_looks(void *arg, char *url, size_t size)
{
	/* The report is of a later round of the loop than the launch. */
	app_report(app);
	note(
	    noted_in_time("report:b", 1) && !noted("ready:b") && !app_ready(app)
		? "not-yet"
		: "early");
	return a_endpoint(arg, url, size);
}

/* A3: not when a thread for it has been asked for */
START_TEST(a_server_is_ready_no_sooner_than_its_start_has_begun)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       c = SUBJECT(.name = "c");
	static const char *const names[] = {"b", NULL};

	setup();
	add_subject(&a);
	plans[0].ops[0] = op_add(&b);
	plans[0].ops[0].server.endpoint = endpoint_that_looks;
	plans[0].ops[1] = op_add(&c);
	plans[0].ops[1].server.after = names;
	run_up();
	reload_once();
	until("start:b");
	until("start:c");
	ck_assert_noted_in_order("not-yet", "ready:b", "starting:c", "start:c");
	ck_assert_clean_end();
}
END_TEST

/* Its start comes after this, on the same thread. */
static int endpoint_in_a_stop(void *arg, char *url, size_t size)
{
	struct state_want want = {"b", SERVER_STOPPING};

	app_stop(app);
	note(event_poll(is_in_state, &want) ? "to-stop" : "early");
	return a_endpoint(arg, url, size);
}

static int count_stop(struct context *ctx, void *arg)
{
	struct subject *subject = arg;

	(void)ctx;
	subject->stops++;
	return 0;
}

/* A13: and what was not called before the stop is not called any more */
START_TEST(a_server_that_is_to_stop_before_its_start_is_called_is_not_stopped)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");

	setup();
	add_subject(&a);
	plans[0].ops[0] = op_add(&b);
	plans[0].ops[0].server.endpoint = endpoint_in_a_stop;
	plans[0].ops[0].server.stop = count_stop;
	run_up();
	app_reload(app);
	ck_assert_int_eq(run_join(), 0);
	ck_assert_int_eq(noted("to-stop"), 1);
	app_free(&app);
	ck_assert_int_eq(b.starts, 0);
	ck_assert_int_eq(b.stops, 0);
	ck_assert_int_eq(a.stops, 1);
}
END_TEST

/* A13: nothing of it was called, but it was told to be starting. */
START_TEST(
    a_server_whose_start_was_not_called_after_all_is_told_to_have_stopped)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");

	setup();
	add_subject(&a);
	plans[0].ops[0] = op_add(&b);
	plans[0].ops[0].server.endpoint = endpoint_in_a_stop;
	plans[0].ops[0].server.stop = count_stop;
	run_up();
	app_reload(app);
	ck_assert_int_eq(run_join(), 0);
	ck_assert_noted_in_order("starting:b", "to-stop", "stopped:b",
	    "state:after-stop-hooks");
	ck_assert_int_eq(noted("stopping:b"), 0);
	ck_assert_int_eq(b.starts + b.stops, 0);
	app_free(&app);
}
END_TEST

START_TEST(a_change_that_cannot_be_made_is_the_callers_still)
{
	static const char long_name[] = "a-name-of-more-than-thirty-one-bytes";
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       n = SUBJECT(.name = NULL),
		       l = SUBJECT(.name = long_name);
	static const struct {
		int ret;
		const char *text;
	} expected[] = {
	    {-EEXIST, "a is there already"},
	    {-ENOENT, "no server b"},
	    {0, ""},
	    {-EEXIST, "b is there already"},
	    {-ENOENT, "no server b"},
	    {-EINVAL, "without a name"},
	    {-ENAMETOOLONG, "31 bytes"},
	    {-EINVAL, "no start"},
	};
	struct op *ops = plans[0].ops;

	setup();
	add_subject(&a);
	ops[0] = op_add(&a);
	ops[1] = op_replace(&b);
	ops[2] = op_add(&b);
	ops[3] = op_add(&b);
	ops[4] = op_remove("b"); /* what is new is not there yet */
	ops[5] = op_add(&n);
	ops[6] = op_add(&l);
	ops[7] = op_add(&l);
	ops[7].server.name = "c";
	ops[7].server.start = NULL;
	run_up();
	reload_once();
	for (int i = 0; i < 8; i++) {
		ck_assert_msg(ops[i].ret == expected[i].ret, "%d: %d", i,
		    ops[i].ret);
		ck_assert_msg(strstr(ops[i].text, expected[i].text) != NULL,
		    "%d: %s", i, ops[i].text);
	}
	ck_assert_int_eq(noted("reloaded"), 1);
	ck_assert_int_eq(a.releases + b.releases + n.releases + l.releases, 0);
	ck_assert_clean_end();
	ck_assert_int_eq(a.releases, 1);
	ck_assert_int_eq(b.releases, 1);
	ck_assert_int_eq(n.releases + l.releases, 0);
}
END_TEST

START_TEST(a_server_is_changed_once_in_a_reload)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       a2 = SUBJECT(.name = "a", .label = "a2"),
		       n = SUBJECT(.name = NULL);
	struct op *ops = plans[0].ops;

	setup();
	add_subject(&a);
	add_subject(&b);
	ops[0] = op_replace(&a2);
	ops[1] = op_remove("a");
	ops[2] = op_replace(&a2);
	ops[3] = op_remove("b");
	ops[4] = op_remove("b");
	ops[5] = op_add(&b);
	ops[6] = op_replace(&n);
	ops[7] = op_remove("x");
	run_up();
	reload_once();
	ck_assert_int_eq(ops[0].ret, 0);
	ck_assert_int_eq(ops[1].ret, -EBUSY);
	ck_assert_str_eq(ops[1].text, "server a was changed already");
	ck_assert_int_eq(ops[2].ret, -EBUSY);
	ck_assert_int_eq(ops[3].ret, 0);
	ck_assert_int_eq(ops[4].ret, -EBUSY);
	ck_assert_int_eq(ops[5].ret, -EEXIST);
	ck_assert_int_eq(ops[6].ret, -EINVAL);
	ck_assert_int_eq(ops[7].ret, -ENOENT);
	until("start:a2");
	ck_assert_gone(&b);
	ck_assert_clean_end();
	ck_assert_gone(&a2);
}
END_TEST

/* A15 */
START_TEST(a_reload_changes_the_times_to_stop_and_to_drain)
{
	struct event never = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a", .stop_hold = &never);
	int64_t begin_ms;

	setup();
	add_subject(&a);
	plans[0].stop_timeout_ms = 50;
	plans[1].drain_delay_ms = 100;
	/* 2 has none: what is not changed stays. */
	run_up();
	for (int i = 0; i < 3; i++)
		reload_once();
	begin_ms = kit_now_ms();
	app_stop(app);
	until("timeout:a");
	ck_assert_int_ge(kit_now_ms() - begin_ms, 149);
	event_set(&never);
	ck_assert_int_eq(run_join(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "a");
	app_free(&app);
}
END_TEST

/* ---- a commit that fails ---- */

START_TEST(a_commit_that_fails_ends_the_app_with_the_servers_name)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");

	setup();
	add_subject(&a);
	add_subject(&b);
	a.codes[COMMIT] = -EIO;
	run_up();
	app_reload(app);
	ck_assert_int_eq(run_join(), -EIO);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_str_eq(result.text, "a cannot commit");
	ck_assert_uint_eq(error_count(), 1);
	/* The others are told all the same: there is no way back. */
	ck_assert_noted_in_order("commit:a", "commit:b", "reloaded", "failed:a",
	    "state:before-stop-hooks", "stop:a");
	app_free(&app);
	ck_assert_gone(&a);
	ck_assert_gone(&b);
}
END_TEST

START_TEST(a_server_whose_commit_fails_is_restarted_if_that_is_its_policy)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");
	struct server server = server_of(&a);

	setup();
	server.restart.when = SERVER_RESTART_ON_FAILURE;
	server.restart.delay_ms = -1;
	add(&server);
	add_subject(&b);
	a.codes[COMMIT] = -EIO;
	run_up();
	reload_once();
	until_times("ready:a", 2);
	ck_assert_noted_in_order("commit:a", "reloaded", "failed:a",
	    "restarting:a", "stop:a");
	ck_assert_untouched(&b);
	ck_assert_clean_end();
	ck_assert_gone(&a);
}
END_TEST

START_TEST(an_optional_server_whose_commit_fails_is_lost)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");
	struct server server = server_of(&a);

	setup();
	server.optional = true;
	add(&server);
	add_subject(&b);
	a.codes[COMMIT] = -EIO;
	run_up();
	reload_once();
	until("lost:a");
	ck_assert_noted_in_order("commit:a", "reloaded", "failed:a", "stop:a");
	ck_assert_untouched(&b);
	/* One that is lost is asked as well: the next start is to know. */
	a.codes[COMMIT] = 0;
	reload_once();
	ck_assert_int_eq(a.asked[COMMIT], 2);
	ck_assert_clean_end();
}
END_TEST

/* ---- requests ---- */

START_TEST(a_reload_before_the_run_happens_when_the_app_runs)
{
	struct subject a = SUBJECT(.name = "a");

	setup();
	add_subject(&a);
	ck_assert_int_eq(app_reload(app), 0);
	run_begin();
	reload_ended(1);
	ck_assert_noted_in_order("state:after-start-hooks", "check:a",
	    "reloaded");
	ck_assert_clean_end();
	ck_assert_int_eq(planned, 1);
}
END_TEST

static struct event announce = EVENT_INIT;

static int late_start(struct context *ctx, void *arg)
{
	(void)arg;
	app_reload(app_from_context(ctx));
	note("starting-late");
	event_wait(&announce);
	server_ready(ctx);
	return context_wait(ctx, LONG_MS) == -ECANCELED ? 0 : -EIO;
}

static int reload_hook(struct context *ctx, void *arg)
{
	(void)arg;
	return app_reload(app_from_context(ctx));
}

START_TEST(a_reload_while_the_app_starts_waits_until_it_runs)
{
	struct server server = {.name = "a",
	    .start = late_start,
	    .notifies = true};

	setup();
	add(&server);
	hook(APP_BEFORE_START, reload_hook, NULL);
	hook(APP_AFTER_START, reload_hook, NULL);
	run_begin();
	until("starting-late");
	ck_assert_int_eq(app_reload(app), 0);
	ck_assert_int_eq(planned, 0);
	event_set(&announce);
	reload_ended(1);
	until_times("state:running", 2);
	ck_assert_clean_end();
	/* Several requests became one. */
	ck_assert_int_eq(planned, 1);
	ck_assert_noted_in_order("starting-late", "state:after-start-hooks",
	    "plan:it", "reloaded");
}
END_TEST

static void *ask_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < 10; i++)
		app_reload(app);
	return NULL;
}

static int count_reload(struct context *ctx, struct app_reload *reload,
    void *arg)
{
	(void)ctx;
	(void)reload;
	(*(int *)arg)++;
	return 0;
}

START_TEST(a_hundred_requests_at_once_are_at_least_one_reload)
{
	struct subject a = SUBJECT(.name = "a");
	pthread_t threads[10];
	int count = 0;

	options.on_event = run_event;
	options.reload = count_reload;
	options.reload_arg = &count;
	app_make();
	add_subject(&a);
	run_up();
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_often,
				     NULL),
		    0);
	for (int i = 0; i < 10; i++)
		pthread_join(threads[i], NULL);
	reload_once();
	ck_assert_clean_end();
	ck_assert_int_ge(count, 1);
	ck_assert_int_le(count, 101);
	/* The last one may have been abandoned: the app was told to stop. */
	ck_assert_int_le(a.asked[SERVER_RELOAD_ABORT], 1);
	ck_assert_gone(&a);
}
END_TEST

START_TEST(a_request_while_a_reload_is_under_way_is_another_one)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a");

	setup();
	add_subject(&a);
	plans[0].hold = &go;
	run_up();
	app_reload(app);
	ck_assert(event_wait(&plans[0].entered));
	app_reload(app);
	app_reload(app);
	event_set(&go);
	reload_ended(2);
	until_times("state:running", 3);
	ck_assert_clean_end();
	ck_assert_int_eq(planned, 2);
	ck_assert_int_eq(a.asked[COMMIT], 2);
}
END_TEST

START_TEST(a_signal_reloads_if_the_options_say_so)
{
	struct subject a = SUBJECT(.name = "a");

	options.reload_signal = SIGHUP;
	setup();
	add_subject(&a);
	run_up();
	for (int n = 1; n <= 3; n++) {
		ck_assert_int_eq(kill(getpid(), SIGHUP), 0);
		reload_ended(n);
		until_times("state:running", n + 1);
	}
	ck_assert_int_eq(noted("signal:1"), 3);
	ck_assert_clean_end();
	ck_assert_int_eq(a.asked[COMMIT], 3);
}
END_TEST

static volatile sig_atomic_t hups;

static void count_hup(int signal)
{
	(void)signal;
	hups++;
}

/* A8 */
START_TEST(a_signal_that_no_option_asks_for_is_left_alone)
{
	struct sigaction action = {.sa_handler = count_hup};

	ck_assert_int_eq(sigaction(SIGHUP, &action, NULL), 0);
	setup();
	run_up();
	ck_assert_int_eq(raise(SIGHUP), 0);
	ck_assert_int_eq(hups, 1);
	ck_assert_clean_end();
	ck_assert_int_eq(planned, 0);
	ck_assert_int_eq(noted("signal:1"), 0);
	ck_assert_int_eq(raise(SIGHUP), 0);
	ck_assert_int_eq(hups, 2);
}
END_TEST

static int note_once_more(struct context *ctx, void *arg)
{
	(void)arg;
	note("old:%s", server_name(ctx));
	return 0;
}

/* An app without anything to reload agrees at once. */
START_TEST(a_reload_of_an_app_without_servers_is_one)
{
	options.on_event = run_event;
	app_make();
	hook(APP_BEFORE_STOP, note_once_more, NULL);
	run_up();
	reload_once();
	reload_once();
	ck_assert_uint_eq(reloads(NULL), 2);
	ck_assert_clean_end();
}
END_TEST

/* ---- a stop meanwhile ---- */

/* A12 */
START_TEST(a_stop_ends_the_programs_function)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");

	setup();
	add_subject(&a);
	plans[0].ops[0] = op_add(&b);
	plans[0].config = (void *)"config";
	plans[0].releases = true;
	plans[0].heeds = true;
	run_up();
	app_reload(app);
	ck_assert(event_wait(&plans[0].entered));
	ck_assert_clean_end();
	ck_assert_int_eq(run_of.refused.code, -ECANCELED);
	ck_assert_noted_in_order("reload-refused:reload",
	    "state:before-stop-hooks", "stop:a");
	ck_assert_int_eq(noted("check:a"), 0);
	ck_assert_int_eq(b.starts, 0);
	ck_assert_gone(&b);
	ck_assert_int_eq(noted("free:config"), 1);
}
END_TEST

START_TEST(a_stop_ends_a_check_and_takes_back_the_others)
{
	struct subject a = SUBJECT(.name = "a"),
		       b = SUBJECT(.name = "b", .heeds[CHECK] = true);

	setup();
	add_subject(&a);
	add_subject(&b);
	run_up();
	app_reload(app);
	ck_assert(event_wait(&b.entered[CHECK]));
	ck_assert_clean_end();
	ck_assert_int_eq(noted("abort:a"), 1);
	ck_assert_int_eq(noted("abort:b"), 0);
	ck_assert_int_eq(noted("state:committing"), 0);
	ck_assert_gone(&a);
	ck_assert_gone(&b);
}
END_TEST

/* A12: it goes on beside the stop, and is told how it ended. */
START_TEST(a_check_that_ignores_a_stop_is_waited_for_at_the_end)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a"),
		       b = SUBJECT(.name = "b", .hold[CHECK] = &go),
		       c = SUBJECT(.name = "c");

	setup();
	add_subject(&a);
	add_subject(&b);
	plans[0].ops[0] = op_add(&c);
	run_up();
	app_reload(app);
	ck_assert(event_wait(&b.entered[CHECK]));
	app_stop(app);
	until("state:after-stop-hooks");
	ck_assert_int_eq(noted("abort:a"), 0);
	event_set(&go);
	ck_assert_clean_end();
	ck_assert_noted_in_order("stop:b", "abort:b", "abort:a", "release:c");
	ck_assert_gone(&a);
	ck_assert_gone(&b);
	ck_assert_gone(&c);
}
END_TEST

START_TEST(a_stop_ends_a_commit)
{
	struct subject a = SUBJECT(.name = "a", .heeds[COMMIT] = true),
		       b = SUBJECT(.name = "b"), c = SUBJECT(.name = "c");

	setup();
	add_subject(&a);
	add_subject(&b);
	plans[0].ops[0] = op_add(&c);
	run_up();
	app_reload(app);
	ck_assert(event_wait(&a.entered[COMMIT]));
	ck_assert_clean_end();
	ck_assert_noted_in_order("commit:a", "commit:b",
	    "state:before-stop-hooks", "stop:a");
	ck_assert_int_eq(c.starts, 0);
	ck_assert_gone(&c);
	ck_assert_int_eq(noted("reloaded"), 0);
}
END_TEST

START_TEST(a_commit_that_fails_while_the_app_stops_is_an_error)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a", .hold[COMMIT] = &go);

	setup();
	add_subject(&a);
	a.codes[COMMIT] = -EIO;
	run_up();
	app_reload(app);
	ck_assert(event_wait(&a.entered[COMMIT]));
	app_stop(app);
	until("app-unready");
	event_set(&go);
	ck_assert_int_eq(run_join(), -EIO);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_uint_eq(error_count(), 1);
	app_free(&app);
}
END_TEST

/* A9 */
START_TEST(a_commit_that_ignores_its_deadline_ends_the_app)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a", .hold[COMMIT] = &go);

	options.reload_timeout_ms = 50;
	setup();
	add_subject(&a);
	run_up();
	app_reload(app);
	until("state:after-stop-hooks");
	event_set(&go);
	ck_assert_int_eq(run_join(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "reload");
	app_free(&app);
	ck_assert_gone(&a);
}
END_TEST

/* A9 */
START_TEST(a_commit_that_ignores_a_stop_has_no_longer_than_that)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a", .hold[COMMIT] = &go);

	options.stop_timeout_ms = 100;
	options.reload_timeout_ms = -1;
	setup();
	add_subject(&a);
	run_up();
	app_reload(app);
	ck_assert(event_wait(&a.entered[COMMIT]));
	app_stop(app);
	until("stop:a");
	event_set(&go);
	ck_assert_int_eq(run_join(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "reload");
	app_free(&app);
	ck_assert_gone(&a);
}
END_TEST

START_TEST(a_stop_while_those_that_go_stop_is_in_good_order)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a"),
		       b = SUBJECT(.name = "b", .stop_hold = &go),
		       c = SUBJECT(.name = "c");

	setup();
	add_subject(&a);
	add_subject(&b);
	plans[0].ops[0] = op_remove("b");
	plans[0].ops[1] = op_add(&c);
	plans[0].config = (void *)"config";
	plans[0].releases = true;
	run_up();
	app_reload(app);
	until("stop:b");
	ck_assert_int_eq(b.releases, 0);
	app_stop(app);
	until("state:stopping");
	event_set(&go);
	ck_assert_clean_end();
	ck_assert_int_eq(noted("reloaded"), 0);
	ck_assert_int_eq(c.starts, 0);
	ck_assert_int_eq(a.asked[COMMIT], 1);
	ck_assert_gone(&a);
	ck_assert_gone(&b);
	ck_assert_gone(&c);
	ck_assert_int_eq(noted("free:config"), 1);
}
END_TEST

static bool check_is_over(void *unused)
{
	bool over;

	(void)unused;
	pthread_mutex_lock(&app->lock);
	over = app->steps[APP_STATE_RELOADING].over;
	pthread_mutex_unlock(&app->lock);
	return over;
}

/* Keeps the loop until the check has ended and a stop was asked for. */
static void stop_with_the_check(const struct app_event *event, void *arg)
{
	run_event(event, arg);
	if (event->type == APP_EVENT_REPORT && !noted("kept")) {
		note("kept");
		event_poll(check_is_over, NULL);
		app_stop(app);
	}
}

static int ask_for_report(struct context *ctx, void *arg)
{
	subject_reload(ctx, arg);
	if (server_reload_phase(ctx) == SERVER_RELOAD_CHECK) {
		app_report(app_from_context(ctx));
		noted_in_time("kept", 1);
	}
	return 0;
}

/*
 * A6: what was agreed upon when the stop came is told, and who was to go is
 * stopped when it is its turn.
 */
START_TEST(a_stop_that_comes_with_the_last_answer_goes_before_the_change)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");
	struct server server = server_of(&a);

	setup();
	app_free(&app);
	options.on_event = stop_with_the_check;
	app_make();
	server.reload = ask_for_report;
	add(&server);
	add_subject(&b);
	hook(APP_BEFORE_STOP, note_hook, "before-stop");
	plans[0].ops[0] = op_remove("b");
	run_up();
	app_reload(app);
	ck_assert_int_eq(run_join(), 0);
	ck_assert_noted_in_order("check:a", "kept", "commit:a", "before-stop",
	    "stop:b");
	ck_assert_int_eq(noted("abort:a"), 0);
	app_free(&app);
	ck_assert_gone(&a);
	ck_assert_gone(&b);
}
END_TEST

/* A9 */
START_TEST(a_commit_that_begins_in_a_stop_has_no_longer_than_that)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a", .hold[COMMIT] = &go),
		       b = SUBJECT(.name = "b");
	struct server server = server_of(&a);

	options.stop_timeout_ms = 100;
	options.reload_timeout_ms = -1;
	setup();
	app_free(&app);
	options.on_event = stop_with_the_check;
	app_make();
	server.reload = ask_for_report;
	add(&server);
	add_subject(&b);
	run_up();
	app_reload(app);
	until("stop:b");
	ck_assert_int_eq(noted("commit:a"), 1);
	event_set(&go);
	ck_assert_int_eq(run_join(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "reload");
	app_free(&app);
	ck_assert_gone(&a);
	ck_assert_gone(&b);
}
END_TEST

static void spin(int rounds)
{
	for (volatile int i = 0; i < rounds; i++)
		;
}

/* Whatever it meets: who agreed is told, once, and nothing is left. */
START_TEST(a_stop_at_any_instant_of_a_reload_leaves_nothing)
{
	setup();
	app_free(&app);
	for (int i = 0; i < scale(400); i++) {
		struct subject a = SUBJECT(.name = "a"),
			       b = SUBJECT(.name = "b"),
			       c = SUBJECT(.name = "c"),
			       b2 = SUBJECT(.name = "b");

		memset(&plans[0], 0, sizeof(plans[0]));
		plans[0].entered = (struct event)EVENT_INIT;
		plans[0].ops[0] = op_replace(&b2);
		plans[0].ops[1] = op_add(&c);
		plans[0].config = (void *)"config";
		plans[0].releases = true;
		planned = 0;
		pthread_mutex_lock(&journal.lock);
		journal.text[0] = '\0';
		pthread_mutex_unlock(&journal.lock);
		a.codes[CHECK] = i % 3 ? 0 : -EINVAL;
		app_make();
		add_subject(&a);
		add_subject(&b);
		run_up();
		app_reload(app);
		spin(i * 500);
		ck_assert_int_eq(run_stop(), 0);
		ck_assert_uint_eq(error_count(), 0);
		app_free(&app);
		ck_assert_gone(&a);
		ck_assert_gone(&b);
		if (planned) {
			ck_assert_gone(&b2);
			ck_assert_gone(&c);
		}
		ck_assert_int_eq(noted("free:config"), planned);
	}
}
END_TEST

/* ---- what is not done in time ---- */

START_TEST(a_reload_that_heeds_its_deadline_is_refused)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");

	options.reload_timeout_ms = 50;
	setup();
	add_subject(&a);
	plans[0].heeds = true;
	plans[0].ops[0] = op_add(&b);
	run_up();
	reload_once();
	ck_assert_refused(-ETIMEDOUT, "reload", "");
	until("release:b");
	reload_once();
	ck_assert_uint_eq(reloads(NULL), 1);
	ck_assert_clean_end();
}
END_TEST

static int heed_once(struct context *ctx, struct app_reload *reload, void *arg)
{
	int *times = arg;

	(void)reload;
	return (*times)++ ? 0 : context_wait(ctx, LONG_MS);
}

static int heed(struct context *ctx, void *arg)
{
	(void)arg;
	return context_wait(ctx, LONG_MS);
}

/* Without words of their own: the program's function, and a server. */
START_TEST(a_reload_that_heeds_its_deadline_is_said_to_be_late)
{
	struct subject a = SUBJECT(.name = "a");
	struct server server = server_of(&a);
	int times = 0;

	options.reload_timeout_ms = 50;
	setup();
	app_free(&app);
	options.reload = heed_once;
	options.reload_arg = &times;
	app_make();
	server.reload = heed;
	add(&server);
	run_up();
	reload_once();
	ck_assert_refused(-ETIMEDOUT, "reload", "not done after ");
	reload_once();
	ck_assert_refused(-ETIMEDOUT, "a", "not done after ");
	ck_assert_clean_end();
}
END_TEST

/* The time is for all of it: who comes late is not asked any more. */
START_TEST(a_reload_whose_time_is_over_asks_nobody_else)
{
	struct subject a = SUBJECT(.name = "a", .late[CHECK] = true),
		       b = SUBJECT(.name = "b");

	options.reload_timeout_ms = 50;
	setup();
	add_subject(&a);
	add_subject(&b);
	run_up();
	reload_once();
	ck_assert_refused(-ETIMEDOUT, "reload", "not done in time");
	ck_assert_clean_end();
	ck_assert_int_eq(noted("check:b") + noted("state:committing"), 0);
	ck_assert_gone(&a);
}
END_TEST

/* Nobody has to be asked, but what it has read is too old. */
START_TEST(a_program_function_that_returns_0_too_late_is_refused)
{
	options.reload_timeout_ms = 50;
	setup();
	plans[0].late = true;
	run_up();
	reload_once();
	ck_assert_refused(-ETIMEDOUT, "reload", "not done in time");
	ck_assert_uint_eq(reloads(NULL), 0);
	ck_assert_clean_end();
}
END_TEST

/* Waits until a reload is put in force. */
static void reload_until_done(void)
{
	unsigned before = reloads(NULL);

	for (int i = 0; i < LONG_MS && reloads(NULL) == before; i++) {
		reload_once();
		kit_pause_ms(1);
	}
	ck_assert_uint_gt(reloads(NULL), before);
}

START_TEST(a_reload_that_ignores_its_deadline_is_given_up)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a"),
		       b = SUBJECT(.name = "b", .hold[CHECK] = &go),
		       c = SUBJECT(.name = "c");

	options.reload_timeout_ms = 50;
	setup();
	add_subject(&a);
	add_subject(&b);
	plans[0].ops[0] = op_add(&c);
	run_up();
	reload_once();
	ck_assert_refused(-ETIMEDOUT, "reload", "not done in time");
	until_times("state:running", 2);
	/* One at a time. */
	reload_once();
	ck_assert_refused(-EBUSY, "reload", "has not returned yet");
	ck_assert_int_eq(planned, 1);
	ck_assert_int_eq(a.asked[SERVER_RELOAD_ABORT] + c.releases, 0);
	event_set(&go);
	until("release:c");
	ck_assert_noted_in_order("check:a", "check:b", "abort:b", "abort:a",
	    "release:c");
	b.hold[CHECK] = NULL;
	/* It is over a moment after it has cleaned up. */
	options.reload = NULL;
	planned = 1;
	reload_until_done();
	ck_assert_untouched(&a);
	ck_assert_clean_end();
	ck_assert_gone(&a);
	ck_assert_gone(&b);
}
END_TEST

START_TEST(a_program_function_that_ignores_its_deadline_changes_nothing)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");

	options.reload_timeout_ms = 50;
	setup();
	add_subject(&a);
	plans[0].hold = &go;
	plans[0].ops[0] = op_remove("a");
	plans[0].ops[1] = op_add(&b);
	run_up();
	reload_once();
	ck_assert_refused(-ETIMEDOUT, "reload", "not done in time");
	event_set(&go);
	until("release:b");
	ck_assert_untouched(&a);
	ck_assert_int_eq(noted("check:a"), 0);
	ck_assert_clean_end();
	ck_assert_gone(&b);
}
END_TEST

/* A9 */
START_TEST(the_server_that_does_not_come_back_from_its_check_is_named)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a"),
		       b = SUBJECT(.name = "b", .hold[CHECK] = &go);

	options.reload_timeout_ms = 50;
	setup();
	add_subject(&a);
	add_subject(&b);
	run_up();
	reload_once();
	ck_assert_refused(-ETIMEDOUT, "reload",
	    "not done in time: b has been in its reload check for ");
	event_set(&go);
	until("abort:b");
	ck_assert_clean_end();
}
END_TEST

static int start_and_return(struct context *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	return 0;
}

static int hang_in_commit(struct context *ctx, void *arg)
{
	if (server_reload_phase(ctx) == SERVER_RELOAD_COMMIT)
		event_wait(arg);
	return 0;
}

static int run_stuck_commit(void)
{
	struct event never = EVENT_INIT;
	struct server server = {.name = "b",
	    .start = start_and_return,
	    .reload = hang_in_commit,
	    .arg = &never};
	size_t count;

	options.on_event = tell_event;
	options.stop_timeout_ms = 100;
	options.reload_timeout_ms = 50;
	options.stuck = APP_STUCK_RETURN;
	app_make();
	add(&server);
	hook(APP_AFTER_START, reload_hook, NULL);
	app_go();
	tell("%s", app_errors(app, &count)[0].text);
	return 0;
}

/* A9, A10 */
START_TEST(the_server_that_does_not_come_back_from_its_commit_is_named)
{
	struct child child;

	child_start(&child, run_stuck_commit);
	child_until(&child, "state:after-stop-hooks");
	child_until(&child, "stuck:b:stuck in reload commit for ");
	child_until(&child, "not done after ");
	ck_assert_ptr_nonnull(
	    strstr(child.line, ": b has been in its reload commit for "));
	ck_assert_exit(&child, 0);
}
END_TEST

static int hang_reload(struct context *ctx, struct app_reload *reload,
    void *arg)
{
	(void)reload;
	app_stop(app_from_context(ctx));
	event_wait(arg);
	return 0;
}

static int run_stuck_reload(void)
{
	struct event never = EVENT_INIT;

	options.on_event = tell_event;
	options.stop_timeout_ms = 100;
	options.reload = hang_reload;
	options.reload_arg = &never;
	app_make();
	hook(APP_AFTER_START, reload_hook, NULL);
	app_go();
	return 0;
}

/* A9 */
START_TEST(a_reload_that_never_returns_makes_the_end_stuck)
{
	struct child child;

	child_start(&child, run_stuck_reload);
	child_until(&child, "reload-refused:reload");
	child_until(&child, "state:after-stop-hooks");
	child_until(&child, "stuck:reload:stuck in reloading for ");
	ck_assert_exit(&child, 124);
}
END_TEST

/* ---- servers that fail meanwhile ---- */

static struct server restarting(struct subject *subject)
{
	struct server server = server_of(subject);

	server.restart.when = SERVER_RESTART_ON_FAILURE;
	server.restart.delay_ms = -1;
	return server;
}

START_TEST(a_server_is_restarted_while_a_reload_is_checked)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a");
	struct server server = restarting(&a);

	setup();
	add(&server);
	plans[0].hold = &go;
	run_up();
	app_reload(app);
	ck_assert(event_wait(&plans[0].entered));
	crash(&a, -EIO);
	until_times("ready:a", 2);
	event_set(&go);
	reload_ended(1);
	ck_assert_uint_eq(reloads(NULL), 1);
	ck_assert_int_eq(a.starts, 2);
	ck_assert_clean_end();
	ck_assert_gone(&a);
}
END_TEST

START_TEST(a_server_is_restarted_while_a_reload_is_committed)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a", .hold[COMMIT] = &go);
	struct server server = restarting(&a);

	setup();
	add(&server);
	run_up();
	app_reload(app);
	ck_assert(event_wait(&a.entered[COMMIT]));
	crash(&a, -EIO);
	until_times("ready:a", 2);
	ck_assert_int_eq(reload_count(), 0);
	event_set(&go);
	reload_ended(1);
	ck_assert_clean_end();
	ck_assert_gone(&a);
}
END_TEST

START_TEST(a_server_that_fails_for_good_while_a_reload_is_checked_ends_the_app)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");

	setup();
	add_subject(&a);
	add_subject(&b);
	plans[0].heeds = true;
	run_up();
	app_reload(app);
	ck_assert(event_wait(&plans[0].entered));
	crash(&a, -EIO);
	ck_assert_int_eq(run_join(), -EIO);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_uint_eq(error_count(), 1);
	app_free(&app);
	ck_assert_gone(&a);
	ck_assert_gone(&b);
}
END_TEST

START_TEST(a_server_that_is_to_be_restarted_is_removed_instead)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       a2 = SUBJECT(.name = "a", .label = "a2");
	struct server server = restarting(&a);

	setup();
	server.restart.delay_ms = LONG_MS;
	add(&server);
	server = restarting(&b);
	server.restart.delay_ms = LONG_MS;
	add(&server);
	plans[0].ops[0] = op_replace(&a2);
	plans[0].ops[1] = op_remove("b");
	run_up();
	crash(&a, -EIO);
	crash(&b, -EIO);
	until_state("a", SERVER_RESTARTING);
	until_state("b", SERVER_RESTARTING);
	reload_once();
	ck_assert_uint_eq(reloads(NULL), 1);
	until("start:a2");
	ck_assert(event_poll(run_is_ready, NULL));
	ck_assert_int_eq(a2.starts, 1);
	ck_assert_gone(&a);
	ck_assert_gone(&b);
	ck_assert_clean_end();
	ck_assert_int_eq(a.starts + b.starts, 2);
}
END_TEST

START_TEST(a_server_that_is_stopped_to_be_restarted_is_removed_instead)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a", .stop_hold = &go);
	struct server server = restarting(&a);

	setup();
	add(&server);
	plans[0].ops[0] = op_remove("a");
	run_up();
	crash(&a, -EIO);
	until("stop:a");
	app_reload(app);
	until("state:committing");
	event_set(&go);
	reload_ended(1);
	ck_assert_gone(&a);
	ck_assert_int_eq(a.starts, 1);
	ck_assert_clean_end();
}
END_TEST

START_TEST(a_lost_server_is_removed_or_replaced_by_one_that_runs)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b"),
		       a2 = SUBJECT(.name = "a", .label = "a2");
	struct server server = server_of(&a);

	setup();
	server.optional = true;
	add(&server);
	server = server_of(&b);
	server.optional = true;
	add(&server);
	plans[0].ops[0] = op_replace(&a2);
	plans[0].ops[1] = op_remove("b");
	run_up();
	crash(&a, -EIO);
	crash(&b, -EIO);
	until("lost:a");
	until("lost:b");
	reload_once();
	until("start:a2");
	ck_assert_int_eq(noted("start:a2"), 1);
	ck_assert_gone(&a);
	ck_assert_gone(&b);
	ck_assert_clean_end();
}
END_TEST

/* Being cancelled by its removal is no error, and another one is no end. */
static int until_cancelled(struct context *ctx, void *arg)
{
	int code = context_wait(ctx, LONG_MS);

	return arg ? -EIO : code;
}

START_TEST(a_server_that_fails_while_it_is_removed_does_not_end_the_app)
{
	struct server server = {.name = "a", .start = until_cancelled};

	setup();
	add(&server);
	server.name = "b";
	server.arg = &server;
	add(&server);
	plans[0].ops[0] = op_remove("a");
	plans[1].ops[0] = op_remove("b");
	run_up();
	reload_once();
	ck_assert_uint_eq(reloads(NULL), 1);
	reload_once();
	ck_assert_uint_eq(reloads(NULL), 2);
	ck_assert_clean_end();
	ck_assert_int_eq(noted("stopped:a") + noted("stopped:b"), 2);
}
END_TEST

/* A9 */
START_TEST(a_removed_server_that_does_not_come_back_ends_the_app)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a", .stop_hold = &go),
		       b = SUBJECT(.name = "b");
	struct server server = server_of(&a);

	options.stuck = APP_STUCK_WAIT;
	setup();
	server.stop_timeout_ms = 20;
	add(&server);
	add_subject(&b);
	plans[0].ops[0] = op_remove("a");
	run_up();
	app_reload(app);
	until("state:stopping");
	until("stop:b");
	event_set(&go);
	ck_assert_int_eq(run_join(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "a");
	ck_assert_ptr_nonnull(strstr(result.text, "stop"));
	ck_assert_int_eq(noted("reloaded"), 0);
	app_free(&app);
	ck_assert_gone(&a);
	ck_assert_gone(&b);
}
END_TEST

/* An optional one has no better reason to keep all others from a reload. */
START_TEST(an_optional_removed_server_that_does_not_come_back_ends_the_app_too)
{
	struct event go = EVENT_INIT;
	struct subject a = SUBJECT(.name = "a", .stop_hold = &go);
	struct server server = server_of(&a);

	options.stuck = APP_STUCK_WAIT;
	setup();
	server.stop_timeout_ms = 20;
	server.optional = true;
	add(&server);
	plans[0].ops[0] = op_remove("a");
	run_up();
	app_reload(app);
	until("state:stopping");
	event_set(&go);
	ck_assert_int_eq(run_join(), -ETIMEDOUT);
	ck_assert_str_eq(result.origin, "a");
	app_free(&app);
	ck_assert_gone(&a);
}
END_TEST

/* ---- random ---- */

enum { SLOTS = 10, ROUNDS = 200, PER_ROUND = 3 };

struct member {
	int slot;
	unsigned needs; /* slots, as bits */
	atomic_int starts, stops, releases, checks, commits, aborts;
	bool given, refuses;
	struct event quit;
};

static struct {
	struct member members[ROUNDS * PER_ROUND];
	int count;
	struct member *now[SLOTS], *next[SLOTS];
	bool refuses; /* some member says no in this round */
	unsigned random;
	atomic_int up[SLOTS], violations;
} model;

static const char *const slot_names[SLOTS] = {"s0", "s1", "s2", "s3", "s4",
    "s5", "s6", "s7", "s8", "s9"};

static unsigned draw(unsigned below)
{
	model.random = model.random * 1664525U + 1013904223U;
	return (model.random >> 8) % below;
}

static int member_start(struct context *ctx, void *arg)
{
	struct member *member = arg;

	for (int i = 0; i < SLOTS; i++)
		if (member->needs & (1U << i) && !model.up[i])
			model.violations++;
	if (member->starts++)
		model.violations++;
	model.up[member->slot]++;
	server_ready(ctx);
	if (member->slot % 2)
		context_wait(ctx, -1);
	else
		event_wait_count(&member->quit, 1);
	return 0;
}

/* Every other one has none: its start ends with the context. */
static int member_stop(struct context *ctx, void *arg)
{
	struct member *member = arg;

	(void)ctx;
	member->stops++;
	event_set(&member->quit);
	return 0;
}

static int member_reload(struct context *ctx, void *arg)
{
	struct member *member = arg;

	switch (server_reload_phase(ctx)) {
	case SERVER_RELOAD_CHECK:
		if (member->refuses)
			return -EPERM;
		member->checks++;
		return 0;
	case SERVER_RELOAD_COMMIT:
		member->commits++;
		return 0;
	default:
		member->aborts++;
		return 0;
	}
}

static void member_release(void *arg)
{
	struct member *member = arg;

	if (member->starts)
		model.up[member->slot]--;
	member->releases++;
}

static struct server member_server(struct member *member, const char **after)
{
	int n = 0;

	for (int i = 0; i < SLOTS; i++)
		if (member->needs & (1U << i))
			after[n++] = slot_names[i];
	after[n] = NULL;
	return (struct server){.name = slot_names[member->slot],
	    .start = member_start,
	    .stop = member->slot % 2 ? NULL : member_stop,
	    .notifies = true,
	    .after = after,
	    .reload = member_reload,
	    .release = member_release,
	    .arg = member};
}

static void change_slot(struct app_reload *reload, int slot)
{
	const char *after[SLOTS + 1];
	struct member *member;
	struct server server;
	int ret;

	if (model.next[slot] != model.now[slot])
		return; /* once in a round */
	if (model.now[slot] && draw(2)) {
		ret = app_reload_remove(reload, slot_names[slot]);
		model.next[slot] = NULL;
	} else {
		member = &model.members[model.count++];
		member->slot = slot;
		member->quit = (struct event)EVENT_INIT;
		for (int i = 0; i < slot; i++)
			if (model.next[i] ? draw(3) == 0 : draw(40) == 0)
				member->needs |= 1U << i;
		server = member_server(member, after);
		ret = model.now[slot] ? app_reload_replace(reload, &server)
				      : app_reload_add(reload, &server);
		member->given = !ret;
		model.next[slot] = member;
	}
	if (ret)
		model.violations++;
}

static int random_reload(struct context *ctx, struct app_reload *reload,
    void *arg)
{
	int count = 1 + (int)draw(PER_ROUND);

	(void)ctx;
	(void)arg;
	memcpy(model.next, model.now, sizeof(model.next));
	for (int i = 0; i < count; i++)
		change_slot(reload, (int)draw(SLOTS));
	model.refuses = false;
	for (int i = 0; i < SLOTS; i++) {
		if (!model.now[i])
			continue;
		model.now[i]->refuses = draw(40) == 0;
		if (model.next[i] == model.now[i] && model.now[i]->refuses)
			model.refuses = true;
	}
	return 0;
}

static bool model_holds(void)
{
	for (int i = 0; i < SLOTS; i++)
		for (int j = 0; j < SLOTS; j++)
			if (model.next[i] && model.next[i]->needs & (1U << j) &&
			    !model.next[j])
				return false;
	return !model.refuses;
}

/* What is in the set runs, and only that; what is not is let go. */
static void ck_assert_model(int round)
{
	for (int i = 0; i < model.count; i++) {
		struct member *member = &model.members[i];
		bool in = model.now[member->slot] == member;

		if (!member->given)
			continue;
		ck_assert_msg(member->releases == !in &&
				  (!in || (member->starts == 1 &&
					      member->stops == 0)),
		    "round %d, %s %d: %d starts, %d stops, %d releases", round,
		    slot_names[member->slot], in, member->starts, member->stops,
		    member->releases);
		ck_assert_int_eq(member->checks,
		    member->commits + member->aborts);
		if (!in && member->slot % 2 == 0)
			ck_assert_int_eq(member->starts, member->stops);
	}
}

static bool released_all(void *unused)
{
	(void)unused;
	for (int i = 0; i < model.count; i++) {
		struct member *member = &model.members[i];

		if (member->given && model.now[member->slot] != member &&
		    !member->releases)
			return false;
	}
	return true;
}

START_TEST(random_reloads_run_what_the_model_says)
{
	unsigned good = 0, bad = 0, before;

	model.random = (unsigned)_i * 77777 + 1;
	options.on_event = run_event;
	options.reload = random_reload;
	app_make();
	run_up();
	for (int round = 0; round < scale(ROUNDS); round++) {
		before = reloads(NULL);
		pthread_mutex_lock(&journal.lock);
		journal.text[0] = '\0';
		pthread_mutex_unlock(&journal.lock);
		reload_once();
		ck_assert_msg((reloads(NULL) == before + 1) == model_holds(),
		    "round %d: %s: %s", round, run_of.refused.origin,
		    run_of.refused.text);
		if (model_holds()) {
			memcpy(model.now, model.next, sizeof(model.now));
			good++;
		} else {
			bad++;
		}
		ck_assert(event_poll(run_is_ready, NULL));
		ck_assert(event_poll(released_all, NULL));
		ck_assert_model(round);
		ck_assert_int_eq(model.violations, 0);
	}
	/* Enough of both, unless a tool makes it slow. */
	ck_assert_msg(scale_slowdown() > 1 || (good > 20 && bad > 20), "%u, %u",
	    good, bad);
	ck_assert_clean_end();
	memset(model.now, 0, sizeof(model.now));
	ck_assert_model(-1);
}
END_TEST

/* ---- faults ---- */

static bool reload_ended_or_run(void *unused)
{
	(void)unused;
	return run_of.done || event_is_set(&run_of.reload_ends);
}

static struct subject fault_subjects[5];

static void make_fault_subjects(void)
{
	static const char *const names[] = {"a", "b", "c", "d", "b"};

	for (int i = 0; i < 5; i++)
		fault_subjects[i] = (struct subject)SUBJECT(.name = names[i]);
	fault_subjects[4].label = "b2";
	memset(&plans[0], 0, sizeof(plans[0]));
	plans[0].entered = (struct event)EVENT_INIT;
	plans[0].ops[0] = op_replace(&fault_subjects[4]);
	plans[0].ops[1] = op_remove("c");
	plans[0].ops[2] = op_after(&fault_subjects[3], after_b);
	plans[0].config = (void *)"config";
	plans[0].releases = true;
	planned = 0;
	journal.text[0] = '\0';
	run_of.reload_ends.count = 0;
}

static int reload_or_error(struct context *ctx, struct app_reload *reload,
    void *arg)
{
	struct plan *plan = &plans[0];
	int code = plan_reload(ctx, reload, arg);

	for (int i = 0; i < 8 && !code; i++)
		code = plan->ops[i].ret;
	return code;
}

static bool was_given(int i)
{
	if (i < 3)
		return true;
	return planned && !plans[0].ops[i == 4 ? 0 : 2].ret;
}

/* A reload with a failure that is ordered; what is wrong, or NULL. */
static const char *reload_with_fault(enum fault fault, int n, bool from,
    int expected)
{
	struct subject *s = fault_subjects;
	bool reloaded, ended;
	int code;

	make_fault_subjects();
	app_make();
	for (int i = 0; i < 3; i++)
		add_subject(&s[i]);
	run_begin();
	if (!noted_in_time("state:running", 1))
		return "not up";
	if (from)
		fault_from(fault, n);
	else
		fault_nth(fault, n);
	app_reload(app);
	if (!event_poll(reload_ended_or_run, NULL))
		return "no end";
	/* Whatever starts has done so. */
	if (!from)
		event_poll(run_is_done_or_ready, NULL);
	ended = run_of.done;
	code = run_stop();
	reloaded = noted("reloaded");
	if (ended && !reloaded)
		return "the end";
	if (code && (code != expected || !reloaded))
		return "an error";
	if (reloaded != (s[0].asked[COMMIT] == 1) || s[0].asked[COMMIT] > 1)
		return "half told";
	if (!reloaded && s[4].starts + s[3].starts)
		return "half done";
	if (!reloaded && (s[1].asked[COMMIT] || s[2].asked[COMMIT]))
		return "told to who goes";
	app_free(&app);
	for (int i = 0; i < 5; i++) {
		if (s[i].starts != s[i].stops)
			return "not stopped";
		if (s[i].agreed != s[i].asked[COMMIT] + s[i].asked[3])
			return "not told";
		if (s[i].releases != was_given(i))
			return "not released";
	}
	return NULL;
}

START_TEST(memory_that_runs_out_in_a_reload_leaves_nothing_half_done)
{
	const char *wrong;
	int n = 0;

	setup();
	app_free(&app);
	options.reload = reload_or_error;
	do {
		wrong = reload_with_fault(FAULT_MEMORY, ++n, false, -ENOMEM);
		ck_assert_msg(!wrong, "call %d: %s:%s", n, wrong, journal.text);
	} while (fault_failed(FAULT_MEMORY));
	ck_assert_int_gt(n, 20);
}
END_TEST

/* From some question on there is none at all: who agreed is told still. */
START_TEST(who_agreed_is_told_however_little_memory_there_is)
{
	struct subject a = SUBJECT(.name = "a"), b = SUBJECT(.name = "b");
	int n = 0, failed;

	setup();
	add_subject(&a);
	add_subject(&b);
	memset(plans, 0, sizeof(plans));
	options.reload = NULL;
	app_free(&app);
	app_make();
	a.releases = b.releases = 0;
	add_subject(&a);
	add_subject(&b);
	run_up();
	do {
		b.codes[CHECK] = n % 2 ? -EINVAL : 0;
		fault_from(FAULT_MEMORY, 1 + n++ / 2);
		reload_once();
		failed = fault_failed(FAULT_MEMORY);
		fault_none();
		ck_assert_int_eq(a.agreed,
		    a.asked[COMMIT] + a.asked[SERVER_RELOAD_ABORT]);
		ck_assert_int_eq(b.agreed,
		    b.asked[COMMIT] + b.asked[SERVER_RELOAD_ABORT]);
	} while (failed);
	ck_assert_int_gt(n, 20);
	ck_assert_clean_end();
}
END_TEST

static int failing_thread;

static int run_reload_without_threads(void)
{
	const char *wrong;

	setup();
	app_free(&app);
	wrong = reload_with_fault(FAULT_THREAD, failing_thread, true, -EAGAIN);
	if (wrong)
		tell("%s:%s", wrong, journal.text);
	return wrong ? 1 : fault_failed(FAULT_THREAD) ? 0 : 10;
}

/* In a process that has few threads, there are no more from the nth on. */
START_TEST(threads_that_run_out_in_a_reload_leave_nothing_half_done)
{
	int status = 0;

	for (failing_thread = 1; status == 0; failing_thread++) {
		struct child child;

		child_start(&child, run_reload_without_threads);
		status = child_end(&child);
		ck_assert_msg(WIFEXITED(status) &&
				  (WEXITSTATUS(status) == 0 ||
				      WEXITSTATUS(status) == 10),
		    "thread %d: %#x: %s", failing_thread, (unsigned)status,
		    child.line);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("app_reload");
	TCase *random;

	SUITE_ADD(suite, "agreed",
	    servers_are_asked_in_order_to_check_and_then_to_commit,
	    outside_of_a_reload_there_is_no_phase_and_no_config,
	    a_config_is_seen_by_servers_and_released_when_it_is_replaced,
	    the_last_config_that_a_reload_gives_is_the_one,
	    a_config_outlives_the_servers_that_go_with_it);
	SUITE_ADD(suite, "refused",
	    a_server_that_refuses_takes_back_what_the_others_agreed_to,
	    the_error_of_an_abort_means_nothing,
	    a_program_function_that_fails_refuses_the_reload,
	    a_new_set_with_an_unknown_name_or_a_cycle_is_refused,
	    a_server_that_others_need_is_not_removed,
	    a_hundred_refusals_are_no_error_of_the_app);
	SUITE_ADD(suite, "changed", what_is_untouched_keeps_running,
	    those_that_go_stop_in_reverse_order_and_new_ones_start_in_order,
	    a_new_server_comes_after_one_that_stays,
	    a_replacement_brings_its_own_dependencies,
	    who_needs_one_that_is_replaced_is_untouched,
	    states_are_those_of_the_new_set,
	    an_app_is_ready_again_when_its_new_servers_are,
	    the_instance_is_as_before_though_its_servers_are_gone,
	    a_new_server_whose_endpoint_fails_has_failed,
	    a_server_is_ready_no_sooner_than_its_start_has_begun,
	    a_server_that_is_to_stop_before_its_start_is_called_is_not_stopped,
	    a_server_whose_start_was_not_called_after_all_is_told_to_have_stopped,
	    a_change_that_cannot_be_made_is_the_callers_still,
	    a_server_is_changed_once_in_a_reload,
	    a_reload_changes_the_times_to_stop_and_to_drain);
	SUITE_ADD(suite, "commits that fail",
	    a_commit_that_fails_ends_the_app_with_the_servers_name,
	    a_server_whose_commit_fails_is_restarted_if_that_is_its_policy,
	    an_optional_server_whose_commit_fails_is_lost);
	SUITE_ADD(suite, "requests",
	    a_reload_before_the_run_happens_when_the_app_runs,
	    a_reload_while_the_app_starts_waits_until_it_runs,
	    a_hundred_requests_at_once_are_at_least_one_reload,
	    a_request_while_a_reload_is_under_way_is_another_one,
	    a_signal_reloads_if_the_options_say_so,
	    a_signal_that_no_option_asks_for_is_left_alone,
	    a_reload_of_an_app_without_servers_is_one);
	SUITE_ADD(suite, "stopped meanwhile", a_stop_ends_the_programs_function,
	    a_stop_ends_a_check_and_takes_back_the_others,
	    a_check_that_ignores_a_stop_is_waited_for_at_the_end,
	    a_stop_ends_a_commit,
	    a_commit_that_fails_while_the_app_stops_is_an_error,
	    a_commit_that_ignores_its_deadline_ends_the_app,
	    a_commit_that_ignores_a_stop_has_no_longer_than_that,
	    a_stop_while_those_that_go_stop_is_in_good_order,
	    a_stop_that_comes_with_the_last_answer_goes_before_the_change,
	    a_commit_that_begins_in_a_stop_has_no_longer_than_that,
	    a_stop_at_any_instant_of_a_reload_leaves_nothing);
	SUITE_ADD(suite, "late", a_reload_that_heeds_its_deadline_is_refused,
	    a_reload_that_heeds_its_deadline_is_said_to_be_late,
	    a_reload_whose_time_is_over_asks_nobody_else,
	    a_program_function_that_returns_0_too_late_is_refused,
	    a_reload_that_ignores_its_deadline_is_given_up,
	    a_program_function_that_ignores_its_deadline_changes_nothing,
	    the_server_that_does_not_come_back_from_its_check_is_named,
	    the_server_that_does_not_come_back_from_its_commit_is_named,
	    a_reload_that_never_returns_makes_the_end_stuck);
	SUITE_ADD(suite, "failures meanwhile",
	    a_server_is_restarted_while_a_reload_is_checked,
	    a_server_is_restarted_while_a_reload_is_committed,
	    a_server_that_fails_for_good_while_a_reload_is_checked_ends_the_app,
	    a_server_that_is_to_be_restarted_is_removed_instead,
	    a_server_that_is_stopped_to_be_restarted_is_removed_instead,
	    a_lost_server_is_removed_or_replaced_by_one_that_runs,
	    a_server_that_fails_while_it_is_removed_does_not_end_the_app,
	    a_removed_server_that_does_not_come_back_ends_the_app,
	    an_optional_removed_server_that_does_not_come_back_ends_the_app_too);
	random = suite_case(suite, "random");
	tcase_add_checked_fixture(random, suite_setup, suite_teardown);
	tcase_add_loop_test(random, random_reloads_run_what_the_model_says, 0,
	    3);
	SUITE_ADD(suite, "faults",
	    memory_that_runs_out_in_a_reload_leaves_nothing_half_done,
	    who_agreed_is_told_however_little_memory_there_is,
	    threads_that_run_out_in_a_reload_leave_nothing_half_done);
	return suite_run(suite);
}
