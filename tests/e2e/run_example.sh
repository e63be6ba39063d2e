#!/bin/bash
# The app that "make run" runs: what a newcomer sees first.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

socket=$build/echo.sock

choose_ports() {
	read -r WEB_PORT ECHO_PORT < <(python3 "$tools" ports 2)
	export WEB_PORT ECHO_PORT
}

# What is on the screen once all is up. A terminal's lines end with \r.
tells_how_it_goes() { # FILE
	has "$1" 'example +starting 4 servers'
	has "$1" "echo +ready after [0-9.]+ m?s: tcp://127.0.0.1:$ECHO_PORT, pid"
	has "$1" "echo-local +ready after [0-9.]+ m?s: unix:$socket, pid [0-9]+"
	has "$1" "web +ready after [0-9.]+ m?s: http://127.0.0.1:$WEB_PORT/, pid"
	has "$1" 'built-in +ready after [0-9.]+ m?s: tcp://127.0.0.1:[1-9]'
	has "$1" 'example +running, all ready after [0-9.]+ m?s; to stop: '
}

tells_the_stop() { # FILE SIGNAL
	local server
	has_in_order "$1" 'web +stopped after' 'echo +stopping'
	has_in_order "$1" "example +got $2" 'example +stopping, within 10 s' \
		'echo +stopping: SIGTERM to pid' 'example +stopped after'
	for server in echo echo-local web built-in; do
		has_in_order "$1" " $server +stopping" \
			" $server +stopped after [0-9.]+ m?s"
	done
	lacks "$1" 'error|failed'
}

check_shows_the_example() {
	choose_ports
	run "$cratos" check "$example"
	is 'exit status' "$status" 0
	has_in_order "$work/out" '^app example: 4 servers, stops within 10 s' \
		'^1\. echo$' '^2\. echo-local$' '^3\. built-in$' '^4\. web$' \
		'^    after echo, echo-local$'
	is 'standard error' "$(cat "$work/err")" ''
}

sigterm_ends_the_example_in_order() {
	local built_in
	choose_ports
	start app "$cratos" run "$example"
	wait_for_line "$work/app.err" 'running, all ready' || return
	tells_how_it_goes "$work/app.err"
	has "$work/app.err" "to stop: kill $pid\$"
	is 'the answer over tcp' \
		"$(python3 "$tools" talk "127.0.0.1:$ECHO_PORT" hello)" hello
	is 'the answer over unix' \
		"$(python3 "$tools" talk "unix:$socket" hello)" hello
	python3 "$tools" get "127.0.0.1:$WEB_PORT" / >"$work/page.out"
	is 'the answer of the web server' "$(head -n 1 "$work/page.out")" 200
	built_in=$(sed -n 's|.*built-in .*tcp://||p' "$work/app.err")
	is 'the answer of the built-in server' \
		"$(python3 "$tools" talk "$built_in" hello)" hello
	stop_app TERM
	is 'exit status' "$status" 0
	tells_the_stop "$work/app.err" SIGTERM
	lacks "$work/app.err" $'\033'
	[ ! -e "$socket" ] || problem "$socket is still there"
}

on_terminal() { # NAME=VALUE...
	env TERM=xterm "$@" "${wrap[@]}" python3 "$tools" on_terminal \
		"$work/terminal.out" 'all ready after.*to stop.*\n' '\x03' \
		"$cratos" run "$example"
}

ctrl_c_on_a_terminal_ends_the_example_in_order() {
	choose_ports
	is 'exit status' "$(on_terminal NO_COLOR=1)" 0
	tells_how_it_goes "$work/terminal.out"
	has "$work/terminal.out" 'to stop: Ctrl-C, or kill [0-9]+'
	tells_the_stop "$work/terminal.out" SIGINT
	[ ! -e "$socket" ] || problem "$socket is still there"
}

a_terminal_gets_colour() {
	choose_ports
	is 'exit status' "$(on_terminal)" 0
	has "$work/terminal.out" $'\033\\[32minfo'
}

no_color_and_dumb_terminals_are_respected() {
	local setting
	choose_ports
	for setting in NO_COLOR=1 TERM=dumb; do
		is "exit status with $setting" "$(on_terminal "$setting")" 0
		lacks "$work/terminal.out" $'\033'
	done
}

make_run_ends_with_its_app() {
	choose_ports
	start make make -s run "BUILD=$build" WERROR=
	wait_for_line "$work/make.err" 'running, all ready' || return
	stop_app TERM
	wait_for_line "$work/make.err" 'example +stopped after'
	tells_the_stop "$work/make.err" SIGTERM
}

test_that check_shows_the_example
test_that sigterm_ends_the_example_in_order
test_that ctrl_c_on_a_terminal_ends_the_example_in_order
test_that a_terminal_gets_colour
test_that no_color_and_dumb_terminals_are_respected
if [ -n "${WRAP:-}" ]; then
	skip make_run_ends_with_its_app 'make run is of the plain build'
else
	test_that make_run_ends_with_its_app
fi
all_passed
