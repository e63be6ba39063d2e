#!/bin/bash
# Health and metrics over HTTP.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

write_app() {
	cat >"$work/app.ini"
}

get() { # ADDRESS PATH
	python3 "$tools" get "$@"
}

health_follows_the_app_from_its_start_to_its_end() {
	local address
	address=127.0.0.1:$(python3 "$tools" ports 1)
	# What it finds when it starts, and when it is told to stop.
	cat >"$work/server" <<-END
		#!/bin/bash
		look() {
			for page in livez readyz; do
				python3 $tools get $address /\$page >$work/\$1-\$page
			done
		}
		cd $PWD
		look start
		trap 'look stop; exit 0' TERM
		echo >&3
		sleep 1000 &
		wait
	END
	chmod +x "$work/server"
	write_app <<-INI
		[app]
		admin = $address
		drain_delay = 300ms

		[server:one]
		exec = $work/server
		ready = fd:3
	INI
	start_app || return
	has "$work/app.err" "app +health and metrics: http://$address"
	is 'readyz' "$(get "$address" /readyz)" $'200\nready'
	is 'healthz' "$(get "$address" /healthz)" $'200\nready'
	kill -TERM "$pid"
	finish "$pid"
	is 'exit status' "$status" 0
	is 'livez at the start' "$(cat "$work/start-livez")" $'200\nalive'
	is 'readyz at the start' "$(cat "$work/start-readyz")" $'503\nnot ready'
	is 'livez at the end' "$(cat "$work/stop-livez")" $'200\nalive'
	is 'readyz at the end' "$(cat "$work/stop-readyz")" $'503\nnot ready'
}

who_is_not_ready_is_named() {
	write_app <<-INI
		[app]
		admin = unix:$work/admin

		[server:stuck]
		shell = exec sleep 1000
		ready = tcp:127.0.0.1:1

		[server:next]
		exec = sleep 1000
		after = stuck

		[server:other]
		exec = sleep 1000
	INI
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'other +ready after' || return
	run python3 "$tools" get "unix:$work/admin" '/readyz?verbose'
	has "$work/out" '^\[-\]stuck starting for .* s: tcp:127.0.0.1:1: '
	has "$work/out" '^\[-\]next waiting for .* s, for stuck$'
	has "$work/out" '^\[\+\]other ready for'
	has "$work/out" '^not ready: starting$'
	stop_app TERM
	[ ! -e "$work/admin" ] || problem 'the socket is still there'
}

prometheus_accepts_the_metrics() {
	have promtool || {
		skip "${FUNCNAME[0]}" 'needs promtool'
		return
	}
	write_app <<-INI
		[app]
		admin = unix:$work/admin

		[server:one]
		exec = sleep 1000

		[server:two]
		exec = sleep 1000
		instances = 3
	INI
	start_app || return
	run python3 "$tools" get "unix:$work/admin" /metrics
	is 'the status' "$(sed -n 1p "$work/out")" 200
	sed -i 1d "$work/out"
	has "$work/out" '^cratos_app_ready 1$'
	has "$work/out" '^cratos_server_state\{server="two-3",state="ready"\} 1$'
	has "$work/out" '^process_resident_memory_bytes [1-9]'
	promtool check metrics <"$work/out" >"$work/promtool" 2>&1
	is 'what promtool says' "$? $(cat "$work/promtool")" '0 '
	run python3 "$tools" get "unix:$work/admin" /metrics \
		application/openmetrics-text
	is 'the last line' "$(tail -n 1 "$work/out")" '# EOF'
	has "$work/out" '^# TYPE cratos_build info$'
	stop_app TERM
	is 'exit status' "$status" 0
}

memory_kb() {
	sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$pid/status"
}

bad_clients_harm_nobody() {
	local before after
	write_app <<-INI
		[app]
		admin = unix:$work/admin

		[server:one]
		exec = sleep 1000
		instances = 300
	INI
	start_app || return
	get "unix:$work/admin" /livez >/dev/null
	before=$(memory_kb)
	run python3 "$tools" hostile "unix:$work/admin" /metrics
	is 'exit status of the clients' "$status" 0
	after=$(memory_kb)
	has "$work/out" '^garbage: (HTTP/1.[01] 400 .*|cut off)$'
	has "$work/out" '^a long path: HTTP/1.1 4[13][0-9] '
	has "$work/out" '^a large body: HTTP/1.1 413 '
	has "$work/out" '^a large body in chunks: (HTTP/1.1 413 .*|cut off)$'
	has "$work/out" '^half closed: HTTP/1.1 200 '
	has "$work/out" '^beside 500 idle ones: HTTP/1.1 200 '
	has "$work/out" '^a byte a second: cut off$'
	has "$work/out" '^who never reads: cut off$'
	has "$work/out" '^idle: all cut off$'
	has "$work/out" '^after all of it: HTTP/1.1 200 '
	if [ -z "${WRAP:-}" ] && [ $((after - before)) -gt 8192 ]; then
		problem "memory went from $before to $after KiB"
	fi
	stop_app TERM
	is 'exit status' "$status" 0
}

what_is_wrong_with_the_address_is_told() {
	write_app <<-INI
		[app]
		admin = nowhere
		[server:one]
		exec = sleep 1000
	INI
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 78
	has "$work/err" 'app.ini:2: \[app\] admin: listen nowhere: not host:port'
	sed -i "s|nowhere|unix:$work/none/admin|" "$work/app.ini"
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	has "$work/err" 'failed: admin: listen unix:.*: No such file or directory'
	lacks "$work/err" 'starting: sleep'
}

test_that health_follows_the_app_from_its_start_to_its_end
test_that who_is_not_ready_is_named
test_that prometheus_accepts_the_metrics
test_that bad_clients_harm_nobody
test_that what_is_wrong_with_the_address_is_told
all_passed
