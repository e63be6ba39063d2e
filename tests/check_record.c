/* What is kept of events and of lines, and how much of it. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "app/history.h"
#include "app/json.h"
#include "app/record.h"
#include "tests/suite.h"

/* ---- a history ---- */

static char seen[4096];

static bool see(const char *text, void *arg)
{
	int *room = arg;

	if (room && !(*room)--)
		return false;
	strcat(strcat(seen, text), " ");
	return true;
}

/* What is behind *after, whether some are lost. */
static bool read_on(struct history *history, uint64_t *after)
{
	bool lost;

	*seen = '\0';
	history_read(history, after, see, NULL, &lost);
	return lost;
}

static void add(struct history *history, const char *text)
{
	history_add(history, text, strlen(text));
}

START_TEST(texts_are_read_from_where_one_was)
{
	struct history *history = history_new(1000);
	uint64_t after = 0;
	int room = 1;
	bool lost;

	ck_assert(!read_on(history, &after));
	ck_assert_uint_eq(after, 0);
	add(history, "one");
	add(history, "two");
	ck_assert(!read_on(history, &after));
	ck_assert_str_eq(seen, "one two ");
	add(history, "three");
	ck_assert(!read_on(history, &after));
	ck_assert_str_eq(seen, "three ");
	ck_assert_uint_eq(after, 3);
	ck_assert(!read_on(history, &after));
	ck_assert_str_eq(seen, "");
	/* Piece by piece. */
	after = 0;
	history_read(history, &after, see, &room, &lost);
	ck_assert_str_eq(seen, "one ");
	ck_assert_uint_eq(after, 1);
	ck_assert(!lost);
	ck_assert(!read_on(history, &after));
	ck_assert_str_eq(seen, "two three ");
	/* From a number that is yet to come: of another one. */
	after = 99;
	ck_assert(!read_on(history, &after));
	ck_assert_str_eq(seen, "");
	ck_assert_uint_eq(after, 3);
	history_free(&history);
}
END_TEST

START_TEST(the_last_ones_can_be_had)
{
	struct history *history = history_new(1000);
	uint64_t after;

	ck_assert_uint_eq(history_last(history, 5), 0);
	for (int i = 0; i < 5; i++)
		add(history, "x");
	ck_assert_uint_eq(history_last(history, 2), 3);
	ck_assert_uint_eq(history_last(history, 0), 5);
	ck_assert_uint_eq(history_last(history, 5), 0);
	ck_assert_uint_eq(history_last(history, SIZE_MAX), 0);
	for (int i = 0; i < 500; i++)
		add(history, "y");
	/* What has gone is not lost to who begins. */
	after = history_last(history, SIZE_MAX);
	ck_assert_uint_gt(after, 5);
	ck_assert(!read_on(history, &after));
	ck_assert_uint_eq(after, 505);
	history_free(&history);
}
END_TEST

START_TEST(the_oldest_make_room_and_that_is_told)
{
	struct history *history = history_new(300);
	uint64_t after = 0;
	char text[16];

	for (int i = 1; i <= 100; i++) {
		snprintf(text, sizeof(text), "%d", i);
		add(history, text);
	}
	ck_assert(read_on(history, &after));
	ck_assert_uint_eq(after, 100);
	ck_assert_int_ne(strncmp(seen, "1 ", 2), 0);
	ck_assert_str_eq(seen + strlen(seen) - 7, "99 100 ");
	after = 99;
	ck_assert(!read_on(history, &after));
	ck_assert_str_eq(seen, "100 ");
	/* One that is larger than all of it takes its place, and goes. */
	history_add(history, seen, sizeof(seen));
	ck_assert(read_on(history, &after));
	ck_assert_uint_eq(after, 101);
	ck_assert_str_eq(seen, "");
	history_free(&history);
	history_free(&history);
}
END_TEST

START_TEST(what_there_is_no_memory_for_is_lost_and_told)
{
	struct history *history = history_new(1000);
	uint64_t after = 0;

	add(history, "one");
	fault_nth(FAULT_MEMORY, 1);
	add(history, "two");
	fault_none();
	add(history, "three");
	ck_assert(read_on(history, &after));
	ck_assert_str_eq(seen, "one three ");
	fault_nth(FAULT_MEMORY, 1);
	add(history, "four");
	fault_none();
	ck_assert(read_on(history, &after));
	ck_assert(!read_on(history, &after));
	ck_assert_uint_eq(after, 4);
	history_free(&history);
}
END_TEST

/* ---- a record ---- */

static size_t put_line(char *all, const json_t *value, const char *line)
{
	const char *text = json_text(value);

	if (json_bool_of(value, "lost"))
		return 0;
	ck_assert_msg(text != NULL, "%s", line);
	if (strlen(all) < 1000)
		strcat(strncat(all, text, 1000), "|");
	return strlen(text);
}

/* All lines, "|" behind each; how many bytes the texts are. */
static size_t lines_of(struct record *record, const char *server, char *all)
{
	struct record_reader reader = {.server = server};
	char text[RECORD_READ];
	size_t size, sum = 0;

	*all = '\0';
	record_begin(record, &reader, 0);
	while ((size = record_read(record, &reader, text, sizeof(text)))) {
		char *line = text;

		ck_assert_uint_le(size, sizeof(text));
		text[size - 1] = '\0';
		for (char *next; line; line = next) {
			json_t *value;

			next = strchr(line, '\n');
			if (next)
				*next++ = '\0';
			value = json_parse(line, strlen(line));
			sum += put_line(all, value, line);
			json_drop(&value);
		}
	}
	return sum;
}

static void ck_assert_lines(struct record *record, const char *server,
    const char *expected)
{
	char all[4096];

	lines_of(record, server, all);
	ck_assert_str_eq(all, expected);
}

START_TEST(pieces_become_lines)
{
	struct record *record = record_new();

	ck_assert_int_eq(json_need_library(), 0);
	ck_assert_lines(record, "a", "");
	record_print(record, "a", "one\ntwo\nth", 10);
	record_print(record, "b", "\n\nx\n", 4);
	record_print(record, "a", "ree", 3);
	ck_assert_lines(record, "a", "one|two|");
	record_print(record, "a", "\n", 1);
	ck_assert_lines(record, "a", "one|two|three|");
	ck_assert_lines(record, "b", "||x|");
	/* What has no end of a line has one all the same. */
	record_print(record, "c", "last", 4);
	record_print(record, "c", "", 0);
	record_print(record, "c", "", 0);
	record_print(record, "c", "n\0l\n", 4);
	ck_assert_lines(record, "c", "last|n?l|");
	record_print(record, "a", "\xff\x01\"\\\xc3\xa4\n", 7);
	ck_assert_lines(record, "a",
	    "one|two|three|\xef\xbf\xbd\x01\"\\\xc3\xa4|");
	record_free(&record);
	record_free(&record);
}
END_TEST

/* Around the longest that there is. */
START_TEST(a_line_that_is_too_long_is_cut)
{
	struct record *record = record_new();
	size_t size = (size_t)(RECORD_LINE + _i);
	char *text = malloc(size + 1);
	char all[4096];

	ck_assert_int_eq(json_need_library(), 0);
	memset(text, 'x', size);
	text[size] = '\n';
	record_print(record, "a", text, size + 1);
	record_print(record, "b", "next\n", 5);
	record_print(record, "a", "next\n", 5);
	ck_assert_uint_eq(lines_of(record, "a", all), size + 4);
	/* What is longest in JSON. */
	memset(text, 1, size);
	record_print(record, "c", text, size + 1);
	ck_assert_uint_eq(lines_of(record, "c", all), size);
	ck_assert_lines(record, "b", "next|");
	free(text);
	record_free(&record);
}
END_TEST

START_TEST(events_are_json)
{
	struct record *record = record_new();
	struct error err = {-EIO, "web", "no \"disk\"\n"};
	struct app_event event = {.type = APP_EVENT_SERVER_FAILED,
	    .state = APP_STATE_RUNNING,
	    .server = "web",
	    .pid = 7,
	    .error = &err};
	struct record_reader reader = {0};
	char text[RECORD_READ];
	json_t *one;
	size_t size;

	ck_assert_int_eq(json_need_library(), 0);
	record_event(record, &event);
	record_begin(record, &reader, 0);
	size = record_read(record, &reader, text, sizeof(text));
	ck_assert_uint_gt(size, 0);
	ck_assert_int_eq(text[size - 1], '\n');
	one = json_parse(text, size);
	ck_assert_str_eq(json_text_of(one, "event"), "failed");
	ck_assert_str_eq(json_text_of(one, "text"), "no \"disk\"\n");
	ck_assert_str_eq(json_text_of(one, "origin"), "web");
	ck_assert_int_eq(json_number_of(one, "pid"), 7);
	json_drop(&one);
	ck_assert_uint_eq(record_read(record, &reader, text, sizeof(text)), 0);
	record_free(&record);
}
END_TEST

enum { WRITERS = 3, PIECES = 3000 };

static void *write_main(void *arg)
{
	struct record *record = arg;
	const struct app_event event = {.type = APP_EVENT_READY};

	for (int i = 0; i < scale(PIECES); i++) {
		record_print(record, i % 2 ? "a" : "b", "some\nmore", 9);
		if (i % 16 == 0)
			record_event(record, &event);
	}
	return NULL;
}

static atomic_int news;

static void count_news(void *arg)
{
	(void)arg;
	news++;
}

START_TEST(many_write_while_one_reads)
{
	struct record *record = record_new();
	pthread_t threads[WRITERS];
	char all[4096];

	ck_assert_int_eq(json_need_library(), 0);
	record_on_news(record, count_news, NULL);
	for (int i = 0; i < WRITERS; i++)
		pthread_create(&threads[i], NULL, write_main, record);
	for (int i = 0; i < 20; i++)
		lines_of(record, "a", all);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_ge(news, scale(PIECES));
	record_free(&record);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("record");
	TCase *tcase;

	SUITE_ADD(suite, "history", texts_are_read_from_where_one_was,
	    the_last_ones_can_be_had, the_oldest_make_room_and_that_is_told,
	    what_there_is_no_memory_for_is_lost_and_told);
	SUITE_ADD(suite, "record", pieces_become_lines, events_are_json,
	    many_write_while_one_reads);
	tcase = suite_case(suite, "long lines");
	tcase_add_checked_fixture(tcase, suite_setup, suite_teardown);
	tcase_add_loop_test(tcase, a_line_that_is_too_long_is_cut, -1, 2);
	return suite_run(suite);
}
