/*
 * Tasks that wait for a thread: pushed under a lock of the owner's, taken by
 * anyone without.
 */
#ifndef CRATOS_TASKS_H
#define CRATOS_TASKS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <cratos/errgroup.h>

/* What one processor writes and another one reads is kept on lines apart. */
enum { LINE = 64 }; /* bytes */

struct task {
	task_fn *fn;
	void *arg;
	const char *name; /* NULL: it is the text */
	char text[sizeof(((struct error *)0)->origin)];
};

struct slot {
	alignas(LINE) _Atomic uint64_t turn; /* of its task, from 1; 0: empty */
	struct task task;
};

struct ring {
	struct ring
	    *_Atomic next; /* with it, nothing is pushed here any more */
	uint64_t end; /* with next: its first turn */
	uint64_t count; /* of slots, a power of two */
	struct slot *slots;
};

enum { FIRST_SLOTS = 8 };

struct tasks {
	/* of those who push, under their lock */
	alignas(
	    LINE) _Atomic uint64_t tail; /* the next turn; anyone may look */
	struct ring *last;
	uint64_t
	    used_from; /* the first turn whose slot in last was used before */
	/* of those who take */
	alignas(LINE) _Atomic uint64_t head; /* the next turn, ever growing */
	struct ring *_Atomic first;
	/* a ring to begin with, so that a small group needs no other memory */
	struct slot slots[FIRST_SLOTS];
	struct ring ring;
};

void tasks_init(struct tasks *tasks);

/* Nobody pushes or takes any more. */
void tasks_fini(struct tasks *tasks);

/* The slow half of tasks_next: the last ring is full. */
struct task *tasks_grow(struct tasks *tasks);

static inline struct slot *tasks_slot(struct ring *ring, uint64_t turn)
{
	return &ring->slots[turn & (ring->count - 1)];
}

/* With the lock: where the next task is written; NULL: no memory. */
static inline struct task *tasks_next(struct tasks *tasks)
{
	uint64_t tail =
	    atomic_load_explicit(&tasks->tail, memory_order_relaxed);
	struct slot *slot = tasks_slot(tasks->last, tail);

	if (atomic_load_explicit(&slot->turn, memory_order_acquire))
		return tasks_grow(tasks);
	return &slot->task;
}

/* With the lock: what was written there is pushed. */
static inline void tasks_push(struct tasks *tasks)
{
	uint64_t tail =
	    atomic_load_explicit(&tasks->tail, memory_order_relaxed);
	struct slot *slot = tasks_slot(tasks->last, tail);

	if (tail + 1 < tasks->used_from)
		atomic_init(&tasks_slot(tasks->last, tail + 1)->turn, 0);
	atomic_store_explicit(&slot->turn, tail, memory_order_release);
	atomic_store_explicit(&tasks->tail, tail + 1, memory_order_relaxed);
}

/* From any thread: takes the first task, false if there is none. */
bool tasks_take(struct tasks *tasks, struct task *task);

/* The same in two steps: the first task, which is taken if it still is that. */
struct claim {
	struct slot *slot;
	uint64_t turn;
};

bool tasks_first(struct tasks *tasks, struct claim *claim);
bool tasks_claim(struct tasks *tasks, const struct claim *claim,
    struct task *task);

/* Whether there is one, or was a moment ago, by its slot alone. */
static inline bool tasks_any(struct tasks *tasks)
{
	struct ring *ring =
	    atomic_load_explicit(&tasks->first, memory_order_acquire);
	uint64_t turn =
	    atomic_load_explicit(&tasks->head, memory_order_acquire);

	return atomic_load_explicit(&tasks_slot(ring, turn)->turn,
		   memory_order_relaxed) == turn ||
	       atomic_load_explicit(&ring->next, memory_order_relaxed);
}

/* With the lock: a copy of the first task, which stays; false: there is none. */
bool tasks_peek(struct tasks *tasks, struct task *task);

/* How many were taken, ever. */
static inline uint64_t tasks_taken(const struct tasks *tasks)
{
	return atomic_load_explicit(&tasks->head, memory_order_relaxed);
}

/* How many there are, or were a moment ago. */
static inline uint64_t tasks_count(const struct tasks *tasks)
{
	uint64_t head = tasks_taken(tasks);
	uint64_t tail =
	    atomic_load_explicit(&tasks->tail, memory_order_relaxed);

	return tail > head ? tail - head : 0;
}

/* Where a line begins in what malloc has given, of LINE bytes too much. */
static inline void *tasks_line(void *base)
{
	return (char *)base + (-(uintptr_t)base & (LINE - 1));
}

#endif
