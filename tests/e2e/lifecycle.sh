#!/bin/bash
# Order, one-shots, restarts, and what the end of a server means.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# An app of the sections in standard input.
write_app() {
	{
		printf '[app]\nname = test\n'
		cat
	} >"$work/app.ini"
}

run_app() {
	run "$cratos" run "$work/app.ini"
}

# Both commands refuse the file; nothing has been started.
is_refused() { # REGEX...
	local command regex
	for command in check run; do
		run "$cratos" "$command" "$work/app.ini"
		is "exit status of $command" "$status" 78
		is "what $command prints" "$(cat "$work/out")" ''
		is "number of lines of $command" "$(wc -l <"$work/err")" $#
		for regex; do
			has "$work/err" "^cratos: $work/app.ini:$regex"
		done
	done
}

# A command line that waits until a file is there.
until_there() { # FILE
	echo "while [ ! -e $1 ]; do sleep 0.05; done"
}

# ---- order ----

dependencies_start_in_order_and_stop_in_reverse() {
	write_app <<-END
		[server:third]
		exec = sleep 1000
		after = second
		wants = aside
		[server:second]
		tcp-echo = 127.0.0.1:0
		after = first
		[server:first]
		exec = sleep 1000
		[server:aside]
		exec = sleep 1000
	END
	start_app || return
	has_in_order "$work/app.err" ' first +ready' ' second +starting' \
		' second +ready' ' third +starting' ' third +ready' ' running, '
	has_in_order "$work/app.err" ' aside +ready' ' third +starting'
	stop_app TERM
	is 'exit status' "$status" 0
	has_in_order "$work/app.err" ' got SIGTERM' ' third +stopping' \
		' third +stopped' ' second +stopping' ' second +stopped' \
		' first +stopping' ' first +stopped' ' test +stopped'
	has_in_order "$work/app.err" ' third +stopped' ' aside +stopping'
}

what_waits_for_nobody_starts_at_once() {
	write_app <<-END
		[server:slow]
		shell = $(until_there "$work/go")
		oneshot = true
		[server:waits]
		exec = sleep 1000
		after = slow
		[server:free]
		exec = sleep 1000
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' free +ready'
	lacks "$work/app.err" ' waits +starting'
	: >"$work/go"
	wait_for_line "$work/app.err" 'running, all ready'
	has_in_order "$work/app.err" ' slow +done after' ' waits +starting'
	stop_app TERM
	is 'exit status' "$status" 0
}

check_shows_the_order() {
	write_app <<-END
		[server:last]
		exec = sleep 1000
		after = next first
		[server:next]
		exec = sleep 1000
		wants = first
		[server:first]
		exec = sleep 1000
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 0
	has_in_order "$work/out" '^1\. first$' '^2\. next$' '^    wants first$' \
		'^3\. last$' '^    after next, first$'
}

a_cycle_is_refused_with_its_path() {
	write_app <<-END
		[server:free]
		exec = sleep 1000
		[server:one]
		exec = sleep 1000
		after = two
		[server:two]
		exec = sleep 1000
		wants = free three
		[server:three]
		exec = sleep 1000
		after = free one
	END
	# Whichever it begins with.
	is_refused "(7: .server:one. after|10: .server:two. wants|\
13: .server:three. after): comes after itself: "
	has "$work/err" ': [^:]*(one.* two.* three.* one|two.* three.* one.* two|three.* one.* two.* three)$'
}

a_name_that_is_not_there_is_refused() {
	write_app <<-END
		[server:one]
		exec = sleep 1000
		after = two thre
		wants = nobody
		[server:two]
		exec = sleep 1000
		after = two
		[server:three]
		exec = sleep 1000
	END
	is_refused "5: \[server:one\] after: .*'thre'; there are two, three\$" \
		"6: \[server:one\] wants: .*'nobody'" \
		'9: \[server:two\] after: .*after itself'
}

keys_that_disagree_are_refused() {
	write_app <<-END
		[server:one]
		exec = sleep 1000
		oneshot = true
		restart = always
		on_exit = stop
		[server:two]
		exec = sleep 1000
		restart_delay = 1s
		restart_limit = 0
		restart_scope = all
		[server:three]
		exec = sleep 1000
		restart = always
		on_exit = stop
		[server:four]
		tcp-echo = 127.0.0.1:0
		oneshot = true
		on_exit = stay
		[server:five]
		exec = sleep 1000
		restart = on-failure
		restart_max_delay = 50ms
		[server:six]
		exec = sleep 1000
		restart = on-failure
		restart_delay = 1m
	END
	is_refused '6: \[server:one\] restart: ' '7: \[server:one\] on_exit: ' \
		'10: \[server:two\] restart_delay: .*without restart' \
		'11: \[server:two\] restart_limit: ' \
		'12: \[server:two\] restart_scope: ' \
		'16: \[server:three\] on_exit: ' \
		'19: \[server:four\] oneshot: ' '20: \[server:four\] on_exit: ' \
		'24: \[server:five\] restart_max_delay: .*less than' \
		'28: \[server:six\] restart_delay: .*more than'
}

# ---- one-shots ----

a_one_shot_is_done_before_what_comes_after_it() {
	write_app <<-END
		[server:web]
		exec = sleep 1000
		after = schema
		[server:schema]
		shell = echo once >>$work/done
		oneshot = true
	END
	start_app || return
	has_in_order "$work/app.err" ' schema +done after' ' web +starting'
	stop_app TERM
	is 'exit status' "$status" 0
	is 'what it did' "$(cat "$work/done")" once
	lacks "$work/app.err" ' (error|warn) '
	lacks "$work/app.err" 'schema +stop'
}

a_one_shot_that_fails_stops_the_app() {
	write_app <<-END
		[server:web]
		exec = sleep 1000
		after = schema
		[server:schema]
		shell = exit 3
		oneshot = true
		[server:other]
		exec = sleep 1000
	END
	run_app
	is 'exit status' "$status" 1
	has_in_order "$work/err" ' error schema +failed: exited with status 3$' \
		' other +stopped after' \
		' error test +failed: schema: exited with status 3$'
	lacks "$work/err" ' web +starting'
}

a_one_shot_is_tried_again_if_it_may_be() {
	write_app <<-END
		[server:web]
		exec = sleep 1000
		after = schema
		[server:schema]
		shell = echo try >>$work/tries; [ \$\$(wc -l <$work/tries) = 3 ]
		oneshot = true
		restart = on-failure
		restart_delay = 1ms
	END
	start_app || return
	is 'number of tries' "$(wc -l <"$work/tries")" 3
	has_in_order "$work/app.err" ' error schema +failed: ' \
		' warn  schema +restarts in ' ' schema +done after' \
		' web +starting'
	stop_app TERM
	is 'exit status' "$status" 0
}

a_one_shot_that_takes_too_long_has_failed() {
	write_app <<-END
		[server:schema]
		exec = sleep 1000
		oneshot = true
		start_timeout = 100ms
	END
	run_app
	is 'exit status' "$status" 1
	has "$work/err" ' error schema +failed: not ready after'
}

a_stop_ends_a_one_shot_that_runs() {
	write_app <<-END
		[server:schema]
		exec = sleep 1000
		oneshot = true
		[server:web]
		exec = sleep 1000
		after = schema
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' schema +starting'
	stop_app TERM
	is 'exit status' "$status" 0
	lacks "$work/app.err" ' web +starting'
	lacks "$work/app.err" ' (error|warn) '
}

# ---- ends ----

an_optional_server_may_fail() {
	write_app <<-END
		[server:extra]
		shell = exit 3
		optional = true
		[server:needs]
		exec = sleep 1000
		after = extra
		optional = true
		[server:wants]
		exec = sleep 1000
		wants = extra
		[server:oneshot]
		shell = exit 4
		oneshot = true
		optional = true
	END
	start app "$cratos" run "$work/app.ini"
	for server in extra needs oneshot; do
		wait_for_line "$work/app.err" \
			" warn  $server +failed for good, the app goes on without it: "
	done
	wait_for_line "$work/app.err" ' wants +ready'
	wait_for_line "$work/app.err" ' test +running'
	stop_app TERM
	is 'exit status' "$status" 0
	has_in_order "$work/app.err" ' wants +stopping: SIGTERM' ' wants +stopped'
}

what_needs_a_server_that_failed_for_good_has_failed_too() {
	write_app <<-END
		[server:extra]
		shell = exit 3
		optional = true
		oneshot = true
		[server:needs]
		exec = sleep 1000
		after = extra
	END
	run_app
	is 'exit status' "$status" 1
	has_in_order "$work/err" ' error extra +failed: exited with status 3' \
		' error needs +failed: .*extra' ' error test +failed: needs: '
	lacks "$work/err" ' needs +starting'
}

an_exit_may_stop_the_app() {
	write_app <<-END
		[server:job]
		shell = $(until_there "$work/go")
		on_exit = stop
		[server:web]
		exec = sleep 1000
	END
	start_app || return
	: >"$work/go"
	finish "$pid"
	is 'exit status' "$status" 0
	has_in_order "$work/app.err" ' job +exited with status 0: the app stops' \
		' web +stopped' ' info  test +stopped'
	lacks "$work/app.err" ' (error|warn) '
}

an_exit_that_stops_the_app_has_to_be_with_0() {
	write_app <<-END
		[server:job]
		shell = exit 3
		on_exit = stop
	END
	run_app
	is 'exit status' "$status" 1
	has "$work/err" ' error job +failed: exited with status 3'
}

an_exit_may_be_nothing() {
	write_app <<-END
		[server:job]
		exec = true
		on_exit = stay
		[server:web]
		exec = sleep 1000
		after = job
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' job +exited with status 0$'
	wait_for_line "$work/app.err" 'running, all ready'
	stop_app TERM
	is 'exit status' "$status" 0
	has_in_order "$work/app.err" ' got SIGTERM' ' web +stopped'
	lacks "$work/app.err" ' (error|warn) '
}

# ---- restarts ----

# Each delay is the double of the one before, less a quarter at most.
restarts_wait_longer_each_time_up_to_the_limit() {
	write_app <<-END
		[server:bad]
		shell = exit 3
		restart = on-failure
		restart_delay = 40ms
		restart_max_delay = 100ms
		restart_limit = 4
		restart_window = 1h
		[server:web]
		exec = sleep 1000
	END
	run "$cratos" run --json "$work/app.ini"
	is 'exit status' "$status" 1
	sed -nE 's/.*"event":"restarting".*"delay_ms":([0-9]+).*/\1/p' \
		"$work/err" >"$work/delays"
	is 'the delays' "$(awk -v ORS=' ' '
		BEGIN { split("40 80 100 100", most) }
		{ right = $1 <= most[NR] && $1 >= 0.75 * most[NR] - 1 }
		{ print (right ? "right" : $1) }' "$work/delays")" \
		'right right right right '
	is 'number of starts' \
		"$(count_lines "$work/err" '"event":"starting".*"server":"bad"')" 5
	has "$work/err" '"event":"failed".*"server":"bad".*gave up after 4 restarts'
	has "$work/err" '"event":"stopped".*"server":"web"'
}

a_server_that_failed_comes_back() {
	local first
	write_app <<-END
		[server:db]
		exec = sleep 1000
		restart = on-failure
		restart_delay = 1ms
		[server:web]
		exec = sleep 1000
		after = db
	END
	start_app || return
	first=$(pid_of web)
	kill -KILL "$(pid_of db)"
	wait_for_line "$work/app.err" ' test +ready again'
	has_in_order "$work/app.err" ' test +running' \
		' error db +failed: killed by signal 9 \(SIGKILL\)$' \
		' warn  db +restarts in ' ' db +starting' ' db +ready' \
		' test +ready again'
	is 'the process that comes after it' "$(pid_of web)" "$first"
	stop_app TERM
	is 'exit status' "$status" 0
	lacks "$work/app.err" ' error test '
}

what_comes_after_it_may_restart_with_it() {
	local scope other
	for scope in dependents all; do
		write_app <<-END
			[server:db]
			exec = sleep 1000
			restart = on-failure
			restart_delay = 1ms
			restart_scope = $scope
			[server:web]
			exec = sleep 1000
			after = db
			[server:front]
			exec = sleep 1000
			after = web
			[server:other]
			exec = sleep 1000
		END
		start_app || return
		other=$(pid_of other)
		kill -KILL "$(pid_of db)"
		wait_for_line "$work/app.err" ' test +ready again'
		has_in_order "$work/app.err" ' error db +failed' \
			' front +stopping: SIGTERM' ' front +stopped' \
			' web +stopping: SIGTERM' ' web +stopped' \
			' db +starting' ' db +ready' ' web +starting' \
			' web +ready' ' front +starting' ' front +ready' \
			' test +ready again'
		if [ "$scope" = dependents ]; then
			is 'another process' "$(pid_of other)" "$other"
		else
			has_in_order "$work/app.err" ' error db +failed' \
				' other +stopped' ' other +starting'
		fi
		stop_app TERM
		is "exit status with $scope" "$status" 0
	done
}

what_is_restarted_always_comes_back_after_any_end() {
	write_app <<-END
		[server:job]
		shell = echo run >>$work/runs; [ \$\$(wc -l <$work/runs) != 2 ]
		restart = always
		restart_delay = 1ms
		restart_max_delay = 1ms
		restart_limit = 0
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_lines 3 "$work/app.err" \
		' info  job +exited with status 0; restarts in '
	stop_app TERM
	is 'exit status' "$status" 0
	is 'number of failures' "$(count_lines "$work/app.err" ' error ')" 1
	has_in_order "$work/app.err" ' error job +failed: exited with status 1' \
		' warn  job +restarts in '
}

a_program_that_cannot_be_run_is_tried_again() {
	write_app <<-END
		[server:late]
		exec = $work/program
		restart = on-failure
		restart_delay = 20ms
		restart_max_delay = 20ms
		restart_limit = 0
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' warn  late +restarts in '
	ln -s "$(command -v sleep)" "$work/sleep"
	printf '#!/bin/sh\nexec sleep 1000\n' >"$work/new"
	chmod +x "$work/new"
	mv "$work/new" "$work/program"
	wait_for_line "$work/app.err" 'running, all ready'
	stop_app TERM
	is 'exit status' "$status" 0
}

a_stop_does_not_wait_for_a_restart() {
	write_app <<-END
		[server:bad]
		shell = exit 3
		restart = on-failure
		restart_delay = 1h
		restart_max_delay = 1h
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' bad +restarts in '
	stop_app TERM
	is 'exit status' "$status" 0
}

a_restart_kills_what_does_not_stop() {
	cat >"$work/parent" <<-'END'
		(trap '' TERM; : >"$1"; exec sleep 1000) &
		while [ ! -e "$1" ]; do sleep 0.05; done
		exit 3
	END
	write_app <<-END
		[server:bad]
		exec = sh $work/parent $work/there
		restart = on-failure
		restart_limit = 1
		restart_window = 1h
		restart_delay = 1ms
		stop_timeout = 200ms
	END
	run_app
	is 'exit status' "$status" 1
	has_in_order "$work/err" ' error bad +failed: exited with status 3' \
		' bad +starting' ' error bad +failed: gave up after 1 restart '
}

quiet_tells_of_restarts() {
	write_app <<-END
		[server:bad]
		shell = exit 3
		restart = on-failure
		restart_limit = 1
		restart_delay = 1ms
		optional = true
		[server:web]
		shell = $(until_there "$work/go")
		on_exit = stop
	END
	start app "$cratos" run --quiet "$work/app.ini"
	wait_for_line "$work/app.err" ' warn  bad +failed for good'
	: >"$work/go"
	finish "$pid"
	is 'exit status' "$status" 0
	has_in_order "$work/app.err" ' error bad +failed' ' warn  bad +restarts' \
		' warn  bad +failed for good'
	lacks "$work/app.err" ' info '
}

# As systemd does it: the app is told, and all its programs as well.
a_signal_to_all_is_a_stop() {
	write_app <<-INI
		[server:one]
		exec = sleep 1000
		[server:two]
		exec = sleep 1000
		after = one
		restart = always
		[server:three]
		exec = sleep 1000
		after = two
	INI
	local round
	for round in 1 2 3 4 5; do
		start_app || return
		# shellcheck disable=SC2046 # numbers
		kill -TERM "$pid" $(pgrep -P "$pid") 2>/dev/null
		finish "$pid"
		is "exit status, round $round" "$status" 0
		lacks "$work/app.err" 'error|failed'
	done
}

for name in dependencies_start_in_order_and_stop_in_reverse \
	what_waits_for_nobody_starts_at_once \
	check_shows_the_order \
	a_cycle_is_refused_with_its_path \
	a_name_that_is_not_there_is_refused \
	keys_that_disagree_are_refused \
	a_one_shot_is_done_before_what_comes_after_it \
	a_one_shot_that_fails_stops_the_app \
	a_one_shot_is_tried_again_if_it_may_be \
	a_one_shot_that_takes_too_long_has_failed \
	a_stop_ends_a_one_shot_that_runs \
	an_optional_server_may_fail \
	what_needs_a_server_that_failed_for_good_has_failed_too \
	an_exit_may_stop_the_app \
	an_exit_that_stops_the_app_has_to_be_with_0 \
	an_exit_may_be_nothing \
	restarts_wait_longer_each_time_up_to_the_limit \
	a_server_that_failed_comes_back \
	what_comes_after_it_may_restart_with_it \
	what_is_restarted_always_comes_back_after_any_end \
	a_program_that_cannot_be_run_is_tried_again \
	a_stop_does_not_wait_for_a_restart \
	a_restart_kills_what_does_not_stop \
	a_signal_to_all_is_a_stop \
	quiet_tells_of_restarts; do
	test_that "$name"
done
all_passed
