/* An app with pages about it, as a C program has them. */
#include <sys/socket.h>
#include <sys/un.h>

#include <cratos/admin.h>

#include "tests/app_thread.h"

static struct admin *admin;

static void make(const char *listen)
{
	admin = admin_new(&(struct admin_options){.listen = listen});
	ck_assert_ptr_nonnull(admin);
	options.admin = admin;
	options.on_event = run_event;
	app_make();
}

static void unmake(void)
{
	app_free(&app);
	admin_free(&admin);
}

/* The answer to a GET, from its status on. */
static void get(const char *url, const char *path, char answer[static 4096])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t used = 0;
	ssize_t size;

	ck_assert_int_eq(strncmp(url, "unix:", 5), 0);
	strcpy(address.sun_path, url + 5);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address,
			     sizeof(address)),
	    0);
	ck_assert_int_gt(dprintf(fd, "GET %s HTTP/1.0\r\n\r\n", path), 0);
	while ((size = read(fd, answer + used, 4095 - used)) > 0)
		used += (size_t)size;
	answer[used] = '\0';
	close(fd);
	ck_assert_int_eq(strncmp(answer, "HTTP/1.", 7), 0);
	memmove(answer, answer + 9, used - 8);
}

static char path[64], url[80];

static void name_socket(void)
{
	snprintf(path, sizeof(path), "/tmp/cratos-check-admin-%d",
	    (int)getpid());
	snprintf(url, sizeof(url), "unix:%s", path);
}

static char in_hook[4096];

static int look(struct context *ctx, void *arg)
{
	(void)ctx;
	get(url, arg, in_hook);
	return 0;
}

static void assert_page(const char *beginning, const char *words)
{
	ck_assert_msg(!strncmp(in_hook, beginning, strlen(beginning)) &&
			  strstr(in_hook, words),
	    "no %s ... %s: %s", beginning, words, in_hook);
}

struct look_up {
	enum app_phase phase;
	const char *path, *status, *words;
};

/* _i: the phase; the first hook and the last. */
START_TEST(pages_are_served_from_the_first_hook_to_the_last)
{
	static const struct look_up all[] = {{APP_BEFORE_START, "/livez", "200",
						 "alive"},
	    {APP_BEFORE_START, "/readyz", "503", "not ready"},
	    {APP_AFTER_START, "/readyz", "200", "ready"},
	    {APP_BEFORE_STOP, "/readyz", "503", "not ready"},
	    {APP_AFTER_STOP, "/readyz?verbose", "503", "one stopped for"},
	    {APP_AFTER_STOP, "/livez", "200", "alive"},
	    {APP_AFTER_START, "/metrics", "200",
		"cratos_server_ready{server=\"one\"} 1"},
	    {APP_AFTER_START, "/", "200", "/metrics"},
	    {APP_AFTER_START, "/other", "404", "no such page"}};
	struct probe one = PROBE(.name = "one", .blocks = true);

	name_socket();
	make(url);
	add_probe(&one);
	hook(all[_i].phase, look, all[_i].path);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	assert_page(all[_i].status, all[_i].words);
	ck_assert_int_eq(noted("admin"), 1);
	ck_assert_int_ne(access(path, F_OK), 0);
	unmake();
}
END_TEST

START_TEST(an_address_in_use_ends_the_app_before_anything_starts)
{
	struct probe one = PROBE(.name = "one", .blocks = true);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	name_socket();
	strcpy(address.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)),
	    0);
	ck_assert_int_eq(listen(fd, 1), 0);
	make(url);
	add_probe(&one);
	hook(APP_BEFORE_START, note_hook, "before");
	ck_assert_int_eq(app_go(), -EADDRINUSE);
	ck_assert_str_eq(result.origin, "admin");
	ck_assert_ptr_nonnull(strstr(result.text, "in use"));
	ck_assert_int_eq(noted("before"), 0);
	ck_assert_int_eq(noted("start:one"), 0);
	unmake();
	close(fd);
	unlink(path);
}
END_TEST

/* It can be used again by the next app. */
START_TEST(one_admin_serves_one_app_after_the_other)
{
	char text[64];

	name_socket();
	make(url);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	app_free(&app);
	app_make();
	hook(APP_AFTER_START, look, "/livez");
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	assert_page("200", "alive");
	ck_assert_int_eq(admin_endpoint(admin, text, sizeof(text)), 0);
	ck_assert_str_eq(text, url);
	ck_assert_int_eq(admin_endpoint(admin, text, 3), -ENAMETOOLONG);
	unmake();
}
END_TEST

static int tell_endpoint(struct context *ctx, void *arg)
{
	(void)ctx;
	return admin_endpoint(admin, arg, 64);
}

START_TEST(the_port_that_the_system_chose_is_told)
{
	char text[64] = "";

	make("127.0.0.1:0");
	hook(APP_BEFORE_START, tell_endpoint, text);
	stop_when_up();
	ck_assert_int_eq(app_go(), 0);
	ck_assert_msg(!strncmp(text, "http://127.0.0.1:", 17) &&
			  atoi(text + 17) > 0,
	    "%s", text);
	unmake();
}
END_TEST

START_TEST(what_is_no_address_is_refused)
{
	static const char *const addresses[] = {NULL, "", "host",
	    "unix:", "fd:"};

	ck_assert_ptr_null(
	    admin_new(&(struct admin_options){.listen = addresses[_i]}));
	ck_assert_int_eq(errno, EINVAL);
	admin_free(&admin);
}
END_TEST

static struct context *beater;
static struct event silent_told = EVENT_INIT;

static void silent_event(const struct app_event *event, void *arg)
{
	run_event(event, arg);
	if (event->type == APP_EVENT_SERVER_SILENT)
		event_set(&silent_told);
}

static int beat_start(struct context *ctx, void *arg)
{
	beater = ctx;
	return probe_start(ctx, arg);
}

START_TEST(a_missed_heartbeat_is_no_life)
{
	struct probe one = PROBE(.name = "one", .blocks = true);
	struct server server = probe_server(&one);
	char answer[4096];

	name_socket();
	make(url);
	app_free(&app);
	options.on_event = silent_event;
	app_make();
	server.heartbeat_ms = 50;
	server.start = beat_start;
	add(&server);
	run_up();
	ck_assert(event_wait(&silent_told));
	get(url, "/livez", answer);
	ck_assert_int_eq(strncmp(answer, "503", 3), 0);
	ck_assert_ptr_nonnull(strstr(answer, "the heartbeat of one is missed"));
	ck_assert_int_eq(run_stop(), 0);
	unmake();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("app_admin");
	TCase *tcase = suite_case(suite, "pages");

	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase,
	    pages_are_served_from_the_first_hook_to_the_last, 0, 9);
	SUITE_ADD(suite, "admin",
	    an_address_in_use_ends_the_app_before_anything_starts,
	    one_admin_serves_one_app_after_the_other,
	    the_port_that_the_system_chose_is_told,
	    a_missed_heartbeat_is_no_life);
	tcase = suite_case(suite, "addresses");
	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase, what_is_no_address_is_refused, 0, 5);
	return suite_run(suite);
}
