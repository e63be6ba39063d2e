/*
 * Metrics, by the names that others use: those of the process as Prometheus'
 * client libraries have them, a state as one sample for each state there is (1
 * for the one that it is in), durations in seconds.
 *
 * The two formats differ in little: OpenMetrics has "# EOF" at the end, counters
 * without _total in their heads, and an info type.
 */
#include <dirent.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "app/metrics.h"

enum { SERVER_STATES = SERVER_LOST + 1, APP_STATES = APP_STATE_DONE + 1 };

enum type { COUNTER, GAUGE, INFO };

struct metrics {
	FILE *out;
	bool open;
};

static void head(const struct metrics *metrics, const char *name,
    enum type type, const char *help)
{
	static const char *const names[] = {"counter", "gauge", "info"};
	bool open = metrics->open;
	int length = (int)strlen(name);

	if (open && type == COUNTER)
		length -= (int)strlen("_total");
	if (open && type == INFO)
		length -= (int)strlen("_info");
	fprintf(metrics->out, "# HELP %.*s %s\n", length, name, help);
	fprintf(metrics->out, "# TYPE %.*s %s\n", length, name,
	    !open && type == INFO ? "gauge" : names[type]);
}

static void one(const struct metrics *metrics, const char *name, enum type type,
    const char *help, double value)
{
	head(metrics, name, type, help);
	fprintf(metrics->out, "%s %.15g\n", name, value);
}

/* As a label's value has it. */
static void write_value(FILE *out, const char *text)
{
	for (; *text; text++)
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else
			fputc(*text, out);
}

static void write_label(FILE *out, const char *before, const char *name,
    const char *value)
{
	fprintf(out, "%s%s=\"", before, name);
	write_value(out, value);
	fputc('"', out);
}

/* ---- the process ---- */

/* The numbers of /proc/self/stat behind the name, the first being the state. */
static bool read_stat(unsigned long long fields[static 22])
{
	char line[1024], *at;
	FILE *file = fopen("/proc/self/stat", "re");
	bool got = file && fgets(line, sizeof(line), file);

	if (file)
		fclose(file);
	at = got ? strrchr(line, ')') : NULL;
	if (!at || strlen(at) < 4)
		return false;
	at += 3; /* ") S" */
	for (int i = 1; i < 22; i++)
		fields[i] = strtoull(at, &at, 10);
	return true;
}

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static size_t count_entries(const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	size_t count = 0;

	while (dir && (entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return count;
}

static void write_process(const struct metrics *metrics)
{
	/* Behind the state: 17 threads, 19 start, 20 and 21 memory. */
	enum { THREADS = 17, START = 19, VIRTUAL = 20, RESIDENT = 21 };
	unsigned long long stat[22] = {0};
	double ticks = (double)sysconf(_SC_CLK_TCK);
	struct rlimit files;

	one(metrics, "process_cpu_seconds_total", COUNTER,
	    "Total user and system CPU time spent in seconds",
	    now(CLOCK_PROCESS_CPUTIME_ID));
	/* But the one that reads them. */
	one(metrics, "process_open_fds", GAUGE,
	    "Number of open file descriptors",
	    (double)count_entries("/proc/self/fd") - 1);
	if (!getrlimit(RLIMIT_NOFILE, &files))
		one(metrics, "process_max_fds", GAUGE,
		    "Maximum number of open file descriptors",
		    (double)files.rlim_cur);
	if (!read_stat(stat))
		return;
	one(metrics, "process_virtual_memory_bytes", GAUGE,
	    "Virtual memory size in bytes", (double)stat[VIRTUAL]);
	one(metrics, "process_resident_memory_bytes", GAUGE,
	    "Resident memory size in bytes",
	    (double)stat[RESIDENT] * (double)sysconf(_SC_PAGESIZE));
	one(metrics, "process_threads", GAUGE, "Number of threads",
	    (double)stat[THREADS]);
	one(metrics, "process_start_time_seconds", GAUGE,
	    "Start time of the process since unix epoch in seconds",
	    now(CLOCK_REALTIME) - now(CLOCK_BOOTTIME) +
		(double)stat[START] / ticks);
}

/* ---- the app ---- */

static void write_app(const struct metrics *metrics, const struct app *app,
    const struct app_status *status)
{
	FILE *out = metrics->out;

	head(metrics, "cratos_build_info", INFO, "What cratos was built as");
	write_label(out, "cratos_build_info{", "version", CRATOS_VERSION);
	fputs("} 1\n", out);
	head(metrics, "cratos_app_info", INFO, "What the app is");
	write_label(out, "cratos_app_info{", "id", app_id(app));
	write_label(out, ",", "name", app_name(app));
	write_label(out, ",", "version", app_version(app));
	fputs("} 1\n", out);
	one(metrics, "cratos_app_ready", GAUGE,
	    "Whether all servers are ready, and nobody has asked it to stop",
	    status->ready);
	head(metrics, "cratos_app_state", GAUGE,
	    "Whether the app is in this state");
	for (int i = 0; i < APP_STATES; i++) {
		write_label(out, "cratos_app_state{", "state",
		    app_state_name((enum app_state)i));
		fprintf(out, "} %d\n", (int)status->state == i);
	}
	one(metrics, "cratos_app_reloads_total", COUNTER,
	    "How many reloads were put in force", status->reloads);
	one(metrics, "cratos_app_reload_refused", GAUGE,
	    "Whether the last reload was refused",
	    status->reload_error.code != 0);
}

/* ---- its servers ---- */

static void write_states(const struct metrics *metrics,
    const struct app_status *status)
{
	head(metrics, "cratos_server_state", GAUGE,
	    "Whether the server is in this state");
	for (size_t i = 0; i < status->server_count; i++)
		for (int n = 0; n < SERVER_STATES; n++) {
			write_label(metrics->out, "cratos_server_state{",
			    "server", status->servers[i].name);
			write_label(metrics->out, ",", "state",
			    server_state_name((enum server_state)n));
			fprintf(metrics->out, "} %d\n",
			    (int)status->servers[i].state == n);
		}
}

static double ready_of(const struct server_status *server)
{
	return server->state == SERVER_READY || server->state == SERVER_UP;
}

static double restarts_of(const struct server_status *server)
{
	return server->restarts;
}

/* Less than 0: not known. */
static double start_of(const struct server_status *server)
{
	return (double)server->start_ms / 1000;
}

static double stop_of(const struct server_status *server)
{
	return (double)server->stop_ms / 1000;
}

static double silent_of(const struct server_status *server)
{
	return server->silent;
}

static void write_each(const struct metrics *metrics,
    const struct app_status *status, const char *name, enum type type,
    const char *help, double (*value)(const struct server_status *server))
{
	head(metrics, name, type, help);
	for (size_t i = 0; i < status->server_count; i++) {
		double number = value(&status->servers[i]);

		if (number < 0)
			continue;
		fprintf(metrics->out, "%s", name);
		write_label(metrics->out, "{", "server",
		    status->servers[i].name);
		fprintf(metrics->out, "} %.15g\n", number);
	}
}

static void write_servers(const struct metrics *metrics,
    const struct app_status *status)
{
	write_states(metrics, status);
	write_each(metrics, status, "cratos_server_ready", GAUGE,
	    "Whether the server is ready", ready_of);
	write_each(metrics, status, "cratos_server_restarts_total", COUNTER,
	    "How often the server was started again", restarts_of);
	write_each(metrics, status, "cratos_server_start_duration_seconds",
	    GAUGE, "How long its last start took until it was ready", start_of);
	write_each(metrics, status, "cratos_server_stop_duration_seconds",
	    GAUGE, "How long its last stop took", stop_of);
	write_each(metrics, status, "cratos_server_heartbeat_missed", GAUGE,
	    "Whether it does not keep the heartbeat that it promised",
	    silent_of);
}

void metrics_write(FILE *out, const struct app *app,
    const struct app_status *status, bool open)
{
	const struct metrics metrics = {out, open};
	/* Numbers with a point, whatever the program's language is. */
	locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
	locale_t before = plain ? uselocale(plain) : (locale_t)0;

	write_process(&metrics);
	write_app(&metrics, app, status);
	write_servers(&metrics, status);
	if (open)
		fputs("# EOF\n", out);
	if (plain) {
		uselocale(before);
		freelocale(plain);
	}
}
