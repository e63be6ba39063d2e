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

# stay FILE [deaf]: leaves its process id in FILE, and stays; deaf, it stays
# until it is killed. astray is the same in a session of its own, and nobody's
# child; bomb FOLDER makes fifty such.
write_programs() {
	cat >"$work/stay" <<-'END'
		#!/bin/bash
		cd "$(dirname "$0")"
		[ "${2:-}" != deaf ] || trap '' TERM INT HUP QUIT
		echo $$ >"$1.new"
		mv "$1.new" "$1"
		[ "${2:-}" = deaf ] || exec sleep 1000
		while :; do sleep 1000; done
	END
	cat >"$work/astray" <<-'END'
		#!/bin/bash
		(setsid "$(dirname "$0")/stay" "$@" >/dev/null 2>&1 &)
	END
	cat >"$work/bomb" <<-'END'
		#!/bin/bash
		trap '' TERM
		cd "$(dirname "$0")"
		exec 9>>bomb.lock
		while flock 9; do
			n=$(($(cat bomb.count 2>/dev/null) + 1))
			[ $n -le 50 ] || break
			echo $n >bomb.count
			setsid -f "$0" 9>&-
			flock -u 9
		done
		: >bomb.done
		exec 9>&-
		while :; do sleep 1000; done
	END
	chmod +x "$work/stay" "$work/astray" "$work/bomb"
}

wait_for_file() { # FILE...
	local file
	for file; do
		eventually test -e "$file" || {
			problem "no ${file##*/}"
			return 1
		}
	done
}

# When cratos has ended, at once.
nothing_is_left_now() {
	local one
	for one in $(leftovers); do
		[ "$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' \
			"/proc/$one/status" 2>/dev/null)" = Z ] ||
			problem "left by cratos: $(describe_process "$one")"
	done
}

# ---- torture ----

everything_that_misbehaves_is_gone_at_the_deadline() {
	local begin reader
	write_programs
	mkfifo "$work/flood"
	(head -c 65536 >/dev/null; exec sleep 1000) <"$work/flood" &
	reader=$!
	write_app 'stop_timeout = 2s' <<-END
		[server:deaf]
		exec = $work/stay $work/deaf deaf
		[server:astray]
		shell = $work/astray $work/astray.pid; exec sleep 1000
		[server:deaf-astray]
		shell = $work/astray $work/deaf-astray.pid deaf; exec sleep 1000
		[server:without-environment]
		shell = env -i PATH=$PATH $work/astray $work/bare.pid deaf; exec sleep 1000
		[server:dies]
		exec = false
		restart = always
		restart_delay = 1ms
		restart_max_delay = 1ms
		restart_limit = 0
		[server:floods]
		shell = exec yes a line that nobody wants to read >$work/flood
		[server:closes]
		shell = exec >&- 2>&-; exec sleep 1000
		[server:stops]
		shell = kill -STOP \$\$\$\$; exec sleep 1000
		[server:missing]
		exec = $work/there-is-no-such-program
		optional = true
		[server:never-done]
		exec = $work/stay $work/never deaf
		oneshot = true
		[server:bomb]
		exec = $work/bomb
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' dies +restarts in'
	wait_for_line "$work/app.err" ' missing +lost|failed: command'
	wait_for_file "$work"/{deaf,astray.pid,deaf-astray.pid,bare.pid,never} \
		"$work/bomb.done"
	begin=$SECONDS
	stop_app TERM
	kill "$reader"
	wait "$reader" 2>/dev/null
	nothing_is_left_now
	[ $((SECONDS - begin)) -lt 20 ] || problem 'it was no deadline'
	is 'exit status' "$status" 1
	has "$work/app.err" ' left behind did not stop in time: killed'
	has_in_order "$work/app.err" ' got SIGTERM' ' error test +failed: '
}

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

# A command in a PID namespace of its own, where it is the first process.
as_first() { # COMMAND...
	unshare --pid --fork --mount-proc "$@"
}

may_unshare() { # NAME-OF-TEST
	as_first true 2>/dev/null || {
		skip "$1" "needs a PID namespace, which is not allowed here"
		return 1
	}
}

# The first process of the namespace, as seen from outside.
first_pid() {
	pgrep -P "$pid" | head -n 1
}

as_the_first_process_it_reaps_strangers() {
	local first
	write_programs
	write_app <<-END
		[server:one]
		exec = sleep 1000
	END
	start app unshare --pid --fork --mount-proc "$cratos" run "$work/app.ini"
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
	start app unshare --pid --fork --mount-proc "$cratos" run "$work/app.ini"
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

# The kernel does not let such a signal end the first process by itself.
as_the_first_process_it_obeys_what_would_end_others() {
	local first signal
	write_app <<-END
		[server:one]
		exec = sleep 1000
	END
	for signal in VTALRM ALRM ABRT RTMIN+3; do
		start app unshare --pid --fork --mount-proc \
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

test_that everything_that_misbehaves_is_gone_at_the_deadline
test_that a_second_signal_leaves_nothing_behind
test_that what_a_server_leaves_is_told_to_stop_with_it
test_that what_was_stopped_by_sigstop_is_told_too
test_that a_server_has_stopped_when_its_strays_have
test_that strays_can_be_kept
for name in as_the_first_process_it_reaps_strangers \
	as_the_first_process_it_ends_as_told \
	as_the_first_process_it_obeys_what_would_end_others; do
	! may_unshare "$name" || test_that "$name"
done
all_passed
