#!/bin/bash
# What servers leave behind: children that do all they can not to be stopped,
# and nothing of them is there in the end.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

write_app() { # KEY=VALUE-OF-APP...
	{
		printf '[app]\nname = test\n'
		[ $# = 0 ] || printf '%s\n' "$@"
		cat
	} >"$work/app.ini"
}

# ---- by force ----

a_second_signal_leaves_nothing_behind() {
	write_programs
	write_app 'stop_timeout = 1h' <<-END
		[server:one]
		shell = $work/astray $work/astray.pid deaf; exec $work/stay $work/deaf deaf
		[server:two]
		shell = env -i PATH=$PATH $work/astray $work/bare.pid deaf; exec sleep 1000
		[server:bomb]
		exec = $work/bomb
	END
	start_app || return
	wait_for_file "$work"/{astray.pid,deaf,bare.pid,bomb.done}
	kill -TERM "$pid"
	wait_for_line "$work/app.err" ' one +stopping'
	sleep 0.3
	stop_app TERM
	nothing_is_left_now
	is 'exit status' "$status" 143
}

# ---- whose they are ----

what_a_server_leaves_is_told_to_stop_with_it() {
	write_programs
	write_app <<-END
		[server:one]
		shell = $work/astray $work/one.pid; exec sleep 1000
		[server:two]
		shell = $work/astray $work/two.pid; exec sleep 1000
		restart = on-failure
		restart_delay = 0
	END
	start_app || return
	wait_for_file "$work"/{one.pid,two.pid}
	one=$(cat "$work/one.pid")
	two=$(cat "$work/two.pid")
	rm "$work/two.pid"
	kill -KILL "$(pid_of two)"
	wait_for_lines 2 "$work/app.err" ' two +ready'
	has_ended "$two" || problem 'what a failed server left still runs'
	! has_ended "$one" || problem 'what another server has does not run'
	wait_for_file "$work/two.pid"
	stop_app TERM
	nothing_is_left_now
	is 'exit status' "$status" 0
	lacks "$work/app.err" 'killed \(SIGKILL\)'
}

what_was_stopped_by_sigstop_is_told_too() {
	write_programs
	write_app <<-END
		[server:one]
		shell = $work/astray $work/one.pid; exec sleep 1000
	END
	start_app || return
	wait_for_file "$work/one.pid"
	kill -STOP "$(cat "$work/one.pid")"
	stop_app TERM
	nothing_is_left_now
	is 'exit status' "$status" 0
}

a_server_has_stopped_when_its_strays_have() {
	write_programs
	cat >"$work/slow" <<-'END'
		#!/bin/bash
		trap 'sleep 0.3; exit' TERM
		echo $$ >"$1"
		while :; do sleep 0.01; done
	END
	chmod +x "$work/slow"
	write_app <<-END
		[server:base]
		exec = sleep 1000
		[server:top]
		shell = setsid -f $work/slow $work/top.pid; exec sleep 1000
		after = base
	END
	start_app || return
	wait_for_file "$work/top.pid"
	stop_app TERM
	is 'exit status' "$status" 0
	has_in_order "$work/app.err" ' top +stopping' ' top +stopped' ' base +stopping'
	nothing_is_left_now
}

# Nobody can tell whose it was, so no server waits for it; the app does.
what_has_no_environment_is_the_apps() {
	local deaf="trap \"\" TERM; echo \$\$\$\$ >$work/bare.pid; while :; do sleep 1000; done"
	write_app 'stop_timeout = 400ms' <<-END
		[server:one]
		shell = env -i setsid sh -c '$deaf' & exec sleep 1000
	END
	start_app || return
	wait_for_file "$work/bare.pid"
	stop_app TERM
	is 'exit status' "$status" 1
	has_in_order "$work/app.err" ' one +stopped' \
		" test +1 process left behind did not stop in time, killed \(SIGKILL\): $(cat "$work/bare.pid") \(sh\)"
	has_ended "$(cat "$work/bare.pid")" || problem 'it still runs'
}

strays_can_be_kept() {
	write_programs
	write_app 'strays = keep' <<-END
		[server:one]
		shell = $work/astray $work/one.pid; exec sleep 1000
	END
	start_app || return
	wait_for_file "$work/one.pid"
	stop_app TERM
	is 'exit status' "$status" 0
	! has_ended "$(cat "$work/one.pid")" || problem 'it was not kept'
	kill "$(cat "$work/one.pid")"
}

# ---- as PID 1 ----

as_the_first_process_it_reaps_strangers() {
	local first
	write_programs
	write_app <<-END
		[server:one]
		exec = sleep 1000
	END
	start app "${as_first[@]}" "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'running, all ready' || return
	first=$(first_pid)
	# A process of another one's, entered from outside, whose parent ends.
	nsenter --target "$first" --pid --mount \
		sh -c "setsid -f sh -c 'echo \$\$ >$work/stranger'"
	wait_for_file "$work/stranger"
	eventually no_children_but "$first" 1 ||
		problem "not reaped: $(pgrep -aP "$first")"
	kill -TERM "$first"
	finish "$pid"
	is 'exit status' "$status" 0
}

no_children_but() { # PID COUNT
	[ "$(pgrep -P "$1" | wc -l)" = "$2" ]
}

as_the_first_process_it_ends_as_told() {
	local first
	write_programs
	write_app 'stop_timeout = 1h' <<-END
		[server:one]
		exec = $work/stay $work/deaf deaf
	END
	start app "${as_first[@]}" "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'running, all ready' || return
	wait_for_file "$work/deaf"
	first=$(first_pid)
	kill -TERM "$first"
	wait_for_line "$work/app.err" ' one +stopping'
	sleep 0.3
	kill -INT "$first"
	finish "$pid"
	is 'exit status' "$status" 130
}

as_the_first_process_it_has_the_exit_status_of_the_app() {
	write_programs
	write_app <<<$'[server:one]\nexec = false'
	run "${as_first[@]}" "$cratos" run "$work/app.ini"
	is 'exit status of a failure' "$status" 1
	has "$work/err" ' one +failed: exited with status 1'
	write_app <<<$'[server:one]\nexec = true\non_exit = stop'
	run "${as_first[@]}" "$cratos" run "$work/app.ini"
	is 'exit status of work that is done' "$status" 0
	write_app <<<$'[server:one]\nexecute = true'
	run "${as_first[@]}" "$cratos" run "$work/app.ini"
	is 'exit status of a wrong file' "$status" 78
	write_app 'stop_timeout = 300ms' <<-END
		[server:one]
		exec = $work/stay $work/deaf deaf
	END
	start app "${as_first[@]}" "$cratos" run "$work/app.ini"
	wait_for_file "$work/deaf"
	kill -TERM "$(first_pid)"
	finish "$pid"
	is 'exit status of a late stop' "$status" 1
	has "$work/app.err" ' one +failed: did not stop in time: killed'
}

# The kernel does not let such a signal end the first process by itself.
as_the_first_process_it_obeys_what_would_end_others() {
	local first signal
	write_app <<-END
		[server:one]
		exec = sleep 1000
	END
	for signal in VTALRM ALRM ABRT RTMIN+3; do
		start app "${as_first[@]}" \
			"$cratos" run "$work/app.ini"
		wait_for_line "$work/app.err" 'running, all ready' || return
		first=$(first_pid)
		# From inside: what comes from outside is not the same.
		nsenter --target "$first" --pid --mount kill -s "$signal" 1
		finish "$pid"
		is "exit status after $signal" "$status" 0
		has "$work/app.err" ' got '
	done
}

test_that a_second_signal_leaves_nothing_behind
test_that what_a_server_leaves_is_told_to_stop_with_it
test_that what_was_stopped_by_sigstop_is_told_too
test_that a_server_has_stopped_when_its_strays_have
test_that what_has_no_environment_is_the_apps
test_that strays_can_be_kept
for name in as_the_first_process_it_reaps_strangers \
	as_the_first_process_it_ends_as_told \
	as_the_first_process_it_has_the_exit_status_of_the_app \
	as_the_first_process_it_obeys_what_would_end_others; do
	! may_unshare "$name" || test_that "$name"
done
all_passed
