#!/bin/bash
# A thousand servers, killed as chance picks, two thousand times in all: every
# one is back, and cratos has no descriptor and no memory more than before.
# CHILDREN and KILLS make them fewer.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

children=${CHILDREN:-1000}
[ -n "${WRAP:-}" ] && children=${CHILDREN:-100}
kills=${KILLS:-$((2 * children))}
seed=${SEED:-$$}

write_app() {
	local i
	printf '[app]\nname = test\nlog = null\n'
	for ((i = 0; i < children; i++)); do
		cat <<-END
			[server:s$i]
			exec = sleep 1000
			restart = always
			restart_delay = 0
			restart_limit = 0
		END
	done
}

kill_some() { # COUNT SEED
	python3 "$tools" kills "$pid" sleep "$children" "$1" "$2" \
		>>"$work/kills.out" 2>"$work/kills.err" || {
		problem "SEED=$seed: $(cat "$work/kills.err")"
		return 1
	}
}

count_descriptors() {
	local all=("/proc/$pid/fd/"*)
	echo ${#all[@]}
}

has_descriptors() { # COUNT
	[ "$(count_descriptors)" = "$1" ]
}

is_at_rest() {
	local threads=("/proc/$pid/task/"*)
	[ ${#threads[@]} -le 16 ]
}

# Once the threads that had nothing to do have ended, with what they have.
memory_kib() {
	eventually is_at_rest
	sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$pid/status"
}

# What it had at the first kills it keeps for the next; so there are some before
# anything is measured. A leak of 1 KiB at each would be twice what is allowed.
check_memory() { # KIB-BEFORE KIB-AFTER
	echo "# memory: $1 KiB, after $kills kills $2 KiB"
	if [ -n "${WRAP:-}" ]; then
		skip memory_stays_flat 'a sanitizer keeps what is freed'
	elif [ "$kills" -lt 1000 ]; then
		skip memory_stays_flat 'too few kills to tell'
	elif [ $(($2 - $1)) -gt $((kills / 2)) ]; then
		problem "memory: $1 KiB, after $kills kills $2 KiB"
	fi
}

are_all_there() {
	[ "$(pgrep -c -P "$pid" -x sleep)" = "$children" ]
}

# Who makes a child waits for it; a thread for each that waits is of no use.
a_start_needs_few_threads() {
	local threads
	[ -z "${WRAP:-}" ] || {
		skip a_start_needs_few_threads 'so few children say nothing'
		return
	}
	write_app >"$work/app.ini"
	start app "$cratos" run --quiet "$work/app.ini"
	eventually are_all_there || problem 'not all children run'
	threads=("/proc/$pid/task/"*)
	echo "# ${#threads[@]} threads after the start of $children children"
	[ ${#threads[@]} -le $((children / 8)) ] ||
		problem "${#threads[@]} threads"
	stop_app TERM
	is 'exit status' "$status" 0
	nothing_is_left_now
}

everyone_that_is_killed_is_back() {
	local descriptors memory
	write_app >"$work/app.ini"
	start app "$cratos" run --quiet "$work/app.ini"
	kill_some $((kills / 2)) "$seed" || return
	descriptors=$(count_descriptors)
	memory=$(memory_kib)
	kill_some "$kills" $((seed + 1)) || return
	eventually has_descriptors "$descriptors" ||
		problem "descriptors: $descriptors, then $(count_descriptors)"
	check_memory "$memory" "$(memory_kib)"
	stop_app TERM
	is 'exit status' "$status" 0
	nothing_is_left_now
	is 'failures' "$(count_lines "$work/app.err" 'failed: killed by signal 9')" \
		"$((kills + kills / 2))"
}

test_that a_start_needs_few_threads
test_that everyone_that_is_killed_is_back
all_passed
