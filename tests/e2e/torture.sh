#!/bin/bash
# Servers that do all that can be done to a runner: whenever it is told to stop
# it stops in its time, and nothing of them is left.
#
# That it stops in its time it says itself: after stop_timeout and a second
# more it would end with status 124.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

stops=12
[ "${WRAP:-}" = tsan ] && stops=4
[ "${WRAP:-}" = asan ] && stops=6

# A program that is there once.
write_lost_program() {
	cat >"$work/lost" <<-'END'
		#!/bin/sh
		rm -f "$0"
		exit 1
	END
	chmod +x "$work/lost"
}

write_app() { # STOP-TIMEOUT [KEY=VALUE-OF-APP...]
	rm -f "$work"/{deaf,astray.pid,bare.pid,never,slow,bomb.count,bomb.done}
	write_programs
	write_lost_program
	{
		printf '[app]\nname = test\nstop_timeout = %s\n' "$1"
		[ $# = 1 ] || printf '%s\n' "${@:2}"
		cat <<-END
			[server:deaf]
			exec = $work/stay $work/deaf deaf
			[server:astray]
			shell = $work/astray $work/astray.pid deaf; exec sleep 1000
			[server:without-environment]
			shell = env -i PATH=$PATH $work/astray $work/bare.pid deaf; exec sleep 1000
			[server:dies]
			exec = false
			restart = always
			restart_delay = 1ms
			restart_max_delay = 1ms
			restart_limit = 0
			[server:floods]
			exec = yes a line that nobody wants to read
			log = file:$work/flood
			log_size = 1MiB
			log_keep = 1
			[server:closes]
			shell = exec >&- 2>&-; exec sleep 1000
			[server:stops]
			shell = kill -STOP \$\$\$\$; exec sleep 1000
			[server:lost]
			exec = $work/lost
			restart = on-failure
			restart_delay = 1ms
			restart_limit = 3
			restart_window = 1h
			optional = true
			[server:missing]
			exec = $work/there-is-no-such-program
			optional = true
			[server:makes]
			shell = printf '#!/bin/sh\nexec sleep 1000\n' >$work/made && chmod +x $work/made
			oneshot = true
			[server:made]
			shell = exec $work/made
			after = makes
			[server:never-done]
			exec = $work/stay $work/never deaf
			oneshot = true
			[server:never-ready]
			exec = $work/stay $work/slow deaf
			ready = notify
			start_timeout = 500ms
			stop_timeout = 100ms
			restart = on-failure
			restart_delay = 1ms
			restart_limit = 0
			[server:bomb]
			exec = $work/bomb
		END
	} >"$work/app.ini"
}

# Until all of them have done the worst.
wait_for_the_worst() {
	wait_for_line "$work/app.err" ' dies +restarts in' &&
		wait_for_line "$work/app.err" \
			' lost +(lost|failed).*No such file' &&
		wait_for_line "$work/app.err" ' never-ready +failed: not ready' &&
		wait_for_line "$work/app.err" ' made +ready' &&
		wait_for_file "$work"/{deaf,astray.pid,bare.pid,never,slow} \
			"$work"/{flood.1,bomb.done}
}

# The processes that carry the mark that cratos gives to what it starts.
with_mark() { # PID-OF-CRATOS
	grep -alzE "^CRATOS_RUN=$1\\." /proc/[0-9]*/environ 2>/dev/null |
		cut -d/ -f3
}

# Neither with that mark, nor with that of this test.
nothing_of_it_is_left() { # PID-OF-CRATOS
	local left
	left=$(with_mark "$1")
	[ -z "$left" ] || problem "left with its mark: $left"
	nothing_is_left_now
}

end_of_the_torture() { # STATUS
	finish "$pid"
	nothing_of_it_is_left "$pid"
	is 'exit status' "$status" "$1"
}

all_is_gone_at_the_deadline() {
	write_app 2s
	start app "$cratos" run "$work/app.ini"
	wait_for_the_worst || return
	kill -TERM "$pid"
	end_of_the_torture 1
	has "$work/app.err" ' left behind did not stop in time, killed \(SIGKILL\): '
	has_in_order "$work/app.err" ' got SIGTERM' ' error test +failed: '
}

all_is_gone_after_a_second_signal() {
	write_app 1h
	start app "$cratos" run "$work/app.ini"
	wait_for_the_worst || return
	kill -TERM "$pid"
	wait_for_line "$work/app.err" ' deaf +stopping'
	sleep 0.3 # it has to come so much later
	kill -TERM "$pid"
	end_of_the_torture 143
}

# What it has not started itself it cannot promise then: see orphans in
# cratos.ini(5). But all of it can be found by its mark.
its_children_are_gone_when_it_is_killed() {
	local server child children=()
	write_app 2s
	start app "$cratos" run "$work/app.ini"
	wait_for_the_worst || return
	for server in deaf astray without-environment floods closes stops made \
		bomb; do
		child=$(pid_of "$server")
		! has_ended "$child" || problem "$server does not run"
		children+=("$child")
	done
	stop_app KILL
	is 'exit status' "$status" 137
	for child in "${children[@]}" "$(cat "$work/never")"; do
		eventually has_ended "$child" ||
			problem "outlives it: $(describe_process "$child")"
	done
	eventually nothing_has_its_mark "$pid" || problem 'some go on for ever'
	kill -KILL -- "-$(cat "$work/bare.pid")" # it has no mark
}

# Whatever has it is killed, until nothing is there that could make more.
nothing_has_its_mark() { # PID-OF-CRATOS
	local marked
	marked=$(with_mark "$1")
	[ -n "$marked" ] || return 0
	# shellcheck disable=SC2086
	kill -KILL $marked 2>/dev/null
	return 1
}

# At moments that chance picks: while it starts, and later.
all_is_gone_whenever_it_is_told_to_stop() {
	local i ms seed=${SEED:-$$}
	RANDOM=$seed
	for ((i = 0; i < stops && ${#problems[@]} == 0; i++)); do
		write_app 300ms
		ms=$((RANDOM % 1200))
		start app "$cratos" run "$work/app.ini"
		wait_for_line "$work/app.err" ' test +starting' || return
		sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
		kill -TERM "$pid"
		finish "$pid"
		nothing_of_it_is_left "$pid"
		# All that ran may have stopped in time.
		[ "$status" = 0 ] || is 'exit status' "$status" 1
		has "$work/app.err" ' got SIGTERM'
		[ ${#problems[@]} = 0 ] ||
			problem "(SIGTERM after $ms ms, SEED=$seed)"
	done
	echo "# $i stops, SEED=$seed"
}

# What becomes ready never keeps all from being ready.
a_stop_while_all_starts_leaves_nothing() {
	write_app 300ms
	sed -i '/^start_timeout/d' "$work/app.ini"
	start app "$cratos" run "$work/app.ini"
	wait_for_file "$work"/{deaf,slow}
	kill -TERM "$pid"
	end_of_the_torture 1
	lacks "$work/app.err" 'running, all ready'
}

# The kernel ends what is left in a PID namespace, with its first process.
all_is_gone_when_it_is_killed_as_the_first_process() {
	write_app 2s
	start app "${as_first[@]}" "$cratos" run "$work/app.ini"
	wait_for_the_worst || return
	kill -KILL "$(first_pid)"
	finish "$pid"
	nothing_is_left_now
	lacks "$work/app.err" ' test +stopping'
}

# It has to end all of that itself, in its time, before it ends.
all_is_gone_at_the_deadline_as_the_first_process() {
	write_app 2s
	start app "${as_first[@]}" "$cratos" run "$work/app.ini"
	wait_for_the_worst || return
	kill -TERM "$(first_pid)"
	finish "$pid"
	is 'exit status' "$status" 1
	has "$work/app.err" ' left behind did not stop in time, killed \(SIGKILL\): '
}

test_that all_is_gone_at_the_deadline
test_that all_is_gone_after_a_second_signal
test_that a_stop_while_all_starts_leaves_nothing
test_that all_is_gone_whenever_it_is_told_to_stop
test_that its_children_are_gone_when_it_is_killed
for name in all_is_gone_when_it_is_killed_as_the_first_process \
	all_is_gone_at_the_deadline_as_the_first_process; do
	! may_unshare "$name" || test_that "$name"
done
all_passed
