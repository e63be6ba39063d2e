#!/bin/bash
# What a program gets, and how it is told to end.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# An app with one server; the lines of standard input are its keys.
write_app() { # KEY=VALUE-OF-APP...
	{
		printf '[app]\nname = test\n'
		[ $# = 0 ] || printf '%s\n' "$@"
		printf '[server:one]\n'
		cat
	} >"$work/app.ini"
}

check_app() {
	run "$cratos" check "$work/app.ini"
}

# ---- what a program gets ----

a_program_gets_what_its_keys_say() {
	echo 'hello' >"$work/input"
	printf '# for one\nA=file\nB="two words"\n' >"$work/env"
	write_app <<-END
		shell = umask; ulimit -Sn; ulimit -Hn; nice; cat; echo "\$A \$B"
		dir = $work
		oneshot = yes
		umask = 027
		nice = 7
		limit.nofile = 100:200
		limit.core = 0
		oom_score_adj = 500
		stdin = input
		env_file = env
		env.A = key
	END
	check_app
	is 'exit status' "$status" 0
	is 'standard error' "$(cat "$work/err")" ''
	has_in_order "$work/out" '^ +env +A=key$' '^ +umask +027$' '^ +nice +7$' \
		'^ +oom_score_adj +500$' '^ +limit +nofile=100:200$' \
		'^ +limit +core=0$' '^ +stdin +input$' '^ +env_file +env$'
	start_app
	is 'output' "$(sed -n 's/^.* out   one   //p' "$work/app.err")" \
		"$(printf '0027\n100\n200\n7\nhello\nkey two words')"
	stop_app TERM
	is 'exit status' "$status" 0
}

what_a_program_cannot_get_is_told_by_key() {
	printf 'A=1\nB\n' >"$work/env"
	write_app <<-END
		exec = true
		umask = 0888
		nice = 20
		oom_score_adj = low
		limit.nofiles = 1
		limit.core = 2:1
		[server:two]
		exec = true
		user = no-such-user
		[server:three]
		exec = true
		group = no-such-group
		[server:four]
		exec = true
		env_file = $work/env
		[server:five]
		exec = true
		stdin = $work/no-such-file
		[server:six]
		exec = true
		limit.core = 0
		limit.nofile = 1:infinity
		[server:seven]
		exec = true
		nice = 1x
		[server:eight]
		tcp-echo = 127.0.0.1:0
		user = root
		limit.core = 0
		stdin = inherit
	END
	check_app
	is 'exit status' "$status" 78
	has "$work/err" "ini:5: .server:one. umask: '0888' is not an octal number"
	has "$work/err" "ini:6: .server:one. nice: '20' is not a number from -20 to 19\$"
	has "$work/err" "ini:7: .server:one. oom_score_adj: 'low' is not a number"
	has "$work/err" "ini:8: .server:one. limit.nofiles: there is no limit 'nofiles'; there are as, "
	has "$work/err" 'ini:9: .server:one. limit.core: the soft limit of 2:1 is above'
	has "$work/err" 'ini:12: .server:two. user: there is no user no-such-user$'
	has "$work/err" 'ini:15: .server:three. group: there is no group no-such-group$'
	has "$work/err" "ini:18: .server:four. env_file: $work/env:2: no NAME=value\$"
	has "$work/err" "ini:21: .server:five. stdin: $work/no-such-file: No such file or directory\$"
	has "$work/err" 'ini:25: .server:six. limit.nofile: cannot set 1:infinity: Operation not permitted$'
	has "$work/err" "ini:28: .server:seven. nice: '1x' is not a number"
	has "$work/err" 'ini:31: .server:eight. user: goes with exec and shell only$'
	has "$work/err" 'ini:32: .server:eight. limit.core: goes with exec and shell only$'
	has "$work/err" 'ini:33: .server:eight. stdin: goes with exec and shell only$'
	is 'lines' "$(wc -l <"$work/err")" 14
}

all_that_a_program_cannot_get_is_told_at_once() {
	write_app <<-END
		exec = no-such-program
		user = no-such-user
		group = no-such-group
		umask = 999
		nice = 77
		limit.core = x
		limit.nofile = 1:infinity
		env_file = $work/no-env
		stdin = $work/no-input
		stop_exec = no-such-stop
		ready = exec:no-such-ready
		health = exec:no-such-health
		log = file:$work/no/log
		[server:two]
		exec = ./program
		dir = $work/no-folder
		env_file = env
		nice = 77
		stop_exec = ./stop
		ready = exec:./ready
	END
	check_app
	is 'exit status' "$status" 78
	has_in_order "$work/err" 'ini:4: .server:one. exec: command no-such-program: not found' \
		'ini:5: .server:one. user: there is no user' \
		'ini:6: .server:one. group: there is no group' \
		'ini:7: .server:one. umask: ' \
		'ini:8: .server:one. nice: ' \
		'ini:9: .server:one. limit.core: ' \
		'ini:10: .server:one. limit.nofile: cannot set 1:infinity' \
		"ini:11: .server:one. env_file: $work/no-env: No such" \
		"ini:12: .server:one. stdin: $work/no-input: No such" \
		'ini:13: .server:one. stop_exec: command no-such-stop: not' \
		'ini:14: .server:one. ready: command no-such-ready: not' \
		'ini:15: .server:one. health: command no-such-health: not' \
		"ini:16: .server:one. log: cannot write to $work/no/log: " \
		"ini:19: .server:two. dir: working directory $work/no-folder: " \
		'ini:21: .server:two. nice: '
	is 'lines' "$(wc -l <"$work/err")" 15
}

a_program_that_cannot_get_it_fails_with_the_reason() {
	write_app <<-'END'
		exec = true
		limit.nofile = 1:infinity
	END
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	has "$work/err" 'error one +failed: limit.nofile: cannot set 1:infinity: Operation not permitted$'
}

a_program_runs_as_its_user() {
	write_app <<-END
		shell = id -un; echo \$HOME \$USER \$LOGNAME; ps -o user= -p \$PPID
		user = nobody
		oneshot = yes
	END
	check_app
	is 'exit status' "$status" 0
	start_app
	is 'output' "$(sed -n "s/^.* out   one   //p" "$work/app.err")" \
		"$(printf 'nobody\n%s nobody nobody\nroot' "$(getent passwd nobody | cut -d: -f6)")"
	stop_app TERM
}

what_needs_root_is_refused_before_the_start() {
	local as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	if ! "${as[@]}" test -x "$PWD/$cratos"; then
		skip "${FUNCNAME[0]}" 'another user cannot reach the build'
		return
	fi
	chmod 755 "$tmp" "$work"
	write_app <<-'END'
		exec = true
		user = root
		[server:two]
		exec = true
		nice = -1
		[server:three]
		exec = true
		oom_score_adj = -1
	END
	run "${as[@]}" "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 78
	has "$work/err" 'ini:5: .server:one. user: cannot take on the groups of root: Operation not permitted$'
	has "$work/err" 'ini:8: .server:two. nice: cannot set -1: Permission denied$'
	has "$work/err" 'ini:11: .server:three. oom_score_adj: cannot set -1: Permission denied$'
	is 'lines' "$(wc -l <"$work/err")" 3
}

# ---- how it ends ----

a_command_stops_a_program() {
	cat >"$work/script" <<-'END'
		trap '' TERM
		trap 'echo bye; exit 0' USR1
		echo 'script is up'
		while :; do sleep 0.05; done
	END
	write_app <<-END
		exec = sh $work/script
		stop_exec = sh -c 'echo "\$GREETING \$MAINPID"; kill -USR1 \$MAINPID'
		env.GREETING = stop
	END
	check_app
	is 'exit status of check' "$status" 0
	has "$work/out" '^    stop  sh -c .*kill -USR1'
	start_app
	wait_for_line "$work/app.err" 'script is up'
	pid_of one >"$work/pid"
	stop_app TERM
	is 'exit status' "$status" 0
	has "$work/app.err" ' one +stopping: sh -c'
	is 'output' "$(sed -n 's/^.* out   one   //p' "$work/app.err")" \
		"$(printf 'script is up\nstop %s\nbye' "$(cat "$work/pid")")"
}

a_stop_command_that_fails_is_told() {
	write_app <<-'END'
		exec = sleep 1000
		stop_exec = false
	END
	start_app
	stop_app TERM
	is 'exit status' "$status" 1
	has "$work/app.err" 'error one +failed: stop_exec: exited with status 1$'
}

a_signal_is_sent_before_sigkill() {
	cat >"$work/script" <<-'END'
		trap '' TERM
		trap 'echo last words' INT
		echo 'script is up'
		while :; do sleep 0.05; done
	END
	write_app 'stop_timeout = 300ms' <<-END
		exec = sh $work/script
		kill_signal = INT
	END
	check_app
	has "$work/out" '^    stop  SIGTERM, SIGINT after 300 ms$'
	start_app
	wait_for_line "$work/app.err" 'script is up'
	stop_app TERM
	is 'exit status' "$status" 1
	has "$work/app.err" ' out +one +last words'
	has "$work/app.err" 'error one +failed: did not stop in time: killed .SIGKILL.'
}

# Its status is looked at when cratos has ended, and not before.
what_a_stop_command_leaves_is_gone_when_its_server_is() {
	local left
	mkfifo "$work/go"
	cat >"$work/stopper" <<-'END'
		setsid sh -c 'trap : TERM; echo $$ >left; while :; do sleep 1; done' &
		read -r go <go
		kill -TERM "$MAINPID"
	END
	write_app <<-END
		exec = sleep 1000
		dir = $work
		stop_exec = sh stopper
	END
	start_app
	kill -TERM "$pid"
	eventually test -s "$work/left" || problem 'the command has not run'
	left=$(cat "$work/left")
	kill -0 "$left" || problem 'it is gone already'
	echo >"$work/go"
	finish "$pid"
	is 'exit status' "$status" 0
	! kill -0 "$left" 2>/dev/null || problem 'it is there still'
	has "$work/app.err" ' one +stopped after'
	lacks "$work/app.err" 'left behind|error'
}

a_stop_command_does_not_outlive_cratos() {
	cat >"$work/deaf" <<-'END'
		trap '' TERM
		echo $$ >"$1"
		exec sleep 1000
	END
	write_app 'orphans = keep' <<-END
		exec = sh $work/deaf $work/one
		stop_exec = sh $work/deaf $work/stopper
	END
	start_app
	eventually test -s "$work/one" || problem 'it does not run'
	kill -TERM "$pid"
	eventually test -s "$work/stopper" || problem 'the command does not run'
	stop_app KILL
	is 'exit status' "$status" 137
	kill -KILL "$(cat "$work/one")"
}

a_failing_health_is_a_failure_whatever_counts_as_success() {
	write_app <<-'END'
		exec = sleep 1000
		health = exec:false
		health_interval = 10ms
		health_failures = 1
		success_exit = TERM KILL 143
		on_exit = stop
	END
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	has "$work/err" 'one: health check failed 1 time: exec:false: exited with status 1'
	# Healthy from the third check on: a failure while the app stops is its own.
	cat >"$work/check" <<-END
		#!/bin/sh
		echo >>"$work/checks"
		test "\$(wc -l <"$work/checks")" -gt 2
	END
	chmod +x "$work/check"
	write_app <<-END
		exec = sleep 1000
		health = exec:$work/check
		health_interval = 10ms
		health_failures = 1
		success_exit = USR1
		on_exit = stay
		stop_exec = sh -c 'kill -USR1 \$MAINPID'
		restart = on-failure
		restart_delay = 10ms
		restart_limit = 0
	END
	start_app
	wait_for_lines 2 "$work/app.err" ' one +failed: health check failed 1'
	wait_for_lines 3 "$work/app.err" ' one +ready after'
	stop_app TERM
	is 'exit status' "$status" 0
	lacks "$work/app.err" 'killed by signal|stop_exec:'
}

an_end_can_be_a_success() {
	write_app <<-'END'
		shell = exit 3
		oneshot = yes
		success_exit = 0, 3, TERM
		[server:two]
		shell = kill -TERM $$$$
		oneshot = yes
		success_exit = SIGTERM
		[server:three]
		shell = exit 7
		on_exit = stop
		success_exit = 7
		after = one two
	END
	check_app
	is 'exit status of check' "$status" 0
	has "$work/out" '^    ends  well with 0, 3, TERM$'
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 0
	has_in_order "$work/err" ' three +exited with success: the app stops'
}

what_cannot_end_a_program_is_told() {
	write_app <<-'END'
		exec = true
		stop_exec = no-such-command
		[server:two]
		exec = true
		stop_exec = sh 'c
		[server:three]
		exec = true
		success_exit = 0 256 NOSIG
		kill_signal = 9
		[server:four]
		exec = true
		success_exit = 0 256 NOSIG
		[server:five]
		tcp-echo = 127.0.0.1:0
		stop_exec = true
		kill_signal = INT
		success_exit = 1
	END
	check_app
	is 'exit status' "$status" 78
	has "$work/err" 'ini:5: .server:one. stop_exec: command no-such-command: not found in PATH$'
	has "$work/err" "ini:8: .server:two. stop_exec: unclosed quote in: sh 'c\$"
	has "$work/err" "ini:12: .server:three. kill_signal: '9' is not "
	has "$work/err" "ini:11: .server:three. success_exit: '256' is neither"
	has "$work/err" "ini:15: .server:four. success_exit: '256' is neither an exit status from 0 to 255 nor a signal, such as TERM\$"
	has "$work/err" "ini:15: .server:four. success_exit: 'NOSIG' is neither"
	has "$work/err" 'ini:18: .server:five. stop_exec: goes with exec and shell only$'
	has "$work/err" 'ini:19: .server:five. kill_signal: goes with exec and shell only$'
	has "$work/err" 'ini:20: .server:five. success_exit: goes with exec and shell only$'
	is 'lines' "$(wc -l <"$work/err")" 10
}

# ---- orphans ----

write_many() {
	local i
	write_app <<<'exec = sleep 1000'
	for i in {1..30}; do
		printf '[server:s%s]\nexec = sleep 1000\n' "$i"
	done >>"$work/app.ini"
}

programs_die_with_cratos() {
	write_many
	start_app
	stop_app KILL
	is 'exit status' "$status" 137
	# What is left would be found: see check_leftovers.
}

# At any moment of the start, also between a child's clone and its exec.
programs_die_with_cratos_while_they_start() {
	local i
	write_many
	for i in {1..15}; do
		start app "$cratos" run "$work/app.ini"
		wait_for_lines "$((2 * i))" "$work/app.err" ' ready after'
		stop_app KILL
		eventually nothing_is_left ||
			problem "after $i: left behind: $(leftovers | tr '\n' ' ')"
	done
}

programs_that_are_kept_outlive_cratos() {
	local left
	write_app 'orphans = keep' <<<'exec = sleep 1000'
	start_app
	left=$(pid_of one)
	stop_app KILL
	is 'exit status' "$status" 137
	is 'what is left' "$(tr '\0' ' ' <"/proc/$left/cmdline")" 'sleep 1000 '
	kill -KILL "$left"
}

what_becomes_of_orphans_lasts() {
	write_app <<<'exec = sleep 1000'
	start_app
	write_app 'orphans = keep' <<<'exec = sleep 1000'
	kill -HUP "$pid"
	wait_for_line "$work/app.err" 'orphans: cannot change while the app runs'
	stop_app TERM
	is 'exit status' "$status" 0
}

for name in a_program_gets_what_its_keys_say \
	what_a_program_cannot_get_is_told_by_key \
	all_that_a_program_cannot_get_is_told_at_once \
	a_program_that_cannot_get_it_fails_with_the_reason \
	a_command_stops_a_program \
	a_stop_command_that_fails_is_told \
	a_signal_is_sent_before_sigkill \
	what_a_stop_command_leaves_is_gone_when_its_server_is \
	a_stop_command_does_not_outlive_cratos \
	a_failing_health_is_a_failure_whatever_counts_as_success \
	an_end_can_be_a_success \
	what_cannot_end_a_program_is_told \
	programs_die_with_cratos \
	programs_die_with_cratos_while_they_start \
	programs_that_are_kept_outlive_cratos \
	what_becomes_of_orphans_lasts; do
	test_that "$name"
done
for name in a_program_runs_as_its_user \
	what_needs_root_is_refused_before_the_start; do
	if [ "$(id -u)" = 0 ]; then
		test_that "$name"
	else
		skip "$name" 'needs root'
	fi
done
all_passed
