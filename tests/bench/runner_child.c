/*
 * What runner_drive has its runners run: writes its process id to the fifo that
 * RUNNER_FIFO names, keeps that open until its end, and waits to be killed.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
	const char *path = getenv("RUNNER_FIFO");
	int fd = path ? open(path, O_WRONLY) : -1;
	pid_t pid = getpid();

	if (fd < 0 || write(fd, &pid, sizeof(pid)) != sizeof(pid))
		return 1;
	for (;;)
		pause();
}
