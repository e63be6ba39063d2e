#!/bin/bash
# Readiness probes and health checks, with real programs.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

write_app() {
	cat >"$work/app.ini"
}

what_comes_after_starts_when_the_port_answers() {
	local port
	port=$(python3 "$tools" ports 1)
	mkdir -p "$work/www"
	write_app <<-INI
		[server:web]
		exec = python3 -m http.server --bind 127.0.0.1 $port
		dir = $work/www
		ready = http://127.0.0.1:$port/
		health = tcp:localhost:$port
		health_interval = 50ms

		[server:client]
		shell = python3 $PWD/$tools get 127.0.0.1:$port / >$work/page.out
		oneshot = yes
		after = web
	INI
	start_app || return
	is 'the answer' "$(head -n 1 "$work/page.out")" 200
	has_in_order "$work/app.err" 'web +ready after' 'client +starting' \
		'client +done after'
	stop_app TERM
	is 'exit status' "$status" 0
	lacks "$work/app.err" 'error|failed'
}

# A program that speaks the protocol of sd_notify, without its library.
notify_py() {
	cat <<-'PY'
		import os, signal, socket, sys
		name = os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1)
		sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		for word in sys.argv[1:]:
		    sock.sendto(word.encode(), name)
		signal.pause()
	PY
}

a_program_says_itself_when_it_is_ready() {
	notify_py >"$work/notify.py"
	write_app <<-INI
		[server:speaker]
		exec = python3 $work/notify.py "STATUS=loading" READY=1
		ready = notify

		[server:writer]
		shell = echo >&4; exec sleep 1000
		ready = fd:4

		[server:sleeper]
		exec = sleep 1000
		ready = delay:20ms
	INI
	start_app || return
	stop_app TERM
	is 'exit status' "$status" 0
	lacks "$work/app.err" 'error|failed'
}

a_program_is_ready_when_it_prints_the_line() {
	write_app <<-INI
		[server:lines]
		shell = echo loading; echo "listening on 80" >&2; exec sleep 1000
		ready = log:^listening on [0-9]+$

		[server:file]
		shell = echo "up 1"; exec sleep 1000
		log = file:$work/file.log
		ready = log:^up [0-9]$

		[server:late]
		shell = echo late; exec sleep 1000
		after = lines file
	INI
	start_app || return
	has_in_order "$work/app.err" 'lines +listening on 80' \
		'lines +ready after' 'late +starting'
	has_in_order "$work/app.err" 'file +ready after' 'late +starting'
	is 'the file' "$(cat "$work/file.log")" 'up 1'
	stop_app TERM
	is 'exit status' "$status" 0
	lacks "$work/app.err" 'error|failed'
}

# What the first run has printed is not taken for the second one's, though it is
# read only then, since our lines were not read.
each_run_prints_its_own_line() {
	write_app <<-INI
		[server:twice]
		shell = test -e $work/again && exec sleep 1000; touch $work/again; \
			yes up & sleep 0.3; kill \$!; wait; exit 1
		ready = log:^up$
		restart = on-failure
		restart_delay = 1ms
		restart_limit = 1
		restart_window = 1m
		start_timeout = 2s
	INI
	timeout 60 "$cratos" run "$work/app.ini" 2>&1 | { sleep 1 && cat >"$work/err"; }
	is 'exit status' "${PIPESTATUS[0]}" 1
	has "$work/err" 'twice .*log:\^up\$'
}

a_start_that_takes_too_long_says_what_was_lacking() {
	notify_py >"$work/notify.py"
	write_app <<-INI
		[server:speaker]
		exec = python3 $work/notify.py "STATUS=loading the world"
		ready = notify
		start_timeout = 3s
	INI
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	has "$work/err" 'speaker: not ready after 3 s: notify: loading the world'
	write_app <<-INI
		[app]
		start_timeout = 500ms
		[server:a]
		exec = sleep 1000
		ready = unix:$work/none
	INI
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	has "$work/err" "not ready after 500 ms: a; unix:.*: No such file"
}

says_what_is_lacking() {
	says "$work/app.err" 'slow +not ready: exec:false: exited with status 1' ||
		{ kill -USR1 "$pid"; return 1; }
}

who_is_long_not_ready_says_what_is_lacking() {
	local port
	port=$(python3 "$tools" ports 1)
	write_app <<-INI
		[server:web]
		exec = sleep 1000
		ready = tcp:127.0.0.1:$port
		[server:late]
		exec = sleep 1000
		ready = delay:10500ms
	INI
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' warn +web +not ready after 10 s: tcp:127.*refused'
	wait_for_line "$work/app.err" ' warn +late +not ready after 10 s: delay'
	kill -HUP "$pid"
	wait_for_line "$work/app.err" ' got SIGHUP from pid [0-9]+ .bash.: the file is read again once the app runs$'
	wait_for_line "$work/app.err" ' late +ready after'
	stop_app TERM
	is 'exit status' "$status" 0
}

the_report_says_what_is_lacking() {
	write_app <<-INI
		[server:slow]
		exec = sleep 1000
		ready = exec:false
	INI
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'slow +starting' || return
	eventually says_what_is_lacking || problem 'no word of what is lacking'
	stop_app TERM
	is 'exit status' "$status" 0
}

a_server_that_is_not_well_is_restarted() {
	touch "$work/well"
	write_app <<-INI
		[server:patient]
		exec = sleep 1000
		health = exec:test -e $work/well
		health_interval = 20ms
		health_failures = 2
		restart = on-failure
		restart_delay = 10ms
		restart_limit = 0
	INI
	start_app || return
	rm "$work/well"
	wait_for_line "$work/app.err" "patient +failed: health check failed 2 \
times: exec:test -e .*: exited with status 1" || return
	wait_for_lines 2 "$work/app.err" 'patient +ready after' || return
	touch "$work/well"
	has_in_order "$work/app.err" 'patient +failed: health' \
		'patient +restarts in' 'patient +stopping: SIGTERM to pid' \
		'patient +stopped after' 'patient +starting' 'patient +ready after'
	stop_app TERM
	is 'exit status' "$status" 0
}

a_server_that_is_not_well_and_not_restarted_ends_the_app() {
	write_app <<-INI
		[server:patient]
		exec = sleep 1000
		dir = $work
		health = unix:none
		health_interval = 10ms
		health_failures = 1
	INI
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	has "$work/err" \
		'patient: health check failed 1 time: unix:none: No such file'
}

# check_leftovers sees to what is left.
a_stop_in_the_middle_of_an_attempt_leaves_nothing() {
	write_app <<-INI
		[server:slow]
		exec = sleep 1000
		ready = exec:sh -c 'trap "" TERM; echo >$work/tried.out; sleep 999'
	INI
	start app "$cratos" run "$work/app.ini"
	eventually test -e "$work/tried.out" || problem 'no attempt was made'
	stop_app TERM
	is 'exit status' "$status" 0
	rm "$work/tried.out"
	start app "$cratos" run "$work/app.ini"
	eventually test -e "$work/tried.out" || problem 'no attempt was made'
	stop_app INT
	is 'exit status' "$status" 0
}

check_refuses_what_is_no_probe() {
	write_app <<-INI
		[server:a]
		exec = sleep 1000
		ready = tcp:example.org:80
		health = delay:1s

		[server:b]
		exec = sleep 1000
		ready = exec:cratos-no-such-program
		health_interval = 1s
		ready_interval = 0

		[server:c]
		exec = sleep 1000
		ready = exec:cratos-no-such-program

		[server:d]
		exec = true
		oneshot = yes
		ready = start
		ready_timeout = 1s

		[server:e]
		tcp-echo = 127.0.0.1:0
		health = exec:true

		[server:f]
		exec = true
		ready = log:x
		log = null
	INI
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 78
	has "$work/err" 'ini:3: \[server:a\] ready: tcp:example.org:80: the host is'
	has "$work/err" 'ini:4: \[server:a\] health: delay:1s: not one of tcp:'
	has "$work/err" 'ini:10: \[server:b\] ready_interval: .*1ms'
	has "$work/err" 'ini:14: \[server:c\] ready: command cratos-no-such-pro'
	has "$work/err" 'ini:19: \[server:d\] ready: a one-shot is ready when'
	has "$work/err" 'ini:20: \[server:d\] ready_timeout: does nothing without'
	has "$work/err" 'ini:24: \[server:e\] health: goes with exec and shell'
	has "$work/err" 'ini:28: \[server:f\] ready: its output is not read'
}

check_shows_probes() {
	write_app <<-INI
		[server:a]
		exec = sleep 1000
		ready = tcp:localhost:80
		health = exec:true
		health_failures = 1
	INI
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 0
	has "$work/out" '^    ready tcp:localhost:80$'
	has "$work/out" '^    health exec:true, every 10 s, failed after 1 time$'
}

test_that what_comes_after_starts_when_the_port_answers
test_that a_program_says_itself_when_it_is_ready
test_that a_program_is_ready_when_it_prints_the_line
test_that each_run_prints_its_own_line
test_that a_start_that_takes_too_long_says_what_was_lacking
test_that the_report_says_what_is_lacking
test_that who_is_long_not_ready_says_what_is_lacking
test_that a_server_that_is_not_well_is_restarted
test_that a_server_that_is_not_well_and_not_restarted_ends_the_app
test_that a_stop_in_the_middle_of_an_attempt_leaves_nothing
test_that check_refuses_what_is_no_probe
test_that check_shows_probes
all_passed
