/* Errors: the words that a thread leaves behind a code. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <cratos/errgroup.h>

#include "tests/suite.h"

/* G17 */
START_TEST(error_set_returns_the_code_it_was_given)
{
	ck_assert_int_eq(error_set(-EIO, "disk %d", 7), -EIO);
	ck_assert_int_eq(error_set(0, "nothing"), 0);
}
END_TEST

/* G17 */
START_TEST(error_of_the_code_that_was_set_has_its_words_and_no_origin)
{
	struct error err;

	error_set(-EIO, "disk %d of %s", 7, "nine");
	err = error_of(-EIO);
	ck_assert_int_eq(err.code, -EIO);
	ck_assert_str_eq(err.text, "disk 7 of nine");
	ck_assert_str_eq(err.origin, "");
}
END_TEST

/* G17 */
START_TEST(error_of_a_code_that_was_never_set_has_the_codes_own_words)
{
	struct error err = error_of(-ENOENT);

	ck_assert_int_eq(err.code, -ENOENT);
	ck_assert_str_eq(err.text, strerror(ENOENT));
	ck_assert_str_eq(err.origin, "");
}
END_TEST

/* G17 */
START_TEST(error_of_another_code_than_was_set_has_the_codes_own_words)
{
	struct error err;

	error_set(-EIO, "the disk");
	err = error_of(-ENOENT);
	ck_assert_int_eq(err.code, -ENOENT);
	ck_assert_str_eq(err.text, strerror(ENOENT));
}
END_TEST

/* G17 */
START_TEST(error_of_an_unknown_code_still_has_words)
{
	struct error err = error_of(-99999);

	ck_assert_int_eq(err.code, -99999);
	ck_assert_str_ne(err.text, "");
}
END_TEST

/* G18 */
START_TEST(error_of_success_is_all_zeros)
{
	static const struct error none;
	struct error err;

	error_set(-EIO, "the disk");
	err = error_of(0);
	ck_assert_mem_eq(&err, &none, sizeof(err));
}
END_TEST

/* G17 */
START_TEST(the_last_error_set_is_the_one_that_holds)
{
	error_set(-EIO, "first");
	error_set(-ENOENT, "second");
	ck_assert_str_eq(error_of(-ENOENT).text, "second");
	ck_assert_str_eq(error_of(-EIO).text, strerror(EIO));
	error_set(-EIO, "third");
	ck_assert_str_eq(error_of(-EIO).text, "third");
}
END_TEST

/* G17 */
START_TEST(error_set_keeps_errno_and_knows_percent_m)
{
	errno = EADDRINUSE;
	error_set(-errno, "bind: %m");
	ck_assert_int_eq(errno, EADDRINUSE);
	ck_assert_str_eq(error_of(-EADDRINUSE).text,
	    "bind: Address already in use");
}
END_TEST

/* G17 */
START_TEST(a_text_that_is_too_long_is_cut_to_fit)
{
	char text[1000];
	struct error err;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(-EIO, "%s", text);
	err = error_of(-EIO);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	ck_assert_mem_eq(err.text, text, sizeof(err.text) - 1);
	ck_assert_str_eq(err.origin, "");
}
END_TEST

static void *error_of_eio(void *arg)
{
	struct error *err = arg;

	err[0] = error_of(-EIO);
	error_set(-EIO, "of the other thread");
	err[1] = error_of(-EIO);
	return NULL;
}

/* G17 */
START_TEST(each_thread_has_words_of_its_own)
{
	struct error err[2];
	pthread_t thread;

	error_set(-EIO, "of this thread");
	ck_assert_int_eq(pthread_create(&thread, NULL, error_of_eio, err), 0);
	pthread_join(thread, NULL);
	ck_assert_str_eq(err[0].text, strerror(EIO));
	ck_assert_str_eq(err[1].text, "of the other thread");
	ck_assert_str_eq(error_of(-EIO).text, "of this thread");
}
END_TEST

static void *error_without_memory(void *arg)
{
	struct error *err = arg;

	fault_from(FAULT_MEMORY, 1);
	error_set(-EIO, "there is no room for this");
	err[0] = error_of(-EIO);
	fault_none();
	error_set(-EIO, "there is for this");
	err[1] = error_of(-EIO);
	return NULL;
}

/* G17 */
START_TEST(without_memory_a_thread_of_the_program_has_the_codes_own_words)
{
	struct error err[2];
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, error_without_memory,
			     err),
	    0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(err[0].code, -EIO);
	ck_assert_str_eq(err[0].text, strerror(EIO));
	ck_assert_str_eq(err[1].text, "there is for this");
}
END_TEST

static int fail_without_memory(struct context *ctx, void *arg)
{
	(void)ctx, (void)arg;
	fault_from(FAULT_MEMORY, 1);
	return error_set(-EIO, "of a task");
}

/* G17: nothing is allocated on a failure path */
START_TEST(a_task_and_the_first_thread_have_their_words_without_memory)
{
	struct errgroup *group = errgroup_new();
	struct error err;

	ck_assert_int_eq(errgroup_go(group, fail_without_memory, NULL), 0);
	ck_assert_int_eq(errgroup_wait(group, &err), -EIO);
	ck_assert_str_eq(err.text, "of a task");
	error_set(-EPERM, "of the first thread");
	ck_assert_str_eq(error_of(-EPERM).text, "of the first thread");
	ck_assert_int_eq(fault_failed(FAULT_MEMORY), 0);
	fault_none();
	errgroup_free(&group);
}
END_TEST

/* C25 */
START_TEST(a_positive_code_is_a_programmer_error)
{
	error_set(EIO, "positive");
}
END_TEST

static Suite *error_suite(void)
{
	Suite *suite = suite_create("error");
	TCase *aborts = suite_case(suite, "programmer errors");

	SUITE_ADD(suite, "words", error_set_returns_the_code_it_was_given,
	    error_of_the_code_that_was_set_has_its_words_and_no_origin,
	    the_last_error_set_is_the_one_that_holds,
	    error_set_keeps_errno_and_knows_percent_m,
	    a_text_that_is_too_long_is_cut_to_fit,
	    each_thread_has_words_of_its_own,
	    without_memory_a_thread_of_the_program_has_the_codes_own_words,
	    a_task_and_the_first_thread_have_their_words_without_memory);
	SUITE_ADD(suite, "the code's own words",
	    error_of_a_code_that_was_never_set_has_the_codes_own_words,
	    error_of_another_code_than_was_set_has_the_codes_own_words,
	    error_of_an_unknown_code_still_has_words,
	    error_of_success_is_all_zeros);
	tcase_add_test_raise_signal(aborts,
	    a_positive_code_is_a_programmer_error, SIGABRT);
	return suite;
}

int main(void)
{
	return suite_run(error_suite());
}
