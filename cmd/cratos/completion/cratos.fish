# Completion of cratos for fish: install it as cratos.fish in a folder of
# $fish_complete_path.

function __cratos_servers
    set -l words (commandline -opc)
    set -l where
    for i in (seq (count $words))
        if contains -- $words[$i] -s --socket
            set where -s $words[(math $i + 1)]
        end
    end
    $words[1] status --names $where 2>/dev/null
end

set -l commands run check exec status start stop restart signal wait logs events reload report stop-app graph plot help version
set -l operate status start stop restart signal wait logs events reload report stop-app graph plot
set -l servers status start stop restart signal wait logs

complete -c cratos -f
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a run -d 'Run the app that a file describes'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a check -d 'Check a file, and show what would run'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a exec -d 'Run one command, as the first process of a container'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a status -d 'What runs, and why not'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a start -d 'Start servers'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a stop -d 'Stop servers'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a restart -d 'Stop servers and start them again'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a signal -d 'Send a signal to a server'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a wait -d 'Wait until a server is in a state'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a logs -d 'What a server has printed'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a events -d 'What has happened'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a reload -d 'Have the app read its file again'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a report -d 'Have the app print where everything is'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a stop-app -d 'Stop the app'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a graph -d 'Who comes after whom, for Graphviz'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a plot -d 'A picture of the last start and stop'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a help -d 'Explain a command'
complete -c cratos -n "not __fish_seen_subcommand_from $commands" -a version -d 'The version'

complete -c cratos -n "__fish_seen_subcommand_from $servers" -a '(__cratos_servers)'
complete -c cratos -n "__fish_seen_subcommand_from run check plot" -F
complete -c cratos -n "__fish_seen_subcommand_from help" -a "$commands ini sample"
complete -c cratos -n "__fish_seen_subcommand_from $operate" -s s -l socket -rF -d 'The control socket, or the file that names it'
complete -c cratos -s h -l help -d 'The help text'
complete -c cratos -n "__fish_seen_subcommand_from run" -s q -l quiet -d 'Only what goes wrong'
complete -c cratos -n "__fish_seen_subcommand_from run status events" -l json -d 'As JSON'
complete -c cratos -n "__fish_seen_subcommand_from run check" -s c -l config -rF -d 'The file'
complete -c cratos -n "__fish_seen_subcommand_from check" -l ini -d 'The ini file of a Procfile'
complete -c cratos -n "__fish_seen_subcommand_from status" -s w -l watch -d 'Anew each second'
complete -c cratos -n "__fish_seen_subcommand_from status" -l names -d 'The names only'
complete -c cratos -n "__fish_seen_subcommand_from start stop restart wait" -l timeout -x -d 'How long to wait'
complete -c cratos -n "__fish_seen_subcommand_from start stop restart" -l no-wait -d 'Do not wait'
complete -c cratos -n "__fish_seen_subcommand_from logs events" -s f -l follow -d 'And what comes'
complete -c cratos -n "__fish_seen_subcommand_from logs" -s n -l lines -x -d 'How many'
complete -c cratos -n "__fish_seen_subcommand_from wait" -a 'waiting starting ready up failing stopping restarting stopped lost'
complete -c cratos -n "__fish_seen_subcommand_from signal" -a 'HUP INT QUIT KILL USR1 USR2 TERM CONT STOP'
complete -c cratos -n "__fish_seen_subcommand_from plot" -l title -x -d 'Instead of the name'
