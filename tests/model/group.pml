/*
 * A model of a group (errgroup/errgroup.c), for spin: goers at a limit, threads
 * that run tasks, and two that wait, one of them in the midst of it.
 *
 * A step is one access to what is shared without the lock. That there are
 * threads enough, and that somebody looks at the queue, is what pool.pml shows.
 * But for the first FREE, a task ends only when as many as the limit lets, or
 * all that are left, have begun: so each slot that frees has to be used.
 *
 * It ends in the wrong place, or an assertion fails, if a wake-up is lost, wait
 * returns too early, or the group is touched when it is free. Each BREAK_*
 * leaves out one thing that matters; then spin must find an error.
 */
#ifndef GOERS
#define GOERS 2
#endif
#ifndef EACH
#define EACH 2
#endif
#ifndef LIMIT
#define LIMIT 2
#endif
#ifndef FREE
#define FREE 1
#endif
#define TASKS (GOERS * EACH)

bool locked;
byte started, idle_at, ended, head; /* tasks: queued are those from head on */
byte wanted, asleep, told, waiting, visitors;
byte slots, rounds; /* what is slept on */
bool overdue;
bool is_done[TASKS];
byte begun, done, gone, waited;
bool freed;

inline lock() { atomic { !locked -> locked = true; assert(!freed) } }
inline unlock() { locked = false }

/* With the lock held, and then started does not change. */
inline tell_goer()
{
	if
	:: asleep > 0 && started - ended < LIMIT ->
		asleep--;
		told++;
		slots++
	:: else
	fi
}

inline end_task(task)
{
	atomic { begun++; free = begun <= FREE };
	(free || begun - done == LIMIT || begun == TASKS);
#ifdef BREAK_END
	a = asleep;
#endif
	atomic { is_done[task] = true; done++; ended++; e = ended };
#ifndef BREAK_END
	atomic { a = asleep; assert(!freed) };
#endif
	if
	:: a > 0 ->
		if
		:: a == wanted ->
			lock();
			atomic { tell_goer() };
			unlock()
		:: else
		fi
	:: else
	fi;
	if
	:: atomic { e == started -> assert(!freed) };
		if
		:: waiting > 0 -> rounds++
		:: else
		fi
	:: else
	fi
}

active [LIMIT] proctype worker()
{
	byte task, a, e;
	bool free;

end_none:
	do
	:: atomic { head < started && !freed ->
			task = head;
			head++;
			visitors++
		};
		end_task(task);
		atomic { assert(!freed); visitors-- }
	od
}

/* The pool's look at the queue. */
active proctype look()
{
end_look:
	do
	:: atomic { overdue && !locked -> overdue = false; tell_goer() }
	od
}

active [GOERS] proctype goer()
{
	byte n, seen;

	for (n : 1 .. EACH) {
		lock();
		if
		:: started - ended >= LIMIT -> goto at_limit
		:: else -> goto have_slot
		fi;
at_limit:
		wanted++;
again:
		if
		:: started - ended < LIMIT -> goto leave
		:: else
		fi;
		/* awake for a moment */
		if
		:: wanted - asleep == 1 ->
			unlock();
			lock();
			if
			:: started - ended < LIMIT -> goto leave
			:: else
			fi
		:: skip
		fi;
		asleep++;
#ifndef BREAK_SLEEP
		if
		:: started - ended < LIMIT -> asleep--; goto again
		:: else
		fi;
#endif
sleep:
#ifdef BREAK_SEEN
		unlock();
		seen = slots;
#else
		seen = slots;
		unlock();
#endif
		(slots != seen);
		lock();
		if
		:: told == 0 -> goto sleep
		:: else -> told--
		fi;
		goto again;
leave:
		wanted--;
have_slot:
		if
		:: started > 0 && started == ended ->
			idle_at = started;
			if
			:: waiting > 0 -> rounds++
			:: else
			fi
		:: else
		fi;
		started++; /* and it is queued */
#ifndef BREAK_LEAVE
		if
		:: asleep > 0 ->
			if
			:: started - ended < LIMIT ->
				if
				:: overdue = true
				:: atomic { tell_goer() }
				fi
			:: else
			fi
		:: else
		fi;
#endif
		unlock()
	};
	gone++
}

/* Whether one of the first so many may not have ended. */
inline look_busy(first)
{
#ifdef BREAK_ORDER
	s = started;
	e = ended;
#else
	e = ended;
	s = started;
#endif
	busy = s != e && idle_at < first
}

inline wait()
{
	first = started;
	do
	:: helps ->
		/* the first of the queue, if there is one, and later it still is */
		atomic { t = head; helps = head < started };
		look_busy(first);
		if
		:: !busy -> break
		:: else
		fi;
		if
		:: !helps
		:: helps ->
			atomic {
				helps = t == head;
#ifdef BREAK_HELP
				t = head;
				helps = head < started;
#endif
				if
				:: helps -> head++; assert(idle_at < first)
				:: else
				fi
			};
			if
			:: helps -> end_task(t)
			:: else
			fi
		fi;
		helps = true;
		if
		:: helps = false
		:: skip
		fi
	:: !helps ->
		look_busy(first);
		if
		:: !busy -> break
		:: else
		fi;
		seen = rounds;
#ifndef BREAK_WAIT
		waiting++;
		look_busy(first);
#else
		look_busy(first);
		waiting++;
#endif
		if
		:: busy -> (rounds != seen)
		:: else
		fi;
		waiting--
	od;
	atomic {
		n = 0;
		do
		:: n < first -> assert(is_done[n]); n++
		:: else -> break
		od;
		n = 0
	};
	waited++
}

#ifdef MIDST
/* Waits at any time, and helps. */
active proctype waiter()
{
	byte first, seen, s, e, a, t, n;
	bool busy, free, helps = true;

	wait()
}
#else
active proctype nobody() { waited++ }
#endif

active proctype owner()
{
	byte first, seen, s, e, a, t, n;
	bool busy, free, helps;

	(gone == GOERS);
	wait();
	(waited == 2);
	assert(done == TASKS);
#ifndef BREAK_VISIT
	(visitors == 0);
#endif
	freed = true
}
