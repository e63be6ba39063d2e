/*
 * A model of the pool (errgroup/worker.c), for spin: every order of its steps,
 * with a few tasks and threads. What goes on in a group is in group.pml; here it
 * is one step.
 *
 * A step is what is done in one hold of the locks, so it is atomic here; a task
 * is taken in a step of its own, with any lock or none. What waits for a point in time may go on at any moment; what sleeps until it is
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
bool is_hand[THREADS]; /* made to take a job, while another one watches */
byte claims; /* hands that have not begun */
byte failures;

/* the group, and its queue */
bool listed;
byte queued, busy, wanted;
byte visitors; /* workers that may touch the queue */
bool freed;

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
	listed = false
}

/* Makes a worker, or fails. The lock is not held. */
inline make_thread(ok, hand)
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
			is_hand[i] = hand;
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

inline leave()
{
	atomic {
		assert(!freed);
		visitors--
	}
}

inline do_task()
{
	atomic { begun++; free = begun <= FREE };
	(free || begun - done == LIMIT || begun == TASKS);
	atomic { busy--; done++ }
}

active [THREADS] proctype worker()
{
	byte me = _pid, i;
	bool job, ok, last, free, more;

end_gone:
	atomic {
		made[me] ->
		job = false;
		if
		:: is_hand[me] ->
			is_hand[me] = false;
			claims--;
			if
			:: queued > 0 && listed ->
				queued--;
				visitors++;
				job = true
			:: else -> rest()
			fi
		:: else -> coming = false; rest()
		fi
	};
	if
	:: job -> goto run_it
	:: else
	fi;
end_idle:
	if
	:: atomic { watcher == me -> skip }
	:: atomic { idle[me] -> idle[me] = false; made[me] = false };
		goto end_gone /* unused for long */
	fi;
watch:
	job = false;
	more = false;
	last = false;
	atomic {
		if
		:: listed && queued == 0 && wanted == 0 -> unlist()
		:: skip
		fi;
		if
#ifdef BREAK_DUTY
		:: !listed -> goto off_duty
#else
		:: !listed -> watcher = NONE; rest() /* off duty */
#endif
		:: !listed -> skip
		:: listed && queued == 0 -> skip
#ifdef BREAK_LAST
		:: listed && queued == 1 -> last = true
#else
		:: listed && queued == 1 ->
			queued--;
			visitors++;
			watcher = NONE;
			job = true;
			unlist()
#endif
		:: listed && queued > 1 && queued <= claims -> skip
		:: listed && queued > 1 && queued > claims ->
#ifdef BREAK_SUCCESSOR
			queued--; visitors++; watcher = NONE; job = true
#else
			appoint_idle(ok);
			if
			:: ok -> queued--; visitors++; job = true
			:: else -> claims++; more = true
			fi
#endif
		fi
	};
#ifdef BREAK_LAST
	atomic {
		if
		:: last && queued > 0 ->
			queued--;
			visitors++;
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
	:: !job && !idle[me] && !more -> goto watch
	:: else
	fi;
	make_thread(ok, true);
	atomic {
		if
		:: !ok -> claims--
		:: else
		fi
	};
	goto watch;
run_it:
	do_task();
	if
	:: atomic { queued > 0 -> queued-- }; goto run_it
	:: skip /* there was none, or it has taken its share */
	fi;
	leave();
	/* back from a job, others watch */
	atomic {
		job = false;
		if
		:: (watcher != NONE || coming) && listed && queued > 0 ->
			queued--;
			visitors++;
			job = true
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
	byte task, i;
	bool ok, job, helps, free;

	for (task : 1 .. TASKS) {
again:
		if
		:: atomic { busy >= LIMIT -> wanted++ };
			atomic { busy < LIMIT -> wanted-- }
		:: atomic { busy < LIMIT -> skip }
		fi;
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
		make_thread(ok, false);
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
		do_task()
	:: atomic { busy == 0 -> break }
	od;
	assert(done == TASKS && busy == 0 && queued == 0);
	/* and then it frees the group */
	atomic {
		if
		:: listed -> unlist()
		:: else
		fi
	};
#ifndef BREAK_VISIT
	(visitors == 0);
#endif
	freed = true
}
