#!/bin/bash
# Signals that are passed on to servers.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# A program that says which signals come, a line each, in FILE.
write_program() {
	cat >"$work/listen" <<-'END'
		#!/bin/bash
		for name in HUP USR1 USR2 WINCH RTMIN+1; do
			trap "echo $name >>$1" $name
		done
		echo up >>"$1"
		while :; do sleep 0.01; done
	END
	chmod +x "$work/listen"
}

write_app() {
	{
		printf '[app]\nname = test\n'
		cat
	} >"$work/app.ini"
}

comes() { # FILE NAME
	wait_for_line "$work/$1" "^${2/+/[+]}\$"
}

a_signal_reaches_those_that_want_it() {
	write_program
	write_app <<-END
		[server:one]
		exec = $work/listen $work/one
		forward = USR2, SIGWINCH RTMIN+1
		[server:two]
		exec = $work/listen $work/two
		forward = USR2
		[server:none]
		exec = $work/listen $work/none
	END
	start_app || return
	comes one up && comes two up && comes none up
	kill -USR2 "$pid"
	comes one USR2
	comes two USR2
	kill -WINCH "$pid"
	comes one WINCH
	kill -s RTMIN+1 "$pid"
	comes one RTMIN+1
	stop_app TERM
	is 'exit status' "$status" 0
	is 'what the first got' "$(tr '\n' ' ' <"$work/one")" 'up USR2 WINCH RTMIN+1 '
	is 'what the second got' "$(tr '\n' ' ' <"$work/two")" 'up USR2 '
	is 'what the third got' "$(tr '\n' ' ' <"$work/none")" 'up '
}

what_is_passed_on_does_nothing_else() {
	write_program
	write_app <<-END
		[server:one]
		exec = $work/listen $work/one
		forward = HUP USR1 USR2
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status of check' "$status" 0
	has "$work/out" '^ +SIGHUP +is passed on, and does not reload$'
	has "$work/out" '^ +SIGUSR1 +is passed on, and does not report$'
	has "$work/out" \
		'^ +SIGUSR2 +is passed on, and does not open log files anew$'
	has "$work/out" '^ +passes on SIGHUP, SIGUSR1, SIGUSR2$'
	start_app || return
	comes one up
	kill -HUP "$pid"
	comes one HUP
	kill -USR1 "$pid"
	comes one USR1
	stop_app TERM
	is 'exit status' "$status" 0
	lacks "$work/app.err" 'reload|report|one +up for'
}

after_a_reload_it_still_reaches_what_stays() {
	write_program
	write_app <<-END
		[server:one]
		exec = $work/listen $work/one
		forward = USR2
	END
	start_app || return
	comes one up
	cat >>"$work/app.ini" <<-END
		[server:two]
		exec = $work/listen $work/two
		forward = USR2
	END
	kill -HUP "$pid"
	wait_for_line "$work/app.err" ' two +ready'
	wait_for_line "$work/app.err" ' reloaded'
	comes two up
	kill -USR2 "$pid"
	comes one USR2
	comes two USR2
	printf '[server:three]\nexec = sleep 1000\nforward = WINCH\n' \
		>>"$work/app.ini"
	kill -HUP "$pid"
	wait_for_line "$work/app.err" \
		'\[server:three\] forward: SIGWINCH is passed on to no server so far'
	stop_app TERM
	is 'exit status' "$status" 0
	lacks "$work/app.err" ' three +starting'
}

what_cannot_be_passed_on_is_refused() {
	local word why command
	while read -r word why; do
		write_app <<-END
			[server:one]
			exec = sleep 1000
			forward = USR2 $word
		END
		for command in check run; do
			run "$cratos" "$command" "$work/app.ini"
			is "exit status of $command with $word" "$status" 78
			is "lines with $word" "$(wc -l <"$work/err")" 1
			has "$work/err" "^cratos: $work/app.ini:5: \[server:one\] forward: '${word/+/[+]}' $why"
		done
	done <<-END
		TERM stops the app
		SIGINT stops the app
		KILL cannot be caught
		CHLD is how cratos learns
		SEGV is what a process raises
		USR3 is no signal
		RTMIN+99 is no signal
		RTMIN+ is no signal
		9 is no signal
	END
	write_app <<-END
		[server:one]
		tcp-echo = 127.0.0.1:0
		forward = USR2
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status with tcp-echo' "$status" 78
	has "$work/err" 'forward: goes with exec and shell only$'
}

for name in a_signal_reaches_those_that_want_it \
	what_is_passed_on_does_nothing_else \
	after_a_reload_it_still_reaches_what_stays \
	what_cannot_be_passed_on_is_refused; do
	test_that "$name"
done
all_passed
