/*
 * A model of the pool and of a group (errgroup/worker.c, errgroup/errgroup.c),
 * for spin: every order of their steps, with a few tasks and threads.
 *
 * A step is what is done in one hold of the locks, so it is atomic here. What
 * waits for a point in time may go on at any moment; what sleeps until it is
 * woken may not. But for the first FREE, a task ends only when as many as the
 * limit lets, or all that are left, have begun: so each slot that frees has to be used, and each task
 * needs a thread whatever the others do. That a thread cannot be made happens
 * FAILURES times.
 *
 * It ends in the wrong place, or an assertion fails, if a task is lost, a
 * wake-up is lost, or wait returns too early. Each BREAK_* leaves out one thing
 * that matters; then spin must find an error.
 */
#ifndef TASKS
#define TASKS 3
#endif
#ifndef LIMIT
#define LIMIT 3
#endif
#ifndef THREADS
#define THREADS 6
#endif
#ifndef FREE
#define FREE 0
#endif
#ifndef FAILURES
#define FAILURES 0
#endif
#define NONE 255

/* the pool */
byte watcher = NONE;
bool coming;
bool idle[THREADS], made[THREADS];
byte claims; /* workers on their way back to a job */
byte failures;

/* the group, and its queue */
bool listed;
byte queued, busy, wanted, sleeping;
bool overdue;
byte slots, rounds; /* what is slept on */
bool waiting;

byte begun, done;

/* An idle worker becomes the watcher; false if there is none. */
inline appoint_idle(ok)
{
	ok = false;
	i = 0;
	do
	:: i < THREADS && idle[i] ->
		idle[i] = false;
		watcher = i;
		ok = true;
		break
	:: i < THREADS && !idle[i] -> i++
	:: i >= THREADS -> break
	od;
	i = 0
}

inline unlist()
{
#ifndef BREAK_OVERDUE
	if
	:: overdue -> slots++
	:: else
	fi;
	overdue = false;
#endif
	listed = false
}

/* Makes a worker, or fails. The lock is not held. */
inline make_thread(ok)
{
	atomic {
		if
		:: failures < FAILURES -> failures++; ok = false
		:: ok = true
		fi;
		if
		:: ok ->
			i = 0;
			do
			:: i < THREADS && made[i] -> i++
			:: else -> break
			od;
			assert(i < THREADS); /* the bound is large enough */
			made[i] = true;
			i = 0
		:: else
		fi
	}
}

/* What a worker does that has nothing to do. */
inline rest()
{
	if
	:: watcher == NONE && !coming && listed -> watcher = me
	:: else -> idle[me] = true
	fi
}

inline leave(next)
{
	atomic {
		next = false;
		if
		:: queued > 0 -> queued--; next = true
		:: else
		fi;
		busy--;
		done++;
		if
		:: wanted > 0 && sleeping > 0 ->
			if
			:: next && queued > 0 -> overdue = true
			:: else -> slots++
			fi
		:: else
		fi;
		if
		:: busy == 0 -> rounds++
		:: else
		fi
	}
}

inline do_task()
{
	atomic { begun++; free = begun <= FREE };
	(free || begun - done == LIMIT || begun == TASKS)
}

active [THREADS] proctype worker()
{
	byte me = _pid, i;
	bool job, ok, last, free;

end_gone:
	atomic { made[me] -> coming = false; rest() };
end_idle:
	if
	:: atomic { watcher == me -> skip }
	:: atomic { idle[me] -> idle[me] = false; made[me] = false };
		goto end_gone /* unused for long */
	fi;
watch:
	job = false;
	last = false;
	atomic {
		if
		:: listed && queued == 0 -> unlist()
		:: listed && queued > 0 && overdue -> slots++; overdue = false
		:: else
		fi;
		if
#ifdef BREAK_DUTY
		:: !listed -> goto off_duty
#else
		:: !listed -> watcher = NONE; rest() /* off duty */
#endif
		:: !listed -> skip
#ifdef BREAK_LAST
		:: listed && queued == 1 -> last = true
#else
		:: listed && queued == 1 ->
			queued--;
			watcher = NONE;
			job = true;
			unlist()
#endif
		:: listed && queued > 1 && queued <= claims -> skip
		:: listed && queued > 1 && queued > claims ->
#ifdef BREAK_SUCCESSOR
			queued--; watcher = NONE; job = true
#else
			watcher = NONE;
			appoint_idle(ok);
			if
			:: ok -> queued--; job = true
			:: else -> coming = true; claims++
			fi
#endif
		fi
	};
#ifdef BREAK_LAST
	atomic {
		if
		:: last && queued > 0 ->
			queued--;
			watcher = NONE;
			job = true;
			if
			:: queued == 0 -> unlist()
			:: else
			fi
		:: else
		fi
	};
#endif
	if
	:: job -> goto run_it
	:: !job && idle[me] -> goto end_idle
	:: !job && watcher == me -> goto watch
	:: else
	fi;
	make_thread(ok);
	atomic {
		claims--;
		if
		:: !ok -> coming = false;
			if
			:: watcher == NONE -> watcher = me
			:: else -> rest()
			fi
		:: ok && queued > 0 && listed ->
			queued--;
			job = true;
			if
			:: queued == 0 -> unlist()
			:: else
			fi
		:: else -> rest()
		fi
	};
	if
	:: job -> goto run_it
	:: !job && watcher == me -> goto watch
	:: else -> goto end_idle
	fi;
run_it:
	do_task();
	leave(job);
	if
	:: job -> goto run_it
	:: else
	fi;
	/* back from a job, others watch */
	atomic {
		if
		:: (watcher != NONE || coming) && listed && queued > 0 ->
			queued--;
			job = true;
			if
			:: queued == 0 && wanted == 0 -> unlist()
			:: else
			fi
		:: else -> rest()
		fi
	};
	if
	:: job -> goto run_it
	:: else -> goto end_idle
	fi;
#ifdef BREAK_DUTY
off_duty:
	atomic { watcher = NONE; idle[me] = true };
	goto end_idle
#endif
}

active proctype user()
{
	byte task, seen, i;
	bool ok, job, helps, free;

	for (task : 1 .. TASKS) {
again:
		atomic {
			if
			:: busy >= LIMIT ->
				wanted++;
				sleeping++;
				seen = slots
			:: else -> goto have_slot
			fi
		};
#ifdef BREAK_SLEEP
		atomic { seen = slots };
#endif
		atomic {
			slots != seen ->
			wanted--;
			sleeping--
		};
		goto again;
have_slot:
		if
		:: listed -> skip
		:: !listed -> goto list
		fi;
#ifdef BREAK_HOLD
		atomic { queued++; busy++; goto pushed };
#else
		atomic {
			if
			:: listed && busy < LIMIT ->
				queued++; busy++; goto pushed
			:: else -> goto again
			fi
		};
#endif
list:
		/* the pool's lock, then both: somebody watches, or is coming */
		atomic {
			ok = true;
			if
			:: watcher != NONE || coming
			:: else ->
				appoint_idle(ok);
				if
				:: ok
				:: else -> coming = true
				fi
			fi;
			if
			:: ok && busy < LIMIT ->
				listed = true; queued++; busy++; goto pushed
			:: ok && busy >= LIMIT -> listed = true; goto again
			:: else
			fi
		};
		make_thread(ok);
		if
		:: !ok -> atomic { coming = false }; goto again
		:: else -> goto list
		fi;
pushed:
		skip
	};
	/* It helps, or has better things to do. */
	if
	:: helps = true
	:: helps = false
	fi;
	(helps || done == TASKS);
	do
	:: atomic { queued > 0 -> queued-- };
run_it:
		do_task();
		leave(job);
		if
		:: job -> goto run_it
		:: else
		fi
	:: atomic { busy == 0 -> break }
	:: atomic { queued == 0 && busy > 0 -> seen = rounds };
#ifdef BREAK_WAIT
		atomic { seen = rounds };
#endif
		(rounds != seen)
	od;
	assert(done == TASKS && busy == 0 && queued == 0)
}
