#!/bin/bash
# An app of real daemons: redis, nginx in the foreground, python's web server.
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

missing=
for program in redis-server nginx; do
	have "$program" || missing="$missing $program"
done
for name in an_app_of_redis_nginx_and_python_answers_and_stops \
	a_port_that_is_taken_stops_the_others_and_is_named; do
	if [ -n "$missing" ]; then
		skip "$name" "not installed:$missing"
	else
		test_that "$name"
	fi
done
all_passed
