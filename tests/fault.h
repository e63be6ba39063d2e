/*
 * Failures to order: of the calls that the library makes, and nobody else, the
 * nth fails, or each with a probability. And a count of the memory that it
 * holds. Safe from any thread.
 */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

enum fault {
	FAULT_THREAD, /* pthread_create: EAGAIN */
	FAULT_THREAD_MASK, /* pthread_attr_setsigmask_np: ENOMEM */
	FAULT_MEMORY, /* malloc, calloc, realloc: ENOMEM */
	FAULT_COUNT
};

/* The nth call from now on fails (n from 1), and those around it do not. */
void fault_nth(enum fault fault, int n);

/* The nth call from now on and all after it fail. */
void fault_from(enum fault fault, int n);

/* Each call fails with this probability; the same seed, the same sequence. */
void fault_probability(enum fault fault, double probability, unsigned seed);

/*
 * Each call that is going to fail calls fn(arg) before; from now until
 * fault_none.
 */
void fault_on_failing(void (*fn)(void *arg), void *arg);

/* No call fails any more. */
void fault_none(void);

/* The calls that failed since the last order was given. */
int fault_failed(enum fault fault);

/* All calls that were made and did not fail, since the process began. */
int fault_succeeded(enum fault fault);

/* The blocks of memory that are held now. */
long fault_blocks(void);

#endif
