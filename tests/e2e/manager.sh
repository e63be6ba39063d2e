#!/bin/bash
# Under a service manager: what it is told, and the sockets that it passes.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

write_app() {
	cat >"$work/app.ini"
}

# A manager of our own that writes down what it is told.
start_manager() { # PATH
	python3 "$tools" manager "$1" "$work/told" &
	started+=("$!")
	manager_pid=$!
	wait_for_line "$work/told" '^listening$'
}

stop_manager() {
	kill "$manager_pid"
	finish "$manager_pid"
}

start_managed() { # PATH [NAME=VALUE...]
	start app NOTIFY_SOCKET="$1" "${@:2}" "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'running, all ready'
}

the_manager_is_told_from_the_start_to_the_end() {
	write_app <<-INI
		[server:slow]
		shell = sleep 0.5; echo >&3; env >$work/env; exec sleep 1000
		ready = fd:3

		[server:next]
		exec = sleep 1000
		after = slow
	INI
	start_manager "$work/socket" || return
	start_managed "$work/socket" || return
	wait_for_line "$work/told" '^READY=1' || return
	kill -HUP "$pid"
	wait_for_line "$work/told" '^RELOADING=1' || return
	wait_for_lines 2 "$work/told" '^READY=1' || return
	wait_for_file "$work/env" || return
	stop_app TERM
	is 'exit status' "$status" 0
	wait_for_line "$work/told" '^STATUS=Stopped$' || return
	stop_manager
	has_in_order "$work/told" \
		'^STATUS=Starting: 0 of 2 ready; waiting for slow, next' \
		'^READY=1' '^STATUS=Running: 2 of 2 ready' \
		'^RELOADING=1' '^MONOTONIC_USEC=[0-9]+$' '^READY=1' \
		'^STOPPING=1' '^STATUS=Stopping: ' '^STATUS=Stopped$'
	has "$work/told" '^EXTEND_TIMEOUT_USEC=[0-9]+$'
	lacks "$work/told" '^(ERRNO|EXIT_STATUS)='
	lacks "$work/env" '^(NOTIFY_SOCKET|WATCHDOG_|LISTEN_)'
}

a_failure_has_its_errno_and_exit_status() {
	write_app <<-INI
		[server:bad]
		shell = sleep 0.2; exit 3
	INI
	start_manager "@cratos-e2e-$$" || return
	start app NOTIFY_SOCKET="@cratos-e2e-$$" "$cratos" run "$work/app.ini"
	finish "$pid"
	is 'exit status' "$status" 1
	wait_for_line "$work/told" '^EXIT_STATUS=1$' || return
	stop_manager
	has_in_order "$work/told" '^READY=1' \
		'^STATUS=Failed: bad: exited with status 3' '^ERRNO=[0-9]+$' \
		'^EXIT_STATUS=1$'
}

the_watchdog_is_fed() {
	write_app <<-INI
		[server:one]
		exec = sleep 1000
	INI
	start_manager "$work/socket" || return
	start_managed "$work/socket" WATCHDOG_USEC=200000 || return
	wait_for_lines 5 "$work/told" '^WATCHDOG=1$' || return
	stop_app TERM
	is 'exit status' "$status" 0
	stop_manager
}

# A real systemd that is no manager of this machine: what it reads is ours.
a_notification_is_one_that_systemd_understands() {
	have systemd-notify || {
		skip "${FUNCNAME[0]}" 'needs systemd-notify'
		return
	}
	write_app <<-INI
		[server:one]
		shell = systemd-notify --ready --status=hello; exec sleep 1000
		ready = notify
	INI
	start_manager "$work/socket" || return
	start_managed "$work/socket" || return
	wait_for_line "$work/told" '^READY=1' || return
	lacks "$work/told" hello
	stop_app TERM
	stop_manager
}

# ---- sockets ----

start_with_sockets() { # NAMES
	start app python3 "$tools" activate "$work/ports" "$1" \
		"${wrap[@]}" "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'running, all ready' &&
		mapfile -t ports <"$work/ports"
}

# Serves one connection after the other with its process id.
listening_py() {
	cat <<-'PY'
		import os, socket
		assert os.environ["LISTEN_PID"] == str(os.getpid())
		names = os.environ["LISTEN_FDNAMES"].split(":")
		assert int(os.environ["LISTEN_FDS"]) == len(names)
		sock = socket.socket(fileno=3 + names.index("web"))
		while True:
		    peer = sock.accept()[0]
		    peer.sendall(f"{' '.join(names)} {os.getpid()}\n".encode())
		    peer.close()
	PY
}

sockets_go_to_the_servers_that_name_them() {
	local first second
	listening_py >"$work/listening.py"
	write_app <<-INI
		[server:echo]
		tcp-echo = fd:echo

		[server:python]
		exec = python3 $work/listening.py
		listen = fd:admin, fd:web
		restart = always
		restart_delay = 10ms

		[server:other]
		shell = env >$work/env; ls -l /proc/self/fd >$work/fds; exec sleep 1000
	INI
	start_with_sockets web:echo:admin:web || return
	is 'an echo' "$(python3 "$tools" talk "127.0.0.1:${ports[1]}" hello hello)" \
		hello
	first=$(python3 "$tools" talk "127.0.0.1:${ports[0]}" '')
	is 'what python got' "${first% *}" 'admin web web'
	# Killed, it is back at the same address, and nobody was refused.
	kill -KILL "${first##* }"
	second=$(python3 "$tools" talk "127.0.0.1:${ports[0]}" '')
	is 'what it got then' "${second% *}" 'admin web web'
	[ "$first" != "$second" ] || problem 'it is the same process'
	wait_for_file "$work/fds" || return
	lacks "$work/env" '^LISTEN_'
	lacks "$work/fds" 'socket:'
	stop_app TERM
	is 'exit status' "$status" 0
}

a_socket_that_was_not_passed_is_told_of() {
	write_app <<-INI
		[server:echo]
		tcp-echo = fd:web
	INI
	run "$cratos" check "$work/app.ini"
	is 'the status of check' "$status" 0
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	has "$work/err" 'echo +failed: listen fd:web: no sockets were passed'
	run python3 "$tools" activate "$work/ports" a:b "${wrap[@]}" \
		"$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	has "$work/err" 'none of the 2 sockets .* LISTEN_FDNAMES was "a:b"'
	run python3 "$tools" activate "$work/ports" web:web "${wrap[@]}" \
		"$cratos" run "$work/app.ini"
	has "$work/err" '2 sockets that were passed have this name'
	write_app <<-INI
		[server:one]
		exec = sleep 1000
		listen = fd:web
		ready = fd:4
	INI
	run python3 "$tools" activate "$work/ports" web:web "${wrap[@]}" \
		"$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	has "$work/err" 'ready: fd:4 is one of the sockets .* take fd:5 or above'
}

systemd_passes_sockets() {
	local port
	have systemd-socket-activate || {
		skip "${FUNCNAME[0]}" 'needs systemd-socket-activate'
		return
	}
	port=$(python3 "$tools" ports 1)
	write_app <<-INI
		[server:echo]
		tcp-echo = fd:web
	INI
	start app systemd-socket-activate -l "127.0.0.1:$port" --fdname=web \
		-E CRATOS_E2E -E BUILD "${wrap[@]}" "$cratos" run "$work/app.ini"
	is 'an echo' "$(python3 "$tools" talk "127.0.0.1:$port" hello hello)" hello
	stop_app TERM
	is 'exit status' "$status" 0
}

test_that the_manager_is_told_from_the_start_to_the_end
test_that a_failure_has_its_errno_and_exit_status
test_that the_watchdog_is_fed
test_that a_notification_is_one_that_systemd_understands
test_that sockets_go_to_the_servers_that_name_them
test_that a_socket_that_was_not_passed_is_told_of
test_that systemd_passes_sockets
all_passed
