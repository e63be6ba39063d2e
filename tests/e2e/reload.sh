#!/bin/bash
# SIGHUP: a new file while the app runs. SIGUSR1: a report.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# An app of the sections in standard input, in one step.
write_app() { # KEY=VALUE-OF-APP...
	{
		printf '[app]\nname = test\n'
		[ $# = 0 ] || printf '%s\n' "$@"
		cat
	} >"$work/app.new"
	mv "$work/app.new" "$work/app.ini"
}

# Three servers that stay where they are.
write_three() {
	write_app "$@" <<-END
		[server:one]
		exec = sleep 1001
		env.GREETING = hello world
		[server:two]
		exec = sleep 1002
		after = one
		[server:three]
		exec = sleep 1003
	END
}

# Asks for a reload and waits for the line that matches.
reload() { # REGEX
	local before
	before=$(count_lines "$work/app.err" "$1")
	kill -HUP "$pid"
	wait_for_lines $((before + 1)) "$work/app.err" "$1"
}

pids() { # SERVER...
	local server
	for server; do
		pid_of "$server"
	done | tr '\n' ' '
}

# The reload has been refused, and all three run as before.
is_as_before() { # PIDS
	is 'the processes' "$(pids one two three)" "$1"
	lacks "$work/app.err" ' stopping'
	stop_app TERM
	is 'exit status' "$status" 0
}

# ---- what changes ----

a_reload_changes_what_has_changed_and_nothing_else() {
	local before
	write_app <<-END
		[server:stays]
		exec = sleep 1001
		env.GREETING = hello
		stop_signal = TERM
		[server:goes]
		exec = sleep 1002
		[server:changes]
		exec = sleep 1003
		[server:stays-too]
		exec = sleep 1004
		after = changes
	END
	start_app || return
	before=$(pids stays stays-too)
	write_app <<-END
		[server:new]
		tcp-echo = 127.0.0.1:0
		after = changes
		; Another order and another way to write the same is no change.
		[server:stays-too]
		after = changes
		exec = sleep 1004
		[server:stays]
		env.GREETING = "hello"
		stop_signal = SIGTERM
		exec = sleep 1001
		[server:changes]
		exec = sleep 1003
		env.GREETING = hello
	END
	reload ' info  test +reloaded: 1 added, 1 changed, 1 removed$' || return
	wait_for_line "$work/app.err" ' info  new +ready after'
	wait_for_line "$work/app.err" ' test +ready again'
	has_in_order "$work/app.err" ' test +got SIGHUP' \
		' goes +stopping: SIGTERM' ' goes +stopped' ' goes +removed' \
		' test +reloaded'
	has_in_order "$work/app.err" ' changes +stopping: SIGTERM to pid' \
		' changes +stopped' ' test +reloaded' ' changes +starting' \
		' changes +ready' ' new +starting' ' new +ready after .*tcp://'
	is 'what has not changed' "$(pids stays stays-too)" "$before"
	lacks "$work/app.err" ' stays(-too)? +stop'
	stop_app TERM
	is 'exit status' "$status" 0
	has_in_order "$work/app.err" ' got SIGTERM' ' new +stopped' \
		' changes +stopping'
	lacks "$work/app.err" ' (error|warn) '
}

nothing_new_changes_nothing() {
	local before
	write_three
	start_app || return
	before=$(pids one two three)
	reload ' test +reloaded: no server has changed'
	reload ' test +reloaded: no server has changed'
	is_as_before "$before"
}

the_environment_counts_by_its_value() {
	write_app <<-'END'
		[server:one]
		shell = echo $$GREETING; exec sleep 1000
		env.GREETING = ${FROM_OUTSIDE:bye}
	END
	FROM_OUTSIDE=hello start_app || return
	wait_for_line "$work/app.err" ' out +[a-z]+ +hello$'
	write_app <<-'END'
		[server:one]
		shell = echo $$GREETING; exec sleep 1000
		env.GREETING = hello
	END
	reload ' test +reloaded: no server has changed'
	write_app <<-'END'
		[server:one]
		shell = echo $$GREETING; exec sleep 1000
		env.GREETING = ${NOT_FROM_OUTSIDE:bye}
	END
	reload ' test +reloaded: 0 added, 1 changed, 0 removed'
	wait_for_line "$work/app.err" ' out +[a-z]+ +bye$'
	stop_app TERM
	is 'exit status' "$status" 0
}

# The new one binds when the old one has let go.
a_built_in_server_keeps_its_address() {
	local address
	address=127.0.0.1:$(python3 "$tools" ports 1)
	write_app <<-END
		[server:echo]
		tcp-echo = $address
	END
	start_app || return
	write_app <<-END
		[server:echo]
		tcp-echo = $address
		max_connections = 7
	END
	reload ' test +reloaded: 0 added, 1 changed, 0 removed' || return
	wait_for_line "$work/app.err" ' test +ready again'
	is 'the answer' "$(python3 "$tools" talk "$address" hello)" hello
	stop_app TERM
	is 'exit status' "$status" 0
	lacks "$work/app.err" ' (error|warn) '
}

a_one_shot_runs_again_if_it_has_changed() {
	local what
	for what in first first second; do
		write_app <<-END
			[server:schema]
			shell = echo $what >>$work/done
			oneshot = true
			[server:web]
			exec = sleep 1000
			after = schema
		END
		if [ ! -e "$work/done" ]; then
			start_app || return
		else
			reload ' test +reloaded'
		fi
	done
	wait_for_line "$work/done" second
	is 'what was done' "$(tr '\n' ' ' <"$work/done")" 'first second '
	stop_app TERM
	is 'exit status' "$status" 0
}

the_time_to_stop_is_taken_over() {
	write_three 'stop_timeout = 20s' 'drain_delay = 1h'
	start_app || return
	write_three 'stop_timeout = 30s'
	reload ' test +reloaded: no server has changed'
	stop_app TERM
	is 'exit status' "$status" 0
	has "$work/app.err" ' test +stopping, within 30 s'
	lacks "$work/app.err" 'draining'
}

a_new_server_that_fails_is_a_failing_server() {
	write_three
	start_app || return
	cat >>"$work/app.ini" <<-END
		[server:four]
		shell = exit 3
	END
	kill -HUP "$pid"
	finish "$pid"
	is 'exit status' "$status" 1
	has_in_order "$work/app.err" ' test +reloaded: 1 added' \
		' error four +failed: exited with status 3' \
		' error test +failed: four: exited with status 3'
}

json_tells_of_a_reload() {
	write_three
	start app "$cratos" run --json "$work/app.ini"
	wait_for_line "$work/app.err" '"state":"running"'
	cat >>"$work/app.ini" <<-END
		[server:four]
		exec = sleep 1004
	END
	kill -HUP "$pid"
	wait_for_line "$work/app.err" '"event":"ready".*"server":"four","pid":'
	echo bogus = 1 >>"$work/app.ini"
	kill -HUP "$pid"
	wait_for_line "$work/app.err" '"event":"reload-refused"'
	stop_app TERM
	is 'exit status' "$status" 0
	grep -v '^cratos: ' "$work/app.err" >"$work/json.err"
	python3 "$tools" events "$work/json.err" >"$work/events.out" ||
		problem 'not JSON as it should be'
	has_in_order "$work/events.out" '^signal SIGHUP$' '^state reloading$' \
		'^state committing$' '^added four$' '^reloaded$' \
		'^starting four$' '^reload-refused$' '^state running$' \
		'^signal SIGTERM$' '^end True$'
}

# ---- what is refused ----

a_broken_file_changes_nothing_and_is_told() {
	local before
	write_three
	start_app || return
	before=$(pids one two three)
	cat >>"$work/app.ini" <<-'END'
		bogus = 1
		[server:four]
		exec = sleep 1004
		after = nobody
		[server:five]
	END
	reload ' error test +reload refused, the old configuration stays in force: '
	has "$work/app.err" "^cratos: $work/app.ini:11: \[server:three\] bogus: "
	has "$work/app.err" "^cratos: $work/app.ini:14: \[server:four\] after: "
	has "$work/app.err" "^cratos: $work/app.ini:15: \[server:five\]: nothing to run"
	has "$work/app.err" "refused, .*: $work/app.ini:11: .*; 2 errors more, see above\$"
	is_as_before "$before"
}

what_a_start_would_refuse_is_refused() {
	local before
	write_three
	start_app || return
	before=$(pids one two three)
	sed -i 's/sleep 1003/no-such-program/' "$work/app.ini"
	reload " error test +reload refused, .*$work/app.ini:10: .*no-such-program"
	write_three
	sed -i 's/^exec = sleep 1001/&\nafter = two/' "$work/app.ini"
	reload ' error test +reload refused, .*: comes after itself: '
	rm "$work/app.ini"
	reload " error test +reload refused, .*$work/app.ini: .*No such file"
	: >"$work/app.ini"
	reload ' error test +reload refused, .*no server to run'
	is_as_before "$before"
}

name_and_version_cannot_change() {
	local before
	write_three 'version = 1.0'
	start_app || return
	before=$(pids one two three)
	write_three 'version = 1.1'
	reload ' error test +reload refused, '
	has "$work/app.err" "^cratos: $work/app.ini:3: \[app\] version: cannot change while the app runs: restart it\$"
	write_three
	reload ' error test +reload refused, .*1: \[app\] version: '
	write_three 'version = 1.0'
	sed -i 's/^name = .*/name = other/' "$work/app.ini"
	reload ' error test +reload refused, .*2: \[app\] name: '
	write_three 'version = 1.0'
	reload ' test +reloaded: no server has changed'
	is_as_before "$before"
}

# ---- at other times ----

two_requests_in_a_row_are_met() {
	write_three
	start_app || return
	cat >>"$work/app.ini" <<-END
		[server:four]
		exec = sleep 1004
	END
	kill -HUP "$pid"
	kill -HUP "$pid"
	wait_for_line "$work/app.err" ' four +ready'
	write_three
	kill -HUP "$pid"
	wait_for_line "$work/app.err" ' four +removed'
	stop_app TERM
	is 'exit status' "$status" 0
	is 'how often it was added' "$(count_lines "$work/app.err" ' four +added')" 1
	lacks "$work/app.err" ' (error|warn) '
}

a_request_during_the_start_is_met_after_it() {
	write_app <<-END
		[server:slow]
		shell = while [ ! -e $work/go ]; do sleep 0.05; done
		oneshot = true
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' slow +starting'
	cat >>"$work/app.ini" <<-END
		[server:new]
		exec = sleep 1000
	END
	kill -HUP "$pid"
	wait_for_line "$work/app.err" ' got SIGHUP'
	lacks "$work/app.err" 'reloaded'
	: >"$work/go"
	wait_for_line "$work/app.err" ' new +ready'
	has_in_order "$work/app.err" ' slow +done after' ' test +running' \
		' test +reloaded: 1 added'
	stop_app TERM
	is 'exit status' "$status" 0
}

a_stop_during_a_reload_is_obeyed() {
	cat >"$work/slow" <<-END
		trap 'while [ ! -e $work/go ]; do sleep 0.05; done; exit 0' TERM
		echo 'slow is up'
		while :; do sleep 0.05; done
	END
	write_app <<-END
		[server:slow]
		exec = sh $work/slow
		[server:other]
		exec = sleep 1000
	END
	start_app || return
	wait_for_line "$work/app.err" ' out +[a-z]+ +slow is up$'
	sed -i 's/^exec = sh.*/&\nenv.A = 1/' "$work/app.ini"
	cat >>"$work/app.ini" <<-END
		[server:new]
		exec = sleep 1000
	END
	kill -HUP "$pid"
	wait_for_line "$work/app.err" ' slow +stopping: SIGTERM'
	kill -TERM "$pid"
	wait_for_line "$work/app.err" ' got SIGTERM'
	: >"$work/go"
	finish "$pid"
	is 'exit status' "$status" 0
	has_in_order "$work/app.err" ' got SIGTERM' ' other +stopped' \
		' info  test +stopped'
	has "$work/app.err" ' slow +stopped'
	lacks "$work/app.err" ' (error|warn) '
}

a_request_during_the_stop_is_nothing() {
	cat >"$work/slow" <<-END
		trap 'while [ ! -e $work/go ]; do sleep 0.05; done; exit 0' TERM
		echo 'slow is up'
		while :; do sleep 0.05; done
	END
	write_app <<-END
		[server:slow]
		exec = sh $work/slow
	END
	start_app || return
	wait_for_line "$work/app.err" ' out +[a-z]+ +slow is up$'
	kill -TERM "$pid"
	wait_for_line "$work/app.err" ' slow +stopping'
	echo bogus >>"$work/app.ini"
	kill -HUP "$pid"
	wait_for_line "$work/app.err" ' got SIGHUP'
	: >"$work/go"
	finish "$pid"
	is 'exit status' "$status" 0
	lacks "$work/app.err" 'reload|bogus'
}

# ---- the terminal ----

a_terminal_that_goes_away_stops_the_app() {
	write_three
	: >"$work/app.err"
	# shellcheck disable=SC2016 # for the inner shell
	is 'exit status' "$("${wrap[@]}" python3 "$tools" hang_up \
		"$work/app.err" 'running, all ready' \
		sh -c 'exec "$@" 2>>"$0"' "$work/app.err" \
		"$cratos" run "$work/app.ini")" 0
	has_in_order "$work/app.err" ' got SIGHUP' ' test +stopping' \
		' one +stopped' ' info  test +stopped'
	lacks "$work/app.err" 'reload'
}

a_terminal_that_goes_away_during_the_start_stops_the_app() {
	write_app <<-END
		[server:slow]
		exec = sleep 1000
		oneshot = true
	END
	: >"$work/app.err"
	# shellcheck disable=SC2016 # for the inner shell
	is 'exit status' "$("${wrap[@]}" python3 "$tools" hang_up \
		"$work/app.err" 'slow +starting' \
		sh -c 'exec "$@" 2>>"$0"' "$work/app.err" \
		"$cratos" run "$work/app.ini")" 0
	has_in_order "$work/app.err" ' got SIGHUP' ' test +stopping'
}

under_nohup_it_goes_on_without_its_terminal() {
	write_three
	: >"$work/app.err"
	# Its shell ends when the terminal goes, it does not.
	# shellcheck disable=SC2016 # for the inner shell
	python3 "$tools" hang_up "$work/app.err" 'running, all ready' \
		bash -c 'env --ignore-signal=HUP "$@" 2>>"$0" & wait' \
		"$work/app.err" "${wrap[@]}" "$cratos" run "$work/app.ini" \
		>"$work/status.out"
	pid=$(sed -nE 's/.*to stop: .*kill ([0-9]+)$/\1/p' "$work/app.err")
	kill -HUP "$pid"
	kill -TERM "$pid"
	wait_for_line "$work/app.err" ' info  test +stopped after'
	lacks "$work/app.err" 'SIGHUP'
}

# ---- reports ----

a_report_tells_of_each_server() {
	local option server
	write_app <<-END
		[server:one]
		shell = echo one is up; exec sleep 1000
		[server:two]
		tcp-echo = 127.0.0.1:0
		[server:waits]
		exec = sleep 1000
		after = slow
		[server:slow]
		exec = sleep 1000
		oneshot = true
	END
	for option in --json --quiet; do
		start app "$cratos" run "$option" "$work/app.ini"
		wait_for_line "$work/app.err" '( out +one +|"text":")one is up'
		kill -USR1 "$pid"
		for server in one two waits slow; do
			if [ "$option" = --json ]; then
				wait_for_line "$work/app.err" \
					"\"event\":\"report\".*\"server\":\"$server\".*\"text\":"
			else
				wait_for_line "$work/app.err" " info  $server +"
			fi
		done
		stop_app TERM
		is "exit status with $option" "$status" 0
	done
}

for name in a_reload_changes_what_has_changed_and_nothing_else \
	nothing_new_changes_nothing \
	the_environment_counts_by_its_value \
	a_built_in_server_keeps_its_address \
	a_one_shot_runs_again_if_it_has_changed \
	the_time_to_stop_is_taken_over \
	a_new_server_that_fails_is_a_failing_server \
	json_tells_of_a_reload \
	a_broken_file_changes_nothing_and_is_told \
	what_a_start_would_refuse_is_refused \
	name_and_version_cannot_change \
	two_requests_in_a_row_are_met \
	a_request_during_the_start_is_met_after_it \
	a_stop_during_a_reload_is_obeyed \
	a_request_during_the_stop_is_nothing \
	a_terminal_that_goes_away_stops_the_app \
	a_terminal_that_goes_away_during_the_start_stops_the_app \
	under_nohup_it_goes_on_without_its_terminal \
	a_report_tells_of_each_server; do
	test_that "$name"
done
all_passed
