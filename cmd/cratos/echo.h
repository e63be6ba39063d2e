/* The built-in echo server's side of a connection. */
#ifndef CRATOS_CMD_ECHO_H
#define CRATOS_CMD_ECHO_H

#include <cratos/tcp.h>

int echo_handler(struct context *ctx, int fd, void *arg);

#endif
