#!/bin/bash
# "cratos exec": one command, as if there were nothing around it, but for what it
# leaves behind.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

ends_with() { # STATUS ARGUMENT...
	run "$cratos" exec "${@:2}"
	is "exit status of '${*:2}'" "$status" "$1"
}

the_exit_status_is_passed_on() {
	ends_with 0 true
	ends_with 0 -- true
	ends_with 7 -- sh -c 'exit 7'
	ends_with 137 -- sh -c "kill -KILL \$\$"
	ends_with 143 sh -c "kill \$\$"
	is 'standard error' "$(cat "$work/err")" ''
}

what_cannot_be_run_is_told_as_shells_do() {
	ends_with 127 -- no-such-program
	is 'standard error' "$(cat "$work/err")" \
		'cratos: no-such-program: command not found'
	ends_with 127 -- "$work/no-such-file"
	has "$work/err" '^cratos: .*/no-such-file: No such file or directory$'
	echo 'echo hello' >"$work/script"
	ends_with 126 -- "$work/script"
	has "$work/err" '^cratos: .*/script: Permission denied$'
	chmod +x "$work/script"
	ends_with 126 -- "$work/script"
	has "$work/err" '^cratos: .*/script: no program, and a script without #!$'
	printf '#!/no/such/shell\n' >"$work/script"
	ends_with 127 -- "$work/script"
	has "$work/err" '/script: the interpreter that it names is missing$'
}

wrong_usage_is_refused() {
	ends_with 2
	has "$work/err" '^cratos: no command to run; see "cratos exec --help"$'
	ends_with 2 --no-such-option true
	has "$work/err" '^cratos: unknown option --no-such-option; '
	ends_with 2 --stop-timeout
	has "$work/err" '^cratos: a time is missing after --stop-timeout; '
	ends_with 2 --stop-timeout 5 true
	has "$work/err" '^cratos: --stop-timeout: 5 has no unit; .*5s'
	ends_with 0 --help
	has "$work/out" '^usage: cratos exec '
	run "$cratos" help exec
	has "$work/out" '^usage: cratos exec '
}

arguments_and_streams_are_the_commands() {
	echo input | "${wrap[@]}" "$cratos" exec -- sh -c \
		"cat; echo \"\$1\" >&2; pwd" name --help >"$work/out" 2>"$work/err"
	is 'standard output' "$(cat "$work/out")" "input
$PWD"
	is 'standard error' "$(cat "$work/err")" --help
}

# One that is ignored, as under nohup, stays so.
dispositions_are_left_alone() {
	(
		trap '' HUP
		"${wrap[@]}" "$cratos" exec -- sh -c "kill -HUP \$\$; echo still here"
	) >"$work/out"
	is 'standard output' "$(cat "$work/out")" 'still here'
	run env --ignore-signal=CHLD "$cratos" exec -- sh -c 'exit 3'
	is 'exit status' "$status" 3
}

all_signals_are_passed_on() {
	local name script=''
	local names=(HUP INT QUIT USR1 USR2 ALRM TERM CONT WINCH URG IO PWR
		VTALRM PROF ABRT PIPE XCPU RTMIN RTMIN+3 RTMAX)
	for name in "${names[@]}"; do
		script+="trap 'echo $name' $name;"
	done
	start one "$cratos" exec -- bash -c \
		"$script echo up; while :; do sleep 0.01; done"
	wait_for_line "$work/one.out" '^up$' || return
	for name in "${names[@]}"; do
		kill -s "$name" "$pid"
		wait_for_line "$work/one.out" "^${name/+/[+]}\$"
	done
	for name in "${names[@]}"; do
		is "how often $name came" \
			"$(count_lines "$work/one.out" "^${name/+/[+]}\$")" 1
	done
	kill -KILL "$(pgrep -P "$pid" -x bash)"
	finish "$pid"
	is 'exit status' "$status" 137
}

# ---- what is left ----

what_is_left_is_told_to_stop() {
	run "$cratos" exec -- sh -c "
		(setsid bash -c '
			trap \"echo told >$work/told; exit\" TERM
			: >$work/up
			while :; do sleep 0.01; done' &)
		while [ ! -e $work/up ]; do sleep 0.01; done
		exit 5"
	is 'exit status' "$status" 5
	is 'what is left' "$(leftovers)" ''
	is 'what it was told' "$(cat "$work/told")" told
}

what_does_not_stop_is_killed() {
	ends_with 6 --stop-timeout 100ms -- sh -c "
		(setsid sh -c 'trap \"\" TERM
			: >$work/up
			while :; do sleep 1000; done' &)
		while [ ! -e $work/up ]; do sleep 0.01; done
		exit 6"
	is 'what is left' "$(leftovers)" ''
}

hurries_the_end() { # SECONDS
	start one "$cratos" exec --stop-timeout 1h -- sh -c "
		(setsid sh -c 'trap \"\" TERM
			: >$work/up
			while :; do sleep 1000; done' &)
		while [ ! -e $work/up ]; do sleep 0.01; done"
	wait_for_file "$work/up"
	eventually no_shell_of "$pid"
	sleep "$1"
	kill -TERM "$pid"
	finish "$pid"
	is 'exit status' "$status" 0
	is 'what is left' "$(leftovers)" ''
}

a_signal_hurries_the_end() {
	hurries_the_end 0
}

a_signal_hurries_the_end_also_late() {
	hurries_the_end 1
}

# The command has ended: of its children only the deaf one is there.
no_shell_of() { # PID
	[ "$(pgrep -P "$1" | wc -l)" = 1 ]
}

# ---- on a terminal ----

control_c_comes_once() {
	"${wrap[@]}" python3 "$tools" on_terminal "$work/log" up '\x03' \
		"$cratos" exec -- bash -c "trap 'echo got; exit 4' INT
			echo up; while :; do sleep 0.01; done" >"$work/out"
	is 'exit status' "$(cat "$work/out")" 4
	is 'how often it came' "$(grep -c got "$work/log")" 1
}

control_z_stops_the_job() {
	"${wrap[@]}" python3 "$tools" on_terminal "$work/log" up '\x1a' \
		bash -c "set -m
			$cratos exec -- sh -c 'echo up; exec sleep 1000'
			echo \"status \$?\"
			kill -CONT %1
			kill -TERM %1
			wait %1
			echo \"end \$?\"" >"$work/out"
	has "$work/log" '^status 148'
	# It may end before the shell comes to wait for it.
	has "$work/log" '^(end 143|\[1\]\+ +Exit 143 )'
}

# ---- as PID 1 ----

as_the_first_process_it_does_the_same() {
	run "${as_first[@]}" "$cratos" exec -- sh -c "
		(setsid sh -c 'exit 0' &)
		until [ \$(pgrep -P 1 | wc -l) = 1 ]; do sleep 0.01; done
		echo \"\$\$ \$PPID\"; exit 8"
	is 'exit status' "$status" 8
	has "$work/out" ' 1$'
	start one "${as_first[@]}" "$cratos" exec -- sleep 1000
	eventually pgrep -P "$pid" -x cratos >/dev/null
	eventually pgrep -P "$(pgrep -P "$pid")" -x sleep >/dev/null
	kill -USR2 "$(pgrep -P "$pid")"
	finish "$pid"
	is 'exit status' "$status" $((128 + $(kill -l USR2)))
}

for name in the_exit_status_is_passed_on \
	what_cannot_be_run_is_told_as_shells_do \
	wrong_usage_is_refused \
	arguments_and_streams_are_the_commands \
	dispositions_are_left_alone \
	all_signals_are_passed_on \
	what_is_left_is_told_to_stop \
	what_does_not_stop_is_killed \
	a_signal_hurries_the_end \
	a_signal_hurries_the_end_also_late \
	control_c_comes_once \
	control_z_stops_the_job; do
	test_that "$name"
done
! may_unshare as_the_first_process_it_does_the_same ||
	test_that as_the_first_process_it_does_the_same
all_passed
