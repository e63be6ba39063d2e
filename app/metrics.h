/* The metrics of an app, in the text formats of Prometheus and OpenMetrics. */
#ifndef CRATOS_APP_METRICS_H
#define CRATOS_APP_METRICS_H

#include <stdbool.h>
#include <stdio.h>

#include <cratos/app.h>

void metrics_write(FILE *out, const struct app *app,
    const struct app_status *status, bool open);

#endif
