/* Configuration without memory: each allocation fails once. */
#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cratos/config.h>

/* Sanitizers bring an allocator of their own, which cannot be told to fail. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_FAIL 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define CAN_FAIL 0
#endif
#endif
#ifndef CAN_FAIL
#define CAN_FAIL 1
#endif

/* Allocations until one fails, 0 for none; and those that are not freed. */
static long failing;
static long live;
static bool failed;

#if CAN_FAIL

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);
void __libc_free(void *memory);

static bool fails(void)
{
	if (failing > 0 && --failing == 0)
		failed = true;
	return failed;
}

void *malloc(size_t size)
{
	void *memory = fails() ? NULL : __libc_malloc(size);

	if (memory)
		live++;
	else
		errno = ENOMEM;
	return memory;
}

void *calloc(size_t n, size_t size)
{
	void *memory = fails() ? NULL : __libc_calloc(n, size);

	if (memory)
		live++;
	else
		errno = ENOMEM;
	return memory;
}

void *realloc(void *old, size_t size)
{
	void *memory = fails() ? NULL : __libc_realloc(old, size);

	if (!memory)
		errno = ENOMEM;
	else if (!old)
		live++;
	return memory;
}

void free(void *memory)
{
	if (memory)
		live--;
	__libc_free(memory);
}

#endif

struct own {
	int64_t count;
	const char *text;
	const char *const *list, *const *map;
};

static const struct config_field fields[] = {
    {.key = "text",
	.type = CONFIG_STRING,
	.offset = offsetof(struct own, text),
	.fallback = "x"},
    {.key = "list", .type = CONFIG_LIST, .offset = offsetof(struct own, list)},
    {.key = "map", .type = CONFIG_MAP, .offset = offsetof(struct own, map)},
    {.key = "count",
	.type = CONFIG_INT,
	.offset = offsetof(struct own, count),
	.min = 1},
    {0},
};
static const struct config_section sections[] = {
    {.name = "app", .fields = fields, .size = sizeof(struct own)},
    {.name = "own:",
	.fields = fields,
	.size = sizeof(struct own),
	.instances = "count",
	.number = "NUMBER"},
    {0},
};

/* Whether the allocator above is in use: valgrind replaces it. */
static bool can_fail(void)
{
	failing = 1;
	void *volatile memory = malloc(1);
	failing = 0;
	bool result = failed;
	failed = false;
	free(memory);
	return result;
}

/* Loads path with the n-th allocation failing, and all after it if lasting.
 * Returns whether there were so many. */
static bool load(const char *path, long n, int expected)
{
	struct config *config = (void *)&config;
	long before = live;

	failed = false;
	failing = n;
	int rc = config_load(path, sections, &config);
	failing = 0;
	bool reached = failed;
	failed = false;
	if (reached) {
		ck_assert_int_eq(rc, -ENOMEM);
		ck_assert_ptr_null(config);
	} else {
		ck_assert_int_eq(rc, expected);
		ck_assert_ptr_nonnull(config);
		config_free(&config);
	}
	ck_assert_int_eq(live, before);
	return reached;
}

static void fail_each(const char *text, int expected)
{
	char folder[] = "/tmp/config-memory-XXXXXX", main_path[64], path[64];
	long n = 1;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(main_path, sizeof(main_path), "%s/main.ini", folder);
	snprintf(path, sizeof(path), "%s/other.ini", folder);
	FILE *file = fopen(main_path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	ck_assert_int_eq(fclose(file), 0);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs("[own:other]\nlist = a b\n", file);
	ck_assert_int_eq(fclose(file), 0);
	if (can_fail()) {
		while (load(main_path, n, expected))
			n++;
		ck_assert_int_gt(n, 10);
	}
	unlink(main_path);
	unlink(path);
	rmdir(folder);
}

START_TEST(a_good_file_without_memory_is_enomem)
{
	char text[9000], *p = text;

	setenv("CONFIG_TEST_A", "a", 1);
	setenv("CONFIG_TEST_B", "20", 1);
	p = stpcpy(p, "[app]\ninclude = o*.ini\ntext = \"${CONFIG_TEST_A}\"\n"
		      "list = a b ${CONFIG_TEST_A}\nmap.A = b\nmap.C = d\n");
	for (int i = 0; i < 100; i++)
		p += sprintf(p, "[own:%d]\nmap.long = %040d\n", i, i);
	p = stpcpy(p, "[own:many]\ncount = ${CONFIG_TEST_B}\n"
		      "text = ${NUMBER} ${CONFIG_TEST_A}\n"
		      "map.A = ${NUMBER+1}\n");
	fail_each(text, 0);
}
END_TEST

START_TEST(a_bad_file_without_memory_is_enomem)
{
	fail_each("[app]\ninclude = o*.ini gone.ini\ntext = ${\nlst = a\n"
		  "[own:other]\n[wn]\n[own:a]\nlist = 'a\nmap = 1\n"
		  "[own:m]\ncount = 3\ntext = ${NUMBER+}\n"
		  "[own:n]\ncount = 3\n[own:n-2]\n",

	    -EINVAL);
}
END_TEST

START_TEST(refusing_without_memory_is_enomem)
{
	struct config *config;

	ck_assert_int_eq(config_parse("t", "", 0, sections, &config), 0);
	if (can_fail()) {
		failing = 1;
		int rc = config_refuse(config, "app", 0, "text", "bad");
		failing = 0;
		failed = false;
		ck_assert_int_eq(rc, -ENOMEM);
	}
	config_free(&config);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config without memory");
	TCase *tc = tcase_create("memory");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, a_good_file_without_memory_is_enomem);
	tcase_add_test(tc, a_bad_file_without_memory_is_enomem);
	tcase_add_test(tc, refusing_without_memory_is_enomem);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int count = srunner_ntests_failed(runner);
	srunner_free(runner);
	return count ? 1 : 0;
}
