#!/bin/bash
# What the README shows is true. The block right after a line
# "<!-- test: NAME -->" is what a test of that name takes.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# The lines between the fences.
block() { # NAME
	awk -v mark="<!-- test: $1 -->" '
		$0 == mark { wanted = 1; next }
		wanted && /^```/ { if (inside) exit; inside = 1; next }
		inside { print }
	' README.md
}

# Names and flags as an installed library gives them.
compile() { # FILE PROGRAM
	local flags=()
	case ${WRAP:-} in
	asan) flags=('-fsanitize=address,undefined') ;;
	tsan) flags=(-fsanitize=thread) ;;
	esac
	"${CC:-cc}" -Wall "${flags[@]}" -I"$build/include" "$1" -o "$2" \
		-L"$build" -l:libcratos.a -linih -pthread \
		>"$work/compile.out" 2>&1 || problem 'does not build'
}

the_daemon_builds_answers_and_stops() {
	local address
	block daemon >"$work/hello.c"
	has "$work/hello.c" 'app_run'
	lacks "$work/hello.c" '#include "'
	compile "$work/hello.c" "$work/hello"
	[ -x "$work/hello" ] || return
	[ ! -s "$work/compile.out" ] || problem 'a warning'
	address=127.0.0.1:$(python3 "$tools" ports 1)
	start hello "$work/hello" "$address"
	is 'the answer' "$(python3 "$tools" talk "$address" '')" \
		'hello from hello'
	stop_app TERM
	is 'exit status' "$status" 0
	lacks "$work/hello.err" 'cancel|timed out|error'
}

the_daemon_tells_an_address_in_use() {
	local holder
	block daemon >"$work/hello.c"
	compile "$work/hello.c" "$work/hello"
	start hold python3 "$tools" hold
	holder=$pid
	wait_for_line "$work/hold.out" '^[0-9]+$' || return
	run "$work/hello" "127.0.0.1:$(cat "$work/hold.out")"
	is 'exit status' "$status" 1
	has "$work/err" 'greeter: .*Address already in use'
	kill "$holder"
	finish "$holder"
}

the_app_is_valid_runs_and_stops() {
	WEB_PORT=$(python3 "$tools" ports 1)
	export WEB_PORT
	block app >"$work/app.ini"
	[ "$(grep -c . "$work/app.ini")" -le 10 ] ||
		problem 'more than ten lines of ini'
	run "$cratos" check "$work/app.ini"
	is 'exit status of check' "$status" 0
	is 'what check prints' "$(cat "$work/err")" ''
	start_app || return
	python3 "$tools" get "127.0.0.1:$WEB_PORT" / >"$work/page.out"
	is 'the answer of the web server' "$(head -n 1 "$work/page.out")" 200
	stop_app TERM
	is 'exit status' "$status" 0
	unset WEB_PORT
}

# The table that it shows is one that is printed, but for its numbers.
the_app_can_be_operated() {
	local address
	read -r ADMIN_PORT DB_PORT < <(python3 "$tools" ports 2)
	address=127.0.0.1:$ADMIN_PORT
	export ADMIN_PORT DB_PORT CACHE=$work/cache SHOP_SOCKET=$work/shop.sock
	export CRATOS_CONTROL=$SHOP_SOCKET
	block operate >"$work/app.ini"
	run "$cratos" check "$work/app.ini"
	is 'exit status of check' "$status" 0
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'db +ready after' || return
	run "$cratos" wait cache starting
	run "$cratos" status
	is 'what is shown' "$(sed -E "s|$work|/run|; s|/run/cache|/run/cache.sock|" \
		"$work/out" | as_shown)" \
		"$(sed -n 's/^    //; /^shop: starting for/,/^web /p' README.md |
			as_shown)"
	is 'ready' "$(python3 "$tools" get "$address" /readyz | sed -n 1p)" 503
	run "$cratos" stop cache
	is 'exit status of stop' "$status" 0
	run "$cratos" stop-app
	finish "$pid"
	is 'exit status' "$status" 0
	unset ADMIN_PORT DB_PORT CACHE SHOP_SOCKET CRATOS_CONTROL
}

# Without what differs each time.
as_shown() {
	sed -E 's/[0-9.]+ ?(m?s|[KM]iB)?( |,|$)/#\2/g; s/ +/ /g; s/ +$//'
}

# What it says of the order, and of the two signals.
the_servers_in_order_start_reload_report_and_stop() {
	local folder=$work/order
	mkdir -p "$folder"
	API_PORT=$(python3 "$tools" ports 1)
	export API_PORT
	block order >"$folder/app.ini"
	run "$cratos" check "$folder/app.ini"
	is 'exit status of check' "$status" 0
	start app env -C "$folder" "$(realpath "$cratos")" run app.ini
	wait_for_line "$work/app.err" 'running, all ready' || return
	has "$work/app.err" 'migrate +done after'
	[ -s "$folder/data/migrated" ] || problem 'the one-shot was not done'
	is 'who starts when' "$(sed -nE \
		's/.* info +([a-z]+) +(starting:|done).*/\1 \2/p' \
		"$work/app.err" | tr '\n' ' ')" \
		'migrate starting: migrate done api starting: watch starting: '
	kill -USR1 "$pid"
	wait_for_line "$work/app.err" 'api +ready for ' || return
	sed -i 's/ls data/ls -l data/' "$folder/app.ini"
	kill -HUP "$pid"
	wait_for_line "$work/app.err" 'reloaded: 0 added, 1 changed' || return
	echo 'bogus = 1' >>"$folder/app.ini"
	kill -HUP "$pid"
	wait_for_line "$work/app.err" 'reload refused' || return
	has "$work/app.err" 'app.ini:[0-9]+: .*bogus'
	stop_app TERM
	is 'exit status' "$status" 0
	unset API_PORT
}

# The commands in back-quotes that begin with "cratos" and have a Procfile.
a_procfile_runs_and_becomes_an_ini_file() {
	local commands check
	# shellcheck disable=SC2016 # back-quotes of the text
	commands=$(grep -oE '`cratos [^`]*Procfile[^`]*`' README.md | tr -d '`')
	is 'the commands' "$(cut -d' ' -f-3 <<<"$commands" | tr '\n' ' ')" \
		'cratos run Procfile cratos check Procfile '
	check=$(grep '^cratos check' <<<"$commands")
	ln -s "$(realpath "$cratos")" "$work/cratos"
	# shellcheck disable=SC2016 # the Procfile's
	echo 'web: echo $GREETING $PORT; exec sleep 1000' >"$work/Procfile"
	echo 'GREETING=hello' >"$work/.env"
	run env -C "$work" "PATH=$work:$PATH" sh -c "$check"
	is 'exit status of check' "$status" 0
	has "$work/app.ini" '^\[server:web\]$'
	start app env -C "$work" "PATH=$work:$PATH" PORT=3000 \
		sh -c "exec $(grep '^cratos run' <<<"$commands")"
	wait_for_line "$work/app.err" ' out   web +hello 3000$' || return
	wait_for_line "$work/app.err" 'running, all ready'
	stop_app TERM
	is 'exit status' "$status" 0
}

# "make deps run" in a block, or in back-quotes in the text.
make_targets() {
	# shellcheck disable=SC2016 # back-quotes of the text
	{
		grep -E '^(    |\$ )+make ' README.md
		grep -oE '`make [^`]*`' README.md | tr -d '`'
	} | sed -E 's/[#;&|].*//; s/^[ $]*make//' | tr ' ' '\n' |
		grep -xE '[a-z][a-z-]*' | sort -u
}

each_make_target_that_is_named_exists() {
	local target
	make_targets >"$work/targets"
	has "$work/targets" '^run$'
	has "$work/targets" '^test$'
	while read -r target; do
		make -n "$target" "BUILD=$build" >"$work/make.out" 2>&1 ||
			problem "make $target"
	done <"$work/targets"
}

# The same of "make help".
each_make_target_that_make_help_tells_exists() {
	local target
	make -s help | sed -nE 's/^make ([a-z-]+) .*/\1/p' >"$work/targets"
	has "$work/targets" '^test$'
	while read -r target; do
		make -n "$target" "BUILD=$build" >"$work/make.out" 2>&1 ||
			problem "make $target"
	done <"$work/targets"
}

each_file_that_is_linked_exists() {
	local file
	grep -oE '\]\([^)#:]+\)' README.md | tr -d ']()' | sort -u >"$work/files"
	while read -r file; do
		[ -e "$file" ] || problem "no $file"
	done <"$work/files"
}

# The table of names for those who come from Go, and all others.
each_function_that_is_named_exists() {
	local name
	# shellcheck disable=SC2016 # back-quotes of the text
	grep -oE '`(context|errgroup|app|server|tcp|exec|config|error)_[a-z_]+' \
		README.md | tr -d '`' | sort -u >"$work/names"
	while read -r name; do
		grep -qE "\b$name\b" "$build"/include/cratos/*.h ||
			problem "no $name"
	done <"$work/names"
}

for name in the_daemon_builds_answers_and_stops \
	the_daemon_tells_an_address_in_use the_app_is_valid_runs_and_stops \
	the_servers_in_order_start_reload_report_and_stop \
	the_app_can_be_operated \
	a_procfile_runs_and_becomes_an_ini_file \
	each_make_target_that_is_named_exists \
	each_make_target_that_make_help_tells_exists \
	each_file_that_is_linked_exists each_function_that_is_named_exists; do
	if [ -f README.md ]; then
		test_that "$name"
	else
		skip "$name" 'there is no README.md'
	fi
done
all_passed
