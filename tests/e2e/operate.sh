#!/bin/bash
# An operator: what runs, why not, and what is to be done about it.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

write_app() {
	cat >"$work/app.ini"
}

# One that is stuck in its start, one that waits for it, one that flaps, and a
# good one.
write_troubled_app() {
	write_app <<-INI
		[app]
		name = shop
		version = 1.2
		control = $work/socket

		[server:web]
		exec = sleep 1000
		restart = always

		[server:stuck]
		exec = sleep 1000
		ready = tcp:127.0.0.1:1

		[server:next]
		exec = sleep 1000
		after = stuck

		[server:flap]
		shell = exit 3
		restart = always
		restart_delay = 50ms
		restart_max_delay = 50ms
		restart_limit = 0
		optional = yes
	INI
	start app "$cratos" run "$work/app.ini"
	export CRATOS_CONTROL=$work/socket
	wait_for_line "$work/app.err" 'web +ready after'
}

ask() {
	run "$cratos" "$@"
}

status_says_who_is_stuck_and_what_for() {
	write_troubled_app || return
	wait_for_line "$work/app.err" 'flap +restarts' || return
	wait_for_line "$work/app.err" 'flap +failed' || return
	ask status
	is 'exit status' "$status" 1
	has_in_order "$work/out" "^shop 1\\.2: starting for .*, not ready, pid $pid\$" \
		'^SERVER +STATE +FOR +PID +RESTARTS +MEMORY +WHY$' \
		'^web +ready +[0-9]+m?s +[0-9]+ +0 +[0-9.]+ [KM]iB$' \
		'^stuck +starting +[0-9]+m?s +[0-9]+ .*  tcp:127.0.0.1:1: Conn' \
		'^next +waiting .* - +0 +-  waits for stuck$' \
		'^flap +(restarting|starting|failing) .*exited with status 3$'
	ask status web
	is 'of web' "$status" 0
	lacks "$work/out" stuck
	ask status nobody
	is 'of nobody' "$status" 4
	ask status --json
	is 'exit status' "$status" 0
	python3 - "$work/out" <<-'PY' || problem 'that is no JSON'
		import json, sys
		status = json.load(open(sys.argv[1]))
		servers = {one["name"]: one for one in status["servers"]}
		assert status["app"]["name"] == "shop"
		assert status["app"]["ready"] is False
		assert servers["next"]["after"] == ["stuck"]
		assert servers["next"]["pid"] is None
		assert servers["web"]["memory"] > 0
		assert servers["flap"]["last_error"]["text"]
	PY
	stop_app TERM
	ask status
	is 'when it has ended' "$status" 3
	has "$work/err" 'no app answers there'
}

every_command_works_on_servers_in_trouble() {
	local was
	write_troubled_app || return
	ask stop stuck
	is 'stop of the stuck one' "$status" 0
	wait_for_line "$work/app.err" 'stuck +asked to stop' || return
	ask status stuck
	is 'it is not ready' "$status" 1
	has "$work/out" '^stuck +stopped '
	ask wait next waiting
	is 'wait for what needs it' "$status" 0
	ask stop next flap
	is 'stop of two' "$status" 0
	wait_for_line "$work/app.err" 'running' || return
	ask status
	is 'without them it is ready' "$status" 0
	was=$(pid_of web)
	ask restart web
	is 'restart' "$status" 0
	[ "$was" != "$(pid_of web)" ] || problem 'it is the same process'
	ask signal web KILL
	is 'signal' "$status" 0
	wait_for_line "$work/app.err" 'web +failed: killed by signal 9' || return
	ask wait web
	is 'wait for it to be back' "$status" 0
	ask signal flap TERM
	is 'signal to one that is stopped' "$status" 1
	has "$work/err" 'no process of flap runs'
	ask start flap --no-wait
	is 'start of the one that flaps' "$status" 0
	ask wait flap lost --timeout 200ms
	is 'wait in vain' "$status" 124
	has "$work/err" 'flap: time has run out'
	ask graph
	is 'graph' "$status" 0
	has_in_order "$work/out" '^digraph app \{' '"next" -> "stuck";' '^\}'
	ask report
	is 'report' "$status" 0
	wait_for_line "$work/app.err" 'web +ready for' || return
	ask reload
	is 'reload' "$status" 0
	wait_for_line "$work/app.err" 'reload' || return
	ask stop-app
	is 'stop-app' "$status" 0
	finish "$pid"
	is 'exit status of the app' "$status" 0
	[ ! -e "$work/socket" ] || problem 'the socket is still there'
}

what_has_failed_for_good_is_told() {
	write_app <<-INI
		[app]
		control = $work/socket
		[server:bad]
		shell = test ! -e $work/bad
		optional = yes
		oneshot = yes
		[server:good]
		exec = sleep 1000
	INI
	: >"$work/bad"
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'app +running' || return
	export CRATOS_CONTROL=$work/socket
	ask status
	is 'the app is ready' "$status" 0
	has "$work/out" '^bad +lost .*exited with status 1'
	ask start bad
	is 'start of what fails' "$status" 1
	has "$work/err" 'bad has failed for good: exited with status 1'
	rm "$work/bad"
	ask start bad
	is 'start of what does not' "$status" 0
	ask status bad
	has "$work/out" '^bad +up '
	stop_app TERM
}

an_app_is_found_by_its_file() {
	write_app <<-INI
		[app]
		control = $work/socket
		[server:one]
		exec = sleep 1000
	INI
	start_app || return
	unset CRATOS_CONTROL
	ask status
	is 'nowhere' "$status" 2
	has "$work/err" 'which app\? say -s SOCKET'
	ask status -s "$work/app.ini"
	is 'by its file' "$status" 0
	ask status one --socket "$work/socket"
	is 'by its socket' "$status" 0
	printf '[server:one]\nexec = sleep 1\n' >"$work/other.ini"
	ask status -s "$work/other.ini"
	is 'by a file without one' "$status" 2
	has "$work/err" 'other.ini: \[app\] has no control = PATH'
	stop_app TERM
}

what_was_printed_and_what_happened_is_kept() {
	write_app <<-INI
		[app]
		control = $work/socket
		log = null

		[server:talker]
		shell = echo one; echo two; printf 'a\\033[2Jb \\377\\n'; while [ ! -e $work/go ]; do sleep 0.05; done; echo three; exec sleep 1000
		log = lines

		[server:filer]
		shell = echo in a file; exec sleep 1000
		log = file:$work/filer.log

		[server:flood]
		shell = seq 100000; echo done; exec sleep 1000
		log = lines

		[server:silent]
		exec = sleep 1000

		[server:once]
		shell = printf 'no end of line'
		oneshot = yes
		log = lines
	INI
	start_app || return
	export CRATOS_CONTROL=$work/socket
	wait_for_line "$work/app.err" 'flood +done$' || return
	ask logs once
	is 'what has no end of a line' "$(cat "$work/out")" 'no end of line'
	ask logs talker
	is 'exit status' "$status" 0
	is 'the lines' "$(cat "$work/out")" $'one\ntwo\na\033[2Jb \357\277\275'
	ask logs talker -n 1
	is 'the last one' "$(cat "$work/out")" $'a\033[2Jb \357\277\275'
	ask logs filer
	is 'of the one with a file' "$(cat "$work/out")" 'in a file'
	ask logs silent
	is 'of the silent one' "$status $(cat "$work/out")" '0 '
	ask logs flood -n 0
	is 'the last of the flood' "$(tail -n 2 "$work/out")" $'100000\ndone'
	[ "$(wc -c <"$work/out")" -lt 70000 ] || problem 'too much is kept'
	ask logs nobody
	is 'of nobody' "$status" 4
	ask events
	is 'exit status of events' "$status" 0
	has_in_order "$work/out" 'Z  -  starting$' 'talker  starting' \
		'talker  ready .* pid [0-9]+' 'Z  -  running$'
	ask events --json
	python3 - "$work/out" <<-'PY' || problem 'that is no JSON a line'
		import json, sys
		events = [json.loads(line) for line in open(sys.argv[1])]
		assert any(one["event"] == "ready" and one["server"] == "filer"
		           for one in events)
	PY
	# Followed to the end of the app.
	start logs "$cratos" logs -f talker
	local logs=$pid
	wait_for_line "$work/logs.out" '^two$' || return
	start events "$cratos" events -f
	local events=$pid
	: >"$work/go"
	wait_for_line "$work/logs.out" '^three$' || return
	wait_for_line "$work/events.out" 'running' || return
	run "$cratos" stop-app
	finish "$logs"
	is 'exit status of who followed the lines' "$status" 0
	finish "$events"
	is 'exit status of who followed the events' "$status" 0
	has "$work/events.out" 'talker  stopping'
	lacks "$work/events.err" lost
}

picture() { # FILE
	python3 - "$1" <<-'PY' || problem "${1##*/} is no picture"
		import sys
		import xml.etree.ElementTree as tree
		space = "{http://www.w3.org/2000/svg}"
		root = tree.parse(sys.argv[1]).getroot()
		assert root.tag == space + "svg"
		for row in root.iter(space + "g"):
		    bars = [bar.get("class") for bar in row.iter(space + "rect")]
		    marks = len(list(row.iter(space + "path")))
		    print(row.find(space + "text").text, *bars, f"{marks} marks")
	PY
}

the_time_line_is_drawn() {
	write_app <<-INI
		[app]
		name = a<b>&"c"
		control = $work/socket
		[server:slow]
		shell = while [ ! -e $work/go ]; do sleep 0.02; done; echo >&3; exec sleep 1000
		ready = fd:3
		[server:next]
		exec = sleep 1000
		after = slow
		[server:flaky]
		shell = test -e $work/once || { : >$work/once; exit 1; }; exec sleep 1000
		restart = always
		restart_delay = 50ms
	INI
	start app "$cratos" run --json "$work/app.ini"
	export CRATOS_CONTROL=$work/socket
	wait_for_lines 2 "$work/app.err" '"event":"ready".*"server":"flaky"' || return
	ask plot
	is 'exit status' "$status" 0
	picture "$work/out" >"$work/picture"
	has_in_order "$work/picture" '^slow (waiting )?starting 0 marks$' \
		'^flaky .*starting .*restarting .*ready 1 marks$' \
		'^next waiting 0 marks$'
	: >"$work/go"
	ask wait next
	ask stop-app
	finish "$pid"
	ask plot "$work/app.err" --title 'the shop'
	is 'exit status of a file' "$status" 0
	has "$work/out" '>the shop<'
	picture "$work/out" >"$work/picture"
	has "$work/picture" '^slow .*starting ready .*stopping 0 marks$'
	has "$work/picture" '^next waiting .*ready .*stopping 0 marks$'
	ask plot "$work/app.ini"
	is 'exit status of what has no events' "$status" 1
	has "$work/err" 'no start of an app is in there'
}

# The words that bash offers for the last one.
complete_bash() { # WORD...
	bash -c '
		. cmd/cratos/completion/cratos.bash
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		compopt() { :; }
		_cratos
		printf "%s\n" "${COMPREPLY[@]}"
	' bash "$@" >"$work/out" 2>"$work/err"
	is 'what completion prints' "$(cat "$work/err")" ''
}

words_are_completed() {
	write_app <<-INI
		[app]
		control = $work/socket
		[server:web]
		exec = sleep 1000
		[server:worker]
		exec = sleep 1000
		[server:db]
		exec = sleep 1000
	INI
	start_app || return
	export CRATOS_CONTROL=$work/socket
	ask status --names
	is 'the names' "$(cat "$work/out")" $'web\nworker\ndb'
	complete_bash "$cratos" sta
	is 'commands' "$(cat "$work/out")" $'status\nstart'
	complete_bash "$cratos" restart w
	is 'servers' "$(cat "$work/out")" $'web\nworker'
	complete_bash "$cratos" wait --timeout 1s db re
	is 'states' "$(cat "$work/out")" $'ready\nrestarting'
	complete_bash "$cratos" logs --f
	is 'options' "$(cat "$work/out")" '--follow'
	unset CRATOS_CONTROL
	complete_bash "$cratos" stop w
	is 'servers of no app' "$(cat "$work/out")" ''
	complete_bash "$cratos" stop -s "$work/socket" w
	is 'servers of the one that is named' "$(cat "$work/out")" $'web\nworker'
	if have fish; then
		PATH=$PWD/$build:$PATH HOME=$work fish -c "
			source cmd/cratos/completion/cratos.fish
			complete -C 'cratos restart -s $work/socket w'" \
			>"$work/out" 2>"$work/err"
		is 'servers in fish' "$(cat "$work/out")" $'web\nworker'
		is 'what fish prints' "$(cat "$work/err")" ''
	fi
	if have zsh; then
		run zsh -n cmd/cratos/completion/_cratos
		is 'what zsh thinks of it' "$status$(cat "$work/err")" 0
	fi
	stop_app TERM
}

only_who_may_does() {
	local mode
	if [ "$(id -u)" != 0 ] || ! have setpriv; then
		skip "${FUNCNAME[0]}" 'needs root, and setpriv'
		return
	fi
	chmod 755 "$work" "$tmp"
	cp "$cratos" "$work/cratos"
	chmod 755 "$work/cratos"
	write_app <<-INI
		[app]
		control = $work/socket
		control_mode = 0666
		control_writers = daemon
		[server:one]
		exec = sleep 1000
	INI
	start_app || return
	mode=$(stat -c %a "$work/socket")
	is 'mode' "$mode" 666
	export CRATOS_CONTROL=$work/socket
	run setpriv --reuid=nobody --regid=nogroup --clear-groups \
		"$work/cratos" status
	is 'who may read' "$status" 0
	run setpriv --reuid=nobody --regid=nogroup --clear-groups \
		"$work/cratos" stop one
	is 'but not write' "$status" 5
	has "$work/err" 'only root, the app.s user and the group of writers'
	run setpriv --reuid=nobody --regid=nogroup --groups=daemon \
		"$work/cratos" restart one
	is 'in the group of writers' "$status" 0
	stop_app TERM
	sed -i 's/0666/0600/' "$work/app.ini"
	start_app || return
	run setpriv --reuid=nobody --regid=nogroup --clear-groups \
		"$work/cratos" status
	is 'who may not connect' "$status" 5
	stop_app TERM
}

others_speak_http() {
	write_app <<-INI
		[app]
		control = $work/socket
		[server:one]
		exec = sleep 1000
		[server:flood]
		exec = yes
		log = file:$work/flood.log
		log_size = 1MiB
		log_keep = 1
	INI
	start_app || return
	has_http GET /v1/status 200 '"name":"one"'
	has_http POST /v1/status 405 error
	has_http GET /v1/stop 405 error
	has_http GET /v1/else 404 error
	has_http POST /v1/servers/one/else 404 'no such order'
	has_http POST /v1/servers/none/stop 404 'no server is called none'
	has_http POST /v1/servers/one/signal 400 'signal=N is wanted'
	has_http POST '/v1/servers/one/signal?signal=0' 400 'signal=N is wanted'
	has_http POST '/v1/servers/one/signal?signal=18' 202 accepted
	run python3 "$tools" hostile "unix:$work/socket" \
		'/v1/servers/flood/log?follow'
	has "$work/out" '^garbage: (HTTP/1.[01] 400 .*|cut off)$'
	has "$work/out" '^a large body: HTTP/1.1 413 '
	has "$work/out" '^a byte a second: cut off$'
	has "$work/out" '^who never reads: cut off$'
	has "$work/out" '^idle: all cut off$'
	has "$work/out" '^after all of it: HTTP/1.1 404 '
	has_http POST /v1/stop 202 accepted
	finish "$pid"
	is 'exit status' "$status" 0
}

has_http() { # METHOD PATH STATUS REGEX
	python3 "$tools" request "unix:$work/socket" "$1" "$2" >"$work/answer" 2>&1
	is "the status of $1 $2" "$(head -n 1 "$work/answer")" "$3"
	has "$work/answer" "$4"
}

wrong_usage_is_told() {
	local words
	while read -r words; do
		# shellcheck disable=SC2086 # words
		ask $words -s "$work/nowhere"
		is "exit status of $words" "$status" 2
		has "$work/err" '^cratos: .*; see "cratos '
	done <<-'END'
		start
		signal one
		signal one NOTHING
		wait
		wait one nothing
		wait one ready --timeout soon
		graph one
		stop-app one
		status --timeout 1s
		reload --json
		logs
		logs one two
		logs one -n some
		events one
		plot one two
	END
	for words in status start stop restart signal wait logs events reload \
		report stop-app graph plot; do
		ask "$words" --help
		is "exit status of $words --help" "$status" 0
		has "$work/out" "^usage: cratos $words"
		ask help "$words"
		has "$work/out" "^usage: cratos $words"
	done
}

wrong_keys_are_told() {
	write_app <<-INI
		[app]
		control_mode = 0660
		control_writers = daemon
		[server:one]
		exec = sleep 1000
	INI
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 78
	has "$work/err" 'app.ini:2: \[app\] control_mode: does nothing without'
	has "$work/err" 'app.ini:3: \[app\] control_writers: does nothing without'
	sed -i "s|^control_mode.*|control = $work/socket\ncontrol_mode = 999|" \
		"$work/app.ini"
	run "$cratos" check "$work/app.ini"
	has "$work/err" "app.ini:3: \\[app\\] control_mode: '999' is not an octal"
	sed -i 's/999/0600/; s/daemon/no-such-group/' "$work/app.ini"
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	has "$work/err" 'failed: admin: .*no-such-group'
}

test_that status_says_who_is_stuck_and_what_for
test_that every_command_works_on_servers_in_trouble
test_that what_has_failed_for_good_is_told
test_that an_app_is_found_by_its_file
test_that what_was_printed_and_what_happened_is_kept
test_that the_time_line_is_drawn
test_that words_are_completed
test_that only_who_may_does
test_that others_speak_http
test_that wrong_usage_is_told
test_that wrong_keys_are_told
all_passed
