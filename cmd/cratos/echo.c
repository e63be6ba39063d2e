/* The built-in echo server: sends back what it gets. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/cratos/echo.h"

static int send_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

int echo_handler(struct context *ctx, int fd, void *arg)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
	    {.fd = context_fd(tcp_drain(ctx)), .events = POLLIN}};
	char data[4096];

	(void)arg;
	for (;;) {
		ssize_t n;
		int ret;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		/* What has arrived is answered, also when it is time to go. */
		n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
		if (!n)
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n < 0 && fds[1].revents)
			return 0;
		ret = n > 0 ? send_all(fd, data, (size_t)n) : 0;
		if (ret)
			return ret;
	}
}
