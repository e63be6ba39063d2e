/* An app that has nothing to do does nothing. */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "tests/app_kit.h"
#include "tests/app_thread.h"

/* What threads have done so far: went to sleep, were put aside, ran. */
struct toil {
	size_t threads;
	unsigned long switches, ticks;
};

/* The library's, or app_run's: a sanitizer may have one of its own. */
static bool is_of_app(const char *tid)
{
	char path[64 + NAME_MAX], name[32] = "";
	FILE *in;

	snprintf(path, sizeof(path), "/proc/self/task/%s/comm", tid);
	in = fopen(path, "r");
	if (in && !fgets(name, sizeof(name), in))
		*name = '\0';
	if (in)
		fclose(in);
	return !strncmp(name, "cratos-", 7) || !strcmp(name, "app_run\n");
}

static void add_file(const char *tid, const char *file, struct toil *toil)
{
	char path[64 + NAME_MAX], line[1024];
	unsigned long count, more;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/self/task/%s/%s", tid, file);
	in = fopen(path, "r");
	while (in && fgets(line, sizeof(line), in)) {
		const char *end = strrchr(line, ')');

		if (sscanf(line, "voluntary_ctxt_switches: %lu", &count) == 1 ||
		    sscanf(line, "nonvoluntary_ctxt_switches: %lu", &count) ==
			1)
			toil->switches += count;
		else if (end &&
			 sscanf(end,
			     ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
			     "%lu %lu",
			     &count, &more) == 2)
			toil->ticks += count + more;
	}
	if (in)
		fclose(in);
}

static struct toil look_at_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct toil toil = {0};
	struct dirent *entry;

	ck_assert(tasks);
	while ((entry = readdir(tasks))) {
		if (*entry->d_name == '.' || !is_of_app(entry->d_name))
			continue;
		toil.threads++;
		add_file(entry->d_name, "status", &toil);
		add_file(entry->d_name, "stat", &toil);
	}
	closedir(tasks);
	return toil;
}

static bool is_idle(void *unused)
{
	struct toil before = look_at_threads(), after;

	(void)unused;
	kit_pause_ms(500);
	after = look_at_threads();
	return before.threads == after.threads &&
	       before.switches == after.switches && before.ticks == after.ticks;
}

static void ten_servers_up(void)
{
	static struct probe probes[10];
	static char names[10][8];

	options.on_event = run_event;
	app_make();
	for (int i = 0; i < 10; i++) {
		snprintf(names[i], sizeof(names[i]), "s%d", i);
		probes[i] =
		    (struct probe)PROBE(.name = names[i], .blocks = i % 2 == 0);
		add_probe(&probes[i]);
	}
	run_up();
	ck_assert_int_eq(pthread_setname_np(run_of.thread, "app_run"), 0);
}

/*
 * It may take a while until all have gone to sleep, and threads that are of no
 * use leave; but there comes half a second in which no thread does anything.
 */
START_TEST(an_idle_app_uses_no_time_and_wakes_no_thread)
{
	ten_servers_up();
	ck_assert_uint_gt(look_at_threads().threads, 5);
	ck_assert_uint_gt(look_at_threads().switches, 0);
	ck_assert(event_poll(is_idle, NULL));
	ck_assert_int_eq(run_stop(), 0);
	app_free(&app);
}
END_TEST

static int64_t us_of(const struct timeval *time)
{
	return time->tv_sec * INT64_C(1000000) + time->tv_usec;
}

/* Of all threads there were but this one, those that have left included. */
static void look_at_process(long *switches, int64_t *cpu_us)
{
	struct rusage all, own;

	ck_assert_int_eq(getrusage(RUSAGE_SELF, &all), 0);
	ck_assert_int_eq(getrusage(RUSAGE_THREAD, &own), 0);
	*switches = all.ru_nvcsw + all.ru_nivcsw - own.ru_nvcsw - own.ru_nivcsw;
	*cpu_us = us_of(&all.ru_utime) + us_of(&all.ru_stime) -
		  us_of(&own.ru_utime) - us_of(&own.ru_stime);
}

enum { A_FEW = 4 }; /* the last of what came before */

/*
 * In CRATOS_IDLE_S seconds (1 unless set) from when it has come to rest, the
 * whole process goes without one tick of a processor. The threads that are of
 * no use wake once, to leave.
 */
START_TEST(an_app_that_idles_for_long_wakes_a_thread_to_leave_at_most)
{
	const char *text = getenv("CRATOS_IDLE_S");
	int idle_s = text && *text ? atoi(text) : 1;
	struct toil before, after;
	long switches_before, switches;
	int64_t us_before, us, tick_us = 1000000 / sysconf(_SC_CLK_TCK);

	ten_servers_up();
	ck_assert(event_poll(is_idle, NULL));
	before = look_at_threads();
	look_at_process(&switches_before, &us_before);
	kit_pause_ms(1000 * idle_s);
	look_at_process(&switches, &us);
	after = look_at_threads();
	switches -= switches_before;
	us -= us_before;
	printf("%d s idle: %zu threads, then %zu; %ld switches, %ld us\n",
	    idle_s, before.threads, after.threads, switches, (long)us);
	fflush(stdout);
	ck_assert_uint_le(after.threads, before.threads);
	ck_assert_uint_le(after.ticks, before.ticks);
	if (scale_slowdown() == 1) { /* a tool has threads of its own */
		ck_assert_int_lt(us, tick_us);
		ck_assert_int_le(switches,
		    A_FEW + 2 * (long)(before.threads - after.threads));
	}
	ck_assert_int_eq(run_stop(), 0);
	app_free(&app);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("app_idle");

	SUITE_ADD(suite, "idle", an_idle_app_uses_no_time_and_wakes_no_thread,
	    an_app_that_idles_for_long_wakes_a_thread_to_leave_at_most);
	return suite_run(suite);
}
