#!/bin/bash
# Apps of real daemons: redis, nginx in the foreground, python's web server, and
# PostgreSQL.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# Everything nginx would keep elsewhere goes to its own folder.
write_nginx_conf() { # DIR PORT
	mkdir -p "$1/html"
	echo 'nginx says hello' >"$1/html/index.html"
	cat >"$1/nginx.conf" <<-END
		worker_processes 2;
		pid nginx.pid;
		events { worker_connections 64; }
		http {
			access_log off;
			client_body_temp_path body;
			proxy_temp_path proxy;
			fastcgi_temp_path fastcgi;
			uwsgi_temp_path uwsgi;
			scgi_temp_path scgi;
			server {
				listen 127.0.0.1:$2;
				root html;
			}
		}
	END
	# As root its workers are another user, who has to get here.
	if [ "$(id -u)" = 0 ]; then
		sed -i '1i user root;' "$1/nginx.conf"
	fi
}

write_app() { # NGINX-PORT
	read -r redis_port web_port < <(python3 "$tools" ports 2)
	nginx_port=$1
	mkdir -p "$work/redis" "$work/web"
	echo 'python says hello' >"$work/web/index.html"
	write_nginx_conf "$work/nginx" "$nginx_port"
	cat >"$work/app.ini" <<-END
		[app]
		name = real
		stop_timeout = 20s

		[server:redis]
		exec = redis-server --bind 127.0.0.1 --port $redis_port --save '' --dir $work/redis --loglevel warning
		endpoint = redis://127.0.0.1:$redis_port

		[server:nginx]
		exec = nginx -p $work/nginx -c nginx.conf -e stderr -g 'daemon off;'
		dir = $work/nginx
		endpoint = http://127.0.0.1:$nginx_port/

		[server:web]
		exec = python3 -m http.server --bind 127.0.0.1 $web_port
		dir = $work/web
		endpoint = http://127.0.0.1:$web_port/
	END
}

get() { # PORT
	python3 "$tools" get "127.0.0.1:$1" / >"$work/page.out" \
		2>>"$work/get.err"
	tr '\n' ' ' <"$work/page.out"
}

an_app_of_redis_nginx_and_python_answers_and_stops() {
	local began server
	write_app "$(python3 "$tools" ports 1)"
	run "$cratos" check "$work/app.ini"
	is 'exit status of check' "$status" 0
	start_app || return
	is 'the answer of redis' "$(python3 "$tools" talk \
		"127.0.0.1:$redis_port" $'PING\r\n' PONG | tr -d '\r')" +PONG
	is 'the answer of nginx' "$(get "$nginx_port")" '200 nginx says hello '
	is 'the answer of python' "$(get "$web_port")" '200 python says hello '
	began=$SECONDS
	stop_app TERM
	is 'exit status' "$status" 0
	[ $((SECONDS - began)) -le 20 ] || problem 'stopped after its deadline'
	for server in redis nginx web; do
		has_in_order "$work/app.err" " $server +stopping: SIGTERM to" \
			" $server +stopped after"
	done
	has "$work/app.err" ' real +stopped after'
	lacks "$work/app.err" ' (error|warn) '
}

# nginx tries again for some seconds before it gives up.
a_port_that_is_taken_stops_the_others_and_is_named() {
	local taken server
	start hold python3 "$tools" hold
	taken=$pid
	wait_for_line "$work/hold.out" '^[0-9]+$' || return
	write_app "$(cat "$work/hold.out")"
	start app "$cratos" run "$work/app.ini"
	finish "$pid"
	is 'exit status' "$status" 1
	has "$work/app.err" \
		"bind\(\) to 127.0.0.1:$nginx_port failed .*Address already in use"
	has_in_order "$work/app.err" \
		' error nginx +failed: exited with status 1$' \
		' real +stopping, within 20 s'
	for server in redis web; do
		has_in_order "$work/app.err" " $server +ready after" \
			" nginx +failed:" " $server +stopping: SIGTERM to" \
			" $server +stopped after"
	done
	is 'the last line' "$(tail -n 1 "$work/app.err" | cut -d' ' -f2-)" \
		'error real   failed: nginx: exited with status 1'
	kill "$taken"
	finish "$taken"
}

# ---- with a database, by their probes ----

postgres_bin() {
	find /usr/lib/postgresql/*/bin -name initdb 2>/dev/null |
		sort -V | tail -n 1 | xargs -r dirname
}

# It does not run as root.
write_database() {
	mkdir -p "$work/db"
	if [ "$(id -u)" = 0 ]; then
		chmod 755 "$tmp" "$work"
		chown postgres: "$work/db"
	fi
	cat <<-END
		[server:make-db]
		exec = $(postgres_bin)/initdb --no-sync --auth=trust --username=test --locale=C.UTF-8 -D $work/db/data
		dir = $work/db
		oneshot = true
		start_timeout = 5m
		log = null
		$([ "$(id -u)" != 0 ] || echo 'user = postgres')

		[server:db]
		exec = $(postgres_bin)/postgres -D data -c listen_addresses= -c unix_socket_directories=$work/db -c fsync=off
		dir = $work/db
		ready = exec:$(postgres_bin)/pg_isready --quiet --host=$work/db
		health = unix:.s.PGSQL.5432
		health_interval = 100ms
		start_timeout = 1m
		stop_signal = INT
		after = make-db
		restart = on-failure
		restart_delay = 10ms
		$([ "$(id -u)" != 0 ] || echo 'user = postgres')
	END
}

write_app_with_database() {
	read -r web_port nginx_port < <(python3 "$tools" ports 2)
	mkdir -p "$work/redis" "$work/web"
	echo 'python says hello' >"$work/web/index.html"
	write_nginx_conf "$work/nginx" "$nginx_port"
	sed -i "s|root html;|location = /health { return 200; } location / { proxy_pass http://127.0.0.1:$web_port; }|" \
		"$work/nginx/nginx.conf"
	{
		printf '[app]\nname = real\nstop_timeout = 1m\n'
		write_database
		cat <<-END
			[server:redis]
			exec = redis-server --port 0 --unixsocket redis.sock --save '' --loglevel warning
			dir = $work/redis
			ready = unix:redis.sock
			health = exec:redis-cli -s redis.sock ping
			health_interval = 100ms
			start_timeout = 1m
			restart = on-failure
			restart_delay = 10ms

			[server:web]
			exec = python3 -m http.server --bind 127.0.0.1 $web_port
			dir = $work/web
			ready = tcp:127.0.0.1:$web_port
			health = http://127.0.0.1:$web_port/
			health_interval = 100ms
			start_timeout = 1m
			after = db redis
			restart = on-failure
			restart_delay = 10ms

			[server:nginx]
			exec = nginx -p $work/nginx -c nginx.conf -e stderr -g 'daemon off;'
			dir = $work/nginx
			ready = http://127.0.0.1:$nginx_port/
			health = http://127.0.0.1:$nginx_port/health
			health_interval = 100ms
			start_timeout = 1m
			after = web
			restart = on-failure
			restart_delay = 10ms
		END
	} >"$work/app.ini"
}

ask_database() { # SQL
	"$(postgres_bin)/psql" --host="$work/db" --username=test --dbname=postgres \
		--no-psqlrc --tuples-only --no-align --command="$1" 2>>"$work/psql.err"
}

# The leader is killed; what it has left is gone before the next one runs.
check_that_it_comes_back() { # SERVER
	local before
	before=$(pid_of "$1")
	kill -KILL "$before"
	wait_for_lines 2 "$work/app.err" " $1 +ready after" || return
	[ "$(pid_of "$1")" != "$before" ] || problem "$1 is the same process"
	has_in_order "$work/app.err" ' real +running, all ready' \
		" error $1 +failed: killed by signal 9 \(SIGKILL\)" \
		" $1 +restarts in" " $1 +starting" " $1 +ready after"
}

an_app_with_a_database_is_healthy_and_comes_back() {
	local server
	write_app_with_database
	run "$cratos" check "$work/app.ini"
	is 'exit status of check' "$status" 0
	start_app || return
	has_in_order "$work/app.err" ' make-db +done' ' db +starting' \
		' db +ready after' ' web +starting' ' web +ready after' \
		' nginx +starting' ' nginx +ready after'
	has_in_order "$work/app.err" ' redis +ready after' ' web +starting'
	is 'the database' "$(ask_database 'create table t as select 42 as n')" \
		'SELECT 1'
	is 'the answer' "$(get "$nginx_port")" '200 python says hello '
	for server in redis db web nginx; do
		check_that_it_comes_back "$server"
	done
	is 'what was written' "$(ask_database 'select n from t')" 42
	is 'redis' "$(redis-cli -s "$work/redis/redis.sock" ping)" PONG
	is 'the answer' "$(get "$nginx_port")" '200 python says hello '
	stop_app TERM
	is 'exit status' "$status" 0
	has_in_order "$work/app.err" ' nginx +stopping: SIGTERM to' \
		' nginx +stopped after' ' web +stopping' ' web +stopped after' \
		' db +stopping: SIGINT to' ' db +stopped after'
	lacks "$work/app.err" 'health check failed|did not stop|left behind'
	is 'failures' "$(count_lines "$work/app.err" ' +failed: ')" 4
}

why_no_database() {
	[ -n "$(postgres_bin)" ] || echo 'not installed: postgresql'
	[ "$(id -u)" != 0 ] || getent passwd postgres >/dev/null ||
		echo 'root has no user postgres to run it as'
}

missing=
for program in redis-server nginx; do
	have "$program" || missing="$missing $program"
done
for name in an_app_of_redis_nginx_and_python_answers_and_stops \
	a_port_that_is_taken_stops_the_others_and_is_named \
	an_app_with_a_database_is_healthy_and_comes_back; do
	reason=${missing:+not installed:$missing}
	[ "$name" != an_app_with_a_database_is_healthy_and_comes_back ] ||
		reason=${reason:-$(why_no_database)}
	if [ -n "$reason" ]; then
		skip "$name" "$reason"
	else
		test_that "$name"
	fi
done
all_passed
