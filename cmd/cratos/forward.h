/* The key "forward": signals that cratos passes on to a server's processes. */
#ifndef CRATOS_CMD_FORWARD_H
#define CRATOS_CMD_FORWARD_H

#include <stdbool.h>
#include <stddef.h>

struct appfile;
struct server_keys;

/* What is wrong with the key of the i-th server is refused: how much is. */
size_t forward_check(struct appfile *file, size_t i,
    const struct server_keys *keys);

/* Whether a server of the file wants the signal. */
bool forward_wanted(const struct appfile *file, int signal);

/* Passes it on to all that want it; on the thread of app_run. */
void forward_pass_on(const struct appfile *file, int signal);

/* A list of all that cannot change while the app runs has to have it already. */
size_t forward_check_change(struct appfile *file,
    const struct appfile *in_force);

/* "SIGUSR1, SIGUSR2"; of one server, for people. */
void forward_show(const struct server_keys *keys);

/* What cratos does not do any more with a signal, since it is passed on. */
void forward_show_app(const struct appfile *file);

#endif
