# Completion of cratos for bash: install it as
# share/bash-completion/completions/cratos, or source it.

# The servers of the app that the line names.
_cratos_servers() {
	local i where=()
	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket) where=(-s "${COMP_WORDS[i + 1]}") ;;
		esac
	done
	"${COMP_WORDS[0]}" status --names "${where[@]}" 2>/dev/null
}

_cratos_words() { # WORD...
	mapfile -t COMPREPLY < <(compgen -W "$*" -- "$word")
}

_cratos_files() { # PATTERN
	compopt -o filenames
	mapfile -t COMPREPLY < <(compgen -f -X "!$1" -- "$word"
		compgen -d -- "$word")
}

_cratos() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]} options
	local commands='run check exec status start stop restart signal wait
		logs events reload report stop-app graph plot help version'

	if [ "$COMP_CWORD" = 1 ]; then
		_cratos_words "$commands"
		return
	fi
	case $before in
	-s | --socket | -c | --config)
		_cratos_files '*'
		return
		;;
	--timeout | -n | --lines | --title | -t | --stop-timeout)
		return
		;;
	esac
	case $command in
	run) options='--quiet --json --config --help' ;;
	check) options='--ini --config --help' ;;
	exec) options='--stop-timeout --help' ;;
	status) options='--socket --json --watch --names --help' ;;
	start | stop | restart) options='--socket --timeout --no-wait --help' ;;
	wait) options='--socket --timeout --help' ;;
	logs) options='--socket --follow --lines --help' ;;
	events) options='--socket --follow --json --help' ;;
	plot) options='--socket --title --help' ;;
	*) options='--socket --help' ;;
	esac
	case $word in
	-*)
		_cratos_words "$options"
		return
		;;
	esac
	case $command in
	run | check) _cratos_files '@(*.ini|*Procfile*)' ;;
	status | start | stop | restart | logs) _cratos_words "$(_cratos_servers)" ;;
	signal | wait)
		if _cratos_is_first; then
			_cratos_words "$(_cratos_servers)"
		elif [ "$command" = signal ]; then
			_cratos_words HUP INT QUIT KILL USR1 USR2 TERM CONT STOP
		else
			_cratos_words waiting starting ready up failing stopping \
				restarting stopped lost
		fi
		;;
	plot) _cratos_files '*' ;;
	help) _cratos_words "$commands" ini sample ;;
	esac
}

# No server stands before the word.
_cratos_is_first() {
	local i
	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket | --timeout) ((i++)) ;;
		-*) ;;
		*) return 1 ;;
		esac
	done
}

complete -F _cratos cratos
