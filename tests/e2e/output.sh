#!/bin/bash
# What cratos prints, and what its children are given.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

write_echo_app() {
	printf '[app]\nname = out\n[server:one]\ntcp-echo = 127.0.0.1:0\n' \
		>"$work/app.ini"
}

write_failing_app() {
	printf '[app]\nname = out\n[server:one]\nexec = sh -c "exit 3"\n' \
		>"$work/app.ini"
}

json_is_one_object_for_each_event() {
	write_echo_app
	start app "$cratos" run --json "$work/app.ini"
	wait_for_line "$work/app.err" '"state":"running"'
	stop_app TERM
	is 'exit status' "$status" 0
	python3 "$tools" events "$work/app.err" >"$work/events.out" ||
		problem 'not JSON as it should be'
	sed -E 's/127.0.0.1:[1-9][0-9]*/ADDRESS/' "$work/events.out" \
		>"$work/events.found"
	cat >"$work/events.wanted" <<-END
		state preparing
		state before-start_hooks
		state starting
		starting one tcp://ADDRESS
		ready one tcp://ADDRESS
		state registering
		app-ready
		state after-start_hooks
		state running
		signal SIGTERM
		app-unready
		state before-stop_hooks
		state deregistering
		state draining
		state stopping
		stopping one tcp://ADDRESS
		stopped one tcp://ADDRESS
		state after-stop_hooks
		state done
		end True
	END
	diff "$work/events.wanted" "$work/events.found" >"$work/diff.out" ||
		problem 'another sequence of events'
}

json_tells_a_failure() {
	write_failing_app
	run "$cratos" run --json "$work/app.ini"
	is 'exit status' "$status" 1
	python3 "$tools" events "$work/err" >"$work/events.out" ||
		problem 'not JSON as it should be'
	has_in_order "$work/events.out" '^failed one$' '^stopped one$' '^end False$'
	has "$work/err" '"level":"error".*"text":"failed: exited with status 3"'
}

json_is_valid_whatever_is_in_it() {
	local long='"quoted" \back\slash '
	for _ in 1 2 3 4 5 6 7 8 9; do long=$long$long; done
	# Latin-1, half a character, a surrogate; and text of some kilobytes.
	{
		printf '[app]\nname = out\n[server:one]\n'
		printf 'exec = sh -c "exit 3" \351 \342\202 \355\240\200 \303\244\n'
		printf '[server:two]\nexec = sh -c "exit 3" %s\n' "$long"
	} >"$work/app.ini"
	run "$cratos" run --json "$work/app.ini"
	is 'exit status' "$status" 1
	python3 "$tools" events "$work/err" >"$work/events.out" ||
		problem 'not JSON as it should be'
	has "$work/events.out" '^starting two$'
}

json_tells_what_is_wrong_with_a_file() {
	write_echo_app
	start app "$cratos" run --json "$work/app.ini"
	wait_for_line "$work/app.err" '"state":"running"'
	printf 'bogus = "1"\n' >>"$work/app.ini"
	kill -HUP "$pid"
	wait_for_line "$work/app.err" '"event":"reload-refused"'
	stop_app TERM
	is 'exit status' "$status" 0
	run "$cratos" run --json "$work/app.ini"
	is 'exit status with the file' "$status" 78
	cat "$work/err" >>"$work/app.err"
	python3 "$tools" events "$work/app.err" >"$work/events.out" ||
		problem 'not JSON as it should be'
	has_in_order "$work/events.out" '^problem$' '^reload-refused$' \
		'^end True$' '^problem$'
	has "$work/err" '"level":"error".*"text":"[^"]*app.ini:5: .*bogus'
}

quiet_is_silent_when_all_is_well() {
	local port option
	port=$(python3 "$tools" ports 1)
	printf '[server:one]\ntcp-echo = 127.0.0.1:%s\n' "$port" \
		>"$work/app.ini"
	for option in --quiet -q '--quiet --json'; do
		# shellcheck disable=SC2086 # several words are meant
		start app "$cratos" run $option "$work/app.ini"
		is 'the answer' "$(python3 "$tools" talk "127.0.0.1:$port" hi)" hi
		stop_app TERM
		is 'exit status' "$status" 0
		is "what $option prints" "$(cat "$work/app.out" "$work/app.err")" ''
	done
}

quiet_tells_what_goes_wrong() {
	write_failing_app
	run "$cratos" run --quiet "$work/app.ini"
	is 'exit status' "$status" 1
	is 'number of lines' "$(wc -l <"$work/err")" 2
	has_in_order "$work/err" ' error one +failed: exited with status 3$' \
		' error out +failed: one: exited with status 3$'
}

under_journald_lines_have_priorities_instead_of_times() {
	write_failing_app
	: >"$work/app.err"
	start app env JOURNAL_STREAM="$(stat -c '%d:%i' "$work/app.err")" \
		"$cratos" run "$work/app.ini"
	finish "$pid"
	is 'exit status' "$status" 1
	has_in_order "$work/app.err" '^<6>out: starting 1 server$' \
		'^<6>one: ready after' '^<3>one: failed: exited with status 3$' \
		'^<3>out: failed: one: exited with status 3$'
	is 'lines without a priority' \
		"$(grep -vcE '^<[346]>(one|out): ' "$work/app.err")" 0
}

another_stream_than_the_journal_gets_times() {
	write_failing_app
	start app env JOURNAL_STREAM=1:2 "$cratos" run "$work/app.ini"
	finish "$pid"
	has "$work/app.err" '^[0-9][0-9]:[0-9][0-9]:[0-9][0-9]\.[0-9]{3} info  out '
	lacks "$work/app.err" '^<'
}

# The environment brings what a file may not have.
a_value_does_not_drive_the_terminal() {
	# shellcheck disable=SC2016 # cratos puts it in
	printf '[server:one]\nexec = sh -c "exit 3" ${X_E2E}\n' >"$work/app.ini"
	X_E2E=$'\033[31m\n<0>forged' run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	lacks "$work/err" $'\033'
	lacks "$work/err" '^<0>'
}

# All that cratos may not hand on: blocked and ignored signals, descriptors.
a_child_gets_a_clean_start() {
	mkdir "$work/folder"
	cat >"$work/probe" <<-'END'
		grep -E '^(SigBlk|SigIgn|SigPnd|ShdPnd):' /proc/self/status
		echo "descriptors: $(cd /proc/self/fd && echo *)"
		echo "stdin: $(readlink /proc/self/fd/0)"
		echo "folder: $(pwd)"
		echo "greeting: $GREETING"
		echo "inherited: $INHERITED $CHANGED"
		echo "arguments: $# $1 $2"
		read -r _ _ _ _ group _ </proc/$$/stat
		[ "$group" = $$ ] && echo 'group: its own'
		echo 'end of probe'
		exec sleep 1000
	END
	cat >"$work/app.ini" <<-END
		[server:one]
		log = inherit
		exec = sh $work/probe "two words" last\\ one
		dir = $work/folder
		env.GREETING = hello world
		env.CHANGED = new
	END
	INHERITED=old CHANGED=old start app \
		env --block-signal=USR1,CHLD --ignore-signal=USR2,PIPE,CHLD \
		bash -c 'exec 7</etc/passwd 9>&2; exec "$@"' bash \
		"$cratos" run "$work/app.ini"
	wait_for_line "$work/app.out" 'end of probe'
	stop_app TERM
	is 'exit status' "$status" 0
	local field
	for field in SigBlk SigIgn SigPnd ShdPnd; do
		has "$work/app.out" "^$field:[[:space:]]*0+\$"
	done
	# The third is the folder that is being read.
	has "$work/app.out" '^descriptors: 0 1 2( 3)?$'
	has "$work/app.out" '^stdin: /dev/null$'
	has "$work/app.out" "^folder: $work/folder\$"
	has "$work/app.out" '^greeting: hello world$'
	has "$work/app.out" '^inherited: old new$'
	has "$work/app.out" '^arguments: 2 two words last one$'
	has "$work/app.out" '^group: its own$'
}

a_reader_of_the_lines_that_goes_away_stops_nothing() {
	local port
	port=$(python3 "$tools" ports 1)
	printf '[server:one]\ntcp-echo = 127.0.0.1:%s\n' "$port" \
		>"$work/app.ini"
	# Its standard error is a pipe that nobody reads any more.
	start app bash -c 'exec 2> >(exit 0); exec "$@"' bash \
		"$cratos" run "$work/app.ini"
	is 'the answer' "$(python3 "$tools" talk "127.0.0.1:$port" hi)" hi
	stop_app TERM
	is 'exit status' "$status" 0
}

# An app whose lines nobody reads: a server that starts again and again, with
# many kilobytes a line, and notes each start. The pipe and what cratos keeps are
# full after some 130 of them. Another notes that it is told to stop.
start_unread() { # STOP-TIMEOUT [pipe|socket|terminal]
	local long='of a line '
	for _ in 1 2 3 4 5 6 7 8 9 10; do long=$long$long; done
	cat >"$work/stays" <<-END
		trap 'echo >>$work/told' TERM
		while :; do sleep 0.05; done
	END
	cat >"$work/app.ini" <<-END
		[app]
		name = out
		stop_timeout = $1
		[server:stays]
		exec = sh $work/stays
		[server:one]
		shell = echo >>$work/starts # $long
		restart = always
		restart_delay = 0
		restart_limit = 0
	END
	: >"$work/starts"
	start unread python3 "$tools" stall "${2:-pipe}" "$work/app" \
		"$cratos" run "$work/app.ini"
	wait_for_lines 200 "$work/starts" '^$'
}

a_reader_of_the_lines_that_stalls_does_not_keep_the_app_from_stopping() {
	local stream
	for stream in pipe socket terminal; do
		start_unread 200ms "$stream" || return
		kill -TERM "$(cat "$work/app.pid")"
		finish "$pid"
		is "exit status with a $stream" "$status" 1
	done
}

a_reader_of_the_lines_that_stalls_does_not_keep_a_second_signal_off() {
	start_unread 1h || return
	kill -TERM "$(cat "$work/app.pid")"
	wait_for_line "$work/told" '^$' || return
	kill -INT "$(cat "$work/app.pid")"
	finish "$pid"
	is 'exit status' "$status" 130
}

a_reader_of_the_lines_that_stalled_is_told_how_many_were_lost() {
	local lost
	start_unread 200ms || return
	: >"$work/app.read"
	wait_for_line "$work/app.err" ' lines lost here: nobody read them$' ||
		return
	kill -TERM "$(cat "$work/app.pid")"
	finish "$pid"
	is 'exit status' "$status" 1
	lost=$(sed -nE 's/.* ([0-9]+) lines lost here.*/\1/p' "$work/app.err" |
		head -n 1)
	[ "$lost" -ge 100 ] || problem "lost are $lost"
	has_in_order "$work/app.err" 'starting 2 servers' ' warn +out +.*lines lost' \
		'got SIGTERM' 'failed: stays: did not stop in time'
	is 'what is no line' \
		"$(grep -vcE '^([0-9:.]{12} |Terminated$)' "$work/app.err")" 0
}

standard_streams_that_are_closed_stay_without_use() {
	local port fd
	port=$(python3 "$tools" ports 1)
	printf '[server:one]\ntcp-echo = 127.0.0.1:%s\n' "$port" \
		>"$work/app.ini"
	start app bash -c 'exec "$@" <&- >&- 2>&-' bash \
		"$cratos" run "$work/app.ini"
	is 'the answer' "$(python3 "$tools" talk "127.0.0.1:$port" hi)" hi
	for fd in 0 1 2; do
		is "descriptor $fd" "$(readlink "/proc/$pid/fd/$fd")" /dev/null
	done
	stop_app TERM
	is 'exit status' "$status" 0
}

check_shows_all_that_is_set() {
	cat >"$work/app.ini" <<-END
		[app]
		name = out
		version = 1.2
		start_timeout = 1m30s
		stop_timeout = 2500ms
		drain_delay = 250ms
		[server:one]
		exec = sleep 1000
		dir = /
		env.GREETING = hello world
		endpoint = http://localhost/
		stop_signal = INT
		start_timeout = 5s
		stop_timeout = 1s
		after = two three
		wants = four
		on_exit = stop
		optional = true
		restart = on-failure
		restart_scope = dependents
		[server:two]
		shell = true | cat
		oneshot = true
		start_timeout = 10s
		[server:three]
		tcp-echo = unix:$work/socket
		after = two
		[server:four]
		exec = sleep 1000
		restart = always
		restart_delay = 0
		restart_limit = 0
		restart_scope = all
		[server:five]
		exec = sleep 1000
		on_exit = stay
		optional = true
		restart = on-failure
		restart_delay = 1s
		restart_max_delay = 1s
		restart_limit = 1
		restart_window = 1m
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 0
	cat >"$work/wanted" <<-END
		app out 1.2: 5 servers, ready within 90 s, drains for 250 ms, stops within 2.5 s

		1. two (one-shot, done within 10 s)
		    shell true | cat
		    stop  SIGTERM

		2. four
		    exec  sleep 1000
		    stop  SIGTERM
		    restarts always: at once, as often as it takes, with all others

		3. five (optional)
		    exec  sleep 1000
		    exit  with status 0 changes nothing
		    stop  SIGTERM
		    restarts on failure: after 1 s, at most 1 time in 60 s

		4. three
		    after two
		    tcp-echo unix:$work/socket

		5. one (optional, ready within 5 s)
		    after two, three
		    wants four
		    exec  sleep 1000
		    dir   /
		    env   GREETING=hello world
		    at    http://localhost/
		    exit  with status 0 stops the app
		    stop  SIGINT, SIGKILL after 1 s
		    restarts on failure: after 100 ms, doubling up to 30 s, at most 5 times in 10 s, with its dependents
	END
	diff "$work/wanted" "$work/out" >"$work/diff.out" ||
		problem 'another text'
	[ ! -e "$work/socket" ] || problem 'check has started something'
}

check_shows_when_a_server_is_killed_by_the_apps_time() {
	cat >"$work/app.ini" <<-END
		[app]
		stop_timeout = 2s
		[server:one]
		exec = sleep 1000
		stop_timeout = 1h
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 0
	has "$work/out" '^    stop  SIGTERM, SIGKILL after 2 s$'
}

what_runs_without_those_that_failed_says_so() {
	cat >"$work/app.ini" <<-END
		[server:one]
		tcp-echo = 127.0.0.1:0
		[server:two]
		exec = /no/such/program
		optional = true
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" \
		'running after [0-9.]+ m?s, without 1 that failed; to stop: kill'
	stop_app TERM
	is 'exit status' "$status" 0
}

for name in json_is_one_object_for_each_event json_tells_a_failure \
	json_is_valid_whatever_is_in_it json_tells_what_is_wrong_with_a_file \
	quiet_is_silent_when_all_is_well \
	quiet_tells_what_goes_wrong \
	under_journald_lines_have_priorities_instead_of_times \
	another_stream_than_the_journal_gets_times \
	a_value_does_not_drive_the_terminal a_child_gets_a_clean_start \
	a_reader_of_the_lines_that_goes_away_stops_nothing \
	a_reader_of_the_lines_that_stalls_does_not_keep_the_app_from_stopping \
	a_reader_of_the_lines_that_stalls_does_not_keep_a_second_signal_off \
	a_reader_of_the_lines_that_stalled_is_told_how_many_were_lost \
	standard_streams_that_are_closed_stay_without_use \
	check_shows_all_that_is_set \
	check_shows_when_a_server_is_killed_by_the_apps_time \
	what_runs_without_those_that_failed_says_so; do
	test_that "$name"
done
all_passed
