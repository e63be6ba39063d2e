#!/bin/bash
# SIGTERM at any instant of a run: it ends in order, and nothing is left.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

instants=100
[ "${WRAP:-}" = tsan ] && instants=10
[ "${WRAP:-}" = asan ] && instants=30

write_app() {
	cat >"$work/app.ini" <<-'END'
		[app]
		name = test
		[server:top]
		exec = sleep 1000
		after = left right
		[server:left]
		exec = sleep 1000
		after = base
		[server:right]
		exec = sleep 1000
		after = base
		[server:base]
		exec = sleep 1000
		[server:once]
		exec = sleep 0.01
		oneshot = yes
		after = base
		[server:again]
		exec = sleep 0.01
		restart = always
		restart_delay = 5ms
		restart_stable = 0
		restart_limit = 0
	END
}

now_us() {
	local now=$EPOCHREALTIME
	echo "${now//[!0-9]/}"
}

# The least of three times from the beginning until all is ready, in us.
time_to_ready_us() {
	local least=0 took begin
	for _ in 1 2 3; do
		begin=$(now_us)
		start app "$cratos" run "$work/app.ini"
		until says "$work/app.err" 'running, all ready'; do
			has_ended "$pid" && return 1
			sleep 0.002
		done
		took=$(($(now_us) - begin))
		[ "$least" != 0 ] && [ "$least" -lt "$took" ] || least=$took
		stop_app TERM
	done
	echo "$least"
}

check_instant() { # US
	local us=$1 problems_before=${#problems[@]}
	start app "$cratos" run "$work/app.ini"
	sleep "$(printf '%d.%06d' $((us / 1000000)) $((us % 1000000)))"
	kill -TERM "$pid"
	wait "$pid" 2>/dev/null
	status=$?
	# The default action, before the app has begun.
	if [ "$status" != 143 ] || [ -s "$work/app.err" ]; then
		is 'exit status' "$status" 0
		if grep -q ' top  *stopping' "$work/app.err"; then
			has_in_order "$work/app.err" ' top +stopped' \
				' left +stopping' ' left +stopped' \
				' base +stopping' ' base +stopped'
			has_in_order "$work/app.err" ' top +stopped' \
				' right +stopping' ' right +stopped' \
				' base +stopping'
		fi
	fi
	# What is left stays, so that it is enough to look now and then.
	[ $((i % 10)) != 9 ] || nothing_is_left ||
		problem "processes are left: $(leftovers)"
	[ ${#problems[@]} = "$problems_before" ] ||
		problem "(SIGTERM after $us us, RANDOM=$seed)"
}

sigterm_at_any_instant_leaves_nothing() {
	local i least_us seed=${SEED:-$$}
	write_app
	least_us=$(time_to_ready_us) || {
		problem 'never ready'
		return
	}
	RANDOM=$seed
	for ((i = 0; i < instants && ${#problems[@]} == 0; i++)); do
		check_instant $(((RANDOM * 32768 + RANDOM) % (least_us * 3 / 2)))
	done
}

test_that sigterm_at_any_instant_leaves_nothing
all_passed
