#!/bin/bash
# echod: how a daemon that is written with the library stops and fails.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

connections=200

write_ini() { # LISTEN STOP-TIMEOUT
	printf '[echod]\nlisten = %s\nstop_timeout = %s\n' "$1" "$2" \
		>"$work/echod.ini"
}

start_echod() { # NAME; its address is in $address
	start "$1" "$echod" "$work/echod.ini"
	wait_for_line "$work/$1.err" '^echod: listening on ' || return
	address=$(sed -n 's/^echod: listening on //p' "$work/$1.err")
	address=${address#tcp://}
}

# Opens the connections, stops echod, and lets some of them finish then; the
# client's words are in load.out.
stop_under_load() { # FINISHING
	local daemon client
	start_echod app || return
	daemon=$pid
	start load python3 "$tools" load "$address" "$connections" "$1" \
		"$work/step"
	client=$pid
	eventually test -e "$work/step.open" || problem 'not all are open'
	kill -TERM "$daemon"
	wait_for_line "$work/app.err" \
		"^echod: stopping, $connections connections to finish\$"
	is 'a new connection' \
		"$(python3 "$tools" refused "$address")" refused
	: >"$work/step.go"
	finish "$client"
	is 'exit status of the client' "$status" 0
	finish "$daemon"
}

connections_that_finish_in_time_are_served_to_the_end() {
	write_ini 127.0.0.1:0 1h
	stop_under_load "$connections"
	is 'exit status' "$status" 0
	has "$work/load.out" "^$connections served, 0 cut off\$"
	is 'the last line' "$(tail -n 1 "$work/app.err")" 'echod: stopped'
}

connections_that_do_not_are_cut_off_at_the_deadline() {
	local timeout_s=3 after_ms
	# Those that finish must do so in time under a sanitizer, too.
	[ -z "${WRAP:-}" ] || timeout_s=12
	write_ini 127.0.0.1:0 "${timeout_s}s"
	stop_under_load 120
	is 'exit status' "$status" 1
	has "$work/load.out" '^120 served, 80 cut off$'
	is 'the last line' "$(tail -n 1 "$work/app.err")" \
		"echod: echo: cut off 80 of $connections connections at the deadline"
	after_ms=$(cat "$work/step.after")
	[ "$after_ms" -ge 500 ] || problem "cut off after $after_ms ms already"
}

one_sigterm_more_ends_it_at_once() {
	write_ini 127.0.0.1:0 1h
	start_echod app || return
	local daemon=$pid
	start load python3 "$tools" load "$address" 1 0 "$work/step"
	local client=$pid
	eventually test -e "$work/step.open" || problem 'not open'
	: >"$work/step.go"
	kill -TERM "$daemon"
	wait_for_line "$work/app.err" '^echod: stopping, 1 connections to finish$'
	kill -TERM "$daemon"
	finish "$daemon"
	is 'exit status' "$status" 143
	finish "$client"
}

a_socket_file_that_was_left_is_replaced() {
	write_ini "unix:$work/socket" 10s
	python3 "$tools" stale "$work/socket"
	start_echod app || return
	is 'its address' "$address" "unix:$work/socket"
	is 'the answer' "$(python3 "$tools" talk "$address" hello)" hello
	stop_app TERM
	is 'exit status' "$status" 0
	[ ! -e "$work/socket" ] || problem 'the socket file is still there'
}

a_socket_file_in_use_is_refused() {
	write_ini "unix:$work/socket" 10s
	start_echod app || return
	run "$echod" "$work/echod.ini"
	is 'exit status of the second' "$status" 1
	has "$work/err" "^echod: echo: .*$work/socket: in use by a running process\$"
	is 'the answer of the first' \
		"$(python3 "$tools" talk "$address" hello)" hello
	stop_app TERM
	is 'exit status of the first' "$status" 0
}

a_file_that_is_no_socket_is_left_alone() {
	write_ini "unix:$work/file" 10s
	echo precious >"$work/file"
	run "$echod" "$work/echod.ini"
	is 'exit status' "$status" 1
	has "$work/err" "^echod: echo: .*$work/file: "
	is 'the file' "$(cat "$work/file")" precious
}

a_port_in_use_is_refused() {
	write_ini 127.0.0.1:0 10s
	start_echod app || return
	write_ini "$address" 10s
	run "$echod" "$work/echod.ini"
	is 'exit status of the second' "$status" 1
	has "$work/err" "^echod: echo: .*$address: Address already in use\$"
	stop_app TERM
	is 'exit status of the first' "$status" 0
	# What was used a moment ago can be used again at once.
	start_echod again || return
	is 'its address' "$address" "$(sed -n 's/^listen = //p' "$work/echod.ini")"
	stop_app TERM
	is 'exit status' "$status" 0
}

a_bad_file_is_refused_with_all_that_is_wrong() {
	printf '[echod]\nlisten =\nmax_connections = many\nstop_timeuot = 1s\n' \
		>"$work/echod.ini"
	run "$echod" "$work/echod.ini"
	is 'exit status' "$status" 78
	local line
	for line in 2 3 4; do
		has "$work/err" "^echod: $work/echod.ini:$line: \[echod\] "
	done
	run "$echod" "$work/nothing.ini"
	is 'exit status without a file' "$status" 78
	has "$work/err" "^echod: $work/nothing.ini: .*No such file or directory"
	write_ini 127.0.0.1:notaport 1s
	run "$echod" "$work/echod.ini"
	is 'exit status for an address that is none' "$status" 1
	has "$work/err" '^echod: listen 127.0.0.1:notaport: '
}

wrong_usage_is_refused() {
	run "$echod"
	is 'exit status without a file' "$status" 2
	has "$work/err" '^usage: echod FILE$'
	run "$echod" a b
	is 'exit status with two files' "$status" 2
}

its_own_configuration_file_is_valid() {
	local port
	port=$(python3 "$tools" ports 1)
	start app env ECHOD_LISTEN="127.0.0.1:$port" "$echod" \
		cmd/echod/echod.ini
	is 'the answer' \
		"$(python3 "$tools" talk "127.0.0.1:$port" hello)" hello
	stop_app TERM
	is 'exit status' "$status" 0
}

for name in connections_that_finish_in_time_are_served_to_the_end \
	connections_that_do_not_are_cut_off_at_the_deadline \
	one_sigterm_more_ends_it_at_once \
	a_socket_file_that_was_left_is_replaced \
	a_socket_file_in_use_is_refused a_file_that_is_no_socket_is_left_alone \
	a_port_in_use_is_refused a_bad_file_is_refused_with_all_that_is_wrong \
	wrong_usage_is_refused its_own_configuration_file_is_valid; do
	test_that "$name"
done
all_passed
