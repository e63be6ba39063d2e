# shellcheck shell=bash disable=SC2034 # (for the tests)
# Common to the end-to-end tests, which begin with sourcing it.
#
# A test is a function with a sentence for a name; "test_that NAME" runs it,
# and prints "ok NAME" or "not ok NAME: why". Whatever a test starts carries a
# variable of its own in its environment, and after the test nothing that
# carries it may be left. Nothing waits by the clock, but for an event, with a
# deadline that only a broken program reaches.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2

build=${CRATOS_BUILD:-build}
cratos=$build/cratos
echod=$build/echod
patience_s=${PATIENCE_S:-40}
tools=tests/e2e/tools.py
example=cmd/cratos/example.ini
tmp=$(mktemp -d) && tmp=$(cd "$tmp" && pwd -P) || exit 2
tests_failed=0
problems=()
started=()
work=$tmp
status='' pid=''

# ThreadSanitizer's runtime knows no address layout of newer kernels.
wrap=()
if [ "${WRAP:-}" = tsan ]; then
	wrap=(setarch "$(uname -m)" -R)
fi

# The tests say themselves what they want of these.
unset NO_COLOR JOURNAL_STREAM ECHOD_LISTEN MAKEFLAGS MAKELEVEL MFLAGS
unset NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID LISTEN_FDS LISTEN_PID
export BUILD=$build PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
export PATH=$PATH:/usr/sbin:/sbin

problem() {
	problems+=("$*")
}

have() {
	command -v "$1" >/dev/null
}

skip() { # NAME WHY...
	echo "skip $1: ${*:2}"
}

# ---- running programs ----

# Runs a command that ends by itself; its output is in $work/out and
# $work/err, its exit status in $status.
run() {
	timeout -s KILL "$patience_s" "${wrap[@]}" "$@" \
		>"$work/out" 2>"$work/err" </dev/null
	status=$?
}

# Starts a command in the background, with signals as a login shell gives
# them; its output is in $work/NAME.out and $work/NAME.err, its id in $pid.
start() { # NAME COMMAND...
	# Here, since nobody may find the lines of one before.
	: >"$work/$1.out"
	: >"$work/$1.err"
	"${wrap[@]}" env --default-signal "${@:2}" \
		>"$work/$1.out" 2>"$work/$1.err" </dev/null &
	pid=$!
	started+=("$pid")
}

# Waits for a command to succeed.
eventually() {
	local deadline=$((SECONDS + patience_s))
	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.05
	done
}

says() { # FILE REGEX
	grep -qE -e "$2" "$1" 2>/dev/null
}

wait_for_line() { # FILE REGEX
	eventually says "$1" "$2" || {
		problem "no line '$2' in ${1##*/}"
		return 1
	}
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

has_ended() { # PID
	local state
	state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' \
		"/proc/$1/status" 2>/dev/null)
	[ -z "$state" ] || [ "$state" = Z ]
}

# Waits for a child of this script; its exit status is in $status.
finish() { # PID
	if ! eventually has_ended "$1"; then
		problem "process $1 has not ended"
		kill -KILL "$1"
	fi
	wait "$1" 2>/dev/null
	status=$?
}

# Starts cratos with the app of $work/app.ini and waits until all runs.
start_app() {
	start app "$cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'running, all ready'
}

# The process id of a server, as the last line about its being ready has it.
pid_of() { # SERVER
	sed -nE "s/.* $1 +ready after .*pid ([0-9]+)\$/\1/p" "$work/app.err" |
		tail -n 1
}

count_lines() { # FILE REGEX
	grep -cE -e "$2" "$1"
}

has_lines() { # COUNT FILE REGEX
	[ "$(count_lines "$2" "$3")" -ge "$1" ]
}

# Waits until so many lines match.
wait_for_lines() { # COUNT FILE REGEX
	eventually has_lines "$@" || {
		problem "no $1 lines '$3' in ${2##*/}"
		return 1
	}
}

stop_app() { # SIGNAL
	kill -s "$1" "$pid"
	finish "$pid"
}

# ---- programs that misbehave ----

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

# ---- in a PID namespace ----

# Before a command: it is the first process of a PID namespace of its own.
as_first=(unshare --pid --fork --mount-proc)

may_unshare() { # NAME-OF-TEST
	"${as_first[@]}" true 2>/dev/null || {
		skip "$1" "needs a PID namespace, which is not allowed here"
		return 1
	}
}

# The first process of the namespace, as seen from outside.
first_pid() {
	pgrep -P "$pid" | head -n 1
}

# ---- what should be ----

is() { # WHAT IT-IS IT-SHOULD-BE
	[ "$2" = "$3" ] || problem "$1 is '$2', not '$3'"
}

has() { # FILE REGEX
	says "$1" "$2" || problem "no '$2' in ${1##*/}"
}

lacks() { # FILE REGEX
	! says "$1" "$2" || problem "'$(grep -m1 -E -e "$2" "$1")' in ${1##*/}"
}

# The lines that match stand in the file in that order.
has_in_order() { # FILE REGEX...
	local file=$1 from=1 line regex
	shift
	for regex; do
		line=$(tail -n "+$from" "$file" | grep -nEm1 -e "$regex")
		if [ -z "$line" ]; then
			problem "no '$regex' in ${file##*/} from line $from on"
			return
		fi
		from=$((from + ${line%%:*}))
	done
}

# ---- what is left ----

# The processes that carry the test's mark, or work in its folder: a program
# that sets its title may overwrite its environment.
leftovers() {
	local mark=$CRATOS_E2E
	unset CRATOS_E2E
	{
		grep -alF "CRATOS_E2E=$mark" /proc/[0-9]*/environ
		find /proc/[0-9]*/cwd -maxdepth 0 -lname "$work*"
	} 2>/dev/null | cut -d/ -f3 | sort -un
}

nothing_is_left() {
	[ -z "$(leftovers)" ]
}

describe_process() { # PID
	echo "$1 ($(tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null))"
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

check_leftovers() {
	local left
	# Those that were killed need a moment to go.
	eventually nothing_is_left && return
	for left in $(leftovers); do
		problem "left behind: $(describe_process "$left")"
		kill -KILL "$left" 2>/dev/null
	done
}

check_sanitizers() {
	local found
	found=$(grep -rahm1 -E 'Sanitizer|runtime error:' "$work" 2>/dev/null)
	[ -z "$found" ] || problem "$found"
}

# ---- running tests ----

test_that() { # NAME
	local this_test=$1 file
	problems=() started=()
	work=$tmp/$this_test
	mkdir -p "$work"
	export CRATOS_E2E="$$.$RANDOM.$this_test"
	"$this_test"
	check_leftovers
	check_sanitizers
	unset CRATOS_E2E
	if [ ${#problems[@]} = 0 ]; then
		echo "ok $this_test"
	else
		tests_failed=$((tests_failed + 1))
		for file in "$work"/*out "$work"/*err; do
			[ -s "$file" ] || continue
			echo "# ${file##*/}:"
			tail -n 40 "$file" | sed 's/^/#   /'
		done
		echo "not ok $this_test: $(printf '%s; ' "${problems[@]}" | sed 's/; $//')"
	fi
	work=$tmp
}

# Ends what the script has started, if a test did not come to its end.
clean_up() {
	local one
	for one in "${started[@]}"; do
		has_ended "$one" || kill -KILL "$one"
	done
	rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# The last command of a script: its exit status is the script's.
all_passed() {
	[ "$tests_failed" = 0 ]
}
