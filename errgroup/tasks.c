/*
 * Tasks that wait for a thread.
 *
 * Design notes. Each task has a turn, a number that never comes again, and a
 * slot in a ring. Who pushes has a lock, fills the slot of the turn `tail`,
 * and says so by writing the turn into it. Who takes claims the turn `head`, if
 * its slot has that turn, by moving head; copies the task; and empties the slot.
 * Nothing else takes a task, and head moves by one: each task is taken once, in
 * order.
 *
 * A claim is sound: head never goes back, so if it still is the turn when it is
 * moved, it was all the while, and the slot that had that turn has it still.
 *
 * A slot that is not empty when its next turn comes means that the ring is full
 * (or that who takes was interrupted in his copying). Then a larger ring is
 * linked behind it, and nothing is pushed to the old one any more; who finds
 * its turns used up moves on. Rings are not freed while somebody may take, so
 * no pointer to one is ever stale; as each is larger than the last, the old
 * ones are less than the last.
 *
 * Memory orders: the turn is released when the task is written, and acquired
 * before it is copied; the empty slot is released after the copying and
 * acquired before it is written again. `first` is released by one who has seen
 * head reach the ring's end, so who acquires it sees no older head. A slot that
 * was never used is emptied before the turn of the one before is released, and
 * is looked at by who has acquired that turn, or the head that was moved past it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "errgroup/tasks.h"

enum { GROWTH = 4 };

static_assert(sizeof(struct slot) == LINE, "a slot is a line");
/* Only the slot of the next turn is ever looked at before it is written. */
static void begin(struct tasks *tasks, struct ring *ring)
{
	uint64_t tail = tasks->tail;

	atomic_init(&ring->next, NULL);
	atomic_init(&tasks_slot(ring, tail)->turn, 0);
	tasks->last = ring;
	tasks->used_from = tail + ring->count;
}

void tasks_init(struct tasks *tasks)
{
	atomic_init(&tasks->tail, 1);
	atomic_init(&tasks->head, 1);
	atomic_init(&tasks->first, &tasks->ring);
	tasks->ring.count = FIRST_SLOTS;
	tasks->ring.slots = tasks->slots;
	begin(tasks, &tasks->ring);
}

void tasks_fini(struct tasks *tasks)
{
	struct ring *ring = tasks->ring.next, *next;

	for (; ring; ring = next) {
		next = ring->next;
		free(ring);
	}
}

struct task *tasks_grow(struct tasks *tasks)
{
	struct ring *last = tasks->last, *ring;
	uint64_t tail = tasks->tail;
	uint64_t count =
	    last == &tasks->ring ? FIRST_SLOTS : GROWTH * last->count;

	ring = malloc(sizeof(*ring) + LINE + count * sizeof(ring->slots[0]));
	if (!ring)
		return NULL;
	ring->count = count;
	ring->slots = tasks_line(ring + 1);
	begin(tasks, ring);
	last->end = tail;
	atomic_store_explicit(&last->next, ring, memory_order_release);
	return &tasks_slot(ring, tail)->task;
}

static void copy(struct task *task, const struct task *from)
{
	if (from->name) {
		task->fn = from->fn;
		task->arg = from->arg;
		task->name = from->name;
	} else {
		*task = *from;
	}
}

bool tasks_first(struct tasks *tasks, struct claim *claim)
{
	for (;;) {
		struct ring *ring =
		    atomic_load_explicit(&tasks->first, memory_order_acquire);
		uint64_t turn =
		    atomic_load_explicit(&tasks->head, memory_order_acquire);
		struct slot *slot = tasks_slot(ring, turn);
		struct ring *next;

		if (atomic_load_explicit(&slot->turn, memory_order_acquire) ==
		    turn) {
			claim->slot = slot;
			claim->turn = turn;
			return true;
		}
		next = atomic_load_explicit(&ring->next, memory_order_acquire);
		if (next && turn >= ring->end)
			atomic_compare_exchange_strong_explicit(&tasks->first,
			    &ring, next, memory_order_acq_rel,
			    memory_order_relaxed);
		else if (turn == tasks_taken(tasks))
			return false;
	}
}

bool tasks_claim(struct tasks *tasks, const struct claim *claim,
    struct task *task)
{
	uint64_t turn = claim->turn;

	if (!atomic_compare_exchange_strong_explicit(&tasks->head, &turn,
		turn + 1, memory_order_seq_cst, memory_order_relaxed))
		return false;
	copy(task, &claim->slot->task);
	atomic_store_explicit(&claim->slot->turn, 0, memory_order_release);
	return true;
}

bool tasks_take(struct tasks *tasks, struct task *task)
{
	struct claim claim;

	while (tasks_first(tasks, &claim))
		if (tasks_claim(tasks, &claim, task))
			return true;
	return false;
}

/* Slots are written by who pushes, so under the lock this one stays as it is. */
bool tasks_peek(struct tasks *tasks, struct task *task)
{
	struct ring *ring = &tasks->ring;
	uint64_t turn = tasks_taken(tasks);

	if (turn == tasks->tail)
		return false;
	while (ring->next && turn >= ring->end)
		ring = ring->next;
	copy(task, &tasks_slot(ring, turn)->task);
	return true;
}
