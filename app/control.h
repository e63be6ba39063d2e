/* What an operator asks of an app, and tells it, over HTTP on a socket file. */
#ifndef CRATOS_APP_CONTROL_H
#define CRATOS_APP_CONTROL_H

#include <cratos/admin.h>

struct control;
struct record;

/* Options that must hold. 0 or -EINVAL, -ENAMETOOLONG, with words. */
int control_check(const struct admin_options *options);

/* Serves options->control, and what is on record. 0 or a negative errno with words. */
int control_open(struct control **control, const struct admin_options *options,
    struct app *app, struct record *record);
void control_close(struct control **control);

#endif
