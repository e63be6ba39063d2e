#!/bin/bash
# Sections that stand for several servers.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

unset CRATOS_INSTANCE

# An app of the sections in standard input, in one step.
write_app() {
	{
		printf '[app]\nname = test\n'
		cat
	} >"$work/app.new"
	mv "$work/app.new" "$work/app.ini"
}

reload() { # REGEX
	local before
	before=$(count_lines "$work/app.err" "$1")
	kill -HUP "$pid"
	wait_for_lines $((before + 1)) "$work/app.err" "$1"
}

pids() { # SERVER...
	local server
	for server; do
		pid_of "$server"
	done | tr '\n' ' '
}

# What check and run say of the file, a line each, is REGEX.
refused() { # REGEX
	local command
	for command in check run; do
		run "$cratos" "$command" "$work/app.ini"
		is "exit status of $command" "$status" 78
		is "lines of $command" "$(wc -l <"$work/err")" 1
		has "$work/err" "^cratos: $work/app.ini:$1\$"
	done
}

# ---- what an instance is ----

each_instance_has_its_number() {
	write_app <<-END
		[server:web]
		shell = echo "number \$CRATOS_INSTANCE or \${CRATOS_INSTANCE}, port \$PORT"; exec sleep 1001
		instances = 3
		env.PORT = \${CRATOS_INSTANCE+8080}
		[server:other]
		exec = sh -c 'echo "number \$CRATOS_INSTANCE"; exec sleep 1002'
		instances = 1
		[server:mine]
		shell = echo "number \$CRATOS_INSTANCE"; exec sleep 1003
		instances = 2
		env.CRATOS_INSTANCE = mine-\${CRATOS_INSTANCE}
		[server:none]
		shell = echo "number '\$CRATOS_INSTANCE'"; exec sleep 1004
	END
	start_app || return
	wait_for_line "$work/app.err" ' out +web-1 +number 1 or 1, port 8081$'
	wait_for_line "$work/app.err" ' out +web-2 +number 2 or 2, port 8082$'
	wait_for_line "$work/app.err" ' out +web-3 +number 3 or 3, port 8083$'
	wait_for_line "$work/app.err" ' out +other-1 +number 1$'
	wait_for_line "$work/app.err" ' out +mine-2 +number mine-2$'
	wait_for_line "$work/app.err" " out +none +number ''\$"
	stop_app TERM
	is 'exit status' "$status" 0
	has "$work/app.err" ' starting 7 servers$'
	is 'servers that stopped' "$(count_lines "$work/app.err" \
		' (web-[123]|other-1|mine-[12]|none) +stopped after')" 7
}

each_instance_has_its_files_and_its_readiness() {
	local n
	write_app <<-END
		[server:web]
		shell = echo "this is \$CRATOS_INSTANCE"; echo >>$work/up-\$CRATOS_INSTANCE; exec sleep 1001
		instances = 2
		log = file:$work/web-\${CRATOS_INSTANCE}.log
		ready = exec:test -e $work/up-\${CRATOS_INSTANCE}
		[server:api]
		shell = echo "this is api \$CRATOS_INSTANCE"; exec sleep 1002
		instances = 2
		log = file:$work/%n.log
	END
	start_app || return
	wait_for_line "$work/web-1.log" '^this is 1$'
	wait_for_line "$work/web-2.log" '^this is 2$'
	wait_for_line "$work/api-1.log" '^this is api 1$'
	wait_for_line "$work/api-2.log" '^this is api 2$'
	for n in 1 2; do
		[ -e "$work/up-$n" ] || problem "ready before web-$n was up"
	done
	stop_app TERM
	is 'exit status' "$status" 0
}

what_comes_after_a_section_comes_after_all_of_it() {
	local n
	write_app <<-END
		[server:last]
		exec = sleep 1001
		after = web
		[server:second]
		exec = sleep 1002
		wants = web-2
		[server:web]
		exec = sleep 1003
		instances = 3
		after = db-\${CRATOS_INSTANCE}
		[server:db]
		exec = sleep 1004
		instances = 3
	END
	start_app || return
	stop_app TERM
	is 'exit status' "$status" 0
	for n in 1 2 3; do
		has_in_order "$work/app.err" " db-$n +ready" \
			" web-$n +starting" " web-$n +ready" ' last +starting' \
			' last +stopped' " web-$n +stopping" \
			" web-$n +stopped" " db-$n +stopping"
	done
	has_in_order "$work/app.err" ' web-2 +ready' ' second +starting' \
		' second +stopped' ' web-2 +stopping'
}

one_instance_is_restarted_alone() {
	local before
	write_app <<-END
		[server:web]
		exec = sleep 1001
		instances = 3
		restart = on-failure
		restart_delay = 0
	END
	start_app || return
	before=$(pids web-1 web-3)
	kill -KILL "$(pid_of web-2)"
	wait_for_lines 2 "$work/app.err" ' web-2 +ready after'
	is 'the others' "$(pids web-1 web-3)" "$before"
	stop_app TERM
	is 'exit status' "$status" 0
	lacks "$work/app.err" ' web-[13] +restart'
}

# ---- reload ----

write_web() { # INSTANCES
	write_app <<-END
		[server:web]
		exec = sleep 1001
		${1:+instances = $1}
		[server:beside]
		exec = sleep 1002
	END
}

a_reload_adds_and_stops_instances() {
	local two one
	write_web 2
	start_app || return
	two=$(pids web-1 web-2 beside)
	one=$(pids web-1 beside)
	write_web 4
	reload ' reloaded: 2 added, 0 changed, 0 removed$'
	wait_for_line "$work/app.err" ' web-3 +ready'
	wait_for_line "$work/app.err" ' web-4 +ready'
	is 'what was there' "$(pids web-1 web-2 beside)" "$two"
	lacks "$work/app.err" ' stopped'
	write_web 1
	reload ' reloaded: 0 added, 0 changed, 3 removed$'
	wait_for_line "$work/app.err" ' web-2 +stopped'
	wait_for_line "$work/app.err" ' web-3 +stopped'
	wait_for_line "$work/app.err" ' web-4 +stopped'
	is 'what is there' "$(pids web-1 beside)" "$one"
	lacks "$work/app.err" ' (web-1|beside) +stop'
	write_web ''
	reload ' reloaded: 1 added, 0 changed, 1 removed$'
	wait_for_line "$work/app.err" ' web +ready'
	wait_for_line "$work/app.err" ' web-1 +stopped'
	lacks "$work/app.err" ' beside +stop'
	stop_app TERM
	is 'exit status' "$status" 0
	has "$work/app.err" ' web +stopped'
}

what_comes_after_a_section_follows_its_number() {
	local web n
	for n in 1 3 2; do
		write_app <<-END
			[server:proxy]
			exec = sleep 1001
			after = web
			[server:web]
			exec = sleep 1002
			instances = $n
		END
		if [ "$n" = 1 ]; then
			start_app || return
			web=$(pids web-1)
		else
			reload ' reloaded'
		fi
	done
	wait_for_line "$work/app.err" ' web-3 +stopped'
	wait_for_lines 3 "$work/app.err" ' proxy +ready'
	is 'the first' "$(pids web-1)" "$web"
	has_in_order "$work/app.err" ' web-3 +ready' ' proxy +starting' \
		' proxy +stopped' ' web-3 +stopping'
	stop_app TERM
	is 'exit status' "$status" 0
	has_in_order "$work/app.err" ' got SIGTERM' ' proxy +stopped' \
		' web-2 +stopping'
}

# ---- check, and what is wrong ----

check_shows_instances_as_one() {
	write_app <<-END
		[server:web]
		exec = sleep \${CRATOS_INSTANCE+1000}
		instances = 3
		optional = yes
		after = db
		[server:db]
		exec = sleep 1000
		instances = 1
	END
	run "$cratos" check "$work/app.ini"
	is 'exit status' "$status" 0
	has_in_order "$work/out" '^app test: 4 servers' '^1[.] db-1$' \
		'^2[.] web-1 to web-3 \(3 instances, optional\)$' \
		'^    after db$' '^    exec  sleep 1001$'
	lacks "$work/out" '^3[.]|sleep 1002'
}

a_number_of_instances_has_its_limits() {
	local value
	for value in 0 -1 10001; do
		write_app <<-END
			[server:web]
			exec = sleep 1001
			instances = $value
		END
		refused "5: \\[server:web\\] instances: $value is out of range; it should be from 1 to 10000"
	done
	# shellcheck disable=SC2016 # (a variable of the file)
	for value in many 1.5 '${CRATOS_INSTANCE+1}'; do
		write_app <<-END
			[server:web]
			exec = sleep 1001
			instances = $value
		END
		refused '5: \[server:web\] instances: .*'
	done
	write_app <<-END
		[server:echo]
		tcp-echo = 127.0.0.1:0
		instances = 2
	END
	refused '5: \[server:echo\] instances: goes with exec and shell only'
}

a_wrong_number_is_the_only_mistake() {
	write_app <<-'END'
		[server:web]
		exec = sleep 1001
		instances = many
		env.PORT = ${CRATOS_INSTANCE+8080}
		[server:api]
		exec = sleep 1001
		after = web-2
		[server:all]
		exec = sleep 1001
		after = web
	END
	refused "5: \\[server:web\\] instances: 'many' is not a whole number.*"
}

names_that_collide_are_refused() {
	write_app <<-END
		[server:web]
		exec = sleep 1001
		instances = 3
		[server:web-2]
		exec = sleep 1002
	END
	refused "5: \\[server:web\\] instances: one would be called web-2, as is the section at $work/app.ini:6: rename one of the two"
	write_app <<-END
		[server:a123456789012345678901234567890]
		exec = sleep 1001
		instances = 2
	END
	refused '5: .* the last one would be called .*-2, which is longer than 31 bytes: .*'
}

what_is_wrong_with_instances_is_told_once() {
	write_app <<-END
		[server:web]
		exec = sleep 1001
		instances = 100
		after = db
		[server:api]
		exec = sleep 1001
	END
	refused "6: \\[server:web\\] after: there is no server 'db'; there are api"
	write_app <<-END
		[server:web]
		exec = sleep 1001
		instances = 2
		after = web
	END
	refused '6: \[server:web\] after: a server cannot come after itself'
	write_app <<-END
		[server:web]
		exec = sleep 1001
		instances = 2
		after = web-1
	END
	refused '6: \[server:web\] after: a server cannot come after itself'
	write_app <<-END
		[server:web]
		exec = sleep 1001
		instances = 9
		log = file:$work/web.log
	END
	refused "6: \\[server:web\\] log: web-2: $work/web.log is the log of web-1 as well: .*"
	write_app <<-END
		[server:web]
		exec = sleep \${CRATOS_INSTANCE}
	END
	refused '4: \[server:web\] exec: there is no CRATOS_INSTANCE here: it is in sections that have instances'
	write_app <<-END
		[server:web]
		exec = sleep 1001
		instances = 2
		after = api
		[server:api]
		exec = sleep 1001
		after = web
	END
	refused '[0-9]+: .* after: .*web-1.*'
}

for name in each_instance_has_its_number \
	each_instance_has_its_files_and_its_readiness \
	what_comes_after_a_section_comes_after_all_of_it \
	one_instance_is_restarted_alone \
	a_reload_adds_and_stops_instances \
	what_comes_after_a_section_follows_its_number \
	check_shows_instances_as_one \
	a_number_of_instances_has_its_limits \
	a_wrong_number_is_the_only_mistake \
	names_that_collide_are_refused \
	what_is_wrong_with_instances_is_told_once; do
	test_that "$name"
done
all_passed
