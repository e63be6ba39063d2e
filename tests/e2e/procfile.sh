#!/bin/bash
# A Procfile instead of an ini file.
# shellcheck disable=SC2016 # what is for the shell of a Procfile
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# The tests say themselves what the first port is.
unset PORT

write_procfile() { # PATH
	cat >"$1.new"
	mv "$1.new" "$1"
}

start_procfile() { # PATH
	start app "$cratos" run "$1"
	wait_for_line "$work/app.err" 'running, all ready'
}

# What a server has printed, whatever the width of names.
printed() { # SERVER
	sed -nE "s/^[^ ]+ out   $1 +//p" "$work/app.err"
}

prints() { # SERVER TEXT
	wait_for_line "$work/app.err" " out   $1 +$2\$"
}

# ---- running ----

# As people have it: of a web server, a worker and a clock. The clock is an app
# of its own.
write_three() {
	mkdir -p "$work/shop/bin"
	cat >"$work/shop/Procfile" <<-'END'
		# What the shop consists of.
		web: bin/web --port $PORT --name "$SHOP"

		worker: QUEUES=mail,images bin/worker
		clock: exec ../cratos run clock.ini
	END
	printf 'SHOP="the shop"\nGREETING=hello # world\n' >"$work/shop/.env"
	printf '#!/bin/sh\nprintf "%%s\\n" "$*" "$PWD"; exec sleep 1000\n' \
		>"$work/shop/bin/web"
	printf '#!/bin/sh\necho "$QUEUES $GREETING $PORT"; exec sleep 1000\n' \
		>"$work/shop/bin/worker"
	printf '[server:tick]\nshell = echo tick $PORT; exec sleep 1000\n' \
		>"$work/shop/clock.ini"
	chmod +x "$work/shop/bin/"*
	ln -s "$(realpath "$cratos")" "$work/cratos"
}

three_processes_run_unchanged() {
	write_three
	run "$cratos" check "$work/shop/Procfile"
	is 'exit status of check' "$status" 0
	has "$work/out" '^app app: 3 servers'
	has_in_order "$work/out" '^1\. web$' '^ +shell bin/web --port \$PORT' \
		"^ +dir +$work/shop\$" '^ +env +PORT=5000$' '^ +env_file \.env$' \
		'^ +exit +with status 0 stops the app$' '^2\. worker$' \
		'^ +env +PORT=5100$' '^3\. clock$' '^ +env +PORT=5200$'
	start_procfile "$work/shop/Procfile" || return
	prints web '--port 5000 --name the shop'
	prints web "$work/shop"
	prints worker 'mail,images hello # world 5100'
	prints clock '.* out   tick +tick 5200'
	stop_app TERM
	is 'exit status' "$status" 0
}

beside_the_procfile_is_where_cratos_stands() {
	write_three
	start app env -C "$work/shop" ../cratos run -c Procfile
	wait_for_line "$work/app.err" 'running, all ready' || return
	prints web '--port 5000 --name the shop'
	prints web "$work/shop"
	stop_app INT
	is 'exit status' "$status" 0
}

when_one_ends_all_end() {
	write_procfile "$work/Procfile" <<-END
		stays: exec sleep 1000
		ends: while [ ! -e $work/end ]; do sleep 0.01; done
	END
	start_procfile "$work/Procfile" || return
	touch "$work/end"
	finish "$pid"
	is 'exit status' "$status" 0
	has_in_order "$work/app.err" ' ends +exited with status 0: the app stops' \
		' stays +stopping' ' app +stopped after'
}

when_one_fails_all_end_with_a_failure() {
	write_procfile "$work/Procfile.dev" <<-END
		stays: exec sleep 1000
		fails: while [ ! -e $work/end ]; do sleep 0.01; done; exit 3
	END
	start_procfile "$work/Procfile.dev" || return
	touch "$work/end"
	finish "$pid"
	is 'exit status' "$status" 1
	has "$work/app.err" ' fails +.*exited with status 3'
	has "$work/app.err" ' stays +stopped'
}

# ---- ports ----

# The ports of what runs, as check shows them.
ports_are() { # WHAT PORTS ENVIRONMENT...
	run env "${@:3}" "$cratos" check "$work/Procfile"
	is "exit status with $1" "$status" 0
	is "the ports with $1" \
		"$(sed -n 's/.*PORT=//p' "$work/out" | tr '\n' ' ')" "$2 "
}

ports_count_from_the_env_file_or_the_environment() {
	printf 'a: true\n# b: true\nc: true\nd: true' >"$work/Procfile"
	ports_are nothing '5000 5100 5200'
	ports_are 'the environment' '3000 3100 3200' PORT=3000
	printf 'A=1\nPORT=4000\n' >"$work/.env"
	ports_are 'a file' '4000 4100 4200'
	ports_are both '4000 4100 4200' PORT=3000
	echo "PORT = '65335'" >"$work/.env"
	ports_are 'the last ones' '65335 65435 65535'
}

# ---- the ini file ----

# Commands that an ini file would take for something else, if it stood there
# as it is; each prints something.
nasty_commands() {
	cat <<-'END'
		echo one ; echo two
		echo one;echo two # ; three
		echo 'a ; b' "c ; d" e\ ; echo f
		; # what the shell takes for an error
		echo $HOME ${HOME} ${NONE:-x ; y} $NONE '$HOME' \$HOME
		echo "don't ; 'tis" ; echo it\'s ; echo "
		echo "unclosed
		echo $$HOME$$ | tr -d 0-9 ; exit 0
		echo 50% %n %% %PORT \\ \\\\ \" \' '\'
		echo a	b	;	echo c
		echo `echo back ; echo tick` $(echo sub ; echo shell)
		"echo" quoted
		'echo' "a" 'b'
		echo [section] key = value : ! ~ * ?x { } < /dev/null
		echo last \
		echo äöü € “ ; echo ” # é
		if true ; then echo yes ; fi && { echo no ; } || echo "$PORT;"
		# nothing at all
		A=1 B="2 ; 3" ; echo $A "$B" $((1 + 2)) ; exit 0
	END
	printf 'echo kept \\ \n'
	printf 'echo blanks at the end  \t \n'
}

# Each gets the command that the shell gets from the line itself.
nasty_commands_survive() {
	local command folder="$work/a \"b\" \$c; 'd' ; \\e"
	mkdir -p "$folder"
	while IFS= read -r command; do
		printf 'one: %s\n' "$command" >"$folder/Procfile"
		(cd "$folder" && PORT=5000 /bin/sh -c "$command") \
			>"$work/right.out" 2>&1 </dev/null
		run "$cratos" run "$folder/Procfile"
		cp "$work/err" "$work/app.err"
		is "what '$command' prints" "$(printed one)" \
			"$(cat "$work/right.out")"
		run "$cratos" check --ini "$folder/Procfile"
		is "exit status of --ini with '$command'" "$status" 0
		cp "$work/out" "$work/app.ini"
		run "$cratos" check "$folder/Procfile"
		cp "$work/out" "$work/plan.out"
		run "$cratos" check "$work/app.ini"
		is "the plan of '$command'" "$(cat "$work/out")" \
			"$(cat "$work/plan.out")"
	done < <(nasty_commands)
}

the_ini_file_runs_the_same_way() {
	write_three
	run "$cratos" check "$work/shop/Procfile"
	cp "$work/out" "$work/plan.out"
	run "$cratos" check "$work/shop/Procfile" --ini
	is 'exit status' "$status" 0
	is 'what --ini prints on standard error' "$(cat "$work/err")" ''
	cp "$work/out" "$work/shop/Procfile.ini"
	run "$cratos" check "$work/shop/Procfile.ini"
	is 'the plan' "$(cat "$work/out")" "$(cat "$work/plan.out")"
	start_procfile "$work/shop/Procfile.ini" || return
	prints web '--port 5000 --name the shop'
	prints worker 'mail,images hello # world 5100'
	stop_app TERM
	is 'exit status' "$status" 0
}

ini_goes_with_a_procfile_only() {
	printf '[server:one]\nexec = true\n' >"$work/app.ini"
	run "$cratos" check --ini "$work/app.ini"
	is 'exit status' "$status" 2
	has "$work/err" "^cratos: --ini is for a Procfile.* $work/app.ini; see"
	is 'what is printed' "$(cat "$work/out")" ''
	run "$cratos" run --ini "$work/Procfile"
	is 'exit status of run' "$status" 2
	has "$work/err" '^cratos: unknown option --ini; see "cratos run --help"$'
}

# ---- what is wrong ----

# All that check and run say is these lines, each "FILE:LINE: ...".
is_refused() { # LINE...
	local command
	for command in check run; do
		run "$cratos" "$command" "$work/Procfile"
		is "exit status of $command" "$status" 78
		is "what $command says" "$(cat "$work/err")" \
			"$(printf "cratos: $work/%s\n" "$@")"
		is "what $command prints" "$(cat "$work/out")" ''
	done
}

each_wrong_line_is_told() {
	local form='no process; write NAME: COMMAND from the start of the line, with letters, digits, _ and - in NAME'
	write_procfile "$work/Procfile" <<-END
		web: true
		web

		we.b: true
		  web2: true
		: true
		web3:
		# A comment.
		web: false
		[server:web]
		name_of_thirty-one-characters-x: true
		name_of_thirty-two-characters-xx: true
		bell: echo $(printf '\a')
	END
	is_refused "Procfile:2: $form" "Procfile:4: $form" "Procfile:5: $form" \
		"Procfile:6: $form" \
		'Procfile:7: no command after web3:; write NAME: COMMAND' \
		'Procfile:9: web is there twice; the first one is in line 1' \
		"Procfile:10: $form" \
		'Procfile:12: the name has 32 characters; 31 are possible' \
		'Procfile:13: bell: control character 0x07 in the value; remove it'
	printf 'a: true\nb: \0true\n' >"$work/Procfile"
	is_refused 'Procfile:2: a NUL byte in the line; this is not a text'
}

what_is_wrong_with_the_file_is_told() {
	is_refused 'Procfile: cannot be read: No such file or directory'
	printf '\n# nothing\n' >"$work/Procfile"
	is_refused 'Procfile: no process to run; write NAME: COMMAND'
	echo 'one: true' >"$work/Procfile"
	echo one >"$work/.env"
	is_refused "Procfile: $work/.env:1: no NAME=value"
	echo PORT=80a >"$work/.env"
	is_refused \
		"Procfile: PORT is '80a' in .env; write a number from 1 to 65535"
	rm "$work/.env"
	export PORT=0
	is_refused \
		"Procfile: PORT is '0' in the environment; write a number from 1 to 65535"
	PORT=65436
	printf 'one: true\ntwo: true\nthree: true\n' >"$work/Procfile"
	is_refused \
		'Procfile:2: no port is left for two: the first is 65436, each has 100 more, and 65535 is the last'
	unset PORT
}

# ---- reload ----

a_reload_reads_the_procfile_again() {
	local before
	printf 'stays: exec sleep 1001\nchanges: exec sleep 1002\ngoes: exec sleep 1003\n' |
		write_procfile "$work/Procfile"
	start_procfile "$work/Procfile" || return
	before=$(pid_of stays)
	printf 'stays: exec sleep 1001\nchanges: exec sleep 1004\n# goes\n\nnew: echo new $PORT; exec sleep 1005\n' |
		write_procfile "$work/Procfile"
	kill -HUP "$pid"
	wait_for_line "$work/app.err" \
		'reloaded: 1 added, 1 changed, 1 removed' || return
	prints new 'new 5200'
	is 'what stays' "$(pid_of stays)" "$before"
	lacks "$work/app.err" ' stays +stopping'
	printf 'stays: exec sleep 1001\n\nchanges\nnew:\n' |
		write_procfile "$work/Procfile"
	kill -HUP "$pid"
	wait_for_line "$work/app.err" 'reload refused, .*Procfile:3: no process' ||
		return
	has "$work/app.err" "^cratos: $work/Procfile:3: no process"
	has "$work/app.err" "^cratos: $work/Procfile:4: no command after new:"
	rm "$work/Procfile"
	kill -HUP "$pid"
	wait_for_line "$work/app.err" 'reload refused, .*Procfile: cannot be read'
	stop_app TERM
	is 'exit status' "$status" 0
	has "$work/app.err" ' new +stopped'
}

for name in three_processes_run_unchanged \
	beside_the_procfile_is_where_cratos_stands when_one_ends_all_end \
	when_one_fails_all_end_with_a_failure \
	ports_count_from_the_env_file_or_the_environment \
	nasty_commands_survive the_ini_file_runs_the_same_way \
	ini_goes_with_a_procfile_only each_wrong_line_is_told \
	what_is_wrong_with_the_file_is_told a_reload_reads_the_procfile_again; do
	test_that "$name"
done
all_passed
