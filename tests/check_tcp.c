/* Stream servers: addresses, connections, limits, stop. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cratos/tcp.h>

#include "tests/fake_host.h"
#include "tests/suite.h"

/* A stop that is to have all the time it wants. */
enum { LONG_MS = 1000 * EVENT_PATIENCE_S };

static char place[64];

static const char *in_place(const char *name)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/%s", place, name);
	return path;
}

/* "unix:" and the path of that name. */
static const char *unix_address(const char *name)
{
	static char address[128];

	snprintf(address, sizeof(address), "unix:%s", in_place(name));
	return address;
}

static bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static void set_up(void)
{
	strcpy(place, "/tmp/cratos-tcp-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(place));
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "exec rm -rf %s", place);
	ck_assert_int_eq(system(command), 0);
}

/* ---- one server in a host ---- */

static struct tcp *tcp;
static struct fake_host host;
static char url[128];

static void make(const struct tcp_options *options)
{
	struct server server;

	tcp = tcp_new(options);
	ck_assert_ptr_nonnull(tcp);
	server = tcp_server(tcp, "tcp");
	fake_host_init(&host, &server);
}

/* As an app does: the endpoint is asked first. */
static void run(const struct tcp_options *options)
{
	make(options);
	ck_assert_int_eq(host.server.endpoint(host.server.arg, url,
			     sizeof(url)),
	    0);
	fake_host_start(&host);
	fake_host_until_ready(&host);
}

static void run_handler(tcp_handler_fn *handler)
{
	run(&(struct tcp_options){.listen = "127.0.0.1:0", .handler = handler});
}

static void clear(void)
{
	fake_host_fini(&host);
	tcp_free(&tcp);
	ck_assert_ptr_null(tcp);
}

static void await_stop(int code, const char *text)
{
	struct error stop_err = fake_host_until_stopped(&host);

	ck_assert_msg(stop_err.code == code, "%d: %s", stop_err.code,
	    stop_err.text);
	if (text)
		ck_assert_str_eq(stop_err.text, text);
	ck_assert_msg(!host.end.code, "%s", host.end.text);
	ck_assert_int_eq(tcp_connections(tcp), 0);
}

static void stop_cleanly(void)
{
	fake_host_stop(&host, LONG_MS);
	await_stop(0, NULL);
	clear();
}

/* ---- handlers ---- */

static int echo(struct context *ctx, int fd, void *arg)
{
	char buffer[512];
	ssize_t n;

	(void)ctx;
	(void)arg;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		if (send(fd, buffer, (size_t)n, MSG_NOSIGNAL) != n)
			return -EPIPE;
	return 0;
}

/* Idle connections end when the server is told to stop. */
static int echo_until_drain(struct context *ctx, int fd, void *arg)
{
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN},
	    {.fd = context_fd(tcp_drain(ctx)), .events = POLLIN}};
	char c;

	(void)arg;
	while (poll(fds, 2, -1) > 0 && !fds[1].revents && read(fd, &c, 1) == 1)
		if (send(fd, &c, 1, MSG_NOSIGNAL) != 1)
			return -EPIPE;
	return 0;
}

static int give_up(struct context *ctx, int fd, void *arg)
{
	(void)ctx;
	(void)fd;
	(void)arg;
	return -EIO;
}

/* ---- clients ---- */

static int connect_unix(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	if (!connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	close(fd);
	return -1;
}

/* A blocking connection to the URL of a server, or -1 with errno. */
static int try_connect(const char *to)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST,
	    .ai_socktype = SOCK_STREAM};
	struct addrinfo *addr;
	char host_text[64], *port;
	int fd, ret;

	if (!strncmp(to, "unix:", 5))
		return connect_unix(to + 5);
	ck_assert_int_eq(strncmp(to, "tcp://", 6), 0);
	strcpy(host_text, *(to + 6) == '[' ? to + 7 : to + 6);
	port = strrchr(host_text, ':');
	port[port[-1] == ']' ? -1 : 0] = '\0';
	ck_assert_int_eq(getaddrinfo(host_text, port + 1, &hints, &addr), 0);
	fd = socket(addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ret = connect(fd, addr->ai_addr, addr->ai_addrlen);
	freeaddrinfo(addr);
	if (!ret)
		return fd;
	close(fd);
	return -1;
}

static int client(void)
{
	int fd = try_connect(url);

	ck_assert_msg(fd >= 0, "connect to %s: %s", url, strerror(errno));
	return fd;
}

static void await_readable(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};

	ck_assert_int_eq(poll(&pollfd, 1, 1000 * EVENT_PATIENCE_S), 1);
}

/* One byte there and back: the connection is served. */
static void ping(int fd)
{
	char c = 'p';

	ck_assert_int_eq(send(fd, &c, 1, MSG_NOSIGNAL), 1);
	await_readable(fd);
	ck_assert_int_eq(read(fd, &c, 1), 1);
	ck_assert_int_eq(c, 'p');
}

static void await_close(int fd)
{
	char c;

	await_readable(fd);
	ck_assert_int_le(read(fd, &c, 1), 0);
	close(fd);
}

static bool has_no_connection(void *unused)
{
	(void)unused;
	return !tcp_connections(tcp);
}

/* So that the test need not connect to see that the listener is closed. */
static void run_unix(tcp_handler_fn *handler)
{
	run(&(struct tcp_options){.listen = unix_address("s"),
	    .handler = handler});
}

static bool is_closed(void *unused)
{
	(void)unused;
	return !exists(in_place("s"));
}

static bool is_refusing(void *unused)
{
	int fd = try_connect(url);

	(void)unused;
	if (fd >= 0)
		close(fd);
	return fd < 0;
}

/* ---- addresses ---- */

static void assert_not_made(const struct tcp_options *options)
{
	errno = 0;
	ck_assert_ptr_null(tcp_new(options));
	ck_assert_int_eq(errno, EINVAL);
}

START_TEST(a_server_without_address_or_handler_is_refused_at_once)
{
	assert_not_made(&(struct tcp_options){.listen = ":0"});
	assert_not_made(&(struct tcp_options){.handler = echo});
	assert_not_made(&(struct tcp_options){.listen = "", .handler = echo});
}
END_TEST

static void assert_refused(const char *address, int code, const char *text)
{
	int ret;

	make(&(struct tcp_options){.listen = address, .handler = echo});
	ret = tcp_endpoint(tcp, url, sizeof(url));
	ck_assert_msg(ret == code, "%s: %d", address, ret);
	if (text)
		ck_assert_str_eq(error_of(ret).text, text);
	/* And start says the same. */
	fake_host_start(&host);
	ck_assert_int_eq(fake_host_until_end(&host).code, code);
	if (text)
		ck_assert_str_eq(host.end.text, text);
	ck_assert_int_eq(host.ready_count, 0);
	fake_host_stop(&host, LONG_MS);
	ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	clear();
}

/* What is wrong as a text is refused before there is a server. */
static void assert_no_address(const char *address, int code, const char *text)
{
	errno = 0;
	ck_assert_ptr_null(
	    tcp_new(&(struct tcp_options){.listen = address, .handler = echo}));
	ck_assert_msg(errno == -code, "%s: %d", address, errno);
	if (text)
		ck_assert_str_eq(error_of(code).text, text);
}

START_TEST(an_address_that_is_none_is_refused_with_one_clear_line)
{
	assert_no_address("8080", -EINVAL,
	    "listen 8080: not host:port, unix:path or fd:name");
	assert_no_address("::1:80", -EINVAL,
	    "listen ::1:80: IPv6 is written [address]:port");
	assert_no_address("[::1]80", -EINVAL,
	    "listen [::1]80: not [address]:port");
	assert_no_address("[::1", -EINVAL, "listen [::1: not [address]:port");
	assert_no_address("[]:80", -EINVAL,
	    "listen []:80: no address between the brackets");
	assert_refused("[127.0.0.1]:80", -EINVAL,
	    "listen [127.0.0.1]:80: no IPv6 address between the brackets");
	assert_no_address("127.0.0.1:", -EINVAL,
	    "listen 127.0.0.1:: the port is not one of 0 to 65535");
	assert_no_address("127.0.0.1:65536", -EINVAL,
	    "listen 127.0.0.1:65536: the port is not one of 0 to 65535");
	assert_no_address("127.0.0.1:http", -EINVAL, NULL);
	assert_no_address("127.0.0.1:-1", -EINVAL, NULL);
	assert_no_address("127.0.0.1:99999999999999999999", -EINVAL, NULL);
	assert_no_address("unix:", -EINVAL, "listen unix:: no path");
}
END_TEST

START_TEST(a_name_that_is_too_long_is_refused)
{
	char address[2000];

	memset(address, 'a', sizeof(address) - 1);
	strcpy(address + sizeof(address) - 4, ":80");
	assert_no_address(address, -EINVAL, NULL);
}
END_TEST

START_TEST(an_address_that_is_not_of_this_machine_is_an_error)
{
	assert_refused("192.0.2.1:0", -EADDRNOTAVAIL,
	    "listen 192.0.2.1:0: Cannot assign requested address");
}
END_TEST

/* A17 */
START_TEST(the_endpoint_is_the_address_that_was_really_bound)
{
	char again[128];
	int fd;

	run_handler(echo);
	ck_assert_int_eq(strncmp(url, "tcp://127.0.0.1:", 16), 0);
	ck_assert_int_gt(atoi(url + 16), 0);
	ck_assert_int_eq(tcp_endpoint(tcp, again, sizeof(again)), 0);
	ck_assert_str_eq(again, url);
	ck_assert_int_eq(tcp_endpoint(tcp, again, strlen(url)), -ENAMETOOLONG);
	ck_assert_int_eq(tcp_endpoint(tcp, again, strlen(url) + 1), 0);
	fd = client();
	ping(fd);
	close(fd);
	stop_cleanly();
}
END_TEST

START_TEST(a_server_can_be_used_without_its_endpoint)
{
	make(&(struct tcp_options){.listen = "127.0.0.1:0", .handler = echo});
	fake_host_start(&host);
	fake_host_until_ready(&host);
	ck_assert_int_eq(tcp_endpoint(tcp, url, sizeof(url)), 0);
	close(client());
	stop_cleanly();
}
END_TEST

/* A bare root folder has no /etc/hosts. */
static bool knows_localhost(void)
{
	struct addrinfo *list;
	bool known = !getaddrinfo("localhost", NULL, NULL, &list);

	if (known)
		freeaddrinfo(list);
	return known;
}

START_TEST(a_name_is_looked_up)
{
	char first[16];

	if (!knows_localhost())
		return;
	make(&(struct tcp_options){.listen = "localhost:0", .handler = echo});
	ck_assert_int_eq(tcp_endpoint(tcp, url, sizeof(url)), 0);
	snprintf(first, sizeof(first), "%.10s", url);
	if (strcmp(first, "tcp://127."))
		ck_assert_str_eq(first, "tcp://[::1");
	clear();
}
END_TEST

static bool has_ipv6(void)
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6,
	    .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && !bind(fd, (struct sockaddr *)&addr, sizeof(addr));

	if (fd >= 0)
		close(fd);
	return has;
}

START_TEST(ipv6_is_served_where_there_is_ipv6)
{
	int fd;

	if (!has_ipv6())
		return;
	run(&(struct tcp_options){.listen = "[::1]:0", .handler = echo});
	ck_assert_int_eq(strncmp(url, "tcp://[::1]:", 12), 0);
	fd = client();
	ping(fd);
	close(fd);
	stop_cleanly();
}
END_TEST

START_TEST(a_port_alone_is_every_address_of_both_families)
{
	char port[16];
	int fd;

	run(&(struct tcp_options){.listen = ":0", .handler = echo});
	strcpy(port, strrchr(url, ':'));
	snprintf(url, sizeof(url), "tcp://127.0.0.1%s", port);
	fd = client();
	ping(fd);
	close(fd);
	if (has_ipv6()) {
		snprintf(url, sizeof(url), "tcp://[::1]%s", port);
		fd = client();
		ping(fd);
		close(fd);
	}
	stop_cleanly();
}
END_TEST

START_TEST(an_address_in_use_is_an_error_of_the_endpoint)
{
	struct tcp *other;
	char address[64], text[128];

	run_handler(echo);
	strcpy(address, url + strlen("tcp://"));
	other =
	    tcp_new(&(struct tcp_options){.listen = address, .handler = echo});
	ck_assert_int_eq(tcp_endpoint(other, text, sizeof(text)), -EADDRINUSE);
	snprintf(text, sizeof(text), "listen %s: Address already in use",
	    address);
	ck_assert_str_eq(error_of(-EADDRINUSE).text, text);
	tcp_free(&other);
	stop_cleanly();
}
END_TEST

/* ---- unix sockets ---- */

START_TEST(a_unix_socket_is_served_and_its_file_removed_on_stop)
{
	int fd;

	run(&(
	    struct tcp_options){.listen = unix_address("s"), .handler = echo});
	ck_assert_str_eq(url, unix_address("s"));
	fd = client();
	ping(fd);
	close(fd);
	ck_assert(exists(in_place("s")));
	fake_host_stop(&host, LONG_MS);
	await_stop(0, NULL);
	ck_assert(!exists(in_place("s")));
	clear();
}
END_TEST

START_TEST(a_socket_file_of_a_server_that_never_started_is_removed)
{
	make(&(
	    struct tcp_options){.listen = unix_address("s"), .handler = echo});
	ck_assert_int_eq(tcp_endpoint(tcp, url, sizeof(url)), 0);
	ck_assert(exists(in_place("s")));
	clear();
	ck_assert(!exists(in_place("s")));
}
END_TEST

/* What a process that was killed leaves behind. */
static void leave_stale(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	close(fd);
}

START_TEST(a_stale_socket_file_is_replaced)
{
	int fd;

	leave_stale(in_place("s"));
	run(&(
	    struct tcp_options){.listen = unix_address("s"), .handler = echo});
	fd = client();
	ping(fd);
	close(fd);
	stop_cleanly();
}
END_TEST

START_TEST(a_live_socket_file_is_refused_and_stays)
{
	struct tcp *other;
	char text[256];
	int fd;

	run(&(
	    struct tcp_options){.listen = unix_address("s"), .handler = echo});
	other = tcp_new(&(
	    struct tcp_options){.listen = unix_address("s"), .handler = echo});
	ck_assert_int_eq(tcp_endpoint(other, text, sizeof(text)), -EADDRINUSE);
	snprintf(text, sizeof(text), "listen %s: in use by a running process",
	    unix_address("s"));
	ck_assert_str_eq(error_of(-EADDRINUSE).text, text);
	tcp_free(&other);
	fd = client();
	ping(fd);
	close(fd);
	stop_cleanly();
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_refused_and_stays)
{
	char text[256];
	int fd = open(in_place("s"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	close(fd);
	snprintf(text, sizeof(text),
	    "listen %s: a file that is not a socket is there",
	    unix_address("s"));
	assert_refused(unix_address("s"), -EEXIST, text);
	ck_assert(exists(in_place("s")));
	ck_assert_int_eq(unlink(in_place("s")), 0);
	/* Nor is a link followed, even to a stale socket. */
	leave_stale(in_place("stale"));
	ck_assert_int_eq(symlink("stale", in_place("s")), 0);
	assert_refused(unix_address("s"), -EEXIST, text);
	ck_assert(exists(in_place("stale")));
}
END_TEST

START_TEST(a_path_that_is_too_long_or_not_there_is_refused)
{
	char address[256] = "unix:/";

	assert_refused(unix_address("no/s"), -ENOENT, NULL);
	memset(address + 6, 'a', 107);
	assert_no_address(address, -ENAMETOOLONG, NULL);
	/* One less fits. */
	address[5 + 107] = '\0';
	memcpy(address, unix_address(""), strlen(unix_address("")));
	make(&(struct tcp_options){.listen = address, .handler = echo});
	ck_assert_int_eq(tcp_endpoint(tcp, url, sizeof(url)), 0);
	ck_assert_str_eq(url, address);
	clear();
}
END_TEST

START_TEST(a_socket_file_that_is_another_ones_is_not_removed)
{
	run(&(
	    struct tcp_options){.listen = unix_address("s"), .handler = echo});
	ck_assert_int_eq(unlink(in_place("s")), 0);
	leave_stale(in_place("s"));
	stop_cleanly();
	ck_assert(exists(in_place("s")));
}
END_TEST

/* ---- connections ---- */

START_TEST(connections_are_served_at_the_same_time)
{
	int fds[20];

	run_handler(echo);
	for (int i = 0; i < 20; i++)
		fds[i] = client();
	for (int i = 19; i >= 0; i--)
		ping(fds[i]);
	ck_assert_int_eq(tcp_connections(tcp), 20);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	ck_assert(event_poll(has_no_connection, NULL));
	stop_cleanly();
}
END_TEST

START_TEST(a_handlers_failure_ends_its_connection_only)
{
	run_handler(give_up);
	for (int i = 0; i < 3; i++)
		await_close(client());
	stop_cleanly();
}
END_TEST

static int take_arg(struct context *ctx, int fd, void *arg)
{
	int flags = fcntl(fd, F_GETFL), descriptor = fcntl(fd, F_GETFD);
	bool good = !(flags & O_NONBLOCK) && (descriptor & FD_CLOEXEC) &&
		    !strcmp(server_name(ctx), "tcp") && !context_err(ctx) &&
		    tcp_drain(ctx) && !tcp_drain(context_background());

	send(fd, good ? arg : "?", 1, MSG_NOSIGNAL);
	return 0;
}

START_TEST(a_handler_gets_its_argument_a_plain_socket_and_its_servers_context)
{
	char c = 0, arg[] = "x";
	int fd;

	run(&(struct tcp_options){.listen = "127.0.0.1:0",
	    .handler = take_arg,
	    .arg = arg});
	fd = client();
	await_readable(fd);
	ck_assert_int_eq(read(fd, &c, 1), 1);
	ck_assert_int_eq(c, 'x');
	await_close(fd);
	stop_cleanly();
}
END_TEST

static atomic_int active, most_active;

static int count_active(struct context *ctx, int fd, void *arg)
{
	int now = ++active, most = most_active;

	while (now > most &&
	       !atomic_compare_exchange_weak(&most_active, &most, now))
		continue;
	echo(ctx, fd, arg);
	active--;
	return 0;
}

/* G8 */
START_TEST(at_the_limit_the_next_connection_waits_for_a_slot)
{
	int fds[12];

	run(&(struct tcp_options){.listen = "127.0.0.1:0",
	    .handler = count_active,
	    .max_connections = 3});
	for (int i = 0; i < 12; i++)
		fds[i] = client();
	for (int i = 0; i < 12; i++) {
		ping(fds[i]);
		close(fds[i]);
	}
	ck_assert_int_le(most_active, 3);
	stop_cleanly();
}
END_TEST

START_TEST(many_connections_come_and_go_through_a_narrow_limit)
{
	int fds[5];

	run(&(struct tcp_options){.listen = "127.0.0.1:0",
	    .handler = count_active,
	    .max_connections = 2});
	for (int i = 0; i < scale(200); i++) {
		for (int k = 0; k < 5; k++)
			fds[k] = client();
		for (int k = 0; k < 5; k++) {
			ping(fds[k]);
			close(fds[k]);
		}
	}
	ck_assert_int_le(most_active, 2);
	stop_cleanly();
}
END_TEST

START_TEST(a_lack_of_descriptors_delays_connections_and_loses_none)
{
	struct rlimit limit, before;
	int fds[256], clients[4], n = 0;

	/* The accept of valgrind takes one and then says EMFILE. */
	if (is_emulated())
		return;

	getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	limit.rlim_cur = 200;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	run_handler(echo);
	ping(clients[0] = client());
	/* Two clients have their end, and nobody has one for the other. */
	while ((fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	close(fds[--n]);
	clients[1] = client();
	ping(clients[0]);
	/* The end of a connection frees its descriptor. */
	close(clients[0]);
	close(fds[--n]);
	ping(clients[1]);
	close(clients[1]);
	while (n)
		close(fds[--n]);
	setrlimit(RLIMIT_NOFILE, &before);
	stop_cleanly();
}
END_TEST

static bool has_failed_thread(void *unused)
{
	(void)unused;
	return fault_failed(FAULT_THREAD) > 0;
}

/* G16 */
START_TEST(a_connection_for_which_there_is_no_thread_is_served_later)
{
	int fds[8];

	run_handler(echo);
	fault_from(FAULT_THREAD, 1);
	for (int i = 0; i < 8; i++)
		fds[i] = client();
	ck_assert(event_poll(has_failed_thread, NULL));
	fault_none();
	for (int i = 0; i < 8; i++) {
		ping(fds[i]);
		close(fds[i]);
	}
	stop_cleanly();
}
END_TEST

START_TEST(a_connection_for_which_there_is_no_thread_is_cut_off_with_the_rest)
{
	int fds[8];

	run_handler(echo);
	fault_from(FAULT_THREAD, 1);
	for (int i = 0; i < 8; i++)
		fds[i] = client();
	ck_assert(event_poll(has_failed_thread, NULL));
	fake_host_cancel(&host);
	ck_assert_int_eq(fake_host_until_end(&host).code, -ETIMEDOUT);
	fault_none();
	for (int i = 0; i < 8; i++)
		await_close(fds[i]);
	clear();
}
END_TEST

static bool has_failed_memory(void *unused)
{
	(void)unused;
	return fault_failed(FAULT_MEMORY) > 0;
}

START_TEST(a_connection_for_which_there_is_no_memory_is_served_later)
{
	int fds[3];

	run_handler(echo);
	fault_from(FAULT_MEMORY, 1);
	for (int i = 0; i < 3; i++)
		fds[i] = client();
	ck_assert(event_poll(has_failed_memory, NULL));
	fault_none();
	for (int i = 0; i < 3; i++) {
		ping(fds[i]);
		close(fds[i]);
	}
	stop_cleanly();
}
END_TEST

START_TEST(a_lack_of_memory_is_an_error_and_leaves_nothing)
{
	struct tcp_options options = {.listen = "127.0.0.1:0", .handler = echo};
	int failed;

	for (int n = 1;; n++) {
		fault_nth(FAULT_MEMORY, n);
		tcp = tcp_new(&options);
		failed = fault_failed(FAULT_MEMORY);
		fault_none();
		if (tcp)
			break;
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_int_eq(failed, 1);
	}
	ck_assert_int_eq(failed, 0);
	tcp_free(&tcp);
	tcp_free(&tcp);
}
END_TEST

/* The nth allocation from start on fails. */
static task_fn *real_start;
static int nth_allocation;

static int start_short_of_memory(struct context *ctx, void *arg)
{
	fault_nth(FAULT_MEMORY, nth_allocation);
	return real_start(ctx, arg);
}

static bool has_begun(struct fake_host *unused)
{
	(void)unused;
	return host.ready_count || host.returned;
}

START_TEST(a_start_that_is_short_of_memory_is_an_error_or_serves)
{
	int code, fd;

	make(&(struct tcp_options){.listen = "127.0.0.1:0", .handler = echo});
	ck_assert_int_eq(tcp_endpoint(tcp, url, sizeof(url)), 0);
	real_start = host.server.start;
	host.server.start = start_short_of_memory;
	nth_allocation = 0;
	do {
		nth_allocation++;
		fake_host_start(&host);
		fake_host_drive(&host, has_begun);
		if (host.ready_count) {
			fd = client();
			ping(fd);
			close(fd);
		}
		code = host.end.code;
		ck_assert_msg(!code || code == -ENOMEM, "%s", host.end.text);
		if (fault_failed(FAULT_MEMORY) == 0) {
			fault_none();
			nth_allocation = 0;
		}
		fault_none();
		fake_host_stop(&host, LONG_MS);
		ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
	} while (nth_allocation);
	clear();
}
END_TEST

START_TEST(a_start_that_is_short_of_descriptors_is_an_error)
{
	struct rlimit limit, before;
	int fds[256], n = 0;

	getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	limit.rlim_cur = 200;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	make(&(struct tcp_options){.listen = "127.0.0.1:0", .handler = echo});
	while ((fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	/* Wake, start's context, listener: each in turn is one too many. */
	for (int spare = 0; spare <= 2; spare++) {
		fake_host_start(&host);
		ck_assert_int_eq(fake_host_until_end(&host).code, -EMFILE);
		ck_assert_str_eq(host.end.text,
		    "listen 127.0.0.1:0: Too many open files");
		fake_host_stop(&host, LONG_MS);
		ck_assert_int_eq(fake_host_until_stopped(&host).code, 0);
		close(fds[--n]);
	}
	while (n)
		close(fds[--n]);
	setrlimit(RLIMIT_NOFILE, &before);
	clear();
}
END_TEST

/* ---- stop ---- */

START_TEST(a_stop_takes_no_more_and_waits_for_the_connections)
{
	int fd;

	run_unix(echo);
	fd = client();
	ping(fd);
	fake_host_stop(&host, LONG_MS);
	ck_assert(event_poll(is_closed, NULL));
	ck_assert(is_refusing(NULL));
	/* What was begun goes on. */
	ping(fd);
	ck_assert_int_eq(tcp_connections(tcp), 1);
	ck_assert(!fake_host_is_stopped(&host));
	close(fd);
	await_stop(0, NULL);
	clear();
}
END_TEST

START_TEST(an_idle_connection_learns_of_the_stop_by_the_drain_context)
{
	int fd;

	run_handler(echo_until_drain);
	fd = client();
	ping(fd);
	fake_host_stop(&host, LONG_MS);
	await_close(fd);
	await_stop(0, NULL);
	clear();
}
END_TEST

START_TEST(who_has_connected_before_the_stop_is_served)
{
	int first, second;

	run(&(struct tcp_options){.listen = "127.0.0.1:0",
	    .handler = echo,
	    .max_connections = 2});
	first = client();
	ping(first);
	second = client(); /* perhaps not accepted yet */
	fake_host_stop(&host, LONG_MS);
	ck_assert(event_poll(is_refusing, NULL));
	ping(second);
	close(first);
	close(second);
	await_stop(0, NULL);
	clear();
}
END_TEST

/* A4, A9 */
START_TEST(at_the_deadline_of_stop_what_is_left_is_cut_off_and_counted)
{
	int fds[3];

	run_unix(echo);
	for (int i = 0; i < 3; i++) {
		fds[i] = client();
		ping(fds[i]);
	}
	fake_host_stop(&host, 1000);
	ck_assert(event_poll(is_closed, NULL));
	close(fds[0]);
	await_stop(-ETIMEDOUT, NULL);
	/* A slow machine may cut off the one that was about to end. */
	if (strcmp(host.stop_err.text,
		"cut off 3 of 3 connections at the deadline"))
		ck_assert_str_eq(host.stop_err.text,
		    "cut off 2 of 3 connections at the deadline");
	await_close(fds[1]);
	await_close(fds[2]);
	clear();
}
END_TEST

START_TEST(a_stop_without_any_time_cuts_off_at_once)
{
	int fd;

	run_handler(echo);
	fd = client();
	ping(fd);
	fake_host_stop(&host, 0);
	await_stop(-ETIMEDOUT, "cut off 1 of 1 connections at the deadline");
	await_close(fd);
	clear();
}
END_TEST

/* A4: start's context is cancelled at the deadline. */
START_TEST(the_end_of_starts_context_cuts_off_during_a_stop)
{
	int fd;

	run_unix(echo);
	fd = client();
	ping(fd);
	fake_host_stop(&host, LONG_MS);
	ck_assert(event_poll(is_closed, NULL));
	fake_host_cancel(&host);
	await_stop(-ETIMEDOUT, "cut off 1 of 1 connections at the deadline");
	await_close(fd);
	clear();
}
END_TEST

START_TEST(the_end_of_starts_context_ends_the_server_without_a_stop)
{
	int fd;

	run_handler(echo);
	fd = client();
	ping(fd);
	fake_host_cancel(&host);
	ck_assert_int_eq(fake_host_until_end(&host).code, -ETIMEDOUT);
	ck_assert_str_eq(host.end.text,
	    "cut off 1 of 1 connections at the deadline");
	await_close(fd);
	clear();
	run_handler(echo);
	fake_host_cancel(&host);
	ck_assert_int_eq(fake_host_until_end(&host).code, 0);
	clear();
}
END_TEST

static atomic_int seen_err;

static int wait_for_context(struct context *ctx, int fd, void *arg)
{
	(void)arg;
	send(fd, "p", 1, MSG_NOSIGNAL);
	seen_err = context_wait(ctx, LONG_MS);
	return 0;
}

START_TEST(a_handlers_context_is_done_when_it_is_cut_off)
{
	int fd;

	run_handler(wait_for_context);
	fd = client();
	await_readable(fd);
	fake_host_stop(&host, 0);
	await_stop(-ETIMEDOUT, NULL);
	ck_assert_int_eq(seen_err, -ECANCELED);
	close(fd);
	clear();
}
END_TEST

static int write_for_ever(struct context *ctx, int fd, void *arg)
{
	static const char block[65536];

	(void)ctx;
	(void)arg;
	while (send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
		continue;
	return 0;
}

START_TEST(a_handler_that_blocks_in_write_is_woken_at_the_deadline)
{
	int fd;

	run_handler(write_for_ever);
	fd = client();
	await_readable(fd);
	fake_host_stop(&host, 1);
	await_stop(-ETIMEDOUT, "cut off 1 of 1 connections at the deadline");
	close(fd);
	clear();
}
END_TEST

/* A13: start has been called, and yet stop may be the first to get there. */
START_TEST(a_stop_that_overtakes_start_keeps_it_from_serving)
{
	make(&(
	    struct tcp_options){.listen = unix_address("s"), .handler = echo});
	ck_assert_int_eq(tcp_endpoint(tcp, url, sizeof(url)), 0);
	ck_assert_int_eq(host.server.stop(context_background(),
			     host.server.arg),
	    0);
	fake_host_start(&host);
	ck_assert_int_eq(fake_host_until_end(&host).code, 0);
	ck_assert(!exists(in_place("s")));
	clear();
}
END_TEST

START_TEST(a_stop_at_any_moment_of_start_ends_it)
{
	make(&(struct tcp_options){.listen = "127.0.0.1:0", .handler = echo});
	for (int i = 0; i < scale(200); i++) {
		fake_host_start(&host);
		fake_host_stop(&host, LONG_MS);
		await_stop(0, NULL);
	}
	clear();
}
END_TEST

START_TEST(a_stop_and_the_deadline_at_any_moment_end_it)
{
	int fds[3];

	run_handler(echo);
	for (int i = 0; i < scale(100); i++) {
		for (int k = 0; k < 3; k++)
			fds[k] = client();
		fake_host_stop(&host, i % 3);
		fake_host_cancel(&host);
		fake_host_until_stopped(&host);
		ck_assert_int_eq(tcp_connections(tcp), 0);
		for (int k = 0; k < 3; k++)
			await_close(fds[k]);
		fake_host_start(&host);
		fake_host_until_ready(&host);
	}
	stop_cleanly();
}
END_TEST

START_TEST(a_server_that_is_started_again_has_the_same_address)
{
	char before[128];
	int fd;

	run_handler(echo);
	strcpy(before, url);
	fake_host_stop(&host, LONG_MS);
	await_stop(0, NULL);
	/* Asked between, it says what was, and binds nothing. */
	ck_assert_int_eq(tcp_endpoint(tcp, url, sizeof(url)), 0);
	ck_assert_str_eq(url, before);
	ck_assert(is_refusing(NULL));
	fake_host_start(&host);
	fake_host_until_ready(&host);
	fd = client();
	ping(fd);
	close(fd);
	stop_cleanly();
}
END_TEST

START_TEST(a_second_start_of_one_that_runs_is_refused)
{
	run_handler(echo);
	ck_assert_int_eq(host.server.start(host.ctx, host.server.arg), -EBUSY);
	stop_cleanly();
}
END_TEST

/* The folder is made before the suite's set-up looks, and goes after it. */
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

static Suite *tcp_suite(void)
{
	Suite *suite = suite_create("tcp");

	ADD(suite, "address",
	    a_server_without_address_or_handler_is_refused_at_once,
	    an_address_that_is_none_is_refused_with_one_clear_line,
	    a_name_that_is_too_long_is_refused,
	    an_address_that_is_not_of_this_machine_is_an_error,
	    the_endpoint_is_the_address_that_was_really_bound,
	    a_server_can_be_used_without_its_endpoint, a_name_is_looked_up,
	    ipv6_is_served_where_there_is_ipv6,
	    a_port_alone_is_every_address_of_both_families,
	    an_address_in_use_is_an_error_of_the_endpoint);
	ADD(suite, "unix", a_unix_socket_is_served_and_its_file_removed_on_stop,
	    a_socket_file_of_a_server_that_never_started_is_removed,
	    a_stale_socket_file_is_replaced,
	    a_live_socket_file_is_refused_and_stays,
	    a_file_that_is_no_socket_is_refused_and_stays,
	    a_path_that_is_too_long_or_not_there_is_refused,
	    a_socket_file_that_is_another_ones_is_not_removed);
	ADD(suite, "connections", connections_are_served_at_the_same_time,
	    a_handlers_failure_ends_its_connection_only,
	    a_handler_gets_its_argument_a_plain_socket_and_its_servers_context,
	    at_the_limit_the_next_connection_waits_for_a_slot,
	    many_connections_come_and_go_through_a_narrow_limit);
	ADD(suite, "shortage",
	    a_lack_of_descriptors_delays_connections_and_loses_none,
	    a_connection_for_which_there_is_no_thread_is_served_later,
	    a_connection_for_which_there_is_no_thread_is_cut_off_with_the_rest,
	    a_connection_for_which_there_is_no_memory_is_served_later,
	    a_lack_of_memory_is_an_error_and_leaves_nothing,
	    a_start_that_is_short_of_memory_is_an_error_or_serves,
	    a_start_that_is_short_of_descriptors_is_an_error);
	ADD(suite, "stop", a_stop_takes_no_more_and_waits_for_the_connections,
	    an_idle_connection_learns_of_the_stop_by_the_drain_context,
	    who_has_connected_before_the_stop_is_served,
	    a_stop_that_overtakes_start_keeps_it_from_serving,
	    a_stop_at_any_moment_of_start_ends_it,
	    a_server_that_is_started_again_has_the_same_address,
	    a_second_start_of_one_that_runs_is_refused);
	ADD(suite, "deadline",
	    at_the_deadline_of_stop_what_is_left_is_cut_off_and_counted,
	    a_stop_without_any_time_cuts_off_at_once,
	    the_end_of_starts_context_cuts_off_during_a_stop,
	    the_end_of_starts_context_ends_the_server_without_a_stop,
	    a_handlers_context_is_done_when_it_is_cut_off,
	    a_handler_that_blocks_in_write_is_woken_at_the_deadline,
	    a_stop_and_the_deadline_at_any_moment_end_it);
	return suite;
}

int main(void)
{
	return suite_run(tcp_suite());
}
