#!/bin/bash
# What goes wrong, and what cratos says and returns then.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# An app of a server "one" to go wrong and one that only stays; the lines of
# standard input are those of "one", or further sections.
write_app() { # KEY=VALUE-OF-APP...
	{
		printf '[app]\nname = test\n'
		[ $# = 0 ] || printf '%s\n' "$@"
		printf '[server:stays]\nexec = sleep 1000\n[server:one]\n'
		cat
	} >"$work/app.ini"
}

run_app() {
	run "$cratos" run "$work/app.ini"
}

last_line() { # FILE
	tail -n 1 "$1" | sed -E 's/^[0-9:.]+ //'
}

# The app has ended since "one" failed, and has stopped the other.
failed_with() { # REGEX
	is 'exit status' "$status" 1
	has_in_order "$work/err" " error one +failed: $1\$" \
		' info  stays +stopped after'
	last_line "$work/err" >"$work/last"
	has "$work/last" "^error test +failed: one: $1\$"
}

# ---- programs that cannot be run, or end ----

a_program_that_is_not_there_is_named() {
	write_app <<<'exec = no-such-program --now'
	run_app
	failed_with 'command no-such-program: not found in PATH'
	write_app <<<"exec = $work/no-such-file"
	run_app
	failed_with "command $work/no-such-file: No such file or directory"
}

a_program_that_may_not_be_run_is_named() {
	echo 'echo hello' >"$work/script"
	write_app <<<"exec = $work/script"
	run_app
	failed_with "command $work/script: Permission denied"
	chmod +x "$work/script"
	run_app
	failed_with "command $work/script: no program, and a script without #!"
	printf '#!/no/such/shell\n' >"$work/script"
	run_app
	failed_with "command $work/script: the interpreter that it names is missing"
}

check_looks_for_programs_and_folders() {
	write_app <<-END
		exec = no-such-program
		[server:two]
		dir = $work/no-such-folder
		exec = sleep 1
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 78
	is 'standard output' "$(cat "$work/out")" ''
	is 'number of lines' "$(wc -l <"$work/err")" 2
	has "$work/err" "^cratos: $work/app.ini:6: \[server:one\] exec: .*no-such-program"
	has "$work/err" "^cratos: $work/app.ini:8: \[server:two\] dir: .*$work/no-such-folder"
}

programs_are_looked_for_where_they_will_be_run() {
	local keys
	mkdir -p "$work/folder/bin"
	cp "$(command -v sleep)" "$work/folder/bin/nap"
	for keys in 'exec = bin/nap 1000' $'exec = nap 1000\nenv.PATH = bin'; do
		printf '%s\ndir = %s\n' "$keys" "$work/folder" | write_app
		run "$cratos" check "$work/app.ini"
		is "exit status of check with $keys" "$status" 0
		start_app
		stop_app TERM
		is "exit status with $keys" "$status" 0
	done
}

quotes_keep_a_name_with_blanks_together() {
	cp "$(command -v sleep)" "$work/a program"
	write_app <<<"exec = \"$work/a program\" '1000'"
	run "$cratos" check "$work/app.ini"
	is 'exit status of check' "$status" 0
	start_app
	stop_app TERM
	is 'exit status' "$status" 0
	write_app <<<"exec = \"$work/a program\""
	run "$cratos" check "$work/app.ini"
	is 'exit status of check without arguments' "$status" 0
}

a_working_directory_that_is_not_there_is_named() {
	write_app <<-END
		exec = sleep 1000
		dir = $work/nowhere
	END
	run_app
	failed_with "working directory $work/nowhere: No such file or directory"
}

a_child_that_exits_stops_the_app() {
	write_app <<<'exec = sh -c "exit 3"'
	run_app
	failed_with 'exited with status 3'
}

a_child_that_is_killed_stops_the_app() {
	write_app <<<"shell = kill -KILL \$\$\$\$"
	run_app
	failed_with 'killed by signal 9 \(SIGKILL\)'
}

a_child_that_exits_with_0_unasked_stops_the_app() {
	write_app <<<'exec = true'
	run_app
	failed_with 'exited with status 0 without being told to stop: .*foreground; if .* oneshot'
}

the_first_error_is_told_last_and_the_others_are_counted() {
	cat >"$work/first" <<-END
		while [ ! -e $work/up ]; do sleep 0.05; done
		exit 3
	END
	cat >"$work/second" <<-END
		trap 'exit 5' TERM
		: >$work/up
		while :; do sleep 0.05; done
	END
	write_app <<-END
		exec = sh $work/first
		[server:two]
		exec = sh $work/second
	END
	run_app
	is 'exit status' "$status" 1
	has_in_order "$work/err" 'error one +failed: exited with status 3' \
		'error two +failed: exited with status 5'
	is 'the last line' "$(last_line "$work/err")" \
		'error test   failed: one: exited with status 3; 1 error more, see above'
}

an_address_in_use_is_told() {
	local port holder
	start hold python3 "$tools" hold
	holder=$pid
	wait_for_line "$work/hold.out" '^[0-9]+$' || return
	port=$(cat "$work/hold.out")
	write_app <<<"tcp-echo = 127.0.0.1:$port"
	run_app
	is 'exit status' "$status" 1
	has "$work/err" " error one +failed: .*127.0.0.1:$port: Address already in use"
	last_line "$work/err" >"$work/last"
	has "$work/last" '^error test +failed: one: .*Address already in use$'
	kill "$holder"
	finish "$holder"
}

# ---- files ----

every_error_of_a_file_is_told() {
	local command line
	cat >"$work/app.ini" <<-'END'
		[app]
		stop_timeuot = 3s
		drain_delay = soon
		[server:one]
		exec = sleep 1000
		max_connections = 0
		[server:one]
		shell = sleep 1000
		[sever:two]
		[server:three]
		exec = ${NO_SUCH_VARIABLE_E2E}
	END
	for command in run check; do
		run "$cratos" "$command" "$work/app.ini"
		is "exit status of $command" "$status" 78
		is 'standard output' "$(cat "$work/out")" ''
		for line in 2 3 6 7 9 11; do
			has "$work/err" "^cratos: $work/app.ini:$line: "
		done
		has "$work/err" "did you mean 'stop_timeout'"
		lacks "$work/err" '^(cratos: [^:]*:[0-9]+: )?$'
		[ "$(grep -vcE "^cratos: $work/app.ini:[0-9]+: " "$work/err")" = 0 ] ||
			problem 'a line without file and line'
	done
}

what_a_server_cannot_be_is_told_with_the_rest() {
	local line
	cat >"$work/app.ini" <<-'END'
		[server:one]
		exec = "sleep 1000
		[server:two]
		[server:three]
		tcp-echo = 127.0.0.1:99999
		[server:four]
		exec = sleep 1000
		bogus = 1
		[server:five]
		tcp-echo = 127.0.0.1:0
		dir = /
		[server:six]
		exec = sleep 1000
		max_connections = 7
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 78
	for line in 2 3 5 8 11 14; do
		has "$work/err" "^cratos: $work/app.ini:$line: "
	done
	is 'lines' "$(wc -l <"$work/err")" 6
}

what_has_no_effect_is_told() {
	cat >"$work/app.ini" <<-'END'
		[app]
		register_policy = retry
		register_timeout = 1s
		register_delay = 2m
		[server:one]
		tcp-echo = 127.0.0.1:0
		stop_signal = INT
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 78
	has "$work/err" 'ini:2: .app. register_policy: goes with register only'
	has "$work/err" 'ini:3: .app. register_timeout: goes with register only'
	has "$work/err" 'ini:4: .app. register_delay: goes with register only'
	has "$work/err" 'ini:4: .* is more than register_max_delay, which is 1m'
	has "$work/err" 'ini:7: .*stop_signal: goes with exec and shell only'
	is 'lines' "$(wc -l <"$work/err")" 5
}

a_registrar_that_cannot_work_is_told() {
	cat >"$work/app.ini" <<-END
		[app]
		register = no-such-register
		deregister = $work/no-such-file
		register_delay = 2s
		register_max_delay = 1s
		[server:one]
		tcp-echo = 127.0.0.1:0
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 78
	has "$work/err" 'ini:2: .app. register: .*no-such-register: not found'
	has "$work/err" 'ini:3: .app. deregister: .*No such file or directory'
	has "$work/err" 'ini:4: .*does nothing without register_policy = retry'
	has "$work/err" 'ini:5: .*does nothing without register_policy = retry'
	has "$work/err" 'ini:5: .*register_max_delay is less than register_delay'
	is 'lines' "$(wc -l <"$work/err")" 5
}

names_with_commas_are_told() {
	cat >"$work/app.ini" <<-END
		[server:one]
		tcp-echo = 127.0.0.1:0
		[server:two]
		tcp-echo = 127.0.0.1:0
		[server:three]
		tcp-echo = 127.0.0.1:0
		after = one, two
	END
	run_app
	is 'exit status' "$status" 78
	has "$work/err" "ini:7: .*there is no server 'one,'; names stand with blanks \
between them, without commas; there are one, two\$"
}

an_unknown_key_is_told_with_all_that_are_known() {
	write_app <<<'bogus = 1'
	run_app
	is 'exit status' "$status" 78
	has "$work/err" "unknown key 'bogus'; known here: exec, .*, max_connections\$"
}

a_server_is_one_thing() {
	cat >"$work/app.ini" <<-'END'
		[server:none]
		dir = /
		[server:both]
		exec = sleep 1
		tcp-echo = 127.0.0.1:0
		[server:open]
		exec = sleep '1
		[server:empty]
		exec = ''
	END
	run_app
	is 'exit status' "$status" 78
	has "$work/err" "app.ini:1: \[server:none\].*nothing to run"
	has "$work/err" "app.ini:3: \[server:both\].*more than one"
	has "$work/err" "app.ini:7: \[server:open\] exec: "
	has "$work/err" "app.ini:9: \[server:empty\] exec: "
}

a_file_without_servers_is_refused() {
	: >"$work/app.ini"
	run_app
	is 'exit status' "$status" 78
	has "$work/err" "^cratos: $work/app.ini.*no server to run"
}

a_file_that_cannot_be_read_is_told() {
	run "$cratos" run "$work/missing.ini"
	is 'exit status' "$status" 78
	has "$work/err" "^cratos: $work/missing.ini: .*No such file or directory"
	run "$cratos" check "$work"
	is 'exit status for a folder' "$status" 78
	has "$work/err" "^cratos: $work: .*Is a directory"
	run "$cratos" run /dev/null
	is 'exit status for a device' "$status" 78
	has "$work/err" '^cratos: /dev/null: '
	if [ "$(id -u)" != 0 ]; then
		echo '[server:a]' >"$work/app.ini"
		chmod 0 "$work/app.ini"
		run_app
		is 'exit status without permission' "$status" 78
		has "$work/err" "^cratos: $work/app.ini: .*Permission denied"
	fi
}

# ---- usage ----

refuses() { # WORDS ARGUMENT...
	run "$cratos" "${@:2}"
	is "exit status of '${*:2}'" "$status" 2
	is "standard output of '${*:2}'" "$(cat "$work/out")" ''
	has "$work/err" "^cratos: .*$1.*; see \"cratos .*--help\"\$"
	is "number of lines of '${*:2}'" "$(wc -l <"$work/err")" 1
}

wrong_usage_is_refused() {
	refuses 'no command'
	refuses 'unknown command rnu' rnu
	refuses 'unknown command' --no-such-option
	refuses 'unknown option --no-such-option' run --no-such-option "$example"
	refuses 'unknown option -x' run -qx "$example"
	refuses 'unknown option --json' check --json "$example"
	refuses 'unknown option --quiet=yes' run --quiet=yes "$example"
	refuses 'one file, not also other.ini' run "$example" other.ini
	refuses "one file, not also $example" run -c other.ini "$example"
	refuses 'one file, not also other.ini' check -c "$example" -c other.ini
	refuses 'no file' run
	refuses 'no file' check
	refuses 'a file is missing after -c' run -c
	refuses 'a file is missing after --config' check --config
	refuses 'no help about nothing' help nothing
	refuses 'one topic at a time' help run check
	refuses 'no argument' version 1
}

helps() { # REGEX ARGUMENT...
	run "$cratos" "${@:2}"
	is "exit status of '${*:2}'" "$status" 0
	is "standard error of '${*:2}'" "$(cat "$work/err")" ''
	has "$work/out" "$1"
}

help_is_at_every_level() {
	local flag
	for flag in help --help -h; do
		helps '^usage: cratos COMMAND' "$flag"
	done
	for flag in --help -h; do
		helps '^usage: cratos run ' run "$flag"
		helps '^usage: cratos check ' check "$flag"
		helps '^usage: cratos exec ' exec "$flag"
		helps '^usage: cratos version' version "$flag"
		helps '^usage: cratos help' help "$flag"
	done
	helps '^usage: cratos run ' help run
	helps '^usage: cratos check ' help check
	helps '^ +stop_timeout = ' help ini
	helps '^;stop_timeout = 10s' help sample
	helps '^cratos [0-9]+\.[0-9]+\.[0-9]+$' version
	helps '^cratos [0-9]+\.[0-9]+\.[0-9]+$' --version
}

# As a file it lacks only what it should run.
the_sample_is_a_file_that_cratos_reads() {
	"$cratos" help sample | sed 's/^;exec =.*/exec = sleep 1000/' \
		>"$work/app.ini"
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 0
	is 'standard error' "$(cat "$work/err")" ''
	has "$work/out" '^1\. example$'
}

the_sample_can_be_run_as_it_is() {
	"$cratos" help sample >"$work/app.ini"
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 0
	is 'standard error' "$(cat "$work/err")" ''
	has "$work/out" '^1\. example$'
	has "$work/app.ini" '^;max_connections = 1024$'
}

a_full_disk_is_told() {
	local arguments
	printf '[server:a]\nexec = sleep 1000\n' >"$work/app.ini"
	for arguments in help 'run --help' 'help ini' 'help sample' version \
		"check $work/app.ini"; do
		# shellcheck disable=SC2086 # several words are meant
		"${wrap[@]}" "$cratos" $arguments >/dev/full 2>"$work/err"
		is "exit status of $arguments" $? 1
		has "$work/err" 'cannot write: No space left on device'
	done
	"${wrap[@]}" "$cratos" version >&- 2>"$work/err"
	is 'exit status with standard output closed' $? 1
	has "$work/err" 'cannot write: Bad file descriptor'
}

# ---- stopping ----

write_scripts() {
	cat >"$work/stubborn" <<-'END'
		trap '' TERM
		echo 'stubborn is up'
		exec sleep 1000
	END
	# Its child ignores SIGTERM, it does not.
	cat >"$work/parent" <<-'END'
		trap '' TERM
		sleep 1000 &
		trap - TERM
		echo 'parent is up'
		wait
	END
}

a_second_sigterm_ends_all_at_once() {
	write_scripts
	write_app 'stop_timeout = 1h' <<<"exec = sh $work/stubborn"
	start_app
	wait_for_line "$work/app.err" ' out +[a-z]+ +stubborn is up$'
	kill -TERM "$pid"
	wait_for_line "$work/app.err" ' one +stopping: SIGTERM to pid'
	wait_for_line "$work/app.err" ' stays +stopped after'
	stop_app TERM
	is 'exit status' "$status" 143
	has "$work/app.err" 'error test +ended by force, by a second signal .SIGTERM.'
}

the_second_signal_gives_the_status() {
	write_scripts
	write_app 'stop_timeout = 1h' <<<"exec = sh $work/parent"
	start_app
	wait_for_line "$work/app.err" ' out +[a-z]+ +parent is up$'
	kill -TERM "$pid"
	wait_for_line "$work/app.err" ' one +stopping'
	stop_app INT
	is 'exit status' "$status" 130
}

a_child_that_does_not_stop_is_killed_at_the_deadline() {
	write_scripts
	write_app 'stop_timeout = 300ms' <<<"exec = sh $work/stubborn"
	start_app
	wait_for_line "$work/app.err" ' out +[a-z]+ +stubborn is up$'
	stop_app TERM
	is 'exit status' "$status" 1
	has_in_order "$work/app.err" ' warn  one +not stopped after' \
		' error one +failed: did not stop in time: killed \(SIGKILL\)'
	is 'the last line' "$(last_line "$work/app.err")" \
		'error test   failed: one: did not stop in time: killed (SIGKILL)'
}

a_server_has_its_own_time_to_stop() {
	write_scripts
	write_app 'stop_timeout = 1h' <<-END
		exec = sh $work/stubborn
		stop_timeout = 300ms
	END
	start_app
	wait_for_line "$work/app.err" ' out +[a-z]+ +stubborn is up$'
	stop_app TERM
	is 'exit status' "$status" 1
	has "$work/app.err" ' error one +failed: did not stop in time'
}

a_grandchild_that_does_not_stop_is_killed_at_the_deadline() {
	write_scripts
	write_app 'stop_timeout = 300ms' <<<"exec = sh $work/parent"
	start_app
	wait_for_line "$work/app.err" ' out +[a-z]+ +parent is up$'
	stop_app TERM
	is 'exit status' "$status" 1
	is 'the last line' "$(last_line "$work/app.err")" \
		"error test   failed: one: processes that it started did not stop \
in time: killed (SIGKILL)"
}

a_stop_signal_can_be_chosen() {
	cat >"$work/script" <<-'END'
		trap '' TERM
		trap 'echo got USR1; exit 0' USR1
		echo 'script is up'
		while :; do sleep 0.05; done
	END
	write_app <<-END
		exec = sh $work/script
		stop_signal = USR1
	END
	start_app
	wait_for_line "$work/app.err" ' out +[a-z]+ +script is up$'
	stop_app TERM
	has "$work/app.err" 'one +stopping: SIGUSR1 to pid'
	has "$work/app.err" ' out +one +got USR1$'
	is 'exit status' "$status" 0
}

every_stop_signal_stops_in_order() {
	local signal
	write_app <<<'tcp-echo = 127.0.0.1:0'
	for signal in TERM INT QUIT; do
		start_app
		stop_app "$signal"
		is "exit status after SIG$signal" "$status" 0
		has_in_order "$work/app.err" " test +got SIG$signal from pid [0-9]+ .bash." \
			' stays +stopped after' ' test +stopped after'
	done
}

under_nohup_a_hangup_is_nothing() {
	write_app <<<'tcp-echo = 127.0.0.1:0'
	start app env --ignore-signal=HUP "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'running, all ready'
	kill -HUP "$pid"
	stop_app TERM
	is 'exit status' "$status" 0
	lacks "$work/app.err" 'got SIGHUP'
}

a_signal_during_the_start_is_obeyed() {
	local signal
	write_app <<<'exec = sleep 1000'
	for signal in TERM INT; do
		start app "$cratos" run "$work/app.ini"
		wait_for_line "$work/app.err" 'starting 2 servers'
		stop_app "$signal"
		is "exit status after SIG$signal" "$status" 0
	done
}

a_stop_that_was_asked_for_ends_before_its_drain_delay() {
	write_app 'drain_delay = 1h' <<<'exec = sleep 1000'
	start_app
	kill -TERM "$pid"
	wait_for_line "$work/app.err" 'draining, for 3600 s'
	stop_app TERM
	is 'exit status' "$status" 0
}

for name in a_program_that_is_not_there_is_named \
	a_program_that_may_not_be_run_is_named \
	check_looks_for_programs_and_folders \
	programs_are_looked_for_where_they_will_be_run \
	quotes_keep_a_name_with_blanks_together \
	a_working_directory_that_is_not_there_is_named \
	a_child_that_exits_stops_the_app \
	a_child_that_is_killed_stops_the_app \
	a_child_that_exits_with_0_unasked_stops_the_app \
	the_first_error_is_told_last_and_the_others_are_counted \
	an_address_in_use_is_told \
	every_error_of_a_file_is_told \
	what_a_server_cannot_be_is_told_with_the_rest \
	what_has_no_effect_is_told \
	a_registrar_that_cannot_work_is_told \
	names_with_commas_are_told \
	an_unknown_key_is_told_with_all_that_are_known \
	a_server_is_one_thing \
	a_file_without_servers_is_refused \
	a_file_that_cannot_be_read_is_told \
	wrong_usage_is_refused \
	help_is_at_every_level \
	the_sample_is_a_file_that_cratos_reads \
	the_sample_can_be_run_as_it_is \
	a_full_disk_is_told \
	a_second_sigterm_ends_all_at_once \
	the_second_signal_gives_the_status \
	a_child_that_does_not_stop_is_killed_at_the_deadline \
	a_server_has_its_own_time_to_stop \
	a_grandchild_that_does_not_stop_is_killed_at_the_deadline \
	a_stop_signal_can_be_chosen \
	every_stop_signal_stops_in_order \
	under_nohup_a_hangup_is_nothing \
	a_signal_during_the_start_is_obeyed \
	a_stop_that_was_asked_for_ends_before_its_drain_delay; do
	test_that "$name"
done
all_passed
