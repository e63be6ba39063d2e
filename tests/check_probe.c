/* Readiness probes and health checks of child processes. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cratos/exec.h>

#include "errgroup/clock.h"
#include "tests/fake_host.h"
#include "tests/suite.h"

/* A stop, or an attempt, that is to have all the time it wants. */
enum { LONG_MS = 1000 * EVENT_PATIENCE_S };

#define FOREVER "sleep 1000"

/* ---- a place for children to leave word ---- */

static char place[64], self[256];
static int word_fd; /* of the fifo to which children write lines */

static const char *in_place(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", place, name);
	return path;
}

static void set_up(void)
{
	strcpy(place, "/tmp/cratos-probe-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(place));
	ck_assert_int_eq(mkfifo(in_place("word"), 0600), 0);
	word_fd = open(in_place("word"), O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(word_fd, 0);
	ck_assert_int_eq(setenv("PLACE", place, 1), 0);
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "exec rm -rf %s", place);
	ck_assert_int_eq(system(command), 0);
	close(word_fd);
}

/* The next line that a child has written to $PLACE/word. */
static const char *next_word(void)
{
	static char line[256];
	struct pollfd pollfd = {.fd = word_fd, .events = POLLIN};
	size_t length = 0;

	do {
		ck_assert_int_eq(poll(&pollfd, 1, LONG_MS), 1);
		ck_assert_int_eq(read(word_fd, line + length, 1), 1);
	} while (line[length++] != '\n');
	line[length - 1] = '\0';
	return line;
}

static void touch(const char *name)
{
	int fd = open(in_place(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* ---- one child in a host ---- */

static struct exec *child;
static struct fake_host host;

static void make(const struct exec_options *options)
{
	struct server server;

	child = exec_new(options);
	ck_assert_msg(child != NULL, "%s", error_of(-errno).text);
	server = exec_server(child, "child");
	fake_host_init(&host, &server);
}

static void run(const struct exec_options *options)
{
	make(options);
	fake_host_start(&host);
}

/* This program as the child; see main. */
static const char *me(const char *args)
{
	static char command[512];

	snprintf(command, sizeof(command), "%s %s", self, args);
	return command;
}

static void run_probe(const char *command, const char *ready)
{
	run(&(struct exec_options){.command = command,
	    .dir = place,
	    .ready = ready,
	    .ready_interval_ms = 20,
	    .ready_timeout_ms = LONG_MS});
}

static void clear(void)
{
	fake_host_fini(&host);
	exec_free(&child);
}

static void stop_cleanly(void)
{
	struct error end;

	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	end = fake_host_until_end(&host);
	ck_assert_msg(!end.code, "%s", end.text);
	ck_assert_int_eq(exec_pid(child), 0);
}

static void assert_ready_and_stop(void)
{
	fake_host_until_ready(&host);
	stop_cleanly();
	ck_assert_int_eq(host.ready_count, 1);
	clear();
}

static const char *lacks(void)
{
	static char text[200];

	host.server.lacks(host.server.arg, text, sizeof(text));
	return text;
}

static const char *awaited;

static bool lacks_what_is_awaited(struct fake_host *unused)
{
	(void)unused;
	return !strcmp(lacks(), awaited) || host.ended;
}

/* Until it says that it lacks that; and it is not ready. */
static void assert_lacks(const char *text)
{
	awaited = text;
	fake_host_drive(&host, lacks_what_is_awaited);
	ck_assert_str_eq(lacks(), text);
	ck_assert_int_eq(host.ready_count, 0);
}

static bool lacks_a_time(struct fake_host *unused)
{
	(void)unused;
	return strstr(lacks(), "no answer within 0.3 s") || host.ended;
}

/* A moment has passed, in which it could have become ready. */
static bool has_lived(struct fake_host *woken)
{
	static int looks;

	if (++looks < 20 && !woken->ready_count) {
		usleep(1000);
		eventfd_write(woken->wake, 1);
		return false;
	}
	looks = 0;
	return true;
}

static bool has_word(struct fake_host *unused)
{
	struct pollfd pollfd = {.fd = word_fd, .events = POLLIN};

	(void)unused;
	return poll(&pollfd, 1, 0) > 0;
}

/* The host wakes up for its own events only. */
static void *wake_at_word(void *unused)
{
	struct pollfd pollfd = {.fd = word_fd, .events = POLLIN};

	if (poll(&pollfd, 1, LONG_MS) == 1)
		eventfd_write(host.wake, 1);
	return unused;
}

/* With the host driven meanwhile. */
static void await_word(void)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, wake_at_word, NULL), 0);
	fake_host_drive(&host, has_word);
	pthread_join(thread, NULL);
}

static bool is_group_gone(void *pid)
{
	return kill(-*(pid_t *)pid, 0) && errno == ESRCH;
}

/* ---- texts ---- */

START_TEST(a_text_that_is_a_probe_is_taken)
{
	static const char *const texts[] = {"start", "notify", "fd:3",
	    "fd:1023", "delay:0s", "delay:500ms", "delay:1m30s", "log:^(a|b)+$",
	    "tcp:1.2.3.4:1", "tcp:[::1]:65535", "tcp:localhost:80",
	    "unix:/run/x", "unix:x", "unix:@x", "http://localhost",
	    "http://127.0.0.1:8080/a?b=c#d", "http://[::1]:80/",
	    "http://[::1]?x", "exec:true 'a b'"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		ck_assert_msg(!exec_check_ready(texts[i]), "%s: %s", texts[i],
		    error_of(-EINVAL).text);
	for (size_t i = 8; i < sizeof(texts) / sizeof(*texts); i++)
		ck_assert_msg(!exec_check_health(texts[i]), "%s: %s", texts[i],
		    error_of(-EINVAL).text);
}
END_TEST

START_TEST(a_text_that_is_no_probe_is_refused_with_the_reason)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
	    {"", ": not one of start, notify, fd:N, log:REGEX, delay:TIME, "
		 "tcp:HOST:PORT, unix:PATH, http://HOST:PORT/PATH or "
		 "exec:COMMAND"},
	    {"https://a/", "https://a/: not one of start, notify, fd:N, "
			   "log:REGEX, delay:TIME, tcp:HOST:PORT, unix:PATH, "
			   "http://HOST:PORT/PATH or exec:COMMAND"},
	    {"log:", "log:: no regular expression"},
	    {"log:a(b", "log:a(b: Unmatched ( or \\("},
	    {"fd:2", "fd:2: the descriptor is not one of 3 to 1023"},
	    {"fd:", "fd:: the descriptor is not one of 3 to 1023"},
	    {"fd:1024", "fd:1024: the descriptor is not one of 3 to 1023"},
	    {"fd:3x", "fd:3x: the descriptor is not one of 3 to 1023"},
	    {"delay:", "delay:: not a time such as 500ms, 2s or 1m30s"},
	    {"delay:5", "delay:5: not a time such as 500ms, 2s or 1m30s"},
	    {"delay:1s1m", "delay:1s1m: not a time such as 500ms, 2s or 1m30s"},
	    {"delay:-1s", "delay:-1s: not a time such as 500ms, 2s or 1m30s"},
	    {"tcp:localhost", "tcp:localhost: no port: it is host:port"},
	    {"tcp::80", "tcp::80: no host"},
	    {"tcp:[::1]", "tcp:[::1]: no port: it is host:port"},
	    {"tcp:[::1", "tcp:[::1: no ] after the ["},
	    {"tcp:[localhost]:1",
		"tcp:[localhost]:1: no IPv6 address between the brackets"},
	    {"tcp:::1:80", "tcp:::1:80: no host"},
	    {"tcp:a::1:80", "tcp:a::1:80: IPv6 is written [address]:port"},
	    {"tcp:1.2.3.4:0",
		"tcp:1.2.3.4:0: the port is not one of 1 to 65535"},
	    {"tcp:1.2.3.4:65536",
		"tcp:1.2.3.4:65536: the port is not one of 1 to 65535"},
	    {"tcp:[::1]80", "tcp:[::1]80: the port is not one of 1 to 65535"},
	    {"tcp:example.org:80", "tcp:example.org:80: the host is neither a "
				   "numeric address nor localhost; names are "
				   "not looked up"},
	    {"unix:", "unix:: no path"},
	    {"http:///x", "http:///x: no host"},
	    {"http://localhost:/x",
		"http://localhost:/x: the port is not one of 1 to 65535"},
	    {"http://localhost/a b",
		"http://localhost/a b: blanks and control characters are "
		"written %20 and the like"},
	    {"exec:", "exec:: empty command"},
	    {"exec:''", "exec:'': empty command"},
	    {"exec:a 'b", "exec:a 'b: unclosed quote in: a 'b"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_int_eq(exec_check_ready(bad[i].text), -EINVAL);
		ck_assert_str_eq(error_of(-EINVAL).text, bad[i].why);
	}
	ck_assert_int_eq(exec_check_health("delay:1s"), -EINVAL);
	ck_assert_str_eq(error_of(-EINVAL).text,
	    "delay:1s: not one of tcp:HOST:PORT, unix:PATH, "
	    "http://HOST:PORT/PATH or exec:COMMAND");
}
END_TEST

START_TEST(a_server_with_a_probe_that_is_none_is_not_made)
{
	errno = 0;
	ck_assert_ptr_null(exec_new(
	    &(struct exec_options){.command = "true", .ready = "fd:1"}));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(exec_new(
	    &(struct exec_options){.command = "true", .health = "notify"}));
	ck_assert_int_eq(errno, EINVAL);
	/* One that begins in a directory has less room. */
	child = exec_new(&(struct exec_options){.command = "true",
	    .dir = "/0123456789/0123456789/0123456789/0123456789/0123456789/x",
	    .ready =
		"unix:0123456789/0123456789/0123456789/0123456789/01234567"});
	ck_assert_ptr_null(child);
	ck_assert_ptr_nonnull(
	    strstr(error_of(-EINVAL).text, "the path has more than 107 bytes"));
}
END_TEST

START_TEST(a_lack_of_memory_is_an_error_and_leaves_nothing)
{
	const struct exec_options options = {.command = "true",
	    .ready = "http://localhost/x",
	    .health = "exec:true"};
	int failures = 0;

	for (int n = 1;; n++) {
		fault_nth(FAULT_MEMORY, n);
		errno = 0;
		child = exec_new(&options);
		fault_none();
		if (child)
			break;
		ck_assert_int_eq(errno, ENOMEM);
		failures++;
	}
	ck_assert_int_gt(failures, 4);
	exec_free(&child);
}
END_TEST

/* ---- start, delay, fd ---- */

START_TEST(a_server_with_start_is_ready_when_it_was_executed)
{
	run_probe(FOREVER, "start");
	ck_assert_ptr_null(host.server.lacks);
	assert_ready_and_stop();
}
END_TEST

START_TEST(a_server_with_a_delay_is_ready_when_that_has_passed)
{
	int64_t begin_ns = clock_ns();

	run_probe(FOREVER, "delay:50ms");
	fake_host_until_ready(&host);
	ck_assert_int_ge(clock_ns() - begin_ns, 50 * NS_PER_MS);
	ck_assert_str_eq(lacks(), "");
	stop_cleanly();
	clear();
}
END_TEST

START_TEST(a_server_that_ends_in_its_delay_is_never_ready)
{
	run_probe("false", "delay:1000h");
	ck_assert_int_eq(fake_host_until_end(&host).code, -ECHILD);
	ck_assert_int_eq(host.ready_count, 0);
	clear();
}
END_TEST

START_TEST(a_server_is_ready_when_it_writes_a_newline_to_its_descriptor)
{
	int go;

	ck_assert_int_eq(mkfifo(in_place("go"), 0600), 0);
	run_probe("sh -c 'printf almost >&7; read l <go; echo >&7; "
		  "echo more >&7; echo done >word; exec " FOREVER "'",
	    "fd:7");
	assert_lacks("fd:7");
	go = open(in_place("go"), O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(write(go, "\n", 1), 1);
	close(go);
	fake_host_until_ready(&host);
	ck_assert_str_eq(next_word(), "done");
	stop_cleanly();
	ck_assert_int_eq(host.ready_count, 1);
	clear();
}
END_TEST

/* ---- log ---- */

static void print(const char *text)
{
	exec_printed(child, text, strlen(text));
}

START_TEST(a_server_is_ready_when_it_prints_the_line)
{
	run_probe(FOREVER, "log:^up [0-9]+$");
	assert_lacks("log:^up [0-9]+$");
	print("not up 1\nup\n1\nup");
	print("");
	print(" 23 \nu");
	print("p 4");
	fake_host_drive(&host, has_lived);
	ck_assert_int_eq(host.ready_count, 0);
	print("5\r\nup 6\n");
	fake_host_until_ready(&host);
	ck_assert_str_eq(lacks(), "");
	print("up 7\n");
	stop_cleanly();
	ck_assert_int_eq(host.ready_count, 1);
	print("up 8\n");
	clear();
}
END_TEST

START_TEST(a_line_that_is_printed_may_be_long_and_have_zeros)
{
	static char line[5000];

	memset(line, 'x', sizeof(line));
	run_probe(FOREVER, "log:^a.*up$");
	exec_printed(child, line, sizeof(line));
	print("up\n");
	memcpy(line + 3000, "\na\0up\n", 6);
	fake_host_drive(&host, has_lived);
	ck_assert_int_eq(host.ready_count, 0);
	exec_printed(child, line, sizeof(line));
	assert_ready_and_stop();
}
END_TEST

START_TEST(each_run_has_to_print_the_line_itself)
{
	run_probe("sh -c 'read l <word; exit 1'", "log:^up$");
	assert_lacks("log:^up$");
	print("u");
	ck_assert_int_eq(write(word_fd, "\n", 1), 1);
	ck_assert_int_eq(fake_host_until_end(&host).code, -ECHILD);
	print("\nup\nu");
	fake_host_start(&host);
	assert_lacks("log:^up$");
	print("p\n");
	fake_host_drive(&host, has_lived);
	ck_assert_int_eq(host.ready_count, 0);
	print("up\n");
	fake_host_until_ready(&host);
	stop_cleanly();
	clear();
}
END_TEST

START_TEST(what_is_printed_is_nothing_to_others)
{
	make(&(struct exec_options){.command = FOREVER});
	print("up\n");
	clear();
	run_probe(FOREVER, "delay:10ms");
	print("up\n");
	assert_ready_and_stop();
}
END_TEST

START_TEST(a_child_has_the_descriptor_that_it_tells_by_and_no_other)
{
	static const char *const numbers[] = {"3", "4", "9", "200"};
	char args[16], ready[16], open[24];

	for (int i = 0; i < 4; i++) {
		snprintf(ready, sizeof(ready), "fd:%s", numbers[i]);
		snprintf(args, sizeof(args), "fds %s", numbers[i]);
		snprintf(open, sizeof(open), "0 1 2 %s ", numbers[i]);
		run_probe(me(args), ready);
		fake_host_until_ready(&host);
		ck_assert_str_eq(next_word(), open);
		stop_cleanly();
		clear();
	}
}
END_TEST

START_TEST(a_descriptor_that_is_closed_without_a_newline_is_told)
{
	run_probe("sh -c 'printf x >&3; exec 3>&-; exec " FOREVER "'", "fd:3");
	assert_lacks("fd:3: closed without a newline");
	stop_cleanly();
	ck_assert_int_eq(host.ready_count, 0);
	clear();
}
END_TEST

/* ---- tcp and unix ---- */

static const char *text_of(const char *before, int port, const char *after)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s%d%s", before, port, after);
	return text;
}

/* A port at which nobody listens, and which nobody else gets. */
static int bind_port(int family, int *port)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
	    .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in in = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr *addr = family == AF_INET ? (struct sockaddr *)&in
						  : (struct sockaddr *)&in6;
	socklen_t size = family == AF_INET ? sizeof(in) : sizeof(in6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, addr, size)) {
		close(fd);
		return -1; /* there is no IPv6 */
	}
	ck_assert_int_eq(getsockname(fd, addr, &size), 0);
	*port = ntohs(family == AF_INET ? in.sin_port : in6.sin6_port);
	return fd;
}

START_TEST(a_server_is_ready_when_its_port_can_be_connected_to)
{
	int port, fd = bind_port(AF_INET, &port);

	run_probe(FOREVER, text_of("tcp:127.0.0.1:", port, ""));
	assert_lacks(text_of("tcp:127.0.0.1:", port, ": Connection refused"));
	ck_assert_int_eq(listen(fd, 8), 0);
	assert_ready_and_stop();
	close(fd);
}
END_TEST

START_TEST(localhost_is_an_address_of_either_family)
{
	int port, fd = bind_port(AF_INET6, &port);

	if (fd < 0)
		return;
	run_probe(FOREVER, text_of("tcp:localhost:", port, ""));
	assert_lacks(text_of("tcp:localhost:", port, ": Connection refused"));
	ck_assert_int_eq(listen(fd, 8), 0);
	assert_ready_and_stop();
	run_probe(FOREVER, text_of("tcp:[::1]:", port, ""));
	assert_ready_and_stop();
	close(fd);
}
END_TEST

static int bind_unix(int type, const char *path, bool abstract)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(un);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, path);
	if (abstract) {
		un.sun_path[0] = '\0';
		size = (socklen_t)(sizeof(un) - sizeof(un.sun_path) +
				   strlen(path));
	}
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, size), 0);
	return fd;
}

START_TEST(a_server_is_ready_when_its_local_socket_can_be_connected_to)
{
	int fd;

	run_probe(FOREVER, "unix:sock");
	assert_lacks("unix:sock: No such file or directory");
	fd = bind_unix(SOCK_STREAM, in_place("sock"), false);
	assert_lacks("unix:sock: Connection refused");
	ck_assert_int_eq(listen(fd, 8), 0);
	assert_ready_and_stop();
	close(fd);
}
END_TEST

START_TEST(a_local_socket_may_be_abstract_and_of_any_type)
{
	char name[64], text[72];
	int fd;

	snprintf(name, sizeof(name), "@%s", place + 5);
	snprintf(text, sizeof(text), "unix:%s", name);
	fd = bind_unix(SOCK_SEQPACKET, name, true);
	ck_assert_int_eq(listen(fd, 8), 0);
	run_probe(FOREVER, text);
	assert_ready_and_stop();
	close(fd);
	fd = bind_unix(SOCK_DGRAM, name, true);
	run_probe(FOREVER, text);
	assert_ready_and_stop();
	close(fd);
}
END_TEST

/* ---- notify ---- */

/* Sends to the child's socket what a child of somebody else would. */
static void send_as_stranger(const char *text)
{
	char path[64], environment[65536], *at = environment;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)exec_pid(child));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, environment, sizeof(environment) - 1);
	ck_assert_int_gt(n, 0);
	close(fd);
	environment[n] = '\0';
	while (strncmp(at, "NOTIFY_SOCKET=", 14)) {
		at += strlen(at) + 1;
		ck_assert(at < environment + n);
	}
	strcpy(un.sun_path, at + 14);
	n = (ssize_t)(sizeof(un) - sizeof(un.sun_path) + strlen(un.sun_path));
	ck_assert_int_eq(un.sun_path[0], '@');
	un.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(sendto(fd, text, strlen(text), 0,
			     (struct sockaddr *)&un, (socklen_t)n),
	    (int)strlen(text));
	close(fd);
}

START_TEST(a_server_is_ready_when_it_says_so)
{
	run_probe(me("say STATUS=loading wait READY=1"), "notify");
	assert_lacks("notify: loading");
	touch("go");
	assert_ready_and_stop();
}
END_TEST

START_TEST(several_lines_may_come_in_one_message)
{
	run_probe(me("say 'STATUS=up\nREADY=1\nEXTEND_TIMEOUT_USEC=1500001\n'"),
	    "notify");
	fake_host_until_ready(&host);
	ck_assert_int_eq(host.extended_ms, 1501);
	stop_cleanly();
	clear();
}
END_TEST

START_TEST(a_message_that_makes_no_sense_is_ignored)
{
	run_probe(me("say '' ready=1 READY=0 'READY=1 ' READY=10 '\n\n=\n' "
		     "EXTEND_TIMEOUT_USEC=-1 EXTEND_TIMEOUT_USEC=x "
		     "EXTEND_TIMEOUT_USEC=99999999999999999999 MAINPID=0 "
		     "MAINPID=1 MAINPID=-5 nul long STATUS=end"),
	    "notify");
	assert_lacks("notify: end");
	ck_assert_int_eq(host.extended_ms, 0);
	stop_cleanly();
	clear();
}
END_TEST

START_TEST(a_stranger_has_no_say)
{
	run_probe(me("say STATUS=begin wait STATUS=end"), "notify");
	assert_lacks("notify: begin");
	send_as_stranger(
	    "READY=1\nSTATUS=strange\nEXTEND_TIMEOUT_USEC=5000000");
	touch("go");
	assert_lacks("notify: end");
	ck_assert_int_eq(host.extended_ms, 0);
	stop_cleanly();
	clear();
}
END_TEST

START_TEST(a_descendant_in_a_group_of_its_own_has_a_say)
{
	run_probe(me("fork READY=1"), "notify");
	fake_host_until_ready(&host);
	stop_cleanly();
	clear();
}
END_TEST

static bool has_extended(struct fake_host *unused)
{
	(void)unused;
	return host.extended_ms || host.ended;
}

/* But the one that was executed stays the one whose end counts. */
START_TEST(a_child_may_say_which_process_is_its_main_one)
{
	run_probe(me("main"), "notify");
	fake_host_until_ready(&host);
	ck_assert_int_eq(exec_pid(child), atoi(next_word()));
	stop_cleanly();
	clear();
}
END_TEST

START_TEST(a_descriptor_that_comes_along_is_closed_once_the_message_is_read)
{
	run_probe(me("say READY=1 barrier EXTEND_TIMEOUT_USEC=7000"), "notify");
	/* The child waits for that, and speaks again then. */
	fake_host_drive(&host, has_extended);
	ck_assert_int_eq(host.extended_ms, 7);
	stop_cleanly();
	clear();
}
END_TEST

START_TEST(each_run_has_to_say_for_itself_that_it_is_ready)
{
	make(&(struct exec_options){.command = me("say wait READY=1"),
	    .dir = place,
	    .ready = "notify"});
	for (int i = 0; i < 3; i++) {
		fake_host_start(&host);
		assert_lacks("notify");
		touch("go");
		fake_host_until_ready(&host);
		ck_assert_int_eq(unlink(in_place("go")), 0);
		ck_assert_int_eq(kill(exec_pid(child), SIGKILL), 0);
		ck_assert_int_eq(fake_host_until_end(&host).code, -ECHILD);
	}
	clear();
}
END_TEST

/* ---- exec ---- */

START_TEST(a_server_is_ready_when_its_command_exits_with_0)
{
	run_probe(FOREVER, "exec:test -e up");
	assert_lacks("exec:test -e up: exited with status 1");
	touch("up");
	assert_ready_and_stop();
}
END_TEST

START_TEST(a_command_gets_the_environment_of_the_child)
{
	const char *const env[] = {"WAY=out", NULL};

	run(&(struct exec_options){.command = FOREVER,
	    .env = env,
	    .ready = "exec:sh -c 'test $WAY = out'"});
	assert_ready_and_stop();
}
END_TEST

START_TEST(a_command_that_fails_is_told_in_words)
{
	run_probe(FOREVER, "exec:sh -c 'kill -USR1 $$'");
	assert_lacks("exec:sh -c 'kill -USR1 $$': killed by signal 10 "
		     "(SIGUSR1)");
	stop_cleanly();
	clear();
	run_probe(FOREVER, "exec:cratos-no-such-program");
	assert_lacks("exec:cratos-no-such-program: command "
		     "cratos-no-such-program: not found in PATH");
	ck_assert_int_eq(exec_check(child), -ENOENT);
	stop_cleanly();
	clear();
}
END_TEST

START_TEST(a_command_that_takes_too_long_is_killed_with_what_it_started)
{
	pid_t group;

	run(&(struct exec_options){.command = FOREVER,
	    .dir = place,
	    .ready = "exec:sh -c '" FOREVER " & echo $$ >word; wait'",
	    .ready_interval_ms = 20,
	    .ready_timeout_ms = 300});
	fake_host_drive(&host, lacks_a_time);
	group = atoi(next_word());
	/* The next attempt is made once that is reaped. */
	await_word();
	ck_assert(event_poll(is_group_gone, &group));
	stop_cleanly();
	ck_assert_int_eq(host.ready_count, 0);
	clear();
}
END_TEST

START_TEST(what_a_command_leaves_behind_is_killed)
{
	pid_t group;

	run_probe(FOREVER, "exec:sh -c '" FOREVER " & echo $$ >word'");
	fake_host_until_ready(&host);
	group = atoi(next_word());
	ck_assert(event_poll(is_group_gone, &group));
	stop_cleanly();
	clear();
}
END_TEST

/* Of a run that is in the middle of an attempt: the probe's process. */
static pid_t run_long_command(void)
{
	run_probe(FOREVER, "exec:sh -c 'echo $$ >word; exec " FOREVER "'");
	await_word();
	return atoi(next_word());
}

START_TEST(a_stop_in_the_middle_of_an_attempt_leaves_nothing)
{
	pid_t pid = run_long_command();

	stop_cleanly();
	ck_assert(is_group_gone(&pid));
	clear();
}
END_TEST

START_TEST(an_end_in_the_middle_of_an_attempt_leaves_nothing)
{
	pid_t pid = run_long_command();
	struct error end;

	ck_assert_int_eq(kill(exec_pid(child), SIGKILL), 0);
	end = fake_host_until_end(&host);
	ck_assert_str_eq(end.text, "killed by signal 9 (SIGKILL)");
	ck_assert(is_group_gone(&pid));
	clear();
}
END_TEST

START_TEST(kill_ends_an_attempt_as_well)
{
	pid_t pid = run_long_command();

	host.server.kill(host.server.arg);
	ck_assert_int_eq(fake_host_until_end(&host).code, -ECHILD);
	ck_assert(is_group_gone(&pid));
	clear();
}
END_TEST

/* ---- http ---- */

/* A server that takes one connection after the other, and answers as told. */
static struct web {
	pthread_t thread;
	int fd, port;
	const char *answer; /* NULL: takes it, and says nothing */
	bool closes; /* after the answer; else the client has to */
	bool trickles, floods;
	char request[1024]; /* the last one */
} web;

static void answer(int fd)
{
	ssize_t n = recv(fd, web.request, sizeof(web.request) - 1, 0);
	const char *text = web.answer ? web.answer : "";
	struct timespec pause = {0, 1000000};
	char rest[4096] = "";

	web.request[n > 0 ? n : 0] = '\0';
	for (; web.trickles && *text; text++) {
		send(fd, text, 1, MSG_NOSIGNAL);
		nanosleep(&pause, NULL);
	}
	send(fd, text, strlen(text), MSG_NOSIGNAL);
	while (web.floods && send(fd, rest, sizeof(rest), MSG_NOSIGNAL) > 0)
		continue;
	while (!web.closes && recv(fd, rest, sizeof(rest), 0) > 0)
		continue;
}

static void *serve(void *unused)
{
	int fd;

	while ((fd = accept4(web.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		answer(fd);
		close(fd);
	}
	return unused;
}

static void start_web(const char *text, bool closes)
{
	web = (struct web){.answer = text, .closes = closes};
	web.fd = bind_port(AF_INET, &web.port);
}

static void run_web(void)
{
	ck_assert_int_eq(listen(web.fd, 64), 0);
	ck_assert_int_eq(pthread_create(&web.thread, NULL, serve, NULL), 0);
	run(&(struct exec_options){.command = FOREVER,
	    .ready = text_of("http://127.0.0.1:", web.port, "/up?x"),
	    .ready_interval_ms = 20,
	    .ready_timeout_ms = 300});
}

static void stop_web(void)
{
	stop_cleanly();
	clear();
	shutdown(web.fd, SHUT_RDWR);
	pthread_join(web.thread, NULL);
	close(web.fd);
}

static void assert_web_is_ready(void)
{
	run_web();
	fake_host_until_ready(&host);
	stop_web();
}

START_TEST(a_server_is_ready_when_it_answers_with_2xx)
{
	char head[64];

	start_web("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true);
	assert_web_is_ready();
	snprintf(head, sizeof(head),
	    "GET /up?x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", web.port);
	ck_assert_msg(!strncmp(web.request, head, strlen(head)), "%s",
	    web.request);
	ck_assert_ptr_nonnull(strstr(web.request, "Connection: close\r\n"));
	ck_assert_str_eq(strstr(web.request, "\r\n\r\n"), "\r\n\r\n");
	start_web("HTTP/1.0 204 \r\n\r\n", false);
	assert_web_is_ready();
}
END_TEST

START_TEST(an_answer_may_come_in_pieces_and_have_no_end)
{
	start_web("HTTP/1.1 200 OK\r\n\r\n", true);
	web.trickles = true;
	assert_web_is_ready();
	start_web("HTTP/1.1 200 OK\r\n\r\n", true);
	web.floods = true;
	assert_web_is_ready();
}
END_TEST

static void assert_web_lacks(const char *why)
{
	char text[200];

	run_web();
	snprintf(text, sizeof(text), "http://127.0.0.1:%d/up?x: %s", web.port,
	    why);
	assert_lacks(text);
	stop_web();
	ck_assert_int_eq(host.ready_count, 0);
}

START_TEST(any_other_status_is_told)
{
	start_web("HTTP/1.1 503 Service Unavailable\r\n\r\n", true);
	assert_web_lacks("the answer is status 503");
	start_web("HTTP/1.1 301 Moved\r\n\r\n", false);
	assert_web_lacks("the answer is status 301");
	start_web("HTTP/1.1 100 Continue\r\n\r\n", true);
	assert_web_lacks("the answer is status 100");
}
END_TEST

START_TEST(what_is_no_answer_is_told)
{
	static const char *const answers[] = {"220 smtp.example.org ESMTP\r\n",
	    "HTTP/2.0 200 OK\r\n", "HTTP/1.1 2000 OK\r\n",
	    "HTTP/1.1  200 OK\r\n", "HTTP/1.1 2x0 OK\r\n"};

	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		start_web(answers[i], true);
		assert_web_lacks("what answers does not speak HTTP/1");
	}
	start_web("HTTP/1.1 200", true);
	assert_web_lacks("closed without an answer");
	start_web("", true);
	assert_web_lacks("closed without an answer");
}
END_TEST

START_TEST(a_server_that_does_not_answer_is_given_up)
{
	start_web(NULL, false);
	assert_web_lacks("no answer within 0.3 s");
	start_web("HTTP/1.1 200", false);
	assert_web_lacks("no answer within 0.3 s");
}
END_TEST

/* ---- health ---- */

static void run_health(const char *command, const char *health)
{
	run(&(struct exec_options){.command = command,
	    .dir = place,
	    .ready = "start",
	    .health = health,
	    .health_interval_ms = 10,
	    .health_timeout_ms = LONG_MS,
	    .health_failures = 2});
	fake_host_until_ready(&host);
}

START_TEST(a_server_whose_checks_fail_in_a_row_has_failed)
{
	struct error failure;

	run_health(FOREVER, "exec:sh -c 'echo >word; test -e up'");
	failure = fake_host_until_failed(&host);
	ck_assert_int_eq(failure.code, -ECHILD);
	ck_assert_str_eq(failure.text,
	    "health check failed 2 times: exec:sh -c 'echo >word; test -e up': "
	    "exited with status 1");
	/* It still runs, for the app to stop it; and is asked no more. */
	ck_assert_int_eq(kill(exec_pid(child), 0), 0);
	next_word();
	next_word();
	ck_assert(!has_word(NULL));
	stop_cleanly();
	clear();
}
END_TEST

START_TEST(a_check_that_succeeds_forgives_those_before)
{
	/* The first of two fails, always. */
	run_health(FOREVER, "exec:sh -c 'echo >word; if test -e odd; then rm "
			    "odd; else touch odd; false; fi'");
	for (int i = 0; i < 8; i++) {
		await_word();
		next_word();
	}
	ck_assert_int_eq(host.failure.code, 0);
	stop_cleanly();
	clear();
}
END_TEST

START_TEST(health_is_asked_by_all_that_can_be_tried)
{
	char text[64];
	int fd, port;

	fd = bind_port(AF_INET, &port);
	strcpy(text, text_of("tcp:localhost:", port, ""));
	run_health(FOREVER, text);
	ck_assert_ptr_nonnull(
	    strstr(fake_host_until_failed(&host).text, "Connection refused"));
	stop_cleanly();
	clear();
	strcpy(text, text_of("http://localhost:", port, "/"));
	run_health(FOREVER, text);
	ck_assert_ptr_nonnull(
	    strstr(fake_host_until_failed(&host).text, "Connection refused"));
	stop_cleanly();
	clear();
	close(fd);
	run_health(FOREVER, "unix:sock");
	ck_assert_str_eq(fake_host_until_failed(&host).text,
	    "health check failed 2 times: unix:sock: No such file or "
	    "directory");
	stop_cleanly();
	clear();
}
END_TEST

START_TEST(a_server_that_has_failed_can_be_started_again)
{
	make(&(struct exec_options){.command = FOREVER,
	    .dir = place,
	    .ready = "unix:sock",
	    .ready_interval_ms = 10,
	    .health = "unix:sock",
	    .health_interval_ms = 10,
	    .health_failures = 1});
	for (int i = 0; i < 3; i++) {
		int fd = bind_unix(SOCK_STREAM, in_place("sock"), false);

		ck_assert_int_eq(listen(fd, 8), 0);
		fake_host_start(&host);
		fake_host_until_ready(&host);
		close(fd);
		ck_assert_str_eq(fake_host_until_failed(&host).text,
		    "health check failed 1 time: unix:sock: Connection "
		    "refused");
		stop_cleanly();
		ck_assert_int_eq(unlink(in_place("sock")), 0);
	}
	clear();
}
END_TEST

START_TEST(a_child_that_is_stopping_is_asked_no_more)
{
	run(&(struct exec_options){
	    .command = me("say READY=1 STOPPING=1 EXTEND_TIMEOUT_USEC=1 wait "
			  "EXTEND_TIMEOUT_USEC=9000"),
	    .dir = place,
	    .ready = "notify",
	    .health = "exec:sh -c 'touch asked; false'",
	    .health_interval_ms = 1000000,
	    .health_failures = 1});
	fake_host_drive(&host, has_extended);
	ck_assert_int_eq(host.failure.code, 0);
	stop_cleanly();
	clear();
}
END_TEST

/* ---- at any moment ---- */

static void assert_stops_at_any_moment(const struct exec_options *options)
{
	make(options);
	for (int i = 0; i < scale(60); i++) {
		fake_host_start(&host);
		if (i % 3 == 1)
			fake_host_until_ready(&host);
		if (i % 3 == 2)
			fake_host_cancel(&host);
		fake_host_stop(&host, LONG_MS);
		ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
		fake_host_until_end(&host);
		ck_assert_int_eq(exec_pid(child), 0);
	}
	clear();
}

START_TEST(a_stop_at_any_moment_leaves_nothing)
{
	assert_stops_at_any_moment(&(struct exec_options){.command = FOREVER,
	    .ready = "exec:true",
	    .health = "exec:true",
	    .ready_interval_ms = 1,
	    .health_interval_ms = 1});
	assert_stops_at_any_moment(
	    &(struct exec_options){.command =
				       "sh -c 'echo >&3; exec " FOREVER "'",
		.ready = "fd:3",
		.health = "unix:/nowhere",
		.health_interval_ms = 1});
	assert_stops_at_any_moment(
	    &(struct exec_options){.command = me("say READY=1"),
		.ready = "notify"});
}
END_TEST

START_TEST(a_child_that_cannot_be_watched_is_ended_with_its_attempt)
{
	make(&(struct exec_options){.command = FOREVER, .ready = "exec:true"});
	host.refuse_watch = -ENOSPC;
	fake_host_start(&host);
	ck_assert_int_eq(fake_host_until_end(&host).code, -ENOSPC);
	ck_assert_int_eq(host.ready_count, 0);
	clear();
}
END_TEST

/* ---- this program as a child ---- */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void send_text(const char *text, size_t size, const int *fd)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec data = {(char *)text, size};
	struct msghdr message = {.msg_name = &un,
	    .msg_iov = &data,
	    .msg_iovlen = 1};
	int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!name || *name != '@')
		die("NOTIFY_SOCKET");
	strcpy(un.sun_path + 1, name + 1);
	message.msg_namelen =
	    (socklen_t)(sizeof(un) - sizeof(un.sun_path) + strlen(name));
	if (fd) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), fd, sizeof(int));
	}
	if (sendmsg(from, &message, 0) < 0)
		die("sendmsg");
	close(from);
}

/* As sd_notify_barrier(3): until the other side has closed what it got. */
static void pass_barrier(void)
{
	struct pollfd pollfd;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		die("pipe2");
	send_text("BARRIER=1", 9, &ends[1]);
	close(ends[1]);
	pollfd = (struct pollfd){.fd = ends[0], .events = POLLIN};
	if (poll(&pollfd, 1, LONG_MS) != 1)
		die("barrier");
	close(ends[0]);
}

static bool may_go(void *unused)
{
	(void)unused;
	return !access("go", F_OK);
}

static void say(const char *word)
{
	static const char huge[5000] = "READY=1\n";

	if (!strcmp(word, "wait"))
		event_poll(may_go, NULL);
	else if (!strcmp(word, "barrier"))
		pass_barrier();
	else if (!strcmp(word, "nul"))
		send_text("READY=1\0\nREADY=1", 17, NULL);
	else if (!strcmp(word, "long"))
		send_text(huge, sizeof(huge), NULL);
	else
		send_text(word, strlen(word), NULL);
}

static void tell_fds(int fd)
{
	FILE *word = fopen("word", "we");
	char list[256] = "";

	if (!word)
		die("word");
	for (int i = 0; i < 1024; i++)
		if (i != fileno(word) && fcntl(i, F_GETFD) >= 0)
			snprintf(list + strlen(list),
			    sizeof(list) - strlen(list), "%d ", i);
	fprintf(word, "%s\n", list);
	fclose(word);
	if (write(fd, "\n", 1) != 1)
		die("write");
}

static void fork_main(void)
{
	pid_t pid = fork();
	char text[64];
	FILE *word;

	if (!pid)
		pause();
	word = fopen("word", "we");
	if (!word)
		die("word");
	fprintf(word, "%d\n", (int)pid);
	fclose(word);
	snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1", (int)pid);
	say(text);
}

static _Noreturn void be_child(char **args)
{
	if (!strcmp(*args, "fds"))
		tell_fds(atoi(args[1]));
	if (!strcmp(*args, "fork") && !fork()) {
		/* It is in nobody's group, and must not outlive the test. */
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		say(args[1]);
		pause();
	}
	if (!strcmp(*args, "main"))
		fork_main();
	for (char **word = args + 1; !strcmp(*args, "say") && *word; word++)
		say(*word);
	for (;;)
		pause();
}

/* ---- the suite ---- */

static void add(Suite *suite, const char *behaviour, const TTest *const *tests,
    size_t count)
{
	TCase *tcase = suite_case(suite, behaviour);

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
}

#define ADD(suite, behaviour, ...)                                 \
	add(suite, behaviour, (const TTest *const[]){__VA_ARGS__}, \
	    sizeof((const TTest *const[]){__VA_ARGS__}) /          \
		sizeof(const TTest *))

static void add_children(Suite *suite)
{
	ADD(suite, "start", a_server_with_start_is_ready_when_it_was_executed,
	    a_server_with_a_delay_is_ready_when_that_has_passed,
	    a_server_that_ends_in_its_delay_is_never_ready);
	ADD(suite, "fd",
	    a_server_is_ready_when_it_writes_a_newline_to_its_descriptor,
	    a_child_has_the_descriptor_that_it_tells_by_and_no_other,
	    a_descriptor_that_is_closed_without_a_newline_is_told);
	ADD(suite, "log", a_server_is_ready_when_it_prints_the_line,
	    a_line_that_is_printed_may_be_long_and_have_zeros,
	    each_run_has_to_print_the_line_itself,
	    what_is_printed_is_nothing_to_others);
	ADD(suite, "tcp, unix",
	    a_server_is_ready_when_its_port_can_be_connected_to,
	    localhost_is_an_address_of_either_family,
	    a_server_is_ready_when_its_local_socket_can_be_connected_to,
	    a_local_socket_may_be_abstract_and_of_any_type);
	ADD(suite, "notify", a_server_is_ready_when_it_says_so,
	    several_lines_may_come_in_one_message,
	    a_message_that_makes_no_sense_is_ignored, a_stranger_has_no_say,
	    a_descendant_in_a_group_of_its_own_has_a_say,
	    a_child_may_say_which_process_is_its_main_one,
	    a_descriptor_that_comes_along_is_closed_once_the_message_is_read,
	    each_run_has_to_say_for_itself_that_it_is_ready);
	ADD(suite, "exec", a_server_is_ready_when_its_command_exits_with_0,
	    a_command_gets_the_environment_of_the_child,
	    a_command_that_fails_is_told_in_words,
	    a_command_that_takes_too_long_is_killed_with_what_it_started,
	    what_a_command_leaves_behind_is_killed,
	    a_stop_in_the_middle_of_an_attempt_leaves_nothing,
	    an_end_in_the_middle_of_an_attempt_leaves_nothing,
	    kill_ends_an_attempt_as_well);
	ADD(suite, "http", a_server_is_ready_when_it_answers_with_2xx,
	    an_answer_may_come_in_pieces_and_have_no_end,
	    any_other_status_is_told, what_is_no_answer_is_told,
	    a_server_that_does_not_answer_is_given_up);
	ADD(suite, "health", a_server_whose_checks_fail_in_a_row_has_failed,
	    a_check_that_succeeds_forgives_those_before,
	    health_is_asked_by_all_that_can_be_tried,
	    a_server_that_has_failed_can_be_started_again,
	    a_child_that_is_stopping_is_asked_no_more);
	ADD(suite, "at any moment", a_stop_at_any_moment_leaves_nothing,
	    a_child_that_cannot_be_watched_is_ended_with_its_attempt);
}

/* False under a valgrind that does not know the call. */
static bool has_pidfd(void)
{
	int fd = pidfd_open(getpid(), 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static Suite *probe_suite(void)
{
	Suite *suite = suite_create("probe");

	ADD(suite, "texts", a_text_that_is_a_probe_is_taken,
	    a_text_that_is_no_probe_is_refused_with_the_reason,
	    a_server_with_a_probe_that_is_none_is_not_made,
	    a_lack_of_memory_is_an_error_and_leaves_nothing);
	if (has_pidfd())
		add_children(suite);
	return suite;
}

int main(int argc, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (argc > 1)
		be_child(argv + 1);
	self[n > 0 ? n : 0] = '\0';
	return suite_run(probe_suite());
}
