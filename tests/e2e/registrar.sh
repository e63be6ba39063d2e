#!/bin/bash
# The app is made known, and unknown again, by commands.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# An app with a registrar that notes what it is called for.
app_with() { # KEY=VALUE...
	{
		printf '[app]\nname = shop\nversion = 2\n'
		printf '%s\n' "$@"
		printf '[server:echo]\ntcp-echo = 127.0.0.1:0\n'
	} >"$work/app.ini"
	export NOTES=$work/notes OPEN=$work/open
	: >"$NOTES"
	rm -f "$OPEN"
}

register="register = sh -c 'echo \"up \$CRATOS_NAME \$CRATOS_VERSION \$CRATOS_ENDPOINTS\" >>\"\$NOTES\"'"
fickle="register = sh -c 'echo up >>\"\$NOTES\"; test -e \"\$OPEN\"'"
deregister="deregister = sh -c 'echo down \$CRATOS_NAME >>\"\$NOTES\"'"

the_commands_get_the_instance() {
	app_with "$register" "$deregister"
	start_app || return
	has "$work/notes" '^up shop 2 tcp://127.0.0.1:[0-9]+$'
	lacks "$work/notes" '^down'
	stop_app TERM
	is 'exit status' "$status" 0
	has_in_order "$work/notes" '^up ' '^down shop$'
	has_in_order "$work/app.err" 'registered after' 'running' 'stopped after'
}

one_that_fails_stops_the_app() {
	app_with "$fickle" "$deregister"
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	has "$work/err" 'registrar: register: exited with status 1'
	is 'how often' "$(grep -c up "$work/notes")" 1
	lacks "$work/notes" 'down'
}

what_the_commands_print_is_printed() {
	app_with "register = sh -c 'echo knock; printf go-away >&2; exit 1'"
	run "$cratos" run "$work/app.ini"
	is 'exit status' "$status" 1
	has_in_order "$work/err" ' out   register  knock$' \
		' out   register  go-away$' ' shop +stopping' \
		'registrar: register: exited with status 1'
	is 'standard output' "$(cat "$work/out")" ''
}

one_that_fails_is_tried_again_until_the_app_runs() {
	app_with "$fickle" "$deregister" 'register_policy = retry' \
		'register_delay = 20ms'
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'tried again in [0-9]+ ms' || return
	lacks "$work/app.err" 'running, all ready'
	touch "$work/open"
	wait_for_line "$work/app.err" 'running, all ready' || return
	stop_app TERM
	is 'exit status' "$status" 0
	has "$work/notes" '^down shop$'
}

one_that_fails_is_tried_again_while_the_app_runs() {
	app_with "$fickle" "$deregister" 'register_policy = retry-beside' \
		'register_delay = 20ms'
	start_app || return
	wait_for_line "$work/app.err" 'tried again in [0-9]+ ms' || return
	touch "$work/open"
	wait_for_line "$work/app.err" 'registered after' || return
	stop_app TERM
	is 'exit status' "$status" 0
	has "$work/notes" '^down shop$'
}

one_that_never_succeeds_does_not_keep_the_app_from_stopping() {
	local policy
	for policy in retry retry-beside; do
		app_with "$fickle" "$deregister" "register_policy = $policy" \
			'register_delay = 1h' 'register_max_delay = 1h'
		start app "$cratos" run "$work/app.ini"
		wait_for_line "$work/app.err" 'tried again in' || return
		stop_app TERM
		is "exit status, $policy" "$status" 0
		lacks "$work/notes" 'down'
	done
}

one_that_hangs_is_killed_and_does_not_keep_the_app_from_stopping() {
	app_with 'register = sleep 1000' 'register_policy = retry-beside' \
		'register_timeout = 200ms' 'register_delay = 20ms'
	start_app || return
	wait_for_line "$work/app.err" \
		'register: killed, as it was not done in register_timeout' ||
		return
	stop_app TERM
	is 'exit status' "$status" 0
}

a_second_signal_kills_the_commands_too() {
	local hang="sh $work/hang"
	cat >"$work/hang" <<-'END'
		trap '' TERM
		echo "$1" >>"$NOTES"
		exec sleep 1000
	END
	app_with 'register = true' "deregister = $hang down" 'stop_timeout = 1h'
	start_app || return
	kill -TERM "$pid"
	wait_for_line "$work/notes" '^down$' || return
	stop_app INT
	is 'exit status in deregister' "$status" 130
	app_with "register = $hang up" 'register_timeout = 1h'
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/notes" '^up$' || return
	kill -TERM "$pid"
	wait_for_line "$work/app.err" 'got SIGTERM' || return
	stop_app INT
}

deregister_alone_is_refused() {
	app_with "$deregister"
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 78
	has "$work/err" 'app.ini:4: .*deregister.*goes with register only'
}

a_registrar_cannot_change_while_the_app_runs() {
	app_with "$register"
	start_app || return
	app_with "$register" "$deregister"
	kill -HUP "$pid"
	wait_for_line "$work/app.err" 'reload refused' || return
	has "$work/app.err" 'app.ini:5: .*cannot change while the app runs'
	stop_app TERM
	is 'exit status' "$status" 0
}

for name in the_commands_get_the_instance one_that_fails_stops_the_app \
	what_the_commands_print_is_printed \
	one_that_fails_is_tried_again_until_the_app_runs \
	one_that_fails_is_tried_again_while_the_app_runs \
	one_that_never_succeeds_does_not_keep_the_app_from_stopping \
	one_that_hangs_is_killed_and_does_not_keep_the_app_from_stopping \
	a_second_signal_kills_the_commands_too \
	deregister_alone_is_refused \
	a_registrar_cannot_change_while_the_app_runs; do
	test_that "$name"
done
all_passed
