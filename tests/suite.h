/* What every suite does alike: a TCase a behaviour, and nothing left behind. */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tests/event.h"
#include "tests/fault.h"
#include "tests/scale.h"

static int suite_fds_before;
static long suite_blocks_before;

static inline int suite_count(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int count = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

/* The threads of the pool that are there now, busy or not. */
static inline int suite_workers(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	char path[64], name[32];
	FILE *file;
	int count = 0;

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm",
		    entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file))
			count += !strcmp(name, "cratos-worker\n");
		fclose(file);
	}
	if (dir)
		closedir(dir);
	return count;
}

/* But for the one that each thread of the pool has. */
static inline long suite_blocks(void)
{
	return fault_blocks() - suite_workers();
}

static inline bool suite_blocks_are_few(void *most)
{
	return suite_blocks() <= *(long *)most;
}

static inline void suite_setup(void)
{
	suite_fds_before = suite_count("/proc/self/fd");
	suite_blocks_before = suite_blocks();
}

/*
 * After each test: no descriptor, child or memory that was not there before. A
 * thread may still be about to free what it ran; and the heap of timers is one
 * block that stays.
 */
static inline void suite_teardown(void)
{
	long most = suite_blocks_before + 1;

	fault_none();
	ck_assert_msg(event_poll(suite_blocks_are_few, &most),
	    "%ld blocks of memory leaked",
	    suite_blocks() - suite_blocks_before);
	ck_assert_int_eq(suite_count("/proc/self/fd"), suite_fds_before);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

static inline TCase *suite_case(Suite *suite, const char *behaviour)
{
	TCase *tcase = tcase_create(behaviour);

	tcase_set_timeout(tcase, SCALE_TIMEOUT_S);
	suite_add_tcase(suite, tcase);
	return tcase;
}

static inline void suite_add(Suite *suite, const char *behaviour,
    const TTest *const *tests, size_t count)
{
	TCase *tcase = suite_case(suite, behaviour);

	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
}

/* SUITE_ADD(suite, "behaviour", test, ...) */
#define SUITE_ADD(suite, behaviour, ...)                                 \
	suite_add(suite, behaviour, (const TTest *const[]){__VA_ARGS__}, \
	    sizeof((const TTest *const[]){__VA_ARGS__}) /                \
		sizeof(const TTest *))

static inline int suite_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
