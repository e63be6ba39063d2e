#!/bin/bash
# What becomes of what servers print.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# An app of the sections in standard input; it ends when the file "end" is
# there, and what is named has been done.
write_app() { # [APP-KEYS [AFTER]]
	{
		printf '[app]\nname = t\n%b' "${1:-}"
		cat
		printf '[server:end]\nlog = null\non_exit = stop\n'
		printf 'after = %s\n' "${2:-}"
		printf 'shell = until [ -e %s ]; do sleep 0.05; done\n' \
			"$work/end"
	} >"$work/app.ini"
}

end_app() {
	: >"$work/end"
	finish "$pid"
	is 'exit status' "$status" 0
}

# What a server has printed, line by line, parts put together.
printed() { # SERVER FILE
	sed -nE "s/^[0-9:.]{12} (out\\+?) +$1  /\\1 /p" "$2" | awk '
		/^out / { if (NR > 1) print ""; printf "%s", substr($0, 5) }
		/^out\+ / { printf "%s", substr($0, 6) }
		END { if (NR) print "" }'
}

# ---- lines ----

lines_have_the_time_and_the_server_and_their_order() {
	write_app <<-'END'
		[server:one]
		shell = echo first; echo second >&2; echo; echo ' third  '
		oneshot = true
		[server:longer-name]
		shell = echo hello; exec sleep 1000
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' out +longer-name  hello$'
	wait_for_line "$work/app.err" 'running, all ready'
	end_app
	is 'standard output' "$(cat "$work/app.out")" ''
	has "$work/app.err" \
		'^[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3} out   one          first$'
	is 'what it says' "$(printed 'one        ' "$work/app.err")" \
		$'first\nsecond\n\n third  '
	has_in_order "$work/app.err" ' one +starting' ' one +first' \
		' one +done after'
}

last_words_without_a_newline_are_a_line_before_the_end() {
	write_app <<-'END'
		[server:one]
		shell = echo start; printf 'no space on'; printf ' disk'; exit 3
		restart = on-failure
		restart_delay = 0
		restart_limit = 2
		optional = true
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' one +failed for good'
	end_app
	is 'what it says' "$(printed one "$work/app.err" | uniq -c | xargs)" \
		"$(printf '1 start 1 no space on disk %.0s' 1 2 3 | xargs)"
	has_in_order "$work/app.err" ' out +one  no space on disk$' \
		' error one +failed: exited' ' out +one  start$' \
		' out +one  no space on disk$' ' error one +failed: exited'
}

what_it_says_at_its_stop_comes_before_it_has_stopped() {
	cat >"$work/polite" <<-'END'
		trap 'printf "good bye"; exit 0' TERM
		echo up
		while :; do sleep 0.05; done
	END
	write_app <<-END
		[server:one]
		exec = sh $work/polite
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' out +one +up$'
	stop_app TERM
	is 'exit status' "$status" 0
	has_in_order "$work/app.err" ' one +stopping' ' out +one +good bye$' \
		' one +stopped'
}

long_lines_come_in_parts_and_nothing_is_lost() {
	# Characters of two bytes, so that parts end within one; and a line that
	# is as long as a part exactly.
	{
		printf 'x%.0s' {1..4096}
		printf '\nx'
		printf '\303\244%.0s' {1..50000}
		printf '\nlast'
	} >"$work/text"
	write_app <<-END
		[server:one]
		shell = cat $work/text; exec sleep 1000
	END
	for option in '' --json; do
		rm -f "$work/end"
		# shellcheck disable=SC2086 # no word, or one
		start app "$cratos" run $option "$work/app.ini"
		wait_for_line "$work/app.err" '[^x]x?(ä)+("|$)'
		end_app
		if [ "$option" ]; then
			python3 "$tools" printed one "$work/app.err" \
				>"$work/printed.txt"
		else
			printed one "$work/app.err" >"$work/printed.txt"
			is 'number of parts' "$(count_lines "$work/app.err" \
				' out\+ ')" 24
		fi
		cmp "$work/printed.txt" <(cat "$work/text" && echo) \
			>"$work/cmp.out" 2>&1 || problem "other text: $option"
	done
}

bytes_are_as_they_were_but_for_a_terminal_and_json() {
	printf '\000\001a\033[2Jb\007\302\233c\377\r\n\tend\n' >"$work/bytes"
	write_app <<-END
		[server:one]
		shell = cat $work/bytes; exec sleep 1000
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' out +one +.end$'
	end_app
	grep -a ' out ' "$work/app.err" | sed -E 's/^.{12} out +one  //' |
		cmp - "$work/bytes" >"$work/cmp.out" 2>&1 ||
		problem 'other bytes'
	rm "$work/end"
	start app "$cratos" run --json "$work/app.ini"
	wait_for_line "$work/app.err" '"text":"\\u0009end"'
	end_app
	python3 "$tools" events "$work/app.err" >"$work/events.out" ||
		problem 'not JSON as it should be'
	has "$work/app.err" '"event":"output","server":"one","text":"\\u0000\\u0001a\\u001b\[2Jb\\u0007.{1,2}c\\ufffd\\u000d"'
}

on_terminal() { # NAME=VALUE...
	env TERM=xterm "$@" "${wrap[@]}" python3 "$tools" on_terminal \
		"$work/terminal.out" 'last line.*\n' '\x03' \
		"$cratos" run "$work/app.ini"
}

a_terminal_gets_colours_but_no_controls() {
	printf '\033[31mred\033[0m \033[2J\007\302\233\303\244\377\r\nlast line\n' \
		>"$work/bytes"
	write_app <<-END
		[server:one]
		shell = cat $work/bytes; exec sleep 1000
	END
	is 'exit status' "$(on_terminal)" 0
	has "$work/terminal.out" \
		$'out  \033\\[0m \033\\[[0-9]+mone \033\\[0m|out  \033\\[0m \033\\[[0-9]+mone\033\\[0m'
	has "$work/terminal.out" \
		$'  \033\\[31mred\033\\[0m \\\\x1b\\[2J\\\\x07\\\\xc2\\\\x9bä\\\\xff\033\\[0m\r$'
	is 'exit status' "$(on_terminal NO_COLOR=1)" 0
	lacks "$work/terminal.out" $'\033'
	has "$work/terminal.out" \
		$'out   one  \\\\x1b\\[31mred\\\\x1b\\[0m \\\\x1b\\[2J'
}

under_journald_a_line_may_have_its_own_priority() {
	write_app <<-'END'
		[server:one]
		shell = echo '<3>broken'; echo plain; exec sleep 1000
	END
	: >"$work/app.err"
	start app env JOURNAL_STREAM="$(stat -c '%d:%i' "$work/app.err")" \
		"$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" '^<6>one: plain$'
	end_app
	has "$work/app.err" '^<3>one: broken$'
}

quiet_leaves_lines() {
	write_app <<-'END'
		[server:one]
		shell = echo hello; exec sleep 1000
	END
	start app "$cratos" run --quiet "$work/app.ini"
	wait_for_line "$work/app.err" ' out +one +hello$'
	end_app
	is 'number of lines' "$(wc -l <"$work/app.err")" 1
}

# ---- much of it ----

nothing_is_lost_of_many_lines_of_many_servers() {
	local server
	write_app '' 'one two three' <<-'END'
		[server:one]
		shell = seq 1 20000
		oneshot = true
		[server:two]
		shell = seq 1 20000
		oneshot = true
		[server:three]
		shell = seq 1 20000
		oneshot = true
	END
	# Through a pipe that takes little at a time.
	: >"$work/end"
	: >"$work/slow.read"
	start slow python3 "$tools" stall pipe "$work/slow" \
		"$cratos" run "$work/app.ini"
	finish "$pid"
	is 'exit status' "$status" 0
	seq 1 20000 >"$work/wanted"
	for server in one two three; do
		printed "$server *" "$work/slow.err" >"$work/printed.txt"
		cmp "$work/wanted" "$work/printed.txt" >"$work/cmp.out" 2>&1 ||
			problem "other lines of $server"
	done
	lacks "$work/slow.err" 'lost here'
}

# One that prints without end, into a file, so that all of it is taken.
a_flood_does_not_hold_up_others_nor_the_stop() {
	write_app <<-'END'
		[server:flood]
		exec = yes
		[server:other]
		shell = while echo hello; do sleep 0.05; done
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_lines 5 "$work/app.err" ' out +other +hello$'
	stop_app TERM
	is 'exit status' "$status" 0
	tail -n 200000 "$work/app.err" >"$work/tail"
	has "$work/tail" ' flood +stopped after'
	: >"$work/app.err"
}

floods_take_turns() {
	local reader app
	mkfifo "$work/pipe"
	write_app '' <<-'END'
		[server:one]
		exec = yes
		[server:two]
		exec = yes
		[server:three]
		exec = yes
	END
	# shellcheck disable=SC2016 # those of awk
	start reader awk '{ n[$3]++ }
		n["one"] > 5000 && n["two"] > 5000 && n["three"] > 5000 { exit }
		' "$work/pipe"
	reader=$pid
	# shellcheck disable=SC2016 # those of the inner shell
	start app bash -c 'exec 2>"$0"; exec "$@"' "$work/pipe" \
		"$cratos" run "$work/app.ini"
	app=$pid
	finish "$reader"
	pid=$app
	stop_app TERM
	is 'exit status' "$status" 0
}

# Nobody reads the lines: who prints them waits, files are written, the app can
# be stopped; and when somebody reads, all are there.
a_reader_that_stalls_holds_up_only_those_who_print_lines() {
	write_app <<-END
		[server:flood]
		shell = trap 'exit 0' TERM; seq 1 100000; : >$work/done; sleep 1000
		[server:other]
		shell = while echo hello; do sleep 0.05; done
		log = file:$work/other.log
	END
	start unread python3 "$tools" stall pipe "$work/app" \
		"$cratos" run "$work/app.ini"
	eventually [ -e "$work/other.log" ]
	wait_for_lines 40 "$work/other.log" '^hello$'
	mv "$work/other.log" "$work/other.old"
	kill -USR2 "$(cat "$work/app.pid")"
	eventually [ -e "$work/other.log" ]
	wait_for_lines 5 "$work/other.log" '^hello$'
	[ ! -e "$work/done" ] || problem 'somebody has taken all'
	: >"$work/app.read"
	eventually [ -e "$work/done" ] || problem 'it is still held up'
	kill -TERM "$(cat "$work/app.pid")"
	finish "$pid"
	is 'exit status' "$status" 0
	printed 'flood *' "$work/app.err" | head -n 100000 | cmp - <(seq 1 100000) \
		>"$work/cmp.out" 2>&1 || problem 'other lines'
	lacks "$work/app.err" 'lost here'
}

a_reader_that_stalls_does_not_hold_up_the_stop_of_a_flood() {
	write_app 'stop_timeout = 5s\n' <<-END
		[server:flood]
		shell = echo >$work/up; exec yes
	END
	start unread python3 "$tools" stall pipe "$work/app" \
		"$cratos" run "$work/app.ini"
	wait_for_line "$work/up" '^$'
	kill -TERM "$(cat "$work/app.pid")"
	finish "$pid"
	is 'exit status' "$status" 0
}

# A process that has left the server's group holds the pipe.
what_is_left_behind_is_heard_and_not_waited_for() {
	cat >"$work/left" <<-END
		echo \$\$ >$work/left.pid
		until [ -e $work/go ]; do sleep 0.05; done
		echo late
		exec sleep 1000
	END
	write_app 'strays = keep\n' <<-END
		[server:one]
		shell = setsid sh $work/left & until [ -s $work/left.pid ]; do sleep 0.05; done
		on_exit = stay
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' one +exited with status 0'
	: >"$work/go"
	wait_for_line "$work/app.err" ' out +one +late$'
	end_app
	kill "$(cat "$work/left.pid")"
}

an_idle_app_does_not_wake_up() {
	local before
	write_app <<-END
		[server:one]
		shell = printf 'a line that is not over'; exec sleep 1000
		[server:two]
		exec = sleep 1000
		log = file:$work/two.log
	END
	# Its own end would be polled for.
	sed -i '/^\[server:end\]/,$d' "$work/app.ini"
	start_app || return
	eventually is_at_rest || problem 'it wakes up'
	stop_app TERM
	is 'exit status' "$status" 0
	has "$work/app.err" ' out +one +a line that is not over$'
}

switches() {
	cat "/proc/$pid/task/"*/status | awk '/ctxt_switches/ { n += $2 }
		END { print n }'
}

is_at_rest() {
	local before
	before=$(switches)
	sleep 0.5
	[ "$(switches)" = "$before" ]
}

a_server_has_two_descriptors_for_its_output() {
	local server few
	for server in {1..3}; do
		printf '[server:s%d]\nexec = sleep 1000\n' "$server"
	done >"$work/app.ini"
	start_app || return
	few=$(find "/proc/$pid/fd" -type l | wc -l)
	stop_app TERM
	for server in {4..13}; do
		printf '[server:s%d]\nexec = sleep 1000\n' "$server"
	done >>"$work/app.ini"
	start_app || return
	# And one to see its end.
	is 'descriptors of ten servers' \
		$(($(find "/proc/$pid/fd" -type l | wc -l) - few)) 30
	stop_app TERM
	is 'exit status' "$status" 0
}

a_low_limit_of_descriptors_is_raised_if_it_may_be() {
	local server
	for server in {1..20}; do
		printf '[server:s%d]\nexec = sleep 1000\n' "$server"
	done >"$work/app.ini"
	start app bash -c 'ulimit -Sn 40; exec "$@"' bash \
		"$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'running, all ready'
	stop_app TERM
	is 'exit status' "$status" 0
	run bash -c 'ulimit -n 40; exec "$@"' bash "$cratos" run "$work/app.ini"
	is 'exit status without' "$status" 78
	has "$work/err" '.server:s[0-9]+. log: no pipe: Too many open files'
}

# ---- elsewhere ----

inherit_leaves_the_streams_alone_and_null_drops_all() {
	write_app 'log = null\n' <<-'END'
		[server:one]
		log = inherit
		shell = echo to-out; echo to-err >&2
		oneshot = true
		[server:two]
		shell = echo dropped; echo dropped >&2
		oneshot = true
		[server:three]
		log = lines
		after = one two
		shell = echo a line; exec sleep 1000
	END
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' out +three +a line$'
	end_app
	is 'standard output' "$(cat "$work/app.out")" to-out
	has "$work/app.err" '^to-err$'
	lacks "$work/app.err" ' out .*dropped|^dropped'
}

files_have_the_bytes_and_are_rotated_by_lines() {
	local file
	write_app "log = file:$work/%n.log\nlog_size = 1KiB\n" 'one two three' <<-END
		[server:one]
		shell = seq 1 1000; printf 'end'
		oneshot = true
		[server:two]
		shell = head -c 100000 /dev/urandom | tee $work/wanted.two
		log_size = 0
		oneshot = true
		[server:three]
		shell = seq 1 1000
		log_size = 100
		log_keep = 0
		oneshot = true
	END
	: >"$work/end"
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 0
	lacks "$work/err" ' out '
	cmp "$work/wanted.two" "$work/two.log" >"$work/cmp.out" 2>&1 ||
		problem 'other bytes'
	# 3893 bytes and three.
	is 'files' "$(cd "$work" && echo one.log*)" \
		'one.log one.log.1 one.log.2 one.log.3'
	for file in "$work"/one.log.3 "$work"/one.log.2 "$work"/one.log.1; do
		[ "$(wc -c <"$file")" -le 1024 ] || problem "$file is long"
		[ "$(tail -c 1 "$file" | wc -l)" = 1 ] ||
			problem "$file ends within a line"
	done
	cat "$work"/one.log.3 "$work"/one.log.2 "$work"/one.log.1 \
		"$work"/one.log | cmp - <(seq 1 1000; printf end) \
		>"$work/cmp.out" 2>&1 || problem 'other lines'
	is 'files without old ones' "$(cd "$work" && echo three.log*)" three.log
	[ "$(wc -c <"$work/three.log")" -le 100 ] || problem 'too long'
	has "$work/three.log" '^1000$'
	# They go on where they have ended; the oldest goes.
	sed -i 's/^log_size = 1KiB/&\nlog_keep = 2/' "$work/app.ini"
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 0
	is 'files that are kept' "$(cd "$work" && echo one.log*)" \
		'one.log one.log.1 one.log.2 one.log.3'
	cat "$work"/one.log.2 "$work"/one.log.1 "$work"/one.log >"$work/all"
	has "$work/all" '^1000$'
	lacks "$work/all" '^2$'
}

a_link_stays_when_what_it_leads_to_is_rotated() {
	mkdir "$work/data"
	ln -s data/one "$work/one.log"
	write_app "log = file:$work/%n.log\nlog_size = 1KiB\n" one <<-END
		[server:one]
		shell = seq 1 1000
		oneshot = true
	END
	: >"$work/end"
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 0
	is 'link' "$(readlink "$work/one.log")" data/one
	is 'files' "$(cd "$work" && echo one.log* data/*)" \
		'one.log data/one data/one.1 data/one.2 data/one.3'
	cat "$work"/data/one.{3,2,1} "$work/one.log" | cmp - <(seq 1 1000) \
		>"$work/cmp.out" 2>&1 || problem 'other lines'
}

files_that_were_renamed_are_opened_anew_when_told() {
	write_app "log = file:$work/%n.log\n" <<-END
		[server:one]
		shell = echo before; until [ -e $work/go ]; do sleep 0.05; done; echo after; exec sleep 1000
	END
	sed -i '/^log = null/d' "$work/app.ini"
	start_app || return
	wait_for_line "$work/one.log" '^before$'
	mv "$work/one.log" "$work/one.old"
	kill -USR2 "$pid"
	eventually [ -e "$work/one.log" ] || problem 'no new file'
	: >"$work/go"
	wait_for_line "$work/one.log" '^after$'
	is 'the old file' "$(cat "$work/one.old")" before
	end_app
	lacks "$work/app.err" ' out '
}

a_file_that_cannot_be_written_is_told_once_and_holds_up_nobody() {
	write_app "log_size = 0\n" <<-END
		[server:one]
		log = file:$work/one.log
		shell = seq 1 100000; echo done >$work/done; exec sleep 1000
		[server:two]
		shell = until [ -e $work/done ]; do sleep 0.05; done; echo hello; exec sleep 1000
	END
	# Kilobytes; the lines of cratos go into a file as well.
	start app bash -c 'ulimit -f 64; exec "$@"' bash \
		"$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" ' out +two +hello$'
	end_app
	is 'what is told' "$(grep '^cratos: ' "$work/app.err")" \
		"cratos: cannot write to $work/one.log: File too large; what comes is lost"
}

the_signal_to_open_files_anew_does_nothing_without_one() {
	write_app <<-'END'
		[server:one]
		shell = echo up; exec sleep 1000
	END
	start_app || return
	kill -USR2 "$pid"
	end_app
}

a_reload_changes_where_it_goes() {
	local two
	write_app <<-'END'
		[server:one]
		shell = echo hello; exec sleep 1000
		[server:two]
		log = lines
		exec = sleep 1000
	END
	start_app || return
	wait_for_line "$work/app.err" ' out +one +hello$'
	two=$(pid_of two)
	sed -i "s,^name = t$,&\nlog = file:$work/%n.log," "$work/app.ini"
	kill -HUP "$pid"
	wait_for_line "$work/app.err" 'reloaded: 0 added, 1 changed, 0 removed'
	wait_for_line "$work/one.log" '^hello$'
	is 'process of the other' "$(pid_of two)" "$two"
	sed -i "s,^log = file:.*/%n.log,&\nlog_size = 1," "$work/app.ini"
	kill -HUP "$pid"
	wait_for_lines 2 "$work/app.err" \
		'reloaded: 0 added, 1 changed, 0 removed'
	wait_for_line "$work/one.log.1" '^hello$'
	end_app
	is 'number of lines' "$(count_lines "$work/app.err" ' out ')" 1
}

what_is_wrong_with_a_log_is_told() {
	mkdir "$work/folder"
	cat >"$work/app.ini" <<-END
		[app]
		log = files
		[server:one]
		exec = true
		log = file:
		[server:two]
		exec = true
		log = file:$work/%x.log
		[server:three]
		exec = true
		log = file:$work/log
		[server:four]
		exec = true
		log = file:$work/log
		[server:five]
		exec = true
		log = lines
		log_size = 10
		[server:six]
		tcp-echo = 127.0.0.1:0
		log = null
		[server:seven]
		exec = true
		log = file:$work/no/folder
		[server:eight]
		exec = true
		log = file:$work/folder
		[server:nine]
		exec = true
		log = file:/dev/stdout
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 78
	has_in_order "$work/err" ":2: .app. log: 'files': must be lines, inherit" \
		":5: .server:one. log: 'file:': must be" \
		":8: .server:two. log: .*%n is the server's name" \
		':14: .server:four. log: .* is the log of three as' \
		':18: .server:five. log_size: goes with' \
		':21: .server:six. log: goes with exec' \
		':24: .server:seven. log: cannot write to .*/no/folder: No such' \
		':27: .server:eight. log: .*/folder is no regular file' \
		':30: .server:nine. log: .file:/dev/stdout.: no file of its own; .*log = inherit'
	is 'number of lines' "$(wc -l <"$work/err")" 9
	[ ! -e "$work/log" ] || problem 'check has made a file'
	run "$cratos" run "$work/app.ini"
	is 'exit status of run' "$status" 78
}

a_file_belongs_to_one_server_whatever_it_is_called() {
	mkdir "$work/folder"
	ln -s folder "$work/link"
	cat >"$work/app.ini" <<-END
		[app]
		log_size = 1k
		log_keep = 3
		[server:one]
		exec = true
		log = file:$work/folder/a
		[server:two]
		exec = true
		log = file:$work/folder/../link/a
		[server:three]
		exec = true
		log = file:$work/link/a.3
		[server:four]
		exec = true
		log = file:$work/folder/b.1
		[server:five]
		exec = true
		log = file:$work/link/b
		[server:six]
		exec = true
		log = file:$work/folder/a.4
		[server:seven]
		exec = true
		log = file:$work/folder/b.old
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 78
	has_in_order "$work/err" \
		':9: .server:two. log: .* is the log of one as well: give' \
		':12: .server:three. log: .* is the log of one as well, once that is full: give' \
		':18: .server:five. log: .* is the log of four as well, once it is full: give'
	is 'number of lines' "$(wc -l <"$work/err")" 3
}

a_file_that_is_not_needed_after_all_is_not_made() {
	write_app <<-END
		[server:one]
		shell = echo up; exec sleep 1000
		log = file:$work/one
	END
	: >"$work/empty"
	start_app || return
	wait_for_line "$work/one" up
	cp "$work/app.ini" "$work/good.ini"
	sed -i "s|^log = file:.*|&-new|" "$work/app.ini"
	cat >>"$work/app.ini" <<-END
		[server:two]
		exec = sleep 1000
		log = file:$work/two
		[server:three]
		exec = sleep 1000
		log = file:$work/empty
		[server:four]
		exec = no-such-program
		log = file:$work/four
	END
	kill -HUP "$pid"
	wait_for_line "$work/app.err" ' reload refused, '
	for file in one-new two four; do
		[ ! -e "$work/$file" ] || problem "$file has been made"
	done
	for file in one empty; do
		[ -e "$work/$file" ] || problem "$file has been removed"
	done
	# Once it is right, it is made all the same.
	sed 's/no-such-program/sh -c "echo four; exec sleep 1000"/' \
		"$work/app.ini" >"$work/app.new"
	mv "$work/app.new" "$work/app.ini"
	kill -HUP "$pid"
	wait_for_line "$work/four" '^four$'
	wait_for_line "$work/one-new" '^up$'
	[ -e "$work/two" ] || problem 'two has no file'
	end_app
}

check_shows_logs() {
	cat >"$work/app.ini" <<-END
		[app]
		log = file:$work/100%%-%n
		[server:one]
		exec = true
		[server:two]
		exec = true
		log_size = 0
		[server:three]
		exec = true
		log = inherit
		[server:four]
		tcp-echo = 127.0.0.1:0
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 0
	has_in_order "$work/out" \
		"^    log   $work/100%-one, a new one after 10 MiB, 5 kept\$" \
		"^    log   $work/100%-two\$" '^    log   inherit$'
}

for name in lines_have_the_time_and_the_server_and_their_order \
	last_words_without_a_newline_are_a_line_before_the_end \
	what_it_says_at_its_stop_comes_before_it_has_stopped \
	long_lines_come_in_parts_and_nothing_is_lost \
	bytes_are_as_they_were_but_for_a_terminal_and_json \
	a_terminal_gets_colours_but_no_controls \
	under_journald_a_line_may_have_its_own_priority \
	quiet_leaves_lines \
	nothing_is_lost_of_many_lines_of_many_servers \
	a_flood_does_not_hold_up_others_nor_the_stop \
	floods_take_turns \
	a_reader_that_stalls_holds_up_only_those_who_print_lines \
	a_reader_that_stalls_does_not_hold_up_the_stop_of_a_flood \
	what_is_left_behind_is_heard_and_not_waited_for \
	an_idle_app_does_not_wake_up \
	a_server_has_two_descriptors_for_its_output \
	a_low_limit_of_descriptors_is_raised_if_it_may_be \
	inherit_leaves_the_streams_alone_and_null_drops_all \
	files_have_the_bytes_and_are_rotated_by_lines \
	a_link_stays_when_what_it_leads_to_is_rotated \
	files_that_were_renamed_are_opened_anew_when_told \
	a_file_that_cannot_be_written_is_told_once_and_holds_up_nobody \
	the_signal_to_open_files_anew_does_nothing_without_one \
	a_reload_changes_where_it_goes \
	what_is_wrong_with_a_log_is_told \
	a_file_belongs_to_one_server_whatever_it_is_called \
	a_file_that_is_not_needed_after_all_is_not_made \
	check_shows_logs; do
	if [ "$name" = an_idle_app_does_not_wake_up ] &&
		[ "${WRAP:-}" = tsan ]; then
		skip "$name" 'a thread of ThreadSanitizer wakes up'
	else
		test_that "$name"
	fi
done
all_passed
